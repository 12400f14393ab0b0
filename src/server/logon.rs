//! Takes the legs of authentications: slowed where a client was wrong too often,
//! aside where a leg may wait for a file or another host, and logged.

use super::limits::{Client, Limit};
use super::logons::TooMany;
use super::{AUDIT_TARGET, Server, lock};
use crate::proto::{Abuse, Leg, LegOutcome, SecurityError};
use crate::registry::Printable;
use crate::transport::Caller;
use crate::wire::pdu::AuthType;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::SemaphorePermit as Place;
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;
use tracing::{debug, warn};

/// Takes a leg of `caller`.
pub(super) async fn take(server: &Arc<Server>, caller: Caller, leg: Leg) -> LegOutcome {
    let client = Client::of(caller);
    let (auth_type, auth_level) = (leg.auth_type, leg.auth_level);
    let mut place = place(server, auth_type).await?;
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
        let waits_aside = place.take().is_some();
        sleep_until(ticket.at.into()).await;
        if waits_aside {
            place = self::place(server, auth_type).await?;
        }
    }
    let outcome = proceed(server, leg, place).await;
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
                account = %Printable(&context.principal().to_string()),
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
            if !may_tell(server) {
                return outcome;
            }
            let claimed = match error {
                SecurityError::Denied { claimed, .. } => claimed.as_deref(),
                _ => None,
            };
            warn!(
                target: AUDIT_TARGET,
                op = "logon",
                result = "refused",
                account = claimed.map(|name| Printable(name).to_string()),
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
    if entered.is_ok_and(|ticket| ticket.at <= now) && may_tell(server) {
        let who = Who::from(caller);
        warn!(
            target: AUDIT_TARGET,
            op = "verify",
            result = "refused",
            account = %Printable(&abuse.caller.principal.to_string()),
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

/// Whether one more refusal is logged: whoever has many addresses is many
/// clients, and must not fill the log with them.
fn may_tell(server: &Server) -> bool {
    let may = lock(&server.told).take(Instant::now(), (), 1);
    if !may {
        server.statistics.untold.fetch_add(1, Ordering::Relaxed);
    }
    may
}

/// A place among the legs that may wait, for one of those; `None` for others.
///
/// It is had before a ticket, so that right logons of one client wait for each
/// other here and not for their tickets, as wrong ones do.
async fn place(server: &Server, auth_type: AuthType) -> Result<Option<Place<'_>>, SecurityError> {
    const GONE: SecurityError = SecurityError::Token("the server ends");
    let mut of_type = server.providers.iter();
    if !of_type.any(|provider| provider.auth_type() == auth_type && provider.may_block()) {
        return Ok(None);
    }
    let place = server.blocking_legs.acquire().await;
    place.map(Some).map_err(|_| GONE)
}

/// Takes it, aside where it has a place there.
async fn proceed(server: &Server, leg: Leg, place: Option<Place<'_>>) -> LegOutcome {
    let providers = server.providers.clone();
    let Some(_place) = place else {
        return leg.take(&providers);
    };
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
