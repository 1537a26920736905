//! Step 3: the request goes to the upstream and the head of its answer comes back.

use std::{
    io::{ErrorKind, IoSlice},
    pin::pin,
};

use super::{
    channel::Channel,
    collect, connect,
    deadline::either,
    downstream::{Downstream, Interrupt},
    exchange::Exchange,
    failure::Failure,
    heading::{Begun, Heading},
};
use crate::{
    base::{error::Kind, metric::Metric},
    wire::http::{
        Framing,
        write::{CHUNK_END, LAST_CHUNK, chunk_head},
    },
};

/// Sends the request and waits for the head of the answer. A kept connection that turns out to be dead before a byte
/// of an answer came is replaced by a fresh one, once, if the request may be repeated.
///
/// # Errors
/// Why there is no answer; nothing was sent to the client.
pub async fn forward(down: &mut Downstream<'_>, exchange: &mut Exchange) -> Result<Begun, Failure> {
    let core = down.core;
    let snapshot = std::sync::Arc::clone(&exchange.snapshot);
    let upstream = &snapshot.upstream;
    // What cannot be repeated does not try its luck on a connection that may be dead.
    let kept = if exchange.is_repeatable() { core.pool.lease(upstream.identity, core.clock.now()) } else { None };
    if let Some(channel) = kept {
        core.meter.one(Metric::UpstreamReused);
        match ask(down, exchange, channel).await {
            Err(failure) if failure.kind == Kind::UpstreamClosed => {
                core.meter.one(Metric::UpstreamStale);
                core.meter.one(Metric::UpstreamRetries);
            }
            result => return result,
        }
    }
    let channel = connect::connect(down, upstream, &snapshot.limits, exchange.total_due).await?;
    ask(down, exchange, channel).await
}

async fn ask(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: Channel) -> Result<Begun, Failure> {
    down.core.meter.one(Metric::UpstreamAttempts);
    exchange.attempts += 1;
    send(down, exchange, &channel).await?;
    exchange.sent = down.core.clock.now();
    answer_head(down, exchange, channel).await
}

/// Why sending stopped before its end: the upstream has already answered, or closed.
enum Stopped {
    Answered,
    Failed(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped::Failed(failure)
    }
}

