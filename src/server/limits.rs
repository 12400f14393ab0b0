//! What one peer, or all of them, may take; what happens is counted.

use crate::transport::Caller;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::warn;

/// The limits of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client: an IPv4 address, an IPv6 /64 network, or a
    /// user of this host over local sockets.
    pub connections_per_client: usize,
    /// How long a client may take to bind.
    pub bind_timeout: Duration,
    /// How long a bound client may be silent.
    pub idle_timeout: Duration,
    /// How long a call may take from its first fragment to its last.
    pub call_timeout: Duration,
    /// Calls of one connection that were read and wait for their turn; with
    /// multiplexing as many may run side by side.
    pub calls_in_flight: usize,
    /// Stub octets of one call, and of all calls of a connection that wait;
    /// once those that run side by side had as many, no further one is begun.
    pub call_octets: usize,
    /// Octets of all connections' calls that are incomplete, wait or run, and of
    /// their authentications under way. A call that runs counts by its stub,
    /// whatever its operation keeps of that.
    pub held_octets: usize,
    /// Octets of answers that wait for a client to read them; above it no
    /// further call of that connection is begun, and what those that run add
    /// counts among `held_octets`.
    pub queued_octets: usize,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// Presentation contexts of one connection.
    pub contexts: usize,
    /// Security contexts of one connection.
    pub security_contexts: usize,
    /// Wrong logons of one client that are answered at once.
    pub wrong_logons: usize,
    /// How long one of them takes to be forgiven; until then further logons of
    /// that client wait.
    pub wrong_logon_rest: Duration,
    /// Unfinished lookups of one association group.
    pub lookup_handles: usize,
    /// Context handles of one association group, of services that have such.
    pub context_handles: usize,
    /// How long an unfinished lookup is kept without being asked for more.
    pub lookup_life: Duration,
    /// Entries of the registry.
    pub entries: usize,
    /// Entries that one owner registers.
    pub entries_per_owner: usize,
    /// Entries of one interface that are registered by calls.
    pub entries_per_interface: usize,
    /// Octets of the tower and the annotation of an entry that is registered by
    /// a call.
    pub entry_octets: usize,
    /// Entries that one owner may insert, delete or renew in a second.
    pub changes_per_second: usize,
    /// Refused changes of one caller that are logged one by one in a second.
    pub refusals_per_second: usize,
    /// The shortest time that a lease may last.
    pub shortest_lease: Duration,
    /// The longest time that a lease may last.
    pub longest_lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            connections_per_client: 2_000,
            bind_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30 * 60),
            call_timeout: Duration::from_secs(60),
            calls_in_flight: 64,
            call_octets: 4 << 20,
            held_octets: 256 << 20,
            queued_octets: 1 << 20,
            write_timeout: Duration::from_secs(30),
            contexts: 256,
            security_contexts: 64,
            wrong_logons: 10,
            wrong_logon_rest: Duration::from_secs(1),
            lookup_handles: 32,
            context_handles: 1024,
            lookup_life: Duration::from_secs(10 * 60),
            entries: 1_000_000,
            entries_per_owner: 10_000,
            entries_per_interface: 10_000,
            entry_octets: 4096,
            changes_per_second: 1000,
            refusals_per_second: 10,
            shortest_lease: Duration::from_secs(1),
            longest_lease: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A limit that can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Connections in all: one was closed at once.
    Connections,
    /// Connections of one client: one was closed at once.
    ConnectionsPerClient,
    /// A client did not bind in time and was closed.
    BindTimeout,
    /// A silent client was closed.
    IdleTimeout,
    /// A client did not complete a call in time and was closed.
    CallTimeout,
    /// A client was closed whose calls or legs grew when all held too much.
    HeldOctets,
    /// A client's further calls were left unread for a while.
    CallsInFlight,
    /// A client's calls were held back since it did not read its answers.
    QueuedOctets,
    /// A client that did not read its answers was closed.
    WriteTimeout,
    /// The system refused to accept a connection, for want of descriptors.
    OpenFiles,
    /// A presentation context was rejected.
    Contexts,
    /// A call was refused as too long.
    CallOctets,
    /// An unfinished lookup was ended, since its client began others.
    LookupHandles,
    /// A security context was refused.
    SecurityContexts,
    /// A logon waited, or was refused, since its client had logged on wrongly
    /// too often.
    WrongLogons,
}

