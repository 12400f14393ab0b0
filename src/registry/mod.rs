//! The endpoint map: entries, matching, walks; pure.
//!
//! Holds what is registered, finds what a caller asks for, and remembers how
//! far a caller's walk has come; and who may change what, and how entries end.
//! Leaves out statuses and stubs. What always holds: answers come in insertion
//! order, and an entry that is there from the first page of a walk to the last
//! is seen exactly once, whatever is inserted or deleted meanwhile.

pub mod account;
pub mod change;
pub mod entry;
pub mod handle;
pub mod inquiry;
pub mod liveness;
pub mod owner;
pub mod probes;
pub mod rates;
pub mod registrant;
pub mod table;

pub use account::{AccountName, Printable};
pub use change::Change;
pub use entry::{Entry, RegistryError};
pub use handle::{HandleLimits, Handles, Operation, Walk};
pub use inquiry::{Inquiry, MapQuery, Versions};
pub use liveness::{Lease, Leases, Life, LifeKind, Process};
pub use owner::{Network, Owner, Policy, Rule, Terms};
pub use probes::{NotProbed, Probe, ProbeSettings, ProbeState, Probes, Target, Verdict};
pub use rates::Rates;
pub use registrant::{Authentication, Origin, Registrant};
pub use table::{Changed, EntryId, Position, Table, TableLimits};

#[cfg(test)]
pub(crate) mod samples {
    //! Towers and entries for the tests of this layer and of the services.

    use super::{Entry, Owner};
    use crate::wire::SyntaxId;
    use uuid::{Uuid, uuid};

    /// An interface of no meaning.
    pub(crate) const ECHO: SyntaxId =
        SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
    /// Another.
    pub(crate) const SAMR: SyntaxId =
        SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);
    /// An object.
    pub(crate) const OBJECT: Uuid = uuid!("11111111-2222-3333-4444-555555555555");
    /// Another.
    pub(crate) const OTHER: Uuid = uuid!("99999999-2222-3333-4444-555555555555");

    /// A tower of floors 1 and 2, and what comes below: protocol and rhs.
    pub(crate) fn tower(interface: SyntaxId, syntax: SyntaxId, lower: &[(u8, &[u8])]) -> Vec<u8> {
        let mut octets = (2 + lower.len() as u16).to_le_bytes().to_vec();
        for id in [interface, syntax] {
            octets.extend([19, 0, 0x0d]);
            octets.extend(id.uuid.to_bytes_le());
            octets.extend(id.major.to_le_bytes());
            octets.extend([2, 0]);
            octets.extend(id.minor.to_le_bytes());
        }
        for (protocol, rhs) in lower {
            octets.extend([1, 0, *protocol]);
            octets.extend((rhs.len() as u16).to_le_bytes());
            octets.extend(*rhs);
        }
        octets
    }

    /// A tower of ncacn_ip_tcp in NDR 2.0 at 0.0.0.0.
    pub(crate) fn tcp_tower(interface: SyntaxId, port: u16) -> Vec<u8> {
        let port = port.to_be_bytes();
        let lower: [(u8, &[u8]); 3] = [(0x0b, &[0, 0]), (0x07, &port), (0x09, &[0; 4])];
        tower(interface, SyntaxId::NDR, &lower)
    }

    /// A registration of `tower`.
    pub(crate) fn entry(object: Uuid, tower: &[u8]) -> Entry {
        Entry::new(object, tower, b"", Owner::Configuration).unwrap()
    }

    /// A registration at a TCP port without an object.
    pub(crate) fn tcp(interface: SyntaxId, port: u16) -> Entry {
        entry(Uuid::nil(), &tcp_tower(interface, port))
    }
}
