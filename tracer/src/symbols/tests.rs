//! Answers compared with those of binutils, and with what the sources here say of themselves.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::process::Identity;

#[inline(always)]
fn inlined_here(count: u64) -> u64 {
    black_box(count) * 3
}

#[inline(never)]
fn with_inlined_call(count: u64) -> u64 {
    let first = inlined_here(count);
    black_box(first + 1)
}

fn mine() -> Mappings {
    Mappings::read(std::process::id()).unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("binutils and a C compiler are installed");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The function names and lines at `address` (svma) as addr2line gives them, innermost first.
fn addr2line(file: &Path, address: u64) -> Vec<(String, String)> {
    let answer = run("addr2line", &["-fiCe", file.to_str().unwrap(), &format!("{address:#x}")]);
    let lines: Vec<_> = answer.lines().collect();
    let last = |path: &str| path.split(" (disc").next().unwrap().rsplit('/').next().unwrap().to_owned();
    lines.chunks_exact(2).map(|pair| (pair[0].rsplit("::").next().unwrap().to_owned(), last(pair[1]))).collect()
}

/// The same of a frame.
fn as_addr2line(frame: &Frame) -> Vec<(String, String)> {
    let line = |function: &str, source: &Option<(Arc<str>, u32)>| {
        let (path, line) = source.as_ref().unwrap();
        let file = path.rsplit('/').next().unwrap();
        (function.rsplit("::").next().unwrap().to_owned(), format!("{file}:{line}"))
    };
    let place = frame.place.as_ref().unwrap();
    let inlined = frame.inlined.iter().map(|each| line(&each.function, &each.source));
    inlined.chain([line(&place.function, &place.source)]).collect()
}

#[test]
fn functions_lines_and_inlined_functions_are_those_of_addr2line() {
    assert_eq!(with_inlined_call(4), 13);
    let begin = with_inlined_call as *const () as u64;
    let addresses: Vec<u64> = (begin..begin + 40).step_by(4).collect();
    let mut symbolizer = Symbolizer::new();
    let mappings = mine();
    let program = std::env::current_exe().unwrap();
    let mut inlined = 0;
    for address in addresses {
        let frame = symbolizer.frames(&mappings, &[address], false).remove(0);
        assert_eq!(as_addr2line(&frame), addr2line(&program, frame.module_address));
        assert_eq!(frame.place.as_ref().unwrap().offset, address - begin);
        inlined += frame.inlined.len();
    }
    assert!(inlined > 0, "no address was in the inlined function");
}

#[test]
fn names_are_demangled_without_hash() {
    let begin = with_inlined_call as *const () as u64;
    let frame = Symbolizer::new().frames(&mine(), &[begin], false).remove(0);
    assert_eq!(&*frame.place.unwrap().function, "heaptide::symbols::tests::with_inlined_call");
    assert_eq!(frame.module.as_deref(), std::env::current_exe().unwrap().file_name().and_then(|name| name.to_str()));
}

#[test]
fn a_return_address_is_named_after_its_call() {
    let begin = with_inlined_call as *const () as u64;
    let mut symbolizer = Symbolizer::new();
    let frames = symbolizer.frames(&mine(), &[begin + 1, begin], true);
    let place = frames[0].place.as_ref().unwrap();
    assert_eq!((&*place.function, place.offset), ("heaptide::symbols::tests::with_inlined_call", 1));
    // The byte before the function's first is another function's, or nobody's.
    let before = frames[1].place.as_ref().map(|place| &*place.function);
    assert_ne!(before, Ok("heaptide::symbols::tests::with_inlined_call"));
    assert_eq!((frames[0].address, frames[1].address), (begin + 1, begin));
    assert_eq!(frames[0].module_address, frames[1].module_address + 1);
}

#[test]
fn functions_of_the_c_library_have_their_names() {
    let mappings = mine();
    let libc = mappings.iter().find(|mapping| &*mapping.file.name == "libc.so.6" && mapping.executable).unwrap();
    let image = Image::read(&libc.file.open().unwrap()).unwrap();
    for name in ["malloc", "qsort", "fopen"] {
        let table = run("nm", &["-D", "--defined-only", libc.file.path.to_str().unwrap()]);
        let is_it = |symbol: &&str| symbol.split('@').next() == Some(name);
        let line = table.lines().find(|line| line.split(' ').nth(2).as_ref().is_some_and(is_it)).unwrap();
        let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        let bias = libc.start - image.address(libc.offset).unwrap();
        let frame = Symbolizer::new().frames(&mappings, &[bias + address], false).remove(0);
        let place = frame.place.unwrap();
        assert!(place.function.contains(name), "{name} is called {}", place.function);
        assert_eq!((frame.module_address, place.offset), (address, 0));
        // Distributions strip it, and keep its lines in a package of their own, under its build id.
        let mut id = String::new();
        image.build_id.as_ref().unwrap().iter().for_each(|byte| write!(id, "{byte:02x}").unwrap());
        let package = format!("/usr/lib/debug/.build-id/{}/{}.debug", &id[..2], &id[2..]);
        assert_eq!(place.source.is_some(), Path::new(&package).exists() || image.has_debug_info());
    }
}

/// A library with a function that only its debug information names.
struct Library {
    directory: tempfile::TempDir,
    /// Address (svma) of the function.
    address: u64,
}

const SOURCE: &str = "static __attribute__((noinline)) int hidden(int a) { return a + 1; }\nint shown(int a) { return hidden(a) * 2; }\n";

impl Library {
    fn compile(linker_option: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("library.c"), SOURCE).unwrap();
        let arguments = ["-g", "-O1", "-shared", "-fPIC", linker_option, "-o", &path("library.so"), &path("library.c")];
        run("cc", &arguments);
        let table = run("nm", &[&path("library.so")]);
        let line = table.lines().find(|line| line.ends_with(" hidden")).unwrap();
        let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        Self { directory, address }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Moves the debug information into the file `debug`.
    fn split(self, debug: &str) -> Self {
        run("objcopy", &["--only-keep-debug", &self.path("library.so"), &self.path(debug)]);
        self.strip();
        run("objcopy", &[&format!("--add-gnu-debuglink={}", self.path(debug)), &self.path("library.so")]);
        self
    }

    /// Leaves of its symbol tables what the linker needs, and a small one as some distributions have it.
    fn strip_to_small_table(&self) {
        run("objcopy", &["-S", "--strip-debug", "-K", "hidden", &self.path("library.so"), &self.path("small")]);
        fs::write(self.path("small.xz"), small_table::tests::xz(&fs::read(self.path("small")).unwrap())).unwrap();
        self.strip();
        let section = format!(".gnu_debugdata={}", self.path("small.xz"));
        run("objcopy", &["--add-section", &section, &self.path("library.so")]);
    }

    fn strip(&self) {
        run("strip", &[&self.path("library.so")]);
    }

    /// The frame of the function, as if the library were mapped.
    fn frame(&self, name: &str) -> Frame {
        let file = mapped(&self.path(name));
        // Mapped as a whole, so that its offsets are those of the file.
        let image = file.open().ok().and_then(|file| Image::read(&file));
        let offset = image.map_or(self.address, |image| {
            (0..1 << 20).find(|&offset| image.address(offset) == Some(self.address)).unwrap()
        });
        let mapping = Mapping { start: 0x10_0000, end: 0x20_0000, offset: 0, executable: true, file };
        let mut mappings = Mappings::default();
        mappings.insert(mapping);
        Symbolizer::new().frames(&mappings, &[0x10_0000 + offset], false).remove(0)
    }
}

fn mapped(path: &str) -> Arc<MappedFile> {
    MappedFile::shared(Identity { device: (0, 0), inode: 0, path: path.as_bytes().into() }, u32::MAX, 0..0)
}

fn named(frame: &Frame) -> Result<(&str, &str, u32), Unnamed> {
    let place = frame.place.as_ref().map_err(|&reason| reason)?;
    let (path, line) = place.source.as_ref().unwrap();
    Ok((&place.function, path.rsplit('/').next().unwrap(), *line))
}

#[test]
fn debug_information_is_found_by_a_debug_link_with_a_build_id() {
    let library = Library::compile("-Wl,--build-id=sha1").split("library.debug");
    assert_eq!(named(&library.frame("library.so")), Ok(("hidden", "library.c", 1)));
}

#[test]
fn debug_information_is_found_by_a_debug_link_with_a_checksum() {
    let library = Library::compile("-Wl,--build-id=none").split("library.debug");
    assert_eq!(named(&library.frame("library.so")), Ok(("hidden", "library.c", 1)));
}

#[test]
fn a_debug_file_of_another_build_is_not_used() {
    let library = Library::compile("-Wl,--build-id=none").split("library.debug");
    let debug = library.path("library.debug");
    let mut content = fs::read(&debug).unwrap();
    content.push(0);
    fs::write(&debug, content).unwrap();
    assert_eq!(named(&library.frame("library.so")), Err(Unnamed::NoSymbol));
}

#[test]
fn a_debug_link_that_is_a_path_is_not_followed() {
    let library = Library::compile("-Wl,--build-id=none");
    fs::create_dir(library.path("other")).unwrap();
    let library = library.split("other/library.debug");
    let hostile = library.path("hostile.so");
    // The name of the same length leads to the debug file from where the library is.
    let content = fs::read(library.path("library.so")).unwrap();
    let position = content.windows(13).rposition(|bytes| bytes == b"library.debug").unwrap();
    let mut content = content;
    content[position..position + 13].copy_from_slice(b"other/x.debug");
    fs::write(&hostile, content).unwrap();
    fs::rename(library.path("other/library.debug"), library.path("other/x.debug")).unwrap();
    assert_eq!(named(&library.frame("hostile.so")), Err(Unnamed::NoSymbol));
    // The same library with a plain name is named, so it was the path.
    fs::rename(library.path("other/x.debug"), library.path("library.debug")).unwrap();
    assert_eq!(named(&library.frame("library.so")), Ok(("hidden", "library.c", 1)));
}

#[test]
fn debug_information_is_found_in_a_deleted_file() {
    let library = Library::compile("-Wl,--build-id=sha1");
    let _kept = mapped(&library.path("library.so"));
    fs::remove_file(library.path("library.so")).unwrap();
    assert_eq!(named(&library.frame("library.so")), Ok(("hidden", "library.c", 1)));
}

#[test]
fn a_process_that_has_exited_still_has_names() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // What comes back came through the library: by then it is mapped.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let mappings = Mappings::read(child.id()).unwrap();
    drop(input);
    child.wait().unwrap();
    let own = mine();
    let code = |mappings: &Mappings| {
        mappings.iter().find(|each| &*each.file.name == "libc.so.6" && each.executable).unwrap().start
    };
    // Both have the same library, so the same functions at the same distance.
    let mut symbolizer = Symbolizer::new();
    let mut place = |mappings: &Mappings| symbolizer.frames(mappings, &[code(mappings) + 0x2000], true).remove(0).place;
    assert!(place(&mappings).is_ok());
    assert_eq!(place(&mappings), place(&own));
}

