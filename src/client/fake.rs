//! A server for tests: one connection on loopback, answered as told.

use super::{ClientError, Failure, Step};
use crate::wire::binding::Binding;
use crate::wire::pdu::{
    Bind, BindAck, BindNak, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags,
    Response, ResultsBuf,
};
use crate::wire::status::{ContextResult, FaultStatus, ProviderReason, RejectReason};
use crate::wire::tower::ProtocolSequence;
use crate::wire::{ByteOrder, Input, Output, SyntaxId, TransferSyntax};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::time::Instant;

/// How the server answers one PDU.
pub enum Answer {
    /// Accepts the contexts that offer these syntaxes and nothing else.
    Accept(&'static [SyntaxId]),
    /// Gives these answers and takes fragments of this length.
    Results(Vec<ContextAnswer>, u16),
    /// Refuses all contexts.
    Reject(ProviderReason),
    /// Refuses the bind.
    Nak(RejectReason),
    /// A response in fragments of at most this many octets of stub.
    Response(Vec<u8>, usize),
    /// A fault.
    Fault(FaultStatus),
    /// These octets, whatever they are.
    Octets(Vec<u8>),
    /// These octets, one by one.
    Drops(Vec<u8>),
    /// The first octets, then the others again and again, for as long as they
    /// are taken.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing, and nothing is read any more; the connection stays.
    Stop,
    /// Nothing; the connection stays.
    Silence,
    /// Nothing; the connection ends.
    Close,
}

/// What came in.
pub enum Asked<'a> {
    /// A bind: its byte order, and the transfer syntaxes of each context.
    Bind(ByteOrder, Vec<Vec<SyntaxId>>),
    /// A fragment of a call that is not its last: how many have come so far.
    Part(usize),
    /// A whole call: opnum and stub, in the transfer syntax agreed on.
    Call(u16, Input<'a>),
    /// A call is to be cancelled.
    Cancel,
    /// A call was given up.
    Orphaned,
}

/// A response in one fragment, written as the request is.
pub fn response(request: &Input, encode: impl FnOnce(&mut Output)) -> Answer {
    let mut stub = Vec::new();
    encode(&mut Output::stub(
        &mut stub,
        request.order(),
        request.syntax(),
    ));
    Answer::Response(stub, usize::MAX)
}

/// An answer to a context.
pub fn context_answer(
    result: ContextResult,
    reason: u16,
    transfer_syntax: SyntaxId,
) -> ContextAnswer {
    ContextAnswer {
        result,
        reason: ProviderReason(reason),
        transfer_syntax,
    }
}

/// A server that answers one connection; joined, it tells the opnums called.
pub struct Fake {
    /// Where it listens.
    pub binding: Binding,
    /// The thread that serves.
    served: JoinHandle<Vec<u16>>,
    /// Dropped, it ends a server that has stopped reading.
    held: Sender<()>,
}

impl Fake {
    /// Serves by `answer`.
    pub fn serve(answer: impl FnMut(Asked<'_>) -> Answer + Send + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let binding = Binding {
            address: address.ip().to_string(),
            endpoint: address.port().to_string(),
            ..Binding::new(ProtocolSequence::NcacnIpTcp)
        };
        let (held, hold) = mpsc::channel();
        let served = thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            Connection::new(stream, hold).serve(answer)
        });
        Fake {
            binding,
            served,
            held,
        }
    }

    /// Serves calls by `answer`, and accepts binds in NDR 2.0.
    pub fn bound(answer: impl FnMut(u16, Input<'_>) -> Answer + Send + 'static) -> Fake {
        Fake::bound_in(&[SyntaxId::NDR], answer)
    }

    /// Serves calls by `answer`, and accepts binds in these transfer syntaxes.
    pub fn bound_in(
        syntaxes: &'static [SyntaxId],
        mut answer: impl FnMut(u16, Input<'_>) -> Answer + Send + 'static,
    ) -> Fake {
        Fake::serve(move |asked| match asked {
            Asked::Bind(..) => Answer::Accept(syntaxes),
            Asked::Call(opnum, stub) => answer(opnum, stub),
            Asked::Part(_) | Asked::Cancel | Asked::Orphaned => Answer::Silence,
        })
    }

    /// The opnums of all calls, once the client has closed.
    pub fn calls(self) -> Vec<u16> {
        drop(self.held);
        self.served.join().unwrap()
    }
}

/// A deadline that only a hanging test meets.
pub fn generous() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A deadline for what never comes; nothing depends on how soon it is.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_millis(300)
}

