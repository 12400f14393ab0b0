//! Asks servers whether they are there, on a thread of its own.
//!
//! The thread that serves calls is never waited for here, nor does it wait: it
//! keeps the book of what is due, and hears what was found. Leaves out which
//! entries are probed and when: `registry::probes`. What always holds: every
//! probe that was taken from the book is answered, at its deadline at the
//! latest.

use super::addresses::Addresses;
use crate::client::{ClientError, Encoding, Failure, Management};
use crate::proto::ProtocolError;
use crate::registry::{Probe, Target, Verdict};
use crate::wire::ByteOrder;
use crate::wire::binding::Binding;
use crate::wire::pdu::PacketType;
use crate::wire::tower::ProtocolSequence;
use nix::errno::Errno;
use std::collections::{BTreeSet, HashMap};
use std::future::pending;
use std::io;
use std::iter;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::{Notify, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep_until;
use tracing::{debug, warn};

/// Servers that are asked at the same time, where nobody says otherwise; each
/// takes one descriptor.
pub const AT_ONCE: usize = 256;

/// From one complaint in the log that this host cannot ask to the next.
const COMPLAINT: Duration = Duration::from_secs(60);

/// Addresses of this host at which an open endpoint is asked besides the first.
const OTHER_ADDRESSES: usize = 8;

/// How a probe writes its call: what every server reads.
const ENCODING: Encoding = Encoding::Ndr(ByteOrder::Little);

/// What is to be probed, and who hears about it. Its methods are called on the
/// prober's thread.
pub trait Book: Send + Sync + 'static {
    /// Takes at most `most` probes that are due at `now`.
    fn due(&self, now: Instant, most: usize) -> Vec<Probe>;

    /// Hears what a probe has found; called once for each that was taken.
    fn answered(&self, now: Instant, target: Target, verdict: Verdict);

    /// When the next probe is due; `None` while there is none to wait for.
    fn next_due(&self) -> Option<Instant>;
}

/// The thread that probes; dropped, it ends, and what is under way is left
/// unanswered.
#[derive(Debug)]
pub struct Prober {
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl Prober {
    /// Probes what `book` says, at most `at_once` servers at a time. Whoever
    /// makes a probe due earlier than the book said before notifies `changed`.
    ///
    /// # Errors
    /// What the system says when it gives no thread or no runtime.
    pub fn start(book: Arc<dyn Book>, changed: Arc<Notify>, at_once: usize) -> io::Result<Prober> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = run(&*book, &changed, at_once.max(1)) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Prober { _stop: stop })
    }
}

/// Probes without end.
async fn run(book: &dyn Book, changed: &Notify, at_once: usize) {
    let mut running = Running::default();
    loop {
        for probe in book.due(Instant::now(), at_once - running.len()) {
            running.begin(probe);
        }
        // While there is no room for more, nothing is due.
        let has_room = running.len() < at_once;
        let next = has_room.then(|| book.next_due()).flatten();
        tokio::select! {
            (target, verdict) = running.next() => book.answered(Instant::now(), target, verdict),
            () = changed.notified() => {}
            () = until(next) => {}
        }
    }
}

/// Waits until then, for ever when there is no then.
async fn until(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next.into()).await,
        None => pending().await,
    }
}

/// The probes under way.
#[derive(Default)]
struct Running {
    /// What they will have found.
    tasks: JoinSet<Finding>,
    /// Whom each of them asks.
    targets: HashMap<Id, Target>,
    /// Where an open endpoint may be.
    addresses: Arc<Addresses>,
    /// When the log last had a complaint that this host cannot ask.
    complained: Option<Instant>,
}

/// What a probe has found: what a server is, or why it is not known.
type Finding = Result<Verdict, ClientError>;

impl Running {
    /// How many there are.
    fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Begins one.
    fn begin(&mut self, probe: Probe) {
        let task = self.tasks.spawn(ask(probe, self.addresses.clone()));
        self.targets.insert(task.id(), probe.target);
    }

