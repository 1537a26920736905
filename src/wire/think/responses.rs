//! The Responses API repeats a text in five places: its deltas, the event that ends it, and the events that end its
//! part, its item and the response. Deltas are split as they come; each repetition is split afresh as a whole. Items of
//! reasoning are left alone.

use std::sync::Arc;

use super::chat::{integer, key_of};
use super::envelope::{self, Shape};
use super::filter::{Filter, starting};
use super::lane::{Context, Lane};
use super::out::Sink;
use super::scratch::{Envelope, Scratch, Text};
use super::source::{Stand, Verdict};
use super::splitter::More;
use crate::wire::json::scan::{Bad, Cursor, Kind, Span};
use crate::wire::json::string;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Event {
    Delta,
    /// The text of a part is whole; `text` repeats it.
    Done,
    /// A part begins: its text has a start of its own.
    PartAdded,
    /// The response ends, or failed.
    End,
    #[default]
    Other,
}

#[derive(Debug, Default)]
struct Facts {
    event: Event,
    output_index: u32,
    content_index: u32,
    delta: Option<Text>,
    text: Option<Text>,
    logprobs: Option<Span>,
    envelope: Envelope,
}

/// The repeated texts come in `scratch.texts`, the `logprobs` beside each in `scratch.spans` (empty when there are none).
fn read(bytes: &[u8], at: usize, scratch: &mut Scratch) -> Result<Facts, Bad> {
    let mut facts = Facts::default();
    let mut cursor = Cursor::new(bytes, at);
    cursor.object(|cursor, key| {
        match key_of(cursor.bytes, key) {
            b"part" if cursor.peek()? == b'{' => part(cursor, scratch)?,
            b"item" if cursor.peek()? == b'{' => item(cursor, scratch)?,
            b"output" if cursor.peek()? == b'[' => output(cursor, scratch)?,
            b"response" if cursor.peek()? == b'{' => {
                cursor.object(|cursor, key| {
                    if key_of(cursor.bytes, key) == b"output" && cursor.peek()? == b'[' {
                        return output(cursor, scratch);
                    }
                    cursor.value().map(|_| ())
                })?;
            }
            name => root_member(cursor, key, name, &mut facts)?,
        }
        Ok(())
    })?;
    cursor.finish()?;
    Ok(facts)
}

fn root_member<'a>(cursor: &mut Cursor<'a>, key: Span, name: &[u8], facts: &mut Facts) -> Result<(), Bad> {
    let value = cursor.value()?;
    let bytes = cursor.bytes;
    let text = value.text().map(|body| Text { body, null: false, member: key.start, legacy: false });
    match name {
        b"type" => {
            let is = |word| value.text().is_some_and(|raw| string::spells(raw.of(bytes), word));
            facts.event = match () {
                () if is("response.output_text.delta") => Event::Delta,
                () if is("response.output_text.done") => Event::Done,
                () if is("response.content_part.added") => Event::PartAdded,
                () if ["response.completed", "response.incomplete", "response.failed", "error"].into_iter().any(is) => {
                    Event::End
                }
                () => Event::Other,
            };
        }
        b"output_index" => facts.output_index = integer(bytes, value).unwrap_or(0),
        b"content_index" => facts.content_index = integer(bytes, value).unwrap_or(0),
        b"delta" => facts.delta = text,
        b"text" => facts.text = text,
        b"logprobs" if value.kind == Kind::Array => facts.logprobs = Some(value.span),
        _ => {}
    }
    if matches!(name, b"item_id" | b"output_index" | b"content_index" | b"sequence_number") {
        facts.envelope.add(key, value);
    }
    Ok(())
}

fn output(cursor: &mut Cursor, scratch: &mut Scratch) -> Result<(), Bad> {
    cursor.array(|cursor| if cursor.peek()? == b'{' { item(cursor, scratch) } else { cursor.value().map(|_| ()) })?;
    Ok(())
}

