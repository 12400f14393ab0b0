//! Callers of other people's servers: from a string binding to calls, through
//! `epmapperd` and mappers made by hand, and every way in which that fails.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/provider.rs"]
mod provider;
#[path = "support/service.rs"]
mod service;

use daemon::{DEADLINE, Daemon};
use epmapper::client::{
    Authentication, CallError, Encoding, Failure, Handle, Near, Options, Reply, Resolver, Settings,
    Step, Unusable,
};
use epmapper::wire::binding::Binding;
use epmapper::wire::pdu::{AuthLevel, AuthType};
use epmapper::wire::status::{ProviderReason, RejectReason};
use epmapper::wire::tower::ProtocolSequence;
use epmapper::wire::{ByteOrder, FaultStatus, SyntaxId};
use provider::{Legs, ask};
use service::{Answer, Asked, Mapper, Service, nobody};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tempfile::TempDir;
use uuid::{Uuid, uuid};

/// Whose servers are called here.
const ECHO: SyntaxId = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
/// Objects.
const RED: Uuid = uuid!("00000000-0000-0000-0000-000000000001");
/// See [`RED`].
const BLUE: Uuid = uuid!("00000000-0000-0000-0000-000000000002");
/// What never comes is waited for so long; nothing depends on it.
const SHORT: Duration = Duration::from_millis(300);

fn binding(text: &str) -> Binding {
    text.parse().unwrap()
}

/// The binding of a host, over TCP.
fn host(address: &str) -> Binding {
    binding(&format!("ncacn_ip_tcp:{address}"))
}

/// The binding of a server, as text.
fn tcp(at: SocketAddr) -> String {
    format!("ncacn_ip_tcp:{}[{}]", at.ip(), at.port())
}

/// NDR 2.0, and time enough for a slow machine.
fn options() -> Options {
    Options {
        settings: Encoding::Ndr(ByteOrder::Little).into(),
        timeout: DEADLINE,
        call_timeout: DEADLINE,
        ..Options::default()
    }
}

async fn connect(binding: &Binding, options: &Options) -> Result<Handle, CallError> {
    Handle::connect(binding, ECHO, options).await
}

/// A server at some port of an address that answers every call with a word.
fn saying(address: &str, word: &'static str) -> Service {
    Service::calls(&format!("{address}:0"), move |_, _| {
        Answer::Stub(word.into())
    })
}

/// What a server says.
async fn word(handle: &mut Handle) -> Result<String, CallError> {
    handle.call(1, |_| ()).await.map(text)
}

/// A stub as text.
fn text(reply: Reply) -> String {
    String::from_utf8(reply.stub.to_vec()).unwrap()
}

/// The error where there has to be one.
#[track_caller]
fn error<T>(result: Result<T, CallError>) -> CallError {
    match result {
        Ok(_) => panic!("it went through"),
        Err(error) => error,
    }
}

/// Asserts what an error is, by a pattern.
macro_rules! assert_is {
    ($error:expr, $pattern:pat $(if $guard:expr)?) => {
        let error = $error;
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}: {error}");
    };
}

/// An `[[endpoint]]` of the daemon.
fn endpoint(object: Option<Uuid>, at: SocketAddr) -> String {
    let object = object.map_or_else(String::new, |object| format!("object = \"{object}\"\n"));
    format!(
        "[[endpoint]]\ninterface = \"{}\"\nversion = \"1.0\"\n{object}bindings = [\"{}\"]\n",
        ECHO.uuid,
        tcp(at)
    )
}

#[tokio::test]
async fn a_host_and_an_interface_lead_to_the_server_that_its_mapper_knows() {
    let server = saying("127.0.29.1", "hello");
    let daemon = Daemon::start(Ipv4Addr::new(127, 0, 29, 1), &endpoint(None, server.at));
    let mut handle = connect(&host("127.0.29.1"), &options()).await.unwrap();
    assert_eq!(word(&mut handle).await.unwrap(), "hello");
    assert_eq!(handle.binding().to_string(), tcp(server.at));
    assert_eq!(handle.peer().to_string(), server.at.to_string());
    let other = SyntaxId::new(ECHO.uuid, 2, 0);
    for (interface, object, knows) in [
        (other, None, Some(Near::OtherVersions)),
        (SyntaxId::new(RED, 1, 0), Some(BLUE), None),
    ] {
        let asked = Binding {
            object,
            ..host("127.0.29.1")
        };
        let failed = error(Handle::connect(&asked, interface, &options()).await);
        let expected = (interface, object, knows);
        assert_is!(failed, CallError::NotRegistered { interface, object, near, .. }
            if (*interface, *object, *near) == expected);
    }
    drop(daemon);
    // The server is there, whatever becomes of the mapper.
    assert_eq!(word(&mut handle).await.unwrap(), "hello");
}

