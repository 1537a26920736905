//! "Did you mean …?"

/// Edits that a name may be away to be offered: a third of its length, as compilers do it.
fn edits_max(name: &str) -> usize {
    name.chars().count().max(3) / 3
}

/// Longest name that is compared; beyond it nobody mistyped anything, and the comparison is quadratic.
const NAME_CHARS_MAX: usize = 100;

/// The known name with the fewest edits, if few enough.
pub(super) fn nearest<'a, S: AsRef<str>>(name: &str, known: &'a [S]) -> Option<&'a str> {
    if name.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    known
        .iter()
        .map(AsRef::as_ref)
        // A key in the wrong section is nearer than its letters say.
        .map(|candidate| match last(candidate) == last(name) && name.contains('.') {
            true => (1, candidate),
            false => (strsim::damerau_levenshtein(name, candidate), candidate),
        })
        .filter(|(edits, _)| *edits <= edits_max(name))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The message about a name that is not known; `what` says what it would have been.
pub(super) fn unknown<S: AsRef<str>>(what: &str, name: &str, known: &[S]) -> String {
    let mut name = name.to_owned();
    if let Some((end, _)) = name.char_indices().nth(NAME_CHARS_MAX) {
        name.truncate(end);
    }
    match nearest(&name, known) {
        Some(candidate) => format!("unknown {what} {name:?}; did you mean {candidate}?"),
        None => format!("unknown {what} {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{nearest, unknown};

    #[test]
    fn offers_what_was_meant() {
        let known = ["timeouts.total", "upstream.url", "workers"];
        assert_eq!(nearest("worker", &known), Some("workers"));
        assert_eq!(nearest("timeouts.totl", &known), Some("timeouts.total"));
        assert_eq!(nearest("server.url", &known), Some("upstream.url"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(unknown("key", "banana", &known), "unknown key \"banana\"");
        assert!(unknown("key", &"é".repeat(10_000), &known).chars().count() < 200);
    }
}
