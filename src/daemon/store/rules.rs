//! Tests: what comes back, where the file is, and who may have it.

use super::disk::{entry, id};
use super::{Fault, Moment, Restored, Store, StoreError};
use crate::daemon::process::started;
use crate::registry::samples::{ECHO, OBJECT, OTHER, tcp_tower};
use crate::registry::{
    AccountName, Change, Entry, Lease, Life, Owner, Process, RegistryError, Table,
};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, id as own_pid};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

/// A minute.
const MINUTE: Duration = Duration::from_secs(60);

/// A place for a registry.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(TempDir::new().unwrap())
    }

    /// In a folder that is not there yet.
    fn path(&self) -> PathBuf {
        self.0.path().join("state").join("registry.redb")
    }

    fn open(&self, moment: &Moment) -> (Store, Restored) {
        Store::open(&self.path(), OBJECT, moment).unwrap()
    }

    /// Commits, ends, and opens again at `moment`.
    fn again(&self, changes: &[Change], moment: &Moment) -> Restored {
        let (mut store, _) = self.open(&now());
        store.commit(changes).unwrap();
        drop(store);
        self.open(moment).1
    }
}

fn now() -> Moment {
    Moment::read().unwrap()
}

/// The same host after it was started again.
fn after_reboot() -> Moment {
    Moment {
        boot: OTHER,
        ..now()
    }
}

/// A lease of a minute.
fn lease(number: u128) -> Lease {
    Lease {
        id: Uuid::from_u128(number),
        duration: MINUTE,
    }
}

/// This process.
fn own_process() -> Process {
    let pid = own_pid();
    let started = started(pid).unwrap().unwrap();
    Process { pid, started }
}

/// A new entry with a life.
fn living(number: u64, life: Life) -> Change {
    let entry = entry(number as u16, "").living(life, number);
    Change::Inserted(id(number), entry)
}

/// The numbers that came back.
fn numbers(restored: &Restored) -> Vec<u64> {
    restored.entries.iter().map(|(id, _)| id.number()).collect()
}

#[test]
fn a_store_may_go_to_a_thread_of_its_own() {
    fn is_send<T: Send>() {}
    is_send::<Store>();
}

#[test]
fn folder_and_file_are_made_for_their_owner() {
    let home = Home::new();
    let (_store, restored) = home.open(&now());
    assert!(restored.entries.is_empty() && restored.set_aside.is_none());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path()), 0o600);
    assert_eq!(mode(home.path().parent().unwrap()), 0o755);
}

#[test]
fn the_object_is_the_same_for_the_life_of_the_file() {
    let home = Home::new();
    drop(home.open(&now()));
    let (_store, restored) = Store::open(&home.path(), OTHER, &now()).unwrap();
    assert_eq!(restored.object, OBJECT);
}

#[test]
fn a_second_daemon_is_refused() {
    let home = Home::new();
    let (mut store, _) = home.open(&now());
    let error = Store::open(&home.path(), OTHER, &now()).err().unwrap();
    assert!(matches!(error.fault, Fault::Busy), "{error}");
    assert!(
        error
            .to_string()
            .contains("registry.redb: another daemon holds")
    );
    store.commit(&[living(1, Life::Probe)]).unwrap();
}

#[test]
fn entries_come_back_in_their_order_as_they_were() {
    let home = Home::new();
    let changes = [300, 2, 70].map(|number| living(number, Life::Probe));
    let restored = home.again(&changes, &after_reboot());
    assert_eq!(numbers(&restored), [2, 70, 300]);
    for (id, entry) in restored.entries {
        assert!(changes.contains(&Change::Inserted(id, entry)));
    }
}

#[test]
fn an_entry_comes_back_to_its_account_and_is_no_strangers() {
    let home = Home::new();
    let alice = Owner::Account(AccountName::new("alice").unwrap());
    let of = |owner| Entry::new(Uuid::nil(), &tcp_tower(ECHO, 1), b"", owner).unwrap();
    let from = [127, 0, 0, 9].into();
    let entry = of(alice.clone()).registered_from(from);
    let restored = home.again(&[Change::Inserted(id(1), entry.clone())], &after_reboot());
    assert_eq!(restored.entries, [(id(1), entry)]);
    let mut table = Table::new(OBJECT, 9);
    for (id, entry) in restored.entries {
        assert_eq!(entry.origin(), Some(from));
        table.restore(id, entry);
    }
    let strangers = [
        Owner::Host(from),
        Owner::Account(AccountName::new("bob").unwrap()),
        Owner::User(1000),
    ];
    let named = |owner: &Owner| (Uuid::nil(), of(owner.clone()).tower().to_vec());
    for stranger in strangers {
        let (object, tower) = named(&stranger);
        let refused = Err(RegistryError::NotOwner(alice.clone()));
        let again = table.register(vec![of(stranger.clone())], true, |_| false);
        assert_eq!(again, refused);
        let deleted = table.withdraw(&stranger, [(object, &tower[..])]);
        assert_eq!(deleted, refused);
    }
    let (object, tower) = named(&alice);
    assert!(table.withdraw(&alice, [(object, &tower[..])]).is_ok());
}

