//! Tokens of SPNEGO: what either end says, in DER.
//!
//! Decoded tokens borrow. Lists are checked whole and bounded before they are
//! walked. Fields behind those known are left out, as the standard leaves room
//! for them; everything else that is not DER is refused.

use crate::proto::SecurityError;
use der::asn1::AnyRef;
use der::{Class, Decode, Encode, Reader, SliceReader, Tag, TagNumber};

/// 1.3.6.1.5.5.2: SPNEGO itself, as the content octets of its DER form.
const SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";

/// The most mechanisms that a client may name; real ones name up to five.
pub const MOST_MECHANISMS: usize = 32;

/// What starts a token that GSS-API frames: [APPLICATION 0], constructed.
const FRAME: Tag = Tag::Application {
    constructed: true,
    number: TagNumber(0),
};

/// No token of SPNEGO.
const MALFORMED: SecurityError = SecurityError::Token("no well-formed token of SPNEGO");

/// The mechanisms that a client names, preferred first: one to
/// [`MOST_MECHANISMS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MechTypes<'a> {
    /// The whole SEQUENCE OF OBJECT IDENTIFIER, its head included.
    octets: &'a [u8],
}

impl<'a> MechTypes<'a> {
    /// Reads a list.
    ///
    /// Layout: SEQUENCE OF OBJECT IDENTIFIER.
    ///
    /// # Errors
    /// `Token` when it is none, or has no mechanism or too many.
    ///
    /// # Source
    /// RFC 4178 4.1.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        let mut rest = only(octets, Tag::Sequence)?;
        let mut count = 0;
        while !rest.is_empty() {
            rest = split(rest, Tag::ObjectIdentifier)?.1;
            count += 1;
        }
        match count {
            1..=MOST_MECHANISMS => Ok(MechTypes { octets }),
            0 => Err(SecurityError::Token("it names no mechanism")),
            _ => Err(SecurityError::Token("it names too many mechanisms")),
        }
    }

    /// Writes the list of these object identifiers.
    pub fn encode<'o>(oids: impl IntoIterator<Item = &'o [u8]>) -> Vec<u8> {
        let mut items = Vec::new();
        for oid in oids {
            put(&mut items, Tag::ObjectIdentifier, oid);
        }
        element(Tag::Sequence, &items)
    }

    /// The list as it stands on the wire: what is signed.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The content octets of each object identifier.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // Checked when it was read.
        let mut rest = only(self.octets, Tag::Sequence).unwrap_or_default();
        std::iter::from_fn(move || {
            let (oid, behind) = split(rest, Tag::ObjectIdentifier).ok()?;
            rest = behind;
            Some(oid)
        })
    }
}

/// The first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegTokenInit<'a> {
    /// Whether it stands in a frame of GSS-API, as it should.
    pub is_framed: bool,
    /// The mechanisms.
    pub mech_types: MechTypes<'a>,
    /// What was asked of them: the content of a BIT STRING. Unprotected, so
    /// nobody heeds it.
    pub req_flags: Option<&'a [u8]>,
    /// A token of the first mechanism.
    pub mech_token: Option<&'a [u8]>,
    /// What a server of Windows hints at: the content of NegHints, which nobody
    /// heeds either.
    pub neg_hints: Option<&'a [u8]>,
    /// The signature over the list.
    pub mech_list_mic: Option<&'a [u8]>,
}

