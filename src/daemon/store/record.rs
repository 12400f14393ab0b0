//! Records: entries and leases <-> octets.
//!
//! Numbers are little-endian, UUIDs in the order of their text. Each record
//! begins with the version of its layout, ends where its last field ends, and
//! is decoded with every length checked.

use crate::registry::{AccountName, Entry, Lease, Life, Owner, Process};
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// The version of both layouts.
const VERSION: u8 = 1;

/// Owner kinds.
mod owner {
    pub(super) const USER: u8 = 1;
    pub(super) const IPV4: u8 = 2;
    pub(super) const IPV6: u8 = 3;
    pub(super) const ACCOUNT: u8 = 4;
}

/// Life kinds.
mod life {
    pub(super) const PERMANENT: u8 = 0;
    pub(super) const PROCESS: u8 = 1;
    pub(super) const PROBE: u8 = 2;
    pub(super) const LEASE: u8 = 3;
}

/// An entry, and the boot that its process belongs to; nil for other lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The entry.
    pub(super) entry: Entry,
    /// The boot.
    pub(super) boot: Uuid,
}

/// Encodes an entry of a registrant; `None` for one of the mapper's own side,
/// which is never stored, and for one beyond what the layout can say.
///
/// Layout: version u8, object 16 octets; owner kind u8, then uid u32, 4 or 16
/// octets of address, or of an account the address that it registered from in
/// 16 octets, an IPv4 one mapped into IPv6 and zeros for none, name length u8,
/// name; life kind u8, then for a process boot 16 octets, pid
/// u32, start u64, for a lease id 16 octets, seconds u64, nanoseconds u32;
/// registered u64; tower length u32, tower; annotation length u8, annotation.
pub(super) fn encode(entry: &Entry, boot: Uuid) -> Option<Vec<u8>> {
    let mut out = vec![VERSION];
    out.extend(entry.object().as_bytes());
    put_owner(&mut out, entry)?;
    put_life(&mut out, entry.life(), boot);
    out.extend(entry.registered().to_le_bytes());
    out.extend(u32::try_from(entry.tower().len()).ok()?.to_le_bytes());
    out.extend(entry.tower());
    out.push(u8::try_from(entry.annotation().len()).ok()?);
    out.extend(entry.annotation());
    Some(out)
}

/// Puts whose it is.
fn put_owner(out: &mut Vec<u8>, entry: &Entry) -> Option<()> {
    match entry.owner() {
        Owner::Mapper | Owner::Configuration => return None,
        Owner::User(uid) => {
            out.push(owner::USER);
            out.extend(uid.to_le_bytes());
        }
        Owner::Account(name) => {
            out.push(owner::ACCOUNT);
            out.extend(match entry.origin() {
                Some(IpAddr::V4(address)) => address.to_ipv6_mapped().octets(),
                Some(IpAddr::V6(address)) => address.octets(),
                None => [0; 16],
            });
            out.push(u8::try_from(name.as_str().len()).ok()?);
            out.extend(name.as_str().as_bytes());
        }
        Owner::Host(IpAddr::V4(address)) => {
            out.push(owner::IPV4);
            out.extend(address.octets());
        }
        Owner::Host(IpAddr::V6(address)) => {
            out.push(owner::IPV6);
            out.extend(address.octets());
        }
    }
    Some(())
}

/// Puts what ends it.
fn put_life(out: &mut Vec<u8>, life: Life, boot: Uuid) {
    match life {
        Life::Permanent => out.push(life::PERMANENT),
        Life::Process(process) => {
            out.push(life::PROCESS);
            out.extend(boot.as_bytes());
            out.extend(process.pid.to_le_bytes());
            out.extend(process.started.to_le_bytes());
        }
        Life::Probe => out.push(life::PROBE),
        Life::Lease(lease) => {
            out.push(life::LEASE);
            out.extend(lease.id.as_bytes());
            out.extend(lease.duration.as_secs().to_le_bytes());
            out.extend(lease.duration.subsec_nanos().to_le_bytes());
        }
    }
}

/// Decodes what `encode` made.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(octets: &[u8]) -> Result<Stored, String> {
    let mut input = Input(octets);
    input.version()?;
    let object = input.uuid()?;
    let (owner, origin) = get_owner(&mut input)?;
    let (life, boot) = get_life(&mut input)?;
    let registered = input.u64()?;
    let tower_len = usize::try_from(input.u32()?).map_err(|_| "tower length")?;
    let tower = input.take(tower_len)?;
    let annotation_len = input.u8()?;
    let annotation = input.take(annotation_len.into())?;
    input.end()?;
    let entry = Entry::new(object, tower, annotation, owner).map_err(|error| error.to_string())?;
    let entry = match origin {
        Some(address) => entry.registered_from(address),
        None => entry,
    };
    Ok(Stored {
        entry: entry.living(life, registered),
        boot,
    })
}

