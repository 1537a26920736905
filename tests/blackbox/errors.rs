//! What the gateway itself says when something fails: in the dialect of the path, helpful, without a secret.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::both_drivers;
use crate::support::{Gateway, Io, Reply, Upstream, json_reply};

both_drivers![
    an_upstream_that_is_down,
    a_name_that_does_not_resolve,
    errors_speak_the_dialect_of_the_path,
    errors_are_framed_and_typed,
    refused_heads_get_an_answer_too,
    errors_are_counted_by_kind,
];

fn dead_addr() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn an_upstream_that_is_down(io: Io) {
    let addr = dead_addr();
    let gateway = Gateway::build(io)
        .upstream(&format!("http://{addr}"))
        .args(["--enable-shared-mode", "--api-key", "sk-secret-key"])
        .start();
    let started = Instant::now();
    let reply = gateway.post("/v1/chat/completions", "{}");
    assert!(started.elapsed() < Duration::from_secs(5), "within the connect limit");
    assert_eq!(reply.status, 502);
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&addr), "says which upstream: {message}");
    assert!(message.to_lowercase().contains("refused"), "says why: {message}");
    assert!(!reply.text().contains("sk-secret-key"));
}

fn a_name_that_does_not_resolve(io: Io) {
    let gateway =
        Gateway::build(io).upstream("http://no-such-host.invalid:1234").args(["--connect-timeout", "2s"]).start();
    let started = Instant::now();
    let reply = gateway.get("/v1/models");
    assert!(started.elapsed() < Duration::from_secs(12));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (502, &"upstream_unreachable".into()));
    assert!(reply.text().contains("no-such-host.invalid"), "{}", reply.text());
    // Resolving never stops a worker.
    let started = Instant::now();
    assert_eq!(gateway.get("/health").status, 200);
    assert!(started.elapsed() < Duration::from_secs(2));
}

fn check_openai(reply: &Reply) {
    let error = &reply.json()["error"];
    assert!(error["message"].is_string() && error["type"].is_string(), "{}", reply.text());
    let object = error.as_object().unwrap();
    assert!(object.contains_key("param") && object.contains_key("code"), "all four members: {}", reply.text());
}

fn errors_speak_the_dialect_of_the_path(io: Io) {
    let gateway = Gateway::build(io).upstream(&format!("http://{}", dead_addr())).start();
    for path in ["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/chat/completions", "/v1/v1/completions"] {
        check_openai(&gateway.post(path, "{}"));
    }
    for path in ["/api/chat", "/api/generate", "/api/tags", "/api/show", "/v1/api/chat", "/api/pull"] {
        let reply = gateway.post(path, "{}");
        assert_eq!(reply.status, 502);
        assert!(reply.json()["error"].is_string(), "{path}: {}", reply.text());
    }
    let reply = gateway.post("/v1/messages", "{}");
    let json = reply.json();
    assert!(
        json["type"] == "error" && json["error"]["type"].is_string() && json["error"]["message"].is_string(),
        "{json}"
    );
}

fn errors_are_framed_and_typed(io: Io) {
    let gateway = Gateway::build(io).upstream(&format!("http://{}", dead_addr())).start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send("GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n");
        let reply = client.reply();
        assert_eq!(reply.status, 502);
        assert!(reply.field("content-type").unwrap().starts_with("application/json"));
        assert!(reply.field("x-request-id").is_some_and(|id| !id.is_empty()), "so that the log line can be found");
    }
    client.send("HEAD /v1/models HTTP/1.1\r\nHost: g\r\n\r\n");
    assert_eq!(client.reply_to("HEAD").status, 502, "an error to HEAD has no body");
    client.send("GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
    assert_eq!(client.reply().status, 200);
}

fn refused_heads_get_an_answer_too(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.exchange("POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: +5\r\n\r\n");
    assert_eq!(reply.status, 400);
    check_openai(&reply);
    assert!(reply.text().contains("Content-Length"), "names the rule: {}", reply.text());
    assert_eq!(reply.field("connection"), Some("close"));
    let reply = gateway.exchange("POST /api/chat HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip\r\n\r\n");
    assert_eq!(reply.status, 501);
    assert!(reply.json()["error"].as_str().is_some_and(|error| error.contains("chunked")), "{}", reply.text());
    let reply = gateway.exchange("POST /api/chat HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"].as_str().is_some_and(|error| error.contains("chunk")), "{}", reply.text());
    let reply = gateway.exchange("POST /api/%zz HTTP/1.1\r\nHost: g\r\n\r\n");
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"].as_str().is_some_and(|error| error.contains("path")), "{}", reply.text());
}

fn errors_are_counted_by_kind(io: Io) {
    let gateway = Gateway::build(io).upstream(&format!("http://{}", dead_addr())).start();
    for _ in 0..3 {
        gateway.get("/v1/models");
    }
    gateway.exchange("GET / HTTP/1.1\r\nHost: g\r\nHost: g\r\n\r\n");
    assert_eq!(gateway.metric("thinkgate_errors_total", &["connect_failed"]), 3.0);
    assert_eq!(gateway.metric("thinkgate_errors_total", &["bad_request"]), 1.0);
}
