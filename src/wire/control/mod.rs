//! Stubs of the control interface, 6a5f1c1e-...-7001 v1.0: what `ept` cannot
//! say, for callers on the mapper's own host.
//!
//! The interface is this package's own, served over local sockets only: a
//! registrant asks there how its entries are to end, renews and gives back a
//! lease, and is told what only the mapper knows. `docs/control.md` has it in
//! IDL. Holds the requests and responses of operations 0 to 4; leaves out what
//! they mean. Always holds: octets behind the last argument are left alone;
//! every count has a limit, which is checked before memory is taken.
//!
//! Entries are those of `ept`, octet for octet. Layouts are told as in NDR 2.0:
//! in NDR64 referents and counts have 64 bits and are aligned to them, which
//! `wire::ndr` alone knows. A `hyper` has 64 bits in both and is aligned to 8.

mod facts;

pub use facts::{Facts, Life, NotProbed, Owner, OwnerKind, Probe, ProbeState};

use super::ept::{Entry, MAX_ENTRIES, counted_entries, entries, put_counted_entries, put_entries};
use super::input::{DecodeError, Input, Parsed};
use super::ndr;
use super::output::Output;
use super::status::EptStatus;
use std::borrow::Cow;
use uuid::Uuid;

/// Registers entries with a life of the caller's choice.
pub const REGISTER: u16 = 0;
/// Renews a lease.
pub const RENEW: u16 = 1;
/// Gives a lease back, and with it its entries.
pub const RELEASE: u16 = 2;
/// Tells entries with what the mapper knows of them.
pub const ENTRIES: u16 = 3;
/// Tells what the mapper counts.
pub const COUNTERS: u16 = 4;

/// The name of an operation, if the number has one.
pub fn operation_name(opnum: u16) -> Option<&'static str> {
    Some(match opnum {
        REGISTER => "control_register",
        RENEW => "control_renew",
        RELEASE => "control_release",
        ENTRIES => "control_entries",
        COUNTERS => "control_counters",
        _ => return None,
    })
}

/// The most counters that a call asks for and a response holds.
pub const MAX_COUNTERS: u32 = 256;

/// The longest name of a counter, in octets, without its NUL.
pub const MAX_COUNTER_NAME: usize = 63;

/// The longest name of an account, in octets, without its NUL.
pub const MAX_ACCOUNT_NAME: usize = 255;

/// The request of `control_register`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRequest<'a> {
    /// What is to end the entries: `PROCESS`, `PROBE` or `LEASE`.
    pub life: Life,
    /// How long a lease is to last from its last renewal, in milliseconds; 0
    /// where there is none.
    pub duration_ms: u32,
    /// The lease that the entries join; nil for a new one, or for none.
    pub lease: Uuid,
    /// Whether they replace what stands for the same service, as `ept_insert`
    /// has it.
    pub replace: bool,
    /// The entries to put in, at most `ept::MAX_ENTRIES`: all of them or none.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> RegisterRequest<'a> {
    /// Decodes the request.
    ///
    /// Layout: life u32, duration u32, lease uuid, replace boolean32, num_ents
    /// u32, max_count, which is the same, entries, their towers.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for too many entries; `Mismatch` when the counts
    /// differ; what an entry refuses.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, life) = ndr::u32("life")(stub)?;
        let (i, duration_ms) = ndr::u32("duration")(i)?;
        let (i, lease) = ndr::uuid("lease")(i)?;
        let (i, replace) = ndr::boolean("replace")(i)?;
        let (_, entries) = counted_entries(i)?;
        Ok(RegisterRequest {
            life: Life(life),
            duration_ms,
            lease,
            replace,
            entries,
        })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.life.0);
        ndr::put_u32(out, self.duration_ms);
        ndr::put_uuid(out, &self.lease);
        ndr::put_boolean(out, self.replace);
        put_counted_entries(out, &self.entries);
    }
}

/// The response of `control_register`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterResponse {
    /// The lease of the entries; nil where their life is another.
    pub lease: Uuid,
    /// How long it lasts from now, in milliseconds, which may be another time
    /// than the one asked for; 0 without a lease.
    pub duration_ms: u32,
    /// How it went.
    pub status: EptStatus,
}

