//! A daemon with a registry, recorded while clients use it.

use std::fmt::Debug;
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tempfile::TempDir;

use crate::accounts::Accounts;
use crate::daemon::Daemon;
use crate::logon::{ACCOUNTS, DOMAIN, Logon};
use crate::recording::{self, Recording, Sent};
use crate::registry::{Entry, Registry, SIZES};

/// ept_s_not_registered.
pub const NOT_REGISTERED: u64 = 0x16c9_a0d6;

/// A daemon with its registry, recorded.
pub struct Session {
    pub daemon: Daemon,
    pub registry: Registry,
    /// `None` where dumpcap or tshark are missing.
    pub recording: Option<Recording>,
    /// Where the mapper has a local socket, too.
    pub sockets: Option<Sockets>,
    /// How clients log on, where they do.
    pub logon: Option<Logon>,
    /// Where the mapper has any; the file goes with the session.
    _accounts: Option<Accounts>,
}

impl Session {
    pub fn start(address: Ipv4Addr, size: usize, conversation: &str) -> Session {
        Session::unrecorded(address, size, conversation).recorded()
    }

    /// For traffic that tshark cannot judge.
    pub fn unrecorded(address: Ipv4Addr, size: usize, conversation: &str) -> Session {
        Session::of(address, Registry::of(size, conversation))
    }

    /// Not recorded yet, with rules that say who may register; what nobody serves stays nevertheless.
    pub fn with_rules(address: Ipv4Addr, size: usize, conversation: &str, rules: &str) -> Session {
        Session::of(address, ruled(size, conversation, rules))
    }

    /// The same with a local socket, too.
    pub fn local(address: Ipv4Addr, size: usize, conversation: &str, rules: &str) -> Session {
        let mut registry = ruled(size, conversation, rules);
        registry.local = true;
        let sockets = Sockets::new();
        let daemon = Daemon::start_also_on(address, &[sockets.mapper()], &registry.config);
        Session {
            daemon,
            registry,
            recording: None,
            sockets: Some(sockets),
            logon: None,
            _accounts: None,
        }
    }

    /// Not recorded yet, with the accounts [`ACCOUNTS`]; `security` is the rest of that table, `rules` are as above.
    pub fn with_accounts(
        address: Ipv4Addr,
        size: usize,
        conversation: &str,
        security: &str,
        rules: &str,
    ) -> Session {
        let accounts = Accounts::of(&ACCOUNTS);
        let head = accounts.config();
        let security = format!("{head}domain = \"{DOMAIN}\"\n{security}");
        let rules = format!("{security}{rules}");
        Session {
            _accounts: Some(accounts),
            ..Session::with_rules(address, size, conversation, &rules)
        }
    }

    fn of(address: Ipv4Addr, registry: Registry) -> Session {
        let daemon = Daemon::start(address, &registry.config);
        Session {
            daemon,
            registry,
            recording: None,
            sockets: None,
            logon: None,
            _accounts: None,
        }
    }

    /// Records what comes from now on.
    pub fn recorded(mut self) -> Session {
        self.recording = Recording::start(self.address());
        self
    }

    pub fn address(&self) -> Ipv4Addr {
        self.daemon.address()
    }

    /// The string binding of the mapper over TCP, with what Samba's clients have to know of the logon.
    pub fn tcp(&self) -> String {
        let options = self.logon.map_or(String::new(), Logon::options);
        format!("ncacn_ip_tcp:{}[135{options}]", self.address())
    }

    /// The argument that tells Samba's clients who they are.
    pub fn user(&self) -> String {
        self.logon.map_or("-U%".to_owned(), Logon::user)
    }

    /// The smb.conf of a client that comes by the local socket.
    pub fn local_config(&self) -> String {
        let sockets = self.sockets.as_ref().expect("a local socket");
        sockets.config()
    }

    /// The registry as a client sees it, with the mapper's own entry.
    pub fn entries(&self) -> Vec<Entry> {
        let address = self.address();
        self.registry
            .entries_with_mapper(address)
            .iter()
            .map(|entry| entry.seen_at(address))
            .collect()
    }

