//! A server made by hand, for tests of clients: it takes any number of
//! connections over TCP, answers as told, and can be stopped.

#![allow(dead_code)] // each test binary takes the part that it needs

use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{
    self, ContextHandle, Entry, LookupRequest, LookupResponse, MapRequest, MapResponse,
};
use epmapper::wire::ndr::Referents;
use epmapper::wire::pdu::{
    Bind, BindAck, BindNak, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags,
    Response, ResultsBuf,
};
use epmapper::wire::status::{ContextResult, ProviderReason, RejectReason};
use epmapper::wire::tower::{Tower, TowerBuf};
use epmapper::wire::{ByteOrder, EptStatus, FaultStatus, Input, Output, SyntaxId};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use uuid::Uuid;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A bind to an interface.
    Bind(SyntaxId),
    /// A call, in NDR 2.0 and little-endian as all here are.
    Call {
        opnum: u16,
        object: Option<Uuid>,
        stub: Vec<u8>,
    },
    /// The call is to be cancelled.
    Cancel,
    /// The call was given up.
    Orphaned,
}

/// How that is answered.
pub enum Answer {
    /// A bind: accepted in NDR 2.0.
    Accept,
    /// A bind: its contexts are rejected.
    Reject(ProviderReason),
    /// A bind: refused.
    Nak(RejectReason),
    /// A call: a response with this stub.
    Stub(Vec<u8>),
    /// Whatever it was: a fault.
    Fault(FaultStatus),
    /// Octets, whatever they are.
    Octets(Vec<u8>),
    /// Not at all.
    Silence,
    /// By the end of the connection.
    Close,
}

/// A running server.
pub struct Service {
    /// Where it listens.
    pub at: SocketAddr,
    asked: Receiver<Asked>,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

/// What its threads have in common.
struct Shared {
    is_stopped: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Service {
    /// Serves at an address by `answer`.
    pub fn at(address: &str, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Service {
        let listener = TcpListener::bind(address).unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            is_stopped: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
        });
        let (send, asked) = mpsc::channel();
        let (kept, answer) = (shared.clone(), Arc::new(answer));
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if kept.is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let clone = stream.try_clone().unwrap();
                kept.connections.lock().unwrap().push(clone);
                let (send, answer) = (send.clone(), answer.clone());
                thread::spawn(move || serve(stream, &send, &*answer));
            }
        });
        Service {
            at,
            asked,
            shared,
            listening: Some(listening),
        }
    }

    /// Serves calls at an address by a stub for each opnum, and accepts binds.
    pub fn calls(
        address: &str,
        stub: impl Fn(u16, Option<Uuid>) -> Answer + Send + Sync + 'static,
    ) -> Service {
        Service::at(address, move |asked| match asked {
            Asked::Bind(_) => Answer::Accept,
            Asked::Call { opnum, object, .. } => stub(*opnum, *object),
            Asked::Cancel | Asked::Orphaned => Answer::Silence,
        })
    }

    /// The next thing asked.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(crate::DEADLINE).unwrap()
    }

    /// What was asked and not taken yet.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }

    /// Ends all connections, and returns when their clients' systems know it; it
    /// still listens.
    pub fn hang_up(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        let until = Instant::now() + crate::DEADLINE;
        while has_unacknowledged(self.at) {
            assert!(Instant::now() < until, "a client's system does not answer");
            thread::yield_now();
        }
    }
}

/// Whether a connection to `at` lives, or its end has not reached the client's
/// system: established or in FIN-WAIT-1 (RFC 9293 3.3.2), by the kernel's table.
fn has_unacknowledged(at: SocketAddr) -> bool {
    let SocketAddr::V4(at) = at else {
        panic!("services are at IPv4 addresses");
    };
    let address = u32::from_le_bytes(at.ip().octets());
    let local = format!("{address:08X}:{:04X}", at.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&local) && matches!(words.nth(1), Some("01" | "04"))
    })
}

/// Nobody listens there any more, and every connection has ended.
impl Drop for Service {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.hang_up();
        // Wakes whoever listens.
        drop(TcpStream::connect(self.at));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        if !thread::panicking() {
            await_end(self.at);
        }
    }
}

