//! Takes the legs of authentications: slowed where a client was wrong too often,
//! aside where a leg may wait for a file or another host, and logged.

use super::limits::{Client, Limit};
use super::logons::TooMany;
use super::{AUDIT_TARGET, Server, lock};
use crate::proto::{Abuse, Leg, LegOutcome, SecurityError};
use crate::transport::Caller;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;
use tracing::{debug, warn};

/// Takes a leg of `caller`.
pub(super) async fn take(server: &Arc<Server>, caller: Caller, leg: Leg) -> LegOutcome {
    let client = Client::of(caller);
    let (auth_type, auth_level) = (leg.auth_type, leg.auth_level);
    let ticket = match lock(&server.logons).enter(Instant::now(), client) {
        Ok(ticket) => ticket,
        Err(TooMany) => {
            server.strikes.strike(Limit::WrongLogons);
            return Err(SecurityError::Denied {
                claimed: None,
                reason: "too many wrong logons of this client wait",
            });
        }
    };
    if ticket.at > Instant::now() {
        server.strikes.strike(Limit::WrongLogons);
        sleep_until(ticket.at.into()).await;
    }
    let outcome = proceed(server, leg).await;
    if outcome.is_ok() {
        lock(&server.logons).give_back(Instant::now(), ticket);
    }
    let statistics = &server.statistics;
    let who = Who::from(caller);
    match &outcome {
        Ok((context, answer)) if answer.is_complete => {
            statistics.logons.fetch_add(1, Ordering::Relaxed);
            debug!(
                target: AUDIT_TARGET,
                op = "logon",
                result = "accepted",
                account = %context.principal().to_string().escape_debug(),
                authentication = %auth_type,
                level = %auth_level,
                uid = who.uid,
                pid = who.pid,
                address = who.address.map(tracing::field::display),
                "logon"
            );
        }
        Ok(_) => {}
        Err(error) => {
            statistics.wrong_logons.fetch_add(1, Ordering::Relaxed);
            let claimed = match error {
                SecurityError::Denied { claimed, .. } => claimed.as_deref(),
                _ => None,
            };
            warn!(
                target: AUDIT_TARGET,
                op = "logon",
                result = "refused",
                account = claimed.map(|name| name.escape_debug().to_string()),
                authentication = %auth_type,
                level = %auth_level,
                uid = who.uid,
                pid = who.pid,
                address = who.address.map(tracing::field::display),
                reason = %error,
                "logon"
            );
        }
    }
    outcome
}

/// Tells of a packet whose verifier did not fit: as many of a client as of wrong
/// logons that do not wait, so that nobody fills the log.
pub(super) fn tell(server: &Server, caller: Caller, abuse: &Abuse) {
    let statistics = &server.statistics;
    statistics.refused_packets.fetch_add(1, Ordering::Relaxed);
    let now = Instant::now();
    let entered = lock(&server.abuses).enter(now, Client::of(caller));
    if entered.is_ok_and(|ticket| ticket.at <= now) {
        let who = Who::from(caller);
        warn!(
            target: AUDIT_TARGET,
            op = "verify",
            result = "refused",
            account = %abuse.caller.principal.to_string().escape_debug(),
            authentication = %abuse.caller.auth_type,
            level = %abuse.caller.auth_level,
            uid = who.uid,
            pid = who.pid,
            address = who.address.map(tracing::field::display),
            reason = %abuse.reason,
            "verify"
        );
    }
}

/// Takes it, aside where it may wait.
async fn proceed(server: &Arc<Server>, leg: Leg) -> LegOutcome {
    let providers = server.providers.clone();
    let mut of_type = providers.iter().filter(|p| p.auth_type() == leg.auth_type);
    if !of_type.any(|provider| provider.may_block()) {
        return leg.take(&providers);
    }
    const GONE: SecurityError = SecurityError::Token("the server ends");
    let _place = server.blocking_legs.acquire().await.map_err(|_| GONE)?;
    let taken = spawn_blocking(move || leg.take(&providers)).await;
    taken.unwrap_or(Err(SecurityError::Token("it broke the provider")))
}

/// Who it was, as fields of an event.
struct Who {
    uid: Option<u32>,
    pid: Option<u32>,
    address: Option<IpAddr>,
}

impl From<Caller> for Who {
    fn from(caller: Caller) -> Who {
        match caller {
            Caller::Network(peer) => Who {
                uid: None,
                pid: None,
                address: Some(peer.ip().to_canonical()),
            },
            Caller::Local(credentials) => Who {
                uid: Some(credentials.uid),
                pid: Some(credentials.pid),
                address: None,
            },
        }
    }
}
