//! Ollama's chat and generate, streamed and plain.

use super::super::json::{compact, number, rfc3339, string};
use super::super::{Call, Finish, Kind};
use super::{Replay, Shown};

impl Replay<'_> {
    fn is_generate(&self) -> bool {
        self.context.kind == Kind::OllamaGenerate
    }

    /// `{"model":…,"created_at":…,`
    pub(super) fn ollama_prefix(&self) -> Vec<u8> {
        let mut out = b"{\"model\":".to_vec();
        string(&mut out, self.model());
        out.extend_from_slice(b",\"created_at\":\"");
        rfc3339(&mut out, self.context.now_unix_micros);
        out.extend_from_slice(b"\",");
        out
    }

    pub(super) fn ollama_line(&self, shown: &Shown<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(self.content_key());
        string(out, if let Shown::Text(text) = shown { text } else { "" });
        match shown {
            Shown::Text(_) => {}
            Shown::Thinking(text) => {
                out.extend_from_slice(b",\"thinking\":");
                string(out, text);
            }
            Shown::Call { number, call } => {
                out.extend_from_slice(b",\"tool_calls\":[");
                self.ollama_call(*number, call, out);
                out.push(b']');
            }
        }
        out.extend_from_slice(self.message_end());
        out.extend_from_slice(b",\"done\":false}\n");
    }

    pub(super) fn ollama_last(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(self.content_key());
        out.extend_from_slice(b"\"\"");
        out.extend_from_slice(self.message_end());
        self.ending(out);
        out.push(b'\n');
    }

    pub(super) fn ollama_whole(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(self.content_key());
        string(out, &self.whole_text());
        let thinking = self.whole_thinking();
        if !thinking.is_empty() {
            out.extend_from_slice(b",\"thinking\":");
            string(out, &thinking);
        }
        let mut calls = self.answer.calls().enumerate().peekable();
        if calls.peek().is_some() {
            out.extend_from_slice(b",\"tool_calls\":[");
            for (at, call) in calls {
                if at > 0 {
                    out.push(b',');
                }
                self.ollama_call(at, call, out);
            }
            out.push(b']');
        }
        out.extend_from_slice(self.message_end());
        self.ending(out);
    }

    fn content_key(&self) -> &'static [u8] {
        if self.is_generate() { b"\"response\":" } else { b"\"message\":{\"role\":\"assistant\",\"content\":" }
    }

    fn message_end(&self) -> &'static [u8] {
        if self.is_generate() { b"" } else { b"}" }
    }

    /// The arguments are an object here, and a line must not break inside it.
    fn ollama_call(&self, at: usize, call: &Call<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        self.call_id(at, call, out);
        out.extend_from_slice(b"\",\"function\":{\"index\":");
        number(out, at as u64);
        out.extend_from_slice(b",\"name\":");
        string(out, &call.name);
        out.extend_from_slice(b",\"arguments\":");
        compact(out, &call.arguments);
        out.extend_from_slice(b"}}");
    }

    /// From `done` to the last brace. The durations are this reply's own; none is zero, since clients divide by them.
    fn ending(&self, out: &mut Vec<u8>) {
        let limited = self.answer.finish == Finish::Length;
        out.extend_from_slice(b",\"done\":true,\"done_reason\":");
        out.extend_from_slice(if limited { b"\"length\"" } else { b"\"stop\"" });
        if self.is_generate() {
            out.extend_from_slice(b",\"context\":[");
            for (at, token) in self.answer.state.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                number(out, (*token).into());
            }
            out.push(b']');
        }
        let usage = self.answer.usage.unwrap_or_default();
        let total = self.context.elapsed_nanos.max(3);
        for (key, value) in [
            (&b",\"total_duration\":"[..], total),
            (b",\"load_duration\":", 1),
            (b",\"prompt_eval_count\":", usage.prompt),
            (b",\"prompt_eval_duration\":", 1),
            (b",\"eval_count\":", usage.completion),
            (b",\"eval_duration\":", total - 2),
        ] {
            out.extend_from_slice(key);
            number(out, value);
        }
        out.push(b'}');
    }
}
