//! `epm` as people and programs use it: arguments, output, messages, exit
//! statuses; against servers that misbehave, and against `epmapperd`.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use daemon::DEADLINE;
use epmapper::wire::ept::{ContextHandle, Entry, LookupResponse};
use epmapper::wire::ndr::Referents;
use epmapper::wire::pdu::{
    BindAck, BindNak, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags, Response,
    ResultsBuf,
};
use epmapper::wire::status::{ContextResult, ProviderReason, RejectReason};
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{ByteOrder, EptStatus, FaultStatus, Output, SyntaxId};
use run::{ConfigFile, Run};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use uuid::{Uuid, uuid};

const SAMR: &str = "12345778-1234-abcd-ef00-0123456789ac";
const LSARPC: &str = "12345778-1234-abcd-ef00-0123456789ab";
const UNKNOWN: &str = "00000001-0000-0000-0000-000000000000";

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

fn json(assert: &Assert) -> Value {
    serde_json::from_str(&stdout(assert)).unwrap()
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

// Arguments

#[test]
fn usage_errors_exit_with_2() {
    for (arguments, part) in [
        (&[][..], "Usage"),
        (&["nosuch"], "nosuch"),
        (&["lookup", "--nosuch"], "--nosuch"),
        (&["lookup", "--json", "--config"], "--config"),
        (
            &["lookup", "--interface", "nosuch"],
            "neither a UUID nor the name",
        ),
        (&["lookup", "--interface", "samr:x"], "no version"),
        (
            &["lookup", "--interface", UNKNOWN, "--versions", "exact"],
            "which version",
        ),
        (&["lookup", "--versions", "exact"], "--interface"),
        (&["lookup", "--versions", "newest"], "major-only"),
        (&["lookup", "--object", "x"], "--object"),
        (&["lookup", "--timeout", "0"], "500ms"),
        (&["lookup", "host:x"], "no port"),
        (
            &["lookup", "ncacn_tcp:host[135]"],
            "no protocol sequence \"ncacn_tcp\"",
        ),
        (&["lookup", "http://host/"], "ncacn_ip_tcp:HOST[PORT]"),
        (
            &["mgmt", "NCACN_IP_TCP:host[135]"],
            "lower case: write ncacn_ip_tcp",
        ),
        (&["lookup", "ncacn_np:host[\\pipe\\epmapper]"], "ncacn_np"),
        (&["lookup", "--transfer-syntax", "ndr32"], "ndr64"),
        (&["lookup", "--byte-order", "middle"], "little"),
        (
            &[
                "mgmt",
                "host",
                "--transfer-syntax",
                "ndr64",
                "--byte-order",
                "big",
            ],
            "--transfer-syntax ndr",
        ),
        (&["map", "host"], "UUID|NAME"),
        (&["map", "host", UNKNOWN], "which version"),
        (&["map", "host", "samr", "--protseq", "tcp"], "ncacn_ip_tcp"),
        (&["mgmt"], "WHERE"),
    ] {
        assert_fails(epm(arguments), 2, &[part]);
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for (arguments, part) in [
        (&["--help"][..], "Exit status"),
        (&["lookup", "--help"], "\"protocol_sequence\""),
        (&["map", "-h"], "--protseq"),
        (&["mgmt", "--help"], "--transfer-syntax"),
        (&["mgmt", "-h"], "--byte-order"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let assert = epm(arguments).success();
        assert!(stdout(&assert).contains(part), "{arguments:?}");
    }
}

#[test]
fn completions_and_man_pages_come_from_the_same_definition() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&epm(&["completions", shell]).success());
        assert!(script.contains("versions"), "{shell}");
        // The scripts for the others offer no values at all.
        let values = ["bash", "zsh", "fish"].contains(&shell);
        assert!(!values || script.contains("ncadg_ip_udp"), "{shell}");
    }
    assert!(stdout(&epm(&["man"]).success()).contains("endpoint mappers"));
    let folder = tempfile::TempDir::new().unwrap();
    let pages = folder.path().join("man");
    epm(&["man", "--dir", pages.to_str().unwrap()]).success();
    let mut names: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "epm-delete.1",
            "epm-hold.1",
            "epm-insert.1",
            "epm-lookup.1",
            "epm-map.1",
            "epm-mgmt.1",
            "epm-status.1",
            "epm.1"
        ]
    );
}

// Servers that are not there, or not as they should be

