//! Signing and sealing once the keys are known.
//!
//! With extended session security each direction has keys, a stream and
//! sequence numbers of its own; without it both share one of each. Nothing is
//! verified after a packet that does not fit. Answers to those before it are
//! still signed, unless the stream that it spoiled is theirs, too: a peer gets
//! them whether that packet comes before or after they are sent.

use super::flags::Flags;
use super::keys::{Key, Sender, hmac_md5, plain_key, rc4, seal_key, sign_key};
use crate::proto::{Packet, SecurityError};
use crate::wire::pdu::AuthLevel;
use rc4::{Rc4, StreamCipher};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Octets of a signature.
pub const SIGNATURE: usize = 16;

/// The version that signatures begin with.
const VERSION: [u8; 4] = 1_u32.to_le_bytes();

/// What signs and seals the packets of both directions.
pub struct Session {
    /// What packets are protected by.
    level: AuthLevel,
    /// The keys.
    keys: Keys,
    /// Whether signatures were negotiated.
    can_sign: bool,
    /// Whether nothing more is verified, since a packet did not fit.
    is_deaf: bool,
    /// Whether nothing more is signed.
    is_over: bool,
}

/// The keys of a session.
enum Keys {
    /// With extended session security.
    Extended {
        /// What is sent.
        send: Half,
        /// What comes in.
        receive: Half,
    },
    /// Without.
    Plain(Stream),
}

/// One direction of a session with extended session security.
struct Half {
    /// What checksums are made with.
    sign_key: Key,
    /// What packets are sealed with.
    stream: Stream,
    /// Whether checksums are sealed, too: where the key was exchanged.
    seals_checksum: bool,
}

/// A key stream, and how often it was used.
struct Stream {
    /// What it begins from.
    key: Zeroizing<Vec<u8>>,
    /// In one place, so that moving a stream leaves no copies of its state.
    cipher: Box<Rc4>,
    /// The next packet's number; `None` once all were used.
    sequence: Option<u32>,
}

impl Session {
    /// A session of the end that is `own`, with what was negotiated.
    pub fn new(exported: &Key, flags: Flags, own: Sender, level: AuthLevel) -> Self {
        let half = |sender| Half {
            sign_key: sign_key(exported, sender),
            stream: Stream::new(seal_key(exported, flags, sender).to_vec()),
            seals_checksum: flags.contains(Flags::KEY_EXCHANGE),
        };
        let peer = match own {
            Sender::Client => Sender::Server,
            Sender::Server => Sender::Client,
        };
        let keys = match flags.contains(Flags::EXTENDED_SESSION_SECURITY) {
            true => Keys::Extended {
                send: half(own),
                receive: half(peer),
            },
            false => Keys::Plain(Stream::new(plain_key(exported, flags).to_vec())),
        };
        Session {
            level,
            keys,
            can_sign: flags.contains(Flags::SIGN),
            is_deaf: false,
            is_over: false,
        }
    }

    /// A session that verifies nothing and signs nothing from the beginning.
    pub fn ended(self) -> Self {
        Session {
            is_deaf: true,
            is_over: true,
            ..self
        }
    }

    /// Whether signatures were negotiated.
    pub fn can_sign(&self) -> bool {
        self.can_sign
    }

    /// Signs a packet, and seals it at level privacy; at level connect a
    /// signature says nothing.
    ///
    /// # Errors
    /// `Token` when all sequence numbers were used or the session is over.
    pub fn protect(
        &mut self,
        packet: Packet<'_>,
        signature: &mut [u8],
    ) -> Result<(), SecurityError> {
        let Some(place) = signature.first_chunk_mut() else {
            return Err(SecurityError::Token("a signature has no room"));
        };
        if self.level == AuthLevel::CONNECT {
            *place = signature_of(&[0; 8], 0);
            return Ok(());
        }
        *place = match self.level == AuthLevel::PRIVACY {
            true => self.seal(packet)?,
            false => self.sign(self.keys.covered(&packet))?,
        };
        Ok(())
    }

