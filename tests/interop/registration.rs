//! Foreign clients register with the mapper, and other foreign clients find what they registered.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::programs;
use crate::registrar::Registrar;
use crate::registry::{Entry, Interface, Place, Syntax, hex};
use crate::session::Session;
use crate::{impacket, rpcclient};

/// Statuses: done, ept_s_cant_perform_op, ept_s_invalid_entry and ept_s_not_registered.
pub const OK: u32 = 0;
pub const CANT_PERFORM: u32 = 0x16c9_a0cd;
const INVALID_ENTRY: u32 = 0x16c9_a0d3;
pub const NOT_REGISTERED: u32 = 0x16c9_a0d6;

/// What is registered here.
const SERVICE: Interface = Interface {
    uuid: Uuid::from_u128(0x5a3d_0002_7c11_4d5e_9a00_0000_0000_0001),
    major: 1,
    minor: 2,
};

/// Lets whoever calls from this host over TCP register.
const OPEN: &str = "[[register]]\nnetworks = [\"127.0.0.0/8\"]\n";
/// Lets a network register that no test calls from.
const ELSEWHERE: &str = "[[register]]\nnetworks = [\"192.0.2.0/24\"]\n";

#[test]
fn impacket_registers_from_an_allowed_network() {
    let session = Session::with_rules(Ipv4Addr::new(127, 0, 85, 11), 13, "windows", OPEN);
    let Some(registrar) = Registrar::impacket(&session.address().to_string()) else {
        return;
    };
    registers(session.recorded(), &registrar);
}

#[test]
fn python_samba_registers_from_an_allowed_network() {
    let session = Session::with_rules(Ipv4Addr::new(127, 0, 85, 12), 13, "windows", OPEN);
    let Some(registrar) = Registrar::samba("/dev/null", &session.tcp()) else {
        return;
    };
    registers(session.recorded(), &registrar);
}

#[test]
fn python_samba_registers_as_root_over_the_local_socket() {
    let session = Session::local(Ipv4Addr::new(127, 0, 85, 13), 13, "windows", "");
    let Some(registrar) = Registrar::samba(&session.local_config(), "ncalrpc:") else {
        return;
    };
    registers(session.recorded(), &registrar);
}

#[test]
fn python_samba_registers_over_the_local_socket_as_a_user_whom_a_rule_names() {
    let rules = "[[register]]\nusers = [65534]\n";
    let session = Session::local(Ipv4Addr::new(127, 0, 85, 14), 13, "windows", rules);
    let root = Registrar::samba(&session.local_config(), "ncalrpc:");
    let Some(registrar) = root.and_then(Registrar::by_nobody) else {
        return;
    };
    registers(session.recorded(), &registrar);
}

#[test]
fn over_the_local_socket_a_user_whom_no_rule_names_is_refused_the_same() {
    for (number, conversation) in [(24, "windows"), (25, "samba"), (26, "dce")] {
        let rules = "[[register]]\nusers = [65533]\n";
        let address = Ipv4Addr::new(127, 0, 85, number);
        let session = Session::local(address, 13, conversation, rules);
        let root = Registrar::samba(&session.local_config(), "ncalrpc:");
        let Some(registrar) = root.and_then(Registrar::by_nobody) else {
            return;
        };
        is_refused(&session, &registrar, conversation == "dce");
        let refused = session.daemon.log();
        assert_eq!(
            refused.matches("result=\"refused\" uid=65534").count(),
            3,
            "{refused}"
        );
        session.finish();
    }
}

#[test]
fn python_samba_is_refused_where_it_authenticates_as_the_system() {
    let session = Session::local(Ipv4Addr::new(127, 0, 85, 15), 1, "windows", "");
    let binding = "ncalrpc:[EPMAPPER,auth_type=ncalrpc_as_system]";
    let Some(registrar) = Registrar::samba(&session.local_config(), binding) else {
        return;
    };
    // NT_STATUS_INVALID_PARAMETER.
    assert_eq!(registrar.refusal(), 0xc000_000d_u32);
    session.finish();
}

#[test]
fn from_other_networks_the_operations_do_not_exist_or_cannot_be_performed() {
    for (number, conversation) in [(21, "windows"), (22, "samba"), (23, "dce")] {
        let address = Ipv4Addr::new(127, 0, 85, number);
        // Not recorded: tshark complains of the faults, which are the point.
        let session = Session::with_rules(address, 13, conversation, ELSEWHERE);
        let registrars = [
            Registrar::impacket(&address.to_string()),
            Registrar::samba("/dev/null", &session.tcp()),
        ];
        for registrar in registrars.into_iter().flatten() {
            is_refused(&session, &registrar, conversation == "dce");
        }
        session.finish();
    }
}

#[test]
fn an_address_of_another_host_is_not_taken_unless_a_rule_says_so() {
    let taken = format!("{OPEN}foreign_addresses = true\n");
    for (number, rules, status) in [(31, OPEN, CANT_PERFORM), (32, &taken, OK)] {
        let address = Ipv4Addr::new(127, 0, 85, number);
        let session = Session::with_rules(address, 13, "dce", rules);
        let Some(registrar) = Registrar::impacket(&address.to_string()) else {
            return;
        };
        let elsewhere = Place::Tcp(Some(Ipv4Addr::new(192, 0, 2, 10)), 49664);
        let foreign = service(elsewhere, "elsewhere");
        registrar.expect(&insert(&[&foreign], false), status);
        session.finish();
    }
}

