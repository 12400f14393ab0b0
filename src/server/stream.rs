//! Connections: an association each, fed from a socket.

use super::limits::{Client, Limit};
use super::logon;
use super::running::{Done, Running};
use super::{Admission, Group, Server, lock};
use crate::proto::{
    Answer, Association, Call, Caller as Authenticated, Closed, Event, Leg, Principal, Settings,
};
use crate::registry::{Authentication, Origin, Process, Registrant};
use crate::service::{self, Cancel, Contexts, Outcome, Reply, Session, Trust};
use crate::transport::unix::Identity;
use crate::transport::{Caller, Listener, Stream};
use crate::wire::{FaultStatus, TransferSyntax, ndr};
use bytes::BytesMut;
use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::coop::has_budget_remaining;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep, sleep_until, timeout};
use tracing::{debug, error};
use uuid::Uuid;

/// Fragments up to this size are taken and offered on TCP, as Windows does.
const MAX_FRAG: u16 = 5840;

/// Octets asked for with one read, and kept for an idle connection.
const READ_SIZE: usize = 4096;

/// Octets asked for with one read where the read before filled its room.
const LONG_READ: usize = 16 << 10;

/// Octets that a connection may hold whatever others do: no ept or mgmt call
/// of a real client needs more.
const FREE_OCTETS: usize = 16 << 10;

/// How long one client's calls are answered before others have a turn; its
/// connections share it.
const TURN: Duration = Duration::from_millis(1);

/// The shortest share: a few calls.
const SHORTEST_TURN: Duration = Duration::from_micros(20);

/// A deadline that does not come, within what any clock can tell.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// How long a closing connection waits for its peer to read the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// Octets read and dropped meanwhile, at most.
const LINGER_OCTETS: usize = 1 << 20;

/// What a call is answered with whose operation panicked.
const PANICKED: Reply = Reply::Fault {
    status: FaultStatus::UNSPEC,
    did_not_execute: false,
};

