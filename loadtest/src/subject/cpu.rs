//! Processor time of a process and its children, from `/proc`, also of threads and processes that come and go while it is measured.
//!
//! Two accounts are kept. `schedstat` is exact to the nanosecond and dies with its thread. The ticks of `stat` keep what ended threads have
//! used, and the parent's what ended children have; the kernel scales them to the exact time, so their sum is right to a tick or two.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::proc::{Stat, read_stat};

/// A process for ever: its number and when it began, since numbers are used again.
type Process = (u32, u64);

/// A reading of the clock of processor time.
#[derive(Clone, Debug, Default)]
pub struct CpuReading {
    /// Nanoseconds by thread: on a core, and ready but without one.
    threads: BTreeMap<(Process, u32), (u64, u64)>,
    processes: BTreeMap<Process, Ticks>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    user: u64,
    system: u64,
    children_user: u64,
    children_system: u64,
}

impl Ticks {
    fn children(self) -> u64 {
        self.children_user + self.children_system
    }

    fn all(self) -> u64 {
        self.user + self.system + self.children()
    }
}

impl From<&Stat> for Ticks {
    fn from(stat: &Stat) -> Self {
        Self {
            user: stat.user,
            system: stat.system,
            children_user: stat.children_user,
            children_system: stat.children_system,
        }
    }
}

/// Processor time between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// User and system together.
    pub total_ns: u64,
    /// The user's share of it, 0 to 1 (in ticks, so rough for short runs).
    pub user_share: f64,
    /// Time that threads were ready to run while something else had the core.
    pub waiting_ns: u64,
}

/// Reads the clocks of `pids`: the process tree as it is now.
#[must_use]
pub fn read(pids: &[u32]) -> CpuReading {
    let mut reading = CpuReading::default();
    for &pid in pids {
        let Some(stat) = read_stat(Path::new("/proc"), pid) else { continue };
        let process = (pid, stat.begun);
        reading.processes.insert(process, Ticks::from(&stat));
        for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let thread = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let text = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
            if let (Some(thread), Some(ran), Some(waited)) = (thread, numbers.next(), numbers.next()) {
                reading.threads.insert((process, thread), (ran, waited));
            }
        }
    }
    reading
}

