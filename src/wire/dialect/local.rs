//! The small answers that the gateway gives itself, where they need nothing but a yes or no.

use super::endpoint::Endpoint;

/// A whole answer but for its fields of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub status: u16,
    pub content_type: &'static str,
    pub body: &'static [u8],
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// The answer of an own endpoint; `ready` is false while draining and before the first configuration is in place. `None`
/// for `/metrics` and for what is not ours.
#[must_use]
pub const fn answer(endpoint: Endpoint, ready: bool) -> Option<Local> {
    let (status, content_type, body): (u16, _, &'static [u8]) = match (endpoint, ready) {
        // The words that Ollama's clients look for, without a line end.
        (Endpoint::Root, _) => (200, TEXT, b"Ollama is running"),
        // Detectors expect 200 always; what balancers are to watch is `/readyz`.
        (Endpoint::Health, true) => (200, JSON, b"{\"status\":\"healthy\"}"),
        (Endpoint::Health, false) => (200, JSON, b"{\"status\":\"draining\"}"),
        (Endpoint::Livez, _) => (200, TEXT, b"ok\n"),
        (Endpoint::Readyz, true) => (200, TEXT, b"ok\n"),
        (Endpoint::Readyz, false) => (503, TEXT, b"not ready\n"),
        _ => return None,
    };
    Some(Local { status, content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_endpoints_answer_and_others_do_not() {
        for endpoint in Endpoint::ALL {
            let own = endpoint.is_own() && *endpoint != Endpoint::Metrics;
            assert_eq!(answer(*endpoint, true).is_some(), own, "{endpoint:?}");
        }
        let status = |endpoint, ready| answer(endpoint, ready).map(|local| local.status);
        assert_eq!(status(Endpoint::Readyz, true), Some(200));
        assert_eq!(status(Endpoint::Readyz, false), Some(503));
        assert_eq!(status(Endpoint::Health, false), Some(200));
        assert_eq!(answer(Endpoint::Root, true).map(|local| local.body), Some(&b"Ollama is running"[..]));
    }
}
