//! Interface and transfer syntax identifiers: a UUID and a version.

use super::input::{self, Input, Parsed};
use super::output::Output;
use std::fmt;
use uuid::{Uuid, uuid};

/// An abstract syntax (interface) or a transfer syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SyntaxId {
    /// The UUID.
    pub uuid: Uuid,
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
}

impl SyntaxId {
    /// The length on the wire, in octets.
    pub const LEN: usize = 20;

    /// NDR 2.0 (C706 appendix I).
    pub const NDR: Self = Self::new(uuid!("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2, 0);
    /// NDR64 (MS-RPCE 2.2.5).
    pub const NDR64: Self = Self::new(uuid!("71710533-beba-4937-8319-b5dbef9ccc36"), 1, 0);
    /// The endpoint mapper (C706 appendix O).
    pub const EPT: Self = Self::new(uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa"), 3, 0);
    /// Remote management (C706 appendix Q).
    pub const MGMT: Self = Self::new(uuid!("afa8bd80-7d8a-11c9-bef4-08002b102989"), 1, 0);

    /// The control interface, this package's own (docs/control.md).
    pub const CONTROL: Self = Self::new(uuid!("6a5f1c1e-7d0b-4c55-9a63-65706d617001"), 1, 0);

    /// An identifier of its parts.
    pub const fn new(uuid: Uuid, major: u16, minor: u16) -> Self {
        SyntaxId { uuid, major, minor }
    }

    /// Decodes a `p_syntax_id_t`: uuid, then the version as one u32 whose low
    /// half is the major and whose high half the minor version.
    ///
    /// # Errors
    /// `Truncated` when fewer than 20 octets are left.
    ///
    /// # Source
    /// C706 12.6.3.1.
    pub fn decode<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, SyntaxId> {
        move |i| {
            let (i, uuid) = input::uuid(name)(i)?;
            let (i, version) = input::u32(name)(i)?;
            let [major, minor] = [version as u16, (version >> 16) as u16];
            Ok((i, SyntaxId { uuid, major, minor }))
        }
    }

    /// Encodes it as `p_syntax_id_t`, 20 octets.
    pub fn encode(&self, out: &mut Output) {
        out.uuid(self.uuid);
        out.u32(u32::from(self.minor) << 16 | u32::from(self.major));
    }

    /// Whether an implementation of `self` serves a caller of `asked`: same
    /// UUID and major version, minor version not lower.
    ///
    /// # Source
    /// C706 6.2.3.1 and 12.6.3.1.
    pub fn serves(&self, asked: &SyntaxId) -> bool {
        self.uuid == asked.uuid && self.major == asked.major && self.minor >= asked.minor
    }
}

/// A transfer syntax that stubs are read and written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransferSyntax {
    /// NDR 2.0.
    #[default]
    Ndr,
    /// NDR64.
    Ndr64,
}

impl TransferSyntax {
    /// The transfer syntax that an identifier names, if it is one of these.
    pub fn of(id: SyntaxId) -> Option<Self> {
        match id {
            SyntaxId::NDR => Some(TransferSyntax::Ndr),
            SyntaxId::NDR64 => Some(TransferSyntax::Ndr64),
            _ => None,
        }
    }

    /// Its identifier.
    pub fn id(self) -> SyntaxId {
        match self {
            TransferSyntax::Ndr => SyntaxId::NDR,
            TransferSyntax::Ndr64 => SyntaxId::NDR64,
        }
    }
}

impl fmt::Display for SyntaxId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}.{}", self.uuid, self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder;

    #[test]
    fn the_version_is_one_u32_in_both_byte_orders() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let mut octets = Vec::new();
            let value = SyntaxId::new(SyntaxId::EPT.uuid, 3, 1);
            value.encode(&mut Output::new(&mut octets, order));
            let tail: [u8; 4] = match order {
                ByteOrder::Little => [3, 0, 1, 0],
                ByteOrder::Big => [0, 1, 0, 3],
            };
            assert_eq!(octets[16..], tail);
            let (rest, again) = SyntaxId::decode("s")(Input::new(&octets, order)).unwrap();
            assert_eq!((again, rest.left()), (value, 0));
        }
    }
}
