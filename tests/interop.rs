//! Clients that other people wrote, against `epmapperd` with registries of 1, 13, 499, 500, 501 and 1,500 entries.
//!
//! Each test has loopback addresses of its own, 127.0.TEST.REGISTRY, and port 135 there. dumpcap records
//! every session, and tshark must find no fault with what the daemon sent.

#![cfg(feature = "daemon")]

#[path = "interop/accounts.rs"]
mod accounts;
#[path = "interop/authenticated.rs"]
mod authenticated;
#[path = "support/daemon.rs"]
mod daemon;
#[cfg(feature = "tools")]
#[path = "interop/epm.rs"]
mod epm;
#[path = "interop/impacket.rs"]
mod impacket;
#[path = "interop/logon.rs"]
mod logon;
#[path = "interop/programs.rs"]
mod programs;
#[path = "interop/recording.rs"]
mod recording;
#[path = "interop/refused.rs"]
mod refused;
#[path = "interop/registrar.rs"]
mod registrar;
#[path = "interop/registration.rs"]
mod registration;
#[path = "interop/registry.rs"]
mod registry;
#[path = "interop/rpcclient.rs"]
mod rpcclient;
#[path = "interop/samba.rs"]
mod samba;
#[path = "interop/session.rs"]
mod session;

use std::net::Ipv4Addr;
use std::path::Path;

use session::{Session, with_each_registry, with_each_session};

#[test]
fn rpcclient_lookup_lists_every_entry_once_and_ends() {
    let Some(rpcclient) = programs::find("rpcclient") else {
        return;
    };
    let sent = with_each_registry(20, "windows", |session| {
        rpcclient::lists_all(session, &rpcclient)
    });
    for (size, sent) in sent {
        // One entry a page, and the empty page that ends the walk.
        assert_eq!(
            (sent.entries, sent.lookups),
            (size, size + 1),
            "entries and pages of {size}"
        );
    }
}

#[test]
fn rpcclient_map_finds_by_name() {
    let Some(rpcclient) = programs::find("rpcclient") else {
        return;
    };
    with_each_registry(21, "windows", |session| {
        rpcclient::maps(session, &rpcclient)
    });
}

#[test]
fn impacket_rpcdump_receives_every_entry() {
    let Some(rpcdump) = programs::find_in_environment("rpcdump.py") else {
        return;
    };
    with_each_registry(22, "windows", |session| {
        impacket::rpcdump_counts_all(session, &rpcdump)
    });
}

#[test]
fn impacket_lookup_finds_what_each_inquiry_type_and_version_option_means() {
    let Some(python) = programs::find_in_environment("python3") else {
        return;
    };
    with_each_registry(23, "windows", |session| {
        impacket::looks_up(session, &python, "ndr")
    });
}

#[test]
fn impacket_lookup_finds_the_same_over_ndr64() {
    let Some(python) = programs::find_in_environment("python3") else {
        return;
    };
    // tshark 4.0 does not read the answers: it takes the annotation's counts for 32 bits.
    let start = |address, size| Session::unrecorded(address, size, "windows");
    with_each_session(70, start, |session| {
        impacket::looks_up(session, &python, "ndr64")
    });
}

#[test]
fn impacket_map_gets_the_address_that_it_dialled() {
    let Some(python) = programs::find_in_environment("python3") else {
        return;
    };
    with_each_registry(24, "windows", |session| {
        impacket::maps(session, &python, "ndr")
    });
}

#[test]
fn impacket_map_gets_the_same_over_ndr64() {
    let Some(python) = programs::find_in_environment("python3") else {
        return;
    };
    let sent = with_each_registry(71, "windows", |session| {
        impacket::maps(session, &python, "ndr64")
    });
    for (size, sent) in sent {
        assert!(sent.maps > 0, "answers for {size} that tshark judged");
    }
}

#[test]
fn python_samba_manages_the_mapper_over_ndr64() {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    with_each_registry(72, "windows", |session| {
        samba::python_manages_in_ndr64(session, &python)
    });
}

#[test]
fn python_samba_without_endpoint_arrives_at_the_mapped_port() {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    with_each_registry(25, "windows", |session| {
        samba::python_arrives(session, &python)
    });
}

#[test]
fn smbtorture_mgmt_reaches_the_management_of_the_mapper_itself() {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    with_each_registry(26, "windows", |session| {
        samba::mgmt_reaches_the_mapper(session, &smbtorture)
    });
}

#[test]
fn smbtorture_epmapper_passes_in_the_samba_conversation() {
    smbtorture_passes(27, "");
}

#[test]
fn smbtorture_epmapper_passes_in_big_endian() {
    smbtorture_passes(28, ",bigendian");
}

#[test]
fn smbtorture_epmapper_passes_over_the_local_socket() {
    smbtorture_passes_locally(86, "");
}

#[test]
fn smbtorture_epmapper_passes_over_the_local_socket_in_big_endian() {
    smbtorture_passes_locally(87, ",bigendian");
}

#[test]
fn smbtorture_sees_every_entry_in_the_samba_conversation() {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    let sent = with_each_registry(29, "samba", |session| {
        samba::torture(&smbtorture, "/dev/null", &session.tcp(), &["Lookup_simple"]);
    });
    for (size, sent) in sent {
        // Ten entries a page; the last page comes with the status that ends the walk.
        assert_eq!(
            (sent.entries, sent.lookups),
            (size, size.div_ceil(10)),
            "entries and pages of {size}"
        );
    }
}

#[test]
fn nmap_names_the_service() {
    let Some(nmap) = programs::find("nmap") else {
        return;
    };
    with_each_registry(30, "windows", |session| nmap_names(session, &nmap));
}

