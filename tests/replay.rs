//! The fuzz targets on stable: every seed, everything captured, and every input
//! that once made a target fail.
//!
//! `cargo test --test replay -- --ignored write_seeds` writes the seeds anew,
//! from the `self-*` captures in testdata; `write_corpus` adds to fuzz/corpus
//! what the captures of EPMAPPER_CAPTURES hold, which may not be handed on.

#![cfg(feature = "security")]

mod support;

use epmapper::fuzzing::{self, Side, TARGETS};
use epmapper::security::spnego::token::{NegTokenInit, NegTokenResp};
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{InsertRequest, LookupRequest, LookupResponse, MapRequest, MapResponse};
use epmapper::wire::mgmt::{InqIfIdsResponse, InqPrincNameResponse, InqStatsResponse};
use epmapper::wire::pdu::{Body, PacketType, Pdu};
use epmapper::wire::tower::{Tower, TowerBuf};
use epmapper::wire::{ByteOrder, Input, Output, SyntaxId, TransferSyntax};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use support::capture::{self, CapturedPdu};

/// Seeds longer than this teach a fuzzer little that shorter ones do not.
const LONGEST_SEED: usize = 3_000;

/// The seeds of each target, at most.
const SEEDS: usize = 60;

/// PDUs of one client in a seed, at most.
const CALLS: usize = 20;

/// String bindings of kinds that no capture has.
const BINDINGS: [&str; 10] = [
    r"ncacn_np:\\\\HOST[\\pipe\\lsass]",
    "ncalrpc:[LRPC-0123456789abcdef]",
    "ncacn_http:192.0.2.10[593,RpcProxy=px:443]",
    "ncacn_unix_stream:[/run/ep]",
    "ncacn_at_dsp:host[endpoint]",
    "ncacn_vns_spp:host[250]",
    "ncacn_spx:~0000000108002B30612C[5000]",
    "ncadg_ipx:[5000]",
    "11111111-2222-3333-4444-555555555555@ncadg_ip_udp:192.0.2.7[49153,a,b=c]",
    "ncacn_ip_tcp:fe80::1%eth0[endpoint=135]",
];

/// Operation lists for `association` of what no capture has.
#[rustfmt::skip]
const OPERATIONS: [(&str, &[u8]); 3] = [
    // Five fragments of one call, together above the limit of 6000 octets.
    ("call-too-long", &[
        2, 2, 2, 2, 2,             // settings
        7, 0, 0, 0, 0, 0, 0, 0,    // bind: one context
        57, 0, 2, 0x40, 80, 1,     // 5 fragments of 1840 octets
        1, 0, 0, 2, 0,             // deliver, take all events
    ]),
    // Calls with long answers that are left unsent, then sent piece by piece.
    ("answers-held-back", &[
        3, 3, 3, 3, 3,             // settings
        7, 0, 0, 0, 2, 0, 0, 0,    // bind: takes 1432 octets
        81, 0, 2, 0, 1, 190,       // 7 calls, 44000 octets to answer each
        1, 0, 0, 2, 0, 5, 0, 1,    // deliver, take events, send 256 octets
        2, 0, 1, 0, 0, 2, 0, 5, 0, 0,
    ]),
    // A call is held while an alter_context and a violation come in.
    ("answers-in-turn", &[
        0, 0, 0, 0, 0,             // settings
        7, 0, 0, 0, 0, 0, 0, 0,    // bind
        9, 0, 2, 0, 1, 3,          // a call
        1, 0, 0, 2, 1, 3,          // deliver, take the join, hold the call
        8, 0, 3, 0, 0, 0, 0, 5,    // alter_context: mgmt
        10, 2, 3, 4, 0,            // a response from the client
        1, 0, 0, 4, 2, 0, 6, 61,   // deliver, answer, take events, wait 61 s
    ]),
];

