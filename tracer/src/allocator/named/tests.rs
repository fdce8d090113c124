//! What is understood of descriptions, what is refused and why, and what is found in files.

use std::fs;
use std::process::Command;

use super::*;

fn spec(text: &str) -> Result<NamedAllocator, NamedError> {
    text.parse()
}

/// The places of a function's arguments: size, count, block, result; and whether the size is an `int`.
type Places = ([Option<u8>; 4], bool);

fn places(allocator: &NamedAllocator, name: &str) -> Places {
    let index = |argument: Option<Argument>| argument.map(Argument::index);
    let function = allocator.functions.iter().find(|function| &*function.name == name).unwrap();
    match function.call {
        Named::Allocate { signature: Signature { size, count, old, out }, int } => {
            ([Some(size.index()), index(count), index(old), index(out)], int)
        }
        Named::Release(block) => ([None, None, Some(block.index()), None], false),
    }
}

#[test]
fn every_form_of_a_function_is_understood() {
    let text = "libpool.so*:get(size=1)->ret,many(size=1*2),put(3),drop(block=1),grow(block=0,size=1),\
                status(size=1)->*0, narrow( size=0:int ) ,both(size=0*1:int)->*5";
    let pool = spec(text).unwrap();
    assert_eq!((&*pool.name, pool.files_text().as_str()), ("pool", "libpool.so*"));
    let expected: [(&str, Places); 8] = [
        ("get", ([Some(1), None, None, None], false)),
        ("many", ([Some(1), Some(2), None, None], false)),
        ("put", ([None, None, Some(3), None], false)),
        ("drop", ([None, None, Some(1), None], false)),
        ("grow", ([Some(1), None, Some(0), None], false)),
        ("status", ([Some(1), None, None, Some(0)], false)),
        ("narrow", ([Some(0), None, None, None], true)),
        ("both", ([Some(0), Some(1), None, Some(5)], true)),
    ];
    for (name, expected) in expected {
        assert_eq!(places(&pool, name), expected, "{name}");
    }
    assert_eq!(pool.functions.len(), expected.len());
}

#[test]
fn a_preset_can_have_another_file_and_another_name() {
    let sqlite = spec("sqlite3").unwrap();
    assert!(sqlite.is_in(Path::new("/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6")));
    let moz = spec("*/libmozsqlite3.so:sqlite3").unwrap();
    assert_eq!((&moz.name, &moz.functions), (&sqlite.name, &sqlite.functions));
    assert!(moz.is_in(Path::new("/opt/firefox/libmozsqlite3.so")) && !moz.is_in(Path::new("/x/libsqlite3.so.0")));
    let named = spec("storage=a.so|b.so:sqlite3").unwrap();
    assert_eq!((&*named.name, named.files_text().as_str()), ("storage", "a.so or b.so"));
    assert_eq!(&*spec("/opt/app/bin/server[12]:get(size=0)").unwrap().name, "server");
    assert_eq!(&*spec("my=*:get(size=0)").unwrap().name, "my");
}

#[test]
fn a_pattern_with_a_slash_is_one_of_the_path() {
    let matches = |pattern: &str, path: &str| FilePattern::new(pattern).unwrap().matches(Path::new(path));
    assert!(matches("libpool.so*", "/usr/lib/libpool.so.1.2"));
    assert!(!matches("libpool.so*", "/usr/lib/libpool.so/other"));
    assert!(!matches("pool", "/usr/bin/pools"));
    assert!(matches("python3.[0-9]*", "/usr/bin/python3.11"));
    assert!(matches("*/python3*", "/usr/bin/python3.11"));
    assert!(matches("/opt/*/bin/app", "/opt/a/b/bin/app"));
    assert!(!matches("/opt/*/bin/app", "/usr/bin/app"));
    assert!(matches("lib?.so", "/\u{1b}/libx.so"));
}

