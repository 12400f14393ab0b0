//! `[[endpoint]]`: from a table of texts to entries of the registry.

use super::file::{EndpointTable, Text};
use super::mistake::Problem;
use super::read::{Reader, Span};
use super::{by_name, name_of, unplaced, written};
use crate::registry::{Entry, Owner};
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::ept::MAX_ANNOTATION;
use crate::wire::tower::TowerBuf;
use uuid::Uuid;

/// The transfer syntaxes that have a name in the configuration.
const SYNTAXES: [(&str, SyntaxId); 2] = [("ndr", SyntaxId::NDR), ("ndr64", SyntaxId::NDR64)];

/// One endpoint: as it is written, in full, and the entries that it makes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What is written, what was left out filled in.
    pub(super) table: EndpointTable,
    /// One for each tower that no endpoint before has.
    pub entries: Vec<Entry>,
}

/// What all entries of an endpoint share.
struct Head {
    /// What is served.
    interface: SyntaxId,
    /// For which object; nil for every one.
    object: Uuid,
    /// What people read.
    annotation: String,
    /// One tower is made for each.
    transfer_syntaxes: Vec<SyntaxId>,
}

impl Reader<'_> {
    /// Reads one endpoint, whose header stands at `span`.
    pub fn endpoint(&mut self, table: EndpointTable, span: Span) -> Option<Endpoint> {
        let head = self.head(&table);
        let bindings = self.all(&table.bindings, binding);
        let towers = self.all(&table.towers, hex);
        if table.bindings.is_empty() && table.towers.is_empty() {
            self.mistake(span, Problem::Nowhere);
        }
        let head = head?;
        let mut entries = Vec::new();
        for (span, binding) in &bindings {
            self.doubts
                .extend(leads_nowhere(binding).map(|problem| (span.clone(), problem)));
            for syntax in &head.transfer_syntaxes {
                let entry = head.entry_of_binding(*syntax, binding);
                entries.extend(
                    self.noted(span.clone(), entry)
                        .map(|entry| (span.clone(), entry)),
                );
            }
        }
        for (span, octets) in towers {
            let entry = head.entry_of_tower(&octets);
            entries.extend(self.noted(span.clone(), entry).map(|entry| (span, entry)));
        }
        entries.retain(|(span, entry)| self.is_new(span, entry));
        Some(Endpoint {
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            table: head.written(&bindings, table.towers),
        })
    }

    /// Reads what the entries share; all of it, that nothing wrong is missed.
    fn head(&mut self, table: &EndpointTable) -> Option<Head> {
        let uuid = self.value(&table.interface, interface);
        let version = self.value(&table.version, version);
        let object = match &table.object {
            Some(text) => self.value(text, uuid_of),
            None => Some(Uuid::nil()),
        };
        let annotation = match &table.annotation {
            Some(text) => self.value(text, annotation),
            None => Some(String::new()),
        };
        let transfer_syntaxes = match &table.transfer_syntax {
            Some(texts) if texts.get_ref().is_empty() => {
                self.mistake(texts.span(), Problem::NoTransferSyntax);
                Vec::new()
            }
            Some(texts) => without_places(self.all(texts.get_ref(), transfer_syntax)),
            None => vec![SyntaxId::NDR],
        };
        let (major, minor) = version?;
        Some(Head {
            interface: SyntaxId::new(uuid?, major, minor),
            object: object?,
            annotation: annotation?,
            transfer_syntaxes,
        })
    }
}

impl Head {
    /// The entry that a binding stands for.
    fn entry_of_binding(&self, syntax: SyntaxId, binding: &Binding) -> Result<Entry, Problem> {
        let tower = TowerBuf::from_binding(self.interface, syntax, binding).map_err(|cause| {
            Problem::Binding {
                text: binding.to_string(),
                cause,
            }
        })?;
        self.entry(tower.octets())
    }

    /// The entry of a tower, which has to be of this interface.
    fn entry_of_tower(&self, octets: &[u8]) -> Result<Entry, Problem> {
        let entry = self.entry(octets)?;
        if entry.interface() == self.interface {
            return Ok(entry);
        }
        Err(Problem::TowerInterface {
            tower: entry.interface(),
            endpoint: self.interface,
        })
    }

    /// An entry with these tower octets.
    fn entry(&self, tower: &[u8]) -> Result<Entry, Problem> {
        let annotation = self.annotation.as_bytes();
        Entry::new(self.object, tower, annotation, Owner::Configuration).map_err(Problem::Registry)
    }

    /// The endpoint as it is written, with nothing left out.
    fn written(&self, bindings: &[(Span, Binding)], towers: Vec<Text>) -> EndpointTable {
        let annotation = Some(&self.annotation).filter(|text| !text.is_empty());
        let object = Some(&self.object).filter(|object| !object.is_nil());
        let syntaxes = self.transfer_syntaxes.iter().map(syntax_name).collect();
        EndpointTable {
            interface: written(self.interface.uuid),
            version: unplaced(format!("{}.{}", self.interface.major, self.interface.minor)),
            annotation: annotation.map(written),
            object: object.map(written),
            transfer_syntax: Some(unplaced(syntaxes)),
            bindings: bindings
                .iter()
                .map(|(_, binding)| written(binding))
                .collect(),
            towers,
        }
    }
}

/// A list without its places.
fn without_places<T>(list: Vec<(Span, T)>) -> Vec<T> {
    list.into_iter().map(|(_, value)| value).collect()
}

/// An interface's UUID.
fn interface(text: &str) -> Result<Uuid, Problem> {
    match uuid_of(text)? {
        uuid if uuid.is_nil() => Err(Problem::NilInterface),
        uuid => Ok(uuid),
    }
}

