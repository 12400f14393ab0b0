//! The endpoint mapper's registry behind its lock, and its interfaces.

use super::{Statistics, lock};
use crate::registry::{Changed, Entry, Owner, RegistryError, Table};
use crate::service::{self, Call, Conversation, Interface, Outcome, mgmt};
use crate::wire::{SyntaxId, TransferSyntax};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use uuid::Uuid;

/// The registry that calls read and the configuration fills.
#[derive(Debug)]
pub struct Mapper {
    /// The registry.
    table: RwLock<Table>,
    /// Held by whoever changes the table, so that changes come one by one.
    change: Mutex<()>,
    /// How to speak where real mappers differ.
    conversation: Conversation,
    /// How stubs may be written, the preferred way first.
    transfer_syntaxes: [TransferSyntax; 2],
    /// What mgmt tells of the traffic.
    statistics: Arc<Statistics>,
}

impl Mapper {
    /// An empty registry of at most `entries` entries, with an object UUID of
    /// its own. Of the transfer syntaxes that a client offers, `preferred` is
    /// taken; the other one when it is offered alone.
    pub fn new(conversation: Conversation, preferred: TransferSyntax, entries: usize) -> Arc<Self> {
        Arc::new(Mapper {
            table: RwLock::new(Table::new(Uuid::new_v4(), entries)),
            change: Mutex::default(),
            conversation,
            transfer_syntaxes: match preferred {
                TransferSyntax::Ndr => [TransferSyntax::Ndr, TransferSyntax::Ndr64],
                TransferSyntax::Ndr64 => [TransferSyntax::Ndr64, TransferSyntax::Ndr],
            },
            statistics: Arc::default(),
        })
    }

    /// The counters that a server of this mapper's interfaces has to keep.
    pub fn statistics(&self) -> Arc<Statistics> {
        self.statistics.clone()
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
        let _alone = lock(&self.change);
        // A copy is changed while calls go on reading the old table.
        let mut table = self.read(Table::clone);
        let changed = table.replace_owned(owner, entries)?;
        let mut current = self.table.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *current, &mut table);
        drop(current);
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

    /// Reads the registry.
    fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.table.read().unwrap_or_else(PoisonError::into_inner))
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
        let conversation = self.0.conversation;
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
        let view = mgmt::View {
            interfaces: &[SyntaxId::EPT],
            statistics: self.0.statistics.read(),
        };
        mgmt::call(&view, self.0.conversation, call).into()
    }
}
