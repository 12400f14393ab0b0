//! The server's end: who the client is, by the proof it gives.
//!
//! The proof is always checked, and in constant time; that there is no such
//! account costs as much and is answered alike. Nothing weaker than NTLMv2 with
//! extended session security and keys of 128 bits is taken unless the settings
//! say so. Whatever domain a client names is taken, as a host does that is a
//! member of none: it only is a part of the proof.

use super::context::{Context, Exchange, Taken};
use super::flags::Flags;
use super::keys::{self, Key, Sender};
use super::message::{Authenticate, Challenge, Negotiate, Version, with_mic};
use super::names;
use super::proof::{Claim, Older, Proof};
use super::response::{AvId, AvWriter};
use super::session::Session;
use super::{file_time, random};
use crate::proto::{Principal, SecurityError};
use crate::security::{Account, Accounts, Mechanism, MechanismContext, NtHash, oid};
use crate::wire::pdu::{AuthLevel, AuthType};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// What a server says that it is called; what is empty is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its domain, a NetBIOS name.
    pub domain: String,
    /// Its own NetBIOS name.
    pub host: String,
    /// Its domain in the DNS.
    pub dns_domain: String,
    /// Its own name in the DNS.
    pub dns_host: String,
}

/// What an acceptor takes.
#[derive(Clone, Debug)]
pub struct NtlmSettings {
    /// What clients are told.
    pub names: Names,
    /// Who may log on.
    pub accounts: Arc<dyn Accounts>,
    /// Whether a client may log on without a name.
    pub anonymous: bool,
    /// Whether NTLMv1 responses are taken, and sessions without extended session
    /// security or with keys of fewer than 128 bits.
    pub v1: bool,
    /// Whether LM responses are taken where no NT response comes, and the same
    /// sessions as with `v1`.
    pub lm: bool,
}

impl NtlmSettings {
    /// Takes these accounts, and nothing but what new clients send: NTLMv2. It
    /// tells no names.
    pub fn new(accounts: impl Accounts + 'static) -> Self {
        NtlmSettings {
            names: Names::default(),
            accounts: Arc::new(accounts),
            anonymous: false,
            v1: false,
            lm: false,
        }
    }
}

/// Accepts clients by NTLM.
#[derive(Clone, Debug)]
pub struct Ntlm(Arc<NtlmSettings>);

impl Ntlm {
    /// An acceptor.
    pub fn new(settings: NtlmSettings) -> Self {
        Ntlm(Arc::new(settings))
    }

    /// A context whose challenge and time are given, for tests and fuzzing.
    pub(crate) fn accept_at(&self, level: AuthLevel, moment: Moment) -> Box<dyn MechanismContext> {
        Box::new(Context::new(Acceptor {
            settings: self.0.clone(),
            level,
            moment: Some(moment),
            asked: None,
        }))
    }
}

impl Mechanism for Ntlm {
    fn auth_type(&self) -> AuthType {
        AuthType::NTLM
    }

    fn oids(&self) -> &'static [&'static [u8]] {
        &[oid::NTLM]
    }

    fn accept(&self, level: AuthLevel) -> Box<dyn MechanismContext> {
        Box::new(Context::new(Acceptor {
            settings: self.0.clone(),
            level,
            moment: None,
            asked: None,
        }))
    }

    fn may_block(&self) -> bool {
        false
    }
}

/// What no two exchanges have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// What clients prove themselves over.
    pub challenge: [u8; 8],
    /// When, in units of 100 ns since 1601.
    pub time: u64,
}

impl Moment {
    /// Now.
    fn now() -> Result<Self, SecurityError> {
        Ok(Moment {
            challenge: random()?,
            time: file_time(),
        })
    }
}

/// The server's end of one exchange.
#[derive(Debug)]
struct Acceptor {
    settings: Arc<NtlmSettings>,
    level: AuthLevel,
    /// Challenge and time where they are given.
    moment: Option<Moment>,
    /// What was asked of the client.
    asked: Option<Asked>,
}

/// What was said before an AUTHENTICATE message.
#[derive(Debug)]
struct Asked {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    /// What was offered to the client.
    flags: Flags,
    /// What it has to prove itself over.
    server: [u8; 8],
}

impl Exchange for Acceptor {
    fn take(&mut self, token: &[u8]) -> Result<Taken, SecurityError> {
        match self.asked.take() {
            None => self.challenge(token),
            Some(asked) => self.authenticate(&asked, token),
        }
    }
}

/// What is done of that which a client asks for.
///
/// # Source
/// MS-NLMP 3.2.5.1.1.
const ECHOED: Flags = Flags(
    Flags::REQUEST_TARGET.0
        | Flags::SIGN.0
        | Flags::SEAL.0
        | Flags::ALWAYS_SIGN.0
        | Flags::VERSION.0
        | Flags::KEY_128.0
        | Flags::KEY_56.0
        | Flags::KEY_EXCHANGE.0,
);

