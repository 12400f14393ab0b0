//! The control interface over the registry: lives, leases, status.
//!
//! Served to callers of this host only. Whoever may register may choose how an
//! entry ends; everybody may read the status.

use super::audit::Counter;
use super::changes::{Asked, Granted, Wish};
use super::{Book, Mapper};
use crate::registry::{Entry, EntryId, Lease, Life, NotProbed, Owner, Registrant, RegistryError};
use crate::server::lock;
use crate::service::registration::{self, Named};
use crate::service::{Call, Interface, Outcome, Refusal, Reply};
use crate::wire::control::{
    self, CountersRequest, CountersResponse, EntriesRequest, EntriesResponse, Facts, KnownEntry,
    LeaseRequest, RegisterRequest, RegisterResponse, RenewResponse,
};
use crate::wire::ept::{self, InsertRequest};
use crate::wire::ndr::Referents;
use crate::wire::{EptStatus, Input, SyntaxId, TransferSyntax};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// The control interface.
pub(super) struct Control(pub(super) Arc<Mapper>);

impl Interface for Control {
    fn id(&self) -> SyntaxId {
        SyntaxId::CONTROL
    }

    fn transfer_syntaxes(&self) -> &[TransferSyntax] {
        &self.0.transfer_syntaxes
    }

    fn call(&self, call: Call<'_>) -> Outcome {
        match call.opnum {
            control::REGISTER => self.0.register(&call),
            control::RENEW => self.0.renew(&call),
            control::RELEASE => self.0.release(&call),
            control::ENTRIES => self.0.tell_entries(&call),
            control::COUNTERS => self.0.tell_counters(&call),
            _ => Reply::NO_SUCH_OPERATION.into(),
        }
    }
}

/// What became of a change.
type Done = Result<Granted, RegistryError>;

impl Mapper {
    /// Registers entries with the life that the caller chooses.
    fn register(self: &Arc<Self>, call: &Call) -> Outcome {
        const OP: &str = "register";
        let Ok(request) = RegisterRequest::decode(call.stub) else {
            return Reply::BAD_STUB.into();
        };
        let by = call.session.registrant();
        let respond = responder(call);
        if !self.settings.policy.may_register(&by) {
            self.refused_caller(OP, &by, || Named::listed(&request.entries));
            return respond(Err(RegistryError::NotAllowed)).into();
        }
        match self.wish(&request, &by, call) {
            Ok(wish) => {
                let (op, now) = (OP, call.now);
                self.submit(Asked { op, by, now, wish }, respond)
            }
            Err(error) => {
                self.refused(OP, &by, || Named::listed(&request.entries), &error);
                respond(Err(error)).into()
            }
        }
    }

    /// What a registration comes to.
    fn wish(
        &self,
        request: &RegisterRequest,
        by: &Registrant,
        call: &Call,
    ) -> Result<Wish, RegistryError> {
        let (life, lease) = match request.life {
            control::Life::PROCESS => {
                let process = by.process().ok_or(RegistryError::NoProcess)?;
                (Life::Process(process), None)
            }
            control::Life::PROBE => (Life::Probe, None),
            control::Life::LEASE => {
                let lease = self.lease(request, call);
                (Life::Lease(lease), Some(lease))
            }
            other => return Err(RegistryError::NoSuchLife(other.0)),
        };
        let insert = InsertRequest {
            entries: request.entries.clone(),
            replace: request.replace,
        };
        let edit = self.desk(|desk| desk.insert(&insert, by, &|_| Ok(life)))?;
        Ok(match lease {
            None => Wish::Edit(edit),
            Some(lease) => Wish::Lease {
                edit,
                lease,
                is_new: request.lease.is_nil(),
            },
        })
    }

    /// The lease that is asked for, within the limits.
    fn lease(&self, request: &RegisterRequest, call: &Call) -> Lease {
        let asked = Duration::from_millis(request.duration_ms.into());
        let (shortest, longest) = self.settings.leases.clone().into_inner();
        let id = match request.lease.is_nil() {
            true => (call.fresh)(),
            false => request.lease,
        };
        let duration = asked.min(longest).max(shortest);
        Lease { id, duration }
    }

