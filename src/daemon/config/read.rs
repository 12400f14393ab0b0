//! From what is written to what is meant, gathering all that is wrong.

use super::endpoint::Endpoint;
use super::file::{File, LimitsTable, Text};
use super::listener::listener;
use super::mistake::{Problem, line};
use super::{CONVERSATIONS, Config, by_name};
use crate::registry::Entry;
use crate::service::Conversation;
use crate::wire::binding::Binding;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};
use uuid::Uuid;

/// Where a value stands in the text, in octets.
pub type Span = Range<usize>;

/// Reads one text; gathers mistakes, which make it worthless, and doubts.
pub struct Reader<'t> {
    text: &'t str,
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
            seen: HashMap::new(),
            mistakes: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// Reads the whole file; what is returned counts only without mistakes.
    pub fn file(&mut self) -> Option<Config> {
        let mut table = self.form(DeTable::parse(self.text), 0..0)?;
        // Apart from the rest, so that a mistake in one table hides no other.
        let limits = table.get_mut().remove("limits");
        let endpoints = table.get_mut().remove("endpoint");
        let file = self.form(File::deserialize(Deserializer::from(table)), 0..0);
        let limits = limits.and_then(|value| self.table::<LimitsTable>(value));
        let endpoints = endpoints.map_or_else(Vec::new, |value| self.endpoints(value));
        let file = file?;
        Some(Config {
            listen: self.listen(file.listen.as_ref()),
            conversation: self.conversation(file.conversation.as_ref()),
            user: file.user.map(Spanned::into_inner),
            log_level: file.log_level,
            log_format: file.log_format,
            limits: limits.unwrap_or_default().into(),
            endpoints,
        })
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

    /// The endpoints that are right.
    fn endpoints(&mut self, written: Spanned<DeValue>) -> Vec<Endpoint> {
        let span = written.span();
        let DeValue::Array(items) = written.into_inner() else {
            self.mistake(span, Problem::NotEndpoints);
            return Vec::new();
        };
        let mut endpoints = Vec::new();
        for item in items {
            let span = item.span();
            if let Some(table) = self.table(item) {
                endpoints.extend(self.endpoint(table, span));
            }
        }
        endpoints
    }

    /// Whether an entry is new; one that is not gives a doubt.
    pub fn is_new(&mut self, span: &Span, entry: &Entry) -> bool {
        let key = (entry.object(), entry.tower().to_vec());
        let Some(first) = self.seen.get(&key) else {
            self.seen.insert(key, span.start);
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

    /// A table of the form `T`.
    fn table<T: DeserializeOwned>(&mut self, written: Spanned<DeValue>) -> Option<T> {
        let span = written.span();
        self.form(T::deserialize(ValueDeserializer::from(written)), span)
    }

    /// A value whose form toml or serde checked; `place` is where it stands
    /// when they do not say.
    fn form<T>(&mut self, result: Result<T, toml::de::Error>, place: Span) -> Option<T> {
        let note = |error: toml::de::Error| {
            let problem = Problem::Form(error.message().to_owned());
            self.mistake(error.span().unwrap_or(place), problem);
        };
        result.map_err(note).ok()
    }
}
