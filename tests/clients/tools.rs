//! Programs that the tests run, and where they are installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Versions are not pinned: that the current ones work is what is tested.
const PYTHON_PACKAGES: [&str; 2] = ["openai", "ollama"];
const NODE_PACKAGES: [&str; 2] = ["openai", "ollama"];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Below `target/`, so that nothing of it is ever committed, and kept for the next run.
pub fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("clients").join(name);
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// Runs a command to its end; its standard output.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// The interpreter of an environment with the SDKs.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let place = place("python");
        let python = place.join("bin/python");
        if !place.join("whole").exists() {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place));
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PYTHON_PACKAGES));
            std::fs::write(place.join("whole"), "").unwrap(); // last, so that a broken installation is made again
        }
        python
    })
}

/// The folder with `node_modules`.
pub fn node() -> &'static Path {
    static NODE: OnceLock<PathBuf> = OnceLock::new();
    NODE.get_or_init(|| {
        let place = place("node");
        if !place.join("whole").exists() {
            std::fs::write(place.join("package.json"), "{\"private\":true}").unwrap();
            run(Command::new("npm")
                .args(["install", "--no-audit", "--no-fund"])
                .args(NODE_PACKAGES)
                .current_dir(&place));
            std::fs::write(place.join("whole"), "").unwrap();
        }
        place
    })
}
