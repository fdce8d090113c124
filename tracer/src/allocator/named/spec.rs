//! Descriptions of allocators on the command line:
//!
//! ```text
//! SPEC      PRESET | [NAME=]FILES:PRESET | [NAME=]FILES:FUNCTION,FUNCTION...
//! FILES     PATTERN|PATTERN...
//! FUNCTION  alloc(size=N)  alloc(size=N*M)->ret  alloc(size=N:int)->*K  realloc(block=K,size=N)  free(K)
//! ```

use super::presets::{preset, preset_in};
use super::{Arguments, FilePattern, Function, NamedAllocator, NamedError};

/// The allocator that `text` describes.
pub(super) fn parse(text: &str) -> Result<NamedAllocator, NamedError> {
    let Some((files, body)) = text.split_once(':') else { return preset(text) };
    let (name, files) = match files.split_once('=') {
        Some((name, files)) => (Some(name), files),
        None => (None, files),
    };
    let patterns = files.split('|').map(FilePattern::new).collect::<Result<Vec<_>, _>>()?;
    if !body.contains('(') {
        let preset = preset_in(body, patterns)?;
        let name = name.unwrap_or(&preset.name);
        return NamedAllocator::new(name, preset.files.clone(), preset.functions.clone());
    }
    let functions = Reader(body).functions()?;
    NamedAllocator::new(name.unwrap_or_else(|| name_of(files)), patterns, functions)
}

/// A name for who did not choose one: `pool` for `*/libpool.so*`.
fn name_of(files: &str) -> &str {
    let first = files.split('|').next().unwrap_or(files);
    let file = first.rsplit('/').next().unwrap_or(first);
    let stem = file.split(['.', '*', '?', '[']).next().unwrap_or(file);
    let name = stem.strip_prefix("lib").filter(|name| !name.is_empty()).unwrap_or(stem);
    if name.is_empty() { files } else { name }
}

/// What is left to be read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn functions(mut self) -> Result<Vec<Function>, NamedError> {
        let mut functions = vec![self.function()?];
        while !self.0.is_empty() {
            self.expect(",", "expected a comma and the next function")?;
            functions.push(self.function()?);
        }
        Ok(functions)
    }

    fn function(&mut self) -> Result<Function, NamedError> {
        let end = self.0.find('(').ok_or_else(|| self.fault("expected a function"))?;
        let name = self.take(end).trim();
        if name.contains([',', ')', '=']) {
            return Err(NamedError::Name(name.to_owned()));
        }
        self.expect("(", "expected (")?;
        let mut arguments = Arguments::default();
        loop {
            self.argument(&mut arguments)?;
            if self.accept(")") {
                break;
            }
            self.expect(",", "expected , or )")?;
        }
        if self.accept("->") && !self.accept("ret") {
            self.expect("*", "expected ret, or * and the number of the argument with the result's address")?;
            arguments.result = Some(self.number()?);
        }
        if arguments.size.is_none() && arguments.result.is_some() {
            return Err(self.fault("a function with a result needs size="));
        }
        Function::new(name, arguments)
    }

    /// `size=N`, `size=N*M`, either with `:int`; `block=N` or a bare number.
    fn argument(&mut self, arguments: &mut Arguments) -> Result<(), NamedError> {
        let before = self.0;
        let is_twice = if self.accept("size=") {
            let is_twice = arguments.size.replace(self.number()?).is_some();
            if self.accept("*") {
                arguments.count = Some(self.number()?);
            }
            arguments.int = self.accept(":int");
            is_twice
        } else {
            let _ = self.accept("block=");
            arguments.block.replace(self.number()?).is_some()
        };
        if is_twice {
            return Err(NamedError::Syntax { what: "each argument is told once", rest: before.to_owned() });
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u64, NamedError> {
        let text = self.0.trim_start();
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let number =
            text[..end].parse().map_err(|_| self.fault("expected size=N, block=N or N, N an argument's number"));
        self.0 = &text[end..];
        number
    }

    fn accept(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, word: &str, what: &'static str) -> Result<(), NamedError> {
        if self.accept(word) { Ok(()) } else { Err(self.fault(what)) }
    }

    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn fault(&self, what: &'static str) -> NamedError {
        NamedError::Syntax { what, rest: self.0.to_owned() }
    }
}
