//! Two reports side by side.

use super::table::{align, number};
use super::{Report, SubjectReport};
use crate::figures::{self, Better};

/// The comparison as text, and the figures that became worse by more than `tolerance` (0.1: a tenth).
#[must_use]
pub fn compare(before: &Report, after: &Report, tolerance: f64) -> (String, Vec<String>) {
    let mut rows = vec![vec![String::new(), "before".into(), "after".into(), "after ÷ before".into(), String::new()]];
    let mut worse = Vec::new();
    for new in &after.subjects {
        let Some(old) = before.subjects.iter().find(|old| old.name == new.name) else { continue };
        rows.push(vec![format!("{} · {}", after.scenario, new.name)]);
        for figure in figures::ALL {
            let Some((row, is_worse)) = compare_figure(old, new, figure, tolerance) else { continue };
            // A peer that became slower says that the machine did.
            if is_worse && new.name == "target" {
                worse.push(figure.name.to_owned());
            }
            rows.push(row);
        }
    }
    (align(&rows), worse)
}

fn compare_figure(
    old: &SubjectReport,
    new: &SubjectReport,
    figure: &figures::Row,
    tolerance: f64,
) -> Option<(Vec<String>, bool)> {
    let (was, is) = (*old.median.get(figure.name)?, *new.median.get(figure.name)?);
    if figure.better == Better::Neither || (was == 0.0 && is == 0.0) {
        return None;
    }
    let is_worse = match figure.better {
        Better::Lower => is > was * (1.0 + tolerance),
        Better::Higher => is < was / (1.0 + tolerance),
        Better::Neither => false,
    };
    let ratio = if was == 0.0 { "–".into() } else { format!("{:.2}", is / was) };
    let word = if is_worse { "worse" } else { "" };
    let show = |value| number(value, figure.digits);
    Some((vec![format!("  {}", figure.title), show(was), show(is), ratio, word.into()], is_worse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::provenance::Provenance;

    fn report(name: &str, figures: &[(&str, f64)]) -> Report {
        let mut subject = SubjectReport::new(name, String::new(), String::new(), &[]);
        subject.median = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Report {
            scenario: "json".into(),
            about: String::new(),
            provenance: Provenance::default(),
            subjects: vec![subject],
            bounds: Vec::new(),
        }
    }

    #[test]
    fn only_what_became_worse_beyond_tolerance_is_named() {
        let before = report("target", &[("cpu_us_per_request", 10.0), ("requests_per_second", 100.0), ("errors", 0.0)]);
        let worse = |figures: &[(&str, f64)]| compare(&before, &report("target", figures), 0.1).1;
        assert!(worse(&[("cpu_us_per_request", 10.9), ("requests_per_second", 95.0)]).is_empty());
        assert_eq!(worse(&[("cpu_us_per_request", 11.1)]), ["cpu_us_per_request"]);
        assert_eq!(worse(&[("requests_per_second", 80.0)]), ["requests_per_second"]);
        assert_eq!(worse(&[("errors", 1.0)]), ["errors"]);
        assert!(compare(&before, &report("nginx", &[("cpu_us_per_request", 99.0)]), 0.1).1.is_empty());
    }
}
