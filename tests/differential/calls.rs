//! Stubs of requests.

use crate::random::Random;
use epmapper::wire::{ByteOrder, Output, SyntaxId};
use uuid::{Uuid, uuid};

/// Interfaces that Samba's services register.
pub const REGISTERED: [SyntaxId; 3] = [
    SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ab"), 0, 0),
    SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0),
    SyntaxId::new(uuid!("6bffd098-a112-3610-9833-46c3f87e345a"), 1, 0),
];

/// The octets of a handle.
pub const NO_HANDLE: [u8; 20] = [0; 20];

/// A call of the mapper: operation, stub, where its handle stands.
pub fn ept(random: &mut Random, order: ByteOrder) -> (u16, Vec<u8>, Option<usize>) {
    let opnum = random.weighted(&[
        (8, 2),
        (8, 3),
        (3, 4),
        (1, 5),
        (1, 0),
        (1, 1),
        (1, 6),
        (1, 7),
        (1, 8),
        (1, 9),
        (1, 0xffff),
    ]);
    let (stub, handle) = match opnum {
        2 => {
            let inquiry = random.weighted(&[(8, 0), (3, 1), (1, 2), (1, 3), (1, 4)]);
            // Samba's mapper crashes without the object or interface that it is asked by.
            let has_interface = (1..=3).contains(&inquiry) || random.once_in(2);
            let interface = has_interface.then(|| random.pick(&REGISTERED));
            let object = (inquiry == 2 || random.once_in(4)).then(Uuid::nil);
            let option = random.pick(&[0, 1, 1, 1, 2, 3, 4, 5, 6]);
            let max = random.pick(&[0, 1, 2, 3, 10, 100, 499, 500, 501]);
            lookup(order, inquiry, object, interface, option, &NO_HANDLE, max)
        }
        3 => {
            let object = random.pick(&[None, Some(Uuid::nil()), Some(Uuid::from_u128(5))]);
            let interface = random.pick(&REGISTERED);
            let tower = match random.once_in(10) {
                true => None,
                false => {
                    let floors = random.pick(&FLOORS);
                    Some(tower(interface, SyntaxId::NDR, floors))
                }
            };
            let max = random.pick(&[0, 1, 1, 2, 4, 4, 100, 500, 501]);
            map(order, object, tower.as_deref(), &NO_HANDLE, max)
        }
        4 => (NO_HANDLE.to_vec(), 0),
        0 | 1 | 6 | 7 => return (opnum, random.octets(40), None),
        _ => return (opnum, Vec::new(), None),
    };
    (opnum, stub, Some(handle))
}

/// A call of the management interface.
pub fn mgmt(random: &mut Random, order: ByteOrder) -> (u16, Vec<u8>) {
    let opnum = random.pick(&[0, 0, 1, 2, 3, 4, 5, 0xffff]);
    let mut stub = Vec::new();
    let mut out = Output::new(&mut stub, order);
    match opnum {
        1 => {
            out.u32(random.pick(&[0, 1, 4, 4, 5, 0x1000]));
            if random.once_in(2) {
                out.u32(0);
            }
        }
        4 => {
            out.u32(random.pick(&[0, 9, 10, 16, 99]));
            out.u32(random.pick(&[0, 1, 10, 1024]));
        }
        _ => {}
    }
    (opnum, stub)
}

/// Floors from the third on: TCP, named pipe, local, TCP over HTTP, and none that is known.
pub const FLOORS: [&[u8]; 6] = [
    &[
        1, 0, 0x0b, 2, 0, 0, 0, 1, 0, 7, 2, 0, 0, 135, 1, 0, 9, 4, 0, 0, 0, 0, 0,
    ],
    &[
        1, 0, 0x0b, 2, 0, 0, 0, 1, 0, 7, 2, 0, 0, 0, 1, 0, 9, 4, 0, 127, 0, 0, 1,
    ],
    &[
        1, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0x0f, 1, 0, 0, 1, 0, 0x11, 1, 0, 0,
    ],
    &[1, 0, 0x0c, 2, 0, 0, 0, 1, 0, 0x10, 1, 0, 0],
    &[
        1, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0x1f, 2, 0, 0, 0, 1, 0, 9, 4, 0, 0, 0, 0, 0,
    ],
    &[
        1, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0x55, 2, 0, 0, 0, 1, 0, 9, 4, 0, 0, 0, 0, 0,
    ],
];

/// A tower of an interface, a transfer syntax and the floors behind them.
pub fn tower(interface: SyntaxId, syntax: SyntaxId, floors: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut out = Output::new(&mut octets, ByteOrder::Little);
    out.u16(if floors[2] == 0x0c { 4 } else { 5 });
    for id in [interface, syntax] {
        out.u16(19);
        out.u8(0x0d);
        out.uuid(id.uuid);
        out.u16(id.major);
        out.u16(2);
        out.u16(id.minor);
    }
    out.octets(floors);
    octets
}

