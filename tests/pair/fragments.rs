//! Fragments that are out of place: refused as spec/pdu.md section 8 says, with
//! multiplexing agreed on and without.

use crate::conversation::UNBOUND;
use crate::ends::{
    FAULTS, FIRST, LAST, LITTLE, MIDDLE, Server, WHOLE, alter, fault, kinds, orphaned, pdus,
    request, request_in, request_of,
};
use epmapper::proto::Closed;
use epmapper::wire::ByteOrder;
use epmapper::wire::pdu::{Body, PacketType, PfcFlags};
use epmapper::wire::status::FaultStatus;

/// The flags of a bind that asks for multiplexing, or does not.
fn mode(multiplexing: bool) -> PfcFlags {
    match multiplexing {
        true => WHOLE | PfcFlags::CONC_MPX,
        false => WHOLE,
    }
}

/// The fragments of call 2 and of call 3.
fn two_calls() -> [Vec<Vec<u8>>; 2] {
    [2, 3].map(|id| {
        let fragment = |flags, stub: &[u8]| request(id, flags, 1, stub);
        vec![
            fragment(FIRST, b"a"),
            fragment(MIDDLE, b"b"),
            fragment(LAST, b"c"),
        ]
    })
}

/// All ways to interleave `three` of call 2 with as many of call 3.
fn interleavings() -> Vec<Vec<u32>> {
    let choices = (0u32..64).filter(|bits| bits.count_ones() == 3);
    choices
        .map(|bits| (0..6).map(|place| 2 + (bits >> place & 1)).collect())
        .collect()
}

#[test]
fn interleaved_fragments_of_two_calls_are_refused_at_the_first_that_interleaves() {
    for (order, multiplexing) in interleavings()
        .into_iter()
        .flat_map(|order| [(order.clone(), false), (order, true)])
    {
        let mut calls = two_calls().map(Vec::into_iter);
        let mut server = Server::bound(mode(multiplexing));
        let octets: Vec<u8> = order
            .iter()
            .flat_map(|id| calls[*id as usize - 2].next().unwrap())
            .collect();
        let answer = server.exchange(&octets);
        if order[..3].iter().all(|id| *id == order[0]) {
            let ids = [order[0], order[5]].map(|id| (PacketType::RESPONSE, id));
            assert_eq!(kinds(&answer), ids);
            continue;
        }
        // The call that is incomplete, or with multiplexing the other one.
        let blamed = match multiplexing {
            true => 5 - order[0],
            false => order[0],
        };
        let expected = (blamed, FaultStatus::PROTO_ERROR, false);
        assert_eq!(fault(&answer), expected, "{order:?} {multiplexing}");
        assert_eq!(kinds(&answer).len(), 1);
        assert_eq!(server.association.closed(), Some(Closed::Violation));
        assert!(server.calls.is_empty());
        assert_eq!(server.association.held(), 0);
    }
}

