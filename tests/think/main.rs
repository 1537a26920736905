//! The think filter against its oracle: the corpus, generated streams, and the properties that both must have.

mod corpus;
mod oracle;