#[tokio::test]
async fn an_object_selects_its_server_and_goes_with_every_call() {
    let object_of_the_call = |_, object: Option<Uuid>| {
        Answer::Stub(
            object
                .map_or_else(String::new, |object| object.to_string())
                .into(),
        )
    };
    let [red, blue] = [0; 2].map(|_| Service::calls("127.0.29.2:0", object_of_the_call));
    let config = endpoint(Some(RED), red.at) + &endpoint(Some(BLUE), blue.at);
    let _daemon = Daemon::start(Ipv4Addr::new(127, 0, 29, 2), &config);
    for (object, server) in [(RED, &red), (BLUE, &blue), (RED, &red)] {
        let asked = Binding {
            object: Some(object),
            ..host("127.0.29.2")
        };
        let mut handle = connect(&asked, &options()).await.unwrap();
        assert_eq!(word(&mut handle).await.unwrap(), object.to_string());
        assert_eq!(
            handle.binding().to_string(),
            format!("{object}@{}", tcp(server.at))
        );
    }
    let failed = error(connect(&host("127.0.29.2"), &options()).await);
    let told = failed.to_string();
    assert!(told.ends_with("is the object right?"), "{told}");
    assert_is!(
        failed,
        CallError::NotRegistered {
            near: Some(Near::OtherObjects),
            ..
        }
    );
}

#[tokio::test]
async fn this_hosts_mapper_leads_to_local_sockets_and_to_ports() {
    let server = saying("127.0.0.1", "hello");
    let folder = TempDir::new().unwrap();
    let local = format!("ncalrpc:[{}]", folder.path().join("EPMAPPER").display());
    let config = format!(
        "[[endpoint]]\ninterface = \"{}\"\nversion = \"1.0\"\n\
         bindings = [\"ncalrpc:[nobody]\", \"ncacn_ip_tcp:[{}]\"]\n",
        ECHO.uuid,
        server.at.port()
    );
    let address = Ipv4Addr::new(127, 0, 29, 3);
    let _daemon = Daemon::start_also_on(address, std::slice::from_ref(&local), &config);
    let options = Options {
        resolver: Resolver::default().local_mapper(binding(&local)),
        ..options()
    };
    // Nobody has that socket; it would be in the mapper's folder.
    let failed = error(connect(&binding("ncalrpc:"), &options).await);
    let CallError::EndpointDead(attempts) = &failed else {
        panic!("{failed}");
    };
    let path = folder.path().join("nobody");
    assert_eq!(attempts[0].peer.to_string(), path.display().to_string());
    let both = Options {
        preferred: vec![ProtocolSequence::Ncalrpc, ProtocolSequence::NcacnIpTcp],
        ..options
    };
    let mut handle = connect(&binding("ncalrpc:"), &both).await.unwrap();
    assert_eq!(word(&mut handle).await.unwrap(), "hello");
    assert_eq!(handle.binding().protseq, ProtocolSequence::NcacnIpTcp);
}

#[tokio::test]
async fn towers_are_tried_in_their_order_past_those_that_fail() {
    let [first, second] = ["first", "second"].map(|word| saying("127.0.29.4", word));
    let stranger = Service::at("127.0.29.4:0", |_| {
        Answer::Reject(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED)
    });
    let hangs_up = Service::at("127.0.29.4:0", |_| Answer::Close);
    let gone = nobody("127.0.29.4:0");
    let ats = [gone, stranger.at, hangs_up.at, first.at, second.at].map(tcp);
    let mapper = Mapper::at("127.0.29.4", ECHO, &ats);
    let options = Options {
        resolver: Resolver::default().keep(Duration::ZERO),
        ..options()
    };
    let host = host("127.0.29.4");
    for (known, said) in [
        (&ats[..], "first"),
        (&[ats[4].clone(), ats[3].clone()], "second"),
    ] {
        mapper.now(ECHO, known);
        let mut handle = connect(&host, &options).await.unwrap();
        assert_eq!(word(&mut handle).await.unwrap(), said);
    }
    mapper.now(ECHO, &ats[..2]);
    assert_is!(
        error(connect(&host, &options).await),
        CallError::InterfaceUnknown { interface: ECHO, at } if *at == ats[1]
    );
    mapper.now(ECHO, &[ats[0].clone(), tcp(nobody("127.0.29.4:0"))]);
    assert_is!(
        error(connect(&host, &options).await),
        CallError::EndpointDead(attempts) if attempts.len() == 2
    );
}

