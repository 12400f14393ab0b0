//! The way of a handle to its server, and one call there.

use super::{Options, after};
use crate::client::connection::share;
use crate::client::resolver::Query;
use crate::client::{CallError, Client, ClientError, Failure, Reply};
use crate::wire::binding::Binding;
use crate::wire::{FaultStatus, SyntaxId};
use std::pin::Pin;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};

/// The most calls in a row without an answer on one connection: it is given up
/// then, since nothing tells whether the server is still there.
const MAX_UNANSWERED: u32 = 2;

/// What a handle is for.
pub struct Target {
    /// The binding as the caller gave it.
    pub binding: Binding,
    /// The interface.
    pub interface: SyntaxId,
    /// The rest.
    pub options: Options,
}

impl Target {
    /// A connection for a call that has no other, unless that is cancelled.
    pub async fn anew(
        &self,
        deadline: Instant,
        cancelled: Pin<&mut Notified<'_>>,
    ) -> Result<Connected, CallError> {
        let until = deadline.min(after(self.options.timeout));
        tokio::select! {
            biased;
            made = self.connect(until) => made,
            () = cancelled => Err(CallError::Cancelled { may_have_run: false }),
        }
    }

    /// A connection, bound.
    ///
    /// Where what was remembered of the mapper's answer proves wrong, since
    /// nobody or somebody else is there, the mapper is asked once more.
    pub async fn connect(&self, deadline: Instant) -> Result<Connected, CallError> {
        if !self.binding.endpoint.is_empty() {
            return self
                .reach(std::slice::from_ref(&self.binding), deadline)
                .await;
        }
        let (resolver, query) = (&self.options.resolver, self.query());
        if let Some(remembered) = resolver.remembered(&query) {
            match self.reach(&remembered, share(deadline, 2)).await {
                Err(error) if may_be_elsewhere(&error) => resolver.forget(&query),
                outcome => return outcome,
            }
        }
        let found = resolver.ask(&query, deadline).await?;
        let reached = self.reach(&found, deadline).await;
        if reached.as_ref().is_err_and(may_be_elsewhere) {
            resolver.forget(&query);
        }
        reached
    }

    /// A connection to the first of these bindings that takes it, in their order.
    ///
    /// # Errors
    /// What the last one that answered at all said, else `EndpointDead` with all
    /// attempts. A logon that is refused is not tried elsewhere: accounts are
    /// locked for too many of those.
    async fn reach(&self, bindings: &[Binding], deadline: Instant) -> Result<Connected, CallError> {
        let (mut attempts, mut said) = (Vec::new(), None);
        let shares = (1..=bindings.len() as u32).rev();
        for (binding, left) in bindings.iter().zip(shares) {
            match self.bind(binding, share(deadline, left)).await {
                Ok(client) => {
                    return Ok(Connected {
                        client,
                        binding: binding.clone(),
                        unanswered: 0,
                    });
                }
                Err(CallError::EndpointDead(more)) => attempts.extend(more),
                Err(error) if may_be_elsewhere(&error) => said = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(said.unwrap_or(CallError::EndpointDead(attempts)))
    }

    /// A client bound at a binding.
    async fn bind(&self, binding: &Binding, deadline: Instant) -> Result<Client, CallError> {
        Client::connect(binding, self.interface, &self.options.settings, deadline)
            .await
            .map_err(|error: ClientError| {
                CallError::of_bind(error, self.interface, binding.to_string())
            })
    }

    /// What the mapper is asked.
    pub fn query(&self) -> Query {
        let preferred = &self.options.preferred;
        let resolver = &self.options.resolver;
        resolver.query(&self.binding, self.interface, preferred)
    }
}

/// Whether the server may be somewhere else than where this happened.
fn may_be_elsewhere(error: &CallError) -> bool {
    !matches!(error, CallError::Logon { .. })
}

/// A call that is to be made.
pub struct Call<'a> {
    /// The operation.
    pub opnum: u16,
    /// Its stub.
    pub stub: &'a [u8],
    /// When it has to be over.
    pub deadline: Instant,
}

/// A connection, bound.
pub struct Connected {
    /// The connection.
    pub client: Client,
    /// Where it goes.
    pub binding: Binding,
    /// Calls without an answer since the last answer.
    unanswered: u32,
}

impl Connected {
    /// Makes a call, and gives it up at its deadline, or a while after it was
    /// cancelled.
    pub async fn call(
        &mut self,
        call: &Call<'_>,
        target: &Target,
        mut cancelled: Pin<&mut Notified<'_>>,
    ) -> Result<Reply, CallError> {
        let client = &mut self.client;
        client.begin(call.opnum, target.binding.object, call.stub);
        let (mut until, mut is_cancelled) = (call.deadline, false);
        let answer = loop {
            tokio::select! {
                biased;
                answer = timeout_at(until, client.answer()) => break answer,
                () = cancelled.as_mut(), if !is_cancelled => {
                    is_cancelled = true;
                    client.connection().cancel();
                    until = until.min(after(target.options.cancel_timeout));
                }
            }
        };
        let may_have_run = client.connection().is_sent();
        if answer.is_ok() {
            self.unanswered = 0;
        }
        let failure = match answer {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(Failure::Fault(FaultStatus::CANCEL))) | Err(_) if is_cancelled => {
                return Err(CallError::Cancelled { may_have_run });
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Timeout,
        };
        let at = self.binding.to_string();
        Err(CallError::of_call(
            failure,
            target.interface,
            at,
            may_have_run,
        ))
    }

    /// Gives up the call that came to nothing; whether another may follow.
    pub fn stays(&mut self) -> bool {
        self.unanswered += 1;
        self.client.connection().give_up() && self.unanswered < MAX_UNANSWERED
    }
}
