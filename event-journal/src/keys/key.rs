//! A key, and its name.

/// A key, and the name by which hashes refer to it.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) bytes: [u8; 32],
}
