//! epmapper: a DCE/RPC endpoint mapper, as a library.
//!
//! The layers, in the order that data passes them:
//!
//! - [`wire`]: octets to values and back: PDUs, NDR, towers, string bindings, stubs;
//! - [`proto`]: state machines without IO: associations, presentation contexts, fragments;
//! - [`registry`]: the endpoint map: entries, matching, walks;
//! - [`service`]: opnum and stub in, stub or fault out: `ept` and `mgmt`;
//! - `transport`: where IO starts: sockets (feature `net`);
//! - `server`: drives `proto` and `service` over a transport (feature `net`);
//! - `client`: asks another mapper (feature `net`);
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
