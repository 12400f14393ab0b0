//! The client's end: NTLMv2 with a MIC, or nothing.

use super::context::{Context, Exchange, Taken};
use super::flags::Flags;
use super::keys::{self, Key, Sender};
use super::message::{Authenticate, Challenge, Negotiate, Version, with_mic};
use super::response::{AvId, AvPairs, ClientChallenge, announcing_mic};
use super::session::Session;
use super::{file_time, names, random};
use crate::proto::{Principal, SecurityError};
use crate::security::{Credentials, MechanismContext, NtHash, Secret};
use crate::wire::pdu::AuthLevel;
use std::fmt;
use zeroize::Zeroizing;

/// Begins a context that proves to be `credentials`; one without a user logs on
/// as nobody.
pub fn initiate(credentials: &Credentials, level: AuthLevel) -> Box<dyn MechanismContext> {
    begin(credentials, level, None)
}

/// The same with random octets and time that are given, for tests and fuzzing.
pub(crate) fn initiate_at(
    credentials: &Credentials,
    level: AuthLevel,
    choice: Choice,
) -> Box<dyn MechanismContext> {
    begin(credentials, level, Some(choice))
}

/// What no two exchanges have in common; never shown.
#[derive(Clone)]
pub(crate) struct Choice {
    /// The client's challenge.
    pub challenge: [u8; 8],
    /// The session's key.
    pub key: Key,
    /// When, in units of 100 ns since 1601.
    pub time: u64,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Choice")
    }
}

impl Choice {
    /// A choice of now.
    fn now() -> Result<Self, SecurityError> {
        Ok(Choice {
            challenge: random()?,
            key: Zeroizing::new(random()?),
            time: file_time(),
        })
    }
}

/// A context.
fn begin(
    credentials: &Credentials,
    level: AuthLevel,
    choice: Option<Choice>,
) -> Box<dyn MechanismContext> {
    Box::new(Context::new(Initiator {
        credentials: credentials.clone(),
        level,
        choice,
        negotiate: None,
    }))
}

/// The client's end of one exchange.
#[derive(Debug)]
struct Initiator {
    credentials: Credentials,
    level: AuthLevel,
    /// Random octets and time where they are given.
    choice: Option<Choice>,
    /// What was said first.
    negotiate: Option<Vec<u8>>,
}

/// Without which a server is refused.
const NEEDED: Flags = Flags(Flags::UNICODE.0 | Flags::EXTENDED_SESSION_SECURITY.0);

/// What protects packets.
const PROTECTION: Flags = Flags(Flags::SIGN.0 | Flags::KEY_128.0 | Flags::KEY_EXCHANGE.0);

/// What is asked for beside.
const WANTED: Flags = Flags(
    Flags::REQUEST_TARGET.0
        | Flags::NTLM.0
        | Flags::ALWAYS_SIGN.0
        | Flags::TARGET_INFO.0
        | Flags::VERSION.0
        | Flags::KEY_128.0
        | Flags::KEY_EXCHANGE.0
        | Flags::KEY_56.0,
);

impl Exchange for Initiator {
    fn take(&mut self, token: &[u8]) -> Result<Taken, SecurityError> {
        match self.negotiate.take() {
            Some(negotiate) => self.authenticate(&negotiate, token),
            None if token.is_empty() => self.negotiate(),
            None => Err(SecurityError::Token("the client speaks first")),
        }
    }
}

/// A proof, and the key that comes with it.
#[derive(Default)]
struct Proof {
    lm_response: Vec<u8>,
    nt_response: Vec<u8>,
    /// The key exchange key.
    key: Key,
}

/// The session's key: one of our choice where keys are exchanged.
fn exported<'k>(proof: &'k Proof, choice: &'k Choice, flags: Flags) -> &'k Key {
    match flags.contains(Flags::KEY_EXCHANGE) {
        true => &choice.key,
        false => &proof.key,
    }
}

impl Initiator {
    /// What a server has to agree to.
    ///
    /// At level connect no signatures are asked for: Samba's domain controller
    /// would then answer every call with fault 1.
    fn needed(&self) -> Flags {
        match self.level {
            AuthLevel::CONNECT => NEEDED,
            AuthLevel::PRIVACY => NEEDED | PROTECTION | Flags::SEAL,
            _ => NEEDED | PROTECTION,
        }
    }

    /// The first message, if there will be something to prove.
    fn negotiate(&mut self) -> Result<Taken, SecurityError> {
        if !self.credentials.user.is_empty() {
            self.hash()?;
        }
        let negotiate = Negotiate {
            flags: self.needed() | WANTED,
            domain: &[],
            workstation: &[],
            version: Some(Version::OURS),
        };
        let token = negotiate.encode();
        self.negotiate = Some(token.clone());
        Ok(Taken {
            token,
            agreed: None,
        })
    }

