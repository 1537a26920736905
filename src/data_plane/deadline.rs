//! Waiting with a limit. **The only place that selects or cancels.**
//!
//! All that is ever pending here is a question for readiness, never a read or a write: on io_uring a dropped read
//! loses its bytes, a dropped question loses nothing. Deadlines are kept in one table a core and looked through once
//! a tick, so that setting one costs a store: a request sets several and hardly any ever fires.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::clock::Micros;

/// How often the table is looked through: a deadline is late by this at most. The shortest limit that an option
/// allows is 100 ms.
pub const TICK: Duration = Duration::from_millis(20);

/// A moment that never comes.
pub const NEVER: Micros = Micros::MAX;

struct Slot {
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    index: Cell<usize>,
    /// Nothing is under way on the connection.
    idle: Cell<bool>,
}

impl Slot {
    fn fire(&self) {
        self.fired.set(true);
        // Waking only queues the task, so nothing can come back into the table meanwhile.
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// All deadlines of one core.
#[derive(Default)]
pub struct Deadlines {
    slots: RefCell<Vec<Rc<Slot>>>,
    /// When each slot is due, in the same order: all of them are looked at once a tick, and side by side that costs
    /// nothing even with thousands.
    dues: RefCell<Vec<Micros>>,
    sweeper: RefCell<Option<Waker>>,
}

impl Deadlines {
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// A deadline of one connection, unset.
    #[must_use]
    pub fn timer(self: &Rc<Self>) -> Timer {
        let mut slots = self.slots.borrow_mut();
        let slot = Rc::new(Slot {
            fired: Cell::new(false),
            waker: RefCell::new(None),
            index: Cell::new(slots.len()),
            idle: Cell::new(false),
        });
        slots.push(Rc::clone(&slot));
        self.dues.borrow_mut().push(NEVER);
        if slots.len() == 1
            && let Some(sweeper) = self.sweeper.borrow_mut().take()
        {
            sweeper.wake();
        }
        Timer { table: Rc::clone(self), slot }
    }

    /// Wakes everybody whose moment has come.
    pub fn sweep(&self, now: Micros) {
        let slots = self.slots.borrow();
        for (slot, due) in slots.iter().zip(self.dues.borrow_mut().iter_mut()) {
            if *due <= now {
                *due = NEVER;
                slot.fire();
            }
        }
    }

    /// Brings the moment of all idle connections forward: the core is draining.
    pub fn fire_idle(&self) {
        for slot in self.slots.borrow().iter() {
            if slot.idle.get() {
                slot.fire();
            }
        }
    }

    /// Brings everybody's moment forward: the core ends.
    pub fn fire_all(&self) {
        for slot in self.slots.borrow().iter() {
            slot.fire();
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    /// Ready as soon as there is a deadline to look after; an idle core does not tick.
    pub async fn wanted(&self) {
        poll_fn(|cx| {
            if self.is_empty() {
                *self.sweeper.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}

/// One connection's deadline; freed when dropped.
pub struct Timer {
    table: Rc<Deadlines>,
    slot: Rc<Slot>,
}

impl Timer {
    pub fn set(&self, due: Micros) {
        if let Some(place) = self.table.dues.borrow_mut().get_mut(self.slot.index.get()) {
            *place = due;
        }
        self.slot.fired.set(false);
    }

    pub fn clear(&self) {
        self.set(NEVER);
    }

    /// Whether the connection may be closed without anybody missing anything.
    pub fn set_idle(&self, idle: bool) {
        self.slot.idle.set(idle);
    }

    /// Another handle on the same deadline, to wait with.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Rc::clone(&self.slot))
    }
}

/// What a wait needs of a [`Timer`].
pub struct Handle(Rc<Slot>);

impl Handle {
    fn poll_due(&self, cx: &Context<'_>) -> Poll<()> {
        if self.0.fired.get() {
            return Poll::Ready(());
        }
        let mut waker = self.0.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut slots = self.table.slots.borrow_mut();
        let index = self.slot.index.get();
        slots.swap_remove(index);
        self.table.dues.borrow_mut().swap_remove(index);
        if let Some(moved) = slots.get(index) {
            moved.index.set(index);
        }
    }
}

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due;

/// Waits for `event`, at most until the timer's moment.
///
/// # Errors
/// [`Due`] when the moment came first; `event` is then still pending and may be dropped or polled again.
pub async fn until<T>(timer: &Handle, mut event: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Result<T, Due> {
    poll_fn(|cx| match event.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => timer.poll_due(cx).map(|()| Err(Due)),
    })
    .await
}

/// What ended a wait that somebody else watches too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<T, W> {
    /// The awaited event.
    Event(T),
    /// The watcher had something to say.
    Watch(W),
    Due,
}

/// Waits for `event` while `watch` (called at each wake, after the event) may end the wait, and the timer does.
pub async fn until_watched<T, W>(
    timer: &Handle,
    mut event: Pin<&mut (impl Future<Output = T> + ?Sized)>,
    mut watch: impl FnMut(&mut Context<'_>) -> Poll<W>,
) -> Ended<T, W> {
    poll_fn(|cx| {
        if let Poll::Ready(value) = event.as_mut().poll(cx) {
            return Poll::Ready(Ended::Event(value));
        }
        if let Poll::Ready(seen) = watch(cx) {
            return Poll::Ready(Ended::Watch(seen));
        }
        timer.poll_due(cx).map(|()| Ended::Due)
    })
    .await
}

/// The first of two events: `Ok` of the one, `Err` of the other. The one goes first when both have come.
pub async fn either<A, B>(
    mut one: Pin<&mut (impl Future<Output = A> + ?Sized)>,
    mut other: Pin<&mut (impl Future<Output = B> + ?Sized)>,
) -> Result<A, B> {
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Ok(value)),
        Poll::Pending => other.as_mut().poll(cx).map(Err),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Waker};

    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn fires_at_its_moment_and_not_before() {
        let table = Deadlines::new();
        let timer = table.timer();
        timer.set(1_000);
        let mut never = pin!(std::future::pending::<()>());
        let handle = timer.handle();
        let mut wait = pin!(until(&handle, never.as_mut()));
        assert!(poll_once(wait.as_mut()).is_pending());
        table.sweep(999);
        assert!(poll_once(wait.as_mut()).is_pending());
        table.sweep(1_000);
        assert_eq!(poll_once(wait.as_mut()), Poll::Ready(Err(Due)));
    }

    #[test]
    fn setting_again_forgets_the_past() {
        let table = Deadlines::new();
        let timer = table.timer();
        timer.set(10);
        table.sweep(20);
        timer.set(100);
        let mut never = pin!(std::future::pending::<()>());
        let handle = timer.handle();
        let mut wait = pin!(until(&handle, never.as_mut()));
        assert!(poll_once(wait.as_mut()).is_pending());
    }

    #[test]
    fn event_wins_over_a_moment_that_has_come() {
        let table = Deadlines::new();
        let timer = table.timer();
        timer.set(0);
        table.sweep(1);
        let mut ready = pin!(std::future::ready(7));
        assert_eq!(poll_once(pin!(until(&timer.handle(), ready.as_mut()))), Poll::Ready(Ok(7)));
    }

    #[test]
    fn dropped_timers_leave_the_table_whole() {
        let table = Deadlines::new();
        let mut timers: Vec<_> = (0..10).map(|_| table.timer()).collect();
        timers.swap_remove(3);
        timers.swap_remove(0);
        timers.pop();
        for (n, timer) in timers.iter().enumerate() {
            timer.set(n as u64);
        }
        table.sweep(2);
        assert_eq!(timers.iter().filter(|timer| timer.slot.fired.get()).count(), 3);
        drop(timers);
        assert!(table.is_empty());
    }
}
