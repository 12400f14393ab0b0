//! A call's cancel, as it reaches whoever runs the call.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Tells that the client has asked to cancel a call; clones tell of the same
/// call.
///
/// The answer is due all the same: an operation that has an end of its own may
/// go on to it, another one may answer with a fault,
/// [`FaultStatus::CANCEL`](crate::wire::FaultStatus::CANCEL).
///
/// # Source
/// C706 12.6.4.6 and 9.5.2.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Mutex<State>>);

/// How far it came.
#[derive(Debug, Default)]
struct State {
    /// Whether the client has asked.
    is_cancelled: bool,
    /// Who waits for it: one for each future that was polled.
    waiting: Vec<Waker>,
}

impl Cancel {
    /// Cancels the call; again changes nothing.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.is_cancelled = true;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the client has asked to cancel.
    pub fn is_cancelled(&self) -> bool {
        self.state().is_cancelled
    }

    /// Waits until the client asks to cancel: for ever where it does not.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        Cancelled(self.clone())
    }

    /// The state; every change to it is a single step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a cancel.
struct Cancelled(Cancel);

impl Future for Cancelled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state();
        if state.is_cancelled {
            return Poll::Ready(());
        }
        let waker = cx.waker();
        if !state.waiting.iter().any(|other| other.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_is_woken_once_and_whoever_comes_later_does_not_wait() {
        let cancel = Cancel::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut cancelled = pin!(cancel.cancelled());
        for _ in 0..2 {
            assert!(cancelled.as_mut().poll(&mut cx).is_pending());
        }
        assert!(!cancel.is_cancelled());
        cancel.clone().cancel();
        cancel.cancel();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(cancel.is_cancelled());
        assert!(cancelled.as_mut().poll(&mut cx).is_ready());
        assert!(pin!(cancel.cancelled()).poll(&mut cx).is_ready());
    }
}
