//! What callers ask: inquiries of `ept_lookup`, queries of `ept_map`.

use super::entry::Entry;
use super::table::Key;
use crate::wire::SyntaxId;
use crate::wire::ept::{InquiryType, VersionOption};
use crate::wire::tower::{Shape, TowerParts};
use uuid::Uuid;

/// Which entries an `ept_lookup` is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// All of them.
    All,
    /// Those of an interface, in the versions wanted.
    Interface(SyntaxId, Versions),
    /// Those of an object; nil is a value.
    Object(Uuid),
    /// Those of both.
    Both(SyntaxId, Versions, Uuid),
}

impl Inquiry {
    /// Puts an inquiry together; `None` for an inquiry type that is not one.
    ///
    /// `versions` matters only where the interface does.
    ///
    /// # Source
    /// C706 appendix O, ept_lookup.
    pub fn new(
        inquiry_type: InquiryType,
        object: Uuid,
        interface: SyntaxId,
        versions: Versions,
    ) -> Option<Inquiry> {
        match inquiry_type {
            InquiryType::ALL_ELTS => Some(Inquiry::All),
            InquiryType::MATCH_BY_IF => Some(Inquiry::Interface(interface, versions)),
            InquiryType::MATCH_BY_OBJ => Some(Inquiry::Object(object)),
            InquiryType::MATCH_BY_BOTH => Some(Inquiry::Both(interface, versions, object)),
            _ => None,
        }
    }

    /// Whether `entry` is one of those asked for.
    pub fn matches(&self, entry: &Entry) -> bool {
        let of_interface = |asked: &SyntaxId, versions: &Versions| {
            entry.interface().uuid == asked.uuid && versions.take(entry.interface(), *asked)
        };
        match self {
            Inquiry::All => true,
            Inquiry::Interface(asked, versions) => of_interface(asked, versions),
            Inquiry::Object(object) => entry.object() == *object,
            Inquiry::Both(asked, versions, object) => {
                entry.object() == *object && of_interface(asked, versions)
            }
        }
    }

    /// Whether it minds versions at all.
    pub fn minds_versions(&self) -> bool {
        matches!(self, Inquiry::Interface(..) | Inquiry::Both(..))
    }

    /// The narrowest index for it; `None`: every entry.
    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Inquiry::All => None,
            Inquiry::Interface(interface, _) => Some(Key::Interface(interface.uuid)),
            Inquiry::Object(object) => Some(Key::Object(*object)),
            Inquiry::Both(interface, _, object) => Some(Key::Both(interface.uuid, *object)),
        }
    }
}

/// Which versions of an interface count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Every one.
    All,
    /// The same major version, a minor not lower.
    Compatible,
    /// This one.
    Exact,
    /// The same major version.
    MajorOnly,
    /// This one and every lower one.
    UpTo,
}

impl Versions {
    /// What a `vers_option` means; `None` for a value that has no meaning.
    ///
    /// # Source
    /// C706 appendix O: 1 all, 2 compatible, 3 exact, 4 major only, 5 up to.
    pub fn new(option: VersionOption) -> Option<Versions> {
        match option {
            VersionOption::ALL => Some(Versions::All),
            VersionOption::COMPATIBLE => Some(Versions::Compatible),
            VersionOption::EXACT => Some(Versions::Exact),
            VersionOption::MAJOR_ONLY => Some(Versions::MajorOnly),
            VersionOption::UPTO => Some(Versions::UpTo),
            _ => None,
        }
    }

    /// Whether the version of `entry` counts for one who asks for that of `asked`.
    fn take(self, entry: SyntaxId, asked: SyntaxId) -> bool {
        let [entry, asked] = [entry, asked].map(|syntax| (syntax.major, syntax.minor));
        match self {
            Versions::All => true,
            Versions::Compatible => entry.0 == asked.0 && entry.1 >= asked.1,
            Versions::Exact => entry == asked,
            Versions::MajorOnly => entry.0 == asked.0,
            Versions::UpTo => entry <= asked,
        }
    }
}

/// Which entries an `ept_map` is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapQuery {
    /// The object asked for: its entries come first.
    pub object: Uuid,
    /// Whether entries without an object answer those who ask for one.
    pub nil_objects: bool,
    /// The interface; the management interface stands for every server.
    pub interface: SyntaxId,
    /// The transfer syntax.
    pub transfer_syntax: SyntaxId,
    /// The protocol sequence.
    pub shape: Shape,
}

