//! Values of arguments: servers, interfaces and times as people write them.

use super::args::Versions;
use super::mistake::ArgumentError;
use crate::client::{EPMAP_PORT, socket_path};
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::ept::VersionOption;
use crate::wire::names;
use crate::wire::tower::ProtocolSequence;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// The server to ask: a binding for TCP with its port, or for a local socket
/// with its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(pub Binding);

impl Server {
    /// A server at an address, empty for this host, and a port.
    fn at(address: &str, port: u16) -> Self {
        Server(Binding {
            address: address.to_owned(),
            endpoint: port.to_string(),
            ..Binding::new(ProtocolSequence::NcacnIpTcp)
        })
    }
}

impl Default for Server {
    /// The mapper of this host.
    fn default() -> Self {
        Server::at("", EPMAP_PORT)
    }
}

impl FromStr for Server {
    type Err = ArgumentError;

    /// Reads a host, `host:port`, `[v6]:port`, an IPv6 address or a string
    /// binding.
    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let Some((head, rest)) = text.split_once(':') else {
            return host_and_port(text);
        };
        let protseq = head.rsplit('@').next().unwrap_or(head);
        match protseq.parse::<ProtocolSequence>() {
            Ok(_) => binding(text),
            Err(_) if means_sequence(protseq, rest) => Err(no_sequence(protseq)),
            Err(_) => host_and_port(text),
        }
    }
}

/// Whether a name before a colon, which is no protocol sequence, stands where
/// one belongs: it looks like one, or what follows belongs to a binding or a URL.
fn means_sequence(name: &str, rest: &str) -> bool {
    let head = name.get(..3).unwrap_or_default();
    let like_one = head.eq_ignore_ascii_case("nca") && number::<u64>(rest).is_none();
    let bracket = rest.contains('[') && !rest.contains(':');
    like_one || bracket || rest.starts_with("//")
}

/// What is wrong with a name that is no protocol sequence.
fn no_sequence(name: &str) -> ArgumentError {
    match name.to_ascii_lowercase().parse() {
        Ok(protseq) => ArgumentError::UpperCase(protseq),
        Err(_) => ArgumentError::NoSequence(name.to_owned()),
    }
}

/// A server that is given as a string binding.
fn binding(text: &str) -> Result<Server, ArgumentError> {
    let binding: Binding = text.parse()?;
    let is_local = match binding.protseq {
        ProtocolSequence::NcacnIpTcp => false,
        ProtocolSequence::Ncalrpc => true,
        other => return Err(ArgumentError::NotSpoken(other)),
    };
    if binding.object.is_some() {
        return Err(ArgumentError::Object);
    }
    if let Some((name, _)) = binding.options.first() {
        return Err(ArgumentError::Option(name.clone()));
    }
    if is_local {
        return local(&binding);
    }
    match binding.endpoint.as_str() {
        "" => Ok(Server::at(&binding.address, EPMAP_PORT)),
        endpoint => Ok(Server::at(&binding.address, port(endpoint)?)),
    }
}

/// A server at a local socket, its path filled in.
fn local(binding: &Binding) -> Result<Server, ArgumentError> {
    let path = socket_path(binding)?;
    Ok(Server(Binding {
        endpoint: path.to_string_lossy().into_owned(),
        ..Binding::new(ProtocolSequence::Ncalrpc)
    }))
}

/// A server that is given as `host`, `host:port`, `[v6]`, `[v6]:port` or `v6`.
fn host_and_port(text: &str) -> Result<Server, ArgumentError> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(ArgumentError::Unclosed)?;
        let address = ipv6(address)?;
        return match rest.strip_prefix(':') {
            Some(digits) => Ok(Server::at(address, port(digits)?)),
            None if rest.is_empty() => Ok(Server::at(address, EPMAP_PORT)),
            None => Err(ArgumentError::BehindBracket(rest.to_owned())),
        };
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok(Server::at(ipv6(text)?, EPMAP_PORT)),
        Some((name, digits)) => Ok(Server::at(host(name)?, port(digits)?)),
        None => Ok(Server::at(host(text)?, EPMAP_PORT)),
    }
}

/// Passes a name or an IPv4 address: something, without what no name has.
fn host(text: &str) -> Result<&str, ArgumentError> {
    let foreign = |c: char| c.is_whitespace() || c.is_control() || "[]@/\\,".contains(c);
    match text.is_empty() || text.contains(foreign) {
        true => Err(ArgumentError::NoServer),
        false => Ok(text),
    }
}

/// Passes an IPv6 address, with or without zone.
fn ipv6(text: &str) -> Result<&str, ArgumentError> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    match address.parse::<Ipv6Addr>() {
        Ok(_) if !zone.is_empty() => Ok(text),
        _ => Err(ArgumentError::Ipv6(text.to_owned())),
    }
}

