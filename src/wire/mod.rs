//! Octets to values and back; pure.
//!
//! Holds every structure that crosses a connection: PDUs, NDR, towers, string
//! bindings and the stubs of the interfaces that the mapper speaks. Leaves out
//! all behaviour. Decoded values borrow the octets they came from; nothing is
//! allocated before its count was checked against what is left.

pub mod binding;
pub mod control;
pub mod drep;
pub mod ept;
pub mod input;
pub mod mgmt;
pub mod names;
pub mod ndr;
pub mod output;
pub mod pdu;
pub mod status;
pub mod stub;
pub mod syntax;
pub mod tower;

pub use drep::{ByteOrder, DataRepresentation};
pub use input::{DecodeError, DecodeFault, Input};
pub use output::Output;
pub use status::{EptStatus, FaultStatus};
pub use syntax::{SyntaxId, TransferSyntax};
