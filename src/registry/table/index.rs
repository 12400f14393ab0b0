//! What the table finds entries by, and walks through what it found.

use super::EntryId;
use crate::registry::entry::Entry;
use crate::registry::liveness::{Life, Process};
use crate::registry::owner::Owner;
use crate::wire::tower::Shape;
use std::collections::{BTreeMap, btree_map, btree_set};
use uuid::Uuid;

/// What the index finds entries by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    Owned(Uuid, Owner),
    /// The digest of its kin, and the interface's minor version.
    Version(u64, u16),
    /// The digest of its kin at the same address, and the owner.
    Neighbour(u64, Owner),
    /// The digest of its place, the object, and the owner.
    Place(u64, Uuid, Owner),
}

impl Key {
    /// The keys that an entry has whatever else is in the table.
    pub(super) fn of(entry: &Entry) -> impl Iterator<Item = Key> {
        let (interface, object) = (entry.interface().uuid, entry.object());
        let (owner, digests) = (entry.owner(), entry.digests());
        let always = [
            Key::Interface(interface),
            Key::Object(object),
            Key::Both(interface, object),
            Key::Owned(interface, owner.clone()),
            Key::Version(digests.kin, entry.interface().minor),
            Key::Neighbour(digests.neighbours, owner.clone()),
            Key::Place(digests.place, object, owner.clone()),
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
