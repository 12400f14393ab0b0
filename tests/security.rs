//! Security contexts of a connection, with a provider of words: legs, signatures, wrong moves.
//!
//! The client's end is written by hand, since it has to do what no client does. Both ends are in memory.

#[path = "support/provider.rs"]
mod provider;

use bytes::BytesMut;
use epmapper::proto::security::Packet;
use epmapper::proto::{
    Answer, Association, Call, Closed, Event, Leg, LegAnswer, LegOutcome, Security,
    SecurityProvider, Served, Settings,
};
use epmapper::wire::pdu::{
    Auth3, AuthLevel, AuthType, AuthVerifier, Bind, Body, ContextsBuf, Header, PacketType, Pdu,
    PfcFlags, Request,
};
use epmapper::wire::status::{FaultStatus, RejectReason};
use epmapper::wire::{ByteOrder, DataRepresentation, SyntaxId};
use provider::{CHALLENGE, Legs, Packets, SIGNATURE, THANKS, WELCOME, Words, hello, proof};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NTLM: AuthType = AuthType::NTLM;
const SPNEGO: AuthType = AuthType::SPNEGO;
const KERBEROS: AuthType = AuthType::KERBEROS;

/// One provider for each number of legs, and one whose contexts sign one packet.
fn providers() -> Vec<Arc<dyn SecurityProvider>> {
    let words = |auth_type, legs, signs| Words {
        auth_type,
        legs,
        signs,
    };
    [
        words(NTLM, Legs::Two, u64::MAX),
        words(SPNEGO, Legs::TwoWelcomed, u64::MAX),
        words(KERBEROS, Legs::Three, u64::MAX),
        words(AuthType::NETLOGON, Legs::One, u64::MAX),
        words(AuthType::SCHANNEL, Legs::Two, 1),
    ]
    .map(|words| -> Arc<dyn SecurityProvider> { Arc::new(words) })
    .into()
}

const MAX_CONTEXTS: usize = 4;

/// What the clients take, so that long answers show whether it is kept to.
const MAX_RECV_FRAG: u16 = 1432;
const SIGN: PfcFlags = PfcFlags::PENDING_CANCEL;
const FIRST: PfcFlags = PfcFlags::FIRST_FRAG;
const LAST: PfcFlags = PfcFlags::LAST_FRAG;
const WHOLE: PfcFlags = PfcFlags::WHOLE;

fn settings() -> Settings {
    let served = [SyntaxId::EPT, SyntaxId::MGMT].map(|interface| Served {
        interface,
        transfer_syntaxes: vec![SyntaxId::NDR],
    });
    Settings {
        interfaces: Arc::new(served),
        secondary_address: "135".into(),
        max_frag: 5840,
        max_call: 4 << 20,
        max_waiting: 4,
        max_queued: 1 << 20,
        max_contexts: 8,
        security: Security {
            auth_types: Arc::new([
                NTLM,
                SPNEGO,
                KERBEROS,
                AuthType::NETLOGON,
                AuthType::SCHANNEL,
            ]),
            max_contexts: MAX_CONTEXTS,
        },
        bind_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(60),
        call_timeout: Duration::from_secs(20),
    }
}

/// A server whose operation n answers its own stub n times over.
struct Server {
    association: Association,
    calls: Vec<Call>,
}

impl Server {
    fn new() -> Self {
        Server {
            association: Association::new(Arc::new(settings()), Instant::now()),
            calls: Vec::new(),
        }
    }

    /// Takes octets in and gives back all that is sent.
    fn exchange(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut input = BytesMut::from(octets);
        let now = Instant::now();
        loop {
            self.association.receive(now, &mut input);
            let Some(event) = self.association.poll_event() else {
                break;
            };
            match event {
                Event::Leg(leg) => self.association.leg_taken(leg.take(&providers())),
                Event::Cancel(_) | Event::Orphaned(_) => {}
                Event::Join { .. } => self.association.joined(Some(77)),
                Event::Call(call) => {
                    let stub = call.stub.repeat(usize::from(call.opnum));
                    self.association.reply(&call, Answer::Response(&stub));
                    self.calls.push(call);
                }
            }
        }
        let sent = self
            .association
            .poll_transmit()
            .unwrap_or_default()
            .to_vec();
        self.association.transmitted(sent.len());
        sent
    }

    /// Who made the last call.
    fn caller(&self) -> Option<(String, AuthLevel)> {
        let caller = self.calls.last().unwrap().caller.as_ref()?;
        Some((caller.principal.to_string(), caller.auth_level))
    }

    fn is_open(&self) -> bool {
        self.association.closed().is_none()
    }
}

/// What a client says of itself in its verifiers.
#[derive(Clone, Copy, Debug)]
struct Identity {
    auth_type: AuthType,
    level: AuthLevel,
    id: u32,
    pad: u8,
}

impl Identity {
    const fn new(level: AuthLevel, id: u32) -> Self {
        Identity {
            auth_type: NTLM,
            level,
            id,
            pad: 0,
        }
    }

    /// Checks that a verifier of the server names this context.
    #[track_caller]
    fn assert_named_by(&self, verifier: &AuthVerifier<'_>) {
        let named = (verifier.auth_type, verifier.auth_level, verifier.context_id);
        assert_eq!(named, (self.auth_type, self.level, self.id));
        assert_eq!(verifier.reserved, 0);
    }

