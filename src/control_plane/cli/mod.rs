//! The command line: built from the option table, taken apart, answered where no server is needed.

mod command;
mod verbs;

use std::ffi::OsString;
use std::io::Write as _;

use super::config::{self, Environment, Loaded, Problem};

pub use command::command;

/// Exit statuses that users' scripts rely on.
pub const EXIT_DONE: u8 = 0;
pub const EXIT_FAILED: u8 = 1;
pub const EXIT_USAGE: u8 = 2;

/// What the caller has to do.
#[derive(Debug)]
pub enum Invocation {
    Serve(Box<Loaded>),
    /// The gateway in front of a small built-in model server; the upstream's address in here is not used.
    Demo(Box<Loaded>),
    /// Everything was done and printed.
    Exit(u8),
}

/// What a command line comes to, before anything is printed.
#[derive(Debug)]
pub enum Answer {
    Serve(Box<Loaded>),
    Demo(Box<Loaded>),
    /// Standard output, standard error, exit status.
    Text {
        out: String,
        err: String,
        status: u8,
    },
}

/// Reads the command line (`args[0]` is the program) and does what needs no server: help, checks, completions, refusals.
pub fn invoke(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Invocation {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version come as errors too; clap knows which stream each belongs to, and what the terminal can do.
            let _ = error.print();
            return Invocation::Exit(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    match verbs::run(&matches, environment) {
        Answer::Serve(loaded) => Invocation::Serve(loaded),
        Answer::Demo(loaded) => Invocation::Demo(loaded),
        Answer::Text { out, err, status } => {
            // A reader that closes its end early (`thinkgate man | head`) is no error of ours.
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
            let _ = std::io::stderr().lock().write_all(err.as_bytes());
            Invocation::Exit(status)
        }
    }
}

/// `invoke` without printing.
pub fn answer(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Answer {
    match command().try_get_matches_from(args) {
        Ok(matches) => verbs::run(&matches, environment),
        Err(error) => {
            let (text, status) = (error.render().to_string(), u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
            match error.use_stderr() {
                true => Answer::Text { out: String::new(), err: text, status },
                false => Answer::Text { out: text, err: String::new(), status },
            }
        }
    }
}

/// Flags and environment to a configuration, without verbs and without printing.
///
/// # Errors
/// All findings. A command line that can't be taken apart is one finding.
pub fn load(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Result<Loaded, Vec<Problem>> {
    config::load(inputs(args, environment)?)
}

/// The command line's flags beside the environment, not yet read.
///
/// # Errors
/// A command line that can't be taken apart.
pub fn inputs(
    args: impl IntoIterator<Item = OsString>,
    environment: Environment,
) -> Result<config::Inputs, Vec<Problem>> {
    let matches = command().try_get_matches_from(args).map_err(|error| {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        vec![Problem { origin: "command line".to_owned(), message }]
    })?;
    Ok(config::Inputs { flags: command::flags(&matches), environment, ..config::Inputs::default() })
}
