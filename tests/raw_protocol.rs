//! Samba's suite `samba.tests.dcerpc.raw_protocol`, which was written against Windows, against `epmapperd`.
//!
//! tests/raw_protocol/suite.py runs every test of it, and tests/raw_protocol/expected.tsv lists every test by name, with
//! what it needs and how it ends. Nothing is left out by a pattern: a test that ends in another way than listed fails
//! this one, and so does one that is in the list only or in the suite only.
//!
//! What the suite wants to find through the mapper is a server of the test's own, on `epmapper::host`.

#![cfg(feature = "daemon")]

#[path = "interop/accounts.rs"]
mod accounts;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "raw_protocol/netlogon.rs"]
mod netlogon;
#[path = "interop/programs.rs"]
mod programs;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use accounts::Accounts;
use daemon::Daemon;
use netlogon::Netlogon;
use programs::Finished;

/// The list, one test a line: name, need, outcome.
const LIST: &str = include_str!("raw_protocol/expected.tsv");
/// Every need, and how many tests have it.
const NEEDS: [(&str, usize); 8] = [
    ("anon", 59),
    ("trailer", 13),
    ("firstleg", 19),
    ("ntlmssp", 43),
    ("spnego", 23),
    ("krb5", 9),
    ("service", 16),
    ("smb", 12),
];
/// What an endpoint mapper with NTLM, and SPNEGO around it, has to meet, and a server that is found through it.
const REQUIRED: [&str; 6] = [
    "anon", "trailer", "firstleg", "ntlmssp", "spnego", "service",
];
/// What is required and cannot be met without Kerberos; the list's head says why.
const EXCEPTIONS: [&str; 1] = ["test_spnego_multiple_auth_hdr_signing"];
const PASS: &str = "pass";

/// Where the mapper has port 135, and the stand-in some other.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 60, 1);
/// Whom the suite logs on as.
const ACCOUNT: [&str; 2] = ["tester", "Suite-Secret7"];
/// Security contexts of a connection: the suite wants to know the limit.
const CONTEXTS: u32 = 8;

#[test]
fn every_test_of_the_suite_ends_as_listed() {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    let accounts = Accounts::of(&[ACCOUNT]);
    let config = format!(
        "[limits]\nsecurity_contexts = {CONTEXTS}\n{}anonymous = true\n",
        accounts.config()
    );
    let folder = TempDir::new().expect("a folder for the local socket");
    let socket = format!("ncalrpc:[{}/mapper]", folder.path().display());
    let mut daemon = Daemon::start_also_on(ADDRESS, std::slice::from_ref(&socket), &config);
    let netlogon = Netlogon::start(ADDRESS, socket.parse().expect("a binding"));
    let run = Run::of(&run_suite(&python, daemon.address()));
    daemon.assert_alive("the suite");
    netlogon.stop();
    let list = listed();
    let differences = run.differences(&list);
    assert!(
        differences.is_empty(),
        "{}\n{} differences from tests/raw_protocol/expected.tsv; samba is {}",
        differences.join("\n"),
        differences.len(),
        run.version
    );
    let (status, log) = daemon.stop();
    assert!(
        status.success(),
        "epmapperd ended with {status}; its log:\n{log}"
    );
    // Not eprintln, which the test harness keeps to itself when a test passes.
    let _ = writeln!(io::stderr(), "{}", closing_line(&list, &run));
}

#[test]
fn the_list_has_every_test_once_and_what_is_required_passes() {
    let list = listed();
    for (need, count) in NEEDS {
        let found = list.iter().filter(|test| test.need == need).count();
        assert_eq!(found, count, "tests that need {need}");
    }
    let names: BTreeMap<_, _> = list.iter().map(|test| (test.name, test)).collect();
    let all = NEEDS.iter().map(|(_, count)| count).sum();
    assert_eq!((names.len(), list.len()), (all, all));
    let failing = |test: &&Listed| REQUIRED.contains(&test.need) && test.outcome != PASS;
    let failing: Vec<_> = list.iter().filter(failing).map(|test| test.name).collect();
    assert_eq!(failing, EXCEPTIONS);
}

#[test]
fn what_begins_to_pass_begins_to_fail_or_is_on_one_side_only_is_a_difference() {
    let listed = |name, outcome| Listed {
        name,
        need: "anon",
        outcome,
    };
    let list = [
        listed("as_listed", "fail"),
        listed("mended", "error"),
        listed("broken", PASS),
        listed("gone", PASS),
    ];
    let run = Run::of(&Finished {
        status: Default::default(),
        stdout: [
            ended("as_listed", "fail"),
            ended("mended", PASS),
            ended("broken", "fail"),
            ended("new", PASS),
            "{\"ran\": 4, \"version\": \"4\"}".to_owned(),
        ]
        .join("\n"),
        stderr: String::new(),
    });
    let differences = run.differences(&list);
    let begin = |text: &String| text.split(&[' ', ':']).next().map(str::to_owned);
    let names: Vec<_> = differences.iter().filter_map(begin).collect();
    assert_eq!(names, ["mended", "broken", "gone", "new"]);
}

