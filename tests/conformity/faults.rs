//! What goes wrong with a call, and whether the connection lives: protocol.md 9.

use crate::connection::{Connection, fault};
use crate::octets::*;
use crate::server::{MANAGEMENT, MAPPER, Server};

/// Operations of the endpoint mapper.
const HANDLE_FREE: u16 = 4;

/// A call of the mapper.
fn ask(call: u32, opnum: u16, stub: Fields) -> Pdu {
    request(call, MAPPER, opnum, stub)
}

/// The connection still answers a lookup.
#[track_caller]
fn expect_alive(connection: &mut Connection) {
    connection.send(&ask(0x99, LOOKUP, lookup(&NO_HANDLE, 1)));
    connection.expect_response(0x99, MAPPER);
}

/// C706 12.6.3.1, Windows; protocol.md 9.1.
#[test]
fn a_call_over_an_unknown_context_is_of_an_unknown_interface() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        for context in [0, MANAGEMENT + 1, 0x0101, 0xffff] {
            connection.send(&request(7, context, IS_LISTENING, vec![]).order(order));
            connection.expect_fault(fault(7, 0, UNK_IF).unexecuted());
        }
        connection.expect_alive(MANAGEMENT);
    }
}

/// C706 12.6.4.7; Samba: the first fragment is enough to tell, and the call is not remembered; protocol.md 9.1.
#[test]
fn a_call_over_an_unknown_context_is_refused_at_its_first_fragment() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        let first = request(7, 0x77, IS_LISTENING, zeros(4)).flags(FIRST);
        connection.send(&first.order(order));
        connection.expect_fault(fault(7, 0, UNK_IF).unexecuted());
        connection.expect_alive(MANAGEMENT);
    }
}

/// MS-RPCE 3.3.1.5.8; the rest of such a call, as any lone fragment: with multiplexing it is told again;
/// protocol.md 8.10.
#[test]
fn the_rest_of_a_call_over_an_unknown_context_is_no_end_with_multiplexing() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound_with_multiplexing();
        for flags in [FIRST, MIDDLE, LAST] {
            let fragment = request(7, 0x77, IS_LISTENING, zeros(4)).flags(flags);
            connection.send(&fragment.order(order));
            connection.expect_fault(fault(7, 0, UNK_IF).unexecuted());
        }
        connection.expect_alive(MANAGEMENT);
    }
}

/// C706 12.6.4.9, Windows' mapper on 42; protocol.md 9.2.
#[test]
fn an_operation_that_is_none_is_out_of_range() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound_to_mapper();
        for opnum in [9, 42, 64, 0xffff] {
            connection.send(&ask(7, opnum, vec![]).order(order));
            connection.expect_fault(fault(7, MAPPER, OP_RNG_ERROR).unexecuted());
        }
        expect_alive(&mut connection);
    }
    let mut connection = server.bound();
    for opnum in [5, 42, 0xffff] {
        connection.send(&request(7, MANAGEMENT, opnum, vec![]));
        connection.expect_fault(fault(7, MANAGEMENT, OP_RNG_ERROR).unexecuted());
    }
    connection.expect_alive(MANAGEMENT);
}

/// MS-RPCE 3.3.3.5.1, Windows (0x6f7, flags 03); protocol.md 9.3.
#[test]
fn a_stub_that_does_not_unmarshal_is_bad_stub_data() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound_to_mapper();
        let whole = written(&lookup(&NO_HANDLE, 1), order);
        for length in 0..whole.len() {
            connection.send(&ask(7, LOOKUP, raw(&whole[..length])).order(order));
            connection.expect_fault(fault(7, MAPPER, BAD_STUB_DATA));
        }
        expect_alive(&mut connection);
    }
}

/// C706 appendix E, MS-RPCE 3.1.1.5.5; the same of remote management; protocol.md 9.3.
#[test]
fn a_management_call_without_its_arguments_is_bad_stub_data() {
    let server = Server::start();
    let mut connection = server.bound();
    connection.send(&request(7, MANAGEMENT, INQ_STATS, vec![]));
    connection.expect_fault(fault(7, MANAGEMENT, BAD_STUB_DATA));
    connection.expect_alive(MANAGEMENT);
}

/// C706 appendix O, MS-RPCE 3.3.3.5.1: a page has 500 entries at most; protocol.md 9.13.
#[test]
fn a_page_above_its_range_is_bad_stub_data() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    for max_ents in [501, 0x8000_0000, u32::MAX] {
        connection.send(&ask(7, LOOKUP, lookup(&NO_HANDLE, max_ents)));
        connection.expect_fault(fault(7, MAPPER, BAD_STUB_DATA));
    }
    expect_alive(&mut connection);
}

/// C706 6.1, MS-RPCE 3.3.3.5.1; protocol.md 9.4.
#[test]
fn an_invented_context_handle_is_a_mismatch() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound_to_mapper();
        for invented in [[0xab; 20], [1; 20]] {
            connection.send(&ask(7, LOOKUP, lookup(&invented, 1)).order(order));
            connection.expect_fault(fault(7, MAPPER, CONTEXT_MISMATCH));
        }
        expect_alive(&mut connection);
    }
}

/// C706 6.1; protocol.md 9.4.
#[test]
fn a_freed_context_handle_is_a_mismatch() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    connection.send(&ask(2, LOOKUP, lookup(&NO_HANDLE, 1)));
    let handle: [u8; 20] = connection.response(2)[..20].try_into().unwrap();
    assert_ne!(handle, NO_HANDLE);
    connection.send(&ask(3, HANDLE_FREE, raw(&handle)));
    assert_eq!(
        connection.response(3),
        [0; 24],
        "a null handle, and status 0"
    );
    connection.send(&ask(4, LOOKUP, lookup(&handle, 1)));
    connection.expect_fault(fault(4, MAPPER, CONTEXT_MISMATCH));
    expect_alive(&mut connection);
}

/// C706 12.6.4.9; Samba's raw_protocol suite, which sends 45 of them; protocol.md 9.12.
#[test]
fn octets_behind_the_arguments_are_ignored() {
    let server = Server::start();
    let mut connection = server.bound();
    for spare in [1, 4, 45, 5000] {
        connection.send(&request(2, MANAGEMENT, IS_LISTENING, zeros(spare)));
        assert_eq!(connection.expect_response(2, MANAGEMENT).len(), 8);
    }
    let mut connection = server.bound_to_mapper();
    let mut stub = lookup(&NO_HANDLE, 1);
    stub.push(Field::Octets(vec![0xff; 45]));
    connection.send(&ask(3, LOOKUP, stub));
    connection.expect_response(3, MAPPER);
}

/// C706 12.6.4.7; a fault that leaves the connection alive leaves its other calls alone; protocol.md 9.14.
#[test]
fn a_fault_is_of_its_call_only() {
    let server = Server::start();
    let mut connection = server.bound();
    for call in 0..20 {
        connection.send(&request(call, MANAGEMENT, 0xffff, vec![]));
        connection.send(&request(call, 0x77, 0, vec![]));
        connection.expect_fault(fault(call, MANAGEMENT, OP_RNG_ERROR).unexecuted());
        connection.expect_fault(fault(call, 0, UNK_IF).unexecuted());
        connection.expect_alive(MANAGEMENT);
    }
}
