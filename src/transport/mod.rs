//! Where IO starts: sockets for each protocol sequence.

pub mod tcp;

pub use tcp::{ListenError, Listener};