#[test]
#[should_panic(expected = "the run ended early")]
fn a_run_that_ended_early_is_no_run() {
    Run::of(&Finished {
        status: Default::default(),
        stdout: ended("first", PASS),
        stderr: String::new(),
    });
}

/// A line of suite.py.
fn ended(test: &str, outcome: &str) -> String {
    format!("{{\"test\": \"{test}\", \"outcome\": \"{outcome}\", \"story\": \"\"}}")
}

/// A test as it is listed.
#[derive(Debug)]
struct Listed<'a> {
    name: &'a str,
    need: &'a str,
    outcome: &'a str,
}

/// The whole list.
fn listed() -> Vec<Listed<'static>> {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [name, need, outcome] => Listed {
                name,
                need,
                outcome,
            },
            _ => panic!("no test, need and outcome: {line:?}"),
        })
        .collect()
}

/// Runs the suite to its end; what it writes goes away with a folder of its own.
fn run_suite(python: &Path, address: Ipv4Addr) -> Finished {
    let folder = TempDir::new().expect("a folder for the suite");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raw_protocol/suite.py");
    let [script, folder] = [&*script, folder.path()].map(|path| path.to_str().expect("UTF-8"));
    // Neither the environment's modules nor any bytecode beside the script.
    let (address, contexts) = (address.to_string(), CONTEXTS.to_string());
    let [account, password] = ACCOUNT;
    let arguments = [
        "-I", "-B", script, &address, folder, account, password, &contexts,
    ];
    programs::run(python, &arguments, "")
}

/// How each test ended.
struct Run {
    tests: BTreeMap<String, Ended>,
    /// The version of Samba that the suite belongs to.
    version: String,
}

/// How one test ended.
struct Ended {
    outcome: String,
    /// What it said, and the octets that went to and fro.
    story: String,
}

impl Run {
    /// Reads what suite.py wrote; fails the test unless it came to its end.
    fn of(finished: &Finished) -> Run {
        let mut tests = BTreeMap::new();
        let mut end = None;
        for line in finished.stdout.lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |key: &str| line[key].as_str().map(str::to_owned);
            let Some(name) = text("test") else {
                end = text("version").zip(line["ran"].as_u64());
                continue;
            };
            let (outcome, story) = text("outcome").zip(text("story")).expect("an outcome");
            let before = tests.insert(name.clone(), Ended { outcome, story });
            assert!(before.is_none(), "{name} ran twice");
        }
        let whole = end.filter(|(_, ran)| *ran == tests.len() as u64 && finished.status.success());
        let Some((version, _)) = whole else {
            panic!(
                "the run ended early, with {}, after {} tests:\n{}",
                finished.status,
                tests.len(),
                finished.stderr
            );
        };
        Run { tests, version }
    }

    /// What is not as listed, with the story of each.
    fn differences(&self, list: &[Listed]) -> Vec<String> {
        let mut differences: Vec<String> = list
            .iter()
            .filter_map(|test| self.difference(test))
            .collect();
        let is_listed = |name: &str| list.iter().any(|test| test.name == name);
        let unlisted = self.tests.iter().filter(|(name, _)| !is_listed(name));
        differences.extend(unlisted.map(|(name, ended)| {
            format!("{name}: not in the list, ended with `{}`", ended.outcome)
        }));
        differences
    }

    fn difference(&self, test: &Listed) -> Option<String> {
        let Listed {
            name,
            need,
            outcome,
        } = test;
        match self.tests.get(*name) {
            None => Some(format!("{name} ({need}): not in the suite")),
            Some(ended) if ended.outcome != *outcome => Some(format!(
                "{name} ({need}): listed as `{outcome}`, ended with `{}`:\n{}",
                ended.outcome, ended.story
            )),
            Some(_) => None,
        }
    }
}

/// How many tests there were, and how many of each need pass.
fn closing_line(list: &[Listed], run: &Run) -> String {
    let counts = NEEDS.map(|(need, count)| {
        let passes = |test: &&Listed| test.need == need && test.outcome == PASS;
        format!("{need} {} of {count}", list.iter().filter(passes).count())
    });
    format!(
        "raw_protocol: {} tests of samba {} ended as listed; passed are {} (those of krb5 in the stage kerberos)",
        run.tests.len(),
        run.version,
        counts.join(", ")
    )
}
