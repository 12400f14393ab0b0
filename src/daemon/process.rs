//! Tells when processes end, by the kernel's word.
//!
//! A descriptor of the process (pidfd) is held for as long as it is watched,
//! and a process with the id of one that ended is never taken for it: behind
//! the opening of the descriptor its start is compared. Where no more
//! descriptors may be had, `/proc` is read once a second instead, and nothing
//! is forgotten. Leaves out whose entries a process keeps.

use crate::registry::Process;
use crate::transport::process::Stat;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::warn;

/// From one look at a process without a descriptor to the next.
const LOOK: Duration = Duration::from_secs(1);

/// From one complaint in the log about missing descriptors to the next.
const COMPLAINT: Duration = Duration::from_secs(60);

/// The processes that are watched.
#[derive(Clone)]
pub struct Processes {
    /// What the watches share.
    shared: Arc<Shared>,
    /// Where the watches wait.
    runtime: Handle,
}

/// What the watches share.
struct Shared {
    /// Who hears that a process has ended.
    ended: Box<dyn Fn(Process) + Send + Sync>,
    /// A watch for each process.
    watches: Mutex<Watches>,
    /// Descriptors that may still be taken.
    room: AtomicUsize,
}

/// One watch for each process.
#[derive(Debug, Default)]
struct Watches {
    /// By process: the number of its watch, and what ends it.
    tasks: HashMap<Process, (u64, AbortHandle)>,
    /// The number of the last watch.
    last: u64,
    /// When the log last had a complaint about missing descriptors.
    complained: Option<Instant>,
}

impl Processes {
    /// None yet. `ended` is called in `runtime`, once for each watch whose
    /// process has ended, and never from within `watch`. At most `descriptors`
    /// are held; processes beyond that are looked at once a second.
    pub fn new(
        runtime: Handle,
        descriptors: usize,
        ended: impl Fn(Process) + Send + Sync + 'static,
    ) -> Processes {
        let shared = Shared {
            ended: Box::new(ended),
            watches: Mutex::default(),
            room: AtomicUsize::new(descriptors),
        };
        Processes {
            shared: Arc::new(shared),
            runtime,
        }
    }

    /// Watches a process until it ends; nothing more where it is watched.
    pub fn watch(&self, process: Process) {
        self.begin(process, None);
    }

    /// The same by a descriptor of it that the kernel gave (SO_PEERPIDFD), so
    /// that its start need not be compared.
    pub fn watch_by(&self, process: Process, pidfd: OwnedFd) {
        self.begin(process, Some(pidfd));
    }

    /// Watches a process no longer: nobody is told of its end.
    pub fn forget(&self, process: Process) {
        if let Some((_, task)) = self.shared.watches().tasks.remove(&process) {
            task.abort();
        }
    }

    /// How many are watched.
    pub fn len(&self) -> usize {
        self.shared.watches().tasks.len()
    }

    /// Whether none is watched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a watch unless there is one.
    fn begin(&self, process: Process, pidfd: Option<OwnedFd>) {
        let mut watches = self.shared.watches();
        if watches.tasks.contains_key(&process) {
            return;
        }
        watches.last += 1;
        let number = watches.last;
        let shared = self.shared.clone();
        // It cannot end before it is noted down: it needs the lock for that.
        let task = self.runtime.spawn(async move {
            shared.end_of(process, pidfd).await;
            if shared.strike(process, number) {
                (shared.ended)(process);
            }
        });
        watches.tasks.insert(process, (number, task.abort_handle()));
    }
}

impl Shared {
    /// The watches.
    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Strikes a watch off; `false` when it was forgotten.
    fn strike(&self, process: Process, number: u64) -> bool {
        let mut watches = self.watches();
        let is_it = |(found, _): &(u64, AbortHandle)| *found == number;
        let is_there = watches.tasks.get(&process).is_some_and(is_it);
        is_there && watches.tasks.remove(&process).is_some()
    }

    /// Waits until a process has ended.
    async fn end_of(&self, process: Process, mut pidfd: Option<OwnedFd>) {
        loop {
            match self.open(process, pidfd.take()) {
                Ok(Opened::Ended) => return,
                Ok(Opened::Alive(watched)) => match watched.readiness().await {
                    Ok(()) => return,
                    Err(error) => self.complain(&error),
                },
                Err(_) if has_ended(process) => return,
                Err(error) => self.complain(&error),
            }
            sleep(LOOK).await;
        }
    }

