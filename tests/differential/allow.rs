//! Which differences from Samba's mapper are as they should be.
//!
//! Each is one row of "Differences from Samba's mapper" in docs/protocol.md, which says who is right and why.

use crate::compare::{Difference, Place, Stub};
use crate::conversation::Sent;
use crate::pdus::{CONC_MPX, Element, FIRST, MAYBE, PENDING_CANCEL, WHOLE};
use epmapper::wire::pdu::PacketType;
use epmapper::wire::tower::{ProtocolSequence, Tower};
use epmapper::wire::{ByteOrder, SyntaxId, ept, mgmt};

/// A difference that is as it should be.
pub struct Allowance {
    pub id: &'static str,
    /// The types of the answer; of Samba's, where ours is none.
    pub pdus: &'static [&'static str],
    /// The field of it.
    pub field: &'static str,
    /// What ours says, one of these.
    pub ours: &'static [&'static str],
    /// What Samba's says, one of these.
    pub sambas: &'static [&'static str],
    /// For which input.
    pub when: fn(&Place<'_>) -> bool,
    /// Whether nothing after it can be compared.
    pub parts: bool,
}

impl Allowance {
    /// Whether this is the difference that it allows.
    pub fn explains(&self, place: &Place<'_>) -> bool {
        let difference = place.difference;
        self.pdus.contains(&difference.pdu.as_str())
            && difference.field == self.field
            && is_one_of(&difference.ours, self.ours)
            && is_one_of(&difference.sambas, self.sambas)
            && (self.when)(place)
    }
}

/// What stands for any value.
const ANY: &str = "*";

fn is_one_of(value: &str, values: &[&str]) -> bool {
    values.contains(&value) || values.contains(&ANY)
}

