//! A connection whose client authenticates, with somebody between the two ends.

mod clients;
mod wire;

use super::association::{OWN_STATUS, hangs_on_time, some_settings, some_stub};
use super::{Choices, arrived};
use crate::proto::{Answer, Association, Call, Closed, Event, Leg, LegOutcome, Principal};
use crate::proto::{Security, SecurityProvider, Settings};
use crate::wire::FaultStatus;
use crate::wire::pdu::{AuthLevel, AuthType, Body, Header, Pdu, PfcFlags};
use bytes::BytesMut;
use clients::Clients;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Target `secure_association`: a connection driven by an operation list, whose
/// clients know a password each, or do not.
///
/// What honest clients say is altered, cut, repeated and mixed with what anybody
/// makes up. No call comes from somebody who did not say what proves it; under a
/// context that signs, calls are those that its client signed, in their order,
/// and answers those that it can verify. What was sent is checked when all is
/// said, then the same stream is played once more in one piece.
pub fn secure_association(octets: &[u8]) {
    let mut driver = Driver::played(octets);
    driver.check_sent();
    driver.check_closed();
    if driver.was_cut_short() || hangs_on_time(&driver.stream, driver.has_held) {
        return;
    }
    let mut whole = Driver::new(driver.settings.clone(), driver.takes);
    whole.upcoming = std::mem::take(&mut driver.stream);
    whole.clients = driver.clients;
    whole.clients.begin_anew();
    whole.finish();
    assert!(
        whole.sent == driver.sent,
        "another answer when the stream comes in one piece"
    );
}

/// An operation list for `secure_association` that plays the PDUs of a client,
/// one by one or all at once.
///
/// `variant` chooses the settings; 0 are those of a real server.
pub fn secure_association_list<'a>(
    pdus: impl IntoIterator<Item = &'a [u8]>,
    variant: u8,
    at_once: bool,
) -> Vec<u8> {
    let mut list = super::association_list(pdus, variant, at_once);
    list.insert(0, variant);
    list
}

/// Operations of a list by number; the first three are those of `association`.
const OPERATIONS: u8 = 16;

/// What the acceptors of a connection take.
#[derive(Clone, Copy, Debug)]
struct Takes {
    /// Logons without a name.
    anonymous: bool,
}

/// A connection, its clients, and what is to be expected of it.
struct Driver {
    association: Association,
    settings: Arc<Settings>,
    takes: Takes,
    providers: Vec<Arc<dyn SecurityProvider>>,
    now: Instant,
    clients: Clients,
    /// What the clients send and has not arrived.
    upcoming: Vec<u8>,
    /// What has arrived and was not taken.
    input: BytesMut,
    /// All that has arrived.
    stream: Vec<u8>,
    /// All that was sent.
    sent: Vec<u8>,
    /// How much of it the clients have heard.
    heard: usize,
    /// The leg that was handed out.
    leg: Option<Leg>,
    /// The call that was handed out.
    call: Option<Call>,
    /// Whether a call was left unanswered while others went on.
    has_held: bool,
    /// Calls handed out.
    calls: u32,
    /// Legs handed out.
    legs: u32,
    /// The replies that the clients must get, in this order.
    expected: VecDeque<Expected>,
    /// Octets that this much input and output may leave waiting to be sent.
    allowance: usize,
    /// Whether the bind's group was joined.
    is_bound: bool,
    /// Whether the bind asked for a security context.
    bind_had_leg: bool,
}

/// What a client must get for a call.
#[derive(Debug)]
struct Expected {
    call_id: u32,
    /// The stub, or nothing for a fault.
    stub: Option<Vec<u8>>,
    /// Who verifies it, if it is signed: nobody we know for `Some(None)`.
    signed_for: Option<Option<usize>>,
}

