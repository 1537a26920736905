//! Proxies that misbehave, and the whole tool against them: each of these was once called good.
// Helpers outside of test functions may fail like tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mod support;

use support::{BINARY, Process, Scenario, Upstream, figure, one_round, run};

fn faults(report: &serde_json::Value) -> &serde_json::Value {
    &report["subjects"][0]["faults"]
}

/// A short scenario with these requests, and `more`.
fn scenario(requests: &str, more: &str) -> Scenario {
    Scenario::of(&format!(
        "name: x\nabout: x\nconnections: 2\nduration: 500ms\nwarmup: 100ms\nrequests:\n  - {requests}\nbounds: {{errors: 0}}\n{more}"
    ))
}

/// What the proxy does with an answer, all of which has come: bytes to pass on, or nothing.
enum Deed {
    Pass(Vec<u8>),
    /// Never anything again on this connection, which stays open.
    Freeze,
    Close,
}

/// Gets the number of the answer and the answer.
type Tamper = fn(u32, Vec<u8>) -> Deed;

/// A proxy that collects each answer and then does something to it. The upstream's end is the end of a cut answer.
fn proxy(upstream: SocketAddr, tamper: Tamper) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::new(AtomicU32::new(0));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), answers) = (client, answers.clone()) else { return };
            std::thread::spawn(move || pass(client, TcpStream::connect(upstream).unwrap(), tamper, &answers));
        }
    });
    format!("http://{address}")
}

fn pass(client: TcpStream, upstream: TcpStream, tamper: Tamper, answers: &AtomicU32) {
    let (mut from_client, mut to_upstream) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_upstream);
        let _ = to_upstream.shutdown(Shutdown::Both);
    });
    let (mut from_upstream, mut to_client) = (upstream, client);
    let (mut buffer, mut answer) = (vec![0; 1 << 16], Vec::new());
    loop {
        let count = from_upstream.read(&mut buffer).unwrap_or(0);
        answer.extend_from_slice(&buffer[..count]);
        let whole = answer.ends_with(b"0\r\n\r\n") || answer.ends_with(b"}") || count == 0;
        if !whole || answer.is_empty() {
            if count == 0 {
                break;
            }
            continue;
        }
        match tamper(answers.fetch_add(1, Ordering::Relaxed), std::mem::take(&mut answer)) {
            Deed::Pass(bytes) => {
                if to_client.write_all(&bytes).is_err() {
                    break;
                }
            }
            Deed::Freeze => std::thread::sleep(Duration::from_secs(60)),
            Deed::Close => break,
        }
    }
    let _ = to_client.shutdown(Shutdown::Both);
}

fn change(bytes: Vec<u8>, from: &str, to: &str) -> Deed {
    Deed::Pass(String::from_utf8(bytes).unwrap().replace(from, to).into_bytes())
}

/// A run of `requests` through the proxy.
fn through(tamper: Tamper, requests: &str, more: &[&str]) -> (i32, serde_json::Value) {
    let upstream = Upstream::start();
    let address = upstream.address;
    let (scenario, url) = (scenario(requests, ""), proxy(address, tamper));
    run(&[&[scenario.path(), "--url", &url, "--thinking", "kept"], more].concat())
}

#[test]
fn an_honest_proxy_is_good() {
    for requests in ["{model: mock-json}", "{model: mock-stream-e9}", "{model: mock-stream-e9, dialect: ollama}"] {
        let (status, report) = through(|_, bytes| Deed::Pass(bytes), requests, &["--check", "bytes"]);
        assert_eq!((status, faults(&report)), (0, &serde_json::json!({})), "{report}");
    }
}

#[test]
fn a_proxy_that_freezes_for_good_has_failed() {
    let freeze: Tamper = |number, bytes| if number < 100 { Deed::Pass(bytes) } else { Deed::Freeze };
    for loop_of in [&[][..], &["--rate", "500"]] {
        let (status, report) = through(freeze, "{model: mock-json}", loop_of);
        assert_eq!(status, 1);
        let timeouts = faults(&report)["timeout"].as_u64().unwrap();
        let all = if loop_of.is_empty() { 2..=2 } else { 150..=300 };
        assert!(all.contains(&timeouts), "{timeouts} {report}");
        assert!(figure(&report, "latency_max_us") > 900_000.0);
    }
}

