//! When requests are due, without coordinated omission: a request that could not be sent in time counts from the time it should have
//! been sent. Knows no clock; times are nanoseconds from any origin.

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly.
    Even,
    /// At random, independent of one another (a Poisson process), as many users are.
    Poisson,
}

/// A schedule of arrivals.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval_ns: f64,
    spacing: Spacing,
    /// The next arrival; kept as a fraction, so that no rounding adds up.
    next: f64,
    random: u64,
}

impl Schedule {
    /// `rate` arrivals a second from `start` on.
    #[must_use]
    pub fn new(rate: f64, spacing: Spacing, start_ns: u64) -> Self {
        let interval_ns = 1e9 / rate.max(1e-3);
        Self { interval_ns, spacing, next: start_ns as f64, random: 0x2545_f491_4f6c_dd1d }
    }

    /// The next arrival's time.
    #[must_use]
    pub fn next_ns(&self) -> u64 {
        self.next as u64
    }

    /// The intended time of an arrival that is due, if there is one; call again until there is none.
    pub fn due(&mut self, now_ns: u64) -> Option<u64> {
        let intended = self.next_ns();
        if intended > now_ns {
            return None;
        }
        self.next += match self.spacing {
            Spacing::Even => self.interval_ns,
            Spacing::Poisson => -self.uniform().ln() * self.interval_ns,
        };
        Some(intended)
    }

    /// In (0, 1].
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_arrivals_are_even_however_late_they_are_asked_for() {
        let mut schedule = Schedule::new(3.0, Spacing::Even, 1_000);
        assert_eq!(schedule.due(999), None);
        assert_eq!(schedule.due(1_000), Some(1_000));
        assert_eq!(schedule.due(1_000), None);
        // A stall of a second: the three that were missed are due with their own times.
        let late: Vec<_> = std::iter::from_fn(|| schedule.due(1_000_001_000)).collect();
        assert_eq!(late, [333_334_333, 666_667_666, 1_000_001_000]);
        assert_eq!(schedule.due(1_000_001_000), None);
    }

    #[test]
    fn no_drift_in_a_million() {
        let mut schedule = Schedule::new(7.0, Spacing::Even, 0);
        for _ in 0..1_000_000 {
            let now = schedule.next_ns();
            assert!(schedule.due(now).is_some());
        }
        let want = 1_000_000.0 / 7.0 * 1e9;
        assert!((schedule.next_ns() as f64 - want).abs() < 1e5);
    }

    #[test]
    fn random_arrivals_have_the_rate_and_the_spread() {
        let mut schedule = Schedule::new(1_000.0, Spacing::Poisson, 0);
        let (mut gaps, mut last) = (Vec::new(), 0);
        for _ in 0..20_000 {
            let now = schedule.next_ns();
            let at = schedule.due(now).unwrap();
            gaps.push((at - last) as f64);
            last = at;
        }
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1e6).abs() < 3e4, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "spread as wide as the mean");
    }
}
