//! The lines at the start: where it listens, where it forwards, what it does.

use std::net::SocketAddr;

use super::config::{Loaded, settings::LogLevel};
use super::log::say;

/// What only the running gateway knows.
pub struct Facts<'a> {
    pub addresses: &'a [SocketAddr],
    /// Why the upstream's name has no address yet.
    pub unresolved: Option<&'a str>,
    /// What the cache says of itself.
    pub cache: Option<String>,
    /// The interface to the kernel that each worker got.
    pub drivers: &'a [&'a str],
    pub connections_max: usize,
    pub version: &'a str,
}

/// Says as much as the log's level allows.
pub fn say_all(loaded: &Loaded, facts: &Facts<'_>) {
    let settings = &loaded.settings;
    let level = settings.log.level;
    if level != LogLevel::Error {
        for warning in &loaded.warnings {
            say(&format!("warning: {warning}"));
        }
    }
    if matches!(level, LogLevel::Error | LogLevel::Warn) {
        return;
    }
    for address in facts.addresses {
        say(&format!("listening on http://{address}"));
    }
    let reach = facts.unresolved.map_or(String::new(), |failure| format!(" (not resolved yet: {failure})"));
    let key = if settings.upstream.shared { ", one key for all clients" } else { "" };
    let upstream = &settings.upstream;
    say(&format!("forwarding to {}{reach}, dialect {}{key}", upstream.url, upstream.dialect.name()));
    let header = if settings.think.header { "; X-Think chooses per request" } else { "" };
    say(&format!("thinking in answers: {}{header}", settings.think.policy.name()));
    if let Some(cache) = &facts.cache {
        say(cache);
    }
    let first = facts.drivers.first().copied().unwrap_or("none");
    let (workers, connections) = (facts.drivers.len(), facts.connections_max);
    say(&format!("{workers} worker(s), io {first}, at most {connections} connections each"));
    let file = loaded.file.as_ref().map_or("no configuration file".to_owned(), |file| file.display().to_string());
    say(&format!("version {}, {file}; /health /metrics /readyz", facts.version));
}
