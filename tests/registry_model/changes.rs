//! Registrants: whose an entry is, what ends it, and the changes that tell a store of it.
//!
//! Changes, played on a plain map, give the table; taken back, they give the table as it was, and walks
//! under way keep to the promise. That limits strike just where a count of the list says so shows that
//! the table's own counts are right.

use super::{Ask, Model, Registration, Walk, ask, ask_table, registration};
use epmapper::registry::{
    AccountName, Change, Entry, EntryId, Lease, Life, Owner, Position, Process, RegistryError,
    Table, TableLimits,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::time::Duration;
use uuid::Uuid;

const LIMITS: TableLimits = TableLimits {
    entries: 20,
    per_owner: 7,
    per_interface: 9,
    octets: 100,
};

/// What a call comes to: a list, or why not.
type Outcome = Result<List, RegistryError>;

/// Entries with their numbers, as the list has them.
type List = Vec<(EntryId, Registration)>;

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// Somebody registers; whether that replaces, and whether interfaces are exclusive.
    Register(Vec<Registration>, bool, bool),
    /// Somebody takes out what stands at these places, or what does not exist.
    Withdraw(Owner, Vec<usize>, Option<Registration>),
    /// The same of an endpoint, of its object only or not.
    WithdrawPlace(Owner, Registration, bool),
    EndProcess(u32),
    EndLease(u128),
    /// The configuration or the mapper's own side changes.
    Replace(Owner, Vec<Registration>),
    /// So many of the last changes cannot be written.
    Undo(usize),
    Begin(Ask),
    Turn {
        walk: usize,
        size: usize,
        looks_ahead: bool,
    },
}

fn owner() -> impl Strategy<Value = Owner> {
    let host = Owner::Host([192, 0, 2, 1].into());
    let account = |name| Owner::Account(AccountName::new(name).unwrap());
    let users = [0, 1000, 1001].map(Owner::User);
    let rest = [host, account("alice"), account("bob@LAB.EXAMPLE")];
    select([&users[..], &rest].concat())
}

fn process(pid: u32) -> Process {
    Process { pid, started: 1 }
}

fn life() -> impl Strategy<Value = Life> {
    let lease = |id| {
        let duration = Duration::from_secs(1);
        let id = Uuid::from_u128(id);
        Life::Lease(Lease { id, duration })
    };
    prop_oneof![
        Just(Life::Probe),
        (1u32..4).prop_map(|pid| Life::Process(process(pid))),
        (1u128..4).prop_map(lease),
    ]
}

/// Registrations of one owner with one life, as a call makes them.
fn call() -> impl Strategy<Value = Vec<Registration>> {
    (owner(), life(), vec(registration(), 1..5)).prop_map(|(owner, life, mut entries)| {
        for entry in &mut entries {
            (entry.owner, entry.life) = (owner.clone(), life);
        }
        entries
    })
}

fn event() -> impl Strategy<Value = Event> {
    let own_side = select(vec![Owner::Configuration, Owner::Mapper]);
    let picks = vec(any::<usize>(), 1..4);
    let absent = prop_oneof![3 => Just(None), 1 => registration().prop_map(Some)];
    let is_exclusive = prop::bool::weighted(0.2);
    let turn = (any::<usize>(), 1usize..5, any::<bool>()).prop_map(|(walk, size, looks_ahead)| {
        Event::Turn {
            walk,
            size,
            looks_ahead,
        }
    });
    prop_oneof![
        10 => (call(), any::<bool>(), is_exclusive).prop_map(|(c, r, e)| Event::Register(c, r, e)),
        3 => (owner(), picks, absent).prop_map(|(o, picks, a)| Event::Withdraw(o, picks, a)),
        2 => (owner(), registration(), any::<bool>()).prop_map(|(o, l, b)| Event::WithdrawPlace(o, l, b)),
        1 => (1u32..4).prop_map(Event::EndProcess),
        1 => (1u128..4).prop_map(Event::EndLease),
        1 => (own_side, vec(registration(), 0..4)).prop_map(|(o, new)| Event::Replace(o, new)),
        3 => (1usize..4).prop_map(Event::Undo),
        2 => ask().prop_map(Event::Begin),
        8 => turn,
    ]
}

