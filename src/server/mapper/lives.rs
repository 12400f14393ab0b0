//! Lives of entries: what ends them, and what follows when entries change.
//!
//! Those who watch over processes, leases and servers bring here what they
//! found; the table is changed, and what is changed goes to the disk.

use super::audit::{Cause, End};
use super::changes::PIECE;
use super::queue::Queued;
use super::{Book, Mapper};
use crate::registry::{
    Change, Entry, EntryId, Lease, Life, NotProbed, Owner, Probe, Process, Target, Verdict,
};
use crate::server::lock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use uuid::Uuid;

impl Mapper {
    /// Takes entries out whose process has ended.
    pub fn end_process(&self, process: Process) {
        let mut book = lock(&self.book);
        let changes = self.remove(self.read(|table| table.of_process(process)));
        self.ended(&mut book, End::Process, changes);
    }

    /// Takes entries out whose lease is over.
    pub fn end_leases(&self, now: Instant) {
        let mut book = lock(&self.book);
        for lease in book.leases.over(now) {
            let mut changes = self.remove(self.read(|table| table.of_lease(lease)));
            changes.push(Change::Unleased(lease));
            self.ended(&mut book, End::Lease, changes);
        }
    }

    /// Takes entries out with the book in hand, so that nobody else changes
    /// any, and some at a time, so that lookups go on between.
    pub(super) fn remove(&self, ids: Vec<EntryId>) -> Vec<Change> {
        let pieces = ids.chunks(PIECE);
        let remove =
            |piece: &[EntryId]| self.write(|table| table.remove_all(piece.iter().copied()));
        pieces.flat_map(remove).collect()
    }

    /// When the next lease is over.
    pub fn next_lease_end(&self) -> Option<Instant> {
        lock(&self.book).leases.next_end()
    }

    /// Waits until a lease may end earlier than any did before.
    pub async fn leases_changed(&self) {
        self.leases_changed.notified().await;
    }

    /// Takes at most `most` probes that are due at `now`.
    pub fn due_probes(&self, now: Instant, most: usize) -> Vec<Probe> {
        lock(&self.book).probes.due(now, most)
    }

    /// Hears what a probe has found; takes the entries out whose server is
    /// dead.
    pub fn probed(&self, now: Instant, target: Target, verdict: Verdict) {
        let mut book = lock(&self.book);
        let dead = book.probes.answered(now, target, verdict);
        // Most servers answer: no call waits for that.
        if dead.is_empty() {
            return;
        }
        let changes = self.remove(dead);
        self.ended(&mut book, End::Unanswered, changes);
    }

    /// When the next probe is due; `None` while there is none to wait for.
    pub fn next_probe(&self) -> Option<Instant> {
        lock(&self.book).probes.next_due()
    }

    /// Told when a probe may be due earlier than any was before.
    pub fn probes_changed(&self) -> Arc<Notify> {
        self.probes_changed.clone()
    }

    /// Lets the rest follow what the end of lives changed.
    pub(super) fn ended(&self, book: &mut Book, end: End, mut changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.follow(book, &mut changes);
        self.counters.tell(&Cause::End(end), &changes);
        if let Some(queue) = &self.queue {
            let (cause, waits) = (Cause::End(end), None);
            queue.push(Queued {
                changes,
                cause,
                waits,
            });
        }
    }

    /// Lets the rest follow what the mapper's own side changed. What is taken
    /// over from a registrant is no longer kept on disk.
    pub(super) fn take_over(&self, book: &mut Book, mut changes: Vec<Change>) {
        changes.retain(|change| match change {
            Change::Renewed { before, .. } => before.owner().is_registrant(),
            _ => false,
        });
        if changes.is_empty() {
            return;
        }
        self.counters.tell(&Cause::Own, &changes);
        self.follow(book, &mut changes);
        if let Some(queue) = &self.queue {
            let (cause, waits) = (Cause::Own, None);
            queue.push(Queued {
                changes,
                cause,
                waits,
            });
        }
    }