    /// Takes a descriptor of the process, or the one given.
    ///
    /// # Errors
    /// There is none to be had.
    fn open(&self, process: Process, pidfd: Option<OwnedFd>) -> io::Result<Opened<'_>> {
        let place = Place::take(&self.room).ok_or(io::ErrorKind::QuotaExceeded)?;
        let pidfd = match pidfd {
            Some(pidfd) => pidfd,
            None => match open(process)? {
                Some(pidfd) => pidfd,
                None => return Ok(Opened::Ended),
            },
        };
        // Deprecated for what may close its descriptor meanwhile; this one is owned.
        #[allow(deprecated)]
        let descriptor = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        Ok(Opened::Alive(Descriptor {
            descriptor,
            _place: place,
        }))
    }

    /// Logs that a process has no descriptor, unless it was logged shortly
    /// before.
    fn complain(&self, error: &io::Error) {
        let now = Instant::now();
        let mut watches = self.watches();
        let is_recent = |before| now.duration_since(before) < COMPLAINT;
        if !watches.complained.is_some_and(is_recent) {
            watches.complained = Some(now);
            warn!(%error, processes = watches.tasks.len(), "cannot hold a descriptor of each process; looking at the others once a second");
        }
    }
}

/// A place among the descriptors that may be held; dropped, it is free again.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    /// Takes one, where there is one.
    fn take(room: &AtomicUsize) -> Option<Place<'_>> {
        let less = |room: usize| room.checked_sub(1);
        room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .ok()
            .map(|_| Place(room))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A process, asked for by its id.
enum Opened<'a> {
    /// It has ended.
    Ended,
    /// It had not when its descriptor was opened.
    Alive(Descriptor<'a>),
}

/// A descriptor of a process, and the place that it takes.
struct Descriptor<'a> {
    /// Readable when the process has ended.
    descriptor: AsyncFd<OwnedFd>,
    /// Freed behind the descriptor.
    _place: Place<'a>,
}

impl Descriptor<'_> {
    /// Waits for the end.
    async fn readiness(&self) -> io::Result<()> {
        self.descriptor.readable().await.map(drop)
    }
}

/// A descriptor of a process; `None` when it has ended.
///
/// The start is compared behind the opening: when the process that has the id
/// then is the one looked for, it had the id all the time, and the descriptor
/// is of no other.
///
/// # Errors
/// What the system says when it gives no descriptor.
fn open(process: Process) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = pid(process) else {
        return Ok(None);
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok((started(process.pid)? == Some(process.started)).then_some(pidfd)),
        Err(error) if is_gone(&error.into()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a process is known to have ended, without a descriptor of it.
fn has_ended(process: Process) -> bool {
    match started(process.pid) {
        Ok(found) => found != Some(process.started),
        // Nothing may be opened any more: at least that its id is free can be told.
        Err(_) => pid(process)
            .is_none_or(|pid| test_kill_process(pid).is_err_and(|error| is_gone(&error.into()))),
    }
}

/// The id as the system takes it.
fn pid(process: Process) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process.pid).ok()?)
}

/// Whether an error says that there is no such process: none of this id, or
/// the id is a thread's.
fn is_gone(error: &io::Error) -> bool {
    const ENOENT: i32 = 2;
    const ESRCH: i32 = 3;
    const EINVAL: i32 = 22;
    matches!(error.raw_os_error(), Some(ENOENT | ESRCH | EINVAL))
}

