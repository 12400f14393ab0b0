//! The registry against a plain list: what it finds, and what it promises to
//! walks while entries come and go.
//!
//! Registrants, lives and changes are in `registry_model/changes.rs`.
//!
//! The promise: an entry that is there from the first page of a walk to the
//! last is seen exactly once, none is seen twice, and all come in order.

#[path = "registry_model/changes.rs"]
mod changes;

use epmapper::registry::{
    Changed, Entry, EntryId, Inquiry, Life, MapQuery, Owner, Position, RegistryError, Table,
    Versions,
};
use epmapper::wire::SyntaxId;
use epmapper::wire::ept::{InquiryType, VersionOption};
use epmapper::wire::tower::Tower;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use uuid::{Uuid, uuid};

/// The most entries of the tables here, so that it is struck.
const LIMIT: usize = 24;
/// Interfaces to register; management among those to ask for.
const INTERFACES: [Uuid; 3] = [
    uuid!("60a15ec5-4de8-11d7-a637-005056a20182"),
    uuid!("12345778-1234-abcd-ef00-0123456789ac"),
    SyntaxId::MGMT.uuid,
];
/// Objects, with none.
const OBJECTS: [Uuid; 3] = [
    Uuid::nil(),
    uuid!("11111111-2222-3333-4444-555555555555"),
    uuid!("99999999-2222-3333-4444-555555555555"),
];
/// Protocols from floor 3 down: TCP, UDP, two of no known sequence.
const SHAPES: [&[u8]; 4] = [
    &[0x0b, 0x07, 0x09],
    &[0x0a, 0x08, 0x09],
    &[0x0b, 0x08, 0x09],
    &[0x0b],
];

/// A registration, as the list keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Registration {
    object: Uuid,
    interface: SyntaxId,
    syntax: SyntaxId,
    shape: &'static [u8],
    /// The last octet of its address.
    address: u8,
    port: u16,
    annotation: Vec<u8>,
    owner: Owner,
    life: Life,
}

impl Registration {
    /// The octets of its tower.
    fn tower(&self) -> Vec<u8> {
        let mut octets = (2 + self.shape.len() as u16).to_le_bytes().to_vec();
        for id in [self.interface, self.syntax] {
            octets.extend([19, 0, 0x0d]);
            octets.extend(id.uuid.to_bytes_le());
            octets.extend(id.major.to_le_bytes());
            octets.extend([2, 0]);
            octets.extend(id.minor.to_le_bytes());
        }
        for protocol in self.shape {
            let rhs: &[u8] = match protocol {
                0x07 | 0x08 => &self.port.to_be_bytes(),
                0x09 => &[127, 0, 0, self.address],
                _ => &[0, 0],
            };
            octets.extend([1, 0, *protocol, rhs.len() as u8, 0]);
            octets.extend(rhs);
        }
        octets
    }

    /// The same for the table.
    fn entry(&self) -> Entry {
        let owner = self.owner.clone();
        let entry = Entry::new(self.object, &self.tower(), &self.annotation, owner);
        entry.unwrap().living(self.life, 0)
    }

    /// Whether it is the registration `other`, made once more.
    fn is_again(&self, other: &Registration) -> bool {
        self.object == other.object && self.tower() == other.tower()
    }

    /// It is registered once more.
    fn renew(&mut self, again: &Registration) {
        self.annotation = again.annotation.clone();
        if again.owner <= self.owner {
            (self.owner, self.life) = (again.owner.clone(), again.life);
        }
    }

    /// Whether the same server may listen there as for `other`.
    fn shares_endpoint(&self, other: &Registration) -> bool {
        let port = |one: &Registration| (one.shape.len() > 1).then_some((one.port, one.address));
        (self.shape, self.syntax, port(self)) == (other.shape, other.syntax, port(other))
    }
}

/// The registry as a plain list.
#[derive(Debug, Default)]
struct Model(Vec<(EntryId, Registration)>);

