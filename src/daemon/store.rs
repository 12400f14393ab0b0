//! The registry on the disk: what was acknowledged is there after any end.
//!
//! Holds which entries are stored and how long they stay; leaves out which
//! thread commits, and how commits are grouped. What always holds: a commit is
//! one transaction, on the disk when it returns; one that failed is taken back
//! before the next; a file is set aside for what is in it, never for what the
//! system says. See docs/decisions/0004-store.md.

mod base;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod disk;
mod fault;
mod moment;
mod place;
#[cfg(test)]
mod power;
mod record;
#[cfg(test)]
mod rules;
mod watched;

pub use fault::{Fault, StoreError};
pub use moment::Moment;

use crate::registry::{Change, Entry, EntryId, Life};
use base::{Base, Content, Rows};
use place::{Medium, Place};
use record::Stored;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;
use watched::Refusals;

/// The registry's file.
pub struct Store {
    path: PathBuf,
    medium: Box<dyn Medium>,
    /// The boot that this is.
    boot: Uuid,
    /// `None` after a failure, until the next commit opens it again.
    base: Option<Base>,
    /// How many transactions were acknowledged.
    sequence: u64,
    /// What rows held before the commit that failed, as far as it might be on
    /// the disk.
    doubt: Rows,
    /// What the system refused this file.
    refusals: Refusals,
    /// Entries whose removal is not on the disk.
    owed: BTreeSet<u64>,
}

/// What a file brought back.
#[derive(Debug)]
pub struct Restored {
    /// The registry's own object, the same for the life of the file.
    pub object: Uuid,
    /// The entries, in their order.
    pub entries: Vec<(EntryId, Entry)>,
    /// The leases that keep some of them, with their ends.
    pub leases: Vec<(Uuid, Instant)>,
    /// How many entries were not brought back, since their lives ended.
    pub dropped: usize,
    /// Where a damaged file is now.
    pub set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the registry at `path` and reads it whole; where there is none,
    /// begins one whose own object is `fresh`.
    ///
    /// A damaged file is renamed, never deleted, and a new one begun.
    ///
    /// # Errors
    /// `Busy`, `Newer`, and what the system says of the folder and the file.
    pub fn open(
        path: &Path,
        fresh: Uuid,
        moment: &Moment,
    ) -> Result<(Store, Restored), StoreError> {
        let place = Place::lock(path).map_err(StoreError::at(path))?;
        Store::open_medium(path, Box::new(place), fresh, moment).map_err(StoreError::at(path))
    }

    /// Opens what is in a medium.
    fn open_medium(
        path: &Path,
        medium: Box<dyn Medium>,
        fresh: Uuid,
        moment: &Moment,
    ) -> Result<(Store, Restored), Fault> {
        let refusals = Refusals::default();
        let (base, content, set_aside) = match load(&*medium, fresh, &refusals) {
            Err(Fault::Damaged(what)) => {
                let aside = medium.set_aside(moment)?;
                error!(path = %path.display(), set_aside = %aside.display(), what,
                    "the registry is damaged: it is set aside, and a new one begun; what was registered is lost until it is registered again");
                let (base, content) = load(&*medium, fresh, &refusals)?;
                (base, content, Some(aside))
            }
            loaded => loaded.map(|(base, content)| (base, content, None))?,
        };
        let sequence = content.sequence;
        let (restored, over) = restore(content, set_aside, moment);
        info!(path = %path.display(), entries = restored.entries.len(), dropped = restored.dropped,
            "the registry is open");
        let store = Store {
            path: path.to_path_buf(),
            medium,
            boot: moment.boot,
            base: Some(base),
            sequence,
            doubt: Rows::new(),
            refusals,
            owed: over,
        };
        Ok((store, restored))
    }

