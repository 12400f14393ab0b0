//! Clients that do right are served, whatever they choose.

use crate::client::{ALICE, BOB, Came, Client, NONE, SIGN, WHOLE, Way, ask, log_on_by};
use crate::client::{open_with, unsigned};
use crate::contexts::beside;
use crate::legs::{self, Identity};
use crate::world::World;
use epmapper::client::ept::LookupQuery;
use epmapper::client::{Authentication, Encoding, Mapper, Settings};
use epmapper::wire::binding::Binding;
use epmapper::wire::ept::{ContextHandle, InquiryType, LookupRequest, LookupResponse};
use epmapper::wire::ept::{LOOKUP, VersionOption};
use epmapper::wire::pdu::{AuthLevel, PacketType, PfcFlags};
use epmapper::wire::{ByteOrder, Input, Output, SyntaxId};
use std::time::Duration;
use tokio::time::Instant;

const LEVELS: [AuthLevel; 4] = [
    AuthLevel::CONNECT,
    AuthLevel::PACKET,
    AuthLevel::INTEGRITY,
    AuthLevel::PRIVACY,
];

/// Whoever shows nothing is refused.
const STRICT: &str = "require = \"everything\"\nlevel = \"connect\"";

#[test]
fn every_way_and_level_is_served_with_header_signing_and_without() {
    let world = World::with(STRICT, 10);
    let mut logons = 0;
    for way in Way::ALL {
        for level in LEVELS {
            for flags in [NONE, SIGN] {
                for who in [ALICE, BOB] {
                    let mut client = open_with(&world, way, level, who, flags).log_on();
                    for _ in 0..3 {
                        assert_eq!(client.ask(), Came::Served, "{way:?} {level} {flags:?}");
                    }
                    logons += 1;
                }
            }
        }
    }
    assert_eq!(world.counter("logons"), logons);
    assert_eq!(world.counter("wrong_logons"), 0);
    assert_eq!(world.counter("refused_packets"), 0);
    world.end();
}

#[test]
fn calls_of_level_connect_may_do_without_a_verifier() {
    let world = World::with(STRICT, 10);
    for way in Way::ALL {
        let mut client = Client::logged_on(&world, way, AuthLevel::CONNECT, ALICE);
        assert_eq!(client.ask(), Came::Served);
        assert_eq!(ask(&mut client.peer, &unsigned(WHOLE)), Came::Served);
        assert_eq!(client.ask(), Came::Served);
    }
    world.end();
}

#[tokio::test]
async fn the_library_is_a_client_that_is_served_in_both_byte_orders() {
    let world = World::with(STRICT, 10);
    let binding = format!("ncacn_ip_tcp:{}[135]", world.address().ip());
    let binding: Binding = binding.parse().unwrap();
    let encodings = [
        Encoding::Ndr(ByteOrder::Little),
        Encoding::Ndr(ByteOrder::Big),
        Encoding::Ndr64,
    ];
    for way in [Way::NTLM, Way::SPNEGO] {
        for level in LEVELS {
            for encoding in encodings {
                let begin = move |level| Ok(way.context(level, ALICE));
                let by = Authentication::new(way.auth_type(), level, begin);
                let settings = Settings::from(encoding).authenticate(by);
                let deadline = Instant::now() + Duration::from_secs(300);
                let mapper = Mapper::connect(&binding, settings, deadline).await;
                let mut mapper = mapper.unwrap();
                for _ in 0..2 {
                    let found = mapper.lookup(&LookupQuery::default()).await.unwrap();
                    assert!(found.len() >= 10, "{way:?} {level} {encoding:?}");
                }
            }
        }
    }
    world.end();
}

