//! What is found, what is said about it, and what the client can ask for.

use std::time::Duration;

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Reply, Upstream, json_reply, post};

use super::{
    CHAT, OLLAMA, begin, cache_status, cached, lookups, question, stored, told, wait_until_quiet, wait_until_stored,
    whole_json, whole_stream,
};

both_drivers![
    the_second_is_a_hit_and_says_so,
    at_once_after_the_first_it_is_known,
    clients_can_refuse_or_refresh,
    an_upstream_can_forbid_it,
    the_model_that_answered_is_named,
    a_refresh_is_not_undone_by_an_older_answer,
    many_hits_on_one_connection,
    a_restart_forgets_nothing,
    what_is_too_old_is_asked_for_again,
    a_replay_can_have_a_pace,
    secrets_of_requests_and_upstreams_are_not_kept,
    only_a_temperature_of_zero_where_that_is_wanted,
    without_the_option_there_is_no_cache,
    sizes_are_shown,
];

/// Answers with the number of the request.
fn counting() -> Upstream {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Upstream::start(move |conn, request| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let stream = String::from_utf8_lossy(&request.body).contains("\"stream\":true");
        let text = format!("answer {number}");
        conn.send(if stream { whole_stream(&text) } else { whole_json(&text) });
        After::Keep
    })
}

fn is_hit(reply: &Reply) -> bool {
    let status = cache_status(reply).starts_with("thinkgate; hit; ttl=");
    assert_eq!(status, reply.field("age").is_some(), "{:?}", reply.fields);
    assert_eq!(status, reply.field("bridge-cache-hit") == Some("true"), "{:?}", reply.fields);
    status
}

fn the_second_is_a_hit_and_says_so(io: Io) {
    let upstream = counting();
    let gateway = cached(io, &upstream).start();
    let first = gateway.post(CHAT, &question("q", false));
    assert_eq!(cache_status(&first), "thinkgate; fwd=miss");
    assert!(!is_hit(&first));
    wait_until_stored(&gateway, 1);
    let second = gateway.post(CHAT, &question("q", false));
    assert!(is_hit(&second) && cache_status(&second).ends_with("; detail=memory"), "{:?}", second.fields);
    assert_eq!(told(&second), told(&first));
    assert_ne!(second.json()["id"], first.json()["id"], "every reply has an id of its own");
    let other = gateway.post(CHAT, &question("another", false));
    assert!(!is_hit(&other));
    assert_eq!(told(&other).text, "answer 1");
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!((lookups(&gateway, "miss"), lookups(&gateway, "memory")), (2.0, 1.0));
}

fn at_once_after_the_first_it_is_known(io: Io) {
    let upstream = counting();
    let gateway = cached(io, &upstream).start();
    let mut client = gateway.connect();
    for number in 0..200 {
        let body = question(&format!("q{number}"), number % 2 == 0);
        client.send(post(CHAT, "", &body));
        let first = told(&client.reply());
        // Not even a moment for the answer to be written down.
        client.send(post(CHAT, "", &body));
        assert_eq!(told(&client.reply()), first, "question {number}");
    }
    assert_eq!(upstream.requests().len(), 200, "each question reached the upstream once");
}

fn clients_can_refuse_or_refresh(io: Io) {
    let upstream = counting();
    let gateway = cached(io, &upstream).start();
    let body = question("q", false);
    let ask = |field: &str| gateway.post_with(CHAT, field, &body);
    let refused = ask("Cache-Control: no-store\r\n");
    assert_eq!(
        (told(&refused).text.as_str(), cache_status(&refused)),
        ("answer 0", "thinkgate; fwd=request; detail=no-store")
    );
    assert_eq!(told(&ask("")).text, "answer 1", "nothing of the first was kept");
    wait_until_stored(&gateway, 1);
    assert!(is_hit(&ask("")));
    let fresh = ask("Cache-Control: max-age=0, no-cache\r\n");
    assert_eq!((told(&fresh).text.as_str(), cache_status(&fresh)), ("answer 2", "thinkgate; fwd=request"));
    wait_until_stored(&gateway, 2);
    let hit = ask("");
    assert!(is_hit(&hit));
    assert_eq!(told(&hit).text, "answer 2", "the fresh answer took the old one's place");
    assert_eq!(told(&ask("Cache-Control: no-store\r\n")).text, "answer 3", "a refusal does not look either");
    assert_eq!(told(&ask("")).text, "answer 2", "and does not write");
    assert!(is_hit(&ask("Cache-Control: max-age=60\r\n")));
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(told(&ask("Cache-Control: max-age=1\r\n")).text, "answer 4", "what is there is too old");
    wait_until_stored(&gateway, 3);
    assert_eq!(told(&ask("")).text, "answer 4");
    assert_eq!(told(&ask("Cache-Control: max-age=0\r\n")).text, "answer 5");
}

