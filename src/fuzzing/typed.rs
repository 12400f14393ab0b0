//! Target `typed_stub`: stubs of other people's interfaces, of every kind of
//! type that can be declared.

use super::Choices;
use crate::wire::ndr::ContextHandle;
use crate::wire::stub::{
    Bool32, Bounded, CharString, Conformant, ConformantVarying, Enum16, Full, Octets, Parameters,
    Reader, Ref, WideString, Writer,
};
use crate::wire::{ByteOrder, TransferSyntax};
use crate::{ndr_enumeration, ndr_parameters, ndr_structure, ndr_union};
use uuid::Uuid;

ndr_structure! {
    /// A member of every kind.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Node<'a> {
        flag: bool,
        wide: u64,
        kind: Enum16,
        next: Option<Box<Node<'a>>>,
        name: Option<WideString<100>>,
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
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Leaf<'a> {
        small: u8,
        octets: Option<Octets<'a>>,
    }
}

ndr_enumeration! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Colour: Enum16 {
        Red = 1,
        Green = 2,
    }
}

ndr_union! {
    /// An arm of every kind.
    #[derive(Clone, Debug, PartialEq)]
    enum Arm<'a>: Enum16 {
        0 => Nothing(()),
        1 => Pointer(Option<Leaf<'a>>),
        2 => Long(u64),
        3 => Named(Colour),
        _ => Other(Bool32),
    }
}

impl Default for Arm<'_> {
    fn default() -> Self {
        Arm::Long(5)
    }
}

ndr_parameters! {
    /// Parameters of every kind.
    #[derive(Debug, PartialEq)]
    struct All<'a> {
        odd: u8,
        tree: Node<'a>,
        handle: ContextHandle,
        some: ConformantVarying<Option<Leaf<'a>>, 10>,
        one: Full<u32>,
        again: Full<u32>,
        id: Uuid,
        last: i8,
    }
}

/// The ways to write a stub.
const WAYS: [(ByteOrder, TransferSyntax); 3] = [
    (ByteOrder::Little, TransferSyntax::Ndr),
    (ByteOrder::Big, TransferSyntax::Ndr),
    (ByteOrder::Little, TransferSyntax::Ndr64),
];

/// Target `typed_stub`: what is read is written so that the same is read again,
/// with nothing left over, and then to the same octets.
///
/// The first octet chooses how the rest is written.
pub fn typed_stub(octets: &[u8]) {
    let mut choices = Choices(octets);
    let (order, syntax) = choices.of(WAYS);
    let stub = choices.0;
    let Ok(value) = All::decode(stub, order, syntax) else {
        return;
    };
    let written = value.encode(order, syntax);
    let Ok(mut reader) = Reader::new(&written, order, syntax) else {
        panic!("big-endian NDR64");
    };
    let again = All::read(&mut reader).expect("what was written is read");
    assert_eq!(again, value);
    reader.finish().expect("nothing is left over");
    assert_eq!(again.encode(order, syntax), written);
}

/// Inputs of [`typed_stub`] that are read to their end: a small one and a large
/// one in each way.
pub fn typed_stub_samples() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for (index, (order, syntax)) in WAYS.into_iter().enumerate() {
        for value in [small(), large()] {
            let mut sample = vec![index as u8];
            let mut stub = Vec::new();
            value.write(&mut Writer::new(&mut stub, order, syntax));
            sample.append(&mut stub);
            samples.push(sample);
        }
    }
    samples
}

/// A value with as little as there can be.
fn small() -> All<'static> {
    All {
        odd: 1,
        tree: Node::default(),
        handle: ContextHandle::NULL,
        some: Vec::new().into(),
        one: Full::Null,
        again: Full::Null,
        id: Uuid::nil(),
        last: -1,
    }
}

/// A value with something everywhere.
fn large() -> All<'static> {
    let leaf = |small| Leaf {
        small,
        octets: Some(vec![small; 3].into()),
    };
    let node = |arm| Node {
        name: Some("wide".into()),
        note: Ref("note".into()),
        label: Bounded("label".into()),
        few: Bounded(vec![1, 2].into()),
        tail: vec![leaf(7), Leaf::default()].into(),
        arm,
        ..Node::default()
    };
    All {
        tree: Node {
            next: Some(Box::new(node(Arm::Pointer(Some(leaf(9)))))),
            ..node(Arm::Named(Colour::Green))
        },
        some: vec![Some(leaf(1)), None].into(),
        one: Full::To(crate::wire::ndr::Referents::after(0x30000).point(7)),
        again: Full::Null,
        id: Uuid::from_u128(7),
        ..small()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_to_their_end_and_hold_the_law() {
        for sample in typed_stub_samples() {
            let (order, syntax) = WAYS[usize::from(sample[0])];
            let mut reader = Reader::new(&sample[1..], order, syntax).unwrap();
            All::read(&mut reader).unwrap();
            reader.finish().unwrap();
            typed_stub(&sample);
        }
    }
}
