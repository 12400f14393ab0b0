//! The common header of every connection-oriented PDU, its packet types and
//! flags.
//!
//! Reading it judges nothing: whether a version, a type or a data
//! representation is taken is the association's question.

use crate::wire::{ByteOrder, DataRepresentation, DecodeError, DecodeFault, Output};
use std::fmt;
use std::ops::BitOr;

/// What a PDU is: `PTYPE`.
///
/// # Source
/// C706 12.1; MS-RPCE 2.2.2.10 for 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketType(pub u8);

impl PacketType {
    /// A call, or a fragment of one.
    pub const REQUEST: Self = PacketType(0);
    /// The answer to a call, or a fragment of one.
    pub const RESPONSE: Self = PacketType(2);
    /// The answer to a call that failed.
    pub const FAULT: Self = PacketType(3);
    /// Opens an association.
    pub const BIND: Self = PacketType(11);
    /// Accepts a bind.
    pub const BIND_ACK: Self = PacketType(12);
    /// Refuses a bind.
    pub const BIND_NAK: Self = PacketType(13);
    /// Asks for more presentation contexts, or goes on with authentication.
    pub const ALTER_CONTEXT: Self = PacketType(14);
    /// Answers `ALTER_CONTEXT`.
    pub const ALTER_CONTEXT_RESP: Self = PacketType(15);
    /// The third leg of an authentication; MS-RPCE's `rpc_auth_3`.
    pub const AUTH3: Self = PacketType(16);
    /// A server asks its client to close.
    pub const SHUTDOWN: Self = PacketType(17);
    /// A client cancels a call.
    pub const CO_CANCEL: Self = PacketType(18);
    /// A client abandons a call.
    pub const ORPHANED: Self = PacketType(19);
    /// Control traffic of RPC over HTTP.
    pub const RTS: Self = PacketType(20);

    /// The standard's name, if the type is one of a connection.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::REQUEST => "request",
            Self::RESPONSE => "response",
            Self::FAULT => "fault",
            Self::BIND => "bind",
            Self::BIND_ACK => "bind_ack",
            Self::BIND_NAK => "bind_nak",
            Self::ALTER_CONTEXT => "alter_context",
            Self::ALTER_CONTEXT_RESP => "alter_context_resp",
            Self::AUTH3 => "auth3",
            Self::SHUTDOWN => "shutdown",
            Self::CO_CANCEL => "co_cancel",
            Self::ORPHANED => "orphaned",
            Self::RTS => "rts",
            _ => return None,
        })
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "packet type {}", self.0),
        }
    }
}

/// The flags of a PDU: `pfc_flags`.
///
/// # Source
/// C706 12.6.3.1; MS-RPCE 2.2.2.3 for `SUPPORT_HEADER_SIGN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PfcFlags(pub u8);

impl PfcFlags {
    /// The first fragment of a call.
    pub const FIRST_FRAG: Self = PfcFlags(0x01);
    /// The last fragment of a call.
    pub const LAST_FRAG: Self = PfcFlags(0x02);
    /// First and last: the PDU is not fragmented.
    pub const WHOLE: Self = PfcFlags(0x03);
    /// A cancel came before the call was sent; requests and answers.
    pub const PENDING_CANCEL: Self = PfcFlags(0x04);
    /// The sender can sign headers; the same bit as `PENDING_CANCEL`, in
    /// packet types 11, 12, 14, 15 and 16.
    pub const SUPPORT_HEADER_SIGN: Self = PfcFlags(0x04);
    /// Several calls may be open on one connection.
    pub const CONC_MPX: Self = PfcFlags(0x10);
    /// The call was not executed; faults only.
    pub const DID_NOT_EXECUTE: Self = PfcFlags(0x20);
    /// No answer is wanted.
    pub const MAYBE: Self = PfcFlags(0x40);
    /// An object UUID stands before the stub; requests only.
    pub const OBJECT_UUID: Self = PfcFlags(0x80);

    /// Whether every flag of `flags` is set.
    pub const fn contains(self, flags: PfcFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags and those of `flags`.
    pub const fn with(self, flags: PfcFlags) -> Self {
        PfcFlags(self.0 | flags.0)
    }

    /// These flags except those of `flags`.
    pub const fn without(self, flags: PfcFlags) -> Self {
        PfcFlags(self.0 & !flags.0)
    }
}

impl BitOr for PfcFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// The first 16 octets of every PDU.
///
/// Layout: rpc_vers u8, rpc_vers_minor u8, PTYPE u8, pfc_flags u8, packed_drep
/// 4 octets, frag_length u16, auth_length u16, call_id u32; the integers in the
/// byte order that packed_drep tells.
///
/// # Source
/// C706 12.6.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `rpc_vers`, 5.
    pub version_major: u8,
    /// `rpc_vers_minor`, 0 or 1.
    pub version_minor: u8,
    /// What the PDU is.
    pub ptype: PacketType,
    /// Its flags.
    pub flags: PfcFlags,
    /// How it writes integers.
    pub drep: DataRepresentation,
    /// Octets of the whole PDU. The encoder computes it.
    pub frag_length: u16,
    /// Octets of the verifier's value, its 8 octets of header left out; 0 when
    /// there is no verifier. The encoder computes it.
    pub auth_length: u16,
    /// Which call this belongs to; answers repeat it.
    pub call_id: u32,
}

