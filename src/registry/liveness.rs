//! How entries end: with a process, without an answer, with a lease, or never.

use super::owner::Owner;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What ends an entry besides a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Nothing.
    #[default]
    Permanent,
    /// The end of its registrant's process.
    Process(Process),
    /// A server that does not answer at its endpoint.
    Probe,
    /// The end of its lease.
    Lease(Lease),
}

/// The kinds of lives, as rules and registrants name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifeKind {
    /// See `Life::Permanent`.
    Permanent,
    /// See `Life::Process`.
    Process,
    /// See `Life::Probe`.
    #[default]
    Probe,
    /// See `Life::Lease`.
    Lease,
}

impl LifeKind {
    /// Its name in configuration and status.
    pub const fn name(self) -> &'static str {
        match self {
            LifeKind::Permanent => "permanent",
            LifeKind::Process => "process",
            LifeKind::Probe => "probe",
            LifeKind::Lease => "lease",
        }
    }
}

impl Life {
    /// Its kind.
    pub fn kind(self) -> LifeKind {
        match self {
            Life::Permanent => LifeKind::Permanent,
            Life::Process(_) => LifeKind::Process,
            Life::Probe => LifeKind::Probe,
            Life::Lease(_) => LifeKind::Lease,
        }
    }
}

/// A process of this host, which no later one with its id is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, in the kernel's clock ticks since the host's start.
    pub started: u64,
}

/// What keeps entries as long as it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id, drawn by the mapper.
    pub id: Uuid,
    /// How long it lasts from its last renewal.
    pub duration: Duration,
}

/// The leases that are running.
///
/// A lease without entries is not kept: there are never more than entries.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    leases: BTreeMap<Uuid, Running>,
    /// When each ends.
    ends: BTreeSet<(Instant, Uuid)>,
}

/// A lease under way.
#[derive(Clone, Debug)]
struct Running {
    owner: Owner,
    duration: Duration,
    until: Instant,
}

impl Leases {
    /// Begins a lease of `owner`, or renews it, so that it ends at `until`.
    pub fn run(&mut self, owner: Owner, lease: Lease, until: Instant) {
        self.end(lease.id);
        let duration = lease.duration;
        let running = Running {
            owner,
            duration,
            until,
        };
        self.leases.insert(lease.id, running);
        self.ends.insert((until, lease.id));
    }

    /// The lease of that id, if whoever asks may change what it keeps.
    pub fn find(&self, by: &Owner, id: Uuid) -> Option<(&Owner, Lease)> {
        let running = self.leases.get(&id)?;
        let duration = running.duration;
        by.may_change(&running.owner)
            .then_some((&running.owner, Lease { id, duration }))
    }

    /// When a lease ends.
    pub fn until(&self, id: Uuid) -> Option<Instant> {
        self.leases.get(&id).map(|running| running.until)
    }

    /// Ends a lease, if it runs.
    pub fn end(&mut self, id: Uuid) {
        if let Some(running) = self.leases.remove(&id) {
            self.ends.remove(&(running.until, id));
        }
    }

    /// The leases that are over; they end.
    pub fn over(&mut self, now: Instant) -> Vec<Uuid> {
        let over = self.ends.iter().take_while(|(until, _)| *until <= now);
        let over: Vec<Uuid> = over.map(|(_, id)| *id).collect();
        over.iter().for_each(|id| self.end(*id));
        over
    }

    /// When the next one is over.
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lease of a minute.
    fn lease(id: u128) -> Lease {
        let duration = Duration::from_secs(60);
        let id = Uuid::from_u128(id);
        Lease { id, duration }
    }

    #[test]
    fn a_lease_is_over_at_its_end_unless_it_was_renewed() {
        let (start, mut leases) = (Instant::now(), Leases::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        let [one, two] = [lease(1), lease(2)];
        leases.run(Owner::User(7), one, at(60));
        leases.run(Owner::User(7), two, at(61));
        leases.run(Owner::User(7), one, at(100));
        assert_eq!(leases.next_end(), Some(at(61)));
        assert!(leases.over(at(60)).is_empty());
        assert_eq!(leases.over(at(61)), [two.id]);
        assert_eq!(leases.until(one.id), Some(at(100)));
        assert_eq!(leases.over(at(200)), [one.id]);
        assert!(leases.is_empty() && leases.next_end().is_none());
    }

    #[test]
    fn a_lease_is_found_by_its_owner_and_by_root() {
        let mut leases = Leases::default();
        let owner = Owner::User(7);
        leases.run(owner.clone(), lease(1), Instant::now());
        let found = |by: Owner| leases.find(&by, lease(1).id).is_some();
        assert!(found(owner) && found(Owner::ROOT));
        assert!(!found(Owner::User(8)) && !found(Owner::Configuration));
    }
}