#[test]
fn a_closed_port_is_not_reachable() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for command in [
        &["lookup", &closed][..],
        &["map", &closed, "samr"],
        &["mgmt", &closed],
    ] {
        assert_fails(
            epm(command),
            3,
            &["connect", &closed, "refused", "firewall"],
        );
    }
}

#[test]
fn a_name_without_address_is_not_reachable() {
    // Without a name service the resolver may wait: the deadline ends that too.
    let unknown = epm(&["lookup", "nosuch.invalid", "--timeout", "2s"]);
    assert_fails(unknown, 3, &["resolve", "nosuch.invalid"]);
}

#[test]
fn a_server_that_never_answers_is_not_reachable() {
    let silent = serve(|stream| read_to_end(&stream));
    let waited = epm(&["lookup", &silent, "--timeout", "1s"]);
    assert_fails(waited, 3, &["bind", "no answer in time", "--timeout"]);
    let bound = serve(|stream| {
        send(&stream, &answer(&read_pdu(&stream), accepted()));
        read_to_end(&stream);
    });
    let waited = epm(&["lookup", &bound, "--timeout", "2s"]);
    assert_fails(waited, 3, &["call", "no answer in time"]);
}

#[test]
fn a_server_that_speaks_otherwise_breaks_the_protocol() {
    let other = serve(|stream| {
        send(
            &stream,
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        );
        read_to_end(&stream);
    });
    assert_fails(
        epm(&["lookup", &other]),
        4,
        &["bind", "does not speak", "check that this port"],
    );
}

#[test]
fn a_server_that_closes_refuses() {
    let closing = serve(|stream| {
        read_pdu(&stream);
    });
    assert_fails(
        epm(&["mgmt", &closing]),
        4,
        &["bind", "closed the connection"],
    );
}

#[test]
fn a_refused_bind_tells_its_reason_by_name_and_number() {
    let refusing = serve(|stream| {
        let nak = Body::BindNak(BindNak::new(RejectReason::LOCAL_LIMIT_EXCEEDED));
        send(
            &stream,
            &answer(&read_pdu(&stream), (PacketType::BIND_NAK, nak)),
        );
        read_to_end(&stream);
    });
    assert_fails(
        epm(&["lookup", &refusing]),
        4,
        &["bind", "local limit exceeded (0x2)"],
    );
}

#[test]
fn a_refused_interface_tells_its_reason_by_name_and_number() {
    let refusing = serve(|stream| {
        let unknown = ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED;
        let mut results = ResultsBuf::new(ByteOrder::Little);
        for _ in 0..3 {
            results.push(context_answer(ContextResult::PROVIDER_REJECTION, unknown));
        }
        send(&stream, &answer(&read_pdu(&stream), ack(&results)));
        read_to_end(&stream);
    });
    let refused = epm(&["map", &refusing, "samr"]);
    assert_fails(refused, 4, &["bind", "abstract syntax not supported (0x1)"]);
}

#[test]
fn a_transfer_syntax_that_the_server_does_not_know_is_not_replaced() {
    let refusing = serve(|stream| {
        let unknown = ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED;
        let mut results = ResultsBuf::new(ByteOrder::Little);
        results.push(context_answer(ContextResult::PROVIDER_REJECTION, unknown));
        send(&stream, &answer(&read_pdu(&stream), ack(&results)));
        read_to_end(&stream);
    });
    let refused = epm(&["map", &refusing, "samr", "--transfer-syntax", "ndr64"]);
    let parts = ["bind", "proposed transfer syntaxes", "(0x2)", "unless"];
    assert_fails(refused, 4, &parts);
}

#[test]
fn a_shutdown_is_told_as_such() {
    let ending = serve(|stream| {
        send(&stream, &answer(&read_pdu(&stream), accepted()));
        let shutdown = (PacketType::SHUTDOWN, Body::Shutdown);
        send(&stream, &answer(&read_pdu(&stream), shutdown));
        read_to_end(&stream);
    });
    let ended = epm(&["lookup", &ending]);
    assert_fails(ended, 4, &["call", "the server ends the connection"]);
}

#[test]
fn a_fault_tells_its_status_by_name_and_number() {
    let faulting = serve(|stream| {
        send(&stream, &answer(&read_pdu(&stream), accepted()));
        let fault = Body::Fault(Fault::new(0, FaultStatus::ACCESS_DENIED));
        send(
            &stream,
            &answer(&read_pdu(&stream), (PacketType::FAULT, fault)),
        );
        read_to_end(&stream);
    });
    let refused = epm(&["lookup", &faulting]);
    assert_fails(refused, 4, &["call", "access denied (0x5)", "--user"]);
}

