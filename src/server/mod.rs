//! Drives `proto` and `service` over a transport.
//!
//! A [`Server`] has interfaces and limits and any number of ways in; each
//! connection is an association whose calls go to the interfaces. [`Mapper`]
//! holds the registry and gives the interfaces of the endpoint mapper. All
//! locks of the package live here; none is held across an await.

pub mod limits;
mod logon;
mod logons;
pub mod mapper;
mod running;
pub mod stream;

pub use limits::{LOG_INTERVAL, Limit, Limits};
pub use mapper::{AUDIT_TARGET, Mapper, MapperSettings};
pub use stream::serve;

use crate::proto::{Groups, Security, SecurityProvider, Served};
use crate::registry::{HandleLimits, Handles, Rates};
use crate::service::{Contexts, Interface};
use limits::{Client, Clients, Strikes};
use logons::Logons;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// Interfaces and limits that all ways in share.
pub struct Server {
    /// What is served; calls name it by index. What is for local callers only
    /// comes last, so that an index means the same for all.
    interfaces: Vec<Arc<dyn Interface>>,
    /// What callers from the network are offered.
    served: Arc<[Served]>,
    /// What callers over local sockets are offered: all.
    served_locally: Arc<[Served]>,
    /// Who authenticates clients.
    providers: Arc<[Arc<dyn SecurityProvider>]>,
    /// What clients may take.
    limits: Limits,
    /// How often they wanted more.
    strikes: Strikes,
    /// What was received and sent.
    statistics: Arc<Statistics>,
    /// The association groups.
    groups: Mutex<Groups<Arc<Group>>>,
    /// Who is connected.
    clients: Mutex<Clients>,
    /// Wrong logons.
    logons: Mutex<Logons>,
    /// Packets whose verifier did not fit, counted as wrong logons are: further
    /// ones are not logged.
    abuses: Mutex<Logons>,
    /// How many refusals of both are logged.
    told: Mutex<Rates<()>>,
    /// Taken by legs that may wait for files or other hosts.
    blocking_legs: Semaphore,
    /// Octets of calls that are incomplete, wait or run, on all connections.
    held: AtomicUsize,
    /// Told when the last connection is gone.
    emptied: Notify,
    /// What serves the connections; `None` once all were ended.
    tasks: Mutex<Option<JoinSet<()>>>,
}

/// What the connections of one association group share.
struct Group {
    /// The client that made it; nobody else may join, since ids can be guessed.
    client: Client,
    /// Its unfinished lookups.
    handles: Mutex<Handles>,
    /// Its context handles, once a service has asked for them.
    contexts: OnceLock<Arc<Contexts>>,
}

/// Counts since the start, as mgmt tells them; they wrap.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Calls received.
    calls_in: AtomicU32,
    /// PDUs received.
    packets_in: AtomicU32,
    /// PDUs sent.
    packets_out: AtomicU32,
    /// Logons that came to their end.
    logons: AtomicU64,
    /// Logons that were refused.
    wrong_logons: AtomicU64,
    /// Packets whose verifier did not fit.
    refused_packets: AtomicU64,
    /// Refusals of both that were not logged, since there were too many.
    untold: AtomicU64,
}

impl Statistics {
    /// Calls received, calls made, PDUs received, PDUs sent.
    pub fn read(&self) -> [u32; 4] {
        let read = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        [
            read(&self.calls_in),
            0,
            read(&self.packets_in),
            read(&self.packets_out),
        ]
    }
}

