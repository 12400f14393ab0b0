//! The tables in redb: opened, read whole, written a transaction at a time.
//!
//! What always holds: no panic of redb leaves this module, and an error of the
//! system is never told as damage.

use super::fault::{Fault, OrFault};
use super::moment::Moment;
use super::record::{self, Grant, Stored};
use super::watched::{Refusals, Watched};
use crate::registry::{Change, Lease, Life};
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend, Table,
    TableDefinition, WriteTransaction,
};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use uuid::Uuid;

/// The format of all that is here: the tables and the layouts of records.
const FORMAT: u32 = 1;

/// What holds for the whole registry: `format` u32, `object` 16 octets,
/// `sequence` u64.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Entries by their numbers.
const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
/// Leases by their UUIDs, read as big-endian numbers.
const LEASES: TableDefinition<u128, &[u8]> = TableDefinition::new("leases");

/// Memory for redb's pages; the registry itself is in the mapper's memory.
const CACHE_OCTETS: usize = 8 << 20;

/// A row of either table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// An entry.
    Entry(u64),
    /// A lease.
    Lease(u128),
}

/// What rows hold; `None` for those that are not there.
pub(super) type Rows = BTreeMap<Row, Option<Vec<u8>>>;

/// All that a file holds.
pub(super) struct Content {
    /// The registry's own object.
    pub(super) object: Uuid,
    /// How many transactions wrote it.
    pub(super) sequence: u64,
    /// The entries, in order.
    pub(super) entries: Vec<(u64, Stored)>,
    /// The leases.
    pub(super) leases: BTreeMap<Uuid, Grant>,
}

/// An open database.
pub(super) struct Base {
    /// `None` only while it is closed.
    database: Option<Database>,
    refusals: Refusals,
}

impl Base {
    /// Opens what is in `storage`, every page of it checked; in an empty one
    /// a database without tables is begun. `refusals` takes what the system
    /// refuses it from now on.
    ///
    /// # Errors
    /// `Busy`, `Damaged`, `System`.
    pub(super) fn open(
        storage: Box<dyn StorageBackend>,
        refusals: &Refusals,
    ) -> Result<Base, Fault> {
        let storage = Watched::new(storage, refusals.clone());
        let opened = contained(refusals, || {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE_OCTETS);
            builder.set_check_integrity_on_open(true);
            builder.create_with_backend(storage).or_fault()
        });
        opened.map(|database| Base {
            database: Some(database),
            refusals: refusals.clone(),
        })
    }

    /// Makes a registry of a database without tables, in one transaction, on
    /// the disk when it returns.
    ///
    /// # Errors
    /// `Damaged`, `System`.
    pub(super) fn begin(&self, object: Uuid, rows: &Rows, sequence: u64) -> Result<(), Fault> {
        self.contained(|database| {
            let transaction = begin_write(database)?;
            {
                let mut meta = transaction.open_table(META).or_fault()?;
                let values: [(&str, &[u8]); 3] = [
                    ("format", &FORMAT.to_le_bytes()),
                    ("object", object.as_bytes()),
                    ("sequence", &sequence.to_le_bytes()),
                ];
                for (key, value) in values {
                    meta.insert(key, value).or_fault()?;
                }
                let mut before = Rows::new();
                Writer::new(&transaction, &mut before)?.set_all(rows)?;
            }
            transaction.commit().or_fault()
        })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// `Damaged` also for a record that does not decode; `Newer`; `System`.
    pub(super) fn load(&self) -> Result<Content, Fault> {
        let (object, sequence) = self.meta()?;
        let mut content = Content {
            object,
            sequence,
            entries: Vec::new(),
            leases: BTreeMap::new(),
        };
        self.each(|row, octets| match row {
            Row::Entry(id) => {
                let stored = record::decode(octets).map_err(damaged("entry", id))?;
                content.entries.push((id, stored));
                Ok(())
            }
            Row::Lease(id) => {
                let id = Uuid::from_u128(id);
                let grant = Grant::decode(octets).map_err(damaged("lease", id))?;
                content.leases.insert(id, grant);
                Ok(())
            }
        })?;
        Ok(content)
    }

    /// Every row as it is.
    ///
    /// # Errors
    /// `Damaged`, `System`.
    pub(super) fn rows(&self) -> Result<Rows, Fault> {
        let mut rows = Rows::new();
        self.each(|row, octets| {
            rows.insert(row, Some(octets.to_vec()));
            Ok(())
        })?;
        Ok(rows)
    }

    /// Calls `with` for every row.
    fn each(&self, mut with: impl FnMut(Row, &[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        self.contained(|database| {
            let transaction = database.begin_read().or_fault()?;
            for row in transaction
                .open_table(ENTRIES)
                .or_fault()?
                .iter()
                .or_fault()?
            {
                let (id, octets) = row.or_fault()?;
                with(Row::Entry(id.value()), octets.value())?;
            }
            for row in transaction
                .open_table(LEASES)
                .or_fault()?
                .iter()
                .or_fault()?
            {
                let (id, octets) = row.or_fault()?;
                with(Row::Lease(id.value()), octets.value())?;
            }
            Ok(())
        })
    }

    /// The registry's own object, and how many transactions wrote it.
    ///
    /// # Errors
    /// `Damaged`, `Newer`, `System`.
    pub(super) fn meta(&self) -> Result<(Uuid, u64), Fault> {
        self.contained(load_meta)
    }

    /// Removes the entries `owed`, then writes `changes`, in one transaction
    /// with `sequence`, on the disk when it returns. Where nothing differs,
    /// nothing is written, and `before` stays empty.
    ///
    /// `before` takes what the rows held that the transaction changes.
    ///
    /// # Errors
    /// `Damaged`, `System`; then all of it is there or nothing.
    pub(super) fn apply(
        &self,
        owed: &[u64],
        changes: &[Change],
        sequence: u64,
        moment: &Moment,
        before: &mut Rows,
    ) -> Result<(), Fault> {
        self.contained(|database| {
            let transaction = begin_write(database)?;
            {
                let mut writer = Writer::new(&transaction, before)?;
                let mut grants = Grants::new(moment);
                for id in owed {
                    grants.put(&mut writer, *id, None)?;
                }
                for change in changes {
                    grants.change(&mut writer, change)?;
                }
                grants.write(&mut writer)?;
            }
            if before.is_empty() {
                return transaction.abort().or_fault();
            }
            {
                let mut meta = transaction.open_table(META).or_fault()?;
                let octets = sequence.to_le_bytes();
                meta.insert("sequence", octets.as_slice()).or_fault()?;
            }
            transaction.commit().or_fault()
        })
    }

    /// Runs `work` with the database.
    fn contained<T>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let closed = || Fault::Damaged("closed".to_owned());
        contained(&self.refusals, || {
            work(self.database.as_ref().ok_or_else(closed)?)
        })
    }
}

impl Drop for Base {
    /// redb writes at its end that it ended well, which can fail as any write.
    fn drop(&mut self) {
        let database = self.database.take();
        let _ = contained(&self.refusals, || {
            drop(database);
            Ok(())
        });
    }
}

/// Runs `work`; a panic is damage, and whatever came of an error of the system
/// is that error.
///
/// redb asserts what no file of its own violates. Its state is not used after
/// a panic: who sees a fault closes the database.
fn contained<T>(refusals: &Refusals, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    refusals.take();
    let done = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Fault::Damaged("it makes redb panic".to_owned())));
    done.map_err(|fault| match (fault, refusals.take()) {
        (Fault::Damaged(_) | Fault::System(_), Some(cause)) => Fault::System(cause),
        (fault, _) => fault,
    })
}