    /// Gives a lease more time.
    fn renew(self: &Arc<Self>, call: &Call) -> Outcome {
        let Ok(request) = LeaseRequest::decode(call.stub) else {
            return Reply::BAD_STUB.into();
        };
        let (order, syntax) = (call.stub.order(), call.stub.syntax());
        let respond = move |done: Done| {
            let asked = Input::stub(&[], order, syntax);
            let answer = |duration_ms, status| {
                let response = RenewResponse {
                    duration_ms,
                    status,
                };
                Reply::response(asked, |out| response.encode(out))
            };
            match done {
                Ok(Granted { lease }) => {
                    let duration = lease.map_or(Duration::ZERO, |lease| lease.duration);
                    answer(milliseconds(duration), EptStatus::OK)
                }
                Err(error) => registration::refusal(&error).reply(|status| answer(0, status)),
            }
        };
        let (op, by, now) = ("renew", call.session.registrant(), call.now);
        let wish = Wish::Renew(request.lease);
        self.submit(Asked { op, by, now, wish }, respond)
    }

    /// Ends a lease and takes its entries out; a nil one stands for the
    /// caller's process.
    fn release(self: &Arc<Self>, call: &Call) -> Outcome {
        let Ok(request) = LeaseRequest::decode(call.stub) else {
            return Reply::BAD_STUB.into();
        };
        let (order, syntax) = (call.stub.order(), call.stub.syntax());
        let respond = move |done: Done| {
            let asked = Input::stub(&[], order, syntax);
            let refusal = done.map_or_else(
                |error| registration::refusal(&error),
                |_| Refusal::Status(EptStatus::OK),
            );
            refusal.reply(|status| registration::respond(asked, status))
        };
        let (op, by, now) = ("release", call.session.registrant(), call.now);
        let wish = match request.lease.is_nil() {
            true => Wish::Leave,
            false => Wish::Release(request.lease),
        };
        self.submit(Asked { op, by, now, wish }, respond)
    }

    /// Tells a page of entries.
    fn tell_entries(self: &Arc<Self>, call: &Call) -> Outcome {
        let Ok(request) = EntriesRequest::decode(call.stub) else {
            return Reply::BAD_STUB.into();
        };
        let (order, syntax, now) = (call.stub.order(), call.stub.syntax(), call.now);
        self.tell_aside(move |mapper| {
            let asked = Input::stub(&[], order, syntax);
            mapper.entries_page(request, asked, now)
        })
    }

    /// Tells of the status aside, since a long page takes its time, and the
    /// book may be held: one at a time, however many ask, so that they take
    /// neither threads without number nor the place of calls.
    fn tell_aside(
        self: &Arc<Self>,
        tell: impl FnOnce(&Mapper) -> Reply + Send + 'static,
    ) -> Outcome {
        let mapper = self.clone();
        Outcome::Later(Box::pin(async move {
            // It is never closed.
            let turn = mapper.telling.clone().acquire_owned().await;
            let told = spawn_blocking(move || {
                // Whoever asked may be gone before this ends.
                let _turn = turn;
                tell(&mapper)
            });
            told.await.unwrap_or(Reply::BAD_STUB)
        }))
    }

    /// A page of entries with what is known of them.
    fn entries_page(&self, request: EntriesRequest, asked: Input, now: Instant) -> Reply {
        let most = request.max_ents as usize;
        let after = EntryId::from_number(request.after);
        let mut page: Vec<(EntryId, Entry)> = self.read(|table| {
            let behind = table.behind(after).take(most + 1);
            behind.map(|(id, entry)| (id, entry.clone())).collect()
        });
        let has_more = page.len() > most;
        page.truncate(most);
        let next = page.last().map_or(0, |(id, _)| id.number());
        let time = self.desk(|desk| desk.time);
        let mut referents = Referents::after(0);
        let book = lock(&self.book);
        let entries = page.iter().map(|(id, entry)| KnownEntry {
            entry: ept::Entry::new(
                &mut referents,
                entry.object(),
                entry.tower(),
                entry.annotation(),
            ),
            facts: Facts {
                probe: self.probe_facts(&book, *id, entry, now),
                ..book.facts(*id, entry, now, time)
            },
            account: match entry.owner() {
                Owner::Account(name) => name.as_str().as_bytes().into(),
                _ => Default::default(),
            },
        });
        let entries: Vec<_> = entries.collect();
        drop(book);
        let response = EntriesResponse {
            next: if has_more { next } else { 0 },
            max_ents: request.max_ents,
            entries,
            status: EptStatus::OK,
        };
        Reply::response(asked, |out| response.encode(out))
    }

