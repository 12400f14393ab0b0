//! What opens and changes an association: bind, alter_context and their
//! answers, with the lists of presentation contexts they carry.
//!
//! A list is checked once, when its PDU is decoded, and parsed again by whoever
//! iterates it; nothing is allocated. How many elements a list has is one octet
//! on the wire, so no list is longer than 255.

use crate::wire::input::{self, Input, Parsed};
use crate::wire::status::{ContextResult, ProviderReason, RejectReason};
use crate::wire::{ByteOrder, Output, SyntaxId};
use uuid::Uuid;

/// The body of bind and alter_context.
///
/// Layout behind the header: max_xmit_frag u16, max_recv_frag u16,
/// assoc_group_id u32, the contexts.
///
/// # Source
/// C706 12.6.4.3 and 12.6.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The longest fragment that the sender sends.
    pub max_xmit_frag: u16,
    /// The longest fragment that the sender takes.
    pub max_recv_frag: u16,
    /// Which association group to join, 0 for a new one.
    pub assoc_group_id: u32,
    /// What is asked for.
    pub contexts: Contexts<'a>,
}

impl<'a> Bind<'a> {
    /// Decodes the body; leaves what follows the last context.
    ///
    /// # Errors
    /// `Truncated` when the octets end before the last context does.
    pub(super) fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, max_xmit_frag) = input::u16("max_xmit_frag")(i)?;
        let (i, max_recv_frag) = input::u16("max_recv_frag")(i)?;
        let (i, assoc_group_id) = input::u32("assoc_group_id")(i)?;
        let (i, contexts) = Contexts::decode(i)?;
        let bind = Bind {
            max_xmit_frag,
            max_recv_frag,
            assoc_group_id,
            contexts,
        };
        Ok((i, bind))
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Output) {
        out.u16(self.max_xmit_frag);
        out.u16(self.max_recv_frag);
        out.u32(self.assoc_group_id);
        self.contexts.encode(out);
    }
}

/// The presentation contexts of a bind: `p_cont_list_t`.
///
/// Layout: n_context_elem u8, reserved 3 octets, the elements.
///
/// # Source
/// C706 12.6.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contexts<'a> {
    /// The elements, whole.
    octets: &'a [u8],
    /// What they are written in.
    order: ByteOrder,
    /// How many they are.
    count: u8,
    /// Sent as 0, ignored; 3 octets, fewer only where no element follows.
    reserved: &'a [u8],
}

impl<'a> Contexts<'a> {
    /// The contexts in the sender's order.
    pub fn iter(&self) -> impl Iterator<Item = Context<'a>> + use<'a> {
        walk(self.octets, self.order, Context::decode)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none, which the standard forbids.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Decodes the list and checks that each element is whole.
    ///
    /// The reserved octets of an empty list may be missing: Samba's client ends
    /// such a bind after its count.
    ///
    /// # Errors
    /// `Truncated` when an element is not.
    ///
    /// # Source
    /// testdata/capture/self-raw-protocol.pcap, frame 705.
    fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, count) = input::u8("n_context_elem")(i)?;
        let reserved = if count == 0 { i.left().min(3) } else { 3 };
        let (i, reserved) = input::octets("reserved", reserved)(i)?;
        let (i, octets) = checked(i, count, Context::decode)?;
        let contexts = Contexts {
            octets,
            order: i.order(),
            count,
            reserved,
        };
        Ok((i, contexts))
    }

    /// Appends the list.
    fn encode(&self, out: &mut Output) {
        out.u8(self.count);
        out.octets(self.reserved);
        for context in self.iter() {
            context.encode(out);
        }
    }
}

/// One presentation context asked for: `p_cont_elem_t`.
///
/// Layout: p_cont_id u16, n_transfer_syn u8, reserved u8, abstract_syntax 20
/// octets, each transfer syntax 20 octets.
///
/// # Source
/// C706 12.6.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context<'a> {
    /// The number that requests will name it by.
    pub id: u16,
    /// Sent as 0, ignored.
    pub reserved: u8,
    /// The interface.
    pub abstract_syntax: SyntaxId,
    /// The encodings that the sender offers for it.
    pub transfer_syntaxes: Syntaxes<'a>,
}

