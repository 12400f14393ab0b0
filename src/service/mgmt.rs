//! The remote management interface of the mapper itself.
//!
//! Everyone may ask; nobody may stop the server.
//!
//! # Source
//! C706 appendix Q.

use super::conversation::Conversation;
use super::interface::{Call, Reply};
use crate::wire::mgmt::{
    self, InqIfIdsResponse, InqPrincNameRequest, InqPrincNameResponse, InqStatsRequest,
    InqStatsResponse, IsServerListeningResponse, StopServerListeningResponse,
};
use crate::wire::{EptStatus, SyntaxId};
use std::borrow::Cow;

/// What the server tells about itself.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The interfaces that it serves, the management interface aside.
    pub interfaces: &'a [SyntaxId],
    /// Calls received, calls made, packets received, packets sent.
    pub statistics: [u32; 4],
}

/// Answers one call.
pub fn call(view: &View<'_>, conversation: Conversation, call: Call<'_>) -> Reply {
    match call.opnum {
        mgmt::INQ_IF_IDS => inquire_interfaces(view, conversation, &call),
        mgmt::INQ_STATS => inquire_statistics(view, conversation, &call),
        mgmt::IS_SERVER_LISTENING => is_listening(&call),
        mgmt::STOP_SERVER_LISTENING => refuse_to_stop(&call),
        mgmt::INQ_PRINC_NAME => inquire_principal(&call),
        _ => Reply::NO_SUCH_OPERATION,
    }
}

/// Answers `inq_if_ids`.
fn inquire_interfaces(view: &View, conversation: Conversation, call: &Call) -> Reply {
    let management = conversation.lists_management().then_some(SyntaxId::MGMT);
    let interfaces = view.interfaces.iter().copied().chain(management);
    let response = InqIfIdsResponse::new(interfaces, EptStatus::OK);
    Reply::response(call.stub, |out| response.encode(out))
}

/// Answers `inq_stats`.
fn inquire_statistics(view: &View, conversation: Conversation, call: &Call) -> Reply {
    let Ok(request) = InqStatsRequest::decode(call.stub) else {
        return Reply::BAD_STUB;
    };
    let (count, status) = match conversation.statistics(request.count) {
        Ok(count) => (count, EptStatus::OK),
        Err(status) => (0, status),
    };
    let statistics = view.statistics.into_iter().take(count).collect();
    let response = InqStatsResponse { statistics, status };
    Reply::response(call.stub, |out| response.encode(out))
}

/// Answers `is_server_listening`: whoever hears the answer knows.
fn is_listening(call: &Call) -> Reply {
    let (status, listening) = (EptStatus::OK, true);
    let response = IsServerListeningResponse { status, listening };
    Reply::response(call.stub, |out| response.encode(out))
}

/// Answers `stop_server_listening`: a response, not a fault.
///
/// # Source
/// Samba answers status 5 in a response, and so does Windows by the length of
/// it.
fn refuse_to_stop(call: &Call) -> Reply {
    let status = EptStatus::ACCESS_DENIED;
    let response = StopServerListeningResponse { status };
    Reply::response(call.stub, |out| response.encode(out))
}

/// Answers `inq_princ_name`: there is no authentication service, so none is
/// known.
///
/// # Source
/// Samba: a fault for a size of 0, status 1747 for an unknown service.
fn inquire_principal(call: &Call) -> Reply {
    let Ok(request) = InqPrincNameRequest::decode(call.stub) else {
        return Reply::BAD_STUB;
    };
    if request.princ_name_size == 0 {
        return Reply::BAD_STUB;
    }
    let response = InqPrincNameResponse {
        princ_name_size: request.princ_name_size,
        princ_name: Cow::Borrowed(b""),
        status: EptStatus::UNKNOWN_AUTHN_SERVICE,
    };
    Reply::response(call.stub, |out| response.encode(out))
}

#[cfg(test)]
mod tests {
    use super::Conversation::{Dce, Samba, Windows};
    use super::*;
    use crate::registry::{Handles, Registrant};
    use crate::service::Trust;
    use crate::wire::TransferSyntax::{Ndr, Ndr64};
    use crate::wire::{ByteOrder, FaultStatus, Input, TransferSyntax};
    use std::net::Ipv4Addr;
    use std::time::Instant;
    use uuid::Uuid;

    /// All conversations.
    const ALL: [Conversation; 3] = [Windows, Samba, Dce];

    /// Calls a mapper that received 10 calls, in NDR.
    fn ask(conversation: Conversation, opnum: u16, stub: &[u8]) -> Reply {
        ask_in(Ndr, conversation, opnum, stub)
    }

