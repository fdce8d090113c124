//! heaptide on a real kernel. Needs root; run with `--features kernel` and `--test-threads=1` (tests that look at what
//! is loaded into the kernel must be alone).

mod allocators;
mod budget;
mod completeness;
mod control_groups;
mod cost;
mod coverage;
mod debug_information;
mod equality;
mod errors;
mod family;
mod growth;
mod heaptrack;
mod leaks;
mod limits;
mod loaded;
mod made_code;
mod marks;
mod named;
mod named_nginx;
mod names;
mod process;
mod replaced;
mod robust;
mod sampling;
mod sigkill;
mod sites;
mod stop;
mod truth;
mod unchanged;
mod verdicts;
mod verifier;
mod view;
mod watch;
mod watch_acts;
mod watch_whom;
