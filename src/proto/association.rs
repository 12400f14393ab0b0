//! One connection of a server: bind, contexts, calls.
//!
//! Octets come in whole or in parts, whole calls go out as events, answers come
//! back and are cut into fragments. One call is answered after the other, and an
//! answer that the machine gives itself (to an alter_context, or a fault) waits
//! behind the calls that came before it. Where multiplexing was agreed on calls
//! are answered side by side: answers leave in the order that they are given
//! in, and the machine's own wait only behind calls that were not begun.
//!
//! Always holds: at most `max_waiting` calls and `max_call` octets wait here, and
//! no further call is begun while as many run; one call is incomplete at most;
//! after a violation nothing more is read.

mod receive;
mod running;
mod secure;

use super::answer::{self, About, Agreed};
use super::context::{Answers, ContextTable, Served};
use super::fragment::Assembly;
use super::frame::{self, Frame};
use super::security::{Leg, Principal, Security, SecurityContexts, SecurityError};
use super::transmit::Transmit;
use crate::wire::drep::ByteOrder;
use crate::wire::pdu::{AuthLevel, AuthType, Header};
use crate::wire::status::{FaultStatus, RejectReason};
use crate::wire::syntax::SyntaxId;
use bytes::{Bytes, BytesMut};
pub use running::CallKey;
use running::Running;
use secure::{PendingLeg, Token};
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
    /// Stub octets of one call at most; once the calls that wait have as many
    /// together, no further one is taken, and once those that run had as many,
    /// no further one is begun.
    pub max_call: usize,
    /// Calls that wait for their turn, at most; further PDUs stay unread. As
    /// many may run side by side.
    pub max_waiting: usize,
    /// Octets that wait to be sent, above which no further call is begun.
    pub max_queued: usize,
    /// Presentation contexts of one connection, at most.
    pub max_contexts: usize,
    /// Who authenticates clients, if anybody does.
    pub security: Security,
    /// How long a peer may take to bind, and to go on with a logon.
    pub bind_timeout: Duration,
    /// How long a bound peer may be silent.
    pub idle_timeout: Duration,
    /// How long a call may take from its first fragment to its last.
    pub call_timeout: Duration,
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
    /// A leg of an authentication, to be answered with
    /// [`Association::leg_taken`].
    Leg(Leg),
    /// A whole call, to be answered with [`Association::reply`].
    Call(Call),
    /// The client asks to cancel a call that runs; told once. The answer is due
    /// all the same.
    Cancel(CallKey),
    /// The client has given up a call that runs: no answer to it will be sent.
    Orphaned(CallKey),
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Which of all calls of the connection it is; call ids may repeat.
    key: CallKey,
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
    /// How often the client asked to cancel it before it was handed out.
    pub cancels: u8,
    /// Who makes it; `None` for anybody.
    pub caller: Option<Caller>,
}

impl Call {
    /// The name of this call in events.
    pub fn key(&self) -> CallKey {
        self.key
    }
}

/// Who makes a call, by the security context that it came under.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client, as its provider tells it.
    pub principal: Principal,
    /// The type of its authentication.
    pub auth_type: AuthType,
    /// How much was protected.
    pub auth_level: AuthLevel,
    /// Where the security context stands.
    index: usize,
}

/// A packet that ended the connection, since its verifier was not that of the
/// security context that it was to come under: changed, repeated or made up on
/// its way.
#[derive(Clone, Debug)]
pub struct Abuse {
    /// Whose security context it is.
    pub caller: Caller,
    /// What was wrong, for a log; a peer is never told.
    pub reason: &'static str,
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
    /// The peer did not complete a call in time.
    CallTimeout,
    /// The server had no memory left for the peer's calls.
    NoMemory,
    /// A security context could sign no more.
    Unsigned,
}

/// What waits for its turn, in the order that it came.
#[derive(Debug)]
enum Queued {
    /// A call to be handed out.
    Call(Call),
    /// A PDU of the machine's own, to be sent.
    Answer(Vec<u8>),
}

