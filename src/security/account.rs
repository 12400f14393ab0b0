//! Accounts, and what proves that somebody is one.

use md4::{Digest, Md4};
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Knows accounts by name.
pub trait Accounts: fmt::Debug + Send + Sync {
    /// The account of a name, whatever the case of its letters.
    fn find(&self, name: &str) -> Option<Account>;
}

/// A few accounts that are known from the start.
impl Accounts for Vec<Account> {
    fn find(&self, name: &str) -> Option<Account> {
        let name = name.to_lowercase();
        let mut accounts = self.iter();
        let found = accounts.find(|account| account.name.to_lowercase() == name);
        found.cloned()
    }
}

/// An account that proofs are checked against.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name, as it was written down.
    pub name: Arc<str>,
    /// What its password came to.
    pub nt_hash: NtHash,
    /// The password itself, where that was written down: LM responses need it.
    pub password: Option<Arc<Password>>,
}

impl Account {
    /// An account with a password, of which the hash alone is kept.
    pub fn new(name: &str, password: &str) -> Account {
        Account {
            name: name.into(),
            nt_hash: NtHash::of(password),
            password: None,
        }
    }
}

/// A password; never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password over.
    pub fn new(text: String) -> Password {
        Password(Zeroizing::new(text))
    }

    /// Its characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The MD4 digest of a password in UTF-16LE: as good as the password itself;
/// never shown.
///
/// # Source
/// MS-NLMP 3.3.1, NTOWFv1.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct NtHash(pub [u8; 16]);

impl NtHash {
    /// The hash of a password.
    pub fn of(password: &str) -> NtHash {
        let units = password.encode_utf16().flat_map(u16::to_le_bytes);
        let octets = Zeroizing::new(units.collect::<Vec<u8>>());
        NtHash(Md4::digest(&*octets).into())
    }
}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("NtHash")
    }
}

/// Who a client logs on as.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account's name; of Kerberos with or without its realm.
    pub user: String,
    /// Its domain or realm; empty for the server's own.
    pub domain: String,
    /// What proves it.
    pub secret: Secret,
}

impl Credentials {
    /// An account of the server's own domain, and its password.
    pub fn new(user: &str, password: &str) -> Credentials {
        let password = Password::new(password.to_owned());
        Credentials {
            user: user.to_owned(),
            domain: String::new(),
            secret: Secret::Password(Arc::new(password)),
        }
    }
}

/// What a client proves itself with.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A password.
    Password(Arc<Password>),
    /// The hash of one, which is enough for NTLM.
    NtHash(NtHash),
    /// What the system has: tickets in a credential cache.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_one_that_ms_nlmp_gives() {
        // MS-NLMP 4.2.2.1.2: the password is "Password".
        let NtHash(octets) = &NtHash::of("Password");
        let expected = 0xa4f49c406510bdcab6824ee7c30fd852_u128.to_be_bytes();
        assert_eq!(*octets, expected);
    }

    #[test]
    fn an_account_is_found_whatever_the_case_of_its_letters() {
        let accounts = vec![Account::new("Émile", "a"), Account::new("bob", "b")];
        let found = |name: &str| accounts.find(name).map(|account| account.name.to_string());
        assert_eq!(found("éMILE").as_deref(), Some("Émile"));
        assert_eq!(found("BOB").as_deref(), Some("bob"));
        assert_eq!(found("bo"), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Credentials::new("user", "Password"));
        assert!(!shown.contains("\"Password\""), "{shown}");
        let password = Password::new("Password".to_owned());
        let shown = format!("{password:?} {:?}", NtHash::of("Password"));
        assert_eq!(shown, "Password NtHash");
    }
}