    /// Calls it in another transfer syntax.
    fn ask_in(
        syntax: TransferSyntax,
        conversation: Conversation,
        opnum: u16,
        stub: &[u8],
    ) -> Reply {
        let view = View {
            interfaces: &[SyntaxId::EPT],
            statistics: [10, 9, 20, 19],
        };
        let call = Call {
            now: Instant::now(),
            opnum,
            object: None,
            stub: Input::stub(stub, ByteOrder::Little, syntax),
            dialled: None,
            handles: &mut Handles::default(),
            fresh: &Uuid::max,
            trust: Trust::Nobody,
            maybe: false,
            session: &Registrant::at(Ipv4Addr::LOCALHOST.into()),
        };
        super::call(&view, conversation, call)
    }

    /// The response of these u32, little-endian.
    fn words(words: &[u32]) -> Reply {
        Reply::Response(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    #[test]
    fn inq_if_ids_lists_the_mapper_and_in_samba_management_too() {
        for (conversation, expected) in [
            (Windows, &[SyntaxId::EPT][..]),
            (Samba, &[SyntaxId::EPT, SyntaxId::MGMT]),
            (Dce, &[SyntaxId::EPT]),
        ] {
            for syntax in [Ndr, Ndr64] {
                let reply = ask_in(syntax, conversation, mgmt::INQ_IF_IDS, &[]);
                let Reply::Response(stub) = reply else {
                    panic!("a fault");
                };
                let stub = Input::stub(&stub, ByteOrder::Little, syntax);
                let answer = InqIfIdsResponse::decode(stub).unwrap();
                assert_eq!(answer.interfaces().collect::<Vec<_>>(), expected);
                assert_eq!(answer.status, EptStatus::OK);
            }
        }
    }

    #[test]
    fn inq_stats_tells_calls_and_packets() {
        for conversation in ALL {
            let answer = words(&[4, 4, 10, 9, 20, 19, 0]);
            assert_eq!(ask(conversation, mgmt::INQ_STATS, &[4, 0, 0, 0]), answer);
            assert_eq!(
                ask(conversation, mgmt::INQ_STATS, &[4, 0, 0, 0, 1, 0, 0, 0]),
                answer
            );
            // count, gap, max_count of 64 bits
            let wide = words(&[4, 0, 4, 0, 10, 9, 20, 19, 0]);
            let asked = [4, 0, 0, 0];
            assert_eq!(ask_in(Ndr64, conversation, mgmt::INQ_STATS, &asked), wide);
        }
    }

    #[test]
    fn inq_stats_of_another_count_is_not_supported_in_samba_only() {
        for count in [0, 2, 5, 255] {
            let stub = [count, 0, 0, 0];
            assert_eq!(ask(Samba, mgmt::INQ_STATS, &stub), words(&[0, 0, 50]));
        }
        for conversation in [Windows, Dce] {
            let two = ask(conversation, mgmt::INQ_STATS, &[2, 0, 0, 0]);
            assert_eq!(two, words(&[2, 2, 10, 9, 0]));
            let five = ask(conversation, mgmt::INQ_STATS, &[5, 0, 0, 0]);
            assert_eq!(five, words(&[4, 4, 10, 9, 20, 19, 0]));
        }
    }

    #[test]
    fn the_server_is_listening_and_nobody_stops_it() {
        for conversation in ALL {
            for syntax in [Ndr, Ndr64] {
                let listening = ask_in(syntax, conversation, mgmt::IS_SERVER_LISTENING, &[]);
                assert_eq!(listening, words(&[0, 1]));
                let stopped = ask_in(syntax, conversation, mgmt::STOP_SERVER_LISTENING, &[]);
                assert_eq!(stopped, words(&[5]));
            }
        }
    }

    #[test]
    fn no_authentication_service_has_a_principal() {
        for conversation in ALL {
            for service in [0, 9, 10, 16, 255] {
                let asked = [service, 0, 0, 0, 64, 0, 0, 0];
                let reply = ask(conversation, mgmt::INQ_PRINC_NAME, &asked);
                // max_count, offset, actual_count, NUL and pad, status
                assert_eq!(reply, words(&[64, 0, 1, 0, 1747]));
                let wide = ask_in(Ndr64, conversation, mgmt::INQ_PRINC_NAME, &asked);
                assert_eq!(wide, words(&[64, 0, 0, 0, 1, 0, 0, 1747]));
            }
            let nowhere = ask(
                conversation,
                mgmt::INQ_PRINC_NAME,
                &[10, 0, 0, 0, 0, 0, 0, 0],
            );
            assert_eq!(nowhere, Reply::BAD_STUB);
        }
    }

    #[test]
    fn operations_from_5_on_are_out_of_range_and_short_stubs_bad() {
        let status = FaultStatus::OP_RNG_ERROR;
        let refused = Reply::Fault {
            status,
            did_not_execute: true,
        };
        assert_eq!(ask(Windows, 5, &[0; 8]), refused);
        assert_eq!(ask(Windows, mgmt::INQ_STATS, &[0; 3]), Reply::BAD_STUB);
        assert_eq!(ask(Windows, mgmt::INQ_PRINC_NAME, &[0; 7]), Reply::BAD_STUB);
    }
}
