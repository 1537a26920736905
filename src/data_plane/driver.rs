//! Which interface to the kernel a worker gets: the best io_uring that can be had, else epoll.

use std::io;

use io_uring::IoUring;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder, time::TimeDriver};

/// Submission queue entries; one a connection that starts to wait in the same turn, more only cost another call.
const RING_ENTRIES: u32 = 1_024;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Auto,
    Uring,
    Epoll,
}

/// What was got, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1): completions are only worked off when we ask.
    UringDefer,
    /// `COOP_TASKRUN` (Linux 5.19).
    UringCoop,
    /// No flags; about 65 % dearer.
    UringPlain,
    Epoll,
}

impl Driver {
    pub const ALL: [Driver; 4] = [Driver::UringDefer, Driver::UringCoop, Driver::UringPlain, Driver::Epoll];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Driver::UringDefer => "uring_defer",
            Driver::UringCoop => "uring_coop",
            Driver::UringPlain => "uring_plain",
            Driver::Epoll => "epoll",
        }
    }

    fn ring(self) -> io_uring::Builder {
        let mut ring = IoUring::builder();
        match self {
            Driver::UringDefer => {
                ring.setup_single_issuer().setup_defer_taskrun();
            }
            Driver::UringCoop => {
                ring.setup_coop_taskrun();
            }
            Driver::UringPlain | Driver::Epoll => {}
        }
        ring
    }
}

/// A runtime of one of the two kinds.
pub enum AnyRuntime {
    Uring(Box<Runtime<TimeDriver<IoUringDriver>>>),
    Epoll(Box<Runtime<TimeDriver<LegacyDriver>>>),
}

impl AnyRuntime {
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            AnyRuntime::Uring(runtime) => runtime.block_on(future),
            AnyRuntime::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

/// Builds the runtime on the thread that will run it (`SINGLE_ISSUER` demands it).
///
/// # Errors
/// The last refusal when io_uring was demanded and none is to be had, or when even epoll is not.
pub fn build(wanted: Wanted) -> io::Result<(AnyRuntime, Driver)> {
    let mut refusal = None;
    if wanted != Wanted::Epoll {
        for driver in [Driver::UringDefer, Driver::UringCoop, Driver::UringPlain] {
            // monoio does not fall back by itself when flags are refused, so a ring is tried first.
            let built = driver.ring().build(RING_ENTRIES).and_then(|_probe: IoUring| {
                RuntimeBuilder::<IoUringDriver>::new()
                    .with_entries(RING_ENTRIES)
                    .uring_builder(driver.ring())
                    .enable_timer()
                    .build()
            });
            match built {
                Ok(runtime) => return Ok((AnyRuntime::Uring(Box::new(runtime)), driver)),
                Err(error) => refusal = Some(error),
            }
        }
    }
    match (wanted, refusal) {
        (Wanted::Uring, Some(error)) => Err(error),
        _ => {
            let runtime = RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES).enable_timer().build()?;
            Ok((AnyRuntime::Epoll(Box::new(runtime)), Driver::Epoll))
        }
    }
}
