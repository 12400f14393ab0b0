//! Protocol towers: how an interface is reached, floor by floor.
//!
//! Holds floors, towers and the table of protocol sequences; the text form and
//! the way between the two is in `binding`. A tower borrows its octets: its
//! floors are checked once, by `decode`, and iterated after. Lengths, counts,
//! UUIDs and versions are little-endian whatever the data representation of the
//! call says, ports and addresses are in network order. Nothing on the way of a
//! request (`decode`, `parts`, `shape`) allocates.

use super::drep::ByteOrder;
use super::input::{self, DecodeError, DecodeFault, Input, Parsed};
use super::output::Output;
use super::syntax::SyntaxId;
use std::net::Ipv4Addr;
use uuid::Uuid;

mod protocol;
mod sequence;

pub use protocol::ProtocolId;
pub(super) use sequence::{Form, Order};
pub use sequence::{ProtocolSequence, UnknownProtocolSequence};

/// One floor of a tower, its two sides as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Floor<'a> {
    /// The left-hand side: the protocol identifier, and what belongs to it.
    /// Not empty.
    pub lhs: &'a [u8],
    /// The right-hand side: port, address or name.
    pub rhs: &'a [u8],
}

impl<'a> Floor<'a> {
    /// The fewest octets of a floor: two counts and a protocol identifier.
    const MIN_LEN: usize = 5;

    /// Decodes one floor from the head of `input`.
    ///
    /// Layout: lhs count u16, lhs, rhs count u16, rhs; little-endian, no
    /// padding. Leaves the rest of the tower in the input.
    ///
    /// # Errors
    /// `Truncated` when a count runs past the input, `Value` when the lhs is
    /// empty and so names no protocol.
    ///
    /// # Source
    /// C706 appendix L.
    pub fn decode(input: Input<'a>) -> Parsed<'a, Floor<'a>> {
        let (i, count) = input::u16("lhs_count")(input)?;
        if count == 0 {
            return input.fail("lhs_count", DecodeFault::Value(0));
        }
        let (i, lhs) = input::octets("lhs", count.into())(i)?;
        let (i, count) = input::u16("rhs_count")(i)?;
        let (i, rhs) = input::octets("rhs", count.into())(i)?;
        Ok((i, Floor { lhs, rhs }))
    }

    /// Encodes it; `None` when a side is too long for its count, or names no
    /// protocol.
    fn encode(&self, out: &mut Output) -> Option<()> {
        self.lhs.first()?;
        out.u16(self.lhs.len().try_into().ok()?);
        out.octets(self.lhs);
        out.u16(self.rhs.len().try_into().ok()?);
        out.octets(self.rhs);
        Some(())
    }

    /// The protocol identifier.
    pub fn protocol(&self) -> ProtocolId {
        // A decoded floor has one; null stands for a hand-made floor without.
        self.lhs
            .first()
            .map_or(ProtocolId::NULL, |id| ProtocolId(*id))
    }

    /// The interface or syntax that floors 1 and 2 name.
    ///
    /// Layout: lhs 0x0d, uuid, major u16; rhs minor u16; little-endian.
    pub fn syntax(&self) -> Option<SyntaxId> {
        let lhs = self.lhs.strip_prefix(&[ProtocolId::UUID.0])?;
        let (uuid, major) = lhs.split_first_chunk()?;
        Some(SyntaxId {
            uuid: Uuid::from_bytes_le(*uuid),
            major: u16::from_le_bytes(major.try_into().ok()?),
            minor: u16::from_le_bytes(self.rhs.try_into().ok()?),
        })
    }

    /// The port, where the protocol has one and it is there.
    ///
    /// Not that of SPX, whose identifier is also that of local RPC on floor 3:
    /// `TowerParts::port` knows which of them it is.
    pub fn port(&self) -> Option<u16> {
        match self.protocol() {
            ProtocolId::TCP
            | ProtocolId::UDP
            | ProtocolId::MS_IPX
            | ProtocolId::VINES_SPP
            | ProtocolId::VINES_IPC
            | ProtocolId::HTTP => self.network_u16(),
            _ => None,
        }
    }

