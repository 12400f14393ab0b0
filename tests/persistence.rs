//! What `epmapperd` keeps over its own end, and what it does when it cannot.
//!
//! Kills under load are in `crash.rs`, what the store does on failing disks in
//! `src/daemon/store`.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use epmapper::client::ept::{LookupQuery, NewEntry};
use epmapper::client::{Client, ClientError, Encoding, Failure, Mapper};
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{self, InqObjectResponse};
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{EptStatus, SyntaxId};
use nix::sys::signal::Signal;
use run::{ANY_PORT, ConfigFile, Run, output, program, stderr};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::{Uuid, uuid};

/// What is registered by calls.
const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);

/// What the configuration registers.
const CONFIGURED: SyntaxId = SyntaxId::new(uuid!("7c1b6e0a-52a4-4b0e-9d5c-3f2f0a6f1d11"), 1, 0);

/// Lets everybody here register, and registers one endpoint itself.
const CONFIG: &str = "
[[register]]
networks = [\"127.0.0.0/8\"]
[probe]
interval = \"1h\"
[limits]
changes_per_second = 100000
[[endpoint]]
interface = \"7c1b6e0a-52a4-4b0e-9d5c-3f2f0a6f1d11\"
version = \"1.0\"
bindings = [\"ncacn_ip_tcp:[4999]\"]
";

/// A daemon's home: its configuration and the folder of its registry.
struct Home {
    config: ConfigFile,
    folder: TempDir,
}

impl Home {
    fn new() -> Home {
        let (config, folder) = (ConfigFile::new(CONFIG), TempDir::new().unwrap());
        Home { config, folder }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("registry.redb")
    }

    /// The daemon's command, keeping what is registered in `state`.
    fn command(&self, state: &Path) -> Command {
        let mut command = program();
        command.arg("--config").arg(self.config.path());
        command.args(["--listen", ANY_PORT, "--state"]).arg(state);
        command
    }

    fn start(&self) -> Run {
        Run::spawn(&mut self.command(&self.state()))
    }
}

/// Does something with a daemon.
fn with<T>(run: &Run, work: impl AsyncFnOnce(Binding, Instant) -> T) -> T {
    let address = run.address();
    let binding = format!("ncacn_ip_tcp:{}[{}]", address.ip(), address.port());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(
        binding.parse().unwrap(),
        Instant::now() + daemon::DEADLINE,
    ))
}

/// Registers a port with an annotation of so many octets.
fn insert(run: &Run, port: u16, octets: usize) -> Result<(), ClientError> {
    let binding: Binding = format!("ncacn_ip_tcp:127.0.0.1[{port}]").parse().unwrap();
    let tower = TowerBuf::from_binding(ECHO, SyntaxId::NDR, &binding).unwrap();
    let entry = NewEntry {
        object: Uuid::nil(),
        tower: tower.octets(),
        annotation: &vec![b'a'; octets],
    };
    with(run, async |binding, deadline| {
        let mut mapper = Mapper::connect(&binding, Encoding::Any, deadline).await?;
        mapper.insert(&[entry], false).await
    })
}

/// The ports of an interface, in the order that they are told.
fn ports(run: &Run, interface: SyntaxId) -> Vec<u16> {
    let found = with(run, async |binding, deadline| {
        let mut mapper = Mapper::connect(&binding, Encoding::Any, deadline)
            .await
            .unwrap();
        mapper.lookup(&LookupQuery::default()).await.unwrap()
    });
    let towers = found.iter().map(|entry| entry.tower().unwrap());
    let of_interface = towers.filter_map(|tower| {
        let parts = tower.parts().unwrap();
        (parts.interface == interface).then(|| parts.port().unwrap())
    });
    of_interface.collect()
}

/// The registry's own object.
fn own_object(run: &Run) -> Uuid {
    with(run, async |binding, deadline| {
        let client = Client::connect(&binding, SyntaxId::EPT, Encoding::Any, deadline).await;
        let reply = client.unwrap().call(ept::INQ_OBJECT, |_| {}).await.unwrap();
        reply.decode(InqObjectResponse::decode).unwrap().object
    })
}

/// Asserts that a registration was refused since it cannot be kept.
#[track_caller]
fn assert_refused(inserted: Result<(), ClientError>) {
    let failure = inserted.unwrap_err().failure;
    assert!(
        matches!(failure, Failure::Status(EptStatus::UPDATE_FAILED)),
        "{failure}"
    );
}

/// The registries beside `state` that were set aside.
fn set_aside(home: &Home) -> Vec<PathBuf> {
    let files = fs::read_dir(home.folder.path()).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let is_aside = |path: &PathBuf| path.to_string_lossy().contains(".damaged-");
    paths.filter(is_aside).collect()
}

#[test]
fn what_is_registered_is_there_after_every_end_in_its_order_and_with_its_object() {
    let home = Home::new();
    let mut run = home.start();
    let object = own_object(&run);
    for port in [7, 3, 5] {
        insert(&run, port, 9).unwrap();
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM] {
        run.end(signal);
        run = home.start();
        assert_eq!(ports(&run, ECHO), [7, 3, 5]);
        assert_eq!(ports(&run, CONFIGURED), [4999]);
        assert_eq!(own_object(&run), object);
    }
}

#[test]
fn without_a_state_nothing_is_kept() {
    let home = Home::new();
    let run = Run::spawn(&mut home.command(Path::new("none")));
    insert(&run, 7, 0).unwrap();
    run.end(Signal::SIGTERM);
    let run = Run::spawn(&mut home.command(Path::new("none")));
    assert_eq!(ports(&run, ECHO), [0; 0]);
    assert!(!home.state().exists());
}

#[test]
fn what_the_configuration_takes_over_is_its_own_also_on_disk() {
    let home = Home::new();
    let run = home.start();
    insert(&run, 7, 0).unwrap();
    run.end(Signal::SIGTERM);
    let taken = "[[endpoint]]\ninterface = \"60a15ec5-4de8-11d7-a637-005056a20182\"\nversion = \"1.0\"\n\
        bindings = [\"ncacn_ip_tcp:127.0.0.1[7]\"]\n";
    home.config.write(&format!("{CONFIG}{taken}"));
    let run = home.start();
    assert_eq!(ports(&run, ECHO), [7]);
    // A change that is kept comes behind what was taken over.
    insert(&run, 8, 0).unwrap();
    run.end(Signal::SIGKILL);
    home.config.write(CONFIG);
    assert_eq!(ports(&home.start(), ECHO), [8]);
}

#[test]
fn a_map_full_of_registrations_leaves_a_longer_configuration_its_room() {
    let home = Home::new();
    let config = CONFIG.replace("[limits]", "[limits]\nentries = 4");
    home.config.write(&config);
    let run = home.start();
    insert(&run, 7, 0).unwrap();
    insert(&run, 8, 0).unwrap();
    let full = insert(&run, 9, 0).unwrap_err().failure;
    assert!(
        matches!(full, Failure::Status(EptStatus::NO_MEMORY)),
        "{full}"
    );
    home.config
        .write(&config.replace("[4999]", "[4999]\", \"ncacn_ip_tcp:[5000]"));
    run.end(Signal::SIGTERM);
    let run = home.start();
    assert_eq!(ports(&run, ECHO), [7, 8]);
    assert_eq!(ports(&run, CONFIGURED), [4999, 5000]);
    insert(&run, 9, 0).unwrap_err();
}

#[test]
fn the_audit_trail_is_told_whatever_the_level_and_of_what_is_taken_over() {
    let home = Home::new();
    let mut command = home.command(Path::new("none"));
    let run = Run::listening(command.args(["--log-level", "error"]));
    insert(&run, 7, 0).unwrap();
    run.expect("op=\"insert\" result=\"accepted\"");
    assert!(!run.log.text().contains("serving"));
    let taken = "[[endpoint]]\ninterface = \"60a15ec5-4de8-11d7-a637-005056a20182\"\nversion = \"1.0\"\n\
        bindings = [\"ncacn_ip_tcp:127.0.0.1[7]\"]\n";
    home.config.write(&format!("{CONFIG}{taken}"));
    run.signal(Signal::SIGHUP);
    run.expect("op=\"configuration\" result=\"taken over\" owner=127.0.0.1");
}

#[test]
fn a_damaged_registry_is_set_aside_and_the_configuration_served() {
    let home = Home::new();
    let run = home.start();
    insert(&run, 7, 0).unwrap();
    run.end(Signal::SIGTERM);
    let mut octets = fs::read(home.state()).unwrap();
    octets
        .iter_mut()
        .skip(64)
        .for_each(|octet| *octet = !*octet);
    fs::write(home.state(), &octets).unwrap();
    let run = home.start();
    run.expect("the registry is damaged: it is set aside");
    assert_eq!(set_aside(&home).len(), 1);
    assert_eq!(ports(&run, CONFIGURED), [4999]);
    assert_eq!(ports(&run, ECHO), [0; 0]);
    insert(&run, 8, 0).unwrap();
    run.end(Signal::SIGKILL);
    assert_eq!(ports(&home.start(), ECHO), [8]);
    assert_eq!(set_aside(&home).len(), 1);
}

#[test]
fn a_second_daemon_on_one_registry_does_not_start_and_says_why() {
    let home = Home::new();
    let run = home.start();
    insert(&run, 7, 0).unwrap();
    let second = output(&mut home.command(&home.state()));
    assert_eq!(second.status.code(), Some(1));
    let told = stderr(&second);
    assert!(
        told.contains("another daemon holds this registry"),
        "{told}"
    );
    assert_eq!(ports(&run, ECHO), [7]);
}

#[test]
fn where_nothing_can_be_kept_registrations_are_refused_and_lookups_go_on() {
    let home = Home::new();
    // Where a folder belongs there is a file; that holds for root, too.
    let file = home.folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let run = Run::spawn(&mut home.command(&file.join("registry.redb")));
    run.expect("registrations are refused until the next start");
    assert_refused(insert(&run, 7, 0));
    run.expect("result=\"refused\"");
    assert_eq!(ports(&run, ECHO), [0; 0]);
    assert_eq!(ports(&run, CONFIGURED), [4999]);
}

#[test]
fn a_daemon_that_becomes_another_user_keeps_what_is_registered() {
    let home = Home::new();
    let user = nix::unistd::User::from_name("nobody").unwrap();
    if !nix::unistd::geteuid().is_root() || user.is_none() {
        return skip::skipped("needs root and the user nobody");
    }
    fs::set_permissions(home.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    home.config.open_folder_to(0o755);
    home.config.write(&format!("user = \"nobody\"\n{CONFIG}"));
    let state = home.folder.path().join("epmapper/registry.redb");
    let run = Run::spawn(&mut home.command(&state));
    insert(&run, 7, 0).unwrap();
    run.end(Signal::SIGKILL);
    let run = Run::spawn(&mut home.command(&state));
    assert_eq!(ports(&run, ECHO), [7]);
    insert(&run, 8, 0).unwrap();
}

#[test]
fn a_full_disk_refuses_registrations_until_there_is_room_again() {
    const TEST: &str = "a_full_disk_refuses_registrations_until_there_is_room_again";
    let Some(mount) = small_disk(TEST) else {
        return;
    };
    let home = Home::new();
    let run = Run::spawn(&mut home.command(&mount.join("registry.redb")));
    insert(&run, 1, 63).unwrap();
    let ballast = mount.join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap_err();
    let mut kept = vec![1];
    let refused = loop {
        let port = kept.len() as u16 + 1;
        match insert(&run, port, 63) {
            Ok(()) => kept.push(port),
            Err(error) => break Err(error),
        }
    };
    assert_refused(refused);
    run.expect("changes cannot be written, and are refused until they can");
    // What was refused is not told, and what was there is.
    assert_eq!(ports(&run, ECHO), kept);
    assert_refused(insert(&run, 50_000, 63));
    assert_eq!(ports(&run, ECHO), kept);
    fs::remove_file(&ballast).unwrap();
    insert(&run, 50_001, 63).unwrap();
    run.expect("changes can be written again");
    kept.push(50_001);
    run.end(Signal::SIGKILL);
    let run = Run::spawn(&mut home.command(&mount.join("registry.redb")));
    assert_eq!(ports(&run, ECHO), kept);
}

/// Runs a test once more in a mount namespace of its own, with a disk of
/// 512 KiB; where that disk is, if this is that run.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(mount) = std::env::var_os("EPMAPPER_SMALL_DISK") {
        return Some(mount.into());
    }
    let folder = TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=512k none \"$EPMAPPER_SMALL_DISK\" && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]);
    unshare.arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", test, "--nocapture"]);
    let run = output(unshare.env("EPMAPPER_SMALL_DISK", folder.path()));
    let told = stderr(&run);
    if told.contains("unshare:") || told.contains("mount:") {
        skip::lacking(&format!("a mount namespace for {test}: {told}"));
    } else {
        assert!(run.status.success(), "{told}");
    }
    None
}