    /// What probes of an entry told.
    fn probe_facts(&self, book: &Book, id: EntryId, entry: &Entry, now: Instant) -> control::Probe {
        if entry.life() != Life::Probe {
            return control::Probe::default();
        }
        let Some(known) = book.probes.state(id) else {
            let reason = self.target(entry).err();
            return control::Probe {
                state: control::ProbeState::NOT_PROBED,
                reason: reason.map_or(control::NotProbed::OTHER, reason_of),
                ..control::Probe::default()
            };
        };
        let age = known.last.map(|last| now.saturating_duration_since(last));
        control::Probe {
            state: match (known.last, known.failures) {
                (None, _) => control::ProbeState::WAITING,
                (Some(_), 0) => control::ProbeState::ANSWERED,
                (Some(_), _) => control::ProbeState::FAILED,
            },
            reason: control::NotProbed::default(),
            age_ms: age.map_or(0, milliseconds),
            failures: known.failures,
        }
    }

    /// Tells what is counted.
    fn tell_counters(self: &Arc<Self>, call: &Call) -> Outcome {
        let Ok(request) = CountersRequest::decode(call.stub) else {
            return Reply::BAD_STUB.into();
        };
        let (order, syntax) = (call.stub.order(), call.stub.syntax());
        self.tell_aside(move |mapper| {
            let asked = Input::stub(&[], order, syntax);
            mapper.counted(request, asked)
        })
    }

    /// The counters and some states.
    fn counted(&self, request: CountersRequest, asked: Input) -> Reply {
        let counter = |name: &'static str, value| control::Counter {
            name: name.as_bytes().into(),
            value,
        };
        let mut counters = vec![
            counter("entries", self.len() as u64),
            counter("leases", lock(&self.book).leases.len() as u64),
        ];
        let counted = Counter::ALL.into_iter();
        counters.extend(counted.map(|kind| counter(kind.name(), self.counters.count(kind))));
        let [logons, wrong_logons] = self.statistics.logons();
        counters.push(counter("logons", logons));
        counters.push(counter("wrong_logons", wrong_logons));
        let packets = self.statistics.refused_packets();
        counters.push(counter("refused_packets", packets));
        counters.push(counter("logons_not_logged", self.statistics.untold()));
        counters.truncate(request.max_counters as usize);
        let response = CountersResponse {
            max_counters: request.max_counters,
            counters,
            status: EptStatus::OK,
        };
        Reply::response(asked, |out| response.encode(out))
    }
}

impl Book {
    /// What is known of an entry at `now`, `time` seconds after 1970.
    fn facts(&self, id: EntryId, entry: &Entry, now: Instant, time: u64) -> Facts {
        let (life, pid, lease) = match entry.life() {
            Life::Permanent => (control::Life::PERMANENT, 0, Uuid::nil()),
            Life::Process(process) => (control::Life::PROCESS, process.pid, Uuid::nil()),
            Life::Probe => (control::Life::PROBE, 0, Uuid::nil()),
            Life::Lease(lease) => (control::Life::LEASE, 0, lease.id),
        };
        let left = self.leases.until(lease);
        let left = left.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let registered = Some(entry.registered()).filter(|registered| *registered != 0);
        Facts {
            number: id.number(),
            age_seconds: registered.map_or(Facts::NO_AGE, |at| time.saturating_sub(at)),
            lease,
            owner: match entry.owner() {
                Owner::Mapper => control::Owner::MAPPER,
                Owner::Configuration => control::Owner::CONFIGURATION,
                Owner::User(uid) => control::Owner::user(*uid),
                Owner::Account(_) => control::Owner::account(entry.origin()),
                Owner::Host(address) => control::Owner::host(*address),
            },
            life,
            pid,
            left_ms: milliseconds(left),
            probe: control::Probe::default(),
        }
    }
}

