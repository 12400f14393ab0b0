//! What the library's codes mean for whoever reads the log.

use crate::proto::SecurityError;
use libgssapi::error::Error;

/// Why a token is refused.
pub(super) fn refusal(error: &Error) -> SecurityError {
    tracing::debug!(%error, "Kerberos refuses a token");
    if let Some(reason) = of_kerberos(error.minor) {
        return denied(reason);
    }
    if error.minor.wrapping_sub(ASN_1) < TABLE {
        return DAMAGED;
    }
    match error.major.bits() >> ROUTINE_ERRORS & 0xff {
        BAD_MECH | NO_CRED => SecurityError::Token("another mechanism than Kerberos"),
        DEFECTIVE_TOKEN => DAMAGED,
        CREDENTIALS_EXPIRED => denied("the ticket has expired"),
        _ => denied("the Kerberos library refuses"),
    }
}

/// Why a packet cannot be signed, or its signature does not fit.
pub(super) fn unsigned(error: Error) -> SecurityError {
    tracing::debug!(%error, "Kerberos refuses a packet");
    SecurityError::Signature
}

/// What is no token.
const DAMAGED: SecurityError =
    SecurityError::Token("no token of Kerberos in DCE style, or a damaged one");

/// A refusal before anybody is known.
fn denied(reason: &'static str) -> SecurityError {
    SecurityError::Denied {
        claimed: None,
        reason,
    }
}

/// Where a major code has its routine error.
///
/// # Source
/// RFC 2744 3.9.1, and below for the errors.
const ROUTINE_ERRORS: u32 = 16;
const BAD_MECH: u32 = 1;
const NO_CRED: u32 = 7;
const DEFECTIVE_TOKEN: u32 = 9;
const CREDENTIALS_EXPIRED: u32 = 11;

/// Where MIT Kerberos' codes begin: those of RFC 4120 first, by their numbers.
const KERBEROS: u32 = -1_765_328_384_i32 as u32;

/// Where those of the decoder begin, and how many there can be.
const ASN_1: u32 = 1_859_794_432;
const TABLE: u32 = 256;

/// What a minor code of the mechanism means.
///
/// # Source
/// RFC 4120 7.5.9 below 128; MIT Kerberos documentation, List of error codes.
fn of_kerberos(minor: u32) -> Option<&'static str> {
    Some(match minor.wrapping_sub(KERBEROS) {
        6 => "the KDC does not know the client",
        7 => "the KDC does not know the service",
        14 | 152 => "an encryption type that is not supported here",
        18 => "the account is locked or expired",
        23 => "the password has expired",
        24 => "the password is wrong",
        31 => "the ticket is not encrypted with our key, or is damaged",
        32 => "the ticket has expired",
        33 => "the ticket is not valid yet",
        34 => "the authenticator is replayed",
        35 | 144 => "the ticket is for another service",
        36 => "the authenticator is another client's",
        37 => "the clocks differ too much",
        41 => "a message is altered",
        44 | 230 => "the ticket is for another version of our key; is the keytab current?",
        45 | 181 => "the keytab has no key for the ticket's service",
        145 => "the ticket is marked as invalid",
        156 => "no KDC can be reached",
        158..=172 => "the replay cache cannot be used",
        182..=184 => "the keytab cannot be read",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use libgssapi::error::MajorFlags;

    fn of(major: u32, minor: u32) -> SecurityError {
        let major = MajorFlags::from_bits_retain(major << ROUTINE_ERRORS);
        refusal(&Error { major, minor })
    }

    #[test]
    fn what_kerberos_says_goes_before_what_gssapi_says() {
        // KRB5KRB_AP_ERR_REPEAT is -1765328350.
        let repeated = of(10, -1_765_328_350_i32 as u32);
        assert_eq!(repeated, denied("the authenticator is replayed"));
    }

    #[test]
    fn damaged_tokens_are_no_logons() {
        assert!(matches!(of(DEFECTIVE_TOKEN, 0), SecurityError::Token(_)));
        assert!(matches!(of(NO_CRED, 0), SecurityError::Token(_)));
        // ASN1_OVERRUN.
        assert_eq!(of(13, 1_859_794_437), DAMAGED);
        assert!(matches!(of(13, 12345), SecurityError::Denied { .. }));
    }
}
