//! The option table as the README shows it.

use super::kind::Kind;
use super::table::{Applies, ROWS, Row};

/// Markdown, a line an option that this build has, with a final line end.
#[must_use]
pub fn markdown_table() -> String {
    let mut text =
        String::from("| flag | config key | default | range | applies at | meaning |\n|---|---|---|---|---|---|\n");
    for row in ROWS.iter().filter(|row| row.built) {
        let range = row.kind.range().unwrap_or_default();
        let cells = [flag(row), key(row), default(row), range, applies(row).to_owned(), row.help.to_owned()];
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn flag(row: &Row) -> String {
    let Some(flag) = row.flag else { return String::new() };
    let value = if row.value_name.is_empty() { String::new() } else { format!(" {}", row.value_name) };
    match row.short {
        Some(short) => format!("`-{short}, --{flag}{value}`"),
        None => format!("`--{flag}{value}`"),
    }
}

fn key(row: &Row) -> String {
    match (row.kind, row.key) {
        (Kind::Shorthand { key, value }, _) => format!("`{key}: {value}`"),
        (_, Some(key)) => format!("`{key}`"),
        _ => String::new(),
    }
}

fn applies(row: &Row) -> &'static str {
    match row.applies {
        Applies::Start => "start",
        Applies::Reload => "reload",
    }
}

fn default(row: &Row) -> String {
    row.default.map(|default| format!("`{default}`")).unwrap_or_default()
}
