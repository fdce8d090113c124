//! Which frame of a stack is named for it: the first that is the program's own.
//!
//! The first frames are often those of an allocator, or of a function that only hands memory on (`strdup`, `operator new`,
//! `g_malloc`): whoever calls them has decided to allocate. So have the inner functions of an interpreter or a library,
//! which mostly come without debug information, while code that somebody works on has it: a frame with a line is named
//! before others. It is for a sentence alone; the whole stack is shown as well.

use std::sync::Arc;

use crate::profile::Frame;

/// Libraries whose functions allocate for others, by the begin of their names.
const LIBRARIES: [&str; 8] =
    ["libc.so", "libc-", "ld-linux", "ld-musl", "libstdc++.so", "libc++.so", "libjemalloc", "libtcmalloc"];

/// Functions that allocate for others: what their names begin with,
const BEGINS: [&str; 12] = [
    "operator new",
    "std::",
    "__gnu_cxx::",
    "void std::",
    "alloc::",
    "<alloc::",
    "__rust_",
    "__rdl_",
    "__rustc",
    "core::",
    "<core::",
    "PyMem_",
];

/// and what they are called, without a prefix such as `x`, `g_` or `my_`.
const NAMES: [&str; 13] = [
    "malloc",
    "malloc0",
    "calloc",
    "realloc",
    "reallocarray",
    "strdup",
    "strndup",
    "memdup",
    "vasprintf",
    "asprintf",
    "memalign",
    "aligned_alloc",
    "alloc",
];

/// A frame with a line that is further away than this has nothing to do with what was allocated: the main loop of a server
/// whose plug-in has no debug information.
const NEAR: usize = 8;

/// The frame to name: the first of the program's own that has a line, or else a name; the first when all are of libraries,
/// `None` of no frames.
pub(super) fn culprit(frames: &[Arc<Frame>]) -> Option<&Frame> {
    let own = || frames.iter().enumerate().filter(|(_, frame)| !hands_on(frame));
    let has_line = |frame: &Frame| named(frame).is_some_and(|(_, source)| source.is_some());
    let with_line = own().find(|(index, frame)| *index < NEAR && has_line(frame));
    let with_name = || own().find(|(_, frame)| frame.place.is_ok());
    let found = with_line.or_else(with_name).or_else(|| own().next());
    found.map(|(_, frame)| frame).or_else(|| frames.first()).map(|frame| &**frame)
}

/// The innermost inlined function of a frame that is the program's own counts for it.
fn hands_on(frame: &Frame) -> bool {
    if frame.module.as_deref().is_some_and(|module| LIBRARIES.iter().any(|library| module.starts_with(library))) {
        return true;
    }
    let inlined = frame.inlined.iter().map(|inlined| &*inlined.function);
    let place = frame.place.as_ref().ok().map(|place| &*place.function);
    let mut functions = inlined.chain(place).peekable();
    functions.peek().is_some() && functions.all(is_wrapper)
}

fn is_wrapper(function: &str) -> bool {
    let name = function.split('(').next().unwrap_or(function).trim_start_matches('_');
    if BEGINS.iter().any(|begin| function.starts_with(begin) || name.starts_with(begin)) || OF_PROGRAMS.contains(&name)
    {
        return true;
    }
    NAMES.iter().any(|known| {
        name.strip_suffix(known).is_some_and(|prefix| matches!(prefix, "" | "x" | "z") || is_short_prefix(prefix))
    })
}

/// And those of known programs (Python, Ruby, Redis), without underscores before them.
const OF_PROGRAMS: [&str; 15] = [
    "PyObject_Malloc",
    "PyObject_Calloc",
    "PyObject_Realloc",
    "ruby_xmalloc",
    "ruby_xmalloc2",
    "ruby_xcalloc",
    "ruby_xrealloc",
    "ruby_xrealloc2",
    "objspace_xmalloc0",
    "objspace_xcalloc",
    "objspace_xrealloc",
    "zmalloc_usable",
    "zcalloc_usable",
    "zrealloc_usable",
    "ztrymalloc_usable",
];

/// `g_`, `my_`, `xml_`: up to four letters.
fn is_short_prefix(prefix: &str) -> bool {
    prefix.strip_suffix('_').is_some_and(|letters| letters.len() <= 4 && letters.chars().all(char::is_alphabetic))
}

