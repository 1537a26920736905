//! Every limit of the gateway, with its unit last in the name and the sentence that chose the number.
//!
//! A buffer, queue, table or wait without a name here is a bug.

/// One request or response head, request line included. nginx allows 4 × 8 KiB; 64 KiB holds the longest bearer
/// tokens and cookies seen and still keeps a thousand half-sent heads under 64 MiB.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest request line; beyond it the answer is 414, as nginx's 8 KiB line buffer gives.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Header fields in one head; beyond it the answer is 431. Apache's default is 100.
pub const HEAD_FIELDS_MAX: usize = 100;
/// A host name and its port: 253 bytes of name (RFC 1035 §2.3.4), brackets or dots around it, `:65535`.
pub const HOST_BYTES_MAX: usize = 262;
/// A client's own request id; a longer one is replaced. Twice what the SDKs send.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// A chunk-size line with its extensions (RFC 9112 §7.1.1 asks for a limit).
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Chunk extensions of one body together: they carry nothing, and one-byte chunks with long extensions would cost a
/// reader hundreds of times what they deliver.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// All trailer fields of one body.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// One event or NDJSON line that the think filter looks into; a larger one passes untouched (T81).
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Leading white space held while it is unknown whether a tag follows (T81).
pub const LEADING_BLANK_BYTES_MAX: usize = 256;
/// Longest delimiter a profile may name (T81).
pub const DELIMITER_BYTES_MAX: usize = 128;
/// Delimiters of one profile; the largest built-in one (harmony) has nine.
pub const PROFILE_DELIMITERS_MAX: usize = 64;
/// Choices with a state of their own in one answer (T81).
pub const CHOICES_MAX: usize = 128;
/// Nesting the JSON scanner follows before it gives up and lets the value pass.
pub const JSON_DEPTH_MAX: usize = 64;
/// A body without stream that is collected to be edited as a whole; a larger one passes unfiltered, and says so.
pub const WHOLE_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A request body that is taken in whole to learn its model and to be able to send it again; a larger one is streamed.
/// Chats with several images stay below it.
pub const COLLECTED_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// All bodies together that one core holds whole, requests and answers: a dozen of the largest, or a quarter of a million
/// ordinary chats. Past it requests get 503 and answers pass unfiltered, which says so.
pub const HELD_BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Connections past a core's limit that are still told so with a 503; beyond them they are only closed.
pub const TURNED_AWAY_MAX: usize = 64;

/// One configuration file, and one structured value in an environment variable. The largest sensible file (a thousand
/// model rules) is a tenth of it.
pub const CONFIG_BYTES_MAX: usize = 512 * 1024;
/// One secret, from wherever it comes: it has to fit into a request head with room to spare.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;
/// Addresses to listen on; each costs a socket on every core.
pub const LISTEN_MAX: usize = 16;
/// Entries of an option that is a list of names.
pub const OPTION_LIST_MAX: usize = 256;
/// Own rules `think.models`: they are tried in order for a model's first request.
pub const MODEL_RULES_MAX: usize = 1024;
/// Own `think.profiles`.
pub const PROFILES_MAX: usize = 64;
/// Delimiters of one kind (pairs, ends, glue) in one profile.
pub const PROFILE_LIST_MAX: usize = 16;
/// What is kept of an event's members to build an event of our own from (id, object, created, model).
pub const ENVELOPE_BYTES_MAX: usize = 1024;
/// Events larger than this are not remembered as the shape that the next one is compared with.
pub const EVENT_SHAPE_BYTES_MAX: usize = 2048;
/// Lines without data written since the last data line while thinking is suppressed; go-openai gives up at 300.
pub const QUIET_LINES_MAX: u16 = 200;
/// Removed content blocks of one Anthropic message that later indexes are corrected for.
pub const REMOVED_BLOCKS_MAX: usize = 1024;

