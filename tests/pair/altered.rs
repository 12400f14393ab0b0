//! One octet arrives altered: whatever it was, both ends end in a state that
//! they should know, within their limits, and nobody else notices.

use crate::conversation::{DIALECTS, Dialect, MOST};
use crate::ends::{fault, frames, pdus};
use crate::link::{Change, Pair, Record, Told, is_end};
use crate::whole::Whole;
use epmapper::proto::{ClientEvent, Closed, ProtocolError};
use epmapper::wire::pdu::{Header, PacketType, PfcFlags};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is done to each octet.
const CHANGES: [Change; 4] = [
    Change::Xor(0x01),
    Change::Xor(0x80),
    Change::Xor(0xff),
    Change::Zero,
];

/// PDUs up to this length are altered everywhere, longer ones at both ends.
const SHORT: usize = 240;

/// Octets altered at the head of a longer PDU, and at its tail.
const HEAD: usize = 64;
const TAIL: usize = 16;

/// What a server may send.
const ANSWERS: [PacketType; 5] = [
    PacketType::BIND_ACK,
    PacketType::BIND_NAK,
    PacketType::ALTER_CONTEXT_RESP,
    PacketType::RESPONSE,
    PacketType::FAULT,
];

/// What is altered of a stream, one by one.
fn changes(stream: &[u8]) -> impl Iterator<Item = (usize, Change)> {
    let places = places(stream).into_iter();
    places.flat_map(|place| CHANGES.map(|change| (place, change)))
}

/// The places of a stream that are altered.
fn places(stream: &[u8]) -> Vec<usize> {
    let mut begin = 0;
    let mut places = Vec::new();
    for frame in frames(stream) {
        let end = begin + frame.len();
        if frame.len() <= SHORT {
            places.extend(begin..end);
        } else {
            places.extend(begin..begin + HEAD);
            places.extend(end - TAIL..end);
        }
        begin = end;
    }
    places
}

/// The call that a changed PDU gives up: a co_cancel that is now an orphaned, or
/// an orphaned that is now another call's.
fn given_up(stream: &[u8], place: usize, change: Change) -> Option<u32> {
    let mut begin = 0;
    let frame = frames(stream).into_iter().find(|frame| {
        begin += frame.len();
        place < begin
    })?;
    let mut changed = frame.to_vec();
    let octet = &mut changed[place + frame.len() - begin];
    match change {
        Change::Xor(bits) => *octet ^= bits,
        Change::Zero => *octet = 0,
    }
    let header = Header::decode(&changed).ok()?;
    (header.ptype == PacketType::ORPHANED).then_some(header.call_id)
}

/// The places of requests' stubs.
fn stub_places(stream: &[u8]) -> BTreeSet<usize> {
    let mut begin = 0;
    let mut places = BTreeSet::new();
    for frame in frames(stream) {
        let header = Header::decode(frame).unwrap();
        let head = match header.flags.contains(PfcFlags::OBJECT_UUID) {
            true => 40,
            false => 24,
        };
        if header.ptype == PacketType::REQUEST {
            places.extend(begin + head..begin + frame.len());
        }
        begin += frame.len();
    }
    places
}

/// How a conversation came to its end: why the server closed, and what the
/// client was told last, if that was an end.
type Outcome = (Option<Closed>, Option<Told>);

/// What becomes of the conversation under a change, up to its end and beyond.
fn run(whole: &Whole, change: impl Fn(&mut Pair)) -> (Outcome, Record) {
    let mut pair = whole.pair();
    change(&mut pair);
    pair.run();
    let outcome = settle(&mut pair);
    assert!(pair.told.len() <= whole.record.told.len() + 1);
    check_told(&pair.told);
    check_answers(&pair);
    check_others(&whole.dialect, &pair);
    (outcome, pair.record())
}

/// Lets both ends wait for what does not come, the client first; then nothing
/// is left.
fn settle(pair: &mut Pair) -> Outcome {
    let closed = pair.server.association.closed();
    pair.outwait_client();
    assert_eq!(pair.client.poll_timeout(), None);
    assert_eq!(pair.client.poll_event(), None);
    assert!(!pair.due);
    let association = &mut pair.server.association;
    while let Some(deadline) = association.poll_timeout() {
        association.handle_timeout(deadline);
    }
    assert!(association.closed().is_some() && !association.is_busy());
    assert_eq!(association.held(), 0);
    let last = pair.told.last().cloned();
    (closed, last.filter(|told| is_end(told)))
}

/// At most the last thing told is an end, and no answer is longer than taken.
fn check_told(told: &[Told]) {
    let before = told.len().saturating_sub(1);
    assert!(!told[..before].iter().any(|told| is_end(told)));
    for told in told {
        if let ClientEvent::Response { stub, .. } = &**told {
            assert!(stub.len() <= MOST);
        }
    }
}

