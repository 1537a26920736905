//! Two texts side by side, painted again and again in place.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

/// Narrower columns than this are no use; wider ones are hard to read.
const COLUMN_MIN: usize = 24;
const COLUMN_MAX: usize = 76;
const GAP: &str = " │ ";
const GAP_WIDTH: usize = 3;

/// What standard output can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Repainting in place is possible.
    pub live: bool,
    pub colour: bool,
    /// Characters in a column.
    pub column: usize,
    /// Lines of text that can be repainted without scrolling.
    pub rows: usize,
}

impl Screen {
    /// Asks the terminal; a pipe, a file and a dumb terminal get plain text. <https://no-color.org> is respected.
    pub fn detect() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = variable("TERM").is_none_or(|term| term == "dumb");
        let live = io::stdout().is_terminal() && !dumb;
        let (width, height) = terminal_size::terminal_size().map_or((80, 24), |(w, h)| (w.0.into(), h.0.into()));
        Self::new(live, live && variable("NO_COLOR").is_none(), width, height)
    }

    pub fn new(live: bool, colour: bool, width: usize, height: usize) -> Self {
        let column = (width.saturating_sub(GAP_WIDTH) / 2).min(COLUMN_MAX);
        // Title, rule and the cursor's own line stay visible, else moving up would miss the top.
        Self { live: live && column >= COLUMN_MIN && height >= 8, colour, column, rows: height.saturating_sub(4) }
    }
}

/// A frame of two columns with titles, and how many lines it has. Long texts show their ends.
pub fn frame(screen: Screen, titles: [&str; 2], texts: [&str; 2]) -> (String, usize) {
    let columns = texts.map(|text| wrap(text, screen.column));
    let longest = columns[0].len().max(columns[1].len());
    let shown = longest.min(screen.rows);
    let mut out = String::new();
    let mut row = |cells: [&str; 2], style: &str| {
        let [left, right] = cells.map(|cell| pad(cell, screen.column));
        let (on, off) = if screen.colour && !style.is_empty() { (style, "\x1b[0m") } else { ("", "") };
        // Erasing to the end of the line takes away what an earlier frame left there.
        let _ = writeln!(out, "{on}{left}{off}{GAP}{on}{right}{off}\x1b[K");
    };
    row(titles, "\x1b[1m");
    let rule = "─".repeat(screen.column);
    row([&rule, &rule], "");
    for line in 0..shown {
        let cells = [0, 1].map(|side| {
            let column: &Vec<String> = &columns[side];
            let first = column.len().saturating_sub(shown);
            column.get(first + line).map_or("", String::as_str)
        });
        row(cells, "");
    }
    (out, shown + 2)
}

/// Breaks at blanks; a longer word is broken anywhere. Counts characters, which is right for the demo's own texts.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.replace('\t', "    ").split_inclusive(' ') {
            let room = width.saturating_sub(line.chars().count());
            if word.trim_end().chars().count() > room && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            let mut rest = word;
            while rest.trim_end().chars().count() > width {
                let at = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
                lines.push(rest[..at].to_owned());
                rest = &rest[at..];
            }
            line.push_str(rest);
        }
        lines.push(line);
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

fn pad(cell: &str, width: usize) -> String {
    let blanks = width.saturating_sub(cell.chars().count());
    format!("{cell}{}", " ".repeat(blanks))
}

#[cfg(test)]
mod tests {
    use super::{Screen, frame, wrap};

    #[test]
    fn wraps_at_blanks_and_breaks_what_is_too_long() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert!(wrap("é🦙 é🦙 é🦙 é🦙", 5).iter().all(|line| line.chars().count() <= 5));
    }

    #[test]
    fn a_frame_never_has_more_lines_than_it_says_or_the_screen_holds() {
        let screen = Screen::new(true, false, 60, 12);
        for length in [0, 1, 40, 4000] {
            let (text, lines) = frame(screen, ["left", "right"], [&"word ".repeat(length), "short"]);
            assert_eq!(text.matches('\n').count(), lines);
            assert!(lines < 12);
        }
    }

    #[test]
    fn columns_are_as_wide_as_the_screen_allows() {
        let screen = Screen::new(true, false, 79, 24);
        let (text, _) = frame(screen, ["a", "b"], ["x", "y"]);
        assert!(text.lines().all(|line| line.trim_end_matches("\x1b[K").chars().count() == 79));
        assert!(!Screen::new(true, true, 30, 24).live, "too narrow for two columns");
    }

    #[test]
    fn colours_only_where_wanted() {
        let with = |colour| frame(Screen::new(true, colour, 80, 24), ["a", "b"], ["x", "y"]).0;
        assert!(with(true).contains("\x1b[1m"));
        assert!(!with(false).contains("\x1b[1m") && !with(false).contains("\x1b[0m"));
    }
}