    /// Checks a packet, and unseals it at level privacy. Where it does not fit
    /// its stub is lost, and nothing more is verified.
    ///
    /// # Errors
    /// `Signature`.
    pub fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        if self.level == AuthLevel::CONNECT {
            return Ok(());
        }
        let unsealed = self.unseal(packet.octets, packet.stub.clone());
        let fits = unsealed.and_then(|()| self.check(self.keys.covered(&packet), signature));
        if fits.is_err() {
            self.fail();
            let stub = packet.octets.get_mut(packet.stub);
            stub.unwrap_or_default().fill(0);
        }
        fits
    }

    /// Signs octets that no packet is made of.
    ///
    /// # Errors
    /// As [`Session::protect`].
    pub fn sign(&mut self, octets: &[u8]) -> Result<[u8; SIGNATURE], SecurityError> {
        self.alive()?;
        match &mut self.keys {
            Keys::Extended { send, .. } => send.sign(octets),
            Keys::Plain(stream) => stream.sign_crc32(crc32(octets)),
        }
    }

    /// Checks the signature of octets.
    ///
    /// # Errors
    /// `Signature`; nothing more is verified then.
    pub fn check(&mut self, octets: &[u8], signature: &[u8]) -> Result<(), SecurityError> {
        self.hears()?;
        let (expected, begin) = match &mut self.keys {
            Keys::Extended { receive, .. } => (receive.sign(octets)?, 4),
            // What stands between version and checksum was random once.
            Keys::Plain(stream) => (stream.sign_crc32(crc32(octets))?, 8),
        };
        let fits = signature.len() == SIGNATURE
            && signature.starts_with(&VERSION)
            && bool::from(expected[begin..].ct_eq(&signature[begin..]));
        if !fits {
            self.fail();
        }
        fits.then_some(()).ok_or(SecurityError::Signature)
    }

    /// Begins the key streams anew; sequence numbers go on.
    ///
    /// # Source
    /// Samba's client, after SPNEGO's mechListMIC (tests/ntlm.rs).
    pub fn restart_streams(&mut self) {
        match &mut self.keys {
            Keys::Extended { send, receive } => {
                send.stream.restart();
                receive.stream.restart();
            }
            Keys::Plain(stream) => stream.restart(),
        }
    }

    /// Signs and seals a packet: its checksum is of what is plain, and takes the
    /// key stream behind the stub.
    fn seal(&mut self, packet: Packet<'_>) -> Result<[u8; SIGNATURE], SecurityError> {
        self.alive()?;
        let stub = packet.stub.clone();
        match &mut self.keys {
            Keys::Extended { send, .. } => {
                let checksum = send.checksum(packet.octets)?;
                send.stream.apply(packet.octets, stub)?;
                send.signature(checksum)
            }
            Keys::Plain(stream) => {
                let checksum = crc32(stub_of(&packet));
                stream.apply(packet.octets, stub)?;
                stream.sign_crc32(checksum)
            }
        }
    }

    /// Unseals a stub at level privacy.
    fn unseal(
        &mut self,
        octets: &mut [u8],
        stub: std::ops::Range<usize>,
    ) -> Result<(), SecurityError> {
        self.hears()?;
        let stream = match &mut self.keys {
            Keys::Extended { receive, .. } => &mut receive.stream,
            Keys::Plain(stream) => stream,
        };
        match self.level == AuthLevel::PRIVACY {
            true => stream.apply(octets, stub),
            false => Ok(()),
        }
    }

    /// Takes note of a packet that does not fit.
    fn fail(&mut self) {
        self.is_deaf = true;
        self.is_over |= matches!(self.keys, Keys::Plain(_));
    }

    /// Whether every packet has fit so far.
    fn hears(&self) -> Result<(), SecurityError> {
        match self.is_deaf {
            true => Err(SecurityError::Signature),
            false => Ok(()),
        }
    }

    /// Whether packets are still signed.
    fn alive(&self) -> Result<(), SecurityError> {
        match self.is_over {
            true => Err(SecurityError::Signature),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Session({})", self.level)
    }
}

