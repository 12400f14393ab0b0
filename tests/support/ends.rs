//! A server's end in memory, and PDUs to send to it, for tests only: no
//! socket, and no clock but the one that the test sets.

// Each test is a crate of its own and uses a part of this.
#![allow(dead_code)]

use bytes::BytesMut;
use epmapper::proto::{Answer, Association, Call, Event, Groups, Security, Served, Settings};
use epmapper::wire::pdu::{Bind, Body, ContextsBuf, Header, PacketType, Pdu, PfcFlags, Request};
use epmapper::wire::status::FaultStatus;
use epmapper::wire::{ByteOrder, SyntaxId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub const BIND_TIMEOUT: Duration = Duration::from_secs(10);
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Where every virtual clock begins.
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// The settings of every server here, ept and mgmt over NDR 2.0.
pub fn settings() -> Settings {
    settings_with(&[SyntaxId::NDR])
}

/// The same over other transfer syntaxes, the preferred one first.
pub fn settings_with(transfer_syntaxes: &[SyntaxId]) -> Settings {
    let served = [SyntaxId::EPT, SyntaxId::MGMT].map(|interface| Served {
        interface,
        transfer_syntaxes: transfer_syntaxes.to_vec(),
    });
    Settings {
        interfaces: Arc::new(served),
        secondary_address: "135".into(),
        max_frag: 5840,
        max_call: 4 << 20,
        max_waiting: 4,
        max_queued: 1 << 20,
        max_contexts: 8,
        security: Security::none(),
        bind_timeout: BIND_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        call_timeout: CALL_TIMEOUT,
    }
}

/// The association groups of one server.
pub type SharedGroups = Rc<RefCell<Groups<()>>>;

/// The group that a server of one connection already has.
pub const GROUP: u32 = 77;

/// The operation that faults with `OP_RNG_ERROR`.
pub const FAULTS: u16 = 99;

/// A server whose operation n answers its own stub n times over, 100 times at
/// most.
pub struct Server {
    pub association: Association,
    /// Octets that have come and were not taken.
    pub input: BytesMut,
    pub now: Instant,
    /// Octets sent at a time, at most.
    pub sends: usize,
    /// The groups that binds asked for.
    pub joins: Vec<u32>,
    pub calls: Vec<Call>,
    pub groups: SharedGroups,
    /// The group that this connection is in.
    pub group: Option<u32>,
}

impl Server {
    /// A server where group [`GROUP`] exists.
    pub fn new(settings: Settings) -> Self {
        let groups = Groups::new(GROUP - 1);
        let server = Server::among(Arc::new(settings), Rc::new(RefCell::new(groups)), start());
        server.groups.borrow_mut().create(());
        server
    }

    /// A server that ept is bound on as context 0, by a bind with these flags.
    pub fn bound(flags: PfcFlags) -> Self {
        let mut server = Server::new(settings());
        let answer = server.exchange(&negotiation(PacketType::BIND, 1, flags));
        assert_eq!(kinds(&answer), [(PacketType::BIND_ACK, 1)]);
        server
    }

    /// One connection of the server that has these groups, accepted at `now`.
    pub fn among(settings: Arc<Settings>, groups: SharedGroups, now: Instant) -> Self {
        Server {
            association: Association::new(settings, now),
            input: BytesMut::new(),
            now,
            sends: usize::MAX,
            joins: Vec::new(),
            calls: Vec::new(),
            groups,
            group: None,
        }
    }

    /// Takes octets in and gives back all that is sent.
    pub fn exchange(&mut self, octets: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(octets);
        let mut sent = Vec::new();
        loop {
            let before = self.input.len();
            self.association.receive(self.now, &mut self.input);
            let mut events = 0;
            while let Some(event) = self.association.poll_event() {
                events += 1;
                self.event(event);
            }
            while let Some(octets) = self.association.poll_transmit() {
                let len = octets.len().min(self.sends);
                sent.extend_from_slice(&octets[..len]);
                self.association.transmitted(len);
                events += 1;
            }
            if before == self.input.len() && events == 0 {
                return sent;
            }
        }
    }

    /// Does what an event asks for.
    pub fn event(&mut self, event: Event) {
        match event {
            Event::Leg(leg) => self.association.leg_taken(leg.take(&[])),
            Event::Join { group } => {
                self.group = self.join(group);
                self.association.joined(self.group);
            }
            Event::Call(call) => {
                self.answer(&call);
                self.calls.push(call);
            }
            #[allow(unreachable_patterns)]
            other => panic!("{other:?} without a provider"),
        }
    }

    /// Answers a call that was handed out.
    pub fn answer(&mut self, call: &Call) {
        let stub = call.stub.repeat(call.opnum.min(100).into());
        let answer = match call.opnum {
            FAULTS => Answer::Fault {
                status: FaultStatus::OP_RNG_ERROR,
                did_not_execute: true,
            },
            _ => Answer::Response(&stub),
        };
        self.association.reply(call, answer);
    }

    fn join(&mut self, asked: u32) -> Option<u32> {
        self.joins.push(asked);
        let mut groups = self.groups.borrow_mut();
        match asked {
            0 => Some(groups.create(())),
            _ => groups.join(asked, |()| true).map(|()| asked),
        }
    }
}

/// The connection leaves its group.
impl Drop for Server {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            self.groups.borrow_mut().leave(group);
        }
    }
}

