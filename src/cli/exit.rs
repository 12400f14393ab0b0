//! How `epm` ends: exit statuses, messages, and what to do about them.

use super::mistake::ArgumentError;
use crate::client::{Attempt, ClientError, Failure, Peer, Step};
use crate::wire::binding::Binding;
use crate::wire::status::ProviderReason;
use crate::wire::{EptStatus, FaultStatus};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The exit statuses, for the help and the man pages.
pub const HELP: &str = "\
Exit status:
  0  found
  1  nothing registered
  2  usage
  3  not reachable: no address, no connection, or no answer in time
  4  the server refused or broke the protocol
  5  the system failed: the output could not be written, for example";

/// The exit status of arguments that cannot be.
pub const USAGE: u8 = 2;

/// The exit status of a command that went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something was found.
    Found,
    /// The mapper answered that there is nothing.
    NothingRegistered,
}

impl Outcome {
    /// `Found` unless there is nothing.
    pub fn of(nothing: bool) -> Self {
        match nothing {
            true => Outcome::NothingRegistered,
            false => Outcome::Found,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Found => 0,
            Outcome::NothingRegistered => 1,
        })
    }
}

/// Why a command did not go through.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The arguments do not go together.
    #[error(transparent)]
    Usage(#[from] ArgumentError),
    /// The server could not be asked.
    #[error("{step}: {} {server}: {}", doing(.error.step), .error.failure, step = .error.step)]
    Client {
        /// Who was asked.
        server: String,
        /// What happened.
        error: ClientError,
    },
    /// The output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// A file or folder could not be written.
    #[error("cannot write {path:?}: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The system gives no runtime for sockets and timers.
    #[error("cannot wait for sockets: {0}")]
    Runtime(io::Error),
}

impl CommandError {
    /// Says who was asked, for errors of the client.
    pub fn of(server: &Binding) -> impl Fn(ClientError) -> CommandError {
        move |error| CommandError::Client {
            server: server.to_string(),
            error,
        }
    }

    /// Says what was being written, for errors of a file system.
    pub fn writing(path: &Path) -> impl Fn(io::Error) -> CommandError {
        move |error| CommandError::File {
            path: path.to_owned(),
            error,
        }
    }

    /// The exit status.
    pub fn code(&self) -> u8 {
        match self {
            CommandError::Usage(_) => USAGE,
            CommandError::Client { error, .. } => match error.failure {
                Failure::ProtocolSequence(_) | Failure::Port(_) | Failure::Path(_) => USAGE,
                Failure::Name { .. } | Failure::Unreachable(_) | Failure::Timeout => 3,
                _ => 4,
            },
            CommandError::Output(_) | CommandError::File { .. } | CommandError::Runtime(_) => 5,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommandError::Client { error, .. } => hint(error),
            _ => None,
        }
    }
}

/// What a step does to its server.
fn doing(step: Step) -> &'static str {
    match step {
        Step::Resolve => "cannot find",
        Step::Connect => "cannot reach",
        Step::Bind => "cannot bind to",
        Step::Call => "cannot ask",
    }
}

/// What to do about an error of the client.
fn hint(error: &ClientError) -> Option<&'static str> {
    Some(match &error.failure {
        Failure::Name { .. } => "check the name, or give an address",
        Failure::Unreachable(attempts) if attempts.iter().any(is_local) => {
            "check that an endpoint mapper runs on this host and listens there (its log tells \
             where), and that you may write to the socket"
        }
        Failure::Unreachable(_) => {
            "check that an endpoint mapper runs there and that no firewall blocks this port"
        }
        Failure::Timeout if error.step == Step::Resolve => {
            "give an address, or more time with --timeout"
        }
        Failure::Timeout => {
            "check that this port is the endpoint mapper's, or give more time with --timeout"
        }
        Failure::Broken(_) | Failure::Closed | Failure::Shutdown if error.step == Step::Bind => {
            "the server may limit connections, or this port may not be the endpoint mapper's"
        }
        Failure::Protocol(_) | Failure::Decode(_) if error.step == Step::Bind => {
            "check that this port is the endpoint mapper's: what listens there speaks otherwise"
        }
        Failure::Rejected(_, ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED) => {
            "epm offers NDR 2.0 and NDR64 unless --transfer-syntax or --byte-order tells otherwise"
        }
        Failure::Rejected(..) => "check that this port is the endpoint mapper's",
        Failure::Fault(FaultStatus::ACCESS_DENIED) | Failure::Status(EptStatus::ACCESS_DENIED) => {
            "the server wants to know who asks; epm cannot authenticate yet"
        }
        Failure::Refused(_) | Failure::Fault(_) | Failure::Status(_) => {
            "the server's log may say why"
        }
        _ => return None,
    })
}

/// Whether a local socket was tried.
fn is_local(attempt: &Attempt) -> bool {
    matches!(attempt.peer, Peer::Local(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::{ContextResult, RejectReason};
    use crate::wire::tower::ProtocolSequence;

    /// An error of a server that was asked.
    fn failed(step: Step, failure: Failure) -> CommandError {
        let server = Binding::new(ProtocolSequence::NcacnIpTcp);
        CommandError::of(&server)(ClientError::new(step, failure))
    }

    #[test]
    fn each_failure_has_its_status() {
        let unknown = ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED;
        for (failure, code) in [
            (Failure::Port("x".into()), 2),
            (Failure::Unreachable(Vec::new()), 3),
            (Failure::Timeout, 3),
            (Failure::Closed, 4),
            (Failure::Refused(RejectReason::LOCAL_LIMIT_EXCEEDED), 4),
            (
                Failure::Rejected(ContextResult::PROVIDER_REJECTION, unknown),
                4,
            ),
            (Failure::Fault(FaultStatus::ACCESS_DENIED), 4),
            (Failure::Status(EptStatus::CANT_PERFORM_OP), 4),
        ] {
            assert_eq!(failed(Step::Bind, failure).code(), code);
        }
        assert_eq!(CommandError::from(ArgumentError::Timeout).code(), 2);
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(CommandError::Output(full()).code(), 5);
        assert_eq!(CommandError::writing(Path::new("x"))(full()).code(), 5);
        assert_eq!(CommandError::Runtime(full()).code(), 5);
    }

    #[test]
    fn a_message_tells_step_server_and_status() {
        let error = failed(Step::Call, Failure::Status(EptStatus::CANT_PERFORM_OP));
        assert_eq!(
            error.to_string(),
            "call: cannot ask ncacn_ip_tcp:: status ept_s_cant_perform_op (0x16c9a0cd)"
        );
    }
}