fn an_upstream_can_forbid_it(io: Io) {
    let reply = |text: &str| {
        let plain = String::from_utf8(whole_json(text)).unwrap();
        plain.replacen("\r\n", "\r\nCache-Control: private, No-Store\r\n", 1).into_bytes()
    };
    for (config, kept) in [("", false), ("cache: {ignore_no_store: true}\n", true)] {
        let upstream = Upstream::answering(reply("x"));
        let gateway = cached(io, &upstream).config(config).start();
        let first = gateway.post(CHAT, &question("q", false));
        assert_eq!(cache_status(&first), "thinkgate; fwd=miss");
        wait_until_quiet(&gateway);
        assert_eq!(is_hit(&gateway.post(CHAT, &question("q", false))), kept);
        assert_eq!(upstream.requests().len(), if kept { 1 } else { 2 });
    }
}

fn the_model_that_answered_is_named(io: Io) {
    let upstream =
        Upstream::answering(String::from_utf8(whole_json("x")).unwrap().replacen("\"m\"", "\"n\"", 1).into_bytes());
    let gateway = cached(io, &upstream).start();
    let first = gateway.post(CHAT, &question("q", false));
    wait_until_stored(&gateway, 1);
    let second = gateway.post(CHAT, &question("q", false));
    assert!(is_hit(&second));
    assert_eq!((&first.json()["model"], &second.json()["model"]), (&"n".into(), &"n".into()));
}

