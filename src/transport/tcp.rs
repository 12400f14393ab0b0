//! ncacn_ip_tcp: listening sockets from string bindings.

use super::{BACKLOG, ListenCause, ListenError};
use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

/// The endpoint mapper's port (C706 appendix H).
pub const EPMAP_PORT: u16 = 135;

/// How long a connection is silent before the system asks whether the client's
/// host is there: one that went without a word would have its calls run on.
const ALIVE: Duration = Duration::from_secs(10 * 60);

/// A listening socket, made before a runtime is there and before rights are
/// given up.
#[derive(Debug)]
pub struct Listener {
    /// Bound, listening, not blocking.
    socket: TcpListener,
    /// Where, with the port that the system chose.
    address: SocketAddr,
}

impl Listener {
    /// Listens on an ncacn_ip_tcp binding. No address means 0.0.0.0, no
    /// endpoint means 135, port 0 lets the system choose. An IPv6 socket takes
    /// IPv6 only, so that `0.0.0.0` and `::` can stand side by side.
    ///
    /// # Errors
    /// `ListenError` names the binding, the cause and what to do.
    pub fn bind(binding: &Binding) -> Result<Self, ListenError> {
        let failed = |cause| ListenError {
            binding: binding.to_string(),
            cause,
        };
        let address = socket_address(binding).map_err(failed)?;
        let socket = listen(address).map_err(|error| failed(cause(error, address)))?;
        let address = socket
            .local_addr()
            .map_err(|error| failed(ListenCause::System(error)))?;
        Ok(Listener { socket, address })
    }

    /// The address listened on, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The string binding listened on, with the port that the system chose.
    pub fn binding(&self) -> Binding {
        Binding {
            object: None,
            protseq: ProtocolSequence::NcacnIpTcp,
            address: self.address.ip().to_string(),
            endpoint: self.address.port().to_string(),
            options: Vec::new(),
        }
    }

    /// Hands the socket to the runtime that this is called in.
    ///
    /// # Errors
    /// What the system says when the socket cannot be watched.
    pub fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }
}

/// The address and port of a binding, what it leaves out filled in.
fn socket_address(binding: &Binding) -> Result<SocketAddr, ListenCause> {
    if binding.protseq != ProtocolSequence::NcacnIpTcp {
        return Err(ListenCause::ProtocolSequence(binding.protseq));
    }
    let port = match binding.endpoint.as_str() {
        "" => EPMAP_PORT,
        text => text
            .parse()
            .map_err(|_| ListenCause::Port(text.to_owned()))?,
    };
    ip_address(&binding.address, port).ok_or_else(|| ListenCause::Name(binding.address.clone()))
}

/// An IP address and port; the zone of a link-local address is looked up.
fn ip_address(text: &str, port: u16) -> Option<SocketAddr> {
    if text.is_empty() {
        return Some((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip, port).into());
    }
    let (ip, _zone) = text.split_once('%')?;
    ip.parse::<Ipv6Addr>().ok()?;
    (text, port).to_socket_addrs().ok()?.next()
}

/// A socket that listens and does not block.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit both, which saves each of them a call.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ALIVE))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What an error of the system means for a listener on `address`.
fn cause(error: io::Error, address: SocketAddr) -> ListenCause {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenCause::InUse(address.port()),
        io::ErrorKind::AddrNotAvailable if address.ip().is_unspecified() => ListenCause::NoIpv6,
        io::ErrorKind::AddrNotAvailable => ListenCause::NotHere(address.ip()),
        io::ErrorKind::PermissionDenied => ListenCause::NotPermitted,
        _ if error.raw_os_error() == Some(EAFNOSUPPORT) => ListenCause::NoIpv6,
        _ => ListenCause::System(error),
    }
}

/// Linux's "address family not supported", which std has no kind for.
const EAFNOSUPPORT: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::TcpStream;

    fn bind(text: &str) -> Result<Listener, ListenError> {
        Listener::bind(&text.parse().unwrap())
    }

    #[test]
    fn the_system_chooses_port_0() {
        let listener = bind("ncacn_ip_tcp:127.0.0.1[0]").unwrap();
        assert_ne!(listener.address().port(), 0);
        let text = listener.binding().to_string();
        assert_eq!(
            text,
            format!("ncacn_ip_tcp:127.0.0.1[{}]", listener.address().port())
        );
    }

    #[test]
    fn each_obstacle_has_its_cause() {
        let taken = bind("ncacn_ip_tcp:127.0.0.1[0]").unwrap();
        let again = format!("ncacn_ip_tcp:127.0.0.1[{}]", taken.address().port());
        let cause = |text: &str| bind(text).unwrap_err().cause;
        assert!(matches!(cause(&again), ListenCause::InUse(_)));
        assert!(matches!(
            cause("ncacn_ip_tcp:192.0.2.1[0]"),
            ListenCause::NotHere(_)
        ));
        assert!(matches!(
            cause("ncacn_ip_tcp:somehost[0]"),
            ListenCause::Name(_)
        ));
        assert!(matches!(
            cause("ncacn_np:[x]"),
            ListenCause::ProtocolSequence(_)
        ));
    }

    #[test]
    fn each_error_of_the_system_has_its_cause() {
        let cause = |code, address: &str| {
            let error = io::Error::from_raw_os_error(code);
            super::cause(error, address.parse().unwrap())
        };
        // EAFNOSUPPORT: a kernel without IPv6; EADDRNOTAVAIL: one where it is off.
        assert!(matches!(cause(97, "[::]:135"), ListenCause::NoIpv6));
        assert!(matches!(cause(97, "[::1]:135"), ListenCause::NoIpv6));
        assert!(matches!(cause(99, "[::]:135"), ListenCause::NoIpv6));
        for address in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = address.parse().unwrap();
            let socket = SocketAddr::new(ip, 135).to_string();
            assert!(matches!(cause(99, &socket), ListenCause::NotHere(at) if at == ip));
        }
        // EADDRINUSE, EACCES, and one without a meaning of its own.
        assert!(matches!(
            cause(98, "127.0.0.1:135"),
            ListenCause::InUse(135)
        ));
        assert!(matches!(
            cause(13, "127.0.0.1:135"),
            ListenCause::NotPermitted
        ));
        assert!(matches!(cause(24, "127.0.0.1:135"), ListenCause::System(_)));
    }

    #[test]
    fn the_system_asks_for_clients_that_are_silent() {
        let listener = bind("ncacn_ip_tcp:127.0.0.1[0]").unwrap();
        listener.socket.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.address()).unwrap();
        let (accepted, _) = listener.socket.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), ALIVE);
    }
}
