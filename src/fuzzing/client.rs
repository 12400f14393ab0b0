//! A connection of a client, all around it, and what is to be expected of it.

use super::{Choices, arrived};
use crate::proto::{ClientAssociation, ClientEvent, ClientSettings, ProtocolError};
use crate::wire::pdu::{
    BindAck, BindNak, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags, Response,
    ResultsBuf,
};
use crate::wire::status::{ContextResult, ProviderReason, RejectReason};
use crate::wire::{ByteOrder, DataRepresentation, FaultStatus, SyntaxId};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use uuid::{Uuid, uuid};

/// Target `client_association`: a client's connection driven by an operation
/// list.
///
/// Binds, alter_contexts and calls are asked for, cancelled and given up; PDUs
/// of a server, well-formed or mangled, come in pieces; octets are sent in
/// pieces; time passes; the stream ends. The same list is played once more with
/// every octet coming in alone.
pub fn client_association(octets: &[u8]) {
    let in_pieces = play(octets, false);
    let octet_by_octet = play(octets, true);
    assert_eq!(in_pieces.told, octet_by_octet.told, "told otherwise");
    assert!(in_pieces.sent == octet_by_octet.sent, "sent otherwise");
}

/// Plays an operation list to its end.
fn play(octets: &[u8], octet_by_octet: bool) -> Driver {
    let mut choices = Choices(octets);
    let mut driver = Driver::new(some_settings(&mut choices), octet_by_octet);
    while !choices.is_empty() {
        driver.operate(&mut choices);
        driver.check();
    }
    driver.deliver(0);
    driver.transmit(0);
    driver.check();
    driver.check_sent();
    driver
}

/// An operation list for `client_association` that asks for what a client sent
/// and lets a server's PDUs answer, one by one.
///
/// `variant` chooses the settings; 0 are the default ones. What is neither bind,
/// alter_context nor the end of a call is left out of the client's PDUs.
pub fn client_association_list<'a>(
    pdus: impl IntoIterator<Item = (Side, &'a [u8])>,
    variant: u8,
) -> Vec<u8> {
    let mut list = vec![variant; SETTINGS_LEN];
    for (side, octets) in pdus {
        match side {
            Side::Client => list.extend(ask_of(octets).into_iter().flatten()),
            Side::Server => {
                list.push(ANSWER);
                list.extend((octets.len() as u16).to_le_bytes());
                list.extend(octets);
                list.extend([DELIVER, 0, 0]);
            }
        }
    }
    list
}

/// Who sent a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that binds and calls.
    Client,
    /// The one that answers.
    Server,
}

/// The operation that sends about the same as a client's PDU.
fn ask_of(octets: &[u8]) -> Option<[u8; 4]> {
    let pdu = Pdu::decode(octets).ok()?;
    Some(match pdu.body {
        Body::Bind(bind) => [ASK, BIND, bind.contexts.len() as u8, 0],
        Body::AlterContext(alter) => [ASK, ALTER, alter.contexts.len() as u8, 0],
        Body::Request(_) if pdu.header.flags.contains(PfcFlags::LAST_FRAG) => [ASK, CALL, 1, 0],
        _ => return None,
    })
}

/// Operations of a list by number; what other numbers mean, `operate` tells.
const ANSWER: u8 = 0;
/// See `ANSWER`.
const DELIVER: u8 = 1;
/// See `ANSWER`.
const ASK: u8 = 2;

/// What is asked for, by number.
const BIND: u8 = 0;
/// See `BIND`.
const ALTER: u8 = 1;
/// See `BIND`.
const CALL: u8 = 2;

/// Octets of a list that choose the settings.
const SETTINGS_LEN: usize = 4;

/// An object that a call may name.
const OBJECT: Uuid = uuid!("11111111-2222-3333-4444-555555555555");

