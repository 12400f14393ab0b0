//! The verification trailer behind a stub: protocol.md 10.

use crate::connection::{Connection, fault};
use crate::octets::*;
use crate::server::{MANAGEMENT, Server};

/// What a trailer begins with.
const MAGIC: [u8; 8] = [0x8a, 0xe3, 0x13, 0x71, 0x02, 0xf4, 0x36, 0x71];

/// Commands, and what may be added to them.
const BITMASK: u16 = 1;
const PRESENTATION: u16 = 2;
const HEADER2: u16 = 3;
const UNKNOWN: u16 = 4;
const END: u16 = 0x4000;
const MUST: u16 = 0x8000;

/// The call that trailers here speak of.
const CALL: u32 = 0x0506_0708;

/// A command and its body.
fn command(command: u16, body: Fields) -> Fields {
    let length = written(&body, Order::Little).len();
    let mut fields = vec![
        Field::U16(command),
        Field::U16(u16::try_from(length).unwrap()),
    ];
    fields.extend(body);
    fields
}

fn bitmask(bits: u32) -> Fields {
    vec![Field::U32(bits)]
}

fn presentation(interface: Syntax, transfer: Syntax) -> Fields {
    [syntax_fields(interface), syntax_fields(transfer)].concat()
}

/// What the header of a call says, and its body's first fields.
fn header2(ptype: u8, order: Order, call: u32, context: u16, opnum: u16) -> Fields {
    vec![
        Field::Octets(vec![ptype, 0, 0, 0]),
        Field::Octets(order.label().to_vec()),
        Field::U32(call),
        Field::U16(context),
        Field::U16(opnum),
    ]
}

/// A body that agrees with the call.
fn agreeing_presentation() -> Fields {
    presentation(MGMT, NDR)
}

fn agreeing_header2(order: Order) -> Fields {
    header2(REQUEST, order, CALL, MANAGEMENT, IS_LISTENING)
}

/// A body that does not.
fn wrong_header2() -> Fields {
    header2(REQUEST, Order::Little, CALL, MANAGEMENT, IS_LISTENING + 1)
}

/// A trailer of commands.
fn trailer(commands: &[Fields]) -> Fields {
    [vec![Field::Octets(MAGIC.to_vec())], commands.concat()].concat()
}

/// The call with this stub.
fn call(stub: Fields) -> Pdu {
    request(CALL, MANAGEMENT, IS_LISTENING, stub)
}

/// Calls with this stub, and expects an answer.
#[track_caller]
fn expect_taken(connection: &mut Connection, stub: Fields) {
    connection.send(&call(stub));
    connection.expect_response(CALL, MANAGEMENT);
}

/// Calls with this stub, and expects to be told that it is forged.
#[track_caller]
fn expect_denied(connection: &mut Connection, stub: Fields) {
    connection.send(&call(stub));
    connection.expect_fault(fault(CALL, MANAGEMENT, ACCESS_DENIED));
    connection.expect_alive(MANAGEMENT);
}

/// MS-RPCE 2.2.2.13; protocol.md 10.1, 10.2, 10.3 and 10.4.
#[test]
fn a_trailer_that_agrees_with_the_call_is_taken() {
    let server = Server::start();
    let mut connection = server.bound();
    let commands = [
        (BITMASK, bitmask(0)),
        (PRESENTATION, agreeing_presentation()),
        (HEADER2, agreeing_header2(Order::Little)),
    ];
    for (id, body) in &commands {
        for must in [0, MUST] {
            expect_taken(
                &mut connection,
                trailer(&[command(id | END | must, body.clone())]),
            );
        }
        for (other, second) in commands.iter().filter(|(other, _)| other != id) {
            let both = [
                command(*id, body.clone()),
                command(other | END, second.clone()),
            ];
            expect_taken(&mut connection, trailer(&both));
        }
    }
}

/// MS-RPCE 2.2.2.13; Samba: its integers are little-endian, whatever the label of the call; protocol.md 10.1.
#[test]
fn a_trailer_is_little_endian() {
    let server = Server::start();
    let mut connection = server.bound();
    for order in BOTH_ORDERS {
        let other = BOTH_ORDERS[usize::from(order == Order::Little)];
        for (label, denied) in [(order, false), (other, true)] {
            let commands = [
                command(PRESENTATION, agreeing_presentation()),
                command(HEADER2 | END, agreeing_header2(label)),
            ];
            let stub = written(&trailer(&commands), Order::Little);
            connection.send(&call(raw(&stub)).order(order));
            match denied {
                true => connection.expect_fault(fault(CALL, MANAGEMENT, ACCESS_DENIED)),
                false => drop(connection.expect_response(CALL, MANAGEMENT)),
            }
        }
    }
}

