//! Probes on the functions that discovery found.

use std::{os::fd::OwnedFd, thread::JoinHandle};

use aya::programs::uprobe::UProbeLink;

use super::{AttachError, Kernel, Means, single};
use crate::allocator::{Found, FoundFunction, Role};

/// Whose calls the probes see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of all threads of one process, also after it runs another program.
    Process(u32),
    /// Those of every process that maps the file: for a copy of a library that only the traced processes map.
    Everyone,
}

/// What was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Functions with a probe.
    pub functions: usize,
    /// Probes, at entries and returns.
    pub probes: usize,
}

/// The probes that are being taken out; dropping the value waits until the last one is.
#[must_use]
pub struct Detaching(Vec<JoinHandle<()>>);

impl Drop for Detaching {
    fn drop(&mut self) {
        for thread in self.0.drain(..) {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Probes that go out when this is dropped.
pub(super) enum Link {
    /// All of a program in a file.
    Multi(#[expect(dead_code, reason = "held to be closed")] OwnedFd),
    /// One.
    Single(#[expect(dead_code, reason = "held to be closed")] UProbeLink),
}

/// A place for a probe.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// The function.
    pub(super) function: &'a FoundFunction,
    /// What its probe is told.
    pub(super) cookie: Option<u64>,
}

/// The owner of probes of [`Scope::Everyone`] in [`Kernel::attached`]: no process has this id.
const EVERYONE: u32 = 0;

impl Kernel {
    /// Attaches a probe to each function of `found`.
    pub fn attach(&mut self, found: &Found, scope: Scope) -> Result<Probes, AttachError> {
        let mut probes = Probes { functions: found.functions.len(), probes: 0 };
        for (program, sites) in by_program(found) {
            let links = self.attached.entry(owner(scope)).or_default();
            probes.probes += sites.len();
            match &self.means {
                Means::Multi(multi) => links.push(Link::Multi(multi.attach(found, program, &sites, scope)?)),
                Means::Single => {
                    for site in sites {
                        links.push(Link::Single(single::attach(&mut self.bpf, found, program, site, scope)?));
                    }
                }
            }
        }
        Ok(probes)
    }

    /// Takes out the probes of a process that has ended, without waiting for it: see [`Detaching`].
    pub fn detach(&mut self, pid: u32) {
        let links = self.attached.remove(&pid).unwrap_or_default();
        if !links.is_empty() {
            drop_elsewhere(links);
        }
    }

    /// Takes out everything, on threads of their own: after each link the kernel waits until no CPU is in one of its
    /// probes, and a report need not wait for that.
    pub fn detach_all(mut self) -> Detaching {
        let mut links: Vec<Link> = self.attached.drain().flat_map(|(_, links)| links).collect();
        let share = links.len().div_ceil(DETACHERS).max(1);
        let mut threads = Vec::new();
        while !links.is_empty() {
            let rest = links.split_off(share.min(links.len()));
            threads.extend(drop_elsewhere(std::mem::replace(&mut links, rest)));
        }
        threads.extend(drop_elsewhere(self));
        Detaching(threads)
    }
}

/// Threads that take out probes: most of their time they wait.
const DETACHERS: usize = 16;

fn drop_elsewhere<T: Send + 'static>(value: T) -> Option<JoinHandle<()>> {
    // Where no thread can be started, the closure and with it the value is dropped here.
    let thread = std::thread::Builder::new().name("detach".to_owned()).spawn(move || drop(value));
    thread.inspect_err(|error| log::info!("no thread could be started to take out probes: {error}")).ok()
}

/// The programs with the places of each. A return's program comes before its call's: a call whose return will not be seen
/// must not be followed. Those that the target hits most often come first, since in this order they go out again.
fn by_program(found: &Found) -> Vec<(&'static str, Vec<Site<'_>>)> {
    let mut programs: Vec<(&'static str, Vec<Site<'_>>)> = Vec::new();
    for function in in_order(found) {
        let cookie = match function.role {
            Role::Allocate(signature) => Some(signature.cookie()),
            _ => None,
        };
        for &program in programs_of(function.role) {
            let site = Site { function, cookie };
            match programs.iter_mut().find(|(name, _)| *name == program) {
                Some((_, sites)) => sites.push(site),
                None => programs.push((program, vec![site])),
            }
        }
    }
    programs
}

/// Releases first, then as they are listed, `malloc` first.
fn in_order(found: &Found) -> impl Iterator<Item = &FoundFunction> {
    let (releases, others): (Vec<_>, Vec<_>) =
        found.functions.iter().partition(|function| function.role == Role::Release);
    releases.into_iter().chain(others)
}

const fn owner(scope: Scope) -> u32 {
    match scope {
        Scope::Process(pid) => pid,
        Scope::Everyone => EVERYONE,
    }
}

const fn programs_of(role: Role) -> &'static [&'static str] {
    match role {
        Role::Allocate(_) => &["heap_return", "heap_call"],
        Role::Release => &["heap_free"],
        Role::Map => &["mmap_return", "mmap_call"],
        Role::Unmap => &["munmap_return", "munmap_call"],
        Role::Remap => &["mremap_return", "mremap_call"],
        Role::Break => &["brk_return", "break_call"],
        Role::BreakBy => &["sbrk_return", "break_call"],
        Role::Libraries => &["libraries_change"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_is_probed_before_its_call_and_each_function_once_a_program() {
        let found = crate::allocator::discover(std::process::id()).unwrap();
        let found = found.iter().find(|found| found.display.ends_with("/libc.so.6")).unwrap();
        let programs = by_program(found);
        let place = |name| programs.iter().position(|(program, _)| *program == name).unwrap();
        for (returns, call) in [("heap_return", "heap_call"), ("mmap_return", "mmap_call")] {
            assert!(place(returns) < place(call), "{returns} comes before {call}");
        }
        assert_eq!(place("heap_free"), 0);
        let by_role: usize = found.functions.iter().map(|function| programs_of(function.role).len()).sum();
        assert_eq!(programs.iter().map(|(_, sites)| sites.len()).sum::<usize>(), by_role);
        let (_, calls) = &programs[place("heap_call")];
        assert!(calls.iter().all(|site| site.cookie.is_some()), "an allocation's probe knows its arguments");
    }
}
