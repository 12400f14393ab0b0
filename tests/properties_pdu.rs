//! Laws of the PDUs: what is encoded decodes to the value, what decodes encodes
//! to the octets, and no octets make the decoder panic.

mod support;

use epmapper::wire::pdu::{
    Auth3, AuthLevel, AuthType, AuthVerifier, Bind, BindAck, BindNak, Body, ContextAnswer,
    ContextsBuf, Fault, Header, PacketType, Pdu, PfcFlags, Request, Response, ResultsBuf,
};
use epmapper::wire::status::{ContextResult, ProviderReason, RejectReason};
use epmapper::wire::{ByteOrder, DataRepresentation, FaultStatus, SyntaxId};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::OnceLock;
use support::capture;
use uuid::Uuid;

/// What stands around a body.
#[derive(Clone, Debug)]
struct Around {
    order: ByteOrder,
    version: [u8; 2],
    flags: u8,
    call_id: u32,
    pad: Vec<u8>,
    auth: Option<Auth>,
}

/// A verifier that owns its value.
type Auth = (u8, u8, u8, u8, u32, Vec<u8>);

impl Around {
    /// The PDU with `body`.
    fn pdu<'a>(&'a self, ptype: PacketType, body: Body<'a>) -> Pdu<'a> {
        let drep = DataRepresentation::from(self.order);
        let header = Header::new(ptype, PfcFlags(self.flags), drep, self.call_id);
        let [version_major, version_minor] = self.version;
        Pdu {
            header: Header {
                version_major,
                version_minor,
                ..header
            },
            pad: &self.pad,
            auth: self.auth.as_ref().map(verifier),
            ..Pdu::new(header, body)
        }
    }

    /// The same for a packet type that pads its stub: the verifier tells how
    /// much, and without one there is none.
    fn with_stub_padding(mut self) -> Self {
        match &mut self.auth {
            Some(auth) => auth.2 = self.pad.len() as u8,
            None => self.pad.clear(),
        }
        self
    }

    /// The same for a packet type that leaves nothing to the padding.
    fn without_pad(mut self) -> Self {
        self.pad.clear();
        self
    }
}

/// The verifier, borrowed.
fn verifier(auth: &Auth) -> AuthVerifier<'_> {
    let (auth_type, auth_level, pad_length, reserved, context_id, ref value) = *auth;
    AuthVerifier {
        auth_type: AuthType(auth_type),
        auth_level: AuthLevel(auth_level),
        pad_length,
        reserved,
        context_id,
        value,
    }
}

prop_compose! {
    fn around()(
        big in any::<bool>(),
        version: [u8; 2],
        flags: u8,
        call_id: u32,
        pad in vec(any::<u8>(), 0..20),
        auth: Option<(u8, u8, u8, u8, u32)>,
        value in vec(any::<u8>(), 1..40),
    ) -> Around {
        let order = if big { ByteOrder::Big } else { ByteOrder::Little };
        let auth = auth.map(|(kind, level, pad, reserved, id)| (kind, level, pad, reserved, id, value));
        Around { order, version, flags, call_id, pad, auth }
    }
}

prop_compose! {
    fn syntax()(uuid: u128, major: u16, minor: u16) -> SyntaxId {
        SyntaxId::new(Uuid::from_u128(uuid), major, minor)
    }
}

prop_compose! {
    fn answer()(result: u16, reason: u16, transfer_syntax in syntax()) -> ContextAnswer {
        ContextAnswer {
            result: ContextResult(result),
            reason: ProviderReason(reason),
            transfer_syntax,
        }
    }
}

/// Octets of a stub or the like.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..200)
}

/// Encodes `pdu` behind something else, decodes it and compares; the lengths
/// are the encoder's.
fn comes_back(pdu: &Pdu) -> Result<(), TestCaseError> {
    let mut octets = vec![0xff];
    pdu.encode(&mut octets);
    let octets = &octets[1..];
    prop_assert_eq!(
        Header::peek_frag_length(octets).map(usize::from),
        Some(octets.len())
    );
    let header = Header {
        frag_length: octets.len() as u16,
        auth_length: pdu.auth.map_or(0, |auth| auth.value.len() as u16),
        ..pdu.header
    };
    let wanted = Pdu { header, ..*pdu };
    prop_assert_eq!(Pdu::decode(octets), Ok(wanted));
    Ok(())
}

