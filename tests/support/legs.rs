//! The PDUs of a client that authenticates, one by one, so that a test can make any of them wrong.

#![allow(dead_code)] // each test binary takes the half that it needs

use epmapper::proto::{Packet, SecurityContext};
use epmapper::wire::pdu::{
    Auth3, AuthLevel, AuthType, AuthVerifier, Bind, Body, ContextsBuf, Header, PacketType, Pdu,
    PfcFlags, Request,
};
use epmapper::wire::{ByteOrder, DataRepresentation, SyntaxId};

/// What a client says of itself in its verifiers.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub auth_type: AuthType,
    pub level: AuthLevel,
    pub id: u32,
}

impl Identity {
    pub const fn new(auth_type: AuthType, level: AuthLevel) -> Self {
        Identity {
            auth_type,
            level,
            id: 1,
        }
    }

    pub fn verifier<'a>(&self, pad_length: u8, value: &'a [u8]) -> AuthVerifier<'a> {
        AuthVerifier {
            auth_type: self.auth_type,
            auth_level: self.level,
            pad_length,
            reserved: 0,
            context_id: self.id,
            value,
        }
    }
}

/// A whole PDU of call 1, with a verifier or without.
pub fn encoded(
    flags: PfcFlags,
    body: Body<'_>,
    pad: &[u8],
    auth: Option<AuthVerifier<'_>>,
) -> Vec<u8> {
    let ptype = body.packet_type().expect("a packet type");
    let pdu = Pdu {
        header: Header::new(ptype, flags, DataRepresentation::LITTLE, 1),
        body,
        pad,
        auth,
    };
    let mut octets = Vec::new();
    pdu.encode(&mut octets);
    octets
}

/// A bind or alter_context that offers an interface in NDR as context 0.
pub fn negotiation(
    ptype: PacketType,
    flags: PfcFlags,
    interface: SyntaxId,
    auth: Option<(Identity, &[u8])>,
) -> Vec<u8> {
    let mut contexts = ContextsBuf::new(ByteOrder::Little);
    contexts.push(0, interface, &[SyntaxId::NDR]);
    let bind = Bind {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 0,
        contexts: contexts.as_contexts(),
    };
    let body = match ptype {
        PacketType::BIND => Body::Bind(bind),
        _ => Body::AlterContext(bind),
    };
    let auth = auth
        .as_ref()
        .map(|(identity, token)| identity.verifier(0, token));
    encoded(PfcFlags::WHOLE | flags, body, &[], auth)
}

/// An rpc_auth_3 with a token.
pub fn auth3(identity: Identity, token: &[u8]) -> Vec<u8> {
    let body = Body::Auth3(Auth3 { pad: [0; 4] });
    encoded(
        PfcFlags::WHOLE,
        body,
        &[],
        Some(identity.verifier(0, token)),
    )
}

/// A request of context 0 without padding, with a verifier or without.
pub fn request(
    flags: PfcFlags,
    opnum: u16,
    stub: &[u8],
    auth: Option<AuthVerifier<'_>>,
) -> Vec<u8> {
    encoded(flags, body(opnum, stub), &[], auth)
}

/// A request of context 0 that its security context has signed, and sealed at its level.
pub fn signed_request(
    flags: PfcFlags,
    (opnum, stub): (u16, &[u8]),
    identity: Identity,
    context: &mut dyn SecurityContext,
    signs_header: bool,
) -> Vec<u8> {
    let pad = vec![0; stub.len().next_multiple_of(16) - stub.len()];
    let mut signature = vec![0; context.signature_len()];
    let verifier = identity.verifier(pad.len() as u8, &signature);
    let mut octets = encoded(flags, body(opnum, stub), &pad, Some(verifier));
    let signed = octets.len() - signature.len();
    let trailer = signed - AuthVerifier::HEAD;
    let packet = Packet {
        octets: &mut octets[..signed],
        stub: trailer - stub.len() - pad.len()..trailer,
        signs_header,
    };
    context
        .protect(packet, &mut signature)
        .expect("a signature");
    octets[signed..].copy_from_slice(&signature);
    octets
}

fn body(opnum: u16, stub: &[u8]) -> Body<'_> {
    Body::Request(Request {
        alloc_hint: stub.len() as u32,
        context_id: 0,
        opnum,
        object: None,
        stub,
    })
}
