//! Who may register what: `reserved`, `unreserved` and `[[register]]`, from
//! texts to a policy of the registry.
//!
//! Names of users and groups are looked up on this host, once: a rule goes on
//! to speak of the ids that they had.

use super::endpoint::{number, uuid_of};
use super::file::{RegisterTable, Text};
use super::mistake::Problem;
use super::read::{Reader, Span};
use super::settings::SecuritySettings;
use super::value::Who;
use super::{by_name, written};
use crate::registry::{LifeKind, Network, Rule};
use crate::wire::names::{self, Group};
use nix::errno::Errno;
use nix::unistd;
use std::collections::BTreeSet;
use std::net::IpAddr;
use toml::Spanned;
use uuid::Uuid;

/// The lives that a rule can give.
const LIVES: [(&str, LifeKind); 2] = [
    (LifeKind::Probe.name(), LifeKind::Probe),
    (LifeKind::Process.name(), LifeKind::Process),
];

/// A list of which the key may be left out.
pub type List<T> = Option<Spanned<Vec<T>>>;

/// The groups that are reserved when nobody says.
pub fn default_reserved() -> Vec<Text> {
    let names = Group::NAMES.iter();
    names.map(|(name, _)| written(name)).collect()
}

/// One rule: as it is written, in full, and what it means.
#[derive(Clone, Debug)]
pub struct Register {
    /// What is written, the life filled in.
    pub(super) table: RegisterTable,
    /// What it means.
    pub rule: Rule,
}

impl Reader<'_> {
    /// The interfaces that are reserved, less those that are not.
    pub fn reserved(&mut self, reserved: &[Text], unreserved: &[Text]) -> BTreeSet<Uuid> {
        let listed = self.all(reserved, interfaces).into_iter();
        let mut reserved: BTreeSet<_> = listed.flat_map(|(_, named)| named).collect();
        for text in unreserved {
            let before = reserved.len();
            let named = self.value(text, interfaces).unwrap_or_default();
            reserved.retain(|interface| !named.contains(interface));
            if reserved.len() == before {
                let problem = Problem::NotReserved(text.get_ref().clone());
                self.doubts.push((text.span(), problem));
            }
        }
        reserved
    }

    /// Reads one rule, whose header stands at `span`.
    pub fn register(
        &mut self,
        table: RegisterTable,
        span: Span,
        security: &SecuritySettings,
    ) -> Option<Register> {
        if table.names_nobody() {
            self.mistake(span, Problem::Nobody);
        }
        let interfaces = self.rule_interfaces(&table.interfaces);
        let users = self.ids(&table.users, user_id);
        let groups = self.ids(&table.groups, group_id);
        let written = self.listed(&table.networks, Problem::EmptyList);
        let networks = self.all(written, network);
        let (authenticated, accounts) = self.rule_accounts(&table, security);
        let life = self.life(&table)?;
        Some(Register {
            rule: Rule {
                interfaces,
                users,
                groups,
                networks: networks.into_iter().map(|(_, network)| network).collect(),
                life,
                foreign_addresses: table.foreign_addresses,
                exclusive: table.exclusive,
                authenticated,
                accounts,
            },
            table: RegisterTable {
                life: Some(written_life(life)),
                ..table
            },
        })
    }

    /// The interfaces of a rule, if it names any.
    fn rule_interfaces(&mut self, list: &List<Text>) -> Option<Vec<Uuid>> {
        let texts = self.listed(list, Problem::NoInterface);
        let named = self.all(texts, interfaces).into_iter();
        let named = named.flat_map(|(_, named)| named).collect();
        list.as_ref().map(|_| named)
    }

    /// How the entries of a rule end.
    fn life(&mut self, table: &RegisterTable) -> Option<LifeKind> {
        let Some(text) = &table.life else {
            return Some(LifeKind::default());
        };
        let read = self.value(text, life)?;
        let is_local = table.users.is_some() || table.groups.is_some();
        if read == LifeKind::Process && table.networks.is_some() {
            self.mistake(text.span(), Problem::ProcessOfNetwork);
        } else if read == LifeKind::Process && !is_local && !table.names_nobody() {
            self.mistake(text.span(), Problem::ProcessOfAccounts);
        }
        Some(read)
    }

    /// The ids of a list of users or groups.
    fn ids(
        &mut self,
        list: &List<Spanned<Who>>,
        find: impl Fn(&str) -> Result<u32, Problem>,
    ) -> Vec<u32> {
        let list = self.listed(list, Problem::EmptyList).iter();
        list.filter_map(|who| self.id(who, &find)).collect()
    }

    /// The id of a user or group.
    pub fn id(
        &mut self,
        who: &Spanned<Who>,
        find: impl Fn(&str) -> Result<u32, Problem>,
    ) -> Option<u32> {
        match who.get_ref() {
            Who::Id(id) => Some(*id),
            Who::Name(name) => self.noted(who.span(), find(name)),
        }
    }

    /// What a list has; one that is empty would allow nobody anything, which
    /// is no rule.
    pub fn listed<'l, T>(&mut self, list: &'l List<T>, problem: Problem) -> &'l [T] {
        let Some(list) = list else {
            return &[];
        };
        if list.get_ref().is_empty() {
            self.mistake(list.span(), problem);
        }
        list.get_ref()
    }
}

