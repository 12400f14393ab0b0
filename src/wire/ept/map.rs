//! `ept_map`: from a tower with no endpoint to towers with one.

use super::entry::{TowerPointer, deferred_towers, put_tower, tower, tower_to_come};
use super::{ContextHandle, MAX_ENTRIES};
use crate::wire::input::{DecodeError, Input, Parsed};
use crate::wire::ndr::{self, Pointer, Referents};
use crate::wire::output::Output;
use crate::wire::status::EptStatus;
use std::borrow::Cow;
use uuid::Uuid;

/// The request of `ept_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRequest<'a> {
    /// The object asked for; Windows' client points to the nil UUID for none.
    pub object: Option<Pointer<Uuid>>,
    /// The octets of the tower to complete.
    pub tower: Option<Pointer<&'a [u8]>>,
    /// NULL to begin, else where the last page ended.
    pub handle: ContextHandle,
    /// The most towers to answer, at most [`MAX_ENTRIES`].
    pub max_towers: u32,
}

impl<'a> MapRequest<'a> {
    /// Decodes the request.
    ///
    /// Layout: object pointer with uuid, map_tower pointer with twr_t,
    /// entry_handle, max_towers u32.
    ///
    /// # Errors
    /// `Truncated`; `Mismatch` for the tower's lengths; `Limit` for max_towers.
    ///
    /// # Source
    /// C706 appendix O; MS-RPCE 2.2.1.2.5.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, object) = ndr::pointer("object", ndr::uuid("object"))(stub)?;
        let (i, tower) = ndr::pointer("map_tower", tower("map_tower"))(i)?;
        let (i, handle) = ContextHandle::decode("entry_handle")(i)?;
        let (_, max_towers) = ndr::u32_within("max_towers", MAX_ENTRIES)(i)?;
        Ok(MapRequest {
            object,
            tower,
            handle,
            max_towers,
        })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_pointer(out, self.object.as_ref(), ndr::put_uuid);
        ndr::put_pointer(out, self.tower.as_ref(), |out, tower| put_tower(out, tower));
        self.handle.encode(out);
        ndr::put_u32(out, self.max_towers);
    }

    /// The highest referent id in it, 0 for none: the reply's go on from there.
    pub fn highest_referent(&self) -> u64 {
        let object = self.object.map_or(0, |pointer| pointer.referent);
        let tower = self.tower.map_or(0, |pointer| pointer.referent);
        object.max(tower)
    }
}

/// The response of `ept_map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapResponse<'a> {
    /// NULL when nothing is left, else what to ask for more with.
    pub handle: ContextHandle,
    /// The request's max_towers; at least as many as there are towers.
    pub max_towers: u32,
    /// The octets of the towers found, at most [`MAX_ENTRIES`] of them.
    pub towers: Vec<TowerPointer<'a>>,
    /// How it went.
    pub status: EptStatus,
}

impl<'a> MapResponse<'a> {
    /// The response that holds `towers`, numbered by `referents`: status OK.
    pub fn found<T: Into<Cow<'a, [u8]>>>(
        handle: ContextHandle,
        max_towers: u32,
        mut referents: Referents,
        towers: impl IntoIterator<Item = T>,
    ) -> Self {
        MapResponse {
            handle,
            max_towers,
            towers: towers
                .into_iter()
                .map(|tower| Some(referents.point(tower.into())))
                .collect(),
            status: EptStatus::OK,
        }
    }

    /// The response that holds no tower: handle NULL.
    pub fn empty(max_towers: u32, status: EptStatus) -> Self {
        MapResponse {
            handle: ContextHandle::NULL,
            max_towers,
            towers: Vec::new(),
            status,
        }
    }

    /// Decodes the response.
    ///
    /// Layout: entry_handle, num_towers u32, max_count, offset 0, actual_count,
    /// referents, then a twr_t for each that is not NULL, status u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for more than [`MAX_ENTRIES`] and for an actual
    /// count above the maximum; `Mismatch` when num_towers is not the actual
    /// count and for a tower's lengths.
    ///
    /// # Source
    /// C706 appendix O; MS-RPCE 2.2.1.2.5.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, handle) = ContextHandle::decode("entry_handle")(stub)?;
        let (i, num_towers) = ndr::u32_within("num_towers", MAX_ENTRIES)(i)?;
        let (i, max_towers) = ndr::conformant_varying_of("towers", num_towers.into())(i)?;
        let (i, mut towers) = tower_pointers(num_towers.into())(i)?;
        let (i, ()) = deferred_towers(towers.iter_mut().flatten())(i)?;
        let (_, status) = ndr::status(i)?;
        Ok(MapResponse {
            handle,
            max_towers,
            towers,
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        self.handle.encode(out);
        ndr::put_u32(out, self.towers.len() as u32);
        ndr::put_conformant_varying(out, self.max_towers, self.towers.len());
        for tower in &self.towers {
            ndr::put_referent(out, tower.as_ref());
        }
        for tower in self.towers.iter().flatten() {
            put_tower(out, &tower.value);
        }
        ndr::put_status(out, self.status);
    }
}

