//! Profiles made by hand.

use std::sync::Arc;

use heaptide::profile::{
    Allocator, Budget, BudgetStage, ByMemory, Calls, Cost, End, Estimate, Exact, Frame, Growth, InPulses, Inlined,
    Memory, Place, Process, ProcessGrowth, Profile, Recorded, Resident, SCHEMA, Sampled, Sampling, Stack, Totals,
    Unnamed, Unwinding, Usage,
};

pub fn usage(bytes: u64, blocks: u64) -> Usage {
    Usage { bytes, blocks }
}

pub fn totals(allocated: Usage, freed: Usage) -> Totals {
    let outstanding = allocated - freed;
    Totals { allocated, freed, outstanding, peak: outstanding + usage(4096, 1), ..Totals::default() }
}

pub fn frame(function: &str, line: u32) -> Frame {
    let source = Some((Arc::from(format!("/build/src/{function}.c")), line));
    Frame {
        address: 0x5581_0000_1000 + u64::from(line),
        module: Some("worker".into()),
        module_address: 0x1000 + u64::from(line),
        build_id: None,
        place: Ok(Place { function: function.into(), offset: 0x1f, source }),
        inlined: Vec::new(),
    }
}

pub fn unnamed(module: Option<&str>, reason: Unnamed) -> Frame {
    let module_address = if module.is_some() { 0x1f3a } else { 0 };
    Frame { module: module.map(Arc::from), module_address, place: Err(reason), ..frame("unnamed", 1) }
}

pub fn stack(memory: Memory, outstanding: Usage, frames: Vec<Frame>) -> Stack {
    let freed = usage(outstanding.bytes / 2, outstanding.blocks / 2);
    Stack {
        memory,
        totals: totals(outstanding + freed, freed),
        shown: outstanding,
        at_peak: outstanding,
        frames: frames.into_iter().map(Arc::new).collect(),
        ..Stack::default()
    }
}

pub fn heap(bytes: u64, blocks: u64, frames: Vec<Frame>) -> Stack {
    stack(Memory::Heap, usage(bytes, blocks), frames)
}

pub fn calls(count: u64) -> Calls {
    Calls { count, seconds: 60.0, shared: false }
}

/// A process whose sums are those of its stacks.
pub fn process(pid: u32, name: &str, stacks: Vec<Stack>) -> Process {
    let mut sums = ByMemory::default();
    for stack in &stacks {
        sums.each_of(stack.memory, |sum| *sum += stack.totals);
    }
    let allocator = Allocator {
        file: "/usr/lib/x86_64-linux-gnu/libc.so.6".to_owned(),
        family: "glibc".to_owned(),
        functions: ["malloc", "free", "realloc"].map(str::to_owned).to_vec(),
        calls: Some(calls(74_040)),
    };
    let (name, allocators) = (name.to_owned(), vec![allocator]);
    Process { pid, name, allocators, sums, stacks, ..Process::default() }
}

pub fn profile(processes: Vec<Process>) -> Profile {
    Profile {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        began_unix_seconds: 1_700_000_000.5,
        seconds: 60.0,
        processes,
        cost: Cost {
            trap_seconds: 0.125,
            hits: 123_456,
            events: 120_001,
            bpf_seconds: Some(0.25),
            bpf_measured_share: 0.1,
            cpu_seconds: 1.5,
            timeline_seconds: 0.01,
            timeline_bytes: 2 << 20,
            target_cpu_seconds: 25.0,
            memory_bytes: 34 << 20,
            rings: 1,
        },
        ..Profile::default()
    }
}

/// An exact recording of one process; two of its stacks differ in a line only.
pub fn exact() -> Profile {
    let small = heap(100, 1, vec![frame("parse", 12), frame("main", 88)]);
    let large = heap(8 << 20, 2, vec![frame("load_cache", 40), frame("main", 80)]);
    let same = heap(28, 1, vec![frame("parse", 14), frame("main", 88)]);
    profile(vec![process(4242, "worker", vec![small, large, same])])
}

