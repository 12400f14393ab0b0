//! Both ends of an association in memory: no socket, no clock, no sleeping.

#[path = "support/ends.rs"]
mod ends;

use bytes::BytesMut;
use ends::{
    BIND_TIMEOUT, CALL_TIMEOUT, FIRST, GROUP, IDLE_TIMEOUT, LAST, MIDDLE, Server, WHOLE, fault,
    pdus, request, request_of, settings, start,
};
use epmapper::proto::{
    Answer, ClientAssociation, ClientEvent, ClientSettings, Closed, Event, Settings,
};
use epmapper::wire::pdu::{Body, ContextAnswer, Header, PacketType, Pdu, PfcFlags};
use epmapper::wire::status::{FaultStatus, RejectReason};
use epmapper::wire::{ByteOrder, DataRepresentation, SyntaxId};
use std::time::Duration;

fn client(order: ByteOrder, max_frag: u16) -> ClientAssociation {
    ClientAssociation::new(ClientSettings {
        order,
        max_frag,
        ..ClientSettings::default()
    })
}

fn sent(client: &mut ClientAssociation) -> Vec<u8> {
    let octets = client.poll_transmit().unwrap_or_default().to_vec();
    client.transmitted(octets.len());
    octets
}

/// Sends what the client has to send, and brings back what the server answers.
fn talk(client: &mut ClientAssociation, server: &mut Server) -> Option<ClientEvent> {
    let octets = sent(client);
    let answer = server.exchange(&octets);
    client.receive(&mut BytesMut::from(&answer[..]));
    client.poll_event()
}

const EPT_NDR: (u16, SyntaxId, &[SyntaxId]) = (0, SyntaxId::EPT, &[SyntaxId::NDR]);

fn bound(order: ByteOrder, max_frag: u16) -> (ClientAssociation, Server) {
    let mut client = client(order, max_frag);
    let mut server = Server::new(settings());
    client.bind(start(), 0, &[EPT_NDR]);
    let Some(ClientEvent::Bound { answers, .. }) = talk(&mut client, &mut server) else {
        panic!("not bound");
    };
    assert_eq!(answers[0].result.0, 0);
    (client, server)
}

#[test]
fn a_call_is_answered_in_both_byte_orders() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let (mut client, mut server) = bound(order, 5840);
        client.call(start(), 0, 2, None, b"stub");
        let Some(ClientEvent::Response {
            order: answered,
            stub,
        }) = talk(&mut client, &mut server)
        else {
            panic!("no response");
        };
        assert_eq!((answered, &stub[..]), (order, &b"stubstub"[..]));
    }
}

#[test]
fn long_calls_and_answers_go_in_fragments_that_the_client_takes() {
    for max_frag in [1432, 2048, 4280, 5840] {
        let (mut client, mut server) = bound(ByteOrder::Little, max_frag);
        let stub: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        client.call(start(), 0, 1, None, &stub);
        let octets = sent(&mut client);
        let answer = server.exchange(&octets);
        let longest = pdus(&answer).iter().map(|p| p.header.frag_length).max();
        assert!(longest <= Some(max_frag), "{longest:?} for {max_frag}");
        client.receive(&mut BytesMut::from(&answer[..]));
        let Some(ClientEvent::Response { stub: back, .. }) = client.poll_event() else {
            panic!("no response");
        };
        assert_eq!(back, stub);
    }
}

#[test]
fn a_conversation_cut_at_every_octet_gives_the_same_answers() {
    let mut client = client(ByteOrder::Little, 1432);
    client.bind(start(), 0, &[EPT_NDR]);
    let mut octets = sent(&mut client);
    octets.extend(request(2, WHOLE, 1, &[7; 40]));
    octets.extend(request(3, FIRST, 3, &[1; 16]));
    octets.extend(request(3, LAST, 3, &[2; 16]));
    let whole = Server::new(settings()).exchange(&octets);
    assert_eq!(pdus(&whole).len(), 3);
    for cut in 0..=octets.len() {
        let mut server = Server::new(settings());
        let mut answer = server.exchange(&octets[..cut]);
        answer.extend(server.exchange(&octets[cut..]));
        assert_eq!(answer, whole, "cut at {cut}");
    }
    let mut server = Server::new(settings());
    let single: Vec<u8> = octets
        .iter()
        .flat_map(|octet| server.exchange(&[*octet]))
        .collect();
    assert_eq!(single, whole);
}

