//! Builds the services as their packages would be: optimized, without frame pointers, with debug information.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Service;
use crate::build::{made, run};

/// Debian's programs, and headers of each that a service needs.
pub(super) const RUBY: &str = "/usr/bin/ruby";
pub(super) const PUMA: &str = "/usr/bin/puma";
pub(super) const PYTHON: &str = "/usr/bin/python3";
pub(super) const REDIS: &str = "/usr/bin/redis-server";
const XML_CONFIG: &str = "/usr/bin/xml2-config";

const FLAGS: [&str; 7] = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-D_GNU_SOURCE"];

/// A file of `tests/leaks`.
#[must_use]
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("leaks").join(path)
}

/// What is made of a service's C sources: a program, or a library that an interpreter or a server loads.
pub fn service(service: Service) -> Result<PathBuf> {
    let (file, sources, programs): (_, &[&str], &[&str]) = match service {
        Service::Ruby => ("lexis.so", &["ruby/lexis.c"], &[RUBY, PUMA]),
        Service::Python => ("mailparts.so", &["python/mailparts.c"], &[PYTHON]),
        Service::Redis => ("docs.so", &["redis/docs.c", "redis/redis_api.h"], &[REDIS]),
        Service::Xml => ("orders", &["xml/orders.c", "xml/http.c", "xml/http.h"], &[XML_CONFIG]),
    };
    for program in programs {
        there(Path::new(program))?;
    }
    let sources: Vec<PathBuf> = sources.iter().map(|path| source(path)).collect();
    made("leaks", file, &sources, |output| {
        let mut compiler = Command::new("gcc");
        compiler.args(FLAGS);
        for folder in headers(service)? {
            compiler.arg("-isystem").arg(folder);
        }
        if service != Service::Xml {
            compiler.args(["-fPIC", "-shared"]);
        }
        compiler.args(sources.iter().filter(|path| path.extension().is_some_and(|extension| extension == "c")));
        compiler.arg("-o").arg(output);
        if service == Service::Xml {
            compiler.arg("-lxml2");
        }
        run(&mut compiler)
    })
}

/// The folders of headers that a service needs, by what its interpreter or library says of itself.
fn headers(service: Service) -> Result<Vec<PathBuf>> {
    let (said, header) = match service {
        Service::Ruby => {
            let script = "puts RbConfig::CONFIG.values_at('rubyhdrdir', 'rubyarchhdrdir')";
            (output(Command::new(RUBY).args(["-rrbconfig", "-e", script]))?, "ruby.h")
        }
        Service::Python => {
            let script = "import sysconfig; print(sysconfig.get_path('include'))";
            (output(Command::new(PYTHON).args(["-c", script]))?, "Python.h")
        }
        Service::Xml => (output(Command::new(XML_CONFIG).arg("--cflags"))?, "libxml/parser.h"),
        Service::Redis => return Ok(Vec::new()),
    };
    let folders: Vec<PathBuf> = said.split_whitespace().map(|word| word.trim_start_matches("-I").into()).collect();
    there(&folders.first().with_context(|| format!("no folder of {header} is named: {said:?}"))?.join(header))?;
    Ok(folders)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn there(path: &Path) -> Result<()> {
    ensure!(path.exists(), "{} is missing: `cargo xtask setup --tests` installs it", path.display());
    Ok(())
}
