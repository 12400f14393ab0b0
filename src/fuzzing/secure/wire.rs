//! PDUs of clients that authenticate.

use crate::fuzzing::Choices;
use crate::fuzzing::association::{some_bind, some_header, some_requests};
use crate::proto::{Packet, SecurityContext};
use crate::wire::pdu::{
    Auth3, AuthLevel, AuthType, AuthVerifier, Bind, Body, ContextsBuf, Header, PacketType, Pdu,
    PfcFlags, Request,
};
use crate::wire::{ByteOrder, DataRepresentation, SyntaxId};

/// What a client says of itself in its verifiers.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub auth_type: AuthType,
    pub level: AuthLevel,
    pub id: u32,
}

impl Identity {
    fn verifier<'a>(&self, pad_length: u8, value: &'a [u8]) -> AuthVerifier<'a> {
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

/// A PDU that carries a leg: a bind, an alter_context or an rpc_auth_3.
pub fn leg(ptype: PacketType, flags: PfcFlags, identity: Identity, token: &[u8]) -> Vec<u8> {
    let mut contexts = ContextsBuf::new(ByteOrder::Little);
    contexts.push(0, SyntaxId::EPT, &[SyntaxId::NDR]);
    contexts.push(1, SyntaxId::MGMT, &[SyntaxId::NDR]);
    let bind = Bind {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 0,
        contexts: contexts.as_contexts(),
    };
    let body = match ptype {
        PacketType::BIND => Body::Bind(bind),
        PacketType::ALTER_CONTEXT => Body::AlterContext(bind),
        _ => Body::Auth3(Auth3 { pad: [0; 4] }),
    };
    let header = Header::new(ptype, flags, DataRepresentation::LITTLE, 1);
    let mut octets = Vec::new();
    let pdu = Pdu {
        auth: Some(identity.verifier(0, token)),
        ..Pdu::new(header, body)
    };
    pdu.encode(&mut octets);
    octets
}

/// A request that `context` signs, and seals at its level.
pub fn protected(
    header: Header,
    request: Request,
    identity: Identity,
    context: &mut dyn SecurityContext,
) -> Vec<u8> {
    let pad = vec![0; request.stub.len().next_multiple_of(16) - request.stub.len()];
    let mut signature = vec![0; context.signature_len()];
    let pdu = Pdu {
        header,
        pad: &pad,
        auth: Some(identity.verifier(pad.len() as u8, &signature)),
        body: Body::Request(request),
    };
    let mut octets = Vec::new();
    pdu.encode(&mut octets);
    let signed = octets.len() - signature.len();
    let trailer = signed - AuthVerifier::HEAD;
    let packet = Packet {
        octets: &mut octets[..signed],
        stub: trailer - request.stub.len() - pad.len()..trailer,
        signs_header: true,
    };
    context
        .protect(packet, &mut signature)
        .expect("numbers are left");
    octets[signed..].copy_from_slice(&signature);
    octets
}

/// The stub of a response that is signed for `context`, unsealed.
pub fn opened(
    octets: &[u8],
    verifier: &AuthVerifier,
    context: &mut dyn SecurityContext,
) -> Vec<u8> {
    /// Octets of a response before its stub.
    const HEAD: usize = 24;
    let signed = octets.len() - verifier.value.len();
    let trailer = signed - AuthVerifier::HEAD;
    let mut plain = octets[..signed].to_vec();
    let packet = Packet {
        octets: &mut plain,
        stub: HEAD..trailer,
        signs_header: true,
    };
    let verified = context.verify(packet, verifier.value);
    verified.expect("a signature for whom it is meant");
    plain.truncate(trailer - usize::from(verifier.pad_length));
    plain.split_off(HEAD)
}

/// A request without a verifier.
pub fn request(stub: &[u8], opnum: u16) -> Vec<u8> {
    let header = Header::new(
        PacketType::REQUEST,
        PfcFlags::WHOLE,
        DataRepresentation::LITTLE,
        1,
    );
    let request = Request {
        alloc_hint: 0,
        context_id: 0,
        opnum,
        object: None,
        stub,
    };
    let mut octets = Vec::new();
    Pdu::new(header, Body::Request(request)).encode(&mut octets);
    octets
}

/// What a client sends that does not authenticate.
pub fn plain(choices: &mut Choices, out: &mut Vec<u8>) {
    let octets = match choices.u8() % 4 {
        0 => some_bind(PacketType::BIND, choices),
        1 => some_bind(PacketType::ALTER_CONTEXT, choices),
        2 => some_header(choices),
        _ => {
            let count = choices.u8() % 4 + 1;
            some_requests(choices, count)
        }
    };
    out.extend(octets);
}
