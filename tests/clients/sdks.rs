//! The official SDKs, as their users write them.

use std::process::Command;
use std::time::Duration;

use thinkgate::control_plane::demo::{Pace, ServerHandle, start_server};

use crate::both_drivers;
use crate::support::{After, Gateway, Io, LAST_CHUNK, Upstream, chat_event, chunk, eventually, stream_head};
use crate::tools::{node, python, root, run};

both_drivers![
    openai_python,
    ollama_python,
    openai_node,
    ollama_node,
    signs_of_life_disturb_nobody,
    a_stream_that_breaks_is_an_error_to_everybody,
    an_upstream_that_is_down_is_an_error_to_everybody,
    whoever_leaves_ends_the_stream,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sdk {
    OpenaiPython,
    OllamaPython,
    OpenaiNode,
    OllamaNode,
}

const ALL: [Sdk; 4] = [Sdk::OpenaiPython, Sdk::OllamaPython, Sdk::OpenaiNode, Sdk::OllamaNode];

impl Sdk {
    /// Runs checks of the SDK's script against the gateway.
    fn check(self, gateway: &Gateway, model: &str, checks: &[&str]) {
        let (mut command, script) = match self {
            Self::OpenaiPython => (Command::new(python()), "openai_python.py"),
            Self::OllamaPython => (Command::new(python()), "ollama_python.py"),
            Self::OpenaiNode => (Command::new("node"), "openai_node.mjs"),
            Self::OllamaNode => (Command::new("node"), "ollama_node.mjs"),
        };
        if matches!(self, Self::OpenaiNode | Self::OllamaNode) {
            command.env("CLIENTS_NODE", node());
        }
        command.arg(root().join("tests/clients").join(script)).arg(format!("http://{}", gateway.addr)).arg(model);
        let said = run(command.args(checks));
        assert_eq!(said.matches("ok ").count(), checks.len(), "{said}");
    }
}

fn demo(pace: Pace) -> ServerHandle {
    start_server(([127, 0, 0, 1], 0).into(), pace).unwrap()
}

fn before(server: &ServerHandle, io: Io) -> Gateway {
    Gateway::build(io).upstream(&format!("http://{}", server.addr)).start()
}

fn openai_python(io: Io) {
    let server = demo(Pace::immediate());
    let gateway = before(&server, io);
    let checks = [
        "plain",
        "stream",
        "same",
        "keep",
        "separate",
        "bases",
        "parallel",
        "models",
        "retrieve",
        "embeddings",
        "completions",
        "tools",
        "unknown",
    ];
    Sdk::OpenaiPython.check(&gateway, "demo", &checks);
    Sdk::OpenaiPython.check(&gateway, "demo-fields", &["plain", "stream", "same"]);
}

fn ollama_python(io: Io) {
    let server = demo(Pace::immediate());
    let gateway = before(&server, io);
    let checks =
        ["plain", "stream", "keep", "separate", "fields", "generate", "inventory", "tools", "bases", "unknown"];
    Sdk::OllamaPython.check(&gateway, "demo", &checks);
}

fn openai_node(io: Io) {
    let server = demo(Pace::immediate());
    let gateway = before(&server, io);
    let checks = ["plain", "stream", "keep", "separate", "bases", "parallel", "inventory", "unknown"];
    Sdk::OpenaiNode.check(&gateway, "demo", &checks);
}

fn ollama_node(io: Io) {
    let server = demo(Pace::immediate());
    let gateway = before(&server, io);
    let checks = ["plain", "stream", "keep", "separate", "generate", "inventory", "unknown"];
    Sdk::OllamaNode.check(&gateway, "demo", &checks);
}

fn ollama_line(text: &str, done: bool) -> String {
    let line = serde_json::json!({"model": "m", "created_at": "2026-01-01T00:00:00.000001Z",
        "message": {"role": "assistant", "content": text}, "done": done});
    format!("{line}\n")
}

/// A model that thinks, is silent for a while, and answers; with `id:` lines, which make comments dangerous.
fn brooding() -> Upstream {
    Upstream::start(|conn, request| {
        let ollama = request.target().starts_with("/api");
        let piece = |text: &str| if ollama { ollama_line(text, false) } else { format!("id: 7\n{}", chat_event(text)) };
        conn.send(stream_head(if ollama { "application/x-ndjson" } else { "text/event-stream" }));
        conn.send(chunk(piece("<think>hm")));
        std::thread::sleep(Duration::from_millis(2600));
        conn.send(chunk(piece("</think>the answer")));
        conn.send(chunk(if ollama { ollama_line("", true) } else { "data: [DONE]\n\n".to_owned() }));
        conn.send(LAST_CHUNK);
        After::Keep
    })
}

fn signs_of_life_disturb_nobody(io: Io) {
    let upstream = brooding();
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--heartbeat", "1s"]).start();
    for sdk in ALL {
        sdk.check(&gateway, "m", &["silence"]);
    }
    assert!(gateway.metric("thinkgate_think_heartbeats_total", &[]) >= 8.0, "there were some");
}

fn a_stream_that_breaks_is_an_error_to_everybody(io: Io) {
    let upstream = Upstream::start(|conn, request| {
        let ollama = request.target().starts_with("/api");
        conn.send(stream_head(if ollama { "application/x-ndjson" } else { "text/event-stream" }));
        conn.send(chunk(if ollama { ollama_line("half", false) } else { chat_event("half") }));
        conn.wait_closed();
        After::Close
    });
    let gateway = Gateway::build(io).upstream(&upstream.url()).args(["--idle-timeout", "1s"]).start();
    for sdk in ALL {
        sdk.check(&gateway, "m", &["broken"]);
    }
}

fn an_upstream_that_is_down_is_an_error_to_everybody(io: Io) {
    let gateway = Gateway::build(io).upstream("http://127.0.0.1:1").start();
    for sdk in ALL {
        sdk.check(&gateway, "m", &["down"]);
    }
}

fn whoever_leaves_ends_the_stream(io: Io) {
    let server = demo(Pace { first_token: Duration::ZERO, token: Duration::from_millis(40) });
    let gateway = before(&server, io);
    for sdk in ALL {
        sdk.check(&gateway, "demo-plain", &["leave"]);
        eventually("the model is asked for nothing more", || server.answering() == 0);
    }
}
