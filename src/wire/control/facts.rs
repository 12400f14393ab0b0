//! What only the mapper knows of an entry.

use crate::wire::input::{self, Input, Parsed};
use crate::wire::ndr;
use crate::wire::output::Output;
use std::net::{IpAddr, Ipv6Addr};
use uuid::Uuid;

/// Declares a newtype of a u32: its named values and `name`. Unknown values
/// survive.
macro_rules! numbers {
    ($($(#[$doc:meta])* $type:ident { $($(#[$item:meta])* $constant:ident = $value:literal $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $type(pub u32);

        impl $type {
            $($(#[$item])* pub const $constant: Self = Self($value);)*

            /// What it is called, if the value has a name.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }
        }
    )*};
}

numbers! {
    /// What ends an entry besides a call.
    Life {
        /// Nothing: the mapper's own entries and those of its configuration.
        PERMANENT = 0 "permanent",
        /// The end of its registrant's process.
        PROCESS = 1 "process",
        /// A server that does not answer at its endpoint.
        PROBE = 2 "probe",
        /// The end of its lease.
        LEASE = 3 "lease",
    }

    /// What kind of owner an entry has.
    OwnerKind {
        /// The mapper itself.
        MAPPER = 0 "mapper",
        /// The configuration file.
        CONFIGURATION = 1 "configuration",
        /// A user of this host.
        USER = 2 "user",
        /// Whoever is at an address.
        HOST = 3 "host",
        /// An account that has proved to be it.
        ACCOUNT = 4 "account",
    }

    /// How the last probe of an entry went.
    ProbeState {
        /// Its life does not depend on probes.
        NOT_APPLICABLE = 0 "not applicable",
        /// It cannot or must not be probed, and counts as alive: see
        /// [`NotProbed`].
        NOT_PROBED = 1 "not probed",
        /// No probe has ended yet.
        WAITING = 2 "not probed yet",
        /// Its server answered.
        ANSWERED = 3 "answered",
        /// Its server did not answer.
        FAILED = 4 "failed",
    }

    /// Why an entry is not probed.
    NotProbed {
        /// Its endpoint is a named pipe.
        NAMED_PIPE = 1 "named pipe",
        /// Its endpoint is a local socket.
        LOCAL_SOCKET = 2 "local socket",
        /// Its endpoint takes datagrams.
        DATAGRAM = 3 "datagrams",
        /// Its endpoint is behind HTTP.
        HTTP = 4 "HTTP",
        /// Its tower has no port, or port 0.
        NO_PORT = 5 "no port",
        /// Its address is not this host's.
        FOREIGN_ADDRESS = 6 "address of another host",
        /// Its protocol sequence is none of these.
        OTHER = 7 "unknown protocol sequence",
    }
}

/// Who registered an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// What kind of owner it is.
    pub kind: OwnerKind,
    /// The user's id; 0 where it is no user.
    pub uid: u32,
    /// The host's address, or the one that an account registered from; an IPv4
    /// one mapped into IPv6, zeros for none.
    pub address: [u8; 16],
}

impl Owner {
    /// The mapper itself.
    pub const MAPPER: Self = Owner::of(OwnerKind::MAPPER);
    /// The configuration file.
    pub const CONFIGURATION: Self = Owner::of(OwnerKind::CONFIGURATION);

    /// A user of this host.
    pub fn user(uid: u32) -> Self {
        Owner {
            uid,
            ..Owner::of(OwnerKind::USER)
        }
    }

    /// Whoever is at an address.
    pub fn host(address: IpAddr) -> Self {
        Owner {
            address: mapped(address),
            ..Owner::of(OwnerKind::HOST)
        }
    }

    /// An account, which registered from an address.
    pub fn account(address: Option<IpAddr>) -> Self {
        Owner {
            address: address.map_or([0; 16], mapped),
            ..Owner::of(OwnerKind::ACCOUNT)
        }
    }

    /// An owner of a kind, without more.
    const fn of(kind: OwnerKind) -> Self {
        Owner {
            kind,
            uid: 0,
            address: [0; 16],
        }
    }

    /// The host's address, or the account's.
    pub fn address(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self.address)).to_canonical()
    }
}

