//! A daemon killed under load: what was acknowledged is there afterwards, and
//! what was not is there wholly or not at all.
//!
//! Eight registrants insert, replace and delete, several entries a call, until
//! SIGKILL comes at a random moment; then the daemon starts again from the same
//! file. `EPMAPPER_KILLS` says how often (default 100), `EPMAPPER_SEED` from
//! which seed.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/run.rs"]
mod run;

use epmapper::client::ept::LookupQuery;
use epmapper::client::{Client, ClientError, Encoding, Mapper};
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{self, DeleteRequest, InsertRequest, StatusResponse};
use epmapper::wire::ndr::Referents;
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{EptStatus, Output, SyntaxId};
use nix::sys::signal::Signal;
use run::{ANY_PORT, ConfigFile, Run, program};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::{Uuid, uuid};

/// Registrants at work.
const REGISTRANTS: u128 = 8;

/// The interface that they register.
const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);

/// Entries that one of them has at most.
const MOST: usize = 24;

/// Allows everybody here to register as much as they can.
const CONFIG: &str = "
[[register]]
networks = [\"127.0.0.0/8\"]
[limits]
changes_per_second = 10000000
[probe]
interval = \"1h\"
";

/// What a registrant has registered: annotations by port.
type Registered = BTreeMap<u16, u8>;

/// One call and what it leaves when it is done.
struct Step {
    /// What it asks for.
    kind: Kind,
    /// Port and annotation of each entry.
    entries: Vec<(u16, u8)>,
    /// What the registrant has afterwards.
    after: Registered,
}

/// Writes a request.
type Encode = Box<dyn Fn(&mut Output) + Send + Sync>;

/// What a call asks for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Insert,
    Replace,
    Delete,
}

/// Numbers from a seed (splitmix64).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }
}

/// A registrant: its object sets its entries apart from the others'.
struct Registrant {
    object: Uuid,
    random: Random,
    /// What was acknowledged.
    has: Registered,
    /// What was asked for and not acknowledged.
    open: Option<Registered>,
}

impl Registrant {
    /// Draws the next call.
    fn step(&mut self) -> Step {
        let ports: Vec<u16> = self.has.keys().copied().collect();
        let count = 1 + self.random.below(4);
        let kind = match self.random.below(4) {
            0 | 1 if ports.len() < MOST => Kind::Insert,
            _ if ports.is_empty() => Kind::Insert,
            2 => Kind::Replace,
            _ => Kind::Delete,
        };
        let mut entries: Vec<(u16, u8)> = Vec::new();
        for _ in 0..count {
            let port = match kind {
                Kind::Delete => ports[self.random.below(ports.len())],
                _ => 1 + self.random.below(1000) as u16,
            };
            let annotation = b'a' + self.random.below(26) as u8;
            if entries.iter().all(|(there, _)| *there != port) {
                entries.push((port, annotation));
            }
        }
        let mut after = self.has.clone();
        for (port, annotation) in &entries {
            match kind {
                // All are of one interface at one address: one stands in for
                // all others.
                Kind::Replace => after = BTreeMap::from([(*port, *annotation)]),
                Kind::Insert => drop(after.insert(*port, *annotation)),
                Kind::Delete => drop(after.remove(port)),
            }
        }
        Step {
            kind,
            entries,
            after,
        }
    }

