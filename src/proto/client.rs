//! One connection of a client: bind, contexts, one call at a time.
//!
//! The same verbs as the server's end. Every bind, alter_context and call is
//! answered by one event, in their order; whoever asks for something next waits
//! for it first. An answer has to be whole `answer_timeout` after it was asked
//! for: octets that come in between do not put that off.
//!
//! A client may say that it authenticates: then the next bind or alter_context
//! carries the first leg of that, and is answered once the last one is through.
//! From then on what a server sends under a security context that signs is
//! checked and unsealed before anything of it is used, and nothing goes on
//! without it. Faults are taken unsigned, since Windows and Samba sign none:
//! whoever can alter octets can have a call fail, and no more.
//!
//! What a server sends is not trusted. An answer has a limit, which is checked
//! before memory is taken, and whatever is out of place ends the association
//! with one [`ClientEvent::Broken`]; from then on nothing is taken or sent.
//!
//! Lenient where real servers differ: a response's context id is not compared
//! (Windows sends its low octet only), alloc_hint, cancel_count, the secondary
//! address, pads and flags other than those of fragments are not looked at, the
//! byte order of an answer need not be the request's, a fragment may be longer
//! than was agreed, and a verifier that nobody asked for is left out.

mod receive;
mod secure;

use super::fragment::{self, Piece};
use super::frame::Violation;
use super::transmit::Transmit;
use crate::wire::drep::ByteOrder;
use crate::wire::input::DecodeError;
use crate::wire::pdu::{
    Bind, Body, ContextAnswer, ContextsBuf, Header, PacketType, Pdu, PfcFlags, Request,
};
use crate::wire::status::{FaultStatus, RejectReason};
use crate::wire::syntax::SyntaxId;
use bytes::{Bytes, BytesMut};
use secure::{Authentication, Opening};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What a client asks for and takes.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// Byte order of everything sent.
    pub order: ByteOrder,
    /// Fragment size offered for both directions; at least 1432.
    pub max_frag: u16,
    /// Octets of one answer's stub at most.
    pub max_answer: usize,
    /// Whether binds say that several calls may be open (CONC_MPX). The machine
    /// has one at a time all the same; it matters to what a server makes of a
    /// call behind an orphaned one.
    pub multiplexing: bool,
    /// From asking for something to the last octet of its answer, at most.
    pub answer_timeout: Duration,
}

impl Default for ClientSettings {
    /// Little-endian, fragments of 5840 octets, answers up to 4 MiB, 30 s each.
    fn default() -> Self {
        ClientSettings {
            order: ByteOrder::Little,
            max_frag: 5840,
            max_answer: 4 << 20,
            multiplexing: false,
            answer_timeout: Duration::from_secs(30),
        }
    }
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A bind or alter_context was answered.
    Bound {
        /// The answers, element by element, as many as were asked for.
        answers: Vec<ContextAnswer>,
        /// What holds for the association; an alter_context changes none of it.
        agreed: Agreed,
    },
    /// A bind_nak: the server refuses, mostly a bind, and closes. Nothing more
    /// is taken or sent.
    Refused(RejectReason),
    /// A call was answered.
    Response {
        /// Byte order of the stub.
        order: ByteOrder,
        /// The stub, all fragments joined.
        stub: Bytes,
    },
    /// A bind, an alter_context or a call was answered with a fault; what had
    /// come of a response does not count.
    Fault {
        /// Its status.
        status: FaultStatus,
        /// Whether the operation was not entered at all.
        did_not_execute: bool,
    },
    /// The association has come to an end; told again to whoever asks for
    /// something afterwards.
    Broken(ProtocolError),
}

/// What the bind agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The association group; another connection joins it by this id.
    pub group: u32,
    /// The longest fragment that the client sends: what the server takes, as
    /// far as the client offered it, and not below 1432.
    pub max_xmit_frag: u16,
    /// The longest fragment that the server says it sends.
    pub max_recv_frag: u16,
    /// Whether several calls may be open.
    pub multiplexing: bool,
}

