//! A connection of a server, all around it, and what is to be expected of it.

use super::{Choices, arrived};
use crate::proto::{Answer, Association, Call, CallKey, Closed, Event, Security, Served, Settings};
use crate::wire::pdu::{
    Bind, Body, ContextsBuf, Header, PacketType, Pdu, PfcFlags, Request, bind_time_syntax,
};
use crate::wire::{DataRepresentation, FaultStatus, SyntaxId};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::{Uuid, uuid};

/// Target `association`: a connection driven by an operation list.
///
/// PDUs, well-formed or mangled, come in pieces; answers of all sizes go out in
/// pieces, and in any order where multiplexing was agreed on; groups are joined
/// or not; time passes. What was sent is checked when all is said, then the same
/// stream is played once more in one piece, unless the time of something counts
/// for more than its place.
pub fn association(octets: &[u8]) {
    let mut choices = Choices(octets);
    let settings = Arc::new(some_settings(&mut choices));
    let mut driver = Driver::new(settings.clone());
    while !choices.is_empty() {
        driver.operate(&mut choices);
    }
    driver.finish();
    driver.check_sent();
    driver.check_closed();
    if driver.was_cut_short() || hangs_on_time(&driver.stream, driver.has_held) {
        return;
    }
    let mut whole = Driver::new(settings);
    whole.upcoming = driver.stream;
    whole.finish();
    assert!(
        whole.sent == driver.sent,
        "another answer when the stream comes in one piece"
    );
}

/// An operation list for `association` that plays the PDUs of a client, one by
/// one or all at once.
///
/// `variant` chooses the settings; 0 are those of a real server.
pub fn association_list<'a>(
    pdus: impl IntoIterator<Item = &'a [u8]>,
    variant: u8,
    at_once: bool,
) -> Vec<u8> {
    let mut list = vec![variant; SETTINGS_LEN];
    for pdu in pdus {
        list.push(RAW);
        list.extend((pdu.len() as u16).to_le_bytes());
        list.extend(pdu);
        if !at_once {
            list.extend([DELIVER, 0, 0, EVENTS, 0]);
        }
    }
    list
}

/// Operations of a list by number; what other numbers mean, `operate` tells.
const RAW: u8 = 0;
/// See `RAW`.
const DELIVER: u8 = 1;
/// See `RAW`.
const EVENTS: u8 = 2;

/// Octets of a list that choose the settings.
const SETTINGS_LEN: usize = 5;

/// Time to bind.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time to be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Time to complete a call. Half a second tells such a deadline from others,
/// since only whole ones pass.
const CALL_TIMEOUT: Duration = Duration::from_millis(45_500);

/// An object that a call may name, and a syntax that nobody serves.
const OBJECT: Uuid = uuid!("11111111-2222-3333-4444-555555555555");

/// Settings with small limits; the first choice is that of a real server.
pub(super) fn some_settings(choices: &mut Choices) -> Settings {
    let served = [
        (SyntaxId::EPT, vec![SyntaxId::NDR]),
        (SyntaxId::MGMT, vec![SyntaxId::NDR64, SyntaxId::NDR]),
    ];
    let served = served.map(|(interface, transfer_syntaxes)| Served {
        interface,
        transfer_syntaxes,
    });
    Settings {
        interfaces: Arc::new(served),
        secondary_address: "135".into(),
        max_frag: choices.of([5840, 4280, 2048]),
        max_call: choices.of([4 << 20, 100, 6_000, 40_000]),
        max_waiting: choices.of([64, 1, 2, 5]),
        max_queued: choices.of([1 << 20, 1, 1_000, 30_000]),
        max_contexts: choices.of([256, 1, 2]),
        security: Security::none(),
        bind_timeout: BIND_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        call_timeout: CALL_TIMEOUT,
    }
}

