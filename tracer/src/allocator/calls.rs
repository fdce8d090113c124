//! Which functions of an allocator only lead to another one.
//!
//! `operator delete` of most programs is a jump to `free`, and a block that both tell of would be freed twice. What is
//! proven to end in another probed function on every way through it need not be probed; what cannot be proven is kept.

use std::cell::Cell;
use std::sync::Arc;

use iced_x86::{Code as Opcode, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};
use rustc_hash::{FxHashMap, FxHashSet};

use super::elf::Elf;
use super::family::Kind;
use super::functions::meaning;
use super::symbol_table::SymbolTable;

/// Bytes of code that are read at once.
const PIECE: usize = 128;
/// Most instructions that are followed for one function.
const MOST_INSTRUCTIONS: u32 = 4096;
/// Most pieces of code that are read of one file.
const MOST_IN_FILE: u32 = 1 << 18;
/// How deep calls are followed. In programs that were not optimized, Rust's functions go through five others.
const MOST_DEPTH: u32 = 8;

/// Most instructions by which one function returns.
const MOST_RETURNS: usize = 64;

/// Functions that do not return: a way that ends there hands out nothing.
const ENDINGS: [&str; 10] = [
    "abort",
    "exit",
    "_exit",
    "__stack_chk_fail",
    "__cxa_throw",
    "__cxa_rethrow",
    "_Unwind_Resume",
    "_ZSt9terminatev",
    "_ZSt17__throw_bad_allocv",
    "__cxa_throw_bad_array_new_length",
];

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Code of the same file (svma).
    Here(u64),
    /// A function by its name, wherever the loader finds it.
    Named(Arc<str>),
}

/// The code of a file.
pub(super) struct Calls<'a> {
    elf: &'a Elf<'a>,
    tables: &'a [SymbolTable],
    imports: FxHashMap<u64, Arc<str>>,
    /// How many pieces of code may still be read.
    budget: Cell<u32>,
}

/// What is asked of a function, and how much may still be done to answer.
struct Search<'a> {
    is_known: &'a dyn Fn(&Target) -> bool,
    budget: u32,
    seen: FxHashSet<u64>,
    found: bool,
}

impl<'a> Calls<'a> {
    /// The code of a file, and the names behind which it calls others.
    pub(super) fn read(elf: &'a Elf<'a>, tables: &'a [SymbolTable]) -> Self {
        let imports = elf.imports(|_| true).unwrap_or_else(|error| {
            log::debug!("whom its code calls is not known: {error}");
            Vec::new()
        });
        Self { elf, tables, imports: imports.into_iter().collect(), budget: Cell::new(MOST_IN_FILE) }
    }

    /// Where the function at `address` jumps to at once, with everything as it was given.
    pub(super) fn jump(&self, address: u64) -> Option<Target> {
        let bytes = self.bytes(address)?;
        let instruction = decode(&bytes, address).find(|instruction| !is_nothing(instruction))?;
        self.unconditional(&instruction)
    }

    /// Whether every way through the function at `begin`, which ends before `end`, leads through one that `is_known`. A
    /// way on which the first argument is nothing need not.
    pub(super) fn always_calls(&self, begin: u64, end: u64, is_known: &dyn Fn(&Target) -> bool) -> bool {
        let mut search = Search { is_known, budget: MOST_INSTRUCTIONS, seen: FxHashSet::default(), found: false };
        self.every_way(begin, end, MOST_DEPTH, &mut search) && search.found
    }

    /// The instructions by which the function at `begin`, which ends before `end`, returns, also out of code that it jumps
    /// to. `None` when a way out of it is not understood.
    pub(super) fn returns(&self, begin: u64, end: u64) -> Option<Vec<u64>> {
        let (mut ways, mut seen, mut budget) = (vec![begin], FxHashSet::default(), MOST_INSTRUCTIONS);
        let mut returns = Vec::new();
        while let Some(mut address) = ways.pop() {
            while seen.insert(address) && (address != end || address == begin) {
                budget = budget.checked_sub(1)?;
                let bytes = self.bytes(address)?;
                let instruction = decode(&bytes, address).next().filter(|instruction| !instruction.is_invalid())?;
                let target = self.unconditional(&instruction);
                let ends = matches!(&target, Some(Target::Named(name)) if ENDINGS.contains(&&**name));
                address = instruction.next_ip();
                match instruction.flow_control() {
                    FlowControl::Next => {}
                    FlowControl::Call | FlowControl::IndirectCall if !ends => {}
                    FlowControl::ConditionalBranch => ways.push(instruction.near_branch_target()),
                    FlowControl::Return => {
                        returns.push(instruction.ip());
                        break;
                    }
                    FlowControl::Exception | FlowControl::Interrupt => break,
                    _ if ends => break,
                    FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => match target? {
                        Target::Here(other) => address = other,
                        // The return of another function that is probed is this one's as well.
                        Target::Named(name) if is_allocating(&name) => break,
                        Target::Named(name) => address = self.defined(&name)?,
                    },
                    _ => return None,
                }
            }
        }
        (returns.len() <= MOST_RETURNS).then_some(returns)
    }

    /// Where the file itself defines a function that it calls by name.
    fn defined(&self, name: &str) -> Option<u64> {
        let mut symbols = self.tables.iter().flat_map(|table| table.symbols(|other| other == name));
        symbols.find(|symbol| symbol.is_function).map(|symbol| symbol.address)
    }