/// The same for `client_association`.
#[rustfmt::skip]
const CLIENT_OPERATIONS: [(&str, &[u8]); 4] = [
    // An answer in eight fragments, together above the limit of 100 octets.
    ("answer-too-long", &[
        0, 0, 2, 0,                // settings
        2, 0, 1, 0,                // bind: one context
        6, 0, 0, 7, 20, 1, 0, 0,   // bind_ack, deliver
        2, 2, 3, 1, 3, 0, 0,       // a call, send it
        91, 0, 30, 1, 0, 0,        // 8 fragments of 30 octets, deliver
    ]),
    // A call is cancelled, then given up; what comes of it, then the next call.
    ("call-given-up", &[
        0, 0, 0, 1,                // settings
        2, 0, 2, 0,                // bind: two contexts
        6, 0, 0, 7, 7, 1, 0, 0,    // bind_ack, deliver
        2, 2, 90, 0,               // a call of 8100 octets
        5, 3, 100, 0,              // cancel, send 100 octets
        31, 0, 40,                 // 3 fragments of an answer
        1, 70, 0, 17,              // deliver a part of it, give the call up
        2, 2, 1, 0,                // a call
        1, 0, 0,                   // deliver the rest
        7, 0, 40, 1, 0, 0, 3, 0, 0, // an answer, deliver, send all
    ]),
    // No answer in time, and something asked for after that.
    ("no-answer", &[
        1, 1, 0, 0,                // settings
        2, 0, 1, 0,                // bind: one context
        6, 0, 0, 0x85, 1, 1, 0, 0, // big-endian bind_ack, deliver
        2, 1, 1, 0,                // alter_context
        4, 29, 4, 1,               // wait 30 s
        2, 2, 1, 0,                // a call
    ]),
    // A part of an answer, then a fault; a call; a shutdown.
    ("fault-and-shutdown", &[
        0, 2, 3, 0,                // settings
        2, 0, 1, 0,                // bind: one context
        6, 0, 0, 7, 200, 1, 0, 0,  // bind_ack, deliver
        2, 2, 1, 0,                // a call
        19, 0, 50, 1, 74, 0,       // 2 fragments, the first arrives
        11, 74, 0, 0,              // the second is lost
        8, 0, 8, 0x23, 1, 2, 3, 4, 5, 6, 7, 8, // fault with extended information
        1, 0, 0, 2, 2, 1, 0,       // deliver, a call
        8, 2, 0, 3, 1, 0, 0,       // shutdown, deliver
    ]),
];

/// What `secure_association` does once a client has logged on and called.
#[rustfmt::skip]
const ATTACKS: [(&str, &[u8]); 6] = [
    ("calls", &[10, 0x08, 30, 3, 11, 0, 9, 190]), // 3 fragments, then a long answer
    ("repeats", &[12, 2, 0]),                     // its last leg, again
    ("lowers", &[10, 0, 3, 1, 12, 5, 0x23]),      // a level of 2 in a request
    ("grafts", &[10, 0, 3, 1, 13, 4, 0]),         // with an older signature
    ("alters", &[10, 0, 3, 1, 15, 40, 0, 1]),     // with one octet changed
    ("another", &[7, 1, 1, 1, 0, 0, 2, 0, 5, 0, 0, 8, 2, 1, 0, 0, 2, 0, 10, 0x10, 3, 1]),
];

/// Operation lists for `ntlm`: an exchange with a part damaged or none, and
/// packets of either end.
const NTLM_OPERATIONS: [(&str, &[u8]); 5] = [
    ("knows", &[0, 1, 2, 0, 0, 0, 0]),
    ("negotiate-damaged", &[1, 1, 0, 0, 5, 0, 1]),
    ("challenge-damaged", &[1, 1, 1, 0, 20, 0, 1]),
    ("proof-damaged", &[2, 1, 2, 0, 9, 0, 0x80]),
    (
        "packets",
        &[2, 2, 0, 40, 7, 0, 1, 1, 30, 8, 1, 1, 0, 3, 9, 0, 0, 2, 0, 1],
    ),
];

/// The endpoint mapper's port: whoever has it is the server.
const EPMAP_PORT: u16 = 135;

