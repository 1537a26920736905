//! Options: one table (`table/rows.rs`), four sources, one checked result.
//!
//! `load` reads flags, environment and file into `Settings`; `reload` does it again for SIGHUP. A value wins by its source:
//! flag, `THINKGATE_` variable, variable of another program, file, default. Nothing here starts anything.

mod address;
mod checks;
mod environment;
mod file;
mod kind;
mod load;
mod markdown;
mod nearest;
mod origin;
mod problem;
mod schema;
mod secret;
pub mod settings;
pub mod table;
mod think;
mod units;
mod yaml;

pub use checks::summary;
pub use environment::Environment;
pub use kind::Kind;
pub use load::{FlagText, Inputs, Loaded, Reloaded, load, reload};
pub use markdown::markdown_table;
pub use origin::{Origin, Source};
pub use problem::Problem;
pub use schema::schema;
pub use settings::Settings;
