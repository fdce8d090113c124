//! Names of addresses, or the reason why there is none.
//!
//! A frame's address goes from the process (avma) by its mapping to an offset in the file, by the file's program headers
//! to the address that the file's own tables use (svma), and by those tables to a name. All addresses of a file are
//! looked up together: see [`Symbolizer::prepare`].

mod debug_file;
mod demangle;
mod image;
mod resolver;

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use self::image::Image;
use self::resolver::{Name, Resolver, Symbols};
use crate::process::{MappedFile, Mapping, Mappings};
use crate::profile::{Frame, Place, Unnamed};

/// Most addresses whose names are kept.
const MOST_NAMES: usize = 1 << 20;

/// Most files that are kept open for their names.
const MOST_MODULES: usize = 2048;

/// Finds the names of addresses. Keeps what it found, within bounds; stays on the thread that made it.
#[derive(Debug)]
pub struct Symbolizer {
    resolver: Resolver,
    /// By the address of the [`MappedFile`], which the module keeps alive.
    modules: FxHashMap<*const MappedFile, Module>,
    /// Names in all modules.
    names: usize,
}

impl Symbolizer {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { resolver: Resolver::new(), modules: FxHashMap::default(), names: 0 }
    }

    /// Looks up every address of many stacks at once, which is far faster than stack by stack: a file is then read
    /// once. `leaf_is_return` as for [`Self::frames`].
    pub fn prepare<'a>(&mut self, stacks: impl IntoIterator<Item = (&'a Mappings, &'a [u64])>, leaf_is_return: bool) {
        let mut wanted: FxHashMap<*const MappedFile, (&Arc<MappedFile>, FxHashSet<u64>)> = FxHashMap::default();
        for (mappings, addresses) in stacks {
            for call in calls(addresses, leaf_is_return) {
                if let Some((mapping, offset)) = call.locate(mappings) {
                    let file = &mapping.file;
                    wanted.entry(Arc::as_ptr(file)).or_insert_with(|| (file, FxHashSet::default())).1.insert(offset);
                }
            }
        }
        for (file, offsets) in wanted.into_values() {
            self.look_up(file, &offsets);
        }
    }

    /// The frames of one stack: `addresses` are return addresses, leaf first, in a process with `mappings`. With
    /// `leaf_is_return` false, the first is the address of an instruction itself.
    #[must_use]
    pub fn frames(&mut self, mappings: &Mappings, addresses: &[u64], leaf_is_return: bool) -> Vec<Frame> {
        self.prepare([(mappings, addresses)], leaf_is_return);
        calls(addresses, leaf_is_return).map(|call| self.frame(mappings, call)).collect()
    }

    fn frame(&self, mappings: &Mappings, call: Call) -> Frame {
        let unnamed = Frame {
            address: call.address,
            module: None,
            module_address: 0,
            place: Err(Unnamed::NoModule),
            inlined: Vec::new(),
        };
        let Some((mapping, offset)) = call.locate(mappings) else { return unnamed };
        let unnamed = Frame { module: Some(Arc::clone(&mapping.file.name)), ..unnamed };
        let behind = call.address - call.within;
        let known = self.modules.get(&Arc::as_ptr(&mapping.file)).map(|module| module.name(offset));
        match known.unwrap_or(Err((offset, Unnamed::FileUnreadable))) {
            Err((address, reason)) => {
                Frame { module_address: address.wrapping_add(behind), place: Err(reason), ..unnamed }
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

    fn look_up(&mut self, file: &Arc<MappedFile>, offsets: &FxHashSet<u64>) {
        let known = self.modules.get(&Arc::as_ptr(file));
        let is_new = |offset: &&u64| known.is_none_or(|module| !module.names.contains_key(offset));
        let mut new: Vec<u64> = offsets.iter().filter(is_new).copied().collect();
        if new.is_empty() && known.is_some() {
            return;
        }
        if self.names + new.len() > MOST_NAMES || self.modules.len() >= MOST_MODULES {
            self.modules.clear();
            self.resolver.forget_strings();
            self.names = 0;
            new = offsets.iter().copied().collect();
        }
        new.sort_unstable();
        let module = self.modules.entry(Arc::as_ptr(file)).or_insert_with(|| Module::new(file));
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
    /// By offset in the file.
    names: FxHashMap<u64, Result<Rc<Name>, Unnamed>>,
}

impl Module {
    fn new(file: &Arc<MappedFile>) -> Self {
        Self { _file: Arc::clone(file), image: open(file), names: FxHashMap::default() }
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
fn open(file: &MappedFile) -> Result<(Image, Vec<Symbols>), Unnamed> {
    if !file.is_file() {
        // The vDSO: named, but without a file to look into.
        return Err(Unnamed::NoSymbol);
    }
    let own = file.open().map_err(|_| Unnamed::FileUnreadable)?;
    let image = Image::read(&own).ok_or(Unnamed::FileInvalid)?;
    let mut symbols = Vec::new();
    let mut add = |file: Arc<std::fs::File>, has_debug_info: bool| {
        // When the debug information is broken, the symbol tables may still be good.
        symbols.extend(has_debug_info.then(|| Symbols { file: Arc::clone(&file), debug_info: true }));
        symbols.push(Symbols { file, debug_info: false });
    };
    if let Some(debug) = debug_file::find(&file.path, &image) {
        add(Arc::new(debug.file), debug.has_debug_info);
    }
    add(own, image.has_debug_info());
    Ok((image, symbols))
}

#[cfg(test)]
mod tests;
