//! Reads an event and lets each choice's lane work on its part.

use std::sync::Arc;

use super::lanes::starting;
use super::{Filter, Framer};
use crate::wire::json::edit::{Item, remove_marked};
use crate::wire::json::scan::Span;
use crate::wire::sse;
use crate::wire::think::chat::{self, Family};
use crate::wire::think::envelope::{self, Shape};
use crate::wire::think::lane::{Context, Effect, Lane};
use crate::wire::think::scratch::{Choice, Head, Scratch};
use crate::wire::think::source::{Source, Stand, Verdict};
use crate::wire::think::splitter::More;
use crate::wire::think::{Format, Out};

impl Filter {
    /// Find the JSON text of an event and work on it. `None` when there is none.
    pub(super) fn read_event(&mut self, source: Source, stand: Stand, out: &mut Out) -> Option<Verdict> {
        out.scratch.clear();
        let Framer::Sse(framer) = &self.framer else {
            return self.json_or_mark(source.bytes, Span::new(0, source.bytes.len()), stand, out);
        };
        let one_line = framer.has_one_line();
        let fields = if one_line { sse::fields_of_line(source.bytes) } else { sse::fields(source.bytes) };
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

    pub(super) fn json_or_mark(&mut self, bytes: &[u8], span: Span, stand: Stand, out: &mut Out) -> Option<Verdict> {
        if span.of(bytes).trim_ascii() == b"[DONE]" {
            self.flush(More::No, &mut out.scratch, &mut out.sink);
            return Some(Verdict::Untouched);
        }
        self.json(bytes, span, stand, out)
    }

    /// Work on the JSON text of an event. `None` when it is not JSON.
    pub(super) fn json(&mut self, bytes: &[u8], span: Span, stand: Stand, out: &mut Out) -> Option<Verdict> {
        let (scratch, sink) = (&mut out.scratch, &mut out.sink);
        scratch.clear();
        let (event, bytes) = (bytes, &bytes[..span.end]);
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
        let verdict = self.choices(bytes, &head, stand, scratch);
        if self.is_plain_event(stand) {
            self.template.learn(event, self.framer.event_end(), &head, scratch);
        }
        Some(verdict)
    }

    /// Let each lane of an event work.
    pub(in crate::wire::think) fn choices(
        &mut self,
        bytes: &[u8],
        head: &Head,
        stand: Stand,
        scratch: &mut Scratch,
    ) -> Verdict {
        let profile = Arc::clone(&self.profile);
        let cx = Context {
            policy: self.policy,
            profile: &profile,
            fields: self.reasoning_fields.names(self.format),
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