#[tokio::test]
async fn the_callers_preference_is_asked_for_and_nothing_else() {
    let server = saying("127.0.29.5", "hello");
    let port = tcp(server.at);
    let mapper = Mapper::at(
        "127.0.29.5",
        ECHO,
        &["ncalrpc:[/nowhere/at/all]".into(), port.clone()],
    );
    use ProtocolSequence::{NcacnIpTcp, NcacnNp, Ncalrpc};
    for (preferred, maps) in [
        (vec![], 1),
        (vec![NcacnIpTcp, Ncalrpc], 2),
        (vec![Ncalrpc, NcacnIpTcp], 2),
        (vec![NcacnNp, NcacnIpTcp], 1),
    ] {
        let options = Options {
            preferred,
            ..options()
        };
        let mut handle = connect(&host("127.0.29.5"), &options).await.unwrap();
        assert_eq!(word(&mut handle).await.unwrap(), "hello");
        assert_eq!(mapper.maps(), maps);
    }
    let found = Resolver::default()
        .resolve(
            &host("127.0.29.5"),
            ECHO,
            &[Ncalrpc, NcacnIpTcp],
            tokio::time::Instant::now() + DEADLINE,
        )
        .await
        .unwrap();
    assert_eq!(
        found,
        [binding("ncalrpc:[/nowhere/at/all]"), binding(&port)]
    );
}

#[tokio::test]
async fn what_cannot_be_followed_is_told() {
    let others = [
        "ncacn_np:[\\pipe\\echo]",
        "ncacn_http:[593]",
        "ncalrpc:[echo]",
    ];
    let mapper = Mapper::at("127.0.29.6", ECHO, &others.map(String::from));
    let failed = error(connect(&host("127.0.29.6"), &options()).await);
    let CallError::NoUsableEndpoint { left_out, .. } = &failed else {
        panic!("{failed}");
    };
    let told: Vec<_> = left_out
        .iter()
        .map(|one| (one.protseq.unwrap(), one.reason))
        .collect();
    assert_eq!(
        told,
        [
            (ProtocolSequence::NcacnNp, Unusable::NotSpoken),
            (ProtocolSequence::NcacnHttp, Unusable::NotSpoken),
            (ProtocolSequence::Ncalrpc, Unusable::NotAsked),
        ]
    );
    let pipes = Binding {
        protseq: ProtocolSequence::NcacnNp,
        ..host("127.0.29.6")
    };
    assert_is!(
        error(connect(&pipes, &options()).await),
        CallError::Binding(Failure::ProtocolSequence(ProtocolSequence::NcacnNp))
    );
    drop(mapper);
}

#[tokio::test]
async fn an_answer_is_kept_for_all_handles_until_it_proves_wrong() {
    let server = saying("127.0.29.7", "old");
    let mapper = Mapper::at("127.0.29.7", ECHO, &[tcp(server.at)]);
    let (host, options) = (host("127.0.29.7"), options());
    for _ in 0..3 {
        connect(&host, &options).await.unwrap();
    }
    assert_eq!(mapper.maps(), 1);
    let object = Binding {
        object: Some(RED),
        ..host.clone()
    };
    connect(&object, &options).await.unwrap();
    assert_eq!(mapper.maps(), 1, "an object is another question");
    // The server moves: the old port refuses.
    let new = saying("127.0.29.7", "new");
    mapper.now(ECHO, &[tcp(new.at)]);
    drop(server);
    let mut handle = connect(&host, &options).await.unwrap();
    assert_eq!(word(&mut handle).await.unwrap(), "new");
    assert_eq!(mapper.maps(), 1);
    // It moves again, and somebody else takes its port.
    let at = new.at.to_string();
    drop((new, handle));
    let _stranger = Service::at(&at, |_| {
        Answer::Reject(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED)
    });
    let third = saying("127.0.29.7", "third");
    mapper.now(ECHO, &[tcp(third.at)]);
    let mut handle = connect(&host, &options).await.unwrap();
    assert_eq!(word(&mut handle).await.unwrap(), "third");
    assert_eq!(mapper.maps(), 1);
    // It is gone, and the mapper has not noticed: asked once, then told.
    drop(third);
    assert_is!(
        error(connect(&host, &options).await),
        CallError::EndpointDead(_)
    );
    assert_eq!(mapper.maps(), 1);
    // And what was just proven wrong is not kept.
    assert_is!(
        error(connect(&host, &options).await),
        CallError::EndpointDead(_)
    );
    assert_eq!(mapper.maps(), 1);
    // Now it has noticed.
    mapper.now(ECHO, &[]);
    assert_is!(
        error(word(&mut handle).await),
        CallError::NotRegistered { .. }
    );
}