#[test]
fn answers_cut_at_every_octet_reach_the_client() {
    let (mut client, mut server) = bound(ByteOrder::Little, 1432);
    client.call(start(), 0, 100, None, &[9; 40]);
    let octets = sent(&mut client);
    let answer = server.exchange(&octets);
    let mut input = BytesMut::new();
    for octet in &answer {
        assert!(client.poll_event().is_none());
        input.extend_from_slice(&[*octet]);
        client.receive(&mut input);
    }
    assert!(
        matches!(client.poll_event(), Some(ClientEvent::Response { stub, .. }) if stub.len() == 4000)
    );
}

#[test]
fn pipelined_calls_are_answered_in_order_and_no_more_wait_than_may() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let octets: Vec<u8> = (0..20)
        .flat_map(|id| request(id, WHOLE, 1, &[id as u8]))
        .collect();
    server.input.extend_from_slice(&octets);
    server.association.receive(server.now, &mut server.input);
    assert!(server.association.is_full());
    assert_eq!(
        server.input.len(),
        octets.len() / 20 * 16,
        "four of twenty taken"
    );
    let answer = server.exchange(&[]);
    let ids: Vec<u32> = pdus(&answer).iter().map(|pdu| pdu.header.call_id).collect();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
}

#[test]
fn an_answer_of_the_machine_waits_behind_the_calls_before_it() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let mut octets = request(2, WHOLE, 1, b"x");
    octets.extend(request_of(3, WHOLE, (9, 1), b"unknown context"));
    octets.extend(request(4, WHOLE, 1, b"y"));
    octets.extend(request(5, LAST, 1, b"a violation"));
    octets.extend(request(6, WHOLE, 1, b"never read"));
    let answer = server.exchange(&octets);
    let kinds: Vec<_> = pdus(&answer)
        .iter()
        .map(|pdu| (pdu.header.call_id, pdu.header.ptype))
        .collect();
    assert_eq!(
        kinds,
        [
            (2, PacketType::RESPONSE),
            (3, PacketType::FAULT),
            (4, PacketType::RESPONSE),
            (5, PacketType::FAULT)
        ]
    );
    assert_eq!(server.association.closed(), Some(Closed::Violation));
    assert!(server.exchange(&request(7, WHOLE, 1, b"")).is_empty());
}

#[test]
fn no_call_is_begun_while_too_much_waits_to_be_sent() {
    let mut server = Server::new(Settings {
        max_queued: 1000,
        ..settings()
    });
    let mut client = client(ByteOrder::Little, 5840);
    client.bind(start(), 0, &[EPT_NDR]);
    talk(&mut client, &mut server);
    for id in 2..5 {
        server
            .input
            .extend_from_slice(&request(id, WHOLE, 50, &[0; 40]));
    }
    server.association.receive(server.now, &mut server.input);
    let mut begun = 0;
    while let Some(event) = server.association.poll_event() {
        begun += 1;
        server.event(event);
    }
    assert_eq!(begun, 1);
    assert!(server.association.is_busy());
    assert_eq!(pdus(&server.exchange(&[])).len(), 3);
}

#[test]
fn a_first_pdu_that_is_no_bind_is_refused() {
    let mut server = Server::new(settings());
    let answer = server.exchange(&request(5, WHOLE, 1, b""));
    let [
        Pdu {
            header,
            body: Body::BindNak(nak),
            ..
        },
    ] = pdus(&answer)[..]
    else {
        panic!("no bind_nak");
    };
    assert_eq!(header.call_id, 5);
    assert_eq!(nak.reason, RejectReason::PROTOCOL_VERSION_NOT_SUPPORTED);
    assert_eq!(server.association.closed(), Some(Closed::Refused));
}

