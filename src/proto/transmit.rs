//! Octets that wait to be sent.

/// What a machine has to send, and how much of it was sent.
#[derive(Debug, Default)]
pub(super) struct Transmit {
    /// Octets, some of which may be sent already.
    octets: Vec<u8>,
    /// How many of them.
    sent: usize,
}

/// Capacity that an idle connection keeps.
const KEPT: usize = 4096;

impl Transmit {
    /// What is still to be sent, if anything.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let octets = &self.octets[self.sent..];
        (!octets.is_empty()).then_some(octets)
    }

    /// Tells that `len` octets of `peek` were sent.
    pub(super) fn advance(&mut self, len: usize) {
        self.sent += len;
        if self.sent >= self.octets.len() {
            self.octets.clear();
            self.octets.shrink_to(KEPT);
            self.sent = 0;
        } else if self.sent > self.octets.len() / 2 {
            // Whoever never sends all does not make it grow for ever.
            self.octets.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// How many octets are still to be sent.
    pub(super) fn len(&self) -> usize {
        self.octets.len() - self.sent
    }

    /// Where encoders append.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_parts_is_not_sent_again() {
        let mut transmit = Transmit::default();
        transmit.buffer().extend_from_slice(b"abcdef");
        transmit.advance(2);
        assert_eq!((transmit.peek(), transmit.len()), (Some(&b"cdef"[..]), 4));
        transmit.buffer().extend_from_slice(b"gh");
        transmit.advance(6);
        assert_eq!((transmit.peek(), transmit.len()), (None, 0));
    }

    #[test]
    fn what_never_runs_empty_does_not_grow() {
        let mut transmit = Transmit::default();
        transmit.buffer().extend_from_slice(b"x");
        for _ in 0..10_000 {
            transmit.buffer().extend_from_slice(&[0; 100]);
            transmit.advance(100);
        }
        assert_eq!(transmit.len(), 1);
        assert!(transmit.octets.len() <= 202, "{}", transmit.octets.len());
    }
}
