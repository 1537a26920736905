//! Small writers and readers of JSON text, base64 and dates.

/// Writes a JSON string with its quotes. U+2028 and U+2029 are escaped, since some clients break lines at them.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    string_part(out, text);
    out.push(b'"');
}

/// The inside of a JSON string.
pub(super) fn string_part(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0xe2 {
            continue;
        }
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            0xe2 => match &bytes[at..] {
                [_, 0x80, 0xa8, ..] => b"\\u2028",
                [_, 0x80, 0xa9, ..] => b"\\u2029",
                _ => continue,
            },
            _ => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(escape);
        start = at + if byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[start..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A JSON text without the blanks outside its strings; a line of NDJSON may hold no line end.
pub(super) fn compact(out: &mut Vec<u8>, text: &str) {
    let (mut inside, mut escaped) = (false, false);
    for &byte in text.as_bytes() {
        if inside {
            (inside, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        } else {
            inside = byte == b'"';
        }
        out.push(byte);
    }
}

pub(super) fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Seconds since 1970 with micros, as `2026-11-20T23:15:04.123456Z`.
pub(super) fn rfc3339(out: &mut Vec<u8>, unix_micros: u64) {
    let (seconds, micros) = (unix_micros / 1_000_000, unix_micros % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400: then the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut field = |value: u64, width: u32, end: u8| {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
        out.push(end);
    };
    field(year, 4, b'-');
    field(month, 2, b'-');
    field(day, 2, b'T');
    field(second / 3600, 2, b':');
    field(second / 60 % 60, 2, b':');
    field(second % 60, 2, b'.');
    field(micros, 6, b'Z');
}

/// A flat JSON array of numbers. The text is known to be valid JSON.
pub(super) fn is_number_array(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| {
        inner.bytes().all(|byte| {
            matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E' | b',' | b' ' | b'\t' | b'\r' | b'\n')
        })
    })
}

/// The numbers of such an array.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = f64> {
    text.trim_matches(['[', ']']).split(',').filter_map(|number| number.trim().parse().ok())
}

/// Text whose surrogate halves (three bytes each) are joined. `None`: a half is alone, or the bytes are not UTF-8.
pub(super) fn join_surrogates(bytes: Vec<u8>) -> Option<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => String::from_utf8(joined(error.as_bytes())).ok(),
    }
}

fn joined(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if let [0xed, a @ 0xa0..=0xaf, b, 0xed, c @ 0xb0..=0xbf, d, ..] = bytes[at..] {
            let high = (u32::from(a & 0x0f) << 6) | u32::from(b & 0x3f);
            let low = (u32::from(c & 0x0f) << 6) | u32::from(d & 0x3f);
            if let Some(joined) = char::from_u32(0x1_0000 + (high << 10) + low) {
                out.extend_from_slice(joined.encode_utf8(&mut [0; 4]).as_bytes());
                at += 6;
                continue;
            }
        }
        out.push(bytes[at]);
        at += 1;
    }
    out
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(group.get(at).copied().unwrap_or(0)));
        let bits = (a << 16) | (b << 8) | c;
        for place in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
}

/// Standard alphabet; padding may be missing.
pub(super) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let digit = group.get(place).map_or(Some(0), |digit| base64_digit(*digit))?;
            bits = (bits << 6) | digit;
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

fn base64_digit(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn dates() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_795_216_504_123_456, "2026-11-20T23:15:04.123456Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
        ] {
            assert_eq!(written(|out| rfc3339(out, micros)), text);
        }
    }

    #[test]
    fn halves_join_or_fail() {
        let high = [0xed, 0xa0, 0xbd];
        let low = [0xed, 0xb8, 0x80];
        assert_eq!(join_surrogates([&b"a"[..], &high, &low, b"b"].concat()).as_deref(), Some("a\u{1f600}b"));
        assert_eq!(join_surrogates(high.to_vec()), None);
        assert_eq!(join_surrogates([low, high].concat()), None);
        assert_eq!(join_surrogates(vec![0xff]), None);
    }

    proptest! {
        #[test]
        fn strings_read_back(text: String) {
            let json = written(|out| string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(text));
            let breaks = json.contains(['\n', '\u{2028}', '\u{2029}']);
            prop_assert!(!breaks);
        }

        #[test]
        fn base64_reads_back(bytes: Vec<u8>) {
            let text = written(|out| base64(out, &bytes));
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(base64_decode(&text), Some(bytes.clone()));
            prop_assert_eq!(base64_decode(text.trim_end_matches('=')), Some(bytes));
        }

        #[test]
        fn compact_keeps_the_value(text: String, other in any::<i32>()) {
            let value = serde_json::json!({ "a b": [text, other, { "\n": "\\\" " }] });
            let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
            let compacted = written(|out| compact(out, &pretty));
            prop_assert_eq!(serde_json::to_string(&value).ok(), Some(compacted));
        }

        #[test]
        fn numbers_are_written_as_rust_does(value: u64) {
            prop_assert_eq!(written(|out| number(out, value)), value.to_string());
        }
    }
}
