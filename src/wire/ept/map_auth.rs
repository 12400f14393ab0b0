//! `ept_map_auth`: `ept_map` for the servers of one account, a local call of
//! Windows.

use super::entry::{put_tower, tower};
use super::{ContextHandle, MAX_ENTRIES, MapResponse};
use crate::wire::input::{self, DecodeError, Input, Parsed};
use crate::wire::ndr::{self, Pointer};
use crate::wire::output::Output;
use uuid::Uuid;

/// The request of `ept_map_auth`.
///
/// # Source
/// Not documented; as PythonForWindows sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapAuthRequest<'a> {
    /// The object asked for, nil for none.
    pub object: Uuid,
    /// The octets of the tower to complete.
    pub tower: &'a [u8],
    /// The account whose servers are asked for.
    pub sid: Option<Pointer<Sid>>,
    /// NULL to begin, else where the last page ended.
    pub handle: ContextHandle,
    /// The most towers to answer, at most [`MAX_ENTRIES`].
    pub max_towers: u32,
}

impl<'a> MapAuthRequest<'a> {
    /// Decodes the request.
    ///
    /// Layout: object uuid and twr_t by reference, sid pointer with RPC_SID,
    /// entry_handle, max_towers u32.
    ///
    /// # Errors
    /// `Truncated`; `Mismatch` for the lengths of tower and SID; `Limit` for
    /// sub-authorities and max_towers.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, object) = ndr::uuid("object")(stub)?;
        let (i, tower) = tower("map_tower")(i)?;
        let (i, sid) = ndr::pointer("sid", Sid::decode)(i)?;
        let (i, handle) = ContextHandle::decode("entry_handle")(i)?;
        let (_, max_towers) = ndr::u32_within("max_towers", MAX_ENTRIES)(i)?;
        Ok(MapAuthRequest {
            object,
            tower,
            sid,
            handle,
            max_towers,
        })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_uuid(out, &self.object);
        put_tower(out, self.tower);
        ndr::put_pointer(out, self.sid.as_ref(), |out, sid| sid.encode(out));
        self.handle.encode(out);
        ndr::put_u32(out, self.max_towers);
    }
}

/// The response of `ept_map_auth`: as far as is known, that of `ept_map`.
pub type MapAuthResponse<'a> = MapResponse<'a>;

/// A security identifier: an account or a group of Windows.
///
/// # Source
/// MS-DTYP 2.4.2.3 (`RPC_SID`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sid {
    /// Revision, 1 in all that is known.
    pub revision: u8,
    /// Identifier authority, big-endian whatever the byte order.
    pub authority: [u8; 6],
    /// Sub-authorities, at most [`Sid::MAX_SUB_AUTHORITIES`].
    pub sub_authorities: Vec<u32>,
}

impl Sid {
    /// The most sub-authorities of a SID.
    pub const MAX_SUB_AUTHORITIES: u64 = 15;

    /// Reads an `RPC_SID`.
    ///
    /// Layout: max_count, revision u8, sub-authority count u8, authority 6
    /// octets, sub-authorities u32.
    fn decode(i: Input) -> Parsed<Sid> {
        let (at, maximum) = ndr::count("sid")(i)?;
        ndr::within(i, "sid", maximum, Self::MAX_SUB_AUTHORITIES)?;
        let (i, revision) = input::u8("sid")(at)?;
        let (i, count) = input::u8("sid")(i)?;
        ndr::agree(at, "sid", count.into(), maximum)?;
        let (mut i, octets) = input::octets("sid", 6)(i)?;
        let mut authority = [0; 6];
        authority.copy_from_slice(octets);
        let mut sub_authorities = Vec::with_capacity(ndr::room(i, "sid", maximum, 4)?);
        for _ in 0..count {
            let (rest, sub_authority) = ndr::u32("sid")(i)?;
            sub_authorities.push(sub_authority);
            i = rest;
        }
        let sid = Sid {
            revision,
            authority,
            sub_authorities,
        };
        Ok((i, sid))
    }

    /// Writes an `RPC_SID`.
    fn encode(&self, out: &mut Output) {
        ndr::put_count(out, self.sub_authorities.len());
        out.u8(self.revision);
        out.u8(self.sub_authorities.len() as u8);
        out.octets(&self.authority);
        for sub_authority in &self.sub_authorities {
            ndr::put_u32(out, *sub_authority);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::DecodeFault;
    use crate::wire::ndr::testing::{NIL, NULL, TOWER, encoded, encoded64, hex, stub64};
    use uuid::uuid;

    #[test]
    fn map_auth_has_object_and_tower_by_reference_and_a_sid() {
        let tower = hex(TOWER);
        let sid = Sid {
            revision: 1,
            authority: [0, 0, 0, 0, 0, 5],
            sub_authorities: vec![32, 544],
        };
        let value = MapAuthRequest {
            object: uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa"),
            tower: &tower,
            sid: Some(Pointer {
                referent: 3,
                value: sid,
            }),
            handle: ContextHandle::NULL,
            max_towers: 16,
        };
        // object; max_count, tower_length, tower, pad; sid: referent, max_count,
        // revision, count, authority, sub-authorities; handle; max_towers
        let little = format!(
            "0883afe1 1f5d c911 91a408002b14a0fa 4b000000 4b000000 {TOWER} 00
             03000000 02000000 01 02 000000000005 20000000 20020000 {NULL} 10000000"
        );
        let big = format!(
            "e1af8308 5d1f 11c9 91a408002b14a0fa 0000004b 0000004b {TOWER} 00
             00000003 00000002 01 02 000000000005 00000020 00000220 {NULL} 00000010"
        );
        for (order, octets) in [(Little, hex(&little)), (Big, hex(&big))] {
            assert_eq!(
                MapAuthRequest::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
        let octets = hex(&format!(
            "0883afe1 1f5d c911 91a408002b14a0fa 4b00000000000000 4b000000 {TOWER} 00
             0300000000000000 0200000000000000 01 02 000000000005 20000000 20020000
             {NULL} 10000000"
        ));
        assert_eq!(MapAuthRequest::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn a_sid_whose_counts_differ_or_are_too_high_is_refused() {
        let refusal = |sid: &str| {
            let octets = hex(&format!("{NIL} 00000000 00000000 03000000 {sid}"));
            MapAuthRequest::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        assert_eq!(
            refusal("02000000 01 01 000000000005 20000000"),
            DecodeFault::Mismatch {
                stated: 1,
                found: 2
            }
        );
        assert_eq!(
            refusal("10000000 01 10 000000000005"),
            DecodeFault::Limit {
                count: 16,
                limit: 15
            }
        );
    }
}