/// An address in the form of IPv6.
fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// What probes of an entry told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// How the last one went.
    pub state: ProbeState,
    /// Why there is none; 0 where there are probes.
    pub reason: NotProbed,
    /// How long ago the last one ended, in milliseconds; 0 without one.
    pub age_ms: u32,
    /// Failures in a row.
    pub failures: u32,
}

/// What only the mapper knows of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its number; later entries have higher ones.
    pub number: u64,
    /// How long ago it was registered, in seconds; [`Facts::NO_AGE`] where
    /// nobody knows.
    pub age_seconds: u64,
    /// Its lease; nil without one.
    pub lease: Uuid,
    /// Who registered it.
    pub owner: Owner,
    /// What ends it.
    pub life: Life,
    /// The process that it ends with; 0 without one.
    pub pid: u32,
    /// How long its lease lasts from now, in milliseconds; 0 without one.
    pub left_ms: u32,
    /// What probes told.
    pub probe: Probe,
}

impl Facts {
    /// The age of an entry whose registration nobody timed.
    pub const NO_AGE: u64 = u64::MAX;

    /// The length on the wire, in octets, without what aligns the next ones.
    pub const LEN: usize = 84;

    /// Reads the facts of one entry.
    ///
    /// Layout: aligned to 8; number hyper, age hyper, lease uuid, owner kind u32,
    /// uid u32, address 16 octets, life u32, pid u32, left u32, probe state u32,
    /// reason u32, age u32, failures u32; in NDR64 filled up to 8.
    pub(super) fn decode(i: Input<'_>) -> Parsed<'_, Facts> {
        let (i, number) = ndr::u64("number")(i)?;
        let (i, age_seconds) = ndr::u64("age")(i)?;
        let (i, lease) = ndr::uuid("lease")(i)?;
        let (i, owner) = Owner::decode(i)?;
        let (i, life) = ndr::u32("life")(i)?;
        let (i, pid) = ndr::u32("pid")(i)?;
        let (i, left_ms) = ndr::u32("left")(i)?;
        let (i, probe) = Probe::decode(i)?;
        let (i, ()) = ndr::gap("facts")(i)?;
        let facts = Facts {
            number,
            age_seconds,
            lease,
            owner,
            life: Life(life),
            pid,
            left_ms,
            probe,
        };
        Ok((i, facts))
    }

    /// Writes them.
    pub(super) fn encode(&self, out: &mut Output) {
        ndr::put_u64(out, self.number);
        ndr::put_u64(out, self.age_seconds);
        ndr::put_uuid(out, &self.lease);
        self.owner.encode(out);
        ndr::put_u32(out, self.life.0);
        ndr::put_u32(out, self.pid);
        ndr::put_u32(out, self.left_ms);
        self.probe.encode(out);
        ndr::put_gap(out);
    }
}

impl Owner {
    /// Reads an owner: kind u32, uid u32, address 16 octets.
    fn decode(i: Input<'_>) -> Parsed<'_, Owner> {
        let (i, kind) = ndr::u32("owner")(i)?;
        let (i, uid) = ndr::u32("uid")(i)?;
        let (i, octets) = input::octets("address", 16)(i)?;
        let mut address = [0; 16];
        address.copy_from_slice(octets);
        let kind = OwnerKind(kind);
        Ok((i, Owner { kind, uid, address }))
    }

    /// Writes it.
    fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.kind.0);
        ndr::put_u32(out, self.uid);
        out.octets(&self.address);
    }
}

impl Probe {
    /// Reads what probes told: state u32, reason u32, age u32, failures u32.
    fn decode(i: Input<'_>) -> Parsed<'_, Probe> {
        let (i, state) = ndr::u32("probe")(i)?;
        let (i, reason) = ndr::u32("reason")(i)?;
        let (i, age_ms) = ndr::u32("probe_age")(i)?;
        let (i, failures) = ndr::u32("failures")(i)?;
        let probe = Probe {
            state: ProbeState(state),
            reason: NotProbed(reason),
            age_ms,
            failures,
        };
        Ok((i, probe))
    }

    /// Writes it.
    fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.state.0);
        ndr::put_u32(out, self.reason.0);
        ndr::put_u32(out, self.age_ms);
        ndr::put_u32(out, self.failures);
    }
}
