//! The endpoint mapper's registry behind its lock, and its interfaces.
//!
//! Calls read the table as it is. Whoever changes it holds the book, so
//! that changes come one by one; what callers changed is answered once it is
//! written to disk, where there is one.

mod audit;
mod changes;
mod control;
mod lives;
mod queue;

pub use audit::{Counter, Counters, End, TARGET as AUDIT_TARGET};
pub use queue::Batch;

use super::{Statistics, lock};
use crate::registry::{
    Changed, Entry, EntryId, Leases, Owner, Policy, ProbeSettings, Probes, Process, Rates,
    RegistryError, Table, TableLimits,
};
use crate::service::{
    self, Access, Call, Conversation, Interface, Outcome, Reply, Required, Trust, mgmt,
    registration,
};
use crate::wire::{SyntaxId, TransferSyntax};
use queue::Queue;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc};
use uuid::Uuid;

/// Owners whose changes are counted at a time; who rests for a second is
/// forgotten, and an owner above it waits for that.
const CHANGING_OWNERS: usize = 65_536;

/// Callers whose refusals are counted at a time, to be logged or not.
const REFUSED_CALLERS: usize = 4096;

/// The registry that calls read, and that the configuration and callers fill.
pub struct Mapper {
    /// The registry.
    table: RwLock<Table>,
    /// Held by whoever changes the table.
    book: Mutex<Book>,
    /// Changes on their way to the disk, where there is one.
    queue: Option<Queue>,
    /// How refusals of each caller are logged.
    refusals: Mutex<Rates<Owner>>,
    /// What is counted of changes.
    counters: Counters,
    /// What does not change.
    settings: MapperSettings,
    /// How stubs may be written, the preferred way first.
    transfer_syntaxes: [TransferSyntax; 2],
    /// What mgmt tells of the traffic.
    statistics: Arc<Statistics>,
    /// Taken by whoever tells of the status.
    telling: Arc<Semaphore>,
    /// Taken by a change that waits for the book aside.
    changing: Arc<Semaphore>,
    /// Told when a lease may end earlier than any did before.
    leases_changed: Notify,
    /// Told when a probe may be due earlier than any was before.
    probes_changed: Arc<Notify>,
    /// Told of processes that have another entry, or one less.
    processes: mpsc::UnboundedSender<Process>,
}

/// What a mapper is made with.
pub struct MapperSettings {
    /// How to speak where real mappers differ.
    pub conversation: Conversation,
    /// Which transfer syntax is taken of those that a client offers; the other
    /// one is when it is offered alone.
    pub preferred: TransferSyntax,
    /// The registry's own object UUID.
    pub object: Uuid,
    /// How much the registry may hold.
    pub limits: TableLimits,
    /// Who may register what.
    pub policy: Policy,
    /// Who is answered at all.
    pub access: Access,
    /// Entries that one owner may change in a second.
    pub changes_per_second: usize,
    /// Refused entries of one caller that are logged in a second.
    pub refusals_per_second: usize,
    /// Whether an address is one of this host.
    pub is_here: Box<dyn Fn(Ipv4Addr) -> bool + Send + Sync>,
    /// How servers are probed.
    pub probe: ProbeSettings,
    /// Whether addresses that are not this host's are probed.
    pub probes_foreign: bool,
    /// The shortest and the longest lease.
    pub leases: RangeInclusive<Duration>,
    /// Whether changes are written to a disk, and answered only then.
    pub is_stored: bool,
}

impl MapperSettings {
    /// A mapper of at most `entries` entries, in which nobody but root of this
    /// host registers, and which forgets.
    pub fn new(conversation: Conversation, entries: usize) -> MapperSettings {
        MapperSettings {
            conversation,
            preferred: conversation.preferred_transfer_syntax(),
            object: Uuid::new_v4(),
            limits: TableLimits::of(entries),
            policy: Policy::default(),
            access: Access::default(),
            changes_per_second: usize::MAX,
            refusals_per_second: 10,
            is_here: Box::new(|address| address.is_loopback() || address.is_unspecified()),
            probe: ProbeSettings::default(),
            probes_foreign: false,
            leases: Duration::from_secs(1)..=Duration::from_secs(24 * 3600),
            is_stored: false,
        }
    }
}

/// What goes with the table, and changes with it.
struct Book {
    /// The leases that run.
    leases: Leases,
    /// The endpoints that are probed.
    probes: Probes,
    /// How fast each owner changes entries.
    rates: Rates<Owner>,
}

