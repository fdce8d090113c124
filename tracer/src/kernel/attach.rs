//! Probes on the functions that discovery found.

use std::{os::fd::OwnedFd, thread::JoinHandle};

use aya::programs::uprobe::UProbeLink;
use heaptide_common::{Named, StackMethod, settings::running, signature::Cookie};

use super::{AttachError, Kernel, LoadError, Means, Tally, single};
use crate::{
    allocator::{Found, FoundFunction, Role},
    process::printable,
    sites::{Part, Purpose, Site},
};

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
    /// What counts the calls; `None` when no function hands out blocks or takes them back.
    pub tally: Option<Tally>,
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

/// A probe that is to be put in.
#[derive(Clone, Copy)]
pub(super) struct Probe<'a> {
    /// The function.
    pub(super) function: &'a FoundFunction,
    site: &'a Site,
    /// Where, when that is not its site: in bytes from the begin of the file.
    at: Option<u64>,
    /// What its program is told, when that is not what its site says.
    told: Option<Cookie>,
    /// The place of its tally.
    tally: u8,
}

impl Probe<'_> {
    /// Where, in bytes from the begin of the file.
    pub(super) const fn file_offset(self) -> u64 {
        match self.at {
            Some(offset) => offset,
            None => self.site.file_offset(self.function),
        }
    }

    /// What its program is told.
    pub(super) const fn cookie(self) -> u64 {
        let cookie = match self.told {
            Some(cookie) => cookie,
            None => self.site.cookie,
        };
        cookie.counted(self.tally).0
    }
}

/// The owner of probes of [`Scope::Everyone`] in [`Kernel::attached`]: no process has this id.
const EVERYONE: u32 = 0;

/// Probes of blocks as they were asked for, to be put in again after a pause.
pub(super) struct Asked {
    found: Found,
    sites: Vec<Option<Site>>,
    scope: Scope,
    /// The place of the tally.
    tally: u8,
}

impl Kernel {
    /// Attaches a probe to each function of `found` that has a site: `sites` are those of its functions, in their order.
    /// After [`Kernel::stop_blocks`] only to functions that map memory, until [`Kernel::attach_blocks`].
    pub fn attach(&mut self, found: &Found, sites: &[Option<Site>], scope: Scope) -> Result<Probes, AttachError> {
        let with_blocks = self.settings.growth == 0;
        let is_counted = |(function, site): (&FoundFunction, &Option<Site>)| {
            site.is_some() && function.role.is_heap() && with_blocks
        };
        let counted = found.functions.iter().zip(sites).any(is_counted);
        let given = counted.then(|| self.tallies.give(owner(scope)));
        let (tally, place) = given.unzip();
        if let (Some(asked), Some(place)) = (&mut self.asked_blocks, place) {
            let new = Asked { found: found.clone(), sites: sites.to_vec(), scope, tally: place };
            asked.entry(owner(scope)).or_default().push(new);
        }
        let mut probes = Probes { functions: sites.iter().flatten().count(), probes: 0, tally };
        for (program, wanted) in by_program(found, sites, place.unwrap_or(0), self.takes_covers()) {
            let is_wanted = with_blocks && self.settings.running != running::WITHOUT_BLOCKS;
            if is_of_blocks(program) && !is_wanted {
                continue;
            }
            probes.probes += wanted.len();
            self.put_in(found, program, wanted, scope)?;
        }
        Ok(probes)
    }

    /// Whether sites may take the place of entry and return. The kernel's own way along frame pointers can only begin at a
    /// function's end.
    const fn takes_covers(&self) -> bool {
        self.settings.stacks != StackMethod::FramePointers as u32
    }

    fn put_in(
        &mut self,
        found: &Found,
        program: &'static str,
        wanted: Vec<Probe<'_>>,
        scope: Scope,
    ) -> Result<(), AttachError> {
        let attached = if is_of_blocks(program) { &mut self.attached_blocks } else { &mut self.attached };
        let links = attached.entry(owner(scope)).or_default();
        match &self.means {
            Means::Multi(multi) => links.push(Link::Multi(multi.attach(found, program, &wanted, scope)?)),
            Means::Single => {
                for probe in wanted {
                    links.push(Link::Single(single::attach(&mut self.bpf, found, program, probe, scope)?));
                }
            }
        }
        Ok(())
    }

