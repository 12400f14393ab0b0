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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        let owner = registrant.owner();
        match self {
            Edit::Insert { entries, replace } => {
                let is_exclusive = |interface| policy.is_exclusive(interface);
                table.register(entries.clone(), *replace, is_exclusive)
            }
            Edit::Delete(named) => {
                let named = named.iter().map(|(object, tower)| (*object, &tower[..]));
                table.withdraw(&owner, named)
            }
            Edit::MgmtDelete { object, like } => table.withdraw_place(&owner, *object, like),
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
        let owner = registrant.owner();
        let entry = match self.conversation.registers_nil_interfaces() {
            true => Entry::nameless(object, tower, annotation, owner)?,
            false => Entry::new(object, tower, annotation, owner)?,
        };
        Ok(match registrant.address() {
            Some(address) => entry.registered_from(address),
            None => entry,
        })
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
                let process = registrant.process().ok_or(RegistryError::NoProcess);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::samples::{ECHO, OBJECT, OTHER, SAMR, tcp_tower, tower};
    use crate::registry::{HandleLimits, Handles, Owner, Process, Rule};
    use crate::wire::ndr::Referents;
    use crate::wire::{ByteOrder, Output, SyntaxId};
    use std::time::Instant;

    const ANN: Owner = Owner::User(1000);

    /// A local caller.
    fn ann() -> Registrant {
        Registrant::local(1000, vec![], None)
    }

    /// Lets that caller register what is not reserved, which `SAMR` is.
    fn policy(life: LifeKind) -> Policy {
        let rule = Rule {
            users: vec![1000],
            life,
            ..Rule::default()
        };
        Policy {
            rules: vec![rule],
            reserved: [SAMR.uuid].into(),
        }
    }

    /// The stub of an insert of these towers, annotated `a`.
    fn insert(towers: &[Vec<u8>]) -> Vec<u8> {
        let mut referents = Referents::after(0);
        let entries = towers
            .iter()
            .map(|tower| ept::Entry::new(&mut referents, OBJECT, &tower[..], &b"a"[..]));
        let request = InsertRequest {
            entries: entries.collect(),
            replace: true,
        };
        let mut stub = Vec::new();
        request.encode(&mut Output::new(&mut stub, ByteOrder::Little));
        stub
    }

    /// What `read` makes of a call of that caller.
    fn with_call<T>(opnum: u16, stub: &[u8], read: impl FnOnce(&Call) -> T) -> T {
        let mut handles = Handles::new(HandleLimits::default());
        read(&Call {
            now: Instant::now(),
            opnum,
            object: None,
            stub: Input::new(stub, ByteOrder::Little),
            dialled: None,
            handles: &mut handles,
            fresh: &|| OTHER,
            trust: crate::service::Trust::Nobody,
            maybe: false,
            session: &ann(),
        })
    }

    /// What the desk makes of an insert of these towers by `registrant`.
    fn read_by(
        registrant: &Registrant,
        conversation: Conversation,
        life: LifeKind,
        towers: &[Vec<u8>],
    ) -> Result<Edit, Unfit> {
        let desk = Desk {
            conversation,
            own: OTHER,
            policy: &policy(life),
            is_here: &|address| address.is_loopback() || address.is_unspecified(),
            time: 77,
        };
        with_call(ept::INSERT, &insert(towers), |call| {
            desk.read(call, registrant)
        })
    }

    /// The same by the local caller, whose entries are probed.
    fn read(conversation: Conversation, tower: Vec<u8>) -> Result<Edit, Unfit> {
        read_by(&ann(), conversation, LifeKind::Probe, &[tower])
    }

    /// A tower at an IPv4 address.
    fn at(address: [u8; 4]) -> Vec<u8> {
        let lower: [(u8, &[u8]); 3] = [(0x0b, &[0, 0]), (0x07, &[0, 1]), (0x09, &address)];
        tower(ECHO, SyntaxId::NDR, &lower)
    }

    #[test]
    fn entries_have_the_callers_name_the_rules_life_and_the_time() {
        let edit = read(Conversation::Windows, tcp_tower(ECHO, 1));
        let Ok(Edit::Insert { entries, replace }) = edit else {
            panic!("{edit:?}");
        };
        let [entry] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(
            (entry.owner(), entry.object(), replace),
            (&ANN, OBJECT, true)
        );
        assert_eq!((entry.life(), entry.registered()), (Life::Probe, 77));
        assert_eq!(entry.annotation(), b"a");
    }

    #[test]
    fn a_life_of_a_process_wants_one() {
        let process = Process { pid: 7, started: 9 };
        let named = Registrant::local(1000, vec![], Some(process));
        let life = |registrant: &Registrant| {
            let towers = [tcp_tower(ECHO, 1)];
            let edit = read_by(registrant, Conversation::Dce, LifeKind::Process, &towers)?;
            match edit {
                Edit::Insert { entries, .. } => Ok::<_, Unfit>(entries[0].life()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(life(&named), Ok(Life::Process(process)));
        assert_eq!(life(&ann()), Err(RegistryError::NoProcess.into()));
    }

    #[test]
    fn the_rules_are_asked_of_every_entry() {
        use RegistryError::{Foreign, NotAllowed, Reserved};
        let refused = |tower| match read(Conversation::Dce, tower) {
            Err(Unfit::Refused(error)) => Some(error),
            _ => None,
        };
        assert_eq!(refused(tcp_tower(SAMR, 1)), Some(Reserved));
        let foreign = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(refused(at(foreign.octets())), Some(Foreign(foreign)));
        assert_eq!(refused(at([127, 0, 0, 9])), None);
        let stranger = Registrant::local(5, vec![], None);
        let towers = [tcp_tower(ECHO, 1)];
        let edit = read_by(&stranger, Conversation::Dce, LifeKind::Probe, &towers);
        assert_eq!(edit.unwrap_err(), NotAllowed.into());
        let towers = [tcp_tower(ECHO, 1), tcp_tower(SAMR, 1)];
        let edit = read_by(&ann(), Conversation::Dce, LifeKind::Probe, &towers);
        assert_eq!(edit.unwrap_err(), Reserved.into());
    }

    #[test]
    fn a_pipe_that_is_passed_over_is_held_to_the_rules_all_the_same() {
        let pipe = |interface| {
            let lower: [(u8, &[u8]); 3] = [(0x0b, &[0, 0]), (0x0f, b"\\pipe\\a\0"), (0x11, b"\0")];
            tower(interface, SyntaxId::NDR, &lower)
        };
        let count =
            |conversation, interface| read(conversation, pipe(interface)).map(|edit| edit.len());
        assert_eq!(count(Conversation::Dce, ECHO), Ok(0));
        assert_eq!(count(Conversation::Samba, ECHO), Ok(1));
        let reserved = Err(RegistryError::Reserved.into());
        assert_eq!(count(Conversation::Dce, SAMR), reserved);
    }

    #[test]
    fn a_nil_interface_passes_in_the_samba_conversation_alone() {
        let nil = SyntaxId::new(Uuid::nil(), 0, 0);
        let nil = || tower(nil, SyntaxId::NDR, &[(0x0c, &[0, 0]), (0x10, b"a\0")]);
        assert!(read(Conversation::Samba, nil()).is_ok());
        for conversation in [Conversation::Windows, Conversation::Dce] {
            let edit = read(conversation, nil());
            assert_eq!(edit.unwrap_err(), RegistryError::Nil.into());
        }
    }

    #[test]
    fn what_a_refused_call_names_is_told_as_far_as_its_stub_decodes() {
        let tower = tcp_tower(ECHO, 1);
        let stub = insert(std::slice::from_ref(&tower));
        let named = Named {
            object: OBJECT,
            tower: tower.clone(),
            annotation: b"a".to_vec(),
        };
        for opnum in [ept::INSERT, ept::DELETE] {
            let all = with_call(opnum, &stub, Named::all);
            assert_eq!(all, std::slice::from_ref(&named), "{opnum}");
            assert_eq!(with_call(opnum, &stub[..40], Named::all), []);
        }
        let mut referents = Referents::after(0);
        let request = MgmtDeleteRequest {
            object_speced: false,
            object: None,
            tower: Some(referents.point(&tower[..])),
        };
        let mut stub = Vec::new();
        request.encode(&mut Output::new(&mut stub, ByteOrder::Little));
        let all = with_call(ept::MGMT_DELETE, &stub, Named::all);
        assert_eq!(all, [Named::new(Uuid::nil(), &tower, b"")]);
    }

    #[test]
    fn who_may_change_nothing_is_told_so_by_a_status_only_of_a_stub_that_decodes() {
        let stub = insert(&[]);
        let refuse = |conversation, stub| {
            with_call(ept::INSERT, stub, |call| super::refuse(conversation, call))
        };
        assert_eq!(refuse(Conversation::Dce, &stub[..3]), Reply::BAD_STUB);
        let told = refuse(Conversation::Dce, &stub);
        assert_eq!(
            told,
            Reply::Response(0x16c9_a0cd_u32.to_le_bytes().to_vec())
        );
        for stub in [&stub[..], &[]] {
            let told = refuse(Conversation::Windows, stub);
            assert_eq!(told, Reply::NO_SUCH_OPERATION, "there is none to decode");
        }
    }

    #[test]
    fn a_refusal_is_a_status_by_its_kind_and_busy_a_fault() {
        use RegistryError::*;
        let limit = 1;
        for (error, status) in [
            (NoTower, EptStatus::INVALID_ENTRY),
            (HigherVersion(2), EptStatus::INVALID_ENTRY),
            (Full { limit }, EptStatus::NO_MEMORY),
            (Reserved, EptStatus::CANT_PERFORM_OP),
            (NotOwner(ANN), EptStatus::CANT_PERFORM_OP),
            (Exclusive(ANN), EptStatus::CANT_PERFORM_OP),
            (NotRegistered, EptStatus::NOT_REGISTERED),
            (NotStored, EptStatus::UPDATE_FAILED),
        ] {
            assert_eq!(refusal(&error), status.into(), "{error}");
        }
        let busy = refusal(&TooFast { owner: ANN, limit });
        let Refusal::Fault { status, .. } = busy else {
            panic!("{busy:?}");
        };
        assert_eq!(status, FaultStatus::SERVER_TOO_BUSY);
    }
}
