//! Step 1: the request's head is read, judged and turned into an exchange, in one go and without waiting.

use std::sync::Arc;

use super::{
    account,
    core::{Core, digits},
    downstream::Downstream,
    exchange::{Caching, Exchange, RequestId},
    send::Outgoing,
};
use crate::{
    base::error::Kind,
    policy::snapshot::Snapshot,
    wire::{
        dialect::{Dialect, Endpoint, Route, UpstreamPath, dialect_of, route},
        http::{
            BodyDecoder, Method, Refusal, RequestHead,
            request::{self, Progress},
            slots,
            write::{Credential, UpstreamLine, upstream_request},
        },
        think::Policy,
    },
};

/// What a head turned out to be.
pub enum Admitted {
    /// Not whole yet.
    Partial,
    /// For the upstream.
    Forward(Box<Exchange>),
    /// For ourselves.
    Own(Box<Exchange>),
    /// Not to be read: answered with this, then the connection ends.
    Refused(Kind, Dialect, &'static str),
}

const NO_PATH: &str = "The path holds a dot segment, a backslash, or an escape that servers read differently.";

/// Reads the next head from what has arrived.
pub fn admit(down: &mut Downstream<'_>, progress: &mut Progress) -> Admitted {
    let core = down.core;
    let mut slots = slots();
    let head = match request::parse_growing(down.input.bytes(), progress, &mut slots) {
        Ok(None) => return Admitted::Partial,
        Ok(Some(head)) => head,
        Err(Refusal { kind, rule }) => return Admitted::Refused(kind, dialect_of(down.input.bytes()), rule),
    };
    #[cfg(debug_assertions)]
    super::faults::provoke(core, head.path);
    // Some servers read `post` as POST: it would pass what POST is looked at for.
    if head.method == Method::Other && is_misspelled(head.method_text) {
        let dialect = dialect_of(down.input.bytes());
        return Admitted::Refused(Kind::BadRequest, dialect, "Methods are written in capitals.");
    }
    let route = match route(head.method, head.path) {
        Ok(route) => route,
        Err(kind) => return Admitted::Refused(kind, dialect_of(down.input.bytes()), NO_PATH),
    };
    let snapshot = core.snapshot();
    let exchange = match open(core, &head, down.input.bytes().len(), &route, snapshot) {
        Ok(exchange) => exchange,
        Err((kind, detail)) => return Admitted::Refused(kind, route.dialect, detail),
    };
    if exchange.snapshot.debug {
        account::debug_request(core, &exchange.id, &head);
    }
    let len = head.len;
    *progress = Progress::default();
    down.input.consume(len, &core.buffers);
    let mut exchange = exchange;
    exchange.came_whole = exchange.decoder.is_done() || exchange.decoder.announced() <= down.input.bytes().len() as u64;
    if exchange.endpoint.is_own() { Admitted::Own(exchange) } else { Admitted::Forward(exchange) }
}

/// `arrived`: bytes that are there of the request, head and body.
fn open(
    core: &Core,
    head: &RequestHead<'_>,
    arrived: usize,
    route: &Route<'_>,
    snapshot: Arc<Snapshot>,
) -> Result<Box<Exchange>, (Kind, &'static str)> {
    let now = core.clock.now();
    // A method that an endpoint does not take makes it something else: the upstream decides, and we do not look into it.
    let endpoint = if route.method_allowed { route.endpoint } else { Endpoint::Other };
    let decoder = BodyDecoder::request(head.framing);
    if decoder.announced() > snapshot.limits.body_bytes_max {
        return Err((Kind::BodyTooLarge, ""));
    }
    let think_header = if snapshot.think.header {
        head.x_think
            .map(policy_named)
            .transpose()
            .map_err(|kind| (kind, "X-Think is none of strip, keep, separate, wrap."))?
    } else {
        None
    };
    let id: RequestId = match head.x_request_id {
        Some(id) => id.into(),
        None => digits(core.new_id()).into(),
    };
    let outgoing = if endpoint.is_own() {
        Outgoing::nothing(head.framing)
    } else {
        let upstream_head = &mut core.scratch.borrow_mut().out.write;
        upstream_head.clear();
        write_upstream(upstream_head, head, route.upstream_path, &snapshot, &id);
        let here = decoder.announced().min(arrived.saturating_sub(head.len) as u64);
        Outgoing::with_head(&core.buffers, upstream_head, head.framing, usize::try_from(here).unwrap_or(0))
    };
    let logged = snapshot.access_log || snapshot.debug;
    Ok(Box::new(Exchange {
        endpoint,
        dialect: route.dialect,
        method: head.method,
        version: head.version,
        keep_alive: head.keep_alive,
        expects_continue: head.expects_continue && !decoder.is_done(),
        line: logged.then(|| format!("{} {}", head.method_text, head.path).into()),
        id,
        outgoing,
        charge: core.budget.open(),
        decoder,
        came_whole: false,
        think_header,
        think: None,
        started: now,
        sent: 0,
        first_byte: 0,
        first_visible: 0,
        total_due: now.saturating_add(snapshot.limits.total_us),
        status: 0,
        attempts: 0,
        model: None,
        wants_stream: false,
        include_usage: false,
        stream_options: false,
        wants_base64: false,
        caching: caching(core, head),
        cache_says: None,
        think_removed: 0,
        settled: None,
        fault: None,
        snapshot,
    }))
}

/// A known method but for its case.
fn is_misspelled(method: &str) -> bool {
    ["get", "head", "post", "put", "patch", "delete", "options"].iter().any(|known| method.eq_ignore_ascii_case(known))
}

fn caching(core: &Core, head: &RequestHead<'_>) -> Option<Box<Caching>> {
    core.shared.answers.as_ref()?;
    // Whatever of the head reaches the upstream can change its answer or say who asks, unless it is known not to.
    let mut tenant = Vec::new();
    let reaches = |name| !head.has_connection_fields || !head.fields.connection_names(name);
    for field in head.fields.iter().filter(|field| !is_neutral(field.name) && reaches(field.name)) {
        tenant.extend(field.name.bytes().map(|byte| byte.to_ascii_lowercase()));
        tenant.push(0);
        tenant.extend_from_slice(field.value);
        tenant.push(0);
    }
    tenant.extend_from_slice(head.query.unwrap_or_default().as_bytes());
    Some(Box::new(Caching {
        tenant,
        no_cache: head.no_cache || head.max_age == Some(0),
        no_store: head.no_store,
        max_age: head.max_age,
    }))
}

/// Fields that say nothing of who asks for what: how the message travels, what software sends it, traces of it. Those that
/// a proxy in front of the gateway adds for the user it has recognised (`X-Forwarded-User`, `X-Forwarded-Access-Token`, …)
/// are none of them.
fn is_neutral(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "accept",
        "accept-encoding",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "dnt",
        "expect",
        "forwarded",
        "host",
        "idempotency-key",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "referer",
        "sec-gpc",
        "te",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "x-requested-with",
        "x-think",
        "x-title",
    ];
    const PREFIXES: [&str; 3] = ["sec-ch-", "sec-fetch-", "x-stainless-"];
    let starts = |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    NAMES.iter().any(|neutral| name.eq_ignore_ascii_case(neutral)) || PREFIXES.iter().any(starts)
}

fn write_upstream(out: &mut Vec<u8>, head: &RequestHead<'_>, path: UpstreamPath<'_>, snapshot: &Snapshot, id: &str) {
    let upstream = &snapshot.upstream;
    let credential = match &upstream.authorization {
        Some(ours) => Credential::Replace(ours.reveal().as_bytes()),
        None => Credential::Keep,
    };
    upstream_request(
        out,
        head,
        &UpstreamLine {
            authority: &upstream.authority,
            path_prefix: &upstream.path_prefix,
            path_override: path.parts(),
            method_override: None,
            credential,
            request_id: id,
            framing: head.framing,
            extra: &[],
        },
    );
}

/// The policy that an `X-Think` value names.
///
/// # Errors
/// `BadRequest` for a word that is none: silently taking another policy could show thinking that was to be hidden.
fn policy_named(value: &[u8]) -> Result<Policy, Kind> {
    let text = std::str::from_utf8(value).map_err(|_| Kind::BadRequest)?;
    Ok(match text.trim().to_ascii_lowercase().as_str() {
        "strip" => Policy::Strip,
        "keep" => Policy::Keep,
        "separate" => Policy::Separate,
        "wrap" => Policy::Wrap,
        _ => return Err(Kind::BadRequest),
    })
}
