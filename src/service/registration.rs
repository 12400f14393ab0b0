//! `ept_insert`, `ept_delete` and `ept_mgmt_delete`: what callers change.
//!
//! Reads what a caller asks for and checks it against the rules, so that a
//! table can be changed by it; turns what comes of that into an answer. Leaves
//! out the change itself, which may have to wait for a disk.
//!
//! # Source
//! C706 appendix O; the rules are the DCE reference's, ownership is ours.

use super::conversation::Conversation;
use super::interface::{Call, Refusal, Reply};
use crate::registry::{
    Change, Entry, Life, LifeKind, Policy, Registrant, RegistryError, Table, Terms,
};
use crate::wire::ept::{self, DeleteRequest, InsertRequest, MgmtDeleteRequest, StatusResponse};
use crate::wire::tower::ProtocolSequence;
use crate::wire::{EptStatus, FaultStatus, Input};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Whether an operation of the endpoint mapper interface changes the map.
pub fn is_change(opnum: u16) -> bool {
    matches!(opnum, ept::INSERT | ept::DELETE | ept::MGMT_DELETE)
}

/// What a caller wants changed.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Entries to register.
    Insert {
        /// The entries, with their owner and life.
        entries: Vec<Entry>,
        /// Whether they replace what stands for the same service.
        replace: bool,
    },
    /// Entries to take out, by object and tower.
    Delete(Vec<(Uuid, Vec<u8>)>),
    /// An endpoint to take out.
    MgmtDelete {
        /// The object, where it counts.
        object: Option<Uuid>,
        /// An entry of the interface at that endpoint.
        like: Box<Entry>,
    },
}

/// The name of an operation that changes the map.
pub fn name(opnum: u16) -> &'static str {
    match opnum {
        ept::INSERT => "insert",
        ept::DELETE => "delete",
        _ => "mgmt_delete",
    }
}

impl Edit {
    /// How many entries it names.
    pub fn len(&self) -> usize {
        match self {
            Edit::Insert { entries, .. } => entries.len(),
            Edit::Delete(named) => named.len(),
            Edit::MgmtDelete { .. } => 1,
        }
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries that it names.
    pub fn named(&self) -> Vec<Named> {
        match self {
            Edit::Insert { entries, .. } => entries.iter().map(Named::from).collect(),
            Edit::Delete(named) => {
                let all = named.iter();
                all.map(|(object, tower)| Named::new(*object, tower, b""))
                    .collect()
            }
            Edit::MgmtDelete { object, like } => {
                vec![Named::new(object.unwrap_or_default(), like.tower(), b"")]
            }
        }
    }

    /// Changes `table`, by all of it or by nothing.
    ///
    /// # Errors
    /// As `Table::register`, `withdraw` and `withdraw_place`.
    pub fn apply(
        &self,
        table: &mut Table,
        registrant: &Registrant,
        policy: &Policy,
    ) -> Result<Vec<Change>, RegistryError> {
        let owner = registrant.owner;
        match self {
            Edit::Insert { entries, replace } => {
                let is_exclusive = |interface| policy.is_exclusive(interface);
                table.register(entries.clone(), *replace, is_exclusive)
            }
            Edit::Delete(named) => {
                let named = named.iter().map(|(object, tower)| (*object, &tower[..]));
                table.withdraw(owner, named)
            }
            Edit::MgmtDelete { object, like } => table.withdraw_place(owner, *object, like),
        }
    }
}

/// An entry that a call names, whether it is one or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The object, nil for none.
    pub object: Uuid,
    /// The tower's octets.
    pub tower: Vec<u8>,
    /// The annotation.
    pub annotation: Vec<u8>,
}

impl Named {
    /// Names an entry.
    fn new(object: Uuid, tower: &[u8], annotation: &[u8]) -> Named {
        Named {
            object,
            tower: tower.to_vec(),
            annotation: annotation.to_vec(),
        }
    }

    /// The entries that a call names, as far as its stub decodes.
    pub fn all(call: &Call) -> Vec<Named> {
        match call.opnum {
            ept::INSERT => InsertRequest::decode(call.stub)
                .map_or_else(|_| Vec::new(), |request| Named::listed(&request.entries)),
            ept::DELETE => DeleteRequest::decode(call.stub)
                .map_or_else(|_| Vec::new(), |request| Named::listed(&request.entries)),
            _ => {
                let request = MgmtDeleteRequest::decode(call.stub).ok();
                let tower = request.and_then(|request| request.tower);
                let named = tower.map(|tower| Named::new(Uuid::nil(), tower.value, b""));
                named.into_iter().collect()
            }
        }
    }

