//! The daemon as its administrator knows it: command line, configuration,
//! listeners, signals, rights.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/run.rs"]
mod run;
#[path = "support/skip.rs"]
mod skip;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use peer::{Peer, endpoints};
use run::{ANY_PORT, ConfigFile, Run, output, program, stderr};
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What the mapper's own entries are annotated with.
const OWN: &str = "Endpoint mapper";

/// Ten times as long as the daemon may take to end; the log tells the time.
const END: Duration = Duration::from_secs(50);

// Listening

#[test]
fn each_listener_is_told_with_its_port_and_answers() {
    let mut command = program();
    let run = Run::spawn(command.args(["--listen", ANY_PORT, "--listen", ANY_PORT]));
    let addresses = run.addresses();
    assert_eq!(addresses.len(), 2, "{}", run.log.text());
    for address in addresses {
        assert_ne!(address.port(), 0);
        // Two listeners, two endpoints to tell.
        assert_eq!(Peer::bound(address).annotations(), [OWN, OWN]);
    }
}

#[test]
fn nothing_is_logged_before_the_listeners_are_told() {
    let file = ConfigFile::new(&endpoints(1).repeat(2));
    let run = Run::with_config(&file);
    let log = run.log.text();
    let first = log.lines().next().unwrap();
    assert_eq!(
        first,
        format!(
            "listening on ncacn_ip_tcp:127.0.0.1[{}]",
            run.address().port()
        )
    );
    assert!(log.contains("says again"), "{log}");
}

#[test]
fn ipv6_is_listened_on_beside_ipv4() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skip::skipped("this host has no IPv6");
    }
    let mut command = program();
    let run = Run::spawn(command.args(["--listen", "ncacn_ip_tcp:::[0]", "--listen", ANY_PORT]));
    assert!(run.log.text().starts_with("listening on ncacn_ip_tcp:::["));
    let port = run.address().port();
    assert_eq!(
        Peer::bound(([0, 0, 0, 0, 0, 0, 0, 1], port).into())
            .annotations()
            .len(),
        2
    );
    // The same port is free for IPv4.
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn listen_replaces_what_the_configuration_says() {
    let file = ConfigFile::new("listen = [\"ncacn_ip_tcp:192.0.2.1[135]\"]");
    assert_eq!(Run::with_config(&file).addresses().len(), 1);
}

#[test]
fn the_listeners_of_the_configuration_are_used() {
    let file = ConfigFile::new(&format!("listen = [\"{ANY_PORT}\", \"{ANY_PORT}\"]"));
    let run = Run::spawn(program().arg("--config").arg(file.path()));
    assert_eq!(run.addresses().len(), 2);
}

#[test]
fn without_being_told_it_listens_on_port_135_of_all_addresses() {
    let Some(mut command) = alone("rw") else {
        return;
    };
    let run = Run::spawn(&mut command);
    let log = run.log.text();
    let told: Vec<_> = log.lines().take(3).collect();
    let all = [
        "listening on ncacn_ip_tcp:0.0.0.0[135]",
        "listening on ncacn_ip_tcp:::[135]",
        "listening on ncalrpc:[/run/epmapper/EPMAPPER]",
    ];
    assert_eq!(told, all);
    // One endpoint can be told of TCP: port 135 where the client dialled.
    run.expect("serving entries=2");
}

#[test]
fn without_a_place_for_its_socket_it_says_so_and_goes_on() {
    let Some(mut command) = alone("ro") else {
        return;
    };
    let run = Run::spawn(&mut command);
    run.expect(
        "WARN epmapper::daemon::run: cannot listen on ncalrpc:[/run/epmapper/EPMAPPER]: cannot \
         make the folder /run/epmapper: Read-only file system",
    );
    run.expect("serving entries=1");
}