#[test]
fn addresses_without_a_name_say_why() {
    let library = Library::compile("-Wl,--build-id=none");
    library.strip();
    fs::write(library.path("text.so"), "no ELF file").unwrap();
    assert_eq!(named(&library.frame("library.so")), Err(Unnamed::NoSymbol));
    assert_eq!(named(&library.frame("text.so")), Err(Unnamed::FileInvalid));
    assert_eq!(named(&library.frame("missing.so")), Err(Unnamed::FileUnreadable));
    let nowhere = Symbolizer::new().frames(&Mappings::default(), &[0x1234], true).remove(0);
    assert_eq!((nowhere.module, nowhere.module_address, nowhere.place), (None, 0, Err(Unnamed::NoModule)));
}

#[test]
fn a_broken_library_costs_only_its_own_names() {
    let library = Library::compile("-Wl,--build-id=none");
    let whole = fs::read(library.path("library.so")).unwrap();
    let mut frames = 0;
    for seed in 0..40_usize {
        let mut broken = whole.clone();
        for index in (seed..broken.len()).step_by(97 + seed) {
            broken[index] ^= 0x55;
        }
        // The start stays, so that the damage is not seen at once.
        broken[..64].copy_from_slice(&whole[..64]);
        let path = library.path(&format!("broken{seed}.so"));
        fs::write(&path, broken).unwrap();
        let mapping = Mapping { start: 0x1_0000, end: 0x3_0000, offset: 0, executable: true, file: mapped(&path) };
        let mut mappings = Mappings::default();
        mappings.insert(mapping);
        let addresses: Vec<u64> = (0x1_0000..0x1_4000).step_by(16).collect();
        frames += Symbolizer::new().frames(&mappings, &addresses, false).len();
    }
    assert_eq!(frames, 40 * 0x400);
}

