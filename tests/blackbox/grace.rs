//! What is on its way when the grace of a drain is over: everybody is told in the words of their path, and the books
//! are closed.

use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::both_drivers;
use crate::support::{
    After, Builder, Client, Deaf, Gateway, Io, Upstream, chat_event, chunk, eventually, post, stream_head,
};

both_drivers![
    streams_are_told,
    ollama_streams_are_told,
    an_answer_not_begun_is_refused,
    followers_are_told,
    every_core_is_told,
    what_is_no_stream_is_cut,
    a_second_signal_tells_them_too,
    stuck_clients_hold_nothing_up,
    an_upstream_that_does_not_accept_holds_nothing_up,
];

const CHAT: &str = "/v1/chat/completions";
const OLLAMA: &str = "/api/chat";
const QUESTION: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"?"}]}"#;

/// Sends `head` and `first` and nothing more, until the sender is dropped.
fn silent(head: Vec<u8>, first: Vec<u8>) -> (Upstream, Sender<()>) {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Upstream::start(move |conn, _| {
        conn.send(&head);
        conn.send(&first);
        let _ = held.lock().unwrap().recv();
        After::Close
    });
    (upstream, hold)
}

fn gateway(io: Io, upstream: &Upstream) -> Builder {
    with_grace(io, upstream, "300ms")
}

fn with_grace(io: Io, upstream: &Upstream, grace: &str) -> Builder {
    Gateway::build(io).upstream(&upstream.url()).args(["--shutdown-grace", grace, "--access-log", "-"])
}

/// Asks for a stream and reads `first` of it.
fn begin(gateway: &Gateway, path: &str, first: &str) -> Client {
    let mut client = gateway.connect();
    client.send(post(path, "", QUESTION));
    assert_eq!(client.head().status, 200);
    client.chunks_until(first);
    client
}

/// The rest of a stream that ends whole.
fn rest(client: &mut Client) -> String {
    let mut text = String::new();
    while let Some(chunk) = client.chunk() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

#[track_caller]
fn ends_in_order(gateway: &mut Gateway, signalled: Instant) {
    let status = gateway.wait();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(signalled.elapsed() < Duration::from_secs(6), "{:?}", signalled.elapsed());
    // After everything else, the books included.
    assert!(gateway.log().contains("thinkgate: stopped"));
}

/// The access line of the only request.
#[track_caller]
fn access_line(gateway: &Gateway) -> Value {
    let log = gateway.log();
    let line = log.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no access line: {log}"));
    serde_json::from_str(line).unwrap()
}

fn streams_are_told(io: Io) {
    // In the middle of an event as well: the error must not become part of it.
    for first in [chat_event("begun"), format!("{}data: {{\"cho", chat_event("begun"))] {
        let (upstream, _hold) = silent(stream_head("text/event-stream"), chunk(first));
        let mut gateway = gateway(io, &upstream).start();
        let mut client = begin(&gateway, CHAT, "begun");
        let signalled = Instant::now();
        gateway.signal(libc::SIGTERM);
        let told = rest(&mut client);
        let event = told.split("\n\n").find_map(|event| event.strip_prefix("data: {\"error\"")).expect(&told);
        assert!(event.contains("shutting down") && event.contains("draining"), "{told}");
        client.expect_closed();
        ends_in_order(&mut gateway, signalled);
        let line = access_line(&gateway);
        assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &"cut".into()), "{line}");
    }
}

fn ollama_streams_are_told(io: Io) {
    let first = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"begun\"},\"done\":false}\n";
    let (upstream, _hold) = silent(stream_head("application/x-ndjson"), chunk(first));
    let mut gateway = gateway(io, &upstream).start();
    let mut client = begin(&gateway, OLLAMA, "begun");
    let signalled = Instant::now();
    gateway.signal(libc::SIGTERM);
    let told = rest(&mut client);
    let last: Value = serde_json::from_str(told.lines().last().expect("a line")).expect(&told);
    assert!(last["error"].as_str().is_some_and(|error| error.contains("shutting down")), "{told}");
    ends_in_order(&mut gateway, signalled);
}

fn an_answer_not_begun_is_refused(io: Io) {
    for (path, where_) in [(CHAT, "/error/message"), (OLLAMA, "/error")] {
        let (upstream, _hold) = silent(Vec::new(), Vec::new());
        let mut gateway = gateway(io, &upstream).start();
        let mut client = gateway.connect();
        client.send(post(path, "", QUESTION));
        upstream.wait_for_requests(1);
        let signalled = Instant::now();
        gateway.signal(libc::SIGTERM);
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("connection")), (503, Some("close")));
        let said = reply.json();
        assert!(
            said.pointer(where_).and_then(Value::as_str).is_some_and(|text| text.contains("shutting down")),
            "{said}"
        );
        ends_in_order(&mut gateway, signalled);
        assert_eq!(access_line(&gateway)["status"], 503);
    }
}

