//! From what is written to what is meant, gathering all that is wrong.

use super::endpoint::Endpoint;
use super::file::{File, LimitsTable, ProbeTable, Text};
use super::listener::listener;
use super::mistake::{Problem, line};
use super::register::{Register, default_reserved, group_id};
use super::settings::{DEFAULT_STATE, ProbeSettings, SecuritySettings};
use super::value::{Period, Who};
use super::{CONVERSATIONS, Config, NO_STATE, TRANSFER_SYNTAXES, Written, by_name};
use crate::registry::{Entry, Policy};
use crate::server::Limits;
use crate::service::Conversation;
use crate::transport::unix::Access;
use crate::wire::TransferSyntax;
use crate::wire::binding::Binding;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};
use uuid::Uuid;

/// Where a value stands in the text, in octets.
pub type Span = Range<usize>;

/// Reads one text; gathers mistakes, which make it worthless, and doubts.
pub struct Reader<'t> {
    /// What is read.
    text: &'t str,
    /// How many entries `limits.entries` allows.
    most_entries: usize,
    /// The entries so far, by what makes them one: object and tower.
    seen: HashMap<(Uuid, Vec<u8>), usize>,
    /// What is wrong, in the order found.
    pub mistakes: Vec<(Span, Problem)>,
    /// What has no effect.
    pub doubts: Vec<(Span, Problem)>,
}

