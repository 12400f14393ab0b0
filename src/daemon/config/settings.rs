//! What the configuration says to parts of the daemon, as plain values.

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
