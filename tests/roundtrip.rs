//! Every PDU of real traffic decodes to what tshark sees in it, and encodes to
//! the same octets again; so do the stubs of the endpoint mapper in it.

mod support;

use epmapper::wire::ept::{
    self, HandleFreeRequest, HandleFreeResponse, InsertRequest, LookupRequest, LookupResponse,
    MapRequest, MapResponse,
};
use epmapper::wire::mgmt::{
    self, InqIfIdsResponse, InqPrincNameRequest, InqPrincNameResponse, InqStatsRequest,
    InqStatsResponse, IsServerListeningResponse, StopServerListeningResponse,
};
use epmapper::wire::pdu::{Bind, BindAck, Body, ContextAnswer, Pdu};
use epmapper::wire::status::ContextResult;
use epmapper::wire::{ByteOrder, DecodeError, EptStatus, Input, Output, SyntaxId, TransferSyntax};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::capture::{self, CapturedPdu};
use support::stub::{self, Stub};
use support::truth::{self, Row};

/// PDUs that do not decode, and must not: file, frame, why.
const MALFORMED: &[(&str, u32, &str)] = &[(
    "self-raw-protocol.pcap",
    444,
    "a bind of 25 octets that tells of a verifier of 8 + 8",
)];

/// How much was compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Rows that were compared with their PDU.
    compared: usize,
    /// Rows of PDUs that are malformed on purpose.
    malformed: usize,
    /// Rows of connections with a gap.
    left_out: usize,
    /// PDUs of connections in which tshark sees none: it takes them for another
    /// protocol by their port or by a heuristic.
    unseen: usize,
}

#[test]
fn own_captures_decode_to_the_truth_and_encode_to_the_same_octets() {
    let tally = compare_all(&support::own_captures());
    assert_eq!(
        tally,
        Tally {
            compared: 1846,
            malformed: 1,
            left_out: 0,
            unseen: 0,
        }
    );
}

#[test]
fn more_captures_decode_to_the_truth_and_encode_to_the_same_octets() {
    let Some(folder) = support::more_captures() else {
        return;
    };
    let tally = compare_all(&folder);
    eprintln!("{tally:?}");
    assert!(tally.compared > 0);
}

/// Compares every capture of a folder.
fn compare_all(folder: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    for path in support::captures_in(folder) {
        compare(&path, &mut tally, &mut differences);
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    tally
}

/// Compares the PDUs of one capture with the rows of tshark, frame by frame.
fn compare(path: &Path, tally: &mut Tally, differences: &mut Vec<String>) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let rows = truth::tcp_rows(path);
    if rows.is_empty() {
        return;
    }
    let capture = capture::read(path);
    if !capture.gaps.is_empty() {
        eprintln!(
            "{name}: {} connections with a gap are left out",
            capture.gaps.len()
        );
    }
    let mut frames = BTreeMap::<u32, (Vec<CapturedPdu>, Vec<Row>)>::new();
    let mut seen = BTreeSet::new();
    for row in rows {
        let frame = truth::number(&row, "frame");
        let connection = capture.connections[&frame];
        seen.insert(connection);
        match capture.gaps.contains(&connection) {
            true => tally.left_out += 1,
            false => frames.entry(frame).or_default().1.push(row),
        }
    }
    for pdu in capture.pdus {
        match seen.contains(&pdu.connection) {
            true => frames.entry(pdu.frame).or_default().0.push(pdu),
            false => tally.unseen += 1,
        }
    }
    for (frame, (pdus, rows)) in frames {
        if pdus.len() != rows.len() {
            let [ours, theirs] = [pdus.len(), rows.len()];
            differences.push(format!(
                "{name} {frame}: {ours} PDUs where tshark has {theirs}"
            ));
        }
        for (pdu, row) in pdus.iter().zip(&rows) {
            let malformed = MALFORMED.iter().any(|m| (m.0, m.1) == (name, frame));
            match (compare_pdu(&pdu.octets, row), malformed) {
                (Ok(()), false) => tally.compared += 1,
                (Err(_), true) => tally.malformed += 1,
                (Err(why), false) => differences.push(format!("{name} {frame}: {why}")),
                (Ok(()), true) => differences.push(format!("{name} {frame} is not malformed")),
            }
        }
    }
}

