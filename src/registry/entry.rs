//! One registration: an object, a tower, an annotation, an owner.

use super::liveness::Life;
use super::owner::Owner;
use crate::wire::ept::MAX_ANNOTATION;
use crate::wire::tower::{Shape, Tower, TowerError};
use crate::wire::{DecodeError, SyntaxId};
use bytes::Bytes;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

/// An endpoint that a server registered, taken apart for matching.
///
/// The tower is kept octet for octet, since answers carry it as registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    object: Uuid,
    annotation: Bytes,
    owner: Owner,
    /// Where it was registered from, where its owner does not tell.
    origin: Option<IpAddr>,
    life: Life,
    registered: u64,
    tower: Bytes,
    interface: SyntaxId,
    transfer_syntax: SyntaxId,
    shape: Shape,
    /// Where the tower says 0.0.0.0: the place of the dialled address.
    open_address: Option<usize>,
}

impl Entry {
    /// Takes a registration apart and keeps a copy of it.
    ///
    /// `annotation` comes without its NUL.
    ///
    /// # Errors
    /// A tower that does not decode, says too little, or has octets behind its
    /// last floor; a nil interface or transfer syntax; an annotation that is
    /// too long or holds a NUL.
    ///
    /// # Source
    /// C706 appendix O, ept_insert; the DCE reference refuses the same.
    pub fn new(
        object: Uuid,
        tower: &[u8],
        annotation: &[u8],
        owner: Owner,
    ) -> Result<Entry, RegistryError> {
        let entry = Entry::nameless(object, tower, annotation, owner)?;
        if entry.interface.uuid.is_nil() {
            return Err(RegistryError::Nil);
        }
        Ok(entry)
    }

    /// The same, of a tower that may name no interface: its UUID nil.
    ///
    /// # Errors
    /// As `new`, that one aside.
    ///
    /// # Source
    /// smbtorture registers one.
    pub fn nameless(
        object: Uuid,
        tower: &[u8],
        annotation: &[u8],
        owner: Owner,
    ) -> Result<Entry, RegistryError> {
        let decoded = Tower::decode(tower)?;
        if !decoded.trailing().is_empty() {
            return Err(RegistryError::Trailing(decoded.trailing().len()));
        }
        let parts = decoded.parts()?;
        if parts.transfer_syntax.uuid.is_nil() {
            return Err(RegistryError::Nil);
        }
        Ok(Entry {
            object,
            annotation: Bytes::copy_from_slice(check_annotation(annotation)?),
            owner,
            origin: None,
            life: Life::Permanent,
            registered: 0,
            tower: Bytes::copy_from_slice(tower),
            interface: parts.interface,
            transfer_syntax: parts.transfer_syntax,
            shape: parts.shape(),
            open_address: open_address(tower, parts.address_offset),
        })
    }

    /// The object UUID, nil for none.
    pub fn object(&self) -> Uuid {
        self.object
    }

    /// The tower as registered.
    pub fn tower(&self) -> &[u8] {
        &self.tower
    }

    /// The annotation, without its NUL.
    pub fn annotation(&self) -> &[u8] {
        &self.annotation
    }

    /// Who registered it.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The address that it was registered from, if it was over the network.
    pub fn origin(&self) -> Option<IpAddr> {
        match self.owner {
            Owner::Host(address) => Some(address),
            Owner::Account(_) => self.origin,
            Owner::Mapper | Owner::Configuration | Owner::User(_) => None,
        }
    }

    /// The same, registered from an address: that of an account's last caller.
    pub fn registered_from(self, address: IpAddr) -> Entry {
        let address = address.to_canonical();
        let is_told = matches!(self.owner, Owner::Account(_)) && !address.is_unspecified();
        let origin = is_told.then_some(address);
        Entry { origin, ..self }
    }

    /// The same with a life, registered at `registered` seconds since 1970.
    pub fn living(self, life: Life, registered: u64) -> Entry {
        Entry {
            life,
            registered,
            ..self
        }
    }

    /// What ends it.
    pub fn life(&self) -> Life {
        self.life
    }

    /// When it was registered, in seconds since 1970; 0 where nobody said.
    pub fn registered(&self) -> u64 {
        self.registered
    }

    /// The interface of floor 1.
    pub fn interface(&self) -> SyntaxId {
        self.interface
    }

    /// The transfer syntax of floor 2.
    pub fn transfer_syntax(&self) -> SyntaxId {
        self.transfer_syntax
    }

