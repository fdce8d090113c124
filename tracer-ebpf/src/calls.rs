//! Calls in flight: what a call was given, kept for its thread until it returns.
//!
//! Of nested calls (`reallocarray` that calls `realloc`, a first `malloc` that sets the allocator up) only the outermost
//! counts. Which call is nested in which is told by the stack pointer: a call made from within another has a lower one,
//! or the same when it was made by a jump instead of a call. So a call that was left without a return (a jump out of
//! it) does not swallow the ones after it: the next call at a higher place replaces it.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_probe_read_kernel, bpf_probe_read_user, generated::bpf_get_current_task},
};
use heaptide_common::{
    Counter, Settings,
    sampling::{Counts, ThreadCounts},
    signature::Cookie,
};

use crate::{
    atomic,
    count::count,
    emit::Task,
    maps::{DISPLACED, MAX_THREADS, THREADS},
    sampling::Sample,
};

/// A call that has swallowed so many nested ones is taken to have been left without a return.
const MAX_NESTED: u32 = 256;

/// The same for a function of a user-named allocator: a collector may sweep a whole heap within one call.
const MAX_NESTED_IN_NAMED: u32 = 1 << 24;

/// Bytes between the stack pointer at a function's entry and after its return: the return address.
const RETURN_ADDRESS: u64 = 8;

/// The outermost call of an allocation function, or of a function that releases for a user-named allocator.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HeapCall {
    pub place: Place,
    /// Its [`heaptide_common::signature::Cookie`].
    pub cookie: u64,
    /// Bytes asked for.
    pub size: u64,
    /// The block to be resized or released, or 0.
    pub old: u64,
    /// Where the result will be stored, or 0 when it is returned.
    pub out: u64,
}

/// The outermost call of a mapping function.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MappingCall {
    pub place: Place,
    /// Bytes, or the break's increment or new end.
    pub length: u64,
    /// `PROT_` bits (lower half) and `MAP_` bits (upper half).
    pub bits: u64,
    /// 1 when the call came from within an allocation function.
    pub beneath: u64,
}

/// Where a call stands on its thread's stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Place {
    /// Stack pointer at the entry; 0 when no call is in flight.
    sp: u64,
    /// Calls nested in it so far.
    nested: u32,
    /// Calls nested in it by a jump, which return together with it.
    jumps: u32,
    /// Where it returns to, when an exception may leave it instead; else 0.
    returns_to: u64,
}

/// A call of `free` that was the thread's first call of the allocator. The C library sets itself up for a thread in it,
/// and maps a new arena; no other `free` maps anything, so no other is kept.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FirstFree {
    /// Stack pointer at the entry; 0 when there is none.
    sp: u64,
    /// What the stack pointer led to: the return address.
    returns_to: u64,
}

/// The calls of a thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Thread {
    /// What it has done so far; counted with sampling alone. The user side reads it: see [`ThreadCounts`].
    pub counts: Counts,
    /// Its process (upper half) and number; 0 when the place is free.
    pub task: u64,
    pub sample: Sample,
    pub heap: HeapCall,
    pub mapping: MappingCall,
    /// What tells the address space of the thread from others.
    pub space: u64,
    pub first_free: FirstFree,
    /// When its calls of allocators were seen: see [`Settings::generation`].
    generation: u64,
    /// 0. To the end of a cache line.
    unused: [u64; 7],
}

const _: () = assert!(size_of::<Thread>() == size_of::<ThreadCounts>());

/// What a return belongs to.
#[derive(PartialEq, Eq)]
pub enum Returned {
    /// The call in flight.
    Outermost,
    /// A call nested in it.
    Nested,
    /// A call that was not seen.
    Unseen,
}

impl Place {
    const NONE: Self = Self { sp: 0, nested: 0, jumps: 0, returns_to: 0 };

    /// Whether a function that is being entered at `sp` was called from within this call.
    #[inline(always)]
    fn holds(&mut self, sp: u64, most: u32) -> bool {
        if self.sp == 0 {
            return false;
        }
        if self.returns_to != 0 && self.was_thrown_out_of(sp) {
            // It has failed, so nothing is missing.
            self.sp = 0;
            return false;
        }
        if sp > self.sp || self.nested >= most {
            count(Counter::CallWithoutReturn);
            self.sp = 0;
            return false;
        }
        self.nested += 1;
        true
    }

    /// Begins a call at `sp`; `false` when it is nested.
    #[inline(always)]
    pub fn begin(&mut self, sp: u64) -> bool {
        self.begin_unless(sp, MAX_NESTED)
    }

