//! Entries of accounts: whose they are over the network, over a restart, and in the audit trail.
//!
//! Callers are made here, as a server makes them of what it knows of a connection.

#![cfg(feature = "daemon")]

use epmapper::daemon::store::{Moment, Store};
use epmapper::registry::{Authentication, Policy, Registrant, Rule};
use epmapper::server::mapper::Counter;
use epmapper::server::{AUDIT_TARGET, Mapper, MapperSettings};
use epmapper::service::{Call, Conversation, Interface, Outcome, Reply};
use epmapper::wire::binding::Binding;
use epmapper::wire::control::{self, EntriesRequest, EntriesResponse, KnownEntry, OwnerKind};
use epmapper::wire::ept::{self, DeleteRequest, Entry, InsertRequest, StatusResponse};
use epmapper::wire::ndr::Referents;
use epmapper::wire::pdu::{AuthLevel, AuthType};
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{ByteOrder, EptStatus, FaultStatus, Input, Output, SyntaxId, TransferSyntax};
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use uuid::{Uuid, uuid};

const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
const HOST: [u8; 4] = [192, 0, 2, 1];
const OTHER_HOST: [u8; 4] = [192, 0, 2, 2];

/// Whoever calls from an address.
fn at(address: [u8; 4]) -> Registrant {
    Registrant::at(IpAddr::from(address))
}

/// The same who has shown to be an account.
fn account(name: &str, address: [u8; 4]) -> Registrant {
    at(address).authenticated(Authentication {
        account: Some(name.into()),
        mechanism: AuthType::SPNEGO,
        level: AuthLevel::PRIVACY,
    })
}

/// Lets everybody from the network of these hosts register.
fn everybody() -> Policy {
    let network = epmapper::registry::Network::new(IpAddr::from(HOST), 24);
    let rule = Rule {
        networks: network.into_iter().collect(),
        ..Rule::default()
    };
    Policy {
        rules: vec![rule],
        ..Policy::default()
    }
}

/// A mapper without a server.
struct World {
    mapper: Arc<Mapper>,
    ept: Arc<dyn Interface>,
    control: Arc<dyn Interface>,
    runtime: Runtime,
}

impl World {
    fn new(set: impl FnOnce(&mut MapperSettings)) -> World {
        let mut settings = MapperSettings::new(Conversation::Dce, 100);
        settings.policy = everybody();
        set(&mut settings);
        let (mapper, _) = Mapper::new(settings);
        World {
            ept: mapper.interfaces().remove(0),
            control: mapper.local_interfaces().remove(0),
            mapper,
            runtime: Builder::new_current_thread().build().unwrap(),
        }
    }

    /// What an operation answers; what it has changed is written to `store` before.
    fn call(
        &self,
        interface: &dyn Interface,
        by: &Registrant,
        opnum: u16,
        stub: &[u8],
        store: Option<&mut Store>,
    ) -> Reply {
        let outcome = interface.call(Call {
            now: Instant::now(),
            opnum,
            object: None,
            stub: Input::stub(stub, ByteOrder::Little, TransferSyntax::Ndr),
            dialled: None,
            handles: &mut Default::default(),
            fresh: &Uuid::new_v4,
            trust: epmapper::service::Trust::Nobody,
            maybe: false,
            session: by,
        });
        if let Some(store) = store {
            let batch = self.mapper.next_batch().unwrap();
            let changes: Vec<_> = batch.changes().cloned().collect();
            store.commit(&changes).unwrap();
            self.mapper.settle(batch, true);
        }
        match outcome {
            Outcome::Now(reply) => reply,
            Outcome::Later(reply) => self.runtime.block_on(reply),
        }
    }

    /// The status of a change; `None` where it is too fast.
    fn change(
        &self,
        by: &Registrant,
        opnum: u16,
        encode: impl FnOnce(&mut Output),
        store: Option<&mut Store>,
    ) -> Option<EptStatus> {
        match self.call(&*self.ept, by, opnum, &encoded(encode), store) {
            Reply::Response(stub) => {
                let stub = Input::new(&stub, ByteOrder::Little);
                Some(StatusResponse::decode(stub).unwrap().status)
            }
            Reply::Fault { status, .. } => {
                assert_eq!(status, FaultStatus::SERVER_TOO_BUSY);
                None
            }
        }
    }

