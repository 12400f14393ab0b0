//! Where a daemon can listen: a string binding that is an address and a port,
//! or the path of a local socket.

use crate::transport::tcp::EPMAP_PORT;
use crate::transport::unix::{self, PathFault};
use crate::wire::binding::{Binding, BindingError};
use crate::wire::tower::ProtocolSequence;
use std::net::{IpAddr, Ipv4Addr};

/// Where the daemon listens when nobody says.
pub const DEFAULT_LISTEN: [&str; 3] = [
    "ncacn_ip_tcp:0.0.0.0[135]",
    "ncacn_ip_tcp:::[135]",
    "ncalrpc:[/run/epmapper/EPMAPPER]",
];

/// Why a binding cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// It does not parse.
    #[error("`{text}`: {cause}")]
    Binding {
        /// The value.
        text: String,
        /// What is wrong, and at which octet.
        cause: BindingError,
    },
    /// It is of a protocol sequence that is not served.
    #[error("`{text}`: {protseq} is not served; only ncacn_ip_tcp and ncalrpc are")]
    NotServed {
        /// The value.
        text: String,
        /// The protocol sequence.
        protseq: ProtocolSequence,
    },
    /// It says more than where.
    #[error("`{0}`: a listener has neither object nor options")]
    Extra(String),
    /// Its endpoint is no path of a local socket.
    #[error("`{text}`: {cause}")]
    Path {
        /// The value.
        text: String,
        /// What is wrong with the path.
        cause: PathFault,
    },
    /// Its address is a name.
    #[error("`{text}`: `{address}` is not an IP address; write 0.0.0.0 or :: for all")]
    Name {
        /// The value.
        text: String,
        /// Its address.
        address: String,
    },
}

/// Reads a binding to listen on.
///
/// TCP: an address that is 0.0.0.0 unless said, a port that is 135 unless said;
/// port 0 is one that the system chooses. Local sockets: an absolute path, that
/// of the default listener unless said.
///
/// # Errors
/// What keeps it from being listened on.
pub fn listener(text: &str) -> Result<Binding, ListenerError> {
    let parsed = text.parse::<Binding>();
    let text = text.to_owned();
    let mut binding = match parsed {
        Ok(binding) => binding,
        Err(cause) => return Err(ListenerError::Binding { text, cause }),
    };
    let protseq = binding.protseq;
    if binding.object.is_some() || !binding.options.is_empty() {
        return Err(ListenerError::Extra(text));
    }
    match protseq {
        ProtocolSequence::NcacnIpTcp => {}
        ProtocolSequence::Ncalrpc => {
            let path = unix::listen_path(&binding);
            let path = path.map_err(|cause| ListenerError::Path { text, cause })?;
            return Ok(unix::binding_of(&path));
        }
        _ => return Err(ListenerError::NotServed { text, protseq }),
    }
    if binding.address.is_empty() {
        binding.address = Ipv4Addr::UNSPECIFIED.to_string();
    }
    // A link-local address has a zone, which only this host can tell.
    let (address, _zone) = binding
        .address
        .split_once('%')
        .unwrap_or((&binding.address, ""));
    if address.parse::<IpAddr>().is_err() {
        return Err(ListenerError::Name {
            text,
            address: binding.address,
        });
    }
    if binding.endpoint.is_empty() {
        binding.endpoint = EPMAP_PORT.to_string();
    }
    Ok(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        for (text, full) in [
            ("ncacn_ip_tcp:127.0.0.1", "ncacn_ip_tcp:127.0.0.1[135]"),
            ("ncacn_ip_tcp:[1135]", "ncacn_ip_tcp:0.0.0.0[1135]"),
            ("ncacn_ip_tcp:fe80::1%lo[0]", "ncacn_ip_tcp:fe80::1%lo[0]"),
            ("ncalrpc:", DEFAULT_LISTEN[2]),
            ("ncalrpc:[/tmp/epmapper]", "ncalrpc:[/tmp/epmapper]"),
        ] {
            assert_eq!(listener(text).unwrap().to_string(), full);
        }
    }

    #[test]
    fn the_default_listeners_are_listeners() {
        for text in DEFAULT_LISTEN {
            assert_eq!(listener(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_told_apart() {
        for (text, part) in [
            ("ncacn_ip_tcp", "ncacn_ip_tcp"),
            ("ncadg_ip_udp:127.0.0.1[135]", "ncadg_ip_udp is not served"),
            (
                "ncacn_ip_tcp:somehost[135]",
                "`somehost` is not an IP address",
            ),
            (
                "ncacn_ip_tcp:127.0.0.1[135,flag]",
                "neither object nor options",
            ),
            ("ncacn_ip_tcp:127.0.0.1[70000]", "70000"),
            ("ncalrpc:[epmapper]", "not an absolute path"),
            ("ncalrpc:[./epmapper]", "not an absolute path"),
            ("ncalrpc:[/tmp/]", "names no file"),
            ("ncalrpc:host[/tmp/epmapper]", "has no address"),
            ("ncalrpc:[/tmp/epmapper,flag]", "neither object nor options"),
        ] {
            let error = listener(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
