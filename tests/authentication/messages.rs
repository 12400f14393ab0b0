//! NTLM's messages on their way, changed.

use epmapper::security::ntlm::{Authenticate, Challenge, Flags, Negotiate};
use epmapper::security::spnego::token::{NegTokenInit, NegTokenResp};

/// Where the MIC stands in an AUTHENTICATE message (MS-NLMP 2.2.1.3).
pub const MIC: std::ops::Range<usize> = 72..88;

/// A token with the NTLM message in it changed, within SPNEGO or without.
pub fn changed(token: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    if token.starts_with(b"NTLMSSP\0") {
        return change(token);
    }
    if let Ok(init) = NegTokenInit::decode(token) {
        let message = change(init.mech_token.expect("a message"));
        let mech_token = Some(&message[..]);
        return NegTokenInit { mech_token, ..init }.encode();
    }
    let resp = NegTokenResp::decode(token).expect("a token of SPNEGO");
    let message = change(resp.response_token.expect("a message"));
    let response_token = Some(&message[..]);
    NegTokenResp {
        response_token,
        ..resp
    }
    .encode()
}

/// The NTLM message in a token.
pub fn message(token: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    changed(token, |message| {
        found = message.to_vec();
        found.clone()
    });
    found
}

/// An AUTHENTICATE message changed, and written again.
pub fn rewritten<'a>(message: &'a [u8], change: impl FnOnce(&mut Authenticate<'a>)) -> Vec<u8> {
    let mut message = Authenticate::decode(message).unwrap();
    change(&mut message);
    message.encode()
}

/// Any message without some flags.
pub fn without(message: &[u8], flags: Flags) -> Vec<u8> {
    with_flags(message, |had| had.without(flags))
}

/// Any message with more flags.
pub fn with(message: &[u8], flags: Flags) -> Vec<u8> {
    with_flags(message, |had| had | flags)
}

/// Any message with other flags, in their place.
fn with_flags(message: &[u8], change: impl FnOnce(Flags) -> Flags) -> Vec<u8> {
    let (place, had) = match message[8] {
        1 => (12, Negotiate::decode(message).unwrap().flags),
        2 => (20, Challenge::decode(message).unwrap().flags),
        _ => (60, Authenticate::decode(message).unwrap().flags),
    };
    let mut message = message.to_vec();
    message[place..place + 4].copy_from_slice(&change(had).0.to_le_bytes());
    message
}
