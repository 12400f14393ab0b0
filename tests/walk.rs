//! The README's second walk: mapper, example server, example client, each a program of its own; and what happens to the
//! client when one of the others ends or starts anew.
//!
//! Each test has a loopback address of its own, 127.0.33.TEST, and port 135 there.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/echo.rs"]
mod echo;
#[path = "interop/programs.rs"]
mod programs;
#[path = "../examples/echo/mod.rs"]
mod rpcecho;

use echo::{Mapper, Server, client, client_arrives};
use epmapper::client::{CallError, Encoding, Handle, Options};
use epmapper::wire::{ByteOrder, FaultStatus};
use rpcecho::{AddOne, RPCECHO, opnum};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;
use tokio::runtime::Builder;

/// What the client says where the mapper knows no server.
const NOT_REGISTERED: &str = "is not registered at";

/// The address of a test.
fn address(test: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 33, test)
}

/// Runs the client, which must not find a server.
#[track_caller]
fn client_finds_nothing(place: &str) {
    let finished = client(place);
    assert!(!finished.status.success(), "{finished:#?}");
    assert!(finished.stderr.contains(NOT_REGISTERED), "{finished:#?}");
}

#[test]
fn a_client_with_nothing_but_the_uuid_arrives_at_the_server() {
    let mapper = Mapper::start(address(1));
    client_finds_nothing("127.0.33.1");
    // As in the README: on a port of the system's choice, at every address.
    let server = mapper.server(&[]);
    client_arrives("127.0.33.1", server.port());
    let (status, said) = server.stop();
    assert!(status.success() && said.ends_with("stopped\n"), "{said}");
    client_finds_nothing("127.0.33.1");
}

#[test]
fn a_server_that_is_started_anew_is_found_at_its_new_port() {
    let mapper = Mapper::start(address(2));
    let first = mapper.server(&["ncacn_ip_tcp:127.0.33.2[]"]);
    let port = first.port();
    client_arrives("127.0.33.2", port);
    first.stop();
    // So that the system does not give the same port once more.
    let _taken = TcpListener::bind((address(2), port)).unwrap();
    let second = mapper.server(&["ncacn_ip_tcp:127.0.33.2[]"]);
    assert_ne!(second.port(), port);
    client_arrives("127.0.33.2", second.port());
}

#[test]
fn a_server_registers_by_itself_at_a_mapper_that_comes_later() {
    let mut mapper = Mapper::start(address(3));
    mapper.kill();
    let server = Server::start(&mapper.socket(), &[]);
    server.expect("waiting: ");
    mapper.start_again();
    server.expect_registered(1);
    client_arrives("127.0.33.3", server.port());
}

#[test]
fn a_mapper_that_is_started_anew_has_its_servers_again() {
    let mut mapper = Mapper::start(address(4));
    let servers = [mapper.server(&["--object", ONE]), mapper.server(&[])];
    for times in 2..=4 {
        mapper.kill();
        mapper.start_again();
        let listens = Instant::now();
        for server in &servers {
            server.expect_registered(times);
        }
        let after = listens.elapsed().as_millis();
        let line =
            format!("walk: servers were registered {after} ms after their mapper was back\n");
        // Not eprintln, which the test harness keeps to itself when a test passes.
        let _ = io::stderr().write_all(line.as_bytes());
        client_arrives("127.0.33.4", servers[1].port());
        let place = format!("{ONE}@ncacn_ip_tcp:127.0.33.4");
        client_arrives(&place, servers[0].port());
    }
}

#[test]
fn a_server_that_is_killed_is_no_longer_found_once_the_mapper_noticed() {
    let mapper = Mapper::start(address(5));
    let server = mapper.server(&[]);
    client_arrives("127.0.33.5", server.port());
    drop(server);
    mapper.expect("op=\"end\" result=\"removed\"");
    client_finds_nothing("127.0.33.5");
}

/// Two objects.
const ONE: &str = "6f1d6f0e-1b62-4c3c-9a2b-6d5c1a0b7e11";
const OTHER: &str = "6f1d6f0e-1b62-4c3c-9a2b-6d5c1a0b7e12";

#[test]
fn each_of_two_servers_of_an_interface_is_found_by_its_object() {
    let mapper = Mapper::start(address(6));
    let servers = [ONE, OTHER].map(|object| (object, mapper.server(&["--object", object])));
    for (object, server) in &servers {
        let place = format!("{object}@ncacn_ip_tcp:127.0.33.6");
        client_arrives(&place, server.port());
    }
    // Whoever asks for no object gets neither, and the one that is left does not stand in for the other.
    client_finds_nothing("127.0.33.6");
    let [_one, (_, other)] = servers;
    other.stop();
    client_finds_nothing(&format!("{OTHER}@ncacn_ip_tcp:127.0.33.6"));
}

#[test]
fn without_a_mapper_the_client_says_so() {
    let finished = client("127.0.33.7");
    assert!(!finished.status.success(), "{finished:#?}");
    assert!(
        finished.stderr.contains("no endpoint mapper at"),
        "{finished:#?}"
    );
}

#[test]
fn a_stranger_gets_faults_and_takes_no_memory() {
    let mapper = Mapper::start(address(8));
    let server = mapper.server(&["ncacn_ip_tcp:127.0.33.8[]"]);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options {
            settings: Encoding::Ndr(ByteOrder::Little).into(),
            ..Options::default()
        };
        let host = "ncacn_ip_tcp:127.0.33.8".parse().unwrap();
        let mut handle = Handle::connect(&host, RPCECHO, &options).await.unwrap();
        for (opnum, stub, status) in [
            (
                opnum::SOURCE_DATA,
                &[0xff; 4][..],
                FaultStatus::INVALID_BOUND,
            ),
            // A length, a count, and nothing of what they say.
            (opnum::ECHO_DATA, &[0xff; 8], FaultStatus::BAD_STUB_DATA),
            // 1 octet said, 2 there.
            (
                opnum::SINK_DATA,
                &[1, 0, 0, 0, 2, 0, 0, 0, 7, 7],
                FaultStatus::INVALID_BOUND,
            ),
            (opnum::TEST_CALL_2, &[8, 0], FaultStatus::INVALID_TAG),
            // As many zeros as no array holds.
            (
                opnum::TEST_SURROUNDING,
                &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
                FaultStatus::INVALID_BOUND,
            ),
            (
                opnum::TEST_DOUBLE_POINTER + 1,
                &[],
                FaultStatus::OP_RNG_ERROR,
            ),
        ] {
            let answer = handle.call(opnum, |out| out.octets(stub)).await;
            let Err(CallError::Fault(fault)) = answer else {
                panic!("{opnum}: {answer:?}");
            };
            assert_eq!(fault, status, "{opnum}");
        }
        let ask = AddOne { number: u32::MAX };
        let answer: AddOne = handle.invoke(opnum::ADD_ONE, &ask).await.unwrap();
        assert_eq!(answer, AddOne { number: 0 });
        assert_eq!(handle.binding().endpoint, server.port().to_string());
    });
}