    /// Stops the daemon in good order; returns what it sent, which tshark must find no fault with, where it was recorded.
    pub fn finish(mut self) -> Option<Sent> {
        self.daemon.assert_alive("all clients");
        let sent = self.recording.map(|recording| {
            let sent = recording::judge(&recording.finish(), 135)
                .unwrap_or_else(|fault| panic!("{fault}"));
            assert!(
                sent.frames > 0,
                "nothing of the session is in the recording"
            );
            sent
        });
        let (status, log) = self.daemon.stop();
        assert!(
            status.success(),
            "epmapperd ended with {status}; its log:\n{log}"
        );
        sent
    }
}

/// A registry with rules; its entries are not probed in the time of a test.
fn ruled(size: usize, conversation: &str, rules: &str) -> Registry {
    let mut registry = Registry::of(size, conversation);
    let config = &mut registry.config;
    config.push_str("[probe]\ninterval = \"168h\"\n");
    config.push_str(rules);
    registry
}

/// Samba's folder of local sockets, and an smb.conf that names it.
pub struct Sockets(TempDir);

impl Sockets {
    fn new() -> Sockets {
        let sockets = Sockets(TempDir::new().expect("a folder for sockets"));
        let folder = sockets.0.path();
        let all = Permissions::from_mode(0o755);
        fs::set_permissions(folder, all).expect("everybody may enter");
        let config = format!("[global]\n ncalrpc dir = {}\n", folder.display());
        fs::write(sockets.config(), config).expect("an smb.conf");
        sockets
    }

    /// The smb.conf.
    pub fn config(&self) -> String {
        self.0.path().join("smb.conf").display().to_string()
    }

    /// The mapper's socket as `epmapperd` is told of it: the name is Samba's.
    fn mapper(&self) -> String {
        format!("ncalrpc:[{}]", self.0.path().join("EPMAPPER").display())
    }
}

/// Runs a client against each size of registry, all at once; returns what each daemon sent where it was recorded.
pub fn with_each_registry(
    block: u8,
    conversation: &str,
    client: impl Fn(&Session) + Sync,
) -> Vec<(usize, Sent)> {
    let start = |address, size| Session::start(address, size, conversation);
    with_each_session(block, start, client)
}

/// The same against sessions that `start` makes of an address and a size.
pub fn with_each_session(
    block: u8,
    start: impl Fn(Ipv4Addr, usize) -> Session + Sync,
    client: impl Fn(&Session) + Sync,
) -> Vec<(usize, Sent)> {
    let run = |number: u8, size: usize| {
        let session = start(Ipv4Addr::new(127, 0, block, number), size);
        client(&session);
        (size, session.finish())
    };
    let run = &run;
    thread::scope(|scope| {
        let threads = (1..)
            .zip(SIZES)
            .map(|(number, size)| scope.spawn(move || run(number, size)));
        let threads: Vec<_> = threads.collect();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let failed = SIZES.iter().zip(&ended).filter(|(_, ended)| ended.is_err());
        let failed: Vec<_> = failed.map(|(size, _)| size).collect();
        assert!(
            failed.is_empty(),
            "failed with registries of {failed:?} entries: see above"
        );
        ended
            .into_iter()
            .flatten()
            .filter_map(|(size, sent)| Some((size, sent?)))
            .collect()
    })
}

/// Compares lists, and shows the first difference instead of both.
#[track_caller]
pub fn assert_equal<T: PartialEq + Debug>(found: Vec<T>, expected: Vec<T>) {
    let different = found
        .iter()
        .zip(&expected)
        .position(|(found, expected)| found != expected);
    if let Some(at) = different {
        panic!(
            "number {at}:\nfound    {:?}\nexpected {:?}",
            found[at], expected[at]
        );
    }
    assert_eq!(found.len(), expected.len(), "as many as expected");
}
