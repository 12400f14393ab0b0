//! What can be wrong with a configuration, and where.

use super::listener::ListenerError;
use super::security::NameFault;
use crate::registry::{Network, RegistryError};
use crate::wire::SyntaxId;
use crate::wire::binding::BindingError;
use crate::wire::ept::MAX_ANNOTATION;
use nix::errno::Errno;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}", Lines { told, untold: *untold })]
    Mistaken {
        /// The first of the mistakes, in their order.
        told: Vec<Mistake>,
        /// How many there are besides.
        untold: usize,
    },
}

/// One thing that is wrong in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The keys down to the value, joined by dots; empty outside of any.
    pub key: String,
    /// What is wrong, in words.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}: ", self.path.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// Mistakes as lines.
struct Lines<'a> {
    /// Those that have a line.
    told: &'a [Mistake],
    /// How many there are besides.
    untold: usize,
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (index, mistake) in self.told.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        if self.untold > 0 {
            write!(f, "\nand {} more", self.untold)?;
        }
        Ok(())
    }
}

/// What is wrong with one value.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is not TOML, or not of the form that the key has.
    #[error("{0}")]
    Form(String),
    /// A list where a table is to be.
    #[error("invalid type: list, expected a table")]
    ListForTable,
    /// Not text.
    #[error("octet {0:#04x} is not UTF-8; save the file as UTF-8")]
    Encoding(u8),
    /// Not a table array.
    #[error("an endpoint is written as a table under [[endpoint]]")]
    NotEndpoints,
    /// Not a UUID.
    #[error("`{text}` is not a UUID: {cause}")]
    Uuid {
        /// The value.
        text: String,
        /// Where it stops being one.
        cause: uuid::Error,
    },
    /// The nil UUID where an interface is to be named.
    #[error("the nil UUID is no interface")]
    NilInterface,
    /// Not a version.
    #[error("`{0}` is not a version: write MAJOR.MINOR, each at most 65535")]
    Version(String),
    /// More octets than an entry has room for.
    #[error("{0} octets long; at most {max} fit", max = MAX_ANNOTATION)]
    AnnotationLength(usize),
    /// A character that would break lines or end the string.
    #[error("a NUL at octet {0}, which would end the annotation there")]
    AnnotationNul(usize),
    /// Not a transfer syntax.
    #[error("`{0}` is not a transfer syntax: write \"ndr\", \"ndr64\" or \"UUID:MAJOR.MINOR\"")]
    TransferSyntax(String),
    /// An empty list of transfer syntaxes.
    #[error("names no transfer syntax; leave it out for \"ndr\"")]
    NoTransferSyntax,
    /// A binding that does not parse, or that no tower can say.
    #[error("`{text}`: {cause}")]
    Binding {
        /// The value.
        text: String,
        /// What is wrong, and at which octet.
        cause: BindingError,
    },
    /// A binding without endpoint.
    #[error("`{0}` has no endpoint; a client that is given it cannot go there")]
    NoEndpoint(String),
    /// A binding with port 0, which is none in a tower.
    #[error("`{0}` has port 0; a client that is given it cannot go there")]
    NoPort(String),
    /// A binding with an object.
    #[error("`{0}` names an object; say it with the key `object`")]
    BindingObject(String),
    /// A binding with options.
    #[error("`{0}` has options; a tower cannot hold them")]
    BindingOptions(String),
    /// A tower that is not written in hex.
    #[error("not a row of hex octets")]
    Hex,
    /// A tower of another interface.
    #[error("the tower is of interface {tower}, this endpoint of {endpoint}")]
    TowerInterface {
        /// The interface in the tower.
        tower: SyntaxId,
        /// The interface of the endpoint.
        endpoint: SyntaxId,
    },
    /// The registry does not take it.
    #[error(transparent)]
    Registry(RegistryError),
    /// An endpoint that says nowhere.
    #[error("names neither bindings nor towers")]
    Nowhere,
    /// The same object and tower again.
    #[error("says again what line {0} says; the first is kept")]
    Duplicate(usize),
    /// One entry more than the limit leaves room for.
    #[error("does not fit: `limits.entries` is {0}, the mapper's own entry among them; raise it")]
    Entries(usize),
    /// More entries for one owner than for all.
    #[error("above `limits.entries`, which is {0} and strikes first")]
    EntriesPerOwner(usize),
    /// No lease could be as long as it has to be.
    #[error("the longest lease, {longest}, is shorter than the shortest, {shortest}")]
    Leases {
        /// The shortest.
        shortest: String,
        /// The longest.
        longest: String,
    },
    /// Not a table array.
    #[error("a rule is written as a table under [[register]]")]
    NotRules,
    /// A rule that is for nobody.
    #[error(
        "names nobody: write `users`, `groups`, `networks`, `accounts`, `account_groups` or `authenticated = true`"
    )]
    Nobody,
    /// A list that allows nothing.
    #[error("an empty list; leave the key out")]
    EmptyList,
    /// A rule's empty list of interfaces.
    #[error("names no interface; leave it out for all that are not reserved")]
    NoInterface,
    /// Neither interface nor group of interfaces.
    #[error(
        "`{0}` is no interface: write a UUID, the name of a known one, or \"windows\", \"samba\" or \"dce\""
    )]
    Interface(String),
    /// An exception from nothing.
    #[error("`{0}` is not reserved; it needs no exception")]
    NotReserved(String),
    /// A user or group that this host does not have.
    #[error("there is no {kind} `{name}` on this host; write a {kind} of it, or an id")]
    UnknownId {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// An id that was looked up as a name.
    #[error("there is no {kind} `{name}` on this host; write an id without quotes")]
    QuotedId {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The system's database does not answer.
    #[error("the {kind} `{name}` cannot be looked up: {cause}; an id needs no look")]
    IdLookup {
        /// User or group.
        kind: &'static str,
        /// The name.
        name: String,
        /// What the system says.
        cause: Errno,
    },
    /// Not a network.
    #[error("`{0}` is not a network: write an address, or \"192.0.2.0/24\" and the like")]
    Network(String),
    /// An address inside of a network.
    #[error("`{text}` has bits behind its prefix; write `{network}`, or the address alone")]
    NetworkBits {
        /// The value.
        text: String,
        /// The network that it is in.
        network: Network,
    },
    /// Not a life.
    #[error("`{0}` is not a life: write \"probe\" or \"process\"")]
    Life(String),
    /// A lease that nobody renews.
    #[error("only a registrant that asks for a lease renews it; write \"probe\" or \"process\"")]
    LeaseByRule,
    /// What only the configuration has.
    #[error("what nothing ends is written under [[endpoint]]; write \"probe\" or \"process\"")]
    PermanentByRule,
    /// A process of callers who have none here.
    #[error(
        "callers over the network have no process on this host; give `networks` a rule of their own"
    )]
    ProcessOfNetwork,
    /// A process of accounts, which may call from anywhere.
    #[error(
        "accounts call over the network as well, and have no process on this host then; \
         name `users` or `groups` too"
    )]
    ProcessOfAccounts,
    /// Accounts that need not prove to be any.
    #[error("a rule for accounts asks for authentication; leave the key out")]
    UnprovedAccounts,
    /// A name that no account can have.
    #[error("`{name}` is no account: {fault}")]
    Account {
        /// The value, as far as it can be shown.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A group that is not there.
    #[error("there is no group `{0}` under [security.groups]; write it there")]
    UnknownAccountGroup(String),
    /// A group of nobody.
    #[error("a group of nobody; leave it out")]
    EmptyAccountGroup,
    /// An account of which no proof can come.
    #[error("nobody can prove to be `{name}`: there is no `{key}` under [security]")]
    Unprovable {
        /// The account or principal.
        name: String,
        /// What proofs would be checked by.
        key: &'static str,
    },
    /// A rule for proofs of which none can come.
    #[error(
        "nobody can prove to be anybody: there is neither `accounts` nor `keytab` under [security]"
    )]
    NothingProved,
    /// Proofs are asked for, and none can come.
    #[error(
        "nobody could be answered: there is neither `accounts` nor `keytab` to prove anything by"
    )]
    RequireUnproved,
    /// Not a thing to require.
    #[error("`{0}` cannot be required: write \"nothing\", \"lookups\" or \"everything\"")]
    Require(String),
    /// Not a level.
    #[error("`{0}` is not a level: write \"connect\", \"integrity\" or \"privacy\"")]
    Level(String),
    /// A level of nothing.
    #[error("`require` is \"nothing\": no level is asked for")]
    LevelOfNothing,
    /// LM without the version of NTLM that it belongs to.
    #[error("LM is part of NTLM version 1; write `ntlm_v1 = true` as well, or leave both out")]
    LmAlone,
    /// NTLM's settings without accounts.
    #[error("there is no `accounts` file whose accounts could log on so")]
    NtlmUnused,
    /// Not the name of a computer or a domain.
    #[error("`{0}` is not a NetBIOS name: write 1 to 15 letters, digits and signs like -")]
    NetbiosName(String),
    /// Not a name of DNS.
    #[error("`{0}` is not a DNS name: write up to 255 letters, digits, - and dots")]
    DnsName(String),
    /// No place for a file.
    #[error("`{0}` is not the full path of a file")]
    FullPath(String),
    /// A keytab for a program that cannot read one.
    #[cfg(not(feature = "kerberos"))]
    #[error(
        "this epmapperd was built without Kerberos; build it with `--features kerberos`, or leave the key out"
    )]
    NoKerberos,
    /// A probe that would run into the next.
    #[error("the timeout of {timeout} is longer than the interval of {interval}")]
    ProbeTimeout {
        /// Of one probe.
        timeout: String,
        /// From one probe to the next.
        interval: String,
    },
    /// Not a place for the state.
    #[error("`{0}` is not the full path of a file; write one, or \"none\" to keep nothing")]
    State(String),
    /// Not a conversation.
    #[error("`{0}` is not a conversation: write \"windows\", \"samba\" or \"dce\"")]
    Conversation(String),
    /// Not a transfer syntax of the mapper's own calls.
    #[error("`{0}` is not a transfer syntax of calls: write \"ndr\" or \"ndr64\"")]
    CallTransferSyntax(String),
    /// An empty list of listeners.
    #[error("names nothing to listen on; leave it out for port 135 of all addresses")]
    NoListener,
    /// A binding that cannot be listened on.
    #[error(transparent)]
    Listener(ListenerError),
}

