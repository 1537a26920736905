//! The leader of a flight: a task that asks the upstream and publishes what comes, for as long as somebody follows.

use std::{
    future::{Future, poll_fn},
    io::ErrorKind,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use bytes::Bytes;

use super::{
    batch, counts,
    flight::{End, Flight, Head, Leader},
    follow::recorded,
};
use crate::{
    base::{bounds::FLIGHT_LOG_BYTES_MAX, error::Kind, metric::Metric},
    data_plane::{
        budget::Charge,
        caught::Caught,
        channel::Channel,
        clock::Micros,
        connect,
        core::Core,
        deadline::{self, Ended, Timer},
        downstream::Interrupt,
        failure::Failure,
        guard::Guard,
        mailbox::Letter,
        send::{self, Outgoing, Pace, Stopped, late, lost},
    },
    policy::{
        answers::Job,
        snapshot::{CacheRules, Snapshot},
    },
    wire::{
        answer::{Unstorable, encode},
        http::{BodyDecoder, Framing, Method, response, slots},
    },
};

/// What the leader needs to know of the request.
pub struct Errand {
    pub snapshot: Arc<Snapshot>,
    pub outgoing: Outgoing,
    /// What its body has drawn of the core's budget.
    pub charge: Charge,
    /// Where in the body to ask for token counts.
    pub counts: Option<usize>,
}

/// Flies until the answer has ended or nobody wants it. A panic in here ends the flight for all its followers and
/// nothing else.
pub async fn fly(core: Rc<Core>, leader: Leader, errand: Errand) {
    let flight = Arc::clone(&leader.flight);
    let rules = errand.snapshot.cache;
    let mut log = core.logs.open();
    core.flying.set(core.flying.get() + 1);
    let survived = Caught::new(run(&core, leader, errand, &mut log)).await;
    core.flying.set(core.flying.get() - 1);
    if !survived {
        core.meter.one(Metric::ConnectionPanics);
    }
    // After a panic nobody else has said so.
    let failed = End::Failed { kind: Kind::Internal, detail: "".into() };
    flight.finish(&core.bells, if flight.head().is_some() { End::Cut(Kind::Internal) } else { failed });
    let unkept = match &core.shared.answers {
        Some(answers) if flight.is_worth_keeping() => {
            let taken = answers.later(keep_answer(&core, &flight, rules));
            (!taken).then_some(Unstorable::Busy)
        }
        _ if matches!(flight.end(), Some(End::Whole { .. })) => Some(Unstorable::Status),
        _ => Some(Unstorable::Unfinished),
    };
    match unkept {
        Some(why) => core.shared.cache.unkept(why),
        // Its log is held until it has been read.
        None => settled(&core, &flight).await,
    }
    // The keeper has done this already, unless it died of what it read.
    core.shared.flights.remove(&flight);
    flight.settle(&|index, id| core.bells.ring(index, id));
    core.bells.forget(flight.id);
}

/// Waits until the keeper has read a flight; at most as long as a keeper may be behind that has not died.
async fn settled(core: &Core, flight: &Flight) {
    const KEEPER_US_MAX: u64 = 10_000_000;
    let timer = core.deadlines.timer();
    timer.set(core.clock.now() + KEEPER_US_MAX);
    let mut settled = pin!(poll_fn(|cx| flight.poll_settled(&core.bells, cx)));
    let _ = deadline::until(&timer.handle(), settled.as_mut()).await;
}

/// Reads the log of a flight that ended well, keeps its answer if it may be kept, and takes it out of the registry: from
/// then on it is found in the cache. One whose place was taken by a fresher one is not kept.
fn keep_answer(core: &Core, flight: &Arc<Flight>, rules: CacheRules) -> Job {
    let (flight, shared) = (Arc::clone(flight), Arc::clone(&core.shared));
    Box::new(move |answers| {
        match recorded(&flight, rules) {
            Ok(answer) if shared.flights.holds(&flight) => {
                if flight.inputs.is_empty() || flight.inputs.len() != answer.vectors.len() {
                    let mut bytes = Vec::new();
                    encode(&answer, &mut bytes);
                    answers.insert(flight.print, Bytes::from(bytes));
                } else {
                    batch::apart(&answer, &flight.inputs).for_each(|(print, bytes)| answers.insert(print, bytes));
                }
                shared.cache.stored.fetch_add(1, Relaxed);
            }
            Ok(_) => {}
            Err(why) => shared.cache.unkept(why),
        }
        shared.flights.remove(&flight);
        // A mailbox that is full makes a waiter ask for itself.
        flight.settle(&|index, id| drop(shared.cores[index].door.send(Letter::Flight(id))));
    })
}

async fn run(core: &Rc<Core>, leader: Leader, errand: Errand, log: &mut Charge) {
    let mut pilot = Pilot { timer: core.deadlines.timer(), core: Rc::clone(core), leader, log };
    let end = match call(&mut pilot, errand).await {
        Ok(announced) => End::Whole { announced },
        Err(failure) if pilot.leader.flight.head().is_some() => End::Cut(failure.kind),
        Err(failure) => End::Failed { kind: failure.kind, detail: failure.detail.into() },
    };
    pilot.leader.flight.finish(&core.bells, end);
}

/// Waits on behalf of all followers.
struct Pilot<'a> {
    core: Rc<Core>,
    timer: Timer,
    leader: Leader,
    /// What the flight's log has drawn of the core's account for logs.
    log: &'a mut Charge,
}

