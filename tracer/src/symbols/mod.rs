//! Names of addresses, or the reason why there is none.
//!
//! A frame's address goes from the process (avma) by its mapping to an offset in the file, by the file's program headers
//! to the address that the file's own tables use (svma), and by those tables to a name. All addresses of a file are
//! looked up together: see [`Symbolizer::prepare`].

mod debug_file;
mod debuginfod;
mod demangle;
mod image;
mod memory;
mod progress;
mod resolver;
mod small_table;
mod vdso;

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

pub use self::debuginfod::{Debuginfod, DebuginfodError};
use self::image::Image;
pub use self::progress::{Progress, Standing};
use self::resolver::{Name, Resolver, Symbols};
use crate::process::{MappedFile, Mapping, Mappings, PerfMap};
use crate::profile::{Frame, Place, Unnamed};

/// Other files with symbols of a file that has no whole table of its own, which is at `path` as its process sees it: the
/// one with its debug information, and the small table that is packed in it.
pub(crate) fn other_tables(file: &File, path: &Path) -> Vec<Arc<File>> {
    let Some(image) = Image::read(file) else { return Vec::new() };
    let debug = debug_file::find(path, &image).map(|found| Arc::new(found.file));
    debug.into_iter().chain(small_table::unpack(file, &image)).collect()
}

/// Most addresses whose names are kept.
const MOST_NAMES: usize = 1 << 20;

/// Most files that are kept open for their names.
const MOST_MODULES: usize = 2048;

/// Most bytes of symbol tables that are unpacked into memory, before all are forgotten.
const MOST_UNPACKED: u64 = 512 << 20;

/// What code made at run time has for its module, as perf and debuggers call it.
const MADE_AT_RUN_TIME: &str = "[jit]";

/// The code of one process.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// What lies in files.
    pub mappings: &'a Mappings,
    /// What the process says of code that it made, best first.
    pub perf_maps: &'a [Arc<PerfMap>],
}

impl<'a> From<&'a Mappings> for Code<'a> {
    fn from(mappings: &'a Mappings) -> Self {
        Self { mappings, perf_maps: &[] }
    }
}

impl<'a> Code<'a> {
    /// Whether the call before `address` is in a file, rather than in code made at run time or nowhere.
    #[must_use]
    pub fn is_in_a_file(self, address: u64) -> bool {
        let mapping = self.mappings.find(address.saturating_sub(1)).filter(|mapping| mapping.executable);
        mapping.is_some_and(|mapping| !mapping.file.is_memory())
    }

    /// The name that the process gives to code that it made at `address`, and where the function begins.
    fn made(self, address: u64) -> Option<(&'a str, u64)> {
        self.perf_maps.iter().find_map(|map| map.find(address))
    }
}

/// Finds the names of addresses. Keeps what it found, within bounds; stays on the thread that made it.
#[derive(Debug)]
pub struct Symbolizer {
    resolver: Resolver,
    /// Who is asked for debug information that this machine does not have.
    debuginfod: Option<Debuginfod>,
    progress: Arc<Progress>,
    /// By the address of the [`MappedFile`], which the module keeps alive.
    modules: FxHashMap<*const MappedFile, Module>,
    /// Names in all modules.
    names: usize,
    /// Bytes of memory that files of modules take.
    unpacked: u64,
    /// Each name of code made at run time once.
    made: FxHashSet<Arc<str>>,
    /// What such code has for its module.
    made_module: Arc<str>,
}

