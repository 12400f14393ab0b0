//! Protocol sequences: the one table of how each is written in a tower.

use super::protocol::ProtocolId;
use std::fmt;
use std::str::FromStr;

/// A protocol sequence: an RPC protocol over a transport.
///
/// # Source
/// C706 appendices B and I; MS-RPCE 2.1; the floors as Samba, impacket and tshark
/// have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProtocolSequence {
    /// TCP.
    NcacnIpTcp,
    /// UDP.
    NcadgIpUdp,
    /// Named pipes over SMB.
    NcacnNp,
    /// Local RPC.
    Ncalrpc,
    /// RPC over HTTP.
    NcacnHttp,
    /// Unix stream sockets.
    NcacnUnixStream,
    /// Unix datagram sockets.
    NcadgUnixDgram,
    /// AppleTalk stream.
    NcacnAtDsp,
    /// AppleTalk datagram.
    NcadgAtDdp,
    /// Vines SPP.
    NcacnVnsSpp,
    /// Vines IPC.
    NcacnVnsIpc,
    /// IPX.
    NcadgIpx,
    /// SPX.
    NcacnSpx,
}

impl ProtocolSequence {
    /// Every protocol sequence of the table.
    pub fn all() -> impl Iterator<Item = ProtocolSequence> {
        TABLE.iter().map(|row| row.protseq)
    }

    /// The protocol sequence of a tower with `protocols` from floor 3 down.
    pub(super) fn of(protocols: &[ProtocolId]) -> Option<ProtocolSequence> {
        let (rpc, lower) = protocols.split_first()?;
        let row = TABLE.iter().find(|row| row.reads(*rpc, lower))?;
        Some(row.protseq)
    }

    /// Its name, as in a string binding.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How it is written in a tower.
    pub(in crate::wire) fn row(self) -> &'static Row {
        // The table is in the order of the variants; a test holds it to that.
        &TABLE[self as usize]
    }
}

impl fmt::Display for ProtocolSequence {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ProtocolSequence {
    type Err = UnknownProtocolSequence;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let name = match name {
            "ncacn_vns_ssp" => "ncacn_vns_spp", // as Samba spells it
            name => name,
        };
        let row = TABLE.iter().find(|row| row.name == name);
        row.map(|row| row.protseq).ok_or(UnknownProtocolSequence)
    }
}

/// The name of no protocol sequence of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such protocol sequence: use one of {}", names())]
pub struct UnknownProtocolSequence;

/// The names of all protocol sequences, for a message.
fn names() -> String {
    TABLE.map(|row| row.name).join(", ")
}

/// How one protocol sequence is written in a tower.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Row {
    /// The protocol sequence.
    protseq: ProtocolSequence,
    /// Its name.
    name: &'static str,
    /// Floor 3.
    pub(in crate::wire) rpc: ProtocolId,
    /// The floor of the endpoint.
    pub(in crate::wire) endpoint: Slot,
    /// The floor of the address.
    pub(in crate::wire) address: Option<Slot>,
    /// How endpoint and address stand.
    pub(in crate::wire) order: Order,
}

/// A floor that a protocol sequence has.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Slot {
    /// Its protocol, which is written.
    pub(in crate::wire) id: ProtocolId,
    /// Another that is read in its place.
    also: Option<ProtocolId>,
    /// What its right-hand side holds.
    pub(in crate::wire) form: Form,
}

/// What a right-hand side holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Form {
    /// A port, u16 in network order.
    Port,
    /// An IPv4 address in network order.
    Ipv4,
    /// Text with a NUL.
    Text,
    /// A host name with two backslashes before and a NUL behind.
    Host,
    /// An IPX network and node, 10 octets.
    Ipx,
}

/// How the floors of endpoint and address stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Order {
    /// The endpoint, then the address, as C706 appendix L has it.
    Usual,
    /// Likewise, but the address may be missing: Samba writes none for IPX,
    /// impacket expects one.
    AddressOptional,
    /// The address, then the endpoint, as Samba writes AppleTalk and Vines
    /// towers. The order of C706 is read as well.
    AddressFirst,
    /// Local: any floors below floor 3 will do, none too, since PythonForWindows
    /// asks with an empty floor of protocol 0xff or 0x10.
    Any,
}