impl Pilot<'_> {
    /// Waits for more of the answer, at most until `due`, and no longer than the most patient follower; one may have
    /// joined since the timer was set.
    async fn wait_readable(&mut self, channel: &Channel, due: Micros, phase: Kind) -> Result<(), Failure> {
        let mut readable = pin!(channel.socket.readable());
        loop {
            let total_due = self.leader.flight.due();
            self.timer.set(due.min(total_due));
            match self.until(readable.as_mut()).await {
                Ok(ready) => return ready.map_err(|error| lost(&error)),
                Err(Interrupt::Due) if total_due < due && total_due < self.leader.flight.due() => {}
                Err(interrupt) => return Err(late(&self.core, total_due, interrupt, phase)),
            }
        }
    }
}

impl Guard for Pilot<'_> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn timer(&self) -> &Timer {
        &self.timer
    }

    async fn until<T>(&mut self, event: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Result<T, Interrupt> {
        let timer = self.timer.handle();
        let ended = deadline::until_watched(&timer, event, |cx| {
            self.leader.listen(&self.core.bells, cx);
            let flight = &self.leader.flight;
            // A core that is told to end asks nothing for nobody.
            let idle = self.core.draining.get() && flight.is_deserted();
            if idle || flight.is_abandoned() { Poll::Ready(()) } else { Poll::Pending }
        });
        match ended.await {
            Ended::Event(value) => Ok(value),
            Ended::Watch(()) => Err(Interrupt::ClientGone),
            Ended::Due => Err(Interrupt::due(&self.core)),
        }
    }
}

/// Asks, and once more without the wish for counts if that was refused. True: the answer's end was announced.
async fn call(pilot: &mut Pilot<'_>, mut errand: Errand) -> Result<bool, Failure> {
    let Some(place) = errand.counts else {
        return attempt(pilot, &mut errand).await?.ok_or(Failure::of(Kind::Internal));
    };
    counts::ask(&mut errand.outgoing, place);
    if let Some(announced) = attempt(pilot, &mut errand).await? {
        return Ok(announced);
    }
    counts::ask_no_more(&mut errand.outgoing, place);
    errand.counts = None;
    pilot.leader.give_up_counts();
    pilot.core.meter.one(Metric::UpstreamRetries);
    let announced = attempt(pilot, &mut errand).await?.ok_or(Failure::of(Kind::Internal))?;
    if pilot.leader.flight.head().is_some_and(|head| head.status == 200) {
        counts::were_refused(&pilot.core, errand.snapshot.upstream.identity);
    }
    Ok(announced)
}

