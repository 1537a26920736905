//! The binary: signals blocked before any thread starts, the command line, hand over.

use std::process::ExitCode;

use thinkgate::control_plane::{
    boot,
    cli::{self, EXIT_DONE, EXIT_FAILED, Invocation},
    config::Environment,
    log::say,
    signals,
};

fn main() -> ExitCode {
    signals::block();
    let ended = match cli::invoke(std::env::args_os(), Environment::of_process()) {
        Invocation::Exit(status) => return ExitCode::from(status),
        Invocation::Serve(loaded) => boot::serve(*loaded),
        Invocation::Demo(loaded) => boot::demo(*loaded),
    };
    match ended {
        Ok(()) => ExitCode::from(EXIT_DONE),
        Err(why) => {
            say(&format!("error: {why}"));
            ExitCode::from(EXIT_FAILED)
        }
    }
}