    /// Goes on with the lives of entries that are back.
    pub(super) fn resume(&self, book: &mut Book, changes: &[Change], leases: &[(Uuid, Instant)]) {
        let mut processes = BTreeSet::new();
        for change in changes {
            let Some((id, Some(entry))) = change.left() else {
                continue;
            };
            match entry.life() {
                Life::Process(process) => {
                    processes.insert(process);
                }
                Life::Lease(lease) => {
                    let kept = leases.iter().find(|(id, _)| *id == lease.id);
                    let until = kept.map_or_else(Instant::now, |(_, until)| *until);
                    book.leases.run(entry.owner().clone(), lease, until);
                }
                Life::Probe => self.probe(book, id, entry),
                Life::Permanent => {}
            }
        }
        for process in processes {
            self.tell(process);
        }
        self.leases_changed.notify_one();
    }

    /// Lets leases, probes and processes follow what changed in the table.
    pub(super) fn follow(&self, book: &mut Book, changes: &mut Vec<Change>) {
        let mut ended = BTreeSet::new();
        let mut processes = BTreeSet::new();
        for change in changes.iter() {
            let (id, before, after) = match change {
                Change::Inserted(id, after) => (*id, None, Some(after)),
                Change::Renewed { id, before, after } => (*id, Some(before), Some(after)),
                Change::Removed(id, before) => (*id, Some(before), None),
                Change::Leased { .. } | Change::Unleased(_) => continue,
            };
            match after.filter(|after| after.life() == Life::Probe) {
                Some(after) => self.probe(book, id, after),
                None => book.probes.remove(id),
            }
            match before.map(Entry::life) {
                Some(Life::Lease(lease)) => {
                    ended.insert(lease.id);
                }
                Some(Life::Process(process)) => {
                    processes.insert(process);
                }
                _ => {}
            }
            match after.map(|after| (after.owner(), after.life())) {
                Some((_, Life::Process(process))) => {
                    processes.insert(process);
                }
                // Its lease was ended, and that was taken back.
                Some((owner, Life::Lease(lease))) if book.leases.until(lease.id).is_none() => {
                    book.run_lease(Instant::now(), owner.clone(), lease);
                }
                _ => {}
            }
        }
        processes.into_iter().for_each(|process| self.tell(process));
        ended.retain(|lease| !self.read(|table| table.has_lease(*lease)));
        for lease in ended {
            if book.leases.until(lease).is_some() {
                book.leases.end(lease);
                changes.push(Change::Unleased(lease));
            }
        }
        self.leases_changed.notify_one();
    }

    /// Has the server of an entry probed, if it can be.
    fn probe(&self, book: &mut Book, id: EntryId, entry: &Entry) {
        match self.target(entry) {
            Ok(target) => {
                let owner = entry.owner().clone();
                book.probes.add(Instant::now(), id, owner, target);
                self.probes_changed.notify_one();
            }
            Err(_) => book.probes.remove(id),
        }
    }

    /// Where the server of an entry is probed, or why it is not.
    pub(super) fn target(&self, entry: &Entry) -> Result<Target, NotProbed> {
        let settings = &self.settings;
        Target::of(entry, |address| {
            settings.probes_foreign || (settings.is_here)(address)
        })
    }

    /// Whether the end of a process is that of entries.
    pub fn has_process(&self, process: Process) -> bool {
        self.read(|table| table.has_process(process))
    }

    /// Tells that a process has another entry, or one less.
    fn tell(&self, process: Process) {
        // Nobody listens any more only when all ends.
        let _ = self.processes.send(process);
    }
}

impl Book {
    /// Begins or renews a lease.
    pub(super) fn run_lease(&mut self, now: Instant, owner: Owner, lease: Lease) -> Change {
        /// A year: longer than any lease that is granted.
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let until = now + lease.duration.min(FAR);
        self.leases.run(owner, lease, until);
        Change::Leased {
            lease: lease.id,
            until,
        }
    }
}
