//! `epm hold`: registers a program for as long as it runs.
//!
//! The entries' life is this process: whatever becomes of it, the mapper takes
//! them out. A mapper that was started anew gets them again.

use super::args::Hold;
use super::exit::{Change, CommandError, Outcome};
use super::password;
use super::registration::{self, Registered};
use super::render;
use crate::client::registrar::{State, Trouble};
use crate::client::{Registrar, RegistrarSettings, Settings, Step};
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;

impl Hold {
    /// Registers, runs the command, and takes the entries out when it has
    /// ended.
    pub async fn run(&self, settings: &Settings, time: Duration) -> Result<Outcome, CommandError> {
        let registered = Registered::new(&self.endpoints, &self.annotation)?;
        let settings = RegistrarSettings {
            mappers: vec![registration::mapper(&self.endpoints.at)],
            replace: self.replace,
            client: settings.clone(),
            timeout: time,
            lease: None,
            insert: false,
            alone: true,
            ..RegistrarSettings::default()
        };
        let registrar = Registrar::start(registered.registrations(), settings);
        let mut state = registrar.state();
        first(&mut state).await?;
        // Until here a signal ends this process, and nothing else is to be ended.
        let mut signals = Signals::new().map_err(CommandError::Runtime)?;
        let mut told = pin!(tell(state));
        let ended = match self.command().spawn() {
            Ok(mut child) => loop {
                tokio::select! {
                    biased;
                    status = child.wait() => break status.map_err(CommandError::Runtime),
                    signal = signals.next() => pass_on(signal, &child),
                    never = &mut told => match never {},
                }
            },
            Err(error) => Err(CommandError::Start {
                command: self.command.first().cloned().unwrap_or_default(),
                error,
            }),
        };
        registrar.stop().await;
        Ok(Outcome::Ended(code(ended?)))
    }

    /// The command with its arguments.
    fn command(&self) -> Command {
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().map(|word| &**word).unwrap_or_default());
        command.args(words);
        // It is the mapper's business who registers, not the command's.
        command.env_remove(password::VARIABLE);
        command
    }
}

/// The exit status that tells how a command ended: as a shell has it.
fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| signal.saturating_add(128));
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Waits until the first try has come to something.
async fn first(state: &mut watch::Receiver<State>) -> Result<(), CommandError> {
    let first = state
        .wait_for(|state| !matches!(state, State::Trying))
        .await;
    // It does not end before it is stopped.
    let trouble = first.ok().and_then(|state| trouble(&state));
    trouble.map_or(Ok(()), |trouble| Err(explained(&trouble)))
}

/// What is wrong at the mapper, if anything is.
fn trouble(state: &State) -> Option<Trouble> {
    match state {
        State::Waiting { troubles } | State::Refused { troubles } => troubles.first().cloned(),
        State::Trying | State::Registered { .. } => None,
    }
}

/// Why the mapper does not have the entries, in words.
fn explained(trouble: &Trouble) -> CommandError {
    let (at, error) = (&trouble.at, trouble.error.clone());
    match error.step {
        Step::Call => CommandError::change(at, Change::Register)(error),
        _ => CommandError::of_control(at)(error),
    }
}

/// Says when the mapper was lost, and what becomes of that.
async fn tell(mut state: watch::Receiver<State>) -> Infallible {
    while state.changed().await.is_ok() {
        let (is_registered, trouble) = {
            let state = state.borrow_and_update();
            (state.is_registered(), trouble(&state))
        };
        match trouble.as_ref().map(explained) {
            Some(error) => render::remark(&format!("not registered, trying again: {error}")),
            None if is_registered => render::remark("lost the mapper and registered again"),
            None => {}
        }
    }
    std::future::pending().await
}

/// The signals that are passed on to the command.
struct Signals {
    /// Asks to end.
    terminate: Option<unix::Signal>,
    /// A key on the terminal.
    interrupt: Option<unix::Signal>,
    /// The terminal is gone, or the settings are to be read again.
    hang_up: Option<unix::Signal>,
}

impl Signals {
    /// Catches the signals, but for those that this process was told to ignore:
    /// the command ignores them, too.
    fn new() -> io::Result<Signals> {
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        let caught = |signal: Signal| match ignored & mask(signal) {
            0 => unix::signal(SignalKind::from_raw(signal as i32)).map(Some),
            _ => Ok(None),
        };
        Ok(Signals {
            terminate: caught(Signal::SIGTERM)?,
            interrupt: caught(Signal::SIGINT)?,
            hang_up: caught(Signal::SIGHUP)?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) -> Signal {
        tokio::select! {
            () = received(&mut self.terminate) => Signal::SIGTERM,
            () = received(&mut self.interrupt) => Signal::SIGINT,
            () = received(&mut self.hang_up) => Signal::SIGHUP,
        }
    }
}

/// Waits for a signal; for ever where it is not caught.
async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The signals that a process ignores, as its status in /proc tells them.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0)
}

/// A signal's bit in such a set.
fn mask(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

/// Passes a signal on to the command, unless the terminal has sent it one, too.
fn pass_on(signal: Signal, child: &Child) {
    // Not there once the command was waited for: never another process's.
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else {
        return;
    };
    if signal == Signal::SIGINT && in_foreground() {
        return;
    }
    // It may have ended just now.
    let _ = signal::kill(Pid::from_raw(pid), signal);
}

/// Whether this process, and the command with it, is what a terminal's keys
/// interrupt.
fn in_foreground() -> bool {
    let terminal = File::open("/dev/tty").ok();
    terminal.is_some_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_commands_or_tells_the_signal_that_ended_it() {
        for (status, expected) in [(0, 0), (3 << 8, 3), (9, 137), (15, 143)] {
            assert_eq!(code(ExitStatus::from_raw(status)), expected);
        }
    }

    #[test]
    fn ignored_signals_are_read_from_the_status_of_a_process() {
        let status = "Name:\tepm\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        let ignored = ignored(status);
        assert_ne!(ignored & mask(Signal::SIGHUP), 0);
        assert_ne!(ignored & mask(Signal::SIGPIPE), 0);
        assert_eq!(ignored & mask(Signal::SIGTERM), 0);
        assert_eq!(super::ignored("nothing of the kind"), 0);
    }
}