impl Keys {
    /// What a packet's signature covers, whether the connection signs headers or
    /// not: all of it with extended session security, else the stub.
    ///
    /// # Source
    /// MS-NLMP 3.4.9.1, Samba's raw_protocol suite, impacket; without extended
    /// session security Samba's client (tests/ntlm.rs).
    fn covered<'a>(&self, packet: &'a Packet<'_>) -> &'a [u8] {
        match self {
            Keys::Extended { .. } => packet.octets,
            Keys::Plain(_) => stub_of(packet),
        }
    }
}

impl Half {
    /// The next signature, of octets that are not sealed.
    ///
    /// # Source
    /// MS-NLMP 3.4.4.2.
    fn sign(&mut self, octets: &[u8]) -> Result<[u8; SIGNATURE], SecurityError> {
        let checksum = self.checksum(octets)?;
        self.signature(checksum)
    }

    /// The checksum of octets under the next sequence number.
    fn checksum(&self, octets: &[u8]) -> Result<[u8; 8], SecurityError> {
        let sequence = self.stream.sequence()?.to_le_bytes();
        let mac = hmac_md5(&*self.sign_key, &[&sequence, octets]);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&mac[..8]);
        Ok(checksum)
    }

    /// The signature around a checksum; its sequence number is used up.
    fn signature(&mut self, mut checksum: [u8; 8]) -> Result<[u8; SIGNATURE], SecurityError> {
        if self.seals_checksum {
            self.stream.cipher.apply_keystream(&mut checksum);
        }
        Ok(signature_of(&checksum, self.stream.count()?))
    }
}

impl Stream {
    /// The stream of a key, from its start.
    fn new(key: Vec<u8>) -> Self {
        Stream {
            cipher: Box::new(rc4(&key)),
            key: Zeroizing::new(key),
            sequence: Some(0),
        }
    }

    /// Begins the stream anew.
    fn restart(&mut self) {
        *self.cipher = rc4(&self.key);
    }

    /// Seals or unseals a part of `octets`.
    fn apply(
        &mut self,
        octets: &mut [u8],
        part: std::ops::Range<usize>,
    ) -> Result<(), SecurityError> {
        let part = octets.get_mut(part).ok_or(SecurityError::Signature)?;
        self.cipher.apply_keystream(part);
        Ok(())
    }

    /// The next sequence number.
    fn sequence(&self) -> Result<u32, SecurityError> {
        let error = SecurityError::Token("all sequence numbers were used");
        self.sequence.ok_or(error)
    }

    /// The next sequence number, which is used up.
    fn count(&mut self) -> Result<u32, SecurityError> {
        let sequence = self.sequence()?;
        self.sequence = sequence.checked_add(1);
        Ok(sequence)
    }

    /// The next signature without extended session security, of octets with
    /// this CRC.
    ///
    /// # Source
    /// MS-NLMP 3.4.4.1: the first four octets are zeroed once they are sealed.
    fn sign_crc32(&mut self, crc: u32) -> Result<[u8; SIGNATURE], SecurityError> {
        let sequence = self.count()?;
        let mut sealed = [0; 12];
        sealed[4..8].copy_from_slice(&crc.to_le_bytes());
        sealed[8..].copy_from_slice(&sequence.to_le_bytes());
        self.cipher.apply_keystream(&mut sealed);
        sealed[..4].fill(0);
        let mut signature = [0; SIGNATURE];
        signature[..4].copy_from_slice(&VERSION);
        signature[4..].copy_from_slice(&sealed);
        Ok(signature)
    }
}

/// A packet's stub; nothing where it has none, which sealing refuses.
fn stub_of<'a>(packet: &'a Packet<'_>) -> &'a [u8] {
    let stub = packet.octets.get(packet.stub.clone());
    stub.unwrap_or_default()
}

/// A signature with extended session security.
///
/// Layout: 1 u32, checksum 8 octets, sequence number u32.
///
/// # Source
/// MS-NLMP 2.2.2.9.2.
fn signature_of(checksum: &[u8; 8], sequence: u32) -> [u8; SIGNATURE] {
    let mut signature = [0; SIGNATURE];
    signature[..4].copy_from_slice(&VERSION);
    signature[4..12].copy_from_slice(checksum);
    signature[12..].copy_from_slice(&sequence.to_le_bytes());
    signature
}

