//! Calls, fragments, multiplexing, cancels, verification trailers.

use super::{LITTLE, NDR, Talk};
use crate::calls::{Command, trailer};
use crate::conversation::Conversation;
use crate::pdus::{CallBody, Draft, Element, FIRST, LAST, MAYBE, PENDING_CANCEL, WHOLE};
use epmapper::wire::pdu::PacketType;
use epmapper::wire::{ByteOrder, SyntaxId};
use uuid::Uuid;

pub fn all() -> Vec<Conversation> {
    [
        whole(),
        fragments(),
        limits(),
        interleaved(),
        at_once(),
        trailers(),
    ]
    .concat()
}

/// A call of is_server_listening.
fn listening() -> CallBody {
    CallBody::new(0, 2, &[0; 8])
}

fn with_hint(alloc_hint: u32) -> CallBody {
    CallBody {
        alloc_hint: Some(alloc_hint),
        ..listening()
    }
}

fn whole() -> Vec<Conversation> {
    let object = |object| CallBody {
        object: Some(object),
        ..listening()
    };
    let flags = |name: &str, flags: u8| {
        let change = |draft: &mut Draft| draft.flags = flags;
        Talk::mgmt(name).call_with(&listening(), change).done()
    };
    vec![
        Talk::mgmt("unknown context")
            .call(7, 2, &[])
            .call(0, 2, &[])
            .done(),
        Talk::mgmt("unknown operation")
            .call(0, 5, &[])
            .call(0, 0xffff, &[])
            .call(0, 2, &[])
            .done(),
        Talk::new("a context above 255")
            .bind(&[Element::new(0x1ff, SyntaxId::MGMT, NDR)])
            .call(0x1ff, 2, &[])
            .call(0x1ff, 9, &[])
            .call(0xff, 2, &[])
            .done(),
        Talk::mgmt("objects")
            .call_with(&object(Uuid::nil()), |_| {})
            .call_with(&object(Uuid::from_u128(5)), |_| {})
            .done(),
        Talk::mgmt("spare octets behind the arguments")
            .call(0, 2, &[7; 45])
            .done(),
        Talk::mgmt("hints")
            .call_with(&with_hint(0), |_| {})
            .call_with(&with_hint(1), |_| {})
            .call_with(&with_hint(0xffff_ffff), |_| {})
            .done(),
        Talk::mgmt("the call id of the bind")
            .fragment(WHOLE, 1, &listening())
            .fragment(WHOLE, 1, &listening())
            .done(),
        Talk::mgmt("call ids that fall")
            .fragment(WHOLE, 9, &listening())
            .fragment(WHOLE, 3, &listening())
            .fragment(WHOLE, 0, &listening())
            .done(),
        Talk::mgmt("byte orders that change")
            .call(0, 2, &[])
            .in_order(ByteOrder::Big)
            .call(0, 2, &[])
            .in_order(LITTLE)
            .call(0, 2, &[])
            .done(),
        flags("a MAYBE call", WHOLE | MAYBE),
        Talk::mgmt("a MAYBE call of an unknown operation")
            .call_with(&CallBody::new(0, 9, &[]), |d| d.flags |= MAYBE)
            .done(),
        Talk::mgmt("a MAYBE call on an unknown context")
            .call_with(&CallBody::new(9, 2, &[]), |d| d.flags |= MAYBE)
            .done(),
        flags(
            "a call cancelled before it was sent",
            WHOLE | PENDING_CANCEL,
        ),
        flags(
            "a first fragment cancelled before it was sent",
            FIRST | PENDING_CANCEL,
        ),
        flags("a reserved flag", WHOLE | 8),
        flags("a call that did not execute", WHOLE | 0x20),
        flags("a call with multiplexing", WHOLE | 0x10),
    ]
}