/// The server sent PDUs that a server sends, and closed with a fault or nak.
fn check_answers(pair: &Pair) {
    let answers = pdus(&pair.down.sent);
    for pdu in &answers {
        assert!(ANSWERS.contains(&pdu.header.ptype), "{pdu:?}");
    }
    let nak = |ptype| ptype == PacketType::BIND_NAK;
    let naks = answers.iter().filter(|pdu| nak(pdu.header.ptype)).count();
    match pair.server.association.closed() {
        Some(Closed::Refused) => assert!(naks == 1 && nak(answers.last().unwrap().header.ptype)),
        Some(Closed::Violation) => {
            assert_eq!(naks, 0);
            fault(&pair.down.sent);
        }
        _ => assert_eq!(naks, 0),
    }
}

/// Another connection of the same server works.
fn check_others(dialect: &Dialect, pair: &Pair) {
    let steps = [dialect.bind(), dialect.call(1, b"fresh")];
    let settings = Arc::new(dialect.settings());
    let groups = pair.groups.clone();
    let mut fresh = Pair::among(settings, groups, dialect.client(), &steps);
    fresh.run();
    assert!(matches!(&*fresh.told[1], ClientEvent::Response { stub, .. } if stub == "fresh"));
}

/// Checks that servers closed for all these reasons or not at all, that
/// clients came to all these ends, and that some noticed nothing.
fn check_outcomes(outcomes: &[Outcome], closed: &[Option<Closed>], ends: &[fn(&End) -> bool]) {
    for expected in closed {
        let occurs = outcomes.iter().any(|(closed, _)| closed == expected);
        assert!(occurs, "no server is {expected:?}");
    }
    for (number, expected) in ends.iter().enumerate() {
        let occurs = |(_, end): &Outcome| end.as_ref().is_some_and(|end| expected(end));
        assert!(
            outcomes.iter().any(occurs),
            "no client's end is number {number}"
        );
    }
    assert!(outcomes.contains(&(None, None)), "all were disturbed");
}

/// An end of a client.
type End = ClientEvent;

fn timeout(end: &End) -> bool {
    *end == End::Broken(ProtocolError::Timeout)
}

fn closed(end: &End) -> bool {
    *end == End::Broken(ProtocolError::Closed)
}

fn refused(end: &End) -> bool {
    matches!(end, End::Refused(_))
}

fn another_call(end: &End) -> bool {
    matches!(end, End::Broken(ProtocolError::CallId { .. }))
}

fn no_pdu(end: &End) -> bool {
    matches!(end, End::Broken(ProtocolError::Decode(_)))
}

fn no_frame(end: &End) -> bool {
    matches!(end, End::Broken(ProtocolError::Frame(_)))
}

#[test]
fn a_client_that_is_altered_on_its_way_gets_an_answer_or_none_and_harms_nobody() {
    for dialect in [DIALECTS[0], DIALECTS[3]] {
        let whole = Whole::new(dialect);
        let stubs = stub_places(&whole.record.up);
        let mut outcomes = Vec::new();
        for (place, change) in changes(&whole.record.up) {
            let (outcome, record) = run(&whole, |pair| pair.up.change = Some((place, change)));
            let mut before = whole.calls(place);
            if let Some(id) = given_up(&whole.record.up, place, change) {
                before.retain(|call| call.id != id);
            } else {
                assert!(record.down.starts_with(&whole.answers(place)));
            }
            assert!(record.calls.starts_with(&before), "{place} {change:?}");
            if stubs.contains(&place) {
                assert_eq!(outcome, (None, None), "a stub at {place}");
                assert_eq!(record.told.len(), whole.record.told.len());
            }
            outcomes.push(outcome);
        }
        let reasons = [None, Some(Closed::Violation), Some(Closed::Refused)];
        check_outcomes(
            &outcomes,
            &reasons,
            &[timeout, closed, refused, another_call],
        );
    }
}

#[test]
fn a_server_that_is_altered_on_its_way_is_understood_or_left() {
    for dialect in [DIALECTS[0], DIALECTS[3]] {
        let whole = Whole::new(dialect);
        let mut outcomes = Vec::new();
        for (place, change) in changes(&whole.record.down) {
            let (outcome, record) = run(&whole, |pair| pair.down.change = Some((place, change)));
            let before = whole.told(place);
            assert!(record.told.starts_with(before), "{place} {change:?}");
            outcomes.push(outcome);
        }
        check_outcomes(
            &outcomes,
            &[None],
            &[timeout, refused, another_call, no_pdu, no_frame],
        );
    }
}
