//! The accounts file: names, and what proves that somebody is one of them.
//!
//! ```toml
//! [accounts]
//! alice = { nt_hash = "a4f49c406510bdcab6824ee7c30fd852" }
//! bob = { password = "..." }
//! ```
//!
//! Whoever reads it can log on as anybody in it. So it is refused when others
//! than its owner may read or write it, and nothing that is told of it has a
//! value from it, nor a message of the parser's, which might quote one. How it
//! is changed is told in [`edit`], by which command in [`command`].

pub mod command;
pub mod edit;
mod guard;
mod text;
mod write;

pub use guard::Unfit;

use super::config::{Mistake, folded};
use crate::registry::Rule;
use crate::security::{Account, Accounts, NtHash, Password};
use nix::unistd::Uid;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tracing::{error, info};

/// Octets of the file, at most; some 60,000 accounts.
pub const MOST_OCTETS: usize = 4 << 20;

/// Why there are no accounts. None of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The system does not let it be read.
    #[error("cannot read the accounts file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The system does not let it be changed.
    #[error("cannot write the accounts file {}: {step}: {cause}", path.display())]
    Unwritable {
        /// The file, or the one that was to become it.
        path: PathBuf,
        /// What was done.
        step: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// Not one that only its owner reads and writes.
    #[error("the accounts file {} {fault}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What makes it so.
        fault: Unfit,
    },
    /// It says something that cannot be.
    #[error("{}", lines(told))]
    Mistaken {
        /// The first of the mistakes, in their order; at least one.
        told: Vec<Mistake>,
    },
    /// Nothing to take out.
    #[error("there is no account `{name}` in {}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// It cannot be changed without losing something.
    #[error(
        "the accounts file {} is not changed: its form is not understood well enough; \
         write the line under [accounts] yourself, or one line for each account",
        path.display()
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// Mistakes as lines.
fn lines(told: &[Mistake]) -> String {
    let lines: Vec<_> = told.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The accounts of one reading of a file.
#[derive(Debug, Default)]
pub struct AccountFile {
    /// By their names without case.
    accounts: HashMap<String, Account>,
}

impl AccountFile {
    /// Reads the file at `path`. `user` is who the daemon is going to be; the
    /// file may belong to it, to root and to whoever runs this.
    ///
    /// # Errors
    /// `Unreadable`, `Unsafe`, and `Mistaken` with what is wrong in it.
    pub fn load(path: &Path, user: Option<Uid>) -> Result<AccountFile, AccountsError> {
        let (text, _) = guard::read(path, user)?;
        AccountFile::parse(path, &text)
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// `Mistaken` with what is wrong in it.
    pub fn parse(path: &Path, text: &str) -> Result<AccountFile, AccountsError> {
        let listed = text::read(path, text)?;
        let accounts = listed
            .into_iter()
            .map(|one| (folded(&one.name), one.account()));
        Ok(AccountFile {
            accounts: accounts.collect(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Their names, as they are written, in their order without case.
    pub fn names(&self) -> Vec<&str> {
        let mut sorted: Vec<_> = self.accounts.iter().collect();
        sorted.sort_by_key(|(folded, _)| *folded);
        sorted
            .into_iter()
            .map(|(_, account)| &*account.name)
            .collect()
    }

    /// The accounts that rules name and this file does not have; principals of
    /// Kerberos are none.
    pub fn unknown<'r>(&self, rules: &'r [Rule]) -> Vec<&'r str> {
        let named = rules.iter().flat_map(|rule| &rule.accounts);
        let named = named.map(|name| &**name);
        let unknown = named.filter(|name| !name.contains('@') && self.find(name).is_none());
        unknown.collect()
    }
}

impl Accounts for AccountFile {
    fn find(&self, name: &str) -> Option<Account> {
        self.accounts.get(&folded(name)).cloned()
    }
}

/// The accounts of a file that is read again from time to time.
pub struct LiveAccounts {
    /// Where it is.
    path: PathBuf,
    /// Who the daemon is going to be.
    user: Option<Uid>,
    /// What was last read and could be taken.
    current: RwLock<Arc<AccountFile>>,
}

impl LiveAccounts {
    /// Reads the file at `path`, as [`AccountFile::load`]; before the daemon
    /// changes its user, who need not be able to read it.
    ///
    /// # Errors
    /// As `AccountFile::load`.
    pub fn open(path: &Path, user: Option<Uid>) -> Result<LiveAccounts, AccountsError> {
        let file = AccountFile::load(path, user)?;
        Ok(LiveAccounts {
            path: path.to_owned(),
            user,
            current: RwLock::new(Arc::new(file)),
        })
    }

    /// Reads the file again, and tells how many accounts there are now. Contexts
    /// that are complete stay as they are.
    ///
    /// # Errors
    /// As `AccountFile::load`; the accounts are those from before then.
    pub fn reload(&self) -> Result<usize, AccountsError> {
        let file = AccountFile::load(&self.path, self.user)?;
        let count = file.len();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(file);
        Ok(count)
    }

    /// The same, told in the log.
    pub fn read_again(&self) {
        let file = self.path.display();
        match self.reload() {
            Ok(accounts) => info!(%file, accounts, "accounts read again"),
            Err(error) => {
                tell(&error);
                error!(%file, "accounts not taken; they stay as they were");
            }
        }
    }

    /// What was last read.
    pub fn current(&self) -> Arc<AccountFile> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Accounts for LiveAccounts {
    fn find(&self, name: &str) -> Option<Account> {
        self.current().find(name)
    }
}

impl fmt::Debug for LiveAccounts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "LiveAccounts({})", self.path.display())
    }
}

/// Logs why accounts are not taken, one event for each mistake.
fn tell(error: &AccountsError) {
    match error {
        AccountsError::Mistaken { told } => {
            for Mistake {
                path,
                line,
                key,
                problem,
            } in told
            {
                error!(file = %path.display(), line, key, "{problem}");
            }
        }
        AccountsError::Unreadable { cause, .. }
            if cause.kind() == io::ErrorKind::PermissionDenied =>
        {
            error!("{error}; make it the daemon's user's own, or start the daemon again");
        }
        _ => error!("{error}"),
    }
}

/// What proves an account.
#[derive(Clone)]
pub enum Proof {
    /// A hash, which tells nothing of the password but whether it is the one.
    NtHash(NtHash),
    /// The password itself.
    Password(Arc<Password>),
}

/// One account of a text, and where it stands there.
struct Listed {
    /// Its name.
    name: String,
    /// What proves it.
    proof: Proof,
    /// Where it stands.
    place: text::Place,
}

impl Listed {
    /// The account.
    fn account(self) -> Account {
        let name = self.name.into();
        match self.proof {
            Proof::NtHash(nt_hash) => Account {
                name,
                nt_hash,
                password: None,
            },
            Proof::Password(password) => Account {
                name,
                nt_hash: NtHash::of(password.as_str()),
                password: Some(password),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use tempfile::TempDir;

    /// What no message may show.
    const SECRET: &str = "hunter2";

    /// The NT hash of "Password".
    const HASH: &str = "a4f49c406510bdcab6824ee7c30fd852";

    fn parse(text: &str) -> Result<AccountFile, AccountsError> {
        AccountFile::parse(Path::new("f"), text)
    }

    /// A private file with a text, in a folder that goes with it.
    fn file(text: &str) -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("accounts.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        (folder, path)
    }

    #[test]
    fn accounts_are_found_whatever_the_case_of_their_letters() {
        let text = format!(
            "[accounts]\nAlice = {{ nt_hash = \"{}\" }}\n\"\u{c9}mile B.\".password = \"Password\"\n",
            HASH.to_uppercase()
        );
        let file = parse(&text).unwrap();
        assert_eq!(file.names(), ["Alice", "\u{c9}mile B."]);
        for (name, written) in [("aLICE", "Alice"), ("\u{e9}MILE b.", "\u{c9}mile B.")] {
            let account = file.find(name).unwrap();
            assert_eq!(&*account.name, written);
            assert_eq!(account.nt_hash, NtHash::of("Password"));
            assert_eq!(account.password.is_some(), written != "Alice");
        }
        assert!(file.find("alic").is_none() && file.find("").is_none());
    }

    #[test]
    fn a_file_without_accounts_is_one() {
        for text in ["", "# none\n", "[accounts]\n", "accounts = {}"] {
            assert!(parse(text).unwrap().is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_name_and_without_a_secret() {
        for (text, told) in [
            ("[accounts]\n\na = hunter2", "3: not TOML, or a key for"),
            ("[accounts]\na = { password = \"hunter2 }", "2: not TOML"),
            ("[accounts]\na = \"hunter2\"", "2: accounts.a: write either"),
            ("[accounts]\na = {}", "2: accounts.a: write either"),
            (
                "[accounts]\na = { pass = \"hunter2\" }",
                "2: accounts.a: write either `nt_hash` or",
            ),
            (
                "[accounts]\na = { hunter2 = 1 }",
                "2: accounts.a: write either `nt_hash` or",
            ),
            (
                "[accounts]\na = { password = \"hunter2\", nt_hash = \"hunter2\" }",
                "2: accounts.a: write either",
            ),
            (
                "[accounts]\na.password = \"x\"\na.password = \"hunter2\"",
                "3: not TOML, or a key for the second time",
            ),
            (
                "[accounts.a]\npassword = [\"hunter2\"]",
                "2: accounts.a: write the value in quotes",
            ),
            (
                "[accounts]\na.nt_hash = \"hunter2\"",
                "2: accounts.a: a hash has 32 hex digits",
            ),
            (
                "[accounts]\na.nt_hash = \"hunter2z6510bdcab6824ee7c30fd852\"",
                "2: accounts.a: a hash has 32 hex digits",
            ),
            (
                "[accounts]\na.nt_hash = \"+a4f49c406510bdcab6824ee7c30fd8\"",
                "2: accounts.a: a hash has 32 hex digits",
            ),
            (
                "[accounts]\na.password = ''",
                "2: accounts.a: an empty password",
            ),
            (
                "[accounts]\na.nt_hash = \"31d6cfe0d16ae931b73c59d7e0c089c0\"",
                "2: accounts.a: an empty password",
            ),
            (
                "[accounts]\nbob.password = 'hunter2'\n\nBOB.password = 'hunter2'",
                "4: accounts.BOB: is in line 2 already",
            ),
            (
                "[accounts]\n\"a@B\".password = 'hunter2'",
                "2: accounts: a name with @ is",
            ),
            (
                "[accounts]\n'B\\a'.password = 'hunter2'",
                "2: accounts: a name has neither \\",
            ),
            (
                "[accounts]\n\"\".password = 'hunter2'",
                "2: accounts: a name has from 1 to 255",
            ),
            (
                "[accounts]\n\"a\\n\".password = 'hunter2'",
                "2: accounts: a name has neither control",
            ),
            (
                "accounts = 'hunter2'",
                "1: accounts: accounts are written under [accounts]",
            ),
            (
                "[[accounts]]\na.password = 'hunter2'",
                "1: accounts: accounts are written under",
            ),
            (
                "password = 'hunter2'",
                "1: only [accounts] has a place here",
            ),
            ("hunter2 = 1", "1: only [accounts] has a place here"),
        ] {
            let error = parse(text).unwrap_err();
            let said = error.to_string();
            assert!(said.starts_with(&format!("f:{told}")), "{text}\n{said}");
            assert!(!said.contains(SECRET), "{said}");
            assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_up_to_a_limit() {
        let text: String = (0..50).map(|n| format!("[accounts.a{n}]\n")).collect();
        let said = parse(&text).unwrap_err().to_string();
        assert_eq!(said.lines().count(), 20);
        assert!(said.starts_with("f:1: accounts.a0: "), "{said}");
    }

    #[test]
    fn the_accounts_of_a_file_show_no_secret() {
        let text = format!("[accounts]\na.password = \"{SECRET}\"\nb.nt_hash = \"{HASH}\"");
        let file = parse(&text).unwrap();
        let shown = format!("{file:?} {:?}", file.find("a"));
        assert!(!shown.contains(SECRET) && !shown.contains("a4"), "{shown}");
    }

    #[test]
    fn a_file_is_refused_when_others_than_its_owner_can_read_or_write_it() {
        let (_folder, path) = file("[accounts]\na.password = 'x'");
        for mode in [0o600, 0o400, 0o700] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(AccountFile::load(&path, None).unwrap().len(), 1);
        }
        for mode in [0o640, 0o604, 0o620, 0o602, 0o601, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = AccountFile::load(&path, None).unwrap_err().to_string();
            let told = format!(
                "the accounts file {} can be read or written by others than its owner (mode {mode:04o}); \
                 make it private: chmod 600",
                path.display()
            );
            assert_eq!(error, told);
        }
    }

    #[test]
    fn a_file_is_roots_or_the_daemons_users_or_his_who_reads_it() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: only root gives files away");
            return;
        }
        let (_folder, path) = file("");
        chown(&path, Some(4321), None).unwrap();
        let error = AccountFile::load(&path, Some(Uid::from_raw(4322))).unwrap_err();
        let told = "belongs to user id 4321, neither to root nor to the daemon's user";
        assert!(error.to_string().contains(told), "{error}");
        assert!(AccountFile::load(&path, None).is_err());
        assert!(AccountFile::load(&path, Some(Uid::from_raw(4321))).is_ok());
    }

    #[test]
    fn what_is_no_file_or_too_long_is_refused_and_holds_nobody_up() {
        let (folder, path) = file("");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for (path, told) in [
            (folder.path(), "is not a file"),
            (&pipe, "is not a file"),
            (Path::new("/dev/null"), "is not a file"),
        ] {
            let error = AccountFile::load(path, None).unwrap_err().to_string();
            assert!(error.ends_with(told), "{error}");
        }
        fs::write(&path, "#".repeat(MOST_OCTETS)).unwrap();
        assert!(AccountFile::load(&path, None).is_ok());
        fs::write(&path, "#".repeat(MOST_OCTETS + 1)).unwrap();
        let error = AccountFile::load(&path, None).unwrap_err().to_string();
        assert!(error.ends_with("is longer than 4194304 octets"), "{error}");
    }

    #[test]
    fn a_link_leads_to_the_file_whose_mode_counts() {
        let (folder, path) = file("[accounts]\na.password = 'x'");
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(AccountFile::load(&link, None).unwrap().len(), 1);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(AccountFile::load(&link, None).is_err());
    }

    #[test]
    fn what_is_no_text_is_told_by_its_line() {
        let (_folder, path) = file("");
        fs::write(&path, b"[accounts]\na.password = 'hunter2\xff'").unwrap();
        let error = AccountFile::load(&path, None).unwrap_err().to_string();
        assert_eq!(error, format!("{}:2: not UTF-8", path.display()));
    }

    #[test]
    fn what_is_read_again_counts_when_it_can_be_taken() {
        let (_folder, path) = file("[accounts]\na.password = 'x'");
        let live = LiveAccounts::open(&path, None).unwrap();
        for bad in ["[accounts]\nb.password = ''", "hunter2"] {
            fs::write(&path, bad).unwrap();
            assert!(live.reload().is_err());
            assert!(live.find("a").is_some());
        }
        fs::write(&path, "[accounts]\nb.password = 'y'\nc.password = 'z'").unwrap();
        assert_eq!(live.reload().unwrap(), 2);
        assert!(live.find("a").is_none() && live.find("B").is_some());
        fs::remove_file(&path).unwrap();
        assert!(live.reload().is_err());
        assert_eq!(live.current().len(), 2);
    }

    #[test]
    fn accounts_that_only_rules_know_are_told() {
        let file = parse("[accounts]\nAlice.password = 'x'").unwrap();
        let rule = |names: &[&str]| Rule {
            accounts: names.iter().map(|name| (*name).into()).collect(),
            ..Rule::default()
        };
        let rules = [
            rule(&["alice", "bob"]),
            rule(&[]),
            rule(&["carol@LAB", "dave"]),
        ];
        assert_eq!(file.unknown(&rules), ["bob", "dave"]);
    }

    #[test]
    fn a_file_that_is_changed_all_the_time_is_read_whole() {
        let (_folder, path) = file("[accounts]\na.password = 'x'");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..100 {
                    let name = format!("b{}", round % 3);
                    edit::set(&path, None, &name, &NtHash::of("y")).unwrap();
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(AccountFile::load(&path, None).unwrap().find("a").is_some());
            }
        });
        assert_eq!(AccountFile::load(&path, None).unwrap().len(), 4);
    }
}
