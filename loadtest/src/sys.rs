//! The operating system's calls that the standard library lacks: epoll with nanosecond waits, core pinning, limits, signals.
//! All `unsafe` of this crate is in this file.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a socket is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nothing but errors and hang-ups.
    Nothing,
    /// Bytes to read.
    Read,
    /// Bytes to read, and room to write.
    ReadWrite,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Nothing => 0,
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLOUT,
        };
        bits as u32
    }
}

/// One readiness report.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number the socket was registered with.
    pub token: u64,
    /// There is something to read, an end of file and an error included.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

/// A level-triggered epoll instance.
pub struct Poller {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// `epoll_pwait2` came with Linux 5.11; without it waits are rounded up to milliseconds.
    nanoseconds: bool,
}

impl Poller {
    /// An instance that reports at most `batch` sockets a wait.
    ///
    /// # Errors
    /// When the kernel refuses another descriptor.
    pub fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` is a fresh descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; batch.max(1)], nanoseconds: true })
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: `event` lives through the call, both descriptors are open.
        let result = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Starts watching. Closing the descriptor ends it.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what is watched.
    ///
    /// # Errors
    /// What `epoll_ctl` says.
    pub fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever) and replaces `ready` with what is.
    ///
    /// # Errors
    /// What `epoll_wait` says; an interrupted wait is an empty one.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let count = self.wait_raw(timeout);
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EINTR) => Ok(()),
                Some(libc::ENOSYS) if self.nanoseconds => {
                    self.nanoseconds = false;
                    self.wait(timeout, ready)
                }
                _ => Err(error),
            };
        }
        let bad = (libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP | libc::EPOLLIN) as u32;
        ready.extend(self.events[..count as usize].iter().map(|event| {
            let bits = event.events;
            Ready { token: event.u64, read: bits & bad != 0, write: bits & (libc::EPOLLOUT as u32) != 0 }
        }));
        Ok(())
    }

    fn wait_raw(&mut self, timeout: Option<Duration>) -> libc::c_int {
        let room = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        if self.nanoseconds && timeout.is_some_and(|t| !t.is_zero()) {
            let wait = timeout.unwrap_or_default();
            let spec = libc::timespec {
                tv_sec: wait.as_secs().min(3600) as libc::time_t,
                tv_nsec: libc::c_long::from(wait.subsec_nanos()),
            };
            // SAFETY: the event array has `room` places, `spec` lives through the call, no signal mask is passed.
            return unsafe {
                libc::epoll_pwait2(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, &spec, std::ptr::null())
            };
        }
        let millis = match timeout {
            None => -1,
            Some(t) => libc::c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX),
        };
        // SAFETY: the event array has `room` places.
        unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, millis) }
    }
}

/// Binds the calling thread, and what it starts from now on, to `cores`.
///
/// # Errors
/// When no such core may be used.
pub fn pin_to(cores: &[usize]) -> io::Result<()> {
    // SAFETY: a zeroed set is a valid empty one; the macros write inside it, indexes are checked by CPU_SET.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &core in cores {
            libc::CPU_SET(core, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The cores the calling thread may run on.
#[must_use]
pub fn usable_cores() -> Vec<usize> {
    // SAFETY: the set is zeroed and as long as said.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) < 0 {
            return vec![0];
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect()
    }
}

/// Raises the soft limit of open files to the hard one; returns what is allowed now.
#[must_use]
pub fn raise_open_files() -> u64 {
    // SAFETY: `limit` is a plain structure that the call fills.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) < 0 {
            return 1024;
        }
        let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) == 0 { wanted.rlim_cur } else { limit.rlim_cur }
    }
}

/// Lets waits end within a microsecond of their time instead of the usual 50: paced streams stay even.
pub fn exact_timers() {
    // SAFETY: no pointers; a refusal changes nothing.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000 as libc::c_ulong, 0, 0, 0) };
}

/// The command gets `SIGTERM` when the thread that starts it ends, however that comes about.
pub fn end_with_us(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only one system call without pointers is made.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            Ok(())
        });
    }
}

/// Asks all processes of a group to end (`SIGTERM`), or makes them (`SIGKILL`).
pub fn end_group(group: u32, kill: bool) {
    signal_group(group, if kill { libc::SIGKILL } else { libc::SIGTERM });
}

/// Whether a group has a process, ended ones that nobody has waited for included.
#[must_use]
pub fn group_exists(group: u32) -> bool {
    signal_group(group, 0)
}

fn signal_group(group: u32, signal: libc::c_int) -> bool {
    match libc::pid_t::try_from(group) {
        // The groups 0 and 1 are our own and the system's.
        // SAFETY: no pointers; a group that is gone gives an error that does not matter.
        Ok(group) if group > 1 => unsafe { libc::kill(-group, signal) == 0 },
        _ => false,
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C and `SIGTERM` set a flag, so that processes we started are ended first.
pub fn catch_interrupts() {
    let handler: extern "C" fn(libc::c_int) = note_interrupt;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is allowed in a signal handler.
        unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
    }
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Clock ticks a second, the unit of `/proc/PID/stat`.
#[must_use]
pub fn ticks_per_second() -> u64 {
    // SAFETY: no pointers.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

/// Lets a bound socket get its port when it connects (`IP_BIND_ADDRESS_NO_PORT`), so that each source address has all ports for
/// each target. A kernel that refuses costs ports, nothing else.
pub fn choose_port_late(fd: RawFd) {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` lives through the call and is as long as said.
    unsafe {
        libc::setsockopt(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, (&raw const on).cast(), length);
    }
}