/// A connection, all around it, and what is to be expected of it.
struct Driver {
    association: Association,
    settings: Arc<Settings>,
    start: Instant,
    now: Instant,
    /// What the client sends and has not arrived.
    upcoming: Vec<u8>,
    /// What has arrived and was not taken.
    input: BytesMut,
    /// All that has arrived.
    stream: Vec<u8>,
    /// All that was sent.
    sent: Vec<u8>,
    /// The calls that were handed out and not answered.
    held: Vec<Call>,
    /// Calls whose answer came too late, which was not told yet.
    late: Vec<CallKey>,
    /// Calls that are told to be cancelled.
    cancelled: Vec<CallKey>,
    /// Whether a call was left unanswered while others went on.
    has_held: bool,
    /// Whether the bind asked for multiplexing.
    multiplexing: bool,
    /// Calls handed out.
    calls: u32,
    /// Stubs of the calls handed out since octets were last taken.
    in_a_row: Vec<usize>,
    /// The replies that the client must get, in this order.
    expected: VecDeque<Expected>,
    /// Octets that this much input and output may leave waiting to be sent.
    allowance: usize,
    /// The longest fragment that the client takes, once it has said so.
    longest: Option<u16>,
    /// The association group, once joined.
    group: Option<u32>,
}

/// What the client must get for a call.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Response {
        call_id: u32,
        stub: Vec<u8>,
    },
    Fault {
        call_id: u32,
        status: FaultStatus,
        did_not_execute: bool,
    },
}

/// The group that exists here.
const GROUP: u32 = 7;

/// Statuses of faults that calls are answered with begin here; no machine of
/// ours answers with them.
pub(super) const OWN_STATUS: u32 = 0x0f00_0000;

impl Driver {
    fn new(settings: Arc<Settings>) -> Self {
        let now = Instant::now();
        Driver {
            association: Association::new(settings.clone(), now),
            settings,
            start: now,
            now,
            upcoming: Vec::new(),
            input: BytesMut::new(),
            stream: Vec::new(),
            sent: Vec::new(),
            held: Vec::new(),
            late: Vec::new(),
            cancelled: Vec::new(),
            has_held: false,
            multiplexing: false,
            calls: 0,
            in_a_row: Vec::new(),
            expected: VecDeque::new(),
            allowance: 0,
            longest: None,
            group: None,
        }
    }

    /// One operation of the list.
    fn operate(&mut self, choices: &mut Choices) {
        let choice = choices.u8();
        match choice % 12 {
            RAW => {
                let length = choices.u16();
                self.upcoming.extend(choices.take(length.into()));
            }
            DELIVER => self.deliver(choices.u16().into()),
            EVENTS => self.take_events(choices.u8()),
            3 => self.hold_call(),
            4 if choice < 128 => self.answer((choice / 12).into()),
            4 => self.give_up(),
            5 => self.transmit(choices.u16().into()),
            6 => self.pass_time(Duration::from_secs(choices.u8().into())),
            7 => self.upcoming.extend(some_bind(PacketType::BIND, choices)),
            8 => self
                .upcoming
                .extend(some_bind(PacketType::ALTER_CONTEXT, choices)),
            9 => self
                .upcoming
                .extend(some_requests(choices, choice / 12 + 1)),
            10 => self.upcoming.extend(some_header(choices)),
            _ => choices.mangle(&mut self.upcoming),
        }
    }

