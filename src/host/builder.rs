//! What a server is made of, and how it starts.

use super::interface::Interface;
use super::listen::Places;
use super::management::Management;
use super::managers::Managers;
use super::server::Server;
use super::towers::{self, Offer};
use crate::client::{Registrar, RegistrarSettings, local_mapper};
use crate::proto::SecurityProvider;
use crate::server::{self, Limits, Statistics};
use crate::service;
use crate::transport::{ListenError, Listener, unix};
use crate::wire::SyntaxId;
use crate::wire::binding::{Binding, BindingError};
use crate::wire::ept::{MAX_ANNOTATION, is_annotation};
use crate::wire::tower::ProtocolSequence;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A binding cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is nothing to serve.
    #[error("no interface is offered; give the builder one with `interface`")]
    NoInterface,
    /// There is nowhere to serve it.
    #[error(
        "there is no binding to listen on; give the builder one with `listen`: ncacn_ip_tcp:[] takes a free port"
    )]
    NoBinding,
    /// Two of an interface are for the same calls.
    #[error(
        "interface {interface} is offered twice; offer it once, or each for objects of its own"
    )]
    Twice {
        /// The interface.
        interface: SyntaxId,
    },
    /// Two of an interface are for the same object.
    #[error("interface {interface} is offered twice for object {object}; offer it once")]
    TwiceFor {
        /// The interface.
        interface: SyntaxId,
        /// The object.
        object: Uuid,
    },
    /// The nil UUID as an object.
    #[error(
        "interface {interface} is offered for the nil object, which is none; offer it without objects"
    )]
    NilObject {
        /// The interface.
        interface: SyntaxId,
    },
    /// Managers of one interface that take other stubs: a bind knows no object.
    #[error(
        "interface {interface} is offered with different transfer syntaxes; give all of it the same"
    )]
    TransferSyntaxes {
        /// The interface.
        interface: SyntaxId,
    },
    /// An interface that no stub can reach.
    #[error("interface {interface} takes no transfer syntax; give it at least NDR")]
    NoTransferSyntax {
        /// The interface.
        interface: SyntaxId,
    },
    /// The annotation is not one that a mapper takes.
    #[error("an annotation has at most {MAX_ANNOTATION} octets and no NUL; this has {0}, or one")]
    Annotation(usize),
    /// A listener that a mapper cannot tell of.
    #[error("cannot register: {0}")]
    Tower(#[from] BindingError),
}

/// How long calls may go on when a server is to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A server that is yet to start.
pub struct Builder {
    /// What is offered, each with its objects.
    offers: Vec<(Vec<Uuid>, Interface)>,
    /// What is offered besides, whatever object a call is about.
    others: Vec<Arc<dyn service::Interface>>,
    /// What is offered over local sockets alone.
    local: Vec<Arc<dyn service::Interface>>,
    /// Sockets that listen already.
    listeners: Vec<Listener>,
    /// Where to listen besides.
    bindings: Vec<Binding>,
    /// How to.
    places: Places,
    /// Who authenticates clients.
    providers: Vec<Arc<dyn SecurityProvider>>,
    /// What clients may take.
    limits: Limits,
    /// Where the traffic is counted.
    statistics: Arc<Statistics>,
    /// The mapper that is told.
    mapper: Told,
    /// What it is told of the server.
    annotation: String,
    /// How long calls may go on at the end.
    grace: Duration,
}

/// Who is told of a server.
enum Told {
    /// The mapper of this host.
    Own,
    /// Whom the settings say.
    Given(RegistrarSettings),
    /// Nobody.
    None,
}

impl Told {
    /// How a server of these listeners registers, if it does.
    fn settings(self, listeners: &[Listener]) -> Option<RegistrarSettings> {
        match self {
            Told::Own => Some(RegistrarSettings {
                mappers: own_mappers(listeners),
                ..RegistrarSettings::default()
            }),
            Told::Given(settings) => Some(settings),
            Told::None => None,
        }
    }
}

