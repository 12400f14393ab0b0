//! Both ends with a security context between them: every kind of legs at every
//! level, every place where octets may be split, every octet of an answer
//! altered, and every wrong move of a server.

use crate::ends::{frames, settings};
use crate::provider::{CHALLENGE, Legs, Packets, SIGNATURE, WELCOME, Words, ask, ask_briefly};
use bytes::BytesMut;
use epmapper::proto::{
    Answer, Association, Call, ClientAssociation, ClientEvent, ClientSettings, Event, Packet,
    ProtocolError, Security, SecurityContext, SecurityProvider, Settings,
};
use epmapper::wire::pdu::{
    AuthLevel, AuthType, AuthVerifier, BindAck, Body, CommandBody, ContextAnswer, Fault, Header,
    Header2, PacketType, Pdu, PfcFlags, Response, ResultsBuf, VerificationTrailer,
};
use epmapper::wire::status::{ContextResult, FaultStatus, ProviderReason};
use epmapper::wire::{ByteOrder, SyntaxId};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Who logs on.
const NAME: &str = "alice";

/// Each kind of legs, and what they go in.
const KINDS: [(AuthType, Legs, &[PacketType]); 5] = [
    (AuthType::NETLOGON, Legs::One, &[PacketType::BIND]),
    (
        AuthType::NTLM,
        Legs::Two,
        &[PacketType::BIND, PacketType::AUTH3],
    ),
    (
        AuthType::SCHANNEL,
        Legs::TwoWelcomed,
        &[PacketType::BIND, PacketType::ALTER_CONTEXT],
    ),
    (
        AuthType::SPNEGO,
        Legs::TwoWelcomed,
        &[PacketType::BIND, PacketType::ALTER_CONTEXT],
    ),
    (
        AuthType::KERBEROS,
        Legs::Three,
        &[
            PacketType::BIND,
            PacketType::ALTER_CONTEXT,
            PacketType::AUTH3,
        ],
    ),
];

const LEVELS: [AuthLevel; 4] = [
    AuthLevel::CONNECT,
    AuthLevel::PACKET,
    AuthLevel::INTEGRITY,
    AuthLevel::PRIVACY,
];

/// The smallest fragment that everybody takes, so that calls have several.
const MAX_FRAG: u16 = 1432;

const SIGN: u8 = PfcFlags::PENDING_CANCEL.0;

fn settings_of(auth_type: AuthType) -> Settings {
    Settings {
        security: Security {
            auth_types: Arc::new([auth_type]),
            max_contexts: 2,
        },
        ..settings()
    }
}

fn client(order: ByteOrder) -> ClientAssociation {
    ClientAssociation::new(ClientSettings {
        order,
        max_frag: MAX_FRAG,
        ..ClientSettings::default()
    })
}

/// Octets of a stub that takes several fragments, all telling their place.
fn long() -> Vec<u8> {
    (0..4000).map(|at| (at % 251) as u8).collect()
}

/// One direction.
#[derive(Default)]
struct Wire {
    /// All that was sent, as it was sent.
    sent: Vec<u8>,
    /// How much of it has arrived.
    arrived: usize,
    /// What has arrived and was not taken.
    waits: BytesMut,
    /// Where it is cut in two, if it is.
    split: Option<usize>,
    /// The octet that arrives with other bits.
    altered: Option<(usize, u8)>,
}

impl Wire {
    /// Whether anything has arrived.
    fn deliver(&mut self) -> bool {
        let end = match self.split {
            Some(at) if self.arrived < at => at.min(self.sent.len()),
            _ => self.sent.len(),
        };
        let begin = std::mem::replace(&mut self.arrived, end);
        let mut piece = self.sent[begin..end].to_vec();
        if let Some((at, bits)) = self.altered
            && (begin..end).contains(&at)
        {
            piece[at - begin] ^= bits;
        }
        self.waits.extend_from_slice(&piece);
        !piece.is_empty()
    }
}

/// Both ends. The server's operation n answers its stub n times over.
struct Talk {
    client: ClientAssociation,
    server: Association,
    providers: Vec<Arc<dyn SecurityProvider>>,
    legs: Legs,
    up: Wire,
    down: Wire,
    calls: Vec<Call>,
    told: Vec<ClientEvent>,
}

