//! A daemon with accounts, and what it tells of itself.

use crate::client::{ALICE, BOB, Came, Client, Identified, Way};
use crate::daemon::Daemon;
use crate::peer::{Peer, endpoints};
use epmapper::security::NtHash;
use epmapper::wire::pdu::AuthLevel;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use tempfile::TempDir;

/// The daemons of this binary so far: each has an address of its own.
static COUNT: AtomicU8 = AtomicU8::new(1);

/// More wrong logons than any test makes, so that none of them waits.
const LIMITS: &str = "[limits]\nwrong_logons = 1000000\n";

/// A daemon that knows Alice and Bob.
pub struct World {
    daemon: Daemon,
    folder: TempDir,
}

impl World {
    pub fn new() -> World {
        World::with("", 10)
    }

    /// With more in `[security]`, and so many endpoints.
    pub fn with(security: &str, count: usize) -> World {
        let folder = TempDir::new().unwrap();
        let accounts = folder.path().join("accounts.toml");
        let text = format!(
            "[accounts]\n{} = {{ password = \"{}\" }}\n{} = {{ nt_hash = \"{}\" }}\n",
            ALICE.0,
            ALICE.1,
            BOB.0,
            hex(BOB.1),
        );
        fs::write(&accounts, text).unwrap();
        fs::set_permissions(&accounts, Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "log_level = \"trace\"\n{LIMITS}[security]\naccounts = \"{}\"\ndomain = \"LAB\"\nhost = \"MAPPER\"\n\
             {security}\n{}",
            accounts.display(),
            endpoints(count)
        );
        let address = Ipv4Addr::new(127, 0, 98, COUNT.fetch_add(1, Ordering::Relaxed));
        let local = format!("ncalrpc:[{}]", socket(&folder).display());
        let daemon = Daemon::start_also_on(address, &[local], &config);
        World { daemon, folder }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.daemon.address(), 135))
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(self.address())
    }

    /// Whoever does right is served.
    #[track_caller]
    pub fn assert_serves(&self) {
        for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
            let mut client = Client::logged_on(self, Way::SPNEGO, level, ALICE);
            assert_eq!(client.ask(), Came::Served);
        }
    }

    /// The audit trail tells that a logon of `way` was refused, of whom, and why.
    #[track_caller]
    pub fn assert_told(&self, way: Way, account: Option<&str>, reason: &str) {
        let account = account.map_or(String::new(), |name| format!("account=\"{name}\" "));
        self.daemon.expect(&format!(
            "op=\"logon\" result=\"refused\" {account}authentication={} level=integrity address=127.0.0.1 \
             reason={reason}",
            way.auth_type()
        ));
    }

    /// The audit trail tells of whom a packet was refused, and why.
    #[track_caller]
    pub fn assert_told_of_packet(&self, who: Identified, account: &str, reason: &str) {
        self.daemon.expect(&format!(
            "op=\"verify\" result=\"refused\" account={account} authentication={} level={} \
             address=127.0.0.1 reason={reason}",
            who.0, who.1
        ));
    }

    /// A counter of `epm status`.
    pub fn counter(&self, name: &str) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_epm"))
            .args(["status", "--json", "--at"])
            .arg(format!("ncalrpc:[{}]", socket(&self.folder).display()))
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let counter = &status["counters"][name];
        counter
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {status}"))
    }

    /// Whoever does right is still served, and the log holds no secret.
    pub fn end(mut self) {
        self.assert_serves();
        self.daemon.assert_alive("all of that");
        let (status, log) = self.daemon.stop();
        assert!(status.success(), "{status}");
        for (_, password) in [ALICE, BOB] {
            let hash = hex(password);
            for secret in [password, &hash, &hash.to_uppercase()] {
                assert!(!log.contains(secret), "the log holds a secret:\n{log}");
            }
        }
    }
}

/// The local socket of a daemon.
fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("EPMAPPER")
}

/// The NT hash of a password, in digits.
fn hex(password: &str) -> String {
    let NtHash(octets) = NtHash::of(password);
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