pub const LITTLE: ByteOrder = ByteOrder::Little;

pub const FIRST: PfcFlags = PfcFlags::FIRST_FRAG;
pub const LAST: PfcFlags = PfcFlags::LAST_FRAG;
pub const WHOLE: PfcFlags = PfcFlags::WHOLE;
pub const MIDDLE: PfcFlags = PfcFlags(0);

/// A little-endian request on context 0.
pub fn request(call_id: u32, flags: PfcFlags, opnum: u16, stub: &[u8]) -> Vec<u8> {
    request_of(call_id, flags, (0, opnum), stub)
}

/// A little-endian request: call id, flags, context and operation, stub.
pub fn request_of(call_id: u32, flags: PfcFlags, target: (u16, u16), stub: &[u8]) -> Vec<u8> {
    request_in(LITTLE, call_id, flags, target, stub)
}

/// A request in a byte order.
pub fn request_in(
    order: ByteOrder,
    call_id: u32,
    flags: PfcFlags,
    (context_id, opnum): (u16, u16),
    stub: &[u8],
) -> Vec<u8> {
    let header = Header::new(PacketType::REQUEST, flags, order.into(), call_id);
    let request = Request {
        alloc_hint: stub.len() as u32,
        context_id,
        opnum,
        object: None,
        stub,
    };
    encode(header, Body::Request(request))
}

/// A co_cancel.
pub fn co_cancel(order: ByteOrder, call_id: u32) -> Vec<u8> {
    let header = Header::new(PacketType::CO_CANCEL, WHOLE, order.into(), call_id);
    encode(header, Body::CoCancel)
}

/// An orphaned.
pub fn orphaned(order: ByteOrder, call_id: u32) -> Vec<u8> {
    let header = Header::new(PacketType::ORPHANED, WHOLE, order.into(), call_id);
    encode(header, Body::Orphaned)
}

/// A bind of ept as context 0 or an alter_context to mgmt as context 1.
pub fn negotiation(ptype: PacketType, call_id: u32, flags: PfcFlags) -> Vec<u8> {
    let is_bind = ptype == PacketType::BIND;
    let (id, interface) = match is_bind {
        true => (0, SyntaxId::EPT),
        false => (1, SyntaxId::MGMT),
    };
    let mut contexts = ContextsBuf::new(LITTLE);
    contexts.push(id, interface, &[SyntaxId::NDR]);
    let bind = Bind {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 0,
        contexts: contexts.as_contexts(),
    };
    let body = match is_bind {
        true => Body::Bind(bind),
        false => Body::AlterContext(bind),
    };
    encode(Header::new(ptype, flags, LITTLE.into(), call_id), body)
}

/// A bind of ept as context 0.
pub fn bind() -> Vec<u8> {
    negotiation(PacketType::BIND, 1, WHOLE)
}

/// An alter_context to mgmt as context 1.
pub fn alter(call_id: u32) -> Vec<u8> {
    negotiation(PacketType::ALTER_CONTEXT, call_id, WHOLE)
}

/// One PDU without a verifier.
pub fn encode(header: Header, body: Body<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    Pdu::new(header, body).encode(&mut octets);
    octets
}

/// The octets of each PDU of a stream, a part of one at the end included.
pub fn frames(octets: &[u8]) -> Vec<&[u8]> {
    let mut rest = octets;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = Header::peek_frag_length(rest).map_or(rest.len(), usize::from);
        let (frame, behind) = rest.split_at(len.clamp(1, rest.len()));
        found.push(frame);
        rest = behind;
    }
    found
}

/// All PDUs of a stream.
pub fn pdus(octets: &[u8]) -> Vec<Pdu<'_>> {
    let frames = frames(octets).into_iter();
    frames
        .map(|frame| Pdu::decode(frame).expect("a whole PDU"))
        .collect()
}

/// What a server answers: type and call id of each PDU.
pub fn kinds(octets: &[u8]) -> Vec<(PacketType, u32)> {
    pdus(octets)
        .iter()
        .map(|pdu| (pdu.header.ptype, pdu.header.call_id))
        .collect()
}

/// The fault at the end of `octets`: call id, status, did not execute.
pub fn fault(octets: &[u8]) -> (u32, FaultStatus, bool) {
    let pdus = pdus(octets);
    let Some(Pdu {
        header,
        body: Body::Fault(fault),
        ..
    }) = pdus.last()
    else {
        panic!("no fault: {pdus:?}");
    };
    let flag = header.flags.contains(PfcFlags::DID_NOT_EXECUTE);
    (header.call_id, fault.status, flag)
}