    /// Waits for the next one to end, for ever when there is none.
    async fn next(&mut self) -> (Target, Verdict) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                pending().await
            };
            let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            if let Some(target) = self.targets.remove(&id) {
                return (target, self.judge(target, ended.map(|(_, found)| found)));
            }
        }
    }

    /// What came of a probe, told in the log where it is not that a server is
    /// there.
    fn judge(&mut self, target: Target, ended: Result<Finding, JoinError>) -> Verdict {
        let verdict = ended.as_ref().map_or(Verdict::Unknown, verdict_of);
        let error = match ended {
            Ok(Ok(_)) => "it says that it does not listen".to_owned(),
            Ok(Err(error)) => error.to_string(),
            // It panicked, which tells nothing about the server.
            Err(error) => error.to_string(),
        };
        match verdict {
            Verdict::Alive => {}
            Verdict::Dead => debug!(%target, error, "probe failed"),
            Verdict::Unknown => self.complain(target, &error),
        }
        verdict
    }

    /// Logs that this host cannot ask, unless it was logged shortly before.
    fn complain(&mut self, target: Target, error: &str) {
        let now = Instant::now();
        let is_recent = |before| now.duration_since(before) < COMPLAINT;
        if !self.complained.is_some_and(is_recent) {
            self.complained = Some(now);
            warn!(%target, error, "cannot probe; the entries stay, and it is tried again");
        }
    }
}

/// Asks a server whether it is there; one that may be at any address of this
/// host, until it is found or the time is over.
async fn ask(probe: Probe, addresses: Arc<Addresses>) -> Finding {
    let Probe { target, timeout } = probe;
    let deadline = tokio::time::Instant::now() + timeout;
    let first = ask_at(target.address(), deadline).await;
    if target.is_open() && is_dead(&first) {
        for other in others(target.address(), &addresses.all()) {
            if tokio::time::Instant::now() >= deadline {
                break;
            }
            let found = ask_at(other, deadline).await;
            if !is_dead(&found) {
                return found;
            }
        }
    }
    first
}

/// Where a server is asked that is not at `first`: on the loopback, then at a
/// bounded number of this host's other addresses.
fn others(first: SocketAddrV4, all: &BTreeSet<Ipv4Addr>) -> Vec<SocketAddrV4> {
    let listed = all.iter().copied();
    let listed = listed.filter(|address| *address != Ipv4Addr::LOCALHOST);
    iter::once(Ipv4Addr::LOCALHOST)
        .chain(listed)
        .filter(|address| address != first.ip())
        .take(OTHER_ADDRESSES)
        .map(|address| SocketAddrV4::new(address, first.port()))
        .collect()
}

/// Whether a probe has found no server.
fn is_dead(found: &Finding) -> bool {
    verdict_of(found) == Verdict::Dead
}

/// What a probe tells about a server.
fn verdict_of(found: &Finding) -> Verdict {
    match found {
        Ok(verdict) => *verdict,
        Err(error) => verdict(&error.failure),
    }
}

/// Asks a server whether it listens: connects, binds to its management, calls.
///
/// Whoever takes the bind is there, whatever comes of the call, unless it says
/// that it does not listen.
///
/// # Source
/// C706 appendix Q, `rpc__mgmt_is_server_listening`; the DCE reference asks so.
async fn ask_at(address: SocketAddrV4, deadline: tokio::time::Instant) -> Finding {
    let binding = binding(address);
    let mut management = Management::connect(&binding, ENCODING, deadline).await?;
    Ok(match management.is_server_listening().await {
        Ok(false) => Verdict::Dead,
        _ => Verdict::Alive,
    })
}

/// The string binding of an address.
fn binding(address: SocketAddrV4) -> Binding {
    Binding {
        address: address.ip().to_string(),
        endpoint: address.port().to_string(),
        ..Binding::new(ProtocolSequence::NcacnIpTcp)
    }
}