/// What two entries have to share, told from the reference once more.
impl Registration {
    /// Port and address, where the sequence is known to have them.
    fn place(&self) -> Option<(u16, u8)> {
        let is_known = self.shape.len() == 3 && (self.shape[0], self.shape[1]) != (0x0b, 0x08);
        is_known.then_some((self.port, self.address))
    }

    fn is_kin(&self, other: &Registration) -> bool {
        let kinship = |one: &Registration| {
            let interface = (one.interface.uuid, one.interface.major);
            (one.object, interface, one.syntax, one.shape)
        };
        kinship(self) == kinship(other)
    }

    fn is_neighbour(&self, other: &Registration) -> bool {
        let address = |one: &Registration| one.place().map(|(_, address)| address);
        self.is_kin(other) && address(self) == address(other)
    }
}

/// Registers in a list.
fn register(
    list: &mut Vec<Registration>,
    new: &Registration,
    replace: bool,
    exclusive: bool,
) -> Result<(), RegistryError> {
    let owner = new.owner.clone();
    let strange = |there: &Registration| !new.owner.may_change(&there.owner);
    let of_interface = |there: &&Registration| there.interface.uuid == new.interface.uuid;
    if exclusive && list.iter().filter(of_interface).any(strange) {
        return Err(RegistryError::Exclusive(owner));
    }
    let again = |there: &Registration| there.is_again(new);
    if list.iter().any(|there| again(there) && strange(there)) {
        return Err(RegistryError::NotOwner(owner));
    }
    if replace {
        let is_higher = |there: &Registration| there.interface.minor > new.interface.minor;
        if list
            .iter()
            .any(|there| there.is_kin(new) && is_higher(there))
        {
            return Err(RegistryError::HigherVersion(0));
        }
        if list
            .iter()
            .any(|there| there.is_neighbour(new) && strange(there))
        {
            return Err(RegistryError::NotOwner(owner));
        }
        list.retain(|there| !there.is_neighbour(new) || again(there));
    }
    let octets = new.tower().len() + new.annotation.len();
    if octets > LIMITS.octets {
        let limit = LIMITS.octets;
        return Err(RegistryError::TooLong { octets, limit });
    }
    if let Some(there) = list.iter_mut().find(|there| again(there)) {
        there.renew(new);
        return Ok(());
    }
    let limit = 0;
    if list.iter().filter(|there| there.owner == owner).count() >= LIMITS.per_owner {
        return Err(RegistryError::OwnerFull { owner, limit });
    }
    let registered = |there: &&Registration| there.owner.is_registrant();
    if list.iter().filter(registered).filter(of_interface).count() >= LIMITS.per_interface {
        return Err(RegistryError::InterfaceFull { limit });
    }
    if list.len() >= LIMITS.entries {
        return Err(RegistryError::Full { limit });
    }
    list.push(new.clone());
    Ok(())
}