impl Talk {
    fn new(auth_type: AuthType, legs: Legs, level: AuthLevel, order: ByteOrder) -> Self {
        let mut client = client(order);
        client.authenticate(auth_type, level);
        let words = Words {
            auth_type,
            legs,
            signs: u64::MAX,
        };
        Talk {
            client,
            server: Association::new(Arc::new(settings_of(auth_type)), Instant::now()),
            providers: vec![Arc::new(words)],
            legs,
            up: Wire::default(),
            down: Wire::default(),
            calls: Vec::new(),
            told: Vec::new(),
        }
    }

    /// With a leg in an alter_context.
    fn plain(level: AuthLevel) -> Self {
        let legs = Legs::TwoWelcomed;
        Talk::new(AuthType::SPNEGO, legs, level, ByteOrder::Little)
    }

    fn bind(&mut self) {
        self.client.bind(Instant::now(), 0, &[EPT]);
        self.settle();
    }

    fn call(&mut self, opnum: u16, stub: &[u8]) {
        self.client.call(Instant::now(), 0, opnum, None, stub);
        self.settle();
    }

    /// A bind and two calls, the first of several fragments, as is its answer.
    fn converse(&mut self) {
        self.bind();
        self.call(2, &long());
        self.call(1, b"short");
    }

    /// Both ends go on until nothing moves.
    fn settle(&mut self) {
        while self.go_on() {}
        self.told
            .extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    fn go_on(&mut self) -> bool {
        let leg = take_leg(&mut self.client, |level| ask(NAME, self.legs, level));
        self.up.sent.extend(sent_by(&mut self.client));
        let up = self.up.deliver();
        self.serve();
        let down = self.down.deliver();
        self.client.receive(&mut self.down.waits);
        leg || up || down
    }

    fn serve(&mut self) {
        loop {
            self.server.receive(Instant::now(), &mut self.up.waits);
            match self.server.poll_event() {
                Some(Event::Leg(leg)) => self.server.leg_taken(leg.take(&self.providers)),
                Some(Event::Join { .. }) => self.server.joined(Some(77)),
                Some(Event::Call(call)) => {
                    let stub = argument(&call.stub).repeat(call.opnum.into());
                    self.server.reply(&call, Answer::Response(&stub));
                    self.calls.push(call);
                }
                Some(Event::Cancel(_) | Event::Orphaned(_)) => {}
                None => break,
            }
        }
        let sent = self.server.poll_transmit().unwrap_or_default().to_vec();
        self.server.transmitted(sent.len());
        self.down.sent.extend(sent);
    }

    /// The stubs that were answered with.
    fn stubs(&self) -> Vec<&[u8]> {
        let stub = |told: &'_ ClientEvent| matches!(told, ClientEvent::Response { .. });
        let told = self.told.iter().filter(|told| stub(told));
        told.map(|told| match told {
            ClientEvent::Response { stub, .. } => &stub[..],
            _ => &[],
        })
        .collect()
    }
}

/// What both ends bind.
const EPT: (u16, SyntaxId, &[SyntaxId]) = (0, SyntaxId::EPT, &[SyntaxId::NDR]);

/// Takes the leg that waits, if one does.
fn take_leg(
    client: &mut ClientAssociation,
    begin: impl FnOnce(AuthLevel) -> Box<dyn SecurityContext>,
) -> bool {
    let Some(leg) = client.poll_leg() else {
        return false;
    };
    let mut context = leg.context.unwrap_or_else(|| begin(leg.auth_level));
    let answer = context.proceed(&leg.token);
    client.leg_taken(answer.map(|answer| (context, answer)));
    true
}

fn sent_by(client: &mut ClientAssociation) -> Vec<u8> {
    let octets = client.poll_transmit().unwrap_or_default().to_vec();
    client.transmitted(octets.len());
    octets
}

/// A stub without its verification trailer; that is aligned, and so are all
/// stubs here but "short".
fn argument(stub: &[u8]) -> &[u8] {
    const MAGIC: [u8; 8] = [0x8a, 0xe3, 0x13, 0x71, 0x02, 0xf4, 0x36, 0x71];
    let at = stub.windows(8).position(|octets| octets == MAGIC);
    match at {
        Some(_) if stub.starts_with(b"short") => &stub[..5],
        at => &stub[..at.unwrap_or(stub.len())],
    }
}

/// The headers of PDUs.
fn headers(octets: &[u8]) -> Vec<Header> {
    frames(octets)
        .into_iter()
        .map(|frame| Header::decode(frame).unwrap())
        .collect()
}

/// Whether a PDU carries something of a call.
fn is_of_call(header: &Header) -> bool {
    [PacketType::REQUEST, PacketType::RESPONSE].contains(&header.ptype)
}

#[test]
fn answers_out_of_order_are_signed_in_the_order_that_they_leave_in() {
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        let mut talk = Talk::plain(level);
        talk.client = ClientAssociation::new(ClientSettings {
            max_frag: MAX_FRAG,
            multiplexing: true,
            ..ClientSettings::default()
        });
        talk.client.authenticate(AuthType::SPNEGO, level);
        talk.bind();
        let [one, two] = [&long()[..], b"short"].map(|stub| {
            talk.client.call(Instant::now(), 0, 1, None, stub);
            let call = begun(&mut talk, level);
            // The server does not hear of it; the client may call again.
            talk.client.orphan();
            sent_by(&mut talk.client);
            call
        });
        talk.client.call(Instant::now(), 0, 1, None, b"third");
        let three = begun(&mut talk, level);
        for call in [&three, &one, &two] {
            let stub = argument(&call.stub).to_vec();
            assert!(talk.server.reply(call, Answer::Response(&stub)));
        }
        let octets = talk.server.poll_transmit().unwrap().to_vec();
        let mut ids: Vec<u32> = Vec::new();
        for (number, frame) in frames(&octets).iter().enumerate() {
            let pdu = Pdu::decode(frame).unwrap();
            let signature = pdu.auth.unwrap().value;
            assert_eq!(signature[8..], (number as u64).to_le_bytes());
            ids.push(pdu.header.call_id);
        }
        ids.dedup();
        assert_eq!(ids, [three.id, one.id, two.id]);
        // The client finds all of them in order.
        talk.settle();
        assert_eq!(talk.stubs(), [b"third"]);
    }
}

