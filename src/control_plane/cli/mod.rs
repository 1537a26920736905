//! The command line: built from the option table, taken apart, answered where no server is needed.

mod command;
mod print;
mod verbs;

use std::ffi::OsString;

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

/// Reads the command line (`args[0]` is the program) and does what needs no server: help, checks, completions, refusals.
pub fn invoke(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Invocation {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version come as errors too; clap knows which stream each belongs to.
            let _ = error.print();
            return Invocation::Exit(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE));
        }
    };
    verbs::run(&matches, environment)
}

/// Flags and environment to a configuration, without verbs and without printing.
///
/// # Errors
/// All findings. A command line that can't be taken apart is one finding.
pub fn load(args: impl IntoIterator<Item = OsString>, environment: Environment) -> Result<Loaded, Vec<Problem>> {
    let matches = command().try_get_matches_from(args).map_err(|error| {
        let message = error.render().to_string();
        let first = message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        vec![Problem { origin: "command line".to_owned(), message: first }]
    })?;
    config::load(config::Inputs { flags: command::flags(&matches), environment, ..config::Inputs::default() })
}
