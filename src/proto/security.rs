//! Where security providers plug in, and the security contexts of one
//! connection.
//!
//! A provider turns a client's tokens into a security context, which then signs
//! and seals packets. Which leg may come when, which level and header a packet
//! has to carry and what a wrong move is answered with is the association's
//! business, not the provider's. A provider is handed in; how it knows its
//! clients, and where its randomness comes from, is its own affair.

use crate::wire::pdu::{AuthLevel, AuthType, AuthVerifier};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Accepts clients by one authentication type.
pub trait SecurityProvider: fmt::Debug + Send + Sync {
    /// The number that verifiers of its contexts carry.
    fn auth_type(&self) -> AuthType;

    /// Begins a security context with the first token of a client.
    ///
    /// `level` is connect, integrity or privacy: packet is treated as integrity.
    ///
    /// # Errors
    /// When the token does not lead to a context.
    fn begin(
        &self,
        level: AuthLevel,
        token: &[u8],
    ) -> Result<(Box<dyn SecurityContext>, Leg), SecurityError>;
}

/// What is agreed on between one client and the server.
pub trait SecurityContext: fmt::Debug + Send {
    /// Goes on with a further token.
    ///
    /// # Errors
    /// When the token does not belong here, or the client is not who it says.
    fn proceed(&mut self, token: &[u8]) -> Result<Leg, SecurityError>;

    /// Who the client is; asked for once the context is complete.
    fn principal(&self) -> Arc<str>;

    /// Octets of a packet's signature.
    fn signature_len(&self) -> usize;

    /// Checks a packet of the client, and unseals it at level privacy.
    ///
    /// # Errors
    /// When the signature is not the client's, or not this packet's.
    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError>;

    /// Signs a packet to the client, and seals it at level privacy. `signature`
    /// has `signature_len` octets, all zero.
    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]);
}

/// What one token came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The token to answer with; empty for none.
    pub token: Vec<u8>,
    /// Whether no further token is needed.
    pub is_complete: bool,
}

/// One packet without its signature.
#[derive(Debug)]
pub struct Packet<'a> {
    /// Header, body, padding and the head of the verifier.
    pub octets: &'a mut [u8],
    /// Where stub and padding stand in it: what is sealed.
    pub stub: Range<usize>,
    /// Whether the signature covers all of `octets`, or the stub alone.
    pub signs_header: bool,
}

/// Why a token or a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// The token cannot be read, or has no place here.
    #[error("the token is not one that may come here")]
    Token,
    /// The client is not who it says, or may not log on.
    #[error("the logon is refused")]
    Denied,
    /// The signature is not this packet's.
    #[error("the signature does not fit")]
    Signature,
}

/// Which providers an association has, and how many contexts it keeps.
#[derive(Clone, Debug)]
pub struct Security {
    /// The providers, each of its own type.
    pub providers: Arc<[Arc<dyn SecurityProvider>]>,
    /// Security contexts of one connection, at most.
    pub max_contexts: usize,
}

impl Security {
    /// No provider.
    pub fn none() -> Self {
        Security {
            providers: Arc::new([]),
            max_contexts: 0,
        }
    }

    /// The provider of a type.
    fn provider(&self, auth_type: AuthType) -> Option<&dyn SecurityProvider> {
        self.providers
            .iter()
            .find(|provider| provider.auth_type() == auth_type)
            .map(|provider| &**provider)
    }
}

/// How far a security context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A further token is due.
    Begun,
    /// Packets may use it.
    Complete,
    /// The last token was refused.
    Failed,
}

/// One security context of a connection.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its type.
    pub auth_type: AuthType,
    /// Its level, as the client asked for it.
    pub auth_level: AuthLevel,
    /// The id by which verifiers name it.
    pub context_id: u32,
    /// How far it is.
    pub stage: Stage,
    /// What the provider made.
    context: Box<dyn SecurityContext>,
}

impl Slot {
    /// Whether packets carry a signature: from level packet on.
    pub fn signs(&self) -> bool {
        self.auth_level >= AuthLevel::PACKET
    }

    /// Whether a verifier names this context as what it is.
    pub fn is_of(&self, verifier: &AuthVerifier) -> bool {
        self.auth_type == verifier.auth_type && self.auth_level == verifier.auth_level
    }

    /// Goes on with a token; returns the one to answer with.
    ///
    /// # Errors
    /// What the provider says; the context has failed then.
    pub fn proceed(&mut self, token: &[u8]) -> Result<Leg, SecurityError> {
        let leg = self.context.proceed(token);
        self.stage = match &leg {
            Ok(leg) if leg.is_complete => Stage::Complete,
            Ok(_) => Stage::Begun,
            Err(_) => Stage::Failed,
        };
        leg
    }

