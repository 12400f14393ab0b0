//! PDUs of a client, one by one: what each does to the association.

use super::secure::{self, Token, is_aligned};
use super::{Association, Call, Joining, Queued, State, Step};
use crate::proto::answer::{self, About, Agreed};
use crate::proto::context::{Answers, Refusal};
use crate::proto::fragment::{self, Assembly};
use crate::proto::frame::Violation;
use crate::proto::security::NoSuchContext;
use crate::wire::pdu::{
    AuthVerifier, Bind, Body, ContextAnswer, Header, PacketType, Pdu, PfcFlags, Request,
};
use crate::wire::status::{ContextResult, FaultStatus, ProviderReason, RejectReason};
use bytes::Bytes;

/// The longest PDU taken, by its type: binds may carry long credentials.
pub(super) fn receive_limit(header: &Header, max_frag: u16) -> u16 {
    match header.ptype {
        PacketType::BIND | PacketType::ALTER_CONTEXT | PacketType::AUTH3 => u16::MAX,
        _ => max_frag,
    }
}

impl Association {
    /// Answers a header that no PDU can have.
    pub(super) fn bad_frame(&mut self, header: &Header, violation: Violation) -> Step {
        match (&self.state, violation) {
            (State::New, _) => self.refuse(header, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED),
            (_, violation) => {
                let did_not_execute = violation != Violation::TooLong;
                self.violate(About::new(header, 0), did_not_execute)
            }
        }
    }

    /// Takes one whole PDU.
    pub(super) fn pdu(&mut self, header: &Header, octets: &Bytes) -> Step {
        let bound = matches!(self.state, State::Bound(_));
        let pdu = match Pdu::decode(octets) {
            Ok(pdu) => pdu,
            Err(_) if bound => return self.violate(About::new(header, 0), false),
            Err(_) => return self.refuse(header, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED),
        };
        match &pdu.body {
            Body::Bind(_) if bound => self.refuse(header, RejectReason::NOT_SPECIFIED),
            Body::Bind(bind) => self.bind(&pdu, bind, octets),
            _ if !bound => self.refuse(header, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED),
            Body::AlterContext(alter) => self.alter(&pdu, alter, octets),
            Body::Request(request) => self.request(&pdu, request, octets),
            Body::CoCancel => self.co_cancel(header.call_id),
            Body::Orphaned => self.orphaned(header.call_id),
            Body::Auth3(_) => self.auth3(&pdu, octets),
            _ => self.violate(About::new(header, 0), true),
        }
    }

    /// Answers a bind, once its group is known; or refuses it.
    fn bind(&mut self, pdu: &Pdu<'_>, bind: &Bind<'_>, octets: &Bytes) -> Step {
        let header = &pdu.header;
        if let Some(reason) = secure::ill_formed(pdu) {
            return self.refuse(header, reason);
        }
        let answers = match self.negotiate(bind, true) {
            Ok(answers) => answers,
            Err(_) => return self.refuse(header, RejectReason::NOT_SPECIFIED),
        };
        self.note_header_signing(header);
        let max_frag = fragment::negotiate(
            bind.max_xmit_frag,
            bind.max_recv_frag,
            self.settings.max_frag,
        );
        let agreed = Agreed {
            max_frag,
            send_limit: fragment::send_limit(bind.max_recv_frag, max_frag),
            group: bind.assoc_group_id,
            multiplexing: header.flags.contains(PfcFlags::CONC_MPX),
        };
        let joining = Joining {
            header: *header,
            agreed,
            answers,
            token: None,
        };
        match &pdu.auth {
            Some(verifier) => self.bind_leg(verifier, octets, joining),
            None => {
                self.state = State::Joining(joining);
                Ok(())
            }
        }
    }

    /// Answers a context list; `features` on a bind only.
    fn negotiate(&mut self, bind: &Bind<'_>, features: bool) -> Result<Answers, Refusal> {
        let served = &self.settings.interfaces;
        let answers = self.contexts.negotiate(served, &bind.contexts, features)?;
        let is_refused = |answer: &&ContextAnswer| {
            answer.result == ContextResult::PROVIDER_REJECTION
                && answer.reason == ProviderReason::LOCAL_LIMIT_EXCEEDED
        };
        self.counts.contexts_refused += answers.iter().filter(is_refused).count() as u32;
        Ok(answers)
    }

