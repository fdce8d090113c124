//! Where things lie.

use std::env;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

/// The folders that the subcommands work in. Paths are absolute; the current directory is the workspace's root.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Where finished programs go: `target`, unless the user's settings say otherwise.
    target: PathBuf,
    /// Where cargo keeps what it needs to build them; the same folder as `target` unless it was moved.
    build: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and cargo's own settings are followed, and makes the root the current
    /// directory.
    pub(crate) fn find() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cannot ask cargo about the workspace")?;
        env::set_current_dir(&metadata.workspace_root)
            .with_context(|| format!("cannot change to {}", metadata.workspace_root))?;
        let target = metadata.target_directory.into_std_path_buf();
        let build = metadata.build_directory.map_or_else(|| target.clone(), Into::into);
        Ok(Self { target, build })
    }

    /// The finished program, built by `cargo xtask build`.
    pub(crate) fn program(&self) -> PathBuf {
        self.target.join("release/heaptide")
    }

    /// The manual page, beside the program.
    pub(crate) fn man_page(&self) -> PathBuf {
        self.target.join("release/man/heaptide.1")
    }

    /// The folder of the shell completions, beside the program.
    pub(crate) fn completions(&self) -> PathBuf {
        self.target.join("release/completions")
    }

    /// What the demo compiles and writes.
    pub(crate) fn demo(&self) -> PathBuf {
        self.target.join("demo")
    }

    /// What the emulated machines that tests run in are made of.
    pub(crate) fn machines(&self) -> PathBuf {
        self.target.join("vm")
    }

    /// The kernel part's finished object, where `tracer/build.rs` looks for it.
    pub(crate) fn object(&self) -> PathBuf {
        self.build.join("bpf/heaptide.bpf.o")
    }

    /// The kernel part's own cargo folder: it has another compiler, and must neither wait for the lock of the
    /// user-space builds nor disturb what they keep.
    pub(crate) fn kernel_build(&self) -> PathBuf {
        self.build.join("bpf-build")
    }
}

/// Writes a file only if its bytes differ from what is there, so that nothing that depends on it is built again.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(old) if old == bytes => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    /// A file whose time lies in the past, so that any write to it shows.
    fn old_file(path: &Path, bytes: &[u8]) -> SystemTime {
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        fs::write(path, bytes).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
        past
    }

    #[test]
    fn a_file_with_the_same_bytes_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        let past = old_file(&path, b"same");
        write_if_changed(&path, b"same").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), past);
    }

    #[test]
    fn a_file_with_other_bytes_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        let past = old_file(&path, b"old");
        write_if_changed(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_ne!(fs::metadata(&path).unwrap().modified().unwrap(), past);
    }

    #[test]
    fn a_missing_file_is_created_with_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bpf/object");
        write_if_changed(&path, b"first").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }
}
