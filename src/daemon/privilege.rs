//! Giving up the rights that only listening needed.
//!
//! Runs before there is any thread: user, groups and capabilities are
//! properties of a thread in Linux, and a thread that was there before would
//! keep the old ones. Afterwards no capability is held, and without new
//! privileges none can come back.

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{self, Gid, Uid, User};

/// Why the daemon cannot run as the user of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The system's user database has no such name.
    #[error("user: there is no user `{0}` on this host; make the user, or leave the key out")]
    Unknown(String),
    /// The user database does not answer.
    #[error("the user `{name}` cannot be looked up: {cause}")]
    Lookup {
        /// The name asked for.
        name: String,
        /// What the system says.
        cause: Errno,
    },
    /// Only root changes to another user.
    #[error(
        "only root can change to the user `{name}`, and this is user id {current}; \
         start as root or leave `user` out"
    )]
    NotRoot {
        /// The name asked for.
        name: String,
        /// The user that the process runs as.
        current: Uid,
    },
    /// A step of the change failed.
    #[error("cannot change to the user `{name}`: {step}: {cause}")]
    Step {
        /// The name asked for.
        name: String,
        /// The step, by the name of its system call or set.
        step: &'static str,
        /// What the system says.
        cause: String,
    },
}

/// A user that this process may become.
#[derive(Debug)]
pub struct Account {
    /// The name asked for.
    name: String,
    /// The user's id.
    uid: Uid,
    /// The user's primary group.
    gid: Gid,
}

impl Account {
    /// Its user and group.
    pub fn ids(&self) -> (Uid, Gid) {
        (self.uid, self.gid)
    }

    /// Looks a user up.
    ///
    /// # Errors
    /// `Unknown` and `Lookup`.
    pub fn find(name: &str) -> Result<Account, PrivilegeError> {
        let user = User::from_name(name)
            .map_err(|cause| PrivilegeError::Lookup {
                name: name.to_owned(),
                cause,
            })?
            .ok_or_else(|| PrivilegeError::Unknown(name.to_owned()))?;
        Ok(Account {
            name: name.to_owned(),
            uid: user.uid,
            gid: user.gid,
        })
    }

    /// Whether this process can become the user, asked before it has done
    /// anything.
    ///
    /// # Errors
    /// `NotRoot` when the process is neither root nor that user.
    pub fn within_reach(&self) -> Result<(), PrivilegeError> {
        let current = unistd::geteuid();
        if current.is_root() || current == self.uid {
            return Ok(());
        }
        Err(PrivilegeError::NotRoot {
            name: self.name.clone(),
            current,
        })
    }

    /// Becomes this user for good: its user id, its primary group alone, no
    /// capability in any set, and no way to gain one by running a program.
    ///
    /// A process that is not root keeps its groups. A bounding set that it may
    /// not shrink, for want of CAP_SETPCAP, stays: it means nothing without new
    /// privileges.
    ///
    /// # Errors
    /// `Step` names the one that failed; the process must not go on then.
    pub fn assume(&self) -> Result<(), PrivilegeError> {
        if unistd::geteuid().is_root() {
            self.change_ids()?;
        } else {
            // Root may still be the real or the saved user id.
            let Account { uid, .. } = *self;
            self.step("setresuid", unistd::setresuid(uid, uid, uid))?;
        }
        // Ambient first: what is not permitted and inheritable cannot be ambient.
        for (step, set) in [
            ("ambient set", CapSet::Ambient),
            ("inheritable set", CapSet::Inheritable),
            ("permitted set", CapSet::Permitted),
        ] {
            self.step(step, caps::clear(None, set))?;
        }
        self.step("no_new_privs", prctl::set_no_new_privs())
    }

    /// The steps that need root, each while it is still allowed.
    fn change_ids(&self) -> Result<(), PrivilegeError> {
        let Account { uid, gid, .. } = *self;
        self.step("setgroups", unistd::setgroups(&[gid]))?;
        self.step("setresgid", unistd::setresgid(gid, gid, gid))?;
        if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(true) {
            self.step("bounding set", caps::clear(None, CapSet::Bounding))?;
        }
        self.step("setresuid", unistd::setresuid(uid, uid, uid))
    }

    /// Names the step that failed.
    fn step<E: ToString>(
        &self,
        step: &'static str,
        result: Result<(), E>,
    ) -> Result<(), PrivilegeError> {
        result.map_err(|cause| PrivilegeError::Step {
            name: self.name.clone(),
            step,
            cause: cause.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_told_by_name() {
        let error = Account::find("no-such-user-here").unwrap_err();
        assert_eq!(
            error.to_string(),
            "user: there is no user `no-such-user-here` on this host; make the user, or leave the key out"
        );
    }

    #[test]
    fn the_user_that_runs_this_is_found() {
        let current = User::from_uid(unistd::geteuid()).unwrap();
        // A container may run a user id without a name.
        let Some(current) = current else { return };
        let account = Account::find(&current.name).unwrap();
        assert_eq!((account.uid, account.gid), (current.uid, current.gid));
        assert!(account.within_reach().is_ok());
    }
}
