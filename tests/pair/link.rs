//! Both ends, joined by two pipes that the test cuts as it likes, and a clock
//! that moves when the test says.

use crate::conversation::Dialect;
use crate::ends::{Server, SharedGroups, co_cancel, frames, orphaned};
use bytes::{Bytes, BytesMut};
use epmapper::proto::{Call, ClientAssociation, ClientEvent, ClientSettings, Groups, Settings};
use epmapper::wire::pdu::Header;
use epmapper::wire::{ByteOrder, SyntaxId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How far the clock moves with every turn.
pub const TICK: Duration = Duration::from_millis(10);

/// In which pieces a pipe delivers.
#[derive(Clone, Debug)]
pub enum Plan {
    /// All that there is.
    Whole,
    /// One octet.
    Octets,
    /// One PDU.
    Pdus,
    /// What stands before a place of the stream apart from what follows.
    Split(usize),
    /// Pieces of these lengths, over and over.
    Pieces(Vec<usize>),
}

/// What is done to one octet on its way.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Xor(u8),
    Zero,
}

/// One direction of the connection.
#[derive(Debug)]
pub struct Pipe {
    /// All that was sent, as it was sent.
    pub sent: Vec<u8>,
    /// How much of it has arrived.
    pub arrived: usize,
    pub plan: Plan,
    /// How much arrives at all.
    pub limit: usize,
    /// The octet that arrives changed.
    pub change: Option<(usize, Change)>,
    /// Pieces that have arrived.
    pieces: usize,
}

impl Pipe {
    fn new() -> Self {
        Pipe {
            sent: Vec::new(),
            arrived: 0,
            plan: Plan::Whole,
            limit: usize::MAX,
            change: None,
            pieces: 0,
        }
    }

    /// The next piece that arrives, an empty one when there is nothing.
    fn deliver(&mut self) -> Vec<u8> {
        let waiting = &self.sent[self.arrived..self.sent.len().min(self.limit)];
        let len = match &self.plan {
            Plan::Whole => waiting.len(),
            Plan::Octets => 1,
            Plan::Pdus => Header::peek_frag_length(waiting).map_or(waiting.len(), usize::from),
            Plan::Split(at) if self.arrived < *at => at - self.arrived,
            Plan::Split(_) => waiting.len(),
            Plan::Pieces(lengths) => lengths[self.pieces % lengths.len()],
        };
        let mut piece = waiting[..len.min(waiting.len())].to_vec();
        if let Some((at, change)) = self.change
            && let Some(octet) = at
                .checked_sub(self.arrived)
                .and_then(|at| piece.get_mut(at))
        {
            *octet = match change {
                Change::Xor(bits) => *octet ^ bits,
                Change::Zero => 0,
            };
        }
        self.arrived += piece.len();
        self.pieces += 1;
        piece
    }
}

/// An element of a bind or alter_context: id, interface, transfer syntaxes.
pub type Offer = (u16, SyntaxId, &'static [SyntaxId]);

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Binds: the group, and what is offered.
    Bind(u32, Vec<Offer>),
    Alter(Vec<Offer>),
    Call {
        /// Context id and operation.
        target: (u16, u16),
        object: Option<Uuid>,
        stub: Vec<u8>,
        /// Sends co_cancel and orphaned for the call behind its first fragment.
        disturbed: bool,
    },
    /// Sends PDUs that nobody answers.
    Unanswered(Vec<u8>),
}

/// A call as a server's end handed it out, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: u32,
    pub context_id: u16,
    pub interface: usize,
    pub transfer_syntax: SyntaxId,
    pub opnum: u16,
    pub object: Option<Uuid>,
    pub stub: Bytes,
    pub order: ByteOrder,
    pub maybe: bool,
}

impl From<&Call> for Seen {
    fn from(call: &Call) -> Seen {
        Seen {
            id: call.id,
            context_id: call.context_id,
            interface: call.interface,
            transfer_syntax: call.transfer_syntax,
            opnum: call.opnum,
            object: call.object,
            stub: call.stub.clone(),
            order: call.order,
            maybe: call.maybe,
        }
    }
}

/// All that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Octets that the client sent.
    pub up: Vec<u8>,
    /// Octets that the server sent.
    pub down: Vec<u8>,
    /// Groups that were asked for.
    pub joins: Vec<u32>,
    pub calls: Vec<Seen>,
    pub told: Vec<Told>,
}

/// What the client's end tells.
pub type Told = Rc<ClientEvent>;

/// Whether nothing more comes after it.
pub fn is_end(told: &ClientEvent) -> bool {
    matches!(told, ClientEvent::Refused(_) | ClientEvent::Broken(_))
}

/// Both ends.
pub struct Pair<'a> {
    pub now: Instant,
    pub server: Server,
    pub client: ClientAssociation,
    pub up: Pipe,
    pub down: Pipe,
    pub told: Vec<Told>,
    /// When each piece arrived at the server.
    pub arrivals: Vec<Instant>,
    pub groups: SharedGroups,
    settings: Arc<Settings>,
    order: ByteOrder,
    steps: &'a [Step],
    /// Octets that the client did not take.
    input: BytesMut,
    /// When the client last asked for something.
    pub asked: Instant,
    /// Whether the client waits for an answer.
    pub due: bool,
    /// Whether the client knows of the connection's end.
    pub over: bool,
}

