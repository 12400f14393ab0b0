//! Stubs of the remote management interface `mgmt`, afa8bd80-...-2989 v1.0,
//! which every RPC server serves on each of its endpoints.
//!
//! Holds the requests and responses of operations 0 to 4. Always holds: octets
//! behind the last argument are left alone; every list and string has a limit.
//! Operations 0, 2 and 3 have empty requests.
//!
//! Layouts are told as in NDR 2.0: in NDR64 referents and counts have 64 bits and
//! are aligned to them, which `wire::ndr` alone knows.
//!
//! Pointers are taken as unique: here each has its pointee, whatever its id,
//! and there are servers that give all of them the same one.
//!
//! # Source
//! C706 appendix Q.

use super::input::{DecodeError, Input, Parsed};
use super::ndr::{self, Pointer, Referents};
use super::output::Output;
use super::status::EptStatus;
use super::syntax::SyntaxId;
use std::borrow::Cow;
use uuid::Uuid;

/// `rpc__mgmt_inq_if_ids`.
pub const INQ_IF_IDS: u16 = 0;
/// `rpc__mgmt_inq_stats`.
pub const INQ_STATS: u16 = 1;
/// `rpc__mgmt_is_server_listening`.
pub const IS_SERVER_LISTENING: u16 = 2;
/// `rpc__mgmt_stop_server_listening`.
pub const STOP_SERVER_LISTENING: u16 = 3;
/// `rpc__mgmt_inq_princ_name`.
pub const INQ_PRINC_NAME: u16 = 4;

/// The name of an operation, if the number has one.
pub fn operation_name(opnum: u16) -> Option<&'static str> {
    Some(match opnum {
        INQ_IF_IDS => "rpc__mgmt_inq_if_ids",
        INQ_STATS => "rpc__mgmt_inq_stats",
        IS_SERVER_LISTENING => "rpc__mgmt_is_server_listening",
        STOP_SERVER_LISTENING => "rpc__mgmt_stop_server_listening",
        INQ_PRINC_NAME => "rpc__mgmt_inq_princ_name",
        _ => return None,
    })
}

/// The most interfaces that a response names; a process of Windows has some
/// tens.
pub const MAX_INTERFACES: u32 = 1024;

/// The most statistics that a response holds; the standard knows four.
pub const MAX_STATISTICS: u32 = 64;

/// The most octets of a principal name, with its NUL; the DCE reference keeps
/// 500.
pub const MAX_PRINCIPAL_NAME: usize = 4096;

/// The response of `inq_if_ids`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InqIfIdsResponse {
    /// The vector of interfaces, as pointers; [`interfaces`](Self::interfaces)
    /// has them plain.
    pub vector: Option<Pointer<Vec<Option<Pointer<SyntaxId>>>>>,
    /// How it went.
    pub status: EptStatus,
}

impl InqIfIdsResponse {
    /// The response that names `interfaces`.
    pub fn new(interfaces: impl IntoIterator<Item = SyntaxId>, status: EptStatus) -> Self {
        let mut referents = Referents::after(0);
        let mut vector = referents.point(Vec::new());
        vector
            .value
            .extend(interfaces.into_iter().map(|id| Some(referents.point(id))));
        InqIfIdsResponse {
            vector: Some(vector),
            status,
        }
    }

    /// The interfaces named.
    pub fn interfaces(&self) -> impl Iterator<Item = SyntaxId> {
        let pointers = self.vector.iter().flat_map(|vector| &vector.value);
        pointers.flatten().map(|pointer| pointer.value)
    }

    /// Decodes the response.
    ///
    /// Layout: vector pointer; max_count, count u32, which is the same,
    /// referents, then an rpc_if_id_t for each that is not NULL; status u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for more than [`MAX_INTERFACES`]; `Mismatch` when
    /// the counts differ.
    ///
    /// # Source
    /// C706 appendix Q; the layout as Samba's server sends it.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, vector) = ndr::pointer("if_id_vector", interface_vector)(stub)?;
        let (_, status) = ndr::status(i)?;
        Ok(InqIfIdsResponse { vector, status })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_pointer(out, self.vector.as_ref(), |out, ids| {
            put_interface_vector(out, ids)
        });
        ndr::put_status(out, self.status);
    }
}

