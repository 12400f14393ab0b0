//! Local sockets (ncalrpc): a daemon that listens on them, `epm` over them, and
//! what a server learns of who calls.

#![cfg(all(feature = "daemon", feature = "tools"))]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use daemon::DEADLINE;
use epmapper::client::{Client, ClientError, Encoding, Failure};
use epmapper::registry::{Owner, Registrant};
use epmapper::server::{Limits, Server, serve};
use epmapper::service::{Call, Interface, Outcome, Reply};
use epmapper::transport::unix::{Access, Credentials};
use epmapper::transport::{Listener, process};
use epmapper::wire::binding::Binding;
use epmapper::wire::pdu::{Bind, Body, ContextsBuf, Header, PacketType, Pdu, PfcFlags};
use epmapper::wire::{ByteOrder, DataRepresentation, SyntaxId, TransferSyntax};
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};
use run::{ANY_PORT, ConfigFile, Run, output, program, stderr};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::uuid;

const SAMR: &str = "12345778-1234-abcd-ef00-0123456789ac";

/// An endpoint without an address, which is told as the one that was dialled.
const ENDPOINT: &str = "[[endpoint]]\ninterface = \"12345778-1234-abcd-ef00-0123456789ac\"\n\
    version = \"1.0\"\nbindings = [\"ncacn_ip_tcp:[49152]\"]\n";

/// A user and a group that are not root's.
const NOBODY: u32 = 65534;

/// A folder that everybody may enter, with the path of a socket in it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Place(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("EPMAPPER")
    }

    fn binding(&self) -> String {
        format!("ncalrpc:[{}]", self.path().display())
    }

    /// The daemon with a configuration, on the socket alone.
    fn command(&self, file: &ConfigFile) -> Command {
        let mut command = program();
        command.arg("--config").arg(file.path());
        command.args(["--state", "none", "--listen", &self.binding()]);
        command
    }

    /// A connection to the socket.
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// `epm` where everybody may run it.
    fn epm_for_all(&self) -> Command {
        // By another process: one that starts others cannot run what it has just written.
        let mut copy = Command::new("cp");
        copy.arg(env!("CARGO_BIN_EXE_epm")).arg(self.0.path());
        assert!(copy.status().unwrap().success());
        let mut command = Command::new(self.0.path().join("epm"));
        command.stdin(Stdio::null());
        command
    }
}

fn epm(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epm"));
    output(command.stdin(Stdio::null()).args(arguments))
}

/// What a command wrote to standard output, if it did what it should.
#[track_caller]
fn told(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Whether the tests run as root; skipped loudly where not.
fn is_root() -> bool {
    if !geteuid().is_root() {
        skip::lacking("root");
    }
    geteuid().is_root()
}

// The daemon

#[test]
fn both_endpoints_answer_and_tell_of_each_other() {
    let place = Place::new();
    let file = ConfigFile::new(ENDPOINT);
    let run = Run::spawn(place.command(&file).args(["--listen", ANY_PORT]));
    run.expect(&format!("listening on {}", place.binding()));
    let tcp = format!("ncacn_ip_tcp:127.0.0.1[{}]", run.address().port());
    for server in [&tcp, &place.binding()] {
        let found = told(&epm(&["lookup", server]));
        for part in ["ncalrpc:[EPMAPPER]", &tcp, "[49152]"] {
            assert!(found.contains(part), "{found}");
        }
        // Nobody dials an address over a local socket.
        let mapped = told(&epm(&["map", server, SAMR]));
        let address = if server == &tcp { "127.0.0.1" } else { "" };
        let endpoint = format!("ncacn_ip_tcp:{address}[49152]");
        assert!(mapped.contains(&endpoint), "{mapped}");
    }
    let managed = told(&epm(&["mgmt", &place.binding()]));
    assert!(managed.contains(&place.binding()), "{managed}");
}

#[test]
fn the_bind_ack_names_the_file_of_the_socket() {
    let place = Place::new();
    let _run = Run::spawn(&mut place.command(&ConfigFile::new("")));
    let mut stream = place.connect();
    stream.write_all(&bind()).unwrap();
    let answer = pdu(&mut stream);
    let Body::BindAck(ack) = Pdu::decode(&answer).unwrap().body else {
        panic!("no bind_ack: {answer:x?}");
    };
    assert_eq!(ack.secondary_address, b"EPMAPPER\0");
}

#[test]
fn everybody_may_connect_and_the_file_goes_with_the_daemon() {
    let place = Place::new();
    let file = ConfigFile::new("");
    // With a umask that would take the right away.
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$@\"", "sh"]);
    shell.arg(program().get_program());
    shell.args(["--listen", &place.binding()]);
    let run = Run::spawn(shell.arg("--config").arg(file.path()));
    let found = place.path().symlink_metadata().unwrap();
    assert_eq!(found.mode() & 0o7777, 0o666);
    assert_eq!(found.gid(), getegid().as_raw());
    if geteuid().is_root() {
        let mut epm = place.epm_for_all();
        epm.uid(NOBODY).gid(NOBODY);
        told(&output(epm.args(["lookup", &place.binding()])));
    }
    assert_eq!(run.end(Signal::SIGTERM).code, Some(0));
    assert!(place.path().symlink_metadata().is_err());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_refused() {
    let place = Place::new();
    let file = ConfigFile::new("");
    let killed = Run::spawn(&mut place.command(&file));
    killed.end(Signal::SIGKILL);
    assert!(place.path().symlink_metadata().is_ok());
    let _run = Run::spawn(&mut place.command(&file));
    told(&epm(&["lookup", &place.binding()]));
    let second = output(&mut place.command(&file));
    assert_eq!(second.status.code(), Some(1));
    let path = place.path();
    assert_eq!(
        stderr(&second),
        format!(
            "error: cannot listen on {}: the socket is in use; stop the program that has it \
             (`ss -lxp src {}` names it) or listen elsewhere\n",
            place.binding(),
            path.display()
        )
    );
    told(&epm(&["lookup", &place.binding()]));
}

