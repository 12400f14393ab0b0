//! A security context of either end.

use super::message::{self, SEALS};
use super::reason;
use crate::proto::security::Packet;
use crate::proto::{LegAnswer, Principal, SecurityContext, SecurityError};
use crate::security::MechanismContext;
use crate::wire::pdu::AuthLevel;
use libgssapi::context::{CtxFlags, SecurityContext as Gss};
use libgssapi::error::Error;
use libgssapi::name::Name;
use std::fmt;
use std::sync::Arc;

/// What the ends do differently.
pub(super) trait End: Gss + Send {
    /// Takes a token of the peer's and gives the next, empty for none.
    fn take(&mut self, token: &[u8]) -> Result<Vec<u8>, Error>;

    /// Who is at the other end.
    fn peer(&self) -> Result<Name, Error>;
}

/// The library's context, and what is asked of it often.
pub(super) struct Context<E> {
    gss: E,
    level: AuthLevel,
    /// What is known once the library's context is complete.
    agreed: Option<Agreed>,
}

/// What a complete context has.
struct Agreed {
    /// `alice@REALM`.
    peer: Arc<str>,
    signature_len: usize,
}

impl<E: End> Context<E> {
    /// Around a context that has seen no token.
    pub fn new(gss: E, level: AuthLevel) -> Self {
        Context {
            gss,
            level,
            agreed: None,
        }
    }

    /// Checks what was agreed on.
    fn agree(&mut self) -> Result<Agreed, SecurityError> {
        let refused = |error| reason::refusal(&error);
        let peer = self.gss.peer().and_then(|name| name.display_name());
        let peer = String::from_utf8(peer.map_err(refused)?.to_vec())
            .map_err(|_| SecurityError::Token("the peer's name is not UTF-8"))?;
        if self
            .gss
            .flags()
            .map_err(refused)?
            .contains(CtxFlags::GSS_C_ANON_FLAG)
        {
            return Err(SecurityError::Denied {
                claimed: Some(peer.as_str().into()),
                reason: "an anonymous ticket",
            });
        }
        let signature_len = message::signature_len(&mut self.gss, self.level).map_err(refused)?;
        Ok(Agreed {
            peer: peer.as_str().into(),
            signature_len,
        })
    }
}

impl<E> fmt::Debug for Context<E> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let peer = self.agreed.as_ref().map(|agreed| &*agreed.peer);
        f.debug_struct("Context")
            .field("level", &self.level)
            .field("peer", &peer)
            .finish_non_exhaustive()
    }
}

impl<E: End> SecurityContext for Context<E> {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        if self.agreed.is_some() {
            return Err(SecurityError::Token("the context is complete"));
        }
        let token = self.gss.take(token).map_err(|e| reason::refusal(&e))?;
        let is_complete = self.gss.is_complete();
        if is_complete {
            self.agreed = Some(self.agree()?);
        }
        Ok(LegAnswer { token, is_complete })
    }

    fn principal(&self) -> Principal {
        match &self.agreed {
            Some(agreed) => Principal::Named(agreed.peer.clone()),
            None => Principal::Anonymous,
        }
    }

    fn signature_len(&self) -> usize {
        self.agreed
            .as_ref()
            .map_or(1, |agreed| agreed.signature_len)
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        match self.level {
            AuthLevel::CONNECT => Ok(()),
            SEALS => message::unseal(&mut self.gss, packet, signature),
            _ => message::check(&mut self.gss, packet, signature),
        }
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        match self.level {
            AuthLevel::CONNECT => message::mark(signature),
            SEALS => message::seal(&mut self.gss, packet, signature),
            _ => message::sign(&mut self.gss, packet, signature),
        }
    }
}

impl<E: End> MechanismContext for Context<E> {
    fn mic(&mut self, octets: &[u8]) -> Result<Vec<u8>, SecurityError> {
        let mic = self.gss.get_mic(octets);
        mic.map(|mic| mic.to_vec()).map_err(reason::unsigned)
    }

    fn check_mic(&mut self, octets: &[u8], mic: &[u8]) -> Result<(), SecurityError> {
        let checked = self.gss.verify_mic(octets, mic);
        checked.map_err(reason::unsigned)
    }
}
