//! A table of the registry, and the plain list that it has to agree with.

use super::Choices;
use crate::registry::{
    AccountName, Change, Entry, EntryId, Inquiry, Life, MapQuery, Owner, Position, Process,
    RegistryError, Table, TableLimits, Versions,
};
use crate::wire::SyntaxId;
use crate::wire::ept::InquiryType;
use crate::wire::tower::{Floor, ProtocolId, TowerBuf};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use uuid::{Uuid, uuid};

/// Target `registry`: a table driven by an operation list, beside a plain list.
///
/// Every lookup and map gives what a walk through the list gives, and a walk
/// that is interrupted by changes sees each entry once that stays throughout.
/// What registrants do is told by its changes, touches nobody else's entries,
/// keeps to the limits, and can be taken back.
pub fn registry(octets: &[u8]) {
    let mut choices = Choices(octets);
    let limit = choices.of([64, 3, 8]);
    let mut model = Model {
        table: Table::within(OBJECTS[1], limits(limit)),
        limit,
        list: Vec::new(),
        walks: Vec::new(),
    };
    while !choices.is_empty() {
        model.operate(&mut choices);
        model.check_list();
    }
    for mut walk in std::mem::take(&mut model.walks) {
        walk.page(&model.table, usize::MAX);
        walk.check_end();
    }
}

/// An operation list for `registry` that registers real towers, then asks for
/// some of them.
pub fn registry_list<'a>(towers: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut list = vec![0];
    for (tower, number) in towers.into_iter().zip(0u8..) {
        list.extend([INSERT_TOWER, 0, number]);
        list.extend((tower.len() as u16).to_le_bytes());
        list.extend(tower);
        list.extend([LOOKUP_LIKE, number, number]);
        list.extend([MAP_LIKE, number, number]);
    }
    list
}

/// Operations of a list by number; what other numbers mean, `operate` tells.
const INSERT_TOWER: u8 = 0;
/// See `INSERT_TOWER`.
const LOOKUP_LIKE: u8 = 1;
/// See `INSERT_TOWER`.
const MAP_LIKE: u8 = 2;

/// A table, and the list that it has to agree with.
struct Model {
    table: Table,
    limit: usize,
    /// In the order of insertion.
    list: Vec<(EntryId, Entry)>,
    walks: Vec<ModelWalk>,
}

/// What a walk asks for.
#[derive(Clone, Copy, Debug)]
enum Question {
    Lookup(Inquiry),
    Map(MapQuery),
}

/// A walk in pages.
#[derive(Debug)]
struct ModelWalk {
    question: Question,
    position: Position,
    /// The entries that match and were there all the time.
    lasting: BTreeSet<EntryId>,
    seen: BTreeSet<EntryId>,
}

/// What a table of so many entries lets registrants have.
fn limits(entries: usize) -> TableLimits {
    TableLimits {
        entries,
        per_owner: entries / 2,
        per_interface: entries / 2 + 1,
        octets: usize::MAX,
    }
}

/// Walks that are open at once, at most.
const WALKS: usize = 6;

impl Model {
    /// One operation of the list.
    fn operate(&mut self, choices: &mut Choices) {
        match choices.u8() % 14 {
            INSERT_TOWER => {
                let [object, annotation] = [choices.u8(), choices.u8()];
                let length = choices.u16();
                let tower = choices.take(length.into());
                let object = OBJECTS[usize::from(object) % OBJECTS.len()];
                let owner = Owner::Configuration;
                if let Ok(entry) = Entry::new(object, tower, &[annotation | 1], owner) {
                    check_entry(&entry, tower);
                    self.insert(entry);
                }
            }
            LOOKUP_LIKE => {
                let like = self.entry_like(choices);
                self.check_lookup(some_inquiry(&like, choices));
            }
            MAP_LIKE => {
                let like = self.entry_like(choices);
                self.check_map(&some_query(&like, choices));
            }
            3 | 4 => self.insert(some_entry(choices)),
            5 => self.remove(choices.u8()),
            6 => self.replace(choices),
            7 => self.open_lookup(choices),
            8 => self.open_map(choices),
            9 => self.register(choices),
            10 => self.withdraw(choices),
            11 => self.withdraw_place(choices),
            12 => self.end_process(choices),
            _ => self.go_on(choices),
        }
    }

