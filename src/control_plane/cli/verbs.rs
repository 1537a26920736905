//! What each verb does, as far as it needs no server.

use clap::ArgMatches;

use super::command::{self, UNBUILT_VERBS};
use super::{EXIT_DONE, EXIT_USAGE, Invocation, print};
use crate::control_plane::config::table::ROWS;
use crate::control_plane::config::{self, Environment, FlagText, Inputs, Kind, Loaded, Problem};

pub(super) fn run(matches: &ArgMatches, environment: Environment) -> Invocation {
    let inputs = Inputs { flags: command::flags(matches), environment, ..Inputs::default() };
    match matches.subcommand() {
        None | Some(("serve", _)) => start(inputs, Invocation::Serve),
        Some(("demo", _)) => start(inputs, Invocation::Demo),
        Some(("check", verb)) => Invocation::Exit(check(inputs, verb.get_one::<String>("file"))),
        Some(("completions", verb)) => Invocation::Exit(completions(verb)),
        Some(("man", _)) => Invocation::Exit(man()),
        Some((verb, _)) => {
            debug_assert!(UNBUILT_VERBS.contains(&verb), "a verb without an answer: {verb}");
            print::error(&format!("the verb {verb} is not in this build"));
            Invocation::Exit(EXIT_USAGE)
        }
    }
}

fn start(inputs: Inputs, verb: fn(Box<Loaded>) -> Invocation) -> Invocation {
    match config::load(inputs) {
        Ok(loaded) => verb(Box::new(loaded)),
        Err(problems) => {
            problems.iter().for_each(|problem| print::error(&problem.to_string()));
            Invocation::Exit(EXIT_USAGE)
        }
    }
}

/// One line a finding on the standard output, since findings are what was asked for.
fn check(mut inputs: Inputs, file: Option<&String>) -> u8 {
    if let (Some(file), Some(row)) = (file, ROWS.iter().position(|row| matches!(row.kind, Kind::ConfigFile))) {
        inputs.flags.retain(|(at, _)| *at != row);
        inputs.flags.push((row, FlagText::new(file.as_str())));
    }
    let (lines, status) = match config::load(inputs) {
        Ok(loaded) => (findings(&loaded), EXIT_DONE),
        Err(problems) => (problems.iter().map(Problem::to_string).collect(), EXIT_USAGE),
    };
    print::out(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    status
}

fn findings(loaded: &Loaded) -> Vec<String> {
    let mut lines: Vec<String> = loaded.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    lines.push(match &loaded.file {
        Some(file) => format!("{}: valid", file.display()),
        None => "no configuration file; environment and defaults are valid".to_owned(),
    });
    lines
}

fn completions(verb: &ArgMatches) -> u8 {
    let Some(shell) = verb.get_one::<clap_complete::Shell>("shell") else { return EXIT_USAGE };
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut command::command(), "thinkgate", &mut text);
    print::out(&String::from_utf8_lossy(&text));
    EXIT_DONE
}

fn man() -> u8 {
    let mut text = Vec::new();
    // Writing into memory does not fail.
    let _ = clap_mangen::Man::new(command::command()).render(&mut text);
    print::out(&String::from_utf8_lossy(&text));
    EXIT_DONE
}