    fn verifier<'a>(&self, value: &'a [u8]) -> AuthVerifier<'a> {
        AuthVerifier {
            auth_type: self.auth_type,
            auth_level: self.level,
            pad_length: self.pad,
            reserved: 0,
            context_id: self.id,
            value,
        }
    }
}

fn encoded(flags: PfcFlags, body: Body<'_>, pad: &[u8], auth: Option<AuthVerifier<'_>>) -> Vec<u8> {
    let ptype = body.packet_type().unwrap();
    let mut octets = Vec::new();
    let pdu = Pdu {
        header: Header::new(ptype, flags, DataRepresentation::LITTLE, 3),
        body,
        pad,
        auth,
    };
    pdu.encode(&mut octets);
    octets
}

/// A bind or alter_context that offers context 1 of mgmt, or another list.
fn negotiation(
    ptype: PacketType,
    flags: PfcFlags,
    syntax: SyntaxId,
    auth: Option<(Identity, &[u8])>,
) -> Vec<u8> {
    let mut contexts = ContextsBuf::new(ByteOrder::Little);
    contexts.push(1, syntax, &[SyntaxId::NDR]);
    let bind = Bind {
        max_xmit_frag: 5840,
        max_recv_frag: MAX_RECV_FRAG,
        assoc_group_id: 0,
        contexts: contexts.as_contexts(),
    };
    let body = match ptype {
        PacketType::BIND => Body::Bind(bind),
        _ => Body::AlterContext(bind),
    };
    let auth = auth
        .as_ref()
        .map(|(identity, token)| identity.verifier(token));
    encoded(WHOLE | flags, body, &[], auth)
}

fn bind(flags: PfcFlags, auth: Option<(Identity, &[u8])>) -> Vec<u8> {
    negotiation(PacketType::BIND, flags, SyntaxId::MGMT, auth)
}

fn alter(flags: PfcFlags, auth: Option<(Identity, &[u8])>) -> Vec<u8> {
    negotiation(PacketType::ALTER_CONTEXT, flags, SyntaxId::MGMT, auth)
}

fn auth3(identity: Identity, token: &[u8]) -> Vec<u8> {
    let body = Body::Auth3(Auth3 { pad: [0; 4] });
    encoded(WHOLE, body, &[], Some(identity.verifier(token)))
}

/// A request of context 1, operation 1.
fn request(flags: PfcFlags, stub: &[u8], auth: Option<AuthVerifier<'_>>, pad: &[u8]) -> Vec<u8> {
    let body = Body::Request(Request {
        alloc_hint: 0,
        context_id: 1,
        opnum: 1,
        object: None,
        stub,
    });
    encoded(flags, body, pad, auth)
}

/// Connections know no level packet: it is integrity.
fn as_told_to_a_provider(level: AuthLevel) -> AuthLevel {
    match level {
        AuthLevel::PACKET => AuthLevel::INTEGRITY,
        level => level,
    }
}

/// A client's security context.
struct Client {
    identity: Identity,
    packets: Packets,
    signs_header: bool,
}

impl Client {
    fn new(name: &str, identity: Identity) -> Self {
        Client {
            identity,
            packets: Packets::new(name, as_told_to_a_provider(identity.level)),
            signs_header: false,
        }
    }

    /// A signed request.
    fn request(&mut self, flags: PfcFlags, stub: &[u8]) -> Vec<u8> {
        self.request_as(self.identity, flags, stub)
    }

    /// The same with a verifier's head that says something else.
    fn request_as(&mut self, told: Identity, flags: PfcFlags, stub: &[u8]) -> Vec<u8> {
        let pad = vec![0; stub.len().wrapping_neg() % 16];
        let told = Identity {
            pad: pad.len() as u8,
            ..told
        };
        let zeros = [0; SIGNATURE];
        let mut octets = request(flags, stub, Some(told.verifier(&zeros)), &pad);
        let signed = octets.len() - SIGNATURE;
        let (front, signature) = octets.split_at_mut(signed);
        let packet = Packet {
            octets: front,
            stub: 24..signed - 8,
            signs_header: self.signs_header,
        };
        self.packets.protect(packet, signature);
        octets
    }

    /// The stub of a signed answer; panics where a signature does not fit.
    fn open(&mut self, answer: &[u8]) -> Vec<u8> {
        let mut joined = Vec::new();
        for pdu in split(answer) {
            assert!(
                pdu.len() <= MAX_RECV_FRAG.into(),
                "a fragment of {} octets",
                pdu.len()
            );
            let decoded = Pdu::decode(pdu).unwrap();
            let verifier = decoded.auth.expect("a verifier");
            self.identity.assert_named_by(&verifier);
            let mut plain = pdu.to_vec();
            let (front, signature) = plain.split_at_mut(pdu.len() - SIGNATURE);
            let stub = 24..front.len() - 8;
            assert_eq!(stub.len() % 16, 0);
            let packet = Packet {
                octets: front,
                stub: stub.clone(),
                signs_header: self.signs_header,
            };
            self.packets
                .verify(packet, signature)
                .expect("the server's signature");
            joined.extend(&plain[stub.start..stub.end - usize::from(verifier.pad_length)]);
        }
        joined
    }
}

/// The PDUs of a stream.
fn split(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !octets.is_empty() {
        let len = usize::from(Header::decode(octets).unwrap().frag_length);
        let (pdu, rest) = octets.split_at(len);
        found.push(pdu);
        octets = rest;
    }
    found
}

