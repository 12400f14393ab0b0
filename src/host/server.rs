//! A server: interfaces, bindings, and the mapper that is told of them.

use super::interface::Interface;
use super::management::Management;
use super::managers::Managers;
use crate::proto::SecurityProvider;
use crate::server::{self, Limits, Statistics};
use crate::service;
use crate::transport::{ListenError, Listener, unix};
use crate::wire::binding::Binding;
use crate::wire::tower::ProtocolSequence;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A binding cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system, while it hands a socket to the runtime.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A server that is yet to start.
#[derive(Default)]
pub struct Builder {
    /// What is offered, each with its objects.
    offers: Vec<(Vec<Uuid>, Interface)>,
    /// Where.
    bindings: Vec<Binding>,
    /// Who authenticates clients.
    providers: Vec<Arc<dyn SecurityProvider>>,
    /// What clients may take.
    limits: Limits,
}

impl Builder {
    /// Offers an interface, whatever object a call is about.
    pub fn interface(self, interface: Interface) -> Builder {
        self.interface_for([], interface)
    }

    /// Offers an interface for calls about these objects.
    pub fn interface_for(
        mut self,
        objects: impl IntoIterator<Item = Uuid>,
        interface: Interface,
    ) -> Builder {
        self.offers.push((objects.into_iter().collect(), interface));
        self
    }

    /// Listens there: without an endpoint on a port of the system's choice.
    pub fn listen(mut self, binding: Binding) -> Builder {
        self.bindings.push(binding);
        self
    }

    /// Has clients authenticated.
    pub fn authenticate(mut self, provider: Arc<dyn SecurityProvider>) -> Builder {
        self.providers.push(provider);
        self
    }

    /// Gives clients no more than this.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// Listens and serves, on the runtime that this is called in.
    ///
    /// # Errors
    /// `Listen` names the binding that cannot be listened on.
    pub async fn start(self) -> Result<Server, StartError> {
        let listeners: Result<Vec<_>, _> = self.bindings.iter().map(listener).collect();
        let listeners = listeners?;
        let bindings = listeners.iter().map(Listener::binding).collect();
        let statistics = Arc::<Statistics>::default();
        let management = Management {
            interfaces: self.offers.iter().map(|(_, offer)| offer.id()).collect(),
            statistics: statistics.clone(),
        };
        let managers = Managers::gather(self.offers).into_iter();
        let mut interfaces: Vec<Arc<dyn service::Interface>> = Vec::new();
        interfaces.extend(managers.map(|each| Arc::new(each) as Arc<dyn service::Interface>));
        interfaces.push(Arc::new(management));
        let server =
            server::Server::new(interfaces, vec![], self.providers, self.limits, statistics);
        let (stop, stopped) = watch::channel(false);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(server::serve(listener, server.clone(), stopped.clone()));
        }
        Ok(Server {
            bindings,
            server,
            stop,
            accepting,
        })
    }
}

/// The listener of a binding.
fn listener(binding: &Binding) -> Result<Listener, ListenError> {
    let mut binding = binding.clone();
    if binding.protseq == ProtocolSequence::NcacnIpTcp && binding.endpoint.is_empty() {
        binding.endpoint = "0".to_owned();
    }
    Listener::bind(&binding, unix::Access::default())
}

/// A server that runs; dropped, it ends at once.
pub struct Server {
    /// Where it listens.
    bindings: Vec<Binding>,
    /// Its connections.
    server: Arc<server::Server>,
    /// Ends it.
    stop: watch::Sender<bool>,
    /// Its listeners.
    accepting: JoinSet<io::Result<()>>,
}

impl Server {
    /// A server that is yet to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens, with the ports that it was given.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Takes no more calls, and returns when those that run are answered.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.accepting.join_all().await;
        self.server.drained().await;
    }
}
