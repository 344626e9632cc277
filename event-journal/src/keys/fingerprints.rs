//! What a request said, as a hash under a key that the journal keeps beside its events. A hash
//! without one would confirm a guessed address to whoever sees it.

use super::key::Key;
use super::position_cipher::PositionCipher;

/// The keys of a part of the journal. Makes fingerprints, and compares them with what is said now.
#[derive(Clone, Default)]
pub struct Fingerprints {
    keys: Vec<Key>,
    cipher: PositionCipher,
}

impl std::fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints(..)")
    }
}

/// Between a key's name and a hash.
const UNDER: char = ':';

impl Fingerprints {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        let cipher = PositionCipher::under(&keys);
        Self { keys, cipher }
    }

    /// What hides positions under the same keys.
    pub(crate) const fn position_cipher(&self) -> &PositionCipher {
        &self.cipher
    }

    /// The fingerprint of what is said: the first half of its BLAKE3 hash as 32 hexadecimal digits,
    /// with the name of its key before it. A journal that is forgotten with its process has no key.
    #[must_use]
    pub fn of(&self, said: &[u8]) -> String {
        match self.keys.first() {
            Some(key) => format!("{}{UNDER}{}", key.id, half(blake3::keyed_hash(&key.bytes, said))),
            None => half(blake3::hash(said)),
        }
    }

    /// Whether a fingerprint is of what is said now. Those from before there were keys have none.
    #[must_use]
    pub fn is_of(&self, fingerprint: &str, said: &[u8]) -> bool {
        match fingerprint.split_once(UNDER) {
            None => fingerprint == half(blake3::hash(said)),
            Some((id, hash)) => self
                .keys
                .iter()
                .find(|key| key.id == id)
                .is_some_and(|key| hash == half(blake3::keyed_hash(&key.bytes, said))),
        }
    }
}

fn half(hash: blake3::Hash) -> String {
    hex::encode(hash.as_bytes().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ids: &[(&str, u8)]) -> Fingerprints {
        let key = |(id, byte): &(&str, u8)| Key { id: (*id).to_owned(), bytes: [*byte; 32] };
        Fingerprints::new(ids.iter().map(key).collect())
    }

    #[test]
    fn a_fingerprint_is_recognised_under_its_key_and_tells_nothing_without_it() {
        let (one, other) = (keys(&[("a", 1)]), keys(&[("b", 2)]));
        let made = one.of(b"said");
        assert!(one.is_of(&made, b"said") && !one.is_of(&made, b"else"));
        assert!(!other.is_of(&made, b"said"));
        assert!(keys(&[("b", 2), ("a", 1)]).is_of(&made, b"said"));
        assert_ne!(one.of(b"said").split_once(':'), other.of(b"said").split_once(':'));
        assert!(!made.contains(&half(blake3::hash(b"said"))));
    }

    #[test]
    fn one_from_before_there_were_keys_is_recognised() {
        let old = Fingerprints::default().of(b"said");
        assert_eq!((old.len(), old.contains(UNDER)), (32, false));
        assert!(keys(&[("a", 1)]).is_of(&old, b"said"));
        assert!(!keys(&[("a", 1)]).is_of(&old, b"else"));
    }
}