/// Waits until nobody listens at an address. That may be a moment after the
/// listener was closed: a program that another test starts has all sockets of
/// this process until it runs.
fn await_end(at: SocketAddr) {
    let until = Instant::now() + crate::DEADLINE;
    while let Ok(_) | Err(ErrorKind::ConnectionReset) =
        TcpStream::connect(at).map_err(|error| error.kind())
    {
        assert!(Instant::now() < until, "somebody listens at {at}");
        thread::yield_now();
    }
}

/// An address where nobody listens: somebody did a moment ago.
pub fn nobody(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    await_end(at);
    at
}

/// A mapper on port 135 of an address, that tells the same towers to whoever
/// asks; they can be changed.
pub struct Mapper {
    pub service: Service,
    towers: Arc<Mutex<Vec<TowerBuf>>>,
}

impl Mapper {
    /// A mapper that knows a server of `interface` at each of these bindings.
    pub fn at(address: &str, interface: SyntaxId, bindings: &[String]) -> Mapper {
        let towers = Arc::new(Mutex::new(towers(interface, bindings)));
        let told = towers.clone();
        let service = Service::at(&format!("{address}:135"), move |asked| match asked {
            Asked::Bind(_) => Answer::Accept,
            Asked::Call { opnum, stub, .. } => mapped(*opnum, stub, &told.lock().unwrap()),
            _ => Answer::Silence,
        });
        Mapper { service, towers }
    }

    /// From now on it knows these.
    pub fn now(&self, interface: SyntaxId, bindings: &[String]) {
        *self.towers.lock().unwrap() = towers(interface, bindings);
    }

    /// How often it was asked for towers since this was asked last.
    pub fn maps(&self) -> usize {
        let is_map = |asked: &Asked| {
            matches!(
                asked,
                Asked::Call {
                    opnum: ept::MAP,
                    ..
                }
            )
        };
        self.service
            .asked()
            .iter()
            .filter(|asked| is_map(asked))
            .count()
    }
}

/// The towers of an interface.
fn towers(interface: SyntaxId, bindings: &[String]) -> Vec<TowerBuf> {
    let binding = |text: &String| text.parse::<Binding>().unwrap();
    let tower = |binding| TowerBuf::from_binding(interface, SyntaxId::NDR, &binding).unwrap();
    bindings.iter().map(binding).map(tower).collect()
}

/// What a mapper answers that knows these towers.
fn mapped(opnum: u16, stub: &[u8], known: &[TowerBuf]) -> Answer {
    let input = Input::new(stub, ByteOrder::Little);
    let mut octets = Vec::new();
    let mut out = Output::new(&mut octets, ByteOrder::Little);
    match opnum {
        ept::MAP => {
            let request = MapRequest::decode(input).unwrap();
            let pattern = Tower::decode(request.tower.unwrap().value).unwrap();
            let shape = pattern.parts().unwrap().shape();
            let alike = |tower: &&TowerBuf| tower.as_tower().parts().unwrap().shape() == shape;
            let found = known.iter().filter(alike).map(TowerBuf::octets);
            let (handle, referents) = (ContextHandle::NULL, Referents::after(0));
            MapResponse::found(handle, request.max_towers, referents, found).encode(&mut out);
        }
        ept::LOOKUP => {
            let request = LookupRequest::decode(input).unwrap();
            let mut referents = Referents::after(0);
            let entry = |tower: &'_ TowerBuf| {
                let tower = tower.octets().to_vec();
                Entry::new(&mut referents, Uuid::nil(), tower, b"".as_slice())
            };
            let found = LookupResponse {
                entries: known.iter().map(entry).collect(),
                ..LookupResponse::empty(request.max_ents, EptStatus::OK)
            };
            found.encode(&mut out);
        }
        _ => return Answer::Fault(FaultStatus::OP_RNG_ERROR),
    }
    Answer::Stub(octets)
}

