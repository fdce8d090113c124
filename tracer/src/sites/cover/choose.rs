//! The choice of the sites, and the proof that every way passes one.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::ConditionCode;
use rustc_hash::FxHashMap;

use super::{
    Condition, Part, Purpose, Refusal,
    graph::{Graph, Node},
    result::Rest,
};
use crate::sites::{Class, Prices, plan::text};

/// Most hits before a site on the shortest way to it.
const MOST_BEFORE: u32 = 1;

/// What a call can be when it comes to an instruction, one bit each.
mod status {
    /// Nothing was told of it.
    pub(super) const NEW: u8 = 1;
    /// Its begin was told.
    pub(super) const BEGUN: u8 = 2;
    /// Its block was told, or it fails.
    pub(super) const DONE: u8 = 4;
}

struct Choice<'a> {
    graph: &'a Graph,
    rests: &'a BTreeMap<u64, Rest>,
    prices: &'a Prices,
    entry: u64,
    /// The argument with the size.
    size: u8,
    /// Instructions before which nothing may have been told.
    late: BTreeSet<u64>,
    /// The calls at which a call is told to have begun.
    begins: BTreeSet<u64>,
}

/// Chooses the sites of a function that begins at `entry`.
pub(super) fn choose(
    graph: &Graph,
    rests: &BTreeMap<u64, Rest>,
    entry: u64,
    size: u8,
    prices: &Prices,
) -> Result<Vec<Part>, Refusal> {
    let mut choice = Choice { graph, rests, prices, entry, size, late: BTreeSet::new(), begins: BTreeSet::new() };
    choice.begin_calls()?;
    choice.delay();
    choice.delay_misses();
    let parts = choice.parts()?;
    if !parts.iter().any(|part| part.is_alone) {
        return Err(Refusal::NoCheaper);
    }
    choice.count_hits(&parts)?;
    Ok(parts)
}

