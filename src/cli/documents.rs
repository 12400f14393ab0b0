//! Completion scripts and man pages, from the definition of the command line.

use super::args::Arguments;
use super::exit::{CommandError, Outcome};
use super::render;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

/// Prints a completion script for a shell.
pub fn completions(shell: Shell) -> Result<Outcome, CommandError> {
    // The generators panic where they cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "epm", &mut script);
    render::print(|out| out.write_all(&script))?;
    Ok(Outcome::Found)
}

/// Prints the man page of `epm`, or writes it and one for each command into a
/// directory, which is made if need be.
pub fn man(dir: Option<&Path>) -> Result<Outcome, CommandError> {
    let mut command = Arguments::command();
    command.build();
    match dir {
        Some(dir) => pages(&command, dir)?,
        None => render::print(|mut out| Man::new(command).render(&mut out))?,
    }
    Ok(Outcome::Found)
}

/// Writes the man pages of `epm` and of each command into a directory.
fn pages(command: &Command, dir: &Path) -> Result<(), CommandError> {
    std::fs::create_dir_all(dir).map_err(CommandError::writing(dir))?;
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for command in shown.chain([command]) {
        let page = Man::new(command.clone());
        let path = dir.join(page.get_filename());
        page.generate_to(dir)
            .map_err(CommandError::writing(&path))?;
    }
    Ok(())
}
