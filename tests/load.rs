//! The daemon under more than it should be asked for: many clients, clients
//! that never read, and every limit struck.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/run.rs"]
mod run;

use epmapper::wire::FaultStatus;
use epmapper::wire::ept::ContextHandle;
use epmapper::wire::status::{ContextResult, ProviderReason};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use peer::{Peer, endpoints};
use run::{ANY_PORT, ConfigFile, Run, program};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take; generous, since the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// Connections of the first test.
const MANY: usize = 1000;

/// Clients that never read.
const DEAF: usize = 20;

/// Calls that each of them makes; their answers would be 300 MB in all.
const DEAF_CALLS: usize = 200;

/// A daemon with some limits, and entries that fill a page of 500.
fn with_limits(limits: &str) -> Run {
    let file = ConfigFile::new(&format!("[limits]\n{limits}\n{}", endpoints(499)));
    Run::with_config(&file)
}

/// Waits until a limit has struck, as the log tells.
fn expect_strike(run: &Run, limit: &str) {
    run.expect(&format!("limit struck limit=\"{limit}\""));
}

/// Lets this process have as many sockets as the system allows.
fn raise_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[test]
fn a_thousand_connections_at_once_are_served() {
    raise_descriptors();
    let run = with_limits("");
    let address = run.address();
    let mut peers: Vec<Peer> = (0..MANY).map(|_| Peer::connect(address)).collect();
    peers.iter_mut().for_each(|peer| {
        peer.bind();
    });
    for peer in &mut peers {
        let request = peer.lookup_request(ContextHandle::NULL, 50);
        peer.send(&request);
    }
    for peer in &mut peers {
        assert_eq!(peer.page_or_end().unwrap().annotations.len(), 50);
    }
    let ended = run.end(Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(
        ended.log.contains(&format!("ending connections={MANY}")),
        "{}",
        ended.log
    );
    assert!(!ended.log.contains("WARN"), "{}", ended.log);
}

#[test]
fn clients_that_never_read_hold_no_memory_and_nobody_else_up() {
    // One answer is more.
    let run = with_limits("queued_octets = 16384\nwrite_timeout = \"2s\"");
    let mut good = Peer::bound(run.address());
    assert_eq!(good.annotations().len(), 500);
    let before = peak_kib(&run);

    let mut deaf: Vec<Peer> = (0..DEAF).map(|_| Peer::bound(run.address())).collect();
    for peer in &mut deaf {
        let request = peer.lookup_request(ContextHandle::NULL, 500);
        peer.send(&request.repeat(DEAF_CALLS));
    }
    expect_strike(&run, "queued_octets");
    assert_eq!(good.annotations().len(), 500);
    assert_eq!(Peer::bound(run.address()).annotations().len(), 500);

    // In the end they are shut out; the others are not.
    expect_strike(&run, "write_timeout");
    assert_eq!(good.annotations().len(), 500);
    let grown = peak_kib(&run).saturating_sub(before);
    // What waits, the answer that went over it, and what was read, for each.
    let allowed = DEAF * 512;
    assert!(
        grown < allowed,
        "{grown} KiB for {DEAF} clients, allowed are {allowed}"
    );
}

/// The most memory that the daemon has had so far.
fn peak_kib(run: &Run) -> usize {
    let peak = run.status("VmHWM");
    peak.strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn connections_are_limited_in_all() {
    let run = with_limits("connections = 2");
    let mut peers = [Peer::bound(run.address()), Peer::bound(run.address())];
    assert!(Peer::connect(run.address()).pdu_or_end().is_none());
    expect_strike(&run, "connections");
    for peer in &mut peers {
        assert_eq!(peer.annotations().len(), 500);
    }
}

#[test]
fn a_place_that_was_left_is_taken_again() {
    let run = with_limits("connections = 1");
    let mut peer = Peer::bound(run.address());
    for _ in 0..20 {
        peer.leave();
        peer = Peer::bound(run.address());
    }
    assert!(!run.log.text().contains("limit struck"));
}

/// A daemon on all addresses, and what connects to it from 127.0.0.N.
fn with_clients_of_many_addresses(config: &str) -> (Run, impl Fn(u8) -> Peer + use<>) {
    let file = ConfigFile::new(config);
    let mut command = program();
    command.arg("--config").arg(file.path());
    let run = Run::spawn(command.args(["--listen", "ncacn_ip_tcp:0.0.0.0[0]"]));
    let port = run.address().port();
    let client = move |last| {
        let [source, mapper] = [last, 1].map(|last| Ipv4Addr::new(127, 0, 0, last));
        Peer::connect_from(source.into(), SocketAddr::from((mapper, port)))
    };
    (run, client)
}

#[test]
fn connections_are_limited_for_each_client() {
    let config = "[limits]\nconnections_per_client = 1\n";
    let (run, client) = with_clients_of_many_addresses(config);
    let mut one = client(2);
    one.bind();
    assert!(client(2).pdu_or_end().is_none());
    expect_strike(&run, "connections_per_client");
    let mut other = client(3);
    other.bind();
    assert_eq!(other.annotations(), one.annotations());
}

#[test]
fn a_strike_is_logged_once_a_minute() {
    let run = with_limits("connections = 1");
    let _peer = Peer::bound(run.address());
    for _ in 0..100 {
        assert!(Peer::connect(run.address()).pdu_or_end().is_none());
    }
    let ended = run.end(Signal::SIGTERM);
    // The first at once, the others with the end.
    let told = ended.log.matches("limit struck").count();
    assert_eq!(told, 2, "{}", ended.log);
    assert!(ended.log.contains("strikes=99 total=100"), "{}", ended.log);
}

#[test]
fn who_does_not_bind_in_time_is_shut_out() {
    let run = with_limits("bind_timeout = \"200ms\"");
    let mut bound = Peer::bound(run.address());
    assert!(Peer::connect(run.address()).pdu_or_end().is_none());
    expect_strike(&run, "bind_timeout");
    assert_eq!(bound.annotations().len(), 500);
}

#[test]
fn who_is_silent_for_too_long_is_shut_out() {
    let run = with_limits("bind_timeout = \"1h\"\nidle_timeout = \"200ms\"");
    assert!(Peer::bound(run.address()).pdu_or_end().is_none());
    expect_strike(&run, "idle_timeout");
}

#[test]
fn calls_above_the_limit_wait_and_are_answered() {
    let run = with_limits("calls_in_flight = 2");
    let mut peer = Peer::bound(run.address());
    let calls = 50;
    let request = peer.lookup_request(ContextHandle::NULL, 500);
    peer.send(&request.repeat(calls));
    for _ in 0..calls {
        assert_eq!(peer.page_or_end().unwrap().annotations.len(), 500);
    }
    expect_strike(&run, "calls_in_flight");
}

#[test]
fn contexts_of_a_connection_are_limited() {
    let run = with_limits("contexts = 2");
    let mut peer = Peer::bound(run.address());
    let accepted = (ContextResult::ACCEPTANCE, ProviderReason::NOT_SPECIFIED);
    let refused = (
        ContextResult::PROVIDER_REJECTION,
        ProviderReason::LOCAL_LIMIT_EXCEEDED,
    );
    assert_eq!(peer.alter(1), accepted);
    assert_eq!(peer.alter(2), refused);
    expect_strike(&run, "contexts");
    assert_eq!(peer.alter(1), accepted);
    assert_eq!(peer.annotations().len(), 500);
}

#[test]
fn unfinished_lookups_are_limited() {
    let run = with_limits("lookup_handles = 2");
    let mut peer = Peer::bound(run.address());
    let begun = [(); 3].map(|()| peer.page(ContextHandle::NULL, 1).unwrap().handle);
    expect_strike(&run, "lookup_handles");
    let [oldest, others @ ..] = begun;
    for handle in others {
        assert_eq!(peer.page(handle, 1).unwrap().annotations, ["entry 0"]);
    }
    assert!(peer.page(oldest, 1).is_err());
}

#[test]
fn of_twenty_thousand_lookups_in_one_group_the_newest_stay_open() {
    // As many as a group may have open, and calls of one connection at a time.
    const OPEN: usize = 32;
    const ROUNDS: usize = 20_000 / OPEN;
    let run = with_limits("");
    let mut peers = vec![Peer::connect(run.address())];
    let group = peers[0].bind();
    for _ in 0..3 {
        let mut peer = Peer::connect(run.address());
        assert_eq!(peer.try_bind(group), Some(group));
        peers.push(peer);
    }
    let mut begun = Vec::new();
    for round in 0..ROUNDS {
        let peer = &mut peers[round % 4];
        let request = peer.lookup_request(ContextHandle::NULL, 1);
        peer.send(&request.repeat(OPEN));
        begun.extend((0..OPEN).map(|_| peer.page_or_end().unwrap().handle));
    }
    let (ended, open) = begun.split_at(begun.len() - OPEN);
    for (number, handle) in open.iter().enumerate() {
        let page = peers[number % 4].page(*handle, 1).unwrap();
        assert_eq!(
            (page.handle, &*page.annotations),
            (*handle, &["entry 0".to_owned()][..])
        );
    }
    for handle in ended.iter().rev().step_by(500) {
        assert_eq!(
            peers[0].page(*handle, 1).err(),
            Some(FaultStatus::CONTEXT_MISMATCH)
        );
    }
    assert_eq!(Peer::bound(run.address()).annotations().len(), 500);
    // Each new walk above the limit ended one, so that no more than the limit was ever open.
    let log = run.end(Signal::SIGTERM).log;
    let total = format!("total={}", ended.len());
    let told = |line: &str| line.contains("lookup_handles") && line.ends_with(&total);
    assert!(log.lines().any(told), "no {total}:\n{log}");
}

#[test]
fn an_unfinished_lookup_has_a_life() {
    let run = with_limits("lookup_life = \"20ms\"\nbind_timeout = \"200ms\"");
    let mut peer = Peer::bound(run.address());
    let handle = peer.page(ContextHandle::NULL, 1).unwrap().handle;
    // Who does not bind is shut out after ten such lives: that is the clock.
    assert!(Peer::connect(run.address()).pdu_or_end().is_none());
    assert!(peer.page(handle, 1).is_err());
}

#[test]
fn more_connections_than_files_are_warned_of() {
    let mut shell = std::process::Command::new("sh");
    let script = format!(
        "ulimit -n 1000 && exec {} --state none --listen '{ANY_PORT}'",
        env!("CARGO_BIN_EXE_epmapperd")
    );
    let run = Run::spawn(shell.args(["-c", &script]));
    run.expect("the system allows fewer open files (RLIMIT_NOFILE) limit=\"connections\" connections=10000 most=523");
    assert_eq!(Peer::bound(run.address()).annotations().len(), 1);
}

/// Clients that call without a pause, enough that the daemon always has
/// several calls before it.
const BUSY: usize = 64;

/// Starts clients that call until `stop` or their connection's end; each then
/// does `after`.
fn busy_clients(
    address: SocketAddr,
    stop: &Arc<AtomicBool>,
    after: fn(&mut Peer),
) -> (Receiver<()>, Vec<JoinHandle<()>>) {
    let (served, serving) = channel();
    let client = |_| {
        let (served, stop) = (served.clone(), stop.clone());
        let mut peer = Peer::bound(address);
        std::thread::spawn(move || {
            let request = peer.lookup_request(ContextHandle::NULL, 20);
            while !stop.load(Ordering::Relaxed)
                && peer.try_send(&request)
                && peer.page_or_end().is_some()
            {
                // Nobody may be listening any more.
                let _ = served.send(());
            }
            after(&mut peer);
        })
    };
    (serving, (0..BUSY).map(client).collect())
}

#[test]
fn clients_that_were_busy_when_their_timer_struck_are_shut_out_like_others() {
    let run = with_limits("bind_timeout = \"300ms\"\nidle_timeout = \"2s\"");
    let stop = Arc::default();
    let (_, clients) = busy_clients(run.address(), &stop, |peer| {
        assert!(peer.pdu_or_end().is_none());
    });
    // The clock: this one is shut out when the timers of the others strike for
    // the first time, between two of their calls.
    assert!(Peer::connect(run.address()).pdu_or_end().is_none());
    assert!(Peer::connect(run.address()).pdu_or_end().is_none());
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    expect_strike(&run, "idle_timeout");
}

#[test]
fn busy_clients_do_not_hold_up_the_end() {
    let run = with_limits("");
    let stop = Arc::default();
    let (serving, clients) = busy_clients(run.address(), &stop, |_| {});
    for _ in 0..BUSY * 10 {
        serving.recv().unwrap();
    }
    let ended = run.end(Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("connections open"), "{}", ended.log);
    for client in clients {
        client.join().unwrap();
    }
}

/// The first fragment of a call that is as long as a fragment may be.
fn first_of_many(peer: &mut Peer) -> Vec<u8> {
    let mut fragment = peer.lookup_request(ContextHandle::NULL, 1);
    fragment.resize(5840, 0);
    fragment[3] = 1; // first, not last
    fragment[8..10].copy_from_slice(&5840u16.to_le_bytes());
    fragment
}

#[test]
fn incomplete_calls_of_all_clients_together_are_limited() {
    let run = with_limits("held_octets = 60000");
    let mut peers: Vec<Peer> = (0..5).map(|_| Peer::bound(run.address())).collect();
    let fragment = first_of_many(&mut peers[0]);
    let flagged = |flags| {
        let mut octets = fragment.clone();
        octets[3] = flags;
        octets
    };
    let (middle, last) = (flagged(0), flagged(2));
    for peer in &mut peers {
        // More than any connection has for free. The daemon may have closed
        // it in between.
        let _ = peer.try_send(&fragment) && (0..3).all(|_| peer.try_send(&middle));
    }
    expect_strike(&run, "held_octets");
    let mut other = Peer::bound(run.address());
    assert_eq!(other.annotations().len(), 500);
    // A call in two fragments is no hog.
    other.send(&fragment);
    other.send(&last);
    assert!(other.answer_or_end().is_some_and(|answer| answer.is_ok()));
    // Once the hogs are gone, there is room for a long call again.
    drop(peers);
    let long = [&fragment, &middle, &middle, &middle, &last]
        .map(Vec::as_slice)
        .concat();
    let is_served = || {
        let mut peer = Peer::bound(run.address());
        peer.try_send(&long) && peer.answer_or_end().is_some_and(|answer| answer.is_ok())
    };
    let begun = Instant::now();
    while !is_served() {
        assert!(begun.elapsed() < DEADLINE, "no room again");
    }
}

#[test]
fn a_call_above_the_limit_is_refused_whole_or_in_fragments() {
    let run = with_limits("call_octets = 1000");
    let mut peer = Peer::bound(run.address());
    let mut whole = first_of_many(&mut peer);
    whole[3] = 3; // first and last
    peer.send(&whole);
    assert_eq!(
        peer.answer_or_end().unwrap().err(),
        Some(FaultStatus::ACCESS_DENIED)
    );
    assert!(peer.pdu_or_end().is_none());
    expect_strike(&run, "call_octets");
}

#[test]
fn a_stranger_does_not_get_into_an_association_group() {
    let (_run, client) = with_clients_of_many_addresses(&endpoints(499));
    let mut owner = client(2);
    let group = owner.bind();
    let handle = owner.page(ContextHandle::NULL, 1).unwrap().handle;
    assert_eq!(client(3).try_bind(group), None);
    let mut sibling = client(2);
    assert_eq!(sibling.try_bind(group), Some(group));
    assert_eq!(sibling.page(handle, 1).unwrap().annotations, ["entry 0"]);
    assert_eq!(client(2).try_bind(group + 1000), None);
}

#[test]
fn a_connection_that_the_system_refuses_is_a_strike_like_others() {
    let mut shell = std::process::Command::new("sh");
    let script = format!(
        "ulimit -n 40 && exec {} --state none --listen '{ANY_PORT}'",
        env!("CARGO_BIN_EXE_epmapperd")
    );
    let run = Run::spawn(shell.args(["-c", &script]));
    let address = run.address();
    let peers: Vec<Peer> = (0..60).map(|_| Peer::connect(address)).collect();
    expect_strike(&run, "open_files");
    drop(peers);
    assert_eq!(Peer::bound(address).annotations().len(), 1);
    let ended = run.end(Signal::SIGTERM);
    assert!(ended.log.matches("WARN").count() <= 3, "{}", ended.log);
}

#[test]
fn who_does_not_complete_a_call_in_time_is_shut_out() {
    let run = with_limits("call_timeout = \"200ms\"");
    let mut peer = Peer::bound(run.address());
    let fragment = first_of_many(&mut peer);
    peer.send(&fragment);
    assert!(peer.pdu_or_end().is_none());
    expect_strike(&run, "call_timeout");
}