/// A row of the table: name, PDUs, and call id and context id of the fault,
/// without multiplexing and with it.
type Row = (&'static str, Vec<Vec<u8>>, [(u32, u16); 2]);

/// Every row that ends the connection with a protocol error. The calls are made
/// on context 1, which tells it from the context id 0 of some faults.
fn rows() -> Vec<Row> {
    let on = |id, flags: PfcFlags| request_of(id, flags, (1, 1), b"x");
    let first = || on(2, FIRST);
    let stray = request_of(3, MIDDLE, (1, 1), b"x");
    vec![
        (
            "neither first nor last",
            vec![on(2, MIDDLE)],
            [(2, 0), (2, 1)],
        ),
        ("no first", vec![on(2, LAST)], [(2, 0), (2, 1)]),
        ("first twice", vec![first(), on(2, FIRST)], [(2, 1); 2]),
        ("then whole", vec![first(), on(2, WHOLE)], [(2, 1); 2]),
        (
            "another's first",
            vec![first(), on(3, FIRST)],
            [(2, 1), (3, 0)],
        ),
        ("another's middle", vec![first(), stray], [(2, 1), (3, 0)]),
        (
            "another's last",
            vec![first(), on(3, LAST)],
            [(2, 1), (3, 0)],
        ),
        (
            "another whole",
            vec![first(), on(3, WHOLE)],
            [(2, 1), (3, 0)],
        ),
        (
            "another behind an orphan",
            vec![first(), orphaned(LITTLE, 2), on(3, WHOLE)],
            [(2, 1), (3, 0)],
        ),
    ]
}

/// A server with ept as context 0 and mgmt as context 1.
fn bound_twice(multiplexing: bool) -> Server {
    let mut server = Server::bound(mode(multiplexing));
    server.exchange(&alter(9));
    server
}

/// The one PDU sent, a fault: call id, context id, status, did not execute.
fn only_fault(octets: &[u8]) -> (u32, u16, FaultStatus, bool) {
    let (call_id, status, flag) = fault(octets);
    let [pdu] = pdus(octets)[..] else {
        panic!("more than a fault: {:?}", kinds(octets));
    };
    let Body::Fault(fault) = pdu.body else {
        panic!("{pdu:?}");
    };
    (call_id, fault.context_id, status, flag)
}

#[test]
fn misplaced_fragments_end_the_connection_with_a_fault_that_names_the_right_call() {
    for (name, octets, expected) in rows() {
        for multiplexing in [false, true] {
            let mut server = bound_twice(multiplexing);
            let fault = only_fault(&server.exchange(&octets.concat()));
            let (call_id, context_id) = expected[usize::from(multiplexing)];
            let expected = (call_id, context_id, FaultStatus::PROTO_ERROR, false);
            assert_eq!(fault, expected, "{name}, multiplexing {multiplexing}");
            assert_eq!(server.association.closed(), Some(Closed::Violation));
            assert_eq!(server.association.held(), 0);
            assert!(server.calls.is_empty());
        }
    }
}

#[test]
fn a_stray_fragment_of_an_unknown_context_is_no_violation_with_multiplexing() {
    for multiplexing in [false, true] {
        let mut server = bound_twice(multiplexing);
        let stray = request_of(3, MIDDLE, (UNBOUND, 1), b"x");
        let (status, closed) = match multiplexing {
            true => (FaultStatus::UNK_IF, None),
            false => (FaultStatus::PROTO_ERROR, Some(Closed::Violation)),
        };
        let fault = only_fault(&server.exchange(&stray));
        assert_eq!(fault, (3, 0, status, multiplexing));
        assert_eq!(server.association.closed(), closed);
    }
}

#[test]
fn a_fragment_in_another_byte_order_than_the_first_did_not_execute() {
    let mut server = bound_twice(false);
    let octets = [
        request_of(2, FIRST, (1, 1), b"x"),
        request_in(ByteOrder::Big, 2, LAST, (1, 1), b"x"),
    ];
    let fault = only_fault(&server.exchange(&octets.concat()));
    assert_eq!(fault, (2, 1, FaultStatus::PROTO_ERROR, true));
    assert_eq!(server.association.closed(), Some(Closed::Violation));
}

#[test]
fn a_first_fragment_that_is_cancelled_already_is_no_call() {
    for flags in [FIRST, WHOLE] {
        let mut server = bound_twice(false);
        let octets = request_of(2, flags | PfcFlags::PENDING_CANCEL, (1, 1), b"x");
        let fault = only_fault(&server.exchange(&octets));
        assert_eq!(fault, (2, 0, FaultStatus::NO_CALL_ACTIVE, true));
        assert_eq!(server.association.closed(), Some(Closed::Violation));
    }
}

#[test]
fn a_cancel_flag_on_later_fragments_is_ignored() {
    let cancel = PfcFlags::PENDING_CANCEL;
    let mut server = Server::bound(WHOLE);
    let octets = [
        request(2, FIRST, 1, b"a"),
        request(2, cancel, 1, b"b"),
        request(2, LAST | cancel, 1, b"c"),
    ];
    let answer = server.exchange(&octets.concat());
    assert_eq!(kinds(&answer), [(PacketType::RESPONSE, 2)]);
    assert_eq!(server.calls[0].stub, "abc");
}

#[test]
fn later_fragments_may_name_any_context_and_operation() {
    let mut server = Server::bound(WHOLE);
    let octets = [
        request(2, FIRST, 1, b"a"),
        request_of(2, MIDDLE, (UNBOUND, 77), b"b"),
        request_of(2, LAST, (3, FAULTS), b"c"),
    ];
    let answer = server.exchange(&octets.concat());
    assert_eq!(kinds(&answer), [(PacketType::RESPONSE, 2)]);
    let call = &server.calls[0];
    assert_eq!((call.context_id, call.opnum), (0, 1));
    assert_eq!(call.stub, "abc");
}
