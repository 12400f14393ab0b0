//! The way of a change: from a call to the table, to the disk, to the answer.
//!
//! A change is made in the table at once, so that the next one is checked
//! against it, and then written. When it cannot be written it is taken back,
//! with all that came after it; ends of lives are not, but written later.

use super::audit::{self, Cause, Counter};
use super::queue::{Batch, Queue, Queued};
use super::{Book, Mapper};
use crate::registry::{Change, Lease, Network, Owner, Registrant, RegistryError, Table};
use crate::server::lock;
use crate::service::registration::{self, Desk, Edit, Named, Unfit};
use crate::service::{Call, Outcome, Reply};
use crate::wire::{FaultStatus, Input};
use std::sync::{Arc, TryLockError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// Entries that are taken out while lookups wait: a millisecond or two.
pub(super) const PIECE: usize = 256;

/// What a caller asks for, once it is found to be in order.
#[derive(Debug)]
pub(super) struct Asked {
    /// The operation's name.
    pub(super) op: &'static str,
    /// Who asks.
    pub(super) by: Registrant,
    /// When.
    pub(super) now: Instant,
    /// What for.
    pub(super) wish: Wish,
}

impl Asked {
    /// How many entries it takes out without naming each, or the first
    /// `PIECE` of them and one more.
    fn takes_out(&self, table: &Table) -> usize {
        match (&self.wish, self.by.process()) {
            (Wish::Release(lease), _) => table.of_lease(*lease).len(),
            (Wish::Leave, Some(process)) => table.of_process(process).len(),
            (Wish::Edit(Edit::MgmtDelete { object, like }), _) => {
                table.at_place(*object, like).take(PIECE + 1).count()
            }
            _ => 0,
        }
    }
}

/// What for.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// A change of entries.
    Edit(Edit),
    /// Entries that a lease keeps: a new one, or one of the caller's.
    Lease {
        /// The entries.
        edit: Edit,
        /// The lease.
        lease: Lease,
        /// Whether it is new.
        is_new: bool,
    },
    /// More time for a lease.
    Renew(Uuid),
    /// The end of a lease.
    Release(Uuid),
    /// The end of what would end with the caller's process.
    Leave,
}

/// What a caller was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// The lease, where it is about one.
    pub(super) lease: Option<Lease>,
}

impl Mapper {
    /// Answers a call of ept that changes the map.
    pub(super) fn change(self: &Arc<Self>, call: Call<'_>) -> Outcome {
        let op = registration::name(call.opnum);
        let by = call.session.registrant();
        let conversation = self.settings.conversation;
        if !self.settings.policy.may_register(&by) {
            self.refused_caller(op, &by, || Named::all(&call));
            return registration::refuse(conversation, &call).into();
        }
        let (order, syntax) = (call.stub.order(), call.stub.syntax());
        // The form of the answer does not hang on the call, which is gone when
        // it comes.
        let respond = move |done: Result<Granted, RegistryError>| {
            let asked = Input::stub(&[], order, syntax);
            let status = |status| registration::respond(asked, status);
            match done {
                Ok(_) => status(crate::wire::EptStatus::OK),
                Err(error) => registration::refusal(&error).reply(status),
            }
        };
        match self.desk(|desk| desk.read(&call, &by)) {
            Err(Unfit::Reply(reply)) => reply.into(),
            Err(Unfit::Refused(error)) => {
                self.refused(op, &by, || Named::all(&call), &error);
                respond(Err(error)).into()
            }
            Ok(edit) => {
                let (now, wish) = (call.now, Wish::Edit(edit));
                self.submit(Asked { op, by, now, wish }, respond)
            }
        }
    }

    /// Has something read at the desk where changes are brought.
    pub(super) fn desk<T>(&self, read: impl FnOnce(&Desk) -> T) -> T {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        read(&Desk {
            conversation: self.settings.conversation,
            own: self.settings.object,
            policy: &self.settings.policy,
            is_here: &self.settings.is_here,
            time: time.map_or(0, |time| time.as_secs()),
        })
    }

    /// Counts the change of a caller that may change nothing, and logs it
    /// unless it tries too often.
    pub(super) fn refused_caller(
        &self,
        op: &'static str,
        by: &Registrant,
        named: impl FnOnce() -> Vec<Named>,
    ) {
        self.counters.add(Counter::RefusedCallers);
        self.tell_refused(op, by, named, &RegistryError::NotAllowed);
    }

    /// Counts a refusal, and logs it unless there are too many of the caller.
    pub(super) fn refused(
        &self,
        op: &'static str,
        by: &Registrant,
        named: impl FnOnce() -> Vec<Named>,
        error: &RegistryError,
    ) {
        self.counters.refuse(error);
        self.tell_refused(op, by, named, error);
    }

