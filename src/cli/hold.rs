//! `epm hold`: registers a program for as long as it runs.
//!
//! The entries' life is this process: whatever becomes of it, the mapper takes
//! them out. A mapper that was started anew gets them again.

use super::args::Hold;
use super::exit::{Change, CommandError, Outcome};
use super::insert::control;
use super::password;
use super::registration::{self, Registered};
use super::render;
use crate::client::control::Lifetime;
use crate::client::{Control, Settings};
use crate::wire::binding::Binding;
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
use tokio::time::{Instant, sleep, timeout};

/// Between two tries to register again.
const RETRY: Duration = Duration::from_secs(1);

/// Between two tries when the mapper refuses: it logs each of them.
const RETRY_REFUSED: Duration = Duration::from_secs(30);

/// How long a connection is kept before it makes room for another one: mappers
/// close those that are silent, by default after half an hour.
const FRESH: Duration = Duration::from_secs(5 * 60);

impl Hold {
    /// Registers, runs the command, and takes the entries out when it has
    /// ended.
    pub async fn run(&self, settings: &Settings, time: Duration) -> Result<Outcome, CommandError> {
        let registration = Registration {
            server: registration::mapper(&self.endpoints.at),
            registered: Registered::new(&self.endpoints, &self.annotation)?,
            replace: self.replace,
            settings,
            time,
        };
        let control = registration.make().await?;
        // Until here a signal ends this process, and nothing else is to be ended.
        let mut signals = Signals::new().map_err(CommandError::Runtime)?;
        let mut kept = pin!(registration.keep(control));
        let ended = match self.command().spawn() {
            Ok(mut child) => loop {
                tokio::select! {
                    biased;
                    status = child.wait() => break status.map_err(CommandError::Runtime),
                    signal = signals.next() => pass_on(signal, &child),
                    never = &mut kept => match never {},
                }
            },
            Err(error) => Err(CommandError::Start {
                command: self.command.first().cloned().unwrap_or_default(),
                error,
            }),
        };
        registration.undo().await;
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

/// What is held at a mapper.
struct Registration<'a> {
    /// The mapper.
    server: Binding,
    /// The entries.
    registered: Registered,
    /// Whether they replace what stands for the same service.
    replace: bool,
    /// How connections are asked for.
    settings: &'a Settings,
    /// How long a conversation may take.
    time: Duration,
}

impl Registration<'_> {
    /// Registers, for as long as this process lives.
    async fn make(&self) -> Result<Control, CommandError> {
        let mut control = self.connect().await?;
        control
            .register(&self.registered.entries(), Lifetime::Process, self.replace)
            .await
            .map_err(CommandError::change(&self.server, Change::Register))?;
        Ok(control)
    }

    /// Connects to the mapper.
    async fn connect(&self) -> Result<Control, CommandError> {
        control(&self.server, self.settings, Instant::now() + self.time).await
    }

    /// Registers again whenever the mapper ends the connection: it may have
    /// been started anew.
    async fn keep(&self, mut control: Control) -> Infallible {
        loop {
            let closed = timeout(FRESH, control.closed()).await.is_ok();
            control = match closed {
                true => self.again().await,
                false => match self.connect().await {
                    Ok(control) => control,
                    Err(_) => self.again().await,
                },
            };
        }
    }

    /// Tries to register until it goes through, and says so.
    async fn again(&self) -> Control {
        let mut told = String::new();
        loop {
            let error = match self.make().await {
                Ok(control) => {
                    render::remark("lost the mapper and registered again");
                    return control;
                }
                Err(error) => error,
            };
            let message = error.to_string();
            if message != told {
                render::remark(&format!("not registered, trying again: {message}"));
                told = message;
            }
            sleep(match error.is_refusal() {
                true => RETRY_REFUSED,
                false => RETRY,
            })
            .await;
        }
    }

    /// Takes the entries out, and none of another process. What is left goes
    /// with this one.
    async fn undo(&self) {
        if let Ok(mut control) = self.connect().await {
            // Nothing to take out is as good.
            let _ = control.leave().await;
        }
    }
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