    /// Who the client is.
    pub fn principal(&self) -> Arc<str> {
        self.context.principal()
    }

    /// The provider's side.
    pub fn context(&mut self) -> &mut dyn SecurityContext {
        &mut *self.context
    }

    /// The verifier of a packet or leg that the server sends, around `value`.
    pub fn verifier<'a>(&self, pad_length: u8, value: &'a [u8]) -> AuthVerifier<'a> {
        AuthVerifier {
            auth_type: self.auth_type,
            auth_level: self.auth_level,
            pad_length,
            reserved: 0,
            context_id: self.context_id,
            value,
        }
    }
}

/// Why a new context is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotBegun {
    /// No provider has the type.
    UnknownType,
    /// No level that a connection can have.
    Level,
    /// Level call, which connections do not have.
    LevelCall,
    /// The connection has as many contexts as it may.
    TooMany,
    /// The provider refused the token.
    Refused(SecurityError),
}

/// The types that connections know, whether there is a provider or not.
///
/// # Source
/// MS-RPCE 2.2.1.1.7.
const CONNECTION_TYPES: [AuthType; 5] = [
    AuthType::SPNEGO,
    AuthType::NTLM,
    AuthType::SCHANNEL,
    AuthType::KERBEROS,
    AuthType::NETLOGON,
];

/// No security context is what a verifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSuchContext;

/// The security contexts of one connection, at most `Security::max_contexts`.
#[derive(Debug, Default)]
pub(super) struct SecurityContexts {
    /// In the order of their beginning.
    slots: Vec<Slot>,
    /// The context of packets without a verifier: the bind's, if it had one.
    of_bind: Option<usize>,
    /// Whether signatures cover headers, too.
    pub signs_header: bool,
}

impl SecurityContexts {
    /// Makes a context the bind's.
    pub fn set_of_bind(&mut self, index: usize) {
        self.of_bind = Some(index);
    }

    /// The context at `index`.
    pub fn get(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    /// The context at `index`, to be used.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)
    }

    /// The context of an id, and where it stands.
    pub fn find(&mut self, context_id: u32) -> Option<(usize, &mut Slot)> {
        let mut slots = self.slots.iter_mut().enumerate();
        slots.find(|(_, slot)| slot.context_id == context_id)
    }

    /// Where the context stands that a verifier names as what it is; without
    /// one the bind's, if it had any.
    ///
    /// # Errors
    /// When there is none of that id, type and level.
    pub fn named(&self, verifier: Option<&AuthVerifier>) -> Result<Option<usize>, NoSuchContext> {
        let Some(verifier) = verifier else {
            return Ok(self.of_bind);
        };
        let is_named = |slot: &Slot| slot.context_id == verifier.context_id && slot.is_of(verifier);
        self.slots
            .iter()
            .position(is_named)
            .map(Some)
            .ok_or(NoSuchContext)
    }

    /// Whether the last leg of a context was refused.
    pub fn has_failed(&self) -> bool {
        self.slots.iter().any(|slot| slot.stage == Stage::Failed)
    }

    /// Begins the context that a verifier asks for; returns where it stands and
    /// the first leg.
    ///
    /// # Errors
    /// `NotBegun`; nothing is kept then.
    ///
    /// # Source
    /// MS-RPCE 2.2.1.1.8: packet is integrity on connections; Samba's
    /// raw_protocol suite for the order of the refusals.
    pub fn begin(
        &mut self,
        security: &Security,
        verifier: &AuthVerifier,
    ) -> Result<(usize, Leg), NotBegun> {
        // What no level is comes before what no type is, and that before level
        // call.
        if !(AuthLevel::CONNECT..=AuthLevel::PRIVACY).contains(&verifier.auth_level) {
            return Err(NotBegun::Level);
        }
        let level = match verifier.auth_level {
            AuthLevel::CALL if CONNECTION_TYPES.contains(&verifier.auth_type) => {
                return Err(NotBegun::LevelCall);
            }
            AuthLevel::PACKET => AuthLevel::INTEGRITY,
            level => level,
        };
        let provider = security
            .provider(verifier.auth_type)
            .ok_or(NotBegun::UnknownType)?;
        if self.slots.len() >= security.max_contexts {
            return Err(NotBegun::TooMany);
        }
        let (context, leg) = provider
            .begin(level, verifier.value)
            .map_err(NotBegun::Refused)?;
        self.slots.push(Slot {
            auth_type: verifier.auth_type,
            auth_level: verifier.auth_level,
            context_id: verifier.context_id,
            stage: match leg.is_complete {
                true => Stage::Complete,
                false => Stage::Begun,
            },
            context,
        });
        Ok((self.slots.len() - 1, leg))
    }
}
