//! The calls of an association that are being answered.

use super::{Call, Event};
use std::collections::VecDeque;

/// Which of all calls of one connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey(u64);

/// One call that is being answered.
#[derive(Debug)]
struct One {
    /// Which one.
    key: CallKey,
    /// Its call id; others may have the same.
    id: u32,
    /// How many octets its stub had.
    octets: usize,
    /// How many co_cancels have come for it.
    cancels: u8,
}

/// The calls that are being answered, and what the client has said of them.
///
/// Always holds: for each call that was handed out there are two events at
/// most, a cancel and an orphaned.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The calls, in the order that they were begun in.
    calls: Vec<One>,
    /// What was not told yet.
    events: VecDeque<Event>,
    /// How many calls were given a key.
    keys: u64,
}

impl Running {
    /// A key that no other call of this connection has.
    pub(super) fn next_key(&mut self) -> CallKey {
        self.keys += 1;
        CallKey(self.keys)
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, call: &Call) {
        self.calls.push(One {
            key: call.key,
            id: call.id,
            octets: call.stub.len(),
            cancels: call.cancels,
        });
    }

    /// Ends a call that is answered; how many co_cancels came for it, or `None`
    /// where it was orphaned.
    pub(super) fn end(&mut self, key: CallKey) -> Option<u8> {
        let place = self.calls.iter().position(|call| call.key == key)?;
        Some(self.calls.remove(place).cancels)
    }

    /// Notes a co_cancel for the last call of this id, if there is one.
    pub(super) fn cancel(&mut self, call_id: u32) {
        let Some(call) = self.calls.iter_mut().rfind(|call| call.id == call_id) else {
            return;
        };
        if call.cancels == 0 {
            self.events.push_back(Event::Cancel(call.key));
        }
        call.cancels = call.cancels.saturating_add(1);
    }

    /// Gives up the last call of this id, if there is one.
    pub(super) fn orphan(&mut self, call_id: u32) {
        if let Some(place) = self.calls.iter().rposition(|call| call.id == call_id) {
            let key = self.calls.remove(place).key;
            self.events.push_back(Event::Orphaned(key));
        }
    }

    /// What the client has said and was not told yet.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether no call is being answered.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether a call is being answered, or something is to be told of one.
    pub(super) fn is_busy(&self) -> bool {
        !self.calls.is_empty() || !self.events.is_empty()
    }

    /// Whether a call may be begun beside those that run: while they are fewer
    /// than `calls`, whose stubs had fewer than `octets` together.
    pub(super) fn has_room(&self, calls: usize, octets: usize) -> bool {
        let sum = || self.calls.iter().map(|call| call.octets).sum::<usize>();
        self.calls.len() < calls && sum() < octets
    }
}
