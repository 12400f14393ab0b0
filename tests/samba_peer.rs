//! `epm` against Samba's own mappers, and the change-over from them to `epmapperd`, as docs/samba.md tells it.
//!
//! s3 is samba-dcerpcd with its helper rpcd_epmapper, s4 the `samba` of a domain controller. Each test starts
//! one of its own, on an address of its own, by tests/samba-peer.sh.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "interop/programs.rs"]
mod programs;
#[path = "interop/registrar.rs"]
mod registrar;
#[path = "interop/samba_callers.rs"]
mod samba_callers;
#[path = "interop/samba_mapper.rs"]
mod samba_mapper;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use epmapper::client::registrar::State;
use epmapper::client::{Failure, RegistrarSettings, Registration};
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{FaultStatus, SyntaxId};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use daemon::{DEADLINE, Daemon};
use programs::Finished;
use registrar::Registrar;
use samba_mapper::{Kind, SambaMapper};

/// Exit status of `epm` when nothing is registered.
const NOTHING_REGISTERED: i32 = 1;
/// What is mapped in both Sambas, and one interface that is in neither.
const INTERFACES: [&str; 5] = ["lsarpc", "samr", "wkssvc", "epmapper", "atsvc"];
/// The interface of a mapper itself, as `epm` writes it.
const MAPPER: &str = "e1af8308-5d1f-11c9-91a4-08002b14a0fa";
/// Services of Samba, as the log writes them.
const SAMR: &str = "12345778-1234-abcd-ef00-0123456789ac v1.0";
/// See [`SAMR`].
const LSARPC: &str = "12345778-1234-abcd-ef00-0123456789ab v0.0";
/// rpcecho, which no Samba here serves.
const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
/// No object.
const NIL: &str = "00000000-0000-0000-0000-000000000000";
/// In how many ways each of them is asked for.
const PROTOCOL_SEQUENCES: [&str; 4] = ["ncacn_ip_tcp", "ncacn_np", "ncalrpc", "ncacn_http"];

#[test]
fn lookup_agrees_with_rpcclient_on_samba_dcerpcd() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 40, 1)) else {
        return;
    };
    peer.lookup_agrees(Kind::S3);
}

#[test]
fn lookup_agrees_with_rpcclient_on_a_domain_controller() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 41, 1)) else {
        return;
    };
    peer.lookup_agrees(Kind::S4);
}

#[test]
fn map_agrees_with_rpcclient_on_samba_dcerpcd() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 42, 1)) else {
        return;
    };
    peer.map_agrees();
}

#[test]
fn map_agrees_with_rpcclient_on_a_domain_controller() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 43, 1)) else {
        return;
    };
    peer.map_agrees();
}

#[test]
fn samba_dcerpcd_takes_calls_in_both_byte_orders_and_declines_ndr64() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 74, 1)) else {
        return;
    };
    peer.encodings_agree();
}

#[test]
fn a_domain_controller_takes_calls_in_both_byte_orders_and_declines_ndr64() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 75, 1)) else {
        return;
    };
    peer.encodings_agree();
}

#[test]
fn clients_find_samba_dcerpcd_after_the_change_over() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 44, 1)) else {
        return;
    };
    change_over(&peer, helpers_with_ports);
}

#[test]
fn clients_find_a_domain_controller_after_the_change_over() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 45, 1)) else {
        return;
    };
    change_over(&peer, ports);
}

#[test]
fn clients_find_samba_dcerpcd_registered_over_its_own_local_socket() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 85, 101)) else {
        return;
    };
    let smb_conf = format!("{}/smb.conf", peer.mapper.folder());
    let Some(registrar) = Registrar::samba(&smb_conf, "ncalrpc:") else {
        return;
    };
    let local = peer.local_client_arrives();
    let probe = "[probe]\ninterval = \"5s\"\ntimeout = \"5s\"\n";
    let daemon = replace_mapper(&peer, helpers_with_ports, |before| {
        let daemon = Daemon::start_also_on(peer.address(), &[peer.socket()], probe);
        registrar.expect(&before.registration(), 0);
        assert_eq!(peer.local_client_arrives(), local);
        daemon
    });
    // What listens on ports is probed, and goes with Samba; the rest cannot be.
    peer.mapper.script("stop", &[]);
    for interface in [SAMR, LSARPC] {
        daemon.expect(&format!(
            "op=\"end\" result=\"removed\" owner=uid 0 interface={interface} binding=ncacn_ip_tcp:"
        ));
    }
    let mapped = |protseq| {
        let towers = peer.ask(&format!("epmmap samr {protseq}")).stdout;
        towers.lines().filter_map(mapped_by_rpcclient).count()
    };
    assert_eq!(
        ["ncacn_ip_tcp", "ncacn_np", "ncalrpc"].map(mapped),
        [0, 1, 1]
    );
    end(daemon);
}

