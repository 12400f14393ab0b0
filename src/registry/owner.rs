//! Who may change what.
//!
//! An entry belongs to whoever registered it. Rules say who may register which
//! interfaces; who is named by none may not. Leaves out how callers are told
//! apart: that comes in as a [`Registrant`].

use super::liveness::{LifeKind, Process};
use std::fmt;
use std::net::IpAddr;
use uuid::Uuid;

/// Who registered an entry.
///
/// Ordered by claim: of two owners that name one registration, the lesser
/// keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The mapper itself: the endpoints it listens on.
    Mapper,
    /// The configuration file.
    Configuration,
    /// A user of this host, over a local socket.
    User(u32),
    /// Whoever is at an address, over the network.
    Host(IpAddr),
}

impl Owner {
    /// Whoever may do everything with what others registered.
    pub const ROOT: Owner = Owner::User(0);

    /// Whether it came by a call, not from the mapper's own side.
    pub fn is_registrant(self) -> bool {
        matches!(self, Owner::User(_) | Owner::Host(_))
    }

    /// Whether it may replace or delete what `other` registered.
    ///
    /// Root may for all who registered by a call; what the configuration says
    /// is changed there.
    pub fn may_change(self, other: Owner) -> bool {
        self == other || (self == Owner::ROOT && other.is_registrant())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Owner::Mapper => f.write_str("mapper"),
            Owner::Configuration => f.write_str("configuration"),
            Owner::User(uid) => write!(f, "uid {uid}"),
            Owner::Host(address) => write!(f, "{address}"),
        }
    }
}

/// Who calls, as the system vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registrant {
    /// Whose entries it changes.
    pub owner: Owner,
    /// The groups of a local caller, its primary one among them.
    pub groups: Vec<u32>,
    /// The process of a local caller, while it can be told for certain.
    pub process: Option<Process>,
}

impl Registrant {
    /// A caller from the network.
    pub fn at(address: IpAddr) -> Registrant {
        Registrant {
            owner: Owner::Host(address.to_canonical()),
            groups: Vec::new(),
            process: None,
        }
    }
}

/// A network: an address and the length of its prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// A network; `None` for a prefix that is too long.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Network> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Network { address, prefix })
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = u64::from(own.to_bits() ^ other.to_bits());
                differing >> (32 - self.prefix) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing
                    .checked_shr(128 - u32::from(self.prefix))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Allows some callers to register some interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The interfaces, reserved or not; `None`: all that are not reserved.
    pub interfaces: Option<Vec<Uuid>>,
    /// Local users by id.
    pub users: Vec<u32>,
    /// Local groups by id.
    pub groups: Vec<u32>,
    /// Networks of callers over IP.
    pub networks: Vec<Network>,
    /// How an entry of `ept_insert` ends, unless its registrant asks otherwise.
    pub life: LifeKind,
    /// Whether addresses are taken that are not this host's.
    pub foreign_addresses: bool,
    /// Whether these interfaces belong to who registered them first, at
    /// whatever endpoint.
    pub exclusive: bool,
}

impl Rule {
    /// Whether it speaks of this caller.
    fn is_for(&self, registrant: &Registrant) -> bool {
        match registrant.owner {
            Owner::User(uid) => {
                let of = |group| self.groups.contains(group);
                self.users.contains(&uid) || registrant.groups.iter().any(of)
            }
            Owner::Host(address) => {
                let mut networks = self.networks.iter();
                networks.any(|network| network.contains(address))
            }
            Owner::Mapper | Owner::Configuration => false,
        }
    }

    /// Whether it names this interface.
    fn names(&self, interface: Uuid) -> bool {
        let named = self.interfaces.as_ref();
        named.is_some_and(|named| named.contains(&interface))
    }
}

/// On what terms a caller may register an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How an entry of `ept_insert` ends.
    pub life: LifeKind,
    /// Whether addresses are taken that are not this host's.
    pub foreign_addresses: bool,
}

/// Who may register what; nobody but root where no rule says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The first rule that speaks of a caller and an interface decides.
    pub rules: Vec<Rule>,
    /// Interfaces that only root registers, and whom a rule names them to;
    /// sorted.
    pub reserved: Vec<Uuid>,
}

impl Policy {
    /// On what terms `registrant` may register `interface`; `None`: it may not.
    pub fn terms(&self, registrant: &Registrant, interface: Uuid) -> Option<Terms> {
        let is_reserved = self.is_reserved(interface);
        let covers = |rule: &&Rule| {
            let covered = match rule.interfaces {
                Some(_) => rule.names(interface),
                None => !is_reserved,
            };
            covered && rule.is_for(registrant)
        };
        let of_rule = |rule: &Rule| Terms {
            life: rule.life,
            foreign_addresses: rule.foreign_addresses,
        };
        let ruled = self.rules.iter().find(covers).map(of_rule);
        let of_root = (registrant.owner == Owner::ROOT).then_some(Terms {
            life: LifeKind::Probe,
            foreign_addresses: false,
        });
        ruled.or(of_root)
    }

    /// Whether the interface belongs to who registered it first.
    pub fn is_exclusive(&self, interface: Uuid) -> bool {
        let is_reserved = self.is_reserved(interface);
        self.rules.iter().any(|rule| {
            rule.exclusive && (rule.names(interface) || rule.interfaces.is_none() && !is_reserved)
        })
    }

    /// Whether any rule might allow this caller something: one who may
    /// register nothing at all is told so without a look at what it asks.
    pub fn may_register(&self, registrant: &Registrant) -> bool {
        registrant.owner == Owner::ROOT || self.rules.iter().any(|rule| rule.is_for(registrant))
    }

    /// Whether an interface is kept for root and those whom a rule names.
    pub fn is_reserved(&self, interface: Uuid) -> bool {
        self.reserved.binary_search(&interface).is_ok()
    }
}
