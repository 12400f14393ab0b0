//! What stands where in each PDU: protocol.md 2.

use crate::connection::fault;
use crate::octets::*;
use crate::server::{MANAGEMENT, MAPPER, Server};

/// Where a bind's reserved octets stand: behind the count of elements, and in the first element.
const RESERVED: usize = 25;
const ELEMENT_RESERVED: usize = 31;

/// Where the first element's abstract syntax has its version.
const INTERFACE_VERSION: usize = 48;

/// C706 12.6.3.1 p_syntax_id_t: the version is one integer, the major version its low half; protocol.md 2.1.
#[test]
fn the_version_of_a_syntax_is_one_integer() {
    let server = Server::start();
    let bind = bind(&[context(0, EPT, &[NDR])]);
    for (order, right, exchanged) in [
        (Order::Little, [3, 0, 0, 0], [0, 0, 3, 0]),
        (Order::Big, [0, 0, 0, 3], [0, 3, 0, 0]),
    ] {
        let bind = bind.clone().order(order);
        for (version, result) in [(right, ACCEPTED), (exchanged, NO_INTERFACE)] {
            let mut connection = server.connect();
            connection.send_octets(&bind.with(INTERFACE_VERSION, &version));
            assert_eq!(connection.ack(&bind).results, [result], "{version:?}");
        }
    }
}

/// C706 12.6.4.3, 12.6.4.1; protocol.md 2.2.
#[test]
fn reserved_octets_of_a_bind_and_an_alter_context_are_ignored() {
    let server = Server::start();
    let list = [context(MANAGEMENT, MGMT, &[NDR])];
    let mut connection = server.connect();
    for pdu in [bind(&list), alter(&list)] {
        let mut octets = pdu.with(RESERVED, &[0xff; 3]);
        octets[ELEMENT_RESERVED] = 0xff;
        connection.send_octets(&octets);
        assert_eq!(connection.ack(&pdu).results, [ACCEPTED]);
    }
}

/// C706 12.6.4.3: what is left of a bind behind its elements means nothing; protocol.md 2.2.
#[test]
fn octets_behind_the_context_list_are_ignored() {
    let server = Server::start();
    let list = [context(MANAGEMENT, MGMT, &[NDR])];
    let mut connection = server.connect();
    for pdu in [bind(&list), alter(&list)] {
        assert_eq!(connection.negotiate(&pdu.and(&[0xaa; 12])), [ACCEPTED]);
    }
}

/// C706 12.6.4.3: a list that promises more elements or syntaxes than there are; protocol.md 2.2.
#[test]
fn a_bind_shorter_than_its_list_ends_the_connection() {
    const COUNT: usize = 24;
    const SYNTAXES: usize = 30;
    let server = Server::start();
    let bind = bind(&[context(MANAGEMENT, MGMT, &[NDR])]);
    for (at, count) in [(COUNT, 2), (COUNT, 255), (SYNTAXES, 2), (SYNTAXES, 255)] {
        let mut connection = server.connect();
        connection.send_octets(&bind.with(at, &[count]));
        connection.expect_end_whatever_comes();
    }
}

/// C706 12.6.4.1: the same of an alter_context; protocol.md 2.2.
#[test]
fn an_alter_context_shorter_than_its_list_ends_the_connection() {
    let server = Server::start();
    let alter = alter(&[context(MANAGEMENT, MGMT, &[NDR])]);
    for (at, count) in [(24, 2), (30, 2)] {
        let mut connection = server.bound();
        connection.send_octets(&alter.with(at, &[count]));
        connection.expect_end_whatever_comes();
    }
}

/// C706 12.6.4.4, octet by octet; the pad behind the port is zero; protocol.md 2.3.
#[test]
fn a_bind_ack_has_every_field_in_its_place() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let list = [
            context(0, EPT, &[NDR]),
            context(1, FOREIGN, &[NDR]),
            context(2, EPT, &[features(0)]),
        ];
        let bind = bind(&list).sizes(4280, 4280).order(order).call(0x0506_0708);
        let mut connection = server.connect();
        connection.send(&bind);
        let answer = connection.answer();
        let address = [server.port().to_string().as_bytes(), &[0]].concat();
        let pad = (26 + address.len()).next_multiple_of(4) - 26 - address.len();
        let mut expected = vec![
            Field::Octets(vec![5, 0, BIND_ACK, WHOLE]),
            Field::Octets(answer.order.label().to_vec()),
            Field::U16(u16::try_from(26 + address.len() + pad + 4 + 3 * 24).unwrap()),
            Field::U16(0),
            Field::U32(0x0506_0708),
            Field::U16(4280),
            Field::U16(4280),
            Field::U32(answer.u32(20)),
            Field::U16(u16::try_from(address.len()).unwrap()),
            Field::Octets(address),
            Field::Octets(vec![0; pad]),
            Field::Octets(vec![3, 0, 0, 0]),
        ];
        for (result, reason, syntax) in [(0, 0, NDR), (2, 1, EMPTY), (3, 0, EMPTY)] {
            expected.extend([Field::U16(result), Field::U16(reason)]);
            expected.extend(syntax_fields(syntax));
        }
        assert_eq!(answer.octets, written(&expected, answer.order), "{order:?}");
        assert_ne!(answer.u32(20), 0, "association group");
    }
}