/// Settings with small limits; the first choice is the default one.
fn some_settings(choices: &mut Choices) -> ClientSettings {
    ClientSettings {
        order: choices.of([ByteOrder::Little, ByteOrder::Big]),
        max_frag: choices.of([5840, 1432, 4280, u16::MAX, 0]),
        max_answer: choices.of([4 << 20, 0, 100, 10_000]),
        multiplexing: choices.u8() & 1 == 1,
        answer_timeout: ANSWER_TIMEOUT,
    }
}

/// Time for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection, all around it, and what is to be expected of it.
struct Driver {
    client: ClientAssociation,
    settings: ClientSettings,
    now: Instant,
    /// Whether every octet comes in alone.
    octet_by_octet: bool,
    /// What the server sends and has not arrived.
    upcoming: Vec<u8>,
    /// What has arrived and was not taken.
    input: BytesMut,
    /// What is due, and when it has to be there.
    due: Option<(Due, Instant)>,
    /// What has come of the answer to the call under way.
    joined: Vec<u8>,
    /// Why nothing more is to happen.
    over: Option<ProtocolError>,
    /// The call id used last.
    call_id: u32,
    /// The longest fragment that the server takes.
    longest: u16,
    /// What is to be sent, in this order.
    expected: VecDeque<Sent>,
    /// All that was sent.
    sent: Vec<u8>,
    /// All that was told.
    told: Vec<ClientEvent>,
}

/// What an answer is due to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A bind or alter_context of that many contexts.
    Contexts(PacketType, usize),
    /// A call.
    Response,
}

/// What the server has to get.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    /// A bind or alter_context.
    Contexts(PacketType, u32, usize),
    /// A call, in fragments of at most that many octets.
    Call(u32, u16, Vec<u8>),
    /// A co_cancel or orphaned.
    Bare(PacketType, u32),
}

impl Driver {
    fn new(settings: ClientSettings, octet_by_octet: bool) -> Self {
        Driver {
            client: ClientAssociation::new(settings),
            settings,
            now: Instant::now(),
            octet_by_octet,
            upcoming: Vec::new(),
            input: BytesMut::new(),
            due: None,
            joined: Vec::new(),
            over: None,
            call_id: 0,
            longest: 1432,
            expected: VecDeque::new(),
            sent: Vec::new(),
            told: Vec::new(),
        }
    }

    /// One operation of the list.
    fn operate(&mut self, choices: &mut Choices) {
        let choice = choices.u8();
        match choice % 12 {
            ANSWER => {
                let length = choices.u16();
                let octets = answering(self.call_id, choices.take(length.into()));
                self.upcoming.extend(octets);
            }
            DELIVER => self.deliver(choices.u16().into()),
            ASK => self.ask(choices),
            3 => self.transmit(choices.u16().into()),
            4 => self.pass_time(Duration::from_secs(choices.u8().into())),
            5 => self.give_up(choice),
            6 => self.upcoming.extend(self.some_ack(choices)),
            7 => self
                .upcoming
                .extend(self.some_responses(choices, choice / 12 + 1)),
            8 => self.upcoming.extend(self.some_refusal(choices)),
            9 => self.upcoming.extend(self.some_pdu(choices)),
            10 => self
                .upcoming
                .extend(choices.take(usize::from(choice / 12) * 5)),
            _ => choices.mangle(&mut self.upcoming),
        }
    }

    /// Lets `count` octets arrive, all of them for 0.
    fn deliver(&mut self, count: usize) {
        let arrived = arrived(&mut self.upcoming, count);
        let piece = if self.octet_by_octet {
            1
        } else {
            arrived.len().max(1)
        };
        for piece in arrived.chunks(piece) {
            self.input.extend_from_slice(piece);
            self.receive();
        }
    }

