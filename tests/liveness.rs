//! Lives with the real daemon: entries end with processes, leases and servers,
//! and no sooner; a good client is served meanwhile.
//!
//! What is to happen within a time is given ten times of it. No event tells
//! that an entry is gone or a probe has failed: there is a pause of a few
//! milliseconds from one look to the next.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/living.rs"]
mod living;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use daemon::DEADLINE;
use epmapper::client::control::Lifetime;
use epmapper::client::{Encoding, Mapper};
use epmapper::wire::control::{NotProbed, ProbeState};
use epmapper::wire::tower::ProtocolSequence;
use living::{Caller, ECHO, ECHO_ENTRIES, Held, Home, PAUSE, await_that, bound, server};
use nix::sys::signal::Signal;
use run::{ANY_PORT, Run};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// A second, which is what most tests wait for something.
const SECOND: Duration = Duration::from_secs(1);

/// An hour: nothing waits for it.
const HOUR: Duration = Duration::from_secs(3600);

/// The string binding of a port of the loopback.
fn port(port: u16) -> String {
    format!("ncacn_ip_tcp:127.0.0.1[{port}]")
}

/// Says what was measured, also where the test harness keeps what a test that
/// passed has written.
fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("liveness: {line}\n").as_bytes());
}

// Processes

#[test]
fn what_a_process_registered_is_gone_at_once_when_it_is_killed() {
    let home = Home::new("");
    let _run = home.start();
    let mut caller = home.caller();
    let mut times: Vec<_> = (0..50)
        .map(|_| {
            let mut held = home.hold(&[("ncacn_ip_tcp:[1]", "held")]);
            assert!(caller.finds("held"));
            let killed = Instant::now();
            held.kill();
            // Its parent has not waited for it: it is a zombie all the time.
            while caller.finds("held") {
                assert!(killed.elapsed() < DEADLINE);
            }
            killed.elapsed()
        })
        .collect();
    times.sort();
    let (median, worst) = (times[25], times[49]);
    tell(&format!(
        "50 registrants killed, gone from a lookup after {median:?} (median), {worst:?} at most"
    ));
}

#[test]
fn of_two_processes_that_register_an_entry_the_later_ones_life_is_the_entrys() {
    let home = Home::new("");
    let _run = home.start();
    let mut caller = home.caller();
    let mut first = home.hold(&[("ncacn_ip_tcp:[1]", "shared")]);
    let mut marked = home.hold(&[("ncacn_ip_tcp:[2]", "mark")]);
    let mut second = home.hold(&[("ncacn_ip_tcp:[1]", "shared")]);
    let pid = |caller: &mut Caller| caller.facts("shared").unwrap().pid;
    assert_eq!(pid(&mut caller), second.0.id());
    first.kill();
    marked.kill();
    // Ends are heard in the order that they come in.
    caller.await_end("mark", SECOND);
    assert_eq!(pid(&mut caller), second.0.id());
    second.kill();
    caller.await_end("shared", SECOND);
}

#[test]
fn a_process_that_has_no_entry_any_more_is_not_watched() {
    let home = Home::new("");
    let run = home.start();
    let mut caller = home.caller();
    let entries = [("ncacn_ip_tcp:[1]", "one"), ("ncacn_ip_tcp:[2]", "two")];
    caller.register(&entries, Lifetime::Process);
    await_that("a descriptor", DEADLINE, || run.descriptors("[pidfd]") == 1);
    caller.delete(&entries[..1]);
    caller.register(&entries[1..], Lifetime::Process);
    assert_eq!(run.descriptors("[pidfd]"), 1);
    caller.delete(&entries[1..]);
    await_that("no descriptor", DEADLINE, || {
        run.descriptors("[pidfd]") == 0
    });
}

#[test]
fn a_process_id_used_again_keeps_nothing() {
    if let Some(namespace) = namespace(&["-pf", "--mount-proc"]) {
        inside(namespace, "with_process_ids_of_its_own");
    }
}

/// Where the kernel takes the last process id that it gave.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

