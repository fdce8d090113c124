//! Stacks: each distinct one kept once, by value.
