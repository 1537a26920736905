//! A configuration file with anything in it, beside variables with anything in them: never a panic, and what is accepted is
//! accepted again with the same result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thinkgate::control_plane::config::{self, Environment, Inputs};

/// Cuts the input into a file's text and the values of a few variables.
fn inputs(text: &str) -> Inputs {
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or_default().to_owned();
    let names = ["THINKGATE_LISTEN", "THINKGATE_TIMEOUT", "THINKGATE_THINK_PROFILES", "OLLAMA_URL", "PORT"];
    let environment: Environment =
        names.iter().zip(parts).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect();
    Inputs { environment, text: Some(file), ..Inputs::default() }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Files that the text names are somebody else's; opening a pipe would wait for ever.
    if text.contains("file:") || text.contains("ca_file") {
        return;
    }
    match config::load(inputs(text)) {
        Ok(loaded) => {
            assert!(!loaded.settings.listen.is_empty());
            let again = config::load(inputs(text)).expect("the same input");
            assert_eq!(again.settings, loaded.settings);
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')));
        }
    }
});
