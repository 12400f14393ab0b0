//! `epm mgmt`: which interfaces a server offers, and how it is.

use super::args::Mgmt;
use super::exit::{CommandError, Outcome};
use super::render::{self, Table};
use crate::client::mgmt::STATISTICS;
use crate::client::{ClientError, Failure, Management, Settings};
use crate::wire::SyntaxId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use tokio::time::Instant;

/// What `--json` prints.
pub const JSON_HELP: &str = "\
Print one JSON document

{ \"server\": the binding that was asked,
  \"listening\": true or false,
  \"statistics\": { \"calls_in\": number, \"calls_out\",
                  \"packets_in\", \"packets_out\" },
  \"interfaces\": [ { \"interface\": UUID, \"version\": \"MAJOR.MINOR\",
                    \"name\": known name or null } ],
  \"principal_names\": { \"kerberos\": text, \"ntlm\", \"spnego\" },
  \"refused\": { operation: fault or status by name and number } }

What the server refused to tell is null or missing, and listed under refused.";

/// The authentication services whose principal is asked for (MS-RPCE
/// 2.2.1.1.7).
const AUTHENTICATION: [(&str, u32); 3] = [("kerberos", 16), ("ntlm", 10), ("spnego", 9)];

/// What a server told; the JSON document.
#[derive(Serialize)]
struct Report {
    /// The binding that was asked.
    server: String,
    /// Whether it listens.
    listening: Option<bool>,
    /// Counts by name.
    statistics: BTreeMap<&'static str, u32>,
    /// The interfaces that it offers.
    interfaces: Vec<InterfaceDocument>,
    /// Principals by authentication service.
    principal_names: BTreeMap<&'static str, String>,
    /// Reasons by the operation that was refused.
    refused: BTreeMap<String, String>,
}

/// One interface in it.
#[derive(Serialize)]
struct InterfaceDocument {
    /// The UUID.
    interface: String,
    /// The version, `MAJOR.MINOR`.
    version: String,
    /// The name, where it is known.
    name: Option<&'static str>,
}

impl From<SyntaxId> for InterfaceDocument {
    fn from(id: SyntaxId) -> Self {
        InterfaceDocument {
            interface: id.uuid.to_string(),
            version: render::version(id),
            name: render::name(id),
        }
    }
}

impl Mgmt {
    /// Asks, and prints what the server told.
    pub async fn run(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<Outcome, CommandError> {
        let server = &self.server.0;
        let failed = CommandError::of(server);
        let mut management = Management::connect(server, settings, deadline)
            .await
            .map_err(&failed)?;
        let report = Report::ask(&mut management).await.map_err(&failed)?;
        match self.json {
            true => render::print_json(&report)?,
            false => render::print(|out| report.print(out))?,
        }
        Ok(Outcome::of(report.interfaces.is_empty()))
    }
}

impl Report {
    /// Asks for everything; only the interfaces have to be told.
    async fn ask(management: &mut Management) -> Result<Report, ClientError> {
        let interfaces = management.inq_if_ids().await?;
        let mut report = Report {
            server: render::reached(management.peer()),
            listening: None,
            statistics: BTreeMap::new(),
            interfaces: interfaces
                .into_iter()
                .map(InterfaceDocument::from)
                .collect(),
            principal_names: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        let listening = management.is_server_listening().await;
        report.listening = report.told("is_server_listening", listening)?;
        let statistics = management.inq_stats().await;
        let counts = report.told("inq_stats", statistics)?.unwrap_or_default();
        report.statistics.extend(STATISTICS.into_iter().zip(counts));
        for (service, number) in AUTHENTICATION {
            let principal = management.inq_princ_name(number).await;
            if let Some(octets) = report.told(&format!("inq_princ_name {service}"), principal)? {
                let text = String::from_utf8_lossy(&octets).into_owned();
                report.principal_names.insert(service, text);
            }
        }
        Ok(report)
    }

    /// Takes what was told, and notes what the server refused to tell.
    fn told<T>(
        &mut self,
        operation: &str,
        told: Result<T, ClientError>,
    ) -> Result<Option<T>, ClientError> {
        match told {
            Ok(value) => Ok(Some(value)),
            Err(ClientError {
                failure: failure @ (Failure::Fault(_) | Failure::Status(_)),
                ..
            }) => {
                self.refused
                    .insert(operation.to_owned(), failure.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Prints the report for people.
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut lines = vec![("server", self.server.clone())];
        if let Some(listening) = self.listening {
            lines.push(("listening", if listening { "yes" } else { "no" }.to_owned()));
        }
        lines.extend(
            self.statistics
                .iter()
                .map(|(name, count)| (*name, count.to_string())),
        );
        for (service, name) in &self.principal_names {
            lines.push((service, render::printable(name)));
        }
        for (operation, reason) in &self.refused {
            lines.push((operation, reason.clone()));
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in lines {
            writeln!(out, "{name:width$}  {value}")?;
        }
        writeln!(out)?;
        let mut table = Table::new(&["INTERFACE", "NAME"]);
        for document in &self.interfaces {
            let name = document.name.unwrap_or("-").to_owned();
            table.push([format!("{}:{}", document.interface, document.version), name]);
        }
        table.print(out, render::colour())
    }
}
