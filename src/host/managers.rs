//! Managers: several of one interface, told apart by the objects of calls.

use super::builder::StartError;
use super::fault::Fault;
use super::interface::Interface;
use crate::service::{self, Outcome};
use crate::wire::{FaultStatus, SyntaxId, TransferSyntax};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use uuid::Uuid;

/// All that a server offers of one interface.
///
/// A call goes to the manager of its object; one without an object, or of an
/// object that nobody has, to the manager without objects. Where there is no
/// such manager the call is refused.
///
/// # Source
/// C706 6.1.3: object and manager types, and the rules of Windows'
/// RpcServerRegisterIf, which say the same of each case. What is an object's type
/// there is the manager itself here.
pub struct Managers {
    /// UUID and version of all.
    id: SyntaxId,
    /// Each of them; at least one, and all of the same transfer syntaxes.
    each: Vec<Interface>,
    /// Which of them has an object.
    of_object: HashMap<Uuid, usize>,
    /// The one without objects.
    of_others: Option<usize>,
}

impl Managers {
    /// Brings together what is offered of the same interface. Those of one
    /// interface in several minor versions come by their version: the first that
    /// a client can use is the one closest to what it asks for.
    ///
    /// # Errors
    /// When two managers are for the same calls, or differ in their transfer
    /// syntaxes.
    pub fn gather(offers: Vec<(Vec<Uuid>, Interface)>) -> Result<Vec<Managers>, StartError> {
        let mut all: Vec<Managers> = Vec::new();
        for (objects, interface) in offers {
            let id = interface.id();
            let index = all.iter().position(|managers| managers.id == id);
            let index = index.unwrap_or_else(|| {
                all.push(Managers::none_of(id));
                all.len() - 1
            });
            all[index].add(objects, interface)?;
        }
        all.sort_by_key(|managers| managers.id.minor);
        Ok(all)
    }

    /// Of an interface that nobody offers yet.
    fn none_of(id: SyntaxId) -> Managers {
        Managers {
            id,
            each: Vec::new(),
            of_object: HashMap::new(),
            of_others: None,
        }
    }

    /// Adds a manager for these objects, or for all that nobody has.
    fn add(&mut self, objects: Vec<Uuid>, manager: Interface) -> Result<(), StartError> {
        let (interface, index) = (self.id, self.each.len());
        let syntaxes = service::Interface::transfer_syntaxes(&manager);
        if syntaxes.is_empty() {
            return Err(StartError::NoTransferSyntax { interface });
        }
        if index > 0 && service::Interface::transfer_syntaxes(self) != syntaxes {
            return Err(StartError::TransferSyntaxes { interface });
        }
        if objects.is_empty() && self.of_others.replace(index).is_some() {
            return Err(StartError::Twice { interface });
        }
        for object in objects {
            match self.of_object.entry(object) {
                _ if object.is_nil() => return Err(StartError::NilObject { interface }),
                Entry::Occupied(_) => return Err(StartError::TwiceFor { interface, object }),
                Entry::Vacant(place) => _ = place.insert(index),
            }
        }
        self.each.push(manager);
        Ok(())
    }

    /// The objects that it is registered with: nil for all that nobody has.
    pub fn objects(&self) -> Vec<Uuid> {
        let others = self.of_others.map(|_| Uuid::nil());
        others
            .into_iter()
            .chain(self.of_object.keys().copied())
            .collect()
    }

    /// The manager of a call about an object.
    fn of(&self, object: Option<Uuid>) -> Option<&Interface> {
        let own = object.and_then(|object| self.of_object.get(&object).copied());
        self.each.get(own.or(self.of_others)?)
    }
}

impl service::Interface for Managers {
    fn id(&self) -> SyntaxId {
        self.id
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        let first = self.each.first();
        first.map_or(&[], service::Interface::transfer_syntaxes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use TransferSyntax::{Ndr, Ndr64};

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    /// An interface whose operation of this number alone is there, by which it is
    /// told.
    fn interface(minor: u16, name: u16) -> Interface {
        let id = SyntaxId::new(Uuid::from_u128(7), 1, minor);
        Interface::new(id).operation(name, |_, _| Ok(Vec::new()))
    }

    fn gather(offers: Vec<(Vec<Uuid>, Interface)>) -> Result<Vec<Managers>, String> {
        Managers::gather(offers).map_err(|error| error.to_string())
    }

    /// Which manager has the calls about an object.
    fn name(managers: &Managers, object: Option<Uuid>) -> Option<String> {
        managers.of(object).map(|manager| format!("{manager:?}"))
    }

    #[test]
    fn a_call_goes_to_the_manager_of_its_object_and_others_to_the_one_without() {
        let all = gather(vec![
            (vec![ONE], interface(0, 1)),
            (vec![], interface(0, 0)),
            (vec![TWO], interface(0, 2)),
        ])
        .unwrap();
        let [managers] = &all[..] else {
            panic!("one interface");
        };
        let shown = |number| Some(format!("{:?}", interface(0, number)));
        assert_eq!(name(managers, Some(ONE)), shown(1));
        assert_eq!(name(managers, Some(TWO)), shown(2));
        for other in [None, Some(Uuid::nil()), Some(Uuid::from_u128(3))] {
            assert_eq!(name(managers, other), shown(0));
        }
        let mut objects = managers.objects();
        objects.sort_unstable();
        assert_eq!(objects, [Uuid::nil(), ONE, TWO]);
    }

    #[test]
    fn without_a_manager_for_them_other_objects_have_none() {
        let all = gather(vec![(vec![ONE], interface(0, 1))]).unwrap();
        for other in [None, Some(Uuid::nil()), Some(TWO)] {
            assert_eq!(name(&all[0], other), None);
        }
        assert_eq!(all[0].objects(), [ONE]);
    }

    #[test]
    fn two_managers_of_the_same_calls_are_refused() {
        let both = || [interface(0, 1), interface(0, 2)];
        let refused = |objects: [Vec<Uuid>; 2]| {
            let offers = objects.into_iter().zip(both()).collect();
            gather(offers).err().unwrap()
        };
        let text = refused([vec![], vec![]]);
        assert!(text.contains("is offered twice"), "{text}");
        let text = refused([vec![ONE, TWO], vec![TWO]]);
        assert!(text.contains(&format!("twice for object {TWO}")), "{text}");
        let text = refused([vec![ONE], vec![Uuid::nil()]]);
        assert!(text.contains("nil"), "{text}");
    }

    #[test]
    fn managers_of_one_interface_take_the_same_transfer_syntaxes() {
        let other = interface(0, 2).transfer_syntaxes(&[Ndr]);
        let text = gather(vec![(vec![ONE], interface(0, 1)), (vec![], other)]);
        assert!(text.err().unwrap().contains("transfer syntaxes"));
        let none = interface(0, 2).transfer_syntaxes(&[]);
        assert!(gather(vec![(vec![], none)]).is_err());
        let same = interface(0, 2).transfer_syntaxes(&[Ndr, Ndr64]);
        gather(vec![(vec![ONE], interface(0, 1)), (vec![], same)]).unwrap();
    }

    #[test]
    fn versions_are_interfaces_of_their_own_and_the_closest_comes_first() {
        let all = gather(vec![(vec![], interface(2, 1)), (vec![], interface(0, 2))]).unwrap();
        let versions: Vec<_> = all.iter().map(|managers| managers.id.minor).collect();
        assert_eq!(versions, [0, 2]);
    }
}
