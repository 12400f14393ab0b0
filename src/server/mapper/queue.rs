//! Changes on their way to a disk.
//!
//! Whoever changes the table queues what changed; one thread takes all that
//! waits, writes it with one sync, and says how it went. While it writes, the
//! next ones gather.

use super::audit::Cause;
use crate::registry::{Change, Entry};
use crate::server::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The most changes of one batch: a bound for the time that one sync takes.
const BATCH: usize = 10_000;

/// Octets of what waits from which on callers' changes are refused: a disk that
/// does not answer must not fill the memory. Tests fill it sooner.
const FULL: usize = if cfg!(test) { 2 << 20 } else { 64 << 20 };

/// What a change takes besides the octets of its entry, roughly.
const CHANGE: usize = 512;

/// What waits to be written.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

/// What waits, and whether more can come.
#[derive(Debug, Default)]
struct Waiting {
    queued: VecDeque<Queued>,
    /// Octets of it.
    octets: usize,
    closed: bool,
}

/// What one caller, or one end of a life, has changed.
#[derive(Debug)]
pub(super) struct Queued {
    /// The steps.
    pub(super) changes: Vec<Change>,
    /// Who and why.
    pub(super) cause: Cause,
    /// Who waits for it to be written; nobody where a life ended, which is not
    /// taken back.
    pub(super) waits: Option<oneshot::Sender<bool>>,
}

impl Queued {
    /// About how many octets of memory it takes.
    fn octets(&self) -> usize {
        let of = |change: &Change| CHANGE + change.entry().map_or(0, Entry::len_octets);
        self.changes.iter().map(of).sum()
    }
}

/// What is written together.
#[derive(Debug)]
pub struct Batch(pub(super) Vec<Queued>);

impl Batch {
    /// The steps, in their order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().flat_map(|queued| &queued.changes)
    }
}

impl Queue {
    /// Adds what has changed.
    pub(super) fn push(&self, queued: Queued) {
        let mut waiting = lock(&self.waiting);
        waiting.octets += queued.octets();
        waiting.queued.push_back(queued);
        drop(waiting);
        self.bell.notify_one();
    }

    /// Whether so much waits that no caller may add to it.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.waiting).octets >= FULL
    }

    /// Waits for changes and takes them; `None` when there will be no more.
    pub(super) fn next(&self) -> Option<Batch> {
        let mut waiting = lock(&self.waiting);
        while waiting.queued.is_empty() {
            if waiting.closed {
                return None;
            }
            let woken = self.bell.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let mut count = 0;
        let fits = waiting.queued.iter().take_while(|queued| {
            count += queued.changes.len();
            count <= BATCH
        });
        let fits = fits.count().max(1);
        let batch: Vec<_> = waiting.queued.drain(..fits).collect();
        waiting.octets -= batch.iter().map(Queued::octets).sum::<usize>();
        Some(Batch(batch))
    }

    /// Takes all that waits, without waiting.
    pub(super) fn rest(&self) -> Vec<Queued> {
        let mut waiting = lock(&self.waiting);
        waiting.octets = 0;
        waiting.queued.drain(..).collect()
    }

    /// Says that no more will come.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.bell.notify_one();
    }
}