#[test]
#[ignore = "changes which process ids the system gives; another test runs it in a namespace"]
fn with_process_ids_of_its_own() {
    if std::process::id() != 1 {
        return;
    }
    let home = Home::new("");
    let entry = [("ncacn_ip_tcp:[1]", "held")];
    // The daemon runs when the registrant ends.
    let run = home.start_from_disk();
    let mut caller = home.caller();
    let held = home.hold(&entry);
    let _other = end_and_use_again(held);
    caller.await_end("held", SECOND);
    // The daemon does not run when the registrant ends.
    let held = home.hold(&entry);
    caller.register(&[("ncacn_ip_tcp:[2]", "own")], Lifetime::Process);
    run.end(Signal::SIGKILL);
    let other = end_and_use_again(held);
    let _run = home.start_from_disk();
    let mut caller = home.caller();
    assert_eq!(caller.found(), ["own".to_owned()].into());
    assert!(fs::exists(format!("/proc/{}", other.0.id())).unwrap());
}

/// Kills a process, and starts another one with its id.
fn end_and_use_again(held: Held) -> Held {
    let pid = held.0.id();
    drop(held);
    loop {
        fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
        let mut command = Command::new("cat");
        let child = command.stdin(Stdio::piped()).spawn().unwrap();
        if child.id() == pid {
            return Held(child);
        }
        drop(Held(child));
    }
}

#[test]
fn a_proc_that_hides_processes_is_told_at_the_start() {
    if let Some(namespace) = namespace(&["-m"]) {
        inside(namespace, "with_hidden_processes");
    }
}

#[test]
#[ignore = "mounts another /proc; another test runs it in a namespace"]
fn with_hidden_processes() {
    let Some(_) = std::env::var_os(INSIDE) else {
        return;
    };
    let told = "hides the processes of other users";
    let home = Home::new("log_level = \"warn\"\nuser = \"nobody\"");
    home.open_to_all();
    assert!(!home.start_quietly().end(Signal::SIGTERM).log.contains(told));
    let mounted = Command::new("mount")
        .args(["-t", "proc", "-o", "hidepid=invisible", "proc", "/proc"])
        .status();
    assert!(mounted.unwrap().success());
    assert!(home.start_quietly().end(Signal::SIGTERM).log.contains(told));
}

// Leases

#[test]
fn a_lease_keeps_its_entries_while_it_is_renewed_and_until_it_is_released() {
    let home = Home::new("");
    let _run = home.start();
    let mut caller = home.caller();
    let mut lease = |number, annotation, seconds| {
        let binding = format!("ncacn_ip_tcp:[{number}]");
        let lifetime = Lifetime::Lease(SECOND * seconds);
        caller.register(&[(&binding, annotation)], lifetime)
    };
    let renewed = lease(1, "renewed", 3);
    let released = lease(2, "released", 3600);
    lease(3, "over", 4);
    await_that("the end of a lease", SECOND * 40, || {
        caller.renew(renewed);
        !caller.finds("over")
    });
    assert_eq!(
        caller.found(),
        ["released".to_owned(), "renewed".to_owned()].into()
    );
    caller.release(released);
    assert!(!caller.finds("released"));
    caller.await_end("renewed", SECOND * 3);
}

#[test]
fn a_lease_that_ended_while_no_daemon_ran_is_not_back_and_another_has_the_time_left() {
    let home = Home::new("");
    let run = home.start_from_disk();
    let mut caller = home.caller();
    caller.register(&[("ncacn_ip_tcp:[1]", "long")], Lifetime::Lease(HOUR));
    caller.register(&[("ncacn_ip_tcp:[2]", "short")], Lifetime::Lease(SECOND));
    let over = Instant::now() + SECOND;
    let before = caller.facts("long").unwrap();
    run.end(Signal::SIGKILL);
    // It is to be over while no daemon runs, which nothing tells.
    thread::sleep(over.saturating_duration_since(Instant::now()) + PAUSE);
    let _run = home.start_from_disk();
    let mut caller = home.caller();
    assert_eq!(caller.found(), ["long".to_owned()].into());
    let after = caller.facts("long").unwrap();
    let passed = u32::try_from(SECOND.as_millis()).unwrap();
    assert_eq!(after.lease, before.lease);
    // It goes on as it did, to a tenth of a second.
    assert!(
        after.left_ms + passed < before.left_ms + 100,
        "{before:?} {after:?}"
    );
    caller.renew(after.lease);
}