/// Why an association has come to its end.
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
    /// The server asks to end the association: shutdown.
    #[error("the server ends the association")]
    Shutdown,
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
    /// The answer was not whole in time.
    #[error("no whole answer in time")]
    Timeout,
    /// This end asked for something while the answer to something else was due.
    #[error("asked for something before the last answer had come")]
    Busy,
    /// This end offered more than one bind or alter_context can hold.
    #[error("more presentation contexts or transfer syntaxes than a PDU can hold")]
    Contexts,
    /// The server answers without the token that is due, or something was asked
    /// for before there was an authentication.
    #[error("the server does not authenticate")]
    Unauthenticated,
    /// A verifier of another type, level or id than was asked for.
    #[error("a verifier of another security context")]
    Verifier,
    /// A response without a verifier where each has one.
    #[error("a response that is not signed")]
    Unsigned,
    /// The signature of a response is not the server's, or not this response's.
    #[error("the signature of a response does not fit")]
    Signature,
    /// A token of the server that cannot be taken.
    #[error("the server's token is not one that may come here: {0}")]
    Token(&'static str),
    /// The logon came to nothing at this end.
    #[error("the logon is refused: {0}")]
    Denied(&'static str),
    /// The security context can sign no more.
    #[error("the security context can sign no more")]
    Expired,
}

/// What the client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// No answer is due.
    Nothing,
    /// The answer to a bind of that many contexts, or to its authentication.
    Bind { offered: usize },
    /// The answer to an alter_context of that many contexts.
    Alter { offered: usize },
    /// The answer to a call.
    Response,
}

/// A presentation context that the server accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    /// Its id.
    id: u16,
    /// What it is of.
    interface: SyntaxId,
    /// How its stubs are written.
    transfer_syntax: SyntaxId,
}

/// The client's end of one connection.
#[derive(Debug)]
pub struct ClientAssociation {
    /// What is asked for and taken.
    settings: ClientSettings,
    /// What the server owes.
    waiting: Waiting,
    /// When it has to be there.
    deadline: Option<Instant>,
    /// The last call id used.
    call_id: u32,
    /// What the bind agreed on.
    agreed: Agreed,
    /// The contexts that were offered last: id and interface.
    offered: Vec<(u16, SyntaxId)>,
    /// The contexts that were accepted.
    contexts: Vec<Accepted>,
    /// How this end shows who it is, if it does.
    authentication: Option<Authentication>,
    /// The answer that is not complete, and its byte order.
    answer: Option<(ByteOrder, BytesMut)>,
    /// Calls given up whose answers may still come, the last `MAX_ORPHANS` of
    /// them: many servers answer none.
    orphans: VecDeque<u32>,
    /// What happened and was not asked for yet.
    events: VecDeque<ClientEvent>,
    /// Why nothing more is taken or sent.
    ended: Option<ProtocolError>,
    /// What is to be sent.
    transmit: Transmit,
}

impl ClientAssociation {
    /// A connection on which nothing was sent yet.
    pub fn new(settings: ClientSettings) -> Self {
        ClientAssociation {
            settings,
            waiting: Waiting::Nothing,
            deadline: None,
            call_id: 0,
            agreed: Agreed {
                group: 0,
                max_xmit_frag: fragment::MUST_RECV_FRAG,
                max_recv_frag: fragment::MUST_RECV_FRAG,
                multiplexing: false,
            },
            offered: Vec::new(),
            contexts: Vec::new(),
            authentication: None,
            answer: None,
            orphans: VecDeque::new(),
            events: VecDeque::new(),
            ended: None,
            transmit: Transmit::default(),
        }
    }

    /// Sends a bind that offers `contexts`: id, interface, transfer syntaxes.
    ///
    /// `group` is the association group to join, 0 for a new one. Answered by
    /// `Bound`, `Refused` or `Fault`.
    pub fn bind(&mut self, now: Instant, group: u32, contexts: &[(u16, SyntaxId, &[SyntaxId])]) {
        let offered = contexts.len();
        if self.begin(now, Waiting::Bind { offered }) {
            self.negotiate(PacketType::BIND, group, contexts);
        }
    }

    /// Sends an alter_context that offers more contexts.
    ///
    /// Answered by `Bound`, `Fault` or `Refused`.
    pub fn alter(&mut self, now: Instant, contexts: &[(u16, SyntaxId, &[SyntaxId])]) {
        let offered = contexts.len();
        if self.begin(now, Waiting::Alter { offered }) {
            self.negotiate(PacketType::ALTER_CONTEXT, self.agreed.group, contexts);
        }
    }