/// Serves one connection to its end.
fn serve(stream: TcpStream, asked: &Sender<Asked>, answer: &dyn Fn(&Asked) -> Answer) {
    while let Some(octets) = read_pdu(&stream) {
        let pdu = Pdu::decode(&octets).unwrap();
        let one = match &pdu.body {
            Body::Bind(bind) => Asked::Bind(bind.contexts.iter().next().unwrap().abstract_syntax),
            Body::Request(request) => Asked::Call {
                opnum: request.opnum,
                object: request.object,
                stub: request.stub.to_vec(),
            },
            Body::CoCancel => Asked::Cancel,
            Body::Orphaned => Asked::Orphaned,
            other => panic!("a client does not send {other:?}"),
        };
        // Told before it is answered: a client that has its answer finds it.
        let answer = answer(&one);
        let _ = asked.send(one);
        let reply = encoded(&pdu, answer);
        if reply.is_none_or(|reply| (&stream).write_all(&reply).is_err()) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Reads one PDU; `None` at the end of the connection.
fn read_pdu(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut octets = vec![0; Header::LEN];
    stream.read_exact(&mut octets).ok()?;
    octets.resize(Header::peek_frag_length(&octets)?.into(), 0);
    stream.read_exact(&mut octets[Header::LEN..]).ok()?;
    Some(octets)
}

/// The octets of an answer; `None` for the end.
fn encoded(asked: &Pdu<'_>, answer: Answer) -> Option<Vec<u8>> {
    let reply = |ptype, body| {
        let header = Header::new(
            ptype,
            PfcFlags::WHOLE,
            asked.header.drep,
            asked.header.call_id,
        );
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        Some(octets)
    };
    match answer {
        Answer::Accept => bind_ack(asked, None),
        Answer::Reject(reason) => bind_ack(asked, Some(reason)),
        Answer::Nak(reason) => reply(PacketType::BIND_NAK, Body::BindNak(BindNak::new(reason))),
        Answer::Stub(stub) => {
            let response = Response {
                alloc_hint: 0,
                context_id: 0,
                cancel_count: 0,
                reserved: 0,
                stub: &stub,
            };
            reply(PacketType::RESPONSE, Body::Response(response))
        }
        Answer::Fault(status) => reply(PacketType::FAULT, Body::Fault(Fault::new(0, status))),
        Answer::Octets(octets) => Some(octets),
        Answer::Silence => Some(Vec::new()),
        Answer::Close => None,
    }
}

/// A bind_ack that accepts NDR 2.0, or rejects everything.
fn bind_ack(asked: &Pdu<'_>, rejected: Option<ProviderReason>) -> Option<Vec<u8>> {
    let Body::Bind(bind) = &asked.body else {
        panic!("no bind");
    };
    let mut results = ResultsBuf::new(ByteOrder::Little);
    for answer in answers(bind, rejected) {
        results.push(answer);
    }
    let ack = BindAck {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 1,
        secondary_address: b"135\0",
        secondary_pad: &[0; 2],
        results: results.as_results(),
    };
    let header = Header::new(
        PacketType::BIND_ACK,
        PfcFlags::WHOLE,
        asked.header.drep,
        asked.header.call_id,
    );
    let mut octets = Vec::new();
    Pdu::new(header, Body::BindAck(ack)).encode(&mut octets);
    Some(octets)
}

/// The answers to the contexts of a bind.
fn answers(bind: &Bind<'_>, rejected: Option<ProviderReason>) -> Vec<ContextAnswer> {
    let contexts = bind.contexts.iter();
    let answer = |offers_ndr: bool| match (rejected, offers_ndr) {
        (None, true) => ContextAnswer {
            result: ContextResult::ACCEPTANCE,
            reason: ProviderReason::NOT_SPECIFIED,
            transfer_syntax: SyntaxId::NDR,
        },
        (reason, _) => ContextAnswer {
            result: ContextResult::PROVIDER_REJECTION,
            reason: reason.unwrap_or(ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED),
            transfer_syntax: SyntaxId::new(Uuid::nil(), 0, 0),
        },
    };
    contexts
        .map(|context| {
            answer(
                context
                    .transfer_syntaxes
                    .iter()
                    .any(|id| id == SyntaxId::NDR),
            )
        })
        .collect()
}
