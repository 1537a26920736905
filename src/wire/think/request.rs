//! What the filter (and the router) must know of a request body, found in one pass without a tree.

use super::chat::{integer, key_of};
use super::{Format, Profile, StartOverride};
use crate::wire::json::scan::{Bad, Cursor, Kind, Span, Value};
use crate::wire::json::string;

/// Facts of a request body. What is missing, or of another type, is left at its default; of members that come twice the
/// last counts, as most decoders have it. Texts are raw bodies of JSON strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// As it is spelled; escapes are not resolved.
    pub model: Option<&'a [u8]>,
    /// `None` when absent: Ollama means true by that, OpenAI false.
    pub stream: Option<bool>,
    /// Number of choices asked for.
    pub n: Option<u32>,
    pub echo: bool,
    /// `stream_options` is there, whatever it says.
    pub stream_options: bool,
    /// `stream_options.include_usage`
    pub include_usage: bool,
    /// Ollama: the prompt is not put into a template.
    pub raw: bool,
    /// The last message is the assistant's and has content: this is it (its last text).
    pub prefill: Option<&'a [u8]>,
    /// The prompt, when it is one string.
    pub prompt: Option<&'a [u8]>,
}

/// Read a request body. Any bytes will do: where they stop being JSON, the reading stops.
#[must_use]
pub fn request_facts(body: &[u8]) -> RequestFacts<'_> {
    let mut facts = RequestFacts::default();
    let _ = root(&mut Cursor::new(body, 0), body, &mut facts);
    facts
}

impl RequestFacts<'_> {
    /// What the request says about where the answer begins (T85, and prompts that end with an open tag).
    #[must_use]
    pub fn start(&self, format: Format, profile: &Profile) -> StartOverride {
        let raw_prompt = format == Format::OpenAiCompletions || (format == Format::OllamaGenerate && self.raw);
        match (self.prefill, self.prompt) {
            _ if self.echo && format == Format::OpenAiCompletions => StartOverride::Off,
            (Some(prefill), _) if profile.leaves_open(prefill) => StartOverride::Inside,
            (Some(_), _) => StartOverride::Prefill,
            (None, Some(prompt)) if raw_prompt && profile.ends_in_open(prompt) => StartOverride::Inside,
            _ => StartOverride::Profile,
        }
    }
}

