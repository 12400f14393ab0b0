//! A binding handle: from a string binding and an interface to its calls.
//!
//! A handle keeps one connection and makes one call at a time; who wants several
//! at once takes several handles, which share what their resolver remembers. It
//! may lie idle for hours. A connection that has ended is replaced at the next
//! call, at the server's new port if it has moved.
//!
//! Always holds: a call is sent again only where the server cannot have executed
//! it, unless the caller said that twice does no harm. Context handles of the
//! server end with the connection: who holds one sees that by the server's fault
//! at the next call.
//!
//! # Example
//!
//! ```no_run
//! use epmapper::client::{CallError, Handle, Options};
//! use epmapper::wire::SyntaxId;
//!
//! epmapper::ndr_parameters! {
//!     struct AddOneIn { value: u32 }
//! }
//! epmapper::ndr_parameters! {
//!     struct AddOneOut { value: u32 }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let echo = SyntaxId::new("60a15ec5-4de8-11d7-a637-005056a20182".parse()?, 1, 0);
//! let host = "ncacn_ip_tcp:server.example.org".parse()?;
//! let mut handle = Handle::connect(&host, echo, &Options::default()).await?;
//! match handle.invoke::<AddOneOut>(0, &AddOneIn { value: 41 }).await {
//!     Ok(answer) => println!("{} says {}", handle.binding(), answer.value),
//!     Err(CallError::Fault(status)) => println!("the server will not: {status}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```

mod target;

use super::{CallError, Encoding, Peer, Reply, Resolver, Settings};
use crate::wire::binding::Binding;
use crate::wire::stub::Parameters;
use crate::wire::tower::ProtocolSequence;
use crate::wire::{ByteOrder, Output, SyntaxId, TransferSyntax};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use target::{Call, Connected, Target};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// How a handle finds its server and calls it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Asks mappers; handles with clones of one share what it remembers.
    pub resolver: Resolver,
    /// How calls are written, and who asks: the page of `security` has an example
    /// of a logon. The mapper is asked as the resolver says.
    pub settings: Settings,
    /// The protocol sequences to ask the mapper for, the best first; empty for
    /// the binding's own.
    pub preferred: Vec<ProtocolSequence>,
    /// From a binding to a bound connection, at most.
    pub timeout: Duration,
    /// A call at most, connecting anew included.
    pub call_timeout: Duration,
    /// From the wish to cancel a call to its end, at most.
    ///
    /// # Source
    /// C706 `rpc_mgmt_set_cancel_timeout`.
    pub cancel_timeout: Duration,
    /// Whether a call that may have been executed, but was not answered since
    /// the connection broke, may be made a second time.
    pub idempotent: bool,
}

impl Default for Options {
    /// Anonymous; 10 s to connect, 30 s for a call, 5 s to cancel it.
    fn default() -> Self {
        Options {
            resolver: Resolver::default(),
            settings: Encoding::Any.into(),
            preferred: Vec::new(),
            timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            cancel_timeout: Duration::from_secs(5),
            idempotent: false,
        }
    }
}

/// A client of one interface at one server, wherever that may move.
pub struct Handle {
    /// What the caller gave.
    target: Target,
    /// The connection; `None` when the last one was of no more use.
    connected: Option<Connected>,
    /// Where the last connection went.
    binding: Binding,
    /// The same as the system has it.
    peer: Peer,
    /// Tells of the wish to cancel.
    canceller: Canceller,
}

/// Cancels the call that a handle has under way, from wherever.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<Notify>);

impl Canceller {
    /// Asks the server to cancel the call under way: co_cancel. If it does not
    /// answer within the handle's cancel timeout, the call is given up:
    /// orphaned. Where there is none under way, nothing happens.
    ///
    /// # Source
    /// C706 12.6.4.6 and 12.6.4.8.
    pub fn cancel(&self) {
        self.0.notify_waiters();
    }
}

