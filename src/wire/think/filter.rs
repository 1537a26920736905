//! The filter of one stream: cuts it into events, lets the lanes edit them, and puts the output together from ranges of
//! what it was given.

use std::sync::Arc;

use super::chat::{self, Family};
use super::envelope::{self, Says, Shape};
use super::lane::{Context, Effect, Lane};
use super::out::{Out, Sink};
use super::scratch::{Choice, Head, Scratch};
use super::splitter::{More, Splitter};
use super::{Format, Framing, Policy, Profile, Spec, StartOverride, Stats};
use crate::base::bounds::{CHOICES_MAX, QUIET_LINES_MAX, WHOLE_BODY_BYTES_MAX};
use crate::wire::json::edit::{Item, remove_marked};
use crate::wire::json::scan::Span;
use crate::wire::sse::{self, Frame, Place};
use crate::wire::{ndjson, think};

/// Takes the thinking out of one answer. Made for each request: small, and cheap to make.
#[derive(Debug)]
pub struct Filter {
    framer: Framer,
    pub(super) profile: Arc<Profile>,
    pub(crate) lanes: Lanes,
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
    fields: &'static [&'static str],
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

#[derive(Debug)]
enum Framer {
    Sse(sse::Framer),
    Ndjson(ndjson::Framer),
    Json(Vec<u8>),
}

impl Framer {
    #[inline]
    fn next(&mut self, input: &[u8], from: &mut usize) -> Option<Frame> {
        match self {
            Self::Sse(framer) => framer.next(input, from),
            Self::Ndjson(framer) => framer.next(input, from),
            Self::Json(_) => None,
        }
    }

    fn take_carried(&mut self) -> Vec<u8> {
        match self {
            Self::Sse(framer) => framer.take_carried(),
            Self::Ndjson(framer) => framer.take_carried(),
            Self::Json(body) => std::mem::take(body),
        }
    }

    fn give_back(&mut self, carry: Vec<u8>) {
        match self {
            Self::Sse(framer) => framer.give_back(carry),
            Self::Ndjson(framer) => framer.give_back(carry),
            Self::Json(body) => *body = carry,
        }
    }
}

/// The choices seen so far; nearly always one.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    first: Option<Lane>,
    rest: Vec<Lane>,
}

impl Lanes {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.first.iter_mut().chain(&mut self.rest)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// The lane of a choice; `None` when there are too many.
    #[inline]
    pub(crate) fn get(&mut self, index: u32, new: impl Fn() -> Lane) -> Option<&mut Lane> {
        let first = self.first.get_or_insert_with(&new);
        if first.index == index {
            return Some(first);
        }
        let place = match self.rest.iter().position(|lane| lane.index == index) {
            Some(place) => place,
            None if self.rest.len() + 1 >= CHOICES_MAX => return None,
            None => {
                self.rest.push(new());
                self.rest.len() - 1
            }
        };
        self.rest.get_mut(place)
    }
}

/// An event: its bytes, and where they are in the input if they are there.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) input_at: Option<usize>,
}

impl Source<'_> {
    fn copy(&self, from: usize, to: usize, sink: &mut Sink) {
        match self.input_at {
            Some(at) => sink.input(at + from, at + to),
            None => sink.push(&self.bytes[from..to]),
        }
    }

    pub(crate) fn copy_all(&self, sink: &mut Sink) {
        self.copy(0, self.bytes.len(), sink);
    }

    /// Write the event with the edits of `scratch`.
    pub(crate) fn write(&self, scratch: &mut Scratch, sink: &mut Sink) {
        scratch.edits.sort_by_key(|edit| (edit.cut.start, edit.cut.end));
        let mut at = 0;
        for edit in &scratch.edits {
            if edit.cut.start < at {
                continue;
            }
            self.copy(at, edit.cut.start, sink);
            sink.push(edit.put.of(&scratch.put));
            at = edit.cut.end;
        }
        self.copy(at, self.bytes.len(), sink);
    }
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it as it is.
    Untouched,
    /// Write it with the edits.
    Edited,
    Dropped,
}

/// Where an event stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    InStream,
    /// Nothing follows: every text ends.
    Last,
    /// A whole body: every text ends, and nothing can be put in front.
    Whole,
}

