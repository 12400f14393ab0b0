//! The verification trailer that may end the stub of a request: what the client
//! believes of the call, told a second time where a verifier protects it.

use super::header::PacketType;
use crate::wire::drep::{ByteOrder, DataRepresentation};
use crate::wire::input::{self, DecodeError, DecodeFault, Input};
use crate::wire::output::Output;
use crate::wire::syntax::SyntaxId;

/// What a trailer begins with, in the words that it is aligned to.
const MAGIC: [[u8; 4]; 2] = [[0x8a, 0xe3, 0x13, 0x71], [0x02, 0xf4, 0x36, 0x71]];

/// Octets before the end of the stub that the magic is looked for in.
const SEARCHED: usize = 1024;

/// The most octets that may follow the last command.
const LEFT_OVER: usize = 16;

/// A verification trailer.
///
/// Layout: 8 octets of magic at a multiple of 4 from the stub's start, then
/// commands, the last of them marked. Little-endian whatever the call is, as
/// Samba has it; the specification says nothing.
///
/// # Source
/// MS-RPCE 2.2.2.13.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationTrailer<'a> {
    /// The commands in their order.
    pub commands: Vec<Command<'a>>,
}

/// One command of a trailer.
///
/// Layout: command u16 (the low 14 bits which, 0x4000 the last, 0x8000 to be
/// understood), length u16, body.
///
/// # Source
/// MS-RPCE 2.2.2.13.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Whether a server that does not know the command has to refuse the call.
    pub must_process: bool,
    /// What it says.
    pub body: CommandBody<'a>,
}

/// What a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandBody<'a> {
    /// Bits of the client: 1 supports header signing (MS-RPCE 2.2.2.13.2).
    Bitmask1(u32),
    /// The presentation context: interface and transfer syntax
    /// (MS-RPCE 2.2.2.13.4).
    PresentationContext {
        /// The interface.
        abstract_syntax: SyntaxId,
        /// The transfer syntax.
        transfer_syntax: SyntaxId,
    },
    /// The fields of the request that no verifier covers without header
    /// signing.
    Header2(Header2),
    /// Any other command.
    Other {
        /// Its low 14 bits.
        command: u16,
        /// Its body.
        body: &'a [u8],
    },
}

/// The request as its client sent it.
///
/// Layout: packet type u8, 0 u8, 0 u16, data representation 4 octets, call_id
/// u32, context_id u16, opnum u16.
///
/// # Source
/// MS-RPCE 2.2.2.13.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header2 {
    /// The packet type.
    pub ptype: PacketType,
    /// The data representation.
    pub drep: DataRepresentation,
    /// The call id.
    pub call_id: u32,
    /// The context id.
    pub context_id: u16,
    /// The operation.
    pub opnum: u16,
}

impl CommandBody<'_> {
    /// The bit of the bit mask that says that the client supports header
    /// signing.
    ///
    /// # Source
    /// MS-RPCE 2.2.2.13.2.
    pub const SUPPORTS_HEADER_SIGNING: u32 = 1;

    /// The command of a bit mask.
    const BITMASK_1: u16 = 1;
    /// The command of a presentation context.
    const PCONTEXT: u16 = 2;
    /// The command of a header.
    const HEADER2: u16 = 3;
    /// The bits that say which command it is.
    const WHICH: u16 = 0x3fff;
    /// The last command.
    const END: u16 = 0x4000;
    /// Not to be skipped.
    const MUST_PROCESS: u16 = 0x8000;

    /// Which command it is.
    fn command(&self) -> u16 {
        match self {
            CommandBody::Bitmask1(_) => Self::BITMASK_1,
            CommandBody::PresentationContext { .. } => Self::PCONTEXT,
            CommandBody::Header2(_) => Self::HEADER2,
            CommandBody::Other { command, .. } => command & Self::WHICH,
        }
    }
}

