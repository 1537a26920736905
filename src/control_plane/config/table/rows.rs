//! The rows themselves, in the order of the help.

use super::readers::{as_it_is, header_pattern, log_level, reasoning_field, seconds, with_scheme};
use super::{Applies, Ecosystem, Row};
use crate::control_plane::config::kind::Kind;
use crate::control_plane::config::settings::{AccessLog, Dialect, Io, LogLevel, OnDisconnect, OnUnclosed, ThinkPolicy};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What most rows have in common.
const ROW: Row = Row {
    section: "",
    flag: None,
    short: None,
    key: None,
    value_name: "",
    default: None,
    help: "",
    applies: Applies::Reload,
    built: true,
    ecosystem: &[],
    kind: Kind::ConfigFile,
};

const GENERAL: Row = Row { section: "General", ..ROW };
const NETWORK: Row = Row { section: "Listening", applies: Applies::Start, ..ROW };
const UPSTREAM: Row = Row { section: "Upstream", ..ROW };
const TIMEOUT: Row = Row { section: "Time limits", value_name: "TIME", ..ROW };
const THINK: Row = Row { section: "Thinking", ..ROW };
const CACHE: Row = Row { section: "Cache", applies: Applies::Start, ..ROW };
const LATER: Row = Row { section: "Not in this build", built: false, ..ROW };

const OTHER: Ecosystem = Ecosystem { name: "", read: as_it_is, only_with: None, note: "" };

const fn duration(min: u64, max: u64, set: fn(&mut crate::control_plane::config::Settings, u64)) -> Kind {
    Kind::Duration { min, max, zero_is_off: false, once_seconds: false, set }
}