    /// The protocol sequence, known or not, of the floors from 3 on.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The IPv4 address of the tower, where it says one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        let tower = Tower::decode(&self.tower).ok()?;
        tower.parts().ok()?.address()
    }

    /// The tower for a caller that dialled `dialled`.
    ///
    /// A registered 0.0.0.0 is answered with the IPv4 address dialled. Where
    /// none was dialled it stays: no floor can carry an IPv6 address, and
    /// clients go on with the address they dialled.
    ///
    /// # Source
    /// Windows: 1454 of 1454 towers over IPv4, and 0.0.0.0 over IPv6.
    pub fn tower_for(&self, dialled: Option<Ipv4Addr>) -> Cow<'_, [u8]> {
        let (Some(offset), Some(address)) = (self.open_address, dialled) else {
            return Cow::Borrowed(&self.tower);
        };
        let mut octets = self.tower.to_vec();
        if let Some(place) = octets.get_mut(offset..offset + 4) {
            place.copy_from_slice(&address.octets());
        }
        Cow::Owned(octets)
    }

    /// Octets of tower and annotation.
    pub fn len_octets(&self) -> usize {
        self.tower.len() + self.annotation.len()
    }

    /// The same with another owner.
    pub fn owned(self, owner: Owner) -> Entry {
        let origin = None;
        Entry {
            owner,
            origin,
            ..self
        }
    }

    /// What makes two registrations one: object and tower, octet for octet.
    pub(super) fn identity(&self) -> (Uuid, Bytes) {
        (self.object, self.tower.clone())
    }

    /// Where the server listens, whatever the interface: object, transfer
    /// syntax and the floors from 3 on.
    ///
    /// The transfer syntax belongs to it, so that an endpoint registered in
    /// two of them is found by callers of either.
    pub(super) fn endpoint(&self) -> (Uuid, Bytes) {
        /// The floor count, and floor 1 with its two counts: `parts` proved its form.
        const HEAD: usize = 2 + 2 + 19 + 2 + 2;
        let head = HEAD.min(self.tower.len());
        (self.object, self.tower.slice(head..))
    }

    /// The same registration made once more by `again`: with its annotation,
    /// and with its owner and life unless this one has the longer claim.
    pub(super) fn renewed(&self, again: &Entry) -> Entry {
        let mut renewed = Entry {
            annotation: again.annotation.clone(),
            ..self.clone()
        };
        if again.owner <= self.owner {
            (renewed.owner, renewed.life) = (again.owner.clone(), again.life);
            renewed.origin = again.origin;
        }
        renewed
    }

    /// Whether `other` is a registration that this one may stand in for: the
    /// same object, interface in the same major version, transfer syntax and
    /// protocols.
    ///
    /// # Source
    /// The DCE reference, ept_insert with replace.
    pub(super) fn is_kin(&self, other: &Entry) -> bool {
        self.kinship(&self.sides()) == other.kinship(&other.sides())
    }

    /// What kin share.
    fn kinship<'a>(&self, sides: &Sides<'a>) -> impl PartialEq + Hash + use<'a> {
        let SyntaxId { uuid, major, .. } = self.interface;
        (
            (self.object, uuid, major),
            (self.transfer_syntax, self.shape),
            sides.protocol,
        )
    }

    /// Whether `other` says the same network address, or neither says one.
    pub(super) fn shares_address(&self, other: &Entry) -> bool {
        self.sides().address == other.sides().address
    }

    /// Whether `other` is of the same interface, in its very version, at the
    /// same endpoint and address.
    pub(super) fn shares_place(&self, other: &Entry) -> bool {
        self.place(&self.sides()) == other.place(&other.sides())
    }

    /// What entries at one place share.
    fn place<'a>(&self, sides: &Sides<'a>) -> impl PartialEq + Hash + use<'a> {
        (self.interface, self.shape, sides.endpoint, sides.address)
    }

    /// Digests of what others may share with it.
    pub(super) fn digests(&self) -> Digests {
        let sides = self.sides();
        let kin = self.kinship(&sides);
        Digests {
            kin: digest(&kin),
            neighbours: digest(&(&kin, sides.address)),
            place: digest(&self.place(&sides)),
        }
    }

    /// The right-hand sides of the tower's floors from 3 down.
    fn sides(&self) -> Sides<'_> {
        // `new` has taken the same octets apart.
        let Ok(tower) = Tower::decode(&self.tower) else {
            return Sides::default();
        };
        let [endpoint, address] = tower.parts().map_or([None; 2], |parts| parts.sides());
        Sides {
            protocol: tower.floors().nth(2).map(|floor| floor.rhs),
            endpoint,
            address,
        }
    }
}

/// Right-hand sides of floors.
#[derive(Clone, Copy, Default)]
struct Sides<'a> {
    /// The RPC protocol's: its minor version.
    protocol: Option<&'a [u8]>,
    /// The endpoint's.
    endpoint: Option<&'a [u8]>,
    /// The address's.
    address: Option<&'a [u8]>,
}

