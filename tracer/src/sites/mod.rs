//! Where in a function its probe goes.
//!
//! A probe is a breakpoint. After it the kernel lets the probed instruction have its effect: it *emulates* a few kinds
//! and lets the program run on at once, and *steps* over every other, which costs a second trap (`arch/x86/kernel/uprobes.c`).
//! In a virtual machine the second is thirteen times as expensive as the first, and most functions begin with an
//! instruction of the wrong kind. So a function's head is disassembled, and the probe goes to the cheapest instruction
//! that every call passes exactly once with its arguments still at hand. What cannot be proven falls back to the first
//! instruction, and says why.
//!
//! For functions that take a size and return a block, `cover` looks for sites that take the place of entry and return.
//!
//! A plan is a pure function of the code and of what the kernel's traps cost: [`plan`].

mod arguments;
mod class;
mod code;
mod cover;
mod flow;
mod functions;
mod path;
mod plan;
mod prices;

pub use class::Class;
pub use code::{Code, FileCode};
pub use cover::{Condition, Part, Purpose, Refusal};
pub use functions::Site;
pub use plan::{Fallback, Needs, Plan, plan};
pub use prices::Prices;