#[test]
fn a_proxy_that_holds_answers_back_is_late() {
    let (_, report) = through(|_, bytes| Deed::Pass(bytes), "{model: mock-stream-e40-p10}", &[]);
    assert_eq!(faults(&report), &serde_json::json!({}));
    assert!(figure(&report, "lateness_max_us") > 350_000.0, "{report}");
}

#[test]
fn a_failure_behind_a_clean_end_is_found() {
    let ended: Tamper = |_, bytes| Deed::Pass([bytes.as_slice(), b"0\r\n\r\n"].concat());
    for dialect in ["openai", "ollama"] {
        let requests = format!("{{model: mock-stream-e9-cut4, dialect: {dialect}, expect: broken}}");
        let (status, report) = through(ended, &requests, &["--requests", "10"]);
        assert_eq!((status, faults(&report)), (1, &serde_json::json!({"hidden_failure": 10})));
    }
    let cut = "{model: mock-stream-e9-cut4, expect: broken}";
    let (status, report) = through(|_, bytes| Deed::Pass(bytes), cut, &["--requests", "10"]);
    assert_eq!((status, faults(&report)), (0, &serde_json::json!({})), "a cut is what it should be");
    let (_, report) = through(|_, bytes| change(bytes, ".00002 o", ".00002 x"), cut, &["--requests", "10"]);
    assert_eq!(faults(&report), &serde_json::json!({"text": 10}), "and its text counts");
}

#[test]
fn a_kept_connection_closed_instead_of_an_answer_is_found() {
    let closing: Tamper = |number, bytes| if number % 10 == 9 { Deed::Close } else { Deed::Pass(bytes) };
    let (status, report) = through(closing, "{model: mock-json}", &["--requests", "50"]);
    assert_eq!((status, faults(&report)), (1, &serde_json::json!({"truncated": 5})));
    assert_eq!((figure(&report, "resent"), figure(&report, "requests")), (0.0, 45.0));
}

#[test]
fn faults_in_the_warm_up_count() {
    let first: Tamper = |number, bytes| change(bytes, ".00000 ", if number == 0 { ".99999 " } else { ".00000 " });
    let (status, report) = through(first, "{model: mock-json}", &[]);
    assert_eq!((status, faults(&report)), (1, &serde_json::json!({"text": 1})));
    assert!(report["subjects"][0]["samples"][0].as_str().unwrap().starts_with("text"), "in words too");
    // Streams that are to be held have a warm-up too.
    let upstream = Upstream::start();
    let address = upstream.address;
    let scenario = scenario("{model: mock-stream-e2}", "mode: hold\ntimeout: 300ms\n");
    let (_, report) = run(&[scenario.path(), "--url", &proxy(address, first), "--thinking", "kept"]);
    assert_eq!(faults(&report)["text"], 1, "{report}");
}

#[test]
fn another_media_type_and_an_early_end_are_found() {
    let html: Tamper = |_, bytes| change(bytes, "application/json", "text/html");
    let (_, report) = through(html, "{model: mock-json}", &["--requests", "10"]);
    assert_eq!(faults(&report), &serde_json::json!({"envelope": 10}));
    let broken: Tamper = |_, bytes| change(bytes, "\"total_tokens\":16}}", "\"total_tokens\":16} ");
    let (_, report) = through(broken, "{model: mock-json}", &["--requests", "10"]);
    assert_eq!(faults(&report), &serde_json::json!({"framing": 10}));
    // The lengths of the chunks stay: a reason for the end where there was none, of as many bytes.
    let early: Tamper = |_, bytes| change(bytes, "\"finish_reason\":null", "\"finish_reason\":\"no\"");
    let (_, report) = through(early, "{model: mock-stream-e9}", &["--requests", "10"]);
    assert_eq!(faults(&report), &serde_json::json!({"end": 10}));
}

