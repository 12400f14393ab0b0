//! Which addresses are this host's.

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// How long an address that is unknown is taken for another host's: whoever
/// asks for foreign addresses has the interfaces read at most this often.
const UNKNOWN: Duration = Duration::from_secs(1);

/// How long an address that was seen is taken for this host's.
const KNOWN: Duration = Duration::from_secs(60);

/// The IPv4 addresses of this host, read when they are asked for.
///
/// No tower can carry an IPv6 address.
#[derive(Debug, Default)]
pub struct Addresses {
    /// What was read last, and when.
    read: Mutex<Option<Read>>,
}

/// What one reading has found.
#[derive(Debug)]
struct Read {
    /// When it was.
    at: Instant,
    /// The addresses of all interfaces.
    addresses: BTreeSet<Ipv4Addr>,
}

impl Read {
    /// Whether it still tells about `address`.
    fn tells(&self, now: Instant, address: Ipv4Addr) -> bool {
        let lasts = match self.addresses.contains(&address) {
            true => KNOWN,
            false => UNKNOWN,
        };
        now.saturating_duration_since(self.at) < lasts
    }
}

impl Addresses {
    /// Nothing is read yet.
    pub fn new() -> Addresses {
        Addresses::default()
    }

    /// Whether `address` is this host's: the loopback network and 0.0.0.0
    /// always, others when an interface has them.
    pub fn is_here(&self, address: Ipv4Addr) -> bool {
        self.is_here_at(Instant::now(), address, of_interfaces)
    }

    /// All addresses that interfaces have.
    pub fn all(&self) -> BTreeSet<Ipv4Addr> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_recent = |read: &Read| now.saturating_duration_since(read.at) < UNKNOWN;
        if !read.as_ref().is_some_and(is_recent) {
            read_again(&mut read, now, of_interfaces);
        }
        let read = read.as_ref().map(|read| read.addresses.clone());
        read.unwrap_or_default()
    }

    /// The same at `now`, by what `interfaces` reads.
    fn is_here_at(
        &self,
        now: Instant,
        address: Ipv4Addr,
        interfaces: impl FnOnce() -> Option<BTreeSet<Ipv4Addr>>,
    ) -> bool {
        if address.is_loopback() || address.is_unspecified() {
            return true;
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if !read.as_ref().is_some_and(|read| read.tells(now, address)) {
            read_again(&mut read, now, interfaces);
        }
        let read = read.as_ref();
        read.is_some_and(|read| read.addresses.contains(&address))
    }

    /// These, for tests.
    #[cfg(test)]
    pub fn fixed(addresses: &[Ipv4Addr]) -> Addresses {
        let fixed = Addresses::new();
        let addresses = addresses.iter().copied().collect();
        // Nothing is older than what was read in the future.
        let at = Instant::now() + KNOWN;
        *fixed.read.lock().unwrap() = Some(Read { at, addresses });
        fixed
    }
}

/// Reads what `interfaces` tells; where it does not, what was known stays.
fn read_again(
    read: &mut Option<Read>,
    now: Instant,
    interfaces: impl FnOnce() -> Option<BTreeSet<Ipv4Addr>>,
) {
    let before = read.take().map(|read| read.addresses);
    let addresses = interfaces().or(before).unwrap_or_default();
    *read = Some(Read { at: now, addresses });
}

/// The addresses of all interfaces; `None` when the system does not tell.
fn of_interfaces() -> Option<BTreeSet<Ipv4Addr>> {
    let failed = |error| warn!(%error, "cannot read this host's addresses: those known stay");
    let interfaces = getifaddrs().map_err(failed).ok()?;
    let ipv4 = |interface: InterfaceAddress| Some(interface.address?.as_sockaddr_in()?.ip());
    Some(interfaces.filter_map(ipv4).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const TWO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    #[test]
    fn the_loopback_network_and_no_address_are_always_this_hosts() {
        let addresses = Addresses::new();
        let unread = || panic!("there is nothing to read");
        for address in [[127, 0, 0, 1], [127, 255, 1, 2], [0; 4]] {
            assert!(addresses.is_here_at(Instant::now(), address.into(), unread));
        }
    }

    #[test]
    fn interfaces_are_read_at_most_once_a_second_for_an_unknown_address() {
        let start = Instant::now();
        let addresses = Addresses::new();
        let reads = Cell::new(0);
        let asked = |millis, address, found: &[Ipv4Addr]| {
            let now = start + Duration::from_millis(millis);
            addresses.is_here_at(now, address, || {
                reads.set(reads.get() + 1);
                (!found.is_empty()).then(|| found.iter().copied().collect())
            })
        };
        assert!(asked(0, ONE, &[ONE]));
        assert!(!asked(999, TWO, &[ONE, TWO]));
        assert_eq!(reads.get(), 1);
        assert!(asked(1000, TWO, &[ONE, TWO]));
        assert!(asked(60_999, ONE, &[TWO]));
        assert_eq!(reads.get(), 2);
        assert!(!asked(61_000, ONE, &[TWO]));
        assert_eq!(reads.get(), 3);
        // A reading that fails changes nothing.
        assert!(!asked(62_000, ONE, &[]));
        assert!(asked(62_000, TWO, &[]));
        assert_eq!(reads.get(), 4);
    }

    #[test]
    fn the_system_tells_its_own_addresses_and_no_others() {
        assert!(Addresses::new().all().contains(&Ipv4Addr::LOCALHOST));
        assert!(of_interfaces().unwrap().contains(&Ipv4Addr::LOCALHOST));
        assert!(!Addresses::new().is_here(ONE));
    }
}
