//! Why a call came to nothing: one error, from the binding to the answer.
//!
//! Each kind is something else for the caller to do. What is written of it is
//! for a person: what happened, where, and what to look at.

use super::{Attempt, ClientError, Failure, Step};
use crate::wire::status::{ContextResult, ProviderReason};
use crate::wire::tower::ProtocolSequence;
use crate::wire::{DecodeError, FaultStatus, SyntaxId};
use std::fmt;
use uuid::Uuid;

/// Why a call, or the way to its server, came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The binding says what no client can follow, or its host has no address.
    #[error("the binding leads nowhere: {0}")]
    Binding(Failure),
    /// No endpoint mapper takes a connection at that host.
    #[error(
        "no endpoint mapper at {mapper}: {failure}; is it the right host, and does a mapper run there?"
    )]
    NoMapper {
        /// The mapper's binding.
        mapper: String,
        /// What happened to the connection.
        failure: Failure,
    },
    /// Something is there where the mapper should be, and does not answer as one.
    #[error("the endpoint mapper at {mapper} does not answer what it was asked: {error}")]
    Mapper {
        /// The mapper's binding.
        mapper: String,
        /// What it did.
        error: ClientError,
    },
    /// The mapper knows no server of the interface.
    #[error(
        "{interface}{} is not registered at {mapper}{}",
        object_text(.object),
        near_text(*.near)
    )]
    NotRegistered {
        /// What was asked for.
        interface: SyntaxId,
        /// The object that it was asked for.
        object: Option<Uuid>,
        /// The mapper's binding.
        mapper: String,
        /// What of it the mapper knows instead, if anything.
        near: Option<Near>,
    },
    /// The mapper knows servers, and none that this client may go to.
    #[error(
        "{interface}{} is registered at {mapper}, but not where this client can go: {}",
        object_text(.object),
        LeftOut::list(.left_out)
    )]
    NoUsableEndpoint {
        /// What was asked for.
        interface: SyntaxId,
        /// The object that it was asked for.
        object: Option<Uuid>,
        /// The mapper's binding.
        mapper: String,
        /// What the mapper told instead; each kind once.
        left_out: Vec<LeftOut>,
    },
    /// Nobody takes a connection where the server should be.
    #[error("no server at its endpoint: {}; has it ended?", Attempt::list(.0))]
    EndpointDead(Vec<Attempt>),
    /// The server does not serve the interface, or not in that version.
    #[error("the server at {at} does not serve {interface}; is it the right server and version?")]
    InterfaceUnknown {
        /// What was asked for.
        interface: SyntaxId,
        /// The server's binding.
        at: String,
    },
    /// The server refuses to be bound to.
    #[error("the server at {at} refuses the bind: {failure}")]
    Refused {
        /// The server's binding.
        at: String,
        /// Why.
        failure: Failure,
    },
    /// The server does not take the logon, or there was none to show.
    #[error("no logon at {at}: {failure}; are name and password right, and may they log on?")]
    Logon {
        /// The server's binding.
        at: String,
        /// What happened.
        failure: Failure,
    },
    /// The server answered the call with a fault.
    #[error("{}", fault_text(*.0))]
    Fault(FaultStatus),
    /// The deadline has passed.
    #[error("no answer in time ({step}){}", fate(*.may_have_run))]
    Timeout {
        /// What was waited for.
        step: Step,
        /// Whether the call may have been executed.
        may_have_run: bool,
    },
    /// The caller cancelled the call.
    #[error("cancelled{}", fate(*.may_have_run))]
    Cancelled {
        /// Whether the call may have been executed, in part or in whole.
        may_have_run: bool,
    },
    /// The connection ended or the server broke the protocol.
    #[error("the conversation with {at} broke: {failure}{}", fate(*.may_have_run))]
    Broken {
        /// The server's binding.
        at: String,
        /// How.
        failure: Failure,
        /// Whether the call may have been executed.
        may_have_run: bool,
    },
    /// The server's answer does not decode.
    #[error("the server's answer does not decode: {0}; do both ends mean the same interface?")]
    Decode(#[from] DecodeError),
}

/// What a mapper knows of an interface that is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// Servers of it for other objects.
    OtherObjects,
    /// Servers of versions of it that do not serve the one asked for.
    OtherVersions,
}

/// A kind of towers that the mapper told, and no client could follow here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// How it is reached; `None` where the tower does not say.
    pub protseq: Option<ProtocolSequence>,
    /// Why it was left out.
    pub reason: Unusable,
}

