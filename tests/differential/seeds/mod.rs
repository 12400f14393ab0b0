//! Conversations written by hand: each rule of the protocol's tables, and the smallest example of each allowance.

mod calls;
mod headers;
mod negotiation;
mod security;
mod services;

use crate::conversation::{Conversation, Filling, Step};
use crate::pdus::{BindBody, CallBody, Draft, Element, FIRST, GROUP_OFFSET, LAST, WHOLE};
use epmapper::wire::pdu::PacketType;
use epmapper::wire::{ByteOrder, SyntaxId};

/// Little-endian.
const LITTLE: ByteOrder = ByteOrder::Little;
/// What most contexts are asked for with.
const NDR: &[SyntaxId] = &[SyntaxId::NDR];

/// All of them; no two have one name.
pub fn all() -> Vec<Conversation> {
    [
        headers::all(),
        negotiation::all(),
        calls::all(),
        services::all(),
        security::all(),
    ]
    .concat()
}

/// A conversation being written.
struct Talk {
    conversation: Conversation,
    order: ByteOrder,
    call_id: u32,
    connection: usize,
}

impl Talk {
    /// Nothing said yet.
    fn new(name: impl Into<String>) -> Talk {
        Talk {
            conversation: Conversation {
                name: name.into(),
                steps: Vec::new(),
                is_pipelined: false,
            },
            order: LITTLE,
            call_id: 0,
            connection: 0,
        }
    }

    /// Begins with a bind of the management interface, context 0.
    fn mgmt(name: impl Into<String>) -> Talk {
        Talk::new(name).bind(&[Element::new(0, SyntaxId::MGMT, NDR)])
    }

    /// Begins with a bind of the endpoint mapper, context 0.
    fn ept(name: impl Into<String>) -> Talk {
        Talk::new(name).bind(&[Element::new(0, SyntaxId::EPT, NDR)])
    }

    /// Begins with a bind of the management interface that agrees on multiplexing.
    fn multiplexed(name: impl Into<String>) -> Talk {
        Talk::new(name).bind_with(
            &BindBody::new(&[Element::new(0, SyntaxId::MGMT, NDR)]),
            |draft| draft.flags |= crate::pdus::CONC_MPX,
        )
    }

    /// Goes on in this byte order.
    fn in_order(mut self, order: ByteOrder) -> Talk {
        self.order = order;
        self
    }

    /// Goes on with another connection.
    fn on(mut self, connection: usize) -> Talk {
        self.connection = connection;
        self
    }

    /// Everything is written at once.
    fn at_once(mut self) -> Conversation {
        self.conversation.is_pipelined = true;
        self.conversation
    }

    fn done(self) -> Conversation {
        self.conversation
    }

    fn step(mut self, step: Step) -> Talk {
        let step = step.on(self.connection);
        self.conversation.steps.push(step);
        self
    }

    fn octets(self, octets: &[u8]) -> Talk {
        self.step(Step::new(octets.to_vec()))
    }

    fn draft(self, draft: &Draft) -> Talk {
        self.octets(&draft.octets())
    }

    /// A PDU of any type with the next call id, and what is changed in it.
    fn pdu(mut self, ptype: PacketType, body: Vec<u8>, change: impl FnOnce(&mut Draft)) -> Talk {
        self.call_id += 1;
        let draft = Draft::new(self.order, ptype, self.call_id, body).with(change);
        self.draft(&draft)
    }

    fn bind(self, elements: &[Element]) -> Talk {
        self.bind_with(&BindBody::new(elements), |_| {})
    }

    fn bind_with(self, body: &BindBody, change: impl FnOnce(&mut Draft)) -> Talk {
        let body = body.octets(self.order);
        self.pdu(PacketType::BIND, body, change)
    }

    /// A bind that asks for the group of an earlier connection.
    fn join(mut self, connection: usize) -> Talk {
        let body = BindBody::new(&[Element::new(0, SyntaxId::EPT, NDR)]).octets(self.order);
        self.call_id += 1;
        let draft = Draft::new(self.order, PacketType::BIND, self.call_id, body);
        let step = Step::new(draft.octets()).fill(GROUP_OFFSET, Filling::Group { connection });
        self.step(step)
    }

    fn alter(self, elements: &[Element]) -> Talk {
        self.alter_with(&BindBody::new(elements), |_| {})
    }

    fn alter_with(self, body: &BindBody, change: impl FnOnce(&mut Draft)) -> Talk {
        let body = body.octets(self.order);
        self.pdu(PacketType::ALTER_CONTEXT, body, change)
    }

    /// A whole call on a context.
    fn call(self, context_id: u16, opnum: u16, stub: &[u8]) -> Talk {
        self.call_with(&CallBody::new(context_id, opnum, stub), |_| {})
    }

    fn call_with(mut self, body: &CallBody, change: impl FnOnce(&mut Draft)) -> Talk {
        self.call_id += 1;
        let draft = body.draft(self.order, self.call_id, WHOLE).with(change);
        self.draft(&draft)
    }

    /// A call whose stub has the handle of the response to a step put in at `offset`.
    fn call_on_handle(mut self, opnum: u16, stub: &[u8], offset: usize, step: usize) -> Talk {
        self.call_id += 1;
        let draft = CallBody::new(0, opnum, stub).draft(self.order, self.call_id, WHOLE);
        let step = Step::new(draft.octets()).fill(24 + offset, Filling::Handle { step });
        self.step(step)
    }

    /// A fragment of a call with an id of one's own choice.
    fn fragment(self, flags: u8, call_id: u32, body: &CallBody) -> Talk {
        let draft = body.draft(self.order, call_id, flags);
        self.draft(&draft)
    }

    /// A call in two fragments.
    fn in_two(self, call_id: u32, body: &CallBody) -> Talk {
        self.fragment(FIRST, call_id, body)
            .fragment(LAST, call_id, body)
    }
}
