//! `ept_insert`, `ept_delete` and `ept_mgmt_delete`: what changes the map. Each
//! is answered with a [`StatusResponse`](super::StatusResponse).

use super::MAX_ENTRIES;
use super::entry::{Entry, entries, put_entries, put_tower, tower};
use crate::wire::input::{DecodeError, Input, Parsed};
use crate::wire::ndr::{self, Pointer};
use crate::wire::output::Output;
use uuid::Uuid;

/// The request of `ept_insert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsertRequest<'a> {
    /// The entries to put in, at most [`MAX_ENTRIES`].
    pub entries: Vec<Entry<'a>>,
    /// Whether they replace what stands for the same service.
    pub replace: bool,
}

impl<'a> InsertRequest<'a> {
    /// Decodes the request.
    ///
    /// Layout: num_ents u32, max_count, which is the same, entries, their
    /// towers, replace boolean32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for more than [`MAX_ENTRIES`]; `Mismatch` when the
    /// counts differ; what an entry refuses.
    ///
    /// # Source
    /// C706 appendix O.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, entries) = counted_entries(stub)?;
        let (_, replace) = ndr::boolean("replace")(i)?;
        Ok(InsertRequest { entries, replace })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        put_counted_entries(out, &self.entries);
        ndr::put_boolean(out, self.replace);
    }
}

/// The request of `ept_delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRequest<'a> {
    /// The entries to take out, at most [`MAX_ENTRIES`].
    pub entries: Vec<Entry<'a>>,
}

impl<'a> DeleteRequest<'a> {
    /// Decodes the request: as that of `ept_insert`, without replace.
    ///
    /// # Errors
    /// As [`InsertRequest::decode`].
    ///
    /// # Source
    /// C706 appendix O.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (_, entries) = counted_entries(stub)?;
        Ok(DeleteRequest { entries })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        put_counted_entries(out, &self.entries);
    }
}

/// The request of `ept_mgmt_delete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MgmtDeleteRequest<'a> {
    /// Whether the object counts.
    pub object_speced: bool,
    /// The object of the entries to take out.
    pub object: Option<Pointer<Uuid>>,
    /// The octets of the tower of the entries to take out.
    pub tower: Option<Pointer<&'a [u8]>>,
}

impl<'a> MgmtDeleteRequest<'a> {
    /// Decodes the request.
    ///
    /// Layout: object_speced boolean32, object pointer with uuid, tower pointer
    /// with twr_t.
    ///
    /// # Errors
    /// `Truncated`; `Mismatch` for the tower's lengths.
    ///
    /// # Source
    /// C706 appendix O.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, object_speced) = ndr::boolean("object_speced")(stub)?;
        let (i, object) = ndr::pointer("object", ndr::uuid("object"))(i)?;
        let (_, tower) = ndr::pointer("tower", tower("tower"))(i)?;
        Ok(MgmtDeleteRequest {
            object_speced,
            object,
            tower,
        })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_boolean(out, self.object_speced);
        ndr::put_pointer(out, self.object.as_ref(), ndr::put_uuid);
        ndr::put_pointer(out, self.tower.as_ref(), |out, tower| put_tower(out, tower));
    }
}

/// Reads num_ents, the conformant array's count, the entries and their towers.
pub(in crate::wire) fn counted_entries(i: Input<'_>) -> Parsed<'_, Vec<Entry<'_>>> {
    let (i, num_ents) = ndr::u32_within("num_ents", MAX_ENTRIES)(i)?;
    let (i, ()) = ndr::count_of("entries", num_ents.into())(i)?;
    entries(num_ents.into())(i)
}