/// Short names for what entries share, to find them by.
///
/// Two that share nothing may have one in common, so whoever finds an entry by
/// one looks again; nobody can make that happen often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digests {
    /// Of the entries that are kin.
    pub(super) kin: u64,
    /// Of the kin at the same address.
    pub(super) neighbours: u64,
    /// Of the entries that share a place.
    pub(super) place: u64,
}

/// A digest, the same in every run.
fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The offset of the IPv4 address when it is 0.0.0.0.
fn open_address(tower: &[u8], offset: Option<usize>) -> Option<usize> {
    let address = tower.get(offset?..)?.get(..4)?;
    (address == [0; 4]).then_some(offset?)
}

/// Passes an annotation that fits `char annotation[64]` as a string.
fn check_annotation(annotation: &[u8]) -> Result<&[u8], RegistryError> {
    if annotation.len() > MAX_ANNOTATION {
        return Err(RegistryError::AnnotationLength(annotation.len()));
    }
    if annotation.contains(&0) {
        return Err(RegistryError::AnnotationNul);
    }
    Ok(annotation)
}

/// Why the registry does not take something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The tower's octets do not decode.
    #[error("tower: {0}")]
    Tower(#[from] DecodeError),
    /// The tower decodes, but lacks what every RPC tower says.
    #[error("tower: {0}")]
    Parts(#[from] TowerError),
    /// Octets behind the last floor.
    #[error("tower: {0} octets behind the last floor")]
    Trailing(usize),
    /// The interface or the transfer syntax is nil.
    #[error("tower: interface or transfer syntax is nil")]
    Nil,
    /// The annotation is longer than 63 octets.
    #[error("annotation of {0} octets, the limit is 63")]
    AnnotationLength(usize),
    /// A NUL inside the annotation, which would end it early.
    #[error("annotation holds a NUL")]
    AnnotationNul,
    /// The tower's protocol sequence is not known.
    #[error("tower: its floors from 3 down are of no known protocol sequence")]
    Sequence,
    /// There is no tower.
    #[error("no tower")]
    NoTower,
    /// The table holds as many entries as it may.
    #[error("the table is full, its limit is {limit} entries")]
    Full {
        /// The most entries it may hold.
        limit: usize,
    },
    /// An owner has as many entries as one may.
    #[error("{owner} has as many entries as one may, {limit}")]
    OwnerFull {
        /// The owner.
        owner: Owner,
        /// The most entries of one owner.
        limit: usize,
    },
    /// An interface has as many entries as one may.
    #[error("the interface has as many entries as one may, {limit}")]
    InterfaceFull {
        /// The most entries of one interface.
        limit: usize,
    },
    /// The entry is too long.
    #[error("tower and annotation of {octets} octets, the limit is {limit}")]
    TooLong {
        /// What they are.
        octets: usize,
        /// The most of one entry.
        limit: usize,
    },
    /// No rule allows the caller to register the interface.
    #[error("no rule allows the caller this interface")]
    NotAllowed,
    /// The interface is reserved, and no rule names it to the caller.
    #[error("the interface is reserved, and no rule names it to the caller")]
    Reserved,
    /// The address is not one of this host, and no rule allows others.
    #[error("{0} is not an address of this host, and no rule allows the caller others")]
    Foreign(Ipv4Addr),
    /// The entry belongs to somebody else.
    #[error("the entry belongs to {0}")]
    NotOwner(Owner),
    /// The interface belongs to somebody else.
    #[error("the interface belongs to {0}, and a rule makes it exclusive")]
    Exclusive(Owner),
    /// A higher minor version of the interface stands where this one would.
    #[error("minor version {0} of the interface is registered already")]
    HigherVersion(u16),
    /// An entry was to end with the caller's process, which cannot be told.
    #[error("the caller's process has ended or cannot be told")]
    NoProcess,
    /// The caller asks for a life that there is not.
    #[error("there is no life {0}")]
    NoSuchLife(u32),
    /// There is no such entry.
    #[error("no such entry")]
    NotRegistered,
    /// There is no such lease of the caller.
    #[error("the caller has no such lease")]
    NoLease,
    /// More changes than an owner may make.
    #[error("{owner} changes more than {limit} entries a second")]
    TooFast {
        /// The owner.
        owner: Owner,
        /// The most changes of one owner in a second.
        limit: usize,
    },
    /// The change could not be written to disk.
    #[error("the change cannot be written to disk")]
    NotStored,
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ECHO, OBJECT, tcp_tower, tower};
    use super::*;

    /// An entry of `tower`.
    fn of(tower: &[u8]) -> Result<Entry, RegistryError> {
        Entry::new(OBJECT, tower, b"", Owner::Mapper)
    }

    /// The error for a tower with this annotation.
    fn annotated(annotation: &[u8]) -> Option<RegistryError> {
        let tower = tcp_tower(ECHO, 1);
        Entry::new(OBJECT, &tower, annotation, Owner::Mapper).err()
    }

    #[test]
    fn an_entry_knows_what_its_tower_says() {
        let octets = tcp_tower(ECHO, 49152);
        let entry = Entry::new(OBJECT, &octets, b"echo", Owner::Configuration).unwrap();
        assert_eq!(entry.object(), OBJECT);
        assert_eq!(entry.tower(), octets);
        assert_eq!(entry.annotation(), b"echo");
        assert_eq!(entry.owner(), &Owner::Configuration);
        assert_eq!(
            (entry.interface(), entry.transfer_syntax()),
            (ECHO, SyntaxId::NDR)
        );
        assert_eq!(
            entry.shape().protseq().map(|protseq| protseq.name()),
            Some("ncacn_ip_tcp")
        );
    }

    #[test]
    fn a_tower_with_octets_behind_its_last_floor_is_refused() {
        let mut octets = tcp_tower(ECHO, 49152);
        octets.extend([0, 0]);
        assert_eq!(of(&octets), Err(RegistryError::Trailing(2)));
    }

    #[test]
    fn a_tower_cut_short_or_of_two_floors_is_refused() {
        let octets = tcp_tower(ECHO, 49152);
        assert!(matches!(of(&octets[..70]), Err(RegistryError::Tower(_))));
        assert!(matches!(
            of(&tower(ECHO, SyntaxId::NDR, &[])),
            Err(RegistryError::Parts(_))
        ));
        assert!(matches!(of(&[]), Err(RegistryError::Tower(_))));
    }

    #[test]
    fn a_nil_interface_or_transfer_syntax_is_refused() {
        let nil = SyntaxId::new(Uuid::nil(), 1, 0);
        for (interface, syntax) in [(nil, SyntaxId::NDR), (ECHO, nil)] {
            let octets = tower(interface, syntax, &[(0x0c, &[0, 0]), (0x10, b"a\0")]);
            assert_eq!(of(&octets), Err(RegistryError::Nil));
        }
    }

    #[test]
    fn an_annotation_has_at_most_63_octets_and_no_nul() {
        assert_eq!(annotated(&[b'a'; 63]), None);
        assert_eq!(
            annotated(&[b'a'; 64]),
            Some(RegistryError::AnnotationLength(64))
        );
        assert_eq!(annotated(b"a\0b"), Some(RegistryError::AnnotationNul));
    }

    #[test]
    fn an_open_address_is_answered_with_the_one_dialled() {
        let dialled = Some(Ipv4Addr::new(192, 0, 2, 10));
        for (rpc, endpoint) in [(0x0b, 0x07), (0x0a, 0x08), (0x0b, 0x1f)] {
            let floors = |address: [u8; 4]| {
                let lower: [(u8, &[u8]); 3] =
                    [(rpc, &[0, 0]), (endpoint, &[0xc0, 0]), (0x09, &address)];
                tower(ECHO, SyntaxId::NDR, &lower)
            };
            let open = of(&floors([0; 4])).unwrap();
            assert_eq!(open.tower_for(dialled), floors([192, 0, 2, 10]));
            assert_eq!(open.tower(), floors([0; 4]));
        }
    }

    #[test]
    fn an_open_address_stays_open_where_no_ipv4_address_was_dialled() {
        let open = of(&tcp_tower(ECHO, 49152)).unwrap();
        assert!(matches!(open.tower_for(None), Cow::Borrowed(octets) if octets == open.tower()));
    }

    #[test]
    fn a_registered_address_stays_whatever_was_dialled() {
        let lower: [(u8, &[u8]); 3] = [(0x0b, &[0, 0]), (0x07, &[0xc0, 0]), (0x09, &[10, 0, 0, 1])];
        let fixed = of(&tower(ECHO, SyntaxId::NDR, &lower)).unwrap();
        let pipe = [
            (0x0b, &[0, 0][..]),
            (0x0f, b"\0\0\0\0"),
            (0x11, b"\0\0\0\0"),
        ];
        let pipe = of(&tower(ECHO, SyntaxId::NDR, &pipe)).unwrap();
        for entry in [fixed, pipe] {
            assert_eq!(entry.tower_for(Some(Ipv4Addr::LOCALHOST)), entry.tower());
        }
    }

    #[test]
    fn an_endpoint_is_the_tower_without_its_interface() {
        let one = of(&tcp_tower(ECHO, 49152)).unwrap();
        let two = of(&tcp_tower(super::super::samples::SAMR, 49152)).unwrap();
        assert_eq!(one.endpoint(), two.endpoint());
        assert_ne!(one.identity(), two.identity());
        assert_ne!(
            one.endpoint(),
            of(&tcp_tower(ECHO, 49153)).unwrap().endpoint()
        );
    }
}
