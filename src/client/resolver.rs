//! From a binding without an endpoint to those that have one: asks the mapper
//! of that host, and remembers its answers for a time.
//!
//! Always holds: what is remembered is bounded, in answers and in towers of each,
//! whatever mappers tell. Towers are taken as the mapper tells them, other hosts
//! included: that is how clusters are reached. Only what would lead to this host
//! instead of the mapper's is left out, above all loopback addresses.

use super::ept::LookupQuery;
use super::{
    CallError, ClientError, EPMAP_PORT, Encoding, Failure, LeftOut, Mapper, Near, Peer, Settings,
    Unusable,
};
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::ept::VersionOption;
use crate::wire::tower::{ProtocolSequence, Tower};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The most answers that a resolver remembers; the oldest goes first.
pub const MAX_ANSWERS: usize = 1024;

/// The most towers of one answer that are followed.
pub const MAX_TOWERS: usize = 32;

/// The most entries that are looked at to tell why none can be followed.
const MAX_ENTRIES: usize = 500;

/// How long an answer is remembered unless told otherwise.
pub const KEPT: Duration = Duration::from_secs(60);

/// The protocol sequences that clients speak.
pub const SPOKEN: [ProtocolSequence; 2] = [ProtocolSequence::NcacnIpTcp, ProtocolSequence::Ncalrpc];

/// Finds servers through mappers. A clone shares what is remembered.
///
/// The mapper of a host is asked at its TCP port, 135 by default, that of `ncalrpc` bindings
/// at its local socket.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// What is remembered.
    cache: Arc<Mutex<Cache>>,
    /// How long from now on.
    kept: Duration,
    /// How mappers are asked.
    settings: Settings,
    /// Where this host's own mapper is.
    local: Binding,
    /// The TCP port of all mappers.
    port: u16,
}

impl Default for Resolver {
    /// Asks anonymously, as other clients do, and remembers for 60 s.
    fn default() -> Self {
        Resolver {
            cache: Arc::default(),
            kept: KEPT,
            settings: Encoding::Any.into(),
            local: Binding::new(ProtocolSequence::Ncalrpc),
            port: EPMAP_PORT,
        }
    }
}

impl Resolver {
    /// The same, remembering answers for another time; zero for not at all.
    pub fn keep(self, kept: Duration) -> Self {
        Resolver { kept, ..self }
    }

    /// The same, asking mappers in another way: authenticated, for example. It
    /// remembers for itself: an answer that anybody could have given is not one
    /// for who asks so that nobody can.
    pub fn ask_by(self, settings: Settings) -> Self {
        Resolver {
            settings,
            cache: Arc::default(),
            ..self
        }
    }

    /// The same, with this host's mapper at another local socket. Sockets that
    /// it names without a folder are in the folder of that one.
    pub fn local_mapper(self, local: Binding) -> Self {
        Resolver { local, ..self }
    }

    /// The same, with mappers at another TCP port: one that was started without
    /// the right to 135, for example.
    pub fn mapper_port(self, port: u16) -> Self {
        Resolver { port, ..self }
    }

    /// The bindings where servers of an interface are, in the order to try them;
    /// at least one. A binding with an endpoint is its own answer.
    ///
    /// The mapper is asked for each of the `preferred` protocol sequences in
    /// turn, without any for the binding's own; `ept_map` names the binding's
    /// object and NDR 2.0, which every server speaks.
    ///
    /// # Errors
    /// `Binding`, `NoMapper`, `Mapper`, `NotRegistered`, `NoUsableEndpoint`.
    pub async fn resolve(
        &self,
        binding: &Binding,
        interface: SyntaxId,
        preferred: &[ProtocolSequence],
        deadline: Instant,
    ) -> Result<Vec<Binding>, CallError> {
        if !binding.endpoint.is_empty() {
            return Ok(vec![binding.clone()]);
        }
        let query = self.query(binding, interface, preferred);
        match self.remembered(&query) {
            Some(found) => Ok(found),
            None => self.ask(&query, deadline).await,
        }
    }

    /// What a mapper is to be asked for a binding without an endpoint.
    pub(super) fn query(
        &self,
        binding: &Binding,
        interface: SyntaxId,
        preferred: &[ProtocolSequence],
    ) -> Query {
        let mapper = match binding.protseq {
            ProtocolSequence::Ncalrpc => self.local.clone(),
            _ => Binding {
                address: binding.address.clone(),
                endpoint: self.port.to_string(),
                ..Binding::new(ProtocolSequence::NcacnIpTcp)
            },
        };
        let asked = match preferred {
            [] => vec![binding.protseq],
            preferred => preferred.to_vec(),
        };
        Query {
            mapper,
            interface,
            object: binding.object,
            asked,
        }
    }

