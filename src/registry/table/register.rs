//! What callers and the ends of lives change: all of it or nothing, and back.

use super::index::{Key, OwnerNumber};
use super::{EntryId, Table};
use crate::registry::change::Change;
use crate::registry::entry::{Digests, Entry, RegistryError};
use crate::registry::liveness::Process;
use crate::registry::owner::Owner;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included};
use uuid::Uuid;

impl Table {
    /// Registers what a caller asks for, all of it or nothing.
    ///
    /// With `replace`, what stood for the same service at the same address
    /// goes. `is_exclusive` tells of an interface whether it belongs to who
    /// registered it first.
    ///
    /// # Errors
    /// Of the first entry that is not taken: `NotOwner`, `Exclusive`,
    /// `HigherVersion`, or a limit. The table is as it was then.
    ///
    /// # Source
    /// The DCE reference, ept_insert.
    pub fn register(
        &mut self,
        entries: Vec<Entry>,
        replace: bool,
        is_exclusive: impl Fn(Uuid) -> bool,
    ) -> Result<Vec<Change>, RegistryError> {
        let mut changes = Vec::with_capacity(entries.len());
        for entry in entries {
            let registered = self.register_one(entry, replace, &is_exclusive, &mut changes);
            if let Err(error) = registered {
                self.give_up(&changes);
                return Err(error);
            }
        }
        Ok(changes)
    }

    /// Registers one entry.
    fn register_one(
        &mut self,
        entry: Entry,
        replace: bool,
        is_exclusive: impl Fn(Uuid) -> bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), RegistryError> {
        let owner = entry.owner();
        if is_exclusive(entry.interface().uuid)
            && let Some(other) = self.other_owner(owner, entry.interface().uuid)
        {
            return Err(RegistryError::Exclusive(other));
        }
        let there = self.find(&entry).and_then(|id| self.get(id));
        if let Some(there) = there.filter(|there| !owner.may_change(there.owner())) {
            return Err(RegistryError::NotOwner(there.owner().clone()));
        }
        if replace {
            for id in self.replaced_by(&entry)? {
                self.take_out(id, changes);
            }
        }
        self.check_length(&entry)?;
        if self.find(&entry).is_none() {
            self.check_room(&entry)?;
        }
        changes.push(self.put(entry));
        Ok(())
    }

    /// Who else has entries of an interface and may not be passed over.
    fn other_owner(&self, owner: &Owner, interface: Uuid) -> Option<Owner> {
        let key = |owner| Key::Owned(interface, owner);
        self.stranger(owner, key, |_| true)
    }

    /// The entries that a registration with replace stands in for, itself
    /// aside.
    fn replaced_by(&self, entry: &Entry) -> Result<Vec<EntryId>, RegistryError> {
        let Digests {
            kin, neighbours, ..
        } = entry.digests();
        let minor = entry.interface().minor;
        let later = (
            Excluded((Key::Version(kin, minor), EntryId::END)),
            Included((Key::Version(kin, u16::MAX), EntryId::END)),
        );
        let mut later = self.indexed(later).map(|(_, there)| there);
        if let Some(there) = later.find(|there| there.is_kin(entry)) {
            return Err(RegistryError::HigherVersion(there.interface().minor));
        }
        let key = |owner| Key::Neighbour(neighbours, owner);
        let goes = |there: &Entry| there.is_kin(entry) && there.shares_address(entry);
        if let Some(other) = self.stranger(entry.owner(), key, goes) {
            return Err(RegistryError::NotOwner(other));
        }
        let neighbours = self.among(key(OwnerNumber::FIRST), key(OwnerNumber::LAST));
        let replaced = neighbours
            .filter(|(_, there)| goes(there) && there.tower() != entry.tower())
            .map(|(id, _)| id);
        Ok(replaced.collect())
    }

