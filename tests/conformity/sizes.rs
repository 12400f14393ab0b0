//! Sizes of fragments, both ways: protocol.md 4.

use crate::connection::fault;
use crate::octets::*;
use crate::server::{MANAGEMENT, MAPPER, Server};

/// The longest request fragment that is taken over TCP, whatever was agreed on.
const LONGEST: usize = 5840;

/// Offers of a bind, transmit and receive, and what both fields of the bind_ack say.
///
/// The first eight are of Samba's raw_protocol suite, the next three of recordings of Windows.
const OFFERS: [(u16, u16, u16); 19] = [
    (0xffff, 0xffff, 5840),
    (0, 0xffff, 2048),
    (0xffff, 0, 2048),
    (0, 0, 2048),
    (3199, 0, 2048),
    (0, 3199, 2048),
    (3199, 0xffff, 3192),
    (0xffff, 3199, 3192),
    (5840, 5840, 5840),
    (4280, 4280, 4280),
    (5840, 8192, 5840),
    (1, 1, 2048),
    (1432, 1432, 2048),
    (2047, 2047, 2048),
    (2048, 2048, 2048),
    (2055, 0xffff, 2048),
    (2056, 0xffff, 2056),
    (5839, 0xffff, 5832),
    (5841, 0xffff, 5840),
];

fn simple_bind(xmit: u16, recv: u16) -> Pdu {
    bind(&[context(MANAGEMENT, MGMT, &[NDR])]).sizes(xmit, recv)
}

/// A call in one fragment of this length.
fn call_of_length(call: u32, length: usize) -> Pdu {
    request(call, MANAGEMENT, IS_LISTENING, zeros(length - REQUEST_HEAD))
}

/// C706 12.6.4.3, Windows' and Samba's answers; protocol.md 4.2.
#[test]
fn a_bind_ack_says_the_smaller_offer_from_2048_to_5840_in_multiples_of_8() {
    let server = Server::start();
    for (xmit, recv, both) in OFFERS {
        for order in BOTH_ORDERS {
            let bind = simple_bind(xmit, recv).order(order);
            let mut connection = server.connect();
            connection.send(&bind);
            let ack = connection.ack(&bind);
            let found = (ack.max_xmit, ack.max_recv);
            assert_eq!(found, (both, both), "offered {xmit}, {recv}");
        }
    }
}

/// C706 12.6.4.1, Samba's raw_protocol suite; protocol.md 4.3.
#[test]
fn an_alter_context_repeats_the_sizes_and_the_group_of_the_bind() {
    let server = Server::start();
    for (xmit, recv, both) in OFFERS {
        let bind = simple_bind(xmit, recv);
        let mut connection = server.connect();
        connection.send(&bind);
        let group = connection.ack(&bind).group;
        for (xmit, recv, asked) in [
            (both - 8, both - 8, 0),
            (0xffff, 0xffff, 0x7777),
            (0, 0, group),
        ] {
            let again = alter(&[context(MANAGEMENT, MGMT, &[NDR])]);
            let again = again.sizes(xmit, recv).group(asked);
            connection.send(&again);
            let ack = connection.ack(&again);
            let found = (ack.max_xmit, ack.max_recv, ack.group);
            assert_eq!(found, (both, both, group), "asked {xmit}, {recv}, {asked}");
        }
    }
}

/// C706 12.6.3.1, Samba's raw_protocol suite; protocol.md 4.4.
#[test]
fn a_fragment_of_5840_octets_is_taken_whatever_was_agreed_on() {
    let server = Server::start();
    for (xmit, recv, both) in OFFERS {
        let mut connection = server.bound_by(simple_bind(xmit, recv));
        for length in [usize::from(both), LONGEST] {
            connection.send(&call_of_length(2, length));
            connection.expect_response(2, MANAGEMENT);
        }
    }
}

/// C706 12.6.4.3; Samba's raw_protocol suite; protocol.md 4.4.
#[test]
fn a_fragment_of_5841_octets_is_a_protocol_error_whatever_was_agreed_on() {
    let server = Server::start();
    for order in BOTH_ORDERS {
        for (xmit, recv, _) in OFFERS {
            let mut connection = server.bound_by(simple_bind(xmit, recv));
            connection.send(&call_of_length(7, LONGEST + 1).order(order));
            connection.expect_last_fault(fault(7, 0, PROTO_ERROR));
        }
    }
}

/// C706 12.6.4.3; the same of continuation fragments; protocol.md 4.4.
#[test]
fn a_later_fragment_of_5841_octets_is_a_protocol_error_too() {
    let server = Server::start();
    let mut connection = server.bound();
    connection.send(&call_of_length(7, LONGEST).flags(FIRST));
    connection.send(&call_of_length(7, LONGEST + 1).flags(LAST));
    connection.expect_last_fault(fault(7, 0, PROTO_ERROR));
}

