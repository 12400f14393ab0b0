//! The verifier at a PDU's end, as far as it needs no security provider: protocol.md 3.

use crate::connection::fault;
use crate::octets::*;
use crate::server::{MANAGEMENT, Server};

/// Authentication types that no server has: none, DCE's own, and two that mean nothing.
const NO_TYPES: [u8; 4] = [0, 1, 77, 100];
const SPNEGO: u8 = 9;

/// Levels that a bind may ask for.
const CONNECT: u8 = 2;
const LEVELS: [u8; 5] = [2, 3, 4, 5, 6];
/// Levels that it may not: default, none, and two that do not exist.
const NO_LEVELS: [u8; 4] = [0, 1, 7, 255];

fn simple_bind() -> Pdu {
    bind(&[context(MANAGEMENT, MGMT, &[NDR])])
}

fn simple_alter() -> Pdu {
    alter(&[context(MANAGEMENT, MGMT, &[NDR])])
}

/// MS-RPCE 2.2.2.11, Samba's raw_protocol suite; protocol.md 3.1.
#[test]
fn a_bind_whose_verifier_is_not_aligned_to_4_octets_is_refused_with_reason_0() {
    let server = Server::start();
    for pad in 1..=3 {
        let bind = simple_bind()
            .and(&vec![0; pad])
            .verifier(Verifier::new(SPNEGO, CONNECT));
        let mut connection = server.connect();
        connection.send(&bind);
        connection.expect_nak(&bind, NOT_SPECIFIED);
    }
}

/// MS-RPCE 2.2.2.11, Samba's raw_protocol suite; protocol.md 3.1.
#[test]
fn a_leg_whose_verifier_is_not_aligned_to_4_octets_is_a_protocol_error() {
    let server = Server::start();
    for leg in [simple_alter(), pdu(AUTH3, zeros(4))] {
        for pad in 1..=3 {
            let leg = leg.clone().call(7).and(&vec![0; pad]);
            let mut connection = server.bound();
            connection.send(&leg.verifier(Verifier::new(SPNEGO, CONNECT)));
            connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
        }
    }
}

/// MS-RPCE 2.2.2.11: neither aligned nor with as much stub as it says to pad; protocol.md 3.1 and 3.2.
///
/// Where nobody authenticated, servers may tell that first.
#[test]
fn a_request_with_an_ill_formed_verifier_ends_the_connection() {
    let server = Server::start();
    for (stub, pad) in [(1, 0), (2, 0), (3, 3), (0, 1), (4, 5), (4, 255)] {
        let request = request(7, MANAGEMENT, IS_LISTENING, zeros(stub));
        let verifier = Verifier::new(SPNEGO, CONNECT).pad_length(pad);
        let mut connection = server.bound();
        connection.send(&request.verifier(verifier));
        let answer = connection.answer();
        answer.check(FAULT, 7);
        let status = answer.u32(24);
        assert!(
            [PROTO_ERROR, ACCESS_DENIED].contains(&status),
            "{status:#x}"
        );
        connection.expect_end();
    }
}

/// MS-RPCE 2.2.2.11, Samba's raw_protocol suite: up to what fits behind 24 octets; protocol.md 3.3.
#[test]
fn a_bind_with_more_authentication_pad_than_fits_is_refused_with_reason_4() {
    let server = Server::start();
    for pad in [too_much_pad(&simple_bind()), 255] {
        let bind = simple_bind().verifier(Verifier::new(SPNEGO, CONNECT).pad_length(pad));
        let mut connection = server.connect();
        connection.send(&bind);
        connection.expect_nak(&bind, VERSION_NOT_SUPPORTED);
    }
}

/// MS-RPCE 2.2.2.11; Samba's raw_protocol suite: what fits is taken for pad, whatever it is; protocol.md 3.3.
#[test]
fn a_bind_with_authentication_pad_that_fits_is_judged_by_its_type() {
    let server = Server::start();
    for pad in [0, 1, too_much_pad(&simple_bind()) - 1] {
        let bind = simple_bind().verifier(Verifier::new(NO_TYPES[2], CONNECT).pad_length(pad));
        let mut connection = server.connect();
        connection.send(&bind);
        connection.expect_nak(&bind, AUTHENTICATION_TYPE_NOT_RECOGNIZED);
    }
}

