//! smbtorture logs on, and has its calls signed and sealed, several of them under way on one connection.
//!
//! The server is the example's interface in this process, with one account.

use crate::echo::Mapper;
use crate::example::interface;
use crate::{passes, programs};
use epmapper::client::registrar::RegistrarSettings;
use epmapper::host::Server;
use epmapper::proto::SecurityProvider;
use epmapper::security::ntlm::{Names, Ntlm, NtlmSettings};
use epmapper::security::spnego::Spnego;
use epmapper::security::{Account, Accounts, Alone, Mechanism, NtHash};
use epmapper::wire::pdu::AuthLevel;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Runtime;

/// The only account: its name, and its password.
const ALICE: [&str; 2] = ["alice", "Alice-Secret7"];

/// Knows that account.
#[derive(Debug)]
struct OnlyAlice;

impl Accounts for OnlyAlice {
    fn find(&self, name: &str) -> Option<Account> {
        let [alice, password] = ALICE;
        name.eq_ignore_ascii_case(alice).then(|| Account {
            name: alice.into(),
            nt_hash: NtHash::of(password),
            password: None,
        })
    }
}

/// NTLM, alone and within SPNEGO.
fn providers() -> [Arc<dyn SecurityProvider>; 2] {
    let ntlm: Arc<dyn Mechanism> = Arc::new(Ntlm::new(NtlmSettings {
        names: Names {
            domain: "LAB".to_owned(),
            host: "ECHO".to_owned(),
            dns_domain: String::new(),
            dns_host: String::new(),
        },
        accounts: Arc::new(OnlyAlice),
        anonymous: false,
        v1: false,
        lm: false,
    }));
    let spnego = Spnego::new(vec![ntlm.clone()]);
    [Arc::new(Alone(ntlm)), Arc::new(spnego)]
}

/// A server that answers calls of this level at least, registered.
async fn server(mapper: &Mapper, address: Ipv4Addr, level: AuthLevel) -> Server {
    let settings = RegistrarSettings {
        mappers: vec![mapper.socket().parse().unwrap()],
        ..RegistrarSettings::default()
    };
    let mut server = Server::builder()
        .interface(interface().require(level))
        .listen(format!("ncacn_ip_tcp:{address}[]").parse().unwrap())
        .mapper(settings);
    for provider in providers() {
        server = server.authenticate(provider);
    }
    let server = server.start().await.unwrap();
    server.registered().await;
    server
}

/// Runs rpc.echo by both mechanisms, with these options of a binding each.
fn torture(test: u8, level: AuthLevel, options: &[&str]) {
    let Some(smbtorture) = programs::find("smbtorture") else {
        return;
    };
    let address = Ipv4Addr::new(127, 0, 34, test);
    let mapper = Mapper::start(address);
    let runtime = Runtime::new().unwrap();
    let _server = runtime.block_on(server(&mapper, address, level));
    let [name, password] = ALICE;
    let user = format!("-ULAB\\{name}%{password}");
    // They wait more than they work.
    thread::scope(|scope| {
        for option in options {
            for mechanism in ["ntlm", "spnego"] {
                let binding = format!("ncacn_ip_tcp:{address}[{option},{mechanism}]");
                let (smbtorture, user) = (&smbtorture, &user);
                scope.spawn(move || passes(smbtorture, &binding, user));
            }
        }
    });
}

#[test]
fn smbtorture_passes_where_it_has_only_to_log_on() {
    torture(11, AuthLevel::CONNECT, &["connect"]);
}

#[test]
fn smbtorture_passes_signed() {
    torture(
        12,
        AuthLevel::INTEGRITY,
        &["sign", "packet", "sign,bigendian"],
    );
}

#[test]
fn smbtorture_passes_sealed() {
    torture(
        13,
        AuthLevel::PRIVACY,
        &["seal", "seal,ndr64", "seal,bigendian"],
    );
}
