//! The rules of the operations, in each conversation where they differ.

use crate::session::{
    ANN, CANT_PERFORM_OP, ECHO, EVE, Form, Got, HERE, INVALID_ENTRY, Mapper, NOT_REGISTERED, New,
    OBJECT, OK, OTHER, RULES, tcp, tower,
};
use epmapper::wire::ept;
use epmapper::wire::{FaultStatus, SyntaxId};
use std::net::Ipv4Addr;
use uuid::Uuid;

const CONVERSATIONS: [&str; 3] = ["windows", "samba", "dce"];
const BAD_STUB: Got = Got::Fault(FaultStatus::BAD_STUB_DATA, false);

/// `ECHO` with another minor version.
fn minor(minor: u16) -> SyntaxId {
    SyntaxId { minor, ..ECHO }
}

/// A tower of `ECHO` with these floors from 3 down.
fn below(lower: &[(u8, &[u8])]) -> New {
    New::of(tower(ECHO, SyntaxId::NDR, lower))
}

#[test]
fn a_call_changes_all_that_it_names_or_nothing() {
    for conversation in CONVERSATIONS {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        let there = [1, 2, 3, 4, 5].map(New::echo);
        assert_eq!(ann.insert(&there, false), OK);
        let mut new = [11, 12, 13, 14, 15].map(New::echo);
        new[2].tower.as_mut().unwrap().push(0);
        for replace in [false, true] {
            assert_eq!(ann.insert(&new, replace), INVALID_ENTRY, "{conversation}");
            assert_eq!(ann.entries(), there);
        }
        let mut named = there.clone();
        named[2] = New::echo(9);
        assert_eq!(ann.delete(&named), NOT_REGISTERED, "{conversation}");
        assert_eq!(ann.entries(), there);
        assert_eq!(ann.delete(&there), OK);
        assert_eq!(ann.entries(), []);
        assert_eq!(ann.insert(&[], true), OK, "a call may name none");
    }
}

#[test]
fn a_third_entry_that_the_map_refuses_takes_the_two_before_it_back() {
    let mapper = Mapper::start("dce", RULES);
    let mut ann = mapper.from(ANN);
    let there = [
        New::echo(1),
        New::of(tcp(SyntaxId { minor: 3, ..OTHER }, HERE, 1)),
    ];
    assert_eq!(ann.insert(&there, false), OK);
    let new = [
        New::echo(7),
        New::echo(8),
        New::of(tcp(OTHER, HERE, 2)),
        New::echo(9),
    ];
    assert_eq!(ann.insert(&new, true), INVALID_ENTRY);
    assert_eq!(ann.entries(), there, "also what the first one replaced");
}

#[test]
fn replacing_takes_out_kin_at_the_same_address_and_no_others() {
    for conversation in CONVERSATIONS {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        let stays = [
            New::of(tcp(ECHO, ANN, 1)),
            New::of(tcp(SyntaxId { major: 2, ..ECHO }, HERE, 1)),
            New::of(tcp(OTHER, HERE, 1)),
            New::echo(1).under(OBJECT),
            below(&[(0x0a, &[0, 0]), (0x08, &[0, 1]), (0x09, &HERE.octets())]),
        ];
        assert_eq!(ann.insert(&stays, false), OK);
        let kin = [New::echo(1), New::echo(2), New::of(tcp(minor(1), HERE, 3))];
        assert_eq!(ann.insert(&kin, false), OK);
        let new = New::of(tcp(minor(1), HERE, 4));
        assert_eq!(ann.insert(std::slice::from_ref(&new), true), OK);
        assert_eq!(
            ann.entries(),
            [&stays[..], &[new]].concat(),
            "{conversation}"
        );
    }
}

#[test]
fn replacing_is_refused_below_a_higher_minor_version_at_any_address() {
    for address in [HERE, ANN] {
        let mapper = Mapper::start("dce", RULES);
        let mut ann = mapper.from(ANN);
        let there = [New::of(tcp(minor(2), address, 1)), New::echo(1)];
        assert_eq!(ann.insert(&there, false), OK);
        let lower = [New::of(tcp(minor(1), HERE, 9))];
        assert_eq!(ann.insert(&lower, true), INVALID_ENTRY);
        assert_eq!(ann.entries(), there);
        assert_eq!(ann.insert(&lower, false), OK, "beside it, it may stand");
    }
}

