//! What both ends agree on.

use super::*;
use crate::proto::Principal;
use crate::security::ntlm::{Authenticate, Challenge};

/// The octets of a packet of some length.
fn plain(length: usize) -> Vec<u8> {
    (0..length).map(|place| place as u8).collect()
}

#[test]
fn packets_of_both_ends_fit_at_every_level() {
    for level in LEVELS {
        for signs_header in [false, true] {
            let (mut client, mut server) = ends(level);
            for count in 0..200 {
                let plain = plain(32 + 7 * count);
                let ends = match count % 3 {
                    0 => (&mut server, &mut client),
                    _ => (&mut client, &mut server),
                };
                let (octets, signature) = protected(ends.0, &plain, signs_header);
                let is_sealed = octets[24..] != plain[24..];
                assert_eq!(is_sealed, level == AuthLevel::PRIVACY && plain.len() > 32);
                let again = verified(ends.1, &octets, &signature, signs_header);
                assert_eq!(again.unwrap(), plain, "{level} {count}");
            }
        }
    }
}

#[test]
fn ends_with_chance_of_their_own_agree() {
    let mut client = initiate(&user(), AuthLevel::PRIVACY);
    let mut server = Ntlm::new(settings()).accept(AuthLevel::PRIVACY);
    exchange(&mut client, &mut server).unwrap();
    let (octets, signature) = protected(&mut client, &[7; 64], true);
    assert!(verified(&mut server, &octets, &signature, true).is_ok());
}

#[test]
fn no_server_gets_a_proof_that_covers_less_than_the_message() {
    // As it comes, and without the time that the server tells.
    for info in [None, Some(&[0; 4][..]), Some(&[])] {
        let mut client = initiator(&user(), AuthLevel::INTEGRITY);
        let mut server = acceptor(settings(), AuthLevel::INTEGRITY);
        let negotiate = more(client.proceed(&[]));
        let told = more(server.proceed(&negotiate));
        let challenge = Challenge::decode(&told).unwrap();
        let challenge = Challenge {
            target_info: info.unwrap_or(challenge.target_info),
            ..challenge
        };
        let last = client.proceed(&challenge.encode()).unwrap().token;
        let message = Authenticate::decode(&last).unwrap();
        assert_eq!(message.lm_response, [0; 24], "{info:?}");
        assert!(message.nt_response.len() > 24 && message.mic.is_some());
    }
}

#[test]
fn each_end_knows_the_other() {
    let (client, server) = ends(AuthLevel::CONNECT);
    assert_eq!(
        client.principal(),
        Principal::Named("mapper.lab.example".into())
    );
    assert_eq!(server.principal(), Principal::Named("User".into()));
}

#[test]
fn secrets_are_not_shown() {
    let (client, server) = ends(AuthLevel::PRIVACY);
    let begun = initiator(&user(), AuthLevel::PRIVACY);
    for context in [client, server, begun] {
        let shown = format!("{context:?}");
        // The session's key is 0x55 throughout.
        assert!(!shown.contains("85, 85"), "{shown}");
        assert!(!shown.contains("\"Password"), "{shown}");
    }
}

#[test]
fn at_level_connect_a_signature_is_a_one_and_zeros() {
    let (mut client, _) = ends(AuthLevel::CONNECT);
    let (_, signature) = protected(&mut client, &[7; 64], true);
    let mut expected = [0; 16];
    expected[0] = 1;
    assert_eq!(signature, expected);
}

#[test]
fn who_has_the_hash_needs_no_password() {
    let mut client = initiator(
        &Credentials {
            secret: Secret::NtHash(NtHash::of("Password")),
            ..user()
        },
        AuthLevel::INTEGRITY,
    );
    let mut server = acceptor(settings(), AuthLevel::INTEGRITY);
    assert!(exchange(&mut client, &mut server).unwrap().is_complete);
}

#[test]
fn a_code_over_other_octets_takes_a_sequence_number() {
    for level in LEVELS {
        let (mut client, mut server) = ends(level);
        let mic = client.mic(b"mechTypes").unwrap();
        server.check_mic(b"mechTypes", &mic).unwrap();
        let mic = server.mic(b"mechTypes").unwrap();
        client.check_mic(b"mechTypes", &mic).unwrap();
        client.mics_exchanged();
        server.mics_exchanged();
        for _ in 0..3 {
            let (octets, signature) = protected(&mut client, &[7; 64], true);
            assert!(verified(&mut server, &octets, &signature, true).is_ok());
            let (octets, signature) = protected(&mut server, &[7; 64], true);
            assert!(verified(&mut client, &octets, &signature, true).is_ok());
        }
    }
}

#[test]
fn at_level_connect_a_server_may_do_without_an_exchanged_key() {
    use crate::security::NtHash;
    use crate::security::ntlm::message::{Authenticate, Challenge, with_mic};
    use crate::security::ntlm::{Flags, keys};
    let weaker = Flags::SIGN | Flags::KEY_128 | Flags::KEY_EXCHANGE;
    let mut client = initiator(&user(), AuthLevel::CONNECT);
    let negotiate = more(client.proceed(&[]));
    let challenge = more(acceptor(settings(), AuthLevel::CONNECT).proceed(&negotiate));
    let challenge = Challenge::decode(&challenge).unwrap();
    let (number, flags) = (challenge.challenge, challenge.flags.without(weaker));
    let challenge = Challenge { flags, ..challenge }.encode();
    let message = client.proceed(&challenge).unwrap().token;
    let said = Authenticate::decode(&message).unwrap();
    assert!(said.session_key.is_empty());
    assert!(!said.flags.intersects(weaker));
    // The MIC is made with the key that follows from the proof.
    let ntowf = keys::ntowf_v2(&NtHash::of("Password"), "User", "Domain");
    let (proof, blob) = said.nt_response.split_first_chunk().unwrap();
    assert_eq!(*proof, keys::proof_v2(&ntowf, &number, blob));
    let key = keys::session_base_v2(&ntowf, proof);
    let unsigned = with_mic(message.clone(), &[0; 16]);
    let mic = keys::mic(&key, [&negotiate, &challenge, &unsigned]);
    assert_eq!(said.mic, Some(mic));
}

#[test]
fn at_higher_levels_a_server_may_not() {
    use crate::security::ntlm::Flags;
    use crate::security::ntlm::message::Challenge;
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        for weaker in [Flags::SIGN, Flags::KEY_128, Flags::KEY_EXCHANGE] {
            let mut client = initiator(&user(), level);
            let negotiate = more(client.proceed(&[]));
            let challenge = more(acceptor(settings(), level).proceed(&negotiate));
            let challenge = Challenge::decode(&challenge).unwrap();
            let flags = challenge.flags.without(weaker);
            let challenge = Challenge { flags, ..challenge }.encode();
            assert!(client.proceed(&challenge).is_err(), "{level} {weaker:?}");
        }
    }
}