impl<'t> Reader<'t> {
    /// Begins with `text`.
    pub fn new(text: &'t str) -> Reader<'t> {
        Reader {
            text,
            most_entries: Limits::default().entries,
            seen: HashMap::new(),
            mistakes: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// Reads the whole file; what is returned counts only without mistakes.
    pub fn file(&mut self) -> Option<Config> {
        let mut table = self.form(DeTable::parse(self.text), 0..0)?.into_inner();
        let limits = table.remove("limits");
        let probe = table.remove("probe");
        let security = table.remove("security");
        let rules = table.remove("register");
        let endpoints = table.remove("endpoint");
        let file: File = self.keys(Spanned::new(0..0, DeValue::Table(table)));
        let limits = self.limits(limits);
        self.most_entries = limits.entries;
        let probe = self.probe(probe);
        let security = self.security(security);
        let rules = self.rules(rules, &security);
        let endpoints = self.endpoints(endpoints);
        let reserved = file.reserved.unwrap_or_else(default_reserved);
        Some(Config {
            listen: self.listen(file.listen.as_ref()),
            conversation: self.conversation(file.conversation.as_ref()),
            transfer_syntax: self.transfer_syntax(file.preferred_transfer_syntax.as_ref()),
            user: file.user.map(Spanned::into_inner),
            socket: self.socket(file.socket_mode.0, file.socket_group.as_ref()),
            state: self.state(file.state.as_ref()),
            log_level: file.log_level,
            log_format: file.log_format,
            policy: Policy {
                reserved: self.reserved(&reserved, &file.unreserved),
                rules: rules.iter().map(|one| one.rule.clone()).collect(),
            },
            limits,
            probe,
            security,
            endpoints,
            written: Written {
                socket_group: file.socket_group,
                reserved,
                unreserved: file.unreserved,
                register: rules.into_iter().map(|one| one.table).collect(),
            },
        })
    }

    /// The limits, none of which makes another one useless.
    fn limits(&mut self, written: Option<Spanned<DeValue>>) -> Limits {
        let place = |keys: &[&str]| place(written.as_ref(), keys);
        let [leases, owner] = [
            place(&["longest_lease", "shortest_lease"]),
            place(&["entries_per_owner"]),
        ];
        let table = written.map_or_else(LimitsTable::default, |value| self.keys(value));
        let limits = Limits::from(table);
        if limits.shortest_lease > limits.longest_lease {
            let [shortest, longest] =
                [limits.shortest_lease, limits.longest_lease].map(Period::text);
            let problem = Problem::Leases { shortest, longest };
            self.mistakes.extend(leases.map(|span| (span, problem)));
        }
        if limits.entries_per_owner > limits.entries {
            let problem = Problem::EntriesPerOwner(limits.entries);
            self.doubts.extend(owner.map(|span| (span, problem)));
        }
        limits
    }

    /// How servers are probed, one probe after the other.
    fn probe(&mut self, written: Option<Spanned<DeValue>>) -> ProbeSettings {
        let place = place(written.as_ref(), &["timeout", "interval"]);
        let table = written.map_or_else(ProbeTable::default, |value| self.keys(value));
        let probe = ProbeSettings::from(table);
        if probe.timeout > probe.interval {
            let [timeout, interval] = [probe.timeout, probe.interval].map(Period::text);
            let problem = Problem::ProbeTimeout { timeout, interval };
            self.mistakes.extend(place.map(|span| (span, problem)));
        }
        probe
    }

    /// The file of a local socket.
    fn socket(&mut self, mode: u32, group: Option<&Spanned<Who>>) -> Access {
        let group = group.and_then(|group| self.id(group, group_id));
        Access { mode, group }
    }

    /// Where registrations are kept, if they are.
    fn state(&mut self, written: Option<&Text>) -> Option<PathBuf> {
        let read = |text: &str| match text {
            NO_STATE => Ok(None),
            path if is_full_path(path) => Ok(Some(path.into())),
            _ => Err(Problem::State(text.to_owned())),
        };
        match written {
            Some(text) => self.value(text, read).flatten(),
            None => Some(DEFAULT_STATE.into()),
        }
    }

    /// The listeners; with an empty list the daemon would do nothing.
    fn listen(&mut self, written: Option<&Spanned<Vec<Text>>>) -> Vec<Binding> {
        let Some(written) = written else {
            return Vec::new();
        };
        if written.get_ref().is_empty() {
            self.mistake(written.span(), Problem::NoListener);
        }
        let read = |text: &str| listener(text).map_err(Problem::Listener);
        let listeners = self.all(written.get_ref(), read);
        listeners.into_iter().map(|(_, binding)| binding).collect()
    }

    /// The conversation by its name.
    fn conversation(&mut self, written: Option<&Text>) -> Conversation {
        let read = |text: &str| {
            by_name(&CONVERSATIONS, text).ok_or_else(|| Problem::Conversation(text.to_owned()))
        };
        written
            .and_then(|text| self.value(text, read))
            .unwrap_or_default()
    }

    /// The transfer syntax of calls by its name, if one is named.
    fn transfer_syntax(&mut self, written: Option<&Text>) -> Option<TransferSyntax> {
        let read = |text: &str| {
            by_name(&TRANSFER_SYNTAXES, text)
                .ok_or_else(|| Problem::CallTransferSyntax(text.to_owned()))
        };
        written.and_then(|text| self.value(text, read))
    }

    /// The rules that are right; they may name groups of accounts.
    fn rules(
        &mut self,
        written: Option<Spanned<DeValue>>,
        security: &SecuritySettings,
    ) -> Vec<Register> {
        let read = |reader: &mut Self, table, span| reader.register(table, span, security);
        self.tables(written, Problem::NotRules, read)
    }

    /// The endpoints that are right.
    fn endpoints(&mut self, written: Option<Spanned<DeValue>>) -> Vec<Endpoint> {
        self.tables(written, Problem::NotEndpoints, Self::endpoint)
    }

    /// What the tables of an array, each with the place of its header, are
    /// read as; `other` tells of a value that is no array.
    fn tables<T: DeserializeOwned, R>(
        &mut self,
        written: Option<Spanned<DeValue>>,
        other: Problem,
        read: impl Fn(&mut Self, T, Span) -> Option<R>,
    ) -> Vec<R> {
        let Some(written) = written else {
            return Vec::new();
        };
        let span = written.span();
        let DeValue::Array(items) = written.into_inner() else {
            self.mistake(span, other);
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in items {
            let span = item.span();
            if let Some(table) = self.table(item) {
                all.extend(read(self, table, span));
            }
        }
        all
    }

    /// Whether an entry is new; one that is not gives a doubt, and the first
    /// that does not fit beside the mapper's own is a mistake.
    pub fn is_new(&mut self, span: &Span, entry: &Entry) -> bool {
        let key = (entry.object(), entry.tower().to_vec());
        let Some(first) = self.seen.get(&key) else {
            self.seen.insert(key, span.start);
            if self.seen.len() == self.most_entries {
                self.mistake(span.clone(), Problem::Entries(self.most_entries));
            }
            return true;
        };
        let problem = Problem::Duplicate(line(self.text, *first));
        self.doubts.push((span.clone(), problem));
        false
    }

    /// Notes that something is wrong.
    pub fn mistake(&mut self, span: Span, problem: Problem) {
        self.mistakes.push((span, problem));
    }

    /// A result's value, or a note of what is wrong at `span`.
    pub fn noted<T>(&mut self, span: Span, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.mistake(span, problem)).ok()
    }

    /// The value of one text.
    pub fn value<T>(
        &mut self,
        text: &Text,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        self.noted(text.span(), read(text.get_ref()))
    }

    /// The values of a list's texts that are right, with their places.
    pub fn all<T>(
        &mut self,
        texts: &[Text],
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Vec<(Span, T)> {
        let one = |text: &Text| Some((text.span(), self.value(text, &read)?));
        texts.iter().filter_map(one).collect()
    }

    /// A table in which every key may be left out; each is read by itself, so
    /// that a mistake in one hides no other.
    pub fn keys<T: DeserializeOwned + Default>(&mut self, written: Spanned<DeValue>) -> T {
        let span = written.span();
        let whole = match written.into_inner() {
            DeValue::Table(table) => {
                let right = |pair: &(Spanned<DeString>, Spanned<DeValue>)| {
                    let alone = DeValue::Table(DeTable::from_iter([pair.clone()]));
                    self.table::<T>(Spanned::new(span.clone(), alone)).is_some()
                };
                DeValue::Table(table.into_iter().filter(right).collect())
            }
            other => other,
        };
        self.table(Spanned::new(span, whole)).unwrap_or_default()
    }

    /// A table of the form `T`; serde would take a list of its values as well.
    fn table<T: DeserializeOwned>(&mut self, written: Spanned<DeValue>) -> Option<T> {
        let span = written.span();
        if let DeValue::Array(_) = written.get_ref() {
            self.mistake(span, Problem::ListForTable);
            return None;
        }
        self.form(T::deserialize(ValueDeserializer::from(written)), span)
    }

    /// A value whose form toml or serde checked; `place` is where it stands
    /// when they do not say.
    fn form<T>(&mut self, result: Result<T, toml::de::Error>, place: Span) -> Option<T> {
        let note = |error: toml::de::Error| {
            let problem = Problem::Form(in_words_of_toml(error.message()));
            self.mistake(error.span().unwrap_or(place), problem);
        };
        result.map_err(note).ok()
    }
}

/// Whether a text is a path from the root, of a file as far as that can be seen.
pub fn is_full_path(text: &str) -> bool {
    text.starts_with('/') && !text.ends_with('/') && !text.contains('\0')
}

/// Where the first of some keys of a table that is written has its value.
pub fn place(table: Option<&Spanned<DeValue>>, keys: &[&str]) -> Option<Span> {
    let DeValue::Table(table) = table?.get_ref() else {
        return None;
    };
    keys.iter().find_map(|key| Some(table.get(*key)?.span()))
}

/// How messages of serde and toml begin, and the same in the words of TOML.
const BEGINNINGS: [(&str, &str); 6] = [
    ("unknown field ", "unknown key "),
    ("missing field ", "missing key "),
    ("unknown variant ", "unknown value "),
    ("invalid type: sequence,", "invalid type: list,"),
    ("invalid type: map,", "invalid type: table,"),
    ("wanted string or table", "invalid type, expected a string"),
];

/// How they end, and the same in the words of TOML.
const ENDS: [(&str, &str); 3] = [
    ("a sequence", "a list"),
    ("a map", "a table"),
    ("a nonzero usize", "a whole number of at least 1"),
];

/// A message of serde or toml, which may speak of types of Rust, in the words
/// of TOML. Values that it quotes stand between beginning and end.
fn in_words_of_toml(message: &str) -> String {
    let begin = |(from, to): &(&str, &str)| Some(format!("{to}{}", message.strip_prefix(from)?));
    let begun = BEGINNINGS.iter().find_map(begin);
    let message = begun.unwrap_or_else(|| message.to_owned());
    let end = |(from, to): &(&str, &str)| {
        let before = message.strip_suffix(from)?.strip_suffix("expected ")?;
        Some(format!("{before}expected {to}"))
    };
    ENDS.iter().find_map(end).unwrap_or(message)
}