#[test]
fn a_duplicate_takes_the_new_annotation_and_is_not_doubled() {
    let mapper = Mapper::start("windows", RULES);
    let mut ann = mapper.from(ANN);
    let there = [New::echo(1).annotated("old"), New::echo(2)];
    assert_eq!(ann.insert(&there, false), OK);
    for (annotation, replace) in [("new", false), ("", false)] {
        let again = [New::echo(1).annotated(annotation)];
        assert_eq!(ann.insert(&again, replace), OK);
        assert_eq!(ann.entries(), [again[0].clone(), New::echo(2)]);
    }
    let again = New::echo(2).annotated("alone");
    assert_eq!(ann.insert(&[again.clone(), again.clone()], true), OK);
    assert_eq!(ann.entries(), [again]);
}

#[test]
fn a_tower_that_says_too_little_or_too_much_is_an_invalid_entry() {
    let nil = SyntaxId::new(Uuid::nil(), 1, 0);
    let pipe: [(u8, &[u8]); 3] = [(0x0b, &[0, 0]), (0x0f, b"\\pipe\\a\0"), (0x11, b"h\0")];
    let good = New::echo(1).tower.unwrap();
    let mut trailing = good.clone();
    trailing.extend([0; 4]);
    let towers = [
        ("cut short", good[..good.len() - 3].to_vec()),
        ("octets behind it", trailing),
        ("empty", vec![]),
        ("two floors", tower(ECHO, SyntaxId::NDR, &[])),
        ("three floors", tower(ECHO, SyntaxId::NDR, &pipe[..1])),
        ("a nil transfer syntax", tower(ECHO, nil, &pipe)),
        (
            "an unknown sequence",
            tower(ECHO, SyntaxId::NDR, &[(0x0b, &[0, 0]), (0x7f, &[0, 1])]),
        ),
    ];
    for conversation in CONVERSATIONS {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        for (what, tower) in &towers {
            let entry = New::of(tower.clone());
            assert_eq!(
                ann.insert(&[entry], true),
                INVALID_ENTRY,
                "{conversation}: {what}"
            );
        }
        let mut towerless = New::echo(1);
        towerless.tower = None;
        assert_eq!(ann.insert(&[towerless.clone()], false), INVALID_ENTRY);
        assert_eq!(ann.delete(&[towerless]), INVALID_ENTRY);
        assert_eq!(ann.mgmt_delete(None, None), INVALID_ENTRY);
        assert_eq!(ann.entries(), []);
        assert_eq!(mapper.count("inserted"), 0);
    }
}

#[test]
fn an_annotation_has_no_more_than_63_octets() {
    let mapper = Mapper::start("samba", RULES);
    let mut ann = mapper.from(ANN);
    let tower = New::echo(1).tower.unwrap();
    // num_ents, max_count; object, referent, offset, count, annotation, pad; max_count, tower_length, tower,
    // pad; replace
    let stub = |annotation: &[u8]| {
        let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let length = tower.len() as u32;
        let mut stub: Vec<u8> = numbers(&[1, 1, 0, 0, 0, 0, 1, 0, annotation.len() as u32]);
        stub.extend(annotation);
        stub.resize(stub.len().next_multiple_of(4), 0);
        stub.extend::<Vec<u8>>(numbers(&[length, length]));
        stub.extend(&tower);
        stub.resize(stub.len().next_multiple_of(4), 0);
        stub.extend([0; 4]);
        stub
    };
    let mut annotation = [b'a'; 65];
    annotation[64] = 0;
    assert_eq!(ann.raw(ept::INSERT, &stub(&annotation)), BAD_STUB);
    assert_eq!(ann.entries(), []);
    assert_eq!(ann.raw(ept::INSERT, &stub(&annotation[1..])), OK);
    assert_eq!(ann.entries(), [New::echo(1).annotated(&"a".repeat(63))]);
}