/// A bind that waits for its association group.
#[derive(Debug)]
struct Joining {
    /// The bind's header, which its answer repeats.
    header: Header,
    /// What it will have agreed on; the group as asked for.
    agreed: Agreed,
    /// The answers to its contexts.
    answers: Answers,
    /// The answer to its first leg of an authentication.
    token: Option<Token>,
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
    /// What it may.
    settings: Arc<Settings>,
    /// How far it came.
    state: State,
    /// Why nothing more is read, if so.
    closed: Option<Closed>,
    /// What context ids mean.
    contexts: ContextTable,
    /// Who the client is.
    security: SecurityContexts,
    /// The leg that waits for its outcome; until then nothing is read.
    leg: Option<PendingLeg>,
    /// The call that is not complete.
    assembly: Option<Assembly>,
    /// What waits behind the calls that are being answered.
    queue: VecDeque<Queued>,
    /// Octets of stub in the queue.
    queued_stub: usize,
    /// Whether the bind's group was asked for.
    join_asked: bool,
    /// The calls that are being answered.
    running: Running,
    /// What is to be sent.
    transmit: Transmit,
    /// When the last whole PDU or answer came, or the connection began.
    last_active: Instant,
    /// Whether a call was answered since octets were last received.
    answered: bool,
    /// What happened since the last look.
    counts: Counts,
    /// The packet that ended the connection, if its verifier did not fit.
    abuse: Option<Abuse>,
}

/// What happened since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// PDUs received, whatever became of them.
    pub received: u32,
    /// PDUs handed out to be sent.
    pub sent: u32,
    /// Presentation contexts rejected for `max_contexts`.
    pub contexts_refused: u32,
    /// Calls refused for `max_call`.
    pub calls_refused: u32,
    /// Security contexts refused for `Security::max_contexts`.
    pub security_contexts_refused: u32,
}

/// A step of the machine: `Err` ends the connection.
type Step = Result<(), Closed>;

impl Association {
    /// A connection that was accepted at `now`.
    pub fn new(settings: Arc<Settings>, now: Instant) -> Self {
        Association {
            contexts: ContextTable::new(settings.max_contexts),
            security: SecurityContexts::default(),
            leg: None,
            settings,
            state: State::New,
            closed: None,
            assembly: None,
            queue: VecDeque::new(),
            queued_stub: 0,
            join_asked: false,
            running: Running::default(),
            transmit: Transmit::default(),
            last_active: now,
            answered: false,
            counts: Counts::default(),
            abuse: None,
        }
    }

    /// The packet that ended the connection, if it was one whose verifier did not
    /// fit.
    pub fn abuse(&self) -> Option<&Abuse> {
        self.abuse.as_ref()
    }

    /// Takes whole PDUs out of `octets` while the limits allow; the rest stays.
    ///
    /// To be called again after events were taken and octets were sent, as long
    /// as `octets` may hold PDUs that the limits kept back. The machine's own
    /// answers (to an alter_context, or faults) are queued whatever waits to be
    /// sent: read from the peer only what fits, and send before reading more.
    pub fn receive(&mut self, now: Instant, octets: &mut BytesMut) {
        self.note_answer(now);
        while self.has_room() {
            let max_frag = self.settings.max_frag;
            let step = match frame::next(octets, |header| receive::receive_limit(header, max_frag))
            {
                Frame::Incomplete => return,
                Frame::Bad(header, violation) => self.bad_frame(&header, violation),
                Frame::Whole(header, pdu) => {
                    self.last_active = now;
                    self.counts.received += 1;
                    self.pdu(&header, &pdu)
                }
            };
            if let Err(closed) = step {
                self.end(closed);
            }
        }
    }

