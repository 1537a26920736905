//! Two reports of a scenario side by side.

use super::table::{align, number};
use super::{Report, SubjectReport};
use crate::figures::{self, Better};

/// Figures that count what must not be. One round with one of them is enough: that other rounds had none excuses nothing.
const MUST_NOT_BE: [&str; 5] = ["errors", "dropped", "resent", "descriptors_left", "upstream_streams_left"];

/// The comparison as text, and what of the target became worse: figures by more than `tolerance` (0.1: a tenth), or missing;
/// and bounds that are no longer kept.
///
/// # Errors
/// When the reports are of different scenarios.
pub fn compare(before: &Report, after: &Report, tolerance: f64) -> Result<(String, Vec<String>), String> {
    if before.scenario != after.scenario {
        return Err(format!("a report of `{}` and one of `{}` cannot be compared", before.scenario, after.scenario));
    }
    let mut rows = vec![vec![String::new(), "before".into(), "after".into(), "after ÷ before".into(), String::new()]];
    let mut worse = Vec::new();
    for old in &before.subjects {
        // A peer that became slower says that the machine did.
        let counts = old.name == "target";
        rows.push(vec![format!("{} · {}", after.scenario, old.name)]);
        let Some(new) = after.subjects.iter().find(|new| new.name == old.name) else {
            let blank = String::new;
            rows.push(vec!["  not in the second report".into(), blank(), blank(), blank(), "missing".into()]);
            if counts {
                worse.push("target: missing".to_owned());
            }
            continue;
        };
        for figure in figures::ALL {
            let Some((row, found)) = compare_figure(old, new, figure, tolerance) else { continue };
            rows.push(row);
            worse.extend(found.filter(|_| counts));
        }
    }
    for name in bounds_lost(before, after) {
        rows.push(vec![format!("bound on {name}"), "kept".into(), "not kept".into(), String::new(), "worse".into()]);
        worse.push(format!("bound on {name}"));
    }
    let mut shown = align(&rows);
    if !before.subjects.iter().any(|old| old.name == "target") {
        shown.push_str("\nThere is no target in the first report: nothing but bounds is judged.\n");
    }
    Ok((shown, worse))
}

/// The row of a figure, and its name if it became worse.
fn compare_figure(
    old: &SubjectReport,
    new: &SubjectReport,
    figure: &figures::Row,
    tolerance: f64,
) -> Option<(Vec<String>, Option<String>)> {
    let was = *old.median.get(figure.name)?;
    let title = format!("  {}", figure.title);
    let show = |value| number(value, figure.digits);
    let Some(&is) = new.median.get(figure.name) else {
        let row = vec![title, show(was), "–".into(), "–".into(), "missing".into()];
        return Some((row, Some(format!("{}: missing", figure.name))));
    };
    if figure.better == Better::Neither || (was == 0.0 && is == 0.0) {
        return None;
    }
    let is_worse =
        is_beyond(was, is, figure.better, tolerance) && (MUST_NOT_BE.contains(&figure.name) || apart(old, new, figure));
    let ratio = if was == 0.0 { "–".into() } else { format!("{:.2}", is / was) };
    let row = vec![title, show(was), show(is), ratio, if is_worse { "worse".into() } else { String::new() }];
    Some((row, is_worse.then(|| figure.name.to_owned())))
}

/// Figures may be negative (memory that shrank), so the tolerance is a part of their size.
fn is_beyond(was: f64, is: f64, better: Better, tolerance: f64) -> bool {
    match better {
        Better::Lower => is > was + was.abs() * tolerance,
        Better::Higher => is < was - was.abs() * (1.0 - 1.0 / (1.0 + tolerance)),
        Better::Neither => false,
    }
}

/// Whether every round after is worse than every round before. With a single round on either side nobody can tell, and the
/// medians decide.
fn apart(old: &SubjectReport, new: &SubjectReport, figure: &figures::Row) -> bool {
    let range = |subject: &SubjectReport| {
        let values: Vec<f64> = subject.rounds.iter().filter_map(|round| round.get(figure.name).copied()).collect();
        let range = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
        (values.len() >= 2).then_some(range)
    };
    match (range(old), range(new), figure.better) {
        (Some((_, high)), Some((low, _)), Better::Lower) => low > high,
        (Some((low, _)), Some((_, high)), Better::Higher) => high < low,
        _ => true,
    }
}

