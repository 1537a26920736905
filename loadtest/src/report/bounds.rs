//! Whether a run kept its scenario's bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SubjectReport;
use crate::scenario::Bound;

/// A bound and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The figure.
    pub figure: String,
    /// The most it may be; `None` when that is relative to a peer that was not measured.
    pub limit: Option<f64>,
    /// What it is; `None` when it could not be measured (no `--pid` or `--spawn`).
    pub value: Option<f64>,
}

impl Verdict {
    /// It was measured and is over the limit.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        matches!((self.value, self.limit), (Some(value), Some(limit)) if value > limit)
    }

    /// In words.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.value, self.limit) {
            (Some(_), Some(_)) if self.is_missed() => "MISSED",
            (Some(_), Some(_)) => "kept",
            _ => "not measured",
        }
    }
}

/// Judges the first subject.
#[must_use]
pub fn judge(bounds: &BTreeMap<String, Bound>, subjects: &[SubjectReport]) -> Vec<Verdict> {
    let Some(target) = subjects.first() else { return Vec::new() };
    let peer = |name: &str, figure: &str| {
        subjects.iter().skip(1).find(|subject| subject.name == name)?.median.get(figure).copied()
    };
    bounds
        .iter()
        .map(|(figure, bound)| {
            let limit = match bound {
                Bound::Number(limit) => Some(*limit),
                Bound::Times(_) => bound.relative().and_then(|(factor, name)| Some(factor * peer(name, figure)?)),
            };
            Verdict { figure: figure.clone(), limit, value: target.median.get(figure).copied() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    fn subject(name: &str, figures: &[(&str, f64)]) -> SubjectReport {
        let figures: Figures = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        SubjectReport { median: figures, ..SubjectReport::new(name, String::new(), String::new(), &[]) }
    }

    fn words(bounds: &[(&str, Bound)], subjects: &[SubjectReport]) -> Vec<&'static str> {
        let bounds = bounds.iter().map(|(name, bound)| ((*name).to_owned(), bound.clone())).collect();
        judge(&bounds, subjects).iter().map(Verdict::word).collect()
    }

    #[test]
    fn bounds_are_kept_missed_or_not_measured() {
        let ours = subject("target", &[("errors", 0.0), ("latency_p99_us", 300.0)]);
        let nginx = subject("nginx", &[("latency_p99_us", 140.0)]);
        let number = |limit| Bound::Number(limit);
        let twice = || Bound::Times("2 x nginx".into());
        assert_eq!(words(&[("errors", number(0.0))], &[ours.clone()]), ["kept"]);
        assert_eq!(words(&[("latency_p99_us", number(299.0))], &[ours.clone()]), ["MISSED"]);
        assert_eq!(words(&[("cpu_us_per_request", number(1.0))], &[ours.clone()]), ["not measured"]);
        assert_eq!(words(&[("latency_p99_us", twice())], &[ours.clone()]), ["not measured"]);
        assert_eq!(words(&[("latency_p99_us", twice())], &[ours, nginx]), ["MISSED"]);
    }
}