    /// Answers a CHALLENGE message.
    fn authenticate(&mut self, negotiate: &[u8], token: &[u8]) -> Result<Taken, SecurityError> {
        let challenge = Challenge::decode(token)?;
        if !challenge.flags.contains(self.needed()) {
            return Err(SecurityError::Token("the server wants weaker protection"));
        }
        let info = AvPairs::decode(challenge.target_info)?;
        let choice = self.choice.take().map_or_else(Choice::now, Ok)?;
        let proof = match self.credentials.user.is_empty() {
            true => Proof {
                lm_response: vec![0],
                ..Proof::default()
            },
            false => self.prove(&challenge, info, &choice)?,
        };
        let message = self.message(negotiate, (&challenge, token), &choice, &proof);
        let flags = self.flags(&challenge);
        let exported = exported(&proof, &choice, flags);
        let session = Session::new(exported, flags, Sender::Client, self.level);
        let server = names::claimed(&server_name(&challenge, info));
        Ok(Taken {
            token: message,
            agreed: Some((Principal::Named(server.into()), session)),
        })
    }

    /// What is agreed on.
    fn flags(&self, challenge: &Challenge) -> Flags {
        challenge.flags & (self.needed() | WANTED)
    }

    /// The second message, with a MIC.
    fn message(
        &self,
        negotiate: &[u8],
        (challenge, token): (&Challenge, &[u8]),
        choice: &Choice,
        proof: &Proof,
    ) -> Vec<u8> {
        let flags = self.flags(challenge);
        let is_anonymous = proof.nt_response.is_empty();
        let session_key = match flags.contains(Flags::KEY_EXCHANGE) {
            true => keys::rc4k(&proof.key, &choice.key).to_vec(),
            false => Vec::new(),
        };
        let message = Authenticate {
            flags: match is_anonymous {
                true => flags | Flags::ANONYMOUS,
                false => flags,
            },
            lm_response: &proof.lm_response,
            nt_response: &proof.nt_response,
            domain: &match is_anonymous {
                true => Vec::new(),
                false => names::encode(&self.credentials.domain, flags),
            },
            user: &names::encode(&self.credentials.user, flags),
            workstation: &[],
            session_key: &session_key,
            version: flags.contains(Flags::VERSION).then_some(Version::OURS),
            mic: Some([0; 16]),
        };
        let message = message.encode();
        let mic = keys::mic(exported(proof, choice, flags), [negotiate, token, &message]);
        with_mic(message, &mic)
    }

    /// The proof of a user. No server gets an LMv2 response, not even one that
    /// tells no time: it covers neither the flags nor that a MIC has to come, so
    /// that whoever hands it on alone is rid of both (CVE-2019-1338).
    ///
    /// # Source
    /// MS-NLMP 3.1.5.1.2 and 3.3.2.
    fn prove(
        &self,
        challenge: &Challenge,
        info: AvPairs,
        choice: &Choice,
    ) -> Result<Proof, SecurityError> {
        let Credentials { user, domain, .. } = &self.credentials;
        let ntowf = keys::ntowf_v2(&self.hash()?, user, domain);
        let server = &challenge.challenge;
        let told = announcing_mic(info);
        let seen = ClientChallenge {
            time: info.time().unwrap_or(choice.time),
            challenge: choice.challenge,
            info: AvPairs::decode(&told)?,
        };
        let seen = seen.encode();
        let proof = keys::proof_v2(&ntowf, server, &seen);
        Ok(Proof {
            lm_response: vec![0; 24],
            nt_response: [&proof[..], &seen].concat(),
            key: keys::session_base_v2(&ntowf, &proof),
        })
    }

    /// The hash of the password.
    fn hash(&self) -> Result<NtHash, SecurityError> {
        match &self.credentials.secret {
            Secret::Password(password) => Ok(NtHash::of(password.as_str())),
            Secret::NtHash(hash) => Ok(hash.clone()),
            Secret::System => Err(SecurityError::Token("NTLM needs a password")),
        }
    }
}

/// The name that a server gave itself, the most telling one.
fn server_name(challenge: &Challenge, info: AvPairs) -> String {
    let told = [AvId::DNS_HOST, AvId::HOST].into_iter().find_map(|id| {
        let name = info.get(id)?;
        names::decode(name, Flags::UNICODE).ok()
    });
    told.or_else(|| names::decode(challenge.target, challenge.flags).ok())
        .unwrap_or_default()
}