    fn insert(&self, by: &Registrant, port: u16, replace: bool) -> Option<EptStatus> {
        self.insert_stored(by, port, replace, None)
    }

    fn insert_stored(
        &self,
        by: &Registrant,
        port: u16,
        replace: bool,
        store: Option<&mut Store>,
    ) -> Option<EptStatus> {
        let entries = vec![entry(port)];
        let request = InsertRequest { entries, replace };
        self.change(by, ept::INSERT, |out| request.encode(out), store)
    }

    fn delete(&self, by: &Registrant, port: u16) -> Option<EptStatus> {
        let entries = vec![entry(port)];
        let request = DeleteRequest { entries };
        self.change(by, ept::DELETE, |out| request.encode(out), None)
    }

    /// Of every entry its owner's kind, the name and the address.
    fn owners(&self) -> Vec<(OwnerKind, String, IpAddr)> {
        let request = EntriesRequest {
            after: 0,
            max_ents: 10,
        };
        let stub = encoded(|out| request.encode(out));
        let root = Registrant::local(0, vec![], None);
        let reply = self.call(&*self.control, &root, control::ENTRIES, &stub, None);
        let Reply::Response(stub) = reply else {
            panic!("{reply:?}");
        };
        let told = EntriesResponse::decode(Input::new(&stub, ByteOrder::Little)).unwrap();
        let owner = |KnownEntry { facts, account, .. }: KnownEntry| {
            let name = String::from_utf8(account.into_owned()).unwrap();
            (facts.owner.kind, name, facts.owner.address())
        };
        told.entries.into_iter().map(owner).collect()
    }

    /// Whoever is a stranger to the entry at port 1 changes nothing of it.
    #[track_caller]
    fn assert_stranger(&self, by: &Registrant) {
        let before = self.owners();
        let got = [
            self.insert(by, 1, false),
            self.insert(by, 1, true),
            self.insert(by, 2, true),
            self.delete(by, 1),
        ];
        assert_eq!(got, [Some(EptStatus::CANT_PERFORM_OP); 4], "{by:?}");
        assert_eq!(self.owners(), before, "{by:?}");
    }
}

/// `ECHO` at a TCP port of any address.
fn entry(port: u16) -> Entry<'static> {
    let binding: Binding = format!("ncacn_ip_tcp:[{port}]").parse().unwrap();
    let tower = TowerBuf::from_binding(ECHO, SyntaxId::NDR, &binding).unwrap();
    let tower = tower.octets().to_vec();
    Entry::new(&mut Referents::after(0), Uuid::nil(), tower, &b"echo"[..])
}

fn encoded(encode: impl FnOnce(&mut Output)) -> Vec<u8> {
    let mut stub = Vec::new();
    encode(&mut Output::new(&mut stub, ByteOrder::Little));
    stub
}

/// An entry of an account that registered it from there.
fn of_account(name: &str, address: [u8; 4]) -> (OwnerKind, String, IpAddr) {
    (OwnerKind::ACCOUNT, name.to_owned(), address.into())
}

const OK: Option<EptStatus> = Some(EptStatus::OK);

#[test]
fn an_entry_of_an_account_is_no_others_at_its_host() {
    let world = World::new(|_| {});
    assert_eq!(world.insert(&account("Alice", HOST), 1, false), OK);
    assert_eq!(world.owners(), [of_account("alice", HOST)]);
    let unsigned = at(HOST).authenticated(Authentication {
        account: Some("alice".into()),
        mechanism: AuthType::NTLM,
        level: AuthLevel::CONNECT,
    });
    for stranger in [account("bob", HOST), at(HOST), unsigned] {
        world.assert_stranger(&stranger);
    }
}

#[test]
fn an_entry_of_a_host_is_no_accounts_that_calls_from_there() {
    let world = World::new(|_| {});
    assert_eq!(world.insert(&at(HOST), 1, false), OK);
    world.assert_stranger(&account("alice", HOST));
    assert_eq!(world.delete(&at(HOST), 1), OK);
}

