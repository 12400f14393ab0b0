//! `client::Registrar` with the real daemon: entries come when the mapper does,
//! come again when it was started anew, and go with whoever registered them.
//!
//! Each daemon on TCP has an address of its own, 127.0.28.x.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/living.rs"]
mod living;
#[path = "support/mapper.rs"]
mod mapper;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use daemon::DEADLINE;
use epmapper::client::ept::FoundEntry;
use epmapper::client::registrar::{Kept, State};
use epmapper::client::{Encoding, Failure, Mapper, Registrar, RegistrarSettings, Registration};
use epmapper::wire::binding::Binding;
use epmapper::wire::control::{
    self, LeaseRequest, Life, RegisterRequest, RegisterResponse, RenewResponse,
};
use epmapper::wire::ept::{self, InsertRequest, StatusResponse};
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{EptStatus, FaultStatus, SyntaxId};
use living::{ECHO, ECHO_ENTRIES, Home, await_that};
use mapper::{Answer, Asked, stub};
use nix::sys::signal::Signal;
use run::{ConfigFile, Run, program};
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use uuid::{Uuid, uuid};

/// A rule that lets everybody of this host register over TCP.
const NETWORK: &str = "[[register]]\nnetworks = [\"127.0.0.0/8\"]\nforeign_addresses = true\n\
    [probe]\ninterval = \"1h\"\nfailures = 36000\n";

/// Says what was measured.
fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("registrar: {line}\n").as_bytes());
}

/// A program with registrars.
struct Program(Runtime);

impl Program {
    fn new() -> Program {
        let mut builder = Builder::new_multi_thread();
        Program(builder.worker_threads(1).enable_all().build().unwrap())
    }

    /// Keeps entries registered at the mappers of these bindings.
    fn start(&self, at: &[&str], entries: Vec<Registration>) -> Registrar {
        self.start_so(entries, settings(at))
    }

    fn start_so(&self, entries: Vec<Registration>, settings: RegistrarSettings) -> Registrar {
        let _inside = self.0.enter();
        Registrar::start(entries, settings)
    }

    /// Waits for what is to come.
    #[track_caller]
    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        let waited = self.0.block_on(async { timeout(DEADLINE, what).await });
        waited.expect("it does not come")
    }

    /// Waits until the state is one of this kind.
    #[track_caller]
    fn wait_for(&self, registrar: &Registrar, is_it: impl Fn(&State) -> bool) -> State {
        let mut state = registrar.state();
        self.wait(async move { state.wait_for(is_it).await.unwrap().clone() })
    }

    /// All entries of the interface that a mapper has.
    #[track_caller]
    fn found(&self, at: &str) -> Vec<FoundEntry> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        self.wait(async {
            let mut mapper = Mapper::connect(&binding(at), Encoding::Any, deadline)
                .await
                .unwrap();
            mapper.lookup(&ECHO_ENTRIES).await.unwrap()
        })
    }

    /// The annotations of all entries that a mapper has.
    #[track_caller]
    fn names(&self, at: &str) -> Vec<String> {
        let found = self.found(at);
        let names = found
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.annotation).into_owned());
        names.collect()
    }
}

fn binding(text: &str) -> Binding {
    text.parse().unwrap()
}

/// A place on TCP.
fn on_tcp(host: u8) -> String {
    format!("ncacn_ip_tcp:127.0.28.{host}[4135]")
}

/// Starts a daemon there that keeps nothing.
fn daemon_at(at: &str, config: &str) -> Run {
    let file = ConfigFile::new(config);
    let mut command = program();
    command.arg("--config").arg(file.path());
    Run::spawn(command.args(["--listen", at]))
}

/// For mappers at these bindings; patient with one that is slow.
fn settings(at: &[&str]) -> RegistrarSettings {
    RegistrarSettings {
        mappers: at.iter().map(|at| binding(at)).collect(),
        timeout: DEADLINE,
        ..RegistrarSettings::default()
    }
}

