//! The command line of `epm`: one definition for parsing, help, completions
//! and man pages.

use super::exit;
use super::logon::Logon;
use super::mistake::ArgumentError;
use super::registration::{Annotation, Endpoint};
use super::values::{Interface, Server, timeout};
use crate::client::Encoding;
use crate::client::ept::LookupQuery;
use crate::wire::ByteOrder;
use crate::wire::ept::VersionOption;
use crate::wire::tower::ProtocolSequence;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Asks DCE/RPC endpoint mappers where services listen, and registers services
///
/// WHERE is a host, host:port, [IPv6]:port or a string binding such as
/// ncacn_ip_tcp:192.0.2.10[135] or ncalrpc:[/run/epmapper/EPMAPPER]; without a
/// port it is 135.
#[derive(Debug, Parser)]
#[command(name = "epm", version, after_help = exit::HELP, disable_help_subcommand = true)]
pub struct Arguments {
    /// How long all steps together may take: 10, 10s or 500ms
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = timeout)]
    #[arg(display_order = 100)]
    pub timeout: Duration,

    /// Transfer syntax of the calls [default: either, as the server chooses]
    #[arg(long, global = true, value_name = "SYNTAX", display_order = 101)]
    pub transfer_syntax: Option<Syntax>,

    /// Byte order of the calls; big means NDR 2.0 [default: little]
    #[arg(long, global = true, value_name = "ORDER", display_order = 102)]
    pub byte_order: Option<Order>,

    /// Who asks.
    #[command(flatten)]
    pub logon: Logon,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How calls are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Syntax {
    /// NDR 2.0
    Ndr,
    /// NDR64, which only knows little-endian
    Ndr64,
}

/// Which octet of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The least significant one
    Little,
    /// The most significant one
    Big,
}

impl Arguments {
    /// How the calls are to be written.
    ///
    /// # Errors
    /// NDR64 in big-endian, which there is not.
    pub fn encoding(&self) -> Result<Encoding, ArgumentError> {
        Ok(match (self.transfer_syntax, self.byte_order) {
            (None, None | Some(Order::Little)) => Encoding::Any,
            (Some(Syntax::Ndr), None | Some(Order::Little)) => Encoding::Ndr(ByteOrder::Little),
            (None | Some(Syntax::Ndr), Some(Order::Big)) => Encoding::Ndr(ByteOrder::Big),
            (Some(Syntax::Ndr64), None | Some(Order::Little)) => Encoding::Ndr64,
            (Some(Syntax::Ndr64), Some(Order::Big)) => return Err(ArgumentError::BigNdr64),
        })
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is registered
    ///
    /// Asks the mapper for all its entries, or for those of an interface, of an
    /// object, or of both. What matches is the mapper's decision; some heed only
    /// a part of what is asked. A binding without address is at the address that
    /// the mapper was asked at.
    Lookup(Lookup),
    /// Ask where an interface is served
    ///
    /// Asks for the endpoints of an interface in a version compatible with the
    /// one given. Each protocol sequence is asked for in turn. A binding without
    /// address is at the address that the mapper was asked at.
    Map(Map),
    /// Ask any RPC server which interfaces it offers, and how it is
    ///
    /// Uses the management interface, which every DCE/RPC server has on every
    /// endpoint. What the server keeps to itself is told as such.
    Mgmt(Mgmt),
    /// Register where an interface is served
    ///
    /// Registers all endpoints or none, with any endpoint mapper. epmapperd asks
    /// the servers from time to time, and takes out those that do not answer;
    /// what it cannot ask stays until it is deleted. Who may register is the
    /// mapper's decision. A binding without address is at the address that each
    /// client asks the mapper at.
    Insert(Insert),
    /// Take out where an interface is served
    ///
    /// Takes out entries with this very interface, object and binding, in
    /// whichever transfer syntax, one after the other.
    Delete(Delete),
    /// Register a program for as long as it runs
    ///
    /// Registers the endpoints, runs the command and takes the endpoints out when
    /// it has ended. If epm itself is killed, the mapper takes them out at once.
    /// If the mapper is started anew, they are registered again. SIGTERM, SIGINT
    /// and SIGHUP are passed on to the command, but a SIGINT that its terminal
    /// sends it anyway. Needs epmapperd and its local socket.
    Hold(Hold),
    /// List entries with owner, life and last probe, and what is counted
    ///
    /// Needs epmapperd and its local socket.
    Status(Status),
    /// Print a completion script
    #[command(hide = true)]
    Completions {
        /// The shell to write it for
        shell: Shell,
    },
    /// Print the man page of epm, or write it and one for each command
    #[command(hide = true)]
    Man {
        /// Directory to write all pages to
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// Arguments of `epm lookup`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub struct Lookup {
    /// The mapper: host, host:port, [IPv6]:port or a string binding [default: this host]
    #[arg(value_name = "WHERE")]
    pub server: Option<Server>,

    /// Only entries of this interface; a name implies its version
    #[arg(long, value_name = "UUID|NAME[:VERSION]")]
    pub interface: Option<Interface>,

    /// Only entries of this object; the nil UUID for those without one
    #[arg(long, value_name = "UUID")]
    pub object: Option<Uuid>,

    /// Which versions of the interface [default: compatible with a version, all without]
    #[arg(long, value_name = "VERSIONS", requires = "interface")]
    pub versions: Option<Versions>,

    /// Print one JSON document
    #[arg(long, conflicts_with = "config", long_help = super::lookup::JSON_HELP)]
    pub json: bool,

    /// Print [[endpoint]] entries for epmapperd
    #[arg(long, long_help = super::export::HELP)]
    pub config: bool,
}

/// Arguments of `epm map`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub struct Map {
    /// The mapper: host, host:port, [IPv6]:port or a string binding
    #[arg(value_name = "WHERE")]
    pub server: Server,

    /// The interface; its version may be left out where it is known by the name
    #[arg(value_name = "UUID|NAME[:VERSION]")]
    pub interface: Interface,

    /// Protocol sequence to ask for; may be repeated
    #[arg(long, value_name = "PROTSEQ", default_value = "ncacn_ip_tcp", value_parser = protseq())]
    pub protseq: Vec<ProtocolSequence>,

    /// The object that is to be reached
    #[arg(long, value_name = "UUID")]
    pub object: Option<Uuid>,

    /// Print one JSON document
    #[arg(long, long_help = super::map::JSON_HELP)]
    pub json: bool,
}

/// Arguments of `epm mgmt`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub struct Mgmt {
    /// The server: host, host:port, [IPv6]:port or a string binding; port 135 without one
    #[arg(value_name = "WHERE")]
    pub server: Server,