/// Asserts where and how something failed.
#[track_caller]
pub fn assert_fails<T>(result: Result<T, ClientError>, step: Step, failure: fn(&Failure) -> bool) {
    let Err(error) = result else {
        panic!("it went through");
    };
    assert!(error.step == step && failure(&error.failure), "{error}");
}

/// The server's end.
struct Connection {
    stream: TcpStream,
    /// Ends with the test's hold on the server.
    held: Receiver<()>,
    /// What each context id stands for, of those accepted.
    syntaxes: Vec<(u16, TransferSyntax)>,
    /// What has come of a call.
    stub: Vec<u8>,
    parts: usize,
    /// The opnums called.
    calls: Vec<u16>,
    /// The longest fragment that is taken.
    max_recv_frag: u16,
}

impl Connection {
    fn new(stream: TcpStream, held: Receiver<()>) -> Self {
        Connection {
            stream,
            held,
            syntaxes: Vec::new(),
            stub: Vec::new(),
            parts: 0,
            calls: Vec::new(),
            max_recv_frag: 5840,
        }
    }

    /// Serves to the end.
    fn serve(mut self, mut answer: impl FnMut(Asked<'_>) -> Answer) -> Vec<u16> {
        while let Some(octets) = self.read_pdu() {
            assert!(octets.len() <= self.max_recv_frag.into());
            let pdu = Pdu::decode(&octets).unwrap();
            let answer = self.ask(&pdu, &mut answer);
            if matches!(answer, Answer::Close) || !self.answer(&pdu, answer) {
                break;
            }
        }
        self.calls
    }

    /// How a PDU is answered.
    fn ask(&mut self, pdu: &Pdu, answer: &mut impl FnMut(Asked<'_>) -> Answer) -> Answer {
        let order = pdu.header.drep.order();
        let request = match pdu.body {
            Body::Bind(bind) => return answer(Asked::Bind(order, offers(&bind))),
            Body::CoCancel => return answer(Asked::Cancel),
            Body::Orphaned => return answer(Asked::Orphaned),
            Body::Request(request) => request,
            other => panic!("a client does not send {other:?}"),
        };
        self.stub.extend(request.stub);
        self.parts += 1;
        if !pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
            return answer(Asked::Part(self.parts));
        }
        self.calls.push(request.opnum);
        self.parts = 0;
        let stub = std::mem::take(&mut self.stub);
        let context = self
            .syntaxes
            .iter()
            .find(|(id, _)| *id == request.context_id);
        let syntax = context.expect("a context that was accepted").1;
        answer(Asked::Call(
            request.opnum,
            Input::stub(&stub, order, syntax),
        ))
    }

    /// Sends an answer; whether the client takes it.
    fn answer(&mut self, asked: &Pdu, answer: Answer) -> bool {
        let mut stream = &self.stream;
        match answer {
            Answer::Drops(octets) => octets.chunks(1).all(|one| stream.write_all(one).is_ok()),
            Answer::Endless(first, again) => {
                let mut next = &first;
                while stream.write_all(next).is_ok() {
                    next = &again;
                }
                false
            }
            Answer::Stop => {
                // Ends when the test lets go of the server.
                let _ = self.held.recv();
                false
            }
            answer => {
                let octets = self.encoded(asked, answer);
                self.stream.write_all(&octets).is_ok()
            }
        }
    }

    /// Reads one PDU; `None` at the end of the connection.
    fn read_pdu(&mut self) -> Option<Vec<u8>> {
        let mut octets = vec![0; Header::LEN];
        self.stream.read_exact(&mut octets).ok()?;
        octets.resize(Header::peek_frag_length(&octets)?.into(), 0);
        self.stream.read_exact(&mut octets[Header::LEN..]).ok()?;
        Some(octets)
    }

    /// The PDUs of an answer.
    fn encoded(&mut self, asked: &Pdu, answer: Answer) -> Vec<u8> {
        let results = match (&answer, asked.body) {
            (Answer::Accept(syntaxes), Body::Bind(bind)) => accepted(&bind, syntaxes),
            (Answer::Reject(reason), Body::Bind(bind)) => rejected(&bind, *reason),
            (Answer::Results(results, most), _) => {
                self.max_recv_frag = *most;
                results.clone()
            }
            _ => return pdus(&asked.header, answer),
        };
        let accepted = (0..).zip(&results).filter_map(|(id, answer)| {
            let syntax = TransferSyntax::of(answer.transfer_syntax)?;
            Some((id, syntax))
        });
        self.syntaxes = accepted.collect();
        self.ack(&asked.header, &results)
    }

    /// A bind_ack with these results.
    fn ack(&self, asked: &Header, answers: &[ContextAnswer]) -> Vec<u8> {
        let mut results = ResultsBuf::new(asked.drep.order());
        for answer in answers {
            results.push(*answer);
        }
        let ack = BindAck {
            max_xmit_frag: 5840,
            max_recv_frag: self.max_recv_frag,
            assoc_group_id: 1,
            secondary_address: b"135\0",
            secondary_pad: &[0; 2],
            results: results.as_results(),
        };
        let mut out = Vec::new();
        let header = Header::new(
            PacketType::BIND_ACK,
            PfcFlags::WHOLE,
            asked.drep,
            asked.call_id,
        );
        Pdu::new(header, Body::BindAck(ack)).encode(&mut out);
        out
    }
}

/// The PDUs of an answer that is no bind_ack.
fn pdus(asked: &Header, answer: Answer) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |ptype: PacketType, flags: PfcFlags, body: Body<'_>| {
        let header = Header::new(ptype, flags, asked.drep, asked.call_id);
        Pdu::new(header, body).encode(&mut out);
    };
    let whole = PfcFlags::WHOLE;
    match answer {
        Answer::Nak(reason) => put(
            PacketType::BIND_NAK,
            whole,
            Body::BindNak(BindNak::new(reason)),
        ),
        Answer::Response(stub, most) => {
            let count = stub.len().div_ceil(most).max(1);
            let pieces = stub.chunks(most.min(stub.len()).max(1));
            // An empty stub is one fragment, too.
            for (index, piece) in pieces.chain([&[][..]]).take(count).enumerate() {
                let first = u8::from(index == 0) * PfcFlags::FIRST_FRAG.0;
                let last = u8::from(index + 1 == count) * PfcFlags::LAST_FRAG.0;
                put(
                    PacketType::RESPONSE,
                    PfcFlags(first | last),
                    Body::Response(part(piece)),
                );
            }
        }
        Answer::Fault(status) => put(PacketType::FAULT, whole, Body::Fault(Fault::new(0, status))),
        Answer::Octets(octets) => out.extend(octets),
        _ => {}
    }
    out
}