fn fragments() -> Vec<Conversation> {
    let body = listening();
    let cancel = |talk: Talk, ptype, call_id| talk.pdu(ptype, Vec::new(), |d| d.call_id = call_id);
    let between = |name: &str, ptype, call_id| {
        let talk = Talk::mgmt(name).fragment(FIRST, 5, &body);
        cancel(talk, ptype, call_id)
            .fragment(LAST, 5, &body)
            .call(0, 2, &[])
            .done()
    };
    let (co_cancel, orphaned) = (PacketType::CO_CANCEL, PacketType::ORPHANED);
    let other = |context_id, opnum| CallBody::new(context_id, opnum, &[0; 8]);
    vec![
        Talk::mgmt("two fragments")
            .in_two(5, &body)
            .call(0, 2, &[])
            .done(),
        Talk::mgmt("four fragments")
            .fragment(FIRST, 5, &body)
            .fragment(0, 5, &body)
            .fragment(0, 5, &body)
            .fragment(LAST, 5, &body)
            .done(),
        Talk::mgmt("fragments without stub")
            .in_two(5, &CallBody::new(0, 2, &[]))
            .done(),
        Talk::mgmt("a call that is never completed")
            .fragment(FIRST, 5, &body)
            .done(),
        Talk::mgmt("a later fragment of another context and operation")
            .fragment(FIRST, 5, &body)
            .fragment(LAST, 5, &other(9, 9))
            .done(),
        Talk::mgmt("a later fragment in the other byte order")
            .fragment(FIRST, 5, &body)
            .in_order(ByteOrder::Big)
            .fragment(LAST, 5, &body)
            .done(),
        Talk::mgmt("a later fragment with an object")
            .fragment(FIRST, 5, &body)
            .fragment(
                LAST,
                5,
                &CallBody {
                    object: Some(Uuid::nil()),
                    ..body.clone()
                },
            )
            .done(),
        Talk::mgmt("a later fragment cancelled")
            .fragment(FIRST, 5, &body)
            .fragment(LAST | PENDING_CANCEL, 5, &body)
            .done(),
        Talk::mgmt("a middle fragment cancelled")
            .fragment(FIRST, 5, &body)
            .fragment(PENDING_CANCEL, 5, &body)
            .fragment(LAST, 5, &body)
            .done(),
        Talk::mgmt("a later fragment MAYBE")
            .fragment(FIRST, 5, &body)
            .fragment(LAST | MAYBE, 5, &body)
            .done(),
        Talk::mgmt("a first fragment MAYBE")
            .fragment(FIRST | MAYBE, 5, &body)
            .fragment(LAST, 5, &body)
            .done(),
        Talk::mgmt("a first fragment of an unknown operation")
            .in_two(5, &other(0, 9))
            .done(),
        Talk::mgmt("a first fragment on an unknown context")
            .fragment(FIRST, 5, &other(9, 2))
            .done(),
        Talk::mgmt("two fragments on an unknown context")
            .in_two(5, &other(9, 2))
            .done(),
        Talk::mgmt("a first fragment on an unknown context, then a call")
            .fragment(FIRST, 5, &other(9, 2))
            .call(0, 2, &[])
            .done(),
        Talk::multiplexed("multiplexed: two fragments on an unknown context")
            .in_two(5, &other(9, 2))
            .done(),
        Talk::mgmt("an answer in fragments of 1 octet")
            .fragment(FIRST, 5, &CallBody::new(0, 1, &[4]))
            .fragment(0, 5, &CallBody::new(0, 1, &[0]))
            .fragment(0, 5, &CallBody::new(0, 1, &[0]))
            .fragment(LAST, 5, &CallBody::new(0, 1, &[0, 0, 0, 0, 0]))
            .done(),
        cancel(Talk::mgmt("co_cancel of no call"), co_cancel, 77)
            .call(0, 2, &[])
            .done(),
        cancel(Talk::mgmt("orphaned of no call"), orphaned, 77)
            .call(0, 2, &[])
            .done(),
        between("co_cancel of an incomplete call", co_cancel, 5),
        between("orphaned of an incomplete call", orphaned, 5),
        between("co_cancel of another call", co_cancel, 6),
        between("orphaned of another call", orphaned, 6),
        cancel(
            Talk::mgmt("a call after an orphaned one").fragment(FIRST, 5, &body),
            orphaned,
            5,
        )
        .call(0, 2, &[])
        .done(),
        cancel(
            Talk::multiplexed("multiplexed: a call after an orphaned one")
                .fragment(FIRST, 5, &body),
            orphaned,
            5,
        )
        .call(0, 2, &[])
        .done(),
        Talk::new("co_cancel first")
            .pdu(co_cancel, Vec::new(), |_| {})
            .done(),
        Talk::new("orphaned first")
            .pdu(orphaned, Vec::new(), |_| {})
            .done(),
        Talk::mgmt("co_cancel with a body")
            .pdu(co_cancel, vec![0; 4], |_| {})
            .call(0, 2, &[])
            .done(),
        Talk::mgmt("alter within a call")
            .fragment(FIRST, 5, &body)
            .alter(&[Element::new(1, SyntaxId::EPT, NDR)])
            .fragment(LAST, 5, &body)
            .done(),
        Talk::mgmt("bind within a call")
            .fragment(FIRST, 5, &body)
            .bind(&[Element::new(1, SyntaxId::EPT, NDR)])
            .done(),
    ]
}