impl<'a> VerificationTrailer<'a> {
    /// Looks for a trailer at the end of a stub.
    ///
    /// From the last place that can hold the magic back, at most 1024 octets.
    /// What does not parse, or leaves more than 16 octets over, is ordinary
    /// stub data: `None`.
    ///
    /// # Source
    /// MS-RPCE 2.2.2.13; Samba looks for it in the same way.
    pub fn find(octets: &'a [u8]) -> Option<Self> {
        // Every call is searched: word by word, the first of the two words first.
        let (words, _) = octets.as_chunks::<4>();
        let first = octets.len().saturating_sub(SEARCHED).div_ceil(4);
        let words = words.get(first..)?;
        // Nearly all have it nowhere, which is seen in a few words at once where nothing ends the
        // search early.
        if !words
            .iter()
            .fold(false, |any, word| any | (*word == MAGIC[0]))
        {
            return None;
        }
        let mut pairs = words.iter().zip(words.get(1..)?);
        let at = pairs.rposition(|(one, two)| *one == MAGIC[0] && *two == MAGIC[1])?;
        let begin = 4 * (first + at + MAGIC.len());
        Self::decode(Input::at(&octets[begin..], ByteOrder::Little, begin)).ok()
    }

    /// Decodes what follows the magic: less than 1024 octets, so that commands
    /// are few.
    fn decode(mut i: Input<'a>) -> Result<Self, DecodeError> {
        let mut commands = Vec::new();
        loop {
            let (rest, word) = input::u16("command")(i)?;
            let (rest, length) = input::u16("length")(rest)?;
            let (rest, body) = input::octets("body", length.into())(rest)?;
            commands.push(Command {
                must_process: word & CommandBody::MUST_PROCESS != 0,
                body: decode_body(word & CommandBody::WHICH, body, i)?,
            });
            if word & CommandBody::END == 0 {
                i = rest;
            } else if rest.left() <= LEFT_OVER {
                return Ok(VerificationTrailer { commands });
            } else {
                let fault = DecodeFault::Trailing(rest.left());
                return Err(rest.fault("verification trailer", fault));
            }
        }
    }

    /// Appends the trailer to a stub, at the next multiple of 4 octets.
    pub fn encode(&self, stub: &mut Vec<u8>) {
        stub.resize(stub.len().next_multiple_of(4), 0);
        stub.extend(MAGIC.as_flattened());
        let mut out = Output::new(stub, ByteOrder::Little);
        let last = self.commands.len().saturating_sub(1);
        for (index, command) in self.commands.iter().enumerate() {
            command.encode(index == last, &mut out);
        }
    }
}

/// Decodes the body of a command; `i` is where the command stands.
fn decode_body<'a>(
    command: u16,
    body: &'a [u8],
    i: Input<'a>,
) -> Result<CommandBody<'a>, DecodeError> {
    let fixed = |length: usize| match body.len() == length {
        true => Ok(Input::at(body, i.order(), i.offset() + 4)),
        false => Err(i.fault(
            "length",
            DecodeFault::Mismatch {
                stated: body.len() as u64,
                found: length as u64,
            },
        )),
    };
    Ok(match command {
        CommandBody::BITMASK_1 => CommandBody::Bitmask1(input::u32("bits")(fixed(4)?)?.1),
        CommandBody::PCONTEXT => {
            let (i, abstract_syntax) = SyntaxId::decode("interface")(fixed(2 * SyntaxId::LEN)?)?;
            let (_, transfer_syntax) = SyntaxId::decode("transfer_syntax")(i)?;
            CommandBody::PresentationContext {
                abstract_syntax,
                transfer_syntax,
            }
        }
        CommandBody::HEADER2 => CommandBody::Header2(Header2::decode(fixed(Header2::LEN)?)?),
        _ => CommandBody::Other { command, body },
    })
}

impl Command<'_> {
    /// Appends the command.
    fn encode(&self, is_last: bool, out: &mut Output) {
        let mut word = self.body.command();
        if is_last {
            word |= CommandBody::END;
        }
        if self.must_process {
            word |= CommandBody::MUST_PROCESS;
        }
        out.u16(word);
        match &self.body {
            CommandBody::Bitmask1(bits) => {
                out.u16(4);
                out.u32(*bits);
            }
            CommandBody::PresentationContext {
                abstract_syntax,
                transfer_syntax,
            } => {
                out.u16(2 * SyntaxId::LEN as u16);
                abstract_syntax.encode(out);
                transfer_syntax.encode(out);
            }
            CommandBody::Header2(header) => {
                out.u16(Header2::LEN as u16);
                header.encode(out);
            }
            CommandBody::Other { body, .. } => {
                out.u16(body.len() as u16);
                out.octets(body);
            }
        }
    }
}

impl Header2 {
    /// The length on the wire, in octets.
    const LEN: usize = 16;

