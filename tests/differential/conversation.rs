//! What is said to a server: steps in an order, each some octets on one of the conversation's connections.

use crate::pdus;
use epmapper::wire::pdu::{Bind, Body, Header, PacketType, Pdu, PfcFlags, Request};
use epmapper::wire::{ByteOrder, SyntaxId};
use std::fmt;

/// A conversation with one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// What it is about, or the seed that it was made from.
    pub name: String,
    pub steps: Vec<Step>,
    /// Each connection's octets are written at once, and then the answers read.
    pub is_pipelined: bool,
}

/// What is written at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which connection, from 0.
    pub connection: usize,
    pub octets: Vec<u8>,
    /// What is put in before it is sent.
    pub fills: Vec<Fill>,
}

/// Octets that only the server's answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Where they stand in the step's octets.
    pub offset: usize,
    pub what: Filling,
}

/// What to put in; zeros when there was no such answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// The association group of a connection, 4 octets; of one that was closed a new one.
    Group { connection: usize },
    /// The context handle in the response to a step, 20 octets.
    Handle { step: usize },
}

/// A PDU as the server reads it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The step that completes it.
    pub step: usize,
    pub header: Header,
    pub octets: Vec<u8>,
    /// Whether the octets are as many as the header says.
    pub is_whole: bool,
}

impl Step {
    /// A step on the first connection.
    pub fn new(octets: Vec<u8>) -> Step {
        Step {
            connection: 0,
            octets,
            fills: Vec::new(),
        }
    }

    /// The same on another connection.
    pub fn on(mut self, connection: usize) -> Step {
        self.connection = connection;
        self
    }

    /// The same with something put in.
    pub fn fill(mut self, offset: usize, what: Filling) -> Step {
        self.fills.push(Fill { offset, what });
        self
    }
}

impl Conversation {
    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.steps
            .iter()
            .map(|step| step.connection + 1)
            .max()
            .unwrap_or(0)
    }

    /// The first steps only.
    pub fn prefix(&self, steps: usize) -> Conversation {
        Conversation {
            steps: self.steps[..steps].to_vec(),
            ..self.clone()
        }
    }

    /// The PDUs of a connection, as their lengths cut them.
    pub fn sent(&self, connection: usize) -> Vec<Sent> {
        let mut octets = Vec::new();
        let mut found = Vec::new();
        for (step, at) in self.steps.iter().enumerate() {
            if at.connection != connection {
                continue;
            }
            octets.extend(&at.octets);
            while let Some(pdu) = cut(&mut octets, step) {
                found.push(pdu);
            }
        }
        if let Ok(header) = Header::decode(&octets) {
            let step = self.steps.len();
            found.push(Sent {
                step,
                header,
                octets,
                is_whole: false,
            });
        }
        found
    }

    /// Whether a connection ends within a PDU, which nobody can answer.
    pub fn is_cut(&self, connection: usize) -> bool {
        let whole: usize = self
            .sent(connection)
            .iter()
            .filter(|pdu| pdu.is_whole)
            .map(|pdu| pdu.octets.len())
            .sum();
        let steps = self
            .steps
            .iter()
            .filter(|step| step.connection == connection);
        whole < steps.map(|step| step.octets.len()).sum()
    }

    /// Whether each step's last PDU is surely answered, or the connection closed upon it.
    pub fn answered(&self) -> Vec<bool> {
        let mut answered = vec![false; self.steps.len()];
        for connection in 0..self.connections() {
            for pdu in self.sent(connection).iter().filter(|pdu| pdu.is_whole) {
                answered[pdu.step] = pdu.is_answered();
            }
        }
        answered
    }
}

/// Takes the next PDU out of a stream, if it is whole.
fn cut(octets: &mut Vec<u8>, step: usize) -> Option<Sent> {
    let header = Header::decode(octets).ok()?;
    // One bit says how Samba reads a length, whatever the label's others are.
    let length = match header.drep.0[0] & 0x10 {
        0 => u16::from_be_bytes([octets[8], octets[9]]),
        _ => u16::from_le_bytes([octets[8], octets[9]]),
    };
    // What is shorter than its own header is cut by no one: the connection ends there.
    let length = usize::from(length).max(Header::LEN);
    (octets.len() >= length).then(|| Sent {
        step,
        header,
        octets: octets.drain(..length).collect(),
        is_whole: true,
    })
}