/// MS-RPCE 2.2.2.13.2: a server ignores the bits that it does not know; protocol.md 10.2.
#[test]
fn a_bitmask_that_says_no_more_than_the_bind_is_taken() {
    let server = Server::start();
    let signing = bind(&[context(MANAGEMENT, MGMT, &[NDR])]).flags(WHOLE | HEADER_SIGN);
    let mut connection = server.bound_by(signing);
    for bits in [0, 1, 0xffff_ffff] {
        expect_taken(
            &mut connection,
            trailer(&[command(BITMASK | END, bitmask(bits))]),
        );
    }
    let mut connection = server.bound();
    for bits in [0, 2, 0xffff_fffe] {
        expect_taken(
            &mut connection,
            trailer(&[command(BITMASK | END, bitmask(bits))]),
        );
    }
}

/// MS-RPCE 2.2.2.13.2, Samba: who can sign headers has said so in its bind; protocol.md 10.2.
#[test]
fn a_bitmask_of_header_signing_that_the_bind_did_not_offer_is_denied() {
    let server = Server::start();
    let mut connection = server.bound();
    for bits in [1, 3] {
        expect_denied(
            &mut connection,
            trailer(&[command(BITMASK | END, bitmask(bits))]),
        );
    }
}

/// MS-RPCE 2.2.2.13.4; protocol.md 10.3 and 9.5.
#[test]
fn a_trailer_of_another_presentation_context_is_denied() {
    let server = Server::start();
    let mut connection = server.bound();
    for (interface, transfer) in [
        (EPT, NDR),
        (MGMT, NDR64),
        (MGMT.version(1, 1), NDR),
        (MGMT, NDR.version(1, 0)),
        (EMPTY, EMPTY),
    ] {
        let body = presentation(interface, transfer);
        expect_denied(
            &mut connection,
            trailer(&[command(PRESENTATION | END, body)]),
        );
    }
}

/// MS-RPCE 2.2.2.13.3: each field; protocol.md 10.4 and 9.5.
#[test]
fn a_trailer_of_another_header_is_denied() {
    let server = Server::start();
    let mut connection = server.bound();
    let little = Order::Little;
    for body in [
        header2(RESPONSE, little, CALL, MANAGEMENT, IS_LISTENING),
        header2(REQUEST, Order::Big, CALL, MANAGEMENT, IS_LISTENING),
        header2(REQUEST, little, CALL + 1, MANAGEMENT, IS_LISTENING),
        header2(REQUEST, little, CALL, MANAGEMENT + 1, IS_LISTENING),
        header2(REQUEST, little, CALL, MANAGEMENT, IS_LISTENING + 1),
    ] {
        expect_denied(&mut connection, trailer(&[command(HEADER2 | END, body)]));
    }
}

/// MS-RPCE 2.2.2.13.3: Reserved1 and Reserved2; protocol.md 10.4.
#[test]
fn reserved_octets_of_a_header_command_are_ignored() {
    let server = Server::start();
    let mut connection = server.bound();
    let mut body = written(&agreeing_header2(Order::Little), Order::Little);
    body[1..4].fill(0xff);
    expect_taken(
        &mut connection,
        trailer(&[command(HEADER2 | END, raw(&body))]),
    );
}

/// MS-RPCE 2.2.2.13; Samba: what is no command of its length is no trailer; protocol.md 10.6.
#[test]
fn a_known_command_of_another_length_is_ordinary_octets() {
    let server = Server::start();
    let mut connection = server.bound();
    for (id, length) in [
        (BITMASK, 3),
        (BITMASK, 8),
        (PRESENTATION, 0x24),
        (HEADER2, 12),
        (HEADER2, 20),
    ] {
        let body = raw(&vec![0xff; length]);
        expect_taken(&mut connection, trailer(&[command(id | END, body)]));
    }
}

/// MS-RPCE 2.2.2.13: every command counts, the last and those before it; protocol.md 10.4.
#[test]
fn one_command_that_does_not_agree_is_enough() {
    let server = Server::start();
    let mut connection = server.bound();
    let wrong = || wrong_header2();
    for commands in [
        [
            command(HEADER2, wrong()),
            command(BITMASK | END, bitmask(0)),
        ],
        [
            command(BITMASK, bitmask(0)),
            command(HEADER2 | END, wrong()),
        ],
        [command(UNKNOWN, zeros(8)), command(HEADER2 | END, wrong())],
    ] {
        expect_denied(&mut connection, trailer(&commands));
    }
}

/// MS-RPCE 2.2.2.13.1: without SEC_VT_MUST_PROCESS_COMMAND; protocol.md 10.5.
#[test]
fn an_unknown_command_is_passed_over() {
    let server = Server::start();
    let mut connection = server.bound();
    for id in [0, UNKNOWN, 0x3fff] {
        for length in [0, 4, 100] {
            expect_taken(
                &mut connection,
                trailer(&[command(id | END, zeros(length))]),
            );
        }
    }
}

