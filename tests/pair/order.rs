//! Several calls under way, PDUs in every order that the protocol allows, and
//! in those that it does not.

use crate::conversation::{PLAIN, UNBOUND, long_stub};
use crate::ends::{
    FAULTS, FIRST, LAST, LITTLE, MIDDLE, Server, WHOLE, alter, bind, co_cancel, frames, kinds,
    orphaned, pdus, request, request_of, settings,
};
use crate::link::{Pair, Step, Told};
use crate::whole::Whole;
use epmapper::proto::{ClientEvent, Closed, ProtocolError, Settings};
use epmapper::wire::pdu::{Header, PacketType};

/// All orders of `items`.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    (0..items.len())
        .flat_map(|chosen| {
            let mut rest = items.to_vec();
            let first = rest.remove(chosen);
            permutations(&rest).into_iter().map(move |mut order| {
                order.insert(0, first.clone());
                order
            })
        })
        .collect()
}

/// Something to ask for in one go, and what it is answered with.
type Asked = (u32, Vec<u8>, PacketType);

/// One thing of each kind.
fn kinds_of_things() -> [Asked; 6] {
    let long = [
        request(3, FIRST, 1, b"in "),
        request(3, MIDDLE, 1, b"three "),
        request(3, LAST, 1, b"fragments"),
    ];
    [
        (2, request(2, WHOLE, 2, b"whole"), PacketType::RESPONSE),
        (3, long.concat(), PacketType::RESPONSE),
        (4, alter(4), PacketType::ALTER_CONTEXT_RESP),
        (5, request(5, WHOLE, FAULTS, b""), PacketType::FAULT),
        (
            6,
            request_of(6, WHOLE, (UNBOUND, 1), b""),
            PacketType::FAULT,
        ),
        (
            7,
            request_of(7, WHOLE, (0, 3), b"last"),
            PacketType::RESPONSE,
        ),
    ]
}

#[test]
fn what_is_asked_in_any_order_at_once_is_answered_in_that_order() {
    for order in permutations(&kinds_of_things()) {
        let mut server = Server::new(settings());
        let asked: Vec<u8> = order
            .iter()
            .flat_map(|(_, octets, _)| octets)
            .copied()
            .collect();
        // Behind the bind, whose answer nobody waited for.
        let answer = server.exchange(&[bind(), asked].concat());
        let mut expected = vec![(PacketType::BIND_ACK, 1)];
        expected.extend(order.iter().map(|(id, _, ptype)| (*ptype, *id)));
        assert_eq!(kinds(&answer), expected);
        assert_eq!(server.association.closed(), None);
    }
}

#[test]
fn cancels_and_orphans_of_answered_incomplete_and_unknown_calls_change_nothing() {
    let whole = Whole::new(PLAIN);
    let stream = frames(&whole.record.up);
    for place in 1..=stream.len() {
        for id in [
            1,
            whole.up[place - 1].1.call_id,
            whole.up.last().unwrap().1.call_id,
            4242,
        ] {
            for disturbance in [co_cancel(LITTLE, id), orphaned(LITTLE, id)] {
                let (before, behind) = stream.split_at(place);
                let mut server = Pair::new(&PLAIN, &[]).server;
                let mut answer = server.exchange(&before.concat());
                answer.extend(server.exchange(&[disturbance, behind.concat()].concat()));
                assert!(answer == whole.record.down, "{place}, {id}");
                assert_eq!(server.calls.len(), whole.record.calls.len());
            }
        }
    }
}

#[test]
fn a_cancel_before_the_bind_is_no_bind() {
    for octets in [co_cancel(LITTLE, 5), orphaned(LITTLE, 5)] {
        let mut server = Server::new(settings());
        let answer = server.exchange(&[octets, bind()].concat());
        assert_eq!(kinds(&answer), [(PacketType::BIND_NAK, 5)]);
        assert_eq!(server.association.closed(), Some(Closed::Refused));
    }
}