    /// Hands over what has arrived.
    fn receive(&mut self) {
        let length = Header::peek_frag_length(&self.input).map(usize::from);
        let first = length.and_then(|length| self.input.get(..length));
        let first = first.map(<[u8]>::to_vec);
        let before = self.input.len();
        self.client.receive(&mut self.input);
        let taken = before - self.input.len();
        assert!(self.over.is_none() || taken == 0, "taken after the end");
        if let Some(pdu) = first.filter(|_| self.octet_by_octet) {
            assert!(taken == pdu.len() || taken == 0, "one PDU at a time");
            self.note(&pdu[..taken]);
        }
        self.take_events();
        if self.over.is_none() {
            let [length, most] = [self.joined.len(), self.settings.max_answer];
            assert!(length <= most, "an answer of {length} octets");
            assert!(self.input.len() <= usize::from(u16::MAX));
        }
    }

    /// Notes what a PDU brings for the call under way.
    fn note(&mut self, octets: &[u8]) {
        let Ok(pdu) = Pdu::decode(octets) else {
            return;
        };
        let is_due = matches!(self.due, Some((Due::Response, _)));
        if let Body::Response(response) = pdu.body
            && is_due
            && pdu.header.call_id == self.call_id
        {
            self.joined.extend(response.stub);
        }
    }

