//! Who a client says that it is, and whether it shows that.

use super::flags::Flags;
use super::keys::{self, Key};
use super::message::Authenticate;
use super::names;
use super::response::ClientChallenge;
use crate::proto::SecurityError;
use crate::security::Account;
use subtle::ConstantTimeEq;

/// What a client claims.
#[derive(Debug)]
pub struct Claim<'a> {
    /// The user's name.
    pub user: String,
    /// The user's domain.
    pub domain: String,
    /// How that is shown.
    message: &'a Authenticate<'a>,
    /// Over which challenge.
    server: [u8; 8],
}

/// A proof that was right.
pub struct Proof {
    /// The key exchange key.
    pub key: Key,
    /// Whether the proof covers the announcement of a MIC.
    pub has_mic: bool,
}

/// Which older responses are taken beside NTLMv2.
#[derive(Clone, Copy, Debug)]
pub struct Older {
    /// NTLMv1.
    pub v1: bool,
    /// LM.
    pub lm: bool,
}

impl<'a> Claim<'a> {
    /// What a message claims.
    ///
    /// # Errors
    /// `Token` when its names are no text.
    pub fn of(message: &'a Authenticate<'a>, server: [u8; 8]) -> Result<Self, SecurityError> {
        Ok(Claim {
            user: names::decode(message.user, message.flags)?,
            domain: names::decode(message.domain, message.flags)?,
            message,
            server,
        })
    }

    /// The refusal of the claim.
    pub fn denied(&self, reason: &'static str) -> SecurityError {
        SecurityError::Denied {
            claimed: Some(names::claimed(&self.user).into()),
            reason,
        }
    }

    /// What the client wants to be agreed on.
    pub fn flags(&self) -> Flags {
        self.message.flags
    }

    /// Whether it is nobody's; the flag does not matter.
    ///
    /// # Source
    /// MS-NLMP 3.2.5.1.2.
    pub fn is_anonymous(&self) -> bool {
        let message = self.message;
        message.user.is_empty() && message.nt_response.is_empty() && message.lm_response.len() <= 1
    }

    /// Checks that it comes from who knows an account's password.
    ///
    /// # Errors
    /// `Token` when the response is none, else `Denied`.
    pub fn check(&self, account: &Account, older: Older) -> Result<Proof, SecurityError> {
        match self.message.nt_response.len() {
            0 if older.lm => self.check_lm(account),
            0 => Err(self.denied("LM responses are not taken")),
            24 if older.v1 => self.check_v1(account),
            24 => Err(self.denied("NTLMv1 responses are not taken")),
            _ => self.check_v2(account),
        }
    }

    /// Checks an NTLMv2 response.
    ///
    /// # Source
    /// MS-NLMP 3.3.2.
    fn check_v2(&self, account: &Account) -> Result<Proof, SecurityError> {
        let Some((proof, rest)) = self.message.nt_response.split_first_chunk::<16>() else {
            return Err(SecurityError::Token("an NT response of no known length"));
        };
        let info = ClientChallenge::decode(rest)?.info;
        let ntowf = keys::ntowf_v2(&account.nt_hash, &self.user, &self.domain);
        let expected = keys::proof_v2(&ntowf, &self.server, rest);
        self.fits(&expected, proof)?;
        Ok(Proof {
            key: keys::session_base_v2(&ntowf, proof),
            has_mic: info.has_mic(),
        })
    }

    /// Checks an NTLMv1 response, with extended session security or without.
    ///
    /// # Source
    /// MS-NLMP 3.3.1.
    fn check_v1(&self, account: &Account) -> Result<Proof, SecurityError> {
        let flags = self.message.flags;
        let challenge = match flags.contains(Flags::EXTENDED_SESSION_SECURITY) {
            true => keys::extended_challenge(&self.server, self.lm_head()),
            false => self.server,
        };
        let expected = keys::response_v1(&account.nt_hash.0, &challenge);
        self.fits(&expected, self.message.nt_response)?;
        self.proof_v1(account, lmowf(account).as_ref())
    }

    /// Checks an LM response.
    fn check_lm(&self, account: &Account) -> Result<Proof, SecurityError> {
        let lmowf = lmowf(account);
        let hash = lmowf.clone().unwrap_or_default();
        let expected = keys::response_v1(&hash, &self.server);
        self.fits(&expected, self.message.lm_response)?;
        match lmowf {
            Some(_) => self.proof_v1(account, lmowf.as_ref()),
            None => Err(self.denied(NO_LM_HASH)),
        }
    }

    /// The proof that an older response is; none of them announces a MIC.
    fn proof_v1(&self, account: &Account, lmowf: Option<&Key>) -> Result<Proof, SecurityError> {
        let about = keys::Exchange {
            flags: self.message.flags,
            lmowf,
            lm_response: self.lm_head(),
            server: &self.server,
        };
        let base = keys::session_base_v1(&account.nt_hash);
        let key = keys::kxkey_v1(base, &about).ok_or_else(|| self.denied(NO_LM_HASH))?;
        Ok(Proof {
            key,
            has_mic: false,
        })
    }

    /// The first octets of the LM response, zeros where it is shorter.
    fn lm_head(&self) -> &[u8; 8] {
        self.message.lm_response.first_chunk().unwrap_or(&[0; 8])
    }

    /// Compares a response in constant time.
    fn fits(&self, expected: &[u8], response: &[u8]) -> Result<(), SecurityError> {
        match bool::from(expected.ct_eq(response)) {
            true => Ok(()),
            false => Err(self.denied("wrong password")),
        }
    }
}

/// Why an LM response of an account cannot be checked.
const NO_LM_HASH: &str = "the account has no LM hash";

/// The LM hash of an account, where there is one.
fn lmowf(account: &Account) -> Option<Key> {
    account.password.as_deref().and_then(keys::lmowf_v1)
}