impl Driver {
    /// Plays a list to its end.
    fn played(octets: &[u8]) -> Self {
        let mut choices = Choices(octets);
        let bits = choices.u8();
        let security = Security {
            auth_types: Arc::new([AuthType::NTLM, AuthType::SPNEGO]),
            max_contexts: [4, 1, 2, 32][usize::from(bits >> 1 & 3)],
        };
        let settings = Settings {
            security,
            ..some_settings(&mut choices)
        };
        let takes = Takes {
            anonymous: bits & 1 != 0,
        };
        let mut driver = Driver::new(Arc::new(settings), takes);
        while !choices.is_empty() {
            driver.operate(&mut choices);
        }
        driver.finish();
        driver
    }

    fn new(settings: Arc<Settings>, takes: Takes) -> Self {
        let now = Instant::now();
        Driver {
            association: Association::new(settings.clone(), now),
            settings,
            takes,
            providers: clients::providers(takes.anonymous),
            now,
            clients: Clients::default(),
            upcoming: Vec::new(),
            input: BytesMut::new(),
            stream: Vec::new(),
            sent: Vec::new(),
            heard: 0,
            leg: None,
            call: None,
            has_held: false,
            calls: 0,
            legs: 0,
            expected: VecDeque::new(),
            allowance: 0,
            is_bound: false,
            bind_had_leg: false,
        }
    }

    /// One operation of the list.
    fn operate(&mut self, choices: &mut Choices) {
        let clients = &mut self.clients;
        match choices.u8() % OPERATIONS {
            0 => {
                let length = choices.u16();
                self.upcoming.extend(choices.take(length.into()));
            }
            1 => self.deliver(choices.u16().into()),
            2 => self.take_events(choices.u8()),
            3 => self.hold(),
            4 => self.answer(),
            5 => self.transmit(choices.u16().into()),
            6 => self.pass_time(Duration::from_secs(choices.u8().into())),
            7 => clients.begin(choices, &mut self.upcoming),
            8 | 9 => clients.go_on(choices, &mut self.upcoming),
            10 | 11 => clients.request(choices, &mut self.upcoming),
            12 => clients.repeat(choices, &mut self.upcoming),
            13 => clients.graft(choices, &mut self.upcoming),
            14 => wire::plain(choices, &mut self.upcoming),
            _ => choices.mangle(&mut self.upcoming),
        }
    }

    /// Lets `count` octets arrive, all of them for 0, and feeds the machine.
    fn deliver(&mut self, count: usize) {
        let arrived = arrived(&mut self.upcoming, count);
        self.input.extend_from_slice(&arrived);
        self.stream.extend(arrived);
        if self.unsent() < self.settings.max_queued {
            self.receive();
        }
    }

    fn receive(&mut self) {
        let before = self.input.len();
        let had_room = self.association.has_room();
        self.association.receive(self.now, &mut self.input);
        let taken = before - self.input.len();
        assert!(had_room || taken == 0, "octets taken without room");
        let longest = self.settings.max_call.max(self.settings.max_frag.into());
        let held = self.association.held();
        // Tokens that came, and a little more for each context.
        let legs = self.stream.len() + 1024 * self.settings.security.max_contexts;
        assert!(
            held <= self.settings.max_call + 2 * longest + legs,
            "{held} octets held"
        );
        // No answer of the machine's own is twice as long as what it answers,
        // but for the token in it.
        self.allowance += 2 * taken.max(if had_room { Header::LEN } else { 0 });
        self.check_unsent();
    }

    /// Takes `count` events, all of them for 0, and answers them.
    fn take_events(&mut self, count: u8) {
        let mut left = if count == 0 { usize::MAX } else { count.into() };
        self.answer();
        while left > 0 && self.event() {
            self.answer();
            left -= 1;
        }
    }

    /// Takes a leg or call and leaves it unanswered for now.
    fn hold(&mut self) {
        if self.call.is_none() && self.leg.is_none() {
            self.event();
            self.has_held |= self.call.is_some();
        }
    }

