//! Services on the public interface, over sockets of their own: 127.0.32.x.

#![cfg(feature = "net")]

#[path = "host/contexts.rs"]
mod contexts;
#[cfg(all(feature = "daemon", feature = "tools"))]
#[path = "support/daemon.rs"]
mod daemon;
#[path = "host/end.rs"]
mod end;
#[cfg(all(feature = "daemon", feature = "tools"))]
#[path = "support/living.rs"]
mod living;
#[path = "support/provider.rs"]
mod provider;
#[path = "host/raw.rs"]
mod raw;
#[cfg(all(feature = "daemon", feature = "tools"))]
#[path = "host/registered.rs"]
mod registered;
#[cfg(all(feature = "daemon", feature = "tools"))]
#[path = "support/run.rs"]
mod run;
#[path = "host/running.rs"]
mod running;

use epmapper::client::{
    Authentication, Client, ClientError, Encoding, Failure, Management, Settings,
};
use epmapper::host::{Builder, Interface, Server};
use epmapper::ndr_parameters;
use epmapper::registry::Origin;
use epmapper::server::Limits;
use epmapper::transport::unix::Access;
use epmapper::wire::binding::Binding;
use epmapper::wire::pdu::{AuthLevel, AuthType};
use epmapper::wire::stub::Parameters;
use epmapper::wire::{ByteOrder, FaultStatus, SyntaxId};
use provider::{Legs, Words, ask};
use raw::Raw;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::{Uuid, uuid};

/// How long a test waits for what should happen at once.
const DEADLINE: Duration = Duration::from_secs(300);

/// The interface that most tests offer.
const COUNTER: SyntaxId = SyntaxId::new(uuid!("5a0e8fc2-6f5c-4f35-9f3c-1f5d2a6b7c80"), 1, 2);

/// Its first operation.
const ADD_ONE: u16 = 0;

ndr_parameters! {
    /// A number, asked or answered.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Number { number: u32 }
}

ndr_parameters! {
    /// No parameters.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Nothing {}
}

/// A service that adds `step`.
fn counter(step: u32) -> Interface {
    Interface::new(COUNTER).typed(ADD_ONE, move |_, asked: Number| {
        let number = asked.number.wrapping_add(step);
        Ok(Number { number })
    })
}

/// A server of nothing yet, at a port of an address of its own.
fn builder(address: &str) -> Builder {
    let at = format!("ncacn_ip_tcp:{address}[]").parse().unwrap();
    Server::builder().unregistered().listen(at)
}

/// Where it listens first, as sockets name it.
fn port(server: &Server) -> String {
    let at = &server.bindings()[0];
    format!("{}:{}", at.address, at.endpoint)
}

/// Connects, calls an operation, and hangs up.
async fn invoke<In, Out>(
    at: &Binding,
    settings: impl Into<Settings>,
    opnum: u16,
    asked: In,
) -> Result<Out, ClientError>
where
    In: for<'a> Parameters<'a>,
    Out: for<'a> Parameters<'a>,
{
    let deadline = Instant::now() + DEADLINE;
    let mut client = Client::connect(at, COUNTER, settings, deadline).await?;
    let stub = asked.encode(ByteOrder::Little, client.syntax());
    let reply = client.call(opnum, |out| out.octets(&stub)).await?;
    Ok(Out::decode(&reply.stub, reply.order, reply.syntax).unwrap())
}

/// Adds one through a server at a binding.
async fn add_one(at: &Binding, settings: impl Into<Settings>) -> Result<u32, ClientError> {
    let asked = Number { number: 41 };
    let answer = invoke::<_, Number>(at, settings, ADD_ONE, asked).await?;
    Ok(answer.number)
}

