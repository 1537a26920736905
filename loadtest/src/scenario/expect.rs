//! What a scenario says must come of a request.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::client::request::Outcome;

/// The words; a list of statuses is the other way to say it.
const WORDS: [(&str, Outcome); 5] = [
    ("whole", Outcome::Whole),
    ("broken", Outcome::Broken),
    ("error", Outcome::Status(Vec::new())),
    ("whole_or_error", Outcome::WholeOrStatus),
    ("stalled", Outcome::Stalled),
];

/// What must come of a request, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect(pub Outcome);

impl Default for Expect {
    fn default() -> Self {
        Self(Outcome::Whole)
    }
}

fn known() -> String {
    let words: Vec<String> = WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
    format!("{} or a list of statuses", words.join(", "))
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Expect;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "for `expect` {}", known())
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Expect, E> {
                match WORDS.into_iter().find(|(word, _)| *word == text) {
                    Some((_, outcome)) => Ok(Expect(outcome)),
                    None => Err(E::custom(format!("`expect: {text}`: there are {}", known()))),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expect, A::Error> {
                let mut statuses = Vec::new();
                while let Some(status) = list.next_element::<u16>()? {
                    if !(200..=599).contains(&status) {
                        return Err(A::Error::custom(format!("`expect: [{status}]`: a status is 200 to 599")));
                    }
                    statuses.push(status);
                }
                // An empty list would not mean that nothing is right, but that any error is.
                if statuses.is_empty() {
                    return Err(A::Error::custom("`expect: []` is empty; any error is `expect: error`"));
                }
                Ok(Expect(Outcome::Status(statuses)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_statuses_are_read() {
        let read = |text: &str| serde_norway::from_str::<Expect>(text).map(|expect| expect.0);
        assert_eq!(read("broken").unwrap(), Outcome::Broken);
        assert_eq!(read("whole_or_error").unwrap(), Outcome::WholeOrStatus);
        assert_eq!(read("[429, 503]").unwrap(), Outcome::Status(vec![429, 503]));
    }

    #[test]
    fn an_unknown_word_lists_the_known_ones() {
        for (text, word) in [("hole", "hole"), ("[]", "empty"), ("[99]", "99"), ("7", "expect"), ("{a: 1}", "expect")] {
            let error = serde_norway::from_str::<Expect>(text).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("untagged"), "{text}: {error}");
        }
        let error = serde_norway::from_str::<Expect>("hole").unwrap_err().to_string();
        assert!(
            error.contains("`whole`") && error.contains("`stalled`") && error.contains("list of statuses"),
            "{error}"
        );
    }
}