    /// Takes one event; whether there was one.
    fn event(&mut self) -> bool {
        let over = self.association.closed();
        let event = self.association.poll_event();
        assert!(
            over.is_none() || event.is_none(),
            "{over:?}, and then {event:?}"
        );
        match event {
            None => return false,
            Some(Event::Leg(leg)) => self.leg = Some(leg),
            Some(Event::Join { .. }) => {
                assert!(!self.is_bound, "a second bind was taken");
                self.is_bound = true;
                self.association.joined(Some(7));
                self.allowance += 64;
            }
            Some(Event::Call(call)) => {
                self.begin(&call);
                self.call = Some(call);
            }
            Some(Event::Cancel(_)) => {}
            Some(Event::Orphaned(key)) => {
                self.call.take_if(|call| call.key() == key);
            }
        }
        true
    }

    /// Looks at a call that is handed out.
    fn begin(&mut self, call: &Call) {
        assert!(self.is_bound, "a call before the bind");
        self.calls += 1;
        let Some(caller) = &call.caller else {
            assert!(!self.bind_had_leg, "nobody's call where somebody bound");
            return;
        };
        self.check_principal(&caller.principal);
        if caller.auth_level >= AuthLevel::PACKET
            && let Some(number) = clients::number(&caller.principal)
        {
            self.clients.check_call(number, call);
        }
    }

    /// Nobody is taken for somebody without what proves it.
    fn check_principal(&self, principal: &Principal) {
        match clients::number(principal) {
            None => assert!(self.takes.anonymous, "{principal} is nobody"),
            Some(number) => self.clients.check_proof(number, &self.stream),
        }
    }

    /// Answers the leg or call that was handed out, if one was.
    fn answer(&mut self) {
        if let Some(leg) = self.leg.take() {
            self.legs += 1;
            self.bind_had_leg |= !self.is_bound;
            let outcome = leg.take(&self.providers);
            self.check_outcome(&outcome);
            self.association.leg_taken(outcome);
        }
        if let Some(call) = self.call.take() {
            self.answer_call(&call);
        }
        self.check_unsent();
    }

    /// The laws of what a leg comes to.
    fn check_outcome(&mut self, outcome: &LegOutcome) {
        let Ok((context, answer)) = outcome else {
            return;
        };
        self.allowance += answer.token.len() + 64;
        if answer.is_complete {
            let principal = context.principal();
            self.check_principal(&principal);
            self.clients.note_logon(&principal);
        }
    }

    fn answer_call(&mut self, call: &Call) {
        let stub = some_stub(call, self.calls);
        let answer = match &stub {
            Some(stub) => Answer::Response(stub),
            None => Answer::Fault {
                status: FaultStatus(OWN_STATUS),
                did_not_execute: false,
            },
        };
        if !self.association.reply(call, answer) || call.maybe {
            return;
        }
        // A fragment of 1432 octets carries 1376 of them beside a signature.
        let overhead = |stub: &Vec<u8>| stub.len() + 72 * (stub.len() / 1376 + 1);
        self.allowance += stub.as_ref().map_or(32, overhead);
        let caller = call.caller.as_ref();
        let signed = caller.filter(|caller| caller.auth_level >= AuthLevel::PACKET);
        self.expected.push_back(Expected {
            call_id: call.id,
            stub,
            signed_for: signed.map(|caller| clients::number(&caller.principal)),
        });
    }

    /// Sends `count` octets, all of them for 0; clients hear whole PDUs.
    fn transmit(&mut self, count: usize) {
        let Some(octets) = self.association.poll_transmit() else {
            return;
        };
        let count = if count == 0 {
            octets.len()
        } else {
            count.min(octets.len())
        };
        self.sent.extend(&octets[..count]);
        self.association.transmitted(count);
        self.allowance -= count;
        let rest = &self.sent[self.heard..];
        self.heard += self.clients.hear(rest);
    }

