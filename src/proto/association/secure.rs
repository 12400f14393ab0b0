//! Legs of an authentication, verifiers of requests, verification trailers.

use super::{Abuse, Association, Call, Caller, Joining, State, Step};
use crate::proto::answer::About;
use crate::proto::context::Answers;
use crate::proto::fragment::Assembly;
use crate::proto::security::{
    Leg, LegOutcome, NoSuchContext, NotBegun, SecurityError, Slot, Stage,
};
use crate::wire::pdu::{
    AuthType, AuthVerifier, Command, CommandBody, Header, Header2, PacketType, Pdu, PfcFlags,
    Request, VerificationTrailer,
};
use crate::wire::status::{FaultStatus, RejectReason};
use bytes::Bytes;

/// What stands before the verifier of a bind or alter_context that padding
/// could be cut from: everything but the shortest head.
///
/// # Source
/// Samba's raw_protocol suite: a pad length is taken as long as it fits.
const LEG_HEAD: usize = 24;

/// The answer to a leg: where its security context stands, and the token, empty
/// for none.
pub(super) type Token = (usize, Vec<u8>);

/// A leg that waits for its outcome.
#[derive(Debug)]
pub(super) struct PendingLeg {
    /// Where its security context stands.
    index: usize,
    /// The client's token, until it is handed out.
    token: Option<Bytes>,
    /// What is to be answered.
    purpose: Purpose,
}

/// What a leg came with.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A bind, which then joins its group.
    Bind(Joining),
    /// An alter_context, and the answers to its contexts.
    Alter(Header, Answers),
    /// An rpc_auth_3, which is not answered.
    Auth3,
}

/// A request whose verifier was judged: the security context of its call, if it
/// has one, and the whole PDU unsealed, if that was signed.
pub(super) type Judged = (Option<usize>, Option<Bytes>);

/// Why a verifier ends the connection.
struct Unfit {
    /// What the fault is about.
    about: About,
    /// Its status.
    status: FaultStatus,
    /// Its did-not-execute bit.
    did_not_execute: bool,
    /// Which security context is complete and was to be used all the same, and
    /// what was wrong.
    abuse: Option<(usize, &'static str)>,
}

impl Unfit {
    /// A fault of this status.
    fn new(about: About, status: FaultStatus) -> Self {
        Unfit {
            about,
            status,
            did_not_execute: false,
            abuse: None,
        }
    }

    /// The same of a security context that is complete.
    fn of(self, index: usize, reason: &'static str) -> Self {
        Unfit {
            abuse: Some((index, reason)),
            ..self
        }
    }
}

impl Association {
    /// Begins the security context that a bind asks for.
    pub(super) fn bind_leg(
        &mut self,
        verifier: &AuthVerifier<'_>,
        octets: &Bytes,
        joining: Joining,
    ) -> Step {
        match self.begin_context(verifier) {
            Ok(index) => {
                self.security.set_of_bind(index);
                self.ask_for(index, verifier, octets, Purpose::Bind(joining));
                Ok(())
            }
            Err(why) => self.refuse(&joining.header, refusal_of_bind(why)),
        }
    }

    /// Makes room for the context that a verifier asks for.
    fn begin_context(&mut self, verifier: &AuthVerifier<'_>) -> Result<usize, NotBegun> {
        let begun = self.security.begin(&self.settings.security, verifier);
        if begun == Err(NotBegun::TooMany) {
            self.counts.security_contexts_refused += 1;
        }
        begun
    }

    /// Takes a leg that an alter_context carries: a further one of a context
    /// under way, or the first of another. No bind-time feature has to be agreed
    /// on for that: Samba's raw_protocol suite does without.
    pub(super) fn alter_leg(
        &mut self,
        verifier: &AuthVerifier<'_>,
        octets: &Bytes,
        (header, answers): (&Header, Answers),
    ) -> Step {
        let index = match self.security.find(verifier.context_id) {
            Some((index, slot)) => is_next_leg(slot, verifier).map(|()| index),
            None => self.begin_context(verifier).map_err(refusal_of_alter),
        };
        match index {
            Ok(index) => {
                self.ask_for(index, verifier, octets, Purpose::Alter(*header, answers));
                Ok(())
            }
            Err(status) => self.fault_and_close(About::new(header, 0), status, true),
        }
    }

