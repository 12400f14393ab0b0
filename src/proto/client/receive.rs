//! PDUs of a server, one by one: what each does to the association.

use super::secure::is_accepted;
use super::{Accepted, Agreed, ClientAssociation, ClientEvent, ProtocolError, Waiting};
use crate::proto::fragment;
use crate::proto::frame::{self, Frame};
use crate::wire::pdu::{
    BindAck, Body, ContextAnswer, Fault, Header, PacketType, Pdu, PfcFlags, Response,
};
use crate::wire::status::RejectReason;
use bytes::{Bytes, BytesMut};

/// What a PDU leads to: nothing yet, or the end.
type Step = Result<(), ProtocolError>;

impl ClientAssociation {
    /// Takes all whole PDUs out of `octets`; the rest stays. Nothing is taken
    /// once the association has ended, and nothing while a leg is to be taken: to
    /// be called again behind that.
    pub fn receive(&mut self, octets: &mut BytesMut) {
        while self.ended.is_none() && !self.is_at_leg() {
            // A server may send longer PDUs than were agreed: whole, they take
            // no more than 65535 octets.
            let step = match frame::next(octets, |_| u16::MAX) {
                Frame::Incomplete => return,
                Frame::Bad(_, violation) => Err(ProtocolError::Frame(violation)),
                Frame::Whole(header, pdu) => self.pdu(&header, &pdu),
            };
            if let Err(error) = step {
                self.end(error);
            }
        }
    }

    /// Takes one whole PDU.
    fn pdu(&mut self, header: &Header, octets: &Bytes) -> Step {
        let plain = self.plain(octets)?;
        let pdu = Pdu::decode(&plain).map_err(ProtocolError::Decode)?;
        if matches!(pdu.body, Body::Shutdown) {
            // May come at any time, and belongs to no call (C706 12.6.4.11).
            return Err(ProtocolError::Shutdown);
        }
        if self.is_of_an_orphan(header) {
            return Ok(());
        }
        if self.waiting == Waiting::Nothing {
            return Err(ProtocolError::Unexpected(header.ptype));
        }
        if header.call_id != self.call_id {
            return Err(ProtocolError::CallId {
                expected: self.call_id,
                found: header.call_id,
            });
        }
        self.answer(&pdu, octets)
    }

    /// A PDU as it was before it was sealed; the signature of a response has to
    /// fit whatever becomes of it, since signatures are counted.
    fn plain(&mut self, octets: &Bytes) -> Result<Bytes, ProtocolError> {
        let pdu = Pdu::decode(octets).map_err(ProtocolError::Decode)?;
        let plain = match &pdu.body {
            Body::Response(response) => self.unsealed(&pdu, response, octets)?,
            _ => None,
        };
        Ok(plain.unwrap_or_else(|| octets.clone()))
    }

    /// Takes a PDU of the answer that is due.
    ///
    /// A fault answers anything: some servers refuse a bind so. A bind_nak
    /// refuses anything: a server that understands nothing at all sends it.
    fn answer(&mut self, pdu: &Pdu<'_>, octets: &Bytes) -> Step {
        let header = &pdu.header;
        match (&pdu.body, self.waiting) {
            (Body::BindAck(ack), Waiting::Bind { offered }) => {
                let answers = self.answers(ack, offered)?;
                self.agree(header, ack);
                self.bound_with(answers, pdu, octets)
            }
            (Body::AlterContextResp(ack), Waiting::Alter { offered }) => {
                let answers = self.answers(ack, offered)?;
                self.bound_with(answers, pdu, octets)
            }
            (Body::Response(response), Waiting::Response) => self.fragment(header, response),
            (Body::Fault(fault), _) => self.fault(header, fault),
            (Body::BindNak(nak), _) => self.refused(nak.reason),
            _ => Err(ProtocolError::Unexpected(header.ptype)),
        }
    }

    /// Whether a PDU belongs to a call that was given up; its last one is the
    /// last of it.
    fn is_of_an_orphan(&mut self, header: &Header) -> bool {
        let last = match header.ptype {
            PacketType::RESPONSE => header.flags.contains(PfcFlags::LAST_FRAG),
            PacketType::FAULT => true,
            _ => return false,
        };
        let place = self.orphans.iter().position(|id| *id == header.call_id);
        if let Some(place) = place.filter(|_| last) {
            self.orphans.remove(place);
        }
        place.is_some()
    }