impl Limit {
    /// All of them, in the order of their counters.
    pub const ALL: [Limit; 15] = [
        Limit::Connections,
        Limit::ConnectionsPerClient,
        Limit::BindTimeout,
        Limit::IdleTimeout,
        Limit::CallTimeout,
        Limit::HeldOctets,
        Limit::CallsInFlight,
        Limit::QueuedOctets,
        Limit::WriteTimeout,
        Limit::OpenFiles,
        Limit::Contexts,
        Limit::CallOctets,
        Limit::LookupHandles,
        Limit::SecurityContexts,
        Limit::WrongLogons,
    ];

    /// The setting's name in the configuration; `open_files` is the system's
    /// RLIMIT_NOFILE.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::ConnectionsPerClient => "connections_per_client",
            Limit::BindTimeout => "bind_timeout",
            Limit::IdleTimeout => "idle_timeout",
            Limit::CallTimeout => "call_timeout",
            Limit::HeldOctets => "held_octets",
            Limit::CallsInFlight => "calls_in_flight",
            Limit::QueuedOctets => "queued_octets",
            Limit::WriteTimeout => "write_timeout",
            Limit::OpenFiles => "open_files",
            Limit::Contexts => "contexts",
            Limit::CallOctets => "call_octets",
            Limit::LookupHandles => "lookup_handles",
            Limit::SecurityContexts => "security_contexts",
            Limit::WrongLogons => "wrong_logons",
        }
    }
}

/// How often each limit struck, and when that was last logged.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    /// One for each limit, in the order of `Limit::ALL`.
    counters: [Counter; Limit::ALL.len()],
}

/// How often one limit struck.
#[derive(Debug, Default)]
struct Counter {
    /// Strikes since the start.
    count: AtomicU64,
    /// When strikes were last logged, and how many there were.
    logged: Mutex<Option<(Instant, u64)>>,
}

/// A limit is logged once in this time at most.
pub const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Strikes {
    /// Counts a strike, and logs it unless that limit was logged lately.
    pub(crate) fn strike(&self, limit: Limit) {
        self.add(limit, 1);
    }

    /// Counts any number of strikes at once.
    pub(crate) fn add(&self, limit: Limit, strikes: u64) {
        if strikes == 0 {
            return;
        }
        self.counters[limit as usize]
            .count
            .fetch_add(strikes, Ordering::Relaxed);
        self.tell(limit, LOG_INTERVAL);
    }

    /// Logs what was counted and not told yet, for limits that were not logged
    /// within `interval`.
    pub(crate) fn tell_rest(&self, interval: Duration) {
        Limit::ALL
            .into_iter()
            .for_each(|limit| self.tell(limit, interval));
    }

    /// How often `limit` struck.
    pub(crate) fn count(&self, limit: Limit) -> u64 {
        self.counters[limit as usize].count.load(Ordering::Relaxed)
    }

    /// Logs the strikes of a limit, if some are untold and it is time.
    fn tell(&self, limit: Limit, interval: Duration) {
        let counter = &self.counters[limit as usize];
        let total = self.count(limit);
        if let Some(strikes) = counter.due(Instant::now(), total, interval) {
            warn!(limit = limit.name(), strikes, total, "limit struck");
        }
    }
}

impl Counter {
    /// Strikes since the last log line, when there are some and one is due.
    fn due(&self, now: Instant, count: u64, interval: Duration) -> Option<u64> {
        let mut logged = super::lock(&self.logged);
        let told = match *logged {
            Some((at, _)) if now.saturating_duration_since(at) < interval => return None,
            Some((_, told)) => told,
            None => 0,
        };
        let untold = count.saturating_sub(told);
        if untold > 0 {
            *logged = Some((now, count));
        }
        (untold > 0).then_some(untold)
    }
}

/// Connections that root has over local sockets beyond those of all: whoever
/// takes all of those must not keep root's services from registering.
const ROOTS: usize = 32;

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Connections of all clients.
    total: usize,
    /// Connections of each client.
    each: HashMap<Client, Arc<AtomicUsize>>,
}