impl Symbolizer {
    /// One that knows nothing yet, and asks nobody outside of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            debuginfod: None,
            progress: Arc::default(),
            resolver: Resolver::new(),
            modules: FxHashMap::default(),
            names: 0,
            unpacked: 0,
            made: FxHashSet::default(),
            made_module: MADE_AT_RUN_TIME.into(),
        }
    }

    /// For a report that somebody waits for: asks these servers, too, and tells how far it has come.
    pub fn prepare_report(&mut self, debuginfod: Option<Debuginfod>, progress: Arc<Progress>) {
        if debuginfod.is_some() {
            // What was found without them may not be all.
            self.forget();
        }
        self.debuginfod = debuginfod;
        self.progress = progress;
    }

    fn forget(&mut self) {
        self.modules.clear();
        self.resolver.forget_strings();
        (self.names, self.unpacked) = (0, 0);
    }

    /// Looks up every address of many stacks at once, which is far faster than stack by stack: a file is then read
    /// once. `leaf_is_return` as for [`Self::frames`].
    pub fn prepare<'a, C: Into<Code<'a>>>(
        &mut self,
        stacks: impl IntoIterator<Item = (C, &'a [u64])>,
        leaf_is_return: bool,
    ) {
        let mut wanted: FxHashMap<*const MappedFile, (&Arc<MappedFile>, FxHashSet<u64>)> = FxHashMap::default();
        for (code, addresses) in stacks {
            let mappings = code.into().mappings;
            for call in calls(addresses, leaf_is_return) {
                if let Some((mapping, offset)) = call.locate(mappings) {
                    let file = &mapping.file;
                    wanted.entry(Arc::as_ptr(file)).or_insert_with(|| (file, FxHashSet::default())).1.insert(offset);
                }
            }
        }
        let wanted =
            wanted.into_values().filter_map(|(file, offsets)| Some((file, self.unknown(file, &offsets)?, offsets)));
        let wanted: Vec<_> = wanted.collect();
        let progress = Arc::clone(&self.progress);
        progress.expect(wanted.len());
        for (file, new, offsets) in wanted {
            progress.begin(&file.name);
            self.look_up(file, new, &offsets);
            progress.end();
        }
    }

    /// The frames of one stack: `addresses` are return addresses, leaf first, in a process with this code. With
    /// `leaf_is_return` false, the first is the address of an instruction itself.
    #[must_use]
    pub fn frames<'a>(&mut self, code: impl Into<Code<'a>>, addresses: &'a [u64], leaf_is_return: bool) -> Vec<Frame> {
        let code = code.into();
        self.prepare([(code, addresses)], leaf_is_return);
        calls(addresses, leaf_is_return).map(|call| self.frame(code, call)).collect()
    }

    /// The frames of a stack, as [`Self::frames`] gives them; those of one address in this code are one, kept in `known` with
    /// whether it is a return address: stacks have their outer callers in common.
    #[must_use]
    pub fn shared_frames<'a>(
        &mut self,
        code: impl Into<Code<'a>>,
        addresses: &'a [u64],
        leaf_is_return: bool,
        known: &mut FxHashMap<(u64, bool), Arc<Frame>>,
    ) -> Vec<Arc<Frame>> {
        let code = code.into();
        let name = |call: &Call| (call.address, call.within != call.address);
        if calls(addresses, leaf_is_return).any(|call| !known.contains_key(&name(&call))) {
            self.prepare([(code, addresses)], leaf_is_return);
        }
        let shared =
            |call: Call| Arc::clone(known.entry(name(&call)).or_insert_with(|| Arc::new(self.frame(code, call))));
        calls(addresses, leaf_is_return).map(shared).collect()
    }

    fn frame(&mut self, code: Code<'_>, call: Call) -> Frame {
        let frame = self.frame_in_a_file(code.mappings, call);
        match frame.place {
            // A file of another kind may well hold code made at run time: memory with a name, shared with nobody.
            Err(Unnamed::NoModule | Unnamed::FileInvalid | Unnamed::FileUnreadable) => match code.made(call.within) {
                Some((name, start)) => self.made_frame(name, start, call),
                None => frame,
            },
            _ => frame,
        }
    }

    fn made_frame(&mut self, name: &str, start: u64, call: Call) -> Frame {
        if self.made.len() >= MOST_NAMES {
            self.made.clear();
        }
        let function = self.made.get(name).map_or_else(|| Arc::from(name), Arc::clone);
        self.made.insert(Arc::clone(&function));
        Frame {
            address: call.address,
            module: Some(Arc::clone(&self.made_module)),
            module_address: call.address,
            build_id: None,
            place: Ok(Place { function, offset: call.address - start, source: None }),
            inlined: Vec::new(),
        }
    }

    fn frame_in_a_file(&self, mappings: &Mappings, call: Call) -> Frame {
        let unnamed = Frame {
            address: call.address,
            module: None,
            module_address: 0,
            build_id: None,
            place: Err(Unnamed::NoModule),
            inlined: Vec::new(),
        };
        let Some((mapping, offset)) = call.locate(mappings) else { return unnamed };
        let unnamed = Frame { module: Some(Arc::clone(&mapping.file.name)), ..unnamed };
        let behind = call.address - call.within;
        let module = self.modules.get(&Arc::as_ptr(&mapping.file));
        match module.map_or(Err((offset, Unnamed::FileUnreadable)), |module| module.name(offset)) {
            Err((address, reason)) => {
                let build_id = module.and_then(|module| module.build_id.clone());
                let build_id = build_id.filter(|_| reason == Unnamed::NoSymbol);
                Frame { module_address: address.wrapping_add(behind), build_id, place: Err(reason), ..unnamed }
            }
            Ok((address, name)) => {
                let module_address = address.wrapping_add(behind);
                let place = Place {
                    function: Arc::clone(&name.function),
                    offset: module_address.saturating_sub(name.start),
                    source: name.source.clone(),
                };
                Frame { module_address, place: Ok(place), inlined: name.inlined.clone(), ..unnamed }
            }
        }
    }

    /// Which of the `offsets` in a file were not looked up yet; `None` when there is nothing to do.
    fn unknown(&self, file: &Arc<MappedFile>, offsets: &FxHashSet<u64>) -> Option<Vec<u64>> {
        let known = self.modules.get(&Arc::as_ptr(file));
        let is_new = |offset: &&u64| known.is_none_or(|module| !module.names.contains_key(offset));
        let new: Vec<u64> = offsets.iter().filter(is_new).copied().collect();
        (!new.is_empty() || known.is_none()).then_some(new)
    }

    fn look_up(&mut self, file: &Arc<MappedFile>, mut new: Vec<u64>, offsets: &FxHashSet<u64>) {
        let is_full = self.names + new.len() > MOST_NAMES || self.modules.len() >= MOST_MODULES;
        if is_full || self.unpacked > MOST_UNPACKED {
            self.forget();
            new = offsets.iter().copied().collect();
        }
        new.sort_unstable();
        let module = self.modules.entry(Arc::as_ptr(file)).or_insert_with(|| {
            let module = Module::new(file, self.debuginfod.as_mut());
            self.unpacked += module.unpacked;
            module
        });
        let before = module.names.len();
        module.look_up(&mut self.resolver, &new);
        self.names += module.names.len() - before;
    }
}

