//! One direction ends after any octet: silent or lost, neither end makes up
//! what did not come, and both find out.

use crate::conversation::{ANSWER_TIMEOUT, DIALECTS};
use crate::ends::{BIND_TIMEOUT, CALL_TIMEOUT, IDLE_TIMEOUT, start};
use crate::link::{Pair, Plan};
use crate::whole::Whole;
use epmapper::proto::{ClientEvent, Closed, ProtocolError};
use std::time::{Duration, Instant};

/// The conversation with one direction cut short, until nothing moves.
fn cut(whole: &Whole, up: usize, down: usize) -> Pair<'_> {
    let mut pair = whole.pair();
    (pair.up.limit, pair.down.limit) = (up, down);
    (pair.up.plan, pair.down.plan) = (Plan::Pdus, Plan::Pdus);
    pair.run();
    pair
}

/// Checks that the server did just what the first `len` octets ask for.
fn check_server(whole: &Whole, pair: &Pair, len: usize) {
    let record = pair.record();
    assert!(
        record.calls == whole.calls(len),
        "{len}: {:?}",
        record.calls
    );
    assert!(record.down == whole.answers(len), "{len}");
    let bound = len >= whole.up[0].0;
    assert_eq!(record.joins.len(), usize::from(bound), "{len}");
    assert_eq!(pair.server.association.held(), whole.held(len), "{len}");
}

/// Lets the server wait until it closes; it does so at its deadline, for this
/// reason, and not before.
fn outwait_server(pair: &mut Pair, deadline: Instant, reason: Closed) {
    let association = &mut pair.server.association;
    assert_eq!(association.poll_timeout(), Some(deadline));
    association.handle_timeout(deadline - Duration::from_nanos(1));
    assert_eq!(association.closed(), None);
    assert_eq!(association.poll_timeout(), Some(deadline));
    association.handle_timeout(deadline);
    assert_eq!(association.closed(), Some(reason));
    assert_eq!(association.poll_timeout(), None);
    assert_eq!(association.held(), 0);
    assert!(association.poll_event().is_none() && association.poll_transmit().is_none());
    pair.now = deadline;
}

/// When the server gives up on a client that fell silent after `len` octets,
/// and why.
fn server_deadline(whole: &Whole, pair: &Pair, len: usize) -> (Instant, Closed) {
    let count = whole.up.iter().filter(|(end, _)| *end <= len).count();
    // Each PDU came by itself.
    let came = |index: usize| pair.arrivals[index];
    let Some(last) = count.checked_sub(1) else {
        return (start() + BIND_TIMEOUT, Closed::BindTimeout);
    };
    let idle = (came(last) + IDLE_TIMEOUT, Closed::IdleTimeout);
    let Some(incomplete) = whole.incomplete(len) else {
        return idle;
    };
    let mut ids = whole.up.iter().map(|(_, header)| header.call_id);
    let first = ids.position(|id| id == incomplete.call_id).unwrap();
    let call = (came(first) + CALL_TIMEOUT, Closed::CallTimeout);
    [call, idle].into_iter().min_by_key(|(at, _)| *at).unwrap()
}

/// Both byte orders and both transfer syntaxes.
fn each_dialect(test: impl Fn(&Whole)) {
    for dialect in [DIALECTS[0], DIALECTS[3]] {
        test(&Whole::new(dialect));
    }
}

#[test]
fn a_client_that_falls_silent_after_any_octet_is_closed_at_its_deadline() {
    each_dialect(|whole| {
        for len in 0..=whole.record.up.len() {
            let mut pair = cut(whole, len, usize::MAX);
            check_server(whole, &pair, len);
            let due = pair.due;
            let (deadline, reason) = server_deadline(whole, &pair, len);
            outwait_server(&mut pair, deadline, reason);
            pair.run();
            assert!(pair.over);
            match due {
                true => check_end(whole, &pair, pair.down.arrived, ProtocolError::Closed),
                false => assert_eq!(pair.told, whole.record.told),
            }
        }
    });
}

#[test]
fn a_client_lost_after_any_octet_leaves_nothing_behind() {
    each_dialect(|whole| {
        for len in 0..=whole.record.up.len() {
            let pair = cut(whole, len, usize::MAX);
            check_server(whole, &pair, len);
            assert!(pair.server.association.held() <= len);
            let groups = pair.groups.clone();
            assert_eq!(groups.borrow().len(), pair.server.joins.len());
            drop(pair);
            assert!(groups.borrow().is_empty());
        }
    });
}

#[test]
fn a_server_that_falls_silent_after_any_octet_is_given_up_at_the_deadline() {
    each_dialect(|whole| {
        for len in 0..whole.record.down.len() {
            let mut pair = cut(whole, usize::MAX, len);
            assert_eq!(pair.told, whole.told(len), "{len}");
            let asked = pair.asked;
            pair.outwait_client();
            assert_eq!(pair.now, asked + ANSWER_TIMEOUT);
            check_end(whole, &pair, len, ProtocolError::Timeout);
        }
    });
}

#[test]
fn a_server_lost_after_any_octet_is_told() {
    each_dialect(|whole| {
        for len in 0..whole.record.down.len() {
            let mut pair = cut(whole, usize::MAX, len);
            assert_eq!(pair.told, whole.told(len), "{len}");
            pair.lose_server();
            check_end(whole, &pair, len, ProtocolError::Closed);
            assert_eq!(pair.client.poll_timeout(), None);
        }
    });
}

/// Checks that the client was told of the end, once, behind what had come.
fn check_end(whole: &Whole, pair: &Pair, len: usize, error: ProtocolError) {
    let (end, told) = pair.told.split_last().unwrap();
    assert_eq!(**end, ClientEvent::Broken(error), "{len}");
    assert_eq!(told, whole.told(len), "{len}");
}