    /// An entry of the list, or one that may be in it.
    fn entry_like(&self, choices: &mut Choices) -> Entry {
        let choice = usize::from(choices.u8());
        match self.list.get(choice) {
            Some((_, entry)) => entry.clone(),
            None => some_entry(choices),
        }
    }

    /// The place in the list of the same registration.
    fn find(&self, entry: &Entry) -> Option<usize> {
        self.list
            .iter()
            .position(|(_, there)| is_same(there, entry))
    }

    fn insert(&mut self, entry: Entry) {
        let result = self.table.insert(entry.clone());
        if let Some(place) = self.find(&entry) {
            let (id, there) = &mut self.list[place];
            assert_eq!(result, Ok(*id));
            *there = renewed(there, &entry);
        } else if self.list.len() >= self.limit {
            assert_eq!(result, Err(RegistryError::Full { limit: self.limit }));
        } else {
            let id = result.expect("there is room");
            assert!(self.list.last().is_none_or(|(last, _)| *last < id));
            self.list.push((id, entry));
        }
    }

    fn remove(&mut self, choice: u8) {
        if self.list.is_empty() {
            return;
        }
        let (id, entry) = self.list.remove(usize::from(choice) % self.list.len());
        assert_eq!(self.table.remove(id), Some(entry));
        assert_eq!(self.table.remove(id), None);
        self.forget(id);
    }

    /// No walk has to see `id` any more.
    fn forget(&mut self, id: EntryId) {
        for walk in &mut self.walks {
            walk.lasting.remove(&id);
        }
    }

    /// Replaces what an owner has by some entries.
    fn replace(&mut self, choices: &mut Choices) {
        let owner = choices.of([Owner::Configuration, Owner::Mapper]);
        let wanted: Vec<Entry> = (0..choices.u8() % 8)
            .map(|_| owned(&some_entry(choices), owner.clone()))
            .collect();
        let is_wanted = |entry: &Entry| wanted.iter().any(|wanted| is_same(wanted, entry));
        let goes = |entry: &Entry| *entry.owner() == owner && !is_wanted(entry);
        let mut distinct: Vec<&Entry> = Vec::new();
        for entry in &wanted {
            if !distinct.iter().any(|there| is_same(there, entry)) {
                distinct.push(entry);
            }
        }
        let added = distinct
            .iter()
            .filter(|entry| self.find(entry).is_none())
            .count();
        let is_own = |entry: &Entry| !entry.owner().is_registrant();
        let claimed = distinct.iter().filter(|entry| {
            let place = self.find(entry);
            place.is_none_or(|place| !is_own(&self.list[place].1))
        });
        let claimed = claimed.count();
        let own = self.list.iter().filter(|(_, entry)| is_own(entry)).count();
        let gone: Vec<EntryId> = self
            .list
            .iter()
            .filter(|(_, entry)| goes(entry))
            .map(|(id, _)| *id)
            .collect();
        let result = self.table.replace_owned(owner.clone(), wanted.clone());
        let result = result.map(|(changed, _)| changed);
        if own - gone.len() + claimed > self.limit {
            assert_eq!(result, Err(RegistryError::Full { limit: self.limit }));
            return;
        }
        let changed = result.expect("there is room");
        let kept = distinct.len() - added;
        assert_eq!(
            (changed.added, changed.removed, changed.kept),
            (added, gone.len(), kept)
        );
        self.list.retain(|(id, _)| !gone.contains(id));
        gone.into_iter().for_each(|id| self.forget(id));
        for entry in wanted {
            match self.find(&entry) {
                Some(place) => self.list[place].1 = renewed(&self.list[place].1, &entry),
                None => {
                    let id = self.table.find(&entry).expect("it was added");
                    self.list.push((id, entry));
                }
            }
        }
    }

