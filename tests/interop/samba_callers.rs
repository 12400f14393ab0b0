//! Samba's services, found by the library's handles through Samba's mapper and called there.
//!
//! What Samba 4.17 makes of who calls: lsarpc denies a policy over TCP to everybody, with an account at any level
//! too, by a fault; over a local socket it gives one. samr over TCP takes who is anonymous or at privacy, and denies
//! level connect. drsuapi, which a domain controller has, denies everybody but accounts at privacy or integrity.

use crate::daemon::DEADLINE;
use crate::samba_mapper::{Kind, SambaMapper};
use epmapper::client::ept::LookupQuery;
use epmapper::client::{
    Authentication, CallError, Encoding, Handle, Mapper, Options, Resolver, Settings,
};
use epmapper::security::{Credentials, Password, Secret, ntlm, oid, spnego};
use epmapper::wire::binding::Binding;
use epmapper::wire::mgmt::{self, InqIfIdsResponse};
use epmapper::wire::ndr::ContextHandle;
use epmapper::wire::pdu::{AuthLevel, AuthType};
use epmapper::wire::status::FaultStatus;
use epmapper::wire::stub::{Conformant, ConformantVarying, Parameters, WideString};
use epmapper::wire::tower::ProtocolSequence;
use epmapper::wire::{Output, SyntaxId};
use epmapper::{ndr_parameters, ndr_structure};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::time::Instant;
use uuid::uuid;

const LSARPC: SyntaxId = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ab"), 0, 0);
const SAMR: SyntaxId = SyntaxId::new(uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);
const DRSUAPI: SyntaxId = SyntaxId::new(uuid!("e3514235-4b06-11d1-ab04-00c04fc2dcd2"), 4, 0);
/// Operations of lsarpc.
const OPEN_POLICY2: u16 = 44;
/// See [`OPEN_POLICY2`].
const GET_USER_NAME: u16 = 45;
/// Operations of samr.
const CONNECT2: u16 = 57;
/// See [`CONNECT2`].
const ENUM_DOMAINS: u16 = 6;
/// An operation of drsuapi.
const DS_BIND: u16 = 0;
/// All that whoever asks may have.
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;

ndr_structure! {
    /// Attributes of an object, none of which count here.
    struct ObjectAttributes {
        length: u32,
        root_directory: Option<u32>,
        object_name: Option<WideString>,
        attributes: u32,
        security_descriptor: Option<u32>,
        security_quality: Option<u32>,
    }
}
ndr_parameters! {
    struct OpenPolicy {
        system_name: Option<WideString>,
        attributes: ObjectAttributes,
        access: u32,
    }
}
ndr_parameters! {
    struct Connect {
        system_name: Option<WideString>,
        access: u32,
    }
}
ndr_parameters! {
    #[derive(Debug)]
    struct Opened {
        handle: ContextHandle,
        status: u32,
    }
}
ndr_parameters! {
    struct GetUserName {
        system_name: Option<WideString>,
        account: Option<Name>,
        authority: Option<u32>,
    }
}
ndr_parameters! {
    #[derive(Debug)]
    struct UserName {
        account: Option<Name>,
        authority: Option<u32>,
        status: u32,
    }
}
ndr_parameters! {
    struct EnumDomains {
        handle: ContextHandle,
        resume: u32,
        size: u32,
    }
}
ndr_structure! {
    #[derive(Debug)]
    struct Name {
        length: u16,
        size: u16,
        text: Option<ConformantVarying<u16, 256>>,
    }
}
ndr_structure! {
    #[derive(Debug)]
    struct Domain {
        index: u32,
        name: Name,
    }
}
ndr_structure! {
    #[derive(Debug)]
    struct Domains {
        count: u32,
        entries: Option<Conformant<Domain, 100>>,
    }
}
ndr_parameters! {
    #[derive(Debug)]
    struct EnumeratedDomains {
        resume: u32,
        domains: Option<Domains>,
        count: u32,
        status: u32,
    }
}

#[tokio::test]
async fn handles_find_and_call_what_samba_dcerpcd_serves() {
    if let Some(peer) = Peer::start(Kind::S3, Ipv4Addr::new(127, 0, 30, 1)) {
        peer.serves_what_its_mapper_tells(8).await;
        peer.denies_and_lets_in().await;
    }
}

