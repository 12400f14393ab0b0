//! What changed, as values: a store writes them, a watcher reads them, and a
//! table takes them back.

use super::entry::Entry;
use super::table::EntryId;
use std::time::Instant;
use uuid::Uuid;

/// One step of a change.
#[expect(
    clippy::large_enum_variant,
    reason = "entries share their octets; a box would cost more than it saves"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An entry is new.
    Inserted(EntryId, Entry),
    /// An entry is gone.
    Removed(EntryId, Entry),
    /// An entry was registered once more.
    Renewed {
        /// Which one.
        id: EntryId,
        /// As it was.
        before: Entry,
        /// As it is.
        after: Entry,
    },
    /// A lease lasts until then.
    Leased {
        /// Its id.
        lease: Uuid,
        /// When it ends.
        until: Instant,
    },
    /// A lease is no more.
    Unleased(Uuid),
}

impl Change {
    /// The entry that it leaves behind under its number: `None` where it is
    /// gone, nothing where it is no change of an entry.
    pub fn left(&self) -> Option<(EntryId, Option<&Entry>)> {
        match self {
            Change::Inserted(id, entry) => Some((*id, Some(entry))),
            Change::Removed(id, _) => Some((*id, None)),
            Change::Renewed { id, after, .. } => Some((*id, Some(after))),
            Change::Leased { .. } | Change::Unleased(_) => None,
        }
    }

    /// The entry that it is about, as it is or was last; `None` where it is no
    /// change of an entry.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Change::Inserted(_, entry) | Change::Removed(_, entry) => Some(entry),
            Change::Renewed { after, .. } => Some(after),
            Change::Leased { .. } | Change::Unleased(_) => None,
        }
    }
}