/// The call that the client has just made, as the server hands it out.
fn begun(talk: &mut Talk, level: AuthLevel) -> Call {
    let mut octets = BytesMut::from(&sent_by(&mut talk.client)[..]);
    talk.server.receive(Instant::now(), &mut octets);
    match talk.server.poll_event() {
        Some(Event::Call(call)) => call,
        other => panic!("{other:?} at {level:?}"),
    }
}

#[test]
fn every_kind_of_legs_logs_on_at_every_level_in_both_byte_orders() {
    for (auth_type, legs, pdus) in KINDS {
        for level in LEVELS {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let mut talk = Talk::new(auth_type, legs, level, order);
                talk.converse();
                let [ClientEvent::Bound { answers, .. }, ..] = &talk.told[..] else {
                    panic!("{auth_type} {level}: {:?}", talk.told);
                };
                assert_eq!(answers.len(), 1);
                assert_eq!(talk.stubs(), [&long().repeat(2)[..], b"short"]);
                for call in &talk.calls {
                    let caller = call.caller.as_ref().unwrap();
                    let said = (caller.principal.to_string(), caller.auth_level);
                    assert_eq!(said, (NAME.to_owned(), level));
                }
                let sent = headers(&talk.up.sent);
                let legs = sent.iter().take_while(|header| !is_of_call(header));
                let legs: Vec<_> = legs.map(|header| (header.ptype, header.call_id)).collect();
                let expected: Vec<_> = pdus.iter().map(|ptype| (*ptype, 1)).collect();
                assert_eq!(legs, expected, "one call id for all legs");
            }
        }
    }
}

#[test]
fn fragments_are_not_longer_than_agreed_with_the_verifier_that_each_has() {
    for level in LEVELS {
        let mut talk = Talk::plain(level);
        talk.converse();
        for octets in [&talk.up.sent, &talk.down.sent] {
            let calls = frames(octets).into_iter();
            let calls = calls.map(|frame| Pdu::decode(frame).unwrap());
            let calls: Vec<_> = calls.filter(|pdu| is_of_call(&pdu.header)).collect();
            assert!(calls.len() > 3);
            for pdu in calls {
                assert!(pdu.header.frag_length <= MAX_FRAG);
                let signature = pdu.auth.map(|verifier| verifier.value.len());
                let signs = level >= AuthLevel::PACKET;
                assert_eq!(signature, signs.then_some(SIGNATURE));
            }
        }
    }
}

#[test]
fn at_level_privacy_no_stub_goes_in_clear() {
    for (level, is_clear) in [(AuthLevel::INTEGRITY, true), (AuthLevel::PRIVACY, false)] {
        let mut talk = Talk::plain(level);
        talk.bind();
        talk.call(1, b"in clear, a word");
        for octets in [&talk.up.sent, &talk.down.sent] {
            let found = octets.windows(16).any(|word| word == b"in clear, a word");
            assert_eq!(found, is_clear);
        }
        assert_eq!(talk.stubs(), [b"in clear, a word"]);
    }
}

