//! Registries of a wanted size: the config for `epmapperd`, and what C706 says that clients must find in it.
//!
//! Written from the specification alone. Nothing of the crate is used here, so that the tests compare its
//! answers with a second opinion.

use std::fmt::Write;
use std::net::Ipv4Addr;

use uuid::Uuid;

/// The sizes that clients tell apart: pages of impacket hold 499 or 500 entries.
pub const SIZES: [usize; 6] = [1, 13, 499, 500, 501, 1500];

/// The endpoint mapper's own interface.
pub const MAPPER: Interface = Interface {
    uuid: Uuid::from_u128(0xe1af8308_5d1f_11c9_91a4_08002b14a0fa),
    major: 3,
    minor: 0,
};
/// What the mapper says of itself.
const MAPPER_ANNOTATION: &str = "Endpoint mapper";
/// Local security authority, known by name to rpcclient; on TCP and a pipe in every registry of more than one.
pub const LSARPC: Interface = Interface {
    uuid: Uuid::from_u128(0x12345778_1234_abcd_ef00_0123456789ab),
    major: 0,
    minor: 0,
};
/// Security accounts, known by name to rpcclient; on TCP, a pipe and locally in every registry of more than one.
pub const SAMR: Interface = Interface {
    uuid: Uuid::from_u128(0x12345778_1234_abcd_ef00_0123456789ac),
    major: 1,
    minor: 0,
};
/// In none of the registries.
pub const UNKNOWN: Interface = Interface {
    uuid: Uuid::from_u128(0xdeadbeef_1234_abcd_ef00_0123456789ac),
    major: 1,
    minor: 0,
};

/// Where the registries put lsarpc and samr.
pub const LSARPC_PORT: u16 = 49152;
/// See [`LSARPC_PORT`].
pub const SAMR_PORT: u16 = 49153;

/// Versions under which each invented interface is registered, so that every version option finds something else.
const VERSIONS: [(u16, u16); 6] = [(1, 0), (1, 2), (1, 5), (2, 0), (2, 1), (3, 0)];
/// Longest annotation: 64 octets with its NUL.
const LONGEST: usize = 63;

/// An interface id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    pub uuid: Uuid,
    pub major: u16,
    pub minor: u16,
}

/// A transfer syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    Ndr,
    Ndr64,
}

/// Where a server listens. `None` is an endpoint without address: it is where the mapper is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(Option<Ipv4Addr>, u16),
    Udp(Option<Ipv4Addr>, u16),
    Http(Option<Ipv4Addr>, u16),
    Pipe(String),
    Local(String),
}

/// One entry of the map.
#[derive(Clone, Debug)]
pub struct Entry {
    pub object: Uuid,
    pub interface: Interface,
    pub syntax: Syntax,
    pub place: Place,
    pub annotation: String,
}

/// What goes into the config as one `[[endpoint]]`: an entry for each syntax and place.
struct Endpoint {
    object: Uuid,
    interface: Interface,
    syntaxes: Vec<Syntax>,
    places: Vec<Place>,
    annotation: String,
    /// Written as towers in hexadecimal digits instead of bindings.
    raw: bool,
}

/// A config and what it registers, without the mapper's own entry.
pub struct Registry {
    pub config: String,
    pub entries: Vec<Entry>,
    /// Whether the mapper has a local socket, too, by Samba's name.
    pub local: bool,
}

impl Registry {
    /// A registry that counts `size` entries with the mapper's own.
    pub fn of(size: usize, conversation: &str) -> Registry {
        let mut registry = Registry {
            config: format!("conversation = \"{conversation}\"\n"),
            entries: Vec::new(),
            local: false,
        };
        for number in 0.. {
            let left = size - 1 - registry.entries.len();
            if left == 0 {
                break;
            }
            registry.add(endpoint(number).cut_to(left));
        }
        registry
    }

    /// Number of entries with the mapper's own.
    pub fn len(&self) -> usize {
        self.entries.len() + 1 + usize::from(self.local)
    }

    /// All entries in order, the mapper's own in front.
    pub fn entries_with_mapper(&self, address: Ipv4Addr) -> Vec<Entry> {
        let own = |place| Entry {
            object: Uuid::nil(),
            interface: MAPPER,
            syntax: Syntax::Ndr,
            place,
            annotation: MAPPER_ANNOTATION.to_owned(),
        };
        let mut entries = vec![own(Place::Tcp(Some(address), 135))];
        if self.local {
            entries.push(own(local("EPMAPPER")));
        }
        entries.extend_from_slice(&self.entries);
        entries
    }

