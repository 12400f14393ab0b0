//! `epmapperd account`: changes the accounts file.

use super::edit::{self, Set};
use super::guard::{self, Unfit};
use super::{AccountFile, AccountsError};
use crate::daemon::args::{self, Args};
use crate::daemon::config::{Config, ConfigError, NameFault, account_name};
use crate::daemon::privilege::{self, PrivilegeError};
use crate::security::{NtHash, Password};
use clap::Subcommand;
use nix::unistd::Uid;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Octets of a password, at most.
const LONGEST_PASSWORD: usize = 4096;

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add an account, or give one that is there another password
    ///
    /// Asks for the password twice, and writes its NT hash. Whoever can read
    /// that can log on as well: the file is for its owner alone.
    Add {
        /// The account's name, without domain
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
        /// In which file.
        #[command(flatten)]
        place: Place,
        /// By which password.
        #[command(flatten)]
        source: Source,
    },
    /// Take an account out
    Remove {
        /// The account's name
        #[arg(value_name = "NAME", value_parser = name)]
        name: String,
        /// Of which file.
        #[command(flatten)]
        place: Place,
    },
    /// Print the accounts' names
    List {
        /// Of which file.
        #[command(flatten)]
        place: Place,
    },
}

/// Which accounts file.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// The accounts file; made if there is none
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The configuration that names the accounts file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Where the password comes from, if not from the terminal.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub struct Source {
    /// Take the password from this file, of which it is the only line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Take the password from standard input, of which it is the only line
    #[arg(long)]
    stdin: bool,
}

/// Why a command has done nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The accounts file.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration's user.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// A configuration without accounts.
    #[error("{} names no accounts file; write `accounts = \"/FILE\"` under [security]", .0.display())]
    NoFile(PathBuf),
    /// The password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Print(io::Error),
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Nobody to ask.
    #[error("there is no terminal to ask for the password at: {0}; use --password-file or --stdin")]
    NoTerminal(io::Error),
    /// It cannot be read.
    #[error("cannot read the password from {from}: {cause}")]
    Unreadable {
        /// Where it was to come from.
        from: String,
        /// What the system says.
        cause: io::Error,
    },
    /// Others can read it.
    #[error("the password file {} {fault}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What makes it so.
        fault: Unfit,
    },
    /// Two different ones.
    #[error("these were two passwords; nothing is changed")]
    Differs,
    /// None.
    #[error("an empty password proves nothing; nothing is changed")]
    Empty,
    /// What it cannot be.
    #[error(
        "a password is one line of UTF-8, of {LONGEST_PASSWORD} octets at most; nothing is changed"
    )]
    Form,
}

impl AccountCommand {
    /// Does it.
    ///
    /// # Errors
    /// What kept it from being done.
    pub fn run(&self) -> Result<(), CommandError> {
        match self {
            AccountCommand::Add {
                name,
                place,
                source,
            } => {
                let file = place.find()?;
                let hash = NtHash::of(source.password(name)?.as_str());
                let set = edit::set(&file.path, file.user, name, &hash)?;
                let what = match set {
                    Set::Added => "added to",
                    Set::Changed => "changed in",
                };
                file.tell_done(name, what)
            }
            AccountCommand::Remove { name, place } => {
                let file = place.find()?;
                edit::remove(&file.path, file.user, name)?;
                file.tell_done(name, "taken out of")
            }
            AccountCommand::List { place } => {
                let file = place.find()?;
                let accounts = AccountFile::load(&file.path, file.user)?;
                let names = accounts.names().into_iter();
                print(&names.map(|name| format!("{name}\n")).collect::<String>())
            }
        }
    }
}

/// Prints a text.
fn print(text: &str) -> Result<(), CommandError> {
    args::print(text.as_bytes()).map_err(CommandError::Print)
}

/// A name that an account can have.
fn name(text: &str) -> Result<String, NameFault> {
    account_name(text).map(|()| text.to_owned())
}

