//! What each side sees of the other's head.

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Reply, Upstream, json_reply};

both_drivers![
    the_upstream_sees_itself_as_host_and_identity,
    end_to_end_request_fields_pass_in_order,
    hop_by_hop_request_fields_do_not_pass,
    connection_cannot_name_what_matters,
    the_clients_key_passes_and_shared_mode_replaces_it,
    no_answer_repeats_a_request_field,
    answers_pass_an_allow_list,
    an_option_widens_the_list,
    hop_by_hop_answer_fields_do_not_pass,
    compressed_answers_pass_untouched,
    secrets_are_never_logged,
];

fn ok() -> Upstream {
    Upstream::answering(json_reply(200, "{}"))
}

fn the_upstream_sees_itself_as_host_and_identity(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    gateway.exchange("GET /x HTTP/1.1\r\nHost: evil.example\r\nAccept-Encoding: gzip, br\r\n\r\n");
    let request = upstream.only_request();
    let all = |name: &str| -> Vec<&str> {
        request
            .fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    };
    assert_eq!(all("host"), [upstream.addr.to_string()]);
    assert_eq!(all("accept-encoding"), ["identity"]);
}

fn end_to_end_request_fields_pass_in_order(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    let fields = [
        ("User-Agent", "OpenAI/Python 2.0"),
        ("X-Stainless-Lang", "python"),
        ("openai-beta", "assistants=v2"),
        ("x-twice", "first"),
        ("Accept", "text/event-stream"),
        ("x-twice", "second"),
        ("Cookie", "a=b; c=d"),
        ("x-empty", ""),
        ("x-bytes", "tab\there"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    gateway.exchange(format!("GET /x HTTP/1.1\r\nHost: g\r\n{lines}\r\n"));
    let request = upstream.only_request();
    let seen: Vec<(String, &str)> =
        request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    let mut at = 0;
    for (name, value) in fields {
        let found = seen[at..].iter().position(|field| *field == (name.to_ascii_lowercase(), value));
        at += 1 + found.unwrap_or_else(|| panic!("{name}: {value} in its place in {seen:?}"));
    }
}

fn hop_by_hop_request_fields_do_not_pass(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    gateway.exchange(
        "POST /x HTTP/1.1\r\nHost: g\r\nConnection: keep-alive, X-Drop-Me, x-and-me\r\nX-Drop-Me: 1\r\nX-And-Me: 2\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic c2VjcmV0\r\nTE: trailers\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: x\r\nX-Stay: 3\r\nContent-Length: 2\r\n\r\n{}",
    );
    let request = upstream.only_request();
    for name in ["x-drop-me", "x-and-me", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"] {
        assert_eq!(request.field(name), None, "{name} is between two neighbours");
    }
    assert!(request.field("connection").is_none_or(|value| value.eq_ignore_ascii_case("keep-alive")));
    assert_eq!((request.field("x-stay"), request.body.as_slice()), (Some("3"), &b"{}"[..]));
}

fn connection_cannot_name_what_matters(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    // A client must not be able to have framing, Host or its key removed on the way.
    for name in ["content-length", "host", "authorization", "accept-encoding", "content-type"] {
        let mut client = gateway.connect();
        client.send(format!(
            "POST /x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\n\
             Connection: {name}\r\nContent-Length: 5\r\n\r\nhello"
        ));
        let status = client.reply().status;
        assert!(status == 200 || status == 400, "{name}: {status}");
    }
    for request in upstream.requests() {
        assert_eq!(request.body, b"hello");
        assert_eq!(request.field("host"), Some(upstream.addr.to_string().as_str()));
        assert_eq!(request.field("accept-encoding"), Some("identity"));
    }
}

fn the_clients_key_passes_and_shared_mode_replaces_it(io: Io) {
    let upstream = ok();
    let own = Gateway::before(&upstream, io);
    let shared =
        Gateway::build(io).upstream(&upstream.url()).args(["--enable-shared-mode", "--api-key", "sk-ours"]).start();
    for (name, value) in [("Authorization", "Bearer sk-theirs"), ("x-api-key", "sk-theirs"), ("api-key", "sk-theirs")] {
        let request = format!("GET /v1/models HTTP/1.1\r\nHost: g\r\n{name}: {value}\r\n\r\n");
        own.exchange(&request);
        assert_eq!(upstream.requests().pop().unwrap().field(name), Some(value));
        shared.exchange(&request);
        let seen = upstream.requests().pop().unwrap();
        assert_eq!(seen.field("authorization"), Some("Bearer sk-ours"));
        assert!(!String::from_utf8_lossy(&seen.raw_head).contains("sk-theirs"), "{name} stays with us");
    }
    shared.get("/v1/models");
    assert_eq!(upstream.requests().pop().unwrap().field("authorization"), Some("Bearer sk-ours"));
    own.get("/v1/models");
    assert_eq!(upstream.requests().pop().unwrap().field("authorization"), None);
}

const CANARY: &str = "c4n4ry-9f3b";

/// Secrets in every place a request has.
fn canaries() -> String {
    let names = [
        "Authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "Cookie",
        "Proxy-Authorization",
        "X-Custom",
        "Referer",
        "User-Agent",
        "X-Forwarded-For",
        "Idempotency-Key",
        "openai-organization",
        "X-Title",
        "From",
        "Origin",
        "X-Auth-Token",
    ];
    names.iter().map(|name| format!("{name}: {CANARY}-{name}\r\n")).collect()
}

fn no_answer_repeats_a_request_field(io: Io) {
    // The worst upstream: it says back all it hears, under the same names, and again as its own fields.
    let upstream = Upstream::start(|conn, request| {
        let echoed: String = request
            .fields
            .iter()
            .filter(|(name, _)| {
                !["content-length", "transfer-encoding", "host", "connection"]
                    .contains(&name.to_ascii_lowercase().as_str())
            })
            .map(|(name, value)| format!("{name}: {value}\r\nX-Echo-{name}: {value}\r\n"))
            .collect();
        conn.send(format!(
            "HTTP/1.1 200 OK\r\n{echoed}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let says_it = |reply: &Reply| {
        let head = reply.fields.iter().any(|(_, value)| value.contains(CANARY));
        head || reply.text().contains(CANARY) || reply.line.contains(CANARY)
    };
    for (method, path) in [("GET", "/x"), ("POST", "/v1/chat/completions"), ("GET", "/metrics"), ("GET", "/health")] {
        let fields = canaries().replace(&format!("openai-organization: {CANARY}-openai-organization\r\n"), "");
        let reply =
            gateway.exchange(format!("{method} {path} HTTP/1.1\r\nHost: g\r\n{fields}Content-Length: 0\r\n\r\n"));
        assert!(!says_it(&reply), "{path}: {reply:?}");
    }
    let refused = gateway.exchange(format!("GET /x HTTP/1.1\r\nHost: g\r\nHost: g\r\n{}\r\n", canaries()));
    assert!(refused.status == 400 && !says_it(&refused));
    drop(upstream);
    let dead = gateway.exchange(format!("GET /x HTTP/1.1\r\nHost: g\r\n{}\r\n", canaries()));
    assert!(dead.status == 502 && !says_it(&dead), "{dead:?}");
}

fn answers_pass_an_allow_list(io: Io) {
    let passing = [
        ("Content-Type", "application/json"),
        ("x-request-id", "req_1"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-remaining-requests", "7"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("retry-after", "3"),
        ("retry-after-ms", "2500"),
    ];
    let stopping = [
        ("Set-Cookie", "session=1"),
        ("Server", "nginx"),
        ("X-Powered-By", "x"),
        ("Alt-Svc", "h3=\":443\""),
        ("Strict-Transport-Security", "max-age=1"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Internal-Token", "t"),
        ("Authorization", "Bearer x"),
        ("WWW-Authenticate-Internal", "x"),
    ];
    let lines: String = passing.iter().chain(&stopping).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let upstream =
        Upstream::answering(format!("HTTP/1.1 429 Too Many Requests\r\n{lines}Content-Length: 2\r\n\r\n{{}}"));
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.exchange("GET /v1/models HTTP/1.1\r\nHost: g\r\nx-request-id: req_1\r\n\r\n");
    assert_eq!((reply.status, reply.text().as_str()), (429, "{}"), "an upstream's own error passes as it is");
    for (name, value) in passing {
        assert_eq!(reply.field(name), Some(value), "{name}");
    }
    for (name, value) in stopping {
        assert_ne!(reply.field(name), Some(value), "{name}");
    }
}

fn an_option_widens_the_list(io: Io) {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nX-Served-By: gpu-3\r\nX-Vendor-One: 1\r\nX-Vendor-Two: 2\r\nX-Other: 3\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway =
        Gateway::build(io).upstream(&upstream.url()).args(["--response-headers", "x-served-by,X-Vendor-*"]).start();
    let reply = gateway.get("/x");
    assert_eq!(reply.field("x-served-by"), Some("gpu-3"));
    assert_eq!((reply.field("x-vendor-one"), reply.field("x-vendor-two")), (Some("1"), Some("2")));
    assert_eq!(reply.field("x-other"), None);
}

fn hop_by_hop_answer_fields_do_not_pass(io: Io) {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-ratelimit-limit-requests\r\nKeep-Alive: timeout=5, max=100\r\n\
         x-ratelimit-limit-requests: 1\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
    );
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.get("/x");
    for name in ["keep-alive", "proxy-authenticate", "trailer", "upgrade", "x-ratelimit-limit-requests"] {
        assert_eq!(reply.field(name), None, "{name}");
    }
    assert!(reply.field("connection").is_none_or(|value| value.eq_ignore_ascii_case("keep-alive")), "{reply:?}");
}

fn compressed_answers_pass_untouched(io: Io) {
    // An upstream that compresses although it was asked not to. The bytes hold a tag by chance; nobody looks for it.
    let body = b"\x1f\x8b\x08\x00<think>\x00\xff</think>\x00".to_vec();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let upstream = Upstream::answering([head.as_bytes(), &body].concat());
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.post("/v1/chat/completions", r#"{"model":"m"}"#);
    assert_eq!(reply.field("content-encoding"), Some("gzip"));
    assert_eq!(reply.body, body);
}

fn secrets_are_never_logged(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let url = format!("http://user:{CANARY}-url@{}", upstream.addr);
    for upstream_url in [upstream.url(), url] {
        let builder = Gateway::build(io).upstream(&upstream_url);
        let gateway = builder
            .args(["--debug", "--access-log", "-", "--enable-shared-mode", "--api-key"])
            .arg(format!("{CANARY}-key"))
            .env("OPENAI_API_KEY", &format!("{CANARY}-env"));
        if upstream_url.contains('@') {
            // Whether a key in the URL is taken or refused, it is not shown.
            let (_, said) = gateway.workers(0).start_expecting_failure();
            assert!(!said.contains(CANARY), "{said}");
            continue;
        }
        let gateway = gateway.start();
        // What a client calls itself is worth a line in the log, and no secret.
        let canaries = || canaries().replace(&format!("User-Agent: {CANARY}-User-Agent\r\n"), "");
        for path in ["/v1/models", "/health", &format!("/v1/models?key={CANARY}-query&api_key={CANARY}")] {
            gateway.exchange(format!("GET {path} HTTP/1.1\r\nHost: g\r\n{}\r\n", canaries()));
        }
        gateway.exchange(format!("GET /x HTTP/1.1\r\nHost: g\r\nHost: g\r\n{}\r\n", canaries()));
        gateway.wait_for_log("/v1/models");
        let log = gateway.log();
        let leaks: Vec<&str> = log.lines().filter(|line| line.contains(CANARY)).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
    }
}