impl MapQuery {
    /// Asks for what the tower of `parts` leaves open: ports, addresses and
    /// the minor version of the RPC protocol do not count.
    pub fn new(object: Uuid, parts: &TowerParts) -> MapQuery {
        MapQuery {
            object,
            nil_objects: true,
            interface: parts.interface,
            transfer_syntax: parts.transfer_syntax,
            shape: parts.shape(),
        }
    }

    /// Whether it asks for remote management, which every server offers at
    /// every endpoint without registering it.
    ///
    /// # Source
    /// The DCE reference, ept_map of the mgmt interface.
    pub fn is_management(&self) -> bool {
        self.interface.uuid == SyntaxId::MGMT.uuid
    }

    /// Whether `entry` serves the caller, its object aside.
    ///
    /// # Source
    /// C706 6.2.3.1 for the versions; the DCE reference for the rest.
    pub fn matches(&self, entry: &Entry) -> bool {
        entry.shape() == self.shape
            && entry.transfer_syntax().serves(&self.transfer_syntax)
            && (self.is_management() || entry.interface().serves(&self.interface))
    }

    /// The objects whose entries answer, in the order of their answers.
    pub(super) fn passes(&self) -> [Option<Uuid>; 2] {
        let nil_too = self.nil_objects && !self.object.is_nil();
        [Some(self.object), nil_too.then_some(Uuid::nil())]
    }

