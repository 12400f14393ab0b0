//! An accounts file of a daemon.

#![allow(dead_code)] // each test binary takes the half that it needs

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

/// An accounts file, which goes with the value.
pub struct Accounts(TempDir);

impl Accounts {
    /// Accounts by name and password.
    pub fn of(accounts: &[[&str; 2]]) -> Accounts {
        let mut text = "[accounts]\n".to_owned();
        for [name, password] in accounts {
            writeln!(text, "{name} = {{ password = \"{password}\" }}").expect("a line");
        }
        let folder = TempDir::new().expect("a folder for the accounts");
        let accounts = Accounts(folder);
        fs::write(accounts.path(), text).expect("the accounts are written");
        let private = Permissions::from_mode(0o600);
        fs::set_permissions(accounts.path(), private).expect("a private file");
        accounts
    }

    /// The head of a config's `[security]`, to which more may be added.
    pub fn config(&self) -> String {
        format!("[security]\naccounts = \"{}\"\n", self.path())
    }

    fn path(&self) -> String {
        self.0.path().join("accounts.toml").display().to_string()
    }
}
