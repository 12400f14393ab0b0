//! Kerberos, our initiator and our acceptor, with a KDC of MIT Kerberos: legs, signatures, and who is refused.

#![cfg(feature = "kerberos")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/realm.rs"]
mod realm;

use epmapper::proto::security::Packet;
use epmapper::proto::{Principal, SecurityError, SecurityProvider};
use epmapper::security::kerberos::{Kerberos, KerberosError, initiate};
use epmapper::security::spnego::{self, Offer, Spnego};
use epmapper::security::{Credentials, Mechanism, MechanismContext, Password, Secret, oid};
use epmapper::wire::pdu::AuthLevel;
use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};
use realm::{ALICE, Nature, Realm, SERVICE, within};
use std::sync::Arc;

const LEVELS: [AuthLevel; 3] = [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY];

type Context = Box<dyn MechanismContext>;

/// Alice by her password.
fn alice() -> Credentials {
    let (name, password) = ALICE;
    Credentials {
        user: name.to_owned(),
        domain: String::new(),
        secret: Secret::Password(Arc::new(Password::new(password.to_owned()))),
    }
}

/// Whoever the credential cache says.
fn system() -> Credentials {
    Credentials {
        user: String::new(),
        domain: String::new(),
        secret: Secret::System,
    }
}

/// Alice's end of a context with the service.
fn client(level: AuthLevel) -> Context {
    initiate(&alice(), SERVICE, level).unwrap()
}

/// The first token of a client.
fn first(client: &mut Context) -> Vec<u8> {
    let leg = client.proceed(&[]).unwrap();
    assert!(!leg.is_complete);
    leg.token
}

/// Takes all legs; returns the tokens.
fn legs(client: &mut Context, server: &mut Context) -> Result<Vec<Vec<u8>>, SecurityError> {
    let request = first(client);
    let reply = server.proceed(&request)?;
    assert!(!reply.is_complete, "DCE style has three legs");
    let third = client.proceed(&reply.token)?;
    assert!(third.is_complete);
    let last = server.proceed(&third.token)?;
    assert!(last.is_complete);
    assert!(last.token.is_empty());
    Ok(vec![request, reply.token, third.token])
}

/// Both ends of a complete context.
fn ends(realm: &Realm, level: AuthLevel) -> (Context, Context) {
    let mut ends = (client(level), realm.acceptor().accept(level));
    legs(&mut ends.0, &mut ends.1).unwrap();
    ends
}

/// Octets before the stub of a packet, and behind it, as a PDU has them.
const HEAD: usize = 24;
const STUB: usize = 48;
const TAIL: usize = 8;

/// Octets of a packet; `number` makes it unlike others.
fn octets(number: u8) -> Vec<u8> {
    (0..HEAD + STUB + TAIL)
        .map(|at| at as u8 ^ number)
        .collect()
}

/// The packet that octets are.
fn packet(octets: &mut [u8], signs_header: bool) -> Packet<'_> {
    Packet {
        octets,
        stub: HEAD..HEAD + STUB,
        signs_header,
    }
}

/// Protects a packet; returns what goes over the wire: octets and signature.
fn protect(by: &mut Context, mut octets: Vec<u8>, signs_header: bool) -> (Vec<u8>, Vec<u8>) {
    let mut signature = vec![0; by.signature_len()];
    by.protect(packet(&mut octets, signs_header), &mut signature)
        .unwrap();
    (octets, signature)
}

/// Verifies a packet; returns what it was.
fn verify(
    by: &mut Context,
    (mut octets, signature): (Vec<u8>, Vec<u8>),
    signs_header: bool,
) -> Result<Vec<u8>, SecurityError> {
    by.verify(packet(&mut octets, signs_header), &signature)?;
    Ok(octets)
}

