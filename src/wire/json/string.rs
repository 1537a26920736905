//! The spelling of JSON strings: where one ends, and which unit of text an escape stands for.
//!
//! Text is a sequence of units; a unit is one raw byte or one escape. Nothing is decoded to `char`: halves of surrogate
//! pairs may arrive in different strings and bytes from 0x80 on may be invalid UTF-8, and both must be passed on as they are.

use memchr::memchr2;

/// Position of the quote that ends the string whose body starts at `at`; `None` when there is none.
#[inline]
#[must_use]
pub fn end(bytes: &[u8], mut at: usize) -> Option<usize> {
    // Most keys and deltas are shorter than a vector: a few plain steps are cheaper than a call.
    let near = bytes.len().min(at + 8);
    while at < near {
        match bytes[at] {
            b'"' => return Some(at),
            b'\\' => break,
            _ => at += 1,
        }
    }
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// What one unit of text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A byte that stands for itself.
    Byte(u8),
    /// An escape that stands for this UTF-16 code unit.
    Code(u16),
    /// A backslash that starts no legal escape: opaque.
    Broken,
}

/// The unit at `at` and its length in raw bytes (1, 2 or 6).
///
/// `at` must be inside `raw`.
#[inline]
#[must_use]
pub fn unit(raw: &[u8], at: usize) -> (Unit, usize) {
    match raw[at] {
        b'\\' => escape(raw, at),
        byte => (Unit::Byte(byte), 1),
    }
}

fn escape(raw: &[u8], at: usize) -> (Unit, usize) {
    let code = match raw.get(at + 1) {
        None => return (Unit::Broken, 1),
        Some(b'u') => match raw.get(at + 2..at + 6).and_then(hex4) {
            Some(code) => return (Unit::Code(code), 6),
            None => return (Unit::Broken, 2),
        },
        Some(b'n') => 0x0a,
        Some(b't') => 0x09,
        Some(b'r') => 0x0d,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(byte @ (b'"' | b'\\' | b'/')) => u16::from(*byte),
        Some(_) => return (Unit::Broken, 2),
    };
    (Unit::Code(code), 2)
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |code, digit| Some(code << 4 | (*digit as char).to_digit(16)? as u16))
}

/// Length of the white space (blank, tab, CR, LF, in any spelling) that `raw` starts with at `at`.
#[inline]
#[must_use]
pub fn blank_len(raw: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < raw.len() {
        let (unit, len) = unit(raw, end);
        if !is_blank(unit) {
            break;
        }
        end += len;
    }
    end - at
}

#[inline]
fn is_blank(unit: Unit) -> bool {
    let code = match unit {
        Unit::Byte(byte) => u16::from(byte),
        Unit::Code(code) => code,
        Unit::Broken => return false,
    };
    matches!(code, 0x20 | 0x09 | 0x0a | 0x0d)
}

/// How a delimiter compares with the text at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    No,
    /// The text ended while everything so far agreed.
    Partial,
    /// All of it, in this many raw bytes.
    Full(usize),
}

/// Compare `word` (UTF-8) with the units of `raw` from `at` on, whatever the spelling of each.
#[inline]
#[must_use]
pub fn matches(raw: &[u8], at: usize, word: &str) -> Match {
    let expected = word.as_bytes();
    let (mut from, mut done) = (at, 0);
    while done < expected.len() {
        match raw.get(from) {
            None => return Match::Partial,
            Some(b'\\') => match escaped_char(raw, from, word, done) {
                Escaped::Agrees { raw_len, word_len } => {
                    from += raw_len;
                    done += word_len;
                }
                Escaped::Ends => return Match::Partial,
                Escaped::Differs => return Match::No,
            },
            Some(byte) if *byte == expected[done] => {
                from += 1;
                done += 1;
            }
            Some(_) => return Match::No,
        }
    }
    Match::Full(from - at)
}

enum Escaped {
    Agrees {
        raw_len: usize,
        word_len: usize,
    },
    /// The first half of a surrogate pair agreed and the text ends there.
    Ends,
    Differs,
}

