//! Parsers of flag values: addresses, durations, files with secrets.
//! Never here: the flags themselves.

pub mod address; // addresses of processes
pub mod secrets; // files with secrets
mod values; // durations, listen addresses, similar names

pub use values::{duration, listen, name, similar, window, within_a_day};
