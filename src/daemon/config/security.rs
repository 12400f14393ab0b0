//! Who can prove to be somebody, and who has to: `[security]`, and the accounts
//! of rules.
//!
//! Accounts are looked at by their names only: the accounts file and the keytab
//! are read by others, later.

use super::file::{RegisterTable, SecurityTable, Text};
use super::mistake::Problem;
use super::read::{Reader, is_full_path, place};
use super::settings::{Require, SecuritySettings};
use super::{by_name, name_of, unplaced, written};
use crate::wire::pdu::AuthLevel;
use nix::unistd;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeValue;

/// What can be required, by name.
const REQUIREMENTS: [(&str, Require); 3] = [
    ("nothing", Require::Nothing),
    ("lookups", Require::Lookups),
    ("everything", Require::Everything),
];

/// The levels of contexts by name. Packet is treated as integrity.
const LEVELS: [(&str, AuthLevel); 3] = [
    ("connect", AuthLevel::CONNECT),
    ("integrity", AuthLevel::INTEGRITY),
    ("privacy", AuthLevel::PRIVACY),
];

/// The least level when nobody says: what Windows' clients ask the mapper
/// with once they authenticate.
///
/// # Source
/// Windows' own clients on the wire: NTLM with integrity for ept_map.
const DEFAULT_LEVEL: AuthLevel = AuthLevel::INTEGRITY;

/// Characters of a NetBIOS name, at most.
const NETBIOS_LENGTH: usize = 15;

/// Characters of a DNS name, at most.
const DNS_LENGTH: usize = 255;

/// The host's name where the system has none that can be said.
const NO_HOST: &str = "localhost";

/// Octets of an account's name, at most, in either case; what it registers is
/// kept with its name.
const NAME_LENGTH: usize = 255;

/// Why no account has such a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// No character, or too many.
    #[error("a name has from 1 to {NAME_LENGTH} octets")]
    Length,
    /// Spaces at an end, or characters that are none.
    #[error("a name has neither control characters nor spaces at its ends")]
    Unprintable,
    /// A domain in front.
    #[error("a name has neither \\ nor /; write it without its domain")]
    Domain,
    /// A realm behind, in the accounts file.
    #[error("a name with @ is a Kerberos principal's; write it without its realm")]
    Realm,
    /// What the log calls who has none.
    #[error("`anonymous` is what the log calls a logon without a name; write another one")]
    Anonymous,
}

/// Checks the name of an account, or of a principal with its realm.
///
/// # Errors
/// All but `Realm` and `Anonymous`.
pub fn principal_name(name: &str) -> Result<(), NameFault> {
    if name.is_empty() || name.len().max(folded(name).len()) > NAME_LENGTH {
        return Err(NameFault::Length);
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(NameFault::Unprintable);
    }
    match name.split_once('@') {
        Some(("", _) | (_, "")) => Err(NameFault::Length),
        // Kerberos' own names of services have a slash.
        None if name.contains('/') => Err(NameFault::Domain),
        _ if name.contains('\\') => Err(NameFault::Domain),
        _ => Ok(()),
    }
}

/// Checks the name of an account: of what is no account, none is the name of a
/// Kerberos principal, so that nobody is taken for one.
///
/// # Errors
/// `NameFault`.
pub fn account_name(name: &str) -> Result<(), NameFault> {
    match principal_name(name) {
        Ok(()) if name.contains('@') => Err(NameFault::Realm),
        Ok(()) if folded(name) == "anonymous" => Err(NameFault::Anonymous),
        checked => checked,
    }
}

/// A name as it is compared with others: without case.
///
/// Letter by letter, whatever stands beside it: what rules and owners take for
/// one name is one here.
pub fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

