//! The three messages of NTLM, as octets and as values that borrow from them.
//!
//! Decoded values point into the message; every length and offset was checked
//! against it. Where the parts of a message stand is free: encoding puts them
//! in the usual order, without gaps.

use super::flags::Flags;
use crate::proto::SecurityError;

/// The longest message that is read.
///
/// # Source
/// Samba's raw_protocol suite: NTLM's longest token.
pub const LONGEST_MESSAGE: usize = 2888;

/// What every message begins with.
const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

/// Where the MIC stands in an AUTHENTICATE message: behind the version.
const MIC_AT: usize = 72;

/// Where the parts of an AUTHENTICATE message with a MIC begin.
const BEHIND_MIC: usize = 88;

/// A sender's version, which only logs are interested in.
///
/// Layout: major u8, minor u8, build u16, reserved 3 octets, revision u8.
///
/// # Source
/// MS-NLMP 2.2.2.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub [u8; 8]);

impl Version {
    /// The lowest that knows the MIC: Windows Vista, revision 15.
    pub const OURS: Self = Version([6, 0, 0x70, 0x17, 0, 0, 0, 15]);
}

/// A client's first message.
///
/// Layout: signature, 1 u32, flags u32, domain, workstation (length u16,
/// maximum u16, offset u32 each), version; old clients end behind the flags.
///
/// # Source
/// MS-NLMP 2.2.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiate<'a> {
    /// What the client offers.
    pub flags: Flags,
    /// Its domain, in the system's code page.
    pub domain: &'a [u8],
    /// Its name, likewise.
    pub workstation: &'a [u8],
    /// Its version.
    pub version: Option<Version>,
}

impl<'a> Negotiate<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// `Token` when it is none.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        let message = Message::new(octets, 1, 16)?;
        let flags = message.flags(12)?;
        let named = |supplied, at| match flags.contains(supplied) {
            true => message.part(at, 32),
            false => Ok(message.nothing()),
        };
        let (domain_at, domain) = named(Flags::DOMAIN_SUPPLIED, 16)?;
        let (workstation_at, workstation) = named(Flags::WORKSTATION_SUPPLIED, 24)?;
        let begin = domain_at.min(workstation_at);
        Ok(Negotiate {
            flags,
            domain,
            workstation,
            version: message.version(flags, 32, begin),
        })
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let begin = if self.version.is_some() { 40 } else { 32 };
        let mut writer = Writer::new(1, begin);
        writer.head(&self.flags.0.to_le_bytes());
        writer.part(self.domain);
        writer.part(self.workstation);
        writer.version(self.version);
        writer.finish()
    }
}

/// The server's message.
///
/// Layout: signature, 2 u32, target name, flags u32, challenge 8 octets,
/// reserved 8 octets, target info, version; names and info as in the other
/// messages. Old servers end behind the challenge.
///
/// # Source
/// MS-NLMP 2.2.1.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// What the server chose.
    pub flags: Flags,
    /// What the client has to prove itself over.
    pub challenge: [u8; 8],
    /// The server's name or its domain's, as the flags say.
    pub target: &'a [u8],
    /// What the server tells about itself, a list of AV pairs.
    pub target_info: &'a [u8],
    /// Its version.
    pub version: Option<Version>,
}

impl<'a> Challenge<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// `Token` when it is none.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        let message = Message::new(octets, 2, 32)?;
        let flags = message.flags(20)?;
        let (target_at, target) = message.part(12, 32)?;
        let (info_at, target_info) = match flags.contains(Flags::TARGET_INFO) {
            true => message.part(40, 48)?,
            false => message.nothing(),
        };
        let begin = target_at.min(info_at);
        Ok(Challenge {
            flags,
            challenge: message.array(24)?,
            target,
            target_info,
            version: message.version(flags, 48, begin),
        })
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let begin = if self.version.is_some() { 56 } else { 48 };
        let mut writer = Writer::new(2, begin);
        writer.part(self.target);
        writer.head(&self.flags.0.to_le_bytes());
        writer.head(&self.challenge);
        writer.head(&[0; 8]);
        match self.flags.contains(Flags::TARGET_INFO) {
            true => writer.part(self.target_info),
            false => writer.head(&[0; 8]),
        }
        writer.version(self.version);
        writer.finish()
    }
}

