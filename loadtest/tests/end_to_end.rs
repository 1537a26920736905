//! The whole tool over loopback: counts are exact, and everything that a proxy can do wrong is seen and named.
// Helpers outside of test functions may fail like tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

mod support;

use support::{BINARY, Upstream, figure, loadtest, run};

/// The answer of the mock server to who asks what it has counted.
fn stats(upstream: &Upstream) -> serde_json::Value {
    let text = upstream.exchange("GET /loadtest/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// The quickest scenario without a proxy, and `more`.
fn quickly(more: &[&str]) -> Output {
    loadtest(&[&["run", "json", "--versus", "direct", "--rounds", "1", "--no-pin"], more].concat())
}

/// A pass-through that changes the upstream's bytes; connections in turn, each as long as the client likes.
fn tampering_proxy(upstream: SocketAddr, tamper: fn(Vec<u8>) -> Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            std::thread::spawn(move || pass(client, TcpStream::connect(upstream).unwrap(), tamper));
        }
    });
    address
}

fn pass(client: TcpStream, upstream: TcpStream, tamper: fn(Vec<u8>) -> Vec<u8>) {
    let (mut from_client, mut to_upstream) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_upstream);
        let _ = to_upstream.shutdown(Shutdown::Both);
    });
    let (mut from_upstream, mut to_client) = (upstream, client);
    let mut buffer = vec![0; 1 << 16];
    // The streams of these tests are short: an answer is tampered with when its end is there.
    let mut answer = Vec::new();
    while let Ok(count @ 1..) = from_upstream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..count]);
        let whole = answer.ends_with(b"0\r\n\r\n") || answer.ends_with(b"}");
        if whole && to_client.write_all(&tamper(std::mem::take(&mut answer))).is_err() {
            break;
        }
    }
    let _ = to_client.shutdown(Shutdown::Both);
}

fn replace(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths on the wire must stay true");
    let text = String::from_utf8(bytes).unwrap();
    text.replace(from, to).into_bytes()
}

/// The faults that a run through the tampering proxy finds.
fn faults(scenario: &str, tamper: fn(Vec<u8>) -> Vec<u8>) -> serde_json::Value {
    let upstream = Upstream::start();
    let url = format!("http://{}", tampering_proxy(upstream.address, tamper));
    let (status, report) = run(&[
        scenario,
        "--url",
        &url,
        "--requests",
        "10",
        "--connections",
        "2",
        "--duration",
        "5s",
        "--check",
        "bytes",
        "--thinking",
        "kept",
    ]);
    if scenario.ends_with(".yaml") {
        std::fs::remove_file(scenario).unwrap();
    }
    let found = report["subjects"][0]["faults"].clone();
    let errors = figure(&report, "errors");
    assert_eq!(status, i32::from(errors > 0.0), "exit status follows the bound: {report}");
    found
}

fn small_stream() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("loadtest-small-{}-{number}.yaml", std::process::id()));
    let text = "name: small\nabout: a short stream\nconnections: 2\nduration: 5s\n\
                requests: [{model: mock-stream-e9-b200-think2}]\nbounds: {errors: 0}\n";
    std::fs::write(&file, text).unwrap();
    file.to_string_lossy().into_owned()
}

#[test]
fn counts_are_exact() {
    let (status, report) =
        run(&["stream", "--versus", "direct", "--requests", "40", "--connections", "4", "--no-bounds"]);
    assert_eq!(status, 0);
    assert_eq!(figure(&report, "requests"), 40.0);
    assert_eq!(figure(&report, "errors"), 0.0);
    assert_eq!(figure(&report, "connects"), 4.0);
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    let (_, report) = run(&["churn", "--url", &url, "--requests", "25", "--connections", "3"]);
    assert_eq!((figure(&report, "requests"), figure(&report, "connects")), (25.0, 25.0));
    let stats = stats(&upstream);
    assert_eq!((&stats["requests"], &stats["completed"], &stats["aborted"]), (&25.into(), &25.into(), &0.into()));
}

#[test]
fn an_honest_proxy_passes() {
    assert_eq!(faults("json", |bytes| bytes), serde_json::json!({}));
    assert_eq!(faults(&small_stream(), |bytes| bytes), serde_json::json!({}));
}