    /// Registers until the connection breaks.
    async fn work(mut self, address: SocketAddr, acknowledged: Arc<AtomicU64>) -> Registrant {
        let deadline = Instant::now() + daemon::DEADLINE;
        let client = Client::connect(&at(address), SyntaxId::EPT, Encoding::Any, deadline).await;
        let Ok(mut client) = client else {
            return self;
        };
        loop {
            let step = self.step();
            self.open = Some(step.after);
            match self.ask(&mut client, step.kind, &step.entries).await {
                Ok(status) => {
                    assert_eq!(status, EptStatus::OK);
                    self.has = self.open.take().unwrap();
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => return self,
            }
        }
    }

    /// Makes one call.
    async fn ask(
        &self,
        client: &mut Client,
        kind: Kind,
        entries: &[(u16, u8)],
    ) -> Result<EptStatus, ClientError> {
        let mut referents = Referents::after(0);
        let entries = entries.iter().map(|(port, annotation)| {
            let tower = tower(*port).octets().to_vec();
            ept::Entry::new(&mut referents, self.object, tower, vec![*annotation])
        });
        let entries: Vec<_> = entries.collect();
        let replace = kind == Kind::Replace;
        let (opnum, encode): (u16, Encode) = match kind {
            Kind::Delete => {
                let request = DeleteRequest { entries };
                (ept::DELETE, Box::new(move |out| request.encode(out)))
            }
            _ => {
                let request = InsertRequest { entries, replace };
                (ept::INSERT, Box::new(move |out| request.encode(out)))
            }
        };
        let reply = client.call(opnum, |out| encode(out)).await?;
        Ok(reply.decode(StatusResponse::decode)?.status)
    }
}

/// The tower of a port.
fn tower(port: u16) -> TowerBuf {
    let binding: Binding = format!("ncacn_ip_tcp:127.0.0.1[{port}]").parse().unwrap();
    TowerBuf::from_binding(ECHO, SyntaxId::NDR, &binding).unwrap()
}

/// The binding of a daemon.
fn at(address: SocketAddr) -> Binding {
    let (ip, port) = (address.ip(), address.port());
    format!("ncacn_ip_tcp:{ip}[{port}]").parse().unwrap()
}

/// Starts the daemon from a file of its own.
fn start(config: &ConfigFile, state: &Path) -> Run {
    let mut command = program();
    command.arg("--config").arg(config.path());
    command
        .args(["--listen", ANY_PORT])
        .arg("--state")
        .arg(state);
    Run::spawn(&mut command)
}

/// What the registry has of each registrant.
async fn registered(address: SocketAddr) -> BTreeMap<Uuid, Registered> {
    let deadline = Instant::now() + daemon::DEADLINE;
    let mut mapper = Mapper::connect(&at(address), Encoding::Any, deadline)
        .await
        .unwrap();
    let mut found: BTreeMap<Uuid, Registered> = BTreeMap::new();
    for entry in mapper.lookup(&LookupQuery::default()).await.unwrap() {
        if entry.object.is_nil() {
            continue;
        }
        let tower = entry.tower().unwrap();
        let port = tower.parts().unwrap().port().unwrap();
        let of = found.entry(entry.object).or_default();
        assert_eq!(of.insert(port, entry.annotation[0]), None, "{port} twice");
    }
    found
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let kills = setting("EPMAPPER_KILLS", 100);
    let seed = setting("EPMAPPER_SEED", 4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (acknowledged, in_doubt) = runtime.block_on(kill_often(kills, seed));
    // Not by a macro, whose output is shown of failed tests only.
    let _ = writeln!(
        std::io::stderr(),
        "crash: {kills} kills, seed {seed}: {acknowledged} changes acknowledged, none lost; \
         {in_doubt} under way, each wholly there or wholly not"
    );
}

/// Kills the daemon so often; returns how many changes were acknowledged, and
/// how many were under way.
async fn kill_often(kills: u64, seed: u64) -> (u64, u64) {
    let (config, folder) = (ConfigFile::new(CONFIG), TempDir::new().unwrap());
    let state = folder.path().join("registry.redb");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut random = Random(seed);
    let mut in_doubt = 0;
    let mut registrants: Vec<Registrant> = (1..=REGISTRANTS)
        .map(|number| Registrant {
            object: Uuid::from_u128(number),
            random: Random(seed.wrapping_mul(31).wrapping_add(number as u64)),
            has: Registered::new(),
            open: None,
        })
        .collect();
    for kill in 0..kills {
        let run = start(&config, &state);
        let address = run.address();
        let found = registered(address).await;
        for registrant in &mut registrants {
            let there = found.get(&registrant.object).cloned().unwrap_or_default();
            let open = registrant.open.take();
            in_doubt += u64::from(open.is_some());
            assert!(
                there == registrant.has || open.as_ref() == Some(&there),
                "seed {seed}, kill {kill}: {there:?} is there; acknowledged {:?}, under way {open:?}",
                registrant.has
            );
            registrant.has = there;
        }
        let mut working = JoinSet::new();
        for registrant in registrants.drain(..) {
            working.spawn(registrant.work(address, acknowledged.clone()));
        }
        // The moment: so many changes from now, and a little later.
        let until = acknowledged.load(Ordering::Relaxed) + random.next() % 200;
        let deadline = Instant::now() + daemon::DEADLINE;
        while acknowledged.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "kill {kill}: no progress");
            tokio::task::yield_now().await;
        }
        let moment = Instant::now() + Duration::from_micros(random.next() % 3000);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        run.end(Signal::SIGKILL);
        registrants = working.join_all().await;
    }
    (acknowledged.load(Ordering::Relaxed), in_doubt)
}
