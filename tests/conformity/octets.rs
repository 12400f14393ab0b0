//! PDUs as octets: what a client sends, field by field.
//!
//! Fields are kept by their meaning and written in the order that the PDU's label tells.

use uuid::{Uuid, uuid};

/// Packet types that clients send.
pub const REQUEST: u8 = 0;
pub const BIND: u8 = 11;
pub const ALTER_CONTEXT: u8 = 14;
pub const AUTH3: u8 = 16;
pub const SHUTDOWN: u8 = 17;
pub const CO_CANCEL: u8 = 18;
pub const ORPHANED: u8 = 19;

/// Packet types that servers send.
pub const RESPONSE: u8 = 2;
pub const FAULT: u8 = 3;
pub const BIND_ACK: u8 = 12;
pub const BIND_NAK: u8 = 13;
pub const ALTER_CONTEXT_RESP: u8 = 15;

/// Flags.
pub const FIRST: u8 = 0x01;
pub const LAST: u8 = 0x02;
pub const WHOLE: u8 = 0x03;
pub const MIDDLE: u8 = 0;
pub const PENDING_CANCEL: u8 = 0x04;
pub const HEADER_SIGN: u8 = 0x04;
pub const RESERVED_FLAG: u8 = 0x08;
pub const CONC_MPX: u8 = 0x10;
pub const DID_NOT_EXECUTE: u8 = 0x20;
pub const MAYBE: u8 = 0x40;
pub const OBJECT: u8 = 0x80;

/// Statuses of faults.
pub const ACCESS_DENIED: u32 = 5;
pub const NO_CALL_ACTIVE: u32 = 0x6bd;
pub const BAD_STUB_DATA: u32 = 0x6f7;
pub const CONTEXT_MISMATCH: u32 = 0x1c00_001a;
pub const OP_RNG_ERROR: u32 = 0x1c01_0002;
pub const UNK_IF: u32 = 0x1c01_0003;
pub const PROTO_ERROR: u32 = 0x1c01_000b;

/// Reasons of a bind_nak.
pub const NOT_SPECIFIED: u16 = 0;
pub const VERSION_NOT_SUPPORTED: u16 = 4;
pub const AUTHENTICATION_TYPE_NOT_RECOGNIZED: u16 = 8;

/// What a context element is answered with: result and reason.
pub const ACCEPTED: (u16, u16) = (0, 0);
pub const NO_INTERFACE: (u16, u16) = (2, 1);
pub const NO_SYNTAX: (u16, u16) = (2, 2);

/// Operations.
pub const INQ_IF_IDS: u16 = 0;
pub const INQ_STATS: u16 = 1;
pub const IS_LISTENING: u16 = 2;
pub const LOOKUP: u16 = 2;

/// Octets in front of a request's stub.
pub const REQUEST_HEAD: usize = 24;

/// An interface or a transfer syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    pub uuid: u128,
    pub major: u16,
    pub minor: u16,
}

const fn syntax(uuid: Uuid, major: u16, minor: u16) -> Syntax {
    let uuid = uuid.as_u128();
    Syntax { uuid, major, minor }
}

pub const EPT: Syntax = syntax(uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa"), 3, 0);
pub const MGMT: Syntax = syntax(uuid!("afa8bd80-7d8a-11c9-bef4-08002b102989"), 1, 0);
pub const NDR: Syntax = syntax(uuid!("8a885d04-1ceb-11c9-9fe8-08002b104860"), 2, 0);
pub const NDR64: Syntax = syntax(uuid!("71710533-beba-4937-8319-b5dbef9ccc36"), 1, 0);
/// Known to nobody.
pub const FOREIGN: Syntax = syntax(uuid!("6f8c2d11-3b0a-4f6e-9d57-21c0a4e9b873"), 1, 0);
/// Nothing but zeros.
pub const EMPTY: Syntax = syntax(Uuid::nil(), 0, 0);

impl Syntax {
    pub const fn version(self, major: u16, minor: u16) -> Syntax {
        Syntax {
            major,
            minor,
            ..self
        }
    }
}

/// The transfer syntax that asks for bind-time features: its last eight octets are the mask, little-endian.
pub const fn features(mask: u64) -> Syntax {
    let prefix = uuid!("6cb71c2c-9812-4540-0000-000000000000").as_u128();
    syntax(Uuid::from_u128(prefix | mask.swap_bytes() as u128), 1, 0)
}

/// How integers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

pub const BOTH_ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub fn label(self) -> [u8; 4] {
        match self {
            Order::Little => [0x10, 0, 0, 0],
            Order::Big => [0, 0, 0, 0],
        }
    }

    pub fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    /// A UUID: u32, u16, u16 in this order, then eight octets as they are.
    pub fn uuid(self, value: u128) -> [u8; 16] {
        let mut octets = value.to_be_bytes();
        if self == Order::Little {
            octets[..4].reverse();
            octets[4..6].reverse();
            octets[6..8].reverse();
        }
        octets
    }
}