#[test]
fn clients_find_a_domain_controller_registered_from_an_allowed_network() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 85, 102)) else {
        return;
    };
    let address = peer.address();
    let Some(registrar) = Registrar::impacket(&address.to_string()) else {
        return;
    };
    // Its interfaces are reserved for whom a rule names them to. It says of its ports that they are on all addresses,
    // and in this test they are on one where no probe looks for them.
    let config = "[probe]\ninterval = \"168h\"\n[[register]]\nnetworks = [\"127.0.0.1\"]\n\
                  interfaces = [\"windows\", \"samba\", \"dce\"]\n";
    end(replace_mapper(&peer, ports, |before| {
        let daemon = Daemon::start(address, config);
        registrar.expect(&before.registration(), 0);
        daemon
    }));
}

#[test]
fn samba_dcerpcd_registers_with_nobody() {
    let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 85, 103)) else {
        return;
    };
    registers_with_nobody(&peer, helpers_with_ports);
}

#[test]
fn a_domain_controller_registers_with_nobody() {
    let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 85, 104)) else {
        return;
    };
    registers_with_nobody(&peer, ports);
}

#[test]
fn who_keeps_itself_registered_is_told_that_samba_dcerpcd_refuses() {
    if let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 28, 31)) {
        refuses_a_registrar(&peer);
    }
}

#[test]
fn who_keeps_itself_registered_is_told_that_a_domain_controller_refuses() {
    if let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 28, 32)) {
        refuses_a_registrar(&peer);
    }
}

