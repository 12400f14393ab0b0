//! Who shows to be somebody, and who does not: `epmapperd` with accounts, over sockets.
//!
//! Clients are written by hand, PDU by PDU, since they have to do what no client does; their security
//! contexts are the package's own. What is refused is refused with the answer that docs/protocol.md names,
//! and after it the daemon serves whoever does right.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/legs.rs"]
mod legs;
#[path = "support/peer.rs"]
mod peer;

#[path = "authentication/client.rs"]
mod client;
#[path = "authentication/messages.rs"]
mod messages;
#[path = "authentication/world.rs"]
mod world;

#[path = "authentication/contexts.rs"]
mod contexts;
#[path = "authentication/flags.rs"]
mod flags;
#[path = "authentication/logons.rs"]
mod logons;
#[path = "authentication/order.rs"]
mod order;
#[path = "authentication/packets.rs"]
mod packets;
#[path = "authentication/registration.rs"]
mod registration;
#[path = "authentication/served.rs"]
mod served;