fn root<'a>(cursor: &mut Cursor<'a>, body: &'a [u8], facts: &mut RequestFacts<'a>) -> Result<(), Bad> {
    cursor.object(|cursor, key| {
        let name = key_of(cursor.bytes, key);
        facts.stream_options |= name == b"stream_options";
        match name {
            b"messages" if cursor.peek()? == b'[' => facts.prefill = messages(cursor, body)?,
            b"stream_options" if cursor.peek()? == b'{' => {
                cursor.object(|cursor, key| {
                    let wanted = key_of(cursor.bytes, key) == b"include_usage";
                    let value = cursor.value()?;
                    if wanted {
                        facts.include_usage = value.kind == Kind::True;
                    }
                    Ok(())
                })?;
            }
            name => {
                let value = cursor.value()?;
                let text = || value.text().map(|span| span.of(body));
                match name {
                    b"model" => facts.model = text(),
                    b"stream" => facts.stream = boolean(value),
                    b"n" => facts.n = integer(body, value),
                    b"echo" => facts.echo = value.kind == Kind::True,
                    b"raw" => facts.raw = value.kind == Kind::True,
                    b"prompt" => facts.prompt = text(),
                    _ => {}
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn boolean(value: Value) -> Option<bool> {
    match value.kind {
        Kind::True => Some(true),
        Kind::False => Some(false),
        _ => None,
    }
}

/// The content of the last message when that is the assistant's.
fn messages<'a>(cursor: &mut Cursor<'a>, body: &'a [u8]) -> Result<Option<&'a [u8]>, Bad> {
    let mut last = None;
    cursor.array(|cursor| {
        last = None;
        if cursor.peek()? != b'{' {
            return cursor.value().map(|_| ());
        }
        let (mut assistant, mut content) = (false, None);
        cursor.object(|cursor, key| {
            match key_of(cursor.bytes, key) {
                b"role" => {
                    let value = cursor.value()?;
                    assistant = value.text().is_some_and(|raw| string::spells(raw.of(body), "assistant"));
                }
                b"content" if cursor.peek()? == b'[' => content = last_part(cursor)?,
                b"content" => content = cursor.value()?.text(),
                _ => {
                    cursor.value()?;
                }
            }
            Ok(())
        })?;
        last = content.filter(|text| assistant && !text.is_empty()).map(|text| text.of(body));
        Ok(())
    })?;
    Ok(last)
}

/// The text of the last part of a content array.
fn last_part(cursor: &mut Cursor) -> Result<Option<Span>, Bad> {
    let mut last = None;
    cursor.array(|cursor| {
        last = None;
        if cursor.peek()? != b'{' {
            return cursor.value().map(|_| ());
        }
        cursor.object(|cursor, key| {
            let wanted = key_of(cursor.bytes, key) == b"text";
            let value = cursor.value()?;
            if wanted {
                last = value.text();
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::think::{ProfileDef, Start};

    fn start(body: &str, format: Format) -> StartOverride {
        let inside = Profile::new(&ProfileDef { start: Start::Inside, ..ProfileDef::default() }).unwrap();
        request_facts(body.as_bytes()).start(format, &inside)
    }

    #[test]
    fn members_wherever_they_stand() {
        let body = br#" {"messages":[{"role":"user","content":"{\"model\":\"no\"}"}],"n":2,"tools":[{"model":"no"}],
            "stream":true,"stream_options":{"x":[1],"include_usage":true},"echo":true,"m\u006fdel":"a/b:c","prompt":["x"]}"#;
        let facts = request_facts(body);
        assert_eq!(
            facts,
            RequestFacts {
                model: Some(b"a/b:c"),
                stream: Some(true),
                n: Some(2),
                echo: true,
                stream_options: true,
                include_usage: true,
                ..RequestFacts::default()
            }
        );
        assert_eq!(request_facts(br#"{"stream":false,"n":-1,"model":null}"#).stream, Some(false));
        assert_eq!(request_facts(br#"{"model":"m","n":1e2"#).model, Some(&b"m"[..]));
        assert_eq!(request_facts(b"[]"), RequestFacts::default());
        assert_eq!(request_facts(b""), RequestFacts::default());
    }

    #[test]
    fn the_start_of_the_answer() {
        use StartOverride::*;
        let chat = |messages: &str| start(&format!(r#"{{"messages":[{messages}]}}"#), Format::OpenAiChat);
        assert_eq!(chat(r#"{"role":"user","content":"hi"}"#), Profile);
        assert_eq!(chat(r#"{"role":"assistant","content":"Sure"},{"role":"user","content":"hi"}"#), Profile);
        assert_eq!(chat(r#"{"role":"user","content":"hi"},{"content":"Sure","role":"assistant"}"#), Prefill);
        assert_eq!(chat(r#"{"role":"assistant","content":[{"type":"text","text":"Sure"}]}"#), Prefill);
        assert_eq!(chat(r#"{"role":"assistant","content":""}"#), Profile);
        assert_eq!(chat(r#"{"role":"assistant","content":null,"tool_calls":[]}"#), Profile);
        assert_eq!(chat(r#"{"role":"assistant","content":"\u003cthink>\nOkay, "}"#), Inside);
        assert_eq!(chat(r#"{"role":"assistant","content":"<think>a</think>b"}"#), Prefill);
        let prompt = |body: &str, format| start(body, format);
        assert_eq!(prompt(r#"{"prompt":"Q\u003cthink\u003e\n"}"#, Format::OpenAiCompletions), Inside);
        assert_eq!(prompt(r#"{"prompt":"Q<think> why"}"#, Format::OpenAiCompletions), Profile);
        assert_eq!(prompt(r#"{"prompt":"Q<think>"}"#, Format::OllamaGenerate), Profile);
        assert_eq!(prompt(r#"{"prompt":"Q<think>","raw":true}"#, Format::OllamaGenerate), Inside);
        assert_eq!(prompt(r#"{"prompt":"Q<think>","echo":true}"#, Format::OpenAiCompletions), Off);
    }

    #[test]
    fn any_bytes_are_safe() {
        let body = br#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"a\u003c"}]}],"n":3}"#;
        for cut in 0..body.len() {
            let _ = request_facts(&body[..cut]);
            for byte in [0, b'"', b'\\', b'{', b']', 0xff] {
                let mut broken = body.to_vec();
                broken[cut] = byte;
                let _ = request_facts(&broken);
            }
        }
        let deep = "[".repeat(100_000);
        let _ = request_facts(format!("{{\"messages\":{deep}").as_bytes());
    }
}
