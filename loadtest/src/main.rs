//! `loadtest`: measures a gateway to language models from the outside.
//!
//! A black box: it links nothing of any gateway, its own parsers read the bytes. A mock model server answers what the
//! request's model name says, a client checks every byte of it behind the proxy, `/proc` tells what the proxy used.

mod cli;
mod client;
mod figures;
mod measure;
mod progress;
mod report;
mod run;
mod scenario;
mod script;
mod subject;
mod sys;
mod upstream;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::main() {
        cli::End::Done => ExitCode::SUCCESS,
        cli::End::Failed => ExitCode::from(1),
        cli::End::Usage => ExitCode::from(2),
    }
}
