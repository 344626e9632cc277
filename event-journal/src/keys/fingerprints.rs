//! Fingerprints of requests: hashes under a key that the journal stores beside its events. A hash
//! without a key would confirm a guessed address to anyone who reads it.

use super::key::Key;
use super::position_cipher::PositionCipher;

/// The keys of a database of the journal. Makes fingerprints and compares them with a request.
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

/// Separates a key's name from a hash.
const UNDER: char = ':';

impl Fingerprints {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        let cipher = PositionCipher::under(&keys);
        Self { keys, cipher }
    }

    /// Hides positions under the same keys.
    pub(crate) const fn position_cipher(&self) -> &PositionCipher {
        &self.cipher
    }

    /// The fingerprint of a request: the first half of its BLAKE3 hash as 32 hexadecimal digits,
    /// preceded by the name of its key. A journal in memory has no key.
    #[must_use]
    pub fn of(&self, request: &[u8]) -> String {
        match self.keys.first() {
            Some(key) => under(key, request),
            None => first_half(blake3::hash(request)),
        }
    }

    /// The fingerprints of a text under every key, for a search that has none to compare with.
    #[must_use]
    pub fn all_of(&self, text: &[u8]) -> Vec<String> {
        if self.keys.is_empty() {
            return vec![self.of(text)];
        }
        self.keys.iter().map(|key| under(key, text)).collect()
    }

    /// Whether a fingerprint was made from this request. Fingerprints from before there were keys
    /// name none.
    #[must_use]
    pub fn matches(&self, fingerprint: &str, request: &[u8]) -> bool {
        match fingerprint.split_once(UNDER) {
            None => fingerprint == first_half(blake3::hash(request)),
            Some((id, hash)) => self
                .keys
                .iter()
                .find(|key| key.id == id)
                .is_some_and(|key| hash == first_half(blake3::keyed_hash(&key.bytes, request))),
        }
    }
}

fn under(key: &Key, text: &[u8]) -> String {
    format!("{}{UNDER}{}", key.id, first_half(blake3::keyed_hash(&key.bytes, text)))
}

fn first_half(hash: blake3::Hash) -> String {
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
    fn a_fingerprint_matches_under_its_key_only() {
        let (one, other) = (keys(&[("a", 1)]), keys(&[("b", 2)]));
        let made = one.of(b"said");
        assert!(one.matches(&made, b"said") && !one.matches(&made, b"else"));
        assert!(!other.matches(&made, b"said"));
        let both = keys(&[("b", 2), ("a", 1)]);
        assert!(both.matches(&made, b"said"));
        assert_eq!(both.all_of(b"said"), [other.of(b"said"), made.clone()]);
        assert_eq!(Fingerprints::default().all_of(b"said").len(), 1);
        assert_ne!(one.of(b"said").split_once(':'), other.of(b"said").split_once(':'));
        assert!(!made.contains(&first_half(blake3::hash(b"said"))));
    }

    #[test]
    fn a_fingerprint_from_before_keys_matches() {
        let old = Fingerprints::default().of(b"said");
        assert_eq!((old.len(), old.contains(UNDER)), (32, false));
        assert!(keys(&[("a", 1)]).matches(&old, b"said"));
        assert!(!keys(&[("a", 1)]).matches(&old, b"else"));
    }
}