impl Clients {
    /// Connections of all clients.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Counts a connection in, or tells which limit is against it; returns how
    /// many the client has, as that changes.
    pub(crate) fn admit(
        &mut self,
        client: Client,
        limits: &Limits,
    ) -> Result<Arc<AtomicUsize>, Limit> {
        let own_places = match client {
            Client::User(0) => ROOTS,
            _ => 0,
        };
        if self.total >= limits.connections.saturating_add(own_places) {
            return Err(Limit::Connections);
        }
        let own = self.each.entry(client).or_default();
        if own.load(Ordering::Relaxed) >= limits.connections_per_client {
            return Err(Limit::ConnectionsPerClient);
        }
        own.fetch_add(1, Ordering::Relaxed);
        self.total += 1;
        Ok(own.clone())
    }

    /// Counts an admitted connection out.
    pub(crate) fn leave(&mut self, client: Client) {
        self.total -= 1;
        let own = self.each.get(&client);
        if own.is_none_or(|own| own.fetch_sub(1, Ordering::Relaxed) <= 1) {
            self.each.remove(&client);
        }
    }
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// A host at an IPv4 address, or an IPv6 /64 network, of which a host has a
    /// whole one.
    Network(IpAddr),
    /// A user of this host.
    User(u32),
}

impl Client {
    /// Whom a caller counts as.
    pub(crate) fn of(caller: Caller) -> Client {
        match caller {
            Caller::Network(peer) => Client::at(peer.ip()),
            Caller::Local(credentials) => Client::User(credentials.uid),
        }
    }

    /// Whom an address stands for.
    fn at(address: IpAddr) -> Client {
        Client::Network(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_in_all_and_for_each_client() {
        let limits = Limits {
            connections: 3,
            connections_per_client: 2,
            ..Limits::default()
        };
        let one = Client::at([127, 0, 0, 1].into());
        let two = Client::User(1);
        let mut clients = Clients::default();
        let mut admit = |client| {
            let own = clients.admit(client, &limits);
            own.map(|own| own.load(Ordering::Relaxed))
        };
        assert_eq!(admit(one), Ok(1));
        assert_eq!(admit(one), Ok(2));
        assert_eq!(admit(one), Err(Limit::ConnectionsPerClient));
        assert_eq!(admit(two), Ok(1));
        assert_eq!(admit(two), Err(Limit::Connections));
        clients.leave(one);
        let own = clients.admit(two, &limits).unwrap();
        assert_eq!(own.load(Ordering::Relaxed), 2);
        clients.leave(two);
        assert_eq!(own.load(Ordering::Relaxed), 1);
        clients.leave(two);
        clients.leave(one);
        assert!(clients.each.is_empty());
    }

    #[test]
    fn root_is_let_in_where_others_have_all_connections() {
        let limits = Limits {
            connections: 2,
            ..Limits::default()
        };
        let mut clients = Clients::default();
        for uid in [1, 2] {
            assert!(clients.admit(Client::User(uid), &limits).is_ok());
        }
        assert!(clients.admit(Client::User(3), &limits).is_err());
        for _ in 0..ROOTS {
            assert!(clients.admit(Client::User(0), &limits).is_ok());
        }
        let refused = clients.admit(Client::User(0), &limits).map(drop);
        assert_eq!(refused, Err(Limit::Connections));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let [one, two, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        assert_eq!(Client::at(one), Client::at(two));
        assert_ne!(Client::at(one), Client::at(other));
    }

    #[test]
    fn a_limit_is_logged_once_a_minute_and_nothing_is_left_untold() {
        let counter = Counter::default();
        let start = Instant::now();
        let due = |seconds, count, interval| {
            counter.due(start + Duration::from_secs(seconds), count, interval)
        };
        assert_eq!(due(0, 0, LOG_INTERVAL), None);
        assert_eq!(due(0, 1, LOG_INTERVAL), Some(1));
        assert_eq!(due(59, 5, LOG_INTERVAL), None);
        assert_eq!(due(60, 9, LOG_INTERVAL), Some(8));
        assert_eq!(due(200, 9, LOG_INTERVAL), None);
        assert_eq!(due(61, 12, Duration::ZERO), Some(3));
    }

    #[test]
    fn every_limit_has_its_own_counter() {
        let strikes = Strikes::default();
        for (times, limit) in Limit::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| strikes.strike(limit));
        }
        for (times, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(strikes.count(limit), times as u64, "{}", limit.name());
        }
    }
}
