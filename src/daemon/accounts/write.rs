//! One file in the place of another, whole or not at all.

use super::AccountsError;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The mode of a file that is made.
const MODE: u32 = 0o600;

/// What the name of a successor ends with.
const SUFFIX: &str = ".new";

/// The file that is going to be another one, beside it and locked: whoever else
/// changes that one waits for it. One that a crash left behind is used again.
pub struct Successor {
    /// What it is going to be.
    target: PathBuf,
    /// What it is now.
    path: PathBuf,
    /// Its contents.
    file: Flock<File>,
    /// Whether it still has its own name.
    is_here: bool,
}

impl Successor {
    /// Makes a successor of the file at `path`, or of what that links to, which
    /// need not be there.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(path: &Path) -> Result<Successor, AccountsError> {
        let target = resolved(path).map_err(unwritable(path, "look for it"))?;
        let mut name = OsString::from(target.as_os_str());
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let file = locked(&path).map_err(unwritable(&path, "make it"))?;
        Ok(Successor {
            target,
            path,
            file,
            is_here: true,
        })
    }

    /// What it is going to be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts it in the place of the other one, which `before` tells of if there
    /// was one: it gets its owner and what its mode gives that owner.
    ///
    /// # Errors
    /// What the system says; the other one is as it was.
    pub fn replace(
        mut self,
        octets: &[u8],
        before: Option<&Metadata>,
    ) -> Result<(), AccountsError> {
        let written = self.fill(octets, before);
        written.map_err(unwritable(&self.path, "write it"))?;
        let renamed = fs::rename(&self.path, &self.target);
        renamed.map_err(unwritable(&self.target, "put it in its place"))?;
        self.is_here = false;
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(unwritable(folder, "have it on the disk"))
    }

    /// Writes all of it, to the disk.
    fn fill(&mut self, octets: &[u8], before: Option<&Metadata>) -> io::Result<()> {
        let mode = before.map_or(MODE, |before| before.mode() & 0o700);
        self.file.set_len(0)?;
        // Of a mode that the mask of this process has no say in.
        self.file.set_permissions(Permissions::from_mode(MODE))?;
        if let Some(before) = before {
            let own = self.file.metadata()?;
            if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
                fchown(&*self.file, Some(before.uid()), Some(before.gid()))?;
            }
        }
        self.file.write_all(octets)?;
        self.file.set_permissions(Permissions::from_mode(mode))?;
        self.file.sync_all()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.is_here {
            // Still locked: whoever waits for it sees that it is gone.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The path of the file itself, through links, which need not be there.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    if path.symlink_metadata().is_ok() {
        return path.canonicalize();
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    Ok(folder.unwrap_or(Path::new(".")).canonicalize()?.join(name))
}

/// The file at `path`, made if need be, and locked.
///
/// Whoever had it locked before may have renamed or removed it: then what
/// stands there is another one, or none.
fn locked(path: &Path) -> io::Result<Flock<File>> {
    loop {
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = options.mode(MODE).custom_flags(flags).open(path)?;
        let own = file.metadata()?;
        if !own.is_file() || own.uid() != geteuid().as_raw() || own.nlink() > 1 {
            return Err(io::Error::other("somebody else has made it; take it away"));
        }
        let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        match path.symlink_metadata() {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// The error of a step.
fn unwritable(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> AccountsError {
    let path = path.to_owned();
    move |cause| AccountsError::Unwritable { path, step, cause }
}
