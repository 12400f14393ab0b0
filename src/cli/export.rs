//! `epm lookup --config`: what was found, as a configuration for `epmapperd`.
//!
//! Always holds: what is written makes `epmapperd` answer the towers that were
//! found, octet for octet, those that a note on standard error tells of
//! excepted. A tower is written as a binding only if the binding gives back the
//! very same octets; otherwise in hex.

use super::render;
use crate::client::Peer;
use crate::client::ept::FoundEntry;
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::tower::{Tower, TowerBuf, TowerParts};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io::{self, Write};
use std::net::IpAddr;
use uuid::Uuid;

/// What `--config` prints.
pub const HELP: &str = "\
Print [[endpoint]] entries for epmapperd

Entries that differ in nothing but their towers are written as one. The
mapper's own endpoints are left out, since epmapperd registers itself, and so
is the address that the mapper was asked at, since epmapperd answers with the
address it is asked at: ask the mapper from outside, at the address that its
clients use. Towers that no binding says are written in hex. Annotations that
are no UTF-8 have ? in place of the octets that are none.";

/// Found entries as a configuration has them.
#[derive(Default)]
pub struct Export {
    /// What is written.
    endpoints: Vec<Endpoint>,
    /// Entries left out that are the mapper's own.
    own: usize,
    /// Entries left out whose tower cannot be registered.
    undecodable: usize,
    /// Entries left out whose object and tower came before.
    repeated: usize,
    /// Entries written without octets behind their tower.
    trailing: usize,
    /// Entries written with another annotation, since theirs is no UTF-8.
    not_utf8: usize,
}

/// One `[[endpoint]]`.
#[derive(Debug, PartialEq, Serialize)]
struct Endpoint {
    /// The interface's UUID.
    interface: String,
    /// Its version, `MAJOR.MINOR`.
    version: String,
    /// The annotation; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    annotation: String,
    /// The object, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// The transfer syntaxes of the bindings; none for NDR alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transfer_syntax: Vec<String>,
    /// String bindings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bindings: Vec<String>,
    /// Towers in hex.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    towers: Vec<String>,
    /// The interface's name, for a comment.
    #[serde(skip)]
    name: Option<&'static str>,
}

/// What the towers of an endpoint have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Head {
    /// The interface.
    interface: SyntaxId,
    /// The object; nil for none.
    object: Uuid,
    /// The annotation as it is written.
    annotation: String,
}

/// How a tower is written.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Place {
    /// As a string binding, for one or more transfer syntaxes.
    Binding(String),
    /// In hex.
    Tower(String),
}

/// A list of values by key, in the order in which the keys came.
struct Grouped<K, V> {
    /// The place of each key.
    index: HashMap<K, usize>,
    /// Keys with their values.
    groups: Vec<(K, Vec<V>)>,
}

impl Export {
    /// Prepares entries of the mapper that was reached at a peer.
    pub fn new(found: &[FoundEntry], reached: &Peer) -> Self {
        let reached = match reached {
            Peer::Network(address) => Some(address.ip()),
            Peer::Local(_) => None,
        };
        let mut export = Export::default();
        let mut seen = HashSet::new();
        let mut heads = Grouped::new();
        for entry in found {
            let Some(tower) = export.tower(entry, reached) else {
                continue;
            };
            if !seen.insert((entry.object, tower.octets().to_owned())) {
                export.repeated += 1;
                continue;
            }
            let annotation = export.annotation(entry);
            if let Ok(parts) = tower.as_tower().parts() {
                let head = Head {
                    interface: parts.interface,
                    object: entry.object,
                    annotation,
                };
                heads.push(head, (place(&tower, &parts), parts.transfer_syntax));
            }
        }
        for (head, places) in heads.groups {
            export.endpoints.extend(endpoints(&head, places));
        }
        export
    }

    /// The tower as it has to be registered, unless it is left out.
    fn tower(&mut self, entry: &FoundEntry, reached: Option<IpAddr>) -> Option<TowerBuf> {
        let Some(tower) = registrable(&entry.tower, reached) else {
            self.undecodable += 1;
            return None;
        };
        if tower
            .as_tower()
            .parts()
            .is_ok_and(|parts| parts.interface.uuid == SyntaxId::EPT.uuid)
        {
            self.own += 1;
            return None;
        }
        if tower.octets().len() < entry.tower.len() {
            self.trailing += 1;
        }
        Some(tower)
    }

