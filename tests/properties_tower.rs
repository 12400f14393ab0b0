//! Laws of towers and string bindings.

use epmapper::wire::binding::Binding;
use epmapper::wire::tower::{Floor, ProtocolSequence, Shape, Tower, TowerBuf};
use epmapper::wire::{SyntaxId, tower};
use proptest::prelude::*;
use proptest::{collection::vec, option, sample::select};
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

proptest! {
    #[test]
    fn floors_make_octets_make_floors(sides in vec(sides(), 0..12)) {
        let floors: Vec<_> = sides.iter().map(|(lhs, rhs)| Floor { lhs, rhs }).collect();
        let tower = TowerBuf::from_floors(floors.iter().copied()).unwrap();
        let again = Tower::decode(tower.octets()).unwrap();
        prop_assert_eq!(again.floors().collect::<Vec<_>>(), floors);
        prop_assert!(again.trailing().is_empty());
        prop_assert_eq!(again, tower.as_tower());
    }

    #[test]
    fn what_decodes_keeps_its_octets(octets in vec(any::<u8>(), 0..64)) {
        keeps_its_octets(&octets)?;
    }

    #[test]
    fn a_damaged_tower_keeps_its_octets_or_is_refused(
        (binding, syntaxes) in (canonical_binding(), (syntax(), syntax())),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in option::of(any::<prop::sample::Index>()),
        more in vec(any::<u8>(), 0..4),
    ) {
        let tower = TowerBuf::from_binding(syntaxes.0, syntaxes.1, &binding).unwrap();
        let mut octets = tower.octets().to_vec();
        for (place, octet) in damage {
            *place.get_mut(&mut octets) = octet;
        }
        octets.truncate(cut.map_or(octets.len(), |cut| cut.index(octets.len())));
        octets.extend(more);
        keeps_its_octets(&octets)?;
    }

    #[test]
    fn displayed_bindings_parse_to_themselves(binding in any_binding()) {
        prop_assert_eq!(binding.to_string().parse::<Binding>(), Ok(binding));
    }

    #[test]
    fn what_parses_is_displayed_as_the_same(text in text_like_a_binding()) {
        if let Ok(binding) = text.parse::<Binding>() {
            prop_assert_eq!(binding.to_string().parse::<Binding>(), Ok(binding));
        }
    }

    #[test]
    fn no_text_is_too_much_for_the_parser(text in ".*") {
        if let Err(error) = text.parse::<Binding>() {
            prop_assert!(error.position.is_some_and(|position| position <= text.len()));
        }
    }

    #[test]
    fn any_binding_makes_a_tower_or_an_error(binding in any_binding()) {
        if let Ok(tower) = TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, &binding) {
            let parts = tower.as_tower().parts().unwrap();
            prop_assert_eq!(parts.protseq, Some(binding.protseq));
        }
    }

    #[test]
    fn bindings_make_towers_make_bindings(
        binding in canonical_binding(),
        (interface, transfer_syntax) in (syntax(), syntax()),
    ) {
        let tower = TowerBuf::from_binding(interface, transfer_syntax, &binding).unwrap();
        let parts = tower.as_tower().parts().unwrap();
        prop_assert_eq!((parts.interface, parts.transfer_syntax), (interface, transfer_syntax));
        prop_assert_eq!(parts.shape(), Shape::Known(binding.protseq));
        prop_assert_eq!(Binding::from_tower(&parts, None), Some(binding));
    }
}

/// Every law about octets that decode, and none that do not may panic.
fn keeps_its_octets(octets: &[u8]) -> Result<(), TestCaseError> {
    let Ok(tower) = Tower::decode(octets) else {
        return Ok(());
    };
    let again = TowerBuf::from_floors(tower.floors()).unwrap();
    prop_assert_eq!([again.octets(), tower.trailing()].concat(), octets);
    if let Ok(parts) = tower.parts() {
        prop_assert_eq!(parts.lower().count() + 3, tower.floors().count());
        prop_assert_eq!(parts.protseq, parts.shape().protseq());
        let address = parts.address_offset.map(|at| &octets[at..at + 4]);
        let said = parts.address().map(|address| address.octets());
        prop_assert_eq!(address, said.as_ref().map(|octets| &octets[..]));
        if let Some(binding) = Binding::from_tower(&parts, None) {
            prop_assert_eq!(Some(binding.protseq), parts.protseq);
        }
    }
    Ok(())
}

/// The two sides of a floor.
fn sides() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (vec(any::<u8>(), 1..24), vec(any::<u8>(), 0..24))
}

/// An interface or syntax.
fn syntax() -> impl Strategy<Value = SyntaxId> {
    (any::<u128>(), any::<u16>(), any::<u16>())
        .prop_map(|(uuid, major, minor)| SyntaxId::new(Uuid::from_u128(uuid), major, minor))
}

