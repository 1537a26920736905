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
    /// The user asked for this bound with `--bound`, so it must be measured.
    #[serde(default)]
    pub asked: bool,
    /// Why it cannot be judged although it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
}

impl Verdict {
    /// It was measured and is over the limit.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        matches!((self.value, self.limit), (Some(value), Some(limit)) if value > limit)
    }

    fn is_measured(&self) -> bool {
        self.value.is_some() && self.limit.is_some()
    }

    /// It was judged and kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.void.is_none() && self.is_measured() && !self.is_missed()
    }

    /// The run has failed by it.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.is_missed() || self.void.is_some() || (self.asked && !self.is_measured())
    }

    /// In words; capitals are for what fails the run.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            _ if self.void.is_some() => "NOT JUDGED",
            _ if self.is_missed() => "MISSED",
            _ if self.is_kept() => "kept",
            _ if self.asked => "NOT MEASURED",
            _ => "not measured",
        }
    }

    /// Why the run has failed by it, where the numbers do not say so.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &self.void {
            Some(why) => Some(format!("the bound on {} cannot be judged: {why}", self.figure)),
            None if self.asked && !self.is_measured() => {
                Some(format!("the bound on {} was asked for with --bound and is not measured", self.figure))
            }
            None => None,
        }
    }
}

/// Judges the first subject. `asked` are the figures whose bounds were asked for on the command line.
#[must_use]
pub fn judge(bounds: &BTreeMap<String, Bound>, asked: &[String], subjects: &[SubjectReport]) -> Vec<Verdict> {
    let Some(target) = subjects.first() else { return Vec::new() };
    bounds
        .iter()
        .map(|(figure, bound)| {
            let (limit, void) = limit(figure, bound, &subjects[1..]);
            let value = target.median.get(figure).copied();
            Verdict { figure: figure.clone(), limit, value, asked: asked.contains(figure), void }
        })
        .collect()
}

/// The limit, or why there is none although the peer was measured.
fn limit(figure: &str, bound: &Bound, peers: &[SubjectReport]) -> (Option<f64>, Option<String>) {
    let (factor, name) = match (bound, bound.relative()) {
        (Bound::Number(limit), _) => return (Some(*limit), None),
        (Bound::Times(_), Some(relative)) => relative,
        (Bound::Times(_), None) => return (None, None),
    };
    let Some(peer) = peers.iter().find(|peer| peer.name == name) else { return (None, None) };
    // What a peer took for answers that it did not give is no yardstick.
    if let Some(errors) = peer.errors() {
        return (None, Some(format!("{name}, which it is relative to, had {errors} errors")));
    }
    (peer.median.get(figure).map(|value| factor * value), None)
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
        judge(&bounds, &[], subjects).iter().map(Verdict::word).collect()
    }

    #[test]
    fn bounds_are_kept_missed_or_not_measured() {
        let ours = subject("target", &[("errors", 0.0), ("latency_p99_us", 300.0)]);
        let nginx = subject("nginx", &[("latency_p99_us", 140.0)]);
        let number = |limit| Bound::Number(limit);
        let twice = || Bound::Times("2 x nginx".into());
        assert_eq!(words(&[("errors", number(0.0))], std::slice::from_ref(&ours)), ["kept"]);
        assert_eq!(words(&[("latency_p99_us", number(299.0))], std::slice::from_ref(&ours)), ["MISSED"]);
        assert_eq!(words(&[("cpu_us_per_request", number(1.0))], std::slice::from_ref(&ours)), ["not measured"]);
        assert_eq!(words(&[("latency_p99_us", twice())], std::slice::from_ref(&ours)), ["not measured"]);
        assert_eq!(words(&[("latency_p99_us", twice())], &[ours, nginx]), ["MISSED"]);
    }

    #[test]
    fn a_peer_with_errors_is_no_yardstick() {
        let ours = subject("target", &[("errors", 0.0), ("latency_p99_us", 3.0)]);
        let broken = subject("nginx", &[("errors", 7.0), ("latency_p99_us", 140.0)]);
        let bounds = [
            ("errors".to_owned(), Bound::Number(0.0)),
            ("latency_p99_us".to_owned(), Bound::Times("2 x nginx".into())),
        ];
        let verdicts = judge(&bounds.into(), &[], &[ours, broken]);
        assert_eq!(verdicts.iter().map(Verdict::word).collect::<Vec<_>>(), ["kept", "NOT JUDGED"]);
        assert!(!verdicts[0].has_failed() && verdicts[1].has_failed() && !verdicts[1].is_kept());
        let reason = verdicts[1].reason().unwrap();
        assert!(
            reason.contains("latency_p99_us") && reason.contains("nginx") && reason.contains("7 errors"),
            "{reason}"
        );
    }

    #[test]
    fn what_was_asked_for_must_be_measured() {
        let ours = subject("target", &[("errors", 0.0)]);
        let bounds = [("pss_mb".to_owned(), Bound::Number(9.0))].into();
        let unasked = &judge(&bounds, &[], std::slice::from_ref(&ours))[0];
        assert_eq!((unasked.word(), unasked.has_failed(), unasked.reason()), ("not measured", false, None));
        let asked = &judge(&bounds, &["pss_mb".to_owned()], &[ours])[0];
        assert_eq!((asked.word(), asked.has_failed()), ("NOT MEASURED", true));
        assert!(asked.reason().unwrap().contains("pss_mb"));
    }
}
