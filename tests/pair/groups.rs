//! Two server ends and more, and the association groups that they share.

use crate::conversation::PLAIN;
use crate::ends::{
    FIRST, GROUP, LAST, Server, SharedGroups, WHOLE, alter, frames, pdus, request, start,
};
use crate::link::{Pair, Step};
use epmapper::proto::{ClientEvent, Closed, Groups};
use epmapper::wire::pdu::Body;
use epmapper::wire::status::RejectReason;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A bind into a group, and then a call.
fn steps(group: u32) -> [Step; 2] {
    let Step::Bind(_, offers) = PLAIN.bind() else {
        unreachable!("a bind");
    };
    [Step::Bind(group, offers), PLAIN.call(1, b"stub")]
}

/// A connection of the server that has these groups, with a bind into a group
/// and a call behind it.
fn connect<'a>(groups: &SharedGroups, steps: &'a [Step]) -> Pair<'a> {
    let settings = Arc::new(PLAIN.settings());
    let mut pair = Pair::among(settings, groups.clone(), PLAIN.client(), steps);
    pair.run();
    pair
}

/// The group that a client was told of; `None` when it was refused.
fn group(pair: &Pair) -> Option<u32> {
    match &*pair.told[0] {
        ClientEvent::Bound { agreed, .. } => Some(agreed.group),
        ClientEvent::Refused(reason) => {
            assert_eq!(*reason, RejectReason::NOT_SPECIFIED);
            assert_eq!(pair.server.association.closed(), Some(Closed::Refused));
            assert_eq!(pair.told.len(), 1);
            None
        }
        other => panic!("{other:?}"),
    }
}

fn no_groups() -> SharedGroups {
    Rc::new(RefCell::new(Groups::new(0)))
}

#[test]
fn connections_that_ask_for_a_new_group_get_one_each() {
    let groups = no_groups();
    let steps = steps(0);
    let pairs: Vec<Pair> = (0..5).map(|_| connect(&groups, &steps)).collect();
    let mut ids: Vec<u32> = pairs.iter().filter_map(group).collect();
    assert_eq!(groups.borrow().len(), 5);
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 5 && !ids.contains(&0));
}

#[test]
fn a_group_is_joined_while_it_has_a_connection_and_dies_with_the_last() {
    let groups = no_groups();
    let made = steps(0);
    let first = connect(&groups, &made);
    let id = group(&first).unwrap();
    let join = steps(id);
    let second = connect(&groups, &join);
    assert_eq!(group(&second), Some(id));
    assert_eq!(groups.borrow().len(), 1);
    // Whoever made it may go.
    drop(first);
    let third = connect(&groups, &join);
    assert_eq!(group(&third), Some(id));
    drop((second, third));
    assert!(groups.borrow().is_empty());
    assert_eq!(group(&connect(&groups, &join)), None);
    let another = connect(&groups, &made);
    assert!(group(&another).is_some_and(|another| another != id));
}

#[test]
fn an_unknown_group_is_refused_and_made_for_nobody() {
    let groups = no_groups();
    let made = steps(0);
    let first = connect(&groups, &made);
    let id = group(&first).unwrap();
    for unknown in [id + 1, id.swap_bytes(), u32::MAX] {
        let join = steps(unknown);
        assert_eq!(group(&connect(&groups, &join)), None, "{unknown}");
    }
    assert_eq!(groups.borrow().len(), 1);
    drop(first);
    assert!(groups.borrow().is_empty());
}

#[test]
fn a_connection_of_a_group_that_ends_leaves_the_others_alone() {
    let groups = no_groups();
    let made = steps(0);
    let first = connect(&groups, &made);
    let join = steps(group(&first).unwrap());
    let mut second = connect(&groups, &join);
    assert_eq!(
        second
            .server
            .exchange(b"no RPC at all, but more than a header")
            .len(),
        32
    );
    assert_eq!(second.server.association.closed(), Some(Closed::Violation));
    drop(second);
    let third = connect(&groups, &join);
    assert_eq!(third.told.len(), 2);
    assert!(matches!(&*third.told[1], ClientEvent::Response { .. }));
}

#[test]
fn calls_on_two_connections_of_a_group_do_not_mix() {
    let groups = no_groups();
    let made = steps(0);
    let mut first = connect(&groups, &made);
    let join = steps(group(&first).unwrap());
    let mut second = connect(&groups, &join);
    // The same call id, begun on one and completed on both.
    let begin = request(9, FIRST, 1, b"first ");
    let end = request(9, LAST, 1, b"last");
    assert!(first.server.exchange(&begin).is_empty());
    assert!(second.server.exchange(&begin).is_empty());
    for server in [&mut first.server, &mut second.server] {
        assert!(!server.exchange(&end).is_empty());
        assert_eq!(server.calls.last().unwrap().stub, "first last");
    }
}

#[test]
fn an_alter_context_is_answered_with_the_group_of_the_bind_whatever_it_names() {
    let mut server = Server::bound(WHOLE);
    let own = server.group.unwrap();
    for named in [0, own, GROUP, u32::MAX] {
        let mut octets = alter(2);
        octets[20..24].copy_from_slice(&named.to_le_bytes());
        let answer = server.exchange(&octets);
        let Body::AlterContextResp(ack) = pdus(&answer)[0].body else {
            panic!("no alter_context_resp");
        };
        assert_eq!(ack.assoc_group_id, own);
    }
    assert_eq!((server.joins.len(), own != GROUP), (1, true));
}

#[test]
fn a_bind_that_is_lost_before_its_group_is_known_joins_none() {
    let groups = no_groups();
    let made = steps(0);
    let whole = connect(&groups, &made);
    let bind = frames(&whole.up.sent)[0].to_vec();
    drop(whole);
    let settings = Arc::new(PLAIN.settings());
    let mut server = Server::among(settings, groups.clone(), start());
    server.input.extend_from_slice(&bind);
    server.association.receive(server.now, &mut server.input);
    let deadline = server.association.poll_timeout().unwrap();
    server.association.handle_timeout(deadline);
    assert!(server.exchange(&[]).is_empty());
    assert_eq!(server.association.closed(), Some(Closed::BindTimeout));
    assert!(server.joins.is_empty() && groups.borrow().is_empty());
}