impl Handle {
    /// Finds, connects to and binds to a server of an interface.
    ///
    /// Without an endpoint in the binding the mapper of its host is asked, and
    /// the towers that it tells are tried in their order. The binding's object
    /// goes into the question and into every call.
    ///
    /// # Errors
    /// Every kind but those of a call: `Fault`, `Cancelled` and `Decode`.
    pub async fn connect(
        binding: &Binding,
        interface: SyntaxId,
        options: &Options,
    ) -> Result<Handle, CallError> {
        let target = Target {
            binding: binding.clone(),
            interface,
            options: options.clone(),
        };
        let connected = target.connect(after(options.timeout)).await?;
        Ok(Handle {
            target,
            binding: connected.binding.clone(),
            peer: connected.client.peer().clone(),
            connected: Some(connected),
            canceller: Canceller::default(),
        })
    }

    /// Calls an operation; `encode` writes its stub, once for each attempt.
    ///
    /// # Errors
    /// Any kind but `Decode`; where the connection was replaced, also those of
    /// [`connect`](Self::connect).
    pub async fn call(
        &mut self,
        opnum: u16,
        encode: impl Fn(&mut Output<'_>),
    ) -> Result<Reply, CallError> {
        self.once().call(opnum, encode).await
    }

    /// Calls an operation with its parameters, and reads those that it gives.
    ///
    /// Those that borrow from the answer are for [`ask`](Self::ask).
    ///
    /// # Errors
    /// As [`call`](Self::call), and `Decode`.
    pub async fn invoke<'p, Out: for<'a> Parameters<'a>>(
        &mut self,
        opnum: u16,
        parameters: &impl Parameters<'p>,
    ) -> Result<Out, CallError> {
        self.once().invoke(opnum, parameters).await
    }

    /// Calls an operation with its parameters. Those that it gives are read by
    /// [`Reply::parameters`], and may borrow from the reply.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn ask<'p>(
        &mut self,
        opnum: u16,
        parameters: &impl Parameters<'p>,
    ) -> Result<Reply, CallError> {
        self.once().ask(opnum, parameters).await
    }

    /// The next call with another timeout than the handle's.
    pub fn within(&mut self, timeout: Duration) -> Once<'_> {
        self.once().within(timeout)
    }

    /// The next call as one that may be made twice.
    pub fn idempotent(&mut self) -> Once<'_> {
        self.once().idempotent()
    }

    /// The next call, as the options have it.
    fn once(&mut self) -> Once<'_> {
        Once {
            timeout: self.target.options.call_timeout,
            idempotent: self.target.options.idempotent,
            handle: self,
        }
    }

    /// What cancels this handle's calls.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The binding, endpoint included, that the handle was connected to last.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Where that is.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The interface that is called.
    pub fn interface(&self) -> SyntaxId {
        self.target.interface
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Handle({} at {})", self.interface(), self.binding)
    }
}

/// One call of a handle that goes by other rules than its options.
#[derive(Debug)]
pub struct Once<'h> {
    handle: &'h mut Handle,
    timeout: Duration,
    idempotent: bool,
}

