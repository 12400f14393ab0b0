//! Bind-time features: protocol.md 6.

use crate::connection::fault;
use crate::octets::*;
use crate::server::{MANAGEMENT, Server};

/// A context for several authentications on one connection, and one that outlives an orphaned call.
const SECURITY_CONTEXTS: u64 = 1;
const KEEP_ON_ORPHAN: u64 = 2;

/// What an element of features is answered with.
fn negotiated(mask: u16) -> (u16, u16) {
    (3, mask)
}

/// MS-RPCE 2.2.2.14, 3.3.1.5.3; Windows and Samba's raw_protocol suite; protocol.md 5.3, 6.1 and 6.2.
#[test]
fn features_are_answered_with_those_that_both_have() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        for mask in 0..=3 {
            let bind = bind(&[context(0, EMPTY, &[features(u64::from(mask))])]).order(order);
            let mut connection = server.connect();
            connection.send(&bind);
            let ack = connection.ack(&bind);
            assert_eq!(ack.results, [negotiated(mask)]);
            assert_eq!(ack.syntaxes, [EMPTY]);
        }
    }
}

/// MS-RPCE 2.2.2.14: of what is asked for, only what is known; protocol.md 6.2.
#[test]
fn features_that_nobody_knows_are_not_answered() {
    let server = Server::start();
    for (mask, expected) in [
        (4, 0),
        (7, 3),
        (0xfffc, 0),
        (0x1_0000, 0),
        (1 << 63 | 2, 2),
        (u64::MAX, 3),
    ] {
        let bind = bind(&[context(0, EMPTY, &[features(mask)])]);
        assert_eq!(
            server.connect().negotiate(&bind),
            [negotiated(expected)],
            "{mask:x}"
        );
    }
}

/// MS-RPCE 3.3.1.5.3: wherever the element stands, beside others or alone; protocol.md 6.1.
#[test]
fn features_are_found_in_every_element_and_take_no_place() {
    let server = Server::start();
    let asks = context(5, EPT, &[features(KEEP_ON_ORPHAN)]);
    let wants = context(MANAGEMENT, MGMT, &[NDR]);
    let foreign = context(7, FOREIGN, &[NDR]);
    for place in 0..3 {
        let mut list = vec![foreign.clone(), wants.clone()];
        let mut expected = vec![NO_INTERFACE, ACCEPTED];
        list.insert(place, asks.clone());
        expected.insert(place, negotiated(2));
        let mut connection = server.connect();
        assert_eq!(connection.negotiate(&bind(&list)), expected);
        connection.expect_alive(MANAGEMENT);
    }
}

/// MS-RPCE 3.3.1.5.3, Samba's raw_protocol suite: served or not, known or not; protocol.md 6.3.
#[test]
fn what_else_an_element_of_features_says_is_ignored() {
    let server = Server::start();
    for interface in [EMPTY, EPT, MGMT, FOREIGN, NDR64] {
        for beside in [
            &[][..],
            &[NDR],
            &[features(SECURITY_CONTEXTS), EMPTY],
            &[NDR64, FOREIGN],
        ] {
            let offered = [&[features(KEEP_ON_ORPHAN)], beside].concat();
            let mut connection = server.connect();
            let bind = bind(&[context(1, interface, &offered)]);
            assert_eq!(connection.negotiate(&bind), [negotiated(2)]);
            // Nothing became usable.
            connection.send(&request(2, 1, IS_LISTENING, vec![]));
            connection.expect_fault(fault(2, 0, UNK_IF).unexecuted());
        }
    }
}

/// MS-RPCE 3.3.1.5.3: the context id of the element is still free; protocol.md 6.3.
#[test]
fn an_element_of_features_takes_no_context_id() {
    let server = Server::start();
    let list = [context(1, MGMT, &[features(3)]), context(1, MGMT, &[NDR])];
    let mut connection = server.connect();
    assert_eq!(
        connection.negotiate(&bind(&list)),
        [negotiated(3), ACCEPTED]
    );
    connection.expect_alive(1);
    let mut connection = server.bound_with(&[context(1, EMPTY, &[features(3)])]);
    let later = alter(&[context(1, MGMT, &[NDR])]);
    assert_eq!(connection.negotiate(&later), [ACCEPTED]);
    connection.expect_alive(1);
}

/// MS-RPCE 3.3.1.5.3; Samba's raw_protocol suite, `bind_time_only_first`; protocol.md 6.3.
#[test]
fn features_behind_another_transfer_syntax_are_an_unknown_syntax() {
    let server = Server::start();
    let [one, two] = [features(SECURITY_CONTEXTS), features(KEEP_ON_ORPHAN)];
    for (interface, offered, expected) in [
        (EMPTY, &[EMPTY, two, one, EMPTY][..], NO_INTERFACE),
        (MGMT, &[FOREIGN, two], NO_SYNTAX),
        (MGMT, &[NDR, two], ACCEPTED),
        (MGMT, &[FOREIGN, two, NDR], ACCEPTED),
    ] {
        let bind = bind(&[context(0, interface, offered)]);
        assert_eq!(server.connect().negotiate(&bind), [expected]);
    }
}

/// MS-RPCE 3.3.1.5.3; Samba's raw_protocol suite, `bind_time_twice`; protocol.md 6.4.
#[test]
fn two_elements_of_features_are_refused_with_reason_0() {
    let server = Server::start();
    let [first, second] =
        [SECURITY_CONTEXTS, KEEP_ON_ORPHAN].map(|mask| context(1, EMPTY, &[features(mask)]));
    let between = context(2, MGMT, &[NDR]);
    for list in [
        vec![first.clone(), first.clone()],
        vec![first.clone(), second.clone()],
        vec![first, between, second],
    ] {
        let mut connection = server.connect();
        connection.send(&bind(&list));
        connection.expect_nak(&bind(&list), NOT_SPECIFIED);
    }
}

/// MS-RPCE 3.3.1.5.3: features are a bind's; protocol.md 6.5.
#[test]
fn features_in_an_alter_context_are_an_unknown_syntax() {
    let server = Server::start();
    let mut connection = server.bound();
    for (interface, offered, expected) in [
        (MGMT, &[features(3)][..], NO_SYNTAX),
        (EMPTY, &[features(3)], NO_INTERFACE),
    ] {
        let alter = alter(&[context(9, interface, offered)]);
        assert_eq!(connection.negotiate(&alter), [expected]);
    }
    let alter = alter(&[context(9, MGMT, &[features(3), NDR])]);
    assert_eq!(connection.negotiate(&alter), [ACCEPTED]);
    connection.expect_alive(9);
}
