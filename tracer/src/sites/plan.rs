//! The choice of a probe's place.

use std::{fmt, ops::Range};

use iced_x86::{Formatter, GasFormatter, Instruction};

use super::{
    Class, Code, Prices,
    flow::{Flow, Unknown},
    path::{Place, path},
};

/// Longest function that is looked at, in bytes.
const LONGEST_FUNCTION: u64 = 1 << 20;

/// A place must be cheaper than the function's begin by more than what a measurement can be wrong.
const WORTH_IT: f64 = 0.9;

/// What a probe has to find at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The arguments that are read, counted from 0.
    pub arguments: &'a [u8],
    /// Whether they are read from the registers of the calling convention, wherever the probe is.
    pub is_fixed: bool,
    /// Whether the return is probed at the same place: then the stack pointer must still lead to the return address.
    pub is_returning: bool,
    /// The argument with the block, where a call without one means nothing.
    pub block: Option<u8>,
}

/// Where a probe goes, and what it finds there.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Bytes from the function's begin.
    pub at: u64,
    /// Bytes of the instruction; 0 when it is not known.
    pub length: u64,
    /// The instruction, as disassemblers write it.
    pub instruction: String,
    /// Its kind.
    pub class: Class,
    /// The register that holds each of [`Needs::arguments`], by its number in instructions.
    pub registers: Vec<u8>,
    /// Bytes pushed between the entry and here.
    pub depth: u32,
    /// Whether calls without a block do not come here.
    pub skips_null: bool,
    /// Why it is at the function's begin, if a cheaper place was looked for and could not be had.
    pub fallback: Option<Fallback>,
}

/// Why a probe stays at a function's begin though the kernel steps over its instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// No instruction of a cheaper kind comes before calls part ways.
    NoCheaper,
    /// The arguments are not at hand any more, or the stack has moved.
    OutOfReach,
    /// The place can be reached in another way.
    SeveralWays,
    /// The function computes where it jumps.
    ComputedJump,
    /// The code cannot be followed to its ends.
    TooLarge,
    /// The code cannot be read as instructions.
    Unreadable,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCheaper => "no cheaper instruction that all calls pass",
            Self::OutOfReach => "the cheaper ones come after the arguments or the stack have moved",
            Self::SeveralWays => "the cheaper ones can be reached in another way",
            Self::ComputedJump => "the function computes where it jumps",
            Self::TooLarge => "too much code to be followed",
            Self::Unreadable => "its code cannot be read",
        })
    }
}

/// The place for the probe of a function that begins at `entry` and has `room` bytes until the next one begins.
#[must_use]
pub fn plan(code: &(impl Code + ?Sized), entry: u64, room: u64, needs: Needs<'_>, prices: &Prices) -> Plan {
    let whole = entry..entry.saturating_add(room.min(LONGEST_FUNCTION));
    let places = path(code, &whole, needs.block);
    let Some(first) = places.first() else { return at_entry(None, needs, Some(Fallback::Unreadable)) };
    let price = |place: &Place| prices.of(Class::of(&place.instruction));
    // Prices of instructions that are stepped over differ by nothing but the measurement.
    let is_emulated = |place: &Place| prices.is_emulated(Class::of(&place.instruction));
    // What skips calls is as good as cheaper.
    let limit =
        |place: &Place| if place.skips_null { price(first) * (2.0 - WORTH_IT) } else { price(first) * WORTH_IT };
    let mut cheaper: Vec<(usize, &Place)> = places
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, place)| is_emulated(place) && price(place) < limit(place))
        .collect();
    if cheaper.is_empty() {
        let fallback = (!prices.is_emulated(Class::of(&first.instruction))).then_some(Fallback::NoCheaper);
        return at_entry(Some(first), needs, fallback);
    }
    cheaper.retain(|(_, place)| is_within_reach(place, needs));
    // The cheapest; of those that cost about the same, one that skips calls, and the first.
    cheaper.sort_by(|(_, one), (_, other)| rank(one, price(one)).total_cmp(&rank(other, price(other))));
    let Some(&(last, _)) = cheaper.iter().max_by_key(|(index, _)| index) else {
        return at_entry(Some(first), needs, stepped(first, prices, Fallback::OutOfReach));
    };
    let head = head(&places[..=last]);
    let flow = Flow::follow(code, entry, &head, &whole);
    if let Some(unknown) = flow.unknown {
        let reason = match unknown {
            Unknown::Computed => Fallback::ComputedJump,
            Unknown::Large => Fallback::TooLarge,
        };
        return at_entry(Some(first), needs, stepped(first, prices, reason));
    }
    let is_proven = |index: usize| {
        places[..=index].windows(2).all(|pair| flow.is_only_way(pair[0].instruction.ip(), pair[1].instruction.ip()))
    };
    match cheaper.into_iter().find(|&(index, _)| is_proven(index)) {
        Some((_, place)) => at_place(place, entry, needs, None),
        None => at_entry(Some(first), needs, stepped(first, prices, Fallback::SeveralWays)),
    }
}

