//! The command line of `epmapperd`.

use super::accounts::command::AccountCommand;
use super::config::{self, ListenerError};
use super::log::{LogFormat, LogLevel};
use crate::wire::binding::Binding;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;

/// DCE/RPC endpoint mapper: tells clients at which port, pipe or socket a service listens
///
/// Without a configuration it listens on port 135 of all addresses and at the
/// local socket /run/epmapper/EPMAPPER, and knows only itself. SIGHUP reads the configuration's endpoints again; SIGTERM and
/// SIGINT end the daemon.
#[derive(Debug, Default, Parser)]
#[command(
    name = "epmapperd",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Args {
    /// What to do in place of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    // Its help is a text of clap's: brackets are no links there.
    #[allow(rustdoc::broken_intra_doc_links)]
    /// Listen here, for example ncacn_ip_tcp:127.0.0.1[135] or ncalrpc:[/run/epmapper/EPMAPPER]; replaces the configuration's list, may be repeated
    #[arg(long, value_name = "BINDING", value_parser = listener)]
    pub listen: Vec<Binding>,

    /// Keep registrations in this file, or in none; replaces the configuration's `state`
    #[arg(long, value_name = "FILE|none")]
    pub state: Option<PathBuf>,

    /// Form of log lines [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Least important events to log [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,

    /// Print the effective configuration, or what is wrong with it, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Print a completion script for a shell and exit
    #[arg(long, value_name = "SHELL", hide = true, exclusive = true)]
    pub completions: Option<clap_complete::Shell>,

    /// Print a man page and exit: epmapperd, or one of a command
    #[arg(long, value_name = "PAGE", hide = true, exclusive = true, num_args = 0..=1, default_missing_value = "epmapperd", value_parser = page)]
    pub man: Option<clap::Command>,
}

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the file of accounts that clients log on as
    #[command(subcommand)]
    Account(AccountCommand),
}

impl Args {
    /// The generated document that was asked for, if one was.
    ///
    /// # Errors
    /// Those of the generators, which write into memory.
    pub fn document(&self) -> io::Result<Option<Vec<u8>>> {
        let mut command = Args::command();
        let mut out = Vec::new();
        if let Some(shell) = self.completions {
            clap_complete::generate(shell, &mut command, "epmapperd", &mut out);
        } else if let Some(page) = &self.man {
            clap_mangen::Man::new(page.clone()).render(&mut out)?;
        }
        Ok(Some(out).filter(|out| !out.is_empty()))
    }
}

/// The command that a man page is of: `epmapperd-account-add` and the like.
fn page(name: &str) -> Result<clap::Command, String> {
    let mut all = Args::command();
    all.build();
    let mut left = vec![&all];
    let mut names = Vec::new();
    while let Some(command) = left.pop() {
        let own = command.get_display_name().unwrap_or(command.get_name());
        if own == name {
            return Ok(command.clone());
        }
        names.push(own);
        left.extend(command.get_subcommands());
    }
    names.sort_unstable();
    Err(format!("the pages are {}", names.join(", ")))
}

/// A binding to listen on, by the same rules as in the configuration.
fn listener(text: &str) -> Result<Binding, ListenerError> {
    config::listener(text)
}

/// Writes to standard output; a reader that left early is no error.
///
/// # Errors
/// Any other that the system has, as of a full disk.
pub fn print(octets: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a line to standard error; that nobody reads it is no error.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn listen_takes_only_what_can_be_served() {
        let ok = ["epmapperd", "--listen", "ncacn_ip_tcp:127.0.0.1[1135]"];
        assert_eq!(Args::try_parse_from(ok).unwrap().listen.len(), 1);
        let udp = ["epmapperd", "--listen", "ncadg_ip_udp:127.0.0.1[135]"];
        assert!(
            Args::try_parse_from(udp)
                .unwrap_err()
                .to_string()
                .contains("ncadg_ip_udp")
        );
    }

    #[test]
    fn each_command_has_a_man_page() {
        for page in [
            "epmapperd-account",
            "epmapperd-account-add",
            "epmapperd-account-list",
        ] {
            let args = Args::try_parse_from(["epmapperd", "--man", page]).unwrap();
            let text = String::from_utf8(args.document().unwrap().unwrap()).unwrap();
            assert!(text.contains(&format!(".TH {page} 1")), "{text}");
        }
        let error = Args::try_parse_from(["epmapperd", "--man", "epm"]).unwrap_err();
        let told = "the pages are epmapperd, epmapperd-account, epmapperd-account-add, ";
        assert!(error.to_string().contains(told), "{error}");
    }

    #[test]
    fn a_command_goes_with_no_option_of_the_daemon() {
        for wrong in [
            ["epmapperd", "--check-config", "account", "list"].as_slice(),
            &["epmapperd", "account"],
            &["epmapperd", "account", "add", "a", "b", "--file", "f"],
            &[
                "epmapperd",
                "account",
                "add",
                "a",
                "--file",
                "f",
                "--config",
                "c",
            ],
            &[
                "epmapperd",
                "account",
                "add",
                "a",
                "--file",
                "f",
                "--stdin",
                "--password-file",
                "p",
            ],
            &["epmapperd", "account", "add", "a@B", "--file", "f"],
            &["epmapperd", "account", "remove", "a"],
            &["epmapperd", "account", "list"],
        ] {
            assert!(Args::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn completions_and_man_page_come_from_the_same_definition() {
        for option in ["--completions=bash", "--completions=zsh", "--man"] {
            let args = Args::try_parse_from(["epmapperd", option]).unwrap();
            let text = String::from_utf8(args.document().unwrap().unwrap()).unwrap();
            assert!(text.replace('\\', "").contains("log-format"), "{option}");
        }
    }
}