fn a_refresh_is_not_undone_by_an_older_answer(io: Io) {
    // The first answer takes its time; a refresh overtakes it.
    let count = std::sync::atomic::AtomicUsize::new(0);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::start(move |conn, _| {
        if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            let _ = wait.lock().unwrap().recv();
            conn.send(whole_json("old"));
        } else {
            conn.send(whole_json("new"));
        }
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    let body = question("q", false);
    let mut slow = begin(&gateway, CHAT, &body);
    upstream.wait_for_requests(1);
    assert_eq!(told(&gateway.post_with(CHAT, "Cache-Control: no-cache\r\n", &body)).text, "new");
    wait_until_stored(&gateway, 1);
    go.send(()).unwrap();
    assert_eq!(told(&slow.reply()).text, "old", "it has the answer it asked for");
    wait_until_quiet(&gateway);
    assert_eq!(told(&gateway.post(CHAT, &body)).text, "new");
    assert_eq!(upstream.requests().len(), 2);
}

fn many_hits_on_one_connection(io: Io) {
    let upstream = counting();
    let gateway = cached(io, &upstream).start();
    gateway.post(CHAT, &question("q", false));
    wait_until_stored(&gateway, 1);
    let mut client = gateway.connect();
    let both = post(CHAT, "", &question("q", false)) + &post(CHAT, "", &question("q", true));
    // Pipelined, so that the end of each is found by its framing alone.
    client.send(both.repeat(20));
    for number in 0..40 {
        let reply = client.reply();
        assert!(is_hit(&reply), "reply {number}: {:?}", reply.fields);
        assert_eq!(told(&reply).text, "answer 0");
    }
    assert_eq!(upstream.requests().len(), 1);
}

fn a_restart_forgets_nothing(io: Io) {
    let upstream = counting();
    let dir = super::dirs::Place::new("restart", io);
    let start = || cached(io, &upstream).arg("--cache-dir").arg(dir.path()).start();
    let mut gateway = start();
    for number in 0..20 {
        gateway.post(CHAT, &question(&format!("q{number}"), number % 2 == 0));
    }
    // Told to end at once: what waits to be written down still is.
    gateway.signal(libc::SIGTERM);
    assert!(gateway.wait().success());
    drop(gateway);
    let gateway = start();
    for number in 0..20 {
        let hit = gateway.post(CHAT, &question(&format!("q{number}"), false));
        // A stream that did not count tokens, though we asked for it, is no answer for who wants to know.
        assert_eq!(is_hit(&hit), number % 2 == 1, "{number}: {:?}", hit.fields);
        let hit = gateway.post(CHAT, &question(&format!("q{number}"), true));
        assert!(is_hit(&hit) || number % 2 == 0, "{number}: {:?}", hit.fields);
    }
    assert_eq!(upstream.requests().len(), 30);
    assert!(lookups(&gateway, "disk") >= 10.0);
    assert_eq!(gateway.metric("thinkgate_cache_recovered_entries", &[]), 20.0);
}

fn what_is_too_old_is_asked_for_again(io: Io) {
    let upstream = counting();
    let gateway = cached(io, &upstream).arg("--cache-ttl").arg("30s").start();
    let begun = std::time::Instant::now();
    for stream in [false, true] {
        gateway.post(CHAT, &question("q", stream));
        wait_until_stored(&gateway, 1);
    }
    let first = gateway.post(CHAT, &question("q", false));
    assert!(is_hit(&first) && told(&first).text == "answer 0", "{:?}", first.fields);
    // One that is alive is served as long as it is; asking for it does not make it younger.
    while begun.elapsed() < std::time::Duration::from_secs(24) {
        std::thread::sleep(std::time::Duration::from_secs(3));
        let hit = gateway.post(CHAT, &question("q", true));
        assert_eq!(told(&hit).text, "answer 0", "{:?}", hit.fields);
    }
    std::thread::sleep(std::time::Duration::from_millis(31_500).saturating_sub(begun.elapsed()));
    for stream in [false, true] {
        let reply = gateway.post(CHAT, &question("q", stream));
        assert_eq!(told(&reply).text, "answer 1", "{:?}", reply.fields);
    }
    assert_eq!(upstream.requests().len(), 2);
}

fn a_replay_can_have_a_pace(io: Io) {
    let words = "some words of an answer ".repeat(4);
    let said = words.clone();
    let upstream = Upstream::start(move |conn, _| {
        conn.send(whole_json(&said));
        After::Keep
    });
    let gateway = cached(io, &upstream).config("cache: {pace: 60ms}\n").start();
    gateway.post(CHAT, &question("q", false));
    wait_until_stored(&gateway, 1);
    for path in [CHAT, super::OLLAMA] {
        // Twice, since what was asked before may be remembered.
        for _ in 0..2 {
            let mut client = super::begin(&gateway, path, &question("q", true));
            let begun = std::time::Instant::now();
            client.head();
            client.chunks_until("some");
            let first = begun.elapsed();
            let rest = client.chunks_until(if path == CHAT { "[DONE]" } else { "\"done\":true" });
            let events = rest.matches("\"content\":").count();
            assert!(events >= 18, "a word at a time: {rest}");
            let paced = std::time::Duration::from_millis(60) * u32::try_from(events).unwrap();
            assert!(begun.elapsed() - first >= paced.mul_f32(0.8), "{events} events in {:?}", begun.elapsed());
        }
    }
    // Who leaves is not played to.
    drop(super::begin(&gateway, CHAT, &question("q", true)));
    super::wait_until_quiet(&gateway);
    let begun = std::time::Instant::now();
    assert_eq!(told(&gateway.post(CHAT, &question("q", false))).text, words);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "a body has no pace");
    assert_eq!(upstream.requests().len(), 1);
}

