//! What a server has the mapper tell: a tower for each way to each interface.

use crate::client::Registration;
use crate::service;
use crate::transport::Listener;
use crate::wire::SyntaxId;
use crate::wire::binding::{Binding, BindingError};
use crate::wire::tower::TowerBuf;
use std::sync::Arc;
use uuid::Uuid;

/// An interface with the objects that it is offered for: nil for all that nobody
/// has.
pub struct Offer {
    /// The objects.
    pub objects: Vec<Uuid>,
    /// The interface.
    pub interface: Arc<dyn service::Interface>,
}

impl Offer {
    /// UUID and version.
    pub fn id(&self) -> SyntaxId {
        self.interface.id()
    }
}

/// The entries of interfaces: one for each object, each binding and each
/// transfer syntax. A mapper gives a client the towers of the transfer syntax
/// alone that it asks with; all but a few ask with NDR.
///
/// Remote management has none: it is at every endpoint.
///
/// # Errors
/// A binding that no tower holds.
///
/// # Source
/// C706 appendix O: a tower names its transfer syntax. Windows' mapper has
/// towers of NDR64 beside those of NDR (win-rpcdump).
pub fn entries(
    offers: &[Offer],
    listeners: &[Listener],
    annotation: &str,
) -> Result<Vec<Registration>, BindingError> {
    let told = Vec::from_iter(listeners.iter().map(Listener::told));
    let mut entries = Vec::new();
    for offer in offers {
        for tower in towers(&*offer.interface, &told)? {
            entries.extend(offer.objects.iter().map(|object| Registration {
                object: *object,
                tower: tower.clone(),
                annotation: annotation.to_owned(),
            }));
        }
    }
    Ok(entries)
}

/// The towers of an interface, each once.
fn towers(
    interface: &dyn service::Interface,
    bindings: &[Binding],
) -> Result<Vec<TowerBuf>, BindingError> {
    let id = interface.id();
    if id.uuid == SyntaxId::MGMT.uuid {
        return Ok(Vec::new());
    }
    let mut towers = Vec::new();
    for syntax in interface.transfer_syntaxes() {
        for binding in bindings {
            let tower = TowerBuf::from_binding(id, syntax.id(), binding)?;
            if !towers.contains(&tower) {
                towers.push(tower);
            }
        }
    }
    Ok(towers)
}

#[cfg(test)]
mod tests {
    use super::super::interface::Interface;
    use super::super::managers::Managers;
    use super::*;
    use crate::transport::unix::Access;
    use crate::wire::TransferSyntax;
    use tempfile::TempDir;

    const ECHO: SyntaxId = SyntaxId::new(Uuid::from_u128(7), 1, 0);
    const OBJECT: Uuid = Uuid::from_u128(1);

    fn bind(text: &str) -> Listener {
        Listener::bind(&text.parse().unwrap(), Access::default()).unwrap()
    }

    /// An interface for an object and one for all others.
    fn offers(syntaxes: &[TransferSyntax]) -> Vec<Offer> {
        let echo = || Interface::new(ECHO).transfer_syntaxes(syntaxes);
        let offered = vec![(vec![OBJECT], echo()), (vec![], echo())];
        let managers = Managers::gather(offered).unwrap().remove(0);
        vec![Offer {
            objects: managers.objects(),
            interface: Arc::new(managers),
        }]
    }

    /// Object, transfer syntax and binding of each entry, sorted.
    fn shown(entries: &[Registration]) -> Vec<String> {
        let show = |entry: &Registration| {
            let parts = entry.tower.as_tower().parts().unwrap();
            assert_eq!(parts.interface, ECHO);
            assert_eq!(entry.annotation, "echo");
            let binding = Binding::from_tower(&parts, Some(entry.object)).unwrap();
            let syntax = TransferSyntax::of(parts.transfer_syntax).unwrap();
            format!("{syntax:?} {binding}")
        };
        let mut shown: Vec<_> = entries.iter().map(show).collect();
        shown.sort_unstable();
        shown
    }

    #[test]
    fn each_object_transfer_syntax_and_place_has_its_entry() {
        let listener = bind("ncacn_ip_tcp:127.0.32.3[0]");
        let port = listener.binding().endpoint;
        let both = [TransferSyntax::Ndr, TransferSyntax::Ndr64];
        let entries = entries(&offers(&both), &[listener], "echo").unwrap();
        let at = format!("ncacn_ip_tcp:127.0.32.3[{port}]");
        let expected = [
            format!("Ndr {OBJECT}@{at}"),
            format!("Ndr {at}"),
            format!("Ndr64 {OBJECT}@{at}"),
            format!("Ndr64 {at}"),
        ];
        assert_eq!(shown(&entries), expected);
    }

    #[test]
    fn places_are_told_as_clients_can_use_them_and_once() {
        let all = bind("ncacn_ip_tcp:0.0.0.0[0]");
        let port = all.binding().endpoint;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("echo").display().to_string();
        let mut listeners = vec![all, bind(&format!("ncalrpc:[{path}]"))];
        // A host without IPv6 shows the rest.
        let ipv6 = format!("ncacn_ip_tcp:::[{port}]").parse().unwrap();
        listeners.extend(Listener::bind(&ipv6, Access::default()));
        let entries = entries(&offers(&[TransferSyntax::Ndr]), &listeners, "echo").unwrap();
        let expected = [
            format!("Ndr {OBJECT}@ncacn_ip_tcp:[{port}]"),
            format!("Ndr {OBJECT}@ncalrpc:[{path}]"),
            format!("Ndr ncacn_ip_tcp:[{port}]"),
            format!("Ndr ncalrpc:[{path}]"),
        ];
        assert_eq!(shown(&entries), expected);
    }
}