/// The token that a bind_ack or alter_context_resp answers with, whose verifier
/// names the context.
#[track_caller]
fn token(answer: &[u8], identity: Identity) -> Vec<u8> {
    let pdu = Pdu::decode(answer).unwrap();
    assert!(
        matches!(pdu.body, Body::BindAck(_) | Body::AlterContextResp(_)),
        "{pdu:?}"
    );
    let Some(verifier) = pdu.auth else {
        return Vec::new();
    };
    identity.assert_named_by(&verifier);
    assert_eq!(verifier.pad_length, 0);
    verifier.value.to_vec()
}

/// Status, did-not-execute bit and context id of a fault, which carries no verifier.
#[track_caller]
fn fault(answer: &[u8]) -> (FaultStatus, bool, u16) {
    let pdu = Pdu::decode(answer).unwrap();
    assert_eq!(pdu.auth, None);
    let Body::Fault(fault) = pdu.body else {
        panic!("no fault: {pdu:?}");
    };
    let did_not_execute = pdu.header.flags.contains(PfcFlags::DID_NOT_EXECUTE);
    (fault.status, did_not_execute, fault.context_id)
}

#[track_caller]
fn nak(answer: &[u8]) -> RejectReason {
    match Pdu::decode(answer).unwrap().body {
        Body::BindNak(nak) => nak.reason,
        other => panic!("no bind_nak: {other:?}"),
    }
}

/// A connection bound by `name` in three legs.
fn bound(name: &str, level: AuthLevel, flags: PfcFlags) -> (Client, Server) {
    let identity = Identity::new(level, 5);
    let mut server = Server::new();
    let answer = server.exchange(&bind(flags, Some((identity, &hello(name)))));
    assert_eq!(token(&answer, identity), CHALLENGE);
    assert!(server.exchange(&auth3(identity, &proof(name))).is_empty());
    let mut client = Client::new(name, identity);
    client.signs_header = flags.contains(SIGN);
    (client, server)
}

/// A connection that was bound by nobody.
fn bound_by_nobody() -> Server {
    let mut server = Server::new();
    let answer = server.exchange(&bind(PfcFlags(0), None));
    assert_eq!(token(&answer, Identity::new(AuthLevel::NONE, 0)), b"");
    server
}

/// Another security context on it.
fn altered(server: &mut Server, name: &str, level: AuthLevel, id: u32) -> Client {
    let identity = Identity::new(level, id);
    let answer = server.exchange(&alter(PfcFlags(0), Some((identity, &hello(name)))));
    assert_eq!(token(&answer, identity), CHALLENGE);
    let answer = server.exchange(&alter(PfcFlags(0), Some((identity, &proof(name)))));
    assert_eq!(
        token(&answer, identity),
        b"",
        "NTLM's last leg is answered without a verifier"
    );
    Client::new(name, identity)
}

const STUB: &[u8] = b"twenty octets of it.";

#[test]
fn signed_calls_are_verified_and_answered_signed() {
    for level in [AuthLevel::PACKET, AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        for flags in [PfcFlags(0), SIGN] {
            let (mut client, mut server) = bound("alice", level, flags);
            for _ in 0..3 {
                let octets = client.request(WHOLE, STUB);
                let sealed = !octets.windows(STUB.len()).any(|window| window == STUB);
                assert_eq!(sealed, level == AuthLevel::PRIVACY);
                let answer = server.exchange(&octets);
                assert_eq!(client.open(&answer), STUB);
            }
            assert_eq!(server.caller(), Some(("alice".into(), level)));
            assert_eq!(server.calls[2].stub, STUB);
        }
    }
}

#[test]
fn long_answers_are_signed_fragment_by_fragment() {
    let (mut client, mut server) = bound("alice", AuthLevel::PRIVACY, SIGN);
    let stub = vec![7; 5000];
    let octets = client.request(WHOLE, &stub);
    let answer = server.exchange(&octets);
    assert_eq!(client.open(&answer), stub);
    let first = client.request(FIRST, &stub);
    let last = client.request(LAST, &stub);
    let answer = server.exchange(&[first, last].concat());
    assert_eq!(split(&answer).len(), 8);
    assert_eq!(client.open(&answer), [&stub[..], &stub].concat());
}

#[test]
fn level_connect_tells_who_and_signs_nothing() {
    let (client, mut server) = bound("alice", AuthLevel::CONNECT, PfcFlags(0));
    let bare = request(WHOLE, STUB, None, &[]);
    let ones = [&[1][..], &[0; 15]].concat();
    let told = request(WHOLE, STUB, Some(client.identity.verifier(&ones)), &[]);
    for octets in [bare, told] {
        let answer = server.exchange(&octets);
        let pdu = Pdu::decode(&answer).unwrap();
        assert!(matches!(pdu.body, Body::Response(response) if response.stub == STUB));
        assert_eq!(pdu.auth, None);
        assert_eq!(server.caller(), Some(("alice".into(), AuthLevel::CONNECT)));
    }
    let raised = Identity::new(AuthLevel::INTEGRITY, client.identity.id);
    let answer = server.exchange(&request(WHOLE, STUB, Some(raised.verifier(&ones)), &[]));
    assert_eq!(fault(&answer), (FaultStatus::ACCESS_DENIED, false, 1));
    assert_eq!(server.association.closed(), Some(Closed::Violation));
}

