//! What `insert`, `delete` and `hold` share: endpoints as arguments, and the
//! entries that they stand for.

use super::args::Endpoints;
use super::mistake::ArgumentError;
use super::values::Server;
use crate::client::ept::NewEntry;
use crate::client::{Registration, local_mapper};
use crate::wire::SyntaxId;
use crate::wire::binding::Binding;
use crate::wire::ept::{MAX_ENTRIES, is_annotation};
use crate::wire::tower::TowerBuf;
use std::str::FromStr;
use uuid::Uuid;

/// The mapper to change: the one given, or this host's by its local socket.
pub fn mapper(at: &Option<Server>) -> Binding {
    match at {
        Some(Server(binding)) => binding.clone(),
        None => local_mapper(),
    }
}

/// Where a server listens: a string binding that a tower can say, and that
/// leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub Binding);

impl FromStr for Endpoint {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let mut binding: Binding = text.parse()?;
        if binding.object.is_some() {
            return Err(ArgumentError::Object);
        }
        if let Some((name, _)) = binding.options.pop() {
            return Err(ArgumentError::Option(name));
        }
        let tower = tower(SyntaxId::EPT, &binding)?;
        let nowhere = Binding {
            endpoint: String::new(),
            ..binding.clone()
        };
        // Port 0 is what a tower without port says.
        if self::tower(SyntaxId::EPT, &nowhere)? == tower {
            return Err(ArgumentError::NoEndpoint(binding));
        }
        Ok(Endpoint(binding))
    }
}

/// A text for people, as an entry can hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotation(pub String);

impl FromStr for Annotation {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        match is_annotation(text) {
            true => Ok(Annotation(text.to_owned())),
            false => Err(ArgumentError::Annotation(text.len())),
        }
    }
}

/// The tower of an interface at a binding, in NDR 2.0, which every server has.
fn tower(interface: SyntaxId, binding: &Binding) -> Result<TowerBuf, ArgumentError> {
    Ok(TowerBuf::from_binding(interface, SyntaxId::NDR, binding)?)
}

/// What is registered, apart from where.
#[derive(Debug)]
pub struct Registered {
    /// The object; nil for none.
    object: Uuid,
    /// The text for people.
    annotation: String,
    /// Each binding with the tower that says it.
    towers: Vec<(Binding, TowerBuf)>,
}

impl Registered {
    /// The entries that arguments stand for; a binding given twice counts once.
    ///
    /// # Errors
    /// An interface whose version is neither given nor known, the nil
    /// interface, or more bindings than a call carries.
    pub fn new(endpoints: &Endpoints, annotation: &Annotation) -> Result<Self, ArgumentError> {
        let interface = endpoints.interface.id()?;
        if interface.uuid.is_nil() {
            return Err(ArgumentError::NilInterface);
        }
        let mut towers: Vec<(Binding, TowerBuf)> = Vec::new();
        for Endpoint(binding) in &endpoints.bindings {
            let tower = tower(interface, binding)?;
            if towers.iter().all(|(_, other)| *other != tower) {
                towers.push((binding.clone(), tower));
            }
        }
        if towers.len() > MAX_ENTRIES as usize {
            return Err(ArgumentError::Endpoints(MAX_ENTRIES));
        }
        Ok(Registered {
            object: endpoints.object.unwrap_or_default(),
            annotation: annotation.0.clone(),
            towers,
        })
    }

    /// The entries.
    pub fn entries(&self) -> Vec<NewEntry<'_>> {
        self.each().map(|(_, entry)| entry).collect()
    }

    /// The entries, to be kept registered.
    pub fn registrations(&self) -> Vec<Registration> {
        let registration = |(_, tower): &(Binding, TowerBuf)| Registration {
            object: self.object,
            tower: tower.clone(),
            annotation: self.annotation.clone(),
        };
        self.towers.iter().map(registration).collect()
    }

    /// Each entry and its binding.
    pub fn each(&self) -> impl Iterator<Item = (&Binding, NewEntry<'_>)> {
        self.towers.iter().map(|(binding, tower)| {
            let entry = NewEntry {
                object: self.object,
                tower: tower.octets(),
                annotation: self.annotation.as_bytes(),
            };
            (binding, entry)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with an endpoint.
    fn mistake(text: &str) -> Option<String> {
        text.parse::<Endpoint>()
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn an_endpoint_is_a_binding_that_a_tower_says_and_that_leads_somewhere() {
        for text in [
            "ncacn_ip_tcp:192.0.2.10[49152]",
            "ncacn_ip_tcp:[49152]",
            "ncadg_ip_udp:[1]",
            "ncalrpc:[ECHO]",
            "ncacn_np:\\\\\\\\host[\\\\pipe\\\\echo]",
        ] {
            assert_eq!(mistake(text), None, "{text}");
        }
        for (text, reason) in [
            ("mapper", "no protocol sequence"),
            ("ncacn_ip_tcp:host[1]", "IPv4 address"),
            ("ncacn_ip_tcp:::1[1]", "IPv6"),
            ("ncacn_ip_tcp:192.0.2.10", "no endpoint"),
            ("ncacn_ip_tcp:[0]", "no endpoint"),
            ("ncalrpc:", "no endpoint"),
            ("ncacn_ip_tcp:[1,sign]", "\"sign\""),
            (
                "12345778-1234-abcd-ef00-0123456789ac@ncacn_ip_tcp:[1]",
                "--object",
            ),
        ] {
            let error = mistake(text).expect(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_annotation_has_at_most_63_octets_and_no_nul() {
        let parse = |text: &str| text.parse::<Annotation>().is_ok();
        assert!(parse("") && parse(&"a".repeat(63)));
        assert!(!parse(&"a".repeat(64)) && !parse("a\0b"));
    }

    #[test]
    fn without_a_place_the_local_socket_is_meant() {
        let text = "ncalrpc:[/run/epmapper/EPMAPPER]";
        assert_eq!(mapper(&None).to_string(), text);
        let tcp = Server::default();
        assert_eq!(mapper(&Some(tcp.clone())), tcp.0);
    }

    #[test]
    fn a_binding_given_twice_is_one_entry() {
        let endpoints = |interface: &str| Endpoints {
            at: None,
            interface: interface.parse().unwrap(),
            bindings: ["ncacn_ip_tcp:[1]", "ncacn_ip_tcp:0.0.0.0[1]", "ncalrpc:[A]"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            object: None,
        };
        let annotation = Annotation("text".into());
        let registered = Registered::new(&endpoints("samr"), &annotation).unwrap();
        let entries = registered.entries();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.annotation == b"text"));
        let nil = Registered::new(&endpoints(&format!("{}:1.0", Uuid::nil())), &annotation);
        assert_eq!(nil.unwrap_err(), ArgumentError::NilInterface);
    }
}
