//! How a client shows who it is: legs, verifiers and verification trailers.

use super::{Accepted, Asked, ClientAssociation, ClientEvent, ProtocolError, Waiting};
use crate::proto::fragment;
use crate::proto::security::{Leg, LegOutcome, Named, SecurityError, Slot, Stage};
use crate::wire::pdu::{
    Auth3, AuthLevel, AuthType, AuthVerifier, Body, Command, CommandBody, ContextAnswer,
    ContextsBuf, Header, Header2, PacketType, Pdu, PfcFlags, Response, VerificationTrailer,
};
use crate::wire::status::ContextResult;
use bytes::Bytes;
use std::borrow::Cow;

/// What a PDU leads to: nothing yet, or the end.
type Step<T = ()> = Result<T, ProtocolError>;

/// The id of a client's one security context: Windows' client begins with it,
/// too.
const CONTEXT_ID: u32 = 1;

/// A bind or alter_context that is to be sent.
#[derive(Debug)]
pub(super) struct Opening {
    /// Which of the two.
    pub ptype: PacketType,
    /// The association group that it names.
    pub group: u32,
    /// The contexts that it offers.
    pub list: ContextsBuf,
    /// Octets of it before a verifier.
    pub length: usize,
}

/// The security context of a connection, and how far it is.
#[derive(Debug)]
pub(super) struct Authentication {
    /// The context.
    slot: Slot,
    /// What comes next.
    turn: Turn,
    /// The server's token, until it is handed out.
    token: Option<Bytes>,
    /// Whether headers are signed.
    signs_header: bool,
    /// Whether the server has shown that it takes the logon.
    is_confirmed: bool,
    /// Presentation contexts that the server was told of a second time.
    verified: Vec<u16>,
}

/// How far an authentication is.
#[derive(Debug)]
enum Turn {
    /// The next bind or alter_context begins it.
    Idle,
    /// Its first token is being made, which this goes out with.
    First(Opening),
    /// The answer to that is due.
    Asked,
    /// A further token is being made; what the presentation contexts came to is
    /// told when all is over.
    Further(Vec<ContextAnswer>),
    /// The answer to that is due.
    AskedFurther(Vec<ContextAnswer>),
    /// There is no more to come.
    Over,
}

impl Authentication {
    /// One that nothing was sent of.
    fn new(auth_type: AuthType, auth_level: AuthLevel) -> Self {
        let named = Named {
            auth_type,
            auth_level,
            context_id: CONTEXT_ID,
        };
        Authentication {
            slot: Slot::new(named),
            turn: Turn::Idle,
            token: None,
            signs_header: false,
            is_confirmed: false,
            verified: Vec::new(),
        }
    }

    /// The verifier that carries a token.
    pub fn verifier<'a>(&self, token: &'a [u8]) -> AuthVerifier<'a> {
        self.slot.named.verifier(0, token)
    }

    /// Whether a token is being made.
    fn is_at_leg(&self) -> bool {
        matches!(self.turn, Turn::First(_) | Turn::Further(_))
    }

    /// Whether calls may be made.
    fn is_over(&self) -> bool {
        matches!(self.turn, Turn::Over) && self.slot.stage == Stage::Complete
    }

    /// Whether the last leg goes without an answer: in an auth3. SPNEGO has
    /// another token to come back.
    ///
    /// # Source
    /// MS-RPCE 3.3.1.5.2; a Windows server takes no auth3 of SPNEGO.
    fn ends_silently(&self) -> bool {
        self.slot.stage == Stage::Complete && self.slot.named.auth_type != AuthType::SPNEGO
    }
}

impl ClientAssociation {
    /// Says that the next bind or alter_context begins an authentication, at
    /// level connect, packet, integrity or privacy; once for a connection.
    ///
    /// Each of its legs comes out of [`poll_leg`](Self::poll_leg). What was
    /// asked for is answered when the last one is through, and calls without it
    /// are not made.
    pub fn authenticate(&mut self, auth_type: AuthType, auth_level: AuthLevel) {
        if self.authentication.is_none() {
            self.authentication = Some(Authentication::new(auth_type, auth_level));
        }
    }

