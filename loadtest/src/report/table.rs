//! The report as text.

use std::fmt::Write as _;

use super::bounds::Verdict;
use super::provenance::Provenance;
use super::{Report, SubjectReport};
use crate::figures;

/// A number with its digits and thin thousands.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("-", rest));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.map_or(String::new(), |f| format!(".{f}"));
    format!("{sign}{grouped}{fraction}")
}

/// Rows of cells, the first column to the left, the others to the right.
#[must_use]
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let _ = if column == 0 { write!(line, "{cell}{pad}") } else { write!(line, "  {pad}{cell}") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The report for a reader.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = format!("{}: {}\n\n", report.scenario, report.about.trim());
    text.push_str(&align(&figure_rows(&report.subjects)));
    for peer in report.subjects.iter().skip(1) {
        if let Some(errors) = peer.errors() {
            let _ = writeln!(text, "\n{} had {errors} errors: its figures are no measure for others", peer.name);
        }
    }
    for subject in &report.subjects {
        if !subject.faults.is_empty() {
            let list: Vec<_> = subject.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let _ = writeln!(text, "\n{}: wrong replies: {}", subject.name, list.join(", "));
            for sample in &subject.samples {
                let _ = writeln!(text, "  {sample}");
            }
        }
    }
    if !report.bounds.is_empty() {
        text.push('\n');
        text.push_str(&align(&bound_rows(report)));
        for reason in report.bounds.iter().filter_map(Verdict::reason) {
            let _ = writeln!(text, "{reason}");
        }
    }
    let from = &report.provenance;
    let _ = write!(
        text,
        "\n{} · {} · {} cores · load {} · commit {}{}\n{} · {}\n{}\n",
        from.kernel,
        from.cpu,
        from.cores,
        from.load,
        from.commit,
        commit_of(from),
        from.pinning,
        from.rounds,
        from.command
    );
    text
}

/// What the commit is of: it is read beside the measurement, so the proxy may be of another one.
fn commit_of(from: &Provenance) -> String {
    if from.commit_of.is_empty() { String::new() } else { format!(" ({}, not the proxy)", from.commit_of) }
}

fn figure_rows(subjects: &[SubjectReport]) -> Vec<Vec<String>> {
    let mut header = vec![String::new()];
    for (at, subject) in subjects.iter().enumerate() {
        header.push(subject.name.clone());
        header.push("min..max".into());
        if at > 0 {
            header.push("target ÷".into());
        }
    }
    let mut rows = vec![header];
    for figure in figures::ALL {
        let measured = subjects.iter().any(|subject| subject.median.contains_key(figure.name));
        // A figure that was not 0 in one round is shown, also where the middle of them is.
        let nothing = |figures: &figures::Figures| figures.get(figure.name).is_none_or(|value| *value == 0.0);
        let dull =
            figure.name != "errors" && subjects.iter().all(|s| nothing(&s.median) && s.rounds.iter().all(nothing));
        if !measured || dull {
            continue;
        }
        let ours = subjects[0].median.get(figure.name).copied();
        let mut row = vec![figure.title.to_owned()];
        for (at, subject) in subjects.iter().enumerate() {
            let value = subject.median.get(figure.name).copied();
            row.push(value.map_or("–".into(), |value| number(value, figure.digits)));
            row.push(range(subject, figure));
            if at > 0 {
                let ratio = match (ours, value) {
                    (Some(ours), Some(value))
                        if value > 0.0 && figure.better != figures::Better::Neither && subject.errors().is_none() =>
                    {
                        format!("{:.2}", ours / value)
                    }
                    _ => String::new(),
                };
                row.push(ratio);
            }
        }
        rows.push(row);
    }
    rows
}

fn range(subject: &SubjectReport, figure: &figures::Row) -> String {
    let values: Vec<f64> = subject.rounds.iter().filter_map(|round| round.get(figure.name).copied()).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    if values.len() < 2 {
        String::new()
    } else {
        format!("{}..{}", number(low, figure.digits), number(high, figure.digits))
    }
}

fn bound_rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["bound".to_owned(), "at most".into(), "is".into(), String::new()]];
    for verdict in &report.bounds {
        let row = figures::find(&verdict.figure);
        let digits = row.map_or(2, |row| row.digits.max(1));
        let show = |value: Option<f64>| value.map_or("–".into(), |value| number(value, digits));
        let title = row.map_or(verdict.figure.clone(), |row| row.title.to_owned());
        rows.push(vec![title, show(verdict.limit), show(verdict.value), verdict.word().into()]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(1234567.891, 1), "1,234,567.9");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(number(-1234.5, 0), "-1,234");
        assert_eq!(number(0.0, 2), "0.00");
    }

    #[test]
    fn columns_line_up_by_characters() {
        let cell = |text: &str| text.to_owned();
        let text = align(&[vec![cell("µs"), cell("1")], vec![cell("longer"), cell("1,000")]]);
        assert_eq!(text, "µs          1\nlonger  1,000\n");
    }

    #[test]
    fn a_report_shows_ratio_bound_and_provenance() {
        let subject = |name: &str, cpu: f64| {
            let mut subject = SubjectReport::new(name, String::new(), String::new(), &[]);
            subject.median.insert("cpu_us_per_request".into(), cpu);
            subject.median.insert("errors".into(), 0.0);
            subject
        };
        let mut report = Report {
            scenario: "json".into(),
            about: "W1".into(),
            provenance: Provenance {
                kernel: "Linux 6".into(),
                commit: "abc".into(),
                commit_of: "the folder the run was started in".into(),
                command: "loadtest run".into(),
                ..Provenance::default()
            },
            subjects: vec![subject("target", 9.0), subject("nginx", 12.0)],
            bounds: vec![Verdict {
                figure: "cpu_us_per_request".into(),
                limit: Some(8.0),
                value: Some(9.0),
                asked: false,
                void: None,
            }],
        };
        let text = render(&report);
        for part in ["CPU per request, µs", "9.00", "12.00", "0.75", "MISSED", "Linux 6", "loadtest run"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("commit abc (the folder the run was started in, not the proxy)"), "{text}");
        assert!(!text.contains("memory per stream"));
        report.subjects[1].median.insert("errors".into(), 4.0);
        report.bounds[0].void = Some("nginx had 4 errors".into());
        let text = render(&report);
        assert!(text.contains("nginx had 4 errors: its figures are no measure"), "{text}");
        assert!(text.contains("NOT JUDGED") && text.contains("cannot be judged"), "{text}");
        assert!(!text.contains("0.75"), "no ratio to a peer with errors: {text}");
    }
}