    /// Logs a refusal, unless there were too many of the caller lately.
    fn tell_refused(
        &self,
        op: &'static str,
        by: &Registrant,
        named: impl FnOnce() -> Vec<Named>,
        error: &RegistryError,
    ) {
        let named = named();
        let is_told =
            lock(&self.refusals).take(Instant::now(), client(by.owner()), named.len().max(1));
        if is_told {
            audit::tell_refused(op, by, &named, error);
        } else {
            self.counters.add(Counter::NotLogged);
        }
    }

    /// Makes a change, and answers once it is written.
    ///
    /// Who else holds the book may hold it for long, as when it reads a large
    /// configuration again: then the change waits aside. So does one that may
    /// take out many entries. One at a time does, also when whoever asked is
    /// gone: what was begun is made all the same.
    pub(super) fn submit(
        self: &Arc<Self>,
        asked: Asked,
        respond: impl FnOnce(Result<Granted, RegistryError>) -> Reply + Send + 'static,
    ) -> Outcome {
        let is_long = self.read(|table| asked.takes_out(table)) > PIECE;
        match self.book.try_lock() {
            Ok(mut book) if !is_long => self.make(&mut book, asked, respond),
            Err(TryLockError::Poisoned(book)) => self.make(&mut book.into_inner(), asked, respond),
            Ok(_) | Err(TryLockError::WouldBlock) => {
                let mapper = self.clone();
                Outcome::Later(Box::pin(async move {
                    // It is never closed.
                    let turn = mapper.changing.clone().acquire_owned().await;
                    let made = spawn_blocking(move || {
                        let _turn = turn;
                        mapper.make(&mut lock(&mapper.book), asked, respond)
                    });
                    match made.await {
                        Ok(Outcome::Now(reply)) => reply,
                        Ok(Outcome::Later(reply)) => reply.await,
                        // The runtime ends.
                        Err(_) => Reply::Fault {
                            status: FaultStatus::UNSPEC,
                            did_not_execute: true,
                        },
                    }
                }))
            }
        }
    }

    /// Makes a change with the book in hand.
    fn make(
        &self,
        book: &mut Book,
        asked: Asked,
        respond: impl FnOnce(Result<Granted, RegistryError>) -> Reply + Send + 'static,
    ) -> Outcome {
        match self.grant(book, &asked) {
            Ok((granted, changes)) => {
                let Asked { op, by, .. } = asked;
                match self.keep(Cause::Call { op, by }, changes) {
                    None => respond(Ok(granted)).into(),
                    Some(kept) => Outcome::Later(Box::pin(async move {
                        let is_kept = kept.await.unwrap_or(false);
                        let done = is_kept.then_some(granted);
                        respond(done.ok_or(RegistryError::NotStored))
                    })),
                }
            }
            Err(error) => {
                let named = || match &asked.wish {
                    Wish::Edit(edit) | Wish::Lease { edit, .. } => edit.named(),
                    Wish::Renew(_) | Wish::Release(_) | Wish::Leave => Vec::new(),
                };
                self.refused(asked.op, &asked.by, named, &error);
                respond(Err(error)).into()
            }
        }
    }

    /// Changes the table as a caller asks, as far as its rate allows.
    ///
    /// Pays for every step in the end: one entry may have replaced many, also
    /// where that is taken back since the next one is refused.
    fn grant(
        &self,
        book: &mut Book,
        asked: &Asked,
    ) -> Result<(Granted, Vec<Change>), RegistryError> {
        let Asked { by, now, wish, .. } = asked;
        let (now, owner) = (*now, by.owner());
        let count = match wish {
            Wish::Edit(edit) | Wish::Lease { edit, .. } => edit.len().max(1),
            Wish::Renew(_) | Wish::Release(_) | Wish::Leave => 1,
        };
        if !book.rates.take(now, owner.clone(), count) {
            let limit = self.settings.changes_per_second;
            return Err(RegistryError::TooFast { owner, limit });
        }
        if self.queue.as_ref().is_some_and(Queue::is_full) {
            return Err(RegistryError::NotStored);
        }
        let done = self.fulfil(book, asked);
        let steps = match &done {
            Ok((_, changes)) => changes.len(),
            Err(_) => self.write(Table::take_in_vain),
        };
        book.rates.pay(now, owner, steps.saturating_sub(count));
        let (granted, mut changes) = done?;
        self.follow(book, &mut changes);
        Ok((granted, changes))
    }

