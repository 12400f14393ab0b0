//! Where real mappers differ: one method a difference.
//!
//! Each says what the mappers do and how that is known: *captured* is seen on
//! the wire, *read* is read in a source or a specification, *chosen* is ours
//! where nobody saw one answer. Nothing outside this file asks which
//! conversation it is.
//!
//! What real mappers do and none here: Samba matches versions exactly and
//! ignores objects, sends a live handle with an ept_map that found nothing
//! (captured: self-torture-epmapper frame 770), and gives a freed handle back
//! (frame 850). No client counts on it, and the standard says otherwise.

use super::interface::Refusal;
use crate::registry::{Operation, Versions};
use crate::wire::ept::VersionOption;
use crate::wire::{EptStatus, FaultStatus, TransferSyntax};
use uuid::Uuid;

/// Which mapper's manner of speaking is followed.
///
/// What is found is the same in all of them; only the form of the answers and
/// of refusals differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conversation {
    /// As Windows, but looking ahead where that serves clients better.
    #[default]
    Windows,
    /// As Samba's source3 mapper.
    Samba,
    /// As the DCE reference.
    Dce,
}

use Conversation::{Dce, Samba, Windows};

impl Conversation {
    /// The transfer syntax that is agreed on when a client offers both; the
    /// other one is when it is offered alone.
    ///
    /// Windows: NDR64 of 64-bit servers (captured: 16 binds of
    /// win-lsass-campaign, win-printnightmare, win-privacy-*, win-dcshadow,
    /// win-smbexec-ndr64), NDR of what seem 32-bit ones (captured: 4 of
    /// win-schtasks, win-no-psexec); like the former.
    /// Samba: NDR; its server has no NDR64 (read), which is taken here all the
    /// same (chosen).
    /// DCE: NDR, being older than NDR64; the same.
    pub fn preferred_transfer_syntax(self) -> TransferSyntax {
        match self {
            Windows => TransferSyntax::Ndr64,
            Samba | Dce => TransferSyntax::Ndr,
        }
    }

    /// Whether a full page looks for one more entry, to end the walk with the
    /// last entry instead of after it.
    ///
    /// Windows never looks: a full page comes with a live handle, then an
    /// empty one with `not_registered` ends it (captured: 348 pages of one
    /// entry; ept_map with max_towers 1, 1307 of 1307). impacket takes the
    /// empty page for an error, so here only pages of one entry do without:
    /// those who walk one by one, like rpcclient, know that end.
    /// Samba looks (captured: self-rpcclient-lookup frame 827).
    /// DCE looks (read).
    pub fn looks_ahead(self, max: u32) -> bool {
        match self {
            Windows => max != 1,
            Samba | Dce => true,
        }
    }

    /// The status of a page with entries, when nothing is left behind it.
    ///
    /// Windows: ok, with a null handle (captured: win-rpcdump, 346 of 499).
    /// Samba: `not_registered` together with the last entries of ept_lookup
    /// (captured: self-torture-epmapper frame 836), ok for ept_map (captured:
    /// frame 814).
    /// DCE: ok (read).
    pub fn status_of_last_page(self, operation: Operation) -> EptStatus {
        match (self, operation) {
            (Samba, Operation::Lookup) => EptStatus::NOT_REGISTERED,
            _ => EptStatus::OK,
        }
    }

    /// What a call gets that has room for no entry; `Ok` to go on and see.
    ///
    /// Windows: not known; `not_registered` (chosen).
    /// Samba: `not_registered` (read).
    /// DCE: `cant_perform_op` for ept_map; ept_lookup goes on, which ends in
    /// `not_registered`, with a live handle if there was something (read).
    pub fn asked_for_none(self, operation: Operation) -> Result<(), EptStatus> {
        match (self, operation) {
            (Dce, Operation::Lookup) => Ok(()),
            (Dce, Operation::Map) => Err(EptStatus::CANT_PERFORM_OP),
            (Windows | Samba, _) => Err(EptStatus::NOT_REGISTERED),
        }
    }

    /// The status for an inquiry type that is none.
    ///
    /// Windows: not known; as DCE (chosen).
    /// Samba: `EPT_S_CANT_PERFORM_OP`, the Win32 code (read).
    /// DCE: `invalid_inquiry_type` (read).
    pub fn unknown_inquiry_type(self) -> EptStatus {
        match self {
            Windows | Dce => EptStatus::INVALID_INQUIRY_TYPE,
            Samba => EptStatus::WIN32_CANT_PERFORM_OP,
        }
    }

    /// What a version option means; `None` for one that means nothing.
    ///
    /// Windows takes 0 with inquiry type 0 (captured: the walk of 348 pages);
    /// for all with the others, too (chosen).
    /// Samba's interface definition counts from 0, so its own clients send 0
    /// for all (captured: self-rpcclient-lookup).
    /// DCE knows 1 to 5 only (read).
    pub fn versions(self, option: VersionOption) -> Option<Versions> {
        match (self, option) {
            (Windows | Samba, VersionOption(0)) => Some(Versions::All),
            _ => Versions::new(option),
        }
    }