    /// Takes all events; each has to be one that answers what is due.
    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            assert!(self.over.is_none(), "{event:?} after {:?}", self.over);
            let due = self.due.take().map(|(due, _)| due);
            match (&event, due) {
                (ClientEvent::Broken(error), _) => self.over = Some(*error),
                (ClientEvent::Bound { answers, agreed }, Some(Due::Contexts(ptype, offered))) => {
                    assert_eq!(answers.len(), offered);
                    if ptype == PacketType::BIND {
                        self.longest = agreed.max_xmit_frag;
                    }
                    assert_eq!(agreed.max_xmit_frag, self.longest);
                    let most = self.settings.max_frag.max(1432);
                    assert!((1432..=most).contains(&self.longest));
                    assert!(self.settings.multiplexing || !agreed.multiplexing);
                }
                (ClientEvent::Response { stub, .. }, Some(Due::Response)) => {
                    assert!(stub.len() <= self.settings.max_answer);
                    if self.octet_by_octet {
                        assert!(*stub == self.joined, "not what was sent");
                    }
                }
                (ClientEvent::Refused(_), Some(_)) => self.over = Some(ProtocolError::Closed),
                (ClientEvent::Fault { .. }, Some(_)) => {}
                (event, due) => panic!("{event:?} where {due:?} is due"),
            }
            self.joined.clear();
            self.told.push(event);
        }
    }

    /// Asks for something; where that cannot be, it is told at once.
    fn ask(&mut self, choices: &mut Choices) {
        let kind = choices.u8();
        let [size, detail] = [choices.u8(), choices.u8()];
        let before = (self.over, self.due.is_some());
        let sent = match kind % 3 {
            CALL => self.call(size, detail),
            kind => self.contexts(kind, size, detail),
        };
        let error = match before {
            (Some(error), _) => Some(error),
            (None, true) => Some(ProtocolError::Busy),
            (None, false) => None,
        };
        if let Some(error) = error {
            let event = self.client.poll_event();
            assert_eq!(event, Some(ClientEvent::Broken(error)));
            self.told.extend(event);
            assert_eq!(self.client.poll_event(), None);
            (self.over, self.due) = (Some(error), None);
            return;
        }
        self.call_id += 1;
        let due = match sent {
            Sent::Contexts(ptype, _, count) => Due::Contexts(ptype, count),
            _ => Due::Response,
        };
        self.due = Some((due, self.now + ANSWER_TIMEOUT));
        self.joined.clear();
        self.expected.push_back(sent);
    }

    /// Asks for a bind or alter_context.
    fn contexts(&mut self, kind: u8, count: u8, group: u8) -> Sent {
        let count = usize::from(count % 8);
        let contexts = vec![(0, SyntaxId::EPT, &[SyntaxId::NDR][..]); count];
        let ptype = match kind {
            BIND => {
                self.client.bind(self.now, group.into(), &contexts);
                PacketType::BIND
            }
            _ => {
                self.client.alter(self.now, &contexts);
                PacketType::ALTER_CONTEXT
            }
        };
        Sent::Contexts(ptype, self.call_id + 1, count)
    }

    /// Asks for a call.
    fn call(&mut self, size: u8, detail: u8) -> Sent {
        let stub = vec![size; usize::from(size) * usize::from(size)];
        let object = (detail & 1 == 1).then_some(OBJECT);
        let [context, opnum] = [u16::from(detail >> 4), u16::from(detail)];
        self.client.call(self.now, context, opnum, object, &stub);
        Sent::Call(self.call_id + 1, self.longest, stub)
    }

    /// Cancels or gives up the call, or ends the stream.
    fn give_up(&mut self, choice: u8) {
        let is_call = matches!(self.due, Some((Due::Response, _)));
        match choice / 12 % 3 {
            0 => {
                self.client.cancel();
                self.expect_bare(PacketType::CO_CANCEL, is_call);
            }
            1 => {
                self.client.orphan();
                self.expect_bare(PacketType::ORPHANED, is_call);
                self.due = self.due.filter(|_| !is_call);
                self.joined.clear();
            }
            _ => {
                self.client.peer_closed();
                let was_due = self.due.is_some();
                let told = self.told.len();
                self.take_events();
                assert_eq!(self.told.len() - told, usize::from(was_due));
                self.over = self.over.or(Some(ProtocolError::Closed));
            }
        }
    }

    /// A PDU without a body is to be sent, if there is a call.
    fn expect_bare(&mut self, ptype: PacketType, is_call: bool) {
        let sent = is_call.then_some(Sent::Bare(ptype, self.call_id));
        self.expected.extend(sent);
    }

    /// Lets time pass; an answer that is due for too long is due no more.
    fn pass_time(&mut self, time: Duration) {
        self.now += time;
        let late = self.due.filter(|(_, deadline)| *deadline <= self.now);
        self.client.handle_timeout(self.now);
        self.take_events();
        if late.is_some() {
            assert_eq!(self.over, Some(ProtocolError::Timeout));
        }
    }

    /// Sends `count` octets, all of them for 0.
    fn transmit(&mut self, count: usize) {
        let Some(octets) = self.client.poll_transmit() else {
            return;
        };
        let count = match count {
            0 => octets.len(),
            count => count.min(octets.len()),
        };
        self.sent.extend(&octets[..count]);
        self.client.transmitted(count);
    }

    /// What holds after every operation.
    fn check(&mut self) {
        assert_eq!(self.client.poll_event(), None, "an event without a cause");
        let due = self.due.map(|(_, deadline)| deadline);
        assert_eq!(self.client.poll_timeout(), due);
        if self.over.is_some() {
            assert_eq!(self.client.poll_transmit(), None);
        }
    }

    /// What was sent is what was asked for, in this order; all of it, unless the
    /// association ended before.
    fn check_sent(&mut self) {
        let mut rest = &self.sent[..];
        let mut call: Option<Vec<u8>> = None;
        while let Some(length) = Header::peek_frag_length(rest)
            && rest.len() >= usize::from(length)
        {
            let (octets, behind) = rest.split_at(length.into());
            rest = behind;
            let pdu = Pdu::decode(octets).expect("sent PDUs decode");
            check_head(&self.settings, &pdu);
            check_body(&pdu, &mut self.expected, &mut call);
        }
        let all = rest.is_empty() && call.is_none() && self.expected.is_empty();
        assert!(all || self.over.is_some(), "{:?}", self.expected);
    }

    /// A bind_ack or alter_context_resp for what is due.
    fn some_ack(&self, choices: &mut Choices) -> Vec<u8> {
        let [kind, count, flags, frag] = [choices.u8(), choices.u8(), choices.u8(), choices.u8()];
        let offered = match self.due {
            Some((Due::Contexts(_, offered), _)) if count < 200 => offered,
            _ => usize::from(count),
        };
        let mut results = ResultsBuf::new(ByteOrder::Little);
        for _ in 0..offered {
            results.push(ContextAnswer {
                result: ContextResult(u16::from(count) % 4),
                reason: ProviderReason(u16::from(count) % 5),
                transfer_syntax: SyntaxId::NDR,
            });
        }
        let ack = BindAck {
            max_xmit_frag: u16::from(frag) * 100,
            max_recv_frag: u16::from(frag) * 200,
            assoc_group_id: frag.into(),
            secondary_address: choices.take(usize::from(flags % 7)),
            secondary_pad: &[0xab; 2],
            results: results.as_results(),
        };
        let is_alter = matches!(
            self.due,
            Some((Due::Contexts(PacketType::ALTER_CONTEXT, _), _))
        );
        match is_alter ^ (kind > 200) {
            true => self.pdu(
                PacketType::ALTER_CONTEXT_RESP,
                flags,
                Body::AlterContextResp(ack),
            ),
            false => self.pdu(PacketType::BIND_ACK, flags, Body::BindAck(ack)),
        }
    }

    /// `count` fragments of a response, in order or not.
    fn some_responses(&self, choices: &mut Choices, count: u8) -> Vec<u8> {
        let [change, size] = [choices.u8(), choices.u8()];
        let mut octets = Vec::new();
        for number in 0..count {
            let first = u8::from(number == 0) * PfcFlags::FIRST_FRAG.0;
            let last = u8::from(number + 1 == count) * PfcFlags::LAST_FRAG.0;
            let stub = vec![number; size.into()];
            let response = Response {
                alloc_hint: u32::from(change) << 24,
                context_id: change.into(),
                cancel_count: change,
                reserved: size,
                stub: &stub,
            };
            // Mostly as it should be.
            let flags = (first | last) ^ if change > 200 { change & 3 } else { 0 };
            octets.extend(self.pdu(PacketType::RESPONSE, flags, Body::Response(response)));
        }
        octets
    }

    /// A fault, bind_nak or shutdown.
    fn some_refusal(&self, choices: &mut Choices) -> Vec<u8> {
        let [kind, detail, flags] = [choices.u8(), choices.u8(), choices.u8()];
        match kind % 3 {
            0 => {
                let fault = Fault {
                    extended: choices.take(usize::from(detail % 9)),
                    ..Fault::new(detail.into(), FaultStatus(detail.into()))
                };
                self.pdu(PacketType::FAULT, flags, Body::Fault(fault))
            }
            1 => {
                let nak = BindNak {
                    versions: (detail & 1 == 1).then_some(&[[5, 0]]),
                    tail: if detail & 1 == 1 { &[0; 3] } else { &[] },
                    ..BindNak::new(RejectReason(detail.into()))
                };
                self.pdu(PacketType::BIND_NAK, flags, Body::BindNak(nak))
            }
            _ => self.pdu(PacketType::SHUTDOWN, flags, Body::Shutdown),
        }
    }

    /// A PDU of any type with some octets behind its header, and any call id.
    fn some_pdu(&self, choices: &mut Choices) -> Vec<u8> {
        let [ptype, flags, call, length] = [choices.u8(), choices.u8(), choices.u8(), choices.u8()];
        let drep = [DataRepresentation::LITTLE, DataRepresentation::BIG][usize::from(call >> 7)];
        let call_id = self
            .call_id
            .wrapping_add(u32::from(call & 7))
            .wrapping_sub(2);
        let header = Header::new(PacketType(ptype), PfcFlags(flags), drep, call_id);
        let mut octets = Vec::new();
        Pdu::new(header, Body::Other(choices.take(length.into()))).encode(&mut octets);
        octets
    }

    /// A PDU of the call under way; the two highest bits of `flags`, which
    /// nobody looks at, make it another call or byte order.
    fn pdu(&self, ptype: PacketType, flags: u8, body: Body<'_>) -> Vec<u8> {
        let order = match flags & 0x80 {
            0 => DataRepresentation::LITTLE,
            _ => DataRepresentation::BIG,
        };
        let call_id = self.call_id.wrapping_sub(u32::from(flags >> 6 & 1));
        let mut octets = Vec::new();
        Pdu::new(Header::new(ptype, PfcFlags(flags), order, call_id), body).encode(&mut octets);
        octets
    }
}