/// Compares one PDU with its row, and with itself encoded again.
fn compare_pdu(octets: &[u8], row: &Row) -> Result<(), String> {
    let pdu = Pdu::decode(octets).map_err(|error| error.to_string())?;
    for (column, seen) in columns(&pdu) {
        let stated = stated(row, column);
        if stated != seen {
            return Err(format!("{column} is {seen}, to tshark {stated}"));
        }
    }
    let mut again = Vec::new();
    pdu.encode(&mut again);
    match again == octets {
        true => Ok(()),
        false => Err(format!("encoded anew:\n{again:02x?}\nwas\n{octets:02x?}")),
    }
}

/// What a row says in a column, or under a name in its column `detail`.
fn stated<'r>(row: &'r Row, column: &str) -> &'r str {
    match column.strip_prefix("detail.") {
        None => &row[column],
        Some(name) => {
            let mut details = row["detail"].split(';').filter_map(|d| d.split_once('='));
            details
                .find_map(|(key, value)| (key == name).then_some(value))
                .unwrap_or("")
        }
    }
}

/// What a row says of this PDU, column by column.
fn columns(pdu: &Pdu) -> Vec<(&'static str, String)> {
    let header = &pdu.header;
    let order = header.drep.order();
    let auth = pdu.auth.as_ref();
    let mut columns = vec![
        (
            "ver",
            format!("{}.{}", header.version_major, header.version_minor),
        ),
        ("ptype", header.ptype.to_string()),
        ("flags", format!("{:02x}", header.flags.0)),
        (
            "byteorder",
            if order == ByteOrder::Little {
                "le"
            } else {
                "be"
            }
            .to_owned(),
        ),
        ("frag_len", header.frag_length.to_string()),
        ("auth_len", header.auth_length.to_string()),
        ("call_id", header.call_id.to_string()),
        (
            "auth_type",
            auth.map_or(String::new(), |auth| auth.auth_type.0.to_string()),
        ),
        (
            "auth_level",
            auth.map_or(String::new(), |auth| auth.auth_level.0.to_string()),
        ),
    ];
    if let Some(auth) = auth {
        columns.push(("detail.auth_pad", auth.pad_length.to_string()));
        columns.push(("detail.auth_ctx", auth.context_id.to_string()));
    }
    columns.extend(match &pdu.body {
        Body::Request(request) => vec![
            (
                "detail.object",
                request
                    .object
                    .map_or(String::new(), |uuid| uuid.to_string()),
            ),
            ("alloc_hint", request.alloc_hint.to_string()),
            ("ctx_ids", request.context_id.to_string()),
            ("opnum", request.opnum.to_string()),
        ],
        Body::Response(response) => vec![
            ("detail.cancel_count", response.cancel_count.to_string()),
            ("alloc_hint", response.alloc_hint.to_string()),
            ("ctx_ids", response.context_id.to_string()),
        ],
        Body::Fault(fault) => vec![
            ("detail.cancel_count", fault.cancel_count.to_string()),
            ("alloc_hint", fault.alloc_hint.to_string()),
            ("ctx_ids", fault.context_id.to_string()),
            ("status", format!("{:#010x}", fault.status.0)),
        ],
        Body::Bind(bind) | Body::AlterContext(bind) => asked(bind, order),
        Body::BindAck(ack) | Body::AlterContextResp(ack) => answered(ack),
        Body::BindNak(nak) => vec![("ack_results", format!("nak:{}", nak.reason.0))],
        _ => vec![],
    });
    columns
}

/// The columns about a bind.
fn asked(bind: &Bind, order: ByteOrder) -> Vec<(&'static str, String)> {
    let contexts = || bind.contexts.iter();
    let syntaxes = contexts().flat_map(|context| context.transfer_syntaxes.iter());
    vec![
        ("detail.max_xmit", bind.max_xmit_frag.to_string()),
        ("detail.max_recv", bind.max_recv_frag.to_string()),
        ("detail.assoc", bind.assoc_group_id.to_string()),
        (
            "ctx_ids",
            listed(contexts().map(|context| context.id.to_string())),
        ),
        (
            "if_uuids",
            listed(contexts().map(|context| interface(context.abstract_syntax, order))),
        ),
        (
            "transfer",
            listed(syntaxes.map(|syntax| syntax.uuid.to_string())),
        ),
    ]
}

/// An interface as the column has it: the minor version stands first where it
/// does on the wire.
fn interface(syntax: SyntaxId, order: ByteOrder) -> String {
    match order {
        ByteOrder::Little => syntax.to_string(),
        ByteOrder::Big => format!("{}.{}:{}", syntax.uuid, syntax.minor, syntax.major),
    }
}

