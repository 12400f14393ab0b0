//! The client is lost in every state of the server's end: what was begun is
//! brought to its end, nothing else is, and nothing is left behind.

use crate::ends::{
    BIND_TIMEOUT, CALL_TIMEOUT, FIRST, GROUP, IDLE_TIMEOUT, LAST, LITTLE, MIDDLE, Server, WHOLE,
    alter, bind, fault, kinds, orphaned, request, settings,
};
use epmapper::proto::{Call, Closed, Event, Settings};
use epmapper::wire::pdu::PacketType;
use epmapper::wire::status::FaultStatus;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A server's end in some state, and what is known of it.
struct Case {
    name: &'static str,
    server: Server,
    /// The call that is being answered.
    executing: Option<Call>,
    /// When its peer has been silent for too long; `None` while it is the peer
    /// that waits.
    deadline: Option<Instant>,
    /// What it ends with if nothing more comes.
    closed: Closed,
    /// What it sends when everything that was begun is answered.
    sends: Vec<(PacketType, u32)>,
}

impl Case {
    fn new(name: &'static str, server: Server) -> Self {
        Case {
            name,
            server,
            executing: None,
            deadline: None,
            closed: Closed::IdleTimeout,
            sends: Vec::new(),
        }
    }

    /// A second after the last PDU: its silence ends the connection.
    fn ends(mut self, patience: Duration, closed: Closed) -> Self {
        self.deadline = Some(self.server.now + patience);
        self.closed = closed;
        self
    }

    /// It sends this in the end.
    fn sends(mut self, kinds: &[(PacketType, u32)]) -> Self {
        self.sends = kinds.to_vec();
        self
    }

    /// Takes octets in one second later, and does nothing about them.
    fn receive(&mut self, octets: &[u8]) {
        self.server.now += SECOND;
        self.server.input.extend_from_slice(octets);
        self.server
            .association
            .receive(self.server.now, &mut self.server.input);
    }

    /// Begins the next call.
    fn execute(&mut self) {
        match self.server.association.poll_event() {
            Some(Event::Call(call)) => self.executing = Some(call),
            other => panic!("{other:?}"),
        }
    }

    /// Answers the call that was begun, and all that waits.
    fn finish(&mut self) -> Vec<u8> {
        if let Some(call) = self.executing.take() {
            self.server.answer(&call);
        }
        self.server.exchange(&[])
    }
}

const RESPONSE: PacketType = PacketType::RESPONSE;
const FAULT: PacketType = PacketType::FAULT;
const ALTERED: PacketType = PacketType::ALTER_CONTEXT_RESP;

/// Calls 2 to `last`, whole, with answers of 600 octets.
fn calls(last: u32) -> Vec<u8> {
    (2..=last)
        .flat_map(|id| request(id, WHOLE, 3, &[7; 200]))
        .collect()
}

/// Before a bind was answered.
fn unbound() -> Vec<Case> {
    let silent = |case: Case| case.ends(BIND_TIMEOUT, Closed::BindTimeout);
    let mut half =
        Case::new("half a bind", Server::new(settings())).ends(BIND_TIMEOUT, Closed::BindTimeout);
    half.receive(&bind()[..40]);
    let mut joining = Case::new("joining", Server::new(settings()));
    joining.receive(&[bind(), calls(2)].concat());
    let mut asked = Case::new("group asked for", Server::new(settings()));
    asked.receive(&bind());
    let event = asked.server.association.poll_event();
    assert!(matches!(event, Some(Event::Join { group: 0 })));
    vec![
        silent(Case::new("new", Server::new(settings()))),
        half,
        silent(joining),
        silent(asked),
    ]
}

/// Bound, with nothing to be answered.
fn idle() -> Vec<Case> {
    let silent = |case: Case| case.ends(IDLE_TIMEOUT, Closed::IdleTimeout);
    let case = |name| Case::new(name, Server::bound(WHOLE));
    let mut half = silent(case("half a call"));
    half.receive(&request(2, WHOLE, 1, b"stub")[..25]);
    let mut first = case("a first fragment");
    first.receive(&request(2, FIRST, 1, &[0; 100]));
    let mut first = first.ends(CALL_TIMEOUT, Closed::CallTimeout);
    first.receive(&request(2, MIDDLE, 1, &[0; 100]));
    first.receive(&[alter(3), orphaned(LITTLE, 2)].concat());
    first.receive(&request(2, LAST, 1, &[0; 100])[..50]);
    vec![silent(case("bound")), half, first.sends(&[(ALTERED, 3)])]
}

/// Bound, with something to be answered.
fn busy() -> Vec<Case> {
    let case = |name| Case::new(name, Server::bound(WHOLE));
    let mut waiting = case("a call that waits");
    waiting.receive(&calls(2));
    let mut executing = case("a call that is answered");
    executing.receive(&calls(2));
    executing.execute();
    let mut behind = case("calls and an alter_context behind it");
    behind.receive(&[calls(3), alter(4), request(5, WHOLE, 99, b"")].concat());
    behind.execute();
    vec![
        waiting.sends(&[(RESPONSE, 2)]),
        executing.sends(&[(RESPONSE, 2)]),
        behind.sends(&[(RESPONSE, 2), (RESPONSE, 3), (ALTERED, 4), (FAULT, 5)]),
        unread().sends(&(2..=6).map(|id| (RESPONSE, id)).collect::<Vec<_>>()),
    ]
}

