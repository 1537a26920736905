//! Step 6, first half: the head of the upstream's answer, and what it means for the body that follows.

use std::io::{ErrorKind, IoSlice};

use super::{
    account,
    channel::Channel,
    core::Scratch,
    downstream::Downstream,
    exchange::Exchange,
    failure::Failure,
    relay::{self, Mode, Relay},
};
use crate::{
    base::{error::Kind, metric::Metric},
    wire::{
        answer,
        http::{
            BodyDecoder, Framing, Media, Method, ResponseHead, Version, response, slots,
            write::{DownstreamLine, downstream_response},
        },
        think::{self, Filter, Spec},
    },
};

/// An answer whose head has been passed on, and the connection it comes on.
pub struct Begun {
    pub channel: Channel,
    pub relay: Box<Relay>,
}

/// What has come of the head so far.
#[derive(Default)]
pub struct Heading {
    partial: Vec<u8>,
    /// Something of an answer has come, so that the request must not be sent again.
    answered: bool,
}

impl Heading {
    /// Reads what is there. `Some` once the head was whole: it is written, with what of the body came along.
    ///
    /// # Errors
    /// The answer ended or broke before its head did.
    pub fn read(
        &mut self,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        channel: &Channel,
    ) -> Result<Option<Box<Relay>>, Failure> {
        let core = down.core;
        let mut scratch = core.scratch.borrow_mut();
        let Scratch { read, write, think } = &mut *scratch;
        let n = match channel.recv(read) {
            Ok(0) if !self.answered => return Err(Failure::with(Kind::UpstreamClosed, "no answer")),
            Ok(0) => return Err(Failure::with(Kind::UpstreamInvalid, "the head was cut")),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if self.answered => return Err(Failure::with(Kind::UpstreamInvalid, error)),
            Err(error) => return Err(Failure::with(Kind::UpstreamClosed, error)),
        };
        self.answered = true;
        if exchange.first_byte == 0 {
            exchange.first_byte = core.clock.now();
        }
        let mut data = &mut read[..n];
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(data);
            data = &mut self.partial;
        }
        let mut at = 0;
        let (mut relay, start) = loop {
            write.clear();
            let mut slots = slots();
            let parsed = response::parse(&data[at..], exchange.method, &mut slots)
                .map_err(|kind| Failure::with(kind, "its head is not valid HTTP"))?;
            match parsed {
                None => {
                    let rest = data[at..].to_vec();
                    self.partial = rest;
                    return Ok(None);
                }
                Some(head) if head.is_informational() => {
                    interim(down, exchange, &head, write)?;
                    at += head.len;
                }
                Some(head) => {
                    let start = at;
                    at += head.len;
                    break (Box::new(begin(down, exchange, &head, whole(&head, &data[at..]), write)), start);
                }
            }
        };
        exchange.outgoing.forget(&core.buffers);
        exchange.charge.give_back();
        relay.hold_head_if_collecting(&data[start..at], write);
        relay.body(down, exchange, write, &mut data[at..], think)?;
        Ok(Some(relay))
    }
}

/// 1xx: passed on as far as the client can understand it (RFC 9110 §15.2), except what answers our own question.
fn interim(
    down: &mut Downstream<'_>,
    exchange: &Exchange,
    head: &ResponseHead<'_>,
    write: &mut Vec<u8>,
) -> Result<(), Failure> {
    if head.status == 100 || exchange.version == Version::Http10 {
        return Ok(());
    }
    let line = DownstreamLine {
        framing: Framing::None,
        stream: false,
        allow: &exchange.snapshot.allow,
        extra: &[],
        keep_alive: true,
        version: exchange.version,
    };
    downstream_response(write, head, &line);
    down.push(&mut [IoSlice::new(write)]).map_err(Failure::from)
}

/// The body, if all of it came with its head and is not in pieces.
fn whole<'a>(head: &ResponseHead<'_>, rest: &'a [u8]) -> Option<&'a [u8]> {
    let Framing::Length(len) = head.framing else { return None };
    rest.get(..usize::try_from(len).ok()?)
}