/// Reads an `rpc_if_id_vector_t`.
fn interface_vector(i: Input) -> Parsed<Vec<Option<Pointer<SyntaxId>>>> {
    /// Stands for an interface that is still to come.
    const TO_COME: SyntaxId = SyntaxId::new(Uuid::nil(), 0, 0);
    let (mut i, count) = ndr::conformant_head("if_id", MAX_INTERFACES)(i)?;
    let mut ids = Vec::with_capacity(ndr::room(i, "if_id", count, ndr::width(i.syntax()))?);
    for _ in 0..count {
        let (rest, referent) = ndr::referent("if_id")(i)?;
        ids.push(referent.map(|referent| Pointer {
            referent,
            value: TO_COME,
        }));
        i = rest;
    }
    for pointer in ids.iter_mut().flatten() {
        (i, pointer.value) = ndr::interface_id("if_id")(i)?;
    }
    Ok((i, ids))
}

/// Writes an `rpc_if_id_vector_t`.
fn put_interface_vector(out: &mut Output, ids: &[Option<Pointer<SyntaxId>>]) {
    ndr::put_conformant_head(out, ids.len());
    for pointer in ids {
        ndr::put_referent(out, pointer.as_ref());
    }
    for pointer in ids.iter().flatten() {
        ndr::put_interface_id(out, &pointer.value);
    }
}

/// The request of `inq_stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InqStatsRequest {
    /// How many statistics are asked for.
    pub count: u32,
}

impl InqStatsRequest {
    /// Decodes the request: count u32. Samba's clients send another u32 behind.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (_, count) = ndr::u32("count")(stub)?;
        Ok(InqStatsRequest { count })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.count);
    }
}

/// The response of `inq_stats`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InqStatsResponse {
    /// Calls received, calls sent, packets received, packets sent, in this
    /// order, as far as they were asked for.
    pub statistics: Vec<u32>,
    /// How it went.
    pub status: EptStatus,
}

impl InqStatsResponse {
    /// Decodes the response.
    ///
    /// Layout: count u32, max_count, which is the same, statistics u32, status
    /// u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for more than [`MAX_STATISTICS`]; `Mismatch` when
    /// the counts differ.
    ///
    /// # Source
    /// C706 appendix Q.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, count) = ndr::u32_within("count", MAX_STATISTICS)(stub)?;
        let (mut i, ()) = ndr::count_of("statistics", count.into())(i)?;
        let mut statistics = Vec::with_capacity(ndr::room(i, "statistics", count.into(), 4)?);
        for _ in 0..count {
            let (rest, value) = ndr::u32("statistics")(i)?;
            statistics.push(value);
            i = rest;
        }
        let (_, status) = ndr::status(i)?;
        Ok(InqStatsResponse { statistics, status })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.statistics.len() as u32);
        ndr::put_count(out, self.statistics.len());
        for value in &self.statistics {
            ndr::put_u32(out, *value);
        }
        ndr::put_status(out, self.status);
    }
}

/// The response of `is_server_listening`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsServerListeningResponse {
    /// How it went.
    pub status: EptStatus,
    /// The operation's result.
    pub listening: bool,
}

impl IsServerListeningResponse {
    /// Decodes the response: status u32, then the result as boolean32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    ///
    /// # Source
    /// C706 appendix Q; a function's result comes last.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, status) = ndr::status(stub)?;
        let (_, listening) = ndr::boolean("listening")(i)?;
        Ok(IsServerListeningResponse { status, listening })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_status(out, self.status);
        ndr::put_boolean(out, self.listening);
    }
}

/// The response of `stop_server_listening`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopServerListeningResponse {
    /// How it went.
    pub status: EptStatus,
}

