//! `epm insert`: registers endpoints.

use super::args::Insert;
use super::exit::{Change, CommandError, Outcome};
use super::registration::{self, Registered};
use super::render;
use crate::client::control::{Granted, Lifetime};
use crate::client::{Control, Mapper, Settings};
use crate::wire::binding::Binding;
use std::time::Duration;
use tokio::time::Instant;

impl Insert {
    /// Registers all endpoints, or none.
    pub async fn run(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let registered = Registered::new(&self.endpoints, &self.annotation)?;
        let server = registration::mapper(&self.endpoints.at);
        match self.lease {
            Some(lease) => {
                let mut control = control(&server, settings, deadline).await?;
                let granted = control
                    .register(&registered.entries(), Lifetime::Lease(lease), self.replace)
                    .await
                    .map_err(CommandError::change(&server, Change::Register))?;
                told(granted)?;
            }
            None => {
                let mut mapper = Mapper::connect(&server, settings, deadline)
                    .await
                    .map_err(CommandError::of(&server))?;
                mapper
                    .insert(&registered.entries(), self.replace)
                    .await
                    .map_err(CommandError::change(&server, Change::Register))?;
            }
        }
        Ok(Outcome::Found)
    }
}

/// Connects to the control interface of a mapper.
pub async fn control(
    server: &Binding,
    settings: &Settings,
    deadline: Instant,
) -> Result<Control, CommandError> {
    Control::connect(server, settings, deadline)
        .await
        .map_err(CommandError::of_control(server))
}

/// Says which lease it is, and what keeps it.
fn told(granted: Option<Granted>) -> Result<(), CommandError> {
    let Some(Granted { lease, duration }) = granted else {
        render::remark("the mapper granted no lease: the entries stay until they are deleted");
        return Ok(());
    };
    let seconds = seconds(duration);
    render::print(|out| {
        writeln!(
            out,
            "lease {lease}: ends in {seconds} unless the same command is run again before"
        )
    })
}

/// A time in seconds, to the millisecond.
fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_seconds() {
        for (milliseconds, text) in [(30_000, "30 s"), (1_500, "1.5 s"), (20, "0.02 s")] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }
}
