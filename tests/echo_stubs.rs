//! Samba's rpcecho interface, as its public IDL describes it: the measure of
//! how other people's interfaces are declared, against octets of Samba's own.
//! The declarations are those of the examples.

#[path = "../examples/echo/mod.rs"]
mod echo;
#[path = "support/skip.rs"]
mod skip;

use echo::*;
use epmapper::wire::ByteOrder::{self, Big, Little};
use epmapper::wire::TransferSyntax::{self, Ndr, Ndr64};
use epmapper::wire::stub::{Enum16, Octets, Parameters};
use std::fmt::Debug;
use std::process::Command;

/// Octets of hexadecimal digits, blanks between them ignored.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(16)).collect();
    let octets = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
    octets.collect()
}

/// Reads `stub` as `value`, and writes it so.
#[track_caller]
fn check<'a, T: Parameters<'a> + Debug + PartialEq>(
    (order, syntax): (ByteOrder, TransferSyntax),
    stub: &'a [u8],
    value: &T,
) {
    assert_eq!(T::decode(stub, order, syntax).as_ref(), Ok(value));
    let written = value.encode(order, syntax);
    assert_eq!(&written, stub, "{order:?} {syntax:?}");
}

/// The three ways to write a stub.
const WAYS: [(ByteOrder, TransferSyntax); 3] = [(Little, Ndr), (Big, Ndr), (Little, Ndr64)];

/// [`check`] in the three ways, `$stubs` in hexadecimal.
macro_rules! check {
    ($value:expr, $($stub:literal),+) => {
        let value = $value;
        for (way, stub) in WAYS.into_iter().zip([$($stub),+]) {
            check(way, &hex(stub), &value);
        }
    };
}

#[test]
fn an_integer_is_all_of_addone() {
    check!(AddOne { number: 7 }, "07000000", "00000007", "07000000");
    check!(TestSleep { seconds: 1 }, "01000000", "00000001", "01000000");
    check!(Nothing {}, "", "", "");
}

#[test]
fn echodata_has_its_length_and_a_conformant_array() {
    for (way, stub) in WAYS.into_iter().zip([
        // len; max_count; octets
        "03000000 03000000 010203",
        "00000003 00000003 010203",
        // len, gap; max_count; octets
        "03000000 00000000 0300000000000000 010203",
    ]) {
        let in_data = Octets::from(&[1, 2, 3][..]);
        check(way, &hex(stub), &EchoDataRequest { len: 3, in_data });
    }
    for (way, stub) in WAYS.into_iter().zip([
        "03000000 010203",
        "00000003 010203",
        "0300000000000000 010203",
    ]) {
        let out_data = Octets::from(&[1, 2, 3][..]);
        check(way, &hex(stub), &EchoDataResponse { out_data });
    }
    check!(
        SourceDataRequest { len: 3 },
        "03000000",
        "00000003",
        "03000000"
    );
}

