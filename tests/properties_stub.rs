//! Laws of the stubs of ept, mgmt and control, in NDR 2.0 of both byte orders and in
//! NDR64: what is encoded decodes to itself, octets behind the arguments do not matter, and whatever
//! decodes from damaged or arbitrary octets is encoded to what decodes alike.

use epmapper::wire::control::{
    Counter, CountersRequest, CountersResponse, EntriesRequest, EntriesResponse, Facts, KnownEntry,
    LeaseRequest, Life, MAX_ACCOUNT_NAME, MAX_COUNTER_NAME, NotProbed, Owner, OwnerKind, Probe,
    ProbeState, RegisterRequest, RegisterResponse, RenewResponse,
};
use epmapper::wire::ept::{
    ContextHandle, DeleteRequest, Entry, HandleFreeRequest, HandleFreeResponse, InqObjectResponse,
    InquiryType, InsertRequest, LookupRequest, LookupResponse, MAX_ANNOTATION, MapAuthRequest,
    MapRequest, MapResponse, MgmtDeleteRequest, Sid, StatusResponse, VersionOption,
};
use epmapper::wire::mgmt::{
    InqIfIdsResponse, InqPrincNameRequest, InqPrincNameResponse, InqStatsRequest, InqStatsResponse,
    IsServerListeningResponse, StopServerListeningResponse,
};
use epmapper::wire::ndr::{Pointer, Referents};
use epmapper::wire::{ByteOrder, EptStatus, Input, Output, SyntaxId, TransferSyntax};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::borrow::Cow;
use uuid::Uuid;

/// Octets that borrowed towers are cut from.
static TOWERS: [u8; 300] = [0xa5; 300];

/// One change of a stub: where and to what.
type Damage = (prop::sample::Index, u8);

/// How a stub is written: byte order and transfer syntax.
type Form = (ByteOrder, TransferSyntax);

/// Every form that there is.
const FORMS: [Form; 3] = [
    (ByteOrder::Little, TransferSyntax::Ndr),
    (ByteOrder::Big, TransferSyntax::Ndr),
    (ByteOrder::Little, TransferSyntax::Ndr64),
];

/// A stub to decode.
fn stub(octets: &[u8], (order, syntax): Form) -> Input<'_> {
    Input::stub(octets, order, syntax)
}

/// The octets of `$value` in `$form`.
macro_rules! encoded {
    ($value:expr, $form:expr) => {{
        let mut octets = Vec::new();
        let (order, syntax) = $form;
        $value.encode(&mut Output::stub(&mut octets, order, syntax));
        octets
    }};
}

/// The laws of `$type`, for values of `$strategy`.
macro_rules! laws {
    ($name:ident, $type:ident, $strategy:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn what_is_encoded_decodes_to_itself(
                    value in $strategy,
                    form in form(),
                    behind in vec(any::<u8>(), 0..9),
                ) {
                    let mut octets = encoded!(value, form);
                    let value = Ok(value);
                    prop_assert_eq!(&$type::decode(stub(&octets, form)), &value);
                    octets.extend(behind);
                    prop_assert_eq!(&$type::decode(stub(&octets, form)), &value);
                }

                #[test]
                fn every_cut_is_refused(
                    value in $strategy,
                    form in form(),
                    at in any::<prop::sample::Index>(),
                ) {
                    let octets = encoded!(value, form);
                    let short = &octets[..at.index(octets.len())];
                    prop_assert!($type::decode(stub(short, form)).is_err());
                }

                #[test]
                fn what_decodes_of_damage_is_encoded_alike(
                    value in $strategy,
                    form in form(),
                    damages in vec(any::<Damage>(), 1..6),
                ) {
                    let mut octets = encoded!(value, form);
                    for (at, octet) in damages {
                        let at = at.index(octets.len());
                        octets[at] = octet;
                    }
                    if let Ok(value) = $type::decode(stub(&octets, form)) {
                        let again = encoded!(value, form);
                        prop_assert_eq!($type::decode(stub(&again, form)), Ok(value));
                    }
                }

                #[test]
                fn what_decodes_of_anything_is_encoded_alike(
                    octets in vec(prop_oneof![4 => Just(0), 2 => 0..8u8, 1 => any::<u8>()], 0..200),
                    form in form(),
                ) {
                    if let Ok(value) = $type::decode(stub(&octets, form)) {
                        let again = encoded!(value, form);
                        prop_assert_eq!($type::decode(stub(&again, form)), Ok(value));
                    }
                }
            }
        }
    };
}