#[test]
fn every_seed_keeps_the_laws() {
    for &(name, target) in TARGETS {
        let seeds = files(&seed_folder(name));
        assert!(!seeds.is_empty(), "no seeds for {name}");
        for seed in seeds {
            run(
                name,
                target,
                &seed.display().to_string(),
                &fs::read(&seed).unwrap(),
            );
        }
    }
}

#[test]
fn everything_captured_keeps_the_laws() {
    let captured = captured(&support::own_captures());
    for &(name, target) in TARGETS {
        for (source, octets) in &captured[name] {
            run(name, target, source, octets);
        }
    }
}

/// Such inputs are kept as `testdata/KIND/fuzz-TARGET-WHAT.bin`.
#[test]
fn every_input_that_once_failed_keeps_the_laws() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let kinds = fs::read_dir(testdata).unwrap();
    for kind in kinds
        .map(|kind| kind.unwrap().path())
        .filter(|kind| kind.is_dir())
    {
        for file in files(&kind) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let Some(what) = name
                .strip_prefix("fuzz-")
                .and_then(|n| n.strip_suffix(".bin"))
            else {
                continue;
            };
            let of_target = |target: &str| {
                what.strip_prefix(target)
                    .is_some_and(|rest| rest.starts_with('-'))
            };
            let target = TARGETS.iter().find(|(target, _)| of_target(target));
            let (target, function) = target.unwrap_or_else(|| panic!("{name}: no such target"));
            run(target, *function, name, &fs::read(&file).unwrap());
        }
    }
}

#[test]
#[ignore = "writes fuzz/seeds"]
fn write_seeds() {
    let mut captured = captured(&support::own_captures());
    for &(name, _) in TARGETS {
        let folder = seed_folder(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let mut seeds = captured.remove(name).unwrap();
        seeds.retain(|(_, octets)| octets.len() <= LONGEST_SEED);
        for (source, octets) in spread(seeds) {
            fs::write(folder.join(source), octets).unwrap();
        }
    }
}

#[test]
#[ignore = "writes fuzz/corpus"]
fn write_corpus() {
    let Some(captures) = support::more_captures() else {
        return;
    };
    for (name, seeds) in captured(&captures) {
        let folder = seed_folder(name).join("../../corpus").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (source, octets) in spread(seeds) {
            fs::write(folder.join(source), octets).unwrap();
        }
    }
}

/// At most as many as a target gets, from all over the list.
fn spread(seeds: Vec<Seed>) -> impl Iterator<Item = Seed> {
    let step = seeds.len().div_ceil(SEEDS).max(1);
    seeds.into_iter().step_by(step)
}

/// Runs a target; what fails is named.
fn run(name: &str, target: fn(&[u8]), source: &str, octets: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(octets)) {
        eprintln!("target {name} failed over {source}");
        std::panic::resume_unwind(panic);
    }
}

/// Where the seeds of a target lie.
fn seed_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target)
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Where an input comes from, and its octets.
type Seed = (String, Vec<u8>);

/// Inputs of one target: the first of each kind, since the rest is more of the
/// same.
#[derive(Default)]
struct Collection {
    kinds: BTreeSet<String>,
    seeds: Vec<Seed>,
}

impl Collection {
    /// Adds an input, unless one of its kind is there.
    fn add(&mut self, kind: impl Debug, source: &str, octets: Vec<u8>) {
        if self.kinds.insert(format!("{kind:?}")) {
            self.seeds.push((source.to_owned(), octets));
        }
    }
}

