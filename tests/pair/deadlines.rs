//! The server is lost in every state of the client's end, or says nothing of
//! use for too long: the client finds out, once, and asks for nothing more.

use crate::conversation::ANSWER_TIMEOUT;
use crate::ends::{GROUP, LITTLE, Server, encode, frames, settings, start};
use crate::link::{Offer, transmit};
use bytes::BytesMut;
use epmapper::proto::{ClientAssociation, ClientEvent, ClientSettings, ProtocolError};
use epmapper::wire::SyntaxId;
use epmapper::wire::pdu::{Body, Header, PacketType, PfcFlags, Response};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

const EPT: Offer = (0, SyntaxId::EPT, &[SyntaxId::NDR]);
const MGMT: Offer = (1, SyntaxId::MGMT, &[SyntaxId::NDR]);

/// Something that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Bind,
    Alter,
    Call,
    /// A call whose answer takes several fragments.
    LongCall,
}

const ASKS: [Ask; 4] = [Ask::Bind, Ask::Alter, Ask::Call, Ask::LongCall];

/// A client's end, the server that it talks to, and the client's clock.
struct Ends {
    client: ClientAssociation,
    server: Server,
    now: Instant,
}

impl Ends {
    fn new() -> Self {
        let settings_of_client = ClientSettings {
            order: LITTLE,
            max_frag: 1432,
            answer_timeout: ANSWER_TIMEOUT,
            ..ClientSettings::default()
        };
        Ends {
            client: ClientAssociation::new(settings_of_client),
            server: Server::new(settings()),
            now: start(),
        }
    }

    /// A client that may ask for this: bound, unless it is to bind.
    fn before(ask: Ask) -> Self {
        let mut ends = Ends::new();
        if ask != Ask::Bind {
            let answer = ends.ask(Ask::Bind);
            ends.hear(&answer);
            let event = ends.client.poll_event();
            assert!(matches!(event, Some(ClientEvent::Bound { .. })));
        }
        ends
    }

    /// The client asks a second later; gives what the server answers.
    fn ask(&mut self, ask: Ask) -> Vec<u8> {
        self.begin(ask);
        self.server.exchange(&transmit(&mut self.client))
    }

    /// The client asks, and nothing is sent yet.
    fn begin(&mut self, ask: Ask) {
        self.now += SECOND;
        match ask {
            Ask::Bind => self.client.bind(self.now, GROUP, &[EPT]),
            Ask::Alter => self.client.alter(self.now, &[MGMT]),
            Ask::Call => self.client.call(self.now, 0, 1, None, &[7; 40]),
            Ask::LongCall => self.client.call(self.now, 0, 90, None, &[7; 40]),
        }
    }

    /// Octets come.
    fn hear(&mut self, octets: &[u8]) {
        self.client.receive(&mut BytesMut::from(octets));
    }

    /// The client is told just this, and then asks for nothing more.
    fn check_end(&mut self, name: &str, told: Option<ProtocolError>, error: ProtocolError) {
        let event = self.client.poll_event();
        assert_eq!(event, told.map(ClientEvent::Broken), "{name}");
        for ask in ASKS {
            self.begin(ask);
            let event = self.client.poll_event();
            assert_eq!(event, Some(ClientEvent::Broken(error)), "{name}");
        }
        self.client.cancel();
        self.client.orphan();
        self.client.peer_closed();
        self.client.handle_timeout(self.now + 2 * ANSWER_TIMEOUT);
        let mut input = BytesMut::from(&[5; 100][..]);
        self.client.receive(&mut input);
        assert_eq!(input.len(), 100, "octets taken after the end");
        assert_eq!(self.client.poll_event(), None);
        assert_eq!(self.client.poll_transmit(), None);
        assert_eq!(self.client.poll_timeout(), None);
    }
}