/// A table, the list that it has to agree with, and what a store knows.
struct World {
    table: Table,
    model: Model,
    walks: Vec<Walk>,
    /// What the changes say.
    stored: BTreeMap<EntryId, Entry>,
    /// Changes that may still be taken back, and the list before each.
    unwritten: Vec<(Vec<Change>, List)>,
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Register(entries, replace, exclusive) => {
                let expected = self.registered(&entries, replace, exclusive);
                let entries = entries.iter().map(Registration::entry).collect();
                let changes = self.table.register(entries, replace, |_| exclusive);
                self.compare(changes, expected);
            }
            Event::Withdraw(owner, picks, absent) => self.withdraw(owner, &picks, absent),
            Event::WithdrawPlace(owner, like, of_object) => {
                let object = of_object.then_some(like.object);
                let changes = self.table.withdraw_place(&owner, object, &like.entry());
                let is_there = |there: &Registration| {
                    (there.interface, there.shape) == (like.interface, like.shape)
                        && there.place() == like.place()
                        && object.is_none_or(|object| there.object == object)
                };
                let expected = self.without(owner, is_there);
                self.compare(changes, expected);
            }
            Event::EndProcess(pid) => {
                let changes = self.table.end_process(process(pid));
                let ends = |there: &Registration| there.life == Life::Process(process(pid));
                self.ended(changes, ends);
                assert!(!self.table.has_process(process(pid)));
            }
            Event::EndLease(id) => {
                let id = Uuid::from_u128(id);
                let changes = self.table.end_lease(id);
                let ends =
                    |there: &Registration| matches!(there.life, Life::Lease(l) if l.id == id);
                self.ended(changes, ends);
                assert!(!self.table.has_lease(id));
            }
            Event::Replace(owner, wanted) => self.replace(owner, wanted),
            Event::Undo(count) => self.undo(count),
            Event::Begin(ask) => {
                let found = ask_table(&self.table, &ask, Position::START).into_iter();
                assert!(found.map(|(_, id)| id).eq(self.model.find(&ask)));
                self.walks.push(Walk::new(&self.model, ask));
            }
            Event::Turn {
                walk,
                size,
                looks_ahead,
            } if !self.walks.is_empty() => {
                let walk = walk % self.walks.len();
                if !self.walks[walk].turn(&self.table, &self.model, size, looks_ahead) {
                    self.walks.swap_remove(walk).judge();
                }
            }
            Event::Turn { .. } => {}
        }
        self.check();
    }

    /// What a registration has to come to; new entries have the numbers that the table will find.
    fn registered(&self, entries: &[Registration], replace: bool, exclusive: bool) -> Outcome {
        let mut list: Vec<_> = self
            .model
            .0
            .iter()
            .map(|(_, there)| there.clone())
            .collect();
        for entry in entries {
            register(&mut list, entry, replace, exclusive)?;
        }
        let old = |one: &Registration| {
            let mut old = self.model.0.iter();
            old.find(|(_, there)| there.is_again(one))
                .map(|(id, _)| *id)
        };
        let none = EntryId::from_number(0);
        let numbered = list.into_iter().map(|one| (old(&one).unwrap_or(none), one));
        Ok(numbered.collect())
    }

    /// The list without some entries, which all have to be the owner's.
    fn without(&self, owner: Owner, goes: impl Fn(&Registration) -> bool) -> Outcome {
        let (gone, left): (Vec<_>, Vec<_>) = self
            .model
            .0
            .iter()
            .cloned()
            .partition(|(_, there)| goes(there));
        if gone.is_empty() {
            return Err(RegistryError::NotRegistered);
        }
        if gone
            .iter()
            .any(|(_, there)| !owner.may_change(&there.owner))
        {
            return Err(RegistryError::NotOwner(owner));
        }
        Ok(left)
    }

    fn withdraw(&mut self, owner: Owner, picks: &[usize], absent: Option<Registration>) {
        let list = self.model.0.clone();
        let picked = picks
            .iter()
            .filter_map(|pick| list.get(pick % list.len().max(1)));
        let mut named: Vec<Registration> = picked.map(|(_, there)| there.clone()).collect();
        named.extend(absent);
        let mut expected: Outcome = Ok(list);
        for one in &named {
            expected = expected.and_then(|mut list| {
                let found = list.iter().position(|(_, there)| there.is_again(one));
                let found = found.ok_or(RegistryError::NotRegistered)?;
                if !owner.may_change(&list[found].1.owner) {
                    return Err(RegistryError::NotOwner(owner.clone()));
                }
                list.remove(found);
                Ok(list)
            });
        }
        let towers: Vec<_> = named.iter().map(|one| (one.object, one.tower())).collect();
        let named = towers.iter().map(|(object, tower)| (*object, &tower[..]));
        let changes = self.table.withdraw(&owner, named);
        self.compare(changes, expected);
    }

    /// A call came to what it had to: its changes tell it, and can be taken back.
    fn compare(&mut self, changes: Result<Vec<Change>, RegistryError>, expected: Outcome) {
        let (changes, list) = match (changes, expected) {
            (Ok(changes), Ok(list)) => (changes, list),
            (Err(error), Err(expected)) => {
                return assert_eq!(discriminant(&error), discriminant(&expected), "{error}");
            }
            (changes, expected) => panic!("{changes:?}, not {expected:?}"),
        };
        let before = std::mem::replace(&mut self.model.0, list);
        let last = before.last().map(|(id, _)| *id);
        for (id, entry) in &mut self.model.0 {
            if id.number() == 0 {
                *id = self.table.find(&entry.entry()).expect("it is registered");
                assert!(last.is_none_or(|last| last < *id), "behind all others");
            }
        }
        let mut undone = self.table.clone();
        undone.undo(&changes);
        let entries = before.iter().map(|(id, there)| (*id, there.entry()));
        assert!(
            undone
                .iter()
                .map(|(id, there)| (id, there.clone()))
                .eq(entries)
        );
        self.play(&changes);
        self.unwritten.push((changes, before));
    }

    /// Lives ended, which is not taken back, nor what was before.
    fn ended(&mut self, changes: Vec<Change>, goes: impl Fn(&Registration) -> bool) {
        self.model.0.retain(|(_, there)| !goes(there));
        self.play(&changes);
        self.unwritten.clear();
    }

    fn replace(&mut self, owner: Owner, wanted: Vec<Registration>) {
        let entries = wanted.iter().map(|one| {
            Registration {
                owner: owner.clone(),
                ..one.clone()
            }
            .entry()
        });
        let Ok((_, changes)) = self.table.replace_owned(owner.clone(), entries.collect()) else {
            return;
        };
        self.play(&changes);
        self.unwritten.clear();
        let list = &mut self.model.0;
        list.retain(|(_, there)| {
            there.owner != owner || wanted.iter().any(|one| one.is_again(there))
        });
        for one in wanted {
            let owner = owner.clone();
            let one = Registration { owner, ..one };
            match list.iter_mut().find(|(_, there)| there.is_again(&one)) {
                Some((_, there)) => there.renew(&one),
                None => list.push((self.table.find(&one.entry()).unwrap(), one)),
            }
        }
    }

    /// The last changes are taken back, the last one first.
    fn undo(&mut self, count: usize) {
        for _ in 0..count {
            let Some((changes, before)) = self.unwritten.pop() else {
                return;
            };
            self.table.undo(&changes);
            self.model.0 = before;
            self.stored = self
                .model
                .0
                .iter()
                .map(|(id, there)| (*id, there.entry()))
                .collect();
            self.walks
                .iter_mut()
                .for_each(|walk| walk.witness(&self.model));
        }
    }

    /// Does what changes say, as a store does.
    fn play(&mut self, changes: &[Change]) {
        for change in changes {
            let (id, was) = match change {
                Change::Inserted(id, _) => (*id, None),
                Change::Removed(id, entry) => (*id, Some(entry)),
                Change::Renewed { id, before, .. } => (*id, Some(before)),
                other => panic!("no entry: {other:?}"),
            };
            assert_eq!(self.stored.get(&id), was);
            match change.left() {
                Some((id, Some(entry))) => self.stored.insert(id, entry.clone()),
                _ => self.stored.remove(&id),
            };
        }
    }

    /// Table, list and store are of one mind.
    fn check(&mut self) {
        let held = |(id, there): (EntryId, &Entry)| (id, there.clone());
        let list = self.model.0.iter().map(|(id, there)| (*id, there.entry()));
        assert!(self.table.iter().map(held).eq(list));
        let stored = self.stored.iter().map(|(id, entry)| (*id, entry.clone()));
        assert!(self.table.iter().map(held).eq(stored));
        self.walks
            .iter_mut()
            .for_each(|walk| walk.witness(&self.model));
    }
}

proptest! {
    #[test]
    fn changes_tell_what_registrants_do_and_can_be_taken_back(events in vec(event(), 0..160)) {
        let mut world = World {
            table: Table::within(Uuid::nil(), LIMITS),
            model: Model::default(),
            walks: vec![],
            stored: BTreeMap::new(),
            unwritten: vec![],
        };
        for event in events {
            world.happen(event);
        }
        for mut walk in world.walks {
            while walk.turn(&world.table, &world.model, 2, true) {}
            walk.judge();
        }
    }
}