/// Decides what is done with the body (which is there already, or not: `here`) and writes the head for it.
pub fn begin(
    down: &Downstream<'_>,
    exchange: &mut Exchange,
    head: &ResponseHead<'_>,
    here: Option<&[u8]>,
    write: &mut Vec<u8>,
) -> Relay {
    exchange.status = head.status;
    account::debug_answer(down.core, exchange, head);
    let mode = mode(down, exchange, head, here);
    let stream = head.media.is_stream();
    let (framing, keep_alive) = write_head(write, exchange, head, &mode, down.core.draining.get());
    exchange.keep_alive = keep_alive;
    Relay {
        decoder: BodyDecoder::response(head.framing),
        mode,
        framing,
        stream,
        reusable: head.keep_alive && exchange.decoder.is_done(),
        idle_hint_s: head.keep_alive_timeout,
        head: Vec::new(),
        done: false,
        last_write: down.core.clock.now(),
        headless: exchange.method == Method::Head,
        tail: [b'\n'; 2],
    }
}

fn mode(down: &Downstream<'_>, exchange: &mut Exchange, head: &ResponseHead<'_>, here: Option<&[u8]>) -> Mode {
    let Some(spec) = exchange.think.take() else { return Mode::Pass };
    let framing = match head.media {
        Media::EventStream => think::Framing::Sse,
        Media::Ndjson => think::Framing::Ndjson,
        Media::Json => think::Framing::Json,
        Media::Other | Media::Absent if head.is_success() && !head.framing.is_empty() => {
            down.core.meter.one(Metric::ThinkSkipped);
            return Mode::Unfiltered(relay::OTHER_MEDIA);
        }
        Media::Other | Media::Absent => return Mode::Pass,
    };
    if !head.is_success() || head.framing.is_empty() {
        return Mode::Pass;
    }
    if head.is_encoded {
        // Identity was asked for; compressed bytes are never searched.
        down.core.meter.one(Metric::ThinkSkipped);
        return Mode::Unfiltered(relay::ENCODED);
    }
    down.core.meter.one(Metric::ThinkFiltered);
    if framing == think::Framing::Json {
        // Most answers hold nothing to edit, which a look for a few bytes tells.
        if here.is_some_and(|body| !think::may_need_edit(&spec, body)) {
            return Mode::Pass;
        }
        return Mode::Collect(super::relay::Collected::new(spec));
    }
    Mode::Filter(Box::new(Filter::new(&Spec { framing, ..*spec })))
}

/// Returns how the body is to be framed and whether the connection may go on.
pub fn write_head(
    write: &mut Vec<u8>,
    exchange: &Exchange,
    head: &ResponseHead<'_>,
    mode: &Mode,
    draining: bool,
) -> (Framing, bool) {
    let framing = match (mode, head.framing) {
        (Mode::Filter(_), _) | (_, Framing::UntilClose) => Framing::Chunked,
        (Mode::Collect(collected), _) => Framing::Length(collected.edited_len() as u64),
        // The answer to `HEAD` names the length of the body that is not sent.
        (_, Framing::None) => head.content_length.map_or(Framing::None, Framing::Length),
        (_, framing) => framing,
    };
    let mut extra: Vec<(&str, &[u8])> = vec![("X-Request-Id", exchange.id.as_bytes())];
    if let Mode::Unfiltered(reason) = mode {
        extra.push(("X-Think-Applied", reason.as_bytes()));
    }
    let cache = exchange.cache_says.map(answer::Fields::of);
    if let Some(cache) = &cache {
        extra.extend(cache.iter());
    }
    let line = DownstreamLine {
        framing,
        stream: head.media.is_stream(),
        allow: &exchange.snapshot.allow,
        extra: &extra,
        keep_alive: exchange.keep_alive && exchange.decoder.is_done() && !draining,
        version: exchange.version,
    };
    let written = downstream_response(write, head, &line);
    (written.framing, written.keep_alive)
}
