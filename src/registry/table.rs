//! The table of entries and its indices.

mod index;
mod register;

pub(super) use index::Key;

use super::change::Change;
use super::entry::{Entry, RegistryError};
use super::inquiry::{Inquiry, MapQuery};
use super::owner::Owner;
use bytes::Bytes;
use index::{Candidates, Owners};
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::RangeBounds;
use uuid::Uuid;

/// The registry: entries in insertion order, found by what callers ask.
///
/// Ordered trees all through: no entry costs more than the logarithm of their
/// number, a walk goes on anywhere, and nothing here needs a random seed.
#[derive(Clone, Debug)]
pub struct Table {
    object: Uuid,
    limits: TableLimits,
    last: EntryId,
    entries: BTreeMap<EntryId, Entry>,
    index: BTreeSet<(Key, EntryId)>,
    /// Object and tower of every entry.
    identities: BTreeMap<(Uuid, Bytes), EntryId>,
    /// Every entry by its endpoint, to know the first of each.
    endpoints: BTreeSet<((Uuid, Bytes), EntryId)>,
    /// Who has entries.
    owners: Owners,
    /// How many entries of registrants each interface has.
    interfaces: BTreeMap<Uuid, usize>,
    /// Steps of refused changes that were taken back.
    in_vain: usize,
}

/// How much a table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// Entries in all.
    pub entries: usize,
    /// Entries of one registrant.
    pub per_owner: usize,
    /// Entries of one interface by registrants.
    pub per_interface: usize,
    /// Octets of one registrant's tower and annotation.
    pub octets: usize,
}

impl TableLimits {
    /// So many entries, whosever they are.
    pub fn of(entries: usize) -> TableLimits {
        TableLimits {
            entries,
            per_owner: entries,
            per_interface: entries,
            octets: usize::MAX,
        }
    }
}

impl Table {
    /// An empty table of at most `limit` entries.
    ///
    /// `object` is the table's own object UUID, which `ept_inq_object` tells.
    pub fn new(object: Uuid, limit: usize) -> Table {
        Table::within(object, TableLimits::of(limit))
    }

    /// An empty table within `limits`.
    pub fn within(object: Uuid, limits: TableLimits) -> Table {
        Table {
            object,
            limits,
            last: EntryId::START,
            entries: BTreeMap::new(),
            index: BTreeSet::new(),
            identities: BTreeMap::new(),
            endpoints: BTreeSet::new(),
            owners: Owners::default(),
            interfaces: BTreeMap::new(),
            in_vain: 0,
        }
    }

