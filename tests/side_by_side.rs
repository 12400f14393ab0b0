//! Calls whose replies have to be waited for, over a socket: side by side,
//! cancelled, given up, panicked, and at the end of the connection or server.
//!
//! What the association makes of them is in pair/side_by_side.rs.

#![cfg(feature = "net")]

#[path = "support/ends.rs"]
mod ends;
#[path = "support/provider.rs"]
mod provider;

use ends::{LITTLE, WHOLE, co_cancel, negotiation, orphaned, request};
use epmapper::proto::{SecurityContext, SecurityProvider};
use epmapper::server::{Limits, Server, Statistics, serve};
use epmapper::service::{Call, Cancel, Interface, Outcome, Reply};
use epmapper::transport::Listener;
use epmapper::transport::unix::Access as SocketAccess;
use epmapper::wire::pdu::{
    AuthLevel, AuthType, AuthVerifier, Bind, Body, ContextsBuf, Header, PacketType, Pdu, PfcFlags,
};
use epmapper::wire::{FaultStatus, SyntaxId, TransferSyntax};
use provider::{Legs, Words, hello};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

/// How long anything may take; generous, since the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// Operations: answers at once; waits until the test answers; waits for a
/// cancel; panics at once; panics later.
const NOW: u16 = 0;
const WAIT: u16 = 1;
const UNTIL_CANCELLED: u16 = 2;
const PANIC: u16 = 3;
const PANIC_LATER: u16 = 4;
/// As `WAIT`, but answers at great length.
const LONG_ANSWER: u16 = 5;

/// What happens to a call, which its stub tells from others.
#[derive(Debug)]
enum Seen {
    /// It runs, until this is told.
    Entered(Vec<u8>, oneshot::Sender<()>),
    /// It was cancelled.
    Cancelled(Vec<u8>),
    /// Its reply is given.
    Replied(Vec<u8>),
    /// It ended without a reply.
    Dropped(Vec<u8>),
}

/// Tells the end of a call.
struct Guard {
    stub: Vec<u8>,
    seen: Sender<Seen>,
    has_replied: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let stub = std::mem::take(&mut self.stub);
        let end = match self.has_replied {
            true => Seen::Replied(stub),
            false => Seen::Dropped(stub),
        };
        // The test may be over.
        let _ = self.seen.send(end);
    }
}

/// The interface; it is called ept, since that is what `ends` binds.
struct Waiting(Sender<Seen>);

impl Interface for Waiting {
    fn id(&self) -> SyntaxId {
        SyntaxId::EPT
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &[TransferSyntax::Ndr]
    }

    fn call(&self, call: Call<'_>) -> Outcome {
        let stub = call.stub.octets().to_vec();
        match call.opnum {
            NOW => Reply::Response(stub).into(),
            WAIT => wait(stub, 1, call.session.cancel(), self.0.clone()),
            LONG_ANSWER => wait(stub, 16 << 20, call.session.cancel(), self.0.clone()),
            UNTIL_CANCELLED => {
                let cancelled = call.session.cancel().cancelled();
                Outcome::Later(Box::pin(async move {
                    cancelled.await;
                    Reply::Fault {
                        status: FaultStatus::CANCEL,
                        did_not_execute: false,
                    }
                }))
            }
            PANIC => panic!("as the test asks"),
            _ => Outcome::Later(Box::pin(async { panic!("as the test asks") })),
        }
    }
}

/// Answers its stub so often once the test says so, and tells of a cancel before.
fn wait(stub: Vec<u8>, often: usize, cancel: Cancel, seen: Sender<Seen>) -> Outcome {
    let (answer, answered) = oneshot::channel();
    seen.send(Seen::Entered(stub.clone(), answer)).unwrap();
    let guard = Guard {
        stub: stub.clone(),
        seen: seen.clone(),
        has_replied: false,
    };
    Outcome::Later(Box::pin(async move {
        let (mut guard, mut answered) = (guard, answered);
        tokio::select! {
            _ = &mut answered => {}
            () = cancel.cancelled() => {
                seen.send(Seen::Cancelled(stub.clone())).unwrap();
                let _ = answered.await;
            }
        }
        guard.has_replied = true;
        Reply::Response(stub.repeat(often))
    }))
}

/// Authenticates once the test says so, aside.
#[derive(Debug)]
struct Slow(Words, Mutex<Receiver<()>>);

impl SecurityProvider for Slow {
    fn auth_type(&self) -> AuthType {
        self.0.auth_type
    }