/// How long accepting rests when the system refuses, for want of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `stop` turns true.
///
/// Connections go on after this returns until their running calls are answered;
/// [`Server::drained`] tells when.
///
/// # Errors
/// What the system says when the listening socket cannot be watched.
pub async fn serve(
    listener: Listener,
    server: Arc<Server>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let way_in = WayIn::of(&listener);
    let settings = Arc::new(settings(&server, &listener));
    let listener = listener.into_tokio()?;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => accept(accepted, way_in, &server, &settings, &stop),
            Err(error) if is_about_one_connection(&error) => debug!(%error, "accept failed"),
            Err(error) => {
                debug!(%error, "accept failed");
                server.strikes.strike(Limit::OpenFiles);
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Where a listener takes connections in.
#[derive(Clone, Copy)]
enum WayIn {
    /// At an address, or at any.
    Network(IpAddr),
    /// At a local socket.
    Local,
}

impl WayIn {
    /// Where this listener does.
    fn of(listener: &Listener) -> WayIn {
        match listener {
            Listener::Tcp(listener) => WayIn::Network(listener.address().ip()),
            Listener::Unix(_) => WayIn::Local,
        }
    }
}

/// What an association needs to know of the server and its listener.
///
/// # Source
/// C706 12.6.3.1, the secondary address: a port, and over a local socket the
/// name of its file, as DCE's mapper says `epmapper`.
fn settings(server: &Server, listener: &Listener) -> Settings {
    let limits = &server.limits;
    let (interfaces, secondary_address) = match listener {
        Listener::Tcp(listener) => (&server.served, listener.address().port().to_string()),
        Listener::Unix(listener) => (&server.served_locally, listener.name()),
    };
    Settings {
        interfaces: interfaces.clone(),
        secondary_address: secondary_address.into(),
        max_frag: MAX_FRAG,
        max_call: limits.call_octets,
        max_waiting: limits.calls_in_flight,
        max_queued: limits.queued_octets,
        max_contexts: limits.contexts,
        security: server.security(),
        bind_timeout: limits.bind_timeout,
        idle_timeout: limits.idle_timeout,
        call_timeout: limits.call_timeout,
    }
}

/// Takes an accepted connection in, if the limits allow it.
fn accept(
    (stream, caller): (Stream, Caller),
    way_in: WayIn,
    server: &Arc<Server>,
    settings: &Arc<Settings>,
    stop: &watch::Receiver<bool>,
) {
    let Some(admission) = server.admit(Client::of(caller)) else {
        return;
    };
    let now = Instant::now();
    let connection = Connection {
        association: Association::new(settings.clone(), now),
        dialled: dialled(&stream, way_in),
        stream,
        group: None,
        admission,
        input: BytesMut::new(),
        has_grown: false,
        is_long: false,
        held: 0,
        now,
        turn_began: now,
        turn: TURN,
        waited: true,
        running: Running::default(),
        leg: None,
        caller,
    };
    server.spawn(connection.run(stop.clone()));
}

/// The IPv4 address that the client dialled; the listener's own, unless that
/// takes connections to any.
fn dialled(stream: &Stream, way_in: WayIn) -> Option<Ipv4Addr> {
    match (way_in, stream) {
        (WayIn::Network(IpAddr::V4(address)), _) if !address.is_unspecified() => Some(address),
        (WayIn::Network(IpAddr::V4(_)), Stream::Tcp(stream)) => {
            match stream.local_addr().ok()?.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }
        }
        _ => None,
    }
}

/// How far a caller's word is to be taken.
fn trust(caller: Caller, authenticated: Option<&Authenticated>) -> Trust {
    match (caller, authenticated) {
        (Caller::Local(_), _) => Trust::Local,
        (
            Caller::Network(_),
            Some(Authenticated {
                principal: Principal::Named(_),
                auth_level,
                ..
            }),
        ) => Trust::Account(*auth_level),
        _ => Trust::Nobody,
    }
}

/// How a caller has shown who it is, as the registry takes it.
fn authentication(caller: &Authenticated) -> Authentication {
    Authentication {
        account: match &caller.principal {
            Principal::Named(name) => Some(name.clone()),
            Principal::Anonymous => None,
        },
        mechanism: caller.auth_type,
        level: caller.auth_level,
    }
}

/// What a call that runs may ask of its connection.
struct Caught<'a> {
    /// The connection.
    connection: &'a Connection,
    /// Its association group.
    group: &'a Group,
    /// The call.
    call: &'a Call,
    /// Tells of a cancel, once somebody has asked.
    cancel: OnceCell<Cancel>,
}

impl Session for Caught<'_> {
    fn registrant(&self) -> Registrant {
        self.connection.registrant(self.call.caller.as_ref())
    }

    fn origin(&self) -> Origin {
        match self.connection.caller {
            Caller::Network(peer) => Origin::Address(peer.ip().to_canonical()),
            Caller::Local(credentials) => Origin::User(credentials.uid),
        }
    }

    fn authentication(&self) -> Option<Authentication> {
        self.call.caller.as_ref().map(authentication)
    }

    fn cancel(&self) -> Cancel {
        let cancel = || {
            let cancel = Cancel::default();
            if self.call.cancels > 0 {
                cancel.cancel();
            }
            cancel
        };
        self.cancel.get_or_init(cancel).clone()
    }

    fn contexts(&self) -> Arc<Contexts> {
        let limit = self.connection.server().limits.context_handles;
        let contexts = || Arc::new(Contexts::new(limit));
        self.group.contexts.get_or_init(contexts).clone()
    }
}

/// Whether the server stops, or is gone.
fn is_stopping(signal: &watch::Receiver<bool>) -> bool {
    signal.has_changed().unwrap_or(true)
}

/// The part of a client's turn that one of its connections has.
fn share(turn: Duration, connections: usize) -> Duration {
    let connections = u32::try_from(connections).unwrap_or(u32::MAX).max(1);
    (turn / connections).max(SHORTEST_TURN)
}

