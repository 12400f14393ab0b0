//! What the kernel tells of processes, and whose facts they are.
//!
//! A process id alone says nothing for certain: its process may end and
//! another get the id. A pidfd stays with its process. So facts are read from
//! `/proc` by the id, and believed when the pidfd shows afterwards that its
//! process still runs: then the id was its own all the while.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::read;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Clock ticks of `/proc` in a second: USER_HZ, 100 wherever Rust runs on Linux.
const TICKS_PER_SECOND: u64 = 100;

/// A process, running or ended, that no later one is taken for.
#[derive(Debug)]
pub struct Process {
    /// Its id.
    pid: u32,
    /// What stays with it.
    pidfd: OwnedFd,
}

/// What was true of a process while it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When it started, in clock ticks since the host's start.
    pub started: u64,
    /// Its real, effective, saved and file system user ids.
    pub uids: [u32; 4],
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

/// What `/proc/PID/stat` tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// When it started, in clock ticks since the host's start.
    pub started: u64,
    /// Whether it has ended, and nobody has waited for it.
    pub has_ended: bool,
}

impl Stat {
    /// Reads the octets of the file; `None` when they are of another form.
    ///
    /// A process whose first thread has ended lives on in its other threads.
    ///
    /// Layout: pid, name in parentheses, then fields divided by spaces, of
    /// which the state is the 3rd of all, the number of threads the 20th and
    /// the start the 22nd. The name may hold any octet, parentheses too.
    ///
    /// # Source
    /// proc_pid_stat(5).
    pub fn read(stat: &[u8]) -> Option<Stat> {
        let name_end = stat.iter().rposition(|octet| *octet == b')')?;
        let behind_name = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
        let mut fields = behind_name.split_ascii_whitespace();
        let state = fields.next()?;
        let threads: u64 = fields.nth(20 - 3 - 1)?.parse().ok()?;
        let started = fields.nth(22 - 20 - 1)?.parse().ok()?;
        let has_ended = matches!(state, "Z" | "X" | "x") && threads <= 1;
        Some(Stat { started, has_ended })
    }
}

impl Process {
    /// The process of a pidfd that the kernel gave together with its id.
    pub fn new(pid: u32, pidfd: OwnedFd) -> Process {
        Process { pid, pidfd }
    }

    /// The process that has this id now.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn open(pid: u32) -> io::Result<Process> {
        let id = i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let id = id.ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty())?;
        Ok(Process { pid, pidfd })
    }

    /// What is true of it; `None` when it has ended, or may not be looked at.
    pub fn facts(&self) -> Option<Facts> {
        let facts = read_facts(self.pid)?;
        (!self.has_ended()).then_some(facts)
    }

    /// Whether it has ended; also when that cannot be told.
    pub fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        !matches!(poll(&mut watched, PollTimeout::ZERO), Ok(0))
    }
}

impl Facts {
    /// Whether the process was there at a time since the host's start.
    pub fn ran_at(&self, time: Duration) -> bool {
        let ticks = time.as_millis() / u128::from(1000 / TICKS_PER_SECOND);
        u128::from(self.started) <= ticks
    }
}

/// The facts of whichever process has this id.
fn read_facts(pid: u32) -> Option<Facts> {
    let stat = read(format!("/proc/{pid}/stat")).ok()?;
    let status = read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    Some(Facts {
        started: Stat::read(&stat)?.started,
        uids: numbers(&status, "Uid:")?.try_into().ok()?,
        groups: numbers(&status, "Groups:")?,
    })
}

/// The numbers of a line of `/proc/PID/status`; a name there has its own line
/// breaks written as `\n`.
///
/// # Source
/// proc_pid_status(5).
fn numbers(status: &str, name: &str) -> Option<Vec<u32>> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let numbers = line.split_ascii_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The octets of a `stat` file.
    fn stat(name: &[u8], state: char, threads: u32) -> Vec<u8> {
        let behind =
            format!(") {state} 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 {threads} 21 4711 23\n");
        [b"42 (", name, behind.as_bytes()].concat()
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        for name in [
            &b"a"[..],
            b"a b",
            b"a) Z 1 2 3",
            b") (",
            b"",
            b"\xff\xe2\x82",
        ] {
            let found = Stat::read(&stat(name, 'S', 1)).unwrap();
            assert_eq!((found.started, found.has_ended), (4711, false), "{name:?}");
        }
        for short in ["42 (a) S 1", "42 (a", ""] {
            assert_eq!(Stat::read(short.as_bytes()), None);
        }
    }

    #[test]
    fn a_process_has_ended_with_its_last_thread_and_not_with_its_first() {
        let has_ended = |state, threads| Stat::read(&stat(b"a", state, threads)).unwrap().has_ended;
        assert!(has_ended('Z', 1) && has_ended('X', 0));
        assert!(!has_ended('Z', 2) && !has_ended('S', 1));
    }

    #[test]
    fn a_status_has_its_lines_by_name() {
        let status = "Name:\tUid: 7\nUid:\t1\t2\t3\t4\nGroups:\t\n";
        assert_eq!(numbers(status, "Uid:"), Some(vec![1, 2, 3, 4]));
        assert_eq!(numbers(status, "Groups:"), Some(vec![]));
        assert_eq!(numbers(status, "Gid:"), None);
        assert_eq!(numbers("Uid:\tx", "Uid:"), None);
    }

    #[test]
    fn a_running_process_has_facts_and_an_ended_one_has_none() {
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let process = Process::open(child.id()).unwrap();
        let facts = process.facts().unwrap();
        assert_eq!(facts.uids, [nix::unistd::geteuid().as_raw(); 4]);
        let now = nix::time::ClockId::CLOCK_BOOTTIME.now().unwrap();
        assert!(facts.ran_at(now.into()));
        assert!(!facts.ran_at(Duration::ZERO));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(process.has_ended());
        assert_eq!(process.facts(), None);
        assert!(Process::open(child.id()).is_err());
        assert!(Process::open(0).is_err());
    }

    #[test]
    fn a_process_whose_parent_has_not_asked_for_it_has_ended_too() {
        let mut child = Command::new("true").spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        let mut watched = [PollFd::new(process.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::NONE).unwrap();
        // Its id and its line of /proc are still there.
        assert!(read_facts(child.id()).is_some());
        assert_eq!(process.facts(), None);
        child.wait().unwrap();
    }
}