#[tokio::test]
async fn an_operation_is_called_in_both_transfer_syntaxes() {
    let server = builder("127.0.32.10").interface(counter(1));
    let server = server.start().await.unwrap();
    let at = &server.bindings()[0];
    for encoding in [
        Encoding::Any,
        Encoding::Ndr(ByteOrder::Little),
        Encoding::Ndr64,
    ] {
        assert_eq!(add_one(at, encoding).await.unwrap(), 42);
    }
    let unknown = invoke::<_, Nothing>(at, Encoding::Any, 99, Nothing {}).await;
    let short = invoke::<_, Number>(at, Encoding::Any, ADD_ONE, Nothing {}).await;
    for (result, status) in [
        (unknown.map(drop), FaultStatus::OP_RNG_ERROR),
        (short.map(drop), FaultStatus::BAD_STUB_DATA),
    ] {
        let failure = result.unwrap_err().failure;
        assert!(
            matches!(failure, Failure::Fault(found) if found == status),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn a_port_comes_from_the_range_and_a_taken_one_is_passed_over() {
    // Two neighbours, of which the first is taken.
    let (taken, first) = loop {
        let taken = TcpListener::bind("127.0.32.11:0").unwrap();
        let first = taken.local_addr().unwrap().port();
        if first < u16::MAX && TcpListener::bind(("127.0.32.11", first + 1)).is_ok() {
            break (taken, first);
        }
    };
    let server = || {
        let server = builder("127.0.32.11").ports(first..=first + 1);
        server.interface(counter(1)).start()
    };
    let running = server().await.unwrap();
    let at = &running.bindings()[0];
    assert_eq!(at.endpoint, (first + 1).to_string());
    assert_eq!(add_one(at, Encoding::Any).await.unwrap(), 42);
    let error = server().await.err().unwrap().to_string();
    assert!(error.contains(&format!("no port from {first}")), "{error}");
    drop(taken);
    assert_eq!(
        server().await.unwrap().bindings()[0].endpoint,
        first.to_string()
    );
}

#[tokio::test]
async fn a_local_socket_is_served_to_those_whom_it_lets_in() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("counter");
    let access = Access {
        mode: 0o600,
        group: None,
    };
    let server = Server::builder().unregistered().local_access(access);
    let server = server.listen(format!("ncalrpc:[{}]", path.display()).parse().unwrap());
    // Nobody has to prove what the system says.
    let server = server.interface(counter(1).require(AuthLevel::PRIVACY));
    let server = server.start().await.unwrap();
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        add_one(&server.bindings()[0], Encoding::Any).await.unwrap(),
        42
    );
    assert_eq!(server.stop().await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn an_object_selects_its_manager() {
    let [one, two, nobodys] = [1, 2, 3].map(Uuid::from_u128);
    let server = builder("127.0.32.12")
        .interface_for([one], counter(1))
        .interface_for([two], counter(2));
    let strict = server.start().await.unwrap();
    let lenient = builder("127.0.32.12")
        .interface_for([one], counter(1))
        .interface(counter(10))
        .start()
        .await
        .unwrap();
    let unsupported = Err((FaultStatus::UNSUPPORTED_TYPE, true));
    for (server, cases) in [
        (
            &strict,
            [
                (Some(one), Ok(1)),
                (Some(two), Ok(2)),
                (Some(nobodys), unsupported),
                (None, unsupported),
            ],
        ),
        (
            &lenient,
            [
                (Some(one), Ok(1)),
                (Some(two), Ok(10)),
                (Some(Uuid::nil()), Ok(10)),
                (None, Ok(10)),
            ],
        ),
    ] {
        let mut raw = Raw::connect(&port(server), COUNTER).await;
        for (object, expected) in cases {
            let asked = Number { number: 0 };
            let answer: Result<Number, _> = raw.ask(ADD_ONE, object, &asked).await;
            assert_eq!(answer.map(|answer| answer.number), expected, "{object:?}");
        }
    }
}

#[tokio::test]
async fn a_client_gets_the_version_that_it_asks_for() {
    let version = |major, minor, step| {
        let id = SyntaxId::new(COUNTER.uuid, major, minor);
        Interface::new(id).typed(ADD_ONE, move |_, _: Number| Ok(Number { number: step }))
    };
    let server = builder("127.0.32.13")
        .interface(version(1, 3, 13))
        .interface(version(1, 1, 11))
        .interface(version(2, 0, 20));
    let server = server.start().await.unwrap();
    for (major, minor, served) in [(1, 0, 11), (1, 1, 11), (1, 2, 13), (2, 0, 20)] {
        let id = SyntaxId::new(COUNTER.uuid, major, minor);
        let mut raw = Raw::connect(&port(&server), id).await;
        let asked = Number { number: 0 };
        let answer: Number = raw.ask(ADD_ONE, None, &asked).await.unwrap();
        assert_eq!(answer.number, served, "{major}.{minor}");
    }
    let ids = interfaces(&server.bindings()[0]).await;
    assert_eq!(ids.len(), 3);
}

/// What remote management tells of a server.
async fn interfaces(at: &Binding) -> Vec<SyntaxId> {
    let deadline = Instant::now() + DEADLINE;
    let management = Management::connect(at, Encoding::Any, deadline).await;
    let mut management = management.unwrap();
    assert!(management.is_server_listening().await.unwrap());
    management.inq_if_ids().await.unwrap()
}

#[tokio::test]
async fn management_lists_each_interface_once() {
    let server = builder("127.0.32.14")
        .interface_for([Uuid::from_u128(1)], counter(1))
        .interface(counter(1));
    let server = server.start().await.unwrap();
    assert_eq!(interfaces(&server.bindings()[0]).await, [COUNTER]);
    let at = server.bindings()[0].clone();
    let deadline = Instant::now() + DEADLINE;
    let mut management = Management::connect(&at, Encoding::Any, deadline)
        .await
        .unwrap();
    let statistics = management.inq_stats().await.unwrap();
    assert!(statistics[0] >= 3, "{statistics:?}");
}

#[tokio::test]
async fn a_client_has_no_more_connections_than_it_may() {
    let limits = Limits {
        connections_per_client: 1,
        ..Limits::default()
    };
    let server = builder("127.0.32.17").interface(counter(1)).limits(limits);
    let server = server.start().await.unwrap();
    let at = &server.bindings()[0];
    let first = Raw::connect(&port(&server), COUNTER).await;
    assert!(add_one(at, Encoding::Any).await.is_err());
    assert_eq!(server.connections(), 1);
    drop(first);
    server.stop().await;
}

/// What an operation that tells of its caller answers: the level, 0 for none.
fn asking() -> Interface {
    Interface::new(COUNTER).typed(ADD_ONE, |call, _: Number| {
        assert!(matches!(call.origin, Origin::Address(address) if address.is_loopback()));
        let level = match &call.authentication {
            None => 0,
            Some(caller) => {
                assert_eq!(caller.account.as_deref(), Some("alice"));
                assert_eq!(caller.mechanism, AuthType::NTLM);
                caller.level.0
            }
        };
        Ok(Number {
            number: level.into(),
        })
    })
}

/// A client that logs on.
fn logged_on(level: AuthLevel) -> Settings {
    let begin = move |level| Ok(ask("alice", Legs::Two, level));
    Settings::default().authenticate(Authentication::new(AuthType::NTLM, level, begin))
}

#[tokio::test]
async fn an_interface_can_require_a_level() {
    let words = Words {
        auth_type: AuthType::NTLM,
        legs: Legs::Two,
        signs: u64::MAX,
    };
    let server = builder("127.0.32.18")
        .authenticate(Arc::new(words))
        .interface(asking().require(AuthLevel::INTEGRITY));
    let server = server.start().await.unwrap();
    let at = &server.bindings()[0];
    for (settings, answer) in [
        (Settings::default(), None),
        (logged_on(AuthLevel::CONNECT), None),
        // Packet is integrity on connections.
        (logged_on(AuthLevel::PACKET), Some(4)),
        (logged_on(AuthLevel::INTEGRITY), Some(5)),
        (logged_on(AuthLevel::PRIVACY), Some(6)),
    ] {
        match (add_one(at, settings).await, answer) {
            (Ok(level), Some(expected)) => assert!(level >= expected),
            // A client that has just logged on takes it for the logon's.
            (Err(error), None) => {
                assert!(error.to_string().contains("access denied"), "{error}");
            }
            (other, expected) => panic!("{other:?} for {expected:?}"),
        }
    }
    // Management is open to all.
    assert_eq!(interfaces(at).await, [COUNTER]);
}

#[tokio::test]
async fn without_a_requirement_everybody_may_call() {
    let server = builder("127.0.32.19")
        .interface(asking())
        .start()
        .await
        .unwrap();
    let level = add_one(&server.bindings()[0], Encoding::Any).await.unwrap();
    assert_eq!(level, 0);
}
