//! Kerberos as the configuration has it: a keytab, and a replay cache beside
//! the state.

use super::config::Config;
use super::run::StartError;
use crate::security::Mechanism;
use crate::security::kerberos::{Kerberos, KerberosSettings};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The end of the replay cache's name, behind the state's.
const REPLAYS: &str = ".replays";

/// Sees to it that the Kerberos library will find its files: starts the program
/// anew where it would not. To be called before anything is open.
///
/// # Errors
/// When it cannot be started anew.
pub fn prepare(config: &Config) -> Result<(), StartError> {
    match settings(config) {
        Some(settings) if !settings.is_in_environment() => Err(settings.start_anew().into()),
        _ => Ok(()),
    }
}

/// The acceptor, where there is a keytab; to be called as the user that serves.
///
/// # Errors
/// `Kerberos`.
pub fn mechanism(config: &Config) -> Result<Option<Arc<dyn Mechanism>>, StartError> {
    let Some(settings) = settings(config) else {
        return Ok(None);
    };
    Ok(Some(Arc::new(Kerberos::new(settings)?)))
}

/// Where its files lie.
fn settings(config: &Config) -> Option<KerberosSettings> {
    Some(KerberosSettings {
        keytab: config.security.keytab.clone()?,
        replay_cache: config.state.as_deref().map(beside),
    })
}

/// The replay cache of a state.
fn beside(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(REPLAYS);
    name.into()
}