#[test]
fn what_is_no_socket_stays() {
    let place = Place::new();
    fs::write(place.path(), "precious").unwrap();
    let refused = output(&mut place.command(&ConfigFile::new("")));
    assert_eq!(refused.status.code(), Some(1));
    let message = stderr(&refused);
    assert!(message.contains("is there and is no socket"), "{message}");
    assert_eq!(fs::read(place.path()).unwrap(), b"precious");
    let names = fs::read_dir(place.0.path()).unwrap();
    assert_eq!(names.count(), 1);
}

#[test]
fn a_socket_that_another_has_put_in_its_place_stays() {
    let place = Place::new();
    let run = Run::spawn(&mut place.command(&ConfigFile::new("")));
    fs::remove_file(place.path()).unwrap();
    let other = UnixListener::bind(place.path()).unwrap();
    assert_eq!(run.end(Signal::SIGTERM).code, Some(0));
    let _connected = place.connect();
    other.accept().unwrap();
}

#[test]
fn a_socket_left_in_a_folder_of_root_is_replaced_by_the_next_start() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let file = ConfigFile::new("user = \"nobody\"\n");
    for _ in 0..2 {
        let run = Run::spawn(&mut place.command(&file));
        told(&epm(&["lookup", &place.binding()]));
        assert_eq!(run.end(Signal::SIGTERM).code, Some(0));
        assert!(place.path().symlink_metadata().is_ok());
    }
}

#[test]
fn connections_are_counted_by_user() {
    let place = Place::new();
    let file = ConfigFile::new("[limits]\nconnections_per_client = 2\n");
    let run = Run::spawn(&mut place.command(&file));
    let mut held = [place.connect(), place.connect()];
    for stream in &mut held {
        stream.write_all(&bind()).unwrap();
        pdu(stream);
    }
    // The third is closed at once.
    assert_eq!(place.connect().read(&mut [0]).unwrap(), 0);
    run.expect("limit struck limit=\"connections_per_client\"");
    if is_root() {
        let mut epm = place.epm_for_all();
        epm.uid(NOBODY).gid(NOBODY);
        told(&output(epm.args(["lookup", &place.binding()])));
    }
}

#[test]
fn a_client_without_a_server_is_told_what_to_look_at() {
    let place = Place::new();
    let failed = epm(&["lookup", &place.binding()]);
    assert_eq!(failed.status.code(), Some(3));
    let message = stderr(&failed);
    for part in ["connect:", "EPMAPPER: No such file", "on this host"] {
        assert!(message.contains(part), "{message}");
    }
}

/// A bind to the endpoint mapper.
fn bind() -> Vec<u8> {
    let mut contexts = ContextsBuf::new(ByteOrder::Little);
    contexts.push(0, SyntaxId::EPT, &[SyntaxId::NDR]);
    let body = Body::Bind(Bind {
        max_xmit_frag: 5840,
        max_recv_frag: 5840,
        assoc_group_id: 0,
        contexts: contexts.as_contexts(),
    });
    let drep = DataRepresentation::LITTLE;
    let header = Header::new(PacketType::BIND, PfcFlags::WHOLE, drep, 1);
    let mut octets = Vec::new();
    Pdu::new(header, body).encode(&mut octets);
    octets
}

/// The next PDU.
fn pdu(stream: &mut UnixStream) -> Vec<u8> {
    let mut octets = vec![0; Header::LEN];
    stream.read_exact(&mut octets).unwrap();
    let len = Header::decode(&octets).unwrap().frag_length;
    octets.resize(len.into(), 0);
    stream.read_exact(&mut octets[Header::LEN..]).unwrap();
    octets
}

// Who calls

/// An interface whose one operation passes on that it was called, and by whom.
struct Who(SyntaxId, mpsc::Sender<(SyntaxId, Registrant)>);

const FOR_ALL: SyntaxId = SyntaxId::new(uuid!("6c1f6c0e-2d0b-4a53-9a0f-6f0f5b3b7a11"), 1, 0);
const FOR_LOCALS: SyntaxId = SyntaxId::new(uuid!("6c1f6c0e-2d0b-4a53-9a0f-6f0f5b3b7a12"), 1, 0);

