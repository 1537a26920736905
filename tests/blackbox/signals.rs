//! Leaving in order, leaving at once, and reading the configuration again.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::both_drivers;
use crate::support::{After, Client, Gateway, Io, Upstream, chunk, eventually, json_reply, post, stream_head};

both_drivers![
    term_lets_streams_finish,
    interrupt_does_the_same,
    an_idle_gateway_leaves_at_once,
    grace_is_an_upper_bound,
    a_second_signal_ends_at_once,
    kept_connections_learn_of_the_end,
    hup_takes_the_new_configuration,
    hup_keeps_the_old_one_if_the_new_is_wrong,
    hup_changes_no_request_under_way,
];

const TERM: i32 = libc::SIGTERM;
const INT: i32 = libc::SIGINT;
const HUP: i32 = libc::SIGHUP;

/// A stream whose pieces the test hands out.
struct Held {
    gateway: Gateway,
    upstream: Upstream,
    client: Client,
    hand: mpsc::Sender<&'static str>,
}

/// A gateway with one stream under way.
fn with_stream(io: Io, args: [&str; 2]) -> Held {
    let (hand, pieces) = mpsc::channel::<&'static str>();
    let pieces = std::sync::Mutex::new(pieces);
    let upstream = Upstream::start(move |conn, request| {
        if request.target() != "/stream" {
            conn.send(json_reply(200, "{}"));
            return After::Keep;
        }
        conn.send(stream_head("text/plain"));
        conn.send(chunk("begun"));
        for piece in pieces.lock().unwrap().iter() {
            conn.send(chunk(piece));
        }
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(args).start();
    let mut client = gateway.connect();
    client.send("GET /stream HTTP/1.1\r\nHost: g\r\n\r\n");
    client.head();
    client.chunks_until("begun");
    Held { gateway, upstream, client, hand }
}

fn refuses_connections(gateway: &Gateway) -> bool {
    std::net::TcpStream::connect_timeout(&gateway.addr, Duration::from_secs(1)).is_err()
}

fn finishes_in_order(io: Io, signal: i32) {
    let mut held = with_stream(io, ["--shutdown-grace", "60s"]);
    // Opened before, so that readiness can be asked for after the listeners are gone.
    let mut probe = held.gateway.connect();
    probe.send("GET /readyz HTTP/1.1\r\nHost: g\r\n\r\n");
    assert_eq!(probe.reply().status, 200);
    held.gateway.signal(signal);
    eventually("the listeners are closed", || refuses_connections(&held.gateway));
    // A kept connection is either told that there is no more, or closed.
    if probe.try_send("GET /readyz HTTP/1.1\r\nHost: g\r\n\r\n").is_ok()
        && let Ok(reply) = probe.try_reply("GET")
    {
        assert_eq!(reply.status, 503, "readiness is false");
    }
    held.hand.send("more").unwrap();
    held.client.chunks_until("more");
    assert!(held.gateway.running(), "it waits for the stream");
    drop(held.hand);
    assert_eq!(held.client.chunk(), None, "which ends whole");
    let status = held.gateway.wait();
    assert_eq!(status.code(), Some(0), "{status}");
    drop(held.upstream);
}

fn term_lets_streams_finish(io: Io) {
    finishes_in_order(io, TERM);
}

fn interrupt_does_the_same(io: Io) {
    finishes_in_order(io, INT);
}

fn an_idle_gateway_leaves_at_once(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let mut gateway = Gateway::before(&upstream, io);
    let mut kept = gateway.connect();
    kept.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
    kept.reply();
    let started = Instant::now();
    gateway.signal(TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "an idle connection is nothing to wait for: {:?}",
        started.elapsed()
    );
    kept.expect_closed();
}

fn grace_is_an_upper_bound(io: Io) {
    let mut held = with_stream(io, ["--shutdown-grace", "1s"]);
    let started = Instant::now();
    held.gateway.signal(TERM);
    held.gateway.wait();
    let took = started.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(8), "{took:?}");
    drop(held.hand);
}

fn a_second_signal_ends_at_once(io: Io) {
    let mut held = with_stream(io, ["--shutdown-grace", "1h"]);
    held.gateway.signal(TERM);
    eventually("the first one is taken", || refuses_connections(&held.gateway));
    // Supervisors often tell a process and its group: two signals at once are one.
    held.gateway.signal(TERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(held.gateway.running());
    let started = Instant::now();
    held.gateway.signal(TERM);
    held.gateway.wait();
    assert!(started.elapsed() < Duration::from_secs(3));
    drop(held.hand);
}

fn kept_connections_learn_of_the_end(io: Io) {
    let (hand, answer) = mpsc::channel::<()>();
    let answer = std::sync::Mutex::new(answer);
    let upstream = Upstream::start(move |conn, _| {
        let _ = answer.lock().unwrap().recv();
        conn.send(json_reply(200, "{}"));
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
    upstream.wait_for_requests(1);
    gateway.signal(TERM);
    eventually("the listeners are closed", || refuses_connections(&gateway));
    hand.send(()).unwrap();
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (200, Some("close")), "no further request is invited");
    client.expect_closed();
}

fn config(upstream: &Upstream, policy: &str) -> String {
    format!("upstream:\n  url: {}\nthink:\n  policy: {policy}\n", upstream.url())
}

fn reload(gateway: &Gateway, yaml: &str) {
    std::fs::write(gateway.dir.join("test.yaml"), yaml).unwrap();
    gateway.signal(HUP);
}

fn thinking(text: &str) -> Upstream {
    let message = serde_json::json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]});
    Upstream::answering(json_reply(200, &message.to_string()))
}

