//! Tests: the power goes, a write or a sync fails, at any step.

use super::disk::{Disk, Draw, Model, Plan, change, entry, id, insert, model};
use super::{Fault, Moment, Restored, Store, StoreError};
use crate::registry::samples::OBJECT;
use crate::registry::{Change, Entry, Owner};
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

/// Opens what is on a disk.
fn open(disk: &Disk) -> Result<(Store, Restored), Fault> {
    let moment = Moment::read().unwrap();
    Store::open_medium(Path::new("disk"), Box::new(disk.clone()), OBJECT, &moment)
}

/// A load of commits on one disk after another.
struct Load {
    disk: Disk,
    draw: Draw,
    /// What was acknowledged.
    kept: Model,
    last: u64,
}

impl Load {
    /// A registry on a new disk: empty, or of so many entries that its pages
    /// form a tree.
    fn new(seed: u64) -> Load {
        let mut load = Load {
            disk: Disk::new(seed),
            draw: Draw(!seed),
            kept: Model::new(),
            last: 0,
        };
        if seed % 2 == 1 {
            let (mut store, _) = open(&load.disk).unwrap();
            load.fill(&mut store, 300);
        }
        load
    }

    /// Commits so many new entries.
    fn fill(&mut self, store: &mut Store, count: usize) {
        let Load {
            draw, kept, last, ..
        } = self;
        let changes = (0..count).map(|_| insert(draw, kept, last));
        store.commit(&changes.collect::<Vec<_>>()).unwrap();
    }

    /// Drawn changes, and what is kept after them.
    fn changes(&mut self, count: usize) -> (Vec<Change>, Model) {
        let mut wanted = self.kept.clone();
        let changes = (0..count).map(|_| change(&mut self.draw, &mut wanted, &mut self.last));
        (changes.collect(), wanted)
    }

    /// Commits a few changes; what the file should hold is in `kept`, and in
    /// what comes back where it failed.
    fn commit(&mut self, store: &mut Store) -> Result<(), (StoreError, Model)> {
        let count = 1 + self.draw.below(6);
        let (changes, wanted) = self.changes(count);
        match store.commit(&changes) {
            Ok(()) => {
                self.kept = wanted;
                Ok(())
            }
            Err(error) => Err((error, wanted)),
        }
    }

    /// Opens and commits until the power goes; what the last commit wanted.
    fn until_cut(&mut self) -> Option<Model> {
        let mut store = match open(&self.disk) {
            Ok((store, restored)) => {
                assert!(model(restored.entries) == self.kept);
                store
            }
            Err(Fault::System(_)) => return None,
            Err(other) => panic!("a cut is told as {other}"),
        };
        for _ in 0..8 {
            if let Err((error, wanted)) = self.commit(&mut store) {
                assert!(matches!(error.fault, Fault::System(_)), "{error}");
                return Some(wanted);
            }
        }
        None
    }

    /// The power goes at a drawn step, and comes back.
    ///
    /// What is there then is looked at on a copy, so that the next cut may
    /// come while the file is repaired.
    fn cut(&mut self) -> End {
        self.disk.plan(match self.draw.below(2) {
            0 => Plan::Cut(self.draw.below(110)),
            _ => Plan::CutSync(self.draw.below(24)),
        });
        let wanted = self.until_cut();
        self.disk = self.disk.cut();
        let (_, restored) = open(&self.disk.copy()).unwrap();
        assert_eq!(restored.object, OBJECT);
        let found = model(restored.entries);
        let end = match wanted {
            None => End::Between,
            Some(wanted) if found == wanted => End::Whole,
            Some(_) => End::Nothing,
        };
        if end == End::Whole {
            self.kept = found;
        } else {
            assert!(found == self.kept, "what was acknowledged is there");
        }
        end
    }
}

/// What a cut left of the transaction that it struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It struck none: the file was being opened, or closed.
    Between,
    /// All of it.
    Whole,
    /// Nothing.
    Nothing,
}

#[test]
fn what_was_acknowledged_survives_2000_cuts_of_the_power() {
    /// Cuts of one disk after the other.
    const EACH: u64 = 50;
    let (seed, cuts) = (setting("EPMAPPER_SEED", 0), setting("EPMAPPER_CUTS", 2000));
    let mut ends = BTreeMap::new();
    let seeds: Vec<u64> = (seed..seed + cuts.div_ceil(EACH)).collect();
    for seeds in seeds.chunks(40) {
        let cut = |seed| {
            thread::spawn(move || {
                let mut load = Load::new(seed);
                (0..EACH).map(|_| load.cut()).collect::<Vec<_>>()
            })
        };
        let loads: Vec<_> = seeds.iter().copied().map(cut).collect();
        for end in loads.into_iter().flat_map(|load| load.join().unwrap()) {
            *ends.entry(end).or_insert(0) += 1;
        }
    }
    println!("{cuts} cuts from seed {seed}: {ends:?}");
    assert!(ends.len() == 3 && ends.values().all(|&count| count > 100));
}

/// A number from the environment, for tests/long.
fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// A registry of a few entries on a new disk, open.
fn begun(seed: u64) -> (Load, Store) {
    let mut load = Load::new(seed);
    let (mut store, _) = open(&load.disk).unwrap();
    for _ in 0..3 {
        load.commit(&mut store).unwrap();
    }
    (load, store)
}

/// What the power would leave on a disk now.
fn left(disk: &Disk) -> Model {
    model(open(&disk.cut()).unwrap().1.entries)
}

