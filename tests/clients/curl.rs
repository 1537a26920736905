//! curl as the README shows it, and as other people use it; promtool, which knows the metrics' format best.

use std::io::Write;
use std::process::{Command, Stdio};

use thinkgate::control_plane::demo::{Pace, ServerHandle, start_server};

use crate::both_drivers;
use crate::support::{Gateway, Io};
use crate::tools::run;

both_drivers![chats, unusual_ways_to_send, many_at_once, promtool_accepts_the_metrics];

fn gateway(io: Io) -> (Gateway, ServerHandle) {
    let server = start_server(([127, 0, 0, 1], 0).into(), Pace::immediate()).unwrap();
    (Gateway::build(io).upstream(&format!("http://{}", server.addr)).start(), server)
}

fn curl(gateway: &Gateway, args: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", gateway.addr);
    run(Command::new("curl").args(["-sS", "--max-time", "30"]).args(args).arg(url))
}

const CHAT: &str = r#"{"model":"demo","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

fn chats(io: Io) {
    let (gateway, _server) = gateway(io);
    let json = ["-H", "Content-Type: application/json", "-d", CHAT];
    let stream = curl(&gateway, &[&["-N"], &json[..]].concat(), "/v1/chat/completions");
    assert!(stream.contains("Hello") && !stream.contains("think>") && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    let kept = curl(&gateway, &[&["-N", "-H", "X-Think: keep"], &json[..]].concat(), "/v1/chat/completions");
    assert!(kept.contains("<think>") && kept.contains("</think>"), "{kept}");
    // Without a content type of JSON, as a bare -d sends it.
    let ollama = curl(&gateway, &["-d", CHAT], "/api/chat");
    assert!(ollama.contains("Hello") && !ollama.contains("think"), "{ollama}");
    assert_eq!(curl(&gateway, &[], "/"), "Ollama is running");
    assert!(curl(&gateway, &["-I"], "/").starts_with("HTTP/1.1 200"));
    assert!(curl(&gateway, &["-i", "-d", "{}"], "/v1/chat/completions").starts_with("HTTP/1.1 400"));
}

fn unusual_ways_to_send(io: Io) {
    let (gateway, _server) = gateway(io);
    let ways: [&[&str]; 6] = [
        &["--http1.0", "-d", CHAT],
        &["-H", "Transfer-Encoding: chunked", "-d", CHAT],
        &["-H", "Expect: 100-continue", "-d", CHAT],
        &["-H", "Connection: close", "-d", CHAT],
        &["--compressed", "-d", CHAT],
        &["--request-target", "http://elsewhere.example/v1/chat/completions", "-d", CHAT],
    ];
    for way in ways {
        let text = curl(&gateway, way, "/v1/chat/completions");
        assert!(text.contains("Hello") && text.ends_with("data: [DONE]\n\n"), "{way:?}: {text}");
    }
}

fn many_at_once(io: Io) {
    let (gateway, _server) = gateway(io);
    let url = format!("http://{}/v1/chat/completions", gateway.addr);
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-Z", "--parallel-max", "16", "-d", CHAT]);
    let said = run(command.args(std::iter::repeat_n(url, 64)));
    assert_eq!(said.matches("data: [DONE]").count(), 64);
}

fn promtool_accepts_the_metrics(io: Io) {
    let (gateway, _server) = gateway(io);
    for path in ["/v1/chat/completions", "/api/chat", "/nothing"] {
        gateway.post(path, CHAT);
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, from the Debian package prometheus");
    promtool.stdin.take().unwrap().write_all(&gateway.get("/metrics").body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
