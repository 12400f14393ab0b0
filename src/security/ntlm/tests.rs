//! Both ends against each other, and each against messages that were tampered
//! with.

mod agreement;
mod packets;
mod refusal;

use super::acceptor::Moment;
use super::initiator::{Choice, initiate_at};
use super::{Names, Ntlm, NtlmSettings, initiate};
use crate::proto::{LegAnswer, Packet, SecurityError};
use crate::security::{
    Account, Accounts, Credentials, Mechanism, MechanismContext, NtHash, Password, Secret,
};
use crate::wire::pdu::AuthLevel;
use std::sync::Arc;
use zeroize::Zeroizing;

type Boxed = Box<dyn MechanismContext>;

/// Octets as documents print them.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|digit| !digit.is_ascii_whitespace())
        .collect();
    let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// The levels that contexts have.
const LEVELS: [AuthLevel; 3] = [AuthLevel::CONNECT, AuthLevel::INTEGRITY, AuthLevel::PRIVACY];

/// Knows `User` and `bob@lab`, whose password is "Password", and `alice`, whose
/// password is "wonder".
#[derive(Debug)]
struct Three;

impl Accounts for Three {
    fn find(&self, name: &str) -> Option<Account> {
        let known = [
            ("User", "Password"),
            ("alice", "wonder"),
            ("bob@lab", "Password"),
        ];
        let is_it = |(known, _): &&(&str, &str)| known.eq_ignore_ascii_case(name);
        known.iter().find(is_it).map(|(name, password)| Account {
            name: Arc::from(*name),
            nt_hash: NtHash::of(password),
            password: Some(Arc::new(Password::new((*password).to_owned()))),
        })
    }
}

/// What takes no more than it has to.
fn settings() -> NtlmSettings {
    NtlmSettings {
        names: Names {
            domain: "LAB".to_owned(),
            host: "MAPPER".to_owned(),
            dns_domain: "lab.example".to_owned(),
            dns_host: "mapper.lab.example".to_owned(),
        },
        accounts: Arc::new(Three),
        anonymous: false,
        v1: false,
        lm: false,
    }
}

/// A server's context that is always the same.
fn acceptor(settings: NtlmSettings, level: AuthLevel) -> Boxed {
    let moment = Moment {
        challenge: 0x0123456789abcdef_u64.to_be_bytes(),
        time: 0x01da_0000_0000_0000,
    };
    Ntlm::new(settings).accept_at(level, moment)
}

fn credentials(user: &str, domain: &str, password: &str) -> Credentials {
    Credentials {
        user: user.to_owned(),
        domain: domain.to_owned(),
        secret: Secret::Password(Arc::new(Password::new(password.to_owned()))),
    }
}

/// Who is known.
fn user() -> Credentials {
    credentials("User", "Domain", "Password")
}

/// A client's context that is always the same.
fn initiator(credentials: &Credentials, level: AuthLevel) -> Boxed {
    let choice = Choice {
        challenge: [0xaa; 8],
        key: Zeroizing::new([0x55; 16]),
        time: 0,
    };
    initiate_at(credentials, level, choice)
}

/// What a leg came to that needs a further one.
fn more(answer: Result<LegAnswer, SecurityError>) -> Vec<u8> {
    let answer = answer.unwrap();
    assert!(!answer.is_complete);
    answer.token
}

/// The tokens up to the client's last, and what the server made of that.
fn exchange(client: &mut Boxed, server: &mut Boxed) -> Result<LegAnswer, SecurityError> {
    let negotiate = more(client.proceed(&[]));
    let challenge = more(server.proceed(&negotiate));
    let last = client.proceed(&challenge)?;
    assert!(last.is_complete);
    server.proceed(&last.token)
}

/// Both ends of a context that is complete.
fn ends(level: AuthLevel) -> (Boxed, Boxed) {
    let mut client = initiator(&user(), level);
    let mut server = acceptor(settings(), level);
    let answer = exchange(&mut client, &mut server).unwrap();
    assert_eq!((answer.token.len(), answer.is_complete), (0, true));
    (client, server)
}

/// A packet: a head, the stub, a trailer.
fn packet(octets: &mut [u8], signs_header: bool) -> Packet<'_> {
    let stub = 24..octets.len() - 8;
    Packet {
        octets,
        stub,
        signs_header,
    }
}

/// A packet of `from` as it goes over the wire.
fn protected(from: &mut Boxed, plain: &[u8], signs_header: bool) -> (Vec<u8>, Vec<u8>) {
    let (mut octets, mut signature) = (plain.to_vec(), vec![0; from.signature_len()]);
    from.protect(packet(&mut octets, signs_header), &mut signature)
        .unwrap();
    (octets, signature)
}

/// What `to` makes of a packet.
fn verified(
    to: &mut Boxed,
    octets: &[u8],
    signature: &[u8],
    signs_header: bool,
) -> Result<Vec<u8>, SecurityError> {
    let mut octets = octets.to_vec();
    to.verify(packet(&mut octets, signs_header), signature)?;
    Ok(octets)
}