impl Default for Symbolizer {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame's address as the stack gives it, and an address within the instruction that it stands for.
#[derive(Clone, Copy)]
struct Call {
    address: u64,
    within: u64,
}

impl Call {
    /// The mapping of the instruction, and the instruction's offset in the file.
    fn locate(self, mappings: &Mappings) -> Option<(&Mapping, u64)> {
        let mapping = mappings.find(self.within).filter(|mapping| mapping.executable)?;
        Some((mapping, mapping.file_offset(self.within)))
    }
}

/// A return address lies behind its call, which may be the last instruction of its line, function or file.
fn calls(addresses: &[u64], leaf_is_return: bool) -> impl Iterator<Item = Call> {
    addresses.iter().enumerate().map(move |(depth, &address)| {
        let is_return = leaf_is_return || depth > 0;
        Call { address, within: address.saturating_sub(u64::from(is_return)) }
    })
}

/// A file, and the names that were looked up in it.
#[derive(Debug)]
struct Module {
    /// Kept, so that no other file takes its address in memory, which is the key of this module.
    _file: Arc<MappedFile>,
    image: Result<(Image, Vec<Symbols>), Unnamed>,
    /// The image's, in hexadecimal digits.
    build_id: Option<Arc<str>>,
    /// Bytes of memory that files of its own take.
    unpacked: u64,
    /// By offset in the file.
    names: FxHashMap<u64, Result<Rc<Name>, Unnamed>>,
}

impl Module {
    fn new(file: &Arc<MappedFile>, debuginfod: Option<&mut Debuginfod>) -> Self {
        let image = open(file, debuginfod);
        let found = image.as_ref().ok();
        let build_id = found.and_then(|(image, _)| image.build_id_text()).map(Arc::from);
        let unpacked = found.map_or(0, |(_, symbols)| symbols.iter().map(|symbols| symbols.memory).sum());
        Self { _file: Arc::clone(file), image, build_id, unpacked, names: FxHashMap::default() }
    }

