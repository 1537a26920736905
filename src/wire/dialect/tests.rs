//! Every spelling of a path, and what it is taken for.

use super::{Dialect, Endpoint, Route, UpstreamPath, dialect_of, route};
use crate::base::error::Kind;
use crate::wire::http::Method;
use proptest::prelude::*;

/// The method an endpoint takes.
fn method(endpoint: Endpoint) -> Method {
    let methods = [Method::Get, Method::Post, Method::Delete, Method::Head];
    methods.into_iter().find(|method| endpoint.takes(*method)).unwrap()
}

fn sent(route: &Route<'_>, raw: &str) -> String {
    route.upstream_path.parts().map_or_else(|| raw.to_owned(), |parts| parts.concat())
}

fn check(path: &str, endpoint: Endpoint, upstream: &str) {
    let route = route(method(endpoint), path).unwrap_or_else(|kind| panic!("{path}: {kind:?}"));
    assert_eq!((route.endpoint, sent(&route, path).as_str()), (endpoint, upstream), "{path}");
    assert!(route.method_allowed);
    if endpoint != Endpoint::Other {
        assert_eq!(route.dialect, endpoint.dialect());
    }
}

#[test]
fn canonical_paths_are_themselves() {
    for endpoint in Endpoint::ALL {
        match endpoint.path() {
            "" => {}
            path if path.len() > 1 && path.ends_with('/') => {
                check(&format!("{path}some:id"), *endpoint, &format!("{path}some:id"));
            }
            path => check(path, *endpoint, path),
        }
    }
}

/// What wrong base URLs produce: client, path.
#[test]
fn wrong_base_urls() {
    for path in [
        "/chat/completions",
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "/v1/v1/chat/completions",
        "/api/v1/chat/completions",
        "/api/chat/completions",
        "/v1/chat/completions/chat/completions",
        "/v1/chat/completions/v1/chat/completions",
        "/v1//v1/chat/completions",
        "/engines/e/chat/completions",
        "/v1/engines/e/chat/completions",
        "/v1/chat/completions/engines/e/chat/completions",
        "/openai/deployments/d/chat/completions",
        "/v1/openai/deployments/d.e-f/chat/completions",
        "/openai/v1/chat/completions",
        "/v1beta/openai/chat/completions",
        "/V1/Chat/COMPLETIONS",
        "/v1%2fchat%2Fcompletions",
        "/v1/%63hat/completions",
        "/v1/chat/completions;jsessionid=1",
        "/v1/chat/completions;a-very-long-parameter-behind-it",
        "/models/org/name/v1/chat/completions",
    ] {
        check(path, Endpoint::Chat, "/v1/chat/completions");
    }
    for (path, endpoint) in [
        ("/completions", Endpoint::Completions),
        ("/v1/chat/completions/completions", Endpoint::Completions),
        ("/v1/engines/e/completions", Endpoint::Completions),
        ("/embeddings", Endpoint::Embeddings),
        ("/v1/chat/completions/embeddings", Endpoint::Embeddings),
        ("/api/v1/embeddings", Endpoint::Embeddings),
        ("/v1/engines/e/embeddings", Endpoint::Embeddings),
        ("/api/api/embeddings", Endpoint::OllamaEmbeddings),
        ("/v1/api/embeddings", Endpoint::OllamaEmbeddings),
        ("/models", Endpoint::Models),
        ("/v1/models/", Endpoint::Models),
        ("/v1/chat/completions/models", Endpoint::Models),
        ("/api/v0/models", Endpoint::Models),
        ("/responses", Endpoint::Responses),
        ("/v1/v1/responses", Endpoint::Responses),
        ("/messages", Endpoint::Messages),
        ("/v1/v1/messages", Endpoint::Messages),
        ("/v1/chat/completions/v1/messages", Endpoint::Messages),
        ("/anthropic/v1/messages", Endpoint::Messages),
        ("/v1/v1/messages/count_tokens", Endpoint::CountTokens),
        ("/v1/chat/completions/api/chat", Endpoint::OllamaChat),
        ("/v1/chat/api/show", Endpoint::OllamaShow),
        ("/v1/api/show", Endpoint::OllamaShow),
        ("/api/api/tags", Endpoint::OllamaTags),
        ("/v1/api/version", Endpoint::OllamaVersion),
        ("/api/generate/", Endpoint::OllamaGenerate),
        ("/api/PULL", Endpoint::OllamaPull),
        ("/api/%70ull", Endpoint::OllamaPull),
        ("/api%2Fpull", Endpoint::OllamaPull),
        ("/x/api/delete", Endpoint::OllamaDelete),
        ("/api/delete;x", Endpoint::OllamaDelete),
        ("/sys/tags", Endpoint::OllamaTags),
        ("/sys/pull/", Endpoint::OllamaPull),
        ("/sys/delete", Endpoint::OllamaDelete),
        ("//health", Endpoint::Health),
        ("/Health/", Endpoint::Health),
        ("//", Endpoint::Root),
    ] {
        check(path, endpoint, endpoint.path());
    }
}