/// `cargo test -p heaptide --release -- --ignored --nocapture ten_thousand`: how long does it take?
#[test]
#[ignore = "tells a time, which a test cannot judge"]
fn ten_thousand_stacks_of_a_large_program_are_named() {
    let mappings = mine();
    let begin = mappings.iter().find(|mapping| mapping.executable).unwrap();
    let (start, length) = (begin.start, begin.end - begin.start);
    let stacks: Vec<Vec<u64>> = (0..10_000_u64)
        .map(|stack| (0..20).map(|depth| start + (stack * (depth + 1) * 4099) % length).collect())
        .collect();
    let clock = std::time::Instant::now();
    let mut symbolizer = Symbolizer::new();
    symbolizer.prepare(stacks.iter().map(|stack| (&mappings, stack.as_slice())), true);
    let prepared = clock.elapsed();
    let frames: Vec<_> = stacks.iter().map(|stack| symbolizer.frames(&mappings, stack, true)).collect();
    let named = frames.iter().flatten().filter(|frame| frame.place.is_ok()).count();
    println!(
        "{} distinct addresses, {named} frames named: {prepared:?} to look up, {:?} in all",
        symbolizer.names,
        clock.elapsed()
    );
    assert!(named > 100_000, "{named}");
}

fn perf_map(content: &str) -> Arc<PerfMap> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    Arc::new(PerfMap::read(&file).unwrap())
}