#[test]
fn a_wrong_byte_is_an_error() {
    let got = faults(&small_stream(), |bytes| replace(bytes, ".00003 v", ".00003 w"));
    assert_eq!(got, serde_json::json!({"text": 10}));
    let got = faults("json", |bytes| replace(bytes, "\"total_tokens\":16", "\"total_tokens\":17"));
    assert_eq!(got, serde_json::json!({"envelope": 10}));
}

#[test]
fn a_lost_event_and_a_swapped_pair_are_errors() {
    let lost = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let mut chunks: Vec<&str> = text.split("c8\r\n").collect();
        chunks.remove(7);
        chunks.join("c8\r\n").into_bytes()
    };
    assert_eq!(faults(&small_stream(), lost), serde_json::json!({"text": 10}));
    let swapped = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let mut chunks: Vec<&str> = text.split("c8\r\n").collect();
        chunks.swap(6, 7);
        chunks.join("c8\r\n").into_bytes()
    };
    assert_eq!(faults(&small_stream(), swapped), serde_json::json!({"text": 10}));
}

#[test]
fn another_requests_text_is_foreign() {
    // The first digit of every nonce becomes another one.
    let got = faults(&small_stream(), |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        let parts: Vec<&str> = text.split("content\":\"").collect();
        let other = |part: &str| match part.strip_prefix('f') {
            Some(rest) => format!("0{rest}"),
            None => format!("f{}", &part[1..]),
        };
        let rest: Vec<String> = parts[1..]
            .iter()
            .map(|part| if part.as_bytes()[8] == b'.' { other(part) } else { (*part).to_owned() })
            .collect();
        [parts[..1].to_vec(), rest.iter().map(String::as_str).collect()].concat().join("content\":\"").into_bytes()
    });
    assert_eq!(got, serde_json::json!({"foreign": 10}));
}

#[test]
fn a_stream_without_its_end_mark_has_no_end() {
    let no_done = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        text.replace("e\r\ndata: [DONE]\n\n\r\n", "").into_bytes()
    };
    assert_eq!(faults(&small_stream(), no_done), serde_json::json!({"end": 10}));
}

#[test]
fn leaked_thinking_is_an_error() {
    let (status, report) = run(&[
        "think",
        "--spawn",
        &format!("{BINARY} upstream --listen {{listen}}"),
        "--requests",
        "10",
        "--duration",
        "5s",
    ]);
    assert_eq!(status, 1);
    assert_eq!(report["subjects"][0]["faults"], serde_json::json!({"leak": 10}));
}

#[test]
fn a_spawned_process_is_measured_and_ended() {
    let spawn = format!("{BINARY} upstream --listen {{listen}}");
    let (_, report) = run(&["json", "--spawn", &spawn, "--duration", "500ms", "--warmup", "100ms", "--no-bounds"]);
    assert_eq!(figure(&report, "errors"), 0.0);
    assert!(figure(&report, "requests") > 50.0);
    let cpu = figure(&report, "cpu_us_per_request");
    assert!((0.5..2_000.0).contains(&cpu), "{cpu}");
    assert!(figure(&report, "pss_mb") > 0.5);
    let command = report["subjects"][0]["command"].as_str().unwrap();
    let address: SocketAddr = command.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(TcpStream::connect(address).is_err(), "it was ended");
}

#[test]
fn a_running_process_is_measured_by_its_number() {
    let upstream = Upstream::start();
    let (url, pid) = (format!("http://{}", upstream.address), upstream.pid().to_string());
    let (_, report) = run(&[
        "stream",
        "--url",
        &url,
        "--pid",
        &pid,
        "--requests",
        "60",
        "--duration",
        "5s",
        "--no-bounds",
        "--thinking",
        "kept",
    ]);
    assert_eq!(figure(&report, "requests"), 60.0);
    assert!(figure(&report, "cpu_us_per_event") > 0.1);
    assert_eq!(figure(&report, "threads"), 2.0);
    assert!(TcpStream::connect(upstream.address).is_ok(), "it was not ours to end");
}

#[test]
fn held_streams_are_held_and_weighed() {
    let spawn = format!("{BINARY} upstream --listen {{listen}}");
    let arguments =
        ["idle", "--spawn", &spawn, "--connections", "50", "--duration", "200ms", "--warmup", "100ms", "--no-bounds"];
    let (_, report) = run(&arguments);
    assert_eq!((figure(&report, "streams_held"), figure(&report, "errors")), (50.0, 0.0));
    assert!(figure(&report, "descriptors") >= 50.0);
}

