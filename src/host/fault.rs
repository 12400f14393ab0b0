//! How an operation refuses a call.

use crate::service::Reply;
use crate::wire::{DecodeError, FaultStatus};

/// A fault instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault {status}")]
pub struct Fault {
    /// What the client is told.
    pub status: FaultStatus,
    /// Whether the operation has certainly done nothing, so that the client may
    /// ask again.
    pub did_not_execute: bool,
}

impl Fault {
    /// The stub does not decode.
    pub const BAD_STUB: Fault = Fault::new(FaultStatus::BAD_STUB_DATA);

    /// The interface has no such operation.
    pub const NO_SUCH_OPERATION: Fault = Fault::not_executed(FaultStatus::OP_RNG_ERROR);

    /// The caller may not.
    pub const ACCESS_DENIED: Fault = Fault::new(FaultStatus::ACCESS_DENIED);

    /// The call has been cancelled.
    pub const CANCELLED: Fault = Fault::new(FaultStatus::CANCEL);

    /// A context handle that the client does not have.
    pub const CONTEXT_MISMATCH: Fault = Fault::new(FaultStatus::CONTEXT_MISMATCH);

    /// A fault of this status.
    pub const fn new(status: FaultStatus) -> Fault {
        Fault {
            status,
            did_not_execute: false,
        }
    }

    /// The same, of an operation that was not entered.
    pub const fn not_executed(status: FaultStatus) -> Fault {
        Fault {
            status,
            did_not_execute: true,
        }
    }
}

impl From<FaultStatus> for Fault {
    fn from(status: FaultStatus) -> Fault {
        Fault::new(status)
    }
}

impl From<DecodeError> for Fault {
    fn from(_: DecodeError) -> Fault {
        Fault::BAD_STUB
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Reply {
        Reply::Fault {
            status: fault.status,
            did_not_execute: fault.did_not_execute,
        }
    }
}
