//! One connection to a server, bound to one interface: calls.

use super::connection::Connection;
use super::{ClientError, Failure, Peer, Settings, Step};
use crate::proto::{ClientEvent, ProtocolError};
use crate::wire::binding::Binding;
use crate::wire::pdu::{ContextAnswer, bind_time_syntax};
use crate::wire::status::ContextResult;
use crate::wire::stub::Parameters;
use crate::wire::{ByteOrder, DecodeError, Input, Output, SyntaxId, TransferSyntax, ndr};
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

/// How a client's stubs are to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// NDR 2.0 and NDR64 are offered, both little-endian, and the bind time
    /// features, as Windows' client does it; the server chooses.
    #[default]
    Any,
    /// NDR 2.0 and nothing else.
    Ndr(ByteOrder),
    /// NDR64 and nothing else; always little-endian (MS-RPCE 2.2.5).
    Ndr64,
}

impl Encoding {
    /// The byte order of all that is sent.
    pub(super) fn order(self) -> ByteOrder {
        match self {
            Encoding::Any | Encoding::Ndr64 => ByteOrder::Little,
            Encoding::Ndr(order) => order,
        }
    }

    /// What is offered, each in a context of its own; the place in this list is
    /// the context's id.
    fn offered(self) -> &'static [SyntaxId] {
        const FEATURES: SyntaxId = bind_time_syntax(KEEP_CONNECTION_ON_ORPHAN);
        match self {
            Encoding::Any => &[SyntaxId::NDR, SyntaxId::NDR64, FEATURES],
            Encoding::Ndr(_) => &[SyntaxId::NDR],
            Encoding::Ndr64 => &[SyntaxId::NDR64],
        }
    }
}

/// The bind time feature of this client: it goes on with a connection on which
/// it gave up a call.
///
/// # Source
/// MS-RPCE 2.2.2.14.
const KEEP_CONNECTION_ON_ORPHAN: u64 = 2;

/// A connection to an RPC server, bound to one interface.
///
/// A call that is no longer waited for is given up: the next one gets its own
/// answer. After an error other than a fault the connection is of no more use.
pub struct Client {
    /// The connection.
    connection: Connection,
    /// The presentation context that was accepted.
    context: u16,
    /// The byte order of requests.
    order: ByteOrder,
    /// How stubs are written in it.
    syntax: TransferSyntax,
}

/// The stub of a response.
#[derive(Debug)]
pub struct Reply {
    /// The byte order that it is written in.
    pub order: ByteOrder,
    /// The transfer syntax that it is written in.
    pub syntax: TransferSyntax,
    /// Its octets.
    pub stub: Bytes,
}

impl Reply {
    /// Decodes the stub.
    ///
    /// # Errors
    /// `Decode` at step `Call`.
    pub fn decode<'a, T>(
        &'a self,
        decoder: impl FnOnce(Input<'a>) -> Result<T, DecodeError>,
    ) -> Result<T, ClientError> {
        ndr::stub(&self.stub, self.order, self.syntax)
            .and_then(decoder)
            .map_err(|error| ClientError::new(Step::Call, error.into()))
    }

    /// Decodes the stub as parameters that an operation gives.
    ///
    /// # Errors
    /// As the parameters' types have it.
    pub fn parameters<'a, Out: Parameters<'a>>(&'a self) -> Result<Out, DecodeError> {
        Out::decode(&self.stub, self.order, self.syntax)
    }
}

impl Client {
    /// Connects to the server of a binding and binds to an interface.
    ///
    /// The deadline holds for all that is done with the connection, until
    /// another is set.
    ///
    /// # Errors
    /// At step `Resolve`, `Connect` or `Bind`; `Refused`, `Rejected` and `Fault`
    /// when the server does not want to; `LogonRefused`, `NoAuthentication` and
    /// `Logon` when it is about who asks.
    pub async fn connect(
        binding: &Binding,
        interface: SyntaxId,
        settings: impl Into<Settings>,
        deadline: Instant,
    ) -> Result<Client, ClientError> {
        let settings = settings.into();
        let encoding = settings.encoding;
        let mut connection = Connection::open(binding, &settings, deadline).await?;
        let (context, syntax) = bind(&mut connection, interface, encoding).await?;
        Ok(Client {
            connection,
            context,
            order: encoding.order(),
            syntax,
        })
    }

