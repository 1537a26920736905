//! The command line.

mod address;
mod command;
mod descriptors;
mod output;
mod plan;

use std::io::{self, Write};

use clap::ArgMatches;

use crate::report::bounds::Verdict;
use crate::report::{Report, compare};
use crate::run;
use crate::scenario::{EMBEDDED, Scenario};
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

#[derive(Debug)]
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
        let bounds: Vec<String> = scenario.bounds.iter().map(|(figure, bound)| format!("{figure} ≤ {bound}")).collect();
        rows.push(format!("{name}\n    {}\n    bounds: {}\n", scenario.about.trim(), bounds.join(", ")));
    }
    io::stdout().write_all(rows.join("\n").as_bytes())?;
    Ok(End::Done)
}

fn serve(arguments: &ArgMatches) -> Result<End, Failure> {
    let _ = crate::sys::raise_open_files();
    let settings = upstream::Settings {
        listen: address::address(text(arguments, "listen").unwrap_or("127.0.0.1:9100"))?,
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
    descriptors::check(&plan, crate::sys::raise_open_files())?;
    let output = output::Output::prepare(arguments)?;
    crate::sys::catch_interrupts();
    let report = run::run(&plan)?;
    output.write(&report)?;
    for reason in report.bounds.iter().filter_map(Verdict::reason) {
        let _ = writeln!(io::stderr(), "loadtest: {reason}");
    }
    let failed = report.bounds.iter().any(Verdict::has_failed);
    Ok(if failed { End::Failed } else { End::Done })
}

fn compare_files(arguments: &ArgMatches) -> Result<End, Failure> {
    let load = |name: &str| -> Result<Report, Failure> {
        let file = text(arguments, name).unwrap_or_default();
        let bytes = std::fs::read(file).map_err(|error| usage(format!("{file}: {error}")))?;
        serde_json::from_slice(&bytes).map_err(|error| usage(format!("{file}: {error}")))
    };
    let percent = arguments.get_one::<f64>("tolerance").copied().unwrap_or(10.0);
    if !(0.0..=1000.0).contains(&percent) {
        return Err(usage(format!("--tolerance {percent}: 0 to 1000 per cent")));
    }
    let (before, after) = (load("before")?, load("after")?);
    let (shown, worse) = compare::compare(&before, &after, percent / 100.0).map_err(Failure::Usage)?;
    write!(io::stdout(), "{shown}")?;
    Ok(if worse.is_empty() { End::Done } else { End::Failed })
}
