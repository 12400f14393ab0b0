//! Names as NTLM messages carry them.

use super::flags::Flags;
use crate::proto::SecurityError;

/// The most characters of a claimed name that are kept.
const LONGEST_CLAIM: usize = 256;

/// Text in UTF-16, little-endian.
pub fn to_utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A name from a message: UTF-16 where that was negotiated, else ASCII, since
/// nothing tells the code page.
///
/// # Errors
/// `Token` when the octets are no such text.
pub fn decode(octets: &[u8], flags: Flags) -> Result<String, SecurityError> {
    const ERROR: SecurityError = SecurityError::Token("a name is no text");
    if !flags.contains(Flags::UNICODE) {
        let text = std::str::from_utf8(octets).ok().filter(|t| t.is_ascii());
        return text.map(str::to_owned).ok_or(ERROR);
    }
    let (units, rest) = octets.as_chunks();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
    text.ok_or(ERROR)
}

/// A name as a message carries it.
pub fn encode(text: &str, flags: Flags) -> Vec<u8> {
    match flags.contains(Flags::UNICODE) {
        true => to_utf16(text),
        false => text.as_bytes().to_vec(),
    }
}

/// A user's name as proofs have it: each letter in upper case that has a single
/// one.
///
/// # Source
/// MS-NLMP 3.3.2; that no letter becomes two is how Windows' tables work.
pub fn upper(name: &str) -> String {
    let one = |letter: char| {
        let mut upper = letter.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(only), None) => only,
            _ => letter,
        }
    };
    name.chars().map(one).collect()
}

/// A name that a peer claims, fit for a log.
pub fn claimed(name: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(LONGEST_CLAIM).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for (text, flags) in [
            ("Üser", Flags::UNICODE),
            ("User", Flags::OEM),
            ("", Flags::OEM),
        ] {
            assert_eq!(decode(&encode(text, flags), flags), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_refused() {
        let cases: [(&[u8], _); 4] = [
            (b"a", Flags::UNICODE),
            (b"a\0b", Flags::UNICODE),
            (&[0x00, 0xd8], Flags::UNICODE),
            (&[0xdc], Flags::OEM),
        ];
        for (octets, flags) in cases {
            assert!(decode(octets, flags).is_err(), "{octets:?}");
        }
    }

    #[test]
    fn no_letter_becomes_two_in_upper_case() {
        assert_eq!(upper("Straße-é"), "STRAßE-É");
    }

    #[test]
    fn a_claimed_name_is_short_and_has_no_control_characters() {
        assert_eq!(claimed("a\nb\u{1b}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(claimed(&"x".repeat(1000)).len(), 256);
    }
}
