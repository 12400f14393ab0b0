//! Which context id means which interface in which transfer syntax: protocol.md 5.

use crate::connection::{Connection, fault};
use crate::octets::*;
use crate::server::{MANAGEMENT, Server};

/// A call of the management interface over a context that was never accepted.
#[track_caller]
fn expect_unknown(connection: &mut Connection, context: u16) {
    connection.send(&request(0x77, context, IS_LISTENING, vec![]));
    connection.expect_fault(fault(0x77, 0, UNK_IF).unexecuted());
}

/// The results of a bind's elements, on a connection of its own.
#[track_caller]
fn results(server: &Server, contexts: &[Context]) -> Vec<(u16, u16)> {
    server.connect().negotiate(&bind(contexts))
}

/// What a bind of one element is answered with: the transfer syntax, where it is accepted.
#[track_caller]
fn chosen(server: &Server, syntaxes: &[Syntax]) -> Option<Syntax> {
    let bind = bind(&[context(0, EPT, syntaxes)]);
    let mut connection = server.connect();
    connection.send(&bind);
    let ack = connection.ack(&bind);
    match ack.results[..] {
        [ACCEPTED] => Some(ack.syntaxes[0]),
        [NO_SYNTAX] => None,
        ref other => panic!("{other:?}"),
    }
}

/// MS-RPCE 3.3.1.5.6, Samba's raw_protocol suite (2022's Windows says 4, earlier ones 0); protocol.md 5.1.
#[test]
fn a_bind_without_contexts_is_refused_with_reason_0() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let bind = bind(&[]).order(order);
        let mut connection = server.connect();
        connection.send(&bind);
        connection.expect_nak(&bind, NOT_SPECIFIED);
    }
}

/// MS-RPCE 3.3.1.5.6, Samba's raw_protocol suite; protocol.md 5.1.
#[test]
fn an_alter_context_without_contexts_is_a_protocol_error() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        let mut connection = server.bound();
        connection.send(&alter(&[]).order(order));
        connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
    }
}

/// Lists with one element that offers no transfer syntax, in each place.
fn lists_with_an_empty_element() -> Vec<Vec<Context>> {
    let good = context(1, MGMT, &[NDR]);
    let foreign = context(2, FOREIGN, &[NDR]);
    let empty = context(3, MGMT, &[]);
    let empty_foreign = context(3, FOREIGN, &[]);
    vec![
        vec![empty.clone()],
        vec![empty_foreign.clone()],
        vec![good.clone(), empty.clone()],
        vec![good.clone(), empty_foreign],
        vec![empty.clone(), good.clone()],
        vec![foreign.clone(), empty.clone(), good],
        vec![foreign, empty],
    ]
}

/// MS-RPCE 3.3.1.5.6, Samba's raw_protocol suite; protocol.md 5.2.
#[test]
fn a_bind_with_an_element_of_no_transfer_syntaxes_is_refused_with_reason_0() {
    let server = Server::start();
    for list in lists_with_an_empty_element() {
        let mut connection = server.connect();
        connection.send(&bind(&list));
        connection.expect_nak(&bind(&list), NOT_SPECIFIED);
    }
}

/// MS-RPCE 3.3.1.5.6, Samba's raw_protocol suite; protocol.md 5.2.
#[test]
fn an_alter_context_with_an_element_of_no_transfer_syntaxes_is_a_protocol_error() {
    let server = Server::start();
    for list in lists_with_an_empty_element() {
        let mut connection = server.bound();
        connection.send(&alter(&list));
        connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
    }
}

/// C706 12.6.3.1: UUID and version both count; protocol.md 5.4.
#[test]
fn an_interface_that_is_not_served_is_refused_as_such() {
    let server = Server::start();
    let interfaces = [
        FOREIGN,
        EMPTY,
        NDR,
        EPT.version(2, 0),
        EPT.version(4, 0),
        MGMT.version(0, 0),
        MGMT.version(2, 0),
    ];
    for interface in interfaces {
        let list = [context(1, interface, &[NDR])];
        let mut connection = server.connect();
        assert_eq!(
            connection.negotiate(&bind(&list)),
            [NO_INTERFACE],
            "{interface:x?}"
        );
        expect_unknown(&mut connection, 1);
        assert_eq!(
            connection.negotiate(&alter(&list)),
            [NO_INTERFACE],
            "{interface:x?}"
        );
    }
}