/// An entry at a port.
fn entry(port: u16, annotation: &str) -> Registration {
    let place = binding(&format!("ncacn_ip_tcp:127.0.28.100[{port}]"));
    Registration {
        object: Uuid::nil(),
        tower: TowerBuf::from_binding(ECHO, SyntaxId::NDR, &place).unwrap(),
        annotation: annotation.to_owned(),
    }
}

fn is_waiting(state: &State) -> bool {
    matches!(state, State::Waiting { .. })
}

// Coming and going of mappers

#[test]
fn a_mapper_that_is_not_there_yet_is_waited_for() {
    let (home, program) = (Home::new(""), Program::new());
    let registrar = program.start(&[&home.at()], vec![entry(1, "early")]);
    let state = program.wait_for(&registrar, is_waiting);
    let State::Waiting { troubles } = &state else {
        panic!("{state}");
    };
    assert!(matches!(troubles[0].error.failure, Failure::Unreachable(_)));
    let _run = home.start();
    program.wait(registrar.registered());
    assert_eq!(program.names(&home.at()), ["early"]);
    let state = registrar.state().borrow().clone();
    let State::Registered { at, kept } = state else {
        panic!("{state}");
    };
    assert_eq!((at.to_string(), kept), (home.at(), Kept::Process));
}

#[test]
fn a_mapper_that_was_started_anew_gets_the_entries_again() {
    let (home, program) = (Home::new(""), Program::new());
    let run = home.start();
    let registrar = program.start(&[&home.at()], vec![entry(1, "again")]);
    program.wait(registrar.registered());
    run.end(Signal::SIGKILL);
    program.wait_for(&registrar, is_waiting);
    let _run = home.start();
    let serving = Instant::now();
    program.wait(registrar.registered());
    tell(&format!(
        "registered again {:?} after the mapper said that it serves",
        serving.elapsed()
    ));
    assert_eq!(program.names(&home.at()), ["again"]);
}

#[test]
fn a_mapper_that_kept_the_entries_over_its_restart_has_each_of_them_once() {
    let (home, program) = (Home::new(""), Program::new());
    let run = home.start_from_disk();
    let entries = vec![entry(1, "one"), entry(2, "two")];
    let registrar = program.start(&[&home.at()], entries);
    program.wait(registrar.registered());
    let mut state = registrar.state();
    state.borrow_and_update();
    run.end(Signal::SIGTERM);
    program.wait(state.changed()).unwrap();
    let _run = home.start_from_disk();
    program.wait(registrar.registered());
    let mut names = program.names(&home.at());
    names.sort();
    assert_eq!(names, ["one", "two"]);
}

// Ends of registrants

/// Set in a process of its own that registers there.
const CHILD_AT: &str = "EPMAPPER_TEST_REGISTRAR_AT";

#[test]
fn what_a_killed_process_registered_is_gone() {
    let home = Home::new("");
    let _run = home.start();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_process_that_registers", "--ignored"]);
    command.arg("--nocapture").env(CHILD_AT, home.at());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(told.map_while(Result::ok).any(|line| line.contains("held")));
    let mut caller = home.caller();
    assert!(caller.finds("child"));
    let killed = Instant::now();
    child.kill().unwrap();
    await_that("the end of the entry", DEADLINE, || !caller.finds("child"));
    tell(&format!(
        "gone {:?} after its process was killed",
        killed.elapsed()
    ));
    child.wait().unwrap();
}

#[test]
#[ignore = "registers until it is killed; another test runs it"]
fn a_process_that_registers() {
    let Ok(at) = std::env::var(CHILD_AT) else {
        return;
    };
    let program = Program::new();
    let registrar = program.start(&[&at], vec![entry(1, "child")]);
    program.wait(registrar.registered());
    println!("held");
    // Ends with whoever runs it.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn who_stops_takes_out_its_entries_and_no_others_of_its_process() {
    let (home, program) = (Home::new(""), Program::new());
    let _run = home.start();
    let stops = program.start(&[&home.at()], vec![entry(1, "one"), entry(2, "two")]);
    let stays = program.start(&[&home.at()], vec![entry(3, "stays")]);
    program.wait(stops.registered());
    program.wait(stays.registered());
    // One of them is gone already.
    let mut caller = home.caller();
    caller.delete(&[("ncacn_ip_tcp:127.0.28.100[1]", "one")]);
    program.wait(stops.stop());
    assert_eq!(program.names(&home.at()), ["stays"]);
    program.wait(stays.stop());
    assert!(program.found(&home.at()).is_empty());
}

