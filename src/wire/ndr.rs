//! NDR 2.0 and NDR64: how the arguments of a call lie in its stub, in both byte
//! orders.
//!
//! Holds what the endpoint mapper and remote management ask of them: aligned
//! integers, pointers, conformant and varying arrays, varying strings, context
//! handles. Leaves out floats and pipes, and types of other people's interfaces,
//! which the module [`stub`](mod@super::stub) builds upon it. Always holds: a
//! reader aligns before it reads and a writer before it writes, counted from the
//! stub's start; no count is believed before the octets left bear it out.
//!
//! The two differ here in three things only: how wide a referent id and a count
//! are ([`width`]), the gap that ends a structure ([`gap`], [`put_gap`]), and
//! that NDR64 is little-endian ([`stub`]). Nothing else asks which it is.
//!
//! # Source
//! C706 chapter 14; MS-RPCE 2.2.5.

use super::drep::ByteOrder;
use super::input::{self, DecodeError, DecodeFault, Input, Parsed};
use super::output::Output;
use super::status::EptStatus;
use super::syntax::{SyntaxId, TransferSyntax};
use std::fmt;
use uuid::Uuid;

/// A full or unique pointer that is not NULL, and what it points to.
///
/// NULL is `None` in an `Option<Pointer<T>>`, so `referent` is never 0. It has 32
/// bits in NDR 2.0, where a longer one is written as the highest of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer<T> {
    /// The referent id, as on the wire.
    pub referent: u64,
    /// The pointee.
    pub value: T,
}

/// Hands out referent ids for a stub, one after the other.
///
/// A reply to a call with full pointers goes on from the request's highest id:
/// tshark takes lower ones for aliases of the request's, and Windows' mapper
/// does the same. They go on from 32 bits in 32 bits, so that those of NDR 2.0
/// fit, and from longer ones in 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Referents {
    /// The id that the next pointer gets.
    next: u64,
    /// From one id to the next.
    step: u64,
}

impl Referents {
    /// Begins after `highest`, with 1 after 0 and after the last id of 32 or of
    /// 64 bits.
    pub fn after(highest: u64) -> Self {
        /// The last id of NDR 2.0.
        const LAST: u64 = u32::MAX as u64;
        let next = match highest {
            LAST | u64::MAX => 1,
            _ => highest + 1,
        };
        Referents { next, step: 1 }
    }

    /// The ids of Windows and Samba, where nothing goes before: from 0x20000 in
    /// steps of 4.
    pub fn usual() -> Self {
        Referents {
            next: 0x20000,
            step: 4,
        }
    }

    /// Points to `value` with the next id.
    pub fn point<T>(&mut self, value: T) -> Pointer<T> {
        let referent = self.next;
        self.next = Referents::after(referent.saturating_add(self.step - 1)).next;
        Pointer { referent, value }
    }
}

/// A context handle: where a server keeps the state of a client's calls.
///
/// # Source
/// C706 appendix N (`ndr_context_handle`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContextHandle {
    /// Attributes, 0 in all that is known.
    pub attributes: u32,
    /// What the server knows the state by.
    pub uuid: Uuid,
}

impl ContextHandle {
    /// The length on the wire, in octets.
    pub const LEN: usize = 20;

    /// No state: every octet zero.
    pub const NULL: Self = ContextHandle {
        attributes: 0,
        uuid: Uuid::nil(),
    };

    /// Whether it stands for no state.
    pub fn is_null(&self) -> bool {
        *self == Self::NULL
    }

    /// Decodes a handle.
    ///
    /// Layout: aligned to 4; attributes u32, uuid in the byte order.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, ContextHandle> {
        move |i| {
            let (i, attributes) = u32(name)(i)?;
            let (i, uuid) = uuid(name)(i)?;
            Ok((i, ContextHandle { attributes, uuid }))
        }
    }

    /// Encodes the handle, 20 octets.
    pub fn encode(&self, out: &mut Output) {
        put_u32(out, self.attributes);
        put_uuid(out, &self.uuid);
    }
}

impl fmt::Display for ContextHandle {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.uuid)
    }
}