    /// The entries of a list.
    pub fn listed(entries: &[ept::Entry]) -> Vec<Named> {
        let named = entries.iter().map(|entry| {
            let tower = entry.tower_octets().unwrap_or_default();
            Named::new(entry.object, tower, &entry.annotation)
        });
        named.collect()
    }
}

impl From<&Entry> for Named {
    fn from(entry: &Entry) -> Named {
        Named::new(entry.object(), entry.tower(), entry.annotation())
    }
}

/// Where callers bring their changes: the rules, and what they need to know.
pub struct Desk<'a> {
    /// How to speak where real mappers differ.
    pub conversation: Conversation,
    /// The registry's own object.
    pub own: Uuid,
    /// Who may register what.
    pub policy: &'a Policy,
    /// Whether an address is one of this host.
    pub is_here: &'a dyn Fn(Ipv4Addr) -> bool,
    /// Seconds since 1970.
    pub time: u64,
}

/// Why a change is not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The caller gets this, as it would for any change.
    Reply(Reply),
    /// What it asks for is refused.
    Refused(RegistryError),
}

impl From<RegistryError> for Unfit {
    fn from(error: RegistryError) -> Self {
        Unfit::Refused(error)
    }
}

impl Desk<'_> {
    /// Reads what the call asks for, and checks it against the rules.
    ///
    /// # Errors
    /// The stub does not decode; what the rules or the entries' forms refuse.
    pub fn read(&self, call: &Call, registrant: &Registrant) -> Result<Edit, Unfit> {
        let bad_stub = |_| Unfit::Reply(Reply::BAD_STUB);
        let edit = match call.opnum {
            ept::INSERT => {
                let request = InsertRequest::decode(call.stub).map_err(bad_stub)?;
                self.check_object(call)?;
                self.insert(&request, registrant, &|terms| self.life(terms, registrant))?
            }
            ept::DELETE => {
                let request = DeleteRequest::decode(call.stub).map_err(bad_stub)?;
                self.check_object(call)?;
                delete(&request)?
            }
            _ => {
                let request = MgmtDeleteRequest::decode(call.stub).map_err(bad_stub)?;
                self.check_object(call)?;
                self.mgmt_delete(&request, registrant)?
            }
        };
        Ok(edit)
    }

    /// The entries of a request, with the life that `life` makes of their terms.
    ///
    /// # Errors
    /// Of the first entry that is refused.
    pub fn insert(
        &self,
        request: &InsertRequest,
        registrant: &Registrant,
        life: &dyn Fn(Terms) -> Result<Life, RegistryError>,
    ) -> Result<Edit, RegistryError> {
        let mut entries = Vec::with_capacity(request.entries.len());
        for asked in &request.entries {
            let tower = asked.tower_octets().ok_or(RegistryError::NoTower)?;
            let entry = self.entry(asked.object, tower, &asked.annotation, registrant)?;
            let sequence = entry.shape().protseq();
            let sequence = sequence.ok_or(RegistryError::Sequence)?;
            let terms = self.terms(&entry, registrant)?;
            if sequence == ProtocolSequence::NcacnNp && !self.conversation.registers_pipes() {
                continue;
            }
            entries.push(entry.living(life(terms)?, self.time));
        }
        let replace = request.replace;
        Ok(Edit::Insert { entries, replace })
    }

    /// An entry, in a form that may be registered.
    fn entry(
        &self,
        object: Uuid,
        tower: &[u8],
        annotation: &[u8],
        registrant: &Registrant,
    ) -> Result<Entry, RegistryError> {
        if self.conversation.registers_nil_interfaces() {
            Entry::nameless(object, tower, annotation, registrant.owner)
        } else {
            Entry::new(object, tower, annotation, registrant.owner)
        }
    }

    /// The terms on which an entry is taken.
    fn terms(&self, entry: &Entry, registrant: &Registrant) -> Result<Terms, RegistryError> {
        let interface = entry.interface().uuid;
        let Some(terms) = self.policy.terms(registrant, interface) else {
            let is_reserved = self.policy.is_reserved(interface);
            return Err(match is_reserved {
                true => RegistryError::Reserved,
                false => RegistryError::NotAllowed,
            });
        };
        let foreign = entry.address().filter(|address| !(self.is_here)(*address));
        match foreign {
            Some(address) if !terms.foreign_addresses => Err(RegistryError::Foreign(address)),
            _ => Ok(terms),
        }
    }

    /// How an entry of `ept_insert` ends.
    fn life(&self, terms: Terms, registrant: &Registrant) -> Result<Life, RegistryError> {
        match terms.life {
            LifeKind::Permanent => Ok(Life::Permanent),
            LifeKind::Process => {
                let process = registrant.process.ok_or(RegistryError::NoProcess);
                process.map(Life::Process)
            }
            // Nobody renews what came by ept_insert.
            LifeKind::Probe | LifeKind::Lease => Ok(Life::Probe),
        }
    }

    /// What `ept_mgmt_delete` names.
    fn mgmt_delete(
        &self,
        request: &MgmtDeleteRequest,
        registrant: &Registrant,
    ) -> Result<Edit, RegistryError> {
        let tower = request.tower.ok_or(RegistryError::NoTower)?.value;
        let object = request.object.map_or(Uuid::nil(), |object| object.value);
        let like = self.entry(object, tower, b"", registrant)?;
        Ok(Edit::MgmtDelete {
            object: request.object_speced.then_some(object),
            like: Box::new(like),
        })
    }

    /// Refuses a call that names a foreign object, where that matters.
    fn check_object(&self, call: &Call) -> Result<(), Unfit> {
        let checked = self.conversation.object_of_call(call.object, self.own);
        checked.map_err(|status| Unfit::Reply(respond(call.stub, status)))
    }
}

