//! impacket against the mapper: its rpcdump.py, and its library by tests/interop/hept.py.

use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::programs;
use crate::registry::{Entry, Interface, LSARPC, MAPPER, Registry, SAMR, UNKNOWN, hex};
use crate::session::{NOT_REGISTERED, Session, assert_equal};

/// What hept_map can ask for.
const PROTOCOL_SEQUENCES: [&str; 3] = ["ncacn_ip_tcp", "ncacn_np", "ncacn_http"];
/// Entries that hept_lookup asks for at a time.
const PAGE: usize = 500;

/// rpcdump.py: as many endpoints as there are.
pub fn rpcdump_counts_all(session: &Session, program: &Path) {
    let finished = programs::run(program, &[&session.address().to_string()], "");
    finished.assert_success();
    let size = session.registry.len();
    let endpoints = if size == 1 {
        "one endpoint".to_owned()
    } else {
        format!("{size} endpoints")
    };
    assert!(
        finished.stdout.contains(&format!("Received {endpoints}.")),
        "{size} entries: {finished:#?}"
    );
    let (uuid, address) = (MAPPER.uuid.to_string().to_uppercase(), session.address());
    assert!(
        finished.stdout.contains(&format!("{uuid} v3.0")),
        "the mapper is listed: {finished:#?}"
    );
    assert!(
        finished
            .stdout
            .contains(&format!("ncacn_ip_tcp:{address}[135]")),
        "the address dialled: {finished:#?}"
    );
}

/// Lets tests/interop/hept.py make calls in a transfer syntax, and returns an answer for each.
pub fn hept(session: &Session, python: &Path, syntax: &str, calls: &[Value]) -> Vec<Value> {
    let script = programs::script("hept.py");
    let address = session.address().to_string();
    let mut arguments = vec![&*script, &address, syntax];
    if let Some(logon) = session.logon {
        arguments.extend([logon.account, logon.password, logon.level()]);
    }
    let finished = programs::run(python, &arguments, &json!(calls).to_string());
    finished.assert_success();
    let answers: Vec<Value> = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
    assert_eq!(answers.len(), calls.len());
    answers
}

/// One ept_lookup: what is asked for.
#[derive(Clone, Copy, Debug)]
struct Inquiry {
    inquiry_type: u32,
    vers_option: u32,
    object: Uuid,
    interface: Interface,
}

/// hept_lookup: what C706 says of each inquiry type and version option, whatever the transfer syntax.
pub fn looks_up(session: &Session, python: &Path, syntax: &str) {
    let inquiries = inquiries(&session.registry);
    let calls: Vec<Value> = inquiries.iter().map(Inquiry::call).collect();
    let entries = session.entries();
    for (inquiry, answer) in inquiries.iter().zip(hept(session, python, syntax, &calls)) {
        let Inquiry {
            inquiry_type,
            vers_option,
            object,
            interface,
        } = *inquiry;
        let is_found =
            |entry: &&Entry| entry.is_found(inquiry_type, vers_option, object, interface);
        let expected: Vec<[String; 3]> = entries.iter().filter(is_found).map(found_entry).collect();
        if expected.is_empty() {
            assert_eq!(answer["status"], NOT_REGISTERED, "{inquiry:?}: {answer}");
            continue;
        }
        let found: Vec<[String; 3]> = serde_json::from_value(answer["entries"].clone())
            .unwrap_or_else(|_| panic!("{inquiry:?}: {answer}"));
        // Full pages and what is left, and no page more.
        let pages: Vec<usize> = expected.chunks(PAGE).map(<[_]>::len).collect();
        assert_eq!(answer["pages"], json!(pages), "{inquiry:?}");
        assert_eq!(answer["found"], expected.len(), "{inquiry:?}");
        assert_equal(found, expected);
    }
}

