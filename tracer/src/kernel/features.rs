//! What the machine and the rights of this process offer, each asked of the kernel and not of its version.

mod ability;
mod ask;

use std::fmt;

pub use ability::{Ability, Need};

/// Whether an ability is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The question was not answered.
    Unknown,
}

impl Answer {
    /// The answer in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// An ability, with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What was asked for.
    pub ability: Ability,
    /// Whether it is there.
    pub answer: Answer,
    /// What was found, or why there is no answer; empty when the answer says it all.
    pub found: String,
}

/// All abilities, each with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    list: Vec<Feature>,
}

/// What stands in the way of recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Rights of this process.
    #[error("{} missing (run heaptide with sudo)", Listed(capabilities))]
    Rights {
        /// The capabilities that it lacks.
        capabilities: Vec<Ability>,
    },
    /// Something that the kernel does not offer.
    #[error("this machine cannot record: {}: {} ({})", feature.ability.name(), found_text(feature), feature.ability.remedy())]
    Kernel {
        /// The first ability that is not there.
        feature: Feature,
    },
}

struct Listed<'a>(&'a [Ability]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|ability| ability.name()).collect();
        write!(f, "{} {}", names.join(" and "), if names.len() == 1 { "is" } else { "are" })
    }
}

fn found_text(feature: &Feature) -> &str {
    if feature.found.is_empty() { feature.answer.word() } else { &feature.found }
}

impl Features {
    /// Asks the kernel. Takes some milliseconds; nothing stays attached or loaded.
    #[must_use]
    pub fn ask() -> Self {
        Self { list: Ability::ALL.into_iter().map(ask::ask).collect() }
    }

    /// Every ability, in the order of [`Ability::ALL`].
    #[must_use]
    pub fn all(&self) -> &[Feature] {
        &self.list
    }

    /// The answer for one ability.
    #[must_use]
    pub fn answer(&self, ability: Ability) -> Answer {
        self.list.iter().find(|feature| feature.ability == ability).map_or(Answer::Unknown, |feature| feature.answer)
    }

    /// What keeps heaptide from recording, if anything is known to: rights first, since without them the kernel
    /// does not tell the rest. What is unknown is left to be tried.
    #[must_use]
    pub fn missing_for_recording(&self) -> Option<Missing> {
        let is_missing = |feature: &&Feature| feature.ability.need() == Need::Recording && feature.answer == Answer::No;
        let mut missing = self.list.iter().filter(is_missing);
        let capabilities: Vec<_> =
            missing.clone().map(|f| f.ability).filter(|ability| ability.is_capability()).collect();
        if !capabilities.is_empty() {
            return Some(Missing::Rights { capabilities });
        }
        missing.next().cloned().map(|feature| Missing::Kernel { feature })
    }

    /// Abilities needed for recording whose answer is not known.
    pub fn unknown_for_recording(&self) -> impl Iterator<Item = &Feature> {
        self.list.iter().filter(|f| f.ability.need() == Need::Recording && f.answer == Answer::Unknown)
    }

    /// Features with given answers, for tests of what is made of them: everything is there but what is given.
    #[cfg(test)]
    pub(crate) fn with(answers: &[(Ability, Answer, &str)]) -> Self {
        let feature = |ability| {
            let given = answers.iter().find(|(given, ..)| *given == ability);
            let (answer, found) = given.map_or((Answer::Yes, ""), |&(_, answer, found)| (answer, found));
            Feature { ability, answer, found: found.to_owned() }
        };
        Self { list: Ability::ALL.into_iter().map(feature).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_are_named_before_what_they_hide() {
        let features = Features::with(&[
            (Ability::Programs, Answer::No, "not permitted"),
            (Ability::CapBpf, Answer::No, ""),
            (Ability::CapPerfmon, Answer::No, ""),
        ]);
        let text = features.missing_for_recording().unwrap().to_string();
        assert_eq!(text, "CAP_BPF and CAP_PERFMON are missing (run heaptide with sudo)");
        let features = Features::with(&[(Ability::CapPerfmon, Answer::No, "")]);
        let text = features.missing_for_recording().unwrap().to_string();
        assert_eq!(text, "CAP_PERFMON is missing (run heaptide with sudo)");
    }

    #[test]
    fn what_the_kernel_lacks_is_named_with_what_to_do() {
        let features = Features::with(&[(Ability::AttachCookie, Answer::No, "")]);
        assert_eq!(
            features.missing_for_recording().unwrap().to_string(),
            "this machine cannot record: BPF helper bpf_get_attach_cookie: no (use Linux 5.15 or later)"
        );
    }

    #[test]
    fn what_is_unknown_or_only_helpful_stands_in_no_way() {
        let features = Features::with(&[
            (Ability::RingBuffer, Answer::Unknown, "?"),
            (Ability::CapSysPtrace, Answer::No, ""),
            (Ability::Tracefs, Answer::No, ""),
        ]);
        assert_eq!(features.missing_for_recording(), None);
        let unknown: Vec<_> = features.unknown_for_recording().map(|feature| feature.ability).collect();
        assert_eq!(unknown, [Ability::RingBuffer]);
    }

    #[test]
    fn every_ability_is_asked_for() {
        let features = Features::ask();
        assert_eq!(features.all().len(), Ability::ALL.len());
        for feature in features.all() {
            assert!(feature.answer == Answer::Yes || !feature.found.is_empty(), "{feature:?}");
        }
        // What needs no rights is answered on every machine.
        for ability in [Ability::KernelRelease, Ability::Architecture, Ability::CapBpf, Ability::Tracefs] {
            assert_ne!(features.answer(ability), Answer::Unknown, "{ability:?}");
        }
    }
}