// Probes

#[test]
fn a_server_that_dies_is_gone_and_one_that_lives_stays() {
    let home = Home::probing("1s", "500ms", 2);
    let _run = home.start();
    let mut caller = home.caller();
    let (dies, dying) = server(ANY_PORT);
    let (_lives, living) = server(ANY_PORT);
    caller.insert(&[(&port(dying), "dying"), (&port(living), "living")]);
    caller.insert(&[(&format!("ncacn_ip_tcp:[{dying}]"), "dying anywhere")]);
    for annotation in ["dying", "living", "dying anywhere"] {
        caller.await_answer(annotation);
    }
    dies.end(Signal::SIGKILL);
    caller.await_end("dying", SECOND * 3);
    caller.await_end("dying anywhere", SECOND * 3);
    assert_eq!(caller.found(), ["living".to_owned()].into());
    assert_eq!(caller.probe("living").failures, 0);
}

#[test]
fn what_does_not_speak_rpc_is_no_server() {
    let home = Home::probing("1s", "500ms", 2);
    let _run = home.start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(answer_http));
    let mut caller = home.caller();
    caller.insert(&[(&port(address.port()), "http")]);
    caller.await_end("http", SECOND * 3);
}

/// Answers as a web server does what is no HTTP.
fn answer_http(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 1000]);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
}

#[test]
fn a_server_that_is_stopped_is_gone_unless_it_goes_on_in_time() {
    let home = Home::probing("6s", "1s", 12);
    let _run = home.start();
    let mut caller = home.caller();
    let (stays, staying) = server(ANY_PORT);
    let (stops, stopping) = server(ANY_PORT);
    // Stopped before: the first probe is made at once.
    stays.signal(Signal::SIGSTOP);
    stops.signal(Signal::SIGSTOP);
    caller.insert(&[(&port(staying), "staying"), (&port(stopping), "stopping")]);
    caller.await_failures("staying", 1);
    stays.signal(Signal::SIGCONT);
    caller.await_answer("staying");
    caller.await_end("stopping", SECOND * 18);
    assert!(caller.finds("staying"));
    stops.signal(Signal::SIGCONT);
}

#[test]
fn a_server_behind_a_filter_is_gone() {
    let nft = Command::new("nft").arg("--version").output();
    match namespace(&["-n"]) {
        Some(_) if nft.is_err() => skip::lacking("nftables"),
        Some(namespace) => inside(namespace, "with_a_filter"),
        None => {}
    }
}

#[test]
#[ignore = "filters; another test runs it in a network namespace"]
fn with_a_filter() {
    let Some(_) = std::env::var_os(INSIDE) else {
        return;
    };
    system("ip link set lo up");
    let home = Home::probing("1s", "500ms", 2);
    let _run = home.start();
    let mut caller = home.caller();
    let (_filtered, behind) = server(ANY_PORT);
    let (_other, other) = server(ANY_PORT);
    caller.insert(&[(&port(behind), "filtered"), (&port(other), "other")]);
    caller.await_answer("filtered");
    system("nft add table ip filter");
    system("nft add chain ip filter input { type filter hook input priority 0 ; }");
    system(&format!(
        "nft add rule ip filter input tcp dport {behind} drop"
    ));
    caller.await_end("filtered", SECOND * 3);
    assert!(caller.finds("other"));
}

#[test]
fn a_server_at_any_address_is_found_where_it_listens() {
    if let Some(namespace) = namespace(&["-n"]) {
        inside(namespace, "with_another_address");
    }
}

#[test]
#[ignore = "takes an address; another test runs it in a network namespace"]
fn with_another_address() {
    let Some(_) = std::env::var_os(INSIDE) else {
        return;
    };
    system("ip link set lo up");
    system("ip address add 192.0.2.1/32 dev lo");
    let home = Home::probing("1s", "500ms", 2);
    let _run = home.start();
    let mut caller = home.caller();
    let (elsewhere, port) = server("ncacn_ip_tcp:192.0.2.1[0]");
    caller.insert(&[(&format!("ncacn_ip_tcp:[{port}]"), "elsewhere")]);
    caller.await_answer("elsewhere");
    elsewhere.end(Signal::SIGKILL);
    caller.await_end("elsewhere", SECOND * 3);
}

