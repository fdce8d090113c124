//! Live allocations: their rules, and totals for each stack.
