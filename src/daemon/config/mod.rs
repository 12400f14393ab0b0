//! The configuration: read, checked, and shown again.
//!
//! A `Config` that exists is right: every listener can be bound, every endpoint
//! makes entries that the registry takes. All that is wrong with a file is told
//! at once, as far as its form allows, by file, line and key. Of this host only
//! its name is looked at, and its users and groups where rules and sockets name
//! some; its addresses, files and the user to become are not.

mod endpoint;
mod file;
mod listener;
mod mistake;
mod read;
mod register;
mod security;
mod settings;
mod value;

pub use endpoint::Endpoint;
pub use listener::{DEFAULT_LISTEN, ListenerError, listener};
pub(super) use mistake::line;
pub use mistake::{ConfigError, Mistake};
pub(super) use security::folded;
pub use security::{NameFault, account_name};
pub use settings::{ProbeSettings, Require, SecuritySettings};

use super::args::Args;
use super::log::{LogFormat, LogLevel};
use crate::registry::{Entry, Policy};
use crate::server::Limits;
use crate::service::Conversation;
use crate::transport::unix::Access;
use crate::wire::TransferSyntax;
use crate::wire::binding::Binding;
use file::{File, RegisterTable, SecurityTable, Text};
use mistake::{Problem, Source};
use read::{Reader, Span};
use std::borrow::Cow;
use std::path::{Path, PathBuf, absolute};
use toml::Spanned;
use value::{Mode, Who};

/// The most mistakes that are told of one file.
const MOST_TOLD: usize = 20;

/// The conversations by name.
const CONVERSATIONS: [(&str, Conversation); 3] = [
    ("windows", Conversation::Windows),
    ("samba", Conversation::Samba),
    ("dce", Conversation::Dce),
];

/// The transfer syntaxes of calls by name.
const TRANSFER_SYNTAXES: [(&str, TransferSyntax); 2] = [
    ("ndr", TransferSyntax::Ndr),
    ("ndr64", TransferSyntax::Ndr64),
];

/// What `state` says for no file.
const NO_STATE: &str = "none";

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; empty when nobody said.
    pub listen: Vec<Binding>,
    /// Which mapper to behave like.
    pub conversation: Conversation,
    /// Which transfer syntax to take when a client offers several, if not the
    /// conversation's.
    pub transfer_syntax: Option<TransferSyntax>,
    /// Who to become once it listens.
    pub user: Option<String>,
    /// How local sockets are made.
    pub socket: Access,
    /// The file that registrations are kept in, if they are.
    pub state: Option<PathBuf>,
    /// Least important events to log.
    pub log_level: LogLevel,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Who may register what.
    pub policy: Policy,
    /// How much is too much.
    pub limits: Limits,
    /// How servers are asked whether they are there.
    pub probe: ProbeSettings,
    /// Who can prove to be somebody, and who has to.
    pub security: SecuritySettings,
    /// What is registered.
    pub endpoints: Vec<Endpoint>,
    /// What of the above has other words than its values.
    written: Written,
}

/// Texts that the configuration is shown with.
#[derive(Clone, Debug)]
struct Written {
    /// The group of local sockets.
    socket_group: Option<Spanned<Who>>,
    /// Reserved interfaces and groups of them.
    reserved: Vec<Text>,
    /// Exceptions.
    unreserved: Vec<Text>,
    /// The rules.
    register: Vec<RegisterTable>,
}

/// A configuration and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What the file says without effect.
    pub doubts: Vec<Mistake>,
}

impl Config {
    /// Reads the file that the command line names, if any; what the command
    /// line says itself goes before it.
    ///
    /// # Errors
    /// `Unreadable` for the file, `Mistaken` with what is wrong in it.
    pub fn load(args: &Args) -> Result<Loaded, ConfigError> {
        let mut loaded = match &args.config {
            Some(path) => Config::read(path)?,
            None => Config::parse(Path::new(""), "")?,
        };
        let config = &mut loaded.config;
        if !args.listen.is_empty() {
            config.listen.clone_from(&args.listen);
        }
        if let Some(state) = &args.state {
            let path = Some(state).filter(|path| path.as_os_str() != NO_STATE);
            // Where there is no current folder the path is as good as it was.
            let full = |path: &PathBuf| absolute(path).unwrap_or_else(|_| path.clone());
            config.state = path.map(full);
        }
        config.log_level = args.log_level.unwrap_or(config.log_level);
        config.log_format = args.log_format.unwrap_or(config.log_format);
        Ok(loaded)
    }

