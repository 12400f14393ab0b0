//! Where security providers plug in, and the security contexts of one
//! connection.
//!
//! A provider begins a security context, which takes a client's tokens and then
//! signs and seals packets. Which leg may come when, which level and header a
//! packet has to carry and what a wrong move is answered with is the
//! association's business, not the provider's. A leg goes out as an event and
//! its outcome comes back, so that whoever drives the association may read a
//! clock, a file or a key for it, take its time, and tell who asked.

use super::protect::Protection;
use crate::wire::pdu::{AuthLevel, AuthType, AuthVerifier};
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Accepts clients by one authentication type.
pub trait SecurityProvider: fmt::Debug + Send + Sync {
    /// The number that verifiers of its contexts carry.
    fn auth_type(&self) -> AuthType;

    /// Begins a security context, which has seen no token yet.
    ///
    /// `level` is connect, integrity or privacy: packet is treated as integrity.
    fn begin(&self, level: AuthLevel) -> Box<dyn SecurityContext>;

    /// Whether a leg may wait for files or for another host, so that whoever
    /// drives the association takes it where that holds nobody up.
    fn may_block(&self) -> bool {
        false
    }
}

/// Who a peer has shown itself to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody in particular: it logged on without a name.
    Anonymous,
    /// An account by its name, behind which a Kerberos principal has `@REALM`.
    Named(Arc<str>),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Principal::Anonymous => "anonymous",
            Principal::Named(name) => name,
        })
    }
}

/// What is agreed on between a client and a server: either end's half of it.
pub trait SecurityContext: fmt::Debug + Send {
    /// Takes the peer's next token, the first included. The end that begins is
    /// given an empty one first, since the peer has said nothing yet.
    ///
    /// # Errors
    /// When the token does not belong here, or the peer is not who it says.
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError>;

    /// Who the peer is; asked for once the context is complete.
    fn principal(&self) -> Principal;

    /// Octets of a packet's signature: always as many once the context is
    /// complete, and at least 1.
    fn signature_len(&self) -> usize;

    /// Checks a packet of the peer, and unseals it at level privacy.
    ///
    /// # Errors
    /// When the signature is not the peer's, or not this packet's.
    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError>;

    /// Signs a packet to the peer, and seals it at level privacy. `signature`
    /// has `signature_len` octets, all zero.
    ///
    /// # Errors
    /// When the context can sign no more, since its life is over; the connection
    /// ends then.
    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError>;
}

/// One leg of an authentication: a token, and the context that is to take it.
#[derive(Debug)]
pub struct Leg {
    /// The authentication type.
    pub auth_type: AuthType,
    /// The level as a provider is told it.
    pub auth_level: AuthLevel,
    /// The context; `None` where it has to be begun.
    pub context: Option<Box<dyn SecurityContext>>,
    /// The peer's token; empty for the end that begins.
    pub token: Bytes,
}

/// What a leg came to: the context, and what it answers.
pub type LegOutcome = Result<(Box<dyn SecurityContext>, LegAnswer), SecurityError>;

/// What a context makes of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegAnswer {
    /// The token to answer with, at most 32 KiB; empty for none.
    pub token: Vec<u8>,
    /// Whether no further token is needed.
    pub is_complete: bool,
}

