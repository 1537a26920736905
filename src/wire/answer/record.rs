//! Listens to an upstream's reply and keeps the answer if it may be kept.

use super::calls::Calls;
use super::events::{Choice, Content, Delta, Embedding, Many, Ollama, OpenAi, Text, UsageWire};
use super::frame::{Frame, Item, TooLong};
use super::json::{base64_decode, is_number_array, join_surrogates};
use super::unstorable::Unstorable;
use super::{Answer, Family, Finish, Kind, Piece, ReasoningField, Usage, Vector};
use crate::base::bounds::ANSWER_BYTES_MAX;
use crate::wire::think::Framing;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A longer name of a model is not kept; the client's is then shown.
const MODEL_BYTES_MAX: usize = 256;

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its length or last chunk was reached.
    Whole,
    /// The connection ended and nothing had announced how long the body is: only an end mark inside can tell.
    Closed,
    /// Aborted by either side, or an announced end was not reached.
    Cut,
}

#[derive(Debug)]
enum Raw {
    Text(Vec<u8>),
    Thinking(Vec<u8>),
    /// The n-th call.
    Call(usize),
}

/// Feed it the decoded body, before any filter.
#[derive(Debug)]
pub struct Recorder {
    frame: Option<Frame>,
    take: Take,
}

impl Recorder {
    /// `kind` and `form` are the upstream's. `tool_calls`: keep answers that call tools.
    #[must_use]
    pub fn new(kind: Kind, form: Framing, status: u16, tool_calls: bool) -> Self {
        let mut take = Take::new(kind, tool_calls);
        if status != 200 {
            take.failed = Some(Unstorable::Status);
        }
        Self { frame: Some(Frame::new(form)), take }
    }

    /// The next bytes of the body, cut anywhere. Cheap once the answer is given up.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some(frame) = &mut self.frame else { return };
        let take = &mut self.take;
        if take.failed.is_none() && frame.feed(bytes, &mut |item| take.item(item)).is_err() {
            take.failed = Some(Unstorable::TooLarge);
        }
        if take.failed.is_some() {
            // What was collected is of no use any more.
            self.frame = None;
            take.pieces = Vec::new();
        }
    }

    /// Already known that nothing will be kept, and why.
    #[must_use]
    pub fn given_up(&self) -> Option<Unstorable> {
        self.take.failed
    }

    /// The answer, if it may be kept.
    ///
    /// # Errors
    /// Says why not.
    pub fn finish(self, end: End) -> Result<Answer<'static>, Unstorable> {
        self.close(end).and_then(|take| take.finish(end, false))
    }

    /// The answer for somebody who waits for this one: it may also have reached a limit.
    ///
    /// # Errors
    /// Says why it can't be told.
    pub fn finish_told(self, end: End) -> Result<Answer<'static>, Unstorable> {
        self.close(end).and_then(|take| take.finish(end, true))
    }

    fn close(mut self, end: End) -> Result<Take, Unstorable> {
        if let Some(failed) = self.take.failed {
            return Err(failed);
        }
        if end == End::Cut {
            return Err(Unstorable::Unfinished);
        }
        let take = &mut self.take;
        if let Some(frame) = self.frame.take() {
            let whole_json = frame.form() == Framing::Json;
            frame.finish(&mut |item| take.item(item)).map_err(|TooLong| Unstorable::TooLarge)?;
            // A body that could be read to its last brace is whole.
            take.ended |= whole_json;
        }
        Ok(self.take)
    }
}

/// What was gathered so far.
#[derive(Debug)]
struct Take {
    kind: Kind,
    tool_calls: bool,
    pieces: Vec<Raw>,
    calls: Calls,
    vectors: Vec<(u64, Vector<'static>)>,
    bytes: usize,
    /// As the upstream calls it.
    model: String,
    field: ReasoningField,
    /// `Some(None)`: a reason that can't be kept.
    finish: Option<Option<Finish>>,
    usage: Option<Usage>,
    state: Vec<u32>,
    /// `[DONE]`, `done: true`, or a whole JSON body.
    ended: bool,
    failed: Option<Unstorable>,
}

impl Take {
    fn new(kind: Kind, tool_calls: bool) -> Self {
        Self {
            kind,
            tool_calls,
            pieces: Vec::new(),
            calls: Calls::default(),
            vectors: Vec::new(),
            bytes: 0,
            model: String::new(),
            field: ReasoningField::None,
            finish: None,
            usage: None,
            state: Vec::new(),
            ended: false,
            failed: None,
        }
    }

