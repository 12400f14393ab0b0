//! Who asks: the options of a logon, and the security contexts that they stand
//! for.
//!
//! Without a user everything is asked for anonymously. With one nothing is:
//! where the server does not authenticate, the command fails.

use super::args::{Arguments, Command};
use super::exit::CommandError;
use super::mistake::ArgumentError;
use super::password;
use super::registration;
use crate::client::{Authentication, Begun, Settings};
use crate::security::oid;
use crate::security::spnego::{self, Offer};
use crate::security::{Credentials, MechanismContext, Password, Secret, ntlm};
use crate::wire::binding::Binding;
use crate::wire::pdu::{AuthLevel, AuthType};
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Who asks, and how that is shown.
#[derive(Debug, Args)]
pub struct Logon {
    /// Log on as this user: NAME, DOMAIN\NAME or NAME@REALM [default: anonymous]
    ///
    /// The password is that of --password-file, else that of the environment's
    /// EPM_PASSWORD, else asked for at the terminal. NTLM and Kerberos are offered
    /// through SPNEGO, Kerberos first where epm has it and the server is given by
    /// its name. A server that does not authenticate is not asked.
    #[arg(long, global = true, value_name = "NAME", display_order = 110)]
    pub user: Option<User>,

    /// Log on by NTLM and nothing else
    #[arg(long, global = true, display_order = 111)]
    pub ntlm: bool,

    /// Log on by Kerberos and nothing else; without --user as whom the ticket is for
    #[arg(long, global = true, display_order = 112)]
    pub kerberos: bool,

    /// How much of the calls is protected [default: privacy]
    #[arg(long, global = true, value_name = "LEVEL", display_order = 113)]
    pub level: Option<Level>,

    /// File with the password in one line, which nobody else may read
    #[arg(long, global = true, value_name = "FILE", display_order = 114)]
    pub password_file: Option<PathBuf>,

    /// The server's Kerberos principal [default: host/ and its name]
    #[arg(long, global = true, value_name = "SERVICE/NAME", display_order = 115)]
    pub target: Option<String>,
}

/// How much is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Who asks is shown once, and nothing is protected
    Connect,
    /// Calls and answers are signed
    Integrity,
    /// Calls and answers are signed and sealed
    Privacy,
}

impl From<Level> for AuthLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Connect => AuthLevel::CONNECT,
            Level::Integrity => AuthLevel::INTEGRITY,
            Level::Privacy => AuthLevel::PRIVACY,
        }
    }
}

/// A user as people write one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    name: String,
    /// The domain or realm; empty where none is given.
    domain: String,
}

impl FromStr for User {
    type Err = ArgumentError;

    /// Reads `NAME`, `DOMAIN\NAME` or `NAME@REALM`.
    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let (name, domain) = match (text.split_once('\\'), text.rsplit_once('@')) {
            (Some((domain, name)), _) => (name, Some(domain)),
            (None, Some((name, realm))) => (name, Some(realm)),
            (None, None) => (text, None),
        };
        if name.is_empty() || domain.is_some_and(str::is_empty) {
            return Err(ArgumentError::User(text.to_owned()));
        }
        Ok(User {
            name: name.to_owned(),
            domain: domain.unwrap_or_default().to_owned(),
        })
    }
}

/// By which mechanisms to log on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// What SPNEGO comes to.
    Spnego,
    /// NTLM alone.
    Ntlm,
    /// Kerberos alone.
    Kerberos,
}

/// What a logon needs on every connection.
#[derive(Debug)]
struct Means {
    /// By which mechanisms.
    by: By,
    /// Who, with a password; `None` where there is none.
    password: Option<Credentials>,
    /// What Kerberos is asked for, where it is asked: who, and the server's
    /// principal.
    kerberos: Option<(Credentials, String)>,
}

/// How connections are to be asked for; asks for a password where one is needed.
///
/// # Errors
/// Options that do not go together, and everything about passwords.
pub fn settings(arguments: &Arguments) -> Result<Settings, CommandError> {
    let settings = Settings::from(arguments.encoding()?);
    let logon = &arguments.logon;
    let Some(server) = server(&arguments.command) else {
        return Ok(settings);
    };
    if let Some(needless) = logon.needless() {
        return Err(ArgumentError::NoUser(needless).into());
    }
    if logon.user.is_none() && !logon.kerberos {
        return Ok(settings);
    }
    Ok(settings.authenticate(logon.authentication(&server)?))
}

/// The server that a command asks, if it asks one.
fn server(command: &Command) -> Option<Binding> {
    Some(match command {
        Command::Lookup(lookup) => lookup.server.clone().unwrap_or_default().0,
        Command::Map(map) => map.server.0.clone(),
        Command::Mgmt(mgmt) => mgmt.server.0.clone(),
        Command::Insert(insert) => registration::mapper(&insert.endpoints.at),
        Command::Delete(delete) => registration::mapper(&delete.endpoints.at),
        Command::Hold(hold) => registration::mapper(&hold.endpoints.at),
        Command::Status(status) => registration::mapper(&status.at),
        Command::Completions { .. } | Command::Man { .. } => return None,
    })
}