#[test]
fn an_entry_that_became_the_configurations_is_not_stored_any_more() {
    let home = Home::new();
    let before = entry(1, "");
    let own = Entry::new(Uuid::nil(), &tcp_tower(ECHO, 1), b"", Owner::Configuration);
    let (id, after) = (id(1), own.unwrap());
    let changes = [
        Change::Inserted(id, before.clone()),
        Change::Renewed { id, before, after },
    ];
    assert!(home.again(&changes, &now()).entries.is_empty());
}

#[test]
fn a_process_comes_back_while_it_is_there() {
    let home = Home::new();
    let own = own_process();
    let later = Process {
        started: own.started + 1,
        ..own
    };
    let changes = [
        living(1, Life::Process(own)),
        living(2, Life::Process(later)),
        living(3, Life::Probe),
    ];
    let restored = home.again(&changes, &now());
    assert_eq!((numbers(&restored), restored.dropped), (vec![1, 3], 1));
}

#[test]
fn a_process_of_another_boot_does_not_come_back() {
    let home = Home::new();
    let changes = [living(1, Life::Process(own_process()))];
    let restored = home.again(&changes, &after_reboot());
    assert_eq!((numbers(&restored), restored.dropped), (vec![], 1));
}

#[test]
fn a_lease_comes_back_with_what_is_left_of_it() {
    let home = Home::new();
    let until = Instant::now() + 30 * MINUTE;
    let changes = [
        Change::Leased {
            lease: lease(7).id,
            until,
        },
        living(1, Life::Lease(lease(7))),
        living(2, Life::Lease(lease(7))),
    ];
    let restored = home.again(&changes, &now());
    assert_eq!(numbers(&restored), [1, 2]);
    let (found, deadline) = restored.leases[0];
    assert_eq!((restored.leases.len(), found), (1, lease(7).id));
    let apart = deadline.max(until) - deadline.min(until);
    assert!(apart < Duration::from_secs(1), "{apart:?} apart");
}

#[test]
fn a_lease_that_is_over_or_of_another_boot_does_not_come_back() {
    let changes = [living(1, Life::Lease(lease(7))), living(2, Life::Probe)];
    let over = |moment: Moment| Moment {
        uptime: moment.uptime + 2 * MINUTE,
        ..moment
    };
    for moment in [over(now()), after_reboot()] {
        let restored = Home::new().again(&changes, &moment);
        assert_eq!((numbers(&restored), restored.dropped), (vec![2], 1));
        assert!(restored.leases.is_empty());
    }
}

#[test]
fn a_renewed_lease_lasts_as_renewed() {
    let home = Home::new();
    let (mut store, _) = home.open(&now());
    store.commit(&[living(1, Life::Lease(lease(7)))]).unwrap();
    let renewed = Change::Leased {
        lease: lease(7).id,
        until: Instant::now() + 10 * MINUTE,
    };
    store.commit(&[renewed]).unwrap();
    drop(store);
    let later = Moment {
        uptime: now().uptime + 5 * MINUTE,
        ..now()
    };
    assert_eq!(numbers(&home.open(&later).1), [1]);
}

#[test]
fn a_lease_goes_with_the_last_of_its_entries() {
    let home = Home::new();
    let entries = [1, 2].map(|number| living(number, Life::Lease(lease(7))));
    let gone = |change: &Change| match change.clone() {
        Change::Inserted(id, entry) => Change::Removed(id, entry),
        other => other,
    };
    let (mut store, _) = home.open(&now());
    store.commit(&entries).unwrap();
    store.commit(&[gone(&entries[0])]).unwrap();
    drop(store);
    let (mut store, restored) = home.open(&now());
    assert_eq!(restored.leases.len(), 1);
    store.commit(&[gone(&entries[1])]).unwrap();
    drop(store);
    assert!(home.open(&now()).1.leases.is_empty());
}

#[test]
fn what_ended_while_nobody_ran_leaves_the_file_with_the_first_commit() {
    let home = Home::new();
    let changes = [living(1, Life::Lease(lease(7))), living(2, Life::Probe)];
    drop(home.again(&changes, &now()));
    let (mut store, _) = home.open(&after_reboot());
    assert_eq!(store.owes(), 1);
    store.commit(&[]).unwrap();
    assert_eq!(store.owes(), 0);
    drop(store);
    let restored = home.open(&now()).1;
    assert_eq!((numbers(&restored), restored.dropped), (vec![2], 0));
}

#[test]
fn what_the_system_refuses_is_told_with_the_path_and_sets_nothing_aside() {
    let home = Home::new();
    let file = home.0.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file.join("registry.redb"), OBJECT, &now());
    let error: StoreError = error.err().unwrap();
    assert!(matches!(error.fault, Fault::System(_)), "{error}");
    assert!(
        error.to_string().contains("file/registry.redb: "),
        "{error}"
    );
    fs::create_dir_all(home.path()).unwrap();
    let error = Store::open(&home.path(), OBJECT, &now()).err().unwrap();
    assert!(matches!(error.fault, Fault::System(_)), "{error}");
    assert!(home.path().is_dir());
}