impl StopServerListeningResponse {
    /// Decodes the response: status u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (_, status) = ndr::status(stub)?;
        Ok(StopServerListeningResponse { status })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_status(out, self.status);
    }
}

/// The request of `inq_princ_name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InqPrincNameRequest {
    /// The authentication service whose principal is asked for.
    pub authn_proto: u32,
    /// Octets that the caller has for the name and its NUL.
    pub princ_name_size: u32,
}

impl InqPrincNameRequest {
    /// Decodes the request: authn_proto u32, princ_name_size u32.
    ///
    /// # Errors
    /// `Truncated` when fewer octets are left.
    pub fn decode(stub: Input) -> Result<Self, DecodeError> {
        let (i, authn_proto) = ndr::u32("authn_proto")(stub)?;
        let (_, princ_name_size) = ndr::u32("princ_name_size")(i)?;
        Ok(InqPrincNameRequest {
            authn_proto,
            princ_name_size,
        })
    }

    /// Encodes the request.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_u32(out, self.authn_proto);
        ndr::put_u32(out, self.princ_name_size);
    }
}

/// The response of `inq_princ_name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InqPrincNameResponse<'a> {
    /// The maximum count: the request's princ_name_size.
    pub princ_name_size: u32,
    /// The name up to its NUL; shorter than [`MAX_PRINCIPAL_NAME`].
    pub princ_name: Cow<'a, [u8]>,
    /// How it went.
    pub status: EptStatus,
}

impl<'a> InqPrincNameResponse<'a> {
    /// Decodes the response.
    ///
    /// Layout: max_count, offset 0, actual_count, octets with NUL, status u32.
    ///
    /// # Errors
    /// `Truncated`; `Limit` for a name longer than its maximum or than
    /// [`MAX_PRINCIPAL_NAME`]; `Value` for an offset; `Nul`.
    ///
    /// # Source
    /// C706 appendix Q.
    pub fn decode(stub: Input<'a>) -> Result<Self, DecodeError> {
        let (i, princ_name_size) = ndr::maximum("princ_name")(stub)?;
        let limit = (princ_name_size as usize).min(MAX_PRINCIPAL_NAME);
        let (i, princ_name) = ndr::varying_string("princ_name", limit)(i)?;
        let (_, status) = ndr::status(i)?;
        Ok(InqPrincNameResponse {
            princ_name_size,
            princ_name: princ_name.into(),
            status,
        })
    }