    /// A registrant registers some entries.
    fn register(&mut self, choices: &mut Choices) {
        let owner = some_registrant(choices);
        let [how, life] = [choices.u8(), choices.u8()];
        let life = match life & 3 {
            0 => Life::Probe,
            pid => Life::Process(process(pid)),
        };
        let from = Ipv4Addr::new(127, 0, 0, how >> 6).into();
        let entries = (0..=how & 3).map(|_| {
            let entry = some_entry(choices).owned(owner.clone());
            entry.registered_from(from).living(life, 0)
        });
        let entries = entries.collect();
        let is_exclusive = |interface| how & 8 != 0 && interface == OBJECTS[1];
        let changes = self.table.register(entries, how & 4 != 0, is_exclusive);
        self.follow(&owner, changes, how & 0x30 == 0x30);
        self.check_limits();
    }

    /// A registrant takes out some entries.
    fn withdraw(&mut self, choices: &mut Choices) {
        let owner = some_registrant(choices);
        let how = choices.u8();
        let named: Vec<Entry> = (0..=how & 1).map(|_| self.entry_like(choices)).collect();
        let named = named.iter().map(|entry| (entry.object(), entry.tower()));
        let changes = self.table.withdraw(&owner, named);
        self.follow(&owner, changes, how & 0x30 == 0x30);
    }

    /// A registrant takes out an endpoint.
    fn withdraw_place(&mut self, choices: &mut Choices) {
        let owner = some_registrant(choices);
        let how = choices.u8();
        let like = self.entry_like(choices);
        let object = (how & 1 == 0).then_some(like.object());
        let changes = self.table.withdraw_place(&owner, object, &like);
        self.follow(&owner, changes, how & 0x30 == 0x30);
    }

    /// A process ends.
    fn end_process(&mut self, choices: &mut Choices) {
        let process = process(choices.u8() & 3);
        let changes = self.table.end_process(process);
        self.follow(&Owner::ROOT, Ok(changes), false);
        assert!(!self.table.has_process(process));
    }

    /// The list follows what `owner` has changed, unless that is taken back.
    fn follow(
        &mut self,
        owner: &Owner,
        changes: Result<Vec<Change>, RegistryError>,
        is_undone: bool,
    ) {
        let Ok(changes) = changes else {
            return;
        };
        let mut undone = self.table.clone();
        undone.undo(&changes);
        let list = self.list.iter().map(|(id, entry)| (*id, entry));
        assert!(undone.iter().eq(list), "not as it was before {changes:?}");
        for change in &changes {
            if let Change::Removed(id, before) | Change::Renewed { id, before, .. } = change {
                assert!(owner.may_change(before.owner()), "{owner}: {change:?}");
                self.forget(*id);
            }
        }
        if is_undone {
            self.table = undone;
            return;
        }
        for change in changes {
            let Some((id, left)) = change.left() else {
                continue;
            };
            self.list.retain(|(there, _)| *there != id);
            let place = self.list.partition_point(|(there, _)| *there < id);
            let left = left.map(|entry| (id, entry.clone()));
            self.list.splice(place..place, left);
        }
    }

    /// Nobody has more than the limits allow; root may take over more.
    fn check_limits(&self) {
        let limits = limits(self.limit);
        let registered = || {
            let entries = self.list.iter().map(|(_, entry)| entry);
            entries.filter(|entry| entry.owner().is_registrant())
        };
        for entry in registered() {
            let of_owner = registered().filter(|other| other.owner() == entry.owner());
            let is_root = *entry.owner() == Owner::ROOT;
            assert!(is_root || of_owner.count() <= limits.per_owner);
            let interface = entry.interface().uuid;
            let of_interface = registered().filter(|other| other.interface().uuid == interface);
            assert!(of_interface.count() <= limits.per_interface);
        }
    }

    /// The table holds what the list holds, in its order.
    fn check_list(&self) {
        assert_eq!(
            (self.table.len(), self.table.is_empty()),
            (self.list.len(), self.list.is_empty())
        );
        let list = self.list.iter().map(|(id, entry)| (*id, entry));
        assert!(self.table.iter().eq(list), "the table is not the list");
    }

    /// A lookup gives what the list gives, from any position on.
    fn check_lookup(&self, inquiry: Inquiry) {
        let found: Vec<_> = self.table.lookup(&inquiry, Position::START).collect();
        let expected = self.list.iter().map(|(_, entry)| entry);
        let expected = expected.filter(|entry| is_inquired(&inquiry, entry));
        assert!(
            found.iter().map(|found| found.1).eq(expected),
            "{inquiry:?}"
        );
        check_positions(&found, |from| self.table.lookup(&inquiry, from));
    }

