//! One connection of a client: bind, contexts, one call at a time.
//!
//! The same verbs as the server's end. What a server sends is not trusted: an
//! answer has a limit, and anything out of place ends the connection with a
//! [`ProtocolError`]. Lenient where real servers differ: a response's context
//! id is not compared (Windows sends its low octet only), the secondary address
//! is not looked at, and the byte order of an answer need not be the request's.

use super::fragment;
use super::frame::{self, Frame, Violation};
use super::transmit::Transmit;
use crate::wire::drep::{ByteOrder, DataRepresentation};
use crate::wire::input::DecodeError;
use crate::wire::pdu::{
    Bind, BindAck, Body, ContextAnswer, ContextsBuf, Header, PacketType, Pdu, PfcFlags, Request,
    Response,
};
use crate::wire::status::{FaultStatus, RejectReason};
use crate::wire::syntax::SyntaxId;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use uuid::Uuid;

/// What a client asks for and takes.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// Byte order of everything sent.
    pub order: ByteOrder,
    /// Fragment size offered for both directions.
    pub max_frag: u16,
    /// Octets of one answer's stub at most.
    pub max_answer: usize,
}

impl Default for ClientSettings {
    /// Little-endian, fragments of 5840 octets, answers up to 4 MiB.
    fn default() -> Self {
        ClientSettings {
            order: ByteOrder::Little,
            max_frag: 5840,
            max_answer: 4 << 20,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum ClientEvent {
    /// A bind or alter_context was answered, element by element.
    Bound(Vec<ContextAnswer>),
    /// The bind was refused; the server closes.
    Refused(RejectReason),
    /// A call was answered.
    Response {
        /// Byte order of the stub.
        order: ByteOrder,
        /// The stub, all fragments joined.
        stub: Bytes,
    },
    /// A call, or an alter_context, was answered with a fault.
    Fault {
        /// Its status.
        status: FaultStatus,
        /// Whether the operation was not entered at all.
        did_not_execute: bool,
    },
    /// The server broke the protocol; nothing more will come.
    Broken(ProtocolError),
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Octets that are no PDU of version 5.0.
    #[error("the peer does not speak connection-oriented DCE/RPC 5.0 ({0:?})")]
    Frame(Violation),
    /// A PDU that does not decode.
    #[error("a PDU does not decode: {0}")]
    Decode(DecodeError),
    /// A PDU type that has no place here.
    #[error("{0} is not expected here")]
    Unexpected(PacketType),
    /// An answer to a call that was not made.
    #[error("an answer to call {found}, where call {expected} waits")]
    CallId {
        /// The call that waits.
        expected: u32,
        /// The call id on the wire.
        found: u32,
    },
    /// A continuation without its first fragment, a second first fragment, or
    /// a change of byte order within an answer.
    #[error("fragments out of order")]
    Fragments,
    /// An answer longer than the limit.
    #[error("an answer of more than {0} octets")]
    TooLong(usize),
    /// A bind_ack with another number of results than contexts were offered.
    #[error("{found} results for {offered} presentation contexts")]
    Results {
        /// Contexts offered.
        offered: usize,
        /// Results on the wire.
        found: usize,
    },
}

/// What the client waits for.
#[derive(Debug, PartialEq, Eq)]
enum Waiting {
    /// No answer is due.
    Nothing,
    /// The answer to a bind of that many contexts.
    Bind { offered: usize },
    /// The answer to an alter_context of that many contexts.
    Alter { offered: usize },
    /// The answer to a call.
    Response,
}

/// The client's end of one connection.
#[derive(Debug)]
pub struct ClientAssociation {
    /// What is asked for and taken.
    settings: ClientSettings,
    /// What the server owes.
    waiting: Waiting,
    /// The last call id used.
    call_id: u32,
    /// The longest fragment that the server takes.
    send_limit: u16,
    /// The answer that is not complete, and its byte order.
    answer: Option<(ByteOrder, BytesMut)>,
    /// What happened and was not asked for yet.
    events: VecDeque<ClientEvent>,
    /// Whether the server broke the protocol.
    broken: bool,
    /// What is to be sent.
    transmit: Transmit,
}

impl ClientAssociation {
    /// A connection on which nothing was sent yet.
    pub fn new(settings: ClientSettings) -> Self {
        ClientAssociation {
            settings,
            waiting: Waiting::Nothing,
            call_id: 0,
            send_limit: fragment::MUST_RECV_FRAG,
            answer: None,
            events: VecDeque::new(),
            broken: false,
            transmit: Transmit::default(),
        }
    }

    /// Sends a bind that offers `contexts`: id, interface, transfer syntaxes.
    ///
    /// Answered by `Bound` or `Refused`.
    pub fn bind(&mut self, contexts: &[(u16, SyntaxId, &[SyntaxId])]) {
        self.waiting = Waiting::Bind {
            offered: contexts.len(),
        };
        self.negotiate(PacketType::BIND, contexts);
    }

    /// Sends an alter_context that offers more contexts.
    ///
    /// Answered by `Bound` or `Fault`.
    pub fn alter(&mut self, contexts: &[(u16, SyntaxId, &[SyntaxId])]) {
        self.waiting = Waiting::Alter {
            offered: contexts.len(),
        };
        self.negotiate(PacketType::ALTER_CONTEXT, contexts);
    }

    /// Sends a call on a bound context, in as many fragments as it takes.
    ///
    /// Answered by `Response` or `Fault`. One call at a time: the one before
    /// must have been answered.
    pub fn call(&mut self, context_id: u16, opnum: u16, object: Option<Uuid>, stub: &[u8]) {
        self.waiting = Waiting::Response;
        let call_id = self.next_call_id();
        let head = REQUEST_HEAD + object.map_or(0, |_| 16);
        let object_flag = object.map_or(PfcFlags(0), |_| PfcFlags::OBJECT_UUID);
        for piece in fragment::split(stub, self.send_limit, head) {
            let flags = piece.flags | object_flag;
            let header = Header::new(PacketType::REQUEST, flags, self.drep(), call_id);
            let request = Request {
                alloc_hint: piece.alloc_hint,
                context_id,
                opnum,
                object,
                stub: piece.stub,
            };
            Pdu::new(header, Body::Request(request)).encode(self.transmit.buffer());
        }
    }

    /// Takes all whole PDUs out of `octets`; the rest stays.
    pub fn receive(&mut self, octets: &mut BytesMut) {
        while !self.broken {
            let step = match frame::next(octets, |_| u16::MAX) {
                Frame::Incomplete => return,
                Frame::Bad(_, violation) => Err(ProtocolError::Frame(violation)),
                Frame::Whole(header, pdu) => self.pdu(&header, &pdu),
            };
            if let Err(error) = step {
                self.broken = true;
                self.events.push_back(ClientEvent::Broken(error));
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Octets to send, if any.
    pub fn poll_transmit(&self) -> Option<&[u8]> {
        self.transmit.peek()
    }

    /// Tells that `len` octets of `poll_transmit` were sent.
    pub fn transmitted(&mut self, len: usize) {
        self.transmit.advance(len);
    }

    /// The data representation of everything sent.
    fn drep(&self) -> DataRepresentation {
        self.settings.order.into()
    }

    /// The next call id; bind, alter_context and calls share one row.
    fn next_call_id(&mut self) -> u32 {
        self.call_id = self.call_id.wrapping_add(1);
        self.call_id
    }

    /// Appends a bind or alter_context.
    fn negotiate(&mut self, ptype: PacketType, contexts: &[(u16, SyntaxId, &[SyntaxId])]) {
        let mut list = ContextsBuf::new(self.settings.order);
        for (id, interface, syntaxes) in contexts {
            list.push(*id, *interface, syntaxes);
        }
        let call_id = self.next_call_id();
        let header = Header::new(ptype, PfcFlags::WHOLE, self.drep(), call_id);
        let bind = Bind {
            max_xmit_frag: self.settings.max_frag,
            max_recv_frag: self.settings.max_frag,
            assoc_group_id: 0,
            contexts: list.as_contexts(),
        };
        let body = match ptype {
            PacketType::BIND => Body::Bind(bind),
            _ => Body::AlterContext(bind),
        };
        Pdu::new(header, body).encode(self.transmit.buffer());
    }
}

/// Octets of a request before its object UUID or stub.
const REQUEST_HEAD: usize = 24;

/// PDUs, one by one.
impl ClientAssociation {
    /// Takes one whole PDU.
    fn pdu(&mut self, header: &Header, octets: &Bytes) -> Result<(), ProtocolError> {
        let pdu = Pdu::decode(octets).map_err(ProtocolError::Decode)?;
        if self.waiting == Waiting::Nothing {
            return Err(ProtocolError::Unexpected(header.ptype));
        }
        if header.call_id != self.call_id {
            return Err(ProtocolError::CallId {
                expected: self.call_id,
                found: header.call_id,
            });
        }
        match (&pdu.body, &self.waiting) {
            (Body::BindAck(ack), &Waiting::Bind { offered }) => {
                self.send_limit = fragment::send_limit(ack.max_recv_frag, self.settings.max_frag);
                self.bound(ack, offered)
            }
            (Body::AlterContextResp(ack), &Waiting::Alter { offered }) => self.bound(ack, offered),
            (Body::BindNak(nak), Waiting::Bind { .. }) => {
                self.done(ClientEvent::Refused(nak.reason))
            }
            (Body::Fault(fault), Waiting::Response | Waiting::Alter { .. }) => {
                self.done(ClientEvent::Fault {
                    status: fault.status,
                    did_not_execute: header.flags.contains(PfcFlags::DID_NOT_EXECUTE),
                })
            }
            (Body::Response(response), Waiting::Response) => self.fragment(header, response),
            _ => Err(ProtocolError::Unexpected(header.ptype)),
        }
    }

    /// Takes the results of a bind or alter_context.
    fn bound(&mut self, ack: &BindAck<'_>, offered: usize) -> Result<(), ProtocolError> {
        let results: Vec<_> = ack.results.iter().collect();
        if results.len() != offered {
            let found = results.len();
            return Err(ProtocolError::Results { offered, found });
        }
        self.done(ClientEvent::Bound(results))
    }

    /// Takes one fragment of a response.
    fn fragment(&mut self, header: &Header, response: &Response) -> Result<(), ProtocolError> {
        let order = header.drep.order();
        let first = header.flags.contains(PfcFlags::FIRST_FRAG);
        let (begun, mut stub) = match (self.answer.take(), first) {
            (None, true) => (order, BytesMut::new()),
            (Some(answer), false) => answer,
            _ => return Err(ProtocolError::Fragments),
        };
        if begun != order {
            return Err(ProtocolError::Fragments);
        }
        if stub.len() + response.stub.len() > self.settings.max_answer {
            return Err(ProtocolError::TooLong(self.settings.max_answer));
        }
        stub.extend_from_slice(response.stub);
        if !header.flags.contains(PfcFlags::LAST_FRAG) {
            self.answer = Some((order, stub));
            return Ok(());
        }
        let stub = stub.freeze();
        self.done(ClientEvent::Response { order, stub })
    }

    /// Tells an event; nothing is due any more.
    fn done(&mut self, event: ClientEvent) -> Result<(), ProtocolError> {
        self.waiting = Waiting::Nothing;
        self.answer = None;
        self.events.push_back(event);
        Ok(())
    }
}