/// The program in a network and with a `/run` of its own, which is written to
/// or not, since tests beside this have mappers of theirs and the host may have
/// one; skipped loudly where that cannot be.
fn alone(run: &str) -> Option<Command> {
    let script = format!("mount -t tmpfs -o {run} none /run && exec \"$@\"");
    let namespaces = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "sh", "-c", &script, "sh", program]);
        command
    };
    let probe = namespaces("true").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip::lacking("the right to make network and mount namespaces");
        return None;
    }
    let daemon = program();
    let mut command = namespaces(daemon.get_program().to_str().unwrap());
    command.stdin(Stdio::null());
    Some(command)
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let binding = format!("ncacn_ip_tcp:127.0.0.1[{port}]");
    let output = output(program().args(["--state", "none", "--listen", &binding]));
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let start = format!("error: cannot listen on {binding}: the port is in use; stop ");
    assert!(told.starts_with(&start), "{told}");
    assert!(told.contains("or listen elsewhere"), "{told}");
}

#[test]
fn an_address_that_is_not_here_is_told() {
    let binding = "ncacn_ip_tcp:192.0.2.1[0]";
    let output = output(program().args(["--state", "none", "--listen", binding]));
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let start =
        format!("error: cannot listen on {binding}: 192.0.2.1 is not an address of this host; ");
    assert!(told.starts_with(&start), "{told}");
}

#[test]
fn a_port_that_is_not_permitted_is_told() {
    let Some((mut command, _folder)) = as_nobody() else {
        return;
    };
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim().parse::<u16>().is_ok_and(|first| first <= 135)) {
        return skip::skipped("everybody may listen on port 135 here");
    }
    let output = output(command.args([
        "--state",
        "none",
        "--listen",
        "ncacn_ip_tcp:127.0.0.99[135]",
    ]));
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let start = "error: cannot listen on ncacn_ip_tcp:127.0.0.99[135]: permission denied; start as root or ";
    assert!(told.starts_with(start), "{told}");
}

// Signals

#[test]
fn sigterm_and_sigint_end_it_in_good_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let run = Run::spawn(program().args(["--listen", ANY_PORT]));
        let address = run.address();
        let mut unbound = Peer::connect(address);
        let mut idle = Peer::bound(address);
        let ended = run.end(signal);
        assert_eq!(ended.code, Some(0), "{signal}: {}", ended.log);
        assert!(ended.after < END, "{signal}: {:?}", ended.after);
        assert!(idle.pdu_or_end().is_none());
        assert!(unbound.pdu_or_end().is_none());
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_running_call_is_answered_before_the_end() {
    let file = ConfigFile::new(&endpoints(499));
    let run = Run::with_config(&file);
    let mut peer = Peer::bound(run.address());
    // More than the sockets' buffers take, so that a call runs until it is read.
    let request = peer.lookup_request(Default::default(), 500);
    let calls = 200;
    peer.send(&request.repeat(calls));
    assert_eq!(peer.page_or_end().unwrap().annotations.len(), 500);
    run.signal(Signal::SIGTERM);
    run.expect("ending");
    let mut answered = 1;
    while let Some(page) = peer.page_or_end() {
        assert_eq!(page.annotations.len(), 500, "answer {answered} is cut");
        answered += 1;
    }
    let ended = run.end(Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(answered > 1 && answered <= calls, "{answered} of {calls}");
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let file = ConfigFile::new(&endpoints(499));
    let run = Run::with_config(&file);
    let mut peer = Peer::bound(run.address());
    let request = peer.lookup_request(Default::default(), 500);
    peer.send(&request.repeat(200));
    let ended = run.end(Signal::SIGTERM);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.after < END, "{:?}", ended.after);
}

#[test]
fn sighup_reads_the_endpoints_again() {
    let file = ConfigFile::new(&endpoints(3));
    let run = Run::with_config(&file);
    let mut peer = Peer::bound(run.address());
    assert_eq!(peer.annotations(), [OWN, "entry 0", "entry 1", "entry 2"]);

    let fewer = endpoints(5).replace("entry 1\"", "entry one\"");
    let fewer = fewer.replacen("-000000000000\"", "-0000000000ff\"", 1);
    file.write(&fewer);
    run.signal(Signal::SIGHUP);
    run.expect("endpoints read again added=3 removed=1 kept=2");
    // What is kept stays in its place, with its new annotation.
    let found = ["entry one", "entry 2", "entry 0", "entry 3", "entry 4"];
    assert_eq!(peer.annotations()[1..], found);
}

