//! Writes a stub, value by value.

use super::Ndr;
use crate::wire::drep::ByteOrder;
use crate::wire::ndr::{self, Referents};
use crate::wire::output::Output;
use crate::wire::syntax::TransferSyntax;
use std::collections::BTreeSet;

/// Writes the values of a stub, one after the other, and numbers its pointers.
pub struct Writer<'b> {
    /// Where to.
    out: Output<'b>,
    /// The ids of the pointers to come.
    referents: Referents,
    /// The ids of the full pointers whose pointees are written.
    full: BTreeSet<u64>,
}

impl<'b> Writer<'b> {
    /// Begins a stub at the end of `buffer`. NDR64 is little-endian whatever
    /// `order` says.
    ///
    /// Pointers are numbered as Windows and Samba number them, from 0x20000 in
    /// steps of 4.
    pub fn new(buffer: &'b mut Vec<u8>, order: ByteOrder, syntax: TransferSyntax) -> Self {
        let order = match syntax {
            TransferSyntax::Ndr => order,
            TransferSyntax::Ndr64 => ByteOrder::Little,
        };
        Writer {
            out: Output::stub(buffer, order, syntax),
            referents: Referents::usual(),
            full: BTreeSet::new(),
        }
    }

    /// Numbers the pointers by `referents`.
    pub fn numbered(self, referents: Referents) -> Self {
        Writer { referents, ..self }
    }

    /// Writes a parameter, or what a pointer points to.
    pub fn write<'a, T: Ndr<'a>>(&mut self, value: &T) {
        value.write_head(self);
        value.write_fixed(self);
        value.write_deferred(self);
    }

    /// The transfer syntax.
    pub fn syntax(&self) -> TransferSyntax {
        self.out.syntax()
    }

    /// Where the functions of [`ndr`](crate::wire::ndr) write to.
    pub fn output(&mut self) -> &mut Output<'b> {
        &mut self.out
    }

    /// Fills up to a multiple of `alignment` with zeros.
    pub fn align(&mut self, alignment: usize) {
        self.out.align(alignment);
    }

    /// Fills up to a multiple of `alignment` in NDR64, not in NDR 2.0.
    pub fn align64(&mut self, alignment: usize) {
        if self.syntax() == TransferSyntax::Ndr64 {
            self.align(alignment);
        }
    }

    /// Writes the id of the next pointer, or NULL.
    pub(super) fn referent(&mut self, is_null: bool) {
        let pointer = (!is_null).then(|| self.referents.point(()));
        ndr::put_referent(&mut self.out, pointer.as_ref());
    }

    /// Whether a full pointer's id is new, which makes its pointee follow.
    pub(super) fn is_new(&mut self, referent: u64) -> bool {
        self.full.insert(referent)
    }
}
