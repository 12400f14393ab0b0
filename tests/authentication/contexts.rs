//! Several security contexts on one connection, and calls in fragments.

use crate::client::{ALICE, BOB, Came, Client, NONE, WHOLE, Way, Who, ask, assert_ends, leg};
use crate::client::{log_on_by, unsigned};
use crate::legs::{self, Identity};
use crate::peer::Peer;
use crate::world::World;
use epmapper::proto::SecurityContext;
use epmapper::wire::pdu::{AuthLevel, PacketType, PfcFlags};
use epmapper::wire::{FaultStatus, SyntaxId, mgmt};

const LEVEL: AuthLevel = AuthLevel::INTEGRITY;
const FIRST: PfcFlags = PfcFlags::FIRST_FRAG;
const LAST: PfcFlags = PfcFlags::LAST_FRAG;

/// A security context of somebody, besides those of a connection.
pub struct Beside {
    identity: Identity,
    context: Box<dyn SecurityContext>,
}

impl Beside {
    pub fn request(&mut self, flags: PfcFlags, stub: &[u8]) -> Vec<u8> {
        let call = (mgmt::IS_SERVER_LISTENING, stub);
        legs::signed_request(flags, call, self.identity, &mut *self.context, false)
    }
}

/// Logs on beside, by alter_contexts.
pub fn beside(peer: &mut Peer, way: Way, level: AuthLevel, who: Who, id: u32) -> Beside {
    let identity = Identity {
        id,
        ..Identity::new(way.auth_type(), level)
    };
    let first = PacketType::ALTER_CONTEXT;
    let context = log_on_by(peer, (first, SyntaxId::MGMT), way, identity, who);
    Beside { identity, context }
}

/// Clients of each way and level that signs, Alice's security context as id 1 and
/// Bob's as 2.
fn of_each(world: &World, wrong: impl Fn(Client, Beside)) {
    for way in [Way::NTLM, Way::SPNEGO] {
        for level in [LEVEL, AuthLevel::PRIVACY] {
            let mut client = Client::logged_on(world, way, level, ALICE);
            let bob = beside(&mut client.peer, way, level, BOB, 2);
            wrong(client, bob);
        }
    }
}

#[test]
fn a_signature_of_another_context_is_refused_under_either_id() {
    let world = World::new();
    of_each(&world, |mut client, mut bob| {
        bob.identity.id = 1;
        let request = bob.request(WHOLE, b"as Alice");
        client.assert_ends(&request, Came::BAD_SIGNATURE, "Bob as Alice");
    });
    of_each(&world, |mut client, _| {
        client.identity.id = 2;
        let request = client.request(WHOLE, b"as Bob");
        client.assert_ends(&request, Came::BAD_SIGNATURE, "Alice as Bob");
    });
    // The trail names whose context was to be used.
    let reason = "the signature does not fit";
    for name in [ALICE.0, BOB.0] {
        world.assert_told_of_packet((Way::NTLM.auth_type(), LEVEL), name, reason);
    }
    world.end();
}

#[test]
fn a_fragment_of_another_context_is_refused() {
    let world = World::new();
    of_each(&world, |mut client, mut bob| {
        let first = client.request(FIRST, &[0; 16]);
        client.peer.send(&first);
        let next = bob.request(LAST, &[0; 16]);
        client.assert_ends(&next, Came::BAD_SIGNATURE, "Bob goes on");
    });
    // The other way round, where the first fragment is not the bind's context's.
    of_each(&world, |mut client, mut bob| {
        client.peer.send(&bob.request(FIRST, &[0; 16]));
        let next = client.request(LAST, &[0; 16]);
        client.assert_ends(&next, Came::BAD_SIGNATURE, "Alice goes on");
    });
    world.end();
}

#[test]
fn a_fragment_without_a_verifier_is_no_part_of_a_signed_call() {
    let world = World::new();
    of_each(&world, |mut client, _| {
        let first = client.request(FIRST, &[0; 16]);
        client.peer.send(&first);
        let proto_error = Came::Fault(FaultStatus::PROTO_ERROR);
        client.assert_ends(&unsigned(LAST), proto_error, "unsigned");
    });
    // Nor is it a call's beginning.
    of_each(&world, |mut client, _| {
        client.assert_ends(&unsigned(FIRST), Came::DENIED, "unsigned");
    });
    world.end();
}

