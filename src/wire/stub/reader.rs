//! Reads a stub, value by value.

use super::Ndr;
use crate::wire::drep::ByteOrder;
use crate::wire::input::{DecodeError, DecodeFault, Input, Parsed};
use crate::wire::ndr;
use crate::wire::syntax::TransferSyntax;
use std::collections::BTreeSet;

/// How deep pointers may nest: so long may a chain in a stub be. What is pointed
/// to counts once, and once more for each KiB that it takes in Rust, since all
/// values on the way to the deepest lie on the stack.
pub const MAX_DEPTH: u64 = 128;

/// How deep a pointer to a value of this size leads.
///
/// A value of any size may be pointed to, but not by another such.
fn depth_of(size: usize) -> u64 {
    1 + (size as u64 / 1024).min(MAX_DEPTH / 2)
}

/// Reads the values of a stub, one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// What is left.
    input: Input<'a>,
    /// The most elements that any array may have.
    limit: u64,
    /// How deep the pointers that were followed to here lead.
    depth: u64,
    /// The highest referent id so far.
    highest: u64,
    /// The ids of the full pointers whose pointees were read.
    full: BTreeSet<u64>,
}

impl<'a> Reader<'a> {
    /// Begins to read a stub that a peer sent.
    ///
    /// # Errors
    /// `Value` for a big-endian one of NDR64.
    pub fn new(
        stub: &'a [u8],
        order: ByteOrder,
        syntax: TransferSyntax,
    ) -> Result<Self, DecodeError> {
        Ok(Reader::of(ndr::stub(stub, order, syntax)?))
    }

    /// Begins where `input` stands, which came from [`ndr::stub`].
    pub fn of(input: Input<'a>) -> Self {
        Reader {
            input,
            limit: super::UNLIMITED,
            depth: 0,
            highest: 0,
            full: BTreeSet::new(),
        }
    }

    /// Takes no array and no string of more than `limit` elements, a string's
    /// NUL among them; a type's own limit holds beside.
    pub fn limited(self, limit: u64) -> Self {
        Reader { limit, ..self }
    }

    /// Reads a parameter, or what a pointer points to.
    ///
    /// # Errors
    /// As the type has it; `name` is the field's when no member has its own.
    pub fn read<T: Ndr<'a>>(&mut self, name: &'static str) -> Result<T, DecodeError> {
        let fixed = self.fixed::<T>(name)?;
        T::read_deferred(self, name, fixed)
    }

    /// Reads the head and the fixed part of a value.
    ///
    /// # Errors
    /// As the type has it.
    pub fn fixed<T: Ndr<'a>>(&mut self, name: &'static str) -> Result<T::Fixed, DecodeError> {
        let head = T::read_head(self, name)?;
        T::read_fixed(self, name, head)
    }

    /// Reads what a pointer points to.
    ///
    /// # Errors
    /// `Limit` when too many pointers lead here; else as the type has it.
    pub fn pointee<T: Ndr<'a>>(&mut self, name: &'static str) -> Result<T, DecodeError> {
        let depth = self.depth + depth_of(T::SIZE);
        ndr::within(self.input, name, depth, MAX_DEPTH)?;
        let before = std::mem::replace(&mut self.depth, depth);
        let value = self.read(name);
        self.depth = before;
        value
    }

    /// Checks that what is read was all there is.
    ///
    /// # Errors
    /// `Trailing` when octets are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.input.left() {
            0 => Ok(()),
            left => Err(self.input.fault("stub", DecodeFault::Trailing(left))),
        }
    }

    /// Checks that a count `stated` by a parameter or a member is that of the
    /// array `found`.
    ///
    /// # Errors
    /// `Mismatch` when they differ, at the place that was read to.
    pub fn agree(&self, name: &'static str, stated: u64, found: usize) -> Result<(), DecodeError> {
        Ok(ndr::agree(self.input, name, stated, found as u64)?)
    }

    /// The highest referent id that was read: the ids of an answer with full
    /// pointers go on from there.
    pub fn highest_referent(&self) -> u64 {
        self.highest
    }

    /// The transfer syntax.
    pub fn syntax(&self) -> TransferSyntax {
        self.input.syntax()
    }

    /// What is left, for errors that name the place and for parsers of
    /// [`ndr`](crate::wire::ndr).
    pub fn input(&self) -> Input<'a> {
        self.input
    }

    /// Reads with a parser of [`ndr`](crate::wire::ndr).
    ///
    /// # Errors
    /// As the parser has it.
    pub fn parse<T>(
        &mut self,
        mut parser: impl FnMut(Input<'a>) -> Parsed<'a, T>,
    ) -> Result<T, DecodeError> {
        let (rest, value) = parser(self.input)?;
        self.input = rest;
        Ok(value)
    }

    /// Skips to a multiple of `alignment`.
    ///
    /// # Errors
    /// `Truncated` when the octets end.
    pub fn align(&mut self, name: &'static str, alignment: usize) -> Result<(), DecodeError> {
        self.parse(ndr::align(name, alignment))
    }

    /// Skips to a multiple of `alignment` in NDR64, and nothing in NDR 2.0.
    ///
    /// # Errors
    /// `Truncated` when the octets end.
    pub fn align64(&mut self, name: &'static str, alignment: usize) -> Result<(), DecodeError> {
        match self.syntax() {
            TransferSyntax::Ndr => Ok(()),
            TransferSyntax::Ndr64 => self.align(name, alignment),
        }
    }

    /// Reads a referent id; NULL is `None`.
    pub(super) fn referent(&mut self, name: &'static str) -> Result<Option<u64>, DecodeError> {
        let referent = self.parse(ndr::referent(name))?;
        self.highest = self.highest.max(referent.unwrap_or(0));
        Ok(referent)
    }

    /// Whether a full pointer's id is new, which makes its pointee follow.
    pub(super) fn is_new(&mut self, referent: u64) -> bool {
        self.full.insert(referent)
    }

    /// `count` as a number of elements of at least `least` octets, which may be
    /// at most `limit`.
    ///
    /// # Errors
    /// `Limit` above a limit, `Truncated` when so many are not left.
    pub(super) fn room(
        &self,
        name: &'static str,
        count: u64,
        limit: u64,
        least: usize,
    ) -> Result<usize, DecodeError> {
        ndr::within(self.input, name, count, limit.min(self.limit))?;
        // Elements without octets take no memory, but time.
        Ok(ndr::room(self.input, name, count, least.max(1))?)
    }
}