#[tokio::test]
async fn handles_find_and_call_what_a_domain_controller_serves() {
    if let Some(peer) = Peer::start(Kind::S4, Ipv4Addr::new(127, 0, 30, 2)) {
        peer.serves_what_its_mapper_tells(13).await;
        peer.denies_and_lets_in().await;
        peer.denies_replication_to_who_is_anonymous().await;
    }
}

/// A running Samba.
struct Peer {
    mapper: SambaMapper,
    /// What its mapper has told.
    resolver: Resolver,
}

impl Peer {
    /// `None` where it is not installed.
    fn start(kind: Kind, address: Ipv4Addr) -> Option<Peer> {
        let mapper = SambaMapper::start(kind, address)?;
        let socket = format!("ncalrpc:[{}/ncalrpc/EPMAPPER]", mapper.folder());
        Some(Peer {
            mapper,
            resolver: Resolver::default().local_mapper(binding(&socket)),
        })
    }

    /// Asserts that every interface that the mapper tells over TCP is where it says; at least so many.
    async fn serves_what_its_mapper_tells(&self, count: usize) {
        let (host, interfaces) = (self.host(), self.interfaces_over_tcp().await);
        assert!(interfaces.len() >= count, "{interfaces:?}");
        for interface in interfaces {
            let found = self.resolver.resolve(&host, interface, &[], soon()).await;
            for server in found.unwrap() {
                let served = self.served(&server).await;
                assert!(
                    served.contains(&interface),
                    "{interface} at {server}: {served:?}"
                );
            }
        }
    }

    /// Asserts who is denied what, and that an account is let in.
    async fn denies_and_lets_in(&self) {
        let (host, local) = (self.host(), binding("ncalrpc:"));
        let anonymous = self.options(None);
        let [connect, privacy] =
            [AuthLevel::CONNECT, AuthLevel::PRIVACY].map(|level| self.options(Some(level)));
        for options in [&anonymous, &connect, &privacy] {
            assert_denied(policy(&host, options).await.map(drop));
        }
        assert_denied(domains(&host, &connect).await.map(drop));
        let domain = self.mapper.told("domain");
        let found = domains(&host, &privacy).await.unwrap();
        assert!(found.contains(&domain), "{found:?}");
        let opened = policy(&local, &privacy).await.unwrap();
        assert!(opened.status == 0 && !opened.handle.is_null(), "{opened:?}");
        let user = self.mapper.told("user");
        assert_eq!(user_name(&local, &privacy).await.unwrap(), user);
    }

    /// Asserts the same of what only accounts may do.
    async fn denies_replication_to_who_is_anonymous(&self) {
        assert_denied(ds_bind(&self.host(), &self.options(None)).await.map(drop));
        let privacy = self.options(Some(AuthLevel::PRIVACY));
        let handle = ds_bind(&self.host(), &privacy).await.unwrap();
        assert!(handle.is_some_and(|handle| !handle.is_null()));
    }

    /// Where it is, over TCP.
    fn host(&self) -> Binding {
        binding(&format!("ncacn_ip_tcp:{}", self.mapper.address()))
    }

    /// The options of a client with Samba's account at a level, or anonymous.
    fn options(&self, level: Option<AuthLevel>) -> Options {
        let settings = level.map(|level| self.account(level));
        Options {
            settings: settings.unwrap_or_default(),
            resolver: self.resolver.clone(),
            timeout: DEADLINE,
            call_timeout: DEADLINE,
            ..Options::default()
        }
    }

    /// Logs on with Samba's account, by SPNEGO and NTLM.
    fn account(&self, level: AuthLevel) -> Settings {
        let credentials = Credentials {
            user: self.mapper.told("user"),
            domain: self.mapper.told("domain"),
            secret: Secret::Password(Arc::new(Password::new(self.mapper.told("password")))),
        };
        let begin = move |level| {
            let context = ntlm::initiate(&credentials, level);
            let oid = oid::NTLM;
            Ok(spnego::initiate(vec![spnego::Offer { oid, context }]))
        };
        Settings::default().authenticate(Authentication::new(AuthType::SPNEGO, level, begin))
    }

