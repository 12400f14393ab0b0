//! A daemon with a registry, recorded while clients use it.

use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::thread;

use crate::daemon::Daemon;
use crate::recording::{self, Recording, Sent};
use crate::registry::{Entry, Registry, SIZES};

/// ept_s_not_registered.
pub const NOT_REGISTERED: u64 = 0x16c9_a0d6;

/// A daemon with its registry, recorded.
pub struct Session {
    pub daemon: Daemon,
    pub registry: Registry,
    /// `None` where dumpcap or tshark are missing.
    pub recording: Option<Recording>,
}

impl Session {
    pub fn start(address: Ipv4Addr, size: usize, conversation: &str) -> Session {
        let recording = Recording::start(address);
        Session {
            recording,
            ..Session::unrecorded(address, size, conversation)
        }
    }

    /// For traffic that tshark cannot judge.
    pub fn unrecorded(address: Ipv4Addr, size: usize, conversation: &str) -> Session {
        let registry = Registry::of(size, conversation);
        let daemon = Daemon::start(address, &registry.config);
        Session {
            daemon,
            registry,
            recording: None,
        }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.daemon.address()
    }

    /// The registry as a client sees it, with the mapper's own entry.
    pub fn entries(&self) -> Vec<Entry> {
        let address = self.address();
        self.registry
            .entries_with_mapper(address)
            .iter()
            .map(|entry| entry.seen_at(address))
            .collect()
    }

    /// Stops the daemon in good order; returns what it sent, which tshark must find no fault with, where it was recorded.
    pub fn finish(mut self) -> Option<Sent> {
        self.daemon.assert_alive("all clients");
        let sent = self.recording.map(|recording| {
            let sent =
                recording::judge(&recording.finish()).unwrap_or_else(|fault| panic!("{fault}"));
            assert!(
                sent.frames > 0,
                "nothing of the session is in the recording"
            );
            sent
        });
        let (status, log) = self.daemon.stop();
        assert!(
            status.success(),
            "epmapperd ended with {status}; its log:\n{log}"
        );
        sent
    }
}

/// Runs a client against each size of registry, all at once; returns what each daemon sent where it was recorded.
pub fn with_each_registry(
    block: u8,
    conversation: &str,
    client: impl Fn(&Session) + Sync,
) -> Vec<(usize, Sent)> {
    let start = |address, size| Session::start(address, size, conversation);
    with_each_session(block, start, client)
}

/// The same against sessions that `start` makes of an address and a size.
pub fn with_each_session(
    block: u8,
    start: impl Fn(Ipv4Addr, usize) -> Session + Sync,
    client: impl Fn(&Session) + Sync,
) -> Vec<(usize, Sent)> {
    let run = |number: u8, size: usize| {
        let session = start(Ipv4Addr::new(127, 0, block, number), size);
        client(&session);
        (size, session.finish())
    };
    let run = &run;
    thread::scope(|scope| {
        let threads = (1..)
            .zip(SIZES)
            .map(|(number, size)| scope.spawn(move || run(number, size)));
        let threads: Vec<_> = threads.collect();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let failed = SIZES.iter().zip(&ended).filter(|(_, ended)| ended.is_err());
        let failed: Vec<_> = failed.map(|(size, _)| size).collect();
        assert!(
            failed.is_empty(),
            "failed with registries of {failed:?} entries: see above"
        );
        ended
            .into_iter()
            .flatten()
            .filter_map(|(size, sent)| Some((size, sent?)))
            .collect()
    })
}

/// Compares lists, and shows the first difference instead of both.
#[track_caller]
pub fn assert_equal<T: PartialEq + Debug>(found: Vec<T>, expected: Vec<T>) {
    let different = found
        .iter()
        .zip(&expected)
        .position(|(found, expected)| found != expected);
    if let Some(at) = different {
        panic!(
            "number {at}:\nfound    {:?}\nexpected {:?}",
            found[at], expected[at]
        );
    }
    assert_eq!(found.len(), expected.len(), "as many as expected");
}
