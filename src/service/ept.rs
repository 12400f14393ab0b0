//! The endpoint mapper interface over the registry.
//!
//! Lookup, map, handle_free and inq_object are for everyone; what changes the
//! map is refused here, and done by `registration`. How answers look where mappers differ is told by
//! the conversation, and by nothing else.
//!
//! # Source
//! C706 appendix O; MS-RPCE 2.2.1.2.

use super::conversation::Conversation;
use super::interface::{Call, Refusal, Reply};
use super::registration;
use super::walk::{Page, Turn, id_of};
use crate::registry::{Inquiry, MapQuery, Operation, Position, Table, Versions};
use crate::wire::ept::{
    self, ContextHandle, HandleFreeRequest, HandleFreeResponse, InqObjectResponse, LookupRequest,
    LookupResponse, MapRequest, MapResponse,
};
use crate::wire::ndr::{Pointer, Referents};
use crate::wire::tower::Tower;
use crate::wire::{EptStatus, SyntaxId};
use std::borrow::Cow;
use uuid::Uuid;

/// Answers one call.
pub fn call(table: &Table, conversation: Conversation, call: Call<'_>) -> Reply {
    match call.opnum {
        ept::LOOKUP => lookup(table, conversation, call),
        ept::MAP => map(table, conversation, call),
        ept::LOOKUP_HANDLE_FREE => free_handle(conversation, call),
        ept::INQ_OBJECT => inquire_object(table, conversation, &call),
        opnum if registration::is_change(opnum) => registration::refuse(conversation, &call),
        _ => Reply::NO_SUCH_OPERATION,
    }
}

/// Answers `ept_lookup`.
fn lookup(table: &Table, conversation: Conversation, call: Call) -> Reply {
    let Ok(request) = LookupRequest::decode(call.stub) else {
        return Reply::BAD_STUB;
    };
    let (asked, max_ents) = (call.stub, request.max_ents);
    let (operation, handle) = (Operation::Lookup, request.handle);
    let mut turn = Turn {
        conversation,
        call,
        operation,
        handle,
        max: max_ents,
    };
    let page = lookup_page(table, &mut turn, &request);
    turn.settle(page, |page| {
        let Page {
            handle,
            found: entries,
            status,
        } = page;
        let response = LookupResponse {
            handle,
            max_ents,
            entries,
            status,
        };
        Reply::response(asked, |out| response.encode(out))
    })
}

/// Finds the page of entries that `request` asks for.
fn lookup_page<'t>(
    table: &'t Table,
    turn: &mut Turn,
    request: &LookupRequest,
) -> Result<Page<ept::Entry<'t>>, Refusal> {
    let from = turn.begin(table)?;
    let inquiry = inquiry(table, turn.conversation, request, from)?;
    let dialled = turn.call.dialled;
    let mut referents = Referents::after(request.highest_referent());
    Ok(turn.page(table.lookup(&inquiry, from), |entry| {
        let (tower, annotation) = (entry.tower_for(dialled), entry.annotation());
        ept::Entry::new(&mut referents, entry.object(), tower, annotation)
    }))
}

/// What `request` inquires; a NULL pointer stands for the nil UUID, version 0.0.
///
/// A version option that means nothing is told only to those who would have
/// found something with another one, and who asked by versions at all.
///
/// # Source
/// The DCE reference.
fn inquiry(
    table: &Table,
    conversation: Conversation,
    request: &LookupRequest,
    from: Position,
) -> Result<Inquiry, EptStatus> {
    const NIL: SyntaxId = SyntaxId::new(Uuid::nil(), 0, 0);
    let object = request.object.map_or(Uuid::nil(), |pointer| pointer.value);
    let interface = request.interface.map_or(NIL, |pointer| pointer.value);
    let versions = conversation.versions(request.vers_option);
    let assumed = versions.unwrap_or(Versions::All);
    let inquiry = Inquiry::new(request.inquiry_type, object, interface, assumed)
        .ok_or(conversation.unknown_inquiry_type())?;
    if versions.is_some() || !inquiry.minds_versions() {
        Ok(inquiry)
    } else if table.lookup(&inquiry, from).next().is_some() {
        Err(EptStatus::INVALID_VERS_OPTION)
    } else {
        Err(EptStatus::NOT_REGISTERED)
    }
}

/// Answers `ept_map`.
fn map(table: &Table, conversation: Conversation, call: Call) -> Reply {
    let Ok(request) = MapRequest::decode(call.stub) else {
        return Reply::BAD_STUB;
    };
    let (asked, max_towers) = (call.stub, request.max_towers);
    let (operation, handle) = (Operation::Map, request.handle);
    let mut turn = Turn {
        conversation,
        call,
        operation,
        handle,
        max: max_towers,
    };
    let page = map_page(table, &mut turn, &request);
    turn.settle(page, |page| {
        let Page {
            handle,
            found: towers,
            status,
        } = page;
        let response = MapResponse {
            handle,
            max_towers,
            towers,
            status,
        };
        Reply::response(asked, |out| response.encode(out))
    })
}

/// A tower in the answer of `ept_map`.
type Found<'t> = Option<Pointer<Cow<'t, [u8]>>>;