/// One field.
#[derive(Clone, Debug)]
pub enum Field {
    U8(u8),
    U16(u16),
    U32(u32),
    Uuid(u128),
    Octets(Vec<u8>),
}

/// Fields in their order.
pub type Fields = Vec<Field>;

/// Writes fields one after another; there is no alignment.
pub fn written(fields: &[Field], order: Order) -> Vec<u8> {
    let mut octets = Vec::new();
    for field in fields {
        match field {
            Field::U8(value) => octets.push(*value),
            Field::U16(value) => octets.extend(order.u16(*value)),
            Field::U32(value) => octets.extend(order.u32(*value)),
            Field::Uuid(value) => octets.extend(order.uuid(*value)),
            Field::Octets(value) => octets.extend(value),
        }
    }
    octets
}

/// Octets that look the same in both orders.
pub fn raw(octets: &[u8]) -> Fields {
    vec![Field::Octets(octets.to_vec())]
}

/// As many zeros.
pub fn zeros(count: usize) -> Fields {
    vec![Field::Octets(vec![0; count])]
}

/// A syntax: UUID, then the version as one integer whose low half is the major version.
pub fn syntax_fields(syntax: Syntax) -> Fields {
    vec![
        Field::Uuid(syntax.uuid),
        Field::U32(u32::from(syntax.minor) << 16 | u32::from(syntax.major)),
    ]
}

/// An element of a context list.
#[derive(Clone, Debug)]
pub struct Context {
    pub id: u16,
    pub interface: Syntax,
    pub syntaxes: Vec<Syntax>,
}

pub fn context(id: u16, interface: Syntax, syntaxes: &[Syntax]) -> Context {
    Context {
        id,
        interface,
        syntaxes: syntaxes.to_vec(),
    }
}

impl Context {
    fn fields(&self) -> Fields {
        let mut fields = vec![
            Field::U16(self.id),
            Field::U8(u8::try_from(self.syntaxes.len()).unwrap()),
            Field::U8(0),
        ];
        fields.extend(syntax_fields(self.interface));
        fields.extend(self.syntaxes.iter().flat_map(|s| syntax_fields(*s)));
        fields
    }
}

/// The end of a PDU that is authenticated: type, level, pad length, a zero, context id, credentials.
#[derive(Clone, Debug)]
pub struct Verifier {
    pub auth_type: u8,
    pub level: u8,
    pub pad_length: u8,
    pub context_id: u32,
    pub value: Vec<u8>,
}

impl Verifier {
    pub fn new(auth_type: u8, level: u8) -> Verifier {
        Verifier {
            auth_type,
            level,
            pad_length: 0,
            context_id: 0,
            value: b"none".to_vec(),
        }
    }

    pub fn pad_length(self, pad_length: u8) -> Verifier {
        Verifier { pad_length, ..self }
    }

    fn fields(&self) -> Fields {
        vec![
            Field::U8(self.auth_type),
            Field::U8(self.level),
            Field::U8(self.pad_length),
            Field::U8(0),
            Field::U32(self.context_id),
            Field::Octets(self.value.clone()),
        ]
    }
}

/// What a client sends.
#[derive(Clone, Debug)]
pub struct Pdu {
    pub ptype: u8,
    pub flags: u8,
    pub call: u32,
    pub order: Order,
    body: Fields,
    verifier: Option<Verifier>,
}