/// All of them.
pub const ALLOWANCES: &[Allowance] = &[
    // Form.
    Allowance {
        id: "fault-hint",
        pdus: &["fault"],
        field: "alloc_hint",
        ours: &["32"],
        sambas: &["24"],
        when: |_| true,
        parts: false,
    },
    Allowance {
        id: "byte-order",
        pdus: &[
            "bind_ack",
            "bind_nak",
            "alter_context_resp",
            "response",
            "fault",
        ],
        field: "byte order",
        ours: &["big"],
        sambas: &["little"],
        when: |p| p.asks(|a| a.order() == ByteOrder::Big),
        parts: false,
    },
    Allowance {
        id: "referents",
        pdus: &["response"],
        field: "referents",
        ours: &["*"],
        sambas: &["from 2", "from 3"],
        when: |p| p.calls(SyntaxId::EPT, &[ept::LOOKUP, ept::MAP]),
        parts: false,
    },
    Allowance {
        id: "long-answer",
        pdus: &["response"],
        field: "longest fragment",
        ours: &["1432"],
        sambas: &["2040"],
        when: takes_less_than_2048,
        parts: false,
    },
    Allowance {
        id: "foreign-call-id",
        pdus: &["bind_nak", "fault"],
        field: "call_id",
        ours: &["octets reversed"],
        sambas: &["as sent"],
        when: |p| p.asks(|a| is_foreign(a) && a.octets[4] >> 4 != 1),
        parts: false,
    },
    // What cannot be read.
    Allowance {
        id: "first-unreadable",
        pdus: &["bind_nak"],
        field: "answer",
        ours: &["bind_nak 4"],
        sambas: &["closed"],
        when: |p| p.is_first() && p.asks(is_unreadable),
        parts: true,
    },
    Allowance {
        id: "later-unreadable",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x1c01000b"],
        sambas: &["closed"],
        when: |p| !p.is_first() && p.asked_before(is_unreadable),
        parts: true,
    },
    Allowance {
        id: "unreadable-did-not-execute",
        pdus: &["fault"],
        field: "flags",
        ours: &["0x03"],
        sambas: &["0x23"],
        when: |p| !p.is_first() && p.asks(|a| !a.is_readable()),
        parts: false,
    },
    Allowance {
        id: "foreign-second-bind",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x1c01000b"],
        sambas: &["bind_nak 0"],
        when: |p| {
            !p.is_first()
                && p.asks(|a| {
                    a.is(PacketType::BIND) && (is_foreign(a) || has_no_room_for_verifier(a))
                })
        },
        parts: true,
    },
    Allowance {
        id: "foreign-cancel",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x1c01000b"],
        sambas: &["none"],
        when: |p| p.asks(is_foreign_cancel),
        parts: true,
    },
    // Negotiation.
    Allowance {
        id: "group-of-no-process",
        pdus: &["bind_nak"],
        field: "answer",
        ours: &["bind_nak 0", "bind_nak 4", "bind_nak 8", "bind_nak 9"],
        sambas: &["closed"],
        when: |p| p.is_first() && p.asks(|a| upper_half_of_group(a) != 0),
        parts: true,
    },
    Allowance {
        id: "multiplexing-bind",
        pdus: &["bind_ack"],
        field: "flags",
        ours: &["0x13", "0x17"],
        sambas: &["0x03", "0x07"],
        when: |p| p.asks(|a| a.has(CONC_MPX) && !a.elements().iter().any(is_served_in_ndr)),
        parts: true,
    },
    Allowance {
        id: "multiplexing-alter",
        pdus: &["alter_context_resp"],
        field: "flags",
        ours: &["0x03", "0x07"],
        sambas: &["0x13", "0x17"],
        when: |p| p.asked_before(|s| s.is(PacketType::BIND) && s.has(CONC_MPX)) || has_altered(p),
        parts: false,
    },
    Allowance {
        id: "multiplexing-since-alter",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x1c01000b"],
        sambas: &["none"],
        when: |p| has_altered(p) && p.asked_before(|s| s.is(PacketType::REQUEST) && !s.has(WHOLE)),
        parts: true,
    },
    Allowance {
        id: "multiplexing-since-alter-other",
        pdus: &["fault"],
        field: "answer",
        ours: &["none", "closed"],
        sambas: &["fault 0x1c01000b"],
        when: |p| has_altered(p) && p.asked_before(|s| s.is(PacketType::REQUEST) && !s.has(WHOLE)),
        parts: true,
    },
    Allowance {
        id: "multiplexing-since-alter-alone",
        pdus: &["fault"],
        field: "status",
        ours: &["0x1c01000b"],
        sambas: &["0x1c010003"],
        when: |p| has_altered(p) && p.asks(|a| a.is(PacketType::REQUEST) && !a.has(FIRST)),
        parts: true,
    },
    Allowance {
        id: "ndr64",
        pdus: &["bind_ack", "alter_context_resp"],
        field: "result",
        ours: &["0/0 NDR64"],
        sambas: &["2/2 none"],
        when: |p| p.asks_element(is_ndr64_only),
        parts: true,
    },
    Allowance {
        id: "ndr64-before-ndr",
        pdus: &["bind_ack", "alter_context_resp"],
        field: "result",
        ours: &["2/2 none"],
        sambas: &["0/0 NDR"],
        when: |p| p.asks(|a| a.elements().iter().any(is_ndr64_only)),
        parts: true,
    },
    Allowance {
        id: "ndr64-moves-a-context",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x1c01000b"],
        sambas: &["alter_context_resp"],
        when: |p| p.asks(|a| a.elements().iter().any(is_ndr64_only)),
        parts: true,
    },
    Allowance {
        id: "ndr64-then-conflict",
        pdus: &["bind_ack", "alter_context_resp"],
        field: "answer",
        ours: &["bind_ack", "alter_context_resp"],
        sambas: &["bind_nak 0", "fault 0x1c01000b"],
        when: |p| p.asks(|a| a.elements().iter().any(is_ndr64_only)),
        parts: true,
    },
    // Calls.
    Allowance {
        id: "maybe",
        pdus: &["response", "fault"],
        field: "answer",
        ours: &["none", "closed"],
        sambas: &[
            "response",
            "fault 0x1c010002",
            "fault 0x1c010003",
            "fault 0x6f7",
            "fault 0x1c00001a",
        ],
        when: |p| p.asks(|a| a.is(PacketType::REQUEST) && a.has(MAYBE)),
        parts: false,
    },
    Allowance {
        id: "later-hint-fault",
        pdus: &["fault"],
        field: "status",
        ours: &["0x1c010002", "0x6f7", "0x1c01000b"],
        sambas: &["0x5"],
        when: has_later_hint,
        parts: true,
    },
    Allowance {
        id: "later-hint",
        pdus: &["fault", "response"],
        field: "answer",
        ours: &["response", "none", "fault 0x1c01000b", "closed"],
        sambas: &["fault 0x5", "none"],
        when: has_later_hint,
        parts: true,
    },
    Allowance {
        id: "trailer-twice",
        pdus: &["response"],
        field: "answer",
        ours: &["response"],
        sambas: &["fault 0x5"],
        when: |p| {
            p.asks(|a| {
                a.octets
                    .windows(4)
                    .filter(|w| is_context_command(w))
                    .count()
                    > 1
            })
        },
        parts: true,
    },
    Allowance {
        id: "verifier-on-no-context",
        pdus: &["fault"],
        field: "status",
        ours: &["0x5", "0x1c01000b"],
        sambas: &["0x1c010003"],
        when: |p| p.asks(|a| a.is(PacketType::REQUEST) && a.header.auth_length > 0),
        parts: true,
    },
    Allowance {
        id: "verifier-and-cancel",
        pdus: &["fault"],
        field: "status",
        ours: &["0x5", "0x1c01000b"],
        sambas: &["0x6bd"],
        when: |p| {
            p.asks(|a| {
                a.is(PacketType::REQUEST) && a.has(PENDING_CANCEL) && a.header.auth_length > 0
            })
        },
        parts: true,
    },
    Allowance {
        id: "verifier-malformed",
        pdus: &["fault"],
        field: "status",
        ours: &["0x1c01000b"],
        sambas: &["0x5"],
        when: |p| p.asks(|a| a.is(PacketType::REQUEST) && is_malformed(a)),
        parts: true,
    },
    // Security, without a provider.
    Allowance {
        id: "no-provider-bind",
        pdus: &["bind_nak"],
        field: "answer",
        ours: &["bind_nak 8"],
        sambas: &["bind_ack"],
        when: |p| p.asks(|a| has_verifier(a, &[9, 10], &[2, 4, 5, 6])),
        parts: true,
    },
    Allowance {
        id: "no-provider-alter",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x5"],
        sambas: &["alter_context_resp"],
        when: |p| p.asks(|a| has_verifier(a, &[9, 10], &[2, 4, 5, 6])),
        parts: true,
    },
    Allowance {
        id: "no-provider-token",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["8"],
        sambas: &["0"],
        when: |p| p.asks(|a| has_verifier(a, &[9, 10], &[2, 4, 5, 6])),
        parts: true,
    },
    Allowance {
        id: "unknown-type-bind",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["8"],
        sambas: &["0"],
        when: |p| {
            p.asks(|a| {
                a.verifier()
                    .is_some_and(|(t, l)| !KNOWN_TYPES.contains(&t) && matches!(l, 2..=6))
            })
        },
        parts: true,
    },
    Allowance {
        id: "unknown-type-alter",
        pdus: &["fault"],
        field: "status",
        ours: &["0x5"],
        sambas: &["0x721"],
        when: |p| {
            p.asks(|a| {
                a.verifier()
                    .is_some_and(|(t, _)| matches!(t, 9 | 10) || !KNOWN_TYPES.contains(&t))
            })
        },
        parts: true,
    },
    Allowance {
        id: "netlogon",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["8"],
        sambas: &["9"],
        when: |p| p.asks(|a| has_verifier(a, &[68], &[2, 4, 5, 6])),
        parts: true,
    },
    Allowance {
        id: "call-level-unknown-type",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["8"],
        sambas: &["9"],
        when: |p| {
            p.asks(|a| {
                a.verifier()
                    .is_some_and(|(t, l)| !KNOWN_TYPES.contains(&t) && l == 3)
            })
        },
        parts: true,
    },
    Allowance {
        id: "call-level-other-type",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["9"],
        sambas: &["8"],
        when: |p| p.asks(|a| has_verifier(a, &[14, 16], &[3])),
        parts: true,
    },
    Allowance {
        id: "leg-unaligned",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["0"],
        sambas: &["4"],
        when: |p| p.asks(|a| !is_aligned(a) && !is_padded(a)),
        parts: true,
    },
    Allowance {
        id: "bind-padded",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["0", "8", "9"],
        sambas: &["4"],
        when: |p| p.asks(is_padded),
        parts: true,
    },
    Allowance {
        id: "alter-padded",
        pdus: &["fault"],
        field: "status",
        ours: &["0x5"],
        sambas: &["0x1c01000b"],
        when: |p| p.asks(is_padded),
        parts: true,
    },
    Allowance {
        id: "empty-list-first",
        pdus: &["bind_nak"],
        field: "reason",
        ours: &["4", "8", "9"],
        sambas: &["0"],
        when: |p| {
            p.asks(|a| {
                a.verifier().is_some()
                    && (a.elements().is_empty()
                        || a.elements().iter().any(|e| e.syntaxes.is_empty()))
            })
        },
        parts: true,
    },
    Allowance {
        id: "empty-list-alter",
        pdus: &["fault"],
        field: "status",
        ours: &["0x1c01000b", "0x5"],
        sambas: &["0x5", "0x1c01000b"],
        when: |p| p.asks(|a| a.is(PacketType::ALTER_CONTEXT) && a.verifier().is_some()),
        parts: true,
    },
    // Management.
    Allowance {
        id: "inq-stats",
        pdus: &["response"],
        field: "answer",
        ours: &["response"],
        sambas: &["fault 0x6f7"],
        when: |p| {
            p.stubs(SyntaxId::MGMT, &[mgmt::INQ_STATS])
                .iter()
                .any(|stub| stub.octets.len() < 8)
        },
        parts: true,
    },
    Allowance {
        id: "inq-princ-name",
        pdus: &["response"],
        field: "answer",
        ours: &["response"],
        sambas: &["fault 0x1c010002"],
        when: |p| p.calls(SyntaxId::MGMT, &[mgmt::INQ_PRINC_NAME]),
        parts: true,
    },
    Allowance {
        id: "inq-princ-name-of-nothing",
        pdus: &["fault"],
        field: "status",
        ours: &["0x6f7"],
        sambas: &["0x1c010002"],
        when: |p| {
            p.stubs(SyntaxId::MGMT, &[mgmt::INQ_PRINC_NAME])
                .iter()
                .any(|stub| stub.word(4) == Some(0))
        },
        parts: true,
    },
    // Endpoint mapper.
    Allowance {
        id: "inq-object",
        pdus: &["response"],
        field: "answer",
        ours: &["response"],
        sambas: &["fault 0x6f7", "fault 0x1c010002"],
        when: |p| p.calls(SyntaxId::EPT, &[ept::INQ_OBJECT]),
        parts: true,
    },
    Allowance {
        id: "registration-stub",
        pdus: &["fault"],
        field: "status",
        ours: &["0x1c010002"],
        sambas: &["0x6f7"],
        when: |p| {
            p.calls(
                SyntaxId::EPT,
                &[ept::INSERT, ept::DELETE, ept::MGMT_DELETE, ept::MAP_AUTH],
            )
        },
        parts: true,
    },
    Allowance {
        id: "map-auth",
        pdus: &["fault"],
        field: "flags",
        ours: &["0x23"],
        sambas: &["0x03"],
        when: |p| p.calls(SyntaxId::EPT, &[ept::MAP_AUTH]),
        parts: false,
    },
    Allowance {
        id: "more-than-500",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x6f7"],
        sambas: &["response"],
        when: wants_too_many,
        parts: true,
    },
    Allowance {
        id: "far-more-than-500",
        pdus: &["fault"],
        field: "status",
        ours: &["0x6f7"],
        sambas: &["0x6d8", "0x1c00001a"],
        when: wants_too_many,
        parts: true,
    },
    Allowance {
        id: "tower-cut",
        pdus: &["response"],
        field: "answer",
        ours: &["response"],
        sambas: &["fault 0x6f7"],
        when: |p| maps(p, is_no_tower),
        parts: true,
    },
    Allowance {
        id: "map-handle",
        pdus: &["fault"],
        field: "answer",
        ours: &["fault 0x1c00001a"],
        sambas: &["response"],
        when: |p| has_handle(p, ept::MAP),
        parts: true,
    },
    Allowance {
        id: "map-minor-version",
        pdus: &["response"],
        field: "status",
        ours: &["0x16c9a0d6"],
        sambas: &["0x0"],
        when: |p| maps(p, has_minor_version),
        parts: true,
    },
    Allowance {
        id: "map-nothing-handle",
        pdus: &["response"],
        field: "handle",
        ours: &["null"],
        sambas: &["live"],
        when: |p| maps(p, is_unmapped),
        parts: true,
    },
    Allowance {
        id: "freed-handle",
        pdus: &["response"],
        field: "handle",
        ours: &["null"],
        sambas: &["live"],
        when: |p| has_handle(p, ept::LOOKUP_HANDLE_FREE),
        parts: true,
    },
    Allowance {
        id: "lookup-filter",
        pdus: &["response"],
        field: "status",
        ours: &["0x16c9a0d6"],
        sambas: &["0x0"],
        when: looks_up_by,
        parts: true,
    },
    Allowance {
        id: "lookup-filter-count",
        pdus: &["response"],
        field: "count",
        ours: &["full page", "some"],
        sambas: &["none"],
        when: looks_up_by,
        parts: true,
    },
    Allowance {
        id: "lookup-filter-handle",
        pdus: &["response"],
        field: "handle",
        ours: &["null"],
        sambas: &["live"],
        when: looks_up_by,
        parts: true,
    },
    Allowance {
        id: "lookup-version",
        pdus: &["response"],
        field: "status",
        ours: &["0x16c9a0bd"],
        sambas: &["0x0", "0x6d8", "0x16c9a0d6"],
        when: looks_up_by,
        parts: true,
    },
    Allowance {
        id: "lookup-type",
        pdus: &["response"],
        field: "status",
        ours: &["0x16c9a0d6"],
        sambas: &["0x6d8"],
        when: looks_up_by,
        parts: true,
    },
    Allowance {
        id: "crash",
        pdus: &[
            "response",
            "fault",
            "bind_ack",
            "alter_context_resp",
            "bind_nak",
        ],
        field: "answer",
        ours: &["*"],
        sambas: &["crashed"],
        when: looks_up_without_pointer,
        parts: true,
    },
];