/// A client's second message: who it is, and the proof.
///
/// Layout: signature, 3 u32, LM response, NT response, domain, user,
/// workstation, session key (length u16, maximum u16, offset u32 each), flags
/// u32, version, MIC 16 octets; version and MIC are where the parts leave room.
///
/// # Source
/// MS-NLMP 2.2.1.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticate<'a> {
    /// What was agreed on.
    pub flags: Flags,
    /// The LM response, or what takes its place.
    pub lm_response: &'a [u8],
    /// The NT response.
    pub nt_response: &'a [u8],
    /// The user's domain.
    pub domain: &'a [u8],
    /// The user's name.
    pub user: &'a [u8],
    /// The client's name.
    pub workstation: &'a [u8],
    /// The session's key, wrapped.
    pub session_key: &'a [u8],
    /// The client's version.
    pub version: Option<Version>,
    /// What stands where a MIC would: only the NT response tells whether it is
    /// one.
    pub mic: Option<[u8; 16]>,
}

impl<'a> Authenticate<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// `Token` when it is none.
    pub fn decode(octets: &'a [u8]) -> Result<Self, SecurityError> {
        let message = Message::new(octets, 3, 64)?;
        let flags = message.flags(60)?;
        let mut begin = octets.len();
        let mut part = |at| {
            let (place, part) = message.part(at, 64)?;
            begin = begin.min(place);
            Ok(part)
        };
        let (lm_response, nt_response) = (part(12)?, part(20)?);
        let (domain, user, workstation) = (part(28)?, part(36)?, part(44)?);
        let session_key = part(52)?;
        let mic = message.array(MIC_AT).ok().filter(|_| begin >= BEHIND_MIC);
        Ok(Authenticate {
            flags,
            lm_response,
            nt_response,
            domain,
            user,
            workstation,
            session_key,
            version: message.version(flags, 64, begin),
            mic,
        })
    }

    /// Writes the message.
    pub fn encode(&self) -> Vec<u8> {
        let begin = match (self.mic, self.version) {
            (Some(_), _) => BEHIND_MIC,
            (None, Some(_)) => MIC_AT,
            (None, None) => 64,
        };
        let mut writer = Writer::new(3, begin);
        let responses = self.lm_response.len() + self.nt_response.len();
        let names = self.domain.len() + self.user.len() + self.workstation.len();
        // Names come first, but responses are named first.
        writer.part_at(self.lm_response, begin + names);
        writer.part_at(self.nt_response, begin + names + self.lm_response.len());
        writer.part(self.domain);
        writer.part(self.user);
        writer.part(self.workstation);
        writer.part_at(self.session_key, begin + names + responses);
        writer.head(&self.flags.0.to_le_bytes());
        match (self.version, self.mic) {
            (None, Some(_)) => writer.head(&[0; 8]),
            (version, _) => writer.version(version),
        }
        writer.head(self.mic.as_ref().map_or(&[], |mic| &mic[..]));
        let mut octets = writer.finish();
        octets.extend([self.lm_response, self.nt_response, self.session_key].concat());
        octets
    }
}

/// An encoded AUTHENTICATE message with its MIC set to `mic`; the same one
/// where it has no room for a MIC.
pub fn with_mic(mut message: Vec<u8>, mic: &[u8; 16]) -> Vec<u8> {
    if let Some(place) = message.get_mut(MIC_AT..BEHIND_MIC) {
        place.copy_from_slice(mic);
    }
    message
}