    fn item(&mut self, item: Item<'_>) {
        if self.failed.is_some() || self.ended {
            return;
        }
        let result = match item {
            Item::Done => {
                self.ended = true;
                Ok(())
            }
            Item::Error => Err(Unstorable::Error),
            Item::Json(text) if self.kind.is_openai() => parse(text).and_then(|event| self.openai(event)),
            Item::Json(text) => parse(text).and_then(|event| self.ollama(event)),
        };
        self.failed = result.err();
    }

    fn openai(&mut self, event: OpenAi<'_>) -> Result<(), Unstorable> {
        if event.error.is_some() {
            return Err(Unstorable::Error);
        }
        if any([&event.citations, &event.search_results, &event.related_questions, &event.images]) {
            return Err(Unstorable::Unsupported);
        }
        self.served(event.model);
        if let Some(usage) = event.usage {
            self.usage = Some(counts(&usage));
        }
        let choices = event.choices.unwrap_or_default();
        if choices.len() > 1 {
            return Err(Unstorable::ManyAnswers);
        }
        for choice in choices {
            self.choice(choice)?;
        }
        let embeddings = event.data.into_iter().flatten().enumerate();
        for (at, Embedding { index, embedding }) in embeddings {
            self.vector(index.unwrap_or(at as u64), embedding)?;
        }
        Ok(())
    }

    fn choice(&mut self, choice: Choice<'_>) -> Result<(), Unstorable> {
        if choice.index.is_some_and(|index| index != 0) {
            return Err(Unstorable::ManyAnswers);
        }
        if choice.error.is_some() {
            return Err(Unstorable::Error);
        }
        if any([&choice.logprobs, &choice.token_ids, &choice.hidden_states]) {
            return Err(Unstorable::Unsupported);
        }
        if let Some(delta) = choice.delta {
            self.delta(delta)?;
        }
        self.text(false, choice.text.as_ref())?;
        if let Some(reason) = choice.finish_reason {
            self.finish = Some(match reason.as_ref() {
                "stop" => Some(Finish::Stop),
                "tool_calls" => Some(Finish::ToolCalls),
                "length" => Some(Finish::Length),
                _ => None,
            });
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta<'_>) -> Result<(), Unstorable> {
        let beyond = delta.function_call.is_some()
            || delta.audio.is_some()
            || any([&delta.annotations, &delta.images, &delta.thinking_blocks, &delta.extra_content])
            || delta.refusal.is_some_and(|text| !text.0.is_empty());
        if beyond {
            return Err(Unstorable::Unsupported);
        }
        let content_field = delta.reasoning_content.as_ref().filter(|text| !text.0.is_empty());
        let plain_field = delta.reasoning.as_ref().filter(|text| !text.0.is_empty());
        let told = content_field.is_some() || plain_field.is_some();
        match (content_field, plain_field) {
            (Some(one), Some(other)) if one.0 != other.0 => return Err(Unstorable::Unsupported),
            (Some(_), Some(_)) => self.field = ReasoningField::Both,
            (Some(_), None) => self.field = ReasoningField::Content,
            (None, Some(_)) => self.field = ReasoningField::Plain,
            (None, None) => {}
        }
        self.text(true, content_field.or(plain_field))?;
        for detail in delta.reasoning_details.into_iter().flatten() {
            if detail.signature.is_some() || detail.data.is_some() {
                return Err(Unstorable::Unsupported);
            }
            if !told {
                self.text(true, detail.text.or(detail.summary).as_ref())?;
            }
        }
        self.content(delta.content)?;
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(|calls| calls.add(&call))?;
        }
        Ok(())
    }