/// Figures whose bound was kept before and has failed the run after.
fn bounds_lost<'a>(before: &'a Report, after: &'a Report) -> impl Iterator<Item = &'a str> {
    let was_kept = |figure: &str| before.bounds.iter().any(|old| old.figure == figure && old.is_kept());
    let failed = after.bounds.iter().filter(|new| new.has_failed()).map(|new| new.figure.as_str());
    failed.filter(move |figure| was_kept(figure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::report::bounds::Verdict;
    use crate::report::provenance::Provenance;

    fn figures(pairs: &[(&str, f64)]) -> Figures {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn report(name: &str, median: &[(&str, f64)]) -> Report {
        let mut subject = SubjectReport::new(name, String::new(), String::new(), &[]);
        subject.median = figures(median);
        Report {
            scenario: "json".into(),
            about: String::new(),
            provenance: Provenance::default(),
            subjects: vec![subject],
            bounds: Vec::new(),
        }
    }

    /// A report of one figure from its rounds, the middle one its median.
    fn rounds(figure: &str, values: [f64; 3]) -> Report {
        let mut report = report("target", &[(figure, values[1])]);
        report.subjects[0].rounds = values.iter().map(|&value| figures(&[(figure, value)])).collect();
        report
    }

    fn worse(before: &Report, after: &Report) -> Vec<String> {
        compare(before, after, 0.1).unwrap().1
    }

    #[test]
    fn only_what_became_worse_beyond_tolerance_is_named() {
        let before = report("target", &[("cpu_us_per_request", 10.0), ("requests_per_second", 100.0), ("errors", 0.0)]);
        let after = |cpu: f64, rate: f64, errors: f64| {
            let figures = [("cpu_us_per_request", cpu), ("requests_per_second", rate), ("errors", errors)];
            worse(&before, &report("target", &figures))
        };
        assert!(after(10.9, 95.0, 0.0).is_empty());
        assert_eq!(after(11.1, 100.0, 0.0), ["cpu_us_per_request"]);
        assert_eq!(after(10.0, 80.0, 0.0), ["requests_per_second"]);
        assert_eq!(after(10.0, 100.0, 1.0), ["errors"]);
        let nginx = |cpu: f64| report("nginx", &[("cpu_us_per_request", cpu)]);
        let (shown, names) = compare(&nginx(10.0), &nginx(99.0), 0.1).unwrap();
        assert!(names.is_empty(), "a slower peer says that the machine is slower");
        assert!(shown.contains("no target"), "{shown}");
    }

    #[test]
    fn different_scenarios_are_not_compared() {
        let before = report("target", &[]);
        let after = Report { scenario: "stream".into(), ..before.clone() };
        let error = compare(&before, &after, 0.1).unwrap_err();
        assert!(error.contains("`json`") && error.contains("`stream`"), "{error}");
    }

    #[test]
    fn what_is_missing_is_worse() {
        let before = report("target", &[("cpu_us_per_request", 10.0), ("threads", 1.0)]);
        let (shown, names) = compare(&before, &report("target", &[("threads", 1.0)]), 0.1).unwrap();
        assert_eq!(names, ["cpu_us_per_request: missing"]);
        assert!(shown.contains("missing"), "{shown}");
        assert_eq!(worse(&before, &report("nginx", &[])), ["target: missing"]);
        assert!(
            worse(&report("nginx", &[("errors", 1.0)]), &report("target", &[])).is_empty(),
            "peers may be left out"
        );
    }

    #[test]
    fn no_report_is_worse_than_itself() {
        let shrunk = report("target", &[("memory_growth_percent", -5.0), ("kb_per_stream", -0.5)]);
        assert!(worse(&shrunk, &shrunk).is_empty());
        assert_eq!(
            worse(&shrunk, &report("target", &[("memory_growth_percent", -4.0), ("kb_per_stream", -0.5)])),
            ["memory_growth_percent"]
        );
    }

    #[test]
    fn rounds_that_overlap_show_no_difference() {
        let before = rounds("latency_p99_us", [90.0, 100.0, 130.0]);
        assert!(worse(&before, &rounds("latency_p99_us", [125.0, 140.0, 150.0])).is_empty());
        assert_eq!(worse(&before, &rounds("latency_p99_us", [131.0, 140.0, 150.0])), ["latency_p99_us"]);
        let before = rounds("requests_per_second", [90.0, 100.0, 110.0]);
        assert!(worse(&before, &rounds("requests_per_second", [60.0, 70.0, 95.0])).is_empty());
        assert_eq!(worse(&before, &rounds("requests_per_second", [60.0, 70.0, 85.0])), ["requests_per_second"]);
        // A single round cannot contradict the medians.
        assert_eq!(
            worse(&report("target", &[("latency_p99_us", 100.0)]), &rounds("latency_p99_us", [90.0, 120.0, 150.0])),
            ["latency_p99_us"]
        );
        // One round with an error is one too many.
        let mut after = rounds("errors", [0.0, 0.0, 5.0]);
        after.subjects[0].median = figures(&[("errors", 5.0)]);
        assert_eq!(worse(&rounds("errors", [0.0, 0.0, 0.0]), &after), ["errors"]);
    }

    #[test]
    fn a_bound_that_is_no_longer_kept_is_worse() {
        let with = |value: f64, void: Option<&str>| {
            let void = void.map(str::to_owned);
            let bound =
                Verdict { figure: "latency_p99_us".into(), limit: Some(100.0), value: Some(value), asked: false, void };
            Report { bounds: vec![bound], ..report("target", &[("latency_p99_us", value)]) }
        };
        assert_eq!(
            worse(&with(99.0, None), &with(101.0, None)),
            ["bound on latency_p99_us"],
            "within tolerance, but missed"
        );
        assert_eq!(worse(&with(99.0, None), &with(99.0, Some("nginx had 3 errors"))), ["bound on latency_p99_us"]);
        assert!(worse(&with(101.0, None), &with(101.0, None)).is_empty(), "missed before as well");
        assert!(worse(&with(99.0, None), &with(99.0, None)).is_empty());
    }
}
