//! String bindings: how a person writes where an interface is reached.
//!
//! Form: `[object@]protseq:[address][[endpoint][,option=value]...]`. In text a
//! backslash makes a special character ordinary; one that stands before any
//! other character is itself, since Windows and impacket write single ones. Names
//! are not resolved here. The way to towers and back is in `towers`.

use super::tower::{Form, ProtocolSequence, UnknownProtocolSequence};
use std::fmt;
use std::fmt::Write;
use std::net::Ipv6Addr;
use std::str::FromStr;
use uuid::Uuid;

mod towers;

/// Where an interface is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// The object; never the nil UUID, which stands for none.
    pub object: Option<Uuid>,
    /// The protocol sequence.
    pub protseq: ProtocolSequence,
    /// The network address; empty for none. An IPv6 address without brackets, a
    /// pipe's host without backslashes.
    pub address: String,
    /// The endpoint; empty for none.
    pub endpoint: String,
    /// Options in their order: name, and value if there is a `=`.
    pub options: Vec<(String, Option<String>)>,
}

impl Binding {
    /// A binding of nothing but a protocol sequence.
    pub fn new(protseq: ProtocolSequence) -> Binding {
        Binding {
            object: None,
            protseq,
            address: String::new(),
            endpoint: String::new(),
            options: Vec::new(),
        }
    }
}

/// The port that `text` says, if any.
fn port(text: &str) -> Result<Option<u16>, BindingFault> {
    if text.is_empty() {
        return Ok(None);
    }
    // `parse` alone would take a sign.
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.map(Some)
        .ok_or_else(|| BindingFault::Port(text.into()))
}

/// A pipe's host without the backslashes before it.
fn bare_host(host: &str) -> &str {
    host.trim_start_matches('\\')
}

/// Whether it is an IPv6 address, with or without zone: `fe80::1%eth0`.
fn is_ipv6(address: &str) -> bool {
    let (address, zone) = address.split_once('%').unwrap_or((address, "0"));
    address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty()
}

/// The text form of C706: backslashes doubled, a pipe's host with two of them.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(object) = self.object {
            write!(f, "{object}@")?;
        }
        write!(f, "{}:", self.protseq)?;
        if self.protseq == ProtocolSequence::NcacnNp && !self.address.is_empty() {
            f.write_str("\\\\\\\\")?;
        }
        write!(f, "{}", Escaped(&self.address, &ADDRESS_ENDS))?;
        if self.endpoint.is_empty() && self.options.is_empty() {
            return Ok(());
        }
        write!(f, "[{}", Escaped(&self.endpoint, &NAME_ENDS))?;
        for (name, value) in &self.options {
            write!(f, ",{}", Escaped(name, &NAME_ENDS))?;
            if let Some(value) = value {
                write!(f, "={}", Escaped(value, &VALUE_ENDS))?;
            }
        }
        f.write_str("]")
    }
}

/// What ends an address.
const ADDRESS_ENDS: [char; 1] = ['['];
/// What ends an endpoint or the name of an option.
const NAME_ENDS: [char; 3] = [',', '=', ']'];
/// What ends the value of an option.
const VALUE_ENDS: [char; 2] = [',', ']'];

/// Text with a backslash before each backslash and each of some characters.
struct Escaped<'a>(&'a str, &'a [char]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for c in self.0.chars() {
            if c == '\\' || self.1.contains(&c) {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        Ok(())
    }
}

impl FromStr for Binding {
    type Err = BindingError;

    /// Reads a string binding.
    ///
    /// Backslashes may be doubled or single. An IPv6 address may stand in
    /// brackets or not: `ncacn_ip_tcp:::[135]` is the address `::`. The option
    /// `endpoint` is the endpoint.
    ///
    /// # Errors
    /// A `BindingError` with the place of what is wrong.
    ///
    /// # Source
    /// C706 chapter 6; the option `endpoint` as Windows and Samba take it.
    fn from_str(text: &str) -> Result<Self, BindingError> {
        let mut reader = Reader { text, position: 0 };
        let (object, protseq) = reader.head()?;
        let mut binding = Binding {
            object,
            address: reader.address(protseq)?,
            ..Binding::new(protseq)
        };
        if reader.eat('[') {
            reader.brackets(&mut binding)?;
        }
        if !reader.rest().is_empty() {
            return Err(BindingFault::Trailing(reader.rest().into()).at(reader.position));
        }
        Ok(binding)
    }
}

/// A string binding and how much of it was read.
struct Reader<'t> {
    /// The whole text.
    text: &'t str,
    /// Octets read of it, up to the end of a character.
    position: usize,
}