    fn every_way(&self, begin: u64, end: u64, depth: u32, search: &mut Search<'_>) -> bool {
        let mut ways = vec![begin];
        let mut tests_argument = false;
        while let Some(mut address) = ways.pop() {
            'way: while search.seen.insert(address) {
                let Some(bytes) = self.bytes(address) else { return false };
                let mut decoded = 0;
                for instruction in decode(&bytes, address) {
                    if instruction.ip() == end && instruction.ip() != begin {
                        break 'way; // behind a call that does not return
                    }
                    let Some(budget) = search.budget.checked_sub(1) else { return false };
                    search.budget = budget;
                    if instruction.is_invalid() {
                        if decoded == 0 {
                            return false;
                        }
                        continue 'way; // cut off at the end of the piece
                    }
                    decoded += 1;
                    match self.step(&instruction, tests_argument, depth, search) {
                        Step::On => {}
                        Step::Fork(other) => ways.push(other),
                        Step::To(other) => {
                            address = other;
                            continue 'way;
                        }
                        Step::Over => break 'way,
                        Step::Missed => return false,
                    }
                    tests_argument = is_test_of_first_argument(&instruction);
                    address = instruction.next_ip();
                }
            }
        }
        true
    }

    fn step(&self, instruction: &Instruction, tests_argument: bool, depth: u32, search: &mut Search<'_>) -> Step {
        match instruction.flow_control() {
            FlowControl::Next => Step::On,
            FlowControl::Exception | FlowControl::Interrupt => Step::Over,
            FlowControl::Call | FlowControl::IndirectCall => match self.unconditional(instruction) {
                Some(target) => self.called(&target, depth, search),
                None => Step::On,
            },
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => match self.unconditional(instruction) {
                Some(target) if self.called(&target, 0, search) == Step::Over => Step::Over,
                Some(Target::Here(address)) => Step::To(address),
                _ => Step::Missed,
            },
            FlowControl::ConditionalBranch if tests_argument && is_zero_jump(instruction) => Step::On,
            FlowControl::ConditionalBranch => Step::Fork(instruction.near_branch_target()),
            _ => Step::Missed,
        }
    }

    fn called(&self, target: &Target, depth: u32, search: &mut Search<'_>) -> Step {
        if (search.is_known)(target) {
            search.found = true;
            return Step::Over;
        }
        match target {
            Target::Named(name) if ENDINGS.contains(&&**name) => Step::Over,
            Target::Here(address) if depth > 0 => {
                let found = search.found;
                // What it leads to is asked by itself: two calls of one function are two ways.
                let seen = std::mem::take(&mut search.seen);
                search.found = false;
                let leads = self.every_way(*address, u64::MAX, depth - 1, search) && search.found;
                search.seen = seen;
                search.found = found || leads;
                if leads { Step::Over } else { Step::On }
            }
            _ => Step::On,
        }
    }

    /// Where a call or jump leads that does not depend on anything.
    fn unconditional(&self, instruction: &Instruction) -> Option<Target> {
        let target = match instruction.flow_control() {
            FlowControl::Call | FlowControl::UnconditionalBranch if is_near(instruction) => {
                instruction.near_branch_target()
            }
            FlowControl::IndirectCall | FlowControl::IndirectBranch if instruction.is_ip_rel_memory_operand() => {
                let slot = instruction.ip_rel_memory_address();
                return self.imports.get(&slot).cloned().map(Target::Named);
            }
            _ => return None,
        };
        Some(self.through_stub(target))
    }

    /// What a stub of the procedure linkage table stands for, or the code itself.
    fn through_stub(&self, address: u64) -> Target {
        let stub = || {
            let bytes = self.bytes(address)?;
            let instruction = decode(&bytes, address).find(|instruction| !is_nothing(instruction))?;
            let is_jump = instruction.flow_control() == FlowControl::IndirectBranch;
            let slot = (is_jump && instruction.is_ip_rel_memory_operand()).then(|| instruction.ip_rel_memory_address());
            self.imports.get(&slot?).cloned()
        };
        stub().map_or(Target::Here(address), Target::Named)
    }

    fn bytes(&self, address: u64) -> Option<Vec<u8>> {
        self.budget.set(self.budget.get().checked_sub(1)?);
        // Other machines' code is not understood: nothing is proven there.
        if cfg!(target_arch = "x86_64") { self.elf.code_bytes(address, PIECE) } else { None }
    }
}

fn is_allocating(name: &str) -> bool {
    meaning(name).is_some_and(|meaning| meaning.role.kind() == Some(Kind::Allocates))
}

/// What an instruction does to the way through a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    On,
    Fork(u64),
    To(u64),
    /// The way has led through a function that is known, or does not return.
    Over,
    /// The way leads past all functions that are known, or nobody knows where.
    Missed,
}

fn decode(bytes: &[u8], address: u64) -> impl Iterator<Item = Instruction> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
}

fn is_nothing(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Opcode::Endbr64 | Opcode::Nopd | Opcode::Nopw | Opcode::Nop_rm64 | Opcode::Nop_rm32)
}

fn is_near(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::NearBranch64
}

/// `test %rdi,%rdi`
fn is_test_of_first_argument(instruction: &Instruction) -> bool {
    instruction.code() == Opcode::Test_rm64_r64
        && (instruction.op0_register(), instruction.op1_register()) == (Register::RDI, Register::RDI)
}

fn is_zero_jump(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Opcode::Je_rel8_64 | Opcode::Je_rel32_64)
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