/// Elements that make a bind or alter_context 65532 octets long; the last one is accepted.
fn long_list() -> Vec<Context> {
    let mut list: Vec<_> = (0..16)
        .map(|id| context(id, FOREIGN, &[NDR; 203]))
        .collect();
    for element in &mut list[..8] {
        element.syntaxes.push(NDR);
    }
    list[15].interface = MGMT;
    list
}

/// C706 12.6.4.3, Samba's raw_protocol suite: their length is bounded by its field only; protocol.md 4.5.
#[test]
fn a_bind_and_an_alter_context_may_be_65535_octets_long() {
    let server = Server::start();
    for pad in [0, 3] {
        let mut connection = server.connect();
        for pdu in [bind(&long_list()), alter(&long_list())] {
            let pdu = pdu.and(&vec![0; pad]);
            assert_eq!(pdu.octets().len(), 65532 + pad);
            let results = connection.negotiate(&pdu);
            assert_eq!(results[..15], [NO_INTERFACE; 15]);
            assert_eq!(results[15], ACCEPTED);
        }
        connection.expect_alive(15);
    }
}

/// The fragments of a long answer to a client that takes this many octets.
fn long_answer(server: &Server, xmit: u16, recv: u16) -> Vec<(u8, u32, usize, usize)> {
    let bind = bind(&[context(MAPPER, EPT, &[NDR])]).sizes(xmit, recv);
    let mut connection = server.bound_by(bind);
    connection.send(&request(2, MAPPER, LOOKUP, lookup(&NO_HANDLE, 500)));
    let fragments = connection.response_fragments(2);
    let told = fragments.iter().map(|fragment| {
        let length = fragment.octets.len();
        assert_eq!(fragment.u16(20), MAPPER);
        (
            fragment.flags(),
            fragment.u32(16),
            length,
            length - REQUEST_HEAD,
        )
    });
    told.collect()
}

/// C706 12.6.3.1, 12.6.4.10: first and last are told, and nothing else; protocol.md 4.6.
#[test]
fn a_long_answer_comes_in_fragments_from_the_first_to_the_last() {
    let server = Server::start();
    let flags: Vec<_> = long_answer(&server, 2048, 2048)
        .iter()
        .map(|f| f.0)
        .collect();
    assert!(flags.len() > 2, "{flags:?}");
    assert_eq!(flags[0], FIRST);
    assert_eq!(flags[flags.len() - 1], LAST);
    assert!(flags[1..flags.len() - 1].iter().all(|flags| *flags == 0));
}

/// C706 12.6.4.10; Windows' and Samba's answers; protocol.md 4.6.
#[test]
fn every_chunk_of_an_answer_but_the_last_is_a_multiple_of_16_octets() {
    let server = Server::start();
    for size in [2048, 2056, 3192, 4280] {
        let fragments = long_answer(&server, size, size);
        let (_, first) = fragments.split_last().unwrap();
        assert!(!first.is_empty(), "one fragment only");
        for (_, _, length, stub) in first {
            assert_eq!(stub % 16, 0, "stub of {stub}");
            assert!(
                length + 16 > usize::from(size),
                "{length} where {size} may be"
            );
        }
    }
}

/// C706 12.6.4.10; Windows: 45276, 41020 and so on down to 2716; protocol.md 4.7.
#[test]
fn the_alloc_hint_of_a_fragment_is_what_is_still_to_come_with_it() {
    let server = Server::start();
    let fragments = long_answer(&server, 2048, 2048);
    let mut left: usize = fragments.iter().map(|f| f.3).sum();
    for (_, hint, _, stub) in fragments {
        assert_eq!(usize::try_from(hint).unwrap(), left);
        left -= stub;
    }
}

/// C706 12.6.3.1 max_recv_frag, appendix K MustRecvFragSize; protocol.md 4.1.
#[test]
fn no_fragment_of_an_answer_is_longer_than_the_client_takes() {
    let server = Server::start();
    for recv in [1432, 1440, 1999, 2040, 2048, 3199, 4280, 5840, 0xffff] {
        let longest = long_answer(&server, 0xffff, recv).iter().map(|f| f.2).max();
        assert!(longest <= Some(usize::from(recv)), "{longest:?} to {recv}");
    }
}

/// C706 12.6.3.1, appendix K MustRecvFragSize: what every client takes, whatever it says; protocol.md 4.1.
#[test]
fn a_client_that_says_less_than_1432_takes_1432() {
    let server = Server::start();
    for recv in [1, 100, 1431] {
        let fragments = long_answer(&server, 0xffff, recv);
        let longest = fragments.iter().map(|f| f.2).max();
        assert!(longest <= Some(1432), "{longest:?} to {recv}");
    }
}

/// C706 12.6.4.3; Samba's raw_protocol suite: no offer, and no error; protocol.md 4.2.
#[test]
fn an_offer_of_0_means_2048() {
    let server = Server::start();
    for (xmit, recv) in [(0, 0xffff), (0xffff, 0), (0, 0)] {
        let longest = long_answer(&server, xmit, recv).iter().map(|f| f.2).max();
        assert!(longest <= Some(2048), "{longest:?}");
    }
}
