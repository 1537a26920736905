//! Which options the environment gives.

use super::{ROWS, Row};
use crate::control_plane::config::environment::Environment;
use crate::control_plane::config::nearest;
use crate::control_plane::config::problem::Problem;

const PREFIX: &str = "THINKGATE_";

/// `(row, variable's name, value)` of every `THINKGATE_` variable that the table knows.
pub fn given<'e>(environment: &'e Environment, problems: &mut Vec<Problem>) -> Vec<(usize, String, &'e str)> {
    let mut given = Vec::new();
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        match ROWS.iter().position(|row| row.env() == *name) {
            Some(row) => given.push((row, name.to_owned(), value)),
            None if is_service_link(name, value) => {}
            None => {
                let known: Vec<String> = ROWS.iter().filter(|row| row.built).map(Row::env).collect();
                problems.push(Problem::new(name, nearest::unknown("environment variable", name, &known)));
            }
        }
    }
    given
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
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn unknown_names_are_reported_with_the_nearest() {
        let mut problems = Vec::new();
        let environment = environment(&[("THINKGATE_TIMEOUTS", "5s"), ("OTHER", "x"), ("THINKGATE_LISTEN", "")]);
        assert!(given(&environment, &mut problems).is_empty());
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
}
