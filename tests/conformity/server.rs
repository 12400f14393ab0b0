//! Whom the tests ask: a daemon of their own, or the server that `EPMAPPER_SERVER` names.

use crate::connection::Connection;
use crate::octets::{Context, EPT, MGMT, NDR, Pdu, bind, context};
use crate::peer::endpoints;
use crate::run::{ConfigFile, Run};
use crate::skip::skipped;
use std::env;
use std::net::{IpAddr, SocketAddr};

/// The context id of the remote management interface where a test does not choose one itself.
pub const MANAGEMENT: u16 = 1;

/// The context id of the endpoint mapper, likewise.
pub const MAPPER: u16 = 2;

/// A server, stopped with the value where it is our own.
pub struct Server {
    address: SocketAddr,
    _run: Option<(Run, ConfigFile)>,
}

impl Server {
    /// A daemon in the windows conversation that knows some endpoints, or the server that was named.
    pub fn start() -> Server {
        match named() {
            Some(address) => Server {
                address,
                _run: None,
            },
            None => Server::of(&endpoints(100)),
        }
    }

    /// A daemon with a configuration of its own; `None`, and loudly, where a server was named.
    pub fn with(config: &str) -> Option<Server> {
        if named().is_some() {
            skipped("EPMAPPER_SERVER names a server, and this test is about a configuration");
            return None;
        }
        Some(Server::of(config))
    }

    fn of(config: &str) -> Server {
        let file = ConfigFile::new(config);
        let run = Run::with_config(&file);
        Server {
            address: run.address(),
            _run: Some((run, file)),
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// A connection whose bind had these contexts, and the answer to it behind.
    pub fn bound_with(&self, contexts: &[Context]) -> Connection {
        self.bound_by(bind(contexts))
    }

    /// A connection with this bind, and the answer to it behind.
    pub fn bound_by(&self, bind: Pdu) -> Connection {
        let mut connection = self.connect();
        connection.send(&bind);
        connection.ack(&bind);
        connection
    }

    /// A connection to the remote management interface, context [`MANAGEMENT`].
    pub fn bound(&self) -> Connection {
        self.bound_with(&[context(MANAGEMENT, MGMT, &[NDR])])
    }

    /// The same with several calls at once agreed on.
    pub fn bound_with_multiplexing(&self) -> Connection {
        self.bound_by(bind(&[context(MANAGEMENT, MGMT, &[NDR])]).flags(0x13))
    }

    /// A connection to the endpoint mapper, context [`MAPPER`].
    pub fn bound_to_mapper(&self) -> Connection {
        self.bound_with(&[context(MAPPER, EPT, &[NDR])])
    }
}

/// The server that the tests are aimed at, port 135 where none is said.
fn named() -> Option<SocketAddr> {
    let name = env::var("EPMAPPER_SERVER").ok()?;
    let address = name
        .parse::<SocketAddr>()
        .or_else(|_| name.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 135)));
    Some(address.unwrap_or_else(|error| panic!("EPMAPPER_SERVER={name}: {error}")))
}
