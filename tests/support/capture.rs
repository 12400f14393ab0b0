//! Capture files to PDUs, for tests only: pcap and pcapng, Ethernet, TCP.
//!
//! Retransmissions are dropped, segments that come early are held back.
//! Connections with a segment missing are told and give no PDUs.

use epmapper::wire::pdu::Header;
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// What one capture file holds.
#[derive(Default)]
pub struct Capture {
    /// The PDUs in the order in which they were complete.
    pub pdus: Vec<CapturedPdu>,
    /// The connection that each frame with TCP belongs to.
    pub connections: HashMap<u32, usize>,
    /// The connections that have a gap.
    pub gaps: BTreeSet<usize>,
}

/// One PDU as it was captured.
pub struct CapturedPdu {
    /// The frame that completed it, from 1.
    pub frame: u32,
    /// Which connection of the capture, from 0.
    pub connection: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Who got it.
    pub to: SocketAddr,
    /// The PDU.
    pub octets: Vec<u8>,
}

/// One TCP segment.
struct Segment {
    frame: u32,
    from: SocketAddr,
    to: SocketAddr,
    sequence: u32,
    syn: bool,
    ack: bool,
    fin: bool,
    payload: Vec<u8>,
}

/// What was seen of one direction of a connection.
#[derive(Default)]
struct Direction {
    connection: usize,
    /// The next octet's number; none before the first segment.
    next: Option<u32>,
    /// Segments that came early, by how far from `next` they were sent.
    early: Vec<(u32, Vec<u8>)>,
    /// Octets in order that no PDU was cut from yet.
    octets: Vec<u8>,
}

/// Reads a whole capture file.
pub fn read(path: &Path) -> Capture {
    let mut capture = Capture::default();
    let mut directions = BTreeMap::<(SocketAddr, SocketAddr), Direction>::new();
    let mut count = 0;
    for segment in segments(path) {
        let key = (segment.from, segment.to);
        let opens = segment.syn && !segment.ack;
        if opens || !directions.contains_key(&key) {
            for key in [key, (segment.to, segment.from)] {
                capture.close(directions.remove(&key));
                let connection = count;
                directions.insert(
                    key,
                    Direction {
                        connection,
                        ..Direction::default()
                    },
                );
            }
            count += 1;
        }
        let direction = directions.get_mut(&key).unwrap();
        capture
            .connections
            .insert(segment.frame, direction.connection);
        direction.take(&segment);
        while let Some(octets) = direction.cut() {
            capture.pdus.push(CapturedPdu {
                frame: segment.frame,
                connection: direction.connection,
                from: segment.from,
                to: segment.to,
                octets,
            });
        }
    }
    for direction in directions.into_values() {
        capture.close(Some(direction));
    }
    let gaps = &capture.gaps;
    capture.pdus.retain(|pdu| !gaps.contains(&pdu.connection));
    capture
}

impl Capture {
    /// Notes whether a direction that has ended has a gap.
    fn close(&mut self, direction: Option<Direction>) {
        if let Some(direction) = direction
            && !direction.early.is_empty()
        {
            self.gaps.insert(direction.connection);
        }
    }
}

impl Direction {
    /// Puts a segment where it belongs.
    fn take(&mut self, segment: &Segment) {
        let first = segment.sequence.wrapping_add(u32::from(segment.syn));
        if segment.syn || self.next.is_none() {
            self.next = Some(first);
        }
        if !segment.payload.is_empty() || segment.fin {
            self.early.push((first, segment.payload.clone()));
        }
        while let Some(place) = self
            .early
            .iter()
            .position(|(first, _)| self.past(*first).is_some())
        {
            let (first, payload) = self.early.swap_remove(place);
            let new = payload.get(self.past(first).unwrap()..).unwrap_or(&[]);
            self.octets.extend(new);
            self.next = self.next.map(|next| next.wrapping_add(new.len() as u32));
        }
    }

    /// How many octets from `first` on are there already; none when some before
    /// it are missing.
    fn past(&self, first: u32) -> Option<usize> {
        let distance = self.next?.wrapping_sub(first);
        (distance < 1 << 31).then_some(distance as usize)
    }

    /// Takes the next PDU, if the octets at the head are one and it is whole.
    fn cut(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(Header::peek_frag_length(&self.octets)?);
        let is_pdu = self.octets[0] == 5 && length >= Header::LEN;
        (is_pdu && self.octets.len() >= length).then(|| self.octets.drain(..length).collect())
    }
}

/// The TCP segments of a capture file, in its order.
fn segments(path: &Path) -> Vec<Segment> {
    let file = std::fs::File::open(path).unwrap();
    let mut reader = create_reader(1 << 20, file).unwrap();
    let mut frame = 0;
    let mut segments = Vec::new();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                if let Some(octets) = packet(&block) {
                    frame += 1;
                    segments.extend(segment(frame, octets));
                }
                reader.consume(length);
            }
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(PcapError::Eof) => return segments,
            Err(error) => panic!("{}: {error:?}", path.display()),
        }
    }
}

/// The packet of a block that has one.
fn packet<'a>(block: &'a PcapBlockOwned) -> Option<&'a [u8]> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            assert_eq!(header.network, Linktype::ETHERNET);
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            assert_eq!(interface.linktype, Linktype::ETHERNET);
            None
        }
        PcapBlockOwned::Legacy(block) => Some(block.data),
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => Some(block.packet_data()),
        PcapBlockOwned::NG(Block::SimplePacket(block)) => Some(block.packet_data()),
        PcapBlockOwned::NG(_) => None,
    }
}

/// The TCP segment of an Ethernet frame, if it holds one.
fn segment(frame: u32, octets: &[u8]) -> Option<Segment> {
    let packet = LaxSlicedPacket::from_ethernet(octets).ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        LaxNetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        LaxNetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        _ => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        return None;
    };
    Some(Segment {
        frame,
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        syn: tcp.syn(),
        ack: tcp.ack(),
        fin: tcp.fin(),
        payload: tcp.payload().to_vec(),
    })
}
