//! Where the frames of a file are half made, so that no stack or frame pointer leads to the caller, as `readelf` reads it.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Addresses (as the file numbers them) of instructions at which a frame is half made or half gone: the caller's frame
/// is found by `r10` alone, or `rbp` by a register that was given back already.
///
/// Functions that realign their stack have a few at their begin and end. No call is made there, so only an interrupt
/// can show them.
pub fn half_made_frames(program: &Path) -> Result<Vec<Range<u64>>> {
    let output = Command::new("readelf").arg("--debug-dump=frames-interp").arg(program).output();
    let output = output.context("cannot run readelf")?;
    ensure!(output.status.success(), "readelf failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// A function is a heading with `pc=start..end`, a line that names the columns, and a line for each row.
fn parse(text: &str) -> Vec<Range<u64>> {
    let number = |word: &str| u64::from_str_radix(word, 16).ok();
    let mut ranges = Vec::new();
    let (mut function_end, mut rbp_column) = (0, None);
    let mut open = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let heading = words.iter().find_map(|word| word.strip_prefix("pc=")?.split_once(".."));
        let row = words.first().copied().and_then(number).filter(|_| heading.is_none() && words.len() > 2);
        // What was open ends with the next row, or with the function.
        if let Some(start) = open.take() {
            ranges.push(start..row.unwrap_or(function_end));
        }
        if let Some((_, end)) = heading {
            (function_end, rbp_column) = (number(end).unwrap_or(0), None);
        } else if words.first() == Some(&"LOC") {
            rbp_column = words.iter().position(|&word| word == "rbp");
        }
        open = row.filter(|_| is_half_made(words[1], rbp_column.and_then(|column| words.get(column)).copied()));
    }
    ranges.extend(open.map(|start| start..function_end));
    ranges
}

fn is_half_made(cfa: &str, rbp: Option<&str>) -> bool {
    cfa.starts_with("r10+") || (cfa.starts_with("rsp+") && rbp == Some("exp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_made_frames_are_found_and_others_are_not() {
        let text = "\
            00000258 0000000000000028 0000022c FDE cie=00000030 pc=00000000000019e0..0000000000001a2a\n   \
               LOC           CFA      rbp   ra\n\
            00000000000019e0 rsp+8    u     c-8\n\
            00000000000019e5 r10+0    u     c-8\n\
            00000000000019fe exp      exp   c-8\n\
            0000000000001a16 r10+0    exp   c-8\n\
            0000000000001a25 rsp+8    exp   c-8\n\
            \n\
            00000284 000000000000001c 00000258 FDE cie=00000030 pc=0000000000001a30..0000000000001a55\n";
        assert_eq!(parse(text), [0x19e5..0x19fe, 0x1a16..0x1a25, 0x1a25..0x1a2a]);
    }
}