#[test]
fn who_is_alone_in_its_process_leaves_what_another_process_has_registered_since() {
    let (home, program) = (Home::new(""), Program::new());
    let _run = home.start();
    let settings = RegistrarSettings {
        alone: true,
        ..settings(&[&home.at()])
    };
    let registrar = program.start_so(vec![entry(1, "ours"), entry(2, "ours, too")], settings);
    program.wait(registrar.registered());
    let _held = home.hold(&[("ncacn_ip_tcp:127.0.28.100[1]", "theirs")]);
    program.wait(registrar.stop());
    assert_eq!(program.names(&home.at()), ["theirs"]);
}

#[test]
fn a_mapper_that_does_not_answer_does_not_keep_the_end_waiting() {
    let (home, program) = (Home::new(""), Program::new());
    let run = home.start();
    let settings = RegistrarSettings {
        timeout: Duration::from_secs(1),
        ..settings(&[&home.at()])
    };
    let registrar = program.start_so(vec![entry(1, "left")], settings);
    program.wait(registrar.registered());
    run.signal(Signal::SIGSTOP);
    program.wait(registrar.stop());
    run.signal(Signal::SIGCONT);
}

// Processes that the mapper does not see

/// Set where this program runs in a namespace that a test made for it.
const INSIDE: &str = "EPMAPPER_TEST_INSIDE";

#[test]
fn a_mapper_that_does_not_see_the_process_keeps_the_entries_by_a_lease() {
    let mut command = Command::new("unshare");
    let hidden = "mount -t proc -o hidepid=invisible proc /proc && exec \"$@\"";
    command.args(["--mount", "sh", "-c", hidden, "sh"]);
    let may = run::output(Command::new("unshare").args(["--mount", "true"]));
    if !may.status.success() {
        return skip::skipped("there can be no namespace (unshare --mount) here");
    }
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "with_hidden_processes", "--ignored"]);
    let output = run::output(command.arg("--nocapture").env(INSIDE, ""));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 passed"), "{told}{}", run::stderr(&output));
}

#[test]
#[ignore = "mounts another /proc; another test runs it in a namespace"]
fn with_hidden_processes() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let home = Home::new("user = \"nobody\"");
    let program = Program::new();
    home.open_to_all();
    let _run = home.start();
    let settings = RegistrarSettings {
        lease: Some(Duration::from_secs(3)),
        ..settings(&[&home.at()])
    };
    let registrar = program.start_so(vec![entry(1, "unseen")], settings);
    let state = program.wait_for(&registrar, State::is_registered);
    let State::Registered { kept, .. } = state else {
        panic!("{state}");
    };
    assert!(matches!(kept, Kept::Lease(_)), "{kept:?}");
    // It has more time than before: it was renewed.
    let mut caller = home.caller();
    let mut left = u32::MAX;
    await_that("a renewal", DEADLINE, || {
        let before = std::mem::replace(&mut left, caller.facts("unseen").unwrap().left_ms);
        left > before
    });
    program.wait(registrar.stop());
    assert!(program.found(&home.at()).is_empty());
}

// Other mappers

#[test]
fn a_mapper_on_tcp_gets_the_entries_by_ept_insert_and_again_when_it_was_started_anew() {
    let (at, program) = (on_tcp(1), Program::new());
    let daemon = daemon_at(&at, NETWORK);
    let registrar = program.start(&[&at], vec![entry(1, "network")]);
    let state = program.wait_for(&registrar, State::is_registered);
    assert!(
        matches!(
            state,
            State::Registered {
                kept: Kept::Inserted,
                ..
            }
        ),
        "{state}"
    );
    drop(daemon);
    program.wait_for(&registrar, is_waiting);
    let _daemon = daemon_at(&at, NETWORK);
    program.wait(registrar.registered());
    assert_eq!(program.names(&at), ["network"]);
    program.wait(registrar.stop());
    assert!(program.found(&at).is_empty());
}