/// Why a client is refused.
fn denied(outcome: Result<Vec<Vec<u8>>, SecurityError>) -> &'static str {
    match outcome {
        Err(SecurityError::Denied { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn dce_style_takes_three_legs_at_every_level() {
    within(
        "dce_style_takes_three_legs_at_every_level",
        1,
        Nature::default(),
        |realm| {
            for level in LEVELS {
                let (mut client, mut server) = (client(level), realm.acceptor().accept(level));
                let tokens = legs(&mut client, &mut server).unwrap();
                // AP-REQ, AP-REP, AP-REP by their tags: DCE style frames none.
                let tags: Vec<u8> = tokens.iter().map(|token| token[0]).collect();
                assert_eq!(tags, [0x6e, 0x6f, 0x6f]);
                assert_eq!(
                    server.principal(),
                    Principal::Named("alice@LAB.EXAMPLE".into())
                );
                let service = Principal::Named("host/server.lab.example@LAB.EXAMPLE".into());
                assert_eq!(client.principal(), service);
                let further = server.proceed(&tokens[2]);
                assert!(matches!(further, Err(SecurityError::Token(_))));
            }
        },
    );
}

/// A signature's octets at integrity and privacy with session keys of an encryption type.
fn signatures_of(realm: &Realm, lengths: [usize; 2]) {
    for (level, length) in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY]
        .into_iter()
        .zip(lengths)
    {
        for signs_header in [true, false] {
            let (mut client, mut server) = ends(realm, level);
            assert_eq!(
                [client.signature_len(), server.signature_len()],
                [length; 2]
            );
            for number in 0..100 {
                let sent = protect(&mut client, octets(number), signs_header);
                let is_sealed = sent.0[HEAD..HEAD + STUB] != octets(number)[HEAD..HEAD + STUB];
                assert_eq!(is_sealed, level == AuthLevel::PRIVACY);
                assert_eq!(
                    verify(&mut server, sent, signs_header).unwrap(),
                    octets(number)
                );
                let sent = protect(&mut server, octets(!number), signs_header);
                assert_eq!(
                    verify(&mut client, sent, signs_header).unwrap(),
                    octets(!number)
                );
            }
        }
    }
}

#[test]
fn packets_with_aes_256_are_signed_and_sealed_both_ways() {
    let name = "packets_with_aes_256_are_signed_and_sealed_both_ways";
    within(name, 2, Nature::default(), |realm| {
        signatures_of(realm, [28, 76])
    });
}

#[test]
fn packets_with_aes_128_are_signed_and_sealed_both_ways() {
    let name = "packets_with_aes_128_are_signed_and_sealed_both_ways";
    let nature = Nature {
        defaults: "default_tkt_enctypes = aes128-cts-hmac-sha1-96\n default_tgs_enctypes = aes128-cts-hmac-sha1-96",
        ..Nature::default()
    };
    within(name, 3, nature, |realm| signatures_of(realm, [28, 76]));
}

#[test]
fn packets_with_rc4_are_signed_and_sealed_where_krb5_conf_permits_it() {
    let name = "packets_with_rc4_are_signed_and_sealed_where_krb5_conf_permits_it";
    let nature = Nature {
        defaults: "default_tkt_enctypes = rc4-hmac\n default_tgs_enctypes = rc4-hmac\n allow_rc4 = true",
        ..Nature::default()
    };
    within(name, 4, nature, |realm| signatures_of(realm, [37, 45]));
}

#[test]
fn a_packet_that_is_altered_is_refused() {
    within(
        "a_packet_that_is_altered_is_refused",
        5,
        Nature::default(),
        |realm| {
            for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
                for signs_header in [true, false] {
                    altered(realm, level, signs_header);
                }
            }
        },
    );
}

/// Alters a packet in one place after another.
fn altered(realm: &Realm, level: AuthLevel, signs_header: bool) {
    let stub = HEAD..HEAD + STUB;
    let all = HEAD + STUB + TAIL;
    // Each in a context of its own: what is refused leaves a gap, which is refused, too.
    for at in [0, 8, HEAD - 1, HEAD, 40, stub.end - 1, stub.end, all - 1] {
        let (mut client, mut server) = ends(realm, level);
        let mut sent = protect(&mut client, octets(7), signs_header);
        sent.0[at] ^= 0x10;
        let is_covered = signs_header || stub.contains(&at);
        let is_refused = verify(&mut server, sent, signs_header).is_err();
        assert_eq!(is_refused, is_covered, "octet {at} at {level:?}");
        let further = protect(&mut client, octets(8), signs_header);
        let is_refused = verify(&mut server, further, signs_header).is_err();
        assert_eq!(is_refused, is_covered, "behind a gap at {level:?}");
    }
    for at in 0..ends(realm, level).0.signature_len() {
        let (mut client, mut server) = ends(realm, level);
        let mut sent = protect(&mut client, octets(7), signs_header);
        sent.1[at] ^= 0x10;
        let verified = verify(&mut server, sent, signs_header);
        assert_eq!(
            verified,
            Err(SecurityError::Signature),
            "octet {at} at {level:?}"
        );
    }
}

#[test]
fn a_packet_that_comes_twice_or_to_another_context_is_refused() {
    let name = "a_packet_that_comes_twice_or_to_another_context_is_refused";
    within(name, 6, Nature::default(), |realm| {
        for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
            let (mut client, mut server) = ends(realm, level);
            let (_, mut other) = ends(realm, level);
            let sent = protect(&mut client, octets(1), true);
            assert_eq!(
                verify(&mut other, sent.clone(), true),
                Err(SecurityError::Signature)
            );
            assert_eq!(
                verify(&mut client, sent.clone(), true),
                Err(SecurityError::Signature)
            );
            verify(&mut server, sent.clone(), true).unwrap();
            assert_eq!(
                verify(&mut server, sent, true),
                Err(SecurityError::Signature)
            );
            // Out of order: the third before the second.
            let second = protect(&mut client, octets(2), true);
            let third = protect(&mut client, octets(3), true);
            assert_eq!(
                verify(&mut server, third, true),
                Err(SecurityError::Signature)
            );
            let _ = second;
        }
    });
}