/// Every protocol sequence, in the order of the variants.
#[rustfmt::skip]
const TABLE: [Row; 13] = {
    use Form::{Host, Ipv4, Ipx, Port, Text};
    use Order::{AddressFirst, AddressOptional, Any, Usual};
    use ProtocolId as Id;
    use ProtocolSequence::*;
    const CO: ProtocolId = ProtocolId::RPC_CONNECTION_ORIENTED;
    const CL: ProtocolId = ProtocolId::RPC_CONNECTIONLESS;
    // Windows of 2003 or so writes the address of http as 0x20: win-exchange-mapi.pcap.
    const WEB: Slot = Slot { also: Some(Id::UNIX), ..slot(Id::IP, Ipv4) };
    [
        row(NcacnIpTcp, "ncacn_ip_tcp", CO, slot(Id::TCP, Port), Some(slot(Id::IP, Ipv4)), Usual),
        row(NcadgIpUdp, "ncadg_ip_udp", CL, slot(Id::UDP, Port), Some(slot(Id::IP, Ipv4)), Usual),
        row(NcacnNp, "ncacn_np", CO, slot(Id::SMB_PIPE, Text), Some(slot(Id::NETBIOS_HOST, Host)), Usual),
        row(Ncalrpc, "ncalrpc", Id::RPC_LOCAL, slot(Id::LOCAL_PIPE, Text), None, Any),
        row(NcacnHttp, "ncacn_http", CO, slot(Id::HTTP, Port), Some(WEB), Usual),
        row(NcacnUnixStream, "ncacn_unix_stream", CO, slot(Id::UNIX, Text), None, Usual),
        row(NcadgUnixDgram, "ncadg_unix_dgram", CL, slot(Id::UNIX, Text), None, Usual),
        row(NcacnAtDsp, "ncacn_at_dsp", CO, slot(Id::APPLETALK_STREAM, Text), Some(slot(Id::APPLETALK_HOST, Text)), AddressFirst),
        row(NcadgAtDdp, "ncadg_at_ddp", CL, slot(Id::APPLETALK_DATAGRAM, Text), Some(slot(Id::APPLETALK_HOST, Text)), AddressFirst),
        row(NcacnVnsSpp, "ncacn_vns_spp", CO, slot(Id::VINES_SPP, Port), Some(slot(Id::STREETTALK, Text)), AddressFirst),
        row(NcacnVnsIpc, "ncacn_vns_ipc", CO, slot(Id::VINES_IPC, Port), Some(slot(Id::STREETTALK, Text)), AddressFirst),
        row(NcadgIpx, "ncadg_ipx", CL, slot(Id::MS_IPX, Port), Some(slot(Id::UUID, Ipx)), AddressOptional),
        row(NcacnSpx, "ncacn_spx", CO, slot(Id::RPC_LOCAL, Port), Some(slot(Id::UUID, Ipx)), AddressOptional),
    ]
};

/// A row of the table.
const fn row(
    protseq: ProtocolSequence,
    name: &'static str,
    rpc: ProtocolId,
    endpoint: Slot,
    address: Option<Slot>,
    order: Order,
) -> Row {
    Row {
        protseq,
        name,
        rpc,
        endpoint,
        address,
        order,
    }
}

/// A floor of one protocol.
const fn slot(id: ProtocolId, form: Form) -> Slot {
    let also = None;
    Slot { id, also, form }
}

impl Row {
    /// Whether a tower with `rpc` on floor 3 and `lower` below is of this
    /// sequence.
    fn reads(&self, rpc: ProtocolId, lower: &[ProtocolId]) -> bool {
        if rpc != self.rpc {
            return false;
        }
        match (self.order, self.address, lower) {
            (Order::Any, ..) => true,
            (Order::AddressOptional, _, [one]) | (_, None, [one]) => self.endpoint.takes(*one),
            (order, Some(address), [one, two]) => {
                let stand = |one, two| self.endpoint.takes(one) && address.takes(two);
                stand(*one, *two) || order == Order::AddressFirst && stand(*two, *one)
            }
            _ => false,
        }
    }
}

impl Slot {
    /// Whether a floor of protocol `id` stands in this place.
    pub(super) fn takes(&self, id: ProtocolId) -> bool {
        self.id == id || self.also == Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.protseq as usize, place);
            assert_eq!(row.name.parse(), Ok(row.protseq));
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = "ncacn_ip".parse::<ProtocolSequence>().unwrap_err();
        assert!(error.to_string().contains("ncacn_ip_tcp, ncadg_ip_udp"));
    }

    #[test]
    fn sambas_spelling_of_vines_is_read() {
        let read = "ncacn_vns_ssp".parse();
        assert_eq!(read, Ok(ProtocolSequence::NcacnVnsSpp));
    }

    #[test]
    fn protocols_below_floor_two_tell_the_sequence() {
        use ProtocolSequence::*;
        let known: &[(&[u8], ProtocolSequence)] = &[
            (&[0x0b, 0x07, 0x09], NcacnIpTcp),
            (&[0x0a, 0x08, 0x09], NcadgIpUdp),
            (&[0x0b, 0x0f, 0x11], NcacnNp),
            (&[0x0c, 0x10], Ncalrpc),
            (&[0x0c], Ncalrpc),
            (&[0x0c, 0xff], Ncalrpc),
            (&[0x0b, 0x1f, 0x09], NcacnHttp),
            (&[0x0b, 0x1f, 0x20], NcacnHttp),
            (&[0x0b, 0x20], NcacnUnixStream),
            (&[0x0a, 0x20], NcadgUnixDgram),
            (&[0x0b, 0x18, 0x16], NcacnAtDsp),
            (&[0x0b, 0x16, 0x18], NcacnAtDsp),
            (&[0x0a, 0x18, 0x17], NcadgAtDdp),
            (&[0x0b, 0x1c, 0x1a], NcacnVnsSpp),
            (&[0x0b, 0x1c, 0x1b], NcacnVnsIpc),
            (&[0x0a, 0x0e], NcadgIpx),
            (&[0x0a, 0x0e, 0x0d], NcadgIpx),
            (&[0x0b, 0x0c, 0x0d], NcacnSpx),
        ];
        for (ids, protseq) in known {
            assert_eq!(
                ProtocolSequence::of(&protocols(ids)),
                Some(*protseq),
                "{ids:x?}"
            );
        }
    }

    #[test]
    fn other_protocols_are_of_no_sequence() {
        let unknown: &[&[u8]] = &[
            &[],
            &[0x0b],
            &[0x0b, 0x07],
            &[0x0b, 0x09, 0x07],
            &[0x0a, 0x07, 0x09],
            &[0x0b, 0x07, 0x09, 0x21],
            &[0x0b, 0x02, 0x04, 0x06],
        ];
        for ids in unknown {
            assert_eq!(ProtocolSequence::of(&protocols(ids)), None, "{ids:x?}");
        }
    }

    fn protocols(ids: &[u8]) -> Vec<ProtocolId> {
        ids.iter().copied().map(ProtocolId).collect()
    }
}