    /// What becomes of a handle that is not one of this walk's.
    ///
    /// Windows, Samba: context mismatch, the runtime's fault (measured of Samba
    /// 4.17, both kinds of its server).
    /// DCE: status `invalid_context` (read).
    pub fn bad_handle(self) -> Refusal {
        match self {
            Windows | Samba => Refusal::Fault {
                status: FaultStatus::CONTEXT_MISMATCH,
                did_not_execute: false,
            },
            Dce => EptStatus::INVALID_CONTEXT.into(),
        }
    }

    /// How ept_insert, ept_delete and ept_mgmt_delete are refused to a caller
    /// that may change nothing.
    ///
    /// Windows has removed them: out of range, nothing executed (read:
    /// MS-RPCE 2.2.1.2; captured for opnum 42: win-opnum-range).
    /// Samba: out of range without that flag (captured: self-torture-epmapper
    /// frame 838).
    /// DCE: status `cant_perform_op` (read).
    pub fn refused_registration(self) -> Refusal {
        match self {
            Windows | Samba => Refusal::Fault {
                status: FaultStatus::OP_RNG_ERROR,
                did_not_execute: self == Windows,
            },
            Dce => EptStatus::CANT_PERFORM_OP.into(),
        }
    }

    /// Whether an allowed caller may register a nil interface.
    ///
    /// Windows: has no ept_insert; it may not (chosen).
    /// Samba: it may; smbtorture does (captured: self-torture-epmapper).
    /// DCE: `invalid_entry` (read).
    pub fn registers_nil_interfaces(self) -> bool {
        self == Samba
    }

    /// Whether an endpoint at a named pipe is registered; where it is not, it is
    /// passed over without a word.
    ///
    /// Windows, Samba: it is, as their own servers' are.
    /// DCE: it is not (read).
    pub fn registers_pipes(self) -> bool {
        self != Dce
    }

    /// The status for a map tower that does not decode, or is not there.
    ///
    /// Windows: not known; `invalid_entry` (chosen).
    /// Samba: `not_registered` for one that is not there (measured); one that
    /// does not decode is no stub to it, which is not copied: a tower is
    /// octets.
    /// DCE: `invalid_entry` (read).
    pub fn undecodable_tower(self) -> EptStatus {
        match self {
            Windows | Dce => EptStatus::INVALID_ENTRY,
            Samba => EptStatus::NOT_REGISTERED,
        }
    }

    /// The status for a map tower with a nil interface or transfer syntax.
    ///
    /// Windows: not known; `not_registered` (chosen).
    /// Samba: `not_registered` (read).
    /// DCE: `invalid_entry` (read).
    pub fn nil_tower(self) -> EptStatus {
        match self {
            Windows | Samba => EptStatus::NOT_REGISTERED,
            Dce => EptStatus::INVALID_ENTRY,
        }
    }

    /// Whether a map tower of an unknown protocol sequence is looked for.
    ///
    /// Windows: not known; looked for by its protocol ids (chosen).
    /// Samba: looked for, `not_registered` (captured: self-torture-epmapper
    /// frame 770, floors 0b and 08).
    /// DCE: `invalid_entry` (read).
    pub fn unknown_protocol_sequence(self) -> Result<(), EptStatus> {
        match self {
            Windows | Samba => Ok(()),
            Dce => Err(EptStatus::INVALID_ENTRY),
        }
    }

    /// Whether an ept_map of the management interface with this object also
    /// finds the endpoints of servers without an object.
    ///
    /// Windows: not known; it does, as for any interface (chosen).
    /// Samba: no such rule, nothing is found (read); the same is chosen.
    /// DCE: it does not, and a nil object is an `invalid_entry` (read).
    pub fn management_finds_nil_objects(self, object: Uuid) -> Result<bool, EptStatus> {
        match self {
            Windows | Samba => Ok(true),
            Dce if object.is_nil() => Err(EptStatus::INVALID_ENTRY),
            Dce => Ok(false),
        }
    }

    /// What a request gets whose header names an object: `own` is the
    /// registry's.
    ///
    /// Windows: not known; ignored (chosen).
    /// Samba: ignored (read).
    /// DCE: `cant_perform_op` unless it is nil or the registry's own (read).
    pub fn object_of_call(self, object: Option<Uuid>, own: Uuid) -> Result<(), EptStatus> {
        let foreign = object.is_some_and(|object| !object.is_nil() && object != own);
        match self {
            Dce if foreign => Err(EptStatus::CANT_PERFORM_OP),
            _ => Ok(()),
        }
    }

    /// Whether mgmt inq_if_ids lists the management interface itself.
    ///
    /// Windows: not known; no (chosen).
    /// Samba: yes (seen with Samba 4.17).
    /// DCE: no (read).
    pub fn lists_management(self) -> bool {
        self == Samba
    }

    /// How many statistics mgmt inq_stats answers who asks for `count`.
    ///
    /// Windows: not known; as DCE (chosen).
    /// Samba: status `not_supported` unless all 4 are asked for (read).
    /// DCE: as many as there are, at most `count` (read).
    pub fn statistics(self, count: u32) -> Result<usize, EptStatus> {
        match self {
            Samba if count != 4 => Err(EptStatus::NOT_SUPPORTED),
            _ => Ok(count.min(4) as usize),
        }
    }
}
