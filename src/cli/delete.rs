//! `epm delete`: takes endpoints out.

use super::args::Delete;
use super::exit::{Change, CommandError, Outcome};
use super::registration::{self, Annotation, Registered};
use super::render;
use crate::client::ept::{FoundEntry, LookupQuery, NewEntry};
use crate::client::{ClientError, Failure, Mapper, Settings};
use crate::wire::binding::Binding;
use crate::wire::ept::VersionOption;
use crate::wire::tower::Tower;
use crate::wire::{EptStatus, SyntaxId};
use tokio::time::Instant;

impl Delete {
    /// Takes out one endpoint after the other, also behind one that is not
    /// registered.
    pub async fn run(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let registered = Registered::new(&self.endpoints, &Annotation::default())?;
        let server = registration::mapper(&self.endpoints.at);
        let connected = Mapper::connect(&server, settings, deadline).await;
        let mut mapper = connected.map_err(CommandError::of(&server))?;
        let failed = CommandError::change(&server, Change::Delete);
        let mut missing = false;
        for (binding, entry) in registered.each() {
            if !is_deleted(&mut mapper, &entry).await.map_err(&failed)? {
                missing = true;
                let binding = render::printable(&binding.to_string());
                let server = render::printable(&server.to_string());
                render::remark(&format!("{binding} is not registered so at {server}"));
            }
        }
        Ok(Outcome::of(missing))
    }
}

/// Takes out an entry, or those that only towers tell apart from it; whether
/// there was one.
async fn is_deleted(mapper: &mut Mapper, entry: &NewEntry<'_>) -> Result<bool, ClientError> {
    match mapper.delete(&[*entry]).await {
        Err(error) if is_missing(&error) => {}
        done => return done.map(|()| true),
    }
    let mut deleted = false;
    for found in alike(mapper, entry).await? {
        let found = NewEntry {
            object: found.object,
            tower: &found.tower,
            annotation: &[],
        };
        match mapper.delete(&[found]).await {
            Err(error) if is_missing(&error) => {}
            done => {
                done?;
                deleted = true;
            }
        }
    }
    Ok(deleted)
}

/// The entries of the same interface, object and binding.
///
/// Towers say more than bindings do: DCE servers register the RPC protocol in
/// another minor version, some servers another transfer syntax.
async fn alike(mapper: &mut Mapper, entry: &NewEntry<'_>) -> Result<Vec<FoundEntry>, ClientError> {
    let Some((interface, binding)) = said(entry.tower) else {
        return Ok(Vec::new());
    };
    let query = LookupQuery {
        interface: Some((interface, VersionOption::ALL)),
        object: None,
    };
    let mut found = mapper.lookup(&query).await?;
    found.retain(|found| {
        let same = said(&found.tower) == Some((interface, binding.clone()));
        same && found.object == entry.object
    });
    Ok(found)
}

/// The interface and the binding of a tower.
fn said(tower: &[u8]) -> Option<(SyntaxId, Binding)> {
    let parts = Tower::decode(tower).ok()?.parts().ok()?;
    let binding = Binding::from_tower(&parts, None)?;
    Some((parts.interface, binding))
}

/// Whether a mapper said that there is no such entry.
pub fn is_missing(error: &ClientError) -> bool {
    matches!(
        error.failure,
        Failure::Status(EptStatus::NOT_REGISTERED | EptStatus::WIN32_NOT_REGISTERED)
    )
}