    /// Writes changes in one transaction, and what is owed with them; all is
    /// on the disk when it returns.
    ///
    /// Entries of the mapper's own side are not stored.
    ///
    /// # Errors
    /// What the system says, damage. Nothing of the changes is kept then: what
    /// might have come to the disk is taken back before the next commit.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() && self.owed.is_empty() {
            return Ok(());
        }
        self.try_commit(changes).map_err(|fault| {
            self.base = None;
            StoreError::at(&self.path)(fault)
        })
    }

    /// Remembers for the next commit which entries `changes` took out or gave
    /// to the mapper's own side, since that is so whether the disk knows or not.
    ///
    /// Keeps numbers only, at most as many as there are entries in the file.
    pub fn owe(&mut self, changes: &[Change]) {
        let is_kept =
            |left: Option<&Entry>| left.is_some_and(|entry| entry.owner().is_registrant());
        let left = changes.iter().filter_map(Change::left);
        let removed = left.filter(|(_, left)| !is_kept(*left));
        self.owed.extend(removed.map(|(id, _)| id.number()));
    }

    /// How many removals are owed to the disk.
    pub fn owes(&self) -> usize {
        self.owed.len()
    }

    /// One attempt.
    fn try_commit(&mut self, changes: &[Change]) -> Result<(), Fault> {
        let moment = Moment::in_boot(self.boot)?;
        let base = match self.base.take() {
            Some(base) => base,
            None => self.reopen()?,
        };
        let owed: Vec<u64> = self.owed.iter().copied().collect();
        let next = self.sequence.wrapping_add(1);
        let mut before = Rows::new();
        if let Err(fault) = base.apply(&owed, changes, next, &moment, &mut before) {
            self.doubt = before;
            return Err(fault);
        }
        if !before.is_empty() {
            self.sequence = next;
        }
        self.owed.clear();
        self.base = Some(base);
        Ok(())
    }

    /// Opens the file once more after a failure, and takes back what came to
    /// the disk of the commit that failed.
    fn reopen(&mut self) -> Result<Base, Fault> {
        let base = Base::open(self.medium.storage()?, &self.refusals)?;
        let (object, found) = base.meta()?;
        if found < self.sequence {
            let lost = self.sequence - found;
            let what = format!("the last {lost} transactions are lost");
            return Err(Fault::Damaged(what));
        }
        let has_refused = found > self.sequence;
        let is_copied = has_refused || self.refusals.sync_failed();
        let base = if is_copied {
            self.copy(&base, object, found)?
        } else {
            base
        };
        warn!(path = %self.path.display(), owed = self.owed.len(), is_copied,
            taken_back = has_refused, "the registry is open again after a failure");
        self.sequence = base.meta()?.1;
        self.doubt.clear();
        Ok(base)
    }

    /// Writes all that was acknowledged, and nothing else, to a new file in
    /// the place of this one.
    ///
    /// After a failed sync the system takes what it could not write for
    /// written, and shows it as if it were on the disk: no later sync of the
    /// same file tells what is. A new one does.
    ///
    /// # Source
    /// fsync(2), section errors; Rebello et al., "Can Applications Recover
    /// from fsync Failures?", USENIX ATC 2020.
    fn copy(&mut self, base: &Base, object: Uuid, found: u64) -> Result<Base, Fault> {
        let mut rows = base.rows()?;
        if found > self.sequence {
            rows.extend(self.doubt.clone());
        }
        let refusals = Refusals::default();
        let copy = Base::open(self.medium.new_storage()?, &refusals)?;
        copy.begin(object, &rows, found.wrapping_add(1))?;
        self.medium.name_new()?;
        self.refusals = refusals;
        Ok(copy)
    }
}

/// Opens and reads the registry; begins one where there is none.
fn load(medium: &dyn Medium, fresh: Uuid, refusals: &Refusals) -> Result<(Base, Content), Fault> {
    let base = if medium.exists()? {
        let storage = medium.storage()?;
        // redb would begin a database in it.
        if storage.len()? == 0 {
            return Err(Fault::Damaged("it is empty".to_owned()));
        }
        Base::open(storage, refusals)?
    } else {
        let base = Base::open(medium.new_storage()?, refusals)?;
        base.begin(fresh, &Rows::new(), 0)?;
        medium.name_new()?;
        base
    };
    let content = base.load()?;
    Ok((base, content))
}

/// What of a file's content lives still, and the numbers of what does not.
fn restore(
    content: Content,
    set_aside: Option<PathBuf>,
    moment: &Moment,
) -> (Restored, BTreeSet<u64>) {
    let granted = |id: &Uuid| {
        let grant = content.leases.get(id)?;
        let until = moment.until(grant.deadline)?;
        (grant.boot == moment.boot).then_some(until)
    };
    let lives = |stored: &Stored| match stored.entry.life() {
        Life::Permanent | Life::Probe => true,
        Life::Process(process) => stored.boot == moment.boot && moment::is_there(process),
        Life::Lease(lease) => granted(&lease.id).is_some(),
    };
    let (living, over): (Vec<_>, Vec<_>) = content
        .entries
        .into_iter()
        .partition(|(_, stored)| lives(stored));
    let leases = content.leases.keys();
    let leases = leases.filter_map(|id| Some((*id, granted(id)?)));
    let entries = living.into_iter();
    let restored = Restored {
        object: content.object,
        leases: leases.collect(),
        entries: entries
            .map(|(id, stored)| (EntryId::from_number(id), stored.entry))
            .collect(),
        dropped: over.len(),
        set_aside,
    };
    (restored, over.into_iter().map(|(id, _)| id).collect())
}
