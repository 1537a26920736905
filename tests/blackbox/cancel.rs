//! When a client leaves, its upstream request ends within 100 ms, whatever phase it is in.

use std::time::{Duration, Instant};

use crate::both_drivers;
use crate::support::{After, Client, Deaf, Gateway, Io, Upstream, chat_event, chunk, eventually, post, stream_head};

both_drivers![
    while_connecting,
    while_waiting_for_the_head,
    while_waiting_for_the_head_by_reset,
    in_the_middle_of_a_stream,
    while_thinking_is_taken_out,
    while_uploading,
    while_the_client_does_not_read,
    while_another_request_is_queued_behind,
    closing_one_side_is_leaving,
    own_answers_do_not_mind_it,
    others_are_not_harmed,
];

/// The contract.
const CANCEL_MAX: Duration = Duration::from_millis(100);
/// A busy machine may be late; one try in so many has to keep the contract.
const TRIES: usize = 5;

/// How long after `leave` the upstream's connection was closed; the best of some tries has to keep the contract.
fn ends_in_time(phase: &str, mut once: impl FnMut() -> Duration) {
    let times: Vec<Duration> = std::iter::repeat_with(&mut once)
        .take(TRIES)
        .scan(false, |done, time| {
            if *done {
                None
            } else {
                *done = time < CANCEL_MAX;
                Some(time)
            }
        })
        .collect();
    assert!(times.iter().any(|time| *time < CANCEL_MAX), "{phase}: {times:?}");
}

fn stream_request() -> String {
    post("/v1/chat/completions", "", r#"{"model":"m","stream":true}"#)
}

/// Starts a request against a script that hangs, runs `until`, leaves, and measures.
fn measure(
    io: Io,
    upstream: &Upstream,
    request: &str,
    until: impl Fn(&mut Client),
    leave: impl Fn(Client),
) -> Duration {
    let gateway = Gateway::before(upstream, io);
    let mut client = gateway.connect();
    client.send(request);
    upstream.wait_for_requests(1);
    until(&mut client);
    std::thread::sleep(Duration::from_millis(30)); // let it settle in its wait
    let left = Instant::now();
    leave(client);
    upstream.wait_for_close().saturating_duration_since(left)
}

fn while_connecting(io: Io) {
    ends_in_time("connecting", || {
        let deaf = Deaf::start();
        let gateway =
            Gateway::build(io).upstream(&format!("http://{}", deaf.addr)).args(["--connect-timeout", "60s"]).start();
        gateway.get("/health");
        std::thread::sleep(Duration::from_millis(50)); // its start and that request leave no sockets behind
        let before = gateway.sockets();
        let mut client = gateway.connect();
        client.send(stream_request());
        eventually("the client's socket and the attempt's", || gateway.sockets() == before + 2);
        std::thread::sleep(Duration::from_millis(30));
        drop(client);
        let left = Instant::now();
        eventually("both are closed", || gateway.sockets() == before);
        left.elapsed()
    });
}

fn silent() -> Upstream {
    Upstream::start(|conn, _| {
        conn.wait_closed();
        After::Close
    })
}

fn while_waiting_for_the_head(io: Io) {
    ends_in_time("head", || measure(io, &silent(), &stream_request(), |_| {}, drop));
}

fn while_waiting_for_the_head_by_reset(io: Io) {
    ends_in_time("head, by reset", || measure(io, &silent(), &stream_request(), |_| {}, Client::reset));
}

/// Sends `first` and then nothing.
fn stalling(first: String) -> Upstream {
    Upstream::start(move |conn, _| {
        conn.send(stream_head("text/event-stream"));
        conn.send(chunk(&first));
        conn.wait_closed();
        After::Close
    })
}

fn in_the_middle_of_a_stream(io: Io) {
    ends_in_time("mid-stream", || {
        let upstream = stalling(chat_event("hello"));
        measure(io, &upstream, &stream_request(), |client| drop((client.head(), client.chunk())), drop)
    });
}

fn while_thinking_is_taken_out(io: Io) {
    ends_in_time("suppressed thinking", || {
        let upstream = stalling(chat_event("<think>") + &chat_event("hm"));
        measure(io, &upstream, &stream_request(), |_| std::thread::sleep(Duration::from_millis(50)), drop)
    });
}

fn while_uploading(io: Io) {
    ends_in_time("upload", || {
        let upstream = Upstream::start_heads_only(|conn, _| {
            conn.wait_closed();
            After::Close
        });
        let request = "POST /api/blobs/sha256:x HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000\r\n\r\nsome";
        measure(io, &upstream, request, |_| {}, drop)
    });
}

fn while_the_client_does_not_read(io: Io) {
    ends_in_time("blocked client", || {
        let upstream = Upstream::start(|conn, _| {
            conn.send(stream_head("text/event-stream"));
            let piece = chunk(chat_event(&"x".repeat(8000)));
            while conn.send(&piece) {} // the failing send is noted with its time
            After::Close
        });
        measure(io, &upstream, &stream_request(), |_| std::thread::sleep(Duration::from_millis(400)), Client::reset)
    });
}

/// The two cannot be told apart, and an answer nobody waits for costs a model's time. nginx decides the same.
fn closing_one_side_is_leaving(io: Io) {
    ends_in_time("half-closed", || {
        let left = std::cell::RefCell::new(None);
        measure(
            io,
            &silent(),
            &stream_request(),
            |_| {},
            |mut client| {
                client.half_close();
                // Still there to read, until the upstream's end has been seen.
                left.replace(Some(client));
            },
        )
    });
}

/// What `nc -N` and the like do: all that they have to say and the end at once.
fn own_answers_do_not_mind_it(io: Io) {
    let gateway = Gateway::before(&silent(), io);
    let mut client = gateway.connect();
    client.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
    client.half_close();
    assert_eq!(client.reply().status, 200);
    client.expect_closed();
}

fn while_another_request_is_queued_behind(io: Io) {
    ends_in_time("pipelined", || {
        let request = stream_request() + "GET /next HTTP/1.1\r\nHost: g\r\n\r\n";
        measure(io, &silent(), &request, |_| {}, Client::reset)
    });
}

fn others_are_not_harmed(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        if request.target() == "/leave" {
            conn.send(stream_head("text/plain"));
            conn.send(chunk("x"));
            conn.wait_closed();
            return After::Close;
        }
        conn.send(stream_head("text/plain"));
        for at in 0..30 {
            conn.send(chunk(format!("{at} ")));
            std::thread::sleep(Duration::from_millis(5));
        }
        conn.send(b"0\r\n\r\n");
        After::Keep
    });
    let gateway = Gateway::before(&upstream, io);
    let wanted: String = (0..30).map(|at| format!("{at} ")).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(gateway.get("/stay").text(), wanted));
            scope.spawn(|| {
                for _ in 0..10 {
                    let mut client = gateway.connect();
                    client.send("GET /leave HTTP/1.1\r\nHost: g\r\n\r\n");
                    client.head();
                    drop(client);
                }
            });
        }
    });
    eventually("nothing is left behind", || gateway.metric("thinkgate_requests_active", &[]) == 0.0);
}
