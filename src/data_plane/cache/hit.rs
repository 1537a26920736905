//! A stored answer on its way to a client: a stream if a stream was asked for, through the same filter and the same
//! writer as an upstream's reply.

use std::pin::pin;

use super::{
    finished::{Finished, Form},
    stored::{question, send},
};
use crate::{
    base::{bounds::FINISHED_BYTES_MAX, error::Kind as Fault},
    data_plane::{
        core::digits,
        downstream::{Downstream, Interrupt},
        exchange::Exchange,
        failure::Failure,
        relay::{self, Ending},
        reply::{Opening, Reply},
        send::late,
    },
    policy::{answers::Hit, fingerprint::Fingerprint},
    wire::answer::{Answer, Context, Kind, Replay},
};

/// Events are gathered to about this much before they are written.
const BATCH_BYTES: usize = 16 * 1024;

/// Plays an answer to the client; `entry` is where it lies, if it does. `Ok(None)`: it cannot be told in this client's words.
///
/// # Errors
/// Only while nothing was written.
pub async fn play(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    answer: &Answer<'_>,
    kind: Kind,
    entry: Option<(Fingerprint, &Hit)>,
) -> Result<Option<Ending>, Failure> {
    let core = down.core;
    let now = core.clock.now();
    let digits = digits(core.new_id());
    let id = [if kind == Kind::OpenAiChat { "chatcmpl-" } else { "cmpl-" }, &digits].concat();
    let now_unix_micros = core.clock.wall_us(now);
    let model = exchange.model.clone().unwrap_or_default();
    let context = Context {
        kind,
        stream: exchange.wants_stream,
        model: &model,
        id: &id,
        now_unix_micros,
        elapsed_nanos: (now - exchange.started).saturating_mul(1_000),
        include_usage: exchange.include_usage,
        base64: exchange.wants_base64,
        words: exchange.snapshot.cache.pace_us > 0,
        reasoning_fields: exchange.snapshot.think.reasoning_fields,
    };
    let Some(mut replay) = Replay::new(answer, context) else { return Ok(None) };
    let form = Form::of(kind, exchange.wants_stream);
    let pace_us = if form == Form::Json { 0 } else { exchange.snapshot.cache.pace_us };
    let mut batch = core.buffers.take();
    let more = fill(&mut replay, &mut batch, pace_us);
    if !more && batch.len() <= FINISHED_BYTES_MAX && !exchange.snapshot.debug {
        let spec = exchange.think.take();
        let finished =
            Finished::new(kind, form, &batch, spec, &mut core.scratch.borrow_mut().out.think, &digits, now_unix_micros);
        core.buffers.give(batch);
        let ending = send(down, exchange, &finished).await?;
        if let (Some((print, hit)), Some(caching)) = (entry, exchange.caching.take()) {
            let (question, model) = (question(exchange, &caching), exchange.model.as_deref());
            core.recall.borrow_mut().note(&question, model, print, hit.answer.clone(), finished);
        }
        return Ok(Some(ending));
    }
    // It is answered from here: the request need not be kept.
    exchange.outgoing.forget(&core.buffers);
    exchange.charge.give_back();
    let mut reply = begin(down, exchange, form, &batch, !more)?;
    let result = play_rest(down, exchange, &mut replay, &mut reply, &mut batch, pace_us).await;
    core.buffers.give(batch);
    relay::conclude(down, exchange, &mut reply, result).await.map(Some)
}

/// Gathers events for one write, or one word's if there is a pace: the beginning goes with the first, the end with the
/// last. A body that is no stream is one event, whatever its length. False: that was all.
fn fill(replay: &mut Replay<'_>, batch: &mut Vec<u8>, pace_us: u64) -> bool {
    batch.clear();
    while batch.len() < BATCH_BYTES {
        if !replay.next_event(batch) {
            return false;
        }
        if pace_us > 0 && replay.has_told() && replay.has_more_to_tell() {
            return true;
        }
    }
    true
}

/// Writes head and first batch, as if an upstream had sent them.
fn begin(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    form: Form,
    batch: &[u8],
    last: bool,
) -> Result<Reply, Failure> {
    let length = if form == Form::Json { format!("Content-Length: {}\r\n", batch.len()) } else { String::new() };
    let kind = form.content_type();
    let head = down.core.clock.with_date(|date| {
        let date = String::from_utf8_lossy(date);
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nDate: {date}\r\n{length}\r\n")
    });
    Reply::open(down, exchange, &Opening { head: head.as_bytes(), resized: false }, batch, last)
}

async fn play_rest(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    replay: &mut Replay<'_>,
    reply: &mut Reply,
    batch: &mut Vec<u8>,
    mut pace_us: u64,
) -> Result<(), Failure> {
    let core = down.core;
    // A pace is no reason to run into the limit: half of the time is for it, then the rest comes at once.
    let hurry = exchange.started + (exchange.total_due - exchange.started) / 2;
    let mut shown = 0;
    loop {
        if down.is_behind() {
            let limits = exchange.snapshot.limits;
            down.timer.set((core.clock.now() + limits.idle_us).min(exchange.total_due));
            down.flush().await.map_err(|interrupt| Failure::interrupted(interrupt, Fault::ClientStalled))?;
        }
        if reply.done {
            return Ok(());
        }
        if core.clock.now() >= hurry {
            pace_us = 0;
        }
        // What the filter takes out takes no time.
        if std::mem::replace(&mut shown, down.sent) != down.sent && pace_us > 0 {
            pause(down, exchange, pace_us).await?;
        }
        let more = fill(replay, batch, pace_us);
        let out = &mut core.scratch.borrow_mut().out;
        out.write.clear();
        reply.piece(down, exchange, out, batch, !more)?;
    }
}

/// Lets the time between two events pass, unless the client leaves.
async fn pause(down: &mut Downstream<'_>, exchange: &Exchange, pace_us: u64) -> Result<(), Failure> {
    let core = down.core;
    down.timer.set((core.clock.now() + pace_us).min(exchange.total_due));
    let mut never = pin!(std::future::pending::<()>());
    match down.until(never.as_mut()).await {
        Err(Interrupt::Due) if core.clock.now() < exchange.total_due => Ok(()),
        Ok(()) => Ok(()),
        Err(interrupt) => Err(late(core, exchange.total_due, interrupt, Fault::TotalTimeout)),
    }
}
