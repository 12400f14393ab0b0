//! Where values are encoded to: a buffer, a byte order, an alignment origin.

use super::drep::ByteOrder;
use super::syntax::TransferSyntax;
use uuid::Uuid;

/// An encoder that appends to a buffer.
///
/// Alignment counts from where the output was begun, not from the head of the
/// buffer, so that a stub can be written behind its header.
pub struct Output<'b> {
    /// What is appended to.
    buffer: &'b mut Vec<u8>,
    /// Where this output began in it.
    start: usize,
    /// Byte order of integers.
    order: ByteOrder,
    /// How a stub is written; NDR 2.0 where it is no stub.
    syntax: TransferSyntax,
}

impl<'b> Output<'b> {
    /// Begins at the end of `buffer`.
    pub fn new(buffer: &'b mut Vec<u8>, order: ByteOrder) -> Self {
        Output::stub(buffer, order, TransferSyntax::Ndr)
    }

    /// Begins a stub in `syntax` at the end of `buffer`.
    pub fn stub(buffer: &'b mut Vec<u8>, order: ByteOrder, syntax: TransferSyntax) -> Self {
        let start = buffer.len();
        Output {
            buffer,
            start,
            order,
            syntax,
        }
    }

    /// The transfer syntax that a stub is written in.
    pub fn syntax(&self) -> TransferSyntax {
        self.syntax
    }

    /// The byte order that integers are written in.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// Octets written since the start.
    pub fn written(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Appends one octet.
    pub fn u8(&mut self, value: u8) {
        self.buffer.push(value);
    }

    /// Appends a u16 in the byte order.
    pub fn u16(&mut self, value: u16) {
        match self.order {
            ByteOrder::Little => self.octets(&value.to_le_bytes()),
            ByteOrder::Big => self.octets(&value.to_be_bytes()),
        }
    }

    /// Appends a u32 in the byte order.
    pub fn u32(&mut self, value: u32) {
        match self.order {
            ByteOrder::Little => self.octets(&value.to_le_bytes()),
            ByteOrder::Big => self.octets(&value.to_be_bytes()),
        }
    }

    /// Appends a u64 in the byte order.
    pub fn u64(&mut self, value: u64) {
        match self.order {
            ByteOrder::Little => self.octets(&value.to_le_bytes()),
            ByteOrder::Big => self.octets(&value.to_be_bytes()),
        }
    }

    /// Appends octets as they are.
    pub fn octets(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Appends a UUID, its first three fields in the byte order.
    pub fn uuid(&mut self, uuid: Uuid) {
        match self.order {
            ByteOrder::Little => self.octets(&uuid.to_bytes_le()),
            ByteOrder::Big => self.octets(uuid.as_bytes()),
        }
    }

    /// Appends zeros up to a multiple of `alignment`, a power of two, octets
    /// from the start.
    pub fn align(&mut self, alignment: usize) {
        let short = self.written().wrapping_neg() & (alignment - 1);
        if short != 0 {
            self.buffer.resize(self.buffer.len() + short, 0);
        }
    }

    /// Writes a u16 over the two octets at `position` from the start.
    ///
    /// Positions come from `written` of this same output, so they lie inside.
    pub fn patch_u16(&mut self, position: usize, value: u16) {
        let octets = match self.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        };
        let at = self.start + position;
        self.buffer[at..at + 2].copy_from_slice(&octets);
    }
}