/// What `ept_delete` names.
fn delete(request: &DeleteRequest) -> Result<Edit, RegistryError> {
    let named = request.entries.iter().map(|entry| {
        let tower = entry.tower_octets().ok_or(RegistryError::NoTower)?;
        Ok((entry.object, tower.to_vec()))
    });
    Ok(Edit::Delete(named.collect::<Result<_, RegistryError>>()?))
}

/// The answer to a change: a status alone.
pub fn respond(asked: Input, status: EptStatus) -> Reply {
    let response = StatusResponse { status };
    Reply::response(asked, |out| response.encode(out))
}

/// What a caller gets whose change is refused.
pub fn refusal(error: &RegistryError) -> Refusal {
    use RegistryError::*;
    match error {
        Tower(_) | Parts(_) | Trailing(_) | Nil | AnnotationLength(_) | AnnotationNul
        | Sequence | NoTower | HigherVersion(_) | NoSuchLife(_) => EptStatus::INVALID_ENTRY.into(),
        Full { .. } | OwnerFull { .. } | InterfaceFull { .. } | TooLong { .. } => {
            EptStatus::NO_MEMORY.into()
        }
        NotAllowed | Reserved | Foreign(_) | NotOwner(_) | Exclusive(_) | NoProcess => {
            EptStatus::CANT_PERFORM_OP.into()
        }
        NotRegistered | NoLease => EptStatus::NOT_REGISTERED.into(),
        NotStored => EptStatus::UPDATE_FAILED.into(),
        TooFast { .. } => Refusal::Fault {
            status: FaultStatus::SERVER_TOO_BUSY,
            did_not_execute: true,
        },
    }
}

/// Refuses a caller that may change nothing.
///
/// Where that is a status there is an operation, and its stub has to decode;
/// where it is a fault there is none.
pub fn refuse(conversation: Conversation, call: &Call) -> Reply {
    conversation.refused_registration().reply(|status| {
        if !decodes(call.opnum, call.stub) {
            return Reply::BAD_STUB;
        }
        respond(call.stub, status)
    })
}

/// Whether the stub of an operation that changes the map decodes.
fn decodes(opnum: u16, stub: Input) -> bool {
    match opnum {
        ept::INSERT => InsertRequest::decode(stub).is_ok(),
        ept::DELETE => DeleteRequest::decode(stub).is_ok(),
        _ => MgmtDeleteRequest::decode(stub).is_ok(),
    }
}
