//! A connection to the server, and what its answers have to be.

use crate::octets::*;
use crate::peer::Peer;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer may take; nothing waits for it unless the server is silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that does one thing at a time.
pub struct Connection(Peer);

/// A PDU of the server.
pub struct Answer {
    pub octets: Vec<u8>,
    /// The byte order of its label, which need not be that of the call.
    pub order: Order,
}

/// What a bind_ack or alter_context_resp says.
#[derive(Debug)]
pub struct Ack {
    pub flags: u8,
    pub max_xmit: u16,
    pub max_recv: u16,
    pub group: u32,
    pub address: Vec<u8>,
    /// Octets between the address and the results.
    pub pad: Vec<u8>,
    pub results: Vec<(u16, u16)>,
    pub syntaxes: Vec<Syntax>,
}

/// What a fault has to say.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    call: u32,
    context: u16,
    status: u32,
    did_not_execute: bool,
}

/// A fault without the flag that nothing was executed.
pub fn fault(call: u32, context: u16, status: u32) -> Fault {
    Fault {
        call,
        context,
        status,
        did_not_execute: false,
    }
}

impl Fault {
    /// With the flag that nothing was executed.
    pub fn unexecuted(self) -> Fault {
        Fault {
            did_not_execute: true,
            ..self
        }
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        let peer = Peer::connect(address);
        peer.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.stream.set_nodelay(true).unwrap();
        Connection(peer)
    }

    pub fn send(&mut self, pdu: &Pdu) {
        self.send_octets(&pdu.octets());
    }

    /// Sends; what cannot be sent since the server has closed shows in what is read next.
    pub fn send_octets(&mut self, octets: &[u8]) {
        self.0.try_send(octets);
    }

    /// The next PDU of the server.
    pub fn answer(&mut self) -> Answer {
        let octets = self.0.pdu_or_end();
        Answer::of(octets.expect("an answer, but the server has closed"))
    }

    /// Nothing more comes, and the server has closed.
    #[track_caller]
    pub fn expect_end(&mut self) {
        if let Some(octets) = self.0.pdu_or_end() {
            panic!("not closed, but: {octets:02x?}");
        }
    }

    /// A bind_nak or a fault, or nothing; then the end.
    #[track_caller]
    pub fn expect_end_whatever_comes(&mut self) {
        if let Some(octets) = self.0.pdu_or_end() {
            let ptype = Answer::of(octets).ptype();
            assert!([BIND_NAK, FAULT].contains(&ptype), "packet type {ptype}");
            self.expect_end();
        }
    }

    /// Ends it, and waits until the server has, too.
    pub fn leave(mut self) {
        self.0.leave();
    }

    /// The positive answer to a bind or alter_context.
    #[track_caller]
    pub fn ack(&mut self, asked: &Pdu) -> Ack {
        let answer = self.answer();
        let expected = match asked.ptype {
            BIND => BIND_ACK,
            _ => ALTER_CONTEXT_RESP,
        };
        answer.check(expected, asked.call);
        answer.ack()
    }

    /// Sends a bind or alter_context and gives the results of its elements.
    #[track_caller]
    pub fn negotiate(&mut self, pdu: &Pdu) -> Vec<(u16, u16)> {
        self.send(pdu);
        self.ack(pdu).results
    }

    /// A bind_nak with this reason as the answer to `asked`, then the end.
    #[track_caller]
    pub fn expect_nak(&mut self, asked: &Pdu, reason: u16) {
        let answer = self.answer();
        answer.check(BIND_NAK, asked.call);
        assert_eq!(answer.flags(), WHOLE, "flags of a bind_nak");
        assert_eq!(answer.u16(16), reason, "reason of a bind_nak");
        self.expect_end();
    }

    /// A fault, after which the connection lives.
    #[track_caller]
    pub fn expect_fault(&mut self, expected: Fault) {
        let answer = self.answer();
        answer.check(FAULT, expected.call);
        let flags = answer.flags() & !DID_NOT_EXECUTE;
        assert_eq!(flags, WHOLE, "flags of a fault");
        let status = answer.u32(24);
        assert_eq!(status, expected.status, "status {status:#x}");
        let unexecuted = answer.flags() & DID_NOT_EXECUTE != 0;
        assert_eq!(unexecuted, expected.did_not_execute, "did not execute");
        assert_eq!(answer.u16(20), expected.context, "context of a fault");
        assert_eq!(answer.octets[22], 0, "cancel count");
        assert_eq!(answer.u32(28), 0, "reserved");
        if answer.octets[23] & 1 == 0 {
            assert_eq!(answer.octets.len(), 32, "octets of a fault");
        }
    }

    /// A fault, then the end.
    #[track_caller]
    pub fn expect_last_fault(&mut self, expected: Fault) {
        self.expect_fault(expected);
        self.expect_end();
    }