/// Prices that differ by less than a tenth are told apart by what they skip, not by what the measurement happened to say.
fn rank(place: &Place, price: f64) -> f64 {
    let steps = (price.ln() / 0.1_f64.ln_1p()).round();
    if place.skips_null { steps - 1.5 } else { steps }
}

/// A reason is only due where the begin is expensive.
fn stepped(first: &Place, prices: &Prices, reason: Fallback) -> Option<Fallback> {
    (!prices.is_emulated(Class::of(&first.instruction))).then_some(reason)
}

fn is_within_reach(place: &Place, needs: Needs<'_>) -> bool {
    let is_there = |&argument: &u8| {
        if needs.is_fixed {
            place.arguments.is_unmoved(argument)
        } else {
            place.arguments.register_of(argument).is_some()
        }
    };
    let is_stack_right = place.arguments.depth().is_some_and(|depth| !needs.is_returning || depth == 0);
    is_stack_right && needs.arguments.iter().all(is_there)
}

/// From the first instruction to the last, wherever the path goes between.
fn head(places: &[Place]) -> Range<u64> {
    let begin = places.iter().map(|place| place.instruction.ip()).min().unwrap_or_default();
    let end = places.iter().map(|place| place.instruction.next_ip()).max().unwrap_or_default();
    begin..end
}

impl Plan {
    /// The function's begin, without a look at what is there.
    pub(super) fn at_unread_entry(needs: Needs<'_>) -> Self {
        at_entry(None, needs, Some(Fallback::OutOfReach))
    }
}

fn at_place(place: &Place, entry: u64, needs: Needs<'_>, fallback: Option<Fallback>) -> Plan {
    let registers = needs.arguments.iter().filter_map(|&argument| place.arguments.register_of(argument));
    Plan {
        at: place.instruction.ip() - entry,
        length: place.instruction.len() as u64,
        instruction: text(&place.instruction),
        class: Class::of(&place.instruction),
        registers: registers.collect(),
        depth: place.arguments.depth().unwrap_or_default(),
        skips_null: place.skips_null,
        fallback,
    }
}

fn at_entry(first: Option<&Place>, needs: Needs<'_>, fallback: Option<Fallback>) -> Plan {
    match first {
        Some(first) => at_place(first, first.instruction.ip(), needs, fallback),
        None => Plan {
            at: 0,
            length: 0,
            instruction: "(unknown)".to_owned(),
            class: Class::Other,
            registers: needs.arguments.iter().filter_map(|&argument| entry_register(argument)).collect(),
            depth: 0,
            skips_null: false,
            fallback,
        },
    }
}

/// The register that holds an argument at a function's begin.
#[must_use]
pub(super) fn entry_register(argument: u8) -> Option<u8> {
    super::arguments::Arguments::at_entry().register_of(argument)
}

pub(super) fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_show_branch_size(false);
    options.set_branch_leading_zeros(false);
    options.set_uppercase_hex(false);
    formatter.format(instruction, &mut text);
    text
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
