//! `epmapperd` with any arguments, on ports that the system chooses.
//!
//! The test's crate has `support/daemon.rs` beside this, for its `Log`.

#![allow(dead_code)] // each test binary takes the half that it needs

use crate::daemon::{DEADLINE, Log};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A listener on a port that the system chooses.
pub const ANY_PORT: &str = "ncacn_ip_tcp:127.0.0.1[0]";

/// The program under test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epmapperd"));
    command.stdin(Stdio::null());
    command
}

/// A file with the text of a configuration; the folder goes with the value.
pub struct ConfigFile(TempDir);

impl ConfigFile {
    pub fn new(text: &str) -> ConfigFile {
        let file = ConfigFile(TempDir::new().unwrap());
        file.write(text);
        file
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    /// Sets who may enter the folder.
    pub fn open_folder_to(&self, mode: u32) {
        std::fs::set_permissions(self.0.path(), Permissions::from_mode(mode)).unwrap();
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("epmapperd.toml")
    }
}

/// A running `epmapperd`; killed when dropped.
pub struct Run {
    child: Child,
    pub log: Log,
}

/// How a daemon ended.
pub struct Ended {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote to standard error.
    pub log: String,
    /// From the signal to the end.
    pub after: Duration,
}

impl Run {
    /// Starts it with a configuration on a port that the system chooses.
    pub fn with_config(file: &ConfigFile) -> Run {
        let mut command = program();
        command.arg("--config").arg(file.path());
        Run::spawn(command.args(["--listen", ANY_PORT]))
    }

    /// Starts it and returns when it serves.
    pub fn spawn(command: &mut Command) -> Run {
        let run = Run::listening(command);
        run.expect("serving");
        run
    }

    /// Starts it and returns when it has told where it listens first. Whose command says nothing of a
    /// state keeps none, not that of the host.
    pub fn listening(command: &mut Command) -> Run {
        if !command.get_args().any(|arg| arg == "--state") {
            command.args(["--state", "none"]);
        }
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let run = Run { child, log };
        run.expect("listening on ");
        run
    }

    /// Where it listens, in the order that it says.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let log = self.log.text();
        let said = log
            .lines()
            .filter_map(|line| line.strip_prefix("listening on ncacn_ip_tcp:"));
        said.map(|text| {
            let (address, port) = text.strip_suffix(']').unwrap().rsplit_once('[').unwrap();
            SocketAddr::new(address.parse().unwrap(), port.parse().unwrap())
        })
        .collect()
    }

    /// Where it listens first.
    pub fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// A line of `/proc/PID/status`, without its name.
    pub fn status(&self, name: &str) -> String {
        status(&PathBuf::from(format!("/proc/{}", self.child.id())), name)
    }

    /// The same of each of its threads.
    pub fn every_thread(&self, name: &str) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        threads
            .map(|thread| status(&thread.unwrap().path(), name))
            .collect()
    }

    /// How many of its descriptors are of a kind, as `/proc` names it.
    pub fn descriptors(&self, kind: &str) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let named = open.filter_map(|open| open.ok()?.path().read_link().ok());
        named
            .filter(|name| name.to_string_lossy().contains(kind))
            .count()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        // The kernel takes its time to stop a process.
        if signal == Signal::SIGSTOP {
            let state = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WUNTRACED)).unwrap();
            assert!(matches!(state, WaitStatus::Stopped(..)), "{state:?}");
        }
    }

    /// Waits for a line that holds `wanted`.
    pub fn expect(&self, wanted: &str) {
        assert!(
            self.log.wait_for(wanted),
            "no `{wanted}`; log:\n{}",
            self.log.text()
        );
    }

    /// Sends a signal and waits for the end.
    pub fn end(mut self, signal: Signal) -> Ended {
        let start = Instant::now();
        self.signal(signal);
        assert!(
            self.log.wait_for_end(),
            "does not end; log:\n{}",
            self.log.text()
        );
        let after = start.elapsed();
        let code = self.child.wait().unwrap().code();
        Ended {
            code,
            log: self.log.text(),
            after,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A line of `status` in a folder of `/proc`, without its name.
fn status(folder: &Path, name: &str) -> String {
    let status = std::fs::read_to_string(folder.join("status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command that ends by itself.
pub fn output(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let output = receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| {
        let _ = kill(pid, Signal::SIGKILL);
        panic!("the command does not end");
    });
    waiter.join().unwrap().unwrap();
    output
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
