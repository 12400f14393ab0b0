//! Conversations made from a seed: mostly right, with one or two things wrong.

use crate::calls;
use crate::conversation::{Conversation, Filling, Step};
use crate::pdus::{
    self, BindBody, CONC_MPX, CallBody, Draft, Element, FIRST, GROUP_OFFSET, LAST, MAYBE,
    PENDING_CANCEL, Verifier, WHOLE,
};
use crate::random::Random;
use epmapper::wire::pdu::{PacketType, bind_time_syntax};
use epmapper::wire::{ByteOrder, SyntaxId};
use std::collections::BTreeSet;
use uuid::{Uuid, uuid};

/// An interface that no mapper serves.
pub const FOREIGN: SyntaxId = SyntaxId::new(uuid!("0f0e0d0c-0b0a-0908-0706-050403020100"), 1, 0);
/// A group that no server has told.
pub const NO_GROUP: u32 = 0x7f00_7f7f;

/// The conversation with this number of a seed.
pub fn conversation(seed: u64, number: u64) -> Conversation {
    let mut random = Random::new(seed, number);
    let order = random.weighted(&[(6, ByteOrder::Little), (1, ByteOrder::Big)]);
    let mut maker = Maker {
        random,
        order,
        call_id: 1,
        drafts: Vec::new(),
        contexts: Vec::new(),
        calls: Vec::new(),
        connection: 0,
        first: 0,
    };
    maker.converse();
    maker.mutate();
    let is_pipelined = maker.connection == 0 && maker.random.once_in(8);
    let mut steps: Vec<Step> = maker.drafts.into_iter().map(Made::step).collect();
    if is_pipelined {
        steps.retain(|step| step.fills.is_empty());
    }
    leave_out_what_hangs_on_time(&mut steps, is_pipelined);
    Conversation {
        name: format!("{number} of seed {seed}"),
        steps,
        is_pipelined,
    }
}

/// Leaves out cancels and orphaned where what they do hangs on whether their
/// call is answered yet: nobody waits for the answer of a call whose last
/// fragment is another than its first, nor between PDUs written at once.
fn leave_out_what_hangs_on_time(steps: &mut Vec<Step>, is_pipelined: bool) {
    let mut running: BTreeSet<usize> = BTreeSet::new();
    steps.retain(|step| {
        let [_, _, ptype, flags, ..] = step.octets[..] else {
            return true;
        };
        match PacketType(ptype) {
            PacketType::CO_CANCEL | PacketType::ORPHANED => {
                return !is_pipelined && !running.contains(&step.connection);
            }
            PacketType::REQUEST if flags & WHOLE == LAST => {
                running.insert(step.connection);
            }
            _ => {}
        }
        true
    });
}

/// A step that can still be changed.
#[derive(Clone)]
struct Made {
    draft: Draft,
    connection: usize,
    fill: Option<(usize, Filling)>,
}

impl Made {
    fn step(self) -> Step {
        let step = Step::new(self.draft.octets()).on(self.connection);
        match self.fill {
            Some((offset, what))
                if offset + 20 <= step.octets.len()
                    || matches!(what, Filling::Group { .. }) && offset + 4 <= step.octets.len() =>
            {
                step.fill(offset, what)
            }
            _ => step,
        }
    }
}

/// A conversation in the making.
struct Maker {
    random: Random,
    order: ByteOrder,
    call_id: u32,
    drafts: Vec<Made>,
    /// What is likely to be bound on the connection.
    contexts: Vec<(u16, SyntaxId)>,
    /// Steps with calls of the mapper that may give a handle.
    calls: Vec<usize>,
    connection: usize,
    /// The first step that may be made wrong.
    first: usize,
}

impl Maker {
    /// A whole conversation without a mistake, except for those that a list of contexts may have.
    ///
    /// Of two connections the first does nothing that ends it: its group is asked for by the second.
    fn converse(&mut self) {
        if self.random.once_in(7) {
            self.plain_bind();
            for _ in 0..self.random.below(3) {
                self.plain_call();
            }
            self.connection = 1;
            self.contexts.clear();
        }
        if !self.random.once_in(40) {
            self.bind();
        }
        for _ in 0..self.random.below(6) {
            self.go_on();
        }
    }

    fn plain_bind(&mut self) {
        let interface = SyntaxId::EPT;
        let body = BindBody::new(&[Element::new(0, interface, &[SyntaxId::NDR])]);
        let body = body.octets(self.order);
        self.contexts.push((0, interface));
        self.push(Draft::new(self.order, PacketType::BIND, self.call_id, body));
    }

