//! The policy that writes members for thinking as blocks in the text.

use super::{Context, Effect, Lane, mark, more};
use crate::wire::think::chat;
use crate::wire::think::scratch::{Choice, Name, Scratch, Text};
use crate::wire::think::splitter::More;

const WRAP_OPEN: &[u8] = b"<think>\\n";
const WRAP_CLOSE: &[u8] = b"\\n</think>\\n\\n";
const WRAP_AGAIN: &[u8] = b"\\n\\n";

impl Lane {
    /// Wrap: a text with nothing before it to close passes as it is.
    pub(crate) fn passes_wrap(&mut self, text: &[u8]) -> Option<bool> {
        if self.wrapped {
            return None;
        }
        self.said |= !text.is_empty();
        Some(true)
    }

    pub(super) fn wrap_choice(&mut self, cx: &Context, choice: &Choice, scratch: &mut Scratch) -> Effect {
        let fields = scratch.reasons[choice.reasons.clone()].iter();
        let fields = fields.filter(|r| r.name < Name::Part && r.text().is_some_and(|text| !text.is_empty()));
        let field = fields.min_by_key(|r| r.name).copied();
        let mut lead = std::mem::take(&mut scratch.thinking);
        let mut touched = false;
        if let Some(reason) = field {
            lead.extend_from_slice(self.wrap_open());
            lead.extend_from_slice(reason.text().unwrap_or_default().of(cx.bytes));
            for nth in choice.reasons.clone() {
                let reason = scratch.reasons[nth];
                if reason.name != Name::Part {
                    mark(scratch, &reason);
                }
            }
            touched = true;
        }
        let ends = more(cx, choice) != More::Yes;
        let last = choice.texts.end.wrapping_sub(1);
        let mut done_parts = choice.reasons.start;
        for nth in choice.texts.clone() {
            let text = scratch.texts[nth];
            touched |= self.wrap_parts(cx, choice, &mut done_parts, text.body.start, scratch);
            let says = !text.null && !text.body.is_empty();
            if says && std::mem::take(&mut self.wrapped) {
                lead.extend_from_slice(WRAP_CLOSE);
            }
            self.said |= says;
            let tail =
                if ends && nth == last && self.close_now(choice, done_parts, scratch) { WRAP_CLOSE } else { b"" };
            touched |= put_around(text, &lead, tail, scratch);
            lead.clear();
        }
        touched |= self.wrap_parts(cx, choice, &mut done_parts, usize::MAX, scratch);
        if ends && std::mem::take(&mut self.wrapped) {
            lead.extend_from_slice(WRAP_CLOSE);
        }
        if !lead.is_empty() {
            std::mem::swap(&mut lead, &mut scratch.text);
            self.put_settled(cx, choice, scratch);
            touched = true;
        }
        lead.clear();
        scratch.thinking = lead;
        if let Some(span) = choice.logprobs.filter(|_| touched) {
            scratch.replace(span, &[b"null"]);
        }
        Effect { alive: true, emptied: false }
    }

    fn wrap_open(&mut self) -> &'static [u8] {
        const AGAIN: &[u8] = b"\\n\\n<think>\\n";
        const _: () = assert!(AGAIN.len() == WRAP_AGAIN.len() + WRAP_OPEN.len());
        match (std::mem::replace(&mut self.wrapped, true), self.said) {
            (true, _) => b"",
            (false, false) => WRAP_OPEN,
            (false, true) => AGAIN,
        }
    }

    /// The block ends with the last text of the event, unless a part with thinking stands behind it.
    fn close_now(&mut self, choice: &Choice, done: usize, scratch: &Scratch) -> bool {
        let behind = scratch.reasons[done..choice.reasons.end].iter().any(|reason| reason.name == Name::Part);
        !behind && std::mem::take(&mut self.wrapped)
    }

    /// Turn the parts with thinking in front of `before` into parts with text.
    fn wrap_parts(
        &mut self,
        cx: &Context,
        choice: &Choice,
        done: &mut usize,
        before: usize,
        scratch: &mut Scratch,
    ) -> bool {
        let mut touched = false;
        while *done < choice.reasons.end && scratch.reasons[*done].value.span.start < before {
            let reason = scratch.reasons[*done];
            *done += 1;
            if reason.name != Name::Part {
                continue;
            }
            let mut thought = std::mem::take(&mut scratch.repeated);
            thought.clear();
            chat::texts_of(cx.bytes, reason.value, &mut thought);
            if thought.is_empty() {
                scratch.repeated = thought;
                continue;
            }
            let open = self.wrap_open();
            let behind = scratch.reasons[*done..choice.reasons.end].iter().any(|reason| reason.name == Name::Part)
                || scratch.texts[choice.texts.clone()].iter().any(|text| text.body.start > reason.value.span.start);
            let close = if !behind && more(cx, choice) != More::Yes && std::mem::take(&mut self.wrapped) {
                WRAP_CLOSE
            } else {
                b""
            };
            let part = scratch.parts[reason.item].span;
            scratch.replace(part, &[b"{\"type\":\"text\",\"text\":\"", open, &thought, close, b"\"}"]);
            scratch.repeated = thought;
            touched = true;
        }
        touched
    }

    /// The close that is still to come when the answer ends without an event that says so.
    pub(crate) fn wrap_end(&mut self, text: &mut Vec<u8>) {
        if std::mem::take(&mut self.wrapped) {
            text.extend_from_slice(WRAP_CLOSE);
        }
    }
}

/// Put bytes in front of and behind a text.
fn put_around(text: Text, lead: &[u8], tail: &[u8], scratch: &mut Scratch) -> bool {
    if lead.is_empty() && tail.is_empty() {
        return false;
    }
    if text.null {
        scratch.replace(text.body, &[b"\"", lead, tail, b"\""]);
        return true;
    }
    if text.body.is_empty() {
        scratch.insert(text.body.start, &[lead, tail]);
        return true;
    }
    if !lead.is_empty() {
        scratch.insert(text.body.start, &[lead]);
    }
    if !tail.is_empty() {
        scratch.insert(text.body.end, &[tail]);
    }
    true
}