#[test]
fn header_signing_is_asked_for_where_there_are_signatures() {
    for level in LEVELS {
        let mut talk = Talk::plain(level);
        talk.bind();
        let asked = level >= AuthLevel::PACKET;
        for header in headers(&talk.up.sent) {
            assert_eq!(header.flags.0 & SIGN != 0, asked, "{level}");
        }
    }
}

#[test]
fn the_first_call_of_a_context_tells_again_what_was_bound() {
    let trailer_of = |call: &Call| {
        let trailer = VerificationTrailer::find(&call.stub)?;
        Some(trailer.commands.len())
    };
    for level in LEVELS {
        let mut talk = Talk::plain(level);
        talk.converse();
        let told: Vec<_> = talk.calls.iter().map(trailer_of).collect();
        let first = (level >= AuthLevel::PACKET).then_some(2);
        assert_eq!(told, [first, None]);
    }
    let mut talk = Talk::plain(AuthLevel::INTEGRITY);
    talk.bind();
    talk.call(1, b"stub");
    let trailer = VerificationTrailer::find(&talk.calls[0].stub).unwrap();
    let bodies: Vec<_> = trailer
        .commands
        .iter()
        .map(|command| command.body)
        .collect();
    let context = CommandBody::PresentationContext {
        abstract_syntax: SyntaxId::EPT,
        transfer_syntax: SyntaxId::NDR,
    };
    assert_eq!(bodies, [CommandBody::Bitmask1(1), context]);
}

#[test]
fn a_server_sees_that_header_signing_was_taken_out_of_bind_and_answer() {
    let mut talk = Talk::new(
        AuthType::NTLM,
        Legs::Two,
        AuthLevel::INTEGRITY,
        ByteOrder::Little,
    );
    talk.up.altered = Some((3, SIGN));
    talk.bind();
    talk.call(1, b"stub");
    assert!(talk.calls.is_empty());
    let told = talk.told.last();
    assert!(matches!(told, Some(ClientEvent::Fault { .. })), "{told:?}");
}

#[test]
fn a_call_with_an_object_and_calls_on_an_added_context_are_signed_too() {
    for level in LEVELS {
        let mut talk = Talk::plain(level);
        talk.bind();
        let mgmt = (1, SyntaxId::MGMT, &[SyntaxId::NDR][..]);
        talk.client.alter(Instant::now(), &[mgmt]);
        talk.settle();
        let object = Some(Uuid::from_u128(5));
        talk.client.call(Instant::now(), 1, 1, object, &long());
        talk.settle();
        assert_eq!(talk.stubs(), [&long()[..]]);
        assert_eq!(talk.calls[0].object, object);
        assert!(talk.calls[0].caller.is_some());
    }
}

#[test]
fn an_alter_context_may_begin_the_authentication() {
    let mut talk = Talk::plain(AuthLevel::PRIVACY);
    talk.client = client(ByteOrder::Little);
    talk.converse();
    assert!(talk.calls.iter().all(|call| call.caller.is_none()));
    talk.client
        .authenticate(AuthType::SPNEGO, AuthLevel::PRIVACY);
    talk.client.alter(Instant::now(), &[EPT]);
    talk.settle();
    talk.call(1, b"short");
    assert_eq!(talk.stubs().len(), 3, "{:?}", talk.told);
    assert!(talk.calls[2].caller.is_some());
    assert!(talk.client.is_logged_on());
}

#[test]
fn octets_may_be_split_at_every_place() {
    let converse = |talk: &mut Talk| {
        talk.bind();
        talk.call(1, &long()[..1408]);
    };
    let mut whole = Talk::plain(AuthLevel::PRIVACY);
    converse(&mut whole);
    for at in 0..whole.down.sent.len() {
        let mut talk = Talk::plain(AuthLevel::PRIVACY);
        talk.down.split = Some(at);
        talk.up.split = Some(at);
        converse(&mut talk);
        assert_eq!(talk.told, whole.told, "split at {at}");
        assert!(talk.up.sent == whole.up.sent && talk.down.sent == whole.down.sent);
    }
}

