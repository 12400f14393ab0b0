//! One connection of a server: bind, contexts, calls.
//!
//! Octets come in whole or in parts, whole calls go out as events, answers come
//! back and are cut into fragments. Answers leave in the order of their calls:
//! an answer that the machine gives itself (to an alter_context, or a fault)
//! waits behind the calls that came before it.
//!
//! Always holds: at most `max_waiting` calls and `max_call` octets wait here;
//! one call is incomplete at most; after a violation nothing more is read.

use super::answer::{self, About, Agreed};
use super::context::{Answers, ContextTable, Refusal, Served};
use super::fragment::{self, Assembly};
use super::frame::{self, Frame, Violation};
use crate::wire::drep::ByteOrder;
use crate::wire::pdu::{AuthVerifier, Bind, Body, Header, PacketType, Pdu, PfcFlags, Request};
use crate::wire::status::{FaultStatus, RejectReason};
use crate::wire::syntax::SyntaxId;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What all associations of one listener share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The interfaces offered; calls name them by index.
    pub interfaces: Arc<[Served]>,
    /// The secondary address of a bind_ack: on TCP the port as text.
    pub secondary_address: Arc<str>,
    /// The longest request fragment taken, and the most that is negotiated.
    pub max_frag: u16,
    /// Stub octets of one call, and of all calls that wait, at most.
    pub max_call: usize,
    /// Calls that wait for their turn, at most; further PDUs stay unread.
    pub max_waiting: usize,
    /// Octets that wait to be sent, above which no further call is begun.
    pub max_queued: usize,
    /// Presentation contexts of one connection, at most.
    pub max_contexts: usize,
    /// How long a peer may take to bind.
    pub bind_timeout: Duration,
    /// How long a bound peer may be silent.
    pub idle_timeout: Duration,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A bind asks for this association group, 0 for a new one; to be answered
    /// with [`Association::joined`].
    Join {
        /// The group id of the bind.
        group: u32,
    },
    /// A whole call, to be answered with [`Association::reply`].
    Call(Call),
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// The call id, which the answer repeats.
    pub id: u32,
    /// The context id of the first fragment.
    pub context_id: u16,
    /// Index into [`Settings::interfaces`].
    pub interface: usize,
    /// How the stub is written.
    pub transfer_syntax: SyntaxId,
    /// The operation number.
    pub opnum: u16,
    /// The object UUID of the header.
    pub object: Option<Uuid>,
    /// The stub, all fragments joined.
    pub stub: Bytes,
    /// The byte order of the stub.
    pub order: ByteOrder,
    /// The caller wants no answer.
    pub maybe: bool,
}

/// The answer to a call.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// A stub.
    Response(&'a [u8]),
    /// A fault.
    Fault {
        /// Its status.
        status: FaultStatus,
        /// Whether the operation was not entered at all.
        did_not_execute: bool,
    },
}

/// Why nothing more will come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer broke the protocol and was told so.
    Violation,
    /// The bind was refused.
    Refused,
    /// The peer did not bind in time.
    BindTimeout,
    /// The peer was silent for too long.
    IdleTimeout,
}

/// What waits for its turn, in the order that it came.
#[derive(Debug)]
enum Queued {
    Call(Call),
    Answer(Vec<u8>),
}

/// A bind that waits for its association group.
#[derive(Debug)]
struct Joining {
    header: Header,
    agreed: Agreed,
    answers: Answers,
}

/// Where the connection stands.
#[derive(Debug)]
enum State {
    /// No bind yet.
    New,
    /// A bind has come, its group is being looked up.
    Joining(Joining),
    /// Bound: calls are taken.
    Bound(Agreed),
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct Association {
    settings: Arc<Settings>,
    state: State,
    closed: Option<Closed>,
    contexts: ContextTable,
    assembly: Option<Assembly>,
    queue: VecDeque<Queued>,
    queued_stub: usize,
    join_asked: bool,
    executing: bool,
    transmit: Vec<u8>,
    transmitted: usize,
    last_pdu: Instant,
    traffic: Traffic,
}

/// PDUs since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// PDUs received, whatever became of them.
    pub received: u32,
    /// PDUs handed out to be sent.
    pub sent: u32,
}

/// A step of the machine: `Err` ends the connection.
type Step = Result<(), Closed>;

impl Association {
    /// A connection that was accepted at `now`.
    pub fn new(settings: Arc<Settings>, now: Instant) -> Self {
        Association {
            contexts: ContextTable::new(settings.max_contexts),
            settings,
            state: State::New,
            closed: None,
            assembly: None,
            queue: VecDeque::new(),
            queued_stub: 0,
            join_asked: false,
            executing: false,
            transmit: Vec::new(),
            transmitted: 0,
            last_pdu: now,
            traffic: Traffic::default(),
        }
    }

