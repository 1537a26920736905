//! The configuration file: found, read whole within a bound, taken apart into the table's keys.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_norway::Value as Tree;

use super::environment::Environment;
use super::nearest;
use super::problem::Problem;
use super::table::{self, ROWS};
use super::yaml::parse;
use crate::base::bounds::CONFIG_BYTES_MAX;

/// One value of the file.
pub(super) struct Entry {
    pub row: usize,
    /// File, line where it is known, key.
    pub origin: String,
    pub tree: Tree,
}

/// The file that applies when none is named: the first that is there.
pub(super) fn discover(dir: &Path, environment: &Environment) -> Option<PathBuf> {
    let home = environment.get("HOME").map(|home| Path::new(home).join(".config/thinkgate/config.yaml"));
    // Relative to the working directory, so that messages show the path as users know it.
    let here = if dir == Path::new("") { PathBuf::from("thinkgate.yaml") } else { dir.join("thinkgate.yaml") };
    [Some(here), home].into_iter().flatten().find(|path| path.is_file())
}

/// The entries of the file; what is wrong with it goes into `problems`.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let name = path.display().to_string();
    match read_text(path) {
        Ok(text) => entries(&name, &text, problems),
        Err(error) => {
            problems.push(Problem::new(name, error));
            Vec::new()
        }
    }
}

/// The entries of a file's text; `name` is what messages call it.
pub(super) fn entries(name: &str, text: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    match parse(text) {
        Ok(tree) => {
            let mut found = Found { name, text, entries: Vec::new(), problems };
            found.section(&tree, "");
            found.entries
        }
        Err(error) => {
            problems.push(Problem::new(name, error));
            Vec::new()
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    file.take(CONFIG_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    Ok(text)
}

struct Found<'a> {
    name: &'a str,
    text: &'a str,
    entries: Vec<Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Found<'_> {
    fn section(&mut self, tree: &Tree, path: &str) {
        let mapping = match tree {
            Tree::Mapping(mapping) => mapping,
            Tree::Null => return,
            _ => return self.problem(path, "needs a mapping of keys and values".to_owned()),
        };
        for (key, value) in mapping {
            let Some(key) = key.as_str() else {
                self.problem(path, format!("has a key that is no text: {key:?}"));
                continue;
            };
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            self.entry(path, value);
        }
    }

    fn entry(&mut self, path: String, value: &Tree) {
        if let Some(row) = table::by_key(&path) {
            // `key:` with nothing behind it says nothing.
            if !value.is_null() {
                self.entries.push(Entry { row, origin: self.origin(&path), tree: value.clone() });
            }
        } else if is_section(&path) {
            self.section(value, &path);
        } else {
            let known: Vec<&str> = ROWS.iter().filter(|row| row.built).filter_map(|row| row.key).collect();
            self.problem(&path, nearest::unknown("key", &path, &known));
        }
    }

    fn problem(&mut self, path: &str, message: String) {
        self.problems.push(Problem::new(self.origin(path), message));
    }

    fn origin(&self, path: &str) -> String {
        let path_shown: String = path.chars().take(100).collect();
        match line_of(self.text, path) {
            _ if path.is_empty() => self.name.to_owned(),
            Some(line) => format!("{}:{line}: {path_shown}", self.name),
            None => format!("{}: {path_shown}", self.name),
        }
    }
}

/// Is this the beginning of some row's key?
fn is_section(path: &str) -> bool {
    ROWS.iter().filter_map(|row| row.key).any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The line, from 1, of a dotted key in block style. The parser does not keep positions; where this finds none (flow
/// style, quoted keys) messages go without.
fn line_of(text: &str, path: &str) -> Option<usize> {
    let mut segments = path.split('.');
    let mut wanted = segments.next()?;
    let mut parent_indent = None;
    let mut own_indent = None;
    for (at, line) in text.lines().enumerate() {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = line.len() - content.len();
        if parent_indent.is_some_and(|parent| indent <= parent) {
            return None;
        }
        if indent != *own_indent.get_or_insert(indent) {
            continue;
        }
        if content.strip_prefix(wanted).is_some_and(|rest| rest.trim_start().starts_with(':')) {
            match segments.next() {
                None => return Some(at + 1),
                Some(next) => {
                    wanted = next;
                    parent_indent = Some(indent);
                    own_indent = None;
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn lines_are_found_in_block_style() {
        let text = "# a\nlisten: x\nlog:\n  # b\n  access: '-'\n\n  level: debug\nthink: {policy: keep}\ntimeouts:\n  idle: 1s\n";
        assert_eq!(line_of(text, "listen"), Some(2));
        assert_eq!(line_of(text, "log"), Some(3));
        assert_eq!(line_of(text, "log.level"), Some(7));
        assert_eq!(line_of(text, "think.policy"), None);
        assert_eq!(line_of(text, "log.idle"), None);
        assert_eq!(line_of(text, "timeouts.idle"), Some(10));
    }
}
