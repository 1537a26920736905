//! Signals, taken by one thread that waits for them. They are blocked before any other thread starts, so that none is
//! ever interrupted by one.

use std::{io, mem::MaybeUninit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

fn set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set that `sigaddset` then changes.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Blocks the signals in this thread and all that it starts. To be called before any other thread is.
pub fn block() {
    let set = set();
    // SAFETY: the set is initialised; no old set is asked for. SIGPIPE is ignored since every write reports its error.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// Waits for the next one.
///
/// # Errors
/// What `sigwait` says, which a blocked set never gives reason for.
pub fn wait() -> io::Result<Signal> {
    let set = set();
    let mut signal = 0;
    // SAFETY: both pointers are to initialised, live values.
    match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
        0 if signal == libc::SIGHUP => Ok(Signal::Reload),
        0 => Ok(Signal::Stop),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