#[test]
fn a_signature_of_another_length_is_refused() {
    within(
        "a_signature_of_another_length_is_refused",
        7,
        Nature::default(),
        |realm| {
            for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
                let (mut client, mut server) = ends(realm, level);
                for length in [0, 1, 2, 15, 16, 27, 29, 60, 75, 77, 200] {
                    let (octets, mut signature) = protect(&mut client, octets(1), true);
                    if length != signature.len() {
                        signature.resize(length, 0);
                        let verified = verify(&mut server, (octets, signature), true);
                        assert_eq!(
                            verified,
                            Err(SecurityError::Signature),
                            "{length} at {level:?}"
                        );
                    }
                }
            }
        },
    );
}

#[test]
fn codes_over_what_was_negotiated_are_checked() {
    within(
        "codes_over_what_was_negotiated_are_checked",
        8,
        Nature::default(),
        |realm| {
            for level in LEVELS {
                let (mut client, mut server) = ends(realm, level);
                let mic = client.mic(b"mechanisms").unwrap();
                server.check_mic(b"mechanisms", &mic).unwrap();
                let mic = server.mic(b"mechanisms").unwrap();
                client.check_mic(b"mechanisms", &mic).unwrap();
                let mic = client.mic(b"mechanisms").unwrap();
                let checked = server.check_mic(b"mechanisns", &mic);
                assert_eq!(checked, Err(SecurityError::Signature));
            }
        },
    );
}

#[test]
fn spnego_settles_on_kerberos_with_three_legs_of_it() {
    let name = "spnego_settles_on_kerberos_with_three_legs_of_it";
    within(name, 21, Nature::default(), |realm| {
        let acceptor = Spnego::new(vec![Arc::new(realm.acceptor())]);
        for level in LEVELS {
            let offer = Offer {
                oid: oid::KERBEROS,
                context: client(level),
            };
            let mut client = spnego::initiate(vec![offer]);
            let mut server = acceptor.begin(level);
            let mut turn = client.proceed(&[]).unwrap();
            for _ in 0..4 {
                let answer = server.proceed(&turn.token).unwrap();
                if turn.is_complete && answer.token.is_empty() {
                    break;
                }
                turn = client.proceed(&answer.token).unwrap();
                if answer.is_complete {
                    break;
                }
            }
            assert!(turn.is_complete);
            assert_eq!(
                server.principal(),
                Principal::Named("alice@LAB.EXAMPLE".into())
            );
            assert_eq!(client.signature_len(), server.signature_len());
        }
    });
}

#[test]
fn a_request_that_was_seen_is_refused_by_every_acceptor() {
    let name = "a_request_that_was_seen_is_refused_by_every_acceptor";
    within(name, 9, Nature::default(), |realm| {
        let acceptor = realm.acceptor();
        let request = first(&mut client(AuthLevel::INTEGRITY));
        acceptor
            .accept(AuthLevel::INTEGRITY)
            .proceed(&request)
            .unwrap();
        for acceptor in [acceptor, realm.acceptor()] {
            let replayed = acceptor.accept(AuthLevel::INTEGRITY).proceed(&request);
            let reason = denied(replayed.map(|answer| vec![answer.token]));
            assert_eq!(reason, "the authenticator is replayed");
        }
    });
}

