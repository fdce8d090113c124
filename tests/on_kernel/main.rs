//! heaptide on a real kernel. Needs root; run with `--features kernel` and `--test-threads=1` (tests that look at what
//! is loaded into the kernel must be alone).

mod errors;
mod family;
mod heaptrack;
mod limits;
mod loaded;
mod names;
mod process;
mod robust;
mod sigkill;
mod stop;
mod truth;
mod view;
