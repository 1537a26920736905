//! The choices of an answer.

use crate::base::bounds::CHOICES_MAX;
use crate::wire::think::lane::Lane;
use crate::wire::think::splitter::Splitter;
use crate::wire::think::{Profile, Start, StartOverride};

/// The choices seen so far; nearly always one.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    first: Option<Lane>,
    rest: Vec<Lane>,
}

impl Lanes {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    #[inline]
    pub(crate) fn find(&mut self, index: u32) -> Option<&mut Lane> {
        self.iter_mut().find(|lane| lane.index == index)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// The lane of a choice; `None` when there are too many.
    #[inline]
    pub(crate) fn get(&mut self, index: u32, new: impl Fn() -> Lane) -> Option<&mut Lane> {
        let first = self.first.get_or_insert_with(&new);
        if first.index == index {
            return Some(first);
        }
        let place = match self.rest.iter().position(|lane| lane.index == index) {
            Some(place) => place,
            None if self.rest.len() + 1 >= CHOICES_MAX => return None,
            None => {
                self.rest.push(new());
                self.rest.len() - 1
            }
        };
        self.rest.get_mut(place)
    }
}

/// The splitter of a choice that begins.
pub(crate) fn starting(start: StartOverride, profile: &Profile) -> Splitter {
    match start {
        StartOverride::Prefill if profile.start == Start::Inside => Splitter::answering(profile),
        StartOverride::Inside => Splitter::thinking(profile),
        _ => Splitter::new(),
    }
}
