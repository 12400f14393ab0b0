//! Context handles: what a service keeps for a client from call to call.

use crate::raw::Raw;
use crate::{COUNTER, DEADLINE, Nothing, Number, builder, port};
use epmapper::host::Interface;
use epmapper::ndr_parameters;
use epmapper::server::Limits;
use epmapper::wire::FaultStatus;
use epmapper::wire::ndr::ContextHandle;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// The operations.
const OPEN: u16 = 1;
const COUNT: u16 = 2;
const CLOSE: u16 = 3;

ndr_parameters! {
    /// A context handle, asked or answered.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Handle { handle: ContextHandle }
}

/// A number that a handle stands for; its end is told.
struct Kept(AtomicU32, Sender<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.1.send(());
    }
}

/// A service that keeps numbers which go up by one. What ends of them is told.
fn keeper() -> (Interface, Receiver<()>) {
    let (ended, told) = channel();
    let interface = Interface::new(COUNTER)
        .typed(OPEN, move |call, _: Nothing| {
            let kept = Kept(AtomicU32::new(0), ended.clone());
            let handle = call.open(kept)?;
            Ok(Handle { handle })
        })
        .typed(COUNT, |call, asked: Handle| {
            let kept = call.context::<Kept>(&asked.handle)?;
            let number = kept.0.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Number { number })
        })
        .typed(CLOSE, |call, asked: Handle| {
            call.close::<Kept>(&asked.handle)?;
            let handle = ContextHandle::NULL;
            Ok(Handle { handle })
        });
    (interface, told)
}

#[tokio::test]
async fn a_context_handle_is_its_groups_and_goes_with_the_last_connection() {
    let (interface, ended) = keeper();
    let server = builder("127.0.32.15")
        .interface(interface)
        .start()
        .await
        .unwrap();
    let port = port(&server);
    let mut first = Raw::connect(&port, COUNTER).await;
    let open: Handle = first.ask(OPEN, None, &Nothing {}).await.unwrap();
    let kept: Handle = first.ask(OPEN, None, &Nothing {}).await.unwrap();
    let mut second = Raw::join(&port, COUNTER, first.group).await;
    let mut stranger = Raw::connect(&port, COUNTER).await;
    for count in [1, 3] {
        for (raw, count) in [(&mut first, count), (&mut second, count + 1)] {
            let answer: Number = raw.ask(COUNT, None, &open).await.unwrap();
            assert_eq!(answer.number, count);
        }
    }
    let mismatch = (FaultStatus::CONTEXT_MISMATCH, false);
    let answer: Result<Number, _> = stranger.ask(COUNT, None, &open).await;
    assert_eq!(answer, Err(mismatch));

    let closed: Handle = second.ask(CLOSE, None, &open).await.unwrap();
    assert!(closed.handle.is_null());
    ended.recv_timeout(DEADLINE).unwrap();
    let answer: Result<Number, _> = first.ask(COUNT, None, &open).await;
    assert_eq!(answer, Err(mismatch));

    // The group lives as long as one of its connections.
    drop(first);
    let answer: Number = second.ask(COUNT, None, &kept).await.unwrap();
    assert_eq!(answer.number, 1);
    assert!(ended.try_recv().is_err());
    drop(second);
    // Off the runtime's thread, which has to see the end of the connection.
    let ended = tokio::task::spawn_blocking(move || ended.recv_timeout(DEADLINE));
    ended.await.unwrap().expect("run down");
}

#[tokio::test]
async fn a_client_has_no_more_context_handles_than_it_may() {
    let limits = Limits {
        context_handles: 2,
        ..Limits::default()
    };
    let server = builder("127.0.32.16").interface(keeper().0).limits(limits);
    let server = server.start().await.unwrap();
    let mut raw = Raw::connect(&port(&server), COUNTER).await;
    let one: Handle = raw.ask(OPEN, None, &Nothing {}).await.unwrap();
    let _two: Handle = raw.ask(OPEN, None, &Nothing {}).await.unwrap();
    let refused: Result<Handle, _> = raw.ask(OPEN, None, &Nothing {}).await;
    assert_eq!(refused, Err((FaultStatus::REMOTE_NO_MEMORY, false)));
    let _: Handle = raw.ask(CLOSE, None, &one).await.unwrap();
    let _: Handle = raw.ask(OPEN, None, &Nothing {}).await.unwrap();
}
