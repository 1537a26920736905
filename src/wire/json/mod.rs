//! JSON without a tree: find spans, splice spans, leave every other byte as it came.
//!
//! `string` knows the spelling of strings, `scan` walks objects and hands out spans, `edit` collects splices.

pub mod edit;
pub mod scan;
pub mod string;
