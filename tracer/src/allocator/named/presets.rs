//! Allocators that heaptide knows how to name: `presets.toml`, in the form of a user's own file.

use super::{FilePattern, NamedAllocator, NamedError, file};

const PRESETS: &str = include_str!("presets.toml");

/// Their names, in the order of the file.
const NAMES: [&str; 7] = ["python", "ruby", "glib-slice", "sqlite3", "openssl", "nginx", "cuda"];

/// The names of the presets, for people.
#[must_use]
pub fn preset_names() -> String {
    NAMES.join(", ")
}

/// The preset `name`.
pub(super) fn preset(name: &str) -> Result<NamedAllocator, NamedError> {
    let missing = || NamedError::NoPreset(name.to_owned());
    // Tests read all of them: the text is part of the program.
    let presets = file::parse(PRESETS).map_err(|_| missing())?;
    presets.into_iter().find(|preset| &*preset.name == name).ok_or_else(missing)
}

/// The preset's functions, looked for in other files.
pub(super) fn preset_in(name: &str, files: Vec<FilePattern>) -> Result<NamedAllocator, NamedError> {
    Ok(NamedAllocator { files, ..preset(name)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_presets_is_sound_and_has_the_names_that_are_told() {
        let presets = file::parse(PRESETS).unwrap();
        assert_eq!(presets.iter().map(|preset| &*preset.name).collect::<Vec<_>>(), NAMES);
        for name in NAMES {
            assert_eq!(&*preset(name).unwrap().name, name);
        }
        assert_eq!(preset("nothing"), Err(NamedError::NoPreset("nothing".to_owned())));
    }
}