    /// Takes the results of a bind or alter_context.
    fn answers(
        &mut self,
        ack: &BindAck<'_>,
        offered: usize,
    ) -> Result<Vec<ContextAnswer>, ProtocolError> {
        let found = ack.results.len();
        if found != offered {
            return Err(ProtocolError::Results { offered, found });
        }
        let answers: Vec<_> = ack.results.iter().collect();
        for ((id, interface), answer) in self.offered.iter().zip(&answers) {
            if is_accepted(answer) {
                self.contexts.retain(|context| context.id != *id);
                self.contexts.push(Accepted {
                    id: *id,
                    interface: *interface,
                    transfer_syntax: answer.transfer_syntax,
                });
            }
        }
        Ok(answers)
    }

    /// Takes the sizes and the group of a bind_ack. A size of 0 says nothing,
    /// and everybody takes 1432 octets.
    fn agree(&mut self, header: &Header, ack: &BindAck<'_>) {
        let most = self.settings.max_frag.max(fragment::MUST_RECV_FRAG);
        self.agreed = Agreed {
            group: ack.assoc_group_id,
            max_xmit_frag: ack.max_recv_frag.clamp(fragment::MUST_RECV_FRAG, most),
            max_recv_frag: ack.max_xmit_frag,
            multiplexing: self.settings.multiplexing && header.flags.contains(PfcFlags::CONC_MPX),
        };
    }

    /// Takes one fragment of a response.
    fn fragment(&mut self, header: &Header, response: &Response<'_>) -> Step {
        let order = header.drep.order();
        let first = header.flags.contains(PfcFlags::FIRST_FRAG);
        let (begun, mut stub) = match (self.answer.take(), first) {
            (None, true) => (order, BytesMut::new()),
            (Some(answer), false) => answer,
            _ => return Err(ProtocolError::Fragments),
        };
        if begun != order {
            return Err(ProtocolError::Fragments);
        }
        let limit = self.settings.max_answer;
        if response.stub.len() > limit - stub.len() {
            return Err(ProtocolError::TooLong(limit));
        }
        stub.extend_from_slice(response.stub);
        if !header.flags.contains(PfcFlags::LAST_FRAG) {
            self.answer = Some((order, stub));
            return Ok(());
        }
        let stub = stub.freeze();
        self.done(ClientEvent::Response { order, stub })
    }

    /// Takes a fault; the part of a response that came before it is dropped.
    fn fault(&mut self, header: &Header, fault: &Fault<'_>) -> Step {
        self.done(ClientEvent::Fault {
            status: fault.status,
            did_not_execute: header.flags.contains(PfcFlags::DID_NOT_EXECUTE),
        })?;
        self.stop_unless_authenticated();
        Ok(())
    }

    /// Takes a bind_nak: the server closes behind it.
    fn refused(&mut self, reason: RejectReason) -> Step {
        self.done(ClientEvent::Refused(reason))?;
        self.stop(ProtocolError::Closed);
        Ok(())
    }