    /// From now on the probes of blocks are remembered, so that they can be put in again.
    pub fn expect_pauses(&mut self) {
        self.asked_blocks.get_or_insert_default();
    }

    /// Takes out the probes of a process that has ended, without waiting for it: see [`Detaching`].
    pub fn detach(&mut self, pid: u32) {
        let mut links = self.attached_blocks.remove(&pid).unwrap_or_default();
        links.extend(self.attached.remove(&pid).unwrap_or_default());
        if let Some(asked) = &mut self.asked_blocks {
            asked.remove(&pid);
        }
        self.tallies.end(pid);
        if let Some(growth) = &mut self.growth {
            growth.ended(pid);
        }
        if !links.is_empty() {
            drop_elsewhere(links);
        }
    }

    /// From now on no blocks are recorded, and the probes of allocators go out; those of functions that map memory stay.
    /// The kernel part is told first: so no block is seen allocated whose release a probe that was out has missed.
    pub fn stop_blocks(&mut self) -> Result<(), LoadError> {
        self.settings.running = running::WITHOUT_BLOCKS;
        self.change_settings(|settings| settings.running = running::WITHOUT_BLOCKS)?;
        self.tallies.pause();
        for (_, links) in self.attached_blocks.drain() {
            // Each for itself: after each link the kernel waits, and the next should not.
            for link in links {
                drop_elsewhere(link);
            }
        }
        Ok(())
    }

    /// Puts the probes of blocks in again that [`Kernel::stop_blocks`] took out. What cannot be put in is told once, and not
    /// tried again: one process's library must not end the recording of all.
    pub fn attach_blocks(&mut self) {
        let mut asked = self.asked_blocks.take().unwrap_or_default();
        for asked in asked.values_mut() {
            asked.retain(|asked| match self.put_in_again(asked) {
                Ok(()) => true,
                // Its end has not been told yet.
                Err(error) if error.is_process_gone() => false,
                Err(error) => {
                    log::warn!("{} is not traced any more: {error}", printable(&asked.found.display));
                    false
                }
            });
        }
        self.asked_blocks = Some(asked);
    }

    /// Blocks are recorded again, in a pulse that stands for `pulse` times its length: from one instant on, when all probes
    /// are in.
    pub fn begin_pulse(&mut self, pulse: u32) -> Result<(), LoadError> {
        self.settings.running = running::EVERYTHING;
        self.settings.interval = 0;
        self.change_settings(|settings| {
            settings.running = running::EVERYTHING;
            settings.interval = 0;
            settings.pulse = pulse;
            settings.generation = settings.generation.wrapping_add(1);
        })?;
        self.tallies.resume();
        Ok(())
    }

    /// Every block stands for itself again.
    pub fn end_pulses(&mut self) -> Result<(), LoadError> {
        self.change_settings(|settings| settings.pulse = 0)
    }

    fn put_in_again(&mut self, asked: &Asked) -> Result<(), AttachError> {
        let programs = by_program(&asked.found, &asked.sites, asked.tally, self.takes_covers());
        let mut of_blocks = programs.into_iter().filter(|(program, _)| is_of_blocks(program));
        of_blocks.try_for_each(|(program, wanted)| self.put_in(&asked.found, program, wanted, asked.scope))
    }