    /// A map gives what the list gives, from any position on.
    fn check_map(&self, query: &MapQuery) {
        let found: Vec<_> = self.table.map(query, Position::START).collect();
        let expected = self.mapped(query);
        assert!(found.iter().map(|found| found.1).eq(expected), "{query:?}");
        check_positions(&found, |from| self.table.map(query, from));
    }

    /// The entries of the list that answer a map, in order.
    fn mapped(&self, query: &MapQuery) -> Vec<&Entry> {
        let mut passes = vec![query.object];
        if query.nil_objects && !query.object.is_nil() {
            passes.push(Uuid::nil());
        }
        let mut found: Vec<&Entry> = Vec::new();
        for object in passes {
            for (_, entry) in self
                .list
                .iter()
                .filter(|(_, entry)| entry.object() == object)
            {
                let had = || found.iter().any(|found| endpoint(found) == endpoint(entry));
                if is_mapped(query, entry) && !(query.is_management() && had()) {
                    found.push(entry);
                }
            }
        }
        found
    }

    fn open_lookup(&mut self, choices: &mut Choices) {
        let like = self.entry_like(choices);
        let inquiry = some_inquiry(&like, choices);
        let matches = |entry: &Entry| is_inquired(&inquiry, entry);
        self.open(Question::Lookup(inquiry), matches);
    }

    /// Opens a map; one of the management interface has no lasting entries, for
    /// of each endpoint it sees the first only, whichever that is.
    fn open_map(&mut self, choices: &mut Choices) {
        let like = self.entry_like(choices);
        let query = some_query(&like, choices);
        let of_object = |entry: &Entry| {
            entry.object() == query.object || query.nil_objects && entry.object().is_nil()
        };
        let matches =
            |entry: &Entry| !query.is_management() && of_object(entry) && is_mapped(&query, entry);
        self.open(Question::Map(query), matches);
    }

    fn open(&mut self, question: Question, matches: impl Fn(&Entry) -> bool) {
        if self.walks.len() >= WALKS {
            return;
        }
        let lasting = self.list.iter().filter(|(_, entry)| matches(entry));
        self.walks.push(ModelWalk {
            question,
            position: Position::START,
            lasting: lasting.map(|(id, _)| *id).collect(),
            seen: BTreeSet::new(),
        });
    }

    /// Takes a page of an open walk.
    fn go_on(&mut self, choices: &mut Choices) {
        let [which, count] = [choices.u8(), choices.u8()];
        if !self.walks.is_empty() {
            let place = usize::from(which) % self.walks.len();
            self.walks[place].page(&self.table, usize::from(count % 5));
        }
    }
}

impl ModelWalk {
    /// Goes on by up to `count` entries, and looks ahead by one.
    fn page(&mut self, table: &Table, count: usize) {
        match self.question {
            Question::Lookup(inquiry) => {
                self.pass(table, count, table.lookup(&inquiry, self.position));
            }
            Question::Map(query) => self.pass(table, count, table.map(&query, self.position)),
        }
    }

    fn pass<'t>(
        &mut self,
        table: &Table,
        count: usize,
        mut walk: impl Iterator<Item = (Position, &'t Entry)>,
    ) {
        for (position, entry) in walk.by_ref().take(count) {
            let id = table.find(entry).expect("it is there");
            assert!(
                self.seen.insert(id),
                "{id:?} comes twice in {:?}",
                self.question
            );
            self.position = position;
        }
        if let Some((position, _)) = walk.next() {
            self.position = position.before();
        }
    }

    /// Whatever was there all the time was seen.
    fn check_end(&self) {
        assert!(self.lasting.is_subset(&self.seen), "never seen: {self:?}");
    }
}

/// A walk goes on alike from any position that it passed.
fn check_positions<'t, W: Iterator<Item = (Position, &'t Entry)>>(
    found: &[(Position, &Entry)],
    walk: impl Fn(Position) -> W,
) {
    let places = |from| walk(from).map(|found| found.0);
    let rest = |place: usize| found.iter().map(|found| found.0).skip(place);
    for (place, (position, _)) in found.iter().enumerate() {
        assert!(places(*position).eq(rest(place + 1)), "behind {position:?}");
        let again = places(position.before());
        assert!(again.eq(rest(place)), "before {position:?}");
    }
}