laws!(insert_request, InsertRequest, insert_request());
laws!(delete_request, DeleteRequest, delete_request());
laws!(lookup_request, LookupRequest, lookup_request());
laws!(lookup_response, LookupResponse, lookup_response());
laws!(map_request, MapRequest, map_request());
laws!(map_response, MapResponse, map_response());
laws!(map_auth_request, MapAuthRequest, map_auth_request());
laws!(
    mgmt_delete_request,
    MgmtDeleteRequest,
    mgmt_delete_request()
);
laws!(
    status_response,
    StatusResponse,
    status().prop_map(|status| StatusResponse { status })
);
laws!(
    handle_free_request,
    HandleFreeRequest,
    handle().prop_map(|handle| HandleFreeRequest { handle })
);
laws!(
    handle_free_response,
    HandleFreeResponse,
    (handle(), status()).prop_map(|(handle, status)| HandleFreeResponse { handle, status })
);
laws!(
    inq_object_response,
    InqObjectResponse,
    (uuid(), status()).prop_map(|(object, status)| InqObjectResponse { object, status })
);
laws!(inq_if_ids_response, InqIfIdsResponse, inq_if_ids_response());
laws!(
    inq_stats_request,
    InqStatsRequest,
    any::<u32>().prop_map(|count| InqStatsRequest { count })
);
laws!(
    inq_stats_response,
    InqStatsResponse,
    (vec(any::<u32>(), 0..65), status())
        .prop_map(|(statistics, status)| InqStatsResponse { statistics, status })
);
laws!(
    is_server_listening_response,
    IsServerListeningResponse,
    (status(), any::<bool>())
        .prop_map(|(status, listening)| IsServerListeningResponse { status, listening })
);
laws!(
    stop_server_listening_response,
    StopServerListeningResponse,
    status().prop_map(|status| StopServerListeningResponse { status })
);
laws!(
    inq_princ_name_request,
    InqPrincNameRequest,
    any::<(u32, u32)>().prop_map(|(authn_proto, princ_name_size)| InqPrincNameRequest {
        authn_proto,
        princ_name_size
    })
);
laws!(
    inq_princ_name_response,
    InqPrincNameResponse,
    inq_princ_name_response()
);

laws!(register_request, RegisterRequest, register_request());
laws!(
    register_response,
    RegisterResponse,
    (uuid(), any::<u32>(), status()).prop_map(|(lease, duration_ms, status)| RegisterResponse {
        lease,
        duration_ms,
        status
    })
);
laws!(
    lease_request,
    LeaseRequest,
    uuid().prop_map(|lease| LeaseRequest { lease })
);
laws!(
    renew_response,
    RenewResponse,
    (any::<u32>(), status()).prop_map(|(duration_ms, status)| RenewResponse {
        duration_ms,
        status
    })
);
laws!(
    entries_request,
    EntriesRequest,
    (any::<u64>(), page()).prop_map(|(after, max_ents)| EntriesRequest { after, max_ents })
);
laws!(entries_response, EntriesResponse, entries_response());
laws!(
    counters_request,
    CountersRequest,
    (0..=256u32).prop_map(|max_counters| CountersRequest { max_counters })
);
laws!(counters_response, CountersResponse, counters_response());

/// The last full page that a call may carry, and one entry more.
#[test]
fn five_hundred_entries_decode_and_one_more_does_not() {
    let cases = FORMS.map(|form| [(form, 500, true), (form, 501, false)]);
    for (form, count, accepted) in cases.into_iter().flatten() {
        let mut referents = Referents::after(0);
        let entries = (0..count)
            .map(|_| Entry::new(&mut referents, Uuid::nil(), &TOWERS[..75], &b"one"[..]))
            .collect();
        let value = LookupResponse {
            handle: ContextHandle::NULL,
            max_ents: count,
            entries,
            status: EptStatus::OK,
        };
        let octets = encoded!(value, form);
        let read = LookupResponse::decode(stub(&octets, form));
        assert_eq!(read.is_ok(), accepted);
    }
}

proptest! {
    #[test]
    fn referents_of_ndr64_keep_their_64_bits(highest in any::<u64>(), max_ents in page()) {
        let mut referents = Referents::after(highest);
        let value = LookupRequest {
            inquiry_type: InquiryType::MATCH_BY_BOTH,
            object: Some(referents.point(Uuid::nil())),
            interface: Some(referents.point(SyntaxId::EPT)),
            vers_option: VersionOption::ALL,
            handle: ContextHandle::NULL,
            max_ents,
        };
        let form = (ByteOrder::Little, TransferSyntax::Ndr64);
        let octets = encoded!(value, form);
        prop_assert_eq!(LookupRequest::decode(stub(&octets, form)), Ok(value));
    }
}

/// Every form that a stub may have.
fn form() -> impl Strategy<Value = Form> {
    prop::sample::select(&FORMS[..])
}

/// Any UUID, the nil one often.
fn uuid() -> impl Strategy<Value = Uuid> {
    prop_oneof![
        Just(Uuid::nil()),
        any::<[u8; 16]>().prop_map(Uuid::from_bytes)
    ]
}