#[test]
fn a_ticket_for_another_service_is_refused() {
    within(
        "a_ticket_for_another_service_is_refused",
        10,
        Nature::default(),
        |realm| {
            realm.add_service("cifs/server.lab.example", "other");
            let mut client =
                initiate(&alice(), "cifs/server.lab.example", AuthLevel::PRIVACY).unwrap();
            let mut server = realm.acceptor().accept(AuthLevel::PRIVACY);
            let reason = denied(legs(&mut client, &mut server));
            assert_eq!(reason, "the ticket is for another service");
        },
    );
}

#[test]
fn a_ticket_for_a_key_that_is_not_ours_is_refused() {
    within(
        "a_ticket_for_a_key_that_is_not_ours_is_refused",
        11,
        Nature::default(),
        |realm| {
            // The KDC has a newer key than the keytab.
            realm.change_key(SERVICE, "other");
            let mut server = realm.acceptor().accept(AuthLevel::PRIVACY);
            let reason = denied(legs(&mut client(AuthLevel::PRIVACY), &mut server));
            assert_eq!(
                reason,
                "the ticket is for another version of our key; is the keytab current?"
            );
        },
    );
}

#[test]
fn a_key_that_is_added_to_the_keytab_needs_no_other_acceptor() {
    let name = "a_key_that_is_added_to_the_keytab_needs_no_other_acceptor";
    within(name, 12, Nature::default(), |realm| {
        let acceptor = realm.acceptor();
        realm.change_key(SERVICE, "keytab");
        let mut server = acceptor.accept(AuthLevel::PRIVACY);
        legs(&mut client(AuthLevel::PRIVACY), &mut server).unwrap();
    });
}

#[test]
fn a_ticket_that_has_expired_is_refused() {
    let nature = Nature {
        clock: Some("-3d"),
        ..Nature::default()
    };
    within(
        "a_ticket_that_has_expired_is_refused",
        13,
        nature,
        |realm| {
            // The library believes the KDC's clock for as long as it talks to that.
            realm.log_on();
            let mut client = initiate(&system(), SERVICE, AuthLevel::PRIVACY).unwrap();
            let mut server = realm.acceptor().accept(AuthLevel::PRIVACY);
            let reason = denied(legs(&mut client, &mut server));
            assert_eq!(reason, "the ticket has expired");
        },
    );
}

#[test]
fn a_client_whose_clock_is_off_is_refused() {
    let nature = Nature {
        clock: Some("-10m"),
        ..Nature::default()
    };
    within(
        "a_client_whose_clock_is_off_is_refused",
        14,
        nature,
        |realm| {
            realm.log_on();
            let mut client = initiate(&system(), SERVICE, AuthLevel::PRIVACY).unwrap();
            let mut server = realm.acceptor().accept(AuthLevel::PRIVACY);
            let reason = denied(legs(&mut client, &mut server));
            assert_eq!(reason, "the clocks differ too much");
        },
    );
}

#[test]
fn the_credential_cache_says_who_it_is() {
    within(
        "the_credential_cache_says_who_it_is",
        15,
        Nature::default(),
        |realm| {
            let none = initiate(&system(), SERVICE, AuthLevel::PRIVACY);
            assert!(
                matches!(none, Err(KerberosError::Credentials(_))),
                "{none:?}"
            );
            realm.log_on();
            for (user, domain) in [
                ("", ""),
                ("alice", ""),
                ("alice", "LAB.EXAMPLE"),
                ("alice@LAB.EXAMPLE", ""),
            ] {
                let credentials = Credentials {
                    user: user.into(),
                    domain: domain.into(),
                    secret: Secret::System,
                };
                for target in [
                    SERVICE,
                    "host@server.lab.example",
                    "host/server.lab.example@LAB.EXAMPLE",
                ] {
                    let mut client = initiate(&credentials, target, AuthLevel::PRIVACY).unwrap();
                    let mut server = realm.acceptor().accept(AuthLevel::PRIVACY);
                    legs(&mut client, &mut server).unwrap();
                    assert_eq!(
                        server.principal(),
                        Principal::Named("alice@LAB.EXAMPLE".into())
                    );
                }
            }
        },
    );
}

