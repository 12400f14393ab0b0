//! `epm` logs on at Samba's mappers: signed and sealed, by NTLM and SPNEGO.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "interop/programs.rs"]
mod programs;
#[path = "interop/samba_mapper.rs"]
mod samba_mapper;

use samba_mapper::{Kind, SambaMapper};
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Exit status of `epm` when a server refuses.
const REFUSED: i32 = 4;

/// A Samba, and files with passwords.
struct Peer {
    mapper: SambaMapper,
    folder: TempDir,
}

impl Peer {
    /// `None` where Samba is not installed.
    fn start(kind: Kind, address: Ipv4Addr) -> Option<Peer> {
        Some(Peer {
            mapper: SambaMapper::start(kind, address)?,
            folder: TempDir::new().unwrap(),
        })
    }

    /// A file with a password.
    fn file(&self, password: &str) -> PathBuf {
        let path = self.folder.path().join("password");
        fs::write(&path, format!("{password}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// What `epm` says that logs on so.
    fn epm(&self, command: &[&str], password: &str, options: &[&str]) -> programs::Finished {
        let file = self.file(password);
        let address = self.mapper.address().to_string();
        let (user, domain) = (self.mapper.told("user"), self.mapper.told("domain"));
        let user = format!("{domain}\\{user}");
        let words = [&command[..1], &[&address], &command[1..]].concat();
        let logon = ["--user", &user, "--password-file", file.to_str().unwrap()];
        let arguments = [&words[..], &logon, options].concat();
        programs::run(Path::new(env!("CARGO_BIN_EXE_epm")), &arguments, "")
    }

    /// Asserts that whoever logs on is answered as whoever does not.
    fn answers_who_logs_on(&self) {
        let address = self.mapper.address().to_string();
        let epm = Path::new(env!("CARGO_BIN_EXE_epm"));
        let anonymous = programs::run(epm, &["lookup", &address], "");
        anonymous.assert_success();
        assert!(anonymous.stdout.lines().count() > 30);
        let password = self.mapper.told("password");
        for mechanism in [&["--ntlm"][..], &[]] {
            for protection in [&["--level", "integrity"][..], &["--level", "privacy"], &[]] {
                for order in ["little", "big"] {
                    let order = ["--byte-order", order];
                    let options = [mechanism, protection, &order].concat();
                    let found = self.epm(&["lookup"], &password, &options);
                    found.assert_success();
                    assert_eq!(found.stdout, anonymous.stdout, "{options:?}");
                }
            }
            self.epm(&["map", "samr"], &password, mechanism)
                .assert_success();
            self.epm(&["mgmt"], &password, mechanism).assert_success();
        }
    }

    /// Asserts that a wrong password is told as such, and that nothing secret is.
    fn refuses_a_wrong_password(&self) {
        for mechanism in [&["--ntlm"][..], &[]] {
            let refused = self.epm(&["lookup"], "wrong-Secret7", mechanism);
            assert_eq!(refused.status.code(), Some(REFUSED), "{}", refused.text());
            let told = refused.text();
            assert!(told.contains("the server refused the logon"), "{told}");
            assert!(!told.contains("wrong-Secret7"), "{told}");
        }
    }
}

#[test]
fn samba_dcerpcd_answers_who_logs_on() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 93, 3)) else {
        return;
    };
    peer.answers_who_logs_on();
    peer.refuses_a_wrong_password();
}

#[test]
fn a_domain_controller_answers_who_logs_on() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 93, 4)) else {
        return;
    };
    peer.answers_who_logs_on();
    peer.refuses_a_wrong_password();
}