    /// Where the server was reached.
    pub fn peer(&self) -> &Peer {
        self.connection.peer()
    }

    /// The transfer syntax that was agreed on.
    pub fn syntax(&self) -> TransferSyntax {
        self.syntax
    }

    /// Calls an operation of the interface; `encode` writes the request's stub.
    ///
    /// # Errors
    /// At step `Call`; `Fault` when the server answers with one, `LogonRefused`
    /// when only the first call tells of that.
    pub async fn call(
        &mut self,
        opnum: u16,
        encode: impl FnOnce(&mut Output),
    ) -> Result<Reply, ClientError> {
        let mut stub = Vec::new();
        encode(&mut Output::stub(&mut stub, self.order, self.syntax));
        let context = self.context;
        let event = self
            .connection
            .ask(Step::Call, |association, now| {
                association.call(now, context, opnum, None, &stub)
            })
            .await?;
        let reply = self.reply(event);
        reply.map_err(|failure| ClientError::new(Step::Call, failure))
    }

    /// Sets another deadline, which holds for all calls from now on.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.connection.set_deadline(deadline);
    }

    /// Makes a call that [`answer`](Self::answer) waits for.
    pub(super) fn begin(&mut self, opnum: u16, object: Option<Uuid>, stub: &[u8]) {
        let context = self.context;
        self.connection.begin(|association, now| {
            association.call(now, context, opnum, object, stub);
        });
    }

    /// Waits for the answer of a call; whoever stops waiting may wait again.
    pub(super) async fn answer(&mut self) -> Result<Reply, Failure> {
        let event = self.connection.answer().await?;
        self.reply(event)
    }

    /// What an event says that answers a call.
    fn reply(&self, event: ClientEvent) -> Result<Reply, Failure> {
        match event {
            ClientEvent::Response { order, stub } => Ok(Reply {
                order,
                syntax: self.syntax,
                stub,
            }),
            other => Err(self.connection.failure(other)),
        }
    }

    /// The byte order of requests.
    pub(super) fn order(&self) -> ByteOrder {
        self.order
    }

    /// The connection.
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Waits until the server closes the connection, whatever the deadline.
    ///
    /// What it says meanwhile is dropped: no call may follow.
    pub async fn closed(&mut self) {
        self.connection.closed().await;
    }
}

/// Offers what the encoding says; gives the context to call on.
async fn bind(
    connection: &mut Connection,
    interface: SyntaxId,
    encoding: Encoding,
) -> Result<(u16, TransferSyntax), ClientError> {
    let elements = (0..).zip(encoding.offered().chunks(1));
    let contexts: Vec<_> = elements.map(|(id, one)| (id, interface, one)).collect();
    let event = connection
        .ask(Step::Bind, |association, now| {
            association.bind(now, 0, &contexts)
        })
        .await?;
    let chosen = match event {
        ClientEvent::Bound { answers, .. } => chosen(encoding, &answers),
        other => Err(connection.failure(other)),
    };
    chosen.map_err(|failure| ClientError::new(Step::Bind, failure))
}