/// What it tells about a server that its bind failed.
///
/// Any answer of RPC's says that a server is there, a refusal too: many do not
/// offer their management. What does not speak RPC has taken its port.
fn verdict(failure: &Failure) -> Verdict {
    match failure {
        Failure::Unreachable(attempts) => {
            let lacking = attempts.iter().any(|attempt| is_lack(&attempt.error));
            if lacking {
                Verdict::Unknown
            } else {
                Verdict::Dead
            }
        }
        Failure::Broken(error) if is_lack(error) => Verdict::Unknown,
        Failure::Broken(_) | Failure::Closed | Failure::Timeout => Verdict::Dead,
        Failure::Protocol(ProtocolError::Frame(_)) => Verdict::Dead,
        // Its own octets come back to the probe.
        Failure::Protocol(ProtocolError::Unexpected(PacketType::BIND)) => Verdict::Dead,
        Failure::ProtocolSequence(_) | Failure::Port(_) | Failure::Name { .. } => Verdict::Unknown,
        _ => Verdict::Alive,
    }
}

/// Whether this host is in the way of a connection: it lacks descriptors,
/// memory or ports of its own, or forbids it.
fn is_lack(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(
        code,
        Some(
            Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOBUFS
                | Errno::ENOMEM
                | Errno::EADDRNOTAVAIL
                | Errno::EAGAIN
                | Errno::EPERM
                | Errno::EACCES
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::{Answer, Fake, response};
    use crate::client::{Attempt, Peer, Step};
    use crate::registry::Owner;
    use crate::registry::samples::{ECHO, tcp};
    use crate::registry::{EntryId, ProbeSettings, Probes, Table};
    use crate::server::{self, Limits, Mapper, MapperSettings, Server};
    use crate::service::Conversation;
    use crate::transport::{Listener, tcp};
    use crate::wire::mgmt::IsServerListeningResponse;
    use crate::wire::status::{ProviderReason, RejectReason};
    use crate::wire::{EptStatus, FaultStatus};
    use nix::sys::resource::{Resource, Usage, UsageWho, getrusage, setrlimit};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    use socket2::{Domain, Socket, Type};
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::sync::Mutex;
    use std::sync::mpsc::{self, Receiver, Sender};
    use tokio::sync::watch;
    use uuid::Uuid;

    /// How long a test waits for what has to come.
    const GENEROUS: Duration = Duration::from_secs(60);

    /// How long a probe waits for what never comes; nothing depends on it.
    const SOON: Duration = Duration::from_millis(300);

    /// Any port of the loopback.
    const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

    /// An address as a target.
    fn target(address: SocketAddr) -> Target {
        match address {
            SocketAddr::V4(address) => address.into(),
            SocketAddr::V6(_) => panic!("no target"),
        }
    }

    /// A mapper that serves on a thread of its own until the end of the test.
    fn serving() -> Target {
        serving_at(Ipv4Addr::LOCALHOST)
    }

    /// The same at an address of the loopback.
    fn serving_at(address: Ipv4Addr) -> Target {
        let binding = binding(SocketAddrV4::new(address, 0));
        let listener = tcp::Listener::bind(&binding).unwrap();
        let address = listener.address();
        let listener = Listener::Tcp(listener);
        let (mapper, _) = Mapper::new(MapperSettings::new(Conversation::Windows, 10));
        let (interfaces, statistics) = (mapper.interfaces(), mapper.statistics());
        let server = Server::new(
            interfaces,
            Vec::new(),
            Vec::new(),
            Limits::default(),
            statistics,
        );
        thread::spawn(move || {
            let mut builder = runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            let (_stop, stopped) = watch::channel(false);
            runtime.block_on(server::serve(listener, server, stopped))
        });
        target(address)
    }

    /// A server that does this with each connection.
    fn with_each(serve: impl Fn(TcpStream) + Send + 'static) -> Target {
        let listener = TcpListener::bind(ANY).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.incoming().flatten().for_each(serve));
        target(address)
    }

    /// A socket of this address that does not listen yet.
    fn bound(address: SocketAddrV4) -> (Socket, Target) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(address).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, target(address))
    }

    /// A socket whose queue is full: the kernel answers no SYN. What holds it.
    fn silent(address: SocketAddrV4) -> (Socket, TcpStream, Target) {
        let (socket, target) = bound(address);
        socket.listen(0).unwrap();
        let port = target.address().port();
        let queued = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        (socket, queued, target)
    }

    /// What a probe finds out.
    async fn found(target: Target, timeout: Duration) -> Verdict {
        let found = ask(Probe { target, timeout }, Arc::default()).await;
        verdict_of(&found)
    }

    /// What a probe finds out about a server for tests.
    async fn found_of(fake: Fake) -> Verdict {
        let binding = &fake.binding;
        let address = format!("{}:{}", binding.address, binding.endpoint);
        found(target(address.parse().unwrap()), GENEROUS).await
    }

    /// A server that accepts its management and answers calls so.
    fn management(mut answer: impl FnMut() -> Answer + Send + 'static) -> Fake {
        Fake::bound(move |_, _| answer())
    }

    /// A server that says whether it listens.
    fn says(listening: bool) -> Fake {
        let status = EptStatus::OK;
        let told = IsServerListeningResponse { status, listening };
        Fake::bound(move |_, stub| response(&stub, |out| told.encode(out)))
    }

    #[tokio::test]
    async fn whoever_answers_in_rpc_is_alive_unless_it_does_not_listen() {
        assert_eq!(found(serving(), GENEROUS).await, Verdict::Alive);
        assert_eq!(found_of(says(true)).await, Verdict::Alive);
        assert_eq!(found_of(says(false)).await, Verdict::Dead);
        let fault = management(|| Answer::Fault(FaultStatus::ACCESS_DENIED));
        assert_eq!(found_of(fault).await, Verdict::Alive);
        assert_eq!(found_of(management(|| Answer::Close)).await, Verdict::Alive);
        let no_management = ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED;
        for answer in [
            || Answer::Nak(RejectReason::NOT_SPECIFIED),
            || Answer::Fault(FaultStatus::ACCESS_DENIED),
        ] {
            assert_eq!(
                found_of(Fake::serve(move |_| answer())).await,
                Verdict::Alive
            );
        }
        let rejects = Fake::serve(move |_| Answer::Reject(no_management));
        assert_eq!(found_of(rejects).await, Verdict::Alive);
    }

    #[tokio::test]
    async fn whoever_refuses_closes_or_resets_is_dead() {
        let (_refuses, refusing) = bound(ANY);
        assert_eq!(found(refusing, GENEROUS).await, Verdict::Dead);
        assert_eq!(found(with_each(drop), GENEROUS).await, Verdict::Dead);
        let reset = with_each(|stream| {
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        });
        assert_eq!(found(reset, GENEROUS).await, Verdict::Dead);
    }

    #[tokio::test]
    async fn a_server_that_may_be_anywhere_is_asked_at_this_hosts_other_addresses() {
        let [elsewhere, nowhere] = [3, 4].map(|last| Ipv4Addr::new(127, 0, 0, last));
        let port = serving_at(elsewhere).address().port();
        let addresses = Arc::new(Addresses::fixed(&[nowhere, Ipv4Addr::LOCALHOST, elsewhere]));
        let found = async |target| {
            let timeout = GENEROUS;
            verdict_of(&ask(Probe { target, timeout }, addresses.clone()).await)
        };
        let open = Target::of(&tcp(ECHO, port), |_| false).unwrap();
        assert_eq!(found(open).await, Verdict::Alive);
        // At 127.0.0.1 alone, it is not.
        assert_eq!(found(open.address().into()).await, Verdict::Dead);
    }

    #[test]
    fn other_addresses_are_asked_once_each_the_loopback_first_and_not_too_many() {
        let [first, loopback] = ["127.0.0.9", "127.0.0.1"].map(|text| text.parse().unwrap());
        let listed = (0..20).map(|last| Ipv4Addr::new(10, 0, 0, last));
        let all: BTreeSet<_> = listed.chain([first, loopback]).collect();
        let asked = others(SocketAddrV4::new(first, 7), &all);
        assert_eq!(asked.len(), OTHER_ADDRESSES);
        assert_eq!(asked[0], SocketAddrV4::new(loopback, 7));
        assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
        assert!(asked.iter().all(|address| *address.ip() != first));
    }

    #[tokio::test]
    async fn whoever_speaks_something_else_is_dead() {
        let http = with_each(|mut stream| {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        });
        assert_eq!(found(http, GENEROUS).await, Verdict::Dead);
        let echo = with_each(|mut stream| {
            let mut octets = [0; 1000];
            while let Ok(count @ 1..) = stream.read(&mut octets) {
                let _ = stream.write_all(&octets[..count]);
            }
        });
        assert_eq!(found(echo, GENEROUS).await, Verdict::Dead);
    }

    #[tokio::test]
    async fn whoever_never_answers_is_dead_at_the_deadline() {
        let listener = TcpListener::bind(ANY).unwrap();
        let accepts = target(listener.local_addr().unwrap());
        assert_eq!(found(accepts, SOON).await, Verdict::Dead);
        let (_socket, _queued, silent) = silent(ANY);
        assert_eq!(found(silent, SOON).await, Verdict::Dead);
        // The bind taken is an answer, though the call is not answered.
        let Fake { binding, .. } = &management(|| Answer::Silence);
        let address: SocketAddr = format!("127.0.0.1:{}", binding.endpoint).parse().unwrap();
        assert_eq!(found(target(address), SOON).await, Verdict::Alive);
    }

    #[test]
    fn what_this_host_lacks_tells_nothing_about_a_server() {
        // EMFILE, ENFILE, ENOBUFS, EADDRNOTAVAIL; ECONNREFUSED, EHOSTUNREACH.
        for (code, expected) in [
            (24, Verdict::Unknown),
            (23, Verdict::Unknown),
            (105, Verdict::Unknown),
            (99, Verdict::Unknown),
            (111, Verdict::Dead),
            (113, Verdict::Dead),
        ] {
            let error = || io::Error::from_raw_os_error(code);
            assert_eq!(verdict(&Failure::Broken(error())), expected);
            let attempt = Attempt {
                peer: Peer::Network(ANY.into()),
                error: error(),
            };
            let failure = Failure::Unreachable(vec![attempt]);
            let error = ClientError::new(Step::Connect, failure);
            let mut running = Running::default();
            let judged = running.judge(ANY.into(), Ok(Err(error)));
            assert_eq!(
                (judged, running.complained.is_some()),
                (expected, expected == Verdict::Unknown)
            );
        }
    }

    #[test]
    fn a_probe_without_a_descriptor_tells_nothing_about_a_server() {
        let inside = "daemon::probe::tests::without_descriptors";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", inside, "--ignored", "--nocapture"])
            .env(SERVER, serving().to_string())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            told.contains("found Alive, then Unknown"),
            "{told}{output:?}"
        );
    }

    /// Whom a program that has used up its descriptors is to ask.
    const SERVER: &str = "EPMAPPER_TEST_SERVER";

    #[tokio::test]
    #[ignore = "uses up all descriptors of its process; another test runs it in one of its own"]
    async fn without_descriptors() {
        let Ok(server) = std::env::var(SERVER) else {
            return;
        };
        let server = target(server.parse().unwrap());
        let before = found(server, GENEROUS).await;
        setrlimit(Resource::RLIMIT_NOFILE, 50, 50).unwrap();
        let _taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        println!("found {before:?}, then {:?}", found(server, GENEROUS).await);
    }

    /// What a probe found about a target, and whose entries are dead.
    type Heard = (Target, Verdict, Vec<EntryId>);

    /// A book of targets, for tests: tells what was found and who died.
    struct Fixture {
        probes: Mutex<Probes>,
        /// What is under way, and the most that ever was.
        under_way: Mutex<(usize, usize)>,
        heard: Sender<Heard>,
        changed: Arc<Notify>,
    }

    impl Book for Fixture {
        fn due(&self, now: Instant, most: usize) -> Vec<Probe> {
            let due = self.probes.lock().unwrap().due(now, most);
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += due.len();
            under_way.1 = under_way.1.max(under_way.0);
            due
        }

        fn answered(&self, now: Instant, target: Target, verdict: Verdict) {
            let dead = self.probes.lock().unwrap().answered(now, target, verdict);
            self.under_way.lock().unwrap().0 -= 1;
            let _ = self.heard.send((target, verdict, dead));
        }

        fn next_due(&self) -> Option<Instant> {
            self.probes.lock().unwrap().next_due()
        }
    }

    impl Fixture {
        /// An empty book whose prober runs.
        fn start(
            settings: ProbeSettings,
            at_once: usize,
        ) -> (Arc<Fixture>, Prober, Receiver<Heard>) {
            let (heard, hear) = mpsc::channel();
            let fixture = Arc::new(Fixture {
                probes: Mutex::new(Probes::new(settings)),
                under_way: Mutex::default(),
                heard,
                changed: Arc::default(),
            });
            let changed = fixture.changed.clone();
            let prober = Prober::start(fixture.clone(), changed, at_once).unwrap();
            (fixture, prober, hear)
        }

        /// Has a target probed.
        fn add(&self, id: EntryId, target: Target) {
            let mut probes = self.probes.lock().unwrap();
            probes.add(Instant::now(), id, Owner::ROOT, target);
            drop(probes);
            self.changed.notify_one();
        }
    }

    /// As many entry numbers.
    fn ids(count: u16) -> Vec<EntryId> {
        let mut table = Table::new(Uuid::nil(), count.into());
        let insert = |port| table.insert(tcp(ECHO, port)).unwrap();
        (1..=count).map(insert).collect()
    }

    /// Waits for what was found about a target.
    fn wait<T>(
        hear: &Receiver<Heard>,
        mut told: impl FnMut(Target, Verdict, Vec<EntryId>) -> Option<T>,
    ) -> T {
        loop {
            let (target, verdict, dead) = hear.recv_timeout(GENEROUS).unwrap();
            if let Some(told) = told(target, verdict, dead) {
                return told;
            }
        }
    }

    /// Settings that a test can wait for.
    fn short() -> ProbeSettings {
        ProbeSettings {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 2,
            at_once: usize::MAX,
        }
    }

    /// Set where this program is to be a server.
    const SERVE: &str = "EPMAPPER_TEST_SERVE";

    /// This program as a server of its own, for what is done to processes.
    struct Process {
        child: Child,
        target: Target,
    }

    impl Process {
        fn start() -> Process {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let mut child = command
                .args([
                    "--exact",
                    "daemon::probe::tests::serve",
                    "--ignored",
                    "--nocapture",
                ])
                .env(SERVE, "")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut told = lines.map_while(Result::ok);
            let address = told.find_map(|line| line.split_once("serving at ")?.1.parse().ok());
            let target = target(address.unwrap());
            Process { child, target }
        }

        fn signal(&self, signal: Signal) {
            kill(self.pid(), signal).unwrap();
        }

        /// Stops it. A stopped process answers nothing; one that has only been
        /// sent the signal may.
        fn stop(&self) {
            self.signal(Signal::SIGSTOP);
            let state = waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
            assert_eq!(state, WaitStatus::Stopped(self.pid(), Signal::SIGSTOP));
        }

        fn pid(&self) -> Pid {
            Pid::from_raw(self.child.id() as i32)
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    #[ignore = "serves until its standard input ends; other tests run it"]
    fn serve() {
        if std::env::var_os(SERVE).is_none() {
            return;
        }
        println!("\nserving at {}", serving());
        let _ = io::stdin().read_to_end(&mut Vec::new());
    }

    #[test]
    fn a_server_that_is_stopped_is_dead_and_others_are_asked_meanwhile() {
        let (book, _prober, hear) = Fixture::start(short(), AT_ONCE);
        let ids = ids(2);
        let other = serving();
        let stopped = Process::start();
        book.add(ids[0], other);
        book.add(ids[1], stopped.target);
        wait(&hear, |target, verdict, _| {
            (target == stopped.target && verdict == Verdict::Alive).then_some(())
        });
        stopped.stop();
        let mut answers = 0;
        let dead = wait(&hear, |target, verdict, dead| {
            answers += u32::from((target, verdict) == (other, Verdict::Alive));
            (target == stopped.target && !dead.is_empty()).then_some(dead)
        });
        assert_eq!(dead, [ids[1]]);
        assert!(answers > 0);
    }

    #[test]
    fn a_server_that_is_killed_is_dead() {
        let (book, _prober, hear) = Fixture::start(short(), AT_ONCE);
        let id = ids(1)[0];
        let killed = Process::start();
        book.add(id, killed.target);
        wait(&hear, |_, verdict, _| {
            (verdict == Verdict::Alive).then_some(())
        });
        killed.signal(Signal::SIGKILL);
        let dead = wait(&hear, |_, _, dead| (!dead.is_empty()).then_some(dead));
        assert_eq!(dead, [id]);
    }

    #[test]
    fn a_stopped_server_that_goes_on_in_time_stays() {
        let settings = ProbeSettings {
            failures: 1_000,
            interval: Duration::from_secs(100),
            ..short()
        };
        let (book, _prober, hear) = Fixture::start(settings, AT_ONCE);
        let server = Process::start();
        server.stop();
        book.add(ids(1)[0], server.target);
        wait(&hear, |_, verdict, _| {
            (verdict == Verdict::Dead).then_some(())
        });
        server.signal(Signal::SIGCONT);
        wait(&hear, |_, verdict, dead| {
            assert!(dead.is_empty());
            (verdict == Verdict::Alive).then_some(())
        });
    }

    #[test]
    fn no_more_servers_are_asked_at_once_than_said() {
        let settings = ProbeSettings {
            timeout: Duration::from_millis(50),
            failures: 1,
            ..short()
        };
        let (book, _prober, hear) = Fixture::start(settings, 3);
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let (_socket, _queued, silent) = silent(any);
        let mut alive: BTreeSet<EntryId> = BTreeSet::new();
        for (id, last) in ids(20).into_iter().zip(1..) {
            let address = Ipv4Addr::new(127, 0, 1, last);
            book.add(
                id,
                SocketAddrV4::new(address, silent.address().port()).into(),
            );
            alive.insert(id);
        }
        wait(&hear, |_, _, dead| {
            alive.retain(|id| !dead.contains(id));
            alive.is_empty().then_some(())
        });
        assert_eq!(*book.under_way.lock().unwrap(), (0, 3));
    }

    /// The processor time that this process has used.
    fn used() -> Duration {
        let usage: Usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        let time = |it: nix::sys::time::TimeVal| {
            Duration::new(it.tv_sec() as u64, it.tv_usec() as u32 * 1000)
        };
        time(usage.user_time()) + time(usage.system_time())
    }

    /// What calls to a server take while `going` says so: count, median, p99, most.
    fn calls(target: Target, mut going: impl FnMut() -> bool) -> String {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let mut times = runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(1000);
            let connected =
                Management::connect(&binding(target.address()), ENCODING, deadline).await;
            let mut management = connected.unwrap();
            let mut times = Vec::new();
            while going() {
                let begun = Instant::now();
                let _ = management.inq_if_ids().await.unwrap();
                times.push(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times
        });
        times.sort();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        let most = times.last().unwrap();
        format!(
            "{} calls: median {:?}, p99 {:?}, most {most:?}",
            times.len(),
            at(0.5),
            at(0.99)
        )
    }

    #[test]
    #[ignore = "measures for two minutes: 1,000 targets that never answer"]
    fn a_thousand_targets_that_never_answer() {
        let server = serving();
        let begun = Instant::now();
        let before = used();
        let idle = calls(server, || begun.elapsed() < Duration::from_secs(30));
        println!("idle 30 s, processor {:?}: {idle}", used() - before);

        let (book, _prober, hear) = Fixture::start(ProbeSettings::default(), AT_ONCE);
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let (_socket, _queued, silent) = silent(any);
        let begun = Instant::now();
        let before = used();
        for (id, number) in ids(1_000).into_iter().zip(0u16..) {
            let [high, low] = number.to_be_bytes();
            let address = Ipv4Addr::new(127, 1, high, low);
            book.add(
                id,
                SocketAddrV4::new(address, silent.address().port()).into(),
            );
        }
        let mut gone = Vec::new();
        let during = calls(server, || {
            let heard = hear.try_iter().map(|(_, _, dead)| dead.len()).sum();
            gone.extend(vec![begun.elapsed(); heard]);
            gone.len() < 1_000
        });
        println!(
            "first gone {:?}, last {:?}, most at once {}",
            gone[0],
            gone[999],
            book.under_way.lock().unwrap().1
        );
        println!("processor {:?}: {during}", used() - before);
    }
}
