//! Opnum and stub in; stub or fault out.
//!
//! Holds the interfaces that the mapper serves, over the registry, and the
//! places where real mappers differ. Leaves out connections, locks and clocks:
//! what a call needs of them comes with it. Never awaits.

pub mod access;
mod cancel;
mod contexts;
pub mod conversation;
pub mod ept;
pub mod interface;
pub mod mgmt;
pub mod registration;
pub mod session;
mod walk;

pub use access::{Access, Required, Trust};
pub use cancel::Cancel;
pub use contexts::Contexts;
pub use conversation::Conversation;
pub use interface::{Call, Interface, Later, Outcome, Refusal, Reply};
pub use session::Session;