    /// The first owner of the entries under the keys of all owners that
    /// `owner` may not pass over. However many one has, they cost one step.
    fn stranger(
        &self,
        owner: &Owner,
        key: impl Fn(OwnerNumber) -> Key,
        counts: impl Fn(&Entry) -> bool,
    ) -> Option<Owner> {
        let mut from = Included((key(OwnerNumber::FIRST), EntryId::START));
        loop {
            let to = Included((key(OwnerNumber::LAST), EntryId::END));
            let (id, there) = self.indexed((from, to)).next()?;
            let of = there.owner();
            let number = self.owners.number(of)?;
            from = match counts(there) {
                true if !owner.may_change(of) => return Some(of.clone()),
                true => Excluded((key(number), EntryId::END)),
                false => Excluded((key(number), id)),
            };
        }
    }

    /// Checks the limit of one entry.
    fn check_length(&self, entry: &Entry) -> Result<(), RegistryError> {
        let (octets, limit) = (entry.len_octets(), self.limits.octets);
        if octets > limit {
            return Err(RegistryError::TooLong { octets, limit });
        }
        Ok(())
    }

    /// Checks the limits of registrants for one entry more.
    fn check_room(&self, entry: &Entry) -> Result<(), RegistryError> {
        let (limits, owner) = (&self.limits, entry.owner());
        if self.owners.count(owner) >= limits.per_owner {
            let (owner, limit) = (owner.clone(), limits.per_owner);
            return Err(RegistryError::OwnerFull { owner, limit });
        }
        let of_interface = self.interfaces.get(&entry.interface().uuid);
        if of_interface.copied().unwrap_or(0) >= limits.per_interface {
            let limit = limits.per_interface;
            return Err(RegistryError::InterfaceFull { limit });
        }
        self.check_all()
    }

    /// Checks the limit of all entries for one more.
    pub(super) fn check_all(&self) -> Result<(), RegistryError> {
        let limit = self.limits.entries;
        match self.entries.len() < limit {
            true => Ok(()),
            false => Err(RegistryError::Full { limit }),
        }
    }

    /// Takes out what `owner` names by object and tower, all of it or nothing.
    ///
    /// # Errors
    /// Of the first that is not there, `NotRegistered`, or belongs to somebody
    /// else, `NotOwner`. The table is as it was then.
    ///
    /// # Source
    /// The DCE reference, ept_delete.
    pub fn withdraw<'a>(
        &mut self,
        owner: &Owner,
        named: impl IntoIterator<Item = (Uuid, &'a [u8])>,
    ) -> Result<Vec<Change>, RegistryError> {
        let mut changes = Vec::new();
        for (object, tower) in named {
            let identity = (object, Bytes::copy_from_slice(tower));
            let found = self.identities.get(&identity).copied();
            let found = found.ok_or(RegistryError::NotRegistered);
            let own = found.and_then(|id| self.check_owner(owner, id).map(|()| id));
            match own {
                Ok(id) => self.take_out(id, &mut changes),
                Err(error) => {
                    self.give_up(&changes);
                    return Err(error);
                }
            }
        }
        Ok(changes)
    }

    /// Takes out every entry of the interface of `like`, in its very version,
    /// at its endpoint and address; of `object` only, where that is told.
    ///
    /// # Errors
    /// `NotRegistered` when there is none, `NotOwner` when one of them belongs
    /// to somebody else. The table is as it was then.
    ///
    /// # Source
    /// The DCE reference, ept_mgmt_delete.
    pub fn withdraw_place(
        &mut self,
        owner: &Owner,
        object: Option<Uuid>,
        like: &Entry,
    ) -> Result<Vec<Change>, RegistryError> {
        let found = self.find_place(owner, object, like)?;
        Ok(self.remove_all(found))
    }

    /// The entries that `withdraw_place` takes out.
    ///
    /// # Errors
    /// As `withdraw_place`.
    pub fn find_place(
        &self,
        owner: &Owner,
        object: Option<Uuid>,
        like: &Entry,
    ) -> Result<Vec<EntryId>, RegistryError> {
        let found = self
            .at_place(object, like)
            .filter(|(_, there)| there.shares_place(like))
            .map(|(id, there)| owner.may_change(there.owner()).then_some(id).ok_or(there));
        let found: Result<BTreeSet<EntryId>, &Entry> = found.collect();
        let found = found.map_err(|there| RegistryError::NotOwner(there.owner().clone()))?;
        if found.is_empty() {
            return Err(RegistryError::NotRegistered);
        }
        Ok(found.into_iter().collect())
    }