async fn send(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: &Channel) -> Result<(), Failure> {
    let sent = match send_collected(exchange, channel) {
        Ok(None) => Ok(()),
        Ok(Some(rest)) => push(down, exchange, channel, &rest).await,
        Err(failure) => Err(Stopped::Failed(failure)),
    };
    let sent = match sent {
        Ok(()) if !exchange.decoder.is_done() => stream_body(down, exchange, channel).await,
        sent => sent,
    };
    match sent {
        // The answer is read all the same; the connection cannot be used again, since the request was not ended.
        Ok(()) | Err(Stopped::Answered) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// Sends the head and what was collected of the body, all in one call. Returns what the socket did not take.
fn send_collected(exchange: &Exchange, channel: &Channel) -> Result<Option<Vec<u8>>, Failure> {
    let chunked = exchange.framing == Framing::Chunked;
    let mut size = Vec::new();
    let mut tail: &[u8] = &[];
    if chunked {
        if !exchange.body.is_empty() {
            chunk_head(&mut size, exchange.body.len());
            tail = CHUNK_END;
        }
        if exchange.decoder.is_done() {
            tail = if exchange.body.is_empty() { LAST_CHUNK } else { b"\r\n0\r\n\r\n" };
        }
    }
    let slices = [IoSlice::new(&exchange.head), IoSlice::new(&size), IoSlice::new(&exchange.body), IoSlice::new(tail)];
    let used = if chunked { &slices[..] } else { &slices[..3] };
    let total: usize = used.iter().map(|slice| slice.len()).sum();
    let taken = match channel.send_vectored(used) {
        Ok(taken) => taken,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(lost(&error)),
    };
    if taken == total && !channel.wants_write() {
        return Ok(None);
    }
    let all = used.iter().flat_map(|slice| slice.iter().copied());
    Ok(Some(all.skip(taken).collect()))
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::with(Kind::UpstreamClosed, error)
}

/// Sends all of `bytes`, unless the upstream answers first.
async fn push(
    down: &mut Downstream<'_>,
    exchange: &Exchange,
    channel: &Channel,
    mut bytes: &[u8],
) -> Result<(), Stopped> {
    loop {
        match channel.send_vectored(&[IoSlice::new(bytes)]) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => channel.flush().map_err(|error| lost(&error))?,
            Err(error) => return Err(Stopped::Failed(lost(&error))),
        }
        if bytes.is_empty() && !channel.wants_write() {
            return Ok(());
        }
        down.timer.set((down.core.clock.now() + exchange.snapshot.limits.idle_us).min(exchange.total_due));
        let mut writable = pin!(channel.socket.writable());
        let mut readable = pin!(channel.socket.readable());
        let mut first = pin!(either(writable.as_mut(), readable.as_mut()));
        let ready = down
            .until(first.as_mut())
            .await
            .map_err(|interrupt| late(down, exchange, interrupt, Kind::FirstByteTimeout))?;
        match ready {
            Ok(ready) => ready.map_err(|error| lost(&error))?,
            Err(_) => return Err(Stopped::Answered),
        }
    }
}

/// Which limit it was that came.
fn late(down: &Downstream<'_>, exchange: &Exchange, interrupt: Interrupt, phase: Kind) -> Failure {
    let total = down.core.clock.now() >= exchange.total_due;
    Failure::interrupted(interrupt, if total { Kind::TotalTimeout } else { phase })
}

/// Passes a body on that was not collected, as fast as the upstream takes it and no faster.
async fn stream_body(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: &Channel) -> Result<(), Stopped> {
    let mut piece = down.core.buffers.take();
    while !exchange.decoder.is_done() {
        if down.input.is_empty() {
            let mut readable = pin!(channel.socket.readable());
            if std::mem::take(&mut exchange.expects_continue) {
                down.push(&mut [IoSlice::new(crate::wire::http::write::CONTINUE)]).map_err(Failure::from)?;
            }
            down.timer.set((down.core.clock.now() + exchange.snapshot.limits.body_us).min(exchange.total_due));
            let waited = down.until_or_arrival(readable.as_mut()).await;
            let answered = waited.map_err(|interrupt| Failure::interrupted(interrupt, Kind::RequestTimeout))?;
            if answered.is_some() {
                return Err(Stopped::Answered);
            }
        }
        take_piece(down, exchange, &mut piece)?;
        push(down, exchange, channel, &piece).await?;
    }
    down.core.buffers.give(piece);
    Ok(())
}

/// The next piece of the body with its framing, from the connection into `piece`.
fn take_piece(down: &mut Downstream<'_>, exchange: &mut Exchange, piece: &mut Vec<u8>) -> Result<(), Failure> {
    piece.clear();
    let decoded = exchange.decoder.decode_in_place(down.input.bytes_mut())?;
    collect::within_limit(exchange)?;
    let payload = &down.input.bytes()[..decoded.payload];
    if exchange.framing == Framing::Chunked {
        crate::wire::http::write::chunk(piece, payload);
        if decoded.done {
            piece.extend_from_slice(b"0\r\n");
            piece.extend_from_slice(exchange.decoder.trailers());
            piece.extend_from_slice(b"\r\n");
        }
    } else {
        piece.extend_from_slice(payload);
    }
    down.input.consume(decoded.consumed, &down.core.buffers);
    Ok(())
}

async fn answer_head(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: Channel) -> Result<Begun, Failure> {
    let due = (down.core.clock.now() + exchange.snapshot.limits.first_byte_us).min(exchange.total_due);
    down.timer.set(due);
    let mut heading = Heading::default();
    let relay = loop {
        if !channel.has_plaintext() {
            let mut readable = pin!(channel.socket.readable());
            let waited = down.until(readable.as_mut()).await;
            waited
                .map_err(|interrupt| late(down, exchange, interrupt, Kind::FirstByteTimeout))?
                .map_err(|error| lost(&error))?;
        }
        if let Some(relay) = heading.read(down, exchange, &channel)? {
            break relay;
        }
        // Only an interim answer can have been written here.
        down.flush().await.map_err(|interrupt| late(down, exchange, interrupt, Kind::IdleTimeout))?;
    };
    Ok(Begun { channel, relay })
}
