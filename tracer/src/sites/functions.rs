//! The plan of an allocator's functions.

use heaptide_common::signature::{Argument, Cookie, Register};

use super::{Code, Needs, Plan, Prices, plan, plan::entry_register};
use crate::allocator::{FoundFunction, Role};

/// Where the probes of a function go, and what its programs are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Where: bytes from the function's begin, and what is there.
    pub plan: Plan,
    /// What the programs are told of the arguments there.
    pub cookie: Cookie,
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
        Self { plan, cookie: cookie.at_stepped(is_stepped) }
    }

    /// Where the probes go, in bytes from the begin of the file.
    #[must_use]
    pub const fn file_offset(&self, function: &FoundFunction) -> u64 {
        function.file_offset + self.plan.at
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