    /// What is remembered of a query.
    pub(super) fn remembered(&self, query: &Query) -> Option<Vec<Binding>> {
        self.cache().find(query, Instant::now())
    }

    /// Forgets what is remembered of a query: it proved wrong.
    pub(super) fn forget(&self, query: &Query) {
        self.cache().answers.remove(query);
    }

    /// Asks the mapper, and remembers what it says.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub(super) async fn ask(
        &self,
        query: &Query,
        deadline: Instant,
    ) -> Result<Vec<Binding>, CallError> {
        let spoken = query.spoken()?;
        let failed = |error| CallError::of_mapper(error, query.mapper.to_string());
        let connected = Mapper::connect(&query.mapper, &self.settings, deadline).await;
        let mut mapper = connected.map_err(failed)?;
        let mut found = Found::default();
        for protseq in spoken {
            let (interface, object) = (query.interface, query.object);
            let towers = mapper.map_some(interface, protseq, object, MAX_TOWERS);
            for tower in towers.await.map_err(failed)? {
                found.take(&tower, query, mapper.peer());
            }
        }
        if found.bindings.is_empty() {
            return Err(query.nothing(&mut mapper, found.left_out).await);
        }
        self.cache()
            .keep(query.clone(), &found.bindings, self.kept, Instant::now());
        Ok(found.bindings)
    }

    /// The answers remembered. A thread that panicked while it held them has
    /// left them whole.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a mapper is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Query {
    /// Where the mapper is.
    mapper: Binding,
    /// The interface.
    interface: SyntaxId,
    /// The object.
    object: Option<Uuid>,
    /// The protocol sequences, the first before the others.
    asked: Vec<ProtocolSequence>,
}

impl Query {
    /// The protocol sequences that are asked for and spoken.
    ///
    /// # Errors
    /// `Binding` when there are none.
    fn spoken(&self) -> Result<Vec<ProtocolSequence>, CallError> {
        let spoken = |protseq: &&ProtocolSequence| SPOKEN.contains(*protseq);
        let spoken: Vec<_> = self.asked.iter().filter(spoken).copied().collect();
        match (spoken.is_empty(), self.asked.first()) {
            (true, Some(protseq)) => Err(CallError::Binding(Failure::ProtocolSequence(*protseq))),
            _ => Ok(spoken),
        }
    }

    /// Why there is nothing to follow: looks at what else the mapper has of the
    /// interface. A mapper that does not tell is believed.
    async fn nothing(&self, mapper: &mut Mapper, mut left_out: Vec<LeftOut>) -> CallError {
        let known = known(mapper, self.interface).await.unwrap_or_default();
        let meant = known.iter().filter(|known| self.means(known));
        for other in meant.filter_map(|known| self.other(known.protseq?)) {
            add(&mut left_out, other);
        }
        let (interface, object) = (self.interface, self.object);
        let mapper = self.mapper.to_string();
        match left_out.is_empty() {
            true => CallError::NotRegistered {
                interface,
                object,
                mapper,
                near: self.near(&known),
            },
            false => CallError::NoUsableEndpoint {
                interface,
                object,
                mapper,
                left_out,
            },
        }
    }

    /// Whether it is a server of what was asked for, wherever that is.
    ///
    /// Versions and objects are compared here: mappers differ in what they heed.
    fn means(&self, known: &Known) -> bool {
        known.interface.serves(&self.interface)
            && (known.object.is_nil() || Some(known.object) == self.object)
    }

    /// What comes near to what was asked for, where nothing is that.
    fn near(&self, known: &[Known]) -> Option<Near> {
        let serves = |known: &Known| known.interface.serves(&self.interface);
        if known.iter().any(|known| self.means(known)) {
            None
        } else if known.iter().any(serves) {
            Some(Near::OtherObjects)
        } else {
            known.first().map(|_| Near::OtherVersions)
        }
    }

    /// Why a protocol sequence was not asked for; `None` when it was.
    fn other(&self, protseq: ProtocolSequence) -> Option<LeftOut> {
        let reason = match SPOKEN.contains(&protseq) {
            false => Unusable::NotSpoken,
            true if self.asked.contains(&protseq) => return None,
            true => Unusable::NotAsked,
        };
        Some(LeftOut {
            protseq: Some(protseq),
            reason,
        })
    }
}

/// A server that a mapper knows.
struct Known {
    /// Its interface, in any version.
    interface: SyntaxId,
    /// Its object; nil for none.
    object: Uuid,
    /// How it is reached; `None` where the tower does not say.
    protseq: Option<ProtocolSequence>,
}