    /// Reads a file.
    fn read(path: &Path) -> Result<Loaded, ConfigError> {
        let octets = std::fs::read(path).map_err(|cause| ConfigError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        match octets.utf8_chunks().next() {
            None => Config::parse(path, ""),
            Some(chunk) => match chunk.invalid().first() {
                None => Config::parse(path, chunk.valid()),
                Some(octet) => Err(not_text(path, chunk.valid(), *octet)),
            },
        }
    }

    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// `Mistaken` with what is wrong in it.
    pub fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
        let mut reader = Reader::new(text);
        match reader.file() {
            Some(config) if reader.mistakes.is_empty() => Ok(Loaded {
                config,
                doubts: told(path, text, reader.doubts),
            }),
            _ => Err(ConfigError::Mistaken {
                untold: reader.mistakes.len().saturating_sub(MOST_TOLD),
                told: told(path, text, reader.mistakes),
            }),
        }
    }

    /// Which transfer syntax to take when a client offers several.
    pub fn preferred_transfer_syntax(&self) -> TransferSyntax {
        let default = || self.conversation.preferred_transfer_syntax();
        self.transfer_syntax.unwrap_or_else(default)
    }

    /// The entries of all endpoints, in their order.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.endpoints.iter().flat_map(|endpoint| &endpoint.entries);
        entries.cloned().collect()
    }

    /// The configuration as a file that reads as the same.
    ///
    /// The default listeners stand in a comment: as a value they would have
    /// been asked for, and a host without IPv6 could not start with them.
    ///
    /// # Errors
    /// None is known: every value has a TOML form.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let table = toml::to_string_pretty(&self.to_file())?;
        if !self.listen.is_empty() {
            return Ok(table);
        }
        let default = DEFAULT_LISTEN.map(|text| format!("\"{text}\"")).join(", ");
        Ok(format!("# listen = [{default}]\n{table}"))
    }

    /// Where registrations are kept, as it is written; it came from a text.
    fn state_text(&self) -> Cow<'_, str> {
        let path = self.state.as_deref();
        path.map_or(NO_STATE.into(), Path::to_string_lossy)
    }

    /// The keys, those of tables joined by a dot, whose values differ; the
    /// endpoints are not compared.
    pub fn changed_keys(&self, other: &Config) -> Vec<String> {
        differing_keys("", &self.without_endpoints(), &other.without_endpoints())
    }

    /// All but the endpoints.
    fn without_endpoints(&self) -> toml::Table {
        let endpoint = Vec::new();
        let file = File {
            endpoint,
            ..self.to_file()
        };
        toml::Table::try_from(file).unwrap_or_default()
    }

    /// The configuration as it is written.
    fn to_file(&self) -> File {
        let listen: Vec<Text> = self.listen.iter().map(written).collect();
        let endpoint = self.endpoints.iter().map(|endpoint| endpoint.table.clone());
        File {
            listen: Some(unplaced(listen)).filter(|_| !self.listen.is_empty()),
            conversation: name_of(&CONVERSATIONS, &self.conversation).map(written),
            preferred_transfer_syntax: name_of(
                &TRANSFER_SYNTAXES,
                &self.preferred_transfer_syntax(),
            )
            .map(written),
            user: self.user.as_ref().map(written),
            socket_mode: Mode(self.socket.mode),
            socket_group: self.written.socket_group.clone(),
            state: Some(written(self.state_text())),
            log_level: self.log_level,
            log_format: self.log_format,
            reserved: Some(self.written.reserved.clone()),
            unreserved: self.written.unreserved.clone(),
            limits: self.limits.clone().into(),
            probe: self.probe.into(),
            security: SecurityTable::from(&self.security),
            register: self.written.register.clone(),
            endpoint: endpoint.collect(),
        }
    }
}

/// The error of a file in which `octet`, behind `before`, is no text.
fn not_text(path: &Path, before: &str, octet: u8) -> ConfigError {
    let at = before.len();
    ConfigError::Mistaken {
        told: told(path, before, vec![(at..at, Problem::Encoding(octet))]),
        untold: 0,
    }
}