/// The time between two readings. Exact unless something came or went that only the ticks know of.
#[must_use]
pub fn between(before: &CpuReading, after: &CpuReading, ticks_per_second: u64) -> CpuTime {
    let (mut exact, mut waiting_ns) = (0, 0);
    for (thread, (ran, waited)) in &after.threads {
        // A new thread, or a new process's, counts from nothing.
        let (ran_before, waited_before) = before.threads.get(thread).copied().unwrap_or_default();
        exact += ran.saturating_sub(ran_before);
        waiting_ns += waited.saturating_sub(waited_before);
    }
    let (mut user, mut system, mut children, mut children_user) = (0, 0, 0, 0);
    for (process, now) in &after.processes {
        let was = before.processes.get(process).copied().unwrap_or_default();
        user += now.user.saturating_sub(was.user);
        system += now.system.saturating_sub(was.system);
        children += now.children().saturating_sub(was.children());
        children_user += now.children_user.saturating_sub(was.children_user);
    }
    let gone = before.processes.iter().filter(|(process, _)| !after.processes.contains_key(process));
    // The parent of one that has ended has all its time, also what it used before the first reading.
    let inherited: u64 = gone.map(|(_, was)| was.all()).sum();
    let of_children = children.saturating_sub(inherited);
    let tick = 1_000_000_000 / ticks_per_second.max(1);
    let coarse = (user + system + of_children) * tick;
    let ended = before.threads.keys().any(|thread| !after.threads.contains_key(thread));
    // Two roundings a process, user and system; what is above them was used by threads that came and went in between.
    let rounding = 2 * after.processes.len() as u64 * tick;
    let lost = ended || inherited > 0 || children > 0 || coarse > exact + rounding;
    let ticks = user + system + children;
    let user_share = if ticks == 0 { 0.0 } else { (user + children_user) as f64 / ticks as f64 };
    // Both accounts leave out and never add, so the larger one is nearer.
    CpuTime { total_ns: if lost { coarse.max(exact) } else { exact }, user_share, waiting_ns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::proc::tree;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn reading(threads: &[(u32, u64)], ticks: &[(u32, [u64; 4])]) -> CpuReading {
        CpuReading {
            threads: threads.iter().map(|&(t, ns)| (((1, 0), t), (ns, ns / 2))).collect(),
            processes: ticks
                .iter()
                .map(|&(pid, [user, system, children_user, children_system])| {
                    ((pid, 0), Ticks { user, system, children_user, children_system })
                })
                .collect(),
        }
    }

    fn total(before: &CpuReading, after: &CpuReading) -> u64 {
        between(before, after, 100).total_ns
    }

    const TICK: u64 = 10_000_000;

    #[test]
    fn time_is_exact_while_nothing_ends() {
        let before = reading(&[(1, 1_000), (2, 5_000)], &[(1, [10, 10, 0, 0])]);
        let after = reading(&[(1, 3_000), (2, 5_500), (3, 700)], &[(1, [11, 11, 0, 0])]);
        assert_eq!(between(&before, &after, 100), CpuTime { total_ns: 3_200, user_share: 0.5, waiting_ns: 1_600 });
    }

    #[test]
    fn threads_that_ended_are_in_the_ticks() {
        let before = reading(&[(1, 0), (2, 5_000)], &[(1, [10, 10, 0, 0])]);
        assert_eq!(total(&before, &reading(&[(1, 3_000)], &[(1, [60, 60, 0, 0])])), 100 * TICK);
        // Of threads that came and went between the readings, only a difference is seen, however small beside the rest.
        let used = 200 * TICK;
        let before = reading(&[(1, 0)], &[(1, [0, 0, 0, 0])]);
        assert_eq!(total(&before, &reading(&[(1, used)], &[(1, [101, 101, 0, 0])])), used, "rounding");
        assert_eq!(total(&before, &reading(&[(1, used)], &[(1, [110, 100, 0, 0])])), 210 * TICK);
    }

    #[test]
    fn children_that_came_and_went_are_their_parents() {
        let before = reading(&[(1, 0)], &[(1, [5, 5, 20, 0])]);
        assert_eq!(total(&before, &reading(&[(1, 1_000)], &[(1, [5, 5, 60, 10])])), 50 * TICK, "forked for requests");
    }

    #[test]
    fn a_worker_that_was_replaced_counts_with_its_heir() {
        // The old worker had 300 ticks before the measurement and 40 in it; the new one is at 25.
        let before = reading(&[(1, 0), (2, 3_000)], &[(1, [1, 1, 0, 0]), (2, [200, 100, 0, 0])]);
        let after = reading(&[(1, 500), (3, 250_000_000)], &[(1, [1, 1, 230, 110]), (3, [15, 10, 0, 0])]);
        assert_eq!(total(&before, &after), 65 * TICK);
        // One that nobody waited for: its time is lost, and nothing is subtracted for it.
        let orphaned = reading(&[(1, 500)], &[(1, [31, 1, 0, 0])]);
        assert_eq!(total(&before, &orphaned), 30 * TICK);
    }

    #[test]
    fn a_number_that_was_used_again_is_another_process() {
        let before = reading(&[], &[(1, [0; 4]), (2, [500, 0, 0, 0])]);
        let mut after = reading(&[], &[(1, [0, 0, 500, 0])]);
        after.processes.insert((2, 77), Ticks { user: 30, ..Ticks::default() });
        assert_eq!(total(&before, &after), 30 * TICK);
    }

    fn burn(time: Duration) {
        let (begun, mut sum) = (Instant::now(), 0u64);
        while begun.elapsed() < time {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
    }

    #[test]
    fn threads_that_come_and_go_are_counted() {
        let pids = tree(std::process::id());
        let before = read(&pids);
        // Of its own processor time, since the machine is shared: 20 threads that each live for less than a reading.
        for _ in 0..20 {
            std::thread::spawn(|| burn(Duration::from_millis(20))).join().unwrap();
        }
        let used = between(&before, &read(&tree(std::process::id())), 100).total_ns;
        assert!(used > 60_000_000, "{used}");
    }

    #[test]
    fn a_process_that_forks_for_its_work_is_measured() {
        let script =
            "read x; for i in 1 2 3 4; do (i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done); done; echo done; read x";
        let mut shell =
            Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let before = read(&tree(shell.id()));
        std::io::Write::write_all(&mut stdin, b"\n").unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.as_mut().unwrap()), &mut line).unwrap();
        let after = read(&tree(shell.id()));
        drop(stdin);
        shell.wait().unwrap();
        let used = between(&before, &after, 100).total_ns;
        assert!(used >= 40_000_000, "the loops of the children: {used}");
    }
}
