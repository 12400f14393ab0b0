//! The common header, packet types, and bodies that are too short or too long.

use super::{LITTLE, NDR, Talk};
use crate::conversation::Conversation;
use crate::pdus::{BindBody, CallBody, Draft, Element, OBJECT_UUID};
use epmapper::wire::pdu::PacketType;
use epmapper::wire::{ByteOrder, SyntaxId};
use uuid::Uuid;

pub fn all() -> Vec<Conversation> {
    [
        wrong_headers(),
        packet_types(),
        flags(),
        cut_bodies(),
        strangers(),
    ]
    .concat()
}

/// A change of a header, and what it is.
type Change = (&'static str, fn(&mut Draft));

const WRONG: [Change; 22] = [
    ("version 4", |d| d.version[0] = 4),
    ("version 6", |d| d.version[0] = 6),
    ("version 0", |d| d.version[0] = 0),
    ("minor version 1", |d| d.version[1] = 1),
    ("minor version 2", |d| d.version[1] = 2),
    ("EBCDIC", |d| d.drep[0] |= 1),
    ("byte order 2", |d| d.drep[0] ^= 0x20),
    ("VAX floating point", |d| d.drep[1] = 1),
    ("IBM floating point", |d| d.drep[1] = 3),
    ("a third octet of the label", |d| d.drep[2] = 1),
    ("a fourth octet of the label", |d| d.drep[3] = 0x80),
    ("length 0", |d| d.frag_length = Some(0)),
    ("length 10", |d| d.frag_length = Some(10)),
    ("length 15", |d| d.frag_length = Some(15)),
    ("length 16", |d| d.frag_length = Some(16)),
    ("length 20", |d| d.frag_length = Some(20)),
    ("a length 4 short", |d| {
        d.frag_length = Some(d.octets().len() as u16 - 4)
    }),
    ("a length 4 over", |d| {
        d.frag_length = Some(d.octets().len() as u16 + 4)
    }),
    ("a verifier without room", |d| {
        d.auth_length = Some(d.octets().len() as u16 - 16)
    }),
    ("a verifier with room to the octet", |d| {
        d.auth_length = Some((d.octets().len() as u16).saturating_sub(24))
    }),
    ("a verifier of 65535 octets", |d| {
        d.auth_length = Some(0xffff)
    }),
    ("call id 0", |d| d.call_id = 0),
];

fn wrong_headers() -> Vec<Conversation> {
    let mut all = Vec::new();
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let in_order = match order {
            ByteOrder::Little => "",
            ByteOrder::Big => ", big-endian",
        };
        for (what, change) in WRONG {
            let list = BindBody::new(&[Element::new(0, SyntaxId::MGMT, NDR)]);
            let name = |ptype: &str| format!("{ptype} with {what}{in_order}");
            all.push(
                Talk::new(name("bind"))
                    .in_order(order)
                    .bind_with(&list, change)
                    .done(),
            );
            let bound = |ptype: &str| Talk::mgmt(name(ptype)).in_order(order);
            all.push(bound("second bind").bind_with(&list, change).done());
            all.push(bound("alter_context").alter_with(&list, change).done());
            all.push(
                bound("request")
                    .call_with(&CallBody::new(0, 2, &[0; 8]), change)
                    .done(),
            );
            all.push(
                bound("co_cancel")
                    .pdu(PacketType::CO_CANCEL, Vec::new(), change)
                    .done(),
            );
            all.push(
                bound("response")
                    .pdu(PacketType::RESPONSE, vec![0; 8], change)
                    .done(),
            );
        }
    }
    all
}

fn packet_types() -> Vec<Conversation> {
    let mut all = Vec::new();
    for ptype in (0..=22).chain([64, 99, 255]) {
        for length in [0, 4, 8, 24, 56] {
            let ptype = PacketType(ptype);
            let name = format!("{ptype} of {length} octets");
            let body = || vec![0; length];
            let first = Talk::new(format!("first {name}"));
            all.push(first.pdu(ptype, body(), |_| {}).done());
            all.push(Talk::mgmt(name).pdu(ptype, body(), |_| {}).done());
        }
    }
    all
}