#[test]
fn ids_go_upstream_as_they_came() {
    for (path, endpoint, upstream) in [
        ("/v1/models/llama3:8b", Endpoint::Model, "/v1/models/llama3:8b"),
        ("/models/openai/gpt-4o:free", Endpoint::Model, "/v1/models/openai/gpt-4o:free"),
        ("/v1/v1/models/a%2Fb/", Endpoint::Model, "/v1/models/a%2Fb"),
        ("/v1/Models//Qwen", Endpoint::Model, "/v1/models/Qwen"),
        ("/v1/models/models/gemini-pro", Endpoint::Model, "/v1/models/models/gemini-pro"),
        ("/v1/models/a...b", Endpoint::Model, "/v1/models/a...b"),
        ("/v1/api/blobs/sha256:00", Endpoint::OllamaBlob, "/api/blobs/sha256:00"),
        ("/api/blobs/sha256%3A00", Endpoint::OllamaBlob, "/api/blobs/sha256%3A00"),
        ("/api/blobs/models", Endpoint::OllamaBlob, "/api/blobs/models"),
    ] {
        check(path, endpoint, upstream);
    }
}

#[test]
fn unknown_paths_go_upstream_as_they_came() {
    for (path, dialect) in [
        ("/props", Dialect::OpenAi),
        ("/v1", Dialect::OpenAi),
        ("/v1/audio/transcriptions", Dialect::OpenAi),
        ("/v1/threads/t1/messages", Dialect::OpenAi),
        ("/v1/responses/resp_1", Dialect::OpenAi),
        ("/v1/messages/batches", Dialect::Anthropic),
        ("/api/status", Dialect::Ollama),
        ("/api/experimental/web_search", Dialect::Ollama),
        ("/API//me/", Dialect::Ollama),
        ("/api/blobs", Dialect::Ollama),
        ("/api/blobs/a/b", Dialect::Ollama),
        ("/sys/create", Dialect::OpenAi),
        ("/x/sys/tags", Dialect::OpenAi),
        ("/v1/health", Dialect::OpenAi),
        ("/a%20b/%E4%BD%A0", Dialect::OpenAi),
        ("/a/..b/c..", Dialect::OpenAi),
        ("/%2570ull", Dialect::OpenAi),
        ("*", Dialect::OpenAi),
    ] {
        let route = route(Method::Post, path).unwrap();
        assert_eq!(route.endpoint, Endpoint::Other, "{path}");
        assert_eq!(route.dialect, dialect, "{path}");
        assert_eq!(route.upstream_path, UpstreamPath::AsCame);
    }
}

#[test]
fn what_upstreams_resolve_differently_is_refused() {
    for path in [
        "/..",
        "/.",
        "/v1/../api/pull",
        "/v1/./models",
        "/v1/models/../../api/pull",
        "/v1/models/..%2f..%2fapi/pull",
        "/v1/%2e%2e/api/pull",
        "/v1/.%2E/x",
        "/v1/..;/api/pull",
        "/v1/..;a=b/api/pull",
        "/v1/..\\api",
        "/v1/..%5capi",
        "/a-long-segment-before-it\\..\\api",
        "/v1/x%00",
        "/v1/x%0d%0aHost:y",
        "/v1/x%7f",
        "/v1/%",
        "/v1/%4",
        "/v1/%zz",
        "/v1/%u0041",
    ] {
        assert_eq!(route(Method::Post, path).err(), Some(Kind::BadRequest), "{path}");
        assert_eq!(route(Method::Get, path).err(), Some(Kind::BadRequest), "{path}");
    }
}

