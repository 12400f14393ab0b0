//! Calls that are answered side by side, cancelled and given up: the server's
//! end alone, its calls answered when the test says so.

use crate::ends::{
    FAULTS, FIRST, LAST, LITTLE, Server, WHOLE, alter, bind, co_cancel, fault, kinds, negotiation,
    orphaned, pdus, request, request_of, settings,
};
use epmapper::proto::{Answer, Call, CallKey, Closed, Event, Settings};
use epmapper::wire::pdu::{Body, PacketType, PfcFlags};
use epmapper::wire::status::FaultStatus;

const RESPONSE: PacketType = PacketType::RESPONSE;
const ALTERED: PacketType = PacketType::ALTER_CONTEXT_RESP;
const FAULT: PacketType = PacketType::FAULT;

/// A server that multiplexing was agreed on with, or not.
fn bound(multiplexing: bool) -> Server {
    bound_with(multiplexing, settings())
}

fn bound_with(multiplexing: bool, settings: Settings) -> Server {
    let mut server = Server::new(settings);
    let flags = match multiplexing {
        true => WHOLE | PfcFlags::CONC_MPX,
        false => WHOLE,
    };
    server.exchange(&negotiation(PacketType::BIND, 1, flags));
    server
}

/// Takes octets in, and gives the calls back that are handed out.
fn begin(server: &mut Server, octets: &[u8]) -> Vec<Call> {
    server.input.extend_from_slice(octets);
    let mut begun = Vec::new();
    loop {
        let before = (server.input.len(), begun.len());
        server.association.receive(server.now, &mut server.input);
        while let Some(event) = server.association.poll_event() {
            match event {
                Event::Call(call) => begun.push(call),
                other => panic!("{other:?}"),
            }
        }
        if (server.input.len(), begun.len()) == before {
            return begun;
        }
    }
}

/// Takes octets in that tell something of calls that run.
fn told(server: &mut Server, octets: &[u8]) -> Vec<(&'static str, CallKey)> {
    server.input.extend_from_slice(octets);
    server.association.receive(server.now, &mut server.input);
    let events = std::iter::from_fn(|| server.association.poll_event());
    let told = events.map(|event| match event {
        Event::Cancel(key) => ("cancel", key),
        Event::Orphaned(key) => ("orphaned", key),
        other => panic!("{other:?}"),
    });
    told.collect()
}

/// What waits to be sent.
fn sent(server: &mut Server) -> Vec<u8> {
    let octets = server.association.poll_transmit().unwrap_or_default();
    let octets = octets.to_vec();
    server.association.transmitted(octets.len());
    octets
}

/// Whole calls of these ids, each with its id as stub.
fn calls(ids: impl IntoIterator<Item = u32>) -> Vec<u8> {
    ids.into_iter()
        .flat_map(|id| request(id, WHOLE, 1, &id.to_le_bytes()))
        .collect()
}

fn ids(calls: &[Call]) -> Vec<u32> {
    calls.iter().map(|call| call.id).collect()
}

/// The cancel_count of each PDU.
fn cancel_counts(octets: &[u8]) -> Vec<u8> {
    let count = |body: &Body<'_>| match body {
        Body::Response(response) => response.cancel_count,
        Body::Fault(fault) => fault.cancel_count,
        other => panic!("{other:?}"),
    };
    pdus(octets).iter().map(|pdu| count(&pdu.body)).collect()
}

#[test]
fn with_multiplexing_calls_run_side_by_side_and_are_answered_as_answers_come() {
    let mut server = bound(true);
    let begun = begin(&mut server, &calls(2..5));
    assert_eq!(ids(&begun), [2, 3, 4]);
    for place in [1, 2, 0] {
        server.answer(&begun[place]);
    }
    let octets = sent(&mut server);
    assert_eq!(
        kinds(&octets),
        [(RESPONSE, 3), (RESPONSE, 4), (RESPONSE, 2)]
    );
    for pdu in pdus(&octets) {
        let Body::Response(response) = pdu.body else {
            panic!("{pdu:?}");
        };
        assert_eq!(response.stub, pdu.header.call_id.to_le_bytes());
    }
    assert!(!server.association.is_busy());
}

#[test]
fn without_multiplexing_a_call_is_begun_when_the_one_before_it_is_answered() {
    let mut server = bound(false);
    let mut begun = begin(&mut server, &calls(2..5));
    for id in 2..5 {
        assert_eq!(ids(&begun), [id]);
        server.answer(&begun[0]);
        begun = begin(&mut server, &[]);
    }
    let answers = kinds(&sent(&mut server));
    assert_eq!(answers, [(RESPONSE, 2), (RESPONSE, 3), (RESPONSE, 4)]);
}

