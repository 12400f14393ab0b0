//! `ept_lookup`: entries of the map, page by page.

use super::entry::{Entry, entries, put_entries};
use super::{ContextHandle, InquiryType, MAX_ENTRIES, VersionOption};
use crate::wire::input::{DecodeError, Input};
use crate::wire::ndr::{self, Pointer};
use crate::wire::output::Output;
use crate::wire::status::EptStatus;
use crate::wire::syntax::SyntaxId;
use uuid::Uuid;

/// The request of `ept_lookup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupRequest {
    /// What to ask by.
    pub inquiry_type: InquiryType,
    /// The object asked for; clients that do not ask by it may leave rubbish.
    pub object: Option<Pointer<Uuid>>,
    /// The interface asked for.
    pub interface: Option<Pointer<SyntaxId>>,
    /// Which of its versions.
    pub vers_option: VersionOption,
    /// NULL to begin, else where the last page ended.
    pub handle: ContextHandle,
    /// The most entries to answer, at most [`MAX_ENTRIES`].
    pub max_ents: u32,
}

impl LookupRequest {
    /// Decodes the request.
    ///
    /// Layout: inquiry_type u32, object pointer with uuid, interface_id pointer
    /// with rpc_if_id_t, vers_option u32, entry_handle, max_ents u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for max_ents.
    ///
    /// # Source
    /// C706 appendix O; MS-RPCE 2.2.1.2.4.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, inquiry_type) = ndr::u32("inquiry_type")(stub)?;
        let (i, object) = ndr::pointer("object", ndr::uuid("object"))(i)?;
        let (i, interface) = ndr::pointer("interface_id", ndr::interface_id("interface_id"))(i)?;
        let (i, vers_option) = ndr::u32("vers_option")(i)?;
        let (i, handle) = ContextHandle::decode("entry_handle")(i)?;
        let (_, max_ents) = ndr::u32_within("max_ents", MAX_ENTRIES)(i)?;
        Ok(LookupRequest {
            inquiry_type: InquiryType(inquiry_type),
            object,
            interface,
            vers_option: VersionOption(vers_option),
            handle,
            max_ents,
        })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.inquiry_type.0);
        ndr::put_pointer(out, self.object.as_ref(), ndr::put_uuid);
        ndr::put_pointer(out, self.interface.as_ref(), ndr::put_interface_id);
        ndr::put_u32(out, self.vers_option.0);
        self.handle.encode(out);
        ndr::put_u32(out, self.max_ents);
    }

    /// The highest referent id in it, 0 for none: the reply's go on from there.
    pub fn highest_referent(&self) -> u64 {
        let object = self.object.map_or(0, |pointer| pointer.referent);
        let interface = self.interface.map_or(0, |pointer| pointer.referent);
        object.max(interface)
    }
}

/// The response of `ept_lookup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupResponse<'a> {
    /// NULL when the walk is over, else what to ask the next page with.
    pub handle: ContextHandle,
    /// The request's max_ents; at least as many as there are entries.
    pub max_ents: u32,
    /// The entries found, at most [`MAX_ENTRIES`].
    pub entries: Vec<Entry<'a>>,
    /// How it went; Samba says `NOT_REGISTERED` already with the last entries.
    pub status: EptStatus,
}

impl<'a> LookupResponse<'a> {
    /// The response that holds no entry: handle NULL.
    pub fn empty(max_ents: u32, status: EptStatus) -> Self {
        LookupResponse {
            handle: ContextHandle::NULL,
            max_ents,
            entries: Vec::new(),
            status,
        }
    }