#[test]
fn who_is_told_of_a_head_that_cannot_be_read() {
    for (head, dialect) in [
        ("POST /api/chat HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Dialect::Ollama),
        ("POST /v1/messages?beta=true HTTP/1.1\n\n", Dialect::Anthropic),
        ("\r\n\r\nPOST /v1/api/chat", Dialect::Ollama),
        ("POST /api/%zz HTTP/1.1\r\n", Dialect::Ollama),
        ("POST /v1/../api/chat HTTP/1.1\r\n", Dialect::OpenAi),
        ("post /api/chat HTTP/1.1\r\n", Dialect::OpenAi),
        ("\u{0}\u{ff}", Dialect::OpenAi),
        ("", Dialect::OpenAi),
        ("POST", Dialect::OpenAi),
        ("POST api/chat", Dialect::OpenAi),
    ] {
        assert_eq!(dialect_of(head.as_bytes()), dialect, "{head:?}");
    }
}

#[test]
fn methods() {
    let taken = |method, path| {
        let route = route(method, path).unwrap();
        (route.endpoint, route.method_allowed)
    };
    assert_eq!(taken(Method::Get, "/v1/chat/completions"), (Endpoint::Chat, false));
    assert_eq!(taken(Method::Put, "/API/chat"), (Endpoint::OllamaChat, false));
    assert_eq!(taken(Method::Head, "/api/tags"), (Endpoint::OllamaTags, true));
    assert_eq!(taken(Method::Post, "/api/delete"), (Endpoint::OllamaDelete, false));
    assert_eq!(taken(Method::Delete, "/api/delete"), (Endpoint::OllamaDelete, true));
    assert_eq!(taken(Method::Delete, "/v1/models/ft:x"), (Endpoint::Model, false));
    assert_eq!(taken(Method::Head, "/v1/models/x"), (Endpoint::Model, true));
    assert_eq!(taken(Method::Post, "/v1beta/models/gemini:generateContent"), (Endpoint::Other, true));
    assert_eq!(taken(Method::Head, "/"), (Endpoint::Root, true));
    assert_eq!(taken(Method::Post, "/"), (Endpoint::Other, true));
    assert_eq!(taken(Method::Post, "/metrics"), (Endpoint::Other, true));
    assert_eq!(taken(Method::Get, "/metrics"), (Endpoint::Metrics, true));
    for endpoint in Endpoint::ALL {
        let names = endpoint.allow();
        for (method, name) in
            [(Method::Get, "GET"), (Method::Post, "POST"), (Method::Delete, "DELETE"), (Method::Head, "HEAD")]
        {
            assert_eq!(endpoint.takes(method), names.split(", ").any(|own| own == name), "{endpoint:?}");
        }
    }
}

/// What an upstream would make of a path: escapes decoded, empty segments dropped, case folded.
fn resolved(path: &str) -> Option<Vec<String>> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let text = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(text, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?.to_lowercase();
    Some(text.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// No spelling smuggles a management call past admission: whatever reaches the upstream and could mean `api/pull` and
    /// its like there, in any reading, was admitted as that.
    #[test]
    fn management_is_never_disguised(
        parts in prop::collection::vec(
            prop::sample::select(&["/", "//", "api", "API", "%61pi", "pull", "Pull", "%70ull", "%2f", "delete", "v1", "models", "blobs",
                "x", ".", "..", "%2e", ";", "\\", "chat", "%5c", "%", "completions", "messages", "health", "sys"][..]),
            0..9,
        ),
        method in prop::sample::select(&[Method::Get, Method::Post, Method::Delete, Method::Head][..]),
    ) {
        let path = format!("/{}", parts.concat());
        let Ok(route) = route(method, &path) else { return Ok(()) };
        let sent = sent(&route, &path);
        let Some(segments) = resolved(&sent) else { return Ok(()) };
        prop_assert!(!segments.iter().any(|segment| segment == "." || segment == ".." || segment.contains('\\')));
        let means = |verb: &str| segments == ["api", verb];
        prop_assert_eq!(means("pull"), route.endpoint == Endpoint::OllamaPull, "{}", sent);
        prop_assert_eq!(means("delete"), route.endpoint == Endpoint::OllamaDelete, "{}", sent);
        prop_assert_eq!(means("chat"), route.endpoint == Endpoint::OllamaChat, "{}", sent);
        let is_blob = segments.len() == 3 && segments[..2] == ["api", "blobs"];
        prop_assert_eq!(is_blob, route.endpoint == Endpoint::OllamaBlob, "{}", sent);
        // Own endpoints never go upstream, and what goes there reads the same the second time.
        if !route.endpoint.is_own() {
            let again = super::route(method, &sent).unwrap();
            prop_assert_eq!(again.endpoint, route.endpoint, "{} {}", path, sent);
        }
    }

    #[test]
    fn any_text_is_routed_or_refused(path in "/[ -~]{0,40}") {
        if let Ok(route) = route(Method::Get, &path) {
            prop_assert!(route.endpoint != Endpoint::Model || sent(&route, &path).len() > "/v1/models/".len());
        }
    }
}