/// A message that is being read.
#[derive(Clone, Copy, Debug)]
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// A message of one type with at least `head` octets.
    fn new(octets: &'a [u8], kind: u32, head: usize) -> Result<Self, SecurityError> {
        let message = Message(octets);
        if octets.len() > LONGEST_MESSAGE {
            return Err(SecurityError::Token("an NTLM message is too long"));
        }
        if !octets.starts_with(SIGNATURE) {
            return Err(SecurityError::Token("no NTLM message"));
        }
        if message.array(8)? != kind.to_le_bytes() {
            return Err(SecurityError::Token("another NTLM message is due"));
        }
        message.from(head)?;
        Ok(message)
    }

    /// What stands from `at` on.
    fn from(self, at: usize) -> Result<&'a [u8], SecurityError> {
        let rest = self.0.get(at..);
        rest.ok_or(SecurityError::Token("an NTLM message is cut short"))
    }

    /// The octets at `at`.
    fn array<const N: usize>(self, at: usize) -> Result<[u8; N], SecurityError> {
        let octets = self.from(at)?.first_chunk();
        octets
            .copied()
            .ok_or(SecurityError::Token("an NTLM message is cut short"))
    }

    /// The flags at `at`.
    fn flags(self, at: usize) -> Result<Flags, SecurityError> {
        self.array(at).map(|flags| Flags(u32::from_le_bytes(flags)))
    }

    /// The part whose place is told at `at`, and that place, which may be `head`
    /// or behind. Where an empty one would stand does not matter.
    fn part(self, at: usize, head: usize) -> Result<(usize, &'a [u8]), SecurityError> {
        let length = usize::from(u16::from_le_bytes(self.array(at)?));
        let offset = u32::from_le_bytes(self.array(at + 4)?) as usize;
        if length == 0 {
            return Ok(self.nothing());
        }
        let part = self.from(offset).ok().and_then(|rest| rest.get(..length));
        let part = part.filter(|_| offset >= head);
        part.map(|part| (offset, part)).ok_or(SecurityError::Token(
            "a part of an NTLM message is not in it",
        ))
    }

    /// A part that is not there: nothing, at the end.
    fn nothing(self) -> (usize, &'a [u8]) {
        (self.0.len(), &[])
    }

    /// The version at `at`, where the flags say so and the parts leave room.
    fn version(self, flags: Flags, at: usize, begin: usize) -> Option<Version> {
        let octets = self.array(at).ok()?;
        (flags.contains(Flags::VERSION) && begin >= at + 8).then_some(Version(octets))
    }
}

/// A message that is being written: its head, and the parts behind.
#[derive(Debug)]
struct Writer {
    head: Vec<u8>,
    parts: Vec<u8>,
    /// Where the parts begin.
    begin: usize,
}

impl Writer {
    /// A message of one type.
    fn new(kind: u32, begin: usize) -> Self {
        Writer {
            head: [&SIGNATURE[..], &kind.to_le_bytes()].concat(),
            parts: Vec::new(),
            begin,
        }
    }

    /// Octets of the head.
    fn head(&mut self, octets: &[u8]) {
        self.head.extend_from_slice(octets);
    }

    /// The version, if there is one.
    fn version(&mut self, version: Option<Version>) {
        self.head(version.as_ref().map_or(&[], |version| &version.0[..]));
    }

    /// The next part.
    fn part(&mut self, part: &[u8]) {
        self.part_at(part, self.begin + self.parts.len());
        self.parts.extend_from_slice(part);
    }

    /// Where a part stands. Nothing here is as long as a u16 can tell, since
    /// what is longer is never read; a longer one is cut.
    fn part_at(&mut self, part: &[u8], offset: usize) {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.head(&length);
        self.head(&length);
        self.head(&(offset as u32).to_le_bytes());
    }