#[test]
fn every_octet_of_an_answer_that_is_altered_is_noticed() {
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        let mut whole = Talk::plain(level);
        whole.bind();
        let begin = whole.down.sent.len();
        whole.call(100, &[7; 20]);
        let end = whole.down.sent.len();
        assert!(headers(&whole.down.sent[begin..]).len() > 1);
        for (at, bits) in (begin..end).flat_map(|at| [1, 0xff].map(|bits| (at, bits))) {
            let mut talk = Talk::plain(level);
            talk.down.altered = Some((at, bits));
            talk.bind();
            talk.call(100, &[7; 20]);
            assert!(talk.stubs().is_empty(), "octet {at} by {bits:#x}");
        }
    }
}

#[test]
fn every_octet_of_a_bind_ack_that_is_altered_changes_no_answer() {
    for at in 0..300 {
        for bits in [1, 4, 0x80, 0xff] {
            let mut talk = Talk::plain(AuthLevel::INTEGRITY);
            talk.down.altered = Some((at, bits));
            talk.converse();
            for stub in talk.stubs() {
                assert!(stub == long().repeat(2) || stub == b"short", "octet {at}");
            }
            let callers = talk.calls.iter().filter(|call| call.caller.is_none());
            assert_eq!(callers.count(), 0);
        }
    }
}

#[test]
fn the_answer_to_a_call_given_up_is_counted_among_the_signatures() {
    let mut talk = Talk::plain(AuthLevel::INTEGRITY);
    talk.bind();
    talk.client.call(Instant::now(), 0, 1, None, b"short");
    talk.up.sent.extend(sent_by(&mut talk.client));
    talk.client.orphan();
    talk.call(1, b"next");
    assert_eq!(talk.stubs(), [b"next"]);
}

#[test]
fn a_logon_is_confirmed_by_an_answer() {
    for (auth_type, legs, _) in KINDS {
        let mut talk = Talk::new(auth_type, legs, AuthLevel::CONNECT, ByteOrder::Little);
        assert!(!talk.client.is_logged_on());
        talk.bind();
        let silent = [AuthType::NTLM, AuthType::KERBEROS].contains(&auth_type);
        assert_eq!(talk.client.is_logged_on(), !silent, "{auth_type}");
        talk.call(1, b"short");
        assert!(talk.client.is_logged_on());
    }
}

#[test]
fn nothing_is_taken_while_a_leg_is() {
    let mut talk = Talk::plain(AuthLevel::INTEGRITY);
    talk.client.bind(Instant::now(), 0, &[EPT]);
    let leg = talk.client.poll_leg().unwrap();
    assert!(leg.context.is_none() && leg.token.is_empty());
    assert!(talk.client.poll_leg().is_none(), "once");
    assert!(talk.client.poll_transmit().is_none());
    let mut octets = BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]);
    talk.client.receive(&mut octets);
    assert_eq!(octets.len(), 24);
    // The time for an answer runs all the same.
    let deadline = talk.client.poll_timeout().unwrap();
    talk.client.handle_timeout(deadline);
    let end = Some(ClientEvent::Broken(ProtocolError::Timeout));
    assert_eq!(talk.client.poll_event(), end);
    let context = ask(NAME, Legs::One, leg.auth_level);
    talk.client.leg_taken(leg_of(context));
    assert!(talk.client.poll_transmit().is_none());
}

/// The first leg of a context.
fn leg_of(mut context: Box<dyn SecurityContext>) -> epmapper::proto::LegOutcome {
    let answer = context.proceed(b"")?;
    Ok((context, answer))
}

/// A client against a server's end that is written by hand.
struct ByHand {
    client: ClientAssociation,
    auth_type: AuthType,
    /// What the server signs with.
    packets: Packets,
    call_id: u32,
}

impl ByHand {
    /// Whose bind waits for its answer.
    fn binding(auth_type: AuthType, level: AuthLevel) -> Self {
        let mut by_hand = ByHand {
            client: client(ByteOrder::Little),
            auth_type,
            packets: Packets::new(NAME, level),
            call_id: 1,
        };
        by_hand.client.authenticate(auth_type, level);
        by_hand.client.bind(Instant::now(), 0, &[EPT]);
        by_hand.take_leg(Legs::TwoWelcomed);
        by_hand
    }

