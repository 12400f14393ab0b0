//! One connection to a server: connect, bind, call.

use super::{Attempt, ClientError, Failure, Step, resolve};
use crate::proto::{ClientAssociation, ClientEvent, ClientSettings, ProtocolError};
use crate::wire::binding::Binding;
use crate::wire::pdu::PacketType;
use crate::wire::status::ContextResult;
use crate::wire::{ByteOrder, DecodeError, Input, Output, SyntaxId};
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The id of the one presentation context.
const CONTEXT: u16 = 0;

/// Room for one read, in octets: more than a fragment of the usual size.
const READ: usize = 8192;

/// A connection to an RPC server, bound to one interface in NDR 2.0.
///
/// After an error other than a fault the connection is of no more use.
pub struct Client {
    /// The connection.
    stream: TcpStream,
    /// The address that it goes to.
    peer: SocketAddr,
    /// What is said on it.
    association: ClientAssociation,
    /// What was received and not yet taken.
    incoming: BytesMut,
    /// When everything has to be over.
    deadline: Instant,
}

/// The stub of a response.
#[derive(Debug)]
pub struct Reply {
    /// The byte order that it is written in.
    pub order: ByteOrder,
    /// Its octets.
    pub stub: Bytes,
}

impl Reply {
    /// The stub as a decoder wants it.
    pub fn input(&self) -> Input<'_> {
        Input::new(&self.stub, self.order)
    }

    /// Decodes the stub.
    ///
    /// # Errors
    /// `Decode` at step `Call`.
    pub fn decode<'a, T>(
        &'a self,
        decoder: impl FnOnce(Input<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, ClientError> {
        decoder(self.input()).map_err(|error| ClientError::new(Step::Call, error.into()))
    }
}

impl Client {
    /// Connects to the server of a binding.
    ///
    /// The addresses of its name are tried in turn, each for its share of the
    /// time that is left. The deadline holds for all that is done with the
    /// connection.
    ///
    /// # Errors
    /// At step `Resolve` or `Connect`.
    pub async fn connect(binding: &Binding, deadline: Instant) -> Result<Client, ClientError> {
        let addresses = resolve::addresses(binding, deadline).await?;
        let (stream, peer) = reach(&addresses, deadline)
            .await
            .map_err(|attempts| ClientError::new(Step::Connect, Failure::Unreachable(attempts)))?;
        let unusable = |error| ClientError::new(Step::Connect, Failure::Broken(error));
        stream.set_nodelay(true).map_err(unusable)?;
        Ok(Client {
            stream,
            peer,
            association: ClientAssociation::new(ClientSettings::default()),
            incoming: BytesMut::new(),
            deadline,
        })
    }

    /// The address that the server was reached at.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Binds to an interface, as the only context of the connection.
    ///
    /// # Errors
    /// At step `Bind`; `Refused` and `Rejected` when the server does not want to.
    pub async fn bind(&mut self, interface: SyntaxId) -> Result<(), ClientError> {
        let now = Instant::now().into_std();
        self.association
            .bind(now, 0, &[(CONTEXT, interface, &[SyntaxId::NDR])]);
        let failure = match self.event(Step::Bind).await? {
            ClientEvent::Bound { answers, .. } => match answers.first() {
                Some(answer) if answer.result == ContextResult::ACCEPTANCE => return Ok(()),
                Some(answer) => Failure::Rejected(answer.result, answer.reason),
                None => Failure::Protocol(ProtocolError::Results {
                    offered: 1,
                    found: 0,
                }),
            },
            other => failure(other),
        };
        Err(ClientError::new(Step::Bind, failure))
    }

    /// Calls an operation of the interface; `encode` writes the request's stub.
    ///
    /// # Errors
    /// At step `Call`; `Fault` when the server answers with one.
    pub async fn call(
        &mut self,
        opnum: u16,
        encode: impl FnOnce(&mut Output),
    ) -> Result<Reply, ClientError> {
        let mut stub = Vec::new();
        encode(&mut Output::new(&mut stub, ByteOrder::Little));
        let now = Instant::now().into_std();
        self.association.call(now, CONTEXT, opnum, None, &stub);
        match self.event(Step::Call).await? {
            ClientEvent::Response { order, stub } => Ok(Reply { order, stub }),
            other => Err(ClientError::new(Step::Call, failure(other))),
        }
    }

    /// The next thing that happens, waited for until the deadline.
    async fn event(&mut self, step: Step) -> Result<ClientEvent, ClientError> {
        timeout_at(self.deadline, self.exchange())
            .await
            .unwrap_or(Err(Failure::Timeout))
            .map_err(|failure| ClientError::new(step, failure))
    }

    /// Sends what is due, then reads until something has happened.
    async fn exchange(&mut self) -> Result<ClientEvent, Failure> {
        loop {
            while let Some(octets) = self.association.poll_transmit() {
                let len = octets.len();
                self.stream.write_all(octets).await?;
                self.association.transmitted(len);
            }
            if let Some(event) = self.association.poll_event() {
                return Ok(event);
            }
            self.incoming.reserve(READ);
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(Failure::Closed);
            }
            self.association.receive(&mut self.incoming);
        }
    }
}