/// The function that the sentence names, and where it is.
pub(super) fn named(frame: &Frame) -> Option<(&str, Option<(&str, u32)>)> {
    let inlined = frame.inlined.iter().map(|inlined| (&*inlined.function, inlined.source.as_ref()));
    let place = frame.place.as_ref().ok().map(|place| (&*place.function, place.source.as_ref()));
    let all: Vec<_> = inlined.chain(place).collect();
    let own = all.iter().find(|(function, _)| !is_wrapper(function)).or_else(|| all.first())?;
    Some((own.0, own.1.map(|(path, line)| (&**path, *line))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Inlined, Place};

    fn frame(module: &str, function: &str) -> Frame {
        Frame {
            address: 1,
            module: Some(module.into()),
            module_address: 1,
            build_id: None,
            place: Ok(Place { function: function.into(), offset: 0, source: Some(("a.c".into(), 7)) }),
            inlined: Vec::new(),
        }
    }

    fn of(frames: &[(&str, &str)]) -> String {
        let frames: Vec<Arc<Frame>> =
            frames.iter().map(|(module, function)| Arc::new(frame(module, function))).collect();
        named(culprit(&frames).unwrap()).unwrap().0.to_owned()
    }

    #[test]
    fn whoever_only_hands_memory_on_is_not_named() {
        let cases: [&[(&str, &str)]; 9] = [
            &[("server", "keep_header"), ("server", "main")],
            &[("libc.so.6", "strdup"), ("server", "keep_header")],
            &[("libstdc++.so.6.0.30", "operator new(unsigned long)"), ("server", "keep_header")],
            &[("server", "xmalloc"), ("server", "my_strdup"), ("server", "keep_header")],
            &[
                ("server", "alloc::raw_vec::finish_grow"),
                ("server", "<core::iter::Map as x>::next"),
                ("server", "keep_header"),
            ],
            &[("libpython3.11.so.1.0", "_PyObject_Malloc"), ("_cache.so", "keep_header")],
            &[("python3.11", "_PyMem_RawMalloc"), ("_cache.so", "keep_header")],
            &[("redis-server", "zmalloc_usable"), ("redis-server", "keep_header")],
            &[("libjemalloc.so.2", "je_arena_new"), ("libglib-2.0.so.0", "g_malloc"), ("server", "keep_header")],
        ];
        for case in cases {
            assert_eq!(of(case), "keep_header", "{case:?}");
        }
        // A name that only ends like one of them is somebody's own.
        assert_eq!(of(&[("server", "cache_page_alloc"), ("server", "main")]), "cache_page_alloc");
        // And where all hand on, the first is named.
        assert_eq!(of(&[("server", "xmalloc"), ("server", "g_malloc")]), "xmalloc");
        assert!(culprit(&[]).is_none());
    }

    #[test]
    fn a_frame_with_a_line_is_named_before_those_of_libraries_without() {
        let bare = |function: Option<&str>| {
            let mut frame = frame("libruby-3.1.so.3.1.2", function.unwrap_or_default());
            frame.place = match function {
                Some(function) => Ok(Place { function: function.into(), offset: 0, source: None }),
                None => Err(crate::profile::Unnamed::NoSymbol),
            };
            frame
        };
        let name = |frames: Vec<Frame>| {
            let frames: Vec<Arc<Frame>> = frames.into_iter().map(Arc::new).collect();
            named(culprit(&frames).unwrap()).map(|(function, _)| function.to_owned())
        };
        let own = || frame("lexis.so", "read_phrase");
        assert_eq!(name(vec![bare(None), bare(Some("rb_grow")), own()]).unwrap(), "read_phrase");
        assert_eq!(name(vec![bare(None), bare(Some("rb_grow"))]).unwrap(), "rb_grow");
        assert_eq!(name(vec![bare(None), bare(None)]), None);
        // Too far away to be the one who allocates.
        let far = [(0..NEAR).map(|_| bare(Some("plug_in"))).collect(), vec![own()]].concat();
        assert_eq!(name(far).unwrap(), "plug_in");
    }

    #[test]
    fn an_inlined_function_of_the_program_is_named_before_what_holds_it() {
        let inlined = |function: &str| Inlined { function: function.into(), source: Some(("b.cc".into(), 9)) };
        let mut frame = frame("server", "main");
        frame.inlined = vec![inlined("std::vector<int>::push_back(int&&)"), inlined("keep_header")];
        assert_eq!(named(&frame), Some(("keep_header", Some(("b.cc", 9)))));
        assert!(!hands_on(&frame));
    }
}