    /// The entries of the interface of `like` at its endpoint and address, and
    /// what has their digest; of `object` only, where that is told.
    pub fn at_place(
        &self,
        object: Option<Uuid>,
        like: &Entry,
    ) -> impl Iterator<Item = (EntryId, &Entry)> {
        let place = like.digests().place;
        let key = |object, owner| Key::Place(place, object, owner);
        let (first, last) = object.map_or((Uuid::nil(), Uuid::max()), |object| (object, object));
        self.among(key(first, OwnerNumber::FIRST), key(last, OwnerNumber::LAST))
    }

    /// Takes out every entry of a process.
    pub fn end_process(&mut self, process: Process) -> Vec<Change> {
        self.remove_all(self.of_process(process))
    }

    /// Takes out every entry of a lease.
    pub fn end_lease(&mut self, lease: Uuid) -> Vec<Change> {
        self.remove_all(self.of_lease(lease))
    }

    /// Every entry of a process, in insertion order.
    pub fn of_process(&self, process: Process) -> Vec<EntryId> {
        let found = self.candidates(Key::Process(process), EntryId::START);
        found.map(|(id, _)| id).collect()
    }

    /// Every entry of a lease, in insertion order.
    pub fn of_lease(&self, lease: Uuid) -> Vec<EntryId> {
        let found = self.candidates(Key::Lease(lease), EntryId::START);
        found.map(|(id, _)| id).collect()
    }

    /// Whether any entry has the life of this process.
    pub fn has_process(&self, process: Process) -> bool {
        let mut found = self.candidates(Key::Process(process), EntryId::START);
        found.next().is_some()
    }

    /// Whether any entry is of this lease.
    pub fn has_lease(&self, lease: Uuid) -> bool {
        let mut found = self.candidates(Key::Lease(lease), EntryId::START);
        found.next().is_some()
    }

    /// Takes entries out; those that are gone already are passed over.
    pub fn remove_all(&mut self, ids: impl IntoIterator<Item = EntryId>) -> Vec<Change> {
        let mut changes = Vec::new();
        for id in ids {
            self.take_out(id, &mut changes);
        }
        changes
    }

    /// Takes an entry out, as a change.
    fn take_out(&mut self, id: EntryId, changes: &mut Vec<Change>) {
        let removed = self.remove(id);
        changes.extend(removed.map(|entry| Change::Removed(id, entry)));
    }

    /// Whether `owner` may take an entry out.
    fn check_owner(&self, owner: &Owner, id: EntryId) -> Result<(), RegistryError> {
        let other = self.get(id).map(Entry::owner);
        let other = other.filter(|other| !owner.may_change(other));
        other.map_or(Ok(()), |other| Err(RegistryError::NotOwner(other.clone())))
    }

    /// Takes the steps of a change back that is refused.
    fn give_up(&mut self, changes: &[Change]) {
        self.in_vain += changes.len();
        self.undo(changes);
    }

    /// How many steps of refused changes were taken back since the last
    /// question: one entry in the place of many others takes many.
    pub fn take_in_vain(&mut self) -> usize {
        std::mem::take(&mut self.in_vain)
    }

    /// Takes changes back, the last first.
    ///
    /// What somebody else has changed since stays as it is.
    pub fn undo(&mut self, changes: &[Change]) {
        for change in changes.iter().rev() {
            match change {
                Change::Inserted(id, entry) if self.get(*id) == Some(entry) => {
                    self.remove(*id);
                }
                Change::Removed(id, entry) => self.restore(*id, entry.clone()),
                Change::Renewed { id, before, after } if self.get(*id) == Some(after) => {
                    self.remove(*id);
                    self.place(*id, before.clone());
                }
                _ => {}
            }
        }
    }
}
