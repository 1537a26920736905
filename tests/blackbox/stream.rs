//! Streams: every event at once, no more memory than a window, and an honest end.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::both_drivers;
use crate::support::{
    After, Client, Framing, Gateway, Io, LAST_CHUNK, PATIENCE, Upstream, chat_event, chunk, eventually, json_reply,
    post, stream_head,
};

both_drivers![
    each_event_passes_before_the_next_is_made,
    each_piece_of_a_request_body_passes_at_once,
    a_reader_that_stops_stops_the_upstream,
    an_upstream_that_stops_reading_stops_the_client,
    a_long_answer_passes_in_bounded_memory,
    a_cut_answer_looks_cut,
    an_early_answer_ends_the_upload,
    an_early_answer_to_a_collected_body_ends_its_connection,
    a_begun_answer_is_not_asked_for_again,
    misspelled_methods_are_refused,
    streams_have_the_headers_that_proxies_need,
    many_streams_at_once_stay_apart,
];

const MIB: usize = 1 << 20;
/// What sockets on the way may hold (loopback buffers grow to several MiB), and the gateway itself.
const WINDOW_MAX: usize = 24 * MIB;
/// What the gateway itself may hold for one connection that does not move.
const HELD_MAX: u64 = 8 * MIB as u64;

/// A script that sends what the test hands it.
fn by_hand() -> (Upstream, mpsc::Sender<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let receiver = Mutex::new(receiver);
    let upstream = Upstream::start(move |conn, _| {
        for bytes in receiver.lock().unwrap().iter() {
            conn.send(bytes);
        }
        After::Close
    });
    (upstream, sender)
}