/// Finds the page of towers that `request` asks for.
fn map_page<'t>(
    table: &'t Table,
    turn: &mut Turn,
    request: &MapRequest,
) -> Result<Page<Found<'t>>, Refusal> {
    let from = turn.begin(table)?;
    let query = map_query(turn.conversation, request)?;
    let dialled = turn.call.dialled;
    let mut referents = Referents::after(request.highest_referent());
    let towers = table.map(&query, from);
    Ok(turn.page(towers, |entry| {
        Some(referents.point(entry.tower_for(dialled)))
    }))
}

/// What the tower of `request` asks for; octets behind its floors do not count.
fn map_query(conversation: Conversation, request: &MapRequest) -> Result<MapQuery, EptStatus> {
    let object = request.object.map_or(Uuid::nil(), |pointer| pointer.value);
    let octets = request.tower.map_or(&[][..], |pointer| pointer.value);
    let tower = Tower::decode(octets).map_err(|_| conversation.undecodable_tower())?;
    let parts = tower
        .parts()
        .map_err(|_| conversation.undecodable_tower())?;
    if parts.interface.uuid.is_nil() || parts.transfer_syntax.uuid.is_nil() {
        return Err(conversation.nil_tower());
    }
    if parts.protseq.is_none() {
        conversation.unknown_protocol_sequence()?;
    }
    let mut query = MapQuery::new(object, &parts);
    if query.is_management() {
        query.nil_objects = conversation.management_finds_nil_objects(object)?;
    }
    Ok(query)
}

/// Answers `ept_lookup_handle_free`: NULL is free already.
fn free_handle(conversation: Conversation, call: Call) -> Reply {
    let Ok(request) = HandleFreeRequest::decode(call.stub) else {
        return Reply::BAD_STUB;
    };
    let answer = |status| {
        let response = HandleFreeResponse {
            handle: ContextHandle::NULL,
            status,
        };
        Reply::response(call.stub, |out| response.encode(out))
    };
    let is_open = id_of(request.handle).is_some_and(|id| call.handles.close(call.now, id));
    if is_open || request.handle.is_null() {
        answer(EptStatus::OK)
    } else {
        conversation.bad_handle().reply(answer)
    }
}

/// Answers `ept_inq_object`: the object UUID of the table itself.
fn inquire_object(table: &Table, conversation: Conversation, call: &Call) -> Reply {
    let (object, status) = match conversation.object_of_call(call.object, table.object()) {
        Ok(()) => (table.object(), EptStatus::OK),
        Err(status) => (Uuid::nil(), status),
    };
    let response = InqObjectResponse { object, status };
    Reply::response(call.stub, |out| response.encode(out))
}