#[test]
fn calls_that_run_with_the_same_id_get_the_answer_of_their_own() {
    let mut server = bound(true);
    let octets = [request(2, WHOLE, 1, b"one"), request(2, WHOLE, 1, b"two")];
    let begun = begin(&mut server, &octets.concat());
    assert_ne!(begun[0].key(), begun[1].key());
    // The last one is meant.
    let orphan = told(&mut server, &orphaned(LITTLE, 2));
    assert_eq!(orphan, [("orphaned", begun[1].key())]);
    server.answer(&begun[1]);
    server.answer(&begun[0]);
    let octets = sent(&mut server);
    let [pdu] = &pdus(&octets)[..] else {
        panic!("not one answer");
    };
    assert!(matches!(&pdu.body, Body::Response(response) if response.stub == b"one"));
}

#[test]
fn no_more_calls_run_side_by_side_than_may_and_as_many_wait() {
    let mut server = bound_with(
        true,
        Settings {
            max_waiting: 3,
            ..settings()
        },
    );
    let begun = begin(&mut server, &calls(2..12));
    assert_eq!(ids(&begun), [2, 3, 4]);
    assert!(server.association.is_full());
    assert_eq!(server.input.len(), calls(8..12).len());
    server.answer(&begun[1]);
    assert_eq!(ids(&begin(&mut server, &[])), [5]);
    assert_eq!(server.input.len(), calls(9..12).len());
}

#[test]
fn no_call_is_begun_beside_those_whose_stubs_are_as_long_as_one_may_be() {
    let limits = || Settings {
        max_call: 1000,
        ..settings()
    };
    let long: Vec<u8> = (2..5)
        .flat_map(|id| request(id, WHOLE, 1, &[0; 600]))
        .collect();
    let mut server = bound_with(true, limits());
    let begun = begin(&mut server, &long);
    assert_eq!(ids(&begun), [2, 3]);
    server.answer(&begun[0]);
    assert_eq!(ids(&begin(&mut server, &[])), [4]);
}

#[test]
fn what_the_machine_answers_itself_does_not_wait_for_calls_that_run() {
    let own = [alter(4), request_of(5, WHOLE, (9, 1), b"")].concat();
    let asked = [calls([2]), own, calls([6])].concat();
    let mut server = bound(true);
    let begun = begin(&mut server, &asked);
    assert_eq!(kinds(&sent(&mut server)), [(ALTERED, 4), (FAULT, 5)]);
    begun.iter().for_each(|call| server.answer(call));
    assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 2), (RESPONSE, 6)]);

    let mut server = bound(false);
    let begun = begin(&mut server, &asked);
    assert_eq!(sent(&mut server), b"");
    server.answer(&begun[0]);
    begin(&mut server, &[]);
    let answers = kinds(&sent(&mut server));
    assert_eq!(answers, [(RESPONSE, 2), (ALTERED, 4), (FAULT, 5)]);
}

#[test]
fn what_the_machine_answers_itself_waits_for_calls_that_are_not_begun() {
    let mut server = bound_with(
        true,
        Settings {
            max_waiting: 2,
            ..settings()
        },
    );
    let begun = begin(&mut server, &[calls(2..5), alter(5)].concat());
    assert_eq!(ids(&begun), [2, 3]);
    assert_eq!(sent(&mut server), b"");
    server.answer(&begun[1]);
    let begun = begin(&mut server, &[]);
    assert_eq!(ids(&begun), [4]);
    assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 3), (ALTERED, 5)]);
}

#[test]
fn a_cancel_of_a_call_that_runs_is_told_once_and_counted_in_its_answer() {
    for (opnum, ptype) in [(1, RESPONSE), (FAULTS, FAULT)] {
        let mut server = bound(true);
        let asked = [2, 3].map(|id| request(id, WHOLE, opnum, b"stub"));
        let begun = begin(&mut server, &asked.concat());
        let twice = co_cancel(LITTLE, 3).repeat(2);
        assert_eq!(told(&mut server, &twice), [("cancel", begun[1].key())]);
        begun.iter().for_each(|call| server.answer(call));
        let octets = sent(&mut server);
        assert_eq!(kinds(&octets), [(ptype, 2), (ptype, 3)]);
        assert_eq!(cancel_counts(&octets), [0, 2]);
    }
}

#[test]
fn a_cancel_of_a_call_that_waits_is_handed_out_with_it() {
    let mut server = bound(false);
    let begun = begin(&mut server, &calls([2, 3]));
    assert_eq!(told(&mut server, &co_cancel(LITTLE, 3)), []);
    assert_eq!(begun[0].cancels, 0);
    server.answer(&begun[0]);
    let begun = begin(&mut server, &[]);
    assert_eq!((begun[0].id, begun[0].cancels), (3, 1));
    // It is known to be cancelled.
    assert_eq!(told(&mut server, &co_cancel(LITTLE, 3)), []);
    server.answer(&begun[0]);
    assert_eq!(cancel_counts(&sent(&mut server)), [0, 2]);
}