/// A client's end in some state, and whether an answer is due in it.
type Case = (&'static str, Ends, bool);

/// Every state but those of half an answer.
fn states() -> Vec<Case> {
    let asked = |ask| {
        let mut ends = Ends::before(ask);
        ends.ask(ask);
        ends
    };
    let unsent = |ask| {
        let mut ends = Ends::before(ask);
        ends.begin(ask);
        ends
    };
    let mut cancelled = asked(Ask::Call);
    cancelled.client.cancel();
    let mut orphaned = asked(Ask::Call);
    orphaned.client.orphan();
    let mut again = asked(Ask::Call);
    again.client.orphan();
    again.begin(Ask::Call);
    vec![
        ("new", Ends::new(), false),
        ("bind unsent", unsent(Ask::Bind), true),
        ("bind sent", asked(Ask::Bind), true),
        ("bound", Ends::before(Ask::Call), false),
        ("alter_context unsent", unsent(Ask::Alter), true),
        ("alter_context sent", asked(Ask::Alter), true),
        ("call unsent", unsent(Ask::LongCall), true),
        ("call sent", asked(Ask::LongCall), true),
        ("call cancelled", cancelled, true),
        ("call given up", orphaned, false),
        ("call given up, another made", again, true),
    ]
}

/// Half of the answer has come: of its octets, or of its fragments.
fn halves() -> Vec<Case> {
    let half = |ask| {
        let mut ends = Ends::before(ask);
        let answer = ends.ask(ask);
        ends.hear(&answer[..answer.len() / 2]);
        ends
    };
    let mut fragment = Ends::before(Ask::LongCall);
    let answer = fragment.ask(Ask::LongCall);
    fragment.hear(frames(&answer)[0]);
    assert!(frames(&answer).len() > 1);
    vec![
        ("half a bind_ack", half(Ask::Bind), true),
        ("half an alter_context_resp", half(Ask::Alter), true),
        ("half a response", half(Ask::Call), true),
        ("half a long response", half(Ask::LongCall), true),
        ("a first fragment", fragment, true),
    ]
}

#[test]
fn a_server_lost_in_any_state_is_told_once_or_to_whoever_asks_next() {
    for (name, mut ends, due) in states().into_iter().chain(halves()) {
        ends.client.peer_closed();
        let told = due.then_some(ProtocolError::Closed);
        ends.check_end(name, told, ProtocolError::Closed);
    }
}

#[test]
fn silence_in_any_state_ends_at_the_deadline_where_an_answer_is_due() {
    for (name, mut ends, due) in states().into_iter().chain(halves()) {
        let deadline = due.then(|| ends.now + ANSWER_TIMEOUT);
        assert_eq!(ends.client.poll_timeout(), deadline, "{name}");
        let Some(deadline) = deadline else {
            ends.client.handle_timeout(ends.now + 10 * ANSWER_TIMEOUT);
            assert_eq!(ends.client.poll_event(), None);
            continue;
        };
        check_deadline(name, &mut ends, deadline);
    }
}

/// The client waits until its deadline and not longer.
fn check_deadline(name: &str, ends: &mut Ends, deadline: Instant) {
    ends.client
        .handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(ends.client.poll_event(), None);
    assert_eq!(ends.client.poll_timeout(), Some(deadline));
    ends.client.handle_timeout(deadline);
    ends.check_end(name, Some(ProtocolError::Timeout), ProtocolError::Timeout);
}

#[test]
fn a_server_that_dribbles_does_not_put_the_deadline_off() {
    for ask in ASKS {
        let mut ends = Ends::before(ask);
        let answer = ends.ask(ask);
        let deadline = ends.now + ANSWER_TIMEOUT;
        let mut input = BytesMut::new();
        // An octet a second: too slow for any answer.
        for octet in &answer[..29] {
            ends.now += SECOND;
            input.extend_from_slice(&[*octet]);
            ends.client.receive(&mut input);
            ends.client.handle_timeout(ends.now);
            assert_eq!(ends.client.poll_timeout(), Some(deadline), "{ask:?}");
        }
        check_deadline(&format!("{ask:?}"), &mut ends, deadline);
    }
}

/// A fragment of a response to `call_id`.
fn fragment(call_id: u32, flags: PfcFlags) -> Vec<u8> {
    let header = Header::new(PacketType::RESPONSE, flags, LITTLE.into(), call_id);
    let response = Response {
        alloc_hint: 0,
        context_id: 0,
        cancel_count: 0,
        reserved: 0,
        stub: b"x",
    };
    encode(header, Body::Response(response))
}

#[test]
fn a_server_that_never_ends_its_answer_does_not_put_the_deadline_off() {
    let mut ends = Ends::before(Ask::Call);
    ends.ask(Ask::Call);
    let deadline = ends.now + ANSWER_TIMEOUT;
    for second in 0..29 {
        ends.now += SECOND;
        let flags = match second {
            0 => PfcFlags::FIRST_FRAG,
            _ => PfcFlags(0),
        };
        ends.hear(&fragment(2, flags));
        ends.client.handle_timeout(ends.now);
        assert_eq!(ends.client.poll_timeout(), Some(deadline));
    }
    check_deadline("a call", &mut ends, deadline);
}

#[test]
fn answers_to_a_call_given_up_do_not_put_the_deadline_of_the_next_off() {
    let mut ends = Ends::before(Ask::Call);
    ends.ask(Ask::Call);
    ends.client.orphan();
    ends.ask(Ask::Call);
    let deadline = ends.now + ANSWER_TIMEOUT;
    for _ in 0..29 {
        ends.now += SECOND;
        ends.hear(&fragment(2, PfcFlags(0)));
        ends.client.handle_timeout(ends.now);
        assert_eq!(ends.client.poll_timeout(), Some(deadline));
    }
    check_deadline("a call", &mut ends, deadline);
}

#[test]
fn a_server_that_reads_nothing_does_not_put_the_deadline_off() {
    for ask in ASKS {
        let mut ends = Ends::before(ask);
        ends.begin(ask);
        let deadline = ends.now + ANSWER_TIMEOUT;
        for _ in 0..20 {
            ends.now += SECOND;
            assert!(ends.client.poll_transmit().is_some());
            ends.client.transmitted(1);
            ends.client.handle_timeout(ends.now);
            assert_eq!(ends.client.poll_timeout(), Some(deadline), "{ask:?}");
        }
        check_deadline(&format!("{ask:?}"), &mut ends, deadline);
    }
}

#[test]
fn an_answer_in_time_gives_the_next_step_a_time_of_its_own() {
    let mut ends = Ends::new();
    for ask in [Ask::Bind, Ask::Alter, Ask::Call, Ask::LongCall, Ask::Call] {
        let answer = ends.ask(ask);
        let asked = ends.now;
        assert_eq!(ends.client.poll_timeout(), Some(asked + ANSWER_TIMEOUT));
        ends.now += ANSWER_TIMEOUT - SECOND;
        ends.client.handle_timeout(ends.now);
        ends.hear(&answer);
        assert_eq!(ends.client.poll_timeout(), None);
        let event = ends.client.poll_event();
        assert!(
            matches!(
                event,
                Some(ClientEvent::Bound { .. } | ClientEvent::Response { .. })
            ),
            "{ask:?}: {event:?}"
        );
        // The timer of a step that was answered strikes late.
        ends.client.handle_timeout(asked + ANSWER_TIMEOUT);
        assert_eq!(ends.client.poll_event(), None);
    }
}
