//! What proving who one is costs the server: `cargo bench --bench security`.
//!
//! Starts an epmapperd with 500 entries and one account, and measures its CPU in
//! short windows, one of each kind by turns:
//!
//! map    a bound ept_map over 64 connections, one call outstanding on each
//! cycle  connect, bind, legs, ept_map, close, 8 at once
//!
//! Requests of map are signed and sealed before their window begins and answers
//! are read, not verified, so that a client costs the same whatever it proves.
//! Told are medians of CPU for each call, and as "paired" the median of each
//! window's ratio to the anonymous one of its round, which holds up under busy
//! neighbours. `--calls N --only KIND` has one window of N maps a connection
//! instead, for a server that is counted otherwise; `--under "valgrind ..."`
//! starts it under another program.

#[path = "../tests/support/legs.rs"]
mod legs;

use epmapper::proto::SecurityContext;
use epmapper::security::oid;
use epmapper::security::spnego::Offer;
use epmapper::security::{Credentials, NtHash, Secret, ntlm, spnego};
use epmapper::wire::SyntaxId;
use epmapper::wire::pdu::{AuthLevel, AuthType, Header, PacketType, Pdu, PfcFlags};
use legs::Identity;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Windows of each kind.
const ROUNDS: usize = 10;

/// Connections of map, and calls of each in a window.
const MAP: (usize, usize) = (64, 300);

/// Threads of cycle, and connections of each in a window.
const CYCLE: (usize, usize) = (8, 40);

/// Entries of the registry.
const ENTRIES: usize = 500;

/// The operation number of ept_map.
const EPT_MAP: u16 = 3;

/// An ept_map for lsarpc 0.0 over ncacn_ip_tcp with max_towers 4; the request
/// that null-server/README.md has.
const STUB: &str = "010000000000000000000000000000000000000002000000\
    4b0000004b000000050013000d785734123412cdabef000123456789ab00000200000013000d04\
    5d888aeb1cc9119fe808002b10486002000200000001000b0200000001000702000087010009\
    04000000000000000000000000000000000000000000000000000004000000";

/// How a client shows who it is.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    identity: Option<Identity>,
}

/// Every kind; the first is what others are compared with.
fn kinds() -> [Kind; 5] {
    let kind = |name, auth_type, level| Kind {
        name,
        identity: Some(Identity::new(auth_type, level)),
    };
    [
        Kind {
            name: "anonymous",
            identity: None,
        },
        kind("ntlm-connect", AuthType::NTLM, AuthLevel::CONNECT),
        kind("ntlm-integrity", AuthType::NTLM, AuthLevel::INTEGRITY),
        kind("ntlm-privacy", AuthType::NTLM, AuthLevel::PRIVACY),
        kind("spnego-privacy", AuthType::SPNEGO, AuthLevel::PRIVACY),
    ]
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), value("--under").as_deref());
    if let Some(calls) = value("--calls") {
        let calls = calls.parse().expect("a number of calls");
        let only = value("--only").expect("--only KIND");
        let kind = kinds().into_iter().find(|kind| kind.name == only);
        map(&daemon, kind.expect("a kind"), (1, calls));
        return;
    }
    println!("{ENTRIES} entries, {ROUNDS} windows of each kind; server CPU in us");
    tell("map", &daemon, |daemon, kind| map(daemon, kind, MAP));
    tell("cycle", &daemon, cycle);
}