#[test]
fn a_level_is_not_lowered_in_a_request() {
    for level in [AuthLevel::PACKET, AuthLevel::INTEGRITY] {
        let lowered = Identity::new(AuthLevel::CONNECT, 5);
        let ones = [&[1][..], &[0; 15]].concat();
        let with = request(WHOLE, b"", Some(lowered.verifier(&ones)), &[]);
        let without = request(WHOLE, b"", None, &[]);
        for octets in [with, without] {
            let (_, mut server) = bound("alice", level, PfcFlags(0));
            let answer = server.exchange(&octets);
            assert_eq!(fault(&answer), (FaultStatus::ACCESS_DENIED, false, 1));
            assert!(!server.is_open());
        }
    }
}

#[test]
fn a_changed_packet_ends_the_connection() {
    let stub_octet = 24;
    let opnum_octet = 22;
    for (name, flags, changed, is_noticed) in [
        ("a stub", PfcFlags(0), stub_octet, true),
        (
            "a header without header signing",
            PfcFlags(0),
            opnum_octet,
            false,
        ),
        ("a header with header signing", SIGN, opnum_octet, true),
    ] {
        let (mut client, mut server) = bound("alice", AuthLevel::INTEGRITY, flags);
        let mut octets = client.request(WHOLE, STUB);
        octets[changed] ^= 2;
        let answer = server.exchange(&octets);
        if is_noticed {
            assert_eq!(
                fault(&answer),
                (FaultStatus::SEC_PKG_ERROR, false, 1),
                "{name}"
            );
            assert!(!server.is_open());
        } else {
            assert_eq!(client.open(&answer), STUB.repeat(3), "{name}");
        }
    }
}

#[test]
fn a_repeated_packet_ends_the_connection() {
    let (mut client, mut server) = bound("alice", AuthLevel::INTEGRITY, PfcFlags(0));
    let octets = client.request(WHOLE, STUB);
    let answer = server.exchange(&octets);
    assert_eq!(client.open(&answer), STUB);
    let answer = server.exchange(&octets);
    assert_eq!(fault(&answer), (FaultStatus::SEC_PKG_ERROR, false, 1));
}

#[test]
fn an_alter_context_turns_header_signing_on_for_the_whole_connection() {
    let mut server = bound_by_nobody();
    let mut alice = altered(&mut server, "alice", AuthLevel::INTEGRITY, 1);
    let mut bob = altered(&mut server, "bob", AuthLevel::PACKET, 2);
    for client in [&mut alice, &mut bob] {
        let octets = client.request(WHOLE, STUB);
        assert_eq!(client.open(&server.exchange(&octets)), STUB);
    }
    let answer = server.exchange(&alter(SIGN, None));
    assert!(Header::decode(&answer).unwrap().flags.contains(SIGN));
    alice.signs_header = true;
    let octets = alice.request(WHOLE, STUB);
    assert_eq!(alice.open(&server.exchange(&octets)), STUB);
    let octets = bob.request(WHOLE, STUB);
    let answer = server.exchange(&octets);
    assert_eq!(fault(&answer), (FaultStatus::SEC_PKG_ERROR, false, 1));
}

#[test]
fn an_auth3_does_not_turn_header_signing_on() {
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    let mut last = auth3(identity, &proof("alice"));
    last[3] |= SIGN.0;
    assert!(server.exchange(&last).is_empty());
    let mut client = Client::new("alice", identity);
    let octets = client.request(WHOLE, STUB);
    assert_eq!(client.open(&server.exchange(&octets)), STUB);
}

#[test]
fn several_contexts_and_nobody_share_a_connection() {
    let mut server = bound_by_nobody();
    let mut alice = altered(&mut server, "alice", AuthLevel::INTEGRITY, 1);
    let mut bob = altered(&mut server, "bob", AuthLevel::PRIVACY, 2);
    for _ in 0..2 {
        server.exchange(&request(WHOLE, STUB, None, &[]));
        assert_eq!(server.caller(), None);
        for (name, client) in [("alice", &mut alice), ("bob", &mut bob)] {
            let octets = client.request(WHOLE, STUB);
            assert_eq!(client.open(&server.exchange(&octets)), STUB);
            assert_eq!(server.caller(), Some((name.into(), client.identity.level)));
        }
    }
}

#[test]
fn calls_without_verifier_are_those_of_the_first_context_of_level_connect() {
    let mut server = bound_by_nobody();
    server.exchange(&request(WHOLE, STUB, None, &[]));
    assert_eq!(server.caller(), None);
    let identity = Identity::new(AuthLevel::CONNECT, 1);
    server.exchange(&alter(PfcFlags(0), Some((identity, &hello("alice")))));
    // Between the legs it is nobody's still.
    server.exchange(&request(WHOLE, STUB, None, &[]));
    assert_eq!(server.caller(), None);
    server.exchange(&alter(PfcFlags(0), Some((identity, &proof("alice")))));
    altered(&mut server, "bob", AuthLevel::CONNECT, 2);
    server.exchange(&request(WHOLE, STUB, None, &[]));
    assert_eq!(server.caller(), Some(("alice".into(), AuthLevel::CONNECT)));
}

#[test]
fn a_logon_that_does_not_go_on_ends_its_connection_in_the_time_of_a_bind() {
    let mut server = bound_by_nobody();
    let patience = |server: &Server| {
        let deadline = server.association.poll_timeout().unwrap();
        deadline.saturating_duration_since(Instant::now())
    };
    let (bind, idle) = (settings().bind_timeout, settings().idle_timeout);
    assert!(patience(&server) > bind);
    let identity = Identity::new(AuthLevel::CONNECT, 1);
    server.exchange(&alter(PfcFlags(0), Some((identity, &hello("alice")))));
    assert!(patience(&server) <= bind);
    // Once it is complete, the connection may be idle again.
    server.exchange(&alter(PfcFlags(0), Some((identity, &proof("alice")))));
    assert!(patience(&server) > bind && patience(&server) <= idle);
    let another = Identity::new(AuthLevel::CONNECT, 2);
    server.exchange(&alter(PfcFlags(0), Some((another, &hello("bob")))));
    server.association.handle_timeout(Instant::now() + bind);
    assert_eq!(server.association.closed(), Some(Closed::BindTimeout));
}

