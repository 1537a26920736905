//! A line that shows how far a run is; nothing when standard error is no terminal.

use std::io::{IsTerminal, Write};

const WIDTH: usize = 24;

/// The line.
pub struct Progress {
    shown: bool,
    steps: usize,
    step: usize,
    label: String,
}

impl Progress {
    /// A run of so many steps.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        Self { shown: std::io::stderr().is_terminal(), steps: steps.max(1), step: 0, label: String::new() }
    }

    /// The next step begins.
    pub fn begin(&mut self, label: String) {
        self.label = label;
        self.update(0.0);
    }

    /// The step is so far, 0 to 1.
    pub fn update(&self, part: f64) {
        if self.shown {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[2K{}", line(self.step, self.steps, part, &self.label));
            let _ = stderr.flush();
        }
    }

    /// The step is done.
    pub fn end(&mut self) {
        self.step += 1;
        self.update(0.0);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

fn line(step: usize, steps: usize, part: f64, label: &str) -> String {
    let done = ((step as f64 + part.clamp(0.0, 1.0)) / steps as f64).clamp(0.0, 1.0);
    let full = (done * WIDTH as f64) as usize;
    format!("{}{} {:3.0} %  {label}", "█".repeat(full), "░".repeat(WIDTH - full), done * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_always_as_wide() {
        for (step, part) in [(0, 0.0), (1, 0.5), (3, 1.0), (9, 7.0)] {
            let text = line(step, 4, part, "x");
            assert_eq!(text.chars().filter(|c| "█░".contains(*c)).count(), WIDTH);
        }
        assert!(line(2, 4, 0.0, "json").contains(" 50 %  json"));
    }
}
