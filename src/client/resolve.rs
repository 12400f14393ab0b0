//! From a binding to the places that may serve it: addresses, or a local socket.

use super::{ClientError, EPMAP_PORT, Failure, Step};
use crate::transport::unix;
use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// At an address, over TCP.
    Network(SocketAddr),
    /// At a local socket.
    Local(PathBuf),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Peer::Network(address) => address.fmt(f),
            Peer::Local(path) => path.display().fmt(f),
        }
    }
}

/// The peers of a binding, in the order to try them; at least one.
///
/// Over TCP no address means this host, no endpoint the mapper's port. A local
/// socket that is named without a folder is in the mapper's own.
///
/// # Errors
/// At step `Resolve`: the binding is for neither TCP nor a local socket, the
/// name is not known, or the deadline has passed.
pub async fn peers(binding: &Binding, deadline: Instant) -> Result<Vec<Peer>, ClientError> {
    let failed = |failure| ClientError::new(Step::Resolve, failure);
    match binding.protseq {
        ProtocolSequence::NcacnIpTcp => {
            let found = addresses(binding, deadline).await?;
            Ok(found.into_iter().map(Peer::Network).collect())
        }
        ProtocolSequence::Ncalrpc => {
            let path = unix::socket_path(binding).map_err(|fault| failed(fault.into()))?;
            Ok(vec![Peer::Local(path)])
        }
        other => Err(failed(Failure::ProtocolSequence(other))),
    }
}

/// The addresses of a binding for TCP; at least one.
async fn addresses(binding: &Binding, deadline: Instant) -> Result<Vec<SocketAddr>, ClientError> {
    let failed = |failure| ClientError::new(Step::Resolve, failure);
    let port = port(&binding.endpoint).map_err(failed)?;
    let host = binding.address.as_str();
    if host.is_empty() {
        return Ok(this_host(port).to_vec());
    }
    let unknown = |error| {
        let host = host.to_owned();
        failed(Failure::Name { host, error })
    };
    let found = timeout_at(deadline, lookup_host((host, port)))
        .await
        .map_err(|_| failed(Failure::Timeout))?
        .map_err(unknown)?;
    match Vec::from_iter(found) {
        none if none.is_empty() => Err(unknown(io::ErrorKind::NotFound.into())),
        found => Ok(found),
    }
}

/// The TCP port of an endpoint.
fn port(endpoint: &str) -> Result<u16, Failure> {
    if endpoint.is_empty() {
        return Ok(EPMAP_PORT);
    }
    match endpoint.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Failure::Port(endpoint.to_owned())),
    }
}

/// The loopback addresses.
fn this_host(port: u16) -> [SocketAddr; 2] {
    [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::fake::{assert_fails, generous};
    use super::*;

    /// The peers of a binding, in text.
    async fn resolved(binding: &str) -> Result<Vec<String>, ClientError> {
        let peers = peers(&binding.parse().unwrap(), generous()).await?;
        Ok(peers.iter().map(Peer::to_string).collect())
    }

    #[tokio::test]
    async fn what_is_left_out_is_this_host_and_port_135() {
        let here = resolved("ncacn_ip_tcp:").await.unwrap();
        assert_eq!(here, ["127.0.0.1:135", "[::1]:135"]);
        let there = resolved("ncacn_ip_tcp:192.0.2.7[1135]").await.unwrap();
        assert_eq!(there, ["192.0.2.7:1135"]);
        let six = resolved("ncacn_ip_tcp:2001:db8::1[135]").await.unwrap();
        assert_eq!(six, ["[2001:db8::1]:135"]);
    }

    #[tokio::test]
    async fn a_local_socket_is_a_path_or_a_name_in_the_mappers_folder() {
        for (binding, path) in [
            ("ncalrpc:", "/run/epmapper/EPMAPPER"),
            ("ncalrpc:[samr]", "/run/epmapper/samr"),
            ("ncalrpc:[/tmp/a]", "/tmp/a"),
        ] {
            assert_eq!(resolved(binding).await.unwrap(), [path]);
        }
        for binding in ["ncalrpc:[./a]", "ncalrpc:[/tmp/..]"] {
            assert_fails(resolved(binding).await, Step::Resolve, |failure| {
                matches!(failure, Failure::Path(_))
            });
        }
    }

    #[tokio::test]
    async fn what_cannot_be_reached_is_refused() {
        let pipe = resolved("ncacn_np:host[\\pipe\\epmapper]").await;
        assert_fails(pipe, Step::Resolve, |failure| {
            matches!(
                failure,
                Failure::ProtocolSequence(ProtocolSequence::NcacnNp)
            )
        });
        let port = resolved("ncacn_ip_tcp:192.0.2.7[0]").await;
        assert_fails(port, Step::Resolve, |failure| {
            matches!(failure, Failure::Port(_))
        });
    }
}
