//! A disk in memory for the tests: it keeps what was synced, and loses, tears
//! and reorders the rest when the power goes.

use super::moment::Moment;
use super::place::Medium;
use crate::registry::samples::{ECHO, tcp_tower};
use crate::registry::{AccountName, Change, Entry, EntryId, Life, Owner};
use nix::libc::{EIO, ENOSPC};
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use uuid::Uuid;

/// What a disk writes wholly or not at all, in octets.
const SECTOR: usize = 512;

/// Numbers from a seed.
///
/// # Source
/// SplitMix64, Steele et al. 2014.
#[derive(Clone, Debug)]
pub(super) struct Draw(pub(super) u64);

impl Draw {
    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Any order of these.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// One file: as programs see it, and as it is on the disk.
#[derive(Clone, Debug, Default)]
struct Image {
    live: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync, in pieces of at most a sector.
    pieces: Vec<(usize, Vec<u8>)>,
    /// Lengths since the last sync.
    lengths: Vec<usize>,
}

impl Image {
    /// Writes octets.
    fn write(&mut self, offset: usize, mut data: &[u8]) {
        self.live[offset..offset + data.len()].copy_from_slice(data);
        let mut at = offset;
        while !data.is_empty() {
            let (piece, rest) = data.split_at(data.len().min(SECTOR - at % SECTOR));
            self.pieces.push((at, piece.to_vec()));
            (at, data) = (at + piece.len(), rest);
        }
    }

    /// Sets the length.
    fn set_len(&mut self, len: usize) {
        self.live.resize(len, 0);
        self.lengths.push(len);
    }

    /// Brings to the disk some of what was written: any of the pieces in any
    /// order, and the lengths up to any of them. The rest is never written.
    fn lose(&mut self, draw: &mut Draw) {
        let lengths = draw.below(self.lengths.len() + 1);
        for len in self.lengths.drain(..).take(lengths) {
            self.synced.resize(len, 0);
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        draw.shuffle(&mut pieces);
        // Now and then all, or nothing: those are likely ends, too.
        let odds = [0, 1, 2, 3, 4, 4][draw.below(6)];
        for (at, piece) in pieces {
            if draw.below(4) < odds && at + piece.len() <= self.synced.len() {
                self.synced[at..at + piece.len()].copy_from_slice(&piece);
            }
        }
    }

    /// Brings everything to the disk.
    ///
    /// Only what was written since the last sync: what was lost before is not
    /// found again, as on Linux after a failed sync.
    fn sync(&mut self) {
        for len in self.lengths.drain(..) {
            self.synced.resize(len, 0);
        }
        for (at, piece) in self.pieces.drain(..) {
            if at + piece.len() <= self.synced.len() {
                self.synced[at..at + piece.len()].copy_from_slice(&piece);
            }
        }
    }
}

/// What is to go wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Well,
    /// The power goes at this step.
    Cut(usize),
    /// The power goes in this sync.
    CutSync(usize),
    /// This step fails, and those after it until this one.
    Fail(usize, usize),
    /// This sync fails.
    FailSync(usize),
    /// The file may have this many octets.
    Room(usize),
}

/// Both files of a registry and what happens to them.
#[derive(Debug)]
struct State {
    /// The registry, once it has its name.
    named: Option<Image>,
    /// The new registry.
    new: Image,
    /// How often a file was renamed, to know an old one.
    renamed: usize,
    plan: Plan,
    /// Writes, syncs, lengths and renames so far.
    steps: usize,
    /// Octets and syncs written so far.
    written: (usize, usize),
    draw: Draw,
}

/// A disk; clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk, whose losses come from a seed.
    pub(super) fn new(seed: u64) -> Disk {
        Disk(Arc::new(Mutex::new(State {
            named: None,
            new: Image::default(),
            renamed: 0,
            plan: Plan::Well,
            steps: 0,
            written: (0, 0),
            draw: Draw(seed),
        })))
    }

