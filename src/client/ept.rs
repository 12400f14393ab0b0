//! Asks an endpoint mapper: `ept_lookup` and `ept_map`, walked to their end, and
//! the changes that `ept` knows.
//!
//! Always holds: a walk ends, since pages and what they bring are bounded; and
//! a handle that is still live then is given back. Entries come as the mapper
//! told them: nothing in them has been checked, and nothing is filtered again,
//! since a mapper's own idea of what matches is what one asks it for.

use super::mgmt::ok;
use super::{Client, ClientError, Failure, Peer, Settings, Step};
use crate::wire::binding::Binding;
use crate::wire::ept::{
    self, ContextHandle, DeleteRequest, HandleFreeRequest, InquiryType, InsertRequest,
    LookupRequest, LookupResponse, MapRequest, MapResponse, MgmtDeleteRequest, StatusResponse,
    VersionOption,
};
use crate::wire::ndr::Referents;
use crate::wire::tower::{ProtocolSequence, Tower, TowerBuf};
use crate::wire::{DecodeError, EptStatus, Input, Output, SyntaxId};
use tokio::time::Instant;
use uuid::Uuid;

/// The most entries or towers that one walk takes.
pub const MAX_FOUND: usize = 1_000_000;

/// The most octets of towers and annotations that one walk takes: 256 MiB.
pub const MAX_OCTETS: usize = 256 << 20;

/// The most pages in a row that bring nothing while the handle is live.
///
/// Samba's file server filters after it has cut a page, so that pages without
/// entries may come before others: 2,000 of them pass over a million entries.
pub const MAX_EMPTY_PAGES: usize = 2_000;

/// What one page may hold: the most that servers take (MS-RPCE 2.2.1.2.4).
const PAGE: u32 = ept::MAX_ENTRIES;

/// A connection bound to an endpoint mapper.
pub struct Mapper {
    /// The connection.
    client: Client,
}

/// Which entries to look up; by default all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupQuery {
    /// Only those of this interface, its version compared like this.
    pub interface: Option<(SyntaxId, VersionOption)>,
    /// Only those of this object; nil for those without one.
    pub object: Option<Uuid>,
}

/// An entry as the mapper told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEntry {
    /// The object; nil for none.
    pub object: Uuid,
    /// The annotation without its NUL, at most 63 octets of any kind.
    pub annotation: Box<[u8]>,
    /// The tower's octets; empty when the mapper gave none.
    pub tower: Box<[u8]>,
}

impl FoundEntry {
    /// The tower.
    ///
    /// # Errors
    /// The octets are none.
    pub fn tower(&self) -> Result<Tower<'_>, DecodeError> {
        Tower::decode(&self.tower)
    }

    /// How many octets it takes.
    pub(super) fn octets(&self) -> usize {
        self.annotation.len() + self.tower.len()
    }
}

impl From<&ept::Entry<'_>> for FoundEntry {
    fn from(entry: &ept::Entry<'_>) -> Self {
        FoundEntry {
            object: entry.object,
            annotation: Box::from(&*entry.annotation),
            tower: Box::from(entry.tower_octets().unwrap_or_default()),
        }
    }
}

/// An entry to register or to take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEntry<'a> {
    /// The object; nil for none.
    pub object: Uuid,
    /// The tower's octets.
    pub tower: &'a [u8],
    /// The annotation without its NUL, at most `MAX_ANNOTATION` octets; it does
    /// not matter where the entry is to be taken out.
    pub annotation: &'a [u8],
}

/// Entries as stubs have them.
pub(super) fn wire_entries<'a>(entries: &[NewEntry<'a>]) -> Vec<ept::Entry<'a>> {
    let mut referents = Referents::after(0);
    let entry =
        |new: &NewEntry<'a>| ept::Entry::new(&mut referents, new.object, new.tower, new.annotation);
    entries.iter().map(entry).collect()
}