impl Once<'_> {
    /// With this timeout.
    pub fn within(self, timeout: Duration) -> Self {
        Once { timeout, ..self }
    }

    /// As one that may be made twice.
    pub fn idempotent(self) -> Self {
        Once {
            idempotent: true,
            ..self
        }
    }

    /// As [`Handle::call`].
    ///
    /// # Errors
    /// As that.
    pub async fn call(
        self,
        opnum: u16,
        encode: impl Fn(&mut Output<'_>),
    ) -> Result<Reply, CallError> {
        let stub = |order, syntax| {
            let mut stub = Vec::new();
            encode(&mut Output::stub(&mut stub, order, syntax));
            stub
        };
        self.run(opnum, stub).await
    }

    /// As [`Handle::invoke`].
    ///
    /// # Errors
    /// As that.
    pub async fn invoke<'p, Out: for<'a> Parameters<'a>>(
        self,
        opnum: u16,
        parameters: &impl Parameters<'p>,
    ) -> Result<Out, CallError> {
        Ok(self.ask(opnum, parameters).await?.parameters()?)
    }

    /// As [`Handle::ask`].
    ///
    /// # Errors
    /// As that.
    pub async fn ask<'p>(
        self,
        opnum: u16,
        parameters: &impl Parameters<'p>,
    ) -> Result<Reply, CallError> {
        let stub = |order, syntax| parameters.encode(order, syntax);
        self.run(opnum, stub).await
    }

    /// Makes the call, on another connection if the one that is there is dead.
    async fn run(
        self,
        opnum: u16,
        stub: impl Fn(ByteOrder, TransferSyntax) -> Vec<u8>,
    ) -> Result<Reply, CallError> {
        let Once {
            handle,
            timeout,
            idempotent,
        } = self;
        let deadline = after(timeout);
        let wish = handle.canceller.clone();
        let mut cancelled = pin!(wish.0.notified());
        let first = match handle
            .attempt(opnum, &stub, deadline, cancelled.as_mut())
            .await
        {
            Err(error @ CallError::Broken { .. }) => error,
            outcome => return outcome,
        };
        if first.may_have_run() && !idempotent {
            return Err(first);
        }
        let second = handle.attempt(opnum, &stub, deadline, cancelled).await;
        second.map_err(|second| second.behind(first))
    }
}

impl Handle {
    /// Makes a call on the connection if that still lives, else on a new one,
    /// and drops that which is of no more use then.
    async fn attempt(
        &mut self,
        opnum: u16,
        stub: &impl Fn(ByteOrder, TransferSyntax) -> Vec<u8>,
        deadline: Instant,
        mut cancelled: Pin<&mut Notified<'_>>,
    ) -> Result<Reply, CallError> {
        let lives = |connected: &mut Connected| connected.client.connection().is_open();
        if !self.connected.as_mut().is_some_and(lives) {
            self.connected = None;
        }
        let connected = match &mut self.connected {
            Some(connected) => connected,
            none => {
                let made = self.target.anew(deadline, cancelled.as_mut()).await?;
                self.binding = made.binding.clone();
                self.peer = made.client.peer().clone();
                none.insert(made)
            }
        };
        let stub = stub(connected.client.order(), connected.client.syntax());
        let call = Call {
            opnum,
            stub: &stub,
            deadline,
        };
        let outcome = connected.call(&call, &self.target, cancelled).await;
        let keeps = match &outcome {
            Ok(_) | Err(CallError::Fault(_)) => true,
            Err(CallError::Timeout { .. } | CallError::Cancelled { .. }) => connected.stays(),
            Err(_) => false,
        };
        if !keeps {
            self.connected = None;
        }
        if matches!(outcome, Err(CallError::InterfaceUnknown { .. })) {
            self.target.options.resolver.forget(&self.target.query());
        }
        outcome
    }
}