    fn content(&mut self, content: Option<Content<'_>>) -> Result<(), Unstorable> {
        match content {
            None => Ok(()),
            Some(Content::Text(text)) => self.text(false, Some(&text)),
            Some(Content::Parts(parts)) => parts.into_iter().try_for_each(|part| match part.kind.as_deref() {
                Some("text") => self.text(false, part.text.as_ref()),
                Some("thinking") => {
                    part.thinking.into_iter().flatten().try_for_each(|inner| self.text(true, inner.text.as_ref()))
                }
                _ => Err(Unstorable::Unsupported),
            }),
        }
    }

    fn ollama(&mut self, event: Ollama<'_>) -> Result<(), Unstorable> {
        if event.error.is_some() {
            return Err(Unstorable::Error);
        }
        if any([&event.logprobs]) {
            return Err(Unstorable::Unsupported);
        }
        self.served(event.model);
        let before = self.pieces.len();
        self.text(true, event.thinking.as_ref())?;
        self.text(false, event.response.as_ref())?;
        let mut calls = event.tool_calls.unwrap_or_default();
        if let Some(message) = event.message {
            if any([&message.images]) {
                return Err(Unstorable::Unsupported);
            }
            self.text(true, message.thinking.as_ref())?;
            self.text(false, message.content.as_ref())?;
            calls.extend(message.tool_calls.into_iter().flatten());
        }
        for call in &calls {
            self.call(|calls| calls.add_whole(call))?;
        }
        if self.pieces[before..].iter().any(|piece| matches!(piece, Raw::Thinking(_))) {
            self.field = ReasoningField::Thinking;
        }
        if event.prompt_eval_count.is_some() || event.eval_count.is_some() {
            let (prompt, completion) = (event.prompt_eval_count.unwrap_or(0), event.eval_count.unwrap_or(0));
            self.usage =
                Some(Usage { prompt, completion, total: prompt.saturating_add(completion), ..Usage::default() });
        }
        if let Some(context) = event.context {
            self.grow(context.len() * 5)?;
            self.state = context;
        }
        for (at, vector) in event.embeddings.into_iter().flatten().chain(event.embedding).enumerate() {
            self.vector(at as u64, vector)?;
        }
        if event.done == Some(true) {
            self.ended = true;
            self.finish = Some(match event.done_reason.as_deref() {
                Some("stop") => Some(Finish::Stop),
                Some("length") => Some(Finish::Length),
                _ => None,
            });
        }
        Ok(())
    }

    /// The first name counts: routers say which model they chose.
    fn served(&mut self, model: Option<Cow<'_, str>>) {
        if self.model.is_empty()
            && let Some(model) = model.filter(|model| model.len() <= MODEL_BYTES_MAX)
        {
            self.model = model.into_owned();
        }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Unstorable> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > ANSWER_BYTES_MAX { Err(Unstorable::TooLarge) } else { Ok(()) }
    }

    fn text(&mut self, thinking: bool, text: Option<&Text<'_>>) -> Result<(), Unstorable> {
        let Some(Text(bytes)) = text.filter(|text| !text.0.is_empty()) else { return Ok(()) };
        self.grow(bytes.len())?;
        match self.pieces.last_mut() {
            Some(Raw::Text(last)) if !thinking => last.extend_from_slice(bytes),
            Some(Raw::Thinking(last)) if thinking => last.extend_from_slice(bytes),
            _ if thinking => self.pieces.push(Raw::Thinking(bytes.to_vec())),
            _ => self.pieces.push(Raw::Text(bytes.to_vec())),
        }
        Ok(())
    }

    fn call(&mut self, add: impl FnOnce(&mut Calls) -> Result<usize, Unstorable>) -> Result<(), Unstorable> {
        if !self.tool_calls {
            return Err(Unstorable::ToolCall);
        }
        let before = self.calls.len();
        let bytes = add(&mut self.calls)?;
        if self.calls.len() > before {
            self.pieces.push(Raw::Call(before));
        }
        self.grow(bytes)
    }