impl Leg {
    /// Has the context take the token; one of `providers` begins it where there
    /// is none.
    ///
    /// # Errors
    /// What the context says; `Token` where no provider has the type.
    pub fn take(self, providers: &[Arc<dyn SecurityProvider>]) -> LegOutcome {
        let begin = || {
            let is_meant = |p: &&Arc<dyn SecurityProvider>| p.auth_type() == self.auth_type;
            let provider = providers.iter().find(is_meant)?;
            Some(provider.begin(self.auth_level))
        };
        let mut context = self
            .context
            .or_else(begin)
            .ok_or(SecurityError::Token("no provider of its type"))?;
        let answer = context.proceed(&self.token)?;
        Ok((context, answer))
    }
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// The token cannot be read, or has no place here.
    #[error("the token is not one that may come here: {0}")]
    Token(&'static str),
    /// The peer is not who it says, or may not log on.
    #[error("the logon is refused: {reason}")]
    Denied {
        /// The name that it gave, as far as one could be read; not to be
        /// believed.
        claimed: Option<Arc<str>>,
        /// Why, for a log; a peer is never told.
        reason: &'static str,
    },
    /// The peer is who it says, but what was agreed on cannot do what the level
    /// needs.
    #[error("the level needs more: {0}")]
    Level(&'static str),
    /// The signature is not this packet's.
    #[error("the signature does not fit")]
    Signature,
}

/// What an association may authenticate.
#[derive(Clone, Debug)]
pub struct Security {
    /// The types that there are providers of.
    pub auth_types: Arc<[AuthType]>,
    /// Security contexts of one connection, at most.
    pub max_contexts: usize,
}

impl Security {
    /// Nothing.
    pub fn none() -> Self {
        Security {
            auth_types: Arc::new([]),
            max_contexts: 0,
        }
    }
}

/// The longest token that is answered with: beside it an acknowledgement of as
/// many contexts as there can be fits into a PDU.
const LONGEST_TOKEN: usize = 32 << 10;

/// Octets that a context under way counts for beside the tokens that it took,
/// about what the smallest one keeps.
const CONTEXT_OCTETS: usize = 512;

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

/// By what verifiers name a security context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its type.
    pub auth_type: AuthType,
    /// Its level, as the client asked for it.
    pub auth_level: AuthLevel,
    /// Its id.
    pub context_id: u32,
}

impl Named {
    /// What a verifier names.
    fn by(verifier: &AuthVerifier) -> Self {
        Named {
            auth_type: verifier.auth_type,
            auth_level: verifier.auth_level,
            context_id: verifier.context_id,
        }
    }

    /// The verifier around `value`.
    pub fn verifier(self, pad_length: u8, value: &[u8]) -> AuthVerifier<'_> {
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

/// One security context of a connection.
#[derive(Debug)]
pub(super) struct Slot {
    /// How verifiers name it.
    pub named: Named,
    /// How far it is.
    pub stage: Stage,
    /// What the provider made; away while it takes a token, and once that was
    /// refused.
    pub context: Option<Box<dyn SecurityContext>>,
    /// Octets of the tokens that it took.
    pub taken: usize,
}

impl Slot {
    /// A context that has seen no token.
    pub fn new(named: Named) -> Self {
        Slot {
            named,
            stage: Stage::Begun,
            context: None,
            taken: 0,
        }
    }

    /// Octets that it keeps at most until it is complete: what came may have to
    /// be signed at the end.
    fn held(&self) -> usize {
        match self.stage {
            Stage::Begun => CONTEXT_OCTETS + self.taken,
            Stage::Complete | Stage::Failed => 0,
        }
    }

    /// Whether packets carry a signature: from level packet on.
    pub fn signs(&self) -> bool {
        self.named.auth_level >= AuthLevel::PACKET
    }

    /// The leg that a token is to it.
    ///
    /// # Source
    /// MS-RPCE 2.2.1.1.8: packet is integrity on connections.
    pub fn leg(&mut self, token: Bytes) -> Leg {
        self.taken = self.taken.saturating_add(token.len());
        Leg {
            auth_type: self.named.auth_type,
            auth_level: match self.named.auth_level {
                AuthLevel::PACKET => AuthLevel::INTEGRITY,
                level => level,
            },
            context: self.context.take(),
            token,
        }
    }

    /// Takes what a leg came to; returns the token to answer with.
    ///
    /// # Errors
    /// When it was refused; the context has failed.
    pub fn settle(&mut self, outcome: LegOutcome) -> Result<Vec<u8>, SecurityError> {
        self.stage = Stage::Failed;
        let (context, answer) = outcome?;
        if answer.token.len() > LONGEST_TOKEN {
            return Err(SecurityError::Token("its answer is too long"));
        }
        self.stage = match answer.is_complete {
            true => Stage::Complete,
            false => Stage::Begun,
        };
        self.context = Some(context);
        Ok(answer.token)
    }