    /// Takes an rpc_auth_3: the last leg, which has no answer. What is wrong
    /// with its token is told by the next request.
    ///
    /// # Source
    /// MS-RPCE 2.2.2.10, 3.3.1.5.2; Samba's raw_protocol suite.
    pub(super) fn auth3(&mut self, pdu: &Pdu<'_>, octets: &Bytes) -> Step {
        let about = About::new(&pdu.header, 0);
        let Some(verifier) = pdu.auth.filter(|_| is_aligned(&pdu.header)) else {
            return self.violate(about, true);
        };
        let Some((index, slot)) = self.security.find(verifier.context_id) else {
            return self.violate(about, true);
        };
        if !pad_fits(&pdu.header, &verifier) {
            return self.fault_and_close(about, FaultStatus::REMOTE_NO_MEMORY, true);
        }
        if is_next_leg(slot, &verifier).is_err() {
            return self.violate(about, true);
        }
        self.ask_for(index, &verifier, octets, Purpose::Auth3);
        Ok(())
    }

    /// Has the token of a leg handed out with the next event.
    fn ask_for(
        &mut self,
        index: usize,
        verifier: &AuthVerifier<'_>,
        octets: &Bytes,
        purpose: Purpose,
    ) {
        self.leg = Some(PendingLeg {
            index,
            token: Some(octets.slice_ref(verifier.value)),
            purpose,
        });
    }

    /// The leg that waits, unless it was handed out already.
    pub(super) fn poll_leg(&mut self) -> Option<Leg> {
        let leg = self.leg.as_mut().filter(|_| self.closed.is_none())?;
        self.security.leg(leg.index, leg.token.take()?)
    }

    /// Tells what the leg came to that the last event handed out.
    pub fn leg_taken(&mut self, outcome: LegOutcome) {
        let Some(leg) = self.leg.take() else {
            return;
        };
        let index = leg.index;
        let token = self.security.settle(index, outcome);
        if self.closed.is_some() {
            return;
        }
        if let Err(closed) = self.settle(index, leg.purpose, token) {
            self.end(closed);
        }
    }

    /// Answers what a leg came with.
    fn settle(
        &mut self,
        index: usize,
        purpose: Purpose,
        token: Result<Vec<u8>, SecurityError>,
    ) -> Step {
        match (purpose, token) {
            (Purpose::Bind(joining), Ok(token)) => {
                let token = Some((index, token));
                self.state = State::Joining(Joining { token, ..joining });
            }
            (Purpose::Bind(joining), Err(_)) => {
                return self.refuse(&joining.header, RejectReason::INVALID_CHECKSUM);
            }
            (Purpose::Alter(header, answers), Ok(token)) => {
                self.acknowledge_alter(&header, &answers, Some((index, token)));
            }
            (Purpose::Alter(header, _), Err(error)) => {
                let about = About::new(&header, 0);
                return self.fault_and_close(about, refusal_of_leg(&error), true);
            }
            // Without an answer a context that is not complete never will be.
            (Purpose::Auth3, token) => {
                let is_silent = token.is_ok_and(|token| token.is_empty());
                if let Some(slot) = self.security.get_mut(index)
                    && (!is_silent || slot.stage == Stage::Begun)
                {
                    slot.stage = Stage::Failed;
                }
            }
        }
        Ok(())
    }

    /// Judges the verifier of a request, or that it has none.
    ///
    /// A continuation is judged by the security context of its call's first
    /// fragment, whatever its own header says.
    pub(super) fn judge(
        &mut self,
        pdu: &Pdu<'_>,
        request: &Request<'_>,
        octets: &Bytes,
    ) -> Result<Judged, Step> {
        let judged = match &self.assembly {
            Some(pending) => continuation(pending, pdu, request),
            None => self.beginning(pdu, request),
        };
        judged
            .and_then(|(security, about)| self.unsealed(security, about, pdu, request, octets))
            .map_err(|unfit| self.unfit(unfit))
    }

    /// Ends the connection for a verifier, and takes note of whose it was to be.
    fn unfit(&mut self, unfit: Unfit) -> Step {
        self.abuse = unfit.abuse.and_then(|(index, reason)| {
            let caller = self.caller(Some(index))?;
            Some(Abuse { caller, reason })
        });
        self.fault_and_close(unfit.about, unfit.status, unfit.did_not_execute)
    }

