//! Fragments of calls, their order, and several calls at once: protocol.md 8.

use crate::connection::{Connection, fault};
use crate::octets::*;
use crate::server::{MANAGEMENT, MAPPER, Server};

/// Octets of stub that one call may have.
const MOST: usize = 4 << 20;

/// Octets of stub in the longest fragment.
const CHUNK: usize = 5840 - REQUEST_HEAD;

/// A fragment of a call of the management interface, with four octets of stub.
fn fragment(call: u32, flags: u8) -> Pdu {
    request(call, MANAGEMENT, IS_LISTENING, zeros(4)).flags(flags)
}

/// A connection with or without multiplexing.
fn bound(server: &Server, multiplexing: bool) -> Connection {
    match multiplexing {
        true => server.bound_with_multiplexing(),
        false => server.bound(),
    }
}

/// Sends `pdus` in either byte order, on a connection of their own, and gives it to `check`.
fn in_both_orders(
    server: &Server,
    multiplexing: bool,
    pdus: &[Pdu],
    check: impl Fn(&mut Connection),
) {
    for order in BOTH_ORDERS {
        let mut connection = bound(server, multiplexing);
        for pdu in pdus {
            connection.send(&pdu.clone().order(order));
        }
        check(&mut connection);
    }
}

/// C706 12.6.3: stubs are joined in their order, wherever they were cut; protocol.md 8.1.
#[test]
fn a_call_cut_at_any_octet_is_the_same_call() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    let arguments = lookup(&NO_HANDLE, 3);
    connection.send(&request(1, MAPPER, LOOKUP, arguments.clone()));
    let expected = connection.response(1).len();
    for order in BOTH_ORDERS {
        let stub = written(&arguments, order);
        for cut in 0..=stub.len() {
            let (head, tail) = stub.split_at(cut);
            let [first, last] = [(head, FIRST), (tail, LAST)].map(|(part, flags)| {
                request(2, MAPPER, LOOKUP, raw(part))
                    .flags(flags)
                    .order(order)
            });
            connection.send(&first);
            connection.send(&last);
            assert_eq!(connection.response(2).len(), expected, "cut at {cut}");
        }
    }
}

/// C706 12.6.3: as many fragments as octets, and some without any; protocol.md 8.1.
#[test]
fn a_call_may_come_in_many_small_fragments() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    let stub = written(&lookup(&NO_HANDLE, 3), Order::Little);
    connection.send(&request(2, MAPPER, LOOKUP, vec![]).flags(FIRST));
    for octet in stub {
        connection.send(&request(2, MAPPER, LOOKUP, raw(&[octet])).flags(MIDDLE));
        connection.send(&request(2, MAPPER, LOOKUP, vec![]).flags(MIDDLE));
    }
    connection.send(&request(2, MAPPER, LOOKUP, vec![]).flags(LAST));
    assert!(!connection.response(2).is_empty());
}

/// C706 12.6.3, Samba: the first fragment's context id and operation hold for the call; protocol.md 8.1.
#[test]
fn context_id_and_operation_of_later_fragments_are_ignored() {
    let server = Server::start();
    for multiplexing in [false, true] {
        let mut connection = bound(&server, multiplexing);
        connection.send(&request(2, MANAGEMENT, IS_LISTENING, zeros(4)).flags(FIRST));
        connection.send(&request(2, 0x77, 0xffff, zeros(4)).flags(MIDDLE));
        connection.send(&request(2, 0x78, 0xfffe, zeros(4)).flags(LAST));
        connection.expect_response(2, MANAGEMENT);
    }
}

/// C706 12.6.4.9: the first fragment's object holds for the call; protocol.md 8.1.
#[test]
fn the_object_stands_in_front_of_each_stub_that_says_so() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    let stub = written(&lookup(&NO_HANDLE, 3), Order::Little);
    let (head, tail) = stub.split_at(10);
    for flagged in [false, true] {
        let mut last = request(2, MAPPER, LOOKUP, raw(tail)).flags(LAST);
        if flagged {
            last = last.object(FOREIGN.uuid);
        }
        connection.send(
            &request(2, MAPPER, LOOKUP, raw(head))
                .flags(FIRST)
                .object(FOREIGN.uuid),
        );
        connection.send(&last);
        assert!(!connection.response(2).is_empty());
    }
}