impl Mapper {
    /// Connects to the mapper of a binding and binds to its interface.
    ///
    /// # Errors
    /// At step `Resolve`, `Connect` or `Bind`.
    pub async fn connect(
        binding: &Binding,
        settings: impl Into<Settings>,
        deadline: Instant,
    ) -> Result<Mapper, ClientError> {
        let client = Client::connect(binding, SyntaxId::EPT, settings, deadline).await?;
        Ok(Mapper { client })
    }

    /// Where the mapper was reached.
    pub fn peer(&self) -> &Peer {
        self.client.peer()
    }

    /// Looks up all entries that match; none is no error.
    ///
    /// Mappers differ in what they heed: Samba's file server reads the version
    /// options shifted by one, its directory server ignores the inquiry.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is neither ok nor "not registered".
    ///
    /// # Source
    /// C706 appendix O, `ept_lookup`.
    pub async fn lookup(&mut self, query: &LookupQuery) -> Result<Vec<FoundEntry>, ClientError> {
        self.lookup_some(query, usize::MAX).await
    }

    /// The same, until so many are found.
    pub(super) async fn lookup_some(
        &mut self,
        query: &LookupQuery,
        most: usize,
    ) -> Result<Vec<FoundEntry>, ClientError> {
        let request = |handle, out: &mut Output| query.request(handle).encode(out);
        self.walk(ept::LOOKUP, most, request, lookup_page).await
    }

    /// Asks for the towers of an interface over a protocol sequence; none is no
    /// error.
    ///
    /// Asks for towers of NDR 2.0, whatever this call is written in, since every
    /// server has those; and sends an object pointer that is not NULL. Windows'
    /// client does both.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is neither ok nor "not registered".
    ///
    /// # Source
    /// C706 appendix O, `ept_map`.
    pub async fn map(
        &mut self,
        interface: SyntaxId,
        protseq: ProtocolSequence,
        object: Option<Uuid>,
    ) -> Result<Vec<Box<[u8]>>, ClientError> {
        self.map_some(interface, protseq, object, usize::MAX).await
    }

