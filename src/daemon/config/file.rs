//! The configuration as it is written: tables, keys and their plain values.
//!
//! Reads and writes the same form. A value that only needs to be of a form
//! (a count, a duration, one of some words) is checked by serde; what has a
//! meaning beyond that stays text with its place, for `super::read`.

use super::settings::ProbeSettings;
use super::value::{Count, Mode, Period, Who};
use crate::daemon::log::{LogFormat, LogLevel};
use crate::server::Limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::Spanned;

/// A text and where it stands.
pub type Text = Spanned<String>;

/// The whole file; what it leaves out is as by default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// String bindings to listen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Spanned<Vec<Text>>>,
    /// Which mapper to behave like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Text>,
    /// Which transfer syntax to take when a client offers several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_transfer_syntax: Option<Text>,
    /// Who to become once it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Text>,
    /// Who may connect to local sockets.
    pub socket_mode: Mode,
    /// The group of local sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_group: Option<Spanned<Who>>,
    /// Where registrations are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Text>,
    /// Least important events to log.
    pub log_level: LogLevel,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Interfaces that need a rule by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Vec<Text>>,
    /// Interfaces that do not, though a group has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreserved: Vec<Text>,
    /// How much is too much.
    pub limits: LimitsTable,
    /// How servers are asked whether they are there.
    pub probe: ProbeTable,
    /// Who can prove to be somebody, and who has to.
    pub security: SecurityTable,
    /// Who may register what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub register: Vec<RegisterTable>,
    /// What is registered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint: Vec<EndpointTable>,
}

/// `[limits]`; what each is for is told in `server::Limits`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct LimitsTable {
    /// Connections in all.
    pub connections: Count,
    /// Connections of one client.
    pub connections_per_client: Count,
    /// From connecting to a bind.
    pub bind_timeout: Period,
    /// From one PDU to the next.
    pub idle_timeout: Period,
    /// From the first fragment of a call to its last.
    pub call_timeout: Period,
    /// Without an octet of an answer being read.
    pub write_timeout: Period,
    /// Calls of one connection that wait.
    pub calls_in_flight: Count,
    /// Stub octets of one connection's calls.
    pub call_octets: Count,
    /// Stub octets of all connections' calls.
    pub held_octets: Count,
    /// Octets of one connection's answers that wait.
    pub queued_octets: Count,
    /// Presentation contexts of one connection.
    pub contexts: Count,
    /// Unfinished lookups of one association group.
    pub security_contexts: Count,
    pub wrong_logons: Count,
    pub wrong_logon_rest: Period,
    pub lookup_handles: Count,
    /// From one page of a lookup to the next.
    pub lookup_life: Period,
    /// Entries of the registry.
    pub entries: Count,
    /// Entries of one owner.
    pub entries_per_owner: Count,
    /// Registered entries of one interface.
    pub entries_per_interface: Count,
    /// Octets of a registered entry.
    pub entry_octets: Count,
    /// Entries that one owner changes.
    pub changes_per_second: Count,
    /// Refused changes of one caller that are logged one by one.
    pub refusals_per_second: Count,
    /// At least.
    pub shortest_lease: Period,
    /// At most.
    pub longest_lease: Period,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Limits::default().into()
    }
}

impl From<Limits> for LimitsTable {
    fn from(limits: Limits) -> Self {
        // None of the server's is 0: the defaults are not, the others come from here.
        let count = |count| Count::new(count).unwrap_or(Count::MIN);
        LimitsTable {
            connections: count(limits.connections),
            connections_per_client: count(limits.connections_per_client),
            bind_timeout: Period(limits.bind_timeout),
            idle_timeout: Period(limits.idle_timeout),
            call_timeout: Period(limits.call_timeout),
            write_timeout: Period(limits.write_timeout),
            calls_in_flight: count(limits.calls_in_flight),
            call_octets: count(limits.call_octets),
            held_octets: count(limits.held_octets),
            queued_octets: count(limits.queued_octets),
            contexts: count(limits.contexts),
            security_contexts: count(limits.security_contexts),
            wrong_logons: count(limits.wrong_logons),
            wrong_logon_rest: Period(limits.wrong_logon_rest),
            lookup_handles: count(limits.lookup_handles),
            lookup_life: Period(limits.lookup_life),
            entries: count(limits.entries),
            entries_per_owner: count(limits.entries_per_owner),
            entries_per_interface: count(limits.entries_per_interface),
            entry_octets: count(limits.entry_octets),
            changes_per_second: count(limits.changes_per_second),
            refusals_per_second: count(limits.refusals_per_second),
            shortest_lease: Period(limits.shortest_lease),
            longest_lease: Period(limits.longest_lease),
        }
    }
}