/// The columns about a bind_ack.
fn answered(ack: &BindAck) -> Vec<(&'static str, String)> {
    let result = |answer: ContextAnswer| match answer.result {
        ContextResult::ACCEPTANCE | ContextResult::NEGOTIATE_ACK => answer.result.0.to_string(),
        _ => format!("{}/{}", answer.result.0, answer.reason.0),
    };
    let syntaxes = ack
        .results
        .iter()
        .map(|answer| answer.transfer_syntax.uuid.to_string());
    let address = ack.secondary_address.strip_suffix(b"\0");
    let address = String::from_utf8_lossy(address.unwrap_or(ack.secondary_address));
    vec![
        ("detail.max_xmit", ack.max_xmit_frag.to_string()),
        ("detail.max_recv", ack.max_recv_frag.to_string()),
        ("detail.assoc", ack.assoc_group_id.to_string()),
        ("detail.sec_addr", address.into_owned()),
        ("ack_results", listed(ack.results.iter().map(result))),
        ("transfer", listed(syntaxes)),
    ]
}

/// Values as one column holds them.
fn listed(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(",")
}

/// How many stubs were compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct StubTally {
    /// Stubs of the endpoint mapper, with their rows.
    ept: usize,
    /// Stubs of remote management; tshark tells nothing of them.
    mgmt: usize,
    /// Towers in them, entries included.
    towers: usize,
    /// Stubs with octets behind their arguments.
    longer: usize,
    /// Stubs aligned with octets that are not zero.
    filled: usize,
    /// Stubs of them in NDR64.
    ndr64: usize,
}

#[test]
fn own_stubs_encode_to_the_same_octets() {
    let tally = compare_all_stubs(&support::own_captures());
    let wanted = StubTally {
        ept: 654,
        mgmt: 120,
        towers: 642,
        longer: 11,
        ..StubTally::default()
    };
    assert_eq!(tally, wanted);
}

#[test]
fn more_stubs_encode_to_the_same_octets() {
    if let Some(folder) = support::more_captures() {
        let tally = compare_all_stubs(&folder);
        eprintln!("{tally:?}");
        assert!(tally.ept > 0);
        // Nobody but Windows was seen to speak it.
        let has_windows = support::captures_in(&folder)
            .iter()
            .any(|path| is_of_windows(path));
        assert_eq!(tally.ndr64, if has_windows { 50 } else { 0 });
    }
}

/// Whether a capture is one of real Windows, by its name.
fn is_of_windows(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.starts_with("win-")
}