#[test]
fn a_status_is_told_by_name_and_number() {
    let failing = mapper(Vec::new(), EptStatus::CANT_PERFORM_OP);
    let refused = epm(&["lookup", &failing]);
    assert_fails(refused, 4, &["call", "ept_s_cant_perform_op (0x16c9a0cd)"]);
}

// Output

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let run = Run::with_config(&ConfigFile::new(&endpoints(2000)));
    for form in [&[][..], &["--json"], &["--config"]] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_epm"))
            .args(["lookup", &run.address().to_string()])
            .args(form)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let finished = child.wait_with_output().unwrap();
        assert_eq!(finished.status.code(), Some(0), "{form:?}");
        assert_eq!(String::from_utf8(finished.stderr).unwrap(), "");
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let run = Run::with_config(&ConfigFile::new(""));
    let finished = std::process::Command::new(env!("CARGO_BIN_EXE_epm"))
        .args(["lookup", &run.address().to_string()])
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(finished.status.code(), Some(5));
    let message = String::from_utf8(finished.stderr).unwrap();
    assert!(
        message.contains("standard output: No space left"),
        "{message}"
    );
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_epm"))
        .arg("--help")
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .output();
    assert_eq!(help.unwrap().status.code(), Some(5));
    let nowhere = epm(&["man", "--dir", "/proc/nowhere"]);
    assert_fails(nowhere, 5, &["/proc/nowhere"]);
    let taken = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(taken.path().join("epm-map.1")).unwrap();
    let taken = epm(&["man", "--dir", taken.path().to_str().unwrap()]);
    assert_fails(taken, 5, &["epm-map.1", "directory"]);
}

#[test]
fn nothing_of_a_server_steers_the_terminal() {
    let steering = mapper(
        vec![(
            ncalrpc("\x1b[2J\u{9b}2J\u{2066}"),
            b"\x1b]0;title\x07\xc2\x9b2J\xe2\x80\xae\xff",
        )],
        EptStatus::OK,
    );
    let table = stdout(&epm(&["lookup", &steering]).success());
    let steers = |c: char| c != '\n' && c != '\u{fffd}' && !(' '..='~').contains(&c);
    assert!(!table.contains(steers), "{table:?}");
    let annotation = "\\u{1b}]0;title\\u{7}\\u{9b}2J\\u{202e}\u{fffd}";
    assert!(table.contains(annotation), "{table}");
}

// Against the daemon

/// A configuration with two interfaces, one with an object.
const CONFIG: &str = r#"
[[endpoint]]
interface = "12345778-1234-abcd-ef00-0123456789ac"
version = "1.0"
annotation = "Security accounts"
transfer_syntax = ["ndr", "ndr64"]
bindings = ["ncalrpc:[samr]", "ncacn_ip_tcp:[49152]"]

[[endpoint]]
interface = "12345778-1234-abcd-ef00-0123456789ac"
version = "1.0"
annotation = "Security accounts"
bindings = ["ncacn_np:\\\\FILES[\\pipe\\samr]", "ncadg_ip_udp:192.0.2.7[49153]"]

[[endpoint]]
interface = "12345778-1234-abcd-ef00-0123456789ab"
version = "0.0"
object = "00000001-0000-0000-0000-000000000000"
bindings = ["ncacn_ip_tcp:[49152]"]
"#;

/// An endpoint of a configuration whose annotation holds control characters.
const CONTROLS: &str = r#"
[[endpoint]]
interface = "12345778-1234-abcd-ef00-0123456789ac"
version = "1.0"
annotation = "tab\t line\r\n \u0007\u001b[2J \u007f\u009b\u202e '''\"\"\""
bindings = ["ncalrpc:[controls]"]
"#;