impl From<LimitsTable> for Limits {
    fn from(table: LimitsTable) -> Self {
        Limits {
            connections: table.connections.get(),
            connections_per_client: table.connections_per_client.get(),
            bind_timeout: table.bind_timeout.0,
            idle_timeout: table.idle_timeout.0,
            call_timeout: table.call_timeout.0,
            write_timeout: table.write_timeout.0,
            calls_in_flight: table.calls_in_flight.get(),
            call_octets: table.call_octets.get(),
            held_octets: table.held_octets.get(),
            queued_octets: table.queued_octets.get(),
            contexts: table.contexts.get(),
            security_contexts: table.security_contexts.get(),
            wrong_logons: table.wrong_logons.get(),
            wrong_logon_rest: table.wrong_logon_rest.0,
            lookup_handles: table.lookup_handles.get(),
            lookup_life: table.lookup_life.0,
            entries: table.entries.get(),
            entries_per_owner: table.entries_per_owner.get(),
            entries_per_interface: table.entries_per_interface.get(),
            entry_octets: table.entry_octets.get(),
            changes_per_second: table.changes_per_second.get(),
            refusals_per_second: table.refusals_per_second.get(),
            shortest_lease: table.shortest_lease.0,
            longest_lease: table.longest_lease.0,
            // The mapper has none but its lookups.
            ..Limits::default()
        }
    }
}

/// `[probe]`; what each is for is told in `ProbeSettings`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct ProbeTable {
    /// From one probe to the next.
    pub interval: Period,
    /// Of one probe.
    pub timeout: Period,
    /// In a row, until a server is gone.
    pub failures: Count,
    /// Probes under way.
    pub at_once: Count,
    /// Whether other hosts are asked.
    pub foreign: bool,
}

impl Default for ProbeTable {
    fn default() -> Self {
        ProbeSettings::default().into()
    }
}

impl From<ProbeSettings> for ProbeTable {
    fn from(settings: ProbeSettings) -> Self {
        let count = |count| Count::new(count).unwrap_or(Count::MIN);
        ProbeTable {
            interval: Period(settings.interval),
            timeout: Period(settings.timeout),
            failures: count(settings.failures),
            at_once: count(settings.at_once),
            foreign: settings.foreign,
        }
    }
}

impl From<ProbeTable> for ProbeSettings {
    fn from(table: ProbeTable) -> Self {
        ProbeSettings {
            interval: table.interval.0,
            timeout: table.timeout.0,
            failures: table.failures.get(),
            at_once: table.at_once.get(),
            foreign: table.foreign,
        }
    }
}

/// `[security]`; what each is for is told in `SecuritySettings`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct SecurityTable {
    /// The accounts file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Text>,
    /// The NetBIOS name of the domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Text>,
    /// Its DNS name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<Text>,
    /// The NetBIOS name of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
    /// Its DNS name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_host: Option<Text>,
    /// The keys of a Kerberos realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keytab: Option<Text>,
    /// Whether one may log on as nobody.
    pub anonymous: bool,
    /// Whether NTLM may be of version 1.
    pub ntlm_v1: bool,
    /// Whether it may be LM.
    pub lm: bool,
    /// Who has to prove something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<Text>,
    /// At which level at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Text>,
    /// Accounts and principals by a name for all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Spanned<Vec<Text>>>,
}

/// One `[[register]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub struct RegisterTable {
    /// Names and UUIDs of interfaces, names of groups of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Spanned<Vec<Text>>>,
    /// Local users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Spanned<Vec<Spanned<Who>>>>,
    /// Local groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Spanned<Vec<Spanned<Who>>>>,
    /// Addresses of callers over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Spanned<Vec<Text>>>,
    /// Whether callers have to prove to be an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<Spanned<bool>>,
    /// Accounts and principals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Spanned<Vec<Text>>>,
    /// Names for several of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_groups: Option<Spanned<Vec<Text>>>,
    /// How entries end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life: Option<Text>,
    /// Whether other hosts' addresses are taken.
    #[serde(default)]
    pub foreign_addresses: bool,
    /// Whether the first registrant of an interface keeps it.
    #[serde(default)]
    pub exclusive: bool,
}

impl RegisterTable {
    /// Whether it says of no caller that it is meant.
    pub fn names_nobody(&self) -> bool {
        let on_this_host = self.users.is_some() || self.groups.is_some();
        !on_this_host && self.networks.is_none() && !self.names_accounts() && !self.authenticates()
    }

    /// Whether it is for some accounts only.
    pub fn names_accounts(&self) -> bool {
        self.accounts.is_some() || self.account_groups.is_some()
    }

    /// Whether it says itself that callers have to prove to be an account.
    fn authenticates(&self) -> bool {
        let said = self.authenticated.as_ref();
        said.is_some_and(|authenticated| *authenticated.get_ref())
    }
}

/// One `[[endpoint]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub struct EndpointTable {
    /// The interface's UUID.
    pub interface: Text,
    /// The interface's version, MAJOR.MINOR.
    pub version: Text,
    /// What people read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<Text>,
    /// The object's UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Text>,
    /// Names of transfer syntaxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_syntax: Option<Spanned<Vec<Text>>>,
    /// String bindings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Text>,
    /// Towers in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub towers: Vec<Text>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_server_come_back_as_they_are() {
        let limits = Limits::default();
        assert_eq!(Limits::from(LimitsTable::from(limits.clone())), limits);
    }
}
