//! A security provider for tests: three legs of plain words, a checksum for a signature.

#![allow(dead_code)] // each test binary takes the half that it needs

use epmapper::proto::{
    LegAnswer, Packet, Principal, SecurityContext, SecurityError, SecurityProvider,
};
use epmapper::wire::pdu::{AuthLevel, AuthType};

/// A token that nobody speaks.
const STRANGE: SecurityError = SecurityError::Token("not of these words");

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

/// The server's second token, where it has one.
pub const WELCOME: &[u8] = b"welcome";

/// How many tokens of the client's a context takes: its hello, its proof, and a thanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legs {
    /// The hello is enough.
    One,
    /// The proof ends it, without an answer.
    Two,
    /// The proof ends it, and is welcomed.
    TwoWelcomed,
    /// The proof is welcomed, and a thanks ends it.
    Three,
}

/// The client's third token.
pub const THANKS: &[u8] = b"thanks";

/// A provider of one type.
#[derive(Debug)]
pub struct Words {
    pub auth_type: AuthType,
    pub legs: Legs,
    /// Packets that a context signs before its life is over.
    pub signs: u64,
}

impl SecurityProvider for Words {
    fn auth_type(&self) -> AuthType {
        self.auth_type
    }

    fn begin(&self, level: AuthLevel) -> Box<dyn SecurityContext> {
        Box::new(Conversation {
            legs: self.legs,
            signs: self.signs,
            level,
            client: None,
            is_proven: false,
        })
    }
}

/// What is agreed on with one client.
#[derive(Debug)]
struct Conversation {
    legs: Legs,
    signs: u64,
    level: AuthLevel,
    /// The client's name, and what follows from it.
    client: Option<(String, Packets)>,
    is_proven: bool,
}

impl Conversation {
    fn packets(&mut self) -> &mut Packets {
        &mut self.client.as_mut().expect("a context that is complete").1
    }
}

impl SecurityContext for Conversation {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        let answer = |token: &[u8], is_complete| {
            let token = token.to_vec();
            Ok(LegAnswer { token, is_complete })
        };
        let Some((name, _)) = &self.client else {
            let name = token.strip_prefix(b"hello ").ok_or(STRANGE)?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| STRANGE)?;
            let packets = Packets::new(&name, self.level);
            self.client = Some((name, packets));
            return answer(CHALLENGE, self.legs == Legs::One);
        };
        if self.is_proven {
            return match token {
                THANKS => answer(b"", true),
                _ => Err(STRANGE),
            };
        }
        if token != proof(name) {
            return Err(SecurityError::Denied {
                claimed: Some(name.as_str().into()),
                reason: "another name",
            });
        }
        self.is_proven = true;
        match self.legs {
            Legs::One => Err(STRANGE),
            Legs::Two => answer(b"", true),
            Legs::TwoWelcomed => answer(WELCOME, true),
            Legs::Three => answer(WELCOME, false),
        }
    }

    fn principal(&self) -> Principal {
        let (name, _) = self.client.as_ref().expect("a context that is complete");
        Principal::Named(name.as_str().into())
    }

    fn signature_len(&self) -> usize {
        SIGNATURE
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        self.packets().verify(packet, signature)
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        self.signs = self.signs.checked_sub(1).ok_or(SecurityError::Signature)?;
        self.packets().protect(packet, signature);
        Ok(())
    }
}

/// The end that begins: asks to be logged on as `name`.
pub fn ask(name: &str, legs: Legs, level: AuthLevel) -> Box<dyn SecurityContext> {
    Box::new(Asking::new(name, legs, level))
}

/// The same for a context that signs so many packets before its life is over.
pub fn ask_briefly(
    name: &str,
    legs: Legs,
    level: AuthLevel,
    signs: u64,
) -> Box<dyn SecurityContext> {
    Box::new(Asking {
        signs,
        ..Asking::new(name, legs, level)
    })
}

/// The same for one that cannot prove to be `name`.
pub fn pretend(name: &str, legs: Legs, level: AuthLevel) -> Box<dyn SecurityContext> {
    Box::new(Asking {
        proves: "somebody else".to_owned(),
        ..Asking::new(name, legs, level)
    })
}

/// What is agreed on with one server.
#[derive(Debug)]
struct Asking {
    name: String,
    /// Who it proves to be.
    proves: String,
    legs: Legs,
    packets: Packets,
    /// Tokens that were said.
    said: usize,
    signs: u64,
}

impl Asking {
    fn new(name: &str, legs: Legs, level: AuthLevel) -> Self {
        Asking {
            name: name.to_owned(),
            proves: name.to_owned(),
            legs,
            packets: Packets::new(name, level),
            said: 0,
            signs: u64::MAX,
        }
    }
}

impl SecurityContext for Asking {
    fn proceed(&mut self, token: &[u8]) -> Result<LegAnswer, SecurityError> {
        self.said += 1;
        let (expected, say, is_complete) = match (self.said, self.legs) {
            (1, _) => (&b""[..], hello(&self.name), false),
            (2, Legs::One) => (CHALLENGE, Vec::new(), true),
            (2, legs) => (CHALLENGE, proof(&self.proves), legs == Legs::Two),
            (3, Legs::TwoWelcomed) => (WELCOME, Vec::new(), true),
            (3, Legs::Three) => (WELCOME, THANKS.to_vec(), true),
            _ => return Err(STRANGE),
        };
        match token == expected {
            true => Ok(LegAnswer {
                token: say,
                is_complete,
            }),
            false => Err(STRANGE),
        }
    }

    fn principal(&self) -> Principal {
        Principal::Named("server".into())
    }

    fn signature_len(&self) -> usize {
        SIGNATURE
    }

    fn verify(&mut self, packet: Packet<'_>, signature: &[u8]) -> Result<(), SecurityError> {
        self.packets.verify(packet, signature)
    }

    fn protect(&mut self, packet: Packet<'_>, signature: &mut [u8]) -> Result<(), SecurityError> {
        self.signs = self.signs.checked_sub(1).ok_or(SecurityError::Signature)?;
        self.packets.protect(packet, signature);
        Ok(())
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
            key: checksum(level.0.into(), name.as_bytes()),
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