#[test]
fn a_lookup_lists_what_is_registered() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address();
    let table = stdout(&epm(&["lookup", &address.to_string()]).success());
    let own = format!("ncacn_ip_tcp:127.0.0.1[{}]", address.port());
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let samr = &format!("{SAMR}:1.0");
    let lsarpc = &format!("{LSARPC}:0.0");
    let accounts = "Security accounts";
    let object = format!("{UNKNOWN}@ncacn_ip_tcp:127.0.0.1[49152]");
    let expected = [
        &["INTERFACE", "NAME", "SYNTAX", "BINDING", "ANNOTATION"][..],
        &[
            "e1af8308-5d1f-11c9-91a4-08002b14a0fa:3.0",
            "epmapper",
            "ndr",
            &own,
            "Endpoint mapper",
        ],
        &[samr, "samr", "ndr", "ncalrpc:[samr]", accounts],
        &[samr, "samr", "ndr64", "ncalrpc:[samr]", accounts],
        &[
            samr,
            "samr",
            "ndr",
            "ncacn_ip_tcp:127.0.0.1[49152]",
            accounts,
        ],
        &[
            samr,
            "samr",
            "ndr64",
            "ncacn_ip_tcp:127.0.0.1[49152]",
            accounts,
        ],
        &[
            samr,
            "samr",
            "ndr",
            r"ncacn_np:\\\\FILES[\\pipe\\samr]",
            accounts,
        ],
        &[
            samr,
            "samr",
            "ndr",
            "ncadg_ip_udp:192.0.2.7[49153]",
            accounts,
        ],
        &[lsarpc, "lsarpc", "ndr", &object],
    ];
    assert_eq!(rows, expected, "{table}");
    assert!(!table.contains('\x1b'), "colour is for terminals");
}

#[test]
fn a_lookup_asks_by_interface_version_and_object() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address().to_string();
    for (arguments, count) in [
        (&[][..], 8),
        (&["--interface", "samr"], 6),
        (&["--interface", SAMR], 6),
        (&["--interface", "samr:1.1"], 0),
        (&["--interface", "samr:1.1", "--versions", "major-only"], 6),
        (&["--interface", "samr:1.1", "--versions", "up-to"], 6),
        (&["--interface", "samr:1.1", "--versions", "exact"], 0),
        (&["--interface", "samr:2.0", "--versions", "all"], 6),
        (&["--object", UNKNOWN], 1),
        (&["--object", "00000000-0000-0000-0000-000000000000"], 7),
        (&["--interface", "samr", "--object", UNKNOWN], 0),
        (&["--interface", UNKNOWN], 0),
    ] {
        let assert = epm(&[&["lookup", &address, "--json"], arguments].concat());
        let assert = assert.code(if count == 0 { 1 } else { 0 });
        let entries = json(&assert)["entries"].as_array().unwrap().len();
        assert_eq!(entries, count, "{arguments:?}");
    }
}

#[test]
fn a_lookup_without_entries_tells_what_was_asked_for() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address().to_string();
    let mapper = format!("ncacn_ip_tcp:127.0.0.1[{}]", run.address().port());
    let samr = ["--interface", "samr:2.0"];
    let exact = ["--interface", "SAMR", "--versions", "major-only"];
    let nil = Uuid::nil().to_string();
    for (arguments, asked) in [
        (
            &samr[..],
            format!("with interface samr ({SAMR}:2.0), versions compatible\n"),
        ),
        (
            &[&exact[..], &["--object", UNKNOWN]].concat(),
            format!("with interface samr ({SAMR}:1.0), versions major-only and object {UNKNOWN}\n"),
        ),
        (
            &["--interface", UNKNOWN, "--object", &nil],
            format!("with interface {UNKNOWN}, any version and no object\n"),
        ),
    ] {
        let nothing = epm(&[&["lookup", &address], arguments].concat());
        let message = format!("nothing registered at {mapper} {asked}");
        assert_fails(nothing, 1, &[&message]);
    }
    let empty = self::mapper(Vec::new(), EptStatus::NOT_REGISTERED);
    let nothing = epm(&["lookup", &empty]);
    let (_, port) = empty.rsplit_once(':').unwrap();
    let message = format!("nothing registered at ncacn_ip_tcp:127.0.0.1[{port}]\n");
    assert_fails(nothing, 1, &[&message]);
}

