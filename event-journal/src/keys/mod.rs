//! What is derived from the keys that a journal stores beside its events.

mod fingerprints; // fingerprints of requests, as hashes under a key
mod key; // a key, and its name
mod position_cipher; // positions as customers see them

pub(crate) use key::Key;

pub use fingerprints::Fingerprints;
pub use position_cipher::PositionCipher;