#[test]
fn no_more_contexts_are_begun_than_the_limit() {
    let mut server = bound_by_nobody();
    for id in 0..MAX_CONTEXTS as u32 {
        altered(&mut server, "alice", AuthLevel::INTEGRITY, id);
    }
    let one_more = Identity::new(AuthLevel::INTEGRITY, 99);
    let answer = server.exchange(&alter(PfcFlags(0), Some((one_more, &hello("alice")))));
    assert_eq!(fault(&answer), (FaultStatus::PROTO_ERROR, true, 0));
    assert!(!server.is_open());
}

#[test]
fn a_last_leg_may_be_answered_with_a_token() {
    let identity = Identity {
        auth_type: SPNEGO,
        ..Identity::new(AuthLevel::INTEGRITY, 5)
    };
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    let answer = server.exchange(&alter(PfcFlags(0), Some((identity, &proof("alice")))));
    assert_eq!(token(&answer, identity), WELCOME);
    let mut client = Client::new("alice", identity);
    let octets = client.request(WHOLE, STUB);
    assert_eq!(client.open(&server.exchange(&octets)), STUB);
    // An auth3 is not answered, so that such a leg has no place in it.
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    assert!(
        server
            .exchange(&auth3(identity, &proof("alice")))
            .is_empty()
    );
    let answer = server.exchange(&request(WHOLE, STUB, None, &[]));
    assert_eq!(fault(&answer), (FaultStatus::ACCESS_DENIED, false, 1));
    assert!(!server.is_open());
}

/// A server whose bind waits for what its leg came to, and the leg.
fn at_leg(identity: Identity) -> (Server, Leg) {
    let mut server = Server::new();
    let first = bind(PfcFlags(0), Some((identity, &hello("alice"))));
    let association = &mut server.association;
    association.receive(Instant::now(), &mut BytesMut::from(&first[..]));
    let Some(Event::Leg(leg)) = association.poll_event() else {
        panic!("no leg");
    };
    (server, leg)
}

/// The same leg, answered with another token, and nothing settled by it.
fn answered(leg: Leg, token: &[u8]) -> LegOutcome {
    let (context, _) = leg.take(&providers())?;
    let answer = LegAnswer {
        token: token.to_vec(),
        is_complete: false,
    };
    Ok((context, answer))
}

#[test]
fn an_answer_that_leaves_no_room_in_its_pdu_is_a_refusal() {
    for (len, is_taken) in [(32 << 10, true), ((32 << 10) + 1, false)] {
        let identity = Identity::new(AuthLevel::INTEGRITY, 5);
        let (mut server, leg) = at_leg(identity);
        let outcome = answered(leg, &vec![7; len]);
        server.association.leg_taken(outcome);
        let answer = server.exchange(&[]);
        match is_taken {
            true => assert_eq!(token(&answer, identity).len(), len),
            false => assert_eq!(nak(&answer), RejectReason::INVALID_CHECKSUM),
        }
        assert_eq!(server.is_open(), is_taken);
    }
}

#[test]
fn an_auth3_that_settles_nothing_is_a_refusal() {
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    let last = auth3(identity, &proof("alice"));
    let association = &mut server.association;
    association.receive(Instant::now(), &mut BytesMut::from(&last[..]));
    let Some(Event::Leg(leg)) = association.poll_event() else {
        panic!("no leg");
    };
    association.leg_taken(answered(leg, b""));
    let answer = server.exchange(&request(WHOLE, STUB, None, &[]));
    assert_eq!(fault(&answer), (FaultStatus::ACCESS_DENIED, false, 1));
    assert!(!server.is_open());
}

#[test]
fn an_auth3_whose_verifier_is_not_aligned_ends_the_connection() {
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    let mut last = auth3(identity, &proof("alice"));
    // An octet more behind the head and its four.
    last.insert(20, 0);
    last[8] += 1;
    let answer = server.exchange(&last);
    assert_eq!(fault(&answer), (FaultStatus::PROTO_ERROR, true, 0));
    assert!(!server.is_open());
}

#[test]
fn an_authentication_may_have_one_leg_or_three() {
    let one = Identity {
        auth_type: AuthType::NETLOGON,
        ..Identity::new(AuthLevel::PRIVACY, 5)
    };
    let mut server = Server::new();
    let answer = server.exchange(&bind(PfcFlags(0), Some((one, &hello("alice")))));
    assert_eq!(token(&answer, one), CHALLENGE);
    let mut client = Client::new("alice", one);
    let octets = client.request(WHOLE, STUB);
    assert_eq!(client.open(&server.exchange(&octets)), STUB);

    let three = Identity {
        auth_type: KERBEROS,
        ..one
    };
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((three, &hello("alice")))));
    let answer = server.exchange(&alter(PfcFlags(0), Some((three, &proof("alice")))));
    assert_eq!(token(&answer, three), WELCOME);
    let mut client = Client::new("alice", three);
    let octets = client.request(WHOLE, STUB);
    let answer = server.exchange(&alter(PfcFlags(0), Some((three, THANKS))));
    assert_eq!(token(&answer, three), b"");
    assert_eq!(client.open(&server.exchange(&octets)), STUB);
    // The same, and the last leg is still due.
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((three, &hello("alice")))));
    server.exchange(&alter(PfcFlags(0), Some((three, &proof("alice")))));
    assert_eq!(
        fault(&server.exchange(&octets)),
        (FaultStatus::PROTO_ERROR, true, 0)
    );
}

