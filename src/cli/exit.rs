//! How `epm` ends: exit statuses, messages, and what to do about them.

use super::mistake::ArgumentError;
use super::password::PasswordError;
use crate::client::{Attempt, ClientError, Failure, Peer, Step};
use crate::wire::binding::Binding;
use crate::wire::status::ProviderReason;
use crate::wire::{EptStatus, FaultStatus};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The exit statuses, for the help and the man pages.
pub const HELP: &str = "\
Exit status:
  0  found, registered or taken out
  1  nothing registered, or not what was to be taken out
  2  usage
  3  not reachable: no address, no connection, or no answer in time
  4  the server refused or broke the protocol
  5  the system failed: the output could not be written, for example";

/// The exit statuses of `epm hold`.
pub const HOLD_HELP: &str = "\
Exit status: that of the command, or
  128+N    signal N ended it
  126      it could not be run
  127      it was not found
  2 to 5   it was not started, since it could not be registered: as for the
           other commands of epm";

/// The exit status of arguments that cannot be.
pub const USAGE: u8 = 2;

/// The exit status of a command that went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something was found.
    Found,
    /// The mapper answered that there is nothing.
    NothingRegistered,
    /// A command was run and ended with this status.
    Ended(u8),
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
            Outcome::Ended(status) => status,
        })
    }
}

/// Why a command did not go through.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The arguments do not go together.
    #[error(transparent)]
    Usage(#[from] ArgumentError),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The server could not be asked.
    #[error("{step}: {} {server}: {}", doing(.error.step), .error.failure, step = .error.step)]
    Client {
        /// Who was asked.
        server: String,
        /// What happened.
        error: Arc<ClientError>,
    },
    /// The mapper did not change its registry as it was asked to.
    #[error("call: cannot {change} {server}: {}", words(&.error.failure))]
    Change {
        /// What it was asked to do.
        change: Change,
        /// Who was asked.
        server: String,
        /// What happened.
        error: Arc<ClientError>,
    },
    /// The server has no control interface, or not there.
    #[error("bind: {server} does not serve the control interface of epmapperd there")]
    NoControl {
        /// Who was asked.
        server: String,
    },
    /// A command could not be started.
    #[error("cannot start {command:?}: {error}")]
    Start {
        /// Which one.
        command: OsString,
        /// Why not.
        error: io::Error,
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
    pub fn of<E: Into<Arc<ClientError>>>(server: &Binding) -> impl Fn(E) -> CommandError {
        move |error| CommandError::Client {
            server: server.to_string(),
            error: error.into(),
        }
    }

    /// Says who was asked, for errors in reaching a control interface.
    pub fn of_control<E: Into<Arc<ClientError>>>(server: &Binding) -> impl Fn(E) -> CommandError {
        move |error| {
            let error = error.into();
            match error.failure {
                Failure::Rejected(_, ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED) => {
                    CommandError::NoControl {
                        server: server.to_string(),
                    }
                }
                _ => CommandError::of(server)(error),
            }
        }
    }

    /// Says who was asked for which change.
    pub fn change<E: Into<Arc<ClientError>>>(
        server: &Binding,
        change: Change,
    ) -> impl Fn(E) -> CommandError {
        move |error| CommandError::Change {
            change,
            server: server.to_string(),
            error: error.into(),
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
            CommandError::Password(PasswordError::File { .. }) => 5,
            CommandError::Usage(_) | CommandError::Password(_) => USAGE,
            CommandError::NoControl { .. } => 4,
            CommandError::Start { error, .. } if error.kind() == io::ErrorKind::NotFound => 127,
            CommandError::Start { .. } => 126,
            CommandError::Client { error, .. } | CommandError::Change { error, .. } => {
                match error.failure {
                    Failure::ProtocolSequence(_) | Failure::Port(_) | Failure::Path(_) => USAGE,
                    Failure::Name { .. } | Failure::Unreachable(_) | Failure::Timeout => 3,
                    _ => 4,
                }
            }
            CommandError::Output(_) | CommandError::File { .. } | CommandError::Runtime(_) => 5,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommandError::Change { error, .. } => change_hint(error).or_else(|| hint(error)),
            CommandError::Client { error, .. } => hint(error),
            CommandError::Password(PasswordError::Terminal(_)) => {
                Some("give it with --password-file or in the environment's EPM_PASSWORD")
            }
            CommandError::NoControl { .. } => Some(
                "use the local socket of an epmapperd on this host: \
                 --at 'ncalrpc:[/run/epmapper/EPMAPPER]'",
            ),
            _ => None,
        }
    }
}

/// What a mapper is asked to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// To take entries in.
    Register,
    /// To take entries out.
    Delete,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Change::Register => "register at",
            Change::Delete => "delete at",
        })
    }
}