    /// The right-hand side read as a u16 in network order.
    fn network_u16(&self) -> Option<u16> {
        self.rhs.try_into().ok().map(u16::from_be_bytes)
    }

    /// The address of an IP floor.
    pub fn address(&self) -> Option<Ipv4Addr> {
        (self.protocol() == ProtocolId::IP)
            .then(|| self.network_address())
            .flatten()
    }

    /// The right-hand side read as an IPv4 address.
    fn network_address(&self) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(self.rhs).ok().map(Ipv4Addr::from)
    }

    /// The name, where the protocol has one, without its terminating NUL.
    pub fn text(&self) -> Option<&'a [u8]> {
        match self.protocol() {
            ProtocolId::OLD_NETBIOS_NAME
            | ProtocolId::SMB_PIPE
            | ProtocolId::LOCAL_PIPE
            | ProtocolId::NETBIOS_HOST
            | ProtocolId::APPLETALK_STREAM
            | ProtocolId::APPLETALK_DATAGRAM
            | ProtocolId::APPLETALK_HOST
            | ProtocolId::STREETTALK
            | ProtocolId::UNIX
            | ProtocolId::NETBIOS_NAME => Some(self.rhs.strip_suffix(&[0]).unwrap_or(self.rhs)),
            _ => None,
        }
    }
}

/// A tower: its octets, whose floors have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tower<'a> {
    /// The count, the floors and what follows them.
    octets: &'a [u8],
    /// Where the last floor ends.
    end: usize,
}

impl<'a> Tower<'a> {
    /// Decodes a tower that begins `octets`; more octets may follow it.
    ///
    /// Layout: floor count u16 little-endian, floors.
    ///
    /// # Errors
    /// `Limit` when there are more floors than the octets can hold, otherwise
    /// those of the floor that is wrong.
    ///
    /// # Source
    /// C706 appendix L.
    pub fn decode(octets: &'a [u8]) -> Result<Tower<'a>, DecodeError> {
        let input = Input::new(octets, ByteOrder::Little);
        let (mut rest, count) = input::u16("floor_count")(input)?;
        let limit = rest.left() / Floor::MIN_LEN;
        if usize::from(count) > limit {
            let [count, limit] = [count.into(), limit as u64];
            return Err(input.fault("floor_count", DecodeFault::Limit { count, limit }));
        }
        for _ in 0..count {
            (rest, _) = Floor::decode(rest)?;
        }
        let end = rest.offset();
        Ok(Tower { octets, end })
    }

    /// All octets, those behind the last floor included.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The octets behind the last floor.
    pub fn trailing(&self) -> &'a [u8] {
        self.octets.get(self.end..).unwrap_or_default()
    }

    /// The floors, top first.
    pub fn floors(&self) -> Floors<'a> {
        let octets = self.octets.get(2..self.end).unwrap_or_default();
        Floors { octets }
    }

    /// What the tower says.
    ///
    /// Lenient as requests of real clients are: right-hand sides below floor 3
    /// may be empty, and any floors below local RPC will do.
    ///
    /// # Errors
    /// `TooFewFloors`, `NoSyntax` where floors 1 or 2 name none, and
    /// `TooManyFloors`, so that a shape is of bounded size.
    ///
    /// # Source
    /// C706 appendix L; MS-RPCE 3.1.3.5.3 for a limit on floors.
    pub fn parts(&self) -> Result<TowerParts<'a>, TowerError> {
        let mut floors = self.floors();
        let [one, two, three] = [floors.next(), floors.next(), floors.next()];
        let (Some(one), Some(two), Some(three)) = (one, two, three) else {
            return Err(TowerError::TooFewFloors);
        };
        let interface = one.syntax().ok_or(TowerError::NoSyntax { floor: 1 })?;
        let transfer_syntax = two.syntax().ok_or(TowerError::NoSyntax { floor: 2 })?;
        let protocol = three.protocol();
        let shape = Shape::of(protocol, floors.clone())?;
        let mut parts = TowerParts {
            interface,
            transfer_syntax,
            protocol,
            protseq: shape.protseq(),
            address_offset: None,
            shape,
            lower: floors,
            endpoint_floor: None,
            address_floor: None,
        };
        parts.place_lower_floors(self.end);
        Ok(parts)
    }
}

