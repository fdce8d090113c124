//! `cargo xtask`: builds, tests and measures heaptide.

fn main() {}