    /// Answers an alter_context.
    fn alter(&mut self, pdu: &Pdu<'_>, alter: &Bind<'_>, octets: &Bytes) -> Step {
        let header = &pdu.header;
        let about = About::new(header, 0);
        let is_fit = |verifier: &AuthVerifier| secure::pad_fits(header, verifier);
        if !is_aligned(header) || !pdu.auth.as_ref().is_none_or(is_fit) {
            return self.violate(about, true);
        }
        if secure::is_of_no_type(pdu) {
            return self.fault_and_close(about, FaultStatus::ACCESS_DENIED, true);
        }
        let answers = match self.negotiate(alter, false) {
            Ok(answers) if !self.security.has_failed() => answers,
            _ => return self.violate(about, true),
        };
        self.note_header_signing(header);
        match &pdu.auth {
            Some(verifier) => self.alter_leg(verifier, octets, (header, answers)),
            None => {
                self.acknowledge_alter(header, &answers, None);
                Ok(())
            }
        }
    }

    /// Answers an alter_context: its sizes and group are ignored, the answer
    /// repeats the bind's.
    pub(super) fn acknowledge_alter(
        &mut self,
        header: &Header,
        answers: &Answers,
        token: Option<Token>,
    ) {
        if let State::Bound(agreed) = &self.state {
            let agreed = *agreed;
            self.acknowledge(header, &agreed, answers, &[], token);
        }
    }

    /// Takes one fragment of a call.
    fn request(&mut self, pdu: &Pdu<'_>, request: &Request<'_>, octets: &Bytes) -> Step {
        let header = &pdu.header;
        if !is_aligned(header) {
            return self.violate(About::new(header, 0), false);
        }
        if let Some(pending) = &self.assembly
            && pending.call().id != header.call_id
        {
            let about = self.interleaved(header, pending);
            return self.violate(about, false);
        }
        let is_first = header.flags.contains(PfcFlags::FIRST_FRAG);
        if self.assembly.is_none() && !is_first {
            return self.stray_fragment(pdu, request);
        }
        let (security, unsealed) = match self.judge(pdu, request, octets) {
            Ok(judged) => judged,
            Err(step) => return step,
        };
        // Unsealed octets differ in the stub alone.
        let octets = unsealed.as_ref().unwrap_or(octets);
        let request = match unsealed.as_deref().map(Pdu::decode) {
            None => *request,
            Some(Ok(Pdu {
                body: Body::Request(request),
                ..
            })) => request,
            Some(_) => return self.violate(About::new(header, 0), false),
        };
        if is_first {
            self.first_fragment(header, &request, octets, security)
        } else {
            self.next_fragment(header, &request)
        }
    }

    /// Takes a call, or begins one that goes on in further fragments.
    fn first_fragment(
        &mut self,
        header: &Header,
        request: &Request<'_>,
        octets: &Bytes,
        security: Option<usize>,
    ) -> Step {
        if let Some(pending) = &self.assembly {
            return self.violate(About::of(pending.call()), false);
        }
        if header.flags.contains(PfcFlags::PENDING_CANCEL) {
            let about = About::new(header, 0);
            return self.fault_and_close(about, FaultStatus::NO_CALL_ACTIVE, true);
        }
        let maybe = header.flags.contains(PfcFlags::MAYBE);
        let Some(bound) = self.contexts.get(request.context_id) else {
            if !maybe {
                let about = About::new(header, 0);
                self.send_in_turn(answer::fault(about, FaultStatus::UNK_IF, true));
            }
            return Ok(());
        };
        // The hint is advice; a call that goes on is refused by it at once.
        let is_whole = header.flags.contains(PfcFlags::LAST_FRAG);
        let told = match is_whole {
            true => 0,
            false => request.alloc_hint as usize,
        };
        if told.max(request.stub.len()) > self.settings.max_call {
            return self.too_long(About::new(header, request.context_id));
        }
        let call = Call {
            key: self.running.next_key(),
            id: header.call_id,
            context_id: request.context_id,
            interface: bound.interface,
            transfer_syntax: bound.transfer_syntax,
            opnum: request.opnum,
            object: request.object,
            stub: octets.slice_ref(request.stub),
            order: header.drep.order(),
            maybe,
            cancels: 0,
            caller: self.caller(security),
        };
        if is_whole {
            self.call(call);
        } else {
            self.assembly = Some(Assembly::new(call, self.last_active));
        }
        Ok(())
    }