    /// Takes out everything, on threads of their own: after each link the kernel waits until no CPU is in one of its
    /// probes, and a report need not wait for that.
    pub fn detach_all(mut self) -> Detaching {
        let mut links: Vec<Link> = self.attached_blocks.drain().flat_map(|(_, links)| links).collect();
        links.extend(self.attached.drain().flat_map(|(_, links)| links));
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

/// Drops a value on a thread of its own.
pub(super) fn drop_elsewhere<T: Send + 'static>(value: T) -> Option<JoinHandle<()>> {
    // Where no thread can be started, the closure and with it the value is dropped here.
    let thread = std::thread::Builder::new().name("detach".to_owned()).spawn(move || drop(value));
    thread.inspect_err(|error| log::info!("no thread could be started to take out probes: {error}")).ok()
}

/// The programs with the probes of each. A return's program comes before its call's: a call whose return will not be seen
/// must not be followed. Those that the target hits most often come first, since in this order they go out again.
/// With `covers`, allocation functions are probed at the sites that take the place of entry and return.
fn by_program<'a>(
    found: &'a Found,
    sites: &'a [Option<Site>],
    tally: u8,
    covers: bool,
) -> Vec<(&'static str, Vec<Probe<'a>>)> {
    let mut programs: Vec<(&'static str, Vec<Probe<'a>>)> = Vec::new();
    let mut add = |program: &'static str, probe: Probe<'a>| match programs.iter_mut().find(|(name, _)| *name == program)
    {
        // Functions can share the code by which they return.
        Some((_, probes)) if probes.iter().any(|known| known.file_offset() == probe.file_offset()) => {}
        Some((_, probes)) => probes.push(probe),
        None => programs.push((program, vec![probe])),
    };
    for probe in in_order(found, sites, tally) {
        if let Some(parts) = probe.site.cover().filter(|_| covers) {
            for (part, told) in parts {
                let at = Some(probe.function.file_offset + part.at);
                for &program in programs_at(part) {
                    add(program, Probe { at, told: Some(*told), ..probe });
                }
            }
            continue;
        }
        let throwing = found.throwing.iter().find(|(begin, _)| *begin == probe.function.file_offset);
        if let Some((_, returns)) = throwing {
            for &at in returns {
                add("heap_ret", Probe { at: Some(at), ..probe });
            }
            add("heap_call_throwing", probe);
            continue;
        }
        for &program in programs_of(probe.function.role) {
            add(program, probe);
        }
    }
    programs
}

/// Releases first, then as they are listed, `malloc` first.
fn in_order<'a>(found: &'a Found, sites: &'a [Option<Site>], tally: u8) -> impl Iterator<Item = Probe<'a>> {
    let probes = found.functions.iter().zip(sites);
    let probes = probes
        .filter_map(|(function, site)| Some(Probe { function, site: site.as_ref()?, at: None, told: None, tally }));
    let (releases, others): (Vec<_>, Vec<_>) = probes.partition(|probe| probe.function.role == Role::Release);
    releases.into_iter().chain(others)
}

/// Whether a program is at functions that hand out or take back blocks.
fn is_of_blocks(program: &str) -> bool {
    program.starts_with("heap_")
}

const fn owner(scope: Scope) -> u32 {
    match scope {
        Scope::Process(pid) => pid,
        Scope::Everyone => EVERYONE,
    }
}

/// The programs at a site of those that take the place of entry and return.
const fn programs_at(part: &Part) -> &'static [&'static str] {
    match part.purpose {
        Purpose::Begin => &["heap_begin"],
        Purpose::Done => &["heap_done"],
        Purpose::Handover => &["heap_return", "heap_call"],
    }
}

const fn programs_of(role: Role) -> &'static [&'static str] {
    match role {
        Role::Allocate(_) | Role::Named(Named::Allocate { .. }) => &["heap_return", "heap_call"],
        Role::Named(Named::Release(_)) => &["heap_return", "heap_release"],
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
    use crate::sites::Prices;

    #[test]
    fn a_return_is_probed_before_its_call_and_each_function_once_a_program() {
        let found = crate::allocator::discover(std::process::id()).unwrap();
        let found = found.iter().find(|found| found.display.ends_with("/libc.so.6")).unwrap();
        let sites: Vec<_> = found.functions.iter().map(|function| Some(at_entry(function))).collect();
        let programs = by_program(found, &sites, 7, true);
        let place = |name| programs.iter().position(|(program, _)| *program == name).unwrap();
        for (returns, call) in [("heap_return", "heap_call"), ("mmap_return", "mmap_call")] {
            assert!(place(returns) < place(call), "{returns} comes before {call}");
        }
        assert_eq!(place("heap_free"), 0);
        let by_role: usize = found.functions.iter().map(|function| programs_of(function.role).len()).sum();
        assert_eq!(programs.iter().map(|(_, sites)| sites.len()).sum::<usize>(), by_role);
        let most =
            sites.iter().cloned().enumerate().map(|(index, site)| site.filter(|_| index > 0)).collect::<Vec<_>>();
        let fewer: usize = by_program(found, &most, 7, true).iter().map(|(_, probes)| probes.len()).sum();
        assert_eq!(
            fewer,
            by_role - programs_of(found.functions[0].role).len(),
            "a function without a site has no probe"
        );
    }

    fn at_entry(function: &FoundFunction) -> Site {
        Site::choose([].as_slice(), function, &Prices::of_old())
    }
}
