//! A security provider for tests: three legs of plain words, a checksum for a signature.

use epmapper::proto::security::{Leg, Packet, SecurityError};
use epmapper::proto::{SecurityContext, SecurityProvider};
use epmapper::wire::pdu::{AuthLevel, AuthType};
use std::sync::Arc;

/// Octets of a signature.
pub const SIGNATURE: usize = 16;

/// What sealing does to each octet of a stub.
const SEAL: u8 = 0x5a;

/// The client's first token, by its name.
pub fn hello(name: &str) -> Vec<u8> {
    format!("hello {name}").into_bytes()
}

/// The answer to it.
pub const CHALLENGE: &[u8] = b"who is it";

/// The client's second token, which `hello` has to be followed by.
pub fn proof(name: &str) -> Vec<u8> {
    format!("it is {name}").into_bytes()
}

/// The server's last token, of a provider that has one.
pub const WELCOME: &[u8] = b"welcome";

/// A provider of one type.
#[derive(Debug)]
pub struct Words {
    pub auth_type: AuthType,
    /// Whether the last leg is answered.
    pub welcomes: bool,
}

impl SecurityProvider for Words {
    fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    fn begin(
        &self,
        level: AuthLevel,
        token: &[u8],
    ) -> Result<(Box<dyn SecurityContext>, Leg), SecurityError> {
        let name = token.strip_prefix(b"hello ").ok_or(SecurityError::Token)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| SecurityError::Token)?;
        let leg = Leg {
            token: CHALLENGE.to_vec(),
            is_complete: false,
        };
        let context = Conversation {
            welcomes: self.welcomes,
            packets: Packets::new(&name, level),
            name,
        };
        Ok((Box::new(context), leg))
    }
}

/// What is agreed on with one client.
#[derive(Debug)]
struct Conversation {
    name: String,
    welcomes: bool,
    packets: Packets,
}

impl SecurityContext for Conversation {
    fn proceed(&mut self, token: &[u8]) -> Result<Leg, SecurityError> {
        if token != proof(&self.name) {
            return Err(SecurityError::Denied);
        }
        let token = match self.welcomes {
            true => WELCOME.to_vec(),
            false => Vec::new(),
        };
        Ok(Leg {
            token,
            is_complete: true,
        })
    }

    fn principal(&self) -> Arc<str> {
        self.name.as_str().into()
    }

    fn signature_len(&self) -> usize {
        SIGNATURE
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        self.packets.verify(packet, signature)
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) {
        self.packets.protect(packet, signature);
    }
}

/// Signs and seals packets; both ends have one.
#[derive(Debug)]
pub struct Packets {
    key: u64,
    seals: bool,
    sent: u64,
    received: u64,
}

impl Packets {
    pub fn new(name: &str, level: AuthLevel) -> Self {
        Packets {
            key: checksum(7, name.as_bytes()),
            seals: level == AuthLevel::PRIVACY,
            sent: 0,
            received: 0,
        }
    }

    pub fn protect(&mut self, mut packet: Packet<'_>, signature: &mut [u8]) {
        signature.copy_from_slice(&self.signature(self.sent, &packet));
        self.sent += 1;
        self.seal(&mut packet);
    }

    pub fn verify(
        &mut self,
        mut packet: Packet<'_>,
        signature: &[u8],
    ) -> Result<(), SecurityError> {
        self.seal(&mut packet);
        if signature != self.signature(self.received, &packet) {
            return Err(SecurityError::Signature);
        }
        self.received += 1;
        Ok(())
    }

    fn seal(&self, packet: &mut Packet<'_>) {
        if self.seals {
            let stub = &mut packet.octets[packet.stub.clone()];
            stub.iter_mut().for_each(|octet| *octet ^= SEAL);
        }
    }

    fn signature(&self, number: u64, packet: &Packet<'_>) -> [u8; SIGNATURE] {
        let covered = match packet.signs_header {
            true => &packet.octets[..],
            false => &packet.octets[packet.stub.clone()],
        };
        let mut signature = [0; SIGNATURE];
        signature[..8].copy_from_slice(&checksum(self.key ^ number, covered).to_le_bytes());
        signature[8..].copy_from_slice(&number.to_le_bytes());
        signature
    }
}

/// FNV-1a, begun with a key.
fn checksum(key: u64, octets: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ key;
    octets.iter().fold(start, |sum, &octet| {
        (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}