impl<'t> Reader<'t> {
    /// What was not read yet.
    fn rest(&self) -> &'t str {
        self.text.get(self.position..).unwrap_or_default()
    }

    /// Reads `c`, if it comes next.
    fn eat(&mut self, c: char) -> bool {
        let eaten = self.rest().starts_with(c);
        if eaten {
            self.position += c.len_utf8();
        }
        eaten
    }

    /// Reads up to one of `ends` that has no backslash before it.
    ///
    /// A backslash counts as one only before a special character or another
    /// backslash; so single ones, as in `\pipe\samr`, are kept.
    fn until(&mut self, ends: &[char]) -> String {
        let mut value = String::new();
        let mut chars = self.rest().chars().peekable();
        while let Some(mut c) = chars.next_if(|c| !ends.contains(c)) {
            self.position += c.len_utf8();
            if c == '\\'
                && let Some(special) = chars.next_if(|c| "\\[],=".contains(*c))
            {
                self.position += special.len_utf8();
                c = special;
            }
            value.push(c);
        }
        value
    }

    /// Reads object and protocol sequence with the colon behind.
    fn head(&mut self) -> Result<(Option<Uuid>, ProtocolSequence), BindingError> {
        let Some((head, _)) = self.text.split_once(':') else {
            return Err(BindingFault::NoSequence.at(0));
        };
        let (object, name) = match head.split_once('@') {
            Some((object, name)) => (Some(object), name),
            None => (None, head),
        };
        let object = object.map(self::object).transpose();
        let object = object.map_err(|fault| fault.at(0))?.flatten();
        let protseq = name.parse::<ProtocolSequence>();
        let protseq = protseq.map_err(|unknown| {
            BindingFault::UnknownSequence(name.into(), unknown).at(head.len() - name.len())
        })?;
        self.position = head.len() + 1;
        Ok((object, protseq))
    }

    /// Reads the address, up to the bracket before the endpoint.
    fn address(&mut self, protseq: ProtocolSequence) -> Result<String, BindingError> {
        let start = self.position;
        let row = protseq.row();
        let form = row.address.map(|slot| slot.form);
        if form == Some(Form::Ipv4)
            && let Some(address) = self.bracketed_ipv6()
        {
            return Ok(address);
        }
        let address = self.until(&ADDRESS_ENDS);
        match form {
            None if !address.is_empty() => Err(BindingFault::NoAddress(protseq).at(start)),
            Some(Form::Ipv4) if address.contains(':') && !is_ipv6(&address) => {
                Err(BindingFault::Address(address).at(start))
            }
            Some(Form::Host) => Ok(bare_host(&address).to_owned()),
            _ => Ok(address),
        }
    }

    /// Reads an IPv6 address in brackets, if one comes next.
    fn bracketed_ipv6(&mut self) -> Option<String> {
        let (address, _) = self.rest().strip_prefix('[')?.split_once(']')?;
        if !is_ipv6(address) {
            return None;
        }
        self.position += address.len() + 2;
        Some(address.to_owned())
    }

    /// Reads endpoint and options up to the closing bracket.
    fn brackets(&mut self, binding: &mut Binding) -> Result<(), BindingError> {
        let opened = self.position - 1;
        let start = self.position;
        let first = self.until(&NAME_ENDS);
        if self.rest().starts_with('=') {
            self.option(binding, first, start)?;
        } else {
            binding
                .set_endpoint(first)
                .map_err(|fault| fault.at(start))?;
        }
        while self.eat(',') {
            let start = self.position;
            let name = self.until(&NAME_ENDS);
            self.option(binding, name, start)?;
        }
        if !self.eat(']') {
            return Err(BindingFault::Unclosed.at(opened));
        }
        Ok(())
    }

    /// Reads the value of the option `name`, which began at `start`, and keeps
    /// both.
    fn option(
        &mut self,
        binding: &mut Binding,
        name: String,
        start: usize,
    ) -> Result<(), BindingError> {
        let value = self
            .eat('=')
            .then(|| (self.position, self.until(&VALUE_ENDS)));
        match value {
            _ if name.is_empty() => Err(BindingFault::OptionName.at(start)),
            Some((start, value)) if name == "endpoint" => {
                binding.set_endpoint(value).map_err(|fault| fault.at(start))
            }
            value => {
                let value = value.map(|(_, value)| value);
                binding.options.push((name, value));
                Ok(())
            }
        }
    }
}

impl Binding {
    /// Takes an endpoint that was read, unless there is another already.
    fn set_endpoint(&mut self, endpoint: String) -> Result<(), BindingFault> {
        if self.protseq.row().endpoint.form == Form::Port {
            port(&endpoint)?;
        }
        if !self.endpoint.is_empty() && self.endpoint != endpoint {
            return Err(BindingFault::TwoEndpoints(self.endpoint.clone()));
        }
        self.endpoint = endpoint;
        Ok(())
    }
}