/// Octets of a call's stub at most.
const MOST: u32 = 4 << 20;
/// Authentication types that some mechanism has.
const KNOWN_TYPES: [u8; 7] = [0, 9, 10, 14, 16, 68, 255];

/// Whether the client takes no fragment of 2048 octets.
fn takes_less_than_2048(place: &Place<'_>) -> bool {
    place
        .sent()
        .iter()
        .filter_map(Sent::bind)
        .any(|bind| bind.max_recv_frag < 2048 && bind.max_recv_frag > 0)
}

/// Whether a header is of another version, or has a label that is neither ASCII nor IEEE.
fn is_foreign(sent: &Sent) -> bool {
    let header = &sent.header;
    (header.version_major, header.version_minor) != (5, 0) || !header.drep.is_supported()
}

/// Whether a PDU is shorter than its type needs, or of a type that is none.
///
/// Types 5, 6 and 8 to 10 are of the connectionless protocol, 20 of RPC over HTTP; Samba reads their bodies.
fn is_unreadable(sent: &Sent) -> bool {
    let ptype = sent.header.ptype.0;
    !sent.is_readable() || ptype >= PacketType::RTS.0 || matches!(ptype, 5 | 6 | 8..=10)
}

/// Whether the verifier leaves no room for the header, or for what the body needs.
fn has_no_room_for_verifier(sent: &Sent) -> bool {
    sent.header.auth_length > 0 && !sent.is_readable()
}