/// The moment after some time; far away where no clock reaches it.
fn after(timeout: Duration) -> Instant {
    /// A year.
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + timeout.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Asked, Fake};
    use super::*;
    use crate::wire::FaultStatus;
    use std::sync::{OnceLock, mpsc};
    use tokio::time::timeout_at;

    /// What never comes is waited for so long; nothing depends on it.
    const SHORT: Duration = Duration::from_millis(300);
    /// Only a hanging test waits so long.
    const LONG: Duration = Duration::from_secs(300);

    const LITTLE: Encoding = Encoding::Ndr(ByteOrder::Little);

    crate::ndr_parameters! {
        #[derive(Debug, PartialEq)]
        struct Number { value: u32 }
    }

    fn options() -> Options {
        Options {
            settings: LITTLE.into(),
            timeout: LONG,
            call_timeout: LONG,
            cancel_timeout: LONG,
            ..Options::default()
        }
    }

    async fn connected(fake: &Fake, options: &Options) -> Handle {
        Handle::connect(&fake.binding, SyntaxId::EPT, options)
            .await
            .unwrap()
    }

    /// A server that cancels its client's calls by itself as soon as they have
    /// come, and answers the cancel so.
    fn cancelling(
        wish: Arc<OnceLock<Canceller>>,
        mut answer: impl FnMut(&Asked<'_>) -> Answer + Send + 'static,
    ) -> Fake {
        Fake::serve(move |asked| match asked {
            Asked::Bind(..) => Answer::Accept(&[SyntaxId::NDR]),
            Asked::Call(1, _) => {
                wish.get().unwrap().cancel();
                Answer::Silence
            }
            other => answer(&other),
        })
    }

    #[tokio::test]
    async fn parameters_go_and_come_in_what_was_agreed_on() {
        let fake = Fake::bound_in(&[SyntaxId::NDR64], |opnum, stub| {
            assert_eq!((opnum, stub.octets()), (3, &[7, 0, 0, 0][..]));
            Answer::Response(vec![8, 0, 0, 0], 10)
        });
        let options = Options {
            settings: Encoding::Any.into(),
            ..options()
        };
        let mut handle = connected(&fake, &options).await;
        let number = handle.invoke::<Number>(3, &Number { value: 7 }).await;
        assert_eq!(number.unwrap(), Number { value: 8 });
        assert_eq!(handle.binding(), &fake.binding);
        assert_eq!(
            handle.peer().to_string(),
            format!("127.0.0.1:{}", fake.binding.endpoint)
        );
    }

    #[tokio::test]
    async fn an_answer_that_does_not_decode_is_told_as_such() {
        let fake = Fake::bound(|_, _| Answer::Response(vec![8, 0], 10));
        let mut handle = connected(&fake, &options()).await;
        let number = handle.invoke::<Number>(3, &Number { value: 7 }).await;
        assert!(matches!(number, Err(CallError::Decode(_))), "{number:?}");
    }

    #[tokio::test]
    async fn a_cancel_that_the_server_heeds_ends_the_call_and_not_the_connection() {
        let wish = Arc::new(OnceLock::new());
        let fake = cancelling(wish.clone(), |asked| match asked {
            Asked::Cancel => Answer::Fault(FaultStatus::CANCEL),
            _ => Answer::Response(vec![1], 1),
        });
        let mut handle = connected(&fake, &options()).await;
        wish.set(handle.canceller()).unwrap();
        let cancelled = handle.call(1, |_| ()).await;
        assert!(
            matches!(cancelled, Err(CallError::Cancelled { may_have_run: true })),
            "{cancelled:?}"
        );
        let fault = Fake::bound(|_, _| Answer::Fault(FaultStatus::CANCEL));
        let mut other = connected(&fault, &options()).await;
        let fault = other.call(1, |_| ()).await;
        assert!(
            matches!(fault, Err(CallError::Fault(FaultStatus::CANCEL))),
            "the server's own wish: {fault:?}"
        );
    }

    #[tokio::test]
    async fn a_cancel_that_comes_too_late_leaves_the_answer() {
        let wish = Arc::new(OnceLock::new());
        let fake = cancelling(wish.clone(), |_| Answer::Response(vec![1], 1));
        let mut handle = connected(&fake, &options()).await;
        wish.set(handle.canceller()).unwrap();
        assert_eq!(handle.call(1, |_| ()).await.unwrap().stub, [1u8][..]);
        // And there is none to cancel now.
        handle.canceller().cancel();
        assert_eq!(handle.call(2, |_| ()).await.unwrap().stub, [1u8][..]);
    }

    #[tokio::test]
    async fn a_call_whose_cancel_is_not_answered_is_given_up() {
        let (send, orphaned) = mpsc::channel();
        let wish = Arc::new(OnceLock::new());
        let fake = cancelling(wish.clone(), move |asked| match asked {
            Asked::Cancel => Answer::Silence,
            Asked::Orphaned => {
                send.send(()).unwrap();
                Answer::Silence
            }
            _ => Answer::Response(vec![2], 1),
        });
        let options = Options {
            cancel_timeout: SHORT,
            ..options()
        };
        let mut handle = connected(&fake, &options).await;
        wish.set(handle.canceller()).unwrap();
        let cancelled = handle.call(1, |_| ()).await;
        assert!(
            matches!(cancelled, Err(CallError::Cancelled { .. })),
            "{cancelled:?}"
        );
        orphaned.recv_timeout(LONG).unwrap();
        assert_eq!(handle.call(2, |_| ()).await.unwrap().stub, [2u8][..]);
        drop(handle);
        assert_eq!(fake.calls(), [1, 2], "on one connection");
    }

    #[tokio::test]
    async fn a_call_ends_at_its_own_deadline_and_two_in_a_row_end_the_connection() {
        let fake = Fake::bound(|opnum, _| match opnum {
            1 => Answer::Silence,
            _ => Answer::Response(vec![2], 1),
        });
        let mut handle = connected(&fake, &options()).await;
        for opnum in [1, 2, 1, 1] {
            let call = handle.within(if opnum == 1 { SHORT } else { LONG });
            let outcome = call.call(opnum, |_| ()).await;
            let timed_out = matches!(
                outcome,
                Err(CallError::Timeout {
                    may_have_run: true,
                    ..
                })
            );
            assert_eq!(timed_out, opnum == 1, "{outcome:?}");
        }
        // The server sees its end, or this would wait.
        assert_eq!(fake.calls(), [1, 2, 1, 1]);
        assert!(handle.connected.is_none());
    }

    #[tokio::test]
    async fn a_call_that_the_server_did_not_take_whole_was_not_executed() {
        let fake = Fake::serve(|asked| match asked {
            Asked::Bind(..) => Answer::Accept(&[SyntaxId::NDR]),
            _ => Answer::Stop,
        });
        let mut handle = connected(&fake, &options()).await;
        let long = vec![0; 16 << 20];
        let call = handle.within(SHORT).call(1, |out| out.octets(&long));
        let outcome = call.await;
        assert!(
            matches!(
                outcome,
                Err(CallError::Timeout {
                    may_have_run: false,
                    ..
                })
            ),
            "{outcome:?}"
        );
        assert!(handle.connected.is_none(), "what is left cannot be sent");
    }

    #[tokio::test]
    async fn a_call_that_may_have_run_stays_one_whatever_becomes_of_the_second_attempt() {
        let fake = Fake::bound(|_, _| Answer::Close);
        let mut handle = connected(&fake, &options()).await;
        let outcome = handle.idempotent().call(1, |_| ()).await;
        assert!(
            matches!(
                outcome,
                Err(CallError::Broken {
                    may_have_run: true,
                    ..
                })
            ),
            "{outcome:?}"
        );
        // For the next call it is told what there is now.
        let outcome = handle.call(1, |_| ()).await.unwrap_err();
        assert!(!outcome.may_have_run(), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_leaves_the_next_its_own_answer() {
        let fake = Fake::bound(|opnum, _| match opnum {
            1 => Answer::Silence,
            _ => Answer::Response(vec![2], 1),
        });
        let mut handle = connected(&fake, &options()).await;
        let dropped = timeout_at(Instant::now(), handle.call(1, |_| ())).await;
        assert!(dropped.is_err());
        assert_eq!(handle.call(2, |_| ()).await.unwrap().stub, [2u8][..]);
    }

    #[test]
    fn handles_and_their_calls_can_go_to_other_threads() {
        fn send<T: Send>(_: T) {}
        fn call(handle: &mut Handle) {
            send(handle.call(1, |out| out.u32(7)));
        }
        let invoke = |mut handle: Handle| async move {
            handle.invoke::<Number>(1, &Number { value: 1 }).await
        };
        let _ = (call, |handle| send(invoke(handle)));
    }
}
