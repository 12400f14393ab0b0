//! Keeps entries registered at a mapper for as long as they are wanted.
//!
//! A mapper that is not there yet is waited for, one that was started anew gets
//! the entries again, and at the end they are taken out. How they are kept
//! depends on the mapper, see [`Kept`]; however it is, a process that is killed
//! leaves nothing behind for good.
//!
//! The mappers are tried in their order, and the first that takes the entries
//! has them until it is lost: one that stands before it and comes up later is
//! not gone back to. Always holds: whatever a mapper does, nothing waits longer
//! than the settings say, and one that is lost or refuses is not asked without
//! a pause.

mod keeper;

use super::ept::NewEntry;
use super::{ClientError, Failure, Settings, local_mapper};
use crate::wire::binding::Binding;
use crate::wire::status::FaultStatus;
use crate::wire::tower::{ProtocolSequence, TowerBuf};
use keeper::Keeper;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// An entry that is to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The object; nil for none.
    pub object: Uuid,
    /// Interface, transfer syntax and where the server is.
    pub tower: TowerBuf,
    /// A text for people, at most `MAX_ANNOTATION` octets and no NUL among them.
    pub annotation: String,
}

impl Registration {
    /// The entry as calls take it.
    fn entry(&self) -> NewEntry<'_> {
        NewEntry {
            object: self.object,
            tower: self.tower.octets(),
            annotation: self.annotation.as_bytes(),
        }
    }
}

/// Where and how entries are registered.
#[derive(Clone, Debug)]
pub struct RegistrarSettings {
    /// The mappers, in the order to try them.
    pub mappers: Vec<Binding>,
    /// Whether the entries replace what stands for the same service at the same
    /// address. Without it, an entry that is there already is the same one.
    pub replace: bool,
    /// How connections are asked for.
    pub client: Settings,
    /// How long a try at one mapper may take, and how long taking out may.
    pub timeout: Duration,
    /// The longest pause between two tries; the first ones are shorter.
    pub retry: Duration,
    /// How long a mapper is left alone that refused: it may log each try.
    pub retry_refused: Duration,
    /// How long a connection is kept before it makes room for another one:
    /// mappers close those that are silent. What came by `ept_insert` is
    /// registered once more then.
    pub renew: Duration,
    /// For how long a lease is asked for where the mapper does not know this
    /// process; it is renewed at a third of that. `None`: never, then that is
    /// a refusal.
    pub lease: Option<Duration>,
    /// Whether a mapper without a control interface gets the entries by
    /// `ept_insert`; it is a refusal otherwise.
    pub insert: bool,
    /// Whether nobody else in this process registers for the process' life:
    /// then at the end all that the mapper has of it is taken out. It is exact
    /// even when another process has registered one of the entries since, which
    /// is that one's then. Without it, just these entries are taken out, one's
    /// of the same user.
    pub alone: bool,
}

impl Default for RegistrarSettings {
    /// This host's mapper: by its local socket, or else by TCP on the loopback.
    fn default() -> Self {
        RegistrarSettings {
            mappers: vec![
                local_mapper(),
                Binding {
                    address: "127.0.0.1".to_owned(),
                    ..Binding::new(ProtocolSequence::NcacnIpTcp)
                },
            ],
            replace: false,
            client: Settings::default(),
            timeout: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            retry_refused: Duration::from_secs(30),
            renew: Duration::from_secs(5 * 60),
            lease: Some(Duration::from_secs(30)),
            insert: true,
            alone: false,
        }
    }
}

/// How a mapper keeps the entries: the first of these that it goes along with.
///
/// A process that is killed has no entry any more, and a lease would leave it
/// them for a while; so the process' life comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// For the life of this process: they are gone with it, at once.
    Process,
    /// By a lease of their own, which is renewed: it takes no knowledge of
    /// processes.
    Lease(Uuid),
    /// By `ept_insert`: as the mapper likes it. `epmapperd` asks the server from
    /// time to time; others keep them until they are deleted.
    Inserted,
}

/// What became of a registration so far.
#[derive(Clone, Debug)]
pub enum State {
    /// Nothing is known: it is the first try, or a mapper was lost just now.
    Trying,
    /// A mapper has all entries.
    Registered {
        /// Which one.
        at: Binding,
        /// How it keeps them.
        kept: Kept,
    },
    /// No mapper has them, and none refuses: each is tried again soon.
    Waiting {
        /// What each mapper is up to, in their order.
        troubles: Vec<Trouble>,
    },
    /// No mapper has them, and at least one refuses to: it is tried again
    /// rarely, the others soon.
    Refused {
        /// What each mapper is up to, in their order.
        troubles: Vec<Trouble>,
    },
}

impl State {
    /// Whether a mapper has the entries.
    pub fn is_registered(&self) -> bool {
        matches!(self, State::Registered { .. })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            State::Trying => f.write_str("trying"),
            State::Registered { at, .. } => write!(f, "registered at {at}"),
            State::Waiting { troubles } if troubles.is_empty() => {
                f.write_str("waiting: the settings name no mapper")
            }
            State::Waiting { troubles } => write!(f, "waiting: {}", Trouble::list(troubles)),
            State::Refused { troubles } => write!(
                f,
                "refused: {}; may this user register there?",
                Trouble::list(troubles)
            ),
        }
    }
}

/// Why a mapper does not have the entries.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{at}: {error}")]
pub struct Trouble {
    /// The mapper.
    pub at: Binding,
    /// What went wrong; at step `Call` it was reached, and did not register.
    pub error: Arc<ClientError>,
}