    /// Lets time pass.
    fn pass_time(&mut self, time: Duration) {
        self.now += time;
        self.association.handle_timeout(self.now);
        if let Some(deadline) = self.association.poll_timeout() {
            let is_held = self.call.is_some() || self.leg.is_some();
            assert!(
                is_held || deadline > self.now,
                "a deadline that never passes"
            );
        }
    }

    fn unsent(&self) -> usize {
        self.association.poll_transmit().map_or(0, <[u8]>::len)
    }

    /// No more waits to be sent than came in and was answered.
    fn check_unsent(&self) {
        let (unsent, allowance) = (self.unsent(), self.allowance);
        assert!(unsent <= allowance, "{unsent} octets unsent, {allowance}");
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        loop {
            let before = self.progress();
            self.deliver(0);
            self.take_events(0);
            self.transmit(0);
            let after = self.progress();
            if before == after && self.upcoming.is_empty() {
                break;
            }
        }
        assert!(!self.association.is_busy());
        assert!(self.association.closed().is_some() || self.association.has_room());
    }

    /// What changes as long as something happens.
    fn progress(&self) -> [usize; 4] {
        let Driver { input, sent, .. } = self;
        let events = [self.calls, self.legs].map(|count| count as usize);
        [input.len(), sent.len(), events[0], events[1]]
    }

    /// What was sent are PDUs of a server, and among them the answer to every
    /// call, in order; what is signed is so for whom it is meant.
    fn check_sent(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let mut rest = &sent[..];
        let mut stub = None;
        while let Some(length) = Header::peek_frag_length(rest) {
            let (octets, behind) = rest.split_at(length.into());
            rest = behind;
            self.check_pdu(octets, &mut stub);
        }
        assert!(rest.is_empty() && stub.is_none(), "the last PDU is cut");
        assert!(self.expected.is_empty(), "unanswered: {:?}", self.expected);
        self.sent = sent;
    }