    /// Changes table and leases as a caller asks.
    fn fulfil(
        &self,
        book: &mut Book,
        asked: &Asked,
    ) -> Result<(Granted, Vec<Change>), RegistryError> {
        let Asked { by, now, wish, .. } = asked;
        let (now, owner) = (*now, by.owner());
        let apply = |edit: &Edit| match edit {
            Edit::MgmtDelete { object, like } => {
                let found = self.read(|table| table.find_place(&owner, *object, like))?;
                Ok(self.remove(found))
            }
            _ => self.write(|table| edit.apply(table, by, &self.settings.policy)),
        };
        let (lease, changes) = match wish {
            Wish::Edit(edit) => (None, apply(edit)?),
            Wish::Lease {
                edit,
                lease,
                is_new,
            } => {
                let found = book.leases.find(&owner, lease.id);
                // Who may end another's lease may not join it all the same.
                if !is_new && found.is_none_or(|(of, _)| *of != owner) {
                    return Err(RegistryError::NoLease);
                }
                let mut changes = apply(edit)?;
                // One that keeps nothing is not begun.
                if self.read(|table| table.has_lease(lease.id)) {
                    changes.push(book.run_lease(now, owner, *lease));
                    (Some(*lease), changes)
                } else {
                    (None, changes)
                }
            }
            Wish::Renew(id) => {
                let found = book.leases.find(&owner, *id);
                let (owner, lease) = found.ok_or(RegistryError::NoLease)?;
                let owner = owner.clone();
                (Some(lease), vec![book.run_lease(now, owner, lease)])
            }
            Wish::Release(id) => {
                let found = book.leases.find(&owner, *id);
                let (_, lease) = found.ok_or(RegistryError::NoLease)?;
                (
                    Some(lease),
                    self.remove(self.read(|table| table.of_lease(*id))),
                )
            }
            Wish::Leave => {
                let process = by.process().ok_or(RegistryError::NoProcess)?;
                let changes = self.remove(self.read(|table| table.of_process(process)));
                if changes.is_empty() {
                    return Err(RegistryError::NotRegistered);
                }
                (None, changes)
            }
        };
        Ok((Granted { lease }, changes))
    }

    /// Hands changes on to the disk; what comes back tells when they are
    /// there. `None`: there is nothing to wait for.
    fn keep(&self, cause: Cause, changes: Vec<Change>) -> Option<oneshot::Receiver<bool>> {
        let Some(queue) = self.queue.as_ref().filter(|_| !changes.is_empty()) else {
            self.counters.tell(&cause, &changes);
            return None;
        };
        let (kept, waits) = oneshot::channel();
        let queued = Queued {
            changes,
            cause,
            waits: Some(kept),
        };
        queue.push(queued);
        Some(waits)
    }

    /// Waits for changes that have to be written; `None` when there will be no
    /// more. For the one thread that writes.
    pub fn next_batch(&self) -> Option<Batch> {
        self.queue.as_ref()?.next()
    }

    /// Says that no more changes will come.
    pub fn close(&self) {
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }

    /// Answers those who wait for a batch: it is written, or it cannot be and
    /// is taken back, with all that came after it.
    ///
    /// Returns what stays changed and is still to be written.
    pub fn settle(&self, batch: Batch, is_written: bool) -> Vec<Change> {
        let Batch(mut settled) = batch;
        let mut owed = Vec::new();
        if !is_written {
            let mut book = lock(&self.book);
            settled.extend(self.queue.iter().flat_map(|queue| queue.rest()));
            self.take_back(&mut book, &settled);
        }
        for queued in settled {
            let Queued {
                changes,
                cause,
                waits,
            } = queued;
            let Some(waits) = waits else {
                if !is_written {
                    owed.extend(changes);
                }
                continue;
            };
            match (is_written, &cause) {
                (true, _) => self.counters.tell(&cause, &changes),
                (false, Cause::Call { op, by }) => {
                    let named = || {
                        let entries = changes.iter().filter_map(Change::entry);
                        entries.map(Named::from).collect()
                    };
                    self.refused(op, by, named, &RegistryError::NotStored);
                }
                (false, _) => {}
            }
            // Who asked may be gone.
            let _ = waits.send(is_written);
        }
        owed
    }

    /// Takes back what callers have changed, the last first.
    fn take_back(&self, book: &mut Book, settled: &[Queued]) {
        let by_callers = settled.iter().filter(|queued| queued.waits.is_some());
        for queued in by_callers.rev() {
            self.write(|table| table.undo(&queued.changes));
            let mut undone: Vec<Change> = queued.changes.iter().rev().filter_map(inverse).collect();
            undone.retain(|change| self.read(|table| is_so(table, change)));
            self.follow(book, &mut undone);
        }
    }
}

/// Whose refusals are logged together: who has one address of an IPv6 network
/// has 2^64 of them.
fn client(owner: Owner) -> Owner {
    const NETWORK_BITS: u8 = 64;
    match owner {
        Owner::Host(address) => {
            let network = Network::new(address, NETWORK_BITS);
            Owner::Host(network.map_or(address, |network| network.address()))
        }
        owner => owner,
    }
}