impl Header {
    /// The length on the wire, in octets.
    pub const LEN: usize = 16;

    /// A header of version 5.0 whose lengths are left to the encoder.
    pub const fn new(
        ptype: PacketType,
        flags: PfcFlags,
        drep: DataRepresentation,
        call_id: u32,
    ) -> Header {
        Header {
            version_major: 5,
            version_minor: 0,
            ptype,
            flags,
            drep,
            frag_length: 0,
            auth_length: 0,
            call_id,
        }
    }

    /// Reads a header from the first 16 octets, without judging it.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn decode(octets: &[u8]) -> Result<Header, DecodeError> {
        let Some(&octets) = octets.first_chunk::<{ Self::LEN }>() else {
            return Err(truncated(octets));
        };
        let [
            version_major,
            version_minor,
            ptype,
            flags,
            d0,
            d1,
            d2,
            d3,
            f0,
            f1,
            a0,
            a1,
            call_id @ ..,
        ] = octets;
        let drep = DataRepresentation([d0, d1, d2, d3]);
        Ok(Header {
            version_major,
            version_minor,
            ptype: PacketType(ptype),
            flags: PfcFlags(flags),
            drep,
            frag_length: read_u16(drep, [f0, f1]),
            auth_length: read_u16(drep, [a0, a1]),
            call_id: match drep.order() {
                ByteOrder::Little => u32::from_le_bytes(call_id),
                ByteOrder::Big => u32::from_be_bytes(call_id),
            },
        })
    }

    /// The length of the whole PDU, as soon as enough of it is there to tell:
    /// `None` when fewer than 10 octets are.
    pub fn peek_frag_length(octets: &[u8]) -> Option<u16> {
        let &[_, _, _, _, d0, d1, d2, d3, f0, f1] = octets.first_chunk::<10>()?;
        Some(read_u16(DataRepresentation([d0, d1, d2, d3]), [f0, f1]))
    }

    /// Writes the header as it stands, 16 octets.
    pub(super) fn encode(&self, out: &mut Output) {
        let DataRepresentation([d0, d1, d2, d3]) = self.drep;
        let [version, minor] = [self.version_major, self.version_minor];
        out.octets(&[version, minor, self.ptype.0, self.flags.0, d0, d1, d2, d3]);
        out.u16(self.frag_length);
        out.u16(self.auth_length);
        out.u32(self.call_id);
    }
}

/// Reads a u16 in the byte order of `drep`.
fn read_u16(drep: DataRepresentation, octets: [u8; 2]) -> u16 {
    match drep.order() {
        ByteOrder::Little => u16::from_le_bytes(octets),
        ByteOrder::Big => u16::from_be_bytes(octets),
    }
}

/// The failure of a header that is cut short.
fn truncated(octets: &[u8]) -> DecodeError {
    let left = octets.len();
    DecodeError {
        offset: left,
        field: "header",
        fault: DecodeFault::Truncated { left },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a big-endian bind of 72 octets.
    const BIG: [u8; 16] = [
        5, 0,  // version
        11, // bind
        3,  // first and last fragment
        0, 0, 0, 0, // big-endian, ASCII, IEEE
        0, 72, // frag_length
        0, 0, // auth_length
        0, 0, 0, 1, // call_id
    ];

    #[test]
    fn a_header_is_read_in_its_own_byte_order() {
        let header = Header::decode(&BIG).unwrap();
        assert_eq!(header.ptype, PacketType::BIND);
        assert_eq!(header.flags, PfcFlags::WHOLE);
        assert_eq!((header.frag_length, header.call_id), (72, 1));
    }

    #[test]
    fn a_header_of_any_version_and_label_is_read_and_written_back() {
        let octets = [4, 7, 99, 0xff, 0xe1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8];
        let header = Header::decode(&octets).unwrap();
        let mut again = Vec::new();
        header.encode(&mut Output::new(&mut again, header.drep.order()));
        assert_eq!(again, octets);
    }

    #[test]
    fn fifteen_octets_are_no_header() {
        let error = Header::decode(&BIG[..15]).unwrap_err();
        assert_eq!(error.fault, DecodeFault::Truncated { left: 15 });
    }

    #[test]
    fn framing_needs_ten_octets() {
        assert_eq!(Header::peek_frag_length(&BIG[..9]), None);
        assert_eq!(Header::peek_frag_length(&BIG[..10]), Some(72));
    }

    #[test]
    fn flags_are_added_and_taken_away() {
        let flags = PfcFlags::FIRST_FRAG | PfcFlags::MAYBE;
        assert!(flags.contains(PfcFlags::MAYBE) && !flags.contains(PfcFlags::WHOLE));
        assert_eq!(flags.without(PfcFlags::MAYBE), PfcFlags::FIRST_FRAG);
    }

    #[test]
    fn an_unknown_packet_type_shows_its_number() {
        assert_eq!(PacketType(21).to_string(), "packet type 21");
        assert_eq!(PacketType::AUTH3.to_string(), "auth3");
    }
}