fn secrets_of_requests_and_upstreams_are_not_kept(io: Io) {
    const CANARY: &str = "canary-7f3a";
    let upstream = Upstream::start(|conn, _| {
        let mut reply = whole_json("fine");
        let fields = format!(
            "Set-Cookie: session={CANARY}\r\nX-Internal: {CANARY}\r\nServer: {CANARY}\r\nOpenAI-Organization: {CANARY}\r\n\
             X-Request-Id: {CANARY}\r\nETag: \"{CANARY}\"\r\nVia: 1.1 {CANARY}\r\n"
        );
        let at = reply.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        reply.splice(at..at, fields.into_bytes());
        conn.send(reply);
        After::Keep
    });
    let dir = super::dirs::Place::new("canary", io);
    let start =
        || cached(io, &upstream).arg("--cache-dir").arg(dir.path()).args(["--cache-max-entries", "3000"]).start();
    let fields = |secret: &str| {
        let mut fields = String::new();
        // What tells tenants apart has to be the same, all else is another client's.
        for name in ["Authorization", "X-Api-Key", "Cookie", "X-Custom"] {
            fields += &format!("{name}: tenant\r\n");
        }
        for name in ["User-Agent", "Referer", "Origin", "X-Forwarded-For", "Traceparent", "Accept", "X-Request-Id"] {
            fields += &format!("{name}: {secret}\r\n");
        }
        fields
    };
    let clean = |reply: &Reply| {
        let all = format!("{:?} {}", reply.fields, reply.text());
        assert!(!all.contains(CANARY) && !all.contains("tenant"), "{all}");
    };
    let mut gateway = start();
    assert_eq!(gateway.post_with(CHAT, &fields(CANARY), &question("q", false)).status, 200);
    wait_until_stored(&gateway, 1);
    let hits = |gateway: &Gateway| {
        for (path, stream) in [(CHAT, false), (CHAT, true), (OLLAMA, false), (OLLAMA, true)] {
            let reply = gateway.post_with(path, &fields("mine"), &question("q", stream));
            assert!(is_hit(&reply), "{path} {stream}: {:?}", reply.fields);
            assert_eq!(reply.field("x-request-id"), Some("mine"));
            clean(&reply);
        }
    };
    hits(&gateway);
    gateway.signal(libc::SIGTERM);
    gateway.wait();
    drop(gateway);
    hits(&start());
    assert_eq!(upstream.requests().len(), 1);
    // Nor do they lie on the disk.
    for entry in std::fs::read_dir(dir.path().to_owned() + "/blocks").unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let (first, rest) = CANARY.as_bytes().split_first().unwrap();
        assert!(bytes.split(|byte| byte == first).all(|part| !part.starts_with(rest)));
    }
}

fn only_a_temperature_of_zero_where_that_is_wanted(io: Io) {
    let upstream = counting();
    let gateway = cached(io, &upstream).config("cache: {sampled: false}\n").start();
    let ask = |path: &str, rest: &str| {
        let body = format!(r#"{{"model":"m","stream":false,"messages":[{{"role":"user","content":"q"}}]{rest}}}"#);
        gateway.post(path, &body)
    };
    for rest in ["", r#","temperature":0.7"#] {
        for _ in 0..2 {
            assert_eq!(cache_status(&ask(CHAT, rest)), "thinkgate; fwd=bypass", "{rest}");
        }
    }
    assert_eq!(stored(&gateway), 0.0);
    let first = ask(CHAT, r#","temperature":0"#);
    wait_until_stored(&gateway, 1);
    assert!(is_hit(&ask(CHAT, r#","temperature":0.0"#)));
    let ollama = ask(OLLAMA, r#","options":{"temperature":0}"#);
    assert!(is_hit(&ollama));
    assert_eq!(told(&ollama).text, told(&first).text);
    assert_eq!(upstream.requests().len(), 5);
}

fn without_the_option_there_is_no_cache(io: Io) {
    let upstream = Upstream::answering(whole_json("x"));
    let gateway = Gateway::before(&upstream, io);
    for _ in 0..2 {
        let reply = gateway.post(CHAT, &question("q", false));
        assert_eq!((cache_status(&reply), reply.field("bridge-cache-hit")), ("none", None));
    }
    assert_eq!(upstream.requests().len(), 2);
    assert!(!gateway.get("/metrics").text().contains("thinkgate_cache_entries"));
    assert!(!gateway.dir.join("cache").exists());
}

fn sizes_are_shown(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        conn.send(if request.target() == "/x" { json_reply(200, "{}") } else { whole_json("text") });
        After::Keep
    });
    let gateway = cached(io, &upstream).start();
    for number in 0..5 {
        gateway.post(CHAT, &question(&number.to_string(), false));
    }
    wait_until_stored(&gateway, 5);
    // They are looked at every few seconds.
    crate::support::eventually("the sizes are seen", || {
        gateway.metric("thinkgate_cache_entries", &["memory"]) == 5.0
            && gateway.metric("thinkgate_cache_entries", &["disk"]) == 5.0
    });
    assert!(gateway.metric("thinkgate_cache_bytes", &["memory"]) > 0.0);
    assert_eq!(gateway.metric("thinkgate_cache_evictions_total", &[]), 0.0);
    let text = gateway.get("/metrics").text();
    for name in ["disk_skipped_total", "recovery_seconds", "recovered_entries", "disk_lookup_seconds_count"] {
        assert!(text.contains(&format!("\nthinkgate_cache_{name} ")), "{name}");
    }
}
