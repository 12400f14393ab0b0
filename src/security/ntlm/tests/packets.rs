//! Which packets an end refuses.

use super::*;

#[test]
fn every_change_of_a_packet_is_refused() {
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        for place in 0_usize..64 + 16 {
            let (mut client, mut server) = ends(level);
            let (mut octets, mut signature) = protected(&mut client, &[7; 64], true);
            match place.checked_sub(64) {
                Some(place) => signature[place] ^= 1,
                None => octets[place] ^= 1,
            }
            let mut taken = octets.clone();
            let outcome = server.verify(packet(&mut taken, true), &signature);
            assert_eq!(outcome, Err(SecurityError::Signature), "{level} {place}");
            assert_eq!(taken[24..56], [0; 32], "nothing is left of the stub");
        }
    }
}

#[test]
fn headers_may_not_change_even_where_the_connection_does_not_sign_them() {
    let (mut client, mut server) = ends(AuthLevel::INTEGRITY);
    let (mut octets, signature) = protected(&mut client, &[7; 64], false);
    octets[0] ^= 1;
    assert!(verified(&mut server, &octets, &signature, false).is_err());
}

#[test]
fn a_context_hears_nothing_once_a_packet_did_not_fit_and_answers_what_came_before() {
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        let (mut client, mut server) = ends(level);
        let (octets, signature) = protected(&mut client, &[7; 64], true);
        assert!(verified(&mut server, &octets, &[0; 16], true).is_err());
        assert!(verified(&mut server, &octets, &signature, true).is_err());
        let (octets, signature) = protected(&mut server, &[7; 64], true);
        assert!(verified(&mut client, &octets, &signature, true).is_ok());
    }
}

#[test]
fn a_packet_that_comes_again_or_too_early_or_back_is_refused() {
    for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
        let (mut client, mut server) = ends(level);
        let (octets, signature) = protected(&mut client, &[7; 64], true);
        assert!(verified(&mut server, &octets, &signature, true).is_ok());
        assert!(
            verified(&mut server, &octets, &signature, true).is_err(),
            "again"
        );

        let (mut client, mut server) = ends(level);
        protected(&mut client, &[7; 64], true);
        let (octets, signature) = protected(&mut client, &[7; 64], true);
        assert!(
            verified(&mut server, &octets, &signature, true).is_err(),
            "early"
        );

        let (mut client, _) = ends(level);
        let (octets, signature) = protected(&mut client, &[7; 64], true);
        assert!(
            verified(&mut client, &octets, &signature, true).is_err(),
            "back"
        );
    }
}

#[test]
fn a_signature_of_another_length_is_refused() {
    for length in [0, 15, 17] {
        let (mut client, mut server) = ends(AuthLevel::INTEGRITY);
        let (octets, mut signature) = protected(&mut client, &[7; 64], true);
        signature.resize(length, 0);
        assert!(verified(&mut server, &octets, &signature, true).is_err());
    }
}

#[test]
fn a_context_that_is_not_complete_protects_nothing() {
    for mut context in [
        initiator(&user(), AuthLevel::CONNECT),
        acceptor(settings(), AuthLevel::CONNECT),
    ] {
        let mut signature = [0; 16];
        assert!(
            context
                .protect(packet(&mut [7; 64], true), &mut signature)
                .is_err()
        );
        assert!(
            context
                .verify(packet(&mut [7; 64], true), &signature)
                .is_err()
        );
        assert!(context.mic(b"mechTypes").is_err());
    }
}
