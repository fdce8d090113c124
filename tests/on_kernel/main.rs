//! heaptide on a real kernel. Needs root; run with `--features kernel` and `--test-threads=1` (tests that look at what
//! is loaded into the kernel must be alone).

mod errors;
mod heaptrack;
mod loaded;
mod process;
mod sigkill;
mod stop;
mod truth;