#[test]
fn what_reaches_the_upstream_is_counted() {
    let arguments =
        ["cache-hot", "--versus", "direct", "--duration", "300ms", "--warmup", "100ms", "--connections", "4"];
    let (status, report) = run(&arguments);
    assert_eq!(status, 1, "nothing is cached without a proxy");
    let share = figure(&report, "upstream_requests_percent");
    assert!((95.0..105.0).contains(&share), "{share}");
    assert_eq!(figure(&report, "errors"), 0.0);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let arguments =
        ["json", "--versus", "direct", "--rate", "200", "--duration", "2s", "--warmup", "100ms", "--no-bounds"];
    let (_, report) = run(&arguments);
    let rate = figure(&report, "requests_per_second");
    assert!((185.0..215.0).contains(&rate), "{rate}");
}

#[test]
fn faults_of_the_upstream_are_recognised_without_a_proxy() {
    let (status, report) = run(&["faults", "--versus", "direct", "--requests", "300", "--duration", "10s"]);
    assert_eq!(status, 1);
    let faults = report["subjects"][0]["faults"].as_object().unwrap();
    // Without a proxy, resets and garbage reach the client; everything else is as the scenario expects.
    assert_eq!(faults.keys().collect::<Vec<_>>(), ["framing", "truncated"]);
}

#[test]
fn abandoned_streams_are_seen_upstream() {
    let arguments =
        ["disconnects", "--versus", "direct", "--duration", "600ms", "--warmup", "100ms", "--connections", "10"];
    let (status, report) = run(&arguments);
    assert_eq!(status, 0, "{report}");
    assert!(figure(&report, "abandoned") > 5.0);
    assert_eq!(figure(&report, "upstream_streams_left"), 0.0);
}

#[test]
fn exit_statuses_are_kept() {
    let missed = quickly(&["--requests", "5", "--bound", "latency_p50_us=0"]);
    assert_eq!(missed.status.code(), Some(1));
    assert_eq!(loadtest(&["run", "json"]).status.code(), Some(2));
    assert_eq!(loadtest(&["--help"]).status.code(), Some(0));
    let list = loadtest(&["list"]);
    assert_eq!(list.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&list.stdout).contains("kb_per_stream ≤ 4"));
}

#[test]
fn reports_are_written_and_compared() {
    let folder = std::env::temp_dir().join(format!("loadtest-out-{}", std::process::id()));
    let out = folder.to_string_lossy().into_owned();
    let output = quickly(&["--requests", "50", "--no-bounds", "--out", &out]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("latency p99, µs"));
    assert!(output.stderr.is_empty(), "no progress bar without a terminal");
    let picture = std::fs::read_to_string(folder.join("latency.svg")).unwrap();
    assert!(picture.contains("<polyline"));
    let json = folder.join("report.json").to_string_lossy().into_owned();
    let worse = folder.join("worse.json").to_string_lossy().into_owned();
    assert_eq!(loadtest(&["compare", &json, &json]).status.code(), Some(0));
    let text = std::fs::read_to_string(&json)
        .unwrap()
        .replace("\"errors\": 0.0", "\"errors\": 3.0")
        .replace("\"direct\"", "\"target\"");
    std::fs::write(&worse, text).unwrap();
    let base = std::fs::read_to_string(&json).unwrap().replace("\"direct\"", "\"target\"");
    std::fs::write(&json, base).unwrap();
    assert_eq!(loadtest(&["compare", &json, &worse]).status.code(), Some(1));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_run_that_measured_nothing_has_failed() {
    // The answers begin when the measurement is over.
    let scenario = "name: long\nabout: x\nconnections: 2\nduration: 200ms\nwarmup: 1ms\nrequests:\n  - model: mock-json-slow3000\nbounds: {errors: 0}\n";
    let file = std::env::temp_dir().join(format!("loadtest-long-{}.yaml", std::process::id()));
    std::fs::write(&file, scenario).unwrap();
    let (status, report) = run(&[file.to_str().unwrap(), "--versus", "direct"]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(status, 1, "{report}");
    assert!(report.to_string().contains("nothing came"), "{report}");
}

#[test]
fn a_port_where_nobody_listens_is_given_up() {
    let begun = std::time::Instant::now();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, report) = run(&["json", "--url", &format!("http://{free}"), "--duration", "30s", "--warmup", "300ms"]);
    assert_eq!(status, 1, "{report}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "not for the whole time");
}
