//! What the proxy held from time to time during a measurement, and whether it grew.

use std::time::Duration;

use crate::subject::proc::{Holdings, Memory};

/// Fewer samples say nothing about growth.
const SAMPLES_MIN: usize = 16;
/// Usual samples of a measurement, and the shortest time between them.
const SAMPLES_USUAL: u32 = 200;
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Samples of a short measurement that is about what they say, and the shortest time between those.
const SAMPLES_WANTED: u32 = 20;
const INTERVAL_WANTED_MIN: Duration = Duration::from_millis(100);

/// Samples, in the order of time.
#[derive(Debug)]
pub struct Samples {
    interval: Duration,
    next: Duration,
    taken: Vec<(Duration, Holdings)>,
}

impl Samples {
    /// None yet.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        let usual = (duration / SAMPLES_USUAL).max(INTERVAL_MIN);
        let wanted = (duration / SAMPLES_WANTED).max(INTERVAL_WANTED_MIN);
        Self { interval: usual.min(wanted), next: Duration::ZERO, taken: Vec::new() }
    }

    /// The time between two.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes one if it is time for it.
    pub fn take(&mut self, done: Duration, read: impl FnOnce() -> Holdings) {
        if done >= self.next {
            self.taken.push((done, read()));
            // Counted from when it was due, so that lateness does not add up; one that was missed is not made up for.
            self.next = (self.next + self.interval).max(done);
        }
    }

    /// The most memory of all samples; `None` when one could not be read.
    #[must_use]
    pub fn peak_memory(&self) -> Option<Memory> {
        self.taken.iter().try_fold(Memory::default(), |peak, (_, held)| {
            let memory = held.memory?;
            Some(Memory { pss_kb: peak.pss_kb.max(memory.pss_kb), rss_kb: peak.rss_kb.max(memory.rss_kb) })
        })
    }

    /// Growth of memory over `measured` in per cent of what it was early, by its slope: a steady leak is told whole, a plateau is none.
    #[must_use]
    pub fn memory_growth(&self, measured: Duration) -> Option<f64> {
        let points = self.points(|held| held.memory.map(|memory| memory.pss_kb as f64))?;
        let early = &points[..points.len() / 3];
        let mean = early.iter().map(|(_, kb)| kb).sum::<f64>() / early.len() as f64;
        (mean > 0.0).then(|| slope(&points) * measured.as_secs_f64() / mean * 100.0)
    }

    /// Growth of the number of descriptors over `measured`, by its slope.
    #[must_use]
    pub fn descriptor_growth(&self, measured: Duration) -> Option<f64> {
        let points = self.points(|held| held.descriptors.map(|count| count as f64))?;
        Some(slope(&points) * measured.as_secs_f64())
    }

    /// Seconds and values behind the first quarter, in which a proxy still warms up. Their first third is the second quarter.
    fn points(&self, value: impl Fn(&Holdings) -> Option<f64>) -> Option<Vec<(f64, f64)>> {
        if self.taken.len() < SAMPLES_MIN {
            return None;
        }
        let late = &self.taken[self.taken.len() / 4..];
        late.iter().map(|(at, held)| Some((at.as_secs_f64(), value(held)?))).collect()
    }
}

/// Of the straight line with the least squares of distances.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (up, across) = points.iter().fold((0.0, 0.0), |(up, across), point| {
        (up + (point.0 - x) * (point.1 - y), across + (point.0 - x) * (point.0 - x))
    });
    if across > 0.0 { up / across } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u64, held: impl Fn(u64) -> Option<u64>) -> Samples {
        let duration = Duration::from_secs(count);
        let mut samples = Samples::new(duration);
        samples.interval = Duration::from_secs(1);
        for at in 0..count {
            let value = held(at);
            let memory = value.map(|pss_kb| Memory { pss_kb, rss_kb: pss_kb * 2 });
            samples.take(Duration::from_secs(at), || Holdings { memory, descriptors: value, threads: None });
        }
        samples
    }

    fn growth(count: u64, held: impl Fn(u64) -> Option<u64>) -> Option<(f64, f64)> {
        let (samples, measured) = (samples(count, held), Duration::from_secs(count));
        let round = |value: f64| (value * 10.0).round() / 10.0;
        samples.memory_growth(measured).map(round).zip(samples.descriptor_growth(measured).map(round))
    }

    #[test]
    fn a_leak_is_told_whole_and_a_plateau_is_none() {
        assert_eq!(growth(40, |_| Some(1000)), Some((0.0, 0.0)));
        assert_eq!(growth(40, |at| Some(if at < 10 { 10 } else { 1000 })), Some((0.0, 0.0)), "warming up");
        // Ten a second for forty seconds, from 1145 on average in the second quarter.
        let (memory, descriptors) = growth(40, |at| Some(1000 + at * 10)).unwrap();
        assert_eq!(descriptors, 400.0);
        assert!((memory - 400.0 / 11.45).abs() < 0.2, "{memory}");
        let sawtooth = growth(400, |at| Some(1000 + at % 10)).unwrap();
        assert!(sawtooth.0.abs() < 0.2 && sawtooth.1.abs() < 2.0, "{sawtooth:?}");
    }

    #[test]
    fn too_few_or_unknown_samples_say_nothing() {
        assert_eq!(growth(15, |_| Some(1000)), None);
        assert_eq!(growth(40, |at| (at != 20).then_some(1000)), None);
        assert_eq!(samples(40, |at| (at != 20).then_some(1000)).peak_memory(), None);
        assert_eq!(samples(9, |at| Some(at % 5)).peak_memory(), Some(Memory { pss_kb: 4, rss_kb: 8 }));
    }

    #[test]
    fn short_measurements_about_growth_have_enough_samples() {
        for (seconds, least, most) in [(2, 16, 21), (60, 55, 61), (3600, 195, 201)] {
            let duration = Duration::from_secs(seconds);
            let mut samples = Samples::new(duration);
            // The load runs in slices, each a little longer than asked for.
            let slice = samples.interval().min(Duration::from_millis(250)) + Duration::from_millis(3);
            let mut done = Duration::ZERO;
            while done <= duration {
                samples.take(done, Holdings::default);
                done += slice;
            }
            let count = samples.taken.len();
            assert!((least..=most).contains(&count), "{seconds} s: {count}");
        }
    }
}
