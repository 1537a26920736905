//! **The path.** A request goes one way through few rooms, and this file calls them in order:
//!
//! 1. `admit`: read and judge the head, find its route, write the head that goes upstream;
//! 2. `collect`: take in the body where it must be known (model, choices, prefill);
//!    - a request that this core has answered from the cache before is answered as then (`recall`);
//! 3. `plan`: what the body says about how the answer is to be filtered;
//! 4. `lookup`: the answer may be stored, or on its way to somebody else (`cache`); where it may be kept, a flight asks;
//! 5. `forward`: lease or open a connection, send, once more on a fresh one if a kept one was dead;
//! 6. `relay`: read the answer's head, then decode → filter → write, with back-pressure;
//! 7. `account`: exactly once, whatever happened before.
//!
//! Steps do not call steps.

use super::{
    account,
    cache::{
        follow::{Followed, follow},
        hit::play,
        lookup::{Found, lookup},
        stored::recall,
    },
    collect,
    downstream::Downstream,
    exchange::Exchange,
    failure::Failure,
    forward, local,
    meter::{Outcome, Raised},
    plan,
    relay::{self, Ending},
};
use crate::{
    base::{error::Kind, metric::Metric},
    wire::answer::{self, Outcome as CacheOutcome},
};

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Waits for another request.
    Next,
    Close,
    /// Closes once the client, which may still be sending, had a chance to read the answer.
    Linger,
}

/// Handles one admitted request to its end.
pub async fn handle(down: &mut Downstream<'_>, mut exchange: Box<Exchange>) -> After {
    let core = down.core;
    let _active = Raised::new(&core.meter, Metric::RequestsActive);
    let result = run(down, &mut exchange).await;
    let after = match result {
        Ok(ending) => conclude(down, &mut exchange, ending).await,
        Err(failure) => Box::pin(fail(down, &mut exchange, failure)).await,
    };
    account::close(down, exchange);
    after
}

async fn run(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<Ending, Failure> {
    collect::body(down, exchange).await?;
    if down.core.shared.answers.is_some() {
        // In a box of its own: every connection would pay for the size of these states, cache or not.
        if let Some(ending) = Box::pin(cached(down, exchange)).await? {
            return Ok(ending);
        }
    } else {
        plan::plan(down.core, exchange);
    }
    if exchange.outgoing.is_empty() {
        // It was given to a flight of its own making, which always answers in the form that was asked for.
        return Err(Failure::of(Kind::Internal));
    }
    let begun = forward::forward(down, exchange).await?;
    relay::relay(down, exchange, begun).await
}

/// The answer from the cache or from a flight; `None`: it has to be asked for, for this client alone.
async fn cached(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<Option<Ending>, Failure> {
    if let Some(ending) = recall(down, exchange).await? {
        return Ok(Some(ending));
    }
    plan::plan(down.core, exchange);
    let ending = match lookup(down, exchange).await? {
        Found::Nowhere => return Ok(None),
        // An entry of an older form, or one that these words have no place for, is no entry.
        Found::Stored { hit, kind, print } => match answer::decode(&hit.answer) {
            Ok(answer) => play(down, exchange, &answer, kind, print.map(|print| (print, &hit))).await?,
            Err(_) => None,
        },
        Found::Flying(follower, wanted) => match follow(down, exchange, follower, wanted).await? {
            Followed::Ended(ending) => Some(ending),
            Followed::Answer(answer) => play(down, exchange, &answer, wanted.kind, None).await?,
            Followed::Alone => None,
        },
    };
    if ending.is_none() {
        exchange.cache_says = Some(CacheOutcome::Bypass);
    }
    Ok(ending)
}

/// The answer was begun; it may or may not have been ended.
async fn conclude(down: &mut Downstream<'_>, exchange: &mut Exchange, ending: Ending) -> After {
    let outcome = match ending {
        Ending::Complete => Outcome::Complete,
        Ending::Cut(kind) => {
            down.core.meter.error(kind);
            exchange.fault = Some(kind);
            if matches!(kind, Kind::ClientGone | Kind::ClientStalled) { Outcome::ClientGone } else { Outcome::Cut }
        }
    };
    exchange.settled = Some(outcome);
    match outcome {
        Outcome::Complete if exchange.keep_alive && exchange.decoder.is_done() => After::Next,
        // The rest of a request body that nobody wants is still on its way.
        Outcome::Complete if !exchange.decoder.is_done() => After::Linger,
        _ => After::Close,
    }
}

/// Nothing of an answer was sent: the gateway answers in the upstream's place.
async fn fail(down: &mut Downstream<'_>, exchange: &mut Exchange, failure: Failure) -> After {
    let core = down.core;
    core.meter.error(failure.kind);
    exchange.fault = Some(failure.kind);
    exchange.settled = Some(if failure.kind == Kind::ClientGone { Outcome::ClientGone } else { Outcome::Error });
    exchange.status = failure.kind.status();
    account::warn(core, exchange, &failure);
    if failure.kind == Kind::ClientGone {
        return After::Close;
    }
    let whole = exchange.decoder.is_done();
    let keep_alive = exchange.keep_alive && whole && !core.draining.get();
    let sent = local::error(down, &local::Asked::by(exchange, keep_alive), failure.kind, &failure.detail);
    if sent.is_err() {
        return After::Close;
    }
    down.timer.set(core.clock.now() + exchange.snapshot.limits.idle_us);
    match (down.flush().await, keep_alive) {
        (Ok(()), true) => After::Next,
        (Ok(()), false) => After::Linger,
        (Err(_), _) => After::Close,
    }
}