#[test]
fn requests_that_were_asked_for_and_not_made_are_said() {
    let (status, report) = through(|_, bytes| Deed::Pass(bytes), "{model: mock-json-slow100}", &["--requests", "1000"]);
    assert_eq!((status, faults(&report)), (1, &serde_json::json!({"timeout": 1})));
    assert!(report.to_string().contains("of the 1000 requests"), "{report}");
    // Also where many others have failed.
    let arguments = ["--requests", "1000", "--connections", "20"];
    let (_, report) = through(|_, _| Deed::Freeze, "{model: mock-json}", &arguments);
    assert_eq!(faults(&report), &serde_json::json!({"timeout": 21}));
    assert!(report.to_string().contains("0 of the 1000 requests"), "{report}");
}

#[test]
fn a_pid_that_is_not_the_proxys_is_asked_about() {
    let upstream = Upstream::start();
    let address = upstream.address;
    let other = Process(Command::new("sleep").arg("60").spawn().unwrap());
    let (url, pid) = (format!("http://{address}"), other.0.id().to_string());
    let (flow, hold) = (scenario("{model: mock-json}", ""), scenario("{model: mock-stream-hold60}", "mode: hold\n"));
    for scenario in [&flow, &hold] {
        let output = one_round(&[scenario.path(), "--url", &url, "--pid", &pid]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("process {pid} (sleep)")) && said.contains("the proxy's process?"), "{said}");
    }
}

#[test]
fn an_address_that_is_taken_is_not_measured() {
    let upstream = Upstream::start();
    let address = upstream.address;
    let output = one_round(&["json", "--url", &format!("http://{address}"), "--spawn", "sleep 60"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("already"));
}

/// A free address with its URL.
fn free() -> (SocketAddr, String) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    (address, format!("http://{address}"))
}

#[test]
fn a_command_that_leaves_its_work_to_another_is_refused() {
    let (address, url) = free();
    let spawn = format!("sh -c '{BINARY} upstream --listen {address} & sleep 0.3'");
    let output = one_round(&["json", "--url", &url, "--spawn", &spawn, "--duration", "2s", "--warmup", "100ms"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    // While it starts, or at the end of the measurement: it is a zombie then.
    assert!(said.contains("ended"), "{said}");
    assert!(TcpStream::connect(address).is_err(), "what it has started was ended with it");
}

#[test]
fn a_wrapper_is_measured_with_its_children_and_ended_with_them() {
    let (address, url) = free();
    let spawn = format!("sh -c '{BINARY} upstream --listen {address}; true'");
    let arguments =
        ["json", "--url", &url, "--spawn", &spawn, "--requests", "200", "--no-bounds", "--thinking", "kept"];
    let (_, report) = run(&arguments);
    assert_eq!((figure(&report, "requests"), figure(&report, "errors")), (200.0, 0.0));
    assert!(figure(&report, "cpu_us_per_request") > 0.5);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn short_runs_about_growth_are_judged() {
    let spawn = format!("{BINARY} upstream --listen {{listen}}");
    let growth = "  memory_growth_percent: 1000000\n  descriptors_growth: 50\n";
    let scenario = scenario("{model: mock-json}", "");
    let text =
        std::fs::read_to_string(scenario.path()).unwrap().replace("bounds: {errors: 0}\n", "bounds:\n  errors: 0\n");
    std::fs::write(scenario.path(), text + growth).unwrap();
    let (status, report) = run(&[scenario.path(), "--spawn", &spawn, "--duration", "2s", "--thinking", "kept"]);
    assert_eq!(status, 0, "{report}");
    assert!(figure(&report, "descriptors_growth").abs() < 5.0, "{report}");
    // Its value says nothing here: the binary's pages are shared with the tests that run beside this one.
    assert!(figure(&report, "memory_growth_percent").is_finite());
}
