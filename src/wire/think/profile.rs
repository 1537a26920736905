//! How one family of models marks its thinking, as data.
//!
//! A [`ProfileDef`] is what a table row or a configuration file says; [`Profile`] is the checked and prepared form.

use std::fmt;

use crate::base::bounds::{DELIMITER_BYTES_MAX, PROFILE_DELIMITERS_MAX};
use crate::wire::json::string::{self, Match};

/// Where the output of the model begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    #[default]
    Outside,
    /// The open tag is in the prompt.
    Inside,
}

/// Where an open tag counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// Only before the first visible character: a quoted tag later is text.
    #[default]
    Start,
    Anywhere,
}

/// A profile as written. A missing field has the default of the profile `think`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileDef {
    /// Open and close of each kind of block. A block ends with its own close only, unless all opens are prose.
    pub pairs: Vec<(String, String)>,
    pub start: Start,
    pub anchor: Anchor,
    /// Drop white space next to the delimiters.
    pub trim: bool,
    /// A close tag as the very first text is a delimiter.
    pub drop_leading_close: bool,
    /// Texts that end thinking without being consumed (tool-call openers).
    pub ends: Vec<String>,
    /// Role label right after an open tag.
    pub label: String,
    /// Wire markup around the answer, removed outside thinking.
    pub glue: Vec<String>,
}

impl Default for ProfileDef {
    fn default() -> Self {
        Self {
            pairs: vec![("<think>".into(), "</think>".into())],
            start: Start::Outside,
            anchor: Anchor::Start,
            trim: true,
            drop_leading_close: true,
            ends: Vec::new(),
            label: String::new(),
            glue: Vec::new(),
        }
    }
}

/// Why a [`ProfileDef`] is refused; written for the person who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileError {
    NoPairs,
    Empty(&'static str),
    TooLong(String),
    TooMany,
    /// The first is a prefix of the second and both are looked for in the same state.
    Prefix(String, String),
    Twice(String),
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPairs => write!(f, "pairs: at least one [open, close] is needed"),
            Self::Empty(field) => write!(f, "{field}: a delimiter must not be empty"),
            Self::TooLong(text) => write!(f, "delimiter {text:?} is longer than {DELIMITER_BYTES_MAX} bytes"),
            Self::TooMany => write!(f, "more than {PROFILE_DELIMITERS_MAX} delimiters"),
            Self::Prefix(short, long) => {
                write!(f, "delimiter {short:?} is a prefix of {long:?}, and both are looked for at the same place")
            }
            Self::Twice(text) => write!(f, "delimiter {text:?} is listed twice with different meanings"),
        }
    }
}

impl std::error::Error for ProfileError {}

/// What it means when a delimiter is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Thinking begins; the index of the pair.
    Open(u8),
    /// Thinking ends, or markup around the answer: consumed, what follows is the beginning of an answer.
    Mark,
    /// Thinking ends; the text is not consumed.
    End,
}

/// The delimiters looked for in one state.
#[derive(Debug)]
pub(crate) struct Set {
    words: Vec<(String, Role)>,
    /// The distinct first bytes of `words`.
    firsts: Vec<u8>,
    /// `first[byte]`: `byte` may start a word; the backslash always may.
    first: Box<[bool; 256]>,
}

/// What a [`Set`] says about one place of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    No,
    Partial,
    Full(Role, usize),
}

