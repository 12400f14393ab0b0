//! Samba's own mapper on a loopback address, by tests/samba-peer.sh.

#![allow(dead_code)] // each test binary takes the half that it needs

use crate::programs::{self, Finished};
use std::net::Ipv4Addr;
use std::path::Path;
use tempfile::TempDir;

/// Samba's two mappers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// samba-dcerpcd with its helper rpcd_epmapper.
    S3,
    /// The `samba` of a domain controller.
    S4,
}

/// A running Samba, stopped when dropped.
pub struct SambaMapper {
    address: Ipv4Addr,
    folder: TempDir,
    /// What the script said of it: words, most of them `KEY=VALUE`.
    ready: String,
}

impl SambaMapper {
    /// Starts a Samba; `None` where it is not installed.
    pub fn start(kind: Kind, address: Ipv4Addr) -> Option<SambaMapper> {
        SambaMapper::start_with(kind, address, &[])
    }

    /// The same with `NAME=VALUE` in the script's environment.
    pub fn start_with(kind: Kind, address: Ipv4Addr, environment: &[&str]) -> Option<SambaMapper> {
        programs::find_file("/usr/sbin/smbd")?;
        if kind == Kind::S4 {
            // What a domain controller is made from has a package of its own.
            programs::find_file("/usr/share/samba/setup")?;
        }
        let folder = TempDir::new().expect("a folder for Samba");
        let mut mapper = SambaMapper {
            address,
            folder,
            ready: String::new(),
        };
        let kind = if kind == Kind::S3 { "s3" } else { "s4" };
        let (script, address) = (script(), address.to_string());
        let start = [&script, "start", mapper.folder(), &address, kind];
        let started = programs::run(
            Path::new("/usr/bin/env"),
            &[environment, &start].concat(),
            "",
        );
        started.assert_success();
        mapper.ready = started.stdout;
        Some(mapper)
    }

    /// Where it serves.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// What is private to it.
    pub fn folder(&self) -> &str {
        self.folder.path().to_str().expect("a path in UTF-8")
    }

    /// What the script said after a key and `=`.
    pub fn told(&self, key: &str) -> String {
        let value = self.ready.split_whitespace().find_map(|word| {
            let (name, value) = word.split_once('=')?;
            (name == key).then_some(value)
        });
        value
            .unwrap_or_else(|| panic!("no {key} in {:?}", self.ready))
            .to_owned()
    }

    /// Calls the script for it.
    pub fn script(&self, command: &str, arguments: &[String]) -> Finished {
        let all = [command, self.folder()]
            .into_iter()
            .chain(arguments.iter().map(String::as_str));
        let finished = programs::run(Path::new(&script()), &all.collect::<Vec<_>>(), "");
        finished.assert_success();
        finished
    }
}

impl Drop for SambaMapper {
    fn drop(&mut self) {
        if self.folder.path().join("peer.pid").exists() {
            let _ = programs::run(Path::new(&script()), &["stop", self.folder()], "");
        }
    }
}

fn script() -> String {
    format!("{}/tests/samba-peer.sh", env!("CARGO_MANIFEST_DIR"))
}
