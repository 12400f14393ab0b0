//! Asks the mapper of this host through its control interface: lives of one's
//! own choice, leases, and what only the mapper knows.
//!
//! Always holds: a walk over the entries ends, since pages and what they bring
//! are bounded. The interface is served over local sockets only; elsewhere the
//! bind is rejected.

use super::ept::{FoundEntry, NewEntry, Pages, wire_entries};
use super::mgmt::ok;
use super::{Client, ClientError, Failure, Settings, Step};
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::control::{
    self, CountersRequest, CountersResponse, EntriesRequest, EntriesResponse, Facts, KnownEntry,
    LeaseRequest, Life, MAX_COUNTERS, RegisterRequest, RegisterResponse, RenewResponse,
};
use crate::wire::ept::{MAX_ENTRIES, StatusResponse};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A connection bound to a mapper's control interface.
pub struct Control {
    /// The connection.
    client: Client,
}

/// How long an entry is to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as this process lives.
    Process,
    /// As long as its server answers at its endpoint.
    Probe,
    /// As long as a lease of its own is renewed.
    Lease(Duration),
    /// As long as a lease that there is already.
    Joined(Uuid),
}

/// A lease as the mapper granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub lease: Uuid,
    /// How long it lasts from now, which may be another time than was asked for.
    pub duration: Duration,
}

/// An entry and what the mapper knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFacts {
    /// The entry.
    pub entry: FoundEntry,
    /// The rest, but the name of an account.
    pub facts: Facts,
    /// The account that it belongs to: octets without a NUL, as the mapper keeps
    /// its name; empty where its owner is none.
    pub account: Box<[u8]>,
}

/// Something that the mapper counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCounter {
    /// What it is called: octets without a NUL.
    pub name: Box<[u8]>,
    /// How much there is or was of it.
    pub value: u64,
}

impl Control {
    /// Connects to the mapper of a binding and binds to its control interface.
    ///
    /// # Errors
    /// At step `Resolve`, `Connect` or `Bind`; `Rejected` by a mapper that does
    /// not serve the interface there.
    pub async fn connect(
        binding: &Binding,
        settings: impl Into<Settings>,
        deadline: Instant,
    ) -> Result<Control, ClientError> {
        let client = Client::connect(binding, SyntaxId::CONTROL, settings, deadline).await?;
        Ok(Control { client })
    }

    /// Registers entries, all or none, at most `MAX_ENTRIES` at once; tells the
    /// lease if they have one.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok.
    pub async fn register(
        &mut self,
        entries: &[NewEntry<'_>],
        lifetime: Lifetime,
        replace: bool,
    ) -> Result<Option<Granted>, ClientError> {
        let (life, duration_ms, lease) = lifetime.parts();
        let request = RegisterRequest {
            life,
            duration_ms,
            lease,
            replace,
            entries: wire_entries(entries),
        };
        let reply = self
            .client
            .call(control::REGISTER, |out| request.encode(out))
            .await?;
        let response = reply.decode(RegisterResponse::decode)?;
        ok(response.status)?;
        let granted = Granted {
            lease: response.lease,
            duration: Duration::from_millis(response.duration_ms.into()),
        };
        Ok(Some(granted).filter(|granted| !granted.lease.is_nil()))
    }

    /// Renews a lease; tells how long it lasts from now.
    ///
    /// # Errors
    /// At step `Call`; `Status` `NOT_REGISTERED` when the caller has no such
    /// lease.
    pub async fn renew(&mut self, lease: Uuid) -> Result<Duration, ClientError> {
        let request = LeaseRequest { lease };
        let reply = self
            .client
            .call(control::RENEW, |out| request.encode(out))
            .await?;
        let response = reply.decode(RenewResponse::decode)?;
        ok(response.status)?;
        Ok(Duration::from_millis(response.duration_ms.into()))
    }

    /// Takes out what would end with this process.
    ///
    /// # Errors
    /// At step `Call`; the status is "not registered" where there is nothing.
    pub async fn leave(&mut self) -> Result<(), ClientError> {
        self.release(Uuid::nil()).await
    }

    /// Gives a lease back: its entries are gone then.
    ///
    /// # Errors
    /// As [`renew`](Self::renew).
    pub async fn release(&mut self, lease: Uuid) -> Result<(), ClientError> {
        let request = LeaseRequest { lease };
        let reply = self
            .client
            .call(control::RELEASE, |out| request.encode(out))
            .await?;
        ok(reply.decode(StatusResponse::decode)?.status)
    }

    /// Every entry and what the mapper knows of it, in the order of their
    /// numbers.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok; `Endless` when there is too
    /// much, or when the mapper leads backwards.
    pub async fn entries(&mut self) -> Result<Vec<FoundFacts>, ClientError> {
        let mut found = Vec::new();
        let mut pages = Pages::default();
        let mut after = 0;
        loop {
            let (page, next) = self.page(after).await?;
            let octets = page.iter().map(|found| found.entry.octets()).sum();
            pages.turn(page.len(), octets).map_err(at_call)?;
            found.extend(page);
            match next {
                0 => return Ok(found),
                next if next <= after => return Err(at_call(BACKWARDS)),
                next => after = next,
            }
        }
    }

    /// The entries behind a number, and the number to go on behind.
    async fn page(&mut self, after: u64) -> Result<(Vec<FoundFacts>, u64), ClientError> {
        let request = EntriesRequest {
            after,
            max_ents: MAX_ENTRIES,
        };
        let reply = self
            .client
            .call(control::ENTRIES, |out| request.encode(out))
            .await?;
        let response = reply.decode(EntriesResponse::decode)?;
        ok(response.status)?;
        let page = response.entries.iter().map(FoundFacts::from).collect();
        Ok((page, response.next))
    }

    /// What the mapper counts, in its order.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok.
    pub async fn counters(&mut self) -> Result<Vec<FoundCounter>, ClientError> {
        let request = CountersRequest {
            max_counters: MAX_COUNTERS,
        };
        let reply = self
            .client
            .call(control::COUNTERS, |out| request.encode(out))
            .await?;
        let response = reply.decode(CountersResponse::decode)?;
        ok(response.status)?;
        let counter = |counter: &control::Counter<'_>| FoundCounter {
            name: Box::from(&*counter.name),
            value: counter.value,
        };
        Ok(response.counters.iter().map(counter).collect())
    }