/// One step fails, or several in turn; then commits go on until one is taken.
/// How often the disk held the whole of a failed transaction, how often
/// nothing of it.
fn fail(seed: u64) -> [usize; 2] {
    let (mut load, mut store) = begun(seed);
    let from = load.draw.below(24);
    let until = from + [1, 1, 2, 12][load.draw.below(4)];
    load.disk.plan(match load.draw.below(2) {
        0 => Plan::Fail(from, until),
        _ => Plan::FailSync(from % 5),
    });
    let mut ends = [0; 2];
    // What commits wanted that failed since the last one that did not.
    let mut refused = Vec::new();
    for _ in 0..200 {
        match load.commit(&mut store) {
            Ok(()) => refused.clear(),
            Err((error, wanted)) => {
                assert!(matches!(error.fault, Fault::System(_)), "{error}");
                refused.push(wanted);
            }
        }
        let left = left(&load.disk);
        let is_kept = left == load.kept;
        assert!(is_kept || refused.contains(&left), "seed {seed}");
        if !refused.is_empty() {
            ends[usize::from(is_kept)] += 1;
        } else if load.disk.steps() >= until {
            drop(store);
            assert!(self::left(&load.disk) == load.kept, "seed {seed}");
            return ends;
        }
    }
    panic!("seed {seed}: no commit is taken again");
}

#[test]
fn a_commit_that_a_failing_write_or_sync_struck_is_taken_back_by_the_next() {
    let ends = (0..120).map(fail);
    let [whole, nothing] = ends.fold([0; 2], |sum, ends| [sum[0] + ends[0], sum[1] + ends[1]]);
    println!("failures: {whole} left the whole transaction, {nothing} nothing of it");
    assert!(whole > 0 && nothing > 0);
}

/// The system may lose the new length, too, and show it all the same.
#[test]
fn a_sync_that_fails_while_the_file_grows_costs_nothing_that_is_acknowledged() {
    for seed in 0..4 {
        for sync in 0..20 {
            let (mut load, mut store) = begun(2 * seed);
            load.disk.plan(Plan::FailSync(sync));
            let mut has_failed = false;
            for _ in 0..12 {
                let (changes, wanted) = load.changes(48);
                match store.commit(&changes) {
                    Ok(()) => load.kept = wanted,
                    Err(_) => has_failed = true,
                }
            }
            assert!(has_failed);
            assert!(left(&load.disk) == load.kept, "seed {seed}, sync {sync}");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_takes_again_once_there_is_room() {
    let (mut load, mut store) = begun(0);
    load.disk.plan(Plan::Room(load.disk.octets().len()));
    let (error, _) = (0..500)
        .find_map(|_| load.commit(&mut store).err())
        .expect("a disk without room is full at some time");
    assert!(matches!(error.fault, Fault::System(_)), "{error}");
    assert!(left(&load.disk) == load.kept);
    let (error, _) = load.commit(&mut store).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    load.disk.plan(Plan::Well);
    load.commit(&mut store).unwrap();
    assert!(left(&load.disk) == load.kept);
}

#[test]
fn an_owed_removal_is_written_with_the_next_commit() {
    let (mut load, mut store) = begun(0);
    let (id, gone) = load.kept.pop_first().unwrap();
    let removed = [Change::Removed(id, gone)];
    load.disk.plan(Plan::Fail(0, 1));
    store.commit(&removed).unwrap_err();
    store.owe(&removed);
    assert_eq!(store.owes(), 1);
    load.commit(&mut store).unwrap();
    assert_eq!(store.owes(), 0);
    assert!(left(&load.disk) == load.kept);
}

#[test]
fn what_the_configuration_took_over_is_owed_too() {
    let (mut load, mut store) = begun(0);
    let (id, before) = load.kept.pop_first().unwrap();
    let after = Entry::new(before.object(), before.tower(), b"", Owner::Configuration).unwrap();
    let taken_over = [Change::Renewed { id, before, after }];
    load.disk.plan(Plan::Fail(0, 1));
    store.commit(&taken_over).unwrap_err();
    store.owe(&taken_over);
    load.commit(&mut store).unwrap();
    assert!(left(&load.disk) == load.kept);
}

#[test]
fn changes_that_change_nothing_cost_no_sync() {
    let (load, mut store) = begun(0);
    let own = Entry::new(OBJECT, entry(1, "").tower(), b"", Owner::Configuration).unwrap();
    let before = load.disk.written();
    store.commit(&[]).unwrap();
    store
        .commit(&[
            Change::Inserted(id(999), own.clone()),
            Change::Removed(id(999), own),
        ])
        .unwrap();
    assert_eq!(load.disk.written(), before);
}

#[test]
fn a_commit_costs_two_syncs_whatever_it_holds() {
    for kept in [0, 10_000] {
        let (mut load, mut store) = begun(0);
        load.fill(&mut store, kept);
        let mut write = |count| {
            let (changes, kept) = load.changes(count);
            let before = load.disk.written();
            store.commit(&changes).unwrap();
            load.kept = kept;
            let after = load.disk.written();
            (after.0 - before.0, after.1 - before.1)
        };
        for count in [1, 8, 64] {
            let commits: Vec<_> = (0..10).map(|_| write(count)).collect();
            let octets: usize = commits.iter().map(|(octets, _)| octets).sum();
            println!(
                "{kept} entries before, {count} changes: {} octets a commit",
                octets / 10
            );
            // One more where the file grows.
            let twice = commits.iter().filter(|(_, syncs)| *syncs == 2);
            assert!(twice.count() >= 8, "{commits:?}");
        }
    }
}
