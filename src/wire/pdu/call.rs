//! What carries calls: request, response, fault; and the third leg of an
//! authentication.

use super::header::PfcFlags;
use crate::wire::input::{self, Input, Parsed};
use crate::wire::{FaultStatus, Output};
use uuid::Uuid;

/// A call, or a fragment of one.
///
/// Layout behind the header: alloc_hint u32, p_cont_id u16, opnum u16, an
/// object UUID where the header's flags say so, the stub.
///
/// # Source
/// C706 12.6.4.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// How long the whole stub may be; advice only.
    pub alloc_hint: u32,
    /// Which presentation context.
    pub context_id: u16,
    /// Which operation.
    pub opnum: u16,
    /// The object the call is about. The encoder sets the flag `OBJECT_UUID`
    /// by it.
    pub object: Option<Uuid>,
    /// The arguments, or a fragment of them; without authentication padding.
    pub stub: &'a [u8],
}

impl<'a> Request<'a> {
    /// Decodes what stands between header and authentication padding.
    ///
    /// # Errors
    /// `Truncated` when the fixed part is not there.
    pub(super) fn decode(flags: PfcFlags, i: Input<'a>) -> Parsed<'a, Self> {
        let (i, alloc_hint) = input::u32("alloc_hint")(i)?;
        let (i, context_id) = input::u16("p_cont_id")(i)?;
        let (i, opnum) = input::u16("opnum")(i)?;
        let (i, object) = match flags.contains(PfcFlags::OBJECT_UUID) {
            true => input::uuid("object")(i).map(|(i, object)| (i, Some(object)))?,
            false => (i, None),
        };
        let (i, stub) = input::octets("stub", i.left())(i)?;
        let request = Request {
            alloc_hint,
            context_id,
            opnum,
            object,
            stub,
        };
        Ok((i, request))
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Output) {
        out.u32(self.alloc_hint);
        out.u16(self.context_id);
        out.u16(self.opnum);
        if let Some(object) = self.object {
            out.uuid(object);
        }
        out.octets(self.stub);
    }
}

/// The answer to a call, or a fragment of one.
///
/// Layout behind the header: alloc_hint u32, p_cont_id u16, cancel_count u8,
/// reserved u8, the stub.
///
/// # Source
/// C706 12.6.4.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Octets of stub from this fragment on.
    pub alloc_hint: u32,
    /// Which presentation context; Windows sends its low octet only.
    pub context_id: u16,
    /// How many cancels the server has seen.
    pub cancel_count: u8,
    /// Sent as 0, ignored.
    pub reserved: u8,
    /// The results, or a fragment of them; without authentication padding.
    pub stub: &'a [u8],
}

impl<'a> Response<'a> {
    /// Decodes what stands between header and authentication padding.
    ///
    /// # Errors
    /// `Truncated` when the fixed part is not there.
    pub(super) fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, alloc_hint) = input::u32("alloc_hint")(i)?;
        let (i, context_id) = input::u16("p_cont_id")(i)?;
        let (i, cancel_count) = input::u8("cancel_count")(i)?;
        let (i, reserved) = input::u8("reserved")(i)?;
        let (i, stub) = input::octets("stub", i.left())(i)?;
        let response = Response {
            alloc_hint,
            context_id,
            cancel_count,
            reserved,
            stub,
        };
        Ok((i, response))
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Output) {
        out.u32(self.alloc_hint);
        out.u16(self.context_id);
        out.octets(&[self.cancel_count, self.reserved]);
        out.octets(self.stub);
    }
}

/// The answer to a call that failed.
///
/// Layout behind the header: alloc_hint u32, p_cont_id u16, cancel_count u8,
/// flags u8 (C706: reserved), status u32, reserved u32, then nothing or
/// extended error information.
///
/// # Source
/// C706 12.6.4.7, MS-RPCE 2.2.2.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<'a> {
    /// 32 from Windows, its whole length with extended information; 24 from
    /// Samba.
    pub alloc_hint: u32,
    /// Which presentation context; 0 when the call had none that is known.
    pub context_id: u16,
    /// How many cancels the server has seen.
    pub cancel_count: u8,
    /// Bit 0: extended error information follows.
    pub flags: u8,
    /// What went wrong.
    pub status: FaultStatus,
    /// Sent as 0, ignored.
    pub reserved: u32,
    /// Extended error information, as it stands from octet 32 on.
    pub extended: &'a [u8],
}