    /// Tells an event; nothing is due any more.
    pub(super) fn done(&mut self, event: ClientEvent) -> Step {
        self.answered();
        self.events.push_back(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::super::{Agreed, ClientSettings};
    use super::*;
    use crate::proto::frame::Violation;
    use crate::wire::pdu::{AuthLevel, AuthType, AuthVerifier, BindNak};
    use crate::wire::status::FaultStatus;
    use crate::wire::{ByteOrder, DataRepresentation};
    use std::time::Instant;

    /// A client in each state: nothing sent, bind, bound, alter, call; and the
    /// call id of what waits.
    fn states() -> [(ClientAssociation, u32); 5] {
        let mut binding = client();
        binding.bind(Instant::now(), 0, &[EPT]);
        let mut altering = bound(ClientSettings::default(), 5840);
        altering.alter(Instant::now(), &[EPT]);
        [
            (client(), 0),
            (binding, 1),
            (bound(ClientSettings::default(), 5840), 1),
            (altering, 2),
            (calling(), 2),
        ]
    }

    /// The stub of the one response.
    fn stub(client: &mut ClientAssociation) -> Bytes {
        match client.poll_event() {
            Some(ClientEvent::Response { stub, .. }) => stub,
            other => panic!("{other:?} is no response"),
        }
    }

    #[test]
    fn a_bind_ack_tells_group_and_sizes_and_an_alter_context_changes_none() {
        let mut client = client();
        client.bind(Instant::now(), 0, &[EPT]);
        receive(&mut client, &accepted(1, 2048));
        let agreed = Agreed {
            group: 9,
            max_xmit_frag: 2048,
            max_recv_frag: 4280,
            multiplexing: false,
        };
        let told = |event| match event {
            Some(ClientEvent::Bound { answers, agreed }) => (answers.len(), agreed),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(client.poll_event()), (1, agreed));
        client.alter(Instant::now(), &[EPT, EPT]);
        let answer = answered(PacketType::ALTER_CONTEXT_RESP, 2, 1432, 2);
        receive(&mut client, &answer);
        assert_eq!(told(client.poll_event()), (2, agreed));
    }

    #[test]
    fn several_calls_may_be_open_only_where_both_say_so() {
        for (asked, flags, agreed) in [
            (true, 0x13, true),
            (true, 0x03, false),
            (false, 0x13, false),
        ] {
            let mut client = ClientAssociation::new(ClientSettings {
                multiplexing: asked,
                ..ClientSettings::default()
            });
            client.bind(Instant::now(), 0, &[EPT]);
            let mut ack = accepted(1, 5840);
            ack[3] = flags;
            receive(&mut client, &ack);
            match client.poll_event() {
                Some(ClientEvent::Bound { agreed: told, .. }) => {
                    assert_eq!(told.multiplexing, agreed)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn as_many_results_as_contexts_are_needed() {
        for count in [0, 2, 255] {
            let mut client = client();
            client.bind(Instant::now(), 0, &[EPT]);
            let ack = answered(PacketType::BIND_ACK, 1, 5840, count);
            receive(&mut client, &ack);
            let (offered, found) = (1, count);
            assert_ended(&mut client, ProtocolError::Results { offered, found });
        }
    }

    #[test]
    fn the_secondary_address_may_be_anything() {
        let whole = accepted(1, 5840);
        for address in [&b""[..], b"135", b"\xff\x00\x00\x00", b"\\pipe\\epmapper\0"] {
            let Ok(Pdu {
                header,
                body: Body::BindAck(ack),
                ..
            }) = Pdu::decode(&whole)
            else {
                panic!("no bind_ack");
            };
            let ack = BindAck {
                secondary_address: address,
                ..ack
            };
            let mut client = client();
            client.bind(Instant::now(), 0, &[EPT]);
            let octets = pdu(header.ptype, 0, 1, Body::BindAck(ack));
            receive(&mut client, &octets);
            let event = client.poll_event();
            assert!(
                matches!(event, Some(ClientEvent::Bound { .. })),
                "{event:?}"
            );
        }
    }

    #[test]
    fn a_bind_nak_refuses_whatever_was_asked_and_is_the_end() {
        let nak = BindNak {
            versions: None,
            tail: &[],
            ..BindNak::new(RejectReason::LOCAL_LIMIT_EXCEEDED)
        };
        for (mut client, call_id) in states().into_iter().filter(|(c, _)| waits(c)) {
            let octets = pdu(PacketType::BIND_NAK, 3, call_id, Body::BindNak(nak));
            assert_eq!(octets.len(), 18, "ends after its reason");
            receive(&mut client, &octets);
            let refused = ClientEvent::Refused(RejectReason::LOCAL_LIMIT_EXCEEDED);
            assert_eq!(client.poll_event(), Some(refused));
            assert_over(&mut client);
            client.bind(Instant::now(), 0, &[EPT]);
            assert_ended(&mut client, ProtocolError::Closed);
        }
    }

    /// Whether an answer is due.
    fn waits(client: &ClientAssociation) -> bool {
        client.poll_timeout().is_some()
    }

    #[test]
    fn a_fault_answers_whatever_was_asked_and_the_connection_lives() {
        for (mut client, call_id) in states().into_iter().filter(|(c, _)| waits(c)) {
            receive(&mut client, &fault(call_id));
            let fault = ClientEvent::Fault {
                status: FaultStatus::OP_RNG_ERROR,
                did_not_execute: true,
            };
            assert_eq!(client.poll_event(), Some(fault));
            client.call(Instant::now(), 0, 1, None, b"");
            receive(&mut client, &response(call_id + 1, 3, b"next"));
            assert_eq!(stub(&mut client), "next");
        }
    }

    #[test]
    fn a_fault_behind_a_part_of_a_response_counts() {
        let mut client = calling();
        receive(&mut client, &response(2, 1, b"part"));
        receive(&mut client, &fault(2));
        let event = client.poll_event();
        assert!(
            matches!(event, Some(ClientEvent::Fault { .. })),
            "{event:?}"
        );
        client.call(Instant::now(), 0, 1, None, b"");
        receive(&mut client, &response(3, 3, b"whole"));
        assert_eq!(stub(&mut client), "whole");
    }

    #[test]
    fn faults_with_any_hint_and_extended_information_are_read() {
        for (alloc_hint, extended) in [(0, &[][..]), (24, &[]), (120, &[7; 88]), (u32::MAX, &[1])] {
            let fault = Fault {
                alloc_hint,
                flags: 1,
                extended,
                ..Fault::new(5, FaultStatus::ACCESS_DENIED)
            };
            let mut client = calling();
            receive(
                &mut client,
                &pdu(PacketType::FAULT, 3, 2, Body::Fault(fault)),
            );
            let fault = ClientEvent::Fault {
                status: FaultStatus::ACCESS_DENIED,
                did_not_execute: false,
            };
            assert_eq!(client.poll_event(), Some(fault));
        }
    }

    #[test]
    fn a_shutdown_ends_the_association_in_every_state() {
        for (mut client, _) in states() {
            receive(
                &mut client,
                &pdu(PacketType::SHUTDOWN, 3, 77, Body::Shutdown),
            );
            assert_ended(&mut client, ProtocolError::Shutdown);
        }
    }

    #[test]
    fn what_nobody_waits_for_ends_the_association() {
        let unsolicited = [
            (PacketType::RESPONSE, response(1, 3, b"")),
            (PacketType::FAULT, fault(1)),
            (PacketType::BIND_ACK, accepted(1, 5840)),
        ];
        for (ptype, octets) in unsolicited {
            let mut client = bound(ClientSettings::default(), 5840);
            receive(&mut client, &octets);
            assert_ended(&mut client, ProtocolError::Unexpected(ptype));
        }
    }

    #[test]
    fn an_answer_of_another_kind_or_call_ends_the_association() {
        let alter = answered(PacketType::ALTER_CONTEXT_RESP, 2, 5840, 1);
        for (octets, error) in [
            (accepted(2, 5840), unexpected(PacketType::BIND_ACK)),
            (alter, unexpected(PacketType::ALTER_CONTEXT_RESP)),
            (
                pdu(PacketType::CO_CANCEL, 3, 2, Body::CoCancel),
                unexpected(PacketType::CO_CANCEL),
            ),
            (
                pdu(PacketType(200), 3, 2, Body::Other(b"what")),
                unexpected(PacketType(200)),
            ),
            (response(1, 3, b"late"), other_call(1)),
            (response(3, 3, b"early"), other_call(3)),
            (fault(0), other_call(0)),
        ] {
            let mut client = calling();
            receive(&mut client, &octets);
            assert_ended(&mut client, error);
        }
    }

    fn unexpected(ptype: PacketType) -> ProtocolError {
        ProtocolError::Unexpected(ptype)
    }

    /// The error of an answer to call `found` where 2 waits.
    fn other_call(found: u32) -> ProtocolError {
        ProtocolError::CallId { expected: 2, found }
    }

    #[test]
    fn a_pdu_that_is_none_or_does_not_decode_ends_the_association() {
        let mut client = calling();
        let mut octets = BytesMut::from(&b"HTTP/1.1 400 Bad Request"[..]);
        client.receive(&mut octets);
        assert_ended(&mut client, ProtocolError::Frame(Violation::Version));
        let mut client = calling();
        receive(
            &mut client,
            &pdu(PacketType::RESPONSE, 3, 2, Body::Other(b"short")),
        );
        let Some(ClientEvent::Broken(ProtocolError::Decode(_))) = client.poll_event() else {
            panic!("it decodes");
        };
    }

    #[test]
    fn responses_come_whole_or_in_fragments_of_any_size() {
        for pieces in [vec![&b"0123456789"[..]], vec![b"01", b"", b"2345678", b"9"]] {
            let mut client = calling();
            let last = pieces.len() - 1;
            for (index, piece) in pieces.iter().enumerate() {
                let flags = u8::from(index == 0) | u8::from(index == last) << 1;
                receive(&mut client, &response(2, flags, piece));
            }
            assert_eq!(stub(&mut client), "0123456789");
        }
        // Longer than was agreed, which a reader need not mind.
        let mut client = calling();
        receive(&mut client, &response(2, 3, &[1; 65_500]));
        assert_eq!(stub(&mut client).len(), 65_500);
    }

    #[test]
    fn fragments_out_of_order_end_the_association() {
        let mut big = response(2, 2, b"");
        big[4] = 0; // big-endian, and so its lengths and call id
        big[8..10].reverse();
        big[12..16].reverse();
        for fragments in [
            vec![response(2, 2, b"x")],
            vec![response(2, 0, b"x")],
            vec![response(2, 1, b"x"), response(2, 1, b"y")],
            vec![response(2, 1, b"x"), response(2, 3, b"y")],
            vec![response(2, 1, b"x"), big],
        ] {
            let mut client = calling();
            for fragment in fragments {
                receive(&mut client, &fragment);
            }
            assert_ended(&mut client, ProtocolError::Fragments);
        }
    }

    #[test]
    fn an_answer_in_another_order_than_the_call_is_read() {
        let header = Header::new(
            PacketType::RESPONSE,
            PfcFlags::WHOLE,
            DataRepresentation::BIG,
            2,
        );
        let body = Body::Response(Response {
            alloc_hint: 0,
            context_id: 0,
            cancel_count: 0,
            reserved: 0,
            stub: b"stub",
        });
        let mut octets = Vec::new();
        Pdu::new(header, body).encode(&mut octets);
        let mut client = calling();
        receive(&mut client, &octets);
        let event = client.poll_event();
        let Some(ClientEvent::Response { order, .. }) = event else {
            panic!("{event:?}");
        };
        assert_eq!(order, ByteOrder::Big);
    }

    #[test]
    fn an_answer_is_as_long_as_the_limit_and_not_longer() {
        let settings = ClientSettings {
            max_answer: 10,
            ..ClientSettings::default()
        };
        for (stubs, fits) in [
            (&[10][..], true),
            (&[6, 4], true),
            (&[11], false),
            (&[6, 5], false),
            (&[10, 0, 60_000], false),
        ] {
            let mut client = bound(settings, 5840);
            client.call(Instant::now(), 0, 1, None, b"");
            let last = stubs.len() - 1;
            for (index, length) in stubs.iter().enumerate() {
                let flags = u8::from(index == 0) | u8::from(index == last) << 1;
                receive(&mut client, &response(2, flags, &vec![0; *length]));
            }
            match fits {
                true => assert_eq!(stub(&mut client).len(), 10),
                false => assert_ended(&mut client, ProtocolError::TooLong(10)),
            }
        }
    }

    #[test]
    fn a_verifier_that_nobody_asked_for_and_its_pad_are_left_out() {
        let whole = response(2, 3, b"stub");
        let mut pdu = Pdu::decode(&whole).unwrap();
        pdu.pad = &[0xab; 4];
        pdu.auth = Some(AuthVerifier {
            auth_type: AuthType::NTLM,
            auth_level: AuthLevel::CONNECT,
            pad_length: 4,
            reserved: 0,
            context_id: 1,
            value: &[1; 16],
        });
        let mut octets = Vec::new();
        pdu.encode(&mut octets);
        let mut client = calling();
        receive(&mut client, &octets);
        assert_eq!(stub(&mut client), "stub");
    }

    #[test]
    fn what_comes_for_a_call_given_up_is_dropped_and_the_next_call_gets_its_own() {
        let mut client = calling();
        receive(&mut client, &response(2, 1, b"part"));
        client.orphan();
        client.call(Instant::now(), 0, 1, None, b"");
        client.orphan();
        client.call(Instant::now(), 0, 1, None, b"");
        for octets in [
            response(2, 0, b"of the first"),
            response(2, 2, b"its end"),
            response(4, 1, b"of the "),
            fault(3),
            response(4, 2, b"third"),
        ] {
            assert_eq!(client.poll_event(), None);
            receive(&mut client, &octets);
        }
        assert_eq!(stub(&mut client), "of the third");
        // What was answered to its end is answered no second time.
        receive(&mut client, &response(2, 3, b"again"));
        assert_ended(&mut client, unexpected(PacketType::RESPONSE));
    }

    #[test]
    fn calls_given_up_are_known_to_a_limit() {
        let mut client = calling();
        for _ in 0..5000 {
            client.orphan();
            client.call(Instant::now(), 0, 1, None, b"");
        }
        assert_eq!(client.orphans.len(), 1024);
        // The last of them is 5001, and 5002 is under way.
        receive(&mut client, &response(5001, 3, b"late"));
        receive(&mut client, &response(5002, 3, b"own"));
        assert_eq!(stub(&mut client), "own");
    }

    #[test]
    fn a_cancelled_call_is_still_answered() {
        for octets in [fault(2), response(2, 3, b"")] {
            let mut client = calling();
            client.cancel();
            receive(&mut client, &octets);
            assert!(client.poll_event().is_some());
            assert_eq!(client.poll_timeout(), None);
        }
    }

    #[test]
    fn whatever_packet_type_comes_in_whatever_state_is_one_event_or_none() {
        for ptype in 0..=255 {
            for flags in [0, 1, 2, 3, 0xff] {
                for (mut client, call_id) in states() {
                    let octets = pdu(PacketType(ptype), flags, call_id, Body::Other(&[0; 40]));
                    receive(&mut client, &octets);
                    let first = client.poll_event();
                    assert!(first.is_some() || waits(&client), "{ptype}");
                    assert_eq!(client.poll_event(), None);
                }
            }
        }
    }
}
