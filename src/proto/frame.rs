//! Framing: where one PDU of a stream ends.

use crate::wire::ByteOrder;
use crate::wire::DataRepresentation;
use crate::wire::pdu::{AuthVerifier, Header};
use bytes::{Bytes, BytesMut};

/// What stands at the head of a stream's octets.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Not enough octets yet.
    Incomplete,
    /// One whole PDU, taken out of the buffer.
    Whole(Header, Bytes),
    /// A header that no PDU can have; nothing was taken.
    Bad(Header, Violation),
}

/// Why a header cannot begin a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Not version 5.0 of the connection-oriented protocol.
    Version,
    /// A data representation other than ASCII and IEEE.
    DataRepresentation,
    /// A fragment length below the header's own 16 octets, or too short for
    /// the verifier that the header announces.
    Length,
    /// A fragment longer than the receiver takes.
    TooLong,
}

/// Takes the first whole PDU out of `octets`.
///
/// `limit` tells from the header how many octets a PDU of its type may have.
/// Judges the header as soon as its 16 octets are there, so that octets that
/// are no RPC at all are answered without waiting for a length they never had.
pub fn next(octets: &mut BytesMut, limit: impl Fn(&Header) -> u16) -> Frame {
    let Ok(header) = Header::decode(octets) else {
        return Frame::Incomplete;
    };
    if let Some(violation) = judge(&header, limit(&header)) {
        return Frame::Bad(readable(header, octets), violation);
    }
    let len = usize::from(header.frag_length);
    if octets.len() < len {
        return Frame::Incomplete;
    }
    Frame::Whole(header, octets.split_to(len).freeze())
}

/// What is wrong with a header, if anything.
fn judge(header: &Header, limit: u16) -> Option<Violation> {
    if header.version_major != 5 || header.version_minor != 0 {
        Some(Violation::Version)
    } else if !header.drep.is_supported() {
        Some(Violation::DataRepresentation)
    } else if usize::from(header.frag_length) < Header::LEN {
        Some(Violation::Length)
    } else if header.frag_length > limit {
        Some(Violation::TooLong)
    } else if AuthVerifier::offset(header).is_err() {
        Some(Violation::Length)
    } else {
        None
    }
}

/// A bad header as its answer needs it: where the data representation cannot
/// be relied on, the call id is read little-endian, so that an answer in
/// little-endian repeats its octets.
///
/// Source: nmap's SMB probe, answered so by Windows (nmap-service-probes).
fn readable(header: Header, octets: &[u8]) -> Header {
    if header.drep.is_supported() && header.version_major == 5 {
        return header;
    }
    let call_id = match octets.get(12..16) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    };
    Header {
        call_id,
        drep: DataRepresentation::from(ByteOrder::Little),
        ..header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pdu::PacketType;

    /// A co_cancel: the shortest PDU.
    const CANCEL: [u8; 16] = [5, 0, 18, 3, 0x10, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0];

    fn take(octets: &[u8]) -> (Frame, usize) {
        let mut buffer = BytesMut::from(octets);
        let frame = next(&mut buffer, |_| 5840);
        (frame, buffer.len())
    }

    #[test]
    fn a_whole_pdu_is_taken_and_the_rest_stays() {
        let two = [CANCEL, CANCEL].concat();
        let (Frame::Whole(header, pdu), 16) = take(&two) else {
            panic!("one PDU of two");
        };
        assert_eq!((header.ptype, pdu.len()), (PacketType::CO_CANCEL, 16));
    }

    #[test]
    fn every_cut_of_a_pdu_is_incomplete() {
        for cut in 0..CANCEL.len() {
            assert_eq!(take(&CANCEL[..cut]), (Frame::Incomplete, cut));
        }
    }

    #[test]
    fn foreign_octets_are_told_by_their_first_sixteen() {
        // The head of an SMB negotiate request.
        let smb = b"\0\0\0\xa4\xffSMBr\0\0\0\0\x08\x01\x40";
        let (Frame::Bad(header, Violation::Version), 16) = take(smb) else {
            panic!("no RPC");
        };
        assert_eq!(header.call_id.to_le_bytes(), [0, 8, 1, 0x40]);
    }

    #[test]
    fn a_length_below_the_header_or_the_verifier_is_bad() {
        let mut short = CANCEL;
        short[8] = 15;
        assert!(matches!(
            take(&short),
            (Frame::Bad(_, Violation::Length), 16)
        ));
        let mut verifier = CANCEL;
        verifier[10] = 1;
        assert!(matches!(
            take(&verifier),
            (Frame::Bad(_, Violation::Length), 16)
        ));
    }

    #[test]
    fn a_fragment_above_the_limit_is_bad_before_it_has_come() {
        let mut long = CANCEL;
        [long[8], long[9]] = 5841u16.to_le_bytes();
        assert!(matches!(
            take(&long),
            (Frame::Bad(_, Violation::TooLong), 16)
        ));
    }
}