#[test]
fn nothing_is_read_while_a_leg_is_taken() {
    let mut server = Server::new();
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let first = bind(PfcFlags(0), Some((identity, &hello("alice"))));
    let mut client = Client::new("alice", identity);
    let all = [
        first,
        auth3(identity, &proof("alice")),
        client.request(WHOLE, STUB),
    ]
    .concat();
    let mut input = BytesMut::from(&all[..]);
    let now = Instant::now();
    let association = &mut server.association;
    for leg in 0..2 {
        association.receive(now, &mut input);
        let Some(Event::Leg(taken)) = association.poll_event() else {
            panic!("no leg {leg}");
        };
        let unread = input.len();
        association.receive(now, &mut input);
        assert_eq!(input.len(), unread);
        assert!(association.poll_event().is_none());
        association.leg_taken(taken.take(&providers()));
        if leg == 0 {
            assert!(matches!(
                association.poll_event(),
                Some(Event::Join { group: 0 })
            ));
            association.joined(Some(7));
        }
    }
    association.receive(now, &mut input);
    assert!(matches!(association.poll_event(), Some(Event::Call(_))));
    assert!(input.is_empty());
}

#[test]
fn a_leg_that_takes_longer_than_the_time_to_bind_comes_too_late() {
    let mut server = Server::new();
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let first = bind(PfcFlags(0), Some((identity, &hello("alice"))));
    let now = Instant::now();
    let association = &mut server.association;
    association.receive(now, &mut BytesMut::from(&first[..]));
    let Some(Event::Leg(leg)) = association.poll_event() else {
        panic!("no leg");
    };
    let deadline = association.poll_timeout().unwrap();
    association.handle_timeout(deadline);
    association.leg_taken(leg.take(&providers()));
    assert_eq!(association.closed(), Some(Closed::BindTimeout));
    assert!(association.poll_event().is_none());
    assert_eq!(association.poll_transmit(), None);
}

#[test]
fn a_context_that_can_sign_no_more_ends_the_connection() {
    let identity = Identity {
        auth_type: AuthType::SCHANNEL,
        ..Identity::new(AuthLevel::INTEGRITY, 5)
    };
    let mut server = Server::new();
    server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    server.exchange(&auth3(identity, &proof("alice")));
    let mut client = Client::new("alice", identity);
    let octets = client.request(WHOLE, STUB);
    assert_eq!(client.open(&server.exchange(&octets)), STUB);
    let octets = client.request(WHOLE, STUB);
    let answer = server.exchange(&octets);
    assert_eq!(fault(&answer), (FaultStatus::SEC_PKG_ERROR, false, 1));
    assert_eq!(server.association.closed(), Some(Closed::Unsigned));
}

#[test]
fn a_new_context_that_an_alter_context_does_not_get_ends_the_connection() {
    let level = |level| Identity::new(AuthLevel(level), 9);
    let of_type = |auth_type| Identity {
        auth_type: AuthType(auth_type),
        ..level(5)
    };
    for (name, identity, token) in [
        ("a token that cannot be read", level(5), &b"oops"[..]),
        ("a type that nobody serves", of_type(1), b"hello alice"),
        ("type none", of_type(0), b"hello alice"),
        ("level call", level(3), b"hello alice"),
        ("level none", level(1), b"hello alice"),
    ] {
        let mut server = bound_by_nobody();
        let answer = server.exchange(&alter(PfcFlags(0), Some((identity, token))));
        assert_eq!(
            fault(&answer),
            (FaultStatus::ACCESS_DENIED, true, 0),
            "{name}"
        );
        assert!(!server.is_open(), "{name}");
    }
}

#[test]
fn a_connection_that_may_have_no_context_refuses_the_bind_that_asks_for_one() {
    let mut settings = settings();
    settings.security.max_contexts = 0;
    let mut server = Server::new();
    server.association = Association::new(Arc::new(settings), Instant::now());
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let answer = server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
    assert_eq!(nak(&answer), RejectReason::LOCAL_LIMIT_EXCEEDED);
}

#[test]
fn with_multiplexing_a_lone_fragment_is_judged_by_the_context_that_it_names() {
    let told = |identity: Identity| {
        let mut client = Client::new("alice", Identity::new(AuthLevel::INTEGRITY, 1));
        client.request_as(identity, PfcFlags(0), STUB)
    };
    let right = Identity::new(AuthLevel::INTEGRITY, 1);
    let of_type = Identity {
        auth_type: AuthType(111),
        ..right
    };
    for (name, identity, status) in [
        ("its own", right, FaultStatus::PROTO_ERROR),
        (
            "another id",
            Identity { id: 111, ..right },
            FaultStatus::ACCESS_DENIED,
        ),
        ("another type", of_type, FaultStatus::ACCESS_DENIED),
        (
            "another level",
            Identity::new(AuthLevel(111), 1),
            FaultStatus::ACCESS_DENIED,
        ),
    ] {
        let mut server = Server::new();
        server.exchange(&bind(PfcFlags::CONC_MPX, None));
        altered(&mut server, "alice", AuthLevel::INTEGRITY, 1);
        let answer = server.exchange(&told(identity));
        assert_eq!(fault(&answer), (status, false, 1), "{name}");
        assert!(!server.is_open(), "{name}");
    }
}

