//! An entry belongs to its registrant: what strangers try, over the network and over the local socket.

use crate::session::{
    ANN, BOB, CANT_PERFORM_OP, ECHO, HERE, INVALID_ENTRY, Mapper, NOT_REGISTERED, New, OBJECT, OK,
    OTHER, RULES, Session, tcp,
};
use epmapper::wire::SyntaxId;
use uuid::uuid;

/// Local users without rights.
const USER: u32 = 65533;
const STRANGER: u32 = 65534;

/// The print spooler's remote interface, and the local security authority's.
const SERVICES: [SyntaxId; 2] = [
    SyntaxId::new(uuid!("12345678-1234-abcd-ef00-0123456789ab"), 1, 0),
    SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ab"), 0, 0),
];

/// Lets both local users register.
fn local_rules() -> String {
    format!("{RULES}\n[[register]]\nusers = [{USER}, {STRANGER}]\n")
}

/// What a stranger may try against the first entry of a registrant, and its operation.
const ATTEMPTS: [(&str, &str); 5] = [
    ("duplicate", "insert"),
    ("replace", "insert"),
    ("replace by the same", "insert"),
    ("delete", "delete"),
    ("mgmt_delete", "mgmt_delete"),
];

/// All of that; nothing of it changes anything.
fn attack(stranger: &mut Session, mapper: &Mapper, owner: &str) {
    let there = stranger.entries();
    let victim = &there[..1];
    let before = mapper.count("refused_to_stranger");
    for (number, (what, _)) in (1..).zip(ATTEMPTS) {
        let got = match what {
            "duplicate" => stranger.insert(&[victim[0].clone().annotated("mine")], false),
            "replace" => stranger.insert(&[New::echo(99)], true),
            "replace by the same" => stranger.insert(victim, true),
            "delete" => stranger.delete(victim),
            _ => stranger.mgmt_delete(None, victim[0].tower.as_deref()),
        };
        assert_eq!(got, CANT_PERFORM_OP, "{what}");
        assert_eq!(stranger.entries(), there, "{what}");
        assert_eq!(
            mapper.count("refused_to_stranger"),
            before + number,
            "{what}"
        );
    }
    mapper.run.expect(&format!("the entry belongs to {owner}"));
}

