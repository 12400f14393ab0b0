//! Who may change what.
//!
//! An entry belongs to whoever registered it. Rules say who may register which
//! interfaces; who is named by none may not. Leaves out how callers are told
//! apart: that comes in as a [`Registrant`].

use super::account::AccountName;
use super::liveness::LifeKind;
use super::registrant::{Origin, Registrant};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use uuid::Uuid;

/// Who registered an entry.
///
/// Ordered by claim: of two owners that name one registration, the lesser
/// keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The mapper itself: the endpoints it listens on.
    Mapper,
    /// The configuration file.
    Configuration,
    /// A user of this host, over a local socket.
    User(u32),
    /// An account, over the network, from whatever address.
    Account(AccountName),
    /// Whoever is at an address, over the network.
    Host(IpAddr),
}

impl Owner {
    /// Whoever may do everything with what others registered.
    pub const ROOT: Owner = Owner::User(0);

    /// Whether it came by a call, not from the mapper's own side.
    pub fn is_registrant(&self) -> bool {
        matches!(self, Owner::User(_) | Owner::Account(_) | Owner::Host(_))
    }

    /// Whether it may replace or delete what `other` registered.
    ///
    /// Root may for all who registered by a call; what the configuration says
    /// is changed there.
    pub fn may_change(&self, other: &Owner) -> bool {
        self == other || (*self == Owner::ROOT && other.is_registrant())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Owner::Mapper => f.write_str("mapper"),
            Owner::Configuration => f.write_str("configuration"),
            Owner::User(uid) => write!(f, "uid {uid}"),
            Owner::Account(name) => write!(f, "account {name}"),
            Owner::Host(address) => write!(f, "{address}"),
        }
    }
}

/// A network: its first address and the length of its prefix in bits.
///
/// An IPv4 address in the form that IPv6 has for it counts as that IPv4
/// address; otherwise no IPv6 network holds an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of an address, with a prefix of so many bits; `None` for a
    /// prefix that the address has no such network of.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Network> {
        let behind = bits(address).checked_sub(prefix)?;
        let address = address.to_canonical();
        let prefix = bits(address).checked_sub(behind)?;
        let address = first(address, prefix);
        Some(Network { address, prefix })
    }

    /// The network of nothing but an address.
    pub fn of(address: IpAddr) -> Network {
        let address = address.to_canonical();
        let prefix = bits(address);
        Network { address, prefix }
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        first(address.to_canonical(), self.prefix) == self.address
    }
}

