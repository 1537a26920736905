//! A client behind a flight: what has come so far at once, then live, at its own pace and with its own settings.

use std::{future::poll_fn, pin::pin, sync::Arc};

use super::{
    flight::{End, Flight, Follower, Form, News},
    refusal,
    strain::Strain,
};
use crate::{
    base::{error::Kind as Fault, metric::Metric},
    data_plane::{
        core::Scratch,
        downstream::{Downstream, Interrupt},
        exchange::Exchange,
        failure::Failure,
        meter::Raised,
        relay::{self, Ending},
        reply::{Opening, Reply},
        send::late,
    },
    policy::snapshot::CacheRules,
    wire::{
        answer::{self, Answer, Recorder, Unstorable, Usage},
        http::{Media, Method, ResponseHead, response, slots},
        think::Framing,
    },
};

/// What following came to.
pub enum Followed {
    Ended(Ending),
    /// The answer that came cannot be told in this client's words: it has to be asked for anew, for this client alone.
    Alone,
    /// The flight's answer, whole, for a client that wants it in another form.
    Answer(Box<Answer<'static>>),
}

/// Follows to the end. `wanted`: what the client asked for.
///
/// # Errors
/// The flight failed, or this client's patience ended, before anything was written.
pub async fn follow(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    mut follower: Follower,
    wanted: Form,
) -> Result<Followed, Failure> {
    let _follows = Raised::new(&down.core.meter, Metric::CacheFollowers);
    run(down, exchange, &mut follower, wanted).await
}

async fn run(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    follower: &mut Follower,
    wanted: Form,
) -> Result<Followed, Failure> {
    let core = down.core;
    exchange.sent = core.clock.now();
    wait(down, exchange, follower, false).await?;
    exchange.first_byte = core.clock.now();
    let flight = Arc::clone(&follower.flight);
    match flight.end() {
        Some(End::Moot) => return Ok(Followed::Alone),
        Some(End::Failed { kind, detail }) => return Err(Failure::with(*kind, detail)),
        _ => {}
    }
    let Some(head) = flight.head() else { return Err(Failure::of(Fault::Internal)) };
    let form = flight.form();
    let but_for_usage = form.is_but_for_usage(&wanted);
    let strain = (but_for_usage && has_events(&head.bytes)).then(Strain::default);
    if form == wanted || (form.kind == wanted.kind && head.status != 200) || but_for_usage {
        return live(down, exchange, follower, &head.bytes, strain).await.map(Followed::Ended);
    }
    // Another form is wanted, which can only be made of the whole.
    let mut recorder = Recorder::new(form.kind, framing(&head.bytes), head.status, true);
    loop {
        while let Some(News::Piece(piece)) = follower.peek() {
            recorder.feed(&piece.bytes);
            follower.advance(piece);
        }
        if flight.end().is_some() {
            break;
        }
        if head.status == 200 && recorder.given_up().is_some() {
            // Nothing that can be told in other words will come of it: no need to wait for the end.
            return Ok(Followed::Alone);
        }
        wait(down, exchange, follower, true).await?;
    }
    match flight.end() {
        Some(End::Cut(kind)) => Err(Failure::with(*kind, "the flight was cut")),
        _ if head.status != 200 => refusal::tell(down, exchange, head, flight.log()).await.map(Followed::Ended),
        _ => {
            let answer = recorder.finish_told(how_ended(&flight)).ok().map(|answer| settled(&flight, answer));
            let answer = answer.filter(|answer| answer.usage.is_some() || !wanted.tells_usage());
            Ok(answer.map_or(Followed::Alone, |answer| Followed::Answer(Box::new(answer))))
        }
    }
}

/// The canonical answer of a flight that has ended, if it may be kept.
///
/// # Errors
/// Why it may not.
pub fn recorded(flight: &Flight, rules: CacheRules) -> Result<Answer<'static>, Unstorable> {
    let (Some(head), Some(End::Whole { .. })) = (flight.head(), flight.end()) else {
        return Err(Unstorable::Unfinished);
    };
    if flight.has_lost_its_start() {
        return Err(Unstorable::TooLarge);
    }
    if head.no_store && !rules.ignores_no_store {
        return Err(Unstorable::Forbidden);
    }
    let mut recorder = Recorder::new(flight.form().kind, framing(&head.bytes), head.status, rules.tool_calls);
    for piece in flight.log() {
        recorder.feed(&piece.bytes);
        if let Some(why) = recorder.given_up() {
            return Err(why);
        }
    }
    recorder.finish(how_ended(flight)).map(|answer| settled(flight, answer))
}

fn how_ended(flight: &Flight) -> answer::End {
    match flight.end() {
        Some(End::Whole { announced: true }) => answer::End::Whole,
        Some(End::Whole { announced: false }) => answer::End::Closed,
        _ => answer::End::Cut,
    }
}

