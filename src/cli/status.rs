//! `epm status`: what the mapper of this host knows of its entries, and what it
//! counts.

use super::args::Status;
use super::exit::{CommandError, Outcome};
use super::insert::control;
use super::registration;
use super::render::{self, Described, Table, TowerDocument};
use crate::client::Settings;
use crate::client::control::{FoundCounter, FoundFacts};
use crate::wire::control::{Facts, Life, NotProbed, OwnerKind, Probe, ProbeState};
use nix::unistd::{Uid, User};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use tokio::time::Instant;
use uuid::Uuid;

/// What `--json` prints.
pub const JSON_HELP: &str = "\
Print one JSON document

{ \"mapper\": the binding that was asked,
  \"entries\": [ {
    \"number\": later entries have higher ones,
    \"object\": UUID or null,
    \"annotation\": text; octets that are no UTF-8 become U+FFFD,
    \"interface\": UUID, \"version\": \"MAJOR.MINOR\",
    \"name\": known name or null,
    \"transfer_syntax\": \"ndr\", \"ndr64\" or \"UUID:MAJOR.MINOR\",
    \"protocol_sequence\": name, null if unknown,
    \"binding\": string binding, null if none says the tower,
    \"tower\": all octets in hex,
    \"owner\": { \"kind\": \"mapper\", \"configuration\", \"user\",
                       \"account\" or \"host\",
               \"uid\": number, \"user\": name, \"account\": name,
               \"address\": of a host, or where an account
                            registered from },
    \"age\": seconds since it was registered,
    \"life\": \"permanent\", \"process\", \"probe\" or \"lease\",
    \"process\": its id,
    \"lease\": UUID, \"lease_left_ms\": milliseconds,
    \"probe\": { \"state\": \"not probed\", \"not probed yet\",
                       \"answered\" or \"failed\",
               \"reason\": why it is not probed,
               \"age_ms\": milliseconds since the last one,
               \"failures\": number of them in a row } } ],
  \"counters\": { name: number } }

What there is not is null.";

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    /// The binding that was asked.
    mapper: String,
    /// In the order of their numbers.
    entries: Vec<EntryDocument<'a>>,
    /// What the mapper counts.
    counters: BTreeMap<Cow<'a, str>, u64>,
}

/// One entry in it.
#[derive(Serialize)]
struct EntryDocument<'a> {
    /// Its number.
    number: u64,
    /// The object, if there is one.
    object: Option<String>,
    /// The annotation; what is no UTF-8 in it becomes U+FFFD.
    annotation: Cow<'a, str>,
    /// The tower and what it says.
    #[serde(flatten)]
    tower: TowerDocument,
    /// Who registered it.
    owner: OwnerDocument<'a>,
    /// Seconds since it was registered.
    age: Option<u64>,
    /// What ends it.
    life: Cow<'static, str>,
    /// The process that it ends with.
    process: Option<u32>,
    /// Its lease.
    lease: Option<String>,
    /// How long that lasts.
    lease_left_ms: Option<u32>,
    /// What probes told.
    probe: Option<ProbeDocument>,
}

/// The owner in it.
#[derive(Serialize)]
struct OwnerDocument<'a> {
    /// What kind it is.
    kind: Cow<'static, str>,
    /// A user's id.
    uid: Option<u32>,
    /// A user's name.
    user: Option<String>,
    /// An account's name; what is no UTF-8 in it becomes U+FFFD.
    account: Option<Cow<'a, str>>,
    /// A host's address, or where an account registered from.
    address: Option<String>,
}

/// What probes told.
#[derive(Serialize)]
struct ProbeDocument {
    /// How the last one went.
    state: Cow<'static, str>,
    /// Why there is none.
    reason: Option<Cow<'static, str>>,
    /// How long ago it ended.
    age_ms: Option<u32>,
    /// Failures in a row.
    failures: u32,
}