/// Neither by its local socket, where it has no control interface, nor over TCP it takes an entry of ours.
fn refuses_a_registrar(peer: &Peer) {
    let tower = TowerBuf::from_binding(ECHO, SyntaxId::NDR, &"ncalrpc:[ECHO]".parse().unwrap());
    let entry = Registration {
        object: Uuid::nil(),
        tower: tower.unwrap(),
        annotation: "echo".to_owned(),
    };
    let tcp = format!("ncacn_ip_tcp:{}[135]", peer.address());
    let settings = RegistrarSettings {
        mappers: vec![peer.socket().parse().unwrap(), tcp.parse().unwrap()],
        timeout: DEADLINE,
        ..RegistrarSettings::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let told = runtime.block_on(async {
        let registrar = epmapper::client::Registrar::start(vec![entry], settings);
        let mut state = registrar.state();
        let told = state.wait_for(|state| !matches!(state, State::Trying));
        told.await.unwrap().clone()
    });
    let State::Refused { troubles } = &told else {
        panic!("{told}");
    };
    let failures: Vec<_> = troubles.iter().map(|told| &told.error.failure).collect();
    let is_refused =
        |failure: &&Failure| matches!(failure, Failure::Fault(FaultStatus::OP_RNG_ERROR));
    assert!(
        failures.len() == 2 && failures.iter().all(is_refused),
        "{told}"
    );
}

/// Starts Samba's services with a mapper at their local socket, which would take what root registers.
fn registers_with_nobody(peer: &Peer, services: impl Fn(&str) -> Vec<String>) {
    let export = peer.export();
    peer.mapper.script("stop", &[]);
    let daemon = Daemon::start_also_on(peer.address(), &[peer.socket()], "");
    peer.mapper.script("services", &services(&export));
    let log = daemon.log();
    assert!(!log.contains("registration "), "{log}");
    let found = peer.found();
    assert_eq!(found.len(), 2, "the mapper's own: {found:#?}");
    end(daemon);
}

/// How `epm` can be told to write its calls, of what Samba takes. Without any of it NDR64 is offered too.
const ENCODINGS: [&[&str]; 4] = [
    &[],
    &["--transfer-syntax", "ndr"],
    &["--byte-order", "big"],
    &["--transfer-syntax", "ndr", "--byte-order", "big"],
];

/// The steps of docs/samba.md. `services` reads in the export what Samba needs to listen where it did before.
fn change_over(peer: &Peer, services: impl Fn(&str) -> Vec<String>) {
    end(replace_mapper(peer, services, |before| {
        // 3. Put where to listen, and as whom to run, at the head of the file, and check it.
        let (address, export) = (peer.address(), &before.export);
        let config =
            format!("listen = [\"ncacn_ip_tcp:{address}[135]\"]\nuser = \"nobody\"\n{export}");
        let file = Path::new(peer.mapper.folder()).join("epmapperd.toml");
        std::fs::write(&file, &config).expect("the config is written");
        let daemon = Path::new(env!("CARGO_BIN_EXE_epmapperd"));
        let file = file.to_str().expect("a path in UTF-8");
        programs::run(daemon, &["--config", file, "--check-config"], "").assert_success();
        // 4. Start it.
        Daemon::start(address, &config)
    }));
}

/// What Samba's mapper knew.
struct Before {
    /// In the form of a config.
    export: String,
    /// What `epm lookup --json` says.
    entries: Vec<Value>,
}

impl Before {
    /// One `ept_insert` of all that is not the mapper's own.
    ///
    /// Nothing is replaced: of two pipes of an interface the second would take the place of the first.
    fn registration(&self) -> Value {
        let others = self.entries.iter();
        let others = others.filter(|entry| entry["interface"] != MAPPER);
        let entries = others.map(|entry| {
            let object = entry["object"].as_str().unwrap_or(NIL);
            json!([object, entry["tower"], entry["annotation"]])
        });
        json!({"call": "insert", "entries": entries.collect::<Value>(), "replace": false})
    }
}

/// Stops Samba's mapper, lets `start` bring another one that knows the same, and sees whether clients arrive.
fn replace_mapper(
    peer: &Peer,
    services: impl Fn(&str) -> Vec<String>,
    start: impl FnOnce(&Before) -> Daemon,
) -> Daemon {
    let clients = peer.clients_arrive();
    // 1. Export what Samba's mapper knows, while it still runs.
    let before = Before {
        export: peer.export(),
        entries: peer.entries(),
    };
    // 2. Stop Samba, and start its services without the mapper, on the same ports.
    peer.mapper.script("stop", &[]);
    peer.mapper.script("services", &services(&before.export));
    assert!(
        peer.clients_fail(),
        "nothing maps: nobody must get anywhere"
    );
    let daemon = start(&before);
    // 5. Clients that are given no endpoint arrive where they did before.
    assert_eq!(
        peer.clients_arrive(),
        clients,
        "the daemon's log:\n{}",
        daemon.log()
    );
    assert_eq!(
        endpoints(&peer.export()),
        endpoints(&before.export),
        "the new mapper knows what the old one knew"
    );
    daemon
}

/// Stops the daemon in good order.
fn end(mut daemon: Daemon) {
    daemon.assert_alive("all clients");
    let (status, log) = daemon.stop();
    assert!(
        status.success(),
        "epmapperd ended with {status}; its log:\n{log}"
    );
}

/// A running Samba, and what its clients need.
struct Peer {
    mapper: SambaMapper,
    rpcclient: PathBuf,
    python: PathBuf,
    user: String,
    password: String,
    domain: String,
}

/// An entry, or an answer of ept_map, as both programs can tell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    object: String,
    interface: String,
    major: u16,
    minor: u16,
    /// String binding with single backslashes and without the address 0.0.0.0, which says nothing.
    binding: String,
    annotation: String,
}

