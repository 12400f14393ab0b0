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

/// The longest list of them, which is kept to be signed at the end: some 60
/// octets of a real client's.
pub const LONGEST_LIST: usize = 1024;

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
    /// `Token` when it is none, has no mechanism or too many, or is too long.
    ///
    /// # Source
    /// RFC 4178 4.1.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        if octets.len() > LONGEST_LIST {
            return Err(SecurityError::Token("its list of mechanisms is too long"));
        }
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
    /// Layout: \[APPLICATION 0\] (OID of SPNEGO, \[0\] SEQUENCE (mechTypes \[0\],
    /// reqFlags \[1\], mechToken \[2\], mechListMIC \[3\])), or with negHints \[3\] and
    /// mechListMIC \[4\]; all but the first optional.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Layout: \[1\] SEQUENCE (negState \[0\] ENUMERATED, supportedMech \[1\] OBJECT
    /// IDENTIFIER, responseToken \[2\], mechListMIC \[3\]), all optional.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::oid;

    /// A first token as Samba sends it, with a token of one octet.
    const OF_SAMBA: &[u8] = &[
        0x60, 0x1f, // [APPLICATION 0]
        0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02, // SPNEGO
        0xa0, 0x15, 0x30, 0x13, // NegTokenInit
        0xa0, 0x0c, 0x30, 0x0a, 0x06, 0x08, // mechTypes, one of eight octets
        0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, //
        0xa2, 0x03, 0x04, 0x01, 0x4e, // mechToken
    ];

    /// A hint as servers of Windows send it: [0] GeneralString.
    const HINT: &[u8] = &[0xa0, 0x03, 0x1b, 0x01, 0x78];

    fn list() -> Vec<u8> {
        MechTypes::encode([oid::KERBEROS_CUT, oid::KERBEROS, oid::NTLM])
    }

    fn full(list: &[u8]) -> NegTokenInit<'_> {
        NegTokenInit {
            is_framed: true,
            mech_types: MechTypes::decode(list).unwrap(),
            req_flags: Some(&[1, 0x40]),
            mech_token: Some(b"token"),
            neg_hints: Some(HINT),
            mech_list_mic: Some(b"mic"),
        }
    }

    const RESP: NegTokenResp<'static> = NegTokenResp {
        neg_state: Some(NegState::REQUEST_MIC),
        supported_mech: Some(oid::NTLM),
        response_token: Some(b"token"),
        mech_list_mic: Some(b"mic"),
    };

    /// A NegTokenResp of fields as they are.
    fn resp_of(fields: &[&[u8]]) -> Vec<u8> {
        element(field(1), &element(Tag::Sequence, &fields.concat()))
    }

    #[test]
    fn a_first_token_is_read_and_written() {
        let token = NegTokenInit::decode(OF_SAMBA).unwrap();
        assert!(token.is_framed);
        assert_eq!(token.mech_types.octets(), &OF_SAMBA[16..28]);
        let oids: Vec<_> = token.mech_types.iter().collect();
        assert_eq!(oids, [&OF_SAMBA[20..28]]);
        assert_eq!(token.mech_token, Some(&b"N"[..]));
        assert_eq!((token.req_flags, token.neg_hints), (None, None));
        assert_eq!(token.mech_list_mic, None);
        assert_eq!(token.encode(), OF_SAMBA);
        let bare = NegTokenInit::decode(&OF_SAMBA[10..]).unwrap();
        assert!(!bare.is_framed);
        assert_eq!(bare.encode(), &OF_SAMBA[10..]);
    }

    #[test]
    fn every_field_of_both_tokens_comes_back() {
        let list = list();
        for hints in [None, Some(HINT)] {
            for mic in [None, Some(&b"mic"[..])] {
                let token = NegTokenInit {
                    neg_hints: hints,
                    mech_list_mic: mic,
                    ..full(&list)
                };
                assert_eq!(NegTokenInit::decode(&token.encode()), Ok(token));
            }
        }
        assert_eq!(NegTokenResp::decode(&RESP.encode()), Ok(RESP));
        let nothing = NegTokenResp::default();
        assert_eq!(nothing.encode(), [0xa1, 2, 0x30, 0]);
        assert_eq!(NegTokenResp::decode(&nothing.encode()), Ok(nothing));
        // accept-completed alone, as Samba ends where nothing is signed.
        let done = NegTokenResp::decode(b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00").unwrap();
        assert_eq!(done.neg_state, Some(NegState::ACCEPT_COMPLETED));
    }

    #[test]
    fn a_list_that_is_too_long_to_be_kept_is_refused() {
        // What stands around the one identifier takes 8 octets.
        for (length, is_good) in [(LONGEST_LIST - 8, true), (LONGEST_LIST - 7, false)] {
            let list = MechTypes::encode([&vec![0x2a; length][..]]);
            assert_eq!(MechTypes::decode(&list).is_ok(), is_good, "{}", list.len());
        }
    }

    #[test]
    fn long_tokens_come_back() {
        let long = vec![7; 40_000];
        let token = NegTokenResp {
            response_token: Some(&long),
            ..RESP
        };
        assert_eq!(NegTokenResp::decode(&token.encode()), Ok(token));
    }

    #[test]
    fn a_token_cut_anywhere_or_with_more_behind_it_is_refused() {
        let tokens = [full(&list()).encode(), RESP.encode(), OF_SAMBA.to_vec()];
        for token in tokens {
            let is_refused = |octets: &[u8]| {
                NegTokenInit::decode(octets).is_err() && NegTokenResp::decode(octets).is_err()
            };
            assert!(!is_refused(&token));
            for end in 0..token.len() {
                assert!(is_refused(&token[..end]), "cut at {end}");
            }
            assert!(is_refused(&[&token[..], &[0]].concat()));
        }
    }

    #[test]
    fn a_changed_octet_never_panics_and_what_decodes_comes_back() {
        for token in [full(&list()).encode(), RESP.encode()] {
            for at in 0..token.len() {
                for value in 0..=255 {
                    let mut octets = token.clone();
                    octets[at] = value;
                    if let Ok(token) = NegTokenInit::decode(&octets) {
                        assert_eq!(NegTokenInit::decode(&token.encode()), Ok(token));
                    }
                    if let Ok(token) = NegTokenResp::decode(&octets) {
                        assert_eq!(NegTokenResp::decode(&token.encode()), Ok(token));
                    }
                }
            }
        }
    }

    #[test]
    fn a_list_has_one_mechanism_to_as_many_as_it_may() {
        for (count, is_good) in [(0, false), (1, true), (MOST_MECHANISMS, true)] {
            let list = MechTypes::encode(vec![oid::NTLM; count]);
            assert_eq!(MechTypes::decode(&list).is_ok(), is_good, "{count}");
        }
        let list = MechTypes::encode(vec![oid::NTLM; MOST_MECHANISMS + 1]);
        let error = MechTypes::decode(&list).unwrap_err();
        assert_eq!(error, SecurityError::Token("it names too many mechanisms"));
        assert!(MechTypes::decode(&element(Tag::Sequence, b"\x04\x01\x2a")).is_err());
        // Without a list at all.
        assert!(NegTokenInit::decode(b"\xa0\x02\x30\x00").is_err());
    }

    #[test]
    fn fields_behind_those_known_are_left_out() {
        let fifth = element(field(5), b"\x05\x00");
        let seventh = element(field(7), b"whatever");
        let octets = resp_of(&[b"\xa0\x03\x0a\x01\x01", &fifth, &seventh]);
        let token = NegTokenResp::decode(&octets).unwrap();
        assert_eq!(token.neg_state, Some(NegState::ACCEPT_INCOMPLETE));
        assert_eq!(token.encode(), resp_of(&[b"\xa0\x03\x0a\x01\x01"]));
        assert!(NegTokenResp::decode(&resp_of(&[&seventh, &fifth])).is_err());
    }

    #[test]
    fn fields_twice_or_out_of_order_are_refused() {
        let state: &[u8] = b"\xa0\x03\x0a\x01\x01";
        let token: &[u8] = b"\xa2\x03\x04\x01\x01";
        assert!(NegTokenResp::decode(&resp_of(&[state, token])).is_ok());
        let strange: &[u8] = b"\x04\x01\x01";
        for fields in [
            [state, state],
            [token, state],
            [token, token],
            [state, strange],
        ] {
            assert!(NegTokenResp::decode(&resp_of(&fields)).is_err());
        }
        let hints = put_all(&[(3, Tag::Sequence), (4, Tag::OctetString)]);
        assert!(NegTokenInit::decode(&hints).is_ok());
        let two_mics = put_all(&[(3, Tag::OctetString), (4, Tag::OctetString)]);
        assert!(NegTokenInit::decode(&two_mics).is_err());
        let twice = put_all(&[(4, Tag::OctetString), (4, Tag::OctetString)]);
        assert!(NegTokenInit::decode(&twice).is_err());
    }

    /// A first token with empty fields of these numbers behind its list.
    fn put_all(fields: &[(u32, Tag)]) -> Vec<u8> {
        let mut octets = element(field(0), &list());
        for (number, tag) in fields {
            put_field(&mut octets, *number, *tag, Some(&[]));
        }
        element(field(0), &element(Tag::Sequence, &octets))
    }

    #[test]
    fn what_is_no_der_is_refused() {
        for octets in [
            &b"\xa1\x80\x30\x00\x00\x00"[..], // a length that is told at the end
            b"\xa1\x81\x02\x30\x00",          // one longer than it has to be
            b"\xa1\x84\xff\xff\xff\xff\x30\x00", // one of more than there is
            b"\xa1\x08\x30\x06\xa0\x04\x0a\x02\x00\x00", // a state of two octets
            b"\x81\x02\x30\x00",              // a primitive field
            b"\xa1\x05\x30\x03\xa0\x01\x0a",  // an element without a length
        ] {
            assert!(NegTokenResp::decode(octets).is_err(), "{octets:02x?}");
        }
    }

    #[test]
    fn a_frame_tells_its_mechanism_and_what_is_in_it() {
        let (found, inner) = unframed(OF_SAMBA).unwrap();
        assert_eq!((found, inner), (SPNEGO, &OF_SAMBA[10..]));
        let kerberos = [b"\x60\x0d\x06\x09", oid::KERBEROS, b"\x01\x00"].concat();
        assert_eq!(unframed(&kerberos), Some((oid::KERBEROS, &b"\x01\x00"[..])));
        assert_eq!(unframed(b"NTLMSSP\0"), None);
        assert_eq!(unframed(&RESP.encode()), None);
    }
}