    /// The annotation in UTF-8, no longer than it was.
    fn annotation(&mut self, entry: &FoundEntry) -> String {
        let mut text = String::new();
        for chunk in entry.annotation.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '?'));
        }
        if text.as_bytes() != &*entry.annotation {
            self.not_utf8 += 1;
        }
        text
    }

    /// What the configuration does not say as the mapper did.
    pub fn warnings(&self) -> Vec<String> {
        let counted = [
            (self.undecodable, "left out, its tower cannot be registered"),
            (
                self.repeated,
                "left out, its object and tower came before, with another annotation or the same",
            ),
            (
                self.trailing,
                "written without the octets behind its tower's last floor",
            ),
            (
                self.not_utf8,
                "written with ? in its annotation, which is no UTF-8",
            ),
        ];
        let told = counted.iter().filter(|(count, _)| *count > 0);
        told.map(|(count, what)| format!("entries {what}: {count}"))
            .collect()
    }

    /// Writes the configuration.
    pub fn write(&self, out: &mut dyn Write, mapper: &dyn Display) -> io::Result<()> {
        writeln!(
            out,
            "# Endpoints of {mapper}, written by epm lookup --config."
        )?;
        if self.own > 0 {
            let own = self.own;
            writeln!(
                out,
                "# The mapper's own are left out ({own}): epmapperd registers itself."
            )?;
        }
        for endpoint in &self.endpoints {
            let name = endpoint.name.map(|name| format!(" # {name}"));
            writeln!(out, "\n[[endpoint]]{}", name.unwrap_or_default())?;
            let table = toml::to_string_pretty(endpoint).map_err(io::Error::other)?;
            out.write_all(table.as_bytes())?;
        }
        Ok(())
    }
}

/// The tower without octets behind it, and without the address that the mapper
/// was reached at, if it was at one; `None` when `epmapperd` would not take it.
fn registrable(octets: &[u8], reached: Option<IpAddr>) -> Option<TowerBuf> {
    let tower = Tower::decode(octets).ok()?;
    let parts = tower.parts().ok()?;
    if parts.interface.uuid.is_nil() || parts.transfer_syntax.uuid.is_nil() {
        return None;
    }
    let len = octets.len() - tower.trailing().len();
    let mut octets = octets.get(..len)?.to_owned();
    if let (Some(address), Some(at)) = (parts.address(), parts.address_offset)
        && reached.is_some_and(|reached| reached.to_canonical() == IpAddr::V4(address))
    {
        octets.get_mut(at..at + 4)?.fill(0);
    }
    TowerBuf::decode(octets).ok()
}

/// How a tower is written: as a binding if that says all of it.
fn place(tower: &TowerBuf, parts: &TowerParts<'_>) -> Place {
    let says_all = |text: &String| {
        let binding = text.parse::<Binding>().ok()?;
        let again =
            TowerBuf::from_binding(parts.interface, parts.transfer_syntax, &binding).ok()?;
        // A client could not go to a binding without endpoint: epmapperd
        // takes it for a mistake.
        Some(again == *tower && !binding.endpoint.is_empty())
    };
    Binding::from_tower(parts, None)
        .map(|binding| binding.to_string())
        .filter(|text| says_all(text) == Some(true))
        .map_or_else(|| Place::Tower(render::hex(tower.octets())), Place::Binding)
}

/// The endpoints of one head: one for each set of transfer syntaxes, and one
/// for the towers in hex.
fn endpoints(head: &Head, places: Vec<(Place, SyntaxId)>) -> Vec<Endpoint> {
    let mut syntaxes = Grouped::new();
    for (place, syntax) in places {
        syntaxes.push(place, syntax);
    }
    let mut bindings = Grouped::new();
    let mut towers = Vec::new();
    for (place, mut syntaxes) in syntaxes.groups {
        // NDR first, as in the configuration's default.
        syntaxes.sort_by_key(|syntax| (*syntax != SyntaxId::NDR, *syntax));
        match place {
            Place::Binding(binding) => bindings.push(syntaxes, binding),
            Place::Tower(hex) => towers.push(hex),
        }
    }
    let bound = bindings
        .groups
        .into_iter()
        .map(|(syntaxes, bindings)| Endpoint {
            transfer_syntax: written_syntaxes(&syntaxes),
            bindings,
            ..Endpoint::new(head)
        });
    let in_hex = (!towers.is_empty()).then(|| Endpoint {
        towers,
        ..Endpoint::new(head)
    });
    bound.chain(in_hex).collect()
}