/// The floors of a tower, top first.
#[derive(Clone, Debug)]
pub struct Floors<'a> {
    /// The octets that are left, from the head of a floor.
    octets: &'a [u8],
}

impl<'a> Iterator for Floors<'a> {
    type Item = Floor<'a>;

    fn next(&mut self) -> Option<Floor<'a>> {
        // `Tower::decode` has been through these octets with names for every
        // error; here there is none left, and this is several times faster.
        let (lhs, rest) = split_side(self.octets)?;
        let (rhs, rest) = split_side(rest)?;
        self.octets = rest;
        Some(Floor { lhs, rhs })
    }
}

/// Splits a side of a floor, with its count before it, from what follows.
fn split_side(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*count).into())
}

/// Why a tower says nothing, or cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TowerError {
    /// Interface, transfer syntax and RPC protocol are not all there.
    #[error("a tower needs at least three floors")]
    TooFewFloors,
    /// More floors than a shape holds.
    #[error("a tower of more than {} floors is not taken", 2 + MAX_PROTOCOLS)]
    TooManyFloors,
    /// Floor 1 or 2 is not a UUID floor of 19 octets with a minor version.
    #[error("floor {floor} names no interface or transfer syntax")]
    NoSyntax {
        /// The floor, from 1.
        floor: u8,
    },
    /// A floor with a side above 65535 octets or without protocol, or more
    /// than 65535 floors.
    #[error("floor {floor} cannot be written: a side is empty or too long")]
    Unwritable {
        /// The floor, from 1.
        floor: usize,
    },
}

/// What a tower says, floor by floor.
#[derive(Clone, Debug)]
pub struct TowerParts<'a> {
    /// Floor 1.
    pub interface: SyntaxId,
    /// Floor 2.
    pub transfer_syntax: SyntaxId,
    /// Floor 3: the RPC protocol. Its minor version is not looked at.
    pub protocol: ProtocolId,
    /// The protocol sequence, where it is one of the table.
    pub protseq: Option<ProtocolSequence>,
    /// Where in the tower's octets the 4 octets of its IPv4 address stand.
    pub address_offset: Option<usize>,
    /// What `shape` tells.
    shape: Shape,
    /// The floors from 4 down.
    lower: Floors<'a>,
    /// The floor of the endpoint, where the protocol sequence is known.
    endpoint_floor: Option<Floor<'a>>,
    /// The floor of the address, likewise.
    address_floor: Option<Floor<'a>>,
}

impl<'a> TowerParts<'a> {
    /// The floors from 4 down.
    pub fn lower(&self) -> Floors<'a> {
        self.lower.clone()
    }

    /// What two towers must share to be of one protocol sequence.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The port, where the protocol sequence has one and it is there.
    pub fn port(&self) -> Option<u16> {
        let form = self.protseq?.row().endpoint.form;
        (form == Form::Port)
            .then(|| self.endpoint_floor?.network_u16())
            .flatten()
    }

    /// The IPv4 address, where the protocol sequence has one and it is there.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.address_offset?;
        self.address_floor?.network_address()
    }

    /// The endpoint's and the address's right-hand side, where there are such
    /// floors.
    pub fn sides(&self) -> [Option<&'a [u8]>; 2] {
        [self.endpoint_floor, self.address_floor].map(|floor| floor.map(|floor| floor.rhs))
    }

    /// Finds the floors of endpoint and address in a tower whose floors end at
    /// `end`.
    fn place_lower_floors(&mut self, end: usize) {
        let Some(row) = self.protseq.map(ProtocolSequence::row) else {
            return;
        };
        let mut floors = self.lower();
        while let Some(floor) = floors.next() {
            if row.endpoint.takes(floor.protocol()) {
                self.endpoint_floor = Some(floor);
            } else if let Some(slot) = row.address
                && slot.takes(floor.protocol())
            {
                self.address_floor = Some(floor);
                if slot.form == Form::Ipv4 && floor.rhs.len() == 4 {
                    self.address_offset = end.checked_sub(floors.octets.len() + 4);
                }
            }
        }
    }
}