impl Status {
    /// Asks, and prints what the mapper told.
    pub async fn run(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let server = registration::mapper(&self.at);
        let failed = CommandError::of(&server);
        let mut control = control(&server, settings, deadline).await?;
        let entries = control.entries().await.map_err(&failed)?;
        let counters = control.counters().await.map_err(&failed)?;
        match self.json {
            true => render::print_json(&Document {
                mapper: server.to_string(),
                entries: entries.iter().map(EntryDocument::from).collect(),
                counters: counters.iter().map(counter).collect(),
            })?,
            false => render::print(|out| print(out, &entries, &counters))?,
        }
        Ok(Outcome::of(entries.is_empty()))
    }
}

/// Prints entries and counters for people.
fn print(out: &mut dyn Write, entries: &[FoundFacts], counters: &[FoundCounter]) -> io::Result<()> {
    table(entries).print(out, render::colour())?;
    writeln!(out)?;
    let counters: Vec<_> = counters.iter().map(counter).collect();
    let lines = counters
        .iter()
        .map(|(name, value)| (render::printable(name), value));
    let lines: Vec<_> = lines.collect();
    let width = lines.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (name, value) in lines {
        writeln!(out, "{name:width$}  {value}")?;
    }
    Ok(())
}

/// A counter's name as text, and its value.
fn counter(counter: &FoundCounter) -> (Cow<'_, str>, u64) {
    (String::from_utf8_lossy(&counter.name), counter.value)
}

/// The entries for people.
fn table(entries: &[FoundFacts]) -> Table {
    let mut table = Table::new(&[
        "INTERFACE",
        "NAME",
        "SYNTAX",
        "BINDING",
        "OWNER",
        "LIFE",
        "AGE",
        "ANNOTATION",
    ]);
    for found in entries {
        let FoundFacts { entry, facts, .. } = found;
        let described = Described::new(&entry.tower, some(entry.object));
        let annotation = String::from_utf8_lossy(&entry.annotation);
        let known = [
            owner(found),
            life(facts),
            age(facts).map_or_else(|| "-".to_owned(), time),
            render::printable(&annotation),
        ];
        table.push(described.cells().into_iter().chain(known));
    }
    table
}

/// The owner of an entry in words.
fn owner(found: &FoundFacts) -> String {
    let owner = &found.facts.owner;
    match owner.kind {
        OwnerKind::ACCOUNT => {
            let account = String::from_utf8_lossy(&found.account);
            format!("account {}", render::printable(&account))
        }
        OwnerKind::USER => match user(owner.uid) {
            Some(name) => render::printable(&name),
            None => format!("uid {}", owner.uid),
        },
        OwnerKind::HOST => owner.address().to_string(),
        kind => name(kind.name(), kind.0).into_owned(),
    }
}

/// The name of a user of this host.
fn user(uid: u32) -> Option<String> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map(|user| user.name)
}

/// What ends an entry, in words.
fn life(facts: &Facts) -> String {
    let life = name(facts.life.name(), facts.life.0);
    match facts.life {
        Life::PROCESS => format!("{life} {}", facts.pid),
        Life::LEASE => format!("{life}, {} left", time(u64::from(facts.left_ms) / 1000)),
        Life::PROBE => probe(&facts.probe),
        _ => life.into_owned(),
    }
}

/// What probes told, in words.
fn probe(probe: &Probe) -> String {
    let state = name(probe.state.name(), probe.state.0);
    let ago = time(u64::from(probe.age_ms) / 1000);
    match probe.state {
        ProbeState::NOT_PROBED => format!("{state}: {}", reason(probe.reason)),
        ProbeState::ANSWERED => format!("probe, {state} {ago} ago"),
        ProbeState::FAILED if probe.failures == 1 => format!("probe, {state} {ago} ago"),
        ProbeState::FAILED => format!("probe, {state} {} times, {ago} ago", probe.failures),
        ProbeState::NOT_APPLICABLE => "probe".to_owned(),
        _ => format!("probe, {state}"),
    }
}

/// Why there is no probe, in words.
fn reason(reason: NotProbed) -> Cow<'static, str> {
    name(reason.name(), reason.0)
}