/// C706 12.6.3.1: whatever the transfer syntaxes; protocol.md 5.4.
#[test]
fn a_foreign_interface_is_told_before_foreign_transfer_syntaxes() {
    let server = Server::start();
    let list = [context(0, FOREIGN, &[FOREIGN]), context(1, EMPTY, &[EMPTY])];
    assert_eq!(results(&server, &list), [NO_INTERFACE; 2]);
}

/// C706 12.6.3.1: the same major version, a minor version not above the server's; protocol.md 5.8.
#[test]
fn a_caller_of_a_higher_minor_version_is_not_served() {
    let server = Server::start();
    let list = [
        context(0, EPT.version(3, 1), &[NDR]),
        context(1, MGMT.version(1, 1), &[NDR]),
    ];
    assert_eq!(results(&server, &list), [NO_INTERFACE; 2]);
}

/// MS-RPCE 3.3.1.5.6, Samba's raw_protocol suite: the first that can be served; protocol.md 5.5.
#[test]
fn one_new_context_is_accepted_for_each_bind() {
    let server = Server::start();
    let both = [
        context(1, MGMT, &[NDR]),
        context(2, EPT, &[NDR]),
        context(3, MGMT, &[NDR]),
    ];
    let mut connection = server.connect();
    assert_eq!(
        connection.negotiate(&bind(&both)),
        [ACCEPTED, NO_SYNTAX, NO_SYNTAX]
    );
    connection.expect_alive(1);
    expect_unknown(&mut connection, 2);
    expect_unknown(&mut connection, 3);
}

/// MS-RPCE 3.3.1.5.6; Samba's raw_protocol suite; protocol.md 5.5.
#[test]
fn one_new_context_is_accepted_for_each_alter_context() {
    let server = Server::start();
    let mut connection = server.bound();
    let [third, fourth] = [3, 4].map(|id| context(id, MGMT, &[NDR]));
    let list = [third.clone(), fourth.clone()];
    assert_eq!(connection.negotiate(&alter(&list)), [ACCEPTED, NO_SYNTAX]);
    expect_unknown(&mut connection, 4);
    // The same elements the other way round: the fourth becomes usable, the third stays so.
    let list = [fourth, third];
    assert_eq!(connection.negotiate(&alter(&list)), [ACCEPTED, NO_SYNTAX]);
    for id in [MANAGEMENT, 3, 4] {
        connection.expect_alive(id);
    }
}

/// MS-RPCE 3.3.1.5.6; Samba's raw_protocol suite: a context that was accepted before takes the place of the new
/// one; protocol.md 5.5.
#[test]
fn a_repeated_context_takes_the_place_of_a_new_one() {
    let server = Server::start();
    let mut connection = server.bound();
    let [first, second] = [MANAGEMENT, 2].map(|id| context(id, MGMT, &[NDR]));
    let list = [first.clone(), first.clone()];
    assert_eq!(connection.negotiate(&alter(&list)), [ACCEPTED, NO_SYNTAX]);
    let list = [first, second];
    assert_eq!(connection.negotiate(&alter(&list)), [ACCEPTED, NO_SYNTAX]);
    connection.expect_alive(MANAGEMENT);
    expect_unknown(&mut connection, 2);
}

/// MS-RPCE 3.3.1.5.6: what cannot be served does not count; protocol.md 5.5.
#[test]
fn refused_elements_do_not_take_the_place_of_a_new_context() {
    let server = Server::start();
    let list = [
        context(1, FOREIGN, &[NDR]),
        context(2, MGMT, &[FOREIGN]),
        context(3, MGMT, &[NDR]),
    ];
    let mut connection = server.connect();
    let expected = [NO_INTERFACE, NO_SYNTAX, ACCEPTED];
    assert_eq!(connection.negotiate(&bind(&list)), expected);
    connection.expect_alive(3);
}