#[test]
fn one_daemon_serves_all_clients_in_one_recorded_session() {
    let (Some(rpcclient), Some(smbtorture)) =
        (programs::find("rpcclient"), programs::find("smbtorture"))
    else {
        return;
    };
    let (Some(nmap), Some(python)) = (programs::find("nmap"), programs::find_python_samba()) else {
        return;
    };
    let Some(impacket) = programs::find_in_environment("python3") else {
        return;
    };
    let Some(rpcdump) = programs::find_in_environment("rpcdump.py") else {
        return;
    };
    let clients: [(&str, Client<'_>); 8] = [
        ("nmap", &|session| nmap_names(session, &nmap)),
        ("epmlookup", &|session| {
            rpcclient::lists_all(session, &rpcclient)
        }),
        ("epmmap", &|session| rpcclient::maps(session, &rpcclient)),
        ("rpcdump.py", &|session| {
            impacket::rpcdump_counts_all(session, &rpcdump)
        }),
        ("hept_lookup", &|session| {
            impacket::looks_up(session, &impacket, "ndr")
        }),
        ("hept_map", &|session| {
            impacket::maps(session, &impacket, "ndr")
        }),
        ("python3-samba", &|session| {
            samba::python_arrives(session, &python)
        }),
        ("rpc.mgmt", &|session| {
            samba::mgmt_reaches_the_mapper(session, &smbtorture)
        }),
    ];
    let mut session = Session::start(Ipv4Addr::new(127, 0, 31, 1), 501, "windows");
    for (name, client) in clients {
        client(&session);
        session.daemon.assert_alive(name);
    }
    session.finish();
}

#[test]
fn tshark_finds_the_faults_that_the_judge_looks_for() {
    let Some(rpcclient) = programs::find("rpcclient") else {
        return;
    };
    let session = Session::start(Ipv4Addr::new(127, 0, 32, 1), 13, "windows");
    rpcclient::maps(&session, &rpcclient);
    let Some(recording) = session.recording else {
        return;
    };
    let good = recording.finish();
    let sent = recording::judge(&good, 135).expect("a sound capture");
    assert!(sent.maps > 0, "answers to ept_map: {sent:?}");
    let answer = find_map_answer(&good);
    // Behind the header's 24 octets: handle 20, num_towers, max_count, offset, actual count, referent.
    let alias = altered(&good, answer + 24 + 20 + 16, &1u32.to_le_bytes());
    assert!(
        recording::judge(&alias, 135).is_err_and(|fault| fault.contains("Long frame")),
        "a referent of the request is an alias"
    );
    let many = altered(&good, answer + 24 + 20 + 12, &200u32.to_le_bytes());
    assert!(
        recording::judge(&many, 135).is_err_and(|fault| fault.contains("Malformed")),
        "more towers than octets"
    );
}

/// It registers an address of no host, and an interface of no UUID, which only Samba's conversation takes.
const SMBTORTURE: &str =
    "[[register]]\nnetworks = [\"127.0.0.1\"]\nusers = [\"root\"]\nforeign_addresses = true\n";

/// rpc.epmapper over TCP, from a network that may register.
fn smbtorture_passes(block: u8, options: &str) {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    let start = |address, size| Session::with_rules(address, size, "samba", SMBTORTURE).recorded();
    with_each_session(block, start, |session| {
        let binding = format!("ncacn_ip_tcp:{}[135{options}]", session.address());
        samba::epmapper_passes(session, &smbtorture, "/dev/null", &binding);
    });
}

/// The same by the local socket, as root.
fn smbtorture_passes_locally(block: u8, options: &str) {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    let start = |address, size| Session::local(address, size, "samba", SMBTORTURE);
    with_each_session(block, start, |session| {
        let binding = format!("ncalrpc:[EPMAPPER{options}]");
        samba::epmapper_passes(session, &smbtorture, &session.local_config(), &binding);
        let log = session.daemon.log();
        let who = ["result=\"accepted\"", " uid=0 ", " address="];
        let told = who.map(|who| log.matches(who).count());
        assert_eq!(told, [4, 4, 0], "who registered twice and deleted: {log}");
    });
}

/// Runs a client against a session, and fails the test where it does not get what it should.
type Client<'a> = &'a dyn Fn(&Session);

fn nmap_names(session: &Session, program: &Path) {
    let address = session.address().to_string();
    let arguments = [
        "--unprivileged",
        "-Pn",
        "-n",
        "-sV",
        "--version-intensity",
        "5",
        "-p",
        "135",
        "-oX",
        "-",
        &address,
    ];
    let finished = programs::run(program, &arguments, "");
    finished.assert_success();
    // As for Samba's own mapper, found by the nak to its probe and not by the port alone.
    assert!(
        finished.stdout.contains("<service name=\"msrpc\""),
        "{finished:#?}"
    );
    assert!(
        finished.stdout.contains("method=\"probed\""),
        "{finished:#?}"
    );
}

/// Offset of the first response with towers of ept_map to rpcclient, which asks in little-endian.
fn find_map_answer(capture: &[u8]) -> usize {
    let response = [5, 0, 2, 3, 0x10, 0, 0, 0];
    let holds_a_tower = |at: &usize| capture.get(at + 24 + 20).is_some_and(|count| *count == 1);
    let mut found = (0..capture.len()).filter(|at| capture[*at..].starts_with(&response));
    found.find(holds_a_tower).expect("an answer with one tower")
}

fn altered(capture: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut capture = capture.to_vec();
    capture[at..at + octets.len()].copy_from_slice(octets);
    capture
}
