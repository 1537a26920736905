//! thinkgate: a gateway between chat clients and language-model servers that takes the model's thinking out of answers.
//!
//! Start with `ARCHITECTURE.md` in this folder: it says what each room is for, who may name whom and which
//! statements must always hold. Then read `data_plane/request.rs`, which is the path of a request, and from there
//! whatever it names.
//!
//! A room names only rooms below it: `base` (words), `wire` (bytes in, bytes out), `policy` (decisions), and on top the
//! two planes, `data_plane` (one thread a core, never blocks) and `control_plane` (all that may block). The library
//! exists for the binary beside it and for its tests; its API promises nothing to other crates.

pub mod base;
pub mod control_plane;
pub mod data_plane;
pub mod policy;
pub mod wire;
