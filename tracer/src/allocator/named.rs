//! Allocators that a user names: pools, collectors and libraries that hand out blocks of their own, most often of what
//! the C library's allocator gave them.
//!
//! They come from presets, from the command line ([`spec`]) and from TOML files ([`file`]); all three say the same: the
//! files to look in, and functions with the places of their arguments.

mod discover;
mod file;
mod presets;
mod spec;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use glob::Pattern;
use heaptide_common::Named;
use heaptide_common::signature::{Argument, Signature};

pub use file::FileError;
pub use presets::preset_names;

use super::discover::Found;

/// Longest name of an allocator or a function, in bytes: no symbol with a longer name is looked at.
const LONGEST_NAME: usize = 256;

/// Most functions of one allocator.
const MOST_FUNCTIONS: usize = 256;

/// An allocator that a user has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAllocator {
    /// What it is called in reports.
    pub name: Arc<str>,
    /// The files that hold its functions.
    pub files: Vec<FilePattern>,
    /// Its functions, each once.
    pub functions: Vec<Function>,
}

/// A function, as its user describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its symbol.
    pub name: Arc<str>,
    /// What a call of it means.
    pub call: Named,
}

/// Which mapped files are meant: a pattern with `*`, `?` and `[…]`, of the whole path when it has a slash, else of the
/// file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern(Pattern);

/// What is wrong with the description of an allocator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamedError {
    /// It is no preset, and nothing else either.
    #[error("there is no preset {0:?}: use one of {presets}, or FILE:FUNCTION(...),...", presets = preset_names())]
    NoPreset(String),
    /// A name that no symbol or report can have.
    #[error("{0:?} is no name: use 1 to {LONGEST_NAME} characters without spaces and control characters")]
    Name(String),
    /// A pattern that is none.
    #[error("{pattern:?} is no pattern of file names: {reason} (use *, ? and [...], as a shell does)")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// No file is named.
    #[error("it names no file: say where its functions are, such as libpool.so*")]
    NoFile,
    /// No function hands out blocks.
    #[error("{0} has no function that allocates: name at least one, such as pool_alloc(size=0)")]
    NoAllocation(String),
    /// More functions than any allocator has.
    #[error("{0} has more than {MOST_FUNCTIONS} functions: split it")]
    TooMany(String),
    /// A function is described twice.
    #[error("{0} is described twice: keep one of the two")]
    Twice(String),
    /// An argument that does not travel in a register.
    #[error("{function}: there is no argument {argument}: the first is 0, and {last} the last one that a probe sees", last = Argument::LAST)]
    Argument {
        /// The function.
        function: String,
        /// The argument's number.
        argument: u64,
    },
    /// One argument for two things.
    #[error("{function}: argument {argument} is used twice: each has one meaning")]
    SameArgument {
        /// The function.
        function: String,
        /// The argument's number.
        argument: u8,
    },
    /// Something on the command line that is not understood.
    #[error(
        "{what} at {rest:?}: write FILE:FUNCTION,... with functions such as alloc(size=0), realloc(block=0,size=1), free(0)"
    )]
    Syntax {
        /// What was expected.
        what: &'static str,
        /// From where on.
        rest: String,
    },
}

/// What is wrong with all the descriptions together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypedError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The allocators of all of them.
    #[error(transparent)]
    Named(#[from] NamedError),
}

impl FromStr for NamedAllocator {
    type Err = NamedError;

    /// As it stands on the command line ([`spec`]).
    fn from_str(text: &str) -> Result<Self, NamedError> {
        spec::parse(text)
    }
}

/// The allocators that a user has named, of which no two have the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedAllocators(Arc<[NamedAllocator]>);

impl NamedAllocators {
    /// All of `allocators`.
    pub fn new(allocators: Vec<NamedAllocator>) -> Result<Self, NamedError> {
        for (index, allocator) in allocators.iter().enumerate() {
            if allocators[..index].iter().any(|other| other.name == allocator.name) {
                return Err(NamedError::Twice(allocator.name.to_string()));
            }
        }
        Ok(Self(allocators.into()))
    }