#[test]
fn a_request_before_the_last_leg_ends_the_connection() {
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let mut client = Client::new("alice", identity);
    for octets in [request(WHOLE, STUB, None, &[]), client.request(WHOLE, STUB)] {
        let mut server = Server::new();
        server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
        let answer = server.exchange(&octets);
        assert_eq!(fault(&answer), (FaultStatus::PROTO_ERROR, true, 0));
        assert!(!server.is_open());
    }
}

#[test]
fn a_logon_that_failed_in_an_auth3_is_told_by_what_comes_next() {
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let mut client = Client::new("alice", identity);
    let next_request = client.request(WHOLE, STUB);
    let next_alter = alter(PfcFlags(0), None);
    for (octets, expected) in [
        (next_request, (FaultStatus::ACCESS_DENIED, false, 1)),
        (next_alter, (FaultStatus::PROTO_ERROR, true, 0)),
    ] {
        let mut server = Server::new();
        server.exchange(&bind(PfcFlags(0), Some((identity, &hello("alice")))));
        assert!(
            server
                .exchange(&auth3(identity, &proof("mallory")))
                .is_empty()
        );
        assert!(server.is_open());
        assert_eq!(fault(&server.exchange(&octets)), expected);
        assert!(!server.is_open());
    }
}

#[test]
fn a_bind_that_begins_no_context_is_refused_with_its_reason() {
    let level = |level| Identity::new(AuthLevel(level), 5);
    let of_type = |auth_type| Identity {
        auth_type: AuthType(auth_type),
        ..level(5)
    };
    let good = hello("alice");
    for (name, identity, token, reason) in [
        ("a token that cannot be read", level(5), &b"oops"[..], 9),
        ("level call", level(3), &good, 9),
        ("level 0", level(0), &good, 0),
        ("level none", level(1), &good, 0),
        ("level 7", level(7), &good, 0),
        ("level 255", level(255), &good, 0),
        ("type none", of_type(0), &good, 8),
        ("a type that nobody serves", of_type(1), &good, 8),
        (
            "a pad beyond the body",
            Identity {
                pad: 250,
                ..level(5)
            },
            &good,
            4,
        ),
    ] {
        let mut server = Server::new();
        let answer = server.exchange(&bind(PfcFlags(0), Some((identity, token))));
        assert_eq!(nak(&answer), RejectReason(reason), "{name}");
        assert_eq!(server.association.closed(), Some(Closed::Refused), "{name}");
    }
}

#[test]
fn a_leg_that_is_another_than_was_begun_ends_the_connection() {
    let begun = Identity::new(AuthLevel::INTEGRITY, 5);
    let of_type = |auth_type| Identity { auth_type, ..begun };
    let of_level = |level| Identity { level, ..begun };
    let ept = |identity| {
        let auth = Some((identity, &b"it is alice"[..]));
        negotiation(PacketType::ALTER_CONTEXT, PfcFlags(0), SyntaxId::EPT, auth)
    };
    let mgmt = |identity, token: &[u8]| alter(PfcFlags(0), Some((identity, token)));
    let last = proof("alice");
    for (name, octets, status) in [
        (
            "level",
            mgmt(of_level(AuthLevel::PRIVACY), &last),
            FaultStatus::ACCESS_DENIED,
        ),
        (
            "type",
            mgmt(of_type(KERBEROS), &last),
            FaultStatus::SEC_PKG_ERROR,
        ),
        (
            "type none",
            mgmt(of_type(AuthType::NONE), &last),
            FaultStatus::ACCESS_DENIED,
        ),
        (
            "type none and interface",
            ept(of_type(AuthType::NONE)),
            FaultStatus::ACCESS_DENIED,
        ),
        ("interface", ept(begun), FaultStatus::PROTO_ERROR),
        (
            "level and interface",
            ept(of_level(AuthLevel::PRIVACY)),
            FaultStatus::PROTO_ERROR,
        ),
        (
            "proof",
            mgmt(begun, &proof("mallory")),
            FaultStatus::ACCESS_DENIED,
        ),
        (
            "pad",
            mgmt(Identity { pad: 250, ..begun }, &last),
            FaultStatus::PROTO_ERROR,
        ),
    ] {
        let mut server = Server::new();
        server.exchange(&bind(PfcFlags(0), Some((begun, &hello("alice")))));
        let answer = server.exchange(&octets);
        assert_eq!(fault(&answer), (status, true, 0), "{name}");
        assert!(!server.is_open(), "{name}");
    }
}

#[test]
fn an_auth3_out_of_place_ends_the_connection() {
    let begun = Identity::new(AuthLevel::INTEGRITY, 5);
    let last = proof("alice");
    for (name, octets, status) in [
        (
            "no such context",
            auth3(Identity { id: 6, ..begun }, &last),
            FaultStatus::PROTO_ERROR,
        ),
        (
            "another level",
            auth3(Identity::new(AuthLevel::PRIVACY, 5), &last),
            FaultStatus::PROTO_ERROR,
        ),
        (
            "padded",
            auth3(Identity { pad: 1, ..begun }, &last),
            FaultStatus::REMOTE_NO_MEMORY,
        ),
    ] {
        let mut server = Server::new();
        server.exchange(&bind(PfcFlags(0), Some((begun, &hello("alice")))));
        let answer = server.exchange(&octets);
        assert_eq!(fault(&answer), (status, true, 0), "{name}");
        assert!(!server.is_open(), "{name}");
    }
}

