//! What a bug costs. Debug builds make one on demand when the environment allows it; release builds cannot, so that these
//! tests are for debug builds only.

#![cfg(debug_assertions)]

use std::time::Duration;

use crate::both_drivers;
use crate::support::{After, Client, Gateway, Io, Upstream, chunk, eventually, json_reply, stream_head};

both_drivers![
    a_panic_costs_its_connection_only,
    many_panics_cost_nothing_more,
    a_dead_worker_is_replaced,
    a_dead_worker_of_two_is_replaced,
    the_dead_leave_nothing_open,
    the_dead_are_not_counted,
    nobody_can_ask_for_a_fault_unasked,
];

/// Streams a piece every few milliseconds on `/stream`, for about a second and a half.
fn upstream() -> Upstream {
    Upstream::start(|conn, request| {
        if request.target() != "/stream" {
            conn.send(json_reply(200, "{}"));
            return After::Keep;
        }
        conn.send(stream_head("text/plain"));
        for at in 0..150 {
            if !conn.send(chunk(format!("{at} "))) {
                return After::Close;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        conn.send(chunk("end"));
        conn.send(b"0\r\n\r\n");
        After::Keep
    })
}

fn gateway(io: Io, upstream: &Upstream, workers: usize) -> Gateway {
    Gateway::build(io).upstream(&upstream.url()).workers(workers).env("TEST_FAULTS", "1").start()
}

fn streaming(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send("GET /stream HTTP/1.1\r\nHost: g\r\n\r\n");
    client.head();
    client.chunks_until("2 ");
    client
}

fn ask_for(gateway: &Gateway, fault: &str) {
    let mut client = gateway.connect();
    client.send(format!("GET /test-fault/{fault} HTTP/1.1\r\nHost: g\r\n\r\n"));
    let said = String::from_utf8_lossy(&client.drain()).into_owned();
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 5"), "closed, or told: {said}");
}

fn a_panic_costs_its_connection_only(io: Io) {
    let upstream = upstream();
    let mut gateway = gateway(io, &upstream, 1);
    let mut stream = streaming(&gateway);
    ask_for(&gateway, "panic");
    stream.chunks_until("end");
    assert_eq!(stream.chunk(), None, "a stream on the same core goes on to its end");
    assert_eq!(gateway.metric("thinkgate_connection_panics_total", &[]), 1.0);
    assert_eq!(gateway.metric("thinkgate_worker_restarts_total", &[]), 0.0);
    // Each question for a metric leaves a connection, which the gateway notices a moment later.
    eventually("the stream's and the one that asks are open", || {
        gateway.metric("thinkgate_downstream_connections_open", &[]) == 2.0
    });
    assert!(gateway.running());
}

fn many_panics_cost_nothing_more(io: Io) {
    let upstream = upstream();
    let gateway = gateway(io, &upstream, 1);
    gateway.get("/x");
    let before = gateway.sockets();
    for _ in 0..100 {
        ask_for(&gateway, "panic");
    }
    assert_eq!(gateway.get("/x").status, 200);
    assert_eq!(gateway.metric("thinkgate_connection_panics_total", &[]), 100.0);
    eventually("no socket is lost", || gateway.sockets() <= before);
}

fn a_dead_worker_is_replaced(io: Io) {
    let upstream = upstream();
    let mut gateway = gateway(io, &upstream, 1);
    for round in 1..=3 {
        assert_eq!(gateway.get("/x").status, 200);
        let mut client = gateway.connect();
        client.send("GET /test-fault/worker HTTP/1.1\r\nHost: g\r\n\r\n");
        client.drain();
        eventually("another one serves", || {
            let mut client = gateway.connect();
            client.try_send("GET /x HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").is_ok()
                && client.try_reply("GET").is_ok_and(|reply| reply.status == 200)
        });
        assert_eq!(gateway.metric("thinkgate_worker_restarts_total", &[]), f64::from(round));
    }
    assert!(gateway.running());
    assert!(gateway.log().to_lowercase().contains("worker"), "it is said");
}

fn a_dead_worker_of_two_is_replaced(io: Io) {
    let upstream = upstream();
    let gateway = gateway(io, &upstream, 2);
    gateway.get("/x");
    let mut killer = gateway.connect();
    killer.send("GET /test-fault/worker HTTP/1.1\r\nHost: g\r\n\r\n");
    killer.drain();
    eventually("its seat is taken again", || gateway.metric("thinkgate_worker_restarts_total", &[]) == 1.0);
    // Both cores take connections: all of these are open at once.
    let mut clients: Vec<Client> = (0..16).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
        assert_eq!(client.reply().status, 200);
    }
}

fn the_dead_leave_nothing_open(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/hang" {
            conn.wait_closed();
            return After::Close;
        }
        conn.send(json_reply(200, "{}"));
        After::Keep
    });
    let gateway = gateway(io, &upstream, 1);
    let mut waiting = gateway.connect();
    waiting.send("GET /hang HTTP/1.1\r\nHost: g\r\n\r\n");
    upstream.wait_for_requests(1);
    gateway.connect().send("GET /test-fault/worker HTTP/1.1\r\nHost: g\r\n\r\n");
    // Both sides of the request that was under way learn of it.
    upstream.wait_for_close();
    waiting.expect_closed();
    eventually("another one serves", || {
        let mut client = gateway.connect();
        client.try_send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n").is_ok() && client.try_reply("GET").is_ok()
    });
}

fn the_dead_are_not_counted(io: Io) {
    let upstream = upstream();
    let gateway = gateway(io, &upstream, 1);
    let clients: Vec<Client> = (0..3).map(|_| streaming(&gateway)).collect();
    assert_eq!(gateway.metric("thinkgate_requests_active", &[]), 3.0);
    ask_for(&gateway, "worker");
    eventually("its seat is taken again", || gateway.metric("thinkgate_worker_restarts_total", &[]) == 1.0);
    // What was open died with the worker; what it had counted so far did not.
    for (name, now) in [
        ("thinkgate_downstream_connections_open", 1.0),
        ("thinkgate_upstream_connections_open", 0.0),
        ("thinkgate_requests_active", 0.0),
    ] {
        eventually(name, || gateway.metric(name, &[]) == now);
    }
    assert!(gateway.metric("thinkgate_downstream_connections_total", &[]) >= 5.0);
    drop(clients);
}

fn nobody_can_ask_for_a_fault_unasked(io: Io) {
    let upstream = upstream();
    let gateway = Gateway::build(io).upstream(&upstream.url()).start();
    for fault in ["panic", "worker"] {
        assert_eq!(gateway.get(&format!("/test-fault/{fault}")).status, 200, "an ordinary path");
    }
    assert_eq!(gateway.metric("thinkgate_connection_panics_total", &[]), 0.0);
    assert_eq!(upstream.requests().len(), 2);
}