/// Where the mapper of this host is: at its local socket, or else by TCP at the
/// addresses that the server itself listens on, where a client asks for it; at
/// the loopback, where that is any address or none.
fn own_mappers(listeners: &[Listener]) -> Vec<Binding> {
    let mut mappers = vec![local_mapper()];
    let addresses = listeners.iter().filter_map(|listener| match listener {
        Listener::Tcp(listener) => Some(listener.address().ip()),
        Listener::Unix(_) => None,
    });
    let own = addresses.filter(|address| !address.is_unspecified());
    for address in own.chain([Ipv4Addr::LOCALHOST.into()]) {
        let mapper = Binding {
            address: address.to_string(),
            ..Binding::new(ProtocolSequence::NcacnIpTcp)
        };
        if !mappers.contains(&mapper) {
            mappers.push(mapper);
        }
    }
    mappers
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            offers: Vec::new(),
            others: Vec::new(),
            local: Vec::new(),
            listeners: Vec::new(),
            bindings: Vec::new(),
            places: Places::default(),
            providers: Vec::new(),
            limits: Limits::default(),
            statistics: Arc::default(),
            mapper: Told::Own,
            annotation: String::new(),
            grace: GRACE,
        }
    }
}

impl Builder {
    /// Offers an interface, whatever object a call is about.
    ///
    /// Where it is offered for some objects as well, it has the calls about all
    /// others. Versions of an interface are offered side by side: a client gets
    /// the major version that it asks for, and the lowest minor version that is
    /// not below.
    pub fn interface(self, interface: Interface) -> Builder {
        self.interface_for([], interface)
    }

    /// Offers an interface for calls about these objects. Calls about others get
    /// the fault `UNSUPPORTED_TYPE`, unless it is offered for all as well.
    pub fn interface_for(
        mut self,
        objects: impl IntoIterator<Item = Uuid>,
        interface: Interface,
    ) -> Builder {
        self.offers.push((objects.into_iter().collect(), interface));
        self
    }

    /// Offers an interface that was made in another way than as a value.
    pub fn offer(mut self, interface: Arc<dyn service::Interface>) -> Builder {
        self.others.push(interface);
        self
    }

    /// The same to callers over local sockets alone. It is not registered.
    pub fn offer_locally(mut self, interface: Arc<dyn service::Interface>) -> Builder {
        self.local.push(interface);
        self
    }

    /// Listens there.
    ///
    /// `ncacn_ip_tcp:[]` takes a port that is free, and keeps it for the life of
    /// the server; `ncacn_ip_tcp:ADDRESS[PORT]` says what is to be taken.
    /// `ncalrpc:[/PATH]` is a local socket, `ncalrpc:[NAME]` one in
    /// `/run/epmapper`, and `ncalrpc:[]` one there with a name of its own.
    pub fn listen(mut self, binding: Binding) -> Builder {
        self.bindings.push(binding);
        self
    }

    /// Serves at a socket that listens already: one that was made before rights
    /// were given up, for example.
    pub fn listener(mut self, listener: Listener) -> Builder {
        self.listeners.push(listener);
        self
    }

    /// Takes free ports from this range alone, from a random one on; Windows
    /// does from 49152 to 65535.
    pub fn ports(mut self, ports: RangeInclusive<u16>) -> Builder {
        self.places.ports = Some(ports);
        self
    }

    /// Lets those connect to the local sockets of `listen` whom this says:
    /// everybody, where nothing is said.
    pub fn local_access(mut self, access: unix::Access) -> Builder {
        self.places.access = access;
        self
    }

    /// Has clients authenticated; each provider is of another type. Who calls is
    /// in [`Call::authentication`](super::Call::authentication), and
    /// [`Interface::require`] turns others away. The page of `security` has an
    /// example.
    pub fn authenticate(mut self, provider: Arc<dyn SecurityProvider>) -> Builder {
        self.providers.push(provider);
        self
    }

    /// Gives clients no more than this.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// Counts the traffic there.
    pub fn statistics(mut self, statistics: Arc<Statistics>) -> Builder {
        self.statistics = statistics;
        self
    }

