//! The figures of a measurement, one row each: reports, bounds and comparisons read this table.

use std::collections::BTreeMap;

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// Neither; it says what was done.
    Neither,
}

/// A figure's description.
#[derive(Debug)]
pub struct Row {
    /// The name in files and bounds.
    pub name: &'static str,
    /// The words in tables.
    pub title: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// Which way is good.
    pub better: Better,
}

const fn row(name: &'static str, title: &'static str, digits: usize, better: Better) -> Row {
    Row { name, title, digits, better }
}

/// All figures in the order of the report.
pub const ALL: &[Row] = &[
    row("cpu_us_per_request", "CPU per request, µs", 2, Better::Lower),
    row("cpu_us_per_event", "CPU per upstream event, µs", 2, Better::Lower),
    row("cpu_user_percent", "of it in user mode, %", 0, Better::Neither),
    row("cpu_busy_percent", "CPU in use, % of a core", 0, Better::Neither),
    row("cpu_waiting_percent", "ready without a core, % of the time", 0, Better::Neither),
    row("kb_per_stream", "memory per stream (PSS), KB", 1, Better::Lower),
    row("rss_kb_per_stream", "memory per stream (RSS), KB", 1, Better::Lower),
    row("pss_mb", "memory at the end (PSS), MB", 1, Better::Lower),
    row("memory_growth_percent", "memory growth, %", 1, Better::Lower),
    row("descriptors", "descriptors at the end", 0, Better::Neither),
    row("descriptors_growth", "growth of descriptors", 0, Better::Lower),
    row("descriptors_left", "descriptors left behind", 0, Better::Lower),
    row("threads", "threads", 0, Better::Neither),
    row("requests", "requests answered", 0, Better::Neither),
    row("requests_per_second", "requests a second", 0, Better::Higher),
    row("events_per_second", "upstream events a second", 0, Better::Higher),
    row("latency_p50_us", "latency p50, µs", 0, Better::Lower),
    row("latency_p90_us", "latency p90, µs", 0, Better::Lower),
    row("latency_p99_us", "latency p99, µs", 0, Better::Lower),
    row("latency_p999_us", "latency p99.9, µs", 0, Better::Lower),
    row("latency_max_us", "latency max, µs", 0, Better::Lower),
    row("first_event_p50_us", "first event p50, µs", 0, Better::Lower),
    row("first_event_p99_us", "first event p99, µs", 0, Better::Lower),
    row("lateness_p50_us", "event lateness p50, µs", 0, Better::Lower),
    row("lateness_p99_us", "event lateness p99, µs", 0, Better::Lower),
    row("lateness_max_us", "event lateness max, µs", 0, Better::Lower),
    row("streams_held", "streams held", 0, Better::Neither),
    row("upstream_streams_left", "upstream streams left running", 0, Better::Lower),
    row("error_replies_percent", "errors in answer to an upstream's, %", 0, Better::Lower),
    row("upstream_requests_percent", "requests that reached the upstream, %", 1, Better::Lower),
    row("abandoned", "streams left on purpose", 0, Better::Neither),
    row("connects", "connections opened", 0, Better::Neither),
    row("resent", "requests sent again", 0, Better::Lower),
    row("dropped", "arrivals dropped", 0, Better::Lower),
    row("errors", "errors", 0, Better::Lower),
];

/// Figures by name. What could not be measured is not there.
pub type Figures = BTreeMap<String, f64>;

/// Is there a figure of this name?
///
/// # Errors
/// With the names that there are.
pub fn known(name: &str) -> Result<(), String> {
    let names = || ALL.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    find(name).map(drop).ok_or_else(|| format!("no figure `{name}`; there are {}", names()))
}

/// The description of a figure.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    ALL.iter().find(|row| row.name == name)
}

/// The middle of the rounds for each figure that was measured in any; errors, drops and what is left behind are taken at their worst.
#[must_use]
pub fn medians(rounds: &[Figures]) -> Figures {
    let names: std::collections::BTreeSet<&String> = rounds.iter().flat_map(BTreeMap::keys).collect();
    names
        .into_iter()
        .map(|name| {
            let mut values: Vec<f64> = rounds.iter().filter_map(|figures| figures.get(name).copied()).collect();
            values.sort_by(f64::total_cmp);
            let value = if is_worst_case(name) { values.last().copied().unwrap_or(0.0) } else { middle(&values) };
            (name.clone(), value)
        })
        .collect()
}

/// What must never happen is not excused by the rounds in which it did not.
fn is_worst_case(name: &str) -> bool {
    const WORST: [&str; 8] = [
        "errors",
        "dropped",
        "resent",
        "error_replies_percent",
        "memory_growth_percent",
        "descriptors_growth",
        "descriptors_left",
        "upstream_streams_left",
    ];
    name.ends_with("_max_us") || WORST.contains(&name)
}

fn middle(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pairs: &[(&str, f64)]) -> Figures {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn medians_are_the_middle_and_errors_the_worst() {
        let rounds = [
            figures(&[("cpu_us_per_request", 9.0), ("errors", 0.0)]),
            figures(&[("cpu_us_per_request", 30.0), ("errors", 2.0)]),
            figures(&[("cpu_us_per_request", 10.0), ("errors", 0.0), ("pss_mb", 4.0)]),
        ];
        let got = medians(&rounds);
        assert_eq!(got, figures(&[("cpu_us_per_request", 10.0), ("errors", 2.0), ("pss_mb", 4.0)]));
        assert_eq!(medians(&rounds[..2])["cpu_us_per_request"], 19.5);
        assert!(medians(&[]).is_empty());
    }

    #[test]
    fn what_must_never_happen_is_taken_at_its_worst() {
        let round = |value| ALL.iter().map(|row| (row.name.to_owned(), value)).collect::<Figures>();
        let got = medians(&[round(0.0), round(7.0), round(0.0)]);
        let worst: Vec<_> = ALL.iter().map(|row| row.name).filter(|name| got[*name] == 7.0).collect();
        assert_eq!(
            worst,
            [
                "memory_growth_percent",
                "descriptors_growth",
                "descriptors_left",
                "latency_max_us",
                "lateness_max_us",
                "upstream_streams_left",
                "error_replies_percent",
                "resent",
                "dropped",
                "errors"
            ]
        );
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(find("errors").is_some() && find("beauty").is_none());
    }
}
