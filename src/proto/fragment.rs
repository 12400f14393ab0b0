//! Fragments: putting a call together, cutting an answer up.

use super::association::Call;
use crate::wire::pdu::PfcFlags;
use bytes::{Bytes, BytesMut};
use std::time::Instant;

/// The smallest fragment that everybody has to take (C706 appendix K,
/// MustRecvFragSize).
pub const MUST_RECV_FRAG: u16 = 1432;

/// The smallest size that negotiation ends at (MS-RPCE 3.3.1.5.3).
const SMALLEST_AGREED: u16 = 2048;

/// A call whose last fragment has not come yet.
#[derive(Debug)]
pub struct Assembly {
    /// What the first fragment says, which holds for the call; without a stub.
    call: Call,
    /// When the first fragment came.
    since: Instant,
    /// What has come of the stub.
    stub: BytesMut,
}

impl Assembly {
    /// Begins with the call that a first fragment is, which came at `since`.
    pub fn new(mut call: Call, since: Instant) -> Self {
        // A copy: the stub would keep the whole read buffer from reuse.
        let stub = BytesMut::from(&call.stub[..]);
        call.stub = Bytes::new();
        Assembly { call, since, stub }
    }

    /// Adds a continuation fragment's stub; `false` when the call would then be
    /// longer than `limit` octets.
    #[must_use]
    pub fn push(&mut self, stub: &[u8], limit: usize) -> bool {
        let fits = self.stub.len() + stub.len() <= limit;
        if fits {
            self.stub.extend_from_slice(stub);
        }
        fits
    }

    /// The call, as its first fragment tells it; without a stub.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// When the first fragment came.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How many octets of stub have come.
    pub fn stub_len(&self) -> usize {
        self.stub.len()
    }

    /// The call with its stub, all fragments joined.
    pub fn into_call(self) -> Call {
        let mut call = self.call;
        call.stub = self.stub.freeze();
        call
    }
}

/// The fragment size that a bind's offers end at, for both directions: the
/// smaller offer, not below 2048, not above `most`, a multiple of 8.
///
/// # Source
/// Samba's and Windows' answers: (ffff,ffff) 5840, (0,any) 2048,
/// (3199,ffff) 3192.
pub fn negotiate(max_xmit: u16, max_recv: u16, most: u16) -> u16 {
    max_xmit.min(max_recv).max(SMALLEST_AGREED).min(most) & 0xfff8
}

/// The longest fragment to send to a peer that offered to take `max_recv`
/// octets, when `agreed` was negotiated: what it offered, not below what
/// everybody must take; 0 is no offer.
pub fn send_limit(max_recv: u16, agreed: u16) -> u16 {
    match max_recv {
        0 => agreed,
        offered => agreed.min(offered.max(MUST_RECV_FRAG)),
    }
}

/// One fragment of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// First and last fragment flags.
    pub flags: PfcFlags,
    /// Stub octets from this fragment on, itself included: its alloc_hint.
    pub alloc_hint: u32,
    /// This fragment's part of the stub.
    pub stub: &'a [u8],
}

/// Cuts a stub into fragments of at most `max_frag` octets with `head` octets
/// of header each. Stubs of all but the last are multiples of 16 octets.
///
/// An empty stub is one empty fragment. `max_frag` is at least 1432 and a head
/// with its verifier below that, so that every fragment carries something.
pub fn split(stub: &[u8], max_frag: u16, head: usize) -> impl ExactSizeIterator<Item = Piece<'_>> {
    let most = usize::from(max_frag.max(MUST_RECV_FRAG));
    let room = (most.saturating_sub(head) & !15).max(16);
    let count = stub.len().div_ceil(room).max(1);
    (0..count).map(move |index| {
        let from = index * room;
        let to = stub.len().min(from + room);
        let mut flags = PfcFlags(0);
        if index == 0 {
            flags = flags | PfcFlags::FIRST_FRAG;
        }
        if index + 1 == count {
            flags = flags | PfcFlags::LAST_FRAG;
        }
        Piece {
            flags,
            alloc_hint: (stub.len() - from) as u32,
            stub: &stub[from..to],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_negotiate_as_windows_and_samba_do() {
        assert_eq!(negotiate(0xffff, 0xffff, 5840), 5840);
        assert_eq!(negotiate(0, 0xffff, 5840), 2048);
        assert_eq!(negotiate(3199, 0xffff, 5840), 3192);
        assert_eq!(negotiate(4280, 4280, 5840), 4280);
    }

    #[test]
    fn no_fragment_is_longer_than_the_peer_takes() {
        assert_eq!(send_limit(1432, 2048), 1432);
        assert_eq!(send_limit(100, 2048), 1432);
        assert_eq!(send_limit(0, 2048), 2048);
        assert_eq!(send_limit(0xffff, 5840), 5840);
    }

    #[test]
    fn an_answer_is_cut_as_windows_cuts_it() {
        // 346 entries of a Windows 10 mapper: 45276 octets in fragments of 4280.
        let stub = vec![0; 45276];
        let pieces: Vec<_> = split(&stub, 4280, 24).collect();
        assert_eq!(pieces.len(), 11);
        assert_eq!(pieces[0].stub.len(), 4256);
        assert_eq!(pieces[1].alloc_hint, 41020);
        assert_eq!(pieces[10].alloc_hint, 2716);
        let flags: Vec<u8> = pieces.iter().map(|piece| piece.flags.0).collect();
        assert_eq!(flags, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn an_empty_answer_is_one_fragment() {
        let pieces: Vec<_> = split(&[], 5840, 24).collect();
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].flags.0, 3);
    }
}