/// Transfer syntaxes as they are written: NDR alone need not be.
fn written_syntaxes(syntaxes: &[SyntaxId]) -> Vec<String> {
    match syntaxes {
        [SyntaxId::NDR] => Vec::new(),
        _ => syntaxes
            .iter()
            .map(|syntax| render::syntax_name(*syntax))
            .collect(),
    }
}

impl Endpoint {
    /// An endpoint that is nowhere yet.
    fn new(head: &Head) -> Self {
        Endpoint {
            interface: head.interface.uuid.to_string(),
            version: render::version(head.interface),
            annotation: head.annotation.clone(),
            object: Some(head.object)
                .filter(|object| !object.is_nil())
                .map(|object| object.to_string()),
            transfer_syntax: Vec::new(),
            bindings: Vec::new(),
            towers: Vec::new(),
            name: render::name(head.interface),
        }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V> Grouped<K, V> {
    /// Without groups.
    fn new() -> Self {
        Grouped {
            index: HashMap::new(),
            groups: Vec::new(),
        }
    }

    /// Adds a value to its key's group.
    fn push(&mut self, key: K, value: V) {
        let place = *self.index.entry(key).or_insert_with_key(|key| {
            self.groups.push((key.clone(), Vec::new()));
            self.groups.len() - 1
        });
        self.groups[place].1.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tower::{Floor, ProtocolSequence};
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;
    use uuid::uuid;

    /// An interface with a known name.
    const SAMR: SyntaxId = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);
    /// An object.
    const OBJECT: Uuid = uuid!("00000001-0000-0000-0000-000000000000");
    /// Where the mapper was asked.
    const REACHED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    /// What is told of an entry: all that has to come back.
    type Told = (Uuid, Vec<u8>, Vec<u8>);

    /// A configuration as `epmapperd` reads it.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        /// All endpoints.
        #[serde(default)]
        endpoint: Vec<Written>,
    }

    /// An endpoint of it; the fields are those of `Endpoint`.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        interface: String,
        version: String,
        #[serde(default)]
        annotation: String,
        object: Option<String>,
        transfer_syntax: Option<Vec<String>>,
        #[serde(default)]
        bindings: Vec<String>,
        #[serde(default)]
        towers: Vec<String>,
    }

    impl Written {
        /// What a mapper with this endpoint tells a client that dialled `REACHED`.
        fn told(&self) -> Vec<Told> {
            let (major, minor) = self.version.split_once('.').unwrap();
            let uuid = self.interface.parse().unwrap();
            let interface = SyntaxId::new(uuid, major.parse().unwrap(), minor.parse().unwrap());
            let ndr = vec!["ndr".to_owned()];
            let mut towers: Vec<_> = self.towers.iter().map(|hex| octets(hex)).collect();
            for binding in &self.bindings {
                let binding: Binding = binding.parse().unwrap();
                for syntax in self.transfer_syntax.as_ref().unwrap_or(&ndr) {
                    let tower = TowerBuf::from_binding(interface, syntax_of(syntax), &binding);
                    towers.push(tower.unwrap().octets().to_owned());
                }
            }
            let object = self.object.as_ref().map(|object| object.parse().unwrap());
            let annotation = self.annotation.clone().into_bytes();
            let told = |tower| {
                (
                    object.unwrap_or_default(),
                    annotation.clone(),
                    dialled(tower),
                )
            };
            towers.into_iter().map(told).collect()
        }
    }

    /// A transfer syntax as a configuration names it.
    fn syntax_of(name: &str) -> SyntaxId {
        match name {
            "ndr" => SyntaxId::NDR,
            "ndr64" => SyntaxId::NDR64,
            other => {
                let parts: Vec<_> = other.split([':', '.']).collect();
                let [uuid, major, minor] = parts[..] else {
                    panic!("{other} is no syntax");
                };
                SyntaxId::new(
                    uuid.parse().unwrap(),
                    major.parse().unwrap(),
                    minor.parse().unwrap(),
                )
            }
        }
    }

