//! Pictures: latency by percentile, processor time by proxy. Plain SVG, readable in light and dark pages.

use std::fmt::Write as _;

use super::Report;
use crate::report::table::number;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 64.0;
const COLOURS: [&str; 4] = ["#c2410c", "#1d4ed8", "#15803d", "#6b7280"];

fn frame(title: &str, body: &str, foot: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\" fill=\"#111827\">{}</text>\n{body}\
         <text x=\"{LEFT}\" y=\"{}\" font-size=\"10\" fill=\"#6b7280\">{}</text>\n</svg>\n",
        escape(title),
        HEIGHT - 10.0,
        escape(foot)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn foot(report: &Report) -> String {
    let from = &report.provenance;
    format!("{} · {} · {} cores · commit {} · {}", from.kernel, from.cpu, from.cores, from.commit, from.rounds)
}

/// Where a percentile stands: each nine takes the same room.
fn across(percent: f64) -> f64 {
    let nines = -(1.0 - percent.min(99.99) / 100.0).log10();
    LEFT + (WIDTH - LEFT - RIGHT) * nines / 4.0
}

/// Latency by percentile, one curve a proxy; empty when no latency was measured.
#[must_use]
pub fn latency(report: &Report) -> String {
    let values = || report.subjects.iter().flat_map(|subject| &subject.latency).map(|(_, us)| us.max(1.0));
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(low, high), us| (low.min(us), high.max(us)));
    if low > high {
        return String::new();
    }
    let (low, high) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let up = |us: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (us.max(1.0).log10() - low) / (high - low);
    let mut body = String::new();
    for power in low as i32..=high as i32 {
        let (y, us) = (up(10f64.powi(power)), 10f64.powi(power));
        let label = if us >= 1e6 {
            format!("{} s", number(us / 1e6, 0))
        } else if us >= 1e3 {
            format!("{} ms", number(us / 1e3, 0))
        } else {
            format!("{us} µs")
        };
        let _ = writeln!(
            body,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e5e7eb\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#374151\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for percent in [0.0, 50.0, 90.0, 99.0, 99.9, 99.99] {
        let x = across(percent);
        let _ = writeln!(
            body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#f3f4f6\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#374151\">{percent} %</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0
        );
    }
    for (at, subject) in report.subjects.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<String> =
            subject.latency.iter().map(|(percent, us)| format!("{:.1},{:.1}", across(*percent), up(*us))).collect();
        let _ = writeln!(
            body,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.join(" ")
        );
        let x = LEFT + 120.0 * at as f64;
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"33\" width=\"12\" height=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"40\" fill=\"#374151\">{}</text>",
            x + 18.0,
            escape(&subject.name)
        );
    }
    frame(&format!("{}: latency by percentile", report.scenario), &body, &foot(report))
}

/// Processor time per request or event, a bar a proxy; empty when none was measured.
#[must_use]
pub fn cpu(report: &Report) -> String {
    let figure = ["cpu_us_per_event", "cpu_us_per_request", "kb_per_stream"]
        .into_iter()
        .find(|name| report.subjects.iter().any(|subject| subject.median.contains_key(*name)));
    let Some(row) = figure.and_then(crate::figures::find) else { return String::new() };
    let bars: Vec<_> =
        report.subjects.iter().filter_map(|s| Some((s.name.as_str(), *s.median.get(row.name)?))).collect();
    let most = bars.iter().map(|(_, value)| *value).fold(1e-9, f64::max);
    let room = (HEIGHT - TOP - BOTTOM) / bars.len() as f64;
    let mut body = String::new();
    for (at, (name, value)) in bars.iter().enumerate() {
        let (y, height) = (TOP + room * at as f64 + room * 0.15, room * 0.7);
        let width = (WIDTH - LEFT - RIGHT - 80.0) * value / most;
        let _ = writeln!(
            body,
            "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#374151\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#111827\">{}</text>",
            COLOURS[at % COLOURS.len()],
            LEFT - 8.0,
            y + height / 2.0 + 4.0,
            escape(name),
            LEFT + width + 8.0,
            y + height / 2.0 + 4.0,
            number(*value, row.digits)
        );
    }
    frame(&format!("{}: {}", report.scenario, row.title), &body, &foot(report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SubjectReport;
    use crate::report::provenance::Provenance;

    fn report() -> Report {
        let subject = |name: &str, us: f64| {
            let mut subject = SubjectReport::new(name, String::new(), String::new(), &[]);
            subject.latency = vec![(50.0, us), (99.0, us * 3.0), (100.0, us * 40.0)];
            subject.median.insert("cpu_us_per_request".into(), us / 10.0);
            subject
        };
        Report {
            scenario: "json & <more>".into(),
            about: String::new(),
            provenance: Provenance::default(),
            subjects: vec![subject("target", 90.0), subject("nginx", 120.0)],
            bounds: Vec::new(),
        }
    }

    #[test]
    fn pictures_hold_every_subject_inside_the_frame() {
        for picture in [latency(&report()), cpu(&report())] {
            assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
            assert!(
                picture.contains("target") && picture.contains("nginx") && picture.contains("json &amp; &lt;more&gt;")
            );
        }
        let picture = latency(&report());
        let points = picture.split("points=\"").skip(1).flat_map(|part| part.split('"').next().unwrap().split(' '));
        for point in points {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(
                (LEFT..=WIDTH - RIGHT + 0.1).contains(&x) && (TOP - 0.1..=HEIGHT - BOTTOM + 0.1).contains(&y),
                "{point}"
            );
        }
    }

    #[test]
    fn nothing_measured_gives_no_picture() {
        let empty = Report { subjects: Vec::new(), ..report() };
        assert!(latency(&empty).is_empty() && cpu(&empty).is_empty());
    }
}