    /// Whose call waits for its answer, without header signing.
    fn calling() -> Self {
        let mut by_hand = ByHand::binding(AuthType::SPNEGO, AuthLevel::INTEGRITY);
        let ack = by_hand.ack(PacketType::BIND_ACK, Some(CHALLENGE));
        by_hand.receive(&ack);
        by_hand.take_leg(Legs::TwoWelcomed);
        let ack = by_hand.ack(PacketType::ALTER_CONTEXT_RESP, Some(WELCOME));
        by_hand.receive(&ack);
        by_hand.take_leg(Legs::TwoWelcomed);
        let told = by_hand.client.poll_event();
        assert!(matches!(told, Some(ClientEvent::Bound { .. })), "{told:?}");
        by_hand.client.call(Instant::now(), 0, 1, None, b"stub");
        by_hand.call_id = 2;
        by_hand
    }

    fn take_leg(&mut self, legs: Legs) {
        let level = |level| ask(NAME, legs, level);
        assert!(take_leg(&mut self.client, level));
    }

    fn receive(&mut self, octets: &[u8]) {
        self.client.receive(&mut BytesMut::from(octets));
    }

    /// A verifier as it should be.
    fn verifier<'a>(&self, value: &'a [u8]) -> AuthVerifier<'a> {
        AuthVerifier {
            auth_type: self.auth_type,
            auth_level: AuthLevel::INTEGRITY,
            pad_length: 0,
            reserved: 0,
            context_id: 1,
            value,
        }
    }

    fn ack(&self, ptype: PacketType, token: Option<&[u8]>) -> Vec<u8> {
        let verifier = token.map(|token| self.verifier(token));
        self.ack_with(ptype, verifier, ContextResult::ACCEPTANCE)
    }

    fn ack_with(
        &self,
        ptype: PacketType,
        auth: Option<AuthVerifier<'_>>,
        result: ContextResult,
    ) -> Vec<u8> {
        let mut results = ResultsBuf::new(ByteOrder::Little);
        results.push(ContextAnswer {
            result,
            reason: ProviderReason::NOT_SPECIFIED,
            transfer_syntax: SyntaxId::NDR,
        });
        let ack = BindAck {
            max_xmit_frag: 4280,
            max_recv_frag: 4280,
            assoc_group_id: 9,
            secondary_address: b"135\0",
            secondary_pad: &[0; 2],
            results: results.as_results(),
        };
        let body = match ptype {
            PacketType::BIND_ACK => Body::BindAck(ack),
            _ => Body::AlterContextResp(ack),
        };
        self.pdu(ptype, PfcFlags::WHOLE, body, auth)
    }

    fn pdu(
        &self,
        ptype: PacketType,
        flags: PfcFlags,
        body: Body<'_>,
        auth: Option<AuthVerifier<'_>>,
    ) -> Vec<u8> {
        let header = Header::new(ptype, flags, ByteOrder::Little.into(), self.call_id);
        let pdu = Pdu {
            auth,
            ..Pdu::new(header, body)
        };
        let mut octets = Vec::new();
        pdu.encode(&mut octets);
        octets
    }

    /// A signed fragment of a response, its verifier changed.
    fn response(
        &mut self,
        flags: PfcFlags,
        stub: &[u8; 16],
        change: impl Fn(&mut AuthVerifier<'_>),
    ) -> Vec<u8> {
        let mut verifier = self.verifier(&[0; SIGNATURE]);
        change(&mut verifier);
        let response = Response {
            alloc_hint: 16,
            context_id: 0,
            cancel_count: 0,
            reserved: 0,
            stub,
        };
        let body = Body::Response(response);
        let mut octets = self.pdu(PacketType::RESPONSE, flags, body, Some(verifier));
        let signed = octets.len() - SIGNATURE;
        let (front, signature) = octets.split_at_mut(signed);
        let packet = Packet {
            octets: front,
            stub: 24..40,
            signs_header: false,
        };
        self.packets.protect(packet, signature);
        octets
    }

    #[track_caller]
    fn assert_ends(&mut self, error: ProtocolError) {
        let broken = Some(ClientEvent::Broken(error));
        assert_eq!(self.client.poll_event(), broken);
        assert_eq!(self.client.poll_event(), None);
        assert_eq!(self.client.poll_transmit(), None);
        self.client.call(Instant::now(), 0, 1, None, b"on");
        assert_eq!(self.client.poll_event(), broken);
        assert_eq!(self.client.poll_transmit(), None);
    }
}

