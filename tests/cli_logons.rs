//! `epm` and passwords: where they come from, and where they do not get to.

#![cfg(feature = "tools")]

use assert_cmd::Command;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

const SECRET: &str = "Sesame-4711";

/// Exit statuses of `epm`.
const USAGE: i32 = 2;
const SYSTEM: i32 = 5;

/// What `epm` ends with and says; it must neither hang nor tell a secret.
fn epm(arguments: &[&str], variable: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epm"));
    command.args(arguments).env_remove("EPM_PASSWORD");
    command.envs(variable.map(|value| ("EPM_PASSWORD", value)));
    let output = command.timeout(Duration::from_secs(60)).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(
        !text.contains(SECRET) && !text.contains("panicked"),
        "{text}"
    );
    (output.status.code(), text)
}

/// An address where somebody listens who closes every connection.
fn closing() -> String {
    let listener = TcpListener::bind("127.0.93.6:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    address
}

#[test]
fn a_password_file_that_others_can_use_is_refused_before_anybody_is_asked() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, SECRET).unwrap();
    let file = path.to_str().unwrap();
    for mode in [0o644, 0o640, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let arguments = ["lookup", "192.0.2.1", "--user", "alice", "--password-file"];
        // The environment does not stand in for it.
        let (code, text) = epm(&[&arguments[..], &[file]].concat(), Some(SECRET));
        assert_eq!(code, Some(USAGE), "{text}");
        assert!(text.contains("chmod 600"), "{text}");
    }
}

#[test]
fn a_password_file_that_cannot_be_read_is_told() {
    let arguments = ["lookup", "192.0.2.1", "--user", "alice", "--password-file"];
    let (code, text) = epm(&[&arguments[..], &["/nonexistent"]].concat(), None);
    assert_eq!(code, Some(SYSTEM), "{text}");
    assert!(text.contains("/nonexistent"), "{text}");
}

#[test]
fn the_password_of_the_environment_is_told_to_nobody() {
    let address = closing();
    for options in [&["--ntlm"][..], &[], &["--level", "connect"]] {
        for command in [&["lookup"][..], &["mgmt"], &["lookup", "--json"]] {
            let asked = [command, &[&address, "--user", "LAB\\alice"], options].concat();
            let (code, text) = epm(&asked, Some(SECRET));
            assert_eq!(code, Some(4), "{text}");
            assert!(text.contains("bind"), "{text}");
        }
    }
}

#[test]
fn there_is_no_option_that_takes_a_password() {
    let (code, help) = epm(&["lookup", "--help"], None);
    assert_eq!(code, Some(0));
    for option in [
        "--user",
        "--ntlm",
        "--kerberos",
        "--level",
        "--password-file",
    ] {
        assert!(help.contains(option), "{help}");
    }
    let (code, _) = epm(&["lookup", "--password", "x"], None);
    assert_eq!(code, Some(USAGE));
}
