//! The command line.

mod command;
mod plan;

use std::io::{self, Write};
use std::path::Path;

use clap::ArgMatches;

use crate::report::{Report, compare, svg, table};
use crate::run;
use crate::scenario::{Bound, EMBEDDED, Scenario};
use crate::upstream::{self, Mock};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Done, all bounds kept.
    Done,
    /// A bound was missed, or the run failed.
    Failed,
    /// Wrong usage.
    Usage,
}

/// Reads the command line and does what it says.
pub fn main() -> End {
    let matches = match command::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { End::Usage } else { End::Done };
        }
    };
    let result = match matches.subcommand() {
        Some(("run", arguments)) => run_scenario(arguments),
        Some(("list", _)) => list(),
        Some(("upstream", arguments)) => serve(arguments),
        Some(("compare", arguments)) => compare_files(arguments),
        _ => Err(Failure::Usage("no such command".into())),
    };
    match result {
        Ok(end) => end,
        Err(failure) => {
            let (text, end) = match failure {
                Failure::Usage(text) => (text, End::Usage),
                Failure::Run(text) => (text, End::Failed),
            };
            let _ = writeln!(io::stderr(), "loadtest: {text}");
            end
        }
    }
}

enum Failure {
    Usage(String),
    Run(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Run(error.to_string())
    }
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(text.into())
}

fn text<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a str> {
    arguments.get_one::<String>(name).map(String::as_str)
}

fn list() -> Result<End, Failure> {
    let mut rows = Vec::new();
    for (name, text) in EMBEDDED {
        let scenario = Scenario::parse(text).map_err(Failure::Run)?;
        let bounds: Vec<String> = scenario
            .bounds
            .iter()
            .map(|(figure, bound)| match bound {
                Bound::Number(most) => format!("{figure} ≤ {most}"),
                Bound::Times(text) => format!("{figure} ≤ {text}"),
            })
            .collect();
        rows.push(format!("{name}\n    {}\n    bounds: {}\n", scenario.about.trim(), bounds.join(", ")));
    }
    io::stdout().write_all(rows.join("\n").as_bytes())?;
    Ok(End::Done)
}

fn serve(arguments: &ArgMatches) -> Result<End, Failure> {
    let _ = crate::sys::raise_open_files();
    let settings = upstream::Settings {
        listen: plan::address(text(arguments, "listen").unwrap_or("127.0.0.1:9100"))?,
        fallback: text(arguments, "script").unwrap_or_default().to_owned(),
        turn: arguments.get_one("turn").copied().unwrap_or(1),
        core: arguments.get_one("core").copied(),
        outage: None,
    };
    let mock = Mock::start(&settings).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => usage(error.to_string()),
        _ => Failure::Run(format!("{}: {error}", settings.listen)),
    })?;
    writeln!(io::stdout(), "mock model server on http://{}", mock.address)?;
    mock.join()?;
    Ok(End::Done)
}

fn run_scenario(arguments: &ArgMatches) -> Result<End, Failure> {
    let plan = plan::plan(arguments)?;
    let files = crate::sys::raise_open_files();
    // The mock server in this process has a descriptor for each of the proxy's.
    let needed = plan.scenario.connections as u64 * if plan.mock.is_some() { 2 } else { 1 } + 64;
    if needed > files {
        return Err(usage(format!("{needed} descriptors are needed, {files} allowed: ulimit -n {needed}")));
    }
    if let Some(folder) = text(arguments, "out") {
        // Before the measurement, not after it.
        std::fs::create_dir_all(folder).map_err(|error| usage(format!("--out {folder}: {error}")))?;
    }
    crate::sys::catch_interrupts();
    let report = run::run(&plan)?;
    write_report(&report, arguments)?;
    let missed = report.bounds.iter().any(crate::report::bounds::Verdict::is_missed);
    Ok(if missed { End::Failed } else { End::Done })
}

fn write_report(report: &Report, arguments: &ArgMatches) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(report).map_err(|error| Failure::Run(error.to_string()))?;
    let table = table::render(report);
    let json_file = text(arguments, "json");
    let shown = if json_file == Some("-") { &json } else { &table };
    writeln!(io::stdout(), "{shown}")?;
    if let Some(file) = json_file.filter(|file| *file != "-") {
        std::fs::write(file, &json).map_err(|error| Failure::Run(format!("{file}: {error}")))?;
    }
    if let Some(folder) = text(arguments, "out") {
        let folder = Path::new(folder);
        let mut full = table;
        for subject in &report.subjects {
            if !subject.command.is_empty() {
                full += &format!("\n== {}\n$ {}\n{}", subject.name, subject.command, subject.configuration);
            }
        }
        std::fs::write(folder.join("report.json"), json)?;
        std::fs::write(folder.join("report.txt"), full)?;
        for (name, picture) in [("latency.svg", svg::latency(report)), ("cpu.svg", svg::cpu(report))] {
            if !picture.is_empty() {
                std::fs::write(folder.join(name), picture)?;
            }
        }
    }
    Ok(())
}

fn compare_files(arguments: &ArgMatches) -> Result<End, Failure> {
    let load = |name: &str| -> Result<Report, Failure> {
        let file = text(arguments, name).unwrap_or_default();
        let bytes = std::fs::read(file).map_err(|error| usage(format!("{file}: {error}")))?;
        serde_json::from_slice(&bytes).map_err(|error| usage(format!("{file}: {error}")))
    };
    let tolerance = arguments.get_one::<f64>("tolerance").copied().unwrap_or(10.0) / 100.0;
    let (shown, worse) = compare::compare(&load("before")?, &load("after")?, tolerance);
    write!(io::stdout(), "{shown}")?;
    Ok(if worse.is_empty() { End::Done } else { End::Failed })
}