    /// Decodes the 16 octets.
    fn decode(i: Input) -> Result<Header2, DecodeError> {
        let (i, ptype) = input::u8("ptype")(i)?;
        let (i, _) = input::octets("reserved", 3)(i)?;
        let (i, drep) = input::octets("drep", 4)(i)?;
        let (i, call_id) = input::u32("call_id")(i)?;
        let (i, context_id) = input::u16("context_id")(i)?;
        let (_, opnum) = input::u16("opnum")(i)?;
        let mut label = [0; 4];
        label.copy_from_slice(drep);
        Ok(Header2 {
            ptype: PacketType(ptype),
            drep: DataRepresentation(label),
            call_id,
            context_id,
            opnum,
        })
    }

    /// Appends the 16 octets.
    fn encode(&self, out: &mut Output) {
        out.octets(&[self.ptype.0, 0, 0, 0]);
        out.octets(&self.drep.0);
        out.u32(self.call_id);
        out.u16(self.context_id);
        out.u16(self.opnum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trailer of all known commands and one more.
    fn all() -> VerificationTrailer<'static> {
        let command = |must_process, body| Command { must_process, body };
        let context = CommandBody::PresentationContext {
            abstract_syntax: SyntaxId::EPT,
            transfer_syntax: SyntaxId::NDR,
        };
        let header = CommandBody::Header2(Header2 {
            ptype: PacketType::REQUEST,
            drep: DataRepresentation::LITTLE,
            call_id: 2,
            context_id: 1,
            opnum: 3,
        });
        let other = CommandBody::Other {
            command: 0x123,
            body: &[9, 9],
        };
        VerificationTrailer {
            commands: vec![
                command(false, CommandBody::Bitmask1(1)),
                command(false, context),
                command(true, other),
                command(false, header),
            ],
        }
    }

    /// `stub` octets and the trailer behind them.
    fn behind(stub: usize, trailer: &VerificationTrailer) -> Vec<u8> {
        let mut octets = vec![0xab; stub];
        trailer.encode(&mut octets);
        octets
    }

    #[test]
    fn a_trailer_is_found_behind_any_stub() {
        for stub in [0, 1, 45, 132, 4096] {
            let octets = behind(stub, &all());
            assert_eq!(
                VerificationTrailer::find(&octets),
                Some(all()),
                "{stub} octets"
            );
        }
    }

    #[test]
    fn a_windows_trailer_is_a_presentation_context_of_40_octets() {
        let context = CommandBody::PresentationContext {
            abstract_syntax: SyntaxId::EPT,
            transfer_syntax: SyntaxId::NDR,
        };
        let trailer = VerificationTrailer {
            commands: vec![Command {
                must_process: false,
                body: context,
            }],
        };
        let octets = behind(0, &trailer);
        assert_eq!(octets[8..12], [0x02, 0x40, 40, 0]);
        assert_eq!(octets.len(), 52);
    }

    #[test]
    fn sixteen_octets_may_be_left_over_and_no_more() {
        let mut octets = behind(4, &all());
        octets.extend([0; 16]);
        assert!(VerificationTrailer::find(&octets).is_some());
        octets.push(0);
        assert!(VerificationTrailer::find(&octets).is_none());
    }

    #[test]
    fn what_does_not_parse_is_ordinary_stub_data() {
        let is_found = |octets: &[u8]| VerificationTrailer::find(octets).is_some();
        assert!(!is_found(&[]));
        let magic = MAGIC.as_flattened();
        assert!(!is_found(&magic[..7]));
        assert!(!is_found(magic));
        // a bit mask of 5 octets
        let long = [magic, &[1, 0x40, 5, 0, 0, 0, 0, 0, 0]].concat();
        assert!(!is_found(&long));
        // no last command
        let endless = [magic, &[1, 0, 4, 0, 0, 0, 0, 0]].concat();
        assert!(!is_found(&endless));
        // not at a multiple of 4
        let odd = [&[0][..], &behind(0, &all())].concat();
        assert!(!is_found(&odd));
    }

    #[test]
    fn no_more_than_1024_octets_are_looked_through() {
        let many = VerificationTrailer {
            commands: vec![
                Command {
                    must_process: false,
                    body: CommandBody::Bitmask1(0),
                };
                127
            ],
        };
        let octets = behind(0, &many);
        assert_eq!(octets.len(), 1024);
        assert!(VerificationTrailer::find(&octets).is_some());
        let later = [&octets[..], &[0; 4]].concat();
        assert!(VerificationTrailer::find(&later).is_none());
    }
}