fn settled(flight: &Flight, mut answer: Answer<'static>) -> Answer<'static> {
    let plain = flight.head().is_some_and(|head| framing(&head.bytes) == Framing::Json);
    if answer.usage.is_none() && (plain || flight.counts_wanted()) {
        // It was to be told, and there is none: asking again would not help.
        answer.usage = Some(Usage::default());
    }
    answer
}

/// What follows is a stream of events that can be looked into.
fn has_events(head: &[u8]) -> bool {
    let mut slots = slots();
    matches!(
        response::parse(head, Method::Post, &mut slots),
        Ok(Some(ResponseHead { status: 200, media: Media::EventStream, is_encoded: false, .. }))
    )
}

/// The framing of the body that a head announces.
fn framing(head: &[u8]) -> Framing {
    let mut slots = slots();
    match response::parse(head, Method::Post, &mut slots) {
        Ok(Some(ResponseHead { media: Media::EventStream, .. })) => Framing::Sse,
        Ok(Some(ResponseHead { media: Media::Ndjson, .. })) => Framing::Ndjson,
        _ => Framing::Json,
    }
}

/// Waits for the head (`body` false) or for more.
async fn wait(down: &mut Downstream<'_>, exchange: &Exchange, follower: &Follower, body: bool) -> Result<(), Failure> {
    let core = down.core;
    down.timer.set(exchange.total_due);
    let mut news = pin!(poll_fn(|cx| follower.poll_news(cx, body)));
    let waited = down.until(news.as_mut()).await;
    waited.map_err(|interrupt| late(core, exchange.total_due, interrupt, Fault::TotalTimeout))
}

async fn live(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    follower: &mut Follower,
    head: &[u8],
    strain: Option<Strain>,
) -> Result<Ending, Failure> {
    let core = down.core;
    // It will not be asked again.
    exchange.outgoing.forget(&core.buffers);
    exchange.charge.give_back();
    // The head leaves at once, unless it has to wait for the length of an edited body.
    let mut reply = Reply::open(down, exchange, &Opening { head, resized: strain.is_some() }, &[], false)?;
    let stream = reply.stream;
    let _active = stream.then(|| Raised::new(&core.meter, Metric::StreamsActive));
    let result = pass_on(down, exchange, follower, &mut reply, strain).await;
    relay::conclude(down, exchange, &mut reply, result).await
}

async fn pass_on(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    follower: &mut Follower,
    reply: &mut Reply,
    mut strain: Option<Strain>,
) -> Result<(), Failure> {
    let core = down.core;
    let limits = exchange.snapshot.limits;
    let heartbeat = exchange.snapshot.think.heartbeat_us;
    loop {
        let now = core.clock.now();
        let idle_due = (now + limits.idle_us).min(exchange.total_due);
        if down.is_behind() {
            down.timer.set(idle_due);
            down.flush().await.map_err(|interrupt| Failure::interrupted(interrupt, Fault::ClientStalled))?;
        }
        if reply.done {
            return Ok(());
        }
        if follower.is_lost() {
            return Err(Failure::with(Fault::Overloaded, "too far behind the others"));
        }
        if pass_some(down, exchange, follower, reply, strain.as_mut())? {
            continue;
        }
        let beat_due = reply.beat_due(heartbeat);
        down.timer.set(idle_due.min(beat_due));
        let mut news = pin!(poll_fn(|cx| follower.poll_news(cx, true)));
        match down.until(news.as_mut()).await {
            Ok(()) => {}
            Err(Interrupt::Due) if beat_due <= core.clock.now() && beat_due < idle_due => reply.beat(down)?,
            Err(interrupt) => return Err(late(core, exchange.total_due, interrupt, Fault::IdleTimeout)),
        }
    }
}

/// Passes on what is there, as far as one buffer goes. False: there was nothing.
fn pass_some(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    follower: &mut Follower,
    reply: &mut Reply,
    strain: Option<&mut Strain>,
) -> Result<bool, Failure> {
    let core = down.core;
    let mut scratch = core.scratch.borrow_mut();
    let Scratch { read, out } = &mut *scratch;
    out.write.clear();
    let mut filled = 0;
    let mut first = None;
    let last = loop {
        match follower.peek() {
            Some(News::Piece(piece)) => {
                let len = piece.bytes.len();
                if filled == 0 && first.is_none() {
                    // One piece is the usual case: it is passed on from where it lies.
                    first = Some(Arc::clone(&piece));
                } else {
                    if let Some(alone) = first.take() {
                        if alone.bytes.len() + len > read.len() {
                            first = Some(alone);
                            break false;
                        }
                        read[..alone.bytes.len()].copy_from_slice(&alone.bytes);
                        filled = alone.bytes.len();
                    }
                    if filled + len > read.len() {
                        break false;
                    }
                    read[filled..filled + len].copy_from_slice(&piece.bytes);
                    filled += len;
                }
                follower.advance(piece);
            }
            Some(News::End) => break true,
            None => break false,
        }
    };
    let bytes: &[u8] = match &first {
        Some(alone) => &alone.bytes,
        None => &read[..filled],
    };
    if bytes.is_empty() && !last {
        return Ok(false);
    }
    let mut strained = Vec::new();
    let bytes = match strain {
        Some(strain) => {
            strain.feed(bytes, last, &mut strained);
            &strained
        }
        None => bytes,
    };
    if last && let Some(End::Cut(kind)) = follower.flight.end() {
        reply.piece(down, exchange, out, bytes, false)?;
        reply.flush_filter(down, out)?;
        return Err(Failure::with(*kind, "the flight was cut"));
    }
    reply.piece(down, exchange, out, bytes, last)?;
    Ok(true)
}