#[test]
fn a_wrong_password_an_unknown_user_or_service_is_told() {
    let name = "a_wrong_password_an_unknown_user_or_service_is_told";
    within(name, 16, Nature::default(), |_| {
        let mut wrong = alice();
        wrong.secret = Secret::Password(Arc::new(Password::new("Wonderland2".to_owned())));
        let error = initiate(&wrong, SERVICE, AuthLevel::PRIVACY).unwrap_err();
        assert!(matches!(error, KerberosError::Credentials(_)));
        let mut unknown = alice();
        unknown.user = "mallory".to_owned();
        let error = initiate(&unknown, SERVICE, AuthLevel::PRIVACY).unwrap_err();
        assert!(matches!(error, KerberosError::Credentials(_)));
        let mut client =
            initiate(&alice(), "host/nowhere.lab.example", AuthLevel::PRIVACY).unwrap();
        let error = client.proceed(&[]).unwrap_err();
        assert!(matches!(error, SecurityError::Denied { .. }));
    });
}

#[test]
fn a_keytab_without_keys_is_refused() {
    within(
        "a_keytab_without_keys_is_refused",
        17,
        Nature::default(),
        |realm| {
            for content in [&b""[..], b"\x05\x02", b"no keytab"] {
                std::fs::write(realm.path("keytab"), content).unwrap();
                let error = Kerberos::new(realm.settings()).unwrap_err();
                assert!(matches!(error, KerberosError::NoKey { .. }), "{error}");
            }
        },
    );
}

/// The head of an NTLM token.
const NTLM: &[u8] = b"NTLMSSP\0\x01\0\0\0";

/// A first token of SPNEGO, which offers Kerberos.
const NEGOTIATED: &[u8] = b"\x60\x1b\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x11\x30\x0f\xa0\x0d\
    \x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";

#[test]
fn strange_tokens_are_refused() {
    within(
        "strange_tokens_are_refused",
        18,
        Nature::default(),
        |realm| {
            let acceptor = realm.acceptor();
            let request = first(&mut client(AuthLevel::PRIVACY));
            let acceptance = |token: &[u8]| acceptor.accept(AuthLevel::PRIVACY).proceed(token);
            for token in [&b""[..], b"\0", NTLM, NEGOTIATED] {
                let error = acceptance(token).unwrap_err();
                assert!(matches!(error, SecurityError::Token(_)), "{error}");
            }
            for at in (1..request.len()).step_by(37) {
                acceptance(&request[..at]).unwrap_err();
            }
            acceptance(&request).unwrap();
        },
    );
}

#[test]
fn a_frame_around_dce_style_is_taken_off() {
    let name = "a_frame_around_dce_style_is_taken_off";
    within(name, 19, Nature::default(), |realm| {
        let mut client = client(AuthLevel::PRIVACY);
        let request = first(&mut client);
        let length = u16::try_from(request.len() + 13).unwrap().to_be_bytes();
        let oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00";
        let framed = [&[0x60, 0x82], &length[..], oid, &request].concat();
        let mut server = realm.acceptor().accept(AuthLevel::PRIVACY);
        let reply = server.proceed(&framed).unwrap();
        let third = client.proceed(&reply.token).unwrap();
        assert!(server.proceed(&third.token).unwrap().is_complete);
    });
}

#[test]
fn a_client_that_does_not_ask_for_dce_style_is_refused() {
    let name = "a_client_that_does_not_ask_for_dce_style_is_refused";
    within(name, 20, Nature::default(), |realm| {
        let request = raw(CtxFlags::GSS_C_MUTUAL_FLAG).step(None, None);
        let request = request.unwrap().unwrap();
        assert_eq!(request[0], 0x60, "framed");
        let mut server = realm.acceptor().accept(AuthLevel::CONNECT);
        let refused = server.proceed(&request).unwrap_err();
        assert!(matches!(refused, SecurityError::Token(_)), "{refused}");
    });
}

/// The library's own client.
fn raw(flags: CtxFlags) -> ClientCtx {
    let (name, password) = ALICE;
    let name = Name::new(name.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).unwrap();
    let mechanisms = OidSet::singleton(GSS_MECH_KRB5).unwrap();
    let usage = CredUsage::Initiate;
    let ticket = Cred::acquire_with_password(Some(&name), password, None, usage, Some(&mechanisms));
    let service = Name::new(b"host@server.lab.example", Some(GSS_NT_HOSTBASED_SERVICE)).unwrap();
    ClientCtx::new(Some(ticket.unwrap()), service, flags, Some(GSS_MECH_KRB5))
}