/// A program that forks a child, which runs another program.
pub fn several_processes() -> Profile {
    let parent = process(100, "server", vec![heap(1 << 20, 10, vec![frame("serve", 7), frame("main", 1)])]);
    let mut child = process(101, "server", vec![heap(1 << 10, 1, vec![frame("handle", 3), frame("main", 1)])]);
    child.forked_from = Some(100);
    child.end = Some(End::Replaced);
    child.sums.outstanding.inherited = usage(1 << 20, 10);
    let mut program = process(101, "gzip", vec![heap(64 << 10, 1, vec![frame("deflate", 9), frame("main", 1)])]);
    program.generation = 1;
    program.end = Some(End::Exited);
    // The two programs of a process have the same probes.
    for process in [&mut child, &mut program] {
        process.allocators[0].calls = Some(Calls { count: 12, seconds: 0.034, shared: true });
    }
    Profile { from_start: true, ..profile(vec![parent, child, program]) }
}

/// Nothing was allocated, and the kernel does not tell what the probes cost.
pub fn empty() -> Profile {
    let mut profile = profile(vec![process(1, "idle", Vec::new())]);
    profile.processes[0].allocators[0].calls = Some(calls(0));
    profile.cost.bpf_seconds = None;
    profile.cost.target_cpu_seconds = 0.0;
    profile
}

/// A preloaded allocator has taken the place of the C library's.
pub fn replaced_allocator() -> Profile {
    let mut process = process(5, "cache", vec![heap(4096, 4, vec![frame("fill", 2), frame("main", 1)])]);
    process.allocators[0].calls = Some(calls(0));
    process.allocators.push(Allocator {
        file: "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2".to_owned(),
        family: "jemalloc".to_owned(),
        functions: ["malloc", "free"].map(str::to_owned).to_vec(),
        calls: Some(calls(740_700)),
    });
    profile(vec![process])
}

/// Whatever can be lost was lost, and no frame has a name.
pub fn everything_unknown() -> Profile {
    let frames = vec![
        Frame {
            build_id: Some("0123456789abcdef0123456789abcdef01234567".into()),
            ..unnamed(Some("libstripped.so"), Unnamed::NoSymbol)
        },
        unnamed(Some("gone.so"), Unnamed::FileUnreadable),
        unnamed(Some("text.so"), Unnamed::FileInvalid),
        unnamed(None, Unnamed::NoModule),
    ];
    let cut = Stack { truncated: true, incomplete: true, guessed: true, ..heap(500, 5, frames) };
    let end = Stack { incomplete: true, ..heap(200, 2, vec![frame("leaf", 3)]) };
    let mut profile = profile(vec![process(7, "worker", vec![cut, end, heap(300, 3, Vec::new())])]);
    profile.processes[0].allocators.clear();
    let unknown = &mut profile.unknown;
    (unknown.lost.allocations, unknown.lost.releases, unknown.lost.resizes) = (1, 2, 3);
    (unknown.lost.mappings, unknown.lost.processes, unknown.lost.calls) = (4, 5, 6);
    (unknown.refused.by_size, unknown.refused.by_size_bytes) = (7, 700);
    (unknown.refused.live_blocks, unknown.refused.live_blocks_bytes) = (8, 800);
    (unknown.unmatched.older_releases, unknown.unmatched.older_unmapped_bytes) = (9, 8192);
    unknown.unmatched.named_releases = 19;
    (unknown.unmatched.replaced_blocks, unknown.unmatched.returns, unknown.unmatched.calls) = (10, 11, 12);
    (unknown.unmatched.results, unknown.unmatched.processes, unknown.unmatched.undecodable) = (13, 14, 15);
    (unknown.stacks.distinct, unknown.stacks.truncated, unknown.stacks.unreadable) = (2, 1, 16);
    (unknown.stacks.busy, unknown.stacks.lost, unknown.stacks.collisions) = (17, 18, 1);
    unknown.stacks.refused = 3;
    unknown.unwinding = Unwinding {
        complete: 1000,
        guessed: 2,
        too_deep: 3,
        not_expressible: 4,
        no_cfi: 5,
        bad_read: 6,
        bad_frame: 7,
        unmapped: 8,
        no_table: 9,
        busy: 10,
        files: 11,
        rows: 12,
        table_nanoseconds: 13,
        files_failed: 14,
        files_refused: 15,
    };
    profile.cost.rings = 4;
    profile
}