/// Asks, and once more on a fresh connection if a kept one was dead. `None`: the wish for counts was refused.
async fn attempt(pilot: &mut Pilot<'_>, errand: &mut Errand) -> Result<Option<bool>, Failure> {
    let snapshot = Arc::clone(&errand.snapshot);
    let upstream = &snapshot.upstream;
    let core = Rc::clone(&pilot.core);
    if let Some(channel) = core.pool.lease(upstream.identity, core.clock.now()) {
        core.meter.one(Metric::UpstreamReused);
        match ask(pilot, errand, channel).await {
            Err(failure) if failure.kind == Kind::UpstreamClosed && pilot.leader.flight.head().is_none() => {
                core.meter.one(Metric::UpstreamStale);
                core.meter.one(Metric::UpstreamRetries);
            }
            result => return result,
        }
    }
    let channel = connect::connect(pilot, upstream, &snapshot.limits, pilot.leader.flight.due()).await?;
    ask(pilot, errand, channel).await
}

async fn ask(pilot: &mut Pilot<'_>, errand: &mut Errand, channel: Channel) -> Result<Option<bool>, Failure> {
    let limits = errand.snapshot.limits;
    pilot.core.meter.one(Metric::UpstreamAttempts);
    let pace = Pace { idle_us: limits.idle_us, total_due: pilot.leader.flight.due() };
    // What an early answer left unsent would be taken for the next request.
    let all_sent = match send::send(pilot, &errand.outgoing, true, &channel, pace).await {
        Ok(()) => true,
        Err(Stopped::Answered) => false,
        Err(Stopped::Failed(failure)) => return Err(failure),
    };
    let mut due = pilot.core.clock.now() + limits.first_byte_us;
    let mut answer = Answer { asks_counts: errand.counts.is_some(), ..Answer::default() };
    loop {
        if !channel.has_plaintext() {
            let phase = if answer.decoder.is_some() { Kind::IdleTimeout } else { Kind::FirstByteTimeout };
            pilot.wait_readable(&channel, due, phase).await?;
        }
        if let Some(announced) = answer.read(pilot, &channel)? {
            if answer.reusable && all_sent {
                keep(&pilot.core, errand, channel, answer.idle_hint_s);
            }
            return Ok(Some(announced));
        }
        if answer.is_refused {
            return Ok(None);
        }
        wait_for_followers(pilot, errand).await?;
        if answer.decoder.is_some() {
            // Nothing will be sent again.
            errand.outgoing.forget(&pilot.core.buffers);
            errand.charge.give_back();
            due = pilot.core.clock.now() + limits.idle_us;
        }
    }
}

fn keep(core: &Core, errand: &Errand, channel: Channel, hint_s: Option<u32>) {
    let limits = &errand.snapshot.limits;
    core.pool.keep(channel, errand.snapshot.upstream.identity, core.clock.now(), limits, hint_s);
}

/// Back-pressure: as long as even the fastest follower is far behind, nothing more is read.
async fn wait_for_followers(pilot: &mut Pilot<'_>, errand: &Errand) -> Result<(), Failure> {
    while pilot.leader.is_ahead() {
        let total_due = pilot.leader.flight.due();
        pilot.timer.set((pilot.core.clock.now() + errand.snapshot.limits.idle_us).min(total_due));
        let core = Rc::clone(&pilot.core);
        let flight = Arc::clone(&pilot.leader.flight);
        let mut first = true;
        // `until` registers this task for news of the flight; one wake-up is reason enough to look again.
        let mut news = pin!(poll_fn(|cx| {
            core.bells.sleep(flight.id, cx.waker());
            if std::mem::replace(&mut first, false) { Poll::Pending } else { Poll::Ready(()) }
        }));
        match pilot.until(news.as_mut()).await {
            Ok(()) => {}
            // Somebody with more patience has joined.
            Err(Interrupt::Due) if total_due < pilot.leader.flight.due() => {}
            Err(interrupt) => return Err(late(&pilot.core, total_due, interrupt, Kind::IdleTimeout)),
        }
    }
    Ok(())
}