#[tokio::test]
async fn a_server_that_serves_the_interface_no_longer_is_not_gone_back_to() {
    let stopped = Service::calls("127.0.29.18:0", |_, _| Answer::Fault(FaultStatus::UNK_IF));
    let mapper = Mapper::at("127.0.29.18", ECHO, &[tcp(stopped.at)]);
    let mut handle = connect(&host("127.0.29.18"), &options()).await.unwrap();
    assert_is!(
        error(word(&mut handle).await),
        CallError::InterfaceUnknown { .. }
    );
    let other = saying("127.0.29.18", "other");
    mapper.now(ECHO, &[tcp(other.at)]);
    assert_eq!(word(&mut handle).await.unwrap(), "other");
}

#[tokio::test]
async fn a_handle_follows_a_server_that_was_started_anew() {
    let server = saying("127.0.29.8", "old");
    let mapper = Mapper::at("127.0.29.8", ECHO, &[tcp(server.at)]);
    let mut handle = connect(&host("127.0.29.8"), &options()).await.unwrap();
    assert_eq!(word(&mut handle).await.unwrap(), "old");
    drop(server);
    let new = saying("127.0.29.8", "new");
    mapper.now(ECHO, &[tcp(new.at)]);
    assert_eq!(word(&mut handle).await.unwrap(), "new");
    assert_eq!(handle.binding().to_string(), tcp(new.at));
    // At the same port likewise.
    let at = new.at.to_string();
    drop(new);
    let again = Service::calls(&at, |_, _| Answer::Stub("again".into()));
    assert_eq!(word(&mut handle).await.unwrap(), "again");
    again.hang_up();
    assert_eq!(word(&mut handle).await.unwrap(), "again");
}

#[tokio::test]
async fn a_call_that_may_have_run_is_made_again_only_if_that_does_no_harm() {
    let server = Service::calls("127.0.29.9:0", |opnum, _| match opnum {
        1 => Answer::Close,
        _ => Answer::Stub("done".into()),
    });
    let mut handle = connect(&binding(&tcp(server.at)), &options())
        .await
        .unwrap();
    let calls = || {
        let is_call = |asked: &Asked| matches!(asked, Asked::Call { opnum: 1, .. });
        server.asked().iter().filter(|asked| is_call(asked)).count()
    };
    assert_is!(
        error(handle.call(1, |_| ()).await),
        CallError::Broken {
            may_have_run: true,
            ..
        }
    );
    assert_eq!(calls(), 1);
    assert_eq!(text(handle.call(2, |_| ()).await.unwrap()), "done");
    let twice = handle.idempotent().call(1, |_| ()).await;
    assert_is!(
        error(twice),
        CallError::Broken {
            may_have_run: true,
            ..
        }
    );
    assert_eq!(calls(), 2);
}

#[tokio::test]
async fn where_there_is_no_mapper_that_is_told() {
    let failed = error(connect(&host("127.0.29.10"), &options()).await);
    assert_is!(
        &failed,
        CallError::NoMapper {
            failure: Failure::Unreachable(_),
            ..
        }
    );
    let told = failed.to_string();
    assert!(
        told.starts_with("no endpoint mapper at ncacn_ip_tcp:127.0.29.10[135]: "),
        "{told}"
    );
    // Something is there that is no mapper.
    let _web = Service::at("127.0.29.10:135", |_| {
        Answer::Octets(b"HTTP/1.1 400\r\n\r\n....".into())
    });
    assert_is!(
        error(connect(&host("127.0.29.10"), &options()).await),
        CallError::Mapper { .. }
    );
    assert_is!(
        error(connect(&host("no-such-host.invalid"), &options()).await),
        CallError::Binding(Failure::Name { .. })
    );
}