#[test]
fn what_cannot_be_probed_stays_and_is_told_as_not_probed() {
    let home = Home::probing("1s", "500ms", 2);
    let _run = home.start();
    let mut caller = home.caller();
    let cases = [
        (r"ncacn_np:[\pipe\echo]", "pipe", NotProbed::NAMED_PIPE),
        ("ncalrpc:[ECHO]", "local", NotProbed::LOCAL_SOCKET),
        ("ncadg_ip_udp:127.0.0.1[9]", "udp", NotProbed::DATAGRAM),
        ("ncacn_http:127.0.0.1[9]", "http", NotProbed::HTTP),
        (
            "ncacn_ip_tcp:192.0.2.9[9]",
            "foreign",
            NotProbed::FOREIGN_ADDRESS,
        ),
    ];
    let bindings = cases.map(|(binding, annotation, _)| (binding, annotation));
    caller.insert(&bindings);
    let (_nobody, dead) = bound(Ipv4Addr::LOCALHOST);
    caller.insert(&[(&port(dead), "dead")]);
    caller.await_end("dead", SECOND * 3);
    let mut command = Command::new(env!("CARGO_BIN_EXE_epm"));
    let status = command
        .args(["status", "--at", &home.at()])
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    for (_, annotation, reason) in cases {
        let probe = caller.probe(annotation);
        assert_eq!(
            (probe.state, probe.reason),
            (ProbeState::NOT_PROBED, reason)
        );
        let told = format!("not probed: {}", reason.name().unwrap());
        let is_told = |line: &str| line.contains(annotation) && line.contains(&told);
        assert!(status.lines().any(is_told), "no {told} in\n{status}");
    }
}

#[test]
fn who_registers_at_a_failing_endpoint_begins_without_failures() {
    // A failure every 100 ms, and more of them than the test lasts.
    let home = Home::probing("1h", "1s", 36_000);
    let _run = home.start();
    let mut caller = home.caller();
    let (_nobody, failing) = bound(Ipv4Addr::LOCALHOST);
    caller.insert(&[(&port(failing), "first")]);
    caller.await_failures("first", 20);
    caller.insert(&[(&port(failing), "first")]);
    assert!(caller.probe("first").failures < 20);
}

#[test]
fn a_server_may_be_registered_before_it_listens() {
    let home = Home::probing("1h", "1s", 36_000);
    let _run = home.start();
    let mut caller = home.caller();
    let (reserved, later) = bound(Ipv4Addr::LOCALHOST);
    caller.insert(&[(&port(later), "early")]);
    caller.await_failures("early", 1);
    drop(reserved);
    let (_server, _) = server(&port(later));
    caller.await_answer("early");
}

#[test]
fn probed_entries_come_back_and_are_probed_at_once() {
    // Who does not answer once is dead, and is not asked for an hour again.
    let home = Home::probing("1h", "10s", 1);
    let run = home.start_from_disk();
    let mut caller = home.caller();
    let (dies, dying) = server(ANY_PORT);
    let (_lives, living) = server(ANY_PORT);
    caller.insert(&[(&port(dying), "dying"), (&port(living), "living")]);
    caller.await_answer("dying");
    caller.await_answer("living");
    run.end(Signal::SIGKILL);
    dies.end(Signal::SIGKILL);
    let _run = home.start_from_disk();
    let mut caller = home.caller();
    caller.await_end("dying", SECOND);
    caller.await_answer("living");
}

// Many at once

/// What a good client got while others were probed.
#[derive(Default)]
struct Served {
    lookups: usize,
    maps: usize,
    slowest: Duration,
}