    fn begin(&self, level: AuthLevel) -> Box<dyn SecurityContext> {
        // The test may have failed.
        let _ = self.1.lock().unwrap().recv_timeout(DEADLINE);
        self.0.begin(level)
    }

    fn may_block(&self) -> bool {
        true
    }
}

/// The first leg of an authentication.
fn leg(call_id: u32) -> Vec<u8> {
    let mut contexts = ContextsBuf::new(LITTLE);
    contexts.push(0, SyntaxId::EPT, &[SyntaxId::NDR]);
    let body = Body::AlterContext(Bind {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 0,
        contexts: contexts.as_contexts(),
    });
    let header = Header::new(PacketType::ALTER_CONTEXT, WHOLE, LITTLE.into(), call_id);
    let token = hello("alice");
    let pdu = Pdu {
        auth: Some(AuthVerifier {
            auth_type: AuthType::NTLM,
            auth_level: AuthLevel::CONNECT,
            pad_length: 0,
            reserved: 0,
            context_id: 1,
            value: &token,
        }),
        ..Pdu::new(header, body)
    };
    let mut octets = Vec::new();
    pdu.encode(&mut octets);
    octets
}

/// A server of that interface.
struct Running {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    server: Arc<Server>,
    address: SocketAddr,
    seen: Receiver<Seen>,
    /// Lets a leg of an authentication go on.
    legs: Sender<()>,
}

impl Running {
    fn new() -> Running {
        Running::within(Limits::default())
    }

