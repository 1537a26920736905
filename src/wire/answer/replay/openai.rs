//! OpenAI's chat and completions, streamed and plain.

use super::super::json::{number, string, string_part};
use super::super::{Call, Finish, Kind, Usage};
use super::{Replay, Shown};

impl Replay<'_> {
    fn is_chat(&self) -> bool {
        self.context.kind == Kind::OpenAiChat
    }

    /// `data: {"id":…,"object":…,"created":…,"model":…,`
    pub(super) fn openai_prefix(&self) -> Vec<u8> {
        let mut out = b"data: ".to_vec();
        self.envelope(if self.is_chat() { "chat.completion.chunk" } else { "text_completion" }, &mut out);
        out
    }

    fn envelope(&self, object: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        string(out, self.context.id);
        out.extend_from_slice(b",\"object\":");
        string(out, object);
        out.extend_from_slice(b",\"created\":");
        number(out, self.context.now_unix_micros / 1_000_000);
        out.extend_from_slice(b",\"model\":");
        string(out, self.model());
        out.push(b',');
    }

    /// One event with one choice; `delta` writes the members of the delta.
    fn chunk(&self, finish: Option<Finish>, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"\"choices\":[{\"index\":0,\"delta\":{");
        delta(out);
        out.extend_from_slice(b"},\"finish_reason\":");
        write_finish(finish, out);
        out.extend_from_slice(b"}]}\n\n");
    }

    /// One event of completions.
    fn text_chunk(&self, finish: Option<Finish>, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"\"choices\":[{\"text\":\"");
        string_part(out, text);
        out.extend_from_slice(b"\",\"index\":0,\"logprobs\":null,\"finish_reason\":");
        write_finish(finish, out);
        out.extend_from_slice(b"}]}\n\n");
    }

    pub(super) fn openai_role(&self, out: &mut Vec<u8>) {
        self.chunk(None, out, |out| out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\""));
    }

    pub(super) fn openai_event(&self, shown: &Shown<'_>, out: &mut Vec<u8>) {
        match shown {
            Shown::Text(text) if self.is_chat() => self.chunk(None, out, |out| {
                out.extend_from_slice(b"\"content\":");
                string(out, text);
            }),
            Shown::Text(text) => self.text_chunk(None, text, out),
            Shown::Thinking(text) => self.chunk(None, out, |out| self.reasoning(text, out)),
            Shown::Call { number, call } => self.chunk(None, out, |out| {
                out.extend_from_slice(b"\"tool_calls\":[");
                self.tool_call(*number, call, true, out);
                out.push(b']');
            }),
        }
    }

    pub(super) fn openai_finish(&self, out: &mut Vec<u8>) {
        if self.is_chat() {
            self.chunk(Some(self.finish()), out, |_| {});
        } else {
            self.text_chunk(Some(self.finish()), "", out);
        }
    }

    pub(super) fn openai_usage(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b"\"choices\":[],\"usage\":");
        write_usage(self.answer.usage, out);
        out.extend_from_slice(b"}\n\n");
    }

    pub(super) fn openai_whole(&self, out: &mut Vec<u8>) {
        if self.is_chat() {
            self.envelope("chat.completion", out);
            out.extend_from_slice(b"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
            self.message(out);
            out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
        } else {
            self.envelope("text_completion", out);
            out.extend_from_slice(b"\"choices\":[{\"text\":");
            string(out, &self.whole_text());
            out.extend_from_slice(b",\"index\":0,\"logprobs\":null,\"finish_reason\":");
        }
        write_finish(Some(self.finish()), out);
        out.extend_from_slice(b"}],\"usage\":");
        write_usage(self.answer.usage, out);
        out.push(b'}');
    }

    /// The content's value and the members after it.
    fn message(&self, out: &mut Vec<u8>) {
        let text = self.whole_text();
        let calls = self.answer.calls().next().is_some();
        if text.is_empty() && calls {
            out.extend_from_slice(b"null");
        } else {
            string(out, &text);
        }
        out.extend_from_slice(b",\"refusal\":null");
        let thinking = self.whole_thinking();
        if !thinking.is_empty() {
            out.push(b',');
            self.reasoning(&thinking, out);
        }
        if calls {
            out.extend_from_slice(b",\"tool_calls\":[");
            for (at, call) in self.answer.calls().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                self.tool_call(at, call, false, out);
            }
            out.push(b']');
        }
    }

    /// `"reasoning_content":"…"`, or the name or names wanted.
    fn reasoning(&self, text: &str, out: &mut Vec<u8>) {
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            string(out, field);
            out.push(b':');
            string(out, text);
        }
    }

    fn tool_call(&self, at: usize, call: &Call<'_>, indexed: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        if indexed {
            out.extend_from_slice(b"\"index\":");
            number(out, at as u64);
            out.push(b',');
        }
        out.extend_from_slice(b"\"id\":\"");
        self.call_id(at, call, out);
        out.extend_from_slice(b"\",\"type\":\"function\",\"function\":{\"name\":");
        string(out, &call.name);
        out.extend_from_slice(b",\"arguments\":");
        string(out, &call.arguments);
        out.extend_from_slice(b"}}");
    }

    /// The upstream's id, or one made of the reply's id, so that no two calls of a conversation share one.
    pub(super) fn call_id(&self, at: usize, call: &Call<'_>, out: &mut Vec<u8>) {
        if !call.id.is_empty() {
            return string_part(out, &call.id);
        }
        let id = self.context.id;
        let tail = &id[id.ceil_char_boundary(id.len().saturating_sub(20))..];
        out.extend_from_slice(b"call_");
        out.extend(tail.bytes().filter(u8::is_ascii_alphanumeric));
        number(out, at as u64);
    }
}

fn write_finish(finish: Option<Finish>, out: &mut Vec<u8>) {
    out.extend_from_slice(match finish {
        None => b"null",
        Some(Finish::Stop) => b"\"stop\"",
        Some(Finish::ToolCalls) => b"\"tool_calls\"",
        Some(Finish::Length) => b"\"length\"",
    });
}

/// All three counts are required; an upstream that didn't count makes zeros.
pub(super) fn write_usage(usage: Option<Usage>, out: &mut Vec<u8>) {
    let usage = usage.unwrap_or_default();
    out.extend_from_slice(b"{\"prompt_tokens\":");
    number(out, usage.prompt);
    out.extend_from_slice(b",\"completion_tokens\":");
    number(out, usage.completion);
    out.extend_from_slice(b",\"total_tokens\":");
    number(out, usage.total);
    if let Some(cached) = usage.cached {
        out.extend_from_slice(b",\"prompt_tokens_details\":{\"cached_tokens\":");
        number(out, cached);
        out.push(b'}');
    }
    if let Some(reasoning) = usage.reasoning {
        out.extend_from_slice(b",\"completion_tokens_details\":{\"reasoning_tokens\":");
        number(out, reasoning);
        out.push(b'}');
    }
    out.push(b'}');
}
