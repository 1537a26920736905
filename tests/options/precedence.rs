//! Which source wins, and what variables of other programs mean.

use thinkgate::control_plane::config::settings::AccessLog;

use super::reach::{built, company, text, witness};
use super::*;

#[test]
fn the_stronger_source_wins_for_every_row() {
    for row in built().filter(|row| row.key.is_some()) {
        let witness = witness(row).unwrap();
        let weak = match (row.default, row.name().as_str()) {
            // The weaker source says what the default says, or something harmless where there is none.
            (Some(default), _) => default,
            (None, "--ca-file") => "./tests/options/ca.pem",
            (None, "--workers") => "2",
            (None, "think.models") => "[]",
            (None, "think.profiles") => "{}",
            (None, _) => "weaker",
        };
        let strong = ways(row, witness.sample);
        for (at, strong) in strong.iter().enumerate() {
            for weaker in ways(row, weak).iter().skip(at + 1).filter(|weaker| weaker.0 > strong.0) {
                let mut variables = [strong.2.clone(), weaker.2.clone()].concat();
                variables.extend(company(row).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
                let both = (strong.0, strong.1.clone(), variables, format!("{}{}", strong.3, weaker.3));
                let loaded = load_way(&both).unwrap_or_else(|problems| panic!("{both:?}: {problems:?}"));
                assert_eq!((witness.get)(&loaded.settings), witness.want, "{both:?}");
            }
        }
    }
}

#[test]
fn a_hidden_value_is_checked_all_the_same() {
    let text = refusal(&["--timeout", "5s"], &[("THINKGATE_TIMEOUT", "x")], "timeouts: {total: 1ms}");
    assert!(text.contains("THINKGATE_TIMEOUT") && text.contains("thinkgate.yaml: timeouts.total"), "{text}");
}

#[test]
fn variables_of_other_programs_rank_between_ours_and_the_file() {
    let url = |flags, variables: &[_], file| settings(flags, variables, file).upstream.url.to_string();
    let file = "upstream: {url: 'http://file'}";
    let all = [("OLLAMA_URL", "http://a"), ("OLLAMA_BASE_URL", "http://b/v1"), ("OPENAI_BASE_URL", "http://c/v1")];
    assert_eq!(url(&[], &all, file), "http://a");
    assert_eq!(url(&[], &all[1..], file), "http://b");
    assert_eq!(url(&[], &all[2..], file), "http://c");
    assert_eq!(url(&[], &[("OLLAMA_URL", "host:11434")], ""), "http://host:11434");
    assert_eq!(url(&[], &[all[0], ("THINKGATE_OLLAMA", "http://ours")], file), "http://ours");
    assert_eq!(url(&["-o", "http://flag"], &all, file), "http://flag");

    let listen = |variables: &[_], file| text(settings(&[], variables, file).listen);
    assert_eq!(listen(&[("PORT", "8080")], ""), "[127.0.0.1:8080]");
    assert_eq!(listen(&[("PORT", "8080")], "listen: '[::1]:1'"), "[[::1]:8080]");
    assert_eq!(listen(&[("PORT", "8080")], "listen: ['127.0.0.9:1']"), "[127.0.0.9:8080]");
    assert_eq!(listen(&[("PORT", "8080"), ("THINKGATE_LISTEN", "127.0.0.1:1")], ""), "[127.0.0.1:1]");
    let several = load(&[], &[("PORT", "8080")], "listen: ['127.0.0.1:1', '127.0.0.1:2']").unwrap();
    assert_eq!((text(&several.settings.listen), several.warnings.len()), ("[127.0.0.1:1, 127.0.0.1:2]".to_owned(), 1));
    assert!(refusal(&[], &[("PORT", "http")], "").starts_with("PORT: "));

    let level = |value| text(settings(&[], &[("LOG_LEVEL", value)], "log: {level: error}").log.level);
    assert_eq!((level("WARNING"), level("trace"), level("chatty")), ("Warn".into(), "Debug".into(), "Error".into()));

    let total = |variables: &[_]| settings(&[], variables, "").timeouts.total_ms;
    assert_eq!(total(&[("TIMEOUT_SECONDS", "20")]), 20_000);
    assert_eq!(total(&[("TIMEOUT_SECONDS", "20"), ("MODEL_TIMEOUT_SECONDS", "30")]), 30_000);
    assert!(refusal(&[], &[("TIMEOUT_SECONDS", "1h")], "").starts_with("TIMEOUT_SECONDS: "));
}

#[test]
fn a_key_of_other_programs_is_read_in_shared_mode_only() {
    let variables = [("OPENAI_API_KEY", "sk-other")];
    assert_eq!(settings(&[], &variables, "").upstream.api_key, None);
    assert!(load(&[], &[("OPENAI_API_KEY", "not a key")], "").unwrap().warnings.is_empty());
    let shared = settings(&["--enable-shared-mode"], &variables, "");
    assert_eq!(shared.upstream.api_key.unwrap().reveal(), "sk-other");
    let own = settings(&["--enable-shared-mode"], &variables, "upstream: {api_key: sk-own}");
    assert_eq!(own.upstream.api_key.unwrap().reveal(), "sk-other", "variables rank above the file");
    let own = settings(&["--enable-shared-mode", "--api-key", "sk-own"], &variables, "");
    assert_eq!(own.upstream.api_key.unwrap().reveal(), "sk-own");
}

#[test]
fn shorthands_and_what_they_stand_for() {
    assert!(refusal(&["--disable-think-filter", "--think-policy", "wrap"], &[], "").contains("contradicts"));
    assert!(load(&["--disable-think-filter", "--think-policy", "keep"], &[], "").is_ok());
    assert_eq!(text(settings(&["-d"], &[("THINKGATE_LOG_LEVEL", "warn")], "").log.level), "Debug");
    assert_eq!(text(settings(&["--log-level", "warn"], &[("THINKGATE_DEBUG", "1")], "").log.level), "Warn");
    assert_eq!(text(settings(&[], &[("THINKGATE_DEBUG", "false")], "log: {level: warn}").log.level), "Warn");
}

#[test]
fn lists_may_be_given_in_pieces() {
    let listen = settings(&["-l", "127.0.0.1:1", "-l", "127.0.0.1:2,127.0.0.1:3"], &[], "").listen;
    assert_eq!(text(listen), "[127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3]");
    let listen = settings(&[], &[], "listen:\n  - 127.0.0.1:1\n  - '[::1]:2'\n").listen;
    assert_eq!(text(listen), "[127.0.0.1:1, [::1]:2]");
    assert_eq!(settings(&["--access-log", "-"], &[], "").log.access, Some(AccessLog::Stdout));
}
