//! `epm` with credentials against `epmapperd`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::authenticated::{requiring_all, ruled};
use crate::logon::{ACCOUNTS, DOMAIN};
use crate::programs::{self, Finished};
use crate::registry::hex;
use crate::session::{Session, assert_equal};

/// Exit status of `epm` when a server refuses.
const REFUSED: i32 = 4;
/// How `epm` is told of SPNEGO, which it takes by itself, and of NTLM alone.
const MECHANISMS: [&[&str]; 2] = [&[], &["--ntlm"]];

/// Runs `epm` as an account.
fn epm_as([account, password]: [&str; 2], words: &[&str], options: &[&str]) -> Finished {
    let folder = TempDir::new().expect("a folder for the password");
    let file = folder.path().join("password");
    fs::write(&file, format!("{password}\n")).expect("the password is written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("a private file");
    let user = format!("{DOMAIN}\\{account}");
    let file = file.to_str().expect("UTF-8");
    let logon = ["--user", &user, "--password-file", file];
    epm(&[words, &logon, options].concat())
}

fn epm(arguments: &[&str]) -> Finished {
    programs::run(Path::new(env!("CARGO_BIN_EXE_epm")), arguments, "")
}

#[test]
fn epm_lists_as_an_account_at_each_level() {
    let [alice, [_, wrong]] = ACCOUNTS;
    for (number, level) in (1..).zip(["connect", "integrity", "privacy"]) {
        // Not recorded: tshark 4.0 does not read answers in NDR64.
        let session = requiring_all(100 + number, 501, level);
        let address = session.address().to_string();
        let words = ["lookup", &address, "--json"];
        for mechanism in MECHANISMS {
            for order in ["little", "big"] {
                let options = [mechanism, &["--level", level, "--byte-order", order]].concat();
                let found = epm_as(alice, &words, &options);
                found.assert_success();
                assert_equal(towers(&found), expected(&session));
            }
        }
        session.finish();
    }
    let session = requiring_all(104, 13, "integrity");
    let address = session.address().to_string();
    let words = ["lookup", &address];
    for mechanism in MECHANISMS {
        for account in [[alice[0], wrong], ["mallory", wrong]] {
            let refused = epm_as(account, &words, mechanism);
            assert_eq!(refused.status.code(), Some(REFUSED), "{refused:#?}");
            assert!(refused.stderr.contains("the server refused the logon"));
            assert!(!refused.text().contains(wrong));
        }
        let low = epm_as(
            alice,
            &words,
            &[mechanism, &["--level", "connect"]].concat(),
        );
        assert_eq!(low.status.code(), Some(REFUSED), "{low:#?}");
    }
    let nobody = epm(&words);
    assert_eq!(nobody.status.code(), Some(REFUSED), "{nobody:#?}");
    session.finish();
}

/// The towers that `epm` lists.
fn towers(found: &Finished) -> Vec<String> {
    let document: Value = serde_json::from_str(&found.stdout).expect("JSON");
    let entries = document["entries"].as_array().expect("a list");
    let tower = |entry: &Value| entry["tower"].as_str().map(str::to_owned);
    entries.iter().filter_map(tower).collect()
}

/// Those that there are.
fn expected(session: &Session) -> Vec<String> {
    let entries = session.entries();
    entries.iter().map(|entry| hex(&entry.tower())).collect()
}

#[test]
fn epm_inserts_over_the_network_as_an_account_that_a_rule_names() {
    let session = ruled(105, "", "[[register]]\naccounts = [\"alice\"]\n");
    let address = session.address().to_string();
    let words = [
        "insert",
        "5a3d0003-7c11-4d5e-9a00-000000000001:1.0",
        "ncacn_ip_tcp:[50001]",
        "--at",
        &address,
    ];
    let [alice, bob] = ACCOUNTS;
    for mechanism in MECHANISMS {
        let refused = epm_as(bob, &words, mechanism);
        assert_eq!(refused.status.code(), Some(REFUSED), "{refused:#?}");
        epm_as(alice, &words, mechanism).assert_success();
    }
    let log = session.daemon.log();
    for account in [
        "result=\"refused\" address=127.0.0.1 account=\"bob\"",
        "account=\"alice\"",
    ] {
        assert!(log.contains(account), "{log}");
    }
    session.finish();
}
