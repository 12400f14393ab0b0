//! The nom input of this package: octets with their byte order and offset.
//!
//! Byte order is set once, from a PDU's data representation, and rides along,
//! and so does the transfer syntax of a stub.
//! The offset counts from where the input began, so that an error names a
//! place and NDR can align. Parsers here are complete, never streaming: framing
//! hands over whole PDUs.

use super::drep::ByteOrder;
use super::syntax::TransferSyntax;
use nom::error::{ErrorKind, ParseError};
use nom::{IResult, Needed, Parser};
use std::iter::{Copied, Enumerate};
use std::slice::Iter;
use uuid::Uuid;

/// What a parser of this package returns: the rest of the input and a value.
pub type Parsed<'a, T> = IResult<Input<'a>, T, DecodeError>;

/// Octets to decode, with the byte order and the distance from their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// What is left.
    octets: &'a [u8],
    /// Distance from the start.
    offset: usize,
    /// Byte order of integers.
    order: ByteOrder,
    /// How a stub is written; NDR 2.0 where it is no stub.
    syntax: TransferSyntax,
}

impl<'a> Input<'a> {
    /// Starts at offset 0 of `octets`.
    pub fn new(octets: &'a [u8], order: ByteOrder) -> Self {
        Input::at(octets, order, 0)
    }

    /// Starts at offset 0 of a stub in `syntax`.
    pub fn stub(octets: &'a [u8], order: ByteOrder, syntax: TransferSyntax) -> Self {
        Input {
            syntax,
            ..Input::new(octets, order)
        }
    }

    /// Starts at `offset` of something larger, for errors that name the place.
    pub fn at(octets: &'a [u8], order: ByteOrder, offset: usize) -> Self {
        Input {
            octets,
            offset,
            order,
            syntax: TransferSyntax::Ndr,
        }
    }

    /// The octets that are left.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// How many octets are left.
    pub fn left(&self) -> usize {
        self.octets.len()
    }

    /// Octets consumed since the start.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The byte order that integers are read in.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// The transfer syntax that a stub is read in.
    pub fn syntax(&self) -> TransferSyntax {
        self.syntax
    }

    /// The same octets, read in another byte order.
    pub fn with_order(self, order: ByteOrder) -> Self {
        Input { order, ..self }
    }

    /// A failure at this place.
    pub fn fault(&self, field: &'static str, fault: DecodeFault) -> DecodeError {
        DecodeError {
            offset: self.offset,
            field,
            fault,
        }
    }

    /// A failure at this place, as nom wants it.
    pub fn fail<T>(&self, field: &'static str, fault: DecodeFault) -> Parsed<'a, T> {
        Err(nom::Err::Error(self.fault(field, fault)))
    }
}

impl<'a> nom::Input for Input<'a> {
    type Item = u8;
    type Iter = Copied<Iter<'a, u8>>;
    type IterIndices = Enumerate<Self::Iter>;

    fn input_len(&self) -> usize {
        self.octets.len()
    }

    #[inline]
    fn take(&self, index: usize) -> Self {
        Input {
            octets: &self.octets[..index],
            ..*self
        }
    }

    #[inline]
    fn take_from(&self, index: usize) -> Self {
        Input {
            octets: &self.octets[index..],
            offset: self.offset + index,
            ..*self
        }
    }

    #[inline]
    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.take_from(index), self.take(index))
    }

    fn position<P: Fn(u8) -> bool>(&self, predicate: P) -> Option<usize> {
        self.octets.iter().position(|octet| predicate(*octet))
    }

    fn iter_elements(&self) -> Self::Iter {
        self.octets.iter().copied()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.iter_elements().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if self.octets.len() >= count {
            Ok(count)
        } else {
            Err(Needed::new(count - self.octets.len()))
        }
    }
}