/// Writes what [`counted_entries`] reads.
pub(in crate::wire) fn put_counted_entries(out: &mut Output, entries: &[Entry]) {
    ndr::put_u32(out, entries.len() as u32);
    ndr::put_count(out, entries.len());
    put_entries(out, entries);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::DecodeFault;
    use crate::wire::ndr::Referents;
    use crate::wire::ndr::testing::{NIL, TOWER, encoded, encoded64, hex, stub64};

    /// An insert with one entry, in both byte orders: num_ents, max_count;
    /// object, referent, offset, count, annotation, pad; max_count,
    /// tower_length, tower, pad; replace.
    fn samples() -> [(crate::wire::ByteOrder, Vec<u8>); 2] {
        let little = format!(
            "01000000 01000000 {NIL} 01000000 00000000 0b000000 534d42544f525455524500 00
             4b000000 4b000000 {TOWER} 00 01000000"
        );
        let big = format!(
            "00000001 00000001 {NIL} 00000001 00000000 0000000b 534d42544f525455524500 00
             0000004b 0000004b {TOWER} 00 00000001"
        );
        [(Little, hex(&little)), (Big, hex(&big))]
    }

    #[test]
    fn an_insert_is_laid_out_as_smbtorture_sends_it() {
        let mut referents = Referents::after(0);
        let entry = Entry::new(&mut referents, Uuid::nil(), hex(TOWER), &b"SMBTORTURE"[..]);
        let entries = vec![entry];
        let value = InsertRequest {
            entries,
            replace: true,
        };
        for (order, octets) in samples() {
            assert_eq!(
                InsertRequest::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn an_insert_of_ndr64_has_a_gap_before_its_array_and_behind_its_entry() {
        let mut referents = Referents::after(0);
        let entry = Entry::new(&mut referents, Uuid::nil(), hex(TOWER), &b"SMBTORTURE"[..]);
        let value = InsertRequest {
            entries: vec![entry],
            replace: true,
        };
        // num_ents, gap, max_count; object, referent, offset, count, annotation,
        // gap; max_count, tower_length, tower, pad; replace
        let octets = hex(&format!(
            "01000000 00000000 0100000000000000
             {NIL} 0100000000000000 0000000000000000 0b00000000000000
             534d42544f525455524500 0000000000
             4b00000000000000 4b000000 {TOWER} 00 01000000"
        ));
        assert_eq!(InsertRequest::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn a_delete_is_an_insert_without_replace() {
        for (order, octets) in samples() {
            let insert = InsertRequest::decode(Input::new(&octets, order)).unwrap();
            let delete = DeleteRequest::decode(Input::new(&octets, order)).unwrap();
            assert_eq!(delete.entries, insert.entries);
            let shorter = octets.len() - 5; // replace and the pad before it
            assert_eq!(encoded(order, |out| delete.encode(out)), octets[..shorter]);
        }
    }

    #[test]
    fn a_mgmt_delete_points_to_object_and_tower() {
        let tower = hex(TOWER);
        let value = MgmtDeleteRequest {
            object_speced: true,
            object: Some(Pointer {
                referent: 1,
                value: Uuid::nil(),
            }),
            tower: Some(Pointer {
                referent: 2,
                value: &tower,
            }),
        };
        let little = format!("01000000 01000000 {NIL} 02000000 4b000000 4b000000 {TOWER}");
        let big = format!("00000001 00000001 {NIL} 00000002 0000004b 0000004b {TOWER}");
        for (order, octets) in [(Little, hex(&little)), (Big, hex(&big))] {
            assert_eq!(
                MgmtDeleteRequest::decode(Input::new(&octets, order)),
                Ok(value)
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
        let octets = hex(&format!(
            "01000000 00000000 0100000000000000 {NIL}
             0200000000000000 4b00000000000000 4b000000 {TOWER}"
        ));
        assert_eq!(MgmtDeleteRequest::decode(stub64(&octets)), Ok(value));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn entries_that_break_a_rule_are_refused() {
        let refusal = |stub: &str| {
            let octets = hex(stub);
            DeleteRequest::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        let entry =
            |referent: &str, annotation: &str| format!("{NIL} {referent}000000 {annotation}");
        assert_eq!(
            refusal("f5010000 f5010000"),
            DecodeFault::Limit {
                count: 501,
                limit: 500
            }
        );
        assert_eq!(
            refusal("01000000 02000000"),
            DecodeFault::Mismatch {
                stated: 2,
                found: 1
            }
        );
        let shifted = entry("05", "01000000 01000000 00");
        assert_eq!(
            refusal(&format!("01000000 01000000 {shifted}")),
            DecodeFault::Value(1)
        );
        let unended = entry("05", "00000000 01000000 41");
        assert_eq!(
            refusal(&format!("01000000 01000000 {unended}")),
            DecodeFault::Nul
        );
        let long = entry("05", &format!("00000000 41000000 {}00", "41".repeat(64)));
        assert_eq!(
            refusal(&format!("01000000 01000000 {long}")),
            DecodeFault::Limit {
                count: 65,
                limit: 64
            }
        );
    }

    #[test]
    fn an_annotation_of_63_octets_fits() {
        let annotation = "41".repeat(63);
        let octets = hex(&format!(
            "01000000 01000000 {NIL} 00000000 00000000 40000000 {annotation}00"
        ));
        let value = DeleteRequest::decode(Input::new(&octets, Little)).unwrap();
        assert_eq!(value.entries[0].annotation.len(), 63);
        assert_eq!(value.entries[0].tower, None);
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
    }
}
