//! `epm insert`, `delete`, `hold` and `status`: what they say to a mapper made by
//! hand, what they make of its answers, what becomes of the command held; and all
//! of it with `epmapperd`.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/mapper.rs"]
mod mapper;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use daemon::DEADLINE;
use epmapper::wire::control::{
    self, Counter, CountersResponse, EntriesRequest, EntriesResponse, Facts, KnownEntry,
    LeaseRequest, Life, NotProbed, Owner, Probe, ProbeState, RegisterRequest, RegisterResponse,
};
use epmapper::wire::ept::{
    self, ContextHandle, DeleteRequest, Entry, InsertRequest, LookupResponse, StatusResponse,
};
use epmapper::wire::ndr::Referents;
use epmapper::wire::tower::{Tower, TowerBuf};
use epmapper::wire::{EptStatus, FaultStatus, SyntaxId};
use mapper::{Answer, Asked, Mapper, stub};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use run::{ConfigFile, Run, program};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tempfile::TempDir;
use uuid::{Uuid, uuid};

const ECHO: &str = "60a15ec5-4de8-11d7-a637-005056a20182:1.0";
const OBJECT: Uuid = uuid!("0b5b3f6e-5f2c-4b6d-9d1c-6a8f3b1c2d3e");
const LEASE: Uuid = uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58");
const ONE: &str = "ncacn_ip_tcp:192.0.2.10[49152]";
const TWO: &str = "ncalrpc:[ECHO]";

/// Runs `epm`, which must neither hang nor panic.
fn epm(arguments: &[&str]) -> Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epm"));
    let assert = command.args(arguments).timeout(DEADLINE).assert();
    assert!(!stderr(&assert).contains("panicked"), "{}", stderr(&assert));
    assert
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// Asserts an exit status without results, and what the message tells.
#[track_caller]
fn assert_fails(assert: Assert, code: i32, parts: &[&str]) {
    let assert = assert.code(code);
    assert_eq!(stdout(&assert), "");
    let message = stderr(&assert);
    for part in parts {
        assert!(message.contains(part), "no {part:?} in:\n{message}");
    }
}

/// A response with a status alone.
fn status(status: EptStatus) -> Answer {
    stub(|out| StatusResponse { status }.encode(out))
}

/// A mapper that takes everything.
fn willing() -> Mapper {
    Mapper::new(answer_willingly)
}

fn answer_willingly(asked: &Asked) -> Answer {
    match (asked.interface, asked.opnum) {
        (SyntaxId::CONTROL, control::REGISTER) => {
            let request = RegisterRequest::decode(asked.stub()).unwrap();
            let is_lease = request.life == Life::LEASE;
            let response = RegisterResponse {
                lease: if is_lease { LEASE } else { Uuid::nil() },
                duration_ms: request.duration_ms,
                status: EptStatus::OK,
            };
            stub(|out| response.encode(out))
        }
        _ => status(EptStatus::OK),
    }
}

/// The bindings of entries.
fn bindings(entries: &[Entry]) -> Vec<String> {
    let binding = |entry: &Entry| {
        let tower = Tower::decode(entry.tower_octets().unwrap()).unwrap();
        let parts = tower.parts().unwrap();
        assert_eq!(parts.interface.to_string(), ECHO);
        let binding = epmapper::wire::binding::Binding::from_tower(&parts, None);
        binding.unwrap().to_string()
    };
    entries.iter().map(binding).collect()
}

// Arguments

#[test]
fn usage_errors_exit_with_2() {
    for (arguments, part) in [
        (&["insert"][..], "UUID|NAME:VERSION"),
        (&["insert", ECHO], "BINDING"),
        (&["insert", ECHO, "ncacn_ip_tcp:host[1]"], "IPv4 address"),
        (&["insert", ECHO, "ncacn_ip_tcp:192.0.2.10"], "no endpoint"),
        (&["insert", ECHO, ONE, "--lease", "0"], "500ms"),
        (&["delete", ECHO, ONE, "--annotation", "x"], "--annotation"),
        (
            &["insert", "00000001-0000-0000-0000-000000000000", ONE],
            "which version",
        ),
        (&["hold", ECHO, ONE], "COMMAND"),
        (&["status", "--lease", "1"], "--lease"),
    ] {
        assert_fails(epm(arguments), 2, &[part]);
    }
    let long = "a".repeat(64);
    let insert = epm(&["insert", ECHO, ONE, "--annotation", &long]);
    assert_fails(insert, 2, &["at most 63"]);
}

