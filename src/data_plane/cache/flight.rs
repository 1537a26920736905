//! One call of an upstream that several clients follow: a head, a log of pieces that only grows, an end.
//!
//! One task writes (the leader), any number read, on any core, without a lock: a piece is published by setting the `next`
//! of the piece before it, once. Whoever has read everything says so for its core and sleeps; the leader wakes the cores
//! where somebody sleeps.

use std::{
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwapOption;

use super::bells::Bells;
use crate::{
    base::{bounds::FLIGHT_LAG_BYTES_MAX, error::Kind},
    data_plane::clock::Micros,
    policy::fingerprint::{Fingerprint, Input},
    wire::answer,
};

/// Nobody follows and nobody may begin to.
const ABANDONED: usize = usize::MAX;

/// Names flights on all cores.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A piece of the body, and the one after it.
pub struct Piece {
    pub bytes: Box<[u8]>,
    next: OnceLock<Arc<Piece>>,
}

impl Piece {
    fn new(bytes: Box<[u8]>) -> Arc<Self> {
        Arc::new(Self { bytes, next: OnceLock::new() })
    }

    /// The piece after this one, if it has come.
    #[must_use]
    pub fn next(&self) -> Option<&Arc<Piece>> {
        self.next.get()
    }
}

impl Drop for Piece {
    /// One after the other: dropping a long list by recursion would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(piece) = next {
            next = Arc::into_inner(piece).and_then(|mut piece| piece.next.take());
        }
    }
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub enum End {
    /// The body came to its announced end, or ended with the connection where nothing was announced.
    Whole { announced: bool },
    /// There is no answer: nothing of one was published.
    Failed { kind: Kind, detail: Box<str> },
    /// The body stops in the middle.
    Cut(Kind),
    /// It never began: the answer was found in the cache while the flight was opened. Who joined it asks anew.
    Moot,
}

/// How an answer is written. Who wants the very same can be given the bytes as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// In whose words.
    pub kind: answer::Kind,
    pub stream: bool,
    /// With the usage at the end of the stream.
    pub usage: bool,
    /// Vectors as base64.
    pub base64: bool,
}

impl Form {
    /// The same stream, but for the counts at its end, which `wanted` does not want.
    #[must_use]
    pub fn is_but_for_usage(&self, wanted: &Self) -> bool {
        self.stream && self.usage && !wanted.usage && Self { usage: false, ..*self } == *wanted
    }

    /// An answer of this form says how many tokens there were; only an OpenAI stream may leave that out.
    #[must_use]
    pub fn tells_usage(&self) -> bool {
        self.usage || !self.stream || !self.kind.is_openai()
    }

    /// The same, with the counts that it leaves out.
    #[must_use]
    pub const fn counted(self) -> Self {
        Self { usage: true, ..self }
    }
}

/// The upstream's head, as it came.
pub struct Head {
    pub bytes: Box<[u8]>,
    pub status: u16,
    /// The upstream wants it kept nowhere.
    pub no_store: bool,
}

/// What is asked for.
pub struct Wish {
    pub print: Fingerprint,
    pub form: Form,
    /// The texts of a batch to embed.
    pub inputs: Box<[Input]>,
    /// When whoever asks will have waited long enough.
    pub due: Micros,
    /// An answer that has just ended is worth a moment's wait: it may be in the cache then.
    pub waits: bool,
}

pub struct Flight {
    /// Names it on the cores.
    pub id: u64,
    pub print: Fingerprint,
    /// The form of the pieces: what whoever asked first wanted, and the counts.
    asked: Form,
    /// Whoever asked first asked for counts: if none come, there are none.
    counts_wanted: bool,
    /// The upstream would not answer with the counts that only we asked for.
    uncounted: AtomicBool,
    /// The texts of a batch to embed, which are kept one by one.
    pub inputs: Box<[Input]>,
    /// The leader's core.
    home: usize,
    head: OnceLock<Head>,
    /// Where the log begins; gone when it has become too long to begin with.
    first: ArcSwapOption<Piece>,
    end: OnceLock<End>,
    /// After its end: nobody works on its answer any more.
    settled: AtomicBool,
    /// Bytes published, and how many of them the fastest follower has taken.
    published: AtomicU64,
    taken: AtomicU64,
    followers: AtomicUsize,
    /// When the last one who wants it would have waited long enough.
    due: AtomicU64,
    /// It goes on when nobody follows any more, for the cache.
    finishes: bool,
    /// On this core somebody waits for more.
    sleeping: Box<[AtomicBool]>,
    /// Followers since it began, the first included.
    pub joined: AtomicU64,
}

