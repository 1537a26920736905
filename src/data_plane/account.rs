//! Step 7: what a request cost and how it ended, counted once; and what is written down of it.

use super::{
    clock::{Micros, rfc3339},
    core::Core,
    downstream::Downstream,
    exchange::Exchange,
    failure::Failure,
    meter::{Outcome, Timing},
};
use crate::{
    base::{
        error::{Kind, Side},
        metric::Metric,
        record::Book,
    },
    wire::{
        dialect::{Endpoint, error::string},
        http::{RequestHead, ResponseHead, request_line},
        think::Stats,
    },
};

/// Closes the books on an exchange.
pub fn close(down: &mut Downstream<'_>, exchange: Box<Exchange>) {
    let core = down.core;
    let meter = &core.meter;
    let outcome = exchange.settled.unwrap_or(Outcome::Cut);
    let now = core.clock.now();
    let status = if outcome == Outcome::ClientGone && exchange.status == 0 { 499 } else { exchange.status };
    meter.request(exchange.endpoint, status, outcome);
    meter.time(Timing::Duration, now - exchange.started);
    // Who follows somebody else's call learns nothing of how fast the upstream is.
    if exchange.first_byte > 0 && exchange.attempts > 0 {
        meter.time(Timing::FirstByte, exchange.first_byte.saturating_sub(exchange.sent));
    }
    if exchange.first_visible > 0 {
        meter.time(Timing::FirstVisible, exchange.first_visible - exchange.started);
    }
    if exchange.came_whole && exchange.sent > 0 && exchange.attempts == 1 {
        meter.time(Timing::Overhead, exchange.sent - exchange.started);
    }
    if exchange.snapshot.access_log {
        core.journal.line(Book::Access, |out| access_line(out, down, &exchange, status, outcome, now));
    }
    down.meter_bytes();
    let mut exchange = exchange;
    exchange.outgoing.forget(&core.buffers);
    exchange.settled = Some(outcome);
}

fn access_line(out: &mut Vec<u8>, down: &Downstream<'_>, exchange: &Exchange, status: u16, outcome: Outcome, now: u64) {
    use std::io::Write;
    let ms = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1_000.0;
    begin_line(out, down, exchange.started, Some(&exchange.id), exchange.line.as_deref().unwrap_or_default());
    if let Some(model) = &exchange.model {
        out.extend_from_slice(b",\"model\":");
        string(out, model);
    }
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        ",\"endpoint\":\"{}\",\"status\":{status},\"outcome\":\"{}\",\"received\":{},\"sent\":{},\"ms\":{:.3}",
        exchange.endpoint.label(),
        outcome.label(),
        down.received,
        down.sent,
        ms(exchange.started, now),
    );
    if exchange.first_byte > 0 {
        let _ = write!(out, ",\"first_byte_ms\":{:.3}", ms(exchange.sent, exchange.first_byte));
    }
    if let Some(cache) = exchange.cache_says {
        let _ = write!(out, ",\"cache\":\"{}\"", cache.label());
    }
    if exchange.think_removed > 0 {
        let _ = write!(out, ",\"think_removed\":{}", exchange.think_removed);
    }
    if exchange.attempts > 1 {
        let _ = write!(out, ",\"attempts\":{}", exchange.attempts);
    }
    if let Some(fault) = exchange.fault {
        let _ = write!(out, ",\"error\":\"{}\"", fault.label());
    }
    out.extend_from_slice(b"}\n");
}

/// Who asked for what, and when.
fn begin_line(out: &mut Vec<u8>, down: &Downstream<'_>, at: Micros, id: Option<&str>, request: &str) {
    use std::io::Write;
    let time = rfc3339(down.core.clock.wall_us(at));
    // Writing to a vector cannot fail.
    let _ = write!(out, "{{\"time\":\"{}\"", std::str::from_utf8(&time).unwrap_or_default());
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        string(out, id);
    }
    let _ = write!(out, ",\"client\":\"{}\",\"request\":", down.peer.ip());
    string(out, request);
}

/// A request that could not be read: what it said where its line should stand, and the rule it broke.
pub fn refused(down: &Downstream<'_>, kind: Kind, rule: &str) {
    use std::io::Write;
    let core = down.core;
    core.meter.error(kind);
    core.meter.request(Endpoint::Other, kind.status(), Outcome::Error);
    if !core.snapshot().access_log {
        return;
    }
    core.journal.line(Book::Access, |out| {
        let said = String::from_utf8_lossy(request_line(down.input.bytes()));
        begin_line(out, down, core.clock.now(), None, &said);
        let _ = write!(
            out,
            ",\"endpoint\":\"{}\",\"status\":{},\"outcome\":\"{}\",\"error\":\"{}\"",
            Endpoint::Other.label(),
            kind.status(),
            Outcome::Error.label(),
            kind.label()
        );
        if !rule.is_empty() {
            out.extend_from_slice(b",\"rule\":");
            string(out, rule);
        }
        out.extend_from_slice(b"}\n");
    });
}