/// An accounts file, and who is to read it.
struct Found {
    /// The file.
    path: PathBuf,
    /// Who the daemon becomes, where that is known.
    user: Option<Uid>,
}

impl Place {
    /// The file that is meant.
    fn find(&self) -> Result<Found, CommandError> {
        let Some(config) = &self.config else {
            let path = self.file.clone().unwrap_or_default();
            return Ok(Found { path, user: None });
        };
        let args = Args {
            config: Some(config.clone()),
            ..Args::default()
        };
        let loaded = Config::load(&args)?.config;
        let Some(path) = loaded.security.accounts else {
            return Err(CommandError::NoFile(config.clone()));
        };
        let user = loaded.user.as_deref().map(privilege::Account::find);
        let user = user.transpose()?.map(|user| user.ids().0);
        Ok(Found { path, user })
    }
}

impl Found {
    /// Tells what was done, and what is left to do.
    fn tell_done(&self, name: &str, what: &str) -> Result<(), CommandError> {
        let path = self.path.display();
        print(&format!(
            "`{name}` {what} {path}; epmapperd reads it at its start and on SIGHUP\n"
        ))?;
        let owner = self.path.metadata().map(|metadata| metadata.uid());
        if let (Some(user), Ok(owner)) = (self.user, owner)
            && owner != user.as_raw()
        {
            args::tell(&format!(
                "note: {path} is not owned by epmapperd's user: it is read at the start alone, \
                 not on SIGHUP"
            ));
        }
        Ok(())
    }
}

impl Source {
    /// The password of an account.
    fn password(&self, name: &str) -> Result<Password, PasswordError> {
        if let Some(path) = &self.password_file {
            return from_file(path);
        }
        if self.stdin {
            return only_line(io::stdin().lock(), "standard input");
        }
        asked(name)
    }
}

/// The password that a file holds; others may not read it, unless it is a pipe.
fn from_file(path: &Path) -> Result<Password, PasswordError> {
    let from = path.display().to_string();
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|cause| PasswordError::Unreadable {
        from: from.clone(),
        cause,
    })?;
    if metadata.is_file() {
        guard::is_private(&metadata).map_err(|fault| PasswordError::Unsafe {
            path: path.to_owned(),
            fault,
        })?;
    }
    only_line(file, &from)
}

/// The password that is all of an input, with or without the end of its line.
fn only_line(input: impl Read, from: &str) -> Result<Password, PasswordError> {
    // A line's end more, and an octet too many.
    let most = LONGEST_PASSWORD + 3;
    let mut octets = Zeroizing::new(Vec::with_capacity(most));
    let read = input.take(most as u64).read_to_end(&mut octets);
    read.map_err(|cause| PasswordError::Unreadable {
        from: from.to_owned(),
        cause,
    })?;
    let text = str::from_utf8(&octets).map_err(|_| PasswordError::Form)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    password(line.strip_suffix('\r').unwrap_or(line))
}

/// Asks for a password at the terminal, twice.
fn asked(name: &str) -> Result<Password, PasswordError> {
    let ask = |prompt: String| {
        let answer = rpassword::prompt_password(prompt);
        let answer = answer.map_err(PasswordError::NoTerminal)?;
        password(&Zeroizing::new(answer))
    };
    let first = ask(format!("Password of {name}: "))?;
    let second = ask("Once more: ".to_owned())?;
    match first.as_str() == second.as_str() {
        true => Ok(first),
        false => Err(PasswordError::Differs),
    }
}

/// A text as a password.
fn password(text: &str) -> Result<Password, PasswordError> {
    let is_line = !text.contains(['\n', '\r', '\0']);
    match text.len() {
        0 => Err(PasswordError::Empty),
        1..=LONGEST_PASSWORD if is_line => Ok(Password::new(text.to_owned())),
        _ => Err(PasswordError::Form),
    }
}