fn limits() -> Vec<Conversation> {
    let stub = |length: usize| CallBody::new(0, 2, &vec![0; length]);
    let hint = |alloc_hint| with_hint(alloc_hint);
    const MOST: u32 = 4 << 20;
    let long = |name: &str, octets: usize| {
        let whole = octets.div_ceil(5816);
        let mut talk = Talk::mgmt(name);
        for place in 0..whole {
            let length = (octets - place * 5816).min(5816);
            let flags =
                [FIRST, 0][usize::from(place > 0)] | [0, LAST][usize::from(place + 1 == whole)];
            let body = CallBody {
                alloc_hint: Some(0),
                ..stub(length)
            };
            talk = talk.fragment(flags, 5, &body);
        }
        talk.done()
    };
    vec![
        Talk::mgmt("a fragment of 5840 octets")
            .call(0, 2, &[0; 5816])
            .call(0, 2, &[])
            .done(),
        Talk::mgmt("a fragment of 5841 octets")
            .call(0, 2, &[0; 5817])
            .done(),
        Talk::mgmt("a later fragment of 5841 octets")
            .fragment(FIRST, 5, &listening())
            .fragment(LAST, 5, &stub(5817))
            .done(),
        Talk::mgmt("a co_cancel of 5841 octets")
            .pdu(PacketType::CO_CANCEL, vec![0; 5825], |_| {})
            .done(),
        Talk::mgmt("a hint of 4 MiB")
            .fragment(FIRST, 5, &hint(MOST))
            .fragment(LAST, 5, &hint(0))
            .done(),
        Talk::mgmt("a hint above 4 MiB")
            .fragment(FIRST, 5, &hint(MOST + 1))
            .done(),
        Talk::mgmt("a hint above 4 MiB in a later fragment")
            .fragment(FIRST, 5, &hint(0))
            .fragment(0, 5, &hint(MOST + 1))
            .fragment(LAST, 5, &hint(0))
            .done(),
        Talk::mgmt("a hint of 4 MiB in a later fragment")
            .fragment(FIRST, 5, &hint(0))
            .fragment(0, 5, &hint(MOST))
            .fragment(LAST, 5, &hint(0))
            .done(),
        Talk::mgmt("a hint of 4 MiB in the last fragment")
            .fragment(FIRST, 5, &hint(0))
            .fragment(LAST, 5, &hint(MOST))
            .done(),
        long("a call of 4 MiB", MOST as usize),
        long("a call of 4 MiB and one octet", MOST as usize + 1),
    ]
}

