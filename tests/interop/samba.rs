//! Samba's Python bindings and smbtorture against the mapper.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

use crate::programs::{self, Finished};
use crate::registry::{LSARPC, LSARPC_PORT, Place, hex};
use crate::session::Session;

/// A binding without endpoint: asks the mapper and goes where it says.
pub fn python_arrives(session: &Session, python: &Path) {
    let binding = format!("ncacn_ip_tcp:{}", session.address());
    let connect = "import sys\nfrom samba.dcerpc import lsa\nfrom samba.param import LoadParm\n\
                   lp = LoadParm()\nlp.load('/dev/null')\nlsa.lsarpc(sys.argv[1], lp)\n";
    let run = || programs::run(python, &["-c", connect, &binding], "");
    if session.registry.len() == 1 {
        // What Samba makes of ept_s_not_registered, also before its own mapper.
        let finished = run();
        assert!(
            finished
                .stderr
                .contains("No service is operating at the destination port"),
            "{finished:#?}"
        );
        return;
    }
    let arrived =
        first_pdu(TcpListener::bind((session.address(), LSARPC_PORT)).expect("the mapped port"));
    let finished = run();
    assert!(
        !finished.status.success(),
        "nobody answers the bind: {finished:#?}"
    );
    let bind = programs::wait(&arrived, "python3-samba arrives at the mapped port");
    assert_eq!(bind[..3], [5, 0, 11], "a bind: {}", hex(&bind));
    let lsarpc = [
        &LSARPC.uuid.to_bytes_le()[..],
        &LSARPC.major.to_le_bytes(),
        &LSARPC.minor.to_le_bytes(),
    ]
    .concat();
    assert!(
        bind.windows(lsarpc.len()).any(|window| window == lsarpc),
        "for lsarpc: {}",
        hex(&bind)
    );
}

/// Samba's client over NDR64: the same answers of remote management as over NDR.
///
/// Not on the mapper's own interface: Samba has the two lengths of a tower the other way round in NDR64.
pub fn python_manages_in_ndr64(session: &Session, python: &Path) {
    let answers = |options: &str| {
        let binding = format!("ncacn_ip_tcp:{}[135{options}]", session.address());
        let finished = programs::run(python, &[&programs::script("mgmt.py"), &binding], "");
        finished.assert_success();
        let answers: Value = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
        answers
    };
    let [mut ndr, ndr64] = [answers(""), answers(",ndr64")];
    assert_eq!(
        ndr["inq_if_ids"],
        json!([["e1af8308-5d1f-11c9-91a4-08002b14a0fa", 3]])
    );
    assert_eq!(
        ndr["transfer_syntax"],
        "8a885d04-1ceb-11c9-9fe8-08002b104860"
    );
    ndr["transfer_syntax"] = json!("71710533-beba-4937-8319-b5dbef9ccc36");
    assert_eq!(ndr64, ndr);
}

/// Sends the first PDU of the first connection.
fn first_pdu(listener: TcpListener) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut pdu = vec![0; 16];
        stream.read_exact(&mut pdu).expect("a header");
        pdu.resize(usize::from(u16::from_le_bytes([pdu[8], pdu[9]])), 0);
        stream.read_exact(&mut pdu[16..]).expect("a whole PDU");
        sender.send(pdu)
    });
    receiver
}

/// Runs tests of rpc.epmapper with an smb.conf over a binding, which must succeed.
pub fn torture(program: &Path, config: &str, binding: &str, tests: &[&str]) -> Finished {
    let names: Vec<String> = tests
        .iter()
        .map(|test| format!("rpc.epmapper.epmapper.{test}"))
        .collect();
    let arguments = ["-s", config, binding, "-U%"]
        .into_iter()
        .chain(names.iter().map(String::as_str));
    let finished = programs::run(program, &arguments.collect::<Vec<_>>(), "");
    for test in tests {
        assert!(
            finished
                .stdout
                .contains(&format!("success: epmapper.{test}\n")),
            "{test}: {finished:#?}"
        );
    }
    finished.assert_success();
    finished
}

/// All five tests of rpc.epmapper, of which two register and delete.
pub fn epmapper_passes(session: &Session, program: &Path, config: &str, binding: &str) {
    let size = session.registry.len();
    let mut tests = vec![
        "Map_simple",
        "Map_full",
        "Lookup_simple",
        "Lookup_terminate_search",
        "Insert_noreplace",
    ];
    // This one wants a page of two entries that is not the last: it fails before Samba's own mapper with fewer, too.
    if size <= 2 {
        tests.retain(|test| *test != "Lookup_terminate_search");
    }
    let finished = torture(program, config, binding, &tests);
    assert!(!finished.text().contains("failed"), "{finished:#?}");
    // It asks for ten at a time, does not look at the last page, and maps what has five floors.
    let mapped = finished.text().matches("epm_Map results for '").count();
    let looked_at = session.entries().into_iter().take((size - 1) / 10 * 10);
    let expected = looked_at
        .filter(|entry| !matches!(entry.place, Place::Local(_)))
        .count();
    assert_eq!(mapped, expected, "{finished:#?}");
}

/// rpc.mgmt: asks for the management of every interface that Samba knows, among them the mapper's.
pub fn mgmt_reaches_the_mapper(session: &Session, program: &Path) {
    let finished = mgmt(session, program, &session.tcp());
    mgmt_reached_the_mapper(session, &finished, "0x00000003");
}

/// rpc.mgmt over a binding.
pub fn mgmt(session: &Session, program: &Path, binding: &str) -> Finished {
    let arguments = ["-s", "/dev/null", binding, &session.user(), "rpc.mgmt"];
    programs::run(program, &arguments, "")
}

/// What rpc.mgmt says of the management of the mapper itself.
pub fn own_part(finished: &Finished) -> String {
    let text = finished.text();
    let mut parts = text.split("Testing pipe '");
    let own = parts.find(|part| part.starts_with("epmapper'"));
    own.unwrap_or_default().to_owned()
}

/// Every call of rpc.mgmt is answered; `version` is what it makes of version 3.0.
pub fn mgmt_reached_the_mapper(session: &Session, finished: &Finished, version: &str) {
    let own = own_part(finished);
    let own_interface = format!("e1af8308-5d1f-11c9-91a4-08002b14a0fa  version {version}");
    for said in [
        "server is listening",
        "server refused to stop listening",
        "calls_in",
        &own_interface,
    ] {
        assert!(own.contains(said), "not {said:?} in {own:?}: {finished:#?}");
    }
    if session.registry.len() == 1 {
        // In the others it finds services mapped to ports where nobody listens.
        assert!(finished.stdout.contains("success: mgmt\n"), "{finished:#?}");
        finished.assert_success();
    }
}