#[test]
fn a_server_that_signs_no_headers_is_told_each_of_them_again() {
    let mut by_hand = ByHand::calling();
    for call_id in [2, 3] {
        let sent = sent_by(&mut by_hand.client);
        let last = *frames(&sent).last().unwrap();
        let Body::Request(request) = Pdu::decode(last).unwrap().body else {
            panic!("no request");
        };
        let trailer = VerificationTrailer::find(request.stub).unwrap();
        let header = CommandBody::Header2(Header2 {
            ptype: PacketType::REQUEST,
            drep: ByteOrder::Little.into(),
            call_id,
            context_id: 0,
            opnum: 1,
        });
        assert_eq!(trailer.commands.last().unwrap().body, header);
        assert_eq!(trailer.commands.len(), if call_id == 2 { 3 } else { 1 });
        let response = by_hand.response(PfcFlags::WHOLE, b"sixteen octets..", |_| ());
        by_hand.receive(&response);
        let told = by_hand.client.poll_event();
        assert!(
            matches!(told, Some(ClientEvent::Response { .. })),
            "{told:?}"
        );
        by_hand.client.call(Instant::now(), 0, 1, None, b"stub");
        by_hand.call_id += 1;
    }
}

#[test]
fn an_answer_to_a_leg_without_its_verifier_is_the_end() {
    for auth_type in [AuthType::NTLM, AuthType::SPNEGO, AuthType::KERBEROS] {
        for level in LEVELS {
            let mut by_hand = ByHand::binding(auth_type, level);
            let ack = by_hand.ack(PacketType::BIND_ACK, None);
            by_hand.receive(&ack);
            by_hand.assert_ends(ProtocolError::Unauthenticated);
        }
    }
    let mut by_hand = ByHand::binding(AuthType::SPNEGO, AuthLevel::INTEGRITY);
    let ack = by_hand.ack(PacketType::BIND_ACK, Some(CHALLENGE));
    by_hand.receive(&ack);
    by_hand.take_leg(Legs::TwoWelcomed);
    let ack = by_hand.ack(PacketType::ALTER_CONTEXT_RESP, None);
    by_hand.receive(&ack);
    by_hand.assert_ends(ProtocolError::Unauthenticated);
}

