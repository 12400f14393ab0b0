//! What a server answers, as named fields: two answers are compared name by name.
//!
//! The fragments of a response are one answer. Left out is what no two servers have in common: the numbers of
//! association groups (whether a group is the same as one told before is kept), and what stubs.rs leaves out.

use crate::stubs;
use epmapper::wire::pdu::{
    AuthVerifier, BindAck, BindNak, Body, Fault, Header, PacketType, Pdu, Response,
};
use epmapper::wire::{ByteOrder, SyntaxId};
use std::net::Ipv4Addr;

/// The call id of an answer whose octets stand the other way round than in the PDU that is answered.
pub const REVERSED: &str = "octets reversed";

/// One PDU of a server, or all fragments of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How many steps had been taken when it was read.
    pub after: usize,
    /// Its type by name.
    pub pdu: String,
    pub call_id: u32,
    /// What it says.
    pub fields: Vec<Field>,
    pub octets: Vec<u8>,
}

/// What one field of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub value: String,
}

/// What has to be known beside an answer to compare it.
pub struct Known<'a> {
    /// The server's own address, which towers have.
    pub server: Ipv4Addr,
    /// The groups told so far, in the order of their first appearance.
    pub groups: &'a mut Vec<u32>,
    /// The call ids sent so far.
    pub call_ids: &'a [u32],
    /// Interface and operation of the call that is answered, and the whole stub with this last fragment.
    pub call: Option<(SyntaxId, u16, Vec<u8>)>,
}

impl Answer {
    /// Takes an answer apart; only a response has several PDUs.
    pub fn new(pdus: &[Vec<u8>], after: usize, known: &mut Known<'_>) -> Answer {
        let header = Header::decode(&pdus[0]).expect("a whole header");
        let mut fields = Fields::default();
        fields.header(&header, known.call_ids);
        let decoded: Result<Vec<Pdu>, _> = pdus.iter().map(|octets| Pdu::decode(octets)).collect();
        match decoded {
            Ok(decoded) => {
                fields.body(&decoded, known);
                fields.add("padding", decoded[0].pad.len());
                fields.verifier(decoded[0].auth.as_ref());
            }
            Err(error) => fields.add("undecodable", error),
        }
        Answer {
            after,
            pdu: header.ptype.to_string(),
            call_id: header.call_id,
            fields: fields.0,
            octets: pdus.concat(),
        }
    }

    /// What a field says.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.name == name);
        field.map(|field| field.value.as_str())
    }

    /// The answer in two words, for a comparison with another or none.
    pub fn summary(&self) -> String {
        let detail = ["status", "reason"]
            .iter()
            .find_map(|name| self.field(name));
        match (self.pdu.as_str(), detail) {
            ("fault" | "bind_nak", Some(detail)) => format!("{} {detail}", self.pdu),
            _ => self.pdu.clone(),
        }
    }
}

