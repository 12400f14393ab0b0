//! A Kerberos realm on a loopback address: a KDC of MIT Kerberos, a keytab, a credential cache.
//!
//! The Kerberos library reads where its files lie from the environment, which a running process cannot change
//! without `unsafe`: a test that wants a realm runs once more, alone, in a process that has one.

#![allow(dead_code)] // each test binary takes the half that it needs

use crate::daemon::Log;
use epmapper::security::kerberos::{Kerberos, KerberosSettings};
use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// The realm's name.
pub const REALM: &str = "LAB.EXAMPLE";

/// The service whose key is in the keytab.
pub const SERVICE: &str = "host/server.lab.example";

/// A client, and its password.
pub const ALICE: (&str, &str) = ("alice", "Wonderland1");

/// The port of the KDC: one that any user may have.
const PORT: u16 = 10088;

/// Where the child of a test finds its realm.
const VARIABLE: &str = "EPMAPPER_REALM";

/// The realm that a test runs in.
pub struct Realm {
    folder: PathBuf,
}

/// How a realm is unlike others.
#[derive(Clone, Copy, Default)]
pub struct Nature {
    /// How far the KDC's clock is off, as libfaketime reads it.
    pub clock: Option<&'static str>,
    /// More lines of `[libdefaults]`.
    pub defaults: &'static str,
}

/// Runs the rest of a test in a realm of its own. `name` is the test's, `number` the last octet of the KDC's
/// address, which no other test has.
#[track_caller]
pub fn within(name: &str, number: u8, nature: Nature, test: impl FnOnce(&Realm)) {
    if let Some(folder) = env::var_os(VARIABLE) {
        let folder = folder.into();
        return test(&Realm { folder });
    }
    let folder = TempDir::new().unwrap();
    let realm = Realm {
        folder: folder.path().to_owned(),
    };
    let _kdc = realm.start(Ipv4Addr::new(127, 0, 91, number), nature);
    let mut command = realm.command(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]);
    command.env(VARIABLE, realm.folder.as_os_str());
    let output = run(&mut command, "");
    assert!(text(&output).contains("1 passed"), "no test `{name}`");
}

impl Realm {
    /// The file `name` of the realm.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the acceptor's files lie.
    pub fn settings(&self) -> KerberosSettings {
        KerberosSettings {
            keytab: self.path("keytab"),
            replay_cache: Some(self.path("replays")),
        }
    }

    /// The acceptor.
    pub fn acceptor(&self) -> Kerberos {
        Kerberos::new(self.settings()).expect("the realm's keytab is good")
    }

    /// What a process of the realm has in its environment.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut cache = OsString::from("FILE:");
        cache.push(self.path("ccache"));
        let mut variables = vec![
            ("KRB5_CONFIG", self.path("krb5.conf").into()),
            ("KRB5_KDC_PROFILE", self.path("kdc.conf").into()),
            ("KRB5CCNAME", cache),
        ];
        variables.extend(self.settings().environment());
        variables
    }

    /// Fetches a ticket granting ticket of Alice's.
    pub fn log_on(&self) {
        let (name, password) = ALICE;
        run(self.command("kinit".into()).arg(name), password);
    }

    /// Fetches a ticket for the service, too.
    pub fn fetch_ticket(&self) {
        run(self.command("kvno".into()).arg(SERVICE), "");
    }

    /// Adds a service, and gives its key to the keytab `file`.
    pub fn add_service(&self, principal: &str, file: &str) {
        self.administer(&[
            &format!("addprinc -randkey {principal}"),
            &self.gives(principal, file),
        ]);
    }

    /// Adds a key to the service, so that the old one is not used any more; the keytab `file` gets it.
    pub fn change_key(&self, principal: &str, file: &str) {
        self.administer(&[&self.gives(principal, file)]);
    }

    /// The command that makes a new key and puts it into a keytab.
    fn gives(&self, principal: &str, file: &str) -> String {
        format!("ktadd -k {} {principal}", self.path(file).display())
    }

    /// Makes the database, the files and the KDC.
    fn start(&self, address: Ipv4Addr, nature: Nature) -> Kdc {
        let Nature { clock, defaults } = nature;
        let at = format!("{address}:{PORT}");
        let folder = self.folder.display();
        let client = format!(
            "[libdefaults]\n default_realm = {REALM}\n dns_lookup_realm = false\n dns_lookup_kdc = false\n \
             dns_canonicalize_hostname = false\n rdns = false\n {defaults}\n\
             [realms]\n {REALM} = {{\n  kdc = {at}\n }}\n[domain_realm]\n .lab.example = {REALM}\n"
        );
        let kdc = format!(
            "[kdcdefaults]\n kdc_listen = {at}\n kdc_tcp_listen = {at}\n[logging]\n kdc = STDERR\n\
             [realms]\n {REALM} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n  \
             supported_enctypes = aes256-cts:normal aes128-cts:normal rc4-hmac:normal\n }}\n"
        );
        fs::write(self.path("krb5.conf"), client).unwrap();
        fs::write(self.path("kdc.conf"), kdc).unwrap();
        run(
            self.command("kdb5_util".into())
                .args(["create", "-s", "-P", "master"]),
            "",
        );
        let (name, password) = ALICE;
        self.administer(&[&format!("addprinc -pw {password} {name}")]);
        self.add_service(SERVICE, "keytab");
        Kdc::start(self, clock)
    }

    /// Has the database changed.
    fn administer(&self, commands: &[&str]) {
        for command in commands {
            let output = run(
                self.command("kadmin.local".into()).args(["-q", command]),
                "",
            );
            let said = text(&output);
            // It ends well whatever happens.
            assert!(
                said.contains("created") || said.contains("added to keytab"),
                "{command}: {said}"
            );
        }
        for keytab in [self.path("keytab"), self.path("other")] {
            if keytab.exists() {
                fs::set_permissions(keytab, Permissions::from_mode(0o600)).unwrap();
            }
        }
    }

    /// A program that knows the realm.
    fn command(&self, program: PathBuf) -> Command {
        let sbin = Path::new("/usr/sbin").join(&program);
        let mut command = Command::new(if sbin.exists() { sbin } else { program });
        command.envs(self.environment());
        command
    }
}

/// The KDC's process, ended when dropped.
struct Kdc(Child);

impl Kdc {
    /// Starts it, and returns when it answers.
    fn start(realm: &Realm, clock: Option<&str>) -> Kdc {
        let mut command = realm.command("krb5kdc".into());
        if let Some(clock) = clock {
            // Not by faketime(1), which stays between as a process of its own.
            command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1");
            command.envs([("FAKETIME", clock), ("DONT_FAKE_MONOTONIC", "1")]);
        }
        command.arg("-n").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("krb5kdc starts; Debian's krb5-kdc");
        let log = Log::of(child.stderr.take().unwrap());
        let kdc = Kdc(child);
        assert!(
            log.wait_for("commencing operation"),
            "krb5kdc:\n{}",
            log.text()
        );
        kdc
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program that has to end well; `input` is a line that it reads.
#[track_caller]
fn run(command: &mut Command, input: &str) -> Output {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{input}\n").as_bytes()).ok();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    output
}

/// All that a program said.
fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text))
        .concat()
}