    /// Registers in this way; where nothing is said, at the mapper of this host:
    /// at its local socket, or else by TCP at port 135 of the addresses that are
    /// listened on, and of the loopback.
    pub fn mapper(mut self, settings: RegistrarSettings) -> Builder {
        self.mapper = Told::Given(settings);
        self
    }

    /// Registers nowhere: clients have to know the endpoint.
    pub fn unregistered(mut self) -> Builder {
        self.mapper = Told::None;
        self
    }

    /// What people read of the server in a mapper's list.
    pub fn annotation(mut self, text: impl Into<String>) -> Builder {
        self.annotation = text.into();
        self
    }

    /// How long calls may go on when the server is to stop; 5 s, where nothing
    /// is said.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = grace;
        self
    }

    /// Listens, serves and registers, on the runtime that this is called in.
    ///
    /// A mapper that is not there is no error: it is waited for, and the server
    /// serves meanwhile.
    ///
    /// # Errors
    /// `Listen` names the binding that cannot be listened on; the others tell
    /// what does not fit together.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(mut self) -> Result<Server, StartError> {
        if !is_annotation(&self.annotation) {
            return Err(StartError::Annotation(self.annotation.len()));
        }
        let offers = self.gather()?;
        let listeners = self.open()?;
        let settings = self.mapper.settings(&listeners);
        let entries = match &settings {
            Some(_) => towers::entries(&offers, &listeners, &self.annotation)?,
            None => Vec::new(),
        };
        let interfaces = interfaces(offers, &self.statistics);
        let server = server::Server::new(
            interfaces,
            self.local,
            self.providers,
            self.limits,
            self.statistics,
        );
        let settings = settings.filter(|_| !entries.is_empty());
        let registrar = settings.map(|settings| Registrar::start(entries, settings));
        Ok(Server::start(server, listeners, registrar, self.grace))
    }

    /// What is offered, each interface once.
    fn gather(&mut self) -> Result<Vec<Offer>, StartError> {
        let managers = Managers::gather(std::mem::take(&mut self.offers))?;
        let managed = managers.into_iter().map(|managers| Offer {
            objects: managers.objects(),
            interface: Arc::new(managers),
        });
        let others = self.others.drain(..).map(|interface| Offer {
            objects: vec![Uuid::nil()],
            interface,
        });
        let offers: Vec<Offer> = managed.chain(others).collect();
        let local = self.local.iter().map(|interface| interface.id());
        let ids: Vec<_> = offers.iter().map(Offer::id).chain(local).collect();
        if ids.is_empty() {
            return Err(StartError::NoInterface);
        }
        for (index, interface) in ids.iter().copied().enumerate() {
            if ids[..index].contains(&interface) {
                return Err(StartError::Twice { interface });
            }
        }
        Ok(offers)
    }

    /// The sockets, in the order in which they were given.
    fn open(&mut self) -> Result<Vec<Listener>, StartError> {
        let mut listeners = std::mem::take(&mut self.listeners);
        for binding in &self.bindings {
            listeners.push(self.places.listen(binding)?);
        }
        match listeners.is_empty() {
            true => Err(StartError::NoBinding),
            false => Ok(listeners),
        }
    }
}

