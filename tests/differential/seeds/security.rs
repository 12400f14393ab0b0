//! Verifiers, on connections that never authenticated.

use super::{NDR, Talk};
use crate::calls;
use crate::conversation::Conversation;
use crate::pdus::{BindBody, CallBody, Draft, Element, FIRST, LAST, Verifier};
use epmapper::wire::SyntaxId;
use epmapper::wire::pdu::PacketType;

const TYPES: [u8; 9] = [0, 1, 9, 10, 14, 16, 68, 200, 255];
const LEVELS: [u8; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 255];

pub fn all() -> Vec<Conversation> {
    [legs(), pads(), calls_with_verifier(), several_mistakes()].concat()
}

fn list() -> BindBody {
    BindBody::new(&[Element::new(0, SyntaxId::MGMT, NDR)])
}

/// A token that no mechanism knows, one of NTLM, none.
fn tokens() -> [(&'static str, Vec<u8>); 3] {
    [
        ("unknown", vec![0x55; 16]),
        ("NTLM", calls::ntlmssp_negotiate()),
        ("one octet", vec![0]),
    ]
}

fn verifier(verifier: Verifier) -> impl FnOnce(&mut Draft) {
    move |draft| draft.verifier = Some(verifier)
}

fn legs() -> Vec<Conversation> {
    let mut all = Vec::new();
    for auth_type in TYPES {
        for level in LEVELS {
            for (token, value) in tokens() {
                let name = |what: &str| {
                    format!("{what} of type {auth_type}, level {level}, token {token}")
                };
                let given = || verifier(Verifier::new(auth_type, level, &value));
                all.push(Talk::new(name("bind")).bind_with(&list(), given()).done());
                if token == "NTLM" {
                    all.push(
                        Talk::mgmt(name("alter"))
                            .alter_with(&list(), given())
                            .done(),
                    );
                    all.push(
                        Talk::mgmt(name("auth3"))
                            .pdu(PacketType::AUTH3, vec![0; 4], given())
                            .done(),
                    );
                    all.push(
                        Talk::mgmt(name("request"))
                            .call_with(&CallBody::new(0, 2, &[0; 8]), given())
                            .done(),
                    );
                }
            }
        }
    }
    all
}

/// Where the verifier begins, and what it says of it.
fn pads() -> Vec<Conversation> {
    let mut all = Vec::new();
    for padding in [0, 1, 2, 3, 4, 8, 16, 40] {
        for told in [0, 1, 4, 8, 16, 52, 255] {
            for auth_type in [0, 9, 10, 200] {
                let made = || {
                    let mut made = Verifier::new(auth_type, 2, &calls::ntlmssp_negotiate());
                    (made.padding, made.pad_length) = (padding, told);
                    verifier(made)
                };
                let name = |what: &str| {
                    format!("{what} of type {auth_type}, {padding} octets of padding, {told} told")
                };
                all.push(Talk::new(name("bind")).bind_with(&list(), made()).done());
                all.push(Talk::mgmt(name("alter")).alter_with(&list(), made()).done());
                all.push(
                    Talk::mgmt(name("auth3"))
                        .pdu(PacketType::AUTH3, vec![0; 4], made())
                        .done(),
                );
                all.push(
                    Talk::mgmt(name("request"))
                        .call_with(&CallBody::new(0, 2, &[0; 8]), made())
                        .done(),
                );
            }
        }
    }
    all
}

fn calls_with_verifier() -> Vec<Conversation> {
    let made = || Verifier::new(10, 2, &[0; 16]);
    let call = |context, opnum| CallBody::new(context, opnum, &[0; 8]);
    let signed = |talk: Talk, flags: u8, call_id| {
        let draft = call(0, 2).draft(super::LITTLE, call_id, flags);
        talk.draft(&draft.with(verifier(made())))
    };
    vec![
        Talk::mgmt("verifier on an unknown context")
            .call_with(&call(9, 2), verifier(made()))
            .done(),
        Talk::mgmt("verifier on an unknown operation")
            .call_with(&call(0, 9), verifier(made()))
            .done(),
        Talk::new("verifier on a context above 255")
            .bind(&[Element::new(0x1ff, SyntaxId::MGMT, NDR)])
            .call_with(&call(0x1ff, 2), verifier(made()))
            .done(),
        signed(Talk::mgmt("verifier on the first fragment"), FIRST, 5).done(),
        signed(
            Talk::mgmt("verifier on the last fragment").fragment(FIRST, 5, &call(0, 2)),
            LAST,
            5,
        )
        .done(),
        signed(
            Talk::mgmt("verifier on the fragment of another call").fragment(FIRST, 5, &call(0, 2)),
            LAST,
            6,
        )
        .done(),
        Talk::mgmt("co_cancel with a verifier")
            .pdu(PacketType::CO_CANCEL, vec![], verifier(made()))
            .call(0, 2, &[])
            .done(),
        Talk::mgmt("orphaned with a verifier")
            .pdu(PacketType::ORPHANED, vec![], verifier(made()))
            .call(0, 2, &[])
            .done(),
        Talk::mgmt("auth3 without a verifier")
            .pdu(PacketType::AUTH3, vec![0; 4], |_| {})
            .done(),
        Talk::mgmt("auth3 of no octets")
            .pdu(PacketType::AUTH3, vec![], |_| {})
            .done(),
        Talk::new("auth3 first")
            .pdu(PacketType::AUTH3, vec![0; 4], verifier(made()))
            .done(),
        Talk::mgmt("response with a verifier")
            .pdu(PacketType::RESPONSE, vec![0; 8], verifier(made()))
            .done(),
    ]
}

/// A bind with more than one thing wrong: which is told.
fn several_mistakes() -> Vec<Conversation> {
    let mut all = Vec::new();
    let lists = [
        ("no element", BindBody::new(&[])),
        (
            "an element without syntaxes",
            BindBody::new(&[Element::new(0, SyntaxId::MGMT, &[])]),
        ),
        (
            "an unknown group",
            BindBody {
                group: crate::generate::NO_GROUP,
                ..list()
            },
        ),
        (
            "an unknown interface",
            BindBody::new(&[Element::new(0, crate::generate::FOREIGN, NDR)]),
        ),
        (
            "two contexts of one id",
            BindBody::new(&[
                Element::new(0, SyntaxId::MGMT, NDR),
                Element::new(0, SyntaxId::EPT, NDR),
            ]),
        ),
        (
            "two features",
            BindBody::new(&[
                Element::new(
                    0,
                    SyntaxId::MGMT,
                    &[epmapper::wire::pdu::bind_time_syntax(1)],
                ),
                Element::new(
                    1,
                    SyntaxId::EPT,
                    &[epmapper::wire::pdu::bind_time_syntax(1)],
                ),
            ]),
        ),
    ];
    for (what, list) in lists {
        for (auth_type, level, padding, told) in [
            (10, 2, 0, 0),
            (200, 2, 0, 0),
            (10, 7, 0, 0),
            (10, 3, 0, 0),
            (10, 2, 0, 9),
            (10, 2, 1, 0),
        ] {
            let mut made = Verifier::new(auth_type, level, &calls::ntlmssp_negotiate());
            (made.padding, made.pad_length) = (padding, told);
            let name = |ptype: &str| {
                format!(
                    "{ptype} of {what}, type {auth_type}, level {level}, padding {padding}, {told} told"
                )
            };
            all.push(
                Talk::new(name("bind"))
                    .bind_with(&list, verifier(made.clone()))
                    .done(),
            );
            all.push(
                Talk::mgmt(name("alter"))
                    .alter_with(&list, verifier(made))
                    .done(),
            );
        }
    }
    all
}
