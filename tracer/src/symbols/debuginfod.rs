//! Debug information from debuginfod servers: asked for by build id, kept where elfutils keeps it, too.

mod download;

use std::env;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustc_hash::FxHashSet;
use tempfile::NamedTempFile;

use self::download::{Download, download};
use super::image::Image;
use crate::process::{open_regular, printable};

/// How long a server may be as good as silent, when `DEBUGINFOD_TIMEOUT` does not say; elfutils waits as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Most bytes of one file. The largest browsers have about 4 GiB.
const MOST_BYTES: u64 = 8 << 30;

/// Why no server can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DebuginfodError {
    /// The user has not said which.
    #[error(
        "DEBUGINFOD_URLS is not set, so no debuginfod server is asked (does sudo remove it? \
         use sudo --preserve-env=DEBUGINFOD_URLS)"
    )]
    NoServer,
    /// There is nowhere to keep what they give.
    #[error("none of DEBUGINFOD_CACHE_PATH, XDG_CACHE_HOME and HOME is set, so no debuginfod server is asked: set one")]
    NoCache,
}

/// The servers, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debuginfod {
    /// Those that have not failed.
    servers: Vec<String>,
    cache: PathBuf,
    patience: Duration,
    /// Build ids that were asked for in vain.
    missing: FxHashSet<String>,
}

impl Debuginfod {
    /// The servers that the environment names, as elfutils reads it.
    pub fn from_environment() -> Result<Self, DebuginfodError> {
        Self::from_variables(|name| env::var_os(name).and_then(|value| value.into_string().ok()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, DebuginfodError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let urls = variable("DEBUGINFOD_URLS").unwrap_or_default();
        // elfutils has other words in there, too (`ima:enforcing`), and files.
        let is_server = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
        let servers: Vec<String> =
            urls.split_whitespace().filter(is_server).map(|url| url.trim_end_matches('/').to_owned()).collect();
        if servers.is_empty() {
            return Err(DebuginfodError::NoServer);
        }
        let in_home = || Some(Path::new(&variable("HOME")?).join(".cache"));
        let in_cache = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(in_home);
        let cache = variable("DEBUGINFOD_CACHE_PATH").map(PathBuf::from);
        let cache = cache.or_else(|| Some(in_cache()?.join("debuginfod_client"))).ok_or(DebuginfodError::NoCache)?;
        let seconds = variable("DEBUGINFOD_TIMEOUT").and_then(|text| text.trim().parse().ok());
        let patience = seconds.filter(|&seconds| seconds > 0).map_or(PATIENCE, Duration::from_secs);
        Ok(Self { servers, cache, patience, missing: FxHashSet::default() })
    }

    /// The file with the debug information of the one with the facts `of`: kept from before, or fetched.
    pub(super) fn find(&mut self, of: &Image) -> Option<File> {
        let id = of.build_id_text()?;
        let kept = self.cache.join(&id).join("debuginfo");
        // An empty file stands for one that no server had when elfutils asked.
        if let Ok(file) = open_regular(&kept)
            && is_of(&file, of)
        {
            return Some(file);
        }
        if self.missing.contains(&id) {
            return None;
        }
        let found = self.fetch(&id, &kept, of);
        if found.is_none() {
            self.missing.insert(id);
        }
        found
    }

    /// Asks one server after the other. One that fails is not asked again.
    fn fetch(&mut self, id: &str, kept: &Path, of: &Image) -> Option<File> {
        let mut found = None;
        let (cache, patience) = (&self.cache, self.patience);
        self.servers.retain(|server| {
            if found.is_some() {
                return true;
            }
            match fetch_from(server, id, kept, of, cache, patience) {
                Ok(file) => found = file,
                Err(why) => {
                    log::warn!("debuginfod server {} is not asked any more: {why}", without_secrets(server));
                    return false;
                }
            }
            true
        });
        found
    }
}

/// The file from one server; `None` when it has none. Errors: a text that says why the server is of no use.
fn fetch_from(
    server: &str,
    id: &str,
    kept: &Path,
    of: &Image,
    cache: &Path,
    patience: Duration,
) -> Result<Option<File>, String> {
    let cannot_keep = |error: io::Error| format!("cannot write to {}: {error}", cache.display());
    let folder = kept.parent().unwrap_or(cache);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot_keep)?;
    // Under another name first: what was fetched in part must never look like the whole.
    let mut fetched = NamedTempFile::with_prefix_in("debuginfo.", folder).map_err(cannot_keep)?;
    log::info!("asking {} for the debug information of build {id}", without_secrets(server));
    match download(&format!("{server}/buildid/{id}/debuginfo"), fetched.as_file_mut(), patience, MOST_BYTES)? {
        Download::Missing => {
            drop(fetched);
            // Only when it is empty.
            let _ = fs::remove_dir(folder);
            return Ok(None);
        }
        Download::Done => {}
    }
    if !is_of(fetched.as_file(), of) {
        return Err(format!("asked for build {id}, it gave a file of another build"));
    }
    fetched.as_file().set_permissions(Permissions::from_mode(0o400)).map_err(cannot_keep)?;
    fetched.persist(kept).map(Some).map_err(|error| cannot_keep(error.error))
}

fn is_of(file: &File, of: &Image) -> bool {
    Image::read(file).is_some_and(|image| image.build_id == of.build_id)
}

/// A URL can hold a password.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return printable(url) };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or(host);
    printable(&format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
#[path = "debuginfod/tests.rs"]
mod tests;