/// A configuration's text, able to say where an octet of it stands.
pub struct Source<'t> {
    /// The file.
    path: &'t Path,
    /// Its text.
    text: &'t str,
    /// What of it is TOML.
    table: Spanned<DeTable<'t>>,
}

impl<'t> Source<'t> {
    /// Parses `text` again, as far as it goes; made when there is something to
    /// tell.
    pub fn new(path: &'t Path, text: &'t str) -> Source<'t> {
        let (table, _) = DeTable::parse_recoverable(text);
        Source { path, text, table }
    }

    /// Gives a problem its place.
    pub fn mistake(&self, span: &Range<usize>, problem: &Problem) -> Mistake {
        Mistake {
            path: self.path.to_owned(),
            line: line(self.text, span.start),
            key: self.key(span.start),
            problem: problem.to_string(),
        }
    }
}

impl Source<'_> {
    /// The keys that lead to what stands at `at`, joined by dots.
    ///
    /// What is not TOML is in no table; there it is the key of that line.
    fn key(&self, at: usize) -> String {
        match keys_in_table(self.table.get_ref(), at) {
            Some(keys) => keys.join("."),
            None => key_of_line(self.text, at).unwrap_or_default().to_owned(),
        }
    }
}

/// The line of an octet, counted from 1.
pub fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|octet| **octet == b'\n').count()
}