/// The refused events of the audit trail: who, by this field, and operation.
fn refused(mapper: Mapper, who: &str) -> Vec<(String, String)> {
    let events = mapper.audit().into_iter();
    let refused = events.filter(|event| event["result"] == "refused");
    refused
        .map(|event| {
            let interface = event["interface"].as_str().unwrap();
            assert!(interface.starts_with(&ECHO.uuid.to_string()), "{event}");
            assert!(
                event["binding"]
                    .as_str()
                    .unwrap()
                    .starts_with("ncacn_ip_tcp:")
            );
            assert!(event["reason"].as_str().unwrap().contains("belongs to"));
            (
                event[who].to_string(),
                event["op"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

#[test]
fn a_stranger_at_another_address_changes_nothing_of_an_entry() {
    for conversation in ["windows", "samba", "dce"] {
        let mapper = Mapper::start(conversation, RULES);
        let entries = [New::echo(1), New::echo(1).under(OBJECT)];
        assert_eq!(mapper.from(ANN).insert(&entries, false), OK);
        attack(&mut mapper.from(BOB), &mapper, "127.0.84.1");
        assert_eq!(mapper.from(ANN).delete(&entries), OK);
        let told = refused(mapper, "address");
        let expected = ATTEMPTS.map(|(_, op)| ("\"127.0.84.2\"".to_owned(), op.to_owned()));
        assert_eq!(told, expected);
    }
}

#[test]
fn a_stranger_of_another_user_changes_nothing_of_an_entry() {
    let mapper = Mapper::start("dce", &local_rules());
    let (Some(mut user), Some(mut stranger)) = (mapper.as_user(USER), mapper.as_user(STRANGER))
    else {
        return;
    };
    let entries = [New::echo(1), New::echo(2)];
    assert_eq!(user.insert(&entries, false), OK);
    attack(&mut stranger, &mapper, "uid 65533");
    attack(&mut mapper.from(ANN), &mapper, "uid 65533");
    assert_eq!(user.insert(&[New::echo(3)], true), OK);
    assert_eq!(user.entries(), [New::echo(3)]);
    let told = refused(mapper, "uid");
    let local = ATTEMPTS.map(|(_, op)| ("65534".to_owned(), op.to_owned()));
    let remote = ATTEMPTS.map(|(_, op)| ("null".to_owned(), op.to_owned()));
    assert_eq!(told, [local, remote].concat());
}

#[test]
fn root_takes_out_what_others_registered() {
    if !nix::unistd::geteuid().is_root() {
        return crate::skip::lacking("root");
    }
    let mapper = Mapper::start("windows", &local_rules());
    let mut root = mapper.local();
    let entries = [New::echo(1), New::of(tcp(OTHER, HERE, 2))];
    assert_eq!(mapper.from(ANN).insert(&entries, false), OK);
    assert_eq!(root.delete(&entries[..1]), OK);
    assert_eq!(root.mgmt_delete(None, entries[1].tower.as_deref()), OK);
    assert_eq!(root.entries(), []);
    assert_eq!(mapper.from(ANN).insert(&entries, false), OK);
    assert_eq!(root.insert(&[New::echo(9)], true), OK);
    assert_eq!(root.entries(), [entries[1].clone(), New::echo(9)]);
    // What root replaced it with is root's.
    assert_eq!(mapper.from(ANN).delete(&[New::echo(9)]), CANT_PERFORM_OP);
}

#[test]
fn what_the_configuration_says_nobody_changes() {
    let endpoint = format!(
        "[[endpoint]]\ninterface = \"{}\"\nversion = \"1.0\"\nbindings = [\"ncacn_ip_tcp:{HERE}[1]\"]\n",
        ECHO.uuid
    );
    let mapper = Mapper::start("dce", &(RULES.to_owned() + &endpoint));
    let there = mapper.from(ANN).entries();
    assert_eq!(there.len(), 1);
    let mut callers = vec![mapper.from(ANN)];
    if nix::unistd::geteuid().is_root() {
        callers.push(mapper.local());
    }
    for caller in &mut callers {
        let at = there[0].tower.as_deref();
        assert_eq!(caller.delete(&there), CANT_PERFORM_OP);
        assert_eq!(caller.mgmt_delete(None, at), CANT_PERFORM_OP);
        assert_eq!(caller.insert(&there, false), CANT_PERFORM_OP);
        assert_eq!(caller.insert(&there, true), CANT_PERFORM_OP);
        assert_eq!(caller.entries(), there);
    }
    mapper.run.expect("the entry belongs to configuration");
}

#[test]
fn an_exclusive_interface_is_refused_to_a_stranger_at_any_endpoint() {
    let rules = RULES.to_owned()
        + &format!("exclusive = true\ninterfaces = [\"{}\"]\n", ECHO.uuid)
        + "[[register]]\nnetworks = [\"127.0.84.0/30\"]\n";
    let mapper = Mapper::start("windows", &rules);
    let (mut ann, mut bob) = (mapper.from(ANN), mapper.from(BOB));
    assert_eq!(ann.insert(&[New::echo(1)], false), OK);
    for entry in [
        New::echo(2),
        New::of(tcp(ECHO, BOB, 1)),
        New::echo(1).under(OBJECT),
        New::of(tcp(SyntaxId { major: 7, ..ECHO }, HERE, 1)),
    ] {
        assert_eq!(bob.insert(&[entry], false), CANT_PERFORM_OP);
    }
    assert_eq!(mapper.count("refused_to_stranger"), 4);
    mapper.run.expect("the interface belongs to 127.0.84.1");
    assert_eq!(bob.insert(&[New::of(tcp(OTHER, HERE, 1))], false), OK);
    assert_eq!(ann.insert(&[New::echo(2)], false), OK);
    assert_eq!(ann.delete(&[New::echo(1), New::echo(2)]), OK);
    assert_eq!(bob.insert(&[New::echo(3)], false), OK, "nobody has it now");
    assert_eq!(ann.insert(&[New::echo(4)], false), CANT_PERFORM_OP);
}

/// Mapper poisoning, CVE-2025-49760: who may register registers a system interface while its service is
/// down, and clients of the service come to it.
#[test]
fn a_reserved_interface_whose_service_is_down_is_not_taken_over() {
    for conversation in ["windows", "samba", "dce"] {
        let mapper = Mapper::start(conversation, RULES);
        let mut ann = mapper.from(ANN);
        for (number, service) in (1..).zip(SERVICES) {
            let poison = [New::of(tcp(service, ANN, 4444))];
            assert_eq!(ann.insert(&poison, false), CANT_PERFORM_OP);
            assert_eq!(ann.insert(&poison, true), CANT_PERFORM_OP);
            let along = [New::echo(1), poison[0].clone()];
            assert_eq!(ann.insert(&along, false), CANT_PERFORM_OP);
            assert_eq!(ann.entries(), []);
            assert_eq!(mapper.count("refused_by_rule"), 3 * number);
        }
        let told = mapper.audit().into_iter().filter(|event| {
            let reason = event["reason"].as_str().unwrap_or_default();
            let interface = event["interface"].as_str().unwrap_or_default();
            let of_service = |service: &SyntaxId| interface.starts_with(&service.uuid.to_string());
            event["result"] == "refused"
                && event["address"] == "127.0.84.1"
                && event["op"] == "insert"
                && reason.contains("reserved")
                && SERVICES.iter().any(of_service)
        });
        assert_eq!(told.count(), 6);
    }
}

#[test]
fn a_reserved_interface_is_registered_by_whom_a_rule_names_it_to_and_by_root() {
    let rules = format!(
        "{RULES}\n[[register]]\nnetworks = [\"127.0.84.3\"]\ninterfaces = [\"{}\"]\n",
        SERVICES[0].uuid
    );
    let mapper = Mapper::start("windows", &rules);
    let mut named = mapper.from([127, 0, 84, 3].into());
    let [spooler, lsa] = SERVICES.map(|service| New::of(tcp(service, HERE, 1)));
    assert_eq!(named.insert(std::slice::from_ref(&spooler), false), OK);
    assert_eq!(
        named.insert(std::slice::from_ref(&lsa), false),
        CANT_PERFORM_OP
    );
    assert_eq!(named.insert(&[New::echo(1)], false), CANT_PERFORM_OP);
    if nix::unistd::geteuid().is_root() {
        assert_eq!(mapper.local().insert(&[lsa], false), OK);
    }
    let mapper = Mapper::start("windows", &format!("reserved = []\n{RULES}"));
    assert_eq!(mapper.from(ANN).insert(&[spooler], false), OK);
}

#[test]
fn without_rules_nobody_but_root_registers() {
    let mapper = Mapper::start("dce", "");
    assert_eq!(
        mapper.from(ANN).insert(&[New::echo(1)], false),
        CANT_PERFORM_OP
    );
    if let Some(mut user) = mapper.as_user(USER) {
        assert_eq!(user.insert(&[New::echo(1)], false), CANT_PERFORM_OP);
        assert_eq!(mapper.local().insert(&[New::echo(1)], false), OK);
    }
}

#[test]
fn of_two_that_claim_one_endpoint_the_first_has_it_until_it_leaves() {
    let mapper = Mapper::start("dce", RULES);
    let (mut ann, mut bob) = (mapper.from(ANN), mapper.from(BOB));
    let entry = [New::echo(1)];
    assert_eq!(ann.insert(&entry, true), OK);
    assert_eq!(bob.insert(&entry, true), CANT_PERFORM_OP);
    assert_eq!(ann.delete(&entry), OK);
    assert_eq!(ann.delete(&entry), NOT_REGISTERED);
    assert_eq!(bob.insert(&entry, true), OK);
    assert_eq!(ann.insert(&entry, true), CANT_PERFORM_OP);
    // Whoever is refused is told nothing that the map does not tell.
    assert_eq!(ann.delete(&[New::echo(2)]), NOT_REGISTERED);
    assert_eq!(ann.insert(&[New::of(vec![0])], true), INVALID_ENTRY);
}
