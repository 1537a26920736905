//! Anthropic messages: blocks of thinking are removed with all their events and later blocks renumbered; inline tags in
//! text blocks are split as anywhere else, with one state for the whole message.

use std::sync::Arc;

use super::chat::{integer, key_of, parts};
use super::envelope::{Shape, digits};
use super::filter::{Filter, starting};
use super::lane::{Context, Lane};
use super::out::Sink;
use super::scratch::{Choice, Envelope, Head, Scratch, Text};
use super::source::{Stand, Verdict};
use super::splitter::More;
use crate::base::bounds::REMOVED_BLOCKS_MAX;
use crate::wire::json::scan::{Bad, Cursor, Kind, Span, Value};
use crate::wire::json::string;

/// What an event of the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Event {
    BlockStart,
    BlockDelta,
    BlockStop,
    /// The message ends, or failed: nothing may stay behind.
    End,
    #[default]
    Other,
}

#[derive(Debug, Default)]
struct Facts {
    event: Event,
    index: Option<Value>,
    /// `type` of `content_block` or `delta` is one of thinking.
    thinking: bool,
    text: Option<Text>,
    /// A whole message: its parts.
    message: bool,
    choice: Choice,
}

fn says(bytes: &[u8], value: Value, word: &str) -> bool {
    value.text().is_some_and(|raw| string::spells(raw.of(bytes), word))
}

fn read(bytes: &[u8], at: usize, scratch: &mut Scratch) -> Result<Facts, Bad> {
    let mut facts = Facts::default();
    let mut cursor = Cursor::new(bytes, at);
    cursor.object(|cursor, key| {
        match key_of(cursor.bytes, key) {
            b"type" => {
                let value = cursor.value()?;
                let is = |word| says(cursor.bytes, value, word);
                facts.event = match () {
                    () if is("content_block_delta") => Event::BlockDelta,
                    () if is("content_block_start") => Event::BlockStart,
                    () if is("content_block_stop") => Event::BlockStop,
                    () if is("message_delta") || is("message_stop") || is("error") => Event::End,
                    () => Event::Other,
                };
            }
            b"index" => facts.index = Some(cursor.value()?),
            b"delta" | b"content_block" if cursor.peek()? == b'{' => block(cursor, &mut facts)?,
            b"content" if cursor.peek()? == b'[' => {
                facts.message = true;
                parts(cursor, key, &mut facts.choice, scratch)?;
            }
            _ => {
                cursor.value()?;
            }
        }
        Ok(())
    })?;
    cursor.finish()?;
    Ok(facts)
}

fn block(cursor: &mut Cursor, facts: &mut Facts) -> Result<(), Bad> {
    cursor.object(|cursor, key| {
        let name = key_of(cursor.bytes, key);
        let value = cursor.value()?;
        match name {
            b"type" => {
                let kinds = ["thinking", "redacted_thinking", "thinking_delta", "signature_delta"];
                facts.thinking = kinds.iter().any(|kind| says(cursor.bytes, value, kind));
            }
            b"text" if value.kind == Kind::String => {
                let body = value.text().unwrap_or_default();
                facts.text = Some(Text { body, null: false, member: key.start, legacy: false });
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(())
}

impl Filter {
    /// Work on one event, or on a whole message.
    pub(super) fn anthropic(
        &mut self,
        bytes: &[u8],
        at: usize,
        stand: Stand,
        scratch: &mut Scratch,
        sink: &mut Sink,
    ) -> Option<Verdict> {
        let mut facts = read(bytes, at, scratch).ok()?;
        if stand == Stand::Whole {
            if facts.message {
                facts.choice.texts = 0..scratch.texts.len();
                facts.choice.reasons = 0..scratch.reasons.len();
                facts.choice.lists = 0..scratch.lists.len();
                scratch.choices.push(facts.choice);
            }
            return Some(self.choices(bytes, &Head::default(), stand, scratch));
        }
        let index = facts.index.and_then(|value| Some((integer(bytes, value)?, value.span)));
        match (facts.event, index) {
            (Event::End, _) => {
                self.flush(More::No, scratch, sink);
                Some(Verdict::Untouched)
            }
            (Event::BlockStart | Event::BlockDelta | Event::BlockStop, Some((index, span))) => {
                Some(self.block(bytes, &facts, index, span, stand, scratch, sink))
            }
            _ => Some(Verdict::Untouched),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one event's facts and the places its results go")]
    fn block(
        &mut self,
        bytes: &[u8],
        facts: &Facts,
        index: u32,
        span: Span,
        stand: Stand,
        scratch: &mut Scratch,
        sink: &mut Sink,
    ) -> Verdict {
        let starts_thinking = facts.event == Event::BlockStart && facts.thinking;
        if starts_thinking && self.removed_blocks.len() >= REMOVED_BLOCKS_MAX {
            self.stats.over_cap += 1;
            return Verdict::Untouched;
        }
        if starts_thinking && self.removed_blocks.last().is_none_or(|last| *last < index) {
            self.removed_blocks.push(index);
        }
        if facts.thinking || self.removed_blocks.binary_search(&index).is_ok() {
            self.stats.removed_bytes += if facts.event == Event::BlockDelta { bytes.len() as u64 } else { 0 };
            return Verdict::Dropped;
        }
        let before = self.removed_blocks.partition_point(|removed| *removed < index);
        let renumbered = index - u32::try_from(before).unwrap_or(0);
        if before > 0 {
            scratch.replace(span, &[digits(renumbered, &mut [0; 10])]);
        }
        let (start, profile) = (self.start, Arc::clone(&self.profile));
        let Some(lane) = self.lanes.get(0, || Lane::new(0, Shape::Anthropic, starting(start, &profile))) else {
            return Verdict::Untouched;
        };
        if facts.event == Event::BlockStop {
            self.flush(More::Pause, scratch, sink);
        } else if let Some(text) = facts.text {
            lane.out_index = renumbered;
            let cx = Context {
                policy: super::Policy::Strip,
                profile: &profile,
                fields: &[],
                bytes,
                envelope: &Envelope::default(),
                stand,
            };
            let more = if stand == Stand::InStream { More::Yes } else { More::No };
            scratch.text.clear();
            scratch.thinking.clear();
            let (visible, touched) = lane.split_text(&cx, text, more, scratch, &mut self.stats);
            if touched && visible == 0 && facts.event == Event::BlockDelta {
                return Verdict::Dropped;
            }
        }
        if scratch.edits.is_empty() { Verdict::Untouched } else { Verdict::Edited }
    }
}
