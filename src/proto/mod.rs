//! State machines without IO, clock or randomness.
//!
//! Each machine is driven by the same verbs: octets and the time come in with
//! `receive`, what happened goes out with `poll_event`, answers come back with
//! `reply`, octets go out with `poll_transmit`, and deadlines pass through
//! `poll_timeout` and `handle_timeout`. Identifiers that have to be unique are
//! handed in. A machine never panics on what a peer sends, and holds no more
//! than its settings allow.

mod answer;
pub mod association;
pub mod client;
pub mod context;
pub mod fragment;
pub mod frame;
pub mod group;
mod protect;
pub mod security;
mod transmit;

pub use association::{
    Abuse, Answer, Association, Call, CallKey, Caller, Closed, Counts, Event, Settings,
};
pub use client::{Agreed, ClientAssociation, ClientEvent, ClientSettings, ProtocolError};
pub use context::Served;
pub use group::Groups;
pub use security::{
    Leg, LegAnswer, LegOutcome, Packet, Principal, Security, SecurityContext, SecurityError,
    SecurityProvider,
};
