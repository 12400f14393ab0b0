//! Which endpoints are due for a probe, and whose entries are dead; pure.
//!
//! Many entries share one endpoint: an endpoint is asked, not an entry. Leaves
//! out how a server is asked, and which entries live by probes. What always
//! holds: a server that answers nothing any more has lost its entries within
//! three intervals of its last answer, however many failures that takes, as
//! long as each probe is begun when it is due; and an endpoint is asked by one
//! probe at a time.

use super::entry::Entry;
use super::owner::Owner;
use super::table::EntryId;
use crate::wire::tower::{ProtocolSequence, Shape, Tower};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// An endpoint that can be asked whether a server is there: a TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Where it is asked first.
    address: SocketAddrV4,
    /// Whether it may be at any address of this host.
    is_open: bool,
}

impl Target {
    /// Where the server of `entry` is asked: at its tower's own address, or at
    /// any address of this host where that is 0.0.0.0.
    ///
    /// `may_probe` tells of any other address whether it may be asked.
    ///
    /// # Errors
    /// Why there is nothing to ask.
    pub fn of(
        entry: &Entry,
        may_probe: impl FnOnce(Ipv4Addr) -> bool,
    ) -> Result<Target, NotProbed> {
        if entry.shape() != Shape::Known(ProtocolSequence::NcacnIpTcp) {
            return Err(NotProbed::Protocol(entry.shape()));
        }
        let tower = Tower::decode(entry.tower()).map_err(|_| NotProbed::Port)?;
        let parts = tower.parts().map_err(|_| NotProbed::Port)?;
        let port = parts.port().filter(|port| *port != 0);
        let port = port.ok_or(NotProbed::Port)?;
        match parts.address().unwrap_or(Ipv4Addr::UNSPECIFIED) {
            Ipv4Addr::UNSPECIFIED => Ok(Target::open(entry.origin(), port)),
            address if may_probe(address) => Ok(SocketAddrV4::new(address, port).into()),
            address => Err(NotProbed::Address(address)),
        }
    }

    /// A port of this host that was registered from an address.
    ///
    /// It is asked first where its registrant came from on the loopback, since
    /// addresses there are in no list of the host's.
    fn open(origin: Option<IpAddr>, port: u16) -> Target {
        let first = match origin {
            Some(IpAddr::V4(address)) if address.is_loopback() => address,
            _ => Ipv4Addr::LOCALHOST,
        };
        Target {
            address: SocketAddrV4::new(first, port),
            is_open: true,
        }
    }

    /// Where to connect to first.
    pub fn address(self) -> SocketAddrV4 {
        self.address
    }

    /// Whether a server that is not there may be at any other address of this
    /// host.
    pub fn is_open(self) -> bool {
        self.is_open
    }
}

impl From<SocketAddrV4> for Target {
    fn from(address: SocketAddrV4) -> Target {
        let is_open = false;
        Target { address, is_open }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Why an entry is not probed; it counts as alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotProbed {
    /// Its protocol sequence is another than `ncacn_ip_tcp`.
    Protocol(Shape),
    /// Its tower says no port, or port 0.
    Port,
    /// Its address is not this host's.
    Address(Ipv4Addr),
}

impl fmt::Display for NotProbed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            NotProbed::Protocol(Shape::Known(protseq)) => write!(f, "{protseq} is not probed"),
            NotProbed::Protocol(Shape::Other(_)) => f.write_str("unknown protocol sequence"),
            NotProbed::Port => f.write_str("no port"),
            NotProbed::Address(address) => write!(f, "{address} is not this host's"),
        }
    }
}

/// How servers are probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// From one probe of a server that answers to the next.
    pub interval: Duration,
    /// How long a probe may take, from the connection to the answer; no longer
    /// than the interval.
    pub timeout: Duration,
    /// Failures in a row after which a server is dead; at least 1, and at most
    /// as many as an interval has tenths of a second.
    pub failures: u32,
    /// Servers that are asked at the same time.
    pub at_once: usize,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        ProbeSettings {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            failures: 3,
            at_once: 256,
        }
    }
}

/// The shortest from a probe that failed to the next: many failures in a short
/// interval would leave no server the time to answer.
const SHORTEST: Duration = Duration::from_millis(100);