    /// Decodes the response.
    ///
    /// Layout: entry_handle, num_ents u32, max_count, offset 0, actual_count,
    /// entries, their towers, status u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for more than [`MAX_ENTRIES`] and for an actual
    /// count above the maximum; `Mismatch` when num_ents is not the actual
    /// count; what an entry refuses.
    ///
    /// # Source
    /// C706 appendix O; MS-RPCE 2.2.1.2.4.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, handle) = ContextHandle::decode("entry_handle")(stub)?;
        let (i, num_ents) = ndr::u32_within("num_ents", MAX_ENTRIES)(i)?;
        let (i, max_ents) = ndr::conformant_varying_of("entries", num_ents.into())(i)?;
        let (i, entries) = entries(num_ents.into())(i)?;
        let (_, status) = ndr::status(i)?;
        Ok(LookupResponse {
            handle,
            max_ents,
            entries,
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        self.handle.encode(out);
        ndr::put_u32(out, self.entries.len() as u32);
        ndr::put_conformant_varying(out, self.max_ents, self.entries.len());
        put_entries(out, &self.entries);
        ndr::put_status(out, self.status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::DecodeFault;
    use crate::wire::ndr::Referents;
    use crate::wire::ndr::testing::{NIL, NULL, TOWER, encoded, encoded64, hex, stub64};
    use uuid::uuid;

    #[test]
    fn a_request_for_all_elements_is_40_octets() {
        let value = LookupRequest {
            inquiry_type: InquiryType::ALL_ELTS,
            object: None,
            interface: None,
            vers_option: VersionOption::ALL,
            handle: ContextHandle::NULL,
            max_ents: 10,
        };
        let little = format!("00000000 00000000 00000000 01000000 {NULL} 0a000000");
        let big = format!("00000000 00000000 00000000 00000001 {NULL} 0000000a");
        for (order, octets) in [(Little, hex(&little)), (Big, hex(&big))] {
            assert_eq!(octets.len(), 40);
            assert_eq!(LookupRequest::decode(Input::new(&octets, order)), Ok(value));
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
        assert_eq!(value.highest_referent(), 0);
    }

    #[test]
    fn a_request_by_both_points_to_object_and_interface() {
        let value = LookupRequest {
            inquiry_type: InquiryType::MATCH_BY_BOTH,
            object: Some(Pointer {
                referent: 7,
                value: uuid!("12345778-1234-abcd-ef00-0123456789ab"),
            }),
            interface: Some(Pointer {
                referent: 1,
                value: SyntaxId::new(SyntaxId::EPT.uuid, 3, 1),
            }),
            vers_option: VersionOption::COMPATIBLE,
            handle: ContextHandle {
                attributes: 0,
                uuid: uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58"),
            },
            max_ents: 500,
        };
        for (order, octets) in [
            (
                Little,
                "03000000 07000000 785734123412cdabef000123456789ab
                 01000000 0883afe11f5dc91191a408002b14a0fa 0300 0100
                 02000000 00000000 0c8e44004bbc0f4dbbc194b170674b58 f4010000",
            ),
            (
                Big,
                "00000003 00000007 123457781234abcdef000123456789ab
                 00000001 e1af83085d1f11c991a408002b14a0fa 0003 0001
                 00000002 00000000 00448e0cbc4b4d0fbbc194b170674b58 000001f4",
            ),
        ] {
            let octets = hex(octets);
            assert_eq!(LookupRequest::decode(Input::new(&octets, order)), Ok(value));
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
        assert_eq!(value.highest_referent(), 7);
    }

    #[test]
    fn a_request_of_ndr64_keeps_referents_of_64_bits() {
        let value = LookupRequest {
            inquiry_type: InquiryType::MATCH_BY_BOTH,
            object: Some(Pointer {
                referent: 0x0002_0000_0000_0007,
                value: Uuid::nil(),
            }),
            interface: Some(Pointer {
                referent: u64::MAX,
                value: SyntaxId::new(SyntaxId::EPT.uuid, 3, 1),
            }),
            vers_option: VersionOption::COMPATIBLE,
            handle: ContextHandle::NULL,
            max_ents: 500,
        };
        // inquiry_type, gap, object; interface_id, no gap behind its 20 octets;
        // vers_option, entry_handle, max_ents
        let octets = hex(&format!(
            "03000000 00000000 0700000000000200 {NIL}
             ffffffffffffffff 0883afe11f5dc91191a408002b14a0fa 0300 0100
             02000000 {NULL} f4010000"
        ));
        assert_eq!(LookupRequest::decode(stub64(&octets)), Ok(value));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
        assert_eq!(value.highest_referent(), u64::MAX);

        let (object, interface) = (None, None);
        let null = LookupRequest {
            object,
            interface,
            ..value
        };
        let octets = hex(&format!(
            "03000000 00000000 0000000000000000 0000000000000000 02000000 {NULL} f4010000"
        ));
        assert_eq!(LookupRequest::decode(stub64(&octets)), Ok(null));
        assert_eq!(encoded64(|out| null.encode(out)), octets);
    }

    #[test]
    fn a_request_for_more_than_500_is_refused() {
        let refusal = |stub: &str| {
            let octets = hex(stub);
            LookupRequest::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        assert_eq!(
            refusal(&format!(
                "00000000 00000000 00000000 01000000 {NULL} f5010000"
            )),
            DecodeFault::Limit {
                count: 501,
                limit: 500
            }
        );
    }

    #[test]
    fn two_pointers_with_one_referent_are_two_pointers() {
        // impacket draws referents at random: 1 in 65,535 of its requests.
        let octets = hex(&format!(
            "03000000 34120000 {NIL} 34120000 {NIL} 03000000 01000000 {NULL} f4010000"
        ));
        let value = LookupRequest::decode(Input::new(&octets, Little)).unwrap();
        assert_eq!(value.object.unwrap().referent, 0x1234);
        assert_eq!(value.interface.unwrap().value.major, 3);
        assert_eq!(value.max_ents, 500);
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
    }

    #[test]
    fn a_response_holds_every_entry_before_the_first_tower() {
        let mut referents = Referents::after(2);
        let tower = hex(TOWER);
        let entries = [&b"LSA"[..], b""]
            .map(|annotation| Entry::new(&mut referents, Uuid::nil(), &tower[..], annotation));
        let value = LookupResponse {
            handle: ContextHandle::NULL,
            max_ents: 10,
            entries: entries.to_vec(),
            status: EptStatus::OK,
        };
        // entry_handle; num_ents; max_count, offset, actual_count; two entries:
        // object, referent, offset, count, annotation; pads; two towers; status
        let little = format!(
            "{NULL} 02000000 0a000000 00000000 02000000
             {NIL} 03000000 00000000 04000000 4c534100
             {NIL} 04000000 00000000 01000000 00 000000
             4b000000 4b000000 {TOWER} 00 4b000000 4b000000 {TOWER} 00 00000000"
        );
        let big = format!(
            "{NULL} 00000002 0000000a 00000000 00000002
             {NIL} 00000003 00000000 00000004 4c534100
             {NIL} 00000004 00000000 00000001 00 000000
             0000004b 0000004b {TOWER} 00 0000004b 0000004b {TOWER} 00 00000000"
        );
        for (order, octets) in [(Little, hex(&little)), (Big, hex(&big))] {
            assert_eq!(
                LookupResponse::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn entries_of_ndr64_are_aligned_to_8_and_filled_up_to_that() {
        let tower = hex(TOWER);
        let mut referents = Referents::after(2);
        let mut entries = [&b"LSA"[..], b""]
            .map(|annotation| Entry::new(&mut referents, Uuid::nil(), &tower[..], annotation))
            .to_vec();
        let mut value = LookupResponse {
            handle: ContextHandle::NULL,
            max_ents: 10,
            entries: entries.clone(),
            status: EptStatus::OK,
        };
        // entry_handle; num_ents; max_count, offset, actual_count; two entries:
        // object, referent, offset, count, annotation, gap; two towers, the
        // first with a pad before the next; status
        let octets = hex(&format!(
            "{NULL} 02000000 0a00000000000000 0000000000000000 0200000000000000
             {NIL} 0300000000000000 0000000000000000 0400000000000000 4c534100 00000000
             {NIL} 0400000000000000 0000000000000000 0100000000000000 00 00000000000000
             4b00000000000000 4b000000 {TOWER} 00 4b00000000000000 4b000000 {TOWER} 00 00000000"
        ));
        assert_eq!(LookupResponse::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);

        // Without a tower behind the last entry its gap is still there.
        entries.truncate(1);
        entries[0].tower = None;
        value.entries = entries;
        let octets = hex(&format!(
            "{NULL} 01000000 0a00000000000000 0000000000000000 0100000000000000
             {NIL} 0000000000000000 0000000000000000 0400000000000000 4c534100 00000000 00000000"
        ));
        assert_eq!(LookupResponse::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn the_last_page_may_be_empty() {
        let value = LookupResponse::empty(1, EptStatus::NOT_REGISTERED);
        let octets = hex(&format!(
            "{NULL} 00000000 01000000 00000000 00000000 d6a0c916"
        ));
        assert_eq!(
            LookupResponse::decode(Input::new(&octets, Little)),
            Ok(value.clone())
        );
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
    }

    #[test]
    fn a_response_of_more_entries_than_its_octets_hold_is_refused_early() {
        let octets = hex(&format!("{NULL} f4010000 f4010000 00000000 f4010000 {NIL}"));
        let error = LookupResponse::decode(Input::new(&octets, Little)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "entries at octet 36: cut short, 16 octets left"
        );
    }
}