/// Fields as they are gathered.
#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn add(&mut self, name: &'static str, value: impl ToString) {
        let value = value.to_string();
        self.0.push(Field { name, value });
    }

    fn header(&mut self, header: &Header, call_ids: &[u32]) {
        let version = format!("{}.{}", header.version_major, header.version_minor);
        self.add("version", version);
        self.add("byte order", order(header));
        let call_id = header.call_id;
        if call_ids.contains(&call_id) {
            self.add("call_id", "as sent");
        } else if call_ids.contains(&call_id.swap_bytes()) {
            self.add("call_id", REVERSED);
        } else {
            self.add("call_id", call_id);
        }
    }

    fn body(&mut self, pdus: &[Pdu<'_>], known: &mut Known<'_>) {
        let header = &pdus[0].header;
        let is_response = header.ptype == PacketType::RESPONSE;
        if !is_response {
            self.add("flags", format!("{:#04x}", header.flags.0));
        }
        // Before the length, which tells less.
        match &pdus[0].body {
            Body::BindAck(ack) | Body::AlterContextResp(ack) => self.ack(ack, known),
            Body::BindNak(nak) => self.nak(nak),
            Body::Fault(fault) => self.fault(fault),
            Body::Response(response) => self.response(response, pdus, known),
            other => self.add("body", format!("{other:?}")),
        }
        if !is_response {
            self.add("frag_length", header.frag_length);
        }
        self.add("auth_length", header.auth_length);
    }

    fn ack(&mut self, ack: &BindAck<'_>, known: &mut Known<'_>) {
        let group = known.groups.iter().position(|g| *g == ack.assoc_group_id);
        let group = group.unwrap_or_else(|| {
            known.groups.push(ack.assoc_group_id);
            known.groups.len() - 1
        });
        self.add("max_xmit_frag", ack.max_xmit_frag);
        self.add("max_recv_frag", ack.max_recv_frag);
        self.add(
            "group",
            if ack.assoc_group_id == 0 {
                "none".into()
            } else {
                format!("number {group}")
            },
        );
        self.add(
            "secondary address",
            String::from_utf8_lossy(ack.secondary_address).escape_default(),
        );
        self.add("results", ack.results.iter().count());
        for answer in ack.results.iter() {
            let syntax = match answer.transfer_syntax {
                SyntaxId::NDR => "NDR",
                SyntaxId::NDR64 => "NDR64",
                epmapper::wire::pdu::ContextAnswer::NO_SYNTAX => "none",
                _ => "unknown",
            };
            let text = format!("{}/{} {syntax}", answer.result.0, answer.reason.0);
            self.add("result", text);
        }
    }

    fn nak(&mut self, nak: &BindNak<'_>) {
        self.add("reason", nak.reason.0);
        self.add("versions", format!("{:?}", nak.versions));
    }

    fn fault(&mut self, fault: &Fault<'_>) {
        self.add("status", format!("{:#x}", fault.status.0));
        self.add("alloc_hint", fault.alloc_hint);
        self.add("context_id", fault.context_id);
        self.add("cancel_count", fault.cancel_count);
        self.add("fault flags", fault.flags);
        self.add("reserved", fault.reserved);
        self.add("extended", fault.extended.len());
    }

    fn response(&mut self, response: &Response<'_>, pdus: &[Pdu<'_>], known: &Known<'_>) {
        self.fragments(pdus);
        self.add("context_id", response.context_id);
        self.add("cancel_count", response.cancel_count);
        self.add("reserved", response.reserved);
        if let Some((interface, opnum, stub)) = &known.call {
            let whole = stubs::Response {
                interface: *interface,
                opnum: *opnum,
                order: pdus[0].header.drep.order(),
                server: known.server,
                stub,
            };
            for (name, value) in whole.fields() {
                self.add(name, value);
            }
        }
    }

    /// How a response is cut: its flags, its hints, its longest fragment.
    fn fragments(&mut self, pdus: &[Pdu<'_>]) {
        let last = pdus.len() - 1;
        let expected = |place| match (place == 0, place == last) {
            (true, true) => 3,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 0,
        };
        let flags: Vec<u8> = pdus.iter().map(|pdu| pdu.header.flags.0).collect();
        let is_regular = flags
            .iter()
            .enumerate()
            .all(|(place, flags)| *flags == expected(place));
        self.add(
            "flags",
            match is_regular {
                true => "first to last".to_owned(),
                false => format!("{flags:02x?}"),
            },
        );
        let mut left: usize = pdus.iter().map(stub_len).sum();
        let mut hints = Vec::new();
        for pdu in pdus {
            if let Body::Response(response) = pdu.body {
                hints.push((response.alloc_hint as usize, left));
                left -= response.stub.len();
            }
        }
        self.add(
            "alloc_hint",
            match hints.iter().all(|(hint, left)| hint == left) {
                true => "what is left".to_owned(),
                false => format!("{hints:?}"),
            },
        );
        let longest = pdus.iter().map(|pdu| pdu.header.frag_length).max();
        self.add(
            "longest fragment",
            match (pdus.len(), longest) {
                (1, _) | (_, None) => "the only one".to_owned(),
                (_, Some(longest)) => longest.to_string(),
            },
        );
    }

    fn verifier(&mut self, verifier: Option<&AuthVerifier<'_>>) {
        let Some(verifier) = verifier else { return };
        self.add("auth_type", verifier.auth_type.0);
        self.add("auth_level", verifier.auth_level.0);
        self.add("auth_pad_length", verifier.pad_length);
        self.add("auth_context_id", verifier.context_id);
    }
}

/// How the integers of an answer are written.
fn order(header: &Header) -> String {
    match (header.drep.is_supported(), header.drep.order()) {
        (true, ByteOrder::Little) => "little".to_owned(),
        (true, ByteOrder::Big) => "big".to_owned(),
        (false, _) => format!("{:?}", header.drep.0),
    }
}

fn stub_len(pdu: &Pdu<'_>) -> usize {
    match pdu.body {
        Body::Response(response) => response.stub.len(),
        _ => 0,
    }
}

/// Whether a fragment ends its answer: all but those of a response are whole.
pub fn is_last(header: &Header) -> bool {
    header.ptype != PacketType::RESPONSE
        || header
            .flags
            .contains(epmapper::wire::pdu::PfcFlags::LAST_FRAG)
}