/// C706 12.6.3.1: several contexts of one interface, and of several, one after another; protocol.md 5.5.
#[test]
fn a_connection_may_have_many_contexts() {
    let server = Server::start();
    let mut connection = server.bound();
    for id in [0, 2, 3, 0x100, 0xffff] {
        assert_eq!(
            connection.negotiate(&alter(&[context(id, MGMT, &[NDR])])),
            [ACCEPTED]
        );
    }
    let mapper = [context(7, EPT, &[NDR])];
    assert_eq!(connection.negotiate(&alter(&mapper)), [ACCEPTED]);
    for id in [0, MANAGEMENT, 2, 3, 0x100, 0xffff] {
        connection.expect_alive(id);
    }
    connection.send(&request(9, 7, LOOKUP, lookup(&NO_HANDLE, 1)));
    connection.expect_response(9, 7);
}

/// C706 12.6.3.1; protocol.md 5.6.
#[test]
fn ndr_is_found_among_unknown_transfer_syntaxes() {
    let server = Server::start();
    for offered in [
        &[NDR][..],
        &[FOREIGN, NDR],
        &[NDR, FOREIGN],
        &[EMPTY, NDR, NDR, NDR],
        &[EPT, FOREIGN, EMPTY, NDR],
    ] {
        assert_eq!(chosen(&server, offered), Some(NDR), "{offered:x?}");
    }
}

/// C706 12.6.3.1: the version of a transfer syntax counts, too; protocol.md 5.6.
#[test]
fn an_element_of_unknown_transfer_syntaxes_is_refused_as_such() {
    let server = Server::start();
    for offered in [
        &[FOREIGN][..],
        &[EMPTY, EPT],
        &[NDR.version(1, 0)],
        &[NDR.version(3, 0)],
        &[NDR64.version(2, 0)],
    ] {
        assert_eq!(chosen(&server, offered), None, "{offered:x?}");
    }
}

/// MS-RPCE 2.2.5, 3.3.1.5.6: 64-bit Windows; protocol.md 5.6.
#[test]
fn ndr64_alone_is_taken() {
    let server = Server::start();
    assert_eq!(chosen(&server, &[NDR64]), Some(NDR64));
    assert_eq!(chosen(&server, &[FOREIGN, NDR64]), Some(NDR64));
    let mut connection = server.bound_with(&[context(1, MGMT, &[NDR64])]);
    connection.expect_alive(1);
}

/// What clients offer that have both: in one element, or as Windows does, in two.
fn offers_of_both() -> [Vec<Context>; 4] {
    [
        vec![context(0, EPT, &[NDR, NDR64])],
        vec![context(0, EPT, &[NDR64, NDR])],
        vec![context(0, EPT, &[NDR]), context(1, EPT, &[NDR64])],
        vec![context(0, EPT, &[NDR64]), context(1, EPT, &[NDR])],
    ]
}

/// Each offer is answered by one context in `preferred`, wherever that stands.
#[track_caller]
fn expect_preference(server: &Server, preferred: Syntax) {
    for offer in offers_of_both() {
        let bind = bind(&offer);
        let mut connection = server.connect();
        connection.send(&bind);
        let ack = connection.ack(&bind);
        let expected: Vec<_> = offer
            .iter()
            .map(|element| match element.syntaxes.contains(&preferred) {
                true => (ACCEPTED, preferred),
                false => (NO_SYNTAX, EMPTY),
            })
            .collect();
        let found: Vec<_> = ack.results.into_iter().zip(ack.syntaxes).collect();
        assert_eq!(found, expected, "{offer:x?}");
    }
}

/// MS-RPCE 3.3.1.5.6; 64-bit Windows, 16 of 16 recorded binds: the preferred syntax wins over the order;
/// protocol.md 5.5 and 5.6.
#[test]
fn ndr64_wins_over_ndr_whatever_the_order() {
    expect_preference(&Server::start(), NDR64);
}

