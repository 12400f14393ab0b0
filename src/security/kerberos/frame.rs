//! The frame that GSS tokens have outside of DCE style.

use crate::security::oid;

/// Kerberos, and another name of it that Windows has.
pub(super) const OIDS: [&[u8]; 2] = [oid::KERBEROS, oid::KERBEROS_CUT];

/// What a frame of Kerberos holds: TOK_ID, and what it says.
///
/// Layout: tag 60, length by DER, tag 06, length, object identifier.
///
/// # Source
/// RFC 2743 3.1.
pub(super) fn framed(token: &[u8]) -> Option<&[u8]> {
    let [0x60, length, rest @ ..] = token else {
        return None;
    };
    let more = usize::from(length.saturating_sub(0x80));
    let [0x06, length, rest @ ..] = rest.get(more..)? else {
        return None;
    };
    let (oid, inner) = rest.split_at_checked(usize::from(*length))?;
    OIDS.contains(&oid).then_some(inner)
}

/// The AP-REQ or AP-REP of a token, without its frame where it has one.
///
/// DCE style has none, and the library refuses a frame around it, but impacket
/// makes one, and Windows and Samba take it.
pub(super) fn unframed(token: &[u8]) -> &[u8] {
    match framed(token) {
        Some([0x01 | 0x02, 0x00, message @ ..]) => message,
        _ => token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &[u8] = b"\x60\x0e\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00\x6e";
    const LONG: &[u8] = b"\x60\x82\x00\x0e\x06\x09\x2a\x86\x48\x82\xf7\x12\x01\x02\x02\x01\x00\x6e";

    #[test]
    fn a_frame_is_taken_off_by_either_name() {
        assert_eq!(unframed(SHORT), [0x6e]);
        assert_eq!(unframed(LONG), [0x6e]);
        assert_eq!(unframed(b"\x6e\x82"), b"\x6e\x82");
    }

    #[test]
    fn what_is_cut_or_of_another_mechanism_is_left_alone() {
        for at in 0..SHORT.len() - 1 {
            assert_eq!(unframed(&SHORT[..at]), &SHORT[..at]);
        }
        let spnego = b"\x60\x08\x06\x06\x2b\x06\x01\x05\x05\x02";
        assert_eq!(unframed(spnego), spnego);
        assert_eq!(unframed(b"\x60\xff\x06"), b"\x60\xff\x06");
    }
}
