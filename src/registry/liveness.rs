//! How entries end: with a process, without an answer, with a lease, or never.

use std::time::Duration;
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
    pub fn name(self) -> &'static str {
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
