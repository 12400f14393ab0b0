//! How results look: towers in words, tables for people, documents for
//! programs.
//!
//! Always holds: no text of a server in a table or a JSON document can steer a
//! terminal; a document keeps it, escaped. A configuration is for a file, and
//! escapes what its form asks. A reader that leaves
//! early, as `head` does, is no error.

use super::exit::CommandError;
use crate::client::Peer;
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::names;
use crate::wire::tower::{ProtocolSequence, Tower};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use uuid::Uuid;

/// What a tower says, as far as it says something.
pub struct Described<'a> {
    /// The interface.
    pub interface: Option<SyntaxId>,
    /// The transfer syntax.
    pub transfer_syntax: Option<SyntaxId>,
    /// The protocol sequence, where it is one of the known ones.
    pub protseq: Option<ProtocolSequence>,
    /// The string binding, where there is one that says it.
    pub binding: Option<Binding>,
    /// The tower itself.
    pub octets: &'a [u8],
}

impl<'a> Described<'a> {
    /// Describes a tower; its entry's object goes into the binding.
    pub fn new(octets: &'a [u8], object: Option<Uuid>) -> Self {
        let tower = Tower::decode(octets).ok();
        let parts = tower.and_then(|tower| tower.parts().ok());
        Described {
            interface: parts.as_ref().map(|parts| parts.interface),
            transfer_syntax: parts.as_ref().map(|parts| parts.transfer_syntax),
            protseq: parts.as_ref().and_then(|parts| parts.protseq),
            binding: parts.and_then(|parts| Binding::from_tower(&parts, object)),
            octets,
        }
    }

    /// The interface, name, transfer syntax and binding as cells of a table.
    pub fn cells(&self) -> [String; 4] {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            or_none(self.interface.map(|id| id.to_string())),
            or_none(self.interface.and_then(name).map(str::to_owned)),
            or_none(self.transfer_syntax.map(syntax_name)),
            match &self.binding {
                Some(binding) => printable(&binding.to_string()),
                None => format!("tower {}", hex_head(self.octets)),
            },
        ]
    }
}

/// The name of an interface, where it is known.
pub fn name(interface: SyntaxId) -> Option<&'static str> {
    names::by_uuid(interface.uuid).map(|known| known.name)
}

/// An interface by name, where it is known, and as `shown`: its UUID with or
/// without version.
pub fn named(uuid: Uuid, shown: impl Display) -> String {
    match names::by_uuid(uuid) {
        Some(known) => format!("{} ({shown})", known.name),
        None => shown.to_string(),
    }
}

/// A transfer syntax by name, or as UUID and version.
pub fn syntax_name(syntax: SyntaxId) -> String {
    match syntax {
        SyntaxId::NDR => "ndr".to_owned(),
        SyntaxId::NDR64 => "ndr64".to_owned(),
        other => other.to_string(),
    }
}

/// A version as text.
pub fn version(interface: SyntaxId) -> String {
    format!("{}.{}", interface.major, interface.minor)
}

/// A tower as JSON has it.
#[derive(Serialize)]
pub struct TowerDocument {
    /// The interface's UUID.
    interface: Option<String>,
    /// Its version, `MAJOR.MINOR`.
    version: Option<String>,
    /// Its name, where it is known.
    name: Option<&'static str>,
    /// The transfer syntax, by name where there is one.
    transfer_syntax: Option<String>,
    /// The protocol sequence, where it is one of the known ones.
    protocol_sequence: Option<&'static str>,
    /// The string binding, where there is one that says the tower.
    binding: Option<String>,
    /// All octets in hex.
    tower: String,
}

impl From<&Described<'_>> for TowerDocument {
    fn from(described: &Described<'_>) -> Self {
        TowerDocument {
            interface: described.interface.map(|id| id.uuid.to_string()),
            version: described.interface.map(version),
            name: described.interface.and_then(name),
            transfer_syntax: described.transfer_syntax.map(syntax_name),
            protocol_sequence: described.protseq.map(ProtocolSequence::name),
            binding: described.binding.as_ref().map(Binding::to_string),
            tower: hex(described.octets),
        }
    }
}

