//! `epmapperd`: configuration, rights, log, signals around a mapper.
//!
//! Everything that can be wrong at the start is found before the first
//! connection: what the command line says, then the configuration, then the
//! listening sockets, then the change of user. Only then are there threads.

pub mod accounts;
pub mod addresses;
pub mod args;
pub mod config;
pub mod keep;
#[cfg(feature = "kerberos")]
mod kerberos;
pub mod lives;
pub mod log;
pub mod privilege;
pub mod probe;
pub mod process;
pub mod providers;
pub mod run;
pub mod store;

use clap::Parser;
use std::process::ExitCode;

/// The program: 0 when it was told to end, 1 when it could not start, 2 for a
/// wrong command line.
pub fn main() -> ExitCode {
    let mut args = args::Args::parse();
    match args.command.take() {
        Some(args::Command::Account(command)) => end(command.run()),
        None => end(run::start(args)),
    }
}

/// The exit status; says what went wrong.
fn end<E: ToString>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    for line in error.to_string().lines() {
        args::tell(&format!("error: {line}"));
    }
    ExitCode::FAILURE
}