/// The first context that was accepted, and its transfer syntax.
///
/// The answer to the features changes nothing: a server that does not keep the
/// connection behind a call given up closes it.
fn chosen(encoding: Encoding, answers: &[ContextAnswer]) -> Result<(u16, TransferSyntax), Failure> {
    let syntaxes = encoding.offered().iter().map(|id| TransferSyntax::of(*id));
    let contexts = (0..).zip(syntaxes).zip(answers);
    let mut contexts = contexts.filter_map(|((id, syntax), answer)| Some((id, syntax?, answer)));
    let accepted = contexts.find(|(_, _, answer)| answer.result == ContextResult::ACCEPTANCE);
    match (accepted, answers.first()) {
        (Some((id, syntax, answer)), _) if answer.transfer_syntax == syntax.id() => {
            Ok((id, syntax))
        }
        (Some((_, _, answer)), _) => Err(Failure::Syntax(answer.transfer_syntax)),
        (None, Some(answer)) => Err(Failure::Rejected(answer.result, answer.reason)),
        (None, None) => Err(Failure::Protocol(ProtocolError::Results {
            offered: encoding.offered().len(),
            found: 0,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Asked, Fake, assert_fails, context_answer, generous, part};
    use super::*;
    use crate::wire::pdu::{Body, Header, PacketType, Pdu, PfcFlags};
    use crate::wire::status::{ProviderReason, RejectReason};
    use crate::wire::{DataRepresentation, FaultStatus};
    use std::sync::mpsc;

    const NDR: SyntaxId = SyntaxId::NDR;
    const NDR64: SyntaxId = SyntaxId::NDR64;
    const LITTLE: Encoding = Encoding::Ndr(ByteOrder::Little);
    const BIG: Encoding = Encoding::Ndr(ByteOrder::Big);

    /// A connection to a server for tests.
    async fn connected(fake: &Fake, encoding: Encoding) -> Result<Client, ClientError> {
        Client::connect(&fake.binding, SyntaxId::EPT, encoding, generous()).await
    }

    /// A connection that the server accepts.
    async fn bound(fake: &Fake) -> Client {
        connected(fake, Encoding::Any).await.unwrap()
    }

    /// A PDU that answers call `call_id`.
    fn pdu(ptype: PacketType, flags: PfcFlags, call_id: u32, body: Body<'_>) -> Vec<u8> {
        let header = Header::new(ptype, flags, DataRepresentation::LITTLE, call_id);
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        octets
    }

    /// A response to the call behind the bind.
    fn response(call_id: u32, flags: PfcFlags, stub: &[u8]) -> Vec<u8> {
        pdu(
            PacketType::RESPONSE,
            flags,
            call_id,
            Body::Response(part(stub)),
        )
    }

    #[tokio::test]
    async fn what_is_offered_and_in_which_order_the_encoding_tells() {
        let features = bind_time_syntax(KEEP_CONNECTION_ON_ORPHAN);
        for (encoding, order, offered) in [
            (
                Encoding::Any,
                ByteOrder::Little,
                &[NDR, NDR64, features][..],
            ),
            (LITTLE, ByteOrder::Little, &[NDR]),
            (BIG, ByteOrder::Big, &[NDR]),
            (Encoding::Ndr64, ByteOrder::Little, &[NDR64]),
        ] {
            let (send, asked) = mpsc::channel();
            let fake = Fake::serve(move |asked| match asked {
                Asked::Bind(order, contexts) => {
                    send.send((order, contexts.concat())).unwrap();
                    Answer::Accept(&[NDR, NDR64])
                }
                _ => Answer::Close,
            });
            connected(&fake, encoding).await.unwrap();
            assert_eq!(asked.recv().unwrap(), (order, offered.to_vec()));
        }
    }

    #[tokio::test]
    async fn calls_go_on_the_context_that_was_accepted() {
        for (encoding, taken, syntax, order) in [
            (
                Encoding::Any,
                &[NDR][..],
                TransferSyntax::Ndr,
                ByteOrder::Little,
            ),
            (
                Encoding::Any,
                &[NDR64],
                TransferSyntax::Ndr64,
                ByteOrder::Little,
            ),
            (
                Encoding::Any,
                &[NDR, NDR64],
                TransferSyntax::Ndr,
                ByteOrder::Little,
            ),
            (
                Encoding::Ndr64,
                &[NDR64],
                TransferSyntax::Ndr64,
                ByteOrder::Little,
            ),
            (
                LITTLE,
                &[NDR, NDR64],
                TransferSyntax::Ndr,
                ByteOrder::Little,
            ),
            (BIG, &[NDR], TransferSyntax::Ndr, ByteOrder::Big),
        ] {
            let fake = Fake::bound_in(taken, move |opnum, stub| {
                assert_eq!((opnum, stub.syntax(), stub.order()), (7, syntax, order));
                assert_eq!(stub.octets(), [1, 2]);
                Answer::Response(vec![3, 4, 5], 1)
            });
            let mut client = connected(&fake, encoding).await.unwrap();
            assert_eq!(client.syntax(), syntax);
            let written = |out: &mut Output| {
                assert_eq!((out.syntax(), out.order()), (syntax, order));
                out.octets(&[1, 2]);
            };
            let reply = client.call(7, written).await.unwrap();
            assert_eq!(
                (reply.order, reply.syntax, &*reply.stub),
                (order, syntax, &[3, 4, 5][..])
            );
        }
    }

    #[tokio::test]
    async fn refusals_tell_the_step_and_the_reason() {
        let nak = Fake::serve(|_| Answer::Nak(RejectReason::LOCAL_LIMIT_EXCEEDED));
        let refused = connected(&nak, Encoding::Any).await;
        assert_fails(refused, Step::Bind, |failure| {
            matches!(
                failure,
                Failure::Refused(RejectReason::LOCAL_LIMIT_EXCEEDED)
            )
        });
        let reject = Fake::serve(|_| Answer::Reject(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED));
        let rejected = connected(&reject, Encoding::Any).await;
        assert_fails(rejected, Step::Bind, |failure| {
            matches!(
                failure,
                Failure::Rejected(
                    ContextResult::PROVIDER_REJECTION,
                    ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED
                )
            )
        });
        let fault = Fake::serve(|_| Answer::Fault(FaultStatus::ACCESS_DENIED));
        let faulted = connected(&fault, Encoding::Any).await;
        assert_fails(faulted, Step::Bind, |failure| {
            matches!(failure, Failure::Fault(FaultStatus::ACCESS_DENIED))
        });
    }

    #[tokio::test]
    async fn a_transfer_syntax_that_was_demanded_is_not_replaced() {
        for (encoding, taken) in [(Encoding::Ndr64, &[NDR]), (LITTLE, &[NDR64])] {
            let fake = Fake::bound_in(taken, |_, _| Answer::Close);
            assert_fails(connected(&fake, encoding).await, Step::Bind, |failure| {
                matches!(
                    failure,
                    Failure::Rejected(_, ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED)
                )
            });
        }
    }

    #[tokio::test]
    async fn results_out_of_place_are_no_context_to_call_on() {
        let accepted = |syntax| context_answer(ContextResult::ACCEPTANCE, 0, syntax);
        let rejected = context_answer(
            ContextResult::PROVIDER_REJECTION,
            2,
            ContextAnswer::NO_SYNTAX,
        );
        type Expected = fn(&Failure) -> bool;
        let cases: [(Vec<ContextAnswer>, Expected); 4] = [
            // NDR64 for the context that offered NDR 2.0.
            (vec![accepted(NDR64), rejected, rejected], |failure| {
                matches!(failure, Failure::Syntax(NDR64))
            }),
            (
                vec![accepted(ContextAnswer::NO_SYNTAX), rejected, rejected],
                |failure| matches!(failure, Failure::Syntax(_)),
            ),
            // The features are no transfer syntax.
            (
                vec![
                    rejected,
                    rejected,
                    accepted(bind_time_syntax(KEEP_CONNECTION_ON_ORPHAN)),
                ],
                |failure| matches!(failure, Failure::Rejected(..)),
            ),
            (vec![accepted(NDR)], |failure| {
                matches!(
                    failure,
                    Failure::Protocol(ProtocolError::Results {
                        offered: 3,
                        found: 1
                    })
                )
            }),
        ];
        for (results, expected) in cases {
            let fake = Fake::serve(move |_| Answer::Results(results.clone(), 5840));
            let bound = connected(&fake, Encoding::Any).await;
            assert_fails(bound, Step::Bind, expected);
        }
    }

    #[tokio::test]
    async fn a_long_call_goes_in_fragments_that_the_server_takes() {
        for most in [1432, 2048, 5840] {
            let fake = Fake::serve(move |asked| match asked {
                Asked::Bind(..) => {
                    let accepted = context_answer(ContextResult::ACCEPTANCE, 0, NDR);
                    Answer::Results(vec![accepted], most)
                }
                Asked::Call(_, stub) => Answer::Response(stub.octets().to_vec(), 999),
                _ => Answer::Silence,
            });
            let stub: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
            let mut client = connected(&fake, LITTLE).await.unwrap();
            let reply = client.call(1, |out| out.octets(&stub)).await.unwrap();
            assert_eq!(reply.stub, stub);
        }
    }

    #[tokio::test]
    async fn an_answer_in_ndr64_and_big_endian_does_not_decode() {
        let fake = Fake::bound_in(&[NDR64], |_, _| {
            let mut octets = response(2, PfcFlags::WHOLE, b"");
            octets[4] = 0;
            octets[8..10].reverse();
            octets[12..16].reverse();
            Answer::Octets(octets)
        });
        let reply = bound(&fake).await.call(1, |_| ()).await.unwrap();
        let decoded = reply.decode(|stub| Ok(stub.left()));
        assert_fails(decoded, Step::Call, |failure| {
            matches!(failure, Failure::Decode(_))
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
    async fn a_fault_before_the_call_was_sent_is_told_although_the_server_closes() {
        let fake = Fake::serve(|asked| match asked {
            Asked::Bind(..) => Answer::Accept(&[NDR]),
            Asked::Part(1) => Answer::Fault(FaultStatus::ACCESS_DENIED),
            // With octets unread, which resets the connection.
            _ => Answer::Close,
        });
        let mut client = bound(&fake).await;
        let long = vec![0; 16 << 20];
        let fault = client.call(1, |out| out.octets(&long)).await;
        assert_fails(fault, Step::Call, |failure| {
            matches!(failure, Failure::Fault(FaultStatus::ACCESS_DENIED))
        });
    }

    #[tokio::test]
    async fn a_call_no_longer_waited_for_is_given_up_and_the_next_gets_its_own_answer() {
        let (send, orphaned) = mpsc::channel();
        let fake = Fake::serve(move |asked| match asked {
            Asked::Bind(..) => Answer::Accept(&[NDR]),
            Asked::Call(1, _) => Answer::Silence,
            Asked::Orphaned => {
                send.send(()).unwrap();
                Answer::Octets(response(2, PfcFlags::WHOLE, b"of the first"))
            }
            _ => Answer::Response(b"of the second".to_vec(), 100),
        });
        let mut client = bound(&fake).await;
        let first = client.call(1, |_| ());
        assert!(
            tokio::time::timeout_at(Instant::now(), first)
                .await
                .is_err()
        );
        let reply = client.call(2, |_| ()).await.unwrap();
        assert_eq!(reply.stub, "of the second");
        orphaned.recv().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_has_not_gone_out_when_it_is_given_up_never_does() {
        let fake = Fake::bound(|_, _| Answer::Silence);
        let mut client = bound(&fake).await;
        client.begin(1, None, &[7; 10_000]);
        assert!(!client.connection().is_sent());
        assert!(!client.connection().give_up());
        drop(client);
        assert!(fake.calls().is_empty());
    }

    #[tokio::test]
    async fn a_cancel_that_has_not_gone_out_does_not_hide_that_its_call_has() {
        let fake = Fake::bound(|_, _| Answer::Silence);
        let mut client = bound(&fake).await;
        client.begin(1, None, &[7; 10]);
        client.connection().cancel();
        // A head, and the stub.
        client.connection().written(24 + 9);
        assert!(!client.connection().is_sent());
        client.connection().written(1);
        assert!(client.connection().is_sent());
    }

    #[tokio::test]
    async fn octets_that_are_no_rpc_break_the_protocol() {
        let fake = Fake::serve(|_| Answer::Octets(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()));
        let garbage = connected(&fake, Encoding::Any).await;
        assert_fails(garbage, Step::Bind, |failure| {
            matches!(failure, Failure::Protocol(ProtocolError::Frame(_)))
        });
    }

    #[tokio::test]
    async fn a_shutdown_is_told_as_such() {
        let fake = Fake::bound(|_, _| {
            let shutdown = pdu(PacketType::SHUTDOWN, PfcFlags::WHOLE, 0, Body::Shutdown);
            Answer::Octets(shutdown)
        });
        let ended = bound(&fake).await.call(1, |_| ()).await;
        assert_fails(ended, Step::Call, |failure| {
            matches!(failure, Failure::Shutdown)
        });
    }

    #[tokio::test]
    async fn a_server_that_closes_is_told_and_told_again() {
        let closing = Fake::serve(|_| Answer::Close);
        let closed = connected(&closing, Encoding::Any).await;
        assert_fails(closed, Step::Bind, |failure| {
            matches!(failure, Failure::Closed | Failure::Broken(_))
        });
        let half = Fake::serve(|asked| match asked {
            Asked::Bind(..) => Answer::Accept(&[NDR]),
            Asked::Call(1, _) => {
                Answer::Octets(response(2, PfcFlags::WHOLE, b"cut")[..20].to_vec())
            }
            _ => Answer::Close,
        });
        let mut client = bound(&half).await;
        let first = client.call(1, |_| ());
        assert!(
            tokio::time::timeout_at(Instant::now(), first)
                .await
                .is_err()
        );
        for _ in 0..2 {
            let closed = client.call(2, |_| ()).await;
            assert_fails(closed, Step::Call, |failure| {
                matches!(failure, Failure::Closed | Failure::Broken(_))
            });
        }
    }
}