#[test]
fn octets_that_are_no_rpc_get_a_bind_nak_of_24_octets() {
    let mut server = Server::new(settings());
    let answer = server.exchange(b"\0\0\0\xa4\xffSMBr\0\0\0\0\x08\x01\x40 and more");
    let expected = b"\x05\0\x0d\x03\x10\0\0\0\x18\0\0\0\0\x08\x01\x40\x04\0\x01\x05\0\0\0\0";
    assert_eq!(answer, expected);
}

#[test]
fn a_bind_into_an_unknown_group_is_refused_and_into_a_known_one_joins() {
    for (group, joined) in [(GROUP, true), (5, false)] {
        let mut client = client(ByteOrder::Little, 5840);
        client.bind(start(), 0, &[EPT_NDR]);
        let mut octets = sent(&mut client);
        octets[20..24].copy_from_slice(&group.to_le_bytes());
        let mut server = Server::new(settings());
        let answer = server.exchange(&octets);
        match pdus(&answer)[0].body {
            Body::BindAck(ack) => assert!(joined && ack.assoc_group_id == GROUP),
            Body::BindNak(nak) => assert!(!joined && nak.reason == RejectReason::NOT_SPECIFIED),
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn alter_context_adds_an_interface_and_the_old_one_stays() {
    let (mut client, mut server) = bound(ByteOrder::Little, 5840);
    client.alter(start(), &[(1, SyntaxId::MGMT, &[SyntaxId::NDR])]);
    let event = talk(&mut client, &mut server);
    assert!(matches!(event, Some(ClientEvent::Bound { answers: a, .. }) if a[0].result.0 == 0));
    for context in [0, 1] {
        client.call(start(), context, 1, None, b"");
        assert!(matches!(
            talk(&mut client, &mut server),
            Some(ClientEvent::Response { .. })
        ));
    }
    let interfaces: Vec<_> = server.calls.iter().map(|call| call.interface).collect();
    assert_eq!(interfaces, [0, 1]);
}

#[test]
fn a_refused_context_tells_why_and_its_calls_fault() {
    let (mut client, mut server) = bound(ByteOrder::Little, 5840);
    let newer = SyntaxId {
        major: 4,
        ..SyntaxId::EPT
    };
    client.alter(start(), &[(3, newer, &[SyntaxId::NDR])]);
    let Some(ClientEvent::Bound { answers, .. }) = talk(&mut client, &mut server) else {
        panic!("no answer");
    };
    let ContextAnswer { result, reason, .. } = answers[0];
    assert_eq!((result.0, reason.0), (2, 1));
    client.call(start(), 3, 1, None, b"");
    let event = talk(&mut client, &mut server);
    assert!(matches!(
        event,
        Some(ClientEvent::Fault {
            status: FaultStatus::UNK_IF,
            did_not_execute: true
        })
    ));
    client.call(start(), 0, 1, None, b"");
    assert!(matches!(
        talk(&mut client, &mut server),
        Some(ClientEvent::Response { .. })
    ));
}

#[test]
fn a_second_bind_is_refused() {
    let (mut client, mut server) = bound(ByteOrder::Little, 5840);
    client.bind(start(), 0, &[EPT_NDR]);
    let event = talk(&mut client, &mut server);
    assert!(matches!(
        event,
        Some(ClientEvent::Refused(RejectReason::NOT_SPECIFIED))
    ));
    assert_eq!(server.association.closed(), Some(Closed::Refused));
}

#[test]
fn misplaced_fragments_end_the_connection_with_a_fault() {
    let cases: [(&str, Vec<Vec<u8>>, u32); 5] = [
        ("no first", vec![request(2, LAST, 1, b"x")], 2),
        ("no first, no last", vec![request(2, MIDDLE, 1, b"x")], 2),
        (
            "first twice",
            vec![request(2, FIRST, 1, b"x"), request(2, FIRST, 1, b"x")],
            2,
        ),
        (
            "another call between",
            vec![request(2, FIRST, 1, b"x"), request(3, WHOLE, 1, b"x")],
            2,
        ),
        (
            "continuation of another call",
            vec![request(2, FIRST, 1, b"x"), request(3, LAST, 1, b"x")],
            2,
        ),
    ];
    for (name, octets, call_id) in cases {
        let (_, mut server) = bound(ByteOrder::Little, 5840);
        let answer = server.exchange(&octets.concat());
        let expected = (call_id, FaultStatus::PROTO_ERROR, false);
        assert_eq!(fault(&answer), expected, "{name}");
        assert_eq!(
            server.association.closed(),
            Some(Closed::Violation),
            "{name}"
        );
    }
}

#[test]
fn a_call_above_the_limit_is_refused_and_nothing_is_preallocated() {
    let limited = Settings {
        max_call: 64,
        ..settings()
    };
    let bind = |server: &mut Server| {
        let mut client = client(ByteOrder::Little, 5840);
        client.bind(start(), 0, &[EPT_NDR]);
        talk(&mut client, server);
    };
    let mut server = Server::new(limited.clone());
    bind(&mut server);
    let mut hinted = request(2, FIRST, 1, b"x");
    hinted[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        fault(&server.exchange(&hinted)),
        (2, FaultStatus::ACCESS_DENIED, false)
    );

    let mut server = Server::new(limited);
    bind(&mut server);
    assert!(server.exchange(&request(2, FIRST, 1, &[0; 60])).is_empty());
    assert!(server.exchange(&request(2, MIDDLE, 1, &[0; 4])).is_empty());
    let answer = server.exchange(&request(2, LAST, 1, &[0; 1]));
    assert_eq!(fault(&answer), (2, FaultStatus::ACCESS_DENIED, false));
}

#[test]
fn a_fragment_above_the_transport_limit_ends_the_connection() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let taken = request(2, WHOLE, 1, &vec![0; 5840 - 24]);
    assert_eq!(
        pdus(&server.exchange(&taken))[0].header.ptype,
        PacketType::RESPONSE
    );
    let long = request(3, WHOLE, 1, &vec![0; 5841 - 24]);
    assert_eq!(
        fault(&server.exchange(&long[..16])),
        (3, FaultStatus::PROTO_ERROR, false)
    );
}

#[test]
fn cancel_and_orphaned_are_not_answered_and_change_nothing() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    assert!(server.exchange(&request(2, FIRST, 1, b"a")).is_empty());
    for ptype in [PacketType::CO_CANCEL, PacketType::ORPHANED] {
        for call_id in [2, 9] {
            let header = Header::new(ptype, WHOLE, DataRepresentation::LITTLE, call_id);
            let body = match ptype {
                PacketType::CO_CANCEL => Body::CoCancel,
                _ => Body::Orphaned,
            };
            let mut octets = Vec::new();
            Pdu::new(header, body).encode(&mut octets);
            assert!(server.exchange(&octets).is_empty());
        }
    }
    let answer = server.exchange(&request(2, LAST, 1, b"b"));
    let Body::Response(response) = pdus(&answer)[0].body else {
        panic!("no response");
    };
    assert_eq!(response.stub, b"ab");
}

#[test]
fn a_maybe_call_is_run_and_not_answered() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let flags = WHOLE | PfcFlags::MAYBE;
    assert!(server.exchange(&request(2, flags, 99, b"")).is_empty());
    assert_eq!(server.calls.len(), 1);
    let unknown_context = request_of(3, flags, (9, 1), b"");
    assert!(server.exchange(&unknown_context).is_empty());
}

