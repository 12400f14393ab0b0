//! Whose an accounts file is, and who else may touch it.

use super::{AccountsError, MOST_OCTETS};
use nix::fcntl::OFlag;
use nix::unistd::{Uid, User, geteuid};
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// What makes a file unfit for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A folder, a device, a pipe.
    NotFile,
    /// Its mode lets others in.
    Mode(u32),
    /// Its owner is neither root nor the daemon's user.
    Owner(u32),
    /// It is longer than any.
    Length,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Unfit::NotFile => f.write_str("is not a file"),
            Unfit::Mode(mode) => write!(
                f,
                "can be read or written by others than its owner (mode {mode:04o}); \
                 make it private: chmod 600"
            ),
            Unfit::Owner(uid) => write!(
                f,
                "belongs to {}, neither to root nor to the daemon's user, and may be changed by its owner; \
                 chown it",
                named(*uid)
            ),
            Unfit::Length => write!(f, "is longer than {MOST_OCTETS} octets"),
        }
    }
}

/// A user by its name, if it has one.
fn named(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(
        || format!("user id {uid}"),
        |user| format!("`{}`", user.name),
    )
}

/// Reads the file at `path`, and tells what the system knows of it.
///
/// The file is looked at once it is open, so that what was looked at is what is
/// read.
///
/// # Errors
/// `Unreadable`, `Unsafe`; `Mistaken` for what is no text.
pub fn read(
    path: &Path,
    user: Option<Uid>,
) -> Result<(Zeroizing<String>, Metadata), AccountsError> {
    let unreadable = |cause| AccountsError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let (file, metadata) = open(path).map_err(unreadable)?;
    check(&metadata, user).map_err(|fault| AccountsError::Unsafe {
        path: path.to_owned(),
        fault,
    })?;
    let text = contents(file, &metadata).map_err(unreadable)?;
    if text.len() > MOST_OCTETS {
        return Err(AccountsError::Unsafe {
            path: path.to_owned(),
            fault: Unfit::Length,
        });
    }
    let text = super::text::utf8(path, text)?;
    Ok((text, metadata))
}

/// Opens a file; a pipe that nobody writes to is opened as well.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Whether nobody but root, the daemon's user and who runs this can touch it.
///
/// Of an access control list the mode shows the most that it gives anybody, in
/// place of the group's.
///
/// # Errors
/// What makes it unfit for secrets.
pub fn check(metadata: &Metadata, user: Option<Uid>) -> Result<(), Unfit> {
    if !metadata.is_file() {
        return Err(Unfit::NotFile);
    }
    let owner = Uid::from_raw(metadata.uid());
    if !owner.is_root() && owner != geteuid() && Some(owner) != user {
        return Err(Unfit::Owner(owner.as_raw()));
    }
    is_private(metadata)
}

/// Whether its mode lets nobody in but its owner.
///
/// # Errors
/// `Mode`.
pub fn is_private(metadata: &Metadata) -> Result<(), Unfit> {
    let mode = metadata.mode() & 0o7777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(Unfit::Mode(mode)),
    }
}

/// What a file holds, one octet more than it may at most; read in one place, so
/// that no copy of it stays behind.
fn contents(file: File, metadata: &Metadata) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = MOST_OCTETS as u64 + 1;
    let length = usize::try_from(metadata.len().min(most)).unwrap_or(MOST_OCTETS);
    let mut octets = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(most).read_to_end(&mut octets)?;
    Ok(octets)
}