impl ProbeSettings {
    /// How many of one owner's servers are asked at the same time.
    fn share(&self) -> usize {
        (self.at_once - self.at_once / 4).max(1)
    }

    /// Failures in a row after which a server is dead, within what there is
    /// time for.
    fn failures(&self) -> u32 {
        let most = self.interval.as_millis() / SHORTEST.as_millis();
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        self.failures.clamp(1, most.max(1))
    }

    /// From a probe that failed to the next.
    fn again(&self) -> Duration {
        self.interval / self.failures()
    }

    /// How long a probe may take behind that many failures.
    ///
    /// Behind a failure no longer than until the next one is due: else as many
    /// long ones as it takes could be longer than three intervals.
    fn timeout(&self, failures: u32) -> Duration {
        match failures {
            0 => self.timeout.min(self.interval),
            _ => self.timeout.min(self.again()),
        }
    }
}

/// A probe to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whom to ask.
    pub target: Target,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a probe has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A server answered.
    Alive,
    /// None did.
    Dead,
    /// This host could not ask: that tells nothing about the server.
    Unknown,
}

/// What is known about a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeState {
    /// When a probe last told whether a server is there.
    pub last: Option<Instant>,
    /// Failures in a row.
    pub failures: u32,
    /// Whether a probe is under way.
    pub running: bool,
}

/// A target and whose it is.
#[derive(Debug)]
struct Watched {
    /// Whose entry made it one: in whose lane it is.
    owner: Owner,
    /// The entries at it; none while a probe is under way for those that left.
    entries: BTreeSet<EntryId>,
    /// When a probe last told something.
    last: Option<Instant>,
    /// Failures in a row.
    failures: u32,
    /// What comes next.
    turn: Turn,
}

/// What comes next for a target.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// A probe is due then; it stands in the queue.
    Due(Instant),
    /// A probe is under way.
    Running {
        /// When it began.
        since: Instant,
        /// Whether an entry was registered since then: its server may have
        /// started after the probe.
        overtaken: bool,
    },
}

/// All targets. Every operation takes logarithmic time for each entry or probe.
#[derive(Debug)]
pub struct Probes {
    /// How servers are probed.
    settings: ProbeSettings,
    /// What is known about each target.
    targets: BTreeMap<Target, Watched>,
    /// Where each entry is probed.
    entries: BTreeMap<EntryId, Target>,
    /// The targets of each owner.
    lanes: BTreeMap<Owner, Lane>,
}

/// One owner's targets: others' are not kept waiting by them.
#[derive(Debug, Default)]
struct Lane {
    /// Those that no probe is under way for, by the time they are due.
    queue: BTreeSet<(Instant, Target)>,
    /// Probes under way.
    running: usize,
}

impl Probes {
    /// No target.
    pub fn new(settings: ProbeSettings) -> Probes {
        Probes {
            settings,
            targets: BTreeMap::new(),
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
        }
    }

    /// Probes an entry at `target` from now on, or once more: a target that is
    /// new or has failed is due at once, and its failures are forgotten.
    ///
    /// # Source
    /// The DCE reference clears the failures of an entry that is registered
    /// again.
    pub fn add(&mut self, now: Instant, id: EntryId, owner: Owner, target: Target) {
        if self.entries.get(&id).is_some_and(|old| *old != target) {
            self.remove(id);
        }
        self.entries.insert(id, target);
        let lanes = &mut self.lanes;
        let watched = self.targets.entry(target).or_insert_with(|| {
            let lane = lanes.entry(owner.clone()).or_default();
            lane.queue.insert((now, target));
            Watched {
                owner,
                entries: BTreeSet::new(),
                last: None,
                failures: 0,
                turn: Turn::Due(now),
            }
        });
        watched.entries.insert(id);
        let had_failed = std::mem::take(&mut watched.failures) > 0;
        match &mut watched.turn {
            Turn::Running { overtaken, .. } => *overtaken = true,
            Turn::Due(_) if had_failed => self.queue_at(now, target),
            Turn::Due(_) => {}
        }
    }

