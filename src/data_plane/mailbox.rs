//! What reaches a core from outside: a queue without locks and a descriptor that wakes it.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use crate::policy::snapshot::Snapshot;

/// Letters that may wait for one core. Handed-over sockets dominate; a core that is this far behind keeps none coming.
const LETTERS_MAX: usize = 1_024;

pub enum Letter {
    /// A connection that another core accepted.
    Adopt(OwnedFd, SocketAddr),
    /// The configuration for requests from now on.
    Take(Arc<Snapshot>),
    /// There is news of the flight with this id, or somebody left it.
    Flight(u64),
    /// No new connections; answers in progress may end.
    Drain,
    /// The grace of the drain is over: what is still on its way ends now.
    End,
    /// A test wants to see a worker die.
    #[cfg(debug_assertions)]
    Die,
}

/// A letter that came back.
pub enum Returned {
    /// The core is far behind and may take it later.
    Full(Letter),
    /// There is no such core any more.
    Gone(Letter),
}

/// The sending side, shared by everybody.
#[derive(Clone)]
pub struct Sender {
    letters: SyncSender<Letter>,
    wake: Arc<OwnedFd>,
    /// A wake-up is under way: further senders need not ring again.
    rung: Arc<AtomicBool>,
}

/// The core's side.
pub struct Mailbox {
    letters: Receiver<Letter>,
    wake: Arc<OwnedFd>,
    rung: Arc<AtomicBool>,
}

/// # Errors
/// When there is no descriptor left.
pub fn mailbox() -> io::Result<(Sender, Mailbox)> {
    // SAFETY: a plain system call without pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let wake = Arc::new(unsafe { OwnedFd::from_raw_fd(fd) });
    let (sender, letters) = sync_channel(LETTERS_MAX);
    let rung = Arc::new(AtomicBool::new(false));
    Ok((Sender { letters: sender, wake: Arc::clone(&wake), rung: Arc::clone(&rung) }, Mailbox { letters, wake, rung }))
}

impl Sender {
    /// # Errors
    /// The letter was not taken.
    pub fn send(&self, letter: Letter) -> Result<(), Returned> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        self.letters.try_send(letter).map_err(|error| match error {
            Full(letter) => Returned::Full(letter),
            Disconnected(letter) => Returned::Gone(letter),
        })?;
        if !self.rung.swap(true, Ordering::SeqCst) {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: eight readable bytes, as an eventfd wants them. It can only fail when its counter is full,
            // and then the core is woken already.
            let _ = unsafe { libc::write(self.wake.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
        Ok(())
    }
}

impl Mailbox {
    /// The descriptor to wait on.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn wake_fd(&self) -> io::Result<OwnedFd> {
        self.wake.try_clone()
    }

    /// Answers the bell; letters must be taken after this, never before.
    pub fn answer(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight writable bytes, as an eventfd wants them; empty is not an error that matters.
        let _ = unsafe { libc::read(self.wake.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        // Before the queue is looked at, in the one order that all threads see: a sender either finds the bell unrung, or
        // its letter is found.
        self.rung.swap(false, Ordering::SeqCst);
    }

    #[must_use]
    pub fn next(&self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_arrive_and_a_full_box_gives_back() {
        let (sender, mailbox) = mailbox().unwrap();
        for _ in 0..LETTERS_MAX {
            assert!(sender.send(Letter::Drain).is_ok());
        }
        assert!(sender.send(Letter::Drain).is_err());
        mailbox.answer();
        assert_eq!(std::iter::from_fn(|| mailbox.next()).count(), LETTERS_MAX);
        assert!(sender.send(Letter::Drain).is_ok());
        assert!(sender.rung.load(Ordering::Acquire));
        drop(mailbox);
        assert!(sender.send(Letter::Drain).is_err());
    }
}