/// What is served: remote management besides, unless it is offered.
fn interfaces(
    offers: Vec<Offer>,
    statistics: &Arc<Statistics>,
) -> Vec<Arc<dyn service::Interface>> {
    let ids: Vec<_> = offers.iter().map(Offer::id).collect();
    let mut interfaces = Vec::from_iter(offers.into_iter().map(|offer| offer.interface));
    if !ids.iter().any(|id| id.uuid == SyntaxId::MGMT.uuid) {
        interfaces.push(Arc::new(Management {
            interfaces: ids,
            statistics: statistics.clone(),
        }));
    }
    interfaces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ListenCause;

    const ECHO: SyntaxId = SyntaxId::new(Uuid::from_u128(7), 1, 0);

    /// A server of an interface at a free port of an address of its own.
    fn builder() -> Builder {
        let here = "ncacn_ip_tcp:127.0.32.4[]".parse().unwrap();
        let echo = Interface::new(ECHO);
        Builder::default()
            .unregistered()
            .interface(echo)
            .listen(here)
    }

    /// Why it does not start.
    async fn refused(builder: Builder) -> StartError {
        builder.start().await.err().unwrap()
    }

    #[tokio::test]
    async fn what_does_not_fit_together_does_not_start() {
        let at = "ncacn_ip_tcp:127.0.32.4[]".parse().unwrap();
        let nothing = refused(Builder::default().listen(at)).await;
        assert!(matches!(nothing, StartError::NoInterface), "{nothing}");
        let nowhere = refused(Builder::default().interface(Interface::new(ECHO))).await;
        assert!(matches!(nowhere, StartError::NoBinding), "{nowhere}");
        for twice in [
            builder().interface(Interface::new(ECHO)),
            builder().offer(Arc::new(Interface::new(ECHO))),
            builder().offer_locally(Arc::new(Interface::new(ECHO))),
        ] {
            let twice = refused(twice).await;
            assert!(
                matches!(twice, StartError::Twice { interface: ECHO }),
                "{twice}"
            );
        }
        for text in ["a".repeat(MAX_ANNOTATION + 1), "a\0".to_owned()] {
            let annotated = refused(builder().annotation(text)).await;
            assert!(
                matches!(annotated, StartError::Annotation(_)),
                "{annotated}"
            );
        }
        let udp = "ncadg_ip_udp:[]".parse().unwrap();
        let StartError::Listen(unspoken) = refused(builder().listen(udp)).await else {
            panic!("not spoken yet");
        };
        assert!(matches!(unspoken.cause, ListenCause::ProtocolSequence(_)));
    }

    #[tokio::test]
    async fn a_server_has_the_ports_that_it_was_given() {
        let server = builder().listen("ncacn_ip_tcp:127.0.32.4[0]".parse().unwrap());
        let server = server.start().await.unwrap();
        let [one, two] = server.bindings() else {
            panic!("two bindings");
        };
        assert_ne!(one, two);
        let taken = refused(builder().listen(one.clone())).await;
        assert!(taken.to_string().contains("in use"), "{taken}");
        assert_eq!(server.stop().await, 0);
    }

    #[test]
    fn the_own_mapper_is_at_its_socket_or_at_the_addresses_listened_on() {
        let listen = |text: &str| {
            let binding = text.parse().unwrap();
            Listener::bind(&binding, unix::Access::default()).unwrap()
        };
        let mappers = |listeners: &[Listener]| {
            let mappers = own_mappers(listeners);
            mappers.iter().map(Binding::to_string).collect::<Vec<_>>()
        };
        let [local, loopback] = ["ncalrpc:[/run/epmapper/EPMAPPER]", "ncacn_ip_tcp:127.0.0.1"];
        assert_eq!(mappers(&[]), [local, loopback]);
        let any = listen("ncacn_ip_tcp:0.0.0.0[0]");
        assert_eq!(mappers(&[any]), [local, loopback]);
        let two = [(); 2].map(|()| listen("ncacn_ip_tcp:127.0.32.4[0]"));
        let own = "ncacn_ip_tcp:127.0.32.4";
        assert_eq!(mappers(&two), [local, own, loopback]);
    }

    #[test]
    fn management_is_served_beside_unless_it_is_offered() {
        let ids = |offered: &[SyntaxId]| {
            let offers = offered.iter().map(|id| Offer {
                objects: vec![],
                interface: Arc::new(Interface::new(*id)),
            });
            let all = interfaces(offers.collect(), &Arc::default());
            Vec::from_iter(all.iter().map(|interface| interface.id()))
        };
        assert_eq!(ids(&[ECHO]), [ECHO, SyntaxId::MGMT]);
        assert_eq!(ids(&[ECHO, SyntaxId::MGMT]), [ECHO, SyntaxId::MGMT]);
    }
}