/// What a walk asks for.
#[derive(Clone, Debug)]
enum Ask {
    Lookup {
        kind: u32,
        object: Uuid,
        interface: SyntaxId,
        option: u32,
    },
    Map {
        asked: Registration,
        nil_objects: bool,
    },
}

impl Model {
    fn insert(&mut self, table: &mut Table, new: Registration) {
        let inserted = table.insert(new.entry());
        if let Some((id, there)) = self.0.iter_mut().find(|(_, there)| there.is_again(&new)) {
            assert_eq!(inserted, Ok(*id));
            there.renew(&new);
        } else if self.0.len() == LIMIT {
            assert_eq!(inserted, Err(RegistryError::Full { limit: LIMIT }));
        } else {
            let id = inserted.unwrap();
            assert!(self.0.iter().all(|(earlier, _)| *earlier < id));
            self.0.push((id, new));
        }
    }

    fn remove(&mut self, table: &mut Table, index: usize) {
        if self.0.is_empty() {
            return;
        }
        let (id, there) = self.0.remove(index % self.0.len());
        assert_eq!(table.remove(id), Some(there.entry()));
    }

    fn replace(&mut self, table: &mut Table, owner: Owner, mut wanted: Vec<Registration>) {
        wanted
            .iter_mut()
            .for_each(|wanted| wanted.owner = owner.clone());
        let among = |list: &[Registration], one: &Registration| {
            list.iter().any(|other| other.is_again(one))
        };
        let mut left = self
            .0
            .iter()
            .map(|(_, there)| there.clone())
            .collect::<Vec<_>>();
        left.retain(|there| there.owner != owner || among(&wanted, there));
        let mut after = left.clone();
        for one in &wanted {
            if !among(&after, one) {
                after.push(one.clone());
            }
        }
        let entries = wanted.iter().map(Registration::entry).collect();
        let changed = table
            .replace_owned(owner, entries)
            .map(|(changed, _)| changed);
        if after.len() > LIMIT {
            return assert_eq!(changed, Err(RegistryError::Full { limit: LIMIT }));
        }
        let Changed {
            added,
            removed,
            kept,
        } = changed.unwrap();
        assert_eq!(
            (added, removed),
            (after.len() - left.len(), self.0.len() - left.len())
        );
        assert_eq!(
            kept,
            left.iter().filter(|there| among(&wanted, there)).count()
        );
        self.0.retain(|(_, there)| among(&left, there));
        for one in wanted {
            self.insert(table, one);
        }
    }

    /// What `ask` finds, in order.
    fn find(&self, ask: &Ask) -> Vec<EntryId> {
        match ask {
            Ask::Lookup {
                kind,
                object,
                interface,
                option,
            } => {
                let matches = |entry: &Registration| {
                    (*kind & 2 == 0 || entry.object == *object)
                        && (*kind & 1 == 0 || is_version(entry.interface, *interface, *option))
                };
                self.ids(matches)
            }
            Ask::Map { asked, nil_objects } => {
                let mut found = self.ids(|entry| self.maps(entry, asked.object, asked));
                if *nil_objects && !asked.object.is_nil() {
                    found.extend(self.ids(|entry| self.maps(entry, Uuid::nil(), asked)));
                }
                found
            }
        }
    }

    /// The ids of the entries that `matches` takes.
    fn ids(&self, matches: impl Fn(&Registration) -> bool) -> Vec<EntryId> {
        let taken = self.0.iter().filter(|(_, entry)| matches(entry));
        taken.map(|(id, _)| *id).collect()
    }

    /// Whether `entry`, of that object, answers who asks with `asked`.
    fn maps(&self, entry: &Registration, object: Uuid, asked: &Registration) -> bool {
        entry.object == object
            && entry.shape == asked.shape
            && is_version(entry.syntax, asked.syntax, 2)
            && if asked.interface.uuid == SyntaxId::MGMT.uuid {
                let earlier = self.0.iter().map(|(_, there)| there);
                let mut earlier = earlier.take_while(|there| *there != entry);
                let of_asked = |there: &Registration| there.object == asked.object;
                !earlier.any(|there| there.object == object && there.shares_endpoint(entry))
                    && (object == asked.object
                        || !self
                            .0
                            .iter()
                            .any(|(_, t)| of_asked(t) && t.shares_endpoint(entry)))
            } else {
                is_version(entry.interface, asked.interface, 2)
            }
    }
}

