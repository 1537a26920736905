//! An upstream's error for a client that joined from another dialect.

use std::{borrow::Cow, sync::Arc};

use super::flight::{Head, Piece};
use crate::{
    base::error::Kind,
    data_plane::{
        downstream::Downstream,
        exchange::Exchange,
        failure::Failure,
        relay::{self, Ending},
        reply::{Opening, Reply},
    },
    wire::{
        dialect::error::{self, Fault},
        http::{Method, response, slots},
    },
};

/// What is read of an error's body, and what of its text is passed on.
const BODY_BYTES_MAX: usize = 64 * 1024;
const MESSAGE_BYTES_MAX: usize = 512;

/// Writes the same status with the same message in the client's words.
///
/// # Errors
/// Nothing was written.
pub async fn tell(
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
    head: &Head,
    log: impl Iterator<Item = Arc<Piece>>,
) -> Result<Ending, Failure> {
    let mut body = Vec::new();
    for piece in log {
        let room = BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&piece.bytes[..piece.bytes.len().min(room)]);
    }
    let message = message(&body);
    let fault = Fault {
        status: head.status,
        kind: if head.status < 500 { "invalid_request_error" } else { "server_error" },
        code: "",
        param: "",
        message: &message,
        detail: "",
    };
    let mut told = Vec::new();
    // To these no body belongs, whatever the upstream's dialect makes of them.
    let bodiless = matches!(head.status, 204 | 205 | 304);
    if !bodiless {
        error::body(&mut told, exchange.dialect, &fault);
    }
    let body_fields = match (bodiless, head.status) {
        (true, 205) => "Content-Length: 0\r\n".to_owned(),
        (true, _) => String::new(),
        (false, _) => format!("Content-Type: {}\r\nContent-Length: {}\r\n", error::CONTENT_TYPE, told.len()),
    };
    let plain = format!("HTTP/1.1 {} Error\r\n{}{body_fields}\r\n", head.status, retry_after(&head.bytes));
    // Errors hold no thinking.
    exchange.think = None;
    let mut reply = Reply::open(down, exchange, &Opening { head: plain.as_bytes(), resized: false }, &told, true)?;
    down.timer.set((down.core.clock.now() + exchange.snapshot.limits.idle_us).min(exchange.total_due));
    let flushed = down.flush().await;
    let result = flushed.map_err(|interrupt| Failure::interrupted(interrupt, Kind::ClientStalled));
    relay::conclude(down, exchange, &mut reply, result).await
}

/// The line that says when to come back, if there is one.
fn retry_after(head: &[u8]) -> String {
    let mut slots = slots();
    let Ok(Some(head)) = response::parse(head, Method::Post, &mut slots) else { return String::new() };
    let value = head.fields.get("retry-after").and_then(|value| std::str::from_utf8(value).ok());
    value.map(|value| format!("Retry-After: {value}\r\n")).unwrap_or_default()
}

/// The human part of an error body: `error.message`, `error`, `message`, or the body itself.
fn message(body: &[u8]) -> Cow<'_, str> {
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) {
        let error = value.get("error");
        let found = [error.and_then(|error| error.get("message")), error, value.get("message"), value.get("detail")];
        if let Some(text) = found.into_iter().flatten().find_map(serde_json::Value::as_str) {
            return Cow::Owned(cut(text).to_owned());
        }
    }
    match std::str::from_utf8(body) {
        Ok(text) if !text.trim().is_empty() => Cow::Borrowed(cut(text.trim())),
        _ => Cow::Borrowed("The upstream refused the request."),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn messages_are_found() {
        assert_eq!(message(br#"{"error":{"message":"no such model"}}"#), "no such model");
        assert_eq!(message(br#"{"error":"overloaded"}"#), "overloaded");
        assert_eq!(message(br#"{"detail":"slow down"}"#), "slow down");
        assert_eq!(message(b" Bad Gateway\n"), "Bad Gateway");
        assert_eq!(message(b""), "The upstream refused the request.");
        assert_eq!(message(&[0xff]), "The upstream refused the request.");
        assert_eq!(message("é".repeat(600).as_bytes()).len(), 512);
    }
}
