//! Where a password comes from: a file, the environment, or whoever sits at the
//! terminal; never an argument, which every process of the host can read.

use crate::security::Password;
use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The variable of the environment that may hold the password.
pub const VARIABLE: &str = "EPM_PASSWORD";

/// The longest password of a file, in octets.
const LONGEST: usize = 1024;

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("cannot read the password file {path:?}: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Others than the owner of the file may use it.
    #[error(
        "the password file {path:?} can be read or written by others than its owner (mode \
         {mode:04o}): make it private with chmod 600"
    )]
    NotPrivate {
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file does not hold a password.
    #[error("the password file {0:?} has to hold one line of UTF-8, up to {LONGEST} octets")]
    Content(PathBuf),
    /// The variable of the environment does not hold one.
    #[error("{VARIABLE} is not UTF-8")]
    Environment,
    /// Nobody can be asked.
    #[error("no password: there is no terminal to ask for it at: {0}")]
    Terminal(io::Error),
}

/// The password that a file or the environment gives; `None` where neither is
/// there. The file comes first.
///
/// # Errors
/// All but `Terminal`.
pub fn given(file: Option<&Path>) -> Result<Option<Password>, PasswordError> {
    match (file, env::var_os(VARIABLE)) {
        (Some(path), _) => of_file(path).map(Some),
        (None, None) => Ok(None),
        (None, Some(value)) => match value.into_string() {
            Ok(text) => Ok(Some(Password::new(text))),
            Err(_) => Err(PasswordError::Environment),
        },
    }
}

/// Asks for the password of `user` at the terminal, which does not show it.
///
/// # Errors
/// `Terminal`.
pub fn asked(user: &str) -> Result<Password, PasswordError> {
    let prompt = format!("Password of {user}: ");
    let answer = rpassword::prompt_password(prompt);
    answer.map(Password::new).map_err(PasswordError::Terminal)
}

/// The password of a private file: its one line.
fn of_file(path: &Path) -> Result<Password, PasswordError> {
    let failed = |error| PasswordError::File {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(PasswordError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    line(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => PasswordError::Content(path.to_owned()),
        _ => failed(error),
    })
}

/// The one line that a reader holds.
///
/// # Errors
/// `InvalidData` when it is none, or too long.
fn line(file: impl Read) -> io::Result<Password> {
    // Room for all of it at once: what grows leaves copies behind.
    let mut text = String::with_capacity(LONGEST + 3);
    file.take(LONGEST as u64 + 3).read_to_string(&mut text)?;
    let end = text.trim_end_matches('\n').len();
    let end = match text[..end].strip_suffix('\r') {
        Some(line) if end < text.len() => line.len(),
        _ => end,
    };
    let endings = text.len() - end;
    text.truncate(end);
    let password = Password::new(text);
    let is_line = !password.as_str().is_empty() && !password.as_str().contains(['\n', '\0']);
    match is_line && endings <= 2 && password.as_str().len() <= LONGEST {
        true => Ok(password),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// What a file with this mode and content gives.
    fn file(mode: u32, content: &[u8]) -> Result<Password, PasswordError> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        of_file(&path)
    }

    #[test]
    fn a_file_has_one_line_whatever_ends_it() {
        for content in ["secret", "secret\n", "secret\r\n"] {
            let password = file(0o600, content.as_bytes()).unwrap();
            assert_eq!(password.as_str(), "secret");
        }
        let kept = file(0o400, "  with blanks \u{e4}\r".as_bytes()).unwrap();
        assert_eq!(kept.as_str(), "  with blanks \u{e4}\r");
        let longest = file(0o600, &[b'a'; LONGEST]).unwrap();
        assert_eq!(longest.as_str().len(), LONGEST);
    }

    #[test]
    fn what_is_no_password_is_refused_and_not_told() {
        let long = [b'a'; LONGEST + 1];
        for content in [
            &b""[..],
            b"\n",
            b"first\nsecond\n",
            b"first\n\n\n",
            b"a\0b",
            b"\xff\xfe",
            &long,
            &[b'a'; 9999],
        ] {
            let error = file(0o600, content).unwrap_err();
            assert!(matches!(error, PasswordError::Content(_)), "{error}");
            assert!(!error.to_string().contains("first"));
        }
    }

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o660, 0o666, 0o610] {
            let error = file(mode, b"secret").unwrap_err();
            let PasswordError::NotPrivate { mode: found, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(found, mode);
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let error = of_file(Path::new("/nonexistent/password")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/password"));
    }
}
