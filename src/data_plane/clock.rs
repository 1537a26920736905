//! The only place of the data plane that reads a clock. Times are microseconds since the process started, so that
//! they fit a `u64`, order by themselves and never jump.

use std::{
    cell::{Cell, RefCell},
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Microseconds since the process started.
pub type Micros = u64;

struct Origin {
    monotonic: quanta::Instant,
    /// Wall clock at the same moment, microseconds since 1970.
    wall_us: u64,
}

fn origin() -> &'static Origin {
    static ORIGIN: OnceLock<Origin> = OnceLock::new();
    ORIGIN.get_or_init(|| Origin {
        monotonic: quanta::Instant::now(),
        wall_us: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros())
            .unwrap_or(0),
    })
}

/// One core's view of time, with the `Date` line it last wrote.
pub struct Clock {
    date_second: Cell<u64>,
    date: RefCell<[u8; 29]>,
}

impl Clock {
    #[must_use]
    pub fn new() -> Self {
        let _ = origin();
        Self { date_second: Cell::new(0), date: RefCell::new([b' '; 29]) }
    }

    /// About 11 ns a call.
    #[must_use]
    pub fn now(&self) -> Micros {
        micros()
    }

    /// Calls `write` with the current IMF-fixdate, made anew once a second at most.
    pub fn with_date<R>(&self, write: impl FnOnce(&[u8; 29]) -> R) -> R {
        let second = self.wall_us(self.now()) / 1_000_000;
        if self.date_second.replace(second) != second {
            *self.date.borrow_mut() = imf_fixdate(second);
        }
        write(&self.date.borrow())
    }

    /// Microseconds since 1970 for a moment of this process.
    #[must_use]
    pub fn wall_us(&self, at: Micros) -> u64 {
        origin().wall_us.saturating_add(at)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Microseconds since the process started, for the threads that are no core.
#[must_use]
pub fn micros() -> Micros {
    let origin = origin();
    u64::try_from(quanta::Instant::now().saturating_duration_since(origin.monotonic).as_micros()).unwrap_or(u64::MAX)
}

/// Year, month (1–12), day of a count of days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn two(out: &mut [u8], value: u64) {
    out[0] = b'0' + (value / 10 % 10) as u8;
    out[1] = b'0' + (value % 10) as u8;
}

fn four(out: &mut [u8], value: u64) {
    two(&mut out[..2], value / 100);
    two(&mut out[2..4], value % 100);
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7) for seconds since 1970.
#[must_use]
pub fn imf_fixdate(second: u64) -> [u8; 29] {
    const DAYS: &[u8] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let (year, month, day) = civil(second / 86_400);
    let weekday = (second / 86_400 % 7) as usize * 3;
    out[..3].copy_from_slice(&DAYS[weekday..weekday + 3]);
    two(&mut out[5..7], day);
    let at = (month as usize - 1) * 3;
    out[8..11].copy_from_slice(&MONTHS[at..at + 3]);
    four(&mut out[12..16], year);
    two(&mut out[17..19], second / 3_600 % 24);
    two(&mut out[20..22], second / 60 % 60);
    two(&mut out[23..25], second % 60);
    out
}

/// `2026-11-20T23:05:22.123Z` for microseconds since 1970.
#[must_use]
pub fn rfc3339(wall_us: u64) -> [u8; 24] {
    let mut out = *b"1970-01-01T00:00:00.000Z";
    let second = wall_us / 1_000_000;
    let (year, month, day) = civil(second / 86_400);
    four(&mut out[..4], year);
    two(&mut out[5..7], month);
    two(&mut out[8..10], day);
    two(&mut out[11..13], second / 3_600 % 24);
    two(&mut out[14..16], second / 60 % 60);
    two(&mut out[17..19], second % 60);
    let ms = wall_us / 1_000 % 1_000;
    out[20] = b'0' + (ms / 100) as u8;
    two(&mut out[21..23], ms % 100);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_standard() {
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&imf_fixdate(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&imf_fixdate(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(&imf_fixdate(4_107_542_399), b"Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(&imf_fixdate(4_107_542_400), b"Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(&rfc3339(1_795_215_922_123_456), b"2026-11-20T23:05:22.123Z");
    }

    #[test]
    fn date_is_cached_and_time_goes_on() {
        let clock = Clock::new();
        let first = clock.with_date(|date| *date);
        assert!(first.ends_with(b" GMT"));
        let before = clock.now();
        assert!(clock.now() >= before);
        assert!(clock.wall_us(before) > 1_700_000_000_000_000);
    }
}