/// Makes room for so many octets more.
///
/// A buffer that has nothing left to be taken is used again from its beginning;
/// one that has grown for a long PDU is given back.
fn make_room(input: &mut BytesMut, has_grown: &mut bool, room: usize) {
    *has_grown |= input.capacity() > 2 * READ_SIZE || input.len() > READ_SIZE;
    if !input.is_empty() {
        input.reserve(room);
    } else if std::mem::take(has_grown) || !input.try_reclaim(room) {
        *input = BytesMut::with_capacity(room);
    }
}

/// Errors of accept that concern the connection, not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// One connection.
///
/// Fields are dropped in their order: the place is free again before the peer
/// can see the end of its connection.
struct Connection {
    /// The place among the connections.
    admission: Admission,
    /// The protocol's side.
    association: Association,
    /// The socket.
    stream: Stream,
    /// The IPv4 address that the client dialled.
    dialled: Option<Ipv4Addr>,
    /// The association group, once bound.
    group: Option<(u32, Arc<Group>)>,
    /// Octets read and not taken yet.
    input: BytesMut,
    /// Whether they were more than `READ_SIZE` once.
    has_grown: bool,
    /// Whether the last read filled its room, so that there may be more.
    is_long: bool,
    /// Octets that the server counts as held by this connection.
    held: usize,
    /// When octets were last taken in.
    now: Instant,
    /// When this connection began to answer without letting others go first.
    turn_began: Instant,
    /// How long it may.
    turn: Duration,
    /// Whether others had their turn since.
    waited: bool,
    /// The calls whose replies have to be waited for.
    running: Running,
    /// A leg of an authentication that is to be taken.
    leg: Option<Leg>,
    /// Who the client is.
    caller: Caller,
}

/// What a connection was woken by.
enum Woken {
    /// Octets, or the end of them.
    Read(io::Result<usize>),
    /// A call that came to its end.
    Done(Done),
    /// The deadline.
    Timer,
    /// The end of the server.
    Stop,
}

/// Why a connection ended without the association's doing.
enum End {
    /// The peer is gone.
    Peer(Option<io::Error>),
    /// The peer does not read.
    Unread,
    /// The peer does not read, and all together leave too much unread.
    NoMemory,
    /// The server stops.
    Stop,
}

impl Connection {
    /// Serves the connection to its end.
    async fn run(mut self, stop: watch::Receiver<bool>) {
        debug!(peer = %self.caller, "connected");
        let end = self.exchange(stop).await;
        self.leave();
        match end {
            Ok(closed) => {
                self.count(closed);
                if let Some(abuse) = self.association.abuse() {
                    logon::tell(self.server(), self.caller, abuse);
                }
                debug!(peer = %self.caller, ?closed, "closing");
                self.linger().await;
            }
            Err(End::Unread) => {
                self.server().strikes.strike(Limit::WriteTimeout);
                debug!(peer = %self.caller, "closing: answers left unread");
            }
            Err(End::NoMemory) => {
                self.server().strikes.strike(Limit::HeldOctets);
                debug!(peer = %self.caller, "closing: too many answers left unread");
            }
            Err(End::Peer(error)) => debug!(peer = %self.caller, ?error, "disconnected"),
            Err(End::Stop) => {
                debug!(peer = %self.caller, "closing: stopping");
                self.linger().await;
            }
        }
    }

