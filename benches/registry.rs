//! Lookups of all entries and maps of one, in tables of four sizes, in this
//! process alone.
//!
//! `cargo bench --bench registry [-- SIZE]...`: entries a second of a walk in
//! pages of 500 through the table, entries and octets a second of the same walk
//! through the service, stubs included, and time of an `ept_map`. Each figure is
//! the best of some rounds; they compare within one run only.

use epmapper::registry::{
    Entry, HandleLimits, Handles, Inquiry, Owner, Position, Registrant, Table,
};
use epmapper::service::{self, Conversation, Reply};
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{
    self, ContextHandle, InquiryType, LookupRequest, LookupResponse, MapRequest, VersionOption,
};
use epmapper::wire::ndr::Pointer;
use epmapper::wire::tower::TowerBuf;
use epmapper::wire::{ByteOrder, EptStatus, Input, Output, SyntaxId};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Entries of the tables, unless the command line names others.
const SIZES: [usize; 4] = [10, 1_000, 100_000, 1_000_000];

/// Rounds of each measurement.
const ROUNDS: usize = 5;

/// How long a round takes at least.
const ROUND: Duration = Duration::from_millis(100);

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .filter_map(|text| text.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        SIZES.to_vec()
    } else {
        sizes
    };
    println!(
        "{:>9} {:>12} {:>15} {:>15} {:>15} {:>10}",
        "entries", "insert/s", "table entries/s", "stubs entries/s", "stubs octets/s", "map ns"
    );
    for size in sizes {
        let (table, insert) = table_of(size);
        let walk = best(|| walk_table(&table)) / size as f64;
        let octets = walk_service(&table);
        let stubs = best(|| walk_service(&table)) / size as f64;
        let request = map_request(size / 2);
        let map = best(|| map(&table, &request));
        println!(
            "{size:>9} {:>12.0} {:>15.0} {:>15.0} {:>15.0} {:>10.0}",
            1.0 / insert,
            1.0 / walk,
            1.0 / stubs,
            octets as f64 / size as f64 / stubs,
            map * 1e9
        );
    }
}

/// Seconds of one `run`, in the best round.
fn best<T>(mut run: impl FnMut() -> T) -> f64 {
    let round = || {
        let start = Instant::now();
        let mut count = 0;
        while start.elapsed() < ROUND {
            black_box(run());
            count += 1;
        }
        start.elapsed().as_secs_f64() / f64::from(count)
    };
    std::iter::repeat_with(round)
        .take(ROUNDS)
        .fold(f64::INFINITY, f64::min)
}

/// The interface of an entry.
fn interface(number: usize) -> SyntaxId {
    SyntaxId::new(Uuid::from_u128((number as u128) << 96 | 0x5bd1), 1, 0)
}

/// A tower of TCP at that port.
fn tower(interface: SyntaxId, port: usize) -> TowerBuf {
    let binding: Binding = format!("ncacn_ip_tcp:[{port}]").parse().expect("a binding");
    TowerBuf::from_binding(interface, SyntaxId::NDR, &binding).expect("a tower")
}

/// A table of invented entries, and the seconds that each insert took.
fn table_of(size: usize) -> (Table, f64) {
    let entries: Vec<Entry> = (0..size)
        .map(|number| {
            let tower = tower(interface(number), 1024 + number % 60_000);
            let annotation = b"An interface of a server";
            Entry::new(
                Uuid::nil(),
                tower.octets(),
                annotation,
                Owner::Configuration,
            )
            .expect("a good entry")
        })
        .collect();
    let mut table = Table::new(Uuid::from_u128(1), size);
    let start = Instant::now();
    for entry in entries {
        table.insert(entry).expect("there is room");
    }
    (table, start.elapsed().as_secs_f64() / size as f64)
}

/// Sees every entry of the table, in pages as a lookup does.
fn walk_table(table: &Table) -> usize {
    let (mut from, mut seen) = (Position::START, 0);
    loop {
        let before = seen;
        for (position, entry) in table
            .lookup(&Inquiry::All, from)
            .take(ept::MAX_ENTRIES as usize)
        {
            black_box(entry.tower());
            (from, seen) = (position, seen + 1);
        }
        if seen == before {
            return seen;
        }
    }
}

/// Looks every entry up through the service; octets of all stubs.
fn walk_service(table: &Table) -> usize {
    let mut handles = Handles::new(HandleLimits::default());
    let mut request = LookupRequest {
        inquiry_type: InquiryType::ALL_ELTS,
        object: None,
        interface: None,
        vers_option: VersionOption::ALL,
        handle: ContextHandle::NULL,
        max_ents: ept::MAX_ENTRIES,
    };
    let mut octets = 0;
    loop {
        let stub = encoded(|out| request.encode(out));
        let answer = call(table, &mut handles, ept::LOOKUP, &stub);
        octets += answer.len();
        let handle = ContextHandle::decode("entry_handle")(Input::new(&answer, ByteOrder::Little));
        request.handle = handle.expect("a handle").1;
        if request.handle.is_null() {
            let last = LookupResponse::decode(Input::new(&answer, ByteOrder::Little));
            assert_eq!(last.map(|last| last.status), Ok(EptStatus::OK));
            return octets;
        }
    }
}

/// The stub of an `ept_map` for one of the interfaces.
fn map_request(number: usize) -> Vec<u8> {
    let tower = tower(interface(number), 135);
    let request = MapRequest {
        object: None,
        tower: Some(Pointer {
            referent: 2,
            value: tower.octets(),
        }),
        handle: ContextHandle::NULL,
        max_towers: 4,
    };
    encoded(|out| request.encode(out))
}

/// Maps through the service.
fn map(table: &Table, stub: &[u8]) -> usize {
    call(table, &mut Handles::default(), ept::MAP, stub).len()
}

/// The stub that answers a call.
fn call(table: &Table, handles: &mut Handles, opnum: u16, stub: &[u8]) -> Vec<u8> {
    let call = service::Call {
        now: Instant::now(),
        opnum,
        object: None,
        stub: Input::new(stub, ByteOrder::Little),
        dialled: Some(Ipv4Addr::LOCALHOST),
        handles,
        fresh: &|| Uuid::from_u128(7),
        trust: epmapper::service::Trust::Nobody,
        maybe: false,
        session: &Registrant::at(Ipv4Addr::LOCALHOST.into()),
    };
    match service::ept::call(table, Conversation::Windows, call) {
        Reply::Response(stub) => stub,
        fault => panic!("{fault:?}"),
    }
}

/// What `encode` writes.
fn encoded(encode: impl FnOnce(&mut Output)) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(&mut Output::new(&mut octets, ByteOrder::Little));
    octets
}