    /// The security context of a call's first fragment.
    fn beginning(
        &self,
        pdu: &Pdu<'_>,
        request: &Request<'_>,
    ) -> Result<(Option<usize>, About), Unfit> {
        let header = &pdu.header;
        let about = About::new(header, request.context_id);
        let verifier = pdu.auth.as_ref();
        let security = self.security.named(verifier).map_err(|NoSuchContext| {
            let unfit = Unfit::new(about, FaultStatus::ACCESS_DENIED);
            match verifier.and_then(|verifier| self.security.meant(verifier)) {
                Some(index) => unfit.of(index, "the verifier is not its security context's"),
                None => unfit,
            }
        })?;
        let slot = security.and_then(|index| self.security.get(index));
        match slot.map_or(Stage::Complete, |slot| slot.stage) {
            Stage::Complete => Ok((security, about)),
            Stage::Begun => Err(Unfit {
                did_not_execute: true,
                ..Unfit::new(About::new(header, 0), FaultStatus::PROTO_ERROR)
            }),
            Stage::Failed => Err(Unfit::new(about, FaultStatus::ACCESS_DENIED)),
        }
    }

    /// Checks the signature of a request and unseals it, where its security
    /// context signs.
    fn unsealed(
        &mut self,
        security: Option<usize>,
        about: About,
        pdu: &Pdu<'_>,
        request: &Request<'_>,
        octets: &Bytes,
    ) -> Result<Judged, Unfit> {
        let signs_header = self.security.signs_header;
        let slot = security.and_then(|index| self.security.get_mut(index));
        let (Some(index), Some(slot)) = (security, slot.filter(|slot| slot.signs())) else {
            return Ok((security, None));
        };
        let Some(verifier) = &pdu.auth else {
            let status = match self.assembly {
                None => FaultStatus::ACCESS_DENIED,
                Some(_) => FaultStatus::PROTO_ERROR,
            };
            return Err(Unfit::new(about, status).of(index, "no verifier where one is due"));
        };
        let plain = slot
            .protection(signs_header)
            .and_then(|mut context| context.verified(octets, request.stub.len(), verifier))
            .ok_or_else(|| {
                let unfit = Unfit::new(about, FaultStatus::SEC_PKG_ERROR);
                unfit.of(index, "the signature does not fit")
            })?;
        Ok((security, Some(plain.into())))
    }

    /// Who makes a call under a security context.
    pub(super) fn caller(&self, security: Option<usize>) -> Option<Caller> {
        let index = security?;
        let slot = self.security.get(index)?;
        Some(Caller {
            principal: slot.context.as_ref()?.principal(),
            auth_type: slot.named.auth_type,
            auth_level: slot.named.auth_level,
            index,
        })
    }

    /// Whether the verification trailer of a call, if it has one, says of it
    /// what is so.
    ///
    /// # Source
    /// MS-RPCE 2.2.2.13, 3.3.1.5.2.2.
    pub(super) fn is_as_told(&self, call: &Call) -> bool {
        VerificationTrailer::find(&call.stub).is_none_or(|trailer| {
            let is_so = |command| self.is_so(call, command);
            trailer.commands.iter().all(is_so)
        })
    }

    /// Whether one command of a trailer is so.
    fn is_so(&self, call: &Call, command: &Command<'_>) -> bool {
        match command.body {
            // A client that signs headers says so in its bind, too; if that
            // does not, somebody took it out.
            CommandBody::Bitmask1(bits) => {
                bits & CommandBody::SUPPORTS_HEADER_SIGNING == 0 || self.security.signs_header
            }
            CommandBody::PresentationContext {
                abstract_syntax,
                transfer_syntax,
            } => {
                let served = self.settings.interfaces.get(call.interface);
                served.is_some_and(|served| served.interface.serves(&abstract_syntax))
                    && call.transfer_syntax == transfer_syntax
            }
            CommandBody::Header2(header) => {
                let meant = Header2 {
                    ptype: PacketType::REQUEST,
                    drep: call.order.into(),
                    call_id: call.id,
                    context_id: call.context_id,
                    opnum: call.opnum,
                };
                header == meant
            }
            CommandBody::Other { .. } => !command.must_process,
        }
    }