/// What the captures of a folder hold for each target.
fn captured(captures: &Path) -> BTreeMap<&'static str, Vec<Seed>> {
    let [mut pdus, mut stubs, mut towers] = [(); 3].map(|()| Collection::default());
    let [mut associations, mut clients, mut registries] = [(); 3].map(|()| Collection::default());
    let mut typed_stubs = Collection::default();
    let [mut ntlm, mut spnego, mut secured] = [(); 3].map(|()| Collection::default());
    for path in support::captures_in(captures) {
        if support::truth::tcp_rows(&path).is_empty() {
            continue;
        }
        let file = path.file_stem().unwrap().to_str().unwrap();
        let capture = capture::read(&path);
        for pdu in &capture.pdus {
            let source = format!("{file}-{}", pdu.frame);
            collect_pdu(&source, pdu, &mut pdus, &mut stubs, &mut towers);
            collect_tokens(&source, pdu, &mut ntlm, &mut spnego);
        }
        collect_associations(file, &capture.pdus, &mut associations);
        collect_secured(file, &capture.pdus, &mut secured);
        collect_clients(file, &capture.pdus, &mut clients);
    }
    collect_bindings(&mut towers);
    for (source, list) in OPERATIONS {
        associations.add(source, source, list.to_vec());
    }
    for (number, stub) in fuzzing::typed_stub_samples().into_iter().enumerate() {
        let source = format!("sample-{number}");
        typed_stubs.add(&source, &source, stub);
    }
    for (source, list) in NTLM_OPERATIONS {
        ntlm.add(source, source, list.to_vec());
    }
    for (source, list) in secured_operations() {
        secured.add(&source, &source, list);
    }
    for (source, list) in CLIENT_OPERATIONS {
        clients.add(source, source, list.to_vec());
    }
    let binary = towers
        .seeds
        .iter()
        .filter(|(source, _)| !source.ends_with("-text"));
    for (source, tower) in binary.clone() {
        let all = binary.clone().map(|(_, tower)| &tower[..]);
        let list = fuzzing::registry_list([&tower[..]].into_iter().chain(all.take(20)));
        registries.add(source, source, list);
    }
    [
        ("pdu", pdus),
        ("tower", towers),
        ("ept_stub", stubs),
        ("typed_stub", typed_stubs),
        ("association", associations),
        ("client_association", clients),
        ("registry", registries),
        ("ntlm", ntlm),
        ("spnego", spnego),
        ("secure_association", secured),
    ]
    .map(|(name, collection)| (name, collection.seeds))
    .into()
}

/// Takes a PDU, its stub and the towers in it.
fn collect_pdu(
    source: &str,
    captured: &CapturedPdu,
    pdus: &mut Collection,
    stubs: &mut Collection,
    towers: &mut Collection,
) {
    let octets = &captured.octets;
    let Ok(pdu) = Pdu::decode(octets) else {
        pdus.add(source, source, octets.clone());
        return;
    };
    let header = &pdu.header;
    let auth = pdu.auth.map(|auth| (auth.auth_type, auth.auth_level));
    let kind = (
        header.ptype,
        header.flags,
        header.drep,
        auth,
        octets.len().ilog2(),
    );
    pdus.add(kind, source, octets.clone());
    let (stub, opnum) = match &pdu.body {
        Body::Request(request) => (request.stub, request.opnum),
        Body::Response(response) => (response.stub, u16::MAX),
        _ => return,
    };
    if pdu.auth.is_none() {
        let kind = (header.ptype, opnum, header.drep, stub.len() / 16);
        stubs.add(kind, source, stub.to_vec());
        let stub = Input::new(stub, header.drep.order());
        collect_ndr64(source, stub, opnum, stubs);
        collect_towers(source, stub, towers);
    }
}

/// Takes the token of a leg, and what SPNEGO carries in it.
fn collect_tokens(
    source: &str,
    captured: &CapturedPdu,
    ntlm: &mut Collection,
    spnego: &mut Collection,
) {
    let Ok(pdu) = Pdu::decode(&captured.octets) else {
        return;
    };
    let is_leg = !matches!(pdu.body, Body::Request(_) | Body::Response(_));
    let Some(verifier) = pdu.auth.filter(|_| is_leg) else {
        return;
    };
    let token = verifier.value;
    let init = NegTokenInit::decode(token).ok();
    let init = init.and_then(|init| init.mech_token);
    let response = NegTokenResp::decode(token).ok();
    let inner = init.or(response.and_then(|response| response.response_token));
    for token in [token, inner.unwrap_or_default()] {
        let kind = (token.get(..12), token.len());
        match token {
            [] => {}
            [b'N', b'T', b'L', b'M', ..] => ntlm.add(kind, source, token.to_vec()),
            _ => spnego.add(kind, source, token.to_vec()),
        }
    }
}

