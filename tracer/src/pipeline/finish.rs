//! Stacks that the kernel part could not follow to their end, because a file had no table yet or mappings were being
//! changed: it sends the registers and a copy of the stack, and the walk goes on here.

use std::cell::RefCell;

use heaptide_common::{
    stack::MAX_FRAMES,
    unwind::{File, Outcome, Rule},
};

use super::tables::TableStore;
use crate::{
    live::Remains,
    process::{Mapping, Mappings},
    unwind::reference::{End, Process, unwind},
};

/// What became of such a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Whose it is.
    pub pid: u32,
    /// The stack's id.
    pub id: u64,
    /// The frames beyond those that the kernel part has sent.
    pub frames: Vec<u64>,
    /// How the kernel part's walk ended.
    pub before: Outcome,
    /// How it ends now; as before, when nobody can tell.
    pub outcome: Outcome,
}

/// Goes on with a walk in a process with these mappings.
pub(super) fn finish(remains: &Remains, mappings: &Mappings, tables: &mut TableStore) -> Finished {
    let unchanged = Finished {
        pid: remains.pid,
        id: remains.id,
        frames: Vec::new(),
        before: remains.outcome,
        outcome: remains.outcome,
    };
    let first = remains.registers.pc.wrapping_sub(u64::from(remains.returns));
    let is_there = |file: &File| mappings.find(first).is_some_and(|mapping| mapping.file.key() == *file);
    if !remains.file.as_ref().is_none_or(is_there) {
        // By now another file is mapped there.
        return unchanged;
    }
    let copied = Copied { remains, mappings, tables: RefCell::new(tables) };
    let unwound = unwind(&copied, remains.registers, remains.returns, MAX_FRAMES);
    let outcome = match unwound.end {
        End::Bottom | End::Zero if unwound.guessed > 0 || remains.guessed => Outcome::Guessed,
        End::Bottom | End::Zero => Outcome::Complete,
        End::TooDeep => Outcome::TooDeep,
        // The copy has an end, and so has what is known of mappings: this says nothing of the stack.
        End::NotExpressible | End::Unreadable | End::NoProgress | End::NoFrame => remains.outcome,
    };
    // The frame that it begins with was sent.
    let mut frames = unwound.frames.get(1..).unwrap_or_default().to_vec();
    if outcome == remains.outcome {
        // The last one may be an address of no code.
        frames.truncate(frames.iter().take_while(|&&frame| copied.mapping(frame.wrapping_sub(1)).is_some()).count());
    }
    Finished { frames, outcome, ..unchanged }
}

/// The process as it was at that moment.
struct Copied<'a> {
    remains: &'a Remains,
    mappings: &'a Mappings,
    tables: RefCell<&'a mut TableStore>,
}

impl Copied<'_> {
    fn mapping(&self, address: u64) -> Option<&Mapping> {
        self.mappings.find(address).filter(|mapping| mapping.executable)
    }
}

impl Process for Copied<'_> {
    fn rule(&self, address: u64) -> Rule {
        // Where no file is known to be there may be code made at run time, or one that came and went: no guess.
        let Some(mapping) = self.mapping(address) else {
            return Rule::NOT_EXPRESSIBLE;
        };
        let mut tables = self.tables.borrow_mut();
        let file = mapping.file.key();
        // The vDSO is mapped from no place in a file.
        let place = mapping.file_offset(address);
        tables.add(file, &mapping.file);
        tables.rule(&file, place).unwrap_or(Rule::NOT_EXPRESSIBLE)
    }

    fn word(&self, address: u64) -> Option<u64> {
        let held = self.remains.held.iter().find(|[place, _]| *place == address && address != 0);
        if let Some([_, held]) = held {
            return Some(*held);
        }
        let place = usize::try_from(address.checked_sub(self.remains.base)?).ok()?;
        let bytes = self.remains.memory.get(place..place.checked_add(size_of::<u64>())?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}
