//! Which of an upstream's response fields a client gets to see. A list of what passes, not of what is removed: a field
//! nobody thought of (`Set-Cookie` of a provider's edge, a tracing header with a key in it) must not leak.

use super::field::{Known, is_name};

/// Prefixes that pass: rate limits of every provider, and what the vendors' SDKs read.
const PREFIXES: &[&str] = &["x-ratelimit-", "ratelimit-", "openai-", "anthropic-"];

/// The built-in list and what the configuration adds to it.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    names: Vec<Box<str>>,
    prefixes: Vec<Box<str>>,
}

impl AllowList {
    /// The built-in list widened by names (`x-served-by`) and prefixes (`x-vendor-*`), any case.
    ///
    /// # Errors
    /// The first pattern that is neither, or that names a field which never passes (framing, hop-by-hop, cookies, CORS).
    pub fn with<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, &'p str> {
        let mut list = Self::default();
        for pattern in patterns {
            let (text, to) = match pattern.strip_suffix('*') {
                Some(prefix) => (prefix, &mut list.prefixes),
                None => (pattern, &mut list.names),
            };
            if !is_name(text.as_bytes()) || text.contains('*') || never(text) {
                return Err(pattern);
            }
            to.push(text.to_ascii_lowercase().into());
        }
        Ok(list)
    }

    /// Does an upstream's field of this name reach the client?
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match Known::of(name) {
            Known::Other => {
                let built_in = PREFIXES.iter().any(|prefix| starts_with(name, prefix));
                built_in || (!self.is_plain() && self.adds(name) && !never(name))
            }
            known => is_built_in(known) || (!self.is_plain() && self.adds(name) && !never(name)),
        }
    }

    fn is_plain(&self) -> bool {
        self.names.is_empty() && self.prefixes.is_empty()
    }

    fn adds(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
            || self.prefixes.iter().any(|own| starts_with(name, own))
    }
}

/// What clients need. `Content-Encoding` belongs to bytes passed as they came. `Location` does not pass: a redirect to
/// an upstream's own address is of no use to a client that only knows the gateway, and tells it where the upstream is.
/// `Server` and `Set-Cookie` speak of the upstream, and its `X-Accel-Buffering` is replaced by ours.
const fn is_built_in(known: Known) -> bool {
    matches!(
        known,
        Known::ContentType
            | Known::ContentEncoding
            | Known::ContentLanguage
            | Known::ContentDisposition
            | Known::ContentRange
            | Known::CacheControl
            | Known::Date
            | Known::Age
            | Known::Expires
            | Known::Etag
            | Known::LastModified
            | Known::Vary
            | Known::Allow
            | Known::Link
            | Known::ServerTiming
            | Known::RetryAfter
            | Known::RetryAfterMs
            | Known::XShouldRetry
            | Known::WwwAuthenticate
            | Known::XRequestId
            | Known::RequestId
            | Known::Deprecation
            | Known::Sunset
            | Known::Warning
    )
}

/// No pattern lets these pass. `Access-Control-*` is among them because the gateway answers for its own origin list: a
/// browser that sees two values of one refuses both, and the upstream's `*` would undo the gateway's list.
fn never(name: &str) -> bool {
    let known = Known::of(name);
    let framing = matches!(known, Known::ContentLength | Known::SetCookie | Known::Host | Known::XAccelBuffering);
    framing || known.is_hop_by_hop() || known.is_credential() || starts_with(name, "access-control-")
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}