#[tokio::test]
async fn what_an_endpoint_answers_is_told_apart() {
    let at = |answer: fn() -> Answer| Service::at("127.0.29.11:0", move |_| answer());
    let unknown = at(|| Answer::Reject(ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED));
    let fault = at(|| Answer::Fault(FaultStatus::UNK_IF));
    for server in [unknown, fault] {
        let failed = error(connect(&binding(&tcp(server.at)), &options()).await);
        assert_is!(
            failed,
            CallError::InterfaceUnknown {
                interface: ECHO,
                ..
            }
        );
    }
    let busy = at(|| Answer::Nak(RejectReason::LOCAL_LIMIT_EXCEEDED));
    let failed = error(connect(&binding(&tcp(busy.at)), &options()).await);
    assert_is!(failed, CallError::Refused { .. });
    let closing = at(|| Answer::Close);
    let failed = error(connect(&binding(&tcp(closing.at)), &options()).await);
    assert_is!(
        failed,
        CallError::Broken {
            may_have_run: false,
            ..
        }
    );
    let silent = at(|| Answer::Silence);
    let options = Options {
        timeout: SHORT,
        ..options()
    };
    let failed = error(connect(&binding(&tcp(silent.at)), &options).await);
    assert_is!(
        failed,
        CallError::Timeout {
            step: Step::Bind,
            may_have_run: false
        }
    );
    let gone = tcp(nobody("127.0.29.11:0"));
    let failed = error(connect(&binding(&gone), &options).await);
    assert_is!(&failed, CallError::EndpointDead(_));
    assert!(!failed.may_have_run());
}

#[tokio::test]
async fn a_logon_that_is_refused_is_not_tried_at_the_next_server() {
    let refuses = Service::at("127.0.29.14:0", |_| {
        Answer::Nak(RejectReason::INVALID_CHECKSUM)
    });
    let next = saying("127.0.29.14", "hello");
    let mapper = Mapper::at("127.0.29.14", ECHO, &[refuses.at, next.at].map(tcp));
    let begin = |level| Ok(ask("alice", Legs::Two, level));
    let alice = Authentication::new(AuthType::NTLM, AuthLevel::INTEGRITY, begin);
    let options = Options {
        settings: Settings::default().authenticate(alice),
        ..options()
    };
    let failed = error(connect(&host("127.0.29.14"), &options).await);
    assert_is!(failed, CallError::Logon { at, .. } if *at == tcp(refuses.at));
    assert_eq!(next.asked(), []);
    assert_eq!(mapper.maps(), 1, "the mapper was asked anonymously");
}

#[tokio::test]
async fn faults_of_calls_are_told_by_number_and_name() {
    let server = Service::calls("127.0.29.12:0", |opnum, _| match opnum {
        1 => Answer::Fault(FaultStatus::ACCESS_DENIED),
        2 => Answer::Fault(FaultStatus::UNK_IF),
        _ => Answer::Stub("well".into()),
    });
    let mut handle = connect(&binding(&tcp(server.at)), &options())
        .await
        .unwrap();
    assert_eq!(
        error(handle.call(1, |_| ()).await).to_string(),
        "fault 5, access denied"
    );
    assert_is!(
        error(handle.call(2, |_| ()).await),
        CallError::InterfaceUnknown { .. }
    );
    assert_eq!(text(handle.call(3, |_| ()).await.unwrap()), "well");
}

#[tokio::test]
async fn a_call_is_cancelled_from_another_task() {
    let server = Service::at("127.0.29.13:0", |asked| match asked {
        Asked::Bind(_) => Answer::Accept,
        Asked::Cancel => Answer::Fault(FaultStatus::CANCEL),
        _ => Answer::Silence,
    });
    let mut handle = connect(&binding(&tcp(server.at)), &options())
        .await
        .unwrap();
    let canceller = handle.canceller();
    let call = tokio::spawn(async move { handle.call(1, |_| ()).await.map(text) });
    let server = tokio::task::spawn_blocking(move || {
        while !matches!(server.next(), Asked::Call { .. }) {}
        server
    });
    let server = server.await.unwrap();
    canceller.cancel();
    assert_is!(
        error(call.await.unwrap()),
        CallError::Cancelled { may_have_run: true }
    );
    assert_eq!(server.next(), Asked::Cancel);
}