/// ept_lookup: the stub and where its handle stands.
#[allow(clippy::too_many_arguments)]
pub fn lookup(
    order: ByteOrder,
    inquiry_type: u32,
    object: Option<Uuid>,
    interface: Option<SyntaxId>,
    vers_option: u32,
    handle: &[u8; 20],
    max_ents: u32,
) -> (Vec<u8>, usize) {
    let mut stub = Vec::new();
    let mut out = Output::new(&mut stub, order);
    out.u32(inquiry_type);
    put_object(&mut out, object, 1);
    match interface {
        None => out.u32(0),
        Some(id) => {
            out.u32(2);
            out.uuid(id.uuid);
            out.u16(id.major);
            out.u16(id.minor);
        }
    }
    out.u32(vers_option);
    let at = out.written();
    out.octets(handle);
    out.u32(max_ents);
    (stub, at)
}

/// ept_map: the stub and where its handle stands.
pub fn map(
    order: ByteOrder,
    object: Option<Uuid>,
    tower: Option<&[u8]>,
    handle: &[u8; 20],
    max_towers: u32,
) -> (Vec<u8>, usize) {
    let mut stub = Vec::new();
    let mut out = Output::new(&mut stub, order);
    put_object(&mut out, object, 1);
    match tower {
        None => out.u32(0),
        Some(tower) => {
            out.u32(2);
            out.u32(tower.len() as u32);
            out.u32(tower.len() as u32);
            out.octets(tower);
            while !out.written().is_multiple_of(4) {
                out.u8(0);
            }
        }
    }
    let at = out.written();
    out.octets(handle);
    out.u32(max_towers);
    (stub, at)
}

fn put_object(out: &mut Output<'_>, object: Option<Uuid>, referent: u32) {
    match object {
        None => out.u32(0),
        Some(object) => {
            out.u32(referent);
            out.uuid(object);
        }
    }
}

/// The first token of NTLM.
pub fn ntlmssp_negotiate() -> Vec<u8> {
    [
        &b"NTLMSSP\0"[..],
        &[1, 0, 0, 0, 0x97, 0x82, 8, 0xa2],
        &[0; 24],
    ]
    .concat()
}

/// What a verification trailer begins with.
const MAGIC: [u8; 8] = [0x8a, 0xe3, 0x13, 0x71, 0x02, 0xf4, 0x36, 0x71];

/// A command of a verification trailer.
#[derive(Clone, Debug)]
pub struct Command {
    number: u16,
    /// Told instead of the body's length.
    length: Option<u16>,
    body: Body,
}

/// What a command says.
#[derive(Clone, Debug)]
enum Body {
    Bits(u32),
    Context(SyntaxId, SyntaxId),
    Header {
        order: ByteOrder,
        call_id: u32,
        context_id: u16,
        opnum: u16,
    },
    Zeros(usize),
}

impl Command {
    fn new(number: u16, body: Body) -> Command {
        Command {
            number,
            length: None,
            body,
        }
    }

    pub fn bits(bits: u32) -> Command {
        Command::new(1, Body::Bits(bits))
    }

    pub fn context(interface: SyntaxId, syntax: SyntaxId) -> Command {
        Command::new(2, Body::Context(interface, syntax))
    }

    pub fn header(order: ByteOrder, call_id: u32, context_id: u16, opnum: u16) -> Command {
        let body = Body::Header {
            order,
            call_id,
            context_id,
            opnum,
        };
        Command::new(3, body)
    }

    pub fn unknown(number: u16, length: usize) -> Command {
        Command::new(number, Body::Zeros(length))
    }

    /// The same as the last of its trailer.
    pub fn last(mut self) -> Command {
        self.number |= 0x4000;
        self
    }

    /// The same, to be understood.
    pub fn must(mut self) -> Command {
        self.number |= 0x8000;
        self
    }

    /// The same, saying that it has so many octets.
    pub fn saying(mut self, length: u16) -> Command {
        self.length = Some(length);
        self
    }

    fn encode(&self, out: &mut Output<'_>) {
        out.u16(self.number);
        let length = match self.body {
            Body::Bits(_) => 4,
            Body::Context(..) => 40,
            Body::Header { .. } => 16,
            Body::Zeros(length) => length as u16,
        };
        out.u16(self.length.unwrap_or(length));
        match &self.body {
            Body::Bits(bits) => out.u32(*bits),
            Body::Context(interface, syntax) => {
                interface.encode(out);
                syntax.encode(out);
            }
            Body::Header {
                order,
                call_id,
                context_id,
                opnum,
            } => {
                let label = if *order == ByteOrder::Little { 0x10 } else { 0 };
                out.octets(&[0, 0, 0, 0, label, 0, 0, 0]);
                out.u32(*call_id);
                out.u16(*context_id);
                out.u16(*opnum);
            }
            Body::Zeros(length) => out.octets(&vec![0; *length]),
        }
    }
}

/// A verification trailer.
pub fn trailer(order: ByteOrder, commands: &[Command]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut out = Output::new(&mut octets, order);
    out.octets(&MAGIC);
    for command in commands {
        command.encode(&mut out);
    }
    octets
}