/// A life as it is written.
fn written_life(life: LifeKind) -> Text {
    written(life.name())
}

/// The interfaces that a text names: those of a group, or one.
fn interfaces(text: &str) -> Result<Vec<Uuid>, Problem> {
    if let Some(group) = Group::by_name(text) {
        return Ok(group.interfaces().map(|known| known.uuid).collect());
    }
    if let Some(known) = names::by_name(text) {
        return Ok(vec![known.uuid]);
    }
    match uuid_of(text) {
        Ok(uuid) if uuid.is_nil() => Err(Problem::NilInterface),
        Ok(uuid) => Ok(vec![uuid]),
        Err(_) => Err(Problem::Interface(text.to_owned())),
    }
}

/// A life that a rule can give.
fn life(text: &str) -> Result<LifeKind, Problem> {
    by_name(&LIVES, text).ok_or_else(|| match text {
        "lease" => Problem::LeaseByRule,
        "permanent" => Problem::PermanentByRule,
        _ => Problem::Life(text.to_owned()),
    })
}

/// A network: an address, alone or with the length of a prefix.
fn network(text: &str) -> Result<Network, Problem> {
    let malformed = || Problem::Network(text.to_owned());
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let Some(prefix) = prefix else {
        return Ok(Network::of(address));
    };
    let prefix = number(prefix).and_then(|prefix| u8::try_from(prefix).ok());
    let network = prefix.and_then(|prefix| Network::new(address, prefix));
    match network.ok_or_else(malformed)? {
        network if network.address() == address.to_canonical() => Ok(network),
        network => Err(Problem::NetworkBits {
            text: text.to_owned(),
            network,
        }),
    }
}

/// The id of a user of this host.
fn user_id(name: &str) -> Result<u32, Problem> {
    let found = unistd::User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()));
    id_of("user", name, found)
}

/// The id of a group of this host.
pub fn group_id(name: &str) -> Result<u32, Problem> {
    let found = unistd::Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
    id_of("group", name, found)
}