/// Why an entry is not probed, as the interface says it.
fn reason_of(reason: NotProbed) -> control::NotProbed {
    use crate::wire::tower::ProtocolSequence as Sequence;
    let shape = match reason {
        NotProbed::Port => return control::NotProbed::NO_PORT,
        NotProbed::Address(_) => return control::NotProbed::FOREIGN_ADDRESS,
        NotProbed::Protocol(shape) => shape,
    };
    match shape.protseq() {
        Some(Sequence::NcacnNp) => control::NotProbed::NAMED_PIPE,
        Some(Sequence::Ncalrpc | Sequence::NcacnUnixStream) => control::NotProbed::LOCAL_SOCKET,
        Some(Sequence::NcacnHttp) => control::NotProbed::HTTP,
        Some(protseq) if protseq.name().starts_with("ncadg") => control::NotProbed::DATAGRAM,
        _ => control::NotProbed::OTHER,
    }
}

/// Makes the answer to `control_register` of what became of it.
fn responder(call: &Call) -> impl FnOnce(Done) -> Reply + Send + 'static {
    let (order, syntax) = (call.stub.order(), call.stub.syntax());
    move |done| {
        let answer = |lease: Option<Lease>, status| {
            let response = RegisterResponse {
                lease: lease.map_or(Uuid::nil(), |lease| lease.id),
                duration_ms: lease.map_or(0, |lease| milliseconds(lease.duration)),
                status,
            };
            Reply::response(Input::stub(&[], order, syntax), |out| response.encode(out))
        };
        match done {
            Ok(granted) => answer(granted.lease, EptStatus::OK),
            Err(error) => registration::refusal(&error).reply(|status| answer(None, status)),
        }
    }
}

/// A time in whole milliseconds, as far as they go.
fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{HandleLimits, Handles};
    use crate::server::mapper::MapperSettings;
    use crate::service::Conversation;
    use crate::service::Trust;
    use crate::wire::{ByteOrder, Output};
    use tokio::runtime::Builder;

    /// Asks for the counters.
    fn ask_counters(control: &Control) -> Outcome {
        let mut octets = Vec::new();
        let request = CountersRequest { max_counters: 1 };
        request.encode(&mut Output::new(&mut octets, ByteOrder::Little));
        let mut handles = Handles::new(HandleLimits::default());
        control.call(Call {
            now: Instant::now(),
            opnum: control::COUNTERS,
            object: None,
            stub: Input::stub(&octets, ByteOrder::Little, TransferSyntax::Ndr),
            dialled: None,
            handles: &mut handles,
            fresh: &Uuid::new_v4,
            trust: Trust::Nobody,
            maybe: false,
            session: &Registrant::at([127, 0, 0, 1].into()),
        })
    }

    #[test]
    fn whoever_asks_for_the_status_holds_up_no_call_and_takes_one_thread() {
        let settings = MapperSettings::new(Conversation::Dce, 10);
        let control = Control(Mapper::new(settings).0);
        let runtime = Builder::new_current_thread().build().unwrap();
        // As while a large configuration is taken over: nothing waits for it here.
        let book = lock(&control.0.book);
        let asked = (0..10).map(|_| match ask_counters(&control) {
            Outcome::Later(reply) => runtime.spawn(reply),
            Outcome::Now(reply) => panic!("told at once: {reply:?}"),
        });
        let asked: Vec<_> = asked.collect();
        runtime.block_on(async { tokio::task::yield_now().await });
        assert_eq!(runtime.metrics().num_alive_tasks(), 10);
        assert_eq!(control.0.telling.available_permits(), 0);
        // Who is gone has not made room for another one.
        let mut asked = asked.into_iter();
        asked.next().unwrap().abort();
        runtime.block_on(async { tokio::task::yield_now().await });
        assert_eq!(runtime.metrics().num_alive_tasks(), 9);
        assert_eq!(control.0.telling.available_permits(), 0);
        drop(book);
        for told in asked {
            let Ok(Reply::Response(stub)) = runtime.block_on(told) else {
                panic!("no counters");
            };
            let stub = Input::new(&stub, ByteOrder::Little);
            let told = CountersResponse::decode(stub).unwrap();
            assert_eq!(&told.counters[0].name[..], b"entries");
        }
    }
}
