//! SPNEGO of both ends: which mechanism a connection authenticates by.
//!
//! A client names its mechanisms, preferred first, and adds a token of the
//! first; the server picks one. The mechanism's tokens then travel inside those
//! of SPNEGO, and at the end each end signs the client's list by what the
//! mechanism agreed on, so that nobody between them shortens it.
//!
//! Nobody is complete here whose mechanism is not, and no mechanism other than
//! the first of both ends is settled on without that signature, unless it
//! cannot sign.
//!
//! # Source
//! RFC 4178, MS-SPNG.

mod acceptor;
mod initiator;
pub mod token;

pub use acceptor::Spnego;
pub use initiator::{Offer, initiate};

use super::{MechanismContext, Mics};
use crate::proto::{LegAnswer, Packet, Principal, SecurityContext, SecurityError};
use std::{fmt, mem};

/// Object identifiers of mechanisms, as the content octets of their DER form.
pub mod oid {
    /// 1.3.6.1.4.1.311.2.2.10.
    pub const NTLM: &[u8] = b"\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
    /// 1.2.840.113554.1.2.2.
    pub const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
    /// 1.2.840.48018.1.2.2: Kerberos as Windows calls it, since one of its
    /// numbers was cut to 16 bits once.
    pub const KERBEROS_CUT: &[u8] = b"\x2a\x86\x48\x82\xf7\x12\x01\x02\x02";
}

/// The longest token that is taken: no PDU holds a longer one.
const LONGEST_TOKEN: usize = 0xffff;

/// A negotiation of either end.
#[derive(Debug)]
struct Negotiation {
    stage: Stage,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// A further token is due.
    Open(Box<dyn Turn>),
    /// Packets may use what is agreed on.
    Complete(Box<dyn MechanismContext>),
    /// A token was refused.
    Failed,
}

/// What a token leads to.
type Step = Result<(Stage, LegAnswer), SecurityError>;

/// An end that waits for a token.
trait Turn: fmt::Debug + Send {
    /// Takes it.
    fn take(self: Box<Self>, token: &[u8]) -> Step;
}

impl Negotiation {
    /// One that begins like this.
    fn boxed(first: impl Turn + 'static) -> Box<dyn SecurityContext> {
        let stage = Stage::Open(Box::new(first));
        Box::new(Negotiation { stage })
    }
}

impl SecurityContext for Negotiation {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        let is_long = token.len() > LONGEST_TOKEN;
        let (stage, answer) = match mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Open(_) if is_long => Err(SecurityError::Token("longer than a PDU")),
            Stage::Open(turn) => turn.take(token),
            Stage::Complete(_) => Err(SecurityError::Token("the negotiation is complete")),
            Stage::Failed => Err(SecurityError::Token("the negotiation has failed")),
        }?;
        self.stage = stage;
        Ok(answer)
    }

    fn principal(&self) -> Principal {
        match &self.stage {
            Stage::Complete(context) => context.principal(),
            _ => Principal::Anonymous,
        }
    }

    fn signature_len(&self) -> usize {
        match &self.stage {
            Stage::Complete(context) => context.signature_len(),
            _ => 1,
        }
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        match &mut self.stage {
            Stage::Complete(context) => context.verify(packet, signature),
            _ => Err(SecurityError::Signature),
        }
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        match &mut self.stage {
            Stage::Complete(context) => context.protect(packet, signature),
            _ => Err(SecurityError::Signature),
        }
    }
}

/// What the two ends owe each other about the list of mechanisms.
#[derive(Debug)]
struct Proof {
    /// The list as the client encoded it.
    list: Vec<u8>,
    /// Whether the choice was not the first of both ends, or the server asked.
    is_asked: bool,
    /// Whether ours is made.
    is_made: bool,
    /// Whether the peer's is checked.
    is_checked: bool,
}

impl Proof {
    /// Nothing made or checked yet.
    fn of(list: Vec<u8>) -> Self {
        Proof {
            list,
            is_asked: false,
            is_made: false,
            is_checked: false,
        }
    }

    /// Whether the peer's has to come; the mechanism is complete.
    ///
    /// # Source
    /// RFC 4178 5; MS-SPNG 3.3.5.1 for what NTLM demands.
    fn is_due(&self, context: &dyn MechanismContext) -> bool {
        match context.mics() {
            Mics::Impossible => false,
            Mics::Optional => self.is_asked && !self.is_checked,
            Mics::Demanded => !self.is_checked,
        }
    }

    /// Makes ours, unless it is made or cannot be.
    fn make(
        &mut self,
        context: &mut dyn MechanismContext,
    ) -> Result<Option<Vec<u8>>, SecurityError> {
        if self.is_made || context.mics() == Mics::Impossible {
            return Ok(None);
        }
        self.is_made = true;
        context.mic(&self.list).map(Some)
    }

    /// Checks the peer's.
    fn check(
        &mut self,
        context: &mut dyn MechanismContext,
        mic: &[u8],
    ) -> Result<(), SecurityError> {
        if self.is_checked || context.mics() == Mics::Impossible {
            return Err(SecurityError::Token("a MIC where none can be"));
        }
        context.check_mic(&self.list, mic)?;
        self.is_checked = true;
        Ok(())
    }

    /// Tells the context that no further MIC comes.
    fn settle(&self, context: &mut dyn MechanismContext) {
        if self.is_made || self.is_checked {
            context.mics_exchanged();
        }
    }
}