/// A name, or the number of what has none.
fn name(name: Option<&'static str>, number: u32) -> Cow<'static, str> {
    match name {
        Some(name) => name.into(),
        None => format!("unknown {number}").into(),
    }
}

/// How many seconds ago an entry was registered, where that is known.
fn age(facts: &Facts) -> Option<u64> {
    Some(facts.age_seconds).filter(|&age| age != Facts::NO_AGE)
}

/// A length of time in one unit, the largest that is there at least twice.
fn time(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 3600, "d"), (3600, "h"), (60, "min")];
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

/// An object that is not nil, or a lease.
fn some(uuid: Uuid) -> Option<Uuid> {
    Some(uuid).filter(|uuid| !uuid.is_nil())
}

impl<'a> From<&'a FoundFacts> for EntryDocument<'a> {
    fn from(found: &'a FoundFacts) -> Self {
        let FoundFacts { entry, facts, .. } = found;
        let object = some(entry.object);
        let lease = some(facts.lease);
        EntryDocument {
            number: facts.number,
            object: object.map(|object| object.to_string()),
            annotation: String::from_utf8_lossy(&entry.annotation),
            tower: TowerDocument::from(&Described::new(&entry.tower, object)),
            owner: OwnerDocument::from(found),
            age: age(facts),
            life: name(facts.life.name(), facts.life.0),
            process: Some(facts.pid).filter(|pid| *pid != 0),
            lease_left_ms: lease.map(|_| facts.left_ms),
            lease: lease.map(|lease| lease.to_string()),
            probe: ProbeDocument::of(&facts.probe),
        }
    }
}

impl<'a> From<&'a FoundFacts> for OwnerDocument<'a> {
    fn from(found: &'a FoundFacts) -> Self {
        let owner = &found.facts.owner;
        let uid = (owner.kind == OwnerKind::USER).then_some(owner.uid);
        let is_account = owner.kind == OwnerKind::ACCOUNT;
        let has_address = match owner.kind {
            OwnerKind::HOST => true,
            _ => is_account && owner.address != [0; 16],
        };
        OwnerDocument {
            kind: name(owner.kind.name(), owner.kind.0),
            uid,
            user: uid.and_then(user),
            account: is_account.then(|| String::from_utf8_lossy(&found.account)),
            address: has_address.then(|| owner.address().to_string()),
        }
    }
}

