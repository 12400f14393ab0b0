//! Who calls: what the system says of it, and what it has proved.
//!
//! A user of this host acts for itself, whatever it proves; a caller from the
//! network for the account that it has proved to be, else for its address.

use super::account::AccountName;
use super::liveness::Process;
use super::owner::Owner;
use crate::wire::pdu::{AuthLevel, AuthType};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registrant {
    origin: Origin,
    groups: Vec<u32>,
    process: Option<Process>,
    authentication: Option<Authentication>,
    /// Of the authentication, where that counts.
    account: Option<AccountName>,
}

/// Where a call came from, as the system vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A user of this host.
    User(u32),
    /// An address; an IPv4 one in its own form.
    Address(IpAddr),
}

/// How a caller has shown who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The account, as it is written; `None` for an anonymous logon.
    pub account: Option<Arc<str>>,
    /// By what.
    pub mechanism: AuthType,
    /// How its calls are protected.
    pub level: AuthLevel,
}

impl Authentication {
    /// The account, if it is one and the call is certainly its own: levels below
    /// packet leave what is asked to whoever is on the way.
    fn account(&self) -> Option<AccountName> {
        let is_signed = (AuthLevel::PACKET..=AuthLevel::PRIVACY).contains(&self.level);
        let name = self.account.as_ref().filter(|_| is_signed)?;
        AccountName::new(name)
    }
}

impl fmt::Display for Authentication {
    /// Mechanism and level, as `ntlm privacy`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.mechanism, self.level)
    }
}

impl Registrant {
    /// A caller from the network.
    pub fn at(address: IpAddr) -> Registrant {
        Registrant::from(Origin::Address(address.to_canonical()))
    }

    /// A user of this host: its groups, the primary one among them, and its
    /// process, while that can be told for certain.
    pub fn local(uid: u32, groups: Vec<u32>, process: Option<Process>) -> Registrant {
        Registrant {
            groups,
            process,
            ..Registrant::from(Origin::User(uid))
        }
    }

    /// The same, who has shown who it is.
    pub fn authenticated(self, authentication: Authentication) -> Registrant {
        Registrant {
            account: authentication.account(),
            authentication: Some(authentication),
            ..self
        }
    }

    /// Whose entries it changes, and who has those that it registers.
    pub fn owner(&self) -> Owner {
        match (self.origin, &self.account) {
            (Origin::User(uid), _) => Owner::User(uid),
            (Origin::Address(_), Some(account)) => Owner::Account(account.clone()),
            (Origin::Address(address), None) => Owner::Host(address),
        }
    }

    /// Where it called from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The address that it called from.
    pub fn address(&self) -> Option<IpAddr> {
        match self.origin {
            Origin::User(_) => None,
            Origin::Address(address) => Some(address),
        }
    }

    /// The groups of a local caller.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// The process of a local caller, while it can be told for certain.
    pub fn process(&self) -> Option<Process> {
        self.process
    }

    /// The account that it has proved to be, at level packet or above.
    pub fn account(&self) -> Option<&AccountName> {
        self.account.as_ref()
    }

    /// How it has shown who it is, whether that counts or not.
    pub fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_ref()
    }

    /// Whether it is root of this host.
    pub fn is_root(&self) -> bool {
        self.origin == Origin::User(0)
    }
}

impl From<Origin> for Registrant {
    fn from(origin: Origin) -> Registrant {
        Registrant {
            origin,
            groups: Vec::new(),
            process: None,
            authentication: None,
            account: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A logon at a level.
    fn logon(account: Option<&str>, level: AuthLevel) -> Authentication {
        Authentication {
            account: account.map(Arc::from),
            mechanism: AuthType::NTLM,
            level,
        }
    }

    /// A caller from the network.
    fn at(address: &str) -> Registrant {
        Registrant::at(address.parse().unwrap())
    }

    #[test]
    fn a_caller_is_one_owner_in_both_forms_of_its_address() {
        assert_eq!(at("::ffff:192.0.2.1").owner(), at("192.0.2.1").owner());
    }

    #[test]
    fn a_caller_from_the_network_acts_for_the_account_that_it_has_proved_to_be() {
        let alice = Owner::Account(AccountName::new("alice").unwrap());
        for level in [AuthLevel::PACKET, AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
            for (address, name) in [("192.0.2.1", "alice"), ("2001:db8::1", "ALICE")] {
                let caller = at(address).authenticated(logon(Some(name), level));
                assert_eq!(caller.owner(), alice);
                assert_eq!(caller.address(), at(address).address());
            }
        }
    }

    #[test]
    fn a_level_that_signs_nothing_and_an_anonymous_logon_prove_nothing() {
        let long = "a".repeat(AccountName::MAX_LEN + 1);
        for (account, level) in [
            (Some("alice"), AuthLevel::CONNECT),
            (Some("alice"), AuthLevel::CALL),
            (Some("alice"), AuthLevel::NONE),
            (Some("alice"), AuthLevel(7)),
            (Some(""), AuthLevel::PRIVACY),
            (Some(&long[..]), AuthLevel::PRIVACY),
            (None, AuthLevel::PRIVACY),
        ] {
            let logon = logon(account, level);
            let caller = at("192.0.2.1").authenticated(logon.clone());
            assert_eq!(caller.owner(), at("192.0.2.1").owner(), "{logon:?}");
            assert_eq!(caller.account(), None);
            assert_eq!(caller.authentication(), Some(&logon));
        }
    }

    #[test]
    fn a_user_of_this_host_acts_for_itself_whatever_it_proves() {
        let logon = logon(Some("alice"), AuthLevel::PRIVACY);
        let local = Registrant::local(1000, vec![4], None).authenticated(logon);
        assert_eq!(local.owner(), Owner::User(1000));
        assert!(local.account().is_some_and(|account| account.is("alice")));
        assert!(!local.is_root() && Registrant::local(0, vec![], None).is_root());
    }

    #[test]
    fn no_account_is_root() {
        let logon = logon(Some("root"), AuthLevel::PRIVACY);
        let caller = at("127.0.0.1").authenticated(logon);
        assert!(!caller.is_root() && caller.owner() != Owner::ROOT);
    }
}