impl<'a> Fault<'a> {
    /// A fault as this package sends it.
    pub const fn new(context_id: u16, status: FaultStatus) -> Fault<'static> {
        Fault {
            alloc_hint: 32,
            context_id,
            cancel_count: 0,
            flags: 0,
            status,
            reserved: 0,
            extended: &[],
        }
    }

    /// Decodes what stands between header and verifier.
    ///
    /// # Errors
    /// `Truncated` when the fixed part is not there.
    pub(super) fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, alloc_hint) = input::u32("alloc_hint")(i)?;
        let (i, context_id) = input::u16("p_cont_id")(i)?;
        let (i, cancel_count) = input::u8("cancel_count")(i)?;
        let (i, flags) = input::u8("flags")(i)?;
        let (i, status) = input::u32("status")(i)?;
        let (i, reserved) = input::u32("reserved")(i)?;
        let (i, extended) = input::octets("extended", i.left())(i)?;
        let fault = Fault {
            alloc_hint,
            context_id,
            cancel_count,
            flags,
            status: FaultStatus(status),
            reserved,
            extended,
        };
        Ok((i, fault))
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Output) {
        out.u32(self.alloc_hint);
        out.u16(self.context_id);
        out.octets(&[self.cancel_count, self.flags]);
        out.u32(self.status.0);
        out.u32(self.reserved);
        out.octets(self.extended);
    }
}

/// The third leg of an authentication: 4 octets, then the verifier.
///
/// # Source
/// MS-RPCE 2.2.2.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth3 {
    /// Any value, ignored.
    pub pad: [u8; 4],
}

impl Auth3 {
    /// Decodes the 4 octets.
    ///
    /// # Errors
    /// `Truncated` when they are not there.
    pub(super) fn decode(i: Input) -> Parsed<Self> {
        let (i, octets) = input::octets("pad", 4)(i)?;
        let mut pad = [0; 4];
        pad.copy_from_slice(octets);
        Ok((i, Auth3 { pad }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder;

    #[test]
    fn a_request_has_its_object_only_with_the_flag() {
        let octets = [
            9, 0, 0, 0, // alloc_hint
            1, 0, // p_cont_id
            3, 0, // opnum
            1, 0, 0, 0, 2, 0, 3, 0, 4, 5, 6, 7, 8, 9, 10, 11,   // object or stub
            0xff, // stub
        ];
        let i = Input::new(&octets, ByteOrder::Little);
        let (_, with) = Request::decode(PfcFlags::OBJECT_UUID, i).unwrap();
        let object = Uuid::from_fields(1, 2, 3, &[4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!((with.object, with.stub), (Some(object), &[0xff][..]));
        let (_, without) = Request::decode(PfcFlags::WHOLE, i).unwrap();
        assert_eq!((without.object, without.stub.len()), (None, 17));
        assert_eq!(
            (without.alloc_hint, without.context_id, without.opnum),
            (9, 1, 3)
        );
    }

    #[test]
    fn a_response_keeps_its_reserved_octet() {
        let octets = [
            0, 0, 0, 2, // alloc_hint
            0, 1, // p_cont_id
            3, // cancel_count
            4, // reserved
            5, 6, // stub
        ];
        let (_, response) = Response::decode(Input::new(&octets, ByteOrder::Big)).unwrap();
        assert_eq!((response.context_id, response.stub), (1, &[5, 6][..]));
        let mut again = Vec::new();
        response.encode(&mut Output::new(&mut again, ByteOrder::Big));
        assert_eq!(again, octets);
    }

    #[test]
    fn a_fault_keeps_what_follows_its_fixed_part() {
        let octets = [
            32, 0, 0, 0, // alloc_hint
            0, 0, // p_cont_id
            0, // cancel_count
            1, // flags: extended information
            2, 0, 1, 0x1c, // status: operation out of range
            0, 0, 0, 0,    // reserved
            0xee, // extended
        ];
        let (_, fault) = Fault::decode(Input::new(&octets, ByteOrder::Little)).unwrap();
        assert_eq!(fault.status, FaultStatus::OP_RNG_ERROR);
        assert_eq!(fault.extended, [0xee]);
    }

    #[test]
    fn a_request_of_seven_octets_is_cut_short() {
        let i = Input::new(&[0; 7], ByteOrder::Little);
        assert!(Request::decode(PfcFlags::WHOLE, i).is_err());
    }
}
