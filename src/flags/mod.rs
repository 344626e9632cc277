//! What flags are read with: addresses, lengths of time, files that hold secrets.
//! Never here: which flags there are.

pub mod address; // of processes, as people write them
pub mod secrets; // files that hold them
mod values; // lengths of time, where to listen, the name that was meant

pub use values::{duration, listen, similar};
