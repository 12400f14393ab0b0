//! Each limit of registrants is struck, and nothing else gives way.

use crate::session::{
    ANN, BOB, ECHO, EVE, Got, HERE, Mapper, NO_MEMORY, New, OK, OTHER, RULES, tcp,
};
use epmapper::wire::FaultStatus;

/// A daemon with some limits.
fn limited(limits: &str) -> Mapper {
    Mapper::start("windows", &format!("[limits]\n{limits}\n{RULES}"))
}

/// Checks that a limit was counted so often, and logged with this reason.
fn assert_struck(mapper: &Mapper, count: u64, reason: &str) {
    assert_eq!(mapper.count("refused_by_limit"), count);
    mapper.run.expect(reason);
}

#[test]
fn the_map_holds_no_more_entries_than_it_may() {
    // The mapper's own entry, of its port and of its local socket.
    let mapper = limited("entries = 4");
    let (mut ann, mut bob) = (mapper.from(ANN), mapper.from(BOB));
    let own = mapper.count("entries");
    let room = u16::try_from(4 - own).unwrap();
    let fit: Vec<New> = (1..=room).map(New::echo).collect();
    assert_eq!(ann.insert(&fit, false), OK);
    assert_eq!(
        bob.insert(&[New::of(tcp(OTHER, HERE, 9))], false),
        NO_MEMORY
    );
    assert_struck(&mapper, 1, "the table is full, its limit is 4 entries");
    assert_eq!(ann.entries(), fit);
    assert_eq!(ann.insert(&fit, false), OK, "no new entry");
    assert_eq!(
        ann.insert(&[New::echo(8)], true),
        OK,
        "in the place of others"
    );
}

#[test]
fn an_owner_has_no_more_entries_than_one_may() {
    let mapper = limited("entries_per_owner = 2");
    let (mut ann, mut bob) = (mapper.from(ANN), mapper.from(BOB));
    let three = [1, 2, 3].map(New::echo);
    assert_eq!(ann.insert(&three, false), NO_MEMORY);
    assert_eq!(ann.entries(), []);
    assert_eq!(ann.insert(&three[..2], false), OK);
    // From another connection all the same.
    assert_eq!(mapper.from(ANN).insert(&three[2..], false), NO_MEMORY);
    assert_struck(&mapper, 2, "127.0.84.1 has as many entries as one may, 2");
    assert_eq!(bob.insert(&three[2..], false), OK);
    assert_eq!(ann.delete(&three[..1]), OK);
    assert_eq!(ann.insert(&[New::echo(4)], false), OK);
}

#[test]
fn an_interface_has_no_more_entries_than_one_may_whoever_registers() {
    let mapper = limited("entries_per_interface = 2");
    let (mut ann, mut bob) = (mapper.from(ANN), mapper.from(BOB));
    assert_eq!(ann.insert(&[New::echo(1)], false), OK);
    assert_eq!(bob.insert(&[New::echo(2)], false), OK);
    assert_eq!(bob.insert(&[New::echo(3)], false), NO_MEMORY);
    assert_struck(
        &mapper,
        1,
        "the interface has as many entries as one may, 2",
    );
    assert_eq!(bob.insert(&[New::of(tcp(OTHER, HERE, 3))], false), OK);
    assert_eq!(bob.insert(&[New::echo(2)], false), OK, "no new entry");
}

#[test]
fn an_entry_has_no_more_octets_than_one_may() {
    let tower = tcp(ECHO, HERE, 1).len();
    let mapper = limited(&format!("entry_octets = {}", tower + 4));
    let mut ann = mapper.from(ANN);
    let fits = [New::echo(1).annotated("four")];
    assert_eq!(ann.insert(&fits, false), OK);
    for port in [1, 2] {
        let longer = New::echo(port).annotated("fives");
        assert_eq!(ann.insert(&[longer], false), NO_MEMORY, "{port}");
    }
    let told = format!("of {} octets, the limit is {}", tower + 5, tower + 4);
    assert_struck(&mapper, 2, &told);
    assert_eq!(ann.entries(), fits);
}

#[test]
fn an_owner_changes_no_more_entries_a_second_than_one_may() {
    const BUSY: Got = Got::Fault(FaultStatus::SERVER_TOO_BUSY, true);
    let mapper = limited("changes_per_second = 5");
    let (mut ann, mut bob) = (mapper.from(ANN), mapper.from(BOB));
    // One call for all that 200 seconds bring: none of them passes here.
    let many: Vec<New> = (1..=500).map(New::echo).collect();
    assert_eq!(ann.insert(&many, false), OK);
    assert_eq!(ann.insert(&[New::echo(501)], false), BUSY);
    assert_eq!(ann.delete(&many[..1]), BUSY);
    assert_eq!(
        mapper.from(ANN).mgmt_delete(None, many[0].tower.as_deref()),
        BUSY
    );
    assert_struck(
        &mapper,
        3,
        "127.0.84.1 changes more than 5 entries a second",
    );
    assert_eq!(ann.entries(), many);
    assert_eq!(bob.insert(&[New::echo(501)], false), OK, "another owner");
}

#[test]
fn refusals_are_logged_so_often_a_second_and_counted_always() {
    let mapper = limited("refusals_per_second = 1");
    let (mut ann, mut eve) = (mapper.from(ANN), mapper.from(EVE));
    let many: Vec<New> = (1..=500).map(New::echo).collect();
    // Told one by one, which is paid for by silence for the 500 seconds to come.
    assert!(matches!(eve.insert(&many, false), Got::Fault(..)));
    for _ in 0..20 {
        assert!(matches!(eve.delete(&many[..1]), Got::Fault(..)));
    }
    assert_ne!(ann.delete(&many[..1]), OK);
    assert_eq!(mapper.count("refused_callers"), 21);
    assert_eq!(mapper.count("refusals_not_logged"), 20);
    assert_eq!(mapper.count("refused_form"), 1);
    let events = mapper.audit();
    let of = |address| {
        events
            .iter()
            .filter(|event| event["address"] == address)
            .count()
    };
    assert_eq!((of("127.0.84.66"), of("127.0.84.1")), (500, 1));
}