#[test]
fn a_lookup_gives_programs_one_document() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address();
    let document = json(&epm(&["lookup", &address.to_string(), "--json"]).success());
    assert_eq!(
        document["mapper"],
        format!("ncacn_ip_tcp:127.0.0.1[{}]", address.port())
    );
    let entry = document["entries"].as_array().unwrap().last().unwrap();
    let expected = serde_json::json!({
        "object": UNKNOWN,
        "annotation": "",
        "interface": LSARPC,
        "version": "0.0",
        "name": "lsarpc",
        "transfer_syntax": "ndr",
        "protocol_sequence": "ncacn_ip_tcp",
        "binding": format!("{UNKNOWN}@ncacn_ip_tcp:127.0.0.1[49152]"),
        "tower": "050013000d785734123412cdabef000123456789ab0000020000001300\
                  0d045d888aeb1cc9119fe808002b10486002000200000001000b020000\
                  000100070200c00001000904007f000001",
    });
    assert_eq!(*entry, expected);
    assert!(document["entries"][0]["object"].is_null());
}

#[test]
fn an_export_makes_another_daemon_answer_the_same() {
    let run = Run::with_config(&ConfigFile::new(&(CONFIG.to_owned() + CONTROLS)));
    let told = registered(&run).into_iter();
    let annotations: Vec<String> = told.map(|(_, annotation, _)| annotation).collect();
    assert!(
        annotations.contains(&"tab\t line\r\n \x07\x1b[2J \x7f\u{9b}\u{202e} '''\"\"\"".to_owned()),
        "{annotations:?}"
    );
    let export = epm(&["lookup", &run.address().to_string(), "--config"]).success();
    assert_eq!(stderr(&export), "");
    let text = stdout(&export);
    assert!(
        text.contains("\"ncacn_ip_tcp:[49152]\""),
        "the dialled address is left out:\n{text}"
    );
    assert!(
        text.contains("192.0.2.7[49153]"),
        "other addresses are kept:\n{text}"
    );
    let again = Run::with_config(&ConfigFile::new(&text));
    assert_eq!(registered(&again), registered(&run));
}

#[test]
fn an_export_of_odd_entries_is_a_configuration() {
    let tcp = tower("ncacn_ip_tcp:127.0.0.1[49152]");
    let mut minor = tcp.clone();
    minor[2 + 25 + 25 + 5] = 7; // minor version of floor 3
    let mut trailing = ncalrpc("trailing");
    trailing.extend([1, 2, 3]);
    let entries: Vec<(Vec<u8>, &'static [u8])> = vec![
        (tcp, b"quote\" and back\\slash"),
        (minor, b"Geh\xe4use"),
        (trailing, b""),
        (ncalrpc("a]b,c=d"), b""),
        (vec![9, 0, 1], b"no tower"),
    ];
    let odd = mapper(entries, EptStatus::OK);
    let export = epm(&["lookup", &odd, "--config"]).success();
    for part in ["cannot be registered: 1", "last floor: 1", "no UTF-8: 1"] {
        assert!(stderr(&export).contains(part), "{}", stderr(&export));
    }
    let run = Run::with_config(&ConfigFile::new(&stdout(&export)));
    let mut annotations: Vec<String> = registered(&run).into_iter().map(|entry| entry.1).collect();
    annotations.sort();
    assert_eq!(annotations, ["", "", "Geh?use", "quote\" and back\\slash"]);
}