/// Looks up and maps until it is told to stop; every call must be answered.
fn be_served(run: &Run, stop: &AtomicBool) -> Served {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let address = run.address();
    let binding = format!("ncacn_ip_tcp:{}[{}]", address.ip(), address.port());
    let binding = binding.parse().unwrap();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    runtime.block_on(async {
        let mapper = Mapper::connect(&binding, Encoding::Any, deadline).await;
        let mut mapper = mapper.unwrap();
        let mut served = Served::default();
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let tcp = ProtocolSequence::NcacnIpTcp;
            assert!(!mapper.map(ECHO, tcp, None).await.unwrap().is_empty());
            served.maps += 1;
            assert!(!mapper.lookup(&ECHO_ENTRIES).await.unwrap().is_empty());
            served.lookups += 1;
            served.slowest = served.slowest.max(begun.elapsed());
        }
        served
    })
}

#[test]
fn a_good_client_is_served_while_a_thousand_targets_hang_drop_and_die() {
    let home = Home::probing("3s", "500ms", 2);
    let run = home.start();
    let mut caller = home.caller();
    // The client's own, which nobody probes.
    caller.register(&[("ncacn_ip_tcp:[1]", "good")], Lifetime::Process);
    // One port stands for many servers, at an address each.
    let any = Ipv4Addr::UNSPECIFIED;
    let (full, dropping) = bound(any);
    full.listen(0).unwrap();
    let _queued = TcpStream::connect((Ipv4Addr::LOCALHOST, dropping)).unwrap();
    let hanging = TcpListener::bind((any, 0)).unwrap();
    let (_nobody, refusing) = bound(any);
    let (dies, dying) = server("ncacn_ip_tcp:0.0.0.0[0]");
    let ports = [
        dropping,
        hanging.local_addr().unwrap().port(),
        refusing,
        dying,
    ];
    let names = ["drop", "hang", "refuse", "die"];
    for number in 0..250 {
        for (port, name) in ports.iter().zip(names) {
            let binding = format!("ncacn_ip_tcp:127.90.0.{number}[{port}]");
            caller.insert(&[(&binding, &format!("{name} {number}"))]);
        }
    }
    let stop = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let good = scope.spawn(|| be_served(&run, &stop));
        let mut left = |name: &str| {
            caller
                .found()
                .iter()
                .filter(|it| it.starts_with(name))
                .count()
        };
        for name in &names[..3] {
            await_that("the end of silent servers", SECOND * 90, || left(name) == 0);
        }
        assert_eq!(left("die"), 250);
        dies.end(Signal::SIGKILL);
        await_that("the end of dead servers", SECOND * 90, || left("die") == 0);
        stop.store(true, Ordering::Relaxed);
        good.join().unwrap()
    });
    assert_eq!(caller.found(), ["good".to_owned()].into());
    let Served {
        lookups,
        maps,
        slowest,
    } = served;
    tell(&format!(
        "1,000 targets hung, dropped and died; {lookups} lookups and {maps} maps of a good client, none failed, the slowest pair {slowest:?}"
    ));
}

// Namespaces

/// Set where this program runs in a namespace that a test made for it.
const INSIDE: &str = "EPMAPPER_TEST_INSIDE";

/// A command that runs another in namespaces of its own; none where the host
/// gives none, which is told.
fn namespace(kinds: &[&str]) -> Option<Command> {
    let mut command = Command::new("unshare");
    command.args(kinds);
    let mut trial = Command::new("unshare");
    let tried = trial.args(kinds).arg("true").stderr(Stdio::null()).status();
    if !tried.is_ok_and(|tried| tried.success()) {
        skip::skipped(&format!(
            "there can be no namespace (unshare {}) here",
            kinds.join(" ")
        ));
        return None;
    }
    Some(command)
}

/// Runs a test of this program in namespaces.
#[track_caller]
fn inside(mut namespace: Command, test: &str) {
    let command = namespace.arg(std::env::current_exe().unwrap());
    let command = command.args(["--exact", test, "--ignored", "--nocapture"]);
    let output = run::output(command.env(INSIDE, ""));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 passed"), "{told}{}", run::stderr(&output));
}

/// Runs a command of the system's, its words divided by spaces.
#[track_caller]
fn system(words: &str) {
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).output().unwrap();
    assert!(output.status.success(), "{}", run::stderr(&output));
}
