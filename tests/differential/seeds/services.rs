//! Operations of the mapper and of remote management.

use super::{LITTLE, NDR, Talk};
use crate::calls::{self, FLOORS, NO_HANDLE, REGISTERED};
use crate::conversation::Conversation;
use crate::pdus::Element;
use epmapper::wire::{ByteOrder, SyntaxId};
use uuid::Uuid;

pub fn all() -> Vec<Conversation> {
    [mgmt(), lookups(), maps(), handles(), changes()].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn mgmt() -> Vec<Conversation> {
    let call = |name: &str, opnum, stub: &[u8]| {
        Talk::mgmt(format!("mgmt: {name}"))
            .call(0, opnum, stub)
            .done()
    };
    let mut all = vec![
        call("inq_if_ids", 0, &[]),
        call("is_server_listening", 2, &[]),
        call("stop_server_listening", 3, &[]),
        call("inq_stats of 4 octets", 1, &words(&[4])),
        call("inq_stats of no octets", 1, &[]),
        call("inq_princ_name of no octets", 4, &[]),
    ];
    for count in [0, 1, 4, 5, 0x1000] {
        all.push(call(
            &format!("inq_stats of {count}"),
            1,
            &words(&[count, 0]),
        ));
    }
    for service in [0, 9, 10, 16, 99] {
        for size in [0, 1, 100] {
            let name = format!("inq_princ_name of service {service}, {size} octets");
            all.push(call(&name, 4, &words(&[service, size])));
        }
    }
    let big = Talk::new("mgmt: big-endian").in_order(ByteOrder::Big);
    let big = big.bind(&[Element::new(0, SyntaxId::MGMT, NDR)]);
    all.push(
        big.call(0, 0, &[])
            .call(0, 1, &[0, 0, 0, 4, 0, 0, 0, 0])
            .call(0, 2, &[])
            .call(0, 3, &[])
            .done(),
    );
    all
}

fn lookup(inquiry: u32, interface: Option<SyntaxId>, option: u32, max: u32) -> Vec<u8> {
    calls::lookup(LITTLE, inquiry, None, interface, option, &NO_HANDLE, max).0
}

fn lookups() -> Vec<Conversation> {
    let mut all = Vec::new();
    let call =
        |name: String, stub: &[u8]| Talk::ept(format!("lookup: {name}")).call(0, 2, stub).done();
    for max in [0, 1, 2, 499, 500, 501, 0xffff_ffff] {
        all.push(call(
            format!("all, {max} at most"),
            &lookup(0, None, 1, max),
        ));
    }
    for inquiry in [0, 1, 2, 3, 4, 99] {
        for option in [0, 1, 2, 3, 4, 5, 6] {
            let name = format!("type {inquiry}, option {option}, interface as registered");
            all.push(call(name, &lookup(inquiry, Some(REGISTERED[1]), option, 3)));
        }
        let unknown = Some(SyntaxId::new(Uuid::from_u128(3), 1, 0));
        all.push(call(
            format!("type {inquiry}, unknown interface"),
            &lookup(inquiry, unknown, 1, 3),
        ));
    }
    for cut in [0, 4, 20, 39] {
        all.push(call(
            format!("cut to {cut} octets"),
            &lookup(0, None, 1, 3)[..cut],
        ));
    }
    // Samba's mapper crashes here.
    for inquiry in [1, 2, 3] {
        all.push(call(
            format!("type {inquiry} without an interface"),
            &lookup(inquiry, None, 1, 2),
        ));
    }
    all
}

fn map(interface: SyntaxId, floors: &[u8], max: u32) -> Vec<u8> {
    let tower = calls::tower(interface, SyntaxId::NDR, floors);
    calls::map(LITTLE, Some(Uuid::nil()), Some(&tower), &NO_HANDLE, max).0
}

fn maps() -> Vec<Conversation> {
    let mut all = Vec::new();
    let call =
        |name: String, stub: &[u8]| Talk::ept(format!("map: {name}")).call(0, 3, stub).done();
    for (place, floors) in FLOORS.iter().enumerate() {
        for interface in REGISTERED {
            let name = format!("{interface} with floors {place}");
            all.push(call(name, &map(interface, floors, 4)));
        }
    }
    let registered = REGISTERED[1];
    for max in [0, 1, 2, 500, 501, 0xffff_ffff] {
        all.push(call(
            format!("{max} at most"),
            &map(registered, FLOORS[0], max),
        ));
    }
    let newer = SyntaxId {
        minor: 1,
        ..registered
    };
    all.push(call(
        "a newer minor version".to_owned(),
        &map(newer, FLOORS[0], 4),
    ));
    let next = SyntaxId {
        major: 2,
        ..registered
    };
    all.push(call(
        "a newer major version".to_owned(),
        &map(next, FLOORS[0], 4),
    ));
    all.push(call(
        "the nil interface".to_owned(),
        &map(SyntaxId::new(Uuid::nil(), 0, 0), FLOORS[0], 4),
    ));
    all.push(call(
        "an unknown interface".to_owned(),
        &map(SyntaxId::new(Uuid::from_u128(3), 1, 0), FLOORS[0], 4),
    ));
    let tower = |tower: &[u8]| calls::map(LITTLE, None, Some(tower), &NO_HANDLE, 4).0;
    let ndr64 = calls::tower(registered, SyntaxId::NDR64, FLOORS[0]);
    all.push(call("an NDR64 tower".to_owned(), &tower(&ndr64)));
    let whole = calls::tower(registered, SyntaxId::NDR, FLOORS[0]);
    for cut in [0, 1, 2, 20, 74] {
        all.push(call(
            format!("a tower cut to {cut} octets"),
            &tower(&whole[..cut]),
        ));
    }
    all.push(call(
        "a tower of two floors".to_owned(),
        &tower(&[&[2, 0], &whole[2..52]].concat()),
    ));
    all.push(call(
        "octets behind the tower".to_owned(),
        &tower(&[&whole[..], &[1; 5]].concat()),
    ));
    all.push(call(
        "no tower".to_owned(),
        &calls::map(LITTLE, None, None, &NO_HANDLE, 4).0,
    ));
    all.push(call("no object".to_owned(), &tower(&whole)));
    let object = calls::map(
        LITTLE,
        Some(Uuid::from_u128(5)),
        Some(&whole),
        &NO_HANDLE,
        4,
    )
    .0;
    all.push(call("an object".to_owned(), &object));
    for cut in [0, 4, 24, 100] {
        all.push(call(
            format!("cut to {cut} octets"),
            &map(registered, FLOORS[0], 4)[..cut],
        ));
    }
    let big = calls::map(
        ByteOrder::Big,
        Some(Uuid::nil()),
        Some(&whole),
        &NO_HANDLE,
        4,
    )
    .0;
    let talk = Talk::new("map: big-endian")
        .in_order(ByteOrder::Big)
        .bind(&[Element::new(0, SyntaxId::EPT, NDR)]);
    all.push(talk.call(0, 3, &big).done());
    all
}

fn handles() -> Vec<Conversation> {
    let (page, at) = calls::lookup(LITTLE, 0, None, None, 1, &NO_HANDLE, 2);
    let tower = calls::tower(REGISTERED[1], SyntaxId::NDR, FLOORS[0]);
    let (towers, place) = calls::map(LITTLE, None, Some(&tower), &NO_HANDLE, 1);
    let mut invented = NO_HANDLE;
    invented[4..].copy_from_slice(Uuid::from_u128(1234).as_bytes());
    let mut odd = NO_HANDLE;
    odd[0] = 1;
    let with = |handle: &[u8; 20]| calls::lookup(LITTLE, 0, None, None, 1, handle, 2).0;
    let map_with = |handle: &[u8; 20]| calls::map(LITTLE, None, Some(&tower), handle, 1).0;
    let talk = |name: &str| Talk::ept(format!("handle: {name}"));
    let free = 4;
    vec![
        talk("gone on with")
            .call(0, 2, &page)
            .call_on_handle(2, &page, at, 1)
            .call_on_handle(2, &page, at, 1)
            .done(),
        talk("freed")
            .call(0, 2, &page)
            .call_on_handle(free, &NO_HANDLE, 0, 1)
            .done(),
        talk("freed twice")
            .call(0, 2, &page)
            .call_on_handle(free, &NO_HANDLE, 0, 1)
            .call_on_handle(free, &NO_HANDLE, 0, 1)
            .done(),
        talk("used after it was freed")
            .call(0, 2, &page)
            .call_on_handle(free, &NO_HANDLE, 0, 1)
            .call_on_handle(2, &page, at, 1)
            .done(),
        talk("null freed").call(0, free, &NO_HANDLE).done(),
        talk("invented, looked up")
            .call(0, 2, &with(&invented))
            .done(),
        talk("invented, mapped")
            .call(0, 3, &map_with(&invented))
            .done(),
        talk("invented, freed").call(0, free, &invented).done(),
        talk("with attributes and no UUID, looked up")
            .call(0, 2, &with(&odd))
            .done(),
        talk("with attributes and no UUID, freed")
            .call(0, free, &odd)
            .done(),
        talk("of a lookup, mapped")
            .call(0, 2, &page)
            .call_on_handle(3, &towers, place, 1)
            .done(),
        talk("of a map that found nothing, looked up")
            .call(
                0,
                3,
                &map(SyntaxId::new(Uuid::from_u128(3), 1, 0), FLOORS[0], 1),
            )
            .call_on_handle(2, &page, at, 1)
            .done(),
        talk("of another group")
            .call(0, 2, &page)
            .on(1)
            .bind(&[Element::new(0, SyntaxId::EPT, NDR)])
            .call_on_handle(2, &page, at, 1)
            .done(),
        talk("of another connection of the group")
            .call(0, 2, &page)
            .on(1)
            .join(0)
            .call_on_handle(2, &page, at, 1)
            .done(),
        talk("cut").call(0, free, &[0; 19]).done(),
    ]
}

fn changes() -> Vec<Conversation> {
    let mut all = Vec::new();
    for opnum in [0, 1, 5, 6, 7, 8, 9, 10, 0xffff] {
        for (name, stub) in [
            ("empty", vec![]),
            ("of zeros", vec![0; 64]),
            ("of ones", vec![0xff; 64]),
        ] {
            let name = format!("operation {opnum}, stub {name}");
            all.push(
                Talk::ept(name)
                    .call(0, opnum, &stub)
                    .call(0, 2, &lookup(0, None, 1, 1))
                    .done(),
            );
        }
    }
    all
}