    /// The leg that has to be taken before anything more is sent or received,
    /// unless it was handed out already; the first of an authentication has to
    /// be begun, with an empty token.
    pub fn poll_leg(&mut self) -> Option<Leg> {
        let authentication = self.authentication.as_mut()?;
        let token = authentication.token.take()?;
        Some(authentication.slot.leg(token))
    }

    /// Tells what the leg came to that was handed out.
    pub fn leg_taken(&mut self, outcome: LegOutcome) {
        let Some(authentication) = self.authentication.as_mut() else {
            return;
        };
        if self.ended.is_some() || !authentication.is_at_leg() {
            return;
        }
        let step = match authentication.slot.settle(outcome) {
            Ok(token) => self.go_on(&token),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = step {
            self.end(error);
        }
    }

    /// Whether the server has shown that it takes the logon: an rpc_auth_3 has
    /// no answer, so that only the first call tells.
    pub fn is_logged_on(&self) -> bool {
        let authentication = self.authentication.as_ref();
        authentication.is_some_and(|authentication| authentication.is_confirmed)
    }

    /// Whether octets have to wait for a leg.
    pub(super) fn is_at_leg(&self) -> bool {
        self.authentication
            .as_ref()
            .is_some_and(Authentication::is_at_leg)
    }

    /// Keeps what is to be sent until there is a first token to go with it; gives
    /// it back where none is asked for.
    pub(super) fn withhold(&mut self, opening: Opening) -> Option<Opening> {
        match &mut self.authentication {
            Some(authentication) if matches!(authentication.turn, Turn::Idle) => {
                authentication.turn = Turn::First(opening);
                authentication.token = Some(Bytes::new());
                None
            }
            _ => Some(opening),
        }
    }

    /// Whether the security context, once complete, is to sign headers, too.
    pub(super) fn asks_for_signed_headers(&self) -> bool {
        let authentication = self.authentication.as_ref();
        authentication.is_some_and(|authentication| authentication.slot.signs())
    }

    /// Sends the token of a leg, or ends the authentication.
    fn go_on(&mut self, token: &[u8]) -> Step {
        let Some(authentication) = self.authentication.as_mut() else {
            return Ok(());
        };
        let is_complete = authentication.slot.stage == Stage::Complete;
        match std::mem::replace(&mut authentication.turn, Turn::Asked) {
            Turn::First(_) if token.is_empty() => Err(NOTHING_TO_SAY),
            Turn::First(opening) => {
                let length = opening.length + AuthVerifier::HEAD + token.len();
                if length > usize::from(u16::MAX) {
                    return Err(ProtocolError::Contexts);
                }
                self.open(&opening, Some(token));
                Ok(())
            }
            Turn::Further(answers) if token.is_empty() => match is_complete {
                true => {
                    authentication.is_confirmed = true;
                    self.authenticated(answers)
                }
                false => Err(NOTHING_TO_SAY),
            },
            Turn::Further(answers) if authentication.ends_silently() => {
                self.put_auth3(token);
                self.authenticated(answers)
            }
            Turn::Further(answers) => self.put_alter(token, answers),
            Turn::Idle | Turn::Asked | Turn::AskedFurther(_) | Turn::Over => Ok(()),
        }
    }

    /// Tells what a bind or alter_context came to, since all legs are through.
    fn authenticated(&mut self, answers: Vec<ContextAnswer>) -> Step {
        if let Some(authentication) = &mut self.authentication {
            authentication.turn = Turn::Over;
        }
        let agreed = self.agreed;
        self.done(ClientEvent::Bound { answers, agreed })
    }

    /// Appends the last leg, which has no answer.
    fn put_auth3(&mut self, token: &[u8]) {
        let header = self.header(PacketType::AUTH3, PfcFlags::WHOLE);
        let verifier = self.authentication.as_ref();
        let pdu = Pdu {
            auth: verifier.map(|authentication| authentication.verifier(token)),
            ..Pdu::new(header, Body::Auth3(Auth3 { pad: [0; 4] }))
        };
        pdu.encode(self.transmit.buffer());
    }

    /// Sends a further leg, with the context that was accepted last, as it was
    /// accepted.
    fn put_alter(&mut self, token: &[u8], answers: Vec<ContextAnswer>) -> Step {
        let Some(context) = self.contexts.last().copied() else {
            return Err(ProtocolError::Unauthenticated);
        };
        let syntaxes = [context.transfer_syntax];
        let offer = (context.id, context.interface, &syntaxes[..]);
        let Some((list, length)) = super::list(self.settings.order, &[offer]) else {
            return Err(ProtocolError::Contexts);
        };
        self.offered = vec![(context.id, context.interface)];
        let opening = Opening {
            ptype: PacketType::ALTER_CONTEXT,
            group: self.agreed.group,
            list,
            length,
        };
        self.waiting = Waiting::Alter { offered: 1 };
        if let Some(authentication) = &mut self.authentication {
            authentication.turn = Turn::AskedFurther(answers);
        }
        self.open(&opening, Some(token));
        Ok(())
    }

    /// Takes the answer to a bind or alter_context, as far as it is about the
    /// authentication; what the presentation contexts came to is told once all
    /// legs are through.
    pub(super) fn bound_with(
        &mut self,
        answers: Vec<ContextAnswer>,
        pdu: &Pdu<'_>,
        octets: &Bytes,
    ) -> Step {
        let agreed = self.agreed;
        let Some(authentication) = &mut self.authentication else {
            return self.done(ClientEvent::Bound { answers, agreed });
        };
        let answers = match std::mem::replace(&mut authentication.turn, Turn::Over) {
            Turn::Asked => answers,
            Turn::AskedFurther(answers) => answers,
            turn => {
                authentication.turn = turn;
                return self.done(ClientEvent::Bound { answers, agreed });
            }
        };
        if !answers.iter().any(is_accepted) {
            // Who refuses what was offered need not say who it is.
            self.done(ClientEvent::Bound { answers, agreed })?;
            self.stop(ProtocolError::Unauthenticated);
            return Ok(());
        }
        // The same bit as PENDING_CANCEL (MS-RPCE 2.2.2.3).
        authentication.signs_header |=
            authentication.slot.signs() && pdu.header.flags.contains(PfcFlags::PENDING_CANCEL);
        let is_complete = authentication.slot.stage == Stage::Complete;
        match &pdu.auth {
            Some(verifier) if !authentication.slot.is_of(verifier) => Err(ProtocolError::Verifier),
            Some(verifier) => {
                authentication.token = Some(octets.slice_ref(verifier.value));
                authentication.turn = Turn::Further(answers);
                Ok(())
            }
            None if is_complete => {
                authentication.is_confirmed = true;
                self.authenticated(answers)
            }
            None => Err(ProtocolError::Unauthenticated),
        }
    }

    /// Ends the association where an authentication came to nothing: behind what
    /// told so.
    pub(super) fn stop_unless_authenticated(&mut self) {
        let authentication = self.authentication.as_ref();
        if authentication.is_some_and(|authentication| !authentication.is_over()) {
            self.stop(ProtocolError::Unauthenticated);
        }
    }

    /// Checks a fragment of a response, and unseals it; `None` where fragments
    /// are not signed.
    pub(super) fn unsealed(
        &mut self,
        pdu: &Pdu<'_>,
        response: &Response<'_>,
        octets: &Bytes,
    ) -> Step<Option<Bytes>> {
        let Some(authentication) = self.authentication.as_mut() else {
            return Ok(None);
        };
        if !authentication.is_over() {
            return Ok(None);
        }
        let slot = &mut authentication.slot;
        if slot.signs() {
            let verifier = pdu.auth.as_ref().ok_or(ProtocolError::Unsigned)?;
            if !slot.is_of(verifier) {
                return Err(ProtocolError::Verifier);
            }
            let plain = slot
                .protection(authentication.signs_header)
                .and_then(|mut context| context.verified(octets, response.stub.len(), verifier))
                .ok_or(ProtocolError::Signature)?;
            authentication.is_confirmed = true;
            return Ok(Some(plain.into()));
        }
        authentication.is_confirmed = true;
        Ok(None)
    }

    /// Sends a call under the security context.
    pub(super) fn authenticated_call(&mut self, call: &Asked, stub: &[u8]) {
        if let Err(error) = self.put_call(call, stub) {
            self.end(error);
        }
    }

    /// Appends the fragments of a call, signed if the level asks for that.
    fn put_call(&mut self, call: &Asked, stub: &[u8]) -> Step {
        let stub = self.with_trailer(call, stub);
        let header = self.header(PacketType::REQUEST, PfcFlags(0));
        let longest = self.agreed.max_xmit_frag;
        let authentication = self.authentication.as_mut();
        let Some(authentication) = authentication.filter(|a| a.is_over()) else {
            return Err(ProtocolError::Unauthenticated);
        };
        let out = self.transmit.buffer();
        let signs = authentication.slot.signs();
        let protection = authentication.slot.protection(authentication.signs_header);
        let mut protection = protection.filter(|_| signs);
        let overhead = protection.as_ref().map_or(0, |p| p.overhead());
        for piece in fragment::split(&stub, longest, call.head() + overhead) {
            let header = Header {
                flags: piece.flags,
                ..header
            };
            let pdu = Pdu::new(header, call.body(&piece));
            match &mut protection {
                None => pdu.encode(out),
                Some(protection) => protection
                    .append(pdu, piece.stub.len(), out)
                    .map_err(|_| ProtocolError::Expired)?,
            }
        }
        Ok(())
    }

    /// The stub of a call with its verification trailer, where there is to be
    /// one: what is not signed in a request is told again where it is, so that
    /// nobody on the way can have it mean something else.
    ///
    /// What holds for the connection and the context is told once; the header of
    /// each call where headers are not signed.
    ///
    /// # Source
    /// MS-RPCE 2.2.2.13; Windows' client sends one with its first request.
    fn with_trailer<'a>(&mut self, call: &Asked, stub: &'a [u8]) -> Cow<'a, [u8]> {
        let header = Header2 {
            ptype: PacketType::REQUEST,
            drep: self.settings.order.into(),
            call_id: self.call_id,
            context_id: call.context_id,
            opnum: call.opnum,
        };
        let Some(authentication) = self.authentication.as_mut().filter(|a| a.slot.signs()) else {
            return stub.into();
        };
        let mut commands = Vec::new();
        let context = self.contexts.iter().find(|c| c.id == call.context_id);
        if let Some(context) = context
            && !authentication.verified.contains(&context.id)
        {
            authentication.verified.push(context.id);
            commands.push(CommandBody::Bitmask1(CommandBody::SUPPORTS_HEADER_SIGNING));
            commands.push(context.command());
        }
        if !authentication.signs_header {
            commands.push(CommandBody::Header2(header));
        }
        if commands.is_empty() {
            return stub.into();
        }
        let command = |body| Command {
            must_process: false,
            body,
        };
        let commands = commands.into_iter().map(command).collect();
        let mut whole = stub.to_vec();
        VerificationTrailer { commands }.encode(&mut whole);
        whole.into()
    }
}

/// The token that a leg has to have and lacks.
const NOTHING_TO_SAY: ProtocolError = ProtocolError::Token("it is answered with nothing");

/// Whether a presentation context was accepted.
pub(super) fn is_accepted(answer: &ContextAnswer) -> bool {
    answer.result == ContextResult::ACCEPTANCE
}

impl Accepted {
    /// The command of a verification trailer that tells of it.
    fn command(&self) -> CommandBody<'static> {
        CommandBody::PresentationContext {
            abstract_syntax: self.interface,
            transfer_syntax: self.transfer_syntax,
        }
    }
}

impl From<SecurityError> for ProtocolError {
    fn from(error: SecurityError) -> Self {
        match error {
            SecurityError::Token(what) => ProtocolError::Token(what),
            SecurityError::Level(what) => ProtocolError::Denied(what),
            SecurityError::Denied { reason, .. } => ProtocolError::Denied(reason),
            SecurityError::Signature => ProtocolError::Signature,
        }
    }
}
