//! Where a run's report goes. A measurement may take an hour, so every file is tried before it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::{Failure, text, usage};
use crate::report::{Report, svg, table};

/// The files of `--out`.
const REPORT_JSON: &str = "report.json";
const REPORT_TEXT: &str = "report.txt";
const LATENCY: &str = "latency.svg";
const CPU: &str = "cpu.svg";

/// What was asked with `--out` and `--json`.
pub(super) struct Output {
    folder: Option<PathBuf>,
    json: Option<PathBuf>,
    /// JSON instead of the table on standard output.
    json_shown: bool,
}

impl Output {
    /// Reads the options and tries the files.
    pub(super) fn prepare(arguments: &ArgMatches) -> Result<Self, Failure> {
        let json = text(arguments, "json");
        let output = Self {
            folder: text(arguments, "out").map(PathBuf::from),
            json: json.filter(|file| *file != "-").map(PathBuf::from),
            json_shown: json == Some("-"),
        };
        if let Some(folder) = &output.folder {
            fs::create_dir_all(folder).map_err(|error| usage(format!("--out {}: {error}", folder.display())))?;
            for name in [REPORT_JSON, REPORT_TEXT, LATENCY, CPU] {
                try_file("--out", &folder.join(name))?;
            }
        }
        if let Some(file) = &output.json {
            try_file("--json", file)?;
        }
        Ok(output)
    }

    /// Shows and writes the report.
    pub(super) fn write(&self, report: &Report) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(report).map_err(|error| Failure::Run(error.to_string()))?;
        let table = table::render(report);
        writeln!(io::stdout(), "{}", if self.json_shown { &json } else { &table })?;
        if let Some(file) = &self.json {
            write_file(file, &json)?;
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut full = table;
        for subject in &report.subjects {
            if !subject.command.is_empty() {
                full += &format!("\n== {}\n$ {}\n{}", subject.name, subject.command, subject.configuration);
            }
        }
        write_file(&folder.join(REPORT_JSON), &json)?;
        write_file(&folder.join(REPORT_TEXT), &full)?;
        for (name, picture) in [(LATENCY, svg::latency(report)), (CPU, svg::cpu(report))] {
            if !picture.is_empty() {
                write_file(&folder.join(name), &picture)?;
            }
        }
        Ok(())
    }
}

fn write_file(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::Run(format!("{}: {error}", file.display())))
}

/// Opens a file as it will be opened later, without changing it.
fn try_file(option: &str, file: &Path) -> Result<(), Failure> {
    let there = fs::metadata(file);
    // Whoever reads a pipe takes its closing for the end.
    if there.as_ref().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(());
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .map_err(|error| usage(format!("{option} {}: {error}", file.display())))?;
    if there.is_err() {
        // A run that is broken off leaves no empty report.
        let _ = fs::remove_file(file);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<(), Failure>) -> String {
        match result {
            Ok(()) => "fine".into(),
            Err(Failure::Usage(text)) => text,
            Err(Failure::Run(text)) => format!("not before the run: {text}"),
        }
    }

    #[test]
    fn trying_changes_nothing_and_names_the_file() {
        let folder = std::env::temp_dir().join(format!("loadtest-output-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (old, new) = (folder.join("old.json"), folder.join("new.json"));
        fs::write(&old, "kept").unwrap();
        assert_eq!(said(try_file("--json", &old)), "fine");
        assert_eq!(fs::read_to_string(&old).unwrap(), "kept");
        assert_eq!(said(try_file("--json", &new)), "fine");
        assert!(!new.exists());
        assert!(said(try_file("--json", &folder)).contains(&*folder.to_string_lossy()));
        let nowhere = folder.join("none/report.json");
        assert!(said(try_file("--json", &nowhere)).contains("none/report.json"));
        fs::remove_dir_all(folder).unwrap();
    }
}