impl<'a> Pair<'a> {
    /// A new connection on which the client will take `steps`.
    pub fn new(dialect: &Dialect, steps: &'a [Step]) -> Self {
        let settings = Arc::new(dialect.settings());
        let groups = Rc::new(RefCell::new(Groups::new(0)));
        Pair::among(settings, groups, dialect.client(), steps)
    }

    /// A connection more to the server that has these groups.
    pub fn among(
        settings: Arc<Settings>,
        groups: SharedGroups,
        client: ClientSettings,
        steps: &'a [Step],
    ) -> Self {
        let now = crate::ends::start();
        Pair {
            now,
            server: Server::among(settings.clone(), groups.clone(), now),
            client: ClientAssociation::new(client),
            up: Pipe::new(),
            down: Pipe::new(),
            told: Vec::new(),
            arrivals: Vec::new(),
            groups,
            settings,
            order: client.order,
            steps,
            input: BytesMut::new(),
            asked: now,
            due: false,
            over: false,
        }
    }

    /// Turn after turn, until nothing moves any more.
    pub fn run(&mut self) {
        while self.turn() {}
    }

    /// What happened so far.
    pub fn record(&self) -> Record {
        Record {
            up: self.up.sent.clone(),
            down: self.down.sent.clone(),
            joins: self.server.joins.clone(),
            calls: self.server.calls.iter().map(Seen::from).collect(),
            told: self.told.clone(),
        }
    }

    /// The client does what it can, one piece arrives in each direction, the
    /// server answers; whether anything moved.
    pub fn turn(&mut self) -> bool {
        self.now += TICK;
        let stepped = self.step();
        let up = self.up.deliver();
        if !up.is_empty() {
            self.serve(&up);
        }
        let down = self.down.deliver();
        if !down.is_empty() {
            self.hear(&down);
        }
        stepped || !up.is_empty() || !down.is_empty() || self.hang_up()
    }

    /// Takes steps until one waits for its answer.
    fn step(&mut self) -> bool {
        let before = self.steps.len();
        while !self.due && !self.over {
            let Some((step, rest)) = self.steps.split_first() else {
                break;
            };
            self.steps = rest;
            self.take(step);
        }
        before != self.steps.len()
    }

    /// Takes one step.
    fn take(&mut self, step: &Step) {
        self.due = true;
        self.asked = self.now;
        match step {
            Step::Bind(group, offers) => self.client.bind(self.now, *group, offers),
            Step::Alter(offers) => self.client.alter(self.now, offers),
            Step::Call {
                target,
                object,
                stub,
                ..
            } => {
                let (context_id, opnum) = *target;
                self.client.call(self.now, context_id, opnum, *object, stub);
            }
            Step::Unanswered(octets) => {
                self.due = false;
                self.up.sent.extend(octets);
            }
        }
        let mut octets = transmit(&mut self.client);
        if let Step::Call {
            disturbed: true, ..
        } = step
        {
            octets = disturb(self.order, &octets);
        }
        self.up.sent.extend(octets);
    }

    /// Octets arrive at the server.
    fn serve(&mut self, octets: &[u8]) {
        self.arrivals.push(self.now);
        self.server.now = self.now;
        let answer = self.server.exchange(octets);
        self.down.sent.extend(answer);
        self.check_server();
    }

    /// No more is held than may be.
    fn check_server(&self) {
        let Server {
            association, input, ..
        } = &self.server;
        assert!(association.held() <= self.settings.max_call);
        assert!(association.closed().is_some() || input.len() < usize::from(u16::MAX));
        assert!(association.poll_transmit().is_none());
    }

    /// Octets arrive at the client.
    fn hear(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        self.client.receive(&mut self.input);
        self.listen();
    }

    /// Takes the client's events.
    pub fn listen(&mut self) {
        while let Some(told) = self.client.poll_event() {
            self.due = false;
            self.over |= is_end(&told);
            self.told.push(Rc::new(told));
        }
    }

    /// Tells the client of the server's end, once all that it sent has arrived.
    fn hang_up(&mut self) -> bool {
        let closed = self.server.association.closed().is_some();
        let ready = closed && self.down.arrived == self.down.sent.len() && !self.over;
        if ready {
            self.lose_server();
        }
        ready
    }

    /// The client finds that nothing more comes.
    pub fn lose_server(&mut self) {
        self.client.peer_closed();
        self.over = true;
        self.listen();
    }

    /// Lets the client wait until it gives up, if it waits; it does not before.
    pub fn outwait_client(&mut self) {
        let Some(deadline) = self.client.poll_timeout() else {
            return;
        };
        self.client
            .handle_timeout(deadline - Duration::from_nanos(1));
        assert_eq!(self.client.poll_event(), None, "before its deadline");
        assert_eq!(self.client.poll_timeout(), Some(deadline));
        self.now = deadline;
        self.client.handle_timeout(deadline);
        self.listen();
        assert_eq!(self.client.poll_timeout(), None);
    }
}

/// All that a client's end has to send.
pub fn transmit(client: &mut ClientAssociation) -> Vec<u8> {
    let octets = client.poll_transmit().unwrap_or_default().to_vec();
    client.transmitted(octets.len());
    octets
}

/// A call with co_cancel and orphaned behind its first fragment.
fn disturb(order: ByteOrder, octets: &[u8]) -> Vec<u8> {
    let frames = frames(octets);
    let header = Header::decode(frames[0]).unwrap();
    let cancel = co_cancel(order, header.call_id);
    let orphaned = orphaned(order, header.call_id);
    [frames[0], &cancel, &orphaned, &frames[1..].concat()].concat()
}