    /// Lets `count` octets arrive, all of them for 0, and feeds the machine.
    ///
    /// As a server does, nothing is fed while too much waits to be sent.
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
        self.in_a_row.clear();
        self.association.receive(self.now, &mut self.input);
        let taken = before - self.input.len();
        assert!(had_room || taken == 0, "octets taken without room");
        let deadline = self.association.poll_timeout().filter(|_| taken > 0);
        if let Some(deadline) = deadline.filter(|deadline| !self.is_of_a_call(*deadline)) {
            assert!(
                deadline >= self.now + BIND_TIMEOUT,
                "one who speaks is not silent"
            );
        }
        // What waits, one call more, and one that is incomplete.
        let longest = self.longest_stub();
        let held = self.association.held();
        assert!(
            held <= self.settings.max_call + 2 * longest,
            "{held} octets held"
        );
        // No answer of the machine's own is twice as long as what it answers.
        self.allowance += 2 * taken.max(if had_room { Header::LEN } else { 0 });
        self.check_unsent();
    }

    /// The longest stub: one fragment is taken whatever the limit.
    fn longest_stub(&self) -> usize {
        self.settings.max_call.max(self.settings.max_frag.into())
    }

    /// Whether a deadline is that of an incomplete call.
    fn is_of_a_call(&self, deadline: Instant) -> bool {
        deadline.duration_since(self.start).subsec_millis() != 0
    }

    /// Takes `count` events, all of them for 0, and answers them.
    fn take_events(&mut self, count: u8) {
        let mut left = if count == 0 { usize::MAX } else { count.into() };
        self.answer_all();
        while left > 0 && self.event() {
            self.answer_all();
            left -= 1;
        }
    }

    /// Answers the calls that were handed out, the first one first.
    fn answer_all(&mut self) {
        while !self.held.is_empty() {
            self.answer(0);
        }
    }

    /// Takes a call and leaves it unanswered for now.
    fn hold_call(&mut self) {
        self.event();
        self.has_held |= !self.held.is_empty();
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
            Some(Event::Leg(leg)) => panic!("{leg:?} of a type that nobody offers"),
            Some(Event::Join { group }) => self.join(group),
            Some(Event::Call(call)) => self.begin(call),
            Some(Event::Cancel(key)) => self.cancel(key),
            Some(Event::Orphaned(key)) => self.orphan(key),
        }
        true
    }

    /// Notes a cancel, which is told once for each call.
    fn cancel(&mut self, key: CallKey) {
        assert!(!self.cancelled.contains(&key), "cancelled twice");
        self.cancelled.push(key);
    }

    /// Forgets a call that is given up.
    fn orphan(&mut self, key: CallKey) {
        let before = self.held.len() + self.late.len();
        self.held.retain(|call| call.key() != key);
        self.late.retain(|late| *late != key);
        let after = self.held.len() + self.late.len();
        assert_eq!(after + 1, before, "no call that runs, or given up twice");
    }

    /// Joins the group of the bind, where there is one.
    fn join(&mut self, asked: u32) {
        assert!(self.longest.is_none(), "a second bind was taken");
        // A bind that is taken is the first PDU of its connection.
        let length = Header::peek_frag_length(&self.stream).expect("a bind has come");
        let bind = Pdu::decode(&self.stream[..length.into()]).expect("it was taken");
        self.multiplexing = bind.header.flags.contains(PfcFlags::CONC_MPX);
        let Body::Bind(bind) = bind.body else {
            panic!("joined by {bind:?}");
        };
        assert_eq!(bind.assoc_group_id, asked);
        self.longest = Some(match bind.max_recv_frag {
            0 => self.settings.max_frag,
            offered => offered.max(1432),
        });
        let group = if asked == 0 || asked == GROUP {
            Some(GROUP)
        } else {
            None
        };
        self.group = group;
        self.association.joined(group);
        self.allowance += 2 * usize::from(length) + 24;
        self.check_unsent();
    }

    /// Looks at a call that is handed out.
    fn begin(&mut self, call: Call) {
        let settings = &self.settings;
        assert!(self.group.is_some(), "a call before the bind");
        let most = if self.multiplexing {
            settings.max_waiting
        } else {
            1
        };
        let running = self.held.len();
        assert!(running < most, "begun beside {running} of {most}");
        assert!(
            self.unsent() < settings.max_queued,
            "a call begun while too much is unsent"
        );
        let served = &settings.interfaces[call.interface];
        assert!(served.transfer_syntaxes.contains(&call.transfer_syntax));
        let longest = self.longest_stub();
        assert!(call.stub.len() <= longest, "a stub of {}", call.stub.len());
        self.in_a_row.push(call.stub.len());
        assert!(
            self.in_a_row.len() <= settings.max_waiting,
            "{} calls waited",
            self.in_a_row.len()
        );
        // Another call was taken while those before it were within the limit.
        let before: usize = self.in_a_row.iter().rev().skip(1).sum();
        assert!(
            before < settings.max_call,
            "stubs of {before} octets waited"
        );
        self.calls += 1;
        self.held.push(call);
    }

    /// Answers one of the calls that were handed out, if any was.
    fn answer(&mut self, choice: usize) {
        let Some(place) = choice.checked_rem(self.held.len()) else {
            return;
        };
        let call = self.held.remove(place);
        let stub = some_stub(&call, self.calls);
        let status = FaultStatus(OWN_STATUS + self.calls);
        let did_not_execute = call.opnum & 1 == 1;
        let answer = match &stub {
            Some(stub) => Answer::Response(stub),
            None => Answer::Fault {
                status,
                did_not_execute,
            },
        };
        if !self.association.reply(&call, answer) {
            self.late.push(call.key());
            return;
        }
        if call.maybe {
            return;
        }
        let call_id = call.id;
        // A fragment of 1432 octets carries 1408 of them.
        self.allowance += stub
            .as_ref()
            .map_or(32, |stub| stub.len() + 24 * (stub.len() / 1408 + 1));
        self.expected.push_back(match stub {
            Some(stub) => Expected::Response { call_id, stub },
            None => Expected::Fault {
                call_id,
                status,
                did_not_execute,
            },
        });
        self.check_unsent();
    }

    /// Ends the connection as a server does that has no memory left for it.
    fn give_up(&mut self) {
        if self.association.closed().is_none() {
            self.association.give_up();
            self.allowance += 32;
            self.check_unsent();
        }
    }

    /// Sends `count` octets, all of them for 0.
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
    }

    /// Lets time pass; the deadline is in the future then, or there is none.
    fn pass_time(&mut self, time: Duration) {
        self.now += time;
        self.association.handle_timeout(self.now);
        if let Some(deadline) = self.association.poll_timeout() {
            assert!(
                !self.held.is_empty() || deadline > self.now,
                "a deadline that never passes"
            );
            assert!(deadline <= self.now + IDLE_TIMEOUT);
        }
    }

    fn unsent(&self) -> usize {
        self.association.poll_transmit().map_or(0, <[u8]>::len)
    }

    /// No more waits to be sent than came in and was answered.
    fn check_unsent(&self) {
        let unsent = self.unsent();
        assert!(
            unsent <= self.allowance,
            "{unsent} octets unsent, {}",
            self.allowance
        );
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        loop {
            let before = (self.input.len(), self.sent.len(), self.calls);
            self.deliver(0);
            self.take_events(0);
            self.transmit(0);
            let after = (self.input.len(), self.sent.len(), self.calls);
            if before == after && self.upcoming.is_empty() {
                break;
            }
        }
        assert!(!self.association.is_busy());
        assert!(self.association.closed().is_some() || self.association.has_room());
    }

    /// What was sent are PDUs of a server, no longer than the client takes, and
    /// among them the answer to every call, in order.
    fn check_sent(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let mut rest = &sent[..];
        let mut answer = None;
        while let Some(length) = Header::peek_frag_length(rest) {
            let (octets, behind) = rest.split_at(length.into());
            rest = behind;
            let pdu = Pdu::decode(octets).expect("sent PDUs decode");
            self.check_head(&pdu);
            self.check_body(&pdu, &mut answer);
        }
        assert!(
            rest.is_empty() && answer.is_none(),
            "the last PDU is cut short"
        );
        assert!(
            self.expected.is_empty(),
            "never answered: {:?}",
            self.expected
        );
        self.sent = sent;
    }

    /// The laws of any PDU that was sent.
    fn check_head(&self, pdu: &Pdu) {
        let header = &pdu.header;
        assert_eq!((header.version_major, header.version_minor), (5, 0));
        assert!(header.drep.is_supported());
        assert!(pdu.auth.is_none() && pdu.pad.is_empty());
        let is_list = matches!(pdu.body, Body::BindAck(_) | Body::AlterContextResp(_));
        // A list of results cannot be cut, and is shorter than what it answers.
        let longest = self.longest.unwrap_or(1432);
        assert!(
            is_list || header.frag_length <= longest,
            "{longest} octets at most: {header:?}"
        );
    }

    /// Takes a PDU off what is expected; `answer` is a response under way.
    fn check_body(&mut self, pdu: &Pdu, answer: &mut Option<Vec<u8>>) {
        let call_id = pdu.header.call_id;
        let flags = pdu.header.flags;
        let first = flags.contains(PfcFlags::FIRST_FRAG);
        let last = flags.contains(PfcFlags::LAST_FRAG);
        assert!(
            answer.is_none() || matches!(pdu.body, Body::Response(_)),
            "inside a response"
        );
        match &pdu.body {
            Body::Response(response) => {
                assert_eq!(first, answer.is_none());
                let mut stub = answer.take().unwrap_or_default();
                stub.extend(response.stub);
                if !last {
                    assert!(!response.stub.is_empty() && response.stub.len() % 16 == 0);
                    *answer = Some(stub);
                    return;
                }
                let got = Expected::Response { call_id, stub };
                assert_eq!(self.expected.pop_front().as_ref(), Some(&got));
            }
            Body::Fault(fault) if fault.status.0 > OWN_STATUS && fault.status.0 < 0x1000_0000 => {
                let got = Expected::Fault {
                    call_id,
                    status: fault.status,
                    did_not_execute: flags.contains(PfcFlags::DID_NOT_EXECUTE),
                };
                assert_eq!(self.expected.pop_front(), Some(got));
            }
            Body::BindAck(ack) => assert_eq!(Some(ack.assoc_group_id), self.group),
            Body::AlterContextResp(ack) => {
                assert!(Some(ack.assoc_group_id) == self.group && ack.secondary_address.is_empty());
            }
            Body::Fault(_) | Body::BindNak(_) => {}
            other => panic!("no PDU of a server: {other:?}"),
        }
        assert!(matches!(pdu.body, Body::Response(_)) || first && last);
    }

    /// Nothing is taken and nothing happens after the end.
    fn check_closed(&mut self) {
        let Some(closed) = self.association.closed() else {
            return;
        };
        let more = some_bind(PacketType::BIND, &mut Choices(&[]));
        self.input.extend_from_slice(&more);
        let before = self.input.len();
        self.association.receive(self.now, &mut self.input);
        assert_eq!(self.input.len(), before, "octets taken after the end");
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

/// Whether the answers to a stream hang on when its PDUs came: on whether a call
/// was answered when it was cancelled or given up, and with multiplexing on which
/// calls were `held` while others went on.
pub(super) fn hangs_on_time(stream: &[u8], held: bool) -> bool {
    let multiplexing = stream
        .get(3)
        .is_some_and(|flags| PfcFlags(*flags).contains(PfcFlags::CONC_MPX));
    let mut rest = stream;
    while let Some(length) = Header::peek_frag_length(rest).map(usize::from)
        && let Some((pdu, behind)) = rest.split_at_checked(length.max(Header::LEN))
    {
        if [PacketType::CO_CANCEL, PacketType::ORPHANED].contains(&PacketType(pdu[2])) {
            return true;
        }
        rest = behind;
    }
    multiplexing && held
}

/// What a call is answered with: octets that nobody takes for another answer,
/// or a fault. The client chooses by the operation number.
pub(super) fn some_stub(call: &Call, number: u32) -> Option<Vec<u8>> {
    let length = match usize::from(call.opnum % 256) {
        opnum @ 0..180 => opnum * 67,
        opnum @ 180..200 => (opnum - 179) * 4_000,
        _ => return None,
    };
    Some(
        number
            .to_le_bytes()
            .into_iter()
            .cycle()
            .take(length)
            .collect(),
    )
}

/// A header; its data representation is one that is supported.
fn some_header_of(ptype: PacketType, flags: u8, call: u8) -> Header {
    let drep = match call & 0x40 {
        0 => DataRepresentation::LITTLE,
        _ => DataRepresentation::BIG,
    };
    Header::new(ptype, PfcFlags(flags), drep, u32::from(call & 7))
}

/// A bind or alter_context.
pub(super) fn some_bind(ptype: PacketType, choices: &mut Choices) -> Vec<u8> {
    let [flags, call] = [choices.u8() ^ PfcFlags::WHOLE.0, choices.u8()];
    let header = some_header_of(ptype, flags, call);
    let sizes = [5840, 0, 1432, 100, 2000, 4280, u16::MAX];
    let [max_xmit_frag, max_recv_frag] = [choices.of(sizes), choices.of(sizes)];
    let assoc_group_id = choices.of([0, GROUP, 8]);
    let mut contexts = ContextsBuf::new(header.drep.order());
    for _ in 0..=choices.u8() % 5 {
        add_context(&mut contexts, choices.u8());
    }
    let bind = Bind {
        max_xmit_frag,
        max_recv_frag,
        assoc_group_id,
        contexts: contexts.as_contexts(),
    };
    let body = match ptype {
        PacketType::BIND => Body::Bind(bind),
        _ => Body::AlterContext(bind),
    };
    let mut octets = Vec::new();
    Pdu::new(header, body).encode(&mut octets);
    octets
}

/// Offers an interface in some transfer syntaxes.
fn add_context(contexts: &mut ContextsBuf, choice: u8) {
    const UNKNOWN: SyntaxId = SyntaxId::new(OBJECT, 1, 0);
    const OFFERS: [&[SyntaxId]; 8] = [
        &[SyntaxId::NDR],
        &[SyntaxId::NDR64],
        &[SyntaxId::NDR64, SyntaxId::NDR],
        &[SyntaxId::NDR, SyntaxId::NDR64],
        &[bind_time_syntax(3)],
        &[UNKNOWN],
        &[UNKNOWN, SyntaxId::NDR],
        &[],
    ];
    let newer = SyntaxId::new(SyntaxId::EPT.uuid, 4, 0);
    let interfaces = [SyntaxId::EPT, SyntaxId::MGMT, newer, UNKNOWN];
    let interface = interfaces[usize::from(choice >> 2 & 3)];
    contexts.push(
        u16::from(choice & 3),
        interface,
        OFFERS[usize::from(choice >> 5)],
    );
}

/// `count` equal requests, or as many fragments of one.
pub(super) fn some_requests(choices: &mut Choices, count: u8) -> Vec<u8> {
    let [flags, call, context] = [choices.u8() ^ PfcFlags::WHOLE.0, choices.u8(), choices.u8()];
    let stub = vec![call; usize::from(choices.u8()) * 23];
    let request = Request {
        alloc_hint: if context & 0x80 == 0 { 0 } else { u32::MAX },
        context_id: u16::from(context & 3),
        opnum: choices.u8().into(),
        object: (flags & PfcFlags::OBJECT_UUID.0 != 0).then_some(OBJECT),
        stub: &stub,
    };
    let mut octets = Vec::new();
    for number in 1..=count {
        let place = match (context & 0x40, number) {
            (0, _) => PfcFlags(0),
            (_, 1) => PfcFlags::LAST_FRAG,
            (_, number) if number == count => PfcFlags::FIRST_FRAG,
            _ => PfcFlags::WHOLE,
        };
        let flags = PfcFlags(flags).without(place);
        let header = some_header_of(PacketType::REQUEST, flags.0, call);
        Pdu::new(header, Body::Request(request)).encode(&mut octets);
    }
    octets
}

/// A header of any type with some octets behind it.
pub(super) fn some_header(choices: &mut Choices) -> Vec<u8> {
    let [ptype, flags, call, length] = [choices.u8(), choices.u8(), choices.u8(), choices.u8()];
    let header = some_header_of(PacketType(ptype), flags, call);
    let mut octets = Vec::new();
    Pdu::new(header, Body::Other(choices.take(length.into()))).encode(&mut octets);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_operations_plays_what_it_was_made_of() {
        let bind = some_bind(PacketType::BIND, &mut Choices(&[]));
        let request = some_requests(&mut Choices(&[0, 2, 0, 3, 40]), 1);
        let list = association_list([&bind[..], &request], 0, false);
        let mut choices = Choices(&list);
        let mut driver = Driver::new(Arc::new(some_settings(&mut choices)));
        while !choices.is_empty() {
            driver.operate(&mut choices);
        }
        driver.finish();
        assert_eq!(
            (driver.calls, driver.stream.len()),
            (1, bind.len() + request.len())
        );
        association(&list);
    }

    #[test]
    fn with_multiplexing_a_list_holds_calls_and_answers_them_in_any_order() {
        const HOLD: u8 = 3;
        const ANSWER: [u8; 2] = [4, 4 + 12];
        let request = some_requests(&mut Choices(&[0, 2, 0, 3, 40]), 2);
        let played = |flags: u8| {
            let bind = some_bind(PacketType::BIND, &mut Choices(&[flags]));
            let mut list = association_list([&bind[..], &request], 0, true);
            // Behind a bind nothing is read before it is answered.
            list.extend([DELIVER, 0, 0, HOLD, DELIVER, 0, 0, HOLD, HOLD]);
            let held = list.clone();
            list.extend([ANSWER[1], ANSWER[0]]);
            association(&list);
            let mut choices = Choices(&held);
            let mut driver = Driver::new(Arc::new(some_settings(&mut choices)));
            while !choices.is_empty() {
                driver.operate(&mut choices);
            }
            driver.held.len()
        };
        assert_eq!([0, PfcFlags::CONC_MPX.0].map(played), [1, 2]);
    }
}