/// How many bits an address has.
fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address without the bits behind a prefix.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    let behind = u32::from(bits(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
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
    /// Whether the caller has to be an account that has proved itself.
    pub authenticated: bool,
    /// The accounts that it has to be one of, in whatever case; empty for any.
    pub accounts: Vec<Arc<str>>,
    /// How an entry of `ept_insert` ends, unless its registrant asks otherwise.
    pub life: LifeKind,
    /// Whether addresses are taken that are not this host's.
    pub foreign_addresses: bool,
    /// Whether these interfaces belong to who registered them first, at
    /// whatever endpoint.
    pub exclusive: bool,
}

impl Rule {
    /// Whether it speaks of this caller: of accounts only, where it asks for
    /// one, and of these only from where it says, where it says that.
    fn is_for(&self, registrant: &Registrant) -> bool {
        if !self.authenticated && self.accounts.is_empty() {
            return self.is_from(registrant);
        }
        let account = registrant.account();
        account.is_some_and(|account| self.is_one(account))
            && (self.is_from_anywhere() || self.is_from(registrant))
    }

    /// Whether an account is one of those that it asks for.
    fn is_one(&self, account: &AccountName) -> bool {
        self.accounts.is_empty() || self.accounts.iter().any(|name| account.is(name))
    }

    /// Whether it says nothing of where a caller is from.
    fn is_from_anywhere(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.networks.is_empty()
    }

    /// Whether a caller is one of its users, of its groups, or of its networks.
    fn is_from(&self, registrant: &Registrant) -> bool {
        match registrant.origin() {
            Origin::User(uid) => {
                let of = |group| self.groups.contains(group);
                self.users.contains(&uid) || registrant.groups().iter().any(of)
            }
            Origin::Address(address) => {
                let mut networks = self.networks.iter();
                networks.any(|network| network.contains(address))
            }
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
    /// Interfaces that only root registers, and whom a rule names them to.
    pub reserved: BTreeSet<Uuid>,
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
        let of_root = registrant.is_root().then_some(Terms {
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
        registrant.is_root() || self.rules.iter().any(|rule| rule.is_for(registrant))
    }

    /// Whether an interface is kept for root and those whom a rule names.
    pub fn is_reserved(&self, interface: Uuid) -> bool {
        self.reserved.contains(&interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Authentication;
    use crate::wire::pdu::{AuthLevel, AuthType};

    const RESERVED: Uuid = Uuid::from_u128(1);
    const NAMED: Uuid = Uuid::from_u128(2);
    const OTHER: Uuid = Uuid::from_u128(3);

    /// A policy that reserves `RESERVED`.
    fn policy(rules: &[Rule]) -> Policy {
        Policy {
            rules: rules.to_vec(),
            reserved: [RESERVED].into(),
        }
    }

    /// A local caller.
    fn user(uid: u32, groups: &[u32]) -> Registrant {
        Registrant::local(uid, groups.to_vec(), None)
    }

    /// A caller from the network.
    fn at(address: &str) -> Registrant {
        Registrant::at(address.parse().unwrap())
    }

    fn network(address: &str, prefix: u8) -> Network {
        Network::new(address.parse().unwrap(), prefix).unwrap()
    }

    /// A rule for user 1000.
    fn rule(interfaces: Option<&[Uuid]>) -> Rule {
        Rule {
            interfaces: interfaces.map(<[Uuid]>::to_vec),
            users: vec![1000],
            ..Rule::default()
        }
    }

    #[test]
    fn without_rules_root_registers_everything_and_nobody_else_anything() {
        let policy = policy(&[]);
        for interface in [RESERVED, OTHER, Uuid::nil()] {
            let terms = policy.terms(&user(0, &[]), interface).unwrap();
            assert_eq!(terms.life, LifeKind::Probe);
            assert!(!terms.foreign_addresses);
            for nobody in [user(1, &[0]), at("127.0.0.1"), at("::1")] {
                assert_eq!(policy.terms(&nobody, interface), None);
                assert!(!policy.may_register(&nobody));
            }
        }
        assert!(policy.may_register(&user(0, &[])));
    }

    #[test]
    fn a_rule_without_interfaces_never_covers_a_reserved_one() {
        let policy = policy(&[rule(None)]);
        let user = user(1000, &[]);
        assert!(policy.terms(&user, OTHER).is_some());
        assert!(policy.terms(&user, Uuid::nil()).is_some());
        assert_eq!(policy.terms(&user, RESERVED), None);
    }

    #[test]
    fn a_reserved_interface_is_for_whom_a_rule_names_it_to() {
        let policy = policy(&[rule(Some(&[RESERVED, NAMED]))]);
        let named = user(1000, &[]);
        assert!(policy.terms(&named, RESERVED).is_some());
        assert!(policy.terms(&named, NAMED).is_some());
        assert_eq!(policy.terms(&named, OTHER), None);
        assert_eq!(policy.terms(&user(1001, &[]), RESERVED), None);
    }

    #[test]
    fn a_rule_that_names_no_interface_or_nobody_allows_nothing() {
        let nobody = Rule {
            users: Vec::new(),
            ..rule(None)
        };
        let policy = policy(&[rule(Some(&[])), nobody]);
        for caller in [user(1000, &[1000]), at("192.0.2.1")] {
            assert_eq!(policy.terms(&caller, OTHER), None);
        }
    }

    #[test]
    fn the_first_rule_that_speaks_of_caller_and_interface_decides() {
        let first = Rule {
            life: LifeKind::Process,
            ..rule(Some(&[NAMED]))
        };
        let second = Rule {
            foreign_addresses: true,
            ..rule(None)
        };
        let policy = policy(&[first.clone(), second.clone(), first]);
        let terms = |interface| policy.terms(&user(1000, &[]), interface);
        let [named, other] = [NAMED, OTHER].map(|interface| terms(interface).unwrap());
        assert_eq!(
            (named.life, named.foreign_addresses),
            (LifeKind::Process, false)
        );
        assert_eq!(
            (other.life, other.foreign_addresses),
            (LifeKind::Probe, true)
        );
    }

    #[test]
    fn a_rule_speaks_of_root_as_of_others_and_root_needs_none() {
        let of_root = Rule {
            users: vec![0],
            life: LifeKind::Process,
            foreign_addresses: true,
            ..rule(Some(&[NAMED]))
        };
        let policy = policy(&[of_root]);
        let life = |interface| policy.terms(&user(0, &[]), interface).unwrap().life;
        assert_eq!(life(NAMED), LifeKind::Process);
        assert_eq!(life(RESERVED), LifeKind::Probe);
    }

    #[test]
    fn a_local_caller_is_known_by_user_or_any_group_and_by_no_network() {
        let everybody = Rule {
            users: vec![1000],
            groups: vec![4, 1001],
            networks: vec![network("0.0.0.0", 0), network("::", 0)],
            ..Rule::default()
        };
        let policy = policy(&[everybody]);
        for (caller, allowed) in [
            (user(1000, &[]), true),
            (user(1, &[7, 4]), true),
            (user(1001, &[1000]), false),
            (user(4, &[5]), false),
        ] {
            assert_eq!(
                policy.terms(&caller, OTHER).is_some(),
                allowed,
                "{caller:?}"
            );
            assert_eq!(policy.may_register(&caller), allowed, "{caller:?}");
        }
    }

    #[test]
    fn a_caller_over_the_network_is_known_by_address_alone() {
        let local = Rule {
            users: vec![0],
            groups: vec![0],
            ..Rule::default()
        };
        let remote = Rule {
            networks: vec![network("192.0.2.0", 24), network("2001:db8::", 32)],
            ..Rule::default()
        };
        let policy = policy(&[local, remote]);
        for (address, allowed) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(
                policy.terms(&at(address), OTHER).is_some(),
                allowed,
                "{address}"
            );
        }
    }

    /// The same caller, who has proved to be an account at a level.
    fn proved(caller: Registrant, account: &str, level: AuthLevel) -> Registrant {
        caller.authenticated(Authentication {
            account: Some(account.into()),
            mechanism: AuthType::NTLM,
            level,
        })
    }

    /// The same, at level integrity.
    fn signed(caller: Registrant, account: &str) -> Registrant {
        proved(caller, account, AuthLevel::INTEGRITY)
    }

    /// Checks of each caller whether the rule is for it.
    #[track_caller]
    fn check(rule: Rule, callers: &[(Registrant, bool)]) {
        let policy = policy(&[rule]);
        for (caller, allowed) in callers {
            assert_eq!(
                policy.terms(caller, OTHER).is_some(),
                *allowed,
                "{caller:?}"
            );
            assert_eq!(policy.may_register(caller), *allowed, "{caller:?}");
        }
    }

    #[test]
    fn a_rule_that_asks_for_an_account_is_for_whoever_proved_to_be_one() {
        let rule = Rule {
            authenticated: true,
            ..Rule::default()
        };
        let far = || at("192.0.2.1");
        check(
            rule,
            &[
                (signed(far(), "alice"), true),
                (signed(at("2001:db8::1"), "bob@LAB.EXAMPLE"), true),
                (signed(user(1000, &[]), "alice"), true),
                (proved(far(), "alice", AuthLevel::PACKET), true),
                (proved(far(), "alice", AuthLevel::CONNECT), false),
                (signed(far(), ""), false),
                (far(), false),
                (user(1000, &[]), false),
            ],
        );
    }

    #[test]
    fn a_rule_that_names_accounts_is_for_these_in_whatever_case() {
        let rule = Rule {
            accounts: vec!["Alice".into(), "bob@LAB.EXAMPLE".into()],
            ..Rule::default()
        };
        let far = || at("192.0.2.1");
        for authenticated in [false, true] {
            let rule = Rule {
                authenticated,
                ..rule.clone()
            };
            check(
                rule,
                &[
                    (signed(far(), "aLICE"), true),
                    (signed(far(), "Bob@lab.example"), true),
                    (signed(user(1000, &[]), "alice"), true),
                    (signed(far(), "bob"), false),
                    (signed(far(), "alice@LAB.EXAMPLE"), false),
                    (proved(far(), "alice", AuthLevel::CONNECT), false),
                    (far(), false),
                ],
            );
        }
    }

    #[test]
    fn a_rule_for_accounts_from_somewhere_is_for_these_from_there() {
        let rule = Rule {
            accounts: vec!["alice".into()],
            groups: vec![4],
            networks: vec![network("192.0.2.0", 24)],
            ..Rule::default()
        };
        check(
            rule,
            &[
                (signed(at("192.0.2.1"), "alice"), true),
                (signed(user(1000, &[4]), "alice"), true),
                (signed(at("192.0.2.1"), "bob"), false),
                (signed(at("192.0.3.1"), "alice"), false),
                (signed(user(1000, &[5]), "alice"), false),
                (at("192.0.2.1"), false),
                (user(1000, &[4]), false),
            ],
        );
    }

    #[test]
    fn a_rule_that_asks_for_no_account_is_for_those_that_have_one_too() {
        let rule = Rule {
            networks: vec![network("192.0.2.0", 24)],
            ..Rule::default()
        };
        check(
            rule,
            &[
                (at("192.0.2.1"), true),
                (signed(at("192.0.2.1"), "alice"), true),
                (signed(at("192.0.3.1"), "alice"), false),
            ],
        );
    }

    #[test]
    fn a_reserved_interface_is_for_the_account_that_a_rule_names_it_to() {
        let rule = Rule {
            interfaces: Some(vec![RESERVED]),
            accounts: vec!["alice".into()],
            ..Rule::default()
        };
        let all = Rule {
            authenticated: true,
            ..Rule::default()
        };
        let policy = policy(&[rule, all]);
        for (account, allowed) in [("alice", true), ("bob", false)] {
            let caller = signed(at("192.0.2.1"), account);
            assert_eq!(policy.terms(&caller, RESERVED).is_some(), allowed);
            assert!(policy.terms(&caller, OTHER).is_some());
        }
    }

    #[test]
    fn an_account_called_root_is_not_root() {
        let root = signed(at("127.0.0.1"), "root");
        assert!(!policy(&[]).may_register(&root));
    }

    #[test]
    fn a_network_ends_where_its_prefix_says() {
        let holds = |network: Network, address: &str| network.contains(address.parse().unwrap());
        for (network, inside, outside) in [
            (network("10.0.0.0", 0), "255.255.255.255", "::"),
            (network("10.1.2.3", 8), "10.255.0.0", "11.0.0.0"),
            (network("10.1.2.2", 31), "10.1.2.3", "10.1.2.4"),
            (network("10.1.2.3", 32), "10.1.2.3", "10.1.2.2"),
            (network("::", 0), "ffff::", "0.0.0.0"),
            (
                network("2001:db8::", 33),
                "2001:db8:7fff::",
                "2001:db8:8000::",
            ),
            (network("::1", 128), "::1", "::"),
            (Network::of("::1".parse().unwrap()), "::1", "::2"),
            (
                Network::of("10.0.0.1".parse().unwrap()),
                "10.0.0.1",
                "10.0.0.2",
            ),
        ] {
            assert!(holds(network, inside), "{network} {inside}");
            assert!(!holds(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn an_ipv4_network_in_the_form_of_ipv6_is_that_ipv4_network() {
        let mapped = network("::ffff:192.0.2.0", 120);
        assert_eq!(mapped, network("192.0.2.0", 24));
        assert!(mapped.contains("192.0.2.9".parse().unwrap()));
        assert!(mapped.contains("::ffff:192.0.2.9".parse().unwrap()));
        assert_eq!(network("::ffff:0:0", 96), network("0.0.0.0", 0));
        assert_eq!(
            Network::of("::ffff:10.0.0.1".parse().unwrap()),
            network("10.0.0.1", 32)
        );
    }

    #[test]
    fn a_prefix_has_no_more_bits_than_its_address() {
        for (address, prefix) in [("10.0.0.0", 33), ("::", 129), ("::ffff:10.0.0.0", 95)] {
            assert_eq!(
                Network::new(address.parse().unwrap(), prefix),
                None,
                "{address}"
            );
        }
    }

    #[test]
    fn exclusive_is_what_an_exclusive_rule_covers_whoever_asks() {
        let exclusive = |interfaces| Rule {
            exclusive: true,
            ..rule(interfaces)
        };
        let named = policy(&[rule(None), exclusive(Some(&[NAMED, RESERVED]))]);
        let all = policy(&[exclusive(None)]);
        for (interface, by_name, in_all) in [
            (NAMED, true, true),
            (RESERVED, true, false),
            (OTHER, false, true),
        ] {
            assert_eq!(named.is_exclusive(interface), by_name);
            assert_eq!(all.is_exclusive(interface), in_all);
        }
        assert!(!policy(&[rule(None)]).is_exclusive(OTHER));
    }

    #[test]
    fn an_owner_changes_its_own_and_root_what_registrants_own() {
        let address = "192.0.2.1".parse().unwrap();
        let account = |name| Owner::Account(AccountName::new(name).unwrap());
        let (mapper, configuration) = (&Owner::Mapper, &Owner::Configuration);
        let (user, host) = (&Owner::User(1000), &Owner::Host(address));
        let (root, alice, bob) = (&Owner::ROOT, &account("Alice"), &account("bob"));
        for (one, other, may) in [
            (user, user, true),
            (host, host, true),
            (root, user, true),
            (root, host, true),
            (root, alice, true),
            (alice, &account("ALICE"), true),
            (alice, bob, false),
            (alice, host, false),
            (alice, user, false),
            (alice, root, false),
            (alice, configuration, false),
            (host, alice, false),
            (user, alice, false),
            (root, configuration, false),
            (root, mapper, false),
            (user, root, false),
            (user, &Owner::User(1001), false),
            (user, host, false),
            (host, user, false),
            (host, configuration, false),
        ] {
            assert_eq!(one.may_change(other), may, "{one} {other}");
        }
    }
}
