//! How stacks were taken.

use serde::Serialize;

/// How stacks were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StackMethod {
    /// By call frame information.
    #[default]
    Cfi,
    /// By frame pointers: callers are missing where a function keeps none.
    FramePointers,
    /// Not at all, as was asked for.
    None,
}

impl From<heaptide_common::StackMethod> for StackMethod {
    fn from(method: heaptide_common::StackMethod) -> Self {
        match method {
            heaptide_common::StackMethod::Cfi => Self::Cfi,
            heaptide_common::StackMethod::FramePointers => Self::FramePointers,
            heaptide_common::StackMethod::None => Self::None,
        }
    }
}