#[test]
fn a_pipe_is_registered_but_passed_over_in_the_dce_conversation() {
    for conversation in CONVERSATIONS {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        let pipe = below(&[(0x0b, &[0, 0]), (0x0f, b"\\pipe\\a\0"), (0x11, b"h\0")]);
        let both = [pipe, New::echo(1)];
        assert_eq!(ann.insert(&both, false), OK, "{conversation}");
        let passed = usize::from(conversation == "dce");
        assert_eq!(ann.entries(), both[passed..], "{conversation}");
    }
}

#[test]
fn a_nil_interface_is_registered_in_the_samba_conversation_only() {
    let nil = New::of(tcp(SyntaxId::new(Uuid::nil(), 0, 0), HERE, 1));
    for conversation in CONVERSATIONS {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        let entries = std::slice::from_ref(&nil);
        let (expected, left) = match conversation {
            "samba" => (OK, entries),
            _ => (INVALID_ENTRY, &[][..]),
        };
        assert_eq!(ann.insert(entries, false), expected, "{conversation}");
        assert_eq!(ann.entries(), left);
        if conversation == "samba" {
            assert_eq!(ann.delete(entries), OK);
            assert_eq!(ann.insert(entries, false), OK);
            assert_eq!(ann.mgmt_delete(None, nil.tower.as_deref()), OK);
            assert_eq!(ann.entries(), []);
        }
    }
}

#[test]
fn whom_no_rule_names_is_refused_as_the_conversation_has_it() {
    for (conversation, expected) in [
        ("windows", Got::Fault(FaultStatus::OP_RNG_ERROR, true)),
        ("samba", Got::Fault(FaultStatus::OP_RNG_ERROR, false)),
        ("dce", CANT_PERFORM_OP),
    ] {
        let mapper = Mapper::start(conversation, RULES);
        let there = [New::echo(1)];
        assert_eq!(mapper.from(ANN).insert(&there, false), OK);
        let mut eve = mapper.from(EVE);
        for form in Form::ALL {
            eve.form = form;
            assert_eq!(
                eve.insert(&[New::echo(2)], true),
                expected,
                "{conversation}"
            );
            assert_eq!(eve.delete(&there), expected);
            assert_eq!(eve.mgmt_delete(None, there[0].tower.as_deref()), expected);
            assert_eq!(eve.entries(), there, "everybody may read");
        }
        assert_eq!(mapper.count("refused_callers"), 9);
        let refused = mapper.audit().into_iter();
        let refused = refused.filter(|event| event["address"] == "127.0.84.66");
        let ops: Vec<_> = refused.map(|event| event["op"].clone()).collect();
        assert_eq!(ops, ["insert", "delete", "mgmt_delete"].repeat(3));
    }
}

#[test]
fn mgmt_delete_takes_out_all_of_an_interface_at_an_endpoint() {
    for conversation in CONVERSATIONS {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        let lower: [(u8, &[u8]); 3] = [(0x0b, &[1, 0]), (0x07, &[0, 1]), (0x09, &HERE.octets())];
        let ndr64 = New::of(tower(ECHO, SyntaxId::NDR64, &lower));
        let there = [New::echo(1), New::echo(1).under(OBJECT), ndr64];
        let elsewhere = [
            New::echo(2),
            New::of(tcp(ECHO, ANN, 1)),
            New::of(tcp(minor(1), HERE, 1)),
            New::of(tcp(OTHER, HERE, 1)),
        ];
        let all = [&there[..], &elsewhere].concat();
        let at = there[0].tower.as_deref();
        assert_eq!(ann.insert(&all, false), OK);
        assert_eq!(
            ann.mgmt_delete(Some(Uuid::from_u128(1)), at),
            NOT_REGISTERED
        );
        assert_eq!(ann.mgmt_delete(Some(OBJECT), at), OK);
        assert_eq!(ann.entries().len(), 6, "{conversation}");
        assert_eq!(ann.mgmt_delete(None, at), OK);
        assert_eq!(ann.entries(), elsewhere);
        assert_eq!(ann.mgmt_delete(None, at), NOT_REGISTERED);
    }
}