#[test]
fn every_conversations_end_of_a_lookup_is_accepted() {
    for conversation in ["windows", "samba", "dce"] {
        // The mapper's own entry makes a page full, or one more than that.
        for count in [0, 499, 500, 999, 1499] {
            let head = format!("conversation = \"{conversation}\"\n");
            let run = Run::with_config(&ConfigFile::new(&(head + &endpoints(count))));
            let found = json(&epm(&["lookup", &run.address().to_string(), "--json"]).success());
            let mut towers: Vec<_> = found["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["tower"].as_str().unwrap().to_owned())
                .collect();
            towers.sort();
            towers.dedup();
            assert_eq!(towers.len(), count + 1, "{conversation}");
        }
    }
}

/// What can be said of how calls are written.
const ENCODINGS: [&[&str]; 7] = [
    &[],
    &["--byte-order", "little"],
    &["--byte-order", "big"],
    &["--transfer-syntax", "ndr"],
    &["--transfer-syntax", "ndr", "--byte-order", "big"],
    &["--transfer-syntax", "ndr64"],
    &["--transfer-syntax", "ndr64", "--byte-order", "little"],
];

#[test]
fn however_calls_are_written_the_answers_are_the_same() {
    for conversation in ["windows", "samba", "dce"] {
        let config = format!("conversation = \"{conversation}\"\n{}", endpoints(700));
        let run = Run::with_config(&ConfigFile::new(&(config + CONFIG)));
        let address = run.address().to_string();
        let told = |command: &[&str], encoding: &[&str], key: &str| {
            let document = json(&epm(&[command, encoding, &["--json"]].concat()).success());
            let told = document[key].as_array().unwrap().clone();
            assert!(!told.is_empty(), "{command:?}");
            told
        };
        for (command, key) in [
            (&["lookup", &address][..], "entries"),
            (&["map", &address, "samr"], "towers"),
            (&["mgmt", &address], "interfaces"),
        ] {
            let expected = told(command, ENCODINGS[0], key);
            for encoding in ENCODINGS {
                let again = told(command, encoding, key);
                assert!(
                    again == expected,
                    "{conversation}: {command:?} {encoding:?}"
                );
            }
        }
    }
}

#[test]
fn a_map_finds_endpoints() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address().to_string();
    let table = stdout(&epm(&["map", &address, "samr"]).success());
    let [header, row] = table.lines().collect::<Vec<_>>()[..] else {
        panic!("one endpoint over TCP:\n{table}");
    };
    assert!(header.starts_with("INTERFACE") && row.contains("ncacn_ip_tcp:127.0.0.1[49152]"));

    let both = [
        "--protseq",
        "ncacn_np",
        "--protseq",
        "ncalrpc",
        "--protseq",
        "ncacn_spx",
    ];
    let found = epm(&[&["map", &address, "samr:1.0", "--json"], &both[..]].concat()).success();
    assert!(stderr(&found).contains("no ncacn_spx endpoint"));
    let towers = json(&found)["towers"].clone();
    let bindings: Vec<_> = towers
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["binding"])
        .collect();
    assert_eq!(
        bindings,
        [r"ncacn_np:\\\\FILES[\\pipe\\samr]", "ncalrpc:[samr]"]
    );
    assert_eq!(towers[0]["interface"], SAMR);

    let object = epm(&["map", &address, "lsarpc", "--object", UNKNOWN]).success();
    assert!(stdout(&object).contains("[49152]"));
}

#[test]
fn a_map_without_endpoints_exits_with_1() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address().to_string();
    for interface in ["samr:1.1", "samr:2.0", "winreg"] {
        let nothing = epm(&["map", &address, interface]);
        assert_fails(nothing, 1, &["has no ncacn_ip_tcp endpoint of"]);
    }
    let nothing = epm(&["map", &address, "samr:2.0", "--object", UNKNOWN]);
    let asked = format!("endpoint of samr ({SAMR}:2.0) for object {UNKNOWN}");
    assert_fails(nothing, 1, &[&asked]);
    let nothing = epm(&["map", &address, "winreg", "--json"]).code(1);
    assert_eq!(json(&nothing)["towers"], serde_json::json!([]));
}

#[test]
fn mgmt_tells_interfaces_and_state() {
    let run = Run::with_config(&ConfigFile::new(CONFIG));
    let address = run.address().to_string();
    let report = stdout(&epm(&["mgmt", &address]).success());
    for part in [
        "listening",
        "yes",
        "calls_in",
        "e1af8308-5d1f-11c9-91a4-08002b14a0fa:3.0",
    ] {
        assert!(report.contains(part), "{report}");
    }
    let document = json(&epm(&["mgmt", &address, "--json"]).success());
    assert_eq!(document["listening"], true);
    assert_eq!(document["interfaces"][0]["name"], "epmapper");
    assert!(document["statistics"]["calls_in"].as_u64().unwrap() > 0);
    let refused = document["refused"]["inq_princ_name ntlm"].as_str().unwrap();
    assert!(refused.contains("(0x6d3)"), "{refused}");
}

#[test]
fn every_form_of_where_is_understood() {
    let run = Run::with_config(&ConfigFile::new(""));
    let port = run.address().port();
    for server in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("ncacn_ip_tcp:127.0.0.1[{port}]"),
        format!("ncacn_ip_tcp:[{port}]"),
    ] {
        epm(&["lookup", &server]).success();
    }
    if TcpListener::bind("[::1]:0").is_err() {
        return skip::skipped("this host has no IPv6");
    }
    let run = Run::spawn(run::program().args(["--listen", "ncacn_ip_tcp:::1[0]"]));
    let port = run.address().port();
    for server in [format!("[::1]:{port}"), format!("ncacn_ip_tcp:::1[{port}]")] {
        let found = json(&epm(&["lookup", &server, "--json"]).success());
        // No address of IPv4 was dialled, so none is answered.
        assert_eq!(
            found["entries"][0]["binding"],
            format!("ncacn_ip_tcp:[{port}]")
        );
    }
}

