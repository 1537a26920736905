//! Wrong base URLs are routed by suffix, never redirected.

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Upstream, json_reply};

both_drivers![wrong_base_urls_reach_the_right_path, what_is_right_or_unknown_stays_as_it_is, no_alias_is_redirected];

fn ok() -> Upstream {
    Upstream::answering(json_reply(200, "{}"))
}

/// What clients make of a wrong base URL, and where it belongs.
const ALIASES: &[(&str, &str, &str)] = &[
    ("POST", "/v1/chat/completions/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1//chat/completions", "/v1/chat/completions"),
    ("POST", "/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions/", "/v1/chat/completions"),
    ("POST", "//v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/api/v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions/v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1//v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions?api-version=1", "/v1/chat/completions?api-version=1"),
    ("POST", "/v1/chat/completions/chat/completions?x=1", "/v1/chat/completions?x=1"),
    ("POST", "/completions", "/v1/completions"),
    ("POST", "/v1/chat/completions/completions", "/v1/completions"),
    ("POST", "/embeddings", "/v1/embeddings"),
    ("POST", "/v1/chat/completions/embeddings", "/v1/embeddings"),
    ("GET", "/models", "/v1/models"),
    ("GET", "/v1/chat/completions/models", "/v1/models"),
    ("GET", "/v1/models/", "/v1/models"),
    ("GET", "/v1/v1/models/vendor/name:free", "/v1/models/vendor/name:free"),
    ("POST", "/v1/v1/messages", "/v1/messages"),
    ("POST", "/v1/chat/completions/v1/messages", "/v1/messages"),
    ("POST", "/openai/v1/chat/completions", "/v1/chat/completions"),
    ("POST", "/v1/chat/completions/api/chat", "/api/chat"),
    ("POST", "/v1/api/chat", "/api/chat"),
    ("POST", "/api/api/chat", "/api/chat"),
    ("POST", "/api/chat/", "/api/chat"),
    ("POST", "/v1/api/show", "/api/show"),
    ("POST", "/v1/chat/api/show", "/api/show"),
    ("GET", "/v1/api/tags", "/api/tags"),
];

fn wrong_base_urls_reach_the_right_path(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    let mut wrong = Vec::new();
    for (method, path, wanted) in ALIASES {
        let reply = gateway.exchange(format!("{method} {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{{}}"));
        let seen = upstream.requests().pop().map(|request| request.target().to_owned());
        if reply.status != 200 || seen.as_deref() != Some(*wanted) {
            wrong.push(format!("{method} {path}: {} {seen:?}, not {wanted}", reply.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn what_is_right_or_unknown_stays_as_it_is(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    let paths = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models/a/b:c",
        "/v1/responses",
        "/v1/messages",
        "/v1/audio/transcriptions",
        "/v1/images/generations",
        "/api/chat",
        "/api/generate",
        "/api/blobs/sha256:00ff",
        "/api/embeddings",
        "/props",
        "/slots",
        "/tokenize",
        "/some/path/of/its/own",
        "/V1/CHAT",
    ];
    for path in paths {
        gateway.get(path);
        assert_eq!(upstream.requests().pop().unwrap().target(), path);
    }
}

fn no_alias_is_redirected(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n",
        );
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.get("/x");
    assert_eq!(reply.status, 307, "the upstream's own answer passes");
    assert_eq!(upstream.requests().len(), 1, "and is not followed");
    drop(upstream);
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    for (method, path, _) in ALIASES {
        let status =
            gateway.exchange(format!("{method} {path} HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n")).status;
        assert!(!(300..400).contains(&status), "{path}: {status}");
    }
}
