//! What an interface is: an id, transfer syntaxes, operations.

use super::access::Trust;
use super::session::Session;
use crate::registry::Handles;
use crate::wire::{DecodeError, EptStatus, FaultStatus, Input, Output, SyntaxId, TransferSyntax};
use std::fmt;
use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::Instant;
use uuid::Uuid;

/// One call of an operation, with all that it may need of the world.
pub struct Call<'a> {
    /// The time.
    pub now: Instant,
    /// The operation.
    pub opnum: u16,
    /// The object UUID of the request's header.
    pub object: Option<Uuid>,
    /// The arguments; their byte order and transfer syntax are the reply's.
    pub stub: Input<'a>,
    /// The IPv4 address that the caller dialled; `None` where it dialled none.
    pub dialled: Option<Ipv4Addr>,
    /// The open walks of the caller's association group.
    pub handles: &'a mut Handles,
    /// Makes a UUID that nobody can guess.
    pub fresh: &'a dyn Fn() -> Uuid,
    /// How far the caller's word is to be taken.
    pub trust: Trust,
    /// Whether the caller wants no answer; none is sent.
    pub maybe: bool,
    /// The connection that it came over.
    pub session: &'a dyn Session,
}

/// What running a call comes to, at once or later.
pub enum Outcome {
    /// A reply.
    Now(Reply),
    /// A reply that has to be waited for. The connection goes on meanwhile: with
    /// multiplexing it begins further calls, else one after the other.
    ///
    /// It is dropped unfinished when the client gives the call up or is gone:
    /// what has to come to its end all the same must not be part of it.
    Later(Later),
}

/// A reply to wait for.
pub type Later = Pin<Box<dyn Future<Output = Reply> + Send>>;

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Outcome::Now(reply)
    }
}

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The stub of a response.
    Response(Vec<u8>),
    /// A fault.
    Fault {
        /// Its status.
        status: FaultStatus,
        /// Whether it says that nothing was executed.
        did_not_execute: bool,
    },
}

impl Reply {
    /// The stub does not decode.
    ///
    /// # Source
    /// Windows, on a port other than 135: 0x6f7, flags 03.
    pub const BAD_STUB: Reply = Reply::Fault {
        status: FaultStatus::BAD_STUB_DATA,
        did_not_execute: false,
    };

    /// The interface has no such operation.
    ///
    /// # Source
    /// Windows Server 2022 on opnum 42: 0x1c010002, flags 23.
    pub const NO_SUCH_OPERATION: Reply = Reply::Fault {
        status: FaultStatus::OP_RNG_ERROR,
        did_not_execute: true,
    };

    /// A response whose stub `encode` writes in the byte order and the transfer
    /// syntax of the arguments `asked`.
    pub fn response(asked: Input<'_>, encode: impl FnOnce(&mut Output)) -> Reply {
        // A map's answer fits, so that it does not grow step by step.
        let mut stub = Vec::with_capacity(256);
        encode(&mut Output::stub(&mut stub, asked.order(), asked.syntax()));
        Reply::Response(stub)
    }
}

impl From<DecodeError> for Reply {
    /// One fault for whatever does not decode, [`Reply::BAD_STUB`].
    fn from(_: DecodeError) -> Reply {
        Reply::BAD_STUB
    }
}

/// Why a call is not answered: by a status in its response, or by a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A response with nothing but this status.
    Status(EptStatus),
    /// A fault, as in `Reply`.
    Fault {
        /// Its status.
        status: FaultStatus,
        /// Whether it says that nothing was executed.
        did_not_execute: bool,
    },
}

impl Refusal {
    /// The reply: the fault, or what `response` makes of the status.
    pub fn reply(self, response: impl FnOnce(EptStatus) -> Reply) -> Reply {
        match self {
            Refusal::Status(status) => response(status),
            Refusal::Fault {
                status,
                did_not_execute,
            } => Reply::Fault {
                status,
                did_not_execute,
            },
        }
    }
}

impl From<EptStatus> for Refusal {
    fn from(status: EptStatus) -> Self {
        Refusal::Status(status)
    }
}

/// An interface that a server offers.
pub trait Interface: Send + Sync {
    /// Its UUID and version.
    fn id(&self) -> SyntaxId;

    /// The transfer syntaxes that its stubs may come in, the preferred one first.
    fn transfer_syntaxes(&self) -> &[TransferSyntax];

    /// Runs one call.
    fn call(&self, call: Call<'_>) -> Outcome;
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Call")
            .field("opnum", &self.opnum)
            .field("object", &self.object)
            .field("stub", &self.stub)
            .field("dialled", &self.dialled)
            .finish_non_exhaustive()
    }
}