/// Whether `entry` is a version of `asked` that `option` takes.
fn is_version(entry: SyntaxId, asked: SyntaxId, option: u32) -> bool {
    let (major, minor) = (asked.major, asked.minor);
    entry.uuid == asked.uuid
        && match option {
            1 => true,
            2 => entry.major == major && entry.minor >= minor,
            3 => entry.major == major && entry.minor == minor,
            4 => entry.major == major,
            _ => entry.major < major || entry.major == major && entry.minor <= minor,
        }
}

/// The same question to the table, from a position on.
fn ask_table(table: &Table, ask: &Ask, from: Position) -> Vec<(Position, EntryId)> {
    let with_id = |(position, entry): (Position, &Entry)| (position, table.find(entry).unwrap());
    match ask {
        Ask::Lookup {
            kind,
            object,
            interface,
            option,
        } => {
            let versions = Versions::new(VersionOption(*option)).unwrap();
            let inquiry = Inquiry::new(InquiryType(*kind), *object, *interface, versions);
            table.lookup(&inquiry.unwrap(), from).map(with_id).collect()
        }
        Ask::Map { asked, nil_objects } => {
            let tower = asked.tower();
            let parts = Tower::decode(&tower).unwrap().parts().unwrap();
            let mut query = MapQuery::new(asked.object, &parts);
            query.nil_objects = *nil_objects;
            table.map(&query, from).map(with_id).collect()
        }
    }
}

/// A walk in progress, and what the promise is about.
#[derive(Debug)]
struct Walk {
    ask: Ask,
    position: Position,
    seen: Vec<EntryId>,
    /// What was there to be found all the time.
    throughout: BTreeSet<EntryId>,
}

impl Walk {
    /// Begins before the first page.
    fn new(model: &Model, ask: Ask) -> Walk {
        let throughout = model.find(&ask).into_iter().collect();
        Walk {
            ask,
            position: Position::START,
            seen: vec![],
            throughout,
        }
    }

    /// Something changed.
    fn witness(&mut self, model: &Model) {
        let now: BTreeSet<_> = model.find(&self.ask).into_iter().collect();
        self.throughout.retain(|id| now.contains(id));
    }

    /// Takes a page of `size`; whether more may follow.
    fn turn(&mut self, table: &Table, model: &Model, size: usize, looks_ahead: bool) -> bool {
        let left = ask_table(table, &self.ask, self.position);
        let now = model.find(&self.ask);
        let page = &left[..size.min(left.len())];
        let places: Vec<_> = page
            .iter()
            .map(|(_, id)| now.iter().position(|n| n == id))
            .collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted());
        self.seen.extend(page.iter().map(|(_, id)| *id));
        match (page.last(), left.get(size)) {
            (_, Some((next, _))) if looks_ahead => self.position = next.before(),
            (Some((last, _)), _) if page.len() == size => self.position = *last,
            _ => return false,
        }
        true
    }

    /// The walk is over: was the promise kept?
    fn judge(&self) {
        let seen: BTreeSet<_> = self.seen.iter().copied().collect();
        assert_eq!(seen.len(), self.seen.len(), "none is seen twice");
        assert!(
            self.throughout.is_subset(&seen),
            "what was there throughout is seen"
        );
        if let Ask::Lookup { .. } = self.ask {
            assert!(self.seen.is_sorted(), "in insertion order");
        }
    }
}

/// What happens to the registry.
#[derive(Clone, Debug)]
enum Event {
    Insert(Registration),
    Remove(usize),
    Replace(Owner, Vec<Registration>),
    Begin(Ask),
    Turn {
        walk: usize,
        size: usize,
        looks_ahead: bool,
    },
}

