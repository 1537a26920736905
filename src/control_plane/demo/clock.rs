//! Wall-clock times in the two spellings that the dialects use.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, OpenAI's `created`.
pub fn unix_seconds() -> u64 {
    since_epoch().0
}

/// RFC 3339 in UTC with six digits of fraction: fixed-format date parsers of Swift and Dart clients need the fraction.
pub fn rfc3339() -> String {
    let (seconds, micros) = since_epoch();
    format_rfc3339(seconds, micros)
}

fn since_epoch() -> (u64, u32) {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or((0, 0), |age| (age.as_secs(), age.subsec_micros()))
}

fn format_rfc3339(seconds: u64, micros: u32) -> String {
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the leap day comes last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = shifted / 146_097; // days in 400 years
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::format_rfc3339;

    #[test]
    fn known_instants() {
        assert_eq!(format_rfc3339(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(format_rfc3339(951_782_400, 7), "2000-02-29T00:00:00.000007Z");
        assert_eq!(format_rfc3339(1_767_225_599, 999_999), "2025-12-31T23:59:59.999999Z");
        assert_eq!(format_rfc3339(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }
}
