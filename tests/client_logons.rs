//! The library's client logs on over sockets: at every level, and what it says where it is not let in.

#![cfg(feature = "daemon")]

#[path = "support/provider.rs"]
mod provider;

use epmapper::client::ept::LookupQuery;
use epmapper::client::{
    Authentication, ClientError, Encoding, Failure, Management, Mapper, Refusal, Settings, Step,
};
use epmapper::proto::SecurityProvider;
use epmapper::server::{Limits, MapperSettings, Server, serve};
use epmapper::service::{Access, Conversation, Required};
use epmapper::transport::Listener;
use epmapper::transport::unix::Access as SocketAccess;
use epmapper::wire::FaultStatus;
use epmapper::wire::binding::Binding;
use epmapper::wire::pdu::{AuthLevel, AuthType};
use provider::{Legs, Words, ask, pretend};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The kinds of legs that the server knows.
const KINDS: [(AuthType, Legs); 3] = [
    (AuthType::NTLM, Legs::Two),
    (AuthType::SPNEGO, Legs::TwoWelcomed),
    (AuthType::KERBEROS, Legs::Three),
];

/// A server in this process, which asks for authentication at `access`.
async fn server(access: Access) -> (Binding, watch::Sender<bool>) {
    let providers = KINDS.map(|(auth_type, legs)| -> Arc<dyn SecurityProvider> {
        Arc::new(Words {
            auth_type,
            legs,
            signs: u64::MAX,
        })
    });
    let settings = MapperSettings {
        access,
        ..MapperSettings::new(Conversation::Windows, 10)
    };
    let (mapper, _) = epmapper::server::Mapper::new(settings);
    let (interfaces, locals) = (mapper.interfaces(), mapper.local_interfaces());
    let statistics = mapper.statistics();
    let limits = Limits::default();
    let server = Server::new(interfaces, locals, providers.into(), limits, statistics);
    let (stop, stopped) = watch::channel(false);
    let binding: Binding = "ncacn_ip_tcp:127.0.93.1[0]".parse().unwrap();
    let listener = Listener::bind(&binding, SocketAccess::default()).unwrap();
    let binding = listener.binding().clone();
    tokio::spawn(serve(listener, server, stopped));
    (binding, stop)
}

/// Settings of a client that says to be `name`.
fn by_words(auth_type: AuthType, level: AuthLevel, name: &'static str) -> Settings {
    let legs = KINDS.iter().find(|(kind, _)| *kind == auth_type);
    let legs = legs.map_or(Legs::Two, |(_, legs)| *legs);
    let begin = move |level| Ok(ask(name, legs, level));
    Settings::default().authenticate(Authentication::new(auth_type, level, begin))
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn lookup(binding: &Binding, settings: Settings) -> Result<usize, ClientError> {
    let mut mapper = Mapper::connect(binding, settings, deadline()).await?;
    let found = mapper.lookup(&LookupQuery::default()).await?;
    // A second call, which has no verification trailer.
    assert_eq!(
        mapper.lookup(&LookupQuery::default()).await?.len(),
        found.len()
    );
    Ok(found.len())
}

#[tokio::test]
async fn a_client_is_let_in_by_every_kind_of_legs_at_every_level() {
    let access = Access {
        required: Required::Everything,
        ..Access::default()
    };
    let (binding, _running) = server(access).await;
    for (auth_type, _) in KINDS {
        for level in [AuthLevel::PACKET, AuthLevel::INTEGRITY, AuthLevel::PRIVACY] {
            let settings = by_words(auth_type, level, "alice");
            let found = lookup(&binding, settings.clone()).await;
            found.unwrap_or_else(|error| panic!("{auth_type} {level}: {error}"));
            let big = Settings {
                encoding: Encoding::Ndr(epmapper::wire::ByteOrder::Big),
                ..settings.clone()
            };
            lookup(&binding, big).await.unwrap();
            let connected = Management::connect(&binding, settings, deadline()).await;
            assert!(connected.unwrap().is_server_listening().await.unwrap());
        }
    }
    let refused = lookup(&binding, Settings::default()).await.unwrap_err();
    assert!(
        matches!(refused.failure, Failure::Fault(FaultStatus::ACCESS_DENIED)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_client_that_proves_nothing_is_told_so_whenever_the_server_says_it() {
    let (binding, _running) = server(Access::default()).await;
    // An rpc_auth_3 has no answer, so that the first call has to tell.
    let steps = [
        (AuthType::NTLM, Step::Call),
        (AuthType::SPNEGO, Step::Bind),
        (AuthType::KERBEROS, Step::Bind),
    ];
    for (auth_type, step) in steps {
        let legs = KINDS.iter().find(|(kind, _)| *kind == auth_type).unwrap().1;
        let begin = move |level| Ok(pretend("alice", legs, level));
        let level = AuthLevel::INTEGRITY;
        let authentication = Authentication::new(auth_type, level, begin);
        let settings = Settings::default().authenticate(authentication);
        let refused = lookup(&binding, settings).await.unwrap_err();
        assert_eq!(refused.step, step, "{refused}");
        let Failure::LogonRefused(refusal) = refused.failure else {
            panic!("{refused}");
        };
        assert_eq!(refusal, Refusal::Fault(FaultStatus::ACCESS_DENIED));
    }
}

#[tokio::test]
async fn a_type_that_the_server_does_not_know_is_told_apart_from_a_refused_logon() {
    let (binding, _running) = server(Access::default()).await;
    let settings = by_words(AuthType::NETLOGON, AuthLevel::INTEGRITY, "alice");
    let refused = lookup(&binding, settings).await.unwrap_err();
    let Failure::NoAuthentication(auth_type) = refused.failure else {
        panic!("{refused}");
    };
    assert_eq!(auth_type, AuthType::NETLOGON);
}