fn interface() -> impl Strategy<Value = SyntaxId> {
    (select(&INTERFACES[..]), 1u16..4, 0u16..3).prop_map(|(uuid, major, minor)| SyntaxId {
        uuid,
        major,
        minor,
    })
}

fn owner() -> impl Strategy<Value = Owner> {
    select(&[Owner::Mapper, Owner::Configuration][..])
}

fn registration() -> impl Strategy<Value = Registration> {
    let newer = SyntaxId {
        minor: 1,
        ..SyntaxId::NDR
    };
    let syntax = select(vec![SyntaxId::NDR, SyntaxId::NDR, SyntaxId::NDR64, newer]);
    let object = select(&OBJECTS[..]);
    let annotation = vec(b'a'..b'c', 0..2);
    (
        object,
        interface(),
        syntax,
        select(&SHAPES[..]),
        (1u8..3, 1u16..4),
        annotation,
        owner(),
    )
        .prop_map(
            |(object, interface, syntax, shape, (address, port), annotation, owner)| Registration {
                object,
                interface,
                syntax,
                shape,
                address,
                port,
                annotation,
                owner,
                life: Life::Permanent,
            },
        )
}

fn ask() -> impl Strategy<Value = Ask> {
    let lookup = (0u32..4, select(&OBJECTS[..]), interface(), 1u32..6).prop_map(
        |(kind, object, interface, option)| Ask::Lookup {
            kind,
            object,
            interface,
            option,
        },
    );
    let map = (registration(), any::<bool>())
        .prop_map(|(asked, nil_objects)| Ask::Map { asked, nil_objects });
    prop_oneof![lookup, map]
}

fn event() -> impl Strategy<Value = Event> {
    let turn = (any::<usize>(), 1usize..5, any::<bool>()).prop_map(|(walk, size, looks_ahead)| {
        Event::Turn {
            walk,
            size,
            looks_ahead,
        }
    });
    prop_oneof![
        8 => registration().prop_map(Event::Insert),
        4 => any::<usize>().prop_map(Event::Remove),
        1 => (owner(), vec(registration(), 0..20)).prop_map(|(owner, new)| Event::Replace(owner, new)),
        2 => ask().prop_map(Event::Begin),
        8 => turn,
    ]
}

/// Lets `event` happen to the table and to the list.
fn happen(table: &mut Table, model: &mut Model, walks: &mut Vec<Walk>, event: Event) {
    match event {
        Event::Insert(new) => model.insert(table, new),
        Event::Remove(index) => model.remove(table, index),
        Event::Replace(owner, wanted) => model.replace(table, owner, wanted),
        Event::Begin(ask) => {
            let found = ask_table(table, &ask, Position::START);
            assert!(found.iter().map(|(_, id)| *id).eq(model.find(&ask)));
            return walks.push(Walk::new(model, ask));
        }
        Event::Turn {
            walk,
            size,
            looks_ahead,
        } if !walks.is_empty() => {
            let walk = walk % walks.len();
            if !walks[walk].turn(table, model, size, looks_ahead) {
                walks.swap_remove(walk).judge();
            }
            return;
        }
        Event::Turn { .. } => return,
    }
    let entries = model.0.iter().map(|(id, there)| (*id, there.entry()));
    assert!(
        table
            .iter()
            .map(|(id, entry)| (id, entry.clone()))
            .eq(entries)
    );
    walks.iter_mut().for_each(|walk| walk.witness(model));
}

proptest! {
    #[test]
    fn the_registry_does_as_a_plain_list_and_keeps_its_promise_to_walks(
        events in vec(event(), 0..160),
    ) {
        let (mut table, mut model) = (Table::new(Uuid::nil(), LIMIT), Model::default());
        let mut walks = vec![];
        for event in events {
            happen(&mut table, &mut model, &mut walks, event);
        }
        for mut walk in walks {
            while walk.turn(&table, &model, 2, true) {}
            walk.judge();
        }
    }
}