impl Logon {
    /// An option that needs a user where there is none.
    fn needless(&self) -> Option<&'static str> {
        let options = [
            (self.ntlm, "--ntlm"),
            (self.level.is_some(), "--level"),
            (self.password_file.is_some(), "--password-file"),
            (self.target.is_some(), "--target"),
        ];
        let is_asked = self.user.is_some() || self.kerberos && !self.ntlm;
        let given = options.into_iter().find(|(given, _)| *given);
        given.map(|(_, name)| name).filter(|_| !is_asked)
    }

    /// How to log on to a server.
    fn authentication(&self, server: &Binding) -> Result<Authentication, CommandError> {
        let means = Arc::new(self.means(server)?);
        let auth_type = match means.by {
            By::Spnego => AuthType::SPNEGO,
            By::Ntlm => AuthType::NTLM,
            By::Kerberos => AuthType::KERBEROS,
        };
        let level = self.level.unwrap_or(Level::Privacy).into();
        let begin = move |level| means.begin(level);
        Ok(Authentication::new(auth_type, level, begin))
    }

    /// What it takes; asks for a password unless Kerberos has a ticket.
    fn means(&self, server: &Binding) -> Result<Means, CommandError> {
        let by = match (self.ntlm, self.kerberos) {
            (true, true) => return Err(ArgumentError::TwoMechanisms.into()),
            (true, false) => By::Ntlm,
            (false, true) if !HAS_KERBEROS => return Err(ArgumentError::NoKerberos.into()),
            (false, true) => By::Kerberos,
            (false, false) => By::Spnego,
        };
        let target = self
            .target(server)
            .filter(|_| HAS_KERBEROS && by != By::Ntlm);
        if by == By::Kerberos && target.is_none() {
            return Err(ArgumentError::NoTarget.into());
        }
        let password = password::given(self.password_file.as_deref())?;
        let has_ticket = target.is_some() && (self.user.is_none() || kerberos::has_cache());
        let password = match (password, &self.user) {
            (None, Some(user)) if !has_ticket => Some(password::asked(&user.name)?),
            (password, _) => password,
        };
        let password = password.map(|password| self.credentials(Some(password)));
        let kerberos = target.map(|target| {
            let credentials = password.clone();
            (
                credentials.unwrap_or_else(|| self.credentials(None)),
                target,
            )
        });
        Ok(Means {
            by,
            password: password.filter(|credentials| !credentials.user.is_empty()),
            kerberos,
        })
    }

    /// Who logs on.
    fn credentials(&self, password: Option<Password>) -> Credentials {
        let User { name, domain } = self.user.clone().unwrap_or_default();
        Credentials {
            user: name,
            domain,
            secret: match password {
                Some(password) => Secret::Password(Arc::new(password)),
                None => Secret::System,
            },
        }
    }

    /// The Kerberos principal of a server; an address has none.
    fn target(&self, server: &Binding) -> Option<String> {
        let host = &server.address;
        let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err();
        let default = || is_name.then(|| format!("host/{host}"));
        self.target.clone().or_else(default)
    }
}

impl Means {
    /// Begins a security context.
    fn begin(&self, level: AuthLevel) -> Begun {
        let ntlm = self.password.as_ref();
        let ntlm = ntlm.map(|credentials| ntlm::initiate(credentials, level));
        match (self.by, ntlm) {
            (By::Ntlm, Some(context)) => Ok(context),
            (By::Ntlm, None) => Err("no password".into()),
            (By::Kerberos, _) => Ok(self.kerberos(level)?),
            (By::Spnego, ntlm) => self.spnego(ntlm, level),
        }
    }

    /// Offers what there is, Kerberos first.
    fn spnego(&self, ntlm: Option<Box<dyn MechanismContext>>, level: AuthLevel) -> Begun {
        let kerberos = self.kerberos.as_ref().map(|_| self.kerberos(level));
        let mut offers = Vec::new();
        match kerberos {
            Some(Ok(context)) => offers.push(Offer {
                oid: oid::KERBEROS,
                context,
            }),
            Some(Err(error)) if ntlm.is_none() => return Err(error),
            Some(Err(_)) | None => {}
        }
        offers.extend(ntlm.map(|context| Offer {
            oid: oid::NTLM,
            context,
        }));
        Ok(spnego::initiate(offers))
    }

    /// Begins with Kerberos.
    fn kerberos(&self, level: AuthLevel) -> Result<Box<dyn MechanismContext>, Reason> {
        let (credentials, target) = self.kerberos.as_ref().ok_or("no name of the server")?;
        kerberos::begin(credentials, target, level)
    }
}

/// Why a mechanism cannot begin.
type Reason = Box<dyn std::error::Error + Send + Sync>;

/// Whether this `epm` has Kerberos.
const HAS_KERBEROS: bool = cfg!(feature = "kerberos");

