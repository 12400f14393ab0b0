//! Where IO starts: sockets for each protocol sequence.
//!
//! [`Listener`], [`Acceptor`] and [`Stream`] are one of each over TCP and over
//! local sockets, so that whoever drives an association need not care which.

mod error;
pub mod process;
mod stream;
pub mod tcp;
pub mod unix;

pub use error::{ListenCause, ListenError};
pub use stream::Stream;

use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, UnixListener};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4096;

/// A listening socket, made before a runtime is there and before rights are
/// given up.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(tcp::Listener),
    /// Over a local socket.
    Unix(unix::Listener),
}

impl Listener {
    /// Listens on a binding of ncacn_ip_tcp or ncalrpc; `access` says who may
    /// connect to a local socket.
    ///
    /// # Errors
    /// `ListenError` names the binding, the cause and what to do.
    pub fn bind(binding: &Binding, access: unix::Access) -> Result<Self, ListenError> {
        match binding.protseq {
            ProtocolSequence::Ncalrpc => unix::Listener::bind(binding, access).map(Listener::Unix),
            _ => tcp::Listener::bind(binding).map(Listener::Tcp),
        }
    }

    /// The string binding listened on, with the port that the system chose.
    pub fn binding(&self) -> Binding {
        match self {
            Listener::Tcp(listener) => listener.binding(),
            Listener::Unix(listener) => listener.binding(),
        }
    }

    /// The string binding that a mapper tells clients of.
    ///
    /// No tower can carry an IPv6 address, so a listener on one says 0.0.0.0,
    /// which tells the client to go on with the address that it dialled. A local
    /// socket in the mapper's folder goes by its name there.
    pub fn told(&self) -> Binding {
        let mut binding = self.binding();
        match self {
            Listener::Tcp(listener) if listener.address().is_ipv6() => {
                binding.address = Ipv4Addr::UNSPECIFIED.to_string();
            }
            Listener::Tcp(_) => {}
            Listener::Unix(listener) if listener.path().parent() == Some(unix::FOLDER.as_ref()) => {
                binding.endpoint = listener.name();
            }
            Listener::Unix(_) => {}
        }
        binding
    }

    /// Hands the socket to the runtime that this is called in.
    ///
    /// # Errors
    /// What the system says when the socket cannot be watched.
    pub fn into_tokio(self) -> io::Result<Acceptor> {
        match self {
            Listener::Tcp(listener) => listener.into_tokio().map(Acceptor::Tcp),
            Listener::Unix(listener) => {
                let (file, listener) = listener.into_tokio()?;
                Ok(Acceptor::Unix(file, listener))
            }
        }
    }
}

/// A listening socket in a runtime.
#[derive(Debug)]
pub enum Acceptor {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a local socket; the file goes before the socket stops listening,
    /// so that nobody takes it for a stale one meanwhile.
    Unix(unix::SocketFile, UnixListener),
}

impl Acceptor {
    /// Waits for a connection; whoever stops waiting loses none.
    ///
    /// # Errors
    /// What the system says: about one connection, or that it accepts none.
    pub async fn accept(&self) -> io::Result<(Stream, Caller)> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Caller::Network(peer)))
            }
            Acceptor::Unix(_, listener) => {
                let (stream, _) = listener.accept().await?;
                let credentials = unix::Credentials::of(&stream)?;
                Ok((Stream::Unix(stream), Caller::Local(credentials)))
            }
        }
    }
}

/// Who connected, as the system tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody at an address.
    Network(SocketAddr),
    /// A process of this host.
    Local(unix::Credentials),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Caller::Network(address) => address.fmt(f),
            Caller::Local(credentials) => credentials.fmt(f),
        }
    }
}