#[test]
fn a_signed_fragment_is_no_part_of_a_call_of_nobody() {
    let world = World::new();
    for way in [Way::NTLM, Way::SPNEGO] {
        for level in [LEVEL, AuthLevel::PRIVACY] {
            let mut peer = bound_by_nobody(&world);
            let mut alice = beside(&mut peer, way, level, ALICE, 1);
            peer.send(&unsigned(FIRST));
            let next = alice.request(LAST, &[0; 16]);
            assert_ends(&mut peer, &next, Came::DENIED, (way, level));
        }
    }
    world.end();
}

/// A connection that was bound without a verifier.
fn bound_by_nobody(world: &World) -> Peer {
    let mut peer = world.connect();
    let bind = legs::negotiation(PacketType::BIND, NONE, SyntaxId::MGMT, None);
    assert_eq!(ask(&mut peer, &bind), Came::Agreed);
    peer
}

#[test]
fn fragments_that_are_left_out_swapped_or_repeated_are_refused() {
    let world = World::new();
    let proto_error = || Came::Fault(FaultStatus::PROTO_ERROR);
    let orders: [(&[usize], Came, &str); 5] = [
        (&[0, 2, 1, 3], Came::BAD_SIGNATURE, "swapped"),
        (&[0, 1, 3], Came::BAD_SIGNATURE, "left out"),
        (&[0, 1, 1, 2, 3], Came::BAD_SIGNATURE, "repeated"),
        // Without a first one there is no call that a signature could be of.
        (&[1, 0, 2, 3], proto_error(), "another first"),
        (&[3], proto_error(), "the last alone"),
    ];
    for (order, refused, what) in orders {
        let refused = &refused;
        of_each(&world, |mut client, _| {
            let fragments = four_fragments(&mut client);
            let all: Vec<u8> = order.iter().flat_map(|at| fragments[*at].clone()).collect();
            client.peer.send(&all);
            assert_eq!(crate::client::came(&mut client.peer), *refused, "{what}");
            assert!(client.peer.pdu_or_end().is_none(), "{what}: goes on");
        });
    }
    world.end();
}

/// A call in four fragments.
fn four_fragments(client: &mut Client) -> [Vec<u8>; 4] {
    [FIRST, NONE, NONE, LAST].map(|flags| client.request(flags, &[flags.0; 32]))
}

#[test]
fn no_fragment_of_a_call_can_be_changed() {
    let world = World::new();
    for changed in 0..4 {
        of_each(&world, |mut client, _| {
            let mut fragments = four_fragments(&mut client);
            fragments[changed][30] ^= 1;
            client.assert_ends(&fragments.concat(), Came::BAD_SIGNATURE, changed);
        });
    }
    world.end();
}

/// Whether a fragment is the first or the last is signed, too.
#[test]
fn a_call_cannot_be_cut_short_or_made_longer() {
    let world = World::new();
    of_each(&world, |mut client, _| {
        let mut first = client.request(FIRST, &[0; 16]);
        first[3] |= LAST.0;
        client.assert_ends(&first, Came::BAD_SIGNATURE, "cut short");
    });
    of_each(&world, |mut client, _| {
        let mut whole = client.request(WHOLE, &[0; 16]);
        whole[3] &= !LAST.0;
        client.assert_ends(&whole, Came::BAD_SIGNATURE, "made longer");
    });
    world.end();
}

#[test]
fn calls_without_a_verifier_beside_a_signed_context_are_nobodys() {
    let world = World::with("require = \"everything\"", 10);
    for level in [LEVEL, AuthLevel::PRIVACY] {
        let mut peer = bound_by_nobody(&world);
        let mut alice = beside(&mut peer, Way::SPNEGO, level, ALICE, 1);
        for _ in 0..2 {
            let request = alice.request(WHOLE, b"it is me");
            assert_eq!(ask(&mut peer, &request), Came::Served);
            assert_eq!(ask(&mut peer, &unsigned(WHOLE)), Came::DENIED);
        }
    }
    world.end();
}

#[test]
fn a_connection_has_no_more_security_contexts_than_the_limit() {
    let world = World::new();
    let mut client = Client::logged_on(&world, Way::NTLM, LEVEL, ALICE);
    let mut others: Vec<_> = (2..=64)
        .map(|id| beside(&mut client.peer, Way::NTLM, LEVEL, BOB, id))
        .collect();
    for other in &mut others {
        let request = other.request(WHOLE, b"one of many");
        assert_eq!(ask(&mut client.peer, &request), Came::Served);
    }
    let identity = Identity {
        id: 65,
        ..client.identity
    };
    let hello = Way::NTLM.hello(LEVEL, BOB);
    let one_more = leg(PacketType::ALTER_CONTEXT, identity, &hello);
    client.assert_ends(&one_more, Came::VIOLATION, "one more");
    world.end();
}