#[test]
fn an_alter_context_between_any_two_pdus_is_answered_in_its_turn() {
    let whole = Whole::new(PLAIN);
    let stream = frames(&whole.record.up);
    for place in 1..=stream.len() {
        let (before, behind) = stream.split_at(place);
        let octets = [before.concat(), alter(4242), behind.concat()].concat();
        let mut server = Pair::new(&PLAIN, &[]).server;
        let answer = server.exchange(&octets);
        // Also between two fragments, whose call is then answered behind it.
        let own = |frame: &&[u8]| Header::decode(frame).unwrap().call_id == 4242;
        let at = frames(&answer).iter().position(own).unwrap();
        let sent_before: Vec<u8> = frames(&answer)[..at].concat();
        let arrived = before.iter().map(|frame| frame.len()).sum();
        assert!(sent_before == whole.answers(arrived), "{place}");
        let others: Vec<u8> = frames(&answer)
            .into_iter()
            .filter(|frame| !own(frame))
            .flatten()
            .copied()
            .collect();
        assert!(others == whole.record.down, "{place}");
        assert_eq!(server.calls.len(), whole.record.calls.len());
    }
}

#[test]
fn a_context_added_between_fragments_can_be_called_once_they_are_complete() {
    let mut server = Server::bound(WHOLE);
    let octets = [
        request(2, FIRST, 1, b"a"),
        alter(3),
        request(2, LAST, 1, b"b"),
        request_of(4, WHOLE, (1, 1), b"mgmt"),
    ];
    let answer = server.exchange(&octets.concat());
    let (response, altered) = (PacketType::RESPONSE, PacketType::ALTER_CONTEXT_RESP);
    assert_eq!(kinds(&answer), [(altered, 3), (response, 2), (response, 4)]);
    let interfaces: Vec<_> = server.calls.iter().map(|call| call.interface).collect();
    assert_eq!(interfaces, [0, 1]);
}

#[test]
fn a_pdu_that_comes_twice_is_taken_twice_or_refused() {
    let whole = Whole::new(PLAIN);
    let stream = frames(&whole.record.up);
    for (place, frame) in stream.iter().enumerate() {
        let octets = [&stream[..=place], &[frame], &stream[place + 1..]].concat();
        let mut server = Pair::new(&PLAIN, &[]).server;
        let answer = server.exchange(&octets.concat());
        let header = &whole.up[place].1;
        let is_part = !header.flags.contains(WHOLE);
        let closed = match header.ptype {
            PacketType::BIND => Some(Closed::Refused),
            PacketType::REQUEST if is_part => Some(Closed::Violation),
            _ => None,
        };
        assert_eq!(server.association.closed(), closed, "{header:?}");
        let own = |octets: &[u8]| {
            let ids = pdus(octets).into_iter().map(|pdu| pdu.header.call_id);
            ids.filter(|id| *id == header.call_id).count()
        };
        if closed.is_none() {
            let times = match header.ptype {
                PacketType::CO_CANCEL | PacketType::ORPHANED => 1,
                _ => 2,
            };
            assert_eq!(own(&answer), times * own(&whole.record.down), "{header:?}");
        }
    }
}

#[test]
fn calls_beyond_those_that_may_wait_stay_unread_and_are_answered_in_order() {
    let mut server = Server::new(Settings {
        max_waiting: 2,
        ..settings()
    });
    let calls: Vec<Vec<u8>> = (2..12).map(|id| request(id, WHOLE, 1, b"stub")).collect();
    let len = calls[0].len();
    server.input.extend_from_slice(&bind());
    server.input.extend_from_slice(&calls.concat());
    let mut unread = Vec::new();
    let mut sent = Vec::new();
    // One event at a time: as many as may wait are read beside it.
    loop {
        server.association.receive(server.now, &mut server.input);
        unread.push(server.input.len() / len);
        let Some(event) = server.association.poll_event() else {
            break;
        };
        server.event(event);
        while let Some(octets) = server.association.poll_transmit() {
            sent.extend_from_slice(octets);
            let len = octets.len();
            server.association.transmitted(len);
        }
    }
    assert_eq!(unread, [10, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]);
    let ids: Vec<u32> = kinds(&sent).iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, (1..12).collect::<Vec<_>>());
}

