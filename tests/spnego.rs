//! SPNEGO's tokens of real clients and servers decode, and encode to the same
//! octets again.

#![cfg(feature = "security")]

mod support;

use epmapper::security::spnego::token::{NegState, NegTokenInit, NegTokenResp};
use epmapper::wire::pdu::{AuthType, Body, Pdu};
use std::path::{Path, PathBuf};
use support::{capture, truth};

/// How many tokens of each kind there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// First tokens.
    init: usize,
    /// Later ones.
    resp: usize,
    /// Those with a MIC.
    signed: usize,
    /// Mechanisms without SPNEGO around them, and what is no token on purpose.
    other: usize,
}

/// Counts the tokens of every capture of a folder.
fn walk(folder: &Path) -> Tally {
    let mut tally = Tally::default();
    let has_tcp = |path: &PathBuf| !truth::tcp_rows(path).is_empty();
    for path in support::captures_in(folder).into_iter().filter(has_tcp) {
        for captured in capture::read(&path).pdus {
            let place = format!("{} {}", path.display(), captured.frame);
            if let Some(token) = token(&captured.octets) {
                count(token, &place, &mut tally);
            }
        }
    }
    tally
}

/// The token of SPNEGO in a PDU.
fn token(octets: &[u8]) -> Option<&[u8]> {
    let pdu = Pdu::decode(octets).ok()?;
    match pdu.body {
        Body::Bind(_)
        | Body::BindAck(_)
        | Body::AlterContext(_)
        | Body::AlterContextResp(_)
        | Body::Auth3(_) => {}
        _ => return None,
    }
    let verifier = pdu.auth?;
    (verifier.auth_type == AuthType::SPNEGO).then_some(verifier.value)
}

/// Checks one token.
fn count(octets: &[u8], place: &str, tally: &mut Tally) {
    let mic = match (NegTokenInit::decode(octets), NegTokenResp::decode(octets)) {
        (Ok(token), Err(_)) => {
            assert_eq!(token.encode(), octets, "{place}");
            tally.init += 1;
            token.mech_list_mic
        }
        (Err(_), Ok(token)) => {
            assert_eq!(token.encode(), octets, "{place}");
            assert!(token.neg_state.is_none_or(|s| s <= NegState::REQUEST_MIC));
            tally.resp += 1;
            token.mech_list_mic
        }
        _ => {
            let head = &octets[..octets.len().min(16)];
            assert!(
                !matches!(octets, [0x60 | 0xa0 | 0xa1, ..]),
                "{place}: {head:02x?}"
            );
            eprintln!("{place}: {head:02x?}");
            tally.other += 1;
            None
        }
    };
    tally.signed += usize::from(mic.is_some());
}

#[test]
fn own_captures_tokens_come_back() {
    let tally = walk(&support::own_captures());
    let expected = Tally {
        init: 42,
        resp: 87,
        signed: 27,
        other: 0,
    };
    assert_eq!(tally, expected);
}

#[test]
fn more_captures_tokens_come_back() {
    let Some(folder) = support::more_captures() else {
        return;
    };
    let tally = walk(&folder);
    eprintln!("{tally:?}");
    assert!(tally.init > 0 && tally.resp > 0 && tally.signed > 0);
}
