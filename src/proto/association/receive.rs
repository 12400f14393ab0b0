//! PDUs of a client, one by one: what each does to the association.

use super::{Association, Call, Joining, Queued, State, Step};
use crate::proto::answer::{self, About, Agreed};
use crate::proto::context::{Answers, Refusal};
use crate::proto::fragment::{self, Assembly};
use crate::proto::frame::Violation;
use crate::wire::pdu::{
    AuthLevel, AuthVerifier, Bind, Body, ContextAnswer, Header, PacketType, Pdu, PfcFlags, Request,
};
use crate::wire::status::{ContextResult, FaultStatus, ProviderReason, RejectReason};
use bytes::Bytes;
use uuid::Uuid;

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
            (_, Violation::Version | Violation::DataRepresentation) => {
                self.violate(About::new(header, 0), true)
            }
            (_, Violation::Length | Violation::TooLong) => {
                self.violate(About::new(header, 0), false)
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
            Body::Bind(bind) => self.bind(&pdu, bind),
            _ if !bound => self.refuse(header, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED),
            Body::AlterContext(alter) => self.alter(&pdu, alter),
            Body::Request(request) => self.request(&pdu, request, octets),
            // Neither is answered, and both change nothing: a call that was not
            // complete can still be completed.
            Body::CoCancel | Body::Orphaned => Ok(()),
            _ => self.violate(About::new(header, 0), true),
        }
    }

    /// Answers a bind, once its group is known; or refuses it.
    fn bind(&mut self, pdu: &Pdu<'_>, bind: &Bind<'_>) -> Step {
        let header = &pdu.header;
        if let Some(verifier) = &pdu.auth {
            let reason = no_provider(header, verifier);
            return self.refuse(header, reason);
        }
        let answers = match self.negotiate(bind, true) {
            Ok(answers) => answers,
            Err(Refusal::NoContexts) => {
                return self.refuse(header, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED);
            }
            Err(Refusal::Protocol) => return self.refuse(header, RejectReason::NOT_SPECIFIED),
        };
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
        self.state = State::Joining(Joining {
            header: *header,
            agreed,
            answers,
        });
        Ok(())
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
    fn alter(&mut self, pdu: &Pdu<'_>, alter: &Bind<'_>) -> Step {
        let header = &pdu.header;
        if !is_aligned(header) {
            return self.violate(About::new(header, 0), true);
        }
        if pdu.auth.is_some() {
            // No provider to begin with (MS-RPCE 3.3.1.5.2).
            return self.fault_and_close(About::new(header, 0), FaultStatus::ACCESS_DENIED, true);
        }
        match self.negotiate(alter, false) {
            Ok(answers) => {
                // Sizes and group of an alter_context are ignored, the answer
                // repeats the bind's.
                if let State::Bound(agreed) = &self.state {
                    let octets = answer::acknowledge(header, agreed, &answers, &[]);
                    self.send_in_turn(octets);
                }
                Ok(())
            }
            Err(_) => self.violate(About::new(header, 0), true),
        }
    }

    /// Takes one fragment of a call.
    fn request(&mut self, pdu: &Pdu<'_>, request: &Request<'_>, octets: &Bytes) -> Step {
        let header = &pdu.header;
        if !is_aligned(header) {
            return self.violate(About::new(header, 0), false);
        }
        if pdu.auth.is_some() {
            let about = About::new(header, request.context_id);
            return self.fault_and_close(about, FaultStatus::ACCESS_DENIED, false);
        }
        if header.flags.contains(PfcFlags::FIRST_FRAG) {
            self.first_fragment(header, request, octets)
        } else {
            self.next_fragment(header, request)
        }
    }

    /// Takes a call, or begins one that goes on in further fragments.
    fn first_fragment(&mut self, header: &Header, request: &Request<'_>, octets: &Bytes) -> Step {
        if let Some(pending) = &self.assembly {
            let about = if pending.call_id == header.call_id {
                About::of(pending)
            } else {
                self.interleaved(header, pending)
            };
            return self.violate(about, false);
        }
        if header.flags.contains(PfcFlags::PENDING_CANCEL) {
            let about = About::new(header, 0);
            return self.fault_and_close(about, FaultStatus::NO_CALL_ACTIVE, true);
        }
        let maybe = header.flags.contains(PfcFlags::MAYBE);
        let is_whole = header.flags.contains(PfcFlags::LAST_FRAG);
        // The hint is advice; a call that goes on is refused by it at once.
        let told = if is_whole {
            0
        } else {
            request.alloc_hint as usize
        };
        if told.max(request.stub.len()) > self.settings.max_call {
            return self.too_long(About::new(header, request.context_id));
        }
        if is_whole {
            self.call(
                About::new(header, request.context_id),
                (request.opnum, request.object),
                octets.slice_ref(request.stub),
                maybe,
            );
            return Ok(());
        }
        self.assembly = Some(Assembly::new(
            (header.call_id, header.drep),
            (request.context_id, request.opnum, request.object),
            (maybe, self.last_pdu),
            request.stub,
        ));
        Ok(())
    }

    /// Adds to the incomplete call, and takes it when that is the last fragment.
    fn next_fragment(&mut self, header: &Header, request: &Request<'_>) -> Step {
        let Some(pending) = &self.assembly else {
            return self.stray_fragment(header, request);
        };
        if pending.call_id != header.call_id {
            let about = self.interleaved(header, pending);
            return self.violate(about, false);
        }
        let about = About::of(pending);
        if header.drep != pending.drep {
            return self.violate(about, false);
        }
        let limit = self.settings.max_call;
        let Some(whole) = self
            .assembly
            .take()
            .and_then(|p| p.push(request.stub, limit))
        else {
            return self.too_long(about);
        };
        if header.flags.contains(PfcFlags::LAST_FRAG) {
            let operation = (whole.opnum, whole.object);
            let maybe = whole.maybe;
            self.call(about, operation, whole.into_stub(), maybe);
        } else {
            self.assembly = Some(whole);
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
    fn stray_fragment(&mut self, header: &Header, request: &Request<'_>) -> Step {
        if self.multiplexing() && self.contexts.get(request.context_id).is_none() {
            let about = About::new(header, 0);
            self.send_in_turn(answer::fault(about, FaultStatus::UNK_IF, true));
            return Ok(());
        }
        self.violate(About::new(header, 0), false)
    }

    /// Queues a whole call, or the fault that it gets at once.
    fn call(
        &mut self,
        about: About,
        (opnum, object): (u16, Option<Uuid>),
        stub: Bytes,
        maybe: bool,
    ) {
        let Some(bound) = self.contexts.get(about.context_id) else {
            let about = About {
                context_id: 0,
                ..about
            };
            if !maybe {
                self.send_in_turn(answer::fault(about, FaultStatus::UNK_IF, true));
            }
            return;
        };
        self.queued_stub += stub.len();
        self.queue.push_back(Queued::Call(Call {
            id: about.call_id,
            context_id: about.context_id,
            interface: bound.interface,
            transfer_syntax: bound.transfer_syntax,
            opnum,
            object,
            stub,
            order: about.drep.order(),
            maybe,
        }));
    }

    /// Which call a fault for interleaved calls names: the incomplete one, or
    /// with multiplexing the new one.
    fn interleaved(&self, header: &Header, pending: &Assembly) -> About {
        if self.multiplexing() {
            About::new(header, 0)
        } else {
            About::of(pending)
        }
    }

    /// Whether the bind agreed on several calls at once.
    fn multiplexing(&self) -> bool {
        matches!(&self.state, State::Bound(agreed) if agreed.multiplexing)
    }
}

/// Why an authenticated bind is refused as long as there is no security
/// provider. This is where one will plug in.
///
/// # Source
/// MS-RPCE 2.2.2.11, 3.3.1.5.2; Samba's raw_protocol suite for the reasons.
fn no_provider(header: &Header, verifier: &AuthVerifier<'_>) -> RejectReason {
    if !is_aligned(header) {
        RejectReason::NOT_SPECIFIED
    } else if verifier.pad_length != 0 {
        RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED
    } else {
        match verifier.auth_level {
            AuthLevel::CALL => RejectReason::INVALID_CHECKSUM,
            AuthLevel::CONNECT | AuthLevel::PACKET | AuthLevel::INTEGRITY | AuthLevel::PRIVACY => {
                RejectReason::AUTHENTICATION_TYPE_NOT_RECOGNIZED
            }
            _ => RejectReason::NOT_SPECIFIED,
        }
    }
}

/// Whether the verifier, if there is one, starts at a multiple of 4 octets.
///
/// # Source
/// MS-RPCE 2.2.2.11 asks senders for 16; Samba's raw_protocol suite takes 4.
fn is_aligned(header: &Header) -> bool {
    AuthVerifier::offset(header).is_ok_and(|start| start.is_none_or(|at| at.is_multiple_of(4)))
}