/// Why a tower is of no use to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// This client does not speak its protocol sequence.
    NotSpoken,
    /// The caller did not ask for its protocol sequence.
    NotAsked,
    /// It says no endpoint, or nothing that can be read.
    NoEndpoint,
    /// It is a loopback address or a local socket, and the mapper that tells it
    /// is on another host: it would be this host's.
    Elsewhere,
}

impl LeftOut {
    /// All of them in one line.
    fn list(left_out: &[LeftOut]) -> String {
        let texts: Vec<_> = left_out.iter().map(LeftOut::to_string).collect();
        texts.join("; ")
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.protseq {
            Some(protseq) => protseq.fmt(f)?,
            None => f.write_str("a tower")?,
        }
        f.write_str(match self.reason {
            Unusable::NotSpoken => ", which is not spoken",
            Unusable::NotAsked => ", which was not asked for",
            Unusable::NoEndpoint => " without an endpoint",
            Unusable::Elsewhere => " within that host alone",
        })
    }
}

impl CallError {
    /// Whether the call may have been executed, for all that the client knows.
    ///
    /// A fault is the server's answer: what the operation did before, only its
    /// documentation can tell.
    pub fn may_have_run(&self) -> bool {
        match self {
            CallError::Timeout { may_have_run, .. }
            | CallError::Cancelled { may_have_run }
            | CallError::Broken { may_have_run, .. } => *may_have_run,
            CallError::Fault(_) | CallError::Decode(_) => true,
            _ => false,
        }
    }

    /// The error of a second attempt, whose first failed so: what may have been
    /// executed stays that.
    pub(super) fn behind(self, first: CallError) -> Self {
        match self {
            second if second.may_have_run() || !first.may_have_run() => second,
            CallError::Cancelled { .. } => CallError::Cancelled { may_have_run: true },
            _ => first,
        }
    }

    /// Why a server could not be connected to or bound.
    pub(super) fn of_bind(error: ClientError, interface: SyntaxId, at: String) -> Self {
        match (error.step, error.failure) {
            (Step::Connect, Failure::Unreachable(attempts)) => CallError::EndpointDead(attempts),
            (Step::Resolve, failure) if !matches!(failure, Failure::Timeout) => {
                CallError::Binding(failure)
            }
            (step, Failure::Timeout) => CallError::Timeout {
                step,
                may_have_run: false,
            },
            (_, failure) if is_logon(&failure) => CallError::Logon { at, failure },
            (_, failure) if is_unknown(&failure) => CallError::InterfaceUnknown { interface, at },
            (_, failure) if is_refusal(&failure) => CallError::Refused { at, failure },
            (_, failure) => CallError::Broken {
                at,
                failure,
                may_have_run: false,
            },
        }
    }

    /// Why a call came to nothing; `is_sent` tells whether the server may have
    /// all of it.
    pub(super) fn of_call(
        failure: Failure,
        interface: SyntaxId,
        at: String,
        is_sent: bool,
    ) -> Self {
        match failure {
            Failure::Fault(FaultStatus::UNK_IF) => CallError::InterfaceUnknown { interface, at },
            Failure::Fault(status) => CallError::Fault(status),
            Failure::Decode(error) => CallError::Decode(error),
            Failure::Timeout => CallError::Timeout {
                step: Step::Call,
                may_have_run: is_sent,
            },
            failure if is_logon(&failure) => CallError::Logon { at, failure },
            failure => CallError::Broken {
                at,
                failure,
                may_have_run: is_sent,
            },
        }
    }

    /// Why a mapper could not be asked.
    pub(super) fn of_mapper(error: ClientError, mapper: String) -> Self {
        match (error.step, error.failure) {
            (Step::Resolve, failure) if !matches!(failure, Failure::Timeout) => {
                CallError::Binding(failure)
            }
            (Step::Connect, failure) => CallError::NoMapper { mapper, failure },
            (step, failure) => CallError::Mapper {
                mapper,
                error: ClientError::new(step, failure),
            },
        }
    }
}

/// Whether it is about who asks.
fn is_logon(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::LogonRefused(_) | Failure::NoAuthentication(_) | Failure::Logon(_)
    )
}

/// Whether it says that the server does not know the interface.
fn is_unknown(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Fault(FaultStatus::UNK_IF)
            | Failure::Rejected(
                ContextResult::PROVIDER_REJECTION,
                ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED
            )
    )
}

/// Whether the server said so, and why.
fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Refused(_) | Failure::Rejected(..) | Failure::Fault(_) | Failure::Syntax(_)
    )
}

