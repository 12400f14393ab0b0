//! A server for tests: one connection on loopback, answered as told.

use super::{ClientError, Failure, Step};
use crate::wire::binding::Binding;
use crate::wire::pdu::{
    BindAck, BindNak, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags, Response,
    ResultsBuf,
};
use crate::wire::status::{ContextResult, FaultStatus, ProviderReason, RejectReason};
use crate::wire::tower::ProtocolSequence;
use crate::wire::{ByteOrder, Input, Output, SyntaxId};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::time::Instant;

/// How the server answers one PDU.
pub enum Answer {
    /// Accepts the bind.
    Accept,
    /// Refuses the context.
    Reject(ProviderReason),
    /// Refuses the bind.
    Nak(RejectReason),
    /// A response in fragments of at most this many octets of stub.
    Response(Vec<u8>, usize),
    /// A fault.
    Fault(FaultStatus),
    /// These octets, whatever they are.
    Octets(Vec<u8>),
    /// Nothing; the connection stays.
    Silence,
    /// Nothing; the connection ends.
    Close,
}

/// What came in.
pub enum Asked<'a> {
    /// A bind.
    Bind,
    /// A call: opnum and stub.
    Call(u16, Input<'a>),
}

/// A response in one fragment.
pub fn response(encode: impl FnOnce(&mut Output)) -> Answer {
    let mut stub = Vec::new();
    encode(&mut Output::new(&mut stub, ByteOrder::Little));
    Answer::Response(stub, usize::MAX)
}

/// A server that answers one connection; joined, it tells the opnums called.
pub struct Fake {
    /// Where it listens.
    pub binding: Binding,
    /// The thread that serves.
    served: JoinHandle<Vec<u16>>,
}

impl Fake {
    /// Serves by `answer`.
    pub fn serve(answer: impl FnMut(Asked<'_>) -> Answer + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let binding = Binding {
            address: address.ip().to_string(),
            endpoint: address.port().to_string(),
            ..Binding::new(ProtocolSequence::NcacnIpTcp)
        };
        let served = thread::spawn(move || connection(listener.accept().unwrap().0, answer));
        Fake { binding, served }
    }

    /// Serves calls by `answer`, and accepts the bind.
    pub fn bound(mut answer: impl FnMut(u16, Input<'_>) -> Answer + Send + 'static) -> Fake {
        Fake::serve(move |asked| match asked {
            Asked::Bind => Answer::Accept,
            Asked::Call(opnum, stub) => answer(opnum, stub),
        })
    }

    /// The opnums of all calls, once the client has closed.
    pub fn calls(self) -> Vec<u16> {
        self.served.join().unwrap()
    }
}

/// A deadline that only a hanging test meets.
pub fn generous() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Asserts where and how something failed.
#[track_caller]
pub fn assert_fails<T>(result: Result<T, ClientError>, step: Step, failure: fn(&Failure) -> bool) {
    let Err(error) = result else {
        panic!("it went through");
    };
    assert!(error.step == step && failure(&error.failure), "{error}");
}

/// Serves a connection to its end.
fn connection(mut stream: TcpStream, mut answer: impl FnMut(Asked<'_>) -> Answer) -> Vec<u16> {
    let mut calls = Vec::new();
    while let Some(octets) = read_pdu(&mut stream) {
        let pdu = Pdu::decode(&octets).unwrap();
        let asked = match pdu.body {
            Body::Bind(_) => Asked::Bind,
            Body::Request(request) => {
                calls.push(request.opnum);
                Asked::Call(
                    request.opnum,
                    Input::new(request.stub, pdu.header.drep.order()),
                )
            }
            other => panic!("a client does not send {other:?}"),
        };
        let answer = answer(asked);
        if matches!(answer, Answer::Close)
            || stream.write_all(&encoded(&pdu.header, answer)).is_err()
        {
            break;
        }
    }
    calls
}

/// Reads one PDU; `None` at the end of the connection.
fn read_pdu(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut octets = vec![0; Header::LEN];
    stream.read_exact(&mut octets).ok()?;
    octets.resize(Header::peek_frag_length(&octets)?.into(), 0);
    stream.read_exact(&mut octets[Header::LEN..]).ok()?;
    Some(octets)
}

/// The PDUs of an answer.
fn encoded(asked: &Header, answer: Answer) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |ptype: PacketType, flags: PfcFlags, body: Body<'_>| {
        let header = Header::new(ptype, flags, asked.drep, asked.call_id);
        Pdu::new(header, body).encode(&mut out);
    };
    let whole = PfcFlags::FIRST_FRAG | PfcFlags::LAST_FRAG;
    match answer {
        Answer::Accept => put_ack(&mut put, ContextResult::ACCEPTANCE, ProviderReason(0)),
        Answer::Reject(reason) => put_ack(&mut put, ContextResult::PROVIDER_REJECTION, reason),
        Answer::Nak(reason) => put(
            PacketType::BIND_NAK,
            whole,
            Body::BindNak(BindNak::new(reason)),
        ),
        Answer::Response(stub, most) => {
            let pieces: Vec<_> = stub.chunks(most.min(stub.len()).max(1)).collect();
            for (index, piece) in pieces.iter().enumerate() {
                let first = PfcFlags(if index == 0 {
                    PfcFlags::FIRST_FRAG.0
                } else {
                    0
                });
                let last = PfcFlags(if index + 1 == pieces.len() {
                    PfcFlags::LAST_FRAG.0
                } else {
                    0
                });
                let response = Response {
                    alloc_hint: 0,
                    context_id: 0,
                    cancel_count: 0,
                    reserved: 0,
                    stub: piece,
                };
                put(PacketType::RESPONSE, first | last, Body::Response(response));
            }
        }
        Answer::Fault(status) => put(PacketType::FAULT, whole, Body::Fault(Fault::new(0, status))),
        Answer::Octets(octets) => out.extend(octets),
        Answer::Silence | Answer::Close => {}
    }
    out
}

/// Puts a bind_ack with one result.
fn put_ack(
    put: &mut impl FnMut(PacketType, PfcFlags, Body<'_>),
    result: ContextResult,
    reason: ProviderReason,
) {
    let mut results = ResultsBuf::new(ByteOrder::Little);
    let transfer_syntax = match result {
        ContextResult::ACCEPTANCE => SyntaxId::NDR,
        _ => SyntaxId::new(uuid::Uuid::nil(), 0, 0),
    };
    results.push(ContextAnswer {
        result,
        reason,
        transfer_syntax,
    });
    let ack = BindAck {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 1,
        secondary_address: b"135\0",
        secondary_pad: &[0; 2],
        results: results.as_results(),
    };
    let whole = PfcFlags::FIRST_FRAG | PfcFlags::LAST_FRAG;
    put(PacketType::BIND_ACK, whole, Body::BindAck(ack));
}