/// Every option.
pub static ROWS: &[Row] = &[
    // ------------------------------------------------------------------ general
    Row {
        flag: Some("config"),
        short: Some('c'),
        value_name: "FILE",
        help: "YAML file to read; without it ./thinkgate.yaml, else ~/.config/thinkgate/config.yaml, where present",
        applies: Applies::Start,
        kind: Kind::ConfigFile,
        ..GENERAL
    },
    Row {
        flag: Some("debug"),
        short: Some('d'),
        help: "Log requests, replies and decisions, secrets redacted",
        kind: Kind::Shorthand { key: "log.level", value: "debug" },
        ..GENERAL
    },
    Row {
        flag: Some("log-level"),
        key: Some("log.level"),
        value_name: "LEVEL",
        default: Some("info"),
        help: "Least important messages that are logged",
        ecosystem: &[Ecosystem { name: "LOG_LEVEL", read: log_level, ..OTHER }],
        kind: Kind::Choice {
            names: LogLevel::NAMES,
            unbuilt: &[],
            set: |settings, at| settings.log.level = LogLevel::ALL[at],
        },
        ..GENERAL
    },
    Row {
        flag: Some("access-log"),
        key: Some("log.access"),
        value_name: "FILE",
        help: "Write a line for each request to this file; - is the standard output",
        applies: Applies::Start,
        kind: Kind::Path {
            set: |settings, path| {
                settings.log.access = Some(match path.as_os_str() == "-" {
                    true => AccessLog::Stdout,
                    false => AccessLog::File(path),
                });
            },
        },
        ..GENERAL
    },
    Row {
        flag: Some("shutdown-grace"),
        key: Some("shutdown.grace"),
        value_name: "TIME",
        default: Some("30s"),
        help: "How long running answers may go on after SIGTERM",
        kind: duration(0, HOUR, |settings, ms| settings.shutdown.grace_ms = ms),
        ..GENERAL
    },
    // ------------------------------------------------------------------ listening
    Row {
        flag: Some("listen"),
        short: Some('l'),
        key: Some("listen"),
        value_name: "ADDR",
        default: Some("127.0.0.1:3000"),
        help: "Address and port to listen on; several with commas, or as a list in the file",
        // Only the port; the address stays what the file or the default says.
        ecosystem: &[Ecosystem { name: "PORT", read: |port| Some(format!(":{}", port.trim())), ..OTHER }],
        kind: Kind::Listen { set: |settings, listen| settings.listen = listen },
        ..NETWORK
    },
    Row {
        flag: Some("workers"),
        key: Some("workers"),
        value_name: "N",
        help: "Worker threads; one for each usable core if not given",
        kind: Kind::Integer {
            min: 1,
            max: 1024,
            set: |settings, n| settings.workers = Some(usize::try_from(n).unwrap_or(usize::MAX)),
        },
        ..NETWORK
    },
    Row {
        flag: Some("io"),
        key: Some("io"),
        value_name: "DRIVER",
        default: Some("auto"),
        help: "How bytes are moved; auto takes io_uring where the kernel allows it",
        kind: Kind::Choice { names: Io::NAMES, unbuilt: &[], set: |settings, at| settings.io = Io::ALL[at] },
        ..NETWORK
    },
    Row {
        flag: Some("keep-alive"),
        key: Some("downstream.idle"),
        value_name: "TIME",
        default: Some("75s"),
        help: "How long a client's connection may wait for its next request",
        applies: Applies::Reload,
        kind: duration(SECOND, HOUR, |settings, ms| settings.downstream.idle_ms = ms),
        ..NETWORK
    },
    Row {
        flag: Some("max-body"),
        key: Some("limits.body"),
        value_name: "SIZE",
        default: Some("64MiB"),
        help: "Largest request body; beyond it the answer is 413",
        applies: Applies::Reload,
        kind: Kind::Size { min: 1024, max: 4 * GIB, set: |settings, bytes| settings.limits.body_bytes = bytes },
        ..NETWORK
    },
    Row {
        flag: Some("response-headers"),
        key: Some("downstream.response_headers"),
        value_name: "NAMES",
        help: "Upstream response headers that pass beside the built-in list; a name may end in *",
        applies: Applies::Reload,
        kind: Kind::Names {
            check: header_pattern,
            set: |settings, names| settings.downstream.response_headers = names,
        },
        ..NETWORK
    },
    Row {
        flag: Some("insecure-open-relay"),
        key: Some("insecure_open_relay"),
        default: Some("false"),
        help: "Allow shared mode on an address that other machines reach, where anybody would use your key",
        applies: Applies::Reload,
        kind: Kind::Switch { set: |settings, on| settings.insecure_open_relay = on },
        ..NETWORK
    },
    // ------------------------------------------------------------------ upstream
    Row {
        flag: Some("ollama"),
        short: Some('o'),
        key: Some("upstream.url"),
        value_name: "URL",
        default: Some("http://127.0.0.1:11434"),
        help: "The upstream server, http or https, with or without a path prefix; a final /v1 or /api is left out",
        // For clients OPENAI_BASE_URL may well name this gateway: a value that does is passed over.
        ecosystem: &[
            Ecosystem { name: "OLLAMA_URL", read: with_scheme, ..OTHER },
            Ecosystem { name: "OLLAMA_BASE_URL", read: with_scheme, ..OTHER },
            Ecosystem { name: "OPENAI_BASE_URL", read: with_scheme, ..OTHER },
        ],
        kind: Kind::Url { set: |settings, url| settings.upstream.url = url },
        ..UPSTREAM
    },
    Row {
        flag: Some("upstream-dialect"),
        key: Some("upstream.dialect"),
        value_name: "DIALECT",
        default: Some("both"),
        help: "Paths that the upstream serves itself; both: /api and /v1, requests are forwarded as they come",
        kind: Kind::Choice {
            names: Dialect::NAMES,
            unbuilt: &["ollama", "openai"],
            set: |settings, at| settings.upstream.dialect = Dialect::ALL[at],
        },
        ..UPSTREAM
    },
    Row {
        flag: Some("enable-shared-mode"),
        key: Some("upstream.shared"),
        default: Some("false"),
        help: "Send the key of --api-key upstream for all clients, in place of their own Authorization",
        kind: Kind::Switch { set: |settings, on| settings.upstream.shared = on },
        ..UPSTREAM
    },
    Row {
        flag: Some("api-key"),
        key: Some("upstream.api_key"),
        value_name: "KEY",
        help: "The key of shared mode: env:NAME, file:PATH, or the key itself",
        // Read in shared mode only, so that a key that lies around for other programs is never sent anywhere unasked.
        ecosystem: &[Ecosystem { name: "OPENAI_API_KEY", only_with: Some("upstream.shared"), ..OTHER }],
        kind: Kind::Secret { set: |settings, key| settings.upstream.api_key = Some(key) },
        ..UPSTREAM
    },
    Row {
        flag: Some("ca-file"),
        key: Some("upstream.ca_file"),
        value_name: "FILE",
        help: "PEM file with the certificates to trust for https, in place of the system's",
        kind: Kind::Path { set: |settings, path| settings.upstream.ca_file = Some(path) },
        ..UPSTREAM
    },
    Row {
        flag: Some("pool-idle-max"),
        key: Some("pool.idle_max"),
        value_name: "N",
        default: Some("512"),
        help: "Idle connections to the upstream that each core keeps; 0 uses none twice",
        kind: Kind::Integer {
            min: 0,
            max: 4096,
            set: |settings, n| settings.pool.idle_max = usize::try_from(n).unwrap_or(usize::MAX),
        },
        ..UPSTREAM
    },
    Row {
        flag: Some("pool-idle-age"),
        key: Some("pool.idle_age"),
        value_name: "TIME",
        default: Some("60s"),
        help: "How long an idle connection to the upstream is kept",
        kind: duration(SECOND, HOUR, |settings, ms| settings.pool.idle_age_ms = ms),
        ..UPSTREAM
    },
    // ------------------------------------------------------------------ time limits
    Row {
        flag: Some("timeout"),
        short: Some('t'),
        key: Some("timeouts.total"),
        default: Some("5m"),
        help: "Limit of a whole request, connection and answer included",
        ecosystem: &[
            Ecosystem { name: "MODEL_TIMEOUT_SECONDS", read: seconds, ..OTHER },
            Ecosystem {
                name: "TIMEOUT_SECONDS",
                read: seconds,
                note: "limits whole requests here, model work included; set MODEL_TIMEOUT_SECONDS or --timeout to say \
                       something else",
                ..OTHER
            },
        ],
        kind: Kind::Duration {
            min: SECOND,
            max: DAY,
            zero_is_off: false,
            once_seconds: true,
            set: |settings, ms| settings.timeouts.total_ms = ms,
        },
        ..TIMEOUT
    },
    Row {
        flag: Some("connect-timeout"),
        key: Some("timeouts.connect"),
        default: Some("5s"),
        help: "Limit of connecting to the upstream, name and TLS included",
        kind: duration(100, 5 * MINUTE, |settings, ms| settings.timeouts.connect_ms = ms),
        ..TIMEOUT
    },
    Row {
        flag: Some("first-byte-timeout"),
        key: Some("timeouts.first_byte"),
        default: Some("2m"),
        help: "Limit of waiting for the upstream's response head",
        kind: duration(SECOND, DAY, |settings, ms| settings.timeouts.first_byte_ms = ms),
        ..TIMEOUT
    },
    Row {
        flag: Some("idle-timeout"),
        key: Some("timeouts.idle"),
        default: Some("60s"),
        help: "Limit of the silence between two chunks of the upstream's answer",
        kind: duration(SECOND, DAY, |settings, ms| settings.timeouts.idle_ms = ms),
        ..TIMEOUT
    },
    Row {
        flag: Some("head-timeout"),
        key: Some("timeouts.head"),
        default: Some("15s"),
        help: "Limit of a client's request head, from its first byte",
        kind: duration(SECOND, 10 * MINUTE, |settings, ms| settings.timeouts.head_ms = ms),
        ..TIMEOUT
    },
    Row {
        flag: Some("body-timeout"),
        key: Some("timeouts.body"),
        default: Some("60s"),
        help: "Limit of a request body that is read whole; of a streamed upload, of its silence",
        kind: duration(SECOND, DAY, |settings, ms| settings.timeouts.body_ms = ms),
        ..TIMEOUT
    },
    // ------------------------------------------------------------------ thinking
    Row {
        flag: Some("disable-think-filter"),
        help: "Leave the model's thinking as it comes",
        kind: Kind::Shorthand { key: "think.policy", value: "keep" },
        ..THINK
    },
    Row {
        flag: Some("think-policy"),
        key: Some("think.policy"),
        value_name: "POLICY",
        default: Some("strip"),
        help: "Thinking is removed, kept, moved into a field of its own, or put into tags",
        kind: Kind::Choice {
            names: ThinkPolicy::NAMES,
            unbuilt: &[],
            set: |settings, at| settings.think.policy = ThinkPolicy::ALL[at],
        },
        ..THINK
    },
    Row {
        key: Some("think.header"),
        default: Some("true"),
        help: "Honour X-Think: strip|keep|separate|wrap on requests",
        kind: Kind::Switch { set: |settings, on| settings.think.header = on },
        ..THINK
    },
    Row {
        key: Some("think.models"),
        value_name: "LIST",
        help: "Own rules {match: glob, profile: name, policy: optional}; the first match wins, before the built-in table",
        kind: Kind::Models { set: |settings, models| settings.think.models = models },
        ..THINK
    },
    Row {
        key: Some("think.profiles"),
        value_name: "MAPPING",
        help: "Own profiles by name: pairs, start, anchor, trim, drop_leading_close, ends, label, glue",
        kind: Kind::Profiles { set: |settings, profiles| settings.think.profiles = profiles },
        ..THINK
    },
    Row {
        key: Some("think.reasoning_fields"),
        value_name: "NAMES",
        default: Some("reasoning_content"),
        help: "Members that OpenAI clients get reasoning in: reasoning_content, reasoning, or both",
        kind: Kind::Names { check: reasoning_field, set: |settings, names| settings.think.reasoning_fields = names },
        ..THINK
    },
    Row {
        flag: Some("heartbeat"),
        key: Some("think.heartbeat"),
        value_name: "TIME",
        default: Some("10s"),
        help: "Longest silence of a stream while thinking is removed, before a sign of life is sent",
        kind: Kind::Duration {
            min: SECOND,
            max: 5 * MINUTE,
            zero_is_off: true,
            once_seconds: false,
            set: |settings, ms| settings.think.heartbeat_ms = ms,
        },
        ..THINK
    },
    Row {
        key: Some("think.on_unclosed"),
        value_name: "WHAT",
        default: Some("drop"),
        help: "Thinking that has not ended when the answer does is dropped",
        kind: Kind::Choice {
            names: OnUnclosed::NAMES,
            unbuilt: &["reveal"],
            set: |settings, at| settings.think.on_unclosed = OnUnclosed::ALL[at],
        },
        ..THINK
    },
    // ------------------------------------------------------------------ cache
    Row {
        flag: Some("enable-cache"),
        key: Some("cache.enabled"),
        default: Some("false"),
        help: "Answer repeated requests from memory and disk, and identical ones at the same moment from one call",
        kind: Kind::Switch { set: |settings, on| settings.cache.enabled = on },
        ..CACHE
    },
    Row {
        flag: Some("cache-dir"),
        key: Some("cache.dir"),
        value_name: "DIR",
        default: Some("./cache"),
        help: "Where the cache's disk tier lives; used by one process at a time",
        kind: Kind::Path { set: |settings, path| settings.cache.dir = path },
        ..CACHE
    },
    Row {
        flag: Some("cache-ttl"),
        key: Some("cache.ttl"),
        value_name: "TIME",
        default: Some("30s"),
        help: "How long an entry is served",
        kind: Kind::Duration {
            min: 30 * SECOND,
            max: DAY,
            zero_is_off: false,
            once_seconds: true,
            set: |settings, ms| settings.cache.ttl_ms = ms,
        },
        ..CACHE
    },
    Row {
        flag: Some("cache-max-entries"),
        key: Some("cache.entries_max"),
        value_name: "N",
        default: Some("65535"),
        help: "Entries of the disk tier; the oldest leaves when there is one too many",
        kind: Kind::Integer {
            min: 3000,
            max: 1_000_000,
            set: |settings, n| settings.cache.entries_max = u32::try_from(n).unwrap_or(u32::MAX),
        },
        ..CACHE
    },
    Row {
        flag: Some("cache-memory"),
        key: Some("cache.memory"),
        value_name: "SIZE",
        default: Some("64MiB"),
        help: "Memory of the hot tier",
        kind: Kind::Size {
            min: MIB,
            max: 64 * GIB,
            set: |settings, bytes| settings.cache.memory_bytes = usize::try_from(bytes).unwrap_or(usize::MAX),
        },
        ..CACHE
    },
    Row {
        flag: Some("cache-on-disconnect"),
        key: Some("cache.on_disconnect"),
        value_name: "WHAT",
        default: Some("cancel"),
        help: "When the last client of an answer leaves: cancel it, or finish it for the cache",
        applies: Applies::Reload,
        kind: Kind::Choice {
            names: OnDisconnect::NAMES,
            unbuilt: &[],
            set: |settings, at| settings.cache.on_disconnect = OnDisconnect::ALL[at],
        },
        ..CACHE
    },
    Row {
        flag: Some("cache-tool-calls"),
        key: Some("cache.tool_calls"),
        default: Some("false"),
        help: "Keep answers that call tools too",
        applies: Applies::Reload,
        kind: Kind::Switch { set: |settings, on| settings.cache.tool_calls = on },
        ..CACHE
    },
    Row {
        key: Some("cache.sampled"),
        default: Some("true"),
        help: "Keep answers to requests that may get another answer each time (a temperature above 0, or none given)",
        applies: Applies::Reload,
        kind: Kind::Switch { set: |settings, on| settings.cache.sampled = on },
        ..CACHE
    },
    Row {
        key: Some("cache.ask_counts"),
        default: Some("true"),
        help: "Ask for token counts with OpenAI streams that may be kept, so that one entry serves every client; who did not ask is not shown them",
        applies: Applies::Reload,
        kind: Kind::Switch { set: |settings, on| settings.cache.ask_counts = on },
        ..CACHE
    },
    Row {
        key: Some("cache.ignore_no_store"),
        default: Some("false"),
        help: "Keep answers although the upstream says Cache-Control: no-store",
        applies: Applies::Reload,
        kind: Kind::Switch { set: |settings, on| settings.cache.ignore_no_store = on },
        ..CACHE
    },
    Row {
        key: Some("cache.pace"),
        value_name: "TIME",
        default: Some("0"),
        help: "Time between the events of a stream that is answered from the cache, so that it reads as if it was just written; 0 sends them at once",
        applies: Applies::Reload,
        kind: Kind::Duration {
            min: 20,
            max: 5 * SECOND,
            zero_is_off: true,
            once_seconds: false,
            set: |settings, ms| settings.cache.pace_ms = ms,
        },
        ..CACHE
    },
    // ------------------------------------------------------------------ not built yet
    Row {
        flag: Some("rate-limit"),
        short: Some('r'),
        key: Some("rate_limit.requests_per_second"),
        value_name: "N",
        default: Some("0"),
        help: "Requests per second of the whole process; 0 is no limit",
        kind: Kind::Integer { min: 0, max: 65535, set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("retry-attempts"),
        short: Some('a'),
        key: Some("retry.attempts"),
        value_name: "N",
        default: Some("0"),
        help: "How often a failed request is sent again",
        kind: Kind::Integer { min: 0, max: 1024, set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("retry-min-interval"),
        short: Some('i'),
        key: Some("retry.min_interval"),
        value_name: "TIME",
        default: Some("500ms"),
        help: "Wait before the first retry; it doubles from there",
        kind: duration(50, 5 * MINUTE, |_, _| {}),
        ..LATER
    },
    Row {
        flag: Some("retry-max-interval"),
        short: Some('m'),
        key: Some("retry.max_interval"),
        value_name: "TIME",
        default: Some("10s"),
        help: "Longest wait between two retries",
        kind: duration(50, 5 * MINUTE, |_, _| {}),
        ..LATER
    },
    Row {
        flag: Some("enable-luajit"),
        key: Some("plugin.enabled"),
        default: Some("false"),
        help: "Run a Lua script on requests and replies",
        kind: Kind::Switch { set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("luajit-script"),
        key: Some("plugin.script"),
        value_name: "FILE",
        default: Some("./plugin.lua"),
        help: "The script",
        kind: Kind::Path { set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("luajit-instances-power"),
        key: Some("plugin.instances_power"),
        value_name: "N",
        default: Some("1"),
        help: "2^N plugin threads",
        kind: Kind::Integer { min: 1, max: 8, set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("luajit-package-path"),
        key: Some("plugin.package_path"),
        value_name: "PATTERNS",
        help: "Where Lua looks for modules",
        kind: Kind::Text { set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("luajit-package-cpath"),
        key: Some("plugin.package_cpath"),
        value_name: "PATTERNS",
        help: "Where Lua looks for C modules",
        kind: Kind::Text { set: |_, _| {} },
        ..LATER
    },
    Row {
        flag: Some("enable-async-request"),
        key: Some("async.enabled"),
        default: Some("false"),
        help: "Answer 202 at once and work in the background",
        kind: Kind::Switch { set: |_, _| {} },
        ..LATER
    },
    Row {
        key: Some("async.result_ttl"),
        value_name: "TIME",
        default: Some("1h"),
        help: "How long a result is kept",
        kind: duration(30 * SECOND, 30 * DAY, |_, _| {}),
        ..LATER
    },
];
