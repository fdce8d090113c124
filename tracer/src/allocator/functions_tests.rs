//! Names, and what is known by them.

use super::*;

/// Size, count, old and out.
fn arguments(name: &str) -> (u8, Option<u8>, Option<u8>, Option<u8>) {
    let index = |argument: Option<Argument>| argument.map(Argument::index);
    match meaning(name).unwrap().role {
        Role::Allocate(Signature { size, count, old, out }) => (size.index(), index(count), index(old), index(out)),
        role => panic!("{name} is {role:?}"),
    }
}

#[test]
fn signatures_are_those_of_the_manual_pages() {
    assert_eq!(arguments("malloc"), (0, None, None, None));
    assert_eq!(arguments("calloc"), (1, Some(0), None, None));
    assert_eq!(arguments("realloc"), (1, None, Some(0), None));
    assert_eq!(arguments("reallocarray"), (2, Some(1), Some(0), None));
    assert_eq!(arguments("memalign"), (1, None, None, None));
    assert_eq!(arguments("aligned_alloc"), (1, None, None, None));
    assert_eq!(arguments("posix_memalign"), (2, None, None, Some(0)));
    assert_eq!(arguments("valloc"), (0, None, None, None));
    assert_eq!(arguments("rallocx"), (1, None, Some(0), None));
    assert_eq!(arguments("mi_heap_recalloc"), (3, Some(2), Some(1), None));
    assert_eq!(arguments("__rust_realloc"), (3, None, Some(0), None));
}

#[test]
fn no_name_stands_twice() {
    assert_eq!(BY_NAME.len(), TABLES.iter().map(|(_, _, rows)| rows.len()).sum::<usize>());
}

#[test]
fn names_with_a_prefix_are_their_allocator_s_own() {
    for (name, family) in [
        ("je_malloc", Family::Jemalloc),
        ("_rjem_malloc", Family::Jemalloc),
        ("_rjem_je_sdallocx", Family::Jemalloc),
        ("sn_malloc", Family::Snmalloc),
        ("sn_rust_dealloc", Family::Snmalloc),
    ] {
        assert_eq!(meaning(name).map(|meaning| meaning.origin), Some(Origin::Own(family)), "{name}");
    }
    for name in ["je_mmap", "je__Znwm", "sn_mallocx", "je_je_malloc", "mi_strdup", "xallocx", "", "Malloc"] {
        assert_eq!(meaning(name), None, "{name}");
    }
}

#[test]
fn rust_s_functions_are_known_mangled_or_not() {
    for name in ["__rust_alloc", "_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc"] {
        assert_eq!(meaning(name).map(|meaning| meaning.name), Some("__rust_alloc"), "{name}");
    }
    assert_eq!(meaning("_RNvCsfLfy6EI15iL_7___rustc14___rdl_realloc"), None, "its length is another");
    assert_eq!(meaning("_RNvCsfLfy6EI15iL_7___rustc13___rdl_realloc").map(|m| m.name), Some("__rdl_realloc"));
    assert_eq!(meaning("_RNvCsfLfy6EI15iL_7___rustc"), None);
}