/// The first of what was found, in the order of the text, with its places.
fn told(path: &Path, text: &str, mut found: Vec<(Span, Problem)>) -> Vec<Mistake> {
    if found.is_empty() {
        return Vec::new();
    }
    found.sort_by_key(|(span, _)| span.start);
    found.truncate(MOST_TOLD);
    let source = Source::new(path, text);
    let told = found.iter();
    told.map(|(span, problem)| source.mistake(span, problem))
        .collect()
}

/// The keys, below `prefix`, whose values differ.
fn differing_keys(prefix: &str, one: &toml::Table, other: &toml::Table) -> Vec<String> {
    let added = other.keys().filter(|key| !one.contains_key(*key));
    let keys = one.keys().chain(added);
    let differing = keys.filter(|key| one.get(*key) != other.get(*key));
    let names = differing.flat_map(|key| match (one.get(key), other.get(key)) {
        (Some(toml::Value::Table(one)), Some(toml::Value::Table(other))) => {
            differing_keys(&format!("{prefix}{key}."), one, other)
        }
        _ => vec![format!("{prefix}{key}")],
    });
    names.collect()
}

/// A value as it is written.
fn written(value: impl ToString) -> Text {
    unplaced(value.to_string())
}

/// A value that stands nowhere yet.
fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// What a name stands for.
fn by_name<T: Copy>(names: &[(&'static str, T)], text: &str) -> Option<T> {
    names
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
}

/// The name that stands for a value.
fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> Option<&'static str> {
    names
        .iter()
        .find(|(_, named)| named == value)
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse(text: &str) -> Config {
        Config::parse(Path::new("f"), text).unwrap().config
    }

    #[test]
    fn the_example_says_the_defaults() {
        let text = include_str!("../../../docs/example.toml");
        let loaded = Config::parse(Path::new("docs/example.toml"), text).unwrap();
        assert_eq!(loaded.doubts, []);
        assert_eq!(loaded.config.entries().len(), 5 * 2 + 1 + 1);
        let changed = parse("").changed_keys(&loaded.config);
        assert_eq!(changed, ["listen"], "the example writes it out");
    }

    #[test]
    fn what_the_example_only_shows_is_right_as_well() {
        let text = include_str!("../../../docs/example.toml");
        let shown = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        };
        let shown: String = text.lines().map(shown).collect();
        // Where it cannot be read, a keytab is a mistake.
        let keytab = |line: &&str| cfg!(feature = "kerberos") || !line.starts_with("keytab = ");
        let shown: Vec<_> = shown.lines().filter(keytab).collect();
        let loaded = Config::parse(Path::new("docs/example.toml"), &shown.join("\n")).unwrap();
        assert_eq!(loaded.doubts, []);
        assert_eq!(loaded.config.policy.rules.len(), 4);
        let changed = parse(text).changed_keys(&loaded.config);
        let security = |key: &&String| !key.starts_with("security.");
        let others: Vec<_> = changed.iter().filter(security).collect();
        assert_eq!(others, ["register", "socket_group", "unreserved", "user"]);
        assert!(changed.len() >= others.len() + 6, "{changed:?}");
    }

    /// Every setting of registration, none as by default.
    const REGISTRATION: &str = "socket_mode = \"0660\"\nsocket_group = \"root\"\n\
        state = \"none\"\nreserved = [\"dce\", \"samr\"]\nunreserved = [\"mgmt\"]\n\
        [probe]\ninterval = \"90s\"\ntimeout = \"7s\"\nfailures = 5\nat_once = 9\nforeign = true\n\
        [[register]]\ninterfaces = [\"SAMR\"]\nusers = [\"root\", 1]\ngroups = [4]\nlife = \"process\"\n\
        [[register]]\nnetworks = [\"127.0.0.1\"]\nforeign_addresses = true\nexclusive = true\n";

    #[test]
    fn settings_of_registration_come_as_plain_values() {
        let Config {
            socket,
            state,
            probe,
            policy,
            ..
        } = parse(REGISTRATION);
        let (mode, group) = (0o660, Some(0));
        assert_eq!((socket, state), (Access { mode, group }, None));
        let expected = ProbeSettings {
            interval: Duration::from_secs(90),
            timeout: Duration::from_secs(7),
            failures: 5,
            at_once: 9,
            foreign: true,
        };
        assert_eq!(probe, expected);
        assert_eq!(policy.rules.len(), 2);
    }

    #[test]
    fn registration_is_as_by_default_when_nothing_is_said() {
        let config = parse("");
        assert_eq!(config.socket, Access::default());
        assert_eq!(config.probe, ProbeSettings::default());
        assert_eq!(
            config.state.as_deref(),
            Some(Path::new(settings::DEFAULT_STATE))
        );
        assert!(config.policy.rules.is_empty());
        assert!(!config.policy.reserved.is_empty());
    }

    #[test]
    fn the_state_is_the_full_path_of_a_file_or_none() {
        let path = parse("state = \"/a/b\"").state;
        assert_eq!(path.as_deref(), Some(Path::new("/a/b")));
        for text in ["", "b", "./b", "/", "/a/", "None", "/a\\u0000"] {
            let text = format!("state = \"{text}\"");
            let error = Config::parse(Path::new("f"), &text)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("f:1: state: `"), "{error}");
            assert!(error.contains("not the full path of a file"), "{error}");
        }
    }

    #[test]
    fn what_sockets_and_probes_cannot_be_is_told_with_line_and_key() {
        for (text, told) in [
            (
                "socket_mode = \"0999\"",
                "1: socket_mode: `0999` is not a mode: write octal digits, \"0600\" to \"0777\" and the like",
            ),
            (
                "socket_group = \"no-such-group\"",
                "1: socket_group: there is no group `no-such-group` on this host; write a group of it, or an id",
            ),
            (
                "socket_group = true",
                "1: socket_group: invalid value, expected a name or an id",
            ),
            (
                "[probe]\ninterval = \"4s\"",
                "2: probe.interval: the timeout of 5s is longer than the interval of 4s",
            ),
            (
                "[probe]\ntimeout = \"61s\"\ninterval = \"1m\"",
                "2: probe.timeout: the timeout of 61s is longer than the interval of 1m",
            ),
            (
                "[probe]\nfailures = 0",
                "2: probe.failures: invalid value: integer `0`, expected a whole number of at least 1",
            ),
        ] {
            let error = Config::parse(Path::new("f"), text).unwrap_err();
            assert_eq!(error.to_string(), format!("f:{told}"));
        }
    }

    #[test]
    fn what_is_shown_reads_as_the_same() {
        let text = include_str!("../../../docs/example.toml");
        for text in [
            text,
            "",
            REGISTRATION,
            security::tests::SECURITY,
            "user = \"a\"\nconversation = \"dce\"\npreferred_transfer_syntax = \"ndr64\"\n[limits]\nbind_timeout = \"90s\"",
        ] {
            let config = parse(text);
            let shown = config.to_toml().unwrap();
            let again = parse(&shown);
            assert_eq!(again.to_toml().unwrap(), shown);
            assert_eq!(again.entries(), config.entries());
            assert_eq!(again.changed_keys(&config), [""; 0]);
        }
    }

    #[test]
    fn changed_keys_are_named_down_to_the_value() {
        let one = parse("user = \"a\"\n[limits]\nconnections = 5");
        let other = parse("log_level = \"debug\"\n[limits]\nentries = 7");
        let keys = one.changed_keys(&other);
        assert_eq!(
            keys,
            ["limits.connections", "limits.entries", "log_level", "user"]
        );
        let rule = "[[register]]\nusers = [0]\n";
        let other = parse(&format!("{REGISTRATION}{rule}"));
        assert_eq!(parse(REGISTRATION).changed_keys(&other), ["register"]);
        let keys = parse("").changed_keys(&other);
        let tables = ["at_once", "failures", "foreign", "interval", "timeout"];
        let plain = [
            "reserved",
            "socket_mode",
            "state",
            "register",
            "socket_group",
            "unreserved",
        ];
        let mut all: Vec<_> = tables.map(|key| format!("probe.{key}")).into();
        all.extend(plain.map(str::to_owned));
        assert_eq!(keys, all);
    }

    #[test]
    fn the_conversation_prefers_a_transfer_syntax_unless_the_file_does() {
        for (text, preferred) in [
            ("", TransferSyntax::Ndr64),
            ("conversation = \"windows\"", TransferSyntax::Ndr64),
            ("conversation = \"samba\"", TransferSyntax::Ndr),
            ("conversation = \"dce\"", TransferSyntax::Ndr),
            ("preferred_transfer_syntax = \"ndr\"", TransferSyntax::Ndr),
            (
                "preferred_transfer_syntax = \"ndr64\"\nconversation = \"dce\"",
                TransferSyntax::Ndr64,
            ),
        ] {
            let config = parse(text);
            assert_eq!(config.preferred_transfer_syntax(), preferred, "{text}");
            // What is shown says it, whoever did.
            let shown = parse(&config.to_toml().unwrap());
            assert_eq!(shown.transfer_syntax, Some(preferred), "{text}");
        }
    }

    #[test]
    fn limits_that_make_each_other_useless_are_told() {
        let error = |text: &str| {
            let error = Config::parse(Path::new("f"), text).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            error("[limits]\nshortest_lease = \"2m\"\nlongest_lease = \"90s\""),
            "f:3: limits.longest_lease: the longest lease, 90s, is shorter than the shortest, 2m"
        );
        assert_eq!(
            error("[limits]\nshortest_lease = \"48h\""),
            "f:2: limits.shortest_lease: the longest lease, 24h, is shorter than the shortest, 48h"
        );
        let doubts = |text: &str| {
            let loaded = Config::parse(Path::new("f"), text).unwrap();
            let doubts = loaded.doubts.iter().map(ToString::to_string);
            doubts.collect::<Vec<_>>()
        };
        // Whoever lowers the whole has not said more of a part.
        assert_eq!(doubts("[limits]\nentries = 5"), [""; 0]);
        assert_eq!(
            doubts("[limits]\nentries = 5\nentries_per_owner = 6"),
            ["f:3: limits.entries_per_owner: above `limits.entries`, which is 5 and strikes first"]
        );
    }

    #[test]
    fn an_entry_said_twice_is_kept_once_and_told() {
        let endpoint = "[[endpoint]]\ninterface = \"12345778-1234-abcd-ef00-0123456789ac\"\nversion = \"1.0\"\nbindings = [\"ncacn_ip_tcp:[1]\"]\n";
        let text = endpoint.repeat(2);
        let loaded = Config::parse(Path::new("f"), &text).unwrap();
        assert_eq!(loaded.config.entries().len(), 1);
        let doubts: Vec<_> = loaded.doubts.iter().map(ToString::to_string).collect();
        assert_eq!(
            doubts,
            ["f:8: endpoint.bindings: says again what line 4 says; the first is kept"]
        );
    }

    #[test]
    fn every_mistake_of_a_file_is_told_at_once() {
        let text = "listen = [\"x\"]\nconversation = \"y\"\npreferred_transfer_syntax = \"x\"\n[[endpoint]]\ninterface = 1\n[[endpoint]]\ninterface = \"z\"\nversion = \"q\"\n\
            [limits]\nentries = 0\nspeed = 1\nidle_timeout = 2\n";
        let Err(ConfigError::Mistaken { told, untold: 0 }) = Config::parse(Path::new("f"), text)
        else {
            panic!("taken");
        };
        let places: Vec<_> = told.iter().map(|m| (m.line, m.key.as_str())).collect();
        let all = [
            (1, "listen"),
            (2, "conversation"),
            (3, "preferred_transfer_syntax"),
            (5, "endpoint.interface"),
            (6, "endpoint"),
            (7, "endpoint.interface"),
            (8, "endpoint.version"),
            (10, "limits.entries"),
            (11, "limits.speed"),
            (12, "limits.idle_timeout"),
        ];
        assert_eq!(places, all);
    }

    #[test]
    fn a_list_of_its_values_is_no_table() {
        for (text, place) in [
            ("limits = [5]", "f:1: limits"),
            ("[[probe]]\nfailures = 1", "f:1: probe"),
            ("register = [[[\"samr\"], [0]]]", "f:1: register"),
            ("endpoint = [[]]", "f:1: endpoint"),
        ] {
            let error = Config::parse(Path::new("f"), text).unwrap_err();
            let told = format!("{place}: invalid type: list, expected a table");
            assert_eq!(error.to_string(), told);
        }
    }

    #[test]
    fn of_many_mistakes_the_first_are_told() {
        let text = "[[endpoint]]\ninterface = 1\n".repeat(MOST_TOLD + 5);
        let error = Config::parse(Path::new("f"), &text)
            .unwrap_err()
            .to_string();
        assert_eq!(error.lines().count(), MOST_TOLD + 1);
        assert!(error.ends_with("\nand 5 more"), "{error}");
    }
}
