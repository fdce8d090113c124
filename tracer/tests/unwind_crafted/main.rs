//! Call frame information made by hand: what each form becomes, and that none of it does harm.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

mod elf;
mod hostile;
mod rules;
