//! Stubs of ept, mgmt and control, and what the services make of them.

use super::Choices;
use super::registry::{OBJECTS, some_entry};
use crate::registry::{
    HandleLimits, Handles, Inquiry, Operation, Position, Registrant, Table, Walk,
};
use crate::service::Trust;
use crate::service::{self, Conversation, Reply};
use crate::wire::control::{
    CountersRequest, CountersResponse, EntriesRequest, EntriesResponse, LeaseRequest,
    RegisterRequest, RegisterResponse, RenewResponse,
};
use crate::wire::ept::{
    self, DeleteRequest, HandleFreeRequest, HandleFreeResponse, InqObjectResponse, InsertRequest,
    LookupRequest, LookupResponse, MapAuthRequest, MapRequest, MapResponse, MgmtDeleteRequest,
    StatusResponse,
};
use crate::wire::mgmt::{
    self, InqIfIdsResponse, InqPrincNameRequest, InqPrincNameResponse, InqStatsRequest,
    InqStatsResponse, IsServerListeningResponse, StopServerListeningResponse,
};
use crate::wire::{ByteOrder, Input, Output, SyntaxId, TransferSyntax};
use std::cell::OnceCell;
use std::net::Ipv4Addr;
use std::time::Instant;
use uuid::Uuid;

/// Target `ept_stub`: every request and response of ept, mgmt and control, and
/// what the services make of it, in NDR 2.0 of both byte orders and in NDR64.
pub fn ept_stub(octets: &[u8]) {
    for (order, syntax) in [
        (ByteOrder::Little, TransferSyntax::Ndr),
        (ByteOrder::Big, TransferSyntax::Ndr),
        (ByteOrder::Little, TransferSyntax::Ndr64),
    ] {
        let stub = Input::stub(octets, order, syntax);
        check_stubs(stub);
        for conversation in [
            Conversation::Windows,
            Conversation::Samba,
            Conversation::Dce,
        ] {
            check_services(conversation, stub);
        }
    }
}

/// What decodes encodes to what decodes alike, and encoding is settled then.
macro_rules! check_stub {
    ($stub:expr, $($type:ty),*) => {$(
        if let Ok(value) = <$type>::decode($stub) {
            let octets = encoded_as($stub, |out| value.encode(out));
            let again = Input::stub(&octets, $stub.order(), $stub.syntax());
            assert_eq!(<$type>::decode(again).as_ref(), Ok(&value));
            assert_eq!(encoded_as($stub, |out| value.encode(out)), octets);
        }
    )*};
}

/// Octets that `encode` writes in the form of `stub`.
fn encoded_as(stub: Input, encode: impl FnOnce(&mut Output)) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(&mut Output::stub(&mut octets, stub.order(), stub.syntax()));
    octets
}

/// The laws of every stub.
fn check_stubs(stub: Input) {
    check_stub!(
        stub,
        InsertRequest,
        DeleteRequest,
        StatusResponse,
        LookupRequest,
        LookupResponse,
        MapRequest,
        MapResponse,
        HandleFreeRequest,
        HandleFreeResponse,
        InqObjectResponse,
        MgmtDeleteRequest,
        MapAuthRequest,
        InqIfIdsResponse,
        InqStatsRequest,
        InqStatsResponse,
        IsServerListeningResponse,
        StopServerListeningResponse,
        InqPrincNameRequest,
        InqPrincNameResponse,
        RegisterRequest,
        RegisterResponse,
        LeaseRequest,
        RenewResponse,
        EntriesRequest,
        EntriesResponse,
        CountersRequest,
        CountersResponse
    );
    if let Ok(response) = LookupResponse::decode(stub) {
        assert!(response.entries.len() <= ept::MAX_ENTRIES as usize);
    }
}

/// Handles that one group may have here.
const OPEN_HANDLES: usize = 2;

