//! Embeddings of a batch: kept text by text, so that any batch of known texts is answered from the cache. A batch of
//! which a single text is unknown is asked as it is.

use bytes::Bytes;

use crate::{
    base::bounds::ANSWER_BODY_BYTES_MAX,
    policy::{
        answers::Hit,
        fingerprint::{Fingerprint, Input},
    },
    wire::answer::{Answer, Tier, Usage, Vector, decode, encode},
};

/// Collects the answers to the single texts.
pub struct Collected {
    answer: Option<Answer<'static>>,
    usage: Option<Usage>,
    bytes: usize,
    tier: Tier,
    age: u64,
    ttl: u64,
}

impl Default for Collected {
    fn default() -> Self {
        Self { answer: None, usage: Some(Usage::default()), bytes: 0, tier: Tier::Memory, age: 0, ttl: u64::MAX }
    }
}

impl Collected {
    /// Takes the next text's answer. `None`: the batch cannot be made of these.
    pub fn add(&mut self, hit: &Hit) -> Option<()> {
        let one = decode(&hit.answer).ok()?;
        self.bytes += hit.answer.len();
        let [vector] = one.vectors.as_slice() else { return None };
        if self.bytes > ANSWER_BODY_BYTES_MAX {
            return None;
        }
        let all = self.answer.get_or_insert_with(|| empty(&one));
        // Who gave it decides whether it has to be normalised on the way out.
        if all.from_openai != one.from_openai {
            return None;
        }
        all.vectors.push(owned(vector));
        self.usage = self.usage.zip(one.usage).map(|(sum, usage)| Usage {
            prompt: sum.prompt.saturating_add(usage.prompt),
            total: sum.total.saturating_add(usage.total),
            ..sum
        });
        self.age = self.age.max(hit.age);
        self.ttl = self.ttl.min(hit.ttl);
        if hit.tier == Tier::Disk {
            self.tier = Tier::Disk;
        }
        Some(())
    }

    /// The batch's answer.
    #[must_use]
    pub fn finish(self) -> Option<Hit> {
        let mut answer = self.answer?;
        answer.usage = self.usage;
        Some(Hit { answer: encoded(&answer), tier: self.tier, age: self.age, ttl: self.ttl })
    }
}

/// The answers to each text of a batch, as they are kept. Servers count the tokens of a batch together; each text gets
/// its part by its length, so that the same texts add up to the same count again.
pub fn apart<'a>(answer: &'a Answer<'_>, inputs: &'a [Input]) -> impl Iterator<Item = (Fingerprint, Bytes)> + 'a {
    let all: u64 = inputs.iter().map(|input| input.bytes as u64 + 1).sum();
    let part = move |count: u64, before: u64| (u128::from(count) * u128::from(before) / u128::from(all.max(1))) as u64;
    let mut before = 0;
    inputs.iter().zip(&answer.vectors).map(move |(input, vector)| {
        let after = before + input.bytes as u64 + 1;
        let usage = answer.usage.map(|usage| Usage {
            prompt: part(usage.prompt, after) - part(usage.prompt, before),
            total: part(usage.total, after) - part(usage.total, before),
            ..Usage::default()
        });
        before = after;
        let mut one = empty(answer);
        one.usage = usage;
        one.vectors.push(owned(vector));
        (input.print, encoded(&one))
    })
}

fn empty(like: &Answer<'_>) -> Answer<'static> {
    Answer {
        family: like.family,
        from_openai: like.from_openai,
        model: like.model.clone().into_owned().into(),
        pieces: Vec::new(),
        finish: like.finish,
        field: like.field,
        usage: None,
        state: Vec::new(),
        vectors: Vec::new(),
    }
}

fn owned(vector: &Vector<'_>) -> Vector<'static> {
    match vector {
        Vector::Json(text) => Vector::Json(text.clone().into_owned().into()),
        Vector::Floats(floats) => Vector::Floats(floats.clone().into_owned().into()),
    }
}

fn encoded(answer: &Answer<'_>) -> Bytes {
    let mut bytes = Vec::new();
    encode(answer, &mut bytes);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::Kind;
    use proptest::prelude::*;

    proptest! {
        /// Taken apart and put together again it is what it was, the counts included.
        #[test]
        fn apart_and_together(
            lengths in proptest::collection::vec(0_usize..5_000, 2..40),
            prompt in 0_u64..1_000_000,
            openai: bool,
        ) {
            let mut answer = Answer::new(if openai { Kind::OpenAiEmbeddings } else { Kind::OllamaEmbed });
            answer.usage = Some(Usage { prompt, total: prompt, ..Usage::default() });
            answer.vectors = (0..lengths.len()).map(|at| Vector::Json(format!("[{at},0.5]").into())).collect();
            let inputs: Vec<_> =
                lengths.iter().enumerate().map(|(at, bytes)| Input { print: Fingerprint([at as u8; 16]), bytes: *bytes }).collect();
            let mut collected = Collected::default();
            for (at, (print, bytes)) in apart(&answer, &inputs).enumerate() {
                prop_assert_eq!(print, inputs[at].print);
                let tier = if at == 1 { Tier::Disk } else { Tier::Memory };
                let (age, ttl) = (at as u64, 100 - at as u64);
                let hit = Hit { answer: bytes, tier, age, ttl };
                prop_assert!(collected.add(&hit).is_some());
            }
            let hit = collected.finish().ok_or_else(|| TestCaseError::fail("nothing"))?;
            prop_assert_eq!((hit.tier, hit.age, hit.ttl), (Tier::Disk, lengths.len() as u64 - 1, 101 - lengths.len() as u64));
            prop_assert_eq!(decode(&hit.answer).ok(), Some(answer));
        }
    }

    #[test]
    fn what_does_not_fit_together() {
        let single = |kind| {
            let mut answer = Answer::new(kind);
            answer.vectors = vec![Vector::Json("[1]".into())];
            Hit { answer: encoded(&answer), tier: Tier::Memory, age: 0, ttl: 1 }
        };
        let mut collected = Collected::default();
        assert!(collected.add(&single(Kind::OpenAiEmbeddings)).is_some());
        assert!(collected.add(&single(Kind::OllamaEmbed)).is_none(), "one is to be normalised, the other not");
        assert!(Collected::default().finish().is_none());
    }
}