// Insert and delete

#[test]
fn an_insert_is_one_call_with_all_that_was_said() {
    let mapper = willing();
    let object = OBJECT.to_string();
    let arguments = ["--object", &object, "--annotation", "echo it", "--replace"];
    let place = ["insert", "--at", &mapper.at, ECHO, ONE, TWO];
    let inserted = epm(&[&place[..], &arguments].concat()).success();
    assert_eq!(stdout(&inserted) + &stderr(&inserted), "");
    let asked = mapper.next();
    assert_eq!((asked.interface, asked.opnum), (SyntaxId::EPT, ept::INSERT));
    let request = InsertRequest::decode(asked.stub()).unwrap();
    assert!(request.replace);
    assert_eq!(bindings(&request.entries), [ONE, TWO]);
    for entry in &request.entries {
        assert_eq!(
            (entry.object, &*entry.annotation),
            (OBJECT, &b"echo it"[..])
        );
    }
    assert!(mapper.calls().is_empty());
}

#[test]
fn a_refused_insert_tells_why_in_words() {
    for (answer, parts) in [
        (
            EptStatus::CANT_PERFORM_OP,
            [
                "does not let you",
                "ept_s_cant_perform_op (0x16c9a0cd)",
                "log",
            ],
        ),
        (
            EptStatus::UPDATE_FAILED,
            ["could not keep", "ept_s_update_failed", "disk"],
        ),
        (
            EptStatus::INVALID_ENTRY,
            ["not take such an entry", "ept_s_invalid_entry", "--replace"],
        ),
    ] {
        let mapper = Mapper::new(move |_| status(answer));
        let refused = epm(&["insert", "--at", &mapper.at, ECHO, ONE]);
        assert_fails(refused, 4, &parts);
    }
    let mapper = Mapper::new(|_| Answer::Fault(FaultStatus::OP_RNG_ERROR));
    let refused = epm(&["insert", "--at", &mapper.at, ECHO, ONE]);
    assert_fails(refused, 4, &["does not let you", "(0x1c010002)"]);
}

#[test]
fn an_insert_with_a_lease_tells_it_and_how_to_keep_it() {
    let mapper = willing();
    let insert = ["insert", "--at", &mapper.at, ECHO, ONE, "--lease", "30"];
    let told = stdout(&epm(&insert).success());
    assert!(told.contains(&LEASE.to_string()), "{told}");
    assert!(told.contains("30 s unless the same command"), "{told}");
    let asked = mapper.next();
    assert_eq!(asked.interface, SyntaxId::CONTROL);
    let request = RegisterRequest::decode(asked.stub()).unwrap();
    assert_eq!((request.life, request.duration_ms), (Life::LEASE, 30_000));
    assert_eq!(bindings(&request.entries), [ONE]);
}

#[test]
fn a_delete_goes_on_behind_what_is_not_registered() {
    let mapper = Mapper::new(|asked| {
        if asked.opnum == ept::LOOKUP {
            return found(&[]);
        }
        let request = DeleteRequest::decode(asked.stub()).unwrap();
        status(match bindings(&request.entries)[..] == [ONE] {
            true => EptStatus::NOT_REGISTERED,
            false => EptStatus::OK,
        })
    });
    let deleted = epm(&["delete", "--at", &mapper.at, ECHO, ONE, TWO]);
    assert_fails(deleted, 1, &[ONE, "not registered"]);
    let opnums: Vec<_> = mapper.calls().iter().map(|asked| asked.opnum).collect();
    assert_eq!(opnums, [ept::DELETE, ept::LOOKUP, ept::DELETE]);
    epm(&["delete", "--at", &mapper.at, ECHO, TWO]).success();
}

/// A page of a lookup, and no more, with these objects and towers.
fn found(towers: &[(Uuid, Vec<u8>)]) -> Answer {
    let mut referents = Referents::after(0);
    let entries = towers
        .iter()
        .map(|(object, tower)| Entry::new(&mut referents, *object, &tower[..], &b""[..]));
    let response = LookupResponse {
        handle: ContextHandle::NULL,
        max_ents: 500,
        entries: entries.collect(),
        status: EptStatus::OK,
    };
    stub(|out| response.encode(out))
}