/// What a failure to change a registry means.
fn words(failure: &Failure) -> String {
    let meaning = match failure {
        Failure::Status(EptStatus::CANT_PERFORM_OP | EptStatus::WIN32_CANT_PERFORM_OP)
        | Failure::Fault(FaultStatus::OP_RNG_ERROR | FaultStatus::CANT_PERFORM) => {
            "the mapper does not let you"
        }
        Failure::Status(EptStatus::NOT_REGISTERED | EptStatus::WIN32_NOT_REGISTERED) => {
            "there is no such entry"
        }
        Failure::Status(EptStatus::UPDATE_FAILED) => "the mapper could not keep the change",
        Failure::Status(EptStatus::INVALID_ENTRY) => "the mapper does not take such an entry",
        Failure::Status(EptStatus::NO_MEMORY | EptStatus::EPT_NO_MEMORY) => {
            "the mapper has no room for it"
        }
        Failure::Fault(FaultStatus::SERVER_TOO_BUSY) => "too many changes in a short time",
        other => return other.to_string(),
    };
    format!("{meaning}: {failure}")
}

/// What to do when a registry was not changed.
fn change_hint(error: &ClientError) -> Option<&'static str> {
    Some(match &error.failure {
        Failure::Status(EptStatus::CANT_PERFORM_OP | EptStatus::WIN32_CANT_PERFORM_OP)
        | Failure::Fault(FaultStatus::OP_RNG_ERROR | FaultStatus::CANT_PERFORM) => {
            "its log says why; its configuration says who may register what"
        }
        Failure::Status(EptStatus::UPDATE_FAILED) => {
            "nothing was changed; its log says why: a full disk, for example"
        }
        Failure::Status(EptStatus::INVALID_ENTRY) => {
            "check interface and bindings; --replace does not go over a higher minor version"
        }
        Failure::Status(EptStatus::NO_MEMORY | EptStatus::EPT_NO_MEMORY) => {
            "nothing was changed; its log says which of its limits was reached"
        }
        Failure::Fault(FaultStatus::SERVER_TOO_BUSY) => "nothing was changed; try again later",
        _ => return None,
    })
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
            "the server wants to know who asks, or does not let this user: see --user"
        }
        Failure::LogonRefused(_) => {
            "check user, password and --level; the server's log may say which of them it does not take"
        }
        Failure::NoAuthentication(_) => {
            "try --ntlm or --kerberos, or ask anonymously: leave --user away"
        }
        Failure::Logon(_) => "nothing was asked: check user, password, ticket and clock",
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

    #[test]
    fn a_change_that_was_refused_is_told_in_words() {
        let server = Binding::new(ProtocolSequence::Ncalrpc);
        let refused = |failure| {
            let error = ClientError::new(Step::Call, failure);
            CommandError::change(&server, Change::Register)(error)
        };
        for (failure, words, hint) in [
            (
                Failure::Status(EptStatus::CANT_PERFORM_OP),
                "does not let you: status ept_s_cant_perform_op (0x16c9a0cd)",
                "log",
            ),
            (
                Failure::Fault(FaultStatus::OP_RNG_ERROR),
                "does not let you: fault nca_s_op_rng_error (0x1c010002)",
                "log",
            ),
            (
                Failure::Status(EptStatus::UPDATE_FAILED),
                "could not keep the change",
                "disk",
            ),
            (
                Failure::Status(EptStatus::INVALID_ENTRY),
                "does not take such an entry",
                "minor version",
            ),
            (
                Failure::Status(EptStatus::EPT_NO_MEMORY),
                "no room",
                "limits",
            ),
        ] {
            let error = refused(failure);
            let message = error.to_string();
            assert!(
                message.starts_with("call: cannot register at ncalrpc:"),
                "{message}"
            );
            assert!(message.contains(words), "{message}");
            assert!(error.hint().unwrap().contains(hint), "{message}");
            assert_eq!(error.code(), 4);
        }
        let gone = refused(Failure::Timeout);
        assert_eq!(gone.code(), 3);
    }

    #[test]
    fn a_command_that_cannot_be_started_has_the_status_of_a_shell() {
        let start = |kind: io::ErrorKind| CommandError::Start {
            command: "serve".into(),
            error: kind.into(),
        };
        assert_eq!(start(io::ErrorKind::NotFound).code(), 127);
        assert_eq!(start(io::ErrorKind::PermissionDenied).code(), 126);
        assert_eq!(ExitCode::from(Outcome::Ended(143)), ExitCode::from(143));
    }

    #[test]
    fn who_has_no_control_interface_is_told_where_it_is() {
        let server = Binding::new(ProtocolSequence::NcacnIpTcp);
        let failure = Failure::Rejected(
            ContextResult::PROVIDER_REJECTION,
            ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED,
        );
        let error = CommandError::of_control(&server)(ClientError::new(Step::Bind, failure));
        assert!(error.to_string().contains("does not serve the control"));
        assert!(error.hint().unwrap().contains("local socket"));
        assert_eq!(error.code(), 4);
    }
}