/// A port that can be connected to.
fn port(digits: &str) -> Result<u16, ArgumentError> {
    match number(digits) {
        Some(port) if port != 0 => Ok(port),
        _ => Err(ArgumentError::Port(digits.to_owned())),
    }
}

/// Digits alone, where `parse` would take a sign.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    let plain = digits.bytes().all(|octet| octet.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// An interface as people name it: by UUID or name, with or without version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its UUID.
    uuid: Uuid,
    /// The version given.
    given: Option<(u16, u16)>,
    /// The version that the table of names has.
    known: Option<(u16, u16)>,
}

impl Interface {
    /// The interface with its version, given or known.
    ///
    /// # Errors
    /// Neither is there.
    pub fn id(&self) -> Result<SyntaxId, ArgumentError> {
        let version = self.given.or(self.known);
        let (major, minor) = version.ok_or(ArgumentError::NoVersion(self.uuid))?;
        Ok(SyntaxId::new(self.uuid, major, minor))
    }

    /// Which versions are meant: those asked for, else by whether one is given.
    pub fn versions(&self, asked: Option<Versions>) -> Versions {
        asked.unwrap_or(match self.given {
            Some(_) => Versions::Compatible,
            None => Versions::All,
        })
    }

    /// The interface and how its version is compared.
    ///
    /// Also where all versions are asked for, a known version goes along:
    /// Samba takes that option for "compatible".
    ///
    /// # Errors
    /// A version has to be compared, and none is there.
    pub fn compared(
        &self,
        versions: Option<Versions>,
    ) -> Result<(SyntaxId, VersionOption), ArgumentError> {
        let versions = self.versions(versions);
        let id = match versions {
            Versions::All => self.id().unwrap_or(SyntaxId::new(self.uuid, 0, 0)),
            _ => self.id()?,
        };
        Ok((id, versions.into()))
    }
}

impl FromStr for Interface {
    type Err = ArgumentError;

    /// Reads `UUID`, `UUID:VERSION`, `NAME` or `NAME:VERSION`.
    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let (name, given) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(version(numbers)?)),
            None => (text, None),
        };
        let uuid = Uuid::parse_str(name).ok();
        let known = match uuid {
            Some(uuid) => names::by_uuid(uuid),
            None => names::by_name(name),
        };
        let uuid = uuid.or(known.map(|known| known.uuid));
        let uuid = uuid.ok_or_else(|| ArgumentError::Interface(name.to_owned()))?;
        let known = known.and_then(|known| known.version);
        Ok(Interface { uuid, given, known })
    }
}

/// A version: `MAJOR.MINOR`, or `MAJOR` alone, whose minor is 0.
fn version(text: &str) -> Result<(u16, u16), ArgumentError> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    number(major)
        .zip(number(minor))
        .ok_or_else(|| ArgumentError::Version(text.to_owned()))
}

