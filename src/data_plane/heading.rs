//! Step 6, first half: the head of the upstream's answer, and what it means for the body that follows.

use std::io::{ErrorKind, IoSlice};

use super::{
    channel::Channel, core::Scratch, downstream::Downstream, exchange::Exchange, failure::Failure, reply::Reply,
};
use crate::{
    base::error::Kind,
    wire::http::{
        Framing, ResponseHead, Version, response, slots,
        write::{DownstreamLine, downstream_response},
    },
};

/// An answer whose head has been passed on, and the connection it comes on.
pub struct Begun {
    pub channel: Channel,
    pub reply: Box<Reply>,
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
    ) -> Result<Option<Box<Reply>>, Failure> {
        let core = down.core;
        let mut scratch = core.scratch.borrow_mut();
        let Scratch { read, out } = &mut *scratch;
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
        let (mut reply, start) = loop {
            out.write.clear();
            let mut slots = slots();
            let parsed = response::parse(&data[at..], exchange.method, &mut slots)?;
            match parsed {
                None => {
                    let rest = data[at..].to_vec();
                    self.partial = rest;
                    return Ok(None);
                }
                Some(head) if head.is_informational() => {
                    interim(down, exchange, &head, &mut out.write)?;
                    at += head.len;
                }
                Some(head) => {
                    let start = at;
                    at += head.len;
                    let here = whole(&head, &data[at..]);
                    break (Box::new(Reply::begin(core, exchange, &head, here, &mut out.write)), start);
                }
            }
        };
        exchange.outgoing.forget(&core.buffers);
        exchange.charge.give_back();
        reply.hold_head_if_collecting(&data[start..at], &mut out.write);
        reply.body(down, exchange, out, &mut data[at..])?;
        Ok(Some(reply))
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