/// The servers that a mapper knows of an interface, in all versions, for all
/// objects and wherever they are.
async fn known(mapper: &mut Mapper, interface: SyntaxId) -> Result<Vec<Known>, ClientError> {
    let query = LookupQuery {
        interface: Some((interface, VersionOption::ALL)),
        object: None,
    };
    let entries = mapper.lookup_some(&query, MAX_ENTRIES).await?;
    let known = entries.iter().filter_map(|entry| {
        let parts = entry.tower().ok()?.parts().ok()?;
        Some(Known {
            interface: parts.interface,
            object: entry.object,
            protseq: parts.protseq,
        })
    });
    Ok(known
        .filter(|known| known.interface.uuid == interface.uuid)
        .collect())
}

/// What a mapper told.
#[derive(Default)]
struct Found {
    /// Where servers are, each once.
    bindings: Vec<Binding>,
    /// What can not be followed.
    left_out: Vec<LeftOut>,
}

impl Found {
    /// Takes a tower in.
    fn take(&mut self, tower: &[u8], query: &Query, mapper: &Peer) {
        let parts = Tower::decode(tower).ok();
        let parts = parts.as_ref().and_then(|tower| tower.parts().ok());
        let protseq = parts.as_ref().and_then(|parts| parts.protseq);
        let binding = parts.and_then(|parts| Binding::from_tower(&parts, query.object));
        let located = match binding.filter(|binding| !binding.endpoint.is_empty()) {
            Some(binding) => located(binding, mapper),
            None => Err(Unusable::NoEndpoint),
        };
        match located {
            Ok(binding) if self.bindings.contains(&binding) => {}
            Ok(binding) if self.bindings.len() < MAX_TOWERS => self.bindings.push(binding),
            Ok(_) => {}
            Err(reason) => add(&mut self.left_out, LeftOut { protseq, reason }),
        }
    }
}

/// Adds what is not there yet; so there are no more than kinds of it.
fn add(left_out: &mut Vec<LeftOut>, one: LeftOut) {
    if !left_out.contains(&one) {
        left_out.push(one);
    }
}

/// A tower's binding as seen from here, where the mapper is at `mapper`.
///
/// No address is the mapper's own: servers that listen everywhere register
/// 0.0.0.0, and mappers hand it on. A loopback address is one of the mapper's
/// host. Followed from another host, it would lead to whatever has that port
/// here: a mapper could have a client log on at a service of its own host that
/// nobody else reaches.
fn located(binding: Binding, mapper: &Peer) -> Result<Binding, Unusable> {
    let is_tcp = binding.protseq == ProtocolSequence::NcacnIpTcp;
    match mapper {
        Peer::Local(_) if is_tcp => Ok(binding),
        Peer::Local(path) => Ok(in_folder_of(binding, path)),
        Peer::Network(at) if is_tcp && binding.address.is_empty() => Ok(Binding {
            address: host(at),
            ..binding
        }),
        Peer::Network(at) if is_loopback(at.ip()) => Ok(binding),
        Peer::Network(_) if !is_tcp || is_loopback_text(&binding.address) => {
            Err(Unusable::Elsewhere)
        }
        Peer::Network(_) => Ok(binding),
    }
}

/// A local socket in the mapper's folder, unless it names its own.
fn in_folder_of(binding: Binding, mapper: &Path) -> Binding {
    match mapper.parent().and_then(Path::to_str) {
        Some(folder) if !binding.endpoint.contains('/') => Binding {
            endpoint: format!("{folder}/{}", binding.endpoint),
            ..binding
        },
        _ => binding,
    }
}

/// An address without its port, with its zone if it has one.
fn host(at: &SocketAddr) -> String {
    match at {
        SocketAddr::V6(at) if at.scope_id() != 0 => format!("{}%{}", at.ip(), at.scope_id()),
        at => at.ip().to_string(),
    }
}

/// Whether an address is one of this host alone.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The same of a tower's address; a tower holds no names.
fn is_loopback_text(address: &str) -> bool {
    address.parse().is_ok_and(is_loopback)
}

/// Answers remembered.
#[derive(Debug, Default)]
struct Cache {
    /// The bindings found, and until when they are believed.
    answers: HashMap<Query, (Vec<Binding>, Instant)>,
}

impl Cache {
    /// What is still believed of a query.
    fn find(&self, query: &Query, now: Instant) -> Option<Vec<Binding>> {
        let (found, until) = self.answers.get(query)?;
        (*until > now).then(|| found.clone())
    }