    /// Octets in hex.
    fn octets(hex: &str) -> Vec<u8> {
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    /// A tower with the address dialled in place of 0.0.0.0.
    fn dialled(mut tower: Vec<u8>) -> Vec<u8> {
        let at = Tower::decode(&tower)
            .unwrap()
            .parts()
            .unwrap()
            .address_offset;
        if let Some(address) = at.and_then(|at| tower.get_mut(at..at + 4))
            && *address == [0; 4]
        {
            address.copy_from_slice(&REACHED.octets());
        }
        tower
    }

    /// An entry with a tower.
    fn entry(tower: &[u8]) -> FoundEntry {
        FoundEntry {
            object: Uuid::nil(),
            annotation: Box::from(*b"Accounts"),
            tower: Box::from(tower),
        }
    }

    /// An entry of the interface with a binding's tower.
    fn bound(syntax: SyntaxId, binding: &str) -> FoundEntry {
        let tower = TowerBuf::from_binding(SAMR, syntax, &binding.parse().unwrap()).unwrap();
        entry(tower.octets())
    }

    /// The configuration of entries, and the warnings.
    fn exported(found: &[FoundEntry]) -> (String, Vec<String>) {
        let export = Export::new(found, &Peer::Network((REACHED, 135).into()));
        let mut out = Vec::new();
        export.write(&mut out, &"somewhere").unwrap();
        (String::from_utf8(out).unwrap(), export.warnings())
    }

    /// The endpoints of that configuration.
    fn written(found: &[FoundEntry]) -> Vec<Written> {
        toml::from_str::<Config>(&exported(found).0)
            .unwrap()
            .endpoint
    }

    /// Asserts that a mapper with the export tells the same as the one asked.
    fn assert_comes_back(found: &[FoundEntry]) {
        let expected: BTreeSet<_> = found
            .iter()
            .map(|e| (e.object, e.annotation.to_vec(), dialled(e.tower.to_vec())))
            .collect();
        let told: BTreeSet<_> = written(found).iter().flat_map(Written::told).collect();
        assert_eq!(told, expected, "{}", exported(found).0);
    }

    #[test]
    fn entries_that_differ_only_in_towers_are_one_endpoint() {
        let found = [
            bound(SyntaxId::NDR, "ncacn_ip_tcp:192.0.2.7[49152]"),
            bound(SyntaxId::NDR, "ncalrpc:[samr]"),
            bound(SyntaxId::NDR64, "ncalrpc:[samr]"),
            bound(SyntaxId::NDR, "ncacn_np:\\\\HOST[\\pipe\\samr]"),
        ];
        let written = written(&found);
        let [tcp, local] = &written[..] else {
            panic!("{written:?}");
        };
        assert_eq!(
            tcp.bindings,
            ["ncacn_ip_tcp:[49152]", r"ncacn_np:\\\\HOST[\\pipe\\samr]"]
        );
        assert_eq!(
            (&tcp.transfer_syntax, tcp.annotation.as_str()),
            (&None, "Accounts")
        );
        assert_eq!(local.bindings, ["ncalrpc:[samr]"]);
        assert_eq!(local.transfer_syntax.as_ref().unwrap(), &["ndr", "ndr64"]);
        assert_comes_back(&found);
    }

    #[test]
    fn the_address_asked_at_is_left_out_and_others_are_kept() {
        let found = [
            bound(SyntaxId::NDR, "ncadg_ip_udp:192.0.2.7[1]"),
            bound(SyntaxId::NDR, "ncadg_ip_udp:192.0.2.8[1]"),
        ];
        let bindings = &written(&found)[0].bindings;
        assert_eq!(*bindings, ["ncadg_ip_udp:[1]", "ncadg_ip_udp:192.0.2.8[1]"]);
        assert_comes_back(&found);
    }

    #[test]
    fn what_no_binding_says_is_written_in_hex() {
        let tcp = TowerBuf::from_binding(
            SAMR,
            SyntaxId::NDR,
            &"ncacn_ip_tcp:192.0.2.7[49152]".parse().unwrap(),
        );
        let tcp = tcp.unwrap();
        let floors: Vec<_> = tcp.as_tower().floors().collect();
        // Floor 3 with a minor version, and the address before the port.
        let minor = Floor {
            rhs: &[1, 0],
            ..floors[2]
        };
        let old = [floors[0], floors[1], minor, floors[3], floors[4]];
        let turned = [floors[0], floors[1], floors[2], floors[4], floors[3]];
        let unknown = [
            floors[0],
            floors[1],
            floors[2],
            Floor {
                lhs: &[0xee],
                rhs: &[1],
            },
        ];
        let found: Vec<_> = [&old[..], &turned, &unknown]
            .map(|floors| {
                entry(
                    TowerBuf::from_floors(floors.iter().copied())
                        .unwrap()
                        .octets(),
                )
            })
            .into();
        let endpoints = written(&found);
        assert_eq!(endpoints[0].towers.len(), 3, "{endpoints:?}");
        assert_comes_back(&found);
    }

    #[test]
    fn a_binding_without_endpoint_is_written_in_hex() {
        let found = [bound(SyntaxId::NDR, "ncacn_ip_tcp:192.0.2.8")];
        assert_eq!(written(&found)[0].towers.len(), 1);
        assert_comes_back(&found);
    }

    #[test]
    fn objects_annotations_and_versions_are_told_apart() {
        let mut found = vec![bound(SyntaxId::NDR, "ncalrpc:[a]"); 3];
        found[0].object = OBJECT;
        found[1].annotation = Box::from(*b"tab\t quote\" \\ \x01\x7f");
        found[2] = bound(SyntaxId::new(OBJECT, 2, 1), "ncalrpc:[b]");
        assert_eq!(written(&found).len(), 3);
        assert_comes_back(&found);
    }

    #[test]
    fn the_mappers_own_endpoints_are_left_out() {
        let own = TowerBuf::from_binding(
            SyntaxId::EPT,
            SyntaxId::NDR,
            &"ncacn_ip_tcp:[135]".parse().unwrap(),
        );
        let (text, warnings) = exported(&[entry(own.unwrap().octets())]);
        assert!(
            text.contains("left out (1)") && !text.contains("[[endpoint]]"),
            "{text}"
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_is_not_written_as_it_was_is_told() {
        let good = bound(SyntaxId::NDR, "ncalrpc:[samr]");
        let mut again = good.clone();
        again.annotation = Box::from(*b"once more");
        let mut trailing = bound(SyntaxId::NDR, "ncalrpc:[trailing]");
        trailing.tower = [&trailing.tower, &[0; 3][..]].concat().into();
        let mut latin = bound(SyntaxId::NDR, "ncalrpc:[latin]");
        latin.annotation = Box::from(*b"Geh\xe4use\xff");
        let (text, warnings) = exported(&[good, again, trailing, latin, entry(&[5, 0, 1])]);
        assert!(
            text.contains("\"Geh?use?\"") && !text.contains("once more"),
            "{text}"
        );
        let counted = [
            "cannot be registered: 1",
            "before",
            "last floor: 1",
            "no UTF-8: 1",
        ];
        assert_eq!(warnings.len(), counted.len(), "{warnings:?}");
        for (warning, part) in warnings.iter().zip(counted) {
            assert!(warning.contains(part), "{warning}");
        }
    }

    prop_compose! {
        /// An entry with a tower of any protocol sequence, not always well-formed.
        fn any_entry()(
            protseq in prop::sample::select(ProtocolSequence::all().collect::<Vec<_>>()),
            syntax in prop::sample::select(vec![SyntaxId::NDR, SyntaxId::NDR64, SyntaxId::EPT]),
            endpoint in prop_oneof![".{0,12}", "[0-9]{1,5}", "[\\[\\],=]{1,4}"],
            address in prop_oneof![Just("192.0.2.7".to_owned()), Just("192.0.2.8".to_owned()), ".{0,8}"],
            annotation in "[^\0]{0,12}",
            object in prop::sample::select(vec![Uuid::nil(), OBJECT]),
            replaced in prop::option::of((3usize..5, prop::collection::vec(any::<u8>(), 0..6))),
        ) -> Option<FoundEntry> {
            let binding = Binding { address, endpoint, ..Binding::new(protseq) };
            let tower = TowerBuf::from_binding(SAMR, syntax, &binding).ok()?;
            let mut floors: Vec<_> = tower.as_tower().floors().collect();
            if let Some((at, rhs)) = &replaced && let Some(floor) = floors.get_mut(*at) {
                floor.rhs = rhs;
            }
            let tower = TowerBuf::from_floors(floors).ok()?;
            let annotation = annotation.into_bytes().into();
            Some(FoundEntry { object, annotation, tower: tower.octets().into() })
        }
    }

    proptest! {
        #[test]
        fn an_export_tells_what_was_found(found in prop::collection::vec(any_entry(), 0..8)) {
            let mut found: Vec<_> = found.into_iter().flatten().collect();
            // The same tower under another annotation is left out, and told so.
            let mut seen = HashSet::new();
            found.retain(|e| seen.insert((e.object, dialled(e.tower.to_vec()))));
            assert_comes_back(&found);
        }
    }
}