proptest! {
    #[test]
    fn a_request_comes_back(
        around in around(),
        alloc_hint: u32,
        context_id: u16,
        opnum: u16,
        object: Option<u128>,
        stub in octets(),
    ) {
        let mut around = around.with_stub_padding();
        around.flags = around.flags & 0x7f | u8::from(object.is_some()) << 7;
        let object = object.map(Uuid::from_u128);
        let request = Request { alloc_hint, context_id, opnum, object, stub: &stub };
        comes_back(&around.pdu(PacketType::REQUEST, Body::Request(request)))?;
    }

    #[test]
    fn a_response_comes_back(
        around in around(),
        alloc_hint: u32,
        context_id: u16,
        cancel_count: u8,
        reserved: u8,
        stub in octets(),
    ) {
        let around = around.with_stub_padding();
        let response = Response { alloc_hint, context_id, cancel_count, reserved, stub: &stub };
        comes_back(&around.pdu(PacketType::RESPONSE, Body::Response(response)))?;
    }

    #[test]
    fn a_fault_comes_back(
        around in around(),
        alloc_hint: u32,
        context_id: u16,
        [cancel_count, flags]: [u8; 2],
        [status, reserved]: [u32; 2],
        extended in octets(),
    ) {
        let around = around.without_pad();
        let fault = Fault {
            alloc_hint,
            context_id,
            cancel_count,
            flags,
            status: FaultStatus(status),
            reserved,
            extended: &extended,
        };
        comes_back(&around.pdu(PacketType::FAULT, Body::Fault(fault)))?;
    }

    #[test]
    fn a_bind_and_an_alter_context_come_back(
        around in around(),
        [max_xmit_frag, max_recv_frag]: [u16; 2],
        assoc_group_id: u32,
        asked in vec((any::<u16>(), syntax(), vec(syntax(), 0..4)), 0..6),
    ) {
        let mut contexts = ContextsBuf::new(around.order);
        for (id, interface, syntaxes) in &asked {
            prop_assert!(contexts.push(*id, *interface, syntaxes));
        }
        let contexts = contexts.as_contexts();
        let again: Vec<_> = contexts
            .iter()
            .map(|c| (c.id, c.abstract_syntax, c.transfer_syntaxes.iter().collect()))
            .collect();
        prop_assert_eq!((again, contexts.len()), (asked.clone(), asked.len()));
        let bind = Bind { max_xmit_frag, max_recv_frag, assoc_group_id, contexts };
        comes_back(&around.pdu(PacketType::BIND, Body::Bind(bind)))?;
        comes_back(&around.pdu(PacketType::ALTER_CONTEXT, Body::AlterContext(bind)))?;
    }

    #[test]
    fn a_bind_ack_and_an_alter_context_resp_come_back(
        around in around(),
        [max_xmit_frag, max_recv_frag]: [u16; 2],
        assoc_group_id: u32,
        secondary_address in vec(any::<u8>(), 0..20),
        secondary_pad: [u8; 3],
        answers in vec(answer(), 0..6),
    ) {
        let mut results = ResultsBuf::new(around.order);
        for answer in &answers {
            prop_assert!(results.push(*answer));
        }
        prop_assert_eq!(results.as_results().iter().collect::<Vec<_>>(), answers);
        // The address starts at octet 26, what fills up ends at a multiple of 4.
        let short = (2 + 4 - secondary_address.len() % 4) % 4;
        let ack = BindAck {
            max_xmit_frag,
            max_recv_frag,
            assoc_group_id,
            secondary_address: &secondary_address,
            secondary_pad: &secondary_pad[..short],
            results: results.as_results(),
        };
        comes_back(&around.pdu(PacketType::BIND_ACK, Body::BindAck(ack)))?;
        comes_back(&around.pdu(PacketType::ALTER_CONTEXT_RESP, Body::AlterContextResp(ack)))?;
    }

    #[test]
    fn a_bind_nak_comes_back(
        around in around(),
        reason: u16,
        versions in proptest::option::of(vec(any::<[u8; 2]>(), 0..4)),
        tail in vec(any::<u8>(), 0..20),
    ) {
        let around = around.without_pad();
        let reason = RejectReason(reason);
        let tail = if versions.is_some() { &tail } else { &[][..] };
        let nak = BindNak { reason, versions: versions.as_deref(), tail };
        comes_back(&around.pdu(PacketType::BIND_NAK, Body::BindNak(nak)))?;
    }

    #[test]
    fn what_has_hardly_a_body_comes_back(around in around(), pad: [u8; 4]) {
        comes_back(&around.pdu(PacketType::AUTH3, Body::Auth3(Auth3 { pad })))?;
        comes_back(&around.pdu(PacketType::SHUTDOWN, Body::Shutdown))?;
        comes_back(&around.pdu(PacketType::CO_CANCEL, Body::CoCancel))?;
        comes_back(&around.pdu(PacketType::ORPHANED, Body::Orphaned))?;
    }

    #[test]
    fn an_unknown_packet_type_comes_back(around in around(), ptype in 19_u8.., body in octets()) {
        let around = around.without_pad();
        let ptype = if ptype == 19 { PacketType(1) } else { PacketType(ptype) };
        comes_back(&around.pdu(ptype, Body::Other(&body)))?;
    }
}

