//! Connection-oriented PDUs: the header, one body for each packet type, the
//! verifier.
//!
//! A decoded PDU borrows its octets. What is decoded encodes to the same octets
//! again, reserved fields and padding included; what is encoded decodes to the
//! same value, except that the encoder works out the lengths, the packet type
//! and the flag `OBJECT_UUID` from what it is given.
//!
//! Left out: framing beyond `Header::peek_frag_length`, reassembly, every rule
//! of behaviour, and what the connectionless protocol sends.

mod auth;
mod bind;
mod call;
mod header;
mod verification;

pub use auth::{AuthLevel, AuthType, AuthVerifier};
pub use bind::{
    Bind, BindAck, BindNak, Context, ContextAnswer, Contexts, ContextsBuf, Results, ResultsBuf,
    Syntaxes, bind_time_syntax,
};
pub use call::{Auth3, Fault, Request, Response};
pub use header::{Header, PacketType, PfcFlags};
pub use verification::{Command, CommandBody, Header2, VerificationTrailer};

use super::input::{self, DecodeError, DecodeFault, Input, Parsed};
use super::output::Output;
use nom::Parser;
use nom::bytes::complete::take;

/// One PDU.
///
/// Layout: header, body, padding, verifier.
///
/// # Source
/// C706 12.6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// The common header.
    pub header: Header,
    /// What the packet type asks for.
    pub body: Body<'a>,
    /// What stands between body and verifier, or the PDU's end where there is
    /// none. In a request or response the authentication padding, as long as
    /// the verifier says.
    pub pad: &'a [u8],
    /// The verifier.
    pub auth: Option<AuthVerifier<'a>>,
}

