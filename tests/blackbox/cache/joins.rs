//! Identical requests at the same moment share one upstream call, each client at its own pace.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::both_drivers;
use crate::support::{
    After, Client, Gateway, Io, PATIENCE, Upstream, chunk, eventually, json_reply, post, stream_head,
};

use super::{
    CHAT, OLLAMA, begin, cache_status, cached, event, lookups, question, stored, stream_end, told, wait_until_quiet,
    wait_until_stored,
};

both_drivers![
    fifty_cost_one,
    both_cores_follow_one_call,
    who_joins_late_may_wait_longer,
    plain_requests_join_too,
    a_late_one_gets_the_first_part_at_once,
    a_slow_one_slows_nobody,
    everybody_slow_slows_the_upstream,
    counts_are_taken_out_live,
    everybody_learns_of_an_error,
    everybody_learns_of_a_cut,
    everybody_learns_of_a_refusal,
    an_upstream_that_stops_sending_is_told_to_all,
    flights_on_a_core_that_dies_end,
    displaced_flights_die_with_their_core_too,
];

/// Opens step by step.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<usize>, Condvar)>);

impl Gate {
    pub fn open(&self, step: usize) {
        *self.0.0.lock().unwrap() = step;
        self.0.1.notify_all();
    }

    pub fn wait(&self, step: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut now = self.0.0.lock().unwrap();
        while *now < step && Instant::now() < deadline {
            now = self.0.1.wait_timeout(now, Duration::from_millis(100)).unwrap().0;
        }
    }
}

/// Streams `pieces` texts, the n-th once the gate is open to n.
pub fn gated(pieces: usize, piece: usize) -> (Upstream, Gate) {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        for number in 0..pieces {
            open.wait(number);
            let text = format!("piece {number} {}", "x".repeat(piece));
            if !conn.send(chunk(event(&json!({"content": text}), None))) {
                return After::Close;
            }
        }
        open.wait(pieces);
        conn.send(chunk(stream_end()));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    (upstream, gate)
}

/// Answers without a stream, once the gate is open.
fn gated_plain() -> (Upstream, Gate) {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        open.wait(1);
        conn.send(super::whole_json("fine"));
        After::Keep
    });
    (upstream, gate)
}

/// A stream with the counts, which clients of every form can be served from.
fn counted() -> String {
    json!({"model": "m", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "q"}]})
    .to_string()
}

/// Starts `count` identical requests, each of which follows before the next one starts.
pub fn crowd(gateway: &Gateway, count: usize, stream: bool) -> Vec<Client> {
    crowd_of(gateway, count, &question("q", stream))
}

fn crowd_of(gateway: &Gateway, count: usize, body: &str) -> Vec<Client> {
    let before = lookups(gateway, "miss") + lookups(gateway, "joined");
    let clients = (0..count).map(|_| begin(gateway, CHAT, body)).collect();
    eventually("all of them follow", || lookups(gateway, "miss") + lookups(gateway, "joined") >= before + count as f64);
    clients
}

fn fifty_cost_one(io: Io) {
    let (upstream, gate) = gated(20, 100);
    let gateway = cached(io, &upstream).start();
    let mut clients = crowd(&gateway, 50, true);
    assert_eq!((lookups(&gateway, "miss"), lookups(&gateway, "joined")), (1.0, 49.0));
    assert_eq!(gateway.metric("thinkgate_cache_flights", &[]), 1.0);
    assert_eq!(gateway.metric("thinkgate_cache_followers", &[]), 50.0);
    gate.open(20);
    let first = clients[0].reply();
    assert!(told(&first).ended && told(&first).text.contains("piece 19"));
    for client in &mut clients[1..] {
        let reply = client.reply();
        assert_eq!(reply.body, first.body, "the very same bytes");
        assert!(cache_status(&reply).contains("miss"), "{}", cache_status(&reply));
    }
    assert_eq!(upstream.requests().len(), 1);
    wait_until_stored(&gateway, 1);
    wait_until_quiet(&gateway);
    assert!(gateway.post(CHAT, &question("q", true)).field("age").is_some());
}

