//! Text to the terminal. A reader that closes its end early (`thinkgate man | head`) is no error of ours.

use std::io::Write as _;

pub(super) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

pub(super) fn error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "thinkgate: {line}");
}