/// Reads the UUID before an `@`; the nil UUID is no object.
fn object(text: &str) -> Result<Option<Uuid>, BindingFault> {
    // `Uuid` would take other forms as well, such as braces.
    let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    let uuid = uuid.ok_or_else(|| BindingFault::Object(text.into()))?;
    Ok(Some(uuid).filter(|uuid| !uuid.is_nil()))
}

/// What is wrong with a binding, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingError {
    /// The octet of the text, from 0; none where no text was read.
    pub position: Option<usize>,
    /// What is wrong, and what to do.
    pub fault: BindingFault,
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "at octet {position}: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl std::error::Error for BindingError {}

impl From<BindingFault> for BindingError {
    fn from(fault: BindingFault) -> Self {
        let position = None;
        BindingError { position, fault }
    }
}

/// What is wrong with a binding. The texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingFault {
    /// No colon, so nothing before it.
    #[error("no protocol sequence: write one before the address, as in ncacn_ip_tcp:HOST[PORT]")]
    NoSequence,
    /// A name of no protocol sequence.
    #[error("{0:?}: {1}")]
    UnknownSequence(String, UnknownProtocolSequence),
    /// Something before `@` that is not a UUID.
    #[error("object {0:?} is no UUID: write 8-4-4-4-12 hexadecimal digits before the '@'")]
    Object(String),
    /// An address with colons that is not IPv6.
    #[error(
        "{0:?} is no address: write HOST[PORT], or an IPv6 address as in ncacn_ip_tcp:::1[135]"
    )]
    Address(String),
    /// An address where the protocol sequence has none.
    #[error("{0} never leaves its machine and has no address: write {0}:[ENDPOINT]")]
    NoAddress(ProtocolSequence),
    /// A port that is no number.
    #[error("{0:?} is no port: write a decimal number from 0 to 65535")]
    Port(String),
    /// A second endpoint.
    #[error("the endpoint is already {0:?}: write only one")]
    TwoEndpoints(String),
    /// An option without name.
    #[error("an option has no name: write name=value, or take the comma away")]
    OptionName,
    /// A bracket that is never closed.
    #[error("this bracket is not closed: write ']' last (and '\\\\' for a backslash before it)")]
    Unclosed,
    /// Text behind the end.
    #[error("{0:?} stands behind the end: take it away")]
    Trailing(String),
    /// An IPv6 address, for which towers have no floor.
    #[error(
        "no tower holds the IPv6 address {0}: leave the address out, clients keep the one they dialled"
    )]
    Ipv6(String),
    /// A host name where a tower has room for an IPv4 address only.
    #[error("a tower holds no host name such as {0:?}: write its IPv4 address, or leave it out")]
    HostName(String),
    /// An IPX address of another form.
    #[error("{0:?} is no IPX address: write '~' and 20 hexadecimal digits, network and node")]
    Ipx(String),
    /// A NUL in a name.
    #[error("a name holds a NUL, which would end it: take it away")]
    Nul,
    /// A name longer than a floor.
    #[error("endpoint or address is longer than a floor's 65535 octets: shorten it")]
    TooLong,
}