    fn plain_call(&mut self) {
        let call_id = self.next_id();
        let (body, handle) = self.call_body();
        let body = CallBody {
            context_id: 0,
            ..body
        };
        self.push(body.draft(self.order, call_id, WHOLE));
        if handle.is_some() {
            self.calls.push(self.drafts.len() - 1);
        }
    }

    fn go_on(&mut self) {
        let what = self.random.weighted(&[
            (14, Maker::call as fn(&mut Maker)),
            (5, Maker::fragments),
            (5, Maker::alter),
            (2, Maker::cancel),
            (1, Maker::bind),
            (1, Maker::odd),
            (1, Maker::auth3),
        ]);
        what(self);
    }

    fn push(&mut self, draft: Draft) {
        let connection = self.connection;
        self.drafts.push(Made {
            draft,
            connection,
            fill: None,
        });
    }

    fn next_id(&mut self) -> u32 {
        self.call_id += 1;
        self.call_id
    }

    fn bind(&mut self) {
        let flags = self.bind_flags();
        let mut body = self.context_list(true);
        let sizes = [0, 1, 1432, 2047, 2048, 2053, 4280, 5840, 5841, 8192, 65535];
        if self.random.once_in(3) {
            body.max_xmit_frag = self.random.pick(&sizes);
            body.max_recv_frag = self.random.pick(&sizes);
        }
        let joins = self.connection > 0 && !self.random.once_in(3);
        if !joins && self.random.once_in(30) {
            body.group = NO_GROUP;
        }
        let call_id = self.call_id;
        let body = body.octets(self.order);
        let mut draft = Draft::new(self.order, PacketType::BIND, call_id, body).flags(flags);
        if self.random.once_in(14) {
            draft.verifier = Some(self.verifier());
        }
        self.push(draft);
        if joins && let Some(made) = self.drafts.last_mut() {
            made.fill = Some((GROUP_OFFSET, Filling::Group { connection: 0 }));
        }
    }

    fn bind_flags(&mut self) -> u8 {
        let any = self.random.next() as u8;
        self.random.weighted(&[
            (12, WHOLE),
            (6, WHOLE | CONC_MPX),
            (2, WHOLE | PENDING_CANCEL),
            (1, 0),
            (1, any),
        ])
    }

    fn context_list(&mut self, is_bind: bool) -> BindBody {
        let count = self
            .random
            .weighted(&[(12, 1), (5, 2), (3, 3), (1, 5), (1, 0)]);
        let mut elements = Vec::new();
        for place in 0..count {
            let element = self.element(place);
            elements.push(element);
        }
        if is_bind && self.random.once_in(5) {
            let mask = self.random.pick(&[0, 1, 2, 3, 0xff]);
            let place = self.random.below(elements.len() + 1);
            let id = elements.len() as u16;
            elements.insert(
                place,
                Element::new(id, SyntaxId::EPT, &[bind_time_syntax(mask)]),
            );
        }
        self.contexts.extend(
            elements
                .iter()
                .map(|element| (element.id, element.interface)),
        );
        BindBody::new(&elements)
    }

    fn element(&mut self, place: usize) -> Element {
        let mut interface =
            self.random
                .weighted(&[(10, SyntaxId::EPT), (8, SyntaxId::MGMT), (2, FOREIGN)]);
        if self.random.once_in(16) {
            interface.minor = 1;
        }
        if self.random.once_in(20) {
            interface.major += 1;
        }
        let unknown = SyntaxId::new(Uuid::from_u128(9), 1, 0);
        let newer = SyntaxId::new(SyntaxId::NDR.uuid, 2, 1);
        let syntaxes = self.random.weighted(&[
            (20, vec![SyntaxId::NDR]),
            (2, vec![SyntaxId::NDR64]),
            (2, vec![SyntaxId::NDR64, SyntaxId::NDR]),
            (2, vec![SyntaxId::NDR, SyntaxId::NDR64]),
            (1, vec![unknown]),
            (1, vec![unknown, SyntaxId::NDR]),
            (1, vec![newer]),
            (1, vec![SyntaxId::NDR, SyntaxId::NDR]),
            (1, vec![]),
            (1, vec![SyntaxId::NDR, bind_time_syntax(3)]),
        ]);
        let known = self.contexts.len() as u16;
        let repeated = self.contexts.last().map_or(0, |(id, _)| *id);
        let id = self.random.weighted(&[
            (10, known + place as u16),
            (3, repeated),
            (1, 0x1ff),
            (1, 0xffff),
        ]);
        Element::new(id, interface, &syntaxes)
    }

