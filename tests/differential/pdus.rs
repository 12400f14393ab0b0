//! PDUs to be sent: right in every field, unless somebody makes it wrong.

use epmapper::wire::pdu::{PacketType, PfcFlags};
use epmapper::wire::{ByteOrder, Output, SyntaxId};
use uuid::Uuid;

/// First and last fragment.
pub const WHOLE: u8 = PfcFlags::WHOLE.0;
/// First fragment.
pub const FIRST: u8 = PfcFlags::FIRST_FRAG.0;
/// Last fragment.
pub const LAST: u8 = PfcFlags::LAST_FRAG.0;
/// Several calls at once.
pub const CONC_MPX: u8 = PfcFlags::CONC_MPX.0;
/// No answer wanted.
pub const MAYBE: u8 = PfcFlags::MAYBE.0;
/// On a request: a cancel came first. On a bind: headers can be signed.
pub const PENDING_CANCEL: u8 = PfcFlags::PENDING_CANCEL.0;
/// An object UUID follows the opnum.
pub const OBJECT_UUID: u8 = 0x80;

/// One PDU to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Byte order of the integers.
    pub order: ByteOrder,
    /// Major and minor version.
    pub version: [u8; 2],
    pub ptype: u8,
    pub flags: u8,
    /// The data representation, of which `order` need not be true.
    pub drep: [u8; 4],
    /// Told instead of the true length.
    pub frag_length: Option<u16>,
    /// Told instead of the true length.
    pub auth_length: Option<u16>,
    pub call_id: u32,
    pub body: Vec<u8>,
    pub verifier: Option<Verifier>,
}

/// What ends a PDU that is authenticated.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Octets between body and verifier.
    pub padding: usize,
    pub auth_type: u8,
    pub level: u8,
    /// What the verifier says of the padding.
    pub pad_length: u8,
    pub context_id: u32,
    pub value: Vec<u8>,
}

impl Draft {
    /// A PDU of version 5.0.
    pub fn new(order: ByteOrder, ptype: PacketType, call_id: u32, body: Vec<u8>) -> Draft {
        Draft {
            order,
            version: [5, 0],
            ptype: ptype.0,
            flags: WHOLE,
            drep: match order {
                ByteOrder::Little => [0x10, 0, 0, 0],
                ByteOrder::Big => [0; 4],
            },
            frag_length: None,
            auth_length: None,
            call_id,
            body,
            verifier: None,
        }
    }

    /// The same with one thing changed.
    pub fn with(mut self, change: impl FnOnce(&mut Draft)) -> Draft {
        change(&mut self);
        self
    }

    /// The same with these flags.
    pub fn flags(self, flags: u8) -> Draft {
        self.with(|draft| draft.flags = flags)
    }

    /// The PDU as octets.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut out = Output::new(&mut octets, self.order);
        out.octets(&[self.version[0], self.version[1], self.ptype, self.flags]);
        out.octets(&self.drep);
        let auth_length = self.verifier.as_ref().map_or(0, |v| v.value.len());
        let tail = self
            .verifier
            .as_ref()
            .map_or(0, |v| v.padding + 8 + v.value.len());
        let frag_length = 16 + self.body.len() + tail;
        out.u16(self.frag_length.unwrap_or(length(frag_length)));
        out.u16(self.auth_length.unwrap_or(length(auth_length)));
        out.u32(self.call_id);
        out.octets(&self.body);
        if let Some(verifier) = &self.verifier {
            verifier.encode(&mut out);
        }
        if let Some(length) = self.frag_length {
            // What would follow a PDU that says to be shorter is no PDU.
            octets.truncate(usize::from(length).max(16));
            // Samba's mapper serves nobody while it has the header of a longer PDU and nothing more.
            if octets.len() == 16 && length > 16 {
                octets.push(0);
            }
        }
        octets
    }
}

impl Verifier {
    /// A verifier that starts at a multiple of 4 behind `body` octets of body.
    pub fn new(auth_type: u8, level: u8, value: &[u8]) -> Verifier {
        Verifier {
            padding: 0,
            auth_type,
            level,
            pad_length: 0,
            context_id: 1,
            value: value.to_vec(),
        }
    }

    fn encode(&self, out: &mut Output) {
        out.octets(&vec![0; self.padding]);
        out.octets(&[self.auth_type, self.level, self.pad_length, 0]);
        out.u32(self.context_id);
        out.octets(&self.value);
    }
}

/// A length of 16 bits; what is longer is cut by whoever makes it.
fn length(octets: usize) -> u16 {
    u16::try_from(octets).unwrap_or(u16::MAX)
}

/// One presentation context asked for.
#[derive(Clone, Debug)]
pub struct Element {
    pub id: u16,
    pub interface: SyntaxId,
    pub syntaxes: Vec<SyntaxId>,
}

impl Element {
    pub fn new(id: u16, interface: SyntaxId, syntaxes: &[SyntaxId]) -> Element {
        Element {
            id,
            interface,
            syntaxes: syntaxes.to_vec(),
        }
    }
}

/// The body of a bind or alter_context.
#[derive(Clone, Debug)]
pub struct BindBody {
    pub max_xmit_frag: u16,
    pub max_recv_frag: u16,
    pub group: u32,
    pub elements: Vec<Element>,
    /// How many elements it says to have, instead of the truth.
    pub count: Option<u8>,
}

/// Where the group stands in a bind.
pub const GROUP_OFFSET: usize = 20;

impl BindBody {
    /// What most clients send.
    pub fn new(elements: &[Element]) -> BindBody {
        BindBody {
            max_xmit_frag: 5840,
            max_recv_frag: 5840,
            group: 0,
            elements: elements.to_vec(),
            count: None,
        }
    }

    /// The body as octets.
    pub fn octets(&self, order: ByteOrder) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut out = Output::new(&mut octets, order);
        out.u16(self.max_xmit_frag);
        out.u16(self.max_recv_frag);
        out.u32(self.group);
        out.u8(self.count.unwrap_or(self.elements.len() as u8));
        out.octets(&[0; 3]);
        for element in &self.elements {
            out.u16(element.id);
            out.octets(&[element.syntaxes.len() as u8, 0]);
            element.interface.encode(&mut out);
            for syntax in &element.syntaxes {
                syntax.encode(&mut out);
            }
        }
        octets
    }
}

/// A call, or a fragment of one.
#[derive(Clone, Debug)]
pub struct CallBody {
    /// The stub's length unless said.
    pub alloc_hint: Option<u32>,
    pub context_id: u16,
    pub opnum: u16,
    pub object: Option<Uuid>,
    pub stub: Vec<u8>,
}

impl CallBody {
    pub fn new(context_id: u16, opnum: u16, stub: &[u8]) -> CallBody {
        CallBody {
            alloc_hint: None,
            context_id,
            opnum,
            object: None,
            stub: stub.to_vec(),
        }
    }

    /// The PDU that carries it; the flag for the object follows the body.
    pub fn draft(&self, order: ByteOrder, call_id: u32, flags: u8) -> Draft {
        let mut body = Vec::new();
        let mut out = Output::new(&mut body, order);
        out.u32(self.alloc_hint.unwrap_or(self.stub.len() as u32));
        out.u16(self.context_id);
        out.u16(self.opnum);
        if let Some(object) = self.object {
            out.uuid(object);
        }
        out.octets(&self.stub);
        let object = if self.object.is_some() {
            OBJECT_UUID
        } else {
            0
        };
        Draft::new(order, PacketType::REQUEST, call_id, body).flags(flags | object)
    }
}
