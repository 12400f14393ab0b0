//! The connection-oriented protocol, rule by rule, over the network only.
//!
//! Each test is named for the rule that it proves; its comment names the clause, and the row of
//! docs/protocol.md that says which files keep the rule. PDUs are written and read here without the
//! package's own codec, as octets at their places.
//!
//! Where `EPMAPPER_SERVER` names an ADDRESS or ADDRESS:PORT, that server is asked and no daemon is started;
//! it has to serve the endpoint mapper and remote management, and to let a lookup find some 8 KiB.

#![cfg(feature = "daemon")]

#[path = "conformity/connection.rs"]
mod connection;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "conformity/octets.rs"]
mod octets;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/run.rs"]
mod run;
#[path = "conformity/server.rs"]
mod server;
#[path = "support/skip.rs"]
mod skip;

#[path = "conformity/bodies.rs"]
mod bodies;
#[path = "conformity/faults.rs"]
mod faults;
#[path = "conformity/features.rs"]
mod features;
#[path = "conformity/fragments.rs"]
mod fragments;
#[path = "conformity/groups.rs"]
mod groups;
#[path = "conformity/header.rs"]
mod header;
#[path = "conformity/presentation.rs"]
mod presentation;
#[path = "conformity/sizes.rs"]
mod sizes;
#[path = "conformity/verification.rs"]
mod verification;
#[path = "conformity/verifier.rs"]
mod verifier;