    /// The same, until so many are found.
    pub(super) async fn map_some(
        &mut self,
        interface: SyntaxId,
        protseq: ProtocolSequence,
        object: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<Box<[u8]>>, ClientError> {
        let pattern = pattern(interface, protseq);
        let request = |handle, out: &mut Output| {
            let mut referents = Referents::after(0);
            let request = MapRequest {
                object: Some(referents.point(object.unwrap_or_default())),
                tower: Some(referents.point(pattern.octets())),
                handle,
                max_towers: PAGE,
            };
            request.encode(out);
        };
        self.walk(ept::MAP, most, request, map_page).await
    }

    /// Registers entries, at most `MAX_ENTRIES` at once: all or none.
    ///
    /// How they end is the mapper's decision: `epmapperd` asks their servers
    /// from time to time whether they are there.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok. Windows and Samba answer
    /// those who may not with a fault.
    ///
    /// # Source
    /// C706 appendix O, `ept_insert`.
    pub async fn insert(
        &mut self,
        entries: &[NewEntry<'_>],
        replace: bool,
    ) -> Result<(), ClientError> {
        let entries = wire_entries(entries);
        let request = InsertRequest { entries, replace };
        self.change(ept::INSERT, |out| request.encode(out)).await
    }

    /// Takes entries out, at most `MAX_ENTRIES` at once: those with this very
    /// object and tower.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok, `NOT_REGISTERED` when there
    /// is no such entry.
    ///
    /// # Source
    /// C706 appendix O, `ept_delete`.
    pub async fn delete(&mut self, entries: &[NewEntry<'_>]) -> Result<(), ClientError> {
        let entries = wire_entries(entries);
        let request = DeleteRequest { entries };
        self.change(ept::DELETE, |out| request.encode(out)).await
    }

    /// Takes out every entry with the interface and the address of a tower, of
    /// any object unless one is given.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    ///
    /// # Source
    /// C706 appendix O, `ept_mgmt_delete`.
    pub async fn mgmt_delete(
        &mut self,
        object: Option<Uuid>,
        tower: &[u8],
    ) -> Result<(), ClientError> {
        let mut referents = Referents::after(0);
        let request = MgmtDeleteRequest {
            object_speced: object.is_some(),
            object: Some(referents.point(object.unwrap_or_default())),
            tower: Some(referents.point(tower)),
        };
        self.change(ept::MGMT_DELETE, |out| request.encode(out))
            .await
    }

    /// Waits until the mapper closes the connection, however long that takes.
    ///
    /// Whatever it says meanwhile is dropped: no call may follow.
    pub async fn closed(&mut self) {
        self.client.closed().await;
    }

    /// Asks for a change.
    async fn change(
        &mut self,
        opnum: u16,
        request: impl FnOnce(&mut Output<'_>),
    ) -> Result<(), ClientError> {
        let reply = self.client.call(opnum, request).await?;
        ok(reply.decode(StatusResponse::decode)?.status)
    }

    /// Asks for page after page until the walk ends or has brought enough.
    async fn walk<T>(
        &mut self,
        opnum: u16,
        most: usize,
        request: impl Fn(ContextHandle, &mut Output<'_>),
        page: impl Fn(Input<'_>) -> Result<Page<T>, DecodeError>,
    ) -> Result<Vec<T>, ClientError> {
        let mut found = Vec::new();
        let mut walk = Walk::default();
        let ended = loop {
            let reply = self
                .client
                .call(opnum, |out| request(walk.handle, out))
                .await?;
            let page = reply.decode(&page)?;
            match walk.turn(&page) {
                Ok(more) => {
                    found.extend(page.found);
                    if !more || found.len() >= most {
                        break Ok(found);
                    }
                }
                Err(failure) => break Err(ClientError::new(Step::Call, failure)),
            }
        };
        if !walk.handle.is_null() {
            self.free(walk.handle).await;
        }
        ended
    }

    /// Gives a live handle back; how that goes no longer matters, since the
    /// server drops it with the connection at the latest.
    async fn free(&mut self, handle: ContextHandle) {
        let request = HandleFreeRequest { handle };
        let _ = self
            .client
            .call(ept::LOOKUP_HANDLE_FREE, |out| request.encode(out))
            .await;
    }
}

impl LookupQuery {
    /// The request for the page that `handle` stands before.
    fn request(&self, handle: ContextHandle) -> LookupRequest {
        let mut referents = Referents::after(0);
        let inquiry_type = match (self.interface, self.object) {
            (None, None) => InquiryType::ALL_ELTS,
            (Some(_), None) => InquiryType::MATCH_BY_IF,
            (None, Some(_)) => InquiryType::MATCH_BY_OBJ,
            (Some(_), Some(_)) => InquiryType::MATCH_BY_BOTH,
        };
        LookupRequest {
            inquiry_type,
            object: self.object.map(|object| referents.point(object)),
            interface: self.interface.map(|(id, _)| referents.point(id)),
            vers_option: self
                .interface
                .map_or(VersionOption::ALL, |(_, option)| option),
            handle,
            max_ents: PAGE,
        }
    }
}

/// The tower to ask `ept_map` with: port 0 or no name, and no address.
fn pattern(interface: SyntaxId, protseq: ProtocolSequence) -> TowerBuf {
    TowerBuf::from_binding(interface, SyntaxId::NDR, &Binding::new(protseq))
        .expect("a binding of a protocol sequence alone always has a tower")
}

/// What one response of a walk brings.
struct Page<T> {
    /// Where the walk stands; NULL at its end.
    handle: ContextHandle,
    /// How it went.
    status: EptStatus,
    /// The entries or towers.
    found: Vec<T>,
    /// The octets of what was found.
    octets: usize,
}

/// Reads a response of `ept_lookup`.
fn lookup_page(stub: Input<'_>) -> Result<Page<FoundEntry>, DecodeError> {
    let response = LookupResponse::decode(stub)?;
    let found: Vec<_> = response.entries.iter().map(FoundEntry::from).collect();
    Ok(Page {
        handle: response.handle,
        status: response.status,
        octets: found.iter().map(FoundEntry::octets).sum(),
        found,
    })
}

/// Reads a response of `ept_map`; towers that are NULL say nothing.
fn map_page(stub: Input<'_>) -> Result<Page<Box<[u8]>>, DecodeError> {
    let response = MapResponse::decode(stub)?;
    let towers = response.towers.iter().flatten();
    let found: Vec<Box<[u8]>> = towers.map(|tower| Box::from(&*tower.value)).collect();
    Ok(Page {
        handle: response.handle,
        status: response.status,
        octets: found.iter().map(|tower| tower.len()).sum(),
        found,
    })
}

/// How far a walk has come.
#[derive(Default)]
struct Walk {
    /// Where it stands; NULL before the first page and behind the last.
    handle: ContextHandle,
    /// What has come.
    pages: Pages,
}

/// What the pages of a walk have brought so far.
#[derive(Default)]
pub(super) struct Pages {
    /// Entries or towers.
    found: usize,
    /// Their octets.
    octets: usize,
    /// Pages without any, since the last with some.
    empty: usize,
}

impl Pages {
    /// Takes a page in that brings so much.
    ///
    /// # Errors
    /// `Endless` above a limit.
    pub(super) fn turn(&mut self, found: usize, octets: usize) -> Result<(), Failure> {
        self.found += found;
        self.octets += octets;
        self.empty = match found {
            0 => self.empty + 1,
            _ => 0,
        };
        let limit = |count, what, limit| match count > limit {
            true => Err(Failure::Endless { what, limit }),
            false => Ok(()),
        };
        limit(self.found, "entries", MAX_FOUND)?;
        limit(self.octets, "octets", MAX_OCTETS)?;
        limit(self.empty, "pages without entries", MAX_EMPTY_PAGES)
    }
}

impl Walk {
    /// Takes a page in; tells whether there is another one to ask for.
    ///
    /// The walk ends with a NULL handle or with "not registered", and what came
    /// with either counts. So all servers are served: DCE and Windows end with
    /// ok and a NULL handle; Windows after a full page, and Samba's directory
    /// server, with an empty page and "not registered"; Samba's file server
    /// with the last entries and "not registered" together.
    ///
    /// # Errors
    /// `Status` for any other status, `Endless` above a limit.
    fn turn<T>(&mut self, page: &Page<T>) -> Result<bool, Failure> {
        self.handle = page.handle;
        self.pages.turn(page.found.len(), page.octets)?;
        match page.status {
            EptStatus::OK => Ok(!self.handle.is_null()),
            EptStatus::NOT_REGISTERED => Ok(false),
            other => Err(Failure::Status(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Fake, assert_fails, generous, response};
    use super::*;
    use crate::client::Encoding;
    use crate::wire::ByteOrder;
    use std::ops::Range;
    use uuid::uuid;

    const LIVE: ContextHandle = ContextHandle {
        attributes: 0,
        uuid: uuid!("0b5b3f6e-5f2c-4b6d-9d1c-6a8f3b1c2d3e"),
    };
    const SAMR: SyntaxId = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);

    /// Entries whose towers are their number, without a floor.
    fn page(
        request: &Input,
        numbers: Range<u32>,
        handle: ContextHandle,
        status: EptStatus,
    ) -> Answer {
        let mut referents = Referents::after(0);
        let entry = |n: u32| {
            let tower = n.to_le_bytes().to_vec();
            ept::Entry::new(&mut referents, Uuid::nil(), tower, b"entry".as_slice())
        };
        let found = LookupResponse {
            handle,
            max_ents: PAGE,
            entries: numbers.map(entry).collect(),
            status,
        };
        response(request, |out| found.encode(out))
    }

    /// A mapper that answers with these pages, each to the handle of the one before.
    fn mapper(pages: Vec<(Range<u32>, ContextHandle, EptStatus)>) -> Fake {
        let mut expected = ContextHandle::NULL;
        let mut pages = pages.into_iter();
        Fake::bound(move |opnum, stub| {
            if opnum == ept::LOOKUP_HANDLE_FREE {
                assert_eq!(HandleFreeRequest::decode(stub).unwrap().handle, expected);
                return Answer::Close;
            }
            assert_eq!(LookupRequest::decode(stub).unwrap().handle, expected);
            let (numbers, handle, status) = pages.next().expect("one page after the last");
            expected = handle;
            page(&stub, numbers, handle, status)
        })
    }

    async fn lookup(fake: &Fake) -> Result<Vec<FoundEntry>, ClientError> {
        let mut mapper = Mapper::connect(&fake.binding, Encoding::Any, generous()).await?;
        mapper.lookup(&LookupQuery::default()).await
    }

    /// Asserts that a walk brings the entries 0 to `count`, in `calls` calls.
    async fn assert_walk(
        pages: Vec<(Range<u32>, ContextHandle, EptStatus)>,
        count: u32,
        calls: usize,
    ) {
        let fake = mapper(pages);
        let found = lookup(&fake).await.unwrap();
        let numbers: Vec<_> = found.iter().map(|entry| entry.tower.to_vec()).collect();
        let expected: Vec<_> = (0..count).map(|n| n.to_le_bytes().to_vec()).collect();
        assert_eq!(numbers, expected);
        assert_eq!(fake.calls(), vec![ept::LOOKUP; calls]);
    }

    const OK: EptStatus = EptStatus::OK;
    const NO_MORE: EptStatus = EptStatus::NOT_REGISTERED;
    const NULL: ContextHandle = ContextHandle::NULL;

    #[tokio::test]
    async fn dce_and_windows_end_with_ok_and_a_null_handle() {
        assert_walk(vec![(0..500, LIVE, OK), (500..846, NULL, OK)], 846, 2).await;
        assert_walk(vec![(0..500, NULL, OK)], 500, 1).await;
    }

    #[tokio::test]
    async fn windows_ends_a_full_last_page_with_an_empty_one() {
        assert_walk(vec![(0..500, LIVE, OK), (0..0, NULL, NO_MORE)], 500, 2).await;
    }

    #[tokio::test]
    async fn sambas_file_server_ends_with_entries_and_not_registered_together() {
        assert_walk(vec![(0..500, LIVE, OK), (500..501, NULL, NO_MORE)], 501, 2).await;
    }

    #[tokio::test]
    async fn sambas_directory_server_ends_any_page_with_an_empty_one() {
        assert_walk(vec![(0..13, LIVE, OK), (0..0, NULL, NO_MORE)], 13, 2).await;
    }

    #[tokio::test]
    async fn pages_emptied_by_a_filter_are_walked_over() {
        let empty = (0..0, LIVE, OK);
        let pages = vec![
            empty.clone(),
            (0..2, LIVE, OK),
            empty,
            (2..3, NULL, NO_MORE),
        ];
        assert_walk(pages, 3, 4).await;
    }

    #[tokio::test]
    async fn nothing_registered_is_no_error() {
        assert_walk(vec![(0..0, NULL, NO_MORE)], 0, 1).await;
        assert_walk(vec![(0..0, NULL, OK)], 0, 1).await;
    }

    #[tokio::test]
    async fn a_walk_goes_in_whatever_was_agreed_on() {
        for (taken, encoding) in [
            (&[SyntaxId::NDR], Encoding::Any),
            (&[SyntaxId::NDR64], Encoding::Any),
            (&[SyntaxId::NDR64], Encoding::Ndr64),
            (&[SyntaxId::NDR], Encoding::Ndr(ByteOrder::Little)),
            (&[SyntaxId::NDR], Encoding::Ndr(ByteOrder::Big)),
        ] {
            let fake = Fake::bound_in(taken, |_, stub| {
                LookupRequest::decode(stub).unwrap();
                page(&stub, 0..70, NULL, OK)
            });
            let mapper = Mapper::connect(&fake.binding, encoding, generous()).await;
            let found = mapper.unwrap().lookup(&LookupQuery::default()).await;
            assert_eq!(found.unwrap().len(), 70, "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn a_page_comes_in_many_fragments() {
        let fake = Fake::bound(|_, stub| match page(&stub, 0..500, NULL, OK) {
            Answer::Response(stub, _) => Answer::Response(stub, 1000),
            other => other,
        });
        assert_eq!(lookup(&fake).await.unwrap().len(), 500);
    }

    #[tokio::test]
    async fn a_walk_that_never_ends_is_cut_off_and_its_handle_given_back() {
        let fake = mapper(vec![(0..0, LIVE, OK); MAX_EMPTY_PAGES + 1]);
        assert_fails(lookup(&fake).await, Step::Call, |failure| {
            matches!(
                failure,
                Failure::Endless {
                    limit: MAX_EMPTY_PAGES,
                    ..
                }
            )
        });
        let mut calls = vec![ept::LOOKUP; MAX_EMPTY_PAGES + 1];
        calls.push(ept::LOOKUP_HANDLE_FREE);
        assert_eq!(fake.calls(), calls);
    }

    #[test]
    fn a_walk_is_bounded_in_entries_and_octets() {
        let page = |count, octets| Page {
            handle: LIVE,
            status: OK,
            found: vec![(); count],
            octets,
        };
        let mut walk = Walk::default();
        assert!(
            walk.turn(&page(MAX_FOUND, MAX_OCTETS))
                .is_ok_and(|more| more)
        );
        assert!(matches!(
            walk.turn(&page(1, 0)),
            Err(Failure::Endless {
                limit: MAX_FOUND,
                ..
            })
        ));
        assert!(matches!(
            Walk::default().turn(&page(1, MAX_OCTETS + 1)),
            Err(Failure::Endless {
                limit: MAX_OCTETS,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn another_status_is_an_error_and_a_live_handle_given_back() {
        let fake = mapper(vec![
            (0..1, LIVE, OK),
            (0..0, LIVE, EptStatus::DATABASE_INVALID),
        ]);
        assert_fails(lookup(&fake).await, Step::Call, |failure| {
            matches!(failure, Failure::Status(EptStatus::DATABASE_INVALID))
        });
        assert_eq!(
            fake.calls(),
            [ept::LOOKUP, ept::LOOKUP, ept::LOOKUP_HANDLE_FREE]
        );
    }

    #[tokio::test]
    async fn an_answer_cut_short_does_not_decode() {
        let fake = Fake::bound(|_, stub| match page(&stub, 0..3, NULL, OK) {
            Answer::Response(stub, most) => Answer::Response(stub[..40].to_vec(), most),
            other => other,
        });
        assert_fails(lookup(&fake).await, Step::Call, |failure| {
            matches!(failure, Failure::Decode(_))
        });
    }

    #[test]
    fn a_query_asks_by_what_it_holds() {
        let asked = |query: LookupQuery| {
            let request = query.request(LIVE);
            let object = request.object.map(|object| object.value);
            let interface = request.interface.map(|id| id.value);
            (request.inquiry_type, object, interface, request.vers_option)
        };
        let interface = Some((SAMR, VersionOption::EXACT));
        let object = Some(SAMR.uuid);
        let [all, exact] = [VersionOption::ALL, VersionOption::EXACT];
        let query = |interface, object| LookupQuery { interface, object };
        assert_eq!(
            asked(query(None, None)),
            (InquiryType::ALL_ELTS, None, None, all)
        );
        assert_eq!(
            asked(query(interface, None)),
            (InquiryType::MATCH_BY_IF, None, Some(SAMR), exact)
        );
        assert_eq!(
            asked(query(None, object)),
            (InquiryType::MATCH_BY_OBJ, object, None, all)
        );
        assert_eq!(
            asked(query(interface, object)),
            (InquiryType::MATCH_BY_BOTH, object, Some(SAMR), exact)
        );
    }

    #[tokio::test]
    async fn a_map_asks_like_windows_and_skips_towers_that_are_null() {
        let fake = Fake::bound(|opnum, stub| {
            assert_eq!(opnum, ept::MAP);
            let request = MapRequest::decode(stub).unwrap();
            assert_eq!(request.object.map(|object| object.value), Some(Uuid::nil()));
            let tower = Tower::decode(request.tower.unwrap().value).unwrap();
            let parts = tower.parts().unwrap();
            assert_eq!(
                (parts.interface, parts.transfer_syntax),
                (SAMR, SyntaxId::NDR)
            );
            assert_eq!(parts.protseq, Some(ProtocolSequence::NcacnIpTcp));
            let towers = [tower.octets(), tower.octets()];
            let mut found = MapResponse::found(NULL, PAGE, Referents::after(2), towers);
            found.towers[0] = None;
            response(&stub, |out| found.encode(out))
        });
        let mut mapper = Mapper::connect(&fake.binding, Encoding::Any, generous())
            .await
            .unwrap();
        let towers = mapper
            .map(SAMR, ProtocolSequence::NcacnIpTcp, None)
            .await
            .unwrap();
        assert_eq!(towers.len(), 1);
        assert_eq!(
            &*towers[0],
            pattern(SAMR, ProtocolSequence::NcacnIpTcp).octets()
        );
    }

    #[test]
    fn every_protocol_sequence_has_a_pattern() {
        for protseq in ProtocolSequence::all() {
            let pattern = pattern(SAMR, protseq);
            assert_eq!(
                pattern.as_tower().parts().unwrap().protseq,
                Some(protseq),
                "{protseq}"
            );
        }
    }

    #[tokio::test]
    async fn changes_say_what_they_mean_and_return_the_status() {
        const OBJECT: Uuid = uuid!("0b5b3f6e-5f2c-4b6d-9d1c-6a8f3b1c2d3e");
        const TOWER: [u8; 3] = [1, 2, 3];
        let fake = Fake::bound(|opnum, stub| {
            let (entries, status) = match opnum {
                ept::INSERT => {
                    let request = InsertRequest::decode(stub).unwrap();
                    assert!(request.replace);
                    (request.entries, OK)
                }
                ept::DELETE => (DeleteRequest::decode(stub).unwrap().entries, NO_MORE),
                _ => {
                    let request = MgmtDeleteRequest::decode(stub).unwrap();
                    assert_eq!(request.object.unwrap().value, Uuid::nil());
                    assert_eq!(request.tower.unwrap().value, TOWER);
                    assert!(!request.object_speced);
                    (Vec::new(), OK)
                }
            };
            for entry in entries {
                assert_eq!((entry.object, &*entry.annotation), (OBJECT, &b"text"[..]));
                assert_eq!(entry.tower_octets(), Some(&TOWER[..]));
            }
            let told = StatusResponse { status };
            response(&stub, |out| told.encode(out))
        });
        let mut mapper = Mapper::connect(&fake.binding, Encoding::Any, generous())
            .await
            .unwrap();
        let entry = NewEntry {
            object: OBJECT,
            tower: &TOWER,
            annotation: b"text",
        };
        mapper.insert(&[entry; 2], true).await.unwrap();
        assert_fails(mapper.delete(&[entry]).await, Step::Call, |failure| {
            matches!(failure, Failure::Status(NO_MORE))
        });
        mapper.mgmt_delete(None, &TOWER).await.unwrap();
        drop(mapper);
        assert_eq!(fake.calls(), [ept::INSERT, ept::DELETE, ept::MGMT_DELETE]);
    }
}
