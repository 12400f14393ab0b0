//! `epm delete`: takes endpoints out.

use super::args::Delete;
use super::exit::{Change, CommandError, Outcome};
use super::registration::{self, Annotation, Registered};
use super::render;
use crate::client::{ClientError, Encoding, Failure, Mapper};
use crate::wire::EptStatus;
use tokio::time::Instant;

impl Delete {
    /// Takes out one endpoint after the other, also behind one that is not
    /// registered.
    pub async fn run(
        &self,
        encoding: Encoding,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let registered = Registered::new(&self.endpoints, &Annotation::default())?;
        let server = registration::mapper(&self.endpoints.at);
        let connected = Mapper::connect(&server, encoding, deadline).await;
        let mut mapper = connected.map_err(CommandError::of(&server))?;
        let mut missing = false;
        for (binding, entry) in registered.each() {
            match mapper.delete(&[entry]).await {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {
                    missing = true;
                    let binding = render::printable(&binding.to_string());
                    let server = render::printable(&server.to_string());
                    render::remark(&format!("{binding} is not registered so at {server}"));
                }
                Err(error) => return Err(CommandError::change(&server, Change::Delete)(error)),
            }
        }
        Ok(Outcome::of(missing))
    }
}

/// Whether a mapper said that there is no such entry.
pub fn is_missing(error: &ClientError) -> bool {
    matches!(
        error.failure,
        Failure::Status(EptStatus::NOT_REGISTERED | EptStatus::WIN32_NOT_REGISTERED)
    )
}
