//! Embeddings: one body, a vector for every input.

use super::super::json::{base64, compact, number, numbers, string};
use super::super::{Kind, Vector};
use super::Replay;

impl Replay<'_> {
    pub(super) fn embeddings(&self, out: &mut Vec<u8>) {
        match self.context.kind {
            Kind::OllamaEmbeddings => {
                out.extend_from_slice(b"{\"embedding\":");
                self.answer.vectors.iter().take(1).for_each(|vector| self.array(vector, out));
                out.push(b'}');
            }
            Kind::OllamaEmbed => self.embed(out),
            _ => self.openai_embeddings(out),
        }
    }

    fn embed(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"model\":");
        string(out, self.model());
        out.extend_from_slice(b",\"embeddings\":[");
        for (at, vector) in self.answer.vectors.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.array(vector, out);
        }
        out.extend_from_slice(b"],\"total_duration\":");
        number(out, self.context.elapsed_nanos.max(2));
        out.extend_from_slice(b",\"load_duration\":1,\"prompt_eval_count\":");
        number(out, self.answer.usage.unwrap_or_default().prompt);
        out.push(b'}');
    }

    fn openai_embeddings(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
        for (at, vector) in self.answer.vectors.iter().enumerate() {
            out.extend_from_slice(if at > 0 {
                b",{\"object\":\"embedding\",\"index\":"
            } else {
                b"{\"object\":\"embedding\",\"index\":"
            });
            number(out, at as u64);
            out.extend_from_slice(b",\"embedding\":");
            if self.context.base64 {
                out.push(b'"');
                base64(out, &floats(vector));
                out.push(b'"');
            } else {
                self.array(vector, out);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"model\":");
        string(out, self.model());
        let prompt = self.answer.usage.unwrap_or_default().prompt;
        out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
        number(out, prompt);
        out.extend_from_slice(b",\"total_tokens\":");
        number(out, prompt);
        out.extend_from_slice(b"}}");
    }

    /// The digits as they came, unless Ollama's clients need another length: its vectors have the length 1, OpenAI's
    /// servers don't all see to that.
    fn array(&self, vector: &Vector<'_>, out: &mut Vec<u8>) {
        let to_normalise = self.answer.from_openai && self.context.kind == Kind::OllamaEmbed;
        let scale = if to_normalise { scale(vector) } else { 1.0 };
        match vector {
            Vector::Json(text) if scale == 1.0 => compact(out, text),
            Vector::Json(text) => write(numbers(text).map(|number| (number * scale) as f32), out),
            Vector::Floats(bytes) if scale == 1.0 => write(singles(bytes), out),
            Vector::Floats(bytes) => write(singles(bytes).map(|single| (f64::from(single) * scale) as f32), out),
        }
    }
}

/// What makes the length 1; exactly 1 if it is that already, as far as 32 bits can say.
fn scale(vector: &Vector<'_>) -> f64 {
    let square = match vector {
        Vector::Json(text) => numbers(text).map(|number| number * number).sum::<f64>(),
        Vector::Floats(bytes) => singles(bytes).map(|single| f64::from(single).powi(2)).sum(),
    };
    if (square - 1.0).abs() < 1e-5 || square <= 0.0 || !square.is_finite() { 1.0 } else { 1.0 / square.sqrt() }
}

fn singles(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four))
}

fn floats(vector: &Vector<'_>) -> Vec<u8> {
    match vector {
        Vector::Floats(bytes) => bytes.to_vec(),
        Vector::Json(text) => numbers(text).flat_map(|number| (number as f32).to_le_bytes()).collect(),
    }
}

/// The shortest digits that read back as the same number; what JSON can't say becomes 0.
fn write<N: serde::Serialize>(numbers: impl Iterator<Item = N>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, number) in numbers.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let before = out.len();
        if serde_json::to_writer(&mut *out, &number).is_err() || &out[before..] == b"null" {
            out.truncate(before);
            out.push(b'0');
        }
    }
    out.push(b']');
}
