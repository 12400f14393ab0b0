//! Asks other servers: connections, binds and calls.
//!
//! Whoever has a string binding and an interface's UUID takes a [`Handle`]: it
//! finds the server through the mapper of its host, connects, binds and calls,
//! and does so again when the server has moved.
//!
//! Holds the initiating end over sockets and the two interfaces that every
//! mapper serves. Whatever is asked has a deadline: no step waits longer,
//! whatever the peer does. What a peer answers is bounded
//! before it is kept. Who authenticates hands in what makes security contexts;
//! what those are is none of this layer's business. Leaves out every protocol
//! sequence but `ncacn_ip_tcp` and `ncalrpc`.

mod authentication;
pub mod call;
mod connection;
pub mod control;
pub mod ept;
pub mod error;
#[cfg(test)]
pub(crate) mod fake;
pub mod handle;
pub mod mgmt;
pub mod registrar;
mod resolve;
pub mod resolver;

pub use crate::proto::SecurityContext;
pub use crate::transport::tcp::EPMAP_PORT;
pub use crate::transport::unix::{PathFault, local_mapper, socket_path};
pub use authentication::{Authentication, Begun, Refusal, Settings};
pub use call::{Client, Encoding, Reply};
pub use control::Control;
pub use ept::Mapper;
pub use error::{CallError, LeftOut, Near, Unusable};
pub use handle::{Canceller, Handle, Once, Options};
pub use mgmt::Management;
pub use registrar::{Registrar, RegistrarSettings, Registration};
pub use resolve::Peer;
pub use resolver::Resolver;

use crate::proto::ProtocolError;
use crate::wire::pdu::AuthType;
use crate::wire::status::{ContextResult, ProviderReason, RejectReason};
use crate::wire::tower::ProtocolSequence;
use crate::wire::{DecodeError, EptStatus, FaultStatus, SyntaxId};
use std::fmt;
use std::io;

/// The step of a conversation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// From a name to addresses.
    Resolve,
    /// From an address to a connection.
    Connect,
    /// Agreeing on an interface and a transfer syntax.
    Bind,
    /// A call and its answer.
    Call,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Step::Resolve => "resolve",
            Step::Connect => "connect",
            Step::Bind => "bind",
            Step::Call => "call",
        })
    }
}

/// Why a server could not be asked, and at which step.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {failure}")]
pub struct ClientError {
    /// Where it happened.
    pub step: Step,
    /// What happened.
    pub failure: Failure,
}

impl ClientError {
    /// A failure at a step.
    pub fn new(step: Step, failure: Failure) -> Self {
        ClientError { step, failure }
    }
}

/// What went wrong in a conversation.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The caller asks for a protocol sequence that the client does not speak.
    #[error(
        "{0} is not spoken; use {tcp} or {local}",
        tcp = ProtocolSequence::NcacnIpTcp,
        local = ProtocolSequence::Ncalrpc
    )]
    ProtocolSequence(ProtocolSequence),
    /// The caller gave an endpoint that is no TCP port.
    #[error("endpoint {0:?} is no port number")]
    Port(String),
    /// The caller gave an endpoint that is no path of a local socket.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// The name has no address, or could not be asked for.
    #[error("no address for {host:?}: {error}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// No address of the server took the connection, or its socket did not.
    #[error("{}", Attempt::list(.0))]
    Unreachable(Vec<Attempt>),
    /// The deadline has passed.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The server closed the connection where an answer was due.
    #[error("the server closed the connection")]
    Closed,
    /// The server refused the bind: bind_nak.
    #[error("the server refused: {0}")]
    Refused(RejectReason),
    /// The server does not take the logon: most likely name or password are wrong,
    /// or the account may not log on.
    #[error("the server refused the logon: {0}")]
    LogonRefused(Refusal),
    /// The server does not authenticate clients in this way, or in none.
    #[error("the server does not authenticate by {0}")]
    NoAuthentication(AuthType),
    /// The logon came to nothing before the server was asked, or the server is
    /// not who it says.
    #[error("cannot log on: {0}")]
    Logon(String),
    /// The server refused the interface or its transfer syntax: the result of
    /// the presentation context and its reason.
    #[error("the server refused the interface: {0}, {1}")]
    Rejected(ContextResult, ProviderReason),
    /// The server accepted a context in a transfer syntax that it was not
    /// offered in.
    #[error("the server chose transfer syntax {0}, which was not offered")]
    Syntax(SyntaxId),
    /// The server answered the bind or the call with a fault.
    #[error("fault {0}")]
    Fault(FaultStatus),
    /// The operation returned this status.
    #[error("status {0}")]
    Status(EptStatus),
    /// The server asked to end the connection.
    #[error("the server ends the connection")]
    Shutdown,
    /// The server's PDUs are out of order or unsound.
    #[error("the server broke the protocol: {0}")]
    Protocol(ProtocolError),
    /// The server's answer does not decode.
    #[error("the server's answer does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The server's answers never end.
    #[error("the server's answer does not end: {what} above the limit of {limit}")]
    Endless {
        /// What there is too much of.
        what: &'static str,
        /// The most that is taken.
        limit: usize,
    },
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::Closed => Failure::Closed,
            ProtocolError::Timeout => Failure::Timeout,
            ProtocolError::Shutdown => Failure::Shutdown,
            other => Failure::Protocol(other),
        }
    }
}

/// A peer that did not take a connection.
#[derive(Debug)]
pub struct Attempt {
    /// Where it should have been.
    pub peer: Peer,
    /// Why not.
    pub error: io::Error,
}

impl Attempt {
    /// All attempts in one line.
    fn list(attempts: &[Attempt]) -> String {
        let each = |attempt: &Attempt| format!("{}: {}", attempt.peer, attempt.error);
        attempts.iter().map(each).collect::<Vec<_>>().join("; ")
    }
}