/// MS-RPCE 2.2.2.13.1: with SEC_VT_MUST_PROCESS_COMMAND; protocol.md 10.5.
#[test]
fn an_unknown_command_that_must_be_understood_is_denied() {
    let server = Server::start();
    let mut connection = server.bound();
    for id in [0, UNKNOWN, 0x3fff] {
        for length in [0, 4, 100] {
            expect_denied(
                &mut connection,
                trailer(&[command(id | END | MUST, zeros(length))]),
            );
        }
    }
}

/// MS-RPCE 2.2.2.13; Samba: 16 octets behind the last command may be left over, more are none of a trailer;
/// protocol.md 10.6.
#[test]
fn more_than_16_octets_behind_a_trailer_make_it_ordinary_octets() {
    let server = Server::start();
    let mut connection = server.bound();
    let wrong = trailer(&[command(HEADER2 | END, wrong_header2())]);
    for left in [0, 4, 16] {
        expect_denied(&mut connection, [wrong.clone(), zeros(left)].concat());
    }
    for left in [17, 20, 1000] {
        expect_taken(&mut connection, [wrong.clone(), zeros(left)].concat());
    }
}

/// MS-RPCE 2.2.2.13; Samba: what does not parse is no trailer; protocol.md 10.6.
#[test]
fn a_trailer_that_does_not_end_is_ordinary_octets() {
    let server = Server::start();
    let mut connection = server.bound();
    for stub in [
        trailer(&[command(HEADER2, wrong_header2())]),
        trailer(&[]),
        trailer(&[vec![Field::U16(HEADER2 | END), Field::U16(0x10)], zeros(8)]),
        trailer(&[
            vec![Field::U16(UNKNOWN | END | MUST), Field::U16(9)],
            zeros(8),
        ]),
    ] {
        expect_taken(&mut connection, stub);
    }
}

/// MS-RPCE 2.2.2.13: it begins at a multiple of 4 octets of the stub; protocol.md 10.1.
#[test]
fn a_trailer_is_looked_for_at_multiples_of_4_octets() {
    let server = Server::start();
    let mut connection = server.bound();
    let wrong = trailer(&[command(HEADER2 | END, wrong_header2())]);
    for before in [0, 4, 8, 100, 5000] {
        expect_denied(&mut connection, [zeros(before), wrong.clone()].concat());
    }
    for before in [1, 2, 3, 7] {
        expect_taken(&mut connection, [zeros(before), wrong.clone()].concat());
    }
}

/// MS-RPCE 2.2.2.13; Samba: not further back than 1024 octets; protocol.md 10.1.
#[test]
fn a_trailer_is_looked_for_in_the_last_1024_octets() {
    let server = Server::start();
    let mut connection = server.bound();
    for (length, found) in [(800, true), (1000, true), (1100, false), (2000, false)] {
        let stub = trailer(&[command(UNKNOWN | END | MUST, zeros(length))]);
        match found {
            true => expect_denied(&mut connection, stub),
            false => expect_taken(&mut connection, stub),
        }
    }
}

/// MS-RPCE 2.2.2.13: it stands behind the whole stub, wherever that was cut; protocol.md 10.1.
#[test]
fn a_trailer_of_a_call_in_fragments_is_checked() {
    let server = Server::start();
    let mut connection = server.bound();
    for (body, denied) in [
        (agreeing_header2(Order::Little), false),
        (wrong_header2(), true),
    ] {
        let stub = written(&trailer(&[command(HEADER2 | END, body)]), Order::Little);
        for cut in 0..=stub.len() {
            let (head, tail) = stub.split_at(cut);
            connection.send(&call(raw(head)).flags(FIRST));
            connection.send(&call(raw(tail)).flags(LAST));
            match denied {
                true => connection.expect_fault(fault(CALL, MANAGEMENT, ACCESS_DENIED)),
                false => drop(connection.expect_response(CALL, MANAGEMENT)),
            }
        }
    }
}

/// MS-RPCE 2.2.2.13; Samba: before the operation is looked for; protocol.md 10.1.
#[test]
fn a_trailer_is_checked_before_the_operation() {
    let server = Server::start();
    let mut connection = server.bound();
    let stub = trailer(&[command(UNKNOWN | END | MUST, vec![])]);
    for opnum in [INQ_STATS, 0xffff] {
        connection.send(&request(CALL, MANAGEMENT, opnum, stub.clone()));
        connection.expect_fault(fault(CALL, MANAGEMENT, ACCESS_DENIED));
    }
}