impl Choice<'_> {
    fn rest(&self, at: u64) -> Option<Rest> {
        self.rests.get(&at).copied()
    }

    /// Whether a way from an instruction can be a site at all: it is one that the kernel emulates, and the block is known.
    fn can_be_site(&self, node: &Node, next: u64) -> bool {
        let class = Class::of(&node.instruction);
        matches!(class, Class::Push | Class::ConditionalJump | Class::Jump | Class::Nop | Class::Nop5 | Class::LongNop)
            && self.prices.is_emulated(class)
            && self.rest(next).is_some_and(|rest| rest.result().is_some())
    }

    fn is_site(&self, node: &Node, next: u64) -> bool {
        self.can_be_site(node, next) && !self.late.contains(&next)
    }

    /// What calls can be at each instruction.
    fn statuses(&self) -> FxHashMap<u64, u8> {
        let mut statuses = FxHashMap::default();
        let mut open = vec![(self.entry, status::NEW)];
        while let Some((at, coming)) = open.pop() {
            let Some(node) = self.graph.get(&at) else { continue };
            let coming = if self.rest(at).is_some_and(Rest::fails) { status::DONE } else { coming };
            let known: &mut u8 = statuses.entry(at).or_default();
            if *known | coming == *known {
                continue;
            }
            *known |= coming;
            let going = if self.begins.contains(&at) { status::BEGUN } else { *known };
            open.extend(node.ways().map(|next| (next, if self.is_site(node, next) { status::DONE } else { going })));
        }
        statuses
    }

    /// Where ways come together of which one has passed a site and the other has not, the site has to come later.
    fn delay(&mut self) {
        loop {
            let statuses = self.statuses();
            let is_open = |at: &u64| statuses.get(at).is_some_and(|status| status & !status::DONE != 0);
            let is_done = |at: &u64| statuses.get(at).is_some_and(|status| status & status::DONE != 0);
            let is_either =
                |at: &u64| is_open(at) && is_done(at) && self.rest(*at).is_some_and(|rest| rest.result().is_some());
            let mut late: Vec<u64> = self.graph.keys().copied().filter(is_either).collect();
            // What leads there may not have passed a site, either.
            let leads_late = |node: &Node| node.ways().any(|next| self.late.contains(&next));
            late.extend(self.graph.iter().filter(|(at, node)| is_done(at) && leads_late(node)).map(|(&at, _)| at));
            let before = self.late.len();
            self.late.extend(late);
            if self.late.len() == before {
                return;
            }
        }
    }

    /// Where a jump's other way goes on to a return as well, calls on that way hit the site for nothing. If all ways behind
    /// such a site pass a later one, it is the later one.
    fn delay_misses(&mut self) {
        for at in self.graph.keys().copied().collect::<Vec<_>>() {
            let Some(next) = self.graph.get(&at).and_then(|node| self.misses(node)) else { continue };
            let before = self.late.clone();
            let count = self.count_misses();
            self.late.insert(next);
            self.delay();
            if self.parts().is_err() || self.count_misses() >= count {
                self.late = before;
            }
        }
    }

    /// The way of a site, where calls that take the other one hit it for nothing.
    fn misses(&self, node: &Node) -> Option<u64> {
        let next = node.ways().find(|&next| self.is_site(node, next))?;
        let is_missing = |other: u64| {
            !self.is_site(node, other) && self.rest(other).is_some_and(|rest| rest.returns() && !rest.fails())
        };
        node.ways().any(is_missing).then_some(next)
    }

    fn count_misses(&self) -> usize {
        let statuses = self.statuses();
        let is_open = |at: &u64| statuses.get(at).is_some_and(|&status| status & !status::DONE != 0);
        self.graph.iter().filter(|(at, node)| is_open(at) && self.misses(node).is_some()).count()
    }

    /// Each call that can be the first of a way is a begin.
    fn begin_calls(&mut self) -> Result<(), Refusal> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![self.entry]);
        while let Some(at) = open.pop() {
            let Some(node) = self.graph.get(&at).filter(|_| seen.insert(at)) else { continue };
            if !node.is_call() {
                open.extend(node.ways());
                continue;
            }
            let class = Class::of(&node.instruction);
            if class != Class::Call || !self.prices.is_emulated(class) {
                return Err(Refusal::UntoldCall);
            }
            self.begins.insert(at);
        }
        Ok(())
    }

    /// Every return is reached by calls that were told of, or that fail.
    fn check(&self, statuses: &FxHashMap<u64, u8>) -> Result<(), Refusal> {
        let is_done = |at: &u64| statuses.get(at).is_none_or(|&status| status == status::DONE);
        let returns = self.graph.iter().filter(|(_, node)| node.is_return());
        if returns.into_iter().all(|(at, _)| is_done(at)) { Ok(()) } else { Err(Refusal::Uncovered) }
    }

    /// All sites, as it has been chosen where they are.
    fn parts(&self) -> Result<Vec<Part>, Refusal> {
        let statuses = self.statuses();
        self.check(&statuses)?;
        let mut parts = Vec::new();
        for (&at, node) in self.graph {
            let status = statuses.get(&at).copied().unwrap_or_default();
            if self.begins.contains(&at) {
                parts.push(self.begin(at, node)?);
            } else if node.leaves {
                parts.push(self.handover(at, node, status)?);
            } else if status & !status::DONE != 0 && node.ways().any(|next| self.is_site(node, next)) {
                parts.push(self.done(at, node, status)?);
            }
        }
        Ok(parts)
    }

    fn begin(&self, at: u64, node: &Node) -> Result<Part, Refusal> {
        let size = node.facts.arguments.register_of(self.size).ok_or(Refusal::OutOfReach)?;
        self.part(Purpose::Begin, at, node, Some(size), None)
    }

    fn handover(&self, at: u64, node: &Node, status: u8) -> Result<Part, Refusal> {
        let size = node.facts.arguments.register_of(self.size).ok_or(Refusal::OutOfReach)?;
        let part = self.part(Purpose::Handover, at, node, Some(size), None)?;
        // A return can be probed only where the stack pointer leads to its address.
        let is_sound = status & status::DONE == 0 && part.depth == 0 && self.prices.is_emulated(part.class);
        is_sound.then_some(part).ok_or(Refusal::OutOfReach)
    }

    fn done(&self, at: u64, node: &Node, status: u8) -> Result<Part, Refusal> {
        let sites: Vec<u64> = node.ways().filter(|&next| self.is_site(node, next)).collect();
        let results = sites.iter().filter_map(|&next| self.rest(next).and_then(Rest::result));
        let block = results.reduce(|one, other| if one == other { one } else { u8::MAX }).filter(|&block| block < 16);
        let size = node.facts.arguments.register_of(self.size);
        // A call that has begun has told its size; a mixture must tell it here.
        if block.is_none() || (size.is_none() && status != status::BEGUN) || status & status::DONE != 0 {
            return Err(Refusal::OutOfReach);
        }
        let mut part = self.part(Purpose::Done, at, node, size, block)?;
        part.is_alone = status & status::NEW != 0;
        part.condition = self.condition(node, &sites);
        Ok(part)
    }

    /// On which way from an instruction the site counts.
    fn condition(&self, node: &Node, sites: &[u64]) -> Option<Condition> {
        let [next, goal] = node.ways;
        if Class::of(&node.instruction) != Class::ConditionalJump {
            return None;
        }
        let (next, goal) =
            (next.unwrap_or(node.instruction.next_ip()), goal.unwrap_or(node.instruction.near_branch_target()));
        let (is_taken, is_passed) = (sites.contains(&goal), sites.contains(&next));
        if is_taken && is_passed {
            return None;
        }
        // The lowest bit of a condition's number negates it.
        let number = number(node.instruction.condition_code()) ^ u8::from(is_passed);
        let other = if is_taken { next } else { goal };
        let fails_else = self.rest(other).is_some_and(Rest::fails);
        Some(Condition { number, fails_else })
    }

    fn part(
        &self,
        purpose: Purpose,
        at: u64,
        node: &Node,
        size: Option<u8>,
        block: Option<u8>,
    ) -> Result<Part, Refusal> {
        let facts = &node.facts;
        let frame_pointer = match facts.frame_pointer {
            known if known.in_register => None,
            known => Some(known.saved.ok_or(Refusal::OutOfReach)?),
        };
        Ok(Part {
            purpose,
            at: at - self.entry,
            length: node.instruction.len() as u64,
            instruction: text(&node.instruction),
            class: Class::of(&node.instruction),
            size,
            block,
            depth: facts.arguments.depth().ok_or(Refusal::OutOfReach)?,
            frame_pointer,
            is_alone: false,
            condition: None,
        })
    }

    /// Each site is reached on some way with no more than one hit before it: the begin's, or that of a site whose other way is
    /// taken. Where something else is called in between, one more does not matter.
    fn count_hits(&self, parts: &[Part]) -> Result<(), Refusal> {
        let is_hit = |at: u64| parts.iter().any(|part| part.at + self.entry == at);
        let mut fewest: FxHashMap<u64, u32> = FxHashMap::default();
        let mut open = vec![(self.entry, 0_u32)];
        while let Some((at, before)) = open.pop() {
            let Some(node) = self.graph.get(&at) else { continue };
            if fewest.get(&at).is_some_and(|&known| known <= before) {
                continue;
            }
            fewest.insert(at, before);
            let after = if is_hit(at) { before + 1 } else { before.saturating_sub(u32::from(node.is_call())) };
            open.extend(node.ways().map(|next| (next, after)));
        }
        let is_cheap = |part: &Part| {
            part.purpose == Purpose::Begin
                || fewest.get(&(part.at + self.entry)).is_none_or(|&before| before <= MOST_BEFORE)
        };
        if parts.iter().all(is_cheap) { Ok(()) } else { Err(Refusal::NoCheaper) }
    }
}

/// Number of a condition in instructions.
const fn number(condition: ConditionCode) -> u8 {
    match condition {
        ConditionCode::None | ConditionCode::o => 0,
        ConditionCode::no => 1,
        ConditionCode::b => 2,
        ConditionCode::ae => 3,
        ConditionCode::e => 4,
        ConditionCode::ne => 5,
        ConditionCode::be => 6,
        ConditionCode::a => 7,
        ConditionCode::s => 8,
        ConditionCode::ns => 9,
        ConditionCode::p => 10,
        ConditionCode::np => 11,
        ConditionCode::l => 12,
        ConditionCode::ge => 13,
        ConditionCode::le => 14,
        ConditionCode::g => 15,
    }
}