/// Reads `count` referents of towers, the towers still to come.
fn tower_pointers<'a>(count: u64) -> impl FnMut(Input<'a>) -> Parsed<'a, Vec<TowerPointer<'a>>> {
    move |mut i| {
        let count = ndr::room(i, "towers", count, ndr::width(i.syntax()))?;
        let mut towers = Vec::with_capacity(count);
        for _ in 0..count {
            let (rest, referent) = ndr::referent("towers")(i)?;
            towers.push(referent.map(tower_to_come));
            i = rest;
        }
        Ok((i, towers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::DecodeFault;
    use crate::wire::ndr::testing::{NIL, NULL, TOWER, encoded, encoded64, hex, stub64};

    #[test]
    fn a_request_is_132_octets_for_a_tower_of_tcp() {
        let tower = hex(TOWER);
        let value = MapRequest {
            object: Some(Pointer {
                referent: 1,
                value: Uuid::nil(),
            }),
            tower: Some(Pointer {
                referent: 2,
                value: &tower,
            }),
            handle: ContextHandle::NULL,
            max_towers: 4,
        };
        // object, map_tower: referent, max_count, tower_length; tower, pad,
        // entry_handle, max_towers
        let little =
            format!("01000000 {NIL} 02000000 4b000000 4b000000 {TOWER} 00 {NULL} 04000000");
        let big = format!("00000001 {NIL} 00000002 0000004b 0000004b {TOWER} 00 {NULL} 00000004");
        for (order, octets) in [(Little, hex(&little)), (Big, hex(&big))] {
            assert_eq!(octets.len(), 132);
            assert_eq!(MapRequest::decode(Input::new(&octets, order)), Ok(value));
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
        assert_eq!(value.highest_referent(), 2);
    }

    #[test]
    fn a_request_is_144_octets_in_ndr64_and_its_tower_the_same() {
        let tower = hex(TOWER);
        let value = MapRequest {
            object: Some(Pointer {
                referent: 1,
                value: Uuid::nil(),
            }),
            tower: Some(Pointer {
                referent: 2,
                value: &tower,
            }),
            handle: ContextHandle::NULL,
            max_towers: 4,
        };
        let octets = hex(&format!(
            "0100000000000000 {NIL} 0200000000000000 4b00000000000000 4b000000
             {TOWER} 00 {NULL} 04000000"
        ));
        assert_eq!(octets.len(), 144);
        assert_eq!(MapRequest::decode(stub64(&octets)), Ok(value));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn no_gap_follows_a_tower_in_ndr64() {
        // A tower of 88 octets ends at octet 100 of its twr_t; the handle is
        // aligned to 4 and so follows at once.
        let tower = [0xa5; 88];
        let value = MapRequest {
            object: None,
            tower: Some(Pointer {
                referent: 2,
                value: &tower,
            }),
            handle: ContextHandle::NULL,
            max_towers: 4,
        };
        let octets = hex(&format!(
            "0000000000000000 0200000000000000 5800000000000000 58000000 {} {NULL} 04000000",
            "a5".repeat(88)
        ));
        assert_eq!(MapRequest::decode(stub64(&octets)), Ok(value));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn null_pointers_have_no_pointee() {
        let value = MapRequest {
            object: None,
            tower: None,
            handle: ContextHandle::NULL,
            max_towers: 1,
        };
        let octets = hex(&format!("00000000 00000000 {NULL} 01000000"));
        assert_eq!(MapRequest::decode(Input::new(&octets, Little)), Ok(value));
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
        assert_eq!(value.highest_referent(), 0);
    }

    #[test]
    fn octets_behind_the_arguments_and_in_the_pad_do_not_matter() {
        // impacket's pad octet, then what a verification trailer begins with
        let octets = hex(&format!(
            "01000000 {NIL} 02000000 4b000000 4b000000 {TOWER} ab {NULL} 04000000 8ae3137102f43671"
        ));
        let value = MapRequest::decode(Input::new(&octets, Little)).unwrap();
        assert_eq!(value.max_towers, 4);
    }

    #[test]
    fn a_request_that_breaks_a_rule_is_refused_where_it_does() {
        let refusal = |stub: &str| {
            let octets = hex(stub);
            MapRequest::decode(Input::new(&octets, Little))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(&format!("00000000 00000000 {NULL} f5010000")),
            "max_towers at octet 28: count 501 is above the limit of 500"
        );
        assert_eq!(
            refusal(&format!("01000000 {NIL} 00000000 {NULL}")),
            "max_towers at octet 44: cut short, 0 octets left"
        );
        assert_eq!(
            refusal("00000000 02000000 4c000000 4b000000"),
            "map_tower at octet 12: 75 stated where 76 was found"
        );
        assert_eq!(
            refusal("00000000 02000000 ffffffff ffffffff 0500"),
            "map_tower at octet 16: cut short, 2 octets left"
        );
    }

    #[test]
    fn a_response_holds_every_referent_before_the_first_tower() {
        let tower = hex(TOWER);
        let short = &tower[..2];
        let referents = Referents::after(2);
        let towers = [&tower[..], short];
        let value = MapResponse::found(ContextHandle::NULL, 4, referents, towers);
        // entry_handle, num_towers, max_count, offset, actual_count, referents;
        // max_count, tower_length, tower, pad; the same again; status
        let little = format!(
            "{NULL} 02000000 04000000 00000000 02000000 03000000 04000000
             4b000000 4b000000 {TOWER} 00 02000000 02000000 0500 0000 00000000"
        );
        let big = format!(
            "{NULL} 00000002 00000004 00000000 00000002 00000003 00000004
             0000004b 0000004b {TOWER} 00 00000002 00000002 0500 0000 00000000"
        );
        for (order, octets) in [(Little, hex(&little)), (Big, hex(&big))] {
            assert_eq!(
                MapResponse::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn a_response_of_ndr64_has_64_bits_for_each_referent_and_count() {
        let referents = Referents::after(2);
        let tower = hex(TOWER);
        let one = MapResponse::found(ContextHandle::NULL, 4, referents, [&tower[..]]);
        // entry_handle, num_towers, max_count, offset, actual_count, referent;
        // max_count, tower_length, tower, pad; status
        let octets = hex(&format!(
            "{NULL} 01000000 0400000000000000 0000000000000000 0100000000000000
             0300000000000000 4b00000000000000 4b000000 {TOWER} 00 00000000"
        ));
        assert_eq!(octets.len(), 148);
        assert_eq!(MapResponse::decode(stub64(&octets)), Ok(one.clone()));
        assert_eq!(encoded64(|out| one.encode(out)), octets);

        let short = &tower[..2];
        let two = MapResponse::found(ContextHandle::NULL, 4, referents, [short, short]);
        let octets = hex(&format!(
            "{NULL} 02000000 0400000000000000 0000000000000000 0200000000000000
             0300000000000000 0400000000000000
             0200000000000000 02000000 0500 0000 0200000000000000 02000000 0500 0000 00000000"
        ));
        assert_eq!(MapResponse::decode(stub64(&octets)), Ok(two.clone()));
        assert_eq!(encoded64(|out| two.encode(out)), octets);
    }

    #[test]
    fn one_tower_of_tcp_is_answered_in_128_octets() {
        let referents = Referents::after(2);
        let value = MapResponse::found(ContextHandle::NULL, 4, referents, [hex(TOWER)]);
        let octets = hex(&format!(
            "{NULL} 01000000 04000000 00000000 01000000 03000000
             4b000000 4b000000 {TOWER} 00 00000000"
        ));
        assert_eq!(octets.len(), 128);
        assert_eq!(
            MapResponse::decode(Input::new(&octets, Little)),
            Ok(value.clone())
        );
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
    }

    #[test]
    fn nothing_found_is_answered_in_40_octets_and_in_52_of_ndr64() {
        let value = MapResponse::empty(4, EptStatus::NOT_REGISTERED);
        let octets = hex(&format!(
            "{NULL} 00000000 04000000 00000000 00000000 d6a0c916"
        ));
        assert_eq!(octets.len(), 40);
        assert_eq!(
            MapResponse::decode(Input::new(&octets, Little)),
            Ok(value.clone())
        );
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
        let octets = hex(&format!(
            "{NULL} 00000000 0400000000000000 0000000000000000 0000000000000000 d6a0c916"
        ));
        assert_eq!(octets.len(), 52);
        assert_eq!(MapResponse::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn a_response_that_breaks_a_rule_is_refused() {
        let refusal = |stub: &str| {
            let octets = hex(&format!("{NULL} {stub}"));
            MapResponse::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        assert_eq!(
            refusal("f5010000 f5010000 00000000 f5010000"),
            DecodeFault::Limit {
                count: 501,
                limit: 500
            }
        );
        assert_eq!(
            refusal("02000000 04000000 00000000 01000000"),
            DecodeFault::Mismatch {
                stated: 1,
                found: 2
            }
        );
        assert_eq!(
            refusal("02000000 01000000 00000000 02000000"),
            DecodeFault::Limit { count: 2, limit: 1 }
        );
        assert_eq!(
            refusal("01000000 04000000 01000000 01000000"),
            DecodeFault::Value(1)
        );
        assert_eq!(
            refusal("f4010000 f4010000 00000000 f4010000 01000000"),
            DecodeFault::Truncated { left: 4 }
        );
        assert_eq!(
            refusal("03000000 03000000 00000000 02000000"),
            DecodeFault::Mismatch {
                stated: 2,
                found: 3
            }
        );
    }
}