impl Set {
    /// Checks that no word is a prefix of another one. An equal word is allowed: the first meaning counts.
    fn new(words: Vec<(String, Role)>) -> Result<Self, ProfileError> {
        let mut kept: Vec<(String, Role)> = Vec::new();
        for (word, role) in words {
            match kept.iter().find(|(other, _)| word.starts_with(other.as_str()) || other.starts_with(word.as_str())) {
                None => kept.push((word, role)),
                Some((other, _)) if *other == word => {}
                Some((other, _)) if other.len() < word.len() => return Err(ProfileError::Prefix(other.clone(), word)),
                Some((other, _)) => return Err(ProfileError::Prefix(word, other.clone())),
            }
        }
        let mut first = Box::new([false; 256]);
        let mut firsts: Vec<u8> = kept.iter().filter_map(|(word, _)| word.bytes().next()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        for byte in firsts.iter().chain([&b'\\']) {
            first[usize::from(*byte)] = true;
        }
        Ok(Self { words: kept, firsts, first })
    }

    pub(crate) fn at(&self, raw: &[u8], at: usize) -> Found {
        if raw.get(at).is_some_and(|byte| !self.first[usize::from(*byte)]) {
            return Found::No;
        }
        let mut partial = false;
        for (word, role) in &self.words {
            match string::matches(raw, at, word) {
                Match::Full(len) => return Found::Full(*role, len),
                Match::Partial => partial = true,
                Match::No => {}
            }
        }
        if partial { Found::Partial } else { Found::No }
    }

    /// The first place from `at` on where a word stands or may still come to stand.
    #[inline]
    pub(crate) fn find(&self, raw: &[u8], mut at: usize) -> Option<(usize, Found)> {
        loop {
            at += self.candidate(raw.get(at..)?)?;
            match self.at(raw, at) {
                Found::No => at += string::unit(raw, at).1,
                found => return Some((at, found)),
            }
        }
    }

    #[inline]
    fn candidate(&self, rest: &[u8]) -> Option<usize> {
        const SHORT: usize = 16;
        if rest.len() > SHORT {
            match self.firsts[..] {
                [one] => return memchr::memchr2(one, b'\\', rest),
                [one, two] => return memchr::memchr3(one, two, b'\\', rest),
                _ => {}
            }
        }
        rest.iter().position(|byte| self.first[usize::from(*byte)])
    }

    /// Does a word stand anywhere, or begin at the end? As [`Self::find`], and made for long texts without one: a pass
    /// for each first byte, many bytes at a time.
    pub(crate) fn occurs(&self, raw: &[u8]) -> bool {
        let at = |place| self.at(raw, place) != Found::No;
        !self.is_empty() && self.firsts.iter().chain([&b'\\']).any(|first| memchr::memchr_iter(*first, raw).any(at))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// A checked profile, prepared for the splitter: the delimiters of every state.
#[derive(Debug)]
pub struct Profile {
    pub(crate) start: Start,
    pub(crate) anchor: Anchor,
    pub(crate) trim: bool,
    pub(crate) label: String,
    /// At the very start: opens, glue, and closes where a leading close is dropped.
    pub(crate) at_start: Set,
    /// Inside the block of each pair.
    pub(crate) inside: Vec<Set>,
    /// Right after a close: opens and glue.
    pub(crate) after: Set,
    /// In the answer: glue, and opens with [`Anchor::Anywhere`]. Empty: nothing in the answer matters any more.
    pub(crate) text: Set,
    /// The closes, to count those that no open preceded.
    pub(crate) closes: Set,
}

impl Profile {
    pub fn new(def: &ProfileDef) -> Result<Self, ProfileError> {
        check(def)?;
        let opens: Vec<_> = (0u8..).zip(&def.pairs).map(|(nth, (open, _))| (open.clone(), Role::Open(nth))).collect();
        let closes: Vec<_> = def.pairs.iter().map(|(_, close)| (close.clone(), Role::Mark)).collect();
        let glue: Vec<_> = def.glue.iter().map(|glue| (glue.clone(), Role::Mark)).collect();
        let ends: Vec<_> = def.ends.iter().map(|end| (end.clone(), Role::End)).collect();
        let leading = if def.start == Start::Outside && def.drop_leading_close { &closes[..] } else { &[] };
        let anywhere = if def.anchor == Anchor::Anywhere { &opens[..] } else { &[] };
        // Models mix the spellings of a sentence ("Here is", "Here's"), but not those of a tag.
        let prose = def.pairs.iter().all(|(open, _)| open.starts_with(|c: char| c.is_ascii_alphabetic()));
        let inside = closes.iter().map(|own| {
            let closes = if prose { &closes[..] } else { std::slice::from_ref(own) };
            Set::new([closes, &ends].concat())
        });
        Ok(Self {
            start: def.start,
            anchor: def.anchor,
            trim: def.trim,
            label: def.label.clone(),
            at_start: Set::new([&opens, &glue, leading].concat())?,
            inside: inside.collect::<Result<_, _>>()?,
            after: Set::new([&opens[..], &glue].concat())?,
            text: Set::new([anywhere, &glue].concat())?,
            closes: Set::new(closes.clone())?,
        })
    }

    /// Does this text (a raw JSON string body) end with an open tag, white space after it allowed?
    #[must_use]
    pub fn ends_in_open(&self, raw: &[u8]) -> bool {
        let tail = &raw[raw.len().saturating_sub(ENDING_BYTES_MAX)..];
        match last(&self.after, tail, |role| matches!(role, Role::Open(_))) {
            Some((at, len)) => string::blank_len(tail, at + len) == tail.len() - at - len,
            None => false,
        }
    }

    /// Does this text (a raw JSON string body) open a block and not close it?
    #[must_use]
    pub fn leaves_open(&self, raw: &[u8]) -> bool {
        let open = last(&self.after, raw, |role| matches!(role, Role::Open(_)));
        open.is_some_and(|(open, _)| last(&self.closes, raw, |_| true).is_none_or(|(close, _)| close < open))
    }
}

/// The last word of a set in a text: where, and how long.
fn last(set: &Set, raw: &[u8], wanted: impl Fn(Role) -> bool) -> Option<(usize, usize)> {
    let (mut at, mut seen) = (0, None);
    while let Some((place, found)) = set.find(raw, at) {
        at = place + string::unit(raw, place).1;
        if let Found::Full(role, len) = found
            && wanted(role)
        {
            seen = Some((place, len));
        }
    }
    seen
}

/// Bytes looked at by [`Profile::ends_in_open`]: a delimiter of the longest kind with each byte escaped, and some blank.
const ENDING_BYTES_MAX: usize = DELIMITER_BYTES_MAX * 6 + 64;

fn check(def: &ProfileDef) -> Result<(), ProfileError> {
    if def.pairs.is_empty() {
        return Err(ProfileError::NoPairs);
    }
    if def.pairs.len() + def.ends.len() + def.glue.len() > PROFILE_DELIMITERS_MAX {
        return Err(ProfileError::TooMany);
    }
    let pairs = def.pairs.iter().flat_map(|(open, close)| [("pairs", open), ("pairs", close)]);
    let others = def.ends.iter().map(|end| ("ends", end)).chain(def.glue.iter().map(|glue| ("glue", glue)));
    for (field, text) in pairs.chain(others) {
        if text.is_empty() {
            return Err(ProfileError::Empty(field));
        }
        if text.len() > DELIMITER_BYTES_MAX {
            return Err(ProfileError::TooLong(text.clone()));
        }
    }
    if def.label.len() > DELIMITER_BYTES_MAX {
        return Err(ProfileError::TooLong(def.label.clone()));
    }
    for (nth, (open, _)) in def.pairs.iter().enumerate() {
        if def.glue.contains(open) || def.pairs[..nth].iter().any(|(other, _)| other == open) {
            return Err(ProfileError::Twice(open.clone()));
        }
    }
    Ok(())
}
