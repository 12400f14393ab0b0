//! What the library reads from the environment.
//!
//! MIT Kerberos takes a keytab and a replay cache as elements of a credential
//! store, too, but libgssapi has no call for that, and setting a variable of a
//! running process cannot be had without `unsafe`. A program that is started
//! anew in its own place can be given them.

use super::KerberosError;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the acceptor's files lie, as absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KerberosSettings {
    /// The keys of the services that this host is: any of them is taken. Read
    /// at every logon, so that new keys need no restart.
    pub keytab: PathBuf,
    /// Which authenticators were seen: a file that is made when it is not there,
    /// in a folder where this user may write; without it the library's own, by
    /// user, in `/var/tmp`.
    pub replay_cache: Option<PathBuf>,
}

impl KerberosSettings {
    /// The variables by which the library finds the files.
    ///
    /// # Source
    /// MIT Kerberos documentation: Environment variables; Replay cache.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        let replay_cache = match &self.replay_cache {
            Some(path) => named("file2:", path),
            None => "dfl:".into(),
        };
        [
            ("KRB5_KTNAME", named("FILE:", &self.keytab)),
            ("KRB5RCACHENAME", replay_cache),
        ]
    }

    /// Whether this process has them.
    pub fn is_in_environment(&self) -> bool {
        self.missing().is_none()
    }

    /// Starts this program anew in its own place, with the same arguments, the
    /// same process id, and the variables: does not return unless that fails.
    /// To be called while there is no thread and nothing that an end undoes.
    ///
    /// # Errors
    /// What the system says.
    pub fn start_anew(&self) -> io::Error {
        let program = match env::current_exe() {
            Ok(program) => program,
            Err(error) => return error,
        };
        let mut arguments = env::args_os();
        let mut command = Command::new(&program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).envs(self.environment()).exec()
    }

    /// Checks that the library will find the files by the environment.
    ///
    /// # Errors
    /// `PrivilegedFile` and `Environment`.
    pub(super) fn check_environment(&self) -> Result<(), KerberosError> {
        if is_secure_execution().unwrap_or(true) {
            return Err(KerberosError::PrivilegedFile);
        }
        match self.missing() {
            Some((name, value)) => Err(KerberosError::Environment { name, value }),
            None => Ok(()),
        }
    }

    /// The first variable that says something else, or nothing.
    fn missing(&self) -> Option<(&'static str, OsString)> {
        let is_missing =
            |(name, value): &(&str, OsString)| env::var_os(name).as_ref() != Some(value);
        self.environment().into_iter().find(is_missing)
    }
}

/// A file by the type of its name.
fn named(kind: &str, path: &Path) -> OsString {
    let mut name = OsString::from(kind);
    name.push::<&OsStr>(path.as_ref());
    name
}

/// The entry of the auxiliary vector that tells of a secure execution.
const AT_SECURE: usize = 23;

/// Whether the C library hides the environment from libraries that ask with
/// care, since the program's file gave rights that its starter has not.
///
/// # Errors
/// When the vector cannot be read, as where the process may not be looked into.
///
/// # Source
/// getauxval(3), secure_getenv(3).
fn is_secure_execution() -> io::Result<bool> {
    const WORD: usize = size_of::<usize>();
    let vector = fs::read("/proc/self/auxv")?;
    let mut words = vector
        .chunks_exact(WORD)
        .filter_map(|octets| Some(usize::from_ne_bytes(octets.try_into().ok()?)));
    while let (Some(kind), Some(value)) = (words.next(), words.next()) {
        if kind == AT_SECURE {
            return Ok(value != 0);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_name_the_files_with_their_types() {
        let settings = KerberosSettings {
            keytab: "/etc/epmapper/keytab".into(),
            replay_cache: Some("/var/lib/epmapper/replays".into()),
        };
        assert_eq!(
            settings.environment(),
            [
                ("KRB5_KTNAME", "FILE:/etc/epmapper/keytab".into()),
                ("KRB5RCACHENAME", "file2:/var/lib/epmapper/replays".into()),
            ]
        );
        assert!(!settings.is_in_environment());
        let error = settings.check_environment().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the Kerberos library needs KRB5_KTNAME=FILE:/etc/epmapper/keytab \
             in the environment from the start"
        );
    }

    #[test]
    fn a_program_without_rights_of_its_file_is_no_secure_execution() {
        assert!(!is_secure_execution().unwrap());
    }
}