    /// Probes an entry no longer.
    pub fn remove(&mut self, id: EntryId) {
        let Some(target) = self.entries.remove(&id) else {
            return;
        };
        let Some(watched) = self.targets.get_mut(&target) else {
            return;
        };
        watched.entries.remove(&id);
        if watched.entries.is_empty() {
            self.forget(target);
        }
    }

    /// The probes that are due, at most `most`: in turn of the owner that has
    /// the fewest under way, the longest due of each first. From now on they are
    /// under way, until `answered` is told of each.
    ///
    /// One owner has three quarters of all places at most: whoever registers
    /// many servers that say nothing does not keep others' from being asked.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<Probe> {
        let mut probes = Vec::new();
        while probes.len() < most
            && let Some(target) = self.take_due(now)
        {
            let Some(watched) = self.targets.get_mut(&target) else {
                continue;
            };
            watched.turn = Turn::Running {
                since: now,
                overtaken: false,
            };
            let timeout = self.settings.timeout(watched.failures);
            probes.push(Probe { target, timeout });
        }
        probes
    }

    /// The next target that is due, out of its lane.
    fn take_due(&mut self, now: Instant) -> Option<Target> {
        let share = self.settings.share();
        let lanes = self.lanes.values_mut();
        let due = lanes.filter(|lane| {
            let first = lane.queue.first();
            lane.running < share && first.is_some_and(|(due, _)| *due <= now)
        });
        let lane = due.min_by_key(|lane| lane.running)?;
        let (_, target) = lane.queue.pop_first()?;
        lane.running += 1;
        Some(target)
    }

    /// Takes what a probe has found; gives the entries that are dead now, which
    /// are probed no longer.
    pub fn answered(&mut self, now: Instant, target: Target, verdict: Verdict) -> Vec<EntryId> {
        let Some(watched) = self.targets.get_mut(&target) else {
            return Vec::new();
        };
        let Turn::Running { since, overtaken } = watched.turn else {
            return Vec::new();
        };
        let owner = watched.owner.clone();
        let next = match verdict {
            Verdict::Alive => {
                watched.last = Some(now);
                watched.failures = 0;
                since + self.settings.interval
            }
            Verdict::Dead if overtaken => now,
            Verdict::Dead => {
                watched.last = Some(now);
                watched.failures += 1;
                since + self.settings.again()
            }
            Verdict::Unknown => now + self.settings.again(),
        };
        let is_dead = watched.failures >= self.settings.failures();
        let is_over = is_dead || watched.entries.is_empty();
        let mut dead = Vec::new();
        if is_over {
            dead = self.bury(target);
        } else {
            self.queue_at(next.max(now), target);
        }
        self.change_lane(&owner, |lane| lane.running = lane.running.saturating_sub(1));
        dead
    }

    /// When the next probe is due; `None` while there is none to wait for.
    pub fn next_due(&self) -> Option<Instant> {
        let share = self.settings.share();
        // An owner that has all its places waits for one of them.
        let lanes = self.lanes.values().filter(|lane| lane.running < share);
        let due = lanes.filter_map(|lane| lane.queue.first());
        due.map(|(due, _)| *due).min()
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether nothing is probed.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What is known about the server of an entry; `None`: it is not probed.
    pub fn state(&self, id: EntryId) -> Option<ProbeState> {
        let watched = self.targets.get(self.entries.get(&id)?)?;
        Some(ProbeState {
            last: watched.last,
            failures: watched.failures,
            running: matches!(watched.turn, Turn::Running { .. }),
        })
    }

    /// Makes a target due at `due`, whatever it was before.
    fn queue_at(&mut self, due: Instant, target: Target) {
        let Some(watched) = self.targets.get_mut(&target) else {
            return;
        };
        let before = std::mem::replace(&mut watched.turn, Turn::Due(due));
        let owner = watched.owner.clone();
        self.change_lane(&owner, |lane| {
            if let Turn::Due(before) = before {
                lane.queue.remove(&(before, target));
            }
            lane.queue.insert((due, target));
        });
    }

    /// Changes an owner's lane; one without targets is not kept.
    fn change_lane(&mut self, owner: &Owner, change: impl FnOnce(&mut Lane)) {
        let lane = self.lanes.entry(owner.clone()).or_default();
        change(lane);
        if lane.queue.is_empty() && lane.running == 0 {
            self.lanes.remove(owner);
        }
    }

    /// Drops a target without entries. One with a probe under way stays until
    /// that has ended: whoever registers there meanwhile is not judged by it.
    fn forget(&mut self, target: Target) {
        let watched = self.targets.get(&target);
        let turn = watched.map(|watched| (watched.owner.clone(), watched.turn));
        if let Some((owner, Turn::Due(due))) = turn {
            self.targets.remove(&target);
            self.change_lane(&owner, |lane| {
                lane.queue.remove(&(due, target));
            });
        }
    }

    /// Drops a target that no probe waits for; gives its entries.
    fn bury(&mut self, target: Target) -> Vec<EntryId> {
        let watched = self.targets.remove(&target);
        let dead: Vec<_> = watched.into_iter().flat_map(|it| it.entries).collect();
        for id in &dead {
            self.entries.remove(id);
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::AccountName;
    use super::super::samples::{ECHO, SAMR, entry, tcp, tcp_tower, tower};
    use super::super::table::Table;
    use super::*;
    use crate::wire::SyntaxId;
    use proptest::prelude::*;
    use uuid::Uuid;

    const OWNER: Owner = Owner::User(7);
    const INTERVAL: Duration = Duration::from_secs(60);

    /// The settings with that many failures, the longest timeout that may be.
    fn longest(failures: u32) -> ProbeSettings {
        ProbeSettings {
            interval: INTERVAL,
            timeout: INTERVAL,
            failures,
            at_once: usize::MAX,
        }
    }

    /// As many entry numbers.
    fn ids(count: u16) -> Vec<EntryId> {
        let mut table = Table::new(Uuid::nil(), count.into());
        let insert = |port| table.insert(tcp(ECHO, port)).unwrap();
        (1..=count).map(insert).collect()
    }

    /// A port on the loopback.
    fn port(port: u16) -> Target {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()
    }

    /// The targets that are due.
    fn due(probes: &mut Probes, now: Instant) -> Vec<Target> {
        let due = probes.due(now, usize::MAX);
        due.into_iter().map(|probe| probe.target).collect()
    }

    /// Follows one target on a virtual clock until it is dead: each probe that
    /// ends before `alive_until` is answered, every later one is not, and takes
    /// the share `part` of its time. Gives when it was dead.
    fn death(settings: ProbeSettings, start: Instant, alive_until: Instant, part: f64) -> Instant {
        let mut probes = Probes::new(settings);
        let id = ids(1)[0];
        probes.add(start, id, OWNER, port(1));
        let mut now = start;
        loop {
            now = now.max(probes.next_due().unwrap());
            let probe = probes.due(now, 1)[0];
            assert!(probe.timeout <= settings.timeout);
            now += probe.timeout.mul_f64(part);
            let verdict = match now <= alive_until {
                true => Verdict::Alive,
                false => Verdict::Dead,
            };
            if probes.answered(now, probe.target, verdict) == [id] {
                assert!(probes.is_empty() && probes.next_due().is_none());
                return now;
            }
        }
    }

    #[test]
    fn a_dead_servers_entries_are_gone_within_three_intervals() {
        let start = Instant::now();
        for failures in (1..=10).chain([100, u32::MAX]) {
            for timeout in [1, 5, 20, 30, 59, 60].map(Duration::from_secs) {
                let settings = ProbeSettings {
                    timeout,
                    ..longest(failures)
                };
                for part in [0.0, 0.5, 1.0] {
                    // It dies right after its third answer, which is the worst.
                    let third = settings.timeout.mul_f64(part);
                    let died = start + INTERVAL * 2 + third;
                    let gone = death(settings, start, died, part);
                    assert!(gone - died <= INTERVAL * 3, "{settings:?} {part}");
                    assert!(gone - died >= INTERVAL, "{settings:?} {part}");
                }
            }
        }
    }

    #[test]
    fn a_server_that_never_answered_is_gone_within_two_intervals() {
        let start = Instant::now();
        for failures in 1..10 {
            let gone = death(longest(failures), start, start, 1.0);
            assert!(gone - start <= INTERVAL * 2);
        }
    }

    #[test]
    fn however_many_failures_it_takes_each_probe_has_a_tenth_of_a_second() {
        let now = Instant::now();
        let settings = longest(u32::MAX);
        let mut probes = Probes::new(settings);
        probes.add(now, ids(1)[0], OWNER, port(1));
        assert_eq!(due(&mut probes, now), [port(1)]);
        probes.answered(now, port(1), Verdict::Dead);
        let next = now + SHORTEST;
        assert_eq!(probes.next_due(), Some(next));
        assert_eq!(probes.due(next, 1)[0].timeout, SHORTEST);
        // Where the interval is shorter, one failure is enough.
        let interval = SHORTEST / 2;
        let short = ProbeSettings {
            interval,
            ..settings
        };
        assert_eq!((short.failures(), short.again()), (1, interval));
    }

    #[test]
    fn a_server_that_answers_is_asked_once_an_interval() {
        let start = Instant::now();
        let mut probes = Probes::new(ProbeSettings::default());
        probes.add(start, ids(1)[0], OWNER, port(1));
        for round in 0..10 {
            let now = start + INTERVAL * round;
            assert_eq!(probes.next_due(), Some(now));
            assert_eq!(due(&mut probes, now), [port(1)]);
            let then = now + Duration::from_secs(2);
            assert_eq!(probes.answered(then, port(1), Verdict::Alive), []);
            assert_eq!(due(&mut probes, then), []);
        }
    }

    #[test]
    fn entries_at_one_endpoint_share_its_probe_and_its_end() {
        let now = Instant::now();
        let mut probes = Probes::new(longest(1));
        let ids = ids(3);
        probes.add(now, ids[0], OWNER, port(1));
        probes.add(now, ids[1], OWNER, port(1));
        probes.add(now, ids[2], OWNER, port(2));
        assert_eq!(due(&mut probes, now), [port(1), port(2)]);
        assert_eq!(probes.answered(now, port(2), Verdict::Alive), []);
        assert_eq!(probes.answered(now, port(1), Verdict::Dead), ids[..2]);
        assert_eq!(probes.len(), 1);
        assert_eq!(probes.state(ids[0]), None);
    }

    #[test]
    fn an_answer_ends_a_row_of_failures() {
        let mut now = Instant::now();
        let mut probes = Probes::new(longest(3));
        let id = ids(1)[0];
        probes.add(now, id, OWNER, port(1));
        use Verdict::{Alive, Dead};
        for (verdict, failures) in [(Dead, 1), (Dead, 2), (Alive, 0), (Dead, 1), (Dead, 2)] {
            now = probes.next_due().unwrap();
            assert_eq!(due(&mut probes, now), [port(1)]);
            assert!(probes.state(id).unwrap().running);
            assert_eq!(probes.answered(now, port(1), verdict), []);
            let expected = ProbeState {
                last: Some(now),
                failures,
                running: false,
            };
            assert_eq!(probes.state(id), Some(expected));
        }
    }

    #[test]
    fn an_entry_registered_again_at_a_failing_target_is_due_at_once() {
        let start = Instant::now();
        let mut probes = Probes::new(longest(2));
        let ids = ids(2);
        probes.add(start, ids[0], OWNER, port(1));
        assert_eq!(due(&mut probes, start), [port(1)]);
        assert_eq!(probes.answered(start, port(1), Verdict::Dead), []);
        let later = start + Duration::from_secs(1);
        assert_eq!(due(&mut probes, later), []);
        probes.add(later, ids[1], OWNER, port(1));
        assert_eq!(probes.state(ids[0]).unwrap().failures, 0);
        assert_eq!(due(&mut probes, later), [port(1)]);
        assert_eq!(probes.answered(later, port(1), Verdict::Dead), []);
        assert_eq!(probes.state(ids[0]).unwrap().failures, 1);
        assert_eq!(probes.len(), 1);
    }

    #[test]
    fn an_entry_registered_again_at_a_target_that_answers_changes_nothing() {
        let start = Instant::now();
        let mut probes = Probes::new(longest(2));
        let id = ids(1)[0];
        probes.add(start, id, OWNER, port(1));
        assert_eq!(due(&mut probes, start), [port(1)]);
        probes.answered(start, port(1), Verdict::Alive);
        probes.add(start + INTERVAL / 2, id, OWNER, port(1));
        assert_eq!(probes.next_due(), Some(start + INTERVAL));
    }

    #[test]
    fn an_entry_registered_during_a_probe_is_not_judged_by_its_failure() {
        let start = Instant::now();
        let mut probes = Probes::new(longest(1));
        let ids = ids(2);
        probes.add(start, ids[0], OWNER, port(1));
        assert_eq!(due(&mut probes, start), [port(1)]);
        let later = start + Duration::from_secs(5);
        // The old server's entry goes, the new server's comes.
        probes.remove(ids[0]);
        probes.add(later, ids[1], OWNER, port(1));
        assert_eq!(due(&mut probes, later), []);
        assert_eq!(probes.answered(later, port(1), Verdict::Dead), []);
        assert_eq!(due(&mut probes, later), [port(1)]);
        assert_eq!(probes.answered(later, port(1), Verdict::Dead), [ids[1]]);
    }

    #[test]
    fn what_could_not_be_asked_is_no_failure_and_asked_again() {
        let start = Instant::now();
        let mut probes = Probes::new(longest(2));
        let id = ids(1)[0];
        probes.add(start, id, OWNER, port(1));
        let mut now = start;
        for _ in 0..10 {
            assert_eq!(due(&mut probes, now), [port(1)]);
            assert_eq!(probes.answered(now, port(1), Verdict::Unknown), []);
            assert_eq!(probes.state(id), Some(ProbeState::default()));
            assert_eq!(probes.next_due(), Some(now + INTERVAL / 2));
            now += INTERVAL / 2;
        }
    }

    #[test]
    fn an_entry_that_is_gone_is_not_asked_about_and_its_answer_not_heard() {
        let now = Instant::now();
        let mut probes = Probes::new(longest(1));
        let ids = ids(2);
        probes.add(now, ids[0], OWNER, port(1));
        probes.add(now, ids[1], OWNER, port(2));
        probes.remove(ids[0]);
        assert_eq!(due(&mut probes, now), [port(2)]);
        probes.remove(ids[1]);
        assert_eq!(probes.answered(now, port(2), Verdict::Dead), []);
        assert_eq!(probes.answered(now, port(9), Verdict::Dead), []);
        assert!(probes.is_empty() && probes.next_due().is_none());
    }

    #[test]
    fn an_entry_that_moves_is_probed_where_it_is() {
        let now = Instant::now();
        let mut probes = Probes::new(longest(1));
        let id = ids(1)[0];
        probes.add(now, id, OWNER, port(1));
        probes.add(now, id, OWNER, port(2));
        assert_eq!(due(&mut probes, now), [port(2)]);
    }

    #[test]
    fn the_longest_due_come_first_and_no_more_than_asked_for() {
        let start = Instant::now();
        let mut probes = Probes::new(longest(1));
        for (number, id) in (0u16..).zip(ids(100)) {
            let due = start + Duration::from_secs(u64::from(100 - number));
            probes.add(due, id, OWNER, port(number));
        }
        let late = start + INTERVAL * 10;
        let first = probes.due(late, 30);
        let ports: Vec<_> = first.iter().map(|it| it.target.address().port()).collect();
        assert_eq!(ports, (70..100).rev().collect::<Vec<_>>());
        assert_eq!(probes.due(late, usize::MAX).len(), 70);
        assert_eq!(probes.due(late, usize::MAX), []);
    }

    /// A tower of `protocols` with `endpoint` in floor 4 and `address` in 5.
    fn floors(rpc: u8, below: u8, endpoint: &[u8], address: &[u8]) -> Entry {
        let lower = [(rpc, &[0, 0][..]), (below, endpoint), (0x09, address)];
        entry(Uuid::nil(), &tower(ECHO, SyntaxId::NDR, &lower))
    }

    #[test]
    fn a_target_is_the_towers_port_and_address() {
        let here = floors(0x0b, 0x07, &[0xc0, 0], &[192, 0, 2, 1]);
        let target = Target::of(&here, |_| true).unwrap();
        assert_eq!(target.to_string(), "192.0.2.1:49152");
        let foreign = NotProbed::Address(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(Target::of(&here, |_| false), Err(foreign));
    }

    #[test]
    fn an_open_address_is_asked_where_its_owner_is_on_the_loopback_and_elsewhere() {
        let open = |owner| {
            let open = entry(Uuid::nil(), &tcp_tower(SAMR, 49152)).owned(owner);
            Target::of(&open, |_| false).unwrap()
        };
        let at = |address: &str| Owner::Host(address.parse().unwrap());
        for (owner, first) in [
            (Owner::ROOT, "127.0.0.1:49152"),
            (at("127.0.0.9"), "127.0.0.9:49152"),
            (at("192.0.2.1"), "127.0.0.1:49152"),
            (at("::1"), "127.0.0.1:49152"),
        ] {
            let target = open(owner);
            assert_eq!(
                (target.to_string().as_str(), target.is_open()),
                (first, true)
            );
        }
        assert!(!port(49152).is_open());
    }

    #[test]
    fn an_open_target_of_an_account_is_where_it_registered_from() {
        let alice = Owner::Account(AccountName::new("alice").unwrap());
        let open = tcp(ECHO, 49152).owned(alice);
        let first = |entry: &Entry| Target::of(entry, |_| false).unwrap().address();
        let local = [127, 0, 0, 9].into();
        let from = |address: IpAddr| open.clone().registered_from(address);
        assert_eq!(*first(&from(local)).ip(), Ipv4Addr::new(127, 0, 0, 9));
        // Whoever registers it again is where its server is now.
        let again = from("192.0.2.7".parse().unwrap());
        let mut table = Table::new(Uuid::nil(), 9);
        for entry in [from(local), again] {
            let changes = table.register(vec![entry], false, |_| false);
            assert!(changes.is_ok());
        }
        let (_, left) = table.iter().next().unwrap();
        assert_eq!(*first(left).ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(*first(&open).ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn an_account_with_many_silent_servers_leaves_places_to_another_at_its_host() {
        let settings = ProbeSettings {
            at_once: 8,
            ..ProbeSettings::default()
        };
        let (mut probes, now) = (Probes::new(settings), Instant::now());
        let account = |name| Owner::Account(AccountName::new(name).unwrap());
        let ids = ids(21);
        for (id, number) in ids[..20].iter().zip(1..) {
            probes.add(now, *id, account("alice"), port(number));
        }
        assert_eq!(probes.due(now, 8).len(), 6, "three quarters");
        probes.add(now, ids[20], account("bob"), port(99));
        let bobs = probes.due(now, 2);
        assert_eq!(bobs.len(), 1);
        assert_eq!(bobs[0].target, port(99));
    }

    #[test]
    fn one_owner_with_many_silent_servers_leaves_places_to_others() {
        let settings = ProbeSettings {
            at_once: 8,
            ..ProbeSettings::default()
        };
        let (mut probes, now) = (Probes::new(settings), Instant::now());
        let ids = ids(21);
        let (many, last) = ids.split_at(20);
        for (id, number) in many.iter().zip(1..) {
            probes.add(now, *id, OWNER, port(number));
        }
        let first = probes.due(now, 8);
        assert_eq!(first.len(), 6, "three quarters");
        assert_eq!(probes.next_due(), None, "it waits for its own");
        assert_eq!(probes.due(now, 2), []);
        probes.add(now, last[0], Owner::User(8), port(99));
        assert_eq!(probes.next_due(), Some(now));
        let other = probes.due(now, 2);
        assert_eq!(
            other.iter().map(|probe| probe.target).collect::<Vec<_>>(),
            [port(99)]
        );
        probes.answered(now, first[0].target, Verdict::Alive);
        assert_eq!(probes.due(now, 2).len(), 1);
    }

    #[test]
    fn what_cannot_be_asked_has_its_reason() {
        let why = |entry: &Entry| Target::of(entry, |_| true).unwrap_err();
        assert_eq!(why(&tcp(ECHO, 0)), NotProbed::Port);
        let none = floors(0x0b, 0x07, &[], &[127, 0, 0, 1]);
        assert_eq!(why(&none), NotProbed::Port);
        let udp = floors(0x0a, 0x08, &[0xc0, 0], &[127, 0, 0, 1]);
        assert_eq!(why(&udp).to_string(), "ncadg_ip_udp is not probed");
        let http = floors(0x0b, 0x1f, &[0xc0, 0], &[127, 0, 0, 1]);
        assert_eq!(why(&http).to_string(), "ncacn_http is not probed");
        let lower = [(0x0c, &[0, 0][..]), (0x10, b"EPMAPPER\0")];
        let local = entry(Uuid::nil(), &tower(ECHO, SyntaxId::NDR, &lower));
        assert_eq!(why(&local).to_string(), "ncalrpc is not probed");
    }

    /// What can happen to targets.
    #[derive(Clone, Debug)]
    enum Event {
        Add(usize, u16),
        Remove(usize),
        Take(usize),
        Answer(usize, Verdict),
        Pass(u64),
    }

    /// Any of them, about 6 entries at 4 targets.
    fn event() -> impl Strategy<Value = Event> {
        let verdict = prop_oneof![
            Just(Verdict::Alive),
            Just(Verdict::Dead),
            Just(Verdict::Unknown)
        ];
        prop_oneof![
            (0..6usize, 0..4u16).prop_map(|(id, port)| Event::Add(id, port)),
            (0..6usize).prop_map(Event::Remove),
            (0..4usize).prop_map(Event::Take),
            (0..4usize, verdict).prop_map(|(which, verdict)| Event::Answer(which, verdict)),
            (0..40u64).prop_map(Event::Pass),
        ]
    }

    /// Asserts that what is kept twice is the same, and that nothing waits
    /// for ever.
    fn assert_whole(probes: &Probes, under_way: &[Target]) {
        for (target, watched) in &probes.targets {
            let queued = probes.lanes.values().flat_map(|lane| &lane.queue);
            let queued = queued.filter(|(_, it)| it == target);
            let queued: Vec<_> = queued.map(|(due, _)| *due).collect();
            match watched.turn {
                Turn::Due(due) => {
                    assert_eq!(queued, [due]);
                    assert!(!watched.entries.is_empty());
                }
                Turn::Running { .. } => {
                    assert!(queued.is_empty() && under_way.contains(target));
                }
            }
            assert!(watched.failures < probes.settings.failures);
            let at = |id| probes.entries.get(id) == Some(target);
            assert!(watched.entries.iter().all(at));
        }
        let entries = probes.targets.values().map(|it| it.entries.len());
        assert_eq!(entries.sum::<usize>(), probes.entries.len());
        let queued = probes.lanes.values().map(|lane| lane.queue.len());
        assert!(queued.sum::<usize>() <= probes.targets.len());
        let running = probes.lanes.values().map(|lane| lane.running);
        assert_eq!(running.sum::<usize>(), under_way.len());
    }

    proptest! {
        #[test]
        fn whatever_happens_each_target_waits_for_one_probe(
            events in prop::collection::vec(event(), 0..200),
        ) {
            let ids = ids(6);
            let mut probes = Probes::new(longest(2));
            let mut now = Instant::now();
            let mut under_way: Vec<Target> = Vec::new();
            for event in events {
                match event {
                    Event::Add(id, at) => probes.add(now, ids[id], OWNER, port(at)),
                    Event::Remove(id) => probes.remove(ids[id]),
                    Event::Take(most) => {
                        let taken = probes.due(now, most);
                        assert!(taken.len() <= most);
                        for Probe { target, .. } in taken {
                            assert!(!under_way.contains(&target));
                            under_way.push(target);
                        }
                    }
                    Event::Answer(which, verdict) if which < under_way.len() => {
                        let target = under_way.swap_remove(which);
                        let dead = probes.answered(now, target, verdict);
                        assert!(dead.is_empty() || verdict == Verdict::Dead);
                        assert!(dead.iter().all(|id| probes.state(*id).is_none()));
                    }
                    Event::Answer(..) => {}
                    Event::Pass(seconds) => now += Duration::from_secs(seconds),
                }
                assert_whole(&probes, &under_way);
            }
        }
    }
}