/// Any interface.
fn interface() -> impl Strategy<Value = SyntaxId> {
    (uuid(), any::<u16>(), any::<u16>()).prop_map(|(uuid, major, minor)| SyntaxId {
        uuid,
        major,
        minor,
    })
}

/// Any context handle.
fn handle() -> impl Strategy<Value = ContextHandle> {
    (any::<u32>(), uuid()).prop_map(|(attributes, uuid)| ContextHandle { attributes, uuid })
}

/// Any status.
fn status() -> impl Strategy<Value = EptStatus> {
    any::<u32>().prop_map(EptStatus)
}

/// A number of entries that a call may ask for.
fn page() -> impl Strategy<Value = u32> {
    0..=500u32
}

/// Referents from anywhere, also from where they begin again.
fn referents() -> impl Strategy<Value = Referents> {
    prop_oneof![0..9u64, any::<u32>().prop_map(u64::from), Just(0xffff_fffe)]
        .prop_map(Referents::after)
}

/// The octets of a tower; borrowed, since a request borrows them.
fn tower() -> impl Strategy<Value = &'static [u8]> {
    (0..TOWERS.len()).prop_map(|length| &TOWERS[..length])
}

/// A tower as an entry or a response holds it.
fn owned_tower() -> impl Strategy<Value = Cow<'static, [u8]>> {
    vec(any::<u8>(), 0..90).prop_map(Cow::from)
}

/// A text without NUL, of at most `longest` octets.
fn text(longest: usize) -> impl Strategy<Value = Cow<'static, [u8]>> {
    vec(1..=255u8, 0..=longest).prop_map(Cow::from)
}

/// Entries, some without a tower.
fn entries() -> impl Strategy<Value = Vec<Entry<'static>>> {
    let entry = (uuid(), option::of(owned_tower()), text(MAX_ANNOTATION));
    (referents(), vec(entry, 0..8)).prop_map(|(mut referents, entries)| {
        let numbered = entries
            .into_iter()
            .map(|(object, tower, annotation)| Entry {
                object,
                tower: tower.map(|tower| referents.point(tower)),
                annotation,
            });
        numbered.collect()
    })
}

/// An insert.
fn insert_request() -> impl Strategy<Value = InsertRequest<'static>> {
    (entries(), any::<bool>()).prop_map(|(entries, replace)| InsertRequest { entries, replace })
}

/// A delete.
fn delete_request() -> impl Strategy<Value = DeleteRequest<'static>> {
    entries().prop_map(|entries| DeleteRequest { entries })
}

/// A lookup.
fn lookup_request() -> impl Strategy<Value = LookupRequest> {
    let asked = (option::of(uuid()), option::of(interface()));
    (any::<(u32, u32)>(), referents(), asked, handle(), page()).prop_map(
        |((inquiry_type, vers_option), mut referents, (object, interface), handle, max_ents)| {
            LookupRequest {
                inquiry_type: InquiryType(inquiry_type),
                object: object.map(|object| referents.point(object)),
                interface: interface.map(|interface| referents.point(interface)),
                vers_option: VersionOption(vers_option),
                handle,
                max_ents,
            }
        },
    )
}

/// A page of a lookup.
fn lookup_response() -> impl Strategy<Value = LookupResponse<'static>> {
    (handle(), page(), entries(), status()).prop_map(|(handle, max_ents, entries, status)| {
        LookupResponse {
            handle,
            max_ents: max_ents.max(entries.len() as u32),
            entries,
            status,
        }
    })
}

/// A map.
fn map_request() -> impl Strategy<Value = MapRequest<'static>> {
    let asked = (option::of(uuid()), option::of(tower()));
    (referents(), asked, handle(), page()).prop_map(
        |(mut referents, (object, tower), handle, max_towers)| MapRequest {
            object: object.map(|object| referents.point(object)),
            tower: tower.map(|tower| referents.point(tower)),
            handle,
            max_towers,
        },
    )
}

/// The answer to a map, some pointers NULL.
fn map_response() -> impl Strategy<Value = MapResponse<'static>> {
    let towers = vec(option::weighted(0.8, owned_tower()), 0..8);
    (referents(), towers, handle(), page(), status()).prop_map(
        |(mut referents, towers, handle, max_towers, status)| MapResponse {
            handle,
            max_towers: max_towers.max(towers.len() as u32),
            towers: towers
                .into_iter()
                .map(|tower| tower.map(|tower| referents.point(tower)))
                .collect(),
            status,
        },
    )
}

