//! Between plan and forward: is the answer there, is it on its way, or has somebody to ask for it?

use std::{pin::Pin, sync::Arc};

use super::{
    fetch::{Errand, fly},
    flight::Follower,
    registry::Boarded,
};
use crate::{
    base::{error::Kind as Fault, metric::Metric},
    data_plane::{
        downstream::Downstream,
        exchange::{Caching, Exchange},
        failure::Failure,
        send::{Outgoing, late},
    },
    policy::{
        answers::{Answers, Hit},
        fingerprint::{Fingerprint, Scope},
    },
    wire::answer::{Kind, Outcome},
};

/// Where the answer comes from.
pub enum Found {
    /// The upstream, for this client alone.
    Nowhere,
    Stored(Hit, Kind),
    Flying(Follower, Kind),
}

/// Looks the request up. Where it has to be asked for, a leader is started and the request is handed to it.
///
/// # Errors
/// The client left, or its time was up, while the disk was asked.
pub async fn lookup(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<Found, Failure> {
    let core = down.core;
    let (Some(answers), Some(own)) = (core.shared.answers.clone(), core.own()) else { return Ok(Found::Nowhere) };
    let Some(kind) = Kind::of(exchange.endpoint).filter(|_| exchange.decoder.is_done()) else {
        return Ok(Found::Nowhere);
    };
    let Some(caching) = exchange.caching.take() else { return Ok(Found::Nowhere) };
    if caching.no_store {
        core.meter.one(Metric::CacheRefused);
        exchange.cache_says = Some(Outcome::Request);
        return Ok(Found::Nowhere);
    }
    let Some(print) = fingerprint(down, exchange, &caching, &*answers, kind) else {
        core.meter.one(Metric::CacheBypassed);
        exchange.cache_says = Some(Outcome::Bypass);
        return Ok(Found::Nowhere);
    };
    if !caching.no_cache
        && let Some(hit) = stored(down, exchange, &answers, print).await?
    {
        exchange.cache_says = Some(Outcome::Hit { tier: hit.tier, age: hit.age, ttl: hit.ttl });
        return Ok(Found::Stored(hit, kind));
    }
    let rules = exchange.snapshot.cache;
    if caching.no_cache {
        // A fresh answer was asked for: nobody else's will do. It takes the place of what is stored.
        core.shared.flights.displace(print);
    }
    match core.shared.flights.board(core, print, kind, exchange.wants_stream, rules.finishes) {
        Some(Boarded::Joined(follower)) => {
            core.meter.one(Metric::CacheJoined);
            exchange.cache_says = Some(Outcome::Hit { tier: crate::wire::answer::Tier::Flight, age: 0, ttl: 0 });
            Ok(Found::Flying(follower, kind))
        }
        Some(Boarded::Leads(follower, leader)) => {
            core.meter.one(Metric::CacheMissed);
            exchange.cache_says =
                Some(if caching.no_cache { Outcome::Request } else { Outcome::Miss { stored: true } });
            let outgoing = Outgoing {
                head: exchange.outgoing.head.clone(),
                body: exchange.outgoing.body.clone(),
                framing: exchange.outgoing.framing,
            };
            let errand = Errand { snapshot: Arc::clone(&exchange.snapshot), outgoing, total_due: exchange.total_due };
            exchange.attempts += 1;
            monoio::spawn(fly(own, leader, errand));
            Ok(Found::Flying(follower, kind))
        }
        None => Ok(Found::Nowhere),
    }
}

fn fingerprint(
    down: &Downstream<'_>,
    exchange: &Exchange,
    caching: &Caching,
    answers: &dyn Answers,
    kind: Kind,
) -> Option<Fingerprint> {
    let scope = Scope {
        tenant: &caching.tenant,
        route: exchange.snapshot.upstream.url.as_bytes(),
        profile: b"",
        model: None,
        kind,
    };
    let body = &exchange.outgoing.body;
    down.core.with_fingerprinter(|| answers.install_key(), |maker| maker.fingerprint(&scope, body)).ok()
}

async fn stored(
    down: &mut Downstream<'_>,
    exchange: &Exchange,
    answers: &Arc<dyn Answers>,
    print: Fingerprint,
) -> Result<Option<Hit>, Failure> {
    if let Some(hit) = answers.memory(print) {
        down.core.meter.one(Metric::CacheMemoryHits);
        return Ok(Some(hit));
    }
    let mut look = Arc::clone(answers).disk(print);
    down.timer.set(exchange.total_due);
    let found = down.until(Pin::new(&mut look)).await;
    let found = found.map_err(|interrupt| late(down.core, exchange.total_due, interrupt, Fault::TotalTimeout))?;
    if found.is_some() {
        down.core.meter.one(Metric::CacheDiskHits);
    }
    Ok(found)
}
