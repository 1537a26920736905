//! Step 6, second half: the body. Each time the upstream has something: one read into the core's buffer, framing off,
//! filter, framing on, one write. Nothing is kept while nothing comes; nothing more is read while the client is behind.

use std::pin::pin;

use super::{
    account,
    channel::Channel,
    core::Core,
    downstream::{Downstream, Interrupt},
    egress::{Body, push},
    exchange::Exchange,
    failure::Failure,
    heading::Begun,
    meter::Raised,
    reply::Reply,
    socket::{Armed, ready},
};
use crate::{
    base::{error::Kind, metric::Metric},
    wire::{
        dialect::{Dialect, error},
        http::Framing,
    },
};

/// How an answer that was begun came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Complete,
    /// The client has a first part and sees that it is only that.
    Cut(Kind),
}

/// Passes the rest of an answer on.
///
/// # Errors
/// Only while nothing was written: the gateway then answers itself.
pub async fn relay(down: &mut Downstream<'_>, exchange: &mut Exchange, begun: Begun) -> Result<Ending, Failure> {
    let Begun { channel, mut reply } = begun;
    let core = down.core;
    let _active = reply.stream.then(|| Raised::new(&core.meter, Metric::StreamsActive));
    let result = run(down, exchange, &channel, &mut reply).await;
    if reply.done && reply.reusable && result.is_ok() {
        let limits = &exchange.snapshot.limits;
        core.pool.keep(channel, exchange.snapshot.upstream.identity, core.clock.now(), limits, reply.idle_hint_s);
    }
    conclude(down, exchange, &mut reply, result).await
}

/// What the client is told of an end that came too early, and what is counted.
///
/// # Errors
/// As [`relay`].
pub async fn conclude(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    reply: &mut Reply,
    result: Result<(), Failure>,
) -> Result<Ending, Failure> {
    reply.report(down.core, exchange);
    match result {
        Ok(()) => Ok(Ending::Complete),
        Err(failure) if !reply.head.is_empty() => Err(failure),
        Err(failure) => {
            account::warn(down.core, exchange, &failure);
            Box::pin(end_cut(down, exchange, reply, failure.kind)).await;
            Ok(Ending::Cut(failure.kind))
        }
    }
}

async fn run(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    channel: &Channel,
    reply: &mut Reply,
) -> Result<(), Failure> {
    let idle_us = exchange.snapshot.limits.idle_us;
    let heartbeat = exchange.snapshot.think.heartbeat_us;
    let mut readable = pin!(Armed::new(|| channel.socket.readable()));
    // Signs of life of our own must not make the upstream's silence look shorter.
    let mut heard = down.core.clock.now();
    reply.last_write = heard;
    loop {
        if down.is_behind() {
            down.timer.set((down.core.clock.now() + idle_us).min(exchange.total_due));
            down.flush().await.map_err(|interrupt| Failure::interrupted(interrupt, Kind::ClientStalled))?;
            heard = down.core.clock.now();
        }
        if reply.done {
            return Ok(());
        }
        let idle_due = (heard + idle_us).min(exchange.total_due);
        if !channel.has_plaintext() {
            let beat_due = reply.beat_due(heartbeat);
            down.timer.set(idle_due.min(beat_due));
            let mut ready = pin!(ready(readable.as_mut()));
            match down.until(ready.as_mut()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Failure::with(Kind::UpstreamCut, error)),
                Err(Interrupt::Due) if beat_due <= down.core.clock.now() && beat_due < idle_due => {
                    reply.beat(down)?;
                    continue;
                }
                Err(interrupt) => return Err(late(down.core, exchange, interrupt)),
            }
        }
        reply.read(down, exchange, channel)?;
        heard = down.core.clock.now();
    }
}

fn late(core: &Core, exchange: &Exchange, interrupt: Interrupt) -> Failure {
    let total = core.clock.now() >= exchange.total_due;
    Failure::interrupted(interrupt, if total { Kind::TotalTimeout } else { Kind::IdleTimeout })
}

/// An answer that cannot be completed: a stream that our own limits or our own end cut gets an error event, so that the client
/// learns why; what the upstream cut is passed on as that, a missing end.
async fn end_cut(down: &mut Downstream<'_>, exchange: &Exchange, reply: &mut Reply, kind: Kind) {
    let ours = matches!(kind, Kind::IdleTimeout | Kind::TotalTimeout | Kind::Draining);
    if ours && reply.stream && reply.framing == Framing::Chunked && !down.is_behind() {
        let mut event = Vec::new();
        if reply.release(down).is_err() {
            return;
        }
        // It must not become part of an event that the upstream left unfinished.
        match reply.tail {
            [b'\n', b'\n'] => {}
            [_, b'\n'] if exchange.dialect == Dialect::Ollama => {}
            [_, b'\n'] => event.push(b'\n'),
            _ => event.extend_from_slice(b"\n\n"),
        }
        error::event(&mut event, exchange.dialect, &kind.into());
        let written = push(down, reply.framing, &mut Vec::new(), Body::Plain(&event), &[], true);
        if written.is_ok() {
            down.timer.set(down.core.clock.now() + 1_000_000);
            let _ = down.flush().await;
        }
        return;
    }
    if reply.framing == Framing::UntilClose {
        // Closing would look like the end of the answer.
        down.reset_on_close();
    }
}
