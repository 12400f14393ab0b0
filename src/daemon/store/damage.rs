//! Tests: files that are damaged, foreign, or of another version.

use super::disk::{Draw, Model, change, model};
use super::{Fault, Moment, Restored, Store, StoreError};
use crate::registry::Change;
use crate::registry::samples::{OBJECT, OTHER};
use redb::{Database, TableDefinition};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Opens the registry at a path.
fn open(path: &Path) -> Result<(Store, Restored), StoreError> {
    Store::open(path, OTHER, &Moment::read().unwrap())
}

/// A registry whose file is on the disk as after a clean end, and as after a
/// sudden one.
struct Sample {
    folder: TempDir,
    clean: Vec<u8>,
    sudden: Vec<u8>,
    kept: Model,
}

impl Sample {
    /// A registry of several pages, written by several commits.
    fn new() -> Sample {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("registry.redb");
        let moment = Moment::read().unwrap();
        let (mut store, _) = Store::open(&path, OBJECT, &moment).unwrap();
        let (mut draw, mut kept, mut last) = (Draw(4), Model::new(), 0);
        for count in [60, 5, 5] {
            let changes = (0..count).map(|_| change(&mut draw, &mut kept, &mut last));
            let changes: Vec<Change> = changes.collect();
            store.commit(&changes).unwrap();
        }
        let sudden = fs::read(&path).unwrap();
        drop(store);
        let clean = fs::read(&path).unwrap();
        Sample {
            folder,
            clean,
            sudden,
            kept,
        }
    }

    /// The registry's path.
    fn path(&self) -> PathBuf {
        self.folder.path().join("registry.redb")
    }

    /// Opens these octets in the place of the registry; whether they were
    /// read, as the registry that they were. Else they are set aside.
    fn is_read(&self, octets: &[u8]) -> bool {
        fs::write(self.path(), octets).unwrap();
        let (store, restored) = open(&self.path()).unwrap();
        drop(store);
        let Some(aside) = restored.set_aside else {
            let is_kept = model(restored.entries) == self.kept;
            assert!(is_kept && restored.object == OBJECT, "a wrong registry");
            return true;
        };
        assert!(restored.entries.is_empty() && restored.object == OTHER);
        fs::remove_file(aside).unwrap();
        false
    }
}

/// Damages octets in one of many ways.
fn damage(octets: &mut Vec<u8>, draw: &mut Draw) {
    let page = |draw: &mut Draw, octets: &[u8]| -> Range<usize> {
        let from = draw.below(octets.len().div_ceil(4096)) * 4096;
        from..(from + 4096).min(octets.len())
    };
    match draw.below(7) {
        0 | 1 => {
            let at = draw.below(octets.len());
            octets[at] ^= 1 << draw.below(8);
        }
        // The header is small, and all depends on it.
        2 => octets[draw.below(320)] = draw.next() as u8,
        3 => {
            let len = draw.below(octets.len());
            octets.truncate(len);
        }
        4 => {
            let page = page(draw, octets);
            octets[page].fill(0);
        }
        5 => {
            let (from, to) = (page(draw, octets), page(draw, octets));
            let len = from.len().min(to.len());
            octets.copy_within(from.start..from.start + len, to.start);
        }
        _ => {
            let page = page(draw, octets);
            octets[page].fill_with(|| draw.next() as u8);
        }
    }
}

/// How many of 400 damaged files were read, all as they were.
fn read(sample: &Sample, octets: &[u8], seed: u64) -> usize {
    let mut draw = Draw(seed);
    let damaged = (0..400).map(|_| {
        let mut octets = octets.to_vec();
        damage(&mut octets, &mut draw);
        octets
    });
    damaged.filter(|octets| sample.is_read(octets)).count()
}

#[test]
fn a_file_damaged_after_a_clean_end_is_set_aside_or_read_as_it_was() {
    let sample = Sample::new();
    let read = read(&sample, &sample.clean, 1);
    println!("after a clean end: {read} of 400 damaged files were read as they were");
    assert!(read > 40 && read < 360);
}

/// Also where the last commit is damaged: it is not taken for one that was
/// cut short.
#[test]
fn a_file_damaged_after_a_sudden_end_is_set_aside_or_read_as_it_was() {
    let sample = Sample::new();
    let read = read(&sample, &sample.sudden, 2);
    println!("after a sudden end: {read} of 400 damaged files were read as they were");
    assert!(read > 40 && read < 360);
}

#[test]
fn what_is_no_registry_is_set_aside() {
    let sample = Sample::new();
    let text = b"[listen]\n".repeat(1000);
    for octets in [b"\0".as_slice(), b"redb", &text, &[0; 1 << 17]] {
        assert!(!sample.is_read(octets));
    }
    // Empty, but there: nobody but a crash of the file system makes it so.
    assert!(!sample.is_read(b""));
}

#[test]
fn a_record_that_does_not_decode_is_damage() {
    let sample = Sample::new();
    let entries: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
    let database = Database::open(sample.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(entries).unwrap();
    table.insert(1, [1, 2, 3].as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let octets = fs::read(sample.path()).unwrap();
    assert!(!sample.is_read(&octets));
}

#[test]
fn a_file_of_another_program_is_set_aside() {
    let sample = Sample::new();
    fs::remove_file(sample.path()).unwrap();
    drop(Database::create(sample.path()).unwrap());
    let octets = fs::read(sample.path()).unwrap();
    assert!(!sample.is_read(&octets));
}

#[test]
fn a_file_of_a_later_version_is_left_where_it_is() {
    let sample = Sample::new();
    let meta: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
    let database = Database::open(sample.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(meta).unwrap();
    table.insert("format", [2, 0, 0, 0].as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let error = open(&sample.path()).err().unwrap();
    assert!(matches!(error.fault, Fault::Newer { found: 2, known: 1 }));
    assert!(
        error
            .to_string()
            .contains("start the version that wrote it")
    );
    let names = fs::read_dir(sample.folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["registry.redb", "registry.redb.lock"]);
}

#[test]
fn a_name_that_is_taken_is_not_overwritten() {
    let sample = Sample::new();
    let moment = Moment::read().unwrap();
    let mut aside = Vec::new();
    for number in 0..3u8 {
        fs::write(sample.path(), [number]).unwrap();
        let (_, restored) = Store::open(&sample.path(), OTHER, &moment).unwrap();
        aside.push(restored.set_aside.unwrap());
    }
    for (number, path) in (0..3u8).zip(&aside) {
        assert_eq!(fs::read(path).unwrap(), [number]);
    }
    let name = format!("registry.redb.damaged-{}", moment.stamp());
    assert!(aside[0].ends_with(&name), "{}", aside[0].display());
    assert!(aside[2].ends_with(name + "-3"));
}
