//! A storage that remembers what the system refused it.

use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the system refused a storage.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Mutex<Noted>>);

/// What is remembered.
#[derive(Debug, Default)]
struct Noted {
    /// The first error, by its code.
    first: Option<i32>,
    /// Whether a sync ever failed.
    sync_failed: bool,
}

impl Refusals {
    /// The first error since the last call.
    pub(super) fn take(&self) -> Option<io::Error> {
        self.noted().first.take().map(io::Error::from_raw_os_error)
    }

    /// Whether a sync ever failed: what was written then may be in the
    /// system's memory for good, and never come to the disk.
    pub(super) fn sync_failed(&self) -> bool {
        self.noted().sync_failed
    }

    /// Notes what a call of the system came to.
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && let Some(code) = error.raw_os_error()
        {
            self.noted().first.get_or_insert(code);
        }
        result
    }

    /// What is remembered; each field holds whatever else panicked.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A storage that notes refusals.
///
/// redb tells some errors of the system as damage, and may panic over others:
/// what was noted here tells them apart from damage, whatever redb says.
#[derive(Debug)]
pub(super) struct Watched {
    storage: Box<dyn StorageBackend>,
    refusals: Refusals,
}

impl Watched {
    /// Watches `storage`.
    pub(super) fn new(storage: Box<dyn StorageBackend>, refusals: Refusals) -> Watched {
        Watched { storage, refusals }
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.refusals.note(self.storage.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.refusals.note(self.storage.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.refusals.note(self.storage.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.refusals.note(self.storage.sync_data());
        self.refusals.noted().sync_failed |= synced.is_err();
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.refusals.note(self.storage.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.refusals.note(self.storage.close())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