/// Objects that entries have, nil among them.
pub(super) const OBJECTS: [Uuid; 3] = [
    Uuid::nil(),
    uuid!("11111111-2222-3333-4444-555555555555"),
    uuid!("99999999-2222-3333-4444-555555555555"),
];

/// An entry of a small world, so that entries meet each other.
pub(super) fn some_entry(choices: &mut Choices) -> Entry {
    let [high, low] = [choices.u8(), choices.u8()];
    let uuids = [
        OBJECTS[1],
        OBJECTS[2],
        SyntaxId::MGMT.uuid,
        SyntaxId::EPT.uuid,
    ];
    let (major, minor) = [(1, 0), (1, 1), (1, 2), (2, 0)][usize::from(high >> 2 & 3)];
    let interface = SyntaxId::new(uuids[usize::from(high & 3)], major, minor);
    let syntax = if high & 0x10 == 0 {
        SyntaxId::NDR
    } else {
        SyntaxId::NDR64
    };
    let port = [49152u16, 49153][usize::from(high >> 5 & 1)].to_be_bytes();
    let lower: &[(ProtocolId, &[u8])] = match low & 3 {
        0 => &[(ProtocolId::TCP, &port), (ProtocolId::IP, &[0; 4])],
        1 => &[(ProtocolId::TCP, &port), (ProtocolId::IP, &[192, 0, 2, 1])],
        2 => &[
            (ProtocolId::SMB_PIPE, b"\\pipe\\a\0"),
            (ProtocolId::NETBIOS_HOST, b"a\0"),
        ],
        _ => &[(ProtocolId::DNA_NSP, &port)],
    };
    let object = OBJECTS[usize::from(low >> 2 & 3) % OBJECTS.len()];
    let owner = if low & 0x10 == 0 {
        Owner::Configuration
    } else {
        Owner::Mapper
    };
    let tower = tower_of(interface, syntax, lower);
    Entry::new(object, tower.octets(), &[b'a' + (low >> 6)], owner).expect("a good entry")
}

/// Somebody who registers.
fn some_registrant(choices: &mut Choices) -> Owner {
    let host = Owner::Host(Ipv4Addr::LOCALHOST.into());
    let account = |name| Owner::Account(AccountName::new(name).expect("a name"));
    let [alice, bob] = ["alice", "bob@LAB.EXAMPLE"].map(account);
    let users = [1000, 0, 1001].map(Owner::User);
    let [ann, root, ben] = users;
    choices.of([ann, root, ben, host, alice, bob])
}

/// One of few processes.
fn process(pid: u8) -> Process {
    let pid = pid.into();
    Process { pid, started: 1 }
}

/// A tower of RPC over connections with `lower` below floor 3.
fn tower_of(interface: SyntaxId, syntax: SyntaxId, lower: &[(ProtocolId, &[u8])]) -> TowerBuf {
    let names = [interface, syntax].map(|id| {
        let uuid = id.uuid.to_bytes_le();
        let lhs = [&[ProtocolId::UUID.0][..], &uuid, &id.major.to_le_bytes()].concat();
        (lhs, id.minor.to_le_bytes().to_vec())
    });
    let rpc = (ProtocolId::RPC_CONNECTION_ORIENTED, &[0, 0][..]);
    let below = [&[rpc], lower].concat();
    let below = below.iter().map(|(id, rhs)| (vec![id.0], rhs.to_vec()));
    let sides: Vec<_> = names.into_iter().chain(below).collect();
    TowerBuf::from_floors(sides.iter().map(|(lhs, rhs)| Floor { lhs, rhs })).expect("short floors")
}