    /// Takes whole PDUs out of `octets` while the limits allow; the rest stays.
    ///
    /// To be called again after events were taken and octets were sent, as long
    /// as `octets` may hold PDUs that the limits kept back.
    pub fn receive(&mut self, now: Instant, octets: &mut BytesMut) {
        while self.has_room() {
            let max_frag = self.settings.max_frag;
            let step = match frame::next(octets, |header| receive_limit(header, max_frag)) {
                Frame::Incomplete => return,
                Frame::Bad(header, violation) => self.bad_frame(&header, violation),
                Frame::Whole(header, pdu) => {
                    self.last_pdu = now;
                    self.traffic.received += 1;
                    self.pdu(&header, &pdu)
                }
            };
            if let Err(closed) = step {
                self.assembly = None;
                self.closed = Some(closed);
            }
        }
    }

    /// The next event, unless a call is being answered or too much waits to be
    /// sent.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let State::Joining(joining) = &self.state
            && !self.join_asked
        {
            self.join_asked = true;
            let group = joining.agreed.group;
            return Some(Event::Join { group });
        }
        while !self.executing && self.unsent() < self.settings.max_queued {
            match self.queue.pop_front()? {
                Queued::Answer(octets) => self.send(&octets),
                Queued::Call(call) => {
                    self.executing = true;
                    self.queued_stub -= call.stub.len();
                    return Some(Event::Call(call));
                }
            }
        }
        None
    }

    /// Tells the association group that a bind ended up in; `None` when the
    /// group asked for does not exist, which refuses the bind.
    pub fn joined(&mut self, group: Option<u32>) {
        let State::Joining(mut joining) = std::mem::replace(&mut self.state, State::New) else {
            return;
        };
        let Some(group) = group else {
            self.closed = self
                .refuse(&joining.header, RejectReason::NOT_SPECIFIED)
                .err();
            return;
        };
        joining.agreed.group = group;
        let address = self.settings.secondary_address.clone();
        let address = [address.as_bytes(), &[0]].concat();
        let Joining {
            header,
            agreed,
            answers,
        } = joining;
        self.send_in_turn(answer::acknowledge(&header, &agreed, &answers, &address));
        self.state = State::Bound(agreed);
    }

    /// Answers the call that the last event handed out.
    pub fn reply(&mut self, call: &Call, answer: Answer<'_>) {
        self.executing = false;
        if call.maybe {
            return;
        }
        match answer {
            Answer::Response(stub) => self.respond(call, stub),
            Answer::Fault {
                status,
                did_not_execute,
            } => {
                let about = About {
                    call_id: call.id,
                    drep: call.order.into(),
                    context_id: call.context_id,
                };
                self.send(&answer::fault(about, status, did_not_execute));
            }
        }
    }

    /// Octets to send, if any.
    pub fn poll_transmit(&self) -> Option<&[u8]> {
        let octets = &self.transmit[self.transmitted..];
        (!octets.is_empty()).then_some(octets)
    }

    /// Tells that `len` octets of `poll_transmit` were sent.
    pub fn transmitted(&mut self, len: usize) {
        self.transmitted += len;
        if self.transmitted >= self.transmit.len() {
            self.transmit.clear();
            self.transmit.shrink_to(KEPT_TRANSMIT);
            self.transmitted = 0;
        }
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let patience = match self.state {
            _ if self.closed.is_some() => return None,
            State::New | State::Joining(_) => self.settings.bind_timeout,
            State::Bound(_) => self.settings.idle_timeout,
        };
        self.last_pdu.checked_add(patience)
    }

    /// Ends the connection when its time is over at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.executing || self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.closed = Some(match self.state {
            State::Bound(_) => Closed::IdleTimeout,
            _ => Closed::BindTimeout,
        });
    }

    /// Why the connection ended, once nothing waits to be answered any more;
    /// what `poll_transmit` has is still to be sent.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.filter(|_| !self.is_busy())
    }

    /// PDUs received and sent since this was last asked.
    pub fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// Whether as many calls wait as may; further PDUs stay unread until some
    /// were answered.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= self.settings.max_waiting || self.queued_stub >= self.settings.max_call
    }

    /// Whether a call is being answered or waits.
    pub fn is_busy(&self) -> bool {
        self.executing || !self.queue.is_empty()
    }

    fn unsent(&self) -> usize {
        self.transmit.len() - self.transmitted
    }

    /// Whether `receive` takes PDUs: not after the end, not while a bind waits
    /// for its group, not while the limits are reached.
    pub fn has_room(&self) -> bool {
        self.closed.is_none() && !matches!(self.state, State::Joining(_)) && !self.is_full()
    }
}