/// Decodes what may be anything. What decodes is what it encodes to.
fn survives(octets: &[u8]) -> Result<bool, TestCaseError> {
    let _ = Header::peek_frag_length(octets);
    let Ok(pdu) = Pdu::decode(octets) else {
        return Ok(false);
    };
    let mut again = Vec::new();
    pdu.encode(&mut again);
    prop_assert_eq!(&again, octets, "{:?}", pdu);
    prop_assert_eq!(Pdu::decode(&again), Ok(pdu));
    Ok(true)
}

/// Makes `octets` tell their own length.
fn with_own_length(mut octets: Vec<u8>) -> Vec<u8> {
    let length = octets.len() as u16;
    let length = match octets[4] >> 4 {
        1 => length.to_le_bytes(),
        _ => length.to_be_bytes(),
    };
    octets[8..10].copy_from_slice(&length);
    octets
}

/// The PDUs of a capture that holds every kind of them.
fn captured() -> &'static [Vec<u8>] {
    static PDUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PDUS.get_or_init(|| {
        let path = support::own_captures().join("self-raw-protocol.pcap");
        let pdus = capture::read(&path).pdus.into_iter();
        pdus.map(|pdu| pdu.octets).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_octets_survive(octets in vec(any::<u8>(), 0..120)) {
        survives(&octets)?;
    }

    #[test]
    fn arbitrary_bodies_survive(
        ptype in 0_u8..22,
        flags: u8,
        order in prop_oneof![Just(0x10_u8), Just(0), any::<u8>()],
        auth_length in prop_oneof![Just(0_u8), 0..40_u8],
        rest in vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 4..120),
    ) {
        let little = order >> 4 == 1;
        let lengths = if little { [0, 0, auth_length, 0] } else { [0, 0, 0, auth_length] };
        let head = [5, 0, ptype, flags, order, 0, 0, 0];
        survives(&with_own_length([&head[..], &lengths, &rest].concat()))?;
    }

    #[test]
    fn captured_pdus_with_errors_survive(
        which: prop::sample::Index,
        errors in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length: prop::sample::Index,
        cut: bool,
    ) {
        let mut octets = which.get(captured()).clone();
        if cut {
            octets.truncate(Header::LEN + length.index(octets.len() - Header::LEN + 1));
        }
        for (at, octet) in errors {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        survives(&with_own_length(octets))?;
    }
}

#[test]
fn every_captured_pdu_but_one_decodes() {
    let decoded = captured().iter().filter(|octets| survives(octets).unwrap());
    assert_eq!((decoded.count(), captured().len()), (1120, 1121));
}
