//! The registry's file and its folder: made, locked, set aside.
//!
//! Beside `NAME` stands `NAME.lock`, which is locked for as long as the store
//! is open, also while the database is closed between two openings. A new
//! database is made as `NAME.new` and renamed: `NAME` is never half made.

use super::fault::Fault;
use super::moment::Moment;
use nix::fcntl::{Flock, FlockArg, OFlag};
use redb::StorageBackend;
use redb::backends::FileBackend;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where a registry's octets are.
pub(super) trait Medium: Send {
    /// Whether there is a registry.
    ///
    /// # Errors
    /// The system's.
    fn exists(&self) -> io::Result<bool>;

    /// The registry that is there.
    ///
    /// # Errors
    /// The system's.
    fn storage(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// An empty storage for a new registry; what an earlier attempt left goes.
    ///
    /// # Errors
    /// The system's.
    fn new_storage(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Gives the new registry the name, on the disk when it returns; one that
    /// had it goes.
    ///
    /// # Errors
    /// The system's.
    fn name_new(&self) -> io::Result<()>;

    /// Renames the registry to a name that is free, and tells that name.
    ///
    /// # Errors
    /// The system's.
    fn set_aside(&self, moment: &Moment) -> io::Result<PathBuf>;
}

/// A registry's place among files, locked.
pub(super) struct Place {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// Locks a place; makes its folder where there is none.
    ///
    /// # Errors
    /// `Busy` when another daemon has it; `System`.
    pub(super) fn lock(path: &Path) -> Result<Place, Fault> {
        make_folder(folder(path))?;
        let file = open(&beside(path, ".lock"), true)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Place {
                path: path.to_path_buf(),
                _lock: lock,
            }),
            Err((_, nix::Error::EWOULDBLOCK)) => Err(Fault::Busy),
            Err((_, cause)) => Err(Fault::System(cause.into())),
        }
    }
}

impl Medium for Place {
    fn exists(&self) -> io::Result<bool> {
        fs::exists(&self.path)
    }

    fn storage(&self) -> io::Result<Box<dyn StorageBackend>> {
        storage(open(&self.path, false)?)
    }

    fn new_storage(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = open(&beside(&self.path, ".new"), true)?;
        file.set_len(0)?;
        storage(file)
    }

    fn name_new(&self) -> io::Result<()> {
        fs::rename(beside(&self.path, ".new"), &self.path)?;
        sync_folder_of(&self.path)
    }

    fn set_aside(&self, moment: &Moment) -> io::Result<PathBuf> {
        let stamp = moment.stamp();
        let mut name = beside(&self.path, &format!(".damaged-{stamp}"));
        let mut number = 1;
        // A link that leads nowhere is there, too: rename would replace it.
        while name.symlink_metadata().is_ok() {
            number += 1;
            name = beside(&self.path, &format!(".damaged-{stamp}-{number}"));
        }
        fs::rename(&self.path, &name)?;
        sync_folder_of(&self.path)?;
        Ok(name)
    }
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Makes a folder where there is none, for all to enter, and puts it on the
/// disk with those above it that were made.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> = folder
        .ancestors()
        .take_while(|above| *above != Path::new("") && !above.exists())
        .collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755).create(folder)?;
    for made in missing {
        sync_folder_of(made)?;
    }
    Ok(())
}

/// Puts the name of a file or folder on the disk.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// The path with a longer name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens a file, for its owner only where it is made.
fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// A file as redb's storage.
fn storage(file: File) -> io::Result<Box<dyn StorageBackend>> {
    let backend = FileBackend::new(file).map_err(io::Error::other)?;
    Ok(Box::new(backend))
}