/// The arguments of each command with which the README runs a program.
fn in_the_readme(program: &str) -> Vec<Vec<String>> {
    let start = format!("cargo run --release --bin {program} -- ");
    let lines = include_str!("../README.md").lines();
    let commands = lines.filter_map(|line| line.strip_prefix(&start));
    let word = |word: &str| word.trim_matches('\'').to_owned();
    commands
        .map(|command| command.split_whitespace().map(word).collect())
        .collect()
}

#[test]
fn the_first_run_of_the_readme_does_what_it_says() {
    let listen = "ncacn_ip_tcp:127.0.0.1[135]";
    let local = "ncalrpc:[/run/epmapper/EPMAPPER]";
    let daemon = &in_the_readme("epmapperd")[0];
    assert_eq!(daemon[2..], ["--listen", listen, "--listen", local]);
    // Port 135 and the socket may be taken here.
    let folder = tempfile::TempDir::new().unwrap();
    let socket = format!("ncalrpc:[{}]", folder.path().join("EPMAPPER").display());
    let mut command = run::program();
    command.args(&daemon[..2]).args(["--listen", run::ANY_PORT]);
    let run = Run::spawn(command.args(["--listen", &socket]));
    let told = run.log.text();
    let listening = told
        .lines()
        .filter(|line| line.starts_with("listening on "));
    assert_eq!(listening.count(), 2, "{told}");

    let server = run.address().to_string();
    let asked: Vec<String> = in_the_readme("epm")
        .into_iter()
        .filter(|arguments| arguments.get(1).is_some_and(|server| server == "127.0.0.1"))
        .map(|mut arguments| {
            arguments[1].clone_from(&server);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            stdout(&epm(&arguments).success())
        })
        .collect();
    let [mapped, found] = &asked[..] else {
        panic!("{} commands of epm", asked.len());
    };
    let endpoint = "ncacn_ip_tcp:127.0.0.1[49152]";
    assert!(mapped.trim_end().ends_with(endpoint), "{mapped}");
    for part in [endpoint, "Security accounts", "ncalrpc:[samr]"] {
        assert!(found.contains(part), "no {part} in:\n{found}");
    }
    registers_by_the_readme(&socket);
}

/// Registers, looks and deletes as the README does, at another socket.
fn registers_by_the_readme(socket: &str) {
    let told: Vec<String> = in_the_readme("epm")
        .into_iter()
        .filter(|arguments| ["insert", "status", "delete"].contains(&arguments[0].as_str()))
        .map(|arguments| {
            let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            arguments.splice(1..1, ["--at", socket]);
            // What the README quotes is one word.
            if let Some(place) = arguments.iter().position(|word| *word == "--annotation") {
                arguments.splice(place + 1.., ["my service"]);
            }
            stdout(&epm(&arguments).success())
        })
        .collect();
    let [_, status, _] = &told[..] else {
        panic!("{} commands that register", told.len());
    };
    for part in [
        "rpcecho",
        "ncacn_ip_tcp:127.0.0.1[5000]",
        "my service",
        "probe",
    ] {
        assert!(status.contains(part), "no {part} in:\n{status}");
    }
    let status = stdout(&epm(&["status", "--at", socket]).success());
    assert!(!status.contains("my service"), "{status}");
}

/// What a daemon has registered, its own endpoint aside, in a stable order:
/// tower, annotation and object.
fn registered(run: &Run) -> Vec<(String, String, String)> {
    let found = json(&epm(&["lookup", &run.address().to_string(), "--json"]).success());
    let entries = found["entries"].as_array().unwrap().iter();
    let mut entries: Vec<_> = entries
        .filter(|entry| entry["name"] != "epmapper")
        .map(|entry| {
            let text = |key| entry[key].as_str().unwrap_or_default().to_owned();
            (text("tower"), text("annotation"), text("object"))
        })
        .collect();
    entries.sort();
    entries
}

/// A configuration with so many endpoints.
fn endpoints(count: usize) -> String {
    let endpoint = |n: usize| {
        let interface = Uuid::from_u128(n as u128 + 1);
        format!(
            "[[endpoint]]\ninterface = \"{interface}\"\nversion = \"1.0\"\nbindings = [\"ncalrpc:[e{n}]\"]\n"
        )
    };
    (0..count).map(endpoint).collect()
}

