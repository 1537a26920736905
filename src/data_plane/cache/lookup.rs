//! Between plan and forward: is the answer there, is it on its way, or has somebody to ask for it?

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
};

use super::{
    batch::Collected,
    counts,
    fetch::{Errand, fly},
    flight::{End, Flight, Follower, Form, Leader, Wish},
    registry::Boarded,
    stored::says,
};
use crate::{
    base::{bounds::DISK_LOOK_US_MAX, error::Kind as Fault, metric::Metric},
    data_plane::{
        core::Core,
        downstream::{Downstream, Interrupt},
        exchange::{Caching, Exchange},
        failure::Failure,
        meter::Timing,
        send::{Outgoing, late},
    },
    policy::{
        answers::{Answers, Hit},
        fingerprint::{Fingerprint, Fingerprinter, Input, Scope},
    },
    wire::answer::{Family, Kind, Outcome, Tier, knows_usage},
};

/// How long a request waits for the decision on an answer that has just ended.
const SETTLING_US_MAX: u64 = 50_000;

/// Where the answer comes from.
pub enum Found {
    /// The upstream, for this client alone.
    Nowhere,
    Stored {
        hit: Hit,
        kind: Kind,
        /// Names the entry, if the answer is one entry's.
        print: Option<Fingerprint>,
    },
    Flying(Follower, Form),
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
        exchange.cache_says = Some(Outcome::NoStore);
        return Ok(Found::Nowhere);
    }
    let Some((print, inputs)) = fingerprint(down, exchange, &caching, &*answers, kind) else {
        core.meter.one(Metric::CacheBypassed);
        exchange.cache_says = Some(Outcome::Bypass);
        return Ok(Found::Nowhere);
    };
    let form = wanted(exchange, kind);
    let mut wish = Wish { print, form, inputs, due: exchange.total_due, waits: true };
    if caching.no_cache {
        // A fresh answer was asked for: nobody else's will do. It takes the place of what is stored.
        core.shared.flights.displace(print);
    }
    let counts = counts::place(core, exchange, form);
    let asked = if counts.is_some() { form.counted() } else { form };
    let boarded = loop {
        if !caching.no_cache
            && let Some(hit) = stored(down, exchange, &answers, &wish).await?.filter(|hit| serves(hit, form, &caching))
        {
            return Ok(found(down, exchange, hit, &wish, caching));
        }
        match core.shared.flights.board(&core.bells, &wish, asked, exchange.snapshot.cache.finishes) {
            Some(Boarded::Settling(flight)) => settled(down, exchange, &flight).await?,
            boarded => break boarded,
        }
        wish.waits = false;
    };
    match boarded {
        Some(Boarded::Joined(follower)) => {
            core.meter.one(Metric::CacheJoined);
            exchange.cache_says = Some(Outcome::Hit { tier: Tier::Flight, age: 0, ttl: 0 });
            Ok(Found::Flying(follower, form))
        }
        Some(Boarded::Leads(follower, leader)) => {
            // One that ended between the look and the boarding has left its answer in the cache before it made room.
            if !caching.no_cache
                && let Some(hit) = answers.memory(print).filter(|hit| serves(hit, form, &caching))
            {
                leader.flight.finish(&core.bells, End::Moot);
                core.shared.flights.remove(&leader.flight);
                drop(follower);
                return Ok(found(down, exchange, hit, &wish, caching));
            }
            core.meter.one(if caching.no_cache { Metric::CacheRefreshed } else { Metric::CacheMissed });
            exchange.cache_says = Some(if caching.no_cache { Outcome::Refresh } else { Outcome::Miss });
            take_off(own, exchange, leader, counts);
            Ok(Found::Flying(follower, form))
        }
        None | Some(Boarded::Settling(_)) => Ok(Found::Nowhere),
    }
}

/// Waits a moment for an answer that has just ended: it is in the cache then, or it was none to be kept.
async fn settled(down: &mut Downstream<'_>, exchange: &Exchange, flight: &Flight) -> Result<(), Failure> {
    let core = down.core;
    down.timer.set((core.clock.now() + SETTLING_US_MAX).min(exchange.total_due));
    let mut settled = pin!(poll_fn(|cx| flight.poll_settled(&core.bells, cx)));
    let waited = down.until(settled.as_mut()).await;
    core.bells.forget(flight.id);
    match waited {
        // A keeper that is behind is no reason to wait: the upstream is asked.
        Ok(()) => Ok(()),
        Err(Interrupt::Due) if core.clock.now() < exchange.total_due => Ok(()),
        Err(interrupt) => Err(late(core, exchange.total_due, interrupt, Fault::TotalTimeout)),
    }
}

