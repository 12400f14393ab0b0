//! The calls of one connection whose replies are waited for.
//!
//! Each is a task of its own, so that one that computes for long, or panics,
//! leaves the others and the connection alone. Always holds: a call that is
//! given up, by the client or with the connection, has its task ended; how many
//! there are, the association limits.

use crate::proto::{Call, CallKey};
use crate::service::{Cancel, Later, Reply};
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::task::{AbortHandle, JoinError, JoinSet};

/// The calls.
#[derive(Default)]
pub(super) struct Running {
    /// Each of them.
    calls: Vec<One>,
    /// Their tasks; none are kept while there is no call.
    tasks: Option<JoinSet<Reply>>,
}

/// One call.
struct One {
    /// The call.
    call: Call,
    /// How many octets its stub had.
    octets: usize,
    /// Tells it of a cancel, if anybody has asked.
    cancel: Option<Cancel>,
    /// Its task.
    task: AbortHandle,
}

/// A call that came to its end: its reply, or why it has none.
pub(super) type Done = (Call, Result<Reply, JoinError>);

impl Running {
    /// Begins to wait for the reply to a call, whose stub is not kept.
    pub(super) fn add(&mut self, mut call: Call, reply: Later, cancel: Option<Cancel>) {
        let tasks = self.tasks.get_or_insert_default();
        let task = tasks.spawn(reply);
        let octets = std::mem::take(&mut call.stub).len();
        self.calls.push(One {
            call,
            octets,
            cancel,
            task,
        });
    }

    /// How many octets the stubs of the calls had: so much of them, more or
    /// less, is kept by who answers them.
    pub(super) fn octets(&self) -> usize {
        self.calls.iter().map(|one| one.octets).sum()
    }

    /// Whether there is no call.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Tells a call that it is cancelled.
    pub(super) fn cancel(&self, key: CallKey) {
        let call = self.calls.iter().find(|one| one.call.key() == key);
        if let Some(cancel) = call.and_then(|one| one.cancel.as_ref()) {
            cancel.cancel();
        }
    }

    /// Ends a call whose reply nobody wants any more.
    pub(super) fn give_up(&mut self, key: CallKey) {
        if let Some(one) = self.take(|one| one.call.key() == key) {
            one.task.abort();
        }
    }

    /// The next call that comes to its end; none does while there is none.
    pub(super) async fn next(&mut self) -> Done {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// See `next`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        while let Some(tasks) = &mut self.tasks
            && let Poll::Ready(Some(ended)) = tasks.poll_join_next_with_id(cx)
        {
            let (id, reply) = match ended {
                Ok((id, reply)) => (id, Ok(reply)),
                Err(error) => (error.id(), Err(error)),
            };
            // One that was given up may have come to its end all the same.
            if let Some(one) = self.take(|one| one.task.id() == id) {
                return Poll::Ready((one.call, reply));
            }
        }
        Poll::Pending
    }

    /// Takes a call out; with the last one, all tasks that are left.
    fn take(&mut self, is_meant: impl Fn(&One) -> bool) -> Option<One> {
        let place = self.calls.iter().position(is_meant)?;
        let one = self.calls.swap_remove(place);
        if self.calls.is_empty() {
            self.tasks = None;
        }
        Some(one)
    }
}
