//! A mechanism of plain words, for laws and tests about what carries mechanisms.
//!
//! The ends say words by turns, the client first; each is complete once the last
//! word is said. Signatures are checksums: they prove nothing, but differ where
//! what was signed does, or in which turn.

use crate::proto::{LegAnswer, Packet, Principal, SecurityContext, SecurityError};
use crate::security::{Mechanism, MechanismContext};
use crate::wire::pdu::{AuthLevel, AuthType};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What mechanism it is, and what of it was used.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// What it stands for.
    pub auth_type: AuthType,
    /// What names it.
    pub oids: &'static [&'static [u8]],
    /// How many words there are, at least 1; the client says the odd ones.
    pub count: usize,
    /// Whether it can sign.
    pub can_sign: bool,
    /// Contexts that heard all words.
    pub completed: Arc<AtomicUsize>,
    /// MICs that fitted.
    pub checked: Arc<AtomicUsize>,
}

impl Words {
    /// One that nobody has used.
    pub fn new(
        auth_type: AuthType,
        oids: &'static [&'static [u8]],
        count: usize,
        can_sign: bool,
    ) -> Self {
        Words {
            auth_type,
            oids,
            count,
            can_sign,
            completed: Arc::default(),
            checked: Arc::default(),
        }
    }

    /// The word of a turn, from 1.
    pub fn word(&self, turn: usize) -> Vec<u8> {
        let mut word = format!("{} {turn} ", self.auth_type.0).into_bytes();
        if self.auth_type == AuthType::NTLM {
            word.splice(..0, *b"NTLMSSP\0");
        }
        word
    }

    /// Who its speakers say the peer is.
    pub fn principal(&self) -> Principal {
        Principal::Named(format!("speaker of {}", self.auth_type.0).into())
    }

    /// The MIC that each end makes first; the client's, and the server's.
    pub fn mics_over(&self, octets: &[u8]) -> [Vec<u8>; 2] {
        let speaker = self.speaker(true);
        [true, false].map(|is_client| speaker.signature(is_client, 1, octets).to_vec())
    }

    /// One end's half of a conversation.
    pub fn speaker(&self, is_client: bool) -> Speaker {
        Speaker {
            words: self.clone(),
            is_client,
            turn: 1,
            made: 0,
            checked: 0,
            has_settled: false,
        }
    }
}

impl Mechanism for Words {
    fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    fn oids(&self) -> &'static [&'static [u8]] {
        self.oids
    }

    fn accept(&self, _: AuthLevel) -> Box<dyn MechanismContext> {
        Box::new(self.speaker(false))
    }

    fn may_block(&self) -> bool {
        self.auth_type == AuthType::KERBEROS
    }
}

/// One end of a conversation.
#[derive(Debug)]
pub(crate) struct Speaker {
    words: Words,
    is_client: bool,
    /// Whose word is next, from 1.
    turn: usize,
    /// Signatures made and checked.
    made: u64,
    checked: u64,
    /// Whether the MICs are behind it, which signatures start again for.
    has_settled: bool,
}

impl Speaker {
    fn is_complete(&self) -> bool {
        self.turn > self.words.count
    }

    /// A signature of an end's, the `number`th.
    fn signature(&self, is_client: bool, number: u64, octets: &[u8]) -> [u8; 8] {
        let start = 0xcbf2_9ce4_8422_2325 ^ number ^ u64::from(self.words.auth_type.0) << 32;
        let marks = [u8::from(is_client), u8::from(self.has_settled)];
        let sum = marks.iter().chain(octets).fold(start, |sum, &octet| {
            (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
        sum.to_le_bytes()
    }

    fn make(&mut self, octets: &[u8]) -> [u8; 8] {
        self.made += 1;
        self.signature(self.is_client, self.made, octets)
    }

    fn check(&mut self, octets: &[u8], signature: &[u8]) -> Result<(), SecurityError> {
        self.checked += 1;
        match signature == self.signature(!self.is_client, self.checked, octets) {
            true => Ok(()),
            false => Err(SecurityError::Signature),
        }
    }
}

impl SecurityContext for Speaker {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        if self.is_complete() {
            return Err(SecurityError::Token("all words are said"));
        }
        if self.is_client && self.turn == 1 {
            if !token.is_empty() {
                return Err(SecurityError::Token("the client begins"));
            }
        } else if token == self.words.word(self.turn) {
            self.turn += 1;
        } else {
            return Err(SecurityError::Token("not the word of this turn"));
        }
        let mut answer = Vec::new();
        if !self.is_complete() {
            answer = self.words.word(self.turn);
            self.turn += 1;
        }
        if self.is_complete() {
            self.words.completed.fetch_add(1, Relaxed);
        }
        Ok(LegAnswer {
            token: answer,
            is_complete: self.is_complete(),
        })
    }

    fn principal(&self) -> Principal {
        self.words.principal()
    }

    fn signature_len(&self) -> usize {
        8
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        self.check(packet.octets, signature)
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        signature.copy_from_slice(&self.make(packet.octets));
        Ok(())
    }
}

impl MechanismContext for Speaker {
    fn mic(&mut self, octets: &[u8]) -> Result<Vec<u8>, SecurityError> {
        assert!(self.is_complete() && self.words.can_sign);
        Ok(self.make(octets).to_vec())
    }

    fn check_mic(&mut self, octets: &[u8], mic: &[u8]) -> Result<(), SecurityError> {
        assert!(self.is_complete() && self.words.can_sign);
        self.check(octets, mic)?;
        self.words.checked.fetch_add(1, Relaxed);
        Ok(())
    }

    fn can_sign(&self) -> bool {
        self.words.can_sign
    }

    fn mics_exchanged(&mut self) {
        assert!(!self.has_settled);
        self.has_settled = true;
        (self.made, self.checked) = (0, 0);
    }
}