#[test]
fn what_is_not_understood_is_told_with_what_to_do() {
    let cases = [
        ("sqlite4", "there is no preset \"sqlite4\": use one of python, ruby, glib-slice, sqlite3, "),
        ("", "there is no preset \"\""),
        ("lib.so:sqlite4", "there is no preset \"sqlite4\""),
        ("lib.so:", "there is no preset \"\""),
        (":f(size=0)", "it names no file: say where its functions are"),
        ("a.so|:f(size=0)", "it names no file"),
        ("a[.so:f(size=0)", "\"a[.so\" is no pattern of file names: "),
        ("a***:f(size=0)", "is no pattern of file names: "),
        ("=a.so:f(size=0)", "\"\" is no name: "),
        ("a b=a.so:f(size=0)", "\"a b\" is no name: "),
        ("a.so:f(0)", "a has no function that allocates: "),
        ("a.so:f(size=0),f(0)", "f is described twice: "),
        ("a.so:f(size=6)", "f: there is no argument 6: the first is 0, and 5 the last"),
        ("a.so:f(size=99999999999999999999)", "expected size=N"),
        ("a.so:f(size=0,block=0)", "f: argument 0 is used twice"),
        ("a.so:f(size=0*0)", "f: argument 0 is used twice"),
        ("a.so:f(size=0)->*0", "f: argument 0 is used twice"),
        ("a.so:f(size=0,size=1)", "each argument is told once at \"size=1)\""),
        ("a.so:f(0,block=1)", "each argument is told once"),
        ("a.so:f()", "expected size=N, block=N or N, N an argument's number at \")\""),
        ("a.so:f(size=0", "expected , or ) at \"\""),
        ("a.so:f(size=0)g(0)", "expected a comma and the next function at \"g(0)\""),
        ("a.so:f(size=0),", "expected a function at \"\""),
        ("a.so:f(size=0)->x", "expected ret, or * and the number"),
        ("a.so:f(0)->*1", "a function with a result needs size="),
        ("a.so:(size=0)", "\"\" is no name"),
        ("a.so:f,g(size=0)", "\"f,g\" is no name"),
    ];
    for (text, expected) in cases {
        let error = spec(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains(": ") || error.contains(" ("), "what to do is missing: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let long = format!("a.so:{}(size=0)", "f".repeat(257));
    assert!(matches!(spec(&long), Err(NamedError::Name(_))));
    let many: Vec<String> = (0..257).map(|number| format!("f{number}(size=0)")).collect();
    assert_eq!(spec(&format!("a.so:{}", many.join(","))), Err(NamedError::TooMany("a".to_owned())));
}

/// What a file with this text is.
fn file(text: &str) -> Result<NamedAllocators, String> {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), text).unwrap();
    NamedAllocators::from_typed(Vec::new(), &[file.path().to_owned()]).map_err(|error| {
        let error = error.to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error.replace(&*file.path().to_string_lossy(), "FILE")
    })
}

const POOL: &str = r#"
[[allocator]]
name = "pool"
file = ["libpool.so*", "*/bin/pool"]
allocate = [
  { name = "get", size = 1 },
  { name = "many", size = 2, count = 1, int = true },
  { name = "status", size = 1, result = 0 },
]
resize = [{ name = "grow", block = 1, size = 2 }]
release = [{ name = "put", block = 1 }, { name = "drop" }]

[[allocator]]
preset = "openssl"
file = "libcrypto-private.so"

[[allocator]]
name = "tls"
preset = "openssl"
file = "app"
"#;

#[test]
fn a_file_says_the_same_as_the_command_line() {
    let all = file(POOL).unwrap();
    let typed = "pool=libpool.so*|*/bin/pool:get(size=1),many(size=2*1:int),status(size=1)->*0,grow(block=1,size=2),\
                 put(1),drop(0)";
    assert_eq!(all[0], spec(typed).unwrap());
    assert_eq!(all[1], spec("libcrypto-private.so:openssl").unwrap());
    assert_eq!(all[2], spec("tls=app:openssl").unwrap());
    assert_eq!(all.len(), 3);
}