/// A UUID.
pub fn uuid_of(text: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(text).map_err(|cause| Problem::Uuid {
        text: text.to_owned(),
        cause,
    })
}

/// A version: `MAJOR.MINOR`, or `MAJOR` alone, whose minor is 0.
fn version(text: &str) -> Result<(u16, u16), Problem> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    number(major)
        .zip(number(minor))
        .ok_or_else(|| Problem::Version(text.to_owned()))
}

/// Digits alone, where `parse` would take a sign.
pub fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// An annotation that fits into an entry. Control characters are taken: real
/// servers' entries may hold them, and an export has to be readable.
fn annotation(text: &str) -> Result<String, Problem> {
    if text.len() > MAX_ANNOTATION {
        return Err(Problem::AnnotationLength(text.len()));
    }
    match text.find('\0') {
        Some(at) => Err(Problem::AnnotationNul(at)),
        None => Ok(text.to_owned()),
    }
}

/// A transfer syntax, by name or as `UUID:MAJOR.MINOR`.
fn transfer_syntax(text: &str) -> Result<SyntaxId, Problem> {
    let written = || {
        let (uuid, numbers) = text.split_once(':')?;
        let uuid = Uuid::parse_str(uuid).ok().filter(|uuid| !uuid.is_nil())?;
        let (major, minor) = version(numbers).ok()?;
        Some(SyntaxId::new(uuid, major, minor))
    };
    by_name(&SYNTAXES, text)
        .or_else(written)
        .ok_or_else(|| Problem::TransferSyntax(text.to_owned()))
}

/// A transfer syntax as it is written.
fn syntax_name(syntax: &SyntaxId) -> Text {
    name_of(&SYNTAXES, syntax).map_or_else(|| written(syntax), written)
}

/// A binding that a tower can say in full.
fn binding(text: &str) -> Result<Binding, Problem> {
    let binding: Binding = text.parse().map_err(|cause| Problem::Binding {
        text: text.to_owned(),
        cause,
    })?;
    if binding.object.is_some() {
        return Err(Problem::BindingObject(text.to_owned()));
    }
    if !binding.options.is_empty() {
        return Err(Problem::BindingOptions(text.to_owned()));
    }
    Ok(binding)
}

/// Why no client that is given the binding can go there, if so: its tower is
/// that of a binding without endpoint.
fn leads_nowhere(binding: &Binding) -> Option<Problem> {
    if binding.endpoint.is_empty() {
        return Some(Problem::NoEndpoint(binding.to_string()));
    }
    let tower = |binding| TowerBuf::from_binding(SyntaxId::EPT, SyntaxId::NDR, binding).ok();
    let without = Binding {
        endpoint: String::new(),
        ..binding.clone()
    };
    let [own, without] = [tower(binding)?, tower(&without)?];
    (own.octets() == without.octets()).then(|| Problem::NoPort(binding.to_string()))
}

/// Octets in hex, two digits each.
fn hex(text: &str) -> Result<Vec<u8>, Problem> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits
        .filter(|digits| digits.len().is_multiple_of(2) && !digits.is_empty())
        .ok_or(Problem::Hex)?;
    let octets = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Ok(octets.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_or_two_numbers() {
        assert_eq!(version("1.0").unwrap(), (1, 0));
        assert_eq!(version("3").unwrap(), (3, 0));
        assert_eq!(version("65535.65535").unwrap(), (65535, 65535));
        for text in [
            "", ".", "1.", ".1", "1.2.3", "65536", "+1", "-1", "1,0", "v1",
        ] {
            assert!(version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_annotation_is_counted_in_octets() {
        let long = "\u{e9}".repeat(32);
        assert!(matches!(
            annotation(&long),
            Err(Problem::AnnotationLength(64))
        ));
        assert!(annotation(&long[2..]).is_ok());
        assert!(matches!(annotation("a\0b"), Err(Problem::AnnotationNul(1))));
        assert_eq!(annotation("a\tb\n").unwrap(), "a\tb\n");
    }

    #[test]
    fn a_transfer_syntax_has_a_name_or_a_uuid_and_version() {
        assert_eq!(transfer_syntax("ndr").unwrap(), SyntaxId::NDR);
        let long = SyntaxId::NDR64.to_string();
        assert_eq!(transfer_syntax(&long).unwrap(), SyntaxId::NDR64);
        assert_eq!(syntax_name(&SyntaxId::NDR64).get_ref(), "ndr64");
        for text in [
            "NDR",
            "ndr32",
            "71710533-beba-4937-8319-b5dbef9ccc36",
            "x:1.0",
        ] {
            assert!(transfer_syntax(text).is_err(), "{text}");
        }
    }

    #[test]
    fn port_0_leads_nowhere_and_a_pipe_of_that_name_does() {
        let problem = |text: &str| {
            let problem = leads_nowhere(&text.parse().unwrap())?;
            Some(problem.to_string())
        };
        for text in [
            "ncacn_ip_tcp:[0]",
            "ncadg_ip_udp:192.0.2.1[0]",
            "ncacn_http:[0]",
        ] {
            let told = format!("`{text}` has port 0; a client that is given it cannot go there");
            assert_eq!(problem(text), Some(told));
        }
        let told = "`ncalrpc:` has no endpoint; a client that is given it cannot go there";
        assert_eq!(problem("ncalrpc:"), Some(told.into()));
        for text in ["ncacn_ip_tcp:[1]", "ncalrpc:[0]", "ncacn_np:[0]"] {
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn hex_is_pairs_of_digits() {
        assert_eq!(hex("00fF10").unwrap(), [0, 255, 16]);
        for text in ["", "0", "0g", "00 11", "\u{e9}\u{e9}"] {
            assert!(hex(text).is_err(), "{text}");
        }
    }
}
