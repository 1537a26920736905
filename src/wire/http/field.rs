//! Field names that the gateway knows, found by one hash of a name's length, first, middle and last byte.

use super::framing::is_token;

/// One field of a head: its name as it was written, its value without the blanks around it.
pub type Field<'b> = httparse::Header<'b>;

/// All fields of a head, in order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'b>(pub(super) &'b [Field<'b>]);

impl<'b> Fields<'b> {
    #[must_use]
    pub const fn as_slice(&self) -> &'b [Field<'b>] {
        self.0
    }

    pub fn iter(&self) -> std::slice::Iter<'b, Field<'b>> {
        self.0.iter()
    }

    /// First value of a name, any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// `Cache-Control` has this directive.
    #[must_use]
    pub fn says_of_caches(&self, directive: &str) -> bool {
        let control = self.0.iter().filter(|field| field.name.eq_ignore_ascii_case("cache-control"));
        control.flat_map(|field| elements(field.value)).any(|it| it.eq_ignore_ascii_case(directive.as_bytes()))
    }

    /// A `Connection` field names it: it speaks to the next hop and goes no further.
    #[must_use]
    pub fn connection_names(&self, name: &str) -> bool {
        self.connection_tokens().any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Every element of every `Connection` field.
    pub fn connection_tokens(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let connection = self.0.iter().filter(|field| field.name.eq_ignore_ascii_case("connection"));
        connection.flat_map(|field| elements(field.value))
    }
}

impl<'b> IntoIterator for Fields<'b> {
    type Item = &'b Field<'b>;
    type IntoIter = std::slice::Iter<'b, Field<'b>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Elements of a comma list, without the empty ones.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Is the text a field name?
pub(super) fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token(*byte))
}

macro_rules! known {
    ($( $name:ident $text:literal, )*) => {
        /// A field name that some rule speaks of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { Other, $( $name, )* }

        const NAMES: &[&str] = &["", $( $text, )*];
        const ALL: &[Known] = &[Known::Other, $( Known::$name, )*];
    };
}

known! {
    // Connection and framing: never forwarded as they came.
    Connection "connection", KeepAlive "keep-alive", ProxyConnection "proxy-connection",
    ProxyAuthorization "proxy-authorization", ProxyAuthenticate "proxy-authenticate", Te "te", Trailer "trailer",
    TransferEncoding "transfer-encoding", Upgrade "upgrade", Http2Settings "http2-settings",
    ContentLength "content-length", Host "host", Expect "expect", AcceptEncoding "accept-encoding",
    // Credentials.
    Authorization "authorization", XApiKey "x-api-key", ApiKey "api-key", XGoogApiKey "x-goog-api-key", Cookie "cookie",
    // Requests.
    ContentType "content-type", ContentEncoding "content-encoding", Accept "accept", XThink "x-think",
    XRequestId "x-request-id", CacheControl "cache-control", Pragma "pragma", IdempotencyKey "idempotency-key",
    Origin "origin", UserAgent "user-agent", Forwarded "forwarded", XForwardedFor "x-forwarded-for",
    XForwardedHost "x-forwarded-host", XForwardedProto "x-forwarded-proto", XRealIp "x-real-ip",
    AccessControlRequestMethod "access-control-request-method",
    AccessControlRequestHeaders "access-control-request-headers", MaxForwards "max-forwards", Range "range",
    // Answers.
    Date "date", Server "server", Etag "etag", LastModified "last-modified", ContentLanguage "content-language",
    ContentDisposition "content-disposition", ContentRange "content-range", RetryAfter "retry-after",
    RetryAfterMs "retry-after-ms", XShouldRetry "x-should-retry", WwwAuthenticate "www-authenticate", Vary "vary",
    Link "link", ServerTiming "server-timing", Location "location", RequestId "request-id", Age "age",
    Expires "expires", Allow "allow", Deprecation "deprecation", Sunset "sunset", Warning "warning",
    CacheStatus "cache-status", SetCookie "set-cookie", XAccelBuffering "x-accel-buffering",
}

