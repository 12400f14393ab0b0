//! NTLM of both ends: three messages, then signatures and seals.
//!
//! [`Ntlm`] accepts clients, [`initiate`] is one. NTLMv2 with extended session
//! security and keys of 128 bits is what both ends want; what is older an
//! acceptor takes where its settings say so, and an initiator never. Anonymous
//! logons count as logons, not as proofs: they share a key that everybody
//! knows.
//!
//! # Source
//! MS-NLMP.

mod acceptor;
mod context;
mod flags;
mod initiator;
mod keys;
mod message;
mod names;
mod proof;
mod response;
mod session;
#[cfg(test)]
mod tests;

pub use acceptor::{Names, Ntlm, NtlmSettings};
pub use flags::Flags;
pub use initiator::initiate;
pub use message::{Authenticate, Challenge, LONGEST_MESSAGE, Negotiate, Version};
pub use response::{AvId, AvPairs, ClientChallenge};

pub(crate) use acceptor::Moment;
pub(crate) use initiator::{Choice, initiate_at};

use crate::proto::SecurityError;
use std::time::{SystemTime, UNIX_EPOCH};

/// Octets from the system's random source.
///
/// # Errors
/// `Token` when it has none.
fn random<const N: usize>() -> Result<[u8; N], SecurityError> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| SecurityError::Token("no random octets"))?;
    Ok(octets)
}

/// Now, in units of 100 ns since 1601.
///
/// # Source
/// MS-DTYP 2.3.3.
fn file_time() -> u64 {
    /// Units between 1601 and 1970.
    const EPOCH: u64 = 116_444_736_000_000_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let units = since.map_or(0, |since| since.as_nanos() / 100);
    EPOCH.saturating_add(u64::try_from(units).unwrap_or(u64::MAX))
}
