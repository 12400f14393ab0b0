//! Samba's rpcclient against the mapper.

use std::path::Path;

use crate::programs::{self, Finished};
use crate::registry::{Entry, Interface, LSARPC, LSARPC_PORT, MAPPER, SAMR, SAMR_PORT};
use crate::session::{NOT_REGISTERED, Session, assert_equal};

/// Runs one command, as whoever the session's clients log on as.
pub fn run(session: &Session, program: &Path, command: &str) -> Finished {
    let (binding, user) = (session.tcp(), session.user());
    let arguments = ["-s", "/dev/null", &user, &binding, "-c", command];
    programs::run(program, &arguments, "")
}

/// epmlookup: every entry once, in order, and an end.
pub fn lists_all(session: &Session, program: &Path) {
    let finished = run(session, program, "epmlookup");
    finished.assert_success();
    let lines = finished
        .stdout
        .lines()
        .filter(|line| line.contains("abstract_syntax="));
    assert_equal(
        lines.map(str::to_owned).collect(),
        session.entries().iter().map(line).collect(),
    );
    assert!(
        finished.text().contains("no more entries"),
        "the end of the walk: {finished:#?}"
    );
}

/// An entry as rpcclient prints it.
fn line(entry: &Entry) -> String {
    let (place, interface) = (&entry.place, interface_id(entry.interface));
    let address = place
        .address()
        .map_or(String::new(), |address| address.to_string());
    let binding = format!(
        "{}:{address}[{},abstract_syntax={interface}]",
        place.protseq(),
        place.endpoint()
    );
    format!("{} {binding}: {}", entry.object, entry.annotation)
}

/// Samba's binding of a tower has the major version only.
fn interface_id(interface: Interface) -> String {
    format!("{}/0x{:08x}", interface.uuid, interface.major)
}

/// epmmap: interfaces by name, over what they are registered for and over what they are not.
pub fn maps(session: &Session, program: &Path) {
    let address = session.address();
    let tower = |binding: String, interface| {
        format!("{binding},abstract_syntax={}]", interface_id(interface))
    };
    let tcp = |port: u16, interface| tower(format!("ncacn_ip_tcp:{address}[{port}"), interface);
    let mut asked = vec![
        ("epmmap epmapper ncacn_ip_tcp", vec![tcp(135, MAPPER)]),
        ("epmmap winreg ncacn_ip_tcp", vec![]),
    ];
    if session.registry.len() > 1 {
        asked.push(("epmmap lsarpc ncacn_ip_tcp", vec![tcp(LSARPC_PORT, LSARPC)]));
        asked.push(("epmmap samr ncacn_ip_tcp", vec![tcp(SAMR_PORT, SAMR)]));
        asked.push((
            "epmmap samr",
            vec![tower("ncacn_np:[\\pipe\\samr".to_owned(), SAMR)],
        ));
        // Registered without object: found whatever object is asked for.
        let with_object = "epmmap samr ncacn_ip_tcp 6b9e4d3c-0000-4000-8000-000000000001";
        asked.push((with_object, vec![tcp(SAMR_PORT, SAMR)]));
        asked.push((
            "epmmap samr ncalrpc",
            vec![tower("ncalrpc:[samr".to_owned(), SAMR)],
        ));
    }
    for (command, expected) in asked {
        let finished = run(session, program, command);
        let towers: Vec<&str> = finished
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("tower[")?.split_once("] "))
            .map(|(_, tower)| tower)
            .collect();
        assert_eq!(towers, expected, "{command}: {finished:#?}");
        let refused = finished
            .text()
            .to_lowercase()
            .contains(&format!("{NOT_REGISTERED:#x}"));
        assert_eq!(refused, expected.is_empty(), "{command}: {finished:#?}");
    }
}