    /// Head and parts.
    fn finish(mut self) -> Vec<u8> {
        debug_assert_eq!(self.head.len(), self.begin);
        self.head.append(&mut self.parts);
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::ntlm::tests::hex;

    /// The challenge of MS-NLMP 4.2.1.
    const SERVER: [u8; 8] = 0x0123456789abcdef_u64.to_be_bytes();

    /// A version of MS-NLMP 4.2.
    fn version(octets: u64) -> Option<Version> {
        Some(Version(octets.to_be_bytes()))
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// An AUTHENTICATE message with something in every part.
    fn authenticate() -> Vec<u8> {
        Authenticate {
            flags: Flags::UNICODE | Flags::VERSION,
            lm_response: &[1; 24],
            nt_response: &[2; 50],
            domain: b"D\0",
            user: b"U\0",
            workstation: b"W\0",
            session_key: &[3; 16],
            version: Some(Version::OURS),
            mic: Some([4; 16]),
        }
        .encode()
    }

    #[test]
    fn challenge_messages_are_the_published_ones() {
        // MS-NLMP 4.2.2.3.
        let octets = hex("4e544c4d53535000 02000000 0c000c0038000000 338202e2
            0123456789abcdef 0000000000000000 0000000000000000 060070170000000f
            530065007200760065007200");
        let challenge = Challenge {
            flags: Flags(0xe2028233),
            challenge: SERVER,
            target: &utf16("Server"),
            target_info: &[],
            version: version(0x060070170000000f),
        };
        assert_eq!(Challenge::decode(&octets), Ok(challenge.clone()));
        assert_eq!(challenge.encode(), octets);
        // MS-NLMP 4.2.4.3.
        let octets = hex("4e544c4d53535000 02000000 0c000c0038000000 33828ae2
            0123456789abcdef 0000000000000000 2400240044000000 060070170000000f
            530065007200760065007200 02000c0044006f006d00610069006e00
            01000c00530065007200760065007200 00000000");
        let challenge = Challenge {
            flags: Flags(0xe28a8233),
            target_info: &octets[0x44..],
            ..challenge
        };
        assert_eq!(Challenge::decode(&octets), Ok(challenge.clone()));
        assert_eq!(challenge.encode(), octets);
    }

    #[test]
    fn authenticate_messages_are_the_published_ones() {
        // MS-NLMP 4.2.2.3.
        let octets = hex("4e544c4d53535000 03000000 180018006c000000 1800180084000000
            0c000c0048000000 0800080054000000 100010005c000000 100010009c000000 358280e2
            0501280a0000000f 44006f006d00610069006e00 5500730065007200
            43004f004d0050005500540045005200 98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13
            67c43011f30298a2ad35ece64f16331c44bdbed927841f94 518822b1b3f350c8958682ecbb3e3cb7");
        let message = Authenticate {
            flags: Flags(0xe2808235),
            lm_response: &hex("98def7b87f88aa5dafe2df779688a172def11c7d5ccdef13"),
            nt_response: &hex("67c43011f30298a2ad35ece64f16331c44bdbed927841f94"),
            domain: &utf16("Domain"),
            user: &utf16("User"),
            workstation: &utf16("COMPUTER"),
            session_key: &hex("518822b1b3f350c8958682ecbb3e3cb7"),
            version: version(0x0501280a0000000f),
            mic: None,
        };
        assert_eq!(Authenticate::decode(&octets), Ok(message.clone()));
        assert_eq!(message.encode(), octets);
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let octets = authenticate();
        for version in [None, Some(Version::OURS)] {
            for mic in [None, Some([4; 16])] {
                let message = Authenticate {
                    flags: version.map_or(Flags::NONE, |_| Flags::VERSION),
                    version,
                    mic,
                    ..Authenticate::decode(&octets).unwrap()
                };
                assert_eq!(Authenticate::decode(&message.encode()), Ok(message));
            }
            let negotiate = Negotiate {
                flags: Flags::DOMAIN_SUPPLIED | version.map_or(Flags::NONE, |_| Flags::VERSION),
                domain: b"LAB",
                workstation: b"",
                version,
            };
            assert_eq!(Negotiate::decode(&negotiate.encode()), Ok(negotiate));
        }
    }

    #[test]
    fn a_negotiate_message_may_end_behind_its_flags() {
        let octets = hex("4e544c4d53535000 01000000 01020000");
        let negotiate = Negotiate::decode(&octets).unwrap();
        assert_eq!(negotiate.flags, Flags(0x201));
        let claims = hex("4e544c4d53535000 01000000 01120000");
        assert!(Negotiate::decode(&claims).is_err());
    }

    #[test]
    fn a_name_that_is_not_supplied_is_not_looked_for() {
        let mut octets = Negotiate::decode(&hex("4e544c4d53535000 01000000 01020000"))
            .unwrap()
            .encode();
        octets[16..24].fill(0xff);
        assert!(Negotiate::decode(&octets).is_ok());
    }

    #[test]
    fn a_message_that_is_cut_short_is_refused() {
        let octets = authenticate();
        for end in 0..octets.len() {
            assert!(Authenticate::decode(&octets[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_part_that_is_not_in_the_message_is_refused() {
        for place in [12, 20, 28, 36, 44, 52] {
            for offset in [0_u32, 63, authenticate().len() as u32, 0xffff_ffff] {
                let mut octets = authenticate();
                octets[place + 4..place + 8].copy_from_slice(&offset.to_le_bytes());
                assert!(Authenticate::decode(&octets).is_err(), "{place} {offset}");
            }
        }
    }

    #[test]
    fn a_part_where_the_mic_would_be_leaves_none() {
        let mut octets = authenticate();
        octets[28 + 4] = 80;
        assert_eq!(Authenticate::decode(&octets).unwrap().mic, None);
    }

    #[test]
    fn a_message_that_is_too_long_is_refused() {
        let mut octets = authenticate();
        octets.resize(LONGEST_MESSAGE, 0);
        assert!(Authenticate::decode(&octets).is_ok());
        octets.push(0);
        assert!(Authenticate::decode(&octets).is_err());
    }

    #[test]
    fn another_message_is_refused() {
        let octets = authenticate();
        assert!(Negotiate::decode(&octets).is_err());
        assert!(Challenge::decode(&octets).is_err());
        assert!(Authenticate::decode(&[b"NTLMSSQ", &octets[7..]].concat()).is_err());
    }
}
