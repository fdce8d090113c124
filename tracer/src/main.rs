//! The `heaptide` program.

fn main() {}
