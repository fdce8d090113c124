//! What the programs write: see `unwind_programs/capture.c`.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use heaptide::unwind::reference::{Process, Registers};
use heaptide::unwind::{Rule, Table};

/// One stack.
#[derive(Debug)]
pub struct Capture {
    /// At the entry of `capture`.
    pub registers: Registers,
    /// The return addresses that `backtrace()` gave, leaf first.
    pub frames: Vec<u64>,
    memory: Vec<(u64, Vec<u8>)>,
}

/// An executable mapping of the program.
struct Mapping {
    start: u64,
    end: u64,
    name: String,
    bias: u64,
    table: Table,
}

/// A running program and its mappings.
pub struct Captures {
    child: Child,
    output: BufReader<ChildStdout>,
    mappings: Vec<Mapping>,
}

impl Captures {
    /// Starts `program`, which captures `count` stacks.
    pub fn start(program: &Path, count: usize) -> Self {
        let mut child = Command::new(program).arg(count.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let length = number(&mut output).unwrap();
        let maps = String::from_utf8(bytes(&mut output, length)).unwrap();
        let mappings = maps.lines().filter_map(mapping).collect();
        Self { child, output, mappings }
    }

    /// The next stack; `None` when the program has ended well.
    pub fn next(&mut self) -> Option<Capture> {
        let Some(sp) = number(&mut self.output) else {
            assert!(self.child.wait().unwrap().success());
            return None;
        };
        let mut next = || number(&mut self.output).unwrap();
        let (bp, frames, regions) = (next(), next(), next());
        let frames = (0..frames).map(|_| next()).collect();
        let memory = (0..regions).map(|_| {
            let (address, length) = (number(&mut self.output).unwrap(), number(&mut self.output).unwrap());
            (address, bytes(&mut self.output, length))
        });
        Some(Capture { registers: Registers { pc: 0, sp, bp }, frames, memory: memory.collect() })
    }

    /// The process as it was at `capture`.
    pub fn at<'a>(&'a self, capture: &'a Capture) -> impl Process + 'a {
        Then { captures: self, capture }
    }

    /// The module of `address`, and the offset from its base.
    pub fn name(&self, address: u64) -> String {
        self.find(address).map_or_else(
            || format!("{address:#x}"),
            |found| format!("{}+{:#x}", found.name, address.wrapping_sub(found.bias).wrapping_add(found.table.base())),
        )
    }

    fn find(&self, address: u64) -> Option<&Mapping> {
        self.mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&address))
    }
}

impl Drop for Captures {
    fn drop(&mut self) {
        // Both fail when it has ended and was waited for: as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Then<'a> {
    captures: &'a Captures,
    capture: &'a Capture,
}

impl Process for Then<'_> {
    fn rule(&self, address: u64) -> Rule {
        self.captures.find(address).map_or(Rule::NO_CFI, |mapping| {
            u32::try_from(address.wrapping_sub(mapping.bias)).map_or(Rule::NO_CFI, |pc| mapping.table.find(pc).rule)
        })
    }

    fn word(&self, address: u64) -> Option<u64> {
        self.capture.memory.iter().find_map(|(start, bytes)| {
            let first = usize::try_from(address.checked_sub(*start)?).ok()?;
            let word = bytes.get(first..first.checked_add(8)?)?;
            Some(u64::from_ne_bytes(word.try_into().ok()?))
        })
    }
}

fn mapping(line: &str) -> Option<Mapping> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [range, permissions, offset, _, _, path] = fields[..] else { return None };
    if !permissions.contains('x') || !path.starts_with('/') {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    let (start, end) = range.split_once('-').unwrap();
    let table = Table::build(&File::open(path).unwrap()).unwrap();
    let bias = table.bias(hex(start), hex(offset)).unwrap();
    let name = path.rsplit('/').next().unwrap().to_owned();
    Some(Mapping { start: hex(start), end: hex(end), name, bias, table })
}

fn number(input: &mut impl Read) -> Option<u64> {
    let mut bytes = [0; 8];
    match input.read_exact(&mut bytes) {
        Ok(()) => Some(u64::from_ne_bytes(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
        Err(error) => panic!("{error}"),
    }
}

fn bytes(input: &mut impl Read, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes).unwrap();
    bytes
}