impl Mapper {
    /// An empty registry. Whenever entries come or go whose end is that of a
    /// process, the process is told to the receiver: `has_process` tells then
    /// whether it is still to be watched.
    pub fn new(settings: MapperSettings) -> (Arc<Self>, mpsc::UnboundedReceiver<Process>) {
        let (processes, told) = mpsc::unbounded_channel();
        let mapper = Arc::new(Mapper {
            table: RwLock::new(Table::within(settings.object, settings.limits)),
            book: Mutex::new(Book {
                leases: Leases::default(),
                probes: Probes::new(settings.probe),
                rates: Rates::new(settings.changes_per_second, CHANGING_OWNERS),
            }),
            queue: settings.is_stored.then(Queue::default),
            refusals: Mutex::new(Rates::new(settings.refusals_per_second, REFUSED_CALLERS)),
            counters: Counters::default(),
            transfer_syntaxes: match settings.preferred {
                TransferSyntax::Ndr => [TransferSyntax::Ndr, TransferSyntax::Ndr64],
                TransferSyntax::Ndr64 => [TransferSyntax::Ndr64, TransferSyntax::Ndr],
            },
            settings,
            statistics: Arc::default(),
            telling: Arc::new(Semaphore::new(1)),
            changing: Arc::new(Semaphore::new(1)),
            leases_changed: Notify::new(),
            probes_changed: Arc::default(),
            processes,
        });
        (mapper, told)
    }

    /// The counters that a server of this mapper's interfaces has to keep.
    pub fn statistics(&self) -> Arc<Statistics> {
        self.statistics.clone()
    }

    /// How often what happened to registrations.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Brings back what a store has kept, under the numbers that it had; of
    /// each lease, when it ends. Comes before anything else is registered.
    pub fn restore(&self, entries: Vec<(EntryId, Entry)>, leases: &[(Uuid, Instant)]) {
        let mut book = lock(&self.book);
        let changes = self.write(|table| {
            entries
                .into_iter()
                .map(|(id, entry)| {
                    table.restore(id, entry.clone());
                    crate::registry::Change::Inserted(id, entry)
                })
                .collect::<Vec<_>>()
        });
        self.resume(&mut book, &changes, leases);
    }

    /// Makes `entries` all that `owner` has in the registry. Entries that were
    /// there stay as they are, so that a walk under way still sees them once.
    ///
    /// # Errors
    /// When the registry would grow above its limit; it is not changed then.
    pub fn replace_owned(
        &self,
        owner: Owner,
        entries: Vec<Entry>,
    ) -> Result<Changed, RegistryError> {
        let mut book = lock(&self.book);
        // A copy is changed while calls go on reading the old table.
        let mut table = self.read(Table::clone);
        let (changed, changes) = table.replace_owned(owner, entries)?;
        let mut current = self.table.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *current, &mut table);
        drop(current);
        self.take_over(&mut book, changes);
        Ok(changed)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.read(Table::len)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The interfaces to serve: ept first, then mgmt.
    pub fn interfaces(self: &Arc<Self>) -> Vec<Arc<dyn Interface>> {
        vec![Arc::new(Ept(self.clone())), Arc::new(Mgmt(self.clone()))]
    }

    /// The interfaces for callers on this host only: the control interface.
    pub fn local_interfaces(self: &Arc<Self>) -> Vec<Arc<dyn Interface>> {
        vec![Arc::new(control::Control(self.clone()))]
    }

    /// Refuses a call of whoever has not proved enough for it, and counts that.
    ///
    /// # Errors
    /// As [`Access::check`].
    fn admit(&self, kind: Required, trust: Trust) -> Result<(), Reply> {
        let admitted = self.settings.access.check(kind, trust);
        if admitted.is_err() {
            self.counters.add(Counter::RefusedUnproved);
        }
        admitted
    }

    /// Reads the registry.
    fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the registry; the book is held meanwhile.
    fn write<T>(&self, write: impl FnOnce(&mut Table) -> T) -> T {
        write(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Mapper {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Mapper")
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

/// The endpoint mapper interface.
struct Ept(Arc<Mapper>);

impl Interface for Ept {
    fn id(&self) -> SyntaxId {
        SyntaxId::EPT
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &self.0.transfer_syntaxes
    }

    fn call(&self, call: Call<'_>) -> Outcome {
        if let Err(refusal) = self.0.admit(Required::of_ept(call.opnum), call.trust) {
            return refusal.into();
        }
        if registration::is_change(call.opnum) {
            return self.0.change(call);
        }
        let conversation = self.0.settings.conversation;
        self.0
            .read(|table| service::ept::call(table, conversation, call))
            .into()
    }
}

/// Remote management of the mapper.
struct Mgmt(Arc<Mapper>);

impl Interface for Mgmt {
    fn id(&self) -> SyntaxId {
        SyntaxId::MGMT
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &self.0.transfer_syntaxes
    }

    fn call(&self, call: Call<'_>) -> Outcome {
        if let Err(refusal) = self.0.admit(Required::of_mgmt(call.opnum), call.trust) {
            return refusal.into();
        }
        let view = mgmt::View {
            interfaces: &[SyntaxId::EPT],
            statistics: self.0.statistics.read(),
        };
        mgmt::call(&view, self.0.settings.conversation, call).into()
    }
}
