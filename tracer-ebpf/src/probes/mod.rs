//! The programs: one file for each kind of thing that they watch.

mod faults;
mod heap;
mod libraries;
mod mapping;
mod process;
mod sites;