    /// Encodes the response.
    pub fn encode(&self, out: &mut Output) {
        ndr::put_count(out, self.princ_name_size as usize);
        ndr::put_varying_string(out, &self.princ_name, MAX_PRINCIPAL_NAME);
        ndr::put_status(out, self.status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ByteOrder::{Big, Little};
    use crate::wire::DecodeFault;
    use crate::wire::ndr::testing::{encoded, encoded64, hex, stub64};

    #[test]
    fn inq_if_ids_points_to_a_vector_of_pointers() {
        let pointer = Pointer {
            referent: 2,
            value: SyntaxId::EPT,
        };
        let vector = Pointer {
            referent: 1,
            value: vec![Some(pointer)],
        };
        let value = InqIfIdsResponse {
            vector: Some(vector),
            status: EptStatus::OK,
        };
        assert_eq!(value, InqIfIdsResponse::new([SyntaxId::EPT], EptStatus::OK));
        assert_eq!(value.interfaces().collect::<Vec<_>>(), [SyntaxId::EPT]);
        // referent; max_count, count; referents; uuid, major, minor; status
        for (order, octets) in [
            (
                Little,
                "01000000 01000000 01000000 02000000
                 0883afe11f5dc91191a408002b14a0fa 0300 0000 00000000",
            ),
            (
                Big,
                "00000001 00000001 00000001 00000002
                 e1af83085d1f11c991a408002b14a0fa 0003 0000 00000000",
            ),
        ] {
            let octets = hex(octets);
            assert_eq!(octets.len(), 40);
            assert_eq!(
                InqIfIdsResponse::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn a_vector_of_ndr64_has_its_count_between_wide_ones() {
        let value = InqIfIdsResponse::new([SyntaxId::EPT, SyntaxId::MGMT], EptStatus::OK);
        // referent; max_count, count, gap; referents; uuid, major, minor of each;
        // status
        let octets = hex("0100000000000000 0200000000000000 02000000 00000000
             0200000000000000 0300000000000000
             0883afe11f5dc91191a408002b14a0fa 0300 0000
             80bda8af8a7dc911bef408002b102989 0100 0000 00000000");
        assert_eq!(InqIfIdsResponse::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn samba_lists_its_mapper_and_mgmt() {
        // self-raw-protocol.pcap
        let octets = hex("00000200 02000000 02000000 04000200 08000200
             0883afe11f5dc91191a408002b14a0fa 0300 0000
             80bda8af8a7dc911bef408002b102989 0100 0000 00000000");
        let value = InqIfIdsResponse::decode(Input::new(&octets, Little)).unwrap();
        assert!(value.interfaces().eq([SyntaxId::EPT, SyntaxId::MGMT]));
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
    }

    #[test]
    fn a_vector_may_be_null_or_have_null_in_it() {
        for octets in [
            "00000000 05000000",
            "01000000 01000000 01000000 00000000 00000000",
        ] {
            let octets = hex(octets);
            let value = InqIfIdsResponse::decode(Input::new(&octets, Little)).unwrap();
            assert_eq!(value.interfaces().count(), 0);
            assert_eq!(encoded(Little, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn a_vector_with_wrong_counts_is_refused() {
        let refusal = |stub: &str| {
            let octets = hex(stub);
            InqIfIdsResponse::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        assert_eq!(
            refusal("01000000 01040000 01040000"),
            DecodeFault::Limit {
                count: 1025,
                limit: 1024
            }
        );
        assert_eq!(
            refusal("01000000 02000000 01000000"),
            DecodeFault::Mismatch {
                stated: 1,
                found: 2
            }
        );
        assert_eq!(
            refusal("01000000 00040000 00040000 02000000"),
            DecodeFault::Truncated { left: 4 }
        );
    }

    #[test]
    fn inq_stats_has_its_count_before_the_array() {
        let value = InqStatsResponse {
            statistics: vec![10, 9, 20, 19],
            status: EptStatus::OK,
        };
        for (order, octets) in [
            (
                Little,
                "04000000 04000000 0a000000 09000000 14000000 13000000 00000000",
            ),
            (
                Big,
                "00000004 00000004 0000000a 00000009 00000014 00000013 00000000",
            ),
        ] {
            let octets = hex(octets);
            assert_eq!(
                InqStatsResponse::decode(Input::new(&octets, order)),
                Ok(value.clone())
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn inq_stats_of_ndr64_has_a_gap_before_the_array() {
        let value = InqStatsResponse {
            statistics: vec![10, 9],
            status: EptStatus::OK,
        };
        // count, gap, max_count, statistics, status
        let octets = hex("02000000 00000000 0200000000000000 0a000000 09000000 00000000");
        assert_eq!(InqStatsResponse::decode(stub64(&octets)), Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), octets);
    }

    #[test]
    fn inq_stats_of_another_count_is_refused_by_samba_with_an_empty_array() {
        // self-raw-protocol.pcap: request with its spare u32, response
        let asked = InqStatsRequest::decode(Input::new(&[0; 8], Little)).unwrap();
        assert_eq!(asked.count, 0);
        assert_eq!(encoded(Little, |out| asked.encode(out)), [0; 4]);
        let octets = hex("00000000 00000000 32000000");
        let value = InqStatsResponse::decode(Input::new(&octets, Little)).unwrap();
        assert_eq!(value.status, EptStatus::NOT_SUPPORTED);
        assert_eq!(encoded(Little, |out| value.encode(out)), octets);
    }

    #[test]
    fn statistics_with_wrong_counts_are_refused() {
        let refusal = |stub: &str| {
            let octets = hex(stub);
            InqStatsResponse::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        assert_eq!(
            refusal("41000000"),
            DecodeFault::Limit {
                count: 65,
                limit: 64
            }
        );
        assert_eq!(
            refusal("04000000 05000000"),
            DecodeFault::Mismatch {
                stated: 5,
                found: 4
            }
        );
        assert_eq!(
            refusal("04000000 04000000 0a000000"),
            DecodeFault::Truncated { left: 4 }
        );
    }

    #[test]
    fn is_server_listening_has_its_result_last() {
        let (status, listening) = (EptStatus::ACCESS_DENIED, true);
        let value = IsServerListeningResponse { status, listening };
        for (order, octets) in [(Little, "05000000 01000000"), (Big, "00000005 00000001")] {
            let octets = hex(octets);
            assert_eq!(
                IsServerListeningResponse::decode(Input::new(&octets, order)),
                Ok(value)
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn stop_server_listening_is_answered_with_a_status() {
        let value = StopServerListeningResponse {
            status: EptStatus::ACCESS_DENIED,
        };
        for (order, octets) in [(Little, "05000000"), (Big, "00000005")] {
            let octets = hex(octets);
            assert_eq!(
                StopServerListeningResponse::decode(Input::new(&octets, order)),
                Ok(value)
            );
            assert_eq!(encoded(order, |out| value.encode(out)), octets);
        }
    }

    #[test]
    fn inq_princ_name_answers_a_string_as_long_as_was_asked_for() {
        let asked = InqPrincNameRequest {
            authn_proto: 10,
            princ_name_size: 512,
        };
        let value = InqPrincNameResponse {
            princ_name_size: 512,
            princ_name: b"host/srv"[..].into(),
            status: EptStatus::OK,
        };
        // max_count, offset, actual_count, octets, pad, status
        for (order, request, response) in [
            (
                Little,
                "0a000000 00020000",
                "00020000 00000000 09000000 686f73742f73727600 000000 00000000",
            ),
            (
                Big,
                "0000000a 00000200",
                "00000200 00000000 00000009 686f73742f73727600 000000 00000000",
            ),
        ] {
            let (request, response) = (hex(request), hex(response));
            assert_eq!(
                InqPrincNameRequest::decode(Input::new(&request, order)),
                Ok(asked)
            );
            assert_eq!(encoded(order, |out| asked.encode(out)), request);
            let read = InqPrincNameResponse::decode(Input::new(&response, order));
            assert_eq!(read, Ok(value.clone()));
            assert_eq!(encoded(order, |out| value.encode(out)), response);
        }
        let response = hex("0002000000000000 0000000000000000 0900000000000000
             686f73742f73727600 000000 00000000");
        let read = InqPrincNameResponse::decode(stub64(&response));
        assert_eq!(read, Ok(value.clone()));
        assert_eq!(encoded64(|out| value.encode(out)), response);
    }

    #[test]
    fn a_principal_name_above_its_maximum_or_our_limit_is_refused() {
        let refusal = |stub: &str| {
            let octets = hex(stub);
            InqPrincNameResponse::decode(Input::new(&octets, Little))
                .unwrap_err()
                .fault
        };
        assert_eq!(
            refusal("02000000 00000000 03000000 414100"),
            DecodeFault::Limit { count: 3, limit: 2 }
        );
        assert_eq!(
            refusal("ffffffff 00000000 01100000"),
            DecodeFault::Limit {
                count: 4097,
                limit: 4096
            }
        );
        assert_eq!(refusal("02000000 00000000 02000000 4141"), DecodeFault::Nul);
    }

    #[test]
    fn operations_have_the_standards_names() {
        assert_eq!(
            operation_name(INQ_PRINC_NAME),
            Some("rpc__mgmt_inq_princ_name")
        );
        assert_eq!(operation_name(5), None);
    }
}
