//! Secrets stay secret, shared mode is no open relay.

use super::*;

#[test]
fn secrets_come_from_three_places_and_are_never_shown() {
    let folder = Folder::new("secrets");
    let file = folder.write("key", "sk-canary-file\n");
    let shared =
        |key: &str| load(&["--enable-shared-mode"], &[("MY_KEY", "sk-canary-env")], &yaml("upstream.api_key", key));
    for (key, want) in [
        ("sk-canary-text", "sk-canary-text"),
        ("env:MY_KEY", "sk-canary-env"),
        (&format!("file:{file}") as &str, "sk-canary-file"),
    ] {
        let loaded = shared(key).unwrap();
        assert_eq!(loaded.settings.upstream.api_key.as_ref().unwrap().reveal(), want);
        let shown = format!("{loaded:#?} {:?}", config::summary(&loaded.sources));
        assert!(!shown.contains("canary"), "{shown}");
    }
    let flagged = load(&["--enable-shared-mode", "--api-key", "sk-canary-flag"], &[], "").unwrap();
    assert!(!format!("{flagged:?}").contains("canary"));
    for key in ["env:NO_SUCH", "file:/nonexistent", "'sk-canary with blank'", "sk-canary-ü", "''"] {
        let text = format!("{:?}", shared(key).unwrap_err());
        assert!(!text.contains("canary"), "{text}");
    }
    let large = folder.write("large", &"x".repeat(100_000));
    assert!(shared(&format!("file:{large}")).is_err());
    // A password in an address is not repeated either.
    let text = refusal(&["-o", "http://user:canary@host"], &[], "");
    assert!(text.contains("credentials") && !text.contains("canary"), "{text}");
}

#[test]
fn shared_mode_is_no_open_relay() {
    let shared = ["--enable-shared-mode", "--api-key", "k", "--listen"];
    for exposed in ["0.0.0.0:1", "[::]:1", "192.168.1.2:1", "127.0.0.1:1,10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        let flags = [&shared[..], &[exposed]].concat();
        assert!(refusal(&flags, &[], "").contains("--insecure-open-relay"), "{exposed}");
        let loaded = load(&[&flags[..], &["--insecure-open-relay"]].concat(), &[], "").unwrap();
        assert_eq!(loaded.warnings.len(), 1, "{exposed}");
        assert_eq!(load(&["--listen", exposed], &[], "").unwrap().warnings.len(), 1, "{exposed}");
    }
    for local in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "[::ffff:127.0.0.1]:1"] {
        assert!(load(&[&shared[..], &[local]].concat(), &[], "").unwrap().warnings.is_empty(), "{local}");
    }
    assert!(refusal(&["--enable-shared-mode"], &[], "").contains("--api-key"));
    assert_eq!(load(&["--api-key", "k"], &[], "").unwrap().warnings.len(), 1);
}

#[test]
fn the_gateway_is_not_its_own_upstream() {
    assert!(refusal(&["-o", "http://127.0.0.1:3000/v1"], &[], "").contains("itself"));
    assert!(refusal(&["-l", "0.0.0.0:11434"], &[], "").contains("itself"), "the default upstream");
    let loaded = load(&[], &[("OPENAI_BASE_URL", "http://localhost:3000/v1")], "").unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!((loaded.warnings.len(), loaded.sources.len()), (1, 0));
}

#[test]
fn a_missing_ca_file_is_found_at_once() {
    assert!(refusal(&["--ca-file", "/nonexistent.pem"], &[], "").contains("/nonexistent.pem"));
    assert!(refusal(&["--ca-file", "Cargo.toml"], &[], "").contains("no certificate"));
}