/// Takes a stub written anew in NDR64, which no client of the captures spoke:
/// as every type that it decodes as.
fn collect_ndr64(source: &str, stub: Input, opnum: u16, stubs: &mut Collection) {
    macro_rules! collect {
        ($($type:ident),*) => {$(
            if let Ok(value) = $type::decode(stub) {
                let mut octets = Vec::new();
                let (order, syntax) = (ByteOrder::Little, TransferSyntax::Ndr64);
                value.encode(&mut Output::stub(&mut octets, order, syntax));
                let kind = (stringify!($type), octets.len() / 64);
                stubs.add(kind, &format!("{source}-ndr64-{}", stringify!($type)), octets);
            }
        )*};
    }
    if opnum == u16::MAX {
        collect!(
            LookupResponse,
            MapResponse,
            InqIfIdsResponse,
            InqStatsResponse,
            InqPrincNameResponse
        );
    } else {
        collect!(InsertRequest, LookupRequest, MapRequest);
    }
}

/// Takes the towers of a stub, and the bindings that they say.
fn collect_towers(source: &str, stub: Input, towers: &mut Collection) {
    let asked = MapRequest::decode(stub).ok();
    let asked = asked.and_then(|asked| Some(asked.tower?.value.to_vec()));
    let mapped = MapResponse::decode(stub).map_or(vec![], |response| response.towers);
    let mapped = mapped
        .into_iter()
        .flatten()
        .map(|tower| tower.value.into_owned());
    let found = LookupResponse::decode(stub).map_or(vec![], |response| response.entries);
    let found = found
        .into_iter()
        .filter_map(|entry| Some(entry.tower?.value.into_owned()));
    for (octets, number) in asked.into_iter().chain(mapped).chain(found).zip(0..) {
        let Some(parts) = Tower::decode(&octets)
            .ok()
            .and_then(|tower| tower.parts().ok())
        else {
            continue;
        };
        let source = format!("{source}-{number}");
        if let Some(binding) = Binding::from_tower(&parts, Some(parts.interface.uuid)) {
            let text = binding.to_string().into_bytes();
            towers.add(
                (binding.protseq, text.len()),
                &format!("{source}-text"),
                text,
            );
        }
        towers.add((parts.shape(), octets.len()), &source, octets.clone());
    }
}

/// Takes the bindings that no capture has, and their towers.
fn collect_bindings(towers: &mut Collection) {
    for text in BINDINGS {
        let binding: Binding = text.parse().unwrap();
        let source = format!("binding-{}", binding.protseq);
        towers.add(text, &format!("{source}-text"), text.into());
        if let Ok(tower) = TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, &binding) {
            towers.add((text, &source), &source, tower.octets().to_vec());
        }
    }
}

/// Takes what the client of each connection sent, as an operation list.
fn collect_associations(file: &str, pdus: &[CapturedPdu], associations: &mut Collection) {
    let mut connections = BTreeMap::<usize, Vec<&CapturedPdu>>::new();
    for pdu in pdus.iter().filter(|pdu| pdu.to.port() == EPMAP_PORT) {
        connections.entry(pdu.connection).or_default().push(pdu);
    }
    for pdus in connections.into_values() {
        let pdus = &pdus[..pdus.len().min(CALLS)];
        let kind = |pdu: &&CapturedPdu| pdu.octets.get(2..5).map(<[u8]>::to_vec);
        let kinds: Vec<_> = pdus.iter().map(kind).collect();
        let number = associations.seeds.len();
        let (variant, at_once) = (number % 5, number % 2 == 1);
        let source = format!("{file}-{}", pdus[0].frame);
        let pdus = pdus.iter().map(|pdu| &pdu.octets[..]);
        let list = fuzzing::association_list(pdus, variant as u8, at_once);
        associations.add(kinds, &source, list);
    }
}