/// Begins to read a stub that a peer sent: the only way to one, for operations
/// without arguments, too.
///
/// # Errors
/// `Value` for a big-endian one of NDR64.
///
/// # Source
/// MS-RPCE 2.2.5: the format label of NDR64 is little-endian.
pub fn stub(
    octets: &[u8],
    order: ByteOrder,
    syntax: TransferSyntax,
) -> Result<Input<'_>, DecodeError> {
    /// What a format label begins with, ASCII and big-endian.
    const BIG_ENDIAN: u64 = 0;
    let stub = Input::stub(octets, order, syntax);
    match (syntax, order) {
        (TransferSyntax::Ndr64, ByteOrder::Big) => {
            Err(stub.fault("drep", DecodeFault::Value(BIG_ENDIAN)))
        }
        _ => Ok(stub),
    }
}

/// How many octets a referent id has, and a count; they are aligned to as many.
///
/// # Source
/// C706 14.3.3 and 14.3.10; MS-RPCE 2.2.5.3.2 and 2.2.5.3.5.
pub const fn width(syntax: TransferSyntax) -> usize {
    match syntax {
        TransferSyntax::Ndr => 4,
        TransferSyntax::Ndr64 => 8,
    }
}

/// Reads an aligned referent id or count.
fn wide<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u64> {
    move |i| {
        let (i, ()) = align(name, width(i.syntax()))(i)?;
        match i.syntax() {
            TransferSyntax::Ndr => {
                let (i, value) = input::u32(name)(i)?;
                Ok((i, value.into()))
            }
            TransferSyntax::Ndr64 => input::u64(name)(i),
        }
    }
}

/// Skips the gap that ends a structure with pointers or counts in it, but
/// without a conformant array at its end: in NDR64 it is filled up to 8, in NDR
/// 2.0 there is none.
///
/// So the next structure of an array begins aligned.
///
/// # Source
/// MS-RPCE 2.2.5.3.4.1.
pub fn gap<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, ()> {
    move |i| match i.syntax() {
        TransferSyntax::Ndr => Ok((i, ())),
        TransferSyntax::Ndr64 => align(name, width(i.syntax()))(i),
    }
}