#[test]
fn pdus_that_only_a_server_sends_end_the_connection() {
    for ptype in [
        PacketType::RESPONSE,
        PacketType::FAULT,
        PacketType::BIND_ACK,
        PacketType::BIND_NAK,
        PacketType::ALTER_CONTEXT_RESP,
        PacketType::SHUTDOWN,
        PacketType::RTS,
        PacketType(1),
        PacketType(0xff),
    ] {
        let (_, mut server) = bound(ByteOrder::Little, 5840);
        let mut octets = request(2, WHOLE, 1, &[0; 40]);
        octets[2] = ptype.0;
        let answer = server.exchange(&octets);
        let (call_id, status, _) = fault(&answer);
        assert_eq!((call_id, status), (2, FaultStatus::PROTO_ERROR), "{ptype}");
        assert_eq!(server.association.closed(), Some(Closed::Violation));
    }
}

#[test]
fn a_client_that_does_not_bind_or_falls_silent_is_closed() {
    let mut server = Server::new(settings());
    let start = server.now;
    assert_eq!(
        server.association.poll_timeout(),
        Some(start + BIND_TIMEOUT)
    );
    server
        .association
        .handle_timeout(start + BIND_TIMEOUT - Duration::from_millis(1));
    assert_eq!(server.association.closed(), None);
    server.association.handle_timeout(start + BIND_TIMEOUT);
    assert_eq!(server.association.closed(), Some(Closed::BindTimeout));
    assert_eq!(server.association.poll_timeout(), None);

    let (_, mut server) = bound(ByteOrder::Little, 5840);
    server.now += Duration::from_secs(30);
    server.exchange(&request(2, WHOLE, 1, b""));
    let deadline = server.now + IDLE_TIMEOUT;
    // A part of a PDU is no sign of life.
    server.now += Duration::from_secs(10);
    server.exchange(&request(3, WHOLE, 1, b"")[..20]);
    assert_eq!(server.association.poll_timeout(), Some(deadline));
    server.association.handle_timeout(deadline);
    assert_eq!(server.association.closed(), Some(Closed::IdleTimeout));
}

