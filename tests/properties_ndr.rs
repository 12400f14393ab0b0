//! Laws of the stubs' reader and writer, for trees of every kind of type.

use epmapper::wire::ByteOrder::{Big, Little};
use epmapper::wire::TransferSyntax::{Ndr as Ndr20, Ndr64};
use epmapper::wire::ndr::{ContextHandle, Pointer, Referents};
use epmapper::wire::stub::{
    Bool32, Bounded, CharString, Conformant, ConformantVarying, Enum16, Full, MAX_DEPTH, Ndr,
    Octets, Parameters, Reader, Ref, WideString, Writer,
};
use epmapper::wire::{ByteOrder, DecodeFault, TransferSyntax};
use epmapper::{ndr_parameters, ndr_structure, ndr_union};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

ndr_structure! {
    /// A member of every kind.
    #[derive(Clone, Debug, PartialEq)]
    struct Node<'a> {
        flag: bool,
        wide: u64,
        kind: Enum16,
        next: Option<Box<Node<'a>>>,
        name: Option<WideString>,
        note: Ref<CharString<'a>>,
        label: Bounded<CharString<'a>, 8>,
        few: Bounded<ConformantVarying<u16>, 4>,
        pair: [i16; 2],
        arm: Arm<'a>,
        tail: Conformant<Leaf<'a>>,
    }
}

ndr_structure! {
    /// An element with a pointer.
    #[derive(Clone, Debug, PartialEq)]
    struct Leaf<'a> {
        small: u8,
        octets: Option<Octets<'a>>,
    }
}

ndr_union! {
    #[derive(Clone, Debug, PartialEq)]
    enum Arm<'a>: Enum16 {
        0 => Nothing(()),
        1 => Pointer(Option<Leaf<'a>>),
        2 => Long(u64),
        _ => Other(Bool32),
    }
}

ndr_parameters! {
    #[derive(Debug, PartialEq)]
    struct Call<'a> {
        odd: u8,
        tree: Node<'a>,
        handle: ContextHandle,
        some: ConformantVarying<Option<Leaf<'a>>, 10>,
        one: Full<u32>,
        again: Full<u32>,
        last: u8,
    }
}

/// Any element with a pointer.
fn leaf() -> impl Strategy<Value = Leaf<'static>> {
    let octets = prop::option::of(vec(any::<u8>(), 0..5));
    (any::<u8>(), octets).prop_map(|(small, octets)| Leaf {
        small,
        octets: octets.map(Octets::from),
    })
}

/// Any union.
fn arm() -> impl Strategy<Value = Arm<'static>> {
    prop_oneof![
        Just(Arm::Nothing(())),
        prop::option::of(leaf()).prop_map(Arm::Pointer),
        any::<u64>().prop_map(Arm::Long),
        (3..9u32, any::<bool>()).prop_map(|(tag, flag)| Arm::Other(tag, Bool32(flag))),
    ]
}

/// Any structure that points to nothing like it.
fn node() -> impl Strategy<Value = Node<'static>> {
    let plain = (any::<bool>(), any::<u64>(), any::<u16>(), any::<[i16; 2]>());
    let text = (prop::option::of("[a-z€𝄞]{0,4}"), "[a-z]{0,5}", "[a-z]{0,7}");
    let arrays = (vec(any::<u16>(), 0..=4), arm(), vec(leaf(), 0..4));
    (plain, text, arrays).prop_map(|(plain, text, arrays)| Node {
        flag: plain.0,
        wide: plain.1,
        kind: Enum16(plain.2),
        next: None,
        name: text.0.as_deref().map(WideString::from),
        note: Ref(text.1.into()),
        label: Bounded(text.2.into()),
        few: Bounded(ConformantVarying {
            maximum: 4,
            elements: arrays.0,
        }),
        pair: plain.3,
        arm: arrays.1,
        tail: arrays.2.into(),
    })
}

/// Any call, its structures chained.
fn call() -> impl Strategy<Value = Call<'static>> {
    let some = vec(prop::option::of(leaf()), 0..4);
    let rest = (any::<u8>(), any::<u128>(), some, 0..20u64, 0..3usize);
    (vec(node(), 1..4), rest).prop_map(|(chain, (odd, uuid, some, spare, full))| {
        let link = |next, node| {
            Some(Node {
                next: Option::map(next, Box::new),
                ..node
            })
        };
        let one = Referents::after(0x30000).point(7);
        let [first, second] = [
            [Full::Null, Full::Null],
            [Full::To(one), Full::Alias(one.referent)],
            [Full::Null, Full::To(one)],
        ][full];
        Call {
            odd,
            tree: chain.into_iter().fold(None, link).unwrap(),
            handle: ContextHandle {
                attributes: 0,
                uuid: Uuid::from_u128(uuid),
            },
            some: ConformantVarying {
                maximum: some.len() as u64 + spare,
                elements: some,
            },
            one: first,
            again: second,
            last: odd,
        }
    })
}

