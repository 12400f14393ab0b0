//! The examples `echo_server` and `echo_client` as programs, and a mapper for them.
//!
//! The test's crate has `support/daemon.rs` and `interop/programs.rs` beside this.

#![allow(dead_code)] // each test binary takes the part that it needs

use crate::daemon::{Daemon, Log};
use crate::programs::{self, Finished};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::SystemTime;
use tempfile::TempDir;

/// What an example says that a mapper has its entries at.
pub const REGISTERED: &str = "registered at ";

/// A mapper on port 135 of a loopback address and on a local socket, which keeps nothing over its end.
pub struct Mapper {
    /// None between its end and its next start.
    daemon: Option<Daemon>,
    address: Ipv4Addr,
    folder: TempDir,
}

impl Mapper {
    /// Starts it. Root may register at its socket.
    pub fn start(address: Ipv4Addr) -> Mapper {
        let mut mapper = Mapper {
            daemon: None,
            address,
            folder: TempDir::new().unwrap(),
        };
        mapper.start_again();
        mapper
    }

    /// Starts it anew, where it was killed.
    pub fn start_again(&mut self) {
        let daemon = Daemon::start_also_on(self.address, &[self.socket()], "");
        self.daemon = Some(daemon);
    }

    /// Ends it without a warning.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// The binding of its local socket.
    pub fn socket(&self) -> String {
        format!("ncalrpc:[{}/EPMAPPER]", self.folder.path().display())
    }

    /// Waits for a line of its log.
    #[track_caller]
    pub fn expect(&self, wanted: &str) {
        self.daemon.as_ref().unwrap().expect(wanted);
    }

    /// Starts the example server with arguments, and returns when it is registered here.
    pub fn server(&self, arguments: &[&str]) -> Server {
        let server = Server::start(&self.socket(), arguments);
        server.expect_registered(1);
        server
    }
}

/// A running `echo_server`; killed when dropped.
pub struct Server {
    child: Child,
    pub log: Log,
}

impl Server {
    /// Starts it with a mapper and more arguments, and returns when it listens.
    pub fn start(mapper: &str, arguments: &[&str]) -> Server {
        let mut child = Command::new(example("echo_server"))
            .args(["--mapper", mapper])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(child.stdout.take().unwrap());
        let server = Server { child, log };
        server.expect("listening on ");
        server
    }

    /// Waits for a line that holds `wanted`.
    #[track_caller]
    pub fn expect(&self, wanted: &str) {
        let said = self.log.wait_for(wanted);
        assert!(said, "no `{wanted}`; it said:\n{}", self.log.text());
    }

    /// Waits until it has registered `times` times.
    #[track_caller]
    pub fn expect_registered(&self, times: usize) {
        let told = self.log.wait_for_times(REGISTERED, times);
        assert!(told, "not {times} times; it said:\n{}", self.log.text());
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        let log = self.log.text();
        let line = log.lines().find(|line| line.starts_with("listening on "));
        let (_, port) = line.unwrap().rsplit_once('[').unwrap();
        port.trim_end_matches(']').parse().unwrap()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) -> (ExitStatus, String) {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .unwrap();
        let ended = self.log.wait_for_end();
        assert!(ended, "does not end; it said:\n{}", self.log.text());
        (self.child.wait().unwrap(), self.log.text())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs the example client.
#[track_caller]
pub fn client(place: &str) -> Finished {
    programs::run(&example("echo_client"), &[place], "")
}

/// The same, which must succeed with the server on this port.
#[track_caller]
pub fn client_arrives(place: &str, port: u16) {
    let finished = client(place);
    finished.assert_success();
    let first = finished.stdout.lines().next().unwrap_or_default();
    assert!(first.ends_with(&format!("[{port}]")), "{port}: {first}");
}

/// The program of an example, beside the test's own.
///
/// Cargo does not build examples for single tests, and says nothing of where they are: this one must be there, and be
/// newer than all that it was built from.
#[track_caller]
fn example(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name);
    let built = modified(&program);
    let sources = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let mut sources = sources.split_whitespace().skip(1);
    let newer = sources.find(|source| modified(Path::new(source)) > built);
    assert!(
        built.is_some() && newer.is_none(),
        "{} is missing or older than {newer:?}: `cargo build --examples` builds it",
        program.display()
    );
    program
}

/// When a file was changed last; `None` where there is none.
fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|data| data.modified()).ok()
}