    /// Waits until the mapper closes the connection, however long that takes.
    ///
    /// Whatever it says meanwhile is dropped: no call may follow.
    pub async fn closed(&mut self) {
        self.client.closed().await;
    }
}

/// A walk whose next page does not lie behind the last.
const BACKWARDS: Failure = Failure::Endless {
    what: "pages that lead backwards",
    limit: 0,
};

/// A failure of a call.
fn at_call(failure: Failure) -> ClientError {
    ClientError::new(Step::Call, failure)
}

impl Lifetime {
    /// Life, duration in milliseconds and lease, as a registration says them.
    fn parts(self) -> (Life, u32, Uuid) {
        let milliseconds = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        match self {
            Lifetime::Process => (Life::PROCESS, 0, Uuid::nil()),
            Lifetime::Probe => (Life::PROBE, 0, Uuid::nil()),
            Lifetime::Lease(duration) => (Life::LEASE, milliseconds(duration), Uuid::nil()),
            Lifetime::Joined(lease) => (Life::LEASE, 0, lease),
        }
    }
}

impl From<&KnownEntry<'_>> for FoundFacts {
    fn from(known: &KnownEntry<'_>) -> Self {
        FoundFacts {
            entry: FoundEntry::from(&known.entry),
            facts: known.facts,
            account: Box::from(&*known.account),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ept::MAX_EMPTY_PAGES;
    use super::super::fake::{Answer, Fake, assert_fails, generous, response};
    use super::*;
    use crate::client::Encoding;
    use crate::wire::control::{Counter, Owner, Probe};
    use crate::wire::ept::Entry;
    use crate::wire::ndr::Referents;
    use crate::wire::status::ProviderReason;
    use crate::wire::{EptStatus, FaultStatus, Input};
    use uuid::uuid;

    const LEASE: Uuid = uuid!("00448e0c-bc4b-4d0f-bbc1-94b170674b58");

    async fn connected(fake: &Fake) -> Result<Control, ClientError> {
        Control::connect(&fake.binding, Encoding::Any, generous()).await
    }

    /// A page with entries of these numbers.
    fn page(stub: &Input, numbers: std::ops::Range<u64>, next: u64) -> Answer {
        let mut referents = Referents::after(0);
        let known = |number| KnownEntry {
            entry: Entry::new(&mut referents, Uuid::nil(), &[7; 75][..], &b"entry"[..]),
            facts: Facts {
                number,
                age_seconds: 1,
                lease: Uuid::nil(),
                owner: Owner::user(1000),
                life: Life::PROBE,
                pid: 0,
                left_ms: 0,
                probe: Probe::default(),
            },
            account: Default::default(),
        };
        let told = EntriesResponse {
            next,
            max_ents: MAX_ENTRIES,
            entries: numbers.map(known).collect(),
            status: EptStatus::OK,
        };
        response(stub, |out| told.encode(out))
    }

    #[tokio::test]
    async fn a_lease_is_registered_renewed_and_given_back() {
        let fake = Fake::bound_in(&[SyntaxId::NDR64], |opnum, stub| match opnum {
            control::REGISTER => {
                let asked = RegisterRequest::decode(stub).unwrap();
                assert_eq!((asked.life, asked.duration_ms), (Life::LEASE, 30_000));
                assert_eq!((asked.lease, asked.replace), (Uuid::nil(), true));
                let [entry] = &asked.entries[..] else {
                    panic!("{asked:?}");
                };
                assert_eq!(entry.tower_octets(), Some(&[1, 2, 3][..]));
                assert_eq!(&*entry.annotation, b"text");
                let told = RegisterResponse {
                    lease: LEASE,
                    duration_ms: 20_000,
                    status: EptStatus::OK,
                };
                response(&stub, |out| told.encode(out))
            }
            control::RENEW => {
                assert_eq!(LeaseRequest::decode(stub).unwrap().lease, LEASE);
                let told = RenewResponse {
                    duration_ms: 10_000,
                    status: EptStatus::OK,
                };
                response(&stub, |out| told.encode(out))
            }
            _ => {
                assert_eq!(LeaseRequest::decode(stub).unwrap().lease, LEASE);
                let told = StatusResponse {
                    status: EptStatus::NOT_REGISTERED,
                };
                response(&stub, |out| told.encode(out))
            }
        });
        let mut control = connected(&fake).await.unwrap();
        let entry = NewEntry {
            object: Uuid::nil(),
            tower: &[1, 2, 3],
            annotation: b"text",
        };
        let lifetime = Lifetime::Lease(Duration::from_secs(30));
        let granted = control.register(&[entry], lifetime, true).await.unwrap();
        let duration = Duration::from_secs(20);
        assert_eq!(
            granted,
            Some(Granted {
                lease: LEASE,
                duration
            })
        );
        let left = control.renew(LEASE).await.unwrap();
        assert_eq!(left, Duration::from_secs(10));
        assert_fails(control.release(LEASE).await, Step::Call, |failure| {
            matches!(failure, Failure::Status(EptStatus::NOT_REGISTERED))
        });
        drop(control);
        let calls = [control::REGISTER, control::RENEW, control::RELEASE];
        assert_eq!(fake.calls(), calls);
    }

    #[test]
    fn each_lifetime_says_what_it_needs_and_no_more() {
        let nil = Uuid::nil();
        for (lifetime, parts) in [
            (Lifetime::Process, (Life::PROCESS, 0, nil)),
            (Lifetime::Probe, (Life::PROBE, 0, nil)),
            (Lifetime::Lease(Duration::MAX), (Life::LEASE, u32::MAX, nil)),
            (Lifetime::Joined(LEASE), (Life::LEASE, 0, LEASE)),
        ] {
            assert_eq!(lifetime.parts(), parts);
        }
    }

    #[tokio::test]
    async fn entries_are_walked_page_by_page() {
        let fake = Fake::bound(
            |_, stub| match EntriesRequest::decode(stub).unwrap().after {
                0 => page(&stub, 3..43, 42),
                42 => page(&stub, 0..0, 600),
                600 => page(&stub, 601..602, 0),
                other => panic!("nothing is behind {other}"),
            },
        );
        let mut control = connected(&fake).await.unwrap();
        let found = control.entries().await.unwrap();
        let numbers = found.iter().map(|found| found.facts.number);
        assert!(numbers.eq((3..43).chain([601])));
        assert_eq!(&*found[0].entry.annotation, b"entry");
    }

    #[tokio::test]
    async fn a_walk_that_leads_backwards_or_nowhere_is_cut_off() {
        let circle = Fake::bound(|_, stub| page(&stub, 1..3, 2));
        let walked = connected(&circle).await.unwrap().entries().await;
        assert_fails(walked, Step::Call, |failure| {
            matches!(failure, Failure::Endless { limit: 0, .. })
        });
        let mut next = 0;
        let nowhere = Fake::bound(move |_, stub| {
            next += 1;
            page(&stub, 0..0, next)
        });
        let walked = connected(&nowhere).await.unwrap().entries().await;
        assert_fails(walked, Step::Call, |failure| {
            let limit = MAX_EMPTY_PAGES;
            matches!(failure, Failure::Endless { limit: found, .. } if *found == limit)
        });
    }

    #[tokio::test]
    async fn counters_come_in_the_mappers_order() {
        let fake = Fake::bound(|_, stub| {
            let most = CountersRequest::decode(stub).unwrap().max_counters;
            let counter = |name: &'static [u8], value| Counter {
                value,
                name: name.into(),
            };
            let told = CountersResponse {
                max_counters: most,
                counters: vec![counter(b"z", 1), counter(b"a", u64::MAX)],
                status: EptStatus::OK,
            };
            response(&stub, |out| told.encode(out))
        });
        let counters = connected(&fake).await.unwrap().counters().await.unwrap();
        let told: Vec<_> = counters.iter().map(|c| (&*c.name, c.value)).collect();
        assert_eq!(told, [(&b"z"[..], 1), (b"a", u64::MAX)]);
    }

    #[tokio::test]
    async fn a_mapper_without_the_interface_rejects_the_bind() {
        use super::super::fake::Asked;
        let reason = ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED;
        let fake = Fake::serve(move |asked| match asked {
            Asked::Bind(..) => Answer::Reject(reason),
            _ => Answer::Fault(FaultStatus::UNK_IF),
        });
        assert_fails(connected(&fake).await, Step::Bind, |failure| {
            matches!(
                failure,
                Failure::Rejected(_, ProviderReason::ABSTRACT_SYNTAX_NOT_SUPPORTED)
            )
        });
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_told() {
        let fake = Fake::bound(|_, _| Answer::Close);
        let mut control = connected(&fake).await.unwrap();
        assert!(control.renew(LEASE).await.is_err());
        tokio::time::timeout_at(generous(), control.closed())
            .await
            .unwrap();
    }
}