#[test]
fn code_made_at_run_time_has_the_name_that_its_process_gives() {
    let perf_maps = [perf_map("1000 100 JS:*render /srv/app.js:12:3\n")];
    let mappings = Mappings::default();
    let code = Code { mappings: &mappings, perf_maps: &perf_maps };
    let frames = Symbolizer::new().frames(code, &[0x1010, 0x1100, 0x1000, 0x1101], true);
    let place = |index: usize| frames[index].place.as_ref().map(|place| (&*place.function, place.offset));
    assert_eq!(place(0), Ok(("JS:*render /srv/app.js:12:3", 0x10)));
    // A call that is the last instruction returns behind the function.
    assert_eq!(place(1), Ok(("JS:*render /srv/app.js:12:3", 0x100)));
    assert_eq!([place(2), place(3)], [Err(&Unnamed::NoModule); 2]);
    assert_eq!((frames[0].module.as_deref(), frames[0].module_address), (Some("[jit]"), 0x1010));
}

#[test]
fn a_perf_map_does_not_name_the_code_of_a_file() {
    let mappings = mine();
    let begin = with_inlined_call as *const () as u64;
    let perf_maps = [perf_map(&format!("{:x} 1000 wrong\n", begin - 0x800))];
    let code = Code { mappings: &mappings, perf_maps: &perf_maps };
    let place = Symbolizer::new().frames(code, &[begin], false).remove(0).place.unwrap();
    assert_eq!(&*place.function, "heaptide::symbols::tests::with_inlined_call");
}

