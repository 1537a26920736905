//! The filter of one stream: cuts it into events, lets the lanes edit them, and puts the output together from ranges of
//! what it was given.

mod event;
mod familiar;
mod framer;
mod heartbeat;
mod lanes;

use std::sync::Arc;

use self::framer::Framer;
use self::lanes::Lanes;
use super::envelope::{self, Says};
use super::out::{Out, Sink};
use super::scratch::Scratch;
use super::source::{Source, Stand, Verdict};
use super::splitter::More;
use super::template::Template;
use super::{Format, Framing, Policy, Profile, ReasoningFields, Spec, StartOverride, Stats};
use crate::base::bounds::WHOLE_BODY_BYTES_MAX;
use crate::wire::frame::{Carry, Frame, Place};
use crate::wire::json::scan::Span;
use crate::wire::ndjson;
use crate::wire::sse;

pub(crate) use self::lanes::starting;

/// Takes the thinking out of one answer. Made for each request: small, and cheap to make.
#[derive(Debug)]
pub struct Filter {
    framer: Framer,
    pub(super) profile: Arc<Profile>,
    pub(super) lanes: Lanes,
    template: Box<Template>,
    /// Members of an event, for events of our own.
    pub(super) members: Vec<u8>,
    /// Anthropic: indexes of the blocks that were removed.
    pub(super) removed_blocks: Vec<u32>,
    pub(super) stats: Stats,
    choices: u16,
    /// Lines without data written since the last data line.
    quiet_lines: u16,
    format: Format,
    policy: Policy,
    pub(super) start: StartOverride,
    reasoning_fields: ReasoningFields,
    bypass: bool,
    /// An `id` line was written: some clients take an empty line for an event from then on.
    id_seen: bool,
    /// The last frame was written, so a LF that belongs to it is too.
    forwarded: bool,
    /// The last frame is a comment that has not ended.
    in_comment: bool,
    /// The last event was dropped.
    after_drop: bool,
    /// Nothing came since the event that was dropped but empty lines.
    blanks_go: bool,
}