impl<'a> NegTokenInit<'a> {
    /// Reads a token with or without its frame.
    ///
    /// Layout: [APPLICATION 0] (OID of SPNEGO, [0] SEQUENCE (mechTypes [0],
    /// reqFlags [1], mechToken [2], mechListMIC [3])), or with negHints [3] and
    /// mechListMIC [4]; all but the first optional.
    ///
    /// # Errors
    /// `Token` when it is another, or malformed.
    ///
    /// # Source
    /// RFC 2743 3.1, RFC 4178 4.2.1, MS-SPNG 2.2.1.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        let framed = unframed(octets);
        let choice = match framed {
            Some((SPNEGO, inner)) => inner,
            Some(_) => return Err(SecurityError::Token("a frame of another mechanism")),
            None => octets,
        };
        let mut fields = Fields::of(choice, 0)?;
        let list = fields.take(0)?.ok_or(MALFORMED)?;
        let req_flags = fields.take(1)?.map(|field| only(field, Tag::BitString));
        let mech_token = fields.take_octets(2)?;
        let third = fields.take(3)?;
        let fourth = fields.take_octets(4)?;
        let hints = third.and_then(|field| only(field, Tag::Sequence).ok());
        let mech_list_mic = match (third, hints) {
            (Some(field), None) if fourth.is_none() => Some(only(field, Tag::OctetString)?),
            (Some(_), None) => return Err(MALFORMED),
            _ => fourth,
        };
        fields.finish(5)?;
        Ok(NegTokenInit {
            is_framed: framed.is_some(),
            mech_types: MechTypes::decode(list)?,
            req_flags: req_flags.transpose()?,
            mech_token,
            neg_hints: hints,
            mech_list_mic,
        })
    }

    /// Writes the token.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        put(&mut fields, field(0), self.mech_types.octets);
        put_field(&mut fields, 1, Tag::BitString, self.req_flags);
        put_field(&mut fields, 2, Tag::OctetString, self.mech_token);
        put_field(&mut fields, 3, Tag::Sequence, self.neg_hints);
        let place = if self.neg_hints.is_some() { 4 } else { 3 };
        put_field(&mut fields, place, Tag::OctetString, self.mech_list_mic);
        let choice = element(field(0), &element(Tag::Sequence, &fields));
        match self.is_framed {
            true => element(
                FRAME,
                &[element(Tag::ObjectIdentifier, SPNEGO), choice].concat(),
            ),
            false => choice,
        }
    }
}

/// How far a negotiation is, to the end that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegState(pub u8);

impl NegState {
    /// Nothing further is needed.
    pub const ACCEPT_COMPLETED: NegState = NegState(0);
    /// A further token is due.
    pub const ACCEPT_INCOMPLETE: NegState = NegState(1);
    /// There is no agreement.
    pub const REJECT: NegState = NegState(2);
    /// A further token is due, and signatures over the list at the end; in a
    /// server's first answer only.
    pub const REQUEST_MIC: NegState = NegState(3);
}

/// Every token after the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NegTokenResp<'a> {
    /// How far the negotiation is.
    pub neg_state: Option<NegState>,
    /// The mechanism that the server chose; in its first answer.
    pub supported_mech: Option<&'a [u8]>,
    /// A token of that mechanism.
    pub response_token: Option<&'a [u8]>,
    /// The signature over the list.
    pub mech_list_mic: Option<&'a [u8]>,
}

impl<'a> NegTokenResp<'a> {
    /// Reads a token.
    ///
    /// Layout: [1] SEQUENCE (negState [0] ENUMERATED, supportedMech [1] OBJECT
    /// IDENTIFIER, responseToken [2], mechListMIC [3]), all optional.
    ///
    /// # Errors
    /// `Token` when it is another, or malformed.
    ///
    /// # Source
    /// RFC 4178 4.2.2.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        let mut fields = Fields::of(octets, 1)?;
        let neg_state = match fields.take(0)? {
            Some(field) => match only(field, Tag::Enumerated)? {
                &[state] => Some(NegState(state)),
                _ => return Err(MALFORMED),
            },
            None => None,
        };
        let supported_mech = fields
            .take(1)?
            .map(|field| only(field, Tag::ObjectIdentifier));
        let response_token = fields.take_octets(2)?;
        let mech_list_mic = fields.take_octets(3)?;
        fields.finish(4)?;
        Ok(NegTokenResp {
            neg_state,
            supported_mech: supported_mech.transpose()?,
            response_token,
            mech_list_mic,
        })
    }

    /// Writes the token.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let state = self.neg_state.map(|state| [state.0]);
        put_field(
            &mut fields,
            0,
            Tag::Enumerated,
            state.as_ref().map(|octets| &octets[..]),
        );
        put_field(&mut fields, 1, Tag::ObjectIdentifier, self.supported_mech);
        put_field(&mut fields, 2, Tag::OctetString, self.response_token);
        put_field(&mut fields, 3, Tag::OctetString, self.mech_list_mic);
        element(field(1), &element(Tag::Sequence, &fields))
    }
}

