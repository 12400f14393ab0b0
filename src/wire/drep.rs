//! The data representation label: how a sender writes integers, characters
//! and floating point numbers.

/// Byte order of integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant octet first.
    #[default]
    Little,
    /// Most significant octet first.
    Big,
}

impl From<ByteOrder> for nom::number::Endianness {
    fn from(order: ByteOrder) -> Self {
        match order {
            ByteOrder::Little => nom::number::Endianness::Little,
            ByteOrder::Big => nom::number::Endianness::Big,
        }
    }
}

/// The label's four octets, as on the wire.
///
/// Octet 0: high nibble 1 little-endian, 0 big-endian; low nibble 0 ASCII,
/// 1 EBCDIC. Octet 1: floating point. Octets 2 and 3: zero.
///
/// # Source
/// C706 14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataRepresentation(pub [u8; 4]);

impl DataRepresentation {
    /// Little-endian, ASCII, IEEE.
    pub const LITTLE: Self = DataRepresentation([0x10, 0, 0, 0]);
    /// Big-endian, ASCII, IEEE.
    pub const BIG: Self = DataRepresentation([0, 0, 0, 0]);

    /// The byte order of integers.
    pub fn order(self) -> ByteOrder {
        if self.0[0] >> 4 == 1 {
            ByteOrder::Little
        } else {
            ByteOrder::Big
        }
    }

    /// Whether a server of this package reads it: ASCII, IEEE, rest zero.
    pub fn is_supported(self) -> bool {
        self == Self::LITTLE || self == Self::BIG
    }
}

impl From<ByteOrder> for DataRepresentation {
    fn from(order: ByteOrder) -> Self {
        match order {
            ByteOrder::Little => Self::LITTLE,
            ByteOrder::Big => Self::BIG,
        }
    }
}
