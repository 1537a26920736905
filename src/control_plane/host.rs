//! What the machine and the service manager offer: CPUs, descriptors, memory figures, notifications.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

/// More descriptors than any box needs; an unlimited hard limit is cut to it, since some kernels refuse more.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Raises the soft limit of descriptors to the hard one. Returns what was got.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a live `rlimit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1_024;
        }
        let wanted = libc::rlimit { rlim_cur: limit.rlim_max.min(DESCRIPTORS_MAX), rlim_max: limit.rlim_max };
        if wanted.rlim_cur > limit.rlim_cur && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) == 0 {
            limit = wanted;
        }
    }
    limit.rlim_cur
}

/// The CPUs that this process may run on, by number.
#[must_use]
pub fn usable_cpus() -> Vec<usize> {
    let mut set = std::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the pointer and the size belong to one `cpu_set_t`, which is valid when all zero.
    let set = unsafe {
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr());
        set.assume_init()
    };
    (0..libc::CPU_SETSIZE as usize)
        // SAFETY: `cpu` is below the size of the set.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect()
}

/// One worker for each usable core: affinity and the control group's quota both count.
#[must_use]
pub fn default_workers(cpus: &[usize]) -> usize {
    let quota = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    quota.min(cpus.len().max(1)).max(1)
}

/// Resident bytes and open descriptors of this process; 0 where the system does not tell.
#[must_use]
pub fn memory_and_descriptors() -> (u64, u64) {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0);
    // SAFETY: no pointers.
    let page_bytes = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096);
    (pages * page_bytes, open_descriptors())
}

/// The kernel keeps the number since Linux 6.2. Counting them, as before it, takes milliseconds where there are thousands, in which
/// the worker on the same core answers nobody.
fn open_descriptors() -> u64 {
    const FOLDER: &str = "/proc/self/fd";
    let kept = std::fs::metadata(FOLDER).map_or(0, |folder| folder.len());
    // The listing has a descriptor of its own.
    let counted = || std::fs::read_dir(FOLDER).map_or(0, |entries| entries.count() as u64).saturating_sub(1);
    if kept > 0 { kept } else { counted() }
}

/// Tells a service manager that waits for it (systemd's `Type=notify`); without one it does nothing.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Some(text) = path.to_str() else { return };
    let address = match text.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(Path::new(text)),
    };
    // A manager that cannot be reached will say so itself.
    if let (Ok(socket), Ok(address)) = (UnixDatagram::unbound(), address) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_plausible() {
        let cpus = usable_cpus();
        assert!(!cpus.is_empty());
        assert!((1..=cpus.len()).contains(&default_workers(&cpus)));
        let (memory, descriptors) = memory_and_descriptors();
        assert!(memory > 100_000 && descriptors >= 3);
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        // Other tests open and close theirs meanwhile.
        assert!(memory_and_descriptors().1 >= 50 + 3, "{}", memory_and_descriptors().1);
        drop(files);
        assert!(raise_descriptor_limit() >= 256);
    }

    #[test]
    fn notifies_a_socket() {
        let name = format!("thinkgate-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        // SAFETY: this test is the only user of the variable.
        unsafe { std::env::set_var("NOTIFY_SOCKET", format!("@{name}")) };
        notify("READY=1");
        let mut buffer = [0; 16];
        let n = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"READY=1");
    }
}
