//! What is made with the keys that a journal keeps beside its events.

mod fingerprints; // what a request said, as a hash under a key
mod key; // a key, and its name
mod position_cipher; // positions as customers are shown them

pub(crate) use key::Key;

pub use fingerprints::Fingerprints;
pub use position_cipher::PositionCipher;
