//! Logons that prove nothing.

use crate::client::{ALICE, BOB, Came, Client, NOBODY, Way, ask, assert_ends, open, unsigned};
use crate::client::{NONE, WHOLE, leg};
use crate::legs::Identity;
use crate::messages::{MIC, changed, message, rewritten};
use crate::world::World;
use epmapper::security::ntlm::LONGEST_MESSAGE;
use epmapper::wire::pdu::{AuthLevel, AuthType, PacketType};

const LEVEL: AuthLevel = AuthLevel::INTEGRITY;

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_alike_to_the_client_and_apart_in_the_log() {
    let world = World::new();
    let wrong = [
        ((ALICE.0, BOB.1), "wrong password"),
        ((ALICE.0, ""), "wrong password"),
        (("mallory", ALICE.1), "unknown account"),
        (("o'brien", ALICE.1), "unknown account"),
        (("", ALICE.1), "nobody may log on without a name"),
    ];
    let mut refused = 0;
    for way in Way::ALL {
        let mut answers = Vec::new();
        for (who, reason) in wrong {
            let mut opened = open(&world, way, LEVEL, who);
            let last = opened.last.clone();
            answers.push(opened.assert_refused(&last, who.0));
            refused += 1;
            let account = (!who.0.is_empty()).then_some(who.0);
            let reason = format!("the logon is refused: {reason}");
            world.assert_told(way, Some(account.unwrap_or("")), &reason);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{way:?} tells them apart");
    }
    assert_eq!(world.counter("wrong_logons"), refused);
    world.end();
}

#[test]
fn a_name_is_that_of_its_account_in_any_case() {
    let world = World::new();
    for name in ["ALICE", "alice", "bOB", "alice@lab.example"] {
        let password = match name.to_lowercase().starts_with("alice") {
            true => ALICE.1,
            false => BOB.1,
        };
        let mut client = Client::logged_on(&world, Way::NTLM, LEVEL, (name, password));
        assert_eq!(client.ask(), Came::Served, "{name}");
    }
    assert_eq!(world.counter("logons"), 4);
    world.end();
}

#[test]
fn a_proof_without_the_mic_that_it_announces_is_refused() {
    let world = World::new();
    for way in Way::ALL {
        let mut opened = open(&world, way, LEVEL, ALICE);
        let cut = changed(&opened.last, |message| {
            rewritten(message, |message| message.mic = None)
        });
        opened.assert_refused(&cut, "no MIC");
        let reason = "the logon is refused: the MIC that was announced is missing";
        world.assert_told(way, Some(ALICE.0), reason);
    }
    world.end();
}

#[test]
fn no_octet_of_a_mic_can_be_changed() {
    let world = World::new();
    for way in Way::ALL {
        for place in MIC {
            let mut opened = open(&world, way, LEVEL, ALICE);
            let token = flipped(&opened.last, place, 1);
            opened.assert_refused(&token, place);
        }
        let reason = "the logon is refused: the MIC does not fit";
        world.assert_told(way, Some(ALICE.0), reason);
    }
    world.end();
}

#[test]
fn no_octet_of_a_proof_can_be_changed() {
    let world = World::new();
    for way in [Way::NTLM_ALTER, Way::SPNEGO] {
        let len = message(&open(&world, way, LEVEL, ALICE).last).len();
        for place in 0..len {
            let mut opened = open(&world, way, LEVEL, ALICE);
            let token = flipped(&opened.last, place, 0x40);
            opened.assert_refused(&token, place);
        }
    }
    world.end();
}

/// What SPNEGO puts around a message is not NTLM's: of that nothing is signed
/// but the list, yet the MIC over that has to be there as it is.
#[test]
fn no_octet_of_spnegos_own_mic_can_be_changed() {
    let world = World::new();
    let len = open(&world, Way::SPNEGO, LEVEL, ALICE).last.len();
    for place in len - 16..len {
        let mut opened = open(&world, Way::SPNEGO, LEVEL, ALICE);
        let mut token = opened.last.clone();
        token[place] ^= 1;
        opened.assert_refused(&token, place);
    }
    world.assert_told(Way::SPNEGO, None, "the signature does not fit");
    world.end();
}

#[test]
fn a_proof_that_is_cut_short_or_goes_on_is_refused() {
    let world = World::new();
    let len = open(&world, Way::NTLM_ALTER, LEVEL, ALICE).last.len();
    for cut in (0..len).step_by(7) {
        let mut opened = open(&world, Way::NTLM_ALTER, LEVEL, ALICE);
        let token = opened.last[..cut].to_vec();
        match cut {
            // Without a value there is no verifier.
            0 => assert_ne!(opened.say_last(&token).1, Came::Served),
            _ => drop(opened.assert_refused(&token, cut)),
        }
    }
    let mut opened = open(&world, Way::NTLM_ALTER, LEVEL, ALICE);
    let token = [&opened.last[..], b"more"].concat();
    opened.assert_refused(&token, "more");
    world.end();
}

#[test]
fn a_proof_for_another_connection_is_refused() {
    let world = World::new();
    for way in Way::ALL {
        // One that was used, and one that was kept from its server.
        let used = open(&world, way, LEVEL, ALICE);
        let token = used.last.clone();
        let mut client = used.log_on();
        assert_eq!(client.ask(), Came::Served);
        let kept = open(&world, way, LEVEL, ALICE);
        for token in [token, kept.last] {
            let mut thief = open(&world, way, LEVEL, ALICE);
            thief.assert_refused(&token, "replayed");
        }
        let reason = "the logon is refused: wrong password";
        world.assert_told(way, Some(ALICE.0), reason);
        // Whose it was goes on.
        assert_eq!(client.ask(), Came::Served);
    }
    world.end();
}

#[test]
fn a_proof_of_an_older_kind_is_refused() {
    let world = World::new();
    let kinds = [
        (24, 24, "NTLMv1 responses are not taken"),
        (24, 0, "LM responses are not taken"),
        (0, 24, "NTLMv1 responses are not taken"),
    ];
    for way in Way::ALL {
        for (lm, nt, reason) in kinds {
            let (lm, nt) = (vec![1; lm], vec![1; nt]);
            let mut opened = open(&world, way, LEVEL, ALICE);
            let token = changed(&opened.last, |message| {
                rewritten(message, |message| {
                    message.lm_response = &lm;
                    message.nt_response = &nt;
                })
            });
            opened.assert_refused(&token, reason);
            let reason = format!("the logon is refused: {reason}");
            world.assert_told(way, Some(ALICE.0), &reason);
        }
    }
    world.end();
}

#[test]
fn nobody_logs_on_where_that_is_not_allowed() {
    let world = World::new();
    for way in Way::ALL {
        let mut opened = open(&world, way, LEVEL, NOBODY);
        let last = opened.last.clone();
        opened.assert_refused(&last, "anonymous");
        let reason = "the logon is refused: nobody may log on without a name";
        world.assert_told(way, Some(""), reason);
    }
    world.end();
}

#[test]
fn nobody_where_it_may_log_on_is_still_not_somebody() {
    let require = "anonymous = true\nrequire = \"everything\"";
    let world = World::with(require, 10);
    for way in Way::ALL {
        for level in [AuthLevel::CONNECT, LEVEL, AuthLevel::PRIVACY] {
            let mut client = Client::logged_on(&world, way, level, NOBODY);
            // Denied call by call; the connection goes on.
            for _ in 0..2 {
                assert_eq!(client.ask(), Came::DENIED, "{way:?} {level}");
            }
        }
    }
    let mut unsigned_peer = crate::peer::Peer::bound(world.address());
    assert_eq!(ask(&mut unsigned_peer, &unsigned(WHOLE)), Came::DENIED);
    world.end();
}

#[test]
fn a_token_longer_than_any_that_is_right_is_refused() {
    let world = World::new();
    for way in Way::ALL {
        let identity = Identity::new(way.auth_type(), LEVEL);
        for (len, came) in [
            (LONGEST_MESSAGE, Came::Agreed),
            (LONGEST_MESSAGE + 1, Came::BAD_TOKEN),
            (16_000, Came::BAD_TOKEN),
        ] {
            let hello = way.hello(LEVEL, ALICE);
            let token = lengthened(&hello, len);
            let bind = leg(PacketType::BIND, identity, &token);
            let mut peer = world.connect();
            match came {
                Came::Agreed => assert_eq!(ask(&mut peer, &bind), came, "{way:?}"),
                came => assert_ends(&mut peer, &bind, came, (way, len)),
            }
        }
        for len in [LONGEST_MESSAGE + 1, 16_000] {
            let mut opened = open(&world, way, LEVEL, ALICE);
            let token = lengthened(&opened.last, len);
            opened.assert_refused(&token, len);
        }
    }
    world.end();
}

#[test]
fn a_first_token_that_is_none_is_refused() {
    let world = World::new();
    let rubbish: [&[u8]; 6] = [
        b"x",
        b"NTLMSSP\0",
        b"NTLMSSP\0\x01\0\0\0",
        b"NTLMSSP\0\x03\0\0\0",
        &[0x60, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0xa1; 2000],
    ];
    for auth_type in [AuthType::NTLM, AuthType::SPNEGO] {
        let identity = Identity::new(auth_type, LEVEL);
        for token in rubbish {
            let bind = leg(PacketType::BIND, identity, token);
            assert_ends(&mut world.connect(), &bind, Came::BAD_TOKEN, token);
            let mut peer = crate::peer::Peer::bound(world.address());
            let alter = crate::legs::negotiation(
                PacketType::ALTER_CONTEXT,
                NONE,
                epmapper::wire::SyntaxId::EPT,
                Some((identity, token)),
            );
            assert_ends(&mut peer, &alter, Came::LEG_DENIED, token);
        }
        // A proof in the place of a hello.
        let proof = open(&world, Way::NTLM, LEVEL, ALICE).last;
        let bind = leg(PacketType::BIND, identity, &proof);
        assert_ends(&mut world.connect(), &bind, Came::BAD_TOKEN, "a proof");
    }
    world.end();
}

/// A token with the bits of an octet of its message flipped.
fn flipped(token: &[u8], place: usize, bits: u8) -> Vec<u8> {
    changed(token, |message| {
        let mut message = message.to_vec();
        message[place] ^= bits;
        message
    })
}

/// A token whose message is followed by zeros up to a length.
fn lengthened(token: &[u8], len: usize) -> Vec<u8> {
    changed(token, |message| {
        let mut message = message.to_vec();
        message.resize(len, 0);
        message
    })
}
