//! What NTLM negotiates.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// What is negotiated, a bit each.
///
/// # Source
/// MS-NLMP 2.2.2.5.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Flags(0);
    /// Names are in UTF-16.
    pub const UNICODE: Self = Flags(0x0000_0001);
    /// Names are in the system's code page.
    pub const OEM: Self = Flags(0x0000_0002);
    /// The server is to tell its name.
    pub const REQUEST_TARGET: Self = Flags(0x0000_0004);
    /// Packets can be signed.
    pub const SIGN: Self = Flags(0x0000_0010);
    /// Packets can be sealed.
    pub const SEAL: Self = Flags(0x0000_0020);
    /// Without a connection.
    pub const DATAGRAM: Self = Flags(0x0000_0040);
    /// The key is made of the LM response.
    pub const LM_KEY: Self = Flags(0x0000_0080);
    /// NTLM responses.
    pub const NTLM: Self = Flags(0x0000_0200);
    /// The client has no name.
    pub const ANONYMOUS: Self = Flags(0x0000_0800);
    /// A NEGOTIATE message names the client's domain.
    pub const DOMAIN_SUPPLIED: Self = Flags(0x0000_1000);
    /// A NEGOTIATE message names the client's host.
    pub const WORKSTATION_SUPPLIED: Self = Flags(0x0000_2000);
    /// There is a session key whether packets are signed or not.
    pub const ALWAYS_SIGN: Self = Flags(0x0000_8000);
    /// The server's name is a domain's.
    pub const TARGET_DOMAIN: Self = Flags(0x0001_0000);
    /// The server's name is a host's.
    pub const TARGET_SERVER: Self = Flags(0x0002_0000);
    /// Keys and signatures of NTLM2 session security.
    pub const EXTENDED_SESSION_SECURITY: Self = Flags(0x0008_0000);
    /// The server can only identify the client.
    pub const IDENTIFY: Self = Flags(0x0010_0000);
    /// The key is made of the LM hash.
    pub const NON_NT_SESSION_KEY: Self = Flags(0x0040_0000);
    /// A CHALLENGE message tells about the server.
    pub const TARGET_INFO: Self = Flags(0x0080_0000);
    /// Messages tell the sender's version.
    pub const VERSION: Self = Flags(0x0200_0000);
    /// Keys of 128 bits.
    pub const KEY_128: Self = Flags(0x2000_0000);
    /// The client chooses the session's key.
    pub const KEY_EXCHANGE: Self = Flags(0x4000_0000);
    /// Keys of 56 bits.
    pub const KEY_56: Self = Flags(0x8000_0000);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits that `other` lacks.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Flags;

    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Flags({:#010x})", self.0)
    }
}
