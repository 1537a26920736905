//! Answers of the gateway's own: health, metrics, errors.

use std::{io::IoSlice, sync::atomic::Ordering::Relaxed};

use super::{
    core::Core,
    downstream::{Downstream, Gone},
    exchange::Exchange,
    scrape,
};
use crate::{
    base::error::Kind,
    wire::{
        dialect::{
            endpoint::{Dialect, Endpoint},
            error::{self, Fault},
        },
        http::{
            Method, Version,
            write::{LocalResponse, local_response},
        },
    },
};

/// What of a request its local answer depends on.
pub struct Asked<'a> {
    pub dialect: Dialect,
    pub version: Version,
    pub head_only: bool,
    pub keep_alive: bool,
    pub id: &'a str,
    /// More fields for the answer.
    pub extra: &'a [(&'a str, &'a [u8])],
}

impl<'a> Asked<'a> {
    #[must_use]
    pub fn by(exchange: &'a Exchange, keep_alive: bool) -> Self {
        Self {
            dialect: exchange.dialect,
            version: exchange.version,
            head_only: exchange.method == Method::Head,
            keep_alive,
            id: &exchange.id,
            extra: &[],
        }
    }

    /// Of a request whose head could not be read: nothing is known, and nothing may follow.
    #[must_use]
    pub fn unreadable() -> Self {
        Self {
            dialect: Dialect::OpenAi,
            version: Version::Http11,
            head_only: false,
            keep_alive: false,
            id: "",
            extra: &[],
        }
    }
}

/// Writes an error in the dialect of the path.
///
/// # Errors
/// The client is gone.
pub fn error(down: &mut Downstream<'_>, asked: &Asked<'_>, kind: Kind, detail: &str) -> Result<(), Gone> {
    let mut body = Vec::with_capacity(256);
    error::body(&mut body, asked.dialect, &Fault::from(kind).detail(detail));
    answer(down, asked, kind.status(), error::CONTENT_TYPE, &body)
}

/// Answers one of our own endpoints. Returns the status.
///
/// # Errors
/// The client is gone.
pub fn own(down: &mut Downstream<'_>, asked: &Asked<'_>, endpoint: Endpoint) -> Result<u16, Gone> {
    let core = down.core;
    let (status, content_type, body) = match endpoint {
        Endpoint::Root => (200, "text/plain; charset=utf-8", b"Ollama is running".to_vec()),
        Endpoint::Health => (200, "application/json", health(core).into_bytes()),
        Endpoint::Livez => (200, "text/plain; charset=utf-8", b"ok".to_vec()),
        Endpoint::Readyz if core.shared.draining.load(Relaxed) => {
            (503, "text/plain; charset=utf-8", b"draining".to_vec())
        }
        Endpoint::Readyz => (200, "text/plain; charset=utf-8", b"ready".to_vec()),
        Endpoint::Metrics => (200, scrape::CONTENT_TYPE, scrape::text(core).into_bytes()),
        _ => return error(down, asked, Kind::NotFound, "").map(|()| 404),
    };
    answer(down, asked, status, content_type, &body).map(|()| status)
}

fn health(core: &Core) -> String {
    let shared = &core.shared;
    let drivers: Vec<String> = shared.cores.iter().map(|seat| format!("\"{}\"", seat.driver().label())).collect();
    let status = if shared.draining.load(Relaxed) { "draining" } else { "healthy" };
    let connections: usize = shared.cores.iter().map(|seat| seat.load.load(Relaxed)).sum();
    format!(
        "{{\"status\":\"{status}\",\"version\":\"{}\",\"uptime_seconds\":{},\"workers\":{},\"io\":[{}],\"connections\":{connections}}}",
        shared.version,
        core.clock.now() / 1_000_000,
        shared.cores.len(),
        drivers.join(","),
    )
}

fn answer(
    down: &mut Downstream<'_>,
    asked: &Asked<'_>,
    status: u16,
    content_type: &str,
    body: &[u8],
) -> Result<(), Gone> {
    let mut extra: Vec<(&str, &[u8])> = asked.extra.to_vec();
    if !asked.id.is_empty() {
        extra.push(("X-Request-Id", asked.id.as_bytes()));
    }
    let mut out = Vec::with_capacity(512 + body.len());
    down.core.clock.with_date(|date| {
        let answer = LocalResponse {
            status,
            content_type,
            date: std::str::from_utf8(date).unwrap_or_default(),
            extra: &extra,
            body,
            keep_alive: asked.keep_alive,
            head_only: asked.head_only,
            version: asked.version,
        };
        local_response(&mut out, &answer);
    });
    down.push(&mut [IoSlice::new(&out)])
}
