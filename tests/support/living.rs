//! A daemon with a local socket, who registers there, and what is known of it.

#![allow(dead_code)] // each test binary takes the half that it needs

use crate::daemon::DEADLINE;
use crate::run::{ANY_PORT, ConfigFile, Run, program};
use epmapper::client::control::Lifetime;
use epmapper::client::ept::{LookupQuery, NewEntry};
use epmapper::client::{Control, Encoding, Mapper};
use epmapper::wire::SyntaxId;
use epmapper::wire::binding::Binding;
use epmapper::wire::control::{Facts, Probe, ProbeState};
use epmapper::wire::ept::VersionOption;
use epmapper::wire::tower::TowerBuf;
use nix::unistd::geteuid;
use socket2::{Domain, Socket, Type};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use uuid::{Uuid, uuid};

/// What is registered: rpcecho, which is not reserved.
pub const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);

/// All entries of it.
pub const ECHO_ENTRIES: LookupQuery = LookupQuery {
    interface: Some((ECHO, VersionOption::EXACT)),
    object: None,
};

/// From one look at what nothing tells of to the next: entries that are gone,
/// probes that failed.
pub const PAUSE: Duration = Duration::from_millis(5);

/// A folder with a configuration, a socket and a state.
pub struct Home {
    folder: TempDir,
    config: ConfigFile,
}

impl Home {
    /// With `text` besides a rule that lets this user register at any address.
    pub fn new(text: &str) -> Home {
        let user = geteuid();
        let rule = format!("[[register]]\nusers = [{user}]\nforeign_addresses = true\n");
        let config = ConfigFile::new(&format!("{text}\n{rule}"));
        let folder = TempDir::new().unwrap();
        Home { folder, config }
    }

    /// With servers asked so.
    pub fn probing(interval: &str, timeout: &str, failures: u32) -> Home {
        Home::new(&format!(
            "[probe]\ninterval = \"{interval}\"\ntimeout = \"{timeout}\"\nfailures = {failures}\n"
        ))
    }

    /// Starts a daemon that keeps nothing.
    pub fn start(&self) -> Run {
        self.run("none".into())
    }

    /// Starts a daemon that keeps what is registered in the folder.
    pub fn start_from_disk(&self) -> Run {
        self.run(self.folder.path().join("registry.redb"))
    }

    fn run(&self, state: PathBuf) -> Run {
        let mut command = program();
        command.arg("--config").arg(self.config.path());
        command.args(["--listen", &self.at(), "--listen", ANY_PORT]);
        Run::spawn(command.arg("--state").arg(state))
    }

    /// Lets everybody into the folders.
    pub fn open_to_all(&self) {
        self.config.open_folder_to(0o755);
    }

    /// Starts a daemon on a TCP port alone, which may log little.
    pub fn start_quietly(&self) -> Run {
        let mut command = program();
        command.arg("--config").arg(self.config.path());
        Run::listening(command.args(["--listen", ANY_PORT]))
    }

    /// The local socket.
    pub fn at(&self) -> String {
        format!(
            "ncalrpc:[{}]",
            self.folder.path().join("EPMAPPER").display()
        )
    }

    /// A caller over the local socket, with this process' rights.
    pub fn caller(&self) -> Caller {
        Caller::at(&self.at())
    }

