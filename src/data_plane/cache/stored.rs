//! A stored answer that is small enough to be written at once: filtered, framed, sent, and remembered as it was sent.

use super::{
    finished::{Finished, Form},
    recall::{Known, Question},
};
use crate::{
    base::{error::Kind as Fault, metric::Metric},
    data_plane::{
        account,
        core::digits,
        downstream::Downstream,
        egress::{Body, push},
        exchange::{Caching, Exchange},
        failure::Failure,
        relay::Ending,
    },
    policy::answers::Hit,
    wire::{
        answer::{self, Outcome},
        http::{
            Framing,
            write::{DownstreamLine, stored_response},
        },
    },
};

/// Answers a request that is remembered, if the cache still has what was remembered of it.
///
/// # Errors
/// The client is gone.
pub async fn recall(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<Option<Ending>, Failure> {
    let core = down.core;
    if !recalled(down, exchange)? {
        return Ok(None);
    }
    core.meter.one(Metric::CacheMemoryHits);
    flush(down, exchange).await.map(Some)
}

fn recalled(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<bool, Failure> {
    let core = down.core;
    let Some(answers) = &core.shared.answers else { return Ok(false) };
    let mut recall = core.recall.borrow_mut();
    let Some(caching) = exchange.caching.as_deref().filter(|caching| caching.looks()) else { return Ok(false) };
    let Some(known) = recall.find(&question(exchange, caching)) else { return Ok(false) };
    let Some(hit) = answers.memory(known.print).filter(|hit| known.is_of(&hit.answer)) else { return Ok(false) };
    exchange.cache_says = Some(says(&hit));
    if exchange.snapshot.access_log {
        exchange.model.clone_from(&known.model);
    }
    let Known { finished, .. } = known;
    finished.holes.fill(&mut finished.body, &digits(core.new_id()), core.clock.wall_us(core.clock.now()));
    write(down, exchange, finished)?;
    Ok(true)
}

/// What a request is remembered by.
#[must_use]
pub fn question<'a>(exchange: &'a Exchange, caching: &'a Caching) -> Question<'a> {
    Question {
        snapshot: &exchange.snapshot,
        endpoint: exchange.endpoint,
        think_header: exchange.think_header,
        tenant: &caching.tenant,
        body: exchange.outgoing.body(),
    }
}

/// What the reply says of a hit.
#[must_use]
pub fn says(hit: &Hit) -> Outcome {
    Outcome::Hit { tier: hit.tier, age: hit.age, ttl: hit.ttl }
}

/// Sends an answer that was just finished.
///
/// # Errors
/// The client is gone.
pub async fn send(down: &mut Downstream<'_>, exchange: &mut Exchange, finished: &Finished) -> Result<Ending, Failure> {
    write(down, exchange, finished)?;
    flush(down, exchange).await
}

/// Head and body in one call.
fn write(down: &mut Downstream<'_>, exchange: &mut Exchange, finished: &Finished) -> Result<(), Failure> {
    let core = down.core;
    exchange.status = 200;
    exchange.first_visible = core.clock.now();
    if let Some(stats) = &finished.stats {
        core.meter.one(Metric::ThinkFiltered);
        account::think(core, exchange, stats);
    }
    let write = &mut core.scratch.borrow_mut().out.write;
    write.clear();
    let says = exchange.cache_says.map(answer::Fields::of);
    let written = core.clock.with_date(|date| {
        let mut extra: [(&str, &[u8]); 5] =
            [("X-Request-Id", exchange.id.as_bytes()), ("Date", date), NONE, NONE, NONE];
        let mut used = 2;
        for (place, field) in extra[2..].iter_mut().zip(says.iter().flat_map(answer::Fields::iter)) {
            *place = field;
            used += 1;
        }
        let stream = finished.form != Form::Json;
        let line = DownstreamLine {
            framing: if stream { Framing::Chunked } else { Framing::Length(finished.body.len() as u64) },
            stream,
            allow: &exchange.snapshot.allow,
            extra: &extra[..used],
            keep_alive: exchange.keep_alive && exchange.decoder.is_done() && !core.draining.get(),
            version: exchange.version,
        };
        stored_response(write, finished.form.content_type(), &line)
    });
    exchange.keep_alive = written.keep_alive;
    Ok(push(down, written.framing, write, Body::Plain(&finished.body), &[], true)?)
}

const NONE: (&str, &[u8]) = ("", &[]);

/// Waits for a client that did not take it all at once.
async fn flush(down: &mut Downstream<'_>, exchange: &Exchange) -> Result<Ending, Failure> {
    if !down.is_behind() {
        return Ok(Ending::Complete);
    }
    let core = down.core;
    down.timer.set((core.clock.now() + exchange.snapshot.limits.idle_us).min(exchange.total_due));
    let Err(interrupt) = down.flush().await else { return Ok(Ending::Complete) };
    let failure = Failure::interrupted(interrupt, Fault::ClientStalled);
    account::warn(core, exchange, &failure);
    Ok(Ending::Cut(failure.kind))
}
