//! A server that authenticates: legs over sockets, wrong logons slowed, what is required of callers.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/legs.rs"]
mod legs;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/provider.rs"]
mod provider;

use epmapper::proto::{LegAnswer, Principal, SecurityContext, SecurityError, SecurityProvider};
use epmapper::server::mapper::Counter;
use epmapper::server::{Limits, Mapper, MapperSettings, Server, serve};
use epmapper::service::{Access, Conversation, Required};
use epmapper::transport::Listener;
use epmapper::transport::unix::Access as SocketAccess;
use epmapper::wire::binding::Binding;
use epmapper::wire::pdu::{AuthLevel, AuthType, Body, PacketType, Pdu, PfcFlags};
use epmapper::wire::status::RejectReason;
use epmapper::wire::{FaultStatus, SyntaxId, ept, mgmt};
use legs::{Identity, negotiation};
use peer::Peer;
use provider::{Legs, Words, hello, proof};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;

const NTLM: AuthType = AuthType::NTLM;

/// A server in this process, on ports of their own.
struct Running {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    server: Arc<Server>,
    mapper: Arc<Mapper>,
    tcp: SocketAddr,
}

impl Running {
    fn new(providers: Vec<Arc<dyn SecurityProvider>>, limits: Limits, access: Access) -> Running {
        let settings = MapperSettings {
            access,
            ..MapperSettings::new(Conversation::Windows, 10)
        };
        let (mapper, _) = Mapper::new(settings);
        let (interfaces, locals) = (mapper.interfaces(), mapper.local_interfaces());
        let server = Server::new(interfaces, locals, providers, limits, mapper.statistics());
        // One worker, so that a leg that holds it up holds up all.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = watch::channel(false);
        let binding: Binding = "ncacn_ip_tcp:127.0.0.1[0]".parse().unwrap();
        let listener = Listener::bind(&binding, SocketAccess::default()).unwrap();
        let port = listener.binding().endpoint.parse().unwrap();
        runtime.spawn(serve(listener, server.clone(), stopped));
        Running {
            runtime,
            stop,
            server,
            mapper,
            tcp: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    /// Logons that came to their end, and those that were refused.
    fn logons(&self) -> [u64; 2] {
        self.mapper.statistics().logons()
    }

    /// Calls that were refused since more had to be proved for them.
    fn unproved(&self) -> u64 {
        self.mapper.counters().count(Counter::RefusedUnproved)
    }
}

/// The provider of words, two legs.
fn words() -> Vec<Arc<dyn SecurityProvider>> {
    vec![Arc::new(Words {
        auth_type: NTLM,
        legs: Legs::TwoWelcomed,
        signs: u64::MAX,
    })]
}

/// A limit of one wrong logon, which is not forgiven while a test runs.
fn unforgiving() -> Limits {
    Limits {
        wrong_logons: 1,
        wrong_logon_rest: Duration::from_secs(3600),
        ..Limits::default()
    }
}

/// What a bind or alter_context came to.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Ack,
    Nak(RejectReason),
    Fault(FaultStatus),
}

/// Sends a PDU that is answered.
fn ask(peer: &mut Peer, octets: &[u8]) -> Came {
    peer.try_send(octets);
    let answer = peer.pdu_or_end().expect("an answer");
    match Pdu::decode(&answer).unwrap().body {
        Body::BindAck(_) | Body::AlterContextResp(_) | Body::Response(_) => Came::Ack,
        Body::BindNak(nak) => Came::Nak(nak.reason),
        Body::Fault(fault) => Came::Fault(fault.status),
        other => panic!("no answer: {other:?}"),
    }
}

/// A leg that a PDU of this type carries.
fn leg(peer: &mut Peer, ptype: PacketType, level: AuthLevel, token: &[u8]) -> Came {
    let identity = Identity::new(NTLM, level);
    let none = PfcFlags::default();
    let pdu = negotiation(ptype, none, SyntaxId::EPT, Some((identity, token)));
    ask(peer, &pdu)
}

/// Both legs; what the last came to.
fn log_on(peer: &mut Peer, level: AuthLevel, name: &str, proof: &[u8]) -> Came {
    match leg(peer, PacketType::BIND, level, &hello(name)) {
        Came::Ack => leg(peer, PacketType::ALTER_CONTEXT, level, proof),
        refused => refused,
    }
}

/// Asks for all entries.
fn list(peer: &mut Peer) -> Came {
    let lookup = peer.lookup_request(ept::ContextHandle::NULL, 1);
    ask(peer, &lookup)
}

/// Asks inq_object, which has no arguments but an object.
fn ask_ept(peer: &mut Peer) -> Came {
    let none = PfcFlags::WHOLE;
    ask(peer, &legs::request(none, ept::INQ_OBJECT, &[0; 16], None))
}

#[test]
fn a_client_logs_on_and_is_counted() {
    let running = Running::new(words(), Limits::default(), Access::default());
    let mut peer = Peer::connect(running.tcp);
    let level = AuthLevel::CONNECT;
    assert_eq!(
        log_on(&mut peer, level, "alice", &proof("alice")),
        Came::Ack
    );
    assert_eq!(ask_ept(&mut peer), Came::Ack);
    assert_eq!(running.logons(), [1, 0]);
}

#[test]
fn a_wrong_logon_is_refused_counted_and_ends_its_connection_alone() {
    let running = Running::new(words(), Limits::default(), Access::default());
    let mut good = Peer::bound(running.tcp);
    let mut bad = Peer::connect(running.tcp);
    let came = log_on(&mut bad, AuthLevel::CONNECT, "alice", b"it is mallory");
    assert_eq!(came, Came::Fault(FaultStatus::ACCESS_DENIED));
    assert!(bad.pdu_or_end().is_none());
    assert_eq!(running.logons(), [0, 1]);
    assert_eq!(ask_ept(&mut good), Came::Ack);
}

#[test]
fn after_too_many_wrong_logons_a_client_is_not_even_heard() {
    let running = Running::new(words(), unforgiving(), Access::default());
    let level = AuthLevel::CONNECT;
    let mut bad = Peer::connect(running.tcp);
    log_on(&mut bad, level, "alice", b"it is mallory");
    // The right proof is not heard either, and told no different from a wrong one.
    let mut right = Peer::connect(running.tcp);
    let came = log_on(&mut right, level, "alice", &proof("alice"));
    assert_eq!(came, Came::Nak(RejectReason::INVALID_CHECKSUM));
    assert!(right.pdu_or_end().is_none());
    // Without a logon it is served, and so are others with one.
    let mut anonymous = Peer::bound(running.tcp);
    assert_eq!(ask_ept(&mut anonymous), Came::Ack);
    let mut other = Peer::connect_from([127, 0, 0, 2].into(), running.tcp);
    assert_eq!(
        log_on(&mut other, level, "alice", &proof("alice")),
        Came::Ack
    );
}

#[test]
fn wrong_logons_beyond_the_first_are_answered_one_after_the_other() {
    const REST: Duration = Duration::from_millis(50);
    let limits = Limits {
        wrong_logons: 1,
        wrong_logon_rest: REST,
        ..Limits::default()
    };
    let running = Running::new(words(), limits, Access::default());
    let begun = Instant::now();
    for earlier in 0..6 {
        let mut bad = Peer::connect(running.tcp);
        let came = log_on(&mut bad, AuthLevel::CONNECT, "alice", b"it is mallory");
        assert_eq!(came, Came::Fault(FaultStatus::ACCESS_DENIED));
        // However slow this host is, one is not answered earlier than that.
        assert!(begun.elapsed() >= earlier * REST, "after {earlier}");
    }
    assert_eq!(running.logons(), [0, 6]);
}

#[test]
fn right_logons_cost_a_client_nothing() {
    let running = Running::new(words(), unforgiving(), Access::default());
    for _ in 0..100 {
        let mut peer = Peer::connect(running.tcp);
        let came = log_on(&mut peer, AuthLevel::CONNECT, "alice", &proof("alice"));
        assert_eq!(came, Came::Ack);
    }
    assert_eq!(running.logons(), [100, 0]);
}

#[test]
fn strange_tokens_count_as_wrong_logons() {
    let running = Running::new(words(), unforgiving(), Access::default());
    for _ in 0..3 {
        let mut peer = Peer::connect(running.tcp);
        let came = leg(&mut peer, PacketType::BIND, AuthLevel::CONNECT, b"what");
        assert_eq!(came, Came::Nak(RejectReason::INVALID_CHECKSUM));
    }
    let [right, wrong] = running.logons();
    assert_eq!((right, wrong), (0, 1), "the others are not heard");
}

#[test]
fn whoever_has_many_addresses_does_not_fill_the_log() {
    let running = Running::new(words(), unforgiving(), Access::default());
    // A hundred a second are told.
    let clients = (0..250_u8).map(|last| [127, 0, 3, last].into());
    let begun = std::time::Instant::now();
    for client in clients {
        let mut peer = Peer::connect_from(client, running.tcp);
        leg(&mut peer, PacketType::BIND, AuthLevel::CONNECT, b"what");
    }
    let told = 100 + 100 * (1 + begun.elapsed().as_secs());
    let untold = running.mapper.statistics().untold();
    assert!(untold >= 250_u64.saturating_sub(told), "{untold}");
    assert_eq!(running.logons(), [0, 250]);
}

#[test]
fn a_connection_has_so_many_security_contexts() {
    let limits = Limits {
        security_contexts: 2,
        ..Limits::default()
    };
    let running = Running::new(words(), limits, Access::default());
    let mut peer = Peer::connect(running.tcp);
    let pdu = |ptype, id| {
        let identity = Identity {
            id,
            ..Identity::new(NTLM, AuthLevel::CONNECT)
        };
        let token = hello("alice");
        negotiation(
            ptype,
            PfcFlags::default(),
            SyntaxId::EPT,
            Some((identity, &token)),
        )
    };
    assert_eq!(ask(&mut peer, &pdu(PacketType::BIND, 1)), Came::Ack);
    assert_eq!(
        ask(&mut peer, &pdu(PacketType::ALTER_CONTEXT, 2)),
        Came::Ack
    );
    let came = ask(&mut peer, &pdu(PacketType::ALTER_CONTEXT, 3));
    assert_eq!(came, Came::Fault(FaultStatus::PROTO_ERROR));
    assert!(peer.pdu_or_end().is_none());
}

/// A first leg of another context than the bind's, with a long token; whether it is answered.
fn begin_another(peer: &mut Peer, ptype: PacketType, id: u32) -> bool {
    let identity = Identity {
        id,
        ..Identity::new(NTLM, AuthLevel::CONNECT)
    };
    let token = hello(&"a".repeat(4000));
    let none = PfcFlags::default();
    let pdu = negotiation(ptype, none, SyntaxId::EPT, Some((identity, &token)));
    peer.try_send(&pdu) && peer.pdu_or_end().is_some()
}

#[test]
fn half_logons_of_all_connections_together_are_limited() {
    let limits = Limits {
        held_octets: 40_000,
        ..Limits::default()
    };
    let running = Running::new(words(), limits, Access::default());
    let mut hogs = Vec::new();
    let mut begun = 0;
    for _ in 0..4 {
        let mut hog = Peer::connect(running.tcp);
        let mut contexts = (1..60).take_while(|id| match id {
            1 => begin_another(&mut hog, PacketType::BIND, *id),
            _ => begin_another(&mut hog, PacketType::ALTER_CONTEXT, *id),
        });
        begun += contexts.by_ref().count();
        hogs.push(hog);
    }
    // All of them could have had 236 of 4000 octets.
    assert!((8..40).contains(&begun), "{begun} contexts");
    // Who logs on as people do is heard.
    let mut right = Peer::connect(running.tcp);
    let level = AuthLevel::CONNECT;
    assert_eq!(
        log_on(&mut right, level, "alice", &proof("alice")),
        Came::Ack
    );
}

/// A provider whose legs wait until they are told to go on.
#[derive(Debug)]
struct Slow {
    begun: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl SecurityProvider for Slow {
    fn auth_type(&self) -> AuthType {
        NTLM
    }

    fn begin(&self, _: AuthLevel) -> Box<dyn SecurityContext> {
        Box::new(SlowContext {
            begun: self.begun.clone(),
            go: self.go.clone(),
        })
    }

    fn may_block(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct SlowContext {
    begun: Sender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl SecurityContext for SlowContext {
    fn proceed(&mut self, _: &[u8]) -> Result<LegAnswer, SecurityError> {
        self.begun.send(()).unwrap();
        let told = self.go.lock().unwrap().recv();
        told.map_err(|_| SecurityError::Token("the test is over"))?;
        Ok(LegAnswer {
            token: Vec::new(),
            is_complete: true,
        })
    }

    fn principal(&self) -> Principal {
        Principal::Anonymous
    }

    fn signature_len(&self) -> usize {
        16
    }

    fn verify(&mut self, _: epmapper::proto::Packet<'_>, _: &[u8]) -> Result<(), SecurityError> {
        Err(SecurityError::Signature)
    }

    fn protect(
        &mut self,
        _: epmapper::proto::Packet<'_>,
        _: &mut [u8],
    ) -> Result<(), SecurityError> {
        Err(SecurityError::Signature)
    }
}

/// Slow legs: the server, what tells that one has begun, and what lets it go on.
fn slow() -> (Running, Receiver<()>, Sender<()>) {
    slow_with(Limits::default())
}

/// The same with these limits.
fn slow_with(limits: Limits) -> (Running, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let slow = Slow {
        begun,
        go: Arc::new(Mutex::new(may_go)),
    };
    let running = Running::new(vec![Arc::new(slow)], limits, Access::default());
    (running, has_begun, go)
}

/// Sends a bind with a token, and nothing else.
fn begin(running: &Running) -> Peer {
    let mut peer = Peer::connect(running.tcp);
    let identity = Identity::new(NTLM, AuthLevel::CONNECT);
    let none = PfcFlags::default();
    let token: &[u8] = b"hello";
    let bind = negotiation(
        PacketType::BIND,
        none,
        SyntaxId::EPT,
        Some((identity, token)),
    );
    peer.try_send(&bind);
    peer
}

#[test]
fn a_leg_that_waits_holds_nobody_up() {
    let (running, has_begun, go) = slow();
    let mut waiting = begin(&running);
    has_begun.recv_timeout(daemon::DEADLINE).unwrap();
    // The one worker answers others meanwhile.
    let mut other = Peer::bound(running.tcp);
    assert_eq!(ask_ept(&mut other), Came::Ack);
    go.send(()).unwrap();
    let answer = waiting.pdu_or_end().expect("an answer to the bind");
    assert!(matches!(
        Pdu::decode(&answer).unwrap().body,
        Body::BindAck(_)
    ));
}

#[test]
fn right_logons_of_one_client_at_once_do_not_slow_each_other() {
    let limits = Limits {
        wrong_logons: 8,
        ..unforgiving()
    };
    let (running, has_begun, go) = slow_with(limits);
    let mut peers: Vec<Peer> = (0..8).map(|_| begin(&running)).collect();
    for _ in &peers {
        has_begun.recv_timeout(daemon::DEADLINE).unwrap();
    }
    // As many are taken at once; the next is heard behind them.
    peers.push(begin(&running));
    let mut other = Peer::bound(running.tcp);
    assert_eq!(ask_ept(&mut other), Came::Ack);
    for _ in &peers {
        go.send(()).unwrap();
    }
    for mut peer in peers {
        let answer = peer.pdu_or_end().expect("an answer to the bind");
        let answer = Pdu::decode(&answer).unwrap().body;
        assert!(matches!(answer, Body::BindAck(_)), "{answer:?}");
    }
}

#[test]
fn a_leg_that_waits_does_not_keep_the_server_from_ending() {
    let (running, has_begun, go) = slow();
    let mut waiting = begin(&running);
    has_begun.recv_timeout(daemon::DEADLINE).unwrap();
    running.stop.send_replace(true);
    assert!(waiting.pdu_or_end().is_none(), "closed");
    let drained = async { tokio::time::timeout(daemon::DEADLINE, running.server.drained()).await };
    running
        .runtime
        .block_on(drained)
        .expect("no connection left");
    drop(go);
}

/// What callers get from a mapper that requires something.
fn required(required: Required, level: AuthLevel) -> Running {
    let access = Access { required, level };
    Running::new(words(), Limits::default(), access)
}

#[test]
fn lookups_can_be_for_authenticated_callers_only() {
    let running = required(Required::Lookups, AuthLevel::CONNECT);
    let mut peer = Peer::bound(running.tcp);
    let denied = Came::Fault(FaultStatus::ACCESS_DENIED);
    assert_eq!(list(&mut peer), denied);
    // As Windows' client does: it logs on over the same connection, and asks again.
    let level = AuthLevel::CONNECT;
    let came = leg(&mut peer, PacketType::ALTER_CONTEXT, level, &hello("alice"));
    assert_eq!(came, Came::Ack);
    let came = leg(&mut peer, PacketType::ALTER_CONTEXT, level, &proof("alice"));
    assert_eq!(came, Came::Ack);
    assert_eq!(list(&mut peer), Came::Ack);
    let mut bound = Peer::connect(running.tcp);
    log_on(&mut bound, level, "alice", &proof("alice"));
    assert_eq!(list(&mut bound), Came::Ack);
    // What does not list is still for everybody.
    let mut peer = Peer::bound(running.tcp);
    assert_eq!(ask_ept(&mut peer), Came::Ack);
    let mut peer = Peer::connect(running.tcp);
    let none = PfcFlags::default();
    let bind = negotiation(PacketType::BIND, none, SyntaxId::MGMT, None);
    assert_eq!(ask(&mut peer, &bind), Came::Ack);
    let call = |opnum| legs::request(PfcFlags::WHOLE, opnum, &[], None);
    assert_eq!(ask(&mut peer, &call(mgmt::INQ_IF_IDS)), denied);
    assert_eq!(ask(&mut peer, &call(mgmt::IS_SERVER_LISTENING)), Came::Ack);
    assert_eq!(running.unproved(), 2);
}

#[test]
fn everything_can_be_for_callers_of_a_least_level_only() {
    let running = required(Required::Everything, AuthLevel::INTEGRITY);
    let denied = Came::Fault(FaultStatus::ACCESS_DENIED);
    for interface in [SyntaxId::EPT, SyntaxId::MGMT] {
        let mut peer = Peer::connect(running.tcp);
        let none = PfcFlags::default();
        ask(
            &mut peer,
            &negotiation(PacketType::BIND, none, interface, None),
        );
        assert_eq!(ask_ept(&mut peer), denied);
    }
    let mut peer = Peer::connect(running.tcp);
    log_on(&mut peer, AuthLevel::CONNECT, "alice", &proof("alice"));
    assert_eq!(ask_ept(&mut peer), denied, "level connect is too low");
    assert_eq!(running.unproved(), 3);
}