impl Flight {
    /// A flight that brings pieces of the form `asked`.
    #[must_use]
    pub fn new(bells: &Bells, wish: &Wish, asked: Form, finishes: bool) -> (Arc<Self>, Leader) {
        let first = Piece::new(Box::default());
        let flight = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            print: wish.print,
            asked,
            counts_wanted: wish.form.tells_usage(),
            uncounted: AtomicBool::new(false),
            inputs: wish.inputs.clone(),
            home: bells.index,
            head: OnceLock::new(),
            first: ArcSwapOption::new(Some(Arc::clone(&first))),
            end: OnceLock::new(),
            settled: AtomicBool::new(false),
            published: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            followers: AtomicUsize::new(0),
            due: AtomicU64::new(0),
            finishes,
            sleeping: (0..bells.cores()).map(|_| AtomicBool::new(false)).collect(),
            joined: AtomicU64::new(0),
        });
        let leader = Leader { flight: Arc::clone(&flight), last: first };
        (flight, leader)
    }

    /// Begins to follow, from the start, and at most until `due`. `None`: it is too late for that.
    #[must_use]
    pub fn follow(self: &Arc<Self>, bells: &Rc<Bells>, due: Micros) -> Option<Follower> {
        let at = self.first.load_full()?;
        self.due.fetch_max(due, Ordering::Relaxed);
        let more = |followers: usize| (followers != ABANDONED).then_some(followers + 1);
        self.followers.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        self.joined.fetch_add(1, Ordering::Relaxed);
        Some(Follower { flight: Arc::clone(self), bells: Rc::clone(bells), at, taken: 0 })
    }

    /// Nobody waits longer than this.
    #[must_use]
    pub fn due(&self) -> Micros {
        self.due.load(Ordering::Relaxed)
    }

    /// The first client's own request was to bring counts; that they were only asked for by us proves nothing.
    #[must_use]
    pub const fn counts_wanted(&self) -> bool {
        self.counts_wanted
    }

    /// The form of the pieces; sure once there is a head.
    #[must_use]
    pub fn form(&self) -> Form {
        Form { usage: self.asked.usage && !self.uncounted.load(Ordering::Acquire), ..self.asked }
    }

    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.get()
    }

    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// A new follower would get the whole answer as it comes. One that has ended may be an error, or be cut: it is for
    /// those who were there.
    #[must_use]
    pub fn is_joinable(&self) -> bool {
        !self.is_abandoned() && self.end().is_none() && self.first.load().is_some()
    }

    /// It has ended with an answer that may be right for the next one who asks: no error is.
    #[must_use]
    pub fn is_worth_keeping(&self) -> bool {
        matches!(self.end(), Some(End::Whole { .. })) && self.head().is_some_and(|head| head.status == 200)
    }

    /// Its answer may be in the cache in a moment.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        self.is_worth_keeping() && self.first.load().is_some() && !self.settled.load(Ordering::Acquire)
    }

    /// What comes is enough for this wish: counts that nobody asked for will not come.
    #[must_use]
    pub fn tells_enough_for(&self, wish: &Wish) -> bool {
        self.form().tells_usage() || !wish.form.tells_usage()
    }

    /// Its answer is in the cache, or never will be. `ring`: tells a core of it.
    pub fn settle(&self, ring: &dyn Fn(usize, u64)) {
        self.settled.store(true, Ordering::Release);
        self.each_sleeper(ring);
    }

    /// Ready when the flight is settled.
    pub fn poll_settled(&self, bells: &Bells, cx: &Context<'_>) -> Poll<()> {
        self.poll_until(bells, cx, || self.settled.load(Ordering::Acquire))
    }

    /// Ready when `is` holds; until then the task sleeps and is woken at any news of this flight.
    fn poll_until(&self, bells: &Bells, cx: &Context<'_>, is: impl Fn() -> bool) -> Poll<()> {
        if is() {
            return Poll::Ready(());
        }
        bells.sleep(self.id, cx.waker());
        self.sleeping[bells.index].store(true, Ordering::Release);
        // Pairs with the fence in `each_sleeper`: either the news are seen here or the sleeper is seen there.
        fence(Ordering::SeqCst);
        if is() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The log has no beginning any more, so that nobody can be given the whole.
    #[must_use]
    pub fn has_lost_its_start(&self) -> bool {
        self.first.load().is_none()
    }

    /// The last follower has left, and with it the reason to go on. Without followers only the cache is one, and an
    /// answer whose start is gone cannot be kept.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        match self.followers.load(Ordering::Acquire) {
            ABANDONED => true,
            0 => self.first.load().is_none(),
            _ => false,
        }
    }

    /// Nobody follows just now.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        matches!(self.followers.load(Ordering::Acquire), 0 | ABANDONED)
    }

    /// Every piece from the start; nothing if the log became too long to be kept.
    pub fn log(&self) -> impl Iterator<Item = Arc<Piece>> {
        let mut at = self.first.load_full();
        std::iter::from_fn(move || {
            let next = at.as_ref()?.next().cloned();
            at.clone_from(&next);
            next
        })
    }

    /// The log cannot be begun any more; its pieces live as long as somebody reads them.
    pub fn forget_start(&self) {
        self.first.store(None);
    }

    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// The end. The first one counts: what is said after a panic comes second.
    pub fn finish(&self, bells: &Bells, end: End) {
        let _ = self.end.set(end);
        self.wake_sleepers(bells);
    }

    /// The end of a flight whose core died: nobody else will say so. `ring`: tells a core of it.
    pub fn bury(&self, dead: usize, ring: &dyn Fn(usize, u64)) {
        if self.home != dead {
            return;
        }
        let failed = End::Failed { kind: Kind::Internal, detail: "".into() };
        let _ = self.end.set(if self.head().is_some() { End::Cut(Kind::Internal) } else { failed });
        self.each_sleeper(ring);
    }

    /// Wakes whoever sleeps on some core. `bells`: the caller's.
    fn wake_sleepers(&self, bells: &Bells) {
        self.each_sleeper(&|index, id| bells.ring(index, id));
    }

    fn each_sleeper(&self, ring: &dyn Fn(usize, u64)) {
        // Pairs with the fence in `poll_until`.
        fence(Ordering::SeqCst);
        for (index, sleeping) in self.sleeping.iter().enumerate() {
            if sleeping.load(Ordering::Relaxed) && sleeping.swap(false, Ordering::AcqRel) {
                ring(index, self.id);
            }
        }
    }
}