    /// Sends a call on a bound context, in as many fragments as it takes.
    ///
    /// Answered by `Response`, `Fault` or `Refused`.
    pub fn call(
        &mut self,
        now: Instant,
        context_id: u16,
        opnum: u16,
        object: Option<Uuid>,
        stub: &[u8],
    ) {
        if !self.begin(now, Waiting::Response) {
            return;
        }
        let call = Asked {
            context_id,
            opnum,
            object,
        };
        if self.authentication.is_some() {
            self.authenticated_call(&call, stub);
        } else {
            for piece in fragment::split(stub, self.agreed.max_xmit_frag, call.head()) {
                self.put(PacketType::REQUEST, piece.flags, call.body(&piece));
            }
        }
    }

    /// Asks the server to cancel the call under way: co_cancel; nothing when
    /// there is none. Its answer is due all the same.
    ///
    /// # Source
    /// C706 12.6.4.6.
    pub fn cancel(&mut self) {
        if self.waiting == Waiting::Response {
            self.put(PacketType::CO_CANCEL, PfcFlags::WHOLE, Body::CoCancel);
        }
    }

    /// Gives up the call under way: orphaned; nothing when there is none.
    ///
    /// No event tells of it any more: what still comes of its answer is dropped,
    /// and another call may be made at once. A server that did not agree to
    /// keep the connection (MS-RPCE 2.2.2.14) may close it.
    ///
    /// # Source
    /// C706 12.6.4.8.
    pub fn orphan(&mut self) {
        if self.waiting == Waiting::Response {
            self.put(PacketType::ORPHANED, PfcFlags::WHOLE, Body::Orphaned);
            self.orphans.push_back(self.call_id);
            if self.orphans.len() > MAX_ORPHANS {
                self.orphans.pop_front();
            }
            self.answered();
        }
    }

    /// Tells that the server's octets have come to their end, also within a PDU.
    ///
    /// Ends the association: with an event where an answer is due, else with the
    /// next thing asked for.
    pub fn peer_closed(&mut self) {
        match self.waiting {
            Waiting::Nothing => self.stop(ProtocolError::Closed),
            _ => self.end(ProtocolError::Closed),
        }
    }

    /// Whether the association has come to its end.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// When the answer that is due has to be there.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends the association once the time for an answer is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.end(ProtocolError::Timeout);
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
}

/// A call that is asked for.
#[derive(Clone, Copy)]
struct Asked {
    /// The context that it is made on.
    context_id: u16,
    /// The operation.
    opnum: u16,
    /// The object UUID of the header.
    object: Option<Uuid>,
}

impl Asked {
    /// Octets of a request before its stub.
    fn head(&self) -> usize {
        REQUEST_HEAD + self.object.map_or(0, |_| 16)
    }

    /// One fragment of it.
    fn body<'a>(&self, piece: &Piece<'a>) -> Body<'a> {
        Body::Request(Request {
            alloc_hint: piece.alloc_hint,
            context_id: self.context_id,
            opnum: self.opnum,
            object: self.object,
            stub: piece.stub,
        })
    }
}

/// Calls given up whose answers are known when they come, at most; an answer to
/// one before them ends the association.
const MAX_ORPHANS: usize = 1024;

/// Octets of a request before its object UUID or stub.
const REQUEST_HEAD: usize = 24;

/// Octets of a bind or alter_context before its contexts.
const BIND_HEAD: usize = 28;

/// Octets of a context before its transfer syntaxes.
const CONTEXT_HEAD: usize = 4 + SyntaxId::LEN;

impl ClientAssociation {
    /// Whether something may be asked for; then a new call id and the time for
    /// its answer begin.
    fn begin(&mut self, now: Instant, waiting: Waiting) -> bool {
        match (self.ended, self.waiting) {
            (Some(error), _) => self.events.push_back(ClientEvent::Broken(error)),
            (None, Waiting::Nothing) => {
                self.waiting = waiting;
                // A timeout that no clock reaches is none.
                self.deadline = now.checked_add(self.settings.answer_timeout);
                // Binds, alter_contexts and calls share one row.
                self.call_id = self.call_id.wrapping_add(1);
                return true;
            }
            // Two calls under way would leave open whose answer it is.
            (None, _) => self.end(ProtocolError::Busy),
        }
        false
    }

