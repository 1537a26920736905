//! Kept connections to the upstream: used again, checked first, never poisoned, never too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::both_drivers;
use crate::support::{After, Gateway, Io, LAST_CHUNK, Upstream, chunk, eventually, json_reply, stream_head};

both_drivers![
    clients_share_kept_connections,
    a_closing_upstream_is_connected_to_again,
    an_http_1_0_upstream_is_not_kept,
    a_connection_closed_while_idle_is_not_used,
    a_request_lost_on_a_kept_connection_is_sent_once_more,
    a_request_lost_on_a_fresh_connection_is_not,
    what_may_have_had_an_effect_is_not_sent_twice,
    half_an_answer_is_not_asked_for_again,
    bytes_after_an_answer_reach_nobody,
    an_abandoned_answer_reaches_nobody,
    idle_connections_are_bounded,
    idle_connections_grow_old,
    no_idle_connections_at_all_if_so_configured,
];

fn ok() -> Upstream {
    Upstream::answering(json_reply(200, "{}"))
}

fn clients_share_kept_connections(io: Io) {
    let upstream = ok();
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..20 {
        assert_eq!(gateway.get("/x").status, 200, "each on a connection of its own");
        assert_eq!(gateway.post("/v1/chat/completions", "{}").status, 200);
    }
    assert_eq!(upstream.connections(), 1);
}

fn a_closing_upstream_is_connected_to_again(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    for _ in 0..5 {
        client.send("POST /api/pull HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}");
        let reply = client.reply();
        assert_eq!(reply.status, 200);
        assert_ne!(reply.field("connection"), Some("close"), "the upstream's wish is not the client's business");
    }
    assert_eq!((upstream.connections(), upstream.requests().len()), (5, 5));
}

fn an_http_1_0_upstream_is_not_kept(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        After::Keep // it would stay; the gateway must not count on it
    });
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").text(), "{}");
    }
    assert_eq!(upstream.connections(), 3);
}

fn a_connection_closed_while_idle_is_not_used(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(json_reply(200, "{}")); // and then closes without a word
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..10 {
        // Not repeatable, so that only a check before use can save it.
        assert_eq!(gateway.post("/api/pull", "{}").status, 200);
        eventually("the upstream has closed", || upstream.open() == 0);
    }
    assert_eq!(upstream.requests().len(), 10);
}

/// Takes the first request of a connection and drops every later one unanswered, after reading it.
fn forgetful() -> Upstream {
    let first = Arc::new(AtomicUsize::new(usize::MAX));
    Upstream::start(move |conn, _| {
        if first.swap(conn.number, Ordering::SeqCst) == conn.number {
            return After::Close;
        }
        conn.send(json_reply(200, "{}"));
        After::Keep
    })
}

fn a_request_lost_on_a_kept_connection_is_sent_once_more(io: Io) {
    let upstream = forgetful();
    let gateway = Gateway::before(&upstream, io);
    for (at, method) in ["GET", "HEAD", "OPTIONS"].into_iter().enumerate() {
        assert_eq!(gateway.get("/first").status, 200);
        let reply = gateway.exchange(format!("{method} /second HTTP/1.1\r\nHost: g\r\n\r\n"));
        assert_eq!(reply.status, 200, "{method}");
        let seconds = upstream.requests().iter().filter(|request| request.target() == "/second").count();
        assert_eq!(seconds, 2 * (at + 1), "lost once, sent once more");
        // Its connection has served one request now; the next round's first one would be dropped and sent again.
        eventually("one connection is kept", || upstream.open() <= 1);
        gateway.get("/flush");
    }
}

fn a_request_lost_on_a_fresh_connection_is_not(io: Io) {
    let upstream = Upstream::start(|_, _| After::Close);
    let gateway = Gateway::before(&upstream, io);
    let reply = gateway.get("/x");
    assert_eq!(reply.status, 502);
    assert_eq!(upstream.requests().len(), 1, "whoever closes a fresh connection would do so again");
}