/// The binding that a server was reached by.
pub fn reached(peer: &Peer) -> String {
    let binding = match peer {
        Peer::Network(address) => Binding {
            address: address.ip().to_string(),
            endpoint: address.port().to_string(),
            ..Binding::new(ProtocolSequence::NcacnIpTcp)
        },
        Peer::Local(path) => Binding {
            endpoint: path.to_string_lossy().into_owned(),
            ..Binding::new(ProtocolSequence::Ncalrpc)
        },
    };
    binding.to_string()
}

/// Octets in hex.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Octets in hex, the first of many.
fn hex_head(octets: &[u8]) -> String {
    /// More would make a table unreadable.
    const SHOWN: usize = 32;
    match octets.get(..SHOWN) {
        Some(head) if octets.len() > SHOWN => format!("{}...", hex(head)),
        _ => hex(octets),
    }
}

/// Text of a server with everything escaped that a terminal might obey or hide.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // `escape_debug` would double these, though they are plain.
            '\\' | '\'' | '"' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// A table for people.
pub struct Table {
    /// The headings.
    header: Vec<&'static str>,
    /// The cells of each row.
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(header: &[&'static str]) -> Self {
        Table {
            header: header.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each heading.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints the table, its columns aligned and two spaces apart.
    pub fn print(&self, out: &mut dyn Write, colour: bool) -> io::Result<()> {
        let [bold, end] = if colour {
            ["\x1b[1m", "\x1b[0m"]
        } else {
            ["", ""]
        };
        let widths = self.widths();
        let header: Vec<_> = self.header.iter().map(|cell| cell.to_string()).collect();
        writeln!(out, "{bold}{}{end}", line(&header, &widths))?;
        for row in &self.rows {
            writeln!(out, "{}", line(row, &widths))?;
        }
        Ok(())
    }

    /// The width of each column: that of its widest cell, within reason.
    fn widths(&self) -> Vec<usize> {
        /// Wider cells push their row out of line rather than all others.
        const WIDEST: usize = 60;
        let mut widths: Vec<_> = self.header.iter().map(|cell| cell.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().clamp(*width, WIDEST.max(*width));
            }
        }
        widths
    }
}

/// Cells in a line, padded to their columns, without space at the end.
fn line(cells: &[String], widths: &[usize]) -> String {
    let pad = |(cell, width): (&String, &usize)| format!("{cell:width$}");
    let cells: Vec<_> = cells.iter().zip(widths).map(pad).collect();
    cells.join("  ").trim_end().to_owned()
}

/// Whether standard output shows colours: a terminal, and nobody objects
/// (no-color.org).
pub fn colour() -> bool {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !objects && !dumb
}

/// Prints a JSON document.
pub fn print_json(document: &impl Serialize) -> Result<(), CommandError> {
    print(|out| {
        let mut serializer = Serializer::with_formatter(&mut *out, Plain::default());
        document.serialize(&mut serializer)?;
        writeln!(out)
    })
}

/// JSON with indents, whose strings hold nothing that a terminal might obey or
/// hide: serde_json escapes what the standard asks, and leaves DEL, C1 controls
/// and marks of direction.
#[derive(Default)]
struct Plain(PrettyFormatter<'static>);

/// Has these methods of a formatter done as the pretty one does them.
macro_rules! as_pretty {
    ($($method:ident($($argument:ident: $type:ty)?)),*) => {
        $(fn $method<W: ?Sized + Write>(&mut self, out: &mut W $(, $argument: $type)?) -> io::Result<()> {
            self.0.$method(out $(, $argument)?)
        })*
    };
}

impl Formatter for Plain {
    as_pretty! {
        begin_array(), end_array(), begin_array_value(first: bool), end_array_value(), begin_object(), end_object(),
        begin_object_key(first: bool), begin_object_value(), end_object_value()
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
            return out.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            // Quotes and backslashes do not come here.
            match c.escape_debug().len() {
                1 => write!(out, "{c}")?,
                _ => escape(out, c)?,
            }
        }
        Ok(())
    }
}

/// Writes a character as JSON escapes it: in units of UTF-16.
fn escape(out: &mut (impl Write + ?Sized), c: char) -> io::Result<()> {
    let mut units = [0; 2];
    c.encode_utf16(&mut units)
        .iter()
        .try_for_each(|unit| write!(out, "\\u{unit:04x}"))
}

/// Prints to standard output; that nobody reads on is no error.
pub fn print(document: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout().lock());
    written(document(&mut out).and_then(|()| out.flush()))
}

/// How writing to standard output went.
pub fn written(result: io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CommandError::Output),
    }
}

