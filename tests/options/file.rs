//! The configuration file: syntax, structure, where it is found.

use super::reach::text;
use super::*;

#[test]
fn files_that_are_none() {
    for (file, part) in [
        ("listen: [", "not valid YAML"),
        ("workers: 1\nworkers: 2\n", "workers"),
        ("timeouts: {idle: 1s, idle: 2s}", "idle"),
        ("- a\n", "needs a mapping"),
        ("timeouts: 5s", "needs a mapping"),
        ("timeouts: {idle: {a: 1}}", "needs one value"),
        ("1: 2", "no text"),
        ("listen: []", "at least one"),
        ("think: {reasoning_fields: []}", "reasoning_content"),
        ("think: {reasoning_fields: [thoughts]}", "none of"),
        ("upstream: !secret {url: x}", "mapping"),
        ("---\nio: auto\n---\nio: auto\n", "not valid YAML"),
    ] {
        let text = refusal(&[], &[], file);
        assert!(text.contains(part), "{file:?}: {text}");
        assert!(text.lines().all(|line| line.starts_with("thinkgate.yaml") || line.starts_with("think.")), "{text}");
    }
    let large = format!("# {}\n", "x".repeat(600 * 1024));
    assert!(refusal(&[], &[], &large).contains("larger than"));
    for nothing in ["", "# only a comment\n", "timeouts:\n", "workers:\nupstream:\n  api_key:\n", "---\n", "{}"] {
        assert_eq!(settings(&[], &[], nothing), Settings::default(), "{nothing:?}");
    }
}

#[test]
fn profiles_and_models() {
    let file = "
think:
  models:
    - {match: 'deepseek-*', profile: mine}
    - match: '*'
      profile: think_prefilled
      policy: keep
  profiles:
    mine:
      pairs: [['<a>', '</a>'], ['<b>', '</b>']]
      start: inside
      anchor: anywhere
      trim: false
      drop_leading_close: false
      ends: ['<tool>']
      label: \"thought\\n\"
      glue: ['<answer>', '</answer>']
    plain:
";
    let think = settings(&[], &[], file).think;
    assert_eq!(think.models.len(), 2);
    assert_eq!(think.models[1].policy.map(|policy| policy.name()), Some("keep"));
    assert_eq!(think.profiles["plain"], thinkgate::wire::think::ProfileDef::default());
    assert_eq!(
        text(&think.profiles["mine"]),
        r#"ProfileDef { pairs: [("<a>", "</a>"), ("<b>", "</b>")], start: Inside, anchor: Anywhere, trim: false, drop_leading_close: false, ends: ["<tool>"], label: "thought\n", glue: ["<answer>", "</answer>"] }"#
    );
    for (file, part) in [
        ("think: {models: {a: b}}", "list"),
        ("think: {models: [{profile: think}]}", "[0] has no match"),
        ("think: {models: [{match: a}]}", "[0] has no profile"),
        ("think: {models: [{match: a, profile: think, policy: hide}]}", "policy"),
        ("think: {models: [{match: '', profile: think}]}", "match"),
        ("think: {profiles: [a]}", "mapping"),
        ("think: {profiles: {x: {pairs: []}}}", "pairs"),
        ("think: {profiles: {x: {pairs: [[a]]}}}", "pairs"),
        ("think: {profiles: {x: {pairs: [[a, '']]}}}", "empty"),
        ("think: {profiles: {x: {pairs: [['<a', b], ['<ab', c]]}}}", "prefix"),
        ("think: {profiles: {x: {glue: ['<thin']}}}", "prefix"),
        ("think: {profiles: {x: {ends: ['</think>x']}}}", "prefix"),
        ("think: {profiles: {x: {start: middle}}}", "start"),
        ("think: {profiles: {x: {trim: 3}}}", "trim"),
        ("think: {profiles: {1: {}}}", "no text"),
    ] {
        let text = refusal(&[], &[], file);
        assert!(text.contains(part), "{file:?}: {text}");
    }
    let long = "x".repeat(129);
    assert!(refusal(&[], &[], &format!("think: {{profiles: {{x: {{label: {long}}}}}}}")).contains("128 bytes"));
}

#[test]
fn the_file_is_found_where_it_is_named_or_usual() {
    let folder = Folder::new("found");
    let named = folder.write("named.yaml", "workers: 1");
    let usual = folder.0.join("here");
    fs::create_dir_all(&usual).unwrap();
    let home = folder.0.join("home");
    folder.write("home/.config/thinkgate/config.yaml", "workers: 3");
    let load = |flags: &[&str], variables: &[(&str, &str)]| {
        let variables = [variables, &[("HOME", home.to_str().unwrap())]].concat();
        let inputs = cli::inputs(args(flags), environment(&variables)).unwrap();
        config::load(Inputs { dir: usual.clone(), ..inputs }).map(|loaded| loaded.settings.workers)
    };
    assert_eq!(load(&[], &[]), Ok(Some(3)));
    folder.write("here/thinkgate.yaml", "workers: 2");
    assert_eq!(load(&[], &[]), Ok(Some(2)));
    assert_eq!(load(&["-c", &named], &[]), Ok(Some(1)));
    assert_eq!(load(&[], &[("THINKGATE_CONFIG", &named)]), Ok(Some(1)));
    assert!(load(&["-c", "/nonexistent.yaml"], &[]).unwrap_err()[0].to_string().contains("/nonexistent.yaml"));
    assert!(load(&["-c", home.to_str().unwrap()], &[]).is_err(), "a folder is no file");
}

proptest::proptest! {
    /// Files made of the pieces that files are made of: an answer, whatever it is, and the same one for the same text.
    #[test]
    fn no_file_is_too_odd(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        let file = pieces.concat();
        let first = load(&[], &[], &file).map(|loaded| loaded.settings);
        let second = load(&[], &[], &file).map(|loaded| loaded.settings);
        proptest::prop_assert_eq!(&first, &second);
        if let Err(problems) = first {
            proptest::prop_assert!(!problems.is_empty());
            proptest::prop_assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')));
        }
    }
}

const PIECES: &[&str] = &[
    "listen",
    "upstream",
    "url",
    "think",
    "models",
    "profiles",
    "pairs",
    "timeouts",
    "total",
    "workers",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "'",
    "\"",
    "|",
    ">",
    "&a ",
    "*a",
    "!t ",
    "# ",
    "~",
    "null",
    "true",
    "5s",
    "0",
    "-1",
    "1e9",
    "99999999999999999999",
    "127.0.0.1:1",
    "http://h",
    "env:X",
    "\u{0}",
    "\u{7f}",
    "ü",
    "\t",
    "---",
    "...",
    "<<: ",
    "? ",
    "%YAML 1.1",
];
