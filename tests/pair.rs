//! Both ends of an association in memory, joined by two pipes that are cut,
//! split, altered and lost at every place, with a clock that the tests move.
//!
//! No socket, no thread, no sleeping: whatever these tests find, they find
//! again. The server's end alone is in machine.rs.

#[path = "pair/altered.rs"]
mod altered;
#[path = "pair/conversation.rs"]
mod conversation;
#[path = "pair/cuts.rs"]
mod cuts;
#[path = "pair/deadlines.rs"]
mod deadlines;
#[path = "support/ends.rs"]
mod ends;
#[path = "pair/fragments.rs"]
mod fragments;
#[path = "pair/groups.rs"]
mod groups;
#[path = "pair/link.rs"]
mod link;
#[path = "pair/loss.rs"]
mod loss;
#[path = "pair/order.rs"]
mod order;
#[path = "support/provider.rs"]
mod provider;
#[path = "pair/secure.rs"]
mod secure;
#[path = "pair/side_by_side.rs"]
mod side_by_side;
#[path = "pair/splits.rs"]
mod splits;
#[path = "pair/whole.rs"]
mod whole;