    /// Takes a PDU off what is expected; `answer` is a response under way.
    fn check_pdu(&mut self, octets: &[u8], answer: &mut Option<Vec<u8>>) {
        let pdu = Pdu::decode(octets).expect("sent PDUs decode");
        let is_response = matches!(pdu.body, Body::Response(_));
        assert!(answer.is_none() || is_response, "inside a response");
        match &pdu.body {
            Body::Response(response) => {
                let expected = self.expected.front().expect("an answer to no call");
                assert_eq!(expected.call_id, pdu.header.call_id);
                assert_eq!(expected.signed_for.is_some(), pdu.auth.is_some());
                let stub = answer.get_or_insert_default();
                match expected.signed_for {
                    None => stub.extend(response.stub),
                    Some(None) => {}
                    Some(Some(number)) => stub.extend(self.clients.opened(number, octets, &pdu)),
                }
                if pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
                    let stub = answer.take();
                    if expected.signed_for != Some(None) {
                        assert_eq!(expected.stub, stub, "another answer");
                    }
                    self.expected.pop_front();
                }
            }
            Body::Fault(fault) if fault.status.0 == OWN_STATUS => {
                let expected = self.expected.pop_front();
                let expected = expected.expect("an answer to no call");
                assert_eq!(expected.call_id, pdu.header.call_id);
                assert!(expected.stub.is_none() && pdu.auth.is_none());
            }
            Body::Fault(_) | Body::BindNak(_) => assert!(pdu.auth.is_none()),
            Body::BindAck(_) | Body::AlterContextResp(_) => {}
            other => panic!("no PDU of a server: {other:?}"),
        }
    }

    /// Nothing is taken and nothing happens after the end.
    fn check_closed(&mut self) {
        let Some(closed) = self.association.closed() else {
            return;
        };
        let before = self.input.len();
        self.input.extend_from_slice(&wire::request(&[], 0));
        let after = self.input.len();
        assert!(after > before);
        self.association.receive(self.now, &mut self.input);
        assert_eq!(self.input.len(), after, "octets taken after the end");
        assert!(self.association.poll_event().is_none());
        assert!(self.association.poll_transmit().is_none());
        assert!(self.association.poll_timeout().is_none());
        assert_eq!(self.association.held(), 0);
        assert_eq!(self.association.closed(), Some(closed));
    }

    /// Whether the connection ended by what is not in the stream.
    fn was_cut_short(&self) -> bool {
        let own = [Closed::Violation, Closed::Refused];
        self.association
            .closed()
            .is_some_and(|closed| !own.contains(&closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that was said arrives and is answered.
    const ROUND: [u8; 8] = [1, 0, 0, 2, 0, 5, 0, 0];

    /// A list: a client of a kind logs on, at one of the levels by number.
    fn logon(kind: u8, level: u8) -> Vec<u8> {
        let mut list = vec![0; 6];
        list.extend([7, kind, level]);
        list.extend(ROUND);
        for _ in 0..3 {
            list.extend([8, 0]);
            list.extend(ROUND);
        }
        list
    }

    /// Calls handed out and clients logged on once a list is played; its laws
    /// hold.
    fn played(list: &[u8]) -> (u32, usize) {
        secure_association(list);
        let driver = Driver::played(list);
        (driver.calls, driver.clients.logged_on())
    }

    #[test]
    fn honest_clients_of_every_kind_and_level_are_served() {
        for kind in 0..4 {
            for level in 0..4 {
                let mut list = logon(kind, level);
                // A call of three fragments, then two that come together.
                list.extend([10, 0x08, 30, 3]);
                list.extend(ROUND);
                list.extend([10, 0, 3, 200, 10, 0, 0, 185]);
                list.extend(ROUND);
                assert_eq!(played(&list), (3, 1), "kind {kind}, level {level}");
            }
        }
    }

    #[test]
    fn who_knows_the_name_alone_is_not_served_and_nobody_where_it_may() {
        for (kind, anonymous, calls) in [(4, 0, 0), (8, 0, 0), (8, 1, 1), (4, 1, 0)] {
            let mut list = logon(kind, 0);
            list[0] = anonymous;
            list.extend([10, 0, 3, 1]);
            list.extend(ROUND);
            assert_eq!(played(&list), (calls, 0), "kind {kind}");
        }
    }

    #[test]
    fn two_clients_of_one_connection_are_told_apart() {
        let mut list = logon(0, 0);
        list.extend([7, 1, 1]);
        list.extend(ROUND);
        for _ in 0..2 {
            list.extend([8, 2]);
            list.extend(ROUND);
        }
        list.extend([10, 0, 3, 1, 10, 0x10, 3, 2, 10, 0, 4, 3]);
        list.extend(ROUND);
        assert_eq!(played(&list), (3, 2));
    }

    #[test]
    fn what_was_repeated_grafted_or_lowered_is_not_served() {
        let attacks: [&[u8]; 5] = [
            &[12, 2, 0],                  // the signed request again
            &[10, 0, 3, 1, 13, 2, 0],     // with another one's signature
            &[12, 2, 0x21],               // again, at level connect
            &[10, 0, 3, 1, 15, 40, 0, 1], // with one octet changed
            &[14, 3, 0, 0, 2, 0, 3, 1],   // one that nobody signed
        ];
        for attack in attacks {
            let mut list = logon(0, 0);
            list.extend([10, 0, 3, 1]);
            list.extend(ROUND);
            list.extend(attack);
            list.extend(ROUND);
            assert_eq!(played(&list), (1, 1), "{attack:?}");
        }
    }

    #[test]
    fn the_laws_hold_for_lists_of_chance() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for _ in 0..2_000 {
            let octets: Vec<u8> = (0..120).map(|_| next()).collect();
            secure_association(&octets);
        }
    }
}
