//! Why the store cannot do something: damage, the system, another daemon.

use std::io;
use std::path::{Path, PathBuf};

/// What the store could not do, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct StoreError {
    /// The file of the registry.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub fault: Fault,
}

impl StoreError {
    /// At this file.
    pub(super) fn at(path: &Path) -> impl Fn(Fault) -> StoreError {
        move |fault| StoreError {
            path: path.to_path_buf(),
            fault,
        }
    }
}

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Another daemon has the file.
    #[error("another daemon holds this registry; end it, or give this one a `state` of its own")]
    Busy,
    /// A later version of this program wrote the file.
    #[error(
        "the registry has format {found}, this version knows {known}; start the version that wrote it, or move the file away"
    )]
    Newer {
        /// The file's format.
        found: u32,
        /// The latest known.
        known: u32,
    },
    /// The file is not what the store wrote.
    #[error("the registry is damaged: {0}; start the mapper again to have it set aside")]
    Damaged(String),
    /// The system, whose errors say nothing about what is in the file.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Fault {
    /// What redb says, as damage or as the system's doing.
    ///
    /// An error of the system has a code of the system. redb and std make
    /// their own without one, for what they find in the file: no magic number,
    /// an end that comes too early.
    fn of(error: redb::Error) -> Fault {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Fault::Busy,
            redb::Error::Io(cause) if cause.raw_os_error().is_some() => Fault::System(cause),
            redb::Error::PreviousIo => Fault::System(io::Error::other(error)),
            other => Fault::Damaged(other.to_string()),
        }
    }
}

/// Results of redb, with faults.
pub(super) trait OrFault<T> {
    /// The same with a fault for the error.
    fn or_fault(self) -> Result<T, Fault>;
}

impl<T, E: Into<redb::Error>> OrFault<T> for Result<T, E> {
    fn or_fault(self) -> Result<T, Fault> {
        self.map_err(|error| Fault::of(error.into()))
    }
}
