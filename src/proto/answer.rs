//! The PDUs that a server answers with, as octets.

use super::association::Call;
use super::context::Answers;
use super::fragment::{self, Piece};
use super::protect::Protection;
use super::security::SecurityError;
use crate::wire::drep::DataRepresentation;
use crate::wire::pdu::{
    AuthVerifier, BindAck, BindNak, Body, Fault, Header, PacketType, Pdu, PfcFlags, Response,
    ResultsBuf,
};
use crate::wire::status::{FaultStatus, RejectReason};

/// What a bind agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// The fragment size that both fields of the bind_ack tell.
    pub max_frag: u16,
    /// The longest fragment that the client takes.
    pub send_limit: u16,
    /// The association group.
    pub group: u32,
    /// Whether the client may have several calls under way.
    pub multiplexing: bool,
}

/// What an answer of the machine's own is about.
#[derive(Clone, Copy)]
pub struct About {
    /// Call id of the PDU that is answered.
    pub call_id: u32,
    /// Data representation of that PDU, which the answer keeps.
    pub drep: DataRepresentation,
    /// The context id that the answer names.
    pub context_id: u16,
    /// How many co_cancels have come for the call.
    pub cancels: u8,
}

impl About {
    /// About the PDU of `header`.
    pub fn new(header: &Header, context_id: u16) -> Self {
        About {
            call_id: header.call_id,
            drep: header.drep,
            context_id,
            cancels: 0,
        }
    }

    /// About a call.
    pub fn of(call: &Call) -> Self {
        About {
            call_id: call.id,
            drep: call.order.into(),
            context_id: call.context_id,
            cancels: call.cancels,
        }
    }
}

/// Octets of a response before its stub.
const RESPONSE_HEAD: usize = 24;

/// Windows' responses name the low octet of the context id, and Samba's after
/// it; faults name all of it (Samba's raw_protocol suite).
fn answered_context(context_id: u16) -> u16 {
    context_id & 0xff
}

/// A bind_ack or, to an alter_context, an alter_context_resp.
pub fn acknowledge(
    header: &Header,
    agreed: &Agreed,
    answers: &Answers,
    address: &[u8],
    verifier: Option<AuthVerifier<'_>>,
) -> Vec<u8> {
    let order = header.drep.order();
    let mut results = ResultsBuf::new(order);
    for answer in answers {
        results.push(*answer);
    }
    let ack = BindAck {
        max_xmit_frag: agreed.max_frag,
        max_recv_frag: agreed.max_frag,
        assoc_group_id: agreed.group,
        secondary_address: address,
        secondary_pad: &[],
        results: results.as_results(),
    };
    let asked = header.flags.0 & (PfcFlags::PENDING_CANCEL.0 | PfcFlags::CONC_MPX.0);
    let bind = header.ptype == PacketType::BIND;
    // Multiplexing is agreed on by the bind alone; header signing by both.
    let echoed = match bind {
        true => asked,
        false => asked & PfcFlags::PENDING_CANCEL.0,
    };
    let (ptype, body) = match bind {
        true => (PacketType::BIND_ACK, Body::BindAck(ack)),
        false => (PacketType::ALTER_CONTEXT_RESP, Body::AlterContextResp(ack)),
    };
    let flags = PfcFlags(PfcFlags::WHOLE.0 | echoed);
    let header = Header::new(ptype, flags, order.into(), header.call_id);
    let mut octets = Vec::new();
    // Every body ends at a multiple of 4 octets, where a verifier may start.
    let pdu = Pdu {
        auth: verifier,
        ..Pdu::new(header, body)
    };
    pdu.encode(&mut octets);
    octets
}

/// A fault of 32 octets, as Windows writes it.
pub fn fault(about: About, status: FaultStatus, did_not_execute: bool) -> Vec<u8> {
    let flags = match did_not_execute {
        true => PfcFlags::WHOLE | PfcFlags::DID_NOT_EXECUTE,
        false => PfcFlags::WHOLE,
    };
    let header = Header::new(
        PacketType::FAULT,
        flags,
        about.drep.order().into(),
        about.call_id,
    );
    let fault = Fault {
        cancel_count: about.cancels,
        ..Fault::new(about.context_id, status)
    };
    let mut octets = Vec::new();
    Pdu::new(header, Body::Fault(fault)).encode(&mut octets);
    octets
}

/// A bind_nak of 24 octets that names version 5.0.
pub fn reject(header: &Header, reason: RejectReason) -> Vec<u8> {
    let drep = header.drep.order().into();
    let header = Header::new(PacketType::BIND_NAK, PfcFlags::WHOLE, drep, header.call_id);
    let mut octets = Vec::new();
    Pdu::new(header, Body::BindNak(BindNak::new(reason))).encode(&mut octets);
    octets
}

/// Appends a response, cut into fragments of at most `max_frag` octets; tells
/// how many.
pub fn respond(about: About, stub: &[u8], max_frag: u16, out: &mut Vec<u8>) -> u32 {
    let mut count = 0;
    let pieces = fragment::split(stub, max_frag, RESPONSE_HEAD);
    out.reserve(stub.len() + pieces.len() * RESPONSE_HEAD);
    for piece in pieces {
        response(about, &piece).encode(out);
        count += 1;
    }
    count
}

/// The same as [`respond`], each fragment signed.
///
/// # Errors
/// When the context can sign no more; nothing was appended then.
pub fn respond_protected(
    about: About,
    stub: &[u8],
    max_frag: u16,
    mut protection: Protection<'_>,
    out: &mut Vec<u8>,
) -> Result<u32, SecurityError> {
    let begin = out.len();
    let mut count = 0;
    for piece in fragment::split(stub, max_frag, RESPONSE_HEAD + protection.overhead()) {
        let done = protection.append(response(about, &piece), piece.stub.len(), out);
        if let Err(error) = done {
            out.truncate(begin);
            return Err(error);
        }
        count += 1;
    }
    Ok(count)
}

/// One fragment of a response.
///
/// # Source
/// C706 12.6.4.10; Windows' cancel_count is 0 where nothing was cancelled.
fn response<'a>(about: About, piece: &Piece<'a>) -> Pdu<'a> {
    let header = Header::new(
        PacketType::RESPONSE,
        piece.flags,
        about.drep.order().into(),
        about.call_id,
    );
    let response = Response {
        alloc_hint: piece.alloc_hint,
        context_id: answered_context(about.context_id),
        cancel_count: about.cancels,
        reserved: 0,
        stub: piece.stub,
    };
    Pdu::new(header, Body::Response(response))
}