impl<'a> Context<'a> {
    /// The features that this context negotiates instead of an encoding: a bit
    /// mask. `None` when its first transfer syntax is an ordinary one.
    ///
    /// # Source
    /// MS-RPCE 2.2.2.14, 3.3.1.5.3.
    pub fn bind_time_features(&self) -> Option<u64> {
        let first = self.transfer_syntaxes.iter().next()?;
        let (_, _, _, mask) = first.uuid.as_fields();
        let mask = u64::from_le_bytes(*mask);
        (first == bind_time_syntax(mask)).then_some(mask)
    }

    /// Decodes one context.
    fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, id) = input::u16("p_cont_id")(i)?;
        let (i, count) = input::u8("n_transfer_syn")(i)?;
        let (i, reserved) = input::u8("reserved")(i)?;
        let (i, abstract_syntax) = SyntaxId::decode("abstract_syntax")(i)?;
        let (i, octets) =
            input::octets("transfer_syntaxes", usize::from(count) * SyntaxId::LEN)(i)?;
        let context = Context {
            id,
            reserved,
            abstract_syntax,
            transfer_syntaxes: Syntaxes {
                octets,
                order: i.order(),
            },
        };
        Ok((i, context))
    }

    /// Appends the context.
    fn encode(&self, out: &mut Output) {
        out.u16(self.id);
        // 255 at most, for it came from one octet.
        out.octets(&[self.transfer_syntaxes.len() as u8, self.reserved]);
        self.abstract_syntax.encode(out);
        for syntax in self.transfer_syntaxes.iter() {
            syntax.encode(out);
        }
    }
}

/// The transfer syntaxes of one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntaxes<'a> {
    /// The syntaxes, whole.
    octets: &'a [u8],
    /// What they are written in.
    order: ByteOrder,
}

impl<'a> Syntaxes<'a> {
    /// The syntaxes in the sender's order.
    pub fn iter(&self) -> impl Iterator<Item = SyntaxId> + use<'a> {
        walk(self.octets, self.order, SyntaxId::decode("transfer_syntax"))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.octets.len() / SyntaxId::LEN
    }

    /// Whether there is none, which the standard forbids.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

/// The uuid of a bind-time feature negotiation, its mask left out.
const BIND_TIME: (u32, u16, u16) = (0x6cb7_1c2c, 0x9812, 0x4540);

/// The transfer syntax that asks for the features of `mask`.
///
/// # Source
/// MS-RPCE 2.2.2.14.
pub const fn bind_time_syntax(mask: u64) -> SyntaxId {
    let (first, second, third) = BIND_TIME;
    let uuid = Uuid::from_fields(first, second, third, &mask.to_le_bytes());
    SyntaxId::new(uuid, 1, 0)
}

/// Contexts to send: a list that owns its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextsBuf {
    /// The elements, encoded.
    octets: Vec<u8>,
    /// What they are written in.
    order: ByteOrder,
    /// How many they are.
    count: u8,
}

impl ContextsBuf {
    /// An empty list.
    pub fn new(order: ByteOrder) -> Self {
        ContextsBuf {
            octets: Vec::new(),
            order,
            count: 0,
        }
    }

    /// Adds one context. Tells whether it was added: neither the contexts nor
    /// the syntaxes of one may be more than 255.
    pub fn push(&mut self, id: u16, abstract_syntax: SyntaxId, syntaxes: &[SyntaxId]) -> bool {
        let (Some(count), Ok(syntaxes_count)) =
            (self.count.checked_add(1), u8::try_from(syntaxes.len()))
        else {
            return false;
        };
        self.count = count;
        let mut out = Output::new(&mut self.octets, self.order);
        out.u16(id);
        out.octets(&[syntaxes_count, 0]);
        abstract_syntax.encode(&mut out);
        for syntax in syntaxes {
            syntax.encode(&mut out);
        }
        true
    }

