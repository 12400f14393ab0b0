//! The registry's way to the disk: opened at the start, written by a thread.
//!
//! Leaves out what is stored and how: that is `store`. Where the system does
//! not let the registry be opened, the mapper serves all the same, and refuses
//! what it could not keep.

use super::privilege::Account;
use super::store::{Fault, Moment, Restored, Store, StoreError};
use crate::server::Mapper;
use nix::unistd::chown;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};
use uuid::Uuid;

/// How long the last changes may take to be written at the end.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// Where changes go.
pub enum State {
    /// Nowhere: the mapper forgets.
    None,
    /// To a file.
    Open(Box<Store>),
    /// To a file that could not be opened.
    Unavailable(StoreError),
}

impl State {
    /// Opens the registry at `path`, or tells that there is to be none.
    ///
    /// # Errors
    /// Another daemon has it, or a later version wrote it. What the system
    /// says is no error, but a state.
    pub fn open(path: Option<&Path>) -> Result<(State, Option<Restored>), StoreError> {
        let Some(path) = path else {
            return Ok((State::None, None));
        };
        let opened = Moment::read()
            .map_err(|cause| StoreError {
                path: path.to_owned(),
                fault: Fault::System(cause),
            })
            .and_then(|moment| Store::open(path, Uuid::new_v4(), &moment));
        match opened {
            Ok((store, restored)) => Ok((State::Open(Box::new(store)), Some(restored))),
            Err(error) if matches!(error.fault, Fault::System(_)) => {
                Ok((State::Unavailable(error), None))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether changes are answered only when they are written.
    pub fn is_stored(&self) -> bool {
        !matches!(self, State::None)
    }
}

/// Makes the folder of the registry for the user that the daemon becomes,
/// unless there is one.
pub fn make_folder(path: Option<&Path>, account: &Account) {
    let Some(folder) = path.and_then(Path::parent) else {
        return;
    };
    let made = DirBuilder::new().mode(0o755).create(folder);
    if made.is_ok() {
        let (uid, gid) = account.ids();
        // Where that fails, opening the registry tells.
        let _ = chown(folder, Some(uid), Some(gid));
    }
}

/// The thread that writes.
pub struct Writer {
    mapper: Arc<Mapper>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Writes what is changed in `mapper`, or says that it cannot.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(mapper: &Arc<Mapper>, state: State) -> io::Result<Writer> {
        let write: Box<dyn FnOnce(&Mapper) + Send> = match state {
            State::None => {
                let mapper = mapper.clone();
                let thread = None;
                return Ok(Writer { mapper, thread });
            }
            State::Open(store) => Box::new(|mapper| write(mapper, *store)),
            State::Unavailable(error) => {
                warn!(
                    "registrations are refused until the next start, since they cannot be kept: {error}; \
                    make the file and its folder writable, name another as `state`, or \"none\" to forget"
                );
                Box::new(refuse)
            }
        };
        let own = mapper.clone();
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write(&own))?;
        Ok(Writer {
            mapper: mapper.clone(),
            thread: Some(thread),
        })
    }

    /// Writes what is left, and ends.
    pub async fn end(self) {
        self.mapper.close();
        let Some(thread) = self.thread else {
            return;
        };
        let ended = spawn_blocking(|| thread.join());
        if timeout(LAST_WRITE, ended).await.is_err() {
            warn!("the disk does not answer; the last changes were not acknowledged");
        }
    }
}

/// Writes changes as they come.
fn write(mapper: &Mapper, mut store: Store) {
    if store.owes() > 0 {
        // What did not come back. Where that fails, the next commit tells.
        let _ = store.commit(&[]);
    }
    let mut fails = false;
    while let Some(batch) = mapper.next_batch() {
        let changes: Vec<_> = batch.changes().cloned().collect();
        let written = store.commit(&changes);
        match &written {
            Err(error) if !fails => {
                error!("changes cannot be written, and are refused until they can: {error}");
            }
            Ok(()) if fails => info!("changes can be written again"),
            _ => {}
        }
        fails = written.is_err();
        let owed = mapper.settle(batch, written.is_ok());
        store.owe(&owed);
    }
}

/// Refuses changes as they come.
fn refuse(mapper: &Mapper) {
    while let Some(batch) = mapper.next_batch() {
        mapper.settle(batch, false);
    }
}