/// A failure worth a line: what an upstream or the gateway itself did wrong. Clients' faults are only counted.
pub fn warn(core: &Core, exchange: &Exchange, failure: &Failure) {
    if failure.kind.side() == Side::Downstream || !exchange.snapshot.warn {
        return;
    }
    core.journal.line(Book::Events, |out| {
        stamp(out, core, "warn");
        out.extend_from_slice(b"request ");
        out.extend_from_slice(exchange.id.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(failure.kind.label().as_bytes());
        if !failure.detail.is_empty() {
            out.extend_from_slice(b": ");
            push_printable(out, failure.detail.as_bytes());
        }
        out.push(b'\n');
    });
}

/// What the filter did to one answer.
pub fn think(core: &Core, exchange: &mut Exchange, stats: &Stats) {
    let meter = &core.meter;
    exchange.think_removed = stats.removed_bytes;
    meter.add(Metric::ThinkRemovedBytes, stats.removed_bytes);
    meter.add(Metric::ThinkEdited, u64::from(stats.edited_events));
    meter.add(Metric::ThinkDropped, u64::from(stats.dropped_events));
    meter.add(Metric::ThinkUnclosed, u64::from(stats.unclosed));
    meter.add(Metric::ThinkDangling, u64::from(stats.dangling_close));
    meter.add(Metric::ThinkOverCap, u64::from(stats.over_cap));
    meter.raise(Metric::ThinkHeldMax, u64::from(stats.held_max));
    if stats.dangling_close > 0 {
        dangling(core, exchange);
    }
}

/// Says once a model which setting would mend it.
fn dangling(core: &Core, exchange: &Exchange) {
    let model = exchange.model.as_deref().unwrap_or("unknown");
    if !exchange.snapshot.warn || core.told_about(model) {
        return;
    }
    core.journal.line(Book::Events, |out| {
        stamp(out, core, "warn");
        out.extend_from_slice(b"model ");
        push_printable(out, model.as_bytes());
        out.extend_from_slice(
            b": a closing think tag came without an opening one, so its prompt holds the opening tag; to have that \
thinking removed too, add to think.models: {match: \"",
        );
        push_printable(out, model.as_bytes());
        out.extend_from_slice(b"\", profile: think_prefilled}\n");
    });
}

/// The request's head at debug level, secrets redacted.
pub fn debug_request(core: &Core, id: &str, head: &RequestHead<'_>) {
    core.journal.line(Book::Events, |out| {
        stamp(out, core, "debug");
        out.extend_from_slice(b"request ");
        out.extend_from_slice(id.as_bytes());
        out.push(b' ');
        out.extend_from_slice(head.method_text.as_bytes());
        out.push(b' ');
        push_printable(out, head.path.as_bytes());
        for field in head.fields {
            push_field(out, field.name, field.value);
        }
        out.push(b'\n');
    });
}

/// The answer's head at debug level.
pub fn debug_answer(core: &Core, exchange: &Exchange, head: &ResponseHead<'_>) {
    if !exchange.snapshot.debug {
        return;
    }
    core.journal.line(Book::Events, |out| {
        use std::io::Write;
        stamp(out, core, "debug");
        let _ = write!(out, "answer {} {}", exchange.id, head.status);
        for field in head.fields {
            push_field(out, field.name, field.value);
        }
        out.push(b'\n');
    });
}

/// Fields whose values are shown; of all others only the length is: a secret can stand anywhere.
fn is_harmless(name: &str) -> bool {
    const SHOWN: [&str; 22] = [
        "host",
        "content-type",
        "content-length",
        "transfer-encoding",
        "connection",
        "accept",
        "accept-encoding",
        "user-agent",
        "x-think",
        "x-request-id",
        "date",
        "server",
        "cache-control",
        "keep-alive",
        "retry-after",
        "expect",
        "content-encoding",
        "vary",
        "x-accel-buffering",
        "upgrade",
        "te",
        "trailer",
    ];
    SHOWN.iter().any(|shown| shown.eq_ignore_ascii_case(name))
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    use std::io::Write;
    let _ = write!(out, " | {name}: ");
    if is_harmless(name) {
        push_printable(out, value);
    } else {
        let _ = write!(out, "[redacted, {} bytes]", value.len());
    }
}

/// The start of a line for people: time and level.
pub fn stamp(out: &mut Vec<u8>, core: &Core, level: &str) {
    out.extend_from_slice(&rfc3339(core.clock.wall_us(core.clock.now())));
    out.push(b' ');
    out.extend_from_slice(level.as_bytes());
    out.push(b' ');
}

/// Text from outside, so that it can neither end the line nor speak to a terminal.
fn push_printable(out: &mut Vec<u8>, text: &[u8]) {
    const SHOWN_BYTES_MAX: usize = 512;
    for byte in text.iter().take(SHOWN_BYTES_MAX) {
        out.push(if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'?' });
    }
}