/// C706 14.1, Samba: the label of the first fragment holds for the call; protocol.md 8.2.
#[test]
fn a_later_fragment_of_another_byte_order_is_a_protocol_error() {
    let server = Server::start();
    for (one, other) in [(Order::Little, Order::Big), (Order::Big, Order::Little)] {
        let mut connection = server.bound();
        connection.send(&fragment(2, FIRST).order(one));
        connection.send(&fragment(2, LAST).order(other));
        connection.expect_last_fault(fault(2, MANAGEMENT, PROTO_ERROR).unexecuted());
    }
}

/// C706 12.6.4.9; Samba's raw_protocol suite: it is advice, on a call of one fragment; protocol.md 8.3.
#[test]
fn the_alloc_hint_of_a_whole_call_means_nothing() {
    let server = Server::start();
    let mut connection = server.bound();
    for hint in [0, 1, 4 << 20, (4 << 20) + 1, u32::MAX] {
        connection.send(&request(2, MANAGEMENT, INQ_IF_IDS, vec![]).alloc_hint(hint));
        assert!(!connection.expect_response(2, MANAGEMENT).is_empty());
        let stub = vec![Field::U32(4), Field::U32(0)];
        connection.send(&request(3, MANAGEMENT, INQ_STATS, stub).alloc_hint(hint));
        assert_eq!(connection.expect_response(3, MANAGEMENT).len(), 28);
    }
}

/// MS-RPCE 3.3.3.5.4, Samba's raw_protocol suite; protocol.md 8.3.
#[test]
fn the_alloc_hint_of_a_first_fragment_may_tell_4_mib_and_no_more() {
    let server = Server::start();
    for hint in [0, 1, 1 << 20, 4 << 20] {
        let mut connection = server.bound();
        connection.send(&fragment(2, FIRST).alloc_hint(hint));
        connection.send(&fragment(2, LAST));
        connection.expect_response(2, MANAGEMENT);
    }
    for hint in [(4 << 20) + 1, u32::MAX] {
        in_both_orders(
            &server,
            false,
            &[fragment(2, FIRST).alloc_hint(hint)],
            |connection| {
                connection.expect_last_fault(fault(2, MANAGEMENT, ACCESS_DENIED));
            },
        );
    }
}

/// Sends `length` octets of stub in the longest fragments; the last one with `last`.
fn send_long_call(connection: &mut Connection, length: usize, last: u8) {
    let count = length.div_ceil(CHUNK);
    for index in 0..count {
        let chunk = CHUNK.min(length - index * CHUNK);
        let mut flags = if index == 0 { FIRST } else { MIDDLE };
        if index + 1 == count {
            flags |= last;
        }
        let stub = zeros(chunk);
        let pdu = request(2, MANAGEMENT, IS_LISTENING, stub).flags(flags);
        connection.send(&pdu.alloc_hint(0));
    }
}

/// MS-RPCE 3.3.3.5.4, Samba's raw_protocol suite; protocol.md 8.4.
#[test]
fn a_call_of_4_mib_is_answered() {
    let server = Server::start();
    let mut connection = server.bound();
    for _ in 0..2 {
        send_long_call(&mut connection, MOST, LAST);
        connection.expect_response(2, MANAGEMENT);
    }
}

/// MS-RPCE 3.3.3.5.4, Samba's raw_protocol suite: as soon as it is longer; protocol.md 8.4.
#[test]
fn a_call_above_4_mib_is_denied() {
    let server = Server::start();
    for last in [LAST, MIDDLE] {
        let mut connection = server.bound();
        send_long_call(&mut connection, MOST + 1, last);
        connection.expect_last_fault(fault(2, MANAGEMENT, ACCESS_DENIED));
    }
}

/// C706 12.6.3, Samba's raw_protocol suite: no call is known, so no context is named; protocol.md 8.5.
#[test]
fn a_call_that_does_not_begin_with_its_first_fragment_is_a_protocol_error() {
    let server = Server::start();
    for flags in [MIDDLE, LAST, LAST | PENDING_CANCEL] {
        in_both_orders(&server, false, &[fragment(7, flags)], |connection| {
            connection.expect_last_fault(fault(7, 0, PROTO_ERROR));
        });
    }
}

/// MS-RPCE 3.3.1.5.8; Samba's raw_protocol suite, `MPX_middle_alone`: the fault names its context; protocol.md 8.5.
#[test]
fn with_multiplexing_a_lone_fragment_is_a_protocol_error_of_its_context() {
    let server = Server::start();
    for flags in [MIDDLE, LAST, LAST | PENDING_CANCEL] {
        in_both_orders(&server, true, &[fragment(7, flags)], |connection| {
            connection.expect_last_fault(fault(7, MANAGEMENT, PROTO_ERROR));
        });
    }
}