#[test]
fn a_delete_takes_out_what_a_dce_server_registered_at_the_same_binding() {
    let tower = |interface: SyntaxId, binding: &str| {
        let tower = TowerBuf::from_binding(interface, SyntaxId::NDR, &binding.parse().unwrap());
        tower.unwrap().octets().to_owned()
    };
    let echo = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
    let ours = tower(echo, ONE);
    // Floor 3 of DCE: the connection-oriented protocol in minor version 1.
    let mut dces = ours.clone();
    assert_eq!(dces[52..59], [1, 0, 0x0b, 2, 0, 0, 0]);
    dces[57] = 1;
    let listed = [
        (Uuid::nil(), dces.clone()),
        (OBJECT, dces.clone()),
        (Uuid::nil(), tower(echo, "ncacn_ip_tcp:192.0.2.10[1]")),
        (Uuid::nil(), tower(SyntaxId { minor: 1, ..echo }, ONE)),
    ];
    let mapper = Mapper::new(move |asked| match asked.opnum {
        ept::LOOKUP => found(&listed),
        _ => {
            let request = DeleteRequest::decode(asked.stub()).unwrap();
            let is_ours = request.entries[0].tower_octets() == Some(&ours);
            status(match is_ours {
                true => EptStatus::NOT_REGISTERED,
                false => EptStatus::OK,
            })
        }
    });
    epm(&["delete", "--at", &mapper.at, ECHO, ONE]).success();
    let calls = mapper.calls();
    assert_eq!(calls.len(), 3, "{calls:?}");
    let request = DeleteRequest::decode(calls[2].stub()).unwrap();
    assert_eq!(request.entries[0].object, Uuid::nil());
    assert_eq!(request.entries[0].tower_octets(), Some(&dces[..]));
}

// Status

/// A mapper with two entries, each on a page of its own, and two counters.
fn knowing() -> Mapper {
    let facts = |number, owner, life| Facts {
        number,
        age_seconds: 200,
        lease: Uuid::nil(),
        owner,
        life,
        pid: 0,
        left_ms: 0,
        probe: Probe::default(),
    };
    let known = |facts, binding: &str, annotation: &'static [u8]| {
        let interface = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
        let tower = TowerBuf::from_binding(interface, SyntaxId::NDR, &binding.parse().unwrap());
        let tower = tower.unwrap().octets().to_owned();
        let entry = Entry::new(&mut Referents::after(0), Uuid::nil(), tower, annotation);
        KnownEntry {
            entry,
            facts,
            account: Default::default(),
        }
    };
    Mapper::new(move |asked| match asked.opnum {
        control::ENTRIES => {
            let after = EntriesRequest::decode(asked.stub()).unwrap().after;
            let (next, entry) = match after {
                0 => {
                    let mut facts = facts(3, Owner::user(0), Life::PROCESS);
                    facts.pid = 1234;
                    (3, known(facts, ONE, b"a\x1b[2J"))
                }
                _ => {
                    let owner = Owner::host("192.0.2.7".parse().unwrap());
                    let mut facts = facts(4, owner, Life::PROBE);
                    facts.probe.state = ProbeState::NOT_PROBED;
                    facts.probe.reason = NotProbed::LOCAL_SOCKET;
                    (0, known(facts, TWO, b""))
                }
            };
            let response = EntriesResponse {
                next,
                max_ents: 500,
                entries: vec![entry],
                status: EptStatus::OK,
            };
            stub(|out| response.encode(out))
        }
        _ => {
            let counter = |name: &'static [u8], value| Counter {
                value,
                name: name.into(),
            };
            let response = CountersResponse {
                max_counters: 256,
                counters: vec![counter(b"inserted", 7), counter(b"refused", 2)],
                status: EptStatus::OK,
            };
            stub(|out| response.encode(out))
        }
    })
}