/// The body of a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A call.
    Request(Request<'a>),
    /// The answer to a call.
    Response(Response<'a>),
    /// The answer to a call that failed.
    Fault(Fault<'a>),
    /// Opens an association.
    Bind(Bind<'a>),
    /// Asks for more presentation contexts.
    AlterContext(Bind<'a>),
    /// Accepts a bind.
    BindAck(BindAck<'a>),
    /// Answers an alter_context.
    AlterContextResp(BindAck<'a>),
    /// Refuses a bind.
    BindNak(BindNak<'a>),
    /// The third leg of an authentication.
    Auth3(Auth3),
    /// The server asks to close; no body.
    Shutdown,
    /// The client cancels a call; no body.
    CoCancel,
    /// The client abandons a call; no body.
    Orphaned,
    /// Any other packet type, as it stands between header and verifier.
    Other(&'a [u8]),
}

impl<'a> Pdu<'a> {
    /// A PDU without padding and verifier.
    pub fn new(header: Header, body: Body<'a>) -> Pdu<'a> {
        Pdu {
            header,
            body,
            pad: &[],
            auth: None,
        }
    }

    /// Decodes exactly one PDU.
    ///
    /// Judges neither version nor data representation: only the order of
    /// integers is taken from the latter.
    ///
    /// # Errors
    /// `Mismatch` when `frag_length` is not the length of `octets`; `Limit` when
    /// verifier or padding have no room; `Truncated` when the body has none.
    pub fn decode(octets: &'a [u8]) -> Result<Pdu<'a>, DecodeError> {
        let header = Header::decode(octets)?;
        if usize::from(header.frag_length) != octets.len() {
            return Err(wrong_length(&header, octets));
        }
        let whole = Input::new(octets, header.drep.order());
        let (front, auth) = split_verifier(&header, whole)?;
        let (i, _) = input::octets("header", Header::LEN)(front)?;
        let (i, padding) = split_padding(&header, auth.as_ref(), i)?;
        let (rest, body) = Body::decode(&header, i)?;
        // Bodies that come with padding leave no rest.
        let pad = match rest.left() {
            0 => padding,
            _ => rest.octets(),
        };
        Ok(Pdu {
            header,
            body,
            pad,
            auth,
        })
    }

    /// Appends the PDU, its integers in the order of the header's data
    /// representation.
    ///
    /// `frag_length` and `auth_length` are worked out, the packet type and the
    /// flag `OBJECT_UUID` follow the body. The rest is written as it stands:
    /// whoever adds a verifier aligns it by `pad`. A PDU holds 65535 octets, so
    /// whoever has more to send cuts it first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut out = Output::new(out, self.header.drep.order());
        self.body.header(self.header).encode(&mut out);
        self.body.encode(&mut out);
        out.octets(self.pad);
        if let Some(auth) = &self.auth {
            auth.encode(&mut out);
        }
        let auth_length = self.auth.map_or(0, |auth| auth.value.len());
        out.patch_u16(FRAG_LENGTH, length_u16(out.written()));
        out.patch_u16(AUTH_LENGTH, length_u16(auth_length));
    }
}

/// Where `frag_length` stands in a PDU.
const FRAG_LENGTH: usize = 8;

/// Where `auth_length` stands in a PDU.
const AUTH_LENGTH: usize = 10;

/// A length as the header holds it.
fn length_u16(length: usize) -> u16 {
    debug_assert!(length <= usize::from(u16::MAX), "PDU of {length} octets");
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// The failure of a PDU that is not as long as it says.
fn wrong_length(header: &Header, octets: &[u8]) -> DecodeError {
    DecodeError {
        offset: FRAG_LENGTH,
        field: "frag_length",
        fault: DecodeFault::Mismatch {
            stated: u64::from(header.frag_length),
            found: octets.len() as u64,
        },
    }
}

/// Splits a whole PDU into what stands before the verifier and the verifier.
///
/// # Errors
/// `Limit` when the verifier would not fit behind the header.
fn split_verifier<'a>(
    header: &Header,
    whole: Input<'a>,
) -> Result<(Input<'a>, Option<AuthVerifier<'a>>), DecodeError> {
    match AuthVerifier::offset(header)? {
        None => Ok((whole, None)),
        Some(offset) => {
            let (verifier, front) = take(offset)(whole)?;
            Ok((front, Some(AuthVerifier::decode(verifier)?)))
        }
    }
}

/// Splits the authentication padding from the end of a request or response;
/// other PDUs have none.
///
/// # Errors
/// `Limit` when the verifier tells of more padding than there are octets.
fn split_padding<'a>(
    header: &Header,
    auth: Option<&AuthVerifier>,
    i: Input<'a>,
) -> Result<(Input<'a>, &'a [u8]), DecodeError> {
    let length = match (header.ptype, auth) {
        (PacketType::REQUEST | PacketType::RESPONSE, Some(auth)) => usize::from(auth.pad_length),
        _ => 0,
    };
    let Some(kept) = i.left().checked_sub(length) else {
        let [count, limit] = [length as u64, i.left() as u64];
        return Err(i.fault("auth_pad_length", DecodeFault::Limit { count, limit }));
    };
    let (padding, kept) = take(kept)(i)?;
    Ok((kept, padding.octets()))
}

impl<'a> Body<'a> {
    /// Decodes the body that the packet type asks for; leaves what follows it.
    fn decode(header: &Header, i: Input<'a>) -> Parsed<'a, Body<'a>> {
        match header.ptype {
            PacketType::REQUEST => (|i| Request::decode(header.flags, i))
                .map(Body::Request)
                .parse(i),
            PacketType::RESPONSE => Response::decode.map(Body::Response).parse(i),
            PacketType::FAULT => Fault::decode.map(Body::Fault).parse(i),
            PacketType::BIND => Bind::decode.map(Body::Bind).parse(i),
            PacketType::ALTER_CONTEXT => Bind::decode.map(Body::AlterContext).parse(i),
            PacketType::BIND_ACK => BindAck::decode.map(Body::BindAck).parse(i),
            PacketType::ALTER_CONTEXT_RESP => BindAck::decode.map(Body::AlterContextResp).parse(i),
            PacketType::BIND_NAK => BindNak::decode.map(Body::BindNak).parse(i),
            PacketType::AUTH3 => Auth3::decode.map(Body::Auth3).parse(i),
            PacketType::SHUTDOWN => Ok((i, Body::Shutdown)),
            PacketType::CO_CANCEL => Ok((i, Body::CoCancel)),
            PacketType::ORPHANED => Ok((i, Body::Orphaned)),
            _ => input::octets("body", i.left()).map(Body::Other).parse(i),
        }
    }

    /// Appends the body; `out` begins at the PDU's head.
    fn encode(&self, out: &mut Output) {
        match self {
            Body::Request(body) => body.encode(out),
            Body::Response(body) => body.encode(out),
            Body::Fault(body) => body.encode(out),
            Body::Bind(body) | Body::AlterContext(body) => body.encode(out),
            Body::BindAck(body) | Body::AlterContextResp(body) => body.encode(out),
            Body::BindNak(body) => body.encode(out),
            Body::Auth3(body) => out.octets(&body.pad),
            Body::Shutdown | Body::CoCancel | Body::Orphaned => (),
            Body::Other(octets) => out.octets(octets),
        }
    }

    /// `header`, made to agree with this body.
    fn header(&self, header: Header) -> Header {
        let flags = match self {
            Body::Request(Request {
                object: Some(_), ..
            }) => header.flags.with(PfcFlags::OBJECT_UUID),
            Body::Request(_) => header.flags.without(PfcFlags::OBJECT_UUID),
            _ => header.flags,
        };
        Header {
            ptype: self.packet_type().unwrap_or(header.ptype),
            flags,
            ..header
        }
    }

    /// The packet type that this is the body of; `None` for `Other`.
    pub fn packet_type(&self) -> Option<PacketType> {
        Some(match self {
            Body::Request(_) => PacketType::REQUEST,
            Body::Response(_) => PacketType::RESPONSE,
            Body::Fault(_) => PacketType::FAULT,
            Body::Bind(_) => PacketType::BIND,
            Body::AlterContext(_) => PacketType::ALTER_CONTEXT,
            Body::BindAck(_) => PacketType::BIND_ACK,
            Body::AlterContextResp(_) => PacketType::ALTER_CONTEXT_RESP,
            Body::BindNak(_) => PacketType::BIND_NAK,
            Body::Auth3(_) => PacketType::AUTH3,
            Body::Shutdown => PacketType::SHUTDOWN,
            Body::CoCancel => PacketType::CO_CANCEL,
            Body::Orphaned => PacketType::ORPHANED,
            Body::Other(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::{ContextResult, ProviderReason, RejectReason};
    use crate::wire::{ByteOrder, DataRepresentation, FaultStatus, SyntaxId};

    /// Octets of hexadecimal digits; spaces are left out.
    fn hex(lines: &[&str]) -> Vec<u8> {
        let digits: Vec<u8> = lines.concat().bytes().filter(|c| *c != b' ').collect();
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|pair| octet(pair).unwrap()).collect()
    }

    /// What `pdu` encodes to.
    fn encoded(pdu: &Pdu) -> Vec<u8> {
        let mut octets = vec![0xff]; // a PDU is appended, not put at the head
        pdu.encode(&mut octets);
        octets.split_off(1)
    }

    /// A bind with three contexts: NDR, NDR64, features.
    fn bind() -> Vec<u8> {
        hex(&[
            "05000b03 10000000",  // version, bind, whole, little-endian
            "a000 0000 01000000", // 160 octets, no verifier, call 1
            "d016 d016 00000000", // 5840 both ways, a new group
            "03 000000",          // three contexts
            "0000 01 00",         // context 0, one transfer syntax
            "0883afe11f5dc91191a408002b14a0fa 03000000", // endpoint mapper 3.0
            "045d888aeb1cc9119fe808002b104860 02000000", // NDR 2.0
            "0100 01 00",         // context 1
            "0883afe11f5dc91191a408002b14a0fa 03000000",
            "33057171babe37498319b5dbef9ccc36 01000000", // NDR64
            "0200 01 00",                                // context 2
            "0883afe11f5dc91191a408002b14a0fa 03000000",
            "2c1cb76c129840450300000000000000 01000000", // features, mask 3
        ])
    }

    #[test]
    fn a_bind_with_three_contexts() {
        let octets = bind();
        let pdu = Pdu::decode(&octets).unwrap();
        let Body::Bind(bind) = pdu.body else {
            panic!("{pdu:?}");
        };
        assert_eq!((bind.max_xmit_frag, bind.assoc_group_id), (5840, 0));
        let offered: Vec<_> = bind
            .contexts
            .iter()
            .map(|c| c.transfer_syntaxes.iter().next())
            .collect();
        let wanted = [SyntaxId::NDR, SyntaxId::NDR64, bind_time_syntax(3)];
        assert_eq!(offered, wanted.map(Some));
        assert!(
            bind.contexts
                .iter()
                .all(|c| c.abstract_syntax == SyntaxId::EPT)
        );
        let features: Vec<_> = bind
            .contexts
            .iter()
            .map(|c| c.bind_time_features())
            .collect();
        assert_eq!(features, [None, None, Some(3)]);
        assert_eq!(encoded(&pdu), octets);
    }

    #[test]
    fn a_bind_ack_with_three_results() {
        let octets = hex(&[
            "05000c03 10000000",  // version, bind_ack, whole, little-endian
            "6c00 0000 01000000", // 108 octets, no verifier, call 1
            "d016 d016 45230100", // 5840 both ways, group 0x12345
            "0400 31333500 0000", // secondary address 135, padded
            "03 000000",          // three results
            "0000 0000",          // accepted
            "045d888aeb1cc9119fe808002b104860 02000000", // NDR
            "0200 0200",          // rejected: transfer syntaxes
            "00000000000000000000000000000000 00000000",
            "0300 0300", // features 3
            "00000000000000000000000000000000 00000000",
        ]);
        let pdu = Pdu::decode(&octets).unwrap();
        let Body::BindAck(ack) = pdu.body else {
            panic!("{pdu:?}");
        };
        assert_eq!(ack.secondary_address, b"135\0");
        let results: Vec<_> = ack.results.iter().map(|r| (r.result, r.reason)).collect();
        let rejected = ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED;
        let wanted = [
            (ContextResult::ACCEPTANCE, ProviderReason::NOT_SPECIFIED),
            (ContextResult::PROVIDER_REJECTION, rejected),
            (ContextResult::NEGOTIATE_ACK, ProviderReason(3)),
        ];
        assert_eq!(results, wanted);
        assert_eq!(encoded(&pdu), octets);
    }

    #[test]
    fn a_big_endian_bind_made_of_values() {
        let mut contexts = ContextsBuf::new(ByteOrder::Big);
        contexts.push(0, SyntaxId::EPT, &[SyntaxId::NDR]);
        let bind = Bind {
            max_xmit_frag: 5840,
            max_recv_frag: 5840,
            assoc_group_id: 0,
            contexts: contexts.as_contexts(),
        };
        let drep = DataRepresentation::BIG;
        let header = Header::new(PacketType::BIND, PfcFlags::WHOLE, drep, 1);
        let octets = encoded(&Pdu::new(header, Body::Bind(bind)));
        let wanted = hex(&[
            "05000b03 00000000",                         // version, bind, whole, big-endian
            "0048 0000 00000001",                        // 72 octets, no verifier, call 1
            "16d0 16d0 00000000",                        // 5840 both ways, a new group
            "01 000000",                                 // one context
            "0000 01 00",                                // context 0, one transfer syntax
            "e1af83085d1f11c991a408002b14a0fa 00000003", // endpoint mapper 3.0
            "8a885d041ceb11c99fe808002b104860 00000002", // NDR 2.0
        ]);
        assert_eq!(octets, wanted);
        assert_eq!(Pdu::decode(&octets).unwrap().body, Body::Bind(bind));
    }

    #[test]
    fn a_bind_nak_as_windows_sends_it() {
        let drep = DataRepresentation::LITTLE;
        let header = Header::new(PacketType::BIND_NAK, PfcFlags::WHOLE, drep, 1);
        let nak = BindNak::new(RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED);
        let octets = encoded(&Pdu::new(header, Body::BindNak(nak)));
        let wanted = hex(&[
            "05000d03 10000000",  // version, bind_nak, whole, little-endian
            "1800 0000 01000000", // 24 octets, no verifier, call 1
            "0400 01 0500",       // reason 4, one version: 5.0
            "000000",             // padding
        ]);
        assert_eq!(octets, wanted);
        assert_eq!(Pdu::decode(&octets).unwrap().body, Body::BindNak(nak));
    }

    #[test]
    fn a_fault_that_says_the_call_was_not_executed() {
        let octets = hex(&[
            "05000323 10000000",   // version, fault, whole and not executed, little-endian
            "2000 0000 02000000",  // 32 octets, no verifier, call 2
            "20000000 0000 00 00", // alloc_hint, context, cancel_count, flags
            "0200011c 00000000",   // operation out of range, reserved
        ]);
        let pdu = Pdu::decode(&octets).unwrap();
        assert_eq!(
            pdu.body,
            Body::Fault(Fault::new(0, FaultStatus::OP_RNG_ERROR))
        );
        assert!(pdu.header.flags.contains(PfcFlags::DID_NOT_EXECUTE));
        assert_eq!(encoded(&pdu), octets);
    }

    /// A signed request: 5 octets of stub, 3 of padding, a verifier of 2.
    fn signed_request() -> Vec<u8> {
        hex(&[
            "05000003 10000000",    // version, request, whole, little-endian
            "2a00 0200 07000000",   // 42 octets, 2 of them the value, call 7
            "05000000 0000 0300",   // alloc_hint, context 0, opnum 3
            "0102030405",           // stub
            "aabbcc",               // padding
            "0a 05 03 00 01000000", // NTLM, integrity, 3 octets of padding, context 1
            "eeff",                 // value
        ])
    }

    #[test]
    fn padding_belongs_to_the_verifier_not_to_the_stub() {
        let octets = signed_request();
        let pdu = Pdu::decode(&octets).unwrap();
        let Body::Request(request) = pdu.body else {
            panic!("{pdu:?}");
        };
        assert_eq!(
            (request.stub, pdu.pad),
            (&[1, 2, 3, 4, 5][..], &[0xaa, 0xbb, 0xcc][..])
        );
        assert_eq!(pdu.auth.unwrap().value, [0xee, 0xff]);
        assert_eq!(encoded(&pdu), octets);
    }

    #[test]
    fn padding_never_reaches_into_the_fixed_part() {
        let mut octets = signed_request();
        for (pad_length, field) in [(9, "opnum"), (16, "alloc_hint"), (17, "auth_pad_length")] {
            octets[34] = pad_length;
            assert_eq!(Pdu::decode(&octets).unwrap_err().field, field);
        }
        octets[34] = 8; // the whole stub is padding
        let pdu = Pdu::decode(&octets).unwrap();
        assert_eq!((pdu.pad.len(), encoded(&pdu)), (8, octets.clone()));
    }

    #[test]
    fn a_verifier_never_reaches_into_the_fixed_part() {
        let mut octets = signed_request();
        for (auth_length, field) in [(11, "opnum"), (18, "alloc_hint"), (19, "auth_length")] {
            octets[10] = auth_length;
            octets[25] = 0; // the first of these verifiers tells of no padding
            assert_eq!(Pdu::decode(&octets).unwrap_err().field, field);
        }
    }

    #[test]
    fn what_follows_a_body_is_kept() {
        let mut octets = bind();
        octets.extend([1, 2, 3]);
        octets[8] += 3; // frag_length
        let pdu = Pdu::decode(&octets).unwrap();
        assert_eq!((pdu.pad, encoded(&pdu)), (&[1, 2, 3][..], octets.clone()));
    }

    #[test]
    fn frag_length_has_to_be_the_length() {
        let octets = bind();
        for wrong in [&octets[..159], &[octets.as_slice(), &[0]].concat()] {
            assert_eq!(Pdu::decode(wrong).unwrap_err().field, "frag_length");
        }
    }

    #[test]
    fn the_encoder_sets_type_and_object_flag_by_the_body() {
        let request = Request {
            alloc_hint: 0,
            context_id: 0,
            opnum: 0,
            object: Some(uuid::Uuid::from_u128(1)),
            stub: &[],
        };
        let drep = DataRepresentation::LITTLE;
        let header = Header::new(PacketType::BIND, PfcFlags::WHOLE, drep, 1);
        let octets = encoded(&Pdu::new(header, Body::Request(request)));
        let pdu = Pdu::decode(&octets).unwrap();
        assert_eq!(pdu.body, Body::Request(request));
        assert_eq!(pdu.header.ptype, PacketType::REQUEST);
    }

    #[test]
    fn an_unknown_packet_type_is_kept_octet_for_octet() {
        let octets = hex(&[
            "05006303 10000000",  // version, packet type 99, whole, little-endian
            "1300 0000 01000000", // 19 octets, no verifier, call 1
            "010203",
        ]);
        let pdu = Pdu::decode(&octets).unwrap();
        assert_eq!(pdu.body, Body::Other(&[1, 2, 3]));
        assert_eq!(encoded(&pdu), octets);
    }
}
