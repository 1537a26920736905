//! llama.cpp's own server as the upstream, with a tiny model made on the spot.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::both_drivers;
use crate::support::{Client, Gateway, Io, eventually, post};
use crate::tools::{place, python, root, run};

both_drivers![the_openai_sdk_in_front_of_llama_cpp, leaving_frees_the_slot, every_style_of_thinking_is_stripped];

struct Realup {
    child: Child,
    url: String,
}

impl Realup {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new("python3")
            .arg(root().join("tests/realup/serve.py"))
            .args(["--port", "0"])
            .args(args)
            .env("REALUP_VENV", place("realup").join("venv"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split(' ').nth(2).unwrap_or_else(|| panic!("realup did not start: {line:?}")).trim().to_owned();
        Self { child, url }
    }

    fn busy_slots(&self) -> usize {
        run(Command::new("curl").args(["-sS", &format!("{}/slots", self.url)]))
            .matches("\"is_processing\":true")
            .count()
    }
}

impl Drop for Realup {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn before(realup: &Realup, io: Io) -> Gateway {
    Gateway::build(io).upstream(&realup.url).start()
}

fn the_openai_sdk_in_front_of_llama_cpp(io: Io) {
    let realup = Realup::start(&[]);
    let gateway = before(&realup, io);
    let script = root().join("tests/clients/openai_python.py");
    let checks = ["plain", "stream", "same", "keep", "separate", "bases", "parallel", "models", "tools", "leave"];
    let said = run(Command::new(python()).arg(script).arg(format!("http://{}", gateway.addr)).arg("tiny").args(checks));
    assert_eq!(said.matches("ok ").count(), checks.len(), "{said}");
    eventually("all slots are free", || realup.busy_slots() == 0);
    // As the server itself tells reasoning from text, the fields are stripped as well.
    let realup = Realup::start(&["--reasoning", "auto"]);
    let gateway = before(&realup, io);
    let script = root().join("tests/clients/openai_python.py");
    run(Command::new(python())
        .arg(script)
        .arg(format!("http://{}", gateway.addr))
        .args(["tiny", "plain", "stream", "same"]));
}

fn chat(extra: &str) -> String {
    format!(
        "{{\"model\":\"tiny\",\"temperature\":0,\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]{extra}}}"
    )
}

fn leaving_frees_the_slot(io: Io) {
    let realup = Realup::start(&["--slots", "1", "--slot-tokens", "100000"]);
    let gateway = before(&realup, io);
    let long = chat(",\"max_tokens\":90000,\"chat_template_kwargs\":{\"style\":\"long\",\"enable_thinking\":false}");
    // In the middle of a stream.
    let mut client: Client = gateway.connect();
    client.send(post("/v1/chat/completions", "", &long));
    client.head();
    client.chunk();
    assert_eq!(realup.busy_slots(), 1);
    drop(client);
    eventually("the slot is free", || realup.busy_slots() == 0);
    // While waiting for the only slot: the one who left never gets it.
    let mut holder = gateway.connect();
    holder.send(post("/v1/chat/completions", "", &long));
    holder.head();
    let mut waiting = gateway.connect();
    waiting.send(post("/v1/chat/completions", "", &long));
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(waiting);
    drop(holder);
    eventually("the slot is free again", || realup.busy_slots() == 0);
}

fn every_style_of_thinking_is_stripped(io: Io) {
    let realup = Realup::start(&[]);
    let gateway = before(&realup, io);
    for style in [
        "",
        ",\"chat_template_kwargs\":{\"style\":\"split\"}",
        ",\"chat_template_kwargs\":{\"style\":\"open\"}",
        ",\"reasoning_format\":\"auto\"",
    ] {
        let text = gateway.post("/v1/chat/completions", &chat(style)).text();
        assert!(!text.contains("think") && !text.contains("reasoning"), "{style}: {text}");
        assert!(text.contains("\u{1f999}") && text.ends_with("data: [DONE]\n\n"), "{style}: {text}");
    }
}
