//! Who may ask: nothing, lookups or everything may be for callers alone that
//! have shown who they are.

use super::interface::Reply;
use crate::wire::FaultStatus;
use crate::wire::pdu::AuthLevel;
use crate::wire::{ept, mgmt};

/// How far a caller's word is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A process of this host: the system vouches for it.
    Local,
    /// An account that has proved itself, with packets protected so far.
    Account(AuthLevel),
    /// Nobody in particular.
    Nobody,
}

/// What callers have to authenticate themselves for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Required {
    /// Nothing. What changes the map has rules of its own.
    #[default]
    Nothing,
    /// What lists what there is: ept_lookup, and the interfaces that mgmt tells.
    /// Who knows an interface may still map it.
    Lookups,
    /// Every operation of every interface.
    Everything,
}

impl Required {
    /// From when on an operation of the endpoint mapper needs authentication.
    pub fn of_ept(opnum: u16) -> Required {
        match opnum {
            ept::LOOKUP => Required::Lookups,
            _ => Required::Everything,
        }
    }

    /// The same of remote management.
    pub fn of_mgmt(opnum: u16) -> Required {
        match opnum {
            mgmt::INQ_IF_IDS => Required::Lookups,
            _ => Required::Everything,
        }
    }
}

/// Which callers are answered at all; those of this host always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What they have to authenticate themselves for.
    pub required: Required,
    /// The least level that counts.
    pub level: AuthLevel,
}

impl Default for Access {
    /// Everybody.
    fn default() -> Self {
        Access {
            required: Required::Nothing,
            level: AuthLevel::CONNECT,
        }
    }
}

impl Access {
    /// Refuses a call of an operation that needs authentication from `kind` on,
    /// unless the caller may make it.
    ///
    /// # Errors
    /// The fault that it gets: access denied, and the connection goes on.
    ///
    /// # Source
    /// MS-RPCE 3.1.1.1.3 and Windows' mapper under its policies: status 5.
    pub fn check(&self, kind: Required, trust: Trust) -> Result<(), Reply> {
        let is_enough = match trust {
            _ if self.required < kind => true,
            Trust::Local => true,
            // Packet is integrity on connections.
            Trust::Account(AuthLevel::PACKET) => self.level <= AuthLevel::INTEGRITY,
            Trust::Account(level) => self.level <= level,
            Trust::Nobody => false,
        };
        match is_enough {
            true => Ok(()),
            false => Err(Reply::Fault {
                status: FaultStatus::ACCESS_DENIED,
                did_not_execute: false,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Trust; 5] = [
        Trust::Local,
        Trust::Nobody,
        Trust::Account(AuthLevel::CONNECT),
        Trust::Account(AuthLevel::PACKET),
        Trust::Account(AuthLevel::PRIVACY),
    ];

    /// Who of `ALL` passes.
    fn pass(required: Required, level: AuthLevel, kind: Required) -> [bool; 5] {
        let access = Access { required, level };
        ALL.map(|trust| access.check(kind, trust).is_ok())
    }

    #[test]
    fn nothing_is_asked_of_anybody_by_default() {
        let access = Access::default();
        for trust in ALL {
            assert_eq!(access.check(Required::Lookups, trust), Ok(()));
            assert_eq!(access.check(Required::Everything, trust), Ok(()));
        }
    }

    #[test]
    fn lookups_are_for_accounts_and_the_rest_for_everybody() {
        let connect = AuthLevel::CONNECT;
        let passed = pass(Required::Lookups, connect, Required::Lookups);
        assert_eq!(passed, [true, false, true, true, true]);
        let passed = pass(Required::Lookups, connect, Required::Everything);
        assert_eq!(passed, [true; 5]);
    }

    #[test]
    fn everything_is_for_accounts_of_the_least_level() {
        for kind in [Required::Lookups, Required::Everything] {
            let passed = pass(Required::Everything, AuthLevel::INTEGRITY, kind);
            assert_eq!(passed, [true, false, false, true, true]);
            let passed = pass(Required::Everything, AuthLevel::PRIVACY, kind);
            assert_eq!(passed, [true, false, false, false, true]);
        }
    }

    #[test]
    fn the_refusal_is_status_5_and_says_nothing_of_execution() {
        let access = Access {
            required: Required::Everything,
            level: AuthLevel::CONNECT,
        };
        let refusal = Reply::Fault {
            status: FaultStatus::ACCESS_DENIED,
            did_not_execute: false,
        };
        let refused = access.check(Required::Lookups, Trust::Nobody);
        assert_eq!(refused, Err(refusal));
    }
}