impl Filter {
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let policy = spec.effective_policy();
        Self {
            framer: match spec.framing {
                Framing::Sse => Framer::Sse(sse::Framer::new()),
                Framing::Ndjson => Framer::Ndjson(ndjson::Framer::new()),
                Framing::Json => Framer::Json(Vec::new()),
            },
            profile: Arc::clone(&spec.profile),
            lanes: Lanes::default(),
            members: Vec::new(),
            removed_blocks: Vec::new(),
            stats: Stats::default(),
            choices: spec.choices.max(1),
            quiet_lines: 0,
            format: spec.format,
            policy,
            start: spec.start,
            fields: spec.fields(),
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
            body.extend_from_slice(input);
            if body.len() > WHOLE_BODY_BYTES_MAX {
                out.sink.push(&std::mem::take(body));
                self.stats.over_cap += 1;
                self.bypass = true;
            }
            return;
        }
        let mut from = 0;
        while let Some(frame) = self.framer.next(input, &mut from) {
            self.frame(frame, input, out);
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
        let tail = self.framer.take_carried();
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
            lane.count_end(&self.profile, &mut self.stats);
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

    /// A sign of life for the client, to be called when nothing was written for some seconds while
    /// [`Stats::suppressing`]. False when none may be written now.
    pub fn heartbeat(&mut self, out: &mut Vec<u8>) -> bool {
        if self.bypass || self.in_comment {
            return false;
        }
        match &mut self.framer {
            Framer::Sse(framer) if framer.between_lines() => {
                framer.overtaken();
                let chat = matches!(self.format, Format::OpenAiChat | Format::OpenAiCompletions);
                if self.quiet_lines >= QUIET_LINES_MAX && chat && !self.members.is_empty() {
                    self.empty_event(out);
                    self.quiet_lines = 0;
                } else {
                    out.extend_from_slice(if self.id_seen { b": thinking\n" } else { b": thinking\n\n" });
                    self.quiet_lines = self.quiet_lines.saturating_add(if self.id_seen { 1 } else { 2 });
                }
                true
            }
            Framer::Ndjson(framer) if framer.between_lines() && !self.members.is_empty() => {
                self.empty_event(out);
                true
            }
            _ => false,
        }
    }

    fn empty_event(&self, out: &mut Vec<u8>) {
        let lane = self.lanes.iter().next();
        let shape = lane.map_or(self.shape(&Head::default(), false), |lane| lane.shape);
        let says = Says { index: lane.map_or(0, |lane| lane.out_index), fields: &[], thinking: b"", text: b"" };
        envelope::write(shape, &self.members, says, out);
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

    /// One more line without data; false when thinking is suppressed and clients would give up.
    fn has_quiet_line(&mut self) -> bool {
        let may = !self.after_drop || self.quiet_lines < QUIET_LINES_MAX;
        self.quiet_lines = self.quiet_lines.saturating_add(u16::from(may));
        may
    }

    fn with_carried(&mut self, work: impl FnOnce(&mut Self, Source)) {
        let carried = self.framer.take_carried();
        work(self, Source { bytes: &carried, input_at: None });
        self.framer.give_back(carried);
    }

    fn forward(&mut self, span: Span, out: &mut Out) {
        if self.forwarded {
            out.sink.input(span.start, span.end);
        }
    }

    fn data_line_written(&mut self) {
        self.quiet_lines = 0;
        self.after_drop = false;
        self.blanks_go = false;
    }

    fn event(&mut self, source: Source, out: &mut Out) {
        let verdict = self.read_event(source, Stand::InStream, out).unwrap_or(Verdict::Untouched);
        self.conclude(source, verdict, out);
        if self.forwarded && self.all_done() {
            self.bypass = true;
        }
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

    /// Find the JSON text of an event and work on it. `None` when there is none.
    fn read_event(&mut self, source: Source, stand: Stand, out: &mut Out) -> Option<Verdict> {
        out.scratch.clear();
        let Framer::Sse(_) = self.framer else {
            return self.json_or_mark(source.bytes, Span::new(0, source.bytes.len()), stand, out);
        };
        let fields = sse::fields(source.bytes);
        self.id_seen |= fields.id;
        match fields.data_lines {
            0 => None,
            1 => self.json_or_mark(source.bytes, fields.data, stand, out),
            _ => {
                let mut values = std::mem::take(&mut out.scratch.values);
                let span = Span::new(fields.data.start, source.bytes.len());
                let whole_strings = sse::only_values(source.bytes, &mut values);
                let verdict = whole_strings.then(|| self.json_or_mark(&values, span, stand, out)).flatten();
                out.scratch.values = values;
                verdict
            }
        }
    }

    fn json_or_mark(&mut self, bytes: &[u8], span: Span, stand: Stand, out: &mut Out) -> Option<Verdict> {
        if span.of(bytes).trim_ascii() == b"[DONE]" {
            self.flush(More::No, &mut out.scratch, &mut out.sink);
            return Some(Verdict::Untouched);
        }
        self.json(bytes, span, stand, out)
    }

    /// Work on the JSON text of an event. `None` when it is not JSON.
    fn json(&mut self, bytes: &[u8], span: Span, stand: Stand, out: &mut Out) -> Option<Verdict> {
        let (scratch, sink) = (&mut out.scratch, &mut out.sink);
        scratch.clear();
        let bytes = &bytes[..span.end];
        let family = match self.format {
            Format::OllamaChat | Format::OllamaGenerate => Family::Ollama,
            Format::OpenAiChat | Format::OpenAiCompletions => Family::OpenAi,
            Format::AnthropicMessages => return self.anthropic(bytes, span.start, stand, scratch, sink),
            Format::OpenAiResponses => return self.responses(bytes, span.start, stand, scratch, sink),
        };
        let head = chat::read(family, bytes, span.start, scratch).ok()?;
        if head.error && stand == Stand::InStream && scratch.choices.iter().all(|choice| !choice.ends) {
            self.flush(More::No, scratch, sink);
        }
        Some(self.choices(bytes, &head, stand, scratch))
    }

    /// Let each lane of an event work.
    pub(super) fn choices(&mut self, bytes: &[u8], head: &Head, stand: Stand, scratch: &mut Scratch) -> Verdict {
        let profile = Arc::clone(&self.profile);
        let cx = Context {
            policy: self.policy,
            profile: &profile,
            fields: self.fields,
            bytes,
            envelope: &head.envelope,
            stand,
        };
        let choices = std::mem::take(&mut scratch.choices);
        let mut all = Effect { alive: head.keeps, emptied: false };
        for choice in &choices {
            let shape = self.shape(head, choice.legacy);
            let start = self.start;
            let Some(lane) = self.lanes.get(choice.index, || Lane::new(choice.index, shape, starting(start, &profile)))
            else {
                self.stats.over_cap += 1;
                all.alive = true;
                continue;
            };
            lane.shape = shape;
            let effect = lane.apply(&cx, choice, scratch, &mut self.stats);
            all.alive |= effect.alive;
            all.emptied |= effect.emptied;
            mark_edits(choice, scratch);
        }
        scratch.choices = choices;
        let verdict = match () {
            () if all.emptied && !all.alive && stand != Stand::Whole => Verdict::Dropped,
            () if scratch.edits.is_empty() => Verdict::Untouched,
            () => Verdict::Edited,
        };
        let needed = verdict == Verdict::Dropped || self.lanes.iter().any(|lane| lane.wrapped || !lane.held.is_empty());
        if needed && self.members.is_empty() {
            envelope::render(&head.envelope, bytes, &mut self.members);
        }
        verdict
    }

    pub(super) fn shape(&self, head: &Head, legacy: bool) -> Shape {
        match self.format {
            Format::OllamaChat | Format::OllamaGenerate if head.in_message => Shape::OllamaChat,
            Format::OllamaChat | Format::OllamaGenerate => Shape::OllamaGenerate,
            Format::AnthropicMessages => Shape::Anthropic,
            Format::OpenAiResponses => Shape::Responses,
            _ if legacy => Shape::Legacy,
            _ => Shape::Chat,
        }
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
                self.forwarded = false;
                self.after_drop = true;
                self.blanks_go = true;
                self.stats.dropped_events += 1;
                return;
            }
        }
        self.data_line_written();
    }

    /// Write what the lanes hold in events of our own.
    pub(super) fn flush(&mut self, more: More, scratch: &mut Scratch, sink: &mut Sink) {
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
            let says =
                Says { index: lane.out_index, fields: self.fields, thinking: &scratch.thinking, text: &scratch.text };
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

/// The splitter of a choice that begins.
pub(crate) fn starting(start: StartOverride, profile: &Profile) -> Splitter {
    match start {
        StartOverride::Prefill if profile.start == think::Start::Inside => Splitter::answering(profile),
        StartOverride::Inside => Splitter::thinking(profile),
        _ => Splitter::new(),
    }
}

/// Edits for the members and parts of a choice that were marked.
fn mark_edits(choice: &Choice, scratch: &mut Scratch) {
    let any = |items: &[Item]| items.iter().any(|item| item.remove);
    for object in &scratch.objects[choice.objects.clone()] {
        if any(&scratch.members[object.clone()]) {
            remove_marked(&scratch.members[object.clone()], &mut scratch.edits);
        }
    }
    for list in &scratch.lists[choice.lists.clone()] {
        if any(&scratch.parts[list.clone()]) {
            remove_marked(&scratch.parts[list.clone()], &mut scratch.edits);
        }
    }
}