/// Compares the stubs of every capture of a folder.
fn compare_all_stubs(folder: &Path) -> StubTally {
    let mut tally = StubTally::default();
    let mut differences = Vec::new();
    for path in support::captures_in(folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let rows = truth::tcp_rows(&path);
        if rows.is_empty() {
            continue;
        }
        for stub in stub::stubs(&capture::read(&path)) {
            if let Err(why) = compare_stub(&stub, &rows, &mut tally) {
                let [frame, opnum] = [stub.frame, stub.operation.opnum.into()];
                differences.push(format!("{name} {frame}: operation {opnum}: {why}"));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    tally
}

/// Compares one stub with itself encoded again, and with its row.
fn compare_stub(stub: &Stub, rows: &[Row], tally: &mut StubTally) -> Result<(), String> {
    let interface = stub.operation.interface;
    if ![SyntaxId::EPT, SyntaxId::MGMT].contains(&interface) {
        return Ok(());
    }
    let syntax = stub.operation.transfer_syntax;
    let input = Input::stub(&stub.octets, stub.order, syntax);
    let again = match interface == SyntaxId::EPT {
        true => ept_again(stub, input),
        false => mgmt_again(stub, input),
    };
    let Some(again) = again.map_err(|error| error.to_string())? else {
        return Ok(());
    };
    tally.ndr64 += usize::from(syntax == TransferSyntax::Ndr64);
    match filler(&again.octets, &stub.octets) {
        Some(0) => (),
        Some(_) => tally.filled += 1,
        None => {
            let [ours, theirs] = [&again.octets, &stub.octets];
            return Err(format!("encoded anew:\n{ours:02x?}\nwas\n{theirs:02x?}"));
        }
    }
    tally.longer += usize::from(again.octets.len() < stub.octets.len());
    tally.towers += again.towers;
    if interface == SyntaxId::MGMT {
        tally.mgmt += 1;
        return Ok(());
    }
    tally.ept += 1;
    again.agrees(row_of(stub, rows))
}

/// How many octets at the head of `octets` differ from `again` because a sender
/// filled up to an alignment of 4 with something else than zeros, as impacket
/// does; `None` when one differs for another reason.
fn filler(again: &[u8], octets: &[u8]) -> Option<usize> {
    let head = octets.get(..again.len())?;
    let differ = (0..head.len()).filter(|at| again[*at] != head[*at]);
    let mut is_filler = differ.clone().map(|at| {
        let end = (at + 1).next_multiple_of(4).min(again.len());
        again[at..end].iter().all(|octet| *octet == 0)
    });
    is_filler.all(|is_filler| is_filler).then(|| differ.count())
}

/// The row of the PDU that completed a stub.
fn row_of<'r>(stub: &Stub, rows: &'r [Row]) -> &'r Row {
    let ptype = if stub.is_request {
        "request"
    } else {
        "response"
    };
    let is_of = |row: &&Row| {
        truth::number(row, "frame") == stub.frame
            && truth::number(row, "call_id") == stub.call_id
            && row["ptype"] == ptype
    };
    // The last of them, for several fragments may end in one frame.
    rows.iter().rfind(is_of).unwrap()
}

/// A stub after decoding and encoding, and what it says.
struct Again {
    octets: Vec<u8>,
    towers: usize,
    status: Option<EptStatus>,
}

impl Again {
    /// Whether the row tells the same.
    fn agrees(&self, row: &Row) -> Result<(), String> {
        let towers: usize = row["epm"].split(';').map(towers_in).sum();
        if self.towers != towers {
            return Err(format!("{} towers, to tshark {towers}", self.towers));
        }
        let mut arguments = row["epm"].split(';');
        let stated = arguments.find_map(|argument| argument.strip_prefix("rc="));
        match (self.status, stated) {
            (Some(status), Some(stated)) if format!("{:#010x}", status.0) != stated => {
                Err(format!("status {status}, to tshark {stated}"))
            }
            _ => Ok(()),
        }
    }
}

/// How many towers one argument in a row has.
fn towers_in(argument: &str) -> usize {
    match argument.split_once('=') {
        Some(("tower", "null")) => 0,
        Some(("tower", towers)) => towers.split(" + ").count(),
        Some(("entry", _)) => 1,
        _ => 0,
    }
}

/// Decodes a `$type` from `$input` and encodes it again; `$told` is how many
/// towers and what status `$value` has.
macro_rules! again {
    ($type:ident, $input:ident) => {
        again!($type, $input, _value => (0, None))
    };
    ($type:ident, $input:ident, $value:ident => $told:expr) => {{
        let $value = $type::decode($input)?;
        let mut octets = Vec::new();
        $value.encode(&mut Output::stub(&mut octets, $input.order(), $input.syntax()));
        let (towers, status) = $told;
        Again { octets, towers, status }
    }};
}

/// A stub of the endpoint mapper again; `None` for an operation without one.
fn ept_again(stub: &Stub, i: Input) -> Result<Option<Again>, DecodeError> {
    Ok(Some(match (stub.operation.opnum, stub.is_request) {
        (ept::INSERT, true) => again!(InsertRequest, i, value => (value.entries.len(), None)),
        (ept::LOOKUP, true) => again!(LookupRequest, i),
        (ept::LOOKUP, false) => {
            again!(LookupResponse, i, value => (value.entries.len(), Some(value.status)))
        }
        (ept::MAP, true) => again!(MapRequest, i, value => (value.tower.iter().count(), None)),
        (ept::MAP, false) => {
            again!(MapResponse, i, value => (value.towers.iter().flatten().count(), Some(value.status)))
        }
        (ept::LOOKUP_HANDLE_FREE, true) => again!(HandleFreeRequest, i),
        (ept::LOOKUP_HANDLE_FREE, false) => {
            again!(HandleFreeResponse, i, value => (0, Some(value.status)))
        }
        _ => return Ok(None),
    }))
}

/// A stub of remote management again; `None` for an operation without one.
fn mgmt_again(stub: &Stub, i: Input) -> Result<Option<Again>, DecodeError> {
    Ok(Some(match (stub.operation.opnum, stub.is_request) {
        (mgmt::INQ_IF_IDS, false) => again!(InqIfIdsResponse, i),
        (mgmt::INQ_STATS, true) => again!(InqStatsRequest, i),
        (mgmt::INQ_STATS, false) => again!(InqStatsResponse, i),
        (mgmt::IS_SERVER_LISTENING, false) => again!(IsServerListeningResponse, i),
        (mgmt::STOP_SERVER_LISTENING, false) => again!(StopServerListeningResponse, i),
        (mgmt::INQ_PRINC_NAME, true) => again!(InqPrincNameRequest, i),
        (mgmt::INQ_PRINC_NAME, false) => again!(InqPrincNameResponse, i),
        _ => return Ok(None),
    }))
}
