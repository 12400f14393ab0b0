//! Protocol identifiers: the first octet of a floor's left-hand side.

use std::fmt;

/// What a floor speaks of: the first octet of its left-hand side.
///
/// # Source
/// C706 appendix I; MS-RPCE 2.1 for Microsoft's; the tables of Samba and tshark
/// for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolId(pub u8);

impl ProtocolId {
    /// The prefix of an OSI object identifier.
    pub const OSI_OID: Self = Self(0x00);
    /// A NetBIOS name in some old towers.
    pub const OLD_NETBIOS_NAME: Self = Self(0x01);
    /// DNA session control.
    pub const DNA_SESSION: Self = Self(0x02);
    /// DNA session control version 3.
    pub const DNA_SESSION_V3: Self = Self(0x03);
    /// DNA NSP transport.
    pub const DNA_NSP: Self = Self(0x04);
    /// OSI transport class 4.
    pub const OSI_TP4: Self = Self(0x05);
    /// OSI connectionless network service, DNA routing.
    pub const OSI_CLNS: Self = Self(0x06);
    /// TCP: a port.
    pub const TCP: Self = Self(0x07);
    /// UDP: a port.
    pub const UDP: Self = Self(0x08);
    /// IP version 4: an address.
    pub const IP: Self = Self(0x09);
    /// Connectionless RPC, version 4.
    pub const RPC_CONNECTIONLESS: Self = Self(0x0a);
    /// Connection-oriented RPC, version 5.
    pub const RPC_CONNECTION_ORIENTED: Self = Self(0x0b);
    /// Local RPC on floor 3; below it the port of Microsoft's `ncacn_spx`.
    pub const RPC_LOCAL: Self = Self(0x0c);
    /// A UUID: interface or syntax; below floor 3 the address of Microsoft's IPX.
    pub const UUID: Self = Self(0x0d);
    /// The port of Microsoft's `ncadg_ipx`.
    pub const MS_IPX: Self = Self(0x0e);
    /// A named pipe reached over SMB.
    pub const SMB_PIPE: Self = Self(0x0f);
    /// A local named pipe; with Microsoft the name of a local RPC port.
    pub const LOCAL_PIPE: Self = Self(0x10);
    /// A NetBIOS host name.
    pub const NETBIOS_HOST: Self = Self(0x11);
    /// NetBEUI.
    pub const NETBEUI: Self = Self(0x12);
    /// SPX.
    pub const SPX: Self = Self(0x13);
    /// IPX, or NetBIOS over IPX.
    pub const IPX: Self = Self(0x14);
    /// AppleTalk data stream.
    pub const APPLETALK_STREAM: Self = Self(0x16);
    /// AppleTalk datagram.
    pub const APPLETALK_DATAGRAM: Self = Self(0x17);
    /// AppleTalk host.
    pub const APPLETALK_HOST: Self = Self(0x18);
    /// NetBIOS.
    pub const NETBIOS: Self = Self(0x19);
    /// Vines SPP: a port.
    pub const VINES_SPP: Self = Self(0x1a);
    /// Vines IPC: a port.
    pub const VINES_IPC: Self = Self(0x1b);
    /// StreetTalk name of a Vines host.
    pub const STREETTALK: Self = Self(0x1c);
    /// RPC over HTTP: a port.
    pub const HTTP: Self = Self(0x1f);
    /// Unix domain socket: a path; in old Windows http towers an IPv4 address.
    pub const UNIX: Self = Self(0x20);
    /// Nothing.
    pub const NULL: Self = Self(0x21);
    /// A NetBIOS name.
    pub const NETBIOS_NAME: Self = Self(0x22);

    /// The protocol's name, if the octet has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::OSI_OID => "OSI OID",
            Self::OLD_NETBIOS_NAME => "old NetBIOS name",
            Self::DNA_SESSION => "DNA session control",
            Self::DNA_SESSION_V3 => "DNA session control V3",
            Self::DNA_NSP => "DNA NSP transport",
            Self::OSI_TP4 => "OSI TP4",
            Self::OSI_CLNS => "OSI CLNS",
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self::IP => "IP",
            Self::RPC_CONNECTIONLESS => "RPC connectionless",
            Self::RPC_CONNECTION_ORIENTED => "RPC connection-oriented",
            Self::RPC_LOCAL => "RPC local",
            Self::UUID => "UUID",
            Self::MS_IPX => "IPX port",
            Self::SMB_PIPE => "SMB named pipe",
            Self::LOCAL_PIPE => "local named pipe",
            Self::NETBIOS_HOST => "NetBIOS host",
            Self::NETBEUI => "NetBEUI",
            Self::SPX => "SPX",
            Self::IPX => "IPX",
            Self::APPLETALK_STREAM => "AppleTalk stream",
            Self::APPLETALK_DATAGRAM => "AppleTalk datagram",
            Self::APPLETALK_HOST => "AppleTalk host",
            Self::NETBIOS => "NetBIOS",
            Self::VINES_SPP => "Vines SPP",
            Self::VINES_IPC => "Vines IPC",
            Self::STREETTALK => "StreetTalk",
            Self::HTTP => "RPC over HTTP",
            Self::UNIX => "Unix domain socket",
            Self::NULL => "null",
            Self::NETBIOS_NAME => "NetBIOS name",
            _ => return None,
        })
    }
}

impl fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#04x})", self.0),
            None => write!(f, "unknown protocol {:#04x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_identifier_shows_its_number() {
        assert_eq!(ProtocolId::TCP.to_string(), "TCP (0x07)");
        assert_eq!(ProtocolId(0xff).to_string(), "unknown protocol 0xff");
    }

    #[test]
    fn every_identifier_of_the_list_has_a_name_of_its_own() {
        let names: Vec<_> = (0..=255).filter_map(|id| ProtocolId(id).name()).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!((names.len(), unique.len()), (32, 32));
    }
}