/// Takes whose it is, and of an account where it registered from.
fn get_owner(input: &mut Input) -> Result<(Owner, Option<IpAddr>), String> {
    let owner = match input.u8()? {
        owner::USER => Owner::User(input.u32()?),
        owner::IPV4 => Owner::Host(IpAddr::from(input.array::<4>()?)),
        owner::IPV6 => Owner::Host(IpAddr::from(input.array::<16>()?)),
        owner::ACCOUNT => {
            let origin = IpAddr::from(input.array::<16>()?).to_canonical();
            let origin = Some(origin).filter(|origin| !origin.is_unspecified());
            return Ok((Owner::Account(get_account(input)?), origin));
        }
        kind => return Err(format!("owner kind {kind}")),
    };
    Ok((owner, None))
}

/// Takes the name of an account.
fn get_account(input: &mut Input) -> Result<AccountName, String> {
    let len = input.u8()?;
    let name = str::from_utf8(input.take(len.into())?).ok();
    let name = name.and_then(AccountName::new);
    name.ok_or_else(|| "name of an account".to_owned())
}

/// Takes what ends it, and the boot of a process.
fn get_life(input: &mut Input) -> Result<(Life, Uuid), String> {
    match input.u8()? {
        life::PERMANENT => Ok((Life::Permanent, Uuid::nil())),
        life::PROCESS => {
            let boot = input.uuid()?;
            let (pid, started) = (input.u32()?, input.u64()?);
            Ok((Life::Process(Process { pid, started }), boot))
        }
        life::PROBE => Ok((Life::Probe, Uuid::nil())),
        life::LEASE => {
            let id = input.uuid()?;
            let (seconds, nanoseconds) = (input.u64()?, input.u32()?);
            if nanoseconds >= 1_000_000_000 {
                return Err(format!("lease of {nanoseconds} ns beyond the second"));
            }
            let duration = Duration::new(seconds, nanoseconds);
            Ok((Life::Lease(Lease { id, duration }), Uuid::nil()))
        }
        kind => Err(format!("life kind {kind}")),
    }
}

/// A lease as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// The boot that the deadline counts from.
    pub(super) boot: Uuid,
    /// When it ends, in milliseconds since the boot.
    pub(super) deadline: u64,
    /// How many entries it keeps; one that keeps none is not stored.
    pub(super) entries: u64,
}

impl Grant {
    /// Encodes a lease.
    ///
    /// Layout: version u8, boot 16 octets, deadline u64, entries u64.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(self.boot.as_bytes());
        out.extend(self.deadline.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out
    }

    /// Decodes what `encode` made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(octets: &[u8]) -> Result<Grant, String> {
        let mut input = Input(octets);
        input.version()?;
        let grant = Grant {
            boot: input.uuid()?,
            deadline: input.u64()?,
            entries: input.u64()?,
        };
        input.end()?;
        Ok(grant)
    }
}

