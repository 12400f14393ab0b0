//! Clients of other people who authenticate by Kerberos, against a server in this process.

#![cfg(feature = "kerberos")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "interop/programs.rs"]
mod programs;
#[path = "support/realm.rs"]
mod realm;

use daemon::Daemon;
use epmapper::proto::SecurityProvider;
use epmapper::security::spnego::Spnego;
use epmapper::security::{Alone, Mechanism};
use epmapper::server::{Limits, Mapper, MapperSettings, Server, serve};
use epmapper::service::Conversation;
use epmapper::transport::Listener;
use epmapper::transport::unix::Access;
use realm::{ALICE, Nature, REALM, Realm, within};
use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The service's host.
const HOST: &str = "server.lab.example";

/// A mapper of this process, on port 135.
struct Running {
    _runtime: Runtime,
    _stop: watch::Sender<bool>,
    mapper: Arc<Mapper>,
    address: Ipv4Addr,
}

impl Running {
    /// One that takes the realm's tickets, with SPNEGO around them or without.
    fn new(realm: &Realm, number: u8) -> Running {
        let kerberos: Arc<dyn Mechanism> = Arc::new(realm.acceptor());
        let providers: Vec<Arc<dyn SecurityProvider>> = vec![
            Arc::new(Alone(kerberos.clone())),
            Arc::new(Spnego::new(vec![kerberos])),
        ];
        let (mapper, _) = Mapper::new(MapperSettings::new(Conversation::Windows, 10));
        let (interfaces, locals) = (mapper.interfaces(), mapper.local_interfaces());
        let statistics = mapper.statistics();
        let server = Server::new(interfaces, locals, providers, Limits::default(), statistics);
        let runtime = Runtime::new().unwrap();
        let (stop, stopped) = watch::channel(false);
        let address = Ipv4Addr::new(127, 0, 92, number);
        let binding = format!("ncacn_ip_tcp:{address}[135]").parse().unwrap();
        let listener = Listener::bind(&binding, Access::default()).unwrap();
        runtime.spawn(serve(listener, server, stopped));
        Running {
            _runtime: runtime,
            _stop: stop,
            mapper,
            address,
        }
    }
}

/// Those of Samba's suite that need Kerberos.
const RAW_PROTOCOL: [&str; 10] = [
    "test_krb5_hdr_sign_delayed1_fail1",
    "test_krb5_hdr_sign_delayed1_ok1",
    "test_krb5_hdr_sign_delayed2_fail1",
    "test_krb5_hdr_sign_delayed2_ok1",
    "test_krb5_hdr_sign_delayed3_fail1",
    "test_krb5_hdr_signing_integrity",
    "test_krb5_hdr_signing_packet",
    "test_krb5_signing_integrity",
    "test_krb5_signing_packet",
    // With NTLM within SPNEGO nobody can pass it: NTLM signs headers always.
    "test_spnego_multiple_auth_hdr_signing",
];

#[test]
fn sambas_suite_passes_with_kerberos() {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    within(
        "sambas_suite_passes_with_kerberos",
        31,
        Nature::default(),
        |realm| {
            let running = Running::new(realm, 1);
            let folder = TempDir::new().unwrap();
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/raw_protocol/krb5.py");
            let address = running.address.to_string();
            let (user, password) = ALICE;
            let folder = folder.path().display().to_string();
            let mut arguments = vec![
                script.to_str().unwrap(),
                &address,
                HOST,
                user,
                password,
                REALM,
                &folder,
            ];
            arguments.extend(RAW_PROTOCOL);
            let finished = programs::run(&python, &arguments, "");
            finished.assert_success();
        },
    );
}