    /// Reads, answers and writes until the association or something else ends
    /// it.
    async fn exchange(&mut self, mut stop: watch::Receiver<bool>) -> Result<Closed, End> {
        let signal = stop.clone();
        let mut stopped = pin!(async move {
            // An error means that the server is gone, which is a stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        });
        let mut timer = pin!(sleep_until(self.deadline().into()));
        // Whether timer and stop were polled since the task last waited for
        // anything else: then they wake it without being polled again.
        let mut armed = false;
        loop {
            let held_back = self.answer();
            self.account();
            armed &= !self.flush().await?;
            if let Some(closed) = self.association.closed() {
                return Ok(closed);
            }
            if let Some(leg) = self.leg.take() {
                self.take_leg(leg, &signal, stopped.as_mut()).await?;
                self.waited = true;
                armed = false;
                continue;
            }
            if held_back || self.now.duration_since(self.turn_began) > self.turn {
                // Others have their turn; whatever woke the task meanwhile is
                // looked at anew.
                yield_now().await;
                self.waited = true;
                armed = false;
                continue;
            }
            let is_stopping = is_stopping(&signal);
            if is_stopping && self.running.is_empty() {
                return Err(End::Stop);
            }
            // One wake may stand for several: octets, and the timer as well.
            armed &= self.now < timer.deadline().into_std();
            // Deadlines move away, which the timer finds out when it strikes,
            // except that an idle one may come before what is left of a bind's.
            let deadline = self.deadline();
            if deadline < timer.deadline().into_std() {
                timer.as_mut().reset(deadline.into());
                armed = false;
            }
            // What comes after a stop is not looked at any more.
            let stopped = (!is_stopping).then_some(stopped.as_mut());
            match self.wait(timer.as_mut(), stopped, &mut armed).await {
                Woken::Read(Ok(0)) => return Err(End::Peer(None)),
                // A stop is seen by its signal, once what was read is answered.
                Woken::Read(Ok(_)) | Woken::Stop => {}
                Woken::Read(Err(error)) => return Err(End::Peer(Some(error))),
                Woken::Done(done) => {
                    armed = false;
                    self.finish(done);
                }
                Woken::Timer => {
                    armed = false;
                    self.association.handle_timeout(Instant::now());
                    timer.as_mut().reset(self.deadline().into());
                }
            }
        }
    }

    /// Waits for octets, for a call to come to its end, for the association's
    /// time to be over, or for the stop; once that was (`stopped` is `None`), for
    /// calls alone, and the end of the connection.
    ///
    /// Between two calls of a busy client `timer` and `stopped` need no look:
    /// once `armed` they wake the task by themselves, and are polled when it
    /// was woken and there is nothing to read.
    async fn wait(
        &mut self,
        mut timer: Pin<&mut Sleep>,
        mut stopped: Option<Pin<&mut impl Future<Output = ()>>>,
        armed: &mut bool,
    ) -> Woken {
        // What the association would not take stays with the system: calls
        // that run may leave no room for others. Of a client that is gone they
        // would do so for as long as they like.
        let reads = stopped.is_some() && self.association.has_room();
        if reads {
            let room = match self.is_long {
                true => LONG_READ,
                false => READ_SIZE,
            };
            make_room(&mut self.input, &mut self.has_grown, room);
        }
        let room = self.input.capacity() - self.input.len();
        let (stream, input) = (&mut self.stream, &mut self.input);
        let mut read = pin!(async move {
            match reads {
                true => stream.read_buf(input).await,
                false => stream.ended().await.map(|()| 0),
            }
        });
        let mut just_called = *armed;
        let (waited, running) = (&mut self.waited, &mut self.running);
        let is_long = &mut self.is_long;
        poll_fn(|cx| {
            if let Poll::Ready(done) = running.poll(cx) {
                return Poll::Ready(Woken::Done(done));
            }
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                *is_long = read.as_ref().is_ok_and(|len| *len == room);
                return Poll::Ready(Woken::Read(read));
            }
            *waited = true;
            let Some(stopped) = &mut stopped else {
                return Poll::Pending;
            };
            // Without a budget nothing is registered, and the task is polled
            // again at once.
            if std::mem::take(&mut just_called) || !has_budget_remaining() {
                return Poll::Pending;
            }
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Timer);
            }
            *armed = true;
            stopped.as_mut().poll(cx).map(|()| Woken::Stop)
        })
        .await
    }

    /// Takes a leg of an authentication; calls that were read before it are
    /// answered meanwhile.
    async fn take_leg(
        &mut self,
        leg: Leg,
        signal: &watch::Receiver<bool>,
        mut stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), End> {
        let server = self.server().clone();
        let mut taken = pin!(logon::take(&server, self.caller, leg));
        loop {
            let is_idle = self.running.is_empty();
            if is_idle && is_stopping(signal) {
                return Err(End::Stop);
            }
            tokio::select! {
                biased;
                () = stopped.as_mut(), if is_idle => return Err(End::Stop),
                done = self.running.next(), if !is_idle => {
                    self.finish(done);
                    self.waited = true;
                    // Calls that were read before the leg are begun now.
                    while self.answer() {
                        self.flush().await?;
                        yield_now().await;
                        self.waited = true;
                    }
                }
                outcome = taken.as_mut() => {
                    self.association.leg_taken(outcome);
                    return Ok(());
                }
            }
            self.flush().await?;
        }
    }

    /// Feeds the association and answers its events; tells whether it goes on
    /// once octets were sent, without anything being read.
    fn answer(&mut self) -> bool {
        loop {
            self.now = Instant::now();
            if std::mem::take(&mut self.waited) {
                self.turn_began = self.now;
                self.turn = share(TURN, self.admission.own.load(Ordering::Relaxed));
            }
            self.association.receive(self.now, &mut self.input);
            let held_back = !self.association.has_room();
            if self.association.is_full() {
                self.server().strikes.strike(Limit::CallsInFlight);
            }
            let is_over = self.take_turn();
            self.count_up();
            if self.association.is_backed_up() {
                self.server().strikes.strike(Limit::QueuedOctets);
                return true;
            }
            if is_over {
                return true;
            }
            // Without room although all was done, calls that run are waited for.
            if !held_back || !self.association.has_room() {
                return false;
            }
        }
    }

    /// Answers the association's events until there are none or the turn is over;
    /// tells whether some may be left, or a leg has to be taken.
    fn take_turn(&mut self) -> bool {
        while let Some(event) = self.association.poll_event() {
            self.event(event);
            if self.association.is_waiting() && self.turn_began.elapsed() > self.turn {
                return true;
            }
        }
        self.leg.is_some()
    }

    /// Tells the server what this connection holds, and gives its calls up
    /// when they grew while all connections together hold too much.
    fn account(&mut self) {
        let before = self.held;
        if self.hold(0) && self.held > before.max(FREE_OCTETS) {
            self.association.give_up();
            self.input = BytesMut::new();
            // Its calls that wait or run go on to their end.
            self.hold(0);
        }
    }

    /// Tells the server what this connection holds now, so much of it of answers
    /// left unread; whether all together hold too much.
    fn hold(&mut self, unread: usize) -> bool {
        let before = self.held;
        let calls = self.association.held() + self.running.octets();
        self.held = calls + self.input.len() + unread;
        self.held != before && self.server().hold(before, self.held)
    }

    /// When the association wants to be told the time; far away when never.
    fn deadline(&self) -> Instant {
        let far = || self.now + FAR_AWAY;
        self.association.poll_timeout().unwrap_or_else(far)
    }

    /// Answers one event.
    fn event(&mut self, event: Event) {
        match event {
            Event::Join { group } => {
                self.group = self.server().join(group, self.admission.client);
                self.association
                    .joined(self.group.as_ref().map(|(id, _)| *id));
            }
            Event::Leg(leg) => self.leg = Some(leg),
            Event::Call(call) => match self.call(&call) {
                (Outcome::Now(reply), _) => self.reply(&call, &reply),
                (Outcome::Later(reply), cancel) => self.running.add(call, reply, cancel),
            },
            Event::Cancel(key) => self.running.cancel(key),
            Event::Orphaned(key) => self.running.give_up(key),
        }
    }

    /// Answers a call that was waited for.
    fn finish(&mut self, (call, reply): Done) {
        let reply = reply.unwrap_or_else(|error| {
            // Else the runtime ends, and the connection with it.
            if error.is_panic() {
                self.tell_panic(&call);
            }
            PANICKED
        });
        self.reply(&call, &reply);
    }

    /// Logs that an operation panicked.
    fn tell_panic(&self, call: &Call) {
        let interface = self.server().interfaces.get(call.interface);
        let interface = interface.map(|interface| interface.id().to_string());
        error!(interface, opnum = call.opnum, "an operation panicked");
    }

    /// Answers one call.
    fn reply(&mut self, call: &Call, reply: &Reply) {
        let answer = match reply {
            Reply::Response(stub) => Answer::Response(stub),
            Reply::Fault {
                status,
                did_not_execute,
            } => Answer::Fault {
                status: *status,
                did_not_execute: *did_not_execute,
            },
        };
        self.association.reply(call, answer);
    }

    /// Runs one call; beside the outcome, what tells it of a cancel, if it asked.
    fn call(&self, call: &Call) -> (Outcome, Option<Cancel>) {
        let server = self.server();
        server.statistics.calls_in.fetch_add(1, Ordering::Relaxed);
        // A call is bound, to what an interface serves: all three are there.
        let (Some(interface), Some((_, group)), Some(syntax)) = (
            server.interfaces.get(call.interface),
            &self.group,
            TransferSyntax::of(call.transfer_syntax),
        ) else {
            let fault = Reply::Fault {
                status: FaultStatus::UNK_IF,
                did_not_execute: true,
            };
            return (fault.into(), None);
        };
        let stub = match ndr::stub(&call.stub, call.order, syntax) {
            Ok(stub) => stub,
            Err(error) => return (Reply::from(error).into(), None),
        };
        let session = Caught {
            connection: self,
            group,
            call,
            cancel: OnceCell::new(),
        };
        let mut handles = lock(&group.handles);
        let evicted = handles.evicted();
        let run = || {
            interface.call(service::Call {
                now: self.now,
                opnum: call.opnum,
                object: call.object,
                stub,
                dialled: self.dialled,
                handles: &mut handles,
                fresh: &Uuid::new_v4,
                trust: trust(self.caller, call.caller.as_ref()),
                maybe: call.maybe,
                session: &session,
            })
        };
        // What an operation may leave half done is its own: whatever is ours
        // changes in single steps.
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            self.tell_panic(call);
            PANICKED.into()
        });
        if handles.evicted() != evicted {
            server.strikes.strike(Limit::LookupHandles);
        }
        (outcome, session.cancel.into_inner())
    }

    /// Who calls; over a local socket the kernel is asked.
    fn registrant(&self, authenticated: Option<&Authenticated>) -> Registrant {
        let registrant = match self.caller {
            Caller::Network(peer) => Registrant::at(peer.ip()),
            Caller::Local(credentials) => {
                let Identity { groups, process } = credentials.identity(&self.stream);
                let process = process.map(|(pid, started)| Process { pid, started });
                Registrant::local(credentials.uid, groups, process)
            }
        };
        match authenticated {
            Some(caller) => registrant.authenticated(authentication(caller)),
            None => registrant,
        }
    }

    /// Adds to the server's counters what the association counted.
    fn count_up(&mut self) {
        let counts = self.association.take_counts();
        let statistics = &self.server().statistics;
        statistics
            .packets_in
            .fetch_add(counts.received, Ordering::Relaxed);
        statistics
            .packets_out
            .fetch_add(counts.sent, Ordering::Relaxed);
        let strikes = &self.server().strikes;
        strikes.add(Limit::Contexts, counts.contexts_refused.into());
        strikes.add(Limit::CallOctets, counts.calls_refused.into());
        let contexts = counts.security_contexts_refused;
        strikes.add(Limit::SecurityContexts, contexts.into());
    }

    /// Counts the limits that ended the connection.
    fn count(&self, closed: Closed) {
        match closed {
            Closed::BindTimeout => self.server().strikes.strike(Limit::BindTimeout),
            Closed::IdleTimeout => self.server().strikes.strike(Limit::IdleTimeout),
            Closed::CallTimeout => self.server().strikes.strike(Limit::CallTimeout),
            Closed::NoMemory => self.server().strikes.strike(Limit::HeldOctets),
            Closed::Violation | Closed::Refused | Closed::Unsigned => {}
        }
    }

    /// Sends all that the association has to send; tells whether it had to wait
    /// for the client.
    async fn flush(&mut self) -> Result<bool, End> {
        let mut waited = false;
        while let Some(octets) = self.association.poll_transmit() {
            match self.stream.try_write(octets) {
                Ok(len) => self.association.transmitted(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    waited = true;
                    self.writable().await?;
                }
                Err(error) => return Err(End::Peer(Some(error))),
            }
        }
        if waited {
            self.hold(0);
        }
        Ok(waited)
    }

    /// Waits until the client takes octets. Calls that run have their answers
    /// added meanwhile: above `queued_octets` these count as held.
    async fn writable(&mut self) -> Result<(), End> {
        let mut patience = pin!(sleep(self.server().limits.write_timeout));
        loop {
            let unread = self.association.unsent();
            let above = unread.saturating_sub(self.server().limits.queued_octets);
            if self.hold(above) && above > 0 {
                return Err(End::NoMemory);
            }
            tokio::select! {
                biased;
                ready = self.stream.writable() => {
                    return ready.map_err(|error| End::Peer(Some(error)));
                }
                done = self.running.next(), if !self.running.is_empty() => self.finish(done),
                () = patience.as_mut() => return Err(End::Unread),
            }
        }
    }

    /// Closes so that the peer still reads the last answer: octets of its own
    /// that were left unread would else reset the connection.
    async fn linger(&mut self) {
        let drain = async {
            self.stream.shutdown().await.ok()?;
            let mut dropped = 0;
            while dropped < LINGER_OCTETS {
                // The input's own buffer: one in here would be part of every
                // connection's task.
                self.input.clear();
                self.input.reserve(READ_SIZE);
                match self.stream.read_buf(&mut self.input).await.ok()? {
                    0 => return None,
                    len => dropped += len,
                }
            }
            Some(())
        };
        // Over or not, the socket is dropped now.
        let _ = timeout(LINGER, drain).await;
    }

    /// Leaves the association group: at the association's end, not the socket's.
    fn leave(&mut self) {
        if let Some((id, _)) = self.group.take() {
            self.server().leave(id);
        }
    }

    /// The server that it belongs to.
    fn server(&self) -> &Arc<Server> {
        &self.admission.server
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server().hold(self.held, 0);
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_grew_for_a_long_pdu_is_given_back() {
        let (mut input, mut has_grown) = (BytesMut::new(), false);
        for _ in 0..16 {
            make_room(&mut input, &mut has_grown, READ_SIZE);
            input.extend_from_slice(&[0; READ_SIZE]);
        }
        assert!(input.capacity() >= 16 * READ_SIZE);
        drop(input.split_to(16 * READ_SIZE).freeze());
        make_room(&mut input, &mut has_grown, READ_SIZE);
        assert_eq!(input.capacity(), READ_SIZE);
    }

    #[test]
    fn a_buffer_is_used_again_and_does_not_grow_with_small_pdus() {
        let (mut input, mut has_grown) = (BytesMut::new(), false);
        make_room(&mut input, &mut has_grown, READ_SIZE);
        let begin = input.as_ptr();
        for _ in 0..1000 {
            make_room(&mut input, &mut has_grown, READ_SIZE);
            input.extend_from_slice(&[0; 156]);
            drop(input.split_to(156).freeze());
        }
        make_room(&mut input, &mut has_grown, READ_SIZE);
        assert_eq!((input.as_ptr(), input.capacity()), (begin, READ_SIZE));
    }

    #[test]
    fn connections_of_one_client_share_its_turn() {
        assert_eq!(share(TURN, 1), TURN);
        assert_eq!(share(TURN, 10), TURN / 10);
        assert_eq!(share(TURN, 2000), SHORTEST_TURN);
        assert_eq!(share(TURN, 0), TURN);
    }
}
