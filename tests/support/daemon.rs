//! `epmapperd` as a test runs it: a config in, port 135 of a loopback address out.
//!
//! Includes [`Log`], which keeps what a child writes and wakes whoever waits for a line. Nothing here
//! sleeps: every wait ends with an event or with [`DEADLINE`], which is generous on purpose.

#![allow(dead_code)] // each test binary takes the half that it needs

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a test waits for what should happen at once: a slow machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(300);

/// A running `epmapperd`, stopped by its process id when dropped.
pub struct Daemon {
    child: Child,
    address: Ipv4Addr,
    log: Log,
    folder: TempDir,
}

impl Daemon {
    /// Starts the daemon with the text of a config on port 135 of `address`, and returns when it listens.
    ///
    /// The config's own `listen`, if any, is replaced, and so is its `state`: nothing is kept.
    pub fn start(address: Ipv4Addr, config: &str) -> Daemon {
        Daemon::start_also_on(address, &[], config)
    }

    /// The same, listening on more bindings.
    pub fn start_also_on(address: Ipv4Addr, more: &[String], config: &str) -> Daemon {
        let folder = TempDir::new().expect("a folder for the config");
        let file = folder.path().join("epmapperd.toml");
        std::fs::write(&file, config).expect("the config is written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_epmapperd"))
            .arg("--config")
            .arg(&file)
            .args(["--listen", &format!("ncacn_ip_tcp:{address}[135]")])
            .args(more.iter().flat_map(|binding| ["--listen", binding]))
            .args(["--state", "none"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("epmapperd starts");
        let log = Log::of(child.stderr.take().expect("stderr is a pipe"));
        let daemon = Daemon {
            child,
            address,
            log,
            folder,
        };
        let first = format!("ncacn_ip_tcp:{address}[135]");
        for binding in [&first].into_iter().chain(more) {
            daemon.expect(&format!("listening on {binding}"));
        }
        daemon
    }

    /// The loopback address that it serves.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line of the log that holds `wanted`.
    #[track_caller]
    pub fn expect(&self, wanted: &str) {
        assert!(
            self.log.wait_for(wanted),
            "no `{wanted}`; epmapperd's log:\n{}",
            self.log.text()
        );
    }

    /// Fails the test when the daemon has ended, or a task of it panicked, after `what`.
    pub fn assert_alive(&mut self, what: &str) {
        let ended = self.child.try_wait().expect("the daemon's state");
        assert!(
            ended.is_none(),
            "after {what}: epmapperd ended with {ended:?}; its log:\n{}",
            self.log.text()
        );
        assert!(
            !self.log.text().contains("panicked"),
            "after {what}: epmapperd panicked; its log:\n{}",
            self.log.text()
        );
    }

    /// Sends SIGTERM and returns the exit status with the whole log.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        assert!(
            self.log.wait_for_end(),
            "epmapperd does not stop on SIGTERM; its log:\n{}",
            self.log.text()
        );
        (
            self.child.wait().expect("the daemon's exit status"),
            self.log.text(),
        )
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // Fails only when the process has ended by itself, which `wait` tells.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // What a failed test leaves behind need not end in good order.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a child process has written to one of its pipes, with a bell for every line.
#[derive(Clone)]
pub struct Log(Arc<(Mutex<Written>, Condvar)>);

/// The text so far, and whether more can come.
#[derive(Default)]
struct Written {
    text: String,
    ended: bool,
}

impl Log {
    /// Reads `pipe` to its end in a thread of its own.
    pub fn of(pipe: impl Read + Send + 'static) -> Log {
        let log = Log(Arc::default());
        let writer = log.clone();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                writer.change(|written| written.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            writer.change(|written| written.ended = true);
        });
        log
    }

    /// The text so far.
    pub fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Waits for `wanted`; false when the pipe ended or the deadline passed without it.
    pub fn wait_for(&self, wanted: &str) -> bool {
        self.wait_until(|written| written.ended || written.text.contains(wanted))
            .text
            .contains(wanted)
    }

    /// Waits for the `times`th `wanted`; false when the pipe ended or the deadline passed without it.
    pub fn wait_for_times(&self, wanted: &str, times: usize) -> bool {
        let are_there = |written: &Written| written.text.matches(wanted).count() >= times;
        are_there(&self.wait_until(|written| written.ended || are_there(written)))
    }

    /// Waits for the end of the pipe; false when the deadline passed first.
    pub fn wait_for_end(&self) -> bool {
        self.wait_until(|written| written.ended).ended
    }

    fn wait_until(&self, done: impl Fn(&Written) -> bool) -> MutexGuard<'_, Written> {
        let until = Instant::now() + DEADLINE;
        let mut written = self.lock();
        while !done(&written) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            written = self
                .0
                .1
                .wait_timeout(written, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        written
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // A test that failed while it held the lock must not hide its message behind a second one.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
