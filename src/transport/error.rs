//! Why a binding cannot be listened on.

use super::unix::PathFault;
use crate::wire::tower::ProtocolSequence;
use std::io;
use std::net::IpAddr;

/// Why a binding cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {binding}: {cause}")]
pub struct ListenError {
    /// The string binding.
    pub binding: String,
    /// What is in the way.
    pub cause: ListenCause,
}

/// What is in the way of listening.
#[derive(Debug, thiserror::Error)]
pub enum ListenCause {
    /// Another protocol sequence than ncacn_ip_tcp and ncalrpc.
    #[error("{0} is not served; use ncacn_ip_tcp or ncalrpc")]
    ProtocolSequence(ProtocolSequence),
    /// The network address is a name.
    #[error("'{0}' is not an IP address; give the address to listen on, or 0.0.0.0 for all")]
    Name(String),
    /// The endpoint is no port.
    #[error("'{0}' is not a port; give a number from 0 to 65535")]
    Port(String),
    /// The port is taken.
    #[error(
        "the port is in use; stop the program that has it (`ss -ltnp sport = :{0}` names it) or listen elsewhere"
    )]
    InUse(u16),
    /// Every port that may be taken is.
    #[error("no port from {0} to {1} is free; allow others, or stop a program that has one")]
    NoFreePort(u16, u16),
    /// The address belongs to another host.
    #[error("{0} is not an address of this host; `ip address` shows those that are")]
    NotHere(IpAddr),
    /// Ports below 1024 want a capability.
    #[error("permission denied; start as root or with the capability CAP_NET_BIND_SERVICE")]
    NotPermitted,
    /// The host has no IPv6.
    #[error("this host has no IPv6; listen on an IPv4 address")]
    NoIpv6,
    /// The endpoint is no path that a socket can have.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// A program listens on the local socket.
    #[error(
        "the socket is in use; stop the program that has it (`ss -lxp src {0}` names it) or listen elsewhere"
    )]
    SocketInUse(String),
    /// Another daemon is about to listen on the local socket.
    #[error("another daemon starts here at this moment and holds {0}; one of them is too many")]
    Starting(String),
    /// What stands at the path is not a socket.
    #[error("{0} is there and is no socket; move it away or listen elsewhere")]
    NoSocket(String),
    /// The folder of the path is not there.
    #[error("there is no folder {0}; make it, or listen elsewhere")]
    NoFolder(String),
    /// The mapper's own folder is not there and cannot be made.
    #[error("cannot make the folder {0}: {1}; make it for this user, or listen elsewhere")]
    Folder(&'static str, io::Error),
    /// The local socket cannot be made or looked at.
    #[error("permission denied for {0}; start as root, or listen where this user may write")]
    Denied(String),
    /// The local socket cannot be given to its group.
    #[error("cannot give the socket to group {group}: {error}; start as root or as its member")]
    Group {
        /// The group's id.
        group: u32,
        /// What the system says.
        error: io::Error,
    },
    /// Anything else that the system says.
    #[error("{0}")]
    System(io::Error),
}
