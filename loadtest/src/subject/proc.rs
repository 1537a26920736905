//! What a process costs, from `/proc`: processor time of all threads, memory, descriptors, threads. A process counts with its children,
//! since servers fork workers.

use std::collections::BTreeMap;
use std::fs;

/// A reading of the clock of processor time.
#[derive(Clone, Debug, Default)]
pub struct CpuReading {
    /// Nanoseconds by thread: on a core, and ready but without one.
    threads: BTreeMap<(u32, u32), (u64, u64)>,
    /// User and system ticks of the processes; they keep what ended threads have used.
    user_ticks: u64,
    system_ticks: u64,
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

/// Memory and handles at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Proportional set size: pages shared between processes count once.
    pub pss_kb: u64,
    /// Resident set size.
    pub rss_kb: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// What a process is called; `None`: there is none of this number.
#[must_use]
pub fn name(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

/// The process and all below it.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = read_stat(pid) {
            parents.push((pid, stat.parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may hold anything, so fields are counted from its last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, user_ticks: number(11)?, system_ticks: number(12)? })
}

/// Reads the clocks of `pids`.
#[must_use]
pub fn cpu(pids: &[u32]) -> CpuReading {
    let mut reading = CpuReading::default();
    for &pid in pids {
        if let Some(stat) = read_stat(pid) {
            reading.user_ticks += stat.user_ticks;
            reading.system_ticks += stat.system_ticks;
        }
        for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let thread = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let text = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
            let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
            if let (Some(thread), Some(ran), Some(waited)) = (thread, numbers.next(), numbers.next()) {
                reading.threads.insert((pid, thread), (ran, waited));
            }
        }
    }
    reading
}

/// The time between two readings. Exact (`schedstat`) unless threads ended in between or the kernel keeps no such account; then in ticks.
#[must_use]
pub fn cpu_between(before: &CpuReading, after: &CpuReading, ticks_per_second: u64) -> CpuTime {
    let (mut exact, mut waiting_ns) = (0, 0);
    for (thread, (ran, waited)) in &after.threads {
        let (ran_before, waited_before) = before.threads.get(thread).copied().unwrap_or_default();
        exact += ran.saturating_sub(ran_before);
        waiting_ns += waited.saturating_sub(waited_before);
    }
    let user = after.user_ticks.saturating_sub(before.user_ticks);
    let system = after.system_ticks.saturating_sub(before.system_ticks);
    let coarse = (user + system) * (1_000_000_000 / ticks_per_second);
    // Ticks are sampled: they may be off by a few, never by much.
    let lost = coarse > exact + exact / 10 + 50_000_000;
    let user_share = if user + system == 0 { 0.0 } else { user as f64 / (user + system) as f64 };
    CpuTime { total_ns: if lost { coarse } else { exact }, user_share, waiting_ns }
}

/// Memory and handles of `pids` now.
#[must_use]
pub fn holdings(pids: &[u32]) -> Holdings {
    let mut sum = Holdings::default();
    for &pid in pids {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum.pss_kb += kilobytes(&rollup, "Pss:");
        sum.rss_kb += kilobytes(&rollup, "Rss:");
        sum.descriptors += count(&format!("/proc/{pid}/fd"));
        sum.threads += count(&format!("/proc/{pid}/task"));
    }
    sum
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn count(folder: &str) -> u64 {
    fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_wild_name_is_read() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 123 45 0 0 20 0 1 0 5 6";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.user_ticks, stat.system_ticks), (7, 123, 45));
    }

    fn reading(threads: &[(u32, u64)], user_ticks: u64, system_ticks: u64) -> CpuReading {
        CpuReading {
            threads: threads.iter().map(|&(t, ns)| ((1, t), (ns, ns / 2))).collect(),
            user_ticks,
            system_ticks,
        }
    }

    #[test]
    fn time_is_exact_unless_threads_ended() {
        let before = reading(&[(1, 1_000), (2, 5_000)], 10, 10);
        let after = reading(&[(1, 3_000), (2, 5_500), (3, 700)], 13, 11);
        assert_eq!(cpu_between(&before, &after, 100), CpuTime { total_ns: 3_200, user_share: 0.75, waiting_ns: 1_600 });
        // The thread 2 used most of a second and ended: only the ticks know.
        let ended = reading(&[(1, 3_000)], 60, 60);
        assert_eq!(cpu_between(&before, &ended, 100).total_ns, 1_000_000_000);
    }

    #[test]
    fn our_own_process_is_seen() {
        let pids = tree(std::process::id());
        let before = cpu(&pids);
        let mut sum = 0u64;
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 30 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        std::hint::black_box(sum);
        assert!(cpu_between(&before, &cpu(&pids), 100).total_ns > 1_000_000);
        let held = holdings(&pids);
        assert!(held.rss_kb > 500 && held.pss_kb > 100 && held.descriptors >= 3 && held.threads >= 1);
    }
}