/// The most protocols that a shape holds, from floor 3 down.
const MAX_PROTOCOLS: usize = 8;

/// What two towers must share to be of one protocol sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// One of the table.
    Known(ProtocolSequence),
    /// Another: its protocol identifiers.
    Other(Protocols),
}

impl Shape {
    /// The shape of a tower with `protocol` on floor 3 and `lower` below it.
    fn of(protocol: ProtocolId, lower: Floors) -> Result<Shape, TowerError> {
        let mut protocols = Protocols::new(protocol);
        for floor in lower {
            protocols.push(floor.protocol())?;
        }
        let known = ProtocolSequence::of(protocols.as_slice());
        Ok(known.map_or(Shape::Other(protocols), Shape::Known))
    }

    /// The protocol sequence, where it is one of the table.
    pub fn protseq(self) -> Option<ProtocolSequence> {
        match self {
            Shape::Known(protseq) => Some(protseq),
            Shape::Other(_) => None,
        }
    }
}

/// The protocol identifiers of a tower from floor 3 down: 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocols {
    /// The identifiers; null behind the last one, so that equal means equal.
    ids: [ProtocolId; MAX_PROTOCOLS],
    /// How many there are.
    count: u8,
}

impl Protocols {
    /// Floor 3 alone.
    fn new(protocol: ProtocolId) -> Self {
        let mut ids = [ProtocolId::NULL; MAX_PROTOCOLS];
        ids[0] = protocol;
        Protocols { ids, count: 1 }
    }

    /// Adds the next floor's.
    fn push(&mut self, protocol: ProtocolId) -> Result<(), TowerError> {
        let place = self.ids.get_mut(usize::from(self.count));
        *place.ok_or(TowerError::TooManyFloors)? = protocol;
        self.count += 1;
        Ok(())
    }

    /// The identifiers, floor 3 first.
    pub fn as_slice(&self) -> &[ProtocolId] {
        self.ids.get(..usize::from(self.count)).unwrap_or_default()
    }
}

/// A tower that owns its octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TowerBuf {
    /// As `Tower::octets`.
    octets: Box<[u8]>,
    /// As `Tower::end`.
    end: usize,
}