/// Every inquiry type with every version option, for what is there in parts and for what is not there.
fn inquiries(registry: &Registry) -> Vec<Inquiry> {
    let last = registry.entries.last().map(|entry| entry.interface.uuid);
    let mut uuids = registry.entries.iter().map(|entry| entry.interface.uuid);
    let group = uuids.find(|uuid| *uuid != LSARPC.uuid && *uuid != SAMR.uuid);
    let of = |uuid: Option<Uuid>, major, minor| Interface {
        uuid: uuid.unwrap_or(UNKNOWN.uuid),
        major,
        minor,
    };
    let interfaces = [
        MAPPER,
        of(group, 1, 2),
        of(group, 2, 1),
        of(group, 2, 0),
        of(last, 1, 5),
        of(group, 9, 0),
        UNKNOWN,
    ];
    let objects = [Uuid::nil(), registry.some_object(), Uuid::from_u128(0xffff)];
    let mut all = vec![Inquiry {
        inquiry_type: 0,
        vers_option: 0,
        object: Uuid::nil(),
        interface: UNKNOWN,
    }];
    for inquiry_type in 0..=3 {
        for vers_option in 1..=5 {
            for object in objects {
                all.extend(interfaces.map(|interface| Inquiry {
                    inquiry_type,
                    vers_option,
                    object,
                    interface,
                }));
            }
        }
    }
    // What a type does not look at need not be varied.
    all.retain(|inquiry| match inquiry.inquiry_type {
        0 => inquiry.interface == UNKNOWN && inquiry.object.is_nil(),
        1 => inquiry.object.is_nil(),
        2 => inquiry.interface == UNKNOWN,
        _ => true,
    });
    all
}

impl Inquiry {
    /// The call for tests/interop/hept.py; what the inquiry type does not look at is left out.
    fn call(&self) -> Value {
        let object = matches!(self.inquiry_type, 2 | 3).then(|| hex(&self.object.to_bytes_le()));
        let interface = matches!(self.inquiry_type, 1 | 3).then(|| interface_value(self.interface));
        json!({"lookup": {"inquiry_type": self.inquiry_type, "vers_option": self.vers_option, "object": object, "interface": interface}})
    }
}

pub fn interface_value(interface: Interface) -> Value {
    json!([interface.uuid.to_string(), interface.major, interface.minor])
}

/// Object, annotation with its NUL and tower, in hexadecimal digits.
fn found_entry(entry: &Entry) -> [String; 3] {
    let annotation = [entry.annotation.as_bytes(), &[0]].concat();
    [
        hex(&entry.object.to_bytes_le()),
        hex(&annotation),
        hex(&entry.tower()),
    ]
}

/// hept_map: the first endpoint as string binding, and the towers behind it, whatever the transfer syntax.
pub fn maps(session: &Session, python: &Path, syntax: &str) {
    let (address, entries) = (session.address(), session.entries());
    let mut interfaces = vec![MAPPER, UNKNOWN, LSARPC, SAMR];
    interfaces.extend(entries.iter().rev().map(|entry| entry.interface).take(20));
    let asked = || {
        interfaces
            .iter()
            .flat_map(|interface| PROTOCOL_SEQUENCES.map(|protseq| (*interface, protseq)))
    };
    let call = |(interface, protseq)| json!({"map": {"interface": interface_value(interface), "protseq": protseq}});
    let calls: Vec<Value> = asked().map(call).collect();
    for ((interface, protseq), answer) in asked().zip(hept(session, python, syntax, &calls)) {
        let expected: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.is_mapped(interface, protseq))
            .collect();
        let Some(first) = expected.first() else {
            assert_eq!(
                answer["status"], NOT_REGISTERED,
                "{interface:?} {protseq}: {answer}"
            );
            continue;
        };
        let found = format!("{protseq}:{address}[{}]", first.place.endpoint());
        assert_eq!(answer["found"], found, "{interface:?} {protseq}");
        // hept_map asks for four.
        let towers: Vec<String> = expected
            .iter()
            .take(4)
            .map(|entry| hex(&entry.tower()))
            .collect();
        assert_eq!(answer["towers"], json!(towers), "{interface:?} {protseq}");
    }
}