    /// The list, borrowed.
    pub fn as_contexts(&self) -> Contexts<'_> {
        Contexts {
            octets: &self.octets,
            order: self.order,
            count: self.count,
            reserved: &[0; 3],
        }
    }
}

/// The body of bind_ack and alter_context_resp.
///
/// Layout behind the header: max_xmit_frag u16, max_recv_frag u16,
/// assoc_group_id u32, length u16 and octets of the secondary address, 0 to 3
/// octets up to a multiple of 4 from the PDU's head, the results.
///
/// # Source
/// C706 12.6.4.4 and 12.6.4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAck<'a> {
    /// The longest fragment that the sender sends.
    pub max_xmit_frag: u16,
    /// The longest fragment that the sender takes.
    pub max_recv_frag: u16,
    /// The association's group; not 0.
    pub assoc_group_id: u32,
    /// The port or pipe of the server as text, with its NUL; empty in answers
    /// to alter_context. Not every server sends the NUL.
    pub secondary_address: &'a [u8],
    /// What fills up to the results: Windows leaves stale octets here. The
    /// encoder writes zeros instead where the length does not fit.
    pub secondary_pad: &'a [u8],
    /// An answer for each context asked for, in the same order.
    pub results: Results<'a>,
}

impl<'a> BindAck<'a> {
    /// Decodes the body; leaves what follows the last result.
    ///
    /// # Errors
    /// `Truncated` when the octets end before the last result does.
    pub(super) fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, max_xmit_frag) = input::u16("max_xmit_frag")(i)?;
        let (i, max_recv_frag) = input::u16("max_recv_frag")(i)?;
        let (i, assoc_group_id) = input::u32("assoc_group_id")(i)?;
        let (i, length) = input::u16("sec_addr length")(i)?;
        let (i, secondary_address) = input::octets("sec_addr", usize::from(length))(i)?;
        let (i, secondary_pad) = input::octets("sec_addr pad", short_of_four(i.offset()))(i)?;
        let (i, results) = Results::decode(i)?;
        let ack = BindAck {
            max_xmit_frag,
            max_recv_frag,
            assoc_group_id,
            secondary_address,
            secondary_pad,
            results,
        };
        Ok((i, ack))
    }

    /// Appends the body; `out` begins at the PDU's head.
    pub(super) fn encode(&self, out: &mut Output) {
        out.u16(self.max_xmit_frag);
        out.u16(self.max_recv_frag);
        out.u32(self.assoc_group_id);
        // A longer address would not fit into a PDU either.
        out.u16(self.secondary_address.len() as u16);
        out.octets(self.secondary_address);
        match self.secondary_pad.len() == short_of_four(out.written()) {
            true => out.octets(self.secondary_pad),
            false => out.align(4),
        }
        self.results.encode(out);
    }
}

/// Octets from `offset` to the next multiple of 4.
fn short_of_four(offset: usize) -> usize {
    offset.next_multiple_of(4) - offset
}

/// The answers of a bind_ack: `p_result_list_t`.
///
/// Layout: n_results u8, reserved 3 octets, the results.
///
/// # Source
/// C706 12.6.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results<'a> {
    /// The results, whole.
    octets: &'a [u8],
    /// What they are written in.
    order: ByteOrder,
    /// How many they are.
    count: u8,
    /// Sent as 0, ignored.
    reserved: [u8; 3],
}

impl<'a> Results<'a> {
    /// The answers in the order of the contexts asked for.
    pub fn iter(&self) -> impl Iterator<Item = ContextAnswer> + use<'a> {
        walk(self.octets, self.order, ContextAnswer::decode)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Decodes the list and checks that each result is whole.
    ///
    /// # Errors
    /// `Truncated` when one is not.
    fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, count) = input::u8("n_results")(i)?;
        let (i, octets) = input::octets("reserved", 3)(i)?;
        let mut reserved = [0; 3];
        reserved.copy_from_slice(octets);
        let (i, octets) = checked(i, count, ContextAnswer::decode)?;
        let results = Results {
            octets,
            order: i.order(),
            count,
            reserved,
        };
        Ok((i, results))
    }

    /// Appends the list.
    fn encode(&self, out: &mut Output) {
        out.u8(self.count);
        out.octets(&self.reserved);
        for answer in self.iter() {
            answer.encode(out);
        }
    }
}