#[test]
fn a_client_is_not_silent_while_it_waits_for_its_answer() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let begun = server.now;
    let mut octets = BytesMut::from(&request(2, WHOLE, 1, b"")[..]);
    server.association.receive(begun, &mut octets);
    let Some(Event::Call(call)) = server.association.poll_event() else {
        panic!("no call");
    };
    assert_eq!(server.association.poll_timeout(), None);
    server.association.handle_timeout(begun + 2 * IDLE_TIMEOUT);
    assert_eq!(server.association.closed(), None);
    server.association.reply(&call, Answer::Response(b""));
    let answered = begun + 2 * IDLE_TIMEOUT;
    server.association.handle_timeout(answered);
    assert_eq!(server.association.closed(), None);
    let deadline = server.association.poll_timeout();
    assert_eq!(deadline, Some(answered + IDLE_TIMEOUT));
}

#[test]
fn a_call_that_is_not_completed_in_time_ends_the_connection() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let begun = server.now;
    assert!(server.exchange(&request(2, FIRST, 1, b"a")).is_empty());
    for seconds in [5, 10, 15] {
        server.now = begun + Duration::from_secs(seconds);
        assert!(server.exchange(&request(2, MIDDLE, 1, b"b")).is_empty());
    }
    let deadline = begun + CALL_TIMEOUT;
    assert_eq!(server.association.poll_timeout(), Some(deadline));
    server.association.handle_timeout(deadline);
    assert_eq!(server.association.closed(), Some(Closed::CallTimeout));
    assert_eq!(server.association.held(), 0);
}

#[test]
fn what_ended_a_connection_first_is_told() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    let stray = [request(2, WHOLE, 1, b""), request(3, LAST, 1, b"")].concat();
    let mut octets = BytesMut::from(&stray[..]);
    server.association.receive(server.now, &mut octets);
    server.association.give_up();
    server.exchange(b"");
    assert_eq!(server.association.closed(), Some(Closed::Violation));
}

#[test]
fn a_call_that_there_is_no_memory_for_is_given_up_behind_those_before_it() {
    let (_, mut server) = bound(ByteOrder::Little, 5840);
    server.exchange(&request(2, FIRST, 1, &[0; 100]));
    assert_eq!(server.association.held(), 100);
    server.association.give_up();
    let answer = server.exchange(&request(2, LAST, 1, b""));
    assert_eq!(fault(&answer), (2, FaultStatus::REMOTE_NO_MEMORY, true));
    assert_eq!(server.association.closed(), Some(Closed::NoMemory));
}

/// A PDU with a verifier behind it: type NTLM, a level, a pad length.
fn with_verifier(pdu: &[u8], level: u8, pad_length: u8) -> Vec<u8> {
    // Type, level, pad length, reserved, context 0, then a token.
    let verifier = [10, level, pad_length, 0, 0, 0, 0, 0, b'N', b'T', b'L', b'M'];
    let mut octets = [pdu, &verifier].concat();
    let len = octets.len() as u16;
    octets[8..10].copy_from_slice(&len.to_le_bytes());
    octets[10..12].copy_from_slice(&4u16.to_le_bytes());
    octets
}