    fn alter(&mut self) {
        let call_id = self.next_id();
        let mut body = self.context_list(false);
        if self.random.once_in(4) {
            body.max_xmit_frag = 1234;
            body.group = NO_GROUP;
        }
        let flags = self.bind_flags();
        let body = body.octets(self.order);
        let mut draft =
            Draft::new(self.order, PacketType::ALTER_CONTEXT, call_id, body).flags(flags);
        if self.random.once_in(12) {
            draft.verifier = Some(self.verifier());
        }
        self.push(draft);
    }

    /// The body of a call that is mostly right.
    fn call_body(&mut self) -> (CallBody, Option<u16>) {
        let context = self.random.below(self.contexts.len().max(1));
        let (id, interface) = self
            .contexts
            .get(context)
            .copied()
            .unwrap_or((0, SyntaxId::EPT));
        let id = if self.random.once_in(25) { 77 } else { id };
        let (opnum, stub, handle) = match interface {
            SyntaxId::MGMT => {
                let (opnum, stub) = calls::mgmt(&mut self.random, self.order);
                (opnum, stub, None)
            }
            _ => calls::ept(&mut self.random, self.order),
        };
        let mut body = CallBody::new(id, opnum, &stub);
        if self.random.once_in(12) {
            body.object = Some(self.random.pick(&[Uuid::nil(), Uuid::from_u128(5)]));
        }
        if self.random.once_in(10) {
            body.alloc_hint = Some(
                self.random
                    .pick(&[0, 1, 0xffff_ffff, 4 << 20, (4 << 20) + 1]),
            );
        }
        let handle = handle.map(|offset| offset + 24 + if body.object.is_some() { 16 } else { 0 });
        (body, handle.map(|offset| offset as u16))
    }

    fn call(&mut self) {
        let call_id = self.next_id();
        let (body, handle) = self.call_body();
        let maybe = if self.random.once_in(25) { MAYBE } else { 0 };
        let mut draft = body.draft(self.order, call_id, WHOLE | maybe);
        if self.random.once_in(25) {
            draft.verifier = Some(self.verifier());
        }
        self.push(draft);
        if let Some(offset) = handle {
            let step = self.drafts.len() - 1;
            if !self.calls.is_empty() && !self.random.once_in(3) {
                let step = self.random.pick(&self.calls);
                self.drafts.last_mut().expect("the call").fill =
                    Some((usize::from(offset), Filling::Handle { step }));
            }
            self.calls.push(step);
        }
    }

    /// A call in fragments, sometimes with something between them.
    fn fragments(&mut self) {
        let call_id = self.next_id();
        let (body, _) = self.call_body();
        let size = self.random.pick(&[1, 8, 16, 57]);
        let size = size.max(body.stub.len() / 4 + 1);
        let chunks: Vec<&[u8]> = match body.stub.is_empty() {
            true => vec![&[], &[]],
            false => body.stub.chunks(size).collect(),
        };
        let last = chunks.len() - 1;
        for (place, chunk) in chunks.iter().enumerate() {
            let mut flags = 0;
            if place == 0 {
                flags |= FIRST;
            }
            if place == last {
                flags |= LAST;
            }
            let fragment = CallBody {
                stub: chunk.to_vec(),
                ..body.clone()
            };
            self.push(fragment.draft(self.order, call_id, flags));
            if self.random.once_in(12) {
                let between =
                    self.random
                        .pick(&[Maker::cancel as fn(&mut Maker), Maker::call, Maker::alter]);
                between(self);
            }
        }
    }

    fn cancel(&mut self) {
        let ptype = self
            .random
            .pick(&[PacketType::CO_CANCEL, PacketType::ORPHANED]);
        let call_id = match self.random.once_in(2) {
            true => self.call_id,
            false => 4711,
        };
        let mut draft = Draft::new(self.order, ptype, call_id, Vec::new());
        if self.random.once_in(10) {
            draft.verifier = Some(self.verifier());
        }
        self.push(draft);
    }

    /// A PDU that no client sends.
    fn odd(&mut self) {
        let any = PacketType(self.random.next() as u8);
        let ptype = self.random.pick(&[
            PacketType::RESPONSE,
            PacketType::FAULT,
            PacketType::BIND_ACK,
            PacketType::BIND_NAK,
            PacketType::ALTER_CONTEXT_RESP,
            PacketType::SHUTDOWN,
            PacketType::RTS,
            PacketType(1),
            PacketType(4),
            PacketType(10),
            any,
        ]);
        let call_id = self.next_id();
        let body = [0, 8, 16, 24, 44];
        let body = vec![0; self.random.pick(&body)];
        self.push(Draft::new(self.order, ptype, call_id, body));
    }

