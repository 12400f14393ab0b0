//! Target `ntlm`: NTLM's messages, and both ends with tokens and packets that
//! somebody tampered with.

use super::Choices;
use crate::proto::{Packet, Principal};
use crate::security::ntlm::{
    Authenticate, AvPairs, Challenge, Choice, ClientChallenge, Moment, Names, Negotiate, Ntlm,
    NtlmSettings, initiate_at,
};
use crate::security::{Account, Accounts, Credentials, MechanismContext, NtHash, Secret};
use crate::wire::pdu::AuthLevel;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The levels that contexts have.
const LEVELS: [AuthLevel; 3] = [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY];

/// The hash of a password that nobody but the honest client knows.
const SECRET: [u8; 16] = *b"nobody guesses t";

/// Target `ntlm`: what decodes encodes to what decodes the same, nobody gets in
/// without the password, and nothing that was tampered with is taken.
pub fn ntlm(octets: &[u8]) {
    check_messages(octets);
    let mut choices = Choices(octets);
    let level = choices.of(LEVELS);
    match choices.u8() % 3 {
        0 => stranger(level, choices),
        1 => tampered(level, choices),
        _ => packets(level, choices),
    }
}

/// The laws of the messages and of what is in them.
fn check_messages(octets: &[u8]) {
    if let Ok(message) = Negotiate::decode(octets) {
        assert_eq!(Negotiate::decode(&message.encode()).as_ref(), Ok(&message));
    }
    if let Ok(message) = Challenge::decode(octets) {
        assert_eq!(Challenge::decode(&message.encode()).as_ref(), Ok(&message));
        check_pairs(message.target_info);
    }
    if let Ok(message) = Authenticate::decode(octets) {
        let again = message.encode();
        assert_eq!(Authenticate::decode(&again).as_ref(), Ok(&message));
        check_response(message.nt_response.get(16..).unwrap_or_default());
    }
    check_pairs(octets);
    check_response(octets);
}

/// The laws of what is proven beside a challenge.
fn check_response(octets: &[u8]) {
    if let Ok(response) = ClientChallenge::decode(octets) {
        let again = response.encode();
        assert_eq!(ClientChallenge::decode(&again).as_ref(), Ok(&response));
    }
}

/// The laws of AV pairs.
fn check_pairs(octets: &[u8]) {
    if let Ok(pairs) = AvPairs::decode(octets) {
        for (id, _) in pairs.iter() {
            assert!(pairs.get(id).is_some());
        }
    }
}

