//! Where a figure comes from: without it, a figure is a rumour.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// Machine, software and command of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Seconds since 1970.
    pub time: u64,
    /// `uname`.
    pub kernel: String,
    /// The processor's model.
    pub cpu: String,
    /// Cores that may be used.
    pub cores: usize,
    /// The commit of the folder the run was started in, or else of the folder this program is in.
    pub commit: String,
    /// Which of the two.
    #[serde(default)]
    pub commit_of: String,
    /// The command line.
    pub command: String,
    /// Load average of the last minute before the run: other work on the machine makes figures worse.
    pub load: String,
    /// Where proxy and load ran.
    pub pinning: String,
    /// Rounds and time of each.
    pub rounds: String,
}

impl Provenance {
    /// Reads what the machine says of itself.
    #[must_use]
    pub fn gather(pinning: String, rounds: String) -> Self {
        let time =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (commit, commit_of) = commit();
        Self {
            time,
            kernel: format!("{} {}", first_line("/proc/sys/kernel/ostype"), first_line("/proc/sys/kernel/osrelease")),
            cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: crate::sys::usable_cores().len(),
            commit,
            commit_of: commit_of.to_owned(),
            command: std::env::args().map(|word| quote(&word)).collect::<Vec<_>>().join(" "),
            load: first_line("/proc/loadavg").split(' ').next().unwrap_or("").to_owned(),
            pinning,
            rounds,
        }
    }
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or("").to_owned()
}

fn cpu_model(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find(|line| line.starts_with("model name") || line.starts_with("Processor"));
    let model = model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The commit and what it is of.
fn commit() -> (String, &'static str) {
    let started = std::env::current_dir().ok();
    let own = std::env::current_exe().ok().and_then(|file| file.parent().map(std::path::Path::to_owned));
    let folders = [(started, "the folder the run was started in"), (own, "the folder of loadtest itself")];
    let found = folders.into_iter().find_map(|(folder, of)| Some((commit_in(&folder?)?, of)));
    found.unwrap_or_else(|| ("unknown".into(), ""))
}

fn commit_in(folder: &std::path::Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let clean = git(&["status", "--porcelain"]).is_none_or(|changes| changes.is_empty());
    Some(if clean { commit } else { format!("{commit}, changed") })
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_for_a_shell() {
        assert_eq!(quote("--spawn={listen}"), "--spawn={listen}");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn the_model_is_found() {
        assert_eq!(cpu_model("processor : 0\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert_eq!(cpu_model(""), std::env::consts::ARCH);
    }
}