    fn auth3(&mut self) {
        let call_id = self.call_id;
        let mut draft = Draft::new(self.order, PacketType::AUTH3, call_id, vec![0; 4]);
        if !self.random.once_in(4) {
            draft.verifier = Some(self.verifier());
        }
        self.push(draft);
    }

    fn verifier(&mut self) -> Verifier {
        let auth_type = self.random.pick(&[0, 1, 9, 10, 14, 16, 68, 200, 255]);
        let level = self.random.pick(&[0, 1, 2, 2, 3, 4, 5, 6, 7]);
        let length = self.random.pick(&[0, 1, 4, 16, 40]);
        let value = match self.random.once_in(3) {
            true => calls::ntlmssp_negotiate(),
            false => self.random.octets(length),
        };
        let mut verifier = Verifier::new(auth_type, level, &value);
        let padding = self
            .random
            .weighted(&[(10, 0), (1, 1), (1, 2), (1, 4), (1, 8)]);
        verifier.padding = padding;
        verifier.pad_length =
            self.random
                .weighted(&[(10, padding as u8), (1, 0), (1, 3), (1, 255)]);
        verifier
    }

    /// Makes one or two things wrong, or none.
    fn mutate(&mut self) {
        let count = self.random.weighted(&[(5, 0), (8, 1), (4, 2)]);
        for _ in 0..count {
            let before = |made: &&Made| made.connection < self.connection;
            self.first = self.drafts.iter().take_while(before).count();
            if self.drafts.len() == self.first {
                return;
            }
            let what = self.random.weighted(&[
                (6, Maker::wrong_header as fn(&mut Maker)),
                (4, Maker::wrong_flags),
                (3, Maker::wrong_body),
                (2, Maker::wrong_order),
            ]);
            what(self);
        }
    }

    fn any_draft(&mut self) -> (usize, &mut Draft) {
        let place = self.first + self.random.below(self.drafts.len() - self.first);
        (place, &mut self.drafts[place].draft)
    }

    fn wrong_header(&mut self) {
        let which = self.random.below(9);
        let any = self.random.next();
        let near = self.random.pick(&[-24i32, -9, -8, -4, -1, 1, 4, 8, 16, 24]);
        let lengths = self.random.pick(&[0u16, 1, 15, 16, 17, 20, 23, 24, 28]);
        let (_, draft) = self.any_draft();
        let length = draft.octets().len() as i32;
        match which {
            0 => draft.version[0] = (any % 8) as u8,
            1 => draft.version[1] = (any % 3) as u8,
            2 => draft.ptype = (any % 24) as u8,
            3 => draft.drep[(any % 4) as usize] ^= 1 << ((any >> 8) % 8),
            4 => draft.frag_length = Some((length + near).max(0) as u16),
            5 => draft.frag_length = Some(lengths),
            6 => draft.auth_length = Some(lengths),
            7 => draft.call_id = [0, 1, 2, 0xffff_ffff][(any % 4) as usize],
            _ => {
                draft.auth_length = Some((length - 16 + near).max(0) as u16);
            }
        }
    }

    fn wrong_flags(&mut self) {
        let any = self.random.next();
        let bits = [
            FIRST,
            LAST,
            PENDING_CANCEL,
            0x08,
            CONC_MPX,
            0x20,
            MAYBE,
            pdus::OBJECT_UUID,
        ];
        let (_, draft) = self.any_draft();
        draft.flags ^= bits[(any % 8) as usize];
    }

    fn wrong_body(&mut self) {
        let any = self.random.next();
        let spare = self.random.pick(&[1, 2, 3, 4, 8, 40]);
        let (_, draft) = self.any_draft();
        let length = draft.body.len();
        match any % 4 {
            0 => draft.body.truncate((any >> 8) as usize % (length + 1)),
            1 => draft.body.truncate(length.saturating_sub(spare)),
            2 => draft.body.extend(vec![0; spare]),
            _ if length > 0 => {
                draft.body[(any >> 8) as usize % length] ^= 1 << ((any >> 40) % 8);
            }
            _ => {}
        }
    }

    /// Repeats, leaves out or swaps steps.
    fn wrong_order(&mut self) {
        let (place, _) = self.any_draft();
        let other = self.first + self.random.below(self.drafts.len() - self.first);
        match self.random.below(3) {
            0 => {
                let again = self.drafts[place].clone();
                self.drafts.push(again);
            }
            1 => {
                self.drafts.remove(place);
            }
            _ => self.drafts.swap(place, other),
        }
        // What is put in counts by steps, which are others now.
        for made in &mut self.drafts {
            made.fill = made
                .fill
                .filter(|(_, what)| matches!(what, Filling::Group { .. }));
        }
    }
}