/// An answer that the peer does not read, and as many calls held back for it
/// as may wait.
fn unread() -> Case {
    let mut server = Server::new(Settings {
        max_queued: 500,
        ..settings()
    });
    server.exchange(&bind());
    let mut case = Case::new("unread", server);
    case.receive(&calls(5));
    let event = case.server.association.poll_event().unwrap();
    case.server.event(event);
    case.receive(&request(6, WHOLE, 3, &[7; 200]));
    let association = &mut case.server.association;
    assert!(association.poll_event().is_none() && association.is_full());
    assert_eq!(association.held(), 4 * 200);
    assert_eq!(kinds(association.poll_transmit().unwrap()), [(RESPONSE, 2)]);
    case
}

/// Something to be answered, and behind it what ends the connection.
fn ending() -> Vec<Case> {
    let case = |name| Case::new(name, Server::bound(WHOLE));
    let mut incomplete = case("a part of a call behind a call");
    incomplete.receive(&[calls(2), request(3, FIRST, 1, b"part")].concat());
    incomplete.execute();
    let incomplete = incomplete.ends(CALL_TIMEOUT, Closed::CallTimeout);
    let mut violated = case("a violation behind calls");
    violated.receive(&[calls(3), request(4, LAST, 1, b"")].concat());
    violated.execute();
    violated.closed = Closed::Violation;
    vec![
        incomplete.sends(&[(RESPONSE, 2)]),
        violated.sends(&[(RESPONSE, 2), (RESPONSE, 3), (FAULT, 4)]),
    ]
}

fn each_case(test: impl FnMut(Case)) {
    let cases = unbound().into_iter().chain(idle());
    cases.chain(busy()).chain(ending()).for_each(test);
}

/// Lets time pass up to a deadline, at which the connection ends, or far.
fn wait(server: &mut Server, deadline: Option<Instant>) {
    let association = &mut server.association;
    assert_eq!(association.poll_timeout(), deadline);
    let closed = association.closed();
    let Some(deadline) = deadline else {
        server.now += 10 * IDLE_TIMEOUT;
        association.handle_timeout(server.now);
        return assert_eq!(association.closed(), closed);
    };
    association.handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(association.closed(), None);
    assert_eq!(association.poll_timeout(), Some(deadline));
    association.handle_timeout(deadline);
    assert_eq!(association.poll_timeout(), None);
    server.now = deadline;
}

#[test]
fn silence_in_any_state_ends_the_connection_at_its_deadline_and_what_was_begun_is_answered() {
    each_case(|mut case| {
        let name = case.name;
        wait(&mut case.server, case.deadline);
        assert_eq!(kinds(&case.finish()), case.sends, "{name}");
        // Silence begins when there is nothing more to wait for.
        if case.server.association.closed().is_none() {
            let deadline = case.server.now + IDLE_TIMEOUT;
            wait(&mut case.server, Some(deadline));
        }
        let closed = case.server.association.closed();
        assert_eq!(closed, Some(case.closed), "{name}");
        check_over(case);
    });
}

#[test]
fn a_client_that_waits_for_its_answer_may_call_again_however_late_that_is() {
    for mut case in busy() {
        let name = case.name;
        wait(&mut case.server, None);
        assert_eq!(kinds(&case.finish()), case.sends, "{name}");
        case.server.now += IDLE_TIMEOUT - SECOND;
        let next = case.server.exchange(&request(50, WHOLE, 1, b"next"));
        assert_eq!(kinds(&next), [(RESPONSE, 50)], "{name}");
    }
}

#[test]
fn a_server_without_memory_gives_up_in_any_state_behind_what_was_begun() {
    each_case(|mut case| {
        case.server.association.give_up();
        let sent = case.finish();
        let mut answers = kinds(&sent);
        if case.closed == Closed::CallTimeout {
            let (_, status, did_not_execute) = fault(&sent);
            assert_eq!(status, FaultStatus::REMOTE_NO_MEMORY);
            assert!(did_not_execute);
            answers.pop();
        }
        assert_eq!(answers, case.sends, "{}", case.name);
        let first = match case.closed {
            Closed::Violation => Closed::Violation,
            _ => Closed::NoMemory,
        };
        assert_eq!(case.server.association.closed(), Some(first));
        check_over(case);
    });
}

#[test]
fn a_client_that_leaves_in_any_state_leaves_its_group() {
    each_case(|mut case| {
        case.finish();
        let groups = case.server.groups.clone();
        let before = groups.borrow().len();
        let joined = case.server.group.is_some();
        drop(case);
        assert_eq!(groups.borrow().len(), before - usize::from(joined));
    });
}

/// Nothing is held, asked for or taken any more, and nothing brings it back.
fn check_over(mut case: Case) {
    let closed = case.server.association.closed();
    let association = &mut case.server.association;
    association.joined(Some(GROUP));
    association.joined(None);
    association.handle_timeout(case.server.now + IDLE_TIMEOUT);
    assert!(
        case.server
            .exchange(&[bind(), calls(3)].concat())
            .is_empty()
    );
    let association = &mut case.server.association;
    assert_eq!((association.held(), association.poll_timeout()), (0, None));
    assert!(!association.has_room() && !association.is_busy());
    assert_eq!(association.closed(), closed, "{}", case.name);
}