impl Sent {
    pub fn is(&self, ptype: PacketType) -> bool {
        self.header.ptype == ptype
    }

    pub fn has(&self, flag: u8) -> bool {
        self.header.flags.contains(PfcFlags(flag))
    }

    pub fn order(&self) -> ByteOrder {
        self.header.drep.order()
    }

    fn decoded(&self) -> Option<Pdu<'_>> {
        Pdu::decode(&self.octets).ok()
    }

    /// Whether its body is as long as its type needs.
    pub fn is_readable(&self) -> bool {
        self.decoded().is_some()
    }

    /// What it asks for, if it is a bind or alter_context.
    pub fn bind(&self) -> Option<Bind<'_>> {
        match self.decoded()?.body {
            Body::Bind(bind) | Body::AlterContext(bind) => Some(bind),
            _ => None,
        }
    }

    /// Where its verifier begins, if the header says that there is one with room for it.
    pub fn verifier_offset(&self) -> Option<usize> {
        let value = usize::from(self.header.auth_length);
        let verifier = value + 8;
        (value > 0)
            .then(|| self.octets.len().checked_sub(verifier))
            .flatten()
    }

    /// Type and level of its verifier.
    pub fn verifier(&self) -> Option<(u8, u8)> {
        let at = self.verifier_offset()?;
        Some((*self.octets.get(at)?, *self.octets.get(at + 1)?))
    }

    /// The octets between the list of a bind or alter_context and its verifier: how many there are, and are told.
    pub fn leg_padding(&self) -> Option<(usize, usize)> {
        let at = self.verifier_offset()?;
        self.bind()?;
        let elements = self.elements();
        let list = elements
            .iter()
            .map(|element| 24 + 20 * element.syntaxes.len());
        let there = at.checked_sub(28 + list.sum::<usize>())?;
        Some((there, usize::from(self.octets[at + 2])))
    }

    /// What it calls, if it is a request.
    pub fn request(&self) -> Option<Request<'_>> {
        match self.decoded()?.body {
            Body::Request(request) => Some(request),
            _ => None,
        }
    }

    /// The interfaces asked for, with their transfer syntaxes.
    pub fn elements(&self) -> Vec<pdus::Element> {
        let Some(bind) = self.bind() else {
            return Vec::new();
        };
        let element = |context: epmapper::wire::pdu::Context<'_>| {
            let syntaxes: Vec<SyntaxId> = context.transfer_syntaxes.iter().collect();
            pdus::Element::new(context.id, context.abstract_syntax, &syntaxes)
        };
        bind.contexts.iter().map(element).collect()
    }

    /// Whether an answer comes, or the end: all but what goes on in other PDUs, or says not to be answered.
    fn is_answered(&self) -> bool {
        match self.header.ptype {
            PacketType::CO_CANCEL | PacketType::ORPHANED | PacketType::AUTH3 => false,
            // Whether a call wants an answer is said by its first fragment.
            PacketType::REQUEST => self.has(pdus::WHOLE) && !self.has(pdus::MAYBE),
            _ => true,
        }
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manner = if self.is_pipelined {
            ", written at once"
        } else {
            ""
        };
        writeln!(f, "conversation {}{manner}", self.name)?;
        for (number, step) in self.steps.iter().enumerate() {
            write!(f, "  {number}")?;
            if self.connections() > 1 {
                write!(f, " connection {}", step.connection)?;
            }
            writeln!(f, ": {}", hex(&step.octets))?;
            for fill in &step.fills {
                writeln!(f, "     octet {}: {:?}", fill.offset, fill.what)?;
            }
        }
        Ok(())
    }
}

/// Octets in hex, long ones shortened.
pub fn hex(octets: &[u8]) -> String {
    const SHOWN: usize = 600;
    let shown: String = octets
        .iter()
        .take(SHOWN)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    match octets.len() {
        0..=SHOWN => shown,
        length => format!("{shown}.. ({length} octets)"),
    }
}