    /// The table's own object UUID.
    pub fn object(&self) -> Uuid {
        self.object
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every entry, in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// Every entry behind `after`, in insertion order.
    pub fn behind(&self, after: EntryId) -> impl Iterator<Item = (EntryId, &Entry)> {
        let behind = self.entries.range((Excluded(after), Unbounded));
        behind.map(|(id, entry)| (*id, entry))
    }

    /// The entry of that id.
    pub fn get(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The id of the entry with this object and tower.
    pub fn find(&self, entry: &Entry) -> Option<EntryId> {
        self.identities.get(&entry.identity()).copied()
    }

    /// Adds `entry` behind all others. One with the same object and tower
    /// stays in its place and takes the new annotation.
    ///
    /// # Errors
    /// `Full` when the table holds as many entries as it may.
    pub fn insert(&mut self, entry: Entry) -> Result<EntryId, RegistryError> {
        if self.find(&entry).is_none() {
            self.check_all()?;
        }
        Ok(match self.put(entry) {
            Change::Inserted(id, _) | Change::Removed(id, _) | Change::Renewed { id, .. } => id,
            Change::Leased { .. } | Change::Unleased(_) => EntryId::START,
        })
    }

    /// The same, as a change, and whether there is room or not.
    fn put(&mut self, entry: Entry) -> Change {
        if let Some(id) = self.find(&entry)
            && let Some(before) = self.remove(id)
        {
            let after = before.renewed(&entry);
            self.place(id, after.clone());
            return Change::Renewed { id, before, after };
        }
        self.last = self.last.next();
        self.place(self.last, entry.clone());
        Change::Inserted(self.last, entry)
    }

    /// Puts an entry under a number that is free.
    fn place(&mut self, id: EntryId, entry: Entry) {
        self.last = self.last.max(id);
        self.link(id, &entry);
        self.entries.insert(id, entry);
    }

    /// Takes an entry out.
    pub fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.unlink(id, &entry);
        Some(entry)
    }

    /// Brings an entry back under the number that it had; nothing happens
    /// where the number or the registration is taken.
    pub fn restore(&mut self, id: EntryId, entry: Entry) {
        if self.get(id).is_none() && self.find(&entry).is_none() {
            self.place(id, entry);
        }
    }

    /// Makes `wanted` the entries of `owner`, who is of the mapper's own side:
    /// what is there stays in its place, what is no longer wanted goes, what is
    /// new comes behind. Of what a registrant had as well, `owner` takes over.
    ///
    /// What registrants have leaves the own side its room: the table may hold
    /// more than its limit then, and takes nothing from them until it does not.
    ///
    /// # Errors
    /// `Full` when the own side would have more entries than the table may
    /// hold; then nothing has changed.
    pub fn replace_owned(
        &mut self,
        owner: Owner,
        wanted: Vec<Entry>,
    ) -> Result<(Changed, Vec<Change>), RegistryError> {
        let identities: BTreeSet<_> = wanted.iter().map(Entry::identity).collect();
        let kept = identities
            .iter()
            .filter(|identity| self.identities.contains_key(identity));
        let kept = kept.count();
        let added = identities.len() - kept;
        let is_new = |identity: &&(Uuid, Bytes)| {
            let there = self.identities.get(identity).and_then(|id| self.get(*id));
            there.is_none_or(|there| there.owner().is_registrant())
        };
        let new = identities.iter().filter(is_new).count();
        let own_side = [Owner::Mapper, Owner::Configuration];
        let own = own_side.map(|owner| self.owners.count(&owner));
        let own: usize = own.into_iter().sum();
        let unwanted: Vec<_> = self
            .iter()
            .filter(|(_, entry)| *entry.owner() == owner && !identities.contains(&entry.identity()))
            .map(|(id, _)| id)
            .collect();
        let limit = self.limits.entries;
        if own + new > limit + unwanted.len() {
            return Err(RegistryError::Full { limit });
        }
        let mut changes = self.remove_all(unwanted);
        let removed = changes.len();
        for entry in wanted {
            changes.push(self.put(entry));
        }
        let changed = Changed {
            added,
            removed,
            kept,
        };
        Ok((changed, changes))
    }

    /// The entries that match `inquiry`, from `from` on.
    ///
    /// Each comes with the position behind it.
    pub fn lookup(
        &self,
        inquiry: &Inquiry,
        from: Position,
    ) -> impl Iterator<Item = (Position, &Entry)> {
        let candidates = match inquiry.key() {
            None => Candidates::All(self.entries.range((Excluded(from.after), Unbounded))),
            Some(key) => self.candidates(key, from.after),
        };
        candidates
            .filter(|(_, entry)| inquiry.matches(entry))
            .map(|(after, entry)| (Position { pass: 0, after }, entry))
    }

    /// The entries that match `query`, from `from` on: those with the object
    /// asked for, then those with none.
    ///
    /// Each comes with the position behind it. For the management interface
    /// only the first entry of each endpoint comes.
    ///
    /// # Source
    /// C706 appendix O, ept_map; the order is the DCE reference's.
    pub fn map(
        &self,
        query: &MapQuery,
        from: Position,
    ) -> impl Iterator<Item = (Position, &Entry)> {
        let passes = query
            .passes()
            .into_iter()
            .flatten()
            .zip(0..)
            .skip(usize::from(from.pass));
        passes
            .flat_map(move |(object, pass)| {
                let after = if pass == from.pass {
                    from.after
                } else {
                    EntryId::START
                };
                let candidates = self.candidates(query.key(object), after);
                candidates.map(move |(after, entry)| (Position { pass, after }, entry))
            })
            .filter(|(_, entry)| query.matches(entry) && !self.is_seen_before(query, entry))
    }

    /// Whether a management walk had this entry's endpoint already under the
    /// object asked for.
    fn is_seen_before(&self, query: &MapQuery, entry: &Entry) -> bool {
        query.is_management() && entry.object() != query.object && {
            let (_, endpoint) = entry.endpoint();
            self.first_of(&(query.object, endpoint)).is_some()
        }
    }

    /// The entries under a key of the index, behind `after`.
    fn candidates(&self, key: Key, after: EntryId) -> Candidates<'_> {
        self.indexed((Excluded((key, after)), Included((key, EntryId::END))))
    }

    /// The entries under the keys from `first` to `last`, key by key.
    fn among(&self, first: Key, last: Key) -> Candidates<'_> {
        self.indexed((
            Included((first, EntryId::START)),
            Included((last, EntryId::END)),
        ))
    }

    /// The entries in a range of the index.
    fn indexed(&self, range: impl RangeBounds<(Key, EntryId)>) -> Candidates<'_> {
        Candidates::Indexed(&self.entries, self.index.range(range))
    }

    /// Enters `entry` into every index.
    fn link(&mut self, id: EntryId, entry: &Entry) {
        let owner = self.owners.enter(entry.owner());
        for key in Key::of(entry, owner) {
            self.index.insert((key, id));
        }
        let endpoint = entry.endpoint();
        // One that comes back comes before those that came since.
        let first = self.first_of(&endpoint);
        if first.is_none_or(|first| id < first) {
            first.map(|first| self.index.remove(&(Key::first(entry), first)));
            self.index.insert((Key::first(entry), id));
        }
        self.endpoints.insert((endpoint, id));
        self.identities.insert(entry.identity(), id);
        if entry.owner().is_registrant() {
            *self.interfaces.entry(entry.interface().uuid).or_default() += 1;
        }
    }

    /// Takes `entry` out of every index; the next one at its endpoint, if
    /// there is one, becomes the first.
    fn unlink(&mut self, id: EntryId, entry: &Entry) {
        // It was entered when the entry was linked.
        let owner = self.owners.leave(entry.owner()).unwrap_or_default();
        for key in Key::of(entry, owner) {
            self.index.remove(&(key, id));
        }
        let endpoint = (entry.endpoint(), id);
        self.endpoints.remove(&endpoint);
        if self.index.remove(&(Key::first(entry), id))
            && let Some(next) = self.first_of(&endpoint.0)
        {
            self.index.insert((Key::first(entry), next));
        }
        self.identities.remove(&entry.identity());
        if entry.owner().is_registrant() {
            count_down(&mut self.interfaces, entry.interface().uuid);
        }
    }

    /// The first entry at an endpoint.
    fn first_of(&self, endpoint: &(Uuid, Bytes)) -> Option<EntryId> {
        let from = (endpoint.clone(), EntryId::START);
        let (found, id) = self.endpoints.range(from..).next()?;
        (found == endpoint).then_some(*id)
    }
}

