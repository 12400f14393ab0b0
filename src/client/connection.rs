//! A connection and what is said on it: whoever waits says until when.

use super::authentication::NOT_BEGUN;
use super::{Attempt, Authentication, ClientError, Failure, Peer, Settings, Step, resolve};
use crate::proto::{ClientAssociation, ClientEvent, ClientSettings, Leg, ProtocolError};
use crate::transport::Stream;
use crate::wire::binding::Binding;
use crate::wire::pdu::PacketType;
use bytes::BytesMut;
use std::io;
use std::time::{self, Duration};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

/// Room for one read, in octets: more than a fragment of the usual size.
const READ: usize = 8192;

/// The most reads of what has come in while nobody asked.
const READS: usize = 64;

/// A connection to a server.
pub struct Connection {
    /// The connection.
    stream: Stream,
    /// Where it goes to.
    peer: Peer,
    /// What is said on it.
    association: ClientAssociation,
    /// How this end shows who it is.
    authentication: Option<Authentication>,
    /// What was received and not yet taken.
    incoming: BytesMut,
    /// Whether the server takes what is sent.
    writable: bool,
    /// How many octets of what was asked last have not gone out; what is said
    /// behind it, as a cancel, does not count.
    unsent: Option<usize>,
    /// When what is asked has to be over.
    deadline: Instant,
}

