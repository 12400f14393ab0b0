//! What is wrong with an argument.

use crate::client::PathFault;
use crate::wire::binding::{Binding, BindingError};
use crate::wire::tower::ProtocolSequence;
use uuid::Uuid;

/// An argument that cannot be. The texts say what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// What no host is called.
    #[error("not a host, host:port, [IPv6]:port or string binding")]
    NoServer,
    /// A name of no protocol sequence where one belongs.
    #[error(
        "there is no protocol sequence {0:?}: write HOST, HOST:PORT, {tcp}:HOST[PORT] or \
         {local}:[/PATH], for epm speaks {tcp} and {local} only",
        tcp = ProtocolSequence::NcacnIpTcp,
        local = ProtocolSequence::Ncalrpc
    )]
    NoSequence(String),
    /// A protocol sequence in capitals; C706 has all names in lower case, and
    /// string bindings are compared as they are.
    #[error("protocol sequences are in lower case: write {0}")]
    UpperCase(ProtocolSequence),
    /// A protocol sequence that is known, but not spoken.
    #[error(
        "epm does not speak {0} yet, only {tcp} and {local}",
        tcp = ProtocolSequence::NcacnIpTcp,
        local = ProtocolSequence::Ncalrpc
    )]
    NotSpoken(ProtocolSequence),
    /// An endpoint that is no path of a local socket.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// A string binding that is none.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// A string binding with an object.
    #[error("an object is given with --object")]
    Object,
    /// A string binding with an option.
    #[error("the option {0:?} is not known: take it away")]
    Option(String),
    /// An address with colons that is not IPv6.
    #[error("{0:?} is no IPv6 address: write one as in [2001:db8::7]:135")]
    Ipv6(String),
    /// A bracket that is never closed.
    #[error("the ] is missing: write [IPv6]:PORT")]
    Unclosed,
    /// Something else than a port behind an address in brackets.
    #[error("{0:?} behind the ]: write [IPv6]:PORT")]
    BehindBracket(String),
    /// No port, or port 0.
    #[error("{0:?} is no port: write a decimal number from 1 to 65535")]
    Port(String),
    /// What no interface is called.
    #[error("{0:?} is neither a UUID nor the name of an interface that epm knows")]
    Interface(String),
    /// What is no version.
    #[error("{0:?} is no version: write MAJOR.MINOR")]
    Version(String),
    /// An interface whose version is needed, and neither given nor known.
    #[error("which version? Write it behind the interface: {0}:1.0")]
    NoVersion(Uuid),
    /// The nil UUID as an interface.
    #[error("the nil UUID is no interface: no mapper takes it")]
    NilInterface,
    /// An endpoint that leads nowhere.
    #[error("{0} has no endpoint: write one that clients can go to, as in ncacn_ip_tcp:[49152]")]
    NoEndpoint(Binding),
    /// More endpoints than a call carries.
    #[error("too many bindings: write at most {0}")]
    Endpoints(u32),
    /// A text that no entry holds; its length.
    #[error("an annotation of {0} octets: write at most 63, and no NUL")]
    Annotation(usize),
    /// NDR64 in a byte order that it does not know.
    #[error("NDR64 is little-endian: leave --byte-order big away, or write --transfer-syntax ndr")]
    BigNdr64,
    /// What is no time to wait.
    #[error("write seconds or milliseconds, up to a day: 10, 10s or 500ms")]
    Timeout,
    /// What no user is called.
    #[error("{0:?} is no user: write NAME, DOMAIN\\NAME or NAME@REALM")]
    User(String),
    /// An option of a logon without who logs on.
    #[error("{0} is about a logon: say who logs on with --user")]
    NoUser(&'static str),
    /// Two mechanisms of which each is to be the only one.
    #[error("--ntlm and --kerberos: write one of them, or none for what the server prefers")]
    TwoMechanisms,
    /// A mechanism that this program lacks.
    #[error("this epm is built without Kerberos: build it with --features kerberos")]
    NoKerberos,
    /// A server that has no name to ask a ticket for.
    #[error("Kerberos needs the server's name: write that for its address, or --target host/NAME")]
    NoTarget,
}
