//! Kerberos through the system's GSSAPI library, MIT Kerberos: both ends.
//!
//! The acceptor, [`Kerberos`], checks tickets against a keytab; the initiator,
//! [`initiate`], has them of the system's credential cache or for a password.
//! The library knows realms, clocks and permitted encryption types by the
//! system's `krb5.conf`. Contexts are DCE style, with three legs.
//!
//! Where keytab and replay cache lie the library reads from the environment
//! alone: see [`KerberosSettings::start_anew`].
//!
//! # Source
//! MS-KILE; RFC 4121 for signatures, RFC 4757 for those of RC4; MS-RPCE
//! 2.2.2.11 and 3.3.1.5.2 for what of a packet they cover.

mod accept;
mod context;
mod environment;
mod frame;
mod initiate;
mod message;
mod reason;

pub use accept::Kerberos;
pub use environment::KerberosSettings;
pub use initiate::initiate;

use libgssapi::error::Error;
use libgssapi::oid::{GSS_MECH_KRB5, OidSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// Why Kerberos cannot be had as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum KerberosError {
    /// The keytab is not there, or not to be read by this user.
    #[error("the keytab {} cannot be read: {cause}", path.display())]
    Keytab {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Everybody may read or change the keytab.
    #[error(
        "others than owner and group may use the keytab {} (mode {mode:04o}); \
         take that away with `chmod o= {}`", path.display(), path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The keytab holds no key that the library can read.
    #[error("the keytab {} gives no key: {cause}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What the library says.
        cause: Error,
    },
    /// The file of what has been seen cannot be written by this user.
    #[error("the replay cache {} cannot be written: {cause}", path.display())]
    ReplayCache {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The library would look for its files elsewhere.
    #[error("the Kerberos library needs {name}={} in the environment from the start", value.display())]
    Environment {
        /// The variable.
        name: &'static str,
        /// What it has to say.
        value: OsString,
    },
    /// The library heeds no environment, since the program file gives rights.
    #[error(
        "the Kerberos library ignores the environment of a program whose file gives rights; \
         start it with the rights instead of the file (systemd: AmbientCapabilities)"
    )]
    PrivilegedFile,
    /// The credentials are of no use to Kerberos.
    #[error("Kerberos takes a password or the system's tickets, not the hash of a password")]
    NtHash,
    /// The name of the service is none.
    #[error("`{0}` names no service; write host/server.lab.example or host@server.lab.example")]
    Target(String),
    /// There is no ticket, or none for this name and password.
    #[error("no Kerberos credentials: {0}")]
    Credentials(Error),
}

/// The mechanism alone, so that the library negotiates no other.
fn mechanisms() -> Result<OidSet, Error> {
    OidSet::singleton(GSS_MECH_KRB5)
}