#[test]
fn a_status_has_a_line_for_each_entry_and_each_counter() {
    let mapper = knowing();
    let told = stdout(&epm(&["status", "--at", &mapper.at]).success());
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 6, "{told}");
    for (line, parts) in [
        (1, [ONE, "root", "process 1234", "3 min"]),
        (2, [TWO, "192.0.2.7", "not probed: local socket", "3 min"]),
        (4, ["inserted", "7", "", ""]),
        (5, ["refused", "2", "", ""]),
    ] {
        for part in parts {
            assert!(lines[line].contains(part), "no {part:?} in:\n{told}");
        }
    }
    assert!(!told.contains('\x1b'));
}

#[test]
fn a_status_for_programs_says_the_same() {
    let mapper = knowing();
    let told = stdout(&epm(&["status", "--json", "--at", &mapper.at]).success());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["counters"]["inserted"], 7);
    let [one, two] = &told["entries"].as_array().unwrap()[..] else {
        panic!("{told}");
    };
    assert_eq!(one["owner"]["kind"], "user");
    assert_eq!(
        (&one["process"], &one["life"]),
        (&1234.into(), &"process".into())
    );
    assert_eq!(two["owner"]["address"], "192.0.2.7");
    assert_eq!(two["probe"]["reason"], "local socket");
    assert!(two["process"].is_null() && two["probe"]["age_ms"].is_null());
}

#[test]
fn the_control_interface_is_not_served_over_tcp() {
    let run = Run::with_config(&ConfigFile::new(""));
    let at = run.address().to_string();
    for command in [
        &["status", "--at", &at][..],
        &["insert", "--at", &at, ECHO, ONE, "--lease", "30"],
        &["hold", "--at", &at, ECHO, ONE, "--", "true"],
    ] {
        let parts = [
            "does not serve the control interface",
            "local socket",
            "--at",
        ];
        assert_fails(epm(command), 4, &parts);
    }
}

// Hold

/// Starts `epm hold`, its output taken. It heeds all signals, also where
/// whoever runs the tests ignores some, as under nohup.
fn hold(mapper: &Mapper, command: &[&str]) -> Child {
    let arguments = [
        "hold",
        "--at",
        &mapper.at,
        ECHO,
        ONE,
        "--annotation",
        "held",
        "--",
    ];
    std::process::Command::new("env")
        .args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_epm")])
        .env("EPM_PASSWORD", "not for the command")
        .args(arguments.iter().chain(command))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Asserts that a call registers for the life of a process.
#[track_caller]
fn assert_registers(asked: &Asked) {
    assert_eq!(
        (asked.interface, asked.opnum),
        (SyntaxId::CONTROL, control::REGISTER)
    );
    let request = RegisterRequest::decode(asked.stub()).unwrap();
    assert_eq!((request.life, request.duration_ms), (Life::PROCESS, 0));
    assert_eq!(bindings(&request.entries), [ONE]);
    assert_eq!(&*request.entries[0].annotation, b"held");
}

/// Asserts that the calls left take out what the process has, and nothing else.
#[track_caller]
fn assert_taken_out(mapper: &Mapper) {
    let calls = mapper.calls();
    let [asked] = &calls[..] else {
        panic!("{calls:?}");
    };
    assert_eq!(
        (asked.interface, asked.opnum),
        (SyntaxId::CONTROL, control::RELEASE)
    );
    let request = LeaseRequest::decode(asked.stub()).unwrap();
    assert!(request.lease.is_nil());
}

/// The first line of output, once it is there.
fn first_line(output: impl std::io::Read) -> String {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_command_is_registered_while_it_runs_and_its_status_is_told() {
    let mapper = willing();
    let child = hold(&mapper, &["sh", "-c", "echo out; echo err >&2; exit 3"]);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(
        (&*ended.stdout, &*ended.stderr),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_registers(&mapper.next());
    assert_taken_out(&mapper);
}

#[test]
fn a_password_of_the_environment_is_not_handed_on_to_the_command() {
    let mapper = willing();
    let child = hold(&mapper, &["sh", "-c", "echo \"${EPM_PASSWORD-none}\""]);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(&*ended.stdout, b"none\n");
}

#[test]
fn signals_are_passed_on_and_the_one_that_ends_the_command_is_told() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mapper = willing();
        let mut child = hold(&mapper, &["sh", "-c", "echo started; exec sleep 1000"]);
        assert_eq!(first_line(child.stdout.take().unwrap()), "started\n");
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_registers(&mapper.next());
        assert_taken_out(&mapper);
    }
}

#[test]
fn a_signal_that_is_ignored_from_the_start_is_ignored_by_the_command_too() {
    let mapper = willing();
    let script = format!(
        "trap '' HUP; exec {} hold --at {} {ECHO} '{ONE}' -- grep SigIgn /proc/self/status",
        env!("CARGO_BIN_EXE_epm"),
        mapper.at
    );
    let told = Command::new("sh")
        .args(["-c", &script])
        .timeout(DEADLINE)
        .assert();
    let told = stdout(&told.success());
    let digits = told.trim().rsplit('\t').next().unwrap();
    assert_eq!(u64::from_str_radix(digits, 16).unwrap() & 1, 1, "{told}");
}

#[test]
fn a_command_that_may_not_be_registered_is_not_started() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("started");
    let mapper = Mapper::new(|_| {
        let response = RegisterResponse {
            lease: Uuid::nil(),
            duration_ms: 0,
            status: EptStatus::CANT_PERFORM_OP,
        };
        stub(|out| response.encode(out))
    });
    let touch = ["touch", trace.to_str().unwrap()];
    let place = ["hold", "--at", &mapper.at, ECHO, ONE, "--"];
    let refused = epm(&[&place[..], &touch].concat());
    assert_fails(refused, 4, &["cannot register", "does not let you"]);
    assert!(!trace.exists());
}

