//! `thinkgate demo`, as somebody sees it who has just installed it.

use crate::both_drivers;
use crate::support::{Gateway, Io};

both_drivers![one_conversation_before_and_after, it_stays_up_for_your_own_requests];

fn demo(io: Io) -> Gateway {
    Gateway::build(io).verb("demo").start()
}

fn one_conversation_before_and_after(io: Io) {
    let mut gateway = demo(io);
    gateway.wait_for_log("curl http");
    let shown = gateway.log();
    let raw = shown.split("what thinkgate passes on").next().unwrap();
    let passed = shown.split("what thinkgate passes on").nth(1).unwrap();
    assert!(raw.contains("<think>") && raw.contains("</think>"), "{shown}");
    assert!(!passed.contains("think>") && passed.contains("Sunlight"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no escape sequences where no terminal is");
    assert!(shown.contains(&format!("http://{}/v1/chat/completions", gateway.addr)), "lines to paste: {shown}");
    gateway.signal(libc::SIGTERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

fn it_stays_up_for_your_own_requests(io: Io) {
    let gateway = demo(io);
    let ask = r#"{"model":"demo","messages":[{"role":"user","content":"hello"}]}"#;
    let answer = gateway.post("/v1/chat/completions", ask).json();
    assert!(answer["choices"][0]["message"]["content"].as_str().unwrap().starts_with("Hello"), "{answer}");
    assert!(gateway.post("/api/chat", ask).text().contains("Hello"));
    assert!(gateway.get("/v1/models").text().contains("demo-plain"));
}