    fn vector(&mut self, index: u64, raw: &RawValue) -> Result<(), Unstorable> {
        let text = raw.get();
        let vector = if text.starts_with('"') {
            let text = serde_json::from_str::<Cow<'_, str>>(text).map_err(|_| Unstorable::Unreadable)?;
            let floats = base64_decode(&text).filter(|bytes| bytes.len() % 4 == 0).ok_or(Unstorable::Unreadable)?;
            Vector::Floats(Cow::Owned(floats))
        } else if is_number_array(text) {
            Vector::Json(Cow::Owned(text.to_owned()))
        } else {
            return Err(Unstorable::Unreadable);
        };
        self.grow(text.len())?;
        self.vectors.push((index, vector));
        Ok(())
    }

    /// `told`: not for the cache.
    fn finish(self, end: End, told: bool) -> Result<Answer<'static>, Unstorable> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let mut answer = Answer::new(self.kind);
        answer.usage = self.usage;
        answer.model = Cow::Owned(self.model);
        answer.field = self.field;
        answer.state = self.state;
        if matches!(answer.family, Family::Embed | Family::EmbedOne) {
            answer.vectors = in_order(self.vectors)?;
            return if answer.vectors.is_empty() { Err(Unstorable::Empty) } else { Ok(answer) };
        }
        let marked = self.ended || end == End::Whole;
        let finish = self.finish.filter(|_| marked).ok_or(Unstorable::Unfinished)?.ok_or(Unstorable::Finish)?;
        let limited = finish == Finish::Length;
        if limited && !told {
            return Err(Unstorable::Finish);
        }
        let calls = self.calls.finish()?;
        if calls.is_empty() && finish == Finish::ToolCalls {
            return Err(Unstorable::ToolCall);
        }
        answer.finish = match calls.is_empty() {
            _ if limited => Finish::Length,
            true => Finish::Stop,
            // A forced call ends with `stop` in the OpenAI dialect; Ollama has no other word for any.
            false if self.kind.is_openai() => finish,
            false => Finish::ToolCalls,
        };
        let mut calls = calls.into_iter().map(Some).collect::<Vec<_>>();
        for raw in self.pieces {
            answer.pieces.push(match raw {
                Raw::Text(bytes) => Piece::Text(Cow::Owned(join_surrogates(bytes).ok_or(Unstorable::Unreadable)?)),
                Raw::Thinking(bytes) => {
                    Piece::Thinking(Cow::Owned(join_surrogates(bytes).ok_or(Unstorable::Unreadable)?))
                }
                Raw::Call(at) => Piece::Call(calls.get_mut(at).and_then(Option::take).ok_or(Unstorable::ToolCall)?),
            });
        }
        if !limited && answer.pieces.iter().all(|piece| matches!(piece, Piece::Thinking(_))) {
            return Err(Unstorable::Empty);
        }
        Ok(answer)
    }
}

fn any<const N: usize>(parts: [&Option<Many>; N]) -> bool {
    parts.into_iter().flatten().any(|Many(any)| *any)
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a [u8]) -> Result<T, Unstorable> {
    serde_json::from_slice(text).map_err(|_| Unstorable::Unreadable)
}

fn counts(wire: &UsageWire) -> Usage {
    let (prompt, completion) = (wire.prompt_tokens.unwrap_or(0), wire.completion_tokens.unwrap_or(0));
    Usage {
        prompt,
        completion,
        total: wire.total_tokens.unwrap_or(prompt.saturating_add(completion)),
        reasoning: wire.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens),
        cached: wire.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens),
    }
}

/// Sorted by index, which must be 0, 1, 2, ….
fn in_order(mut vectors: Vec<(u64, Vector<'static>)>) -> Result<Vec<Vector<'static>>, Unstorable> {
    vectors.sort_by_key(|(index, _)| *index);
    if vectors.iter().enumerate().any(|(at, (index, _))| *index != at as u64) {
        return Err(Unstorable::Unreadable);
    }
    Ok(vectors.into_iter().map(|(_, vector)| vector).collect())
}
