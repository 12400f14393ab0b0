//! epmapper: a DCE/RPC endpoint mapper, as a library.
//!
//! An RPC service is known by a UUID, not by a port. When it starts it takes a
//! port and registers both with the mapper of its host; a client knows the UUID
//! alone, asks the mapper on port 135, gets the port and calls the service there.
//! This crate is that whole way: the mapper, a `host` for services of one's
//! own, and a `client` that finds and calls them.
//!
//! # From a UUID to a working call
//!
//! An interface is a UUID with a version, and operations by number. What an
//! operation takes and gives is declared as the interface's IDL has it, see
//! [`wire::stub`]; the service and its clients share that:
//!
//! ```
//! use epmapper::wire::SyntaxId;
//! use uuid::uuid;
//!
//! const COUNTER: SyntaxId =
//!     SyntaxId::new(uuid!("6f2b7a1e-93c4-4a0d-8f55-0d6c1d2e3f40"), 1, 0);
//!
//! epmapper::ndr_parameters! {
//!     /// What operation 0, Add, takes, and what it gives.
//!     pub struct Number { pub value: u32 }
//! }
//! ```
//!
//! The service says what each operation does and where it listens. An empty
//! endpoint takes a free port; the mapper of this host, `epmapperd`, is told of
//! it, waited for when it is not there, and told again when it was started anew:
//!
//! ```no_run
//! # use epmapper::wire::SyntaxId;
//! # const COUNTER: SyntaxId = SyntaxId::new(uuid::Uuid::nil(), 1, 0);
//! # epmapper::ndr_parameters! { pub struct Number { pub value: u32 } }
//! # #[cfg(feature = "net")]
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use epmapper::host::{Interface, Server};
//!
//! let counter = Interface::new(COUNTER).typed(0, |_call, asked: Number| {
//!     Ok(Number { value: asked.value + 1 })
//! });
//! let server = Server::builder()
//!     .interface(counter)
//!     .listen("ncacn_ip_tcp:[]".parse()?)
//!     .start()
//!     .await?;
//! server.registered().await;
//! println!("serving at {}", server.bindings()[0]);
//! # Ok(())
//! # }
//! ```
//!
//! Whoever is not root needs a rule of `epmapperd` that lets him register. What
//! keeps a server waiting is in its log, which `tracing` collects, and told by
//! `Server::registration`.
//!
//! A client needs the host's name and the UUID:
//!
//! ```no_run
//! # use epmapper::wire::SyntaxId;
//! # const COUNTER: SyntaxId = SyntaxId::new(uuid::Uuid::nil(), 1, 0);
//! # epmapper::ndr_parameters! { pub struct Number { pub value: u32 } }
//! # #[cfg(feature = "net")]
//! # async fn call() -> Result<(), Box<dyn std::error::Error>> {
//! use epmapper::client::{Handle, Options};
//!
//! let host = "ncacn_ip_tcp:server.example.org".parse()?;
//! let mut counter = Handle::connect(&host, COUNTER, &Options::default()).await?;
//! let answer: Number = counter.invoke(0, &Number { value: 41 }).await?;
//! assert_eq!(answer.value, 42);
//! # Ok(())
//! # }
//! ```
//!
//! All of it in one process, with a mapper at a local socket of its own instead
//! of port 135, which takes root:
//!
//! ```
//! # #[cfg(not(feature = "net"))]
//! # fn main() {}
//! # #[cfg(feature = "net")]
//! use epmapper::client::{Handle, Options, RegistrarSettings, Resolver};
//! # #[cfg(feature = "net")]
//! use epmapper::host::{Interface, Server};
//! # #[cfg(feature = "net")]
//! use epmapper::registry::{Policy, Rule};
//! # #[cfg(feature = "net")]
//! use epmapper::server::{Mapper, MapperSettings};
//! # #[cfg(feature = "net")]
//! use epmapper::service::Conversation;
//! # #[cfg(feature = "net")]
//! use epmapper::wire::{binding::Binding, tower::ProtocolSequence::NcacnIpTcp};
//! # use epmapper::wire::SyntaxId;
//! # const COUNTER: SyntaxId =
//! #     SyntaxId::new(uuid::uuid!("6f2b7a1e-93c4-4a0d-8f55-0d6c1d2e3f40"), 1, 0);
//! # epmapper::ndr_parameters! { pub struct Number { pub value: u32 } }
//!
//! # #[cfg(feature = "net")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::os::unix::fs::MetadataExt;
//! # let folder = tempfile::tempdir()?;
//! # let socket = folder.path().join("EPMAPPER");
//! # let uid = std::fs::metadata(folder.path())?.uid();
//! // The mapper: a registry, and a server of its interfaces.
//! let socket: Binding = format!("ncalrpc:[{}]", socket.display()).parse()?;
//! let mut settings = MapperSettings::new(Conversation::Windows, 1000);
//! let rule = Rule { users: vec![uid], ..Rule::default() };
//! settings.policy = Policy { rules: vec![rule], ..Policy::default() };
//! let (mapper, _processes) = Mapper::new(settings);
//! let interfaces = [mapper.interfaces(), mapper.local_interfaces()].concat();
//! let _mapper = interfaces
//!     .into_iter()
//!     .fold(Server::builder(), |builder, interface| builder.offer(interface))
//!     .listen(socket.clone())
//!     .unregistered()
//!     .start()
//!     .await?;
//!
//! // The service, on a port that the system chooses.
//! let counter = Interface::new(COUNTER)
//!     .typed(0, |_call, asked: Number| Ok(Number { value: asked.value + 1 }));
//! let server = Server::builder()
//!     .interface(counter)
//!     .listen("ncacn_ip_tcp:127.0.0.1[]".parse()?)
//!     .mapper(RegistrarSettings { mappers: vec![socket.clone()], ..Default::default() })
//!     .start()
//!     .await?;
//! server.registered().await;
//!
//! // The client, which asks that mapper for a TCP port.
//! let options = Options {
//!     resolver: Resolver::default().local_mapper(socket),
//!     preferred: vec![NcacnIpTcp],
//!     ..Options::default()
//! };
//! let mut counter = Handle::connect(&"ncalrpc:".parse()?, COUNTER, &options).await?;
//! let answer: Number = counter.invoke(0, &Number { value: 41 }).await?;
//! assert_eq!(answer.value, 42);
//! assert_eq!(counter.binding(), &server.bindings()[0]);
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/echo_server.rs` and `examples/echo_client.rs` are a service and its
//! client as programs, which the README walks through.
//!
//! # Layers
//!
//! The layers, in the order that data passes them:
//!
//! - [`wire`]: octets to values and back: PDUs, NDR, towers, string bindings, stubs;
//! - [`proto`]: state machines without IO: associations, presentation contexts, fragments;
//! - [`registry`]: the endpoint map: entries, matching, walks;
//! - [`service`]: opnum and stub in, stub or fault out: `ept` and `mgmt`;
//! - `transport`: where IO starts: sockets (feature `net`);
//! - `server`: drives `proto` and `service` over a transport (feature `net`);
//! - `client`: finds and calls services, asks mappers (feature `net`);
//! - `host`: a service of one's own, on the same code (feature `net`);
//! - `security`: who the peer is: NTLM, SPNEGO, Kerberos (features `security`, `kerberos`);
//! - `daemon`: `epmapperd` (feature `daemon`);
//! - `cli`: `epm` (feature `tools`).
//!
//! Beside them stands [`fuzzing`], the laws of the first four as functions of
//! arbitrary octets, for fuzz targets and tests.
//!
//! Without default features only the first four are built; they need neither a
//! runtime nor an operating system beyond `std`, and never read a clock, a
//! socket, a file or a random source.

pub mod proto;
pub mod registry;
pub mod service;
pub mod wire;

#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod host;
#[cfg(feature = "security")]
pub mod security;
#[cfg(feature = "net")]
pub mod server;
#[cfg(feature = "net")]
pub mod transport;

#[cfg(feature = "tools")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod daemon;

pub mod fuzzing;
