//! A mapper made by hand, for tests of what is said to it: it takes any number
//! of connections over TCP, and answers calls as told.

#![allow(dead_code)] // each test binary takes the half that it needs

use epmapper::wire::pdu::{
    BindAck, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags, Response, ResultsBuf,
};
use epmapper::wire::status::{ContextResult, ProviderReason};
use epmapper::wire::{ByteOrder, FaultStatus, Input, Output, SyntaxId};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use uuid::Uuid;

/// How a call is answered.
pub enum Answer {
    /// With this stub.
    Stub(Vec<u8>),
    /// With a fault.
    Fault(FaultStatus),
}

/// A response's stub, in NDR 2.0 as all calls here are.
pub fn stub(encode: impl FnOnce(&mut Output)) -> Answer {
    let mut octets = Vec::new();
    encode(&mut Output::new(&mut octets, ByteOrder::Little));
    Answer::Stub(octets)
}

/// A call that came in: its interface, operation and stub.
#[derive(Debug)]
pub struct Asked {
    pub interface: SyntaxId,
    pub opnum: u16,
    stub: Vec<u8>,
}

impl Asked {
    pub fn stub(&self) -> Input<'_> {
        Input::new(&self.stub, ByteOrder::Little)
    }
}

/// The mapper.
pub struct Mapper {
    /// Where it listens.
    pub at: String,
    /// What it was asked, in this order.
    asked: Receiver<Asked>,
    /// Its connections so far.
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Mapper {
    /// Serves by `answer`.
    pub fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Mapper {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (send, asked) = mpsc::channel();
        let (kept, answer) = (connections.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                let (send, answer) = (send.clone(), answer.clone());
                thread::spawn(move || serve(stream, &send, &*answer));
            }
        });
        Mapper {
            at,
            asked,
            connections,
        }
    }

    /// The next call, once it has come.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(crate::daemon::DEADLINE).unwrap()
    }

    /// The calls that have come and were not taken.
    pub fn calls(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }

    /// Ends all connections, as a mapper does that is started anew.
    pub fn hang_up(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// Serves one connection to its end.
fn serve(stream: TcpStream, asked: &Sender<Asked>, answer: &dyn Fn(&Asked) -> Answer) {
    let mut interface = None;
    while let Some(octets) = read_pdu(&stream) {
        let pdu = Pdu::decode(&octets).unwrap();
        let reply = match pdu.body {
            Body::Bind(bind) => {
                let contexts = bind.contexts.iter();
                interface = contexts.map(|context| context.abstract_syntax).next();
                bind_ack(&pdu.header, bind.contexts.iter().count())
            }
            Body::Request(request) => {
                let call = Asked {
                    interface: interface.expect("a bind before the call"),
                    opnum: request.opnum,
                    stub: request.stub.to_vec(),
                };
                let answer = answer(&call);
                asked.send(call).unwrap();
                encoded(&pdu.header, answer)
            }
            _ => continue,
        };
        if (&stream).write_all(&reply).is_err() {
            return;
        }
    }
}

/// Reads one PDU; `None` at the end of the connection.
fn read_pdu(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut octets = vec![0; Header::LEN];
    stream.read_exact(&mut octets).ok()?;
    octets.resize(Header::peek_frag_length(&octets)?.into(), 0);
    stream.read_exact(&mut octets[Header::LEN..]).ok()?;
    Some(octets)
}

/// A bind_ack that accepts the first of so many contexts, in NDR 2.0.
fn bind_ack(asked: &Header, contexts: usize) -> Vec<u8> {
    let mut results = ResultsBuf::new(ByteOrder::Little);
    for index in 0..contexts {
        results.push(match index {
            0 => ContextAnswer {
                result: ContextResult::ACCEPTANCE,
                reason: ProviderReason::NOT_SPECIFIED,
                transfer_syntax: SyntaxId::NDR,
            },
            _ => ContextAnswer {
                result: ContextResult::PROVIDER_REJECTION,
                reason: ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED,
                transfer_syntax: SyntaxId::new(Uuid::nil(), 0, 0),
            },
        });
    }
    let ack = BindAck {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 1,
        secondary_address: b"135\0",
        secondary_pad: &[0; 2],
        results: results.as_results(),
    };
    pdu(asked, PacketType::BIND_ACK, Body::BindAck(ack))
}

/// The PDU of an answer.
fn encoded(asked: &Header, answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Stub(stub) => {
            let response = Response {
                alloc_hint: 0,
                context_id: 0,
                cancel_count: 0,
                reserved: 0,
                stub: &stub,
            };
            pdu(asked, PacketType::RESPONSE, Body::Response(response))
        }
        Answer::Fault(status) => pdu(asked, PacketType::FAULT, Body::Fault(Fault::new(0, status))),
    }
}

/// A PDU that answers `asked`.
fn pdu(asked: &Header, ptype: PacketType, body: Body<'_>) -> Vec<u8> {
    let header = Header::new(ptype, PfcFlags::WHOLE, asked.drep, asked.call_id);
    let mut octets = Vec::new();
    Pdu::new(header, body).encode(&mut octets);
    octets
}
