//! Environment variables: a copy, so that tests and reloads see the same ones as the start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::nearest;
use super::problem::Problem;
use super::table;

const PREFIX: &str = "THINKGATE_";

/// Variables by name. Empty ones count as unset (`KEY=${KEY:-}` in compose files). `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's own.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_os(std::env::vars_os())
    }

    /// Variables that are not UTF-8 are left out, unless they are ours: those keep a replacement character, and are refused
    /// by whatever reads them.
    pub fn from_os(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        variables.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// `(row, variable's name, value)` of every `THINKGATE_` variable that the table knows.
    pub(super) fn given(&self, problems: &mut Vec<Problem>) -> Vec<(usize, String, &str)> {
        let mut given = Vec::new();
        for (name, value) in self.0.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match table::ROWS.iter().position(|row| row.env() == *name) {
                Some(row) => given.push((row, name.clone(), value.as_str())),
                None if is_service_link(name, value) => {}
                None => {
                    let known: Vec<String> = table::ROWS.iter().filter(|row| row.built).map(table::Row::env).collect();
                    problems.push(Problem::new(name, nearest::unknown("environment variable", name, &known)));
                }
            }
        }
        given
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Kubernetes describes every service of a namespace to every pod in Docker's old link variables; a service that is called
/// `thinkgate` must not keep us from starting.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") {
        return true;
    }
    let Some((_, port)) = name.split_once("_PORT") else { return false };
    let mut parts = port.split('_').skip(1);
    match (parts.next(), parts.next()) {
        (None, _) => is_url,
        (Some(number), Some("TCP" | "UDP" | "SCTP")) => number.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Environment, is_service_link};

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn unknown_names_are_reported_with_the_nearest() {
        let mut problems = Vec::new();
        let environment = environment(&[("THINKGATE_TIMEOUTS", "5s"), ("OTHER", "x"), ("THINKGATE_LISTEN", "")]);
        assert!(environment.given(&mut problems).is_empty());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("THINKGATE_TIMEOUT"), "{}", problems[0]);
    }

    #[test]
    fn service_links_pass() {
        for (name, value) in [
            ("THINKGATE_SERVICE_HOST", "10.0.0.1"),
            ("THINKGATE_SERVICE_PORT", "3000"),
            ("THINKGATE_SERVICE_PORT_HTTP", "3000"),
            ("THINKGATE_PORT", "tcp://10.0.0.1:3000"),
            ("THINKGATE_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
            ("THINKGATE_PORT_3000_TCP_PROTO", "tcp"),
            ("THINKGATE_EU_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for (name, value) in [("THINKGATE_PORT", "3000"), ("THINKGATE_PORT_X_TCP", "1"), ("THINKGATE_X", "tcp://a")] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }

    #[test]
    fn values_are_not_printed() {
        assert_eq!(format!("{:?}", environment(&[("KEY", "sk-canary")])), r#"{"KEY"}"#);
    }
}
