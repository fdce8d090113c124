//! `heaptide record -- CMD`: from the first instruction.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::process::Child;

use super::{announce, status::say};
use crate::{
    allocator::{DiscoverError, Found, NamedAllocators, find_program, program_libraries},
    cli::{args::Mode, config::Capture, exit::CommandError},
    kernel::Launched,
    pipeline::Session,
    process::{Launch, LaunchError, printable},
};

/// Starts the command with every probe in, and begins the recording.
pub(super) async fn launch(
    session: &mut Session,
    program: &OsStr,
    args: &[OsString],
    capture: &Capture,
) -> anyhow::Result<Child> {
    let path =
        find_program(program, env::var_os("PATH").as_deref()).map_err(|reason| CommandError::new(program, reason))?;
    let Capture { follow, ref named, mode, .. } = *capture;
    let libraries = program_libraries(&path)?;
    let (files, found) = allocators(&libraries, named, mode)?;
    let command: Vec<OsString> = std::iter::once(program.to_owned()).chain(args.iter().cloned()).collect();
    let (launch, is_private) = prepare(&command, if follow { &files } else { &[] }).await?;
    let pid = launch.pid().context("the launcher has ended")?;
    let found = if is_private { private_copies(pid, &files, named)? } else { found };
    let log = Launched::watch(pid).context("cannot watch what the command maps (needs CAP_PERFMON)")?;
    let attached = session.attach_launcher(pid, log, &found, &libraries, is_private)?;
    session.start()?;
    announce(&attached);
    match launch.go().await {
        Ok(child) => Ok(child),
        Err(LaunchError::NotExecuted { source, .. }) => Err(CommandError::new(program, source).into()),
        Err(error) => Err(error.into()),
    }
}

/// The files with an allocator that the program will map.
fn allocators(
    libraries: &[PathBuf],
    named: &NamedAllocators,
    mode: Mode,
) -> anyhow::Result<(Vec<PathBuf>, Vec<Found>)> {
    let (mut files, mut found, mut searched) = (Vec::new(), Vec::new(), Vec::new());
    for library in libraries {
        // By the name that the process will have it mapped under, links resolved.
        let library = library.canonicalize().unwrap_or_else(|_| library.clone());
        let allocators = match named.discover_file(&library, &library) {
            Ok(allocators) => allocators,
            Err(error) if searched.is_empty() && files.is_empty() => return Err(error.into()), // the program itself
            Err(error) => {
                log::info!("{error}: {}", printable(&library.to_string_lossy()));
                Vec::new()
            }
        };
        if allocators.is_empty() {
            searched.push(printable(&library.to_string_lossy()));
        } else {
            files.push(library);
            found.extend(allocators);
        }
    }
    // Page faults tell of a program's memory all the same.
    if found.is_empty() && mode == Mode::Blocks {
        return Err(DiscoverError::NoAllocator { searched, failed: Vec::new(), go: Vec::new() }.into());
    }
    Ok((files, found))
}

/// A launcher with private copies of `files`; without them where they cannot be made.
async fn prepare(command: &[OsString], files: &[PathBuf]) -> Result<(Launch, bool), LaunchError> {
    match Launch::prepare(command, files).await {
        Ok(launch) => Ok((launch, !files.is_empty())),
        Err(error @ LaunchError::Private(_)) => {
            say(&format!("heaptide: {error}; children may allocate before they are followed"));
            Ok((Launch::prepare(command, &[]).await?, false))
        }
        Err(error) => Err(error),
    }
}

/// The same allocators in the launcher's private copies, shown by the names that they stand for.
fn private_copies(pid: u32, files: &[PathBuf], named: &NamedAllocators) -> anyhow::Result<Vec<Found>> {
    let mut copies = Vec::new();
    for file in files {
        let inside = file.strip_prefix("/").unwrap_or(file);
        let path = Path::new("/proc").join(pid.to_string()).join("root").join(inside);
        for mut copy in named.discover_file(&path, file)? {
            copy.display = printable(&file.to_string_lossy());
            copies.push(copy);
        }
    }
    Ok(copies)
}