/// Every operation of both services answers with a stub that is its own.
fn check_services(conversation: Conversation, stub: Input) {
    let now = Instant::now();
    let mut handles = Handles::new(HandleLimits {
        open: OPEN_HANDLES,
        ..HandleLimits::default()
    });
    open_asked_handles(&mut handles, now, stub);
    let caller = Registrant::at(Ipv4Addr::LOCALHOST.into());
    for opnum in 0..10 {
        let call = service_call(&mut handles, &caller, now, opnum, stub);
        let reply = TABLE.with(|table| {
            let table = table.get_or_init(sample_table);
            service::ept::call(table, conversation, call)
        });
        check_ept_reply(opnum, stub, &reply);
        assert!(handles.len() <= OPEN_HANDLES);
    }
    let view = mgmt_view();
    for opnum in 0..6 {
        let call = service_call(&mut handles, &caller, now, opnum, stub);
        let reply = service::mgmt::call(&view, conversation, call);
        check_mgmt_reply(opnum, stub, &reply);
    }
}

thread_local! {
    /// The table that the services answer from.
    static TABLE: OnceCell<Table> = const { OnceCell::new() };
}

/// A table with some of everything that `some_entry` makes.
fn sample_table() -> Table {
    let mut table = Table::new(OBJECTS[1], 100);
    for choice in 0..48u16 {
        let entry = some_entry(&mut Choices(&(choice * 977).to_le_bytes()));
        table.insert(entry).expect("there is room");
    }
    table
}

/// What mgmt tells.
fn mgmt_view() -> service::mgmt::View<'static> {
    service::mgmt::View {
        interfaces: &[SyntaxId::EPT],
        statistics: [1, 2, 3, 4],
    }
}

/// A call of a service.
fn service_call<'a>(
    handles: &'a mut Handles,
    session: &'a Registrant,
    now: Instant,
    opnum: u16,
    stub: Input<'a>,
) -> service::Call<'a> {
    service::Call {
        now,
        opnum,
        object: None,
        stub,
        dialled: Some(Ipv4Addr::LOCALHOST),
        handles,
        fresh: &|| Uuid::from_u128(1),
        trust: Trust::Nobody,
        maybe: false,
        session,
    }
}

/// Makes the handle that a request names one of ours, so that its walk goes on.
fn open_asked_handles(handles: &mut Handles, now: Instant, stub: Input) {
    let lookup = LookupRequest::decode(stub).map(|asked| (Operation::Lookup, asked.handle));
    let map = MapRequest::decode(stub).map(|asked| (Operation::Map, asked.handle));
    for (operation, handle) in [lookup, map].into_iter().flatten() {
        let position = TABLE.with(|table| {
            let mut walk = table
                .get_or_init(sample_table)
                .lookup(&Inquiry::All, Position::START);
            let passed = usize::from(handle.uuid.as_bytes()[0] % 64);
            walk.nth(passed)
                .map_or(Position::START, |(position, _)| position)
        });
        handles.keep(
            now,
            handle.uuid,
            Walk {
                operation,
                position,
            },
        );
    }
}

/// The stub decodes as the response of its operation, in the form of the
/// request, and nothing is left.
macro_rules! check_response {
    ($octets:expr, $asked:expr, $type:ty) => {{
        let stub = Input::stub($octets, $asked.order(), $asked.syntax());
        let value = <$type>::decode(stub).expect("a response of ours");
        assert_eq!(&encoded_as($asked, |out| value.encode(out)), $octets);
    }};
}

/// The laws of a reply of ept.
fn check_ept_reply(opnum: u16, asked: Input, reply: &Reply) {
    let Reply::Response(octets) = reply else {
        return;
    };
    match opnum {
        ept::LOOKUP => check_response!(octets, asked, LookupResponse),
        ept::MAP => check_response!(octets, asked, MapResponse),
        ept::LOOKUP_HANDLE_FREE => check_response!(octets, asked, HandleFreeResponse),
        ept::INQ_OBJECT => check_response!(octets, asked, InqObjectResponse),
        _ => check_response!(octets, asked, StatusResponse),
    }
}

/// The laws of a reply of mgmt.
fn check_mgmt_reply(opnum: u16, asked: Input, reply: &Reply) {
    let Reply::Response(octets) = reply else {
        return;
    };
    match opnum {
        mgmt::INQ_IF_IDS => check_response!(octets, asked, InqIfIdsResponse),
        mgmt::INQ_STATS => check_response!(octets, asked, InqStatsResponse),
        mgmt::IS_SERVER_LISTENING => check_response!(octets, asked, IsServerListeningResponse),
        mgmt::STOP_SERVER_LISTENING => check_response!(octets, asked, StopServerListeningResponse),
        _ => check_response!(octets, asked, InqPrincNameResponse),
    }
}