/// Prints a line to standard error; there is nobody to tell if that fails.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "epm: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tower::TowerBuf;

    /// An interface with a known name.
    const SAMR: SyntaxId = SyntaxId::new(uuid::uuid!("12345778-1234-abcd-ef00-0123456789ac"), 1, 0);

    /// The interface's tower for a binding.
    fn tower(binding: &str) -> TowerBuf {
        TowerBuf::from_binding(SAMR, SyntaxId::NDR, &binding.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_tower_is_told_in_words() {
        let tower = tower("ncacn_ip_tcp:192.0.2.10[49664]");
        let object = uuid::uuid!("00000001-0000-0000-0000-000000000000");
        let cells = Described::new(tower.octets(), Some(object)).cells();
        let [interface, name, syntax, binding] = cells.each_ref().map(String::as_str);
        assert_eq!(interface, "12345778-1234-abcd-ef00-0123456789ac:1.0");
        assert_eq!([name, syntax], ["samr", "ndr"]);
        assert_eq!(binding, format!("{object}@ncacn_ip_tcp:192.0.2.10[49664]"));
    }

    #[test]
    fn a_tower_that_says_nothing_is_told_in_hex() {
        let cells = Described::new(&[1, 0, 0xff], None).cells();
        assert_eq!(cells, ["-", "-", "-", "tower 0100ff"]);
        let long = Described::new(&[7; 100], None).cells();
        assert_eq!(long[3], format!("tower {}...", "07".repeat(32)));
        let document = TowerDocument::from(&Described::new(&[1, 0, 0xff], None));
        let json = serde_json::to_value(&document).unwrap();
        assert_eq!(json["tower"], "0100ff");
        assert!(json["binding"].is_null() && json["interface"].is_null());
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_printed() {
        assert_eq!(
            printable("a\x1b[2J\r\u{9b}\u{202e}b"),
            "a\\u{1b}[2J\\r\\u{9b}\\u{202e}b"
        );
        assert_eq!(printable(r#"\pipe\"samr' ü"#), r#"\pipe\"samr' ü"#);
        let controls = ('\0'..=char::MAX).filter(|c| c.is_control());
        // The characters with the property Bidi_Control, and the line separators.
        let bidi = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                    \u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{2029}";
        for c in controls.chain(bidi.chars()) {
            let shown = printable(&c.to_string());
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{c:?}");
        }
        let steering = tower("ncalrpc:[\x1b[2J]");
        let [.., binding] = Described::new(steering.octets(), None).cells();
        assert!(!binding.contains('\x1b'));
    }

    #[test]
    fn columns_are_aligned_and_wide_cells_keep_to_their_row() {
        let mut table = Table::new(&["A", "LONGER"]);
        table.push(["first".to_owned(), "x".to_owned()]);
        table.push(["w".repeat(70), "y".to_owned()]);
        table.push(["ü".to_owned(), String::new()]);
        let mut out = Vec::new();
        table.print(&mut out, false).unwrap();
        let pad = |text: &str| format!("{text:60}");
        let expected = format!(
            "{}  LONGER\n{}  x\n{}  y\nü\n",
            pad("A"),
            pad("first"),
            "w".repeat(70)
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn only_colour_brings_escapes() {
        let mut out = Vec::new();
        Table::new(&["A"]).print(&mut out, true).unwrap();
        assert_eq!(out, b"\x1b[1mA\x1b[0m\n");
    }

    #[test]
    fn no_text_in_json_can_steer_a_terminal_and_it_reads_as_it_was() {
        let text = "plain \"quoted\" \\ Gr\u{fc}n \u{9b}31m \u{7f} \u{1b} \u{202e}\u{e0001}";
        let mut out = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut out, Plain::default());
        [text].serialize(&mut serializer).unwrap();
        let json = String::from_utf8(out).unwrap();
        let is_harmless = |c: char| c == '\n' || c.escape_debug().len() == 1 || "\"\\".contains(c);
        assert!(json.chars().all(is_harmless), "{json:?}");
        assert!(
            json.contains("Gr\u{fc}n \\u009b31m \\u007f \\u001b \\u202e\\udb40\\udc01"),
            "{json}"
        );
        let again: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(again, [text]);
    }
}