/// Begins a transaction that is on the disk once its commit returns.
///
/// In two phases: what is written is synced before it counts, and the file
/// says so. In one phase redb takes damage to the last commit of a file that
/// was not closed for a commit that was cut short, and goes back to the one
/// before without a word.
fn begin_write(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = database.begin_write().or_fault()?;
    transaction
        .set_durability(Durability::Immediate)
        .or_fault()?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// What does not decode, as damage.
fn damaged(what: &str, id: impl Display) -> impl Fn(String) -> Fault {
    move |error| Fault::Damaged(format!("{what} {id}: {error}"))
}

/// The registry's own object, and how many transactions wrote it.
fn load_meta(database: &Database) -> Result<(Uuid, u64), Fault> {
    let transaction = database.begin_read().or_fault()?;
    let meta = transaction.open_table(META).or_fault()?;
    match u32::from_le_bytes(value(&meta, "format")?) {
        FORMAT => {}
        0 => return Err(Fault::Damaged("format 0".to_owned())),
        found => {
            let known = FORMAT;
            return Err(Fault::Newer { found, known });
        }
    }
    let object = Uuid::from_bytes(value(&meta, "object")?);
    let sequence = u64::from_le_bytes(value(&meta, "sequence")?);
    Ok((object, sequence))
}

/// A value of the whole registry.
fn value<const N: usize>(
    meta: &ReadOnlyTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<[u8; N], Fault> {
    let octets = meta.get(key).or_fault()?;
    let octets = octets.and_then(|octets| octets.value().try_into().ok());
    octets.ok_or_else(|| Fault::Damaged(format!("no {key} of {N} octets")))
}

/// The tables in a transaction.
struct Writer<'t, 'b> {
    entries: Table<'t, u64, &'static [u8]>,
    leases: Table<'t, u128, &'static [u8]>,
    before: &'b mut Rows,
}

impl<'t, 'b> Writer<'t, 'b> {
    /// Opens the tables; makes those that are not there.
    fn new(
        transaction: &'t WriteTransaction,
        before: &'b mut Rows,
    ) -> Result<Writer<'t, 'b>, Fault> {
        Ok(Writer {
            entries: transaction.open_table(ENTRIES).or_fault()?,
            leases: transaction.open_table(LEASES).or_fault()?,
            before,
        })
    }

    /// Makes rows hold what `rows` says.
    fn set_all(&mut self, rows: &Rows) -> Result<(), Fault> {
        let mut rows = rows.iter();
        rows.try_for_each(|(row, octets)| self.set(*row, octets.as_deref()).map(drop))
    }

    /// What a row holds.
    fn get(&self, row: Row) -> Result<Option<Vec<u8>>, Fault> {
        let octets = match row {
            Row::Entry(id) => self.entries.get(id),
            Row::Lease(id) => self.leases.get(id),
        };
        Ok(octets.or_fault()?.map(|octets| octets.value().to_vec()))
    }

    /// Makes a row hold `octets`; gives what it held.
    fn set(&mut self, row: Row, octets: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        let held = self.get(row)?;
        if held.as_deref() == octets {
            return Ok(held);
        }
        match (row, octets) {
            (Row::Entry(id), Some(octets)) => drop(self.entries.insert(id, octets).or_fault()?),
            (Row::Entry(id), None) => drop(self.entries.remove(id).or_fault()?),
            (Row::Lease(id), Some(octets)) => drop(self.leases.insert(id, octets).or_fault()?),
            (Row::Lease(id), None) => drop(self.leases.remove(id).or_fault()?),
        }
        self.before.entry(row).or_insert_with(|| held.clone());
        Ok(held)
    }
}

/// The leases that a transaction touches.
///
/// Each counts its entries, so that it goes with the last of them.
struct Grants<'m> {
    moment: &'m Moment,
    touched: BTreeMap<Uuid, Grant>,
}

impl Grants<'_> {
    /// None yet.
    fn new(moment: &Moment) -> Grants<'_> {
        Grants {
            moment,
            touched: BTreeMap::new(),
        }
    }

    /// Writes one change.
    fn change(&mut self, writer: &mut Writer, change: &Change) -> Result<(), Fault> {
        if let Change::Leased { lease, until } = change {
            let deadline = self.moment.deadline(*until);
            let boot = self.moment.boot;
            let grant = self.grant(writer, *lease, deadline)?;
            (grant.boot, grant.deadline) = (boot, deadline);
        }
        let Some((id, left)) = change.left() else {
            return Ok(());
        };
        let lease = left.and_then(|entry| lease(entry.life()));
        let octets = left.and_then(|entry| record::encode(entry, self.moment.boot));
        let octets = octets.as_deref().map(|octets| (octets, lease));
        self.put(writer, id.number(), octets)
    }

    /// Makes an entry's row hold `octets`, which a lease may keep.
    fn put(
        &mut self,
        writer: &mut Writer,
        id: u64,
        octets: Option<(&[u8], Option<Lease>)>,
    ) -> Result<(), Fault> {
        let held = writer.set(Row::Entry(id), octets.map(|(octets, _)| octets))?;
        let held = held.as_deref().map(record::decode).transpose();
        let held = held.map_err(damaged("entry", id))?;
        if let Some(lease) = held.and_then(|held| lease(held.entry.life())) {
            let grant = self.grant(writer, lease.id, 0)?;
            grant.entries = grant.entries.saturating_sub(1);
        }
        if let Some(lease) = octets.and_then(|(_, lease)| lease) {
            let until = self.moment.instant.checked_add(lease.duration);
            let deadline = until.map_or(u64::MAX, |until: Instant| self.moment.deadline(until));
            let grant = self.grant(writer, lease.id, deadline)?;
            grant.entries = grant.entries.saturating_add(1);
        }
        Ok(())
    }

    /// The lease of this id; one that is not there ends at `deadline`.
    fn grant(&mut self, writer: &Writer, id: Uuid, deadline: u64) -> Result<&mut Grant, Fault> {
        if !self.touched.contains_key(&id) {
            let held = writer.get(Row::Lease(id.as_u128()))?;
            let held = held.as_deref().map(Grant::decode).transpose();
            let held = held.map_err(damaged("lease", id))?;
            let new = Grant {
                boot: self.moment.boot,
                deadline,
                entries: 0,
            };
            self.touched.insert(id, held.unwrap_or(new));
        }
        let missing = || Fault::Damaged(format!("lease {id} is lost"));
        self.touched.get_mut(&id).ok_or_else(missing)
    }

    /// Writes the leases; those that keep nothing go.
    fn write(&self, writer: &mut Writer) -> Result<(), Fault> {
        for (id, grant) in &self.touched {
            let octets = (grant.entries > 0).then(|| grant.encode());
            writer.set(Row::Lease(id.as_u128()), octets.as_deref())?;
        }
        Ok(())
    }
}

/// The lease of a life that is one.
fn lease(life: Life) -> Option<Lease> {
    match life {
        Life::Lease(lease) => Some(lease),
        _ => None,
    }
}