/// Any way to write a stub.
fn way() -> impl Strategy<Value = (ByteOrder, TransferSyntax)> {
    prop_oneof![
        Just((Little, Ndr20)),
        Just((Big, Ndr20)),
        Just((Little, Ndr64))
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_nothing_is_left(call in call(), (order, syntax) in way()) {
        let stub = call.encode(order, syntax);
        let mut reader = Reader::new(&stub, order, syntax).unwrap();
        prop_assert_eq!(Call::read(&mut reader), Ok(call));
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_stub_cut_short_is_refused(call in call(), (order, syntax) in way()) {
        let stub = call.encode(order, syntax);
        for end in 0..stub.len() {
            let error = Call::decode(&stub[..end], order, syntax).unwrap_err();
            prop_assert!(error.offset <= end);
            prop_assert!(!error.field.is_empty());
        }
    }

    #[test]
    fn an_altered_stub_is_a_value_or_an_error(
        call in call(),
        (order, syntax) in way(),
        octet in any::<u8>(),
    ) {
        let mut stub = call.encode(order, syntax);
        for place in 0..stub.len() {
            let before = std::mem::replace(&mut stub[place], octet);
            if let Ok(call) = Call::decode(&stub, order, syntax) {
                call.encode(order, syntax);
            }
            stub[place] = before;
        }
    }

    #[test]
    fn any_octets_are_a_value_or_an_error(stub in vec(any::<u8>(), 0..200), (order, syntax) in way()) {
        let _ = Call::decode(&stub, order, syntax);
    }
}

/// Octets of hexadecimal digits, blanks between them ignored.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(16)).collect();
    let octets = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
    octets.collect()
}

/// Why the octets are no `T` in NDR 2.0, little-endian.
#[track_caller]
fn refusal<T: for<'a> Ndr<'a>>(digits: &str) -> DecodeFault {
    let stub = hex(digits);
    let mut reader = Reader::new(&stub, Little, Ndr20).unwrap();
    let Err(error) = reader.read::<T>("field") else {
        panic!("{digits} was read");
    };
    error.fault
}

#[test]
fn counts_above_a_limit_or_what_is_left_are_refused() {
    assert_eq!(
        refusal::<Conformant<u16, 2>>("03000000 0100 0200 0300"),
        DecodeFault::Limit { count: 3, limit: 2 }
    );
    assert_eq!(
        refusal::<Conformant<u16>>("ffffffff 0100 0200"),
        DecodeFault::Truncated { left: 4 }
    );
    assert_eq!(
        refusal::<Conformant<()>>("ffffffff 0100"),
        DecodeFault::Truncated { left: 2 }
    );
    assert_eq!(
        refusal::<ConformantVarying<u8>>("01000000 00000000 02000000 0102"),
        DecodeFault::Limit { count: 2, limit: 1 }
    );
    assert_eq!(
        refusal::<ConformantVarying<u8>>("02000000 01000000 01000000 01"),
        DecodeFault::Value(1)
    );
    assert_eq!(
        refusal::<WideString>("02000000 00000000 02000000 6100 6200"),
        DecodeFault::Nul
    );
    assert_eq!(refusal::<Ref<u8>>("00000000"), DecodeFault::Value(0));
}

#[test]
fn a_readers_limit_holds_for_every_array() {
    let stub = hex("03000000 010203");
    let mut reader = Reader::new(&stub, Little, Ndr20).unwrap().limited(2);
    let error = reader.read::<Octets>("data").unwrap_err();
    assert_eq!(error.fault, DecodeFault::Limit { count: 3, limit: 2 });
}

ndr_structure! {
    struct Link {
        next: Option<Box<Link>>,
    }
}

#[test]
fn a_chain_may_be_so_long_and_no_longer() {
    let chain = |length: u64| {
        let mut stub = [1, 0, 0, 0].repeat(length as usize);
        stub.extend([0; 4]);
        stub
    };
    let read = |stub: &[u8]| {
        let mut reader = Reader::new(stub, Little, Ndr20).unwrap();
        reader.read::<Link>("link").map(|_| ())
    };
    assert_eq!(read(&chain(MAX_DEPTH)), Ok(()));
    let error = read(&chain(100_000)).unwrap_err();
    let (count, limit) = (MAX_DEPTH + 1, MAX_DEPTH);
    assert_eq!(error.fault, DecodeFault::Limit { count, limit });
}

ndr_structure! {
    struct Large {
        body: [u8; 16 << 10],
        next: Option<Box<Large>>,
    }
}

#[test]
fn a_chain_of_large_values_is_no_longer_than_a_stack_holds() {
    // Each counts 17 times.
    let most = MAX_DEPTH / 17;
    for (length, is_read) in [(most, true), (most + 1, false), (MAX_DEPTH, false)] {
        let mut stub = [&[7; 16 << 10][..], &[1, 0, 0, 0]]
            .concat()
            .repeat(length as usize);
        stub.extend([7; 16 << 10]);
        stub.extend([0; 4]);
        let mut reader = Reader::new(&stub, Little, Ndr20).unwrap();
        assert_eq!(reader.read::<Large>("large").is_ok(), is_read, "{length}");
    }
}

#[test]
fn what_two_full_pointers_share_is_there_once() {
    // id, value; id
    let stub = hex("01000000 07000000 01000000");
    let mut reader = Reader::new(&stub, Little, Ndr20).unwrap();
    let (referent, value) = (1, 7);
    let first: Full<u32> = reader.read("first").unwrap();
    let second: Full<u32> = reader.read("second").unwrap();
    assert_eq!(first, Full::To(Pointer { referent, value }));
    assert_eq!(second, Full::Alias(1));
    assert_eq!(reader.highest_referent(), 1);
    let mut written = Vec::new();
    let mut writer = Writer::new(&mut written, Little, Ndr20);
    writer.write(&first);
    writer.write(&first);
    assert_eq!(written, stub);
}

#[test]
fn pointees_follow_when_the_outermost_structure_has_ended() {
    let leaf = |small| Leaf {
        small,
        octets: Some(vec![small; 2].into()),
    };
    let leaves: Conformant<Leaf> = vec![leaf(1), leaf(2)].into();
    // max_count; small, gap, referent of each; max_count, octets of each
    let mut stub = Vec::new();
    Writer::new(&mut stub, Little, Ndr20).write(&leaves);
    let expected = "02000000 01 000000 00000200 02 000000 04000200
         02000000 0101 0000 02000000 0202";
    assert_eq!(stub, hex(expected));
}