/// Runs this test alone in a mount namespace of its own, with a small file
/// system at `$STORE_MOUNT`; whether this is that run.
fn is_inside(test: &str, home: &Home) -> Option<PathBuf> {
    if let Some(mount) = std::env::var_os("STORE_MOUNT") {
        return Some(mount.into());
    }
    let mount = home.0.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let script = "mount -t tmpfs -o size=512k none \"$STORE_MOUNT\" && exec \"$@\"";
    let own = std::env::current_exe().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-c", script, "sh"]).arg(own);
    unshare.args(["--exact", test, "--nocapture"]);
    let output = unshare.env("STORE_MOUNT", &mount).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let is_allowed = !(told.contains("unshare:") || told.contains("mount:"));
    if !is_allowed {
        assert!(std::env::var_os("CI").is_none(), "{test}: {told}");
        // Not eprintln, of which nothing is seen when a test passes.
        let line = format!("SKIPPED: {test}: no mount namespace: {told}");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    assert!(output.status.success() || !is_allowed, "{told}");
    None
}

#[test]
fn a_full_file_system_refuses_and_takes_again_once_there_is_room() {
    let home = Home::new();
    let test =
        "daemon::store::rules::a_full_file_system_refuses_and_takes_again_once_there_is_room";
    let Some(mount) = is_inside(test, &home) else {
        return;
    };
    let path = mount.join("registry.redb");
    let (mut store, _) = Store::open(&path, OBJECT, &now()).unwrap();
    let ballast = mount.join("ballast");
    let fill = || fs::write(&ballast, vec![1; 1 << 20]).unwrap_err();
    assert_eq!(fill().kind(), std::io::ErrorKind::StorageFull);
    let mut number = 0;
    let mut next = |store: &mut Store| {
        number += 1;
        store
            .commit(&[living(number, Life::Probe)])
            .map(|()| number)
    };
    let mut kept = Vec::new();
    let error = loop {
        match next(&mut store) {
            Ok(number) => kept.push(number),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("No space left"), "{error}");
    next(&mut store).unwrap_err();
    fs::remove_file(&ballast).unwrap();
    kept.push(next(&mut store).unwrap());
    drop(store);
    let (_, restored) = Store::open(&path, OBJECT, &now()).unwrap();
    assert_eq!(numbers(&restored), kept);
}

#[test]
fn a_read_only_file_system_is_told_and_sets_nothing_aside() {
    let home = Home::new();
    let test = "daemon::store::rules::a_read_only_file_system_is_told_and_sets_nothing_aside";
    let Some(mount) = is_inside(test, &home) else {
        return;
    };
    let path = mount.join("registry.redb");
    drop(Store::open(&path, OBJECT, &now()).unwrap());
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,ro"]).arg(&mount);
    assert!(remount.status().unwrap().success());
    let error = Store::open(&path, OBJECT, &now()).err().unwrap();
    assert!(
        error.to_string().contains("Read-only file system"),
        "{error}"
    );
    assert!(path.is_file());
}

/// What docs/reliability.md tells: `cargo test --release --lib figures -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn figures() {
    let entries = |from: u64, count: u64| -> Vec<Change> {
        let numbers = from..from + count;
        numbers.map(|number| living(number, Life::Probe)).collect()
    };
    for count in [10_000, 100_000] {
        let home = Home::new();
        let (mut store, _) = home.open(&now());
        store.commit(&entries(1, count)).unwrap();
        let sudden = home.0.path().join("sudden");
        fs::copy(home.path(), &sudden).unwrap();
        drop(store);
        let octets = fs::metadata(home.path()).unwrap().len();
        let mut times = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let (_, restored) = home.open(&now());
            times.push(start.elapsed());
            assert_eq!(restored.entries.len() as u64, count);
        }
        let start = Instant::now();
        drop(Store::open(&sudden, OBJECT, &now()).unwrap());
        println!(
            "{count} entries: {octets} octets, opened in {times:?}, after a sudden end {:?}",
            start.elapsed()
        );
    }
    for kept in [0, 10_000] {
        for group in [1, 8, 64] {
            let home = Home::new();
            let (mut store, _) = home.open(&now());
            store.commit(&entries(1_000_000, kept)).unwrap();
            let start = Instant::now();
            for commit in 0..200 {
                store.commit(&entries(1 + commit * group, group)).unwrap();
            }
            let each = start.elapsed() / 200;
            println!("{kept} entries: commit of {group}: {each:?}");
        }
    }
    let probe = TempDir::new().unwrap();
    let mut file = fs::File::create(probe.path().join("probe")).unwrap();
    let start = Instant::now();
    for _ in 0..200 {
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    println!(
        "a write of 4096 octets with a sync: {:?}",
        start.elapsed() / 200
    );
}