#[test]
fn a_mapper_that_refuses_is_told_and_asked_again() {
    let (at, program) = (on_tcp(2), Program::new());
    let daemon = daemon_at(&at, "");
    let settings = RegistrarSettings {
        retry_refused: Duration::from_millis(100),
        ..settings(&[&at])
    };
    let registrar = program.start_so(vec![entry(1, "refused")], settings);
    let state = program.wait_for(&registrar, |state| matches!(state, State::Refused { .. }));
    let State::Refused { troubles } = &state else {
        panic!("{state}");
    };
    assert!(troubles[0].is_refusal() && troubles[0].at.to_string() == at);
    drop(daemon);
    let _daemon = daemon_at(&at, NETWORK);
    program.wait(registrar.registered());
}

#[test]
fn a_mapper_that_refuses_is_left_alone_while_another_one_is_tried() {
    let refusing = mapper::Mapper::new(|_| status(EptStatus::CANT_PERFORM_OP));
    let busy = mapper::Mapper::new(|_| Answer::Fault(FaultStatus::SERVER_TOO_BUSY));
    let program = Program::new();
    let settings = RegistrarSettings {
        retry: Duration::from_millis(20),
        retry_refused: DEADLINE * 10,
        ..settings(&[&tcp(&refusing.at), &tcp(&busy.at)])
    };
    let _registrar = program.start_so(vec![entry(1, "refused")], settings);
    for _ in 0..5 {
        busy.next();
    }
    assert_eq!(refusing.calls().len(), 1);
}

#[test]
fn a_mapper_that_denied_the_entries_is_not_asked_to_take_them_out() {
    let mapper = mapper::Mapper::new(|_| status(EptStatus::CANT_PERFORM_OP));
    let program = Program::new();
    let entries = vec![entry(1, "denied")];
    let registrar = program.start(&[&tcp(&mapper.at)], entries);
    program.wait_for(&registrar, |state| matches!(state, State::Refused { .. }));
    program.wait(registrar.stop());
    let opnums: Vec<_> = mapper.calls().iter().map(|asked| asked.opnum).collect();
    assert_eq!(opnums, [ept::INSERT]);
}

#[test]
fn of_two_mappers_the_first_that_takes_the_entries_has_them() {
    let (home, program) = (Home::new(""), Program::new());
    let (local, tcp) = (home.at(), on_tcp(3));
    let daemon = daemon_at(&tcp, NETWORK);
    let second = program.start(&[&local, &tcp], vec![entry(1, "second")]);
    program.wait(second.registered());
    assert_eq!(program.names(&tcp), ["second"]);
    let _run = home.start();
    let first = program.start(&[&local, &tcp], vec![entry(2, "first")]);
    program.wait(first.registered());
    assert_eq!(program.names(&local), ["first"]);
    // Lost, they go to the first one that is there.
    drop(daemon);
    await_that("the entries at the other mapper", DEADLINE, || {
        program.found(&local).len() == 2
    });
}

#[test]
fn more_entries_than_a_call_takes_are_registered_and_taken_out() {
    let (home, program) = (Home::new(""), Program::new());
    let _run = home.start();
    let entries = (1..=1001).map(|port| entry(port, "many")).collect();
    let registrar = program.start(&[&home.at()], entries);
    program.wait(registrar.registered());
    assert_eq!(program.found(&home.at()).len(), 1001);
    program.wait(registrar.stop());
    assert!(program.found(&home.at()).is_empty());
}

#[test]
fn a_mapper_that_takes_only_a_part_gives_it_back() {
    let (at, program) = (on_tcp(4), Program::new());
    let config = format!("{NETWORK}[limits]\nentries_per_owner = 500\n");
    let _daemon = daemon_at(&at, &config);
    let entries = (1..=501).map(|port| entry(port, "part")).collect();
    let registrar = program.start(&[&at], entries);
    program.wait_for(&registrar, |state| matches!(state, State::Refused { .. }));
    assert!(program.found(&at).is_empty());
}

