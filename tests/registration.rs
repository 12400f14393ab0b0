//! ept_insert, ept_delete and ept_mgmt_delete against `epmapperd`: the rules of each, who may call them,
//! to whom an entry belongs, and the limits.
//!
//! Registrants are told apart by their addresses of this host, and over a local socket by their users.

#![cfg(feature = "daemon")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/run.rs"]
mod run;
#[path = "registration/session.rs"]
mod session;
#[path = "support/skip.rs"]
mod skip;

#[path = "registration/limits.rs"]
mod limits;
#[path = "registration/rules.rs"]
mod rules;
#[path = "registration/strangers.rs"]
mod strangers;