fn is_cancel(sent: &Sent) -> bool {
    sent.is(PacketType::CO_CANCEL) || sent.is(PacketType::ORPHANED)
}

/// Whether it is longer than what is no bind may be.
fn is_too_long(sent: &Sent) -> bool {
    sent.octets.len() > 5840
}

/// Whether both mappers serve what is asked for.
fn is_served_in_ndr(element: &Element) -> bool {
    [SyntaxId::EPT, SyntaxId::MGMT].contains(&element.interface)
        && element.syntaxes.contains(&SyntaxId::NDR)
}

/// Whether NDR64 is asked for and NDR is not.
fn is_ndr64_only(element: &Element) -> bool {
    element.syntaxes.contains(&SyntaxId::NDR64) && !element.syntaxes.contains(&SyntaxId::NDR)
}

/// Whether an alter_context made a context, so that Samba takes several calls at once.
fn has_altered(place: &Place<'_>) -> bool {
    place.asked_before(|sent| {
        sent.is(PacketType::ALTER_CONTEXT) && sent.elements().iter().any(is_served_in_ndr)
    })
}

/// Whether a fragment that is not the first has a hint of 4 MiB or more.
fn has_later_hint(place: &Place<'_>) -> bool {
    place.asked_before(|sent| {
        let hint = sent.request().map_or(0, |request| request.alloc_hint);
        !sent.has(FIRST) && hint >= MOST
    })
}

