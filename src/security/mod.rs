//! Who the peer is: NTLM, SPNEGO and Kerberos, of either end.
//!
//! A [`Mechanism`] begins security contexts. On its own it is a provider of one
//! authentication type, by [`Alone`]; SPNEGO negotiates among several. Contexts
//! read clocks, random sources and, of Kerberos, files; what a leg or a wrong
//! packet is answered with is the association's business.

mod account;
#[cfg(feature = "kerberos")]
pub mod kerberos;
pub mod ntlm;
pub mod oid;
pub mod spnego;

pub use account::{Account, Accounts, Credentials, NtHash, Password, Secret};

use crate::proto::{SecurityContext, SecurityError, SecurityProvider};
use crate::wire::pdu::{AuthLevel, AuthType};
use std::fmt;
use std::sync::Arc;

/// A way to authenticate that SPNEGO can negotiate: the server's end.
pub trait Mechanism: fmt::Debug + Send + Sync {
    /// The authentication type, where it stands alone.
    fn auth_type(&self) -> AuthType;

    /// The object identifiers that name it, as the content octets of their DER
    /// form, the usual one first.
    fn oids(&self) -> &'static [&'static [u8]];

    /// Begins a security context of level connect, integrity or privacy.
    fn accept(&self, level: AuthLevel) -> Box<dyn MechanismContext>;

    /// As [`SecurityProvider::may_block`].
    fn may_block(&self) -> bool;
}

/// A security context that can sign what SPNEGO negotiated.
pub trait MechanismContext: SecurityContext {
    /// A message integrity code over `octets`, GSS_GetMIC; the context is
    /// complete.
    ///
    /// # Errors
    /// When the context can sign no more.
    fn mic(&mut self, octets: &[u8]) -> Result<Vec<u8>, SecurityError>;

    /// Checks one of the peer's.
    ///
    /// # Errors
    /// `Signature` when it does not fit.
    fn check_mic(&mut self, octets: &[u8], mic: &[u8]) -> Result<(), SecurityError>;

    /// Told once SPNEGO needs no further MIC, and before the first packet:
    /// NTLM's key streams begin anew then, and its sequence numbers go on.
    fn mics_exchanged(&mut self) {}

    /// Whether integrity was agreed on, without which nothing can be signed;
    /// asked for once the context is complete.
    fn can_sign(&self) -> bool {
        true
    }
}

/// A mechanism without SPNEGO around it.
#[derive(Debug)]
pub struct Alone(pub Arc<dyn Mechanism>);

impl SecurityProvider for Alone {
    fn auth_type(&self) -> AuthType {
        self.0.auth_type()
    }

    fn begin(&self, level: AuthLevel) -> Box<dyn SecurityContext> {
        self.0.accept(level)
    }

    fn may_block(&self) -> bool {
        self.0.may_block()
    }
}
