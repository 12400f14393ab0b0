//! Opnum and stub in; stub or fault out.
//!
//! Holds the interfaces that the mapper serves, over the registry, and the
//! places where real mappers differ. Leaves out connections, locks and clocks:
//! what a call needs of them comes with it. Never awaits.

pub mod access;
pub mod conversation;
pub mod ept;
pub mod interface;
pub mod mgmt;
pub mod registration;
mod walk;

pub use access::{Access, Required, Trust};
pub use conversation::Conversation;
pub use interface::{Call, Interface, Later, Outcome, Refusal, Reply};
