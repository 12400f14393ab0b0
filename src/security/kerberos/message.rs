//! Signatures of packets.
//!
//! At level integrity a signature is the message integrity code of the packet,
//! or of its stub. At privacy it is all that a wrap token has besides the data,
//! which is sealed where it stands; what stands around it is signed only.
//!
//! # Source
//! MS-RPCE 2.2.2.11, 3.3.1.5.2; RFC 4121 4.2; MS-KILE 3.4.5.4.1.

use super::frame::framed;
use super::reason;
use crate::proto::SecurityError;
use crate::proto::security::Packet;
use crate::wire::pdu::AuthLevel;
use libgssapi::context::SecurityContext as Gss;
use libgssapi::error::Error;
use libgssapi::util::{GssIov, GssIovFake, GssIovType};

/// The level at which packets are sealed.
pub(super) const SEALS: AuthLevel = AuthLevel::PRIVACY;

/// Octets of the verifier at level connect.
const CONNECT_LEN: usize = 16;

/// The longest signature without sealing by RFC 4121: a head of 16 octets and
/// the longest checksum, of RFC 8009.
const LONGEST_MIC: usize = 16 + 24;

/// By how much a wrap token of RC4 is longer than its message integrity code,
/// though it seals nothing: the confounder.
///
/// # Source
/// RFC 4757 7.2, 7.3.
const CONFOUNDER: usize = 8;

/// Octets of every signature at a level.
///
/// # Errors
/// What the library says.
pub(super) fn signature_len(gss: &mut impl Gss, level: AuthLevel) -> Result<usize, Error> {
    if level == AuthLevel::CONNECT {
        return Ok(CONNECT_LEN);
    }
    // As long as the padding of a packet makes each stub a multiple of.
    let mut stub = [0; 16];
    let stub = GssIov::new(GssIovType::Data, &mut stub).as_fake();
    let mut parts = [stub, GssIovFake::new(GssIovType::Header)];
    gss.wrap_iov_length(level == SEALS, &mut parts)?;
    // The length of a code is not to be asked for, and to make one would count.
    Ok(match parts[1].len() {
        token if level == SEALS || token <= LONGEST_MIC => token,
        token => token - CONFOUNDER,
    })
}

/// Writes what stands for a signature at level connect.
///
/// # Errors
/// Never.
pub(super) fn mark(signature: &mut [u8]) -> Result<(), SecurityError> {
    signature.fill(0);
    if let Some(first) = signature.first_mut() {
        *first = 1;
    }
    Ok(())
}

/// Signs a packet.
///
/// # Errors
/// `Signature` when the library signs no more.
pub(super) fn sign(
    gss: &mut impl Gss,
    packet: Packet<'_>,
    signature: &mut [u8],
) -> Result<(), SecurityError> {
    let mic = gss.get_mic(signed(&packet)).map_err(reason::unsigned)?;
    if mic.len() != signature.len() {
        return Err(SecurityError::Signature);
    }
    signature.copy_from_slice(&mic);
    Ok(())
}

/// Checks the signature of a packet.
///
/// # Errors
/// `Signature` when it does not fit, or is not the next.
pub(super) fn check(
    gss: &mut impl Gss,
    packet: Packet<'_>,
    signature: &[u8],
) -> Result<(), SecurityError> {
    let checked = gss.verify_mic(signed(&packet), signature);
    checked.map_err(reason::unsigned)
}

/// Seals the stub of a packet, and signs what is to be signed.
///
/// # Errors
/// `Signature` when the library seals no more.
pub(super) fn seal(
    gss: &mut impl Gss,
    packet: Packet<'_>,
    signature: &mut [u8],
) -> Result<(), SecurityError> {
    let expected = signature.len();
    let mut parts = parts(packet, signature)?;
    gss.wrap_iov(true, &mut parts).map_err(reason::unsigned)?;
    match parts.last().map(GssIov::len) {
        Some(len) if len == expected => Ok(()),
        _ => Err(SecurityError::Signature),
    }
}

