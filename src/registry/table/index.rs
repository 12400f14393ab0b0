//! What the table finds entries by, and walks through what it found.

use super::EntryId;
use crate::registry::entry::Entry;
use crate::registry::liveness::{Life, Process};
use crate::registry::owner::Owner;
use crate::wire::tower::Shape;
use std::collections::{BTreeMap, btree_map, btree_set};
use uuid::Uuid;

/// What the index finds entries by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::registry) enum Key {
    /// The interface's UUID.
    Interface(Uuid),
    /// The object.
    Object(Uuid),
    /// The interface's UUID and the object.
    Both(Uuid, Uuid),
    /// Object, protocol sequence and transfer syntax's UUID, for the first
    /// entry of each endpoint.
    First(Uuid, Shape, Uuid),
    /// The process whose end is the entry's.
    Process(Process),
    /// The lease that keeps the entry.
    Lease(Uuid),
    /// The interface's UUID and the owner.
    Owned(Uuid, OwnerNumber),
    /// The digest of its kin, and the interface's minor version.
    Version(u64, u16),
    /// The digest of its kin at the same address, and the owner.
    Neighbour(u64, OwnerNumber),
    /// The digest of its place, the object, and the owner.
    Place(u64, Uuid, OwnerNumber),
}

impl Key {
    /// The keys that an entry of an owner has whatever else is in the table.
    pub(super) fn of(entry: &Entry, owner: OwnerNumber) -> impl Iterator<Item = Key> {
        let (interface, object) = (entry.interface().uuid, entry.object());
        let digests = entry.digests();
        let always = [
            Key::Interface(interface),
            Key::Object(object),
            Key::Both(interface, object),
            Key::Owned(interface, owner),
            Key::Version(digests.kin, entry.interface().minor),
            Key::Neighbour(digests.neighbours, owner),
            Key::Place(digests.place, object, owner),
        ];
        let of_life = match entry.life() {
            Life::Process(process) => Some(Key::Process(process)),
            Life::Lease(lease) => Some(Key::Lease(lease.id)),
            Life::Permanent | Life::Probe => None,
        };
        always.into_iter().chain(of_life)
    }

    /// The key that the first entry of an endpoint has besides.
    pub(super) fn first(entry: &Entry) -> Key {
        Key::First(entry.object(), entry.shape(), entry.transfer_syntax().uuid)
    }
}

/// What keys have in the place of an owner, whose name may be long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::registry) struct OwnerNumber(u64);

impl OwnerNumber {
    /// Before all others.
    pub(super) const FIRST: OwnerNumber = OwnerNumber(0);
    /// Behind all others.
    pub(super) const LAST: OwnerNumber = OwnerNumber(u64::MAX);
}

/// Who has entries, and how many. An owner has its number as long as it has
/// any, and no other has it then or later.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    last: u64,
    owners: BTreeMap<Owner, (OwnerNumber, usize)>,
}

impl Owners {
    /// Counts another entry of an owner; gives its number.
    pub(super) fn enter(&mut self, owner: &Owner) -> OwnerNumber {
        if let Some((number, count)) = self.owners.get_mut(owner) {
            *count += 1;
            return *number;
        }
        self.last += 1;
        let number = OwnerNumber(self.last);
        self.owners.insert(owner.clone(), (number, 1));
        number
    }

    /// Counts an entry of an owner less; gives the number that it had.
    pub(super) fn leave(&mut self, owner: &Owner) -> Option<OwnerNumber> {
        let (number, count) = self.owners.get_mut(owner)?;
        let number = *number;
        *count -= 1;
        if *count == 0 {
            self.owners.remove(owner);
        }
        Some(number)
    }

    /// The number of an owner that has entries.
    pub(super) fn number(&self, owner: &Owner) -> Option<OwnerNumber> {
        self.owners.get(owner).map(|(number, _)| *number)
    }

    /// Whose each number is, and how many entries each owner has.
    #[cfg(test)]
    pub(super) fn told(self) -> (BTreeMap<OwnerNumber, Owner>, BTreeMap<Owner, usize>) {
        let told = self.owners.into_iter();
        told.map(|(owner, (number, count))| ((number, owner.clone()), (owner, count)))
            .unzip()
    }

    /// How many entries an owner has.
    pub(super) fn count(&self, owner: &Owner) -> usize {
        self.owners.get(owner).map_or(0, |(_, count)| *count)
    }
}

/// Entries in insertion order: all, or those under one key.
pub(super) enum Candidates<'a> {
    /// Straight from the table.
    All(btree_map::Range<'a, EntryId, Entry>),
    /// Through the index.
    Indexed(
        &'a BTreeMap<EntryId, Entry>,
        btree_set::Range<'a, (Key, EntryId)>,
    ),
}

impl<'a> Iterator for Candidates<'a> {
    type Item = (EntryId, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Candidates::All(range) => range.next().map(|(id, entry)| (*id, entry)),
            Candidates::Indexed(entries, range) => {
                let (_, id) = range.next()?;
                entries.get_key_value(id).map(|(id, entry)| (*id, entry))
            }
        }
    }
}