#[test]
fn an_authenticated_bind_is_refused_while_there_is_no_provider() {
    let mut client = client(ByteOrder::Little, 5840);
    client.bind(start(), 0, &[EPT_NDR]);
    let plain = sent(&mut client);
    let unaligned = [&plain[..], &[0; 2]].concat();
    for (name, octets, reason) in [
        ("connect", with_verifier(&plain, 2, 0), RejectReason(8)),
        ("privacy", with_verifier(&plain, 6, 0), RejectReason(8)),
        ("call", with_verifier(&plain, 3, 0), RejectReason(9)),
        ("level none", with_verifier(&plain, 1, 0), RejectReason(0)),
        (
            "no such level",
            with_verifier(&plain, 7, 0),
            RejectReason(0),
        ),
        ("padded", with_verifier(&plain, 2, 4), RejectReason(8)),
        (
            "padded beyond",
            with_verifier(&plain, 2, 49),
            RejectReason(4),
        ),
        (
            "unaligned",
            with_verifier(&unaligned, 2, 0),
            RejectReason(0),
        ),
    ] {
        let mut server = Server::new(settings());
        let answer = server.exchange(&octets);
        let Body::BindNak(nak) = pdus(&answer)[0].body else {
            panic!("no bind_nak: {name}");
        };
        assert_eq!(nak.reason, reason, "{name}");
    }
}

#[test]
fn a_verifier_on_a_connection_that_never_authenticated_ends_it() {
    let whole = request(2, WHOLE, 1, &[0; 8]);
    let unaligned = request(2, WHOLE, 1, &[0; 6]);
    for (octets, status) in [
        (with_verifier(&whole, 5, 0), FaultStatus::ACCESS_DENIED),
        (with_verifier(&unaligned, 5, 0), FaultStatus::PROTO_ERROR),
    ] {
        let (_, mut server) = bound(ByteOrder::Little, 5840);
        assert_eq!(fault(&server.exchange(&octets)), (2, status, false));
        assert_eq!(server.association.closed(), Some(Closed::Violation));
    }
}

#[test]
fn with_multiplexing_a_stray_fragment_of_an_unknown_context_is_no_violation() {
    let mut client = client(ByteOrder::Little, 5840);
    client.bind(start(), 0, &[EPT_NDR]);
    let mut octets = sent(&mut client);
    octets[3] |= PfcFlags::CONC_MPX.0;
    let mut server = Server::new(settings());
    let answer = server.exchange(&octets);
    assert!(pdus(&answer)[0].header.flags.contains(PfcFlags::CONC_MPX));
    let stray = server.exchange(&request_of(9, MIDDLE, (5, 1), b"x"));
    assert_eq!(fault(&stray), (9, FaultStatus::UNK_IF, true));
    assert_eq!(server.association.closed(), None);
    let stray = server.exchange(&request_of(9, MIDDLE, (0, 1), b"x"));
    assert_eq!(fault(&stray), (9, FaultStatus::PROTO_ERROR, false));
}

#[test]
fn a_server_out_of_turn_breaks_the_client_and_nothing_else() {
    let cases: [(&str, Vec<u8>); 3] = [
        (
            "octets that are no RPC",
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        ),
        ("an answer to another call", {
            let mut octets = Vec::new();
            let header = Header::new(PacketType::SHUTDOWN, WHOLE, DataRepresentation::LITTLE, 99);
            Pdu::new(header, Body::Shutdown).encode(&mut octets);
            octets
        }),
        ("a request", request(2, WHOLE, 1, b"")),
    ];
    for (name, octets) in cases {
        let (mut client, _) = bound(ByteOrder::Little, 5840);
        client.call(start(), 0, 1, None, b"");
        client.receive(&mut BytesMut::from(&octets[..]));
        let event = client.poll_event();
        assert!(matches!(event, Some(ClientEvent::Broken(_))), "{name}");
        client.receive(&mut BytesMut::from(&octets[..]));
        assert!(client.poll_event().is_none(), "{name}");
    }
}
