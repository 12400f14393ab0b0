//! Servers that end while calls run.

use crate::raw::Raw;
use crate::{COUNTER, DEADLINE, Nothing, builder, port};
use epmapper::host::Interface;
use epmapper::proto::ClientEvent;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The operation that waits.
const WAIT: u16 = 4;

/// A time that is longer than any test takes.
const HOUR: Duration = Duration::from_secs(3600);

/// A service whose operation `WAIT` tells that it runs, and answers when it may;
/// its end is told, whether it answered or not.
fn patient() -> (Interface, Arc<Semaphore>, Receiver<&'static str>) {
    let (told, heard) = channel();
    let may = Arc::new(Semaphore::new(0));
    let wait = may.clone();
    let interface = Interface::new(COUNTER).typed_async(WAIT, move |_, _: Nothing| {
        let (told, may) = (told.clone(), wait.clone());
        async move {
            let _end = OnEnd(told.clone());
            told.send("began").unwrap();
            let _permit = may.acquire().await;
            Ok(Nothing {})
        }
    });
    (interface, may, heard)
}

/// Tells of its end.
struct OnEnd(Sender<&'static str>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

/// Waits, off this thread, for what is told.
async fn hear(heard: Receiver<&'static str>, what: &str) -> Receiver<&'static str> {
    let wait = move || (heard.recv_timeout(DEADLINE), heard);
    let (told, heard) = tokio::task::spawn_blocking(wait).await.unwrap();
    assert_eq!(told, Ok(what));
    heard
}

#[tokio::test]
async fn a_call_that_runs_is_answered_before_the_server_stops() {
    let (interface, may, heard) = patient();
    let server = builder("127.0.32.20").grace(HOUR).interface(interface);
    let server = server.start().await.unwrap();
    let mut raw = Raw::connect(&port(&server), COUNTER).await;
    raw.begin(WAIT, None, &Nothing {});
    raw.flush().await;
    hear(heard, "began").await;
    let at = port(&server);
    let stopping = tokio::spawn(server.stop());
    // It listens no more, and then the call goes on.
    while tokio::net::TcpStream::connect(&at).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    may.add_permits(1);
    assert!(matches!(raw.event().await, ClientEvent::Response { .. }));
    assert_eq!(stopping.await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_that_takes_longer_than_the_grace_is_ended() {
    let (interface, _may, heard) = patient();
    let server = builder("127.0.32.21")
        .grace(Duration::ZERO)
        .interface(interface);
    let server = server.start().await.unwrap();
    let mut raw = Raw::connect(&port(&server), COUNTER).await;
    raw.begin(WAIT, None, &Nothing {});
    raw.flush().await;
    let heard = hear(heard, "began").await;
    assert_eq!(server.stop().await, 1);
    hear(heard, "ended").await;
    raw.closed().await;
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_at_once_with_all_that_runs() {
    let (interface, _may, heard) = patient();
    let server = builder("127.0.32.22").grace(HOUR).interface(interface);
    let server = server.start().await.unwrap();
    let at = port(&server);
    let idle = Raw::connect(&at, COUNTER).await;
    let mut raw = Raw::connect(&at, COUNTER).await;
    raw.begin(WAIT, None, &Nothing {});
    raw.flush().await;
    let heard = hear(heard, "began").await;
    drop(server);
    hear(heard, "ended").await;
    raw.closed().await;
    idle.closed().await;
}
