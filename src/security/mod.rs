//! Who the peer is: NTLM, SPNEGO and Kerberos, of either end.
//!
//! A [`Mechanism`] begins security contexts. On its own it is a provider of one
//! authentication type, by [`Alone`]; SPNEGO negotiates among several. Contexts
//! read clocks, random sources and, of Kerberos, files; what a leg or a wrong
//! packet is answered with is the association's business.
//!
//! # Example
//!
//! A service that only accounts may call, and a client that logs on by NTLM and
//! has its calls sealed:
//!
//! ```
//! # #[cfg(not(feature = "net"))]
//! # fn main() {}
//! # #[cfg(feature = "net")]
//! use epmapper::client::{Authentication, Handle, Options, Settings};
//! # #[cfg(feature = "net")]
//! use epmapper::host::{Fault, Interface, Server};
//! use epmapper::security::ntlm::{self, Ntlm, NtlmSettings};
//! use epmapper::security::{Account, Alone, Credentials};
//! use epmapper::wire::SyntaxId;
//! use epmapper::wire::pdu::{AuthLevel, AuthType};
//! use std::sync::Arc;
//!
//! const NAMES: SyntaxId =
//!     SyntaxId::new(uuid::uuid!("0d1c5a3e-7d3f-4c0c-9a6a-5c3f0a0c7b11"), 1, 0);
//!
//! epmapper::ndr_parameters! { struct Nothing {} }
//! epmapper::ndr_parameters! { struct Length { letters: u32 } }
//!
//! # #[cfg(feature = "net")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let names = Interface::new(NAMES)
//!     .require(AuthLevel::PRIVACY)
//!     .typed(0, |call, Nothing {}| {
//!         let caller = call.authentication.as_ref();
//!         let name = caller.and_then(|caller| caller.account.as_ref());
//!         let name = name.ok_or(Fault::ACCESS_DENIED)?;
//!         Ok(Length { letters: name.len() as u32 })
//!     });
//! let accounts = vec![Account::new("alice", "a secret")];
//! let server = Server::builder()
//!     .interface(names)
//!     .listen("ncacn_ip_tcp:127.0.0.1[]".parse()?)
//!     .authenticate(Arc::new(Alone(Arc::new(Ntlm::new(NtlmSettings::new(accounts))))))
//!     .unregistered()
//!     .start()
//!     .await?;
//!
//! let alice = Credentials::new("alice", "a secret");
//! let logon = Authentication::new(AuthType::NTLM, AuthLevel::PRIVACY, move |level| {
//!     Ok(ntlm::initiate(&alice, level))
//! });
//! let options = Options {
//!     settings: Settings::default().authenticate(logon),
//!     ..Options::default()
//! };
//! let mut handle = Handle::connect(&server.bindings()[0], NAMES, &options).await?;
//! let answer: Length = handle.invoke(0, &Nothing {}).await?;
//! assert_eq!(answer.letters, 5);
//! # server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Windows' and Samba's clients rather ask for SPNEGO, see [`spnego`]: a server
//! offers both, one provider each.

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