impl Connection {
    /// Connects to the server of a binding; the first bind authenticates as the
    /// settings say.
    ///
    /// Its local socket, or the addresses of its name, are tried in turn, each
    /// for its share of the time that is left. The deadline holds for what is
    /// asked, too, until another is set.
    ///
    /// # Errors
    /// At step `Resolve` or `Connect`.
    pub async fn open(
        binding: &Binding,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Connection, ClientError> {
        let peers = resolve::peers(binding, deadline).await?;
        let (stream, peer) = reach(peers, deadline)
            .await
            .map_err(|attempts| ClientError::new(Step::Connect, Failure::Unreachable(attempts)))?;
        let mut association = ClientAssociation::new(ClientSettings {
            order: settings.encoding.order(),
            // Deadlines are kept here.
            answer_timeout: Duration::MAX,
            ..ClientSettings::default()
        });
        let authentication = settings.authentication.clone();
        if let Some(authentication) = &authentication {
            association.authenticate(authentication.auth_type(), authentication.auth_level());
        }
        Ok(Connection {
            stream,
            peer,
            association,
            authentication,
            incoming: BytesMut::new(),
            writable: true,
            unsent: None,
            deadline,
        })
    }

    /// Sets another deadline for what is asked from now on.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Where the server was reached.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What an event means that is not the one waited for.
    pub fn failure(&self, event: ClientEvent) -> Failure {
        let is_logged_on = self.association.is_logged_on();
        let authentication = self.authentication.as_ref();
        authentication
            .and_then(|authentication| authentication.failure(&event, is_logged_on))
            .unwrap_or_else(|| event.into())
    }

    /// Asks for something, and waits for the event that answers it.
    ///
    /// # Errors
    /// At `step`: the deadline has passed, or the connection broke. What ends
    /// the association is an event.
    pub async fn ask(
        &mut self,
        step: Step,
        ask: impl FnOnce(&mut ClientAssociation, time::Instant),
    ) -> Result<ClientEvent, ClientError> {
        self.begin(ask);
        timeout_at(self.deadline, self.answer())
            .await
            .unwrap_or(Err(Failure::Timeout))
            .map_err(|failure| ClientError::new(step, failure))
    }

    /// Asks for something; what was asked before and is still due is given up.
    pub fn begin(&mut self, ask: impl FnOnce(&mut ClientAssociation, time::Instant)) {
        self.association.orphan();
        ask(&mut self.association, Instant::now().into_std());
        self.unsent = self.association.poll_transmit().map(<[u8]>::len);
    }

    /// Asks the server to cancel the call under way; its answer is due all the
    /// same.
    pub fn cancel(&mut self) {
        self.association.cancel();
    }

    /// Gives up the call under way, and tells the server if that needs no
    /// waiting; false when the server has not taken what it was sent. Then
    /// nothing more of it may go out: a call that was not executed, for all that
    /// was told of it, would be.
    pub fn give_up(&mut self) -> bool {
        if !self.is_sent() {
            return false;
        }
        self.association.orphan();
        while let Some(octets) = self.association.poll_transmit() {
            match self.stream.try_write(octets) {
                Ok(count @ 1..) => self.association.transmitted(count),
                _ => return false,
            }
        }
        true
    }

    /// Whether the server has all of what was asked last, for all that is known
    /// here; it can have executed no call that went out in part.
    pub fn is_sent(&self) -> bool {
        self.unsent == Some(0)
    }

    /// Whether something may still be asked: looks at what has come in meanwhile,
    /// the end of the connection above all.
    pub fn is_open(&mut self) -> bool {
        let mut octets = [0; READ];
        // A server that never stops talking is left to the next answer.
        for _ in 0..READS {
            match self.stream.read_now(&mut octets) {
                Ok(0) => self.association.peer_closed(),
                Ok(count) => {
                    let read = octets.get(..count).unwrap_or_default();
                    self.incoming.extend_from_slice(read);
                    self.association.receive(&mut self.incoming);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
            break;
        }
        self.writable && !self.association.has_ended()
    }

    /// Waits until the server closes the connection, and drops what it says
    /// meanwhile; nothing can be asked any more.
    pub async fn closed(&mut self) {
        while self.stream.readable().await.is_ok() {
            // A socket that is always ready would take the turn of others.
            consume_budget().await;
            self.incoming.clear();
            self.incoming.reserve(READ);
            match self.stream.try_read_buf(&mut self.incoming) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Sends and reads until something has happened.
    ///
    /// Reads while it sends: a server may refuse a call before it has all of it,
    /// and take nothing more then. Whoever stops waiting loses no octet, and may
    /// wait again; only a leg of a logon is lost, and the logon with it.
    ///
    /// # Errors
    /// The connection broke. What ends the association is an event.
    pub async fn answer(&mut self) -> Result<ClientEvent, Failure> {
        loop {
            if let Some(event) = self.association.poll_event() {
                return Ok(event);
            }
            if let Some(leg) = self.association.poll_leg() {
                self.take(leg).await?;
                continue;
            }
            // Waiting for a socket that is always ready takes no turn of others,
            // the deadline's among them.
            consume_budget().await;
            let octets = self.association.poll_transmit().filter(|_| self.writable);
            tokio::select! {
                biased;
                ready = self.stream.readable() => {
                    ready?;
                    self.incoming.reserve(READ);
                    match self.stream.try_read_buf(&mut self.incoming) {
                        Ok(0) => self.association.peer_closed(),
                        Ok(_) => self.association.receive(&mut self.incoming),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                ready = self.stream.writable(), if octets.is_some() => {
                    let octets = octets.unwrap_or_default();
                    match ready.and_then(|()| self.stream.try_write(octets)) {
                        Ok(count) => self.written(count),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        // What the server has said before is still to be read.
                        Err(_) => self.writable = false,
                    }
                }
            }
        }
    }
}

impl Connection {
    /// Notes that so many octets have gone out.
    pub(super) fn written(&mut self, count: usize) {
        self.association.transmitted(count);
        self.unsent = self.unsent.map(|left| left.saturating_sub(count));
    }

    /// Has a leg taken, and goes on with what came in meanwhile.
    async fn take(&mut self, leg: Leg) -> Result<(), Failure> {
        let Some(authentication) = &self.authentication else {
            return Ok(());
        };
        let (outcome, told) = match authentication.take(leg).await {
            Ok(outcome) => (outcome, Ok(())),
            Err(failure) => (Err(NOT_BEGUN), Err(failure)),
        };
        self.association.leg_taken(outcome);
        self.association.receive(&mut self.incoming);
        told
    }
}

impl From<ClientEvent> for Failure {
    fn from(event: ClientEvent) -> Self {
        match event {
            ClientEvent::Refused(reason) => Failure::Refused(reason),
            ClientEvent::Fault { status, .. } => Failure::Fault(status),
            ClientEvent::Broken(error) => error.into(),
            ClientEvent::Bound { .. } => ProtocolError::Unexpected(PacketType::BIND_ACK).into(),
            ClientEvent::Response { .. } => ProtocolError::Unexpected(PacketType::RESPONSE).into(),
        }
    }
}

/// Connects to the first peer that takes it, in their order.
///
/// Each has its share of the time left, so that one that answers nothing does
/// not use up the time of the next.
async fn reach(peers: Vec<Peer>, deadline: Instant) -> Result<(Stream, Peer), Vec<Attempt>> {
    let mut attempts = Vec::new();
    let shares = (1..=peers.len() as u32).rev();
    for (peer, left) in peers.into_iter().zip(shares) {
        let error = match timeout_at(share(deadline, left), connect(&peer)).await {
            Ok(Ok(stream)) => return Ok((stream, peer)),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        attempts.push(Attempt { peer, error });
    }
    Err(attempts)
}

/// The end of the first of so many equal shares of the time left.
pub(super) fn share(deadline: Instant, shares: u32) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / shares.max(1)
}

/// Connects to a peer.
async fn connect(peer: &Peer) -> io::Result<Stream> {
    match peer {
        Peer::Network(address) => {
            let stream = TcpStream::connect(address).await?;
            if is_itself(&stream) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Peer::Local(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

/// Whether a connection goes to itself: where nobody listens on a port that the
/// system gives to clients, a client may be given that port, and meets itself.
fn is_itself(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local == peer,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Asked, Fake, assert_fails, generous, part, soon};
    use super::*;
    use crate::client::Encoding;
    use crate::wire::ByteOrder;
    use crate::wire::pdu::{Body, Header, Pdu, PfcFlags};
    use crate::wire::tower::ProtocolSequence;
    use crate::wire::{DataRepresentation, SyntaxId};
    use socket2::{Domain, SockRef, Socket, Type};
    use std::io::Write;
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    const LITTLE: Encoding = Encoding::Ndr(ByteOrder::Little);

    /// A connection to a server that accepts its bind.
    async fn bound(fake: &Fake) -> Connection {
        let opened = Connection::open(&fake.binding, &LITTLE.into(), generous()).await;
        let mut connection = opened.unwrap();
        connection.ask(Step::Bind, bind).await.unwrap();
        connection
    }

    /// The binding of an address.
    fn at(address: SocketAddr) -> Binding {
        Binding {
            address: address.ip().to_string(),
            endpoint: address.port().to_string(),
            ..Binding::new(ProtocolSequence::NcacnIpTcp)
        }
    }

    /// Offers one context.
    fn bind(association: &mut ClientAssociation, now: time::Instant) {
        association.bind(now, 0, &[(0, SyntaxId::EPT, &[SyntaxId::NDR])]);
    }

    /// Asserts that a call ends at the deadline.
    async fn assert_times_out(fake: &Fake, stub: &[u8]) {
        let mut connection = bound(fake).await;
        connection.deadline = soon();
        for _ in 0..2 {
            let asked = connection.ask(Step::Call, |association, now| {
                association.call(now, 0, 1, None, stub)
            });
            assert_fails(asked.await, Step::Call, |failure| {
                matches!(failure, Failure::Timeout)
            });
        }
    }

    /// A fragment of a response that is neither its first nor its last.
    fn middle(stub: &[u8]) -> Vec<u8> {
        let drep = DataRepresentation::LITTLE;
        let header = Header::new(PacketType::RESPONSE, PfcFlags(0), drep, 2);
        let mut octets = Vec::new();
        Pdu::new(header, Body::Response(part(stub))).encode(&mut octets);
        octets
    }

    /// The same, as the first.
    fn first(stub: &[u8]) -> Vec<u8> {
        let mut octets = middle(stub);
        octets[3] = PfcFlags::FIRST_FRAG.0;
        octets
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_waited_for_until_the_deadline() {
        let silent = Fake::serve(|_| Answer::Silence);
        let opened = Connection::open(&silent.binding, &LITTLE.into(), soon()).await;
        let bound = opened.unwrap().ask(Step::Bind, bind).await;
        assert_fails(bound, Step::Bind, |failure| {
            matches!(failure, Failure::Timeout)
        });
        let silent = Fake::bound(|_, _| Answer::Silence);
        assert_times_out(&silent, b"").await;
    }

    #[tokio::test]
    async fn a_server_that_never_comes_to_an_end_is_waited_for_until_the_deadline() {
        // Octet by octet of one long fragment: its head, then the rest in drops.
        let whole = first(&[0; 60_000]);
        let mut drops = whole.into_iter();
        let fake = Fake::serve(move |asked| match asked {
            Asked::Call(..) => Answer::Drops(drops.by_ref().take(50_000).collect()),
            _ => Answer::Accept(&[SyntaxId::NDR]),
        });
        assert_times_out(&fake, b"").await;
        // Fragments without anything in them, and without end.
        let mut begun = first(b"");
        begun.extend(middle(b"").repeat(100));
        let fake = Fake::serve(move |asked| match asked {
            Asked::Call(..) => Answer::Endless(begun.clone(), middle(b"").repeat(100)),
            _ => Answer::Accept(&[SyntaxId::NDR]),
        });
        assert_times_out(&fake, b"").await;
    }

    #[tokio::test]
    async fn a_server_that_reads_nothing_is_waited_for_until_the_deadline() {
        let fake = Fake::serve(|asked| match asked {
            Asked::Bind(..) => Answer::Accept(&[SyntaxId::NDR]),
            _ => Answer::Stop,
        });
        assert_times_out(&fake, &vec![0; 64 << 20]).await;
    }

    #[tokio::test]
    async fn an_address_that_takes_no_connection_is_tried_until_the_deadline() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let full = socket.local_addr().unwrap().as_socket().unwrap();
        // One connection fills the queue; whoever comes next gets no answer.
        let _queued = std::net::TcpStream::connect(full).unwrap();
        let opened = Connection::open(&at(full), &LITTLE.into(), soon()).await;
        assert_fails(opened.map(|_| ()), Step::Connect, |failure| {
            let Failure::Unreachable(attempts) = failure else {
                return false;
            };
            attempts[0].error.kind() == io::ErrorKind::TimedOut
        });
    }

    #[tokio::test]
    async fn what_a_server_said_before_it_reset_the_connection_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let opened = Connection::open(&at(address), &LITTLE.into(), generous()).await;
        let mut connection = opened.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let drep = DataRepresentation::LITTLE;
        let header = Header::new(PacketType::SHUTDOWN, PfcFlags::WHOLE, drep, 0);
        let mut octets = Vec::new();
        Pdu::new(header, Body::Shutdown).encode(&mut octets);
        peer.write_all(&octets).unwrap();
        let reset = SockRef::from(&peer).set_linger(Some(Duration::ZERO));
        reset.unwrap();
        drop(peer);
        let event = connection.ask(Step::Bind, bind).await.unwrap();
        assert_eq!(event, ClientEvent::Broken(ProtocolError::Shutdown));
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let [open, closed] = [open.local_addr().unwrap(), closed].map(Peer::Network);
        let both = vec![closed.clone(), open.clone()];
        let (_, reached) = reach(both, generous()).await.unwrap();
        assert_eq!(reached, open);
        let none = vec![closed; 2];
        let attempts = reach(none, generous()).await.unwrap_err();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_connection_to_itself_is_none() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert!(is_itself(&TcpStream::from_std(socket.into()).unwrap()));
        let listener = TcpListener::bind(any).unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await;
        assert!(!is_itself(&other.unwrap()));
    }
}
