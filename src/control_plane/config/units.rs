//! How people write durations, sizes, numbers and switches, and how we write them back.

/// `ms` first: the suffixes are tried in this order, and `m` is not a suffix of `ms`.
const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("b", 1),
];

/// A duration in milliseconds, and whether it was a bare number.
pub(super) struct Duration {
    pub ms: u64,
    pub bare: bool,
}

/// `300s`, `5m`, `250ms`, `1h`, `30d`, or a bare number of milliseconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, suffix) = split(text);
    let bare = suffix.is_empty();
    let factor = if bare { Some(1) } else { factor(DURATIONS, &suffix) };
    let ms = factor.and_then(|factor| digits.parse::<u64>().ok()?.checked_mul(factor));
    match ms {
        Some(ms) => Ok(Duration { ms, bare }),
        None => Err("is not a duration; write it like 250ms, 30s, 5m, 1h or as milliseconds".to_owned()),
    }
}

/// `64MiB`, `10GiB`, `1MB` or a bare number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (digits, suffix) = split(text);
    let factor = if suffix.is_empty() { Some(1) } else { factor(SIZES, &suffix) };
    factor
        .and_then(|factor| digits.parse::<u64>().ok()?.checked_mul(factor))
        .ok_or_else(|| "is not a size; write it like 64MiB, 10GiB or as bytes".to_owned())
}

/// Digits only: `+5`, `5.0` and `0x5` are somebody's mistake.
pub(super) fn integer(text: &str) -> Result<u64, String> {
    let (digits, suffix) = split(text);
    if suffix.is_empty()
        && let Ok(number) = digits.parse()
    {
        return Ok(number);
    }
    Err("is not a whole number".to_owned())
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

fn split(text: &str) -> (&str, String) {
    let text = text.trim();
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, suffix) = text.split_at(end);
    (digits, suffix.trim_start().to_ascii_lowercase())
}

fn factor(units: &[(&str, u64)], suffix: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == suffix).map(|(_, factor)| *factor)
}

/// The shortest exact spelling, days left out because ranges read better in hours.
pub(super) fn show_duration(ms: u64) -> String {
    let unit = DURATIONS[..4].iter().rev().find(|(_, factor)| ms.is_multiple_of(*factor) && ms > 0);
    match unit {
        Some((name, factor)) => format!("{}{name}", ms / factor),
        None => "0s".to_owned(),
    }
}

pub(super) fn show_size(bytes: u64) -> String {
    for (name, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{name}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::{duration, integer, show_duration, show_size, size, switch};

    #[test]
    fn durations() {
        for (text, ms) in [
            ("300s", 300_000),
            ("5m", 300_000),
            ("250ms", 250),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("300000", 300_000),
            (" 5 s ", 5000),
            ("0", 0),
            ("5M", 300_000),
        ] {
            assert_eq!(duration(text).unwrap().ms, ms, "{text}");
        }
        for text in
            ["", "s", "-1s", "+1s", "1.5s", "1y", "1m30s", "99999999999999999999", "18446744073709551615d", "५s"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("5").unwrap().bare && !duration("5ms").unwrap().bare);
    }

    #[test]
    fn sizes_and_numbers_and_switches() {
        assert_eq!(size("64MiB").unwrap(), 64 << 20);
        assert_eq!(size("10 GiB").unwrap(), 10 << 30);
        assert_eq!(size("1MB").unwrap(), 1_000_000);
        assert_eq!(size("77").unwrap(), 77);
        assert!(size("18446744073709551615KiB").is_err() && size("MiB").is_err() && size("1M").is_err());
        assert_eq!(integer("16").unwrap(), 16);
        assert!(integer("+5").is_err() && integer("5.0").is_err() && integer("0x5").is_err() && integer("").is_err());
        assert!(switch("Yes").unwrap() && !switch("0").unwrap() && switch("maybe").is_err());
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for ms in [0, 1, 50, 1000, 1500, 60_000, 86_400_000, 2_592_000_000] {
            assert_eq!(duration(&show_duration(ms)).unwrap().ms, ms);
        }
        for bytes in [0, 1, 1024, 1025, 64 << 20, 1 << 40] {
            assert_eq!(size(&show_size(bytes)).unwrap(), bytes);
        }
    }
}