fn both_cores_follow_one_call(io: Io) {
    const PIECES: usize = 60;
    let (upstream, gate) = gated(PIECES, 10);
    let gateway = cached(io, &upstream).start();
    let mut clients = crowd(&gateway, 8, true);
    let before = crate::balance::naps(&gateway);
    for step in 1..=PIECES {
        gate.open(step);
        std::thread::sleep(Duration::from_millis(10));
    }
    let after = crate::balance::naps(&gateway);
    let mut woken: Vec<u64> = after.iter().map(|(task, now)| now - before.get(task).copied().unwrap_or(0)).collect();
    woken.sort_unstable_by(|a, b| b.cmp(a));
    // Each piece wakes both; a core without followers would be woken by its deadlines alone, half as often.
    assert!(woken[1] >= PIECES as u64 * 3 / 4, "{woken:?}");
    for client in &mut clients {
        assert!(told(&client.reply()).text.contains("piece 59"));
    }
    assert_eq!(upstream.requests().len(), 1);
}

fn who_joins_late_may_wait_longer(io: Io) {
    let (upstream, gate) = gated_plain();
    let gateway = cached(io, &upstream).arg("--timeout").arg("2s").start();
    let mut first = begin(&gateway, CHAT, &question("q", false));
    std::thread::sleep(Duration::from_millis(1_400));
    let mut second = begin(&gateway, CHAT, &question("q", false));
    assert_eq!(first.reply().status, 504);
    gate.open(1);
    assert_eq!(told(&second.reply()).text, "fine");
    assert_eq!(upstream.requests().len(), 1);
}

fn plain_requests_join_too(io: Io) {
    let (upstream, gate) = gated_plain();
    let gateway = cached(io, &upstream).start();
    let mut clients = crowd(&gateway, 50, false);
    gate.open(1);
    for client in &mut clients {
        assert_eq!(told(&client.reply()).text, "fine");
    }
    assert_eq!(upstream.requests().len(), 1);
}

fn a_late_one_gets_the_first_part_at_once(io: Io) {
    let (upstream, gate) = gated(3, 10);
    let gateway = cached(io, &upstream).start();
    let mut first = begin(&gateway, CHAT, &question("q", true));
    gate.open(1);
    first.head();
    first.chunks_until("piece 1");
    // On both cores.
    let mut late: Vec<Client> = (0..4).map(|_| begin(&gateway, CHAT, &question("q", true))).collect();
    for client in &mut late {
        assert!(cache_status(&client.head()).contains("collapsed"));
        let part = client.chunks_until("piece 1");
        assert!(part.contains("piece 0") && !part.contains("piece 2"));
    }
    gate.open(2);
    for client in late.iter_mut().chain([&mut first]) {
        assert!(!client.chunks_until("piece 2").contains("piece 1"), "from here on it is live");
    }
    gate.open(3);
    for client in late.iter_mut().chain([&mut first]) {
        client.chunks_until("[DONE]");
        assert_eq!(client.chunk(), None);
    }
    assert_eq!(upstream.requests().len(), 1);
}

fn a_slow_one_slows_nobody(io: Io) {
    // Several megabytes, so that no socket's buffer holds it, and less than what cuts who is too far behind.
    let (upstream, gate) = gated(100, 60_000);
    let gateway = cached(io, &upstream).start();
    let mut slow = Client::connect_with_small_window(gateway.addr);
    slow.send(post(CHAT, "", &question("q", true)));
    upstream.wait_for_requests(1);
    let mut fast = crowd(&gateway, 4, true);
    gate.open(100);
    let started = Instant::now();
    let replies: Vec<_> = fast.iter_mut().map(Client::reply).collect();
    assert!(replies.iter().all(|reply| told(reply).ended && reply.body == replies[0].body));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // Now it reads, and has it all.
    assert!(slow.reply().body == replies[0].body);
    assert_eq!(upstream.requests().len(), 1);
}

