//! Contexts, sizes, features, groups.

use super::{LITTLE, NDR, Talk};
use crate::conversation::Conversation;
use crate::generate::{FOREIGN, NO_GROUP};
use crate::pdus::{BindBody, Element};
use epmapper::wire::pdu::bind_time_syntax;
use epmapper::wire::{ByteOrder, SyntaxId};
use uuid::Uuid;

const NDR64: &[SyntaxId] = &[SyntaxId::NDR64];
/// A transfer syntax that nobody has.
const UNKNOWN: SyntaxId = SyntaxId::new(Uuid::from_u128(9), 1, 0);
const EPT: SyntaxId = SyntaxId::EPT;
const MGMT: SyntaxId = SyntaxId::MGMT;

pub fn all() -> Vec<Conversation> {
    [lists(), repeated(), sizes(), features(), groups()].concat()
}

fn element(id: u16, interface: SyntaxId, syntaxes: &[SyntaxId]) -> Element {
    Element::new(id, interface, syntaxes)
}

/// The same list in a bind, in an alter_context of new ids and in one of both byte orders.
fn everywhere(name: &str, elements: &[Element]) -> Vec<Conversation> {
    let calls = |talk: Talk| talk.call(0, 2, &[]).call(1, 2, &[]).done();
    vec![
        calls(Talk::new(format!("bind {name}")).bind(elements)),
        calls(
            Talk::new(format!("bind {name}, big-endian"))
                .in_order(ByteOrder::Big)
                .bind(elements),
        ),
        calls(
            Talk::new(format!("alter {name}"))
                .bind(&[element(100, MGMT, NDR)])
                .alter(elements),
        ),
    ]
}

fn lists() -> Vec<Conversation> {
    let version = |id: SyntaxId, major, minor| SyntaxId::new(id.uuid, major, minor);
    [
        everywhere("of no element", &[]),
        everywhere(
            "of an element without transfer syntaxes",
            &[element(0, MGMT, &[])],
        ),
        everywhere(
            "whose second element has no transfer syntaxes",
            &[element(0, MGMT, NDR), element(1, EPT, &[])],
        ),
        everywhere("of an unknown interface", &[element(0, FOREIGN, NDR)]),
        everywhere(
            "of an unknown interface and transfer syntax",
            &[element(0, FOREIGN, &[UNKNOWN])],
        ),
        everywhere(
            "of the nil interface",
            &[element(0, SyntaxId::new(Uuid::nil(), 0, 0), NDR)],
        ),
        everywhere(
            "of an unknown transfer syntax",
            &[element(0, MGMT, &[UNKNOWN])],
        ),
        everywhere(
            "of an unknown transfer syntax, then NDR",
            &[element(0, MGMT, &[UNKNOWN, SyntaxId::NDR])],
        ),
        everywhere(
            "of NDR 2.1",
            &[element(0, MGMT, &[version(SyntaxId::NDR, 2, 1)])],
        ),
        everywhere(
            "of NDR 1.0",
            &[element(0, MGMT, &[version(SyntaxId::NDR, 1, 0)])],
        ),
        everywhere(
            "of a newer minor version",
            &[element(0, version(MGMT, 1, 1), NDR)],
        ),
        everywhere(
            "of a newer major version",
            &[element(0, version(EPT, 4, 0), NDR)],
        ),
        everywhere(
            "of an older major version",
            &[element(0, version(EPT, 2, 0), NDR)],
        ),
        everywhere("of NDR64", &[element(0, MGMT, NDR64)]),
        everywhere(
            "of NDR64, then NDR",
            &[element(0, MGMT, &[SyntaxId::NDR64, SyntaxId::NDR])],
        ),
        everywhere(
            "of NDR, then NDR64",
            &[element(0, MGMT, &[SyntaxId::NDR, SyntaxId::NDR64])],
        ),
        everywhere(
            "of an element of NDR and one of NDR64",
            &[element(0, EPT, NDR), element(1, EPT, NDR64)],
        ),
        everywhere(
            "of an element of NDR64 and one of NDR",
            &[element(0, EPT, NDR64), element(1, EPT, NDR)],
        ),
        everywhere(
            "of two interfaces",
            &[element(0, MGMT, NDR), element(1, EPT, NDR)],
        ),
        everywhere(
            "of an unknown interface, then a known one",
            &[element(0, FOREIGN, NDR), element(1, EPT, NDR)],
        ),
        everywhere(
            "of a known interface, then an unknown one",
            &[element(0, MGMT, NDR), element(1, FOREIGN, NDR)],
        ),
        everywhere(
            "of one syntax three times",
            &[element(0, MGMT, &[SyntaxId::NDR; 3])],
        ),
        everywhere("of context 65535", &[element(0xffff, MGMT, NDR)]),
        everywhere(
            "of 255 elements",
            &(0..255)
                .map(|id| element(id, FOREIGN, NDR))
                .chain([element(300, MGMT, NDR)])
                .skip(1)
                .collect::<Vec<_>>(),
        ),
    ]
    .concat()
}