fn interleaved() -> Vec<Conversation> {
    let body = listening();
    let mut all = Vec::new();
    for multiplexed in [false, true] {
        let talk = |name: &str| match multiplexed {
            true => Talk::multiplexed(format!("multiplexed: {name}")),
            false => Talk::mgmt(name),
        };
        let unknown = CallBody::new(9, 2, &[]);
        all.extend([
            talk("a call begun twice")
                .fragment(FIRST, 5, &body)
                .fragment(FIRST, 5, &body)
                .done(),
            talk("a call begun and then sent whole")
                .fragment(FIRST, 5, &body)
                .fragment(WHOLE, 5, &body)
                .done(),
            talk("two calls begun")
                .fragment(FIRST, 5, &body)
                .fragment(FIRST, 6, &body)
                .done(),
            talk("a call within another")
                .fragment(FIRST, 5, &body)
                .fragment(WHOLE, 6, &body)
                .done(),
            talk("a later fragment of another call")
                .fragment(FIRST, 5, &body)
                .fragment(0, 6, &body)
                .done(),
            talk("a last fragment of another call")
                .fragment(FIRST, 5, &body)
                .fragment(LAST, 6, &body)
                .done(),
            talk("a middle fragment alone").fragment(0, 5, &body).done(),
            talk("a last fragment alone")
                .fragment(LAST, 5, &body)
                .done(),
            talk("a middle fragment alone on an unknown context")
                .fragment(0, 5, &unknown)
                .call(0, 2, &[])
                .done(),
            talk("a last fragment alone on an unknown context")
                .fragment(LAST, 5, &unknown)
                .call(0, 2, &[])
                .done(),
            talk("a last fragment alone on context 511")
                .alter(&[Element::new(0x1ff, SyntaxId::EPT, NDR)])
                .fragment(LAST, 9, &CallBody::new(0x1ff, 2, &[]))
                .done(),
            talk("a middle fragment behind a whole call")
                .fragment(WHOLE, 5, &body)
                .fragment(0, 5, &body)
                .done(),
            talk("another call on an unknown context within a call")
                .fragment(FIRST, 5, &body)
                .fragment(WHOLE, 6, &unknown)
                .done(),
        ]);
    }
    let bound = || {
        Talk::new("a last fragment alone on context 7").bind(&[Element::new(
            7,
            SyntaxId::MGMT,
            NDR,
        )])
    };
    all.push(bound().fragment(LAST, 9, &CallBody::new(7, 2, &[])).done());
    let altered = |name: &str| {
        Talk::mgmt(format!("after an alter: {name}")).alter(&[Element::new(1, SyntaxId::EPT, NDR)])
    };
    let unknown = CallBody::new(9, 2, &[]);
    all.extend([
        altered("a call begun, another sent")
            .fragment(FIRST, 5, &body)
            .fragment(WHOLE, 6, &body)
            .done(),
        altered("a call begun and not completed")
            .fragment(FIRST, 5, &body)
            .done(),
        altered("a last fragment alone on an unknown context")
            .fragment(LAST, 5, &unknown)
            .done(),
        altered("two fragments on an unknown context")
            .in_two(5, &unknown)
            .done(),
    ]);
    all
}

fn at_once() -> Vec<Conversation> {
    let many = (0..20).fold(Talk::mgmt("20 calls at once"), |talk, _| {
        talk.call(0, 2, &[])
    });
    let mixed = Talk::mgmt("calls, faults and an alter at once")
        .call(0, 2, &[])
        .call(0, 9, &[])
        .call(9, 0, &[]);
    let mixed = mixed
        .alter(&[Element::new(1, SyntaxId::EPT, NDR)])
        .call(1, 9, &[])
        .call(0, 2, &[]);
    vec![
        many.at_once(),
        mixed.at_once(),
        Talk::mgmt("a second bind at once")
            .call(0, 2, &[])
            .bind(&[Element::new(0, SyntaxId::MGMT, NDR)])
            .at_once(),
        Talk::mgmt("fragments at once")
            .in_two(5, &listening())
            .in_two(6, &listening())
            .at_once(),
        Talk::multiplexed("multiplexed: 5 calls at once")
            .call(0, 2, &[])
            .call(0, 2, &[])
            .call(0, 2, &[])
            .call(0, 2, &[])
            .call(0, 2, &[])
            .at_once(),
    ]
}