#[test]
fn sighup_with_a_bad_file_changes_nothing_and_says_why() {
    let file = ConfigFile::new(&endpoints(3));
    let run = Run::with_config(&file);
    let mut peer = Peer::bound(run.address());

    file.write(&format!(
        "{}version = 1\nbindings = [\"nonsense\"]\n",
        endpoints(2)
    ));
    run.signal(Signal::SIGHUP);
    run.expect("configuration not taken");
    assert_eq!(peer.annotations().len(), 4);

    file.write("[[endpoint]]\ninterface = \"x\"\nversion = \"1\"\nbindings = []\n");
    run.signal(Signal::SIGHUP);
    run.expect(&format!(
        "`x` is not a UUID: invalid character: found `x` at 0 file={} line=2 key=\"endpoint.interface\"",
        file.path().display()
    ));

    file.write(&"[[endpoint]]\ninterface = 1\n".repeat(25));
    run.signal(Signal::SIGHUP);
    run.expect("and 5 more");

    std::fs::remove_file(file.path()).unwrap();
    run.signal(Signal::SIGHUP);
    run.expect("cannot read the configuration");
    assert_eq!(peer.annotations().len(), 4);

    // And it still listens to a good one.
    file.write(&endpoints(1));
    run.signal(Signal::SIGHUP);
    run.expect("added=0 removed=2 kept=1");
    assert_eq!(peer.annotations().len(), 2);
}

#[test]
fn sighup_warns_of_what_needs_a_restart() {
    let file = ConfigFile::new("conversation = \"windows\"\n");
    let run = Run::with_config(&file);
    file.write(
        "listen = [\"ncacn_ip_tcp:192.0.2.1\"]\nconversation = \"dce\"\nsocket_mode = \"0600\"\n\
         [limits]\nentries = 5\n[probe]\nfailures = 9\n[[register]]\nusers = [0]\n",
    );
    run.signal(Signal::SIGHUP);
    run.expect("endpoints read again");
    let log = run.log.text();
    for key in [
        "conversation",
        "limits.entries",
        "probe.failures",
        "register",
        "socket_mode",
    ] {
        let line = format!("takes effect with the next start key=\"{key}\"");
        assert!(log.contains(&line), "{log}");
    }
    // The command line's list goes before both.
    assert!(!log.contains("key=\"listen\""), "{log}");
}

#[test]
fn sighup_without_a_configuration_is_harmless() {
    let run = Run::spawn(program().args(["--listen", ANY_PORT]));
    run.signal(Signal::SIGHUP);
    run.expect("there is no configuration file to read again");
    assert_eq!(Peer::bound(run.address()).annotations(), [OWN]);
}

// Rights

/// A user who is not root, with an id and a group.
const NOBODY: &str = "nobody";

/// The user that root becomes; skipped loudly where that cannot be.
fn nobody() -> Option<User> {
    let nobody = User::from_name(NOBODY).ok().flatten();
    let found = nobody.filter(|_| geteuid().is_root());
    if found.is_none() {
        skip::lacking(&format!("root and the user {NOBODY}"));
    }
    found
}

/// The program as a user without rights, in a folder that this user may enter;
/// skipped loudly where that cannot be.
fn as_nobody() -> Option<(Command, TempDir)> {
    let nobody = nobody()?;
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    // By another process: one that starts others cannot run what it has just written.
    let mut copy = Command::new("cp");
    copy.arg(program().get_program()).arg(folder.path());
    assert!(copy.status().unwrap().success());
    let mut command = Command::new(folder.path().join("epmapperd"));
    command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    command.stdin(Stdio::null());
    Some((command, folder))
}