impl Peer {
    /// Starts a Samba; `None` where it is not installed.
    fn start(kind: Kind, address: Ipv4Addr) -> Option<Peer> {
        let (rpcclient, python) = (programs::find("rpcclient")?, programs::find_python_samba()?);
        let mapper = SambaMapper::start(kind, address)?;
        let [user, password, domain] = ["user", "password", "domain"].map(|key| mapper.told(key));
        Some(Peer {
            mapper,
            rpcclient,
            python,
            user,
            password,
            domain,
        })
    }

    fn address(&self) -> Ipv4Addr {
        self.mapper.address()
    }

    /// The smb.conf for clients.
    fn client_config(&self) -> String {
        format!("{}/client.conf", self.mapper.folder())
    }

    /// Where Samba's programs look for a mapper, and where its own leaves the file of its socket.
    fn socket(&self) -> String {
        format!("ncalrpc:[{}/ncalrpc/EPMAPPER]", self.mapper.folder())
    }

    fn epm(&self, arguments: &[&str]) -> Finished {
        programs::run(Path::new(env!("CARGO_BIN_EXE_epm")), arguments, "")
    }

    /// Asks the mapper by rpcclient, anonymously as always.
    fn ask(&self, command: &str) -> Finished {
        let binding = format!("ncacn_ip_tcp:{}[135]", self.address());
        programs::run(
            &self.rpcclient,
            &["-s", "/dev/null", "-U%", &binding, "-c", command],
            "",
        )
    }

    /// What rpcclient lists, in order.
    fn found(&self) -> Vec<Found> {
        let finished = self.ask("epmlookup");
        finished.assert_success();
        finished
            .stdout
            .lines()
            .filter_map(found_by_rpcclient)
            .collect()
    }

    /// What `epm` writes for `epmapperd`.
    fn export(&self) -> String {
        let finished = self.epm(&["lookup", &self.address().to_string(), "--config"]);
        finished.assert_success();
        finished.stdout
    }

    /// What `epm` lists.
    fn entries(&self) -> Vec<Value> {
        let finished = self.epm(&["lookup", &self.address().to_string(), "--json"]);
        finished.assert_success();
        let document: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        list(&document, "entries").to_vec()
    }

    fn lookup_agrees(&self, kind: Kind) {
        let found: Vec<Found> = self.entries().iter().map(found_by_epm).collect();
        let mut expected = self.found();
        assert!(
            expected.len() > 30,
            "Samba's mapper lists its services: {expected:#?}"
        );
        if kind == Kind::S3 {
            expected.extend(self.last(&found));
        }
        assert_eq!(found, expected);
    }

    /// The last entry, after what rpcclient's epmmap says of it: samba-dcerpcd sends it together with the status that
    /// ends the walk, and epmlookup stops there without looking.
    fn last(&self, found: &[Found]) -> Option<Found> {
        let last = found.last()?;
        let (protseq, _) = last.binding.split_once(':')?;
        let finished = self.ask(&format!("epmmap {} {protseq}", last.annotation));
        let mut towers = finished.stdout.lines().filter_map(mapped_by_rpcclient);
        let known = towers.find(|tower| tower.binding == last.binding)?;
        Some(Found {
            object: last.object.clone(),
            annotation: last.annotation.clone(),
            ..known
        })
    }

    fn map_agrees(&self) {
        let mut mapped = 0;
        for interface in INTERFACES {
            for protseq in PROTOCOL_SEQUENCES {
                let towers = self.ask(&format!("epmmap {interface} {protseq}")).stdout;
                let expected: Vec<Found> = towers.lines().filter_map(mapped_by_rpcclient).collect();
                let finished = self.epm(&[
                    "map",
                    &self.address().to_string(),
                    interface,
                    "--protseq",
                    protseq,
                    "--json",
                ]);
                mapped += expected.len();
                assert_eq!(
                    mapped_by_epm(&finished),
                    expected,
                    "{interface} over {protseq}: {finished:#?}\n{towers}"
                );
            }
        }
        assert!(mapped > 5, "only {mapped} towers");
    }