    fn look_up(&mut self, resolver: &mut Resolver, offsets: &[u64]) {
        let Ok((image, symbols)) = &self.image else { return };
        let addresses = offsets.iter().filter_map(|&offset| Some((offset, image.address(offset)?)));
        let (inside, addresses): (Vec<u64>, Vec<u64>) = addresses.unzip();
        // What no segment holds is not the file that was mapped.
        self.names.extend(offsets.iter().map(|&offset| (offset, Err(Unnamed::FileInvalid))));
        self.names.extend(inside.into_iter().zip(resolver.resolve(symbols, &addresses)));
    }

    /// The address (svma) of the code at `offset` in the file, and its name; where the address cannot be told, the
    /// offset itself.
    fn name(&self, offset: u64) -> Result<(u64, &Name), (u64, Unnamed)> {
        let (image, _) = self.image.as_ref().map_err(|&reason| (offset, reason))?;
        let address = image.address(offset).unwrap_or(offset);
        match self.names.get(&offset) {
            Some(Ok(name)) => Ok((address, name)),
            Some(Err(reason)) => Err((address, *reason)),
            None => Err((address, Unnamed::NoSymbol)),
        }
    }
}

/// The facts of a file, and the files to look for its names in, best first.
fn open(file: &MappedFile, debuginfod: Option<&mut Debuginfod>) -> Result<(Image, Vec<Symbols>), Unnamed> {
    let own = if file.is_file() { file.open() } else { vdso::copy() };
    let own = own.map_err(|_| Unnamed::FileUnreadable)?;
    let image = Image::read(&own).ok_or(Unnamed::FileInvalid)?;
    let mut symbols = Vec::new();
    let mut add = |file: Arc<File>, has_debug_info: bool| {
        // When the debug information is broken, the symbol tables may still be good.
        symbols.extend(has_debug_info.then(|| Symbols { file: Arc::clone(&file), debug_info: true, memory: 0 }));
        symbols.push(Symbols { file, debug_info: false, memory: 0 });
    };
    if let Some(debug) = debug_file::find(&file.path, &image) {
        add(Arc::new(debug.file), debug.has_debug_info);
    } else if !image.has_debug_info()
        && file.is_file()
        && let Some(debug) = debuginfod.and_then(|debuginfod| debuginfod.find(&image))
    {
        let has_debug_info = Image::read(&debug).is_some_and(|image| image.has_debug_info());
        add(Arc::new(debug), has_debug_info);
    }
    let small_table = small_table::unpack(&own, &image);
    add(own, image.has_debug_info());
    if let Some(file) = small_table {
        let memory = file.metadata().map_or(0, |metadata| metadata.size());
        symbols.push(Symbols { file, debug_info: false, memory });
    }
    Ok((image, symbols))
}

#[cfg(test)]
mod tests;