/// The answer to one presentation context: `p_result_t`.
///
/// Layout: result u16, reason u16, transfer_syntax 20 octets.
///
/// # Source
/// C706 12.6.3.1, MS-RPCE 2.2.2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextAnswer {
    /// Accepted or not.
    pub result: ContextResult,
    /// Why not; with `NEGOTIATE_ACK` the mask of features agreed to.
    pub reason: ProviderReason,
    /// The encoding that was chosen; all zero unless accepted.
    pub transfer_syntax: SyntaxId,
}

impl ContextAnswer {
    /// What stands for the transfer syntax in every answer but an acceptance.
    pub const NO_SYNTAX: SyntaxId = SyntaxId::new(Uuid::nil(), 0, 0);

    /// Decodes one result.
    fn decode(i: Input) -> Parsed<Self> {
        let (i, result) = input::u16("result")(i)?;
        let (i, reason) = input::u16("reason")(i)?;
        let (i, transfer_syntax) = SyntaxId::decode("transfer_syntax")(i)?;
        let answer = ContextAnswer {
            result: ContextResult(result),
            reason: ProviderReason(reason),
            transfer_syntax,
        };
        Ok((i, answer))
    }

    /// Appends the result.
    fn encode(&self, out: &mut Output) {
        out.u16(self.result.0);
        out.u16(self.reason.0);
        self.transfer_syntax.encode(out);
    }
}

/// Results to send: a list that owns its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultsBuf {
    /// The results, encoded.
    octets: Vec<u8>,
    /// What they are written in.
    order: ByteOrder,
    /// How many they are.
    count: u8,
}

impl ResultsBuf {
    /// An empty list.
    pub fn new(order: ByteOrder) -> Self {
        ResultsBuf {
            octets: Vec::new(),
            order,
            count: 0,
        }
    }

    /// Adds one answer. Tells whether it was added: there may be 255.
    pub fn push(&mut self, answer: ContextAnswer) -> bool {
        let Some(count) = self.count.checked_add(1) else {
            return false;
        };
        self.count = count;
        answer.encode(&mut Output::new(&mut self.octets, self.order));
        true
    }

    /// The list, borrowed.
    pub fn as_results(&self) -> Results<'_> {
        Results {
            octets: &self.octets,
            order: self.order,
            count: self.count,
            reserved: [0; 3],
        }
    }
}

/// The body of a bind_nak.
///
/// Layout behind the header: provider_reject_reason u16, n_protocols u8, the
/// versions of 2 octets each, then padding and, from Windows, perhaps extended
/// error information.
///
/// # Source
/// C706 12.6.4.5, MS-RPCE 2.2.2.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindNak<'a> {
    /// Why the bind was refused.
    pub reason: RejectReason,
    /// The versions that the server speaks, major then minor. `None` when the
    /// PDU ends after the reason, as Samba's did up to 4.1.
    pub versions: Option<&'a [[u8; 2]]>,
    /// What follows the versions.
    pub tail: &'a [u8],
}

impl<'a> BindNak<'a> {
    /// A refusal as Windows and Samba send it: version 5.0, then 3 octets up to
    /// a multiple of 4.
    pub const fn new(reason: RejectReason) -> BindNak<'static> {
        BindNak {
            reason,
            versions: Some(&[[5, 0]]),
            tail: &[0; 3],
        }
    }

    /// Decodes what stands between header and verifier.
    ///
    /// # Errors
    /// `Truncated` when the reason is not there or the versions are not whole.
    pub(super) fn decode(i: Input<'a>) -> Parsed<'a, Self> {
        let (i, reason) = input::u16("provider_reject_reason")(i)?;
        let (i, versions) = match i.left() {
            0 => (i, None),
            _ => versions(i)?,
        };
        let (i, tail) = input::octets("signature", i.left())(i)?;
        let nak = BindNak {
            reason: RejectReason(reason),
            versions,
            tail,
        };
        Ok((i, nak))
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut Output) {
        out.u16(self.reason.0);
        if let Some(versions) = self.versions {
            let versions = versions.get(..usize::from(u8::MAX)).unwrap_or(versions);
            out.u8(versions.len() as u8);
            out.octets(versions.as_flattened());
        }
        out.octets(self.tail);
    }
}