    /// What signs its packets; `None` while it takes a token.
    pub fn protection(&mut self, signs_header: bool) -> Option<Protection<'_>> {
        Some(Protection {
            named: self.named,
            context: self.context.as_deref_mut()?,
            signs_header,
        })
    }

    /// Whether a verifier names this context as what it is.
    pub fn is_of(&self, verifier: &AuthVerifier) -> bool {
        self.named == Named::by(verifier)
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
    /// The bind's context, if it had one: that of packets without a verifier.
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
        slots.find(|(_, slot)| slot.named.context_id == context_id)
    }

    /// Where the context stands that a verifier names as what it is; without
    /// one the bind's, or if it had none the first that is complete at level
    /// connect, whose packets may do without verifiers.
    ///
    /// # Errors
    /// When there is none of that id, type and level.
    pub fn named(&self, verifier: Option<&AuthVerifier>) -> Result<Option<usize>, NoSuchContext> {
        let Some(verifier) = verifier else {
            let is_meant = |slot: &Slot| !slot.signs() && slot.stage == Stage::Complete;
            let connected = || self.slots.iter().position(is_meant);
            return Ok(self.of_bind.or_else(connected));
        };
        let mut slots = self.slots.iter();
        let place = slots.position(|slot| slot.is_of(verifier));
        place.map(Some).ok_or(NoSuchContext)
    }

    /// Where the context stands that a verifier which names none was to be of:
    /// that of its id, or the bind's; only one that is complete.
    pub fn meant(&self, verifier: &AuthVerifier) -> Option<usize> {
        let is_of_id = |slot: &Slot| slot.named.context_id == verifier.context_id;
        let index = self.slots.iter().position(is_of_id).or(self.of_bind)?;
        let is_complete = self.get(index)?.stage == Stage::Complete;
        is_complete.then_some(index)
    }

    /// Whether the last leg of a context was refused.
    pub fn has_failed(&self) -> bool {
        self.slots.iter().any(|slot| slot.stage == Stage::Failed)
    }

    /// Whether a further token of a context is due.
    pub fn is_under_way(&self) -> bool {
        self.slots.iter().any(|slot| slot.stage == Stage::Begun)
    }

    /// Octets that contexts under way keep.
    pub fn held(&self) -> usize {
        self.slots.iter().map(Slot::held).sum()
    }

    /// Makes room for the context that a verifier asks for; returns where it
    /// stands.
    ///
    /// # Errors
    /// `NotBegun`; nothing is kept then.
    ///
    /// # Source
    /// Samba's raw_protocol suite for the order of the refusals.
    pub fn begin(
        &mut self,
        security: &Security,
        verifier: &AuthVerifier,
    ) -> Result<usize, NotBegun> {
        // What no level is comes before what no type is, and that before level
        // call.
        let (level, auth_type) = (verifier.auth_level, verifier.auth_type);
        if !(AuthLevel::CONNECT..=AuthLevel::PRIVACY).contains(&level) {
            return Err(NotBegun::Level);
        }
        if level == AuthLevel::CALL && CONNECTION_TYPES.contains(&auth_type) {
            return Err(NotBegun::LevelCall);
        }
        if !security.auth_types.contains(&auth_type) {
            return Err(NotBegun::UnknownType);
        }
        if self.slots.len() >= security.max_contexts {
            return Err(NotBegun::TooMany);
        }
        self.slots.push(Slot::new(Named::by(verifier)));
        Ok(self.slots.len() - 1)
    }

    /// The leg that a token is to the context at `index`.
    pub fn leg(&mut self, index: usize, token: Bytes) -> Option<Leg> {
        Some(self.slots.get_mut(index)?.leg(token))
    }

    /// Takes what a leg came to; returns the token to answer with.
    ///
    /// # Errors
    /// When it was refused; the context has failed.
    pub fn settle(&mut self, index: usize, outcome: LegOutcome) -> Result<Vec<u8>, SecurityError> {
        let slot = self.slots.get_mut(index);
        let slot = slot.ok_or(SecurityError::Token("no such context"))?;
        slot.settle(outcome)
    }
}