impl ProbeDocument {
    /// What probes told, where the entry's life depends on them.
    fn of(probe: &Probe) -> Option<Self> {
        let ended = matches!(probe.state, ProbeState::ANSWERED | ProbeState::FAILED);
        let not_probed = probe.state == ProbeState::NOT_PROBED;
        (probe.state != ProbeState::NOT_APPLICABLE).then(|| ProbeDocument {
            state: name(probe.state.name(), probe.state.0),
            reason: not_probed.then(|| reason(probe.reason)),
            age_ms: ended.then_some(probe.age_ms),
            failures: probe.failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ept::FoundEntry;
    use crate::wire::SyntaxId;
    use crate::wire::control::Owner;
    use crate::wire::tower::TowerBuf;
    use uuid::uuid;

    const LEASE: Uuid = uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58");

    /// Facts of an entry with a life.
    fn facts(life: Life) -> Facts {
        Facts {
            number: 7,
            age_seconds: 200,
            lease: Uuid::nil(),
            owner: Owner::user(0),
            life,
            pid: 0,
            left_ms: 0,
            probe: Probe::default(),
        }
    }

    /// Facts of an entry that is probed.
    fn probed(state: ProbeState, reason: NotProbed) -> Facts {
        Facts {
            probe: Probe {
                state,
                reason,
                age_ms: 12_999,
                failures: 2,
            },
            ..facts(Life::PROBE)
        }
    }

    #[test]
    fn lives_are_told_in_words() {
        let process = Facts {
            pid: 1234,
            ..facts(Life::PROCESS)
        };
        let lease = Facts {
            lease: LEASE,
            left_ms: 20_500,
            ..facts(Life::LEASE)
        };
        let none = NotProbed::default();
        for (facts, text) in [
            (facts(Life::PERMANENT), "permanent"),
            (process, "process 1234"),
            (lease, "lease, 20 s left"),
            (
                probed(ProbeState::NOT_PROBED, NotProbed::NAMED_PIPE),
                "not probed: named pipe",
            ),
            (
                probed(ProbeState::NOT_PROBED, NotProbed(99)),
                "not probed: unknown 99",
            ),
            (probed(ProbeState::WAITING, none), "probe, not probed yet"),
            (
                probed(ProbeState::ANSWERED, none),
                "probe, answered 12 s ago",
            ),
            (
                probed(ProbeState::FAILED, none),
                "probe, failed 2 times, 12 s ago",
            ),
            (facts(Life(9)), "unknown 9"),
        ] {
            assert_eq!(life(&facts), text);
        }
    }

    #[test]
    fn owners_are_told_by_name_or_number_or_address() {
        for (told, text) in [
            (Owner::MAPPER, "mapper"),
            (Owner::CONFIGURATION, "configuration"),
            (Owner::user(0), "root"),
            (Owner::user(3_999_999_999), "uid 3999999999"),
            (Owner::host("192.0.2.7".parse().unwrap()), "192.0.2.7"),
            (Owner::account(None), "account a@b\\u{1b}"),
        ] {
            assert_eq!(owner(&owned(told)), text);
        }
    }

    #[test]
    fn an_account_has_its_name_and_where_it_registered_from() {
        let json = |found| serde_json::to_value(OwnerDocument::from(&found)).unwrap();
        let told = json(owned(Owner::account("192.0.2.7".parse().ok())));
        assert_eq!(told["kind"], "account");
        assert_eq!(told["account"], "a@b\x1b");
        assert_eq!(told["address"], "192.0.2.7");
        assert!(json(owned(Owner::account(None)))["address"].is_null());
        assert!(json(owned(Owner::user(0)))["account"].is_null());
    }

    #[test]
    fn times_are_told_in_one_unit() {
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }

    /// An entry of an owner.
    fn owned(owner: Owner) -> FoundFacts {
        FoundFacts {
            account: Box::from(&b"a@b\x1b"[..]),
            ..found(Facts {
                owner,
                ..facts(Life::PERMANENT)
            })
        }
    }

    /// An entry that would steer a terminal.
    fn found(facts: Facts) -> FoundFacts {
        let binding = "ncacn_ip_tcp:192.0.2.10[49152]".parse().unwrap();
        let tower = TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, &binding).unwrap();
        FoundFacts {
            entry: FoundEntry {
                object: Uuid::nil(),
                annotation: Box::from(&b"a\x1b[2J"[..]),
                tower: Box::from(tower.octets()),
            },
            facts,
            account: Box::default(),
        }
    }

    #[test]
    fn a_table_has_all_entries_and_then_the_counters() {
        let counters = [("inserted", 3), ("x\x1b", 10)].map(|(name, value)| FoundCounter {
            name: Box::from(name.as_bytes()),
            value,
        });
        let mut out = Vec::new();
        print(&mut out, &[found(facts(Life::PERMANENT))], &counters).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("INTERFACE"));
        assert!(lines[1].ends_with("root   permanent  3 min  a\\u{1b}[2J"));
        assert_eq!(lines[2..], ["", "inserted  3", "x\\u{1b}   10"]);
    }

    #[test]
    fn a_document_has_null_for_what_there_is_not() {
        let lease = Facts {
            lease: LEASE,
            left_ms: 20_500,
            age_seconds: Facts::NO_AGE,
            ..facts(Life::LEASE)
        };
        let json = |facts| serde_json::to_value(EntryDocument::from(&found(facts))).unwrap();
        let told = json(lease);
        assert_eq!(told["lease"], LEASE.to_string());
        assert_eq!(told["lease_left_ms"], 20_500);
        assert_eq!(told["owner"]["user"], "root");
        assert_eq!(told["binding"], "ncacn_ip_tcp:192.0.2.10[49152]");
        for missing in ["age", "process", "probe", "object"] {
            assert!(told[missing].is_null(), "{missing}");
        }
        let told = json(probed(ProbeState::FAILED, NotProbed::default()));
        assert_eq!(told["probe"]["state"], "failed");
        assert_eq!(told["probe"]["age_ms"], 12_999);
        assert!(told["probe"]["reason"].is_null() && told["lease_left_ms"].is_null());
    }
}