    /// Remembers an answer for a time; makes room for it.
    fn keep(&mut self, query: Query, found: &[Binding], kept: Duration, now: Instant) {
        let Some(until) = now.checked_add(kept).filter(|until| *until > now) else {
            return;
        };
        if self.answers.len() >= MAX_ANSWERS && !self.answers.contains_key(&query) {
            self.answers.retain(|_, (_, until)| *until > now);
            let first = self.answers.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(first) = first.map(|(query, _)| query.clone())
                && self.answers.len() >= MAX_ANSWERS
            {
                self.answers.remove(&first);
            }
        }
        self.answers.insert(query, (found.to_vec(), until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tower::TowerBuf;

    fn binding(text: &str) -> Binding {
        text.parse().unwrap()
    }

    fn query(text: &str, preferred: &[ProtocolSequence]) -> Query {
        Resolver::default().query(&binding(text), SyntaxId::MGMT, preferred)
    }

    /// A mapper at an address.
    fn at(address: &str) -> Peer {
        Peer::Network(address.parse().unwrap())
    }

    /// What comes of towers that a mapper at `mapper` tells.
    fn found(towers: &[&str], mapper: &Peer) -> Found {
        let mut found = Found::default();
        for tower in towers {
            let tower = TowerBuf::from_binding(SyntaxId::MGMT, SyntaxId::NDR, &binding(tower));
            let query = query("ncacn_ip_tcp:", &[]);
            found.take(tower.unwrap().octets(), &query, mapper);
        }
        found
    }

    /// The binding that a tower leads to.
    fn led(tower: &str, mapper: &Peer) -> Result<String, Unusable> {
        let found = found(&[tower], mapper);
        match found.left_out.first() {
            Some(left_out) => Err(left_out.reason),
            None => Ok(found.bindings[0].to_string()),
        }
    }

    #[test]
    fn what_is_remembered_is_shared_by_those_alone_who_ask_alike() {
        let resolver = Resolver::default();
        let query = query("ncacn_ip_tcp:192.0.2.7", &[]);
        let found = [binding("ncacn_ip_tcp:192.0.2.7[49152]")];
        let now = Instant::now();
        resolver.cache().keep(query.clone(), &found, KEPT, now);
        assert!(resolver.clone().keep(KEPT).remembered(&query).is_some());
        let other = resolver.ask_by(Encoding::Ndr64.into());
        assert!(other.remembered(&query).is_none());
    }

    #[test]
    fn the_mapper_of_a_host_is_at_port_135_and_that_of_ncalrpc_at_its_socket() {
        for (binding, mapper) in [
            ("ncacn_ip_tcp:192.0.2.7", "ncacn_ip_tcp:192.0.2.7[135]"),
            ("ncacn_np:host", "ncacn_ip_tcp:host[135]"),
            ("ncalrpc:", "ncalrpc:"),
        ] {
            assert_eq!(query(binding, &[]).mapper.to_string(), mapper);
        }
        let elsewhere = Resolver::default().mapper_port(1135);
        let query = elsewhere.query(&binding("ncacn_ip_tcp:192.0.2.7"), SyntaxId::MGMT, &[]);
        assert_eq!(query.mapper.to_string(), "ncacn_ip_tcp:192.0.2.7[1135]");
    }

    #[test]
    fn a_tower_without_an_address_is_at_the_mappers_own() {
        let tower = "ncacn_ip_tcp:[49152]";
        for (mapper, binding) in [
            (at("192.0.2.7:135"), "ncacn_ip_tcp:192.0.2.7[49152]"),
            (at("[2001:db8::1]:135"), "ncacn_ip_tcp:2001:db8::1[49152]"),
            (at("[fe80::1%3]:135"), "ncacn_ip_tcp:fe80::1%3[49152]"),
            (Peer::Local("/run/a/EPMAPPER".into()), tower),
        ] {
            assert_eq!(led(tower, &mapper).unwrap(), binding);
        }
    }

    #[test]
    fn a_loopback_address_that_another_host_tells_is_not_followed() {
        let tower = "ncacn_ip_tcp:127.0.0.1[49152]";
        for mapper in ["192.0.2.7:135", "[::ffff:192.0.2.7]:135"] {
            assert_eq!(led(tower, &at(mapper)), Err(Unusable::Elsewhere));
        }
        for mapper in ["127.0.29.1:135", "[::1]:135", "[::ffff:127.0.0.1]:135"] {
            assert_eq!(led(tower, &at(mapper)).unwrap(), tower);
        }
        let other = "ncacn_ip_tcp:192.0.2.9[49152]";
        assert_eq!(led(other, &at("192.0.2.7:135")).unwrap(), other);
    }

    #[test]
    fn a_local_socket_is_of_the_mappers_host_and_folder() {
        let local = Peer::Local("/run/samba/EPMAPPER".into());
        assert_eq!(
            led("ncalrpc:[lsarpc]", &local).unwrap(),
            "ncalrpc:[/run/samba/lsarpc]"
        );
        assert_eq!(led("ncalrpc:[/tmp/a]", &local).unwrap(), "ncalrpc:[/tmp/a]");
        let other = led("ncalrpc:[lsarpc]", &at("192.0.2.7:135"));
        assert_eq!(other, Err(Unusable::Elsewhere));
    }

    #[test]
    fn towers_are_followed_once_each_and_up_to_a_limit() {
        let many: Vec<_> = (1..=100)
            .map(|port| format!("ncacn_ip_tcp:[{port}]"))
            .collect();
        let towers: Vec<_> = many.iter().flat_map(|tower| [tower.as_str(); 2]).collect();
        let found = found(&towers, &at("192.0.2.7:135"));
        let ports = found
            .bindings
            .iter()
            .map(|binding| binding.endpoint.parse::<usize>());
        let ports: Vec<_> = ports.map(Result::unwrap).collect();
        assert_eq!(ports, (1..=MAX_TOWERS).collect::<Vec<_>>());
    }

    #[test]
    fn a_tower_without_an_endpoint_or_sense_is_left_out() {
        assert_eq!(
            led("ncacn_ip_tcp:192.0.2.9", &at("192.0.2.7:135")),
            Err(Unusable::NoEndpoint)
        );
        let mut found = Found::default();
        let query = query("ncacn_ip_tcp:", &[]);
        for _ in 0..2 {
            found.take(b"\x01\x00", &query, &at("192.0.2.7:135"));
        }
        let told = LeftOut {
            protseq: None,
            reason: Unusable::NoEndpoint,
        };
        assert_eq!(found.left_out, [told]);
    }

    #[test]
    fn what_is_asked_for_is_what_the_caller_prefers_of_what_is_spoken() {
        use ProtocolSequence::{NcacnIpTcp, NcacnNp, Ncalrpc};
        let spoken = |text, preferred: &[_]| query(text, preferred).spoken();
        assert_eq!(spoken("ncacn_ip_tcp:", &[]).unwrap(), [NcacnIpTcp]);
        let both = [NcacnNp, Ncalrpc, NcacnIpTcp];
        assert_eq!(spoken("ncacn_np:a", &both).unwrap(), [Ncalrpc, NcacnIpTcp]);
        assert!(matches!(
            spoken("ncacn_np:a", &[]),
            Err(CallError::Binding(Failure::ProtocolSequence(NcacnNp)))
        ));
    }

    #[test]
    fn an_answer_is_believed_for_its_time_and_forgotten_when_wrong() {
        let resolver = Resolver::default();
        let mut cache = Cache::default();
        let (now, found) = (Instant::now(), [binding("ncacn_ip_tcp:192.0.2.7[49152]")]);
        let one = query("ncacn_ip_tcp:192.0.2.7", &[]);
        cache.keep(one.clone(), &found, KEPT, now);
        assert_eq!(
            cache
                .find(&one, now + KEPT - Duration::from_secs(1))
                .unwrap(),
            found
        );
        assert_eq!(cache.find(&one, now + KEPT), None);
        let other = query(
            "ad6b3ba0-dd0c-11ef-8f2b-0800200c9a66@ncacn_ip_tcp:192.0.2.7",
            &[],
        );
        assert_eq!(cache.find(&other, now), None, "objects are told apart");
        cache.keep(other.clone(), &found, Duration::ZERO, now);
        assert_eq!(cache.find(&other, now), None, "for no time");
        resolver.cache().keep(one.clone(), &found, KEPT, now);
        let clone = resolver.clone();
        assert!(clone.remembered(&one).is_some(), "a clone shares it");
        clone.forget(&one);
        assert!(resolver.remembered(&one).is_none());
    }

    #[test]
    fn the_oldest_answer_makes_room() {
        let mut cache = Cache::default();
        let (now, found) = (Instant::now(), [binding("ncacn_ip_tcp:192.0.2.7[49152]")]);
        let query = |number: usize| query(&format!("ncacn_ip_tcp:host{number}"), &[]);
        for number in 0..MAX_ANSWERS + 10 {
            let later = now + Duration::from_millis(number as u64);
            cache.keep(query(number), &found, KEPT, later);
        }
        assert_eq!(cache.answers.len(), MAX_ANSWERS);
        assert!(cache.find(&query(9), now).is_none());
        assert!(cache.find(&query(10), now).is_some());
    }
}