/// What an error says of a call whose fate is not known.
fn fate(may_have_run: bool) -> &'static str {
    match may_have_run {
        true => "; it is not known whether the call was executed",
        false => "; the call was not executed",
    }
}

/// The object that was asked for, as a message has it.
fn object_text(object: &Option<Uuid>) -> String {
    object.map_or_else(String::new, |object| format!(" of object {object}"))
}

/// What is behind an interface that is not registered, as a message has it.
fn near_text(near: Option<Near>) -> &'static str {
    match near {
        None => "; does its server run?",
        Some(Near::OtherObjects) => ", but for other objects; is the object right?",
        Some(Near::OtherVersions) => ", but in other versions; is the version right?",
    }
}

/// A fault as a message has it: Win32 codes are known by their decimal number.
fn fault_text(status: FaultStatus) -> String {
    let number = match u16::try_from(status.0) {
        Ok(number) => number.to_string(),
        Err(_) => format!("{:#x}", status.0),
    };
    match status.name() {
        Some(name) => format!("fault {number}, {name}"),
        None => format!("fault {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::RejectReason;

    #[test]
    fn a_fault_shows_its_number_and_its_name() {
        for (status, text) in [
            (FaultStatus::ACCESS_DENIED, "fault 5, access denied"),
            (
                FaultStatus::OP_RNG_ERROR,
                "fault 0x1c010002, nca_s_op_rng_error",
            ),
            (FaultStatus(7), "fault 7"),
            (FaultStatus(0xc000_0022), "fault 0xc0000022"),
        ] {
            assert_eq!(CallError::Fault(status).to_string(), text);
        }
    }

    #[test]
    fn whoever_was_not_answered_is_told_whether_the_call_may_have_run() {
        for (is_sent, text) in [
            (
                true,
                "the conversation with ncalrpc:[a] broke: the server closed the connection; \
                 it is not known whether the call was executed",
            ),
            (
                false,
                "the conversation with ncalrpc:[a] broke: the server closed the connection; \
                 the call was not executed",
            ),
        ] {
            let error = CallError::of_call(
                Failure::Closed,
                SyntaxId::EPT,
                "ncalrpc:[a]".into(),
                is_sent,
            );
            assert_eq!(error.to_string(), text);
            assert_eq!(error.may_have_run(), is_sent);
        }
    }

    #[test]
    fn what_was_left_out_is_told_by_kind() {
        let error = CallError::NoUsableEndpoint {
            interface: SyntaxId::EPT,
            object: Some(Uuid::from_u128(7)),
            mapper: "ncacn_ip_tcp:192.0.2.1".into(),
            left_out: vec![
                LeftOut {
                    protseq: Some(ProtocolSequence::NcacnNp),
                    reason: Unusable::NotSpoken,
                },
                LeftOut {
                    protseq: Some(ProtocolSequence::NcacnIpTcp),
                    reason: Unusable::Elsewhere,
                },
            ],
        };
        assert_eq!(
            error.to_string(),
            "e1af8308-5d1f-11c9-91a4-08002b14a0fa:3.0 of object \
             00000000-0000-0000-0000-000000000007 is registered at ncacn_ip_tcp:192.0.2.1, but not \
             where this client can go: ncacn_np, which is not spoken; ncacn_ip_tcp within that \
             host alone"
        );
    }

    #[test]
    fn the_answers_to_a_bind_are_told_apart() {
        let kind = |failure| {
            CallError::of_bind(
                ClientError::new(Step::Bind, failure),
                SyntaxId::EPT,
                String::new(),
            )
        };
        let rejected = |reason| Failure::Rejected(ContextResult::PROVIDER_REJECTION, reason);
        for failure in [
            rejected(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED),
            Failure::Fault(FaultStatus::UNK_IF),
        ] {
            assert!(matches!(kind(failure), CallError::InterfaceUnknown { .. }));
        }
        for failure in [
            rejected(ProviderReason::PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED),
            Failure::Refused(RejectReason::LOCAL_LIMIT_EXCEEDED),
            Failure::Fault(FaultStatus::ACCESS_DENIED),
        ] {
            assert!(matches!(kind(failure), CallError::Refused { .. }));
        }
        let logon = Failure::Logon("no ticket".into());
        assert!(matches!(kind(logon), CallError::Logon { .. }));
        let timeout = kind(Failure::Timeout);
        assert!(matches!(
            timeout,
            CallError::Timeout {
                step: Step::Bind,
                ..
            }
        ));
        assert!(matches!(kind(Failure::Closed), CallError::Broken { .. }));
    }
}