/// Whether four octets begin the command of a presentation context.
fn is_context_command(octets: &[u8]) -> bool {
    matches!(octets, [2, 0 | 0x40, 40, 0] | [0 | 0x40, 2, 0, 40])
}

/// Whether the verifier is of one of these types and levels.
fn has_verifier(sent: &Sent, types: &[u8], levels: &[u8]) -> bool {
    sent.verifier()
        .is_some_and(|(auth_type, level)| types.contains(&auth_type) && levels.contains(&level))
}

/// Whether the verifier begins at a multiple of 4 octets.
fn is_aligned(sent: &Sent) -> bool {
    sent.verifier_offset().is_none_or(|at| at.is_multiple_of(4))
}

/// Whether a request's verifier is not aligned, or tells of more padding than there is stub, or is on a fragment that
/// has no first.
fn is_malformed(sent: &Sent) -> bool {
    sent.verifier().is_some() && (!is_aligned(sent) || !sent.is_readable() || !sent.has(FIRST))
}

/// Whether octets stand before the verifier of a bind or alter_context that it does not tell of.
fn is_padded(sent: &Sent) -> bool {
    sent.leg_padding()
        .is_some_and(|(there, told)| there != told)
}

/// The upper half of what stands in a bind where the group does; Samba reads it so in whatever comes first.
fn upper_half_of_group(sent: &Sent) -> u16 {
    let at = match (sent.order(), sent.header.ptype) {
        (ByteOrder::Big, PacketType::BIND | PacketType::ALTER_CONTEXT) => 20,
        _ => 22,
    };
    let octets = sent.octets.get(at..at + 2).unwrap_or(&[0, 0]);
    u16::from_be_bytes([octets[0], octets[1]])
}