/// Names that would do harm on a terminal, in a line-based file, or in JSON.
pub fn weird_names() -> Profile {
    let mut hostile = frame("\u{1b}[2J\u{1b}]0;owned\u{7}", 1);
    hostile.module = Some("lib\u{9b}31m.so".into());
    let names = [
        "core::array::<impl [u8; 16]>::map",
        "two\nlines 99",
        "\u{202e}drawkcab",
        "  operator new(unsigned long)  ",
        "",
    ];
    let frames = [hostile].into_iter().chain(names.map(|name| frame(name, 5))).collect();
    let mut process = process(9, "a;b c\r\nd", vec![heap(10, 1, frames)]);
    "/tmp/\u{1b}[31mred.so".clone_into(&mut process.allocators[0].file);
    profile(vec![process])
}

/// A call inlined into another that is inlined into a function; and code that no line stands for.
pub fn inlined_frames() -> Profile {
    let inlined = |function: &str, source| Inlined { function: function.into(), source };
    let mut outer = frame("outer", 20);
    outer.inlined = vec![inlined("innermost", Some(("include/inner.h".into(), 5))), inlined("middle", None)];
    let frames = vec![frame("leaf", 2), outer, frame("main", 0)];
    profile(vec![process(3, "inliner", vec![heap(4096, 4, frames)])])
}

/// All kinds of memory, old blocks only.
pub fn all_kinds_of_memory() -> Profile {
    let kinds = [
        (Memory::Heap, "make", usage(3000, 3)),
        (Memory::Anonymous, "arena", usage(8192, 1)),
        (Memory::File, "map_index", usage(1 << 20, 1)),
        (Memory::ThreadStack, "start_thread", usage(8 << 20, 1)),
        (Memory::Allocator, "grow_heap", usage(132 << 10, 1)),
    ];
    let stacks = kinds.map(|(memory, function, held)| stack(memory, held, vec![frame(function, 4), frame("main", 2)]));
    Profile { older_than_seconds: 5.0, ..profile(vec![process(12, "mixed", stacks.to_vec())]) }
}

/// A recording by sampling: of one process many blocks are recorded, of the other none.
pub fn sampled() -> Profile {
    let estimate = |recorded, low_bytes, high_bytes| Some(Estimate { recorded, low_bytes, high_bytes });
    let large = Stack {
        estimate: estimate(16, 5 << 20, 13 << 20),
        ..heap(8 << 20, 2000, vec![frame("load_cache", 40), frame("main", 80)])
    };
    let certain = Stack { estimate: estimate(1, 64 << 20, 64 << 20), ..heap(64 << 20, 1, vec![frame("pool", 5)]) };
    let mapped = stack(Memory::Anonymous, usage(8192, 1), vec![frame("arena", 4), frame("main", 2)]);
    let mut busy = process(4242, "worker", vec![large, certain, mapped]);
    busy.sampled = Some(Sampled {
        exact: Some(Exact { allocations: 123_456, allocated_bytes: 99 << 20, releases: 120_000 }),
        recorded: 240,
        outstanding: Some(Estimate { recorded: 17, low_bytes: 69 << 20, high_bytes: 77 << 20 }),
    });
    let mut idle = process(4243, "idle", Vec::new());
    let outstanding = Some(Estimate { recorded: 0, low_bytes: 0, high_bytes: 1_934_000 });
    idle.allocators[0].calls = Some(calls(3));
    idle.sampled = Some(Sampled { exact: Some(Exact::default()), recorded: 0, outstanding });
    let sampling = Some(Sampling { interval_bytes: 512 << 10, table_full: 3, in_pulses: false });
    Profile { sampling, ..profile(vec![busy, idle]) }
}

/// A budget that could be kept by sampling.
pub fn budget() -> Profile {
    let stage =
        |blocks, interval_bytes, seconds| BudgetStage { blocks, interval_bytes, seconds, recorded_seconds: seconds };
    let stages = vec![stage(Recorded::All, 0, 12.0), stage(Recorded::Sampled, 512 << 10, 48.0)];
    let budget = Some(Budget { max_share: 0.03, average_share: 0.021, most_share: 0.029, stages, pulses: None });
    Profile { budget, ..sampled() }
}