fn trailers() -> Vec<Conversation> {
    let mut all = Vec::new();
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let suffix = match order {
            ByteOrder::Little => "",
            ByteOrder::Big => ", big-endian",
        };
        let mut push = |name: &str, before: usize, commands: &[Command], behind: usize| {
            let stub = [vec![0; before], trailer(order, commands), vec![0; behind]].concat();
            let talk = Talk::mgmt(format!("trailer: {name}{suffix}")).in_order(order);
            all.push(talk.call(0, 2, &stub).call(0, 2, &[]).done());
        };
        let context = Command::context(SyntaxId::MGMT, SyntaxId::NDR);
        // The call's id is 2, its operation 2.
        let header = Command::header(order, 2, 0, 2);
        push("the context", 0, &[context.clone().last()], 0);
        push("the header", 0, &[header.clone().last()], 0);
        push("a bit mask", 0, &[Command::bits(1).last()], 0);
        push(
            "all three",
            0,
            &[Command::bits(1), context.clone(), header.clone().last()],
            0,
        );
        push(
            "another interface",
            0,
            &[Command::context(SyntaxId::EPT, SyntaxId::NDR).last()],
            0,
        );
        push(
            "another transfer syntax",
            0,
            &[Command::context(SyntaxId::MGMT, SyntaxId::NDR64).last()],
            0,
        );
        push(
            "another call id",
            0,
            &[Command::header(order, 3, 0, 2).last()],
            0,
        );
        push(
            "another context id",
            0,
            &[Command::header(order, 2, 1, 2).last()],
            0,
        );
        push(
            "another operation",
            0,
            &[Command::header(order, 2, 0, 3).last()],
            0,
        );
        push(
            "an unknown command",
            0,
            &[Command::unknown(77, 4).last()],
            0,
        );
        push(
            "an unknown command that must be understood",
            0,
            &[Command::unknown(77, 4).must().last()],
            0,
        );
        push(
            "a context that must be understood",
            0,
            &[context.clone().must().last()],
            0,
        );
        push("no last command", 0, std::slice::from_ref(&context), 0);
        push("no command", 0, &[], 0);
        push(
            "a command behind the last",
            0,
            &[
                Command::context(SyntaxId::MGMT, SyntaxId::NDR).last(),
                Command::context(SyntaxId::EPT, SyntaxId::NDR).last(),
            ],
            0,
        );
        push("4 octets before", 4, &[context.clone().last()], 0);
        push(
            "1 octet before",
            1,
            &[Command::context(SyntaxId::EPT, SyntaxId::NDR).last()],
            0,
        );
        push(
            "16 octets behind",
            0,
            &[Command::context(SyntaxId::EPT, SyntaxId::NDR).last()],
            16,
        );
        push(
            "20 octets behind",
            0,
            &[Command::context(SyntaxId::EPT, SyntaxId::NDR).last()],
            20,
        );
        push(
            "1000 octets behind",
            0,
            &[Command::context(SyntaxId::EPT, SyntaxId::NDR).last()],
            1000,
        );
        push(
            "a context that says 39 octets",
            0,
            &[Command::context(SyntaxId::MGMT, SyntaxId::NDR)
                .saying(39)
                .last()],
            0,
        );
        push(
            "a command longer than its stub",
            0,
            &[Command::unknown(77, 4).saying(400).last()],
            0,
        );
        push(
            "a command of no octets",
            0,
            &[Command::unknown(77, 0).last()],
            0,
        );
        push(
            "two contexts that agree",
            0,
            &[context.clone(), context.clone().last()],
            0,
        );
        push(
            "two contexts that do not",
            0,
            &[
                context.clone(),
                Command::context(SyntaxId::EPT, SyntaxId::NDR).last(),
            ],
            0,
        );
    }
    let wrong = trailer(
        LITTLE,
        &[Command::context(SyntaxId::EPT, SyntaxId::NDR).last()],
    );
    let half = wrong.len() / 2;
    let part = |octets: &[u8]| CallBody::new(0, 2, octets);
    all.push(
        Talk::mgmt("trailer: over two fragments")
            .fragment(FIRST, 5, &part(&wrong[..half]))
            .fragment(LAST, 5, &part(&wrong[half..]))
            .done(),
    );
    all.push(
        Talk::mgmt("trailer: on an unknown operation")
            .call(0, 9, &wrong)
            .done(),
    );
    all.push(
        Talk::mgmt("trailer: on an unknown context")
            .call(9, 2, &wrong)
            .done(),
    );
    all.push(
        Talk::mgmt("trailer: behind a stub that does not unmarshal")
            .call(0, 1, &wrong)
            .done(),
    );
    all
}