    /// An object that some entry is registered with, nil where none is.
    pub fn some_object(&self) -> Uuid {
        self.entries
            .iter()
            .map(|entry| entry.object)
            .find(|object| !object.is_nil())
            .unwrap_or_default()
    }

    fn add(&mut self, endpoint: Endpoint) {
        let entries = endpoint.entries();
        endpoint.write_to(&mut self.config, &entries);
        self.entries.extend(entries);
    }
}

/// Endpoint number so-and-so: two that rpcclient knows by name, one as raw tower, then a mixture without end.
fn endpoint(number: u16) -> Endpoint {
    match number {
        0 => Endpoint::plain(
            LSARPC,
            vec![Place::Tcp(None, LSARPC_PORT), pipe("lsass")],
            "Local security",
        ),
        1 => Endpoint::plain(
            SAMR,
            vec![Place::Tcp(None, SAMR_PORT), pipe("samr"), local("samr")],
            "Security accounts",
        ),
        2 => Endpoint {
            raw: true,
            ..Endpoint::plain(invented(2), vec![Place::Tcp(None, 49154)], "as a tower")
        },
        _ => Endpoint {
            object: object(number),
            interface: invented(number),
            syntaxes: if number % 7 == 4 {
                vec![Syntax::Ndr, Syntax::Ndr64]
            } else {
                vec![Syntax::Ndr]
            },
            places: places(number),
            annotation: annotation(number),
            raw: false,
        },
    }
}

/// Six neighbours share a UUID and differ in version.
fn invented(number: u16) -> Interface {
    let (major, minor) = VERSIONS[usize::from(number % 6)];
    Interface {
        uuid: Uuid::from_u128(0x5a3d_0001_7c11_4d5e_9a00_0000_0000_0000 + u128::from(number / 6)),
        major,
        minor,
    }
}

/// Half of the endpoints have no object, the others share a few.
fn object(number: u16) -> Uuid {
    match number % 4 {
        0 | 1 => Uuid::nil(),
        _ => Uuid::from_u128(0x0b1e_c700_0000_4000_8000_0000_0000_0000 + u128::from(number / 50)),
    }
}

/// One, two or three places, of another kind each time.
fn places(number: u16) -> Vec<Place> {
    let kinds = [
        Place::Tcp(None, 49152 + number),
        Place::Local(format!("LRPC-{number:04x}")),
        pipe(&format!("svc{number}")),
        Place::Udp(Some(Ipv4Addr::new(192, 0, 2, 7)), 49152 + number),
        Place::Http(None, 20000 + number),
        Place::Udp(None, 30000 + number),
        Place::Tcp(Some(Ipv4Addr::new(192, 0, 2, 10)), 40000 + number),
    ];
    let first = usize::from(number) % kinds.len();
    let count = 1 + usize::from(number) % 3;
    kinds
        .iter()
        .cycle()
        .skip(first)
        .take(count)
        .cloned()
        .collect()
}

/// None, a short one, or one of full length.
fn annotation(number: u16) -> String {
    match number % 4 {
        1 => String::new(),
        2 => format!(
            "{:.<LONGEST$}",
            format!("the longest annotation, number {number} ")
        ),
        _ => format!("Service number {number}"),
    }
}

fn pipe(name: &str) -> Place {
    Place::Pipe(format!("\\pipe\\{name}"))
}

fn local(name: &str) -> Place {
    Place::Local(name.to_owned())
}

impl Endpoint {
    fn plain(interface: Interface, places: Vec<Place>, annotation: &str) -> Endpoint {
        Endpoint {
            object: Uuid::nil(),
            interface,
            syntaxes: vec![Syntax::Ndr],
            places,
            annotation: annotation.to_owned(),
            raw: false,
        }
    }

    /// Leaves away what would go over `count` entries.
    fn cut_to(mut self, count: usize) -> Endpoint {
        if self.syntaxes.len() * self.places.len() > count {
            self.syntaxes.truncate(1);
            self.places.truncate(count);
        }
        self
    }