impl BindingFault {
    /// The fault at a place of the text.
    fn at(self, position: usize) -> BindingError {
        let position = Some(position);
        BindingError {
            position,
            fault: self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::uuid;

    fn parse(text: &str) -> Binding {
        text.parse().unwrap()
    }

    fn fault(text: &str) -> (Option<usize>, BindingFault) {
        let error = text.parse::<Binding>().unwrap_err();
        (error.position, error.fault)
    }

    #[test]
    fn an_object_stands_before_the_sequence() {
        let object = uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa");
        let text = format!("{object}@ncacn_ip_tcp:192.0.2.10[135]");
        assert_eq!(parse(&text).object, Some(object));
        assert_eq!(parse(&text).to_string(), text);
        let nil = format!("{}@ncalrpc:[a]", Uuid::nil());
        assert_eq!(parse(&nil).object, None);
    }

    #[test]
    fn options_follow_the_endpoint() {
        let proxied = parse("ncacn_http:srv[593,RpcProxy=px:443,flag,empty=]");
        assert_eq!(proxied.endpoint, "593");
        let options = [
            ("RpcProxy", Some("px:443")),
            ("flag", None),
            ("empty", Some("")),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(proxied.options, options);
        assert_eq!(
            proxied.to_string(),
            "ncacn_http:srv[593,RpcProxy=px:443,flag,empty=]"
        );
    }

    #[test]
    fn an_endpoint_may_be_an_option() {
        assert_eq!(
            parse("ncacn_ip_tcp:h[endpoint=135]"),
            parse("ncacn_ip_tcp:h[135]")
        );
        assert_eq!(
            parse("ncacn_ip_tcp:h[,sign,endpoint=135]"),
            parse("ncacn_ip_tcp:h[135,sign]")
        );
        assert_eq!(parse("ncacn_ip_tcp:h[sign=yes]").endpoint, "");
        let twice = BindingFault::TwoEndpoints("135".into());
        assert_eq!(fault("ncacn_ip_tcp:h[135,endpoint=136]"), (Some(28), twice));
    }

    #[test]
    fn backslashes_single_or_doubled_mean_the_same() {
        for text in [
            r"ncacn_np:\\\\HOST[\\pipe\\samr]",
            r"ncacn_np:\\HOST[\pipe\samr]",
            r"ncacn_np:HOST[\pipe\\samr]",
        ] {
            let binding = parse(text);
            assert_eq!(binding.address, "HOST");
            assert_eq!(binding.endpoint, r"\pipe\samr");
            assert_eq!(binding.to_string(), r"ncacn_np:\\\\HOST[\\pipe\\samr]");
        }
    }

    #[test]
    fn special_characters_are_written_with_a_backslash() {
        let text = r"ncacn_unix_stream:[/run/a\,b\=c\]d,o\=p=v\,w=x]";
        let binding = parse(text);
        assert_eq!(binding.endpoint, "/run/a,b=c]d");
        assert_eq!(binding.options, [("o=p".into(), Some("v,w=x".into()))]);
        assert_eq!(binding.to_string(), text);
    }

    #[test]
    fn ipv6_addresses_stand_with_and_without_brackets() {
        for (text, address) in [
            ("ncacn_ip_tcp:::1[135]", "::1"),
            ("ncacn_ip_tcp:::[135]", "::"),
            ("ncacn_ip_tcp:[::1][135]", "::1"),
            ("ncacn_ip_tcp:fe80::1%eth0[135]", "fe80::1%eth0"),
            ("ncadg_ip_udp:[fe80::1%eth0][135]", "fe80::1%eth0"),
        ] {
            let binding = parse(text);
            assert_eq!((&*binding.address, &*binding.endpoint), (address, "135"));
            assert_eq!(parse(&binding.to_string()), binding);
        }
        assert_eq!(parse("ncacn_http:[::1]").address, "::1");
        assert_eq!(parse("ncacn_http:[593,RpcProxy=::1]").endpoint, "593");
    }

    #[test]
    fn a_binding_without_more_than_a_sequence() {
        let bare = Binding::new(ProtocolSequence::NcacnIpTcp);
        for text in ["ncacn_ip_tcp:", "ncacn_ip_tcp:[]"] {
            assert_eq!(parse(text), bare);
        }
        assert_eq!(bare.to_string(), "ncacn_ip_tcp:");
    }

    #[test]
    fn faults_name_their_place() {
        use BindingFault::*;
        use ProtocolSequence::Ncalrpc;
        for (text, position, expected) in [
            ("host", 0, NoSequence),
            ("", 0, NoSequence),
            (
                "tcp:h",
                0,
                UnknownSequence("tcp".into(), UnknownProtocolSequence),
            ),
            ("x@ncalrpc:[a]", 0, Object("x".into())),
            ("ncalrpc:h[a]", 8, NoAddress(Ncalrpc)),
            ("ncacn_ip_tcp:h:135", 13, Address("h:135".into())),
            ("ncacn_ip_tcp:h[65536]", 15, Port("65536".into())),
            ("ncacn_ip_tcp:h[+1]", 15, Port("+1".into())),
            ("ncacn_http:h[web]", 13, Port("web".into())),
            ("ncacn_ip_tcp:h[135", 14, Unclosed),
            ("ncacn_ip_tcp:h[135]x", 19, Trailing("x".into())),
            ("ncacn_ip_tcp:h[135,]", 19, OptionName),
            ("ncacn_ip_tcp:h[=1]", 15, OptionName),
        ] {
            assert_eq!(fault(text), (Some(position), expected), "{text}");
        }
    }

    #[test]
    fn a_message_tells_place_fault_and_remedy() {
        let error = "ncacn_ip_tcp:h[http]".parse::<Binding>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"at octet 15: "http" is no port: write a decimal number from 0 to 65535"#
        );
        let error = "tcp:h[1]".parse::<Binding>().unwrap_err();
        assert!(error.to_string().contains("use one of ncacn_ip_tcp, "));
    }
}
