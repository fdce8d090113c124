//! Descriptions of allocators in TOML.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{Arguments, FilePattern, Function, NamedAllocator, NamedError, presets::preset_in};
use crate::process::target::printable;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What is wrong with a file of allocators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("cannot read {}: {reason}", printable(&path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
    },
    /// It is not understood.
    #[error("{} line {line}: {reason}", printable(&path.to_string_lossy()))]
    Content {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// What is wrong, and from which byte on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    at: usize,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    allocator: Vec<Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: Option<String>,
    preset: Option<String>,
    file: Option<Files>,
    #[serde(default)]
    allocate: Vec<Spanned<Allocate>>,
    #[serde(default)]
    resize: Vec<Spanned<Resize>>,
    #[serde(default)]
    release: Vec<Spanned<Release>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a pattern of file names, or a list of them")]
enum Files {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allocate {
    name: String,
    size: u64,
    count: Option<u64>,
    result: Option<u64>,
    #[serde(default)]
    int: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resize {
    name: String,
    block: u64,
    size: u64,
    count: Option<u64>,
    #[serde(default)]
    int: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    name: String,
    #[serde(default)]
    block: u64,
}

/// The allocators that the file at `path` describes.
pub(super) fn read(path: &Path) -> Result<Vec<NamedAllocator>, FileError> {
    let refused = |reason| FileError::Read { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| refused(error.to_string()))?;
    let length = file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
    if length as u64 > LARGEST {
        return Err(refused(format!("it is larger than {LARGEST} bytes")));
    }
    parse(&text).map_err(|Fault { at, reason }| {
        let line = 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        FileError::Content { path: path.to_owned(), line, reason }
    })
}

/// The allocators of a text.
pub(super) fn parse(text: &str) -> Result<Vec<NamedAllocator>, Fault> {
    let document: Document = toml::from_str(text).map_err(|error| Fault {
        at: error.span().map_or(0, |span| span.start),
        // Where it is, is told by the line alone.
        reason: error.message().lines().map(str::trim).collect::<Vec<_>>().join("; "),
    })?;
    if document.allocator.is_empty() {
        let reason = "it describes no allocator: write [[allocator]], and beneath it name, file and allocate";
        return Err(Fault { at: 0, reason: reason.to_owned() });
    }
    document.allocator.into_iter().map(allocator).collect()
}

fn allocator(table: Spanned<Table>) -> Result<NamedAllocator, Fault> {
    let at = table.span().start;
    let fault = |error: NamedError| Fault { at, reason: error.to_string() };
    let Table { name, preset, file, allocate, resize, release } = table.into_inner();
    let texts = match file {
        None => Vec::new(),
        Some(Files::One(one)) => vec![one],
        Some(Files::Several(several)) => several,
    };
    let files = texts.iter().map(|text| FilePattern::new(text)).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    let allocates = allocate.into_iter().map(|spanned| {
        let at = spanned.span().start;
        let Allocate { name, size, count, result, int } = spanned.into_inner();
        (at, name, Arguments { size: Some(size), count, block: None, result, int })
    });
    let resizes = resize.into_iter().map(|spanned| {
        let at = spanned.span().start;
        let Resize { name, block, size, count, int } = spanned.into_inner();
        (at, name, Arguments { size: Some(size), count, block: Some(block), result: None, int })
    });
    let releases = release.into_iter().map(|spanned| {
        let at = spanned.span().start;
        let Release { name, block } = spanned.into_inner();
        (at, name, Arguments { block: Some(block), ..Arguments::default() })
    });
    let described = allocates.chain(resizes).chain(releases);
    let function = |(at, name, arguments): (usize, String, Arguments)| {
        Function::new(&name, arguments).map_err(|error| Fault { at, reason: error.to_string() })
    };
    let functions = described.map(function).collect::<Result<Vec<_>, _>>()?;
    match (name, preset) {
        (name, Some(preset)) if functions.is_empty() => {
            let preset = preset_in(&preset, files).map_err(fault)?;
            let name = name.unwrap_or_else(|| preset.name.to_string());
            NamedAllocator::new(&name, preset.files, preset.functions).map_err(fault)
        }
        (Some(name), None) => NamedAllocator::new(&name, files, functions).map_err(fault),
        (_, Some(_)) => Err(Fault { at, reason: "a preset has its own functions: leave them out".to_owned() }),
        (None, None) => Err(Fault { at, reason: "the allocator has no name: write name = \"...\"".to_owned() }),
    }
}