/// An inquiry that `like` may answer.
fn some_inquiry(like: &Entry, choices: &mut Choices) -> Inquiry {
    let [kind, version] = [choices.u8(), choices.u8()];
    let kinds = [
        InquiryType::MATCH_BY_IF,
        InquiryType::ALL_ELTS,
        InquiryType::MATCH_BY_OBJ,
        InquiryType::MATCH_BY_BOTH,
    ];
    let versions = [
        Versions::Compatible,
        Versions::All,
        Versions::Exact,
        Versions::MajorOnly,
        Versions::UpTo,
    ];
    let interface = SyntaxId {
        minor: like.interface().minor ^ u16::from(kind >> 7),
        ..like.interface()
    };
    let versions = versions[usize::from(version) % versions.len()];
    let kind = kinds[usize::from(kind) % kinds.len()];
    Inquiry::new(kind, like.object(), interface, versions).expect("a known type")
}

/// A query that `like` may answer.
fn some_query(like: &Entry, choices: &mut Choices) -> MapQuery {
    let choice = choices.u8();
    let interface = if choice & 1 == 0 {
        like.interface()
    } else {
        SyntaxId::MGMT
    };
    MapQuery {
        object: OBJECTS[usize::from(choice >> 1 & 3) % OBJECTS.len()],
        nil_objects: choice & 8 == 0,
        interface: SyntaxId {
            minor: interface.minor.saturating_sub(u16::from(choice >> 4 & 1)),
            ..interface
        },
        transfer_syntax: like.transfer_syntax(),
        shape: like.shape(),
    }
}

/// Whether two entries are one registration.
fn is_same(one: &Entry, other: &Entry) -> bool {
    one.object() == other.object() && one.tower() == other.tower()
}

/// `there`, registered `again`: the new annotation, the owner of longer claim.
fn renewed(there: &Entry, again: &Entry) -> Entry {
    owned(again, there.owner().min(again.owner()).clone())
}

/// The same entry of another owner.
fn owned(entry: &Entry, owner: Owner) -> Entry {
    Entry::new(entry.object(), entry.tower(), entry.annotation(), owner).expect("it is good")
}

/// The laws of an entry that a tower made.
fn check_entry(entry: &Entry, tower: &[u8]) {
    assert_eq!(entry.tower(), tower);
    assert_eq!(entry.tower_for(None), tower);
    let dialled = entry.tower_for(Some(Ipv4Addr::LOCALHOST));
    let changes = dialled
        .iter()
        .zip(tower)
        .filter(|(one, other)| one != other);
    assert!(dialled.len() == tower.len() && changes.count() <= 4);
    let owner = entry.owner().clone();
    let again = Entry::new(entry.object(), &dialled, entry.annotation(), owner);
    let again = again.expect("an address does not matter");
    assert_eq!(
        (again.interface(), again.shape()),
        (entry.interface(), entry.shape())
    );
}

/// Whether an entry is asked for, told from the standard once more.
fn is_inquired(inquiry: &Inquiry, entry: &Entry) -> bool {
    let there = entry.interface();
    let of_interface = |asked: SyntaxId, versions| {
        there.uuid == asked.uuid
            && match versions {
                Versions::All => true,
                Versions::Compatible => there.major == asked.major && there.minor >= asked.minor,
                Versions::Exact => there.major == asked.major && there.minor == asked.minor,
                Versions::MajorOnly => there.major == asked.major,
                Versions::UpTo => {
                    there.major < asked.major
                        || there.major == asked.major && there.minor <= asked.minor
                }
            }
    };
    match *inquiry {
        Inquiry::All => true,
        Inquiry::Interface(asked, versions) => of_interface(asked, versions),
        Inquiry::Object(object) => entry.object() == object,
        Inquiry::Both(asked, versions, object) => {
            entry.object() == object && of_interface(asked, versions)
        }
    }
}

/// Whether an entry answers a map, its object aside.
fn is_mapped(query: &MapQuery, entry: &Entry) -> bool {
    let serves = |there: SyntaxId, asked: SyntaxId| {
        (there.uuid, there.major) == (asked.uuid, asked.major) && there.minor >= asked.minor
    };
    entry.shape() == query.shape
        && serves(entry.transfer_syntax(), query.transfer_syntax)
        && (query.interface.uuid == SyntaxId::MGMT.uuid
            || serves(entry.interface(), query.interface))
}

/// An entry's tower from floor 2 down.
fn endpoint(entry: &Entry) -> &[u8] {
    &entry.tower()[27..]
}