impl Interface for Who {
    fn id(&self) -> SyntaxId {
        self.0
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &[TransferSyntax::Ndr]
    }

    fn call(&self, call: Call<'_>) -> Outcome {
        self.1.send((self.0, call.session.registrant())).unwrap();
        Reply::Response(Vec::new()).into()
    }
}

/// Binds to an interface and calls its first operation.
async fn call(binding: &Binding, interface: SyntaxId) -> Result<(), ClientError> {
    let encoding = Encoding::Ndr(ByteOrder::Little);
    let deadline = Instant::now() + DEADLINE;
    let mut client = Client::connect(binding, interface, encoding, deadline).await?;
    client.call(0, |_| {}).await.map(|_| ())
}

#[tokio::test]
async fn interfaces_for_local_callers_are_not_offered_over_tcp() {
    let place = Place::new();
    let [local, tcp] = [place.binding().as_str(), ANY_PORT]
        .map(|text| Listener::bind(&text.parse().unwrap(), Access::default()).unwrap());
    let bindings = [local.binding(), tcp.binding()];
    let (sender, callers) = mpsc::channel();
    let [all, locals] = [FOR_ALL, FOR_LOCALS].map(|id| {
        let interface: Arc<dyn Interface> = Arc::new(Who(id, sender.clone()));
        vec![interface]
    });
    let server = Server::new(all, locals, Vec::new(), Limits::default(), Arc::default());
    let (_stop, stopped) = watch::channel(false);
    for listener in [local, tcp] {
        tokio::spawn(serve(listener, server.clone(), stopped.clone()));
    }

    call(&bindings[0], FOR_LOCALS).await.unwrap();
    let (called, caller) = callers.try_recv().unwrap();
    assert_eq!(called, FOR_LOCALS);
    assert_eq!(caller.owner(), Owner::User(geteuid().as_raw()));
    assert_eq!(caller.groups().first(), Some(&getegid().as_raw()));
    let own = process::Process::open(std::process::id()).unwrap();
    let known = caller
        .process()
        .map(|process| (process.pid, process.started));
    let started = own.facts().unwrap().started;
    assert_eq!(known, Some((std::process::id(), started)));

    let refused = call(&bindings[1], FOR_LOCALS).await.unwrap_err();
    assert!(
        matches!(refused.failure, Failure::Rejected(..)),
        "{refused}"
    );
    // What everybody is offered, all are.
    for binding in &bindings {
        call(binding, FOR_ALL).await.unwrap();
        assert_eq!(callers.try_recv().unwrap().0, FOR_ALL);
    }
}

/// A program as another user with groups, that connects to a socket and stays.
fn connected(epm: &mut Command, path: &Path) -> (std::process::Child, UnixStream) {
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    let binding = format!("ncalrpc:[{}]", path.display());
    epm.args(["lookup", &binding, "--timeout", "300s"]);
    epm.stdin(Stdio::null()).stdout(Stdio::null());
    let child = epm.stderr(Stdio::null()).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    (child, stream)
}

#[test]
fn another_user_is_told_apart_with_its_groups() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let copied = place.epm_for_all();
    let mut setpriv = Command::new("setpriv");
    setpriv.args([
        "--reuid=65534",
        "--regid=65533",
        "--groups=65531,65532,65533",
    ]);
    let (mut child, stream) = connected(setpriv.arg(copied.get_program()), &place.path());
    let credentials = Credentials::of(&stream).unwrap();
    assert_eq!([credentials.uid, credentials.gid], [65534, 65533]);
    let identity = credentials.identity(&stream);
    assert_eq!(identity.groups, [65533, 65531, 65532]);
    assert_eq!(identity.process.map(|(pid, _)| pid), Some(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_caller_whose_process_has_ended_has_nothing_but_its_ids() {
    let place = Place::new();
    let mut epm = Command::new(env!("CARGO_BIN_EXE_epm"));
    let (mut child, stream) = connected(&mut epm, &place.path());
    let credentials = Credentials::of(&stream).unwrap();
    assert_eq!(credentials.pid, child.id());
    assert!(credentials.identity(&stream).process.is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let identity = credentials.identity(&stream);
    assert_eq!(identity.process, None);
    assert_eq!(identity.groups, [credentials.gid]);
}

#[test]
fn a_user_whom_the_mode_keeps_out_cannot_connect() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let access = Access {
        mode: 0o600,
        group: Some(NOBODY),
    };
    let binding: Binding = place.binding().parse().unwrap();
    let _listener = Listener::bind(&binding, access).unwrap();
    let found = place.path().symlink_metadata().unwrap();
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o600, NOBODY));
    let mut epm = place.epm_for_all();
    epm.uid(NOBODY).gid(NOBODY);
    let failed = output(epm.args(["lookup", &place.binding()]));
    assert_eq!(failed.status.code(), Some(3));
    let message = stderr(&failed);
    assert!(message.contains("Permission denied"), "{message}");
}