// Servers made by hand

/// Serves one connection; returns where.
fn serve(server: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        server(stream);
    });
    address.to_string()
}

/// A mapper that answers one lookup with these towers and annotations.
fn mapper(entries: Vec<(Vec<u8>, &'static [u8])>, status: EptStatus) -> String {
    serve(move |stream| {
        send(&stream, &answer(&read_pdu(&stream), accepted()));
        let mut referents = Referents::after(0);
        let entry =
            |(tower, annotation)| Entry::new(&mut referents, Uuid::nil(), tower, annotation);
        let page = LookupResponse {
            handle: ContextHandle::NULL,
            max_ents: 500,
            entries: entries.into_iter().map(entry).collect(),
            status,
        };
        let mut stub = Vec::new();
        page.encode(&mut Output::new(&mut stub, ByteOrder::Little));
        let response = Response {
            alloc_hint: 0,
            context_id: 0,
            cancel_count: 0,
            reserved: 0,
            stub: &stub,
        };
        let body = (PacketType::RESPONSE, Body::Response(response));
        send(&stream, &answer(&read_pdu(&stream), body));
        read_to_end(&stream);
    })
}

fn tower(binding: &str) -> Vec<u8> {
    let samr = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);
    let tower = TowerBuf::from_binding(samr, SyntaxId::NDR, &binding.parse().unwrap());
    tower.unwrap().octets().to_owned()
}

/// The tower of a local endpoint, whatever its name.
fn ncalrpc(name: &str) -> Vec<u8> {
    let samr = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);
    let mut binding: epmapper::wire::binding::Binding = "ncalrpc:".parse().unwrap();
    binding.endpoint = name.to_owned();
    let tower = TowerBuf::from_binding(samr, SyntaxId::NDR, &binding);
    tower.unwrap().octets().to_owned()
}

/// Reads one PDU, or nothing at the end.
fn read_pdu(mut stream: &TcpStream) -> Vec<u8> {
    let mut octets = vec![0; Header::LEN];
    stream.read_exact(&mut octets).unwrap();
    octets.resize(Header::peek_frag_length(&octets).unwrap().into(), 0);
    stream.read_exact(&mut octets[Header::LEN..]).unwrap();
    octets
}

fn send(mut stream: &TcpStream, octets: &[u8]) {
    stream.write_all(octets).unwrap();
}

/// Waits until the client has closed.
fn read_to_end(mut stream: &TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// The answer to a PDU.
fn answer(asked: &[u8], (ptype, body): (PacketType, Body<'_>)) -> Vec<u8> {
    let asked = Header::decode(asked).unwrap();
    let whole = PfcFlags::FIRST_FRAG | PfcFlags::LAST_FRAG;
    let header = Header::new(ptype, whole, asked.drep, asked.call_id);
    let mut octets = Vec::new();
    Pdu::new(header, body).encode(&mut octets);
    octets
}

/// A bind_ack that accepts NDR 2.0, declines NDR64 and knows no features.
fn accepted() -> (PacketType, Body<'static>) {
    static RESULTS: std::sync::LazyLock<ResultsBuf> = std::sync::LazyLock::new(|| {
        let not_specified = ProviderReason::NOT_SPECIFIED;
        let not_supported = ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED;
        let mut results = ResultsBuf::new(ByteOrder::Little);
        for (result, reason) in [
            (ContextResult::ACCEPTANCE, not_specified),
            (ContextResult::PROVIDER_REJECTION, not_supported),
            (ContextResult::NEGOTIATE_ACK, not_specified),
        ] {
            results.push(context_answer(result, reason));
        }
        results
    });
    ack(&RESULTS)
}

fn ack(results: &ResultsBuf) -> (PacketType, Body<'_>) {
    let ack = BindAck {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 1,
        secondary_address: b"135\0",
        secondary_pad: &[0; 2],
        results: results.as_results(),
    };
    (PacketType::BIND_ACK, Body::BindAck(ack))
}

fn context_answer(result: ContextResult, reason: ProviderReason) -> ContextAnswer {
    let transfer_syntax = match result {
        ContextResult::ACCEPTANCE => SyntaxId::NDR,
        _ => SyntaxId::new(Uuid::nil(), 0, 0),
    };
    ContextAnswer {
        result,
        reason,
        transfer_syntax,
    }
}