fn followers_are_told(io: Io) {
    let (upstream, _hold) = silent(stream_head("text/event-stream"), chunk(chat_event("begun")));
    let mut gateway = gateway(io, &upstream).workers(2).arg("--enable-cache").start();
    let mut clients: Vec<Client> = (0..6).map(|_| begin(&gateway, CHAT, "begun")).collect();
    assert_eq!(upstream.requests().len(), 1, "one call for all");
    let signalled = Instant::now();
    gateway.signal(libc::SIGTERM);
    for client in &mut clients {
        let told = rest(client);
        assert!(told.contains("data: {\"error\"") && told.contains("shutting down"), "{told}");
    }
    ends_in_order(&mut gateway, signalled);
}

/// Also those after one that has ended already.
fn every_core_is_told(io: Io) {
    for _ in 0..4 {
        let (upstream, _hold) = silent(Vec::new(), Vec::new());
        let mut gateway = gateway(io, &upstream).workers(3).start();
        let mut client = gateway.connect();
        client.send(post(CHAT, "", QUESTION));
        upstream.wait_for_requests(1);
        let signalled = Instant::now();
        gateway.signal(libc::SIGTERM);
        assert_eq!(client.reply().status, 503);
        gateway.wait();
        let took = signalled.elapsed();
        assert!(took < Duration::from_millis(1_200), "nobody waits for a core that has ended: {took:?}");
        assert_eq!(access_line(&gateway)["status"], 503);
    }
}

fn what_is_no_stream_is_cut(io: Io) {
    let (upstream, _hold) = silent(stream_head("text/plain"), chunk("begun"));
    let mut gateway = gateway(io, &upstream).start();
    let mut client = gateway.connect();
    client.send("GET /stream HTTP/1.1\r\nHost: g\r\n\r\n");
    client.head();
    client.chunks_until("begun");
    let signalled = Instant::now();
    gateway.signal(libc::SIGTERM);
    assert!(client.try_chunk().is_err(), "words of ours have no place in it, so its end is missing");
    ends_in_order(&mut gateway, signalled);
}

fn a_second_signal_tells_them_too(io: Io) {
    let (upstream, _hold) = silent(stream_head("text/event-stream"), chunk(chat_event("begun")));
    let mut gateway = with_grace(io, &upstream, "1h").start();
    let mut client = begin(&gateway, CHAT, "begun");
    gateway.signal(libc::SIGTERM);
    eventually("the first one is taken", || gateway.log().contains("a second signal ends them"));
    std::thread::sleep(Duration::from_millis(50));
    let signalled = Instant::now();
    gateway.signal(libc::SIGTERM);
    assert!(rest(&mut client).contains("shutting down"));
    ends_in_order(&mut gateway, signalled);
}

fn stuck_clients_hold_nothing_up(io: Io) {
    let (upstream, _hold) = silent(stream_head("text/event-stream"), chunk(chat_event(&"x".repeat(900_000))));
    let mut gateway = gateway(io, &upstream).start();
    let mut client = Client::connect_with_small_window(gateway.addr);
    client.send(post(CHAT, "", QUESTION));
    upstream.wait_for_requests(1);
    // A head and a body that do not come on, too.
    let mut half = gateway.connect();
    half.send("POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\n");
    let mut body = gateway.connect();
    body.send("POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{");
    std::thread::sleep(Duration::from_millis(200));
    let signalled = Instant::now();
    gateway.signal(libc::SIGTERM);
    assert_eq!(body.reply().status, 503);
    ends_in_order(&mut gateway, signalled);
}

fn an_upstream_that_does_not_accept_holds_nothing_up(io: Io) {
    let deaf = Deaf::start();
    let mut gateway = Gateway::build(io)
        .upstream(&format!("http://{}", deaf.addr))
        .args(["--shutdown-grace", "300ms", "--access-log", "-"])
        .start();
    let mut client = gateway.connect();
    client.send(post(CHAT, "", QUESTION));
    std::thread::sleep(Duration::from_millis(200));
    let signalled = Instant::now();
    gateway.signal(libc::SIGTERM);
    let reply = client.reply();
    assert_eq!(reply.status, 503, "{}", reply.text());
    ends_in_order(&mut gateway, signalled);
}