    /// Adds to the incomplete call, and takes it when that is the last fragment.
    fn next_fragment(&mut self, header: &Header, request: &Request<'_>) -> Step {
        let Some(mut pending) = self.assembly.take() else {
            return Ok(());
        };
        let about = About::of(pending.call());
        if header.drep.order() != pending.call().order {
            return self.violate(about, true);
        }
        if !pending.push(request.stub, self.settings.max_call) {
            return self.too_long(about);
        }
        if header.flags.contains(PfcFlags::LAST_FRAG) {
            self.call(pending.into_call());
        } else {
            self.assembly = Some(pending);
        }
        Ok(())
    }

    /// Refuses a call above the limit (MS-RPCE 3.3.3.5.4; Windows' status).
    fn too_long(&mut self, about: About) -> Step {
        self.counts.calls_refused += 1;
        self.fault_and_close(about, FaultStatus::ACCESS_DENIED, false)
    }

    /// A continuation of no call. With multiplexing it may belong to a call that
    /// was refused for its context, so an unknown context is no violation.
    ///
    /// # Source
    /// Samba's raw_protocol suite.
    fn stray_fragment(&mut self, pdu: &Pdu<'_>, request: &Request<'_>) -> Step {
        let header = &pdu.header;
        if !self.multiplexing() {
            return self.violate(About::new(header, 0), false);
        }
        if self.contexts.get(request.context_id).is_none() {
            let about = About::new(header, 0);
            self.send_in_turn(answer::fault(about, FaultStatus::UNK_IF, true));
            return Ok(());
        }
        let about = About::new(header, request.context_id);
        match self.security.named(pdu.auth.as_ref()) {
            Ok(_) => self.violate(about, false),
            Err(NoSuchContext) => self.fault_and_close(about, FaultStatus::ACCESS_DENIED, false),
        }
    }

    /// Notes a co_cancel for the call that is meant; it is never answered.
    ///
    /// # Source
    /// C706 12.6.4.6; Samba's raw_protocol suite: one for an incomplete call is
    /// ignored.
    fn co_cancel(&mut self, call_id: u32) -> Step {
        if self.is_incomplete(call_id) {
            return Ok(());
        }
        match self.waiting(call_id) {
            Some((_, call)) => call.cancels = call.cancels.saturating_add(1),
            None => self.running.cancel(call_id),
        }
        Ok(())
    }

    /// Gives up the call that is meant: it is not begun, or not answered.
    ///
    /// # Source
    /// C706 12.6.4.8; Samba's raw_protocol suite: one for an incomplete call is
    /// ignored, and that can still be completed.
    fn orphaned(&mut self, call_id: u32) -> Step {
        if self.is_incomplete(call_id) {
            return Ok(());
        }
        match self.waiting(call_id) {
            Some((place, call)) => {
                let octets = call.stub.len();
                self.queued_stub -= octets;
                self.queue.remove(place);
            }
            None => self.running.orphan(call_id),
        }
        Ok(())
    }

    /// Whether the call of this id is not complete yet.
    fn is_incomplete(&self, call_id: u32) -> bool {
        let pending = self.assembly.as_ref();
        pending.is_some_and(|pending| pending.call().id == call_id)
    }

    /// The last call of this id that waits, and where.
    fn waiting(&mut self, call_id: u32) -> Option<(usize, &mut Call)> {
        let waiting = self.queue.iter_mut().enumerate().rev();
        let mut calls = waiting.filter_map(|(place, queued)| match queued {
            Queued::Call(call) => Some((place, call)),
            Queued::Answer(_) => None,
        });
        calls.find(|(_, call)| call.id == call_id)
    }

    /// Queues a whole call, or the fault that it gets at once.
    fn call(&mut self, call: Call) {
        if self.is_as_told(&call) {
            self.queued_stub += call.stub.len();
            self.queue.push_back(Queued::Call(call));
        } else if !call.maybe {
            let about = About::of(&call);
            self.send_in_turn(answer::fault(about, FaultStatus::ACCESS_DENIED, false));
        }
    }

    /// Which call a fault for interleaved calls names: the incomplete one, or
    /// with multiplexing the new one.
    fn interleaved(&self, header: &Header, pending: &Assembly) -> About {
        if self.multiplexing() {
            About::new(header, 0)
        } else {
            About::of(pending.call())
        }
    }

    /// Whether the bind agreed on several calls at once.
    pub(super) fn multiplexing(&self) -> bool {
        matches!(&self.state, State::Bound(agreed) if agreed.multiplexing)
    }
}
