//! An interface as a value: its name, and what its operations do.

use super::call::{Call, Stub};
use super::fault::Fault;
use crate::service::{self, Access, Outcome, Reply, Required};
use crate::wire::pdu::AuthLevel;
use crate::wire::stub::Parameters;
use crate::wire::{SyntaxId, TransferSyntax};
use std::fmt;
use std::future::Future;

/// An interface that a server offers.
///
/// ```
/// use epmapper::host::Interface;
/// use epmapper::wire::SyntaxId;
/// use uuid::uuid;
///
/// epmapper::ndr_parameters! {
///     struct AddOne { number: u32 }
/// }
///
/// let id = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
/// let echo = Interface::new(id).typed(0, |_call, asked: AddOne| {
///     Ok(AddOne { number: asked.number.wrapping_add(1) })
/// });
/// assert_eq!(echo.id(), id);
/// ```
pub struct Interface {
    /// UUID and version.
    id: SyntaxId,
    /// How its stubs may come, the preferred way first.
    transfer_syntaxes: Vec<TransferSyntax>,
    /// What each operation does, by opnum.
    operations: Vec<Option<Operation>>,
    /// Who may call them.
    access: Access,
}

/// What an operation does.
type Operation = Box<dyn Fn(Call, Stub<'_>) -> Outcome + Send + Sync>;

impl Interface {
    /// An interface without operations, whose stubs may come in NDR and NDR64.
    pub fn new(id: SyntaxId) -> Interface {
        Interface {
            id,
            transfer_syntaxes: vec![TransferSyntax::Ndr, TransferSyntax::Ndr64],
            operations: Vec::new(),
            access: Access::default(),
        }
    }

    /// UUID and version.
    pub fn id(&self) -> SyntaxId {
        self.id
    }

    /// Takes stubs in these transfer syntaxes alone, the preferred one first.
    pub fn transfer_syntaxes(mut self, syntaxes: &[TransferSyntax]) -> Interface {
        self.transfer_syntaxes = syntaxes.to_vec();
        self
    }

    /// Requires callers to have authenticated themselves, and to protect their
    /// calls at this level at least: others get the fault `ACCESS_DENIED`. Callers
    /// over local sockets pass: the system says who they are.
    pub fn require(mut self, level: AuthLevel) -> Interface {
        self.access = Access {
            required: Required::Everything,
            level,
        };
        self
    }

    /// An operation that answers at once: it holds up the other calls of this
    /// server meanwhile, so it neither waits nor computes for long.
    ///
    /// Parameters that borrow from the stub, as [`Octets`] do, are for
    /// [`operation`](Self::operation).
    ///
    /// [`Octets`]: crate::wire::stub::Octets
    pub fn typed<In, Out>(
        self,
        opnum: u16,
        run: impl Fn(&Call, In) -> Result<Out, Fault> + Send + Sync + 'static,
    ) -> Interface
    where
        In: for<'a> Parameters<'a>,
        Out: for<'a> Parameters<'a>,
    {
        self.operation(opnum, move |call, stub| {
            call.reply(&run(call, stub.decode()?)?)
        })
    }

    /// An operation that may wait. Calls of a client that agreed on it run side
    /// by side, those of others one after the other.
    ///
    /// The future is dropped where it waits when the client gives the call up or
    /// is gone: what has to be finished all the same is to be spawned.
    pub fn typed_async<In, Out, Later>(
        self,
        opnum: u16,
        run: impl Fn(Call, In) -> Later + Send + Sync + 'static,
    ) -> Interface
    where
        In: for<'a> Parameters<'a>,
        Out: for<'a> Parameters<'a>,
        Later: Future<Output = Result<Out, Fault>> + Send + 'static,
    {
        self.operation_async(opnum, move |call, stub| {
            let running = run(call.clone(), stub.decode()?);
            Ok(async move { call.reply(&running.await?) })
        })
    }

    /// The same as [`typed`](Self::typed), over the stubs themselves.
    pub fn operation(
        self,
        opnum: u16,
        run: impl Fn(&Call, Stub<'_>) -> Result<Vec<u8>, Fault> + Send + Sync + 'static,
    ) -> Interface {
        self.add(opnum, move |call, stub| {
            Outcome::Now(reply(run(&call, stub)))
        })
    }

    /// The same as [`typed_async`](Self::typed_async), over the stubs themselves:
    /// what the arguments are is read at once, the rest may wait.
    pub fn operation_async<Later>(
        self,
        opnum: u16,
        run: impl Fn(Call, Stub<'_>) -> Result<Later, Fault> + Send + Sync + 'static,
    ) -> Interface
    where
        Later: Future<Output = Result<Vec<u8>, Fault>> + Send + 'static,
    {
        self.add(opnum, move |call, stub| match run(call, stub) {
            Ok(running) => Outcome::Later(Box::pin(async move { reply(running.await) })),
            Err(fault) => Outcome::Now(fault.into()),
        })
    }

    /// Adds an operation, in the place of one that was there.
    fn add(
        mut self,
        opnum: u16,
        operation: impl Fn(Call, Stub<'_>) -> Outcome + Send + Sync + 'static,
    ) -> Interface {
        let index = usize::from(opnum);
        if self.operations.len() <= index {
            self.operations.resize_with(index + 1, || None);
        }
        self.operations[index] = Some(Box::new(operation));
        self
    }
}

impl service::Interface for Interface {
    fn id(&self) -> SyntaxId {
        self.id
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &self.transfer_syntaxes
    }

    fn call(&self, call: service::Call<'_>) -> Outcome {
        if let Err(refused) = self.access.check(Required::Everything, call.trust) {
            return Outcome::Now(refused);
        }
        let operation = self.operations.get(usize::from(call.opnum));
        match operation.and_then(Option::as_ref) {
            None => Outcome::Now(Fault::NO_SUCH_OPERATION.into()),
            Some(operation) => {
                let stub = Stub {
                    octets: call.stub.octets(),
                    order: call.stub.order(),
                    syntax: call.stub.syntax(),
                };
                operation(Call::of(&call), stub)
            }
        }
    }
}

/// What an operation's result is on the wire.
fn reply(result: Result<Vec<u8>, Fault>) -> Reply {
    result.map_or_else(Reply::from, Reply::Response)
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let opnums = (0_u16..).zip(&self.operations);
        let there = opnums.filter(|(_, operation)| operation.is_some());
        f.debug_struct("Interface")
            .field("id", &self.id)
            .field("operations", &Vec::from_iter(there.map(|(opnum, _)| opnum)))
            .finish_non_exhaustive()
    }
}
