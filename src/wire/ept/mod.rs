//! Stubs of the endpoint mapper interface `ept`, e1af8308-...-a0fa v3.0.
//!
//! Holds the requests and responses of operations 0 to 7, one file for what
//! belongs together; of operation 8 only the name is known. Leaves out what the
//! arguments mean. Always holds: octets behind the last argument are left
//! alone, since Windows' clients put verification trailers there and others
//! forget what is theirs; towers are octets here, `wire::tower` reads them.
//!
//! Layouts are told as in NDR 2.0: in NDR64 referents and counts have 64 bits and
//! are aligned to them, which `wire::ndr` alone knows.
//!
//! # Source
//! C706 appendix O; MS-RPCE 2.2.1.2 for the limit of 500 and for what Windows
//! took away.

mod change;
mod entry;
mod lookup;
mod map;
mod map_auth;

pub use change::{DeleteRequest, InsertRequest, MgmtDeleteRequest};
pub use entry::{Entry, MAX_ANNOTATION, TowerPointer, is_annotation};
pub use lookup::{LookupRequest, LookupResponse};
pub use map::{MapRequest, MapResponse};
pub use map_auth::{MapAuthRequest, MapAuthResponse, Sid};

pub(super) use change::{counted_entries, put_counted_entries};
pub(super) use entry::{entries, put_entries};

pub use super::ndr::ContextHandle;

use super::input::{DecodeError, Input};
use super::ndr;
use super::output::Output;
use super::status::EptStatus;
use std::fmt;
use uuid::Uuid;

/// `ept_insert`.
pub const INSERT: u16 = 0;
/// `ept_delete`.
pub const DELETE: u16 = 1;
/// `ept_lookup`.
pub const LOOKUP: u16 = 2;
/// `ept_map`.
pub const MAP: u16 = 3;
/// `ept_lookup_handle_free`.
pub const LOOKUP_HANDLE_FREE: u16 = 4;
/// `ept_inq_object`.
pub const INQ_OBJECT: u16 = 5;
/// `ept_mgmt_delete`.
pub const MGMT_DELETE: u16 = 6;
/// `ept_map_auth`, of Windows, local only.
pub const MAP_AUTH: u16 = 7;
/// `ept_map_auth_async`, of Windows; its arguments are not known.
pub const MAP_AUTH_ASYNC: u16 = 8;

/// The name of an operation, if the number has one.
pub fn operation_name(opnum: u16) -> Option<&'static str> {
    Some(match opnum {
        INSERT => "ept_insert",
        DELETE => "ept_delete",
        LOOKUP => "ept_lookup",
        MAP => "ept_map",
        LOOKUP_HANDLE_FREE => "ept_lookup_handle_free",
        INQ_OBJECT => "ept_inq_object",
        MGMT_DELETE => "ept_mgmt_delete",
        MAP_AUTH => "ept_map_auth",
        MAP_AUTH_ASYNC => "ept_map_auth_async",
        _ => return None,
    })
}

/// The most entries or towers that one call carries.
///
/// # Source
/// MS-RPCE 2.2.1.2.4 and 2.2.1.2.5.
pub const MAX_ENTRIES: u32 = 500;

/// What a lookup asks by; unknown values survive.
///
/// # Source
/// C706 appendix N (`rpc_c_ep_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InquiryType(pub u32);

impl InquiryType {
    /// Every entry.
    pub const ALL_ELTS: Self = InquiryType(0);
    /// Entries of an interface.
    pub const MATCH_BY_IF: Self = InquiryType(1);
    /// Entries of an object.
    pub const MATCH_BY_OBJ: Self = InquiryType(2);
    /// Entries of an interface and an object.
    pub const MATCH_BY_BOTH: Self = InquiryType(3);

    /// The standard's name, if the value has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ALL_ELTS => "all_elts",
            Self::MATCH_BY_IF => "match_by_if",
            Self::MATCH_BY_OBJ => "match_by_obj",
            Self::MATCH_BY_BOTH => "match_by_both",
            _ => return None,
        })
    }
}

impl fmt::Display for InquiryType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown inquiry type {}", self.0),
        }
    }
}

/// Which versions of an interface a lookup finds; unknown values survive.
///
/// Clients send 0, which the standard has not, with inquiry type 0.
///
/// # Source
/// C706 appendix N (`rpc_c_vers_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VersionOption(pub u32);

impl VersionOption {
    /// Every version.
    pub const ALL: Self = VersionOption(1);
    /// The same major version, the minor not lower.
    pub const COMPATIBLE: Self = VersionOption(2);
    /// The same version.
    pub const EXACT: Self = VersionOption(3);
    /// The same major version.
    pub const MAJOR_ONLY: Self = VersionOption(4);
    /// Versions not higher.
    pub const UPTO: Self = VersionOption(5);