/// A budget that could be kept by pulses: it is known for how much they stand, or not.
pub fn budget_in_pulses(slowdown: Option<f64>) -> Profile {
    let stage =
        |blocks, seconds, recorded_seconds| BudgetStage { blocks, interval_bytes: 0, seconds, recorded_seconds };
    let stages = vec![stage(Recorded::All, 0.15, 0.15), stage(Recorded::Pulses, 59.85, 1.2)];
    let pulses = Some(InPulses { seconds: 1.2, slowdown });
    let budget = Some(Budget { max_share: 0.03, average_share: 0.021, most_share: 0.16, stages, pulses });
    let leak = heap(8 << 20, 2000, vec![frame("load_cache", 40), frame("main", 80)]);
    let mut worker = process(4242, "worker", vec![leak]);
    worker.sampled = Some(Sampled { recorded: 240, ..Sampled::default() });
    let sampling = Some(Sampling { interval_bytes: 0, table_full: 0, in_pulses: true });
    Profile { budget, sampling, ..profile(vec![worker]) }
}

/// A budget that ended the recording of blocks.
pub fn budget_ended() -> Profile {
    let stage = |blocks, seconds| {
        let recorded_seconds = if blocks == Recorded::None { 0.0 } else { seconds };
        BudgetStage { blocks, interval_bytes: 0, seconds, recorded_seconds }
    };
    let stages = vec![stage(Recorded::All, 0.61), stage(Recorded::None, 59.39)];
    let budget = Some(Budget { max_share: 0.005, average_share: 0.05, most_share: 3.5, stages, pulses: None });
    Profile { budget, ..exact() }
}

/// A recording of growth: of a process that lives, and of one that has ended before anybody looked.
pub fn growth() -> Profile {
    let touched = |memory, pages: u64, function| {
        stack(memory, usage(pages << 12, pages), vec![frame(function, 4), frame("main", 2)])
    };
    let mut living = process(
        4242,
        "worker",
        vec![
            touched(Memory::TouchedHeap, 2048, "fill_cache"),
            touched(Memory::TouchedAnonymous, 512, "arena"),
            touched(Memory::TouchedStack, 2, "recurse"),
            touched(Memory::TouchedFileCopy, 1, "set_global"),
            touched(Memory::TouchedShared, 4, "post"),
            touched(Memory::TouchedFile, 9, "read_index"),
            touched(Memory::TouchedHuge, 512, "huge_pool"),
            stack(Memory::Anonymous, usage(4 << 20, 1), vec![frame("arena", 4), frame("main", 2)]),
            stack(Memory::Allocator, usage(9 << 20, 3), vec![frame("grow_heap", 4), frame("main", 2)]),
        ],
    );
    living.growth = Some(ProcessGrowth {
        begin: Some(Resident { anonymous: 10 << 20, file: 2 << 20, shared: 0 }),
        end: Some(Resident { anonymous: 21 << 20, file: 3 << 20, shared: 16 << 10 }),
        faults: 3_900,
        zero_faults: 20,
        unsized_faults: 0,
        is_checked: true,
    });
    let mut ended = process(4243, "short", vec![touched(Memory::TouchedHeap, 1, "once")]);
    ended.end = Some(End::Exited);
    let (begin, end) = (Some(Resident::default()), None);
    ended.growth = Some(ProcessGrowth { begin, end, faults: 1, zero_faults: 0, unsized_faults: 1, is_checked: false });
    for process in [&mut living, &mut ended] {
        process.allocators.clear();
    }
    Profile { growth: Some(Growth { page_faults: 3_901 }), ..profile(vec![living, ended]) }
}

/// More stacks than are shown.
pub fn more_than_shown() -> Profile {
    let of = |number: u32| {
        let number_of_blocks = u64::from(number);
        heap(number_of_blocks * 10, number_of_blocks, vec![frame("allocate", number), frame("main", 1)])
    };
    profile(vec![process(5, "many", (1..=13).map(of).collect())])
}