#[test]
fn an_account_changes_its_entries_from_wherever_it_calls() {
    let world = World::new(|_| {});
    assert_eq!(world.insert(&account("alice", HOST), 1, false), OK);
    let elsewhere = account("ALICE", OTHER_HOST);
    assert_eq!(world.insert(&elsewhere, 2, true), OK, "in the place of 1");
    assert_eq!(world.owners(), [of_account("alice", OTHER_HOST)]);
    assert_eq!(world.delete(&account("alice", HOST), 2), OK);
    assert_eq!(world.owners(), []);
}

#[test]
fn an_entry_of_an_account_is_its_own_after_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("registry.redb");
    let open = || Store::open(&path, Uuid::new_v4(), &Moment::read().unwrap()).unwrap();
    let alice = account("alice", HOST);
    let world = World::new(|settings| settings.is_stored = true);
    let (mut store, _) = open();
    assert_eq!(world.insert_stored(&alice, 1, false, Some(&mut store)), OK);
    drop(store);
    let world = World::new(|_| {});
    let (_store, restored) = open();
    world.mapper.restore(restored.entries, &restored.leases);
    assert_eq!(world.owners(), [of_account("alice", HOST)]);
    for stranger in [account("bob", HOST), at(HOST)] {
        world.assert_stranger(&stranger);
    }
    assert_eq!(world.delete(&account("alice", OTHER_HOST), 1), OK);
}

#[test]
fn limits_and_rates_of_an_owner_are_those_of_an_account() {
    let world = World::new(|settings| {
        settings.limits.per_owner = 1;
        settings.changes_per_second = 2;
    });
    let alice = account("alice", HOST);
    assert_eq!(world.insert(&alice, 1, false), OK);
    let more = world.insert(&account("alice", OTHER_HOST), 2, false);
    assert_eq!(more, Some(EptStatus::NO_MEMORY));
    assert_eq!(
        world.insert(&alice, 1, false),
        None,
        "the third in a second"
    );
    for other in [account("bob", HOST), at(HOST)] {
        let port = 3 + world.mapper.len() as u16;
        assert_eq!(world.insert(&other, port, false), OK, "{other:?}");
    }
}

#[test]
fn refusals_of_an_account_are_logged_beside_those_of_its_host() {
    let world = World::new(|settings| {
        settings.refusals_per_second = 1;
        settings.policy = Policy::default();
    });
    let mut refuse = |by: &Registrant| {
        let refused = world.insert(by, 1, false);
        assert_eq!(refused, Some(EptStatus::CANT_PERFORM_OP));
        world.mapper.counters().count(Counter::NotLogged)
    };
    let (host, alice) = (at(HOST), account("alice", HOST));
    let elsewhere = account("alice", OTHER_HOST);
    let told = [&host, &host, &alice, &elsewhere].map(&mut refuse);
    assert_eq!(told, [0, 1, 1, 2]);
}

/// Lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_audit_trail_tells_who_a_caller_showed_to_be_also_where_that_does_not_count() {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().json();
    let log = log.with_writer(move || writer.clone()).finish();
    let show = |account: Option<&str>, level| {
        at(HOST).authenticated(Authentication {
            account: account.map(Arc::from),
            mechanism: AuthType::NTLM,
            level,
        })
    };
    tracing::subscriber::with_default(log, || {
        let world = World::new(|_| {});
        let callers = [
            show(Some("Alice"), AuthLevel::INTEGRITY),
            show(Some("bob\x1b[2J"), AuthLevel::CONNECT),
            show(None, AuthLevel::PRIVACY),
            at(HOST),
        ];
        for caller in callers {
            world.insert(&caller, 1, false);
        }
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let events = text.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["target"], AUDIT_TARGET);
        let field = |name: &str| event["fields"][name].as_str().unwrap_or("-").to_owned();
        assert_eq!(field("address"), "192.0.2.1");
        ["result", "account", "authentication"].map(field)
    });
    let events: Vec<_> = events.collect();
    assert_eq!(
        events,
        [
            ["accepted", "Alice", "ntlm integrity"],
            ["refused", "bob\\u{1b}[2J", "ntlm connect"],
            ["refused", "anonymous", "ntlm privacy"],
            ["refused", "-", "-"],
        ]
    );
    assert!(
        text.contains("the entry belongs to account alice"),
        "{text}"
    );
}