    /// A process of its own that registers for as long as it lives.
    pub fn hold(&self, entries: &[New]) -> Held {
        let mut command = Command::new(env!("CARGO_BIN_EXE_epm"));
        command.args(["hold", "--at", &self.at(), "--annotation", entries[0].1]);
        command.arg(ECHO.to_string());
        command.args(entries.iter().map(|(binding, _)| binding));
        // It ends with its input, whatever becomes of `epm`.
        command.args(["--", "sh", "-c", "echo held; exec cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(told.next().unwrap().unwrap(), "held");
        Held(child)
    }
}

/// A binding and the annotation that the entry is known by.
pub type New<'a> = (&'a str, &'a str);

/// A process that holds entries; killed when dropped.
pub struct Held(pub Child);

impl Held {
    /// Kills it with SIGKILL; nobody has waited for it then.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A caller of ept and the control interface.
pub struct Caller {
    runtime: Runtime,
    pub mapper: Mapper,
    pub control: Control,
}

impl Caller {
    /// A caller of the mapper at a binding.
    pub fn at(binding: &str) -> Caller {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let binding: Binding = binding.parse().unwrap();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let (mapper, control) = runtime.block_on(async {
            let mapper = Mapper::connect(&binding, Encoding::Any, deadline).await;
            let control = Control::connect(&binding, Encoding::Any, deadline).await;
            (mapper.unwrap(), control.unwrap())
        });
        Caller {
            runtime,
            mapper,
            control,
        }
    }

    /// Registers by ept_insert.
    pub fn insert(&mut self, entries: &[New]) {
        with_entries(entries, |entries| {
            self.runtime
                .block_on(self.mapper.insert(entries, false))
                .unwrap();
        });
    }

    /// Takes out by ept_delete.
    pub fn delete(&mut self, entries: &[New]) {
        with_entries(entries, |entries| {
            self.runtime.block_on(self.mapper.delete(entries)).unwrap();
        });
    }

    /// Registers with a life; the lease, where it is that.
    pub fn register(&mut self, entries: &[New], lifetime: Lifetime) -> Uuid {
        with_entries(entries, |entries| {
            let registered = self.control.register(entries, lifetime, false);
            let granted = self.runtime.block_on(registered).unwrap();
            granted.map_or(Uuid::nil(), |granted| granted.lease)
        })
    }

    /// Renews a lease.
    pub fn renew(&mut self, lease: Uuid) {
        self.runtime.block_on(self.control.renew(lease)).unwrap();
    }

    /// Ends a lease.
    pub fn release(&mut self, lease: Uuid) {
        self.runtime.block_on(self.control.release(lease)).unwrap();
    }

    /// The annotations of what a lookup finds of the interface.
    pub fn found(&mut self) -> BTreeSet<String> {
        let found = self
            .runtime
            .block_on(self.mapper.lookup(&ECHO_ENTRIES))
            .unwrap();
        let annotation = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        found
            .iter()
            .map(|entry| annotation(&entry.annotation))
            .collect()
    }

    /// Whether a lookup finds an entry.
    pub fn finds(&mut self, annotation: &str) -> bool {
        self.found().contains(annotation)
    }

    /// What the mapper tells of an entry.
    pub fn facts(&mut self, annotation: &str) -> Option<Facts> {
        let found = self.runtime.block_on(self.control.entries()).unwrap();
        let mut found = found.into_iter();
        found
            .find(|found| &*found.entry.annotation == annotation.as_bytes())
            .map(|found| found.facts)
    }

    /// What probes told of an entry, which must be there.
    #[track_caller]
    pub fn probe(&mut self, annotation: &str) -> Probe {
        let facts = self.facts(annotation);
        facts
            .unwrap_or_else(|| panic!("{annotation} is gone"))
            .probe
    }

    /// Waits until the server of an entry has answered a probe.
    #[track_caller]
    pub fn await_answer(&mut self, annotation: &str) {
        await_that("an answer", DEADLINE, || {
            self.probe(annotation).state == ProbeState::ANSWERED
        });
    }

    /// Waits until as many probes of an entry failed in a row.
    #[track_caller]
    pub fn await_failures(&mut self, annotation: &str, failures: u32) {
        await_that("failures", DEADLINE, || {
            self.probe(annotation).failures >= failures
        });
    }

    /// Waits until a lookup does not find an entry any more, which is to be
    /// within `time`: ten times of it are given.
    #[track_caller]
    pub fn await_end(&mut self, annotation: &str, time: Duration) {
        await_that(&format!("the end of {annotation}"), time * 10, || {
            !self.finds(annotation)
        });
    }
}

/// Gives entries as calls take them.
fn with_entries<T>(entries: &[New], take: impl FnOnce(&[NewEntry]) -> T) -> T {
    let towers: Vec<_> = entries.iter().map(|(binding, _)| tower(binding)).collect();
    let new: Vec<_> = towers
        .iter()
        .zip(entries)
        .map(|(tower, (_, annotation))| NewEntry {
            object: Uuid::nil(),
            tower: tower.octets(),
            annotation: annotation.as_bytes(),
        })
        .collect();
    take(&new)
}

/// The tower of a binding.
fn tower(binding: &str) -> TowerBuf {
    TowerBuf::from_binding(ECHO, SyntaxId::NDR, &binding.parse().unwrap()).unwrap()
}

/// Looks again and again, where no event tells, until it is so.
#[track_caller]
pub fn await_that(what: &str, time: Duration, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + time;
    while !is_so() {
        assert!(Instant::now() < until, "{what} does not come in {time:?}");
        std::thread::sleep(PAUSE);
    }
}

/// A socket of a port that the system chooses, which does not listen yet.
pub fn bound(address: Ipv4Addr) -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::V4(SocketAddrV4::new(address, 0));
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

/// A server of RPC: another daemon, which listens at a binding.
pub fn server(binding: &str) -> (Run, u16) {
    let config = ConfigFile::new("");
    let mut command = program();
    command.arg("--config").arg(config.path());
    let run = Run::spawn(command.args(["--listen", binding]));
    let port = run.address().port();
    (run, port)
}