#[cfg(test)]
mod tests {
    use super::Conversation::{Dce, Samba, Windows};
    use super::*;
    use crate::registry::Entry;
    use crate::registry::samples::{ECHO, OBJECT, OTHER, SAMR, entry, tcp, tcp_tower, tower};
    use crate::registry::{HandleLimits, Handles, Registrant};
    use crate::service::Trust;
    use crate::wire::ept::{InquiryType, VersionOption};
    use crate::wire::{ByteOrder, FaultStatus, Input, Output, TransferSyntax};
    use std::cell::Cell;
    use std::fmt::Debug;
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};
    use uuid::uuid;

    /// The table's own object.
    const OWN: Uuid = uuid!("0d0d0d0d-0000-0000-0000-000000000001");
    /// All conversations.
    const ALL: [Conversation; 3] = [Windows, Samba, Dce];
    /// All transfer syntaxes.
    const SYNTAXES: [TransferSyntax; 2] = [TransferSyntax::Ndr, TransferSyntax::Ndr64];
    /// No handle.
    const NULL: ContextHandle = ContextHandle::NULL;

    /// A mapper and one association group that calls it, in every transfer
    /// syntax.
    struct Peer {
        table: Table,
        conversation: Conversation,
        handles: Handles,
        now: Instant,
        made: Cell<u128>,
        object: Option<Uuid>,
        dialled: Option<Ipv4Addr>,
        order: ByteOrder,
        syntax: TransferSyntax,
    }

    /// A page of towers, as a client sees it.
    #[derive(Debug, PartialEq, Eq)]
    struct Seen {
        handle: ContextHandle,
        max: u32,
        towers: Vec<Vec<u8>>,
        referents: Vec<u64>,
        status: EptStatus,
    }

    impl Peer {
        fn new(conversation: Conversation, entries: &[Entry]) -> Peer {
            let mut table = Table::new(OWN, 1000);
            for entry in entries {
                table.insert(entry.clone()).unwrap();
            }
            Peer {
                table,
                conversation,
                handles: Handles::new(HandleLimits {
                    open: 2,
                    idle: Duration::from_secs(600),
                }),
                now: Instant::now(),
                made: Cell::new(0),
                object: None,
                dialled: None,
                order: ByteOrder::Little,
                syntax: TransferSyntax::Ndr,
            }
        }

        /// A mapper of so many TCP ports of `ECHO`, from 1 on.
        fn of_ports(conversation: Conversation, count: u16) -> Peer {
            let entries: Vec<_> = (1..=count).map(|port| tcp(ECHO, port)).collect();
            Peer::new(conversation, &entries)
        }

        fn call(&mut self, opnum: u16, stub: &[u8]) -> Reply {
            let fresh = || {
                self.made.set(self.made.get() + 1);
                Uuid::from_u128(self.made.get())
            };
            let call = Call {
                now: self.now,
                opnum,
                object: self.object,
                stub: self.stub(stub),
                dialled: self.dialled,
                handles: &mut self.handles,
                fresh: &fresh,
                trust: Trust::Nobody,
                maybe: false,
                session: &Registrant::at(Ipv4Addr::LOCALHOST.into()),
            };
            super::call(&self.table, self.conversation, call)
        }

        /// Calls with what `encode` writes.
        fn ask(&mut self, opnum: u16, encode: impl FnOnce(&mut Output)) -> Reply {
            let mut stub = Vec::new();
            encode(&mut Output::stub(&mut stub, self.order, self.syntax));
            self.call(opnum, &stub)
        }

        /// A stub in the peer's form.
        fn stub<'o>(&self, octets: &'o [u8]) -> Input<'o> {
            Input::stub(octets, self.order, self.syntax)
        }

        /// Makes a call in NDR64 and again in the peer's own form; what comes of
        /// it is the same.
        fn in_both<T: PartialEq + Debug>(&mut self, call: impl Fn(&mut Peer) -> T) -> T {
            let before = (self.handles.clone(), self.made.get());
            let form = (self.order, self.syntax);
            (self.order, self.syntax) = (ByteOrder::Little, TransferSyntax::Ndr64);
            let in_ndr64 = call(self);
            (self.order, self.syntax) = form;
            self.handles = before.0;
            self.made.set(before.1);
            let own = call(self);
            assert_eq!(in_ndr64, own);
            own
        }

        fn lookup(&mut self, request: &LookupRequest) -> Seen {
            self.in_both(|peer| peer.lookup_once(request))
        }

        fn map(&mut self, request: &MapRequest) -> Seen {
            self.in_both(|peer| peer.map_once(request))
        }

        /// The stub of this reply is the same octets in every form.
        fn free(&mut self, handle: ContextHandle) -> Reply {
            self.in_both(|peer| {
                peer.ask(ept::LOOKUP_HANDLE_FREE, |out| {
                    HandleFreeRequest { handle }.encode(out)
                })
            })
        }

        fn lookup_once(&mut self, request: &LookupRequest) -> Seen {
            let stub = stub_of(self.ask(ept::LOOKUP, |out| request.encode(out)));
            let response = LookupResponse::decode(self.stub(&stub)).unwrap();
            let LookupResponse {
                handle,
                max_ents: max,
                entries,
                status,
            } = response;
            let towers: Vec<_> = entries
                .into_iter()
                .map(|entry| entry.tower.unwrap())
                .collect();
            let referents = towers.iter().map(|tower| tower.referent).collect();
            let towers = towers
                .into_iter()
                .map(|tower| tower.value.into_owned())
                .collect();
            Seen {
                handle,
                max,
                towers,
                referents,
                status,
            }
        }

        fn map_once(&mut self, request: &MapRequest) -> Seen {
            let stub = stub_of(self.ask(ept::MAP, |out| request.encode(out)));
            let response = MapResponse::decode(self.stub(&stub)).unwrap();
            let MapResponse {
                handle,
                max_towers: max,
                towers,
                status,
            } = response;
            let towers: Vec<_> = towers.into_iter().flatten().collect();
            let referents = towers.iter().map(|tower| tower.referent).collect();
            let towers = towers
                .into_iter()
                .map(|tower| tower.value.into_owned())
                .collect();
            Seen {
                handle,
                max,
                towers,
                referents,
                status,
            }
        }
    }

    /// The stub of a response.
    fn stub_of(reply: Reply) -> Vec<u8> {
        match reply {
            Reply::Response(stub) => stub,
            Reply::Fault { status, .. } => panic!("fault {status}"),
        }
    }

    /// A fault.
    fn fault(status: FaultStatus, did_not_execute: bool) -> Reply {
        Reply::Fault {
            status,
            did_not_execute,
        }
    }

    /// The response that is a status alone, little-endian.
    fn status_alone(status: EptStatus) -> Reply {
        Reply::Response(status.0.to_le_bytes().to_vec())
    }

    /// A page that holds nothing.
    fn nothing(max: u32, status: EptStatus) -> Seen {
        Seen {
            handle: NULL,
            max,
            towers: vec![],
            referents: vec![],
            status,
        }
    }

    /// A lookup of everything.
    fn all(max_ents: u32, handle: ContextHandle) -> LookupRequest {
        LookupRequest {
            inquiry_type: InquiryType::ALL_ELTS,
            object: None,
            interface: None,
            vers_option: VersionOption::ALL,
            handle,
            max_ents,
        }
    }

    /// A lookup by interface.
    fn by_interface(interface: SyntaxId, option: u32) -> LookupRequest {
        LookupRequest {
            inquiry_type: InquiryType::MATCH_BY_IF,
            interface: Some(Pointer {
                referent: 1,
                value: interface,
            }),
            vers_option: VersionOption(option),
            ..all(10, NULL)
        }
    }

    /// A map as Windows' client asks.
    fn by_tower(tower: &[u8], max_towers: u32, handle: ContextHandle) -> MapRequest<'_> {
        MapRequest {
            object: Some(Pointer {
                referent: 1,
                value: Uuid::nil(),
            }),
            tower: Some(Pointer {
                referent: 2,
                value: tower,
            }),
            handle,
            max_towers,
        }
    }

    /// The TCP towers of `ECHO` at these ports.
    fn echoes(ports: impl IntoIterator<Item = u16>) -> Vec<Vec<u8>> {
        ports
            .into_iter()
            .map(|port| tcp_tower(ECHO, port))
            .collect()
    }

    #[test]
    fn windows_ends_with_a_page_that_is_not_full() {
        let mut peer = Peer::of_ports(Windows, 3);
        let page = peer.lookup(&all(4, NULL));
        assert_eq!(
            (page.handle, page.status, page.max),
            (NULL, EptStatus::OK, 4)
        );
        assert_eq!(page.towers, echoes(1..=3));
        let page = peer.map(&by_tower(&tcp_tower(ECHO, 0), 4, NULL));
        assert_eq!(
            (page.handle, page.status, page.max),
            (NULL, EptStatus::OK, 4)
        );
        assert_eq!(page.towers, echoes(1..=3));
    }

    #[test]
    fn windows_ends_with_a_full_page_of_several_that_leaves_nothing() {
        let mut peer = Peer::of_ports(Windows, 4);
        let first = peer.lookup(&all(2, NULL));
        assert_eq!(
            (first.status, &first.towers),
            (EptStatus::OK, &echoes(1..=2))
        );
        assert!(!first.handle.is_null());
        let last = peer.lookup(&all(2, first.handle));
        assert_eq!(
            (last.handle, last.status, last.towers),
            (NULL, EptStatus::OK, echoes(3..=4))
        );
        assert!(peer.handles.is_empty());
    }

    #[test]
    fn windows_ends_pages_of_one_with_an_empty_page() {
        let asked = tcp_tower(ECHO, 0);
        let mut peer = Peer::of_ports(Windows, 2);
        for operation in [ept::LOOKUP, ept::MAP] {
            let mut handle = NULL;
            let mut turn = |peer: &mut Peer| {
                let page = match operation {
                    ept::LOOKUP => peer.lookup(&all(1, handle)),
                    _ => peer.map(&by_tower(&asked, 1, handle)),
                };
                assert!(handle.is_null() || page.handle.is_null() || page.handle == handle);
                handle = page.handle;
                page
            };
            for port in 1..=2 {
                let page = turn(&mut peer);
                assert_eq!((page.status, page.towers), (EptStatus::OK, echoes([port])));
                assert!(!page.handle.is_null() && page.handle.attributes == 0);
            }
            assert_eq!(turn(&mut peer), nothing(1, EptStatus::NOT_REGISTERED));
            assert!(peer.handles.is_empty());
        }
    }

    #[test]
    fn samba_ends_a_lookup_with_entries_and_not_registered_together() {
        let mut peer = Peer::of_ports(Samba, 4);
        let first = peer.lookup(&all(3, NULL));
        assert_eq!((first.status, first.towers.len()), (EptStatus::OK, 3));
        let last = peer.lookup(&all(3, first.handle));
        let expected = (NULL, EptStatus::NOT_REGISTERED, echoes([4]));
        assert_eq!((last.handle, last.status, last.towers), expected);
        let one = peer.lookup(&all(4, NULL));
        assert_eq!((one.handle, one.status), (NULL, EptStatus::NOT_REGISTERED));
    }

    #[test]
    fn samba_ends_a_map_with_ok() {
        let mut peer = Peer::of_ports(Samba, 2);
        let page = peer.map(&by_tower(&tcp_tower(ECHO, 0), 2, NULL));
        assert_eq!(
            (page.handle, page.status, page.towers.len()),
            (NULL, EptStatus::OK, 2)
        );
    }

    #[test]
    fn dce_ends_with_the_last_entry_and_ok() {
        let mut peer = Peer::of_ports(Dce, 2);
        let first = peer.lookup(&all(1, NULL));
        assert_eq!(
            (first.status, first.handle.is_null()),
            (EptStatus::OK, false)
        );
        let last = peer.lookup(&all(1, first.handle));
        assert_eq!(
            (last.handle, last.status, last.towers),
            (NULL, EptStatus::OK, echoes([2]))
        );
        let fifteen = Peer::of_ports(Dce, 15).map(&by_tower(&tcp_tower(ECHO, 0), 15, NULL));
        assert_eq!((fifteen.handle, fifteen.status), (NULL, EptStatus::OK));
    }

    #[test]
    fn a_walk_sees_every_entry_once_whatever_the_page() {
        for conversation in ALL {
            for max in 1..=6 {
                let mut peer = Peer::of_ports(conversation, 5);
                let (mut seen, mut handle) = (vec![], NULL);
                loop {
                    let page = peer.lookup(&all(max, handle));
                    seen.extend(page.towers);
                    handle = page.handle;
                    if handle.is_null() {
                        break;
                    }
                }
                assert_eq!(seen, echoes(1..=5), "{conversation:?}, pages of {max}");
            }
        }
    }

    #[test]
    fn nothing_found_is_not_registered_with_a_null_handle() {
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 3);
            let expected = |max| nothing(max, EptStatus::NOT_REGISTERED);
            assert_eq!(peer.lookup(&by_interface(SAMR, 1)), expected(10));
            assert_eq!(
                peer.map(&by_tower(&tcp_tower(SAMR, 0), 4, NULL)),
                expected(4)
            );
            for (syntax, length) in SYNTAXES.into_iter().zip([40, 52]) {
                peer.syntax = syntax;
                let stub = stub_of(peer.ask(ept::MAP, |out| {
                    by_tower(&tcp_tower(SAMR, 0), 4, NULL).encode(out);
                }));
                // handle, num_towers 0, max_count 4, offset 0, actual_count 0, status
                let mut octets = vec![0; length];
                octets[24] = 4;
                octets[length - 4..].copy_from_slice(&[0xd6, 0xa0, 0xc9, 0x16]);
                assert_eq!(stub, octets);
            }
        }
    }

    #[test]
    fn a_walk_whose_rest_vanished_ends_with_an_empty_page() {
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 3);
            let first = peer.lookup(&all(2, NULL));
            peer.table.remove(peer.table.find(&tcp(ECHO, 3)).unwrap());
            let rest = peer.lookup(&all(2, first.handle));
            assert_eq!(rest, nothing(2, EptStatus::NOT_REGISTERED));
            assert!(peer.handles.is_empty());
        }
    }

    #[test]
    fn a_walk_goes_on_with_what_each_call_asks_for() {
        let entries = [tcp(ECHO, 1), tcp(ECHO, 2), tcp(ECHO, 3), tcp(SAMR, 4)];
        let mut peer = Peer::new(Dce, &entries);
        let first = peer.lookup(&all(1, NULL));
        let request = LookupRequest {
            handle: first.handle,
            ..by_interface(SAMR, 1)
        };
        assert_eq!(peer.lookup(&request).towers, [tcp_tower(SAMR, 4)]);
    }

    /// What a conversation answers to a lookup with a handle that is not one.
    fn assert_bad(peer: &mut Peer, handle: ContextHandle) {
        let reply = peer.ask(ept::LOOKUP, |out| all(3, handle).encode(out));
        if peer.conversation == Dce {
            let expected = nothing(3, EptStatus::INVALID_CONTEXT);
            assert_eq!(peer.lookup(&all(3, handle)), expected);
        } else {
            assert_eq!(reply, fault(FaultStatus::CONTEXT_MISMATCH, false));
        }
    }

    #[test]
    fn a_handle_nobody_gave_is_bad() {
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 3);
            let uuid = peer.lookup(&all(1, NULL)).handle.uuid;
            assert_bad(
                &mut peer,
                ContextHandle {
                    attributes: 0,
                    uuid: OTHER,
                },
            );
            assert_bad(
                &mut peer,
                ContextHandle {
                    attributes: 1,
                    uuid,
                },
            );
            assert_bad(
                &mut peer,
                ContextHandle {
                    attributes: 1,
                    uuid: Uuid::nil(),
                },
            );
        }
    }

    #[test]
    fn a_handle_of_the_other_operation_is_bad_and_ends() {
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 3);
            let handle = peer.map(&by_tower(&tcp_tower(ECHO, 0), 1, NULL)).handle;
            assert_bad(&mut peer, handle);
            assert!(peer.handles.is_empty());
        }
    }

    #[test]
    fn a_handle_that_was_idle_too_long_is_bad() {
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 3);
            let handle = peer.lookup(&all(1, NULL)).handle;
            peer.now += Duration::from_secs(600);
            assert_bad(&mut peer, handle);
        }
    }

    #[test]
    fn one_walk_too_many_ends_the_oldest() {
        let mut peer = Peer::of_ports(Dce, 3);
        let handles = [(); 3].map(|()| peer.lookup(&all(1, NULL)).handle);
        assert_bad(&mut peer, handles[0]);
        assert_eq!(peer.lookup(&all(1, handles[1])).towers, echoes([2]));
        assert_eq!(peer.lookup(&all(1, handles[2])).towers, echoes([2]));
    }

    #[test]
    fn a_failure_ends_the_walk() {
        let mut peer = Peer::of_ports(Dce, 3);
        let handle = peer.lookup(&all(1, NULL)).handle;
        let request = LookupRequest {
            inquiry_type: InquiryType(9),
            ..all(1, handle)
        };
        assert_eq!(
            peer.lookup(&request),
            nothing(1, EptStatus::INVALID_INQUIRY_TYPE)
        );
        assert!(peer.handles.is_empty());
    }

    #[test]
    fn a_handle_is_freed_once_and_null_always_is() {
        let mut freed = vec![0; 24];
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 3);
            let handle = peer.lookup(&all(1, NULL)).handle;
            assert_eq!(peer.free(handle), Reply::Response(freed.clone()));
            assert_eq!(peer.free(NULL), Reply::Response(freed.clone()));
            assert_bad(&mut peer, handle);
        }
        let invented = ContextHandle {
            attributes: 0,
            uuid: OTHER,
        };
        let answer = |conversation| Peer::of_ports(conversation, 1).free(invented);
        for conversation in [Windows, Samba] {
            let mismatch = fault(FaultStatus::CONTEXT_MISMATCH, false);
            assert_eq!(answer(conversation), mismatch);
        }
        freed[20..].copy_from_slice(&EptStatus::INVALID_CONTEXT.0.to_le_bytes());
        assert_eq!(answer(Dce), Reply::Response(freed));
    }

    #[test]
    fn an_unknown_inquiry_type_is_told() {
        for (conversation, status) in [
            (Windows, EptStatus::INVALID_INQUIRY_TYPE),
            (Samba, EptStatus::WIN32_CANT_PERFORM_OP),
            (Dce, EptStatus::INVALID_INQUIRY_TYPE),
        ] {
            let request = LookupRequest {
                inquiry_type: InquiryType(4),
                ..all(10, NULL)
            };
            assert_eq!(
                Peer::of_ports(conversation, 1).lookup(&request),
                nothing(10, status)
            );
        }
    }

    #[test]
    fn an_unknown_version_option_is_told_when_the_interface_is_there() {
        for conversation in ALL {
            let mut peer = Peer::of_ports(conversation, 1);
            let invalid = nothing(10, EptStatus::INVALID_VERS_OPTION);
            assert_eq!(peer.lookup(&by_interface(ECHO, 6)), invalid);
            let absent = nothing(10, EptStatus::NOT_REGISTERED);
            assert_eq!(peer.lookup(&by_interface(SAMR, 6)), absent);
        }
    }

    #[test]
    fn an_unknown_version_option_is_not_looked_at_without_an_interface() {
        for conversation in ALL {
            for inquiry_type in [InquiryType::ALL_ELTS, InquiryType::MATCH_BY_OBJ] {
                let request = LookupRequest {
                    inquiry_type,
                    ..by_interface(ECHO, 6)
                };
                assert_eq!(
                    Peer::of_ports(conversation, 1).lookup(&request).towers,
                    echoes([1])
                );
            }
        }
    }

    #[test]
    fn version_option_0_is_all_but_in_dce() {
        let newer = SyntaxId { major: 9, ..ECHO };
        for conversation in [Windows, Samba] {
            let page = Peer::of_ports(conversation, 1).lookup(&by_interface(newer, 0));
            assert_eq!(page.towers, echoes([1]));
        }
        let page = Peer::of_ports(Dce, 1).lookup(&by_interface(newer, 0));
        assert_eq!(page, nothing(10, EptStatus::INVALID_VERS_OPTION));
    }

    #[test]
    fn a_null_pointer_asks_for_the_nil_uuid() {
        for conversation in ALL {
            let mut peer = Peer::new(
                conversation,
                &[entry(OBJECT, &tcp_tower(ECHO, 1)), tcp(ECHO, 2)],
            );
            let ask = |inquiry_type| LookupRequest {
                inquiry_type,
                ..all(10, NULL)
            };
            assert_eq!(
                peer.lookup(&ask(InquiryType::MATCH_BY_OBJ)).towers,
                echoes([2])
            );
            for inquiry_type in [InquiryType::MATCH_BY_IF, InquiryType::MATCH_BY_BOTH] {
                let nothing = nothing(10, EptStatus::NOT_REGISTERED);
                assert_eq!(peer.lookup(&ask(inquiry_type)), nothing);
            }
            let asked = tcp_tower(ECHO, 0);
            let null_object = MapRequest {
                object: None,
                ..by_tower(&asked, 4, NULL)
            };
            assert_eq!(peer.map(&null_object).towers, echoes([2]));
        }
    }

    #[test]
    fn a_map_finds_the_object_first_then_entries_without_one() {
        for conversation in ALL {
            let with = |port| entry(OBJECT, &tcp_tower(ECHO, port));
            let mut peer = Peer::new(
                conversation,
                &[tcp(ECHO, 1), with(2), tcp(ECHO, 3), with(4)],
            );
            let tower = tcp_tower(ECHO, 0);
            let object = Some(Pointer {
                referent: 1,
                value: OBJECT,
            });
            let mut request = MapRequest {
                object,
                ..by_tower(&tower, 3, NULL)
            };
            let first = peer.map(&request);
            assert_eq!(first.towers, echoes([2, 4, 1]));
            request.handle = first.handle;
            assert_eq!(peer.map(&request).towers, echoes([3]));
        }
    }

    #[test]
    fn no_room_for_entries_is_answered_by_each_in_its_way() {
        let asked = tcp_tower(ECHO, 0);
        for (conversation, of_lookup, of_map) in [
            (
                Windows,
                EptStatus::NOT_REGISTERED,
                EptStatus::NOT_REGISTERED,
            ),
            (Samba, EptStatus::NOT_REGISTERED, EptStatus::NOT_REGISTERED),
            (Dce, EptStatus::NOT_REGISTERED, EptStatus::CANT_PERFORM_OP),
        ] {
            let mut peer = Peer::of_ports(conversation, 1);
            assert_eq!(peer.map(&by_tower(&asked, 0, NULL)), nothing(0, of_map));
            let page = peer.lookup(&all(0, NULL));
            assert_eq!((page.status, page.towers.len()), (of_lookup, 0));
            // The DCE reference saw that there was something, and says so.
            assert_eq!(page.handle.is_null(), conversation != Dce);
        }
    }

    #[test]
    fn a_map_tower_that_says_nothing_is_refused() {
        let nil = SyntaxId::new(Uuid::nil(), 1, 0);
        let undecodable = [vec![], vec![5, 0, 1], tower(ECHO, SyntaxId::NDR, &[])];
        let nil_towers = [tcp_tower(nil, 0), tower(ECHO, nil, &[(0x0b, &[0, 0])])];
        let (invalid, absent) = (EptStatus::INVALID_ENTRY, EptStatus::NOT_REGISTERED);
        for (conversation, of_undecodable, of_nil) in [
            (Windows, invalid, absent),
            (Samba, absent, absent),
            (Dce, invalid, invalid),
        ] {
            let mut peer = Peer::of_ports(conversation, 1);
            for (towers, status) in [(&undecodable[..], of_undecodable), (&nil_towers, of_nil)] {
                for tower in towers {
                    assert_eq!(peer.map(&by_tower(tower, 4, NULL)), nothing(4, status));
                }
            }
            let null = MapRequest {
                tower: None,
                ..by_tower(&[], 4, NULL)
            };
            assert_eq!(peer.map(&null), nothing(4, of_undecodable));
        }
    }

    #[test]
    fn an_unknown_protocol_sequence_is_looked_for_but_in_dce() {
        let odd = tower(
            ECHO,
            SyntaxId::NDR,
            &[(0x0b, &[0, 0]), (0x08, &[0, 1]), (0x09, &[0; 4])],
        );
        for conversation in [Windows, Samba] {
            let mut peer = Peer::of_ports(conversation, 1);
            let absent = nothing(4, EptStatus::NOT_REGISTERED);
            assert_eq!(peer.map(&by_tower(&odd, 4, NULL)), absent);
            peer.table.insert(entry(Uuid::nil(), &odd)).unwrap();
            assert_eq!(
                peer.map(&by_tower(&odd, 4, NULL)).towers,
                std::slice::from_ref(&odd)
            );
        }
        let page = Peer::of_ports(Dce, 1).map(&by_tower(&odd, 4, NULL));
        assert_eq!(page, nothing(4, EptStatus::INVALID_ENTRY));
    }

    #[test]
    fn octets_behind_a_map_tower_are_ignored() {
        let mut asked = tcp_tower(ECHO, 0);
        asked.extend([1, 2, 3]);
        assert_eq!(
            Peer::of_ports(Windows, 1)
                .map(&by_tower(&asked, 4, NULL))
                .towers,
            echoes([1])
        );
    }

    #[test]
    fn a_map_of_management_finds_each_endpoint_once() {
        let asked = tcp_tower(SyntaxId::MGMT, 0);
        let entries = [
            tcp(ECHO, 1),
            tcp(SAMR, 1),
            entry(OBJECT, &tcp_tower(ECHO, 2)),
        ];
        let with = MapRequest {
            object: Some(Pointer {
                referent: 1,
                value: OBJECT,
            }),
            ..by_tower(&asked, 4, NULL)
        };
        for conversation in [Windows, Samba] {
            let mut peer = Peer::new(conversation, &entries);
            assert_eq!(peer.map(&by_tower(&asked, 4, NULL)).towers, echoes([1]));
            assert_eq!(peer.map(&with).towers, echoes([2, 1]));
        }
        let mut peer = Peer::new(Dce, &entries);
        let invalid = nothing(4, EptStatus::INVALID_ENTRY);
        assert_eq!(peer.map(&by_tower(&asked, 4, NULL)), invalid);
        assert_eq!(peer.map(&with).towers, echoes([2]));
    }

    #[test]
    fn a_foreign_object_in_the_header_is_refused_in_dce_only() {
        let asked = tcp_tower(ECHO, 0);
        for conversation in ALL {
            for (object, foreign) in [
                (None, false),
                (Some(Uuid::nil()), false),
                (Some(OWN), false),
                (Some(OBJECT), true),
            ] {
                let mut peer = Peer::of_ports(conversation, 1);
                peer.object = object;
                let pages = [
                    peer.lookup(&all(4, NULL)),
                    peer.map(&by_tower(&asked, 4, NULL)),
                ];
                let refused = foreign && conversation == Dce;
                for page in pages {
                    match refused {
                        true => assert_eq!(page, nothing(4, EptStatus::CANT_PERFORM_OP)),
                        false => assert_eq!(page.towers, echoes([1])),
                    }
                }
                let stub = stub_of(peer.in_both(|peer| peer.call(ept::INQ_OBJECT, &[])));
                let answer = InqObjectResponse::decode(peer.stub(&stub)).unwrap();
                let expected = match refused {
                    true => (Uuid::nil(), EptStatus::CANT_PERFORM_OP),
                    false => (OWN, EptStatus::OK),
                };
                assert_eq!((answer.object, answer.status), expected);
            }
        }
    }

    #[test]
    fn registration_is_refused_to_everyone() {
        // Octets of a request without entries or pointers, in NDR and in NDR64.
        for (opnum, lengths) in [
            (ept::INSERT, [12, 20]),
            (ept::DELETE, [8, 16]),
            (ept::MGMT_DELETE, [12, 24]),
        ] {
            for (syntax, length) in SYNTAXES.into_iter().zip(lengths) {
                let answer = |conversation, length| {
                    let mut peer = Peer::of_ports(conversation, 1);
                    peer.syntax = syntax;
                    peer.call(opnum, &vec![0; length])
                };
                let refused = |did_not_execute| fault(FaultStatus::OP_RNG_ERROR, did_not_execute);
                assert_eq!(answer(Windows, length), refused(true));
                assert_eq!(answer(Samba, length), refused(false));
                let status = status_alone(EptStatus::CANT_PERFORM_OP);
                assert_eq!(answer(Dce, length), status);
                let cut = answer(Dce, length - 1);
                assert_eq!(cut, fault(FaultStatus::BAD_STUB_DATA, false));
            }
        }
    }

    #[test]
    fn operations_from_7_on_are_out_of_range() {
        for conversation in ALL {
            for opnum in [7, 8, 42, u16::MAX] {
                let mut peer = Peer::of_ports(conversation, 1);
                let reply = peer.in_both(|peer| peer.call(opnum, &[0; 200]));
                assert_eq!(reply, fault(FaultStatus::OP_RNG_ERROR, true));
            }
        }
    }

    #[test]
    fn a_stub_that_does_not_decode_is_a_fault() {
        for conversation in ALL {
            for opnum in [ept::LOOKUP, ept::MAP, ept::LOOKUP_HANDLE_FREE] {
                let mut peer = Peer::of_ports(conversation, 1);
                let reply = peer.in_both(|peer| peer.call(opnum, &[0; 10]));
                assert_eq!(reply, fault(FaultStatus::BAD_STUB_DATA, false));
            }
            let mut peer = Peer::of_ports(conversation, 1);
            let reply =
                peer.in_both(|peer| peer.ask(ept::LOOKUP, |out| all(501, NULL).encode(out)));
            assert_eq!(reply, fault(FaultStatus::BAD_STUB_DATA, false));
        }
    }

    #[test]
    fn a_reply_comes_in_the_callers_byte_order() {
        let mut peer = Peer::of_ports(Windows, 2);
        peer.order = ByteOrder::Big;
        let page = peer.map(&by_tower(&tcp_tower(ECHO, 0), 4, NULL));
        assert_eq!((page.status, page.towers), (EptStatus::OK, echoes(1..=2)));
        let page = peer.lookup(&by_interface(SAMR, 1));
        assert_eq!(page, nothing(10, EptStatus::NOT_REGISTERED));
    }

    #[test]
    fn referents_of_a_reply_go_on_from_the_requests_highest() {
        let mut peer = Peer::of_ports(Windows, 3);
        assert_eq!(peer.lookup(&all(10, NULL)).referents, [1, 2, 3]);
        assert_eq!(peer.lookup(&by_interface(ECHO, 1)).referents, [2, 3, 4]);
        let page = peer.map(&by_tower(&tcp_tower(ECHO, 0), 10, NULL));
        assert_eq!(page.referents, [3, 4, 5]);
    }

    #[test]
    fn referents_of_64_bits_go_on_in_64_bits() {
        let mut peer = Peer::of_ports(Windows, 2);
        peer.syntax = TransferSyntax::Ndr64;
        let mut request = by_interface(ECHO, 1);
        request.interface.as_mut().unwrap().referent = 0x0000_7ff6_0000_0000;
        let referents = peer.lookup(&request).referents;
        assert_eq!(referents, [0x0000_7ff6_0000_0001, 0x0000_7ff6_0000_0002]);
    }

    #[test]
    fn the_syntax_of_a_call_is_not_the_one_that_its_tower_asks_for() {
        let [ndr, ndr64] = [SyntaxId::NDR, SyntaxId::NDR64].map(|syntax| {
            let floors = [(0x0b, &[0, 0][..]), (0x07, &[0, 135]), (0x09, &[0; 4])];
            tower(ECHO, syntax, &floors)
        });
        let entries = [&ndr, &ndr64].map(|tower| entry(Uuid::nil(), tower));
        let mut peer = Peer::new(Windows, &entries);
        // Each call is made in both syntaxes.
        for tower in [ndr, ndr64] {
            let page = peer.map(&by_tower(&tower, 4, NULL));
            assert_eq!(page.towers, [tower]);
        }
    }

    #[test]
    fn an_open_address_is_the_one_dialled_in_lookup_and_map() {
        let mut peer = Peer::of_ports(Windows, 1);
        let mut answered = tcp_tower(ECHO, 1);
        let end = answered.len();
        answered[end - 4..].copy_from_slice(&[192, 0, 2, 10]);
        peer.dialled = Some(Ipv4Addr::new(192, 0, 2, 10));
        assert_eq!(peer.lookup(&all(4, NULL)).towers, [answered.clone()]);
        assert_eq!(
            peer.map(&by_tower(&tcp_tower(ECHO, 0), 4, NULL)).towers,
            [answered]
        );
    }

    #[test]
    fn a_lookup_tells_object_and_annotation() {
        let owner = crate::registry::Owner::Configuration;
        let noted = Entry::new(OBJECT, &tcp_tower(ECHO, 1), b"Echo", owner).unwrap();
        let mut peer = Peer::new(Windows, &[noted]);
        let stub = stub_of(peer.ask(ept::LOOKUP, |out| all(4, NULL).encode(out)));
        let response = LookupResponse::decode(peer.stub(&stub)).unwrap();
        assert_eq!(response.entries[0].object, OBJECT);
        assert_eq!(*response.entries[0].annotation, *b"Echo");
    }
}
