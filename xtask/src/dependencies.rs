//! What each dependency says of itself: its licence, which must be one that `deny.toml` allows, and the Rust version
//! that it asks for, which must not be newer than the one that this workspace promises.

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{MetadataCommand, Package, semver::Version};
use serde::Deserialize;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

const LIST: &str = "deny.toml";

/// The part of `deny.toml` that is read here; the rest is cargo-deny's.
#[derive(Deserialize)]
struct DenyFile {
    licenses: Licences,
    graph: Graph,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

/// What is wrong with a dependency, or with the list itself.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    NoLicence,
    Unreadable(String),
    Refused(String),
    TooNew(Version),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLicence => write!(f, "names no licence"),
            Self::Unreadable(text) => write!(f, "its licence cannot be read: {text}"),
            Self::Refused(text) => write!(f, "{LIST} does not allow its licence: {text}"),
            Self::TooNew(version) => write!(f, "needs Rust {version}, this workspace promises less"),
        }
    }
}

/// Checks every dependency of the workspace on the targets that `deny.toml` names. Fails with a line for each fault.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(LIST).with_context(|| format!("cannot read {LIST}"))?;
    let file: DenyFile = toml::from_str(&text).with_context(|| format!("cannot read {LIST}"))?;
    let allowed = file.licenses.allow.iter().map(|name| Licensee::parse(name)).collect::<Result<Vec<_>, _>>();
    let allowed = allowed.with_context(|| format!("{LIST}: not a licence"))?;

    let options = file.graph.targets.iter().flat_map(|target| ["--filter-platform".to_owned(), target.clone()]);
    let metadata = MetadataCommand::new()
        .other_options(options.collect::<Vec<_>>())
        .exec()
        .context("cannot ask cargo about the dependencies")?;
    let promised = Version::parse(concat!(env!("CARGO_PKG_RUST_VERSION"), ".0")).context("rust-version")?;

    let mut faults: Vec<String> = Vec::new();
    for package in &metadata.packages {
        let found = [licence_fault(package.license.as_deref(), &allowed), age_fault(package, &promised)];
        faults.extend(found.into_iter().flatten().map(|fault| format!("{} {} {fault}", package.name, package.version)));
    }
    let said: Vec<_> = metadata.packages.iter().filter_map(|package| package.license.as_deref()).collect();
    faults.extend(unused(&allowed, &said).map(|licence| format!("{LIST} allows {licence}, which nothing uses")));
    if !faults.is_empty() {
        bail!("dependencies:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// The fault in a licence as `Cargo.toml` says it (`MIT OR Apache-2.0`, and the older `MIT/Apache-2.0`).
fn licence_fault(said: Option<&str>, allowed: &[Licensee]) -> Option<Fault> {
    let Some(said) = said else { return Some(Fault::NoLicence) };
    let Ok(expression) = Expression::parse_mode(said, ParseMode::LAX) else {
        return Some(Fault::Unreadable(said.to_owned()));
    };
    (!expression.evaluate(|asked| allows(allowed, asked))).then(|| Fault::Refused(said.to_owned()))
}

fn allows(allowed: &[Licensee], asked: &LicenseReq) -> bool {
    allowed.iter().any(|licensee| licensee.satisfies(asked))
}

fn age_fault(package: &Package, promised: &Version) -> Option<Fault> {
    let needed = package.rust_version.as_ref().filter(|needed| *needed > promised)?;
    Some(Fault::TooNew(needed.clone()))
}

/// Licences that are allowed but that no dependency offers.
fn unused<'a>(allowed: &'a [Licensee], said: &[&str]) -> impl Iterator<Item = &'a Licensee> {
    let expressions: Vec<_> =
        said.iter().filter_map(|said| Expression::parse_mode(said, ParseMode::LAX).ok()).collect();
    allowed.iter().filter(move |licensee| {
        let mut asked = expressions.iter().flat_map(Expression::requirements);
        !asked.any(|asked| licensee.satisfies(&asked.req))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(names: &[&str]) -> Vec<Licensee> {
        names.iter().map(|name| Licensee::parse(name).unwrap()).collect()
    }

    #[test]
    fn one_allowed_choice_is_enough() {
        assert_eq!(licence_fault(Some("MIT OR GPL-3.0-only"), &allowed(&["MIT"])), None);
        assert_eq!(licence_fault(Some("MIT/Apache-2.0"), &allowed(&["Apache-2.0"])), None);
    }

    #[test]
    fn every_licence_that_applies_at_once_must_be_allowed() {
        let said = "(MIT OR Apache-2.0) AND Unicode-3.0";
        assert_eq!(licence_fault(Some(said), &allowed(&["MIT"])), Some(Fault::Refused(said.to_owned())));
        assert_eq!(licence_fault(Some(said), &allowed(&["MIT", "Unicode-3.0"])), None);
    }

    #[test]
    fn no_licence_and_an_unknown_one_are_faults() {
        assert_eq!(licence_fault(None, &allowed(&["MIT"])), Some(Fault::NoLicence));
        let said = "Do-What-You-Like";
        assert_eq!(licence_fault(Some(said), &allowed(&["MIT"])), Some(Fault::Unreadable(said.to_owned())));
    }

    #[test]
    fn an_allowed_licence_that_nothing_uses_is_found() {
        let allowed = allowed(&["MIT", "Zlib", "BSD-3-Clause"]);
        let names: Vec<_> = unused(&allowed, &["MIT OR Apache-2.0", "BSD-3-Clause"]).map(ToString::to_string).collect();
        assert_eq!(names, ["Zlib"]);
    }
}
