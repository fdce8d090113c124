//! A program with 10,000 ways to its allocations, each of them taken once.
//!
//! `main` calls itself down to a usual depth, then one of 10 functions, which call one of 10 others, which call one of
//! 100 leaves, each with an allocation of its own. All of it is code with debug information.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// How many distinct stacks there are.
pub(crate) const COUNT: u64 = (TRUNKS * BRANCHES * LEAVES) as u64;

/// How the names of the functions that allocate begin.
pub(crate) const LEAF: &str = "leaf_";

const TRUNKS: usize = 10;
const BRANCHES: usize = 10;
const LEAVES: usize = 100;

/// Frames between `main` and the first choice.
const DEPTH: usize = 12;

/// Every function must keep a frame of its own, and frames must be walkable.
const FLAGS: [&str; 8] = [
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fno-inline",
    "-fno-ipa-icf",
    "-fno-builtin",
    "-Wall",
];

/// Builds the program in `folder`.
pub(crate) fn program(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (text, program) = (folder.join("stacks.c"), folder.join("stacks"));
    fs::write(&text, source()?).with_context(|| format!("cannot write {}", text.display()))?;
    process::run(Command::new("gcc").args(FLAGS).arg("-o").arg(&program).arg(&text))?;
    Ok(program)
}

/// Its source.
fn source() -> Result<String, fmt::Error> {
    let mut text = String::from("#include <stdlib.h>\n#include <unistd.h>\n\nvoid *kept;\n");
    for leaf in 0..LEAVES {
        write!(text, "\nstatic void {LEAF}{leaf}(void) {{\n    kept = malloc({});\n}}\n", 16 + leaf)?;
    }
    choices(&mut text, "branch", BRANCHES, "leaf", LEAVES)?;
    choices(&mut text, "trunk", TRUNKS, "branch", BRANCHES)?;
    choices(&mut text, "root", 1, "trunk", TRUNKS)?;
    write!(
        text,
        "
static void descend(int depth) {{
    if (depth > 0) descend(depth - 1);
    else for (int way = 0; way < {COUNT}; way++) root_0(way);
}}

static void say(const char *line, size_t length) {{
    if (write(1, line, length) != (ssize_t)length) exit(1);
}}

int main(void) {{
    char byte;
    say(\"ready\\n\", 6);
    if (read(0, &byte, 1) != 1) return 1;
    descend({DEPTH});
    say(\"done\\n\", 5);
    while (read(0, &byte, 1) == 1) {{}}
    return 0;
}}
"
    )?;
    Ok(text)
}

/// `count` functions, each of which calls one of the functions of the next level: that which the lowest digit of `way`
/// names.
fn choices(text: &mut String, name: &str, count: usize, next: &str, next_count: usize) -> fmt::Result {
    for index in 0..count {
        write!(text, "\nstatic void {name}_{index}(int way) {{\n    switch (way % {next_count}) {{\n")?;
        for choice in 0..next_count {
            let argument = if next == "leaf" { String::new() } else { format!("way / {next_count}") };
            writeln!(text, "    case {choice}: {next}_{choice}({argument}); break;")?;
        }
        text.push_str("    }\n}\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_a_call_of_its_own() {
        let source = source().unwrap();
        assert_eq!(source.matches("    case ").count(), TRUNKS * BRANCHES + BRANCHES * LEAVES + TRUNKS);
        assert_eq!(source.matches("kept = malloc(").count(), LEAVES);
    }
}