/// What stands before the equals sign of the line that `at` is in.
fn key_of_line(text: &str, at: usize) -> Option<&str> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    line.split_once('=').map(|(key, _)| key.trim())
}

/// The keys that lead to what stands at `at`.
///
/// A table's own span is its header only, so all are searched.
fn keys_in_table<'v>(table: &'v DeTable, at: usize) -> Option<Vec<&'v str>> {
    table.iter().find_map(|(key, value)| {
        let mut keys = vec![key.get_ref().as_ref()];
        match keys_in_value(value, at) {
            Some(below) => keys.extend(below),
            None if key.span().contains(&at) => {}
            None => return None,
        }
        Some(keys)
    })
}

/// The keys below `value` that lead to what stands at `at`.
fn keys_in_value<'v>(value: &'v Spanned<DeValue>, at: usize) -> Option<Vec<&'v str>> {
    let below = match value.get_ref() {
        DeValue::Table(table) => keys_in_table(table, at),
        DeValue::Array(items) => items.iter().find_map(|item| keys_in_value(item, at)),
        _ => None,
    };
    below.or_else(|| value.span().contains(&at).then(Vec::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_octet_is_found_by_line_and_keys() {
        let text = "user = \"a\"\n[limits]\nidle_timeout = \"1s\"\n\n[[endpoint]]\nbindings = [\n \"x\",\n \"y\",\n]\n[[endpoint]]\n";
        let source = Source::new(Path::new("f"), text);
        let place = |what: &str| {
            let at = text.rfind(what).unwrap();
            let mistake = source.mistake(&(at..at + 1), &Problem::Nowhere);
            (mistake.line, mistake.key)
        };
        assert_eq!(place("user"), (1, "user".into()));
        assert_eq!(place("1s"), (3, "limits.idle_timeout".into()));
        assert_eq!(place("\"y"), (8, "endpoint.bindings".into()));
        assert_eq!(place("[[endpoint"), (10, "endpoint".into()));
    }

    #[test]
    fn what_is_not_toml_is_found_by_its_line() {
        for (text, at, key) in [
            ("a = 1\nb = [", 11, "b"),
            ("a = 1\n[b\n", 8, ""),
            ("", 0, ""),
        ] {
            let source = Source::new(Path::new("f"), text);
            assert_eq!(source.mistake(&(at..at), &Problem::Nowhere).key, key);
        }
    }
}