    /// What was typed, and the files that were named.
    pub fn from_typed(typed: Vec<NamedAllocator>, files: &[PathBuf]) -> Result<Self, TypedError> {
        let mut all = typed;
        for path in files {
            all.extend(file::read(path)?);
        }
        Ok(Self::new(all)?)
    }

    /// Those of which nothing is among what was `found`.
    pub fn missing<'a>(&'a self, found: &'a [Found]) -> impl Iterator<Item = &'a NamedAllocator> {
        let is_found = |name: &Arc<str>| found.iter().any(|found| found.named.as_ref() == Some(name));
        self.0.iter().filter(move |allocator| !is_found(&allocator.name))
    }
}

impl Deref for NamedAllocators {
    type Target = [NamedAllocator];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl NamedAllocator {
    fn new(name: &str, files: Vec<FilePattern>, functions: Vec<Function>) -> Result<Self, NamedError> {
        let name = checked_name(name)?;
        if files.is_empty() {
            return Err(NamedError::NoFile);
        }
        if functions.len() > MOST_FUNCTIONS {
            return Err(NamedError::TooMany(name.to_string()));
        }
        for (index, function) in functions.iter().enumerate() {
            if functions[..index].iter().any(|other| other.name == function.name) {
                return Err(NamedError::Twice(function.name.to_string()));
            }
        }
        if !functions.iter().any(|function| matches!(function.call, Named::Allocate { .. })) {
            return Err(NamedError::NoAllocation(name.to_string()));
        }
        Ok(Self { name, files, functions })
    }

    /// The patterns of its files, for people.
    #[must_use]
    pub fn files_text(&self) -> String {
        self.files.iter().map(|pattern| pattern.0.as_str()).collect::<Vec<_>>().join(" or ")
    }

    fn is_in(&self, path: &Path) -> bool {
        self.files.iter().any(|pattern| pattern.matches(path))
    }
}

impl FilePattern {
    fn new(text: &str) -> Result<Self, NamedError> {
        let refused = |reason| NamedError::Pattern { pattern: text.to_owned(), reason };
        if text.is_empty() {
            return Err(NamedError::NoFile);
        }
        Pattern::new(text).map(Self).map_err(|error| refused(error.msg))
    }

    /// Whether the file at `path` is meant.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        if self.0.as_str().contains('/') {
            return self.0.matches(&path.to_string_lossy());
        }
        path.file_name().is_some_and(|name| self.0.matches(&name.to_string_lossy()))
    }
}

/// What is said of a function, before it is known to make sense.
#[derive(Clone, Copy, Debug, Default)]
struct Arguments {
    size: Option<u64>,
    count: Option<u64>,
    block: Option<u64>,
    result: Option<u64>,
    int: bool,
}

impl Function {
    /// A function that allocates when it has a size, resizes when it has a block as well, and else releases.
    fn new(name: &str, arguments: Arguments) -> Result<Self, NamedError> {
        let name = checked_name(name)?;
        let Arguments { size, count, block, result, int } = arguments;
        let mut used: Vec<u64> = Vec::new();
        let mut argument = |number: Option<u64>| {
            let Some(number) = number else { return Ok(None) };
            let refused = NamedError::Argument { function: name.to_string(), argument: number };
            let argument = u8::try_from(number).ok().and_then(Argument::new).ok_or(refused)?;
            if used.contains(&number) {
                return Err(NamedError::SameArgument { function: name.to_string(), argument: argument.index() });
            }
            used.push(number);
            Ok(Some(argument))
        };
        let (size, count, old, out) = (argument(size)?, argument(count)?, argument(block)?, argument(result)?);
        let call = match (size, old) {
            (Some(size), old) => Named::Allocate { signature: Signature { size, count, old, out }, int },
            (None, Some(block)) => Named::Release(block),
            (None, None) => {
                let what = "expected size= or the number of the argument with the block";
                return Err(NamedError::Syntax { what, rest: name.to_string() });
            }
        };
        Ok(Self { name, call })
    }
}

/// A name as symbols and reports have them.
fn checked_name(name: &str) -> Result<Arc<str>, NamedError> {
    let is_plain = |character: char| !character.is_control() && !character.is_whitespace();
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
        return Err(NamedError::Name(name.to_owned()));
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests;