/// Measures a load for every kind, window by window in turns, and tells it.
fn tell(load: &str, daemon: &Daemon, window: impl Fn(&Daemon, Kind) -> f64) {
    let mut windows = kinds().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (kind, windows) in kinds().into_iter().zip(&mut windows) {
            windows.push(window(daemon, kind));
        }
    }
    println!(
        "{load:18}{:>9}{:>9}{:>9}{:>8}{:>8}",
        "CPU", "least", "most", "ratio", "paired"
    );
    let anonymous = windows[0].clone();
    for (kind, windows) in kinds().into_iter().zip(windows) {
        let pairs = windows.iter().zip(&anonymous);
        let paired = median(pairs.map(|(ours, theirs)| ours / theirs).collect());
        let ratio = median(windows.clone()) / median(anonymous.clone());
        let least = windows.iter().copied().fold(f64::MAX, f64::min);
        let most = windows.iter().copied().fold(0.0, f64::max);
        let name = kind.name;
        let cpu = median(windows);
        println!("  {name:16}{cpu:9.2}{least:9.2}{most:9.2}{ratio:8.2}{paired:8.2}");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A window of bound calls; CPU for each.
fn map(daemon: &Daemon, kind: Kind, (connections, calls): (usize, usize)) -> f64 {
    let stub = unhex(STUB);
    let prepare = |_| {
        let mut client = Client::bound(daemon.address, kind);
        let requests: Vec<_> = (0..calls).map(|_| client.request(&stub)).collect();
        client.stream.set_nonblocking(true).expect("a socket");
        (client.stream, requests)
    };
    let prepared: Vec<_> = (0..connections).map(prepare).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let before = daemon.cpu();
    runtime.block_on(async {
        let tasks = prepared.into_iter().map(|(stream, requests)| {
            let stream = tokio::net::TcpStream::from_std(stream).expect("a socket");
            tokio::spawn(ask_all(stream, requests))
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("answers");
        }
    });
    (daemon.cpu() - before) / (connections * calls) as f64
}

/// Sends requests one by one.
async fn ask_all(mut stream: tokio::net::TcpStream, requests: Vec<Vec<u8>>) {
    let mut answer = [0; 8192];
    for request in requests {
        stream.write_all(&request).await.expect("a server");
        let mut length = 0;
        while length < Header::LEN || length < answer_len(&answer) {
            let read = stream.read(&mut answer[length..]).await;
            length += read.ok().filter(|read| *read > 0).expect("an answer");
        }
        assert_eq!(answer[2], PacketType::RESPONSE.0, "an answer");
    }
}

/// The length of the PDU that begins here.
fn answer_len(octets: &[u8]) -> usize {
    Header::peek_frag_length(octets).expect("a header").into()
}

/// A window of whole connections; CPU for each.
fn cycle(daemon: &Daemon, kind: Kind) -> f64 {
    let (threads, connections) = CYCLE;
    let address = daemon.address;
    let before = daemon.cpu();
    let run = move || {
        let stub = unhex(STUB);
        for _ in 0..connections {
            let mut client = Client::bound(address, kind);
            let request = client.request(&stub);
            let answer = client.ask(&request);
            assert_eq!(answer[2], PacketType::RESPONSE.0, "an answer");
        }
    };
    let threads: Vec<_> = (0..threads).map(|_| thread::spawn(run)).collect();
    let count = threads.len() * connections;
    for thread in threads {
        thread.join().expect("answers");
    }
    (daemon.cpu() - before) / count as f64
}

/// A connection that is bound.
struct Client {
    stream: TcpStream,
    security: Option<(Identity, Box<dyn SecurityContext>)>,
}

impl Client {
    /// Connects, binds and logs on.
    fn bound(address: SocketAddr, kind: Kind) -> Client {
        let stream = TcpStream::connect(address).expect("a server");
        stream.set_nodelay(true).expect("a socket");
        let security = kind.identity.map(|identity| (identity, context(identity)));
        let mut client = Client { stream, security };
        client.bind();
        client
    }

    fn bind(&mut self) {
        let Some((identity, mut context)) = self.security.take() else {
            self.leg(PacketType::BIND, None);
            return;
        };
        let mut said = context.proceed(&[]).expect("a first token");
        let mut ptype = PacketType::BIND;
        while !said.is_complete {
            let heard = self.leg(ptype, Some((identity, &said.token)));
            said = context.proceed(&heard).expect("a server's token");
            ptype = PacketType::ALTER_CONTEXT;
        }
        // NTLM's last word is not answered; SPNEGO's is, and that needs no further one.
        if !said.token.is_empty() {
            let last = legs::auth3(identity, &said.token);
            self.stream.write_all(&last).expect("a server");
        }
        self.security = Some((identity, context));
    }

    /// Sends a leg; the server's token.
    fn leg(&mut self, ptype: PacketType, token: Option<(Identity, &[u8])>) -> Vec<u8> {
        let leg = legs::negotiation(ptype, PfcFlags(0), SyntaxId::EPT, token);
        let answer = self.ask(&leg);
        let answer = Pdu::decode(&answer).expect("a PDU");
        let types = [PacketType::BIND_ACK, PacketType::ALTER_CONTEXT_RESP];
        assert!(types.contains(&answer.header.ptype), "{answer:?}");
        answer.auth.map_or(Vec::new(), |auth| auth.value.to_vec())
    }

    /// The next request.
    fn request(&mut self, stub: &[u8]) -> Vec<u8> {
        match &mut self.security {
            None => legs::request(PfcFlags::WHOLE, EPT_MAP, stub, None),
            Some((identity, context)) => {
                let call = (EPT_MAP, stub);
                legs::signed_request(PfcFlags::WHOLE, call, *identity, &mut **context, true)
            }
        }
    }

    /// Sends a PDU; the next that comes.
    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).expect("a server");
        let mut answer = vec![0; Header::LEN];
        self.stream.read_exact(&mut answer).expect("an answer");
        answer.resize(answer_len(&answer), 0);
        let rest = &mut answer[Header::LEN..];
        self.stream.read_exact(rest).expect("an answer");
        answer
    }
}