impl TowerBuf {
    /// Builds a tower of `floors`, top first.
    ///
    /// # Errors
    /// `Unwritable` when a side is longer than 65535 octets or a floor without
    /// protocol, or when there are more than 65535 floors.
    pub fn from_floors<'f>(
        floors: impl IntoIterator<Item = Floor<'f>>,
    ) -> Result<TowerBuf, TowerError> {
        let mut octets = Vec::new();
        let mut out = Output::new(&mut octets, ByteOrder::Little);
        out.u16(0);
        let mut count = 0u16;
        for (floor, place) in floors.into_iter().zip(1..) {
            let unwritable = TowerError::Unwritable { floor: place };
            floor.encode(&mut out).ok_or(unwritable)?;
            count = count.checked_add(1).ok_or(unwritable)?;
        }
        out.patch_u16(0, count);
        let end = octets.len();
        let octets = octets.into();
        Ok(TowerBuf { octets, end })
    }

    /// Decodes a tower and keeps its octets.
    ///
    /// # Errors
    /// Those of `Tower::decode`.
    pub fn decode(octets: impl Into<Box<[u8]>>) -> Result<TowerBuf, DecodeError> {
        let octets = octets.into();
        let end = Tower::decode(&octets)?.end;
        Ok(TowerBuf { octets, end })
    }

    /// The tower, borrowed.
    pub fn as_tower(&self) -> Tower<'_> {
        let octets = &self.octets;
        let end = self.end;
        Tower { octets, end }
    }

    /// All octets, those behind the last floor included.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl From<Tower<'_>> for TowerBuf {
    fn from(tower: Tower) -> Self {
        TowerBuf {
            octets: tower.octets.into(),
            end: tower.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::uuid;

    /// lsarpc over TCP, port 49664, 192.0.2.10.
    const TCP: [u8; 75] = [
        5, 0, // floor_count
        19, 0, 0x0d, // floor 1: lhs count, UUID
        0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, // uuid
        0xef, 0, 1, 0x23, 0x45, 0x67, 0x89, 0xab, //
        0, 0, // major
        2, 0, 0, 0, // rhs count, minor
        19, 0, 0x0d, // floor 2
        0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, // NDR
        0x9f, 0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60, //
        2, 0, // major
        2, 0, 0, 0, // minor
        1, 0, 0x0b, 2, 0, 0, 0, // floor 3: connection-oriented
        1, 0, 0x07, 2, 0, 0xc2, 0, // floor 4: TCP, port
        1, 0, 0x09, 4, 0, 192, 0, 2, 10, // floor 5: IP, address
    ];
    const LSARPC: SyntaxId = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ab"), 0, 0);

    /// A tower of the usual floors 1 and 2 and of `lower`: protocol and rhs.
    fn tower(lower: &[(u8, &[u8])]) -> TowerBuf {
        let head = Tower::decode(&TCP).unwrap().floors().take(2);
        let lower = lower.iter().map(|(id, rhs)| Floor {
            lhs: std::slice::from_ref(id),
            rhs,
        });
        TowerBuf::from_floors(head.chain(lower)).unwrap()
    }

    #[test]
    fn parts_of_a_tcp_tower() {
        let tower = Tower::decode(&TCP).unwrap();
        let parts = tower.parts().unwrap();
        assert_eq!(parts.interface, LSARPC);
        assert_eq!(parts.transfer_syntax, SyntaxId::NDR);
        assert_eq!(parts.protocol, ProtocolId::RPC_CONNECTION_ORIENTED);
        assert_eq!(parts.shape(), Shape::Known(ProtocolSequence::NcacnIpTcp));
        assert_eq!(parts.port(), Some(49664));
        assert_eq!(parts.address(), Some(Ipv4Addr::new(192, 0, 2, 10)));
        assert_eq!(parts.address_offset, Some(71));
        let lower: Vec<_> = parts.lower().collect();
        assert_eq!(lower[0].port(), Some(49664));
        assert_eq!(lower[1].address(), parts.address());
    }

    #[test]
    fn octets_behind_the_last_floor_are_told() {
        let mut octets = TCP.to_vec();
        octets.extend([1, 2]);
        let tower = Tower::decode(&octets).unwrap();
        assert_eq!(tower.trailing(), [1, 2]);
        assert_eq!(tower.octets(), octets);
        assert_eq!(tower.floors().count(), 5);
        assert_eq!(Tower::decode(&TCP).unwrap().trailing(), [0u8; 0]);
    }

    #[test]
    fn a_count_beyond_the_octets_is_refused() {
        let error = Tower::decode(&[0xff, 0xff, 1, 0, 7, 0, 0]).unwrap_err();
        let fault = DecodeFault::Limit {
            count: 65535,
            limit: 1,
        };
        assert_eq!((error.field, error.fault), ("floor_count", fault));
    }

    #[test]
    fn a_side_beyond_the_octets_is_refused_where_it_is() {
        let octets = [1, 0, 1, 0, 7, 3, 0, 1, 2];
        let error = Tower::decode(&octets).unwrap_err();
        assert_eq!((error.offset, error.field), (7, "rhs"));
    }

    #[test]
    fn a_floor_without_protocol_is_refused() {
        let octets = [1, 0, 0, 0, 2, 0, 1, 2];
        let error = Tower::decode(&octets).unwrap_err();
        assert_eq!((error.offset, error.field), (2, "lhs_count"));
    }

    #[test]
    fn two_floors_say_nothing() {
        let error = tower(&[]).as_tower().parts().unwrap_err();
        assert_eq!(error, TowerError::TooFewFloors);
    }

    #[test]
    fn floors_above_floor_three_must_name_a_syntax() {
        let floors: Vec<_> = Tower::decode(&TCP).unwrap().floors().collect();
        let other = [floors[0], floors[2], floors[3]];
        let tower = TowerBuf::from_floors(other).unwrap();
        let error = tower.as_tower().parts().unwrap_err();
        assert_eq!(error, TowerError::NoSyntax { floor: 2 });
    }

    #[test]
    fn empty_sides_still_tell_the_sequence() {
        // Titanis asks with an empty pipe and host.
        let np = tower(&[(0x0b, &[0, 0]), (0x0f, &[]), (0x11, &[])]);
        let shape = np.as_tower().parts().unwrap().shape();
        assert_eq!(shape, Shape::Known(ProtocolSequence::NcacnNp));
        let tcp = tower(&[(0x0b, &[0, 0]), (0x07, &[]), (0x09, &[])]);
        let parts = tcp.as_tower().parts().unwrap();
        assert_eq!(parts.shape(), Shape::Known(ProtocolSequence::NcacnIpTcp));
        assert_eq!((parts.port(), parts.address()), (None, None));
        assert_eq!(parts.address_offset, None);
    }

    #[test]
    fn a_dummy_floor_below_local_rpc_is_taken() {
        for dummy in [0xff, 0x10] {
            let local = tower(&[(0x0c, &[0, 0]), (dummy, &[])]);
            let shape = local.as_tower().parts().unwrap().shape();
            assert_eq!(shape, Shape::Known(ProtocolSequence::Ncalrpc));
        }
    }

    #[test]
    fn an_old_http_tower_has_an_address() {
        let http = tower(&[
            (0x0b, &[0, 0]),
            (0x1f, &[2, 0x51]),
            (0x20, &[192, 0, 2, 10]),
        ]);
        let parts = http.as_tower().parts().unwrap();
        assert_eq!(parts.protseq, Some(ProtocolSequence::NcacnHttp));
        assert_eq!(parts.address(), Some(Ipv4Addr::new(192, 0, 2, 10)));
        assert_eq!((parts.port(), parts.address_offset), (Some(593), Some(71)));
    }

    #[test]
    fn unknown_sequences_compare_by_their_protocols() {
        let shape = |lower: &[(u8, &[u8])]| tower(lower).as_tower().parts().unwrap().shape();
        let nsp = shape(&[(0x0b, &[0, 0]), (0x02, b"a"), (0x04, b""), (0x06, b"b")]);
        assert_eq!(nsp.protseq(), None);
        assert_eq!(
            nsp,
            shape(&[(0x0b, &[]), (0x02, b""), (0x04, b""), (0x06, b"")])
        );
        assert_ne!(nsp, shape(&[(0x0b, &[]), (0x02, b""), (0x04, b"")]));
        assert_ne!(
            nsp,
            shape(&[(0x0a, &[]), (0x02, b""), (0x04, b""), (0x06, b"")])
        );
    }

    #[test]
    fn more_floors_than_a_shape_holds_are_refused() {
        let parts = |count| {
            tower(&vec![(0x21, &[][..]); count])
                .as_tower()
                .parts()
                .err()
        };
        assert_eq!(parts(MAX_PROTOCOLS), None);
        assert_eq!(parts(MAX_PROTOCOLS + 1), Some(TowerError::TooManyFloors));
    }

    #[test]
    fn a_floor_text_loses_one_nul() {
        let floor = |rhs| Floor { lhs: &[0x0f], rhs };
        assert_eq!(floor(b"\\pipe\\a\0").text(), Some(&b"\\pipe\\a"[..]));
        assert_eq!(floor(b"a\0\0").text(), Some(&b"a\0"[..]));
        assert_eq!(floor(b"").text(), Some(&b""[..]));
        assert_eq!(
            Floor {
                lhs: &[7],
                rhs: b"ab"
            }
            .text(),
            None
        );
    }

    #[test]
    fn a_floor_too_long_for_its_count_is_not_written() {
        let long = vec![0; 65536];
        let floor = Floor {
            lhs: &[7],
            rhs: &long,
        };
        let error = TowerBuf::from_floors([floor]).unwrap_err();
        assert_eq!(error, TowerError::Unwritable { floor: 1 });
        let floor = Floor { lhs: &[], rhs: &[] };
        assert!(TowerBuf::from_floors([floor]).is_err());
    }

    #[test]
    fn floors_make_the_same_tower_again() {
        let again = TowerBuf::from_floors(Tower::decode(&TCP).unwrap().floors()).unwrap();
        assert_eq!(again.octets(), TCP);
    }
}