    #[inline(always)]
    fn begin_unless(&mut self, sp: u64, most: u32) -> bool {
        if self.holds(sp, most) {
            self.jumps += u32::from(sp == self.sp);
            return false;
        }
        *self = Self { sp, nested: 0, jumps: 0, returns_to: 0 };
        true
    }

    /// Whether an exception has left this call, now that a function is entered at `sp`: the stack has shrunk past its
    /// return address, or something else is there. What is entered at the same place follows it, or was jumped to; the
    /// jump's return is this call's as well.
    #[inline(always)]
    fn was_thrown_out_of(&self, sp: u64) -> bool {
        // SAFETY: the helper checks the address.
        sp >= self.sp || unsafe { bpf_probe_read_user(self.sp as *const u64) } != Ok(self.returns_to)
    }

    /// Whether this is a call that an exception may leave, and that returns to `address`.
    #[inline(always)]
    pub const fn returns_to(&self, address: u64) -> bool {
        self.returns_to == address && address != 0
    }

    /// What has returned, now that the stack pointer is `sp`; the outermost call is over then.
    #[inline(always)]
    pub fn end(&mut self, sp: u64) -> Returned {
        let returned = self.sp + RETURN_ADDRESS;
        if self.sp == 0 || sp > returned {
            return Returned::Unseen;
        }
        if sp < returned {
            return Returned::Nested;
        }
        if self.jumps > 0 {
            self.jumps -= 1;
            return Returned::Nested;
        }
        self.sp = 0;
        Returned::Outermost
    }
}

impl HeapCall {
    /// Whether it is a call of a user-named allocator.
    #[inline(always)]
    pub const fn is_named(&self) -> bool {
        Cookie(self.cookie).is_named()
    }

    #[inline(always)]
    const fn most_nested(&self) -> u32 {
        if self.is_named() { MAX_NESTED_IN_NAMED } else { MAX_NESTED }
    }

    /// Whether a function that is being entered at `sp` was called from within this call.
    #[inline(always)]
    pub fn holds(&mut self, sp: u64) -> bool {
        self.place.holds(sp, self.most_nested())
    }

    /// Begins a call at `sp`; `false` when it is nested.
    #[inline(always)]
    pub fn begin(&mut self, sp: u64) -> bool {
        self.place.begin_unless(sp, self.most_nested())
    }

    /// Begins a call at `sp` that an exception may leave; `false` when it is nested.
    #[inline(always)]
    pub fn begin_throwing(&mut self, sp: u64) -> bool {
        let begins = self.begin(sp);
        if begins {
            // SAFETY: the helper checks the address.
            self.place.returns_to = unsafe { bpf_probe_read_user(sp as *const u64) }.unwrap_or(1);
        }
        begins
    }
}

impl HeapCall {
    /// Begins a call of a function with sites in place of entry and return, whose return address is at `sp`; `false` when it
    /// is nested. One that was begun at the same place is begun again: it was left, or comes to a second site.
    ///
    /// No return will be seen of it, so one that was jumped to is not counted as such. Where a call fails no site need be:
    /// it is over when its return address is not there any more, as one that an exception has left.
    #[inline(always)]
    pub fn begin_at_site(&mut self, sp: u64) -> bool {
        if self.holds(sp) {
            return false;
        }
        // SAFETY: the helper checks the address.
        let returns_to = unsafe { bpf_probe_read_user(sp as *const u64) }.unwrap_or(1);
        self.place = Place { sp, nested: 0, jumps: 0, returns_to };
        true
    }

    /// Ends the call whose return address is at `sp`; `false` when none was begun there.
    #[inline(always)]
    pub fn end_at_site(&mut self, sp: u64) -> bool {
        if self.place.sp != sp || self.place.returns_to == 0 {
            return false;
        }
        // SAFETY: the helper checks the address.
        let returns_to = unsafe { bpf_probe_read_user(sp as *const u64) };
        let is_it = returns_to == Ok(self.place.returns_to);
        if is_it {
            self.place.sp = 0;
        }
        is_it
    }
}

impl FirstFree {
    const NONE: Self = Self { sp: 0, returns_to: 0 };

    /// Whether a function that is being entered at `sp` was called from within this call. Its return is not seen: the
    /// call is over when its return address has been overwritten, or the stack has shrunk past it.
    #[inline(always)]
    pub fn holds(&mut self, sp: u64) -> bool {
        if self.sp == 0 {
            return false;
        }
        // SAFETY: the helper checks the address.
        let returns_to = unsafe { bpf_probe_read_user(self.sp as *const u64) };
        let holds = sp < self.sp && returns_to.is_ok_and(|address: u64| address == self.returns_to);
        if !holds {
            self.sp = 0;
        }
        holds
    }
}