    /// Nothing is due any more.
    fn answered(&mut self) {
        self.waiting = Waiting::Nothing;
        self.deadline = None;
        self.answer = None;
    }

    /// Nothing more is taken or sent.
    fn stop(&mut self, error: ProtocolError) {
        if self.ended.is_none() {
            self.answered();
            self.orphans = VecDeque::new();
            self.transmit = Transmit::default();
            self.ended = Some(error);
        }
    }

    /// The same, told by an event.
    fn end(&mut self, error: ProtocolError) {
        self.stop(error);
        self.events.push_back(ClientEvent::Broken(error));
    }

    /// The header of a PDU of the call under way.
    fn header(&self, ptype: PacketType, flags: PfcFlags) -> Header {
        Header::new(ptype, flags, self.settings.order.into(), self.call_id)
    }

    /// Appends a PDU of the call under way.
    fn put(&mut self, ptype: PacketType, flags: PfcFlags, body: Body<'_>) {
        Pdu::new(self.header(ptype, flags), body).encode(self.transmit.buffer());
    }

    /// Asks for presentation contexts, with the first token of an
    /// authentication if there is to be one.
    fn negotiate(
        &mut self,
        ptype: PacketType,
        group: u32,
        contexts: &[(u16, SyntaxId, &[SyntaxId])],
    ) {
        let Some((list, length)) = list(self.settings.order, contexts) else {
            return self.end(ProtocolError::Contexts);
        };
        let offered = contexts.iter().map(|(id, interface, _)| (*id, *interface));
        self.offered = offered.collect();
        let opening = Opening {
            ptype,
            group,
            list,
            length,
        };
        if let Some(opening) = self.withhold(opening) {
            self.open(&opening, None);
        }
    }

    /// Appends a bind or alter_context, with a leg of the authentication.
    fn open(&mut self, opening: &Opening, token: Option<&[u8]>) {
        let verifier = token.zip(self.authentication.as_ref());
        let verifier = verifier.map(|(token, authentication)| authentication.verifier(token));
        let bind = Bind {
            max_xmit_frag: self.settings.max_frag,
            max_recv_frag: self.settings.max_frag,
            assoc_group_id: opening.group,
            contexts: opening.list.as_contexts(),
        };
        let body = match opening.ptype {
            PacketType::BIND => Body::Bind(bind),
            _ => Body::AlterContext(bind),
        };
        let mut flags = PfcFlags::WHOLE;
        if opening.ptype == PacketType::BIND && self.settings.multiplexing {
            flags = flags.with(PfcFlags::CONC_MPX);
        }
        if verifier.is_some() && self.asks_for_signed_headers() {
            flags = flags.with(PfcFlags::PENDING_CANCEL);
        }
        // Every body ends at a multiple of 4 octets, where a verifier may start.
        let pdu = Pdu {
            auth: verifier,
            ..Pdu::new(self.header(opening.ptype, flags), body)
        };
        pdu.encode(self.transmit.buffer());
    }
}