fn flags() -> Vec<Conversation> {
    let mut all = Vec::new();
    for flags in [
        0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff, 3, 7, 0x13, 0x17,
    ] {
        let list = BindBody::new(&[Element::new(0, SyntaxId::MGMT, NDR)]);
        let other = BindBody::new(&[Element::new(1, SyntaxId::EPT, NDR)]);
        let name = |what: &str| format!("{what} with flags {flags:02x}");
        all.push(
            Talk::new(name("bind"))
                .bind_with(&list, |d| d.flags = flags)
                .call(0, 2, &[])
                .done(),
        );
        all.push(
            Talk::mgmt(name("alter that repeats"))
                .alter_with(&list, |d| d.flags = flags)
                .done(),
        );
        all.push(
            Talk::mgmt(name("alter that adds"))
                .alter_with(&other, |d| d.flags = flags)
                .done(),
        );
        all.push(
            Talk::multiplexed(name("multiplexed alter that adds"))
                .alter_with(&other, |d| d.flags = flags)
                .done(),
        );
        all.push(
            Talk::mgmt(name("request"))
                .call_with(&CallBody::new(0, 2, &[]), |d| d.flags = flags)
                .done(),
        );
        all.push(
            Talk::mgmt(name("request and another flag"))
                .call_with(&CallBody::new(0, 2, &[]), |d| d.flags |= flags)
                .done(),
        );
        all.push(
            Talk::mgmt(name("co_cancel"))
                .pdu(PacketType::CO_CANCEL, Vec::new(), |d| d.flags = flags)
                .done(),
        );
    }
    let nothing = BindBody::new(&[Element::new(
        0,
        SyntaxId::MGMT,
        &[SyntaxId::new(Uuid::from_u128(9), 1, 0)],
    )]);
    for flags in [0x13, 0x17] {
        let name = format!("bind that accepts nothing with flags {flags:02x}");
        all.push(
            Talk::new(name)
                .bind_with(&nothing, |d| d.flags = flags)
                .done(),
        );
    }
    all
}

fn cut_bodies() -> Vec<Conversation> {
    let mut all = Vec::new();
    let list = BindBody::new(&[Element::new(0, SyntaxId::MGMT, NDR)]).octets(LITTLE);
    for length in [0, 1, 4, 8, 9, 11, 12, 16, 40, 51] {
        let name = |what: &str| format!("{what} cut to {length} octets");
        let body = list[..length.min(list.len())].to_vec();
        all.push(
            Talk::new(name("bind"))
                .pdu(PacketType::BIND, body.clone(), |_| {})
                .done(),
        );
        all.push(
            Talk::mgmt(name("second bind"))
                .pdu(PacketType::BIND, body.clone(), |_| {})
                .done(),
        );
        all.push(
            Talk::mgmt(name("alter_context"))
                .pdu(PacketType::ALTER_CONTEXT, body, |_| {})
                .done(),
        );
    }
    for count in [0, 2, 255] {
        let mut body = BindBody::new(&[Element::new(0, SyntaxId::MGMT, NDR)]);
        body.count = Some(count);
        let name = |what: &str| format!("{what} of one element that says {count}");
        all.push(Talk::new(name("bind")).bind_with(&body, |_| {}).done());
        all.push(
            Talk::mgmt(name("alter_context"))
                .alter_with(&body, |_| {})
                .done(),
        );
    }
    for spare in [1, 4, 40] {
        let body = [&list[..], &vec![0; spare]].concat();
        let name = |what: &str| format!("{what} with {spare} octets behind");
        all.push(
            Talk::new(name("bind"))
                .pdu(PacketType::BIND, body.clone(), |_| {})
                .done(),
        );
        all.push(
            Talk::mgmt(name("alter_context"))
                .pdu(PacketType::ALTER_CONTEXT, body, |_| {})
                .done(),
        );
    }
    for length in [0, 4, 7, 8] {
        let name = |what: &str| format!("{what} of {length} octets");
        let request = |talk: Talk, flags: u8| {
            talk.pdu(PacketType::REQUEST, vec![0; length], |d| {
                d.flags = 3 | flags
            })
            .done()
        };
        all.push(request(Talk::mgmt(name("a request")), 0));
        all.push(request(
            Talk::mgmt(name("a request with an object")),
            OBJECT_UUID,
        ));
    }
    let name = "a request whose object is cut";
    all.push(
        Talk::mgmt(name)
            .pdu(PacketType::REQUEST, vec![0; 20], |d| {
                d.flags = 3 | OBJECT_UUID
            })
            .done(),
    );
    all
}

/// What is no RPC at all, as many octets as its length field says.
fn strangers() -> Vec<Conversation> {
    let talk = |name: &str, head: &[u8], length: usize| {
        let mut octets = head.to_vec();
        octets.resize(length, 0);
        Talk::new(name).octets(&octets).done()
    };
    let http = b"GET / HTTP/1.0\r\n\r\n";
    vec![
        talk(
            "an HTTP request",
            http,
            usize::from(u16::from_be_bytes([http[8], http[9]])).max(0x5448),
        ),
        talk(
            "an SMB negotiate request",
            b"\0\0\0\xa4\xffSMBr\0\0\0\0\x08\x01\x40",
            0x7200,
        ),
        talk("zeros", &[], 64),
        Talk::new("a bind cut short")
            .octets(&[5, 0, 11, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0, 1])
            .done(),
        Talk::mgmt("a request cut short")
            .octets(&[5, 0, 0, 3, 0x10, 0, 0, 0, 72, 0, 0, 0, 1, 0, 0, 0, 1])
            .done(),
        Talk::mgmt("a header cut short")
            .octets(&[5, 0, 0, 3, 0x10])
            .done(),
        Talk::mgmt("the end").done(),
        Talk::new("nothing").octets(&[]).done(),
    ]
}
