//! What the gateway was told, checked: plain data, no runtime types. `table.rs` fills it, the snapshot is compiled from it.
//!
//! Times are milliseconds (`_ms`), sizes bytes (`_bytes`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::secret::Secret;
use crate::wire::think::ProfileDef;

/// An enum whose variants have the names that users write.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $text:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$vdoc])* $variant, )* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The names as written in options, in the order of `ALL`.
            pub const NAMES: &'static [&'static str] = &[$($text,)*];

            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// Which interface to the kernel moves the bytes.
    Io {
        /// `io_uring` where the kernel allows it, epoll otherwise.
        Auto = "auto",
        Uring = "uring",
        Epoll = "epoll",
    }
}

named! {
    /// Which paths the upstream serves by itself.
    Dialect {
        /// `/api` and `/v1`: requests are forwarded as they come.
        Both = "both",
        Ollama = "ollama",
        OpenAi = "openai",
    }
}

named! {
    /// What happens to the model's thinking.
    ThinkPolicy {
        Strip = "strip",
        Keep = "keep",
        Separate = "separate",
        Wrap = "wrap",
    }
}

named! {
    /// What happens to thinking that never ended when the answer did (case T26).
    OnUnclosed {
        Drop = "drop",
        Reveal = "reveal",
    }
}

named! {
    /// What becomes of an answer whose last client has left.
    OnDisconnect {
        Cancel = "cancel",
        /// Read to its end and kept.
        Finish = "finish",
    }
}

named! {
    /// How much is logged.
    LogLevel {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
    }
}

named! {
    Scheme {
        Http = "http",
        Https = "https",
    }
}

/// Everything; `Settings::default()` is what `thinkgate` alone runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one address.
    pub listen: Vec<SocketAddr>,
    pub upstream: Upstream,
    /// `None`: one a usable core.
    pub workers: Option<usize>,
    pub io: Io,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub downstream: Downstream,
    pub pool: Pool,
    pub think: Think,
    pub cache: Cache,
    pub log: Log,
    pub shutdown: Shutdown,
    /// An exposed listener without client tokens was asked for.
    pub insecure_open_relay: bool,
}

/// The server that requests are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    pub url: UpstreamUrl,
    pub dialect: Dialect,
    /// One key for all clients: `api_key` replaces their own `Authorization`; it is `Some` when this is true.
    pub shared: bool,
    pub api_key: Option<Secret>,
    /// PEM file with the only roots that are trusted for `https`; `None`: the system's.
    pub ca_file: Option<PathBuf>,
}

/// An upstream's address in parts; it never holds credentials, a query or a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    pub scheme: Scheme,
    /// A name or an address, lower case, an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or `/` and more without a final `/`. A final `/v1` or `/api` is not part of it: requests carry their own.
    pub path_prefix: String,
}

impl UpstreamUrl {
    /// What belongs in `Host`: brackets around IPv6, the port where it is not the scheme's.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default_port = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        if self.port == default_port { host } else { format!("{host}:{}", self.port) }
    }
}

impl std::fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.path_prefix)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole request, from its head to the last byte of the answer.
    pub total_ms: u64,
    pub connect_ms: u64,
    /// From the sent request to the upstream's response head.
    pub first_byte_ms: u64,
    /// Between two chunks of the upstream's answer.
    pub idle_ms: u64,
    /// A request head, from its first byte.
    pub head_ms: u64,
    /// A request body, from the end of its head.
    pub body_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One request body.
    pub body_bytes: u64,
}

/// The side of the clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downstream {
    /// How long a connection may wait for its next request.
    pub idle_ms: u64,
    /// Upstream response headers that pass beside the built-in list: lower-case names, a final `*` allowed.
    pub response_headers: Vec<String>,
}

/// Idle connections to the upstream, per core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// 0: no connection is used twice.
    pub idle_max: usize,
    pub idle_age_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Think {
    pub policy: ThinkPolicy,
    /// Honour `X-Think` on requests.
    pub header: bool,
    /// Own rules, tried in order before the built-in table.
    pub models: Vec<ModelRule>,
    /// Own profiles by name; a name may shadow a built-in one.
    pub profiles: BTreeMap<String, ProfileDef>,
    /// Members that OpenAI clients get reasoning in: `reasoning_content`, `reasoning` or both; never empty.
    pub reasoning_fields: Vec<String>,
    /// Longest silence of a stream before a sign of life; 0: none is sent.
    pub heartbeat_ms: u64,
    pub on_unclosed: OnUnclosed,
}

/// `match` is a glob over the model's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRule {
    pub glob: String,
    /// Built in or one of `Think::profiles`.
    pub profile: String,
    pub policy: Option<ThinkPolicy>,
}

/// The answer cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    pub enabled: bool,
    pub dir: PathBuf,
    pub ttl_ms: u64,
    /// Entries on the disk.
    pub entries_max: u32,
    /// The hot tier.
    pub memory_bytes: usize,
    pub on_disconnect: OnDisconnect,
    pub tool_calls: bool,
    pub sampled: bool,
    pub ask_counts: bool,
    pub ignore_no_store: bool,
    /// Between two events of a replayed stream.
    pub pace_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub access: Option<AccessLog>,
}

/// Where the line of each request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long running answers may go on after SIGTERM.
    pub grace_ms: u64,
}

impl Settings {
    /// The value that the table's defaults are written into; its numbers mean nothing yet.
    pub(super) fn blank() -> Self {
        Self {
            listen: Vec::new(),
            upstream: Upstream {
                url: UpstreamUrl { scheme: Scheme::Http, host: String::new(), port: 0, path_prefix: String::new() },
                dialect: Dialect::Both,
                shared: false,
                api_key: None,
                ca_file: None,
            },
            workers: None,
            io: Io::Auto,
            timeouts: Timeouts { total_ms: 0, connect_ms: 0, first_byte_ms: 0, idle_ms: 0, head_ms: 0, body_ms: 0 },
            limits: Limits { body_bytes: 0 },
            downstream: Downstream { idle_ms: 0, response_headers: Vec::new() },
            pool: Pool { idle_max: 0, idle_age_ms: 0 },
            think: Think {
                policy: ThinkPolicy::Strip,
                header: false,
                models: Vec::new(),
                profiles: BTreeMap::new(),
                reasoning_fields: Vec::new(),
                heartbeat_ms: 0,
                on_unclosed: OnUnclosed::Drop,
            },
            cache: Cache {
                enabled: false,
                dir: PathBuf::new(),
                ttl_ms: 0,
                entries_max: 0,
                memory_bytes: 0,
                on_disconnect: OnDisconnect::Cancel,
                tool_calls: false,
                sampled: false,
                ask_counts: false,
                ignore_no_store: false,
                pace_ms: 0,
            },
            log: Log { level: LogLevel::Info, access: None },
            shutdown: Shutdown { grace_ms: 0 },
            insecure_open_relay: false,
        }
    }
}
