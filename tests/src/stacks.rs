//! Whether heaptide's stacks are those that libgcc's unwinder saw, frame by frame.
//!
//! A workload has `backtrace()` walk its stack in the very function that calls the allocator next, and says
//!
//! ```text
//! stack MEMORY FRAMES address address ...
//! ```
//!
//! leaf first, addresses in hexadecimal, one line for each allocation. The first addresses differ, since each is that of
//! its own call: the two are the same when they lie in the same function. All others must be equal, as numbers.

mod code;
mod compare;
mod half_made;

pub use code::{Code, Place};
pub use compare::{Equality, same};
pub use half_made::half_made_frames;

use anyhow::{Context, Result, ensure};

/// Frames that heaptide keeps of a stack.
pub const MOST_FRAMES: usize = 256;

/// A stack as libgcc's unwinder saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The kind of memory, as heaptide's JSON calls it. `allocator`: what the allocator took from the kernel at that
    /// call, whose stack has the allocator's own frames in front.
    pub memory: String,
    /// Its addresses, leaf first.
    pub addresses: Vec<u64>,
}

/// Every stack in the lines that a workload said. Other lines are left aside.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Walked>> {
    let walked = lines.into_iter().filter_map(|line| line.strip_prefix("stack ")).map(|line| {
        let mut words = line.split_whitespace();
        let memory = words.next().with_context(|| format!("no kind of memory in {line:?}"))?.to_owned();
        let frames: usize = words.next().and_then(|word| word.parse().ok()).context("no number of frames")?;
        let address = |word| u64::from_str_radix(word, 16).with_context(|| format!("{word:?} is no address"));
        let addresses: Vec<u64> = words.map(address).collect::<Result<_>>()?;
        ensure!(
            addresses.len() == frames && frames > 0,
            "{} addresses, said to be {frames}: {line:?}",
            addresses.len()
        );
        Ok(Walked { memory, addresses })
    });
    let walked: Vec<Walked> = walked.collect::<Result<_>>()?;
    ensure!(!walked.is_empty(), "the workload said nothing of its stacks");
    Ok(walked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_read_and_other_lines_left_aside() {
        let walked = parse(["ready 4", "stack heap 2 10 ff", "done"]).unwrap();
        assert_eq!(walked, [Walked { memory: "heap".to_owned(), addresses: vec![16, 255] }]);
    }

    #[test]
    fn a_line_that_was_cut_is_an_error() {
        assert!(parse(["stack heap 3 10 ff"]).is_err());
    }

    #[test]
    fn a_workload_that_says_no_stack_is_an_error() {
        assert!(parse(["ready 4", "done"]).is_err());
    }
}
