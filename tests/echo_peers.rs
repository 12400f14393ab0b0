//! Other people's clients of rpcecho, which know a host and the UUID, against the example server: our mapper tells them
//! where it is.
//!
//! Each test has a loopback address of its own, 127.0.34.TEST, and port 135 there. dumpcap records it, and tshark must
//! find no fault with what mapper and server sent.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/echo.rs"]
mod echo;
#[allow(dead_code)] // its `main`
#[path = "../examples/echo_server.rs"]
mod example;
#[path = "echo_peers/logons.rs"]
mod logons;
#[path = "interop/programs.rs"]
mod programs;
#[path = "interop/recording.rs"]
mod recording;

use echo::{Mapper, Server};
use programs::{Finished, run};
use recording::Recording;
use std::net::Ipv4Addr;
use std::path::Path;

/// How clients are told to write their stubs, and what of a recording shows that they do.
struct Way {
    /// The option of a Samba binding.
    option: &'static str,
    /// What is in every request, or in the answer to every bind.
    sign: &'static [u8],
}

/// Little-endian NDR: version, packet type, flags of a request in one fragment, and the data representation.
const LITTLE: Way = Way {
    option: "",
    sign: &[5, 0, 0, 3, 0x10, 0, 0, 0],
};
/// The same big-endian.
const BIG: Way = Way {
    option: "bigendian",
    sign: &[5, 0, 0, 3, 0, 0, 0, 0],
};
/// NDR64: acceptance, no reason, and the head of that UUID.
const NDR64: Way = Way {
    option: "ndr64",
    sign: &[0, 0, 0, 0, 0x33, 0x05, 0x71, 0x71],
};

/// A mapper with the example server, recorded.
struct Session {
    server: Server,
    _mapper: Mapper,
    address: Ipv4Addr,
    /// `None` where dumpcap or tshark are missing.
    recording: Option<Recording>,
}

impl Session {
    fn start(test: u8) -> Session {
        let address = Ipv4Addr::new(127, 0, 34, test);
        let recording = Recording::start(address);
        let mapper = Mapper::start(address);
        let server = mapper.server(&[&format!("ncacn_ip_tcp:{address}[]")]);
        Session {
            server,
            _mapper: mapper,
            address,
            recording,
        }
    }

    /// A Samba binding to the host, without endpoint.
    fn binding(&self, way: &Way) -> String {
        format!("ncacn_ip_tcp:{}[{}]", self.address, way.option)
    }

    /// Lets tshark judge what was sent, which has to have `way`'s sign.
    fn judge(self, way: &Way) {
        let Some(recording) = self.recording else {
            return;
        };
        let octets = recording.finish();
        for port in [135, self.server.port()] {
            let sent = recording::judge(&octets, port).unwrap_or_else(|fault| panic!("{fault}"));
            assert!(sent.frames > 1, "port {port}: {sent:?}");
        }
        let mut places = octets.windows(way.sign.len());
        assert!(places.any(|place| place == way.sign), "{}", way.option);
    }
}

/// All tests of rpc.echo.
const TESTS: [&str; 10] = [
    "addone",
    "sinkdata",
    "echodata",
    "sourcedata",
    "testcall",
    "testcall2",
    "enum",
    "surrounding",
    "doublepointer",
    "sleep",
];

/// Runs rpc.echo of smbtorture.
fn torture(test: u8, way: &Way) {
    let Some(program) = programs::find("smbtorture") else {
        return;
    };
    let session = Session::start(test);
    passes(&program, &session.binding(way), "-U%");
    session.judge(way);
}

/// Runs it over a binding as a user; all of it must pass.
#[track_caller]
fn passes(smbtorture: &Path, binding: &str, user: &str) {
    let arguments = ["-s", "/dev/null", binding, user, "rpc.echo"];
    let finished = run(smbtorture, &arguments, "");
    let (status, said) = (finished.status, said(&finished));
    assert!(status.success(), "{binding}: {status}\n{said}");
    for test in TESTS {
        let line = format!("success: echo.{test}\n");
        assert!(
            finished.stdout.contains(&line),
            "{test} over {binding}: {said}"
        );
    }
    let told = finished.stdout.matches("\ntest: echo.").count();
    assert_eq!(told, TESTS.len(), "{said}");
}

/// What a program said, without the dumps of all that it sent.
fn said(finished: &Finished) -> String {
    let text = finished.text();
    let lines = text.lines().filter(|line| !line.starts_with('['));
    lines.take(200).collect::<Vec<_>>().join("\n")
}

#[test]
fn smbtorture_finds_the_example_and_passes() {
    torture(1, &LITTLE);
}

#[test]
fn smbtorture_passes_big_endian() {
    torture(2, &BIG);
}

#[test]
fn smbtorture_passes_in_ndr64() {
    torture(3, &NDR64);
}

/// Calls every operation by Samba's binding for Python.
fn python(test: u8, way: &Way) {
    let Some(python) = programs::find_python_samba() else {
        return;
    };
    let session = Session::start(test);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/echo_peers/echo.py");
    let finished = run(&python, &[script, &session.binding(way)], "");
    finished.assert_success();
    assert_eq!(
        finished.stdout.matches(" right\n").count(),
        16,
        "{finished:#?}"
    );
    session.judge(way);
}

#[test]
fn python_samba_calls_every_operation() {
    python(4, &LITTLE);
}

#[test]
fn python_samba_calls_every_operation_big_endian() {
    python(5, &BIG);
}

#[test]
fn python_samba_calls_every_operation_in_ndr64() {
    python(6, &NDR64);
}

#[test]
fn rpcclient_finds_the_example_and_calls_it() {
    let Some(rpcclient) = programs::find("rpcclient") else {
        return;
    };
    let session = Session::start(7);
    let host = format!("ncacn_ip_tcp:{}", session.address);
    let commands = "echoaddone 41; echodata 70000; sinkdata 70000; sourcedata 70000";
    let arguments = ["-s", "/dev/null", "-U%", &host, "-c", commands];
    let finished = run(&rpcclient, &arguments, "");
    finished.assert_success();
    assert!(finished.stdout.contains("41 + 1 = 42\n"), "{finished:#?}");
    session.judge(&LITTLE);
}