/// Decodes the versions of a bind_nak.
fn versions<'a>(i: Input<'a>) -> Parsed<'a, Option<&'a [[u8; 2]]>> {
    let (i, count) = input::u8("n_protocols")(i)?;
    let (i, octets) = input::octets("versions", usize::from(count) * 2)(i)?;
    let (versions, _) = octets.as_chunks();
    Ok((i, Some(versions)))
}

/// Takes the octets of `count` elements, each of which has to decode.
fn checked<'a, T>(
    i: Input<'a>,
    count: u8,
    decode: impl Fn(Input<'a>) -> Parsed<'a, T>,
) -> Parsed<'a, &'a [u8]> {
    let mut end = i;
    for _ in 0..count {
        (end, _) = decode(end)?;
    }
    input::octets("elements", end.offset() - i.offset())(i)
}

/// Iterates elements that fill `octets`; they were checked before.
fn walk<'a, T>(
    octets: &'a [u8],
    order: ByteOrder,
    mut decode: impl FnMut(Input<'a>) -> Parsed<'a, T>,
) -> impl Iterator<Item = T> {
    let mut left = Input::new(octets, order);
    std::iter::from_fn(move || {
        let (rest, element) = decode(left).ok()?;
        left = rest;
        Some(element)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three contexts asked for in one list, as octets.
    fn three(order: ByteOrder) -> ContextsBuf {
        let mut contexts = ContextsBuf::new(order);
        assert!(contexts.push(0, SyntaxId::EPT, &[SyntaxId::NDR]));
        assert!(contexts.push(1, SyntaxId::EPT, &[SyntaxId::NDR64, SyntaxId::NDR]));
        assert!(contexts.push(2, SyntaxId::MGMT, &[bind_time_syntax(3)]));
        contexts
    }

    #[test]
    fn contexts_come_back_in_order() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let buffer = three(order);
            let contexts = buffer.as_contexts();
            let ids: Vec<u16> = contexts.iter().map(|context| context.id).collect();
            assert_eq!((ids, contexts.len()), (vec![0, 1, 2], 3));
            let syntaxes = contexts.iter().nth(1).unwrap().transfer_syntaxes;
            assert_eq!(syntaxes.len(), 2);
            assert!(syntaxes.iter().eq([SyntaxId::NDR64, SyntaxId::NDR]));
        }
    }

    #[test]
    fn contexts_are_written_in_another_order_than_they_were_made_in() {
        let made = three(ByteOrder::Big);
        let mut octets = Vec::new();
        made.as_contexts()
            .encode(&mut Output::new(&mut octets, ByteOrder::Little));
        let (_, read) = Contexts::decode(Input::new(&octets, ByteOrder::Little)).unwrap();
        assert_eq!(read, three(ByteOrder::Little).as_contexts());
    }

    #[test]
    fn reserved_octets_of_contexts_are_kept() {
        let octets = [
            &[1, 7, 8, 9][..], // n_context_elem, reserved
            &[5, 0, 0, 6],     // p_cont_id, n_transfer_syn, reserved
            &[0xab; 20],       // abstract_syntax
        ]
        .concat();
        let (_, contexts) = Contexts::decode(Input::new(&octets, ByteOrder::Little)).unwrap();
        let mut again = Vec::new();
        contexts.encode(&mut Output::new(&mut again, ByteOrder::Little));
        assert_eq!(again, octets);
        assert!(contexts.iter().next().unwrap().transfer_syntaxes.is_empty());
    }

    #[test]
    fn an_empty_list_may_lack_its_reserved_octets() {
        for octets in [&[0][..], &[0, 1], &[0, 1, 2, 3]] {
            let (i, contexts) = Contexts::decode(Input::new(octets, ByteOrder::Little)).unwrap();
            let mut again = Vec::new();
            contexts.encode(&mut Output::new(&mut again, ByteOrder::Little));
            assert_eq!((again, i.left()), (octets.to_vec(), 0));
        }
    }

    #[test]
    fn a_context_that_is_cut_short_is_refused_at_once() {
        let mut octets = vec![1, 0, 0, 0]; // n_context_elem, reserved
        octets.extend([0, 0, 2, 0]); // p_cont_id, two transfer syntaxes, reserved
        octets.extend([0; 20 + 39]); // abstract syntax, not quite two more
        assert!(Contexts::decode(Input::new(&octets, ByteOrder::Little)).is_err());
    }

    #[test]
    fn only_the_first_transfer_syntax_asks_for_features() {
        let mut contexts = ContextsBuf::new(ByteOrder::Little);
        contexts.push(0, SyntaxId::EPT, &[bind_time_syntax(0), SyntaxId::NDR]);
        contexts.push(1, SyntaxId::EPT, &[SyntaxId::NDR, bind_time_syntax(3)]);
        contexts.push(2, SyntaxId::EPT, &[]);
        let features: Vec<_> = contexts
            .as_contexts()
            .iter()
            .map(|c| c.bind_time_features())
            .collect();
        assert_eq!(features, [Some(0), None, None]);
    }

    #[test]
    fn the_mask_of_features_is_little_endian_in_the_uuid() {
        assert_eq!(
            bind_time_syntax(3).to_string(),
            "6cb71c2c-9812-4540-0300-000000000000:1.0"
        );
    }

    #[test]
    fn a_list_takes_255_elements() {
        let mut contexts = ContextsBuf::new(ByteOrder::Little);
        let mut results = ResultsBuf::new(ByteOrder::Little);
        let answer = ContextAnswer {
            result: ContextResult::PROVIDER_REJECTION,
            reason: ProviderReason::LOCAL_LIMIT_EXCEEDED,
            transfer_syntax: ContextAnswer::NO_SYNTAX,
        };
        for id in 0..255 {
            assert!(contexts.push(id, SyntaxId::EPT, &[]) && results.push(answer));
        }
        assert!(!contexts.push(255, SyntaxId::EPT, &[]) && !results.push(answer));
        assert_eq!(contexts.as_contexts().iter().count(), 255);
        assert_eq!(results.as_results().iter().count(), 255);
    }

    #[test]
    fn stale_octets_behind_the_secondary_address_are_kept() {
        let octets = [
            0xd0, 0x16, 0xd0, 0x16, // max_xmit_frag, max_recv_frag
            1, 0, 0, 0, // assoc_group_id
            4, 0, b'1', b'3', b'5', 0, // sec_addr
            0xde, 0xad, // pad up to octet 32 of the PDU
            0, 1, 2, 3, // n_results, reserved
        ];
        let (_, ack) = BindAck::decode(Input::at(&octets, ByteOrder::Little, 16)).unwrap();
        assert_eq!(ack.secondary_address, b"135\0");
        assert_eq!(ack.secondary_pad, [0xde, 0xad]);
        assert!(ack.results.is_empty());
        let mut again = vec![];
        let mut out = Output::new(&mut again, ByteOrder::Little);
        out.octets(&[0; 16]); // in place of the header
        ack.encode(&mut out);
        assert_eq!(again[16..], octets);
    }

    #[test]
    fn a_nak_may_end_after_its_reason() {
        let (_, nak) = BindNak::decode(Input::new(&[4, 0], ByteOrder::Little)).unwrap();
        assert_eq!(nak.reason, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED);
        assert_eq!(nak.versions, None);
    }

    #[test]
    fn a_nak_that_lies_about_its_versions_is_refused() {
        let octets = [
            4, 0, // provider_reject_reason
            2, // n_protocols
            5, 0, // one version
        ];
        assert!(BindNak::decode(Input::new(&octets, ByteOrder::Little)).is_err());
    }
}
