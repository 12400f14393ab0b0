//! Signed and sealed requests that somebody on the way changes, repeats or makes up.

use crate::client::{ALICE, BOB, Came, Client, Places, WHOLE, Way, came, unsigned};
use crate::legs::{self, Identity};
use crate::world::World;
use epmapper::wire::FaultStatus;
use epmapper::wire::mgmt;
use epmapper::wire::pdu::{AuthLevel, AuthType, PfcFlags};
use std::net::Shutdown;

const SIGNED: [AuthLevel; 3] = [AuthLevel::PACKET, AuthLevel::INTEGRITY, AuthLevel::PRIVACY];
const WAYS: [Way; 2] = [Way::NTLM, Way::SPNEGO];

/// What a signed request's stub is.
const STUB: &[u8] = b"what is signed and is not to be changed";

/// Has a client of each way and level do something wrong.
fn of_each(world: &World, wrong: impl Fn(Way, Client)) {
    for way in WAYS {
        for level in SIGNED {
            wrong(way, Client::logged_on(world, way, level, ALICE));
        }
    }
}

/// The audit trail tells of a signature that did not fit, of every way and level.
#[track_caller]
fn assert_all_told(world: &World) {
    for way in WAYS {
        for level in SIGNED {
            let reason = "the signature does not fit";
            world.assert_told_of_packet((way.auth_type(), level), ALICE.0, reason);
        }
    }
}

#[test]
fn no_octet_of_a_signed_request_can_be_changed() {
    let world = World::new();
    for (way, level) in [
        (Way::NTLM, AuthLevel::INTEGRITY),
        (Way::SPNEGO, AuthLevel::PRIVACY),
    ] {
        let mut first = Client::logged_on(&world, way, level, ALICE);
        let len = first.request(WHOLE, STUB).len();
        for place in 0..len {
            let mut client = Client::logged_on(&world, way, level, ALICE);
            let mut request = client.request(WHOLE, STUB);
            request[place] ^= 1;
            client.peer.try_send(&request);
            // A longer fragment would be waited for.
            let _ = client.peer.stream.shutdown(Shutdown::Write);
            let found = came(&mut client.peer);
            let expected = changed_at(place, &Places::of_len(len));
            assert_eq!(found, expected, "{way:?} {level} {place}");
            assert_eq!(came(&mut client.peer), Came::Closed, "{place}");
        }
    }
    world.end();
}

/// What a request comes to whose octet there is changed in its lowest bit.
fn changed_at(place: usize, places: &Places) -> Came {
    let trailer = places.trailer.start;
    match place {
        // The version; the type becomes a ping's.
        0..=2 => Came::VIOLATION,
        // Not a first fragment any more.
        3 => Came::Fault(FaultStatus::PROTO_ERROR),
        // Of no label.
        4..=7 => Came::VIOLATION,
        // Longer by one octet, and by 256, or shorter.
        8 | 9 => Came::Closed,
        // A verifier that does not begin at a multiple of 4, or has no room.
        10 => Came::Fault(FaultStatus::PROTO_ERROR),
        11 => Came::VIOLATION,
        // call_id, alloc_hint, context_id, opnum, and what is sealed.
        12..=23 => Came::BAD_SIGNATURE,
        _ if places.stub.contains(&place) => Came::BAD_SIGNATURE,
        // Type, level.
        _ if (trailer..trailer + 2).contains(&place) => Came::DENIED,
        // Pad length and what is reserved.
        _ if (trailer + 2..trailer + 4).contains(&place) => Came::BAD_SIGNATURE,
        // The security context's id.
        _ if places.trailer.contains(&place) => Came::DENIED,
        _ => Came::BAD_SIGNATURE,
    }
}

#[test]
fn a_request_sent_twice_is_refused_the_second_time() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        let request = client.request(WHOLE, STUB);
        client.peer.send(&request);
        assert_eq!(client.answer().0, Came::Served);
        client.assert_ends(&request, Came::BAD_SIGNATURE, "twice");
    });
    assert_all_told(&world);
    assert_eq!(world.counter("refused_packets"), 6);
    world.end();
}

#[test]
fn a_request_that_an_earlier_one_is_missing_before_is_refused() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        let _lost = client.request(WHOLE, STUB);
        let request = client.request(WHOLE, STUB);
        client.assert_ends(&request, Came::BAD_SIGNATURE, "the first is missing");
    });
    assert_all_told(&world);
    world.end();
}

#[test]
fn requests_that_change_places_are_refused() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        let (first, second) = (client.request(WHOLE, STUB), client.request(WHOLE, STUB));
        let both = [second, first].concat();
        client.assert_ends(&both, Came::BAD_SIGNATURE, "swapped");
    });
    world.end();
}

#[test]
fn a_request_of_another_connection_is_refused() {
    let world = World::new();
    of_each(&world, |way, mut client| {
        let mut other = Client::logged_on(&world, way, client.identity.level, ALICE);
        let request = other.request(WHOLE, STUB);
        client.assert_ends(&request, Came::BAD_SIGNATURE, "stolen");
        other.peer.send(&request);
        assert_eq!(other.answer().0, Came::Served, "it was not used up");
    });
    assert_all_told(&world);
    world.end();
}

/// The server's signature and stub under a request's header.
#[test]
fn an_answer_sent_back_is_no_request() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        let request = client.request(WHOLE, STUB);
        client.peer.send(&request);
        let answer = client.peer.pdu_or_end().unwrap();
        let mut forged = [&request[..24], &answer[24..]].concat();
        let len = u16::try_from(forged.len()).unwrap();
        forged[8..10].copy_from_slice(&len.to_le_bytes());
        client.assert_ends(&forged, Came::BAD_SIGNATURE, "reflected");
    });
    world.end();
}