#[test]
fn octets_are_borrowed_from_the_stub() {
    let stub = hex("03000000 010203");
    let read = EchoDataResponse::decode(&stub, Little, Ndr).unwrap();
    assert!(matches!(read.out_data.0, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn testcall_has_strings_of_wide_characters() {
    // max_count, offset, actual_count, units
    check!(
        TestCallRequest { s1: "ab".into() },
        "03000000 00000000 03000000 6100 6200 0000",
        "00000003 00000000 00000003 0061 0062 0000",
        "0300000000000000 0000000000000000 0300000000000000 6100 6200 0000"
    );
    // referent; max_count, offset, actual_count, units
    check!(
        TestCallResponse {
            s2: Some("abc".into())
        },
        "00000200 04000000 00000000 04000000 6100 6200 6300 0000",
        "00020000 00000004 00000000 00000004 0061 0062 0063 0000",
        "0000020000000000 0400000000000000 0000000000000000 0400000000000000
         6100 6200 6300 0000"
    );
    check!(
        TestCallResponse { s2: None },
        "00000000",
        "00000000",
        "0000000000000000"
    );
}

#[test]
fn testcall2_has_a_union_of_seven_structures() {
    let status = 0;
    let value = |info| TestCall2Response { info, status };
    // level, gap; v; gap; status. In NDR64 every arm stands at 8.
    check!(
        value(Info::One(Info1 { v: 10 })),
        "0100 0a 00 00000000",
        "0001 0a 00 00000000",
        "0100 000000000000 0a 000000 00000000"
    );
    check!(
        value(Info::Two(Info2 { v: 10 })),
        "0200 0a00 00000000",
        "0002 000a 00000000",
        "0200 000000000000 0a00 0000 00000000"
    );
    check!(
        value(Info::Three(Info3 { v: 10 })),
        "0300 0000 0a000000 00000000",
        "0003 0000 0000000a 00000000",
        "0300 000000000000 0a000000 00000000"
    );
    check!(
        value(Info::Four(Info4 { v: 10 })),
        "0400 000000000000 0a00000000000000 00000000",
        "0004 000000000000 000000000000000a 00000000",
        "0400 000000000000 0a00000000000000 00000000"
    );
    check!(
        value(Info::Five(Info5 { v1: 5, v2: 6 })),
        "0500 000000000000 05 00000000000000 0600000000000000 00000000",
        "0005 000000000000 05 00000000000000 0000000000000006 00000000",
        "0500 000000000000 05 00000000000000 0600000000000000 00000000"
    );
    let info1 = Info1 { v: 6 };
    check!(
        value(Info::Six(Info6 { v1: 5, info1 })),
        "0600 05 06 00000000",
        "0006 05 06 00000000",
        "0600 000000000000 05 06 0000 00000000"
    );
    let info4 = Info4 { v: 6 };
    check!(
        value(Info::Seven(Info7 { v1: 5, info4 })),
        "0700 000000000000 05 00000000000000 0600000000000000 00000000",
        "0007 000000000000 05 00000000000000 0000000000000006 00000000",
        "0700 000000000000 05 00000000000000 0600000000000000 00000000"
    );
    check!(TestCall2Request { level: 5 }, "0500", "0005", "0500");
}

#[test]
fn testenum_has_enumerations_that_grow_in_ndr64() {
    let foo2 = Enum2 {
        e1: Enum16(1),
        e2: Enum1Long::Two,
    };
    let foo3 = Enum3::Short(Enum16(1));
    // foo1; gap; e1, gap, e2; level, gap, e1
    check!(
        TestEnum {
            foo1: Enum16(1),
            foo2: foo2.clone(),
            foo3
        },
        "0100 0000 0100 0000 02000000 0100 0100",
        "0001 0000 0001 0000 00000002 0001 0001",
        "01000000 01000000 02000000 0100 0000 01000000"
    );
    let foo3 = Enum3::Both(foo2.clone());
    check!(
        TestEnum {
            foo1: Enum16(2),
            foo2,
            foo3
        },
        "0200 0000 0100 0000 02000000 0200 0000 0100 0000 02000000",
        "0002 0000 0001 0000 00000002 0002 0000 0001 0000 00000002",
        "02000000 01000000 02000000 0200 0000 01000000 02000000"
    );
}

#[test]
fn testsurrounding_has_its_arrays_count_before_the_structure() {
    let data = Surrounding {
        x: 3,
        surrounding: vec![1, 2, 3].into(),
    };
    // max_count; x; elements
    check!(
        TestSurrounding { data },
        "03000000 03000000 0100 0200 0300",
        "00000003 00000003 0001 0002 0003",
        "0300000000000000 03000000 0100 0200 0300"
    );
}

#[test]
fn testdoublepointer_points_to_a_pointer() {
    // referent; referent; value
    check!(
        TestDoublePointerRequest {
            data: Some(Some(5))
        },
        "00000200 04000200 0500",
        "00020000 00020004 0005",
        "0000020000000000 0400020000000000 0500"
    );
    check!(
        TestDoublePointerRequest { data: Some(None) },
        "00000200 00000000",
        "00020000 00000000",
        "0000020000000000 0000000000000000"
    );
    check!(
        TestDoublePointerResponse { result: 5 },
        "0500",
        "0005",
        "0500"
    );
}

/// What Samba packs, a line each; `None` without its Python.
fn packed(arguments: &[&str]) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/echo_stubs/pack.py");
    let mut python = Command::new("/usr/bin/python3");
    let told = python.arg(script).args(arguments).output().ok()?;
    if !told.status.success() {
        let why = String::from_utf8_lossy(&told.stderr);
        assert!(why.contains("ModuleNotFoundError"), "{why}");
        return None;
    }
    Some(String::from_utf8(told.stdout).unwrap())
}

/// Checks a line of Samba's against ours, and says how many octets Samba has
/// behind: it fills a structure with a conformant array up in NDR64.
#[track_caller]
fn compare(line: &str) -> usize {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, direction, way, digits] = words[..] else {
        panic!("{line}");
    };
    let (order, syntax) = match way {
        "little" => (Little, Ndr),
        "big" => (Big, Ndr),
        _ => (Little, Ndr64),
    };
    let theirs = hex(digits);
    let ours = match (name.trim_end_matches(char::is_numeric), direction) {
        ("AddOne", _) => again::<AddOne>(&theirs, order, syntax),
        ("EchoData", "in") | ("SinkData", "in") => again::<EchoDataRequest>(&theirs, order, syntax),
        ("EchoData", _) | ("SourceData", "out") => {
            again::<EchoDataResponse>(&theirs, order, syntax)
        }
        ("SinkData", _) => again::<Nothing>(&theirs, order, syntax),
        ("SourceData", _) => again::<SourceDataRequest>(&theirs, order, syntax),
        ("TestCall", "in") => again::<TestCallRequest>(&theirs, order, syntax),
        ("TestCall", _) if name == "TestCall" => again::<TestCallResponse>(&theirs, order, syntax),
        ("TestCall", _) => again::<TestCall2Response>(&theirs, order, syntax),
        ("TestSleep", _) => again::<TestSleep>(&theirs, order, syntax),
        ("TestEnum", _) => again::<TestEnum>(&theirs, order, syntax),
        ("TestSurrounding", _) => again::<TestSurrounding>(&theirs, order, syntax),
        ("TestDoublePointer", "in") => again::<TestDoublePointerRequest>(&theirs, order, syntax),
        ("TestDoublePointer", _) => again::<TestDoublePointerResponse>(&theirs, order, syntax),
        _ => panic!("{line}"),
    };
    let rest = theirs.strip_prefix(&ours[..]).unwrap_or_else(|| {
        panic!("{line}: ours are {ours:02x?}");
    });
    assert!(rest.iter().all(|&octet| octet == 0), "{line}");
    rest.len()
}

/// What is written of what `T` reads.
#[track_caller]
fn again<'a, T: Parameters<'a>>(
    stub: &'a [u8],
    order: ByteOrder,
    syntax: TransferSyntax,
) -> Vec<u8> {
    T::decode(stub, order, syntax)
        .unwrap()
        .encode(order, syntax)
}

#[test]
fn what_samba_packs_is_read_and_written_the_same() {
    let Some(told) = packed(&[]) else {
        return skip::lacking("python3-samba");
    };
    assert!(told.lines().count() > 50, "{told}");
    for line in told.lines() {
        let filled = compare(line);
        let may = line.starts_with("TestSurrounding") && line.contains("ndr64");
        assert_eq!(filled, if may { 2 } else { 0 }, "{line}");
    }
}

#[test]
fn unions_of_samba_are_read_and_written_the_same() {
    let arms = [
        Info::One(Info1 { v: 10 }),
        Info::Two(Info2 { v: 10 }),
        Info::Three(Info3 { v: 10 }),
        Info::Four(Info4 { v: 10 }),
        Info::Five(Info5 { v1: 5, v2: 6 }),
        Info::Six(Info6 {
            v1: 5,
            info1: Info1 { v: 6 },
        }),
        Info::Seven(Info7 {
            v1: 5,
            info4: Info4 { v: 6 },
        }),
    ];
    for info in arms {
        let level = info.tag().to_string();
        let response = TestCall2Response { info, status: 0 };
        let digits: String = response
            .encode(Little, Ndr)
            .iter()
            .fold(String::new(), |digits, octet| {
                format!("{digits}{octet:02x}")
            });
        let Some(told) = packed(&[&level, &digits]) else {
            return skip::lacking("python3-samba");
        };
        assert_eq!(told.lines().count(), 3);
        for line in told.lines() {
            assert_eq!(compare(line), 0, "{line}");
            assert!(line.starts_with(&format!("TestCall2{level} ")), "{line}");
        }
    }
}