/// What an event means that is not the one waited for.
fn failure(event: ClientEvent) -> Failure {
    match event {
        ClientEvent::Refused(reason) => Failure::Refused(reason),
        ClientEvent::Fault { status, .. } => Failure::Fault(status),
        ClientEvent::Broken(error) => Failure::Protocol(error),
        ClientEvent::Bound { .. } => ProtocolError::Unexpected(PacketType::BIND_ACK).into(),
        ClientEvent::Response { .. } => ProtocolError::Unexpected(PacketType::RESPONSE).into(),
    }
}

/// Connects to the first address that takes it, in their order.
///
/// Each has its share of the time left, so that one that answers nothing does
/// not use up the time of the next.
async fn reach(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Vec<Attempt>> {
    let mut attempts = Vec::new();
    for (&address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        let error = match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        attempts.push(Attempt { address, error });
    }
    Err(attempts)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Asked, Fake, assert_fails, generous};
    use super::*;
    use crate::wire::FaultStatus;
    use crate::wire::status::{ProviderReason, RejectReason};
    use std::net::TcpListener;

    /// A connection to a server for tests.
    async fn connected(fake: &Fake) -> Client {
        Client::connect(&fake.binding, generous()).await.unwrap()
    }

    /// A connection bound to the mapper's interface.
    async fn bound(fake: &Fake) -> Client {
        let mut client = connected(fake).await;
        client.bind(SyntaxId::EPT).await.unwrap();
        client
    }

    #[tokio::test]
    async fn a_call_is_answered() {
        let fake = Fake::bound(|opnum, stub| {
            assert_eq!((opnum, stub.octets()), (7, &[1, 2][..]));
            Answer::Response(vec![3, 4, 5], 1)
        });
        let mut client = bound(&fake).await;
        let reply = client.call(7, |out| out.octets(&[1, 2])).await.unwrap();
        assert_eq!(
            (reply.order, &*reply.stub),
            (ByteOrder::Little, &[3, 4, 5][..])
        );
    }

    #[tokio::test]
    async fn refusals_tell_the_step_and_the_reason() {
        let nak = Fake::serve(|_| Answer::Nak(RejectReason::LOCAL_LIMIT_EXCEEDED));
        let refused = connected(&nak).await.bind(SyntaxId::EPT).await;
        assert_fails(refused, Step::Bind, |failure| {
            matches!(
                failure,
                Failure::Refused(RejectReason::LOCAL_LIMIT_EXCEEDED)
            )
        });
        let unknown = ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED;
        let reject = Fake::serve(move |_| Answer::Reject(unknown));
        let rejected = connected(&reject).await.bind(SyntaxId::EPT).await;
        assert_fails(rejected, Step::Bind, |failure| {
            matches!(
                failure,
                Failure::Rejected(ContextResult::PROVIDER_REJECTION, _)
            )
        });
    }

    #[tokio::test]
    async fn a_fault_leaves_the_connection_usable() {
        let mut faulted = false;
        let fake = Fake::bound(move |_, _| match std::mem::replace(&mut faulted, true) {
            false => Answer::Fault(FaultStatus::OP_RNG_ERROR),
            true => Answer::Response(vec![1], 1),
        });
        let mut client = bound(&fake).await;
        let fault = client.call(99, |_| ()).await;
        assert_fails(fault, Step::Call, |failure| {
            matches!(failure, Failure::Fault(FaultStatus::OP_RNG_ERROR))
        });
        assert!(client.call(1, |_| ()).await.is_ok());
    }

    #[tokio::test]
    async fn octets_that_are_no_rpc_break_the_protocol() {
        let fake = Fake::serve(|_| Answer::Octets(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
        let garbage = connected(&fake).await.bind(SyntaxId::EPT).await;
        assert_fails(garbage, Step::Bind, |failure| {
            matches!(failure, Failure::Protocol(_))
        });
    }

    #[tokio::test]
    async fn a_server_that_closes_is_told_from_one_that_waits() {
        let closing = Fake::serve(|_| Answer::Close);
        let closed = connected(&closing).await.bind(SyntaxId::EPT).await;
        assert_fails(closed, Step::Bind, |failure| {
            matches!(failure, Failure::Closed | Failure::Broken(_))
        });
        let waiting = Fake::serve(|asked| match asked {
            Asked::Bind => Answer::Accept,
            Asked::Call(..) => Answer::Silence,
        });
        let mut client = bound(&waiting).await;
        client.deadline = Instant::now();
        let waited = client.call(1, |_| ()).await;
        assert_fails(waited, Step::Call, |failure| {
            matches!(failure, Failure::Timeout)
        });
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let both = [closed, open.local_addr().unwrap()];
        let (_, reached) = reach(&both, generous()).await.unwrap();
        assert_eq!(reached, both[1]);
        let attempts = reach(&[closed, closed], generous()).await.unwrap_err();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
