//! However the octets arrive, the same happens.

use crate::conversation::{BILINGUAL, DIALECTS, Dialect, LONG, MGMT, OBJECT, PLAIN, long_stub};
use crate::ends::{pdus, start};
use crate::link::{Pair, Plan, Record, Step, Told};
use epmapper::proto::ClientEvent;
use epmapper::wire::pdu::{ContextAnswer, PacketType};
use epmapper::wire::status::FaultStatus;
use proptest::prelude::*;

/// What happens when the octets arrive as planned.
fn record(dialect: &Dialect, steps: &[Step], up: Plan, down: Plan) -> Record {
    let mut pair = Pair::new(dialect, steps);
    (pair.up.plan, pair.down.plan) = (up, down);
    pair.run();
    pair.record()
}

fn at_once(dialect: &Dialect, steps: &[Step]) -> Record {
    record(dialect, steps, Plan::Whole, Plan::Whole)
}

#[test]
fn the_conversation_goes_as_it_should() {
    for dialect in [DIALECTS[0], DIALECTS[1], DIALECTS[2], BILINGUAL] {
        let steps = dialect.conversation();
        let record = at_once(&dialect, &steps);
        check_told(&dialect, &record.told);
        check_calls(&dialect, &record);
        let answers = pdus(&record.down);
        let types: Vec<_> = answers.iter().map(|pdu| pdu.header.ptype).collect();
        let (response, fault) = (PacketType::RESPONSE, PacketType::FAULT);
        let alter = PacketType::ALTER_CONTEXT_RESP;
        let bind = PacketType::BIND_ACK;
        assert_eq!(
            types,
            [
                bind, alter, response, response, response, fault, fault, alter, response
            ]
        );
        assert!(pdus(&record.up).len() > steps.len(), "one call in two");
    }
}

fn check_told(dialect: &Dialect, told: &[Told]) {
    let syntax = dialect.served[0];
    let order = dialect.order;
    let response = |stub: &[u8]| {
        Told::new(ClientEvent::Response {
            order,
            stub: stub.to_vec().into(),
        })
    };
    let fault = |status| {
        Told::new(ClientEvent::Fault {
            status,
            did_not_execute: true,
        })
    };
    let bound = answers(&told[0]);
    assert_eq!((bound[0].result.0, bound[0].reason.0), (2, 1));
    let ept = &bound[usize::from(dialect.ept()) + 1];
    assert_eq!((ept.result.0, ept.transfer_syntax), (0, syntax));
    assert_eq!(bound.last().map(|feature| feature.result.0), Some(3));
    let mgmt = answers(&told[1]);
    assert_eq!((mgmt[0].result.0, mgmt[0].transfer_syntax), (0, syntax));
    assert_eq!((mgmt[1].result.0, mgmt[1].reason.0), (2, 1));
    assert_eq!(
        told[2..],
        [
            response(b"one fragmentone fragment"),
            response(&long_stub()),
            fault(FaultStatus::OP_RNG_ERROR),
            fault(FaultStatus::UNK_IF),
            told[1].clone(),
            response(b"with an objectwith an objectwith an object"),
        ]
    );
}

/// What a bind or alter_context was answered with.
fn answers(told: &ClientEvent) -> &[ContextAnswer] {
    match told {
        ClientEvent::Bound { answers, .. } => answers,
        other => panic!("{other:?}"),
    }
}

fn check_calls(dialect: &Dialect, record: &Record) {
    assert_eq!(record.joins, [0]);
    let syntax = dialect.served[0];
    for call in &record.calls {
        assert_eq!((call.transfer_syntax, call.order), (syntax, dialect.order));
    }
    let kinds: Vec<_> = record
        .calls
        .iter()
        .map(|call| (call.interface, call.opnum, call.stub.len(), call.maybe))
        .collect();
    let expected = [
        (0, 2, 12, false),
        (1, 1, 5, true),
        (0, 1, LONG, false),
        (0, 99, 0, false),
        (1, 3, 14, false),
    ];
    assert_eq!(kinds, expected);
    let last = record.calls.last().unwrap();
    assert_eq!((last.context_id, last.object), (MGMT, Some(OBJECT)));
}

#[test]
fn octet_by_octet_the_same_happens() {
    for dialect in DIALECTS.into_iter().chain([BILINGUAL]) {
        let steps = dialect.conversation();
        let mut pair = Pair::new(&dialect, &steps);
        (pair.up.plan, pair.down.plan) = (Plan::Octets, Plan::Octets);
        pair.server.sends = 1;
        pair.run();
        assert_eq!(pair.record(), at_once(&dialect, &steps), "{dialect:?}");
        let turns = (pair.now - start()).as_millis() / 10;
        assert!(turns > pair.up.sent.len() as u128, "{turns} turns");
    }
}

/// Splits the conversation in two at every place of both streams.
fn split_everywhere(dialect: &Dialect) {
    let steps = dialect.conversation();
    let whole = at_once(dialect, &steps);
    for at in 0..=whole.up.len() {
        let split = record(dialect, &steps, Plan::Split(at), Plan::Whole);
        assert!(split == whole, "client's stream split at {at}: {dialect:?}");
    }
    for at in 0..=whole.down.len() {
        let split = record(dialect, &steps, Plan::Whole, Plan::Split(at));
        assert!(split == whole, "server's stream split at {at}: {dialect:?}");
    }
}

#[test]
fn split_at_every_octet_the_same_happens_in_ndr() {
    split_everywhere(&DIALECTS[0]);
}

#[test]
fn split_at_every_octet_the_same_happens_in_ndr64() {
    split_everywhere(&DIALECTS[1]);
}

#[test]
fn split_at_every_octet_the_same_happens_in_big_endian_ndr() {
    split_everywhere(&DIALECTS[2]);
}

#[test]
fn split_at_every_octet_the_same_happens_in_big_endian_ndr64() {
    split_everywhere(&DIALECTS[3]);
}

/// Lengths of pieces, short ones more often than long ones.
fn pieces() -> impl Strategy<Value = Plan> {
    let length = prop_oneof![3 => 1..40usize, 1 => 40..2000usize];
    prop::collection::vec(length, 1..40).prop_map(Plan::Pieces)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn in_any_pieces_the_same_happens(
        up in pieces(),
        down in pieces(),
        sends in 1..3000usize,
        which in 0..5usize,
    ) {
        let dialect = DIALECTS.get(which).copied().unwrap_or(BILINGUAL);
        let steps = dialect.conversation();
        let mut pair = Pair::new(&dialect, &steps);
        (pair.up.plan, pair.down.plan) = (up, down);
        pair.server.sends = sends;
        pair.run();
        prop_assert!(pair.record() == at_once(&dialect, &steps));
    }
}

#[test]
fn a_stream_that_comes_at_once_is_answered_as_one_that_waits_for_answers() {
    let steps = PLAIN.conversation();
    let whole = at_once(&PLAIN, &steps);
    // Nothing is read while a bind waits for its group or too many calls wait.
    let mut server = Pair::new(&PLAIN, &[]).server;
    assert_eq!(server.exchange(&whole.up), whole.down);
}