/// Every protocol sequence.
fn protseq() -> impl Strategy<Value = ProtocolSequence> {
    select(ProtocolSequence::all().collect::<Vec<_>>())
}

/// What an endpoint or address of a protocol sequence may be.
enum Kind {
    Port,
    Ip,
    Text,
    Host,
    Ipx,
    None,
}

/// The endpoint's kind and the address's.
fn kinds(protseq: ProtocolSequence) -> (Kind, Kind) {
    use tower::ProtocolSequence::*;
    match protseq {
        NcacnIpTcp | NcadgIpUdp | NcacnHttp => (Kind::Port, Kind::Ip),
        NcacnNp => (Kind::Text, Kind::Host),
        Ncalrpc | NcacnUnixStream | NcadgUnixDgram => (Kind::Text, Kind::None),
        NcacnAtDsp | NcadgAtDdp => (Kind::Text, Kind::Text),
        NcacnVnsSpp | NcacnVnsIpc => (Kind::Port, Kind::Text),
        NcadgIpx | NcacnSpx => (Kind::Port, Kind::Ipx),
    }
}

/// Text with every character that means something in a binding.
const TEXT: &str = r"([\\\[\],=@:% ./a-zA-Z0-9ä]|\PC){0,12}";
/// A host of a pipe, without backslashes before it.
const HOST: &str = r"([a-z0-9.\[\]=:,-][\\\[\],=@:a-z]{0,8})?";
/// An address of IPX.
const IPX: &str = "(~[0-9A-F]{20})?";

/// An address or endpoint that a tower keeps.
fn canonical(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Port => any::<u16>().prop_map(unless_zero).boxed(),
        Kind::Ip => any::<u32>()
            .prop_map(|address| match address {
                0 => String::new(),
                address => Ipv4Addr::from(address).to_string(),
            })
            .boxed(),
        Kind::Text => TEXT.boxed(),
        Kind::Host => HOST.boxed(),
        Kind::Ipx => IPX.boxed(),
        Kind::None => Just(String::new()).boxed(),
    }
}

/// A port; none for 0.
fn unless_zero(port: u16) -> String {
    Some(port)
        .filter(|port| *port != 0)
        .map_or(String::new(), |port| port.to_string())
}

/// An address or endpoint that text keeps: more than a tower does.
fn written(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Ip => prop_oneof![
            canonical(kind),
            any::<u128>().prop_map(|address| Ipv6Addr::from(address).to_string()),
            any::<u128>().prop_map(|address| format!("{}%eth0", Ipv6Addr::from(address))),
            Just("0.0.0.0".to_owned()),
            r"[\\\[\],=@% a-z0-9.-]{0,12}",
        ]
        .boxed(),
        Kind::Port => prop_oneof![canonical(kind), "0{0,4}[0-9]"].boxed(),
        Kind::Ipx => prop_oneof![canonical(kind), TEXT].boxed(),
        kind => canonical(kind),
    }
}

/// A binding whose every part a tower keeps.
fn canonical_binding() -> impl Strategy<Value = Binding> {
    protseq().prop_flat_map(|protseq| {
        let (endpoint, address) = kinds(protseq);
        (canonical(endpoint), canonical(address)).prop_map(move |(endpoint, address)| Binding {
            address,
            endpoint,
            ..Binding::new(protseq)
        })
    })
}

/// Any binding that text can say.
fn any_binding() -> impl Strategy<Value = Binding> {
    let options = vec(
        (TEXT.prop_filter("endpoint", is_option), option::of(TEXT)),
        0..3,
    );
    (protseq(), option::of(1u128..), options).prop_flat_map(|(protseq, object, options)| {
        let (endpoint, address) = kinds(protseq);
        (written(endpoint), written(address)).prop_map(move |(endpoint, address)| Binding {
            object: object.map(Uuid::from_u128),
            protseq,
            address,
            endpoint,
            options: options.clone(),
        })
    })
}

/// Whether an option may be called so.
fn is_option(name: &String) -> bool {
    !name.is_empty() && name != "endpoint"
}

/// Text near enough to a binding to get far into the parser.
fn text_like_a_binding() -> impl Strategy<Value = String> {
    let object =
        option::of(any::<u128>().prop_map(|object| format!("{}@", Uuid::from_u128(object))));
    let pieces = select(vec![
        "[",
        "]",
        ",",
        "=",
        "\\",
        "\\\\",
        "::1",
        "%",
        "endpoint=",
        "135",
        "a",
        "HOST",
        "@",
        ":",
    ]);
    (object, protseq(), vec(pieces, 0..10)).prop_map(|(object, protseq, pieces)| {
        format!(
            "{}{protseq}:{}",
            object.unwrap_or_default(),
            pieces.concat()
        )
    })
}