/// Why octets do not decode, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at octet {offset}: {fault}")]
pub struct DecodeError {
    /// Distance from the start of the structure that was decoded.
    pub offset: usize,
    /// The field that could not be read, by the standard's name.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: DecodeFault,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeFault {
    /// The octets end before the field does.
    #[error("cut short, {left} octets left")]
    Truncated {
        /// Octets that are there.
        left: usize,
    },
    /// The value is not one the standard allows here.
    #[error("value {0:#x} is not allowed")]
    Value(u64),
    /// A count or length is above its limit.
    #[error("count {count} is above the limit of {limit}")]
    Limit {
        /// The count on the wire.
        count: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// Two statements of one length disagree.
    #[error("{stated} stated where {found} was found")]
    Mismatch {
        /// The value read here.
        stated: u64,
        /// The value it has to agree with.
        found: u64,
    },
    /// Octets are left where the structure ends.
    #[error("{0} octets left over")]
    Trailing(usize),
    /// A string lacks its terminating NUL, or has one inside.
    #[error("NUL missing or misplaced")]
    Nul,
    /// A nom combinator refused.
    #[error("not of the expected form")]
    Form,
}

impl<'a> ParseError<Input<'a>> for DecodeError {
    fn from_error_kind(input: Input<'a>, kind: ErrorKind) -> Self {
        let fault = match kind {
            ErrorKind::Eof => DecodeFault::Truncated { left: input.left() },
            _ => DecodeFault::Form,
        };
        input.fault("", fault)
    }

    fn append(_: Input<'a>, _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl From<nom::Err<DecodeError>> for DecodeError {
    fn from(error: nom::Err<DecodeError>) -> Self {
        match error {
            nom::Err::Error(error) | nom::Err::Failure(error) => error,
            nom::Err::Incomplete(_) => DecodeError {
                offset: 0,
                field: "",
                fault: DecodeFault::Truncated { left: 0 },
            },
        }
    }
}

/// Names the field that `parser` reads, for its errors.
pub fn field<'a, T>(
    name: &'static str,
    mut parser: impl Parser<Input<'a>, Output = T, Error = DecodeError>,
) -> impl FnMut(Input<'a>) -> Parsed<'a, T> {
    move |input| {
        parser.parse(input).map_err(|error| {
            error.map(|mut error| {
                if error.field.is_empty() {
                    error.field = name;
                }
                error
            })
        })
    }
}

/// Reads one octet.
pub fn u8<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u8> {
    field(name, nom::number::complete::u8)
}

/// Reads a u16 in the input's byte order.
pub fn u16<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u16> {
    move |input| field(name, nom::number::complete::u16(input.order.into()))(input)
}

/// Reads a u32 in the input's byte order.
pub fn u32<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u32> {
    move |input| field(name, nom::number::complete::u32(input.order.into()))(input)
}

/// Reads a u64 in the input's byte order.
pub fn u64<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u64> {
    move |input| field(name, nom::number::complete::u64(input.order.into()))(input)
}

/// Takes `count` octets as they are.
pub fn octets<'a>(
    name: &'static str,
    count: usize,
) -> impl FnMut(Input<'a>) -> Parsed<'a, &'a [u8]> {
    move |input| {
        let (rest, taken) = field(name, nom::bytes::complete::take(count))(input)?;
        Ok((rest, taken.octets))
    }
}

/// Reads a UUID: u32, u16, u16 in the input's byte order, then 8 octets.
///
/// # Source
/// C706 appendix A.
pub fn uuid<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, Uuid> {
    move |input| {
        let (rest, raw) = octets(name, 16)(input)?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(raw);
        let uuid = match input.order {
            ByteOrder::Little => Uuid::from_bytes_le(bytes),
            ByteOrder::Big => Uuid::from_bytes(bytes),
        };
        Ok((rest, uuid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_and_its_offset() {
        let input = Input::new(&[1, 2, 3], ByteOrder::Little);
        let (rest, first) = u16("first")(input).unwrap();
        assert_eq!(first, 0x0201);
        let error = DecodeError::from(u16("second")(rest).unwrap_err());
        assert_eq!(
            error.to_string(),
            "second at octet 2: cut short, 1 octets left"
        );
    }

    #[test]
    fn a_uuid_reads_the_same_in_both_byte_orders() {
        let big = [
            0xe1, 0xaf, 0x83, 0x08, 0x5d, 0x1f, 0x11, 0xc9, 0x91, 0xa4, 8, 0, 0x2b, 0x14, 0xa0,
            0xfa,
        ];
        let little = [
            8, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 8, 0, 0x2b, 0x14, 0xa0, 0xfa,
        ];
        let (_, one) = uuid("u")(Input::new(&big, ByteOrder::Big)).unwrap();
        let (_, two) = uuid("u")(Input::new(&little, ByteOrder::Little)).unwrap();
        assert_eq!(one, two);
    }
}
