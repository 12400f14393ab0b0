//! `epm lookup`: what is registered.

use super::args::{Lookup, Versions};
use super::exit::{CommandError, Outcome};
use super::export::Export;
use super::render::{self, Described, Table, TowerDocument, named};
use super::values::Server;
use crate::client::ept::{FoundEntry, LookupQuery};
use crate::client::{Mapper, Peer, Settings};
use serde::Serialize;
use std::borrow::Cow;
use tokio::time::Instant;
use uuid::Uuid;

/// What `--json` prints.
pub const JSON_HELP: &str = "\
Print one JSON document

{ \"mapper\": the binding that was asked,
  \"entries\": [ {
    \"object\": UUID or null,
    \"annotation\": text; octets that are no UTF-8 become U+FFFD,
    \"interface\": UUID, \"version\": \"MAJOR.MINOR\",
    \"name\": known name or null,
    \"transfer_syntax\": \"ndr\", \"ndr64\" or \"UUID:MAJOR.MINOR\",
    \"protocol_sequence\": name, null if unknown,
    \"binding\": string binding, null if none says the tower,
    \"tower\": all octets in hex } ] }

Entries are in the mapper's order. What a tower does not tell is null.";

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    /// The binding that was asked.
    mapper: String,
    /// What it told, in its order.
    entries: Vec<EntryDocument<'a>>,
}

/// One entry in it.
#[derive(Serialize)]
struct EntryDocument<'a> {
    /// The object, if there is one.
    object: Option<String>,
    /// The annotation; what is no UTF-8 in it becomes U+FFFD.
    annotation: Cow<'a, str>,
    /// The tower and what it says.
    #[serde(flatten)]
    tower: TowerDocument,
}

impl Lookup {
    /// Asks, and prints what was found.
    pub async fn run(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let query = self.query()?;
        let Server(server) = self.server.clone().unwrap_or_default();
        let failed = CommandError::of(&server);
        let connected = Mapper::connect(&server, settings, deadline).await;
        let mut mapper = connected.map_err(&failed)?;
        let found = mapper.lookup(&query).await.map_err(&failed)?;
        if found.is_empty() && !self.json {
            let mapper = render::reached(mapper.peer());
            let asked = self.asked(&query);
            render::remark(&format!("nothing registered at {mapper}{asked}"));
        }
        self.print(&found, mapper.peer())?;
        Ok(Outcome::of(found.is_empty()))
    }

    /// What was asked for, as it follows "nothing registered"; empty for
    /// everything.
    fn asked(&self, query: &LookupQuery) -> String {
        let asked = self.interface.zip(query.interface);
        let interface = asked.map(|(typed, (id, _))| match typed.versions(self.versions) {
            Versions::All => format!("interface {}, any version", named(id.uuid, id.uuid)),
            versions => format!("interface {}, versions {versions}", named(id.uuid, id)),
        });
        let object = query.object.map(|object| match some(object) {
            Some(object) => format!("object {object}"),
            None => "no object".to_owned(),
        });
        let parts: Vec<_> = interface.into_iter().chain(object).collect();
        match parts.is_empty() {
            true => String::new(),
            false => format!(" with {}", parts.join(" and ")),
        }
    }

    /// Prints in the form asked for.
    fn print(&self, found: &[FoundEntry], mapper: &Peer) -> Result<(), CommandError> {
        if self.json {
            render::print_json(&document(found, mapper))
        } else if self.config {
            let export = Export::new(found, mapper);
            export
                .warnings()
                .iter()
                .for_each(|warning| render::remark(warning));
            render::print(|out| export.write(out, &render::reached(mapper)))
        } else if found.is_empty() {
            Ok(())
        } else {
            render::print(|out| table(found).print(out, render::colour()))
        }
    }
}

/// The entries for programs.
fn document<'a>(found: &'a [FoundEntry], mapper: &Peer) -> Document<'a> {
    Document {
        mapper: render::reached(mapper),
        entries: found.iter().map(EntryDocument::from).collect(),
    }
}

impl<'a> From<&'a FoundEntry> for EntryDocument<'a> {
    fn from(entry: &'a FoundEntry) -> Self {
        let object = some(entry.object);
        EntryDocument {
            object: object.map(|object| object.to_string()),
            annotation: String::from_utf8_lossy(&entry.annotation),
            tower: TowerDocument::from(&Described::new(&entry.tower, object)),
        }
    }
}

/// The entries for people.
fn table(found: &[FoundEntry]) -> Table {
    let mut table = Table::new(&["INTERFACE", "NAME", "SYNTAX", "BINDING", "ANNOTATION"]);
    for entry in found {
        let described = Described::new(&entry.tower, some(entry.object));
        let annotation = render::printable(&String::from_utf8_lossy(&entry.annotation));
        table.push(described.cells().into_iter().chain([annotation]));
    }
    table
}

/// An object that is not nil.
fn some(object: Uuid) -> Option<Uuid> {
    Some(object).filter(|object| !object.is_nil())
}
