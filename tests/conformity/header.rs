//! The common header: protocol.md 1.

use crate::connection::{Connection, fault};
use crate::octets::*;
use crate::server::{MANAGEMENT, Server};

/// Where the header's fields stand.
const VERSION: usize = 0;
const LABEL: usize = 4;
const FRAG_LENGTH: usize = 8;

/// Labels of data that no implementation has to read: characters, floating point numbers, what is reserved.
const FOREIGN_LABELS: [[u8; 4]; 8] = [
    [0x11, 0, 0, 0],
    [0x01, 0, 0, 0],
    [0x20, 0, 0, 0],
    [0x10, 1, 0, 0],
    [0x10, 2, 0, 0],
    [0x10, 3, 0, 0],
    [0x10, 0, 1, 0],
    [0x10, 0, 0, 1],
];

fn simple_bind() -> Pdu {
    bind(&[context(MANAGEMENT, MGMT, &[NDR])])
}

fn ping(call: u32) -> Pdu {
    request(call, MANAGEMENT, IS_LISTENING, vec![])
}

/// C706 12.6.3.1 rpc_vers; protocol.md 1.1.
#[test]
fn a_bind_of_another_version_is_refused_with_reason_4() {
    let server = Server::start();
    for version in [0, 4, 6, 255] {
        let mut connection = server.connect();
        connection.send_octets(&simple_bind().with(VERSION, &[version, 0]));
        connection.expect_nak(&simple_bind(), VERSION_NOT_SUPPORTED);
    }
}

/// C706 12.6.3.1 rpc_vers_minor; protocol.md 1.1.
#[test]
fn a_bind_of_another_minor_version_is_refused_with_reason_4() {
    let server = Server::start();
    for minor in [1, 2, 255] {
        let mut connection = server.connect();
        connection.send_octets(&simple_bind().with(VERSION, &[5, minor]));
        connection.expect_nak(&simple_bind(), VERSION_NOT_SUPPORTED);
    }
}

/// C706 12.6.3.1 rpc_vers, rpc_vers_minor; protocol.md 1.1.
#[test]
fn another_version_on_a_bound_connection_is_a_protocol_error() {
    let server = Server::start();
    for version in [[4, 0], [5, 1], [6, 0]] {
        let mut connection = server.bound();
        connection.send_octets(&ping(7).with(VERSION, &version));
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
}

/// C706 12.6.3.1, Windows' answer to the negotiate request of SMB; protocol.md 1.1.
#[test]
fn octets_that_are_no_rpc_are_refused_with_reason_4() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send_octets(b"\0\0\0\xa4\xffSMBr\0\0\0\0\x08\x01\x40 and more");
    let expected = b"\x05\0\x0d\x03\x10\0\0\0\x18\0\0\0\0\x08\x01\x40\x04\0\x01\x05\0\0\0\0";
    assert_eq!(connection.answer().octets, expected);
    connection.expect_end();
}

/// C706 12.6.3.1 packed_drep, 14.1; protocol.md 1.2.
#[test]
fn integers_are_read_in_the_order_of_the_label() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound_by(simple_bind().order(order));
        connection.send(&ping(0x0102_0304).order(order));
        connection.expect_response(0x0102_0304, MANAGEMENT);
    }
}

/// C706 14.1: each PDU's label holds for itself; protocol.md 1.2.
#[test]
fn the_order_may_change_from_call_to_call() {
    let server = Server::start();
    let mut connection = server.bound();
    for (call, order) in [(2, Order::Big), (3, Order::Little), (4, Order::Big)] {
        connection.send(&ping(call).order(order));
        connection.expect_response(call, MANAGEMENT);
    }
}

/// MS-RPCE 2.2.5: stubs of NDR64 are little-endian; protocol.md 1.2.
#[test]
fn a_big_endian_call_over_ndr64_does_not_unmarshal() {
    let server = Server::start();
    let mut connection = server.bound_with(&[context(MANAGEMENT, MGMT, &[NDR64])]);
    for opnum in [INQ_IF_IDS, INQ_STATS, IS_LISTENING] {
        connection.send(&request(7, MANAGEMENT, opnum, zeros(16)).order(Order::Big));
        connection.expect_fault(fault(7, MANAGEMENT, BAD_STUB_DATA));
    }
    connection.expect_alive(MANAGEMENT);
}