impl RegisterResponse {
    /// Decodes the response: lease uuid, duration u32, status u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, lease) = ndr::uuid("lease")(stub)?;
        let (i, duration_ms) = ndr::u32("duration")(i)?;
        let (_, status) = ndr::status(i)?;
        Ok(RegisterResponse {
            lease,
            duration_ms,
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_uuid(out, &self.lease);
        ndr::put_u32(out, self.duration_ms);
        ndr::put_status(out, self.status);
    }
}

/// The request of `control_renew` and of `control_release`. The response to the
/// latter is an [`ept::StatusResponse`](super::ept::StatusResponse).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The lease.
    pub lease: Uuid,
}

impl LeaseRequest {
    /// Decodes the request: lease uuid.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (_, lease) = ndr::uuid("lease")(stub)?;
        Ok(LeaseRequest { lease })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_uuid(out, &self.lease);
    }
}

/// The response of `control_renew`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewResponse {
    /// How long the lease lasts from now, in milliseconds.
    pub duration_ms: u32,
    /// How it went: `NOT_REGISTERED` when the caller has no such lease.
    pub status: EptStatus,
}

impl RenewResponse {
    /// Decodes the response: duration u32, status u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, duration_ms) = ndr::u32("duration")(stub)?;
        let (_, status) = ndr::status(i)?;
        Ok(RenewResponse {
            duration_ms,
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.duration_ms);
        ndr::put_status(out, self.status);
    }
}

/// The request of `control_entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntriesRequest {
    /// The number behind which to go on, as the last page told it; 0 to begin.
    pub after: u64,
    /// The most entries to answer, at most `ept::MAX_ENTRIES`.
    pub max_ents: u32,
}

impl EntriesRequest {
    /// Decodes the request: after hyper, max_ents u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for max_ents.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, after) = ndr::u64("after")(stub)?;
        let (_, max_ents) = ndr::u32_within("max_ents", MAX_ENTRIES)(i)?;
        Ok(EntriesRequest { after, max_ents })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u64(out, self.after);
        ndr::put_u32(out, self.max_ents);
    }
}

/// An entry of the map and what the mapper knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEntry<'a> {
    /// The entry, as `ept_lookup` tells it.
    pub entry: Entry<'a>,
    /// The rest, but the name of an account.
    pub facts: Facts,
    /// The account that it belongs to, in UTF-8 up to the NUL, at most
    /// [`MAX_ACCOUNT_NAME`] octets; empty where its owner is none.
    pub account: Cow<'a, [u8]>,
}

impl KnownEntry<'_> {
    /// Whether its owner is an account.
    fn is_of_account(&self) -> bool {
        self.facts.owner.kind == OwnerKind::ACCOUNT
    }
}

/// The response of `control_entries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesResponse<'a> {
    /// What to ask the next page with; 0 when there are no more.
    pub next: u64,
    /// The request's max_ents; at least as many as there are entries.
    pub max_ents: u32,
    /// The entries, at most `ept::MAX_ENTRIES`.
    pub entries: Vec<KnownEntry<'a>>,
    /// How it went; ok also where there is none.
    pub status: EptStatus,
}