fn everybody_slow_slows_the_upstream(io: Io) {
    // More than a log holds: if nobody took it back-pressure would have to stop it.
    let (upstream, gate) = gated(800, 60_000);
    let gateway = cached(io, &upstream).start();
    gate.open(800);
    let mut slow: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = Client::connect_with_small_window(gateway.addr);
            client.send(post(CHAT, "", &question("q", true)));
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(800));
    assert!(gateway.resident_bytes() < 100 << 20, "{} bytes", gateway.resident_bytes());
    assert_eq!(gateway.metric("thinkgate_cache_flights", &[]), 1.0, "it waits");
    // One reads; the others are cut when they are too far behind, and the reader is not.
    let reply = slow[0].reply();
    assert!(told(&reply).ended && told(&reply).text.contains("piece 799"));
    assert!(gateway.resident_bytes() < 160 << 20, "{} bytes", gateway.resident_bytes());
    drop(slow);
    wait_until_quiet(&gateway);
}

/// Who did not ask for the counts gets everything else, and live.
fn counts_are_taken_out_live(io: Io) {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(event(&json!({"content": "piece 0"}), None)));
        open.wait(1);
        conn.send(chunk(event(&json!({}), Some("stop"))));
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
        conn.send(chunk(format!("data: {}\n\ndata: [DONE]\n\n", json!({"choices": [], "usage": usage}))));
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    let mut first = begin(&gateway, CHAT, &counted());
    upstream.wait_for_requests(1);
    let mut other = begin(&gateway, CHAT, &question("q", true));
    other.head();
    other.chunks_until("piece 0");
    gate.open(1);
    assert_eq!(told(&first.reply()).usage, Some((1, 2)));
    assert!(!other.chunks_until("[DONE]").contains("usage"));
    assert_eq!(other.chunk(), None);
    assert_eq!(upstream.requests().len(), 1);
}

/// A crowd in all forms against one upstream that refuses once the gate is open.
fn refused(io: Io, reply: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> (Vec<crate::support::Reply>, usize) {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        open.wait(1);
        conn.send(reply());
        After::Close
    });
    let gateway = cached(io, &upstream).start();
    let mut clients = vec![begin(&gateway, CHAT, &counted())];
    upstream.wait_for_requests(1);
    for (path, stream) in [(CHAT, true), (CHAT, false), (OLLAMA, true), (OLLAMA, false)] {
        for _ in 0..3 {
            clients.push(begin(&gateway, path, &question("q", stream)));
        }
    }
    eventually("all follow", || lookups(&gateway, "joined") == 12.0);
    gate.open(1);
    let replies = clients.iter_mut().map(Client::reply).collect();
    wait_until_quiet(&gateway);
    assert_eq!(stored(&gateway), 0.0);
    (replies, upstream.requests().len())
}

fn everybody_learns_of_an_error(io: Io) {
    for status in [429, 500, 404] {
        let error = r#"{"error":{"message":"come back later","type":"x"}}"#;
        let (replies, calls) = refused(io, move || {
            let reply = String::from_utf8(json_reply(status, error)).unwrap();
            reply.replacen("\r\n", "\r\nRetry-After: 7\r\n", 1).into_bytes()
        });
        assert_eq!(calls, 1, "nobody asks a failing upstream again");
        for (at, reply) in replies.iter().enumerate() {
            assert_eq!((reply.status, reply.field("retry-after")), (status, Some("7")), "{at}");
            let error = &reply.json()["error"];
            let message = if at <= 6 { &error["message"] } else { error };
            assert_eq!(message.as_str(), Some("come back later"), "{at}: {}", reply.text());
        }
    }
}

fn everybody_learns_of_a_refusal(io: Io) {
    let (replies, calls) = refused(io, || b"HTTP/9 nonsense\r\n\r\n".to_vec());
    assert_eq!(calls, 1);
    for (at, reply) in replies.iter().enumerate() {
        assert_eq!(reply.status, 502, "{at}");
        let error = &reply.json()["error"];
        assert!(if at <= 6 { &error["message"] } else { error }.is_string(), "{at}: {}", reply.text());
    }
}