    /// Takes note of a client that can sign headers: on a bind or alter_context,
    /// for the whole connection.
    pub(super) fn note_header_signing(&mut self, header: &Header) {
        // The same bit as PENDING_CANCEL (MS-RPCE 2.2.2.3).
        self.security.signs_header |= header.flags.contains(PfcFlags::PENDING_CANCEL);
    }
}

/// The security context of a further fragment: that of the first, which has to
/// have one where this has a verifier.
fn continuation(
    pending: &Assembly,
    pdu: &Pdu<'_>,
    request: &Request<'_>,
) -> Result<(Option<usize>, About), Unfit> {
    let call = pending.call();
    let security = call.caller.as_ref().map(|caller| caller.index);
    if security.is_none() && pdu.auth.is_some() {
        let about = About::new(&pdu.header, request.context_id);
        return Err(Unfit::new(about, FaultStatus::ACCESS_DENIED));
    }
    Ok((security, About::of(call)))
}

/// Whether a verifier is the next leg of a context.
///
/// # Errors
/// The status that tells what is wrong with it.
///
/// # Source
/// Samba's raw_protocol suite.
fn is_next_leg(slot: &Slot, verifier: &AuthVerifier<'_>) -> Result<(), FaultStatus> {
    if slot.named.auth_type != verifier.auth_type {
        Err(FaultStatus::SEC_PKG_ERROR)
    } else if !slot.is_of(verifier) || slot.stage != Stage::Begun {
        Err(FaultStatus::ACCESS_DENIED)
    } else {
        Ok(())
    }
}

/// The reason that a bind gets whose security context is not begun.
///
/// # Source
/// MS-RPCE 3.3.1.5.2; Samba's raw_protocol suite.
fn refusal_of_bind(why: NotBegun) -> RejectReason {
    match why {
        NotBegun::UnknownType => RejectReason::AUTHENTICATION_TYPE_NOT_RECOGNIZED,
        NotBegun::Level => RejectReason::NOT_SPECIFIED,
        NotBegun::LevelCall => RejectReason::INVALID_CHECKSUM,
        NotBegun::TooMany => RejectReason::LOCAL_LIMIT_EXCEEDED,
    }
}

/// The status that an alter_context gets whose security context is not begun.
fn refusal_of_alter(why: NotBegun) -> FaultStatus {
    match why {
        NotBegun::TooMany => FaultStatus::PROTO_ERROR,
        _ => FaultStatus::ACCESS_DENIED,
    }
}

/// The status that an alter_context gets whose token is refused.
///
/// # Source
/// Samba's raw_protocol suite.
fn refusal_of_leg(error: &SecurityError) -> FaultStatus {
    match error {
        SecurityError::Level(_) => FaultStatus::SEC_PKG_ERROR,
        _ => FaultStatus::ACCESS_DENIED,
    }
}

/// Why a bind's verifier is refused for its form alone.
pub(super) fn ill_formed(pdu: &Pdu<'_>) -> Option<RejectReason> {
    let verifier = pdu.auth.as_ref()?;
    if !is_aligned(&pdu.header) {
        Some(RejectReason::NOT_SPECIFIED)
    } else if !pad_fits(&pdu.header, verifier) {
        Some(RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED)
    } else {
        None
    }
}

/// Whether an alter_context's verifier is of type none: refused before its
/// contexts are looked at.
pub(super) fn is_of_no_type(pdu: &Pdu<'_>) -> bool {
    pdu.auth
        .is_some_and(|verifier| verifier.auth_type == AuthType::NONE)
}

/// Whether the pad length of a leg's verifier is not more than there is.
pub(super) fn pad_fits(header: &Header, verifier: &AuthVerifier<'_>) -> bool {
    let taken = LEG_HEAD + AuthVerifier::HEAD + verifier.value.len();
    let room = usize::from(header.frag_length).saturating_sub(taken);
    usize::from(verifier.pad_length) <= room
}

/// Whether the verifier, if there is one, starts at a multiple of 4 octets.
///
/// # Source
/// MS-RPCE 2.2.2.11 asks senders for 16; Samba's raw_protocol suite takes 4.
pub(super) fn is_aligned(header: &Header) -> bool {
    AuthVerifier::offset(header).is_ok_and(|start| start.is_none_or(|at| at.is_multiple_of(4)))
}