#[test]
fn a_call_in_a_hundred_fragments_is_served_each_of_them_signed() {
    let world = World::with(STRICT, 10);
    for way in Way::ALL {
        for level in LEVELS {
            let mut client = Client::logged_on(&world, way, level, ALICE);
            for _ in 0..2 {
                for fragment in 0..100 {
                    let flags = match fragment {
                        0 => PfcFlags::FIRST_FRAG,
                        99 => PfcFlags::LAST_FRAG,
                        _ => NONE,
                    };
                    // Of lengths that are multiples of 16, and others.
                    let octets = vec![fragment; usize::from(fragment) + 1];
                    let request = client.request(flags, &octets);
                    client.peer.send(&request);
                }
                assert_eq!(client.answer().0, Came::Served, "{way:?} {level}");
            }
        }
    }
    world.end();
}

#[test]
fn five_hundred_entries_come_back_signed_or_sealed_fragment_by_fragment() {
    let world = World::with(STRICT, 600);
    for way in [Way::NTLM, Way::SPNEGO] {
        for level in [AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
            let mut client = client_of_ept(&world, way, level);
            let request = client.request_of(WHOLE, LOOKUP, &lookup_of_500());
            client.peer.send(&request);
            let (mut found, mut fragments) = (Vec::new(), 0);
            loop {
                let (came, part, is_last) = client.answer();
                assert_eq!(came, Came::Served);
                found.extend(part);
                fragments += 1;
                if is_last {
                    break;
                }
            }
            assert!(fragments > 5, "{fragments} fragments");
            let page = LookupResponse::decode(Input::new(&found, ByteOrder::Little)).unwrap();
            assert_eq!(page.entries.len(), 500, "{way:?} {level}");
        }
    }
    world.end();
}

/// The stub of a lookup.
fn lookup_of_500() -> Vec<u8> {
    let mut stub = Vec::new();
    let request = LookupRequest {
        inquiry_type: InquiryType::ALL_ELTS,
        object: None,
        interface: None,
        vers_option: VersionOption::ALL,
        handle: ContextHandle::NULL,
        max_ents: 500,
    };
    request.encode(&mut Output::new(&mut stub, ByteOrder::Little));
    stub
}

/// A client of the endpoint mapper.
fn client_of_ept(world: &World, way: Way, level: AuthLevel) -> Client {
    let mut peer = world.connect();
    let identity = Identity::new(way.auth_type(), level);
    let first = (PacketType::BIND, SyntaxId::EPT);
    let context = log_on_by(&mut peer, first, way, identity, ALICE);
    Client {
        peer,
        identity,
        context,
        signs_header: false,
    }
}

#[test]
fn several_accounts_share_a_connection() {
    let world = World::with(STRICT, 10);
    let mut client = Client::logged_on(&world, Way::SPNEGO, AuthLevel::INTEGRITY, ALICE);
    let peer = &mut client.peer;
    let mut others = [
        beside(peer, Way::NTLM, AuthLevel::PRIVACY, BOB, 7),
        beside(peer, Way::SPNEGO, AuthLevel::PACKET, BOB, 0),
        beside(peer, Way::SPNEGO, AuthLevel::PRIVACY, ALICE, u32::MAX),
    ];
    for _ in 0..3 {
        assert_eq!(client.ask(), Came::Served);
        for other in &mut others {
            let request = other.request(WHOLE, b"and me");
            assert_eq!(ask(&mut client.peer, &request), Came::Served);
        }
    }
    world.end();
}

#[test]
fn header_signing_may_be_turned_on_by_an_alter_context() {
    let world = World::with(STRICT, 10);
    for way in Way::ALL {
        let mut client = Client::logged_on(&world, way, AuthLevel::PRIVACY, ALICE);
        assert_eq!(client.ask(), Came::Served);
        let alter = legs::negotiation(PacketType::ALTER_CONTEXT, SIGN, SyntaxId::MGMT, None);
        assert_eq!(ask(&mut client.peer, &alter), Came::Agreed);
        client.signs_header = true;
        assert_eq!(client.ask(), Came::Served);
    }
    world.end();
}