    /// A response in one fragment; its stub.
    #[track_caller]
    pub fn expect_response(&mut self, call: u32, context: u16) -> Vec<u8> {
        let answer = self.answer();
        answer.check(RESPONSE, call);
        assert_eq!(answer.flags(), WHOLE, "flags of a response");
        assert_eq!(answer.u16(20), context & 0xff, "context of a response");
        assert_eq!(answer.octets[22..24], [0, 0], "cancel count, reserved");
        answer.octets[REQUEST_HEAD..].to_vec()
    }

    /// The fragments of a response.
    #[track_caller]
    pub fn response_fragments(&mut self, call: u32) -> Vec<Answer> {
        let mut fragments = Vec::new();
        loop {
            let answer = self.answer();
            answer.check(RESPONSE, call);
            let is_last = answer.flags() & LAST != 0;
            fragments.push(answer);
            if is_last {
                return fragments;
            }
        }
    }

    /// The stub of a response in any number of fragments.
    #[track_caller]
    pub fn response(&mut self, call: u32) -> Vec<u8> {
        let fragments = self.response_fragments(call);
        let stubs = fragments.iter().map(|f| &f.octets[REQUEST_HEAD..]);
        stubs.collect::<Vec<_>>().concat()
    }

    /// A call of the management interface is answered, and nothing comes before its answer.
    #[track_caller]
    pub fn expect_alive(&mut self, context: u16) {
        const CALL: u32 = 0x0a11_7e00;
        self.send(&request(CALL, context, IS_LISTENING, vec![]));
        let stub = self.expect_response(CALL, context);
        assert_eq!(
            stub.len(),
            8,
            "status and the result of is_server_listening"
        );
    }
}

impl Answer {
    /// Checks what holds for every PDU of a server.
    #[track_caller]
    fn of(octets: Vec<u8>) -> Answer {
        assert_eq!(octets[..2], [5, 0], "version: {octets:02x?}");
        let label = &octets[4..8];
        let order = BOTH_ORDERS.into_iter().find(|order| order.label() == label);
        let order = order.unwrap_or_else(|| panic!("label {label:02x?}"));
        assert_eq!(octets[3] & RESERVED_FLAG, 0, "reserved flag");
        let answer = Answer { octets, order };
        assert_eq!(usize::from(answer.u16(8)), answer.octets.len());
        assert_eq!(answer.u16(10), 0, "auth_length");
        answer
    }

    #[track_caller]
    pub fn check(&self, ptype: u8, call: u32) {
        let found = (self.ptype(), self.u32(12));
        assert_eq!(
            found,
            (ptype, call),
            "packet type and call id of {:02x?}",
            self.octets
        );
    }

    pub fn ptype(&self) -> u8 {
        self.octets[2]
    }

    pub fn flags(&self) -> u8 {
        self.octets[3]
    }

    pub fn u16(&self, at: usize) -> u16 {
        let octets = self.octets[at..at + 2].try_into().unwrap();
        match self.order {
            Order::Little => u16::from_le_bytes(octets),
            Order::Big => u16::from_be_bytes(octets),
        }
    }

    pub fn u32(&self, at: usize) -> u32 {
        let octets = self.octets[at..at + 4].try_into().unwrap();
        match self.order {
            Order::Little => u32::from_le_bytes(octets),
            Order::Big => u32::from_be_bytes(octets),
        }
    }

    fn syntax(&self, at: usize) -> Syntax {
        let mut uuid: [u8; 16] = self.octets[at..at + 16].try_into().unwrap();
        if self.order == Order::Little {
            uuid[..4].reverse();
            uuid[4..6].reverse();
            uuid[6..8].reverse();
        }
        let version = self.u32(at + 16);
        Syntax {
            uuid: u128::from_be_bytes(uuid),
            major: version as u16,
            minor: (version >> 16) as u16,
        }
    }

    /// Reads a bind_ack or alter_context_resp to its very end.
    fn ack(&self) -> Ack {
        let length = usize::from(self.u16(24));
        let address = 26..26 + length;
        let results = address.end.next_multiple_of(4);
        let count = usize::from(self.octets[results]);
        assert_eq!(self.octets[results + 1..results + 4], [0, 0, 0], "reserved");
        assert_eq!(
            self.octets.len(),
            results + 4 + 24 * count,
            "octets of {count} results"
        );
        let result = |index| results + 4 + 24 * index;
        Ack {
            flags: self.flags(),
            max_xmit: self.u16(16),
            max_recv: self.u16(18),
            group: self.u32(20),
            pad: self.octets[address.end..results].to_vec(),
            address: self.octets[address].to_vec(),
            results: (0..count)
                .map(|i| (self.u16(result(i)), self.u16(result(i) + 2)))
                .collect(),
            syntaxes: (0..count).map(|i| self.syntax(result(i) + 4)).collect(),
        }
    }
}
