//! Arrays: fixed, conformant, varying, and both.

use super::{Ndr, Reader, UNLIMITED, Writer};
use crate::wire::input::{self, DecodeError, DecodeFault};
use crate::wire::ndr;
use crate::wire::syntax::TransferSyntax;
use std::borrow::Cow;

/// A conformant array, whose size a parameter or a member says, of at most
/// `LIMIT` elements.
///
/// That the size said is that of the array, the caller checks
/// ([`Reader::agree`]).
///
/// # Source
/// C706 14.3.3.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conformant<T, const LIMIT: u64 = UNLIMITED>(pub Vec<T>);

impl<T, const LIMIT: u64> From<Vec<T>> for Conformant<T, LIMIT> {
    fn from(elements: Vec<T>) -> Self {
        Conformant(elements)
    }
}

impl<'a, T: Ndr<'a, Head = ()>, const LIMIT: u64> Ndr<'a> for Conformant<T, LIMIT> {
    const LEAST: usize = 0;
    const CONFORMANT: bool = true;
    type Head = u64;
    type Fixed = Vec<T::Fixed>;

    fn alignment(syntax: TransferSyntax) -> usize {
        conformant_alignment(syntax, T::alignment(syntax))
    }

    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<u64, DecodeError> {
        r.parse(ndr::count(name))
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        count: u64,
    ) -> Result<Vec<T::Fixed>, DecodeError> {
        let count = r.room(name, count, LIMIT, T::LEAST)?;
        read_elements::<T>(r, name, count)
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: Vec<T::Fixed>,
    ) -> Result<Self, DecodeError> {
        deferred_elements(r, name, fixed).map(Conformant)
    }

    fn write_head(&self, w: &mut Writer) {
        ndr::put_count(w.output(), self.0.len());
    }

    fn write_fixed(&self, w: &mut Writer) {
        write_elements(w, &self.0);
    }

    fn write_deferred(&self, w: &mut Writer) {
        self.0.iter().for_each(|element| element.write_deferred(w));
    }
}

/// What a conformant array of elements so aligned is aligned to: in NDR64 its
/// count weighs as much as a pointer.
///
/// # Source
/// MS-RPCE 2.2.5.3.2.1.
pub(super) fn conformant_alignment(syntax: TransferSyntax, elements: usize) -> usize {
    match syntax {
        TransferSyntax::Ndr => elements,
        TransferSyntax::Ndr64 => elements.max(ndr::width(syntax)),
    }
}

/// Reads the fixed parts of elements that there is room for.
fn read_elements<'a, T: Ndr<'a, Head = ()>>(
    r: &mut Reader<'a>,
    name: &'static str,
    count: usize,
) -> Result<Vec<T::Fixed>, DecodeError> {
    let mut fixed = Vec::with_capacity(count);
    for _ in 0..count {
        fixed.push(T::read_fixed(r, name, ())?);
    }
    Ok(fixed)
}

/// Reads what the elements deferred.
fn deferred_elements<'a, T: Ndr<'a>>(
    r: &mut Reader<'a>,
    name: &'static str,
    fixed: Vec<T::Fixed>,
) -> Result<Vec<T>, DecodeError> {
    let elements = fixed.into_iter();
    elements.map(|one| T::read_deferred(r, name, one)).collect()
}

/// Writes the fixed parts of elements.
fn write_elements<'a, T: Ndr<'a>>(w: &mut Writer, elements: &[T]) {
    elements.iter().for_each(|element| element.write_fixed(w));
}

/// A conformant array of octets, borrowed from the stub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Octets<'a, const LIMIT: u64 = UNLIMITED>(pub Cow<'a, [u8]>);

impl<'a, const LIMIT: u64, T: Into<Cow<'a, [u8]>>> From<T> for Octets<'a, LIMIT> {
    fn from(octets: T) -> Self {
        Octets(octets.into())
    }
}

impl<'a, const LIMIT: u64> Ndr<'a> for Octets<'a, LIMIT> {
    const LEAST: usize = 0;
    const CONFORMANT: bool = true;
    type Head = u64;
    type Fixed = Self;

    fn alignment(syntax: TransferSyntax) -> usize {
        conformant_alignment(syntax, 1)
    }

    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<u64, DecodeError> {
        r.parse(ndr::count(name))
    }

    fn read_fixed(r: &mut Reader<'a>, name: &'static str, count: u64) -> Result<Self, DecodeError> {
        let count = r.room(name, count, LIMIT, 1)?;
        let octets = r.parse(input::octets(name, count))?;
        Ok(Octets(octets.into()))
    }

    fn read_deferred(
        _: &mut Reader<'a>,
        _: &'static str,
        fixed: Self,
    ) -> Result<Self, DecodeError> {
        Ok(fixed)
    }

    fn write_head(&self, w: &mut Writer) {
        ndr::put_count(w.output(), self.0.len());
    }

    fn write_fixed(&self, w: &mut Writer) {
        w.output().octets(&self.0);
    }
}

/// A conformant varying array of at most `LIMIT` elements: it has room for
/// `maximum`, and the first of these are there.
///
/// # Source
/// C706 14.3.3.2; that an offset is 0, as in all that is known, is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConformantVarying<T, const LIMIT: u64 = UNLIMITED> {
    /// How many elements there is room for; no memory is taken for it.
    pub maximum: u64,
    /// The elements that are there.
    pub elements: Vec<T>,
}

