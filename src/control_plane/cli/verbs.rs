//! What each verb does, as far as it needs no server.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::ArgMatches;

use super::command::{self, UNBUILT_VERBS};
use super::{Answer, EXIT_DONE, EXIT_FAILED, EXIT_USAGE};
use crate::control_plane::cache;
use crate::control_plane::config::table::ROWS;
use crate::control_plane::config::{self, Environment, FlagText, Inputs, Kind, Loaded, Problem};

pub(super) fn run(matches: &ArgMatches, environment: Environment) -> Answer {
    let inputs = Inputs { flags: command::flags(matches), environment, ..Inputs::default() };
    match matches.subcommand() {
        None | Some(("serve", _)) => start(inputs, Answer::Serve),
        Some(("demo", _)) => start(inputs, Answer::Demo),
        Some(("cache", verb)) => cache(inputs, verb.subcommand_name().unwrap_or_default()),
        Some(("check", verb)) => check(inputs, verb.get_one::<String>("file").or_else(|| verb.get_one("config"))),
        Some(("completions", verb)) => completions(verb),
        Some(("man", _)) => printed(man()),
        Some(("options", verb)) => printed(match verb.get_one::<String>("form").map(String::as_str) {
            Some("schema") => config::schema(),
            _ => config::markdown_table(),
        }),
        Some((verb, _)) => {
            debug_assert!(UNBUILT_VERBS.contains(&verb), "a verb without an answer: {verb}");
            refused(&[format!("the verb {verb} is not in this build")])
        }
    }
}

fn printed(out: String) -> Answer {
    Answer::Text { out, err: String::new(), status: EXIT_DONE }
}

fn refused(lines: &[String]) -> Answer {
    let err = lines.iter().map(|line| format!("thinkgate: {line}\n")).collect();
    Answer::Text { out: String::new(), err, status: EXIT_USAGE }
}

fn start(inputs: Inputs, verb: fn(Box<Loaded>) -> Answer) -> Answer {
    match config::load(inputs) {
        Ok(loaded) => verb(Box::new(loaded)),
        Err(problems) => refused(&problems.iter().map(Problem::to_string).collect::<Vec<_>>()),
    }
}

/// Works on the directory that a gateway with the same options would use.
fn cache(inputs: Inputs, verb: &str) -> Answer {
    let settings = match config::load(inputs) {
        Ok(loaded) => loaded.settings,
        Err(problems) => return refused(&problems.iter().map(Problem::to_string).collect::<Vec<_>>()),
    };
    let dir = &settings.cache.dir;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let done = match verb {
        "clear" => cache::clear(dir),
        _ => cache::status(dir, u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
    };
    match done {
        Ok(text) => printed(text),
        Err(problem) => {
            Answer::Text { out: String::new(), err: format!("thinkgate: {problem}\n"), status: EXIT_FAILED }
        }
    }
}

/// One line a finding on the standard output, since findings are what was asked for.
fn check(mut inputs: Inputs, file: Option<&String>) -> Answer {
    if let (Some(file), Some(row)) = (file, ROWS.iter().position(|row| matches!(row.kind, Kind::ConfigFile))) {
        inputs.flags.retain(|(at, _)| *at != row);
        inputs.flags.push((row, FlagText::new(file.as_str())));
    }
    let (lines, status) = match config::load(inputs) {
        Ok(loaded) => (findings(&loaded), EXIT_DONE),
        Err(problems) => (problems.iter().map(Problem::to_string).collect(), EXIT_USAGE),
    };
    let out = lines.iter().map(|line| format!("{line}\n")).collect();
    Answer::Text { out, err: String::new(), status }
}

fn findings(loaded: &Loaded) -> Vec<String> {
    let mut lines: Vec<String> = loaded.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    let settings = &loaded.settings.cache;
    if let (true, Err(problem)) = (settings.enabled, cache::could_open(&settings.dir)) {
        lines.push(format!("warning: the cache would be in memory only: {problem}"));
    }
    lines.push(match &loaded.file {
        Some(file) => format!("{}: valid", file.display()),
        None => "no configuration file; environment and defaults are valid".to_owned(),
    });
    lines
}

fn completions(verb: &ArgMatches) -> Answer {
    let Some(shell) = verb.get_one::<clap_complete::Shell>("shell") else { return refused(&[]) };
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut command::command(), "thinkgate", &mut text);
    printed(String::from_utf8_lossy(&text).into_owned())
}

fn man() -> String {
    let mut text = Vec::new();
    // Writing into memory does not fail.
    let _ = clap_mangen::Man::new(command::command()).render(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