/// A PDU of any type, little-endian, flags first and last, call 1.
pub fn pdu(ptype: u8, body: Fields) -> Pdu {
    Pdu {
        ptype,
        flags: WHOLE,
        call: 1,
        order: Order::Little,
        body,
        verifier: None,
    }
}

/// A bind of these contexts: fragments of 5840 octets, a new group.
pub fn bind(contexts: &[Context]) -> Pdu {
    pdu(BIND, context_list(contexts))
}

/// An alter_context of these contexts.
pub fn alter(contexts: &[Context]) -> Pdu {
    pdu(ALTER_CONTEXT, context_list(contexts)).call(2)
}

fn context_list(contexts: &[Context]) -> Fields {
    let mut body = vec![
        Field::U16(5840),
        Field::U16(5840),
        Field::U32(0),
        Field::U8(u8::try_from(contexts.len()).unwrap()),
        Field::Octets(vec![0; 3]),
    ];
    body.extend(contexts.iter().flat_map(Context::fields));
    body
}

/// A request; its alloc_hint is the length of its stub.
pub fn request(call: u32, context: u16, opnum: u16, stub: Fields) -> Pdu {
    let length = written(&stub, Order::Little).len();
    let mut body = vec![
        Field::U32(u32::try_from(length).unwrap()),
        Field::U16(context),
        Field::U16(opnum),
    ];
    body.extend(stub);
    pdu(REQUEST, body).call(call)
}

impl Pdu {
    pub fn flags(self, flags: u8) -> Pdu {
        Pdu { flags, ..self }
    }

    pub fn call(self, call: u32) -> Pdu {
        Pdu { call, ..self }
    }

    pub fn order(self, order: Order) -> Pdu {
        Pdu { order, ..self }
    }

    pub fn verifier(self, verifier: Verifier) -> Pdu {
        Pdu {
            verifier: Some(verifier),
            ..self
        }
    }

    /// What a bind or alter_context says of fragment sizes.
    pub fn sizes(mut self, xmit: u16, recv: u16) -> Pdu {
        self.body[0] = Field::U16(xmit);
        self.body[1] = Field::U16(recv);
        self
    }

    /// Which association group a bind or alter_context asks for.
    pub fn group(mut self, group: u32) -> Pdu {
        self.body[2] = Field::U32(group);
        self
    }

    /// How many octets of stub a request says that it will have.
    pub fn alloc_hint(mut self, hint: u32) -> Pdu {
        self.body[0] = Field::U32(hint);
        self
    }

    /// An object UUID in front of the stub.
    pub fn object(mut self, object: u128) -> Pdu {
        self.flags |= OBJECT;
        self.body.insert(3, Field::Uuid(object));
        self
    }

    /// More octets at the end of the body.
    pub fn and(mut self, octets: &[u8]) -> Pdu {
        self.body.push(Field::Octets(octets.to_vec()));
        self
    }

    pub fn octets(&self) -> Vec<u8> {
        let body = written(&self.body, self.order);
        let verifier = self
            .verifier
            .as_ref()
            .map(|v| written(&v.fields(), self.order));
        let auth_length = self.verifier.as_ref().map_or(0, |v| v.value.len());
        let rest = [body, verifier.unwrap_or_default()].concat();
        let length = u16::try_from(16 + rest.len()).expect("a PDU of at most 65535 octets");
        let header = [
            Field::Octets(vec![5, 0, self.ptype, self.flags]),
            Field::Octets(self.order.label().to_vec()),
            Field::U16(length),
            Field::U16(u16::try_from(auth_length).unwrap()),
            Field::U32(self.call),
        ];
        [written(&header, self.order), rest].concat()
    }

    /// Its octets with some replaced from `at` on.
    pub fn with(&self, at: usize, octets: &[u8]) -> Vec<u8> {
        let mut whole = self.octets();
        whole[at..at + octets.len()].copy_from_slice(octets);
        whole
    }
}

/// The arguments of an ept_lookup of everything.
pub fn lookup(handle: &[u8; 20], max_ents: u32) -> Fields {
    vec![
        Field::U32(0),
        Field::U32(0),
        Field::U32(0),
        Field::U32(1),
        Field::Octets(handle.to_vec()),
        Field::U32(max_ents),
    ]
}

/// The handle that begins a lookup.
pub const NO_HANDLE: [u8; 20] = [0; 20];
