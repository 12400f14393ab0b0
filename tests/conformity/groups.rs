//! Association groups: protocol.md 7.

use crate::connection::{Connection, fault};
use crate::octets::*;
use crate::server::{MAPPER, Server};

fn simple_bind(group: u32) -> Pdu {
    bind(&[context(MAPPER, EPT, &[NDR])]).group(group)
}

/// A connection in a group, 0 for a new one, and the group that it is in.
#[track_caller]
fn join(server: &Server, group: u32) -> (Connection, u32) {
    let mut connection = server.connect();
    connection.send(&simple_bind(group));
    let group = connection.ack(&simple_bind(group)).group;
    (connection, group)
}

#[track_caller]
fn expect_refused(server: &Server, group: u32) {
    let mut connection = server.connect();
    connection.send(&simple_bind(group));
    connection.expect_nak(&simple_bind(group), NOT_SPECIFIED);
}

/// The handle of a lookup that has more to come.
#[track_caller]
fn begin_lookup(connection: &mut Connection) -> [u8; 20] {
    let (handle, entries) = page(connection, &NO_HANDLE);
    assert_eq!(entries, 1);
    assert_ne!(handle, NO_HANDLE, "a handle to go on with");
    handle
}

/// One entry of a lookup: the handle to go on with, and how many came.
#[track_caller]
fn page(connection: &mut Connection, handle: &[u8; 20]) -> ([u8; 20], u32) {
    connection.send(&request(2, MAPPER, LOOKUP, lookup(handle, 1)));
    let stub = connection.expect_response(2, MAPPER);
    let count = u32::from_le_bytes(stub[20..24].try_into().unwrap());
    (stub[..20].try_into().unwrap(), count)
}

/// C706 12.6.3.1, MS-RPCE 3.3.1.5.1; protocol.md 7.1.
#[test]
fn a_bind_of_group_0_makes_a_new_group() {
    let server = Server::start();
    let (_first, one) = join(&server, 0);
    let (_second, other) = join(&server, 0);
    assert!(one != 0 && other != 0 && one != other, "{one:x}, {other:x}");
}

/// MS-RPCE 3.3.1.5.1, Windows; protocol.md 7.2.
#[test]
fn a_bind_of_a_known_group_joins_it() {
    let server = Server::start();
    let (_first, group) = join(&server, 0);
    for order in BOTH_ORDERS {
        let bind = simple_bind(group).order(order);
        let mut connection = server.connect();
        connection.send(&bind);
        assert_eq!(connection.ack(&bind).group, group);
    }
}

/// MS-RPCE 3.3.1.5.1; Samba's raw_protocol suite; protocol.md 7.3.
#[test]
fn a_bind_of_an_unknown_group_is_refused_with_reason_0() {
    let server = Server::start();
    let (_connection, group) = join(&server, 0);
    for unknown in [1, group.wrapping_add(1), group.wrapping_add(0x1234)] {
        if unknown != group {
            expect_refused(&server, unknown);
        }
    }
}

/// MS-RPCE 3.3.1.5.1; Samba's raw_protocol suite; protocol.md 7.4.
#[test]
fn a_group_lives_as_long_as_its_last_connection() {
    let server = Server::start();
    let (first, group) = join(&server, 0);
    let (second, _) = join(&server, group);
    first.leave();
    let (third, joined) = join(&server, group);
    assert_eq!(joined, group);
    second.leave();
    third.leave();
    expect_refused(&server, group);
}

/// MS-RPCE 3.3.1.5.1: a bind that is refused does not join; protocol.md 7.4.
#[test]
fn a_refused_bind_does_not_keep_a_group_alive() {
    let server = Server::start();
    let (first, group) = join(&server, 0);
    let refused = bind(&[context(0, EPT, &[])]).group(group);
    let mut connection = server.connect();
    connection.send(&refused);
    connection.expect_nak(&refused, NOT_SPECIFIED);
    first.leave();
    expect_refused(&server, group);
}

/// C706 12.6.3.1: presentation contexts are the connection's; protocol.md 7.5.
#[test]
fn context_ids_of_one_connection_mean_nothing_to_another_of_its_group() {
    let server = Server::start();
    let (_first, group) = join(&server, 0);
    let mut second = server.bound_by(bind(&[context(9, MGMT, &[NDR])]).group(group));
    second.send(&request(3, MAPPER, LOOKUP, lookup(&NO_HANDLE, 1)));
    second.expect_fault(fault(3, 0, UNK_IF).unexecuted());
    // The id may mean something else here.
    let other = alter(&[context(MAPPER, MGMT, &[NDR])]);
    assert_eq!(second.negotiate(&other), [ACCEPTED]);
    second.expect_alive(MAPPER);
}

/// C706 6.1, MS-RPCE 3.3.1.5.1: context handles are the group's; protocol.md 7.6.
#[test]
fn a_lookup_goes_on_over_another_connection_of_its_group() {
    let server = Server::start();
    let (mut first, group) = join(&server, 0);
    let handle = begin_lookup(&mut first);
    let (mut second, _) = join(&server, group);
    let (handle, entries) = page(&mut second, &handle);
    assert_eq!(entries, 1);
    // Even where the one that began it has gone.
    first.leave();
    assert_eq!(page(&mut second, &handle).1, 1);
}

/// C706 6.1, Windows; protocol.md 7.6.
#[test]
fn a_lookup_of_another_group_cannot_be_gone_on_with() {
    let server = Server::start();
    let (mut first, _) = join(&server, 0);
    let handle = begin_lookup(&mut first);
    let (mut stranger, _) = join(&server, 0);
    stranger.send(&request(3, MAPPER, LOOKUP, lookup(&handle, 1)));
    stranger.expect_fault(fault(3, MAPPER, CONTEXT_MISMATCH));
    assert_eq!(page(&mut first, &handle).1, 1);
}

/// C706 6.1: handles die with their group; protocol.md 7.6.
#[test]
fn a_lookup_ends_with_its_group() {
    let server = Server::start();
    let (mut first, _) = join(&server, 0);
    let handle = begin_lookup(&mut first);
    first.leave();
    let (mut later, _) = join(&server, 0);
    later.send(&request(3, MAPPER, LOOKUP, lookup(&handle, 1)));
    later.expect_fault(fault(3, MAPPER, CONTEXT_MISMATCH));
}

/// MS-RPCE 3.3.1.5.1; protocol.md 7.4.
#[test]
fn a_group_dies_with_its_last_connection_though_the_client_holds_the_socket() {
    let server = Server::start();
    let bind = simple_bind(0);
    let mut connection = server.connect();
    connection.send(&bind);
    let group = connection.ack(&bind).group;
    connection.send(&bind);
    connection.expect_nak(&bind, NOT_SPECIFIED);
    expect_refused(&server, group);
    drop(connection);
}
