//! The endpoints that the gateway knows and what holds for each. One row an endpoint.

use crate::wire::http::Method;

/// The language a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    OpenAi,
    Ollama,
    Anthropic,
    /// OpenAI's Responses API: errors as OpenAI's, streams with events of its own.
    Responses,
}

impl Dialect {
    /// Metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::Anthropic => "anthropic",
            Self::Responses => "responses",
        }
    }
}

/// What a call of an endpoint does, from which admission, retries and accounting follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Makes a model work.
    Inference,
    /// Reads what there is.
    Inventory,
    /// Changes what models there are; never open to a chat token.
    Management,
    /// Answered by the gateway itself.
    Own,
    /// Not known: forwarded as it came, trusted with nothing.
    Unknown,
}

/// Which methods an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Methods {
    /// GET, and HEAD wherever GET is.
    Get,
    Post,
    Delete,
    HeadOrPost,
    Any,
}

macro_rules! endpoints {
    ($( $(#[$doc:meta])* $name:ident $label:literal $dialect:ident $class:ident $methods:ident $path:literal; )*) => {
        /// An endpoint, whatever spelling of its path a client used.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Endpoint { $( $(#[$doc])* $name, )* }

        impl Endpoint {
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name,)*];

            /// Metric label, from a closed set.
            #[must_use]
            pub const fn label(self) -> &'static str { match self { $(Self::$name => $label,)* } }

            /// The dialect of its bodies and errors; of [`Endpoint::Other`], see [`super::Route::dialect`].
            #[must_use]
            pub const fn dialect(self) -> Dialect { match self { $(Self::$name => Dialect::$dialect,)* } }

            #[must_use]
            pub const fn class(self) -> Class { match self { $(Self::$name => Class::$class,)* } }

            const fn methods(self) -> Methods { match self { $(Self::$name => Methods::$methods,)* } }

            /// The one path that upstreams know it by; ends in `/` where an id follows; empty for [`Endpoint::Other`].
            #[must_use]
            pub const fn path(self) -> &'static str { match self { $(Self::$name => $path,)* } }
        }
    };
}

endpoints! {
    Chat             "chat"              OpenAi    Inference  Post       "/v1/chat/completions";
    Completions      "completions"       OpenAi    Inference  Post       "/v1/completions";
    Embeddings       "embeddings"        OpenAi    Inference  Post       "/v1/embeddings";
    Models           "models"            OpenAi    Inventory  Get        "/v1/models";
    /// One model; its id, raw, follows the path.
    Model            "model"             OpenAi    Inventory  Get        "/v1/models/";
    Responses        "responses"         Responses Inference  Post       "/v1/responses";
    Messages         "messages"          Anthropic Inference  Post       "/v1/messages";
    CountTokens      "count_tokens"      Anthropic Inventory  Post       "/v1/messages/count_tokens";
    OllamaChat       "ollama_chat"       Ollama    Inference  Post       "/api/chat";
    OllamaGenerate   "ollama_generate"   Ollama    Inference  Post       "/api/generate";
    OllamaEmbed      "ollama_embed"      Ollama    Inference  Post       "/api/embed";
    OllamaEmbeddings "ollama_embeddings" Ollama    Inference  Post       "/api/embeddings";
    OllamaTags       "ollama_tags"       Ollama    Inventory  Get        "/api/tags";
    OllamaShow       "ollama_show"       Ollama    Inventory  Post       "/api/show";
    OllamaPs         "ollama_ps"         Ollama    Inventory  Get        "/api/ps";
    OllamaVersion    "ollama_version"    Ollama    Inventory  Get        "/api/version";
    OllamaPull       "ollama_pull"       Ollama    Management Post       "/api/pull";
    OllamaPush       "ollama_push"       Ollama    Management Post       "/api/push";
    OllamaCreate     "ollama_create"     Ollama    Management Post       "/api/create";
    OllamaCopy       "ollama_copy"       Ollama    Management Post       "/api/copy";
    OllamaDelete     "ollama_delete"     Ollama    Management Delete     "/api/delete";
    /// A blob; its digest follows the path.
    OllamaBlob       "ollama_blob"       Ollama    Management HeadOrPost "/api/blobs/";
    Root             "root"              Ollama    Own        Get        "/";
    Health           "health"            OpenAi    Own        Get        "/health";
    Livez            "livez"             OpenAi    Own        Get        "/livez";
    Readyz           "readyz"            OpenAi    Own        Get        "/readyz";
    Metrics          "metrics"           OpenAi    Own        Get        "/metrics";
    Other            "other"             OpenAi    Unknown    Any        "";
}

impl Endpoint {
    /// Does it make a model work?
    #[must_use]
    pub const fn is_inference(self) -> bool {
        matches!(self.class(), Class::Inference)
    }

    /// Does it change what models there are?
    #[must_use]
    pub const fn is_management(self) -> bool {
        matches!(self.class(), Class::Management)
    }

    /// Does the gateway answer it itself?
    #[must_use]
    pub const fn is_own(self) -> bool {
        matches!(self.class(), Class::Own)
    }

    /// Does it take this method? Where not, the answer is 405, with [`Self::allow`].
    #[must_use]
    pub const fn takes(self, method: Method) -> bool {
        match self.methods() {
            Methods::Get => matches!(method, Method::Get | Method::Head),
            Methods::Post => matches!(method, Method::Post),
            Methods::Delete => matches!(method, Method::Delete),
            Methods::HeadOrPost => matches!(method, Method::Head | Method::Post),
            Methods::Any => true,
        }
    }

    /// The value of `Allow` beside a 405.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self.methods() {
            Methods::Get => "GET, HEAD",
            Methods::Post => "POST",
            Methods::Delete => "DELETE",
            Methods::HeadOrPost => "HEAD, POST",
            Methods::Any => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        }
    }

    /// May the request be sent again on a fresh connection when the old one was closed before any answer? What only
    /// computes may; what changes a store, and what is not known, may not unless the method itself is safe.
    #[must_use]
    pub const fn is_repeatable(self, method: Method) -> bool {
        method.is_safe()
            || (matches!(method, Method::Post) && matches!(self.class(), Class::Inference | Class::Inventory))
    }

    /// Is the answer a stream when the request's body does not say?
    #[must_use]
    pub const fn streams_by_default(self) -> bool {
        matches!(
            self,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaPull | Self::OllamaPush | Self::OllamaCreate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_paths_are_distinct() {
        for (at, one) in Endpoint::ALL.iter().enumerate() {
            for other in &Endpoint::ALL[at + 1..] {
                assert_ne!(one.label(), other.label());
                assert_ne!(one.path(), other.path());
            }
        }
    }

    #[test]
    fn what_changes_a_store_is_never_repeated() {
        for endpoint in Endpoint::ALL {
            let changes = endpoint.is_management() || *endpoint == Endpoint::Other || endpoint.is_own();
            assert_eq!(endpoint.is_repeatable(Method::Post), !changes, "{endpoint:?}");
            for method in [Method::Put, Method::Patch, Method::Delete, Method::Other] {
                assert!(!endpoint.is_repeatable(method));
            }
            assert!(endpoint.is_repeatable(Method::Get));
        }
    }
}
