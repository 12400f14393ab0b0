//! Managers: several of one interface, told apart by the objects of calls.

use super::fault::Fault;
use super::interface::Interface;
use crate::service::{self, Outcome};
use crate::wire::{FaultStatus, SyntaxId, TransferSyntax};
use uuid::Uuid;

/// All that a server offers of one interface.
///
/// A call goes to the manager of its object; one without an object, or of an
/// object that nobody has, to the manager without objects.
///
/// # Source
/// C706 6.1.3: object and manager types.
pub struct Managers {
    /// Each with its objects; at least one.
    each: Vec<(Vec<Uuid>, Interface)>,
    /// UUID and version of all.
    id: SyntaxId,
}

impl Managers {
    /// Brings together what is offered of the same interface.
    pub fn gather(offers: Vec<(Vec<Uuid>, Interface)>) -> Vec<Managers> {
        let mut all: Vec<Managers> = Vec::new();
        for (objects, interface) in offers {
            let id = interface.id();
            match all.iter_mut().find(|managers| managers.id == id) {
                Some(managers) => managers.each.push((objects, interface)),
                None => all.push(Managers {
                    each: vec![(objects, interface)],
                    id,
                }),
            }
        }
        all
    }

    /// The manager of a call about an object.
    fn of(&self, object: Option<Uuid>) -> Option<&Interface> {
        let object = object.filter(|object| !object.is_nil());
        let has = |(objects, _): &&(Vec<Uuid>, Interface)| match object {
            Some(object) => objects.contains(&object),
            None => false,
        };
        let own = self.each.iter().find(has);
        let any = || self.each.iter().find(|(objects, _)| objects.is_empty());
        own.or_else(any).map(|(_, interface)| interface)
    }
}

impl service::Interface for Managers {
    fn id(&self) -> SyntaxId {
        self.id
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        let first = self.each.first();
        first.map_or(&[], |(_, interface)| {
            service::Interface::transfer_syntaxes(interface)
        })
    }

    fn call(&self, call: service::Call<'_>) -> Outcome {
        match self.of(call.object) {
            Some(manager) => manager.call(call),
            None => {
                let fault = Fault::not_executed(FaultStatus::UNSUPPORTED_TYPE);
                Outcome::Now(fault.into())
            }
        }
    }
}
