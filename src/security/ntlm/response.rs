//! What an NTLMv2 response carries beside the proof, and the AV pairs in it and
//! in a CHALLENGE message.

use super::names::to_utf16;
use crate::proto::SecurityError;

/// What an AV pair tells.
///
/// # Source
/// MS-NLMP 2.2.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AvId(pub u16);

impl AvId {
    /// Nothing: the list ends.
    pub const END: Self = AvId(0);
    /// The server's NetBIOS name.
    pub const HOST: Self = AvId(1);
    /// The server's NetBIOS domain.
    pub const DOMAIN: Self = AvId(2);
    /// The server's DNS name.
    pub const DNS_HOST: Self = AvId(3);
    /// The server's DNS domain.
    pub const DNS_DOMAIN: Self = AvId(4);
    /// The forest.
    pub const DNS_TREE: Self = AvId(5);
    /// What the client does, a u32 of bits.
    pub const FLAGS: Self = AvId(6);
    /// The server's time, in units of 100 ns since 1601.
    pub const TIME: Self = AvId(7);
    /// About the client's host.
    pub const SINGLE_HOST: Self = AvId(8);
    /// The service that the client means.
    pub const TARGET: Self = AvId(9);
    /// The channel around.
    pub const CHANNEL_BINDINGS: Self = AvId(10);
}

/// The bit of `AvId::FLAGS` that announces a MIC.
const HAS_MIC: u32 = 2;

/// A list of AV pairs that was read to its end.
///
/// Layout: id u16, length u16, value; the last has the id 0. What stands behind
/// that is no part of it, and neither is that pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvPairs<'a>(&'a [u8]);

impl<'a> AvPairs<'a> {
    /// Reads a list; no octets are the empty one.
    ///
    /// # Errors
    /// `Token` when a pair runs past the octets, or no last one comes.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        const ERROR: SecurityError = SecurityError::Token("a list of AV pairs is cut short");
        let mut rest = octets;
        while !rest.is_empty() {
            let (id, _, behind) = pair(rest).ok_or(ERROR)?;
            if id == AvId::END {
                return Ok(AvPairs(&octets[..octets.len() - rest.len()]));
            }
            rest = behind;
        }
        match octets {
            [] => Ok(AvPairs(octets)),
            _ => Err(ERROR),
        }
    }

    /// The pairs before the last.
    pub fn iter(self) -> impl Iterator<Item = (AvId, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (id, value, behind) = pair(rest)?;
            rest = behind;
            (id != AvId::END).then_some((id, value))
        })
    }

    /// The value of the first pair of an id.
    pub fn get(self, id: AvId) -> Option<&'a [u8]> {
        self.iter()
            .find(|(found, _)| *found == id)
            .map(|(_, value)| value)
    }

    /// The server's time.
    pub fn time(self) -> Option<u64> {
        let octets = self.get(AvId::TIME)?.try_into().ok()?;
        Some(u64::from_le_bytes(octets))
    }

    /// Whether a MIC is announced, by any pair of flags.
    pub fn has_mic(self) -> bool {
        let flags = self.iter().filter(|(id, _)| *id == AvId::FLAGS);
        flags
            .filter_map(|(_, value)| value.try_into().ok())
            .any(|value| u32::from_le_bytes(value) & HAS_MIC != 0)
    }
}

/// The first pair, and what stands behind it.
fn pair(octets: &[u8]) -> Option<(AvId, &[u8], &[u8])> {
    let (id, rest) = octets.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((AvId(u16::from_le_bytes(*id)), value, rest))
}

/// A list of AV pairs that is being written.
#[derive(Debug, Default)]
pub struct AvWriter(Vec<u8>);

impl AvWriter {
    /// Adds a pair; one that is too long for its length is left out.
    pub fn add(&mut self, id: AvId, value: &[u8]) {
        if let Ok(length) = u16::try_from(value.len()) {
            self.0.extend(id.0.to_le_bytes());
            self.0.extend(length.to_le_bytes());
            self.0.extend(value);
        }
    }

    /// Adds a name, unless it is empty.
    pub fn add_name(&mut self, id: AvId, name: &str) {
        if !name.is_empty() {
            self.add(id, &to_utf16(name));
        }
    }

    /// Ends the list.
    pub fn finish(mut self) -> Vec<u8> {
        self.add(AvId::END, &[]);
        self.0
    }
}