fn each_event_passes_before_the_next_is_made(io: Io) {
    for keep in ["keep", "strip"] {
        let (upstream, hand) = by_hand();
        let gateway = Gateway::before(&upstream, io);
        let mut client = gateway.connect();
        client.send(post("/v1/chat/completions", &format!("X-Think: {keep}\r\n"), r#"{"model":"m","stream":true}"#));
        hand.send(stream_head("text/event-stream")).unwrap();
        let head = client.head();
        assert_eq!((head.status, head.framing), (200, Framing::Chunked));
        for at in 0..20 {
            let event = chat_event(&format!(" word{at}"));
            hand.send(chunk(&event)).unwrap();
            // Nothing further is sent before this one has arrived.
            assert_eq!(client.chunks_until("\n\n"), event);
        }
        hand.send(LAST_CHUNK.to_vec()).unwrap();
        assert_eq!(client.chunk(), None);
    }
}

fn each_piece_of_a_request_body_passes_at_once(io: Io) {
    let (arrived, arrivals) = mpsc::channel();
    let upstream = Upstream::start_heads_only(move |conn, _| {
        let mut seen = 0;
        while seen < 5 * 1000 {
            match conn.read_some() {
                Ok(0) => return After::Close,
                Ok(read) => {
                    seen += read;
                    arrived.send(seen).unwrap();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return After::Close,
            }
        }
        conn.send(json_reply(200, "{}"));
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    client.send("POST /api/blobs/sha256:x HTTP/1.1\r\nHost: g\r\nContent-Length: 5000\r\n\r\n");
    for at in 1..=5 {
        client.send([b'x'; 1000]);
        let mut seen = 0;
        while seen < at * 1000 {
            seen = arrivals.recv_timeout(PATIENCE).expect("the piece arrives before the next is sent");
        }
    }
    assert_eq!(client.reply().status, 200);
}

fn a_reader_that_stops_stops_the_upstream(io: Io) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let upstream = Upstream::start(move |conn, request| {
        conn.send(stream_head(if request.target().starts_with("/v1") { "text/event-stream" } else { "text/plain" }));
        let piece = chunk(chat_event(&"x".repeat(16_000)));
        while conn.send(&piece) {
            counter.fetch_add(piece.len(), Ordering::SeqCst);
        }
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    gateway.get("/health");
    for path in ["/raw", "/v1/chat/completions"] {
        sent.store(0, Ordering::SeqCst);
        let before = gateway.resident_bytes();
        let mut client = Client::connect_with_small_window(gateway.addr);
        client.send(post(path, "", r#"{"model":"m","stream":true}"#));
        let stopped = wait_until_still(&sent);
        assert!(stopped < WINDOW_MAX, "{path}: {stopped} bytes went nowhere");
        let held = gateway.resident_bytes().saturating_sub(before);
        assert!(held < HELD_MAX, "{path}: the gateway holds {held} bytes");
        // Reading again lets it go on.
        let mut read = 0;
        while read < stopped + 4 * MIB {
            let some = client.read_some(64 * 1024).unwrap();
            assert!(!some.is_empty(), "the stream ended");
            read += some.len();
        }
        assert!(sent.load(Ordering::SeqCst) > stopped);
    }
}

/// Waits until the counter has moved and then stands still.
fn wait_until_still(counter: &AtomicUsize) -> usize {
    eventually("anything is sent", || counter.load(Ordering::SeqCst) > 0);
    let mut last = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = counter.load(Ordering::SeqCst);
        if now == last || now > 4 * WINDOW_MAX {
            return now;
        }
        last = now;
    }
}

fn an_upstream_that_stops_reading_stops_the_client(io: Io) {
    let upstream = Upstream::start_heads_only(|conn, _| {
        std::thread::sleep(Duration::from_secs(3));
        conn.send(json_reply(200, "{}"));
        After::Close
    });
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--max-body", "1GiB"]).start();
    gateway.get("/health");
    let before = gateway.resident_bytes();
    let mut client = gateway.connect();
    client.send("POST /api/blobs/sha256:x HTTP/1.1\r\nHost: g\r\nContent-Length: 900000000\r\n\r\n");
    client.stream().set_write_timeout(Some(Duration::from_millis(700))).unwrap();
    let piece = vec![b'x'; 256 * 1024];
    let mut sent = 0;
    while sent < 4 * WINDOW_MAX && client.try_send(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < WINDOW_MAX, "{sent} bytes went nowhere");
    let held = gateway.resident_bytes().saturating_sub(before);
    assert!(held < HELD_MAX, "the gateway holds {held} bytes");
}

fn a_long_answer_passes_in_bounded_memory(io: Io) {
    const LENGTH: usize = 96 * MIB;
    let upstream = Upstream::start(|conn, _| {
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {LENGTH}\r\n\r\n"
        ));
        let piece = vec![7; MIB];
        for _ in 0..LENGTH / MIB {
            conn.send(&piece);
        }
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    gateway.get("/health");
    let before = gateway.resident_bytes();
    let mut client = gateway.connect();
    client.send("GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
    let head = client.head();
    assert_eq!(head.framing, Framing::Length(LENGTH as u64));
    let (mut read, mut most) = (0, 0);
    while read < LENGTH {
        let some = client.read_some(256 * 1024).unwrap();
        assert!(!some.is_empty() && some.iter().all(|byte| *byte == 7));
        read += some.len();
        most = most.max(gateway.resident_bytes());
    }
    assert_eq!(read, LENGTH);
    assert!(most.saturating_sub(before) < HELD_MAX, "{before} grew to {most}");
}

fn a_cut_answer_looks_cut(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        match request.target() {
            "/sized" => conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf"),
            "/between" => conn.send([&stream_head("text/plain")[..], &chunk("half")[..]].concat()),
            "/inside" => conn.send([&stream_head("text/plain")[..], b"ff\r\nhalf"].concat()),
            "/no-last-line" => conn.send([&stream_head("text/plain")[..], &chunk("half")[..], b"0\r\n"].concat()),
            _ => {
                conn.send([&stream_head("text/plain")[..], &chunk("half")[..]].concat());
                std::thread::sleep(Duration::from_millis(50));
                conn.reset();
                true
            }
        };
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    for path in ["/sized", "/between", "/inside", "/no-last-line", "/reset"] {
        let mut client = gateway.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: g\r\n\r\n"));
        let reply = client.try_reply("GET");
        assert!(reply.is_err(), "{path}: half an answer looks whole: {reply:?}");
    }
    assert_eq!(upstream.requests().len(), 5, "an answer that has begun is never asked for again");
}

fn an_early_answer_ends_the_upload(io: Io) {
    let upstream = Upstream::start_heads_only(|conn, request| {
        conn.send(json_reply(if request.method() == "GET" { 200 } else { 413 }, "{\"error\":\"too large\"}"));
        // Reading on keeps the kernel from answering the unread body with a reset.
        if request.method() != "GET" {
            conn.wait_closed();
        }
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    client.send("POST /api/blobs/sha256:x HTTP/1.1\r\nHost: g\r\nContent-Length: 50000000\r\n\r\n");
    client.send(vec![b'x'; 200_000]);
    let reply = client.reply();
    assert_eq!((reply.status, reply.text().as_str()), (413, "{\"error\":\"too large\"}"));
    assert_eq!(gateway.get("/x").status, 200, "and nobody else gets the half-used connection");
}

fn an_early_answer_to_a_collected_body_ends_its_connection(io: Io) {
    // The body is known whole to the gateway before it asks, and the upstream answers before it has read it.
    let upstream = Upstream::start_heads_only(|conn, request| {
        conn.send(json_reply(if request.target().starts_with("/v1/chat") { 429 } else { 200 }, "{}"));
        if request.target().starts_with("/v1/chat") {
            // Nothing more is read: on a kept connection the next request would be taken for the rest of this body.
            std::thread::sleep(std::time::Duration::from_secs(2));
            return After::Close;
        }
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(15_000_000));
    assert_eq!(gateway.post("/v1/chat/completions", &body).status, 429);
    assert_eq!(gateway.get("/x").status, 200, "and nobody else gets the half-used connection");
    let targets: Vec<String> = upstream.requests().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(targets, ["/v1/chat/completions", "/x"]);
    assert_eq!(gateway.metric("thinkgate_upstream_retries_total", &[]), 0.0, "it was not even tried");
}

fn a_begun_answer_is_not_asked_for_again(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/first" {
            conn.send(json_reply(200, "{}"));
            return After::Keep;
        }
        conn.send("HTTP/1.1 200");
        std::thread::sleep(std::time::Duration::from_millis(100));
        conn.reset();
        After::Close
    });
    let gateway = Gateway::before(&upstream, io);
    assert_eq!(gateway.get("/first").status, 200);
    assert_eq!(gateway.get("/cut").status, 502);
    assert_eq!(upstream.requests().len(), 2, "an answer had begun to come");
}

fn misspelled_methods_are_refused(io: Io) {
    let upstream = Upstream::answering(json_reply(200, "{}"));
    let gateway = Gateway::before(&upstream, io);
    let mut client = gateway.connect();
    client.send("post /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.reply().status, 400);
    assert_eq!(upstream.requests().len(), 0);
}

fn streams_have_the_headers_that_proxies_need(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        let kind = if request.target().starts_with("/api") { "application/x-ndjson" } else { "text/event-stream" };
        conn.send(stream_head(kind));
        conn.send(LAST_CHUNK);
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    for (path, kind) in [("/v1/chat/completions", "text/event-stream"), ("/api/chat", "application/x-ndjson")] {
        let reply = gateway.post(path, r#"{"model":"m","stream":true}"#);
        assert_eq!(reply.field("content-type"), Some(kind));
        assert_eq!(reply.field("x-accel-buffering"), Some("no"), "{path}");
        let cache = reply.field("cache-control").unwrap_or_default();
        assert!(cache.contains("no-cache") && cache.contains("no-transform"), "{path}: {cache:?}");
        assert_eq!(reply.field("content-length"), None);
    }
}

fn many_streams_at_once_stay_apart(io: Io) {
    const EVENTS: usize = 50;
    let upstream = Upstream::start(|conn, request| {
        let name = String::from_utf8_lossy(&request.body).into_owned();
        conn.send(stream_head("text/event-stream"));
        for at in 0..EVENTS {
            conn.send(chunk(chat_event(&format!("{name}-{at} "))));
            std::thread::sleep(Duration::from_millis(1));
        }
        conn.send(LAST_CHUNK);
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    std::thread::scope(|scope| {
        for name in 0..40 {
            let gateway = &gateway;
            scope.spawn(move || {
                let body = gateway.post("/v1/chat/completions", &format!("{name}")).text();
                let wanted: String = (0..EVENTS).map(|at| chat_event(&format!("{name}-{at} "))).collect();
                assert_eq!(body, wanted);
            });
        }
    });
}