    /// The syntaxes of one place, then those of the next.
    fn entries(&self) -> Vec<Entry> {
        let entry = |syntax: Syntax, place: &Place| Entry {
            object: self.object,
            interface: self.interface,
            syntax,
            place: place.clone(),
            annotation: self.annotation.clone(),
        };
        let places = self.places.iter();
        places
            .flat_map(|place| {
                self.syntaxes
                    .iter()
                    .map(move |syntax| entry(*syntax, place))
            })
            .collect()
    }

    fn write_to(&self, config: &mut String, entries: &[Entry]) {
        let Interface { uuid, major, minor } = self.interface;
        let _ = write!(
            config,
            "\n[[endpoint]]\ninterface = \"{uuid}\"\nversion = \"{major}.{minor}\"\n"
        );
        if !self.annotation.is_empty() {
            let _ = writeln!(config, "annotation = \"{}\"", self.annotation);
        }
        if !self.object.is_nil() {
            let _ = writeln!(config, "object = \"{}\"", self.object);
        }
        if self.raw {
            let towers: Vec<String> = entries.iter().map(|entry| hex(&entry.tower())).collect();
            let _ = writeln!(config, "towers = {towers:?}");
            return;
        }
        if self.syntaxes.len() > 1 {
            let _ = writeln!(config, "transfer_syntax = [\"ndr\", \"ndr64\"]");
        }
        // Rust and TOML escape the backslash and the quote alike.
        let bindings: Vec<String> = self.places.iter().map(Place::binding).collect();
        let _ = writeln!(config, "bindings = {bindings:?}");
    }
}

impl Place {
    /// The protocol sequence.
    pub fn protseq(&self) -> &'static str {
        match self {
            Place::Tcp(..) => "ncacn_ip_tcp",
            Place::Udp(..) => "ncadg_ip_udp",
            Place::Http(..) => "ncacn_http",
            Place::Pipe(_) => "ncacn_np",
            Place::Local(_) => "ncalrpc",
        }
    }

    /// The address, if it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Place::Tcp(address, _) | Place::Udp(address, _) | Place::Http(address, _) => *address,
            Place::Pipe(_) | Place::Local(_) => None,
        }
    }

    /// The endpoint, in single backslashes.
    pub fn endpoint(&self) -> String {
        match self {
            Place::Tcp(_, port) | Place::Udp(_, port) | Place::Http(_, port) => port.to_string(),
            Place::Pipe(name) | Place::Local(name) => name.clone(),
        }
    }

    /// The string binding in the config: a backslash is escaped by another.
    fn binding(&self) -> String {
        let address = self
            .address()
            .map_or(String::new(), |address| address.to_string());
        format!(
            "{}:{address}[{}]",
            self.protseq(),
            self.endpoint().replace('\\', "\\\\")
        )
    }

    /// The place as it is answered to who dialled `address`.
    fn seen_at(&self, address: Ipv4Addr) -> Place {
        match self {
            Place::Tcp(None, port) => Place::Tcp(Some(address), *port),
            Place::Udp(None, port) => Place::Udp(Some(address), *port),
            Place::Http(None, port) => Place::Http(Some(address), *port),
            other => other.clone(),
        }
    }
}

impl Interface {
    /// Whether an entry of this interface is found by a question for `asked` with a version option.
    fn meets(self, asked: Interface, vers_option: u32) -> bool {
        let later = self.major == asked.major && self.minor >= asked.minor;
        self.uuid == asked.uuid
            && match vers_option {
                1 => true,
                2 => later,
                3 => self == asked,
                4 => self.major == asked.major,
                5 => (self.major, self.minor) <= (asked.major, asked.minor),
                other => panic!("no version option {other}"),
            }
    }
}

impl Entry {
    /// Whether ept_lookup finds it (spec: C706 ept_lookup; `object` nil is a value like any other).
    pub fn is_found(
        &self,
        inquiry_type: u32,
        vers_option: u32,
        object: Uuid,
        interface: Interface,
    ) -> bool {
        let by_interface = || self.interface.meets(interface, vers_option);
        match inquiry_type {
            0 => true,
            1 => by_interface(),
            2 => self.object == object,
            3 => self.object == object && by_interface(),
            other => panic!("no inquiry type {other}"),
        }
    }

    /// Whether ept_map finds it for `interface` in NDR with a nil object.
    pub fn is_mapped(&self, interface: Interface, protseq: &str) -> bool {
        let wanted =
            self.object.is_nil() && self.syntax == Syntax::Ndr && self.place.protseq() == protseq;
        wanted && self.interface.meets(interface, 2)
    }