/// The laws of any PDU that was sent.
fn check_head(settings: &ClientSettings, pdu: &Pdu) {
    let header = &pdu.header;
    assert_eq!((header.version_major, header.version_minor), (5, 0));
    assert_eq!(header.drep, settings.order.into());
    assert!(pdu.auth.is_none() && pdu.pad.is_empty());
    let multiplexing = header.flags.contains(PfcFlags::CONC_MPX);
    let may = settings.multiplexing && header.ptype == PacketType::BIND;
    assert_eq!(multiplexing, may);
}

/// Takes a PDU off what is expected; `call` is one whose last fragment has not
/// come.
fn check_body(pdu: &Pdu, expected: &mut VecDeque<Sent>, call: &mut Option<Vec<u8>>) {
    let (ptype, id) = (pdu.header.ptype, pdu.header.call_id);
    let Body::Request(request) = &pdu.body else {
        let sent = match &pdu.body {
            Body::Bind(bind) | Body::AlterContext(bind) => {
                Sent::Contexts(ptype, id, bind.contexts.len())
            }
            _ => Sent::Bare(ptype, id),
        };
        assert_eq!(expected.pop_front(), Some(sent));
        return;
    };
    let first = pdu.header.flags.contains(PfcFlags::FIRST_FRAG);
    assert_eq!(first, call.is_none());
    let mut stub = call.take().unwrap_or_default();
    stub.extend(request.stub);
    let Some(Sent::Call(call_id, longest, whole)) = expected.front() else {
        panic!("a request where {:?} was to be sent", expected.front());
    };
    assert!(*call_id == id && pdu.header.frag_length <= *longest);
    if pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
        assert!(stub == *whole);
        expected.pop_front();
    } else {
        *call = Some(stub);
    }
}

