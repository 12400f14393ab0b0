//! What the configuration says to parts of the daemon, as plain values.

use crate::wire::pdu::AuthLevel;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where registrations are kept when nobody says.
pub const DEFAULT_STATE: &str = "/var/lib/epmapper/registry.redb";

/// How servers are asked whether they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// From one probe of a server to the next.
    pub interval: Duration,
    /// How long a server may take to answer; at most the interval.
    pub timeout: Duration,
    /// After so many failures in a row it is gone; at least one.
    pub failures: usize,
    /// Probes under way, of all servers; at least one.
    pub at_once: usize,
    /// Whether addresses that are not this host's are probed.
    pub foreign: bool,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        ProbeSettings {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            failures: 3,
            at_once: 256,
            foreign: false,
        }
    }
}

/// Who has to prove to be somebody before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// Nobody.
    #[default]
    Nothing,
    /// Whoever asks for more than where one service is.
    Lookups,
    /// Everybody.
    Everything,
}

/// Who can prove to be somebody, and who has to.
///
/// Clients are offered what there are means for: NTLM where there are accounts
/// or an anonymous logon is allowed, Kerberos where there is a keytab, SPNEGO
/// where there is either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecuritySettings {
    /// The file of accounts, if there is one.
    pub accounts: Option<PathBuf>,
    /// The NetBIOS name of the domain; the host's own where it is in none.
    pub domain: String,
    /// The DNS name of the domain.
    pub dns_domain: String,
    /// The NetBIOS name of the host.
    pub host: String,
    /// The DNS name of the host.
    pub dns_host: String,
    /// The file of this service's keys in a Kerberos realm, if there is one.
    pub keytab: Option<PathBuf>,
    /// Whether one may log on as nobody, which proves nothing.
    pub anonymous: bool,
    /// Whether NTLM may be of version 1.
    pub ntlm_v1: bool,
    /// Whether its responses may be LM's; only with version 1.
    pub lm: bool,
    /// Who has to prove to be somebody.
    pub require: Require,
    /// The least level where one has to: connect, integrity or privacy.
    pub level: AuthLevel,
    /// Accounts and principals by the name for all of them.
    pub groups: BTreeMap<String, Vec<Arc<str>>>,
}

impl SecuritySettings {
    /// Whether anybody can prove to be somebody.
    pub fn proves(&self) -> bool {
        self.accounts.is_some() || self.keytab.is_some()
    }

    /// Whether there is a provider to offer.
    pub fn offers(&self) -> bool {
        self.proves() || self.anonymous
    }
}
