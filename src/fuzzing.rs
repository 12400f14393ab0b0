//! One function for each fuzz target, callable from tests.
//!
//! Each takes octets that somebody made up and panics where a law of this
//! package does not hold: that is its only answer, so nothing but fuzz targets
//! and tests calls it. Machines are driven by operation lists, which the octets
//! encode so that any octets are a list; `association_list`,
//! `client_association_list`, `secure_association_list` and `registry_list` write
//! such lists from real traffic. Two runs over the same octets do the same: the
//! clock is read once, as an origin, and nothing depends on it.

mod association;
mod client;
#[cfg(feature = "security")]
mod ntlm;
mod registry;
#[cfg(feature = "security")]
mod secure;
#[cfg(feature = "security")]
mod spnego;
mod stub;
mod typed;
#[cfg(feature = "security")]
pub(crate) mod words;

pub use association::{association, association_list};
pub use client::{Side, client_association, client_association_list};
#[cfg(feature = "security")]
pub use ntlm::ntlm;
pub use registry::{registry, registry_list};
#[cfg(feature = "security")]
pub use secure::{secure_association, secure_association_list};
#[cfg(feature = "security")]
pub use spnego::spnego;
pub use stub::ept_stub;
pub use typed::{typed_stub, typed_stub_samples};

use crate::wire::binding::Binding;
use crate::wire::pdu::{Body, Pdu, bind_time_syntax};
use crate::wire::tower::{Tower, TowerBuf};
use crate::wire::{ByteOrder, DataRepresentation, SyntaxId};

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("pdu", pdu),
    ("tower", tower),
    ("ept_stub", ept_stub),
    ("typed_stub", typed_stub),
    ("association", association),
    ("client_association", client_association),
    ("registry", registry),
    #[cfg(feature = "security")]
    ("ntlm", ntlm),
    #[cfg(feature = "security")]
    ("spnego", spnego),
    #[cfg(feature = "security")]
    ("secure_association", secure_association),
];

/// Octets read as choices; zeros once they have run out.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// Up to `count` octets as they are.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of `options`.
    fn of<T: Clone, const N: usize>(&mut self, options: [T; N]) -> T {
        options[usize::from(self.u8()) % N].clone()
    }

    /// Damages octets: one changed, or the end cut off.
    fn mangle(&mut self, octets: &mut Vec<u8>) {
        let from_end = usize::from(self.u16()) % (octets.len() + 1);
        let change = self.u8();
        let place = octets.len() - from_end;
        match octets.get_mut(place) {
            Some(octet) if change != 0 => *octet ^= change,
            _ => octets.truncate(place),
        }
    }
}

/// Takes the first `count` octets off what is on its way, all of them for 0.
fn arrived(upcoming: &mut Vec<u8>, count: usize) -> Vec<u8> {
    let whole = upcoming.len();
    let count = if count == 0 { whole } else { count.min(whole) };
    upcoming.drain(..count).collect()
}

/// Target `pdu`: what decodes encodes to the same octets, and its lists are as
/// long as they say.
pub fn pdu(octets: &[u8]) {
    check_pdu(octets);
    // A fuzzer seldom gets the length right; then the rest is never looked at.
    check_pdu(&with_own_length(octets));
}

/// The laws of one PDU.
fn check_pdu(octets: &[u8]) {
    let Ok(pdu) = Pdu::decode(octets) else {
        return;
    };
    let mut again = Vec::new();
    pdu.encode(&mut again);
    assert_eq!(again, octets, "{pdu:?}");
    assert_eq!(Pdu::decode(&again), Ok(pdu));
    match pdu.body {
        Body::Bind(bind) | Body::AlterContext(bind) => {
            assert_eq!(bind.contexts.iter().count(), bind.contexts.len());
            for context in bind.contexts.iter() {
                let syntaxes = context.transfer_syntaxes;
                assert_eq!(syntaxes.iter().count(), syntaxes.len());
                if let Some(mask) = context.bind_time_features() {
                    assert_eq!(syntaxes.iter().next(), Some(bind_time_syntax(mask)));
                }
            }
        }
        Body::BindAck(ack) | Body::AlterContextResp(ack) => {
            assert_eq!(ack.results.iter().count(), ack.results.len());
        }
        _ => {}
    }
}

/// The same octets with a `frag_length` that tells their length.
fn with_own_length(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets.truncate(usize::from(u16::MAX));
    let length = octets.len() as u16;
    if let Some(header) = octets.first_chunk_mut::<10>() {
        let drep = DataRepresentation([header[4], header[5], header[6], header[7]]);
        [header[8], header[9]] = match drep.order() {
            ByteOrder::Little => length.to_le_bytes(),
            ByteOrder::Big => length.to_be_bytes(),
        };
    }
    octets
}

/// Target `tower`: floors, parts and bindings of a tower, and bindings from
/// text.
pub fn tower(octets: &[u8]) {
    if let Ok(tower) = Tower::decode(octets) {
        check_tower(tower);
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        check_text(text);
    }
}

/// The laws of one tower.
fn check_tower(tower: Tower) {
    let again = TowerBuf::from_floors(tower.floors()).expect("decoded floors are writable");
    assert_eq!([again.octets(), tower.trailing()].concat(), tower.octets());
    assert_eq!(TowerBuf::from(tower).as_tower(), tower);
    for floor in tower.floors() {
        let readings = [
            floor.port().is_some(),
            floor.address().is_some(),
            floor.text().is_some(),
        ];
        assert!(
            readings.iter().filter(|there| **there).count() <= 1,
            "{floor:?}"
        );
    }
    let Ok(parts) = tower.parts() else {
        return;
    };
    assert_eq!(parts.lower().count() + 3, tower.floors().count());
    assert_eq!(parts.protseq, parts.shape().protseq());
    let place = parts.address_offset.map(|at| &tower.octets()[at..at + 4]);
    let address = parts.address().map(|address| address.octets());
    assert_eq!(place, address.as_ref().map(|octets| &octets[..]));
    let object = Some(parts.interface.uuid);
    if let Some(binding) = Binding::from_tower(&parts, object) {
        assert_eq!(Some(binding.protseq), parts.protseq);
        assert_eq!(binding.object, object.filter(|object| !object.is_nil()));
        check_binding(&binding);
    }
}

/// The laws of a text that may be a string binding.
fn check_text(text: &str) {
    match text.parse::<Binding>() {
        Ok(binding) => check_binding(&binding),
        Err(error) => {
            let position = error.position.expect("text has places");
            assert!(text.is_char_boundary(position), "{error:?} in {text:?}");
        }
    }
}

/// A binding is what its text says, and what its tower says comes back.
fn check_binding(binding: &Binding) {
    let text = binding.to_string();
    assert_eq!(text.parse().as_ref(), Ok(binding), "{text}");
    let from_tower = |binding| {
        let tower = TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, binding).ok()?;
        let parts = tower.as_tower().parts().expect("towers of ours have parts");
        assert!(tower.as_tower().trailing().is_empty());
        assert_eq!(parts.protseq, Some(binding.protseq));
        Some(Binding::from_tower(&parts, binding.object).expect("a binding made this tower"))
    };
    if let Some(once) = from_tower(binding) {
        assert_eq!(from_tower(&once), Some(once.clone()), "of {binding:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_takes_empty_and_arbitrary_octets() {
        let mut state = 1u32;
        let mut octets = Vec::new();
        for _ in 0..2_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            octets.push((state >> 24) as u8);
        }
        for (_, target) in TARGETS {
            target(&[]);
            octets.chunks(97).for_each(*target);
            target(&octets);
        }
    }
}