    /// What `epm` is told does not depend on how it writes its calls, and NDR64 alone is refused.
    fn encodings_agree(&self) {
        let address = self.address().to_string();
        for (command, key) in [
            (&["lookup", &address][..], "entries"),
            (&["map", &address, "samr"], "towers"),
            (&["mgmt", &address], "interfaces"),
        ] {
            let told = |encoding: &[&str]| {
                let finished = self.epm(&[command, encoding, &["--json"]].concat());
                finished.assert_success();
                let document: Value = serde_json::from_str(&finished.stdout).expect("JSON");
                list(&document, key).to_vec()
            };
            let expected = told(ENCODINGS[0]);
            assert!(!expected.is_empty(), "{command:?}");
            for encoding in ENCODINGS {
                assert_eq!(told(encoding), expected, "{command:?} {encoding:?}");
            }
            let refused = self.epm(&[command, &["--transfer-syntax", "ndr64"]].concat());
            assert_eq!(refused.status.code(), Some(4), "{refused:#?}");
            assert!(
                refused
                    .text()
                    .contains("proposed transfer syntaxes not supported"),
                "{refused:#?}"
            );
        }
    }

    /// Lets rpcclient and python3-samba call lsarpc and samr without telling them a port; what they say of it.
    fn clients_arrive(&self) -> Vec<String> {
        let lsarpc = self.client("lsaquery");
        // Samba's lsarpc denies a policy over TCP, which only lsarpc itself can say; rpcclient "could not initialise" else.
        assert!(
            lsarpc.text().contains("result was NT_STATUS_ACCESS_DENIED"),
            "{lsarpc:#?}"
        );
        let samr = self.client("enumdomains");
        assert!(
            samr.stdout.contains(&format!("name:[{}]", self.domain)),
            "{samr:#?}"
        );
        let python = self.python_client();
        python.assert_success();
        assert!(python.stdout.contains("lsarpc: bound"), "{python:#?}");
        assert!(python.stdout.contains(&self.domain), "{python:#?}");
        vec![lsarpc.stdout, samr.stdout, python.stdout]
    }

    /// Lets rpcclient call samr on this host's own socket without telling it which; what it says of it.
    fn local_client_arrives(&self) -> String {
        let smb_conf = format!("{}/smb.conf", self.mapper.folder());
        let user = format!("-U{}%{}", self.user, self.password);
        let arguments = ["-s", &smb_conf, &user, "ncalrpc:", "-c", "enumdomains"];
        let samr = programs::run(&self.rpcclient, &arguments, "");
        assert!(
            samr.stdout.contains(&format!("name:[{}]", self.domain)),
            "{samr:#?}"
        );
        samr.stdout
    }

    /// Whether none of those clients gets as far as a service.
    fn clients_fail(&self) -> bool {
        let lost = |command| self.client(command).text().contains("Could not initialise");
        lost("lsaquery") && lost("enumdomains") && !self.python_client().status.success()
    }

    /// rpcclient as the user, given no endpoint.
    fn client(&self, command: &str) -> Finished {
        let (user, binding) = (
            format!("-U{}%{}", self.user, self.password),
            format!("ncacn_ip_tcp:{}", self.address()),
        );
        programs::run(
            &self.rpcclient,
            &["-s", &self.client_config(), &user, &binding, "-c", command],
            "",
        )
    }

    fn python_client(&self) -> Finished {
        let (script, config, address) = (
            programs::script("samba_services.py"),
            self.client_config(),
            self.address().to_string(),
        );
        programs::run(
            &self.python,
            &[
                &script,
                &config,
                &address,
                &self.user,
                &self.password,
                &self.domain,
            ],
            "",
        )
    }
}

/// Which helper of samba-dcerpcd listened where: it names its local endpoint after itself.
fn helpers_with_ports(export: &str) -> Vec<String> {
    let mut helpers = BTreeSet::new();
    for endpoint in endpoints(export) {
        let bindings = bindings(&endpoint);
        let local = bindings
            .iter()
            .find_map(|binding| between(binding, "ncalrpc:["));
        let port = bindings
            .iter()
            .find_map(|binding| between(binding, "ncacn_ip_tcp:["));
        helpers.extend(
            local
                .zip(port)
                .map(|(helper, port)| format!("{helper}={port}")),
        );
    }
    assert!(helpers.len() > 1, "helpers with ports: {helpers:?}");
    helpers.into_iter().collect()
}

