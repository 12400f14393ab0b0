//! A stand-in for netlogon, which the suite finds through the mapper and sends
//! calls of many fragments to.
//!
//! It has the one operation that the suite calls, and knows no computer: a
//! challenge is answered by a fixed one.

use std::net::Ipv4Addr;

use epmapper::client::registrar::RegistrarSettings;
use epmapper::host::{Interface, Server};
use epmapper::ndr_parameters;
use epmapper::wire::SyntaxId;
use epmapper::wire::binding::Binding;
use epmapper::wire::stub::WideString;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use uuid::uuid;

use crate::daemon::DEADLINE;

/// logon, version 1.0.
///
/// # Source
/// MS-NRPC 3.5.4 and 1.9.
const NETLOGON: SyntaxId = SyntaxId::new(uuid!("12345678-1234-abcd-ef00-01234567cffb"), 1, 0);
/// The operation number of `NetrServerReqChallenge`.
const REQ_CHALLENGE: u16 = 4;

ndr_parameters! {
    /// What `NetrServerReqChallenge` takes.
    ///
    /// # Source
    /// MS-NRPC 3.5.4.4.1.
    struct ReqChallenge {
        _primary_name: Option<WideString>,
        _computer_name: WideString,
        _client_challenge: [u8; 8]
    }
}

ndr_parameters! {
    /// What `NetrServerReqChallenge` gives.
    struct Challenge {
        server_challenge: [u8; 8],
        status: u32
    }
}

/// A running stand-in.
pub struct Netlogon {
    server: Server,
    /// What it runs on.
    runtime: Runtime,
}

impl Netlogon {
    /// Starts it on a port of the system's choice, and returns when the mapper
    /// at a local socket knows it.
    pub fn start(address: Ipv4Addr, mapper: Binding) -> Netlogon {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(async {
            let binding = format!("ncacn_ip_tcp:{address}[]");
            let server = Server::builder()
                .interface(interface())
                .listen(binding.parse().expect("a binding"))
                .mapper(RegistrarSettings {
                    mappers: vec![mapper],
                    ..RegistrarSettings::default()
                });
            let server = server.start().await.expect("a server");
            let registered = timeout(DEADLINE, server.registered()).await;
            registered.expect("a registration");
            server
        });
        Netlogon { server, runtime }
    }

    /// Takes it out of the mapper and ends it.
    pub fn stop(self) {
        self.runtime.block_on(self.server.stop());
    }
}

/// What it offers.
fn interface() -> Interface {
    Interface::new(NETLOGON).typed(REQ_CHALLENGE, |_, _: ReqChallenge| {
        Ok(Challenge {
            server_challenge: [0x5a; 8],
            status: 0,
        })
    })
}
