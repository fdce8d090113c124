//! `heaptide man`: one manual page for the program and all its commands.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::Args;

/// Writes the page to standard output.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let page = page()?;
    io::stdout().write_all(page.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn page() -> io::Result<String> {
    let mut command = Args::command();
    command.build();
    let man = Man::new(command.clone()).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        page.extend(subcommand_sections(subcommand)?.into_bytes());
    }
    let mut end = Vec::new();
    man.render_extra_section(&mut end)?;
    man.render_version_section(&mut end)?;
    page.extend(end);
    Ok(String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH EXAMPLES AND EXIT CODES\n"))
}

/// A command's own page, as sections of the program's: its sections become subsections under its name.
fn subcommand_sections(subcommand: &Command) -> io::Result<String> {
    let name = subcommand.get_name().to_uppercase();
    let man = Man::new(subcommand.clone());
    let mut sections = Vec::new();
    man.render_description_section(&mut sections)?;
    man.render_synopsis_section(&mut sections)?;
    man.render_options_section(&mut sections)?;
    man.render_extra_section(&mut sections)?;
    let sections = String::from_utf8_lossy(&sections).into_owned();
    let sections = sections.replacen(".SH DESCRIPTION\n", &format!(".SH {name}\n"), 1);
    let sections = sections.replace(".SH SYNOPSIS\n", ".SS Synopsis\n").replace(".SH OPTIONS\n", ".SS Options\n");
    Ok(sections.replace(".SH EXTRA\n", ".SS Notes\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_with_its_options_and_the_exit_codes() {
        let page = page().unwrap();
        assert_eq!(page.matches("\n.TH ").count(), 1, "{page}");
        assert_eq!(page.matches(".SH NAME").count(), 1, "{page}");
        for text in [".SH RECORD\n", ".SH DOCTOR\n", "\\-\\-max\\-live", "Exit codes:", ".SS Options"] {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(!page.contains("EXTRA") && !page.contains("\\-\\-shards"), "{page}");
    }
}
