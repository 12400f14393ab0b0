//! `epm map`: where an interface is served.

use super::args::Map;
use super::exit::{CommandError, Outcome};
use super::render::{self, Described, Table, TowerDocument};
use crate::client::{Mapper, Peer, Settings};
use crate::wire::SyntaxId;
use serde::Serialize;
use tokio::time::Instant;

/// What `--json` prints.
pub const JSON_HELP: &str = "\
Print one JSON document

{ \"mapper\": the binding that was asked,
  \"towers\": [ {
    \"interface\": UUID, \"version\": \"MAJOR.MINOR\",
    \"name\": known name or null,
    \"transfer_syntax\": \"ndr\", \"ndr64\" or \"UUID:MAJOR.MINOR\",
    \"protocol_sequence\": name, null if unknown,
    \"binding\": string binding, null if none says the tower,
    \"tower\": all octets in hex } ] }

Towers are in the mapper's order, for one protocol sequence after the other.
What a tower does not tell is null.";

/// The JSON document.
#[derive(Serialize)]
struct Document {
    /// The binding that was asked.
    mapper: String,
    /// What it told, in its order.
    towers: Vec<TowerDocument>,
}

impl Map {
    /// Asks for each protocol sequence, and prints what was found.
    pub async fn run(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let interface = self.interface.id()?;
        let server = &self.server.0;
        let failed = CommandError::of(server);
        let connected = Mapper::connect(server, settings, deadline).await;
        let mut mapper = connected.map_err(&failed)?;
        let mut found = Vec::new();
        for &protseq in &self.protseq {
            let towers = mapper
                .map(interface, protseq, self.object)
                .await
                .map_err(&failed)?;
            if towers.is_empty() {
                let mapper = render::reached(mapper.peer());
                let asked = self.asked(interface);
                render::remark(&format!("{mapper} has no {protseq} endpoint of {asked}"));
            }
            found.extend(towers);
        }
        self.print(&found, mapper.peer())?;
        Ok(Outcome::of(found.is_empty()))
    }

    /// What was asked for, in words.
    fn asked(&self, interface: SyntaxId) -> String {
        let interface = render::named(interface.uuid, interface);
        match self.object {
            Some(object) => format!("{interface} for object {object}"),
            None => interface,
        }
    }

    /// Prints in the form asked for.
    fn print(&self, found: &[Box<[u8]>], mapper: &Peer) -> Result<(), CommandError> {
        let described = found.iter().map(|tower| Described::new(tower, self.object));
        if self.json {
            let towers = described.map(|described| TowerDocument::from(&described));
            return render::print_json(&Document {
                mapper: render::reached(mapper),
                towers: towers.collect(),
            });
        }
        if found.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["INTERFACE", "NAME", "SYNTAX", "BINDING"]);
        described.for_each(|described| table.push(described.cells()));
        render::print(|out| table.print(out, render::colour()))
    }
}