/// C706 12.6.3; Samba's raw_protocol suite, with all flags that it tries; protocol.md 8.6.
#[test]
fn a_first_fragment_that_comes_twice_is_a_protocol_error() {
    let server = Server::start();
    for multiplexing in [false, true] {
        for flags in [0, LAST, MAYBE, DID_NOT_EXECUTE, CONC_MPX, RESERVED_FLAG] {
            let pdus = [
                fragment(7, FIRST | flags & !LAST),
                fragment(7, FIRST | flags),
            ];
            in_both_orders(&server, multiplexing, &pdus, |connection| {
                connection.expect_last_fault(fault(7, MANAGEMENT, PROTO_ERROR));
            });
        }
    }
}

/// C706 12.6.3; Samba's raw_protocol suite, `mix_requests`; protocol.md 8.7.
#[test]
fn another_call_between_the_fragments_of_one_is_a_protocol_error_of_the_first() {
    let server = Server::start();
    for flags in [FIRST, WHOLE] {
        let pdus = [fragment(50, FIRST), fragment(51, flags)];
        in_both_orders(&server, false, &pdus, |connection| {
            connection.expect_last_fault(fault(50, MANAGEMENT, PROTO_ERROR));
        });
    }
}

/// MS-RPCE 3.3.1.5.8; Samba's raw_protocol suite: one incomplete call for each connection, even so; protocol.md
/// 8.8.
#[test]
fn with_multiplexing_it_is_a_protocol_error_of_the_second() {
    let server = Server::start();
    for flags in [FIRST, WHOLE] {
        let pdus = [fragment(50, FIRST), fragment(51, flags)];
        in_both_orders(&server, true, &pdus, |connection| {
            connection.expect_last_fault(fault(51, 0, PROTO_ERROR));
        });
    }
}

/// C706 12.6.3; Samba's raw_protocol suite; protocol.md 8.9.
#[test]
fn a_later_fragment_of_another_call_is_a_protocol_error_of_the_incomplete_one() {
    let server = Server::start();
    for flags in [MIDDLE, LAST] {
        let pdus = [fragment(50, FIRST), fragment(51, flags)];
        in_both_orders(&server, false, &pdus, |connection| {
            connection.expect_last_fault(fault(50, MANAGEMENT, PROTO_ERROR));
        });
    }
}

/// MS-RPCE 3.3.1.5.8; Samba's raw_protocol suite; protocol.md 8.9.
#[test]
fn with_multiplexing_it_is_a_protocol_error_of_the_other_call() {
    let server = Server::start();
    for flags in [MIDDLE, LAST] {
        let pdus = [fragment(50, FIRST), fragment(51, flags)];
        in_both_orders(&server, true, &pdus, |connection| {
            connection.expect_last_fault(fault(51, 0, PROTO_ERROR));
        });
    }
}

/// MS-RPCE 3.3.1.5.8; Samba's raw_protocol suite, `MPX_middle_all_111`; protocol.md 8.10.
#[test]
fn with_multiplexing_a_lone_fragment_of_an_unknown_context_is_no_end() {
    let server = Server::start();
    for flags in [MIDDLE, LAST] {
        let stray = request(7, 0x77, IS_LISTENING, zeros(4)).flags(flags);
        in_both_orders(&server, true, &[stray], |connection| {
            connection.expect_fault(fault(7, 0, UNK_IF).unexecuted());
            connection.expect_alive(MANAGEMENT);
        });
    }
}

/// MS-RPCE 3.3.1.5.8; the same without multiplexing; protocol.md 8.5.
#[test]
fn without_multiplexing_a_lone_fragment_of_an_unknown_context_is_a_protocol_error() {
    let server = Server::start();
    let stray = request(7, 0x77, IS_LISTENING, zeros(4)).flags(MIDDLE);
    in_both_orders(&server, false, &[stray], |connection| {
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR));
    });
}

/// MS-RPCE 2.2.2.3; Samba's raw_protocol suite, `first_cancel_requests`; protocol.md 8.11.
#[test]
fn a_call_that_begins_cancelled_is_not_active() {
    let server = Server::start();
    for flags in [FIRST, WHOLE] {
        let pdus = [fragment(7, flags | PENDING_CANCEL)];
        in_both_orders(&server, false, &pdus, |connection| {
            connection.expect_last_fault(fault(7, 0, NO_CALL_ACTIVE).unexecuted());
        });
    }
}