fn everybody_learns_of_a_cut(io: Io) {
    let gate = Gate::default();
    let open = gate.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(event(&json!({"content": "half"}), None)));
        open.wait(1);
        After::Close
    });
    let gateway = cached(io, &upstream).start();
    let mut streams = crowd_of(&gateway, 8, &counted());
    let mut others: Vec<Client> = [(CHAT, false), (OLLAMA, true), (OLLAMA, false)]
        .map(|(path, stream)| begin(&gateway, path, &question("q", stream)))
        .into();
    eventually("all follow", || lookups(&gateway, "joined") == 10.0);
    for client in &mut streams {
        client.head();
        client.chunks_until("half");
    }
    gate.open(1);
    for client in &mut streams {
        // No end that could be taken for one.
        while let Ok(Some(bytes)) = client.try_chunk() {
            assert!(!String::from_utf8_lossy(&bytes).contains("[DONE]"));
        }
    }
    for client in &mut others {
        assert_eq!(client.reply().status, 502, "who has nothing yet is told");
    }
    wait_until_quiet(&gateway);
    assert_eq!((upstream.requests().len(), stored(&gateway)), (1, 0.0));
}

fn an_upstream_that_stops_sending_is_told_to_all(io: Io) {
    let upstream = Upstream::start(|conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(event(&json!({"content": "half"}), None)));
        conn.wait_closed();
        After::Close
    });
    let gateway = cached(io, &upstream).args(["--idle-timeout", "1s"]).start();
    let mut clients = crowd_of(&gateway, 6, &counted());
    let mut plain = begin(&gateway, CHAT, &question("q", false));
    for client in &mut clients {
        let text = String::from_utf8_lossy(&client.reply().body).into_owned();
        assert!(text.contains("half") && text.contains("upstream_timeout") && !text.contains("[DONE]"), "{text}");
    }
    assert_eq!(plain.reply().status, 504);
    wait_until_quiet(&gateway);
    assert_eq!((upstream.requests().len(), stored(&gateway)), (1, 0.0));
}

/// Needs the faults that debug builds have on demand.
fn flights_on_a_core_that_dies_end(io: Io) {
    if !cfg!(debug_assertions) {
        return;
    }
    let (upstream, gate) = gated(50, 10);
    let gateway = cached(io, &upstream).env("TEST_FAULTS", "1").start();
    let mut clients = crowd(&gateway, 8, true);
    for client in &mut clients {
        client.head();
    }
    // Whichever core the connection is on dies, until the leader's has.
    for _ in 0..40 {
        let mut killer = gateway.connect();
        killer.send("GET /test-fault/worker HTTP/1.1\r\nHost: g\r\n\r\n");
        killer.drain();
        if gateway.metric("thinkgate_worker_restarts_total", &[]) >= 2.0 {
            break;
        }
    }
    gate.open(50);
    for client in &mut clients {
        while matches!(client.try_chunk(), Ok(Some(_))) {}
    }
    // Nobody joins what is dead.
    assert!(told(&gateway.post(CHAT, &question("q", true))).ended);
    eventually("no flight is left", || gateway.metric("thinkgate_cache_flights", &[]) == 0.0);
}

fn displaced_flights_die_with_their_core_too(io: Io) {
    if !cfg!(debug_assertions) {
        return;
    }
    for _ in 0..4 {
        let (upstream, gate) = gated(50, 10);
        let gateway = cached(io, &upstream).env("TEST_FAULTS", "1").start();
        let mut clients = crowd(&gateway, 8, true);
        for client in &mut clients {
            client.head();
        }
        // Another one takes its place; its followers are on both cores still.
        let mut fresh = gateway.connect();
        fresh.send(post(CHAT, "Cache-Control: no-cache\r\n", &question("q", true)));
        fresh.head();
        let mut killer = gateway.connect();
        killer.send("GET /test-fault/worker HTTP/1.1\r\nHost: g\r\n\r\n");
        killer.drain();
        eventually("it is replaced", || gateway.metric("thinkgate_worker_restarts_total", &[]) == 1.0);
        gate.open(50);
        let started = Instant::now();
        for client in &mut clients {
            while matches!(client.try_chunk(), Ok(Some(_))) {}
        }
        // Whole or cut, whichever core it was: nobody waits for a leader that is dead.
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
