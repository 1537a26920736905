//! The demo server seen from outside, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pace::Pace;
use super::screen::Screen;
use super::server::{ServerHandle, start_server};
use super::show::converse;
use super::visitor;

fn server(pace: Pace) -> ServerHandle {
    start_server(SocketAddr::from(([127, 0, 0, 1], 0)), pace).expect("a free port")
}

fn exchange(server: &ServerHandle, method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.addr).unwrap();
    let length = body.len();
    // HTTP/1.0: the body ends with the connection, so that reading it takes no parser.
    write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn post(server: &ServerHandle, path: &str, body: &Value) -> (String, String) {
    exchange(server, "POST", path, &body.to_string())
}

fn post_json(server: &ServerHandle, path: &str, body: &Value) -> Value {
    serde_json::from_str(&post(server, path, body).1).unwrap()
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "why is the sky blue?"}]})
}

fn data_lines(body: &str) -> Vec<&str> {
    body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
}

fn deltas(body: &str, field: &str) -> String {
    data_lines(body)
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|event| event["choices"][0]["delta"][field].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn an_openai_stream_has_the_canonical_sequence() {
    let server = server(Pace::immediate());
    let mut request = chat("demo");
    request["stream"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    let (head, body) = post(&server, "/v1/chat/completions", &request);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"));
    let events = data_lines(&body);
    let parsed = |at: usize| serde_json::from_str::<Value>(events[at]).unwrap();
    assert_eq!(parsed(0)["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(parsed(events.len() - 3)["choices"][0]["finish_reason"], "stop");
    assert_eq!(parsed(events.len() - 2)["choices"], json!([]));
    assert!(parsed(events.len() - 2)["usage"]["completion_tokens"].as_u64().unwrap() > 20);
    assert_eq!(events[events.len() - 1], "[DONE]");
    let text = deltas(&body, "content");
    assert!(text.starts_with("<think>\nThe user asks: why is the sky blue?"));
    assert!(text.contains("\n</think>\n\nSunlight"));
}

#[test]
fn stream_and_whole_answer_say_the_same() {
    let server = server(Pace::immediate());
    for model in ["demo", "demo-fields", "demo-plain"] {
        let whole = post_json(&server, "/v1/chat/completions", &chat(model));
        let mut request = chat(model);
        request["stream"] = json!(true);
        let (_, stream) = post(&server, "/v1/chat/completions", &request);
        let message = &whole["choices"][0]["message"];
        assert_eq!(deltas(&stream, "content"), message["content"].as_str().unwrap());
        assert_eq!(deltas(&stream, "reasoning_content"), message["reasoning_content"].as_str().unwrap_or(""));
        assert_eq!(message["content"].as_str().unwrap().contains("<think>"), model == "demo");
    }
}

#[test]
fn ollama_lines_hide_the_tags_as_go_does() {
    let server = server(Pace::immediate());
    let (head, body) = post(&server, "/api/chat", &chat("demo"));
    assert!(head.contains("application/x-ndjson"));
    assert!(body.contains(r"\u003cthink\u003e") && !body.contains('<'));
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, rest) = lines.split_last().unwrap();
    assert!(rest.iter().all(|line| line["done"] == false));
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!(last["eval_count"].as_u64().unwrap() as usize, rest.len());
}

#[test]
fn think_chooses_the_shape_on_ollama_paths() {
    let server = server(Pace::immediate());
    let ask = |think: Value| {
        let mut request = chat("demo");
        request["stream"] = json!(false);
        request["think"] = think;
        post_json(&server, "/api/chat", &request)["message"].clone()
    };
    assert!(ask(json!(true))["thinking"].as_str().unwrap().contains("The user asks"));
    assert!(ask(json!(true))["content"].as_str().unwrap().starts_with("Sunlight"));
    assert_eq!(ask(json!(false)).get("thinking"), None);
    assert!(ask(json!(false))["content"].as_str().unwrap().starts_with("Sunlight"));
}

#[test]
fn generate_answers_and_loads() {
    let server = server(Pace::immediate());
    let load = post_json(&server, "/api/generate", &json!({"model": "demo"}));
    assert_eq!((&load["done"], &load["done_reason"]), (&json!(true), &json!("load")));
    let whole =
        post_json(&server, "/api/generate", &json!({"model": "demo-plain", "prompt": "hello", "stream": false}));
    assert!(whole["response"].as_str().unwrap().starts_with("Hello!"));
}

#[test]
fn a_tool_is_called_once_and_its_result_is_answered() {
    let server = server(Pace::immediate());
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}]);
    let mut request = chat("demo-plain");
    request["tools"] = tools;
    let choice = post_json(&server, "/v1/chat/completions", &request)["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls");
    let function = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(function["name"], "weather");
    let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"city": "Paris", "days": 1}));
    let ollama = post(&server, "/api/chat", &request).1;
    assert!(ollama.contains(r#""arguments":{"city":"Paris","days":1}"#), "an object on Ollama's side: {ollama}");
    request["messages"].as_array_mut().unwrap().push(json!({"role": "tool", "content": "sunny"}));
    let after = post_json(&server, "/v1/chat/completions", &request)["choices"][0].clone();
    assert_eq!(after["finish_reason"], "stop");
}

#[test]
fn max_tokens_cuts() {
    let server = server(Pace::immediate());
    let mut request = chat("demo");
    request["max_tokens"] = json!(5);
    let whole = post_json(&server, "/v1/chat/completions", &request);
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(whole["usage"]["completion_tokens"], 5);
}

#[test]
fn embeddings_are_unit_vectors_in_both_spellings() {
    let server = server(Pace::immediate());
    let floats = post_json(&server, "/v1/embeddings", &json!({"model": "demo", "input": ["a", "b"]}));
    let vector = |at: usize| -> Vec<f64> { serde_json::from_value(floats["data"][at]["embedding"].clone()).unwrap() };
    assert!((vector(0).iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-5);
    assert_ne!(vector(0), vector(1));
    let request = json!({"model": "demo", "input": "a", "encoding_format": "base64"});
    let base64 = post_json(&server, "/v1/embeddings", &request)["data"][0]["embedding"].clone();
    assert_eq!(base64.as_str().unwrap().len(), 44, "32 bytes");
    let ollama = post_json(&server, "/api/embed", &json!({"model": "demo", "input": "a"}));
    assert_eq!(ollama["embeddings"][0].as_array().unwrap().len(), 8);
}

#[test]
fn errors_speak_the_dialect_of_the_path() {
    let server = server(Pace::immediate());
    let (head, body) = post(&server, "/v1/chat/completions", &chat("nope"));
    assert!(head.starts_with("HTTP/1.1 404"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["error"]["code"], "model_not_found");
    let (head, body) = post(&server, "/api/chat", &chat("nope"));
    assert!(head.starts_with("HTTP/1.1 404"));
    assert_eq!(body, r#"{"error":"model 'nope' not found"}"#);
    assert!(exchange(&server, "GET", "/nothing", "").0.starts_with("HTTP/1.1 404"));
    assert!(exchange(&server, "POST", "/v1/chat/completions", "not json").0.starts_with("HTTP/1.1 400"));
}

#[test]
fn inventory_and_liveness() {
    let server = server(Pace::immediate());
    assert_eq!(exchange(&server, "GET", "/", "").1, "Ollama is running");
    let (head, body) = exchange(&server, "HEAD", "/", "");
    assert!(head.contains("Content-Length: 17") && body.is_empty());
    for (path, wanted) in [("/v1/models", "demo-plain"), ("/v1/models/demo", "demo"), ("/api/tags", "demo:latest")] {
        assert!(exchange(&server, "GET", path, "").1.contains(wanted), "{path}");
    }
    assert!(exchange(&server, "GET", "/api/version", "").1.contains("0.33"));
    assert!(exchange(&server, "GET", "/api/ps", "").1.contains("expires_at"));
    assert!(post(&server, "/api/show", &json!({"model": "demo"})).1.contains("model_info"));
}

#[test]
fn a_connection_is_kept_and_reads_chunks() {
    let server = server(Pace::immediate());
    let mut stream = TcpStream::connect(server.addr).unwrap();
    let body = json!({"model": "demo-plain", "input": "a"}).to_string();
    let (first, second) = body.split_at(7);
    for _ in 0..2 {
        write!(
            stream,
            "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
             {:x}\r\n{first}\r\n{:x};a=b\r\n{second}\r\n0\r\nX-Trailer: 1\r\n\r\n",
            first.len(),
            second.len()
        )
        .unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 4096];
        while !seen.contains("total_tokens") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "closed after: {seen}");
            seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        assert!(seen.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn a_stream_is_paced_and_stops_when_the_client_leaves() {
    let pace = Pace { first_token: Duration::from_millis(40), token: Duration::from_millis(10) };
    let server = server(pace);
    let started = Instant::now();
    let mut seen_first = None;
    let mut pieces = 0_u32;
    visitor::ask(server.addr, "hello", |text| {
        pieces += u32::from(!text.is_empty());
        seen_first.get_or_insert_with(|| started.elapsed());
    })
    .unwrap();
    assert!(seen_first.unwrap() >= Duration::from_millis(40));
    assert!(started.elapsed() >= Duration::from_millis(10) * pieces);

    let mut stream = TcpStream::connect(server.addr).unwrap();
    let mut request = chat("demo");
    request["stream"] = json!(true);
    let body = request.to_string();
    write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let _ = stream.read(&mut [0; 64]).unwrap();
    assert!(server.answering() >= 1);
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.answering() > 0 {
        assert!(Instant::now() < deadline, "the server still speaks to nobody");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_show_is_plain_text_without_a_terminal() {
    let server = server(Pace::immediate());
    let mut out = Vec::new();
    converse(&mut out, Screen::new(false, false, 80, 24), [server.addr, server.addr]).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\x1b'));
    assert_eq!(text.matches("<think>").count(), 2, "both columns speak to the same server here");
    assert!(text.contains("0 of "), "so nothing was removed");
}

#[test]
fn the_show_repaints_in_a_terminal() {
    let server = server(Pace::immediate());
    let mut out = Vec::new();
    converse(&mut out, Screen::new(true, true, 80, 24), [server.addr, server.addr]).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\x1b[2A") || text.contains("\x1b[3A"), "the cursor goes up to repaint");
    assert!(text.contains("what the model sends"));
}

#[test]
fn a_dead_gateway_is_named() {
    let server = server(Pace::immediate());
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let error = converse(&mut Vec::new(), Screen::new(false, false, 80, 24), [server.addr, dead]).unwrap_err();
    assert!(error.to_string().contains(&dead.to_string()));
}
