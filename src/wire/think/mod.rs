//! stub
use std::sync::Arc;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Strip,
    Keep,
    Separate,
    Wrap,
}
impl Policy {
    pub fn from_name(n: &str) -> Option<Self> {
        Some(match n {
            "strip" => Self::Strip,
            "keep" => Self::Keep,
            "separate" => Self::Separate,
            "wrap" => Self::Wrap,
            _ => return None,
        })
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Sse,
    Ndjson,
    Json,
}
#[derive(Clone)]
pub struct Spec {
    pub framing: Framing,
}
impl Spec {
    pub fn framed(&self, framing: Framing) -> Spec {
        Spec { framing }
    }
}
pub struct Filter;
#[derive(Default)]
pub struct Stats {
    pub removed_bytes: u64,
    pub held_max: usize,
    pub unclosed: u32,
    pub dangling_close: u32,
    pub edited_events: u64,
    pub dropped_events: u64,
    pub over_cap: u64,
}
impl Filter {
    pub fn new(_: &Spec) -> Self {
        Filter
    }
    pub fn feed(&mut self, i: &[u8], o: &mut Out) {
        o.n = i.len();
    }
    pub fn finish(&mut self, _: &mut Out) {}
    pub fn bypass(&self) -> bool {
        true
    }
    pub fn is_suppressing(&self) -> bool {
        false
    }
    pub fn heartbeat(&self, _: &mut Vec<u8>) -> bool {
        false
    }
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
#[derive(Default)]
pub struct Out {
    n: usize,
}
impl Out {
    pub fn len(&self) -> usize {
        self.n
    }
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }
    pub fn clear(&mut self) {
        self.n = 0
    }
    pub fn slices<'a>(&'a self, i: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(&i[..self.n])
    }
}
pub fn whole(_: &Spec, i: &[u8], o: &mut Out) -> Stats {
    o.n = i.len();
    Stats::default()
}
pub struct Rules;
pub type X = Arc<u8>;