impl Statistics {
    /// Logons that came to their end, and those that were refused.
    pub fn logons(&self) -> [u64; 2] {
        [&self.logons, &self.wrong_logons].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Refusals of logons and packets that were not logged.
    pub fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    /// Packets of clients that had logged on whose verifier did not fit.
    pub fn refused_packets(&self) -> u64 {
        self.refused_packets.load(Ordering::Relaxed)
    }
}

/// Refused logons and packets of all clients that are logged in a second.
const TOLD_PER_SECOND: usize = 100;

/// Legs that may wait for files or other hosts, at once.
const BLOCKING_LEGS: usize = 8;

impl Server {
    /// A server of `interfaces`, and for callers over local sockets of
    /// `local_interfaces` as well, which counts its traffic in `statistics`;
    /// `providers` authenticate clients, each of another type.
    pub fn new(
        interfaces: Vec<Arc<dyn Interface>>,
        local_interfaces: Vec<Arc<dyn Interface>>,
        providers: Vec<Arc<dyn SecurityProvider>>,
        limits: Limits,
        statistics: Arc<Statistics>,
    ) -> Arc<Self> {
        let served = interfaces.iter().map(served).collect();
        let interfaces = [interfaces, local_interfaces].concat();
        Arc::new(Server {
            served_locally: interfaces.iter().map(self::served).collect(),
            interfaces,
            served,
            logons: Mutex::new(Logons::new(limits.wrong_logons, limits.wrong_logon_rest)),
            told: Mutex::new(Rates::new(TOLD_PER_SECOND, 1)),
            abuses: Mutex::new(Logons::new(limits.wrong_logons, limits.wrong_logon_rest)),
            blocking_legs: Semaphore::new(BLOCKING_LEGS),
            providers: providers.into(),
            limits,
            strikes: Strikes::default(),
            statistics,
            groups: Mutex::new(Groups::new(0)),
            clients: Mutex::new(Clients::default()),
            held: AtomicUsize::new(0),
            emptied: Notify::new(),
            tasks: Mutex::new(Some(JoinSet::new())),
        })
    }

    /// What connections may authenticate.
    fn security(&self) -> Security {
        Security {
            auth_types: self.providers.iter().map(|p| p.auth_type()).collect(),
            max_contexts: self.limits.security_contexts,
        }
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        lock(&self.clients).total()
    }

    /// Logs strikes that were counted and not told, of limits that were not
    /// logged within `interval`.
    pub fn tell_strikes(&self, interval: Duration) {
        self.strikes.tell_rest(interval);
    }

    /// Returns when no connection is left.
    pub async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Ends all connections at once, whatever calls run on them, and those that
    /// are still accepted. Without this they go on until `stop` of [`serve`].
    pub fn end(&self) {
        drop(lock(&self.tasks).take());
    }

    /// Serves a connection beside the others.
    fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        let Some(tasks) = tasks.as_mut() else {
            return;
        };
        // What has ended since is forgotten, so that no more is kept than there
        // were at once.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(connection);
    }

    /// Takes a connection of `client` in, or counts which limit refused it.
    fn admit(self: &Arc<Self>, client: Client) -> Option<Admission> {
        match lock(&self.clients).admit(client, &self.limits) {
            Ok(own) => Some(Admission {
                server: self.clone(),
                client,
                own,
            }),
            Err(limit) => {
                self.strikes.strike(limit);
                None
            }
        }
    }

    /// Changes what one connection holds from `before` to `now` octets; tells
    /// whether all together hold more than they may.
    fn hold(&self, before: usize, now: usize) -> bool {
        let change = now.wrapping_sub(before);
        let held = self.held.fetch_add(change, Ordering::Relaxed);
        held.wrapping_add(change) > self.limits.held_octets
    }

    /// The group that a bind of `client` asks for, made when it asks for a new
    /// one.
    fn join(&self, id: u32, client: Client) -> Option<(u32, Arc<Group>)> {
        let mut groups = lock(&self.groups);
        if id != 0 {
            let group = groups.join(id, |group| group.client == client)?;
            return Some((id, group));
        }
        let handles = Handles::new(HandleLimits {
            open: self.limits.lookup_handles,
            idle: self.limits.lookup_life,
        });
        let group = Arc::new(Group {
            client,
            handles: Mutex::new(handles),
            contexts: OnceLock::new(),
        });
        Some((groups.create(group.clone()), group))
    }

    /// Takes a connection out of a group.
    fn leave(&self, id: u32) {
        lock(&self.groups).leave(id);
    }
}

/// An interface as associations need it.
fn served(interface: &Arc<dyn Interface>) -> Served {
    let syntaxes = interface.transfer_syntaxes().iter();
    Served {
        interface: interface.id(),
        transfer_syntaxes: syntaxes.map(|syntax| syntax.id()).collect(),
    }
}

/// A connection's place among the limits; given back when dropped.
struct Admission {
    /// Where the place is.
    server: Arc<Server>,
    /// Whose it is.
    client: Client,
    /// How many places the client has.
    own: Arc<AtomicUsize>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut clients = lock(&self.server.clients);
        clients.leave(self.client);
        if clients.total() == 0 {
            self.server.emptied.notify_waiters();
        }
    }
}

/// Locks; data behind a lock stays usable when a thread panicked with it, since
/// every change to it is a single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