/// Tokens of somebody who does not know the password: at best nobody logs on.
fn stranger(level: AuthLevel, mut choices: Choices) {
    let bits = choices.u8();
    let settings = NtlmSettings {
        anonymous: bits & 1 != 0,
        v1: bits & 2 != 0,
        lm: bits & 4 != 0,
        ..settings()
    };
    let may_be_nobody = settings.anonymous;
    let (mut server, mut client) = (server(settings, level), client(SECRET, level));
    assert!(client.proceed(&[]).is_ok());
    while !choices.is_empty() {
        let length = choices.u16();
        let token = choices.take(length.into());
        let _ = client.proceed(token);
        match server.proceed(token) {
            Ok(answer) if answer.is_complete => {
                assert!(may_be_nobody);
                assert_eq!(server.principal(), Principal::Anonymous);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// An exchange with one message damaged: it fails, and without damage succeeds
/// for who knows the password.
fn tampered(level: AuthLevel, mut choices: Choices) {
    let (damaged, knows) = (choices.u8() % 3, choices.u8() & 1 == 0);
    let hash = if knows { SECRET } else { [0; 16] };
    let (mut server, mut client) = (server(settings(), level), client(hash, level));
    let mut is_damaged = false;
    let mut sent = |number, token: Vec<u8>| {
        let mut arrives = token.clone();
        if number == damaged {
            choices.mangle(&mut arrives);
        }
        is_damaged |= arrives != token;
        arrives
    };
    let mut run = || {
        let negotiate = sent(0, client.proceed(&[]).ok()?.token);
        let challenge = sent(1, server.proceed(&negotiate).ok()?.token);
        let message = sent(2, client.proceed(&challenge).ok()?.token);
        server.proceed(&message).ok()
    };
    let is_complete = run().is_some_and(|answer| answer.is_complete);
    assert_eq!(is_complete, knows && !is_damaged);
}

/// Packets of ends that agree: one that was damaged does not fit, and none after
/// it.
fn packets(level: AuthLevel, mut choices: Choices) {
    if level == AuthLevel::CONNECT {
        return;
    }
    let (mut server, mut client) = (server(settings(), level), client(SECRET, level));
    let negotiate = client.proceed(&[]).expect("the client begins").token;
    let challenge = server.proceed(&negotiate).expect("an offer").token;
    let message = client.proceed(&challenge).expect("a challenge").token;
    assert!(server.proceed(&message).expect("a proof").is_complete);
    while !choices.is_empty() {
        let (from, to) = match choices.u8() & 1 {
            0 => (&mut client, &mut server),
            _ => (&mut server, &mut client),
        };
        if !packet_fits(from, to, &mut choices) {
            return;
        }
    }
}

/// Sends one packet, perhaps damaged; whether it fits.
fn packet_fits(
    from: &mut Box<dyn MechanismContext>,
    to: &mut Box<dyn MechanismContext>,
    choices: &mut Choices,
) -> bool {
    let length = usize::from(choices.u8());
    let plain = vec![choices.u8(); length];
    let (begin, signs_header) = (length / 4, choices.u8() & 1 == 0);
    let mut octets = plain.clone();
    let mut signature = vec![0; from.signature_len()];
    from.protect(packet(&mut octets, begin, signs_header), &mut signature)
        .expect("numbers are left");
    let undamaged = signature.clone();
    if choices.u8() & 1 == 0 {
        choices.mangle(&mut signature);
    }
    let fits = to
        .verify(packet(&mut octets, begin, signs_header), &signature)
        .is_ok();
    assert_eq!(fits, signature == undamaged);
    if fits {
        assert_eq!(octets, plain);
    }
    fits
}

/// A packet with its stub from `begin` on.
fn packet(octets: &mut [u8], begin: usize, signs_header: bool) -> Packet<'_> {
    Packet {
        stub: begin..octets.len(),
        octets,
        signs_header,
    }
}

/// Knows one account, whatever its name.
#[derive(Debug)]
struct One;

impl Accounts for One {
    fn find(&self, name: &str) -> Option<Account> {
        Some(Account {
            name: name.into(),
            nt_hash: NtHash(SECRET),
            password: None,
        })
    }
}

/// What takes no more than it has to.
fn settings() -> NtlmSettings {
    NtlmSettings {
        names: Names {
            domain: "LAB".to_owned(),
            host: "MAPPER".to_owned(),
            ..Names::default()
        },
        accounts: Arc::new(One),
        anonymous: false,
        v1: false,
        lm: false,
    }
}

/// A server's context that is always the same.
fn server(settings: NtlmSettings, level: AuthLevel) -> Box<dyn MechanismContext> {
    let moment = Moment {
        challenge: *b"question",
        time: 1,
    };
    Ntlm::new(settings).accept_at(level, moment)
}

/// A client's context that is always the same.
fn client(hash: [u8; 16], level: AuthLevel) -> Box<dyn MechanismContext> {
    let credentials = Credentials {
        user: "user".to_owned(),
        domain: String::new(),
        secret: Secret::NtHash(NtHash(hash)),
    };
    let choice = Choice {
        challenge: *b"chosen.c",
        key: Zeroizing::new(*b"the session's ke"),
        time: 1,
    };
    initiate_at(&credentials, level, choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of chance that is always the same.
    fn octets(seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        };
        (0..seed % 200).map(next).collect()
    }

    #[test]
    fn the_laws_hold_for_lists_of_chance() {
        for seed in 0..3000 {
            ntlm(&octets(seed));
        }
    }

    #[test]
    fn the_laws_hold_for_honest_messages_that_were_damaged() {
        let mut client = client(SECRET, AuthLevel::PRIVACY);
        let mut server = server(settings(), AuthLevel::PRIVACY);
        let negotiate = client.proceed(&[]).unwrap().token;
        let challenge = server.proceed(&negotiate).unwrap().token;
        let message = client.proceed(&challenge).unwrap().token;
        for token in [negotiate, challenge, message] {
            for place in 0..token.len() {
                for change in [0, 1, 0x80, 0xff] {
                    let mut token = token.clone();
                    token[place] ^= change;
                    check_messages(&token);
                    check_messages(&token[..place]);
                }
            }
        }
    }

    #[test]
    fn one_who_knows_the_password_gets_in() {
        // Mode, damaged message, knows, place from the end, change.
        for level in 0..3 {
            ntlm(&[level, 1, 2, 0, 0, 0, 0]);
            ntlm(&[level, 1, 2, 1, 0, 0, 0]);
        }
    }
}