/// The TCP ports of the services. The mapper's own is there with the management interface, which Samba registers too.
fn ports(export: &str) -> Vec<String> {
    let bindings = endpoints(export)
        .iter()
        .flat_map(bindings)
        .collect::<BTreeSet<_>>();
    let ports = bindings
        .iter()
        .filter_map(|binding| between(binding, "ncacn_ip_tcp:["));
    let ports: Vec<_> = ports.filter(|port| port != "135").collect();
    assert!(ports.len() > 1, "ports: {ports:?}");
    ports
}

/// The `[[endpoint]]` tables of an export, without its comments.
fn endpoints(export: &str) -> Vec<toml::Value> {
    let table: toml::Table = export.parse().expect("TOML");
    table["endpoint"]
        .as_array()
        .expect("an array of tables")
        .clone()
}

fn bindings(endpoint: &toml::Value) -> Vec<String> {
    let bindings = endpoint["bindings"].as_array().expect("bindings");
    bindings
        .iter()
        .map(|binding| binding.as_str().expect("text").to_owned())
        .collect()
}

/// What stands between a beginning and the closing bracket.
fn between(binding: &str, beginning: &str) -> Option<String> {
    Some(
        binding
            .strip_prefix(beginning)?
            .strip_suffix(']')?
            .to_owned(),
    )
}

/// Reads a line of epmlookup: `OBJECT BINDING: ANNOTATION`.
fn found_by_rpcclient(line: &str) -> Option<Found> {
    let (object, rest) = line.split_once(' ')?;
    let (binding, annotation) = rest.split_once("]: ")?;
    Some(Found {
        object: object.to_owned(),
        annotation: annotation.to_owned(),
        ..binding_of_rpcclient(binding)?
    })
}

/// Reads a line of epmmap: `tower[NUMBER] BINDING`.
fn mapped_by_rpcclient(line: &str) -> Option<Found> {
    let (_, binding) = line.strip_prefix("tower[")?.split_once("] ")?;
    binding_of_rpcclient(binding.strip_suffix(']')?)
}

/// Takes `PROTSEQ:ADDRESS[ENDPOINT,abstract_syntax=UUID/0xMINORMAJOR` apart.
fn binding_of_rpcclient(binding: &str) -> Option<Found> {
    let (binding, interface) = binding.split_once(",abstract_syntax=")?;
    let (interface, version) = interface.split_once("/0x")?;
    let version = u32::from_str_radix(version, 16).ok()?;
    let [high, low] =
        [version >> 16, version & 0xffff].map(|half| u16::try_from(half).expect("16 bits"));
    Some(Found {
        object: String::new(),
        interface: interface.to_owned(),
        major: low,
        minor: high,
        binding: format!("{}]", binding.replace(":0.0.0.0[", ":[")),
        annotation: String::new(),
    })
}

/// Reads one entry of `epm lookup --json`.
fn found_by_epm(entry: &Value) -> Found {
    let object = entry["object"].as_str().unwrap_or(NIL);
    Found {
        object: object.to_owned(),
        annotation: text(entry, "annotation").to_owned(),
        ..tower_of_epm(entry)
    }
}

/// Reads the answer of `epm map --json`, which has nothing to say when nothing is registered.
fn mapped_by_epm(finished: &Finished) -> Vec<Found> {
    if finished.status.code() == Some(NOTHING_REGISTERED) {
        return Vec::new();
    }
    finished.assert_success();
    let document: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    list(&document, "towers").iter().map(tower_of_epm).collect()
}

fn tower_of_epm(tower: &Value) -> Found {
    let (major, minor) = text(tower, "version").split_once('.').expect("MAJOR.MINOR");
    Found {
        object: String::new(),
        interface: text(tower, "interface").to_owned(),
        major: major.parse().expect("a number"),
        minor: minor.parse().expect("a number"),
        binding: text(tower, "binding")
            .replace("\\\\", "\\")
            .replace(":0.0.0.0[", ":["),
        annotation: String::new(),
    }
}

#[track_caller]
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key:?} in {value}"))
}

#[track_caller]
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key:?} in {value}"))
}
