//! Finds and runs programs that other people wrote.
//!
//! A program that is missing fails the test where `CI` is set, and skips it loudly elsewhere.

#![allow(dead_code)] // each test binary takes the half that it needs

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::daemon::{DEADLINE, Log};

/// Where the Python of Debian lives: python3-samba belongs to no other.
pub const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Both outputs, for programs that say things here and there.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Fails the test unless the program ended with 0.
    #[track_caller]
    pub fn assert_success(&self) {
        assert!(
            self.status.success(),
            "ended with {}\nstdout:\n{}\nstderr:\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
    }
}

/// The path of a program, looked for in `PATH`.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.or_else(|| missing(name))
}

/// A program of the virtual environment with impacket that `tests/run` sets up.
pub fn find_in_environment(name: &str) -> Option<PathBuf> {
    let folder = env::var_os("EPMAPPER_VENV").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv"),
        PathBuf::from,
    );
    let file = folder.join("bin").join(name);
    if file.is_file() {
        Some(file)
    } else {
        missing(&file.display().to_string())
    }
}

/// Debian's Python, when it has Samba's bindings.
pub fn find_python_samba() -> Option<PathBuf> {
    let python = Path::new(SYSTEM_PYTHON);
    let has_samba = python.is_file()
        && run(python, &["-c", "import samba.dcerpc"], "")
            .status
            .success();
    if has_samba {
        Some(python.to_path_buf())
    } else {
        missing("python3-samba")
    }
}

/// A file or folder that a Debian package brings.
pub fn find_file(path: &str) -> Option<&Path> {
    let file = Path::new(path);
    if file.exists() {
        Some(file)
    } else {
        missing(path)
    }
}

/// A helper script beside this file.
pub fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(name)
        .display()
        .to_string()
}

fn missing<T>(what: &str) -> Option<T> {
    assert!(
        env::var_os("CI").is_none(),
        "{what} is missing: `tests/run setup` installs it"
    );
    // Not eprintln, which the test harness keeps to itself when a test passes.
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: {what} is missing: `tests/run setup` installs it"
    );
    None
}

/// Runs a program to its end with `input` on its standard input.
#[track_caller]
pub fn run(program: &Path, arguments: &[&str], input: &str) -> Finished {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    feed(&mut child, input);
    let stdout = Log::of(child.stdout.take().expect("stdout is a pipe"));
    let stderr = Log::of(child.stderr.take().expect("stderr is a pipe"));
    let ended = stdout.wait_for_end() && stderr.wait_for_end();
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().expect("the program's exit status");
    let (stdout, stderr) = (stdout.text(), stderr.text());
    assert!(
        ended,
        "{} {arguments:?} has not ended within {DEADLINE:?}; it wrote, last:\n{}\n{}",
        program.display(),
        tail(&stdout),
        tail(&stderr)
    );
    Finished {
        status,
        stdout,
        stderr,
    }
}

/// The last lines: what runs for ever may have written much.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Writes to the child from a thread, so that neither waits for the other.
fn feed(child: &mut Child, input: &str) {
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_owned();
    // A child that does not read its input closes the pipe: no failure of ours.
    thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
}

/// Waits for what a thread sends.
#[track_caller]
pub fn wait<T>(receiver: &mpsc::Receiver<T>, what: &str) -> T {
    receiver
        .recv_timeout(DEADLINE)
        .unwrap_or_else(|error| panic!("{what}: {error}"))
}