/// The step that takes another one back.
fn inverse(change: &Change) -> Option<Change> {
    Some(match change.clone() {
        Change::Inserted(id, entry) => Change::Removed(id, entry),
        Change::Removed(id, entry) => Change::Inserted(id, entry),
        Change::Renewed { id, before, after } => Change::Renewed {
            id,
            before: after,
            after: before,
        },
        Change::Leased { .. } | Change::Unleased(_) => return None,
    })
}

/// Whether the table is as a change has left it.
fn is_so(table: &Table, change: &Change) -> bool {
    let left = change.left();
    left.is_some_and(|(id, entry)| table.get(id) == entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::samples::{ECHO, OTHER, SAMR, tcp_tower, tower};
    use crate::registry::{Entry, EntryId, Life, Policy, Process, Rule, TableLimits};
    use crate::server::mapper::MapperSettings;
    use crate::service::Conversation;
    use crate::wire::EptStatus;
    use crate::wire::SyntaxId;
    use crate::wire::{ByteOrder, TransferSyntax, ept};
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;
    use tokio::sync::mpsc::UnboundedReceiver;

    const ANN: Owner = Owner::User(1000);
    const BOB: Owner = Owner::User(1001);
    const PROCESS: Process = Process { pid: 7, started: 9 };

    /// A mapper whose store is the test.
    struct Stored {
        mapper: Arc<Mapper>,
        watched: UnboundedReceiver<Process>,
        now: Instant,
    }

    /// The answer to a change, which may have to be waited for.
    type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;

    impl Stored {
        fn new() -> Stored {
            Stored::within(|_| {})
        }

        /// One that lets two users register as `set` has it.
        fn within(set: impl FnOnce(&mut MapperSettings)) -> Stored {
            let mut settings = MapperSettings::new(Conversation::Dce, 100);
            settings.is_stored = true;
            settings.policy = Policy {
                rules: vec![Rule {
                    users: vec![1000, 1001],
                    ..Rule::default()
                }],
                ..Policy::default()
            };
            set(&mut settings);
            let (mapper, watched) = Mapper::new(settings);
            Stored {
                mapper,
                watched,
                now: Instant::now(),
            }
        }

        /// Has `owner` wish for something.
        fn wish(&self, owner: Owner, wish: Wish) -> Answer {
            self.wish_from(owner, None, wish)
        }

        /// The same from a process.
        fn wish_from(&self, owner: Owner, process: Option<Process>, wish: Wish) -> Answer {
            let by = match owner {
                Owner::User(uid) => Registrant::local(uid, vec![], process),
                Owner::Host(address) => Registrant::at(address),
                owner => panic!("{owner} calls nobody"),
            };
            let (op, now) = ("test", self.now);
            let asked = Asked { op, by, now, wish };
            let outcome = self.mapper.submit(asked, |done| {
                let refusal = done.map_or_else(
                    |error| registration::refusal(&error),
                    |_| EptStatus::OK.into(),
                );
                let asked = Input::stub(&[], ByteOrder::Little, TransferSyntax::Ndr);
                refusal.reply(|status| registration::respond(asked, status))
            });
            match outcome {
                Outcome::Now(reply) => Box::pin(std::future::ready(reply)),
                Outcome::Later(reply) => reply,
            }
        }

        fn insert(&self, entries: &[Entry], replace: bool) -> Answer {
            let owner = entries[0].owner().clone();
            let entries = entries.to_vec();
            self.wish(owner, Wish::Edit(Edit::Insert { entries, replace }))
        }

        fn delete(&self, owner: Owner, port: u16) -> Answer {
            let named = vec![(Uuid::nil(), tcp_tower(ECHO, port))];
            self.wish(owner, Wish::Edit(Edit::Delete(named)))
        }

        /// Registers with a lease of a minute, new or not.
        fn lease(&self, entries: &[Entry], id: u128, is_new: bool) -> Answer {
            let lease = lease(id);
            let kept = entries.iter().cloned();
            let kept = kept.map(|entry| entry.living(Life::Lease(lease), 1));
            let edit = Edit::Insert {
                entries: kept.collect(),
                replace: false,
            };
            let owner = entries.first().map_or(ANN, |first| first.owner().clone());
            self.wish(
                owner,
                Wish::Lease {
                    edit,
                    lease,
                    is_new,
                },
            )
        }

        /// Settles what waits; what is owed.
        fn settle(&self, is_written: bool) -> Vec<Change> {
            let batch = self.mapper.next_batch().expect("changes wait");
            self.mapper.settle(batch, is_written)
        }

        /// Does what `answer` comes to when it is written.
        fn done(&self, answer: Answer) {
            self.settle(true);
            assert_eq!(status(answer), EptStatus::OK);
        }

        /// The entries with their numbers.
        fn entries(&self) -> Vec<(EntryId, Entry)> {
            let held = |table: &Table| {
                let entries = table.iter();
                entries.map(|(id, entry)| (id, entry.clone())).collect()
            };
            self.mapper.read(held)
        }

        fn is_leased(&self, id: u128) -> bool {
            let book = lock(&self.mapper.book);
            book.leases.until(Uuid::from_u128(id)).is_some()
        }

        fn count(&self, counter: Counter) -> u64 {
            self.mapper.counters.count(counter)
        }
    }

    /// A lease of a minute.
    fn lease(id: u128) -> Lease {
        let duration = Duration::from_secs(60);
        let id = Uuid::from_u128(id);
        Lease { id, duration }
    }

    /// An entry of `owner` at a port.
    fn of(owner: Owner, port: u16) -> Entry {
        Entry::new(Uuid::nil(), &tcp_tower(ECHO, port), b"", owner).unwrap()
    }

    /// The answer, if it is there.
    fn poll(answer: &mut Answer) -> Option<Reply> {
        let mut context = Context::from_waker(Waker::noop());
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        }
    }

    /// The status of an answer that has to be there.
    #[track_caller]
    fn status(mut answer: Answer) -> EptStatus {
        let Some(Reply::Response(stub)) = poll(&mut answer) else {
            panic!("no status");
        };
        let stub = Input::new(&stub, ByteOrder::Little);
        ept::StatusResponse::decode(stub).unwrap().status
    }

    #[test]
    fn an_endpoint_of_many_entries_is_taken_out_aside_and_whole() {
        let stored = Stored::within(|settings| settings.limits = TableLimits::of(1000));
        let of_object = |object| Entry::new(object, &tcp_tower(ECHO, 1), b"", ANN).unwrap();
        let many = (1..=2 * PIECE as u128 + 1).map(Uuid::from_u128);
        let many: Vec<_> = many.map(of_object).collect();
        stored.done(stored.insert(&many, false));
        let like = Box::new(many[0].clone());
        let object = None;
        let wish = Wish::Edit(Edit::MgmtDelete { object, like });
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let refused = runtime.block_on(stored.wish(BOB, wish.clone()));
        let asked = Input::stub(&[], ByteOrder::Little, TransferSyntax::Ndr);
        let denied = registration::respond(asked, EptStatus::CANT_PERFORM_OP);
        assert_eq!(refused, denied);
        let done = stored.wish(ANN, wish);
        // The thread that serves has begun nothing.
        assert_eq!(stored.entries().len(), many.len());
        let done = runtime.spawn(done);
        runtime.block_on(tokio::task::yield_now());
        stored.settle(true);
        let asked = Input::stub(&[], ByteOrder::Little, TransferSyntax::Ndr);
        let accepted = registration::respond(asked, EptStatus::OK);
        assert_eq!(runtime.block_on(done).unwrap(), accepted);
        assert_eq!(stored.entries(), []);
    }

    #[test]
    fn a_disk_that_does_not_answer_fills_no_memory() {
        let stored = Stored::new();
        let pipe = format!("\\pipe\\{}\0", "x".repeat(60_000));
        let floors: [(u8, &[u8]); 3] = [(0x0b, &[0, 0]), (0x0f, pipe.as_bytes()), (0x11, b"\0")];
        let long = tower(ECHO, SyntaxId::NDR, &floors);
        let entry = Entry::new(Uuid::nil(), &long, b"", ANN).unwrap();
        let named = Wish::Edit(Edit::Delete(vec![(Uuid::nil(), long)]));
        let mut waiting = Vec::new();
        let refused = loop {
            let mut answer = match waiting.len() % 2 {
                0 => stored.insert(std::slice::from_ref(&entry), false),
                _ => stored.wish(ANN, named.clone()),
            };
            if let Some(reply) = poll(&mut answer) {
                break reply;
            }
            waiting.push(answer);
            assert!(waiting.len() < 2000, "twice as much as may wait");
        };
        let asked = Input::stub(&[], ByteOrder::Little, TransferSyntax::Ndr);
        let failed = registration::respond(asked, EptStatus::UPDATE_FAILED);
        assert_eq!(refused, failed);
        assert_eq!(stored.count(Counter::NotStored), 1);
        // What was taken is written still, and then there is room again.
        stored.settle(true);
        for answer in waiting {
            assert_eq!(status(answer), EptStatus::OK);
        }
        stored.done(stored.insert(&[of(ANN, 1)], false));
    }

    #[test]
    fn a_change_is_in_the_table_at_once_and_answered_when_it_is_written() {
        let stored = Stored::new();
        let mut answer = stored.insert(&[of(ANN, 1)], false);
        assert_eq!(stored.entries().len(), 1);
        assert_eq!(
            (poll(&mut answer), stored.count(Counter::Inserted)),
            (None, 0)
        );
        let batch = stored.mapper.next_batch().unwrap();
        assert_eq!(batch.changes().count(), 1);
        assert_eq!(poll(&mut answer), None);
        assert!(stored.mapper.settle(batch, true).is_empty());
        assert_eq!(status(answer), EptStatus::OK);
        assert_eq!(stored.count(Counter::Inserted), 1);
    }

    #[test]
    fn what_gathers_while_a_batch_is_written_is_one_batch() {
        let stored = Stored::new();
        let first = stored.insert(&[of(ANN, 1)], false);
        let batch = stored.mapper.next_batch().unwrap();
        let mut later = [2, 3].map(|port| stored.insert(&[of(BOB, port)], false));
        stored.mapper.settle(batch, true);
        assert_eq!(status(first), EptStatus::OK);
        assert_eq!(later.each_mut().map(poll), [None, None]);
        stored.settle(true);
        assert_eq!(later.map(status), [EptStatus::OK; 2]);
    }

    #[test]
    fn what_is_refused_is_answered_at_once_and_not_written() {
        let stored = Stored::new();
        stored.done(stored.insert(&[of(ANN, 1)], false));
        let answer = stored.insert(&[of(BOB, 1)], false);
        assert_eq!(status(answer), EptStatus::CANT_PERFORM_OP);
        assert_eq!(stored.count(Counter::RefusedToStranger), 1);
        stored.mapper.close();
        assert!(stored.mapper.next_batch().is_none());
    }

    #[test]
    fn what_cannot_be_written_is_taken_back_with_all_that_came_after_it() {
        let stored = Stored::new();
        stored.done(stored.insert(&[of(ANN, 1)], false));
        let before = stored.entries();
        let first = stored.insert(&[of(ANN, 2)], true);
        let batch = stored.mapper.next_batch().unwrap();
        // Each of these stands on the one before it.
        let renewed = Entry::new(Uuid::nil(), of(ANN, 2).tower(), b"x", ANN).unwrap();
        let later = [
            stored.insert(&[renewed], false),
            stored.delete(ANN, 2),
            stored.insert(&[of(BOB, 1), of(BOB, 2)], false),
        ];
        assert_eq!(stored.mapper.settle(batch, false), []);
        assert_eq!(status(first), EptStatus::UPDATE_FAILED);
        assert_eq!(later.map(status), [EptStatus::UPDATE_FAILED; 3]);
        assert_eq!(stored.entries(), before);
        assert_eq!(stored.count(Counter::NotStored), 4);
        assert_eq!(stored.count(Counter::Inserted), 1);
        // What comes then finds a map in order.
        stored.done(stored.insert(&[of(ANN, 3)], true));
        assert_eq!(stored.entries().len(), 1);
    }

    #[test]
    fn the_end_of_a_life_is_not_taken_back_but_owed() {
        let stored = Stored::new();
        let [one, two] = [1, 2].map(|port| of(ANN, port).living(Life::Process(PROCESS), 1));
        stored.done(stored.insert(&[one], false));
        let there = stored.entries();
        let second = stored.insert(&[two], false);
        stored.mapper.end_process(PROCESS);
        assert!(stored.entries().is_empty());
        let owed = stored.settle(false);
        assert_eq!(status(second), EptStatus::UPDATE_FAILED);
        assert!(stored.entries().is_empty(), "also what the caller has back");
        let (id, entry) = there[0].clone();
        assert!(owed.contains(&Change::Removed(id, entry)), "{owed:?}");
        assert_eq!(stored.count(Counter::ProcessEnded), 2);
    }

    #[test]
    fn a_delete_that_is_taken_back_has_the_process_watched_again() {
        let mut stored = Stored::new();
        let entry = of(ANN, 1).living(Life::Process(PROCESS), 1);
        stored.done(stored.insert(&[entry], false));
        assert_eq!(stored.watched.try_recv(), Ok(PROCESS));
        assert!(stored.watched.try_recv().is_err());
        let answer = stored.delete(ANN, 1);
        // The process may have ended meanwhile, with nothing to take out.
        stored.mapper.end_process(PROCESS);
        stored.settle(false);
        assert_eq!(status(answer), EptStatus::UPDATE_FAILED);
        assert_eq!(stored.entries().len(), 1);
        assert_eq!(stored.watched.try_recv(), Ok(PROCESS));
    }

    #[test]
    fn a_release_that_is_taken_back_runs_its_lease_again() {
        let stored = Stored::new();
        stored.done(stored.lease(&[of(ANN, 1), of(ANN, 2)], 5, true));
        assert!(stored.is_leased(5));
        let before = stored.entries();
        let answer = stored.wish(ANN, Wish::Release(Uuid::from_u128(5)));
        assert!(!stored.is_leased(5) && stored.entries().is_empty());
        stored.settle(false);
        assert_eq!(status(answer), EptStatus::UPDATE_FAILED);
        assert_eq!(stored.entries(), before);
        assert!(stored.is_leased(5) && stored.mapper.next_lease_end().is_some());
        stored
            .mapper
            .end_leases(stored.now + Duration::from_secs(3600));
        assert!(stored.entries().is_empty() && !stored.is_leased(5));
        assert_eq!(stored.count(Counter::LeaseOver), 2);
    }

    #[test]
    fn a_lease_whose_entries_are_taken_back_does_not_run() {
        let stored = Stored::new();
        let answer = stored.lease(&[of(ANN, 1)], 5, true);
        assert!(stored.is_leased(5));
        stored.settle(false);
        assert_eq!(status(answer), EptStatus::UPDATE_FAILED);
        assert!(!stored.is_leased(5));
    }

    #[test]
    fn a_lease_ends_with_its_last_entry_and_none_begins_without_one() {
        let stored = Stored::new();
        stored.done(stored.lease(&[of(ANN, 1), of(ANN, 2)], 5, true));
        stored.done(stored.delete(ANN, 1));
        assert!(stored.is_leased(5));
        stored.done(stored.delete(ANN, 2));
        assert!(!stored.is_leased(5));
        assert_eq!(status(stored.lease(&[], 6, true)), EptStatus::OK);
        assert!(!stored.is_leased(6));
    }

    #[test]
    fn nobody_joins_a_lease_of_somebody_else_and_only_root_ends_it() {
        let stored = Stored::new();
        stored.done(stored.lease(&[of(ANN, 1)], 5, true));
        let id = Uuid::from_u128(5);
        for owner in [BOB, Owner::ROOT] {
            let join = stored.lease(&[of(owner.clone(), 2)], 5, false);
            assert_eq!(status(join), EptStatus::NOT_REGISTERED, "{owner}");
        }
        for wish in [Wish::Renew(id), Wish::Release(id)] {
            assert_eq!(status(stored.wish(BOB, wish)), EptStatus::NOT_REGISTERED);
        }
        stored.done(stored.lease(&[of(ANN, 2)], 5, false));
        stored.done(stored.wish(Owner::ROOT, Wish::Renew(id)));
        stored.done(stored.wish(ANN, Wish::Renew(id)));
        stored.done(stored.wish(Owner::ROOT, Wish::Release(id)));
        assert!(stored.entries().is_empty());
    }

    #[test]
    fn what_a_reload_took_over_is_not_taken_back_and_owed() {
        let stored = Stored::new();
        stored.done(stored.insert(&[of(ANN, 1)], false));
        let answer = stored.insert(&[of(ANN, 2)], false);
        let wanted = [1, 2].map(|port| of(Owner::Configuration, port));
        let reload = stored
            .mapper
            .replace_owned(Owner::Configuration, wanted.to_vec());
        assert!(reload.is_ok());
        let owed = stored.settle(false);
        assert_eq!(status(answer), EptStatus::UPDATE_FAILED);
        let entries = stored.entries();
        assert!(entries.iter().map(|(_, entry)| entry).eq(&wanted));
        let renewed = |change: &Change| matches!(change, Change::Renewed { .. });
        assert!(owed.len() == 2 && owed.iter().all(renewed), "{owed:?}");
        // And what it takes from the file again is gone for good.
        let reload = stored.mapper.replace_owned(Owner::Configuration, vec![]);
        assert!(reload.is_ok() && stored.entries().is_empty());
    }

    #[test]
    fn a_delete_is_taken_back_though_a_reload_came_between() {
        let stored = Stored::new();
        stored.done(stored.insert(&[of(ANN, 1)], false));
        let before = stored.entries();
        let answer = stored.delete(ANN, 1);
        let other = Entry::new(Uuid::nil(), &tcp_tower(SAMR, 9), b"", Owner::Configuration);
        let other = other.unwrap();
        let reload = stored
            .mapper
            .replace_owned(Owner::Configuration, vec![other.clone()]);
        assert!(reload.is_ok());
        stored.settle(false);
        assert_eq!(status(answer), EptStatus::UPDATE_FAILED);
        let entries = stored.entries();
        assert_eq!(entries[..1], before, "under its old number");
        assert_eq!(entries[1].1, other);
    }

    #[test]
    fn one_entry_in_the_place_of_many_is_paid_for_as_many() {
        let paying = || {
            let stored = Stored::within(|settings| {
                settings.changes_per_second = 10;
                settings.limits = TableLimits::of(100);
            });
            let many: Vec<_> = (1..=10).map(|port| of(ANN, port)).collect();
            stored.done(stored.insert(&many, false));
            let now = stored.now + Duration::from_secs(1);
            Stored { now, ..stored }
        };
        let is_busy = |stored: &Stored| {
            let mut answer = stored.delete(ANN, 1);
            matches!(poll(&mut answer), Some(Reply::Fault { status, .. })
                if status == FaultStatus::SERVER_TOO_BUSY)
        };
        let stored = paying();
        stored.done(stored.insert(&[of(ANN, 11)], true));
        assert!(is_busy(&stored));
        // Also where it is in vain, since the second entry is refused.
        let stored = paying();
        let nobodys = Entry::new(OTHER, &tcp_tower(SAMR, 1), b"", Owner::Configuration);
        stored
            .mapper
            .write(|table| table.insert(nobodys.unwrap()))
            .unwrap();
        let refused = Entry::new(OTHER, &tcp_tower(SAMR, 1), b"", ANN).unwrap();
        let answer = stored.insert(&[of(ANN, 11), refused], true);
        assert_eq!(status(answer), EptStatus::CANT_PERFORM_OP);
        assert_eq!(stored.entries().len(), 11);
        assert!(is_busy(&stored));
    }

    #[test]
    fn a_process_gives_back_what_it_registered_and_nothing_else() {
        let stored = Stored::new();
        let [own, other] = [7, 8].map(|pid| Process { pid, started: 1 });
        let lives = [Life::Process(own), Life::Process(other), Life::Probe];
        let living = |(life, port)| of(ANN, port).living(life, 1);
        let entries: Vec<_> = lives.into_iter().zip(1..).map(living).collect();
        stored.done(stored.insert(&entries, false));
        let leave = |process| stored.wish_from(ANN, process, Wish::Leave);
        assert_eq!(status(leave(None)), EptStatus::CANT_PERFORM_OP);
        stored.done(leave(Some(own)));
        let left = stored.entries().into_iter().map(|(_, entry)| entry);
        assert!(left.eq(entries[1..].iter().cloned()));
        assert_eq!(status(leave(Some(own))), EptStatus::NOT_REGISTERED);
    }

    #[test]
    fn refusals_of_one_network_on_ipv6_are_logged_as_those_of_one_caller() {
        let stored = Stored::within(|settings| settings.refusals_per_second = 1);
        let refuse = |address: &str| {
            let by = Registrant::at(address.parse().unwrap());
            stored.mapper.refused_caller("insert", &by, Vec::new);
            stored.count(Counter::NotLogged)
        };
        assert_eq!(["2001:db8::1", "2001:db8:0:1::1"].map(refuse), [0, 0]);
        assert_eq!(
            ["2001:db8::2", "192.0.2.1", "192.0.2.2"].map(refuse),
            [1, 1, 1]
        );
    }

    #[test]
    fn changes_aside_whose_callers_are_gone_take_one_thread_and_what_was_begun_is_made() {
        let stored = Stored::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let book = lock(&stored.mapper.book);
        let tasks = [1, 2, 3].map(|port| runtime.spawn(stored.insert(&[of(ANN, port)], false)));
        runtime.block_on(async { tokio::task::yield_now().await });
        // The first one is begun, the others wait for it.
        let [first, second, third] = tasks;
        first.abort();
        second.abort();
        runtime.block_on(async { tokio::task::yield_now().await });
        assert_eq!(stored.mapper.changing.available_permits(), 0);
        drop(book);
        let mapper = stored.mapper.clone();
        let writer = std::thread::spawn(move || {
            let mut written = 0;
            while written < 2 {
                let batch = mapper.next_batch().unwrap();
                written += batch.0.len();
                mapper.settle(batch, true);
            }
        });
        let reply = runtime.block_on(third).unwrap();
        assert!(matches!(reply, Reply::Response(_)));
        writer.join().unwrap();
        assert_eq!(stored.entries().len(), 2);
    }

    #[test]
    fn a_change_that_meets_another_one_under_way_waits_aside() {
        let stored = Stored::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let book = lock(&stored.mapper.book);
        let answer = stored.insert(&[of(ANN, 1)], false);
        assert!(stored.entries().is_empty());
        drop(book);
        let mapper = stored.mapper.clone();
        let writer = std::thread::spawn(move || {
            let batch = mapper.next_batch().unwrap();
            mapper.settle(batch, true);
        });
        assert!(matches!(runtime.block_on(answer), Reply::Response(_)));
        writer.join().unwrap();
        assert_eq!(stored.entries().len(), 1);
    }
}