impl<'a> EntriesResponse<'a> {
    /// Decodes the response.
    ///
    /// Layout: next hyper, num_ents u32; max_count, offset 0, actual_count,
    /// entries, their towers; max_count, offset 0, actual_count, facts; status
    /// u32; num_accounts u32; max_count, offset 0, actual_count, names. Entries
    /// and facts have the same counts. There is a name for each owner that is an
    /// account, in their order: offset 0, count (1 to 256, its NUL among them),
    /// octets; in NDR64 filled up to 8.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for too many entries, for an actual count above
    /// the maximum and for a long name; `Mismatch` when counts differ; `Nul` for
    /// a name; what an entry refuses.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, next) = ndr::u64("next")(stub)?;
        let (i, num_ents) = ndr::u32_within("num_ents", MAX_ENTRIES)(i)?;
        let count = num_ents.into();
        let (i, max_ents) = ndr::conformant_varying_of("entries", count)(i)?;
        let (at, entries) = entries(count)(i)?;
        let (i, maximum) = ndr::conformant_varying_of("facts", count)(at)?;
        ndr::agree(at, "facts", maximum.into(), max_ents.into())?;
        let (i, facts) = all_facts(count)(i)?;
        let (i, status) = ndr::status(i)?;
        let known = entries.into_iter().zip(facts);
        let known = known.map(|(entry, facts)| KnownEntry {
            entry,
            facts,
            account: Cow::default(),
        });
        let mut entries: Vec<_> = known.collect();
        name_accounts(i, max_ents, &mut entries)?;
        Ok(EntriesResponse {
            next,
            max_ents,
            entries,
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        let count = self.entries.len();
        ndr::put_u64(out, self.next);
        ndr::put_u32(out, count as u32);
        ndr::put_conformant_varying(out, self.max_ents, count);
        put_entries(out, self.entries.iter().map(|known| &known.entry));
        ndr::put_conformant_varying(out, self.max_ents, count);
        for known in &self.entries {
            known.facts.encode(out);
        }
        ndr::put_status(out, self.status);
        let accounts = self.entries.iter().filter(|known| known.is_of_account());
        let accounts: Vec<_> = accounts.map(|known| &known.account).collect();
        ndr::put_u32(out, accounts.len() as u32);
        ndr::put_conformant_varying(out, self.max_ents, accounts.len());
        for account in accounts {
            ndr::put_varying_string(out, account, MAX_ACCOUNT_NAME + 1);
            ndr::put_gap(out);
        }
    }
}

/// Reads the names of the accounts that entries belong to.
fn name_accounts<'a>(
    i: Input<'a>,
    max_ents: u32,
    entries: &mut [KnownEntry<'a>],
) -> Result<(), DecodeError> {
    let count = entries.iter().filter(|known| known.is_of_account()).count() as u64;
    let (at, stated) = ndr::u32("num_accounts")(i)?;
    ndr::agree(i, "num_accounts", stated.into(), count)?;
    let (mut i, maximum) = ndr::conformant_varying_of("accounts", count)(at)?;
    ndr::agree(at, "accounts", maximum.into(), max_ents.into())?;
    for known in entries.iter_mut().filter(|known| known.is_of_account()) {
        let (rest, name) = ndr::varying_string("account", MAX_ACCOUNT_NAME + 1)(i)?;
        let (rest, ()) = ndr::gap("account")(rest)?;
        known.account = name.into();
        i = rest;
    }
    Ok(())
}

/// Reads the facts of `count` entries.
fn all_facts<'a>(count: u64) -> impl FnMut(Input<'a>) -> Parsed<'a, Vec<Facts>> {
    move |mut i| {
        let count = ndr::room(i, "facts", count, Facts::LEN)?;
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let (rest, facts) = Facts::decode(i)?;
            all.push(facts);
            i = rest;
        }
        Ok((i, all))
    }
}

/// The request of `control_counters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountersRequest {
    /// The most counters to answer, at most [`MAX_COUNTERS`].
    pub max_counters: u32,
}

impl CountersRequest {
    /// Decodes the request: max_counters u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for max_counters.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (_, max_counters) = ndr::u32_within("max_counters", MAX_COUNTERS)(stub)?;
        Ok(CountersRequest { max_counters })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.max_counters);
    }
}

/// Something that the mapper counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter<'a> {
    /// How much there is or was of it.
    pub value: u64,
    /// What it is called, up to the NUL; at most [`MAX_COUNTER_NAME`] octets.
    pub name: Cow<'a, [u8]>,
}

/// The response of `control_counters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountersResponse<'a> {
    /// The request's max_counters; at least as many as there are counters.
    pub max_counters: u32,
    /// The counters, in the mapper's order.
    pub counters: Vec<Counter<'a>>,
    /// How it went.
    pub status: EptStatus,
}

impl<'a> CountersResponse<'a> {
    /// Decodes the response.
    ///
    /// Layout: num_counters u32, max_count, offset 0, actual_count, counters,
    /// status u32. A counter: aligned to 8, value hyper, name offset 0, name
    /// count (1 to 64, its NUL among them), octets; in NDR64 filled up to 8.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for too many counters, an actual count above the
    /// maximum and a long name; `Mismatch` when counts differ; `Value` and `Nul`
    /// for a name.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, count) = ndr::u32_within("num_counters", MAX_COUNTERS)(stub)?;
        let count = count.into();
        let (mut i, max_counters) = ndr::conformant_varying_of("counters", count)(i)?;
        let least = 8 + 2 * ndr::width(i.syntax());
        let count = ndr::room(i, "counters", count, least)?;
        let mut counters = Vec::with_capacity(count);
        for _ in 0..count {
            let (rest, counter) = Counter::decode(i)?;
            counters.push(counter);
            i = rest;
        }
        let (_, status) = ndr::status(i)?;
        Ok(CountersResponse {
            max_counters,
            counters,
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.counters.len() as u32);
        ndr::put_conformant_varying(out, self.max_counters, self.counters.len());
        for counter in &self.counters {
            counter.encode(out);
        }
        ndr::put_status(out, self.status);
    }
}

