//! A security context of either end: first an exchange of tokens, then a
//! session.

use super::session::{SIGNATURE, Session};
use crate::proto::{LegAnswer, Packet, Principal, SecurityContext, SecurityError};
use crate::security::MechanismContext;
use std::fmt;

/// One end's exchange of tokens.
pub trait Exchange: fmt::Debug + Send {
    /// Takes the peer's next token.
    ///
    /// # Errors
    /// As [`SecurityContext::proceed`].
    fn take(&mut self, token: &[u8]) -> Result<Taken, SecurityError>;
}

/// What a token came to.
#[derive(Debug)]
pub struct Taken {
    /// What is answered.
    pub token: Vec<u8>,
    /// The peer and the keys, where no further token is needed.
    pub agreed: Option<(Principal, Session)>,
}

/// A security context.
#[derive(Debug)]
pub struct Context(State);

/// How far a context is.
#[derive(Debug)]
enum State {
    /// A further token is due.
    Begun(Box<dyn Exchange>),
    /// Packets may use it.
    Complete(Principal, Session),
    /// A token was refused.
    Failed,
}

impl Context {
    /// A context that has seen no token.
    pub fn new(exchange: impl Exchange + 'static) -> Self {
        Context(State::Begun(Box::new(exchange)))
    }

    /// The session, once the context is complete.
    fn session(&mut self) -> Result<&mut Session, SecurityError> {
        match &mut self.0 {
            State::Complete(_, session) => Ok(session),
            _ => Err(SecurityError::Signature),
        }
    }
}

impl SecurityContext for Context {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        let State::Begun(mut exchange) = std::mem::replace(&mut self.0, State::Failed) else {
            return Err(SecurityError::Token("no further token is due"));
        };
        let Taken { token, agreed } = exchange.take(token)?;
        let is_complete = agreed.is_some();
        self.0 = match agreed {
            Some((principal, session)) => State::Complete(principal, session),
            None => State::Begun(exchange),
        };
        Ok(LegAnswer { token, is_complete })
    }

    fn principal(&self) -> Principal {
        match &self.0 {
            State::Complete(principal, _) => principal.clone(),
            _ => Principal::Anonymous,
        }
    }

    fn signature_len(&self) -> usize {
        SIGNATURE
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        self.session()?.verify(packet, signature)
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        self.session()?.protect(packet, signature)
    }
}

impl MechanismContext for Context {
    fn mic(&mut self, octets: &[u8]) -> Result<Vec<u8>, SecurityError> {
        self.session()?.sign(octets).map(Vec::from)
    }

    fn check_mic(&mut self, octets: &[u8], mic: &[u8]) -> Result<(), SecurityError> {
        self.session()?.check(octets, mic)
    }

    fn can_sign(&self) -> bool {
        matches!(&self.0, State::Complete(_, session) if session.can_sign())
    }

    fn mics_exchanged(&mut self) {
        if let State::Complete(_, session) = &mut self.0 {
            session.restart_streams();
        }
    }
}
