//! What a run says: a table to read, JSON to keep, pictures to show.

pub mod bounds;
pub mod compare;
pub mod provenance;
pub mod svg;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::tally::{Tally, Times};
use crate::figures::{Figures, medians};
use crate::measure::Round;
use bounds::Verdict;
use provenance::Provenance;

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// What it measures.
    pub about: String,
    /// Where and how it was measured.
    pub provenance: Provenance,
    /// Each proxy, the one under test first.
    pub subjects: Vec<SubjectReport>,
    /// The scenario's bounds.
    pub bounds: Vec<Verdict>,
}

/// One proxy's part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubjectReport {
    /// `target`, `nginx`, `haproxy` or `direct`.
    pub name: String,
    /// How it was started.
    pub command: String,
    /// Its configuration file, if we wrote it.
    pub configuration: String,
    /// The middle of the rounds.
    pub median: Figures,
    /// Every round.
    pub rounds: Vec<Figures>,
    /// Latency in microseconds at percentiles, all rounds together.
    pub latency: Vec<(f64, f64)>,
    /// Wrong replies by kind.
    pub faults: BTreeMap<String, u64>,
    /// The first of them in words.
    pub samples: Vec<String>,
}

/// Percentiles that are kept: enough for a smooth curve to the tail.
const PERCENTILES: [f64; 19] =
    [1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];

impl SubjectReport {
    /// From the rounds.
    #[must_use]
    pub fn new(name: &str, command: String, configuration: String, rounds: &[Round]) -> Self {
        let mut all = Tally::default();
        for round in rounds {
            all.merge(&round.tally);
        }
        let figures: Vec<Figures> = rounds.iter().map(|round| round.figures.clone()).collect();
        Self {
            name: name.to_owned(),
            command,
            configuration,
            median: medians(&figures),
            rounds: figures,
            latency: percentiles(&all.latency),
            faults: all.faults.iter().map(|(fault, count)| (fault.name().to_owned(), *count)).collect(),
            samples: all.samples,
        }
    }

    /// Its errors in the worst round, if it had any.
    #[must_use]
    pub fn errors(&self) -> Option<f64> {
        self.median.get("errors").copied().filter(|errors| *errors > 0.0)
    }
}

fn percentiles(times: &Times) -> Vec<(f64, f64)> {
    if times.count() == 0 {
        return Vec::new();
    }
    PERCENTILES.iter().map(|&percent| (percent, times.micros_at(percent / 100.0))).collect()
}