/// A fragment of a response.
pub fn part(stub: &[u8]) -> Response<'_> {
    Response {
        alloc_hint: 0,
        context_id: 0,
        cancel_count: 0,
        reserved: 0,
        stub,
    }
}

/// What a bind offers.
fn offers(bind: &Bind) -> Vec<Vec<SyntaxId>> {
    let contexts = bind.contexts.iter();
    contexts
        .map(|context| context.transfer_syntaxes.iter().collect())
        .collect()
}

/// Answers that accept what offers one of these syntaxes.
fn accepted(bind: &Bind, syntaxes: &[SyntaxId]) -> Vec<ContextAnswer> {
    let not_supported = rejected(
        bind,
        ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED,
    );
    let answers = bind.contexts.iter().zip(not_supported);
    answers
        .map(|(context, rejected)| {
            let mut offered = context.transfer_syntaxes.iter();
            match offered.find(|offered| syntaxes.contains(offered)) {
                Some(syntax) => context_answer(ContextResult::ACCEPTANCE, 0, syntax),
                None => rejected,
            }
        })
        .collect()
}

/// Answers that refuse all contexts; the features are always answered.
fn rejected(bind: &Bind, reason: ProviderReason) -> Vec<ContextAnswer> {
    let contexts = bind.contexts.iter();
    contexts
        .map(|context| match context.bind_time_features() {
            Some(_) => context_answer(ContextResult::NEGOTIATE_ACK, 0, ContextAnswer::NO_SYNTAX),
            None => context_answer(
                ContextResult::PROVIDER_REJECTION,
                reason.0,
                ContextAnswer::NO_SYNTAX,
            ),
        })
        .collect()
}
