//! thinkgate: a gateway between chat clients and language-model servers.
//!
//! Start with `ARCHITECTURE.md` in this folder: it says what each room is for, who may name whom and which
//! statements must always hold. Reading order is the order of the lines below.

pub mod base;
pub mod control_plane;
pub mod data_plane;
pub mod policy;
pub mod wire;
