//! One string out of a JSON text, without reading the rest.

use std::borrow::Cow;

/// Where the first string value of a key stands: the value's bytes between the quotes.
#[must_use]
pub fn string_span(json: &[u8], key: &str) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&json[from..], key.as_bytes()) {
        let start = from + at;
        from = start + key.len();
        if start == 0 || json[start - 1] != b'"' || json.get(from) != Some(&b'"') {
            continue;
        }
        let rest = &json[from + 1..];
        let colon = rest.iter().position(|b| !b.is_ascii_whitespace())?;
        if rest[colon] != b':' {
            continue;
        }
        let value = &rest[colon + 1..];
        let Some(quote) = value.iter().position(|b| !b.is_ascii_whitespace()) else { return None };
        if value[quote] != b'"' {
            continue;
        }
        let begin = from + 1 + colon + 1 + quote + 1;
        return string_end(json, begin).map(|end| begin..end);
    }
    None
}

/// The closing quote of the string whose first byte is at `begin`.
fn string_end(json: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The text of a string value; `None` when an escape is broken. Lone surrogates become the replacement character.
#[must_use]
pub fn unescape(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).ok().map(|text| Cow::Owned(text.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(json: &'a str, key: &str) -> Option<&'a str> {
        string_span(json.as_bytes(), key).map(|span| &json[span])
    }

    #[test]
    fn the_first_string_of_the_key_is_found() {
        assert_eq!(found(r#"{"a":"x","content" : "y\"z","content":"n"}"#, "content"), Some(r#"y\"z"#));
        assert_eq!(found(r#"{"xcontent":"no","content":null,"contentx":"no"}"#, "content"), None);
        assert_eq!(found(r#"{"k":"content","content":""}"#, "content"), Some(""));
        assert_eq!(found(r#"{"content":"open"#, "content"), None);
        assert_eq!(found(r#"{"content":"open\"#, "content"), None);
        assert_eq!(found("\"content\"", "content"), None);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(br"a\u003cb\n\ud83d\ude00").unwrap().as_ref(), "a<b\n\u{1f600}".as_bytes());
        assert_eq!(unescape(b"plain").unwrap().as_ref(), b"plain");
        assert!(unescape(br"\q").is_none());
    }
}