/// Lists for `secure_association`: a client of each kind logs on at each level
/// and calls, then something is done to it.
fn secured_operations() -> Vec<Seed> {
    // Deliver, take events, send.
    const ROUND: [u8; 8] = [1, 0, 0, 2, 0, 5, 0, 0];
    let mut lists = Vec::new();
    for number in 0..36 {
        let (kind, level) = (number / 3, number % 3);
        let (what, attack) = ATTACKS[usize::from(number + kind / 4) % ATTACKS.len()];
        let mut list = vec![u8::from(kind >= 8), 0, 0, 0, 0, 0, 7, kind, level];
        list.extend(ROUND);
        for _ in 0..3 {
            list.extend([8, 0]);
            list.extend(ROUND);
        }
        list.extend([10, 0, 3, 1]);
        list.extend(ROUND);
        list.extend(attack);
        list.extend(ROUND);
        lists.push((format!("kind-{kind}-level-{level}-{what}"), list));
    }
    lists
}

/// Takes what the client of each connection sent that authenticates.
fn collect_secured(file: &str, pdus: &[CapturedPdu], secured: &mut Collection) {
    let mut connections = BTreeMap::<usize, Vec<&CapturedPdu>>::new();
    for pdu in pdus.iter().filter(|pdu| pdu.to.port() == EPMAP_PORT) {
        connections.entry(pdu.connection).or_default().push(pdu);
    }
    let has_verifier = |pdu: &&CapturedPdu| pdu.octets.get(10..12) > Some(&[0, 0]);
    for pdus in connections.into_values() {
        if !pdus.iter().any(has_verifier) {
            continue;
        }
        let pdus = &pdus[..pdus.len().min(CALLS)];
        let kinds: Vec<_> = pdus.iter().map(|pdu| pdu.octets.get(2)).collect();
        let source = format!("{file}-{}", pdus[0].frame);
        let at_once = secured.seeds.len() % 2 == 1;
        let octets = pdus.iter().map(|pdu| &pdu.octets[..]);
        let list = fuzzing::secure_association_list(octets, 0, at_once);
        secured.add((kinds, pdus.len()), &source, list);
    }
}

/// Takes what each client asked for and its server answered, as an operation
/// list.
fn collect_clients(file: &str, pdus: &[CapturedPdu], clients: &mut Collection) {
    let mut connections = BTreeMap::<usize, Vec<&CapturedPdu>>::new();
    for pdu in pdus {
        connections.entry(pdu.connection).or_default().push(pdu);
    }
    for pdus in connections.into_values() {
        let pdus = &pdus[..pdus.len().min(CALLS)];
        let kind = |pdu: &&CapturedPdu| pdu.octets.get(2..5).map(<[u8]>::to_vec);
        let kinds: Vec<_> = pdus.iter().map(kind).collect();
        let source = format!("{file}-{}", pdus[0].frame);
        let sides = pdus.iter().map(|pdu| match pdu.from.port() {
            EPMAP_PORT => (Side::Server, &pdu.octets[..]),
            _ => (Side::Client, &pdu.octets[..]),
        });
        let variant = clients.seeds.len() % 5;
        let list = fuzzing::client_association_list(sides, variant as u8);
        clients.add(kinds, &source, list);
    }
}

/// The reader of the seeds sees traffic of both byte orders, and calls.
#[test]
fn seeds_are_taken_from_calls_in_both_byte_orders_and_in_ndr64() {
    let captured = captured(&support::own_captures());
    let orders: BTreeSet<_> = captured["pdu"]
        .iter()
        .map(|(_, octets)| octets[4])
        .collect();
    assert_eq!(orders, BTreeSet::from([0x00, 0x10]));
    let is_request = |octets: &[u8]| octets.get(2) == Some(&PacketType::REQUEST.0);
    assert!(captured["pdu"].iter().any(|(_, octets)| is_request(octets)));
    let map = |(_, octets): &Seed| MapRequest::decode(Input::new(octets, ByteOrder::Big)).is_ok();
    assert!(captured["ept_stub"].iter().any(map));
    let map = |(_, octets): &Seed| {
        let stub = Input::stub(octets, ByteOrder::Little, TransferSyntax::Ndr64);
        MapRequest::decode(stub).is_ok()
    };
    assert!(captured["ept_stub"].iter().any(map));
}
