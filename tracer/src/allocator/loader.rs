//! Where the dynamic loader looks for a library: its cache (`/etc/ld.so.cache`), then the standard directories.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Largest cache that is read, in bytes; a large system's has some hundred thousand.
const MAX_CACHE: u64 = 64 << 20;

/// Longest name or path in it, in bytes.
const MAX_TEXT: usize = 4096;

/// Begin of the cache's format since glibc 2.2, and of the older one that may precede it.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// What an entry's flags say of a 64-bit library of this machine for glibc.
const LIBRARY: u32 = if cfg!(target_arch = "aarch64") { 0x0a03 } else { 0x0303 };

/// The standard directories, multiarch ones first: glibc's and musl's.
const DIRECTORIES: [&str; 7] = [
    if cfg!(target_arch = "aarch64") { "/lib/aarch64-linux-gnu" } else { "/lib/x86_64-linux-gnu" },
    if cfg!(target_arch = "aarch64") { "/usr/lib/aarch64-linux-gnu" } else { "/usr/lib/x86_64-linux-gnu" },
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/local/lib",
    "/usr/lib",
];

/// The loader's cache: names of libraries and where they are. A cache that cannot be read is empty.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Vec<(OsString, PathBuf)>,
}

impl Cache {
    /// The system's cache.
    pub(super) fn read() -> Self {
        let mut bytes = Vec::new();
        let read = File::open("/etc/ld.so.cache").and_then(|file| file.take(MAX_CACHE).read_to_end(&mut bytes));
        if let Err(error) = read {
            log::info!("the loader's cache could not be read: {error}");
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        Self { entries: entries(bytes).unwrap_or_default() }
    }

    /// Where the library `name` is: in the cache, else in the standard directories. There is more than one place when
    /// the loader would choose by the processor.
    pub(super) fn find(&self, name: &OsStr) -> Vec<PathBuf> {
        let cached = self.entries.iter().filter(|(known, path)| known == name && path.is_file());
        let cached: Vec<_> = cached.map(|(_, path)| path.clone()).collect();
        if cached.is_empty() {
            return DIRECTORIES.iter().map(|d| Path::new(d).join(name)).find(|p| p.is_file()).into_iter().collect();
        }
        cached
    }
}

fn entries(bytes: &[u8]) -> Option<Vec<(OsString, PathBuf)>> {
    let cache = skip_old(bytes)?;
    if !cache.starts_with(MAGIC) {
        return None;
    }
    let count = number(cache, MAGIC.len())? as usize;
    let table = cache.get(HEADER..)?;
    // Strings are counted from the begin of the new format, wherever that is in the file.
    let libraries = table.chunks_exact(ENTRY).take(count).filter(|entry| number(entry, 0) == Some(LIBRARY));
    let texts = libraries.filter_map(|entry| Some((text(cache, number(entry, 4)?)?, text(cache, number(entry, 8)?)?)));
    Some(texts.map(|(name, path)| (name, PathBuf::from(path))).collect())
}

fn skip_old(bytes: &[u8]) -> Option<&[u8]> {
    if !bytes.starts_with(OLD_MAGIC) {
        return Some(bytes);
    }
    let end = (number(bytes, OLD_MAGIC.len())? as usize).checked_mul(OLD_ENTRY)?.checked_add(OLD_HEADER)?;
    bytes.get(end.next_multiple_of(8)..)
}

fn number(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

fn text(bytes: &[u8], offset: u32) -> Option<OsString> {
    let rest = bytes.get(offset as usize..)?;
    let end = rest.iter().take(MAX_TEXT).position(|&byte| byte == 0)?;
    Some(OsString::from_vec(rest[..end].to_vec()))
}

/// The directories of a colon-separated list, as the loader reads it: `$ORIGIN` is the directory of the file that
/// holds the list; a list with another variable is not followed.
pub(super) fn directories(list: &OsStr, origin: &Path) -> Vec<PathBuf> {
    let expand = |directory: &[u8]| {
        let rest = directory.strip_prefix(b"$ORIGIN").or_else(|| directory.strip_prefix(b"${ORIGIN}"));
        let (base, rest) = rest.map_or((PathBuf::new(), directory), |rest| (origin.to_owned(), rest));
        let plain = !rest.contains(&b'$') && !directory.is_empty();
        let mut path = base.into_os_string();
        path.push(OsStr::from_bytes(rest));
        plain.then(|| PathBuf::from(path))
    };
    list.as_bytes().split(|&byte| byte == b':').filter_map(expand).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(libraries: &[(u32, &str, &str)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((libraries.len() as u32).to_le_bytes());
        bytes.resize(HEADER, 0);
        let mut strings = Vec::new();
        let begin = HEADER + ENTRY * libraries.len();
        for (flags, name, path) in libraries {
            bytes.extend(flags.to_le_bytes());
            for text in [name, path] {
                bytes.extend(((begin + strings.len()) as u32).to_le_bytes());
                strings.extend(text.as_bytes());
                strings.push(0);
            }
            bytes.extend([0; 12]);
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn a_cache_gives_the_libraries_of_this_machine() {
        let bytes = cache(&[(LIBRARY, "libx.so.1", "/opt/libx.so.1"), (0x0003, "libx.so.1", "/opt32/libx.so.1")]);
        let expected = [(OsString::from("libx.so.1"), PathBuf::from("/opt/libx.so.1"))];
        assert_eq!(Cache::parse(&bytes).entries, expected);
        let mut old = OLD_MAGIC.to_vec();
        old.extend(1_u32.to_le_bytes());
        old.resize((OLD_HEADER + OLD_ENTRY).next_multiple_of(8), 0);
        old.extend(bytes);
        assert_eq!(Cache::parse(&old).entries, expected);
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let bytes = cache(&[(LIBRARY, "libx.so.1", "/opt/libx.so.1")]);
        for length in 0..bytes.len() {
            assert!(Cache::parse(&bytes[..length]).entries.is_empty(), "{length} bytes");
        }
        let mut wrong = bytes;
        wrong[HEADER + 4..HEADER + 12].fill(0xff);
        assert!(Cache::parse(&wrong).entries.is_empty());
    }

    #[test]
    fn this_machine_s_c_library_is_found_with_and_without_the_cache() {
        let name = OsStr::new("libc.so.6");
        for cache in [Cache::read(), Cache::default()] {
            let found = cache.find(name);
            assert!(found.iter().any(|path| path.ends_with(name)), "{found:?}");
        }
        assert!(Cache::read().find(OsStr::new("no such library.so")).is_empty());
    }

    #[test]
    fn origin_is_the_directory_of_the_file() {
        let list = OsStr::new("$ORIGIN/../lib:/opt/lib::${ORIGIN}:$LIB/x:/a/$PLATFORM");
        let expected = ["/usr/bin/../lib", "/opt/lib", "/usr/bin"].map(PathBuf::from);
        assert_eq!(directories(list, Path::new("/usr/bin")), expected);
    }
}