/// Whether a call on any connection is an ept_lookup without the object or interface that it is by.
fn looks_up_without_pointer(place: &Place<'_>) -> bool {
    (0..place.conversation.connections()).any(|connection| {
        let difference = &Difference {
            connection,
            after: usize::MAX,
            call_id: None,
            ..place.difference.clone()
        };
        let all = Place {
            difference,
            ..*place
        };
        let stubs = all.all_stubs(SyntaxId::EPT, &[ept::LOOKUP]);
        stubs
            .iter()
            .any(|stub| inquiry(stub) > 0 && !(has_object(stub) && has_interface(stub)))
    })
}

/// The inquiry type of an ept_lookup.
fn inquiry(stub: &Stub) -> u32 {
    stub.word(0).unwrap_or(0)
}

/// Whether an ept_lookup points to an object.
fn has_object(stub: &Stub) -> bool {
    stub.word(4).is_some_and(|referent| referent != 0)
}

/// Whether an ept_lookup points to an interface.
fn has_interface(stub: &Stub) -> bool {
    let at = if has_object(stub) { 24 } else { 8 };
    stub.word(at).is_some_and(|referent| referent != 0)
}

/// Whether an ept_lookup is by something.
fn looks_up_by(place: &Place<'_>) -> bool {
    let stubs = place.stubs(SyntaxId::EPT, &[ept::LOOKUP]);
    stubs.iter().any(|stub| inquiry(stub) > 0)
}