/// The contexts as they are sent, and octets of a PDU with them; `None` when
/// one cannot hold them.
fn list(
    order: ByteOrder,
    contexts: &[(u16, SyntaxId, &[SyntaxId])],
) -> Option<(ContextsBuf, usize)> {
    let mut list = ContextsBuf::new(order);
    let mut length = BIND_HEAD;
    for (id, interface, syntaxes) in contexts {
        length += CONTEXT_HEAD + syntaxes.len() * SyntaxId::LEN;
        if length > usize::from(u16::MAX) || !list.push(*id, *interface, syntaxes) {
            return None;
        }
    }
    Some((list, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::drep::DataRepresentation;
    use crate::wire::pdu::{BindAck, Fault, Response, ResultsBuf};
    use crate::wire::status::{ContextResult, ProviderReason};

    /// One context in NDR 2.0.
    pub(super) const EPT: (u16, SyntaxId, &[SyntaxId]) = (0, SyntaxId::EPT, &[SyntaxId::NDR]);

    /// The group of every server here.
    const GROUP: u32 = 9;

    pub(super) fn client() -> ClientAssociation {
        ClientAssociation::new(ClientSettings::default())
    }

    /// A client whose bind was accepted; its call id was 1.
    pub(super) fn bound(settings: ClientSettings, max_recv_frag: u16) -> ClientAssociation {
        let mut client = ClientAssociation::new(settings);
        client.bind(Instant::now(), 0, &[EPT]);
        receive(&mut client, &accepted(1, max_recv_frag));
        assert!(matches!(
            client.poll_event(),
            Some(ClientEvent::Bound { .. })
        ));
        sent(&mut client);
        client
    }

    /// A client whose call 2 is under way.
    pub(super) fn calling() -> ClientAssociation {
        let mut client = bound(ClientSettings::default(), 5840);
        client.call(Instant::now(), 0, 1, None, b"stub");
        client
    }

    /// Hands octets over; all have to be taken.
    pub(super) fn receive(client: &mut ClientAssociation, octets: &[u8]) {
        let mut octets = BytesMut::from(octets);
        client.receive(&mut octets);
        assert!(octets.is_empty(), "{} octets left", octets.len());
    }

    /// All that is to be sent.
    pub(super) fn sent(client: &mut ClientAssociation) -> Vec<u8> {
        let octets = client.poll_transmit().unwrap_or_default().to_vec();
        client.transmitted(octets.len());
        octets
    }

    /// A PDU of a server.
    pub(super) fn pdu(ptype: PacketType, flags: u8, call_id: u32, body: Body<'_>) -> Vec<u8> {
        let drep = DataRepresentation::LITTLE;
        let header = Header::new(ptype, PfcFlags(flags), drep, call_id);
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        octets
    }

    /// A bind_ack that accepts one context.
    pub(super) fn accepted(call_id: u32, max_recv_frag: u16) -> Vec<u8> {
        answered(PacketType::BIND_ACK, call_id, max_recv_frag, 1)
    }

    /// A bind_ack or alter_context_resp with so many acceptances.
    pub(super) fn answered(ptype: PacketType, call_id: u32, frag: u16, count: usize) -> Vec<u8> {
        let mut results = ResultsBuf::new(ByteOrder::Little);
        for _ in 0..count {
            results.push(ContextAnswer {
                result: ContextResult::ACCEPTANCE,
                reason: ProviderReason::NOT_SPECIFIED,
                transfer_syntax: SyntaxId::NDR,
            });
        }
        let ack = BindAck {
            max_xmit_frag: 4280,
            max_recv_frag: frag,
            assoc_group_id: GROUP,
            secondary_address: b"135\0",
            secondary_pad: &[0xde, 0xad],
            results: results.as_results(),
        };
        let body = match ptype {
            PacketType::BIND_ACK => Body::BindAck(ack),
            _ => Body::AlterContextResp(ack),
        };
        pdu(ptype, 3, call_id, body)
    }

    /// A fragment of a response.
    pub(super) fn response(call_id: u32, flags: u8, stub: &[u8]) -> Vec<u8> {
        let response = Response {
            alloc_hint: u32::MAX,
            context_id: 0x7f,
            cancel_count: 3,
            reserved: 1,
            stub,
        };
        pdu(
            PacketType::RESPONSE,
            flags,
            call_id,
            Body::Response(response),
        )
    }

    /// A fault.
    pub(super) fn fault(call_id: u32) -> Vec<u8> {
        let fault = Fault::new(0, FaultStatus::OP_RNG_ERROR);
        pdu(PacketType::FAULT, 0x23, call_id, Body::Fault(fault))
    }

    /// The packet type, flags and call id of all PDUs in `octets`.
    fn heads(octets: &[u8]) -> Vec<(PacketType, u8, u32)> {
        pdus(octets)
            .iter()
            .map(|pdu| (pdu.header.ptype, pdu.header.flags.0, pdu.header.call_id))
            .collect()
    }

    /// All PDUs in `octets`.
    fn pdus(mut octets: &[u8]) -> Vec<Pdu<'_>> {
        let mut found = Vec::new();
        while let Some(length) = Header::peek_frag_length(octets) {
            let (pdu, rest) = octets.split_at(length.into());
            found.push(Pdu::decode(pdu).unwrap());
            octets = rest;
        }
        found
    }

    #[test]
    fn a_bind_tells_order_sizes_group_and_multiplexing() {
        for (multiplexing, flags) in [(false, 0x03), (true, 0x13)] {
            let mut client = ClientAssociation::new(ClientSettings {
                order: ByteOrder::Big,
                max_frag: 4280,
                multiplexing,
                ..ClientSettings::default()
            });
            client.bind(Instant::now(), 7, &[EPT]);
            let octets = sent(&mut client);
            assert_eq!(heads(&octets), [(PacketType::BIND, flags, 1)]);
            let Body::Bind(bind) = pdus(&octets)[0].body else {
                panic!("no bind");
            };
            let sizes = (bind.max_xmit_frag, bind.max_recv_frag);
            assert_eq!((sizes, bind.assoc_group_id), ((4280, 4280), 7));
            assert_eq!(octets[4], 0, "big-endian");
        }
    }

    #[test]
    fn an_alter_context_names_the_group_of_the_bind() {
        let mut client = bound(ClientSettings::default(), 5840);
        client.alter(Instant::now(), &[EPT, EPT]);
        let octets = sent(&mut client);
        assert_eq!(heads(&octets), [(PacketType::ALTER_CONTEXT, 0x03, 2)]);
        let Body::AlterContext(alter) = pdus(&octets)[0].body else {
            panic!("no alter_context");
        };
        assert_eq!((alter.assoc_group_id, alter.contexts.len()), (GROUP, 2));
    }

    #[test]
    fn a_call_goes_in_fragments_that_the_server_takes() {
        let stub: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        for (told, longest) in [(5840, 5840), (1432, 1432), (2000, 2000), (0, 1432)]
            .into_iter()
            .chain([(1, 1432), (u16::MAX, 5840)])
        {
            for object in [None, Some(Uuid::from_u128(5))] {
                let mut client = bound(ClientSettings::default(), told);
                client.call(Instant::now(), 3, 4, object, &stub);
                let octets = sent(&mut client);
                let mut joined = Vec::<u8>::new();
                for pdu in pdus(&octets) {
                    assert!(pdu.header.frag_length <= longest, "{longest}: {pdu:?}");
                    let Body::Request(request) = pdu.body else {
                        panic!("no request");
                    };
                    let target = (request.context_id, request.opnum, request.object);
                    assert_eq!(target, (3, 4, object));
                    joined.extend(request.stub);
                }
                assert_eq!(joined, stub);
            }
        }
    }

    #[test]
    fn what_is_asked_while_an_answer_is_due_ends_the_association() {
        let asks: [fn(&mut ClientAssociation); 3] = [
            |client| client.bind(Instant::now(), 0, &[EPT]),
            |client| client.alter(Instant::now(), &[EPT]),
            |client| client.call(Instant::now(), 0, 2, None, b""),
        ];
        for ask in asks {
            let mut client = calling();
            ask(&mut client);
            assert_ended(&mut client, ProtocolError::Busy);
        }
    }

    /// Asserts that the one event is the end, and that there is nothing after it.
    #[track_caller]
    pub(super) fn assert_ended(client: &mut ClientAssociation, error: ProtocolError) {
        assert_eq!(client.poll_event(), Some(ClientEvent::Broken(error)));
        assert_over(client);
        client.call(Instant::now(), 0, 1, None, b"");
        assert_eq!(client.poll_event(), Some(ClientEvent::Broken(error)));
        assert_over(client);
    }

    /// Asserts that nothing is taken, sent, told or waited for.
    #[track_caller]
    pub(super) fn assert_over(client: &mut ClientAssociation) {
        let answer = [response(2, 3, b"late"), accepted(1, 5840)].concat();
        let mut octets = BytesMut::from(&answer[..]);
        client.receive(&mut octets);
        client.peer_closed();
        client.cancel();
        client.orphan();
        assert_eq!(octets.len(), answer.len());
        assert_eq!(client.poll_event(), None);
        assert_eq!(client.poll_transmit(), None);
        assert_eq!(client.poll_timeout(), None);
    }

    #[test]
    fn cancel_and_orphaned_name_the_call_under_way() {
        let mut client = calling();
        sent(&mut client);
        client.cancel();
        client.orphan();
        assert_eq!(
            heads(&sent(&mut client)),
            [(PacketType::CO_CANCEL, 3, 2), (PacketType::ORPHANED, 3, 2)]
        );
        assert_eq!(client.poll_timeout(), None);
    }

    #[test]
    fn without_a_call_there_is_nothing_to_cancel_or_give_up() {
        let mut binding = client();
        binding.bind(Instant::now(), 0, &[EPT]);
        for mut client in [client(), binding, bound(ClientSettings::default(), 5840)] {
            sent(&mut client);
            client.cancel();
            client.orphan();
            assert_eq!(client.poll_transmit(), None);
        }
    }

    #[test]
    fn an_answer_has_to_be_whole_in_time_whatever_comes_in_between() {
        let start = Instant::now();
        let time = ClientSettings::default().answer_timeout;
        let mut client = bound(ClientSettings::default(), 5840);
        assert_eq!(client.poll_timeout(), None);
        client.call(start, 0, 1, None, b"");
        receive(&mut client, &response(2, 1, b"part"));
        assert_eq!(client.poll_timeout(), Some(start + time));
        client.handle_timeout(start + time - Duration::from_nanos(1));
        assert_eq!(client.poll_event(), None);
        client.handle_timeout(start + time);
        assert_ended(&mut client, ProtocolError::Timeout);
    }

    #[test]
    fn binds_and_alter_contexts_have_a_deadline_too() {
        let start = Instant::now();
        let later = start + ClientSettings::default().answer_timeout;
        let mut binding = client();
        binding.bind(start, 0, &[EPT]);
        let mut altering = bound(ClientSettings::default(), 5840);
        altering.alter(start, &[EPT]);
        for mut client in [binding, altering] {
            assert_eq!(client.poll_timeout(), Some(later));
            client.handle_timeout(later);
            assert_ended(&mut client, ProtocolError::Timeout);
        }
    }

    #[test]
    fn a_timeout_that_no_clock_reaches_is_none() {
        let mut client = ClientAssociation::new(ClientSettings {
            answer_timeout: Duration::MAX,
            ..ClientSettings::default()
        });
        client.bind(Instant::now(), 0, &[EPT]);
        assert_eq!(client.poll_timeout(), None);
    }

    #[test]
    fn the_end_of_the_stream_is_told_where_an_answer_is_due() {
        let mut binding = client();
        binding.bind(Instant::now(), 0, &[EPT]);
        let mut altering = bound(ClientSettings::default(), 5840);
        altering.alter(Instant::now(), &[EPT]);
        let mut half = calling();
        receive(&mut half, &response(2, 1, b"part"));
        for mut client in [binding, altering, calling(), half] {
            client.peer_closed();
            assert_ended(&mut client, ProtocolError::Closed);
        }
    }

    #[test]
    fn the_end_of_the_stream_is_told_to_who_asks_next_where_nothing_is_due() {
        let mut orphaned = calling();
        orphaned.orphan();
        for mut client in [client(), bound(ClientSettings::default(), 5840), orphaned] {
            client.peer_closed();
            assert_over(&mut client);
            client.bind(Instant::now(), 0, &[EPT]);
            assert_ended(&mut client, ProtocolError::Closed);
        }
    }

    #[test]
    fn more_contexts_than_a_pdu_holds_are_not_sent() {
        let syntaxes = [SyntaxId::NDR; 256];
        let long = (0, SyntaxId::EPT, &syntaxes[..255]);
        for contexts in [
            vec![EPT; 256],
            vec![(0, SyntaxId::EPT, &syntaxes[..])],
            vec![long; 13],
        ] {
            let mut client = client();
            client.bind(Instant::now(), 0, &contexts);
            assert_ended(&mut client, ProtocolError::Contexts);
        }
        let mut client = client();
        client.bind(Instant::now(), 0, &[long; 12]);
        assert_eq!(pdus(&sent(&mut client)).len(), 1);
    }
}
