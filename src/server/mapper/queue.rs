//! Changes on their way to a disk.
//!
//! Whoever changes the table queues what changed; one thread takes all that
//! waits, writes it with one sync, and says how it went. While it writes, the
//! next ones gather.

use super::audit::Cause;
use crate::registry::Change;
use crate::server::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The most changes of one batch: a bound for the time that one sync takes.
const BATCH: usize = 10_000;

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
        lock(&self.waiting).queued.push_back(queued);
        self.bell.notify_one();
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
        Some(Batch(waiting.queued.drain(..fits).collect()))
    }

    /// Takes all that waits, without waiting.
    pub(super) fn rest(&self) -> Vec<Queued> {
        lock(&self.waiting).queued.drain(..).collect()
    }

    /// Says that no more will come.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.bell.notify_one();
    }
}