/// Skips to a multiple of `alignment`, a power of two, octets from the stub's
/// start.
///
/// The octets skipped may be anything: impacket fills them with 0xab.
pub fn align<'a>(name: &'static str, alignment: usize) -> impl FnMut(Input<'a>) -> Parsed<'a, ()> {
    move |i| {
        let gap = i.offset().wrapping_neg() & (alignment - 1);
        let (i, _) = input::octets(name, gap)(i)?;
        Ok((i, ()))
    }
}

/// Reads an aligned u16.
pub fn u16<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u16> {
    move |i| {
        let (i, ()) = align(name, 2)(i)?;
        input::u16(name)(i)
    }
}

/// Reads an aligned u32.
pub fn u32<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u32> {
    move |i| {
        let (i, ()) = align(name, 4)(i)?;
        input::u32(name)(i)
    }
}

/// Reads a `hyper`: a u64 aligned to 8, in NDR 2.0 too.
///
/// # Source
/// C706 14.2.2.
pub fn u64<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u64> {
    move |i| {
        let (i, ()) = align(name, 8)(i)?;
        input::u64(name)(i)
    }
}

/// Reads an aligned u32 that is at most `limit`.
pub fn u32_within<'a>(name: &'static str, limit: u32) -> impl FnMut(Input<'a>) -> Parsed<'a, u32> {
    move |at| {
        let (i, value) = u32(name)(at)?;
        within(at, name, value.into(), limit.into())?;
        Ok((i, value))
    }
}

/// Reads a `boolean32`: a u32, true unless 0.
pub fn boolean<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, bool> {
    move |i| {
        let (i, value) = u32(name)(i)?;
        Ok((i, value != 0))
    }
}

/// Reads a UUID, aligned to 4.
pub fn uuid<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, Uuid> {
    move |i| {
        let (i, ()) = align(name, 4)(i)?;
        input::uuid(name)(i)
    }
}

/// Reads an `rpc_if_id_t`: uuid, major version u16, minor version u16.
///
/// Not as in a bind, where the version is one u32: in big-endian calls the two
/// halves stand the other way round.
///
/// # Source
/// C706 appendix N.
pub fn interface_id<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, SyntaxId> {
    move |i| {
        let (i, uuid) = uuid(name)(i)?;
        let (i, major) = u16(name)(i)?;
        let (i, minor) = u16(name)(i)?;
        Ok((i, SyntaxId { uuid, major, minor }))
    }
}

/// Reads the `error_status_t` that ends a response.
pub fn status(i: Input) -> Parsed<EptStatus> {
    let (i, status) = u32("status")(i)?;
    Ok((i, EptStatus(status)))
}

/// Reads the count of an array: its maximum, its offset or its actual one.
pub fn count<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u64> {
    wide(name)
}

/// Reads the maximum count of an array that an argument gives the size: such an
/// argument has 32 bits in every transfer syntax.
///
/// # Errors
/// `Limit` for a maximum that such an argument cannot say.
pub fn maximum<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u32> {
    move |at| {
        let (i, maximum) = count(name)(at)?;
        within(at, name, maximum, u32::MAX.into())?;
        Ok((i, maximum as u32))
    }
}

/// Reads the head of a structure whose conformant array fills the rest of it:
/// max_count, then the u32 member that says the same and is at most `limit`.
///
/// # Errors
/// `Mismatch` when the two differ, `Limit` when they are above.
pub fn conformant_head<'a>(
    name: &'static str,
    limit: u32,
) -> impl FnMut(Input<'a>) -> Parsed<'a, u64> {
    move |i| {
        let (at, maximum) = count(name)(i)?;
        let (i, member) = u32_within(name, limit)(at)?;
        agree(at, name, member.into(), maximum)?;
        Ok((i, maximum))
    }
}

/// Reads a count that has to be `stated` over again.
///
/// # Errors
/// `Mismatch` when it is another.
///
/// # Source
/// MS-RPCE, strict data consistency: a server answers another with a fault.
pub fn count_of<'a>(name: &'static str, stated: u64) -> impl FnMut(Input<'a>) -> Parsed<'a, ()> {
    move |at| {
        let (i, found) = count(name)(at)?;
        agree(at, name, found, stated)?;
        Ok((i, ()))
    }
}

/// Reads the head of a varying array: offset, which is 0, and actual count.
///
/// # Errors
/// `Value` for another offset.
pub fn varying<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, u64> {
    move |at| {
        let (i, offset) = count(name)(at)?;
        if offset != 0 {
            return at.fail(name, DecodeFault::Value(offset));
        }
        count(name)(i)
    }
}

/// Reads the head of a conformant varying array whose actual count was stated
/// before it, and returns the maximum count.
///
/// Layout: max_count, offset 0, actual_count.
///
/// # Errors
/// `Value` for another offset, `Mismatch` for another actual count, `Limit`
/// when it is above the maximum.
pub fn conformant_varying_of<'a>(
    name: &'static str,
    stated: u64,
) -> impl FnMut(Input<'a>) -> Parsed<'a, u32> {
    move |at| {
        let (i, maximum) = maximum(name)(at)?;
        let (rest, actual) = varying(name)(i)?;
        agree(at, name, actual, stated)?;
        within(at, name, actual, maximum.into())?;
        Ok((rest, maximum))
    }
}

/// Reads a varying string of at most `limit` octets, its NUL among them.
///
/// Layout: offset 0, actual count, octets, the last one NUL. The content ends
/// at the first NUL.
///
/// # Errors
/// `Limit` for a longer one, `Nul` when the last octet is none or nothing is
/// there.
pub fn varying_string<'a>(
    name: &'static str,
    limit: usize,
) -> impl FnMut(Input<'a>) -> Parsed<'a, &'a [u8]> {
    move |at| {
        let (i, length) = varying(name)(at)?;
        within(at, name, length, limit as u64)?;
        let length = room(i, name, length, 1)?;
        let (i, octets) = input::octets(name, length)(i)?;
        if octets.last() != Some(&0) {
            return at.fail(name, DecodeFault::Nul);
        }
        Ok((i, until_nul(octets)))
    }
}

/// Reads the referent id of a pointer; NULL is `None`.
///
/// A full pointer's id that comes again is taken for a pointer of its own with
/// a pointee behind it, not for an alias without: impacket draws its ids at
/// random from 65,535, so that two pointers of a call may have one and the
/// same, and no real peer was seen to send an alias.
pub fn referent<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, Option<u64>> {
    move |i| {
        let (i, referent) = wide(name)(i)?;
        Ok((i, Some(referent).filter(|&referent| referent != 0)))
    }
}