#[test]
fn root_becomes_the_user_and_keeps_no_capability() {
    let Some(nobody) = nobody() else {
        return;
    };
    // A port that only root may take: it listens before it changes.
    let file = ConfigFile::new(&format!("user = \"{NOBODY}\"\n"));
    let mut command = program();
    command.arg("--config").arg(file.path());
    let run = Run::spawn(command.args(["--listen", "ncacn_ip_tcp:127.0.0.98[135]"]));
    let (uid, gid) = (nobody.uid, nobody.gid);
    assert_eq!(run.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(run.status("Gid"), format!("{gid} {gid} {gid} {gid}"));
    assert_eq!(run.status("Groups"), gid.to_string());
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(run.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(run.status("NoNewPrivs"), "1");
    assert_eq!(Peer::bound(run.address()).annotations(), [OWN]);
    // It cannot read the file any more: that is told, and changes nothing.
    file.open_folder_to(0o700);
    run.signal(Signal::SIGHUP);
    run.expect("Permission denied");
    assert_eq!(Peer::bound(run.address()).annotations(), [OWN]);
}

#[test]
fn root_with_few_capabilities_becomes_the_user_as_well() {
    if nobody().is_none() {
        return;
    }
    // As a hardened unit starts it: what listening and changing users need.
    let file = ConfigFile::new(&format!("user = \"{NOBODY}\"\n"));
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-all,+net_bind_service,+setuid,+setgid");
    command.arg(env!("CARGO_BIN_EXE_epmapperd"));
    command.arg("--config").arg(file.path());
    let run = Run::spawn(command.args(["--listen", "ncacn_ip_tcp:127.0.0.97[135]"]));
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(run.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(run.status("NoNewPrivs"), "1");
    assert_eq!(Peer::bound(run.address()).annotations(), [OWN]);
}

#[test]
fn every_thread_has_changed() {
    if nobody().is_none() {
        return;
    }
    let file = ConfigFile::new(&format!("user = \"{NOBODY}\"\n"));
    let run = Run::with_config(&file);
    let threads = run.every_thread("CapBnd");
    assert!(threads.len() > 1);
    assert!(
        threads.iter().all(|set| set == "0000000000000000"),
        "{threads:?}"
    );
}

#[test]
fn without_user_it_stays_who_it_is() {
    let run = Run::spawn(program().args(["--listen", ANY_PORT]));
    let uid = geteuid();
    assert_eq!(run.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .unwrap();
    assert_eq!(run.status("CapBnd"), bounding.trim());
}

#[test]
fn only_root_can_become_another_user() {
    let Some((mut command, _folder)) = as_nobody() else {
        return;
    };
    let file = ConfigFile::new("user = \"root\"\n");
    file.open_folder_to(0o755);
    command.arg("--config").arg(file.path());
    let output = output(command.args(["--state", "none", "--listen", ANY_PORT]));
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.starts_with("error: only root can change to the user `root`, "),
        "{told}"
    );
}

#[test]
fn the_user_that_it_already_is_needs_no_root() {
    let Some((mut command, _folder)) = as_nobody() else {
        return;
    };
    let file = ConfigFile::new(&format!("user = \"{NOBODY}\"\n"));
    file.open_folder_to(0o755);
    command.arg("--config").arg(file.path());
    let run = Run::spawn(command.args(["--listen", ANY_PORT]));
    assert_eq!(run.status("NoNewPrivs"), "1");
}

#[test]
fn an_unknown_user_is_told_before_anything_is_done() {
    let file = ConfigFile::new("user = \"no-such-user\"\n");
    let mut command = program();
    command.arg("--config").arg(file.path());
    let output = output(command.args(["--state", "none", "--listen", ANY_PORT]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: user: there is no user `no-such-user` on this host; make the user, or leave the key out\n"
    );
}

#[test]
fn check_config_looks_at_neither_users_nor_addresses() {
    let text = "listen = [\"ncacn_ip_tcp:192.0.2.1[135]\"]\nuser = \"no-such-user\"\n";
    let file = ConfigFile::new(text);
    let shown = checked(&["--config", file.path().to_str().unwrap()]);
    assert!(shown.contains("user = \"no-such-user\""), "{shown}");
}

// Configuration

/// An endpoint's head, in lines 1 to 3.
const HEAD: &str =
    "[[endpoint]]\ninterface = \"12345778-1234-abcd-ef00-0123456789ac\"\nversion = \"1.0\"\n";

/// A tower of another interface than that of `HEAD`.
const OTHER_TOWER: &str = "050013000d785734123412cdabef000123456789ab00000200000013000d045d888aeb1cc9119fe808002b10486002000200000001000b020000000100070200c2000100090400c000020a";

#[test]
fn each_mistake_has_its_message_line_and_key() {
    let cases: &[(String, &str)] = &[
        // Form.
        (
            "listen = [".into(),
            "1: listen: unclosed array, expected `]`",
        ),
        (
            "user = \"a\"\nuser = \"b\"\n".into(),
            "2: user: duplicate key",
        ),
        (
            "\nport = 135\n".into(),
            "2: port: unknown key `port`, expected one of `listen`, ",
        ),
        (
            "listen = \"ncacn_ip_tcp:[135]\"\n".into(),
            "1: listen: invalid type: string \"ncacn_ip_tcp:[135]\", expected a list",
        ),
        (
            "log_level = \"loud\"\n".into(),
            "1: log_level: unknown value `loud`, expected one of `error`, ",
        ),
        (
            "log_format = \"xml\"\n".into(),
            "1: log_format: unknown value `xml`, expected `text` or `json`",
        ),
        (
            "user = 5\n".into(),
            "1: user: invalid type: integer `5`, expected a string",
        ),
        (
            "user = [5]\n".into(),
            "1: user: invalid type: list, expected a string",
        ),
        (
            "log_level = 5\n".into(),
            "1: log_level: invalid type, expected a string",
        ),
        (
            "limits = 5\n".into(),
            "1: limits: invalid type: integer `5`, expected a table",
        ),
        (
            "endpoint = [\n\"x\"]\n".into(),
            "2: endpoint: invalid type: string \"x\", expected a table",
        ),
        (
            "[endpoint]\n".into(),
            "1: endpoint: an endpoint is written as a table under [[endpoint]]",
        ),
        (
            format!("{HEAD}binding = []\n"),
            "4: endpoint.binding: unknown key `binding`, expected one of `interface`, ",
        ),
        (
            "[[endpoint]]\nversion = \"1.0\"\n".into(),
            "1: endpoint: missing key `interface`",
        ),
        (
            "[[endpoint]]\ninterface = 7\n".into(),
            "2: endpoint.interface: invalid type: integer `7`, expected a string",
        ),
        // Limits.
        (
            "[limits]\nspeed = 1\n".into(),
            "2: limits.speed: unknown key `speed`, expected one of `connections`, ",
        ),
        (
            "[limits]\nconnections = 0\n".into(),
            "2: limits.connections: invalid value: integer `0`, expected a whole number of at least 1",
        ),
        (
            "[limits]\nconnections = -1\n".into(),
            "2: limits.connections: invalid value: integer `-1`, expected a whole number of at least 1",
        ),
        (
            "[limits]\nidle_timeout = 10\n".into(),
            "2: limits.idle_timeout: invalid type: integer `10`, expected a string",
        ),
        (
            "[limits]\nidle_timeout = \"10\"\n".into(),
            "2: limits.idle_timeout: `10` is not a time: write \"500ms\", ",
        ),
        (
            format!(
                "[limits]\nentries = 2\n{HEAD}bindings = [\n\"ncacn_ip_tcp:[1]\",\n\"ncacn_ip_tcp:[2]\"]\n"
            ),
            "8: endpoint.bindings: does not fit: `limits.entries` is 2, the mapper's own entry among them; raise it",
        ),
        // Listeners and the like.
        (
            "listen = []\n".into(),
            "1: listen: names nothing to listen on; ",
        ),
        (
            "listen = [\n  \"nonsense\",\n]\n".into(),
            "2: listen: `nonsense`: at octet 0: ",
        ),
        (
            "listen = [\"ncalrpc:[epmapper]\"]\n".into(),
            "1: listen: `ncalrpc:[epmapper]`: 'epmapper' is not an absolute path; write ncalrpc:[/PATH]",
        ),
        (
            "listen = [\"ncadg_ip_udp:127.0.0.1[135]\"]\n".into(),
            "1: listen: `ncadg_ip_udp:127.0.0.1[135]`: ncadg_ip_udp is not served; only ncacn_ip_tcp and ncalrpc are",
        ),
        (
            "listen = [\"ncacn_ip_tcp:here[135]\"]\n".into(),
            "1: listen: `ncacn_ip_tcp:here[135]`: `here` is not an IP address; ",
        ),
        (
            "listen = [\"ncacn_ip_tcp:127.0.0.1[65536]\"]\n".into(),
            "1: listen: `ncacn_ip_tcp:127.0.0.1[65536]`: at octet 23: ",
        ),
        (
            "listen = [\"ncacn_ip_tcp:127.0.0.1[135,a=b]\"]\n".into(),
            "1: listen: `ncacn_ip_tcp:127.0.0.1[135,a=b]`: a listener has neither object nor options",
        ),
        (
            "conversation = \"win\"\n".into(),
            "1: conversation: `win` is not a conversation: write \"windows\", ",
        ),
        (
            "preferred_transfer_syntax = \"ndr65\"\n".into(),
            "1: preferred_transfer_syntax: `ndr65` is not a transfer syntax of calls: write ",
        ),
        // Endpoints.
        (
            HEAD.into(),
            "1: endpoint: names neither bindings nor towers",
        ),
        (
            HEAD.replace("12345778", "1234577"),
            "2: endpoint.interface: `1234577-1234-abcd-ef00-0123456789ac` is not a UUID: ",
        ),
        (
            "[[endpoint]]\ninterface = \"00000000-0000-0000-0000-000000000000\"\nversion = \"1\"\n"
                .into(),
            "2: endpoint.interface: the nil UUID is no interface",
        ),
        (
            HEAD.replace("1.0", "1.0.0"),
            "3: endpoint.version: `1.0.0` is not a version: write MAJOR.MINOR, ",
        ),
        (
            HEAD.replace("1.0", "65536"),
            "3: endpoint.version: `65536` is not a version: ",
        ),
        (
            format!("{HEAD}annotation = \"{}\"\n", "\u{e9}".repeat(32)),
            "4: endpoint.annotation: 64 octets long; at most 63 fit",
        ),
        (
            format!("{HEAD}annotation = \"a\\u0000b\"\n"),
            "4: endpoint.annotation: a NUL at octet 1",
        ),
        (
            format!("{HEAD}object = \"none\"\n"),
            "4: endpoint.object: `none` is not a UUID: ",
        ),
        (
            format!("{HEAD}transfer_syntax = [\"ndr\", \"ndr65\"]\n"),
            "4: endpoint.transfer_syntax: `ndr65` is not a transfer syntax: ",
        ),
        (
            format!("{HEAD}transfer_syntax = []\n"),
            "4: endpoint.transfer_syntax: names no transfer syntax; ",
        ),
        (
            format!("{HEAD}bindings = [\n\"ncacn_ip_tcp:[1]\",\n\"ncacn_ip_tcp:[x]\"]\n"),
            "6: endpoint.bindings: `ncacn_ip_tcp:[x]`: at octet 14: ",
        ),
        (
            format!("{HEAD}bindings = [\"ncacn_foo:[1]\"]\n"),
            "4: endpoint.bindings: `ncacn_foo:[1]`: at octet 0: ",
        ),
        (
            format!("{HEAD}bindings = [\"ncacn_ip_tcp:::1[1]\"]\n"),
            "4: endpoint.bindings: `ncacn_ip_tcp:::1[1]`: ",
        ),
        (
            format!("{HEAD}bindings = [\"ncacn_ip_tcp:host[1]\"]\n"),
            "4: endpoint.bindings: `ncacn_ip_tcp:host[1]`: ",
        ),
        (
            format!("{HEAD}bindings = [\"ncacn_http:[593,RpcProxy=px:443]\"]\n"),
            "4: endpoint.bindings: `ncacn_http:[593,RpcProxy=px:443]` has options; ",
        ),
        (
            format!("{HEAD}bindings = [\"12345778-1234-abcd-ef00-0123456789ac@ncalrpc:[x]\"]\n"),
            "4: endpoint.bindings: `12345778-1234-abcd-ef00-0123456789ac@ncalrpc:[x]` names an object; ",
        ),
        (
            format!("{HEAD}towers = [\"0500130\"]\n"),
            "4: endpoint.towers: not a row of hex octets",
        ),
        (
            format!("{HEAD}towers = [\"05001300\"]\n"),
            "4: endpoint.towers: tower: ",
        ),
        (
            format!("{HEAD}towers = [\"0000\"]\n"),
            "4: endpoint.towers: tower: a tower needs at least three floors",
        ),
        (
            format!("{HEAD}towers = [\"{OTHER_TOWER}00\"]\n"),
            "4: endpoint.towers: tower: 1 octets behind the last floor",
        ),
        (
            format!("{HEAD}towers = [\"{OTHER_TOWER}\"]\n"),
            "4: endpoint.towers: the tower is of interface 12345778-1234-abcd-ef00-0123456789ab:0.0, this endpoint of ",
        ),
    ];
    for (text, expected) in cases {
        let file = ConfigFile::new(text);
        let expected = format!("error: {}:{expected}", file.path().display());
        for arguments in [["--check-config"].as_slice(), &["--listen", ANY_PORT]] {
            let output = output(program().arg("--config").arg(file.path()).args(arguments));
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{text}\n{told}");
            assert!(output.stdout.is_empty());
            let told = told.lines().find(|line| line.starts_with(&expected));
            assert!(
                told.is_some(),
                "of\n{text}\nexpected\n{expected}\ntold\n{}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let file = ConfigFile::new("");
    for (path, cause) in [
        (file.path().with_file_name("absent"), "No such file"),
        (file.path().parent().unwrap().to_owned(), "Is a directory"),
    ] {
        let output = output(program().arg("--check-config").arg("--config").arg(&path));
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        let start = format!(
            "error: cannot read the configuration {}: {cause}",
            path.display()
        );
        assert!(told.starts_with(&start), "{told}");
    }
}

#[test]
fn a_file_that_is_not_text_is_told_with_its_line() {
    let file = ConfigFile::new("");
    std::fs::write(file.path(), b"user = \"a\"\nlog_level = \"\xff\"\n").unwrap();
    let output = output(
        program()
            .arg("--check-config")
            .arg("--config")
            .arg(file.path()),
    );
    assert_eq!(output.status.code(), Some(1));
    let told = format!(
        "error: {}:2: log_level: octet 0xff is not UTF-8; save the file as UTF-8\n",
        file.path().display()
    );
    assert_eq!(stderr(&output), told);
}

#[test]
fn more_listeners_than_the_limit_leaves_room_for_are_told() {
    // How many entries the listeners make is known when they listen.
    for (entries, count) in [(1, 0), (4, 3)] {
        let text = format!("[limits]\nentries = {entries}\n{}", endpoints(count));
        let file = ConfigFile::new(&text);
        checked(&["--config", file.path().to_str().unwrap()]);
        let mut command = program();
        command.arg("--config").arg(file.path());
        let output = output(command.args([
            "--state", "none", "--listen", ANY_PORT, "--listen", ANY_PORT,
        ]));
        assert_eq!(output.status.code(), Some(1));
        let told = format!(
            "error: the entries of listeners and endpoints do not fit: \
             the table is full, its limit is {entries} entries; raise `limits.entries`\n"
        );
        assert_eq!(stderr(&output), told);
    }
}

/// What `--check-config` prints.
fn checked(arguments: &[&str]) -> String {
    let output = output(program().arg("--check-config").args(arguments));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn check_config_prints_what_can_be_read_again() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example.toml");
    let listen = "ncacn_ip_tcp:127.0.0.1";
    let arguments = [
        "--config",
        example,
        "--listen",
        listen,
        "--log-level",
        "debug",
        "--log-format",
        "json",
    ];
    let shown = checked(&arguments);
    assert!(
        shown.contains("listen = [\"ncacn_ip_tcp:127.0.0.1[135]\"]"),
        "{shown}"
    );
    for line in [
        "log_level = \"debug\"",
        "log_format = \"json\"",
        "bind_timeout = \"10s\"",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let file = ConfigFile::new(&shown);
    assert_eq!(checked(&["--config", file.path().to_str().unwrap()]), shown);
}

#[test]
fn check_config_without_a_file_shows_the_defaults() {
    let shown = checked(&[]);
    assert!(
        shown.starts_with(
            "# listen = [\"ncacn_ip_tcp:0.0.0.0[135]\", \"ncacn_ip_tcp:::[135]\", \
             \"ncalrpc:[/run/epmapper/EPMAPPER]\"]\n"
        ),
        "{shown}"
    );
    assert!(shown.contains("conversation = \"windows\""), "{shown}");
}

#[test]
fn check_config_tells_what_has_no_effect() {
    let text = format!(
        "{HEAD}bindings = [\"ncalrpc:[a]\", \"ncalrpc:[a]\", \"ncacn_ip_tcp:\", \"ncacn_ip_tcp:10.0.0.1[0]\"]\n"
    );
    let file = ConfigFile::new(&text);
    let output = output(
        program()
            .arg("--check-config")
            .arg("--config")
            .arg(file.path()),
    );
    assert_eq!(output.status.code(), Some(0));
    let told = stderr(&output);
    let place = format!("warning: {}:4: endpoint.bindings: ", file.path().display());
    let says = [
        "says again what line 4 says; the first is kept",
        "`ncacn_ip_tcp:` has no endpoint; ",
        "`ncacn_ip_tcp:10.0.0.1[0]` has port 0; ",
    ];
    for (line, says) in told.lines().zip(says) {
        assert!(line.starts_with(&format!("{place}{says}")), "{told}");
    }
    assert_eq!(told.lines().count(), says.len());
}

// Command line and log

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in [
        ["--nonsense"].as_slice(),
        &["--listen", "nonsense"],
        &["--listen", "ncadg_ip_udp:127.0.0.1[135]"],
        &["--log-level", "loud"],
        &["--log-format"],
        &["--man", "--check-config"],
    ] {
        let output = output(program().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn completions_and_the_man_page_are_printed() {
    for (arguments, part) in [
        (["--completions", "bash"].as_slice(), "_epmapperd()"),
        (&["--completions", "zsh"], "#compdef epmapperd"),
        (&["--completions", "fish"], "complete -c epmapperd"),
        (&["--man"], ".TH epmapperd"),
    ] {
        let output = output(program().args(arguments));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(part), "{arguments:?}: {text}");
        assert!(
            text.replace('\\', "").contains("check-config"),
            "{arguments:?}"
        );
    }
}

/// What is printed, and may not be printed in full.
const PRINTED: [&[&str]; 3] = [&["--check-config"], &["--man"], &["--completions", "bash"]];

#[test]
fn what_cannot_be_printed_is_an_error() {
    for arguments in PRINTED {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = program().args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let told = stderr(&output);
        let start = "error: cannot write to standard output: No space left on device";
        assert!(told.starts_with(start), "{arguments:?}: {told}");
    }
}

#[test]
fn a_reader_that_left_early_is_no_error() {
    for arguments in PRINTED {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program().args(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn json_logs_are_one_object_a_line() {
    let run = Run::spawn(program().args(["--listen", ANY_PORT, "--log-format", "json"]));
    let ended = run.end(Signal::SIGTERM);
    let mut lines = ended.log.lines();
    assert!(lines.next().unwrap().starts_with("listening on "));
    let events: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let messages: Vec<_> = events
        .iter()
        .map(|event| event["fields"]["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages, ["serving", "ending", "ended"]);
}

#[test]
fn the_log_level_is_heeded() {
    let file = ConfigFile::new("log_level = \"error\"\n");
    for (arguments, logged) in [(["--log-level", "debug"].as_slice(), true), (&[], false)] {
        let mut command = program();
        command
            .arg("--config")
            .arg(file.path())
            .args(["--listen", ANY_PORT]);
        let run = Run::listening(command.args(arguments));
        assert_eq!(Peer::bound(run.address()).annotations(), [OWN]);
        let ended = run.end(Signal::SIGTERM);
        assert_eq!(ended.log.contains("connected"), logged, "{}", ended.log);
        assert_eq!(ended.log.contains("serving"), logged, "{}", ended.log);
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_harms_nothing() {
    let file = ConfigFile::new(&endpoints(1));
    let mut command = program();
    command
        .arg("--config")
        .arg(file.path())
        .args(["--state", "none", "--listen", ANY_PORT]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let (_, port) = first
        .trim_end()
        .trim_end_matches(']')
        .rsplit_once('[')
        .unwrap();
    let address = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let mut peer = Peer::bound(address);
    drop(log);

    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    for _ in 0..3 {
        kill(pid, Signal::SIGHUP).unwrap();
        assert_eq!(peer.annotations(), [OWN, "entry 0"]);
    }
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(peer.pdu_or_end().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