    /// Print one JSON document
    #[arg(long, long_help = super::mgmt::JSON_HELP)]
    pub json: bool,
}

/// What is served where, and the mapper to tell.
#[derive(Debug, Args)]
pub struct Endpoints {
    /// The mapper: host, host:port, [IPv6]:port or a string binding [default: ncalrpc:[/run/epmapper/EPMAPPER]]
    #[arg(long, value_name = "WHERE")]
    pub at: Option<Server>,

    /// The interface; its version may be left out where it is known by the name
    #[arg(value_name = "UUID|NAME:VERSION")]
    pub interface: Interface,

    /// Where it is served, such as ncacn_ip_tcp:192.0.2.10[49152] or ncacn_ip_tcp:[49152]
    #[arg(value_name = "BINDING", required = true)]
    pub bindings: Vec<Endpoint>,

    /// The object that is served
    #[arg(long, value_name = "UUID")]
    pub object: Option<Uuid>,
}

/// Arguments of `epm insert`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub struct Insert {
    /// What is served where.
    #[command(flatten)]
    pub endpoints: Endpoints,

    /// What people read in a list, up to 63 octets
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub annotation: Annotation,

    /// Take out what stands for the same service at the same address
    #[arg(long)]
    pub replace: bool,

    /// Only until this time has passed: 10, 10s or 500ms
    ///
    /// Prints the lease. To keep it, run the same command again before it ends.
    /// Needs epmapperd and its local socket.
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub lease: Option<Duration>,
}

/// Arguments of `epm delete`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub struct Delete {
    /// What was served where.
    #[command(flatten)]
    pub endpoints: Endpoints,
}

/// Arguments of `epm hold`.
#[derive(Debug, Args)]
#[command(after_help = exit::HOLD_HELP)]
pub struct Hold {
    /// What is served where.
    #[command(flatten)]
    pub endpoints: Endpoints,

    /// What people read in a list, up to 63 octets
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub annotation: Annotation,

    /// Take out what stands for the same service at the same address
    #[arg(long)]
    pub replace: bool,

    /// The command to run, and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Arguments of `epm status`.
#[derive(Debug, Args)]
#[command(after_help = exit::HELP)]
pub struct Status {
    /// The mapper, as a string binding [default: ncalrpc:[/run/epmapper/EPMAPPER]]
    #[arg(long, value_name = "WHERE")]
    pub at: Option<Server>,