fn what_may_have_had_an_effect_is_not_sent_twice(io: Io) {
    let upstream = forgetful();
    let gateway = Gateway::before(&upstream, io);
    for path in ["/api/pull", "/api/create", "/api/copy", "/v1/files", "/unknown"] {
        gateway.get("/first");
        let reply = gateway.post(path, "{}");
        // Either it never tries a kept connection, or it reports the loss.
        assert!(reply.status == 200 || reply.status == 502, "{path}: {}", reply.status);
        let times = upstream.requests().iter().filter(|request| request.target() == path).count();
        assert_eq!(times, 1, "{path}");
    }
}

fn half_an_answer_is_not_asked_for_again(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/half" {
            conn.send("HTTP/1.1 200 OK\r\nContent-Le");
            return After::Close;
        }
        conn.send(json_reply(200, "{}"));
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    gateway.get("/first");
    assert_eq!(gateway.get("/half").status, 502);
    let halves = upstream.requests().iter().filter(|request| request.target() == "/half").count();
    assert_eq!(halves, 1, "a byte of the answer had come");
}

fn bytes_after_an_answer_reach_nobody(io: Io) {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let upstream = Upstream::start(move |conn, request| {
        let good = |body: &str| String::from_utf8(json_reply(200, body)).unwrap();
        match request.target() {
            "/at-once" => conn.send(good("{}") + poison),
            "/later" => {
                conn.send(good("{}"));
                std::thread::sleep(Duration::from_millis(30));
                conn.send(poison)
            }
            "/204" => conn.send(format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")),
            "/head" => conn.send(good("{}") + poison),
            "/chunked" => conn.send([&stream_head("text/plain")[..], LAST_CHUNK, poison.as_bytes()].concat()),
            _ => conn.send(good("\"good\"")),
        };
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    for path in ["/at-once", "/later", "/204", "/head", "/chunked"] {
        let method = if path == "/head" { "HEAD" } else { "GET" };
        gateway.exchange(format!("{method} {path} HTTP/1.1\r\nHost: g\r\n\r\n"));
        std::thread::sleep(Duration::from_millis(60));
        for _ in 0..3 {
            assert_eq!(gateway.get("/good").text(), "\"good\"", "after {path}");
        }
    }
}

fn an_abandoned_answer_reaches_nobody(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/slow" {
            conn.send(stream_head("text/plain"));
            conn.send(chunk("secret of the one who left"));
            std::thread::sleep(Duration::from_millis(100));
            conn.send(chunk("more of it"));
            conn.send(LAST_CHUNK);
        } else {
            conn.send(json_reply(200, "\"good\""));
        }
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..5 {
        let mut client = gateway.connect();
        client.send("GET /slow HTTP/1.1\r\nHost: g\r\n\r\n");
        client.head();
        drop(client);
        assert_eq!(gateway.get("/good").text(), "\"good\"");
    }
}

/// Answers after a moment, so that requests sent together need as many connections.
fn unhurried() -> Upstream {
    Upstream::start(|conn, _| {
        std::thread::sleep(Duration::from_millis(300));
        conn.send(json_reply(200, "{}"));
        After::Keep
    })
}

fn together(gateway: &Gateway, count: usize) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| assert_eq!(gateway.get("/x").status, 200));
        }
    });
}

fn idle_connections_are_bounded(io: Io) {
    let upstream = unhurried();
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--pool-idle-max", "4"]).start();
    together(&gateway, 24);
    assert!(upstream.connections() >= 20, "they did need connections of their own");
    eventually("no more than four are kept", || upstream.open() <= 4);
    assert!(upstream.open() > 0);
}

fn idle_connections_grow_old(io: Io) {
    let upstream = unhurried();
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--pool-idle-age", "1s"]).start();
    together(&gateway, 3);
    assert!(upstream.open() > 0);
    eventually("they are closed without being asked", || upstream.open() == 0);
}

fn no_idle_connections_at_all_if_so_configured(io: Io) {
    let upstream = ok();
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--pool-idle-max", "0"]).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").status, 200);
    }
    assert_eq!(upstream.connections(), 3);
}
