//! Legs and requests out of their order.

use crate::client::{
    ALICE, BOB, Came, Client, Opened, Way, assert_ends, came, leg, open, unsigned,
};
use crate::client::{NONE, WHOLE};
use crate::legs::{self, Identity};
use crate::world::World;
use epmapper::wire::FaultStatus;
use epmapper::wire::pdu::{AuthLevel, AuthType, PacketType};

const LEVEL: AuthLevel = AuthLevel::INTEGRITY;

#[test]
fn a_request_before_the_last_leg_is_out_of_place() {
    let world = World::new();
    for way in Way::ALL {
        for level in [AuthLevel::CONNECT, LEVEL, AuthLevel::PRIVACY] {
            let mut opened = open(&world, way, level, ALICE);
            let unsigned = unsigned(WHOLE);
            assert_ends(&mut opened.peer, &unsigned, Came::VIOLATION, level);
            // Nor one with a verifier, be it as the client's context makes it:
            // that of NTLM is complete before its last leg is said.
            let opened = open(&world, way, level, ALICE);
            let mut client = Client {
                peer: opened.peer,
                identity: opened.identity,
                context: opened.context,
                signs_header: false,
            };
            let signed = match way.auth_type() {
                AuthType::NTLM => client.request(WHOLE, b"early"),
                _ => {
                    let verifier = client.identity.verifier(0, &[1; 16]);
                    legs::request(WHOLE, 2, &[], Some(verifier))
                }
            };
            client.assert_ends(&signed, Came::VIOLATION, level);
        }
    }
    world.end();
}

#[test]
fn spnego_ends_with_an_answer_and_never_with_an_auth3() {
    let world = World::new();
    for level in [AuthLevel::CONNECT, LEVEL, AuthLevel::PRIVACY] {
        let mut opened = open(&world, Way::SPNEGO, level, ALICE);
        let last = legs::auth3(opened.identity, &opened.last);
        opened.peer.send(&last);
        assert_ends(&mut opened.peer, &unsigned(WHOLE), Came::DENIED, level);
    }
    world.end();
}

#[test]
fn there_is_no_leg_behind_the_last() {
    let world = World::new();
    for way in Way::ALL {
        for level in [AuthLevel::CONNECT, LEVEL, AuthLevel::PRIVACY] {
            for (ptype, refused) in [
                (PacketType::ALTER_CONTEXT, Came::LEG_DENIED),
                (PacketType::AUTH3, Came::VIOLATION),
            ] {
                let opened = open(&world, way, level, ALICE);
                let last = opened.last.clone();
                let hello = way.hello(level, BOB);
                let mut client = opened.log_on();
                assert_eq!(client.ask(), Came::Served);
                let again = leg(ptype, client.identity, &last);
                client.assert_ends(&again, refused, ("the last again", ptype));
                // Nor does it become another's.
                let mut client = open(&world, way, level, ALICE).log_on();
                let anew = leg(ptype, client.identity, &hello);
                client.assert_ends(&anew, refused, ("a first one", ptype));
            }
        }
    }
    world.end();
}

#[test]
fn level_type_and_id_hold_from_the_first_leg_to_the_last() {
    let world = World::new();
    let sec_pkg_error = Came::DidNotExecute(FaultStatus::SEC_PKG_ERROR);
    for way in [Way::NTLM_ALTER, Way::SPNEGO] {
        let own = Identity::new(way.auth_type(), LEVEL);
        let level = |level| Identity { level, ..own };
        let of_type = |auth_type| Identity { auth_type, ..own };
        let other_type = match way.auth_type() {
            AuthType::NTLM => AuthType::SPNEGO,
            _ => AuthType::NTLM,
        };
        let others = [
            (level(AuthLevel::NONE), Came::LEG_DENIED),
            (level(AuthLevel::CONNECT), Came::LEG_DENIED),
            (level(AuthLevel::CALL), Came::LEG_DENIED),
            (level(AuthLevel::PACKET), Came::LEG_DENIED),
            (level(AuthLevel::PRIVACY), Came::LEG_DENIED),
            (of_type(other_type), sec_pkg_error),
            (of_type(AuthType::NONE), Came::LEG_DENIED),
            (Identity { id: 2, ..own }, Came::LEG_DENIED),
        ];
        for (identity, refused) in others {
            // In an alter_context; an rpc_auth_3 is out of place then.
            for ptype in [PacketType::ALTER_CONTEXT, PacketType::AUTH3] {
                let refused = match ptype {
                    PacketType::AUTH3 => Came::VIOLATION,
                    _ => refused,
                };
                let Opened { mut peer, last, .. } = open(&world, way, LEVEL, ALICE);
                peer.try_send(&leg(ptype, identity, &last));
                assert_eq!(came(&mut peer), refused, "{identity:?} {ptype}");
                assert!(peer.pdu_or_end().is_none());
            }
        }
    }
    world.end();
}

/// What was wrong with an rpc_auth_3 is told by whatever comes next, and whoever
/// waits is not told earlier.
#[test]
fn nothing_is_served_behind_an_auth3_that_was_refused() {
    let world = World::new();
    let behind = [
        (unsigned(WHOLE), Came::DENIED),
        (
            legs::request(
                WHOLE,
                2,
                &[],
                Some(Identity::new(AuthType::NTLM, LEVEL).verifier(0, &[0; 16])),
            ),
            Came::DENIED,
        ),
        (
            crate::legs::negotiation(
                PacketType::ALTER_CONTEXT,
                NONE,
                epmapper::wire::SyntaxId::MGMT,
                None,
            ),
            Came::VIOLATION,
        ),
        (
            leg(
                PacketType::ALTER_CONTEXT,
                Identity {
                    id: 2,
                    ..Identity::new(AuthType::NTLM, LEVEL)
                },
                &Way::NTLM.hello(LEVEL, ALICE),
            ),
            Came::VIOLATION,
        ),
    ];
    for (pdu, refused) in behind {
        let mut opened = open(&world, Way::NTLM, LEVEL, (ALICE.0, BOB.1));
        let last = opened.leg(&opened.last);
        opened.peer.send(&last);
        assert_ends(&mut opened.peer, &pdu, refused, "behind a wrong auth3");
    }
    world.end();
}

#[test]
fn a_bind_on_a_connection_that_is_logged_on_is_refused() {
    let world = World::new();
    let nak = Came::Nak(epmapper::wire::status::RejectReason::NOT_SPECIFIED);
    for way in Way::ALL {
        let hello = way.hello(LEVEL, ALICE);
        let mut client = Client::logged_on(&world, way, LEVEL, ALICE);
        let bind = leg(PacketType::BIND, client.identity, &hello);
        client.assert_ends(&bind, nak, way);
    }
    world.end();
}
