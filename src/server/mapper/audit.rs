//! The audit trail: one event for every entry that was changed or was to be.
//!
//! Events go to the log under the target [`TARGET`]; counters say how many.

use crate::registry::{
    Authentication, Change, Entry, Origin, Printable, Registrant, RegistryError,
};
use crate::service::registration::Named;
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::tower::Tower;
use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{info, warn};
use uuid::Uuid;

/// The target of the events, for those who filter the log.
pub const TARGET: &str = "epmapper::audit";

/// Why something changed.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// A caller asked for it.
    Call {
        /// The operation.
        op: &'static str,
        /// Who.
        by: Registrant,
    },
    /// A life ended.
    End(End),
    /// The configuration or the mapper's own endpoints changed.
    Own,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its process did.
    Process,
    /// Its server did not answer.
    Unanswered,
    /// Its lease is over.
    Lease,
}

impl End {
    /// In words.
    fn reason(self) -> &'static str {
        match self {
            End::Process => "its process has ended",
            End::Unanswered => "its server does not answer",
            End::Lease => "its lease is over",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Entries registered by callers.
    Inserted,
    /// Entries registered once more.
    Renewed,
    /// Entries taken out by callers, replaced ones among them.
    Deleted,
    /// Leases renewed.
    LeasesRenewed,
    /// Entries whose process ended.
    ProcessEnded,
    /// Entries whose server did not answer.
    ProbeFailed,
    /// Entries whose lease was over.
    LeaseOver,
    /// Changes of callers that may change nothing.
    RefusedCallers,
    /// Changes refused by the rules.
    RefusedByRule,
    /// Changes refused since an entry or an interface is somebody else's.
    RefusedToStranger,
    /// Changes refused by a limit.
    RefusedByLimit,
    /// Changes refused for their form, or for what is not there.
    RefusedForm,
    /// Changes that could not be written to disk.
    NotStored,
    /// Calls of whoever would have had to log on, or at a higher level.
    RefusedUnproved,
    /// Refusals that were not logged, since there were too many.
    NotLogged,
}

impl Counter {
    /// All of them, in the order of their places.
    pub const ALL: [Counter; 15] = [
        Counter::Inserted,
        Counter::Renewed,
        Counter::Deleted,
        Counter::LeasesRenewed,
        Counter::ProcessEnded,
        Counter::ProbeFailed,
        Counter::LeaseOver,
        Counter::RefusedCallers,
        Counter::RefusedByRule,
        Counter::RefusedToStranger,
        Counter::RefusedByLimit,
        Counter::RefusedForm,
        Counter::NotStored,
        Counter::RefusedUnproved,
        Counter::NotLogged,
    ];

    /// Its name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Inserted => "inserted",
            Counter::Renewed => "renewed",
            Counter::Deleted => "deleted",
            Counter::LeasesRenewed => "leases_renewed",
            Counter::ProcessEnded => "process_ended",
            Counter::ProbeFailed => "probe_failed",
            Counter::LeaseOver => "lease_over",
            Counter::RefusedCallers => "refused_callers",
            Counter::RefusedByRule => "refused_by_rule",
            Counter::RefusedToStranger => "refused_to_stranger",
            Counter::RefusedByLimit => "refused_by_limit",
            Counter::RefusedForm => "refused_form",
            Counter::NotStored => "not_stored",
            Counter::RefusedUnproved => "refused_unproved",
            Counter::NotLogged => "refusals_not_logged",
        }
    }

    /// Where a refusal is counted.
    fn of(error: &RegistryError) -> Counter {
        use RegistryError::*;
        match error {
            NotAllowed | Reserved | Foreign(_) | NoProcess => Counter::RefusedByRule,
            NotOwner(_) | Exclusive(_) => Counter::RefusedToStranger,
            Full { .. }
            | OwnerFull { .. }
            | InterfaceFull { .. }
            | TooLong { .. }
            | TooFast { .. } => Counter::RefusedByLimit,
            NotStored => Counter::NotStored,
            _ => Counter::RefusedForm,
        }
    }
}

/// How often each happened since the start.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Counter::ALL.len()]);

impl Counters {
    /// How often.
    pub fn count(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }

    /// Counts once more.
    pub(super) fn add(&self, counter: Counter) {
        self.0[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal.
    pub(super) fn refuse(&self, error: &RegistryError) {
        self.add(Counter::of(error));
    }

    /// Counts and logs what changed.
    pub(super) fn tell(&self, cause: &Cause, changes: &[Change]) {
        for change in changes {
            match cause {
                Cause::Call { op, by } => self.tell_call(op, by, change),
                Cause::End(end) => self.tell_end(*end, change),
                Cause::Own => tell_own(change),
            }
        }
    }

    /// Counts and logs one step of a caller's change.
    fn tell_call(&self, op: &str, by: &Registrant, change: &Change) {
        let (counter, did, entry) = match change {
            Change::Inserted(_, entry) => (Counter::Inserted, "inserted", entry),
            Change::Renewed { after, .. } => (Counter::Renewed, "renewed", after),
            Change::Removed(_, entry) => (Counter::Deleted, "removed", entry),
            Change::Leased { lease, .. } => return self.tell_lease(op, by, *lease),
            Change::Unleased(_) => return,
        };
        self.add(counter);
        let (who, what) = (Who::from(by), What::from(entry));
        let is_others = *entry.owner() != by.owner();
        info!(
            target: TARGET,
            op,
            result = "accepted",
            did,
            uid = who.uid,
            pid = who.pid,
            address = who.address.map(tracing::field::display),
            account = who.account,
            authentication = who.authentication,
            interface = %what.interface,
            binding = %what.binding,
            object = what.object.map(tracing::field::display),
            annotation = what.annotation,
            life = entry.life().kind().name(),
            owner = is_others.then(|| tracing::field::display(entry.owner())),
            "registration"
        );
    }

    /// Counts and logs that a lease was renewed.
    fn tell_lease(&self, op: &str, by: &Registrant, lease: Uuid) {
        if op != "renew" {
            return;
        }
        self.add(Counter::LeasesRenewed);
        let who = Who::from(by);
        info!(
            target: TARGET,
            op,
            result = "accepted",
            uid = who.uid,
            pid = who.pid,
            account = who.account,
            authentication = who.authentication,
            %lease,
            "registration"
        );
    }

    /// Counts and logs one entry whose life ended.
    fn tell_end(&self, end: End, change: &Change) {
        let Change::Removed(_, entry) = change else {
            return;
        };
        self.add(match end {
            End::Process => Counter::ProcessEnded,
            End::Unanswered => Counter::ProbeFailed,
            End::Lease => Counter::LeaseOver,
        });
        let what = What::from(entry);
        info!(
            target: TARGET,
            op = "end",
            result = "removed",
            owner = %entry.owner(),
            interface = %what.interface,
            binding = %what.binding,
            object = what.object.map(tracing::field::display),
            annotation = what.annotation,
            reason = end.reason(),
            "registration"
        );
    }
}

/// Logs that the configuration took over what a registrant had registered.
fn tell_own(change: &Change) {
    let Change::Renewed { before, after, .. } = change else {
        return;
    };
    let what = What::from(after);
    info!(
        target: TARGET,
        op = "configuration",
        result = "taken over",
        owner = %before.owner(),
        interface = %what.interface,
        binding = %what.binding,
        object = what.object.map(tracing::field::display),
        annotation = what.annotation,
        "registration"
    );
}

/// Logs a refused change, one event for each entry that it names.
pub(super) fn tell_refused(op: &str, by: &Registrant, named: &[Named], error: &RegistryError) {
    let who = Who::from(by);
    let tell = |what: Option<What>| {
        warn!(
            target: TARGET,
            op,
            result = "refused",
            uid = who.uid,
            pid = who.pid,
            address = who.address.map(tracing::field::display),
            account = who.account,
            authentication = who.authentication,
            interface = what.as_ref().map(|what| tracing::field::display(what.interface.clone())),
            binding = what.as_ref().map(|what| tracing::field::display(what.binding.clone())),
            object = what.as_ref().and_then(|what| what.object).map(tracing::field::display),
            annotation = what.and_then(|what| what.annotation),
            reason = %error,
            "registration"
        );
    };
    if named.is_empty() {
        tell(None);
    }
    named.iter().for_each(|named| tell(Some(What::from(named))));
}

/// Who it was, as fields of an event.
struct Who {
    uid: Option<u32>,
    pid: Option<u32>,
    address: Option<IpAddr>,
    /// The account as it was written, also where its level does not count.
    account: Option<String>,
    /// Mechanism and level.
    authentication: Option<String>,
}

impl From<&Registrant> for Who {
    fn from(by: &Registrant) -> Who {
        let (uid, address) = match by.origin() {
            Origin::User(uid) => (Some(uid), None),
            Origin::Address(address) => (None, Some(address)),
        };
        let shown = by.authentication();
        let account = shown.map(|shown| shown.account.as_deref().map(Printable));
        Who {
            uid,
            pid: by.process().map(|process| process.pid),
            address,
            account: account.map(|name| name.map_or("anonymous".to_owned(), |it| it.to_string())),
            authentication: shown.map(Authentication::to_string),
        }
    }
}

/// What it was about, as fields of an event.
struct What {
    interface: String,
    binding: String,
    object: Option<Uuid>,
    annotation: Option<String>,
}

impl What {
    /// What object, tower and annotation say.
    fn new(object: Uuid, tower: &[u8], annotation: &[u8]) -> What {
        let (interface, binding) = describe(tower);
        let annotation = annotation.escape_ascii().to_string();
        What {
            interface,
            binding,
            object: Some(object).filter(|object| !object.is_nil()),
            annotation: Some(annotation).filter(|annotation| !annotation.is_empty()),
        }
    }
}

impl From<&Entry> for What {
    fn from(entry: &Entry) -> What {
        What::new(entry.object(), entry.tower(), entry.annotation())
    }
}

impl From<&Named> for What {
    fn from(named: &Named) -> What {
        What::new(named.object, &named.tower, &named.annotation)
    }
}

/// The interface and the string binding of a tower; its octets where it says
/// none.
fn describe(tower: &[u8]) -> (String, String) {
    let decoded = Tower::decode(tower);
    let Some(parts) = decoded.as_ref().ok().and_then(|tower| tower.parts().ok()) else {
        return ("?".to_owned(), Hex(tower).to_string());
    };
    let SyntaxId { uuid, major, minor } = parts.interface;
    let binding = Binding::from_tower(&parts, None);
    let binding = binding.map_or_else(|| Hex(tower).to_string(), |binding| binding.to_string());
    // What a peer wrote into it must not move a terminal's cursor.
    let binding = binding.escape_debug().to_string();
    (format!("{uuid} v{major}.{minor}"), binding)
}

/// The beginning of some octets in hexadecimal digits.
struct Hex<'o>(&'o [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        /// Octets that are shown.
        const SHOWN: usize = 128;
        for octet in self.0.iter().take(SHOWN) {
            write!(f, "{octet:02x}")?;
        }
        f.write_str(if self.0.len() > SHOWN { "..." } else { "" })
    }
}
