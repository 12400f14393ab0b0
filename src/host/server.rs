//! A server that runs.

use super::builder::Builder;
use crate::client::Registrar;
use crate::client::registrar::State;
use crate::server;
use crate::transport::Listener;
use crate::wire::binding::Binding;
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tracing::{debug, info, warn};

/// A server that runs.
///
/// Dropped, it ends at once, with all calls that run; what the mapper was told
/// is taken back behind it, as long as the runtime goes on.
///
/// ```no_run
/// use epmapper::host::{Interface, Server};
/// use epmapper::wire::SyntaxId;
/// use uuid::uuid;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let id = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
/// let echo = Interface::new(id).operation(1, |_call, stub| Ok(stub.octets.to_vec()));
/// let server = Server::builder()
///     .interface(echo)
///     .listen("ncacn_ip_tcp:[]".parse()?)
///     .annotation("echo")
///     .start()
///     .await?;
/// server.registered().await;
/// println!("serving at {}", server.bindings()[0]);
/// tokio::signal::ctrl_c().await?;
/// server.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    /// Where it listens.
    bindings: Vec<Binding>,
    /// Its connections.
    server: Arc<server::Server>,
    /// Ends it.
    stop: watch::Sender<bool>,
    /// Its listeners.
    accepting: JoinSet<io::Result<()>>,
    /// Logs limits that struck, and what becomes of the registration.
    telling: JoinSet<()>,
    /// Keeps it registered.
    registrar: Option<Registrar>,
    /// How long calls may go on at the end.
    grace: Duration,
    /// Where all this runs.
    runtime: Handle,
}

impl Server {
    /// A server that is yet to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Serves at `listeners`.
    pub(super) fn start(
        server: Arc<server::Server>,
        listeners: Vec<Listener>,
        registrar: Option<Registrar>,
        grace: Duration,
    ) -> Server {
        let bindings = listeners.iter().map(Listener::binding).collect();
        let (stop, stopped) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(server::serve(listener, server.clone(), stopped.clone()));
        }
        let mut telling = JoinSet::new();
        telling.spawn(tell_strikes(server.clone()));
        if let Some(registrar) = &registrar {
            telling.spawn(tell_registration(registrar.state()));
        }
        Server {
            bindings,
            server,
            stop,
            accepting,
            telling,
            registrar,
            grace,
            runtime: Handle::current(),
        }
    }

    /// Where it listens, with the ports that it was given: first the listeners
    /// that were handed in, then what it was told to listen on.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// What became of its registration, and each change of that; `None` for a
    /// server that registers nothing.
    pub fn registration(&self) -> Option<watch::Receiver<State>> {
        self.registrar.as_ref().map(Registrar::state)
    }

    /// Waits until a mapper has been told of all that is offered, however long
    /// that takes: also where there is none, or it refuses, which the log and
    /// [`registration`](Self::registration) tell. A server that registers nothing
    /// is not waited for.
    pub async fn registered(&self) {
        if let Some(registrar) = &self.registrar {
            registrar.registered().await;
        }
    }

    /// Waits until a listener cannot go on, and tells why: the others do go on.
    /// It is rare, and most servers need not wait for it.
    pub async fn failed(&mut self) -> io::Error {
        match self.accepting.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => panic.into(),
            // None ends otherwise before it is told to.
            Some(Ok(Ok(()))) | None => pending().await,
        }
    }

    /// Ends in good order: has the mapper forget it, takes no more calls, and
    /// gives those that run the time of [`grace`](Builder::grace). Tells how many
    /// connections had to be ended with calls running.
    pub async fn stop(mut self) -> usize {
        self.drain().await
    }

    /// The same, but leaves connections open whose calls go on beyond that: they
    /// end with this value.
    pub async fn drain(&mut self) -> usize {
        if let Some(registrar) = self.registrar.take() {
            registrar.stop().await;
        }
        self.server.tell_strikes(Duration::ZERO);
        self.stop.send_replace(true);
        let drained = async {
            // First, since a connection may be accepted up to the last moment.
            while self.accepting.join_next().await.is_some() {}
            self.server.drained().await;
        };
        // What is left is counted.
        let _ = timeout(self.grace, drained).await;
        self.telling.abort_all();
        self.server.tell_strikes(Duration::ZERO);
        self.server.connections()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.server.end();
        if let Some(registrar) = self.registrar.take() {
            self.runtime.spawn(registrar.stop());
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let bindings = self.bindings.iter().map(Binding::to_string);
        f.debug_struct("Server")
            .field("bindings", &Vec::from_iter(bindings))
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// Tells of strikes that came within a minute of a log line.
async fn tell_strikes(server: Arc<server::Server>) {
    let mut minute = interval(server::LOG_INTERVAL);
    loop {
        minute.tick().await;
        server.tell_strikes(server::LOG_INTERVAL);
    }
}

/// Logs what becomes of the registration: a service that nobody finds is silent
/// otherwise.
async fn tell_registration(mut state: watch::Receiver<State>) {
    while state.changed().await.is_ok() {
        let state = state.borrow_and_update().clone();
        match state {
            State::Registered { .. } => info!("{state}"),
            State::Refused { .. } => warn!("not registered: {state}"),
            State::Waiting { .. } => info!("not registered: {state}"),
            State::Trying => debug!("not registered: {state}"),
        }
    }
}