#[test]
fn a_context_that_is_complete_is_not_begun_again() {
    let identity = Identity::new(AuthLevel::CONNECT, 5);
    let first = hello("alice");
    for (octets, status) in [
        (
            alter(PfcFlags(0), Some((identity, &first))),
            FaultStatus::ACCESS_DENIED,
        ),
        (auth3(identity, &first), FaultStatus::PROTO_ERROR),
    ] {
        let (_, mut server) = bound("alice", AuthLevel::CONNECT, PfcFlags(0));
        assert_eq!(fault(&server.exchange(&octets)), (status, true, 0));
        assert!(!server.is_open());
    }
}

#[test]
fn all_fragments_of_a_call_belong_to_the_first_ones_context() {
    let cases = [
        ("the same context", Some(1), WHOLE_CALL),
        (
            "another context",
            Some(2),
            Err((FaultStatus::SEC_PKG_ERROR, false, 1)),
        ),
        (
            "no verifier",
            None,
            Err((FaultStatus::PROTO_ERROR, false, 1)),
        ),
    ];
    for (name, second, expected) in cases {
        let mut server = bound_by_nobody();
        let mut alice = altered(&mut server, "alice", AuthLevel::INTEGRITY, 1);
        let mut bob = altered(&mut server, "bob", AuthLevel::PACKET, 2);
        assert!(
            server
                .exchange(&alice.request(FIRST, b"sixteen octets.."))
                .is_empty()
        );
        let last = match second {
            // What its header says of itself does not matter.
            Some(1) => {
                let told = Identity {
                    auth_type: AuthType(111),
                    ..Identity::new(AuthLevel(111), 111)
                };
                alice.request_as(told, LAST, b"and four")
            }
            Some(_) => bob.request(LAST, b"and four"),
            None => request(LAST, b"and four", None, &[]),
        };
        let answer = server.exchange(&last);
        match expected {
            Ok(()) => assert_eq!(alice.open(&answer), b"sixteen octets..and four", "{name}"),
            Err(expected) => {
                assert_eq!(fault(&answer), expected, "{name}");
                assert!(!server.is_open(), "{name}");
            }
        }
    }
}

const WHOLE_CALL: Result<(), (FaultStatus, bool, u16)> = Ok(());

#[test]
fn a_call_of_nobody_has_no_signed_fragment() {
    let mut server = bound_by_nobody();
    let mut alice = altered(&mut server, "alice", AuthLevel::INTEGRITY, 1);
    assert!(
        server
            .exchange(&request(FIRST, b"sixteen octets..", None, &[]))
            .is_empty()
    );
    let answer = server.exchange(&alice.request(LAST, STUB));
    assert_eq!(fault(&answer), (FaultStatus::ACCESS_DENIED, false, 1));
    assert!(!server.is_open());
}

#[test]
fn a_client_that_can_sign_headers_and_does_not_was_tampered_with() {
    // Command 1, last; 4 octets: supports header signing.
    let trailer = [
        0x8a, 0xe3, 0x13, 0x71, 0x02, 0xf4, 0x36, 0x71, 1, 0x40, 4, 0, 1, 0, 0, 0,
    ];
    let (mut client, mut server) = bound("alice", AuthLevel::INTEGRITY, PfcFlags(0));
    let octets = client.request(WHOLE, &trailer);
    let answer = server.exchange(&octets);
    assert_eq!(fault(&answer), (FaultStatus::ACCESS_DENIED, false, 1));
    assert!(server.is_open());
    assert!(server.calls.is_empty());
    let (mut client, mut server) = bound("alice", AuthLevel::INTEGRITY, SIGN);
    let octets = client.request(WHOLE, &trailer);
    assert_eq!(client.open(&server.exchange(&octets)), trailer);
}

#[test]
fn no_octet_of_a_signed_request_can_be_changed_unnoticed() {
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        let (mut client, _) = bound("alice", level, SIGN);
        let octets = client.request(WHOLE, STUB);
        for at in 0..octets.len() {
            for change in [1, 0x80, 0xff] {
                let (_, mut server) = bound("alice", level, SIGN);
                let mut changed = octets.clone();
                changed[at] ^= change;
                server.exchange(&changed);
                assert!(server.calls.is_empty(), "octet {at} changed by {change:#x}");
            }
        }
    }
}

#[test]
fn whatever_is_changed_in_a_leg_nobody_else_gets_in() {
    let identity = Identity::new(AuthLevel::INTEGRITY, 5);
    let first = bind(PfcFlags(0), Some((identity, &hello("alice"))));
    let last = auth3(identity, &proof("alice"));
    let whole = [&first[..], &last].concat();
    for at in 0..whole.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let mut server = Server::new();
            let (first, last) = changed.split_at(first.len());
            server.exchange(first);
            server.exchange(last);
            let mut client = Client::new("alice", identity);
            server.exchange(&client.request(WHOLE, STUB));
            let caller = server.calls.last().and_then(|call| call.caller.clone());
            if let Some(caller) = caller {
                assert_eq!(caller.principal.to_string(), "alice", "octet {at}");
                assert_eq!(caller.auth_level, AuthLevel::INTEGRITY, "octet {at}");
            }
        }
    }
}
