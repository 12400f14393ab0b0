//! From exec to the first answer, after a kill: `cargo bench --bench restart`.
//!
//! Registers so many entries, kills the daemon, starts it again from the same
//! file and asks it; beside a daemon that remembers nothing. Told are medians
//! of `ROUNDS` in milliseconds; what counts is how they compare in one run.

use epmapper::client::{Client, Encoding, Mapper};
use epmapper::wire::SyntaxId;
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{self, InsertRequest, StatusResponse};
use epmapper::wire::ndr::Referents;
use epmapper::wire::tower::{ProtocolSequence, TowerBuf};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use uuid::{Uuid, uuid};

/// Starts of each kind.
const ROUNDS: usize = 11;

/// What is registered.
const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);

/// Entries of one call.
const PAGE: usize = 500;

/// A daemon; killed when dropped.
struct Daemon(Child, Binding);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the daemon, which tells where it listens.
fn start(config: &Path, state: &Path) -> Daemon {
    let mut child = Command::new(env!("CARGO_BIN_EXE_epmapperd"))
        .arg("--config")
        .arg(config)
        .args(["--listen", "ncacn_ip_tcp:127.0.0.1[0]", "--state"])
        .arg(state)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("epmapperd starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let told = lines.by_ref().map_while(Result::ok);
    let binding = told
        .filter_map(|line| line.strip_prefix("listening on ")?.parse().ok())
        .next();
    let binding = binding.expect("epmapperd listens");
    std::thread::spawn(move || lines.for_each(drop));
    Daemon(child, binding)
}

/// A deadline for everything.
fn deadline() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

/// Registers so many entries.
async fn fill(binding: &Binding, count: usize) {
    let client = Client::connect(binding, SyntaxId::EPT, Encoding::Any, deadline()).await;
    let mut client = client.expect("the daemon answers");
    for page in (0..count).collect::<Vec<_>>().chunks(PAGE) {
        let mut referents = Referents::after(0);
        let entry = |number: &usize| {
            let at = format!("ncacn_ip_tcp:127.0.0.1[{}]", 1 + number % 60_000);
            let tower = TowerBuf::from_binding(ECHO, SyntaxId::NDR, &at.parse().unwrap()).unwrap();
            let object = Uuid::from_u128(*number as u128 + 1);
            ept::Entry::new(
                &mut referents,
                object,
                tower.octets().to_vec(),
                b"echo".to_vec(),
            )
        };
        let entries = page.iter().map(entry).collect();
        let request = InsertRequest {
            entries,
            replace: false,
        };
        let reply = client.call(ept::INSERT, |out| request.encode(out)).await;
        let status = reply
            .unwrap()
            .decode(StatusResponse::decode)
            .unwrap()
            .status;
        assert_eq!(status.0, 0);
    }
}

/// Asks for the interface; how many towers there are.
async fn ask(binding: &Binding, object: Option<Uuid>) -> usize {
    let mapper = Mapper::connect(binding, Encoding::Any, deadline()).await;
    let mut mapper = mapper.expect("the daemon answers");
    let towers = mapper.map(ECHO, ProtocolSequence::NcacnIpTcp, object).await;
    towers.expect("an answer").len()
}

/// The median time from exec to an answer.
fn measure(
    runtime: &tokio::runtime::Runtime,
    config: &Path,
    state: &Path,
    expected: usize,
) -> Duration {
    let object = Some(Uuid::from_u128(1));
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            let daemon = start(config, state);
            let found = runtime.block_on(ask(&daemon.1, object));
            let took = began.elapsed();
            assert_eq!(found, expected);
            took
        })
        .collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn main() {
    let folder = std::env::temp_dir().join(format!("epmapper-restart-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder");
    let config = folder.join("epmapperd.toml");
    let rules = "[[register]]\nnetworks = [\"127.0.0.1\"]\n[limits]\nchanges_per_second = 100000000\nentries_per_owner = 1000000\nentries_per_interface = 1000000\n\
        [probe]\ninterval = \"1h\"\nat_once = 1\n";
    std::fs::write(&config, rules).expect("a config");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let none = measure(&runtime, &config, Path::new("none"), 0);
    println!("no state            {:7.1} ms", milliseconds(none));
    for count in [0, 10_000, 100_000] {
        let state = folder.join(format!("{count}.redb"));
        if count > 0 {
            let daemon = start(&config, &state);
            let began = Instant::now();
            runtime.block_on(fill(&daemon.1, count));
            let rate = count as f64 / began.elapsed().as_secs_f64();
            println!("{count:7} registered at {rate:.0} entries/s, {PAGE} a call");
        }
        let took = measure(&runtime, &config, &state, usize::from(count > 0));
        let ratio = took.as_secs_f64() / none.as_secs_f64();
        println!(
            "{count:7} entries     {:7.1} ms, {ratio:.1} times",
            milliseconds(took)
        );
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// A time in milliseconds.
fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
