//! What an end refuses.

use super::*;
use crate::proto::Principal;
use crate::security::ntlm::message::{Authenticate, Challenge, Negotiate};
use crate::security::ntlm::{Flags, LONGEST_MESSAGE, keys, names};

/// Why a logon is refused.
fn reason(outcome: Result<LegAnswer, SecurityError>) -> &'static str {
    match outcome {
        Err(SecurityError::Denied { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Why a token is.
fn fault(outcome: Result<LegAnswer, SecurityError>) -> &'static str {
    match outcome {
        Err(SecurityError::Token(what)) => what,
        other => panic!("{other:?}"),
    }
}

/// What a server that has asked makes of a client's last message.
fn judged(
    settings: NtlmSettings,
    level: AuthLevel,
    message: &[u8],
) -> Result<LegAnswer, SecurityError> {
    let mut client = initiator(&user(), level);
    let mut server = acceptor(settings, level);
    more(server.proceed(&more(client.proceed(&[]))));
    server.proceed(message)
}

/// The last message of who is known.
fn last(level: AuthLevel) -> Vec<u8> {
    let mut client = initiator(&user(), level);
    let mut server = acceptor(settings(), level);
    let challenge = more(server.proceed(&more(client.proceed(&[]))));
    client.proceed(&challenge).unwrap().token
}

/// The message with other flags.
fn flagged(message: &[u8], flags: Flags) -> Vec<u8> {
    let mut message = message.to_vec();
    message[60..64].copy_from_slice(&flags.0.to_le_bytes());
    message
}

#[test]
fn a_wrong_password_is_refused() {
    for level in LEVELS {
        let mut client = initiator(&credentials("User", "Domain", "password"), level);
        let outcome = exchange(&mut client, &mut acceptor(settings(), level));
        assert_eq!(reason(outcome), "wrong password");
    }
}

#[test]
fn an_unknown_account_is_refused() {
    let secret = Secret::NtHash(NtHash([0; 16]));
    let nobody = Credentials {
        secret,
        ..credentials("nobody", "", "")
    };
    let level = AuthLevel::INTEGRITY;
    for client in [nobody, credentials("nobody", "LAB", "Password")] {
        let outcome = exchange(
            &mut initiator(&client, level),
            &mut acceptor(settings(), level),
        );
        assert_eq!(reason(outcome), "unknown account");
    }
}

#[test]
fn the_claimed_name_is_told_and_short() {
    let level = AuthLevel::CONNECT;
    let mut client = initiator(&credentials(&"n".repeat(300), "", "x"), level);
    match exchange(&mut client, &mut acceptor(settings(), level)) {
        Err(SecurityError::Denied { claimed, .. }) => {
            assert_eq!(claimed.unwrap().to_string(), "n".repeat(256));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_change_of_an_authenticate_message_with_a_mic_is_refused() {
    let message = last(AuthLevel::CONNECT);
    assert!(judged(settings(), AuthLevel::CONNECT, &message).is_ok());
    for place in 0..message.len() {
        for change in [0x01, 0x02, 0x20, 0x80, 0xff] {
            let mut changed = message.clone();
            changed[place] ^= change;
            let outcome = judged(settings(), AuthLevel::CONNECT, &changed);
            assert!(outcome.is_err(), "octet {place} changed by {change:#x}");
        }
    }
}

#[test]
fn an_altered_mic_is_refused() {
    let mut message = last(AuthLevel::INTEGRITY);
    message[72] ^= 1;
    let outcome = judged(settings(), AuthLevel::INTEGRITY, &message);
    assert_eq!(reason(outcome), "the MIC does not fit");
}

#[test]
fn an_announced_mic_that_is_missing_is_refused() {
    let message = last(AuthLevel::INTEGRITY);
    let without = Authenticate {
        mic: None,
        ..Authenticate::decode(&message).unwrap()
    };
    let outcome = judged(settings(), AuthLevel::INTEGRITY, &without.encode());
    assert_eq!(reason(outcome), "the MIC that was announced is missing");
}

#[test]
fn an_altered_message_before_is_seen_by_the_mic() {
    let level = AuthLevel::CONNECT;
    let mut client = initiator(&user(), level);
    let mut server = acceptor(settings(), level);
    let mut negotiate = more(client.proceed(&[]));
    // 56 bits beside 128 change no key.
    negotiate[15] &= 0x7f;
    let challenge = more(server.proceed(&negotiate));
    let message = client.proceed(&challenge).unwrap().token;
    assert_eq!(reason(server.proceed(&message)), "the MIC does not fit");
}

#[test]
fn a_message_of_another_exchange_is_refused() {
    let message = last(AuthLevel::INTEGRITY);
    let mut client = initiator(&user(), AuthLevel::INTEGRITY);
    let mut server = Ntlm::new(settings()).accept(AuthLevel::INTEGRITY);
    more(server.proceed(&more(client.proceed(&[]))));
    assert_eq!(reason(server.proceed(&message)), "wrong password");
}

#[test]
fn an_offer_of_too_little_is_refused() {
    let cases = [
        (AuthLevel::CONNECT, Flags::EXTENDED_SESSION_SECURITY),
        (AuthLevel::CONNECT, Flags::KEY_128),
    ];
    for (level, lacking) in cases {
        let token = more(initiator(&user(), level).proceed(&[]));
        let offered = Negotiate::decode(&token).unwrap();
        let weak = Negotiate {
            flags: offered.flags.without(lacking),
            ..offered
        };
        let outcome = acceptor(settings(), level).proceed(&weak.encode());
        reason(outcome);
    }
}

#[test]
fn flags_that_are_lowered_in_the_last_message_are_refused() {
    let cases = [
        (
            AuthLevel::CONNECT,
            Flags::EXTENDED_SESSION_SECURITY,
            "no extended session security",
        ),
        (AuthLevel::CONNECT, Flags::KEY_128, "no keys of 128 bits"),
        (
            AuthLevel::INTEGRITY,
            Flags::SIGN,
            "less was negotiated than was offered",
        ),
        (
            AuthLevel::PRIVACY,
            Flags::SEAL,
            "less was negotiated than was offered",
        ),
        (
            AuthLevel::PRIVACY,
            Flags::KEY_EXCHANGE,
            "less was negotiated than was offered",
        ),
    ];
    for (level, lacking, expected) in cases {
        let message = last(level);
        let flags = Authenticate::decode(&message).unwrap().flags;
        let lowered = flagged(&message, flags.without(lacking));
        assert_eq!(reason(judged(settings(), level, &lowered)), expected);
    }
}

#[test]
fn nothing_is_sealed_where_that_was_not_agreed_on() {
    for asked in [AuthLevel::CONNECT, AuthLevel::INTEGRITY] {
        let mut client = initiator(&user(), asked);
        let mut server = acceptor(settings(), AuthLevel::PRIVACY);
        let outcome = exchange(&mut client, &mut server);
        let expected = SecurityError::Level("packets are not to be sealed");
        assert_eq!(outcome, Err(expected), "{asked}");
        // Who does not know the password is not told that much.
        let mut client = initiator(&credentials("User", "Domain", "password"), asked);
        let mut server = acceptor(settings(), AuthLevel::PRIVACY);
        assert_eq!(reason(exchange(&mut client, &mut server)), "wrong password");
    }
}

#[test]
fn nothing_is_signed_where_that_was_not_agreed_on() {
    let mut client = initiator(&user(), AuthLevel::CONNECT);
    let mut server = acceptor(settings(), AuthLevel::INTEGRITY);
    assert!(exchange(&mut client, &mut server).unwrap().is_complete);
    assert!(!server.can_sign());
    let (mut octets, mut signature) = ([7; 64], [0; 16]);
    let signed = server.protect(packet(&mut octets, true), &mut signature);
    assert!(signed.is_err());
    assert!(verified(&mut server, &octets, &signature, true).is_err());
}

#[test]
fn flags_that_were_not_offered_are_refused() {
    let message = last(AuthLevel::INTEGRITY);
    let flags = Authenticate::decode(&message).unwrap().flags;
    for more in [Flags::SEAL, Flags::LM_KEY, Flags::NON_NT_SESSION_KEY] {
        let raised = flagged(&message, flags | more);
        let outcome = judged(settings(), AuthLevel::INTEGRITY, &raised);
        assert_eq!(reason(outcome), "more was negotiated than was offered");
    }
}

#[test]
fn an_exchanged_key_of_another_length_is_refused() {
    let message = last(AuthLevel::INTEGRITY);
    for key in [&[][..], &[1; 15], &[1; 17]] {
        let message = Authenticate {
            session_key: key,
            ..Authenticate::decode(&message).unwrap()
        };
        let outcome = judged(settings(), AuthLevel::INTEGRITY, &message.encode());
        assert_eq!(fault(outcome), "a session key of another length");
    }
}

#[test]
fn messages_out_of_order_are_refused() {
    let level = AuthLevel::INTEGRITY;
    let message = last(level);
    let negotiate = more(initiator(&user(), level).proceed(&[]));
    assert_eq!(
        fault(acceptor(settings(), level).proceed(&message)),
        "another NTLM message is due"
    );
    assert_eq!(
        fault(judged(settings(), level, &negotiate)),
        "another NTLM message is due"
    );
    fault(initiator(&user(), level).proceed(&message));
}

#[test]
fn a_context_that_is_complete_or_failed_takes_no_token() {
    let level = AuthLevel::INTEGRITY;
    let (mut client, mut server) = ends(level);
    let message = last(level);
    for context in [&mut client, &mut server] {
        assert_eq!(fault(context.proceed(&message)), "no further token is due");
    }
    let mut server = acceptor(settings(), level);
    fault(server.proceed(b"NTLMSSP\0"));
    let negotiate = more(initiator(&user(), level).proceed(&[]));
    assert_eq!(fault(server.proceed(&negotiate)), "no further token is due");
}

#[test]
fn a_token_that_is_too_long_is_refused() {
    let mut token = more(initiator(&user(), AuthLevel::CONNECT).proceed(&[]));
    token.resize(LONGEST_MESSAGE + 1, 0);
    let outcome = acceptor(settings(), AuthLevel::CONNECT).proceed(&token);
    assert_eq!(fault(outcome), "an NTLM message is too long");
}

#[test]
fn nobody_logs_on_where_that_is_not_allowed() {
    for (anonymous, level) in [(false, AuthLevel::CONNECT), (true, AuthLevel::PRIVACY)] {
        let settings = NtlmSettings {
            anonymous,
            ..settings()
        };
        let mut client = initiator(&credentials("", "", ""), level);
        let mut server = acceptor(settings, level);
        let outcome = exchange(&mut client, &mut server);
        if !anonymous {
            assert_eq!(reason(outcome), "nobody may log on without a name");
            continue;
        }
        assert!(outcome.unwrap().is_complete);
        assert_eq!(server.principal(), Principal::Anonymous);
        let (octets, signature) = protected(&mut client, &[7; 64], true);
        assert!(verified(&mut server, &octets, &signature, true).is_ok());
    }
}

#[test]
fn who_gives_a_name_or_a_response_is_not_nobody() {
    let allowing = || NtlmSettings {
        anonymous: true,
        ..settings()
    };
    let message = last(AuthLevel::INTEGRITY);
    let somebody = Authenticate::decode(&message).unwrap();
    let nobody = Authenticate {
        user: &[],
        domain: &[],
        lm_response: &[0],
        nt_response: &[],
        ..somebody.clone()
    };
    let judged = |message: &Authenticate| {
        let outcome = judged(allowing(), AuthLevel::INTEGRITY, &message.encode());
        outcome.map(|answer| answer.is_complete)
    };
    assert_eq!(judged(&nobody), Ok(true));
    for (name, message) in [
        (
            "a name",
            Authenticate {
                user: somebody.user,
                ..nobody.clone()
            },
        ),
        (
            "an NT response",
            Authenticate {
                nt_response: somebody.nt_response,
                ..nobody.clone()
            },
        ),
        (
            "an LM response",
            Authenticate {
                lm_response: &[0; 24],
                ..nobody.clone()
            },
        ),
    ] {
        assert!(judged(&message).is_err(), "{name}");
    }
}

#[test]
fn no_two_challenges_are_alike() {
    let challenge = || {
        let hello = more(initiator(&user(), AuthLevel::INTEGRITY).proceed(&[]));
        let mut server = Ntlm::new(settings()).accept(AuthLevel::INTEGRITY);
        let message = more(server.proceed(&hello));
        Challenge::decode(&message).unwrap().challenge
    };
    assert_ne!(challenge(), challenge());
}

#[test]
fn nobody_may_leave_extended_session_security_but_no_more() {
    let mut client = initiator(&credentials("", "", ""), AuthLevel::INTEGRITY);
    let mut server = acceptor(settings(), AuthLevel::INTEGRITY);
    let challenge = more(server.proceed(&more(client.proceed(&[]))));
    let message = client.proceed(&challenge).unwrap().token;
    let flags = Authenticate::decode(&message).unwrap().flags;
    for (left, is_taken) in [
        (Flags::EXTENDED_SESSION_SECURITY, true),
        (Flags::KEY_128, false),
        (Flags::KEY_EXCHANGE, false),
        (Flags::SIGN, false),
    ] {
        let settings = NtlmSettings {
            anonymous: true,
            ..settings()
        };
        let message = flagged(&message, flags.without(left));
        let outcome = judged(settings, AuthLevel::INTEGRITY, &message);
        assert_eq!(outcome.is_ok(), is_taken, "{left:?}");
    }
}

#[test]
fn a_user_is_found_by_name_and_by_what_stands_before_the_at() {
    let cases = [
        ("USER", "anything", "Password", Some("User")),
        ("alice@lab", "", "wonder", Some("alice")),
        ("alice@lab", "LAB", "wonder", None),
        ("bob@lab", "", "Password", Some("bob@lab")),
        ("@", "", "wonder", None),
    ];
    for (name, domain, password, expected) in cases {
        let level = AuthLevel::CONNECT;
        let mut client = initiator(&credentials(name, domain, password), level);
        let mut server = acceptor(settings(), level);
        let outcome = exchange(&mut client, &mut server);
        assert_eq!(outcome.is_ok(), expected.is_some(), "{name}");
        if let Some(expected) = expected {
            assert_eq!(server.principal(), Principal::Named(expected.into()));
        }
    }
}

/// The last message of a client that knows less than ours.
fn older(flags: Flags, lm: bool, password: &str) -> (Vec<u8>, Vec<u8>) {
    let server = 0x0123456789abcdef_u64.to_be_bytes();
    let flags = flags | Flags::UNICODE | Flags::NTLM | Flags::SIGN;
    let negotiate = Negotiate {
        flags,
        domain: &[],
        workstation: &[],
        version: None,
    };
    let mut lm_response = [0; 24];
    let challenge = match flags.contains(Flags::EXTENDED_SESSION_SECURITY) {
        true => {
            lm_response[..8].fill(0xaa);
            keys::extended_challenge(&server, &[0xaa; 8])
        }
        false => server,
    };
    if lm {
        let hash = keys::lmowf_v1(&Password::new(password.to_owned())).unwrap();
        lm_response = keys::response_v1(&hash, &server);
    }
    let nt_response = keys::response_v1(&NtHash::of(password).0, &challenge);
    let message = Authenticate {
        flags,
        lm_response: &lm_response,
        nt_response: if lm { &[] } else { &nt_response },
        domain: &[],
        user: &names::encode("User", flags),
        workstation: &[],
        session_key: &[],
        version: None,
        mic: None,
    };
    (negotiate.encode(), message.encode())
}

#[test]
fn older_responses_are_taken_by_setting_only() {
    let extended = Flags::EXTENDED_SESSION_SECURITY | Flags::KEY_128;
    let cases = [
        (extended, false, (true, false), None),
        (Flags::NONE, false, (true, false), None),
        (Flags::NONE, true, (false, true), None),
        (Flags::LM_KEY, true, (false, true), None),
        (Flags::NON_NT_SESSION_KEY, true, (true, true), None),
        (
            extended,
            false,
            (false, false),
            Some("NTLMv1 responses are not taken"),
        ),
        (
            extended,
            false,
            (false, true),
            Some("NTLMv1 responses are not taken"),
        ),
        (
            Flags::NONE,
            true,
            (true, false),
            Some("LM responses are not taken"),
        ),
    ];
    for (flags, is_lm, (v1, lm), expected) in cases {
        for password in ["Password", "other"] {
            let settings = NtlmSettings {
                v1,
                lm,
                ..settings()
            };
            let mut server = acceptor(settings, AuthLevel::INTEGRITY);
            let (negotiate, message) = older(flags, is_lm, password);
            more(server.proceed(&negotiate));
            let outcome = server.proceed(&message);
            match (expected, password) {
                (Some(expected), _) => assert_eq!(reason(outcome), expected),
                (None, "Password") => assert!(outcome.unwrap().is_complete),
                (None, _) => assert_eq!(reason(outcome), "wrong password"),
            }
        }
    }
}

#[test]
fn a_server_that_wants_less_is_refused() {
    let level = AuthLevel::PRIVACY;
    for lacking in [
        Flags::EXTENDED_SESSION_SECURITY,
        Flags::KEY_128,
        Flags::KEY_EXCHANGE,
        Flags::SIGN,
        Flags::SEAL,
        Flags::UNICODE,
    ] {
        let mut client = initiator(&user(), level);
        let mut server = acceptor(settings(), level);
        let token = more(server.proceed(&more(client.proceed(&[]))));
        let challenge = Challenge::decode(&token).unwrap();
        let weak = Challenge {
            flags: challenge.flags.without(lacking),
            ..challenge
        };
        assert_eq!(
            fault(client.proceed(&weak.encode())),
            "the server wants weaker protection"
        );
    }
}

#[test]
fn what_the_system_has_is_no_proof_here() {
    let system = Credentials {
        secret: Secret::System,
        ..user()
    };
    let outcome = initiator(&system, AuthLevel::CONNECT).proceed(&[]);
    assert_eq!(fault(outcome), "NTLM needs a password");
}
