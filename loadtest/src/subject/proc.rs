//! What a process holds, from `/proc`: memory, descriptors, threads. A process counts with its children, since servers fork workers.
//! What cannot be read, another user's for instance, is unknown and not zero.

use std::fs;
use std::path::Path;

/// Memory of some processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Proportional set size: pages shared between processes count once.
    pub pss_kb: u64,
    /// Resident set size.
    pub rss_kb: u64,
}

/// Memory and handles at a moment; `None` where they could not be read for all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Memory.
    pub memory: Option<Memory>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// What a process is called; `None`: there is none of this number, or it has ended and only its parent has not asked yet.
#[must_use]
pub fn name(pid: u32) -> Option<String> {
    read_stat(Path::new("/proc"), pid).filter(Stat::is_alive)?;
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

/// The process and all below it.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(stat) = read_stat(Path::new("/proc"), pid) {
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

/// What `/proc/PID/stat` says, times in ticks.
pub(super) struct Stat {
    state: char,
    parent: u32,
    pub(super) user: u64,
    pub(super) system: u64,
    /// User and system time of children that have ended and were waited for.
    pub(super) children_user: u64,
    pub(super) children_system: u64,
    /// When it began: with the number it names a process for ever.
    pub(super) begun: u64,
}

impl Stat {
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

pub(super) fn read_stat(proc: &Path, pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(proc.join(format!("{pid}/stat"))).ok()?)
}

/// The name in parentheses may hold anything, so fields are counted from its last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: u32::try_from(number(1)?).ok()?,
        user: number(11)?,
        system: number(12)?,
        children_user: number(13)?,
        children_system: number(14)?,
        begun: number(19)?,
    })
}

/// Memory and handles of `pids` now.
#[must_use]
pub fn holdings(pids: &[u32]) -> Holdings {
    holdings_under(Path::new("/proc"), pids)
}

fn holdings_under(proc: &Path, pids: &[u32]) -> Holdings {
    let mut sum = Holdings { memory: Some(Memory::default()), descriptors: Some(0), threads: Some(0) };
    for &pid in pids {
        let folder = proc.join(pid.to_string());
        let memory = memory(&folder);
        let (descriptors, threads) = (count(&folder.join("fd")), count(&folder.join("task")));
        // One that has ended in the meantime holds nothing; of one that lives and hides, nobody knows.
        if (memory.is_none() || descriptors.is_none()) && !read_stat(proc, pid).is_some_and(|stat| stat.is_alive()) {
            continue;
        }
        sum.memory = sum
            .memory
            .zip(memory)
            .map(|(sum, more)| Memory { pss_kb: sum.pss_kb + more.pss_kb, rss_kb: sum.rss_kb + more.rss_kb });
        sum.descriptors = sum.descriptors.zip(descriptors).map(|(sum, more)| sum + more);
        sum.threads = sum.threads.zip(threads).map(|(sum, more)| sum + more);
    }
    sum
}

fn memory(folder: &Path) -> Option<Memory> {
    let text = fs::read_to_string(folder.join("smaps_rollup")).ok()?;
    Some(Memory { pss_kb: kilobytes(&text, "Pss:")?, rss_kb: kilobytes(&text, "Rss:")? })
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

fn count(folder: &Path) -> Option<u64> {
    fs::read_dir(folder).ok().map(|entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 123 45 6 8 20 0 1 0 5000 6";

    #[test]
    fn a_stat_line_with_a_wild_name_is_read() {
        let stat = parse_stat(STAT).unwrap();
        assert_eq!((stat.parent, stat.user, stat.system), (7, 123, 45));
        assert_eq!((stat.children_user, stat.children_system, stat.begun), (6, 8, 5000));
        assert!(stat.is_alive());
        assert!(!parse_stat(&STAT.replace(") S", ") Z")).unwrap().is_alive());
    }

    #[test]
    fn our_own_process_is_seen() {
        let held = holdings(&tree(std::process::id()));
        let memory = held.memory.unwrap();
        assert!(memory.rss_kb > 500 && memory.pss_kb > 100);
        assert!(held.descriptors.unwrap() >= 3 && held.threads.unwrap() >= 1);
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let begun = std::time::Instant::now();
        while name(child.id()).is_some() && begun.elapsed().as_secs() < 5 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Path::new(&format!("/proc/{}", child.id())).exists(), "nobody has asked for it yet");
        assert_eq!(name(child.id()), None);
        assert_eq!(holdings(&[child.id()]).descriptors, Some(0), "it holds nothing, which is known");
        child.wait().unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_not_zero() {
        let proc = std::env::temp_dir().join(format!("loadtest-proc-{}", std::process::id()));
        let process = |pid: u32, state: &str| {
            let folder = proc.join(pid.to_string());
            fs::create_dir_all(folder.join("fd")).unwrap();
            fs::create_dir_all(folder.join("task/1")).unwrap();
            fs::write(folder.join("stat"), STAT.replace(") S", &format!(") {state}"))).unwrap();
            fs::write(folder.join("smaps_rollup"), "Rss:   900 kB\nPss:   800 kB\n").unwrap();
            folder
        };
        process(1, "S");
        let whole = holdings_under(&proc, &[1]);
        assert_eq!(whole.memory, Some(Memory { pss_kb: 800, rss_kb: 900 }));
        fs::remove_file(process(2, "S").join("smaps_rollup")).unwrap();
        fs::remove_dir(process(3, "S").join("fd")).unwrap();
        fs::remove_file(process(4, "Z").join("smaps_rollup")).unwrap();
        let without_memory = holdings_under(&proc, &[1, 2]);
        assert_eq!((without_memory.memory, without_memory.descriptors), (None, Some(0)));
        let without_descriptors = holdings_under(&proc, &[1, 3]);
        assert_eq!((without_descriptors.memory.is_some(), without_descriptors.descriptors), (true, None));
        assert_eq!(holdings_under(&proc, &[1, 4, 5]), whole, "a zombie and one that is gone hold nothing");
        fs::remove_dir_all(&proc).unwrap();
    }
}