// What is said to a mapper made by hand

const LEASE: Uuid = uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58");

/// A status alone.
fn status(status: EptStatus) -> Answer {
    stub(|out| StatusResponse { status }.encode(out))
}

/// The answer to a registration.
fn registered(lease: Uuid, duration_ms: u32, status: EptStatus) -> Answer {
    let response = RegisterResponse {
        lease,
        duration_ms,
        status,
    };
    stub(|out| response.encode(out))
}

#[test]
fn a_mapper_that_does_not_know_the_process_gives_a_lease_which_is_renewed() {
    let mapper = mapper::Mapper::new(|asked| match asked.opnum {
        control::REGISTER => match RegisterRequest::decode(asked.stub()).unwrap().life {
            Life::PROCESS => registered(Uuid::nil(), 0, EptStatus::CANT_PERFORM_OP),
            _ => registered(LEASE, 300, EptStatus::OK),
        },
        control::RENEW => {
            let response = RenewResponse {
                duration_ms: 600_000,
                status: EptStatus::OK,
            };
            stub(|out| response.encode(out))
        }
        _ => status(EptStatus::OK),
    });
    let program = Program::new();
    // A mapper made by hand is on TCP; this makes its control interface asked.
    let settings = RegistrarSettings {
        insert: false,
        ..settings(&[&tcp(&mapper.at)])
    };
    let registrar = program.start_so(vec![entry(1, "leased")], settings);
    let life = |asked: &Asked| {
        assert_eq!(asked.opnum, control::REGISTER);
        RegisterRequest::decode(asked.stub()).unwrap().life
    };
    assert_eq!(life(&mapper.next()), Life::PROCESS);
    assert_eq!(life(&mapper.next()), Life::LEASE);
    let renewed = mapper.next();
    let lease = |asked: &Asked| LeaseRequest::decode(asked.stub()).unwrap().lease;
    assert_eq!((renewed.opnum, lease(&renewed)), (control::RENEW, LEASE));
    program.wait(registrar.stop());
    let released = mapper.next();
    assert_eq!(
        (released.opnum, lease(&released)),
        (control::RELEASE, LEASE)
    );
}

#[test]
fn a_lease_that_the_mapper_has_lost_is_registered_anew() {
    let mapper = mapper::Mapper::new(|asked| match asked.opnum {
        control::REGISTER => match RegisterRequest::decode(asked.stub()).unwrap().life {
            Life::PROCESS => registered(Uuid::nil(), 0, EptStatus::CANT_PERFORM_OP),
            _ => registered(LEASE, 300, EptStatus::OK),
        },
        _ => {
            let response = RenewResponse {
                duration_ms: 0,
                status: EptStatus::NOT_REGISTERED,
            };
            stub(|out| response.encode(out))
        }
    });
    let program = Program::new();
    let settings = RegistrarSettings {
        insert: false,
        ..settings(&[&tcp(&mapper.at)])
    };
    let _registrar = program.start_so(vec![entry(1, "leased")], settings);
    let opnums: Vec<_> = (0..5).map(|_| mapper.next().opnum).collect();
    use control::{REGISTER, RENEW};
    assert_eq!(opnums, [REGISTER, REGISTER, RENEW, REGISTER, REGISTER]);
}

#[test]
fn what_was_inserted_is_inserted_once_more_when_it_is_renewed() {
    let mapper = mapper::Mapper::new(|_| status(EptStatus::OK));
    let program = Program::new();
    let settings = RegistrarSettings {
        renew: Duration::from_millis(50),
        replace: true,
        ..settings(&[&tcp(&mapper.at)])
    };
    let _registrar = program.start_so(vec![entry(1, "renewed")], settings);
    for _ in 0..3 {
        let asked = mapper.next();
        assert_eq!(asked.interface, SyntaxId::EPT);
        let request = InsertRequest::decode(asked.stub()).unwrap();
        assert!(request.replace && request.entries.len() == 1);
    }
}

/// The binding of an address.
fn tcp(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    format!("ncacn_ip_tcp:{host}[{port}]")
}