/// The CRC of Ethernet, zip and MS-NLMP 3.4.4.1.
fn crc32(octets: &[u8]) -> u32 {
    let shift = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
    let step = |crc: u32, octet: &u8| (0..8).fold(crc ^ u32::from(*octet), shift);
    !octets.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::ntlm::tests::hex;

    /// "Plaintext" in UTF-16.
    const PLAIN: &str = "50006c00610069006e007400650078007400";

    /// What a client makes of a packet that is a stub only.
    fn sealed(key: &str, flags: Flags) -> (Vec<u8>, Vec<u8>) {
        let exported = Zeroizing::new(hex(key).try_into().unwrap());
        let mut session = Session::new(&exported, flags, Sender::Client, AuthLevel::PRIVACY);
        let (mut octets, mut signature) = (hex(PLAIN), vec![0; SIGNATURE]);
        let packet = Packet {
            stub: 0..octets.len(),
            octets: &mut octets,
            signs_header: false,
        };
        session.protect(packet, &mut signature).unwrap();
        (octets, signature)
    }

    #[test]
    fn what_is_sealed_is_what_was_published() {
        let random = "55555555555555555555555555555555";
        let extended = Flags::EXTENDED_SESSION_SECURITY;
        let cases = [
            // MS-NLMP 4.2.2.4, 4.2.3.4 and 4.2.4.4.
            (
                random,
                Flags::KEY_56 | Flags::KEY_EXCHANGE,
                "56fe04d861f9319af0d7238a2e3b4d457fb8",
                "010000000000000009dcd1df2e459d36",
            ),
            (
                "eb93429a8bd952f8b89c55b87f475edc",
                extended | Flags::KEY_56,
                "a02372f6530273f3aa1eb90190ce5200c99d",
                "01000000ff2aeb52f681793a00000000",
            ),
            (
                random,
                extended | Flags::KEY_128 | Flags::KEY_56 | Flags::KEY_EXCHANGE,
                "54e50165bf1936dc996020c1811b0f06fb5f",
                "010000007fb38ec5c55d497600000000",
            ),
        ];
        for (key, flags, octets, signature) in cases {
            assert_eq!(
                sealed(key, flags),
                (hex(octets), hex(signature)),
                "{flags:?}"
            );
        }
    }

    #[test]
    fn both_directions_share_a_stream_without_extended_session_security() {
        let session = |own| {
            let key = Zeroizing::new([0x55; 16]);
            Session::new(&key, Flags::NONE, own, AuthLevel::INTEGRITY)
        };
        let (mut client, mut server) = (session(Sender::Client), session(Sender::Server));
        for _ in 0..3 {
            let signature = client.sign(b"there").unwrap();
            assert_eq!(server.check(b"there", &signature), Ok(()));
            let signature = server.sign(b"back").unwrap();
            assert_eq!(client.check(b"back", &signature), Ok(()));
        }
    }

    #[test]
    fn no_sequence_number_comes_twice() {
        let key = Zeroizing::new([0x55; 16]);
        let flags = Flags::EXTENDED_SESSION_SECURITY;
        let mut session = Session::new(&key, flags, Sender::Client, AuthLevel::INTEGRITY);
        if let Keys::Extended { send, .. } = &mut session.keys {
            send.stream.sequence = Some(u32::MAX);
        }
        assert_eq!(session.sign(b"the last").unwrap()[12..], [0xff; 4]);
        assert!(session.sign(b"one too many").is_err());
    }

    #[test]
    fn a_session_without_signatures_signs_and_verifies_nothing() {
        let key = Zeroizing::new([0x55; 16]);
        let flags = Flags::EXTENDED_SESSION_SECURITY;
        let new = |own| Session::new(&key, flags, own, AuthLevel::INTEGRITY);
        let signature = new(Sender::Client).sign(b"octets").unwrap();
        assert_eq!(new(Sender::Server).check(b"octets", &signature), Ok(()));
        let mut ended = new(Sender::Server).ended();
        assert!(ended.check(b"octets", &signature).is_err());
        assert!(ended.sign(b"octets").is_err());
    }

    #[test]
    fn a_crc_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
