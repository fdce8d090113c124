//! One frame of a stack: an address with its name, or the reason why it has none.

use std::sync::Arc;

use serde::Serialize;

/// A return address and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Frame {
    /// The return address in the process (avma).
    pub address: u64,
    /// The file mapped there, without directories; `None` where none is known.
    pub module: Option<Arc<str>>,
    /// The address in that file, as its ELF headers number it (svma). 0 without a module.
    pub module_address: u64,
    /// The identity that the module's linker gave it, in hexadecimal digits, where the module has no symbol for the
    /// address: by it and `module_address`, whoever has the symbols can name the frame later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<Arc<str>>,
    /// The function that the call is in; `Err` says why it has no name.
    #[serde(serialize_with = "serialize_place")]
    pub place: Result<Place, Unnamed>,
    /// Functions inlined at the call, innermost first. The call itself is in the first of them, when there is one.
    pub inlined: Vec<Inlined>,
}

impl Frame {
    /// The names by which it is known: functions, source files, and the module.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let inlined = self.inlined.iter().map(|inlined| (&inlined.function, inlined.source.as_ref()));
        let place = self.place.as_ref().ok().map(|place| (&place.function, place.source.as_ref()));
        let named = inlined
            .chain(place)
            .flat_map(|(function, source)| std::iter::once(&**function).chain(source.map(|(path, _)| &**path)));
        named.chain(self.module.as_deref())
    }
}

/// A named place in the code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The demangled name.
    pub function: Arc<str>,
    /// Bytes from the function's begin to the address.
    pub offset: u64,
    /// Source file and line of the call (or of the call of what is inlined), as the debug information gives them.
    pub source: Option<Source>,
}

/// A line of a source file.
pub type Source = (Arc<str>, u32);

/// A function inlined into the one that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Inlined {
    /// The demangled name.
    pub function: Arc<str>,
    /// Source file and line of the call (or of the call of what is inlined further).
    pub source: Option<Source>,
}

/// Why an address has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unnamed {
    /// No file is known to be mapped there (code made at run time, or a mapping not seen).
    NoModule,
    /// The file has no symbol for it (stripped).
    NoSymbol,
    /// The file could not be opened.
    FileUnreadable,
    /// The file is not the ELF file that it should be.
    FileInvalid,
}

impl Unnamed {
    /// The reason in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoModule => "no file is mapped there",
            Self::NoSymbol => "the file has no symbol there",
            Self::FileUnreadable => "the file could not be opened",
            Self::FileInvalid => "the file is not a valid ELF file",
        }
    }
}

fn serialize_place<S: serde::Serializer>(place: &Result<Place, Unnamed>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Named<'a> {
        Named(&'a Place),
        Unnamed(Unnamed),
    }
    match place {
        Ok(place) => Named::Named(place).serialize(serializer),
        Err(reason) => Named::Unnamed(*reason).serialize(serializer),
    }
}
