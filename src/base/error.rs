//! Why a request ended without the upstream's own answer: side, kind, retry. What a client reads comes from the kind's
//! row; only where an upstream cannot be reached is it told which one and why, since that is what people need to mend
//! it. The kind's name is also the metric label.

/// Who caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Downstream,
    Upstream,
    Gateway,
}

/// May the same request be sent again?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing of it reached an upstream: always safe.
    Unsent,
    /// It may have been seen: only where the method or endpoint has no lasting effect.
    IfSafe,
    Never,
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $name:ident, $label:literal, $status:literal, $side:ident, $retry:ident, $o_type:literal, $code:literal, $message:literal; )*) => {
        /// One row a kind: metric label, status, side, retry, OpenAI `type` and `code`, message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $( $(#[$doc])* $name, )* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];
            #[must_use] pub const fn label(self) -> &'static str { match self { $(Kind::$name => $label,)* } }
            #[must_use] pub const fn status(self) -> u16 { match self { $(Kind::$name => $status,)* } }
            #[must_use] pub const fn side(self) -> Side { match self { $(Kind::$name => Side::$side,)* } }
            #[must_use] pub const fn retry(self) -> Retry { match self { $(Kind::$name => Retry::$retry,)* } }
            #[must_use] pub const fn openai_type(self) -> &'static str { match self { $(Kind::$name => $o_type,)* } }
            /// OpenAI `code`; empty means `null`.
            #[must_use] pub const fn code(self) -> &'static str { match self { $(Kind::$name => $code,)* } }
            #[must_use] pub const fn message(self) -> &'static str { match self { $(Kind::$name => $message,)* } }
        }
    };
}

kinds! {
    BadRequest, "bad_request", 400, Downstream, Never, "invalid_request_error", "", "The request could not be read.";
    Unauthorized, "unauthorized", 401, Downstream, Never, "invalid_request_error", "invalid_api_key", "No valid credential was sent.";
    NotFound, "not_found", 404, Downstream, Never, "invalid_request_error", "not_found", "There is nothing at this path.";
    MethodNotAllowed, "method_not_allowed", 405, Downstream, Never, "invalid_request_error", "method_not_allowed", "This path does not take this method.";
    RequestTimeout, "request_timeout", 408, Downstream, Never, "invalid_request_error", "request_timeout", "The request took too long to arrive.";
    BodyTooLarge, "body_too_large", 413, Downstream, Never, "invalid_request_error", "request_too_large", "The request body is too large.";
    TargetTooLong, "target_too_long", 414, Downstream, Never, "invalid_request_error", "uri_too_long", "The request target is too long.";
    ExpectationFailed, "expectation_failed", 417, Downstream, Never, "invalid_request_error", "expectation_failed", "This expectation is not supported.";
    RateLimited, "rate_limited", 429, Gateway, Never, "rate_limit_error", "rate_limit_exceeded", "Too many requests; try again later.";
    HeadTooLarge, "head_too_large", 431, Downstream, Never, "invalid_request_error", "headers_too_large", "The request head is too large.";
    /// Seen only in logs and metrics: nobody is left to read an answer.
    ClientGone, "client_gone", 499, Downstream, Never, "invalid_request_error", "client_gone", "The client closed the connection.";
    /// It stopped taking its answer: seen only in logs and metrics.
    ClientStalled, "client_stalled", 499, Downstream, Never, "invalid_request_error", "client_stalled", "The client stopped reading.";
    Internal, "internal", 500, Gateway, Never, "server_error", "internal_error", "The gateway failed while handling this request.";
    NotImplemented, "not_implemented", 501, Downstream, Never, "invalid_request_error", "not_implemented", "The gateway does not implement this.";
    ConnectFailed, "connect_failed", 502, Upstream, Unsent, "server_error", "upstream_unreachable", "The upstream could not be reached.";
    ConnectTimeout, "connect_timeout", 502, Upstream, Unsent, "server_error", "upstream_unreachable", "The upstream did not accept a connection in time.";
    ResolveFailed, "resolve_failed", 502, Upstream, Unsent, "server_error", "upstream_unreachable", "The upstream's name could not be resolved.";
    TlsFailed, "tls_failed", 502, Upstream, Unsent, "server_error", "upstream_unreachable", "The TLS connection to the upstream failed.";
    UpstreamClosed, "upstream_closed", 502, Upstream, IfSafe, "server_error", "upstream_closed", "The upstream closed the connection before it answered.";
    UpstreamInvalid, "upstream_invalid", 502, Upstream, Never, "server_error", "upstream_invalid", "The upstream's answer was not valid HTTP.";
    /// The answer ended before its announced end; the client has the first part.
    UpstreamCut, "upstream_cut", 502, Upstream, Never, "server_error", "upstream_cut", "The upstream closed the connection in the middle of its answer.";
    Overloaded, "overloaded", 503, Gateway, Never, "server_error", "overloaded", "The gateway has no room for this request; try again.";
    Draining, "draining", 503, Gateway, Never, "server_error", "draining", "The gateway is shutting down.";
    FirstByteTimeout, "first_byte_timeout", 504, Upstream, Never, "server_error", "upstream_timeout", "The upstream did not answer in time.";
    IdleTimeout, "idle_timeout", 504, Upstream, Never, "server_error", "upstream_timeout", "The upstream stopped sending.";
    TotalTimeout, "total_timeout", 504, Upstream, Never, "server_error", "upstream_timeout", "The request took longer than allowed.";
    VersionNotSupported, "version_not_supported", 505, Downstream, Never, "invalid_request_error", "http_version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are served.";
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn labels_are_distinct_and_statuses_are_errors() {
        let mut labels: Vec<_> = Kind::ALL.iter().map(|kind| kind.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| (400..600).contains(&kind.status())));
    }
}