impl Thread {
    /// A thread that has made no call.
    pub const IDLE: Self = Self {
        counts: Counts::NONE,
        task: 0,
        sample: Sample::NONE,
        first_free: FirstFree::NONE,
        heap: HeapCall { place: Place::NONE, cookie: 0, size: 0, old: 0, out: 0 },
        mapping: MappingCall { place: Place::NONE, length: 0, bits: 0, beneath: 0 },
        space: 0,
        generation: 0,
        unused: [0; 7],
    };

    /// The thread's calls, when it has made any.
    #[inline(always)]
    pub fn known(tid: u32) -> Option<&'static mut Self> {
        let place = Self::place(tid)?;
        // SAFETY: the map gives an aligned pointer into memory that lives as long as the program. Only the thread itself
        // uses its entry, and no probe interrupts another on the same thread; the entry is given back when it exits.
        unsafe {
            if (&raw const (*place).task).read_volatile() as u32 == tid {
                return place.as_mut();
            }
            DISPLACED.get_ptr_mut(tid)?.as_mut()
        }
    }

    /// Keeps a `free` at `sp` of a thread that has made no call so far.
    #[inline(always)]
    pub fn begin_with_free(task: Task, settings: &Settings, sp: u64) -> Option<&'static mut Self> {
        // Without room for the thread, its arena counts as the program's own mapping.
        let thread = Self::begin(task, settings)?;
        // SAFETY: the helper checks the address.
        if let Ok(returns_to) = unsafe { bpf_probe_read_user(sp as *const u64) } {
            thread.first_free = FirstFree { sp, returns_to };
        }
        Some(thread)
    }

    /// The thread's calls; counts the call as not followed when there is no room.
    #[inline(always)]
    pub fn of(task: Task, settings: &Settings) -> Option<&'static mut Self> {
        if let Some(thread) = Self::known(task.tid()) {
            return Some(thread);
        }
        let thread = Self::begin(task, settings);
        if thread.is_none() {
            count(Counter::CallTableFull);
        }
        thread
    }

    /// Makes room for a thread that is not known.
    #[inline(always)]
    fn begin(task: Task, settings: &Settings) -> Option<&'static mut Self> {
        let place = Self::place(task.tid())?;
        // SAFETY: as in `known`. The place is the thread's own from the moment at which its number stands there.
        let thread = unsafe {
            if atomic::compare_exchange(&raw mut (*place).task, 0, task.word()) == 0 {
                place.as_mut()?
            } else {
                DISPLACED.insert(task.tid(), &EMPTY, u64::from(BPF_NOEXIST)).ok()?;
                DISPLACED.get_ptr_mut(task.tid())?.as_mut()?
            }
        };
        thread.counts = Counts::NONE;
        thread.task = task.word();
        thread.sample = Sample::of(task.pid());
        thread.heap.place = Place::NONE;
        thread.mapping.place = Place::NONE;
        thread.space = space(task, settings);
        thread.first_free = FirstFree::NONE;
        thread.generation = u64::from(settings.generation);
        Some(thread)
    }

    /// Forgets calls whose returns nobody has seen, since blocks were not recorded for a while.
    #[inline(always)]
    pub fn forget_unseen(&mut self, settings: &Settings) {
        if self.generation != u64::from(settings.generation) {
            self.generation = u64::from(settings.generation);
            self.heap.place = Place::NONE;
            self.first_free = FirstFree::NONE;
        }
    }

    /// The thread has ended, or runs another program: its calls are over.
    #[inline(always)]
    pub fn forget(tid: u32) {
        let Some(place) = Self::place(tid) else { return };
        // SAFETY: as in `known`.
        unsafe {
            let task = &raw mut (*place).task;
            if task.read_volatile() as u32 == tid {
                task.write_volatile(0);
                return;
            }
        }
        let _ = DISPLACED.remove(tid);
    }

    #[inline(always)]
    fn place(tid: u32) -> Option<*mut Self> {
        THREADS.get_ptr_mut(tid & (MAX_THREADS as u32 - 1))
    }
}

/// What a thread begins as.
static EMPTY: Thread = Thread::IDLE;

/// The process and its address space, mixed. An exec makes another one.
#[inline(always)]
pub fn space(task: Task, settings: &Settings) -> u64 {
    // SAFETY: the helpers check every address.
    let mm: u64 = unsafe {
        let current = bpf_get_current_task() as *const u8;
        bpf_probe_read_kernel(current.wrapping_add(settings.offsets.task_mm as usize).cast()).unwrap_or_default()
    };
    (mm ^ u64::from(task.pid()) << 40).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