/// Unseals the stub of a packet, and checks its signature.
///
/// # Errors
/// `Signature` when it does not fit, is not the next, or says that nothing is
/// sealed.
pub(super) fn unseal(
    gss: &mut impl Gss,
    packet: Packet<'_>,
    signature: &[u8],
) -> Result<(), SecurityError> {
    // The library unwraps either kind, and libgssapi does not tell which it was.
    if !says_sealed(signature) {
        return Err(SecurityError::Signature);
    }
    let mut signature = signature.to_vec();
    let mut parts = parts(packet, &mut signature)?;
    gss.unwrap_iov(&mut parts).map_err(reason::unsigned)
}

/// What of a packet is signed at level integrity.
fn signed<'a>(packet: &'a Packet<'_>) -> &'a [u8] {
    match packet.signs_header {
        true => packet.octets,
        false => packet.octets.get(packet.stub.clone()).unwrap_or_default(),
    }
}

/// The parts of a wrap token: what is signed only, what is sealed, what is
/// signed only, the rest of the token.
///
/// # Errors
/// When the stub is not a part of the packet.
fn parts<'a>(
    packet: Packet<'a>,
    signature: &'a mut [u8],
) -> Result<Vec<GssIov<'a>>, SecurityError> {
    let strange = SecurityError::Token("the stub ends behind the packet");
    let around = packet.octets.split_at_mut_checked(packet.stub.start);
    let (head, rest) = around.ok_or(strange.clone())?;
    let around = rest.split_at_mut_checked(packet.stub.len());
    let (stub, tail) = around.ok_or(strange)?;
    let mut parts = Vec::with_capacity(4);
    if packet.signs_header {
        parts.push(GssIov::new(GssIovType::SignOnly, head));
    }
    parts.push(GssIov::new(GssIovType::Data, stub));
    if packet.signs_header {
        parts.push(GssIov::new(GssIovType::SignOnly, tail));
    }
    parts.push(GssIov::new(GssIovType::Header, signature));
    Ok(parts)
}

/// Whether the head of a wrap token says that its data is sealed; what it says
/// is signed, too.
///
/// Layout: of RFC 4121 TOK_ID 05 04, flags; of RFC 4757, behind the frame of a
/// GSS token, TOK_ID 02 01, SGN_ALG u16, SEAL_ALG u16.
///
/// # Source
/// RFC 4121 4.2.6.2; RFC 4757 7.3.
fn says_sealed(token: &[u8]) -> bool {
    const SEALED: u8 = 0x02;
    match (token, framed(token)) {
        ([0x05, 0x04, flags, ..], _) => flags & SEALED != 0,
        (_, Some([0x02, 0x01, _, _, algorithm @ ..])) => !algorithm.starts_with(&[0xff, 0xff]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_rfc_4121_says_by_a_flag_whether_it_seals() {
        assert!(says_sealed(&[0x05, 0x04, 0x06, 0xff]));
        assert!(!says_sealed(&[0x05, 0x04, 0x05, 0xff]));
        assert!(!says_sealed(&[0x04, 0x04, 0x06, 0xff])); // a MIC
    }

    #[test]
    fn a_token_of_rfc_4757_says_by_its_algorithm_whether_it_seals() {
        let frame = b"\x60\x2b\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
        let long = b"\x60\x81\xab\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
        let sealed = b"\x02\x01\x11\x00\x10\x00\xff\xff";
        let signed = b"\x02\x01\x11\x00\xff\xff\xff\xff";
        for frame in [&frame[..], &long[..]] {
            assert!(says_sealed(&[frame, sealed].concat()));
            assert!(!says_sealed(&[frame, signed].concat()));
            assert!(!says_sealed(frame));
        }
        assert!(!says_sealed(&[0x60]));
        assert!(!says_sealed(&[0x60, 0xff, 0x02]));
    }

    #[test]
    fn at_level_connect_a_verifier_is_one_and_zeros() {
        let mut signature = [7; CONNECT_LEN];
        mark(&mut signature).unwrap();
        assert_eq!(u128::from_le_bytes(signature), 1);
    }
}