/// MS-RPCE 2.2.2.3; Samba's raw_protocol suite, `2nd_cancel_requests`, `last_cancel_requests`; protocol.md 8.12.
#[test]
fn a_cancel_told_by_later_fragments_is_ignored() {
    let server = Server::start();
    let pdus = [
        fragment(7, FIRST),
        fragment(7, MIDDLE | PENDING_CANCEL),
        fragment(7, LAST | PENDING_CANCEL),
    ];
    in_both_orders(&server, false, &pdus, |connection| {
        connection.expect_response(7, MANAGEMENT);
    });
}

/// C706 12.6.4.6, 12.6.4.8; Samba's raw_protocol suite: known call or unknown, with multiplexing or without;
/// protocol.md 8.13.
#[test]
fn a_cancel_or_orphaned_leaves_an_incomplete_call_as_it_is() {
    let server = Server::start();
    for multiplexing in [false, true] {
        for ptype in [CO_CANCEL, ORPHANED] {
            for call in [7, 8] {
                let pdus = [
                    fragment(7, FIRST),
                    pdu(ptype, vec![]).call(call),
                    fragment(7, LAST),
                ];
                in_both_orders(&server, multiplexing, &pdus, |connection| {
                    connection.expect_response(7, MANAGEMENT);
                    connection.expect_alive(MANAGEMENT);
                });
            }
        }
    }
}

/// C706 12.6.4.8; Samba's raw_protocol suite, `orphaned_request_after_first_no_last`; protocol.md 8.14.
#[test]
fn an_orphaned_call_is_still_incomplete() {
    let server = Server::start();
    let pdus = [
        fragment(7, FIRST),
        pdu(ORPHANED, vec![]).call(7),
        fragment(8, WHOLE),
    ];
    in_both_orders(&server, false, &pdus, |connection| {
        connection.expect_last_fault(fault(7, MANAGEMENT, PROTO_ERROR));
    });
    in_both_orders(&server, true, &pdus, |connection| {
        connection.expect_last_fault(fault(8, 0, PROTO_ERROR));
    });
}

/// MS-RPCE 3.3.1.5.8; Samba's mapper answers them so, its core would end the connection; protocol.md 8.15.
#[test]
fn calls_sent_at_once_are_answered_in_their_order() {
    let server = Server::start();
    for multiplexing in [false, true] {
        let mut connection = bound(&server, multiplexing);
        let calls: Vec<_> = (100..140)
            .map(|call| fragment(call, WHOLE).octets())
            .collect();
        connection.send_octets(&calls.concat());
        for call in 100..140 {
            connection.expect_response(call, MANAGEMENT);
        }
    }
}

/// MS-RPCE 3.3.1.5.8; a bound on what waits: the rest is read as calls are answered; protocol.md 8.15.
#[test]
fn more_calls_at_once_than_may_wait_are_all_answered() {
    let server = Server::start();
    let mut connection = server.bound();
    let calls: Vec<_> = (0..1000)
        .map(|call| fragment(call, WHOLE).octets())
        .collect();
    connection.send_octets(&calls.concat());
    for call in 0..1000 {
        connection.expect_response(call, MANAGEMENT);
    }
}

/// MS-RPCE 3.3.1.5.8; answers that need no call wait for the calls before them; protocol.md 8.15.
#[test]
fn faults_and_alter_context_resps_keep_the_order_of_calls() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    let again = alter(&[context(MAPPER, EPT, &[NDR])]).call(5);
    let pdus = [
        request(2, MAPPER, LOOKUP, lookup(&NO_HANDLE, 500)),
        request(3, 0x77, LOOKUP, vec![]),
        request(4, MAPPER, LOOKUP, lookup(&NO_HANDLE, 500)),
        again.clone(),
        request(6, MAPPER, 0xffff, vec![]),
        fragment(7, LAST),
    ];
    connection.send_octets(&pdus.iter().flat_map(Pdu::octets).collect::<Vec<_>>());
    let stub = connection.response(2);
    connection.expect_fault(fault(3, 0, UNK_IF).unexecuted());
    assert_eq!(connection.response(4).len(), stub.len());
    assert_eq!(connection.ack(&again).results, [ACCEPTED]);
    connection.expect_fault(fault(6, MAPPER, OP_RNG_ERROR).unexecuted());
    connection.expect_last_fault(fault(7, 0, PROTO_ERROR));
}