/// What a look into the system's databases came to.
fn id_of(
    kind: &'static str,
    name: &str,
    found: Result<Option<u32>, Errno>,
) -> Result<u32, Problem> {
    let name = name.to_owned();
    match found {
        Ok(Some(id)) => Ok(id),
        Ok(None) if number(&name).is_some() => Err(Problem::QuotedId { kind, name }),
        Ok(None) => Err(Problem::UnknownId { kind, name }),
        Err(cause) => Err(Problem::IdLookup { kind, name, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::config::Config;
    use std::path::Path;

    /// The rules of a file.
    fn rules(text: &str) -> Vec<Rule> {
        let loaded = Config::parse(Path::new("f"), text).unwrap();
        assert_eq!(loaded.doubts, []);
        loaded.config.policy.rules
    }

    /// What is told of a file that is not taken, without its name.
    fn mistakes(text: &str) -> Vec<String> {
        let error = Config::parse(Path::new("f"), text).unwrap_err();
        let lines = error.to_string();
        lines
            .lines()
            .map(|line| line.strip_prefix("f:").unwrap_or(line).to_owned())
            .collect()
    }

    #[test]
    fn a_rule_that_says_little_is_filled_in() {
        let expected = Rule {
            users: vec![0],
            life: LifeKind::Probe,
            ..Rule::default()
        };
        assert_eq!(rules("[[register]]\nusers = [\"root\"]"), [expected]);
        assert_eq!(rules(""), []);
    }

    #[test]
    fn a_rule_says_all_that_the_policy_knows() {
        let text = "[[register]]\n\
            interfaces = [\"SAMR\", \"12345678-1234-abcd-ef00-0123456789ff\", \"samba\"]\n\
            users = [1000, \"root\"]\ngroups = [\"root\", 7]\n\
            life = \"process\"\nexclusive = true\n\
            [[register]]\nnetworks = [\"192.0.2.0/24\", \"::1\"]\nforeign_addresses = true\n";
        let [local, remote] = rules(text).try_into().unwrap();
        let named = local.interfaces.unwrap();
        assert_eq!(named[0], names::by_name("samr").unwrap().uuid);
        assert_eq!(named[1].to_string(), "12345678-1234-abcd-ef00-0123456789ff");
        assert_eq!(named.len(), 2 + Group::Samba.interfaces().count());
        assert_eq!((local.users, local.groups), (vec![1000, 0], vec![0, 7]));
        assert_eq!(local.life, LifeKind::Process);
        assert!(local.exclusive && !local.foreign_addresses);
        assert_eq!(remote.interfaces, None);
        let networks: Vec<_> = remote.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["192.0.2.0/24", "::1/128"]);
        assert_eq!(remote.life, LifeKind::Probe);
        assert!(remote.foreign_addresses && !remote.exclusive);
    }

    #[test]
    fn what_a_rule_cannot_say_is_told_with_line_and_key() {
        for (rule, told) in [
            (
                "interfaces = [\"samr\"]",
                "1: register: names nobody: write `users`, `groups`, `networks`, `accounts`, `account_groups` or `authenticated = true`",
            ),
            (
                "users = [0]\ninterfaces = []",
                "3: register.interfaces: names no interface; leave it out for all that are not reserved",
            ),
            (
                "users = []",
                "2: register.users: an empty list; leave the key out",
            ),
            (
                "groups = []\nusers = [0]",
                "2: register.groups: an empty list; leave the key out",
            ),
            (
                "networks = []",
                "2: register.networks: an empty list; leave the key out",
            ),
            (
                "users = [0]\ninterfaces = [\n\"samr\",\n\"sambr\"]",
                "5: register.interfaces: `sambr` is no interface: write a UUID, the name of a known one, or \"windows\", \"samba\" or \"dce\"",
            ),
            (
                "users = [0]\ninterfaces = [\"00000000-0000-0000-0000-000000000000\"]",
                "3: register.interfaces: the nil UUID is no interface",
            ),
            (
                "users = [\"no-such-user\"]",
                "2: register.users: there is no user `no-such-user` on this host; write a user of it, or an id",
            ),
            (
                "groups = [\"no-such-group\"]",
                "2: register.groups: there is no group `no-such-group` on this host; write a group of it, or an id",
            ),
            (
                "users = [\"54321\"]",
                "2: register.users: there is no user `54321` on this host; write an id without quotes",
            ),
            (
                "users = [-1]",
                "2: register.users: invalid value, expected a name or an id",
            ),
            (
                "networks = [\"localhost\"]",
                "2: register.networks: `localhost` is not a network: write an address, or \"192.0.2.0/24\" and the like",
            ),
            (
                "networks = [\"192.0.2.1/33\"]",
                "2: register.networks: `192.0.2.1/33` is not a network: write an address, or \"192.0.2.0/24\" and the like",
            ),
            (
                "networks = [\"192.0.2.1/24\"]",
                "2: register.networks: `192.0.2.1/24` has bits behind its prefix; write `192.0.2.0/24`, or the address alone",
            ),
            (
                "users = [0]\nlife = \"lease\"",
                "3: register.life: only a registrant that asks for a lease renews it; write \"probe\" or \"process\"",
            ),
            (
                "users = [0]\nlife = \"permanent\"",
                "3: register.life: what nothing ends is written under [[endpoint]]; write \"probe\" or \"process\"",
            ),
            (
                "users = [0]\nlife = \"long\"",
                "3: register.life: `long` is not a life: write \"probe\" or \"process\"",
            ),
            (
                "networks = [\"::1\"]\nusers = [0]\nlife = \"process\"",
                "4: register.life: callers over the network have no process on this host; give `networks` a rule of their own",
            ),
            (
                "users = [0]\nuser = [1]",
                "3: register.user: unknown key `user`, expected one of `interfaces`, `users`, `groups`, `networks`, `authenticated`, `accounts`, `account_groups`, `life`, `foreign_addresses`, `exclusive`",
            ),
        ] {
            assert_eq!(mistakes(&format!("[[register]]\n{rule}")), [told]);
        }
        assert_eq!(
            mistakes("register = 1"),
            ["1: register: a rule is written as a table under [[register]]"]
        );
    }

    #[test]
    fn system_interfaces_are_reserved_unless_the_file_says_otherwise() {
        let policy = |text: &str| {
            let config = Config::parse(Path::new("f"), text).unwrap().config;
            config.policy
        };
        let uuid = |name| names::by_name(name).unwrap().uuid;
        let reserved = |text: &str| {
            let policy = policy(text);
            ["samr", "winbind", "mgmt", "rpcecho"].map(|name| policy.is_reserved(uuid(name)))
        };
        assert_eq!(reserved(""), [true, true, true, false]);
        assert_eq!(reserved("reserved = []"), [false; 4]);
        assert_eq!(
            reserved("reserved = [\"dce\", \"rpcecho\"]"),
            [false, false, true, true]
        );
        assert_eq!(
            reserved("unreserved = [\"samr\", \"samba\"]"),
            [false, false, true, false]
        );
        assert!(policy("").rules.is_empty());
        assert!(!policy("").is_reserved(Uuid::nil()));
    }

    #[test]
    fn unreserving_what_is_not_reserved_is_told() {
        let text = "reserved = [\"dce\"]\nunreserved = [\"mgmt\", \"samr\"]";
        let loaded = Config::parse(Path::new("f"), text).unwrap();
        let doubts: Vec<_> = loaded.doubts.iter().map(ToString::to_string).collect();
        assert_eq!(
            doubts,
            ["f:2: unreserved: `samr` is not reserved; it needs no exception"]
        );
    }

    #[test]
    fn a_network_may_be_one_address_of_either_family() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "fe80::1%lo",
            "::/0/0",
            "10.0.0",
        ] {
            assert!(matches!(network(text), Err(Problem::Network(_))), "{text}");
        }
    }
}
