//! Values of one piece: integers, booleans, enumerations, UUIDs, handles.

use super::{Ndr, Reader, Writer};
use crate::wire::input::{self, DecodeError};
use crate::wire::ndr::{self, ContextHandle};
use crate::wire::syntax::TransferSyntax;
use uuid::Uuid;

/// What tells a union's arm, or an enumeration's value: an integer of up to 32
/// bits.
pub trait Tag {
    /// The fewest octets that it has.
    const LEAST: usize;

    /// What it is aligned to.
    fn alignment(syntax: TransferSyntax) -> usize;

    /// Reads one.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for one that the type cannot hold.
    fn read(r: &mut Reader, name: &'static str) -> Result<u32, DecodeError>;

    /// Writes one, as far as the type holds it.
    fn write(w: &mut Writer, tag: u32);
}

/// An `enum` without `[v1_enum]`, and `[switch_type]` of one: 16 bits in NDR 2.0,
/// 32 in NDR64.
///
/// # Source
/// C706 14.2.5; MS-RPCE 2.2.5.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enum16(pub u16);

impl Enum16 {
    /// Reads one.
    fn of(r: &mut Reader, name: &'static str) -> Result<Self, DecodeError> {
        match r.syntax() {
            TransferSyntax::Ndr => r.parse(ndr::u16(name)).map(Enum16),
            TransferSyntax::Ndr64 => {
                let value = r.parse(ndr::u32_within(name, u16::MAX.into()))?;
                Ok(Enum16(value as u16))
            }
        }
    }

    /// Writes it.
    fn put(self, w: &mut Writer) {
        match w.syntax() {
            TransferSyntax::Ndr => ndr::put_u16(w.output(), self.0),
            TransferSyntax::Ndr64 => ndr::put_u32(w.output(), self.0.into()),
        }
    }
}

/// A Windows `BOOL`: 32 bits, true unless 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bool32(pub bool);

/// Reads an octet.
fn octet(r: &mut Reader, name: &'static str) -> Result<u8, DecodeError> {
    r.parse(input::u8(name))
}

/// Writes an octet.
fn put_octet(w: &mut Writer, octet: u8) {
    w.output().u8(octet);
}

/// A type of one piece: octets, alignment by syntax, reading, writing.
macro_rules! scalar {
    ($type:ty, $least:literal, $alignment:expr, $read:expr, $write:expr) => {
        impl<'a> Ndr<'a> for $type {
            const LEAST: usize = $least;
            type Head = ();
            type Fixed = Self;

            fn alignment(syntax: TransferSyntax) -> usize {
                let alignment: fn(TransferSyntax) -> usize = $alignment;
                alignment(syntax)
            }

            fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
                Ok(())
            }

            fn read_fixed(
                r: &mut Reader<'a>,
                name: &'static str,
                (): (),
            ) -> Result<Self, DecodeError> {
                let read: fn(&mut Reader<'a>, &'static str) -> Result<Self, DecodeError> = $read;
                read(r, name)
            }

            fn read_deferred(
                _: &mut Reader<'a>,
                _: &'static str,
                fixed: Self,
            ) -> Result<Self, DecodeError> {
                Ok(fixed)
            }

            fn write_fixed(&self, w: &mut Writer) {
                let write: fn(&mut Writer, &Self) = $write;
                write(w, self);
            }
        }
    };
}

/// What is there for an empty arm of a union.
impl<'a> Ndr<'a> for () {
    const LEAST: usize = 0;
    type Head = ();
    type Fixed = ();

    fn alignment(_: TransferSyntax) -> usize {
        1
    }

    fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_fixed(_: &mut Reader<'a>, _: &'static str, (): ()) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_deferred(_: &mut Reader<'a>, _: &'static str, (): ()) -> Result<(), DecodeError> {
        Ok(())
    }

    fn write_fixed(&self, _: &mut Writer) {}
}

scalar!(u8, 1, |_| 1, octet, |w, v| put_octet(w, *v));
scalar!(i8, 1, |_| 1, |r, n| Ok(octet(r, n)? as i8), |w, v| {
    put_octet(w, *v as u8)
});
scalar!(bool, 1, |_| 1, |r, n| Ok(octet(r, n)? != 0), |w, v| {
    put_octet(w, (*v).into())
});
scalar!(u16, 2, |_| 2, |r, n| r.parse(ndr::u16(n)), |w, v| {
    ndr::put_u16(w.output(), *v)
});
scalar!(
    i16,
    2,
    |_| 2,
    |r, n| Ok(r.parse(ndr::u16(n))? as i16),
    |w, v| ndr::put_u16(w.output(), *v as u16)
);
scalar!(u32, 4, |_| 4, |r, n| r.parse(ndr::u32(n)), |w, v| {
    ndr::put_u32(w.output(), *v)
});
scalar!(
    i32,
    4,
    |_| 4,
    |r, n| Ok(r.parse(ndr::u32(n))? as i32),
    |w, v| ndr::put_u32(w.output(), *v as u32)
);
scalar!(u64, 8, |_| 8, |r, n| r.parse(ndr::u64(n)), |w, v| {
    ndr::put_u64(w.output(), *v)
});
scalar!(
    i64,
    8,
    |_| 8,
    |r, n| Ok(r.parse(ndr::u64(n))? as i64),
    |w, v| ndr::put_u64(w.output(), *v as u64)
);
scalar!(
    Bool32,
    4,
    |_| 4,
    |r, n| r.parse(ndr::boolean(n)).map(Bool32),
    |w, v| ndr::put_boolean(w.output(), v.0)
);
scalar!(
    Enum16,
    2,
    <Enum16 as Tag>::alignment,
    |r, n| Enum16::of(r, n),
    |w, v| v.put(w)
);
scalar!(Uuid, 16, |_| 4, |r, n| r.parse(ndr::uuid(n)), |w, v| {
    ndr::put_uuid(w.output(), v)
});
scalar!(
    ContextHandle,
    20,
    |_| 4,
    |r, n| r.parse(ContextHandle::decode(n)),
    |w, v| v.encode(w.output())
);

/// An integer that a tag may be.
macro_rules! tag {
    ($type:ty, $octets:literal) => {
        impl Tag for $type {
            const LEAST: usize = $octets;

            fn alignment(_: TransferSyntax) -> usize {
                $octets
            }

            fn read(r: &mut Reader, name: &'static str) -> Result<u32, DecodeError> {
                r.read::<$type>(name).map(u32::from)
            }

            fn write(w: &mut Writer, tag: u32) {
                w.write(&(tag as $type));
            }
        }
    };
}

tag!(u8, 1);
tag!(u16, 2);
tag!(u32, 4);

impl Tag for Enum16 {
    const LEAST: usize = 2;

    fn alignment(syntax: TransferSyntax) -> usize {
        match syntax {
            TransferSyntax::Ndr => 2,
            TransferSyntax::Ndr64 => 4,
        }
    }

    fn read(r: &mut Reader, name: &'static str) -> Result<u32, DecodeError> {
        Ok(Enum16::of(r, name)?.0.into())
    }

    fn write(w: &mut Writer, tag: u32) {
        Enum16(tag as u16).put(w);
    }
}
