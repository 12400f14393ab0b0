//! Logons that somebody on the way makes weaker.

use crate::client::{ALICE, Came, NONE, Opened, Way, assert_ends, bind, leg, open, say};
use crate::legs::Identity;
use crate::messages::{changed, message, rewritten, with, without};
use crate::world::World;
use epmapper::security::ntlm::{AvId, Flags};
use epmapper::wire::pdu::{AuthLevel, PacketType};

const LEVEL: AuthLevel = AuthLevel::INTEGRITY;

/// What a client loses that goes on without: keys, signatures, seals.
const WEAKER: [Flags; 3] = [Flags::SIGN, Flags::ALWAYS_SIGN, Flags::KEY_EXCHANGE];

/// What everybody has these days.
const NEEDED: [Flags; 2] = [Flags::EXTENDED_SESSION_SECURITY, Flags::KEY_128];

/// A logon whose hello has lost flags on its way, and whose challenge has got
/// them back, so that the client knows nothing of it.
fn deceived(world: &World, way: Way, flags: Flags) -> Opened {
    let mut peer = world.connect();
    let mut context = way.context(LEVEL, ALICE);
    let identity = Identity::new(way.auth_type(), LEVEL);
    let hello = context.proceed(&[]).unwrap().token;
    let hello = changed(&hello, |message| without(message, flags));
    let challenge = say(&mut peer, bind(NONE), identity, &hello);
    let challenge = changed(&challenge, |message| with(message, flags));
    let last = context.proceed(&challenge).unwrap().token;
    Opened {
        peer,
        way,
        identity,
        context,
        last,
        signs_header: false,
    }
}

#[test]
fn a_client_without_what_everybody_has_is_refused_at_once() {
    let world = World::new();
    for way in Way::ALL {
        for flags in NEEDED {
            let hello = way.hello(LEVEL, ALICE);
            let hello = changed(&hello, |message| without(message, flags));
            let identity = Identity::new(way.auth_type(), LEVEL);
            let first = leg(PacketType::BIND, identity, &hello);
            assert_ends(&mut world.connect(), &first, Came::BAD_TOKEN, flags);
        }
    }
    world.end();
}

#[test]
fn flags_taken_out_of_a_hello_are_found_out() {
    let world = World::new();
    for way in Way::ALL {
        for flags in WEAKER {
            // The client says what it was made to believe, or that, too, is
            // taken out.
            let mut opened = deceived(&world, way, flags);
            let last = opened.last.clone();
            opened.assert_refused(&last, flags);
            let mut opened = deceived(&world, way, flags);
            let last = changed(&opened.last, |message| without(message, flags));
            opened.assert_refused(&last, flags);
            // Nor does it help to take the MIC out.
            let mut opened = deceived(&world, way, flags);
            let last = changed(&opened.last, |octets| {
                rewritten(&without(octets, flags), |message| message.mic = None)
            });
            opened.assert_refused(&last, flags);
        }
        let reason = "the logon is refused: the MIC does not fit";
        world.assert_told(way, Some(ALICE.0), reason);
    }
    world.end();
}

#[test]
fn flags_taken_out_of_a_proof_are_found_out() {
    let world = World::new();
    for way in Way::ALL {
        for flags in [&WEAKER[..], &NEEDED[..], &[Flags::UNICODE, Flags::VERSION]].concat() {
            let mut opened = open(&world, way, LEVEL, ALICE);
            let last = changed(&opened.last, |message| without(message, flags));
            opened.assert_refused(&last, flags);
        }
        let reason = "the logon is refused: less was negotiated than was offered";
        world.assert_told(way, Some(ALICE.0), reason);
    }
    world.end();
}

#[test]
fn flags_put_into_a_proof_are_found_out() {
    let world = World::new();
    for way in Way::ALL {
        for flags in [Flags::LM_KEY, Flags::NON_NT_SESSION_KEY, Flags::DATAGRAM] {
            let mut opened = open(&world, way, LEVEL, ALICE);
            let last = changed(&opened.last, |message| with(message, flags));
            opened.assert_refused(&last, flags);
        }
        let reason = "the logon is refused: more was negotiated than was offered";
        world.assert_told(way, Some(ALICE.0), reason);
    }
    world.end();
}

/// Of the proof of a client that told that it sends a MIC, the telling cannot be
/// taken out.
#[test]
fn what_announces_a_mic_cannot_be_taken_out() {
    let world = World::new();
    for way in Way::ALL {
        let mut opened = open(&world, way, LEVEL, ALICE);
        let last = changed(&opened.last, |octets| {
            // The pair of flags: 6, 4 octets, 2.
            let announced = [AvId::FLAGS.0 as u8, 0, 4, 0, 2, 0, 0, 0];
            let place = octets.windows(8).position(|part| part == announced);
            let mut octets = octets.to_vec();
            octets[place.expect("the announcement") + 4] = 0;
            rewritten(&octets, |message| message.mic = None)
        });
        opened.assert_refused(&last, "no announcement");
        let reason = "the logon is refused: wrong password";
        world.assert_told(way, Some(ALICE.0), reason);
    }
    world.end();
}

/// Whatever is changed in a challenge on its way, the client's MIC covers what
/// it got.
#[test]
fn a_challenge_changed_on_its_way_is_found_out() {
    let world = World::new();
    for way in Way::ALL {
        let mut place = 24;
        loop {
            let mut peer = world.connect();
            let mut context = way.context(LEVEL, ALICE);
            let identity = Identity::new(way.auth_type(), LEVEL);
            let hello = context.proceed(&[]).unwrap().token;
            let token = say(&mut peer, bind(NONE), identity, &hello);
            if place >= message(&token).len() {
                break;
            }
            let token = changed(&token, |message| {
                let mut message = message.to_vec();
                message[place] ^= 1;
                message
            });
            place += 1;
            // Some of it the client itself finds out.
            let Ok(last) = context.proceed(&token) else {
                continue;
            };
            let last = last.token;
            let mut opened = Opened {
                peer,
                way,
                identity,
                context,
                last: last.clone(),
                signs_header: false,
            };
            opened.assert_refused(&last, place - 1);
        }
    }
    world.end();
}