    /// The standard's name, if the value has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ALL => "all",
            Self::COMPATIBLE => "compatible",
            Self::EXACT => "exact",
            Self::MAJOR_ONLY => "major_only",
            Self::UPTO => "upto",
            _ => return None,
        })
    }
}

impl fmt::Display for VersionOption {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown version option {}", self.0),
        }
    }
}

/// The response to insert, delete and mgmt_delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusResponse {
    /// How it went.
    pub status: EptStatus,
}

impl StatusResponse {
    /// Decodes the response: status u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (_, status) = ndr::status(stub)?;
        Ok(StatusResponse { status })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_status(out, self.status);
    }
}

/// The request of `ept_lookup_handle_free`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleFreeRequest {
    /// The handle that is no longer needed.
    pub handle: ContextHandle,
}

impl HandleFreeRequest {
    /// Decodes the request: entry_handle, 20 octets.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (_, handle) = ContextHandle::decode("entry_handle")(stub)?;
        Ok(HandleFreeRequest { handle })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        self.handle.encode(out);
    }
}

/// The response of `ept_lookup_handle_free`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleFreeResponse {
    /// NULL by the standard; Samba sends the freed handle back.
    pub handle: ContextHandle,
    /// How it went.
    pub status: EptStatus,
}

impl HandleFreeResponse {
    /// Decodes the response: entry_handle, status u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, handle) = ContextHandle::decode("entry_handle")(stub)?;
        let (_, status) = ndr::status(i)?;
        Ok(HandleFreeResponse { handle, status })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        self.handle.encode(out);
        ndr::put_status(out, self.status);
    }
}

/// The response of `ept_inq_object`; the request is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InqObjectResponse {
    /// The object UUID of the endpoint map itself.
    pub object: Uuid,
    /// How it went.
    pub status: EptStatus,
}

impl InqObjectResponse {
    /// Decodes the response: ept_object uuid, status u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, object) = ndr::uuid("ept_object")(stub)?;
        let (_, status) = ndr::status(i)?;
        Ok(InqObjectResponse { object, status })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_uuid(out, &self.object);
        ndr::put_status(out, self.status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::ndr::testing::{encoded, hex};
    use uuid::uuid;

    #[test]
    fn handle_free_round_trips_in_both_byte_orders() {
        let handle = ContextHandle {
            attributes: 0,
            uuid: uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58"),
        };
        let status = EptStatus::OK;
        let value = HandleFreeResponse { handle, status };
        for (order, octets) in [
            (
                Little,
                "00000000 0c8e4400 4bbc 0f4d bbc194b170674b58 00000000",
            ),
            (Big, "00000000 00448e0c bc4b 4d0f bbc194b170674b58 00000000"),
        ] {
            let octets = hex(octets);
            assert_eq!(
                HandleFreeResponse::decode(Input::new(&octets, order)),
                Ok(value)
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
            let asked = HandleFreeRequest { handle };
            assert_eq!(
                HandleFreeRequest::decode(Input::new(&octets, order)),
                Ok(asked)
            );
            assert_eq!(encoded(order, |out| asked.encode(out)), octets[..20]);
        }
    }

    #[test]
    fn inq_object_is_a_uuid_and_a_status() {
        let value = InqObjectResponse {
            object: uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa"),
            status: EptStatus::CANT_PERFORM_OP,
        };
        for (order, octets) in [
            (Little, "0883afe1 1f5d c911 91a408002b14a0fa cda0c916"),
            (Big, "e1af8308 5d1f 11c9 91a408002b14a0fa 16c9a0cd"),
        ] {
            let octets = hex(octets);
            assert_eq!(
                InqObjectResponse::decode(Input::new(&octets, order)),
                Ok(value)
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn a_status_alone_answers_what_changes_the_map() {
        let value = StatusResponse {
            status: EptStatus::INVALID_ENTRY,
        };
        for (order, octets) in [(Little, "d3a0c916"), (Big, "16c9a0d3")] {
            let octets = hex(octets);
            assert_eq!(
                StatusResponse::decode(Input::new(&octets, order)),
                Ok(value)
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
        let short = StatusResponse::decode(Input::new(&[0; 3], Little)).unwrap_err();
        assert_eq!(
            short.to_string(),
            "status at octet 0: cut short, 3 octets left"
        );
    }

    #[test]
    fn names_are_the_standards_and_numbers_without_one_show() {
        assert_eq!(operation_name(MAP_AUTH_ASYNC), Some("ept_map_auth_async"));
        assert_eq!(operation_name(9), None);
        assert_eq!(InquiryType::MATCH_BY_BOTH.to_string(), "match_by_both");
        assert_eq!(InquiryType(4).to_string(), "unknown inquiry type 4");
        assert_eq!(VersionOption::UPTO.to_string(), "upto");
        assert_eq!(VersionOption(0).to_string(), "unknown version option 0");
    }
}