/// MS-RPCE 3.3.1.5.6; Samba and the DCE reference; protocol.md 5.6.
#[test]
fn the_samba_and_dce_conversations_prefer_ndr() {
    for conversation in ["samba", "dce"] {
        let config = format!("conversation = \"{conversation}\"");
        let Some(server) = Server::with(&config) else {
            return;
        };
        expect_preference(&server, NDR);
        assert_eq!(chosen(&server, &[NDR64]), Some(NDR64), "{conversation}");
    }
}

/// MS-RPCE 3.3.1.5.6; what Windows' client sends, and what 64-bit Windows answers; protocol.md 5.5 and 6.2.
#[test]
fn the_three_elements_of_a_windows_client_get_its_servers_answers() {
    let server = Server::start();
    let list = [
        context(0, EPT, &[NDR]),
        context(1, EPT, &[NDR64]),
        context(2, EPT, &[features(3)]),
    ];
    assert_eq!(results(&server, &list), [NO_SYNTAX, ACCEPTED, (3, 3)]);
}

/// MS-RPCE 3.3.1.5.6: a context id keeps its interface; protocol.md 5.7.
#[test]
fn a_context_id_may_not_get_another_interface() {
    let server = Server::start();
    for syntaxes in [&[NDR][..], &[FOREIGN], &[NDR64]] {
        let mut connection = server.bound();
        connection.send(&alter(&[context(MANAGEMENT, EPT, syntaxes)]));
        connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
    }
}

/// MS-RPCE 3.3.1.5.6; Samba: an interface that nobody serves is told first, and changes nothing; protocol.md 5.4
/// and 5.7.
#[test]
fn a_context_offered_again_for_an_interface_that_is_not_served_stays_as_it_is() {
    let server = Server::start();
    let mut connection = server.bound();
    for interface in [FOREIGN, EMPTY, MGMT.version(2, 0), MGMT.version(1, 1)] {
        let again = alter(&[context(MANAGEMENT, interface, &[NDR])]);
        assert_eq!(connection.negotiate(&again), [NO_INTERFACE]);
        connection.expect_alive(MANAGEMENT);
    }
}

/// MS-RPCE 3.3.1.5.6; the same where refused elements come first; protocol.md 5.7.
#[test]
fn a_context_id_may_not_get_another_interface_behind_refused_elements() {
    let server = Server::start();
    let changed = context(MANAGEMENT, EPT, &[NDR]);
    for other in [context(2, FOREIGN, &[NDR]), context(2, EPT, &[FOREIGN])] {
        let mut connection = server.bound();
        connection.send(&alter(&[other, changed.clone()]));
        connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
    }
}

/// MS-RPCE 3.3.1.5.6; Samba: behind an accepted element nothing is looked at any more; protocol.md 5.5.
#[test]
fn behind_an_accepted_element_a_context_id_may_be_told_anything() {
    let server = Server::start();
    let mut connection = server.bound();
    let changed = context(MANAGEMENT, EPT, &[NDR]);
    let list = [context(2, EPT, &[NDR]), changed.clone()];
    assert_eq!(connection.negotiate(&alter(&list)), [ACCEPTED, NO_SYNTAX]);
    let list = [context(2, EPT, &[NDR]), context(2, MGMT, &[NDR])];
    assert_eq!(connection.negotiate(&alter(&list)), [ACCEPTED, NO_SYNTAX]);
    connection.expect_alive(MANAGEMENT);
}

/// MS-RPCE 3.3.1.5.6; Samba's raw_protocol suite, `presentation_ctx_invalid4`, written against Windows; protocol.md
/// 5.7.
#[test]
fn a_context_id_may_not_get_another_known_transfer_syntax() {
    let server = Server::start();
    for offered in [&[NDR64][..], &[EMPTY, EPT, NDR64], &[NDR64, FOREIGN]] {
        let mut connection = server.bound();
        connection.send(&alter(&[context(MANAGEMENT, MGMT, offered)]));
        connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
    }
}

/// MS-RPCE 3.3.1.5.6; the other way round, which only a server of NDR64 can show; protocol.md 5.7.
#[test]
fn a_context_of_ndr64_may_not_become_one_of_ndr() {
    let server = Server::start();
    let mut connection = server.bound_with(&[context(1, MGMT, &[NDR64])]);
    connection.send(&alter(&[context(1, MGMT, &[NDR])]));
    connection.expect_last_fault(fault(2, 0, PROTO_ERROR).unexecuted());
}