/// A PDU as it would answer call `call_id`.
fn answering(call_id: u32, octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if let Some(header) = octets.first_chunk_mut::<{ Header::LEN }>() {
        let drep = DataRepresentation([header[4], header[5], header[6], header[7]]);
        let id = match drep.order() {
            ByteOrder::Little => call_id.to_le_bytes(),
            ByteOrder::Big => call_id.to_be_bytes(),
        };
        header[12..].copy_from_slice(&id);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_operations_plays_what_it_was_made_of() {
        let mut client = ClientAssociation::new(ClientSettings::default());
        let now = Instant::now();
        client.bind(now, 0, &[(0, SyntaxId::EPT, &[SyntaxId::NDR])]);
        let bind = sent(&mut client);
        let mut server = Driver::new(ClientSettings::default(), false);
        server.due = Some((Due::Contexts(PacketType::BIND, 1), now));
        let ack = server.some_ack(&mut Choices(&[0, 0, 0x83, 20]));
        client.receive(&mut BytesMut::from(&answering(1, &ack)[..]));
        client.call(now, 0, 2, None, b"stub");
        let request = sent(&mut client);
        let response = server.some_responses(&mut Choices(&[0, 9]), 1);
        let list = client_association_list(
            [
                (Side::Client, &bind[..]),
                (Side::Server, &ack),
                (Side::Client, &request),
                (Side::Server, &response),
            ],
            0,
        );
        let told = play(&list, true).told;
        let [
            ClientEvent::Bound { .. },
            ClientEvent::Response { stub, .. },
        ] = &told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!(stub[..], [0; 9]);
        client_association(&list);
    }

    /// All that is to be sent.
    fn sent(client: &mut ClientAssociation) -> Vec<u8> {
        let octets = client.poll_transmit().unwrap().to_vec();
        client.transmitted(octets.len());
        octets
    }
}