/// A request body that is fingerprinted; a larger one (many megabytes of images) is forwarded uncached.
pub const FINGERPRINT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// JSON values in a fingerprinted body, counting commas and brackets in its texts too: four megabytes of program code or
/// a conversation of ten thousand messages. At 48 bytes of tape and stack a value that is at most 12 MiB, for a moment.
pub const FINGERPRINT_VALUES_MAX: usize = 256 * 1024;
/// The memory for reading a text is kept for the next one up to this length, some four bytes for each of the text.
pub const TREE_KEPT_BYTES_MAX: usize = 256 * 1024;

/// Texts of an embeddings request that are kept, and found again, one by one; a larger batch is kept as a whole. Clients
/// that index documents send 32 to 100.
pub const EMBED_BATCH_MAX: usize = 128;
/// Text, thinking and tool calls of one answer that may be cached, as they lie in the entry.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A body without stream (or one NDJSON line) that the recorder collects to read it whole: an embeddings batch of a
/// hundred vectors with 1536 numbers is about 2 MiB of JSON.
pub const ANSWER_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One event of a recorded stream; larger ones make the answer uncacheable.
pub const ANSWER_EVENT_BYTES_MAX: usize = EVENT_BYTES_MAX;
/// Tool calls in one cached answer.
pub const ANSWER_TOOL_CALLS_MAX: usize = 128;
/// Text in one event of a replayed stream: about what a model server sends in twenty events, so that a replay is still
/// a stream and costs a twentieth.
pub const REPLAY_EVENT_TEXT_BYTES: usize = 96;

/// One cache entry on the disk: an answer with its encoding.
pub const CACHE_ENTRY_BYTES_MAX: usize = 2 * ANSWER_BYTES_MAX;
/// Disk space set aside for each entry that the cache may hold. An answer of a few thousand characters takes two pages
/// of 4 KiB; where entries are larger, the disk tier is full before it has the configured number.
pub const CACHE_DISK_BYTES_PER_ENTRY: usize = 16 * 1024;
/// Entries waiting to be written down in the ledger. When the disk can't keep up, further ones live in memory only.
pub const CACHE_LEDGER_QUEUE_MAX: usize = 4096;
/// Answers waiting to be written to the disk; foyer drops what comes on top.
pub const CACHE_WRITE_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Free space that the cache leaves on its disk; with less of it new answers live in memory only. More than the write
/// queue and its buffers, so that the disk is not full before it is noticed.
pub const CACHE_DISK_FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Threads that the cache's disk tier may block.
pub const CACHE_BLOCKING_THREADS_MAX: usize = 4;
/// How long a clean stop waits for answers to reach the disk.
pub const CACHE_CLOSE_MS_MAX: u64 = 5_000;

/// How far a flight may run ahead of its fastest follower before it stops reading; eight times as far behind the
/// fastest, a follower is cut. Answers of language models are far smaller.
pub const FLIGHT_LAG_BYTES_MAX: u64 = 1024 * 1024;
/// A flight's log that can still be joined from its start, and kept; past it only those who follow already go on.
pub const FLIGHT_LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Logs of all flights of a core: an answer past it is passed on, but neither joined nor kept. Sixteen of the longest.
pub const FLIGHT_LOGS_BYTES_MAX: usize = 16 * FLIGHT_LOG_BYTES_MAX as usize;

/// Models whose filter rules a core remembers; past it, it forgets them all and starts anew.
pub const VERDICTS_MAX: usize = 256;

/// A stored answer that is written at once, and then remembered as it was written; larger ones go out in pieces.
pub const FINISHED_BYTES_MAX: usize = 64 * 1024;
/// Requests whose answers a core remembers as they were written; the slot is found by a hash of the request's bytes.
pub const RECALL_SLOTS: usize = 1024;
/// Bytes of those requests and answers, for each core.
pub const RECALL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Chains that running flights are found in; with a few thousand flights a chain has a handful.
pub const FLIGHT_CHAINS: usize = 1024;

/// How long a request waits for the cache's disk before it asks the upstream: a hundred times what a disk takes that works.
pub const DISK_LOOK_US_MAX: u64 = 250_000;