/// Reads a pointer that is an argument by itself: its pointee follows at once.
///
/// # Errors
/// As [`referent`], then as `value`.
pub fn pointer<'a, T>(
    name: &'static str,
    mut value: impl FnMut(Input<'a>) -> Parsed<'a, T>,
) -> impl FnMut(Input<'a>) -> Parsed<'a, Option<Pointer<T>>> {
    let mut read_referent = referent(name);
    move |i| {
        let (i, referent) = read_referent(i)?;
        let Some(referent) = referent else {
            return Ok((i, None));
        };
        let (i, value) = value(i)?;
        Ok((i, Some(Pointer { referent, value })))
    }
}

/// `count` as a number of elements to make room for.
///
/// # Errors
/// `Truncated` when so many elements of at least `least` octets are not left.
pub fn room(
    i: Input,
    name: &'static str,
    count: u64,
    least: usize,
) -> Result<usize, nom::Err<DecodeError>> {
    let left = i.left();
    usize::try_from(count)
        .ok()
        .filter(|count| {
            count
                .checked_mul(least)
                .is_some_and(|octets| octets <= left)
        })
        .ok_or_else(|| nom::Err::Error(i.fault(name, DecodeFault::Truncated { left })))
}

/// Checks `count` against a limit.
///
/// # Errors
/// `Limit` when it is above.
pub fn within(
    at: Input,
    name: &'static str,
    count: u64,
    limit: u64,
) -> Result<(), nom::Err<DecodeError>> {
    if count <= limit {
        return Ok(());
    }
    let fault = DecodeFault::Limit { count, limit };
    Err(nom::Err::Error(at.fault(name, fault)))
}

/// Checks that a length `stated` here is the one `found` before.
///
/// # Errors
/// `Mismatch` when it is another.
pub fn agree(
    at: Input,
    name: &'static str,
    stated: u64,
    found: u64,
) -> Result<(), nom::Err<DecodeError>> {
    if stated == found {
        return Ok(());
    }
    let fault = DecodeFault::Mismatch { stated, found };
    Err(nom::Err::Error(at.fault(name, fault)))
}

/// What stands before the first NUL, or everything.
pub fn until_nul(octets: &[u8]) -> &[u8] {
    octets.split(|&octet| octet == 0).next().unwrap_or(octets)
}

/// Writes an aligned u16.
pub fn put_u16(out: &mut Output, value: u16) {
    out.align(2);
    out.u16(value);
}

/// Writes an aligned u32.
pub fn put_u32(out: &mut Output, value: u32) {
    out.align(4);
    out.u32(value);
}

/// Writes a `hyper`.
pub fn put_u64(out: &mut Output, value: u64) {
    out.align(8);
    out.u64(value);
}

/// Writes a `boolean32`.
pub fn put_boolean(out: &mut Output, value: bool) {
    put_u32(out, value.into());
}

/// Writes a UUID, aligned to 4.
pub fn put_uuid(out: &mut Output, uuid: &Uuid) {
    out.align(4);
    out.uuid(*uuid);
}

/// Writes an `rpc_if_id_t`.
pub fn put_interface_id(out: &mut Output, id: &SyntaxId) {
    put_uuid(out, &id.uuid);
    put_u16(out, id.major);
    put_u16(out, id.minor);
}

/// Writes the `error_status_t` that ends a response.
pub fn put_status(out: &mut Output, status: EptStatus) {
    put_u32(out, status.0);
}

/// Writes an aligned referent id or count; in NDR 2.0 one that is too long as
/// the highest, so that no pointer becomes NULL.
fn put_wide(out: &mut Output, value: u64) {
    out.align(width(out.syntax()));
    match out.syntax() {
        TransferSyntax::Ndr => out.u32(u32::try_from(value).unwrap_or(u32::MAX)),
        TransferSyntax::Ndr64 => out.u64(value),
    }
}

/// Writes the gap that ends a structure, as [`gap`] reads it.
pub fn put_gap(out: &mut Output) {
    if out.syntax() == TransferSyntax::Ndr64 {
        out.align(width(out.syntax()));
    }
}

/// Writes the count of an array.
///
/// What is written here is a length of ours: below 2^32, since no stub of that
/// length could be sent.
pub fn put_count(out: &mut Output, count: usize) {
    put_wide(out, count as u64);
}

/// Writes the head of a structure whose conformant array fills the rest of it.
pub fn put_conformant_head(out: &mut Output, count: usize) {
    put_count(out, count);
    put_u32(out, count as u32);
}

/// Writes the head of a varying array: offset 0 and actual count.
pub fn put_varying(out: &mut Output, actual: usize) {
    put_count(out, 0);
    put_count(out, actual);
}

/// Writes the head of a conformant varying array: max_count, offset 0, actual
/// count.
pub fn put_conformant_varying(out: &mut Output, maximum: u32, actual: usize) {
    put_count(out, maximum as usize);
    put_varying(out, actual);
}

/// Writes a varying string of at most `limit` octets, 1 or more, with its NUL.
///
/// Of `content`, what stands behind a NUL or above the limit is left out: the
/// wire cannot say it.
pub fn put_varying_string(out: &mut Output, content: &[u8], limit: usize) {
    let content = until_nul(content);
    let content = content.get(..limit - 1).unwrap_or(content);
    put_varying(out, content.len() + 1);
    out.octets(content);
    out.u8(0);
}

/// Writes the referent id of a pointer, 0 for NULL.
pub fn put_referent<T>(out: &mut Output, pointer: Option<&Pointer<T>>) {
    put_wide(out, pointer.map_or(0, |pointer| pointer.referent));
}

/// Writes a pointer that is an argument by itself, its pointee at once.
pub fn put_pointer<T>(
    out: &mut Output,
    pointer: Option<&Pointer<T>>,
    put: impl FnOnce(&mut Output, &T),
) {
    put_referent(out, pointer);
    if let Some(pointer) = pointer {
        put(out, &pointer.value);
    }
}

/// What the tests of stubs share.
#[cfg(test)]
pub(super) mod testing {
    use super::{Input, Output};
    use crate::wire::{ByteOrder, TransferSyntax};

    /// A nil UUID: sixteen octets of zero.
    pub const NIL: &str = "00000000000000000000000000000000";

    /// A NULL handle: twenty octets of zero.
    pub const NULL: &str = "0000000000000000000000000000000000000000";

    /// A tower that asks for an endpoint of TCP: 75 octets.
    pub const TOWER: &str = "0500
        1300 0d 785734123412cdabef000123456789ab 0000 0200 0000
        1300 0d 045d888aeb1cc9119fe808002b104860 0200 0200 0000
        0100 0b 0200 0000 0100 07 0200 0087 0100 09 0400 00000000";

    /// Octets of hexadecimal digits, blanks between them ignored.
    pub fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(16)).collect();
        let octets = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8);
        octets.collect()
    }

    /// What `encode` writes in `order`.
    pub fn encoded(order: ByteOrder, encode: impl FnOnce(&mut Output)) -> Vec<u8> {
        let mut octets = Vec::new();
        encode(&mut Output::new(&mut octets, order));
        octets
    }

    /// A stub of NDR64.
    pub fn stub64(octets: &[u8]) -> Input<'_> {
        Input::stub(octets, ByteOrder::Little, TransferSyntax::Ndr64)
    }

    /// What `encode` writes in NDR64.
    pub fn encoded64(encode: impl FnOnce(&mut Output)) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut out = Output::stub(&mut octets, ByteOrder::Little, TransferSyntax::Ndr64);
        encode(&mut out);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{encoded, encoded64, stub64};
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};

    /// The fault of a parser that has to fail.
    fn fault_of<T: std::fmt::Debug>(parsed: Parsed<T>) -> DecodeFault {
        DecodeError::from(parsed.unwrap_err()).fault
    }

    #[test]
    fn alignment_counts_from_the_stubs_start_not_from_what_is_left() {
        let octets = [0xaa, 0xab, 0xab, 0xab, 4, 0, 0, 0];
        let (i, _) = input::u8("first")(Input::new(&octets, Little)).unwrap();
        let (i, value) = u32("second")(i).unwrap();
        assert_eq!((value, i.left()), (4, 0));
    }

    #[test]
    fn a_gap_that_runs_past_the_end_is_cut_short() {
        let (i, _) = input::u8("first")(Input::new(&[1, 2], Little)).unwrap();
        assert_eq!(
            fault_of(u32("second")(i)),
            DecodeFault::Truncated { left: 1 }
        );
    }

    #[test]
    fn a_context_handle_is_attributes_and_uuid_in_the_byte_order() {
        // attributes 0, then the handle smbtorture frees in its two byte orders
        let little = [
            0, 0, 0, 0, 0x0c, 0x8e, 0x44, 0, 0x4b, 0xbc, 0x0f, 0x4d, 0xbb, 0xc1, 0x94, 0xb1, 0x70,
            0x67, 0x4b, 0x58,
        ];
        let big = [
            0, 0, 0, 0, 0, 0x44, 0x8e, 0x0c, 0xbc, 0x4b, 0x4d, 0x0f, 0xbb, 0xc1, 0x94, 0xb1, 0x70,
            0x67, 0x4b, 0x58,
        ];
        for (octets, order) in [(little, Little), (big, Big)] {
            let (_, handle) = ContextHandle::decode("h")(Input::new(&octets, order)).unwrap();
            assert_eq!(handle.to_string(), "00448e0c-bc4b-4d0f-bbc1-94b170674b58");
            let mut again = Vec::new();
            handle.encode(&mut Output::new(&mut again, order));
            assert_eq!(again, octets);
        }
        assert!(ContextHandle::default().is_null());
    }

    #[test]
    fn an_interface_id_has_its_major_version_first_in_both_byte_orders() {
        let value = SyntaxId::new(SyntaxId::EPT.uuid, 3, 1);
        for (order, tail) in [(Little, [3, 0, 1, 0]), (Big, [0, 3, 0, 1])] {
            let mut octets = Vec::new();
            put_interface_id(&mut Output::new(&mut octets, order), &value);
            assert_eq!(octets[16..], tail);
            let (_, again) = interface_id("i")(Input::new(&octets, order)).unwrap();
            assert_eq!(again, value);
        }
    }

    #[test]
    fn the_referent_0_is_no_pointer() {
        let one = Input::new(&[1, 0, 0, 0], Little);
        let null = Input::new(&[0, 0, 0, 0], Little);
        assert_eq!(referent("p")(one).unwrap().1, Some(1));
        assert_eq!(referent("p")(null).unwrap().1, None);
    }

    #[test]
    fn a_varying_string_ends_at_its_first_nul_and_needs_one_at_its_end() {
        // offset, actual count, octets
        let whole = [0, 0, 0, 0, 4, 0, 0, 0, b'L', b'S', b'A', 0];
        let early = [0, 0, 0, 0, 4, 0, 0, 0, b'L', 0, b'A', 0];
        let open = [0, 0, 0, 0, 3, 0, 0, 0, b'L', b'S', b'A'];
        let empty = [0; 8];
        let shifted = [1, 0, 0, 0, 1, 0, 0, 0, 0];
        let read = |octets, limit| varying_string("s", limit)(Input::new(octets, Little));
        assert_eq!(read(&whole, 64).unwrap().1, b"LSA");
        assert_eq!(read(&early, 64).unwrap().1, b"L");
        assert_eq!(fault_of(read(&open, 64)), DecodeFault::Nul);
        assert_eq!(fault_of(read(&empty, 64)), DecodeFault::Nul);
        assert_eq!(fault_of(read(&shifted, 64)), DecodeFault::Value(1));
        assert_eq!(
            fault_of(read(&whole, 3)),
            DecodeFault::Limit { count: 4, limit: 3 }
        );
    }

    #[test]
    fn a_string_is_written_as_far_as_the_wire_can_say_it() {
        let written = |content: &[u8]| {
            let mut octets = Vec::new();
            put_varying_string(&mut Output::new(&mut octets, Big), content, 4);
            octets
        };
        assert_eq!(
            written(b"LSASS"),
            [0, 0, 0, 0, 0, 0, 0, 4, b'L', b'S', b'A', 0]
        );
        assert_eq!(written(b"L\0A"), [0, 0, 0, 0, 0, 0, 0, 2, b'L', 0]);
        assert_eq!(written(b""), [0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_count_is_believed_only_as_far_as_octets_are_left() {
        let i = Input::new(&[0; 8], Little);
        assert_eq!(room(i, "n", 2, 4), Ok(2));
        assert!(room(i, "n", 3, 4).is_err());
        assert!(room(i, "n", u64::MAX, 4).is_err());
    }

    #[test]
    fn referents_go_on_from_the_highest_and_never_become_null() {
        let mut referents = Referents::after(2);
        assert_eq!(referents.point('a').referent, 3);
        assert_eq!(referents.point('b').referent, 4);
        for last in [u64::from(u32::MAX), u64::MAX] {
            let mut referents = Referents::after(last - 1);
            assert_eq!(referents.point('a').referent, last);
            assert_eq!(referents.point('b').referent, 1);
        }
        let mut referents = Referents::after(1 << 32);
        assert_eq!(referents.point('a').referent, (1 << 32) + 1);
    }

    #[test]
    fn ndr64_is_little_endian_whatever_is_called() {
        let Err(error) = stub(&[], Big, TransferSyntax::Ndr64) else {
            panic!("accepted");
        };
        assert_eq!(
            error.to_string(),
            "drep at octet 0: value 0x0 is not allowed"
        );
        for (order, syntax) in [
            (Little, TransferSyntax::Ndr64),
            (Little, TransferSyntax::Ndr),
            (Big, TransferSyntax::Ndr),
        ] {
            assert_eq!(
                stub(&[1], order, syntax),
                Ok(Input::stub(&[1], order, syntax))
            );
        }
    }

    #[test]
    fn a_referent_of_ndr64_has_64_bits_and_is_aligned_to_them() {
        // u32, gap, referent
        let octets = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 3, 0, 0, 0];
        let (i, _) = u32("first")(stub64(&octets)).unwrap();
        let (i, read) = referent("second")(i).unwrap();
        assert_eq!((read, i.left()), (Some(0x0000_0003_0000_0002), 0));
        let pointer = Pointer {
            referent: 0x0000_0003_0000_0002,
            value: (),
        };
        let written = encoded64(|out| {
            put_u32(out, 1);
            put_referent(out, Some(&pointer));
        });
        assert_eq!(written[8..], octets[8..]);
        let null = stub64(&[0; 8]);
        assert_eq!(referent("p")(null).unwrap().1, None);
    }

    #[test]
    fn a_referent_that_ndr_cannot_say_is_not_null_there() {
        for referent in [1 << 32, u64::MAX] {
            let pointer = Pointer {
                referent,
                value: (),
            };
            let written = encoded(Little, |out| put_referent(out, Some(&pointer)));
            assert_eq!(written, [0xff; 4]);
        }
    }

    #[test]
    fn a_count_of_ndr64_above_32_bits_is_refused_where_an_argument_says_it() {
        // max_count 2^32, or offset 2^32, or actual count 2^32
        let octets = [
            [4u64, 0, 4],
            [1 << 32, 0, 4],
            [4, 1 << 32, 4],
            [4, 0, 1 << 32],
        ]
        .map(|counts| counts.map(u64::to_le_bytes).concat());
        let read = |octets| conformant_varying_of("n", 4)(stub64(octets));
        assert_eq!(read(&octets[0]).unwrap().1, 4);
        assert_eq!(
            fault_of(read(&octets[1])),
            DecodeFault::Limit {
                count: 1 << 32,
                limit: u32::MAX.into()
            }
        );
        assert_eq!(fault_of(read(&octets[2])), DecodeFault::Value(1 << 32));
        assert_eq!(
            fault_of(read(&octets[3])),
            DecodeFault::Mismatch {
                stated: 1 << 32,
                found: 4
            }
        );
        let head = [(1u64 << 32).to_le_bytes(), 0u64.to_le_bytes()].concat();
        assert_eq!(
            fault_of(conformant_head("n", u32::MAX)(stub64(&head))),
            DecodeFault::Mismatch {
                stated: 0,
                found: 1 << 32
            }
        );
    }

    #[test]
    fn a_gap_ends_a_structure_in_ndr64_only() {
        let (i, _) = input::u8("first")(stub64(&[1; 8])).unwrap();
        assert_eq!(gap("end")(i).unwrap().0.left(), 0);
        let (i, _) = input::u8("first")(Input::new(&[1; 8], Little)).unwrap();
        assert_eq!(gap("end")(i).unwrap().0.left(), 7);
        let put = |out: &mut Output| {
            out.u8(1);
            put_gap(out);
        };
        assert_eq!(encoded64(put), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(Little, put), [1]);
    }
}
