//! Operations that run: what reaches them, and what becomes of those that panic.

use crate::raw::Raw;
use crate::{ADD_ONE, COUNTER, DEADLINE, Nothing, Number, builder, counter, port};
use epmapper::host::{Call, Fault};
use epmapper::proto::ClientEvent;
use epmapper::wire::FaultStatus;
use std::sync::mpsc::channel;
use tokio::task::spawn_blocking;

/// Operations that wait for a cancel, that panic, and that panic after a while.
const WAIT: u16 = 4;
const PANIC: u16 = 5;
const PANIC_LATER: u16 = 6;
/// One that notes whether an answer is wanted.
const NOTE: u16 = 7;

/// Waits for a cancel.
async fn cancelled(call: Call) -> Result<Nothing, Fault> {
    call.cancelled().await;
    assert!(call.is_cancelled());
    Err(Fault::CANCELLED)
}

#[tokio::test]
async fn a_cancel_reaches_the_operation() {
    let (told, began) = channel();
    let interface = counter(1).typed_async(WAIT, move |call, _: Nothing| {
        told.send(()).unwrap();
        cancelled(call)
    });
    let server = builder("127.0.32.23").interface(interface);
    let server = server.start().await.unwrap();
    let mut raw = Raw::connect(&port(&server), COUNTER).await;
    raw.begin(WAIT, None, &Nothing {});
    raw.flush().await;
    let wait = spawn_blocking(move || began.recv_timeout(DEADLINE));
    wait.await.unwrap().expect("the operation begins");
    raw.cancel();
    let ClientEvent::Fault { status, .. } = raw.event().await else {
        panic!("a fault");
    };
    assert_eq!(status, FaultStatus::CANCEL);
}

#[tokio::test]
async fn an_operation_knows_that_its_answer_is_not_wanted() {
    let (told, was_told) = channel();
    let interface = counter(1).typed(NOTE, move |call, _: Nothing| {
        told.send(call.maybe).unwrap();
        Ok(Nothing {})
    });
    let server = builder("127.0.32.25").interface(interface);
    let server = server.start().await.unwrap();
    let mut raw = Raw::connect(&port(&server), COUNTER).await;
    raw.tell(NOTE, &Nothing {}).await;
    // What comes next on the connection answers this one.
    let _: Nothing = raw.ask(NOTE, None, &Nothing {}).await.unwrap();
    assert_eq!(Vec::from_iter(was_told.try_iter()), [true, false]);
}

#[tokio::test]
async fn an_operation_that_panics_faults_and_the_connection_goes_on() {
    let interface = counter(1)
        .typed(PANIC, |_, _: Nothing| -> Result<Nothing, Fault> {
            panic!("a mistake of the service")
        })
        .typed_async(
            PANIC_LATER,
            async |_, _: Nothing| -> Result<Nothing, Fault> {
                tokio::task::yield_now().await;
                panic!("a mistake of the service")
            },
        );
    let server = builder("127.0.32.24").interface(interface);
    let server = server.start().await.unwrap();
    let mut raw = Raw::connect(&port(&server), COUNTER).await;
    for opnum in [PANIC, PANIC_LATER] {
        let fault: Result<Nothing, _> = raw.ask(opnum, None, &Nothing {}).await;
        assert_eq!(fault, Err((FaultStatus::UNSPEC, false)));
        let asked = Number { number: 41 };
        let answer: Number = raw.ask(ADD_ONE, None, &asked).await.unwrap();
        assert_eq!(answer.number, 42);
    }
    assert_eq!(server.stop().await, 0);
}