/// Octets still to be decoded.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The next `count` octets.
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let left = self.0.len();
        let split = self.0.split_at_checked(count);
        let (taken, rest) = split.ok_or(format!("{count} octets wanted, {left} left"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` octets.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| format!("{N} octets wanted"))
    }

    /// The next octet.
    fn u8(&mut self) -> Result<u8, String> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next four octets as a number.
    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight octets as a number.
    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next sixteen octets as a UUID.
    fn uuid(&mut self) -> Result<Uuid, String> {
        self.array().map(Uuid::from_bytes)
    }

    /// The version of the layout.
    fn version(&mut self) -> Result<(), String> {
        match self.u8()? {
            VERSION => Ok(()),
            other => Err(format!("version {other}")),
        }
    }

    /// Nothing is left.
    fn end(&self) -> Result<(), String> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(format!("{left} octets too many")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::samples::{ECHO, OBJECT, OTHER, tcp_tower};
    use proptest::prelude::*;

    /// Any owner that is stored.
    fn owners() -> impl Strategy<Value = Owner> {
        prop_oneof![
            any::<u32>().prop_map(Owner::User),
            any::<IpAddr>().prop_map(Owner::Host),
            "\\PC{1,60}".prop_filter_map("no name", |name| {
                AccountName::new(&name).map(Owner::Account)
            }),
        ]
    }

    /// Any life.
    fn lives() -> impl Strategy<Value = Life> {
        let process = (any::<u32>(), any::<u64>())
            .prop_map(|(pid, started)| Life::Process(Process { pid, started }));
        let lease = (any::<u128>(), any::<Duration>()).prop_map(|(id, duration)| {
            let id = Uuid::from_u128(id);
            Life::Lease(Lease { id, duration })
        });
        prop_oneof![Just(Life::Permanent), Just(Life::Probe), process, lease]
    }

    /// Any entry that is stored.
    fn entries() -> impl Strategy<Value = Entry> {
        let rest = (any::<u128>(), any::<u16>(), any::<u64>(), any::<IpAddr>());
        let annotation = proptest::collection::vec(1u8.., 0..=63);
        (owners(), lives(), rest, annotation).prop_map(|(owner, life, rest, annotation)| {
            let (object, port, registered, address) = rest;
            let tower = tcp_tower(ECHO, port);
            let entry = Entry::new(Uuid::from_u128(object), &tower, &annotation, owner);
            let entry = entry.unwrap().registered_from(address);
            entry.living(life, registered)
        })
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was(entry in entries()) {
            let stored = decode(&encode(&entry, OTHER).unwrap()).unwrap();
            let is_process = matches!(entry.life(), Life::Process(_));
            prop_assert_eq!(stored.boot, if is_process { OTHER } else { Uuid::nil() });
            prop_assert_eq!(stored.entry, entry);
        }

        #[test]
        fn a_record_cut_short_or_with_more_behind_is_refused(entry in entries()) {
            let mut octets = encode(&entry, OTHER).unwrap();
            for len in 0..octets.len() {
                prop_assert!(decode(&octets[..len]).is_err());
            }
            octets.push(0);
            prop_assert!(decode(&octets).is_err());
        }

        #[test]
        fn any_octets_decode_or_do_not(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&octets);
            let _ = Grant::decode(&octets);
        }

        #[test]
        fn a_lease_comes_back_as_it_was(deadline: u64, entries: u64) {
            let grant = Grant { boot: OBJECT, deadline, entries };
            let octets = grant.encode();
            prop_assert_eq!(Grant::decode(&octets), Ok(grant));
            prop_assert!(Grant::decode(&octets[1..]).is_err());
        }
    }

    #[test]
    fn what_the_mapper_and_the_configuration_say_is_not_stored() {
        for owner in [Owner::Mapper, Owner::Configuration] {
            let entry = Entry::new(OBJECT, &tcp_tower(ECHO, 1), b"", owner).unwrap();
            assert_eq!(encode(&entry, OTHER), None);
        }
    }

    #[test]
    fn an_account_stands_in_the_place_of_an_address() {
        let alice = Owner::Account(AccountName::new("Alice").unwrap());
        let entry = Entry::new(OBJECT, &tcp_tower(ECHO, 1), b"", alice).unwrap();
        let owner = |entry: &Entry| encode(entry, OTHER).unwrap()[17..40].to_vec();
        let mut octets = vec![4]; // owner: an account
        octets.extend([0; 16]); // from nowhere that is known
        octets.extend(b"\x05alice");
        assert_eq!(owner(&entry), octets);
        let entry = entry.registered_from("192.0.2.7".parse().unwrap());
        octets[11..17].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
        assert_eq!(owner(&entry), octets);
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let alice = Owner::Account(AccountName::new("alice").unwrap());
        let entry = Entry::new(OBJECT, &tcp_tower(ECHO, 1), b"", alice).unwrap();
        for octet in [0, 0xff] {
            let mut octets = encode(&entry, OTHER).unwrap();
            octets[35] = octet;
            assert_eq!(decode(&octets), Err("name of an account".to_owned()));
        }
        let mut octets = encode(&entry, OTHER).unwrap();
        octets[17] = 5;
        assert_eq!(decode(&octets), Err("owner kind 5".to_owned()));
    }

    #[test]
    fn a_record_has_the_layout_that_is_documented() {
        let entry = Entry::new(OBJECT, &tcp_tower(ECHO, 1), b"a", Owner::User(1000)).unwrap();
        let entry = entry.living(Life::Probe, 0x0102);
        let mut octets = vec![1];
        octets.extend(OBJECT.as_bytes());
        octets.extend([1, 0xe8, 3, 0, 0]); // owner: user 1000
        octets.push(2); // life: probe
        octets.extend([2, 1, 0, 0, 0, 0, 0, 0]); // registered
        octets.extend([75, 0, 0, 0]); // tower length
        octets.extend(tcp_tower(ECHO, 1));
        octets.extend([1, b'a']); // annotation
        assert_eq!(encode(&entry, OTHER), Some(octets));
    }
}