/// The longest time that is taken: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A length of time: seconds, or a number with `s` or `ms` behind.
///
/// # Errors
/// Another form, no time at all, or more than a day.
pub fn timeout(text: &str) -> Result<Duration, ArgumentError> {
    let milliseconds = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => number::<u64>(digits),
        (None, seconds) => number(seconds.unwrap_or(text)).and_then(|s: u64| s.checked_mul(1000)),
    };
    milliseconds
        .map(Duration::from_millis)
        .filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or(ArgumentError::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::uuid;

    /// An interface with a known name.
    const SAMR: Uuid = uuid!("12345778-1234-abcd-ef00-0123456789ac");

    /// A server as its string binding, or what is wrong with it.
    fn server(text: &str) -> Result<String, ArgumentError> {
        text.parse().map(|Server(binding)| binding.to_string())
    }

    #[test]
    fn a_server_is_a_host_with_or_without_port_or_a_string_binding() {
        for (text, binding) in [
            ("mapper", "ncacn_ip_tcp:mapper[135]"),
            ("mapper:1135", "ncacn_ip_tcp:mapper[1135]"),
            ("192.0.2.7", "ncacn_ip_tcp:192.0.2.7[135]"),
            ("2001:db8::7", "ncacn_ip_tcp:2001:db8::7[135]"),
            ("fe80::7%eth0", "ncacn_ip_tcp:fe80::7%eth0[135]"),
            ("[2001:db8::7]", "ncacn_ip_tcp:2001:db8::7[135]"),
            ("[fe80::7%eth0]:1135", "ncacn_ip_tcp:fe80::7%eth0[1135]"),
            ("ncacn_ip_tcp:mapper", "ncacn_ip_tcp:mapper[135]"),
            ("ncacn_ip_tcp:mapper[1135]", "ncacn_ip_tcp:mapper[1135]"),
            ("ncacn_ip_tcp:::1[1135]", "ncacn_ip_tcp:::1[1135]"),
            ("ncalrpc:", "ncalrpc:[/run/epmapper/EPMAPPER]"),
            ("ncalrpc:[samr]", "ncalrpc:[/run/epmapper/samr]"),
            ("ncalrpc:[/tmp/a]", "ncalrpc:[/tmp/a]"),
        ] {
            assert_eq!(server(text), Ok(binding.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for (text, reason) in [
            ("", "not a host"),
            ("a b", "not a host"),
            (":135", "not a host"),
            ("mapper[135]", "not a host"),
            ("mapper:0", "no port"),
            ("mapper:+1", "no port"),
            ("mapper:70000", "no port"),
            ("[::1", "] is missing"),
            ("[::1]135", "behind the ]"),
            ("[mapper]:135", "no IPv6 address"),
            ("a:b:c", "no IPv6 address"),
            (
                "ncacn_np:mapper[\\pipe\\epmapper]",
                "does not speak ncacn_np",
            ),
            ("ncalrpc:mapper[/tmp/a]", "has no address"),
            ("ncalrpc:[tmp/a]", "not an absolute path"),
            ("ncacn_ip_tcp:mapper[135,sign]", "\"sign\" is not known"),
            (
                "12345778-1234-abcd-ef00-0123456789ac@ncacn_ip_tcp:mapper",
                "--object",
            ),
        ] {
            let error = server(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_mistyped_protocol_sequence_is_told_as_such() {
        let none = |name: &str| Err(ArgumentError::NoSequence(name.to_owned()));
        let tcp = ProtocolSequence::NcacnIpTcp;
        for (text, expected) in [
            ("ncacn_tcp:mapper[135]", none("ncacn_tcp")),
            ("ncacn_tcp:mapper", none("ncacn_tcp")),
            ("ncacn_tcp:", none("ncacn_tcp")),
            ("tcp:mapper[135]", none("tcp")),
            ("http://mapper/", none("http")),
            ("x@ncacn_tcp:mapper", none("ncacn_tcp")),
            (
                "NCACN_IP_TCP:mapper[135]",
                Err(ArgumentError::UpperCase(tcp)),
            ),
            ("Ncacn_Ip_Tcp:mapper", Err(ArgumentError::UpperCase(tcp))),
        ] {
            assert_eq!(server(text), expected, "{text}");
        }
        let message = ArgumentError::NoSequence("ncacn_tcp".into()).to_string();
        assert!(message.contains("ncacn_ip_tcp:HOST[PORT]"), "{message}");
        // What looks like one may be a host all the same.
        assert_eq!(server("nca:135").unwrap(), "ncacn_ip_tcp:nca[135]");
        assert_eq!(server("nca:0"), Err(ArgumentError::Port("0".into())));
    }

    #[test]
    fn an_interface_is_named_by_uuid_or_name_with_or_without_version() {
        let id = |text: &str| {
            text.parse::<Interface>()
                .and_then(|interface| interface.id())
        };
        let uuid = SAMR.to_string();
        assert_eq!(id("samr"), Ok(SyntaxId::new(SAMR, 1, 0)));
        assert_eq!(id("samr:2.3"), Ok(SyntaxId::new(SAMR, 2, 3)));
        assert_eq!(id(&uuid), Ok(SyntaxId::new(SAMR, 1, 0)));
        assert_eq!(id(&format!("{uuid}:4")), Ok(SyntaxId::new(SAMR, 4, 0)));
        let unknown = uuid!("00000001-0000-0000-0000-000000000000");
        let no_version = Err(ArgumentError::NoVersion(unknown));
        assert_eq!(id(&unknown.to_string()), no_version);
        assert_eq!(id("nosuch"), Err(ArgumentError::Interface("nosuch".into())));
        for version in ["", "1.", "x", "1.2.3", "65536", "-1"] {
            let no_version = Err(ArgumentError::Version(version.into()));
            assert_eq!(id(&format!("samr:{version}")), no_version);
        }
    }

    #[test]
    fn a_timeout_is_in_seconds_or_milliseconds() {
        assert_eq!(timeout("10"), Ok(Duration::from_secs(10)));
        assert_eq!(timeout("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(timeout("500ms"), Ok(Duration::from_millis(500)));
        for text in [
            "",
            "0",
            "0ms",
            "1m",
            "-1",
            "+1",
            "1.5",
            "ms",
            "86401",
            "99999999999999999999",
        ] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