#[test]
fn a_command_that_cannot_be_started_leaves_nothing_registered() {
    let mapper = willing();
    for (command, code) in [("/nonexistent/command", 127), ("/dev/null", 126)] {
        let place = ["hold", "--at", &mapper.at, ECHO, ONE, "--", command];
        assert_fails(epm(&place), code, &["cannot start", command]);
        assert_eq!(mapper.next().opnum, control::REGISTER);
        assert_taken_out(&mapper);
    }
}

#[test]
fn a_mapper_that_is_back_gets_the_entries_again() {
    let mapper = willing();
    let mut child = hold(&mapper, &["sh", "-c", "echo started; exec sleep 1000"]);
    assert_eq!(first_line(child.stdout.take().unwrap()), "started\n");
    assert_registers(&mapper.next());
    mapper.hang_up();
    assert_registers(&mapper.next());
    let told = first_line(child.stderr.take().unwrap());
    assert!(told.contains("registered again"), "{told}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_taken_out(&mapper);
}

#[test]
fn a_mapper_that_refuses_for_a_while_is_told_once_and_does_not_end_the_command() {
    static REFUSES: AtomicBool = AtomicBool::new(false);
    let mapper = Mapper::new(|asked| match REFUSES.load(Ordering::SeqCst) {
        true => Answer::Fault(FaultStatus::SERVER_TOO_BUSY),
        false => answer_willingly(asked),
    });
    let mut child = hold(&mapper, &["sh", "-c", "echo started; exec sleep 1000"]);
    assert_eq!(first_line(child.stdout.take().unwrap()), "started\n");
    REFUSES.store(true, Ordering::SeqCst);
    mapper.hang_up();
    let told = first_line(child.stderr.take().unwrap());
    assert!(told.contains("trying again"), "{told}");
    assert!(told.contains("nca_s_server_too_busy"), "{told}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

// With epmapperd

/// `epmapperd` on a local socket, where this user may register.
struct Daemon {
    folder: TempDir,
    run: Run,
}

impl Daemon {
    fn new() -> Daemon {
        let folder = TempDir::new().unwrap();
        let user = nix::unistd::getuid();
        let rule = format!("[[register]]\nusers = [{user}]\nforeign_addresses = true\n");
        std::fs::write(folder.path().join("epmapperd.toml"), rule).unwrap();
        let run = Daemon::start(&folder);
        Daemon { folder, run }
    }

    fn start(folder: &TempDir) -> Run {
        let config = folder.path().join("epmapperd.toml");
        Run::spawn(
            program()
                .arg("--config")
                .arg(config)
                .args(["--listen", &at(folder)]),
        )
    }

    /// The mapper is stopped, and another one started in its place.
    fn start_anew(self) -> Daemon {
        self.run.end(Signal::SIGTERM);
        let run = Daemon::start(&self.folder);
        Daemon { run, ..self }
    }

    fn at(&self) -> String {
        at(&self.folder)
    }

    /// Its status, as programs read it.
    fn status(&self) -> Value {
        let told = stdout(&epm(&["status", "--json", "--at", &self.at()]).success());
        serde_json::from_str(&told).unwrap()
    }

    /// The entries of the interface here.
    fn echoes(&self) -> Vec<Value> {
        let status = self.status();
        let entries = status["entries"].as_array().unwrap().iter();
        let echoes = entries.filter(|entry| ECHO.starts_with(entry["interface"].as_str().unwrap()));
        echoes.cloned().collect()
    }

    /// Waits until there are so many of them.
    fn expect_echoes(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + DEADLINE;
        loop {
            let echoes = self.echoes();
            if echoes.len() == count {
                return echoes;
            }
            assert!(Instant::now() < end, "{echoes:?}");
        }
    }

    /// Holds an endpoint for `cat`, which ends when its input does.
    fn hold(&self) -> Child {
        std::process::Command::new(env!("CARGO_BIN_EXE_epm"))
            .args(["hold", "--at", &self.at(), ECHO, ONE, "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// The local socket in a folder.
fn at(folder: &TempDir) -> String {
    format!("ncalrpc:[{}/EPMAPPER]", folder.path().display())
}

#[test]
fn what_is_inserted_is_in_the_status_until_it_is_deleted() {
    let daemon = Daemon::new();
    let at = daemon.at();
    epm(&[
        "insert",
        "--at",
        &at,
        ECHO,
        ONE,
        TWO,
        "--annotation",
        "text",
    ])
    .success();
    let echoes = daemon.echoes();
    assert_eq!(echoes.len(), 2);
    for echo in &echoes {
        assert_eq!(
            (&echo["annotation"], &echo["life"]),
            (&"text".into(), &"probe".into())
        );
        assert_eq!(echo["owner"]["uid"], nix::unistd::getuid().as_raw());
        assert!(echo["age"].is_u64());
    }
    epm(&["delete", "--at", &at, ECHO, ONE, TWO]).success();
    assert!(daemon.echoes().is_empty());
    assert_eq!(daemon.status()["counters"]["deleted"], 2);
    assert_fails(
        epm(&["delete", "--at", &at, ECHO, ONE]),
        1,
        &["not registered"],
    );
}

#[test]
fn an_insert_with_a_lease_that_is_run_again_has_a_lease_of_its_own() {
    let daemon = Daemon::new();
    let at = daemon.at();
    let insert = ["insert", "--at", &at, ECHO, ONE, "--lease", "1h"];
    assert_fails(epm(&insert), 2, &["500ms"]);
    let insert = ["insert", "--at", &at, ECHO, ONE, "--lease", "3600"];
    let lease = || {
        epm(&insert).success();
        let echoes = daemon.echoes();
        assert_eq!(echoes.len(), 1);
        assert!(echoes[0]["lease_left_ms"].as_u64().unwrap() <= 3_600_000);
        echoes[0]["lease"].clone()
    };
    assert_ne!(lease(), lease());
    assert_eq!(daemon.status()["counters"]["leases"], 1);
}

#[test]
fn a_command_held_is_registered_for_the_life_of_epm_and_gone_with_it() {
    let daemon = Daemon::new();
    for signal in [None, Some(Signal::SIGKILL)] {
        let mut child = daemon.hold();
        let echoes = daemon.expect_echoes(1);
        assert_eq!(echoes[0]["process"], child.id());
        match signal {
            Some(signal) => kill(Pid::from_raw(child.id() as i32), signal).unwrap(),
            None => drop(child.stdin.take()),
        }
        let code = child.wait().unwrap().code();
        assert_eq!(code, signal.is_none().then_some(0));
        daemon.expect_echoes(0);
    }
}

#[test]
fn a_command_held_is_registered_again_by_a_mapper_that_was_started_anew() {
    let daemon = Daemon::new();
    let mut child = daemon.hold();
    daemon.expect_echoes(1);
    let daemon = daemon.start_anew();
    let told = BufReader::new(child.stderr.take().unwrap());
    assert!(
        told.lines()
            .any(|line| line.unwrap().contains("registered again"))
    );
    assert_eq!(daemon.echoes()[0]["process"], child.id());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(daemon.echoes().is_empty());
}