#[test]
fn a_perf_map_names_code_in_memory_that_looks_like_a_file() {
    let file = mapped("/memfd:doublemapper (deleted)");
    let mut mappings = Mappings::default();
    mappings.insert(Mapping { start: 0x1000, end: 0x3000, offset: 0, executable: true, file });
    let perf_maps = [perf_map("1000 100 made\n")];
    let code = Code { mappings: &mappings, perf_maps: &perf_maps };
    assert!(!code.is_in_a_file(0x1010));
    let frames = Symbolizer::new().frames(code, &[0x1010, 0x2010], false);
    assert_eq!(frames[0].place.as_ref().map(|place| &*place.function), Ok("made"));
    assert_eq!((frames[1].module.as_deref(), frames[1].place.is_err()), (Some("memfd:doublemapper"), true));
}

#[test]
fn functions_of_a_stripped_file_are_found_in_its_small_symbol_table() {
    let library = Library::compile("-Wl,--build-id=sha1");
    library.strip_to_small_table();
    assert!(!run("nm", &["-D", &library.path("library.so")]).contains("hidden"));
    let place = library.frame("library.so").place.unwrap();
    assert_eq!((&*place.function, place.offset, place.source), ("hidden", 0, None));
}

#[test]
fn functions_of_the_vdso_have_their_names() {
    let mappings = mine();
    let mapping = mappings.iter().find(|mapping| &*mapping.file.name == "[vdso]").unwrap();
    let mut content = Vec::new();
    image::with_own_position(&vdso::copy().unwrap()).unwrap().read_to_end(&mut content).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("vdso.so");
    fs::write(&copy, content).unwrap();
    let table = run("nm", &["-D", "--defined-only", copy.to_str().unwrap()]);
    let line = table.lines().find(|line| line.contains("__vdso_clock_gettime")).unwrap();
    let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
    let frame = Symbolizer::new().frames(&mappings, &[mapping.start + address + 4], false).remove(0);
    let place = frame.place.unwrap();
    assert!(place.function.contains("clock_gettime"), "{}", place.function);
    assert_eq!((place.offset, frame.module.as_deref(), frame.module_address), (4, Some("[vdso]"), address + 4));
}

#[test]
fn a_frame_of_a_stripped_file_keeps_its_build_id() {
    let library = Library::compile("-Wl,--build-id=0x00112233445566778899aabbccddeeff");
    assert_eq!(library.frame("library.so").build_id, None);
    library.strip();
    let frame = library.frame("library.so");
    assert_eq!((frame.place, frame.module_address), (Err(Unnamed::NoSymbol), library.address));
    assert_eq!(frame.build_id.as_deref(), Some("00112233445566778899aabbccddeeff"));
}

#[test]
fn progress_counts_every_file_once() {
    let mut symbolizer = Symbolizer::new();
    let progress = Arc::new(Progress::default());
    symbolizer.prepare_report(None, Arc::clone(&progress));
    let mappings = mine();
    let addresses: Vec<u64> = mappings.iter().filter(|each| each.executable).map(|each| each.start + 0x100).collect();
    symbolizer.prepare([(&mappings, addresses.as_slice())], true);
    let files: FxHashSet<_> =
        mappings.iter().filter(|each| each.executable).map(|each| Arc::as_ptr(&each.file)).collect();
    assert_eq!(progress.counts(), (files.len(), files.len()));
    assert!(!symbolizer.frames(&mappings, &addresses, true).is_empty());
    assert_eq!((progress.counts(), progress.standing()), ((files.len(), files.len()), None));
}
