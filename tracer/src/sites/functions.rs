//! The plan of an allocator's functions.

use heaptide_common::{
    Signature,
    signature::{Argument, Cookie, Done, Register},
};

use super::{Code, Needs, Part, Plan, Prices, Purpose, Refusal, cover::cover, plan, plan::entry_register};
use crate::allocator::{FoundFunction, Role};

/// Where the probes of a function go, and what its programs are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Where: bytes from the function's begin, and what is there.
    pub plan: Plan,
    /// What the programs are told of the arguments there.
    pub cookie: Cookie,
    /// The sites that take the place of this one and of the return, with what the programs are told at each; or why there are
    /// none. `None` for functions of which none were looked for.
    pub cover: Option<Result<Vec<(Part, Cookie)>, Refusal>>,
}

impl Site {
    /// Chooses the place in a function.
    #[must_use]
    pub fn choose(code: &(impl Code + ?Sized), function: &FoundFunction, prices: &Prices) -> Self {
        let arguments = arguments(function.role);
        let read: Vec<u8> = arguments.iter().flatten().map(|argument| argument.index()).collect();
        let needs = Needs { arguments: &read, ..needs(function.role) };
        let mut plan = plan(code, function.file_offset, reach(function), needs, prices);
        if plan.depth > Cookie::DEEPEST {
            plan = Plan::at_unread_entry(needs);
        }
        let mut registers = plan.registers.iter().map(|&number| Register::new(number));
        // An argument that the plan does not know of is where the calling convention says.
        let place = |argument: Option<Argument>| {
            let argument = argument?;
            registers.next().unwrap_or_else(|| entry_register(argument.index()).and_then(Register::new))
        };
        let cookie = Cookie::new(arguments.map(place), plan.depth);
        let cookie = if let Role::Named(named) = function.role { cookie.of_named(named) } else { cookie };
        let is_stepped = !prices.is_emulated(plan.class);
        let cover = takes_a_size(function.role).map(|size| covered(code, function, size, prices));
        Self { plan, cookie: cookie.at_stepped(is_stepped), cover }
    }

    /// The sites that take the place of entry and return, if there are any.
    #[must_use]
    pub fn cover(&self) -> Option<&[(Part, Cookie)]> {
        self.cover.as_ref()?.as_ref().ok().map(Vec::as_slice)
    }

    /// The same for a function that an exception may leave: the return of one that it hands over to must not be probed.
    #[must_use]
    pub fn throwing(mut self) -> Self {
        let is_returning = |parts: &[(Part, Cookie)]| parts.iter().any(|(part, _)| part.purpose == Purpose::Handover);
        if self.cover().is_some_and(is_returning) {
            self.cover = Some(Err(Refusal::Throws));
        }
        self
    }

    /// Bytes from the function's begin to behind its last probe.
    #[must_use]
    pub fn length(&self) -> u64 {
        let parts = self.cover().unwrap_or_default().iter().map(|(part, _)| part.at + part.length);
        parts.max().unwrap_or_default().max(self.plan.at + self.plan.length)
    }

    /// Where the probes go, in bytes from the begin of the file.
    #[must_use]
    pub const fn file_offset(&self, function: &FoundFunction) -> u64 {
        function.file_offset + self.plan.at
    }
}

/// The argument with the size, of a function that takes no other that is read and returns a block.
const fn takes_a_size(role: Role) -> Option<Argument> {
    match role {
        Role::Allocate(Signature { size, count: None, old: None, out: None }) => Some(size),
        _ => None,
    }
}

/// The sites that take the place of entry and return, with what the programs are told there.
fn covered(
    code: &(impl Code + ?Sized),
    function: &FoundFunction,
    size: Argument,
    prices: &Prices,
) -> Result<Vec<(Part, Cookie)>, Refusal> {
    let whole = function.file_offset..function.file_offset.saturating_add(reach(function));
    let parts = cover(code, &whole, size.index(), prices)?;
    let told = |part: Part| cookie_at(&part).map(|cookie| (part, cookie)).ok_or(Refusal::OutOfReach);
    parts.into_iter().map(told).collect()
}

/// What the programs are told at a site of a cover; `None` where that has no room for it.
fn cookie_at(part: &Part) -> Option<Cookie> {
    let saved = part.frame_pointer.unwrap_or_default();
    if part.depth > Cookie::DEEPEST || saved > Cookie::DEEPEST {
        return None;
    }
    let cookie = Cookie::new([part.size.and_then(Register::new), None, None, None], part.depth);
    match part.purpose {
        Purpose::Begin | Purpose::Handover => Some(cookie),
        Purpose::Done => {
            let condition = part.condition.map(|condition| (condition.number, condition.fails_else));
            Some(cookie.done(Done { block: Register::new(part.block?)?, saved, condition }))
        }
    }
}

/// How far a function's code is its own: to its symbol's end, and no further than to the next function.
fn reach(function: &FoundFunction) -> u64 {
    if function.size == 0 { function.room } else { function.size.min(function.room) }
}

/// The arguments that the probes of a function read, in the order of the cookie's fields. Those of mapping functions are
/// read where the calling convention says.
const fn arguments(role: Role) -> [Option<Argument>; 4] {
    const FIRST: [Option<Argument>; 4] = [Argument::new(0), Argument::new(1), Argument::new(2), Argument::new(3)];
    match role {
        Role::Allocate(signature) => signature.arguments(),
        Role::Named(named) => named.arguments(),
        // The block that ends.
        Role::Release => [None, None, Argument::new(0), None],
        Role::Map | Role::Remap => FIRST,
        Role::Unmap => [FIRST[0], FIRST[1], None, None],
        Role::Break | Role::BreakBy => [FIRST[0], None, None, None],
        Role::Libraries => [None; 4],
    }
}

/// What else the programs of a function need.
const fn needs(role: Role) -> Needs<'static> {
    Needs {
        arguments: &[],
        is_fixed: role.is_mapping(),
        is_returning: role.is_returning(),
        block: if matches!(role, Role::Release) { Some(0) } else { None },
    }
}
