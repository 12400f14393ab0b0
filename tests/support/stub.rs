//! The stubs of a capture's calls, for tests only: what each is bound to is
//! taken from the bind and its answer, fragments are put together.

use super::capture::Capture;
use epmapper::wire::pdu::{AuthLevel, Body, Pdu, PfcFlags};
use epmapper::wire::status::ContextResult;
use epmapper::wire::{ByteOrder, SyntaxId, TransferSyntax};
use std::collections::HashMap;

/// What a call is: abstract syntax, transfer syntax, operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub interface: SyntaxId,
    pub transfer_syntax: TransferSyntax,
    pub opnum: u16,
}

/// The whole stub of one request or response.
pub struct Stub {
    /// The frame that completed it.
    pub frame: u32,
    pub call_id: u32,
    pub operation: Operation,
    /// A request, or else a response.
    pub is_request: bool,
    pub order: ByteOrder,
    pub octets: Vec<u8>,
}

/// What is known of one connection.
#[derive(Default)]
struct Connection {
    /// The contexts that are asked for: their bind's call id, id, interface.
    asked: Vec<(u32, u16, SyntaxId)>,
    /// Interface and transfer syntax of each context that was accepted.
    bound: HashMap<u16, (SyntaxId, TransferSyntax)>,
    /// The calls that were made.
    calls: HashMap<u32, Operation>,
    /// What came of a stub so far, by call id and whether it is a request's.
    fragments: HashMap<(u32, bool), Vec<u8>>,
}

/// The stubs of calls whose binding was seen and that are not sealed.
pub fn stubs(capture: &Capture) -> Vec<Stub> {
    let mut connections = HashMap::<usize, Connection>::new();
    let mut stubs = Vec::new();
    for captured in &capture.pdus {
        let Ok(pdu) = Pdu::decode(&captured.octets) else {
            continue;
        };
        let connection = connections.entry(captured.connection).or_default();
        if let Some((operation, octets)) = connection.take(&pdu) {
            stubs.push(Stub {
                frame: captured.frame,
                call_id: pdu.header.call_id,
                operation,
                is_request: matches!(pdu.body, Body::Request(_)),
                order: pdu.header.drep.order(),
                octets,
            });
        }
    }
    stubs
}

impl Connection {
    /// Notes one PDU; gives the stub that it completes.
    fn take(&mut self, pdu: &Pdu) -> Option<(Operation, Vec<u8>)> {
        let call_id = pdu.header.call_id;
        match pdu.body {
            Body::Bind(bind) | Body::AlterContext(bind) => {
                let contexts = bind.contexts.iter();
                self.asked = contexts
                    .map(|c| (call_id, c.id, c.abstract_syntax))
                    .collect();
                None
            }
            Body::BindAck(ack) | Body::AlterContextResp(ack) => {
                for (asked, answer) in self.asked.drain(..).zip(ack.results.iter()) {
                    let accepted = TransferSyntax::of(answer.transfer_syntax)
                        .filter(|_| answer.result == ContextResult::ACCEPTANCE);
                    if let (true, Some(syntax)) = (asked.0 == call_id, accepted) {
                        self.bound.insert(asked.1, (asked.2, syntax));
                    }
                }
                None
            }
            Body::Request(request) => {
                let (interface, transfer_syntax) = *self.bound.get(&request.context_id)?;
                let opnum = request.opnum;
                let operation = Operation {
                    interface,
                    transfer_syntax,
                    opnum,
                };
                self.calls.insert(call_id, operation);
                self.gather(pdu, operation, request.stub)
            }
            Body::Response(response) => {
                let operation = *self.calls.get(&call_id)?;
                self.gather(pdu, operation, response.stub)
            }
            _ => None,
        }
    }

    /// Adds a fragment; gives the stub when it was the last.
    fn gather(
        &mut self,
        pdu: &Pdu,
        operation: Operation,
        fragment: &[u8],
    ) -> Option<(Operation, Vec<u8>)> {
        if pdu
            .auth
            .is_some_and(|auth| auth.auth_level >= AuthLevel::PRIVACY)
        {
            return None;
        }
        let key = (pdu.header.call_id, matches!(pdu.body, Body::Request(_)));
        let mut octets = match pdu.header.flags.contains(PfcFlags::FIRST_FRAG) {
            true => Vec::new(),
            false => self.fragments.remove(&key)?,
        };
        octets.extend(fragment);
        match pdu.header.flags.contains(PfcFlags::LAST_FRAG) {
            true => Some((operation, octets)),
            false => {
                self.fragments.insert(key, octets);
                None
            }
        }
    }
}
