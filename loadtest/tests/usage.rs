//! What the tool says about mistakes, and what it may not call good: seen from the outside, by exit status and words.
// Helpers outside of test functions may fail like tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod support;

use support::{BINARY, Scenario, Upstream, loadtest, report, temporary};

/// Wrong usage.
const USAGE: i32 = 2;

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A short run of `arguments`: the exit status, the report, and standard error.
fn run(arguments: &[&str]) -> (i32, Value, String) {
    let short = ["--no-pin", "--warmup", "50ms", "--duration", "200ms", "--json", "-"];
    let output = loadtest(&[&["run"], arguments, &short].concat());
    (status(&output), report(&output), complaint(&output))
}

fn figure<'a>(report: &'a Value, subject: usize, name: &str) -> &'a Value {
    &report["subjects"][subject]["median"][name]
}

/// The verdict on a figure.
fn verdict<'a>(report: &'a Value, name: &str) -> &'a Value {
    let bounds = report["bounds"].as_array().unwrap();
    bounds.iter().find(|bound| bound["figure"] == name).unwrap_or_else(|| panic!("no bound on {name} in {report}"))
}

/// A scenario with `rest` in it.
fn scenario(rest: &str) -> Scenario {
    Scenario::of(&format!("name: own\nabout: x\nconnections: 2\nduration: 1s\n{rest}\n"))
}

/// What the mock server says to a request for `model`.
fn ask(upstream: &Upstream, model: &str) -> String {
    let body = json!({ "model": model }).to_string();
    let length = body.len();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    upstream.exchange(&(head + &body))
}

#[test]
fn a_mock_server_that_is_not_behind_the_target_says_nothing_about_it() {
    let upstream = Upstream::start();
    let (_, report, _) = run(&["cache-hot", "--url", &upstream.url(), "--versus", "direct", "--rounds", "1"]);
    assert_eq!(figure(&report, 0, "upstream_requests_percent"), &Value::Null, "{report}");
    assert!(figure(&report, 1, "upstream_requests_percent").as_f64().unwrap() > 50.0, "it is behind the peer");
    assert_eq!(verdict(&report, "upstream_requests_percent")["value"], Value::Null);
}

#[test]
fn the_counters_of_another_process_are_read() {
    let upstream = Upstream::start();
    let address = upstream.address.to_string();
    let (status, report, said) =
        run(&["cache-hot", "--url", &upstream.url(), "--upstream", &address, "--rounds", "1", "--connections", "2"]);
    let share = figure(&report, 0, "upstream_requests_percent").as_f64().unwrap();
    // Each is asked once; what is under way at either end is much of so short a run.
    assert!((50.0..150.0).contains(&share), "{share}");
    assert_eq!((status, said.as_str()), (1, ""), "nothing is cached here");
}

#[test]
fn counters_that_cannot_be_read_are_not_measured_and_said_once() {
    let upstream = Upstream::start();
    // A port that was free a moment ago may be another test's by now.
    let nobody = "127.0.0.1:1";
    let (status, report, said) =
        run(&["cache-hot", "--url", &upstream.url(), "--upstream", nobody, "--rounds", "2", "--connections", "2"]);
    assert_eq!(figure(&report, 0, "upstream_requests_percent"), &Value::Null);
    assert_eq!(status, 0, "{report}");
    assert_eq!(said.matches("its counters cannot be read").count(), 1, "{said}");
    assert!(said.contains(nobody), "{said}");
}

#[test]
fn outages_that_nobody_sees_are_refused() {
    let upstream = Upstream::start();
    let output = loadtest(&["run", "outages", "--url", &upstream.url(), "--rounds", "1"]);
    assert_eq!(status(&output), USAGE);
    assert!(complaint(&output).contains("not behind target"), "{}", complaint(&output));
}

#[test]
fn a_bound_that_was_asked_for_must_be_measured() {
    let quick = ["--versus", "direct", "--rounds", "1", "--connections", "2"];
    let (status, report, said) = run(&[&["json", "--bound", "cpu_us_per_request=9"], &quick[..]].concat());
    assert_eq!(status, 1, "{report}");
    assert!(said.contains("cpu_us_per_request") && said.contains("not measured"), "{said}");
    // The scenario's own bound on the same figure is not what the user asked for.
    let (status, report, said) = run(&[&["json"], &quick[..]].concat());
    assert_eq!((status, said.as_str()), (0, ""), "{report}");
}