/// Whether more than 500 are asked for at once: the last word of both operations.
fn wants_too_many(place: &Place<'_>) -> bool {
    let stubs = place.stubs(SyntaxId::EPT, &[ept::LOOKUP, ept::MAP]);
    stubs.iter().any(|stub| {
        let at = stub.octets.len() & !3;
        (4..=at)
            .step_by(4)
            .any(|back| stub.word(at - back).is_some_and(|max| max > 500))
    })
}

/// The tower of an ept_map, and where its handle stands.
fn tower(stub: &Stub) -> Option<(Vec<u8>, usize)> {
    let at = if stub.word(0)? == 0 { 4 } else { 20 };
    if stub.word(at)? == 0 {
        return Some((Vec::new(), at + 4));
    }
    let length = stub.word(at + 4)? as usize;
    let octets = stub.octets.get(at + 12..)?.get(..length)?;
    Some((octets.to_vec(), (at + 12 + length).next_multiple_of(4)))
}

/// Whether an ept_map has a tower like this.
fn maps(place: &Place<'_>, is: impl Fn(&[u8]) -> bool) -> bool {
    let stubs = place.stubs(SyntaxId::EPT, &[ept::MAP]);
    stubs.iter().filter_map(tower).any(|(tower, _)| is(&tower))
}

/// Whether a tower's octets are those of no tower.
fn is_no_tower(tower: &[u8]) -> bool {
    Tower::decode(tower).is_err()
}

/// Whether a tower is of no protocol sequence that Samba's mapper maps.
fn is_unmapped(tower: &[u8]) -> bool {
    let parts = Tower::decode(tower)
        .ok()
        .and_then(|tower| tower.parts().ok());
    parts.is_none_or(|parts| matches!(parts.protseq, None | Some(ProtocolSequence::NcacnHttp)))
}

/// Whether a tower asks for a minor version other than 0.
fn has_minor_version(tower: &[u8]) -> bool {
    let parts = Tower::decode(tower)
        .ok()
        .and_then(|tower| tower.parts().ok());
    parts.is_some_and(|parts| parts.interface.minor > 0)
}

/// Whether a call has a handle that is not null.
fn has_handle(place: &Place<'_>, opnum: u16) -> bool {
    let stubs = place.stubs(SyntaxId::EPT, &[opnum]);
    stubs.iter().any(|stub| {
        let at = match opnum {
            ept::MAP => tower(stub).map_or(0, |(_, handle)| handle),
            _ => 0,
        };
        let handle = stub.octets.get(at..).unwrap_or(&[]);
        stub.has_handle || handle.iter().take(20).any(|octet| *octet != 0)
    })
}

/// Whether a cancel is of another version, has a foreign label, is too long, or has no room for its verifier.
fn is_foreign_cancel(sent: &Sent) -> bool {
    is_cancel(sent) && (is_foreign(sent) || is_too_long(sent) || has_no_room_for_verifier(sent))
}