/// What decides about keys: a client may not come with more of these than it was
/// offered.
const OF_KEYS: Flags = Flags(
    Flags::SIGN.0
        | Flags::SEAL.0
        | Flags::LM_KEY.0
        | Flags::EXTENDED_SESSION_SECURITY.0
        | Flags::NON_NT_SESSION_KEY.0
        | Flags::KEY_128.0
        | Flags::KEY_EXCHANGE.0
        | Flags::DATAGRAM.0,
);

/// What a client may not leave out once both ends had it.
const KEPT: Flags = Flags(
    Flags::SIGN.0
        | Flags::SEAL.0
        | Flags::EXTENDED_SESSION_SECURITY.0
        | Flags::KEY_128.0
        | Flags::KEY_EXCHANGE.0,
);

impl Acceptor {
    /// Answers a NEGOTIATE message.
    fn challenge(&mut self, token: &[u8]) -> Result<Taken, SecurityError> {
        let offered = Negotiate::decode(token)?.flags;
        let flags = self.chosen(offered)?;
        let moment = self.moment.map_or_else(Moment::now, Ok)?;
        let target = names::encode(self.target(), flags);
        let challenge = Challenge {
            flags,
            challenge: moment.challenge,
            target: match flags.contains(Flags::TARGET_SERVER) {
                true => &target,
                false => &[],
            },
            target_info: &self.target_info(moment.time),
            version: flags.contains(Flags::VERSION).then_some(Version::OURS),
        };
        let challenge = challenge.encode();
        self.asked = Some(Asked {
            negotiate: token.to_vec(),
            challenge: challenge.clone(),
            flags,
            server: moment.challenge,
        });
        Ok(Taken {
            token: challenge,
            agreed: None,
        })
    }

    /// What is chosen from what a client offers.
    fn chosen(&self, offered: Flags) -> Result<Flags, SecurityError> {
        let mut flags = Flags::NTLM | Flags::TARGET_INFO | (offered & ECHOED);
        if offered.contains(Flags::REQUEST_TARGET) {
            flags = flags | Flags::TARGET_SERVER;
        }
        flags = flags
            | match () {
                () if offered.contains(Flags::UNICODE) => Flags::UNICODE,
                () if offered.contains(Flags::OEM) => Flags::OEM,
                () => return Err(SecurityError::Token("names of no known kind")),
            };
        // Extended session security goes before the LM key.
        if offered.contains(Flags::EXTENDED_SESSION_SECURITY) {
            flags = flags | Flags::EXTENDED_SESSION_SECURITY;
        } else if self.settings.lm {
            flags = flags | (offered & (Flags::LM_KEY | Flags::NON_NT_SESSION_KEY));
        }
        match self.outdated(flags) {
            Some(reason) => Err(SecurityError::Denied {
                claimed: None,
                reason,
            }),
            None => Ok(flags),
        }
    }