/// The form that a client wants.
fn wanted(exchange: &Exchange, kind: Kind) -> Form {
    Form {
        kind,
        stream: exchange.wants_stream,
        usage: exchange.wants_stream && exchange.include_usage,
        base64: exchange.wants_base64,
    }
}

/// An answer that was recorded from a stream without counts is of no use to who is to be told them, nor is one that is
/// older than the client accepts.
fn serves(hit: &Hit, form: Form, caching: &Caching) -> bool {
    let young = caching.max_age.is_none_or(|most| hit.age <= most);
    young && (!form.tells_usage() || knows_usage(&hit.answer))
}

fn found(down: &Downstream<'_>, exchange: &mut Exchange, hit: Hit, wish: &Wish, caching: Box<Caching>) -> Found {
    down.core.meter.one(if hit.tier == Tier::Memory { Metric::CacheMemoryHits } else { Metric::CacheDiskHits });
    exchange.cache_says = Some(says(&hit));
    exchange.caching = Some(caching);
    Found::Stored { hit, kind: wish.form.kind, print: wish.inputs.is_empty().then_some(wish.print) }
}

/// Starts the leader and gives it the request. Whoever asked follows in the form that was asked for, so that it never
/// has to ask again itself.
fn take_off(core: Rc<Core>, exchange: &mut Exchange, leader: Leader, counts: Option<usize>) {
    let empty = Outgoing::nothing(exchange.outgoing.framing);
    let errand = Errand {
        snapshot: Arc::clone(&exchange.snapshot),
        outgoing: std::mem::replace(&mut exchange.outgoing, empty),
        charge: std::mem::replace(&mut exchange.charge, core.budget.open()),
        counts,
    };
    exchange.attempts += 1;
    monoio::spawn(fly(core, leader, errand));
}

fn fingerprint(
    down: &Downstream<'_>,
    exchange: &Exchange,
    caching: &Caching,
    answers: &dyn Answers,
    kind: Kind,
) -> Option<(Fingerprint, Box<[Input]>)> {
    let authorization = exchange.snapshot.upstream.authorization.as_ref();
    let scope = Scope {
        tenant: &caching.tenant,
        route: exchange.snapshot.upstream.url.as_bytes(),
        credential: authorization.map_or(b"", |ours| ours.reveal().as_bytes()),
        profile: b"",
        model: None,
        kind,
        sampled: exchange.snapshot.cache.sampled,
    };
    let body = exchange.outgoing.body();
    let make = |maker: &mut Fingerprinter| {
        let print = maker.fingerprint(&scope, body).ok()?;
        let inputs = if kind.family() == Family::Embed { maker.inputs(&scope, body) } else { Vec::new() };
        Some((print, inputs.into()))
    };
    down.core.with_fingerprinter(|| answers.install_key(), make)
}

async fn stored(
    down: &mut Downstream<'_>,
    exchange: &Exchange,
    answers: &Arc<dyn Answers>,
    wish: &Wish,
) -> Result<Option<Hit>, Failure> {
    if wish.inputs.is_empty() {
        return one(down, exchange, answers, wish.print).await;
    }
    let mut collected = Collected::default();
    for input in &wish.inputs {
        let hit = one(down, exchange, answers, input.print).await?;
        if hit.and_then(|hit| collected.add(&hit)).is_none() {
            return Ok(None);
        }
    }
    Ok(collected.finish())
}

async fn one(
    down: &mut Downstream<'_>,
    exchange: &Exchange,
    answers: &Arc<dyn Answers>,
    print: Fingerprint,
) -> Result<Option<Hit>, Failure> {
    if let Some(hit) = answers.memory(print) {
        return Ok(Some(hit));
    }
    let Some(mut look) = Arc::clone(answers).disk(print) else { return Ok(None) };
    let core = down.core;
    let begun = core.clock.now();
    down.timer.set((begun + DISK_LOOK_US_MAX).min(exchange.total_due));
    let found = down.until(Pin::new(&mut look)).await;
    core.meter.time(Timing::CacheDisk, core.clock.now() - begun);
    match found {
        Ok(found) => Ok(found),
        // A disk that hangs is as good as empty.
        Err(Interrupt::Due) if core.clock.now() < exchange.total_due => Ok(None),
        Err(interrupt) => Err(late(core, exchange.total_due, interrupt, Fault::TotalTimeout)),
    }
}
