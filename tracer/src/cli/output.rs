//! Where reports are written to. A place is tried before anything is attached: a recording is too dear to be lost to a
//! mistyped path.
//!
//! A file is written under another name in the same directory and renamed when it is complete, so that a reader never
//! sees half a report, and a failure leaves the old one. Standard output, devices and pipes are written directly.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Stdout, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::config::Destination;
use crate::process::target::printable;

/// Permissions of a new file, before the umask.
const NEW_FILE: u32 = 0o666;

/// An opened place for one report.
#[derive(Debug)]
pub struct Output {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout(BufWriter<Stdout>),
    Direct { writer: BufWriter<File>, path: PathBuf },
    Renamed { writer: BufWriter<NamedTempFile>, path: PathBuf },
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A directory is no place for a report.
    #[error("cannot write {}: it is a directory (name a file in it)", shown(path))]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The place could not be opened.
    #[error("cannot write {}: {reason} (name a file in a directory that can be written to)", shown(path))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        reason: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {}: {reason} (name a file on another disk, or - for standard output)", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        reason: io::Error,
    },
    /// Writing to standard output failed.
    #[error("cannot write to standard output: {reason} (name a file instead)")]
    Stdout {
        /// What the kernel said.
        reason: io::Error,
    },
    /// Nobody reads standard output any more.
    #[error("standard output is closed")]
    Closed,
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

impl Output {
    /// Opens a place for one report, or says at once why that is not possible. Nothing that is there is changed yet.
    pub fn open(destination: &Destination) -> Result<Self, OutputError> {
        match destination {
            Destination::Stdout => Ok(Self { sink: Sink::Stdout(BufWriter::new(io::stdout())) }),
            Destination::File(path) => Self::open_file(path),
        }
    }

    fn open_file(path: &Path) -> Result<Self, OutputError> {
        let failed = |reason| OutputError::Open { path: path.to_owned(), reason };
        let sink = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(OutputError::Directory { path: path.to_owned() }),
            Ok(metadata) if metadata.is_file() => {
                // Through a symbolic link it is the file behind it that is replaced. Opening it tells whether it may be.
                let real = path.canonicalize().map_err(failed)?;
                OpenOptions::new().append(true).open(&real).map_err(failed)?;
                Sink::renamed(real, metadata.permissions())
            }
            Ok(_) => OpenOptions::new().write(true).open(path).map(|file| Sink::direct(path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Sink::renamed(path.to_owned(), fs::Permissions::from_mode(NEW_FILE))
            }
            Err(error) => Err(error),
        };
        Ok(Self { sink: sink.map_err(failed)? })
    }

    /// Writes the report and brings it to its place.
    pub fn write(self, report: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
        match self.sink {
            Sink::Stdout(mut writer) => {
                report(&mut writer).and_then(|()| writer.flush()).map_err(|reason| match reason.kind() {
                    io::ErrorKind::BrokenPipe => OutputError::Closed,
                    _ => OutputError::Stdout { reason },
                })
            }
            Sink::Direct { mut writer, path } => {
                report(&mut writer).and_then(|()| writer.flush()).map_err(|reason| OutputError::Write { path, reason })
            }
            Sink::Renamed { mut writer, path } => {
                let written = report(&mut writer).and_then(|()| writer.flush());
                let renamed = written.and_then(|()| {
                    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                    file.persist(&path).map_err(|error| error.error)
                });
                renamed.map(|_| ()).map_err(|reason| OutputError::Write { path, reason })
            }
        }
    }
}

impl Sink {
    fn direct(path: &Path, file: File) -> Self {
        Self::Direct { writer: BufWriter::new(file), path: path.to_owned() }
    }

    fn renamed(path: PathBuf, permissions: fs::Permissions) -> io::Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".heaptide-").permissions(permissions).tempfile_in(directory)?;
        Ok(Self::Renamed { writer: BufWriter::new(file), path })
    }
}

/// Writes a text to standard output.
pub(super) fn show(text: &str) -> Result<(), OutputError> {
    Output::open(&Destination::Stdout)?.write(|to| to.write_all(text.as_bytes()))
}

/// Whether an error only says that nobody reads standard output any more.
pub(super) fn is_closed_stdout(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<OutputError>() {
        Some(error) => matches!(error, OutputError::Closed),
        None => error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn open(path: &Path) -> Result<Output, OutputError> {
        Output::open(&Destination::File(path.to_owned()))
    }

    fn write(path: &Path, text: &str) -> Result<(), OutputError> {
        open(path)?.write(|to| to.write_all(text.as_bytes()))
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_report_takes_its_place_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let output = open(&path).unwrap();
        output
            .write(|to| {
                to.write_all(b"new")?;
                assert_eq!(fs::read_to_string(&path).unwrap(), "old");
                Ok(())
            })
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(directory.path()), ["report"]);
    }

    #[test]
    fn a_failed_report_leaves_the_old_one_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        fs::write(&path, "old").unwrap();
        let error = open(&path).unwrap().write(|_| Err(io::Error::other("no more"))).unwrap_err();
        assert!(error.to_string().contains("report: no more ("), "{error}");
        drop(open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(directory.path()), ["report"]);
    }

    #[test]
    fn the_file_behind_a_symbolic_link_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused_when_it_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(open(directory.path()), Err(OutputError::Directory { .. })));
        let missing = open(&directory.path().join("missing/report")).unwrap_err();
        assert!(missing.to_string().contains("missing/report: No such file or directory"), "{missing}");
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(matches!(open(&directory.path().join("file/report")), Err(OutputError::Open { .. })));
    }

    #[test]
    fn a_full_device_is_an_error_that_names_it() {
        let error = write(Path::new("/dev/full"), "report").unwrap_err();
        assert!(error.to_string().starts_with("cannot write /dev/full: No space left on device"), "{error}");
        write(Path::new("/dev/null"), "report").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }

    #[test]
    fn only_a_closed_standard_output_is_quiet() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_stdout(&anyhow::Error::from(broken()).context("cannot show the report")));
        assert!(is_closed_stdout(&OutputError::Closed.into()));
        assert!(!is_closed_stdout(&OutputError::Write { path: "pipe".into(), reason: broken() }.into()));
        assert!(!is_closed_stdout(&anyhow::anyhow!("Broken pipe")));
    }
}