/// When the process of this id started, in clock ticks since the host's start;
/// `None` when there is none, or it has ended and nobody has waited for it.
///
/// # Errors
/// The file cannot be read.
pub fn started(pid: u32) -> io::Result<Option<u64>> {
    match std::fs::read(format!("/proc/{pid}/stat")) {
        Ok(stat) => {
            let running = Stat::read(&stat).filter(|stat| !stat.has_ended);
            Ok(running.map(|stat| stat.started))
        }
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether processes of other users cannot be seen (`/proc` with hidepid), so
/// that they would look ended.
///
/// The first process of all is there as long as there is any.
///
/// # Source
/// proc(5), mount option hidepid.
pub fn others_are_hidden() -> bool {
    std::fs::read("/proc/1/stat").is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::resource::{Resource, setrlimit};
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc::{self, Receiver};
    use tokio::runtime::{Builder, Runtime};

    /// How long a test waits for what has to come.
    const GENEROUS: Duration = Duration::from_secs(60);

    /// A runtime that runs beside the test, what is watched in it, and who has
    /// ended.
    fn processes(descriptors: usize) -> (Runtime, Processes, Receiver<(Process, Instant)>) {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let (send, ended) = mpsc::channel();
        let hear = move |process| send.send((process, Instant::now())).unwrap();
        let processes = Processes::new(runtime.handle().clone(), descriptors, hear);
        (runtime, processes, ended)
    }

    /// A process that does nothing, killed with the test.
    struct Idle(Child);

    impl Idle {
        fn new() -> Idle {
            let mut command = Command::new("sleep");
            // It is not of the test's group, so that an interrupt leaves it to `drop`.
            let command = command.arg("1000").stdin(Stdio::null()).process_group(0);
            Idle(command.spawn().unwrap())
        }

        fn process(&self) -> Process {
            let pid = self.0.id();
            let started = started(pid).unwrap().unwrap();
            Process { pid, started }
        }

        /// Kills it with SIGKILL; nobody has waited for it then.
        fn kill(&mut self) {
            self.0.kill().unwrap();
        }
    }

    impl Drop for Idle {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Who ended.
    fn next(ended: &Receiver<(Process, Instant)>) -> Process {
        ended.recv_timeout(GENEROUS).unwrap().0
    }

    #[test]
    fn a_process_killed_is_told_once_however_often_it_was_asked_for() {
        let (_runtime, processes, ended) = processes(10);
        let mut idle = [Idle::new(), Idle::new()];
        let [first, second] = [idle[0].process(), idle[1].process()];
        for process in [first, first, second, first] {
            processes.watch(process);
        }
        assert_eq!(processes.len(), 2);
        idle[0].kill();
        assert_eq!(next(&ended), first);
        assert_eq!(processes.len(), 1);
        idle[1].kill();
        assert_eq!(next(&ended), second);
        assert!(processes.is_empty() && ended.try_recv().is_err());
    }

    #[test]
    fn a_process_that_has_ended_before_is_told() {
        let (_runtime, processes, ended) = processes(10);
        let mut idle = Idle::new();
        let process = idle.process();
        idle.kill();
        idle.0.wait().unwrap();
        processes.watch(process);
        assert_eq!(next(&ended), process);
        // No id at all, and none that there can be.
        for pid in [0, u32::MAX, i32::MAX as u32] {
            let process = Process { pid, started: 1 };
            processes.watch(process);
            assert_eq!(next(&ended), process);
        }
    }

    #[test]
    fn a_process_forgotten_is_not_told() {
        let (_runtime, processes, ended) = processes(10);
        let mut idle = [Idle::new(), Idle::new()];
        for idle in &idle {
            processes.watch(idle.process());
        }
        let [forgotten, watched] = [idle[0].process(), idle[1].process()];
        processes.forget(forgotten);
        idle.iter_mut().for_each(Idle::kill);
        assert_eq!(next(&ended), watched);
        assert!(processes.is_empty() && ended.try_recv().is_err());
    }

    #[test]
    fn another_process_of_the_same_id_keeps_nothing() {
        for descriptors in [10, 0] {
            let (_runtime, processes, ended) = processes(descriptors);
            let idle = Idle::new();
            let now = idle.process();
            let before = Process {
                started: now.started - 1,
                ..now
            };
            processes.watch(now);
            processes.watch(before);
            assert_eq!(next(&ended), before);
            assert_eq!(processes.len(), 1);
        }
    }

    #[test]
    fn a_process_id_used_again_keeps_nothing() {
        let namespace = ["-pf", "--mount-proc"];
        let tried = Command::new("unshare")
            .args(namespace)
            .arg("cat")
            .arg(LAST_PID)
            .stderr(Stdio::null())
            .output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            const WHY: &str = "there can be no namespace of process ids here";
            assert!(std::env::var_os("CI").is_none(), "{WHY}");
            // Not eprintln, of which nothing is seen when a test passes.
            let line = format!("SKIPPED: {WHY}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return;
        }
        let inside = "daemon::process::tests::inside_a_namespace";
        let output = Command::new("unshare")
            .args(namespace)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", inside, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("1 passed"), "{told}{output:?}");
    }

    /// Where the kernel takes the last process id that it gave.
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

    #[test]
    #[ignore = "changes which process ids the system gives; another test runs it in a namespace"]
    fn inside_a_namespace() {
        if std::process::id() != 1 {
            return;
        }
        let (_runtime, processes, ended) = processes(10);
        let before = Idle::new().process();
        // In another clock tick, and nobody else was given the id.
        let again = loop {
            std::fs::write(LAST_PID, (before.pid - 1).to_string()).unwrap();
            let again = Idle::new();
            if again.0.id() == before.pid && again.process() != before {
                break again;
            }
        };
        processes.watch(again.process());
        processes.watch(before);
        assert_eq!(next(&ended), before);
        assert_eq!(processes.len(), 1);
    }

    #[test]
    #[ignore = "measures: from SIGKILL to the word of it"]
    fn how_long_an_end_takes_to_be_told() {
        let (_runtime, processes, ended) = processes(10_000);
        let mut idle: Vec<_> = (0..500).map(|_| Idle::new()).collect();
        let asked = Instant::now();
        for idle in &idle {
            processes.watch(idle.process());
        }
        let asked = asked.elapsed() / 500;
        let mut times = Vec::new();
        for idle in &mut idle {
            let killed = Instant::now();
            idle.kill();
            times.push(ended.recv_timeout(GENEROUS).unwrap().1 - killed);
        }
        times.sort();
        println!("watch() {asked:?}");
        println!(
            "500 ends: median {:?}, p99 {:?}, most {:?}",
            times[250], times[495], times[499]
        );
    }

    #[test]
    fn a_thread_that_has_the_id_of_an_ended_process_keeps_nothing() {
        let (_runtime, processes, ended) = processes(10);
        let (send, id) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send.send(nix::unistd::gettid().as_raw()).unwrap();
            let _ = held.recv();
        });
        let pid = id.recv().unwrap() as u32;
        let started = started(pid).unwrap().unwrap();
        let process = Process { pid, started };
        processes.watch(process);
        assert_eq!(next(&ended), process);
        drop(hold);
        thread.join().unwrap();
    }

    #[test]
    fn a_process_is_watched_by_the_descriptor_that_the_kernel_gave() {
        let (_runtime, processes, ended) = processes(10);
        let mut idle = Idle::new();
        let raw = Pid::from_child(&idle.0);
        // Its start is not what is gone by.
        let process = Process {
            started: 1,
            ..idle.process()
        };
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).unwrap();
        processes.watch_by(process, pidfd);
        assert_eq!(processes.len(), 1);
        idle.kill();
        assert_eq!(next(&ended), process);
    }

    #[test]
    fn processes_beyond_the_descriptors_are_looked_at() {
        let (_runtime, processes, ended) = processes(1);
        let mut idle: Vec<_> = (0..5).map(|_| Idle::new()).collect();
        let mut watched: Vec<_> = idle.iter().map(Idle::process).collect();
        watched.iter().for_each(|process| processes.watch(*process));
        idle.iter_mut().for_each(Idle::kill);
        let mut told: Vec<_> = idle.iter().map(|_| next(&ended)).collect();
        told.sort();
        watched.sort();
        assert_eq!(told, watched);
        let room = &processes.shared.room;
        assert_eq!(room.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nothing_is_forgotten_where_no_descriptor_is_left() {
        let inside = "daemon::process::tests::without_descriptors";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", inside, "--ignored", "--nocapture"])
            .env(CHILD, "")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("told of both"), "{told}{output:?}");
    }

    /// Set where this program may use up its descriptors.
    const CHILD: &str = "EPMAPPER_TEST_DESCRIPTORS";

    #[test]
    #[ignore = "uses up all descriptors of its process; another test runs it in one of its own"]
    fn without_descriptors() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let (_runtime, processes, ended) = processes(10);
        let mut idle = [Idle::new(), Idle::new()];
        let [first, second] = [idle[0].process(), idle[1].process()];
        setrlimit(Resource::RLIMIT_NOFILE, 50, 50).unwrap();
        let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        processes.watch(first);
        processes.watch(second);
        // One that ends, and whose parent has waited for it, has no id any more.
        idle[0].kill();
        idle[0].0.wait().unwrap();
        assert_eq!(next(&ended), first);
        assert_eq!(processes.len(), 1);
        // One that its parent has not waited for is seen when files open again.
        idle[1].kill();
        drop(taken);
        assert_eq!(next(&ended), second);
        println!("told of both");
    }
}
