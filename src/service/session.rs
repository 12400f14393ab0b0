//! What a call may ask of the connection that it came over.

use super::cancel::Cancel;
use super::contexts::Contexts;
use crate::registry::{Authentication, Origin, Registrant};
use std::sync::Arc;

/// The connection of a call; asked only by operations that need to know.
pub trait Session {
    /// Who calls, in full; over a local socket the system is asked.
    fn registrant(&self) -> Registrant;

    /// Where the call came from.
    fn origin(&self) -> Origin;

    /// How the caller has shown who it is.
    fn authentication(&self) -> Option<Authentication>;

    /// Tells when the client cancels the call.
    fn cancel(&self) -> Cancel;

    /// The context handles of the client's association group.
    fn contexts(&self) -> Arc<Contexts>;
}

/// A caller without a connection: nothing cancels its calls, and it can have no
/// context handles.
impl Session for Registrant {
    fn registrant(&self) -> Registrant {
        self.clone()
    }

    fn origin(&self) -> Origin {
        Registrant::origin(self)
    }

    fn authentication(&self) -> Option<Authentication> {
        Registrant::authentication(self).cloned()
    }

    fn cancel(&self) -> Cancel {
        Cancel::default()
    }

    fn contexts(&self) -> Arc<Contexts> {
        Arc::new(Contexts::new(0))
    }
}
