//! The server's end: tickets are checked against the keys of a keytab.

use super::context::{Context, End};
use super::frame::{OIDS, unframed};
use super::{KerberosError, KerberosSettings, mechanisms};
use crate::security::{Mechanism, MechanismContext};
use crate::wire::pdu::{AuthLevel, AuthType};
use libgssapi::context::ServerCtx;
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::{Error, MajorFlags};
use libgssapi::name::Name;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What any other than owner and group may do with a file.
const OTHERS: u32 = 0o007;

/// Accepts whoever has a ticket for a service whose key is in the keytab.
pub struct Kerberos {
    settings: KerberosSettings,
    /// Any key of the keytab, which the library opens anew for each logon.
    keys: Cred,
}

impl Kerberos {
    /// With the files of `settings`; to be called as the user that logons are
    /// taken as.
    ///
    /// # Errors
    /// All of `KerberosError` that tell of files and of the environment.
    pub fn new(settings: KerberosSettings) -> Result<Kerberos, KerberosError> {
        check_keytab(&settings.keytab)?;
        if let Some(path) = &settings.replay_cache {
            check_replay_cache(path)?;
        }
        settings.check_environment()?;
        let keys = acquire().map_err(|cause| KerberosError::NoKey {
            path: settings.keytab.clone(),
            cause,
        })?;
        Ok(Kerberos { settings, keys })
    }
}

impl fmt::Debug for Kerberos {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Kerberos").field(&self.settings).finish()
    }
}

impl Mechanism for Kerberos {
    fn auth_type(&self) -> AuthType {
        AuthType::KERBEROS
    }

    fn oids(&self) -> &'static [&'static [u8]] {
        &OIDS
    }

    fn accept(&self, level: AuthLevel) -> Box<dyn MechanismContext> {
        let gss = ServerCtx::new(Some(self.keys.clone()));
        Box::new(Context::new(gss, level))
    }

    /// The keytab and the replay cache are read and written, and synced to disk.
    fn may_block(&self) -> bool {
        true
    }
}

impl End for ServerCtx {
    fn take(&mut self, token: &[u8]) -> Result<Vec<u8>, Error> {
        if token.is_empty() {
            // The library would look for its first mechanism.
            let major = MajorFlags::GSS_S_DEFECTIVE_TOKEN;
            return Err(Error { major, minor: 0 });
        }
        let answer = self.step(unframed(token), None)?;
        // Tickets that a client hands on are not wanted.
        drop(self.take_delegated_cred());
        Ok(answer.map(|token| token.to_vec()).unwrap_or_default())
    }

    fn peer(&self) -> Result<Name, Error> {
        libgssapi::context::SecurityContext::source_name(self)
    }
}

/// The keys of the keytab that the environment names.
fn acquire() -> Result<Cred, Error> {
    Cred::acquire(None, None, CredUsage::Accept, Some(&mechanisms()?))
}

/// Checks that the keytab can be read, and not by everybody.
fn check_keytab(path: &Path) -> Result<(), KerberosError> {
    let metadata = File::open(path).and_then(|file| file.metadata());
    let metadata = metadata.map_err(|cause| KerberosError::Keytab {
        path: path.to_owned(),
        cause,
    })?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        let path = path.to_owned();
        return Err(KerberosError::OpenToOthers { path, mode });
    }
    Ok(())
}

/// Checks that the replay cache can be written; makes an empty one.
fn check_replay_cache(path: &Path) -> Result<(), KerberosError> {
    let mut options = OpenOptions::new();
    let opened = options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    opened
        .map(drop)
        .map_err(|cause| KerberosError::ReplayCache {
            path: path.to_owned(),
            cause,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// A folder with an empty keytab of some permissions.
    fn folder(mode: u32) -> (TempDir, KerberosSettings) {
        let folder = TempDir::new().unwrap();
        let settings = KerberosSettings {
            keytab: folder.path().join("keytab"),
            replay_cache: Some(folder.path().join("replays")),
        };
        fs::write(&settings.keytab, [5, 2]).unwrap();
        fs::set_permissions(&settings.keytab, Permissions::from_mode(mode)).unwrap();
        (folder, settings)
    }

    #[test]
    fn a_keytab_that_is_not_there_is_told() {
        let (_folder, mut settings) = folder(0o600);
        settings.keytab.set_extension("not");
        let error = Kerberos::new(settings).unwrap_err();
        assert!(matches!(error, KerberosError::Keytab { .. }), "{error}");
    }

    #[test]
    fn a_keytab_that_others_can_read_is_refused() {
        let (_folder, settings) = folder(0o644);
        let error = Kerberos::new(settings).unwrap_err();
        assert!(
            matches!(error, KerberosError::OpenToOthers { mode: 0o644, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_replay_cache_that_cannot_be_written_is_told() {
        let (folder, mut settings) = folder(0o640);
        settings.replay_cache = Some(folder.path().join("nowhere/replays"));
        let error = Kerberos::new(settings).unwrap_err();
        assert!(
            matches!(error, KerberosError::ReplayCache { .. }),
            "{error}"
        );
    }

    #[test]
    fn another_keytab_than_the_environments_is_refused() {
        let (_folder, settings) = folder(0o600);
        let error = Kerberos::new(settings).unwrap_err();
        assert!(
            matches!(error, KerberosError::Environment { .. }),
            "{error}"
        );
    }
}