impl<'a> Counter<'a> {
    /// Reads one counter.
    fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, value) = ndr::u64("value")(i)?;
        let (i, name) = ndr::varying_string("name", MAX_COUNTER_NAME + 1)(i)?;
        let (i, ()) = ndr::gap("name")(i)?;
        let name = name.into();
        Ok((i, Counter { value, name }))
    }

    /// Writes one counter.
    fn encode(&self, out: &mut Output) {
        ndr::put_u64(out, self.value);
        ndr::put_varying_string(out, &self.name, MAX_COUNTER_NAME + 1);
        ndr::put_gap(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::DecodeFault;
    use crate::wire::ndr::Referents;
    use crate::wire::ndr::testing::{NIL, TOWER, encoded, encoded64, hex, stub64};
    use uuid::uuid;

    const LEASE: Uuid = uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58");

    /// An entry annotated "a".
    fn entry() -> Entry<'static> {
        Entry::new(&mut Referents::after(0), Uuid::nil(), hex(TOWER), &b"a"[..])
    }

    /// Facts of an entry that lives by a lease.
    fn facts() -> Facts {
        Facts {
            number: 7,
            age_seconds: Facts::NO_AGE,
            lease: LEASE,
            owner: Owner::user(1000),
            life: Life::LEASE,
            pid: 0,
            left_ms: 20_000,
            probe: Probe::default(),
        }
    }

    #[test]
    fn a_registration_is_an_insert_behind_what_it_says_of_its_life() {
        let value = RegisterRequest {
            life: Life::LEASE,
            duration_ms: 30_000,
            lease: LEASE,
            replace: true,
            entries: vec![entry()],
        };
        // life, duration; lease; replace, num_ents, max_count; object, referent,
        // offset, count, annotation, pad; max_count, tower_length, tower
        for (order, octets) in [
            (
                Little,
                format!(
                    "03000000 30750000 0c8e44004bbc0f4dbbc194b170674b58 01000000 01000000 01000000
                     {NIL} 01000000 00000000 02000000 6100 0000 4b000000 4b000000 {TOWER}"
                ),
            ),
            (
                Big,
                format!(
                    "00000003 00007530 00448e0cbc4b4d0fbbc194b170674b58 00000001 00000001 00000001
                     {NIL} 00000001 00000000 00000002 6100 0000 0000004b 0000004b {TOWER}"
                ),
            ),
        ] {
            let octets = hex(&octets);
            assert_eq!(
                RegisterRequest::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn a_page_has_the_facts_behind_all_entries() {
        let value = EntriesResponse {
            next: 7,
            max_ents: 500,
            entries: vec![KnownEntry {
                entry: entry(),
                facts: facts(),
                account: Cow::default(),
            }],
            status: EptStatus::OK,
        };
        // next; num_ents, max_count, offset, actual_count; object, referent,
        // offset, count, annotation, pad; max_count, tower_length, tower, pad;
        // max_count, offset, actual_count; number, age, lease, owner, uid,
        // address, life, pid, left, state, reason, age, failures; status;
        // num_accounts, max_count, offset, actual_count
        let facts = format!(
            "0700000000000000 ffffffffffffffff 0c8e44004bbc0f4dbbc194b170674b58
             02000000 e8030000 {NIL} 03000000 00000000 204e0000
             00000000 00000000 00000000 00000000"
        );
        assert_eq!(hex(&facts).len(), Facts::LEN);
        let octets = hex(&format!(
            "0700000000000000 01000000 f4010000 00000000 01000000
             {NIL} 01000000 00000000 02000000 6100 0000 4b000000 4b000000 {TOWER} 00
             f4010000 00000000 01000000 {facts} 00000000
             00000000 f4010000 00000000 00000000"
        ));
        let read = EntriesResponse::decode(Input::new(&octets, Little));
        assert_eq!(read, Ok(value.clone()));
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
        let octets = hex(&format!(
            "0700000000000000 01000000 00000000
             f401000000000000 0000000000000000 0100000000000000
             {NIL} 0100000000000000 0000000000000000 0200000000000000 6100 000000000000
             4b00000000000000 4b000000 {TOWER} 00
             f401000000000000 0000000000000000 0100000000000000
             {facts} 00000000 00000000 00000000
             f401000000000000 0000000000000000 0000000000000000"
        ));
        assert_eq!(EntriesResponse::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn names_of_accounts_stand_behind_all_that_was_told_before() {
        let owned = |owner, account: &'static [u8]| KnownEntry {
            entry: entry(),
            facts: Facts { owner, ..facts() },
            account: account.into(),
        };
        let address = "192.0.2.7".parse().ok();
        let alice = owned(Owner::account(address), b"alice");
        let bob = owned(Owner::account(None), b"bob@lab.example");
        let value = EntriesResponse {
            next: 0,
            max_ents: 500,
            entries: vec![alice, owned(Owner::user(1000), b""), bob],
            status: EptStatus::OK,
        };
        assert_eq!(value.entries[0].facts.owner.address(), address.unwrap());
        // status; num_accounts, max_count, offset, actual_count; offset, count,
        // name of each
        let behind = "00000000 02000000 f4010000 00000000 02000000
             00000000 06000000 616c69636500 0000
             00000000 10000000 626f62406c61622e6578616d706c6500";
        let octets = encoded(Little, |out| value.encode(out));
        assert!(octets.ends_with(&hex(behind)), "{octets:02x?}");
        let read = |octets: &[u8]| EntriesResponse::decode(Input::new(octets, Little)).is_ok();
        assert!(read(&octets));
        let wide = encoded64(|out| value.encode(out));
        assert_eq!(EntriesResponse::decode(stub64(&wide)), Ok(value));
        // Two accounts, and one name.
        let mut one = octets.clone();
        let count = octets.len() - hex(behind).len() + 4;
        one[count] = 1;
        assert!(!read(&one));
        // A name of 257 octets.
        let mut long = octets;
        long[count + 20..count + 22].copy_from_slice(&[1, 1]);
        assert!(!read(&long));
    }

    #[test]
    fn counters_are_aligned_to_their_values() {
        let counter = |name: &'static [u8], value| Counter {
            value,
            name: name.into(),
        };
        let value = CountersResponse {
            max_counters: 256,
            counters: vec![counter(b"entries", 3), counter(b"renewed", u64::MAX)],
            status: EptStatus::OK,
        };
        // num_counters, max_count, offset, actual_count; value, offset, count,
        // name of each; status
        let octets = hex("02000000 00010000 00000000 02000000
             0300000000000000 00000000 08000000 656e747269657300
             ffffffffffffffff 00000000 08000000 72656e6577656400 00000000");
        let read = CountersResponse::decode(Input::new(&octets, Little));
        assert_eq!(read, Ok(value.clone()));
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
        let wide = encoded64(|out| value.encode(out));
        assert_eq!(CountersResponse::decode(stub64(&wide)), Ok(value));
    }

    #[test]
    fn a_host_has_its_address_and_an_unknown_number_no_name() {
        for address in ["192.0.2.7", "2001:db8::7"] {
            let address = address.parse().unwrap();
            assert_eq!(Owner::host(address).address(), address);
        }
        assert_eq!(Life::LEASE.name(), Some("lease"));
        assert_eq!(ProbeState(9).name(), None);
    }

    #[test]
    fn counts_above_the_limit_or_of_two_minds_are_refused() {
        let of_entries = |stub: &str| {
            let octets = hex(stub);
            let read = EntriesResponse::decode(Input::new(&octets, Little));
            read.unwrap_err().fault
        };
        let limit = |count, limit| DecodeFault::Limit { count, limit };
        assert_eq!(
            of_entries(&format!("{} f5010000", &NIL[..16])),
            limit(501, 500)
        );
        let none = "0000000000000000 00000000 02000000 00000000 00000000";
        assert_eq!(
            of_entries(&format!("{none} 01000000 00000000 00000000 00000000")),
            DecodeFault::Mismatch {
                stated: 1,
                found: 2
            }
        );
        let octets = hex("01010000");
        let stub = Input::new(&octets, Little);
        let asked = CountersRequest::decode(stub).unwrap_err();
        assert_eq!(asked.fault, limit(257, 256));
        let told = CountersResponse::decode(stub).unwrap_err();
        assert_eq!(told.fault, limit(257, 256));
        let octets = hex("01000000 02000000 00000000 01000000 0000");
        let short = CountersResponse::decode(Input::new(&octets, Little)).unwrap_err();
        assert_eq!(short.fault, DecodeFault::Truncated { left: 2 });
    }
}