/// A bind, a call with an answer of two fragments, and another call.
fn two_calls() -> [Step; 3] {
    [
        PLAIN.bind(),
        PLAIN.call(1, &long_stub()),
        PLAIN.call(2, b"next"),
    ]
}

/// The stubs that a client was answered with behind its bind.
fn stubs(told: &[Told]) -> Vec<&[u8]> {
    told[1..]
        .iter()
        .map(|told| match &**told {
            ClientEvent::Response { stub, .. } => &stub[..],
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The client disturbs its first call once `len` octets have come.
fn disturbed(steps: &[Step], len: usize, disturb: impl Fn(&mut Pair)) -> Vec<Told> {
    let mut pair = Pair::new(&PLAIN, steps);
    pair.down.limit = len;
    pair.run();
    disturb(&mut pair);
    pair.down.limit = usize::MAX;
    pair.run();
    assert!(pair.server.association.closed().is_none());
    pair.told
}

#[test]
fn a_call_given_up_after_any_octet_of_its_answer_leaves_the_next_its_own() {
    let steps = two_calls();
    let whole = Whole::of(PLAIN, steps.to_vec());
    for len in whole.down[0].0..whole.down[2].0 {
        let told = disturbed(&steps, len, |pair| {
            pair.client.orphan();
            pair.due = false;
        });
        assert_eq!(stubs(&told), [b"nextnext"], "after {len}");
    }
}

#[test]
fn a_call_cancelled_after_any_octet_of_its_answer_is_answered_all_the_same() {
    let steps = two_calls();
    let whole = Whole::of(PLAIN, steps.to_vec());
    for len in whole.down[0].0..whole.down[2].0 {
        let told = disturbed(&steps, len, |pair| pair.client.cancel());
        assert_eq!(stubs(&told), [&long_stub()[..], b"nextnext"], "after {len}");
    }
}

/// The conversation with the server's PDUs from `place` on replaced by others.
fn answered_with(whole: &Whole, place: usize, pdus: &[&[u8]]) -> Vec<Told> {
    let mut pair = whole.pair();
    let begin = place
        .checked_sub(1)
        .map_or(0, |before| whole.down[before].0);
    pair.down.limit = begin;
    pair.run();
    pair.down.limit = usize::MAX;
    pair.down.sent.truncate(begin);
    pair.down.sent.extend(pdus.concat());
    // Nothing that the server says now counts.
    pair.up.limit = pair.up.arrived;
    pair.run();
    pair.told
}

#[test]
fn answers_that_come_twice_or_in_another_order_break_the_client_and_no_answer_is_lost() {
    let whole = Whole::new(PLAIN);
    let stream = frames(&whole.record.down);
    for place in 0..stream.len() {
        let arrived = whole.down[place].0;
        let twice = answered_with(&whole, place, &[stream[place], stream[place]]);
        check_broken(&whole, &twice, arrived);
        let Some(next) = stream.get(place + 1) else {
            continue;
        };
        let before = arrived - stream[place].len();
        let swapped = answered_with(&whole, place, &[next, stream[place]]);
        check_broken(&whole, &swapped, before);
        let skipped = answered_with(&whole, place, &[next]);
        check_broken(&whole, &skipped, before);
    }
}

/// The client was told what had come in order, and then that it is broken.
fn check_broken(whole: &Whole, told: &[Told], arrived: usize) {
    let (end, told) = told.split_last().unwrap();
    assert_eq!(told, whole.told(arrived));
    let ClientEvent::Broken(error) = **end else {
        panic!("{end:?}")
    };
    assert!(
        matches!(
            error,
            ProtocolError::Unexpected(_) | ProtocolError::CallId { .. } | ProtocolError::Fragments
        ),
        "{error}"
    );
}
