//! From a binding to the addresses that may serve it.

use super::{ClientError, EPMAP_PORT, Failure, Step};
use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

/// The addresses of a binding, in the order to try them; at least one.
///
/// No address means this host, no endpoint the mapper's port.
///
/// # Errors
/// At step `Resolve`: the binding is not one for TCP, the name is not known, or
/// the deadline has passed.
pub async fn addresses(
    binding: &Binding,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, ClientError> {
    let failed = |failure| ClientError::new(Step::Resolve, failure);
    if binding.protseq != ProtocolSequence::NcacnIpTcp {
        return Err(failed(Failure::ProtocolSequence(binding.protseq)));
    }
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

    /// The addresses of a binding in text.
    async fn resolved(binding: &str) -> Result<Vec<SocketAddr>, ClientError> {
        addresses(&binding.parse().unwrap(), generous()).await
    }

    #[tokio::test]
    async fn what_is_left_out_is_this_host_and_port_135() {
        let here = resolved("ncacn_ip_tcp:").await.unwrap();
        assert_eq!(
            here,
            [
                "127.0.0.1:135".parse().unwrap(),
                "[::1]:135".parse().unwrap()
            ]
        );
        let there = resolved("ncacn_ip_tcp:192.0.2.7[1135]").await.unwrap();
        assert_eq!(there, ["192.0.2.7:1135".parse().unwrap()]);
        let six = resolved("ncacn_ip_tcp:2001:db8::1[135]").await.unwrap();
        assert_eq!(six, ["[2001:db8::1]:135".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_tcp_cannot_reach_is_refused() {
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