#[test]
fn a_peer_with_errors_is_no_yardstick() {
    // A cut answer is an error of whoever gives it.
    let own = scenario(
        "requests: [{model: mock-json-b1024}, {model: mock-json-cut1}]\nbounds: {latency_p50_us: 1000 x direct}",
    );
    let spawn = format!("{BINARY} upstream --listen {{listen}}");
    let (status, report, said) = run(&[own.path(), "--spawn", &spawn, "--versus", "direct", "--rounds", "1"]);
    assert!(figure(&report, 1, "errors").as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(status, 1, "{report}");
    let void = verdict(&report, "latency_p50_us")["void"].as_str().unwrap();
    assert!(void.contains("direct") && void.contains("errors"), "{void}");
    assert!(said.contains("latency_p50_us cannot be judged"), "{said}");
}

#[test]
fn no_core_is_claimed_for_what_was_not_started() {
    let upstream = Upstream::start();
    let quick = ["--rounds", "1", "--requests", "5", "--no-bounds", "--json", "-"];
    let pinning = |more: &[&str]| {
        let output = loadtest(&[&["run", "json"], more, &quick[..]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", complaint(&output)));
        report["provenance"]["pinning"].as_str().unwrap().to_owned()
    };
    let url = upstream.url();
    let unknown = pinning(&["--url", &url]);
    assert!(unknown.starts_with("proxy where it runs, client on "), "{unknown}");
    assert!(!unknown.contains("mock server"), "{unknown}");
    let pid = upstream.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let known = pinning(&["--url", &url, "--pid", &pid.to_string()]);
    assert!(known.starts_with(&format!("proxy on cores {allowed} (its own), client on ")), "{known}");
    let address = upstream.address.to_string();
    let behind = pinning(&["--url", &url, "--upstream", &address]);
    assert!(behind.ends_with(&format!("mock server {address} where it runs")), "{behind}");
    let started = pinning(&["--spawn", &format!("{BINARY} upstream --listen {{listen}}"), "--no-pin"]);
    assert!(started.starts_with("proxy on any core, client on any core"), "{started}");
}

#[test]
fn the_report_says_whose_commit_it_is() {
    let output = loadtest(&["run", "json", "--versus", "direct", "--rounds", "1", "--requests", "5", "--no-bounds"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let commit = text.lines().find(|line| line.contains("· commit ")).unwrap();
    assert!(commit.contains("not the proxy") || commit.ends_with("unknown"), "{commit}");
}

#[test]
fn what_cannot_be_written_is_known_before_the_measurement() {
    let folder = temporary("out");
    std::fs::create_dir_all(folder.join("report.json")).unwrap();
    let out = folder.to_str().unwrap();
    let (file, under) = (folder.join("file"), folder.join("file/out"));
    std::fs::write(&file, "").unwrap();
    let nowhere = folder.join("nowhere/x.json");
    let cases = [
        (["--json", nowhere.to_str().unwrap()], "nowhere/x.json"),
        (["--out", out], "report.json"),
        (["--out", under.to_str().unwrap()], "file/out"),
    ];
    let begun = Instant::now();
    for (option, name) in cases {
        let arguments = ["run", "json", "--versus", "direct", "--rounds", "1", "--duration", "30s"];
        let output = loadtest(&[&arguments[..], &option[..]].concat());
        assert_eq!(status(&output), USAGE, "{option:?}");
        assert!(complaint(&output).contains(name), "{}", complaint(&output));
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "before the measurement");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn descriptors_are_counted_for_what_is_started_too() {
    let limited = |arguments: &str| {
        let line = format!(
            "ulimit -n 500; exec {BINARY} run json --rounds 1 --requests 5 --connections 200 --no-bounds {arguments}"
        );
        Command::new("sh").args(["-c", &line]).output().unwrap()
    };
    let output = limited(&format!("--spawn '{BINARY} upstream --listen {{listen}}'"));
    assert_eq!(status(&output), USAGE);
    assert!(complaint(&output).contains("ulimit -n 664"), "{}", complaint(&output));
    assert_eq!(status(&limited("--versus nginx")), USAGE);
    let output = limited("--versus direct");
    assert_eq!(status(&output), 0, "{}", complaint(&output));
}

#[test]
fn mistakes_on_the_command_line_are_wrong_usage() {
    let upstream = Upstream::start();
    let url = upstream.url();
    for (more, word) in [
        (&["--bound", "errors=NaN"][..], "NaN"),
        (&["--bound", "errors=-1"], "-1"),
        (&["--bound", "errors=inf x nginx"], "factor"),
        (&["--bound", "errors=2 x apache"], "apache"),
        (&["--bound", "latency_p99_us=2 x nginx"], "add it to --versus"),
        (&["--header", "Authorization"], "no colon"),
        (&["--header", ": x"], "no name"),
        (&["--header", "A: x\r\nB: y"], "control character"),
        (&["--duration", "100000h"], "30 days"),
        (&["--requests", "0"], "--requests"),
    ] {
        let output = loadtest(&[&["run", "json", "--url", &url, "--rounds", "1"], more].concat());
        assert_eq!(status(&output), USAGE, "{more:?}");
        assert!(complaint(&output).contains(word), "{more:?}: {}", complaint(&output));
    }
    let output = loadtest(&["run", "json", "--url", &format!("{url}/a b")]);
    assert_eq!(status(&output), USAGE);
    assert!(complaint(&output).contains("blanks"), "{}", complaint(&output));
    let upper = url.replace("http", "HTTP");
    let output = loadtest(&["run", "json", "--url", &upper, "--rounds", "1", "--requests", "5", "--no-bounds"]);
    assert_eq!(status(&output), 0, "{}", complaint(&output));
}

#[test]
fn mistakes_in_a_scenario_are_wrong_usage() {
    for (rest, word) in [
        ("requests: [{model: mock-json, weight: 0}]", "every `weight`"),
        ("requests: [{model: mock-json, weight: 1000001}]", "`weight`"),
        ("requests: [{model: mock-json, expect: []}]", "`expect: []`"),
        ("requests: [{model: mock-json, expect: hole}]", "`whole`, `broken`, `error`, `whole_or_error`, `stalled`"),
        ("requests: [{model: mock-json, body_bytes: 99999999999}]", "body_bytes"),
        ("requests: [{model: mock-stream-e100000-b65536}]", "MiB"),
        ("requests: [{model: mock-json}]\nslow_reader: {bytes: 99999999999, every: 1ms}", "slow_reader.bytes"),
        ("requests: [{model: mock-json}]\ntimeout: 0s", "timeout"),
        ("requests: [{model: mock-json}]\ndistinct_requests: 0", "distinct_requests"),
        ("requests: [{model: mock-json}]\nidentical_in_a_row: 0", "identical_in_a_row"),
        ("requests: [{model: mock-json}]\nbounds: {errors: .nan}", "bounds.errors"),
        ("requests: [{model: mock-json}]\nbounds: {errors: -1}", "bounds.errors"),
        ("requests: [{model: mock-json}]\nbounds: {errors: nan x nginx}", "factor"),
    ] {
        let own = scenario(rest);
        let output = loadtest(&["run", own.path(), "--versus", "direct", "--rounds", "1"]);
        assert_eq!(status(&output), USAGE, "{rest}: {}", complaint(&output));
        assert!(complaint(&output).contains(word), "{rest}: {}", complaint(&output));
    }
}

#[test]
fn the_mock_server_refuses_answers_beyond_its_limit_and_takes_the_longest_request() {
    let upstream = Upstream::start();
    let answer = ask(&upstream, "mock-stream-e100000-b65536");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("MiB"), "{}", &answer[..answer.len().min(300)]);
    assert!(ask(&upstream, "mock-json").starts_with("HTTP/1.1 200 "));
    let output = loadtest(&["upstream", "--listen", "127.0.0.1:0", "--script", "mock-stream-e100000-b65536"]);
    assert_eq!(status(&output), USAGE);
    let own = scenario("requests: [{model: mock-json, body_bytes: 16777216}]\nbounds: {errors: 0}");
    let output = loadtest(&["run", own.path(), "--url", &upstream.url(), "--rounds", "1", "--requests", "2"]);
    assert_eq!(status(&output), 0, "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn only_what_can_be_compared_is() {
    let file = temporary("report.json");
    let path = file.to_str().unwrap();
    let quick = ["--versus", "direct", "--rounds", "2", "--requests", "20", "--no-bounds", "--json", path];
    assert_eq!(status(&loadtest(&[&["run", "json"], &quick[..]].concat())), 0);
    let text = std::fs::read_to_string(&file).unwrap().replace("\"name\": \"direct\"", "\"name\": \"target\"");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(status(&loadtest(&["compare", path, path])), 0);
    for tolerance in ["NaN", "inf", "-1", "1001"] {
        let output = loadtest(&["compare", path, path, &format!("--tolerance={tolerance}")]);
        assert_eq!(status(&output), USAGE, "{tolerance}");
        assert!(complaint(&output).contains("--tolerance"), "{}", complaint(&output));
    }
    let other = temporary("other.json");
    let change = |change: &dyn Fn(&mut Value)| {
        let mut report: Value = serde_json::from_str(&text).unwrap();
        change(&mut report);
        std::fs::write(&other, report.to_string()).unwrap();
        loadtest(&["compare", path, other.to_str().unwrap()])
    };
    let output = change(&|report| report["scenario"] = "stream".into());
    assert_eq!(status(&output), USAGE);
    assert!(complaint(&output).contains("`stream`"), "{}", complaint(&output));
    let output = change(&|report| {
        report["subjects"][0]["median"].as_object_mut().unwrap().remove("latency_p99_us");
    });
    assert_eq!(status(&output), 1);
    assert!(String::from_utf8_lossy(&output.stdout).contains("missing"));
    assert_eq!(status(&change(&|report| report["subjects"][0]["name"] = "nginx".into())), 1, "the target is missing");
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(other).unwrap();
}