/// MS-RPCE 3.3.1.5.6; Samba's raw_protocol suite; protocol.md 5.7.
#[test]
fn a_context_may_be_offered_again_as_it_is() {
    let server = Server::start();
    let mut connection = server.bound();
    for offered in [&[NDR][..], &[EMPTY, NDR, NDR], &[FOREIGN, NDR]] {
        let again = alter(&[context(MANAGEMENT, MGMT, offered)]);
        connection.send(&again);
        let ack = connection.ack(&again);
        assert_eq!(
            (&ack.results[..], &ack.syntaxes[..]),
            (&[ACCEPTED][..], &[NDR][..])
        );
        connection.expect_alive(MANAGEMENT);
    }
}

/// MS-RPCE 3.3.1.5.6; Samba's raw_protocol suite, `presentation_ctx_valid2`; protocol.md 5.7.
#[test]
fn a_context_offered_again_in_unknown_transfer_syntaxes_stays_as_it_is() {
    let server = Server::start();
    let mut connection = server.bound();
    for offered in [&[FOREIGN][..], &[EMPTY, EPT]] {
        let again = alter(&[context(MANAGEMENT, MGMT, offered)]);
        assert_eq!(connection.negotiate(&again), [NO_SYNTAX]);
        connection.expect_alive(MANAGEMENT);
    }
}

/// C706 12.6.3.1: an id that was refused is free; protocol.md 5.7.
#[test]
fn a_refused_context_id_may_be_offered_again_with_any_meaning() {
    let server = Server::start();
    let mut connection = server.connect();
    assert_eq!(
        connection.negotiate(&bind(&[context(4, FOREIGN, &[NDR])])),
        [NO_INTERFACE]
    );
    assert_eq!(
        connection.negotiate(&alter(&[context(4, EPT, &[FOREIGN])])),
        [NO_SYNTAX]
    );
    assert_eq!(
        connection.negotiate(&alter(&[context(4, MGMT, &[NDR])])),
        [ACCEPTED]
    );
    connection.expect_alive(4);
}

/// MS-RPCE 3.3.1.5.2, Samba's raw_protocol suite; protocol.md 5.9.
#[test]
fn a_second_bind_is_refused_with_reason_0() {
    let server = Server::start();
    for id in [MANAGEMENT, 2] {
        let second = bind(&[context(id, MGMT, &[NDR])]).call(2);
        let mut connection = server.bound();
        connection.send(&second);
        connection.expect_nak(&second, NOT_SPECIFIED);
    }
}

/// C706 12.6.4.3; the same where the first bind got no context accepted; protocol.md 5.9.
#[test]
fn a_second_bind_is_refused_even_if_the_first_got_nothing() {
    let server = Server::start();
    let mut connection = server.bound_with(&[context(0, FOREIGN, &[NDR])]);
    let second = bind(&[context(1, MGMT, &[NDR])]).call(2);
    connection.send(&second);
    connection.expect_nak(&second, NOT_SPECIFIED);
}

/// C706 12.6.4.3; Samba's answer; Windows' is not known; protocol.md 5.10.
#[test]
fn a_first_pdu_that_is_no_bind_is_refused_with_reason_4() {
    let server = Server::start();
    let pdus = [
        request(7, 0, IS_LISTENING, vec![]),
        alter(&[context(0, MGMT, &[NDR])]),
        pdu(CO_CANCEL, vec![]),
        pdu(ORPHANED, vec![]),
        pdu(SHUTDOWN, vec![]),
        pdu(RESPONSE, zeros(16)),
        pdu(AUTH3, zeros(4)).verifier(Verifier::new(10, 2)),
    ];
    for pdu in pdus {
        for order in BOTH_ORDERS {
            let pdu = pdu.clone().call(7).order(order);
            let mut connection = server.connect();
            connection.send(&pdu);
            connection.expect_nak(&pdu, VERSION_NOT_SUPPORTED);
        }
    }
}