    /// What is to go wrong from now on; steps count from here.
    pub(super) fn plan(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.steps) = (plan, 0);
    }

    /// How many steps there were since the last plan.
    pub(super) fn steps(&self) -> usize {
        self.state().steps
    }

    /// Octets and syncs so far.
    pub(super) fn written(&self) -> (usize, usize) {
        self.state().written
    }

    /// The power goes and comes back: a disk with what was on this one.
    pub(super) fn cut(&self) -> Disk {
        let mut state = self.state();
        let mut draw = Draw(state.draw.next());
        let mut named = state.named.clone();
        if let Some(image) = &mut named {
            image.lose(&mut draw);
            image.live.clone_from(&image.synced);
        }
        let disk = Disk::new(draw.next());
        disk.state().named = named;
        disk
    }

    /// Another disk with the same on it.
    pub(super) fn copy(&self) -> Disk {
        let disk = Disk::new(self.state().draw.next());
        disk.state().named.clone_from(&self.state().named);
        disk
    }

    /// The file as programs see it.
    pub(super) fn octets(&self) -> Vec<u8> {
        let state = self.state();
        state
            .named
            .as_ref()
            .map_or_else(Vec::new, |image| image.live.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The named file for redb.
    fn file(&self, is_new: bool) -> Box<dyn StorageBackend> {
        let renamed = self.state().renamed;
        let disk = self.clone();
        Box::new(Opened {
            disk,
            is_new,
            renamed,
        })
    }
}

impl State {
    /// Counts a sync, which a plan may be about.
    fn count_sync(&mut self) {
        self.plan = match self.plan {
            Plan::CutSync(0) => Plan::Cut(self.steps),
            Plan::CutSync(left) => Plan::CutSync(left - 1),
            Plan::FailSync(0) => Plan::Fail(self.steps, self.steps + 1),
            Plan::FailSync(left) => Plan::FailSync(left - 1),
            other => other,
        };
    }

    /// Counts a step; an error where it is to go wrong.
    fn step(&mut self) -> io::Result<()> {
        let step = self.steps;
        self.steps += 1;
        match self.plan {
            Plan::Cut(at) if step >= at => Err(io::Error::from_raw_os_error(EIO)),
            Plan::Fail(from, to) if (from..to).contains(&step) => {
                Err(io::Error::from_raw_os_error(EIO))
            }
            _ => Ok(()),
        }
    }
}

impl Medium for Disk {
    fn exists(&self) -> io::Result<bool> {
        Ok(self.state().named.is_some())
    }

    fn storage(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(self.file(false))
    }

    fn new_storage(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.state().new = Image::default();
        Ok(self.file(true))
    }

    fn name_new(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.named = Some(std::mem::take(&mut state.new));
        state.renamed += 1;
        Ok(())
    }

    fn set_aside(&self, _: &Moment) -> io::Result<PathBuf> {
        Err(io::Error::other("the disk of a test is damaged"))
    }
}

/// One of the files, opened.
#[derive(Debug)]
struct Opened {
    disk: Disk,
    is_new: bool,
    /// How often there was a rename when it was opened.
    renamed: usize,
}

impl Opened {
    /// Runs `work` with the file; an old one behind a rename is nowhere.
    fn with<T>(&self, work: impl FnOnce(&mut State, &mut Image) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        let is_renamed = state.renamed != self.renamed;
        let place = match (self.is_new, is_renamed) {
            (true, false) => Place::New,
            (true, true) if state.renamed == self.renamed + 1 => Place::Named,
            (false, false) => Place::Named,
            _ => return Err(io::Error::other("an old file")),
        };
        let mut image = match place {
            Place::New => std::mem::take(&mut state.new),
            Place::Named => state.named.take().unwrap_or_default(),
        };
        let done = work(&mut state, &mut image);
        match place {
            Place::New => state.new = image,
            Place::Named => state.named = Some(image),
        }
        done
    }
}

/// Which file an opened one is now.
enum Place {
    New,
    Named,
}

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        self.with(|_, image| Ok(image.live.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|_, image| {
            let offset = offset as usize;
            let octets = image.live.get(offset..offset + out.len());
            out.copy_from_slice(octets.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state, image| {
            state.step()?;
            image.set_len(len as usize);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, image| {
            state.written.1 += 1;
            state.count_sync();
            match (state.step(), state.plan) {
                (Ok(()), _) => image.sync(),
                (Err(error), Plan::Fail(..)) => {
                    image.lose(&mut state.draw);
                    return Err(error);
                }
                (Err(error), _) => return Err(error),
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state, image| {
            state.step()?;
            let offset = offset as usize;
            if let Plan::Room(room) = state.plan
                && offset + data.len() > room
            {
                return Err(io::Error::from_raw_os_error(ENOSPC));
            }
            state.written.0 += data.len();
            image.write(offset, data);
            Ok(())
        })
    }
}

/// A registration of a user, and at every third port of an account.
pub(super) fn entry(port: u16, annotation: &str) -> Entry {
    let tower = tcp_tower(ECHO, port);
    let owner = match port % 3 {
        0 => Owner::Account(AccountName::new("alice@lab.example").unwrap()),
        _ => Owner::User(1000),
    };
    let entry = Entry::new(Uuid::nil(), &tower, annotation.as_bytes(), owner);
    let entry = entry.unwrap().registered_from([192, 0, 2, 1].into());
    entry.living(Life::Probe, 1)
}

/// The number of an entry.
pub(super) fn id(number: u64) -> EntryId {
    EntryId::from_number(number)
}

/// Entries as a test knows them.
pub(super) type Model = BTreeMap<EntryId, Entry>;

/// A drawn change of what is in `model`, made there, too.
pub(super) fn change(draw: &mut Draw, model: &mut Model, last: &mut u64) -> Change {
    let some = model.keys().copied().nth(draw.below(model.len()));
    match (some, draw.below(5)) {
        (Some(id), 0 | 1) if model.len() > 5 => {
            let entry = model.remove(&id);
            Change::Removed(id, entry.unwrap())
        }
        (Some(id), 2) => {
            let after = entry(draw.next() as u16, "again");
            let before = model.insert(id, after.clone());
            let before = before.unwrap();
            Change::Renewed { id, before, after }
        }
        _ => insert(draw, model, last),
    }
}

/// A drawn new entry, put into `model`, too.
pub(super) fn insert(draw: &mut Draw, model: &mut Model, last: &mut u64) -> Change {
    *last += 1;
    let new = entry(draw.next() as u16, &"a".repeat(draw.below(64)));
    model.insert(id(*last), new.clone());
    Change::Inserted(id(*last), new)
}

/// The entries that came back.
pub(super) fn model(entries: Vec<(EntryId, Entry)>) -> Model {
    entries.into_iter().collect()
}