fn escaped_char(raw: &[u8], at: usize, word: &str, done: usize) -> Escaped {
    let Some(expected) = word.get(done..).and_then(|rest| rest.chars().next()) else { return Escaped::Differs };
    let mut units = [0u16; 2];
    let mut raw_len = 0;
    for (nth, want) in expected.encode_utf16(&mut units).iter().enumerate() {
        if nth > 0 && at + raw_len >= raw.len() {
            return Escaped::Ends;
        }
        match unit(raw, at + raw_len) {
            (Unit::Code(code), len) if code == *want => raw_len += len,
            _ => return Escaped::Differs,
        }
    }
    Escaped::Agrees { raw_len, word_len: expected.len_utf8() }
}

/// Does the raw body of a JSON string spell exactly `word`?
#[inline]
#[must_use]
pub fn spells(raw: &[u8], word: &str) -> bool {
    raw == word.as_bytes() || (raw.contains(&b'\\') && matches(raw, 0, word) == Match::Full(raw.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_at_the_first_quote_that_is_not_escaped() {
        assert_eq!(end(br#"abc" x"#, 0), Some(3));
        assert_eq!(end(br#"a\"bc\\" x"#, 0), Some(7));
        assert_eq!(end(br#"a long text beyond one vector \u003c \" and its end" x"#, 0), Some(51));
        assert_eq!(end(br"abc", 0), None);
        assert_eq!(end(br"abc\", 0), None);
        assert_eq!(end(br"", 0), None);
        assert_eq!(end(br#"abcdefgh\""#, 0), None);
    }

    #[test]
    fn units_of_every_spelling() {
        let units = |raw: &[u8]| {
            let (mut at, mut out) = (0, vec![]);
            while at < raw.len() {
                let (unit, len) = unit(raw, at);
                out.push((unit, len));
                at += len;
            }
            out
        };
        use Unit::*;
        assert_eq!(units(br"a\u003C\/"), [(Byte(b'a'), 1), (Code(0x3c), 6), (Code(0x2f), 2)]);
        assert_eq!(units(br"\\<"), [(Code(0x5c), 2), (Byte(b'<'), 1)]);
        assert_eq!(
            units(br"\u00zz\q\u12"),
            [
                (Broken, 2),
                (Byte(b'0'), 1),
                (Byte(b'0'), 1),
                (Byte(b'z'), 1),
                (Byte(b'z'), 1),
                (Broken, 2),
                (Broken, 2),
                (Byte(b'1'), 1),
                (Byte(b'2'), 1),
            ]
        );
        assert_eq!(units(b"\xff\\"), [(Byte(0xff), 1), (Broken, 1)]);
    }

    #[test]
    fn words_match_in_any_spelling() {
        assert_eq!(matches(br"<think>x", 0, "<think>"), Match::Full(7));
        assert_eq!(matches(br"\u003C\u0074hi\u006ek>", 0, "<think>"), Match::Full(22));
        assert_eq!(matches(br"<\/thi", 0, "</think>"), Match::Partial);
        assert_eq!(matches(br"\\u003cthink>", 0, "<think>"), Match::No);
        assert_eq!(matches(r"\u25c1think▷".as_bytes(), 0, "◁think▷"), Match::Full(14));
        assert_eq!(matches(&"◁".as_bytes()[..2], 0, "◁think▷"), Match::Partial);
        assert_eq!(matches("◀".as_bytes(), 0, "◁think▷"), Match::No);
        assert_eq!(matches(br"\ud83d\ude00!", 0, "😀!"), Match::Full(13));
        assert_eq!(matches(br"\ud83d", 0, "😀!"), Match::Partial);
        assert_eq!(matches(br"\ud83d\ude01", 0, "😀!"), Match::No);
        assert_eq!(matches(br"x", 0, ""), Match::Full(0));
    }

    #[test]
    fn keys_with_escapes_are_compared_decoded() {
        assert!(spells(br"content", "content"));
        assert!(spells(br"cont\u0065nt", "content"));
        assert!(!spells(br"cont\u0065ntx", "content"));
        assert!(!spells(br"contentx", "content"));
        assert!(!spells(br"cont", "content"));
    }

    #[test]
    fn blank_is_four_characters_in_any_spelling() {
        assert_eq!(blank_len(br" \n\t\u0020\u000Dx", 0), 17);
        assert_eq!(blank_len("\u{a0}".as_bytes(), 0), 0);
        assert_eq!(blank_len(br"\u00a0", 0), 0);
        assert_eq!(blank_len(br" \", 0), 1);
    }
}