/// The object identifier in front of a token that GSS-API frames, and what is
/// behind it, which need not be DER.
///
/// # Source
/// RFC 2743 3.1.
pub fn unframed(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = only(octets, FRAME).ok()?;
    split(content, Tag::ObjectIdentifier).ok()
}

/// The fields of a token, in the order of their numbers, each once.
struct Fields<'a> {
    /// What is left.
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Those of the alternative `number` of NegotiationToken.
    fn of(choice: &'a [u8], number: u32) -> Result<Self, SecurityError> {
        let rest = only(only(choice, field(number))?, Tag::Sequence)?;
        Ok(Fields { rest })
    }

    /// The content of a field, if it is the next one.
    fn take(&mut self, number: u32) -> Result<Option<&'a [u8]>, SecurityError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, content, rest) = head(self.rest)?;
        if tag != field(number) {
            return Ok(None);
        }
        self.rest = rest;
        Ok(Some(content))
    }

    /// The same of a field that holds an OCTET STRING.
    fn take_octets(&mut self, number: u32) -> Result<Option<&'a [u8]>, SecurityError> {
        let content = self.take(number)?;
        content
            .map(|field| only(field, Tag::OctetString))
            .transpose()
    }

    /// Passes fields behind those known: numbers from `least` on, rising, so that none of
    /// those known stands twice or out of order.
    fn finish(mut self, least: u32) -> Result<(), SecurityError> {
        let mut least = TagNumber(least);
        while !self.rest.is_empty() {
            let (tag, _, rest) = head(self.rest)?;
            if tag.class() != Class::ContextSpecific || tag.number() < least {
                return Err(MALFORMED);
            }
            least = TagNumber(tag.number().value().saturating_add(1));
            self.rest = rest;
        }
        Ok(())
    }
}

/// The tag of field `number`.
fn field(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// The element at the head: its tag, its content, and what is behind it.
fn head(octets: &[u8]) -> Result<(Tag, &[u8], &[u8]), SecurityError> {
    let read = || {
        let mut reader = SliceReader::new(octets)?;
        let element = AnyRef::decode(&mut reader)?;
        let rest = reader.read_slice(reader.remaining_len())?;
        Ok((der::Tagged::tag(&element), element.value(), rest))
    };
    read().map_err(|_: der::Error| MALFORMED)
}

/// The content of the element at the head, which has this tag, and what is
/// behind it.
fn split(octets: &[u8], tag: Tag) -> Result<(&[u8], &[u8]), SecurityError> {
    match head(octets)? {
        (found, content, rest) if found == tag => Ok((content, rest)),
        _ => Err(MALFORMED),
    }
}

/// The content of the one element that `octets` are.
fn only(octets: &[u8], tag: Tag) -> Result<&[u8], SecurityError> {
    match split(octets, tag)? {
        (content, []) => Ok(content),
        _ => Err(MALFORMED),
    }
}

/// Appends an element.
fn put(out: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    let element = AnyRef::new(tag, content).and_then(|element| element.encode_to_vec(out));
    element.expect("no token of ours is near the 256 MiB that DER's lengths end at");
}

/// Appends a field that holds an element, if there is one.
fn put_field(out: &mut Vec<u8>, number: u32, tag: Tag, content: Option<&[u8]>) {
    if let Some(content) = content {
        put(out, field(number), &element(tag, content));
    }
}

/// An element alone.
fn element(tag: Tag, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, tag, content);
    out
}