/// What a server may write into a verifier that is not the one asked for.
const OTHERS: [fn(&mut AuthVerifier<'_>); 6] = [
    |verifier| verifier.auth_type = AuthType::NTLM,
    |verifier| verifier.auth_type = AuthType::NONE,
    |verifier| verifier.auth_level = AuthLevel::CONNECT,
    |verifier| verifier.auth_level = AuthLevel::PRIVACY,
    |verifier| verifier.context_id = 0,
    |verifier| verifier.context_id = 2,
];

#[test]
fn a_verifier_of_another_type_level_or_context_is_the_end() {
    for change in OTHERS {
        let mut by_hand = ByHand::binding(AuthType::SPNEGO, AuthLevel::INTEGRITY);
        let mut verifier = by_hand.verifier(CHALLENGE);
        change(&mut verifier);
        let accepted = ContextResult::ACCEPTANCE;
        let ack = by_hand.ack_with(PacketType::BIND_ACK, Some(verifier), accepted);
        by_hand.receive(&ack);
        by_hand.assert_ends(ProtocolError::Verifier);

        let mut by_hand = ByHand::calling();
        let response = by_hand.response(PfcFlags::WHOLE, b"sixteen octets..", change);
        by_hand.receive(&response);
        by_hand.assert_ends(ProtocolError::Verifier);
    }
}

#[test]
fn a_token_that_the_context_does_not_take_is_the_end() {
    let mut by_hand = ByHand::binding(AuthType::SPNEGO, AuthLevel::INTEGRITY);
    let ack = by_hand.ack(PacketType::BIND_ACK, Some(b"who else"));
    by_hand.receive(&ack);
    by_hand.take_leg(Legs::TwoWelcomed);
    by_hand.assert_ends(ProtocolError::Token("not of these words"));
}

#[test]
fn a_response_without_signature_or_with_another_is_the_end() {
    let whole = |stub| {
        let response = Response {
            alloc_hint: 0,
            context_id: 0,
            cancel_count: 0,
            reserved: 0,
            stub,
        };
        Body::Response(response)
    };
    let mut by_hand = ByHand::calling();
    let body = whole(b"unsigned");
    let unsigned = by_hand.pdu(PacketType::RESPONSE, PfcFlags::WHOLE, body, None);
    by_hand.receive(&unsigned);
    by_hand.assert_ends(ProtocolError::Unsigned);

    // Signatures of this server, but not in their order: one left out, one that
    // comes again, two that changed places.
    let parts = [PfcFlags::FIRST_FRAG, PfcFlags(0), PfcFlags::LAST_FRAG];
    for order in [&[1][..], &[0, 2], &[0, 0], &[0, 1, 1], &[1, 0]] {
        let mut by_hand = ByHand::calling();
        let stub = b"sixteen octets..";
        let parts = parts.map(|flags| by_hand.response(flags, stub, |_| ()));
        for index in order {
            by_hand.receive(&parts[*index]);
        }
        by_hand.assert_ends(ProtocolError::Signature);
    }
}

#[test]
fn a_further_fragment_without_signature_is_the_end() {
    let mut by_hand = ByHand::calling();
    let first = by_hand.response(PfcFlags::FIRST_FRAG, b"sixteen octets..", |_| ());
    by_hand.receive(&first);
    assert_eq!(by_hand.client.poll_event(), None);
    let rest = Response {
        alloc_hint: 0,
        context_id: 0,
        cancel_count: 0,
        reserved: 0,
        stub: b"of another",
    };
    let body = Body::Response(rest);
    let rest = by_hand.pdu(PacketType::RESPONSE, PfcFlags::LAST_FRAG, body, None);
    by_hand.receive(&rest);
    by_hand.assert_ends(ProtocolError::Unsigned);
}

#[test]
fn faults_come_unsigned() {
    let mut by_hand = ByHand::calling();
    let fault = Body::Fault(Fault::new(0, FaultStatus::ACCESS_DENIED));
    let fault = by_hand.pdu(PacketType::FAULT, PfcFlags::WHOLE, fault, None);
    by_hand.receive(&fault);
    let told = by_hand.client.poll_event();
    assert!(matches!(told, Some(ClientEvent::Fault { .. })), "{told:?}");
    by_hand.client.call(Instant::now(), 0, 1, None, b"again");
    by_hand.call_id = 3;
    let response = by_hand.response(PfcFlags::WHOLE, b"sixteen octets..", |_| ());
    by_hand.receive(&response);
    let told = by_hand.client.poll_event();
    assert!(
        matches!(told, Some(ClientEvent::Response { .. })),
        "{told:?}"
    );
}

#[test]
fn a_leg_that_is_answered_with_a_fault_leaves_no_connection_to_call_on() {
    let mut by_hand = ByHand::binding(AuthType::SPNEGO, AuthLevel::INTEGRITY);
    let fault = Body::Fault(Fault::new(0, FaultStatus::ACCESS_DENIED));
    let fault = by_hand.pdu(PacketType::FAULT, PfcFlags::WHOLE, fault, None);
    by_hand.receive(&fault);
    let told = by_hand.client.poll_event();
    assert!(matches!(told, Some(ClientEvent::Fault { .. })), "{told:?}");
    by_hand.client.call(Instant::now(), 0, 1, None, b"on");
    by_hand.assert_ends(ProtocolError::Unauthenticated);
}

#[test]
fn a_refused_interface_is_told_and_nothing_goes_on_behind_it() {
    let mut by_hand = ByHand::binding(AuthType::SPNEGO, AuthLevel::INTEGRITY);
    let rejected = ContextResult::PROVIDER_REJECTION;
    let ack = by_hand.ack_with(PacketType::BIND_ACK, None, rejected);
    by_hand.receive(&ack);
    let told = by_hand.client.poll_event();
    assert!(matches!(told, Some(ClientEvent::Bound { .. })), "{told:?}");
    by_hand.client.call(Instant::now(), 0, 1, None, b"on");
    by_hand.assert_ends(ProtocolError::Unauthenticated);
}

#[test]
fn calls_before_the_authentication_are_not_made() {
    let mut client = client(ByteOrder::Little);
    client.authenticate(AuthType::NTLM, AuthLevel::INTEGRITY);
    client.call(Instant::now(), 0, 1, None, b"stub");
    let end = ClientEvent::Broken(ProtocolError::Unauthenticated);
    assert_eq!(client.poll_event(), Some(end));
    assert_eq!(client.poll_transmit(), None);
}

#[test]
fn a_context_whose_life_is_over_ends_the_association() {
    let mut talk = Talk::plain(AuthLevel::INTEGRITY);
    talk.client.bind(Instant::now(), 0, &[EPT]);
    let brief = |level| ask_briefly(NAME, Legs::TwoWelcomed, level, 1);
    assert!(take_leg(&mut talk.client, brief));
    talk.settle();
    talk.call(1, &long());
    let end = ClientEvent::Broken(ProtocolError::Expired);
    assert_eq!(talk.told.last(), Some(&end));
    assert!(talk.calls.is_empty());
    assert_eq!(talk.client.poll_transmit(), None);
}
