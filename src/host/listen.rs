//! From string bindings to sockets that listen.

use crate::transport::{ListenCause, ListenError, Listener, unix};
use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// Where a server may listen, and who may connect there.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The ports to choose from; `None` leaves the choice to the system.
    pub ports: Option<RangeInclusive<u16>>,
    /// Who may connect to local sockets.
    pub access: unix::Access,
}

impl Places {
    /// Listens on a binding, whose endpoint may be left out: then it is a port
    /// that is free, or a local socket of a name that nobody has.
    ///
    /// This is where the protocol sequences part.
    ///
    /// # Errors
    /// `ListenError` names the binding, the cause and what to do.
    pub fn listen(&self, binding: &Binding) -> Result<Listener, ListenError> {
        match (binding.protseq, binding.endpoint.as_str()) {
            (ProtocolSequence::NcacnIpTcp, "" | "0") => self.listen_on_free_port(binding),
            (ProtocolSequence::Ncalrpc, endpoint) => self.bind(binding, socket(endpoint)),
            (_, endpoint) => self.bind(binding, endpoint.to_owned()),
        }
    }

    /// Listens on the first port that is free, from a random one on.
    fn listen_on_free_port(&self, binding: &Binding) -> Result<Listener, ListenError> {
        let Some(range) = &self.ports else {
            return self.bind(binding, "0".to_owned());
        };
        for port in in_turn(range, Uuid::new_v4().as_u128()) {
            match self.bind(binding, port.to_string()) {
                Err(error) if matches!(error.cause, ListenCause::InUse(_)) => {}
                bound => return bound,
            }
        }
        Err(ListenError {
            binding: binding.to_string(),
            cause: ListenCause::NoFreePort(*range.start(), *range.end()),
        })
    }

    /// Listens on a binding with this endpoint.
    fn bind(&self, binding: &Binding, endpoint: String) -> Result<Listener, ListenError> {
        let binding = Binding {
            endpoint,
            ..binding.clone()
        };
        Listener::bind(&binding, self.access)
    }
}

/// Each port of a range once, from one on that `random` chooses; port 0 is none.
fn in_turn(range: &RangeInclusive<u16>, random: u128) -> impl Iterator<Item = u16> + use<> {
    let first = (*range.start()).max(1);
    let count = (u32::from(*range.end()) + 1).saturating_sub(u32::from(first));
    // A remainder of `count` or less, and so a port of the range, fits.
    let start = (random % u128::from(count.max(1))) as u32;
    (0..count).map(move |step| first + ((start + step) % count) as u16)
}

/// The path of a local socket: a name stands in the mapper's folder, and no name
/// is one that nobody has.
///
/// # Source
/// Windows names such endpoints `LRPC-` and 16 hexadecimal digits.
fn socket(endpoint: &str) -> String {
    match endpoint {
        "" => {
            let (high, low) = Uuid::new_v4().as_u64_pair();
            unix::in_folder(&format!("LRPC-{:016x}", high ^ low))
        }
        endpoint => unix::in_folder(endpoint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(places: &Places, binding: &str) -> Result<Listener, ListenError> {
        places.listen(&binding.parse().unwrap())
    }

    fn port(listener: &Listener) -> u16 {
        listener.binding().endpoint.parse().unwrap()
    }

    #[test]
    fn each_port_of_a_range_comes_once_from_any_start() {
        for random in [0, 1, 7, 10, u128::MAX] {
            let mut ports: Vec<_> = in_turn(&(65_526..=65_535), random).collect();
            let first = 65_526 + (random % 10) as u16;
            assert_eq!(ports[0], first);
            ports.sort_unstable();
            assert_eq!(ports, Vec::from_iter(65_526..=65_535));
        }
        assert_eq!(in_turn(&(0..=u16::MAX), 3).count(), 65_535);
        assert_eq!(in_turn(&(0..=0), 3).count(), 0);
        let (first, last) = (9, 8);
        assert_eq!(in_turn(&(first..=last), 3).count(), 0);
    }

    #[test]
    fn a_taken_port_is_passed_over_until_none_is_free() {
        let taken = listen(&Places::default(), "ncacn_ip_tcp:127.0.32.1[]").unwrap();
        let first = port(&taken).min(u16::MAX - 1);
        let places = Places {
            ports: Some(first..=first + 1),
            ..Places::default()
        };
        let mut ports = vec![port(&taken)];
        for _ in 0..2 {
            match listen(&places, "ncacn_ip_tcp:127.0.32.1[]") {
                Ok(listener) => {
                    ports.push(port(&listener));
                    std::mem::forget(listener);
                }
                Err(error) => assert!(
                    matches!(error.cause, ListenCause::NoFreePort(from, to) if (from, to) == (first, first + 1)),
                    "{error}"
                ),
            }
        }
        ports.sort_unstable();
        assert_eq!(ports, [first, first + 1]);
    }

    #[test]
    fn an_endpoint_that_is_said_is_kept() {
        let chosen = listen(&Places::default(), "ncacn_ip_tcp:127.0.32.2[]").unwrap();
        let text = format!("ncacn_ip_tcp:127.0.32.2[{}]", port(&chosen));
        drop(chosen);
        let places = Places {
            ports: Some(1..=1),
            ..Places::default()
        };
        assert_eq!(listen(&places, &text).unwrap().binding().to_string(), text);
    }

    #[test]
    fn a_local_socket_is_a_path_a_name_in_the_mappers_folder_or_one_of_its_own() {
        assert_eq!(socket("/tmp/echo"), "/tmp/echo");
        assert_eq!(socket("echo"), "/run/epmapper/echo");
        let own = socket("");
        let digits = own.strip_prefix("/run/epmapper/LRPC-").unwrap();
        assert_eq!(digits.len(), 16);
        assert!(digits.chars().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(own, socket(""));
    }

    #[test]
    fn a_protocol_sequence_that_is_not_spoken_is_told() {
        for binding in [
            "ncadg_ip_udp:[]",
            "ncacn_np:[\\pipe\\echo]",
            "ncacn_http:[]",
        ] {
            let error = listen(&Places::default(), binding).unwrap_err();
            assert!(matches!(error.cause, ListenCause::ProtocolSequence(_)));
        }
    }
}