#[test]
fn a_level_is_not_lowered_in_a_request() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        client.assert_ends(&unsigned(WHOLE), Came::DENIED, "no verifier at all");
    });
    let levels = [0, 1, 2, 3, 4, 5, 6, 7, 255].map(AuthLevel);
    of_each(&world, |way, client| {
        let level = client.identity.level;
        for other in levels.into_iter().filter(|other| *other != level) {
            // As the security context signs it.
            let mut client = Client::logged_on(&world, way, level, ALICE);
            client.identity.level = other;
            let request = client.request(WHOLE, STUB);
            client.assert_ends(&request, Came::DENIED, (way, level, other));
            // As level connect has it, where a signature says nothing.
            let mut client = Client::logged_on(&world, way, level, ALICE);
            let identity = Identity {
                level: other,
                ..client.identity
            };
            let request = made_up(identity, &[0; 12]);
            client.assert_ends(&request, Came::DENIED, (way, level, other));
        }
    });
    let reason = "the verifier is not its security context's";
    for way in WAYS {
        for level in SIGNED {
            world.assert_told_of_packet((way.auth_type(), level), ALICE.0, reason);
        }
    }
    world.end();
}

/// A request whose signature is version 1 and then these octets.
fn made_up(identity: Identity, behind: &[u8]) -> Vec<u8> {
    let value = [&[1, 0, 0, 0], behind].concat();
    let verifier = identity.verifier(0, &value);
    legs::request(WHOLE, mgmt::IS_SERVER_LISTENING, &[], Some(verifier))
}

#[test]
fn type_and_id_of_a_request_are_its_security_contexts() {
    let world = World::new();
    let types = [0, 9, 10, 14, 16, 68, 200, 255].map(AuthType);
    for way in WAYS {
        for level in [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
            for auth_type in types.into_iter().filter(|other| *other != way.auth_type()) {
                let mut client = Client::logged_on(&world, way, level, ALICE);
                client.identity.auth_type = auth_type;
                let request = client.request(WHOLE, STUB);
                client.assert_ends(&request, Came::DENIED, (way, level, auth_type));
            }
            for id in [0, 2, u32::MAX] {
                let mut client = Client::logged_on(&world, way, level, ALICE);
                client.identity.id = id;
                let request = client.request(WHOLE, STUB);
                client.assert_ends(&request, Came::DENIED, (way, level, id));
            }
        }
    }
    world.end();
}

#[test]
fn a_level_is_not_raised_in_a_request_of_level_connect() {
    let world = World::new();
    for way in WAYS {
        for level in SIGNED {
            let mut client = Client::logged_on(&world, way, AuthLevel::CONNECT, ALICE);
            client.identity.level = level;
            let request = client.request(WHOLE, STUB);
            client.assert_ends(&request, Came::DENIED, (way, level));
        }
    }
    world.end();
}

#[test]
fn a_signature_of_another_length_is_refused() {
    let world = World::new();
    of_each(&world, |way, client| {
        for len in [0, 4, 11, 13, 28, 60] {
            let level = client.identity.level;
            let mut client = Client::logged_on(&world, way, level, ALICE);
            let request = made_up(client.identity, &vec![0; len]);
            client.assert_ends(&request, Came::BAD_SIGNATURE, len);
        }
    });
    world.end();
}

/// Behind a right signature of what is sealed.
#[test]
fn what_is_not_sealed_is_not_taken_where_it_has_to_be() {
    let world = World::new();
    for way in WAYS {
        let mut client = Client::logged_on(&world, way, AuthLevel::PRIVACY, ALICE);
        let mut plain = client.request(WHOLE, STUB);
        plain[24..24 + STUB.len()].copy_from_slice(STUB);
        client.assert_ends(&plain, Came::BAD_SIGNATURE, way);
    }
    world.end();
}

#[test]
fn nothing_behind_a_wrong_packet_is_served() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        let mut wrong = client.request(WHOLE, STUB);
        *wrong.last_mut().unwrap() ^= 1;
        let right = client.request(WHOLE, STUB);
        let all = [wrong, right, unsigned(WHOLE)].concat();
        client.assert_ends(&all, Came::BAD_SIGNATURE, "wrong, right, none");
    });
    world.end();
}

/// Calls that nobody waits for are judged as all others are.
#[test]
fn a_maybe_call_with_a_wrong_signature_is_refused_as_well() {
    let world = World::new();
    of_each(&world, |_, mut client| {
        let mut wrong = client.request(WHOLE | PfcFlags::MAYBE, STUB);
        *wrong.last_mut().unwrap() ^= 1;
        client.assert_ends(&wrong, Came::BAD_SIGNATURE, "maybe");
    });
    world.end();
}

/// Guessing costs a connection and a logon each.
#[test]
fn guessed_signatures_are_refused() {
    let world = World::new();
    for (way, who) in [(Way::NTLM, ALICE), (Way::SPNEGO, BOB)] {
        for guess in 0..50_u8 {
            let mut client = Client::logged_on(&world, way, AuthLevel::INTEGRITY, who);
            let sequence = u32::from(way == Way::SPNEGO).to_le_bytes();
            let request = made_up(client.identity, &[&[guess; 8][..], &sequence].concat());
            client.assert_ends(&request, Came::BAD_SIGNATURE, guess);
        }
    }
    world.end();
}