impl<T, const LIMIT: u64> From<Vec<T>> for ConformantVarying<T, LIMIT> {
    fn from(elements: Vec<T>) -> Self {
        ConformantVarying {
            maximum: elements.len() as u64,
            elements,
        }
    }
}

/// Reads offset and actual count of a varying array with room for `maximum`.
///
/// # Errors
/// `Value` for an offset; `Limit` when it has more than it has room for.
pub(super) fn read_actual(
    r: &mut Reader,
    name: &'static str,
    maximum: u64,
) -> Result<u64, DecodeError> {
    let at = r.input();
    let actual = r.parse(ndr::varying(name))?;
    ndr::within(at, name, actual, maximum)?;
    Ok(actual)
}

impl<'a, T: Ndr<'a, Head = ()>, const LIMIT: u64> Ndr<'a> for ConformantVarying<T, LIMIT> {
    /// Offset and actual count.
    const LEAST: usize = 8;
    const CONFORMANT: bool = true;
    type Head = u64;
    type Fixed = (u64, Vec<T::Fixed>);

    fn alignment(syntax: TransferSyntax) -> usize {
        T::alignment(syntax).max(ndr::width(syntax))
    }

    fn read_head(r: &mut Reader<'a>, name: &'static str) -> Result<u64, DecodeError> {
        r.parse(ndr::count(name))
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        maximum: u64,
    ) -> Result<Self::Fixed, DecodeError> {
        let actual = read_actual(r, name, maximum)?;
        let count = r.room(name, actual, LIMIT, T::LEAST)?;
        Ok((maximum, read_elements::<T>(r, name, count)?))
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        (maximum, fixed): Self::Fixed,
    ) -> Result<Self, DecodeError> {
        let elements = deferred_elements(r, name, fixed)?;
        Ok(ConformantVarying { maximum, elements })
    }

    fn write_head(&self, w: &mut Writer) {
        let maximum = usize::try_from(self.maximum).unwrap_or(usize::MAX);
        ndr::put_count(w.output(), maximum);
    }

    fn write_fixed(&self, w: &mut Writer) {
        ndr::put_varying(w.output(), self.elements.len());
        write_elements(w, &self.elements);
    }

    fn write_deferred(&self, w: &mut Writer) {
        let elements = self.elements.iter();
        elements.for_each(|element| element.write_deferred(w));
    }
}

/// A varying array or a string that is declared with `N` elements, so that its
/// maximum is not on the wire.
///
/// What is longer is written all the same, and refused where it is read.
///
/// # Source
/// C706 14.3.3.3 and 14.3.4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounded<A, const N: u64>(pub A);

impl<A, const N: u64> From<A> for Bounded<A, N> {
    fn from(array: A) -> Self {
        Bounded(array)
    }
}

impl<'a, A: Ndr<'a, Head = u64>, const N: u64> Ndr<'a> for Bounded<A, N> {
    const LEAST: usize = A::LEAST;
    type Head = ();
    type Fixed = A::Fixed;

    fn alignment(syntax: TransferSyntax) -> usize {
        A::alignment(syntax)
    }

    fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_fixed(r: &mut Reader<'a>, name: &'static str, (): ()) -> Result<A::Fixed, DecodeError> {
        A::read_fixed(r, name, N)
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: A::Fixed,
    ) -> Result<Self, DecodeError> {
        A::read_deferred(r, name, fixed).map(Bounded)
    }

    fn write_fixed(&self, w: &mut Writer) {
        self.0.write_fixed(w);
    }

    fn write_deferred(&self, w: &mut Writer) {
        self.0.write_deferred(w);
    }
}

/// A fixed array: its elements and nothing else.
///
/// # Source
/// C706 14.3.2.
impl<'a, T: Ndr<'a, Head = ()>, const N: usize> Ndr<'a> for [T; N] {
    const LEAST: usize = T::LEAST * N;
    type Head = ();
    type Fixed = Vec<T::Fixed>;

    fn alignment(syntax: TransferSyntax) -> usize {
        T::alignment(syntax)
    }

    fn read_head(_: &mut Reader<'a>, _: &'static str) -> Result<(), DecodeError> {
        Ok(())
    }

    fn read_fixed(
        r: &mut Reader<'a>,
        name: &'static str,
        (): (),
    ) -> Result<Vec<T::Fixed>, DecodeError> {
        let count = ndr::room(r.input(), name, N as u64, T::LEAST)?;
        read_elements::<T>(r, name, count)
    }

    fn read_deferred(
        r: &mut Reader<'a>,
        name: &'static str,
        fixed: Vec<T::Fixed>,
    ) -> Result<Self, DecodeError> {
        let elements = deferred_elements(r, name, fixed)?;
        let form = |_| r.input().fault(name, DecodeFault::Form);
        elements.try_into().map_err(form)
    }

    fn write_fixed(&self, w: &mut Writer) {
        write_elements(w, self);
    }

    fn write_deferred(&self, w: &mut Writer) {
        self.iter().for_each(|element| element.write_deferred(w));
    }
}
