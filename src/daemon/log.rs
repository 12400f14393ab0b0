//! Where events go: lines on standard error, as text or as JSON.

use crate::server::AUDIT_TARGET;
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal, stderr};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: time, level, message, fields.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The least important events that are still logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What keeps the mapper from its work.
    Error,
    /// What somebody should look at.
    Warn,
    /// Starts, ends and changes.
    #[default]
    Info,
    /// Every connection.
    Debug,
    /// Every call.
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Level {
        match level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        }
    }
}

/// Sends the events of the whole process to standard error: those of `level`
/// and above, and the audit trail whatever the level.
///
/// Called once, by the daemon's start; a second call would be ignored.
pub fn init(format: LogFormat, level: LogLevel) {
    let told = Targets::new()
        .with_default(Level::from(level))
        .with_target(AUDIT_TARGET, Level::from(level).max(Level::INFO));
    let lines = fmt::layer()
        .with_writer(stderr)
        // They would be written to the same place, and panic where it is closed.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal());
    // An error means that a subscriber is there already, which then serves.
    let registry = tracing_subscriber::registry();
    let _ = match format {
        LogFormat::Text => registry.with(lines.with_filter(told)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(told)).try_init(),
    };
}