/// Capacity of the transmit buffer that an idle connection keeps.
const KEPT_TRANSMIT: usize = 1024;

/// The longest PDU taken, by its type: binds may carry long credentials.
fn receive_limit(header: &Header, max_frag: u16) -> u16 {
    match header.ptype {
        PacketType::BIND | PacketType::ALTER_CONTEXT | PacketType::AUTH3 => u16::MAX,
        _ => max_frag,
    }
}

/// PDUs, one by one.
impl Association {
    fn bad_frame(&mut self, header: &Header, violation: Violation) -> Step {
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

    fn pdu(&mut self, header: &Header, octets: &Bytes) -> Step {
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

    fn bind(&mut self, pdu: &Pdu<'_>, bind: &Bind<'_>) -> Step {
        let header = &pdu.header;
        if let Some(verifier) = &pdu.auth {
            let reason = no_provider(header, verifier);
            return self.refuse(header, reason);
        }
        let served = self.settings.interfaces.clone();
        let answers = match self.contexts.negotiate(&served, &bind.contexts, true) {
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

    fn alter(&mut self, pdu: &Pdu<'_>, alter: &Bind<'_>) -> Step {
        let header = &pdu.header;
        if pdu.auth.is_some() {
            // No provider to begin with (MS-RPCE 3.3.1.5.2).
            return self.fault_and_close(About::new(header, 0), FaultStatus::ACCESS_DENIED, true);
        }
        let served = self.settings.interfaces.clone();
        match self.contexts.negotiate(&served, &alter.contexts, false) {
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

    fn request(&mut self, pdu: &Pdu<'_>, request: &Request<'_>, octets: &Bytes) -> Step {
        let header = &pdu.header;
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
        if header.flags.contains(PfcFlags::LAST_FRAG) {
            self.call(
                About::new(header, request.context_id),
                (request.opnum, request.object),
                octets.slice_ref(request.stub),
                maybe,
            );
            return Ok(());
        }
        if request.alloc_hint as usize > self.settings.max_call {
            let about = About::new(header, request.context_id);
            return self.fault_and_close(about, FaultStatus::ACCESS_DENIED, false);
        }
        self.assembly = Some(Assembly::new(
            (header.call_id, header.drep),
            (request.context_id, request.opnum, request.object),
            maybe,
            request.stub,
        ));
        Ok(())
    }

    fn next_fragment(&mut self, header: &Header, request: &Request<'_>) -> Step {
        let Some(pending) = &self.assembly else {
            return self.violate(About::new(header, 0), false);
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
            return self.fault_and_close(about, FaultStatus::ACCESS_DENIED, false);
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
            self.send_in_turn(answer::fault(about, FaultStatus::UNK_IF, true));
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
    let aligned = AuthVerifier::offset(header)
        .is_ok_and(|start| start.is_none_or(|start| start.is_multiple_of(4)));
    if !aligned {
        RejectReason::NOT_SPECIFIED
    } else if verifier.pad_length != 0 {
        RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED
    } else {
        match verifier.auth_level.0 {
            2..=6 => RejectReason::AUTHENTICATION_TYPE_NOT_RECOGNIZED,
            _ => RejectReason::NOT_SPECIFIED,
        }
    }
}

/// Answers.
impl Association {
    /// Sends octets behind the answers of all calls that came before.
    fn send_in_turn(&mut self, octets: Vec<u8>) {
        if self.is_busy() {
            self.queue.push_back(Queued::Answer(octets));
        } else {
            self.send(&octets);
        }
    }

    fn send(&mut self, octets: &[u8]) {
        self.transmit.extend_from_slice(octets);
        self.traffic.sent += 1;
    }

    fn refuse(&mut self, header: &Header, reason: RejectReason) -> Step {
        self.send_in_turn(answer::reject(header, reason));
        Err(Closed::Refused)
    }

    /// Protocol error: a fault, and the end of the connection.
    fn violate(&mut self, about: About, did_not_execute: bool) -> Step {
        self.fault_and_close(about, FaultStatus::PROTO_ERROR, did_not_execute)
    }

    fn fault_and_close(
        &mut self,
        about: About,
        status: FaultStatus,
        did_not_execute: bool,
    ) -> Step {
        self.send_in_turn(answer::fault(about, status, did_not_execute));
        Err(Closed::Violation)
    }

    fn respond(&mut self, call: &Call, stub: &[u8]) {
        // A call exists only on a bound connection.
        if let State::Bound(Agreed { send_limit, .. }) = self.state {
            self.traffic.sent += answer::respond(call, stub, send_limit, &mut self.transmit);
        }
    }
}
