//! A service of one's own: interfaces, ports, registration.
//!
//! An [`Interface`] is a value: what it is called, and what its operations do.
//! A [`Server`] offers interfaces at string bindings, keeps its ports for its
//! life, and tells the mapper of its host where it is. Leaves out what runs on
//! the wire: that is `server`, which the mapper itself runs on.

mod builder;
mod call;
mod fault;
mod interface;
mod listen;
mod management;
mod managers;
mod server;
mod towers;

pub use builder::{Builder, StartError};
pub use call::{Call, Stub};
pub use fault::Fault;
pub use interface::Interface;
pub use server::Server;
