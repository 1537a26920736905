//! Embeddings: an input alone, a batch, and batches made of inputs that are known.

use serde_json::{Value, json};

use crate::both_drivers;
use crate::support::{After, Gateway, Io, Reply, Upstream, json_reply};

use super::{cached, wait_until_stored};

both_drivers![one_input_and_whole_batches, a_batch_of_known_texts_is_known, both_dialects_and_both_spellings];

const OPENAI: &str = "/v1/embeddings";
const OLLAMA: &str = "/api/embed";

/// A vector that no other text has, of length 1.
fn vector(text: &str) -> Vec<f32> {
    let angle = text.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) as f32 / 1e5;
    vec![angle.cos(), angle.sin()]
}

fn inputs(body: &Value) -> Vec<String> {
    match &body["input"] {
        Value::String(text) => vec![text.clone()],
        list => list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
    }
}

fn upstream() -> Upstream {
    Upstream::start(|conn, request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let vectors: Vec<_> = inputs(&body).iter().map(|text| vector(text)).collect();
        let tokens = vectors.len() * 3;
        let reply = if request.target() == OPENAI {
            let data: Vec<_> = vectors
                .iter()
                .enumerate()
                .map(|(at, vector)| json!({"object": "embedding", "index": at, "embedding": vector}))
                .collect();
            json!({"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
        } else {
            json!({"model": "e", "embeddings": vectors, "prompt_eval_count": tokens})
        };
        conn.send(json_reply(200, &reply.to_string()));
        After::Keep
    })
}

fn ask(gateway: &Gateway, path: &str, input: &Value) -> Reply {
    gateway.post(path, &json!({"model": "e", "input": input}).to_string())
}

fn vectors(reply: &Reply) -> Vec<Vec<f32>> {
    let body = reply.json();
    let list = |value: &Value| value.as_array().unwrap().iter().map(|n| n.as_f64().unwrap() as f32).collect();
    match body.get("embeddings") {
        Some(all) => all.as_array().unwrap().iter().map(list).collect(),
        None => body["data"].as_array().unwrap().iter().map(|one| list(&one["embedding"])).collect(),
    }
}

fn one_input_and_whole_batches(io: Io) {
    let upstream = upstream();
    let gateway = cached(io, &upstream).start();
    for (at, input) in [json!("a"), json!(["b"]), json!(["a", "b", "c"])].iter().enumerate() {
        let wanted: Vec<_> = inputs(&json!({"input": input})).iter().map(|text| vector(text)).collect();
        assert_eq!(vectors(&ask(&gateway, OPENAI, input)), wanted);
        wait_until_stored(&gateway, u32::try_from(at).unwrap() + 1);
        let hit = ask(&gateway, OPENAI, input);
        assert!(hit.field("age").is_some(), "{input}");
        assert_eq!(vectors(&hit), wanted);
        assert_eq!(hit.json()["usage"]["prompt_tokens"], json!(wanted.len() * 3));
    }
    assert_eq!(upstream.requests().len(), 3);
    assert!(ask(&gateway, OPENAI, &json!(["a"])).field("age").is_some(), "a text and a list of it are the same");
}

fn a_batch_of_known_texts_is_known(io: Io) {
    let upstream = upstream();
    let gateway = cached(io, &upstream).start();
    let known = |input: &Value| {
        let wanted: Vec<_> = inputs(&json!({"input": input})).iter().map(|text| vector(text)).collect();
        let reply = ask(&gateway, OPENAI, input);
        assert_eq!(vectors(&reply), wanted, "{input}");
        super::wait_until_quiet(&gateway);
        reply.field("age").is_some()
    };
    assert!(!known(&json!(["a", "b", "c"])));
    assert!(known(&json!("b")), "a text of a batch is known alone");
    assert!(known(&json!(["c", "a"])), "in another order, and fewer");
    assert!(known(&json!(["a", "a", "b", "a"])), "several times");
    assert!(!known(&json!(["a", "d"])), "one unknown makes a request");
    assert!(known(&json!(["d", "c"])));
    assert!(!known(&json!("e")));
    assert!(known(&json!(["e", "a"])), "what came alone serves in a batch");
    let other = json!({"model": "e", "input": ["a", "b"], "dimensions": 2});
    assert!(
        gateway.post(OPENAI, &other.to_string()).field("age").is_none(),
        "with another setting it is another vector"
    );
    assert_eq!(upstream.requests().len(), 4);
    let many: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    assert!(!known(&json!(many)));
    assert!(known(&json!(many)), "a very large batch is kept whole");
}

fn both_dialects_and_both_spellings(io: Io) {
    let upstream = upstream();
    let gateway = cached(io, &upstream).start();
    let input = json!(["x", "y"]);
    let wanted = vec![vector("x"), vector("y")];
    assert_eq!(vectors(&ask(&gateway, OLLAMA, &input)), wanted);
    wait_until_stored(&gateway, 1);
    let hit = ask(&gateway, OPENAI, &input);
    assert!(hit.field("age").is_some());
    assert_eq!(vectors(&hit), wanted);
    let body = json!({"model": "e", "input": input, "encoding_format": "base64"});
    let hit = gateway.post(OPENAI, &body.to_string());
    assert!(hit.field("age").is_some());
    // "x": its two numbers, little-endian, in base64.
    let bytes: Vec<u8> = wanted[0].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(hit.json()["data"][0]["embedding"], json!(base64(&bytes)));
    assert_eq!(upstream.requests().len(), 1);
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let value = three.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS[(value >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}