#[test]
fn the_registry_has_one_object_and_a_call_may_name_another_unless_it_is_dce() {
    for (conversation, expected) in [("windows", OK), ("samba", OK), ("dce", CANT_PERFORM_OP)] {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        let own = ann.inq_object();
        assert!(!own.is_nil());
        assert_eq!(mapper.from(EVE).inq_object(), own);
        ann.object = Some(OBJECT);
        let entry = [New::echo(1)];
        assert_eq!(ann.insert(&entry, false), expected, "{conversation}");
        if expected == CANT_PERFORM_OP {
            assert_eq!(ann.delete(&entry), expected);
            assert_eq!(ann.mgmt_delete(None, entry[0].tower.as_deref()), expected);
        }
        for object in [own, Uuid::nil()] {
            ann.object = Some(object);
            assert_eq!(ann.insert(&entry, false), OK);
            assert_eq!(ann.delete(&entry), OK);
            assert_eq!(ann.insert(&entry, true), OK);
            assert_eq!(ann.mgmt_delete(None, entry[0].tower.as_deref()), OK);
        }
    }
}

#[test]
fn every_form_of_a_stub_changes_the_map_alike() {
    let mapper = Mapper::start("windows", RULES);
    let mut ann = mapper.from(ANN);
    for form in Form::ALL {
        ann.form = form;
        let entries = [New::echo(1).annotated("a"), New::echo(2).under(OBJECT)];
        assert_eq!(ann.insert(&entries, false), OK, "{form:?}");
        assert_eq!(ann.entries(), entries);
        assert_eq!(ann.delete(&entries[..1]), OK);
        assert_eq!(ann.delete(&entries[..1]), NOT_REGISTERED);
        let at = entries[1].tower.as_deref();
        assert_eq!(ann.mgmt_delete(Some(OBJECT), at), OK);
        assert_eq!(ann.entries(), []);
    }
}

#[test]
fn a_call_names_500_entries_and_no_more() {
    for form in Form::ALL {
        let mapper = Mapper::start("dce", RULES);
        let mut ann = mapper.from(ANN);
        ann.form = form;
        let many: Vec<New> = (1..=501).map(New::echo).collect();
        assert_eq!(ann.insert(&many, false), BAD_STUB);
        assert_eq!(ann.delete(&many), BAD_STUB);
        assert_eq!(ann.entries(), []);
        assert_eq!(ann.insert(&many[..500], false), OK);
        assert_eq!(ann.entries(), many[..500]);
        assert_eq!(ann.delete(&many[..500]), OK);
        assert_eq!(ann.entries(), []);
    }
}

#[test]
fn a_stub_that_does_not_decode_changes_nothing() {
    let mapper = Mapper::start("dce", RULES);
    for from in [ANN, EVE] {
        let mut caller = mapper.from(from);
        for opnum in [ept::INSERT, ept::DELETE, ept::MGMT_DELETE] {
            assert_eq!(caller.raw(opnum, &[0xff; 11]), BAD_STUB, "{opnum}");
            assert_eq!(caller.raw(opnum, &[]), BAD_STUB, "{opnum}");
        }
    }
}

#[test]
fn addresses_that_are_not_this_hosts_are_taken_where_a_rule_says_so() {
    let foreign = |port| New::of(tcp(ECHO, Ipv4Addr::new(192, 0, 2, 1), port));
    let open = New::of(tcp(ECHO, Ipv4Addr::UNSPECIFIED, 3));
    let mapper = Mapper::start("windows", RULES);
    let mut ann = mapper.from(ANN);
    let both = [New::echo(1), foreign(1)];
    assert_eq!(ann.insert(&both, false), CANT_PERFORM_OP);
    assert_eq!(ann.insert(&[open], false), OK);
    let dialled = New::of(tcp(ECHO, HERE, 3));
    assert_eq!(ann.entries(), [dialled], "answered as the address dialled");
    assert_eq!(mapper.count("refused_by_rule"), 1);
    let rules = RULES.to_owned() + "foreign_addresses = true\n";
    let mapper = Mapper::start("windows", &rules);
    let mut ann = mapper.from(ANN);
    assert_eq!(ann.insert(&both, false), OK);
    assert_eq!(ann.entries(), both);
}
