//! The task behind a registrar: tries, watches, renews and takes out.

use super::{Kept, RegistrarSettings, Registration, State, Trouble};
use crate::client::control::{Control, Lifetime};
use crate::client::ept::NewEntry;
use crate::client::{ClientError, Failure, Mapper, Step};
use crate::wire::binding::Binding;
use crate::wire::ept::MAX_ENTRIES;
use crate::wire::status::ProviderReason;
use crate::wire::tower::ProtocolSequence;
use crate::wire::{EptStatus, FaultStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// The first pause behind a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The pause of who takes entries out, and finds the mapper too busy.
const BUSY: Duration = Duration::from_millis(100);

/// How many entries a call takes.
const AT_ONCE: usize = MAX_ENTRIES as usize;

/// Keeps entries registered.
pub struct Keeper {
    /// The entries.
    entries: Arc<[Registration]>,
    /// Where and how.
    settings: RegistrarSettings,
    /// The mappers, in the order to try them.
    places: Vec<Place>,
    /// Where entries may stand, and how they are kept there.
    kept: Option<(Binding, Kept)>,
    /// Tells what became of it.
    state: watch::Sender<State>,
    /// Told when it is to end.
    stopping: watch::Receiver<bool>,
}

/// A mapper.
struct Place {
    /// Where it is.
    at: Binding,
    /// Why it did not register the last time, if it did not.
    trouble: Option<Trouble>,
    /// Until when it is left alone, since it refused.
    rests: Option<Instant>,
}

/// What a mapper keeps, for as long as the connection lasts.
struct Held {
    /// The mapper.
    at: Binding,
    /// How it keeps it.
    kept: Kept,
    /// Ends with the mapper.
    connection: Connection,
    /// After which time it is to be renewed.
    renew: Duration,
}

/// A connection that is kept to hear of the mapper's end.
enum Connection {
    /// To its control interface.
    Control(Control),
    /// To its own interface.
    Mapper(Mapper),
}

impl Connection {
    /// Waits until the mapper closes it.
    async fn closed(&mut self) {
        match self {
            Connection::Control(control) => control.closed().await,
            Connection::Mapper(mapper) => mapper.closed().await,
        }
    }
}

impl Keeper {
    /// Of these entries, which nobody has registered yet.
    pub fn new(
        entries: Vec<Registration>,
        settings: RegistrarSettings,
        state: watch::Sender<State>,
        stopping: watch::Receiver<bool>,
    ) -> Keeper {
        let place = |at: &Binding| Place {
            at: at.clone(),
            trouble: None,
            rests: None,
        };
        Keeper {
            entries: entries.into(),
            places: settings.mappers.iter().map(place).collect(),
            settings,
            kept: None,
            state,
            stopping,
        }
    }

    /// Keeps them registered until it is told to stop; takes them out then.
    pub async fn keep(mut self) {
        let mut pause = Duration::ZERO;
        while !self.is_stopped_within(pause).await {
            let begun = Instant::now();
            if let Some(held) = self.round().await {
                self.watch(held).await;
                self.tell(State::Trying);
            }
            // Who takes the entries and hangs up at once is not asked at once.
            pause = match begun.elapsed() > self.settings.retry {
                true => Duration::ZERO,
                false => (pause * 2).clamp(FIRST_PAUSE, self.settings.retry.max(FIRST_PAUSE)),
            };
        }
        self.withdraw().await;
    }

    /// Waits so long, or until it is told to stop, which it says.
    async fn is_stopped_within(&mut self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = stopped(&mut self.stopping) => true,
            () = sleep(time) => false,
        }
    }

    /// Tries the mappers in turn; what the first willing one keeps.
    async fn round(&mut self) -> Option<Held> {
        for index in 0..self.places.len() {
            let place = &self.places[index];
            if *self.stopping.borrow() || place.rests.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            let at = place.at.clone();
            match self.register(&at).await {
                Ok(held) => {
                    let kept = held.kept;
                    self.tell(State::Registered { at, kept });
                    self.places.iter_mut().for_each(Place::forget);
                    return Some(held);
                }
                Err(error) => self.places[index].fail(error, self.settings.retry_refused),
            }
        }
        let troubles: Vec<_> = self.places.iter().filter_map(Place::trouble).collect();
        self.tell(match troubles.iter().any(Trouble::is_refusal) {
            true => State::Refused { troubles },
            false => State::Waiting { troubles },
        });
        None
    }

    /// Tells what holds, unless that was told already.
    fn tell(&self, state: State) {
        self.state.send_if_modified(|told| {
            let is_new = told.to_string() != state.to_string();
            *told = state;
            is_new
        });
    }

    /// Renews what a mapper keeps until it is lost, or not wanted any more.
    async fn watch(&mut self, mut held: Held) {
        loop {
            let is_lost = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return,
                closed = timeout(held.renew.max(FIRST_PAUSE), held.connection.closed()) => closed.is_ok(),
            };
            let renewed = match is_lost {
                true => return,
                false => self.renew(&held.at, held.kept).await,
            };
            match renewed {
                Ok(renewed) => held = renewed,
                // The next round tells what is wrong.
                Err(_) => return,
            }
        }
    }

    /// Renews what a mapper keeps, over a new connection.
    async fn renew(&mut self, at: &Binding, kept: Kept) -> Result<Held, ClientError> {
        if kept == Kept::Inserted {
            return self.register(at).await;
        }
        let mut control = self.control(at).await?;
        let renew = match kept {
            Kept::Lease(lease) => control.renew(lease).await? / 3,
            _ => self.settings.renew,
        };
        Ok(Held {
            at: at.clone(),
            kept,
            connection: Connection::Control(control),
            renew,
        })
    }

    /// Registers at a mapper: by its control interface, or as any mapper knows
    /// it.
    async fn register(&mut self, at: &Binding) -> Result<Held, ClientError> {
        // Over TCP nobody serves it.
        if at.protseq == ProtocolSequence::Ncalrpc || !self.settings.insert {
            match self.control(at).await {
                Ok(control) => return self.register_by_control(at, control).await,
                Err(error) if self.settings.insert && is_unknown(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut mapper = self.mapper(at).await?;
        self.insert(at, &mut mapper).await?;
        Ok(Held {
            at: at.clone(),
            kept: Kept::Inserted,
            connection: Connection::Mapper(mapper),
            renew: self.settings.renew,
        })
    }

    /// Connects to a mapper's control interface.
    async fn control(&self, at: &Binding) -> Result<Control, ClientError> {
        Control::connect(at, &self.settings.client, self.deadline()).await
    }

    /// Connects to a mapper.
    async fn mapper(&self, at: &Binding) -> Result<Mapper, ClientError> {
        Mapper::connect(at, &self.settings.client, self.deadline()).await
    }

    /// When a conversation that begins now is to be over.
    fn deadline(&self) -> Instant {
        Instant::now() + self.settings.timeout
    }

    /// Registers for the life of this process; by a lease where the mapper does
    /// not want that.
    async fn register_by_control(
        &mut self,
        at: &Binding,
        mut control: Control,
    ) -> Result<Held, ClientError> {
        let process = self.grant(at, &mut control, Lifetime::Process).await;
        let (kept, renew) = match (process, self.settings.lease) {
            // What the rules refuse and what it does not know looks the same.
            (Err(error), Some(time)) if is_denied(&error) => {
                let lifetime = Lifetime::Lease(time);
                self.grant(at, &mut control, lifetime).await?
            }
            (granted, _) => granted?,
        };
        Ok(Held {
            at: at.clone(),
            kept,
            connection: Connection::Control(control),
            renew,
        })
    }

    /// Registers all entries with a life; how they are kept, and when to renew
    /// that.
    async fn grant(
        &mut self,
        at: &Binding,
        control: &mut Control,
        mut lifetime: Lifetime,
    ) -> Result<(Kept, Duration), ClientError> {
        let mut kept = match lifetime {
            Lifetime::Process => Kept::Process,
            _ => Kept::Inserted,
        };
        let mut renew = self.settings.renew;
        let before = self.kept.clone();
        let entries = self.entries.clone();
        for (index, some) in entries.chunks(AT_ONCE).enumerate() {
            self.kept = Some((at.clone(), kept));
            let registered = control
                .register(&listed(some), lifetime, self.settings.replace)
                .await;
            match registered {
                Ok(Some(granted)) => {
                    kept = Kept::Lease(granted.lease);
                    renew = granted.duration / 3;
                    lifetime = Lifetime::Joined(granted.lease);
                }
                Ok(None) => {}
                Err(error) => return Err(self.give_back(index, before, error).await),
            }
        }
        self.kept = Some((at.clone(), kept));
        Ok((kept, renew))
    }

    /// Registers all entries as any mapper knows it.
    async fn insert(&mut self, at: &Binding, mapper: &mut Mapper) -> Result<(), ClientError> {
        let before = self.kept.replace((at.clone(), Kept::Inserted));
        let entries = self.entries.clone();
        for (index, some) in entries.chunks(AT_ONCE).enumerate() {
            let inserted = mapper.insert(&listed(some), self.settings.replace).await;
            if let Err(error) = inserted {
                return Err(self.give_back(index, before, error).await);
            }
        }
        Ok(())
    }

    /// Takes out what calls before a failed one have registered, if there were
    /// any. A mapper that denies the first one has nothing of it, and is not
    /// asked to take it out: it may log that as well.
    async fn give_back(
        &mut self,
        calls: usize,
        before: Option<(Binding, Kept)>,
        error: ClientError,
    ) -> ClientError {
        if calls > 0 {
            self.withdraw().await;
        } else if is_denied(&error) {
            self.kept = before;
        }
        error
    }

    /// Takes out what stands at a mapper. What is left there ends by its life.
    async fn withdraw(&mut self) {
        let Some((at, kept)) = self.kept.clone() else {
            return;
        };
        let _ = timeout(self.settings.timeout, self.take_out(&at, kept)).await;
    }

    /// Takes out what is kept so.
    async fn take_out(&self, at: &Binding, kept: Kept) -> Result<(), ClientError> {
        match kept {
            Kept::Process if self.settings.alone => self.control(at).await?.leave().await,
            Kept::Lease(lease) => self.control(at).await?.release(lease).await,
            Kept::Process | Kept::Inserted => self.delete(at).await,
        }
    }

    /// Takes out the entries, one by one where some are gone already.
    async fn delete(&self, at: &Binding) -> Result<(), ClientError> {
        let mut mapper = self.mapper(at).await?;
        for some in self.entries.chunks(AT_ONCE) {
            let some = listed(some);
            if delete(&mut mapper, &some).await? || some.len() == 1 {
                continue;
            }
            for entry in some {
                delete(&mut mapper, &[entry]).await?;
            }
        }
        Ok(())
    }
}

/// Takes out all of these entries, once the mapper is not too busy for that;
/// whether they were there, each of them.
async fn delete(mapper: &mut Mapper, entries: &[NewEntry<'_>]) -> Result<bool, ClientError> {
    use EptStatus as Ept;
    loop {
        let Err(error) = mapper.delete(entries).await else {
            return Ok(true);
        };
        match error.failure {
            Failure::Status(Ept::NOT_REGISTERED | Ept::WIN32_NOT_REGISTERED) => return Ok(false),
            _ if is_busy(&error) => sleep(BUSY).await,
            _ => return Err(error),
        }
    }
}

impl Place {
    /// Notes that it did not register.
    fn fail(&mut self, error: ClientError, rest: Duration) {
        let trouble = Trouble {
            at: self.at.clone(),
            error: Arc::new(error),
        };
        self.rests = trouble.is_refusal().then(|| Instant::now() + rest);
        self.trouble = Some(trouble);
    }

    /// Forgets what it did before.
    fn forget(&mut self) {
        self.trouble = None;
        self.rests = None;
    }

    /// Why it did not register the last time.
    fn trouble(&self) -> Option<Trouble> {
        self.trouble.clone()
    }
}

/// Waits until it is told to stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Who would tell is gone: nobody wants the entries any more.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Entries as calls take them.
fn listed(entries: &[Registration]) -> Vec<NewEntry<'_>> {
    entries.iter().map(Registration::entry).collect()
}

/// Whether a mapper has more to do than it wants to at the moment.
fn is_busy(error: &ClientError) -> bool {
    matches!(error.failure, Failure::Fault(FaultStatus::SERVER_TOO_BUSY))
}

/// Whether a mapper does not serve its control interface there.
fn is_unknown(error: &ClientError) -> bool {
    use ProviderReason as Reason;
    error.step == Step::Bind
        && matches!(
            error.failure,
            Failure::Rejected(_, Reason::ABSTRACT_SYNTAX_NOT_SUPPORTED)
        )
}

/// Whether a mapper does not let this caller do what it asked for.
fn is_denied(error: &ClientError) -> bool {
    use {EptStatus as Ept, FaultStatus as Fault};
    matches!(
        error.failure,
        Failure::Status(Ept::CANT_PERFORM_OP | Ept::WIN32_CANT_PERFORM_OP)
            | Failure::Fault(Fault::OP_RNG_ERROR | Fault::CANT_PERFORM)
    )
}