/// MS-RPCE 2.2.2.11; the same of an alter_context; protocol.md 3.3.
#[test]
fn an_alter_context_with_more_authentication_pad_than_fits_is_a_protocol_error() {
    let server = Server::start();
    for pad in [too_much_pad(&simple_alter()), 255] {
        let alter = simple_alter().verifier(Verifier::new(SPNEGO, CONNECT).pad_length(pad));
        let mut connection = server.bound();
        connection.send(&alter);
        connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
    }
}

/// One more octet of pad than a PDU has behind the octets that it could not do without.
fn too_much_pad(pdu: &Pdu) -> u8 {
    u8::try_from(pdu.octets().len() - 24 + 1).unwrap()
}

/// Where auth_length stands.
const AUTH_LENGTH: usize = 10;

/// MS-RPCE 2.2.2.11, Samba's raw_protocol suite: frag_length >= 16 + 8 + auth_length; protocol.md 3.4.
#[test]
fn a_bind_without_room_for_its_verifier_is_refused_with_reason_4() {
    let server = Server::start();
    for bind in [simple_bind(), bind(&[])] {
        let room = u16::try_from(bind.octets().len() - 24).unwrap();
        for length in [room + 1, room + 8, 0xffff] {
            let mut connection = server.connect();
            connection.send_octets(&bind.with(AUTH_LENGTH, &length.to_le_bytes()));
            connection.expect_nak(&bind, VERSION_NOT_SUPPORTED);
        }
    }
}

/// MS-RPCE 2.2.2.11: frag_length >= 16 + 8 + auth_length; protocol.md 3.4.
#[test]
fn a_pdu_without_room_for_its_verifier_is_a_protocol_error() {
    let server = Server::start();
    let pdus = [
        simple_alter(),
        pdu(AUTH3, zeros(4)),
        request(1, MANAGEMENT, IS_LISTENING, vec![]),
    ];
    for pdu in pdus {
        let pdu = pdu.call(7);
        let room = u16::try_from(pdu.octets().len().saturating_sub(24)).unwrap();
        for length in [room + 1, 0xffff] {
            let mut connection = server.bound();
            connection.send_octets(&pdu.with(AUTH_LENGTH, &length.to_le_bytes()));
            connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
        }
    }
}

/// MS-RPCE 2.2.2.5, 3.3.1.5.2.2; Samba's raw_protocol suite; protocol.md 3.5.
#[test]
fn a_bind_of_an_unknown_authentication_type_is_refused_with_reason_8() {
    let server = Server::start();
    for auth_type in NO_TYPES {
        for level in LEVELS {
            let bind = simple_bind().verifier(Verifier::new(auth_type, level));
            let mut connection = server.connect();
            connection.send(&bind);
            connection.expect_nak(&bind, AUTHENTICATION_TYPE_NOT_RECOGNIZED);
        }
    }
}

/// MS-RPCE 2.2.1.1.8; Samba's raw_protocol suite; protocol.md 3.6.
#[test]
fn a_bind_of_an_authentication_level_that_is_none_is_refused_with_reason_0() {
    let server = Server::start();
    for auth_type in [NO_TYPES[0], NO_TYPES[1], SPNEGO] {
        for level in NO_LEVELS {
            let bind = simple_bind().verifier(Verifier::new(auth_type, level));
            let mut connection = server.connect();
            connection.send(&bind);
            connection.expect_nak(&bind, NOT_SPECIFIED);
        }
    }
}

/// MS-RPCE 3.3.1.5.2.2; Samba's raw_protocol suite; protocol.md 3.7 and 9.6.
#[test]
fn a_verifier_on_a_connection_that_never_authenticated_is_denied() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        for (auth_type, level) in [
            (0, 1),
            (0, 2),
            (0, 3),
            (0, 4),
            (SPNEGO, 2),
            (10, 5),
            (100, 6),
        ] {
            let mut connection = server.bound();
            connection.expect_alive(MANAGEMENT);
            let request = request(7, MANAGEMENT, IS_LISTENING, vec![]).order(order);
            connection.send(&request.verifier(Verifier::new(auth_type, level)));
            connection.expect_last_fault(fault(7, MANAGEMENT, ACCESS_DENIED));
        }
    }
}

/// MS-RPCE 3.3.1.5.2.2: an alter_context may begin an authentication, but not of no type; protocol.md 3.7.
#[test]
fn an_alter_context_of_authentication_type_none_is_denied() {
    let server = Server::start();
    let mut connection = server.bound();
    connection.send(&simple_alter().verifier(Verifier::new(0, CONNECT)));
    connection.expect_last_fault(fault(2, 0, ACCESS_DENIED).unexecuted());
}