/// Kerberos, where it is built in.
#[cfg(feature = "kerberos")]
mod kerberos {
    use super::Reason;
    use crate::security::{Credentials, MechanismContext, kerberos};
    use crate::wire::pdu::AuthLevel;
    use nix::unistd::Uid;
    use std::{env, fs};

    /// Begins a security context.
    pub fn begin(
        credentials: &Credentials,
        target: &str,
        level: AuthLevel,
    ) -> Result<Box<dyn MechanismContext>, Reason> {
        Ok(kerberos::initiate(credentials, target, level)?)
    }

    /// Whether the system may have a ticket: `krb5.conf` apart, its credential
    /// cache is what the environment names, or a file of the user's.
    pub fn has_cache() -> bool {
        let usual = || format!("FILE:/tmp/krb5cc_{}", Uid::effective());
        let name = env::var("KRB5CCNAME").unwrap_or_else(|_| usual());
        let file = match name.split_once(':') {
            None => &name[..],
            Some(("FILE", file)) => file,
            // Of other kinds only the library knows.
            Some(_) => return true,
        };
        fs::metadata(file).is_ok_and(|file| file.len() > 0)
    }
}

/// Kerberos, where it is not.
#[cfg(not(feature = "kerberos"))]
mod kerberos {
    use super::Reason;
    use crate::security::{Credentials, MechanismContext};
    use crate::wire::pdu::AuthLevel;

    /// Begins nothing.
    pub fn begin(
        _: &Credentials,
        _: &str,
        _: AuthLevel,
    ) -> Result<Box<dyn MechanismContext>, Reason> {
        Err("built without Kerberos".into())
    }

    /// There is nobody to use a ticket.
    pub fn has_cache() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// The options of `epm lookup WHERE` with these arguments, and the server.
    fn logon(arguments: &[&str]) -> (Logon, Binding) {
        let arguments = [&["epm", "lookup"], arguments].concat();
        let arguments = Arguments::try_parse_from(arguments).unwrap();
        let server = server(&arguments.command).unwrap();
        (arguments.logon, server)
    }

    /// What is wrong with arguments; a password is never asked for.
    fn mistake(arguments: &[&str]) -> Option<String> {
        let arguments = [&["epm", "lookup"], arguments].concat();
        let arguments = Arguments::try_parse_from(arguments).unwrap();
        let mistake = settings(&arguments).err()?;
        Some(mistake.to_string())
    }

    #[test]
    fn a_user_may_have_a_domain_or_a_realm() {
        for (text, name, domain) in [
            ("alice", "alice", ""),
            ("LAB\\alice", "alice", "LAB"),
            ("alice@LAB.EXAMPLE", "alice", "LAB.EXAMPLE"),
            ("LAB\\alice@home", "alice@home", "LAB"),
            ("host/a@b@LAB", "host/a@b", "LAB"),
        ] {
            let user: User = text.parse().unwrap();
            assert_eq!((&*user.name, &*user.domain), (name, domain), "{text}");
        }
        for text in ["", "LAB\\", "\\alice", "alice@", "@LAB"] {
            let mistake = text.parse::<User>().unwrap_err();
            assert_eq!(mistake, ArgumentError::User(text.to_owned()));
        }
    }

    #[test]
    fn without_a_user_nobody_logs_on() {
        let arguments = Arguments::try_parse_from(["epm", "lookup"]).unwrap();
        assert!(settings(&arguments).unwrap().authentication.is_none());
        for option in [
            &["--ntlm"][..],
            &["--level", "connect"],
            &["--password-file", "x"],
            &["--target", "host/x"],
        ] {
            let mistake = mistake(option).unwrap();
            assert!(mistake.contains(option[0]) && mistake.contains("--user"));
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_told() {
        let both = mistake(&["--user", "alice", "--ntlm", "--kerberos"]);
        assert!(both.unwrap().contains("write one of them"));
        let kerberos = mistake(&["192.0.2.1", "--user", "alice", "--kerberos"]);
        let expected = match HAS_KERBEROS {
            true => "--target",
            false => "--features kerberos",
        };
        assert!(kerberos.unwrap().contains(expected));
    }

    #[test]
    fn the_target_is_the_host_that_was_named() {
        for (server, target) in [
            ("server.lab.example", Some("host/server.lab.example")),
            ("server:1135", Some("host/server")),
            ("192.0.2.1", None),
            ("[2001:db8::1]:135", None),
            ("ncalrpc:[/run/epmapper/EPMAPPER]", None),
        ] {
            let (logon, binding) = self::logon(&[server]);
            assert_eq!(logon.target(&binding).as_deref(), target, "{server}");
            let (logon, binding) = self::logon(&[server, "--target", "rpc/x"]);
            assert_eq!(logon.target(&binding).as_deref(), Some("rpc/x"));
        }
    }

    #[test]
    fn options_may_stand_before_and_behind_the_command() {
        let before = ["epm", "--user", "alice", "lookup", "--ntlm"];
        let arguments = Arguments::try_parse_from(before).unwrap();
        assert_eq!(arguments.logon.needless(), None);
        assert!(arguments.logon.ntlm && arguments.logon.user.is_some());
    }
}