/// C706 12.6.3.1 packed_drep, 14.1; protocol.md 1.2.
#[test]
fn a_bind_with_a_foreign_label_is_refused_with_reason_4() {
    let server = Server::start();
    for label in FOREIGN_LABELS {
        let mut connection = server.connect();
        let order = match label[0] >> 4 {
            1 => Order::Little,
            _ => Order::Big,
        };
        connection.send_octets(&simple_bind().order(order).with(LABEL, &label));
        let answer = connection.answer();
        assert_eq!(answer.ptype(), BIND_NAK, "{label:02x?}");
        assert_eq!(answer.u16(16), VERSION_NOT_SUPPORTED, "{label:02x?}");
        connection.expect_end();
    }
}

/// C706 12.6.3.1 packed_drep, 14.1; protocol.md 1.2.
#[test]
fn a_foreign_label_on_a_bound_connection_is_a_protocol_error() {
    let server = Server::start();
    for label in FOREIGN_LABELS.iter().filter(|label| label[0] >> 4 == 1) {
        let mut connection = server.bound();
        connection.send_octets(&ping(7).with(LABEL, label));
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
}

/// C706 12.6.3.1 frag_length; protocol.md 1.3.
#[test]
fn a_fragment_shorter_than_its_header_ends_the_connection() {
    let server = Server::start();
    for length in [0u16, 1, 10, 15] {
        let length = length.to_le_bytes();
        let mut connection = server.connect();
        connection.send_octets(&simple_bind().with(FRAG_LENGTH, &length));
        connection.expect_end_whatever_comes();
        let mut connection = server.bound();
        connection.send_octets(&ping(7).with(FRAG_LENGTH, &length));
        connection.expect_end_whatever_comes();
    }
}

/// C706 12.6.3.1 frag_length; protocol.md 1.3.
#[test]
fn a_pdu_ends_where_its_length_says_and_not_where_a_segment_does() {
    let server = Server::start();
    let mut connection = server.connect();
    for octet in simple_bind().octets() {
        connection.send_octets(&[octet]);
    }
    connection.ack(&simple_bind());
    for octet in ping(2).octets() {
        connection.send_octets(&[octet]);
    }
    connection.expect_response(2, MANAGEMENT);
    connection.send_octets(&[ping(3).octets(), ping(4).octets()].concat());
    connection.expect_response(3, MANAGEMENT);
    connection.expect_response(4, MANAGEMENT);
}

/// C706 12.6.3.1 frag_length: a bind and the first call in one segment; protocol.md 1.3.
#[test]
fn a_call_may_follow_its_bind_at_once() {
    let server = Server::start();
    let mut connection = server.connect();
    connection.send_octets(&[simple_bind().octets(), ping(2).octets()].concat());
    connection.ack(&simple_bind());
    connection.expect_response(2, MANAGEMENT);
}

/// C706 12.6.3.1 call_id; protocol.md 1.4.
#[test]
fn every_answer_repeats_the_call_id() {
    let server = Server::start();
    for call in [0, 1, 0x0102_0304, u32::MAX] {
        let mut connection = server.bound_by(simple_bind().call(call));
        let again = alter(&[context(MANAGEMENT, MGMT, &[NDR])]).call(call);
        assert_eq!(connection.negotiate(&again), [ACCEPTED]);
        connection.send(&ping(call));
        connection.expect_response(call, MANAGEMENT);
        connection.send(&request(call, MANAGEMENT, 0xffff, vec![]));
        connection.expect_fault(fault(call, MANAGEMENT, OP_RNG_ERROR).unexecuted());
        let second = simple_bind().call(call);
        connection.send(&second);
        connection.expect_nak(&second, NOT_SPECIFIED);
    }
}

/// C706 12.6.3.1 call_id: the server asks for no order and no uniqueness of finished calls; protocol.md 1.4.
#[test]
fn a_call_id_may_come_again_and_in_any_order() {
    let server = Server::start();
    let mut connection = server.bound();
    for call in [9, 9, 3, 9, 1] {
        connection.send(&ping(call));
        connection.expect_response(call, MANAGEMENT);
    }
}

/// A PDU of some type on a bound connection.
fn stranger(connection: &mut Connection, ptype: u8) {
    connection.send(&pdu(ptype, zeros(40)).call(7));
}

/// C706 12.1: types of the connectionless protocol; protocol.md 1.5.
#[test]
fn packet_types_of_the_connectionless_protocol_are_protocol_errors() {
    let server = Server::start();
    for ptype in [1, 4, 5, 6, 7, 8, 9, 10] {
        let mut connection = server.bound();
        stranger(&mut connection, ptype);
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
}

/// C706 12.1: types of answers; protocol.md 1.5 and 9.10.
#[test]
fn packet_types_that_only_a_server_sends_are_protocol_errors() {
    let server = Server::start();
    for ptype in [RESPONSE, FAULT, BIND_ACK, BIND_NAK, ALTER_CONTEXT_RESP] {
        let mut connection = server.bound();
        stranger(&mut connection, ptype);
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
}

/// C706 12.1, MS-RPCH 2.2.3.1 (20, RTS, belongs to RPC over HTTP); protocol.md 1.5 and 9.10.
#[test]
fn unknown_packet_types_are_protocol_errors() {
    let server = Server::start();
    for ptype in [20, 21, 0x7f, 0xff] {
        let mut connection = server.bound();
        stranger(&mut connection, ptype);
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
}

/// MS-RPCE 2.2.2.3, Windows and Samba's raw_protocol suite: all 256 combinations, none among them; protocol.md 1.6.
#[test]
fn a_bind_with_any_flags_is_accepted() {
    let server = Server::start();
    for flags in 0..=255 {
        let bind = simple_bind().flags(flags);
        let mut connection = server.connect();
        connection.send(&bind);
        let ack = connection.ack(&bind);
        let expected = WHOLE | flags & (HEADER_SIGN | CONC_MPX);
        assert_eq!(ack.flags, expected, "flags {flags:02x}");
        assert_eq!(ack.results, [ACCEPTED], "flags {flags:02x}");
        connection.expect_alive(MANAGEMENT);
    }
}

/// C706 12.6.3.1; Samba's raw_protocol suite, written against Windows: all 256 combinations; protocol.md 1.6.
#[test]
fn an_alter_context_with_any_flags_is_answered_without_multiplexing() {
    let server = Server::start();
    let mut connection = server.bound();
    for flags in 0..=255 {
        let again = alter(&[context(MANAGEMENT, MGMT, &[NDR])]).flags(flags);
        connection.send(&again);
        let ack = connection.ack(&again);
        assert_eq!(ack.flags, WHOLE | flags & HEADER_SIGN, "flags {flags:02x}");
        assert_eq!(ack.results, [ACCEPTED], "flags {flags:02x}");
    }
    connection.expect_alive(MANAGEMENT);
}

/// C706 12.6.3.1, Samba's raw_protocol suite; protocol.md 1.6.
#[test]
fn flags_that_mean_nothing_on_a_request_are_ignored() {
    let server = Server::start();
    let mut connection = server.bound();
    for flag in [RESERVED_FLAG, CONC_MPX, DID_NOT_EXECUTE] {
        connection.send(&ping(2).flags(WHOLE | flag));
        connection.expect_response(2, MANAGEMENT);
    }
}

/// C706 12.6.4.9 PFC_MAYBE; protocol.md 1.6.
#[test]
fn a_maybe_call_is_not_answered() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        connection.send(&ping(2).flags(WHOLE | MAYBE).order(order));
        connection.send(&ping(3).flags(FIRST | MAYBE).order(order));
        connection.send(&ping(3).flags(LAST).order(order));
        connection.expect_alive(MANAGEMENT);
    }
}

/// C706 12.6.4.9 PFC_MAYBE: a call that fails is not answered either; protocol.md 1.6.
#[test]
fn a_maybe_call_that_fails_is_not_answered() {
    let server = Server::start();
    let mut connection = server.bound();
    let calls = [(MANAGEMENT, 0xffff), (0x77, IS_LISTENING)];
    for (context, opnum) in calls {
        connection.send(&request(2, context, opnum, vec![]).flags(WHOLE | MAYBE));
    }
    connection.expect_alive(MANAGEMENT);
}