/// C706 12.6.4.4 sec_addr: the port as text, its NUL counted; protocol.md 2.3.
#[test]
fn a_bind_ack_names_the_port_as_text() {
    let server = Server::start();
    let bind = bind(&[context(MANAGEMENT, MGMT, &[NDR])]);
    let mut connection = server.connect();
    connection.send(&bind);
    let ack = connection.ack(&bind);
    assert_eq!(ack.address, format!("{}\0", server.port()).as_bytes());
    assert_eq!(ack.max_xmit, ack.max_recv);
}

/// C706 12.6.4.2, Samba's raw_protocol suite: no address, two octets of pad, which are zero; protocol.md 2.4.
#[test]
fn an_alter_context_resp_has_no_address() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        let again = alter(&[context(MANAGEMENT, MGMT, &[NDR])]).order(order);
        connection.send(&again);
        let ack = connection.ack(&again);
        assert_eq!((ack.address, ack.pad), (vec![], vec![0, 0]));
        assert_eq!(ack.syntaxes, [NDR]);
    }
}

/// C706 12.6.3.1, 12.6.4.4: one result for each element, in its order; protocol.md 2.5.
#[test]
fn results_come_in_the_order_and_number_of_the_elements() {
    let server = Server::start();
    let bind = bind(&[
        context(9, FOREIGN, &[NDR]),
        context(8, MGMT, &[FOREIGN]),
        context(7, MGMT, &[NDR]),
        context(6, EMPTY, &[EMPTY]),
        context(5, EPT, &[NDR]),
        context(4, FOREIGN, &[FOREIGN]),
    ]);
    let mut connection = server.connect();
    connection.send(&bind);
    let ack = connection.ack(&bind);
    let expected = [
        (NO_INTERFACE, EMPTY),
        (NO_SYNTAX, EMPTY),
        (ACCEPTED, NDR),
        (NO_INTERFACE, EMPTY),
        (NO_SYNTAX, EMPTY),
        (NO_INTERFACE, EMPTY),
    ];
    let found: Vec<_> = ack.results.into_iter().zip(ack.syntaxes).collect();
    assert_eq!(found, expected);
}

/// C706 12.6.4.3: as many elements as the count can tell; protocol.md 2.5.
#[test]
fn a_list_of_255_elements_gets_255_results() {
    let server = Server::start();
    let list: Vec<_> = (0..255).map(|id| context(id, MGMT, &[NDR])).collect();
    let mut connection = server.connect();
    let results = connection.negotiate(&bind(&list));
    assert_eq!(results.len(), 255);
    assert_eq!(results[..2], [ACCEPTED, NO_SYNTAX]);
}

/// C706 12.6.4.5, MS-RPCE 2.2.2.5: reason, one version, 5.0, three octets of pad; then the end; protocol.md 2.6.
#[test]
fn a_bind_nak_is_24_octets_and_the_last() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let bind = bind(&[context(0, EPT, &[])]).order(order).call(0x0506_0708);
        let mut connection = server.connect();
        connection.send(&bind);
        let answer = connection.answer();
        let expected = [
            Field::Octets(vec![5, 0, BIND_NAK, WHOLE]),
            Field::Octets(answer.order.label().to_vec()),
            Field::U16(24),
            Field::U16(0),
            Field::U32(0x0506_0708),
            Field::U16(NOT_SPECIFIED),
            Field::Octets(vec![1, 5, 0, 0, 0, 0]),
        ];
        assert_eq!(answer.octets, written(&expected, answer.order));
        connection.expect_end();
    }
}

/// C706 12.6.4.9 object: 16 octets between opnum and stub, where the flag tells of them; protocol.md 2.7.
#[test]
fn the_stub_of_a_request_begins_behind_the_object() {
    let server = Server::start();
    let mut connection = server.bound_to_mapper();
    let plain = request(2, MAPPER, LOOKUP, lookup(&NO_HANDLE, 10));
    connection.send(&plain);
    let expected = connection.response(2);
    for order in BOTH_ORDERS {
        connection.send(&plain.clone().object(FOREIGN.uuid).order(order));
        assert_eq!(connection.response(2).len(), expected.len());
        connection.send(&plain.clone().order(order));
        assert_eq!(connection.response(2).len(), expected.len());
    }
}

/// C706 12.6.4.9: a request without room for its own fields; protocol.md 2.7.
#[test]
fn a_request_too_short_for_its_fields_ends_the_connection() {
    let server = Server::start();
    let with_object = WHOLE | OBJECT;
    for (length, flags) in [
        (16, WHOLE),
        (20, WHOLE),
        (23, WHOLE),
        (24, with_object),
        (39, with_object),
    ] {
        let mut connection = server.bound();
        connection.send(&pdu(REQUEST, zeros(length - 16)).flags(flags).call(7));
        connection.expect_end_whatever_comes();
    }
}

