//! Pointers: reference, unique and full.

use super::{Ndr, Reader, Writer};
use crate::wire::input::{DecodeError, DecodeFault};
use crate::wire::ndr::{self, Pointer};
use crate::wire::syntax::TransferSyntax;

/// A unique pointer; NULL is `None`.
///
/// # Source
/// C706 14.3.11.
impl<'a, T: Ndr<'a>> Ndr<'a> for Option<T> {
    const LEAST: usize = 4;
    type Head = ();
    type Fixed = Option<u64>;

    fn alignment(syntax: TransferSyntax) -> usize {
        ndr::width(syntax)
    }

    fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        (): (),
    ) -> Result<Option<u64>, DecodeError> {
        r.referent(name)
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: Option<u64>,
    ) -> Result<Self, DecodeError> {
        fixed.map(|_| r.pointee(name)).transpose()
    }

    fn write_fixed(&self, w: &mut Writer) {
        w.referent(self.is_none());
    }

    fn write_deferred(&self, w: &mut Writer) {
        if let Some(value) = self {
            w.write(value);
        }
    }
}

/// A reference pointer in a structure, an array or a union, which is never
/// NULL. As a parameter such a pointer is not on the wire: write `T`.
///
/// # Source
/// C706 14.3.10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ref<T>(pub T);

impl<T> From<T> for Ref<T> {
    fn from(value: T) -> Self {
        Ref(value)
    }
}

impl<'a, T: Ndr<'a>> Ndr<'a> for Ref<T> {
    const LEAST: usize = 4;
    type Head = ();
    type Fixed = ();

    fn alignment(syntax: TransferSyntax) -> usize {
        ndr::width(syntax)
    }

    fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_fixed(r: &mut Reader<'a>, name: &'static str, (): ()) -> Result<(), DecodeError> {
        let at = r.input();
        match r.referent(name)? {
            Some(_) => Ok(()),
            None => Err(at.fault(name, DecodeFault::Value(0))),
        }
    }

    fn read_deferred(r: &mut Reader<'a>, name: &'static str, (): ()) -> Result<Self, DecodeError> {
        r.pointee(name).map(Ref)
    }

    fn write_fixed(&self, w: &mut Writer) {
        w.referent(false);
    }

    fn write_deferred(&self, w: &mut Writer) {
        w.write(&self.0);
    }
}

/// A full pointer, two of which may point to one thing.
///
/// Its ids are the caller's, from [`Referents`](ndr::Referents), since they say
/// which pointers are one. What an id points to is on the wire once, where the
/// first pointer with it has it.
///
/// A peer that draws its ids at random may give two pointers one id: where such
/// peers are to be understood rather than aliases, read an `Option`.
///
/// # Source
/// C706 14.3.11 and 14.3.12.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full<T> {
    /// Points to nothing.
    #[default]
    Null,
    /// Points to a value; the id is not 0.
    To(Pointer<T>),
    /// Points to what an earlier pointer with this id points to.
    Alias(u64),
}

impl<T> Full<T> {
    /// The id, 0 for NULL.
    pub fn referent(&self) -> u64 {
        match self {
            Full::Null => 0,
            Full::To(pointer) => pointer.referent,
            Full::Alias(referent) => *referent,
        }
    }
}

impl<'a, T: Ndr<'a>> Ndr<'a> for Full<T> {
    const LEAST: usize = 4;
    type Head = ();
    type Fixed = Option<u64>;

    fn alignment(syntax: TransferSyntax) -> usize {
        ndr::width(syntax)
    }

    fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        (): (),
    ) -> Result<Option<u64>, DecodeError> {
        r.referent(name)
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: Option<u64>,
    ) -> Result<Self, DecodeError> {
        match fixed {
            None => Ok(Full::Null),
            Some(referent) if r.is_new(referent) => {
                let value = r.pointee(name)?;
                Ok(Full::To(Pointer { referent, value }))
            }
            Some(referent) => Ok(Full::Alias(referent)),
        }
    }

    fn write_fixed(&self, w: &mut Writer) {
        let (referent, value) = (self.referent(), ());
        let pointer = Pointer { referent, value };
        ndr::put_referent(w.output(), Some(&pointer));
    }

    fn write_deferred(&self, w: &mut Writer) {
        if let Full::To(pointer) = self
            && w.is_new(pointer.referent)
        {
            w.write(&pointer.value);
        }
    }
}

/// A box lies as what is in it: for a type that points to its like.
impl<'a, T: Ndr<'a>> Ndr<'a> for Box<T> {
    const LEAST: usize = T::LEAST;
    const SIZE: usize = T::SIZE;
    const CONFORMANT: bool = T::CONFORMANT;
    type Head = T::Head;
    type Fixed = T::Fixed;

    fn alignment(syntax: TransferSyntax) -> usize {
        T::alignment(syntax)
    }

    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<T::Head, DecodeError> {
        T::read_head(r, name)
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        head: T::Head,
    ) -> Result<T::Fixed, DecodeError> {
        T::read_fixed(r, name, head)
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: T::Fixed,
    ) -> Result<Self, DecodeError> {
        T::read_deferred(r, name, fixed).map(Box::new)
    }

    fn write_head(&self, w: &mut Writer) {
        T::write_head(self, w);
    }

    fn write_fixed(&self, w: &mut Writer) {
        T::write_fixed(self, w);
    }

    fn write_deferred(&self, w: &mut Writer) {
        T::write_deferred(self, w);
    }
}