    /// The entry as it is answered to who dialled `address`.
    pub fn seen_at(&self, address: Ipv4Addr) -> Entry {
        Entry {
            place: self.place.seen_at(address),
            ..self.clone()
        }
    }

    /// Its tower.
    ///
    /// Layout: floor count u16, floors of lhs count u16, lhs, rhs count u16, rhs; little-endian, ports and
    /// addresses in network order (C706 appendix L).
    pub fn tower(&self) -> Vec<u8> {
        let Interface { uuid, major, minor } = self.interface;
        let (syntax, version) = self.syntax.id();
        let mut floors = vec![
            (uuid_floor(uuid, major), minor.to_le_bytes().to_vec()),
            (uuid_floor(syntax, version), vec![0, 0]),
        ];
        floors.extend(self.place.floors());
        let mut tower = u16::try_from(floors.len())
            .expect("few floors")
            .to_le_bytes()
            .to_vec();
        for side in floors.into_iter().flat_map(|(lhs, rhs)| [lhs, rhs]) {
            tower.extend(
                u16::try_from(side.len())
                    .expect("a short floor")
                    .to_le_bytes(),
            );
            tower.extend(side);
        }
        tower
    }
}

/// Left side of the two first floors.
fn uuid_floor(uuid: Uuid, major: u16) -> Vec<u8> {
    [&[0x0d][..], &uuid.to_bytes_le(), &major.to_le_bytes()].concat()
}

impl Syntax {
    /// UUID and major version; the minor one is 0 in both.
    fn id(self) -> (Uuid, u16) {
        match self {
            Syntax::Ndr => (Uuid::from_u128(0x8a885d04_1ceb_11c9_9fe8_08002b104860), 2),
            Syntax::Ndr64 => (Uuid::from_u128(0x71710533_beba_4937_8319_b5dbef9ccc36), 1),
        }
    }
}

impl Place {
    /// The floors from the third down.
    fn floors(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rpc = |protocol: u8| (vec![protocol], vec![0, 0]);
        let port = |protocol: u8, port: &u16| (vec![protocol], port.to_be_bytes().to_vec());
        let ip = |address: &Option<Ipv4Addr>| {
            (
                vec![0x09],
                address.unwrap_or(Ipv4Addr::UNSPECIFIED).octets().to_vec(),
            )
        };
        let text = |protocol: u8, text: &str| (vec![protocol], [text.as_bytes(), &[0]].concat());
        match self {
            Place::Tcp(address, number) => vec![rpc(0x0b), port(0x07, number), ip(address)],
            Place::Udp(address, number) => vec![rpc(0x0a), port(0x08, number), ip(address)],
            Place::Http(address, number) => vec![rpc(0x0b), port(0x1f, number), ip(address)],
            Place::Pipe(name) => vec![rpc(0x0b), text(0x0f, name), text(0x11, "")],
            Place::Local(name) => vec![rpc(0x0c), text(0x10, name)],
        }
    }
}

/// Hexadecimal digits, two an octet.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut digits, octet| {
        let _ = write!(digits, "{octet:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_have_the_size_that_was_asked() {
        for size in SIZES {
            assert_eq!(Registry::of(size, "windows").len(), size);
        }
    }

    /// The sample towers of C706's floors that the captures confirm.
    #[test]
    fn towers_have_the_known_octets() {
        let entry = Entry {
            object: Uuid::nil(),
            interface: LSARPC,
            syntax: Syntax::Ndr,
            place: Place::Tcp(Some(Ipv4Addr::new(192, 0, 2, 10)), 49664),
            annotation: String::new(),
        };
        let head = "13000d785734123412cdabef000123456789ab0000\
                    0200000013000d045d888aeb1cc9119fe808002b10486002000200000001000b02000000";
        assert_eq!(
            hex(&entry.tower()),
            format!("0500{head}0100070200c20001000904 00c000020a").replace(' ', "")
        );
    }

    #[test]
    fn version_options_tell_versions_apart() {
        let found = |option| {
            let asked = Interface {
                minor: 1,
                major: 2,
                ..invented(0)
            };
            (0..6)
                .filter(|number| invented(*number).meets(asked, option))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            [1, 2, 3, 4, 5].map(found),
            [
                vec![0, 1, 2, 3, 4, 5],
                vec![4],
                vec![4],
                vec![3, 4],
                vec![0, 1, 2, 3, 4]
            ]
        );
    }
}