fn repeated() -> Vec<Conversation> {
    let alter = |name: &str, elements: &[Element]| {
        Talk::mgmt(format!("alter {name}"))
            .alter(elements)
            .call(0, 2, &[])
            .done()
    };
    [
        everywhere(
            "of one context twice",
            &[element(0, MGMT, NDR), element(0, MGMT, NDR)],
        ),
        everywhere(
            "of one id for two interfaces",
            &[element(0, MGMT, NDR), element(0, EPT, NDR)],
        ),
        everywhere(
            "of one id for two syntaxes",
            &[element(0, EPT, NDR), element(0, EPT, NDR64)],
        ),
        everywhere(
            "of one id, refused, then accepted",
            &[element(0, FOREIGN, NDR), element(0, EPT, NDR)],
        ),
        vec![
            alter("that repeats a context", &[element(0, MGMT, NDR)]),
            alter(
                "that repeats a context and adds one",
                &[element(0, MGMT, NDR), element(1, EPT, NDR)],
            ),
            alter(
                "that adds a context and repeats one",
                &[element(1, EPT, NDR), element(0, MGMT, NDR)],
            ),
            alter(
                "that gives an id another interface",
                &[element(0, EPT, NDR)],
            ),
            alter(
                "that gives an id an unknown interface",
                &[element(0, FOREIGN, NDR)],
            ),
            alter(
                "that gives an id another version",
                &[element(0, SyntaxId::new(MGMT.uuid, 1, 1), NDR)],
            ),
            alter(
                "that adds a context and gives an id another interface",
                &[element(1, EPT, NDR), element(0, EPT, NDR)],
            ),
            alter("that gives an id NDR64 only", &[element(0, MGMT, NDR64)]),
            alter(
                "that gives an id NDR64, then NDR",
                &[element(0, MGMT, &[SyntaxId::NDR64, SyntaxId::NDR])],
            ),
            alter(
                "that gives an id an unknown syntax",
                &[element(0, MGMT, &[UNKNOWN])],
            ),
            alter(
                "that gives an id an unknown syntax and NDR64",
                &[element(0, MGMT, &[UNKNOWN, SyntaxId::NDR64])],
            ),
            Talk::mgmt("alter twice")
                .alter(&[element(1, EPT, NDR)])
                .alter(&[element(2, EPT, NDR)])
                .call(2, 9, &[])
                .call(1, 9, &[])
                .call(0, 2, &[])
                .done(),
            Talk::mgmt("second bind")
                .bind(&[element(0, MGMT, NDR)])
                .done(),
            Talk::mgmt("second bind of another interface")
                .bind(&[element(1, EPT, NDR)])
                .done(),
            Talk::new("alter first")
                .alter(&[element(0, MGMT, NDR)])
                .done(),
            Talk::new("request first").call(0, 2, &[]).done(),
        ],
    ]
    .concat()
}

fn sizes() -> Vec<Conversation> {
    let mut all = Vec::new();
    let sizes = [
        0, 1, 1432, 2047, 2048, 2053, 3199, 4280, 5839, 5840, 5841, 0xffff,
    ];
    for xmit in sizes {
        for recv in sizes {
            let mut body = BindBody::new(&[element(0, EPT, NDR)]);
            (body.max_xmit_frag, body.max_recv_frag) = (xmit, recv);
            let (lookup, _) = crate::calls::lookup(LITTLE, 0, None, None, 1, &[0; 20], 500);
            let name = format!("bind of sizes {xmit} and {recv}, and a long answer");
            all.push(
                Talk::new(name)
                    .bind_with(&body, |_| {})
                    .call(0, 2, &lookup)
                    .done(),
            );
        }
    }
    let mut body = BindBody::new(&[element(1, EPT, NDR)]);
    (body.max_xmit_frag, body.max_recv_frag, body.group) = (1, 2, NO_GROUP);
    all.push(
        Talk::mgmt("alter of other sizes and an unknown group")
            .alter_with(&body, |_| {})
            .done(),
    );
    all
}

fn features() -> Vec<Conversation> {
    let mut all = Vec::new();
    for mask in [0, 1, 2, 3, 4, 0xff, u64::MAX] {
        let feature = element(9, EPT, &[bind_time_syntax(mask)]);
        let ndr = element(0, MGMT, NDR);
        let name = |what: &str| format!("{what} of features {mask:x}");
        let bind = |what: &str, elements: &[Element]| Talk::new(name(what)).bind(elements).done();
        all.push(bind("bind", std::slice::from_ref(&feature)));
        all.push(bind("bind first", &[feature.clone(), ndr.clone()]));
        all.push(bind("bind last", &[ndr.clone(), feature.clone()]));
        all.push(bind(
            "bind beside NDR64",
            &[
                element(0, EPT, NDR),
                element(1, EPT, NDR64),
                feature.clone(),
            ],
        ));
        all.push(bind(
            "bind, behind NDR,",
            &[element(0, MGMT, &[SyntaxId::NDR, bind_time_syntax(mask)])],
        ));
        all.push(bind(
            "bind, before NDR,",
            &[element(0, MGMT, &[bind_time_syntax(mask), SyntaxId::NDR])],
        ));
        all.push(bind(
            "bind, for an unknown interface,",
            &[element(0, FOREIGN, &[bind_time_syntax(mask)])],
        ));
        all.push(bind("bind, twice,", &[feature.clone(), feature.clone()]));
        all.push(
            Talk::mgmt(name("alter"))
                .alter(std::slice::from_ref(&feature))
                .done(),
        );
        let mut version = bind_time_syntax(mask);
        version.minor = 1;
        all.push(bind("bind of version 1.1", &[element(0, EPT, &[version])]));
    }
    all
}

fn groups() -> Vec<Conversation> {
    let with_group = |name: &str, group: u32| {
        let mut body = BindBody::new(&[element(0, EPT, NDR)]);
        body.group = group;
        Talk::new(name).bind_with(&body, |_| {}).done()
    };
    vec![
        with_group("bind into a group of another server process", NO_GROUP),
        Talk::ept("a group joined")
            .on(1)
            .join(0)
            .call(0, 9, &[])
            .on(0)
            .call(0, 9, &[])
            .done(),
        Talk::ept("a group joined twice")
            .on(1)
            .join(0)
            .on(2)
            .join(1)
            .done(),
        Talk::ept("two groups")
            .on(1)
            .bind(&[element(0, EPT, NDR)])
            .done(),
    ]
}
