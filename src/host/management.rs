//! Remote management of a server, beside its own interfaces.

use crate::server::Statistics;
use crate::service::{self, Call, Conversation, Outcome, mgmt};
use crate::wire::{SyntaxId, TransferSyntax};
use std::sync::Arc;

/// The management interface of a server of these interfaces.
pub struct Management {
    /// What the server offers besides.
    pub interfaces: Vec<SyntaxId>,
    /// What it counts.
    pub statistics: Arc<Statistics>,
}

impl service::Interface for Management {
    fn id(&self) -> SyntaxId {
        SyntaxId::MGMT
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &[TransferSyntax::Ndr, TransferSyntax::Ndr64]
    }

    fn call(&self, call: Call<'_>) -> Outcome {
        let view = mgmt::View {
            interfaces: &self.interfaces,
            statistics: self.statistics.read(),
        };
        mgmt::call(&view, Conversation::Windows, call).into()
    }
}
