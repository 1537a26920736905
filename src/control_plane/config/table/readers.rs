//! How rows read single texts: variables of other programs, names in lists.

#[allow(clippy::unnecessary_wraps, reason = "it is one of several readers")]
pub(super) fn as_it_is(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// People write `OLLAMA_URL=host:11434` for programs that do not mind.
#[allow(clippy::unnecessary_wraps, reason = "it is one of several readers")]
pub(super) fn with_scheme(text: &str) -> Option<String> {
    Some(if text.contains("://") { text.to_owned() } else { format!("http://{text}") })
}

/// Every logger has words of its own; those that nobody shares say nothing to us.
pub(super) fn log_level(text: &str) -> Option<String> {
    let level = match text.trim().to_ascii_lowercase().as_str() {
        "trace" | "verbose" | "debug" => "debug",
        "info" | "notice" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        _ => return None,
    };
    Some(level.to_owned())
}

#[allow(clippy::unnecessary_wraps, reason = "it is one of several readers")]
pub(super) fn seconds(text: &str) -> Option<String> {
    Some(format!("{}s", text.trim()))
}

/// A header's name in lower case, its end left open by one `*`. What may never pass is the response writer's knowledge.
pub(super) fn header_pattern(text: &str) -> Result<String, String> {
    let name = text.trim().to_ascii_lowercase();
    if name.len() > 128 {
        return Err("is no header name; write it like openai-version or x-request-*".to_owned());
    }
    match crate::wire::http::AllowList::with([name.as_str()]) {
        Ok(_) => Ok(name),
        Err(_) => Err("is no header name like openai-version or x-request-*, or names what belongs to the \
                       connection, to cookies or to CORS and never passes"
            .to_owned()),
    }
}

pub(super) fn reasoning_field(text: &str) -> Result<String, String> {
    match text {
        "reasoning_content" | "reasoning" => Ok(text.to_owned()),
        _ => Err("is none of reasoning_content, reasoning".to_owned()),
    }
}