/// The one who writes.
pub struct Leader {
    pub flight: Arc<Flight>,
    last: Arc<Piece>,
}

impl Leader {
    /// The counts that only we asked for will not come. Only while there is no head.
    pub fn give_up_counts(&self) {
        self.flight.uncounted.store(true, Ordering::Release);
    }

    pub fn publish_head(&self, bells: &Bells, head: Head) {
        // There is one leader and it comes here once.
        let _ = self.flight.head.set(head);
        self.flight.wake_sleepers(bells);
    }

    pub fn publish(&mut self, bells: &Bells, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let piece = Piece::new(bytes.into());
        self.flight.published.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        let _ = self.last.next.set(Arc::clone(&piece));
        self.last = piece;
        self.flight.wake_sleepers(bells);
    }

    /// All followers are far behind, so nothing more should be read.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        let flight = &self.flight;
        let ahead = flight.published().saturating_sub(flight.taken.load(Ordering::Acquire));
        ahead > FLIGHT_LAG_BYTES_MAX && !matches!(flight.followers.load(Ordering::Acquire), 0 | ABANDONED)
    }

    /// Registers the leader's task for news from its followers.
    pub fn listen(&self, bells: &Bells, cx: &Context<'_>) {
        bells.sleep(self.flight.id, cx.waker());
    }
}

/// One who reads. Stops to when dropped.
pub struct Follower {
    pub flight: Arc<Flight>,
    bells: Rc<Bells>,
    at: Arc<Piece>,
    taken: u64,
}

/// What a follower finds.
pub enum News {
    Piece(Arc<Piece>),
    End,
}

impl Follower {
    /// The next piece, without waiting.
    #[must_use]
    pub fn peek(&self) -> Option<News> {
        // The end is looked at first: a piece that was published before it must not be overlooked.
        let ended = self.flight.end().is_some();
        match self.at.next() {
            Some(piece) => Some(News::Piece(Arc::clone(piece))),
            None if ended => Some(News::End),
            None => None,
        }
    }

    /// Goes on behind a piece that was peeked.
    pub fn advance(&mut self, piece: Arc<Piece>) {
        self.taken += piece.bytes.len() as u64;
        self.at = piece;
        let before = self.flight.taken.fetch_max(self.taken, Ordering::AcqRel);
        let published = self.flight.published();
        // The leader stopped reading because of us, and may go on.
        if published.saturating_sub(before) > FLIGHT_LAG_BYTES_MAX
            && published.saturating_sub(self.taken) <= FLIGHT_LAG_BYTES_MAX
        {
            self.bells.ring(self.flight.home, self.flight.id);
        }
    }

    /// So far behind the fastest that the pieces in between cost too much memory.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.flight.published().saturating_sub(self.taken) > 8 * FLIGHT_LAG_BYTES_MAX
    }

    /// Ready when [`Self::peek`] has something (`body`), or when there is a head or an end.
    pub fn poll_news(&self, cx: &Context<'_>, body: bool) -> Poll<()> {
        let news =
            || if body { self.peek().is_some() } else { self.flight.head().is_some() || self.flight.end().is_some() };
        self.flight.poll_until(&self.bells, cx, news)
    }
}

impl Drop for Follower {
    /// The last one to leave leaves the flight to its fate.
    fn drop(&mut self) {
        let flight = &self.flight;
        let none = if flight.finishes || flight.end().is_some() { 0 } else { ABANDONED };
        let fewer = |followers: usize| Some(if followers <= 1 { none } else { followers - 1 });
        let before = flight.followers.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer);
        if before == Ok(1) && flight.end().is_none() {
            self.bells.ring(flight.home, flight.id);
        }
        self.bells.forget(flight.id);
    }
}