    /// The next event. No further call is handed out while too much waits to be
    /// sent, or while one is being answered: with multiplexing, while as many
    /// are as may.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(leg) = self.poll_leg() {
            return Some(Event::Leg(leg));
        }
        if let State::Joining(joining) = &self.state
            && !self.join_asked
            && self.closed.is_none()
        {
            self.join_asked = true;
            let group = joining.agreed.group;
            return Some(Event::Join { group });
        }
        if let Some(event) = self.running.poll_event() {
            return Some(event);
        }
        while self.is_next_due() {
            match self.queue.pop_front()? {
                Queued::Answer(octets) => self.send(&octets),
                Queued::Call(call) => {
                    self.queued_stub -= call.stub.len();
                    self.running.begin(&call);
                    return Some(Event::Call(call));
                }
            }
        }
        None
    }

    /// Whether what waits longest may have its turn.
    fn is_next_due(&self) -> bool {
        let Settings {
            max_queued,
            max_waiting,
            max_call,
            ..
        } = *self.settings;
        if self.transmit.len() >= max_queued {
            return false;
        }
        if self.running.is_empty() {
            return true;
        }
        let is_own = || matches!(self.queue.front(), Some(Queued::Answer(_)));
        self.multiplexing() && (is_own() || self.running.has_room(max_waiting, max_call))
    }

    /// Tells the association group that a bind ended up in; `None` when the
    /// group asked for does not exist, which refuses the bind.
    pub fn joined(&mut self, group: Option<u32>) {
        let State::Joining(mut joining) = std::mem::replace(&mut self.state, State::New) else {
            return;
        };
        if self.closed.is_some() {
            return;
        }
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
            token,
        } = joining;
        self.acknowledge(&header, &agreed, &answers, &address, token);
        self.state = State::Bound(agreed);
    }

    /// Answers a call that an event handed out; tells whether it was still to be
    /// answered, which an orphaned one is not.
    pub fn reply(&mut self, call: &Call, answer: Answer<'_>) -> bool {
        let Some(cancels) = self.running.end(call.key) else {
            return false;
        };
        self.answered = true;
        if call.maybe {
            return true;
        }
        let about = About {
            cancels,
            ..About::of(call)
        };
        match answer {
            Answer::Response(stub) => self.respond(call, about, stub),
            Answer::Fault {
                status,
                did_not_execute,
            } => self.send(&answer::fault(about, status, did_not_execute)),
        }
        true
    }

    /// Octets to send, if any.
    pub fn poll_transmit(&self) -> Option<&[u8]> {
        self.transmit.peek()
    }

    /// How many octets `poll_transmit` has.
    pub fn unsent(&self) -> usize {
        self.transmit.len()
    }

    /// Tells that `len` octets of `poll_transmit` were sent.
    pub fn transmitted(&mut self, len: usize) {
        self.transmit.advance(len);
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline().map(|(deadline, _)| deadline)
    }

    /// Ends the connection when its time is over at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.note_answer(now);
        if let Some((deadline, closed)) = self.deadline()
            && deadline <= now
        {
            self.end(closed);
        }
    }

    /// Takes note of an answer that was given since the time was last told: the
    /// peer's silence begins with it.
    fn note_answer(&mut self, now: Instant) {
        if std::mem::take(&mut self.answered) {
            self.last_active = self.last_active.max(now);
        }
    }

    /// When the connection's time is over next, and what that means.
    fn deadline(&self) -> Option<(Instant, Closed)> {
        let Settings {
            bind_timeout,
            idle_timeout,
            call_timeout,
            ..
        } = *self.settings;
        let silent = match self.state {
            _ if self.closed.is_some() => return None,
            State::New | State::Joining(_) => {
                Some((self.last_active, bind_timeout, Closed::BindTimeout))
            }
            // It is the peer that waits.
            State::Bound(_) if self.is_busy() || self.leg.is_some() => None,
            State::Bound(_) if self.security.is_under_way() => {
                Some((self.last_active, bind_timeout, Closed::BindTimeout))
            }
            State::Bound(_) => Some((self.last_active, idle_timeout, Closed::IdleTimeout)),
        };
        let incomplete = self
            .assembly
            .as_ref()
            .map(|call| (call.since(), call_timeout, Closed::CallTimeout));
        // A time beyond what an Instant can tell never comes.
        [silent, incomplete]
            .into_iter()
            .flatten()
            .filter_map(|(since, patience, closed)| Some((since.checked_add(patience)?, closed)))
            .min_by_key(|(deadline, _)| *deadline)
    }

    /// How many octets this holds of calls that are not complete, or wait, and
    /// of authentications under way. The stub of a call that runs is held by
    /// whoever answers it, if by anybody.
    pub fn held(&self) -> usize {
        let legs = match self.closed {
            None => self.security.held(),
            Some(_) => 0,
        };
        self.queued_stub + self.assembly.as_ref().map_or(0, Assembly::stub_len) + legs
    }

    /// Gives the incomplete call up with a fault and ends the connection, since
    /// the server has no memory for it.
    pub fn give_up(&mut self) {
        if self.closed.is_some() {
            return;
        }
        if let Some(pending) = &self.assembly {
            let about = About::of(pending.call());
            let octets = answer::fault(about, FaultStatus::REMOTE_NO_MEMORY, true);
            self.send_in_turn(octets);
        }
        self.end(Closed::NoMemory);
    }

    /// Reads nothing more; what waits is still answered.
    fn end(&mut self, closed: Closed) {
        self.assembly = None;
        self.closed = Some(closed);
    }

    /// Why the connection ended, once nothing waits to be answered any more;
    /// what `poll_transmit` has is still to be sent.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.filter(|_| !self.is_busy())
    }

    /// What happened since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Whether as many calls wait as may; further PDUs stay unread until some
    /// were answered.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= self.settings.max_waiting || self.queued_stub >= self.settings.max_call
    }

    /// Whether a call is being answered or waits, or what became of one was not
    /// told yet.
    pub fn is_busy(&self) -> bool {
        self.running.is_busy() || self.is_waiting()
    }

    /// Whether a call, or an answer behind one, waits for its turn.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether calls wait for octets to be sent.
    pub fn is_backed_up(&self) -> bool {
        self.is_waiting() && self.transmit.len() >= self.settings.max_queued
    }

    /// Whether `receive` takes PDUs: not after the end, not while a bind waits
    /// for its group or a leg for its outcome, not while the limits are reached.
    pub fn has_room(&self) -> bool {
        let waits = self.leg.is_some() || matches!(self.state, State::Joining(_));
        self.closed.is_none() && !waits && !self.is_full()
    }
}

