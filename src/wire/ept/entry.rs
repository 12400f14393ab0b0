//! Entries of the endpoint map and the towers in them, as stubs carry them.

use crate::wire::input::{self, Input, Parsed};
use crate::wire::ndr::{self, Pointer, Referents};
use crate::wire::output::Output;
use crate::wire::syntax::TransferSyntax;
use std::borrow::Cow;
use uuid::Uuid;

/// The longest annotation, in octets, without its NUL.
///
/// # Source
/// C706 appendix O (`ept_max_annotation_size` is 64, with the NUL).
pub const MAX_ANNOTATION: usize = 63;

/// Whether an entry can hold this text: at most [`MAX_ANNOTATION`] octets, and no
/// NUL, which would end it.
pub fn is_annotation(text: &str) -> bool {
    text.len() <= MAX_ANNOTATION && !text.contains('\0')
}

/// A pointer to the octets of a tower.
pub type TowerPointer<'a> = Option<Pointer<Cow<'a, [u8]>>>;

/// An `ept_entry_t`: one endpoint of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The object, nil for none.
    pub object: Uuid,
    /// The tower's octets.
    pub tower: TowerPointer<'a>,
    /// What the server says of itself, up to the NUL; at most
    /// [`MAX_ANNOTATION`] octets.
    pub annotation: Cow<'a, [u8]>,
}

impl<'a> Entry<'a> {
    /// An entry whose tower gets the next of `referents`.
    pub fn new(
        referents: &mut Referents,
        object: Uuid,
        tower: impl Into<Cow<'a, [u8]>>,
        annotation: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        Entry {
            object,
            tower: Some(referents.point(tower.into())),
            annotation: annotation.into(),
        }
    }

    /// The tower's octets, if there are any.
    pub fn tower_octets(&self) -> Option<&[u8]> {
        self.tower.as_ref().map(|tower| &*tower.value)
    }
}

/// Reads `count` entries, then their towers.
///
/// Layout of an entry: aligned to 4, in NDR64 to 8 and filled up to that; object
/// uuid, tower referent, annotation offset 0, annotation count (1 to 64, its NUL
/// among them), octets. The towers follow the last entry, in order.
///
/// # Errors
/// `Truncated`; `Value` for an annotation offset; `Limit` and `Nul` for an
/// annotation; `Mismatch` for a tower's lengths.
///
/// # Source
/// C706 appendix O and 14.3.10 (deferred referents); MS-RPCE 2.2.5.3.4.1. The gap
/// of the last entry shows only when no tower follows, which nobody sends.
pub(in crate::wire) fn entries<'a>(
    count: u64,
) -> impl FnMut(Input<'a>) -> Parsed<'a, Vec<Entry<'a>>> {
    move |mut i| {
        let count = ndr::room(i, "entries", count, least_entry(i.syntax()))?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let (rest, entry) = entry_head(i)?;
            entries.push(entry);
            i = rest;
        }
        let pointers = entries.iter_mut().filter_map(|entry| entry.tower.as_mut());
        let (i, ()) = deferred_towers(pointers)(i)?;
        Ok((i, entries))
    }
}

/// The fewest octets of an entry before its tower: uuid, referent, two counts.
fn least_entry(syntax: TransferSyntax) -> usize {
    16 + 3 * ndr::width(syntax)
}

/// Reads an entry, its tower still to come.
fn entry_head(i: Input<'_>) -> Parsed<'_, Entry<'_>> {
    let (i, object) = ndr::uuid("object")(i)?;
    let (i, referent) = ndr::referent("tower")(i)?;
    let (i, annotation) = ndr::varying_string("annotation", MAX_ANNOTATION + 1)(i)?;
    let (i, ()) = ndr::gap("annotation")(i)?;
    let entry = Entry {
        object,
        tower: referent.map(tower_to_come),
        annotation: annotation.into(),
    };
    Ok((i, entry))
}

/// A pointer whose tower is deferred.
pub(super) fn tower_to_come<'a>(referent: u64) -> Pointer<Cow<'a, [u8]>> {
    Pointer {
        referent,
        value: Cow::Borrowed(&[]),
    }
}

/// Reads what `pointers` point to, in order.
pub(super) fn deferred_towers<'a, 'p>(
    pointers: impl Iterator<Item = &'p mut Pointer<Cow<'a, [u8]>>>,
) -> impl FnOnce(Input<'a>) -> Parsed<'a, ()>
where
    'a: 'p,
{
    move |mut i| {
        for pointer in pointers {
            let (rest, octets) = tower("tower")(i)?;
            pointer.value = Cow::Borrowed(octets);
            i = rest;
        }
        Ok((i, ()))
    }
}

/// Reads a `twr_t`: max_count, tower_length u32, which is the same, octets. They
/// are the tower's own in every transfer syntax, and no gap follows them.
///
/// # Errors
/// `Mismatch` when the two lengths differ, `Truncated` when the octets end
/// before the tower.
///
/// # Source
/// C706 appendix O; MS-RPCE 2.2.5.3.4.2. That there is no gap is how impacket
/// and tshark read it; towers of 75 octets, all that was seen of Windows in
/// NDR64, leave none either way.
pub(super) fn tower<'a>(name: &'static str) -> impl FnMut(Input<'a>) -> Parsed<'a, &'a [u8]> {
    move |i| {
        let (i, length) = ndr::conformant_head(name, u32::MAX)(i)?;
        let length = ndr::room(i, name, length, 1)?;
        input::octets(name, length)(i)
    }
}

/// Writes entries, then their towers.
pub(in crate::wire) fn put_entries<'e>(
    out: &mut Output,
    entries: impl IntoIterator<Item = &'e Entry<'e>> + Clone,
) {
    for entry in entries.clone() {
        ndr::put_uuid(out, &entry.object);
        ndr::put_referent(out, entry.tower.as_ref());
        ndr::put_varying_string(out, &entry.annotation, MAX_ANNOTATION + 1);
        ndr::put_gap(out);
    }
    for tower in entries.into_iter().filter_map(Entry::tower_octets) {
        put_tower(out, tower);
    }
}

/// Writes a `twr_t`.
pub(super) fn put_tower(out: &mut Output, octets: &[u8]) {
    ndr::put_conformant_head(out, octets.len());
    out.octets(octets);
}