impl Reader<'_> {
    /// Who can prove to be somebody, and who has to.
    pub fn security(&mut self, value: Option<Spanned<DeValue>>) -> SecuritySettings {
        let place = |key: &str| place(value.as_ref(), &[key]);
        let [require, level, v1, lm, keytab] =
            ["require", "level", "ntlm_v1", "lm", "keytab"].map(place);
        let table: SecurityTable = value.map_or_else(Default::default, |value| self.keys(value));
        let settings = self.security_settings(&table);
        let mut mistake = |span, problem| self.mistakes.extend(Option::zip(span, Some(problem)));
        if settings.require != Require::Nothing && !settings.proves() {
            mistake(require.clone(), Problem::RequireUnproved);
        }
        if settings.lm && !settings.ntlm_v1 {
            mistake(lm.clone(), Problem::LmAlone);
        }
        #[cfg(not(feature = "kerberos"))]
        if settings.keytab.is_some() {
            mistake(keytab, Problem::NoKerberos);
        }
        #[cfg(feature = "kerberos")]
        let _ = keytab;
        let mut doubt = |span, problem| self.doubts.extend(Option::zip(span, Some(problem)));
        if settings.require == Require::Nothing && settings.level != DEFAULT_LEVEL {
            doubt(level, Problem::LevelOfNothing);
        }
        if settings.ntlm_v1 && settings.accounts.is_none() {
            doubt(v1, Problem::NtlmUnused);
        }
        settings
    }

    /// The values of the table, each by itself.
    fn security_settings(&mut self, table: &SecurityTable) -> SecuritySettings {
        let mut name = |text: &Option<Text>, read: fn(&str) -> Result<String, Problem>| {
            let text = text.as_ref()?;
            self.value(text, read)
        };
        let system = system_name();
        let host = name(&table.host, netbios_name);
        let host = host.unwrap_or_else(|| netbios_of(&system));
        let domain = name(&table.domain, netbios_name).unwrap_or_else(|| host.clone());
        let dns_host = name(&table.dns_host, dns_name).unwrap_or(system);
        let dns_domain = name(&table.dns_domain, dns_name);
        SecuritySettings {
            accounts: self.file_of(table.accounts.as_ref()),
            domain,
            dns_domain: dns_domain.unwrap_or_else(|| domain_of(&dns_host)),
            host,
            dns_host,
            keytab: self.file_of(table.keytab.as_ref()),
            anonymous: table.anonymous,
            ntlm_v1: table.ntlm_v1,
            lm: table.lm,
            require: self.named(table.require.as_ref(), &REQUIREMENTS, Problem::Require),
            level: self
                .one_of(table.level.as_ref(), &LEVELS, Problem::Level)
                .unwrap_or(DEFAULT_LEVEL),
            groups: self.account_groups(&table.groups),
        }
    }

    /// What a word stands for, or the default.
    fn named<T: Copy + Default>(
        &mut self,
        text: Option<&Text>,
        names: &[(&'static str, T)],
        other: fn(String) -> Problem,
    ) -> T {
        self.one_of(text, names, other).unwrap_or_default()
    }

    /// What a word stands for, if there is one.
    fn one_of<T: Copy>(
        &mut self,
        text: Option<&Text>,
        names: &[(&'static str, T)],
        other: fn(String) -> Problem,
    ) -> Option<T> {
        let read = |text: &str| by_name(names, text).ok_or_else(|| other(text.to_owned()));
        self.value(text?, read)
    }

    /// The full path of a file.
    fn file_of(&mut self, text: Option<&Text>) -> Option<PathBuf> {
        let read = |text: &str| match is_full_path(text) {
            true => Ok(PathBuf::from(text)),
            false => Err(Problem::FullPath(text.to_owned())),
        };
        self.value(text?, read)
    }

    /// The groups of accounts, by their names.
    fn account_groups(
        &mut self,
        groups: &BTreeMap<String, Spanned<Vec<Text>>>,
    ) -> BTreeMap<String, Vec<Arc<str>>> {
        let mut read = BTreeMap::new();
        for (name, members) in groups {
            if members.get_ref().is_empty() {
                self.mistake(members.span(), Problem::EmptyAccountGroup);
            }
            let members = self.all(members.get_ref(), principal);
            read.insert(
                name.clone(),
                members.into_iter().map(|(_, name)| name).collect(),
            );
        }
        read
    }

    /// Whether a rule's callers have to prove to be an account, and those that
    /// they may be; empty for any.
    pub fn rule_accounts(
        &mut self,
        table: &RegisterTable,
        security: &SecuritySettings,
    ) -> (bool, Vec<Arc<str>>) {
        let listed = self.listed(&table.accounts, Problem::EmptyList);
        let mut accounts = Vec::new();
        for (span, name) in self.all(listed, principal) {
            if let Some(key) = missing_proof(&name, security) {
                let name = name.to_string();
                self.doubts.push((span, Problem::Unprovable { name, key }));
            }
            accounts.push(name);
        }
        let listed = self.listed(&table.account_groups, Problem::EmptyList);
        for text in listed {
            let find = |name: &str| {
                let group = security.groups.get(name).cloned();
                group.ok_or_else(|| Problem::UnknownAccountGroup(name.to_owned()))
            };
            let group = self.value(text, find).unwrap_or_default();
            for name in &group {
                if let Some(key) = missing_proof(name, security) {
                    let name = name.to_string();
                    self.doubts
                        .push((text.span(), Problem::Unprovable { name, key }));
                }
            }
            accounts.extend(group);
        }
        let mut seen = BTreeSet::new();
        accounts.retain(|name| seen.insert(folded(name)));
        (self.is_authenticated(table, security), accounts)
    }

    /// Whether a rule's callers have to prove to be an account.
    fn is_authenticated(&mut self, table: &RegisterTable, security: &SecuritySettings) -> bool {
        let Some(said) = &table.authenticated else {
            return table.names_accounts();
        };
        match said.get_ref() {
            false if table.names_accounts() => {
                self.mistake(said.span(), Problem::UnprovedAccounts);
            }
            true if !security.proves() => {
                self.doubts.push((said.span(), Problem::NothingProved));
            }
            _ => {}
        }
        *said.get_ref()
    }
}

impl From<&SecuritySettings> for SecurityTable {
    fn from(settings: &SecuritySettings) -> Self {
        let file = |path: &Option<PathBuf>| {
            let path = path.as_deref().map(Path::to_string_lossy);
            path.map(written)
        };
        let members = |names: &Vec<Arc<str>>| unplaced(names.iter().map(written).collect());
        let groups = settings.groups.iter();
        SecurityTable {
            accounts: file(&settings.accounts),
            domain: Some(written(&settings.domain)),
            dns_domain: Some(written(&settings.dns_domain)),
            host: Some(written(&settings.host)),
            dns_host: Some(written(&settings.dns_host)),
            keytab: file(&settings.keytab),
            anonymous: settings.anonymous,
            ntlm_v1: settings.ntlm_v1,
            lm: settings.lm,
            require: name_of(&REQUIREMENTS, &settings.require).map(written),
            level: name_of(&LEVELS, &settings.level).map(written),
            groups: groups
                .map(|(name, names)| (name.clone(), members(names)))
                .collect(),
        }
    }
}

/// The name of an account or principal.
fn principal(text: &str) -> Result<Arc<str>, Problem> {
    let named = principal_name(text).map(|()| text.into());
    named.map_err(|fault| Problem::Account {
        name: text.to_owned(),
        fault,
    })
}

/// The key without which nobody can prove to have a name.
fn missing_proof(name: &str, security: &SecuritySettings) -> Option<&'static str> {
    match name.contains('@') {
        true => security.keytab.is_none().then_some("keytab"),
        false => security.accounts.is_none().then_some("accounts"),
    }
}

/// A NetBIOS name, which is in capitals.
fn netbios_name(text: &str) -> Result<String, Problem> {
    let is_name = |c: char| !c.is_control() && !c.is_whitespace() && !"\\/:*?\"<>|".contains(c);
    let length = text.chars().count();
    if (1..=NETBIOS_LENGTH).contains(&length) && text.chars().all(is_name) {
        return Ok(text.to_ascii_uppercase());
    }
    Err(Problem::NetbiosName(text.to_owned()))
}

/// A name of DNS.
fn dns_name(text: &str) -> Result<String, Problem> {
    match is_dns_name(text) {
        true => Ok(text.to_owned()),
        false => Err(Problem::DnsName(text.to_owned())),
    }
}

/// Whether a text can be a name of DNS.
fn is_dns_name(text: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=DNS_LENGTH).contains(&text.len()) && text.chars().all(is_name)
}

/// The name that the system has for this host, with its domain if it knows one.
fn system_name() -> String {
    let name = unistd::gethostname().ok();
    let name = name.and_then(|name| name.into_string().ok());
    let name = name.map(|name| name.to_lowercase());
    name.filter(|name| is_dns_name(name) && !name.starts_with('.'))
        .unwrap_or_else(|| NO_HOST.to_owned())
}

/// The NetBIOS name of a host: the first label's beginning in capitals.
fn netbios_of(name: &str) -> String {
    let label = name.split('.').next().unwrap_or(name);
    label
        .to_ascii_uppercase()
        .chars()
        .take(NETBIOS_LENGTH)
        .collect()
}

/// The domain of a host. One that is in none says its own name, as a Windows
/// server outside of domains does.
fn domain_of(name: &str) -> String {
    let behind = name.split_once('.').map(|(_, domain)| domain);
    behind
        .filter(|domain| !domain.is_empty())
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::daemon::config::Config;

    /// Every setting, none as by default, and rules for accounts.
    pub const SECURITY: &str = "[security]\naccounts = \"/etc/accounts\"\ndomain = \"lab\"\n\
        dns_domain = \"lab.example\"\nhost = \"mapper\"\ndns_host = \"m.lab.example\"\n\
        anonymous = true\nntlm_v1 = true\nlm = true\nrequire = \"lookups\"\nlevel = \"connect\"\n\
        [security.groups]\noperators = [\"bob\", \"Alice\"]\n\"some others\" = [\"carol\"]\n\
        [[register]]\naccounts = [\"alice\"]\naccount_groups = [\"operators\", \"some others\"]\n\
        [[register]]\nauthenticated = true\nusers = [0]\nlife = \"process\"\n";

    /// What a text says, and the doubts about it.
    fn read(text: &str) -> (Config, Vec<String>) {
        let loaded = Config::parse(Path::new("f"), text).unwrap();
        let doubts = loaded.doubts.iter().map(ToString::to_string).collect();
        (loaded.config, doubts)
    }

    /// What is told of a file that is not taken.
    fn mistakes(text: &str) -> String {
        let error = Config::parse(Path::new("f"), text).unwrap_err();
        error.to_string()
    }

    #[test]
    fn settings_of_security_come_as_plain_values() {
        let (config, doubts) = read(SECURITY);
        assert_eq!(doubts, [""; 0]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let expected = SecuritySettings {
            accounts: Some("/etc/accounts".into()),
            domain: "LAB".to_owned(),
            dns_domain: "lab.example".to_owned(),
            host: "MAPPER".to_owned(),
            dns_host: "m.lab.example".to_owned(),
            keytab: None,
            anonymous: true,
            ntlm_v1: true,
            lm: true,
            require: Require::Lookups,
            level: AuthLevel::CONNECT,
            groups: BTreeMap::from([
                ("operators".to_owned(), names(&["bob", "Alice"])),
                ("some others".to_owned(), names(&["carol"])),
            ]),
        };
        assert_eq!(config.security, expected);
        assert!(config.security.proves() && config.security.offers());
    }

    #[test]
    fn groups_of_accounts_are_expanded_and_each_account_is_there_once() {
        let rules = read(SECURITY).0.policy.rules;
        let accounts = |rule: usize| rules[rule].accounts.iter().map(|name| &**name);
        assert_eq!(accounts(0).collect::<Vec<_>>(), ["alice", "bob", "carol"]);
        assert_eq!(accounts(1).count(), 0);
        assert!(rules[0].authenticated && rules[1].authenticated);
    }

    #[test]
    fn without_settings_nothing_is_offered_required_or_proved() {
        let settings = read("").0.security;
        assert!(!settings.offers() && !settings.proves());
        assert!(!settings.anonymous && !settings.ntlm_v1 && !settings.lm);
        assert_eq!(settings.require, Require::Nothing);
        assert_eq!(settings.level, AuthLevel::INTEGRITY);
        assert!(!read("[[register]]\nusers = [0]").0.policy.rules[0].authenticated);
        let anonymous = read("[security]\nanonymous = true").0.security;
        assert!(anonymous.offers() && !anonymous.proves());
    }

    #[test]
    fn names_are_the_hosts_own_when_nobody_says() {
        let settings = read("").0.security;
        assert_eq!(settings.dns_host, system_name());
        assert_eq!(settings.host, netbios_of(&system_name()));
        assert_eq!(settings.domain, settings.host);
        let written = read("[security]\nhost = \"a\"\ndns_host = \"b.c.d\"")
            .0
            .security;
        assert_eq!(
            (&*written.domain, &*written.dns_domain),
            ("A", "c.d"),
            "one follows from the other"
        );
        for (name, netbios, domain) in [
            ("a", "A", "a"),
            (
                "mapper-of-the-laboratory.lab.example",
                "MAPPER-OF-THE-L",
                "lab.example",
            ),
            ("a.", "A", "a."),
        ] {
            assert_eq!(netbios_of(name), netbios);
            assert_eq!(domain_of(name), domain);
        }
    }

    #[test]
    fn what_security_cannot_be_is_told_with_line_and_key() {
        for (text, told) in [
            (
                "[security]\naccounts = \"accounts.toml\"",
                "2: security.accounts: `accounts.toml` is not the full path of a file",
            ),
            (
                "[security]\nkeytab = \"\"",
                "2: security.keytab: `` is not the full path of a file",
            ),
            (
                "[security]\ndomain = \"sixteen-letters-\"",
                "2: security.domain: `sixteen-letters-` is not a NetBIOS name: write 1 to 15 letters, digits and signs like -",
            ),
            (
                "[security]\nhost = \"a b\"",
                "2: security.host: `a b` is not a NetBIOS name: write 1 to 15 letters, digits and signs like -",
            ),
            (
                "[security]\ndns_host = \"\"",
                "2: security.dns_host: `` is not a DNS name: write up to 255 letters, digits, - and dots",
            ),
            (
                "[security]\ndns_domain = \"\u{e9}\"",
                "2: security.dns_domain: `\u{e9}` is not a DNS name: write up to 255 letters, digits, - and dots",
            ),
            (
                "[security]\nanonymous = 1",
                "2: security.anonymous: invalid type: integer `1`, expected a boolean",
            ),
            (
                "[security]\nrequire = \"all\"",
                "2: security.require: `all` cannot be required: write \"nothing\", \"lookups\" or \"everything\"",
            ),
            (
                "[security]\nlevel = \"packet\"",
                "2: security.level: `packet` is not a level: write \"connect\", \"integrity\" or \"privacy\"",
            ),
            (
                "[security]\nanonymous = true\nrequire = \"everything\"",
                "3: security.require: nobody could be answered: there is neither `accounts` nor `keytab` to prove anything by",
            ),
            (
                "[security]\naccounts = \"/a\"\nlm = true",
                "3: security.lm: LM is part of NTLM version 1; write `ntlm_v1 = true` as well, or leave both out",
            ),
            (
                "[security]\npassword = \"x\"",
                "2: security.password: unknown key `password`, expected one of `accounts`, `domain`, `dns_domain`, `host`, `dns_host`, `keytab`, `anonymous`, `ntlm_v1`, `lm`, `require`, `level`, `groups`",
            ),
            (
                "[security]\ngroups = [\"a\"]",
                "2: security.groups: invalid type: list, expected a table",
            ),
            (
                "[security.groups]\na = []",
                "2: security.groups.a: a group of nobody; leave it out",
            ),
            (
                "[security.groups]\na = [\"b\",\n\"\"]",
                "3: security.groups.a: `` is no account: a name has from 1 to 255 octets",
            ),
            (
                "[security.groups]\na = [\"LAB\\\\b\"]",
                "2: security.groups.a: `LAB\\b` is no account: a name has neither \\ nor /; write it without its domain",
            ),
        ] {
            assert_eq!(mistakes(text), format!("f:{told}"));
        }
    }

    #[cfg(not(feature = "kerberos"))]
    #[test]
    fn a_keytab_is_a_mistake_where_it_cannot_be_read() {
        assert_eq!(
            mistakes("[security]\nkeytab = \"/etc/krb5.keytab\""),
            "f:2: security.keytab: this epmapperd was built without Kerberos; \
             build it with `--features kerberos`, or leave the key out"
        );
    }

    #[cfg(feature = "kerberos")]
    #[test]
    fn a_keytab_proves_principals() {
        let text = "[security]\nkeytab = \"/k\"\nrequire = \"everything\"\n\
            [[register]]\naccounts = [\"a@B\", \"host/c.d@B\"]";
        let (config, doubts) = read(text);
        assert_eq!(config.security.keytab.as_deref(), Some(Path::new("/k")));
        assert_eq!(doubts, [""; 0]);
    }

    #[test]
    fn what_rules_cannot_say_of_accounts_is_told_with_line_and_key() {
        for (rule, told) in [
            (
                "accounts = []",
                "4: register.accounts: an empty list; leave the key out",
            ),
            (
                "account_groups = []",
                "4: register.account_groups: an empty list; leave the key out",
            ),
            (
                "accounts = [\n\"a\",\n\" b\"]",
                "6: register.accounts: ` b` is no account: a name has neither control characters nor spaces at its ends",
            ),
            (
                "account_groups = [\"nobody\"]",
                "4: register.account_groups: there is no group `nobody` under [security.groups]; write it there",
            ),
            (
                "authenticated = false\naccounts = [\"a\"]",
                "4: register.authenticated: a rule for accounts asks for authentication; leave the key out",
            ),
            (
                "authenticated = false",
                "3: register: names nobody: write `users`, `groups`, `networks`, `accounts`, `account_groups` or `authenticated = true`",
            ),
            (
                "accounts = [\"a\"]\nlife = \"process\"",
                "5: register.life: accounts call over the network as well, and have no process on this host then; name `users` or `groups` too",
            ),
        ] {
            let text = format!("[security]\naccounts = \"/a\"\n[[register]]\n{rule}");
            assert_eq!(mistakes(&text), format!("f:{told}"));
        }
    }

    #[test]
    fn what_has_no_effect_is_doubted() {
        for (text, told) in [
            (
                "[security]\nlevel = \"privacy\"",
                "2: security.level: `require` is \"nothing\": no level is asked for",
            ),
            (
                "[security]\nanonymous = true\nntlm_v1 = true",
                "3: security.ntlm_v1: there is no `accounts` file whose accounts could log on so",
            ),
            (
                "[[register]]\nauthenticated = true",
                "2: register.authenticated: nobody can prove to be anybody: there is neither `accounts` nor `keytab` under [security]",
            ),
            (
                "[[register]]\naccounts = [\"a\"]",
                "2: register.accounts: nobody can prove to be `a`: there is no `accounts` under [security]",
            ),
            (
                "[security]\naccounts = \"/a\"\n[[register]]\naccounts = [\"a\",\n\"b@C\"]",
                "5: register.accounts: nobody can prove to be `b@C`: there is no `keytab` under [security]",
            ),
            (
                "[security]\naccounts = \"/a\"\ngroups.g = [\"a\", \"b@C\"]\n[[register]]\naccount_groups = [\"g\"]",
                "5: register.account_groups: nobody can prove to be `b@C`: there is no `keytab` under [security]",
            ),
        ] {
            assert_eq!(read(text).1, [format!("f:{told}")], "{text}");
        }
        // What is as by default was not asked for.
        let text = "[security]\nlevel = \"integrity\"\nrequire = \"nothing\"";
        assert_eq!(read(text).1, [""; 0]);
    }

    #[test]
    fn names_are_the_same_letter_by_letter() {
        for same in [["MUELLER", "mueller"], ["\u{3a3}\u{3a3}", "\u{3c3}\u{3c3}"]] {
            assert_eq!(folded(same[0]), folded(same[1]));
        }
        assert_ne!(folded("stra\u{df}e"), folded("strasse"));
    }

    #[test]
    fn accounts_and_principals_are_never_taken_for_each_other() {
        for (name, account, principal) in [
            ("alice", Ok(()), Ok(())),
            ("alice@LAB", Err(NameFault::Realm), Ok(())),
            ("host/a.b@LAB", Err(NameFault::Realm), Ok(())),
            ("a b", Ok(()), Ok(())),
            ("Anonymous", Err(NameFault::Anonymous), Ok(())),
            ("@LAB", Err(NameFault::Length), Err(NameFault::Length)),
            ("alice@", Err(NameFault::Length), Err(NameFault::Length)),
            ("a/b", Err(NameFault::Domain), Err(NameFault::Domain)),
            ("a\\b", Err(NameFault::Domain), Err(NameFault::Domain)),
            (
                "a\u{7f}",
                Err(NameFault::Unprintable),
                Err(NameFault::Unprintable),
            ),
            (
                "a ",
                Err(NameFault::Unprintable),
                Err(NameFault::Unprintable),
            ),
        ] {
            assert_eq!(account_name(name), account, "{name}");
            assert_eq!(principal_name(name), principal, "{name}");
        }
        let longest = format!("a{}", "\u{e9}".repeat(NAME_LENGTH / 2));
        assert_eq!(account_name(&longest), Ok(()));
        assert_eq!(account_name(&format!("{longest}a")), Err(NameFault::Length));
    }
}