/// Slots of the table; four times the names keeps the search for a seed short.
const TABLE: usize = 512;

const fn hash(name: &[u8], seed: u32) -> usize {
    let len = name.len();
    let mut mix = (name[0] | 0x20) as u32;
    mix = mix.wrapping_mul(seed) ^ ((name[len - 1] | 0x20) as u32);
    mix = mix.wrapping_mul(seed) ^ ((name[len / 2] | 0x20) as u32);
    mix = mix.wrapping_mul(seed) ^ (len as u32);
    (mix.wrapping_mul(seed) >> 23) as usize & (TABLE - 1)
}

/// The first odd seed under which no two names meet, found while compiling.
const SEED: u32 = {
    let mut seed = 0x9E37_79B1_u32;
    while build(seed).is_none() {
        seed = seed.wrapping_add(2);
    }
    seed
};

const INDEX: [u8; TABLE] = match build(SEED) {
    Some(table) => table,
    None => panic!("the seed was chosen so that this cannot be"),
};

const fn build(seed: u32) -> Option<[u8; TABLE]> {
    let mut table = [0u8; TABLE];
    let mut row = 1;
    while row < NAMES.len() {
        let slot = hash(NAMES[row].as_bytes(), seed);
        if table[slot] != 0 {
            return None;
        }
        table[slot] = row as u8;
        row += 1;
    }
    Some(table)
}

/// Equality with a name of the table, whose bytes all have the bit that lower case has: so do `-` and the digits. Among the
/// bytes of a token only capital letters gain it and become one of those.
fn is_same(lower: &[u8], name: &[u8]) -> bool {
    if lower.len() != name.len() {
        return false;
    }
    let (lower_words, lower_rest) = lower.as_chunks::<8>();
    let (words, rest) = name.as_chunks::<8>();
    let pairs = lower_words.iter().zip(words);
    let differ = pairs.fold(0, |sum, (lower, word)| {
        sum | (u64::from_ne_bytes(*lower) ^ (u64::from_ne_bytes(*word) | 0x2020_2020_2020_2020))
    });
    differ == 0 && lower_rest.iter().zip(rest).all(|(lower, byte)| *lower == byte | 0x20)
}

impl Known {
    /// The row of a field name, any case. The name must be a token, as every parsed one is.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        if bytes.is_empty() {
            return Self::Other;
        }
        let row = usize::from(INDEX[hash(bytes, SEED)]);
        if is_same(NAMES[row].as_bytes(), bytes) { ALL[row] } else { Self::Other }
    }

    /// Lower-case name; empty for `Other`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Speaks of one connection only (RFC 9110 §7.6.1), whether `Connection` names it or not.
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuthorization
                | Self::ProxyAuthenticate
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
        )
    }

    /// Proves who is asking. Never sent to an upstream beside a credential of ours.
    #[must_use]
    pub const fn is_credential(self) -> bool {
        matches!(self, Self::Authorization | Self::XApiKey | Self::ApiKey | Self::XGoogApiKey | Self::Cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_else_is() {
        for (row, name) in NAMES.iter().enumerate().skip(1) {
            assert_eq!(Known::of(name), ALL[row], "{name}");
            assert_eq!(Known::of(&name.to_ascii_uppercase()), ALL[row], "{name}");
            assert_eq!(ALL[row].name(), *name);
            assert_eq!(ALL[row] as usize, row);
            assert_eq!(Known::of(&format!("{name}x")), Known::Other);
            assert_eq!(
                Known::of(&name[1..]),
                NAMES.iter().position(|n| *n == &name[1..]).map_or(Known::Other, |r| ALL[r])
            );
            assert_eq!(Known::of(&name.replace('-', "_")) == Known::Other, name.contains('-'));
        }
        assert_eq!(Known::of(""), Known::Other);
    }
}
