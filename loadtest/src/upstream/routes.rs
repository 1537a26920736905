//! From a request to the prepared answer.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::size;
use super::stats::Stats;
use crate::script::answer::Answer;
use crate::script::text::{NO_NONCE, NONCE_BYTES, NONCE_MARK};
use crate::script::{Dialect, Fault, Script};
use crate::wire::head::RequestHead;
use crate::wire::json;

/// Distinct models that are remembered; beyond it answers are made anew each time.
const ANSWERS_MAX: usize = 256;

/// What is sent for a request.
pub struct Plan {
    /// The script, for its pace and its fault.
    pub script: Script,
    /// The bytes.
    pub answer: Answer,
    /// It answers a chat request. Probes are not counted, neither as requests nor as answers.
    pub chat: bool,
}

/// The part of the routes that may travel to the server's thread.
pub struct Closed {
    fallback: Script,
    stats: Arc<Stats>,
}

/// The table of prepared answers.
pub struct Routes {
    fallback: Script,
    stats: Arc<Stats>,
    answers: HashMap<(String, Dialect), Rc<Plan>>,
    /// Bytes of those.
    remembered: u64,
    /// Requests for flaky models so far.
    flaky: u64,
}

impl Routes {
    /// `fallback` is the script of models that are none.
    ///
    /// # Errors
    /// When it is none itself, or its answer is too large.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(fallback: &str, stats: Arc<Stats>) -> Result<Closed, String> {
        let script = Script::parse(fallback)?;
        size::check(&script, fallback)?;
        Ok(Closed { fallback: script, stats })
    }

    /// The answer for a request and the nonce it carries.
    pub fn answer(&mut self, head: &RequestHead, body: &[u8]) -> (Rc<Plan>, [u8; NONCE_BYTES]) {
        let path = head.target.split('?').next().unwrap_or("");
        if head.method != "POST" || path == "/" {
            return (Rc::new(self.around(path, head.method == "HEAD")), *NO_NONCE);
        }
        Stats::add(&self.stats.requests, 1);
        let dialect = Dialect::of_path(path);
        let span = json::string_span(body, "model");
        let model = match (&head.mock, span) {
            (Some(mock), _) => mock.clone(),
            (None, Some(span)) => String::from_utf8_lossy(&body[span]).into_owned(),
            (None, None) => String::new(),
        };
        let plan = self.plan(model, dialect);
        if plan.script.fault == Some(Fault::Flaky) {
            self.flaky += 1;
            if self.flaky % 2 == 1 {
                let failure = Plan { script: plan.script.clone(), answer: Answer::error(500, dialect), chat: true };
                return (Rc::new(failure), *NO_NONCE);
            }
        }
        (plan, nonce(body))
    }

    fn plan(&mut self, model: String, dialect: Dialect) -> Rc<Plan> {
        let key = (model, dialect);
        if let Some(plan) = self.answers.get(&key) {
            return plan.clone();
        }
        let script = Script::parse(&key.0).unwrap_or_else(|_| self.fallback.clone());
        if let Err(error) = size::check(&script, &key.0) {
            return Rc::new(self.refusal(&error));
        }
        let plan = Rc::new(Plan { answer: Answer::new(&script, dialect), script, chat: true });
        // Models are named by whoever sends a request: neither their number nor their size may fill the memory.
        let bytes = plan.answer.writes.last().map_or(0, |end| *end as u64);
        if self.answers.len() < ANSWERS_MAX && self.remembered + bytes <= size::ANSWER_BYTES_MAX {
            self.remembered += bytes;
            self.answers.insert(key, plan.clone());
        }
        plan
    }

    /// The answer to a model that asks for too much.
    fn refusal(&self, error: &str) -> Plan {
        let body = serde_json::json!({ "error": error }).to_string();
        let answer = Answer::plain("400 Bad Request", "", "application/json", &body);
        Plan { script: self.at_once(), answer, chat: true }
    }

    /// A script without pace and fault, for answers that are none of the scripted ones.
    fn at_once(&self) -> Script {
        Script { fault: None, pace: Duration::ZERO, hold: Duration::ZERO, ..self.fallback.clone() }
    }

    /// The routes that clients and gateways ask before and beside the chat.
    fn around(&self, path: &str, head_only: bool) -> Plan {
        let stats = self.stats.to_json();
        let (status, body) = match path {
            "/" => ("200 OK", "Ollama is running"),
            "/loadtest/stats" => ("200 OK", stats.as_str()),
            "/health" => ("200 OK", r#"{"status":"healthy"}"#),
            "/api/version" => ("200 OK", r#"{"version":"0.12.0"}"#),
            "/api/tags" => ("200 OK", r#"{"models":[{"name":"mock-json","model":"mock-json"}]}"#),
            "/v1/models" => (
                "200 OK",
                r#"{"object":"list","data":[{"id":"mock-json","object":"model","created":0,"owned_by":"mock"}]}"#,
            ),
            _ => ("404 Not Found", r#"{"error":"not found"}"#),
        };
        let content_type = if body.starts_with('{') { "application/json" } else { "text/plain" };
        let answer = Answer::plain(status, "", content_type, if head_only { "" } else { body });
        Plan { script: self.at_once(), answer, chat: false }
    }
}

impl Closed {
    /// The table, on the thread that will use it.
    #[must_use]
    pub fn open(self) -> Routes {
        Routes { fallback: self.fallback, stats: self.stats, answers: HashMap::new(), remembered: 0, flaky: 0 }
    }
}

fn nonce(body: &[u8]) -> [u8; NONCE_BYTES] {
    memchr::memmem::find(body, NONCE_MARK)
        .and_then(|at| body.get(at + NONCE_MARK.len()..at + NONCE_MARK.len() + NONCE_BYTES))
        .filter(|digits| digits.iter().all(u8::is_ascii_alphanumeric))
        .and_then(|digits| digits.try_into().ok())
        .unwrap_or(*NO_NONCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head::parse_request;

    fn ask(routes: &mut Routes, request: &str) -> (String, [u8; NONCE_BYTES]) {
        let (head, length) = parse_request(request.as_bytes()).unwrap().unwrap();
        let (plan, nonce) = routes.answer(&head, &request.as_bytes()[length..]);
        let mut bytes = Vec::new();
        plan.answer.fill(nonce, &mut bytes);
        (String::from_utf8(bytes).unwrap(), nonce)
    }

    fn post(model: &str) -> String {
        format!("POST /v1/chat/completions HTTP/1.1\r\n\r\n{{\"model\":\"{model}\",\"x\":\"nonce=deadbeef \"}}")
    }

    #[test]
    fn the_model_is_the_script_and_the_nonce_comes_back() {
        let mut routes = Routes::new("mock-json-status404", Arc::default()).unwrap().open();
        let (answer, nonce) = ask(&mut routes, &post("mock-json-b1000"));
        assert_eq!(&nonce, b"deadbeef");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("deadbeef.00000 "));
        assert!(ask(&mut routes, &post("gpt-9")).0.starts_with("HTTP/1.1 404"));
        let by_header = post("gpt-9").replace("\r\n\r\n", "\r\nX-Mock: mock-json-status429\r\n\r\n");
        assert!(ask(&mut routes, &by_header).0.contains("Retry-After: 1\r\n"));
    }

    #[test]
    fn no_request_makes_an_answer_beyond_the_limit() {
        let mut routes = Routes::new("mock-json", Arc::default()).unwrap().open();
        let (answer, _) = ask(&mut routes, &post("mock-stream-e100000-b65536"));
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request") && answer.contains("6250 MiB"), "{answer}");
        let by_header = post("gpt-9").replace("\r\n\r\n", "\r\nX-Mock: mock-stream-e100000-b65536\r\n\r\n");
        assert!(ask(&mut routes, &by_header).0.starts_with("HTTP/1.1 400"));
        assert!(Routes::new("mock-stream-e100000-b65536", Arc::default()).is_err());
    }

    #[test]
    fn large_answers_are_remembered_up_to_the_limit() {
        let mut routes = Routes::new("mock-json", Arc::default()).unwrap().open();
        routes.remembered = size::ANSWER_BYTES_MAX - 4_000;
        for number in 0..3 {
            assert!(ask(&mut routes, &post(&format!("mock-stream-e1{number}-b200"))).0.starts_with("HTTP/1.1 200 OK"));
        }
        assert_eq!(routes.answers.len(), 1, "the second one does not fit");
        assert!(routes.remembered <= size::ANSWER_BYTES_MAX);
    }

    #[test]
    fn every_second_flaky_request_fails() {
        let mut routes = Routes::new("mock-json", Arc::default()).unwrap().open();
        let starts: Vec<bool> =
            (0..4).map(|_| ask(&mut routes, &post("mock-json-flaky")).0.starts_with("HTTP/1.1 500")).collect();
        assert_eq!(starts, [true, false, true, false]);
    }

    #[test]
    fn probes_are_answered_without_counting_as_requests() {
        let mut routes = Routes::new("mock-json", Arc::default()).unwrap().open();
        assert!(ask(&mut routes, "GET / HTTP/1.1\r\n\r\n").0.ends_with("Ollama is running"));
        assert!(ask(&mut routes, "HEAD / HTTP/1.1\r\n\r\n").0.ends_with("Content-Length: 0\r\n\r\n"));
        assert!(ask(&mut routes, "GET /api/ps HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 404"));
        assert!(ask(&mut routes, "GET /loadtest/stats HTTP/1.1\r\n\r\n").0.contains("\"requests\":0"));
        assert!(Routes::new("gpt", Arc::default()).is_err());
    }
}