/// C706 12.6.4.10: octet by octet; protocol.md 2.8.
#[test]
fn a_response_has_every_field_in_its_place() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        connection.send(&request(0x0506_0708, MANAGEMENT, IS_LISTENING, vec![]).order(order));
        let answer = connection.answer();
        let expected = [
            Field::Octets(vec![5, 0, RESPONSE, WHOLE]),
            Field::Octets(answer.order.label().to_vec()),
            Field::U16(32),
            Field::U16(0),
            Field::U32(0x0506_0708),
            Field::U32(8),
            Field::U16(MANAGEMENT),
            Field::Octets(vec![0, 0]),
            Field::U32(0),
            Field::U32(1),
        ];
        assert_eq!(answer.octets, written(&expected, answer.order));
    }
}

/// C706 12.6.4.10; Windows sends the low octet, and Samba after it; protocol.md 2.8.
#[test]
fn a_response_names_the_low_octet_of_the_context_id() {
    let server = Server::start();
    for id in [0x00ff, 0x0100, 0x01ff, 0x3039, 0xffff] {
        let mut connection = server.bound_with(&[context(id, MGMT, &[NDR])]);
        connection.send(&request(2, id, IS_LISTENING, vec![]));
        assert_eq!(connection.answer().u16(20), id & 0xff, "context {id:04x}");
    }
}

/// C706 12.6.4.7, MS-RPCE 2.2.2.8, Windows: 32 octets, and so says alloc_hint; protocol.md 2.9.
#[test]
fn a_fault_has_every_field_in_its_place() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        connection.send(&request(0x0506_0708, MANAGEMENT, 0xffff, vec![]).order(order));
        let answer = connection.answer();
        let expected = [
            Field::Octets(vec![5, 0, FAULT, WHOLE | DID_NOT_EXECUTE]),
            Field::Octets(answer.order.label().to_vec()),
            Field::U16(32),
            Field::U16(0),
            Field::U32(0x0506_0708),
            Field::U32(32),
            Field::U16(MANAGEMENT),
            Field::Octets(vec![0, 0]),
            Field::U32(OP_RNG_ERROR),
            Field::U32(0),
        ];
        assert_eq!(answer.octets, written(&expected, answer.order));
    }
}

/// MS-RPCE 2.2.2.8; Samba's raw_protocol suite, `orphaned_request_after_first_no_last`: unlike a response;
/// protocol.md 2.9.
#[test]
fn a_fault_names_the_whole_context_id() {
    let server = Server::start();
    for id in [0x00ff, 0x0100, 0x01ff, 0xffff] {
        let mut connection = server.bound_with(&[context(id, MGMT, &[NDR])]);
        connection.send(&request(2, id, 0xffff, vec![]));
        connection.expect_fault(fault(2, id, OP_RNG_ERROR).unexecuted());
        connection.send(&request(3, id, IS_LISTENING, vec![]).flags(FIRST));
        connection.send(&request(3, id, IS_LISTENING, vec![]).flags(FIRST));
        connection.expect_last_fault(fault(3, id, PROTO_ERROR));
    }
}

/// MS-RPCE 2.2.2.10: a third leg of no authentication; protocol.md 2.10.
#[test]
fn an_auth3_outside_of_an_authentication_is_a_protocol_error() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        let auth3 = pdu(AUTH3, zeros(4)).call(7).order(order);
        connection.send(&auth3.verifier(Verifier::new(10, 2)));
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
}

/// MS-RPCE 2.2.2.10: auth_length is never 0 in it; protocol.md 2.10.
#[test]
fn an_auth3_without_a_verifier_is_a_protocol_error() {
    let server = Server::start();
    for length in [4, 8] {
        let mut connection = server.bound();
        connection.send(&pdu(AUTH3, zeros(length)).call(7));
        connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
    }
    let mut connection = server.bound();
    connection.send(&pdu(AUTH3, vec![]).call(7));
    connection.expect_end_whatever_comes();
}

/// C706 12.6.4.11: a server sends it, a client never; protocol.md 2.11.
#[test]
fn a_shutdown_from_a_client_is_a_protocol_error() {
    let server = Server::start();
    let mut connection = server.bound();
    connection.send(&pdu(SHUTDOWN, vec![]).call(7));
    connection.expect_last_fault(fault(7, 0, PROTO_ERROR).unexecuted());
}

/// C706 12.6.4.6, 12.6.4.8; protocol.md 2.12.
#[test]
fn a_cancel_and_an_orphaned_are_never_answered() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        for ptype in [CO_CANCEL, ORPHANED] {
            for flags in [MIDDLE, WHOLE, 0xff] {
                connection.send(&pdu(ptype, vec![]).call(7).order(order).flags(flags));
            }
        }
        connection.expect_alive(MANAGEMENT);
    }
}

/// C706 12.6.4.6, 12.6.4.8: both may end with a verifier; protocol.md 2.12.
#[test]
fn a_cancel_and_an_orphaned_with_a_verifier_are_not_answered() {
    let server = Server::start();
    let mut connection = server.bound();
    for ptype in [CO_CANCEL, ORPHANED] {
        connection.send(&pdu(ptype, vec![]).call(7).verifier(Verifier::new(10, 2)));
    }
    connection.expect_alive(MANAGEMENT);
}