#[test]
fn a_file_that_is_not_understood_is_told_by_its_line() {
    let allocator = |rest: &str| format!("# first\n[[allocator]]\nname = \"a\"\nfile = \"a.so\"\n{rest}\n");
    let cases = [
        (String::new(), "FILE line 1: it describes no allocator: write [[allocator]]"),
        (
            "[[allocator]]\nname = \"a\"\nfile = 1".to_owned(),
            "FILE line 3: expected a pattern of file names, or a list",
        ),
        ("allocator = 1".to_owned(), "FILE line 1: invalid type"),
        ("\n[[allocator]\n".to_owned(), "FILE line 2: "),
        (allocator("allocate = [{ name = \"f\" }]"), "FILE line 5: missing field `size`"),
        (allocator("allocate = [{ name = \"f\", size = -1 }]"), "FILE line 5: invalid value"),
        (allocator("allocate = [{ name = \"f\", size = 0, free = 1 }]"), "FILE line 5: unknown field `free`, expected"),
        (allocator("alloc = []"), "FILE line 5: unknown field `alloc`, expected"),
        (allocator("allocate = [\n{ name = \"f\", size = 7 }]"), "FILE line 6: f: there is no argument 7"),
        (allocator("release = [{ name = \"f\" }]"), "FILE line 2: a has no function that allocates"),
        (allocator("preset = \"ruby\"\nrelease = [{ name = \"f\" }]"), "FILE line 2: a preset has its own functions"),
        (allocator("preset = \"none\""), "FILE line 2: there is no preset \"none\""),
        ("[[allocator]]\nfile = \"a\"".to_owned(), "FILE line 1: the allocator has no name"),
        ("[[allocator]]\nname = \"a\"\nallocate = [{ name = \"f\", size = 0 }]".to_owned(), "it names no file"),
        ("[[allocator]]\npreset = \"ruby\"".to_owned(), "it names no file"),
        (format!("{POOL}{POOL}"), "pool is described twice"),
    ];
    for (text, expected) in cases {
        let error = file(&text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let read = |path: &str| NamedAllocators::from_typed(Vec::new(), &[path.into()]).unwrap_err().to_string();
    assert!(read("/no/such.toml").starts_with("cannot read /no/such.toml: No such file"));
    assert!(read("/proc").starts_with("cannot read /proc: "));
    assert!(read("/dev/zero").contains("larger than"), "a file without an end is not read to its end");
}

/// A library with a pool, some of whose functions are visible in it alone, and one that takes the place of `malloc`.
const LIBRARY: &str = "
static char memory[1 << 16];
static unsigned long used;
__attribute__((noinline)) void *pool_get(void *pool, unsigned long size) { (void)pool; return memory + (used += size); }
__attribute__((noinline)) static void hidden(void *block) { used += block == 0; }
void pool_put(void *pool, void *block) { (void)pool; hidden(block); }
void *pool_alias(void *, unsigned long) __attribute__((alias(\"pool_get\")));
void *malloc(unsigned long size) { return pool_get(0, size); }
void free(void *block) { hidden(block); }
";

#[test]
fn functions_are_found_by_name_and_belong_to_whom_the_user_says() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("pool.c");
    fs::write(&source, LIBRARY).unwrap();
    let library = directory.path().join("libpool.so.1");
    let options = ["-shared", "-fPIC", "-O1", "-fno-builtin", "-o"];
    assert!(Command::new("gcc").args(options).args([&library, &source]).status().unwrap().success());
    let find = |specs: &[&str]| {
        let all = NamedAllocators::new(specs.iter().map(|text| spec(text).unwrap()).collect()).unwrap();
        let mut found = all.discover_file(&library, &library).unwrap();
        for found in &mut found {
            found.functions.sort_by_key(|function| function.name.clone());
        }
        let names = |found: &Found| found.functions.iter().map(|f| f.name.to_string()).collect::<Vec<_>>();
        let lists: Vec<_> = found.iter().map(|found| (found.name().to_owned(), names(found))).collect();
        (lists, all.missing(&found).map(|allocator| allocator.name.to_string()).collect::<Vec<_>>())
    };
    let list = |name: &str, functions: &[&str]| (name.to_owned(), functions.iter().map(|&f| f.to_owned()).collect());
    let (found, missing) = find(&["libpool.so*:pool_get(size=1),pool_alias(size=1),hidden(0),pool_put(1),none(2)"]);
    assert_eq!(found, [list("other", &["free", "malloc"]), list("pool", &["hidden", "pool_get", "pool_put"])]);
    assert!(missing.is_empty());
    // What is named is not traced twice, and several allocators can be in one file.
    let (found, missing) =
        find(&["a=*:malloc(size=0)", "b=*:free(0),pool_get(size=1)", "c=elsewhere:pool_get(size=1)"]);
    assert_eq!(found, [list("a", &["malloc"]), list("b", &["free", "pool_get"])]);
    assert_eq!(missing, ["c"]);
    let (found, missing) = find(&["d=*:nothing(size=0)"]);
    assert_eq!((found, missing), (vec![list("other", &["free", "malloc"])], vec!["d".to_owned()]));
}
