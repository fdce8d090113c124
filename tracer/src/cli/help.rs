//! Texts of the help and of the manual page.

pub(super) const ABOUT: &str = "Tells which code of a running process holds its memory";

pub(super) const LONG_ABOUT: &str = "\
Tells which code of a running process holds its memory.

heaptide follows every allocation and every release of a process with eBPF probes, and reports which code allocated \
what is still held. The program needs neither preparation nor restart, and runs on when heaptide ends.";

// The manual page shows these texts as they stand: no line is wider than a terminal of 80 columns, indented.
pub(super) const MAIN_HELP: &str = "\
Examples:
  sudo heaptide record -p 4711 -d 30s   which code holds what process 4711
                                        allocates in 30 seconds
  sudo heaptide record -- ./server -v   a program, from start to end
  sudo heaptide watch -p 4711           whether it is a leak, over time
  sudo heaptide doctor                  what this machine lacks, if anything";

pub(super) const RECORD_HELP: &str = "\
Examples:
  sudo heaptide record -p 4711                      until Ctrl-C
  sudo heaptide record -p 4711 -d 1m --older 10s    held for over 10 seconds
  sudo heaptide record -p 4711,4712 -d 30 -i 5      a report every 5 seconds
  sudo heaptide record -p 4711 -d 30s --folded out  for flame graphs
  sudo heaptide record -p 4711 -d 30s --json -      all there is to know
  sudo heaptide record -p 4711 --sample 512KiB      a busy program: estimates
  sudo heaptide record -p 4711 --max-overhead 3%    never slowed down by more
  sudo heaptide record --follow -- make -j4         a command's children too
  sudo heaptide record -p 4711 --mode growth        what makes it grow, for a
                                                    program that must not wait

--sample 512KiB chooses blocks at random, by their bytes, and costs the program
little: sums become estimates, and the report says how sure they are. What a
process allocated in all is still counted exactly. 0 records every block.

--max-overhead 3% records all blocks while the processes' CPU time grows by less
than that (one that uses less than a tenth of a CPU counts as using a tenth).
Where it would grow by more, blocks are sampled; and where the probes alone
cost too much, all is recorded in short pulses: of what was freed between them
nothing is known, so what is outstanding is at most what is told. The report
says when, and what it cost. It takes at most a second to find out.

--mode growth puts no probe on malloc or free. It records page faults and
mappings: which stacks have touched memory for the first time and so made the
process grow, how much of it is still there, and how much of that is the
heap's. The stack is that of the touch, not that of the allocation.

Times: 30s, 500ms, 2m, 1h; a bare number is seconds.
Sizes: 4096, 4K or 4KiB (all 4096 bytes), 4KB (4000 bytes).

--debuginfod asks the servers in DEBUGINFOD_URLS by curl, and keeps what they
give where elfutils does (DEBUGINFOD_CACHE_PATH). sudo removes variables that
it is not told to keep: sudo --preserve-env=DEBUGINFOD_URLS heaptide ...

Allocators: --allocator takes a preset (python, ruby, glib-slice,
sqlite3, openssl, nginx, cuda), or a pattern of file names and functions:
  --allocator sqlite3                SQLite's, in libsqlite3.so*
  --allocator '*/libmozsqlite3.so:sqlite3'    the same in another file
  --allocator 'libpool.so*:pool_alloc(size=1)->ret,pool_free(0)'
                    the size is argument 1, counted from 0; the block is
                    returned, and is argument 0 when it is freed
  f(size=0*1)       the size is a product
  f(size=1:int)     the size is an int, no size_t
  f(size=1)->*0     the block is stored where argument 0 points, and an
                    int is returned: 0 when it succeeded
  f(block=0,size=1) the block of argument 0 is resized, as by realloc
NAME=FILE:... gives it a name for reports. A file is found by its name, or
by its path when the pattern has a slash; A|B is either. What such an
allocator takes from malloc is not counted twice. --allocator-file reads
the same from TOML; docs/allocators.md tells more.

Output: the text report goes to standard output, unless --folded or --json
goes there. Files are written under another name and renamed when they are
complete; a path that cannot be written is refused before anything is
attached.";

pub(super) const WATCH_HELP: &str = "\
Examples:
  sudo heaptide watch -p 4711                    is it a leak? until Ctrl-C
  sudo heaptide watch -n redis-server            also when it is restarted
  sudo heaptide watch -p 4711 --follow           a server and its workers
  sudo heaptide watch -p 4711 --for 1h --csv     for a spreadsheet
  sudo heaptide watch -p 4711 --until growing    ends when it is a leak
  sudo heaptide watch --for 10m --exit-code -- ./soak-test
                                                 fails (10) if that leaks
  sudo heaptide watch -p 4711 --keep profiles \\
       --on growing 'systemctl restart worker' \\
       --when 'rss>90%limit' 'page-somebody \"$HEAPTIDE_NAME\"'

A leak never levels off, and bloat does: a short look cannot tell them apart.
The first verdicts come after some 16 lines; until there is one, it is too early
to say. Growth that was watched for less than half a minute is less than 80 %
sure: a cache that fills can look like it. --until and --on wait (--sure 80%). docs/verdicts.md tells what each verdict means and how it is found.

Conditions compare a number of a process: outstanding, blocks, rss, pss, uss,
anonymous, file, shmem, swap, allocator, cgroup, growth.
  outstanding>500MiB        rss>90%limit        growth>1MiB/min
  blocks>1000000 && pss>=2GiB
The limit is that of the control group, or the machine's memory.

Commands are run by sh, with the facts in variables (HEAPTIDE_PID,
HEAPTIDE_NAME, HEAPTIDE_VERDICT, HEAPTIDE_RSS_BYTES, ...) and as JSON on their
standard input. What they print goes to standard error. With --keep, a profile
of the moment is written before. An empty command only keeps the profile.

Marks: `heaptide mark`, or SIGUSR1 to heaptide. What was allocated after one
mark and is still there at the next is not in use for a moment only.

Times, sizes and allocators are written as for record: heaptide record --help.";

pub(super) const MARK_HELP: &str = "\
Examples:
  sudo heaptide mark            before a request that leaks, and after it
  sudo heaptide mark -p 4711    of several recordings, that of process 4711";