/// Answers.
impl Association {
    /// A bind_ack or alter_context_resp, with the answer to a leg.
    ///
    /// # Source
    /// Samba's raw_protocol suite: the head of a verifier without a value ends
    /// the alter_context_resp to the last leg of NTLM.
    fn acknowledge(
        &mut self,
        header: &Header,
        agreed: &Agreed,
        answers: &Answers,
        address: &[u8],
        token: Option<Token>,
    ) {
        // Without a token there is a verifier all the same, whose length is 0.
        let verifier = token.as_ref().and_then(|(index, token)| {
            let slot = self.security.get(*index)?;
            Some(slot.named.verifier(0, token))
        });
        let octets = answer::acknowledge(header, agreed, answers, address, verifier);
        self.send_in_turn(octets);
    }

    /// Sends octets behind the answers of all calls that came before; with
    /// multiplexing behind those of the calls that wait.
    fn send_in_turn(&mut self, octets: Vec<u8>) {
        let waits_for_running = !self.running.is_empty() && !self.multiplexing();
        if self.is_waiting() || waits_for_running {
            self.queue.push_back(Queued::Answer(octets));
        } else {
            self.send(&octets);
        }
    }

    /// Appends one PDU of the machine's own.
    fn send(&mut self, octets: &[u8]) {
        self.transmit.buffer().extend_from_slice(octets);
        self.counts.sent += 1;
    }

    /// A bind_nak, and the end of the connection.
    fn refuse(&mut self, header: &Header, reason: RejectReason) -> Step {
        self.send_in_turn(answer::reject(header, reason));
        Err(Closed::Refused)
    }

    /// Protocol error: a fault, and the end of the connection.
    fn violate(&mut self, about: About, did_not_execute: bool) -> Step {
        self.fault_and_close(about, FaultStatus::PROTO_ERROR, did_not_execute)
    }

    /// A fault, and the end of the connection.
    fn fault_and_close(
        &mut self,
        about: About,
        status: FaultStatus,
        did_not_execute: bool,
    ) -> Step {
        self.send_in_turn(answer::fault(about, status, did_not_execute));
        Err(Closed::Violation)
    }

    /// Appends a response in fragments that the client takes.
    fn respond(&mut self, call: &Call, about: About, stub: &[u8]) {
        // A call exists only on a bound connection.
        let State::Bound(Agreed { send_limit, .. }) = self.state else {
            return;
        };
        let out = self.transmit.buffer();
        let signs_header = self.security.signs_header;
        let index = call.caller.as_ref().map(|caller| caller.index);
        let slot = index.and_then(|index| self.security.get_mut(index));
        let sent = match slot.filter(|slot| slot.signs()) {
            None => Ok(answer::respond(about, stub, send_limit, out)),
            Some(slot) => match slot.protection(signs_header) {
                None => Err(SecurityError::Signature),
                Some(protection) => {
                    answer::respond_protected(about, stub, send_limit, protection, out)
                }
            },
        };
        match sent {
            Ok(count) => self.counts.sent += count,
            Err(_) => {
                self.send(&answer::fault(about, FaultStatus::SEC_PKG_ERROR, false));
                self.end(Closed::Unsigned);
            }
        }
    }
}