/// What has come of the answer.
#[derive(Default)]
struct Answer {
    partial: Vec<u8>,
    /// Something has come, so that the request must not be sent again.
    begun: bool,
    decoder: Option<BodyDecoder>,
    /// The body's end is announced by a length or a last chunk.
    announced: bool,
    reusable: bool,
    idle_hint_s: Option<u32>,
    /// The request says something that the client did not, and this answer may be about that.
    asks_counts: bool,
    is_refused: bool,
}

impl Answer {
    /// One read. `Some` at the end, with whether it was announced.
    fn read(&mut self, pilot: &mut Pilot<'_>, channel: &Channel) -> Result<Option<bool>, Failure> {
        let core = Rc::clone(&pilot.core);
        let mut scratch = core.scratch.borrow_mut();
        let buffer = &mut scratch.read;
        let n = match channel.recv(buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if self.decoder.is_some() => return Err(Failure::with(Kind::UpstreamCut, error)),
            Err(error) if self.begun => return Err(Failure::with(Kind::UpstreamInvalid, error)),
            Err(error) => return Err(lost(&error)),
        };
        if n == 0 {
            return self.closed().map(Some);
        }
        self.begun = true;
        if self.decoder.is_some() {
            return self.body(pilot, &mut buffer[..n]);
        }
        self.partial.extend_from_slice(&buffer[..n]);
        match self.head(&core, &pilot.leader)? {
            None => Ok(None),
            Some(at) => {
                let mut head = std::mem::take(&mut self.partial);
                self.body(pilot, &mut head[at..])
            }
        }
    }

    fn closed(&mut self) -> Result<bool, Failure> {
        self.reusable = false;
        match &mut self.decoder {
            Some(decoder) => {
                decoder.finish().map(|()| false).map_err(|kind| Failure::with(kind, "the connection ended first"))
            }
            None if !self.begun => Err(Failure::with(Kind::UpstreamClosed, "no answer")),
            None => Err(Failure::with(Kind::UpstreamInvalid, "the head was cut")),
        }
    }

    /// Where the body begins, once the head was whole and published. Interim answers are of no use to followers who
    /// may come later.
    fn head(&mut self, core: &Core, leader: &Leader) -> Result<Option<usize>, Failure> {
        loop {
            let mut slots = slots();
            let parsed = response::parse(&self.partial, Method::Post, &mut slots)?;
            let Some(head) = parsed else { return Ok(None) };
            let end = head.len;
            if self.asks_counts && counts::is_refusal(head.status) {
                self.is_refused = true;
                return Ok(None);
            }
            if !head.is_informational() {
                self.decoder = Some(BodyDecoder::response(head.framing));
                self.announced = head.framing != Framing::UntilClose;
                self.reusable = head.keep_alive;
                self.idle_hint_s = head.keep_alive_timeout;
                let no_store = head.fields.says_of_caches("no-store");
                let published = Head { status: head.status, no_store, bytes: self.partial[..end].into() };
                leader.publish_head(&core.bells, published);
                return Ok(Some(end));
            }
            self.partial.drain(..end);
        }
    }

    fn body(&mut self, pilot: &mut Pilot<'_>, bytes: &mut [u8]) -> Result<Option<bool>, Failure> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        if decoder.is_done() {
            self.reusable &= bytes.is_empty();
            return Ok(Some(self.announced));
        }
        let decoded = decoder.decode_in_place(bytes)?;
        self.reusable &= decoded.consumed == bytes.len();
        pilot.leader.publish(&pilot.core.bells, &bytes[..decoded.payload]);
        let flight = &pilot.leader.flight;
        if !flight.has_lost_its_start()
            && (flight.published() > FLIGHT_LOG_BYTES_MAX || pilot.log.draw(decoded.payload).is_err())
        {
            flight.forget_start();
            pilot.log.give_back();
        }
        Ok(decoded.done.then_some(self.announced))
    }
}