/// An output item: only messages have parts with text of the answer.
fn item(cursor: &mut Cursor, scratch: &mut Scratch) -> Result<(), Bad> {
    cursor.object(|cursor, key| {
        if key_of(cursor.bytes, key) != b"content" || cursor.peek()? != b'[' {
            return cursor.value().map(|_| ());
        }
        cursor
            .array(|cursor| if cursor.peek()? == b'{' { part(cursor, scratch) } else { cursor.value().map(|_| ()) })?;
        Ok(())
    })?;
    Ok(())
}

fn part(cursor: &mut Cursor, scratch: &mut Scratch) -> Result<(), Bad> {
    let (mut is_text, mut text, mut logprobs) = (false, None, Span::default());
    cursor.object(|cursor, key| {
        let name = key_of(cursor.bytes, key);
        let value = cursor.value()?;
        match name {
            b"type" => is_text = value.text().is_some_and(|raw| string::spells(raw.of(cursor.bytes), "output_text")),
            b"text" => text = value.text().map(|body| Text { body, null: false, member: key.start, legacy: false }),
            b"logprobs" if value.kind == Kind::Array => logprobs = value.span,
            _ => {}
        }
        Ok(())
    })?;
    if let Some(text) = text.filter(|_| is_text) {
        scratch.texts.push(text);
        scratch.spans.push(logprobs);
    }
    Ok(())
}

impl Filter {
    /// Work on one event, or on a whole response.
    pub(super) fn responses(
        &mut self,
        bytes: &[u8],
        at: usize,
        stand: Stand,
        scratch: &mut Scratch,
        sink: &mut Sink,
    ) -> Option<Verdict> {
        let facts = read(bytes, at, scratch).ok()?;
        let profile = Arc::clone(&self.profile);
        let cx = Context {
            policy: super::Policy::Strip,
            profile: &profile,
            fields: &[],
            bytes,
            envelope: &facts.envelope,
            stand,
        };
        scratch.text.clear();
        scratch.thinking.clear();
        let place = facts.output_index << 16 | facts.content_index & 0xffff;
        match facts.event {
            Event::Delta => return Some(self.delta(&cx, &facts, place, scratch)),
            Event::Done => {
                self.flush(More::No, scratch, sink);
                if let Some(text) = facts.text {
                    scratch.texts.push(text);
                    scratch.spans.push(facts.logprobs.unwrap_or_default());
                }
            }
            Event::PartAdded => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.index == place) {
                    *lane = Lane::new(place, Shape::Responses, starting(self.start, &profile));
                }
            }
            Event::End => self.flush(More::No, scratch, sink),
            Event::Other => {}
        }
        for nth in 0..scratch.texts.len() {
            let (text, logprobs) = (scratch.texts[nth], scratch.spans[nth]);
            let mut lane = Lane::new(place, Shape::Responses, starting(self.start, &profile));
            let mut stats = super::Stats::default();
            let (_, touched) = lane.split_text(&cx, text, More::No, scratch, &mut stats);
            if touched && !logprobs.is_empty() {
                scratch.replace(logprobs, &[b"[]"]);
            }
        }
        Some(if scratch.edits.is_empty() { Verdict::Untouched } else { Verdict::Edited })
    }

    fn delta(&mut self, cx: &Context, facts: &Facts, place: u32, scratch: &mut Scratch) -> Verdict {
        let Some(text) = facts.delta else { return Verdict::Untouched };
        let start = self.start;
        let Some(lane) = self.lanes.get(place, || Lane::new(place, Shape::Responses, starting(start, cx.profile)))
        else {
            self.stats.over_cap += 1;
            return Verdict::Untouched;
        };
        let more = if cx.stand == Stand::InStream { More::Yes } else { More::No };
        let (visible, touched) = lane.split_text(cx, text, more, scratch, &mut self.stats);
        if !lane.held.is_empty() {
            self.members.clear();
            envelope::render(&facts.envelope, cx.bytes, &mut self.members);
        }
        if !touched {
            return Verdict::Untouched;
        }
        if let Some(logprobs) = facts.logprobs {
            scratch.replace(logprobs, &[b"[]"]);
        }
        if visible == 0 { Verdict::Dropped } else { Verdict::Edited }
    }
}