impl Filter {
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let policy = spec.effective_policy();
        Self {
            framer: match spec.framing {
                Framing::Sse => Framer::Sse(sse::Framer::new()),
                Framing::Ndjson => Framer::Ndjson(ndjson::Framer::new()),
                Framing::Json => Framer::Json(Carry::new()),
            },
            profile: Arc::clone(&spec.profile),
            lanes: Lanes::default(),
            template: Box::default(),
            members: Vec::new(),
            removed_blocks: Vec::new(),
            stats: Stats::default(),
            choices: spec.choices.max(1),
            quiet_lines: 0,
            format: spec.format,
            policy,
            start: spec.start,
            reasoning_fields: spec.reasoning_fields,
            bypass: policy == Policy::Keep,
            id_seen: false,
            forwarded: true,
            in_comment: false,
            after_drop: false,
            blanks_go: false,
        }
    }

    /// Nothing that follows can be edited: the caller may forward without a call.
    #[must_use]
    pub fn bypass(&self) -> bool {
        self.bypass
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { suppressing: self.after_drop, ..self.stats }
    }

    /// Filter the bytes of one read. `out` is cleared first; its input ranges are ranges of `input`.
    pub fn feed(&mut self, input: &[u8], out: &mut Out) {
        out.clear();
        if self.bypass {
            out.sink.input(0, input.len());
            return;
        }
        if let Framer::Json(body) = &mut self.framer {
            body.add(input);
            if body.len() > WHOLE_BODY_BYTES_MAX {
                out.sink.push(&body.take());
                self.stats.over_cap += 1;
                self.bypass = true;
            }
            return;
        }
        let mut from = 0;
        loop {
            self.familiar_events(input, &mut from, out);
            if !self.bypass {
                let Some(frame) = self.framer.next(input, &mut from) else { return };
                self.frame(frame, input, out);
            }
            if self.bypass {
                out.sink.input(from, input.len());
                return;
            }
        }
    }

    /// The body has ended, or was cut: write what is held. Nothing is invented.
    pub fn finish(&mut self, out: &mut Out) {
        out.clear();
        if self.bypass {
            return;
        }
        let tail = self.framer.carry().take();
        if let Framer::Json(_) = self.framer {
            self.whole_body(&tail, None, out);
            return;
        }
        let source = Source { bytes: &tail, input_at: None };
        if tail.is_empty() {
            self.flush(More::No, &mut out.scratch, &mut out.sink);
        } else if !self.last_event(source, out) {
            self.flush(More::No, &mut out.scratch, &mut out.sink);
            if !self.is_suspicious(&tail) {
                source.copy_all(&mut out.sink);
            }
        }
        for lane in self.lanes.iter_mut() {
            lane.count_end(&mut self.stats);
        }
        self.bypass = true;
    }

    /// Edit a body as a whole.
    pub(crate) fn whole_body(&mut self, body: &[u8], input_at: Option<usize>, out: &mut Out) {
        let source = Source { bytes: body, input_at };
        let verdict = self.json(source.bytes, Span::new(0, body.len()), Stand::Whole, out);
        self.conclude(source, verdict, out);
        self.bypass = true;
    }

    fn frame(&mut self, frame: Frame, input: &[u8], out: &mut Out) {
        match frame {
            Frame::Event(Place::Input(span)) => {
                let source = Source { bytes: span.of(input), input_at: Some(span.start) };
                self.event(source, out);
            }
            Frame::Event(Place::Carried) => self.with_carried(|filter, source| filter.event(source, out)),
            Frame::Comment(span) => {
                if !self.in_comment {
                    self.blanks_go = false;
                    self.forwarded = self.has_quiet_line();
                }
                self.in_comment = !matches!(span.of(input).last(), Some(b'\n' | b'\r'));
                self.forward(span, out);
            }
            Frame::Blank(span) => {
                // The empty lines behind a dropped event go with it.
                self.forwarded = !self.blanks_go && self.has_quiet_line();
                self.forward(span, out);
            }
            Frame::Trailer(span) => self.forward(span, out),
            Frame::Oversize(place, first) => {
                self.forwarded = true;
                if first {
                    self.stats.over_cap += 1;
                    self.flush(More::Pause, &mut out.scratch, &mut out.sink);
                    self.data_line_written();
                }
                match place {
                    Place::Input(span) => out.sink.input(span.start, span.end),
                    Place::Carried => self.with_carried(|_, source| source.copy_all(&mut out.sink)),
                }
            }
            Frame::Foreign(span) => {
                out.sink.input(span.start, span.end);
                self.bypass = true;
            }
        }
    }

    fn with_carried(&mut self, work: impl FnOnce(&mut Self, Source)) {
        let carried = self.framer.carry().take();
        work(self, Source { bytes: &carried, input_at: None });
        self.framer.carry().give_back(carried);
    }

    fn forward(&mut self, span: Span, out: &mut Out) {
        if self.forwarded {
            out.sink.input(span.start, span.end);
        }
    }

    fn event(&mut self, source: Source, out: &mut Out) {
        let verdict = self.read_event(source, Stand::InStream, out).unwrap_or(Verdict::Untouched);
        self.conclude(source, verdict, out);
        self.turn_off();
    }

    /// After an event that was written: is there nothing left to do?
    fn turn_off(&mut self) -> bool {
        self.bypass |= self.forwarded && self.all_done();
        self.bypass
    }

    /// The rest of a body that ended without the end of its event. False when it is not whole.
    fn last_event(&mut self, source: Source, out: &mut Out) -> bool {
        let Some(verdict) = self.read_event(source, Stand::Last, out) else { return false };
        let mut ahead = std::mem::take(&mut out.scratch.ahead);
        let edits = std::mem::take(&mut out.scratch.edits);
        self.flush(More::No, &mut out.scratch, &mut out.sink);
        out.sink.push(&ahead);
        ahead.clear();
        out.scratch.ahead = ahead;
        out.scratch.edits = edits;
        self.conclude(source, verdict, out);
        true
    }

    /// Write an event as its verdict says.
    fn conclude(&mut self, source: Source, verdict: impl Into<Option<Verdict>>, out: &mut Out) {
        let (scratch, sink) = (&mut out.scratch, &mut out.sink);
        sink.push(&scratch.ahead);
        self.forwarded = true;
        match verdict.into().unwrap_or(Verdict::Untouched) {
            Verdict::Untouched => source.copy_all(sink),
            Verdict::Edited => {
                source.write(scratch, sink);
                self.stats.edited_events += 1;
            }
            Verdict::Dropped => {
                self.dropped();
                return;
            }
        }
        self.data_line_written();
    }

    fn dropped(&mut self) {
        self.forwarded = false;
        self.after_drop = true;
        self.blanks_go = true;
        self.stats.dropped_events += 1;
    }

    /// Write what the lanes hold in events of our own.
    pub(super) fn flush(&mut self, more: More, scratch: &mut Scratch, sink: &mut Sink) {
        let fields = self.reasoning_fields.names(self.format);
        for lane in self.lanes.iter_mut() {
            scratch.text.clear();
            scratch.thinking.clear();
            lane.settle(self.policy, &self.profile, more, scratch, &mut self.stats);
            if more == More::No {
                lane.wrap_end(&mut scratch.text);
            }
            if scratch.text.is_empty() && scratch.thinking.is_empty() {
                continue;
            }
            let says = Says { index: lane.out_index, fields, thinking: &scratch.thinking, text: &scratch.text };
            scratch.joined.clear();
            envelope::write(lane.shape, &self.members, says, &mut scratch.joined);
            sink.push(&scratch.joined);
        }
    }

    /// Every choice that was asked for is in its answer, and no member is to be removed.
    fn all_done(&self) -> bool {
        let members_matter = match self.policy {
            Policy::Keep | Policy::Separate => false,
            Policy::Strip => self.format != Format::OpenAiCompletions,
            Policy::Wrap => true,
        };
        !members_matter
            && self.lanes.len() >= usize::from(self.choices)
            && self.lanes.iter().all(|lane| lane.is_done(&self.profile))
    }

    /// May the rest of an event that was cut hold thinking?
    fn is_suspicious(&self, tail: &[u8]) -> bool {
        let members = [&b"\"reasoning"[..], b"\"thinking"];
        if self.policy == Policy::Strip && members.iter().any(|name| memchr::memmem::find(tail, name).is_some()) {
            return true;
        }
        let fresh = starting(self.start, &self.profile);
        let unseen = (self.lanes.len() < usize::from(self.choices)).then_some(&fresh);
        let mut splitters = self.lanes.iter().map(|lane| &lane.splitter).chain(unseen);
        self.policy != Policy::Wrap && splitters.any(|splitter| splitter.may_think(&self.profile, tail))
    }
}