    fn within(limits: Limits) -> Running {
        let (seen, receiver) = mpsc::channel();
        let (legs, taken) = mpsc::channel();
        let words = Words {
            auth_type: AuthType::NTLM,
            legs: Legs::Two,
            signs: u64::MAX,
        };
        let server = Server::new(
            vec![Arc::new(Waiting(seen))],
            Vec::new(),
            vec![Arc::new(Slow(words, Mutex::new(taken)))],
            limits,
            Arc::<Statistics>::default(),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = watch::channel(false);
        let binding = "ncacn_ip_tcp:127.0.31.1[0]".parse().unwrap();
        let listener = Listener::bind(&binding, SocketAccess::default()).unwrap();
        let port: u16 = listener.binding().endpoint.parse().unwrap();
        runtime.spawn(serve(listener, server.clone(), stopped));
        Running {
            runtime,
            stop,
            server,
            address: SocketAddr::from(([127, 0, 31, 1], port)),
            seen: receiver,
            legs,
        }
    }

    /// What happens next.
    fn next(&self) -> Seen {
        self.seen.recv_timeout(DEADLINE).expect("something happens")
    }

    /// The call that is entered next, and what answers it.
    fn entered(&self, stub: &[u8]) -> oneshot::Sender<()> {
        match self.next() {
            Seen::Entered(entered, answer) if entered == stub => answer,
            other => panic!("{other:?}, not {stub:?} entered"),
        }
    }

    fn expect_cancelled(&self, stub: &[u8]) {
        let seen = self.next();
        assert!(
            matches!(&seen, Seen::Cancelled(of) if of == stub),
            "{seen:?}"
        );
    }

    fn expect_replied(&self, stub: &[u8]) {
        let seen = self.next();
        assert!(matches!(&seen, Seen::Replied(of) if of == stub), "{seen:?}");
    }

    fn expect_dropped(&self, stub: &[u8]) {
        let seen = self.next();
        assert!(matches!(&seen, Seen::Dropped(of) if of == stub), "{seen:?}");
    }

    /// Nothing has happened that was not looked at.
    fn expect_nothing(&self) {
        let seen = self.seen.try_recv();
        assert!(seen.is_err(), "{seen:?}");
    }

    /// A client that is bound with multiplexing, or without.
    fn client(&self, multiplexing: bool) -> Peer {
        let stream = TcpStream::connect_timeout(&self.address, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut peer = Peer(stream);
        let flags = match multiplexing {
            true => WHOLE | PfcFlags::CONC_MPX,
            false => WHOLE,
        };
        peer.send(&[negotiation(PacketType::BIND, 1, flags)]);
        let ack = peer.pdu().expect("an answer to the bind");
        let header = Header::decode(&ack).unwrap();
        assert_eq!(header.ptype, PacketType::BIND_ACK);
        assert_eq!(header.flags.contains(PfcFlags::CONC_MPX), multiplexing);
        peer
    }
}

/// A client.
struct Peer(TcpStream);

/// What a call is answered with: id, cancel_count, stub or status.
type Answered = (u32, u8, Result<Vec<u8>, FaultStatus>);

impl Peer {
    fn send(&mut self, pdus: &[Vec<u8>]) {
        self.0.write_all(&pdus.concat()).unwrap();
    }

    /// The next PDU; `None` at the end.
    fn pdu(&mut self) -> Option<Vec<u8>> {
        let mut octets = vec![0; Header::LEN];
        match self.0.read_exact(&mut octets) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Err(error) => panic!("{error}"),
        }
        let length = Header::peek_frag_length(&octets).unwrap();
        octets.resize(length.into(), 0);
        self.0.read_exact(&mut octets[Header::LEN..]).unwrap();
        Some(octets)
    }

    fn answer(&mut self) -> Answered {
        let octets = self.pdu().expect("an answer");
        let pdu = Pdu::decode(&octets).unwrap();
        let id = pdu.header.call_id;
        match pdu.body {
            Body::Response(response) => (id, response.cancel_count, Ok(response.stub.to_vec())),
            Body::Fault(fault) => (id, fault.cancel_count, Err(fault.status)),
            other => panic!("{other:?}"),
        }
    }

    /// The connection lives, and nothing else waits to be read.
    fn expect_alive(&mut self) {
        self.send(&[call(9999, NOW, b"alive")]);
        assert_eq!(self.answer(), (9999, 0, Ok(b"alive".to_vec())));
    }
}

/// A whole call; ids may not be those of others.
fn call(id: u32, opnum: u16, stub: &[u8]) -> Vec<u8> {
    request(id, WHOLE, opnum, stub)
}

fn response(id: u32, cancels: u8, stub: &[u8]) -> Answered {
    (id, cancels, Ok(stub.to_vec()))
}

#[test]
fn with_multiplexing_both_calls_are_entered_and_answered_as_replies_come() {
    let server = Running::new();
    let mut peer = server.client(true);
    peer.send(&[call(2, WAIT, b"a"), call(3, WAIT, b"b")]);
    let [a, b] = [&b"a"[..], b"b"].map(|stub| server.entered(stub));
    peer.expect_alive();
    b.send(()).unwrap();
    assert_eq!(peer.answer(), response(3, 0, b"b"));
    a.send(()).unwrap();
    assert_eq!(peer.answer(), response(2, 0, b"a"));
    peer.expect_alive();
}

#[test]
fn without_multiplexing_a_call_is_entered_when_the_one_before_it_is_answered() {
    let server = Running::new();
    let mut peer = server.client(false);
    peer.send(&[call(2, WAIT, b"a"), call(3, WAIT, b"b")]);
    let a = server.entered(b"a");
    // Behind this both calls have been read.
    peer.send(&[co_cancel(LITTLE, 2)]);
    server.expect_cancelled(b"a");
    server.expect_nothing();
    a.send(()).unwrap();
    assert_eq!(peer.answer(), response(2, 1, b"a"));
    server.expect_replied(b"a");
    server.entered(b"b").send(()).unwrap();
    assert_eq!(peer.answer(), response(3, 0, b"b"));
}

#[test]
fn a_cancel_reaches_the_call_that_runs_and_no_other() {
    let server = Running::new();
    let mut peer = server.client(true);
    peer.send(&[
        call(2, WAIT, b"a"),
        call(3, UNTIL_CANCELLED, b""),
        call(4, WAIT, b"b"),
    ]);
    let [a, b] = [&b"a"[..], b"b"].map(|stub| server.entered(stub));
    peer.send(&[co_cancel(LITTLE, 3)]);
    assert_eq!(peer.answer(), (3, 1, Err(FaultStatus::CANCEL)));
    server.expect_nothing();
    peer.send(&[co_cancel(LITTLE, 4)]);
    server.expect_cancelled(b"b");
    // Who wants to may go on all the same.
    b.send(()).unwrap();
    assert_eq!(peer.answer(), response(4, 1, b"b"));
    a.send(()).unwrap();
    assert_eq!(peer.answer(), response(2, 0, b"a"));
}

#[test]
fn a_call_that_waits_is_entered_cancelled() {
    let server = Running::new();
    let mut peer = server.client(false);
    peer.send(&[
        call(2, WAIT, b"a"),
        call(3, UNTIL_CANCELLED, b""),
        co_cancel(LITTLE, 3),
    ]);
    server.entered(b"a").send(()).unwrap();
    assert_eq!(peer.answer(), response(2, 0, b"a"));
    assert_eq!(peer.answer(), (3, 1, Err(FaultStatus::CANCEL)));
}

#[test]
fn an_orphaned_call_is_dropped_and_gets_no_answer() {
    let server = Running::new();
    for multiplexing in [false, true] {
        let mut peer = server.client(multiplexing);
        peer.send(&[call(2, WAIT, b"a")]);
        let answer = server.entered(b"a");
        peer.send(&[orphaned(LITTLE, 2)]);
        server.expect_dropped(b"a");
        assert!(answer.is_closed());
        peer.expect_alive();
        // So is one of several; the others go on.
        peer.send(&[call(3, WAIT, b"b")]);
        let b = server.entered(b"b");
        if multiplexing {
            peer.send(&[call(4, WAIT, b"c")]);
            let _c = server.entered(b"c");
            peer.send(&[orphaned(LITTLE, 4)]);
            server.expect_dropped(b"c");
        }
        b.send(()).unwrap();
        assert_eq!(peer.answer(), response(3, 0, b"b"));
        server.expect_replied(b"b");
    }
}

#[test]
fn calls_of_a_client_that_is_gone_are_dropped() {
    let server = Running::new();
    for multiplexing in [false, true] {
        let mut peer = server.client(multiplexing);
        peer.send(&[call(2, WAIT, b"a")]);
        let _answer = server.entered(b"a");
        drop(peer);
        server.expect_dropped(b"a");
    }
    let drained = async { tokio::time::timeout(DEADLINE, server.server.drained()).await };
    server
        .runtime
        .block_on(drained)
        .expect("no connection is left");
}

#[test]
fn a_client_is_found_to_be_gone_also_when_nothing_more_is_read_of_it() {
    let limits = Limits {
        calls_in_flight: 2,
        ..Limits::default()
    };
    let server = Running::within(limits);
    for multiplexing in [false, true] {
        let mut peer = server.client(multiplexing);
        // Some run, as many as may wait, and the rest is not read.
        let calls: Vec<_> = (2..100).map(|id| call(id, WAIT, b"a")).collect();
        peer.send(&calls);
        let _answer = server.entered(b"a");
        let _another = multiplexing.then(|| server.entered(b"a"));
        drop(peer);
        server.expect_dropped(b"a");
        if multiplexing {
            server.expect_dropped(b"a");
        }
    }
    server.expect_nothing();
}

#[test]
fn calls_that_run_count_among_what_all_connections_hold() {
    const RUNNING: u32 = 13;
    const STUB: [u8; 5000] = [7; 5000];
    let limits = Limits {
        held_octets: RUNNING as usize * STUB.len() + 500,
        ..Limits::default()
    };
    let server = Running::within(limits);
    let mut holder = server.client(true);
    let calls: Vec<_> = (2..2 + RUNNING).map(|id| call(id, WAIT, &STUB)).collect();
    holder.send(&calls);
    let answers: Vec<_> = calls.iter().map(|_| server.entered(&STUB)).collect();
    holder.expect_alive();
    let fragment = |flags| request(2, flags, NOW, &STUB);
    let mut incomplete = vec![fragment(PfcFlags(0)); 5];
    incomplete[0] = fragment(PfcFlags::FIRST_FRAG);
    let mut other = server.client(true);
    other.send(&incomplete);
    assert_eq!(other.answer(), (2, 0, Err(FaultStatus::REMOTE_NO_MEMORY)));
    assert_eq!(other.pdu(), None);

    answers
        .into_iter()
        .for_each(|answer| answer.send(()).unwrap());
    for _ in 0..RUNNING {
        assert_eq!(holder.answer().2, Ok(STUB.to_vec()));
    }
    let mut other = server.client(true);
    other.send(&incomplete);
    other.send(&[fragment(PfcFlags::LAST_FRAG)]);
    let (_, _, answer) = other.answer();
    assert_eq!(answer.map(|stub| stub.first().copied()), Ok(Some(7)));
}

#[test]
fn answers_of_calls_that_run_are_not_kept_without_limit_for_who_does_not_read() {
    const LONG: usize = 16 << 20; // more than the system takes by itself
    let limits = Limits {
        held_octets: 2 * LONG,
        write_timeout: 10 * DEADLINE,
        ..Limits::default()
    };
    let server = Running::within(limits);
    let mut reader = server.client(true);
    let mut peer = server.client(true);
    let calls: Vec<_> = (2..6).map(|id| call(id, LONG_ANSWER, b"a")).collect();
    peer.send(&calls);
    let answers: Vec<_> = calls.iter().map(|_| server.entered(b"a")).collect();
    for answer in answers {
        // The last ones may have been ended with the connection.
        let _ = answer.send(());
    }
    let ended = async {
        while server.server.connections() > 1 {
            tokio::task::yield_now().await;
        }
    };
    let ended = async { tokio::time::timeout(DEADLINE, ended).await };
    server
        .runtime
        .block_on(ended)
        .expect("the end of who does not read");
    reader.expect_alive();
}

#[test]
fn an_operation_that_panics_faults_and_others_go_on() {
    let server = Running::new();
    for multiplexing in [false, true] {
        let mut peer = server.client(multiplexing);
        for opnum in [PANIC, PANIC_LATER] {
            peer.send(&[call(2, opnum, b"")]);
            assert_eq!(peer.answer(), (2, 0, Err(FaultStatus::UNSPEC)));
            peer.expect_alive();
        }
    }
    let mut peer = server.client(true);
    peer.send(&[call(2, WAIT, b"a")]);
    let a = server.entered(b"a");
    for opnum in [PANIC, PANIC_LATER] {
        peer.send(&[call(3, opnum, b"")]);
        assert_eq!(peer.answer(), (3, 0, Err(FaultStatus::UNSPEC)));
    }
    a.send(()).unwrap();
    assert_eq!(peer.answer(), response(2, 0, b"a"));
}

#[test]
fn a_stop_waits_for_the_calls_that_run_and_those_that_were_read() {
    for multiplexing in [false, true] {
        let server = Running::new();
        let mut peer = server.client(multiplexing);
        peer.send(&[call(2, WAIT, b"a"), call(3, WAIT, b"b")]);
        let a = server.entered(b"a");
        let early = multiplexing.then(|| server.entered(b"b"));
        // Behind this both calls have been read.
        peer.send(&[co_cancel(LITTLE, 2)]);
        server.expect_cancelled(b"a");
        server.stop.send(true).unwrap();
        assert_eq!(server.server.connections(), 1);
        a.send(()).unwrap();
        assert_eq!(peer.answer(), response(2, 1, b"a"));
        server.expect_replied(b"a");
        let b = early.unwrap_or_else(|| server.entered(b"b"));
        b.send(()).unwrap();
        assert_eq!(peer.answer(), response(3, 0, b"b"));
        assert_eq!(peer.pdu(), None);
        drop(peer);
        let drained = async { tokio::time::timeout(DEADLINE, server.server.drained()).await };
        server
            .runtime
            .block_on(drained)
            .expect("no connection is left");
    }
}

#[test]
fn calls_that_were_read_are_answered_while_a_leg_of_a_logon_waits() {
    for multiplexing in [false, true] {
        let server = Running::new();
        let mut peer = server.client(multiplexing);
        peer.send(&[
            call(2, WAIT, b"a"),
            call(3, WAIT, b"b"),
            leg(4),
            call(5, WAIT, b"c"),
        ]);
        let a = server.entered(b"a");
        let early = multiplexing.then(|| server.entered(b"b"));
        a.send(()).unwrap();
        assert_eq!(peer.answer(), response(2, 0, b"a"));
        server.expect_replied(b"a");
        early
            .unwrap_or_else(|| server.entered(b"b"))
            .send(())
            .unwrap();
        assert_eq!(peer.answer(), response(3, 0, b"b"));
        server.expect_replied(b"b");
        // Behind a leg nothing is read.
        server.expect_nothing();
        server.legs.send(()).unwrap();
        let answer = peer.pdu().expect("an answer to the leg");
        let header = Header::decode(&answer).unwrap();
        assert_eq!(header.ptype, PacketType::ALTER_CONTEXT_RESP);
        server.entered(b"c").send(()).unwrap();
        assert_eq!(peer.answer(), response(5, 0, b"c"));
    }
}

#[test]
fn a_stop_waits_for_calls_that_run_and_not_for_a_leg() {
    let server = Running::new();
    let mut peer = server.client(true);
    peer.send(&[call(2, WAIT, b"a"), leg(3)]);
    let a = server.entered(b"a");
    server.stop.send(true).unwrap();
    a.send(()).unwrap();
    assert_eq!(peer.answer(), response(2, 0, b"a"));
    assert_eq!(peer.pdu(), None);
    server.legs.send(()).unwrap();
}