#[test]
fn python_samba_is_served_at_every_level() {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    let name = "python_samba_is_served_at_every_level";
    within(name, 32, Nature::default(), |realm| {
        let running = Running::new(realm, 2);
        let address = running.address.to_string();
        let (user, password) = ALICE;
        let script = programs::script("kerberos_samba.py");
        for mechanism in ["krb5", "spnego"] {
            for level in ["connect", "sign", "seal"] {
                let folder = TempDir::new().unwrap();
                let folder = folder.path().display().to_string();
                let options = format!("{mechanism},{level}");
                let arguments = [
                    &script, &address, HOST, user, password, REALM, &folder, &options,
                ];
                let finished = programs::run(&python, &arguments, "");
                finished.assert_success();
                assert!(finished.stdout.contains("interfaces"), "{options}");
            }
        }
        assert_eq!(running.mapper.statistics().logons(), [18, 0]);
    });
}

#[test]
fn impacket_is_served_at_every_level() {
    let Some(python) = programs::find_in_environment("python") else {
        return;
    };
    let name = "impacket_is_served_at_every_level";
    within(name, 33, Nature::default(), |realm| {
        let running = Running::new(realm, 3);
        let address = running.address.to_string();
        realm.log_on();
        realm.fetch_ticket();
        let script = programs::script("kerberos_impacket.py");
        for level in ["2", "5", "6"] {
            let arguments = [&script, &address, HOST, ALICE.0, REALM, level];
            let finished = programs::run(&python, &arguments, "");
            finished.assert_success();
        }
        assert_eq!(running.mapper.statistics().logons(), [3, 0]);
    });
}

#[test]
fn the_daemon_takes_the_keytab_of_its_configuration() {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    let name = "the_daemon_takes_the_keytab_of_its_configuration";
    within(name, 34, Nature::default(), |realm| {
        // Not the keytab of the environment, which the daemon has to change.
        let keytab = realm.path("daemon.keytab");
        fs::rename(realm.path("keytab"), &keytab).unwrap();
        let config = format!("[security]\nkeytab = {keytab:?}\nrequire = \"everything\"\n");
        let daemon = Daemon::start(Ipv4Addr::new(127, 0, 92, 4), &config);
        let address = daemon.address().to_string();
        let (user, password) = ALICE;
        let script = programs::script("kerberos_samba.py");
        let folder = TempDir::new().unwrap();
        let folder = folder.path().display().to_string();
        for options in ["krb5,sign", "spnego,seal"] {
            let arguments = [
                &script, &address, HOST, user, password, REALM, &folder, options,
            ];
            programs::run(&python, &arguments, "").assert_success();
        }
    });
}

#[test]
fn epm_logs_on_by_its_tickets_and_by_a_password() {
    let name = "epm_logs_on_by_its_tickets_and_by_a_password";
    within(name, 35, Nature::default(), |realm| {
        let keytab = realm.path("keytab");
        let config = format!(
            "[security]\nkeytab = {keytab:?}\nrequire = \"everything\"\nlevel = \"connect\"\n"
        );
        let daemon = Daemon::start(Ipv4Addr::new(127, 0, 92, 5), &config);
        let address = daemon.address().to_string();
        let password = realm.path("password");
        fs::write(&password, ALICE.1).unwrap();
        fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        let (password, user) = (
            password.display().to_string(),
            format!("{}@{REALM}", ALICE.0),
        );
        let target = format!("host/{HOST}");
        let lookup = |options: &[&str]| {
            let arguments = [&["lookup", &address, "--target", &target], options].concat();
            programs::run(Path::new(env!("CARGO_BIN_EXE_epm")), &arguments, "")
        };
        let by_password = ["--user", &user, "--password-file", &password];
        realm.log_on();
        for level in ["connect", "integrity", "privacy"] {
            let level = ["--level", level];
            let ways: [&[&str]; 3] = [
                &["--kerberos"],
                &[&by_password[..], &["--kerberos"]].concat(),
                &by_password,
            ];
            for way in ways {
                let answered = lookup(&[way, &level].concat());
                answered.assert_success();
                assert!(answered.stdout.contains("epmapper"), "{}", answered.stdout);
            }
        }
        // Nobody is answered, and another service's ticket is no use.
        assert!(!lookup(&[]).status.success());
        let elsewhere = ["lookup", &address, "--kerberos", "--target", "host/nowhere"];
        let refused = programs::run(Path::new(env!("CARGO_BIN_EXE_epm")), &elsewhere, "");
        assert!(!refused.status.success());
    });
}
