//! Puts tool calls together that arrive in fragments (`protocols.md` §3.5).

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Call;
use super::events::CallWire;
use super::unstorable::Unstorable;
use crate::base::bounds::ANSWER_TOOL_CALLS_MAX;

#[derive(Debug, Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Slot {
    /// Nothing more can belong to it: its arguments are a whole JSON value.
    fn is_complete(&self) -> bool {
        !self.arguments.trim().is_empty() && serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok()
    }
}

/// All calls of one answer, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Calls {
    slots: Vec<Slot>,
    current: usize,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Takes a fragment. The number of bytes that it added.
    pub(super) fn add(&mut self, wire: &CallWire<'_>) -> Result<usize, Unstorable> {
        if wire.kind.as_deref().is_some_and(|kind| kind != "function" && !kind.is_empty()) {
            return Err(Unstorable::Unsupported);
        }
        if wire.extra_content.as_ref().is_some_and(|extra| extra.0) {
            return Err(Unstorable::Unsupported);
        }
        let function = wire.function.as_ref();
        let id = wire.id.as_deref().unwrap_or_default();
        let name = function.and_then(|function| function.name.as_deref()).unwrap_or_default();
        let arguments = function.and_then(|function| function.arguments).map(text_of).transpose()?;
        let at = self.slot_for(wire.index, id, name)?;
        self.current = at;
        let slot = &mut self.slots[at];
        if slot.id.is_empty() {
            slot.id.push_str(id);
        }
        if slot.name != name && !name.is_empty() {
            // Whether this is a better name or the next part of one is not told; the answer is not worth a guess.
            if !slot.name.is_empty() {
                return Err(Unstorable::Unsupported);
            }
            slot.name.push_str(name);
        }
        let arguments = arguments.unwrap_or_default();
        slot.arguments.push_str(&arguments);
        Ok(id.len() + name.len() + arguments.len())
    }

    /// A call that arrived whole, as Ollama sends it; its index says nothing.
    pub(super) fn add_whole(&mut self, wire: &CallWire<'_>) -> Result<usize, Unstorable> {
        let next = self.new_slot(None)?;
        self.current = next;
        let function = wire.function.as_ref().ok_or(Unstorable::ToolCall)?;
        let name = function.name.as_deref().unwrap_or_default();
        let arguments = function.arguments.map(text_of).transpose()?.unwrap_or_default();
        let slot = &mut self.slots[next];
        slot.id.push_str(wire.id.as_deref().unwrap_or_default());
        slot.name.push_str(name);
        slot.arguments.push_str(&arguments);
        Ok(slot.id.len() + name.len() + arguments.len())
    }

    fn slot_for(&mut self, index: Option<u64>, id: &str, name: &str) -> Result<usize, Unstorable> {
        if let Some(index) = index {
            let Some(at) = self.slots.iter().rposition(|slot| slot.index == Some(index)) else {
                return self.new_slot(Some(index));
            };
            let slot = &self.slots[at];
            // Old servers give every call the index 0: a new id after a whole call begins another one.
            let other = !id.is_empty() && !slot.id.is_empty() && slot.id != id;
            return if other { self.new_slot(Some(index)) } else { Ok(at) };
        }
        if !id.is_empty() {
            return match self.slots.iter().position(|slot| slot.id == id) {
                Some(at) => Ok(at),
                None => self.new_slot(None),
            };
        }
        match self.slots.get(self.current) {
            Some(slot) if name.is_empty() || !slot.is_complete() => Ok(self.current),
            _ => self.new_slot(None),
        }
    }

    fn new_slot(&mut self, index: Option<u64>) -> Result<usize, Unstorable> {
        if self.slots.len() >= ANSWER_TOOL_CALLS_MAX {
            return Err(Unstorable::TooLarge);
        }
        self.slots.push(Slot { index, ..Slot::default() });
        Ok(self.slots.len() - 1)
    }

    /// The calls, each with a name and with arguments that are a whole JSON object.
    pub(super) fn finish(self) -> Result<Vec<Call<'static>>, Unstorable> {
        self.slots.into_iter().map(finish).collect()
    }
}

fn finish(slot: Slot) -> Result<Call<'static>, Unstorable> {
    let trimmed = slot.arguments.trim();
    let arguments = if trimmed.is_empty() { "{}".to_owned() } else { trimmed.to_owned() };
    let whole = arguments.starts_with('{') && serde_json::from_str::<&RawValue>(&arguments).is_ok();
    if slot.name.is_empty() || !whole {
        return Err(Unstorable::ToolCall);
    }
    Ok(Call { id: Cow::Owned(slot.id), name: Cow::Owned(slot.name), arguments: Cow::Owned(arguments) })
}

/// Arguments come as a string that holds JSON, or as the JSON itself.
fn text_of(raw: &RawValue) -> Result<Cow<'_, str>, Unstorable> {
    if raw.get().starts_with('"') {
        serde_json::from_str::<String>(raw.get()).map(Cow::Owned).map_err(|_| Unstorable::Unreadable)
    } else {
        Ok(Cow::Borrowed(raw.get()))
    }
}
