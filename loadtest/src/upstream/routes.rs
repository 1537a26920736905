//! From a request to the prepared answer.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

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
    /// Requests for flaky models so far.
    flaky: u64,
}

impl Routes {
    /// `fallback` is the script of models that are none.
    ///
    /// # Errors
    /// When it is none itself.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(fallback: &str, stats: Arc<Stats>) -> Result<Closed, String> {
        Ok(Closed { fallback: Script::parse(fallback)?, stats })
    }

    /// The answer for a request and the nonce it carries.
    pub fn answer(&mut self, head: &RequestHead, body: &[u8]) -> (Rc<Plan>, [u8; NONCE_BYTES]) {
        let path = head.target.split('?').next().unwrap_or("");
        if let Some(plan) = self.around(path) {
            return (Rc::new(plan), *NO_NONCE);
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
                let failure = Plan { script: plan.script.clone(), answer: Answer::error(500, dialect) };
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
        let plan = Rc::new(Plan { answer: Answer::new(&script, dialect), script });
        if self.answers.len() < ANSWERS_MAX {
            self.answers.insert(key, plan.clone());
        }
        plan
    }

    /// The routes that clients and gateways ask before and beside the chat.
    fn around(&self, path: &str) -> Option<Plan> {
        let json = "application/json";
        let answer = match path {
            "/" => Answer::plain("200 OK", "", "text/plain", "Ollama is running"),
            "/loadtest/stats" => Answer::plain("200 OK", "", json, &self.stats.to_json()),
            "/health" => Answer::plain("200 OK", "", json, r#"{"status":"healthy"}"#),
            "/api/version" => Answer::plain("200 OK", "", json, r#"{"version":"0.12.0"}"#),
            "/api/tags" => {
                Answer::plain("200 OK", "", json, r#"{"models":[{"name":"mock-json","model":"mock-json"}]}"#)
            }
            "/v1/models" => {
                let list =
                    r#"{"object":"list","data":[{"id":"mock-json","object":"model","created":0,"owned_by":"mock"}]}"#;
                Answer::plain("200 OK", "", json, list)
            }
            _ => return None,
        };
        let script = Script { fault: None, ..self.fallback.clone() };
        Some(Plan { script, answer })
    }
}

impl Closed {
    /// The table, on the thread that will use it.
    #[must_use]
    pub fn open(self) -> Routes {
        Routes { fallback: self.fallback, stats: self.stats, answers: HashMap::new(), flaky: 0 }
    }
}

fn nonce(body: &[u8]) -> [u8; NONCE_BYTES] {
    memchr::memmem::find(body, NONCE_MARK)
        .and_then(|at| body.get(at + NONCE_MARK.len()..at + NONCE_MARK.len() + NONCE_BYTES))
        .filter(|digits| digits.iter().all(u8::is_ascii_alphanumeric))
        .and_then(|digits| digits.try_into().ok())
        .unwrap_or(*NO_NONCE)
}
