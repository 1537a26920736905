//! Step 5: the request goes to the upstream and the head of its answer comes back.

use std::{io::IoSlice, pin::pin};

use super::{
    channel::Channel,
    collect, connect,
    downstream::Downstream,
    exchange::Exchange,
    failure::Failure,
    heading::{Begun, Heading},
    send::{Stopped, late, lost, push, send},
};
use crate::{
    base::{error::Kind, metric::Metric},
    wire::http::Framing,
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
    // What is rare lives in a box: its states would make every connection's task larger for as long as it lives.
    let connecting = Box::pin(connect::connect(down, upstream, &snapshot.limits, exchange.total_due));
    let channel = connecting.await?;
    ask(down, exchange, channel).await
}

async fn ask(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: Channel) -> Result<Begun, Failure> {
    down.core.meter.one(Metric::UpstreamAttempts);
    exchange.attempts += 1;
    let ended = ask_whole(down, exchange, &channel).await?;
    exchange.sent = down.core.clock.now();
    let mut begun = answer_head(down, exchange, channel).await?;
    begun.reply.reusable &= ended;
    Ok(begun)
}

/// Sends all of the request. False: the upstream answered before it was all sent, so that what is left of it would be
/// taken for the next request and the connection must not be used again.
async fn ask_whole(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: &Channel) -> Result<bool, Failure> {
    let pace = exchange.pace();
    let sent = send(down, &exchange.outgoing, exchange.decoder.is_done(), channel, pace).await;
    let sent = match sent {
        Ok(()) if !exchange.decoder.is_done() => Box::pin(stream_body(down, exchange, channel)).await,
        sent => sent,
    };
    match sent {
        Ok(()) => Ok(true),
        Err(Stopped::Answered) => Ok(false),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// Passes a body on that was not collected, as fast as the upstream takes it and no faster.
async fn stream_body(down: &mut Downstream<'_>, exchange: &mut Exchange, channel: &Channel) -> Result<(), Stopped> {
    let mut piece = down.core.buffers.take();
    while !exchange.decoder.is_done() {
        while down.input.is_empty() {
            let mut readable = pin!(channel.socket.readable());
            if std::mem::take(&mut exchange.expects_continue) {
                down.push(&mut [IoSlice::new(crate::wire::http::write::CONTINUE)]).map_err(Failure::from)?;
            }
            down.timer.set((down.core.clock.now() + exchange.snapshot.limits.body_us).min(exchange.total_due));
            let waited = down.until_or_arrival(readable.as_mut()).await;
            let event = waited.map_err(|interrupt| Failure::interrupted(interrupt, Kind::RequestTimeout))?;
            if event.is_some() && channel.has_answer() {
                return Err(Stopped::Answered);
            }
        }
        take_piece(down, exchange, &mut piece)?;
        push(down, channel, &piece, exchange.pace()).await?;
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
    if exchange.outgoing.framing == Framing::Chunked {
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
    let reply = loop {
        if !channel.has_plaintext() {
            let mut readable = pin!(channel.socket.readable());
            let waited = down.until(readable.as_mut()).await;
            waited
                .map_err(|interrupt| late(down.core, exchange.total_due, interrupt, Kind::FirstByteTimeout))?
                .map_err(|error| lost(&error))?;
        }
        if let Some(reply) = heading.read(down, exchange, &channel)? {
            break reply;
        }
        // Only an interim answer can have been written here.
        down.flush().await.map_err(|interrupt| Failure::interrupted(interrupt, Kind::ClientStalled))?;
    };
    Ok(Begun { channel, reply })
}
