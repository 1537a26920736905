//! Clients that leave a shared answer.

use std::time::Duration;

use serde_json::json;

use crate::both_drivers;
use crate::support::{After, Client, Io, Upstream, chunk, eventually, noise, stream_head};

use super::joins::{crowd, gated};
use super::{CHAT, begin, cached, event, question, stored, stream_end, told, wait_until_quiet, wait_until_stored};

both_drivers![
    the_first_leaves_and_the_others_go_on,
    the_last_one_cancels,
    the_last_one_lets_it_finish,
    what_cannot_be_kept_is_not_finished,
    leaving_before_the_head,
    leaving_at_random,
    a_gateway_that_stops_ends_what_nobody_follows,
    a_gateway_that_stops_waits_for_followers,
];

fn the_first_leaves_and_the_others_go_on(io: Io) {
    let (upstream, gate) = gated(10, 10);
    let gateway = cached(io, &upstream).start();
    let mut clients = crowd(&gateway, 6, true);
    for client in &mut clients {
        client.head();
        client.chunks_until("piece 0");
    }
    clients.remove(0).reset();
    eventually("it has left", || gateway.metric("thinkgate_cache_followers", &[]) == 5.0);
    gate.open(5);
    for client in &mut clients {
        client.chunks_until("piece 5");
    }
    drop(clients.remove(0));
    gate.open(10);
    for client in &mut clients {
        client.chunks_until("[DONE]");
        assert_eq!(client.chunk(), None);
    }
    assert_eq!(upstream.requests().len(), 1);
    wait_until_stored(&gateway, 1);
}

fn the_last_one_cancels(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(event(&json!({"content": "piece 0"}), None)));
        conn.wait_closed();
        After::Close
    });
    let gateway = cached(io, &upstream).start();
    for (round, leave) in [Client::reset as fn(Client), drop].into_iter().enumerate() {
        let mut clients = crowd(&gateway, 4, true);
        for client in &mut clients {
            client.head();
        }
        assert_eq!(upstream.open(), 1);
        clients.into_iter().for_each(leave);
        eventually("the upstream's request is ended", || upstream.open() == 0);
        wait_until_quiet(&gateway);
        assert_eq!((upstream.requests().len(), stored(&gateway)), (round + 1, 0.0));
    }
}

fn the_last_one_lets_it_finish(io: Io) {
    let (upstream, gate) = gated(10, 10);
    let gateway = cached(io, &upstream).args(["--cache-on-disconnect", "finish"]).start();
    let mut clients = crowd(&gateway, 3, true);
    for client in &mut clients {
        client.head();
    }
    drop(clients);
    eventually("all have left", || gateway.metric("thinkgate_cache_followers", &[]) == 0.0);
    // Whoever comes while nobody follows still joins.
    let mut late = begin(&gateway, CHAT, &question("q", true));
    late.head();
    late.chunks_until("piece 0");
    late.reset();
    gate.open(10);
    wait_until_stored(&gateway, 1);
    let hit = gateway.post(CHAT, &question("q", true));
    assert!(hit.field("age").is_some() && told(&hit).text.contains("piece 9"));
    assert_eq!(upstream.requests().len(), 1);
}

fn what_cannot_be_kept_is_not_finished(io: Io) {
    // An endless answer: nobody reads it, and past the log's bound nobody will.
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/event-stream"));
        let piece = chunk(event(&json!({"content": "x".repeat(60_000)}), None));
        while conn.send(&piece) {}
        After::Close
    });
    let gateway = cached(io, &upstream).args(["--cache-on-disconnect", "finish"]).start();
    let mut client = begin(&gateway, CHAT, &question("q", true));
    client.head();
    client.reset();
    eventually("the endless answer is ended", || upstream.open() == 0);
    wait_until_quiet(&gateway);
    assert!(gateway.resident_bytes() < 160 << 20, "{} bytes", gateway.resident_bytes());
}

fn leaving_before_the_head(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.wait_closed();
        After::Close
    });
    let gateway = cached(io, &upstream).start();
    let mut clients = crowd(&gateway, 4, true);
    let last = clients.pop().unwrap();
    drop(clients);
    eventually("three have left", || gateway.metric("thinkgate_cache_followers", &[]) == 1.0);
    assert_eq!(upstream.open(), 1);
    last.reset();
    eventually("the upstream's request is ended", || upstream.open() == 0);
    wait_until_quiet(&gateway);
}

fn leaving_at_random(io: Io) {
    const ROUNDS: usize = 12;
    const CLIENTS: usize = 40;
    let upstream = Upstream::start(|conn, request| {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let number = text.split("round ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("?").to_owned();
        conn.send(stream_head("text/event-stream"));
        for piece in 0..40 {
            if !conn.send(chunk(event(&json!({"content": format!("{number}/{piece} ")}), None))) {
                return After::Close;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        conn.send(chunk(stream_end()));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    for round in 0..ROUNDS {
        let wanted: String = (0..40).map(|piece| format!("{round}/{piece} ")).collect();
        let body = question(&format!("round {round}"), true);
        let luck = noise(CLIENTS, round as u64 + 1);
        std::thread::scope(|scope| {
            for luck in luck {
                let (gateway, body, wanted) = (&gateway, &body, &wanted);
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(u64::from(luck % 64)));
                    let mut client = begin(gateway, CHAT, body);
                    if luck < 128 {
                        let told = told(&client.reply());
                        assert_eq!((&told.text, told.ended), (wanted, true));
                    } else {
                        std::thread::sleep(Duration::from_millis(u64::from(luck % 50)));
                        if luck % 2 == 0 { client.reset() } else { drop(client) }
                    }
                });
            }
        });
    }
    wait_until_quiet(&gateway);
    eventually("nothing is left", || gateway.metric("thinkgate_streams_active", &[]) == 0.0);
    assert!(gateway.resident_bytes() < 128 << 20, "{} bytes", gateway.resident_bytes());
}

fn a_gateway_that_stops_ends_what_nobody_follows(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.wait_closed();
        After::Close
    });
    let mut gateway = cached(io, &upstream).args(["--cache-on-disconnect", "finish"]).start();
    let client = begin(&gateway, CHAT, &question("q", true));
    upstream.wait_for_requests(1);
    drop(client);
    eventually("nobody follows", || gateway.metric("thinkgate_cache_followers", &[]) == 0.0);
    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait().success());
}

fn a_gateway_that_stops_waits_for_followers(io: Io) {
    // The one who stays is on the leader's core in some rounds and on the other in the rest.
    for stays in 0..4 {
        let (upstream, gate) = gated(10, 10);
        let mut gateway = cached(io, &upstream).start();
        let mut clients = crowd(&gateway, 4, true);
        for client in &mut clients {
            client.head();
        }
        let mut client = clients.swap_remove(stays);
        drop(clients);
        eventually("the others have left", || gateway.metric("thinkgate_cache_followers", &[]) == 1.0);
        gateway.signal(libc::SIGTERM);
        gateway.wait_for_log("stopping");
        std::thread::sleep(Duration::from_millis(300));
        gate.open(10);
        client.chunks_until("[DONE]");
        assert!(gateway.wait().success());
    }
}
