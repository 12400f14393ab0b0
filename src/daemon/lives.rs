//! Ends entries whose lives end: by processes, leases and probes.
//!
//! All of it is on threads of its own, so that what takes its time there holds
//! up no call.

use super::probe::{Book, Prober};
use super::process::Processes;
use crate::registry::{Probe, Process, Target, Verdict};
use crate::server::Mapper;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

/// A time that does not come, within what any clock can tell.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The threads that watch over lives; dropped, they end.
#[derive(Debug)]
pub struct Lives {
    /// Ends the thread of processes and leases when it is dropped.
    _stop: oneshot::Sender<()>,
    /// Probes.
    _prober: Prober,
}

impl Lives {
    /// Watches over the lives of a mapper's entries; `told` are the processes
    /// that have another entry, or one less. At most `descriptors` of them are watched
    /// by a descriptor, and `at_once` servers probed at a time.
    ///
    /// # Errors
    /// What the system says when it gives no thread or no runtime.
    pub fn start(
        mapper: &Arc<Mapper>,
        told: mpsc::UnboundedReceiver<Process>,
        descriptors: usize,
        at_once: usize,
    ) -> io::Result<Lives> {
        let prober = Prober::start(mapper.clone(), mapper.probes_changed(), at_once)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let mapper = mapper.clone();
        thread::Builder::new()
            .name("lives".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let ended = mapper.clone();
                    let ended = move |process| ended.end_process(process);
                    let processes = Processes::new(Handle::current(), descriptors, ended);
                    tokio::select! {
                        () = watch(&mapper, &processes, told) => {}
                        () = end_leases(&mapper) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Lives {
            _stop: stop,
            _prober: prober,
        })
    }
}

/// Watches the processes that are told, as long as they have entries.
///
/// What is asked of the mapper is as it is now: whatever changes afterwards is
/// told again.
async fn watch(mapper: &Mapper, processes: &Processes, mut told: mpsc::UnboundedReceiver<Process>) {
    while let Some(process) = told.recv().await {
        match mapper.has_process(process) {
            true => processes.watch(process),
            false => processes.forget(process),
        }
    }
}

/// Ends leases when they are over, for ever.
async fn end_leases(mapper: &Mapper) {
    loop {
        let next = mapper.next_lease_end();
        let next = next.unwrap_or_else(|| Instant::now() + FAR_AWAY);
        tokio::select! {
            () = sleep_until(next.into()) => mapper.end_leases(Instant::now()),
            () = mapper.leases_changed() => {}
        }
    }
}

impl Book for Mapper {
    fn due(&self, now: Instant, most: usize) -> Vec<Probe> {
        self.due_probes(now, most)
    }

    fn answered(&self, now: Instant, target: Target, verdict: Verdict) {
        self.probed(now, target, verdict);
    }

    fn next_due(&self) -> Option<Instant> {
        self.next_probe()
    }
}