#[test]
fn more_cancels_than_an_octet_can_tell_are_told_as_255() {
    let mut server = bound(false);
    let begun = begin(&mut server, &calls([2]));
    let many = co_cancel(LITTLE, 2).repeat(300);
    assert_eq!(told(&mut server, &many).len(), 1);
    server.answer(&begun[0]);
    assert_eq!(cancel_counts(&sent(&mut server)), [255]);
}

#[test]
fn cancels_and_orphans_of_no_call_or_an_incomplete_one_are_nothing_to_tell() {
    for multiplexing in [false, true] {
        let mut server = bound(multiplexing);
        let begun = begin(&mut server, &calls([2]));
        assert!(begin(&mut server, &request(3, FIRST, 1, b"a")).is_empty());
        for id in [1, 3, 4] {
            let both = [co_cancel(LITTLE, id), orphaned(LITTLE, id)].concat();
            assert_eq!(told(&mut server, &both), []);
        }
        server.answer(&begun[0]);
        let begun = begin(&mut server, &request(3, LAST, 1, b"b"));
        assert_eq!((begun[0].id, begun[0].cancels), (3, 0));
        assert_eq!(begun[0].stub, b"ab"[..]);
        server.answer(&begun[0]);
        assert_eq!(cancel_counts(&sent(&mut server)), [0, 0]);
    }
}

#[test]
fn an_orphaned_call_that_runs_is_told_and_not_answered_whatever_reply_comes() {
    for multiplexing in [false, true] {
        let mut server = bound(multiplexing);
        let begun = begin(&mut server, &calls([2]));
        let events = told(&mut server, &orphaned(LITTLE, 2).repeat(2));
        assert_eq!(events, [("orphaned", begun[0].key())]);
        assert!(!server.association.is_busy());
        assert!(
            !server
                .association
                .reply(&begun[0], Answer::Response(b"late"))
        );
        assert_eq!(sent(&mut server), b"");
        // The next one need not wait for it.
        let begun = begin(&mut server, &calls([3]));
        server.answer(&begun[0]);
        assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 3)]);
    }
}

#[test]
fn an_orphaned_call_that_waits_is_not_begun_and_makes_room() {
    let mut server = bound_with(
        false,
        Settings {
            max_waiting: 2,
            ..settings()
        },
    );
    let begun = begin(&mut server, &calls([2]));
    assert!(begin(&mut server, &calls([3])).is_empty());
    assert_eq!(server.association.held(), 4);
    assert_eq!(told(&mut server, &orphaned(LITTLE, 3)), []);
    assert_eq!(server.association.held(), 0);
    assert!(begin(&mut server, &calls([4])).is_empty());
    server.answer(&begun[0]);
    let begun = begin(&mut server, &[]);
    assert_eq!(ids(&begun), [4]);
    server.answer(&begun[0]);
    assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 2), (RESPONSE, 4)]);
}

#[test]
fn a_violation_ends_the_connection_when_all_that_runs_is_answered() {
    let mut server = bound(true);
    let begun = begin(&mut server, &[calls([2, 3]), bind()].concat());
    assert_eq!(kinds(&sent(&mut server)), [(PacketType::BIND_NAK, 1)]);
    assert_eq!(server.association.closed(), None);
    server.answer(&begun[1]);
    assert_eq!(server.association.closed(), None);
    server.answer(&begun[0]);
    assert_eq!(server.association.closed(), Some(Closed::Refused));
    assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 3), (RESPONSE, 2)]);
}

#[test]
fn a_connection_is_not_idle_while_a_call_runs_and_an_incomplete_one_has_its_time() {
    let mut server = bound(true);
    let begun = begin(&mut server, &calls([2, 3]));
    assert_eq!(server.association.poll_timeout(), None);
    server.answer(&begun[0]);
    assert_eq!(server.association.poll_timeout(), None);
    assert!(begin(&mut server, &request(4, FIRST, 1, b"a")).is_empty());
    let deadline = server.now + settings().call_timeout;
    assert_eq!(server.association.poll_timeout(), Some(deadline));
    server.association.handle_timeout(deadline);
    assert_eq!(server.association.closed(), None);
    server.answer(&begun[1]);
    assert_eq!(server.association.closed(), Some(Closed::CallTimeout));
    assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 2), (RESPONSE, 3)]);
}

#[test]
fn interleaved_fragments_fault_at_once_although_a_call_runs() {
    let mut server = bound(true);
    let asked = [
        calls([2]),
        request(3, FIRST, 1, b"a"),
        request(4, WHOLE, 1, b"b"),
    ];
    let begun = begin(&mut server, &asked.concat());
    let octets = sent(&mut server);
    assert_eq!(fault(&octets), (4, FaultStatus::PROTO_ERROR, false));
    server.answer(&begun[0]);
    assert_eq!(kinds(&sent(&mut server)), [(RESPONSE, 2)]);
    assert_eq!(server.association.closed(), Some(Closed::Violation));
}
