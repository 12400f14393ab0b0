//! `epm`: asks endpoint mappers, says what they answered, and registers
//! services.
//!
//! Each command asks first and prints when all answers are there: results to
//! standard output, everything else to standard error. Leaves out how servers
//! are asked: that is `client`.

mod args;
mod delete;
mod documents;
mod exit;
mod export;
mod hold;
mod insert;
mod logon;
mod lookup;
mod map;
mod mgmt;
mod mistake;
mod password;
mod registration;
mod render;
mod status;
mod values;

use args::{Arguments, Command};
use clap::Parser;
use exit::{CommandError, Outcome};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Runs `epm` with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            // There is nobody to tell if that fails.
            let _ = error.print();
            return ExitCode::from(exit::USAGE);
        }
        Err(help) => return end(print_help(&help)),
    };
    end(run(&arguments))
}

/// Prints what clap has for standard output: help and version.
fn print_help(help: &clap::Error) -> Result<Outcome, CommandError> {
    render::written(help.print().and_then(|()| io::stdout().flush()))?;
    Ok(Outcome::Found)
}

/// The exit status; says what went wrong, and what to do about it.
fn end(result: Result<Outcome, CommandError>) -> ExitCode {
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            render::remark(&error.to_string());
            if let Some(hint) = error.hint() {
                render::remark(hint);
            }
            ExitCode::from(error.code())
        }
    }
}

/// Runs the command.
fn run(arguments: &Arguments) -> Result<Outcome, CommandError> {
    let timeout = arguments.timeout;
    // Whoever is asked for a password takes the time it takes.
    let settings = &logon::settings(arguments)?;
    match &arguments.command {
        Command::Lookup(lookup) => within(timeout, async |end| lookup.run(settings, end).await),
        Command::Map(map) => within(timeout, async |end| map.run(settings, end).await),
        Command::Mgmt(mgmt) => within(timeout, async |end| mgmt.run(settings, end).await),
        Command::Insert(insert) => within(timeout, async |end| insert.run(settings, end).await),
        Command::Delete(delete) => within(timeout, async |end| delete.run(settings, end).await),
        Command::Status(status) => within(timeout, async |end| status.run(settings, end).await),
        // The command may run for ever; only what is said to the mapper may not.
        Command::Hold(hold) => within(timeout, async |_| hold.run(settings, timeout).await),
        Command::Completions { shell } => documents::completions(*shell),
        Command::Man { dir } => documents::man(dir.as_deref()),
    }
}

/// Runs a conversation that has to be over within `timeout`.
fn within(
    timeout: Duration,
    conversation: impl AsyncFnOnce(Instant) -> Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let outcome = runtime.block_on(conversation(Instant::now() + timeout));
    // A resolver that still waits must not hold up the end.
    runtime.shutdown_background();
    outcome
}
