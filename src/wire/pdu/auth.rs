//! The authentication verifier that may end a PDU: parsed and carried, never
//! judged here.

use super::header::Header;
use crate::wire::input::{self, Input};
use crate::wire::{DecodeError, DecodeFault, Output};
use std::fmt;

/// Which security provider made a verifier: `auth_type`.
///
/// # Source
/// C706 13.2.6.1; MS-RPCE 2.2.1.1.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthType(pub u8);

impl AuthType {
    /// No authentication.
    pub const NONE: Self = AuthType(0);
    /// Kerberos as OSF DCE had it.
    pub const DCE: Self = AuthType(1);
    /// SPNEGO, `RPC_C_AUTHN_GSS_NEGOTIATE`.
    pub const SPNEGO: Self = AuthType(9);
    /// NTLM, `RPC_C_AUTHN_WINNT`.
    pub const NTLM: Self = AuthType(10);
    /// TLS, `RPC_C_AUTHN_GSS_SCHANNEL`.
    pub const SCHANNEL: Self = AuthType(14);
    /// Kerberos, `RPC_C_AUTHN_GSS_KERBEROS`.
    pub const KERBEROS: Self = AuthType(16);
    /// The secure channel of netlogon.
    pub const NETLOGON: Self = AuthType(68);
    /// The system's default, `RPC_C_AUTHN_DEFAULT`.
    pub const DEFAULT: Self = AuthType(0xff);

    /// The usual name, if the type has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NONE => "none",
            Self::DCE => "dce",
            Self::SPNEGO => "spnego",
            Self::NTLM => "ntlm",
            Self::SCHANNEL => "schannel",
            Self::KERBEROS => "kerberos",
            Self::NETLOGON => "netlogon",
            Self::DEFAULT => "default",
            _ => return None,
        })
    }
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "auth type {}", self.0),
        }
    }
}

/// How much a verifier protects: `auth_level`.
///
/// # Source
/// C706 13.1.2.1; MS-RPCE 2.2.1.1.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthLevel(pub u8);

impl AuthLevel {
    /// What the provider thinks right.
    pub const DEFAULT: Self = AuthLevel(0);
    /// Nothing.
    pub const NONE: Self = AuthLevel(1);
    /// Who the caller is, once.
    pub const CONNECT: Self = AuthLevel(2);
    /// Who the caller is, for each call.
    pub const CALL: Self = AuthLevel(3);
    /// Who the caller is, for each packet.
    pub const PACKET: Self = AuthLevel(4);
    /// Each packet is signed.
    pub const INTEGRITY: Self = AuthLevel(5);
    /// Each packet is signed and its stub sealed.
    pub const PRIVACY: Self = AuthLevel(6);

    /// The standard's name, if the level has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DEFAULT => "default",
            Self::NONE => "none",
            Self::CONNECT => "connect",
            Self::CALL => "call",
            Self::PACKET => "packet",
            Self::INTEGRITY => "integrity",
            Self::PRIVACY => "privacy",
            _ => return None,
        })
    }
}

impl fmt::Display for AuthLevel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "auth level {}", self.0),
        }
    }
}

/// The verifier at a PDU's end: `auth_verifier_co_t`, MS-RPCE's `sec_trailer`
/// and what follows it.
///
/// Layout: auth_type u8, auth_level u8, auth_pad_length u8, auth_reserved u8,
/// auth_context_id u32, then `auth_length` octets. Always the last octets of
/// the PDU; a receiver may insist on an offset that is a multiple of 4, a
/// sender has to give one.
///
/// # Source
/// C706 13.2.6.1, MS-RPCE 2.2.2.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthVerifier<'a> {
    /// Who made it.
    pub auth_type: AuthType,
    /// What it protects.
    pub auth_level: AuthLevel,
    /// Octets of padding between stub and verifier. In requests and responses
    /// they are the PDU's `pad`; other packet types have none that it tells of.
    pub pad_length: u8,
    /// Sent as 0, ignored.
    pub reserved: u8,
    /// Which security context of the connection.
    pub context_id: u32,
    /// What the provider wrote; never empty, for a length of 0 says that there
    /// is no verifier.
    pub value: &'a [u8],
}