    /// Print one JSON document
    #[arg(long, long_help = super::status::JSON_HELP)]
    pub json: bool,
}

/// Reads a protocol sequence; completions and help know them all.
fn protseq() -> impl TypedValueParser<Value = ProtocolSequence> {
    let names = ProtocolSequence::all().map(ProtocolSequence::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<ProtocolSequence>())
}

/// How the version of an interface is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Versions {
    /// Every version
    All,
    /// The same major version, the minor version at least as high
    Compatible,
    /// The very same version
    Exact,
    /// The same major version
    MajorOnly,
    /// This version and those before it
    UpTo,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl From<Versions> for VersionOption {
    fn from(versions: Versions) -> Self {
        match versions {
            Versions::All => VersionOption::ALL,
            Versions::Compatible => VersionOption::COMPATIBLE,
            Versions::Exact => VersionOption::EXACT,
            Versions::MajorOnly => VersionOption::MAJOR_ONLY,
            Versions::UpTo => VersionOption::UPTO,
        }
    }
}

impl Lookup {
    /// What to ask the mapper for.
    ///
    /// # Errors
    /// A comparison of versions without a version to compare with.
    pub fn query(&self) -> Result<LookupQuery, ArgumentError> {
        let interface = self
            .interface
            .map(|interface| interface.compared(self.versions));
        Ok(LookupQuery {
            interface: interface.transpose()?,
            object: self.object,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SyntaxId;
    use clap::CommandFactory;
    use uuid::uuid;

    /// An interface with a known name.
    const SAMR: Uuid = uuid!("12345778-1234-abcd-ef00-0123456789ac");

    /// What `epm lookup` with these arguments asks for.
    fn lookup(arguments: &[&str]) -> Result<LookupQuery, ArgumentError> {
        let arguments = ["epm", "lookup"].iter().chain(arguments);
        match Arguments::try_parse_from(arguments).unwrap().command {
            Command::Lookup(lookup) => lookup.query(),
            other => panic!("{other:?} is no lookup"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_lookup_compares_versions_only_where_one_is_given() {
        let samr = |major, minor| SyntaxId::new(SAMR, major, minor);
        for (arguments, expected) in [
            (
                &["--interface", "samr"][..],
                (samr(1, 0), VersionOption::ALL),
            ),
            (
                &["--interface", "samr:1.2"],
                (samr(1, 2), VersionOption::COMPATIBLE),
            ),
            (
                &["--interface", "samr:3", "--versions", "up-to"],
                (samr(3, 0), VersionOption::UPTO),
            ),
            (
                &["--interface", "samr", "--versions", "exact"],
                (samr(1, 0), VersionOption::EXACT),
            ),
        ] {
            assert_eq!(lookup(arguments).unwrap().interface, Some(expected));
        }
        let unknown = ["--interface", "00000001-0000-0000-0000-000000000000"];
        assert_eq!(
            lookup(&unknown).unwrap().interface.unwrap().1,
            VersionOption::ALL
        );
        let compared = [&unknown[..], &["--versions", "exact"]].concat();
        let no_version = ArgumentError::NoVersion(unknown[1].parse().unwrap());
        assert_eq!(lookup(&compared), Err(no_version));
        let alone = Arguments::try_parse_from(["epm", "lookup", "--versions", "exact"]);
        assert!(alone.unwrap_err().to_string().contains("--interface"));
    }

    #[test]
    fn every_protocol_sequence_can_be_asked_for_by_name() {
        for protseq in ProtocolSequence::all() {
            let arguments = ["epm", "map", "host", "samr", "--protseq", protseq.name()];
            match Arguments::try_parse_from(arguments).unwrap().command {
                Command::Map(map) => assert_eq!(map.protseq, [protseq]),
                other => panic!("{other:?} is no map"),
            }
        }
    }

    #[test]
    fn documents_in_the_help_fit_into_a_man_page() {
        /// A terminal's 80 columns without the indentation of man pages.
        const WIDTH: usize = 64;
        let helps = [
            super::super::lookup::JSON_HELP,
            super::super::map::JSON_HELP,
            super::super::status::JSON_HELP,
        ];
        for help in helps.into_iter().chain([super::super::mgmt::JSON_HELP]) {
            // Lines that begin with a space are kept as they are unless too long.
            for line in help.lines().filter(|line| line.starts_with([' ', '{'])) {
                assert!(line.len() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn the_nil_object_is_a_value() {
        let nil = Uuid::nil().to_string();
        assert_eq!(
            lookup(&["--object", &nil]).unwrap().object,
            Some(Uuid::nil())
        );
        assert_eq!(lookup(&[]).unwrap(), LookupQuery::default());
    }

    #[test]
    fn a_command_stands_behind_two_dashes_with_its_own_options() {
        let hold = |arguments: &str| {
            let arguments = arguments.split(' ');
            Arguments::try_parse_from(["epm", "hold"].into_iter().chain(arguments))
        };
        let parsed = hold("samr ncacn_ip_tcp:[1] ncalrpc:[A] --replace -- serve --object x");
        match parsed.unwrap().command {
            Command::Hold(hold) => {
                assert_eq!(hold.endpoints.bindings.len(), 2);
                assert_eq!(hold.command, ["serve", "--object", "x"]);
                assert!(hold.replace && hold.endpoints.object.is_none());
            }
            other => panic!("{other:?} is no hold"),
        }
        for missing in [
            "samr ncacn_ip_tcp:[1]",
            "samr -- serve",
            "samr ncacn_ip_tcp:[1] --",
        ] {
            assert!(hold(missing).is_err(), "{missing}");
        }
    }

    #[test]
    fn an_insert_has_the_lease_and_the_text_that_are_given() {
        let arguments = "epm insert samr ncacn_ip_tcp:[1] --lease 30 --annotation text";
        match Arguments::try_parse_from(arguments.split(' '))
            .unwrap()
            .command
        {
            Command::Insert(insert) => {
                assert_eq!(insert.lease, Some(Duration::from_secs(30)));
                assert_eq!(insert.annotation, Annotation("text".into()));
            }
            other => panic!("{other:?} is no insert"),
        }
    }
}