/// The account's client.
fn context(identity: Identity) -> Box<dyn SecurityContext> {
    let credentials = Credentials {
        user: "alice".to_owned(),
        domain: String::new(),
        secret: Secret::NtHash(NtHash::of("wonder")),
    };
    let context = ntlm::initiate(&credentials, identity.level);
    match identity.auth_type {
        AuthType::SPNEGO => spnego::initiate(vec![Offer {
            oid: oid::NTLM,
            context,
        }]),
        _ => context,
    }
}

/// A daemon; killed when dropped.
struct Daemon {
    process: Child,
    address: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SIGTERM, so that whoever counts it has its say.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.process.wait();
    }
}

impl Daemon {
    /// Starts it, under another program if one is given.
    fn start(folder: &Path, under: Option<&str>) -> Daemon {
        let daemon = env!("CARGO_BIN_EXE_epmapperd");
        let mut words = under.unwrap_or_default().split_whitespace().chain([daemon]);
        let mut process = Command::new(words.next().expect("a program"))
            .args(words)
            .arg("--config")
            .arg(config(folder))
            .args(["--listen", "ncacn_ip_tcp:127.0.0.1[0]", "--state", "none"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("epmapperd starts");
        let mut lines = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("listening on ncacn_ip_tcp:127.0.0.1[")?;
            port.split(']').next()?.parse::<u16>().ok()
        });
        thread::spawn(move || lines.for_each(drop));
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("epmapperd listens")));
        Daemon { process, address }
    }

    /// CPU that its threads have used, in microseconds.
    fn cpu(&self) -> f64 {
        let tasks = format!("/proc/{}/task", self.process.id());
        let tasks = fs::read_dir(tasks).expect("the daemon runs");
        let used = tasks.filter_map(|task| {
            let told = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            told.split(' ').next()?.parse::<f64>().ok()
        });
        used.sum::<f64>() / 1000.0
    }
}

/// A configuration with the entries and the account.
fn config(folder: &Path) -> std::path::PathBuf {
    let accounts = folder.join("accounts.toml");
    let private = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&accounts);
    let hash: String = NtHash::of("wonder")
        .0
        .iter()
        .fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        });
    write!(
        private.expect("a file"),
        "[accounts]\nalice = {{ nt_hash = \"{hash}\" }}\n"
    )
    .expect("a file");
    let mut text = format!(
        "log_level = \"warn\"\n[security]\naccounts = \"{}\"\n",
        accounts.display()
    );
    for number in 0..ENTRIES {
        let (uuid, version) = match number {
            0 => ("12345778-1234-abcd-ef00-0123456789ab".to_owned(), "0.0"),
            _ => (format!("{number:08x}-5bd1-4e0c-8f5e-1d2c3b4a5968"), "1.0"),
        };
        let port = 49152 + number;
        let _ = write!(
            text,
            "[[endpoint]]\ninterface = \"{uuid}\"\nversion = \"{version}\"\nbindings = [\"ncacn_ip_tcp:[{port}]\"]\n"
        );
    }
    let config = folder.join("epmapperd.toml");
    fs::write(&config, text).expect("a file");
    config
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16);
    digits
        .chunks(2)
        .map(|pair| octet(pair).expect("digits"))
        .collect()
}