fn hup_takes_the_new_configuration(io: Io) {
    let (first, second) = (thinking("<think>a</think>first"), thinking("<think>a</think>second"));
    let gateway = Gateway::build(io).config(config(&first, "strip")).start();
    let ask = || gateway.post("/v1/chat/completions", r#"{"model":"m"}"#).text();
    assert!(ask().contains("\"first\""));
    // On a connection that was there before as well.
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", r#"{"model":"m"}"#));
    client.reply();
    reload(&gateway, &config(&second, "keep"));
    eventually("the new upstream and the new policy count", || ask().contains("<think>a</think>second"));
    client.send(post("/v1/chat/completions", "", r#"{"model":"m"}"#));
    assert!(client.reply().text().contains("<think>a</think>second"));
}

fn hup_keeps_the_old_one_if_the_new_is_wrong(io: Io) {
    let upstream = thinking("<think>a</think>b");
    let gateway = Gateway::build(io).config(config(&upstream, "strip")).start();
    // Lines are counted below: those of the start have to be all there.
    gateway.wait_for_log("/readyz");
    for wrong in ["think:\n  polcy: keep\n", "timeouts:\n  total: 5\n", "\tnot yaml: [", "upstream: {url: 'ftp://x'}\n"]
    {
        let lines = gateway.log().lines().count();
        // The first half is right and different: whole or not at all.
        reload(&gateway, &format!("{}{wrong}", config(&upstream, "keep").replace("think:\n  policy: keep\n", "")));
        eventually("it says why", || gateway.log().lines().count() > lines);
        let text = gateway.post("/v1/chat/completions", r#"{"model":"m"}"#).text();
        assert!(text.contains("\"b\""), "after {wrong:?}: {text}");
    }
    let log = gateway.log();
    assert!(log.contains("polcy") && log.contains("policy"), "names the nearest key: {log}");
    assert!(gateway.metric("thinkgate_config_reload_failures_total", &[]) >= 4.0);
}

fn hup_changes_no_request_under_way(io: Io) {
    let (hand, pieces) = mpsc::channel::<&'static str>();
    let pieces = std::sync::Mutex::new(pieces);
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(crate::support::chat_event("<think>")));
        for piece in pieces.lock().unwrap().iter() {
            conn.send(chunk(crate::support::chat_event(piece)));
        }
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = Gateway::build(io).config(config(&upstream, "strip")).start();
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", r#"{"model":"m","stream":true}"#));
    client.head();
    let taken = gateway.metric("thinkgate_config_taken_total", &[]);
    reload(&gateway, &config(&upstream, "keep"));
    eventually("the core has the new one", || gateway.metric("thinkgate_config_taken_total", &[]) > taken);
    for piece in ["secret", "</think>", "visible"] {
        hand.send(piece).unwrap();
    }
    drop(hand);
    let mut text = String::new();
    while let Some(chunk) = client.chunk() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("visible") && !text.contains("secret"), "one request, one configuration: {text}");
}
