//! The conversation when nothing is lost, as a measure of what may happen when
//! something is.

use crate::conversation::Dialect;
use crate::ends::frames;
use crate::link::{Pair, Record, Seen, Step, Told};
use epmapper::wire::pdu::{Body, Header, PacketType, Pdu, PfcFlags};

/// A conversation, what happens in it when nothing is lost, and where each PDU
/// of both streams ends.
pub struct Whole {
    pub dialect: Dialect,
    pub steps: Vec<Step>,
    pub record: Record,
    pub up: Vec<(usize, Header)>,
    pub down: Vec<(usize, Header)>,
}

impl Whole {
    /// The conversation of every kind of PDU.
    pub fn new(dialect: Dialect) -> Self {
        Whole::of(dialect, dialect.conversation())
    }

    /// Any other.
    pub fn of(dialect: Dialect, steps: Vec<Step>) -> Self {
        let mut pair = Pair::new(&dialect, &steps);
        pair.run();
        let record = pair.record();
        let (up, down) = (ends(&record.up), ends(&record.down));
        Whole {
            dialect,
            steps,
            record,
            up,
            down,
        }
    }

    /// Both ends, before anything happened.
    pub fn pair(&self) -> Pair<'_> {
        Pair::new(&self.dialect, &self.steps)
    }

    /// The calls that are complete in the first `len` octets of the client.
    pub fn calls(&self, len: usize) -> Vec<Seen> {
        let complete = self.complete(len);
        let calls = self.record.calls.iter();
        calls
            .filter(|call| complete.contains(&call.id))
            .cloned()
            .collect()
    }

    /// What the server answers to the first `len` octets of the client.
    pub fn answers(&self, len: usize) -> Vec<u8> {
        let complete = self.complete(len);
        let answers = frames(&self.record.down).into_iter().zip(&self.down);
        answers
            .filter(|(_, (_, header))| complete.contains(&header.call_id))
            .flat_map(|(frame, _)| frame)
            .copied()
            .collect()
    }

    /// What the client is told when `len` octets of the server have come.
    pub fn told(&self, len: usize) -> &[Told] {
        let is_last = |header: &Header| header.flags.contains(PfcFlags::LAST_FRAG);
        let came = self.down.iter().filter(|(end, _)| *end <= len);
        &self.record.told[..came.filter(|(_, header)| is_last(header)).count()]
    }

    /// Octets of the call that is incomplete after `len` octets of the client.
    pub fn held(&self, len: usize) -> usize {
        let Some(first) = self.incomplete(len) else {
            return 0;
        };
        let fragments = frames(&self.record.up).into_iter().zip(&self.up);
        fragments
            .filter(|(_, (end, header))| *end <= len && header.call_id == first.call_id)
            .map(|(frame, _)| match Pdu::decode(frame).unwrap().body {
                Body::Request(request) => request.stub.len(),
                _ => 0,
            })
            .sum()
    }

    /// A fragment of the call that is incomplete after `len` octets.
    pub fn incomplete(&self, len: usize) -> Option<&Header> {
        let complete = self.complete(len);
        let came = self.up.iter().filter(|(end, _)| *end <= len);
        came.map(|(_, header)| header)
            .filter(|header| header.ptype == PacketType::REQUEST)
            .find(|header| !complete.contains(&header.call_id))
    }

    /// The call ids that are complete in the first `len` octets of the client.
    fn complete(&self, len: usize) -> Vec<u32> {
        let came = self.up.iter().filter(|(end, _)| *end <= len);
        came.filter(|(_, header)| completes(header))
            .map(|(_, header)| header.call_id)
            .collect()
    }
}

/// Whether the PDU that `header` begins completes something to be answered.
fn completes(header: &Header) -> bool {
    let disturbs = [PacketType::CO_CANCEL, PacketType::ORPHANED].contains(&header.ptype);
    header.flags.contains(PfcFlags::LAST_FRAG) && !disturbs
}

/// Where each PDU ends, and its header.
fn ends(octets: &[u8]) -> Vec<(usize, Header)> {
    let mut end = 0;
    frames(octets)
        .into_iter()
        .map(|frame| {
            end += frame.len();
            (end, Header::decode(frame).unwrap())
        })
        .collect()
}
