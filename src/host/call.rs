//! What an operation is called with.

use super::fault::Fault;
use crate::registry::{Authentication, Origin};
use crate::service::{self, Cancel, Contexts};
use crate::wire::ndr::ContextHandle;
use crate::wire::stub::Parameters;
use crate::wire::{ByteOrder, FaultStatus, TransferSyntax};
use std::any::{Any, type_name};
use std::future::Future;
use std::sync::Arc;
use tracing::debug;
use uuid::Uuid;

/// One call: who makes it, about what, and how its stubs are written.
///
/// It may be kept for as long as the call runs, and be asked from any task.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation.
    pub opnum: u16,
    /// The object UUID that the call names.
    pub object: Option<Uuid>,
    /// Whether the client wants no answer; what is returned is dropped then.
    pub maybe: bool,
    /// Where the call comes from.
    pub origin: Origin,
    /// How the caller has shown who it is.
    pub authentication: Option<Authentication>,
    /// The byte order of the stubs.
    pub order: ByteOrder,
    /// The transfer syntax of the stubs.
    pub syntax: TransferSyntax,
    /// Tells of a cancel.
    cancel: Cancel,
    /// What is kept for the client from call to call.
    contexts: Arc<Contexts>,
}

impl Call {
    /// What an operation may know of a call.
    pub(super) fn of(call: &service::Call<'_>) -> Call {
        Call {
            opnum: call.opnum,
            object: call.object,
            maybe: call.maybe,
            origin: call.session.origin(),
            authentication: call.session.authentication(),
            order: call.stub.order(),
            syntax: call.stub.syntax(),
            cancel: call.session.cancel(),
            contexts: call.session.contexts(),
        }
    }

    /// An answer: the stub of the results, written as the client reads it.
    ///
    /// # Errors
    /// None; it is a `Result` to be what an operation returns.
    pub fn reply<'a>(&self, results: &impl Parameters<'a>) -> Result<Vec<u8>, Fault> {
        Ok(results.encode(self.order, self.syntax))
    }

    /// Whether the client has asked to cancel the call.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until the client asks to cancel the call: for ever where it does
    /// not.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        self.cancel.cancelled()
    }

    /// Keeps a value for the client under a new context handle. It is dropped
    /// when the handle is closed, or the client's last connection is gone. Give
    /// each kind of handle a type of its own: then none is taken for another.
    ///
    /// # Errors
    /// `REMOTE_NO_MEMORY` when the client has as many as it may.
    pub fn open<T: Any + Send + Sync>(&self, value: T) -> Result<ContextHandle, Fault> {
        let by = self.authentication.as_ref();
        let handle = self.contexts.open(Uuid::new_v4(), by, value);
        handle.ok_or(Fault::new(FaultStatus::REMOTE_NO_MEMORY))
    }

    /// The value that a context handle stands for.
    ///
    /// # Errors
    /// `CONTEXT_MISMATCH` when the client has no such handle, opened it as
    /// another account or with more protection, or it stands for something of
    /// another type.
    pub fn context<T: Any + Send + Sync>(&self, handle: &ContextHandle) -> Result<Arc<T>, Fault> {
        let by = self.authentication.as_ref();
        self.contexts.get(handle, by).ok_or(Fault::CONTEXT_MISMATCH)
    }

    /// Closes a context handle, and gives its value.
    ///
    /// # Errors
    /// As [`context`](Self::context).
    pub fn close<T: Any + Send + Sync>(&self, handle: &ContextHandle) -> Result<Arc<T>, Fault> {
        let by = self.authentication.as_ref();
        self.contexts
            .close(handle, by)
            .ok_or(Fault::CONTEXT_MISMATCH)
    }
}

/// The arguments of a call, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Stub<'a> {
    /// The octets.
    pub octets: &'a [u8],
    /// Their byte order.
    pub order: ByteOrder,
    /// Their transfer syntax.
    pub syntax: TransferSyntax,
}

impl<'a> Stub<'a> {
    /// The parameters. Where and why they end is logged at level debug: the
    /// client is not told, and whoever writes the declaration wants to know.
    ///
    /// # Errors
    /// `BAD_STUB` when they are not these.
    pub fn decode<T: Parameters<'a>>(&self) -> Result<T, Fault> {
        T::decode(self.octets, self.order, self.syntax).map_err(|error| {
            let (octets, parameters) = (self.octets.len(), type_name::<T>());
            debug!(parameters, octets, "a stub does not decode: {error}");
            error.into()
        })
    }
}
