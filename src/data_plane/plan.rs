//! Step 3, between collecting and looking up: what the request's body says about how its answer is to be filtered.

use super::{core::Core, exchange::Exchange};
use crate::{
    policy::think_rules::{self, Verdict},
    wire::{
        dialect::Endpoint,
        think::{Format, Framing, Policy, Spec, request_facts},
    },
};

/// A longer name is not looked up: none is, and it would only fill the table.
const MODEL_BYTES_MAX: usize = 256;

/// Reads the body for what matters to the gateway, and decides what the filter has to do, if anything.
pub fn plan(core: &Core, exchange: &mut Exchange) {
    if !exchange.endpoint.is_inference() {
        return;
    }
    let facts = request_facts(exchange.outgoing.body());
    let model = facts.model.map(decoded).unwrap_or_default();
    exchange.wants_stream = facts.stream.unwrap_or(exchange.endpoint.streams_by_default());
    exchange.include_usage = facts.include_usage;
    exchange.stream_options = facts.stream_options;
    if let Some(format) = format(exchange.endpoint) {
        let Verdict { profile, policy } = core.verdict(&exchange.snapshot, &model);
        let think = &exchange.snapshot.think;
        let keeps = matches!(format, Format::AnthropicMessages | Format::OpenAiResponses);
        let policy = think_rules::policy(exchange.think_header, policy, think.policy, keeps);
        if policy != Policy::Keep {
            let mut spec = Spec::new(format, Framing::Json, policy, profile);
            spec.choices = u16::try_from(facts.n.unwrap_or(1)).unwrap_or(u16::MAX).max(1);
            spec.start = facts.start(format, &spec.profile);
            spec.reasoning_fields = think.reasoning_fields;
            exchange.think = Some(Box::new(spec));
        }
    } else if exchange.caching.is_some() {
        exchange.wants_base64 = wants_base64(exchange.outgoing.body());
    }
    exchange.model = Some(model.into());
}

/// Embeddings as base64: OpenAI's Python client asks for them.
fn wants_base64(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Asked<'a> {
        #[serde(borrow, default)]
        encoding_format: Option<std::borrow::Cow<'a, str>>,
    }
    serde_json::from_slice::<Asked<'_>>(body).is_ok_and(|asked| asked.encoding_format.as_deref() == Some("base64"))
}

/// The wire format of an endpoint's answers, where thinking can stand in them.
const fn format(endpoint: Endpoint) -> Option<Format> {
    Some(match endpoint {
        Endpoint::Chat => Format::OpenAiChat,
        Endpoint::Completions => Format::OpenAiCompletions,
        Endpoint::OllamaChat => Format::OllamaChat,
        Endpoint::OllamaGenerate => Format::OllamaGenerate,
        Endpoint::Messages => Format::AnthropicMessages,
        Endpoint::Responses => Format::OpenAiResponses,
        _ => return None,
    })
}

/// A model's name from the inside of a JSON string.
fn decoded(raw: &[u8]) -> String {
    let raw = raw.get(..MODEL_BYTES_MAX).unwrap_or(raw);
    if !raw.contains(&b'\\') {
        return String::from_utf8_lossy(raw).into_owned();
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice(&quoted).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn names_are_decoded() {
        assert_eq!(decoded(b"qwen3:8b"), "qwen3:8b");
        assert_eq!(decoded(br"hf.co\/Qwen\/\u0051"), "hf.co/Qwen/Q");
        assert_eq!(decoded(br"broken\"), "");
        assert_eq!(decoded(&[b'x'; 1_000]).len(), 256);
    }
}