/// What a client tells of a server back to it, with the announcement of a MIC.
pub fn announcing_mic(info: AvPairs) -> Vec<u8> {
    let mut writer = AvWriter::default();
    let told = info
        .get(AvId::FLAGS)
        .and_then(|value| value.try_into().ok());
    let flags = told.map_or(0, u32::from_le_bytes) | HAS_MIC;
    for (id, value) in info.iter().filter(|(id, _)| *id != AvId::FLAGS) {
        writer.add(id, value);
    }
    writer.add(AvId::FLAGS, &flags.to_le_bytes());
    writer.finish()
}

/// What a client proves to have seen: an NTLMv2 response without the proof.
///
/// Layout: version u8 and highest version u8, both 1, reserved 6 octets, time
/// u64, challenge 8 octets, reserved 4 octets, AV pairs.
///
/// # Source
/// MS-NLMP 2.2.2.7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientChallenge<'a> {
    /// When it was made, in units of 100 ns since 1601.
    pub time: u64,
    /// The client's challenge.
    pub challenge: [u8; 8],
    /// What the server told about itself, and what the client adds.
    pub info: AvPairs<'a>,
}

impl<'a> ClientChallenge<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// `Token` when it is cut short or of another version.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        const CUT: SecurityError = SecurityError::Token("an NTLMv2 response is cut short");
        let (head, rest) = octets.split_first_chunk::<8>().ok_or(CUT)?;
        let (time, rest) = rest.split_first_chunk().ok_or(CUT)?;
        let (challenge, rest) = rest.split_first_chunk().ok_or(CUT)?;
        let (_reserved, info) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        if !head.starts_with(&[1, 1]) {
            return Err(SecurityError::Token("an NT response of another version"));
        }
        Ok(ClientChallenge {
            time: u64::from_le_bytes(*time),
            challenge: *challenge,
            info: AvPairs::decode(info)?,
        })
    }

    /// Writes it, with the four zeros that clients end it with.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = vec![1, 1, 0, 0, 0, 0, 0, 0];
        octets.extend(self.time.to_le_bytes());
        octets.extend(self.challenge);
        octets.extend([0; 4]);
        octets.extend(self.info.0);
        // The end of the list, then what stands behind it.
        octets.extend([0; 8]);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of one pair.
    fn list(id: AvId, value: &[u8]) -> Vec<u8> {
        let mut writer = AvWriter::default();
        writer.add(id, value);
        writer.finish()
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let mut writer = AvWriter::default();
        writer.add_name(AvId::DOMAIN, "D");
        writer.add_name(AvId::HOST, "");
        writer.add(AvId::TIME, &7_u64.to_le_bytes());
        let octets = writer.finish();
        let pairs = AvPairs::decode(&octets).unwrap();
        let ids: Vec<AvId> = pairs.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [AvId::DOMAIN, AvId::TIME]);
        assert_eq!(pairs.get(AvId::DOMAIN), Some(&b"D\0"[..]));
        assert_eq!(pairs.time(), Some(7));
        assert!(!pairs.has_mic());
    }

    #[test]
    fn a_list_that_is_cut_short_is_refused() {
        let octets = list(AvId::HOST, b"H\0");
        for end in 1..octets.len() {
            assert!(AvPairs::decode(&octets[..end]).is_err(), "{end}");
        }
        assert!(AvPairs::decode(&[]).is_ok());
    }

    #[test]
    fn what_stands_behind_a_list_is_no_part_of_it() {
        let octets = [&list(AvId::HOST, b"H\0")[..], b"more"].concat();
        let pairs = AvPairs::decode(&octets).unwrap();
        // Neither is its end, four zeros.
        assert_eq!(pairs.0.len(), octets.len() - 8);
    }

    #[test]
    fn an_announced_mic_is_seen_among_other_flags() {
        let octets = announcing_mic(AvPairs::decode(&list(AvId::FLAGS, &[1, 0, 0, 0])).unwrap());
        let pairs = AvPairs::decode(&octets).unwrap();
        assert_eq!(pairs.get(AvId::FLAGS), Some(&[3, 0, 0, 0][..]));
        assert!(pairs.has_mic());
    }

    #[test]
    fn a_client_challenge_is_read_as_it_was_written() {
        let info = list(AvId::HOST, b"H\0");
        let challenge = ClientChallenge {
            time: 0x0102030405060708,
            challenge: [9; 8],
            info: AvPairs::decode(&info).unwrap(),
        };
        let octets = challenge.encode();
        assert_eq!(ClientChallenge::decode(&octets), Ok(challenge));
        assert!(ClientChallenge::decode(&octets[..27]).is_err());
        assert!(ClientChallenge::decode(&[&[2], &octets[1..]].concat()).is_err());
    }
}