    /// The narrowest index for the entries of one object.
    pub(super) fn key(&self, object: Uuid) -> Key {
        if self.is_management() {
            Key::First(object, self.shape, self.transfer_syntax.uuid)
        } else {
            Key::Both(self.interface.uuid, object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ECHO, OBJECT, OTHER, SAMR, entry, tcp, tcp_tower, tower};
    use super::*;
    use crate::wire::tower::Tower;

    /// `ECHO` in another version.
    fn echo(major: u16, minor: u16) -> SyntaxId {
        SyntaxId {
            major,
            minor,
            ..ECHO
        }
    }

    /// The versions, of some around 2.3, that a `vers_option` takes for 2.3.
    fn taken(option: u32) -> Vec<(u16, u16)> {
        let versions = Versions::new(VersionOption(option)).unwrap();
        let inquiry = Inquiry::Interface(echo(2, 3), versions);
        let around = [(1, 9), (2, 0), (2, 2), (2, 3), (2, 4), (3, 0)];
        let taken = |version: &(u16, u16)| inquiry.matches(&tcp(echo(version.0, version.1), 1));
        around.into_iter().filter(taken).collect()
    }

    #[test]
    fn vers_option_all_takes_every_version() {
        assert_eq!(taken(1), [(1, 9), (2, 0), (2, 2), (2, 3), (2, 4), (3, 0)]);
    }

    #[test]
    fn vers_option_compatible_takes_the_same_major_and_no_lower_minor() {
        assert_eq!(taken(2), [(2, 3), (2, 4)]);
    }

    #[test]
    fn vers_option_exact_takes_that_version() {
        assert_eq!(taken(3), [(2, 3)]);
    }

    #[test]
    fn vers_option_major_only_takes_the_same_major() {
        assert_eq!(taken(4), [(2, 0), (2, 2), (2, 3), (2, 4)]);
    }

    #[test]
    fn vers_option_upto_takes_that_version_and_lower_ones() {
        assert_eq!(taken(5), [(1, 9), (2, 0), (2, 2), (2, 3)]);
    }

    #[test]
    fn vers_options_but_1_to_5_mean_nothing() {
        for option in [0, 6, u32::MAX] {
            assert_eq!(Versions::new(VersionOption(option)), None);
        }
    }

    #[test]
    fn an_inquiry_type_but_0_to_3_is_none() {
        let inquiry = |kind| Inquiry::new(InquiryType(kind), OBJECT, ECHO, Versions::All);
        let kinds: Vec<_> = (0..6).map_while(inquiry).collect();
        assert_eq!(
            kinds,
            [
                Inquiry::All,
                Inquiry::Interface(ECHO, Versions::All),
                Inquiry::Object(OBJECT),
                Inquiry::Both(ECHO, Versions::All, OBJECT),
            ]
        );
    }

    #[test]
    fn an_inquiry_by_object_takes_nil_for_a_value() {
        let without = tcp(ECHO, 1);
        let with = entry(OBJECT, &tcp_tower(ECHO, 1));
        for (asked, entry, found) in [
            (Uuid::nil(), &without, true),
            (Uuid::nil(), &with, false),
            (OBJECT, &with, true),
            (OBJECT, &without, false),
            (OTHER, &with, false),
        ] {
            assert_eq!(Inquiry::Object(asked).matches(entry), found);
        }
    }

    #[test]
    fn an_inquiry_by_both_wants_both() {
        let with = entry(OBJECT, &tcp_tower(ECHO, 1));
        let both = |interface, object| Inquiry::Both(interface, Versions::Exact, object);
        assert!(both(ECHO, OBJECT).matches(&with));
        assert!(!both(SAMR, OBJECT).matches(&with));
        assert!(!both(ECHO, OTHER).matches(&with));
        assert!(!both(echo(1, 1), OBJECT).matches(&with));
    }

    /// Whether who asks with the tower `asked` gets an entry of `registered`.
    fn maps(asked: &[u8], registered: &[u8]) -> bool {
        let parts = Tower::decode(asked).unwrap().parts().unwrap();
        MapQuery::new(Uuid::nil(), &parts).matches(&entry(Uuid::nil(), registered))
    }

    #[test]
    fn a_map_wants_the_same_major_and_no_lower_minor_version() {
        let registered = tcp_tower(echo(2, 3), 1);
        for (version, found) in [
            (echo(2, 0), true),
            (echo(2, 3), true),
            (echo(2, 4), false),
            (echo(1, 3), false),
            (echo(3, 0), false),
            (
                SyntaxId {
                    uuid: SAMR.uuid,
                    ..echo(2, 3)
                },
                false,
            ),
        ] {
            assert_eq!(
                maps(&tcp_tower(version, 1), &registered),
                found,
                "{version}"
            );
        }
    }

    #[test]
    fn a_map_wants_the_transfer_syntax_likewise() {
        let in_syntax = |syntax| tower(ECHO, syntax, &[(0x0c, &[0, 0]), (0x10, b"a\0")]);
        let registered = in_syntax(SyntaxId {
            minor: 1,
            ..SyntaxId::NDR
        });
        for (syntax, found) in [
            (SyntaxId::NDR, true),
            (
                SyntaxId {
                    minor: 1,
                    ..SyntaxId::NDR
                },
                true,
            ),
            (
                SyntaxId {
                    minor: 2,
                    ..SyntaxId::NDR
                },
                false,
            ),
            (
                SyntaxId {
                    major: 1,
                    ..SyntaxId::NDR
                },
                false,
            ),
            (SyntaxId::NDR64, false),
        ] {
            assert_eq!(maps(&in_syntax(syntax), &registered), found, "{syntax}");
        }
    }

    #[test]
    fn a_map_minds_no_port_no_address_and_no_minor_version_of_the_protocol() {
        let registered = [
            (0x0b, &[1, 0][..]),
            (0x07, &[0xc0, 0]),
            (0x09, &[10, 0, 0, 1]),
        ];
        let registered = tower(ECHO, SyntaxId::NDR, &registered);
        let asked = [
            [(0x0b, &[0, 0][..]), (0x07, &[0, 135]), (0x09, &[0; 4])],
            [(0x0b, &[0, 0]), (0x07, &[]), (0x09, &[])],
        ];
        for asked in asked {
            assert!(maps(&tower(ECHO, SyntaxId::NDR, &asked), &registered));
        }
    }

    #[test]
    fn a_map_wants_the_same_protocol_sequence_known_or_not() {
        let lower = |floors: &[u8]| {
            let lower: Vec<(u8, &[u8])> = floors.iter().map(|id| (*id, &[0, 0][..])).collect();
            tower(ECHO, SyntaxId::NDR, &lower)
        };
        let shapes: [&[u8]; 4] = [&[0x0b, 7, 9], &[0x0a, 8, 9], &[0x0b, 8, 9], &[0x0b, 0x7e]];
        for asked in shapes {
            for registered in shapes {
                assert_eq!(maps(&lower(asked), &lower(registered)), asked == registered);
            }
        }
    }
}