/// A map for the servers of an account.
fn map_auth_request() -> impl Strategy<Value = MapAuthRequest<'static>> {
    let sid = (any::<u8>(), any::<[u8; 6]>(), vec(any::<u32>(), 0..16)).prop_map(
        |(revision, authority, sub_authorities)| Sid {
            revision,
            authority,
            sub_authorities,
        },
    );
    (
        referents(),
        uuid(),
        tower(),
        option::of(sid),
        handle(),
        page(),
    )
        .prop_map(
            |(mut referents, object, tower, sid, handle, max_towers)| MapAuthRequest {
                object,
                tower,
                sid: sid.map(|sid| referents.point(sid)),
                handle,
                max_towers,
            },
        )
}

/// A delete by an administrator.
fn mgmt_delete_request() -> impl Strategy<Value = MgmtDeleteRequest<'static>> {
    (
        referents(),
        any::<bool>(),
        option::of(uuid()),
        option::of(tower()),
    )
        .prop_map(
            |(mut referents, object_speced, object, tower)| MgmtDeleteRequest {
                object_speced,
                object: object.map(|object| referents.point(object)),
                tower: tower.map(|tower| referents.point(tower)),
            },
        )
}

/// A vector of interfaces; referents need not differ.
fn inq_if_ids_response() -> impl Strategy<Value = InqIfIdsResponse> {
    let referent = (1..=u32::MAX).prop_map(u64::from);
    let id =
        (referent.clone(), interface()).prop_map(|(referent, value)| Pointer { referent, value });
    let vector = (referent, vec(option::weighted(0.8, id), 0..8))
        .prop_map(|(referent, value)| Pointer { referent, value });
    (option::of(vector), status()).prop_map(|(vector, status)| InqIfIdsResponse { vector, status })
}

/// A principal name.
fn inq_princ_name_response() -> impl Strategy<Value = InqPrincNameResponse<'static>> {
    (any::<u32>(), text(300), status()).prop_map(|(princ_name_size, princ_name, status)| {
        InqPrincNameResponse {
            princ_name_size: princ_name_size.max(princ_name.len() as u32 + 1),
            princ_name,
            status,
        }
    })
}

/// A registration with a life.
fn register_request() -> impl Strategy<Value = RegisterRequest<'static>> {
    let life = any::<(u32, u32)>();
    (life, uuid(), any::<bool>(), entries()).prop_map(
        |((life, duration_ms), lease, replace, entries)| RegisterRequest {
            life: Life(life),
            duration_ms,
            lease,
            replace,
            entries,
        },
    )
}

/// What a mapper knows of an entry.
fn facts() -> impl Strategy<Value = Facts> {
    let owner = any::<(u32, u32, [u8; 16])>().prop_map(|(kind, uid, address)| Owner {
        kind: OwnerKind(kind),
        uid,
        address,
    });
    let probe = any::<(u32, u32, u32, u32)>().prop_map(|(state, reason, age_ms, failures)| Probe {
        state: ProbeState(state),
        reason: NotProbed(reason),
        age_ms,
        failures,
    });
    let numbers = any::<(u64, u64, u32, u32, u32)>();
    (numbers, uuid(), owner, probe).prop_map(
        |((number, age_seconds, life, pid, left_ms), lease, owner, probe)| Facts {
            number,
            age_seconds,
            lease,
            owner,
            life: Life(life),
            pid,
            left_ms,
            probe,
        },
    )
}

/// The same, and the name of an account that owns it.
fn known() -> impl Strategy<Value = (Facts, Cow<'static, [u8]>)> {
    (facts(), any::<bool>(), text(MAX_ACCOUNT_NAME)).prop_map(|(mut facts, is_account, name)| {
        if is_account {
            facts.owner.kind = OwnerKind::ACCOUNT;
        }
        match facts.owner.kind {
            OwnerKind::ACCOUNT => (facts, name),
            _ => (facts, Cow::default()),
        }
    })
}

/// A page of entries with what the mapper knows of them.
fn entries_response() -> impl Strategy<Value = EntriesResponse<'static>> {
    let known = entries().prop_flat_map(|entries| {
        let facts = vec(known(), entries.len());
        (Just(entries), facts)
    });
    (any::<u64>(), page(), known, status()).prop_map(
        |(next, max_ents, (entries, facts), status)| {
            let known = entries.into_iter().zip(facts);
            let entries: Vec<_> = known
                .map(|(entry, (facts, account))| KnownEntry {
                    entry,
                    facts,
                    account,
                })
                .collect();
            EntriesResponse {
                next,
                max_ents: max_ents.max(entries.len() as u32),
                entries,
                status,
            }
        },
    )
}

/// What a mapper counts.
fn counters_response() -> impl Strategy<Value = CountersResponse<'static>> {
    let counter =
        (any::<u64>(), text(MAX_COUNTER_NAME)).prop_map(|(value, name)| Counter { value, name });
    (0..=256u32, vec(counter, 0..8), status()).prop_map(|(most, counters, status)| {
        CountersResponse {
            max_counters: most.max(counters.len() as u32),
            counters,
            status,
        }
    })
}
