//! `heaptide man`: one manual page for the program and all its commands.

use std::io;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::Args;
use crate::cli::output;

/// Writes the page to standard output.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    output::show(&page()?)?;
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
    Ok(as_it_stands(&String::from_utf8_lossy(&page), ".SH \"EXAMPLES AND EXIT CODES\"\n"))
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
    Ok(as_it_stands(&sections, ".SS Notes\n"))
}

/// Gives the section of examples its title, and keeps its lines and columns as they are.
fn as_it_stands(page: &str, title: &str) -> String {
    let Some((before, after)) = page.split_once(".SH EXTRA\n") else { return page.to_owned() };
    let (text, rest) =
        after.split_once(".SH ").map_or((after, String::new()), |(text, rest)| (text, format!(".SH {rest}")));
    format!("{before}{title}.nf\n{}.fi\n{rest}", text.replace("\n.br\n", "\n"))
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