impl<'a> AuthVerifier<'a> {
    /// The octets in front of the value.
    pub const HEAD: usize = 8;

    /// Where the verifier of a PDU with this header starts; `None` when it has
    /// none. Judges no alignment.
    ///
    /// # Errors
    /// `Limit` when the verifier would not fit behind the header.
    pub fn offset(header: &Header) -> Result<Option<usize>, DecodeError> {
        if header.auth_length == 0 {
            return Ok(None);
        }
        let room = usize::from(header.frag_length).saturating_sub(Header::LEN + Self::HEAD);
        let length = usize::from(header.auth_length);
        match room.checked_sub(length) {
            Some(body) => Ok(Some(Header::LEN + body)),
            None => Err(DecodeError {
                offset: 10,
                field: "auth_length",
                fault: DecodeFault::Limit {
                    count: length as u64,
                    limit: room as u64,
                },
            }),
        }
    }

    /// Decodes a verifier whose value runs to the end of `i`.
    ///
    /// # Errors
    /// `Truncated` when fewer than 8 octets are left.
    pub(super) fn decode(i: Input<'a>) -> Result<AuthVerifier<'a>, DecodeError> {
        let (i, auth_type) = input::u8("auth_type")(i)?;
        let (i, auth_level) = input::u8("auth_level")(i)?;
        let (i, pad_length) = input::u8("auth_pad_length")(i)?;
        let (i, reserved) = input::u8("auth_reserved")(i)?;
        let (i, context_id) = input::u32("auth_context_id")(i)?;
        Ok(AuthVerifier {
            auth_type: AuthType(auth_type),
            auth_level: AuthLevel(auth_level),
            pad_length,
            reserved,
            context_id,
            value: i.octets(),
        })
    }

    /// Appends the verifier.
    pub(super) fn encode(&self, out: &mut Output) {
        let [kind, level] = [self.auth_type.0, self.auth_level.0];
        out.octets(&[kind, level, self.pad_length, self.reserved]);
        out.u32(self.context_id);
        out.octets(self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pdu::{PacketType, PfcFlags};
    use crate::wire::{ByteOrder, DataRepresentation};

    /// A header of these lengths.
    fn header(frag_length: u16, auth_length: u16) -> Header {
        Header {
            frag_length,
            auth_length,
            ..Header::new(
                PacketType::REQUEST,
                PfcFlags::WHOLE,
                DataRepresentation::LITTLE,
                1,
            )
        }
    }

    #[test]
    fn a_verifier_starts_eight_octets_before_its_value() {
        assert_eq!(AuthVerifier::offset(&header(100, 16)), Ok(Some(76)));
        assert_eq!(AuthVerifier::offset(&header(100, 0)), Ok(None));
        assert_eq!(AuthVerifier::offset(&header(25, 1)), Ok(Some(16)));
    }

    #[test]
    fn a_verifier_without_room_is_refused() {
        for frag_length in [0, 16, 24, 39] {
            let error = AuthVerifier::offset(&header(frag_length, 16)).unwrap_err();
            assert_eq!(error.field, "auth_length");
        }
    }

    #[test]
    fn a_verifier_is_written_as_it_was_read() {
        let octets = [
            10, // auth_type: NTLM
            5,  // auth_level: integrity
            4,  // auth_pad_length
            7,  // auth_reserved
            1, 0, 0, 0, // auth_context_id
            0xaa, 0xbb, // value
        ];
        let verifier = AuthVerifier::decode(Input::new(&octets, ByteOrder::Little)).unwrap();
        assert_eq!(verifier.auth_type, AuthType::NTLM);
        assert_eq!(verifier.auth_level, AuthLevel::INTEGRITY);
        assert_eq!((verifier.pad_length, verifier.context_id), (4, 1));
        let mut again = Vec::new();
        verifier.encode(&mut Output::new(&mut again, ByteOrder::Little));
        assert_eq!(again, octets);
    }
}
