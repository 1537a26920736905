//! Errors in the words of each dialect: as a body, and as the one event that ends a stream whose head is long gone.

use super::endpoint::Dialect;
use crate::base::error::Kind;

/// What a client is told.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    pub status: u16,
    /// OpenAI's `type`.
    pub kind: &'a str,
    /// OpenAI's `code`; empty is `null`.
    pub code: &'a str,
    /// OpenAI's `param`; empty is `null`.
    pub param: &'a str,
    pub message: &'a str,
    /// Follows the message after a blank; may hold anything.
    pub detail: &'a str,
}

impl From<Kind> for Fault<'static> {
    fn from(kind: Kind) -> Self {
        Self {
            status: kind.status(),
            kind: kind.openai_type(),
            code: kind.code(),
            param: "",
            message: kind.message(),
            detail: "",
        }
    }
}

impl<'a> Fault<'a> {
    /// The same with more to say.
    #[must_use]
    pub const fn detail(self, detail: &'a str) -> Self {
        Self { detail, ..self }
    }

    /// A model nobody serves; Ollama's clients look for the words `model 'NAME' not found`.
    #[must_use]
    pub const fn model_not_found(message: &'a str) -> Self {
        Self {
            status: 404,
            kind: "invalid_request_error",
            code: "model_not_found",
            param: "model",
            message,
            detail: "",
        }
    }

    /// Anthropic's `type`, which follows from the status.
    #[must_use]
    pub const fn anthropic_type(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 | 504 => "timeout_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}

/// The content type of [`body`].
pub const CONTENT_TYPE: &str = "application/json";

/// The body of an error answer.
pub fn body(out: &mut Vec<u8>, dialect: Dialect, fault: &Fault<'_>) {
    match dialect {
        Dialect::OpenAi | Dialect::Responses => openai(out, fault),
        Dialect::Ollama => {
            out.extend_from_slice(b"{\"error\":");
            message(out, fault);
            out.push(b'}');
        }
        Dialect::Anthropic => {
            out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
            string(out, fault.anthropic_type());
            out.extend_from_slice(b",\"message\":");
            message(out, fault);
            out.extend_from_slice(b"}}");
        }
    }
}

/// The event that ends a stream in the middle. The stream's body is then ended cleanly, and no end mark (`[DONE]`, a
/// `done` line, `message_stop`) may follow: clients take that for success.
pub fn event(out: &mut Vec<u8>, dialect: Dialect, fault: &Fault<'_>) {
    match dialect {
        Dialect::OpenAi => {
            out.extend_from_slice(b"data: ");
            body(out, dialect, fault);
            out.extend_from_slice(b"\n\n");
        }
        Dialect::Ollama => {
            body(out, dialect, fault);
            out.push(b'\n');
        }
        Dialect::Anthropic => {
            out.extend_from_slice(b"event: error\ndata: ");
            body(out, dialect, fault);
            out.extend_from_slice(b"\n\n");
        }
        Dialect::Responses => {
            out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"code\":");
            nullable(out, fault.code);
            out.extend_from_slice(b",\"message\":");
            message(out, fault);
            out.extend_from_slice(b",\"param\":");
            nullable(out, fault.param);
            out.extend_from_slice(b"}\n\n");
        }
    }
}

/// `error` is the first and only key and no blank stands before its colon: one client finds it by a pattern.
fn openai(out: &mut Vec<u8>, fault: &Fault<'_>) {
    out.extend_from_slice(b"{\"error\":{\"message\":");
    message(out, fault);
    out.extend_from_slice(b",\"type\":");
    string(out, fault.kind);
    out.extend_from_slice(b",\"param\":");
    nullable(out, fault.param);
    out.extend_from_slice(b",\"code\":");
    nullable(out, fault.code);
    out.extend_from_slice(b"}}");
}

fn message(out: &mut Vec<u8>, fault: &Fault<'_>) {
    out.push(b'"');
    escape(out, fault.message);
    if !fault.detail.is_empty() {
        out.push(b' ');
        escape(out, fault.detail);
    }
    out.push(b'"');
}

fn nullable(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() { out.extend_from_slice(b"null") } else { string(out, text) }
}

/// A JSON string of `text`, quotes included.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// The inside of a JSON string. Beyond what JSON asks for, every character that some line reader splits at is escaped
/// (U+0085, U+2028, U+2029, DEL and the C1 controls with it; Q-14).
fn escape(out: &mut Vec<u8>, text: &str) {
    let mut utf8 = [0; 4];
    for letter in text.chars() {
        match letter {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' => unicode(out, letter as u32),
            _ => out.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes()),
        }
    }
}

/// `\uXXXX`, for what fits four digits.
fn unicode(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[(code >> shift & 15) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIALECTS: [Dialect; 4] = [Dialect::OpenAi, Dialect::Ollama, Dialect::Anthropic, Dialect::Responses];

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bodies() {
        let fault = Fault::from(Kind::Unauthorized);
        let check = |dialect, expected: &str| assert_eq!(written(|out| body(out, dialect, &fault)), expected);
        let openai = r#"{"error":{"message":"No valid credential was sent.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;
        check(Dialect::OpenAi, openai);
        check(Dialect::Responses, openai);
        check(Dialect::Ollama, r#"{"error":"No valid credential was sent."}"#);
        check(
            Dialect::Anthropic,
            r#"{"type":"error","error":{"type":"authentication_error","message":"No valid credential was sent."}}"#,
        );
    }

    #[test]
    fn events() {
        let fault = Fault::from(Kind::UpstreamCut).detail("after 3 events");
        let check = |dialect, expected: &str| assert_eq!(written(|out| event(out, dialect, &fault)), expected);
        const TEXT: &str = "The upstream closed the connection in the middle of its answer. after 3 events";
        check(
            Dialect::OpenAi,
            &format!(
                "data: {{\"error\":{{\"message\":\"{TEXT}\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_cut\"}}}}\n\n"
            ),
        );
        check(Dialect::Ollama, &format!("{{\"error\":\"{TEXT}\"}}\n"));
        check(
            Dialect::Anthropic,
            &format!(
                "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\"message\":\"{TEXT}\"}}}}\n\n"
            ),
        );
        check(
            Dialect::Responses,
            &format!(
                "event: error\ndata: {{\"type\":\"error\",\"code\":\"upstream_cut\",\"message\":\"{TEXT}\",\"param\":null}}\n\n"
            ),
        );
    }

    #[test]
    fn every_kind_has_an_anthropic_type_of_its_status() {
        for kind in Kind::ALL {
            let fault = Fault::from(*kind);
            let is_ours = matches!(fault.anthropic_type(), "api_error" | "overloaded_error" | "timeout_error");
            assert_eq!(is_ours, fault.status >= 500 || fault.status == 408, "{kind:?}");
        }
    }

    proptest! {
        /// Whatever the detail holds, the body is one JSON value with the message whole, on one line for every reader.
        #[test]
        fn any_detail_is_one_line_of_json(detail in any::<String>()) {
            let fault = Fault::from(Kind::BadRequest).detail(&detail);
            let expected =
                if detail.is_empty() { fault.message.to_owned() } else { format!("{} {detail}", fault.message) };
            for dialect in DIALECTS {
                let text = written(|out| body(out, dialect, &fault));
                let splits = |letter: char| letter.is_control() || ('\u{2028}'..='\u{2029}').contains(&letter);
                prop_assert!(!text.contains(splits));
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let message = if dialect == Dialect::Ollama { &value["error"] } else { &value["error"]["message"] };
                prop_assert_eq!(message.as_str(), Some(expected.as_str()));
            }
        }
    }
}