impl Trouble {
    /// Whether the mapper was reached, and did not want to; one that is too busy
    /// may want to soon.
    pub fn is_refusal(&self) -> bool {
        match &self.error.failure {
            Failure::Fault(status) => *status != FaultStatus::SERVER_TOO_BUSY,
            Failure::Refused(_) | Failure::Rejected(..) | Failure::Status(_) => true,
            // Wrong logons are counted, and may lock an account.
            Failure::LogonRefused(_) | Failure::NoAuthentication(_) | Failure::Logon(_) => true,
            _ => false,
        }
    }

    /// All of them in one line.
    fn list(troubles: &[Trouble]) -> String {
        let each: Vec<_> = troubles.iter().map(Trouble::to_string).collect();
        each.join("; ")
    }
}

/// Entries that are kept registered; dropped, it no longer keeps them, and
/// they end by their life.
///
/// ```no_run
/// use epmapper::client::registrar::{Registrar, RegistrarSettings, Registration};
/// use epmapper::wire::SyntaxId;
/// use epmapper::wire::tower::TowerBuf;
/// use uuid::{Uuid, uuid};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = SyntaxId::new(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), 1, 0);
/// let place = "ncacn_ip_tcp:192.0.2.10[49152]".parse()?;
/// let entry = Registration {
///     object: Uuid::nil(),
///     tower: TowerBuf::from_binding(echo, SyntaxId::NDR, &place)?,
///     annotation: "echo".to_owned(),
/// };
/// let registrar = Registrar::start(vec![entry], RegistrarSettings::default());
/// registrar.registered().await;
/// // Serves here.
/// registrar.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Registrar {
    /// What became of it.
    state: watch::Receiver<State>,
    /// Says that it is to end.
    stop: watch::Sender<bool>,
    /// Keeps the entries.
    task: JoinHandle<()>,
    /// How long the end may take.
    timeout: Duration,
}

impl Registrar {
    /// Begins to keep entries registered, on a task of its own.
    ///
    /// It does not fail: a mapper that is not there is waited for, and one that
    /// refuses is asked again; [`state`](Self::state) tells. All entries are
    /// registered together: a mapper that takes some and not others has none,
    /// but for what it does not give back.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn` does.
    pub fn start(entries: Vec<Registration>, settings: RegistrarSettings) -> Registrar {
        let timeout = settings.timeout;
        let (told, state) = watch::channel(State::Trying);
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(Keeper::new(entries, settings, told, stopping).keep());
        Registrar {
            state,
            stop,
            task,
            timeout,
        }
    }

    /// What holds now, and its changes; closed once it has ended.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until all entries are registered, however long that takes.
    pub async fn registered(&self) {
        let mut state = self.state();
        if state.wait_for(State::is_registered).await.is_err() {
            // The runtime has ended the task: they never will be.
            std::future::pending().await
        }
    }

    /// Takes the entries out, and ends.
    ///
    /// Takes no longer than the settings' `timeout`. What a mapper did not take
    /// out by then ends by its life.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // Too late: dropped, the task is ended.
        let _ = tokio::time::timeout(self.timeout, &mut self.task).await;
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Step;
    use crate::wire::EptStatus;
    use crate::wire::status::RejectReason;

    fn trouble(failure: Failure) -> Trouble {
        Trouble {
            at: local_mapper(),
            error: Arc::new(ClientError::new(Step::Call, failure)),
        }
    }

    #[tokio::test]
    async fn settings_without_a_mapper_are_said_to_be() {
        let settings = RegistrarSettings {
            mappers: Vec::new(),
            ..RegistrarSettings::default()
        };
        let registrar = Registrar::start(Vec::new(), settings);
        let mut state = registrar.state();
        let waits = |state: &State| matches!(state, State::Waiting { .. });
        let told = state.wait_for(waits).await.unwrap().to_string();
        assert_eq!(told, "waiting: the settings name no mapper");
    }

    #[test]
    fn who_does_not_want_to_refuses_and_who_cannot_now_does_not() {
        let is_refusal = |failure| trouble(failure).is_refusal();
        for failure in [
            Failure::Status(EptStatus::CANT_PERFORM_OP),
            Failure::Fault(FaultStatus::OP_RNG_ERROR),
            Failure::Refused(RejectReason::LOCAL_LIMIT_EXCEEDED),
            Failure::Logon("no ticket".to_owned()),
        ] {
            assert!(is_refusal(failure));
        }
        for failure in [
            Failure::Unreachable(Vec::new()),
            Failure::Timeout,
            Failure::Closed,
            Failure::Fault(FaultStatus::SERVER_TOO_BUSY),
        ] {
            assert!(!is_refusal(failure));
        }
    }

    #[test]
    fn a_state_tells_of_every_mapper() {
        let troubles = vec![trouble(Failure::Timeout), trouble(Failure::Closed)];
        assert_eq!(
            State::Waiting { troubles }.to_string(),
            "waiting: ncalrpc:[/run/epmapper/EPMAPPER]: call: no answer in time; \
             ncalrpc:[/run/epmapper/EPMAPPER]: call: the server closed the connection"
        );
    }

    #[test]
    fn by_default_the_local_socket_comes_before_tcp() {
        let mappers = RegistrarSettings::default().mappers;
        let told: Vec<_> = mappers.iter().map(Binding::to_string).collect();
        assert_eq!(
            told,
            ["ncalrpc:[/run/epmapper/EPMAPPER]", "ncacn_ip_tcp:127.0.0.1"]
        );
    }
}