/// Takes one from a count; a count of none is not kept.
fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let btree_map::Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// The number of an entry. It rises with every insert: it is the insertion
/// order, and where a walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(u64);

impl EntryId {
    /// Before every entry.
    const START: EntryId = EntryId(0);
    /// Behind every entry.
    const END: EntryId = EntryId(u64::MAX);

    /// The entry of this number, as a store kept it.
    pub fn from_number(number: u64) -> EntryId {
        EntryId(number)
    }

    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The number after this one.
    ///
    /// One insert a nanosecond uses them up in 584 years.
    fn next(self) -> EntryId {
        EntryId(self.0 + 1)
    }
}

/// Where a walk stands: what it has seen lies before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which of the map's passes; a lookup has one.
    pass: u8,
    /// The last entry that it passed.
    after: EntryId,
}

impl Position {
    /// The beginning.
    pub const START: Position = Position {
        pass: 0,
        after: EntryId::START,
    };

    /// The position just before the entry that this one is just behind.
    ///
    /// A walk that looked ahead goes on from there, and need not look again
    /// at what lies between.
    pub fn before(self) -> Position {
        let after = EntryId(self.after.0.saturating_sub(1));
        Position { after, ..self }
    }
}

/// What `Table::replace_owned` did, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// New ones.
    pub added: usize,
    /// Ones that went.
    pub removed: usize,
    /// Ones that were there and stay.
    pub kept: usize,
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ECHO, OBJECT, OTHER, SAMR, entry, tcp, tcp_tower, tower};
    use super::*;
    use crate::registry::{Life, Process};
    use crate::wire::SyntaxId;
    use crate::wire::tower::Tower;

    /// A table of these entries and room for `spare` more.
    fn table(entries: &[Entry], spare: usize) -> Table {
        let mut table = Table::new(OTHER, entries.len() + spare);
        for entry in entries {
            table.insert(entry.clone()).unwrap();
        }
        table
    }

    /// The towers of all entries, in their order.
    fn towers(table: &Table) -> Vec<Vec<u8>> {
        table
            .iter()
            .map(|(_, entry)| entry.tower().to_vec())
            .collect()
    }

    /// What a map of a TCP tower asks.
    fn query(object: Uuid, interface: SyntaxId) -> MapQuery {
        let tower = tcp_tower(interface, 135);
        MapQuery::new(object, &Tower::decode(&tower).unwrap().parts().unwrap())
    }

    /// Object and port of what a map finds from `from` on.
    fn mapped(table: &Table, query: &MapQuery, from: Position) -> Vec<(Uuid, u16)> {
        let port = |entry: &Entry| {
            Tower::decode(entry.tower())
                .unwrap()
                .parts()
                .unwrap()
                .port()
        };
        let found = table.map(query, from);
        found
            .map(|(_, entry)| (entry.object(), port(entry).unwrap()))
            .collect()
    }

    /// An entry of `ECHO` at a TCP port under an object.
    fn echo(object: Uuid, port: u16) -> Entry {
        entry(object, &tcp_tower(ECHO, port))
    }

    #[test]
    fn entries_come_in_insertion_order() {
        let entries = [tcp(SAMR, 3), tcp(ECHO, 2), echo(OBJECT, 1), tcp(ECHO, 4)];
        let table = table(&entries, 0);
        assert!(table.iter().map(|(_, entry)| entry).eq(&entries));
        let all = table.lookup(&Inquiry::All, Position::START);
        assert!(all.map(|(_, entry)| entry).eq(&entries));
    }

    #[test]
    fn the_same_object_and_tower_again_keep_their_place_and_take_the_annotation() {
        let mut table = table(&[tcp(ECHO, 1), tcp(ECHO, 2)], 0);
        let again = Entry::new(
            Uuid::nil(),
            &tcp_tower(ECHO, 1),
            b"new",
            Owner::Configuration,
        );
        let first = table.find(&tcp(ECHO, 1)).unwrap();
        assert_eq!(table.insert(again.unwrap()), Ok(first));
        assert_eq!(table.get(first).unwrap().annotation(), b"new");
        assert_eq!(towers(&table), [tcp_tower(ECHO, 1), tcp_tower(ECHO, 2)]);
    }

    #[test]
    fn the_same_tower_under_another_object_is_another_entry() {
        assert_eq!(
            table(&[tcp(ECHO, 1), echo(OBJECT, 1), echo(OTHER, 1)], 0).len(),
            3
        );
    }

    #[test]
    fn of_two_owners_the_mapper_keeps_an_entry() {
        let mine = |owner| Entry::new(OBJECT, &tcp_tower(ECHO, 1), b"", owner).unwrap();
        for owners in [
            [Owner::Mapper, Owner::Configuration],
            [Owner::Configuration, Owner::Mapper],
        ] {
            let mut table = table(&owners.map(mine), 0);
            table.replace_owned(Owner::Configuration, vec![]).unwrap();
            assert_eq!(table.len(), 1);
        }
    }

    #[test]
    fn a_full_table_takes_no_new_entry_but_knows_old_ones() {
        let mut table = table(&[tcp(ECHO, 1), tcp(ECHO, 2)], 0);
        assert_eq!(
            table.insert(tcp(ECHO, 3)),
            Err(RegistryError::Full { limit: 2 })
        );
        assert!(table.insert(tcp(ECHO, 2)).is_ok());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn what_is_removed_is_found_by_nothing() {
        let mut table = table(&[echo(OBJECT, 1)], 0);
        let id = table.find(&echo(OBJECT, 1)).unwrap();
        assert_eq!(table.remove(id), Some(echo(OBJECT, 1)));
        assert_eq!(table.remove(id), None);
        assert!(table.is_empty() && table.find(&echo(OBJECT, 1)).is_none());
        assert!(table.index.is_empty() && table.endpoints.is_empty());
        assert!(table.identities.is_empty());
    }

    #[test]
    fn replacing_keeps_what_is_wanted_still_in_its_place() {
        let mine = Entry::new(Uuid::nil(), &tcp_tower(SAMR, 9), b"", Owner::Mapper).unwrap();
        let mut table = table(&[tcp(ECHO, 1), mine, tcp(ECHO, 2), tcp(ECHO, 3)], 9);
        let wanted = vec![tcp(ECHO, 4), tcp(ECHO, 3), tcp(ECHO, 1), tcp(ECHO, 4)];
        let changed = table.replace_owned(Owner::Configuration, wanted).unwrap();
        assert_eq!(
            changed.0,
            Changed {
                added: 1,
                removed: 1,
                kept: 2
            }
        );
        let expected = [(ECHO, 1), (SAMR, 9), (ECHO, 3), (ECHO, 4)];
        assert_eq!(
            towers(&table),
            expected.map(|(interface, port)| tcp_tower(interface, port))
        );
    }

    #[test]
    fn replacing_by_too_many_changes_nothing() {
        let mut table = table(&[tcp(ECHO, 1), tcp(ECHO, 2)], 1);
        let wanted = |ports: std::ops::Range<u16>| ports.map(|port| tcp(ECHO, port)).collect();
        let full = table.replace_owned(Owner::Configuration, wanted(2..6));
        assert_eq!(full, Err(RegistryError::Full { limit: 3 }));
        assert_eq!(towers(&table), [tcp_tower(ECHO, 1), tcp_tower(ECHO, 2)]);
        assert!(
            table
                .replace_owned(Owner::Configuration, wanted(2..5))
                .is_ok()
        );
    }

    #[test]
    fn registrants_that_fill_the_table_leave_the_own_side_its_room() {
        let of = |owner: &Owner, port| tcp(ECHO, port).owned(owner.clone());
        let [ann, bob] = &[Owner::User(1000), Owner::User(1001)];
        let mut table = table(&[of(ann, 1), of(ann, 2), of(bob, 3)], 0);
        let full = Err(RegistryError::Full { limit: 3 });
        let wanted = |ports: std::ops::Range<u16>| ports.map(|port| tcp(ECHO, port)).collect();
        let own = &Owner::Configuration;
        assert_eq!(
            table.replace_owned(own.clone(), wanted(2..6)).map(drop),
            full.clone().map(drop)
        );
        table.replace_owned(own.clone(), wanted(3..6)).unwrap();
        let owners: Vec<_> = table.iter().map(|(_, entry)| entry.owner()).collect();
        assert_eq!(owners, [ann, ann, own, own, own]);
        assert_eq!(table.register(vec![of(ann, 6)], false, |_| false), full);
        assert!(table.register(vec![of(ann, 1)], false, |_| false).is_ok());
        table.replace_owned(own.clone(), vec![]).unwrap();
        assert!(table.register(vec![of(bob, 3)], false, |_| false).is_ok());
    }

    #[test]
    fn a_walk_goes_on_behind_a_position_or_at_what_it_saw_ahead() {
        let table = table(&[tcp(ECHO, 1), tcp(SAMR, 2), tcp(ECHO, 3)], 0);
        let inquiry = Inquiry::Object(Uuid::nil());
        let positions: Vec<_> = table
            .lookup(&inquiry, Position::START)
            .map(|one| one.0)
            .collect();
        for (seen, position) in positions.into_iter().enumerate() {
            assert_eq!(table.lookup(&inquiry, position).count(), 2 - seen);
            assert_eq!(table.lookup(&inquiry, position.before()).count(), 3 - seen);
        }
    }

    #[test]
    fn a_map_finds_entries_with_the_object_first_then_those_without() {
        let entries = [
            tcp(ECHO, 1),
            echo(OBJECT, 2),
            echo(OTHER, 3),
            tcp(ECHO, 4),
            echo(OBJECT, 5),
        ];
        let table = table(&entries, 0);
        let nil = Uuid::nil();
        let found = |object| mapped(&table, &query(object, ECHO), Position::START);
        assert_eq!(
            found(OBJECT),
            [(OBJECT, 2), (OBJECT, 5), (nil, 1), (nil, 4)]
        );
        assert_eq!(found(Uuid::max()), [(nil, 1), (nil, 4)]);
    }

    #[test]
    fn a_map_without_an_object_finds_entries_without_one_only() {
        let table = table(&[echo(OBJECT, 1), tcp(ECHO, 2), tcp(SAMR, 3)], 0);
        let found = mapped(&table, &query(Uuid::nil(), ECHO), Position::START);
        assert_eq!(found, [(Uuid::nil(), 2)]);
    }

    #[test]
    fn a_map_goes_on_in_either_pass() {
        let table = table(
            &[tcp(ECHO, 1), echo(OBJECT, 2), echo(OBJECT, 3), tcp(ECHO, 4)],
            0,
        );
        let query = query(OBJECT, ECHO);
        let whole = mapped(&table, &query, Position::START);
        let positions: Vec<_> = table
            .map(&query, Position::START)
            .map(|one| one.0)
            .collect();
        for (index, position) in positions.into_iter().enumerate() {
            assert_eq!(mapped(&table, &query, position), whole[index + 1..]);
            assert_eq!(mapped(&table, &query, position.before()), whole[index..]);
        }
    }

    #[test]
    fn a_map_of_management_finds_the_first_entry_of_each_endpoint() {
        let udp = [(0x0a, &[0, 0][..]), (0x08, &[0, 7]), (0x09, &[0; 4])];
        let udp = entry(Uuid::nil(), &tower(ECHO, SyntaxId::NDR, &udp));
        let table = table(
            &[tcp(ECHO, 1), tcp(SAMR, 1), tcp(SAMR, 2), udp, tcp(ECHO, 2)],
            0,
        );
        let query = query(Uuid::nil(), SyntaxId::MGMT);
        let found = table.map(&query, Position::START);
        let found: Vec<_> = found.map(|(_, entry)| entry).collect();
        assert_eq!(found, [&tcp(ECHO, 1), &tcp(SAMR, 2)]);
    }

    #[test]
    fn a_map_of_management_takes_no_endpoint_twice_for_its_object_and_none() {
        let table = table(
            &[tcp(ECHO, 1), echo(OBJECT, 2), tcp(SAMR, 2), tcp(SAMR, 3)],
            0,
        );
        let mut query = query(OBJECT, SyntaxId::MGMT);
        let nil = Uuid::nil();
        assert_eq!(
            mapped(&table, &query, Position::START),
            [(OBJECT, 2), (nil, 1), (nil, 3)]
        );
        query.nil_objects = false;
        assert_eq!(mapped(&table, &query, Position::START), [(OBJECT, 2)]);
    }

    #[test]
    fn the_next_entry_of_an_endpoint_becomes_the_first_when_the_first_goes() {
        let mut table = table(&[tcp(ECHO, 1), tcp(ECHO, 2), tcp(SAMR, 1)], 0);
        let query = query(Uuid::nil(), SyntaxId::MGMT);
        let ports = |table: &Table| {
            let found = mapped(table, &query, Position::START);
            found.into_iter().map(|(_, port)| port).collect::<Vec<_>>()
        };
        assert_eq!(ports(&table), [1, 2]);
        table.remove(table.find(&tcp(ECHO, 1)).unwrap());
        assert_eq!(ports(&table), [2, 1]);
        table.remove(table.find(&tcp(SAMR, 1)).unwrap());
        assert_eq!(ports(&table), [2]);
    }

    #[test]
    fn an_endpoint_in_two_transfer_syntaxes_is_found_by_callers_of_either() {
        let at = |syntax| {
            entry(
                Uuid::nil(),
                &tower(ECHO, syntax, &[(0x0c, &[0, 0]), (0x10, b"a\0")]),
            )
        };
        let table = table(&[at(SyntaxId::NDR64), at(SyntaxId::NDR)], 0);
        for syntax in [SyntaxId::NDR, SyntaxId::NDR64] {
            let asked = tower(SyntaxId::MGMT, syntax, &[(0x0c, &[0, 0]), (0x10, b"\0")]);
            let parts = Tower::decode(&asked).unwrap().parts().unwrap();
            let query = MapQuery::new(Uuid::nil(), &parts);
            let found = table.map(&query, Position::START);
            assert!(found.map(|(_, entry)| entry).eq([&at(syntax)]));
        }
    }
    /// A user of this host.
    const ANN: Owner = Owner::User(1000);
    /// Another.
    const BOB: Owner = Owner::User(1001);

    /// An entry of `owner` at a TCP port of `ECHO` in this minor version, at the
    /// last octet of an address.
    fn at(owner: Owner, minor: u16, address: u8, port: u16) -> Entry {
        let (port, address) = (port.to_be_bytes(), [127, 0, 0, address]);
        let lower: [(u8, &[u8]); 3] = [(0x0b, &[1, 0]), (0x07, &port), (0x09, &address)];
        let tower = tower(SyntaxId { minor, ..ECHO }, SyntaxId::NDR, &lower);
        Entry::new(Uuid::nil(), &tower, b"", owner).unwrap()
    }

    /// The same in version 1.0 at 127.0.0.1.
    fn of(owner: Owner, port: u16) -> Entry {
        at(owner, 0, 1, port)
    }

    /// A table in which these are registered.
    fn registered(entries: &[Entry]) -> Table {
        let mut table = Table::new(OTHER, 64);
        for entry in entries {
            table
                .register(vec![entry.clone()], false, never)
                .expect("room");
        }
        table
    }

    /// No interface is exclusive.
    /// In the place of an owner's number.
    const NONE: index::OwnerNumber = index::OwnerNumber::FIRST;

    fn never(_: Uuid) -> bool {
        false
    }

    /// All that a table holds: its entries with their numbers, its indices, its
    /// counts; the last numbers aside, and which one an owner has.
    fn all(table: &Table) -> impl PartialEq + std::fmt::Debug + use<> {
        let Table {
            entries,
            index,
            identities,
            endpoints,
            owners,
            interfaces,
            ..
        } = table.clone();
        let (of_number, owners) = owners.told();
        let owned = |(key, id): (Key, EntryId)| {
            let of = |number| of_number.get(&number).cloned();
            match key {
                Key::Owned(interface, number) => (Key::Owned(interface, NONE), of(number), id),
                Key::Neighbour(digest, number) => (Key::Neighbour(digest, NONE), of(number), id),
                Key::Place(digest, object, number) => {
                    (Key::Place(digest, object, NONE), of(number), id)
                }
                key => (key, None, id),
            }
        };
        let index: BTreeSet<_> = index.into_iter().map(owned).collect();
        (
            entries.into_iter().collect::<Vec<_>>(),
            (index, identities, endpoints),
            (owners, interfaces),
        )
    }

    /// Checks that `change` is refused with `error`, and nothing changes.
    #[track_caller]
    fn refused(
        table: &mut Table,
        change: impl FnOnce(&mut Table) -> Result<Vec<Change>, RegistryError>,
        error: RegistryError,
    ) {
        let before = all(table);
        assert_eq!(change(table), Err(error));
        assert_eq!(all(table), before);
    }

    /// The entries, without their numbers.
    fn held(table: &Table) -> Vec<Entry> {
        table.iter().map(|(_, entry)| entry.clone()).collect()
    }

    #[test]
    fn a_call_whose_third_entry_is_refused_registers_none() {
        let mut table = registered(&[of(ANN, 1), of(BOB, 3)]);
        let entries = [1, 2, 3, 4, 5].map(|port| of(ANN, port).living(Life::Probe, 7));
        let register = |table: &mut Table| table.register(entries.into(), true, never);
        refused(&mut table, register, RegistryError::NotOwner(BOB));
    }

    #[test]
    fn replacing_takes_out_kin_at_the_same_address_whatever_the_port() {
        let others = [at(ANN, 0, 2, 1), at(ANN, 0, 3, 9)];
        let mut table = registered(&[of(ANN, 1), of(ANN, 2)]);
        for other in &others {
            table.insert(other.clone()).unwrap();
        }
        let changes = table.register(vec![at(ANN, 1, 1, 3)], true, never).unwrap();
        assert!(matches!(
            changes[..],
            [
                Change::Removed(..),
                Change::Removed(..),
                Change::Inserted(..)
            ]
        ));
        let [two, three] = others;
        assert_eq!(held(&table), [two, three, at(ANN, 1, 1, 3)]);
    }

    #[test]
    fn replacing_leaves_what_differs_in_anything_but_the_port() {
        let tcp = |rpc: u8, protocol: u8, syntax| {
            let lower: [(u8, &[u8]); 3] = [
                (0x0b, &[rpc, 0]),
                (protocol, &[0, 1]),
                (0x09, &[127, 0, 0, 1]),
            ];
            Entry::new(Uuid::nil(), &tower(ECHO, syntax, &lower), b"", ANN).unwrap()
        };
        let object = Entry::new(OBJECT, of(ANN, 1).tower(), b"", ANN).unwrap();
        let major = SyntaxId { major: 2, ..ECHO };
        let others = [
            object,
            entry(Uuid::nil(), &tcp_tower(major, 1)).owned(ANN),
            tcp(0, 0x07, SyntaxId::NDR),
            tcp(1, 0x08, SyntaxId::NDR),
            tcp(1, 0x07, SyntaxId::NDR64),
        ];
        let mut table = registered(&others);
        let changes = table.register(vec![of(ANN, 2)], true, never).unwrap();
        assert_eq!(changes.len(), 1, "{changes:?}");
    }

    #[test]
    fn replacing_is_refused_where_a_higher_minor_version_stands_at_any_address() {
        for address in [1, 2] {
            let mut table = registered(&[at(ANN, 2, address, 1), of(ANN, 5)]);
            for (minor, is_taken) in [(1, false), (2, true), (3, true)] {
                let mut table = table.clone();
                let done = table.register(vec![at(ANN, minor, 1, 9)], true, never);
                assert_eq!(done.is_ok(), is_taken, "{minor}");
            }
            let error = RegistryError::HigherVersion(2);
            let lower = |table: &mut Table| table.register(vec![of(ANN, 9)], true, never);
            refused(&mut table, lower, error.clone());
            let lower = table.register(vec![of(ANN, 9)], false, never);
            assert!(lower.is_ok(), "it stands beside the higher one");
        }
    }

    #[test]
    fn replacing_by_what_is_there_takes_out_the_rest_only() {
        let mut table = registered(&[of(ANN, 1), of(ANN, 2)]);
        let first = table.find(&of(ANN, 1));
        let changes = table.register(vec![of(ANN, 1)], true, never).unwrap();
        assert!(matches!(
            changes[..],
            [Change::Removed(..), Change::Renewed { .. }]
        ));
        assert_eq!(table.find(&of(ANN, 1)), first);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_stranger_neither_doubles_replaces_nor_takes_out() {
        let entry = of(ANN, 1);
        let mut table = registered(&[of(BOB, 5), entry.clone(), at(BOB, 0, 2, 7)]);
        let error = RegistryError::NotOwner(ANN);
        let named = (entry.object(), entry.tower());
        let again = |table: &mut Table| table.register(vec![of(BOB, 1)], false, never);
        refused(&mut table, again, error.clone());
        let replace = |table: &mut Table| table.register(vec![of(BOB, 9)], true, never);
        refused(&mut table, replace, error.clone());
        refused(
            &mut table,
            |table| table.withdraw(&BOB, [named]),
            error.clone(),
        );
        let place = |table: &mut Table| table.withdraw_place(&BOB, None, &entry);
        refused(&mut table, place, error.clone());
    }

    #[test]
    fn root_may_do_that_and_an_entry_that_it_registers_becomes_its_own() {
        let mut table = registered(&[of(ANN, 1), of(BOB, 2)]);
        let again = table.register(vec![of(Owner::ROOT, 1)], false, never);
        assert!(matches!(again.unwrap()[..], [Change::Renewed { .. }]));
        assert_eq!(held(&table)[0].owner(), &Owner::ROOT);
        let error = RegistryError::NotOwner(Owner::ROOT);
        let replace = |table: &mut Table| table.register(vec![of(BOB, 3)], true, never);
        refused(&mut table, replace, error.clone());
        table
            .register(vec![of(Owner::ROOT, 3)], true, never)
            .unwrap();
        assert_eq!(held(&table), [of(Owner::ROOT, 3)]);
    }

    #[test]
    fn what_the_configuration_says_nobody_takes_out_not_even_root() {
        let own = of(Owner::Configuration, 1);
        let mut table = registered(std::slice::from_ref(&own));
        let error = RegistryError::NotOwner(Owner::Configuration);
        for owner in [Owner::ROOT, ANN] {
            let again =
                |table: &mut Table| table.register(vec![of(owner.clone(), 1)], false, never);
            refused(&mut table, again, error.clone());
            let replace =
                |table: &mut Table| table.register(vec![of(owner.clone(), 2)], true, never);
            refused(&mut table, replace, error.clone());
            let named = (own.object(), own.tower());
            refused(
                &mut table,
                |table| table.withdraw(&owner, [named]),
                error.clone(),
            );
            let place = |table: &mut Table| table.withdraw_place(&owner, None, &own);
            refused(&mut table, place, error.clone());
        }
    }

    #[test]
    fn an_exclusive_interface_is_refused_to_a_stranger_on_any_endpoint() {
        let mut table = registered(&[of(ANN, 1)]);
        let is_echo = |interface| interface == ECHO.uuid;
        let error = RegistryError::Exclusive(ANN);
        let elsewhere = |table: &mut Table| {
            let entries = vec![entry(OBJECT, &tcp_tower(ECHO, 9)).owned(BOB)];
            table.register(entries, false, is_echo)
        };
        refused(&mut table, elsewhere, error.clone());
        let other = vec![tcp(SAMR, 9).owned(BOB)];
        assert!(table.register(other, false, is_echo).is_ok());
        assert!(table.register(vec![of(ANN, 2)], false, is_echo).is_ok());
        let root = table.register(vec![of(Owner::ROOT, 3)], false, is_echo);
        assert!(root.is_ok());
    }

    #[test]
    fn each_limit_of_registrants_refuses_one_entry_more_and_no_other() {
        let limits = TableLimits {
            entries: 6,
            per_owner: 3,
            per_interface: 4,
            octets: of(ANN, 1).len_octets() + 1,
        };
        let mut table = Table::within(OTHER, limits);
        let register = |table: &mut Table, entry| table.register(vec![entry], false, never);
        table.insert(of(Owner::Configuration, 100)).unwrap();
        for port in 1..=3 {
            register(&mut table, of(ANN, port)).unwrap();
        }
        let (owner, limit) = (ANN, 3);
        let error = RegistryError::OwnerFull { owner, limit };
        refused(
            &mut table,
            |table| register(table, of(ANN, 4)),
            error.clone(),
        );
        assert!(register(&mut table, of(ANN, 3)).is_ok(), "no entry more");
        register(&mut table, of(BOB, 4)).unwrap();
        let error = RegistryError::InterfaceFull { limit: 4 };
        refused(
            &mut table,
            |table| register(table, of(BOB, 5)),
            error.clone(),
        );
        register(&mut table, tcp(SAMR, 1).owned(BOB)).unwrap();
        let error = RegistryError::Full { limit: 6 };
        let sixth = |table: &mut Table| register(table, tcp(SAMR, 2).owned(BOB));
        refused(&mut table, sixth, error.clone());
        let long = Entry::new(Uuid::nil(), of(ANN, 1).tower(), b"ab", ANN).unwrap();
        let (octets, limit) = (long.len_octets(), limits.octets);
        let error = RegistryError::TooLong { octets, limit };
        refused(&mut table, |table| register(table, long), error.clone());
    }

    #[test]
    fn a_full_owner_replaces_and_has_room_again_when_an_entry_goes() {
        let limits = TableLimits {
            per_owner: 1,
            ..TableLimits::of(8)
        };
        let mut table = Table::within(OTHER, limits);
        table.register(vec![of(ANN, 1)], true, never).unwrap();
        table.register(vec![of(ANN, 2)], true, never).unwrap();
        let taken = table.withdraw(&ANN, [(Uuid::nil(), of(ANN, 2).tower())]);
        taken.unwrap();
        table.register(vec![of(ANN, 3)], false, never).unwrap();
        assert_eq!(held(&table), [of(ANN, 3)]);
    }

    #[test]
    fn a_call_that_names_one_entry_twice_or_none_takes_out_nothing() {
        let mut table = registered(&[of(ANN, 1), of(ANN, 2)]);
        let (one, none) = (of(ANN, 1), of(ANN, 3));
        for named in [[&one, &one], [&one, &none]] {
            let named = named.map(|entry| (entry.object(), entry.tower()));
            let withdraw = |table: &mut Table| table.withdraw(&ANN, named);
            refused(&mut table, withdraw, RegistryError::NotRegistered);
        }
    }

    #[test]
    fn a_place_is_interface_version_endpoint_and_address_of_every_object() {
        let under = |object, entry: Entry| {
            Entry::new(
                object,
                entry.tower(),
                entry.annotation(),
                entry.owner().clone(),
            )
            .unwrap()
        };
        let ndr64 = {
            let lower: [(u8, &[u8]); 3] =
                [(0x0b, &[1, 0]), (0x07, &[0, 1]), (0x09, &[127, 0, 0, 1])];
            Entry::new(OTHER, &tower(ECHO, SyntaxId::NDR64, &lower), b"", ANN).unwrap()
        };
        let there = [of(ANN, 1), under(OBJECT, of(ANN, 1)), ndr64];
        let elsewhere = [of(ANN, 2), at(ANN, 0, 2, 1), at(ANN, 1, 1, 1)];
        let table = registered(&[&there[..], &elsewhere].concat());
        let taken = |object| {
            let mut table = table.clone();
            let changes = table.withdraw_place(&ANN, object, &of(ANN, 1));
            changes.map(|changes| (changes.len(), held(&table).len()))
        };
        assert_eq!(taken(None), Ok((3, 3)));
        assert_eq!(taken(Some(Uuid::nil())), Ok((1, 5)));
        assert_eq!(taken(Some(OBJECT)), Ok((1, 5)));
        assert_eq!(taken(Some(ECHO.uuid)), Err(RegistryError::NotRegistered));
    }

    #[test]
    fn changes_that_are_taken_back_leave_the_table_as_it_was() {
        let mut table = registered(&[of(ANN, 1), of(ANN, 2), at(BOB, 0, 2, 1)]);
        let before = all(&table);
        let mut changes = table.register(vec![of(ANN, 3)], true, never).unwrap();
        let renewed = Entry::new(Uuid::nil(), of(ANN, 3).tower(), b"x", ANN).unwrap();
        changes.extend(table.register(vec![renewed], false, never).unwrap());
        let place = at(BOB, 0, 2, 1);
        changes.extend(table.withdraw_place(&BOB, None, &place).unwrap());
        assert_eq!(table.len(), 1);
        table.undo(&changes);
        assert_eq!(all(&table), before);
    }

    #[test]
    fn what_somebody_changed_since_is_not_taken_back() {
        let mut table = registered(&[]);
        let changes = table.register(vec![of(ANN, 1)], false, never).unwrap();
        let taken_over = vec![of(Owner::Configuration, 1)];
        table
            .replace_owned(Owner::Configuration, taken_over)
            .unwrap();
        table.undo(&changes);
        assert_eq!(held(&table), [of(Owner::Configuration, 1)]);
        // And what came in the place of something gone stays.
        let mut table = registered(&[of(ANN, 1)]);
        let named = [(Uuid::nil(), of(ANN, 1).tower().to_vec())];
        let named = named.iter().map(|(object, tower)| (*object, &tower[..]));
        let changes = table.withdraw(&ANN, named).unwrap();
        table.register(vec![of(BOB, 1)], false, never).unwrap();
        table.undo(&changes);
        assert_eq!(held(&table), [of(BOB, 1)]);
    }

    #[test]
    fn what_is_restored_is_the_first_of_its_endpoint_again() {
        let mut table = table(&[tcp(ECHO, 1), tcp(SAMR, 1)], 0);
        let before = all(&table);
        let first = table.find(&tcp(ECHO, 1));
        let changes = table.remove_all(first);
        table.undo(&changes);
        assert_eq!(all(&table), before);
        let query = query(Uuid::nil(), SyntaxId::MGMT);
        let found = table.map(&query, Position::START);
        assert!(found.map(|(_, entry)| entry).eq([&tcp(ECHO, 1)]));
    }

    #[test]
    fn an_entry_is_restored_under_its_number_and_new_ones_come_behind() {
        let mut table = Table::new(OTHER, 8);
        let seven = EntryId::from_number(7);
        table.restore(seven, of(ANN, 1));
        table.restore(EntryId::from_number(3), of(ANN, 2));
        table.restore(seven, of(ANN, 3));
        table.restore(EntryId::from_number(9), of(BOB, 1));
        assert_eq!(held(&table), [of(ANN, 2), of(ANN, 1)]);
        let changes = table.register(vec![of(ANN, 4)], false, never).unwrap();
        assert!(matches!(changes[..], [Change::Inserted(id, _)] if id > seven));
    }

    #[test]
    fn the_end_of_a_life_takes_out_its_entries_and_no_others() {
        let process = Process { pid: 7, started: 1 };
        let later = Process { pid: 7, started: 2 };
        let lease = |id| {
            let duration = std::time::Duration::from_secs(60);
            Life::Lease(crate::registry::Lease {
                id: Uuid::from_u128(id),
                duration,
            })
        };
        let lives = [
            Life::Process(process),
            Life::Process(later),
            lease(1),
            lease(2),
            Life::Probe,
        ];
        let entries = lives.map(|life| (life, 1)).into_iter().zip(1..);
        let entries: Vec<_> = entries
            .map(|((life, at), port)| of(ANN, port).living(life, at))
            .collect();
        let mut table = registered(&entries);
        assert_eq!(table.end_process(process).len(), 1);
        assert_eq!(table.end_lease(Uuid::from_u128(2)).len(), 1);
        assert!(!table.has_process(process) && table.has_process(later));
        assert!(!table.has_lease(Uuid::from_u128(2)) && table.has_lease(Uuid::from_u128(1)));
        let left = [1, 2, 4].map(|left| entries[left].clone());
        assert_eq!(held(&table), left);
        assert!(table.end_process(process).is_empty());
    }
}