    /// What flags lack of that which every client of these days has.
    fn outdated(&self, flags: Flags) -> Option<&'static str> {
        let is_strict = !self.settings.v1 && !self.settings.lm;
        let needed = [
            (
                Flags::EXTENDED_SESSION_SECURITY,
                "no extended session security",
            ),
            (Flags::KEY_128, "no keys of 128 bits"),
        ];
        let mut lacks = needed
            .into_iter()
            .filter(|(flag, _)| is_strict && !flags.contains(*flag));
        lacks.next().map(|(_, reason)| reason)
    }

    /// The name that stands for the server.
    fn target(&self) -> &str {
        let names = &self.settings.names;
        match names.host.is_empty() {
            true => &names.domain,
            false => &names.host,
        }
    }

    /// What the server tells about itself. That it tells the time has clients
    /// send a MIC.
    fn target_info(&self, time: u64) -> Vec<u8> {
        let names = &self.settings.names;
        let mut writer = AvWriter::default();
        writer.add_name(AvId::DOMAIN, &names.domain);
        writer.add_name(AvId::HOST, &names.host);
        writer.add_name(AvId::DNS_DOMAIN, &names.dns_domain);
        writer.add_name(AvId::DNS_HOST, &names.dns_host);
        writer.add(AvId::TIME, &time.to_le_bytes());
        writer.finish()
    }

    /// Takes an AUTHENTICATE message.
    fn authenticate(&self, asked: &Asked, token: &[u8]) -> Result<Taken, SecurityError> {
        let message = Authenticate::decode(token)?;
        let claim = Claim::of(&message, asked.server)?;
        let denied = |reason| claim.denied(reason);
        self.check_flags(asked.flags, &claim).map_err(denied)?;
        let (principal, proof) = self.logon(&claim)?;
        let exported = exported_key(&proof.key, &message)?;
        if proof.has_mic {
            check_mic(&exported, asked, &message, token).map_err(denied)?;
        }
        // Told once the client is known; without signatures the session is not
        // even refused, but verifies nothing.
        if self.level == AuthLevel::PRIVACY && !message.flags.contains(Flags::SEAL) {
            return Err(SecurityError::Level("packets are not to be sealed"));
        }
        let signs = message.flags.intersects(Flags::SIGN | Flags::SEAL);
        let session = Session::new(&exported, message.flags, Sender::Server, self.level);
        let session = match self.level == AuthLevel::CONNECT || signs {
            true => session,
            false => session.ended(),
        };
        Ok(Taken {
            token: Vec::new(),
            agreed: Some((principal, session)),
        })
    }

    /// Checks that a client came with what it was offered, and with all of that
    /// which has to be.
    fn check_flags(&self, offered: Flags, claim: &Claim) -> Result<(), &'static str> {
        let flags = claim.flags();
        if (flags & OF_KEYS).without(offered) != Flags::NONE {
            return Err("more was negotiated than was offered");
        }
        // Nobody's key is known to everybody: Samba's client, at least, leaves
        // extended session security then.
        let excused = match claim.is_anonymous() {
            true => flags | Flags::EXTENDED_SESSION_SECURITY,
            false => flags,
        };
        if let Some(reason) = self.outdated(excused) {
            return Err(reason);
        }
        match excused.contains(offered & KEPT) {
            true => Ok(()),
            false => Err("less was negotiated than was offered"),
        }
    }

    /// Finds out who logs on.
    fn logon(&self, claim: &Claim) -> Result<(Principal, Proof), SecurityError> {
        let settings = &self.settings;
        if !claim.is_anonymous() {
            return self.somebody(claim);
        }
        let key = Key::default();
        let proof = Proof {
            key,
            has_mic: false,
        };
        match settings.anonymous {
            true => Ok((Principal::Anonymous, proof)),
            false => Err(claim.denied("nobody may log on without a name")),
        }
    }

    /// Checks the proof of somebody.
    fn somebody(&self, claim: &Claim) -> Result<(Principal, Proof), SecurityError> {
        let older = Older {
            v1: self.settings.v1,
            lm: self.settings.lm,
        };
        let Some(account) = self.find(claim) else {
            // The work is the same, and for nothing.
            return Err(match claim.check(&nobody(), older) {
                Err(error @ SecurityError::Token(_)) => error,
                _ => claim.denied("unknown account"),
            });
        };
        let proof = claim.check(&account, older)?;
        Ok((Principal::Named(account.name), proof))
    }

    /// The account that is claimed: the user's name, or what stands before the @
    /// of one that names no domain beside.
    fn find(&self, claim: &Claim) -> Option<Account> {
        let accounts = &self.settings.accounts;
        let short = match claim.user.split_once('@') {
            Some((short, _)) if claim.domain.is_empty() => Some(short),
            _ => None,
        };
        let found = accounts.find(&claim.user);
        found.or_else(|| short.and_then(|short| accounts.find(short)))
    }
}

/// The account of those who have none.
fn nobody() -> Account {
    Account {
        name: Arc::from(""),
        nt_hash: NtHash([0; 16]),
        password: None,
    }
}

/// The key that the session's are made of: the client's choice where it could
/// choose.
///
/// # Errors
/// `Token` when it chose none.
///
/// # Source
/// MS-NLMP 3.2.5.1.2; without signatures a client needs no key of its own.
fn exported_key(key: &Key, message: &Authenticate) -> Result<Key, SecurityError> {
    let flags = message.flags;
    let may_lack = !flags.intersects(Flags::SIGN | Flags::SEAL);
    if !flags.contains(Flags::KEY_EXCHANGE) || may_lack && message.session_key.is_empty() {
        return Ok(key.clone());
    }
    let wrapped = message.session_key.try_into();
    let wrapped = wrapped.map_err(|_| SecurityError::Token("a session key of another length"))?;
    Ok(keys::rc4k(key, wrapped))
}

/// Checks the MIC over the three messages as they came.
fn check_mic(
    exported: &Key,
    asked: &Asked,
    message: &Authenticate,
    token: &[u8],
) -> Result<(), &'static str> {
    let mic = message.mic.ok_or("the MIC that was announced is missing")?;
    let plain = with_mic(token.to_vec(), &[0; 16]);
    let expected = keys::mic(exported, [&asked.negotiate, &asked.challenge, &plain]);
    match bool::from(expected.ct_eq(&mic)) {
        true => Ok(()),
        false => Err("the MIC does not fit"),
    }
}