    /// The interfaces of all entries over TCP.
    async fn interfaces_over_tcp(&self) -> BTreeSet<SyntaxId> {
        let connected = Mapper::connect(&self.host(), Encoding::Any, soon()).await;
        let found = connected.unwrap().lookup(&LookupQuery::default()).await;
        let found = found.unwrap();
        let parts = found
            .iter()
            .map(|entry| entry.tower().unwrap().parts().unwrap());
        let over_tcp = parts.filter(|parts| parts.protseq == Some(ProtocolSequence::NcacnIpTcp));
        over_tcp.map(|parts| parts.interface).collect()
    }

    /// The interfaces that a server says to serve.
    async fn served(&self, server: &Binding) -> Vec<SyntaxId> {
        let options = self.options(None);
        let handle = Handle::connect(server, SyntaxId::MGMT, &options).await;
        let reply = handle
            .unwrap()
            .call(mgmt::INQ_IF_IDS, |_| ())
            .await
            .unwrap();
        let told = reply.decode(InqIfIdsResponse::decode).unwrap();
        told.interfaces().collect()
    }
}

/// Opens lsarpc's policy.
async fn policy(host: &Binding, options: &Options) -> Result<Opened, CallError> {
    let mut handle = Handle::connect(host, LSARPC, options).await?;
    let attributes = ObjectAttributes {
        length: 24,
        root_directory: None,
        object_name: None,
        attributes: 0,
        security_descriptor: None,
        security_quality: None,
    };
    let open = OpenPolicy {
        system_name: Some("samba".into()),
        attributes,
        access: MAXIMUM_ALLOWED,
    };
    handle.invoke(OPEN_POLICY2, &open).await
}

/// Who lsarpc says that the caller is.
async fn user_name(host: &Binding, options: &Options) -> Result<String, CallError> {
    let mut handle = Handle::connect(host, LSARPC, options).await?;
    let nobody = GetUserName {
        system_name: None,
        account: None,
        authority: None,
    };
    let told: UserName = handle.invoke(GET_USER_NAME, &nobody).await?;
    assert_eq!(told.status, 0, "{told:?}");
    Ok(told.account.unwrap().text())
}

/// The names of samr's domains.
async fn domains(host: &Binding, options: &Options) -> Result<Vec<String>, CallError> {
    let mut handle = Handle::connect(host, SAMR, options).await?;
    let connect = Connect {
        system_name: Some("samba".into()),
        access: MAXIMUM_ALLOWED,
    };
    let opened: Opened = handle.invoke(CONNECT2, &connect).await?;
    assert_eq!(opened.status, 0, "{opened:?}");
    let all = EnumDomains {
        handle: opened.handle,
        resume: 0,
        size: 10_000,
    };
    let found: EnumeratedDomains = handle.invoke(ENUM_DOMAINS, &all).await?;
    assert_eq!(found.status, 0, "{found:?}");
    let domains = found.domains.unwrap().entries.unwrap();
    Ok(domains.0.iter().map(|domain| domain.name.text()).collect())
}

/// Begins a replication; the stub ends with its handle and status.
async fn ds_bind(host: &Binding, options: &Options) -> Result<Option<ContextHandle>, CallError> {
    let mut handle = Handle::connect(host, DRSUAPI, options).await?;
    // A client that says nothing of itself: two NULL pointers, in NDR 2.0 as all of Samba.
    let no_client = |out: &mut Output<'_>| {
        out.u32(0);
        out.u32(0);
    };
    let reply = handle.call(DS_BIND, no_client).await?;
    let tail = reply.stub.len().checked_sub(24).map(|at| &reply.stub[at..]);
    let opened = Opened::decode(tail.unwrap(), reply.order, reply.syntax)?;
    Ok(Some(opened.handle).filter(|_| opened.status == 0))
}

impl Name {
    /// Its text.
    fn text(&self) -> String {
        let text = self.text.as_ref().unwrap();
        String::from_utf16(&text.elements).unwrap()
    }
}

#[track_caller]
fn assert_denied(outcome: Result<(), CallError>) {
    let error = outcome.expect_err("a denial");
    assert!(
        matches!(error, CallError::Fault(FaultStatus::ACCESS_DENIED)),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "fault 5, access denied");
}

fn binding(text: &str) -> Binding {
    text.parse().unwrap()
}

fn soon() -> Instant {
    Instant::now() + DEADLINE
}