/// A service registers at three places and leaves, and after each step other clients see what C706 says.
pub fn registers(mut session: Session, registrar: &Registrar) {
    let Some(readers) = Readers::find() else {
        return;
    };
    let before = session.registry.entries.clone();
    let tcp = |port| Place::Tcp(Some(session.daemon.address()), port);
    let [first, second] = [tcp(50001), tcp(50002)];
    let pipe = service(Place::Pipe("\\pipe\\registered".to_owned()), "over a pipe");
    let local = service(Place::Local("registered".to_owned()), "");

    let old = service(first.clone(), "first");
    registrar.expect(&insert(&[&old, &pipe, &local], false), OK);
    let entries = &mut session.registry.entries;
    entries.extend([old, pipe.clone(), local.clone()]);
    readers.see(&session, "what is inserted is there, in order");

    let renamed = service(first, "first, renamed");
    registrar.expect(&insert(&[&renamed], false), OK);
    session.registry.entries[before.len()] = renamed;
    readers.list(&session, "the same again is not doubled");

    let moved = service(second.clone(), "moved");
    registrar.expect(&insert(&[&moved], true), OK);
    let entries = &mut session.registry.entries;
    entries.remove(before.len());
    entries.push(moved.clone());
    readers.list(&session, "another port replaces the one before");

    let [other, lower] = [(second, 1), (tcp(50003), 1)].map(|(place, minor)| {
        let mut entry = service(place, "an older version");
        entry.interface.minor = minor;
        entry
    });
    let elsewhere = Entry {
        object: Uuid::from_u128(7),
        ..other.clone()
    };
    registrar.expect(&insert(&[&elsewhere, &lower], true), INVALID_ENTRY);
    registrar.expect(&delete(&[&other]), NOT_REGISTERED);
    readers.list(&session, "a refused call changes nothing");

    registrar.expect(&delete(&[&pipe]), OK);
    registrar.expect(&mgmt_delete(&moved), OK);
    registrar.expect(&delete(&[&local]), OK);
    session.registry.entries = before;
    readers.list(&session, "what is deleted is gone");
    session.finish();
}

/// None of the operations that change the map is performed; the windows and samba conversations know none.
fn is_refused(session: &Session, registrar: &Registrar, knows_them: bool) {
    let entry = service(Place::Tcp(Some(session.address()), 50001), "refused");
    let listed = &session.registry.entries[0];
    let calls = [
        insert(&[&entry], true),
        delete(&[listed]),
        mgmt_delete(listed),
    ];
    if knows_them {
        registrar.expect_all(&calls, CANT_PERFORM);
    } else {
        registrar.expect_faults(&calls);
    }
    if let Some(readers) = Readers::find() {
        // In the samba conversation a list ends as rpcclient does not expect it.
        rpcclient::maps(session, &readers.rpcclient);
    }
}

/// Clients that look up and map.
struct Readers {
    rpcclient: PathBuf,
    impacket: PathBuf,
}

impl Readers {
    fn find() -> Option<Readers> {
        Some(Readers {
            rpcclient: programs::find("rpcclient")?,
            impacket: programs::find_in_environment("python3")?,
        })
    }

    /// All questions are answered from the registry as the session has it.
    fn see(&self, session: &Session, what: &str) {
        self.list(session, what);
        impacket::looks_up(session, &self.impacket, "ndr");
        impacket::maps(session, &self.impacket, "ndr");
    }

    /// All entries are listed in their order.
    fn list(&self, session: &Session, what: &str) {
        // Where a comparison fails, this tells of which step.
        eprintln!("{what}:");
        rpcclient::lists_all(session, &self.rpcclient);
    }
}

/// An entry of the service.
pub fn service(place: Place, annotation: &str) -> Entry {
    Entry {
        object: Uuid::nil(),
        interface: SERVICE,
        syntax: Syntax::Ndr,
        place,
        annotation: annotation.to_owned(),
    }
}

/// `ept_insert` of some entries.
pub fn insert(entries: &[&Entry], replace: bool) -> Value {
    json!({"call": "insert", "entries": named(entries), "replace": replace})
}

/// `ept_delete` of some entries.
pub fn delete(entries: &[&Entry]) -> Value {
    json!({"call": "delete", "entries": named(entries)})
}

/// `ept_mgmt_delete` of an entry, whatever its object.
pub fn mgmt_delete(entry: &Entry) -> Value {
    json!({"call": "mgmt_delete", "object": null, "tower": hex(&entry.tower())})
}

fn named(entries: &[&Entry]) -> Value {
    let named = entries.iter().map(|entry| {
        let (object, tower) = (entry.object.to_string(), hex(&entry.tower()));
        json!([object, tower, entry.annotation])
    });
    named.collect()
}
